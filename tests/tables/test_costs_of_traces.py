"""Costs of traces that were read from disk agree with the store's own figures, and follow prices that are set."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import anton_notebook as anb
from anton_notebook import pricing
from anton_notebook.tables.cost_analysis import cheapest, cost_timeline, price_check
from anton_notebook.tables.costs import costs
from anton_notebook.tables.schema import KEY

CORPUS = Path(__file__).parents[3] / "shared" / "corpus" / "anton-jsonl"


@pytest.fixture(autouse=True)
def _only_the_bundled_prices() -> Iterator[None]:
    pricing.reset_prices()
    yield
    pricing.reset_prices()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two runs: agents under agents, a tool, a cached call, a local model, a cost that was recorded wrongly."""

    def line(i: int, **more: Any) -> dict[str, Any]:
        usual = {
            "timestamp": f"2026-01-01T{i // 60:02d}:{i % 60:02d}:00Z",
            "trace_id": "one",
            "span_id": f"s{i}",
            "parent_id": None,
            "agent_name": "orchestrator",
            "provider": "claude",
            "model": "claude-sonnet-4-20250514",
            "span_type": "llm_call",
            "duration_ms": 1000.0,
            "messages": [{"role": "user", "content": "x"}],
            "response": "y",
            "success": True,
        }
        return {**usual, **more}

    lines = [
        line(0, tokens={"input": 100_000, "output": 1_000}, cost_usd=0.315),
        line(1, agent_name="module_a", parent_id="s0", tokens={"input": 10_000, "output": 2_000}, cost_usd=0.5),
        line(
            2,
            agent_name="helper",
            parent_id="s1",
            provider="openai",
            model="gpt-4o",
            tokens={"input": 10_000, "output": 100},
        ),
        line(
            3,
            agent_name="module_b",
            parent_id="s0",
            provider="ollama",
            model="llama3.2:3b",
            tokens={"input": 9, "output": 9},
        ),
        {
            **line(4, agent_name="module_a", parent_id="s1"),
            "span_type": "tool_call",
            "tool_name": "read_file",
            "result": "ok",
        },
        line(70, trace_id="two", tokens={"input": 300_000, "output": 10}),
    ]
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(each) + "\n" for each in lines))
    return tmp_path


@pytest.mark.parametrize("by", [["agent"], ["model", "kind"], ["run"], ["hour"], ["tool"], ["phase"], ["name"], []])
def test_every_grouping_has_the_total_of_the_runs(folder: Path, by: list[str]) -> None:
    traces = anb.read_traces(folder)
    runs, table = traces.runs_df(), costs(traces, by=by)
    for ours, theirs in (
        ("cost_usd", "cost_usd"),
        ("recorded_cost_usd", "recorded_cost_usd"),
        ("calls", "llm_calls"),
        ("tool_calls", "tool_calls"),
        ("errors", "errors"),
        ("unpriced_calls", "unpriced_calls"),
        ("input_tokens", "input_tokens"),
    ):
        assert math.fsum(table[ours].dropna()) == pytest.approx(math.fsum(runs[theirs].dropna()), abs=1e-9), ours


def test_with_subagents_an_agent_has_the_total_of_its_node(folder: Path) -> None:
    frame = anb.read_traces(folder)["one"].spans_df()
    table = costs(frame, by="agent", subagents=True).set_index("agent")["cost_usd"]
    nodes = frame[frame["kind"].isin(["agent", "orchestrator"])]
    assert len(nodes) == 4
    for agent, total in zip(nodes["agent"], nodes["total_cost_usd"], strict=True):
        assert table[agent] == pytest.approx(total, nan_ok=True)


def test_a_price_that_is_set_changes_the_next_table(folder: Path) -> None:
    traces = anb.read_traces(folder)
    before = costs(traces, by="run").attrs[KEY]
    assert before["unpriced_calls"] == 1
    pricing.set_price("llama3*", input=1000, output=1000)
    after = costs(traces, by="run").attrs[KEY]
    assert after["unpriced_calls"] == 0
    assert after["total_cost_usd"] == pytest.approx(before["total_cost_usd"] + 0.018)


def test_one_run_of_many(folder: Path) -> None:
    run = anb.read_traces(folder)["one"]
    assert costs(run, by="run")["run"].tolist() == ["one"]
    assert cost_timeline(run)["cumulated_cost_usd"].iloc[-1] == pytest.approx(run.figures["cost_usd"])
    assert set(cheapest(run, ["gpt-4o-mini"])["agent"]) == {"orchestrator", "module_a", "helper", "module_b"}


def test_price_check_of_what_was_recorded(folder: Path) -> None:
    table = price_check(anb.read_traces(folder)).set_index("model")
    sonnet = table.loc["claude-sonnet-4-20250514"]
    assert sonnet["recorded_usd"] == pytest.approx(0.815)
    assert sonnet["cost_usd"] == pytest.approx(0.315 + 0.06)
    assert sonnet["differing_calls"] == 1
    assert table.loc["llama3.2:3b", "reason"].startswith("no price is known")


@pytest.mark.skipif(not CORPUS.exists(), reason="the corpus is not here")
def test_golden_costs_of_the_corpus() -> None:
    """20 calls in 5 runs. Tokens are estimated, 4 characters each; dearest agent and every model as counted by hand."""
    table = costs(anb.read_traces(CORPUS, tz="UTC"), by="model")
    assert dict(zip(table["model"], table["calls"], strict=True)) == {
        "claude-3-5-sonnet-20241022": 6,
        "claude-sonnet-4-20250514": 6,
        "gpt-4o": 6,
        "gpt-4o-mini": 1,
        "qwen2.5-coder-14b-instruct": 1,
    }
    for model, given, out in (
        ("claude-3-5-sonnet-20241022", 3, 15),
        ("claude-sonnet-4-20250514", 3, 15),
        ("gpt-4o", 2.5, 10),
    ):
        row = table[table["model"] == model].iloc[0]
        assert row["cost_usd"] == pytest.approx(
            (row["input_tokens"] * given + row["output_tokens"] * out) / 1e6, rel=1e-9
        )
    assert table["estimated_calls"].sum() == 20
    assert table[table["model"] == "qwen2.5-coder-14b-instruct"]["cost_usd"].isna().all()
    assert pd.isna(table.iloc[-1]["cost_usd"])
