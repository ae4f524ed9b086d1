"""Prices against the vendors' own published figures, and the vectors against the scalars."""

from __future__ import annotations

import math
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import numpy as np
import pytest
from genai_prices import Usage
from genai_prices.data_snapshot import get_snapshot
from hypothesis import given, settings
from hypothesis import strategies as st

from anton_notebook import pricing
from anton_notebook.model.span import NAT

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _only_the_bundled_prices() -> Iterator[None]:
    pricing.reset_prices()
    yield
    pricing.reset_prices()


class Published(NamedTuple):
    """US dollars per million tokens, as the vendor's page gave them for calls at that time."""

    provider: str
    model: str
    when: str
    input: float
    cached: float
    output: float


# Prices before and after changes that the bundled table holds; the vendors' pages and announcements are named above the rows.
PUBLISHED = [
    # openai.com/api/pricing, April 2025; from 10 June 2025 "o3 is 80% cheaper" (10/40 -> 2/8, cached 2.50 -> 0.50)
    Published("unknown", "o3-2025-04-16", "2025-06-11T12:00", 2, 0.5, 8),
    # openai.com/api/pricing: gpt-4o meant gpt-4o-2024-05-13 (5/15, no cache) until 2 October 2024, then
    # gpt-4o-2024-08-06
    Published("openai", "gpt-4o", "2024-10-03T00:00", 2.5, 1.25, 10),
    Published("openai", "gpt-4o-2024-08-06", "2024-09-30T00:00", 2.5, 1.25, 10),
    Published("openai", "gpt-4o-2024-05-13", "2025-01-01T00:00", 5, 5, 15),
    # OpenAI, 30 July 2026: luna down 80% (1/0.10/6 -> 0.20/0.02/1.20), terra down 20% (2.50/0.25/15 -> 2/0.20/12)
    Published("openai", "gpt-5.6-luna", "2026-07-29T23:59", 1, 0.1, 6),
    Published("openai", "gpt-5.6-luna", "2026-07-30T00:00", 0.2, 0.02, 1.2),
    Published("openai", "gpt-5.6-terra", "2026-07-29T12:00", 2.5, 0.25, 15),
    Published("openai", "gpt-5.6-terra", "2026-08-01T12:00", 2, 0.2, 12),
    # OpenAI, 21 August 2026: sol 5/0.50/30 -> 4/0.40/20
    Published("openai", "gpt-5.6-sol", "2026-08-20T12:00", 5, 0.5, 30),
    Published("openai", "gpt-5.6-sol", "2026-08-21T12:00", 4, 0.4, 20),
    # anthropic.com/news, 4 November 2024: Claude 3.5 Haiku 1/5; 3 December 2024: 0.80/4 (cache reads a tenth of the
    # input)
    Published("claude", "claude-3-5-haiku-20241022", "2024-12-04T00:00", 0.8, 0.08, 4),
    # platform.claude.com/docs/en/about-claude/pricing: unchanged over their lives
    Published("anthropic", "claude-sonnet-4-20250514", "2025-06-01T00:00", 3, 0.3, 15),
    Published("unknown", "claude-opus-4-1-20250805", "2025-09-01T00:00", 15, 1.5, 75),
    Published("claude", "claude-haiku-4-5-20251001", "2026-01-01T00:00", 1, 0.1, 5),
    Published("claude", "claude-opus-4-5", "2026-01-01T00:00", 5, 0.5, 25),
    # api-docs.deepseek.com/quick_start/pricing: launch price until 8 February 2025 16:00 UTC; then 0.27/0.07/1.10,
    # from 26 February 2025 at half of that from 16:30 to 00:30 UTC; from 5 September 2025 16:00 UTC 0.56/0.07/1.68 at
    # all hours
    Published("deepseek", "deepseek-chat", "2025-06-01T12:00", 0.27, 0.07, 1.1),
    Published("deepseek", "deepseek-chat", "2025-06-01T20:00", 0.135, 0.035, 0.55),
    Published("deepseek", "deepseek-chat", "2025-06-02T00:29", 0.135, 0.035, 0.55),
    Published("deepseek", "deepseek-chat", "2025-09-05T15:59", 0.27, 0.07, 1.1),
    Published("deepseek", "deepseek-reasoner", "2025-06-01T12:00", 0.55, 0.14, 2.19),
    Published("deepseek", "deepseek-reasoner", "2025-06-01T20:00", 0.135, 0.035, 0.55),
    # api-docs.deepseek.com/news/news250929: DeepSeek-V3.2-Exp, "API prices cut by 50+%"
    # api-docs.deepseek.com/quick_start/pricing: launch prices; from 26 April 2026 12:15 UTC cache hits at a tenth, -pro at a quarter
    Published("deepseek", "deepseek-v4-flash", "2026-04-28T12:00", 0.14, 0.0028, 0.28),
    Published("deepseek", "deepseek-v4-pro", "2026-04-28T12:00", 0.435, 0.003625, 0.87),
    # api-docs.deepseek.com/quick_start/pricing: flat until 16 August 2026 16:00 UTC, then peak (01-04, 06-10 UTC) at
    # twice off-peak
    Published("deepseek", "deepseek-v4-pro", "2026-08-18T02:00", 1.32, 0.044, 3.96),
    Published("deepseek", "deepseek-v4-pro", "2026-08-18T12:00", 0.66, 0.022, 1.98),
    Published("deepseek", "deepseek-v4-flash", "2026-08-20T05:00", 0.22, 0.007, 0.66),
    Published("deepseek", "deepseek-v4-flash", "2026-09-14T05:00", 0.15, 0.003, 0.6),
    Published("deepseek", "deepseek-v4-flash", "2026-09-15T02:00", 0.3, 0.006, 1.2),
    # docs.x.ai/docs/models: 2/6 -> 1.25/2.50 on 30 April 2026
    Published("xai", "grok-4.20", "2026-04-29T12:00", 2, 0.2, 6),
    Published("xai", "grok-4.20", "2026-05-01T12:00", 1.25, 0.2, 2.5),
    # ai.google.dev/pricing: 1.5 Pro from 1 October 2024
    Published("google", "gemini-1.5-pro", "2024-10-02T00:00", 1.25, 1.25, 5),
]


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize("row", PUBLISHED, ids=lambda row: f"{row.model}@{row.when}")
def test_a_call_costs_what_the_vendor_published_for_that_day(row: Published) -> None:
    fresh, cached, output = 10_000, 40_000, 2_000
    recorded = fresh + cached
    expected = (fresh * row.input + cached * row.cached + output * row.output) / 1e6
    assert pricing.cost(row.provider, row.model, at(row.when), recorded, output, cached) == pytest.approx(
        expected, rel=1e-12
    )


