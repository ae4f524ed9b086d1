"""One file of a Gemini CLI session. It is read again as a whole whenever it changed: the program rewrites it on every message."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from anton_notebook.errors import BodyUnavailable
from anton_notebook.model.span import AGENT, LLM, NAT, ORCHESTRATOR, TOOL, Problem, Status
from anton_notebook.sources.gemini_cli.document import (
    Session,
    answer_of,
    conversation,
    parse,
    result_of,
    text_of,
    tools_of,
    usage_of,
)
from anton_notebook.sources.timestamps import parse_time
from anton_notebook.sources.transcripts.spans import YOUNG, Segment, TranscriptSpan, put_spans
from anton_notebook.store import Store

KIND = "gemini_cli"
LIMIT = 256 << 20
NAMED = 200
_FAILED = frozenset({"error"})
_OPEN = frozenset({"validating", "scheduled", "executing", "awaiting_approval"})
Stamp = tuple[int, int, int]


@dataclass(slots=True)
class Extent:
    """What one file knows of its session. Times are microseconds since 1970 UTC."""

    start: int = NAT
    end: int = NAT
    name: str = ""
    parent: str = ""
    error: str | None = None
    is_open: bool = False


@dataclass(slots=True)
class GeminiSessions:
    """Sessions over all files: several files may have one session, and copies of a message count once."""

    extents: dict[str, dict[str, Extent]] = field(default_factory=dict)
    owners: dict[tuple[str, str], dict[str, tuple[int, str]]] = field(default_factory=dict)
    """For each message the files that hold it, with the rank of each version."""
    starters: dict[str, str] = field(default_factory=dict)
    """The tool call that started a sub-agent, by the sub-agent's id."""


