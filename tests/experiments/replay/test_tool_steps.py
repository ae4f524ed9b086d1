"""Tools after a changed answer: kept results, results of equal calls, functions and their refusals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import anton_notebook as anb
from anton_notebook.experiments.replay.tool_kinds import may_wait, reads_only, schema_problem
from anton_notebook.llm import Scripted
from anton_notebook.model.request import Request, Response, Usage
from tests.experiments.replay.test_dependencies import call, tool

USAGE = Usage(10, 5)


def turn(
    span_id: str, at: float, history: list[Any], *asked: tuple[str, dict[str, Any]], **more: Any
) -> dict[str, Any]:
    calls = [{"id": f"{span_id}{i}", "name": name, "arguments": given} for i, (name, given) in enumerate(asked)]
    more = {"tool_calls": calls, "finish_reason": "tool_calls", **more} if calls else {"finish_reason": "stop", **more}
    return call(span_id, at, at + 0.500001, prompt=list(history), answer="" if calls else "done", **more)


def extend(history: list[Any], line: dict[str, Any], *results: str) -> None:
    calls = [
        {"id": c["id"], "type": "function", "function": {"name": c["name"], "arguments": json.dumps(c["arguments"])}}
        for c in line["tool_calls"]
    ]
    history.append({"role": "assistant", "content": "", "tool_calls": calls})
    for one, result in zip(line["tool_calls"], results, strict=True):
        history.append({"role": "tool", "tool_call_id": one["id"], "content": result})


def conversation(
    *steps: tuple[str, dict[str, Any], str], first: dict[str, Any] | None = None, spans: bool = True
) -> list[dict[str, Any]]:
    """Turns with one tool call each (name, arguments, result), and a last answer."""
    history: list[Any] = [{"role": "user", "content": "go"}]
    lines, at = [], 1.0
    for number, (name, arguments, result) in enumerate(steps):
        line = turn(f"m{number}", at, history, (name, arguments), **(first or {}))
        lines.append(line)
        if spans or number:
            more = {"parameters": arguments, "result": result}
            lines.append(tool(f"t{number}", at + 0.600001, at + 0.700001, name, f"m{number}", **more))
        extend(history, line, result)
        at += 1.000001
    return [*lines, turn(f"m{len(steps)}", at, history)]


def replay(folder: Path, lines: list[dict[str, Any]], answers: dict[str, Any], **more: Any) -> Any:
    (folder / "t.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))

    def model(request: Request) -> Response:
        name, arguments = answers.get("first", ("read_file", {"path": "a"}))
        if len(request.messages) == 1:
            return Response("", [{"id": "new", "name": name, "arguments": arguments}], USAGE, "tool_calls")
        return Response("fine", usage=USAGE, finish_reason="stop")

    script = Scripted(model)
    with anb.read_traces(folder) as traces:
        cp = anb.checkpoint(traces.span("m0"), prompts={"m0": "otherwise"})
        frame = anb.replay(cp, provider=script, progress=False, **more)
    frame.attrs["requests"] = script.requests
    return frame


def words(frame: Any) -> dict[str, str]:
    return dict(zip(frame["span_id"], frame["provenance"].astype(str), strict=True))


READ = ("read_file", {"path": "a"}, "text of a")


def test_equal_arguments_keep_the_result(tmp_path: Path) -> None:
    frame = replay(tmp_path, conversation(READ), {})
    assert words(frame) == {"m0": "executed", "t0": "inferred", "m1": "inferred"}
    sent = frame.attrs["requests"][-1].messages
    assert [message["role"] for message in sent] == ["user", "assistant", "tool"]
    assert sent[0]["content"] == "go", "a later turn has the recorded prompt"
    assert sent[1]["tool_calls"][0]["id"] == sent[2]["tool_call_id"] == "new"
    assert sent[2]["content"] == "text of a"


def test_function_gives_the_result_and_is_never_executed(tmp_path: Path) -> None:
    heard: list[str] = []

    def read_file(path: str) -> str:
        heard.append(path)
        return "text of b"

    frame = replay(
        tmp_path, conversation(READ), {"first": ("read_file", {"path": "b"})}, tools={"read_file": read_file}
    )
    assert words(frame) == {"m0": "executed", "t0": "inferred", "m1": "inferred"}
    assert heard == ["b"]
    assert frame.attrs["requests"][-1].messages[-1]["content"] == "text of b"


def test_recorded_call_with_equal_arguments_gives_the_result(tmp_path: Path) -> None:
    lines = conversation(READ)
    before = [
        turn("x", 0.1, [{"role": "user", "content": "other"}], ("read_file", {"path": "b"})),
        tool("y", 0.700001, 0.800001, "read_file", "x", parameters={"path": "b"}, result="text of b"),
    ]
    frame = replay(tmp_path, [*before, *lines], {"first": ("read_file", {"path": "b"})})
    assert words(frame)["t0"] == "inferred"
    assert frame.set_index("span_id").loc["t0", "replayed"] == "text of b"
    assert frame.attrs["requests"][-1].messages[-1]["content"] == "text of b"


@pytest.mark.parametrize(
    ("lines", "first", "reason"),
    [
        (conversation(READ, READ, spans=False), ("read_file", {"path": "b"}), "has no span|answered a call"),
        (conversation(("bash", {"command": "ls"}, "a.txt")), ("bash", {"command": "rm -rf x"}), "another command"),
        (conversation(READ), ("read_file", {"path": "/etc/passwd"}), "absolute"),
        (conversation(READ), ("read_file", {"path": "../a"}), "absolute or hidden|upward path"),
        (conversation(READ), ("read_file", {"file": "b"}), "other names"),
        (conversation(READ), ("read_file", {"path": 7}), "another type"),
        (conversation(READ, ("write_file", {"path": "a"}, "ok")), ("read_file", {"path": "b"}), "may write"),
        (conversation(READ), ("remove_file", {"path": "a"}), "asks for other tools"),
    ],
    ids=["guard", "command", "absolute", "upward", "names", "type", "writing", "other tool"],
)
def test_function_is_refused(tmp_path: Path, lines: list[Any], first: Any, reason: str) -> None:
    def never(**arguments: Any) -> str:
        raise AssertionError(arguments)

    tools = {"read_file": never, "bash": never, "remove_file": never}
    frame = replay(tmp_path, lines, {"first": first}, tools=tools)
    rows = frame.set_index("span_id")
    assert "executed" not in set(rows["provenance"].drop("m0"))
    assert set(rows["provenance"].drop("m0")) == {"stale"}
    assert rows["reason"].drop("m0").str.contains(reason).any(), rows["reason"].tolist()


def test_schema_of_the_request_is_checked(tmp_path: Path) -> None:
    schema = {"type": "object", "properties": {"path": {"type": "string", "enum": ["a", "b"]}}, "required": ["path"]}
    tools = [{"type": "function", "function": {"name": "read_file", "parameters": schema}}]
    lines = [{**line, "tools": tools} if line["span_type"] == "llm_call" else line for line in conversation(READ)]
    fn = {"read_file": lambda path: "text of b"}
    assert words(replay(tmp_path, lines, {"first": ("read_file", {"path": "b"})}, tools=fn))["t0"] == "inferred"
    assert words(replay(tmp_path, lines, {"first": ("read_file", {"path": "c"})}, tools=fn))["t0"] == "stale"


def test_tool_after_a_changed_writing_tool_is_stale(tmp_path: Path) -> None:
    history: list[Any] = [{"role": "user", "content": "go"}]
    both = (("write_file", {"path": "a", "text": "1"}), ("read_file", {"path": "a"}))
    line = turn("m0", 1.0, history, *both)
    extend(history, line, "ok", "1")
    lines = [
        line,
        tool("t0", 1.600001, 1.700001, "write_file", "m0", parameters=both[0][1], result="ok"),
        tool("t1", 1.800001, 1.900001, "read_file", "m0", parameters=both[1][1], result="1"),
        turn("m1", 2.000001, history),
    ]
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(one) + "\n" for one in lines))
    calls = [
        {"id": "n0", "name": "write_file", "arguments": {"path": "a", "text": "2"}},
        {"id": "n1", "name": both[1][0], "arguments": both[1][1]},
    ]
    with anb.read_traces(tmp_path) as traces:
        cp = anb.checkpoint(traces.span("m0"), prompts={"m0": "otherwise"})
        tools = {"write_file": lambda path, text: "ok"}
        frame = anb.replay(
            cp, provider=Scripted([Response("", calls, USAGE, "tool_calls")]), tools=tools, progress=False
        )
    assert words(frame)["t1"] == "stale"


def test_more_tokens_than_any_continued_turn_may_be_compacted(tmp_path: Path) -> None:
    lines = conversation(READ)
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(one) + "\n" for one in lines))
    calls = [{"id": "n", "name": "read_file", "arguments": {"path": "a"}}]
    with anb.read_traces(tmp_path) as traces:
        cp = anb.checkpoint(traces.span("m0"), prompts={"m0": "otherwise"})
        answers = [Response("", calls, Usage(90_000, 5), "tool_calls")]
        frame = anb.replay(cp, provider=Scripted(answers), progress=False)
    assert words(frame) == {"m0": "executed", "t0": "inferred", "m1": "stale"}
    assert "compact" in frame["reason"].iloc[-1]


def test_tool_kinds_are_told_by_their_names() -> None:
    assert all(map(reads_only, ("read_file", "readFile", "list-dir", "grep", "web_search", "get_weather")))
    assert not any(map(reads_only, ("write_file", "bash", "run_sql_query", "edit", "frobnicate", "get_and_delete")))
    assert all(map(may_wait, ("wait_for_reply", "check_inbox", "get_time", "askUser")))
    assert not may_wait("read_file")


def test_schema_problem_names_the_argument() -> None:
    schema = {
        "type": "object",
        "properties": {"n": {"type": ["integer", "null"]}, "on": {"type": "boolean"}},
        "required": ["n"],
    }
    tools = [{"name": "x", "input_schema": schema}]
    assert schema_problem("x", {"n": 1, "on": True}, tools) is None
    assert schema_problem("x", {"n": None}, tools) is None
    assert "'n' is missing" in str(schema_problem("x", {}, tools))
    assert "'m' is not in" in str(schema_problem("x", {"n": 1, "m": 2}, tools))
    assert "'n' does not fit" in str(schema_problem("x", {"n": True}, tools))
    assert schema_problem("y", {"z": 1}, tools) is None
