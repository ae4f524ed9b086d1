"""Gemini CLI: documents and lines of changes, thoughts beside the output, one session over several files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import anton_notebook as anb
from anton_notebook.sources.reader import Reader
from anton_notebook.store import Store
from tests.support.transcripts import stamp

ABOUT = {"sessionId": "s-1", "projectHash": "p", "startTime": stamp(0), "lastUpdated": stamp(9)}


def user(name: str, second: int, text: str) -> dict[str, Any]:
    return {"id": name, "timestamp": stamp(second), "type": "user", "content": text}


def answer(name: str, second: int, *tools: dict[str, Any], **tokens: int) -> dict[str, Any]:
    message = {
        "id": name,
        "timestamp": stamp(second),
        "type": "gemini",
        "content": "Done.",
        "model": "gemini-2.5-flash",
    }
    return {**message, "tokens": tokens, "toolCalls": list(tools)}


def tool(name: str, status: str, text: str, **more: str) -> dict[str, Any]:
    part = {"functionResponse": {"id": name, "name": "shell", "response": {"output": text}}}
    return {"id": name, "name": "shell", "args": {"command": "ls"}, "result": [part], "status": status, **more}


MESSAGES = [
    user("u1", 1, "List the files"),
    answer("a1", 3, tool("t1", "error", "no shell"), tool("t2", "cancelled", ""), input=100, output=20, cached=40, thoughts=5),
    answer("a2", 6, input=200, output=10, cached=100, thoughts=0),
]  # fmt: skip


def document(path: Path, messages: list[dict[str, Any]], **about: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**ABOUT, **about, "messages": messages}, indent=2))


def totals(traces: anb.Traces) -> list[tuple[int, ...]]:
    frame = traces.spans_df(kind="llm").sort_values("start")
    names = ["input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens"]
    return [tuple(int(value) for value in row) for row in frame[names].fillna(0).itertuples(index=False)]


EXPECTED = [(100, 40, 25, 5), (200, 100, 10, 0)]


def test_thoughts_are_part_of_the_output(tmp_path: Path) -> None:
    document(tmp_path / "session-a.json", MESSAGES)
    traces = anb.read_traces(tmp_path)
    assert totals(traces) == EXPECTED
    run = traces.runs_df().iloc[0]
    assert (run["name"], run["llm_calls"], run["tool_calls"], run["errors"]) == ("List the files", 2, 2, 1)
    assert traces.spans_df(kind="llm")["cost_usd"].gt(0).all()


def test_tools_and_requests_are_read_from_disk(tmp_path: Path) -> None:
    document(tmp_path / "session-a.json", MESSAGES)
    traces = anb.read_traces(tmp_path)
    calls = traces.tool_calls_df()
    assert calls["parameters"].tolist() == [{"command": "ls"}] * 2
    assert calls["error"].fillna("").tolist() == ["no shell", ""]
    request = traces.span("a2").request
    assert [message["role"] for message in request.messages] == ["user", "assistant", "tool", "tool"]
    assert set(request.missing) >= {"system", "tools"}


def test_two_files_of_one_session_are_one_run(tmp_path: Path) -> None:
    document(tmp_path / "session-a.json", MESSAGES)
    document(tmp_path / "session-b.json", [user("u2", 20, "More"), answer("a3", 22, input=7, output=1)])
    frame = anb.read_traces(tmp_path).runs_df()
    assert frame[["llm_calls", "input_tokens", "name"]].values.tolist() == [[3, 307, "List the files"]]


def test_copied_file_changes_no_figure(tmp_path: Path) -> None:
    document(tmp_path / "session-a.json", MESSAGES)
    document(tmp_path / "session-b.json", MESSAGES[:2], lastUpdated=stamp(4))
    assert totals(anb.read_traces(tmp_path)) == EXPECTED


def test_failed_request_is_an_error_of_the_run(tmp_path: Path) -> None:
    failed = {"id": "e1", "timestamp": stamp(8), "type": "error", "content": "quota exceeded"}
    document(tmp_path / "session-a.json", [*MESSAGES, failed])
    root = anb.read_traces(tmp_path).span("s-1")
    assert (str(root.status), root.error) == ("error", "quota exceeded")


def test_sub_agent_hangs_under_its_tool_call(tmp_path: Path) -> None:
    started = answer("a1", 3, tool("t1", "success", "ok", agentId="child"), input=1, output=1)
    document(tmp_path / "chats" / "session-a.json", [MESSAGES[0], started])
    path = tmp_path / "chats" / "s-1" / "child.json"
    document(path, [answer("c1", 4, input=2, output=2)], sessionId="child", kind="subagent")
    traces = anb.read_traces(tmp_path)
    assert len(traces.runs_df()) == 1
    child = traces.span("child")
    assert child.parent is not None
    assert child.parent.span_id == "t1"


LINES = [
    ABOUT,
    MESSAGES[0],
    answer("a1", 3, input=100),
    MESSAGES[1],
    user("u9", 4, "Wrong way"),
    answer("a9", 5, input=999, output=9),
    {"$rewindTo": "u9"},
    MESSAGES[2],
    {"$set": {"summary": "Files"}},
]


@settings(max_examples=25, deadline=None)
@given(cuts=st.lists(st.integers(0, 3000), max_size=6))
def test_any_split_of_the_bytes_gives_the_same_run(tmp_path_factory: pytest.TempPathFactory, cuts: list[int]) -> None:
    path = tmp_path_factory.mktemp("gemini") / "session-a.jsonl"
    data = b"".join(json.dumps(line).encode() + b"\n" for line in LINES)
    store = Store()
    reader = Reader([path.parent], store, wait=True)
    for cut in [*sorted(min(cut, len(data)) for cut in cuts), len(data)]:
        path.write_bytes(data[:cut])
        reader.scan()
    reader.close()
    live = sorted((store.ids[row], int(store.c.input[row])) for row in store.live_rows())
    assert live == [("a1", 100), ("a2", 200), ("s-1", -1), ("t1", -1), ("t2", -1)]
    assert [info.name for info in store.traces if info.name] == ["Files"]


def test_half_written_document_keeps_what_was_read(tmp_path: Path) -> None:
    path = tmp_path / "session-a.json"
    document(path, MESSAGES[:2])
    store = Store()
    reader = Reader([tmp_path], store)
    reader.scan()
    before = len(store.live_rows())
    whole = path.read_text()
    path.write_text(whole[: len(whole) // 2])
    reader.scan()
    assert len(store.live_rows()) == before
    document(path, MESSAGES)
    reader.scan()
    reader.close()
    assert len(store.live_rows()) == before + 1
    assert not reader.problems.sources
