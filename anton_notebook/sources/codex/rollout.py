"""One rollout of Codex, followed line by line.

Idea: Codex counts tokens over a whole session and writes the running total after each call. A call is a step of that total;
a total that is written twice is one call, a total that falls begins a new count. A fork or a sub-agent begins with its
parent's lines; what precedes its own first turn is inherited and counts for the parent alone.

Invariants: the sum of a session's calls equals the growth of its counter over its own lines; the result depends on the bytes
alone, not on how they arrived.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from typing import Any

from anton_notebook.errors import BodyUnavailable
from anton_notebook.model.span import AGENT, LLM, NAT, ORCHESTRATOR, TOOL, Problem, Status
from anton_notebook.model.usage import Usage, count
from anton_notebook.sources.anton.line_schema import FAULTS, excerpt
from anton_notebook.sources.codex.items import (
    CALLS,
    OUTPUTS,
    Tool,
    Turn,
    decode_any,
    decode_line,
    failure,
    messages_of,
    parsed,
    text_of,
)
from anton_notebook.sources.tail import Lines, Tail
from anton_notebook.sources.timestamps import parse_time
from anton_notebook.sources.transcripts.spans import YOUNG, Segment, TranscriptSpan, put_spans, read_segment
from anton_notebook.store import Store

KIND = "codex"
LIMIT = 256 << 20
NAMED = 500
SLACK = 5_000_000
"""Microseconds around a session's creation within which a turn's start counts as its own."""

_WRAPPED = (
    "<environment_context",
    "<user_instructions",
    "# AGENTS.md",
    "<permissions",
    "<INSTRUCTIONS",
    "<turn_aborted",
)
COUNTS = ("input_tokens", "cached_input_tokens", "output_tokens", "reasoning_output_tokens")
Total = tuple[int, int, int, int]
ZERO: Total = (0, 0, 0, 0)


class CodexFile:
    """A rollout file."""

    def __init__(self, path: str, store: Store, report: Callable[[Problem], None]) -> None:
        self.path = path
        self.tail = Tail(path, limit=LIMIT)
        self._store, self._report = store, report
        self._file = self._tool_file = -1
        self._renew()

    def _renew(self) -> None:
        self._generation = self.tail.generation
        self.session, self._parent = "", ""
        self._created = NAT
        self._inherited = False
        self._forked = False
        self._model, self._provider = "", "openai"
        self._total: Total = ZERO
        self._number = 0
        self._start = self._end = self._asked = NAT
        self._name = ""
        self._finished = True
        self._aborted = False
        self._entries: list[Segment] = []
        self._turn = Turn()
        self._places: dict[int, tuple[int, Turn, str, Usage]] = {}
        self._tools: dict[str, Tool] = {}
        self._tools_at: dict[int, list[str]] = {}
        self._dirty: set[str] = set()
        self._new: list[TranscriptSpan] = []

    # -- reading

    def read(self) -> bool:
        """Read what is new; returns whether anything was."""
        if self.tail.rests() and not self._is_open():
            return False
        seen = False
        for part in self.tail.read():
            seen = True
            if self.tail.generation != self._generation:
                self._forget()
            if not isinstance(part, Lines):
                self._report(Problem(self.path, part.line, part.offset, part.reason, None, None))
                continue
            offset = part.offset
            for number, text in enumerate(part.lines, part.number):
                self._take(text, Segment(self._code(), offset, len(text), number))
                offset += len(text) + 1
        if self.tail.gone and self._file >= 0:
            seen = True
            self._forget()
        if seen or self._is_open():
            self._flush()
        return seen

    def close(self) -> None:
        """Close the file."""
        self.tail.close()

    def _is_open(self) -> bool:
        return not self._finished and self._end != NAT and abs(time.time_ns() // 1000 - self._end) < 2 * YOUNG

    def _forget(self) -> None:
        if self._file >= 0:
            self._store.mark_file_gone(self._file)
            self._store.mark_file_gone(self._tool_file)
            self._file = -1
        self._renew()

    def _code(self) -> int:
        if self._file < 0:
            self._file = self._store.add_file(self.path, self.load, KIND)
            self._tool_file = self._store.add_file(self.path, self.load_tool, KIND)
        return self._file

    def _take(self, text: bytes, place: Segment) -> None:
        if not text.strip():
            return
        try:
            line = decode_line(text)
            payload = decode_any(line.payload) if line.payload else None
        except FAULTS as error:
            self._report(
                Problem(self.path, place.line, place.offset, f"not a line of a rollout: {error}", None, excerpt(text))
            )
            return
        if not isinstance(payload, dict):
            return
        when = parse_time(line.timestamp, None) if line.timestamp else NAT
        if line.type == "session_meta":
            self._meta(payload, when)
            return
        if not self.session:
            self.session = _id_of(self.path)
        handler = {
            "turn_context": self._context,
            "response_item": self._item,
            "event_msg": self._event,
            "compacted": self._compacted,
        }.get(line.type or "")
        if handler is not None:
            handler(payload, when, place)

    def _meta(self, payload: dict[str, Any], when: int) -> None:
        name = payload.get("id")
        if not isinstance(name, str):
            return
        if self.session:
            # A second meta line is the parent's: what follows was copied from it, up to the first turn of this session.
            self._inherited = self._forked = True
            return
        self.session = name[:200]
        self._created = parse_time(payload.get("timestamp"), None) if payload.get("timestamp") else when
        source = payload.get("source")
        spawn = source.get("subagent") if isinstance(source, dict) else None
        spawned = spawn.get("thread_spawn") if isinstance(spawn, dict) else None
        parent = spawned.get("parent_thread_id") if isinstance(spawned, dict) else None
        self._parent = parent if isinstance(parent, str) else ""
        self._forked = isinstance(payload.get("forked_from_id"), str) or bool(self._parent)
        self._inherited = self._forked
        provider = payload.get("model_provider")
        self._provider = provider[:100] if isinstance(provider, str) and provider else "openai"

    def _context(self, payload: dict[str, Any], when: int, place: Segment) -> None:
        model = payload.get("model")
        if isinstance(model, str):
            self._model = model[:200]

    def _event(self, payload: dict[str, Any], when: int, place: Segment) -> None:
        kind = payload.get("type")
        if kind == "task_started":
            self._started(payload, when)
        elif kind == "token_count":
            self._counted(payload, when)
        elif kind == "task_complete":
            self._finished = True
        elif kind == "turn_aborted":
            self._finished = self._aborted = True
        elif kind == "user_message" and not self._inherited and not self._name:
            self._call_it(payload.get("message"))
        elif kind == "exec_command_end" and isinstance(payload.get("call_id"), str):
            tool = self._tools.get(payload["call_id"])
            code = payload.get("exit_code")
            if tool is not None and isinstance(code, int) and code:
                tool.error = f"exit code {code}"
                self._dirty.add(tool.span_id)

    def _started(self, payload: dict[str, Any], when: int) -> None:
        """A turn begins; the first that began after this session was made ends what was inherited."""
        began = payload.get("started_at")
        own = not isinstance(began, int | float) or self._created == NAT or began * 1e6 >= self._created - SLACK
        if self._inherited and own and isinstance(began, int | float):
            self._inherited = False
            self._entries.clear()
            self._turn = Turn()
        if not self._inherited:
            self._finished = self._aborted = False
            self._times(when)

    def _times(self, when: int) -> None:
        if when != NAT:
            self._start = when if self._start == NAT else min(self._start, when)
            self._end = max(self._end, when)

    def _item(self, payload: dict[str, Any], when: int, place: Segment) -> None:
        if self._inherited:
            return
        self._times(when)
        kind = payload.get("type")
        if kind in OUTPUTS:
            self._entries.append(place)
            self._asked = when
            self._output(payload, when, place)
            return
        if kind == "message" and payload.get("role") != "assistant":
            self._entries.append(place)
            self._asked = when
            if payload.get("role") == "user" and not self._name:
                self._call_it(text_of(payload.get("content")))
            return
        if not self._turn.pieces:
            self._turn.first = len(self._entries)
            self._turn.start = self._asked if self._asked != NAT else when
        self._turn.pieces.append(place)
        self._turn.end = when
        self._entries.append(place)
        if kind in CALLS:
            name, call_id = payload.get("name"), payload.get("call_id") or payload.get("id")
            self._ask(str(call_id or f"{self.session}:{place.offset}"), str(name or kind)[:200], when, place)

    def _ask(self, call_id: str, name: str, when: int, place: Segment) -> None:
        if call_id not in self._tools:
            self._tools[call_id] = Tool(call_id, name, self._call_id(self._number), when, place)
            self._tools_at.setdefault(place.offset, []).append(call_id)
            self._dirty.add(call_id)

    def _output(self, payload: dict[str, Any], when: int, place: Segment) -> None:
        tool = self._tools.get(str(payload.get("call_id")))
        if tool is None or tool.result is not None:
            return
        output = payload.get("output")
        text = output if isinstance(output, str) else text_of(output)
        tool.end, tool.result = when, place
        tool.error = tool.error or failure(text, output)
        self._dirty.add(tool.span_id)

    def _counted(self, payload: dict[str, Any], when: int) -> None:
        info = payload.get("info")
        total = info.get("total_token_usage") if isinstance(info, dict) else None
        if not isinstance(total, dict):
            return
        now: Total = tuple(count(total.get(name)) or 0 for name in COUNTS)  # type: ignore[assignment]
        if now == self._total:
            return
        fell = any(new < old for new, old in zip(now, self._total, strict=True))
        step = now if fell else tuple(new - old for new, old in zip(now, self._total, strict=True))
        self._total = now
        if self._inherited or not any(step):
            return
        self._times(when)
        self._answer(Usage(step[0], step[2], step[1], reasoning_tokens=step[3] or None), when)

    def _answer(self, usage: Usage, when: int) -> None:
        turn, self._turn = self._turn, Turn()
        end = turn.end if turn.end != NAT else when
        span_id = self._call_id(self._number)
        self._number += 1
        if not turn.pieces:
            turn.first = len(self._entries)
        place = turn.pieces[0] if turn.pieces else None
        if place is not None:
            self._places[place.offset] = (turn.first, turn, self._model, usage)
        start = turn.start if turn.start != NAT else end
        self._new.append(
            TranscriptSpan(
                self._trace(), span_id, self._agent_id(), LLM, self._agent(), self._model or LLM, start, end,
                provider=self._provider, model=self._model, usage=usage, place=place,
            )
        )  # fmt: skip

    def _compacted(self, payload: dict[str, Any], when: int, place: Segment) -> None:
        if not self._inherited:
            self._entries.clear()

    def _call_it(self, text: Any) -> None:
        if isinstance(text, str) and text.strip() and not text.lstrip().startswith(_WRAPPED):
            self._name = " ".join(text.split())[:NAMED]

    # -- into the store

    def _trace(self) -> str:
        return self._parent or self.session

    def _agent(self) -> str:
        return f"agent {self.session[-6:]}" if self._parent else "codex"

    def _agent_id(self) -> str:
        return f"{self._parent}:{self.session}" if self._parent else self.session

    def _call_id(self, number: int) -> str:
        return f"{self.session}:{number}"

    def _flush(self) -> None:
        if not self.session or self._file < 0:
            return
        spans, self._new = self._new, []
        fresh = self._is_open()
        for call_id in self._dirty:
            tool = self._tools[call_id]
            running = tool.result is None and fresh
            spans.append(
                TranscriptSpan(
                    self._trace(), tool.span_id, tool.call, TOOL, self._agent(), tool.name, tool.start, tool.end,
                    Status.RUNNING if running else Status.OK if tool.error is None else Status.ERROR,
                    error=tool.error,
                    place=tool.asked._replace(
                        file=self._tool_file, length=self._tools_at[tool.asked.offset].index(call_id)
                    ),
                )
            )  # fmt: skip
        self._dirty = {call_id for call_id in self._dirty if self._tools[call_id].result is None and fresh}
        turn = self._turn
        if turn.pieces and (fresh or any(tool.call == self._call_id(self._number) for tool in self._tools.values())):
            # The answer that is being written, of which no count has come yet.
            self._places[turn.pieces[0].offset] = (turn.first, turn, self._model, Usage())
        spans.append(
            TranscriptSpan(
                self._trace(), self._agent_id(), self._parent or None, AGENT if self._parent else ORCHESTRATOR,
                self._agent(), self._agent(), self._start, self._end, Status.RUNNING if fresh else Status.OK,
            )
        )  # fmt: skip
        put_spans(self._store, spans)
        if not self._parent:
            code = self._store.trace_code(self.session)
            self._store.describe(code, name=self._name or self.session, verdict="running" if fresh else None)

    # -- bodies

    def load(self, offset: int, length: int) -> Mapping[str, Any]:
        """Build the record of the call whose first piece is at `offset`."""
        known = self._places.get(offset)
        if known is None or self.tail.generation != self._generation:
            raise BodyUnavailable(f"{self.path} at byte {offset} holds no call; the file was replaced")
        first, turn, model, _ = known
        messages = messages_of(self._payload(segment) for segment in self._entries[:first])
        answer = messages_of(self._payload(segment) for segment in turn.pieces)
        return {
            "provider": self._provider,
            "model": model,
            "messages": messages,
            "response": answer[-1] if answer else "",
            "missing": ["system", "tools", "parameters"],
        }

    def load_tool(self, offset: int, nth: int) -> Mapping[str, Any]:
        """Build the record of the `nth` tool that is asked for in the line at `offset`."""
        known = self._tools_at.get(offset, [])
        if nth >= len(known) or self.tail.generation != self._generation:
            raise BodyUnavailable(f"{self.path} at byte {offset} holds no tool call; the file was replaced")
        tool = self._tools[known[nth]]
        asked = self._payload(tool.asked)
        given = asked.get("arguments", asked.get("input", asked.get("action")))
        record = {"tool_name": tool.name, "parameters": parsed(given), "result": None, "error": tool.error}
        if tool.result is not None:
            output = self._payload(tool.result).get("output")
            record["result"] = output if isinstance(output, str) else text_of(output) or output
        return record

    def _payload(self, segment: Segment) -> dict[str, Any]:
        try:
            value = decode_any(decode_line(read_segment(self.path, segment)).payload)
        except FAULTS as error:
            raise BodyUnavailable(
                f"{self.path} at byte {segment.offset} no longer holds the line that was read"
            ) from error
        return value if isinstance(value, dict) else {}


def _id_of(path: str) -> str:
    name = os.path.basename(path).removesuffix(".jsonl")
    return name.removeprefix("rollout-")[-36:]
