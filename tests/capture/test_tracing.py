"""Traces of one's own program, and what is kept of experiments and branches: listed with sizes, and cleaned away."""

from __future__ import annotations

import asyncio
import json
import os
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import anton_notebook as anb
from anton_notebook.model.request import Usage
from anton_notebook.sources import writer

ASK = [{"role": "user", "content": "Hi"}]


def spans(folder: Path) -> dict[str, Any]:
    with anb.read_traces(folder) as traces:
        assert traces.problems_df().empty
        (one,) = traces
        return {span.name: span for span in one.spans}


def test_calls_tools_and_agents_are_spans_in_their_places(tmp_path: Path) -> None:
    with anb.trace("Fix the login", path=tmp_path) as t:
        t.llm(
            model="claude-haiku-4-5", messages=ASK, response="plan", system="You plan.", parameters={"max_tokens": 9},
            tools=[{"name": "look"}], tokens={"input": 10, "output": 2, "cached": 4}, duration_ms=1500, finish_reason="end_turn",
            tool_calls=[{"id": "1", "name": "look", "arguments": {"at": "x"}}],
        )  # fmt: skip
        with t.agent("coder"):
            with t.llm(model="gpt-4o", messages=ASK) as call:
                t.tool("read_file", {"path": "a"}, {"text": [1]}, duration_ms=5)
                call.answer("done", tokens=Usage(3, 1, 0))
    found = spans(tmp_path)
    plan, coder, call, tool = (found[n] for n in ("claude-haiku-4-5", "coder", "gpt-4o", "read_file"))
    root = plan.parent
    assert root.kind == "orchestrator" and root.parent is None and root.status == "ok"
    assert (plan.agent, plan.provider, plan.duration_ms, plan.finish_reason) == (
        "orchestrator",
        "anthropic",
        1500,
        "end_turn",
    )
    assert (plan.input_tokens, plan.output_tokens, plan.cached_tokens) == (10, 2, 4)
    assert (
        plan.request.missing == ()
        and plan.request.system == "You plan."
        and plan.request.parameters == {"max_tokens": 9}
    )
    assert plan.response.tool_calls == [{"id": "1", "name": "look", "arguments": {"at": "x"}}]
    assert coder.kind == "agent" and coder.parent == root and call.parent == coder and call.agent == "coder"
    assert (
        tool.parent == call
        and tool.agent == "coder"
        and tool.record["result"] == {"text": [1]}
        and tool.duration_ms == 5
    )
    assert (call.input_tokens, call.output_tokens) == (3, 1)
    with anb.read_traces(tmp_path) as traces:
        run = traces.runs_df().iloc[0]
        assert (run["name"], run["status"], run["origin"], run["agents"]) == ("Fix the login", "ok", "run", 2)


def assert_children_inside_parents(folder: Path) -> None:
    with anb.read_traces(folder) as traces:
        assert traces.problems_df().empty
        for span in next(iter(traces)).spans:
            if span.parent is not None:
                assert span.parent.start <= span.start, span.name
                assert span.end <= span.parent.end, span.name


def test_trace_times_given_after_the_fact_stay_inside_the_parent(tmp_path: Path) -> None:
    with anb.trace("Late", path=tmp_path) as run, run.agent("coder"):
        run.llm(model="m1", messages=ASK, response="x", duration_ms=800)
        run.tool("t1", result=1, duration_ms=3_000)
        with run.llm(model="m2", messages=ASK) as call:
            call.answer("y", duration_ms=5_000)
        with anb.read_traces(tmp_path) as traces:
            started = {span.name: span.start for span in next(iter(traces)).spans}
            assert started["coder"] <= started["t1"]
    assert_children_inside_parents(tmp_path)


def test_trace_start_and_end_may_be_given(tmp_path: Path) -> None:
    noon = datetime(2026, 5, 4, 12, tzinfo=UTC)
    with anb.trace("Import", path=tmp_path) as run:
        run.llm(model="m1", messages=ASK, response="x", start=noon, end=noon + timedelta(seconds=2))
        run.tool("t1", result=1, start=noon.timestamp() + 2, duration_ms=250)
        run.tool("t2", result=1, end=noon, duration_ms=1_000)
        for wrong in ({"start": noon, "end": noon, "duration_ms": 1}, {"start": noon, "end": noon - timedelta(1)}):
            with pytest.raises(ValueError, match="start"):
                run.tool("t3", result=1, **wrong)
        with pytest.raises(ValueError, match="still running"):
            run.tool("t3", end=noon)
        with pytest.raises(TypeError, match="start must be"):
            run.tool("t3", result=1, start="noon")
    found = spans(tmp_path)
    assert (found["m1"].start, found["m1"].duration_ms) == (noon, 2_000)
    assert (found["t1"].start, found["t1"].duration_ms) == (noon + timedelta(seconds=2), 250)
    assert found["t2"].start == noon - timedelta(seconds=1)
    assert_children_inside_parents(tmp_path)


