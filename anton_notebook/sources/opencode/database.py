"""One database of opencode, opened read-only. After a change only rows that were updated since are read again."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from typing import Any

from anton_notebook.errors import BodyUnavailable
from anton_notebook.model.span import AGENT, LLM, NAT, ORCHESTRATOR, TOOL, Problem, Status
from anton_notebook.model.usage import Usage, count
from anton_notebook.sources.opencode import queries
from anton_notebook.sources.opencode.queries import MessageRow, SessionRow, ToolRow, fetch
from anton_notebook.sources.proxy.sqlite_reader import Refused, SqliteFile
from anton_notebook.sources.transcripts.spans import YOUNG, Segment, TranscriptSpan, put_spans
from anton_notebook.store import Store

KIND = "opencode"
NAMED = 200
_UNNAMED = ("New session - ", "Child session - ")


class OpencodeDb:
    """Reads sessions as runs, child sessions as agents under the tool call that started them."""

    def __init__(self, path: str, store: Store, report: Callable[[Problem], None]) -> None:
        self.path = path
        self._store, self._report = store, report
        self._db = SqliteFile(path)
        self._file = self._tool_file = -1
        self._stamp: Any = None
        self._since = 0
        self._ids: list[str] = []
        self._sessions: dict[str, SessionRow] = {}
        self._calls: dict[str, MessageRow] = {}
        self._tools: dict[str, ToolRow] = {}
        self._starters: dict[str, str] = {}
        self._reported: set[str] = set()

    def read(self) -> bool:
        """Read what was written since; returns whether anything was."""
        look = self._db.look()
        if look is None:
            if self._file >= 0 and self._stamp is not None:
                self._store.mark_file_gone(self._file)
                self._store.mark_file_gone(self._tool_file)
                self._stamp = None
                return True
            return False
        if look.stamp == self._stamp:
            return False
        if self._db.replaced():
            self._since = 0
        try:
            self._take()
        except Refused as refused:
            if not refused.soon:
                self._stamp = None if refused.passing else look.stamp
                self._complain(refused.reason)
            return False
        self._stamp = look.stamp if look.settled else None
        return True

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    def _complain(self, reason: str) -> None:
        if reason not in self._reported:
            self._reported.add(reason)
            self._report(Problem(self.path, None, None, reason, None, None))

    def _take(self) -> None:
        since = self._since
        sessions = [SessionRow(*row) for row in fetch(self._db, queries.SESSIONS)]
        messages = [MessageRow(*row) for row in fetch(self._db, queries.MESSAGES, since)]
        tools = [ToolRow(*row) for row in fetch(self._db, queries.TOOLS, since)]
        present = {row[0] for row in fetch(self._db, queries.MESSAGE_IDS)}
        for table in ("message", "part"):
            for (name,) in fetch(self._db, queries.BROKEN.format(table=table)):
                self._complain(f"the row {name} of its table {table} is no JSON")
        if self._file < 0:
            self._file = self._store.add_file(self.path, self.load, KIND)
            self._tool_file = self._store.add_file(self.path, self.load_tool, KIND)
        times = [row.updated for row in messages] + [row.updated for row in tools]
        self._since = max([since, *(when for when in times if isinstance(when, int))])
        self._remove(present, {row.id for row in sessions})
        self._sessions = {row.id: row for row in sessions}
        self._starters.update({row.child: row.id for row in tools if isinstance(row.child, str)})
        self._calls.update({row.id: row for row in messages if row.role == "assistant"})
        self._tools.update({row.id: row for row in tools})
        spans = [self._call(row) for row in messages if row.role == "assistant"]
        spans += [self._tool(row) for row in tools]
        spans += [self._root(row) for row in sessions]
        put_spans(self._store, spans)

    def _remove(self, present: set[str], sessions: set[str]) -> None:
        """Remove what was deleted: sessions, and the calls and tools of messages."""
        for name in self._sessions.keys() - sessions:
            self._store.take_back(self._trace(name), name)
        for name in self._calls.keys() - present:
            self._store.take_back(self._trace(self._calls.pop(name).session), name)
        for tool in [tool for tool in self._tools.values() if tool.message not in present]:
            self._store.take_back(self._trace(tool.session), tool.id)
            del self._tools[tool.id]

    def _trace(self, session: str) -> str:
        """The topmost session above a session."""
        seen = {session}
        while (row := self._sessions.get(session)) is not None and row.parent and row.parent not in seen:
            session = row.parent
            seen.add(session)
        return session

    def _place(self, file: int, name: str) -> Segment:
        self._ids.append(name)
        return Segment(file, len(self._ids) - 1, 0, 0)

    def _call(self, row: MessageRow) -> TranscriptSpan:
        failed = row.error is not None
        running = row.completed is None and not failed and _is_young(row.updated)
        return TranscriptSpan(
            self._trace(row.session), row.id, row.session, LLM, _word(row.agent) or "opencode", _word(row.model) or LLM,
            _time(row.created), _time(row.completed),
            Status.ERROR if failed else Status.RUNNING if running else Status.OK,
            provider=_word(row.provider), model=_word(row.model), finish_reason=_word(row.finish),
            error=str(row.error_text or row.error) if failed else None, usage=_usage(row),
            # A cost of 0 is written for models without a known price.
            recorded_cost=float(row.cost) if isinstance(row.cost, int | float) and row.cost > 0 else math.nan,
            place=self._place(self._file, row.id),
        )  # fmt: skip

    def _tool(self, row: ToolRow) -> TranscriptSpan:
        failed = row.status == "error"
        running = row.status in ("pending", "running") and _is_young(row.updated)
        call = self._calls.get(row.message)
        start = _time(row.start)
        return TranscriptSpan(
            self._trace(row.session), row.id, row.message, TOOL, (_word(call.agent) if call else "") or "opencode",
            _word(row.name) or TOOL, _time(call.created) if start == NAT and call else start, _time(row.end),
            Status.ERROR if failed else Status.RUNNING if running else Status.OK,
            error=str(row.error or "the tool failed") if failed else None,
            place=self._place(self._tool_file, row.id),
        )  # fmt: skip

    def _root(self, row: SessionRow) -> TranscriptSpan:
        calls = [call for call in self._calls.values() if call.session == row.id]
        running = any(call.completed is None and call.error is None and _is_young(call.updated) for call in calls)
        trace = self._trace(row.id)
        is_child = trace != row.id
        agent = next((_word(call.agent) for call in calls if call.agent), "") or "opencode"
        if not is_child:
            title = row.title or ""
            if not title or title.startswith(_UNNAMED):
                title = next((str(prompt) for (prompt,) in fetch(self._db, queries.PROMPT, row.id) if prompt), title)
            name = " ".join(title.split())[:NAMED] or row.id
            self._store.describe(self._store.trace_code(trace), name=name, verdict="running" if running else None)
        return TranscriptSpan(
            trace, row.id, self._starters.get(row.id, row.parent) if is_child else None,
            AGENT if is_child else ORCHESTRATOR, agent, agent, _time(row.created), _time(row.updated),
            Status.RUNNING if running else Status.OK,
        )  # fmt: skip

    # -- bodies

    def load(self, offset: int, length: int) -> Mapping[str, Any]:
        """Build the record of a call; `offset` is its number in the order of reading."""
        name = self._ids[offset]
        call = self._calls.get(name)
        if call is None:
            raise BodyUnavailable(f"{self.path} no longer holds this message")
        groups: dict[str, tuple[dict[str, Any], list[dict[str, Any]]]] = {}
        for key, data, part in self._rows(queries.BODIES, call.session):
            groups.setdefault(key, (_object(data), []))[1].append(_object(part))
        if name not in groups:
            raise BodyUnavailable(f"{self.path} no longer holds this message")
        messages: list[dict[str, Any]] = []
        for key, (data, parts) in groups.items():
            if key == name:
                break
            messages += _messages(data, parts)
        answer = next((message for message in _messages(*groups[name]) if message["role"] == "assistant"), "")
        return {
            "provider": _word(call.provider),
            "model": _word(call.model),
            "messages": messages,
            "response": answer,
            "finish_reason": _word(call.finish),
            "missing": ["system", "tools", "parameters"],
        }

    def load_tool(self, offset: int, length: int) -> Mapping[str, Any]:
        """Build the record of a tool call."""
        rows = self._rows(queries.PART, self._ids[offset])
        if not rows:
            raise BodyUnavailable(f"{self.path} no longer holds this tool call")
        part = _object(rows[0][0])
        state = _inner(part, "state")
        return {
            "tool_name": part.get("tool"),
            "parameters": state.get("input"),
            "result": state.get("output"),
            "error": state.get("error"),
        }

    def _rows(self, query: str, name: str) -> list[tuple[Any, ...]]:
        try:
            return fetch(self._db, query, name)
        except Refused as refused:
            raise BodyUnavailable(f"{self.path} {refused.reason}") from refused


def _usage(row: MessageRow) -> Usage:
    read, written, thought = count(row.cache_read), count(row.cache_write), count(row.reasoning)
    given, answer = count(row.input), count(row.output)
    if row.completed is None and not any((read, written, thought, given, answer)):
        return Usage()
    return Usage(
        None if given is None else given + (read or 0) + (written or 0),
        None if answer is None else answer + (thought or 0),
        read,
        cache_write_tokens=written,
        reasoning_tokens=thought,
    )


def _messages(data: dict[str, Any], parts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A message and the results of its tools as chat completions have them; reasoning is left out."""
    content = "\n".join(str(part.get("text") or "") for part in parts if part.get("type") == "text")
    if data.get("role") != "assistant":
        return [{"role": "user", "content": content}] if content else []
    message: dict[str, Any] = {"role": "assistant", "content": content}
    results = []
    for part in parts:
        if part.get("type") == "tool":
            state, name = _inner(part, "state"), part.get("callID")
            function = {"name": part.get("tool"), "arguments": json.dumps(state.get("input") or {})}
            message.setdefault("tool_calls", []).append({"id": name, "type": "function", "function": function})
            output = state.get("output", state.get("error"))
            results.append({"role": "tool", "tool_call_id": name, "content": str(output or "")})
    return [message, *results]


def _object(data: Any) -> dict[str, Any]:
    try:
        value = json.loads(data) if data else {}
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _inner(value: dict[str, Any], name: str) -> dict[str, Any]:
    inner = value.get(name)
    return inner if isinstance(inner, dict) else {}


def _word(value: Any) -> str:
    return value[:200] if isinstance(value, str) else ""


def _time(value: Any) -> int:
    return int(value * 1000) if isinstance(value, int | float) and 0 < value < 1e14 else NAT


def _is_young(updated: Any) -> bool:
    return isinstance(updated, int) and time.time_ns() // 1000 - updated * 1000 < YOUNG
