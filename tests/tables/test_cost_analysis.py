"""Timelines, comparisons of prices, checks of recorded costs and the ledger of the context, worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from anton_notebook import pricing
from anton_notebook.tables.cost_analysis import cheapest, cost_timeline, price_check
from anton_notebook.tables.costs import EMPTY
from anton_notebook.tables.ledger import context_ledger
from anton_notebook.tables.schema import KEY
from tests.support.spans_by_hand import DAY, messages, spans

OPUS = {"provider": "claude", "model": "claude-opus-4-1-20250805"}
HAIKU = {"provider": "claude", "model": "claude-3-5-haiku-20241022"}
GPT = {"provider": "openai", "model": "gpt-4o"}
LOCAL = {"provider": "ollama", "model": "llama3.2:3b"}


def test_the_timeline_cumulates_in_the_order_in_which_calls_end() -> None:
    frame = spans(
        {"span_id": "slow", "duration_ms": 60_000, "cost_usd": 1.0, "input_tokens": 10, "output_tokens": 1},
        {"span_id": "quick", "agent": "a", "cost_usd": 2.0, "input_tokens": 20, "output_tokens": 2},
        {"span_id": "unknown", "agent": "a", "start": DAY + pd.Timedelta(hours=1), **LOCAL},
        {"span_id": "later", "agent": "a", "start": DAY + pd.Timedelta(hours=2), "cost_usd": 0.5},
        {"span_id": "running", "status": "running"},
        {"span_id": "tool", "kind": "tool"},
        {"span_id": "undated", "start": None, "cost_usd": 0.25},
    )
    table = cost_timeline(frame)
    assert table["span_id"].tolist() == ["quick", "slow", "unknown", "later", "undated"]
    assert table["cumulated_cost_usd"].tolist() == [2.0, 3.0, 3.0, 3.5, 3.75]
    assert table["agent_cumulated_usd"].tolist() == [2.0, 1.0, 2.0, 2.5, 1.25]
    assert table["unpriced_calls"].tolist() == [0, 0, 1, 1, 1]
    assert table["cumulated_tokens"].tolist() == [22, 33, 33, 33, 33]
    assert table["time"].iloc[0] == DAY + pd.Timedelta(seconds=2)
    assert str(table["time"].dtype) == "datetime64[us, UTC]"


def test_cheapest_prices_the_same_tokens_elsewhere() -> None:
    frame = spans(
        {"agent": "a", "input_tokens": 10_000, "cached_tokens": 90_000, "output_tokens": 10_000, **OPUS},
        {"agent": "b", "input_tokens": 100_000, "cached_tokens": 90_000, "output_tokens": 10_000, **GPT},
    )
    table = cheapest(frame, ["gpt-4o-mini", "claude-3-5-haiku-20241022", "llama3.2:3b", ("openai", "gpt-4o")])
    # The same call told in Anthropic's and in OpenAI's way: 10,000 fresh, 90,000 cached, 10,000 out
    mini = (10_000 * 0.15 + 90_000 * 0.075 + 10_000 * 0.6) / 1e6
    haiku = (10_000 * 0.8 + 90_000 * 0.08 + 10_000 * 4) / 1e6
    gpt = (10_000 * 2.5 + 90_000 * 1.25 + 10_000 * 10) / 1e6
    opus = (10_000 * 15 + 90_000 * 1.5 + 10_000 * 75) / 1e6
    for agent, now in (("a", opus), ("b", gpt)):
        rows = table[table["agent"] == agent]
        assert rows["model"].tolist() == ["gpt-4o-mini", "claude-3-5-haiku-20241022", "openai/gpt-4o", "llama3.2:3b"]
        assert rows["cost_usd"].tolist()[:3] == pytest.approx([mini, haiku, gpt])
        assert math.isnan(rows["cost_usd"].tolist()[3])
        assert rows["now_usd"].tolist() == pytest.approx([now] * 4)
        assert rows["input_tokens"].tolist() == [100_000] * 4
        assert rows["fits"].tolist()[:3] == [True, True, True]
    assert table.attrs[KEY]["unpriced"][0]["model"] == "llama3.2:3b"


def test_cheapest_says_when_a_call_would_not_fit() -> None:
    frame = spans({"input_tokens": 150_000, "output_tokens": 10, **OPUS})
    table = cheapest(frame, ["gpt-4o", "claude-haiku-4-5"])
    assert dict(zip(table["model"], table["fits"], strict=True)) == {"gpt-4o": False, "claude-haiku-4-5": True}


def reasons(frame: pd.DataFrame) -> dict[str, str]:
    table = price_check(frame)
    return dict(zip(table["model"], table["reason"], strict=True))


def calls(recorded: list[float | None], names: dict[str, str], **more: object) -> list[dict[str, object]]:
    return [
        {
            "input_tokens": 1000 * (i + 1),
            "output_tokens": 100 * (i + 1) ** 2,
            "recorded_cost_usd": cost,
            **names,
            **more,
        }
        for i, cost in enumerate(recorded)
    ]


def test_price_check_says_where_recorded_costs_differ_and_why() -> None:
    tokens = [(1000 * (i + 1), 100 * (i + 1) ** 2) for i in range(3)]
    at_old_price: list[float | None] = [(i * 5 + o * 15) / 1e6 for i, o in tokens]
    right: list[float | None] = [(i * 0.8 + o * 4) / 1e6 for i, o in tokens]
    frame = spans(
        *calls(at_old_price, GPT),
        *calls(right, HAIKU),
        *calls([0.0, 0.0], {"provider": "openai", "model": "gpt-4.1"}),
        *calls([None, None], {"provider": "openai", "model": "gpt-4.1-mini"}),
        *calls([0.5], LOCAL),
        *calls([0.1], OPUS, tokens_estimated=True),
        {"recorded_cost_usd": 0.2, "provider": "openai", "model": "o3"},
    )
    table = price_check(frame)
    why = reasons(frame)
    assert why["gpt-4o"].startswith("recorded at $5 in and $15 out")
    assert why["claude-3-5-haiku-20241022"] == "they agree"
    assert why["gpt-4.1"] == "recorded as 0: the writer had no price for the model"
    assert why["gpt-4.1-mini"] == "no cost was recorded"
    assert why["llama3.2:3b"].startswith("no price is known; near: ")
    assert why["claude-opus-4-1-20250805"] == "the tokens are estimated from the text"
    assert why["o3"] == "the records lack tokens"
    row = table.set_index("model").loc["gpt-4o"]
    assert row["recorded_usd"] == pytest.approx(sum(cost or 0 for cost in at_old_price))
    assert row["difference_usd"] == pytest.approx(row["recorded_usd"] - row["cost_usd"])
    assert row["differing_calls"] == 3
    assert row["source"] == "genai-prices 0.2.3"
    assert table["difference_usd"].abs().dropna().is_monotonic_decreasing


def test_price_check_knows_a_cost_without_the_discount_of_cached_tokens() -> None:
    frame = spans({"input_tokens": 1000, "cached_tokens": 800, "output_tokens": 10, "recorded_cost_usd": 0.0026, **GPT})
    assert reasons(frame)["gpt-4o"] == "recorded without the discount of cached tokens"


def conversation() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Three turns; a tool result of 9,984 characters comes in the second and is carried into the third, uncached."""
    system, task, big, answer = "s" * 984, "t" * 984, "R" * 9984, "a" * 984
    frame = spans(
        {"span_id": "c1", "input_tokens": 500, "output_tokens": 10, **GPT},
        {"span_id": "c2", "input_tokens": 3000, "output_tokens": 10, **GPT},
        {"span_id": "c3", "input_tokens": 3250, "cached_tokens": 500, "output_tokens": 10, **GPT},
    )
    texts = messages(
        ("c1", [("system", system), ("user", task)]),
        ("c2", [("system", system), ("user", task), ("tool", big)]),
        ("c3", [("system", system), ("user", task), ("tool", big), ("user", answer)]),
    )
    return frame, texts


