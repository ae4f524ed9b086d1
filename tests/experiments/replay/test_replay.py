"""What a replay leaves behind: its frame, its branch, its money, its manners."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import anton_notebook as anb
from anton_notebook.errors import BudgetError, ReplayError
from anton_notebook.experiments.frames import REPLAY
from anton_notebook.experiments.replay import plan
from anton_notebook.llm import Scripted
from tests.experiments.replay.families import anton, copying
from tests.experiments.replay.programs import TOOLS, execute, model, record


class Priced(Scripted):
    """A script whose answers cost what OpenAI's do."""

    name = "openai"


def recorded(folder: Path, seed: int = 1, family: Any = anton) -> tuple[anb.Traces, dict[str, Any]]:
    made = execute(family(random.Random(seed)), model, TOOLS)
    record(made, folder / ".modular-agents" / "traces")
    return anb.read_traces(folder), made


def first_call(traces: anb.Traces) -> Any:
    return next(span for span in traces["trace"].spans if span.kind == "llm")


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("run_*.jsonl")}


@pytest.mark.parametrize("family", [anton, copying])
@pytest.mark.parametrize("seed", range(4))
def test_without_a_change_all_is_reused_and_equals_its_original(tmp_path: Path, seed: int, family: Any) -> None:
    traces, _ = recorded(tmp_path, seed, family)
    before = snapshot(tmp_path)
    script = Scripted([])
    df = anb.replay(anb.checkpoint(first_call(traces)), provider=script, progress=False)
    assert not script.requests
    assert set(df["provenance"]) == {"reused"}
    assert list(df.columns) == list(REPLAY)
    assert snapshot(tmp_path) == before
    one, two = traces["trace"], traces[df.attrs["new_trace_id"]]
    assert two.figures["origin"] == "replay" and two.figures["original_trace_id"] == "trace"
    ids = dict(zip(df["new_span_id"], df["span_id"], strict=True))
    columns = ["kind", "agent", "name", "status", "start", "end", "model", "input_tokens", "finish_reason", "depth"]
    left, right = one.spans_df().query("kind in ('llm', 'tool')"), two.spans_df().query("kind in ('llm', 'tool')")
    right = right.assign(span_id=right["span_id"].map(ids)).set_index("span_id").loc[left["span_id"]]
    pd.testing.assert_frame_equal(
        left.set_index("span_id")[columns].astype(object),
        right[columns].astype(object),
        check_names=False,
        check_index_type=False,
    )
    assert (right["cost_usd"].fillna(0) == 0).all()
    for new, old in ids.items():
        span, was = two.span(new), one.span(old)
        if was.kind == "llm":
            assert span.request == was.request and span.response == was.response
            assert span.request.missing == was.request.missing
        else:
            assert span.record.get("parameters") == was.record.get("parameters")
            assert span.record.get("result") == was.record.get("result")


def test_a_branch_of_a_branch_names_the_branch(tmp_path: Path) -> None:
    traces, _ = recorded(tmp_path)
    call = first_call(traces)
    df = anb.replay(anb.checkpoint(call, {call.span_id: "[plan] Otherwise"}), provider=Scripted(model), progress=False)
    branch = traces[df.attrs["new_trace_id"]]
    point = next(span for span in branch.spans if span.kind == "llm")
    again = anb.replay(anb.checkpoint(point), provider=Scripted([]), progress=False)
    assert again.attrs["original_trace_id"] == branch.trace_id
    assert traces[again.attrs["new_trace_id"]].figures["original_trace_id"] == branch.trace_id
    assert set(again["provenance"]) == {"reused"}


def test_every_line_says_how_it_came_about(tmp_path: Path) -> None:
    traces, _ = recorded(tmp_path)
    call = first_call(traces)
    df = anb.replay(anb.checkpoint(call, {call.span_id: "[plan] Otherwise"}), provider=Scripted(model), progress=False)
    spans = traces[df.attrs["new_trace_id"]].spans_df().set_index("span_id").loc[df["new_span_id"]]
    assert spans["provenance"].astype(str).tolist() == df["provenance"].astype(str).tolist()
    assert spans["original_span_id"].tolist() == df["span_id"].tolist()
    assert df["reason"].str.len().gt(0).all()
    assert df["provenance"].iloc[0] == "executed"
    assert "stale" in set(df["provenance"])
    stale = df[df["provenance"] == "stale"]
    assert stale["replayed"].isna().all() and (stale["cost_usd"].fillna(0) == 0).all()


def test_the_plan_says_what_would_be_done_and_sends_nothing(tmp_path: Path) -> None:
    traces, _ = recorded(tmp_path)
    call = first_call(traces)
    cp = anb.checkpoint(call, {call.span_id: "[plan] Otherwise"})
    script = Scripted(model)
    planned = plan(cp, provider=script, tools=TOOLS)
    assert not script.requests
    df = anb.replay(cp, provider=script, tools=TOOLS, progress=False)
    assert planned.quote.calls == len(script.requests)
    assert dict(zip(df["span_id"], df["provenance"].astype(str), strict=True)) == planned.provenance


