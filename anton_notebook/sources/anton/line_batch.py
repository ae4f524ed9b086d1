"""Decoded lines of any number of files on their way into the store: from lists of structs into columns.

All files of a reader share one `Batch`, so that twenty thousand files of one line cost what one file of as many lines does.
"""

from __future__ import annotations

import gc
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import tzinfo
from itertools import compress
from typing import Any

import numpy as np

from anton_notebook.model.span import (
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
from anton_notebook.model.usage import details_of
from anton_notebook.sources.anton.line_schema import Line, Mark, Plain
from anton_notebook.sources.timestamps import parse_time, parse_times
from anton_notebook.store import Store, hashed

FLUSH = 8_192
COMMIT = 16_384  # what waits keeps the ids of parents: 131,072 saved a tenth and left holes in memory, 30 B a span
KNOWN = 100_000
_KINDS = {
    "llm_call": LLM,
    "tool_call": TOOL,
    "agent": AGENT,
    "agent_start": AGENT,
    "agent_end": AGENT,
    "llm": LLM,
    "tool": TOOL,
}
_Key = tuple[str, str | None, str | None, str | None, str | None, str | None, str | None, bool | None, str | None]
_EVENT = 4
Report = Callable[[Problem], None]
OnRoot = Callable[[str, str], None]
"""Told of spans without a parent that were exported from OpenTelemetry: trace and span."""


@contextmanager
def gc_paused() -> Iterator[None]:
    """Nothing that is decoded can form a circle, and looking for circles would take a fifth of the time."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _numbers(values: list[float | None]) -> Float64:
    """Floats as an array, NaN for None. Packed, because to find out what a list holds takes numpy four times as long."""
    try:
        return np.frombuffer(bytearray(struct.pack(f"{len(values)}d", *values)), np.float64)
    except struct.error:
        return np.array(values, np.float64)


class _Codes(dict[_Key, int]):
    """What a trace and a class of spans are called in the store, worked out once for each."""

    def __init__(self, make: Callable[[_Key], int]) -> None:
        self._make = make

    def __missing__(self, key: _Key) -> int:
        code = self[key] = self._make(key)
        return code


@dataclass(slots=True)
class _Held:
    """What was taken out of decoded lines while they lay in the processor's cache; numbers as one array a block of lines."""

    ids: list[str] = field(default_factory=list)
    parents: list[str | None] = field(default_factory=list)
    times: list[str] = field(default_factory=list)
    numbers: list[tuple[Int64, Float64, Float64, Int64, Int64, Int64, Int32, Int32]] = field(default_factory=list)
    files: list[int] = field(default_factory=list)
    counted: list[Int64] = field(default_factory=list)
    tokens: tuple[list[int | None], list[int | None], list[int | None]] = field(default_factory=lambda: ([], [], []))
    errors: dict[int, str] = field(default_factory=dict)
    odd: dict[int, Line] = field(default_factory=dict)


class Batch:
    """See the module. `add` takes decoded lines, `flush` puts what is held into the store."""

    def __init__(self, store: Store, report: Report, zone: tzinfo | None, on_root: OnRoot | None = None) -> None:
        self._store = store
        self._report = report
        self._zone = zone
        self._on_root = on_root
        self._held = _Held()
        self._codes = _Codes(self._code)
        self._uncommitted = 0

    def add(self, file: int, lines: list[Line] | list[Plain], offsets: Int64, sizes: Int32, numbers: Int32) -> None:
        """Takes lines of a file with their places."""
        held, n = self._held, len(lines)
        first = len(held.ids)
        ids: list[str] = [line.span_id for line in lines]  # type: ignore[misc]
        parents = [line.parent_id for line in lines]
        known = self._codes
        # Written out: a list made in place takes attributes in half the time of an attrgetter.
        codes = np.fromiter(
            [
                known[
                    line.trace_id, line.span_type, line.agent_name, line.tool_name, line.provider, line.model,  # type: ignore[index]
                    line.finish_reason, line.success, line.event_type,
                ]
                for line in lines
            ],
            np.int64, n,
        )  # fmt: skip
        duration = _numbers([line.duration_ms for line in lines])
        cost = _numbers([line.cost_usd for line in lines])
        held.numbers.append((codes, duration, cost, hashed(ids), hashed(parents), offsets, sizes, numbers))
        held.ids += ids
        held.parents += parents
        held.times += [line.timestamp for line in lines]  # type: ignore[misc]
        held.files += (file, n)
        texts = [line.error for line in lines]
        if any(texts):
            held.errors.update({i: text[:ERROR_KEPT] for i, text in enumerate(texts, first) if text})
        tokens = [line.tokens for line in lines]
        if any(tokens):
            held.counted.append(np.fromiter(compress(range(first, first + n), tokens), np.int64))
            given = list(filter(None, tokens))
            for column, found in zip(
                held.tokens,
                ([t.input for t in given], [t.output for t in given], [t.cached for t in given]),
                strict=True,
            ):
                column += found
        if isinstance(lines[0], Line):
            for i, line in enumerate(lines, first):
                if isinstance(line, Line) and (line.anton_notebook is not None or line.event_type is not None):
                    held.odd[i] = line
        if len(held.ids) >= FLUSH:
            self.flush()
            if self._uncommitted >= COMMIT:
                self._uncommitted = 0
                self._store.commit()

    def flush(self) -> None:
        """Puts what is held into the store."""
        held, self._held = self._held, _Held()
        if held.ids:
            self._store.put(self._records(held))
            self._uncommitted += len(held.ids)
        if len(self._codes) > KNOWN:
            self._codes.clear()

    def settle(self) -> None:
        """As `flush`, at the end of a pass."""
        self.flush()
        self._uncommitted = 0

    def _records(self, held: _Held) -> Records:
        n, one = len(held.ids), len(held.numbers) == 1
        codes, ms, cost, ids, parents, offset, length, number = (
            column[0] if one else np.concatenate(column) for column in zip(*held.numbers, strict=True)
        )
        files = np.array(held.files, np.int32)
        file = np.repeat(files[::2], files[1::2])
        place = (file, number, offset)
        start = parse_times(held.times, self._zone)
        unknown = start == NAT
        if unknown.any():
            for i in np.flatnonzero(unknown):
                if held.times[i]:
                    self._tell(i, place, f"expected a time, found {held.times[i]!r}", "timestamp")
        status = (codes & 3).astype(np.uint8)
        if held.errors:
            status[list(held.errors)] = 2
        bad = (cost < 0) | (cost == np.inf)
        if bad.any():
            for i in np.flatnonzero(bad):
                self._tell(i, place, f"expected a cost of 0 or more, found {cost[i]}", "cost_usd")
            cost[bad] = np.nan
        given, made, cached = self._tokens(held, place)
        records = Records(
            trace=(codes >> 32).astype(np.int32),
            span_id=held.ids,
            parent_id=held.parents,
            cls=((codes & 0xFFFFFFFF) >> 3).astype(np.int32),
            start=start,
            duration=self._durations(ms, place),
            status=status,
            flags=np.zeros(n, np.uint8),
            input=given,
            output=made,
            cached=cached,
            recorded_cost=cost,
            file=file,
            offset=offset,
            length=length,
            line=number,
            errors=held.errors,
            hashed=(ids, parents),
        )
        for at, line in held.odd.items():
            if codes[at] & _EVENT:
                starts = line.event_type == "agent_start"
                records.duration[at] = NAT if starts else 0
                records.status[at] = 0 if starts else records.status[at]
            if line.anton_notebook is not None:
                self._own(records, at, line, line.anton_notebook)
        return records

    def _tell(self, i: np.signedinteger[Any], place: tuple[Int32, Int32, Int64], reason: str, field: str) -> None:
        file, number, offset = (int(column[i]) for column in place)
        self._report(Problem(self._store.files[file].path, number, offset, reason, field, None))

    def _durations(self, ms: Float64, place: tuple[Int32, Int32, Int64]) -> Int64:
        fine = (ms >= 0) & (ms < 1e14)
        if fine.all():
            return np.rint(ms * 1000).astype(np.int64)
        for i in np.flatnonzero(~fine & ~np.isnan(ms)):
            self._tell(i, place, f"expected milliseconds of 0 or more, found {ms[i]}", "duration_ms")
        return np.where(fine, np.rint(np.where(fine, ms, 0) * 1000), NAT).astype(np.int64)

    def _tokens(self, held: _Held, place: tuple[Int32, Int32, Int64]) -> Int32:
        columns = np.full((3, len(held.ids)), UNKNOWN, np.int32)
        if held.counted:
            where = np.concatenate(held.counted)
            there = (place[0][where], place[1][where], place[2][where])
            for column, found, name in zip(columns, held.tokens, ("input", "output", "cached"), strict=True):
                column[where] = self._counts(found, name, there)
        return columns

    def _counts(self, found: list[int | None], name: str, place: tuple[Int32, Int32, Int64]) -> Int32:
        try:
            counts = np.array(found, np.int32)
        except (TypeError, OverflowError):
            counts = np.array([-1 if v is None else v if 0 <= v < 2**31 else -2 for v in found], np.int32)
        if counts.min() < UNKNOWN:
            for i in np.flatnonzero(counts < UNKNOWN):
                reason = f"expected a count of 0 to 2,147,483,647, found {found[i]}"
                self._tell(i, place, reason, f"tokens.{name}")
            counts = np.maximum(counts, UNKNOWN)
        return counts

    def _code(self, key: _Key) -> int:
        trace_id, span_type, agent, tool, provider, model, finish, success, event = key
        kind = _KINDS.get(span_type or "", span_type or (TOOL if tool else LLM))
        if kind == AGENT and agent == ORCHESTRATOR:
            kind = ORCHESTRATOR
        name = {TOOL: tool, LLM: model}.get(kind, agent) or kind
        cls = self._store.class_code(SpanClass(kind, agent or "", name, provider or "", model or "", finish or ""))
        status = 2 if success is False else 1
        return (
            self._store.trace_code(trace_id) << 32
            | cls << 3
            | status
            | (_EVENT if event in ("agent_start", "agent_end") else 0)
        )

    def _own(self, records: Records, i: int, line: Line, mark: Mark) -> None:
        provenance = mark.provenance if mark.provenance in PROVENANCES else ""
        records.own[i] = Own(
            origin=mark.origin or "run",
            original_trace_id=mark.original_trace_id,
            original_span_id=mark.original_span_id,
            run_name=mark.run_name,
            note=mark.note,
            mark=mark.mark,
            checkpoint_id=mark.checkpoint_id,
            provenance=provenance or "",
            reason=mark.reason,
            source_kind=mark.source_kind,
            recorded_cost_usd=mark.recorded_cost_usd,
            saved_usd=mark.saved_usd,
            cost_free=provenance in ("reused", "stale") or mark.saved_usd is not None,
            usage=details_of(mark.usage),
            lower_bound=bool(mark.lower_bound),
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
