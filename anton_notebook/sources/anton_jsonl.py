"""anton's trace lines, with and without ids, its event lines, and the lines that we write (FORMATS.md 1, 2, 3, 5)."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import tzinfo
from operator import attrgetter

import numpy as np

from anton_notebook.sources import conversations
from anton_notebook.sources.body import Body
from anton_notebook.sources.held import Held, all_plain, no_collection
from anton_notebook.sources.legacy import Legacy
from anton_notebook.sources.lines import (
    FAULTS,
    NO_TOKENS,
    Fault,
    Line,
    Mark,
    Plain,
    decode_line,
    event_data,
    excerpt,
    load,
    tolerant,
)
from anton_notebook.sources.tail import Lines, Tail
from anton_notebook.sources.times import parse_time, parse_times
from anton_notebook.span import (
    AGENT,
    ERROR_KEPT,
    LLM,
    NAT,
    ORCHESTRATOR,
    PROVENANCES,
    TOOL,
    UNKNOWN,
    Flag,
    Float64,
    Int32,
    Int64,
    Own,
    Problem,
    Records,
    SpanClass,
)
from anton_notebook.store import Store

FLUSH = 1024
COMMIT = 65_536
MOST_EXPECTED = 4_000_000
_KINDS = {
    "llm_call": LLM,
    "tool_call": TOOL,
    "agent": AGENT,
    "agent_start": AGENT,
    "agent_end": AGENT,
    "llm": LLM,
    "tool": TOOL,
}
_class_of = attrgetter(
    "span_type", "agent_name", "tool_name", "provider", "model", "finish_reason", "success", "event_type"
)
_Raw = tuple[str | None, str | None, str | None, str | None, str | None, str | None, bool | None, str | None]
_EVENT = 4
Report = Callable[[Problem], None]
OnRoot = Callable[[str, str], None]
"""Told of spans without a parent that were exported from OpenTelemetry: trace and span."""


class JsonlFile:
    """One file of trace lines, followed into a store. Legacy calls (without ids) are handed to `legacy`."""

    def __init__(
        self,
        path: str,
        store: Store,
        report: Report,
        legacy: Legacy,
        zone: tzinfo | None,
        on_root: OnRoot | None = None,
    ) -> None:
        self.path = path
        self.tail = Tail(path)
        self._store = store
        self._report = report
        self._legacy = legacy
        self._zone = zone
        self._on_root = on_root
        self._file = -1
        self._generation = 0
        self._missing = False
        self._classes: dict[_Raw, int] = {}

    def read(self) -> bool:
        """Reads what is new. True where anything was."""
        if self.tail.rests():
            return False
        seen, left = False, 0
        held = Held()
        with no_collection():
            for part in self.tail.read():
                seen = True
                if self.tail.generation != self._generation:
                    self._flush(held)
                    self._renew()
                if not isinstance(part, Lines):
                    self._tell(part.reason, part.line, part.offset)
                    continue
                if not left and not held.lines:
                    self._expect(part)
                self._decode(part, held)
                if len(held.lines) >= FLUSH:
                    left += len(held.lines)
                    self._flush(held)
                    if left >= COMMIT:
                        self._store.commit()
                        left = 1
            self._flush(held)
        if self.tail.gone != self._missing:
            self._missing = self.tail.gone
            if self._missing and self._file >= 0:
                seen = True
                self._store.mark_file_gone(self._file)
                self._file = -1
                self._tell("was removed; its spans stay, their texts cannot be read any more", None, None)
        return seen

    def close(self) -> None:
        """Lets go of the file."""
        self.tail.close()

    def _renew(self) -> None:
        self._generation = self.tail.generation
        if self._file >= 0:
            self._store.mark_file_gone(self._file)
            self._file = -1

    def _tell(
        self, reason: str, line: int | None, offset: int | None, field: str | None = None, text: bytes = b""
    ) -> None:
        self._report(Problem(self.path, line, offset, reason, field, excerpt(text) if text else None))

    def _expect(self, part: Lines) -> None:
        """Room for about as many rows as the rest of the file may hold, so that arrays need not grow on the way."""
        size = sum(map(len, part.lines)) + len(part.lines)
        try:
            rest = os.stat(self.path).st_size - part.offset
        except OSError:
            return
        if rest > 4 * size:
            self._store.expect(min(int(1.02 * rest * len(part.lines) / size) + 64, MOST_EXPECTED))

    def _decode(self, part: Lines, held: Held) -> None:
        raw = part.lines
        sizes = np.fromiter(map(len, raw), np.int32, len(raw))
        offsets = np.cumsum(sizes, dtype=np.int64) - sizes + np.arange(part.offset, part.offset + len(raw))
        numbers = np.arange(part.number, part.number + len(raw), dtype=np.int32)
        lines: list[Line] | list[Plain] = all_plain(raw)
        if not lines:
            found = [self._one(text, int(numbers[i]), int(offsets[i])) for i, text in enumerate(raw)]
            lines = [line for line in found if line is not None]
            if len(lines) < len(raw):
                good = np.array([line is not None for line in found], bool)
                sizes, offsets, numbers = sizes[good], offsets[good], numbers[good]
            held.marked |= any(line.anton_notebook is not None for line in lines)
        ids = [line.span_id for line in lines]
        traces = [line.trace_id for line in lines]
        times = [line.timestamp for line in lines]
        held.lines += lines
        held.ids += ids  # type: ignore[arg-type]
        held.traces += traces  # type: ignore[arg-type]
        held.times += times  # type: ignore[arg-type]
        held.places.append((offsets, sizes, numbers))

    def _one(self, text: bytes, number: int, offset: int) -> Line | None:
        """One line that may be of any kind; None where it is no span with ids (reported, or kept as a call without ids)."""
        if not text.strip():
            return None
        faults: list[Fault] = []
        line: Line | None
        try:
            line = decode_line(text)
            if line.span_id is None and line.timestamp is None:
                line, faults = tolerant(text, number)
        except FAULTS:
            line, faults = tolerant(text, number)
        for fault in faults:
            self._tell(fault.reason, number, offset, fault.field, text)
        if line is None:
            return None
        if line.event_type is not None:
            self._event(line, text, number, offset)
        if line.span_id and line.trace_id:
            if line.timestamp is None and all(fault.field != "timestamp" for fault in faults):
                self._tell("expected a time, found none", number, offset, "timestamp", text)
            line.timestamp = line.timestamp or ""
            return line
        if (
            line.agent_name is not None
            and line.timestamp is not None
            and line.span_id is None
            and line.trace_id is None
        ):
            self._legacy_call(line, text, number, offset)
        else:
            known = "trace_id and span_id, or timestamp and agent_name"
            self._tell(f"not a span: it has none of {known}", number, offset, None, text)
        return None

    def _event(self, line: Line, text: bytes, number: int, offset: int) -> None:
        data, faults = event_data(text)
        for fault in faults:
            self._tell(fault.reason, number, offset, fault.field, text)
        line.span_type = line.event_type
        for name in (
            "model",
            "provider",
            "tool_name",
            "finish_reason",
            "success",
            "duration_ms",
            "tokens",
            "cost_usd",
            "error",
        ):
            value = getattr(data, name)
            if value is not None:
                setattr(line, name, value)

    def _legacy_call(self, line: Line, text: bytes, number: int, offset: int) -> None:
        try:
            record = load(text.removeprefix(b"\xef\xbb\xbf"), [])
        except FAULTS as error:
            self._tell(f"cannot be decoded: {type(error).__name__}", number, offset, None, text)
            return
        end = parse_time(line.timestamp, self._zone)
        if end == NAT:
            self._tell(f"expected a time, found {line.timestamp!r}", number, offset, "timestamp", text)
        duration = _micros(line.duration_ms) if line.duration_ms is not None else 0
        duration = max(duration, 0) if duration != NAT else 0
        start = end - duration if end != NAT else NAT
        agent, model = line.agent_name or "", line.model or ""
        call = conversations.call_of(record, text, agent, model, start, end)
        usage = self._legacy.estimate(record) if self._legacy.estimate else (-1, -1)
        cls = SpanClass(LLM, agent, model or LLM, line.provider or "", model, line.finish_reason or "")
        self._legacy.add(call, cls, duration, line.error, usage, self._code(), offset, len(text), number)

    def _code(self) -> int:
        if self._file < 0:
            self._file = self._store.add_file(self.path, Body(self.path, self.tail).load)
        return self._file

    def _flush(self, held: Held) -> None:
        if held.lines:
            self._store.put(self._records(held))
        held.clear()

    def _records(self, held: Held) -> Records:
        lines, n = held.lines, len(held.lines)
        offset, length, number = (np.concatenate(column) for column in zip(*held.places, strict=True))
        known = self._classes
        raw = list(map(_class_of, lines))
        coded: list[int] = list(map(known.get, raw))  # type: ignore[arg-type]
        if None in coded:
            for key in set(raw):
                if key not in known:
                    known[key] = self._class(key)
            coded = [known[key] for key in raw]
        codes = np.array(coded, np.int32)
        start = parse_times(held.times, self._zone)
        for i in np.flatnonzero(start == NAT):
            if not held.times[i]:
                continue
            self._tell(f"expected a time, found {held.times[i]!r}", int(number[i]), int(offset[i]), "timestamp")
        texts = [line.error for line in lines]
        errors = {} if texts.count(None) == n else {i: t[:ERROR_KEPT] for i, t in enumerate(texts) if t}
        status = (codes & 3).astype(np.uint8)
        if errors:
            status[list(errors)] = 2
        tokens = [line.tokens or NO_TOKENS for line in lines]
        cost = np.array([line.cost_usd for line in lines], np.float64)
        bad = (cost < 0) | np.isinf(cost)
        for i in np.flatnonzero(bad):
            self._tell(f"expected a cost of 0 or more, found {cost[i]}", int(number[i]), int(offset[i]), "cost_usd")
        cost[bad] = np.nan
        records = Records(
            trace=self._store.trace_codes(held.traces),
            span_id=held.ids,
            parent_id=[line.parent_id for line in lines],
            cls=codes >> 3,
            start=start,
            duration=self._durations(np.array([line.duration_ms for line in lines], np.float64), number, offset),
            status=status,
            flags=np.zeros(n, np.uint8),
            input=self._counts([t.input for t in tokens], "input", number, offset),
            output=self._counts([t.output for t in tokens], "output", number, offset),
            cached=self._counts([t.cached for t in tokens], "cached", number, offset),
            recorded_cost=cost,
            file=np.full(n, self._code(), np.int32),
            offset=offset,
            length=length,
            line=number,
            errors=errors,
        )
        for i in np.flatnonzero(codes & _EVENT):
            starts = lines[i].event_type == "agent_start"
            records.duration[i] = NAT if starts else 0
            records.status[i] = 0 if starts else records.status[i]
        for at, line in enumerate(lines if held.marked else ()):
            if isinstance(line, Line) and line.anton_notebook is not None:
                self._own(records, at, line, line.anton_notebook)
        return records

    def _durations(self, ms: Float64, numbers: Int32, offsets: Int64) -> Int64:
        fine = (ms >= 0) & (ms < 1e14)
        for i in np.flatnonzero(~fine & ~np.isnan(ms)):
            self._tell(
                f"expected milliseconds of 0 or more, found {ms[i]}", int(numbers[i]), int(offsets[i]), "duration_ms"
            )
        return np.where(fine, np.rint(np.where(fine, ms, 0) * 1000), NAT).astype(np.int64)

    def _counts(self, found: list[int | None], name: str, numbers: Int32, offsets: Int64) -> Int32:
        try:
            counts = np.array(found, np.int32)
        except (TypeError, OverflowError):
            counts = np.array([-1 if v is None else v if 0 <= v < 2**31 else -2 for v in found], np.int32)
        for i in np.flatnonzero(counts < UNKNOWN):
            self._tell(
                f"expected a count of 0 to 2,147,483,647, found {found[i]}",
                int(numbers[i]),
                int(offsets[i]),
                f"tokens.{name}",
            )
        return np.maximum(counts, UNKNOWN)

    def _class(self, raw: _Raw) -> int:
        span_type, agent, tool, provider, model, finish, success, event = raw
        kind = _KINDS.get(span_type or "", span_type or (TOOL if tool else LLM))
        if kind == AGENT and agent == ORCHESTRATOR:
            kind = ORCHESTRATOR
        name = {TOOL: tool, LLM: model}.get(kind, agent) or kind
        cls = SpanClass(kind, agent or "", name, provider or "", model or "", finish or "")
        status = 2 if success is False else 1
        return self._store.class_code(cls) << 3 | status | (_EVENT if event in ("agent_start", "agent_end") else 0)

    def _own(self, records: Records, i: int, line: Line, mark: Mark) -> None:
        provenance = mark.provenance if mark.provenance in PROVENANCES else ""
        records.own[i] = Own(
            origin=mark.origin or "run",
            original_trace_id=mark.original_trace_id,
            original_span_id=mark.original_span_id,
            checkpoint_id=mark.checkpoint_id,
            provenance=provenance or "",
            reason=mark.reason,
            source_kind=mark.source_kind,
            recorded_cost_usd=mark.recorded_cost_usd,
            saved_usd=mark.saved_usd,
            cost_free=provenance in ("reused", "stale") or mark.saved_usd is not None,
        )
        if mark.kind is not None:
            old = self._store.classes[records.cls[i]]
            records.cls[i] = self._store.class_code(old._replace(kind=mark.kind, name=line.tool_name or old.name))
        if mark.recorded_cost_usd is not None:
            records.recorded_cost[i] = mark.recorded_cost_usd
        if mark.cached_tokens is not None and 0 <= mark.cached_tokens < 2**31:
            records.cached[i] = mark.cached_tokens
        if mark.tokens_estimated:
            records.flags[i] |= Flag.ESTIMATED
        if mark.status == "running":
            records.status[i], records.duration[i] = 0, NAT
        elif mark.status == "error":
            records.status[i] = 2
        end = parse_time(mark.end, self._zone) if mark.end else NAT
        if end != NAT and records.duration[i] == NAT and records.start[i] != NAT and mark.status != "running":
            records.duration[i] = max(0, end - records.start[i])
        if mark.source_kind == "otlp":
            records.flags[i] |= Flag.KEEP
            if self._on_root is not None and line.parent_id is None:
                self._on_root(line.trace_id or "", line.span_id or "")


def _micros(ms: float) -> int:
    return round(ms * 1000) if 0 <= ms < 1e14 else NAT
