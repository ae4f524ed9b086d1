"""One's own prices: at once, from a day on, by pattern, for one call, from many threads."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime

import pytest

from anton_notebook import pricing


@pytest.fixture(autouse=True)
def _only_the_bundled_prices() -> Iterator[None]:
    pricing.reset_prices()
    yield
    pricing.reset_prices()


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_a_set_price_holds_at_once_and_is_forgotten_at_once() -> None:
    before = pricing.version
    pricing.set_price("llama3*", input=0.1, output=0.2, cached=0.01)
    assert pricing.version == before + 1
    assert pricing.cost("ollama", "llama3.2:3b", None, 1_000_000, 1_000_000, 500_000) == pytest.approx(
        0.05 + 0.005 + 0.2
    )
    assert pricing.cost_source("ollama", "llama3.2:3b") == "override"
    assert pricing.price_of("ollama", "mistral:7b") is None
    pricing.reset_prices()
    assert pricing.version == before + 2
    assert pricing.price_of("ollama", "llama3.2:3b") is None


def test_a_model_of_ones_own_may_cost_nothing() -> None:
    pricing.set_price("*", input=0, output=0, provider="ollama")
    assert pricing.cost("ollama", "anything:7b", None, 1000, 1000) == 0.0
    assert pricing.cost("openai", "gpt-4o", at("2025-01-01"), 1000, 0) == pytest.approx(0.0025)


def test_a_set_price_goes_before_the_library_from_its_day_on() -> None:
    pricing.set_price("gpt-4o", input=1, output=1, since="2026-06-01")
    assert pricing.cost("openai", "gpt-4o", at("2026-05-31T23:59"), 1_000_000, 0) == pytest.approx(2.5)
    assert pricing.cost("openai", "gpt-4o", at("2026-06-01"), 1_000_000, 0) == pytest.approx(1)
    price = pricing.price_of("openai", "gpt-4o", at("2026-07-01"))
    assert price is not None
    assert price.since == at("2026-06-01")
    assert price.until is None


def test_an_exact_name_goes_before_a_pattern_then_the_later_start_then_the_last_set() -> None:
    pricing.set_price("m-1", input=1, output=0)
    pricing.set_price("m-*", input=2, output=0)
    assert pricing.cost("", "m-1", None, 1_000_000, 0) == pytest.approx(1)
    assert pricing.cost("", "m-2", None, 1_000_000, 0) == pytest.approx(2)
    pricing.set_price("m-1", input=3, output=0, since=date(2026, 1, 1))
    assert pricing.cost("", "m-1", at("2025-12-31"), 1_000_000, 0) == pytest.approx(1)
    assert pricing.cost("", "m-1", at("2026-01-01"), 1_000_000, 0) == pytest.approx(3)
    pricing.set_price("m-1", input=4, output=0)
    assert pricing.cost("", "m-1", at("2025-12-31"), 1_000_000, 0) == pytest.approx(4)


def test_a_provider_in_ones_own_price_is_known_by_any_of_its_names() -> None:
    pricing.set_price("house-model", input=1, output=1, provider="anthropic")
    assert pricing.cost_source("claude", "house-model") == "override"
    assert pricing.cost_source("openai", "house-model") == "unpriced"


def test_prices_for_one_call_touch_nothing_else() -> None:
    pricing.set_price("a", input=1, output=1)
    mine = pricing.Prices.of({"b*": {"input": 2, "output": 2}})
    assert mine.cost("", "b1", None, 1_000_000, 0) == pytest.approx(2)
    assert mine.cost("", "a", None, 1_000_000, 0) == pytest.approx(1)
    assert pricing.price_of("", "b1") is None
    assert pricing.Prices.of(mine) is mine


@pytest.mark.parametrize("field", ["input", "output", "cached", "cache_write"])
@pytest.mark.parametrize("value", [-1, math.nan, math.inf, "3"])
def test_what_is_no_price_is_refused_and_named(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=field):
        pricing.set_price("m", **{"input": 1, "output": 1, field: value})  # type: ignore[arg-type]
    assert pricing.price_of("", "m") is None


def test_prices_may_be_set_and_read_from_many_threads() -> None:
    start = pricing.version
    wrong: list[float] = []

    def work(number: int) -> None:
        for i in range(50):
            pricing.set_price(f"t-{number}", input=i, output=0)
            if pricing.cost("", f"t-{number}", None, 1_000_000, 0) != pytest.approx(i):
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert pricing.version == start + 400
