"""Independence of a changed call, on small traces written by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import anton_notebook as anb
from anton_notebook.experiments.replay import plan
from anton_notebook.llm import Scripted
from anton_notebook.model.request import Response, Usage


def call(
    span_id: str, start: float, end: float, agent: str = "a", prompt: Any = None, answer: str = "yes", **more: Any
) -> dict[str, Any]:
    messages = prompt if isinstance(prompt, list) else [{"role": "user", "content": prompt or f"ask {span_id}"}]
    return {
        "timestamp": f"2026-03-01T12:00:{start:09.6f}Z", "duration_ms": (end - start) * 1000, "trace_id": "t", "span_id": span_id,
        "parent_id": None, "agent_name": agent, "success": True, "span_type": "llm_call", "provider": "openai",
        "model": "gpt-4o", "parameters": {}, "tools": [], "messages": messages, "response": answer,
        "tokens": {"input": 10, "output": 5}, **more,
    }  # fmt: skip


def tool(span_id: str, start: float, end: float, name: str, parent: str | None = None, **more: Any) -> dict[str, Any]:
    return {
        "timestamp": f"2026-03-01T12:00:{start:09.6f}Z", "duration_ms": (end - start) * 1000, "trace_id": "t", "span_id": span_id,
        "parent_id": parent, "agent_name": "a", "success": True, "span_type": "tool_call", "tool_name": name, "parameters": {},
        "result": "text", **more,
    }  # fmt: skip


def provenance(folder: Path, lines: list[dict[str, Any]], change: str) -> dict[str, str]:
    (folder / "t.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    with anb.read_traces(folder) as traces:
        cp = anb.checkpoint(traces.span(change), prompts={change: "otherwise"})
        return {k: v for k, v in plan(cp, provider=Scripted([])).provenance.items() if k != change}


ROOT = call("root", 0.1, 5.1234)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (call("other", 0.103, 2.0, "b"), "reused"),
        (call("other", 1.00301, 2.0, "b"), "reused"),
        (call("other", 5.10201, 6.0, "b"), "stale"),
        (call("other", 6.00301, 7.0, "b"), "stale"),
        (tool("other", 1.00301, 2.0, "read_file"), "reused"),
        (tool("other", 1.00301, 5.6, "read_file"), "stale"),
        (tool("other", 1.00301, 2.0, "wait_for_reply"), "stale"),
        (call("other", 0.103, 2.0, "b", "ask root"), "stale"),
    ],
    ids=[
        "launched beside",
        "started while it runs",
        "within the slack",
        "after",
        "tool ended",
        "tool open",
        "waits",
        "hedge",
    ],
)
def test_call_is_reused_only_if_it_cannot_depend(tmp_path: Path, line: dict[str, Any], expected: str) -> None:
    assert provenance(tmp_path, [ROOT, line], "root") == {"other": expected}


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"parameters": {"stream": True}}, "stale"),
        ({"parameters": {"stream": False}}, "reused"),
        ({"parameters": None}, "stale"),
        ({"parameters": {"stream": True}, "attributes": {"gen_ai.server.time_to_first_token": 2000.0}}, "reused"),
    ],
    ids=["streamed", "not streamed", "unknown", "first byte known"],
)
def test_streamed_answer_may_be_used_from_its_first_byte(tmp_path: Path, more: dict[str, Any], expected: str) -> None:
    root = {key: value for key, value in {**ROOT, **more}.items() if value is not None}
    assert provenance(tmp_path, [root, call("other", 1.00301, 2.0, "b")], "root") == {"other": expected}


def test_call_after_another_end_may_follow_a_race(tmp_path: Path) -> None:
    lines = [ROOT, call("first", 0.103, 1.0, "b"), call("next", 1.00301, 2.0, "b")]
    assert provenance(tmp_path, lines, "root") == {"first": "reused", "next": "stale"}


@pytest.mark.parametrize(
    "lines",
    [
        [{**ROOT, "attributes": {"host.name": "x"}}, call("other", 0.5, 1.0, "b", attributes={"host.name": "y"})],
        [{**ROOT, "metadata": {"hostname": "x"}}, call("other", 0.5, 1.0, "b", metadata={"hostname": "y"})],
        [ROOT, call("other", 0.5, 1.0, "b"), {**call("child", 0.2, 0.4, "c"), "parent_id": "other"}],
        [ROOT, call("other", 0.5, 1.0, "b"), call("later", 3.0, 3.4, "c", "you said: a rather long answer", answer="no"),
         call("source", 2.5, 3.6, "d", answer="a rather long answer")],
        [call("other", 7.0, 9.0, "b"), ROOT, call("z", 4.0, 4.5), call("y", 3.0, 6.0)],
    ],
    ids=["hosts", "hosts in metadata", "child before parent", "answer before its end", "lines step back"],
)  # fmt: skip
def test_times_prove_nothing_if_the_clock_is_doubtful(tmp_path: Path, lines: list[dict[str, Any]]) -> None:
    assert set(provenance(tmp_path, lines, "root").values()) == {"stale"}


def test_earlier_turns_are_reused_without_a_clock(tmp_path: Path) -> None:
    calls = [{"id": "c", "name": "read_file", "arguments": {}}]
    message = {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"id": "c", "function": {"name": "read_file", "arguments": "{}"}}],
    }
    history = [{"role": "user", "content": "go"}, message, {"role": "tool", "tool_call_id": "c", "content": "text"}]
    one = call(
        "one", 1, 2, prompt="go", answer="", tool_calls=calls, finish_reason="tool_calls", attributes={"host.name": "x"}
    )
    lines = [
        one,
        tool("two", 3, 4, "read_file", "one"),
        call("three", 5, 6, prompt=history, attributes={"host.name": "y"}),
    ]
    assert provenance(tmp_path, lines, "three") == {"one": "reused", "two": "reused"}


def test_coarse_times_need_a_larger_distance(tmp_path: Path) -> None:
    root, other = call("root", 1, 2), call("other", 1, 4, "b")
    assert provenance(tmp_path, [root, other], "root") == {"other": "stale"}
    fine = [call("root", 1.000001, 2.000002), call("other", 1.000003, 4.000005, "b")]
    assert provenance(tmp_path, fine, "root") == {"other": "reused"}


@pytest.mark.parametrize(
    ("new", "expected"),
    [
        (Response("yes", usage=Usage(10, 5)), "reused"),
        (Response("yes", usage=Usage(90_000, 5)), "stale"),
        (Response("yes", usage=Usage(10, 5), finish_reason="length"), "stale"),
        (Response("no", usage=Usage(10, 5)), "stale"),
    ],
    ids=["same", "tokens", "finish reason", "text"],
)
def test_same_answer_has_the_same_usage_and_finish_reason(tmp_path: Path, new: Response, expected: str) -> None:
    lines = [call("root", 1.000001, 2.000002), call("next", 3.000001, 4.000002)]
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    with anb.read_traces(tmp_path) as traces:
        cp = anb.checkpoint(traces.span("root"), prompts={"root": "otherwise"})
        frame = anb.replay(cp, provider=Scripted([new]), progress=False)
    assert frame["provenance"].tolist() == ["executed", expected]
