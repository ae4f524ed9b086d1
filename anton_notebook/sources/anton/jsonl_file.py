"""anton's trace lines, with and without ids, its event lines, and the lines that we write (FORMATS.md 1, 2, 3, 5)."""

from __future__ import annotations

import contextlib
import os
from datetime import tzinfo

import numpy as np

from anton_notebook.model.span import LLM, NAT, Problem, SpanClass
from anton_notebook.sources.anton import history_inference
from anton_notebook.sources.anton.legacy import Legacy
from anton_notebook.sources.anton.line_batch import Batch, Report
from anton_notebook.sources.anton.line_schema import (
    FAULTS,
    Fault,
    Line,
    Plain,
    decode_line,
    decode_plain,
    decode_plains,
    event_data,
    excerpt,
    load,
    tolerant,
)
from anton_notebook.sources.body_loader import Body
from anton_notebook.sources.tail import Lines, Tail
from anton_notebook.sources.timestamps import parse_time
from anton_notebook.store import Store

_OPENS, _CLOSES = ord("{"), ord("}")
MOST_EXPECTED = 4_000_000
PATIENCE = 2.0  # seconds in which a writer should finish a line that it began


class JsonlFile:
    """One file of trace lines, followed into a store through `batch`. Calls without ids are handed to `legacy`."""

    def __init__(
        self, path: str, store: Store, report: Report, legacy: Legacy, zone: tzinfo | None, batch: Batch
    ) -> None:
        self.path = path
        self.tail = Tail(path)
        self._store = store
        self._report = report
        self._legacy = legacy
        self._zone = zone
        self._batch = batch
        self._file = -1
        self._generation = 0
        self._missing = False

    @property
    def begun(self) -> bool:
        """Whether bytes lie behind the last newline."""
        return self.tail.waiting > 0

    def unfinished(self) -> int:
        """How many bytes of a last line lie there that its writer has left unfinished."""
        return self.tail.waiting if not self.tail.gone and self.tail.idle > PATIENCE else 0

    def read(self) -> bool:
        """Hands what is new to the batch and to `legacy`. True where anything was."""
        if self.tail.rests():
            return False
        seen = False
        for part in self.tail.read():
            if self.tail.generation != self._generation:
                self._renew()
            if isinstance(part, Lines):
                if not seen:
                    self._expect(part)
                self._decode(part)
            else:
                self._tell(part.reason, part.line, part.offset)
            seen = True
        if self.tail.gone != self._missing:
            self._missing = self.tail.gone
            if self._missing and self._file >= 0:
                seen = True
                self._leave()
                self._tell("was removed; its spans stay, their texts cannot be read any more", None, None)
        return seen

    def take(self, part: Lines) -> None:
        """Takes in lines that were read elsewhere."""
        self._decode(part)

    def close(self) -> None:
        """Lets go of the file."""
        self.tail.close()

    def _renew(self) -> None:
        self._generation = self.tail.generation
        if self._file >= 0:
            self._leave()

    def _leave(self) -> None:
        self._batch.flush()
        self._store.mark_file_gone(self._file)
        self._file = -1

    def _tell(
        self, reason: str, line: int | None, offset: int | None, field: str | None = None, text: bytes = b""
    ) -> None:
        self._report(Problem(self.path, line, offset, reason, field, excerpt(text) if text else None))

    def _expect(self, part: Lines) -> None:
        """Room for about as many rows as the rest of the file may hold, so that arrays need not grow on the way."""
        size, count = len(part.data) + self.tail.waiting, len(part.ends)  # a long line may have begun behind short ones
        try:
            rest = os.stat(self.path).st_size - part.offset
        except OSError:
            return
        if rest > 4 * size:
            with contextlib.suppress(MemoryError):
                self._store.expect(min(int(1.02 * rest * count / size) + 64, MOST_EXPECTED))

    def _decode(self, part: Lines) -> None:
        count = len(part.ends)
        begins = np.zeros(count, np.int64)
        begins[1:] = part.ends[:-1] + 1
        sizes = (part.ends - begins).astype(np.int32)
        offsets = begins + part.offset
        numbers = np.arange(part.number, part.number + count, dtype=np.int32)
        lines: list[Line] | list[Plain] = decode_block(part)
        if not lines:
            raw = part.lines
            found = [self._one(text, int(numbers[i]), int(offsets[i])) for i, text in enumerate(raw)]
            lines = [line for line in found if line is not None]
            if len(lines) < len(raw):
                good = np.array([line is not None for line in found], bool)
                sizes, offsets, numbers = sizes[good], offsets[good], numbers[good]
        if lines:
            self._batch.add(self._code(), lines, offsets, sizes, numbers)

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
        call = history_inference.call_of(record, text, agent, model, start, end)
        usage = self._legacy.estimate(record) if self._legacy.estimate else (-1, -1)
        cls = SpanClass(LLM, agent, model or LLM, line.provider or "", model, line.finish_reason or "")
        self._legacy.add(call, cls, duration, line.error, usage, self._code(), offset, len(text), number)

    def _code(self) -> int:
        if self._file < 0:
            self._file = self._store.add_file(self.path, Body(self.path, self.tail).load)
        return self._file


def _micros(ms: float) -> int:
    return round(ms * 1000) if 0 <= ms < 1e14 else NAT


def decode_block(part: Lines) -> list[Plain]:
    """All lines of a block, decoded at once; an empty list if any of them is not plain.

    A value may spread over lines, and a line may hold two. But `}`, a newline and `{` follow each other nowhere inside of a
    value: if all lines begin and end so, each holds at least one, and as many values as lines means one in each.
    """
    data, ends = part.data, part.ends
    try:
        bytes_ = np.frombuffer(data, np.uint8)
        if data[0] == _OPENS and (bytes_[ends - 1] == _CLOSES).all() and (bytes_[ends[:-1] + 1] == _OPENS).all():
            lines = decode_plains(data)
            if len(lines) == len(ends):
                return lines
        return list(map(decode_plain, part.lines))
    except FAULTS:
        return []