def test_the_ledger_finds_what_was_carried_and_what_it_cost() -> None:
    table = context_ledger(*conversation())
    assert table["role"].tolist() == ["tool", "system", "user", "user"]
    big, system, task, answer = (table.iloc[i] for i in range(4))
    # Each message of 984 characters and its frame is 250 tokens, the tool's result 2,500
    assert big["calls"] == 2
    assert big["tokens"] == 5000
    assert big["cost_usd"] == pytest.approx(5000 * 2.5 / 1e6)
    assert big["later_usd"] == pytest.approx(2500 * 2.5 / 1e6)
    assert big["span_id"] == "c2"
    assert big["position"] == 2
    assert big["excerpt"].endswith("…")
    assert big["missed_cache_calls"] == 1
    assert big["missed_cache_usd"] == pytest.approx(2500 * 1.25 / 1e6)
    assert system["calls"] == task["calls"] == 3
    assert system["cost_usd"] == pytest.approx((500 * 2.5 + 250 * 1.25) / 1e6)
    assert system["missed_cache_calls"] == 1
    assert answer["calls"] == 1
    assert answer["later_usd"] == 0
    whole = sum(
        pricing.cost("openai", "gpt-4o", DAY.to_pydatetime(), i, 0, c) for i, c in ((500, 0), (3000, 0), (3250, 500))
    )
    assert table["cost_usd"].sum() == pytest.approx(whole)