LONG = [
    ("claude", "claude-sonnet-4-5", "2025-11-01", 200_000, (3, 15), (6, 22.5)),
    ("claude", "claude-opus-4-6", "2026-03-01", 200_000, (5, 25), (10, 37.5)),
    # from 13 March 2026 the 1M window of Opus 4.6 is at standard price
    ("claude", "claude-opus-4-6", "2026-03-14", 200_000, (5, 25), (5, 25)),
    ("claude", "claude-sonnet-4-6", "2026-03-12", 200_000, (3, 15), (6, 22.5)),
    ("claude", "claude-sonnet-4-6", "2026-03-14", 200_000, (3, 15), (3, 15)),
    # ai.google.dev/pricing
    ("google", "gemini-2.5-pro", "2025-07-01", 200_000, (1.25, 10), (2.5, 15)),
    # OpenAI, GPT-5.6: above 272K twice the input, one and a half times the output
    ("openai", "gpt-5.6-terra", "2026-08-01", 272_000, (2, 12), (4, 18)),
]


@pytest.mark.parametrize(("provider", "model", "when", "limit", "short", "long"), LONG)
def test_above_a_tier_every_token_costs_the_tiers_price(
    provider: str, model: str, when: str, limit: int, short: tuple[float, float], long: tuple[float, float]
) -> None:
    def cost(tokens: int) -> float:
        return pricing.cost(provider, model, at(when), tokens, 1000)

    assert cost(limit) == pytest.approx((limit * short[0] + 1000 * short[1]) / 1e6, rel=1e-12)
    assert cost(limit + 1) == pytest.approx(((limit + 1) * long[0] + 1000 * long[1]) / 1e6, rel=1e-12)


@pytest.mark.parametrize(("model", "base"), [("claude-opus-4-6", 5), ("claude-sonnet-4-6", 3)])
def test_cached_tokens_of_a_long_context_before_and_after_its_price_fell(model: str, base: float) -> None:
    cost = [pricing.cost("claude", model, at(day), 1_000, 0, 300_000) for day in ("2026-03-12", "2026-03-14")]
    assert cost == pytest.approx([(1_000 * k * base + 300_000 * k * base / 10) / 1e6 for k in (2, 1)], rel=1e-12)


