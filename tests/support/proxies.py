"""Databases as anton's proxy writes them: a row when a request goes out, an update when the answer comes, each its own transaction."""

from __future__ import annotations

import json
import sqlite3
import uuid
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

SCHEMA = """
CREATE TABLE traces (trace_id TEXT PRIMARY KEY, task_id TEXT, created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
    task_description TEXT, status TEXT DEFAULT 'running');
CREATE TABLE llm_calls (call_id TEXT PRIMARY KEY, trace_id TEXT NOT NULL, parent_id TEXT,
    created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP, provider TEXT NOT NULL, model TEXT NOT NULL, messages JSON NOT NULL,
    response TEXT, finish_reason TEXT, duration_ms REAL, tokens_input INTEGER, tokens_output INTEGER, cost_usd REAL,
    agent_name TEXT, error TEXT);
CREATE TABLE call_graph (edge_id TEXT PRIMARY KEY, trace_id TEXT NOT NULL, from_call_id TEXT NOT NULL,
    to_call_id TEXT NOT NULL, edge_type TEXT);
CREATE INDEX idx_llm_calls_trace ON llm_calls(trace_id);
CREATE INDEX idx_llm_calls_created ON llm_calls(created_at);
"""
BEGIN = datetime(2026, 3, 1, 12, 0, 0)
ANSWER = '{"status": "completed"}'


def system(agent: str, path: str | None = "/work/shop") -> dict[str, Any]:
    """The system message of an agent."""
    if agent == "orchestrator":
        where = f"## Repository Overview\n- **Path**: {path}\n" if path else ""
        return {"role": "system", "content": f"You are the Orchestrator Agent for a Python codebase.\n\n{where}"}
    return {"role": "system", "content": f'You are a specialist agent for the "{agent}" module.\n\nBe brief.'}


def user(text: str) -> dict[str, Any]:
    """A message of the user."""
    return {"role": "user", "content": text}


def called(name: str, result: str) -> list[dict[str, Any]]:
    """A tool call in anton's own wording."""
    return [
        {"role": "assistant", "content": f"Calling tool: {name}"},
        user(f"Tool result from {name}:\n{result}"),
    ]


class Proxy:
    """Writes one database. Times are `BEGIN` plus seconds in UTC; rows hold local time, `ahead` hours before it."""

    def __init__(self, path: Path, *, schema: str = SCHEMA, wal: bool = False, ahead: float = 0.0) -> None:
        self.path = path
        self.ahead = ahead
        self.db = sqlite3.connect(path, isolation_level=None)
        if wal:
            self.db.execute("PRAGMA journal_mode=WAL")
        self.db.executescript(schema)

    def begin(
        self,
        messages: list[dict[str, Any]] | str,
        *,
        at: float = 0.0,
        task: str | None = "task-1",
        call: str | None = None,
        model: str = "gpt-4o",
        provider: str = "openai",
        **more: Any,
    ) -> str:
        """A request goes out. Gives the call's id."""
        trace, call = str(uuid.uuid4()), call or str(uuid.uuid4())
        began = BEGIN + timedelta(seconds=at)
        self.db.execute(
            "INSERT INTO traces VALUES (?, ?, ?, NULL, 'running')", (trace, task, began.strftime("%Y-%m-%d %H:%M:%S"))
        )
        text = messages if isinstance(messages, str) else json.dumps(messages)
        local = (began + timedelta(hours=self.ahead)).isoformat(timespec="microseconds")
        self.db.execute(
            "INSERT INTO llm_calls (call_id, trace_id, created_at, provider, model, messages, agent_name) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            (call, trace, local, provider, model, text, more.get("agent_name", "unknown")),
        )
        return call

    def end(
        self,
        call: str,
        response: str | None = ANSWER,
        *,
        ms: float | None = 500.0,
        finish: str = "stop",
        error: str | None = None,
    ) -> None:
        """Its answer comes."""
        self.db.execute(
            "UPDATE llm_calls SET response=?, finish_reason=?, duration_ms=?, tokens_input=100, tokens_output=10, cost_usd=0.01, "
            "error=? WHERE call_id=?",
            (response, finish, ms, error, call),
        )

    def call(
        self, messages: list[dict[str, Any]] | str, response: str | None = ANSWER, *, at: float = 0.0, **more: Any
    ) -> str:
        """A request and its answer."""
        ending = {k: more.pop(k) for k in ("ms", "finish", "error") if k in more}
        call = self.begin(messages, at=at, **more)
        self.end(call, response, **ending)
        return call

    def close(self) -> None:
        """Ends the writing."""
        self.db.close()


def run_of(proxy: Proxy, task: str = "task-1", path: str | None = "/work/shop", at: float = 0.0) -> dict[str, str]:
    """A small run: the orchestrator plans, a module asks for two tools in two turns, and is asked again. Gives ids by name."""
    ids = {}
    plan = '{"subtasks": [{"module": "api", "description": "Implement the api part of it"}]}'
    asked = [
        system("orchestrator", path),
        user("Decompose this task into subtasks:\n\nTask: Add a cache\n\nModules:\n- api"),
    ]
    ids["plan"] = proxy.call(asked, plan, at=at, task=task)
    work = [
        system("api"),
        user("\n📋 Current Task:\n   Implement the api part of it\n\nTask: Implement the api part of it\n"),
    ]
    ids["one"] = proxy.call(work, None, finish="tool_calls", at=at + 1, task=task)
    work = [*work, *called("read_file", "def f(): ..."), *called("grep_codebase", "a.py:1: f")]
    ids["two"] = proxy.call(work, None, finish="tool_calls", at=at + 2, task=task)
    work = [*work, *called("read_file", "def f(): ...")]
    ids["three"] = proxy.call(work, "no JSON", at=at + 3, task=task)
    again = [system("api"), user("RETRY #1\n\nTask: Implement the api part of it\n")]
    ids["retry"] = proxy.call(again, at=at + 4, task=task)
    ids["sum"] = proxy.call(
        [*asked, {"role": "assistant", "content": plan}, user("Summarize")], "Done.", at=at + 5, task=task
    )
    return ids