def test_it_is_seen_while_it_runs(tmp_path: Path) -> None:
    with anb.trace("Slow", path=tmp_path) as t:
        call = t.llm(model="gpt-4o", messages=ASK)
        with anb.read_traces(tmp_path) as traces:
            assert traces[t.trace_id].status == "running"
            assert traces.span(call.span_id).status == "running"
            call.answer("ok")
            traces.refresh()
            assert traces.span(call.span_id).status == "ok" and traces[t.trace_id].status == "running"
    assert spans(tmp_path)["gpt-4o"].response.text == "ok"


def test_an_exception_is_an_error_of_all_that_it_leaves_and_goes_on(tmp_path: Path) -> None:
    begun = []

    def program() -> None:
        with anb.trace("Fails", path=tmp_path) as t:
            t.tool("fine", result="ok")
            begun.append(t.tool("never"))
            with t.agent("coder"), t.llm(model="gpt-4o", messages=ASK):
                raise KeyError("why")

    with pytest.raises(KeyError, match="why"):
        program()
    found = spans(tmp_path)
    assert found["gpt-4o"].error == found["coder"].error == "KeyError: 'why'" and found["gpt-4o"].status == "error"
    assert found["fine"].status == "ok" and found["never"].error == "the trace ended before it did"
    assert begun[0].ended


def test_tasks_and_threads_have_their_own_places(tmp_path: Path) -> None:
    async def work(t: Any, name: str) -> None:
        async with t.agent(name):
            for _ in range(3):
                async with t.llm(model=f"m-{name}", messages=ASK) as call:
                    await asyncio.sleep(0.005)
                    call.answer(name)
                await asyncio.to_thread(t.tool, f"t-{name}", {}, "x")

    async def all_of_it() -> None:
        async with anb.trace("Many", path=tmp_path) as t:
            await asyncio.gather(*(work(t, f"a{i}") for i in range(5)))
            thread = threading.Thread(target=lambda: t.tool("alone", result=1))
            thread.start()
            thread.join()

    asyncio.run(all_of_it())
    with anb.read_traces(tmp_path) as traces:
        (one,) = traces
        for span in one.spans:
            if span.kind in ("llm", "tool") and span.name != "alone":
                assert span.agent == span.parent.name == span.name.split("-")[1], span
        assert {s.parent.kind for s in one.spans if s.name == "alone"} == {"orchestrator"}
        assert one.figures["llm_calls"] == 15 and one.figures["tool_calls"] == 16


def test_what_is_wrong_is_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="needs a name"):
        anb.trace("", path=tmp_path)
    with pytest.raises(FileNotFoundError, match="is no folder"):
        anb.trace("x", path=tmp_path / "none")
    with anb.trace("x", path=tmp_path) as t, pytest.raises(ValueError, match="'prompt' is not a known key"):
        t.llm(model="m", messages=ASK, response="a", tokens={"prompt": 3})


def test_a_full_disk_does_not_end_the_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with anb.trace("x", path=tmp_path) as t:
        monkeypatch.setattr(os, "write", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        with pytest.warns(UserWarning, match="No space left"):
            t.tool("a", result=1)
        t.tool("b", result=1)
        monkeypatch.undo()
        assert t.trouble is not None
        t.tool("c", result=1)
    assert {"a", "b", "c"} & set(spans(tmp_path)) == {"c"}


# -- what is kept


def write(folder: Path, prefix: str, trace_id: str, *, age: float = 0.0, **mark: Any) -> Path:
    with writer.create(folder / ".modular-agents" / "traces", prefix, mark) as out:
        for i in range(3):
            stamp = f"2026-01-01T00:00:0{i}+00:00"
            line = {
                "timestamp": stamp,
                "agent_name": "a",
                "span_id": f"{trace_id}{i}",
                "parent_id": None,
                "span_type": "llm_call",
            }
            out.write(
                {**line, "trace_id": trace_id, "model": "gpt-4o", "messages": ASK, "response": "x", "duration_ms": 1.0}
            )
    when = time.time() - age
    os.utime(out.path, (when, when))
    return out.path


DAY = 86400.0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path, "run", "recorded", age=90 * DAY, origin="run")
    write(tmp_path, "record", "of program", age=90 * DAY, origin="record")
    write(tmp_path, "branch", "b1", age=60 * DAY, origin="replay", original_trace_id="recorded", checkpoint_id="c")
    write(tmp_path, "branch", "b2", age=10 * DAY, origin="replay", original_trace_id="b1")
    write(
        tmp_path,
        "rerun",
        "r1",
        age=60 * DAY,
        origin="rerun",
        original_trace_id="recorded",
        original_span_id="recorded0",
    )
    return tmp_path