def test_nothing_is_sent_without_a_price_where_there_is_a_budget(tmp_path: Path) -> None:
    traces, _ = recorded(tmp_path)
    call = first_call(traces)
    cp = anb.checkpoint(call, {call.span_id: "Otherwise"})
    script = Priced(model)
    with pytest.raises(BudgetError, match="set_price"):
        anb.replay(cp, provider=script, model="nobody-knows-it", budget=1.0, progress=False)
    assert not script.requests
    df = anb.replay(cp, provider=script, budget=0.0, progress=False)
    assert not script.requests
    assert df["error"].iloc[0] == "budget"


def test_a_prompt_before_the_point_or_of_a_tool_is_refused_by_name(tmp_path: Path) -> None:
    traces, _ = recorded(tmp_path)
    calls = [span for span in traces["trace"].spans if span.kind == "llm"]
    with pytest.raises(ValueError, match=calls[0].span_id):
        anb.checkpoint(calls[-1], {calls[0].span_id: "x"})


def test_R7_a_tool_is_never_run_without_a_function(tmp_path: Path) -> None:
    runs = (execute(anton(random.Random(seed)), model, TOOLS) for seed in range(50))
    made = next(run for run in runs if any(one.kind == "tool" for one in run.values()))
    record(made, tmp_path / ".modular-agents" / "traces")
    traces = anb.read_traces(tmp_path)
    tool = next(span for span in traces["trace"].spans if span.kind == "tool")
    cp = anb.checkpoint(tool)
    with pytest.raises(ReplayError, match="read_file"):
        anb.replay(cp, fresh=True, provider=Scripted([]), progress=False)
    heard: list[str] = []

    def read_file(path: str) -> str:
        heard.append(path)
        return TOOLS["read_file"](path)

    df = anb.replay(cp, tools={"read_file": read_file}, fresh=True, provider=Scripted([]), progress=False)
    assert heard == [tool.record["parameters"]["path"]]
    assert df.set_index("span_id").loc[tool.span_id, "provenance"] == "inferred"
    assert set(df["provenance"]) == {"inferred", "reused"}


def test_a_changed_result_of_a_tool_reaches_the_turn_that_reads_it(tmp_path: Path) -> None:
    talk: list[Any] = [{"role": "user", "content": "[tool] Read it"}]
    made = execute(lambda run: run.loop("worker", talk), model, TOOLS)
    record(made, tmp_path / ".modular-agents" / "traces")
    traces = anb.read_traces(tmp_path)
    tool = next(span for span in traces["trace"].spans if span.kind == "tool")
    script = Scripted(model)
    tools = {"read_file": lambda path: "something new"}
    df = anb.replay(anb.checkpoint(tool), tools=tools, fresh=True, provider=script, progress=False)
    assert df["provenance"].tolist()[:3] == ["reused", "inferred", "inferred"]
    assert script.requests[0].messages[-1]["content"] == "something new"
    assert script.requests[0].messages[:-1] == made["3"].sent[:-1]


def test_the_caller_may_declare_independence(tmp_path: Path) -> None:
    traces, _ = recorded(tmp_path)
    call = first_call(traces)
    cp = anb.checkpoint(call, {call.span_id: "[plan] Otherwise"})
    df = anb.replay(cp, provider=Scripted(model), assume_independent=["orchestrator"], progress=False)
    last = df.iloc[-1]
    assert (last["agent"], last["provenance"]) == ("orchestrator", "reused")
    assert "declared" in last["reason"]
    with pytest.raises(ReplayError, match="did you mean 'orchestrator'"):
        anb.replay(cp, provider=Scripted(model), assume_independent=["orchestratr"], progress=False)


def test_rows_cost_what_the_lines_say(tmp_path: Path) -> None:
    traces, _ = recorded(tmp_path)
    call = first_call(traces)
    df = anb.replay(anb.checkpoint(call, {call.span_id: "[plan] Otherwise"}), provider=Priced(model), progress=False)
    branch = traces[df.attrs["new_trace_id"]].spans_df().set_index("span_id")
    llm = df[df["kind"] == "llm"]
    assert llm["cost_usd"].tolist() == pytest.approx(branch.loc[llm["new_span_id"], "cost_usd"].tolist())
    sent = llm["duration_ms"].notna()
    assert (llm.loc[sent, "cost_usd"] > 0).all() and (llm.loc[~sent, "cost_usd"] == 0).all()
    assert json.dumps(df.attrs["caution"]).count("structural steps") == 1