def test_cached_tokens_count_towards_the_tier() -> None:
    cost = pricing.cost("claude", "claude-sonnet-4-5", at("2025-11-01"), 1_000, 0, 199_001)
    assert cost == pytest.approx((1_000 * 6 + 199_001 * 0.6) / 1e6, rel=1e-12)


def test_cache_writes_cost_a_quarter_more_at_anthropic() -> None:
    cost = pricing.cost("claude", "claude-3-5-sonnet-20241022", None, 1000, 0, 0, 100_000)
    assert cost == pytest.approx((1000 * 3 + 100_000 * 3.75) / 1e6, rel=1e-12)


def test_reasoning_tokens_are_part_of_the_output_unless_priced_apart() -> None:
    assert pricing.cost("openai", "o3", None, 0, 1000, 0, 0, 900) == pricing.cost("openai", "o3", None, 0, 1000)
    research = pricing.cost("perplexity", "sonar-deep-research", None, 0, 1000, 0, 0, 900)
    assert research == pytest.approx((100 * 8 + 900 * 3) / 1e6, rel=1e-12)


def test_a_price_per_request_is_added_once_a_call() -> None:
    price = pricing.price_of("perplexity", "sonar-pro")
    assert price is not None
    assert price.request == 0.014
    assert pricing.cost("perplexity", "sonar-pro", None, 0, 0) == 0.014


@pytest.mark.parametrize(
    ("provider", "model", "entry"),
    [
        ("claude", "claude-sonnet-4-20250514", ("anthropic", "claude-sonnet-4-0")),
        ("unknown", "claude-3-7-sonnet-20250219", ("anthropic", "claude-3-7-sonnet-latest")),
        ("", "anthropic/claude-3-5-sonnet", ("anthropic", "claude-3-5-sonnet")),
        ("Anthropic", "Claude-3-Opus-20240229", ("anthropic", "claude-3-opus-latest")),
        ("openrouter", "anthropic/claude-3.5-sonnet", ("openrouter", "anthropic/claude-3.5-sonnet")),
        (
            "unknown",
            "us.anthropic.claude-3-haiku-20240307-v1:0",
            ("aws", "regional.anthropic.claude-3-haiku-20240307-v1:0"),
        ),
        (
            "bedrock",
            "anthropic.claude-3-haiku-20240307-v1:0",
            ("aws", "regional.anthropic.claude-3-haiku-20240307-v1:0"),
        ),
        ("vertex", "claude-sonnet-4@20250514", ("google", "claude-4-sonnet")),
        ("unknown", "models/gemini-1.5-flash", ("google", "gemini-1.5-flash")),
        ("OpenAI", "gpt-4o-mini-2024-07-18", ("openai", "gpt-4o-mini")),
        ("openai", "claude-haiku-4-5", ("anthropic", "claude-haiku-4-5")),
        ("litellm", "deepseek/deepseek-chat", ("deepseek", "deepseek-chat")),
    ],
)
def test_names_as_programs_write_them(provider: str, model: str, entry: tuple[str, str]) -> None:
    price = pricing.price_of(provider, model, at("2025-06-01T12:00"))
    assert price is not None
    found = (price.provider, price.model)
    assert found == entry


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("ollama", "llama3.2:3b"),
        ("ollama", "gpt-oss:20b"),
        ("unknown", "deepseek-r1:8b"),
        ("unknown", "qwen2.5-coder:7b-instruct-q4_K_M"),
        ("openai", "deepseek-r1:latest"),
        ("", "ollama/llama3"),
        ("vllm", "gpt-4o"),
        ("anthropic", "claude-fake-99"),
        ("unknown", "my-model"),
        ("", "someone/gpt-4o-finetuned"),
        ("", ""),
        ("unknown", "\ud800 \x00 not a name"),
    ],
)
def test_an_unknown_model_has_no_price_and_never_costs_nothing(provider: str, model: str) -> None:
    assert pricing.price_of(provider, model) is None
    assert math.isnan(pricing.cost(provider, model, None, 1, 1))
    assert pricing.cost_source(provider, model) == "unpriced"
    tokens = np.ones(20, np.int32)
    assert np.isnan(pricing.cost_array(provider, model, np.full(20, NAT), tokens, tokens, tokens)).all()


