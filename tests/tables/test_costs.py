"""Costs over any grouping: worked examples by hand, and laws that no grouping may break."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anton_notebook import pricing
from anton_notebook.model.span import NAT
from anton_notebook.tables.cost_aggregates import aggregate, merge
from anton_notebook.tables.costs import COLUMNS, EMPTY, costs, finished
from anton_notebook.tables.phases import with_phases
from anton_notebook.tables.schema import KEY
from tests.support.spans_by_hand import DAY, SPANS, spans

SONNET = {"provider": "claude", "model": "claude-sonnet-4-20250514"}
MINI = {"provider": "openai", "model": "gpt-4o-mini"}
LOCAL = {"provider": "ollama", "model": "llama3.2:3b"}


def run() -> pd.DataFrame:
    """An orchestrator with two modules, one of which has an agent of its own; a failed call that is tried again."""
    return spans(
        {"span_id": "O", "kind": "orchestrator"},
        {"span_id": "A", "kind": "agent", "agent": "module_a", "parent_id": "O"},
        {"span_id": "B", "kind": "agent", "agent": "module_b", "parent_id": "O"},
        {"span_id": "C", "kind": "agent", "agent": "helper", "parent_id": "A"},
        {"span_id": "o1", "parent_id": "O", "input_tokens": 1_000_000, "output_tokens": 0, "duration_ms": 10, **SONNET},
        {
            "span_id": "a1",
            "parent_id": "A",
            "agent": "module_a",
            "input_tokens": 1_000_000,
            "output_tokens": 100_000,
            **MINI,
        },
        {
            "span_id": "a2",
            "parent_id": "A",
            "agent": "module_a",
            "status": "error",
            "input_tokens": 0,
            "output_tokens": 0,
            **MINI,
        },
        {"span_id": "a3", "parent_id": "A", "agent": "module_a", "input_tokens": 1_000_000, "output_tokens": 0, **MINI},
        {"span_id": "c1", "parent_id": "C", "agent": "helper", "input_tokens": 100_000, "output_tokens": 0, **SONNET},
        {"span_id": "b1", "parent_id": "B", "agent": "module_b", "input_tokens": 500, "output_tokens": 50, **LOCAL},
        {
            "span_id": "t1",
            "parent_id": "a1",
            "kind": "tool",
            "agent": "module_a",
            "name": "read_file",
            "duration_ms": 7,
        },
        {
            "span_id": "t2",
            "parent_id": "a1",
            "kind": "tool",
            "agent": "module_a",
            "name": "read_file",
            "duration_ms": 9,
            "status": "error",
        },
        {
            "span_id": "o2",
            "parent_id": "O",
            "start": DAY + pd.Timedelta(hours=2),
            "input_tokens": 200_000,
            "output_tokens": 0,
            "duration_ms": 30,
            **SONNET,
        },
    )


def by(table: pd.DataFrame, column: str) -> dict[Any, Any]:
    return {key: table.loc[i, column] for i, key in enumerate(table.iloc[:, 0])}


def test_costs_by_agent_worked_out_by_hand() -> None:
    table = costs(run(), by="agent")
    assert list(table.columns) == ["agent", *COLUMNS]
    # Sonnet 4 above 200K tokens costs 6 a million, at most 200K 3; gpt-4o-mini 0.15 in and 0.60 out
    assert by(table, "cost_usd") == {
        "orchestrator": pytest.approx(3.6),
        "module_a": pytest.approx(0.36),
        "helper": pytest.approx(0.3),
        "module_b": pytest.approx(math.nan, nan_ok=True),
    }
    assert list(table["agent"]) == ["orchestrator", "module_a", "helper", "module_b"]
    assert by(table, "calls") == {"orchestrator": 2, "module_a": 3, "helper": 1, "module_b": 1}
    assert by(table, "tool_calls") == {"orchestrator": 0, "module_a": 2, "helper": 0, "module_b": 0}
    assert by(table, "errors") == {"orchestrator": 0, "module_a": 2, "helper": 0, "module_b": 0}
    assert by(table, "retries") == {"orchestrator": 0, "module_a": 1, "helper": 0, "module_b": 0}
    assert by(table, "unpriced_calls") == {"orchestrator": 0, "module_a": 0, "helper": 0, "module_b": 1}
    assert by(table, "p50_ms")["orchestrator"] == 20
    assert by(table, "p95_ms")["orchestrator"] == pytest.approx(29)
    assert table["share"].tolist() == pytest.approx([3.6 / 4.26, 0.36 / 4.26, 0.3 / 4.26, 0])
    assert table["cumulated_share"].iloc[-1] == pytest.approx(1)
    about = table.attrs[KEY]
    assert about["total_cost_usd"] == pytest.approx(4.26, abs=1e-12)
    assert about["unpriced"] == [
        {
            "provider": "ollama",
            "model": "llama3.2:3b",
            "calls": 1,
            "reason": "price unknown",
            "nearest": pricing.nearest("llama3.2:3b"),
        }
    ]


def test_an_agent_with_its_subagents_has_what_they_spent_and_the_total_stays() -> None:
    table = costs(run(), by="agent", subagents=True)
    assert by(table, "cost_usd") == {
        "orchestrator": pytest.approx(4.26),
        "module_a": pytest.approx(0.66),
        "helper": pytest.approx(0.3),
        "module_b": pytest.approx(math.nan, nan_ok=True),
    }
    assert by(table, "calls")["orchestrator"] == 7
    assert table.attrs[KEY]["total_cost_usd"] == pytest.approx(4.26)
    assert by(table, "share")["orchestrator"] == pytest.approx(1)


def test_an_agent_under_an_agent_of_the_same_name_counts_its_calls_once() -> None:
    frame = spans(
        {"span_id": "A", "kind": "agent", "agent": "a"},
        {"span_id": "B", "kind": "agent", "agent": "a", "parent_id": "A"},
        {"span_id": "x", "agent": "a", "parent_id": "B", "cost_usd": 1.0},
    )
    assert by(costs(frame, by="agent", subagents=True), "cost_usd") == {"a": 1.0}


def test_parents_that_run_in_a_circle_end() -> None:
    frame = spans(
        {"span_id": "a", "parent_id": "b", "cost_usd": 1.0}, {"span_id": "b", "parent_id": "a", "cost_usd": 2.0}
    )
    assert by(costs(frame, by="agent", subagents=True), "cost_usd") == {"orchestrator": 3.0}


def test_costs_by_tool_keep_what_is_no_tool_in_a_group_without_a_name() -> None:
    table = costs(run(), by="tool")
    assert table["tool"].tolist() == [pytest.approx(math.nan, nan_ok=True), "read_file"]
    assert table["tool_calls"].tolist() == [0, 2]
    assert table["p50_ms"].tolist()[1] == 8
    assert table["cost_usd"].tolist() == pytest.approx([4.26, 0])


def test_costs_by_hour_in_order_of_time() -> None:
    table = costs(run(), by="hour", sort="key")
    assert table["hour"].tolist() == [DAY, DAY + pd.Timedelta(hours=2)]
    assert str(table["hour"].dtype) == "datetime64[us, UTC]"
    assert table["cost_usd"].tolist() == pytest.approx([3.66, 0.6])


def test_a_phase_is_what_the_source_says_and_missing_where_it_says_nothing() -> None:
    frame, at = run(), int(DAY.timestamp() * 1e6)
    first = (at, at + 6_000_000, "phase 1 of 2", "ok")
    phases = {"run-1": [first, (at + 3_600_000_000, NAT, "phase 2 of 2", "running")], "other": [first]}
    told = with_phases(frame.copy(), phases)
    table = costs(told, by="phase")
    assert table["phase"].tolist()[:2] == ["phase 1 of 2", "phase 2 of 2"] and pd.isna(table["phase"].iloc[2])
    assert table["cost_usd"].tolist() == pytest.approx([3.21, 0.6, 0.45])
    none = costs(frame, by="phase")
    assert none["phase"].isna().all() and none["cost_usd"].tolist() == pytest.approx([4.26])
    kept = told[told["kind"] == "llm"][["trace_id", *EMPTY.columns.drop("trace_id")]].sort_values("start").copy()
    assert costs(kept, by="phase")["cost_usd"].tolist() == table["cost_usd"].tolist()


def test_a_column_of_ones_own_groups_too() -> None:
    frame = run().assign(team=["x", "y"] * 6 + ["x"])
    assert set(costs(frame, by=["team", "model"])["team"]) == {"x", "y"}


def test_several_keys_and_no_key_at_all() -> None:
    table = costs(run(), by=["agent", "model"])
    assert table[["agent", "model"]].iloc[0].tolist() == ["orchestrator", "claude-sonnet-4-20250514"]
    assert costs(run(), by=[])["cost_usd"].tolist() == pytest.approx([4.26])


def test_an_unknown_grouping_names_what_is_possible() -> None:
    with pytest.raises(ValueError, match="did you mean 'agent'"):
        costs(run(), by="agnet")
    with pytest.raises(TypeError, match="spans"):
        costs(42)


def test_reruns_and_replays_are_left_out_unless_asked_for() -> None:
    frame = spans({"cost_usd": 1.0}, {"cost_usd": 2.0, "trace_id": "branch", "original_trace_id": "run-1"})
    assert costs(frame, by="run")["run"].tolist() == ["run-1"]
    assert costs(frame, by="run", experiments=True)["cost_usd"].tolist() == [2.0, 1.0]


def test_other_prices_for_one_table() -> None:
    frame = run()
    table = costs(frame, by="agent", prices={"llama3*": {"input": 1000, "output": 0}})
    assert by(table, "cost_usd")["module_b"] == pytest.approx(0.5)
    assert by(table, "cost_usd")["orchestrator"] == pytest.approx(3.6)
    assert table.attrs[KEY]["unpriced_calls"] == 0


def test_what_was_not_paid_stays_unpaid_at_other_prices() -> None:
    frame = spans({"cost_usd": 0.0, "saved_usd": 3.0, "input_tokens": 1_000_000, "output_tokens": 0, **SONNET})
    table = costs(frame, by=[], prices={"claude*": {"input": 5, "output": 5}})
    assert table["cost_usd"].tolist() == [0.0]
    assert table["saved_usd"].tolist() == [3.0]


def test_recorded_costs_stand_beside_and_are_missing_where_none_was_recorded() -> None:
    frame = spans({"cost_usd": 1.0, "recorded_cost_usd": 0.9, **MINI}, {"cost_usd": 1.0, "agent": "b", **MINI})
    assert by(costs(frame, by="agent"), "recorded_cost_usd") == {
        "orchestrator": 0.9,
        "b": pytest.approx(math.nan, nan_ok=True),
    }


@pytest.mark.parametrize(
    "names", [["agent"], ["agent", "model"], ["run"], ["hour"], ["tool"], ["phase"], ["name", "kind"], []]
)
def test_an_empty_frame_gives_an_empty_table_of_the_same_columns(names: list[str]) -> None:
    empty, full = costs(run().iloc[:0], by=names), costs(run(), by=names)
    assert list(empty.columns) == list(full.columns)
    assert len(empty) == (0 if names else 1)
    figures = [name for name in empty.columns if name not in names]
    assert empty[figures].dtypes.to_dict() == full[figures].dtypes.to_dict()


def test_calls_that_still_run_are_not_unpriced_and_unknown_tokens_are_no_unknown_price() -> None:
    table = costs(spans({"status": "running", **MINI}, {"status": "ok", **MINI}), by=[])
    assert table["unpriced_calls"].tolist() == [1]
    assert [(of["calls"], of["reason"], of["nearest"]) for of in table.attrs[KEY]["unpriced"]] == [
        (1, "tokens unknown", [])
    ]


@pytest.mark.parametrize("value", [math.inf, 1e300, -1e300])
def test_an_absurd_recorded_cost_does_not_spoil_the_others(value: float) -> None:
    frame = spans(
        {"cost_usd": 1.0, "recorded_cost_usd": value, **MINI}, {"cost_usd": 1.0, "recorded_cost_usd": 2.0, **MINI}
    )
    table = costs(frame, by="model")
    assert table["cost_usd"].tolist() == [2.0]
    assert len(table) == 1


# Laws

WORDS = {
    "trace_id": ["r1", "r2", "r3"],
    "agent": ["orchestrator", "a", "b"],
    "kind": ["llm", "llm", "tool", "agent", "other"],
    "name": ["read", "write", None],
    "model": ["gpt-4o", "claude-3-5-haiku-20241022", None],
    "status": ["ok", "error", "running"],
}
ROW = st.fixed_dictionaries(
    {
        **{name: st.sampled_from(values) for name, values in WORDS.items()},
        "start": st.integers(0, 10_000).map(lambda minutes: DAY + pd.Timedelta(minutes=minutes)),
        "cost_usd": st.one_of(st.just(math.nan), st.floats(0, 1000), st.floats(0, 1e-6)),
        "recorded_cost_usd": st.one_of(st.just(math.nan), st.floats(0, 1000)),
        "saved_usd": st.one_of(st.just(math.nan), st.floats(0, 10)),
        "input_tokens": st.one_of(st.none(), st.integers(0, 1_000_000)),
        "duration_ms": st.one_of(st.just(math.nan), st.floats(0, 1e6)),
    }
)
FRAMES = st.lists(ROW, max_size=40).map(lambda rows: spans(*rows, price=False))
KEYS = st.lists(
    st.sampled_from(["run", "agent", "kind", "name", "model", "tool", "hour", "day", "phase", "status"]),
    max_size=3,
    unique=True,
)


def exact(values: pd.Series[Any]) -> Decimal:
    return sum((round(Decimal(value), 12) for value in values if not math.isnan(value)), Decimal(0))


@settings(max_examples=80, deadline=None)
@given(FRAMES, KEYS)
def test_regrouping_never_changes_a_total(frame: pd.DataFrame, names: list[str]) -> None:
    table = costs(frame, by=names)
    for column in ("cost_usd", "saved_usd", "recorded_cost_usd"):
        assert math.fsum(table[column].dropna()) == pytest.approx(float(exact(frame[column])), abs=1e-9)
    assert table.attrs[KEY]["total_cost_usd"] == pytest.approx(
        float(exact(frame["cost_usd"])), abs=1e-12 * len(frame) + 1e-12
    )
    assert table["input_tokens"].sum() == frame["input_tokens"].sum()
    assert table["calls"].sum() == (frame["kind"] == "llm").sum()
    assert table["tool_calls"].sum() == (frame["kind"] == "tool").sum()
    assert table["errors"].sum() == ((frame["status"] == "error") & (frame["kind"] != "agent")).sum()
    ended = (frame["kind"] == "llm") & (frame["status"] != "running")
    assert table["unpriced_calls"].sum() == (ended & frame["cost_usd"].isna()).sum()
    whole = costs(frame, by=[])
    assert whole["retries"].sum() == table["retries"].sum()


@settings(max_examples=80, deadline=None)
@given(FRAMES, KEYS.filter(bool))
def test_groups_are_those_of_pandas(frame: pd.DataFrame, names: list[str]) -> None:
    table = costs(frame, by=names)
    derived = frame.assign(
        run=frame["trace_id"].astype(object),
        tool=frame["name"].astype(object).where(frame["kind"] == "tool"),
        hour=frame["start"].dt.floor("h"),
        day=frame["start"].dt.floor("D"),
    )
    if "phase" in names:
        return
    figures = derived[["cost_usd", "recorded_cost_usd", "saved_usd", "input_tokens"]].notna().any(axis=1)
    derived = derived[(derived["kind"] != "agent") | figures]
    groups = derived.assign(**{name: derived[name].astype(object) for name in names}).groupby(names, dropna=False)
    assert len(table) == groups.ngroups
    wanted = {tuple(map(str, key if isinstance(key, tuple) else (key,))): part for key, part in groups}
    for _, row in table.iterrows():
        part = wanted[tuple(str(row[name]) for name in names)]
        assert row["runs"] == part["trace_id"].nunique()
        assert row["calls"] == (part["kind"] == "llm").sum()
        assert row["cost_usd"] == pytest.approx(float(exact(part["cost_usd"])), abs=1e-11) or math.isnan(
            row["cost_usd"]
        )
        timed = part[part["kind"] == "llm"]["duration_ms"].dropna()
        if not len(timed):
            timed = part[part["kind"] == "tool"]["duration_ms"].dropna()
        for column, q in (("p50_ms", 0.5), ("p95_ms", 0.95)):
            assert row[column] == pytest.approx(timed.quantile(q), nan_ok=True)


@settings(max_examples=60, deadline=None)
@given(FRAMES, KEYS.filter(lambda names: "phase" not in names), st.integers(0, 40), st.integers(0, 40))
def test_parts_put_together_are_the_whole_to_the_bit(frame: pd.DataFrame, names: list[str], a: int, b: int) -> None:
    a, b = sorted((a, b))
    pieces = [frame.iloc[:a], frame.iloc[a:b], frame.iloc[b:]]
    together = finished(merge([aggregate(piece, names, False, None) for piece in pieces]), names, "cost")
    whole = costs(frame, by=names)
    same = [name for name in whole.columns if name not in ("retries", *names)]
    pd.testing.assert_frame_equal(together[same], whole[same], check_exact=True)
    assert [list(map(str, together[name])) for name in names] == [list(map(str, whole[name])) for name in names]
    assert together.attrs == whole.attrs


@settings(max_examples=40, deadline=None)
@given(FRAMES, st.randoms(use_true_random=False))
def test_the_order_of_the_rows_changes_nothing(frame: pd.DataFrame, random: Any) -> None:
    rows = list(range(len(frame)))
    random.shuffle(rows)
    columns = ["cost_usd", "calls", "runs", "input_tokens", "share", "p50_ms"]
    pd.testing.assert_frame_equal(
        costs(frame.iloc[rows], by="agent")[columns], costs(frame, by="agent")[columns], check_exact=True
    )


def test_costs_beyond_int64_pico_dollars_are_refused() -> None:
    frame = spans(*({"cost_usd": 1e300, **MINI} for _ in range(1000)), price=False)
    with pytest.raises(OverflowError, match="cannot be summed"):
        costs(frame, by="model")


@pytest.mark.parametrize("groups", [1, 3, 400])
def test_costs_percentiles_equal_pandas(groups: int) -> None:
    rng = np.random.default_rng(groups)
    agents = rng.integers(0, groups, 2000)
    took = np.round(rng.exponential(100, 2000), 3)
    frame = pd.concat(
        [EMPTY, pd.DataFrame({"trace_id": "t", "kind": "llm", "agent": agents.astype(str), "duration_ms": took})]
    )
    table = costs(frame, by="agent").set_index("agent").sort_index()
    expected = pd.Series(took).groupby(agents.astype(str)).quantile([0.5, 0.95]).unstack()
    np.testing.assert_allclose(table["p50_ms"], expected[0.5], rtol=1e-12)
    np.testing.assert_allclose(table["p95_ms"], expected[0.95], rtol=1e-12)


def test_the_columns_used_here_are_those_of_the_contract() -> None:
    assert len(SPANS) == 32
    assert np.all([name in SPANS for name in ("trace_id", "cost_usd", "saved_usd", "original_trace_id")])