class GeminiFile:
    """A session's file, in the form of a document or of lines."""

    def __init__(self, path: str, store: Store, report: Callable[[Problem], None], sessions: GeminiSessions) -> None:
        self.path = path
        self._store, self._report, self._sessions = store, report, sessions
        self._file = self._tool_file = -1
        self._stamp: Stamp | None = None
        self._session = ""
        self._names: list[str] = []
        self._spans: dict[str, dict[str, TranscriptSpan]] = {}
        self._reported: set[int] = set()
        self._fresh = False

    # -- reading

    def read(self) -> bool:
        """Read the file if it changed; returns whether it did."""
        stamp = _stamp(self.path)
        if stamp == self._stamp and not (self._fresh and not self._is_young()):
            return False
        if stamp is None:
            self._stamp = None
            if self._file >= 0:
                self._store.mark_file_gone(self._file)
                self._store.mark_file_gone(self._tool_file)
                self._file = -1
            return True
        data = self._content(stamp)
        session = parse(data) if data is not None else None
        if session is None:
            if data is not None and time.time_ns() - stamp[2] > YOUNG * 1000:
                self._complain(0, "ends in the middle of its document; nothing of it was read")
            return False
        self._stamp = stamp
        for number in session.faulty:
            self._complain(number, "not a line of a session")
        self._take(session)
        return True

    def close(self) -> None:
        """Do nothing: no file stays open."""

    def _content(self, stamp: Stamp) -> bytes | None:
        if stamp[1] > LIMIT:
            self._stamp = stamp
            self._complain(0, f"has {stamp[1]:,} bytes; sessions of up to {LIMIT:,} bytes are read")
            return None
        try:
            return _bytes_of(self.path)
        except OSError as error:
            self._stamp = stamp
            self._complain(0, f"cannot be read ({error.strerror})")
            return None

    def _complain(self, line: int, reason: str) -> None:
        if line not in self._reported:
            self._reported.add(line)
            self._report(Problem(self.path, line or None, None, reason, None, None))

    def _is_young(self) -> bool:
        return self._stamp is not None and time.time_ns() - self._stamp[2] < YOUNG * 1000

    def _take(self, session: Session) -> None:
        name = session.about.get("sessionId")
        if not isinstance(name, str) or not name:
            self._complain(0, "names no session")
            return
        self._session = name[:200]
        if self._file < 0:
            self._file = self._store.add_file(self.path, self.load, KIND)
            self._tool_file = self._store.add_file(self.path, self.load_tool, KIND)
        extent = self._extent(session)
        self._sessions.extents.setdefault(self._session, {})[self.path] = extent
        self._fresh = extent.is_open
        trace = extent.parent or self._session
        rank = parse_time(session.about.get("lastUpdated"), None)
        spans: list[TranscriptSpan] = []
        before, held = extent.start, self._spans
        self._spans = {}
        for key, message in session.messages.items():
            when = parse_time(message.get("timestamp"), None)
            if message.get("type") == "gemini":
                built = self._answer(trace, key, message, before, when, extent)
                self._spans[key] = {span.span_id: span for span in built}
                owners = self._sessions.owners.setdefault((trace, key), {})
                owners[self.path] = (rank, self.path)
                if max(owners.values()) == owners[self.path]:
                    spans += built
            before = when if when != NAT else before
        self._remove(trace, held)
        put_spans(self._store, [*spans, self._root(trace, extent)])

    def _remove(self, trace: str, held: dict[str, dict[str, TranscriptSpan]]) -> None:
        """Remove what the file held before and no file holds now."""
        for key, spans in held.items():
            owners = self._sessions.owners.get((trace, key), {})
            if key not in self._spans:
                owners.pop(self.path, None)
            if owners and key not in self._spans:
                continue
            for span_id in spans.keys() - self._spans.get(key, {}).keys():
                self._store.take_back(trace, span_id)

    def _extent(self, session: Session) -> Extent:
        times = [parse_time(session.about.get("startTime"), None)]
        times += [parse_time(message.get("timestamp"), None) for message in session.messages.values()]
        known = [when for when in times if when != NAT]
        last = list(session.messages.values())[-1] if session.messages else {}
        prompts = (text_of(m.get("content")) for m in session.messages.values() if m.get("type") == "user")
        title = session.about.get("summary")
        name = title if isinstance(title, str) and title else next((text for text in prompts if text.strip()), "")
        folder = os.path.basename(os.path.dirname(self.path))
        waits = last.get("type") == "user" or any(tool.get("status") in _OPEN for tool in tools_of(last))
        return Extent(
            min(known, default=NAT),
            max(known, default=NAT),
            " ".join(name.split())[:NAMED],
            folder if session.about.get("kind") == "subagent" and folder != "chats" else "",
            text_of(last.get("content")) or "the request failed" if last.get("type") == "error" else None,
            waits and self._is_young(),
        )

    def _root(self, trace: str, last: Extent) -> TranscriptSpan:
        extents = list(self._sessions.extents[self._session].values())
        starts = [extent.start for extent in extents if extent.start != NAT]
        latest = max(extents, key=lambda extent: extent.end)
        is_open = any(extent.is_open for extent in extents)
        agent = self._agent(last)
        if not last.parent:
            first = min(extents, key=lambda extent: (extent.start == NAT, extent.start, extent.name))
            verdict = "running" if is_open else None
            self._store.describe(self._store.trace_code(trace), name=first.name or trace, verdict=verdict)
        status = Status.RUNNING if is_open else Status.OK if latest.error is None else Status.ERROR
        return TranscriptSpan(
            trace, self._session, self._sessions.starters.get(self._session, last.parent) if last.parent else None,
            AGENT if last.parent else ORCHESTRATOR, agent, agent, min(starts, default=NAT), latest.end, status,
            error=latest.error,
        )  # fmt: skip

    def _agent(self, extent: Extent) -> str:
        return f"agent {self._session[-6:]}" if extent.parent else "gemini"

    def _answer(
        self, trace: str, key: str, message: dict[str, Any], before: int, when: int, extent: Extent
    ) -> list[TranscriptSpan]:
        """Build the spans of a call and of the tools that it asked for."""
        agent, model = self._agent(extent), message.get("model")
        model = model[:200] if isinstance(model, str) else ""
        self._names.append(key)
        offset = len(self._names) - 1
        start = before if before != NAT and (when == NAT or before <= when) else when
        spans = [
            TranscriptSpan(
                trace, f"{key}", self._session, LLM, agent, model or LLM, start, when,
                provider="google", model=model, usage=usage_of(message.get("tokens")),
                place=Segment(self._file, offset, 0, 0),
            )
        ]  # fmt: skip
        for nth, tool in enumerate(tools_of(message)):
            span_id = str(tool.get("id") or f"{key}:{nth}")[:200]
            child = tool.get("agentId")
            if isinstance(child, str) and child:
                self._started(trace, child, span_id)
            end, status = parse_time(tool.get("timestamp"), None), tool.get("status")
            failed, running = status in _FAILED, status in _OPEN and extent.is_open
            spans.append(
                TranscriptSpan(
                    trace, span_id, key, TOOL, agent, str(tool.get("name") or TOOL)[:200],
                    when if end == NAT or when <= end else end, end,
                    Status.ERROR if failed else Status.RUNNING if running else Status.OK,
                    finish_reason="cancelled" if status == "cancelled" else "",
                    error=(str(result_of(tool) or "") or "the tool failed") if failed else None,
                    place=Segment(self._tool_file, offset, nth, 0),
                )
            )  # fmt: skip
        return spans

    def _started(self, trace: str, child: str, span_id: str) -> None:
        """Hang a sub-agent under the tool call that started it, also one that was read before."""
        if self._sessions.starters.get(child) == span_id:
            return
        self._sessions.starters[child] = span_id
        extents = self._sessions.extents.get(child)
        if extents:
            session, self._session = self._session, child
            put_spans(self._store, [self._root(trace, next(iter(extents.values())))])
            self._session = session

    # -- bodies

    def load(self, offset: int, length: int) -> Mapping[str, Any]:
        """Build the record of a call; `offset` is its number in the order of reading."""
        messages, key = self._now(offset)
        names = list(messages)
        message = messages[key]
        return {
            "provider": "google",
            "model": message.get("model"),
            "messages": conversation(messages[name] for name in names[: names.index(key)]),
            "response": answer_of(message),
            "missing": ["system", "tools", "parameters"],
        }

    def load_tool(self, offset: int, nth: int) -> Mapping[str, Any]:
        """Build the record of the `nth` tool of a call."""
        messages, key = self._now(offset)
        tools = tools_of(messages[key])
        if nth >= len(tools):
            raise BodyUnavailable(f"{self.path} no longer holds this tool call")
        tool = tools[nth]
        result = result_of(tool)
        error = str(result or "the tool failed") if tool.get("status") in _FAILED else None
        return {"tool_name": tool.get("name"), "parameters": tool.get("args"), "result": result, "error": error}

    def _now(self, offset: int) -> tuple[dict[str, dict[str, Any]], str]:
        try:
            session = parse(_bytes_of(self.path))
        except OSError as error:
            raise BodyUnavailable(
                f"{self.path} cannot be read ({error.strerror}); its spans stay, their texts do not"
            ) from error
        key = self._names[offset] if offset < len(self._names) else ""
        if session is None or key not in session.messages:
            raise BodyUnavailable(f"{self.path} no longer holds this message")
        return session.messages, key


def _stamp(path: str) -> Stamp | None:
    try:
        now = os.stat(path)
    except OSError:
        return None
    return now.st_ino, now.st_size, now.st_mtime_ns


def _bytes_of(path: str) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0))
    with os.fdopen(fd, "rb") as file:
        return file.read(LIMIT + 1)