def test_the_ledger_takes_anything_with_both_frames() -> None:
    class Run:
        def spans_df(self) -> pd.DataFrame:
            return conversation()[0]

        def messages_df(self) -> pd.DataFrame:
            return conversation()[1]

    pd.testing.assert_frame_equal(context_ledger(Run()), context_ledger(*conversation()))


def test_the_same_words_twice_in_one_call_are_two_messages() -> None:
    frame = spans({"span_id": "c1", "input_tokens": 300, "output_tokens": 1, **GPT})
    table = context_ledger(frame, messages(("c1", [("user", "ok"), ("assistant", "?"), ("user", "ok")])))
    assert table["calls"].tolist() == [1, 1, 1]


def test_a_ledger_without_prices_is_ordered_by_tokens() -> None:
    frame = spans({"span_id": "c1", "input_tokens": 300, "output_tokens": 1, **LOCAL})
    table = context_ledger(frame, messages(("c1", [("user", "short"), ("user", "long" * 50)])))
    assert table["chars"].tolist() == [200, 5]
    assert table["cost_usd"].isna().all()
    assert table["tokens"].sum() == 300


def test_empty_frames_give_empty_tables_with_their_columns() -> None:
    frame, texts = conversation()
    for empty, full in (
        (cost_timeline(EMPTY), cost_timeline(frame)),
        (cheapest(EMPTY, ["gpt-4o"]), cheapest(frame, ["gpt-4o"])),
        (price_check(EMPTY), price_check(frame)),
        (context_ledger(EMPTY, texts.iloc[:0]), context_ledger(frame, texts)),
    ):
        assert len(empty) == 0
        assert list(empty.columns) == list(full.columns)


def test_costs_of_any_table_add_up_to_the_calls() -> None:
    frame, _ = conversation()
    total = math.fsum(frame["cost_usd"])
    assert cost_timeline(frame)["cumulated_cost_usd"].iloc[-1] == pytest.approx(total, abs=1e-12)
    assert cheapest(frame, ["gpt-4o"])["cost_usd"].sum() == pytest.approx(total, abs=1e-12)
    assert np.isclose(price_check(frame)["cost_usd"].sum(), total, atol=1e-12)