def test_branches_are_listed_with_their_sizes(folder: Path) -> None:
    frame = anb.branches(folder).set_index("trace_id")
    assert set(frame.index) == {"b1", "b2", "r1"} and set(frame["spans"]) == {3}
    for _, row in frame.iterrows():
        assert row["bytes"] == Path(row["source"]).stat().st_size
    assert frame["depth"].to_dict() == {"b1": 1, "b2": 2, "r1": 1}
    assert frame.loc["b2", "original_trace_id"] == "b1" and frame.loc["r1", "original_span_id"] == "recorded0"
    with anb.read_traces(folder) as traces:
        assert set(anb.branches(traces)["trace_id"]) == {"b1", "b2", "r1"}


def test_cleaning_says_first_and_removes_then_and_never_a_recording(folder: Path) -> None:
    traces = folder / ".modular-agents" / "traces"
    before = {path: path.read_bytes() for path in traces.iterdir()}
    said = anb.clean(folder, older_than="30 days").set_index("trace_id")
    assert {path: path.read_bytes() for path in traces.iterdir()} == before, "nothing is removed unasked"
    assert said["removed"].to_dict() == {"b1": False, "b2": False, "r1": True}
    assert said.loc["b1", "reason"] == "a branch of it is kept" and said.loc["b2", "reason"] == "not old enough"
    done = anb.clean(folder, older_than="30 days", dry_run=False)
    assert done.attrs["bytes"] == said.loc["r1", "bytes"]
    left = {path: path.read_bytes() for path in traces.iterdir()}
    assert set(before) - set(left) == {Path(said.loc["r1", "source"])} and all(before[p] == left[p] for p in left)
    assert set(anb.clean(folder, dry_run=False).query("removed")["trace_id"]) == {"b1", "b2"}
    assert sorted(p.name.split("_")[0] for p in traces.iterdir()) == ["record", "run"]


def test_what_only_looks_like_ours_is_left_alone(folder: Path) -> None:
    traces = folder / ".modular-agents" / "traces"
    anb.clean(folder, dry_run=False)
    fake = traces / "branch_20260101_000000_0123abcd.jsonl"
    recorded = next(traces.glob("run_*")).read_text()
    ours = json.dumps({"trace_id": "x", "span_id": "s", "anton_notebook": {"version": 1, "origin": "replay"}}) + "\n"
    for text in (recorded, ours + recorded, "no json\n" + ours, "", ours.replace('"x"', '"y"') + ours):
        fake.write_text(text)
        os.utime(fake, (1, 1))
        assert anb.clean(folder, dry_run=False).empty and fake.read_text() == text
    fake.unlink()
    fake.symlink_to(next(traces.glob("run_*")))
    assert anb.clean(folder, dry_run=False).empty and fake.is_symlink()
    fake.unlink()
    fake.write_text(ours + '{"torn')
    os.utime(fake, (1, 1))
    assert anb.clean(folder, dry_run=False)["removed"].tolist() == [True] and not fake.exists()


def test_a_branch_that_is_being_written_or_holds_a_checkpoint_stays(folder: Path) -> None:
    write(folder, "branch", "new", origin="replay", original_trace_id="recorded")
    with anb.read_traces(folder) as traces:
        anb.checkpoint(traces.span("r10", "r1"))
    frame = anb.clean(folder, dry_run=False).set_index("trace_id")
    assert frame["removed"].to_dict() == {"b1": True, "b2": True, "r1": False, "new": False}
    assert frame.loc["new", "reason"] == "written to just now" and frame.loc["r1", "reason"] == "it has a checkpoint"


def test_an_age_that_is_none_is_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match="neither a time nor a duration"):
        anb.clean(folder, older_than="old")
