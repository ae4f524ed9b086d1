"""opencode: cache beside the input, child sessions under their tool call, deleted messages, updates of rows."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

import anton_notebook as anb
from anton_notebook.sources.reader import Reader
from anton_notebook.store import Store

T0 = 1_770_000_000_000


class Database:
    def __init__(self, path: Path) -> None:
        self.db = sqlite3.connect(path)
        self.db.executescript(
            "PRAGMA journal_mode=WAL;"
            "CREATE TABLE session (id TEXT PRIMARY KEY, parent_id TEXT, title TEXT, time_created INT, time_updated INT);"
            "CREATE TABLE message (id TEXT PRIMARY KEY, session_id TEXT, time_created INT, time_updated INT, data TEXT);"
            "CREATE TABLE part (id TEXT PRIMARY KEY, message_id TEXT, session_id TEXT, time_created INT, time_updated INT, data TEXT)"
        )
        self.clock = T0

    def put(self, table: str, *values: Any) -> None:
        self.clock += 1000
        marks = ", ".join("?" * (len(values) + 2))
        at = -1 if table != "session" else len(values)
        row = [*values[:at], self.clock, self.clock, *values[at:]] if at < 0 else [*values, self.clock, self.clock]
        self.db.execute(f"INSERT OR REPLACE INTO {table} VALUES ({marks})", row)  # noqa: S608
        self.db.commit()

    def call(self, name: str, session: str = "s1", **more: Any) -> None:
        tokens = {"input": 10, "output": 5, "reasoning": 2, "cache": {"read": 100, "write": 20}}
        data = {
            "role": "assistant",
            "modelID": "gpt-5",
            "providerID": "openai",
            "agent": "build",
            "cost": 0,
            "tokens": tokens,
        }
        self.put("message", name, session, json.dumps({**data, "time": {"created": T0, "completed": T0 + 500}, **more}))

    def tool(self, name: str, message: str, status: str = "completed", session: str = "s1", **state: Any) -> None:
        state = {"status": status, "input": {"path": "a"}, "time": {"start": T0 + 100, "end": T0 + 200}, **state}
        self.put(
            "part",
            name,
            message,
            session,
            json.dumps({"type": "tool", "tool": "read", "callID": "c" + name, "state": state}),
        )


@pytest.fixture
def database(tmp_path: Path) -> Database:
    database = Database(tmp_path / "opencode.db")
    database.put("session", "s1", None, "Read a file")
    database.put("message", "m0", "s1", json.dumps({"role": "user"}))
    database.put("part", "p0", "m0", "s1", json.dumps({"type": "text", "text": "Please read"}))
    database.call("m1")
    database.tool("p1", "m1", output="text of a")
    database.put("part", "p2", "m1", "s1", json.dumps({"type": "step-finish", "tokens": {"input": 10}}))
    return database


def test_tokens_include_cache_and_reasoning_once(database: Database, tmp_path: Path) -> None:
    traces = anb.read_traces(tmp_path)
    names = ["input_tokens", "cached_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens"]
    assert traces.spans_df(kind="llm")[names].values.tolist() == [[130, 100, 20, 7, 2]]
    run = traces.runs_df().iloc[0]
    assert (run["name"], run["llm_calls"], run["tool_calls"]) == ("Read a file", 1, 1)
    assert traces.spans_df(kind="llm")["recorded_cost_usd"].isna().all()


def test_bodies_are_read_from_the_database(database: Database, tmp_path: Path) -> None:
    database.call("m2")
    traces = anb.read_traces(tmp_path)
    calls = traces.tool_calls_df()
    assert calls[["parameters", "result"]].values.tolist() == [[{"path": "a"}, "text of a"]]
    assert [message["role"] for message in traces.span("m2").request.messages] == ["user", "assistant", "tool"]


def test_child_session_is_an_agent_under_its_tool(database: Database, tmp_path: Path) -> None:
    database.tool("p3", "m1", output="done", metadata={"sessionId": "s2"})
    database.put("session", "s2", "s1", "Child session - x")
    database.call("m9", "s2", agent="explore")
    traces = anb.read_traces(tmp_path)
    assert traces.runs_df()[["llm_calls", "agents"]].values.tolist() == [[2, 2]]
    child = traces.span("s2")
    assert child.parent is not None
    assert (child.parent.span_id, str(child.agent)) == ("p3", "explore")


def test_failed_tool_and_call_are_errors(database: Database, tmp_path: Path) -> None:
    database.tool("p4", "m1", "error", error="no such file")
    database.call("m3", error={"name": "APIError", "data": {"message": "overloaded"}})
    frame = anb.read_traces(tmp_path).spans_df()
    assert sorted(frame[frame["status"] == "error"]["span_id"]) == ["m3", "p4"]


def test_live_reading_equals_reading_at_once(database: Database, tmp_path: Path) -> None:
    store = Store()
    reader = Reader([tmp_path], store)
    reader.scan()
    database.call("m4", tokens={}, time={"created": T0})
    reader.scan()
    database.call("m4")
    database.tool("p5", "m4")
    reader.scan()
    database.call("m5")
    reader.scan()
    database.db.execute("DELETE FROM message WHERE id = 'm5'")
    database.db.commit()
    reader.scan()
    reader.close()
    live = sorted((store.ids[row], int(store.c.input[row]), int(store.c.status[row])) for row in store.live_rows())
    again = Store()
    once = Reader([tmp_path], again)
    once.scan()
    once.close()
    expected = sorted((again.ids[row], int(again.c.input[row]), int(again.c.status[row])) for row in again.live_rows())
    assert live == expected
    assert [name for name, *_ in live] == ["m1", "m4", "p1", "p5", "s1"]


def test_row_that_is_no_json_is_one_problem(database: Database, tmp_path: Path) -> None:
    database.put("message", "bad", "s1", "{")
    traces = anb.read_traces(tmp_path)
    assert len(traces.problems_df()) == 1
    assert len(traces.spans_df(kind="llm")) == 1