@pytest.mark.parametrize(("given_", "output"), [(None, 5), (5, None), (-1, 5), (5, -1), (None, None)])
def test_a_cost_is_unknown_where_input_or_output_is(given_: int | None, output: int | None) -> None:
    assert math.isnan(pricing.cost("openai", "gpt-4o", None, given_, output))


def test_a_model_without_a_price_for_output_is_priced_only_if_it_wrote_nothing() -> None:
    assert pricing.cost("openai", "text-embedding-3-small", None, 1_000_000, 0) == pytest.approx(0.02)
    assert math.isnan(pricing.cost("openai", "text-embedding-3-small", None, 1_000_000, 1))


def test_more_cached_than_put_in_means_that_the_record_counts_them_apart() -> None:
    expected = (100 * 2.5 + 900 * 1.25) / 1e6
    assert pricing.cost("openai", "gpt-4o", at("2025-01-01"), 100, 0, 900) == pytest.approx(expected)
    assert pricing.cost("openai", "gpt-4o", at("2025-01-01"), 1000, 0, 900) == pytest.approx(expected)


def test_nearest_names_help_with_a_slip() -> None:
    assert "claude-sonnet-4-5" in pricing.nearest("claude-sonet-4-5")
    assert pricing.nearest("zzzzzzzzzz") == []


def test_limits_of_a_model() -> None:
    assert pricing.context_window("openai", "gpt-4o") == 128_000
    assert pricing.context_window("claude", "claude-haiku-4-5") == 200_000
    assert pricing.context_window("ollama", "llama3.2:3b") is None
    assert pricing.max_output("openai", "gpt-4o") is None
    pricing.set_price("llama3*", input=0, output=0, context_window=8192, max_output=2048)
    assert pricing.context_window("ollama", "llama3.2:3b") == 8192
    assert pricing.max_output("ollama", "llama3.2:3b") == 2048


def test_nothing_goes_over_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    pricing.reset_prices()
    assert pricing.price_of("openai", "gpt-4.1-mini") is not None


# Laws

ALL = [(p.id, m.id) for p in get_snapshot().providers for m in p.models]
DATED = [
    ("deepseek", "deepseek-chat"),
    ("deepseek", "deepseek-v4-flash"),
    ("openai", "o3"),
    ("openai", "gpt-5.6-sol"),
    ("claude", "claude-opus-4-6"),
    ("google", "gemini-2.5-pro"),
    ("openai", "text-embedding-3-small"),
    ("perplexity", "sonar-pro"),
    ("unknown", "nobody-knows-this"),
]
TOKENS = st.integers(-1, 500_000)
TIMES = st.integers(1_700_000_000_000_000, 1_800_000_000_000_000)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(DATED), st.lists(st.tuples(TIMES, TOKENS, TOKENS, TOKENS), max_size=40))
def test_the_vector_is_the_scalars_to_the_bit(model: tuple[str, str], calls: list[tuple[int, int, int, int]]) -> None:
    columns = np.array(calls, np.int64).reshape(len(calls), 4).T
    tokens = columns[1:].astype(np.int32)
    together = pricing.cost_array(*model, columns[0], tokens[0], tokens[1], tokens[2])
    apart = [pricing.cost(*model, *call) for call in calls]
    assert np.array_equal(together, np.array(apart, np.float64), equal_nan=True)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(ALL), TIMES, st.integers(0, 400_000), st.integers(0, 50_000), st.floats(0, 1))
def test_costs_agree_with_the_librarys_own_arithmetic(
    model: tuple[str, str], when: int, tokens: int, output: int, part: float
) -> None:
    price = pricing.price_of(*model, when)
    if price is None or not price.source.startswith("genai-prices") or math.isnan(price.output):
        return
    cached = int(tokens * part)
    mine = pricing.cost(*model, when, tokens, output, cached)
    _, entry = get_snapshot().find_provider_model(model[1], None, model[0], None)
    prices = entry.get_prices(EPOCH + timedelta(microseconds=when))
    usage = Usage(input_tokens=tokens, cache_read_tokens=cached, output_tokens=output)
    assert mine == pytest.approx(float(prices.calc_price(usage)["total_price"]), rel=1e-9, abs=1e-15)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from([m for m in DATED if m[1] != "nobody-knows-this"]), TIMES)
def test_a_price_says_between_which_days_it_holds(model: tuple[str, str], when: int) -> None:
    price = pricing.price_of(*model, when)
    assert price is not None
    moment = EPOCH + timedelta(microseconds=when)
    assert price.since is None or price.since <= moment
    assert price.until is None or moment < price.until
