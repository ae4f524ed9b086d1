"""Sessions of Claude Code, joined over all their files.

Idea: a call is identified by the vendor's message id and request id over every file and progress line, so that repeated
lines, resumed and forked sessions and sub-agents that stand in two places count once. Each line updates a small state per
call, tool call and agent; `flush` puts what changed into the store.

Invariants: usage only grows (the largest output and the last other counts win); a call that several sessions hold belongs to
the one whose last line is earliest, which is the one the others were copied from; the result does not depend on the order of
files and lines. Cost: constant per line.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from anton_notebook.model.span import AGENT, LLM, NAT, ORCHESTRATOR, TOOL, Status
from anton_notebook.model.usage import Usage, from_anthropic
from anton_notebook.sources.transcripts.spans import YOUNG, Segment, TranscriptSpan, put_spans
from anton_notebook.store import Store

MAIN = "claude"
SYNTHETIC = "<synthetic>"
UNFINISHED = ("tool_use", "pause_turn")
NAMED = 500
Thread = tuple[str, str]
"""A conversation: a session's id and an agent's id, which is empty for the main agent."""


@dataclass(slots=True)
class Conversation:
    """What was said in one thread: where its messages are written, and since where after a compaction."""

    entries: list[Segment] = field(default_factory=list)
    base: int = 0
    start: int = NAT
    end: int = NAT
    last_asked: int = NAT
    finished: bool = True


@dataclass(slots=True)
class Call:
    """One answer of the model, over all lines that repeat it."""

    span_id: str
    model: str = ""
    usage: Usage = field(default_factory=Usage)
    stop_reason: str | None = None
    start: int = NAT
    end: int = NAT
    error: str | None = None
    homes: dict[Thread, int] = field(default_factory=dict)
    pieces: list[Segment] = field(default_factory=list)
    shown: Thread | None = None


@dataclass(slots=True)
class ToolUse:
    """A tool that an answer asked for."""

    span_id: str
    call: str
    name: str
    thread: Thread
    start: int
    asked: Segment
    end: int = NAT
    error: str | None = None
    result: Segment | None = None
    shown: Thread | None = None


@dataclass(slots=True)
class Agent:
    """A sub-agent: its type and the tool call that started it."""

    agent_id: str
    kind: str = ""
    tool: str | None = None


class ClaudeSessions:
    """All sessions of one reader."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.threads: dict[Thread, Conversation] = {}
        self.places: dict[tuple[int, int], str] = {}
        self.tools_at: dict[tuple[int, int], list[str]] = {}
        self._agents_of: dict[str, list[str]] = {}
        self._members: dict[Thread, tuple[set[str], set[str]]] = {}
        self.calls: dict[str, Call] = {}
        self.tools: dict[str, ToolUse] = {}
        self.titles: dict[str, tuple[int, str]] = {}
        self.costs: dict[str, float] = {}
        self.agents: dict[Thread, Agent] = {}
        self.task_types: dict[str, str] = {}
        self.tool_files: dict[int, int] = {}
        self._early: dict[str, tuple[int, str | None, Segment]] = {}
        self._calls: set[str] = set()
        self._tools: set[str] = set()
        self._sessions: set[str] = set()
        self._running: set[str] = set()

    # -- what lines say

    def thread(self, thread: Thread) -> Conversation:
        """Return the conversation of a thread, made if it is new."""
        found = self.threads.get(thread)
        if found is None:
            found = self.threads[thread] = Conversation()
            self._agents_of.setdefault(thread[0], []).append(thread[1])
            self._members[thread] = set(), set()
            if thread[1]:
                self.agents.setdefault(thread, Agent(thread[1]))
        return found

    def spoke(self, thread: Thread, when: int, place: Segment | None, asked: bool) -> None:
        """Record a line of a conversation; `asked` marks what goes to the model."""
        said = self.thread(thread)
        self._sessions.add(thread[0])
        if place is not None:
            said.entries.append(place)
        if when == NAT:
            return
        said.start = when if said.start == NAT else min(said.start, when)
        said.end = max(said.end, when)
        if asked:
            said.last_asked = max(said.last_asked, when)
            said.finished = False

    def answered(
        self, thread: Thread, key: str, message: Any, when: int, place: Segment, error: str | None, early: bool = False
    ) -> None:
        """Record a line of an answer."""
        said = self.thread(thread)
        call = self.calls.get(key)
        if call is None:
            call = self.calls[key] = Call(key)
            call.start = said.last_asked
        if thread not in call.homes:
            call.homes[thread] = len(said.entries)
            self._members[thread][0].add(key)
        call.pieces.append(place)
        if message.model and message.model != SYNTHETIC:
            call.model = message.model
        if message.usage:
            call.usage = _grown(call.usage, from_anthropic(message.usage))
        call.stop_reason = message.stop_reason or call.stop_reason
        call.error = error or call.error
        if when != NAT:
            call.end = max(call.end, when)
            call.start = when if call.start == NAT else min(call.start, when)
        said.finished = call.stop_reason is not None and call.stop_reason not in UNFINISHED
        self._calls.add(key)

    def asked_tool(self, thread: Thread, call: str, tool: str, name: str, when: int, place: Segment) -> None:
        """Record that an answer asks for a tool."""
        if tool not in self.tools:
            self.tools[tool] = ToolUse(tool, call, name, thread, when, place)
            self.thread(thread)
            self._members[thread][1].add(tool)
            self.tools_at.setdefault((place.file, place.offset), []).append(tool)
            if tool in self._early:
                self.result_of(tool, *self._early.pop(tool))
        self._tools.add(tool)

    def result_of(self, tool: str, when: int, error: str | None, place: Segment) -> None:
        """Record a tool's result; it may come before the line that asks for the tool, in another file."""
        use = self.tools.get(tool)
        if use is None:
            self._early[tool] = when, error, place
            return
        if use.result is None or (when, place) < (use.end, use.result):
            use.end, use.error, use.result = when, error, place
        self._tools.add(tool)

    def started_agent(self, session: str, agent_id: str, tool: str | None, kind: str = "") -> None:
        """Record which tool call started a sub-agent, and its type."""
        self.thread((session, agent_id))
        agent = self.agents[session, agent_id]
        known = agent.tool or tool, agent.kind or kind
        if known != (agent.tool, agent.kind):
            agent.tool, agent.kind = known
            self._touch((session, agent_id))

    def task_type(self, tool: str, kind: str) -> None:
        """Record the type of agent that a tool call starts."""
        self.task_types[tool] = kind
        for thread, agent in self.agents.items():
            if agent.tool == tool:
                self._touch(thread)

    def _touch(self, thread: Thread) -> None:
        """Put the spans of a thread again, because its agent's name or place changed."""
        calls, tools = self._members[thread]
        self._calls |= calls
        self._tools |= tools
        self._sessions.add(thread[0])

    def named(self, session: str, rank: int, title: str) -> None:
        """Record a session's name; a title goes before the first prompt."""
        text = " ".join(title.split())[:NAMED]
        if text and (session not in self.titles or rank < self.titles[session][0]):
            self.titles[session] = rank, text
            self._sessions.add(session)

    def compacted(self, thread: Thread) -> None:
        """Record that a conversation begins anew from here on."""
        said = self.thread(thread)
        said.base = len(said.entries)

    # -- into the store

    def flush(self) -> None:
        """Put what changed into the store."""
        spans: list[TranscriptSpan] = []
        gone: list[tuple[Thread, str]] = []
        for key in self._calls:
            spans += self._call_span(self.calls[key], gone)
        for key in self._tools:
            spans += self._tool_span(self.tools[key], gone)
        now = time.time_ns() // 1000
        for session in self._sessions | self._running:
            spans += self._agent_spans(session, now)
        self._calls, self._tools, self._sessions = set(), set(), set()
        for thread, span_id in gone:
            self._store.take_back(thread[0], span_id)
        put_spans(self._store, spans)

    def _home(self, call: Call) -> Thread:
        """The session that a call belongs to: of several that hold it, the one that ended first."""
        if len(call.homes) == 1:
            return next(iter(call.homes))
        return min(call.homes, key=lambda thread: (self._last(thread[0]), thread))

    def _last(self, session: str) -> int:
        return self.threads[session, ""].end if (session, "") in self.threads else NAT

    def _call_span(self, call: Call, gone: list[tuple[Thread, str]]) -> list[TranscriptSpan]:
        if not call.model and call.error is None:
            return []
        home = self._home(call)
        if call.shown is not None and call.shown[0] != home[0]:
            gone.append((call.shown, call.span_id))
            self._tools |= {key for key, use in self.tools.items() if use.call == call.span_id}
        call.shown = home
        failed = call.error is not None
        first = min(call.pieces)
        self.places[first.file, first.offset] = call.span_id
        return [
            TranscriptSpan(
                home[0],
                call.span_id,
                self._agent_id(home),
                LLM if call.model else "api_error",
                self.agent_name(home),
                call.model or "API error",
                call.start,
                call.end,
                Status.ERROR if failed else Status.OK,
                "anthropic" if call.model else "",
                call.model,
                call.stop_reason or "",
                call.error,
                call.usage if call.model else Usage(),
                lower_bound=call.stop_reason is None and not failed,
                place=first,
            )
        ]

    def _tool_span(self, use: ToolUse, gone: list[tuple[Thread, str]]) -> list[TranscriptSpan]:
        call = self.calls.get(use.call)
        home = self._home(call) if call is not None else use.thread
        if use.shown is not None and use.shown[0] != home[0]:
            gone.append((use.shown, use.span_id))
        use.shown = home
        running = use.result is None and self._fresh(home[0], time.time_ns() // 1000)
        return [
            TranscriptSpan(
                home[0],
                use.span_id,
                use.call if call is not None else self._agent_id(home),
                TOOL,
                self.agent_name(home),
                use.name,
                use.start,
                use.end,
                Status.RUNNING if running else Status.OK if use.error is None else Status.ERROR,
                error=use.error,
                place=use.asked._replace(
                    file=self.tool_files[use.asked.file],
                    length=self.tools_at[use.asked.file, use.asked.offset].index(use.span_id),
                ),
            )
        ]

    def _fresh(self, session: str, now: int) -> bool:
        threads = [self.threads[session, agent] for agent in self._agents_of.get(session, ())]
        last = max((said.end for said in threads), default=NAT)
        return last != NAT and abs(now - last) < YOUNG and not all(said.finished for said in threads)

    def _agent_spans(self, session: str, now: int) -> list[TranscriptSpan]:
        threads = {agent: self.threads[session, agent] for agent in self._agents_of.get(session, ())}
        fresh = self._fresh(session, now)
        self._running = self._running | {session} if fresh else self._running - {session}
        spans = []
        for agent, said in threads.items():
            thread = (session, agent)
            if agent and not any(self.calls[key].shown == thread for key in self._members[thread][0]):
                continue
            running = fresh and not said.finished
            above = self.agents[thread].tool if agent else None
            start, end = said.start, said.end
            if not agent:
                known = [t.start for t in threads.values() if t.start != NAT]
                start, end = min(known, default=NAT), max((t.end for t in threads.values()), default=NAT)
                running = fresh
            spans.append(
                TranscriptSpan(
                    session,
                    self._agent_id(thread),
                    (above if above in self.tools else session) if agent else None,
                    AGENT if agent else ORCHESTRATOR,
                    self.agent_name(thread),
                    self.agent_name(thread),
                    start,
                    end,
                    Status.RUNNING if running else Status.OK,
                )
            )
        code = self._store.trace_code(session)
        name = self.titles.get(session, (0, ""))[1]
        self._store.describe(code, name=name or session, verdict="running" if fresh else None)
        return spans

    def _agent_id(self, thread: Thread) -> str:
        return f"{thread[0]}:{thread[1]}" if thread[1] else thread[0]

    def agent_name(self, thread: Thread) -> str:
        """Return an agent's name: the type that it was started with, else what its id tells."""
        if not thread[1]:
            return MAIN
        agent = self.agents[thread]
        kind = agent.kind or self.task_types.get(agent.tool or "", "")
        if not kind and thread[1].startswith("acompact"):
            kind = "compact"
        return kind or f"agent {thread[1]}"


def _grown(old: Usage, new: Usage) -> Usage:
    """Join two reports of one answer: output grows over its lines, the other counts of the last report hold."""
    outputs = [count for count in (old.output_tokens, new.output_tokens) if count is not None]
    kept = {name: value for name, value in old._asdict().items() if getattr(new, name) is None}
    return new._replace(**kept)._replace(output_tokens=max(outputs, default=None))
