"""OTLP/JSON files: an `ExportTraceServiceRequest` a line, as the collector's file exporter writes them, or one document.

A span's place is that of its own object in the file, so its text is read back without the rest of its line; where its
resource and scope lie is kept beside. Log records that carry a call's messages are joined to their span, in whatever file.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import msgspec
import numpy as np

from anton_notebook.model.span import ERROR_KEPT, LLM, NAT, UNKNOWN, Flag, Int32, Own, Problem, Records, SpanClass
from anton_notebook.sources.anton.line_schema import FAULTS, Fault, excerpt
from anton_notebook.sources.otlp import semconv as names
from anton_notebook.sources.otlp import wire
from anton_notebook.sources.otlp.locations import Document, Places, SpanBody
from anton_notebook.sources.otlp.other_wordings import AGENTS_SPAN, as_otlp, workflow_name
from anton_notebook.sources.otlp.record import dropped_parts
from anton_notebook.sources.otlp.run_grouping import Family
from anton_notebook.sources.otlp.values import first_text
from anton_notebook.sources.otlp.wire_schema import NOTHING, WireSpan
from anton_notebook.sources.tail import Lines, Tail
from anton_notebook.store import Store

KIND = "otlp"
FLUSH = 4096
COMMIT = 65_536
LIMIT = 64 << 20
STALE = 3.0
"""Seconds after which an unfinished document counts as broken off."""
MARKS = (
    b'"resourceSpans"', b'"resourceLogs"', b'"resourceMetrics"', b'"batches"', b'"resource_spans"', b'"resource_logs"',
)  # fmt: skip
_OTHERS = (b'{"object":"trace"', b'{"object":"trace.span"')
_CONSOLE = b'"context":{"trace_id":"0x'
_TEMPO = b'{"trace":{'
_START = b'{"resourceSpans"'


def is_otlp(head: bytes) -> bool | None:
    """Whether a file that begins so holds OTLP/JSON: its first object, or one at the start of a line, has a key of it first.
    None where it is too early to say."""
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    bare = b"".join(start[:1000].split()).removeprefix(b"[")
    firsts = [*(b"{" + mark for mark in MARKS), *_OTHERS]
    if any(bare.startswith(first) or b"\n" + first in head for first in firsts):
        return True
    if bare.startswith(b'{"name":') and _CONSOLE in bare:
        return True
    if bare.startswith(_TEMPO) and any(mark in head for mark in MARKS):
        return True
    return None if start and any(first.startswith(bare) for first in (*firsts, _TEMPO)) else False


def is_document(head: bytes) -> bool:
    """Whether a JSON file that begins so is an export of OpenTelemetry's. Among files of any kind `batches` alone is not enough."""
    if not is_otlp(head):
        return False
    certain = (*MARKS[:3], *MARKS[4:], b'"scopeSpans"', b'"resource"', b'"trace.span"', b'"workflow_name"')
    return any(mark in head for mark in certain)


class _Found(NamedTuple):
    """A span on its way into the store."""

    trace: str
    span_id: str
    parent: str | None
    light: names.Light
    start: int
    duration: int
    status: int
    error: str | None
    offset: int
    length: int
    line: int


class OtlpFile:
    """One OTLP/JSON file, followed into a store."""

    def __init__(self, path: str, store: Store, report: Callable[[Problem], None], family: Family) -> None:
        self.path = path
        self.tail = Tail(path, limit=LIMIT)
        self._store, self._report, self._family = store, report, family
        self._file = -1
        self._missing = False
        self._renew()

    def read(self) -> bool:
        """Reads what is new. True where anything was."""
        if self.tail.rests() and self._document is None and not self.tail.partial:
            return False
        seen = False
        for part in self.tail.read():
            seen = True
            if self.tail.generation != self._generation:
                self._flush()
                self._renew()
            if not isinstance(part, Lines):
                self._tell(part.reason, part.line, part.offset)
                continue
            at = part.offset
            for number, text in enumerate(part.lines, part.number):
                self._line(text, at, number)
                at += len(text) + 1
        seen |= self._unfinished()
        self._flush()
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
        self._places = Places()
        self._held: list[_Found] = []
        self._uncommitted = 0
        self._document: Document | None = None
        self._by_lines = False
        self._taken = self._tried = (-1, 0)
        self._given_up = -1

    def _tell(
        self, reason: str, line: int | None, offset: int | None, field: str | None = None, text: bytes = b""
    ) -> None:
        self._report(Problem(self.path, line, offset, reason, field, excerpt(text) if text else None))

    def _body(self) -> int:
        if self._file < 0:
            self._loader = SpanBody(self.path, self.tail, self._places, self._family)
            self._file = self._store.add_file(self.path, self._loader.load, KIND)
        return self._file

    # -- lines and documents

    def _line(self, text: bytes, offset: int, number: int) -> None:
        bare = text.strip()
        if self._taken[0] == offset and self._taken[1] == len(text.rstrip()):
            return  # it was whole before its newline came
        if (any(mark in text for mark in MARKS) or AGENTS_SPAN.match(text)) and self._document_in(text, offset, number):
            self._abandon()
            self._by_lines = True
            return
        if self._document is None:
            if not bare:
                return
            if self._by_lines or wire.depth(text) <= 0:
                self._broken(text, offset, number)
                return
            self._document = Document(offset, number)
        document = self._document
        document.add(text)
        if document.size > LIMIT:
            self._tell(f"a document over the limit of {LIMIT} bytes was skipped", document.number, document.offset)
            self._document, self._by_lines = None, True
        elif document.depth <= 0:
            self._document = None
            if not self._document_in(document.data, document.offset, document.number):
                self._broken(document.data, document.offset, document.number)

    def _abandon(self) -> None:
        """A document that was not finished when another began is broken off."""
        document, self._document = self._document, None
        if document is not None:
            self._broken(document.data, document.offset, document.number)

    def _unfinished(self) -> bool:
        """What stands behind the last newline, where it is whole without one: nothing that could follow makes it other JSON."""
        rest, offset = self.tail.partial, self.tail.offset
        size = len(rest.rstrip())
        document = self._document
        if self._tried != (offset, size) and self._taken != (offset, size) and rest[:size].endswith((b"}", b"]")):
            self._tried = (offset, size)
            data = document.data + b"\n" + rest if document is not None else rest
            start, number = (document.offset, document.number) if document else (offset, self.tail.number)
            if self._document_in(data, start, number):
                self._document = None
                self._taken = (offset, size)
                return True
        return self._stale(rest)

    def _stale(self, rest: bytes) -> bool:
        """A document that was begun and not ended for a while gives what it holds; should it be ended later, that is the same."""
        document = self._document
        size = len(rest) + (document.size if document is not None else 0)
        if (
            not size
            or size == self._given_up
            or (document is None and self._by_lines)
            or self._taken[1] == len(rest.rstrip())
        ):
            return False
        try:
            if time.time() - os.stat(self.path).st_mtime < STALE:
                return False
        except OSError:
            return False
        self._given_up = size
        if document is None:
            self._broken(rest, self.tail.offset, self.tail.number)
        else:
            self._broken(document.data + b"\n" + rest, document.offset, document.number)
        return True

    def _document_in(self, data: bytes, offset: int, number: int) -> bool:
        """Takes in one whole document. False where it is none."""
        bom = len(data) - len(data.removeprefix(b"\xef\xbb\xbf"))
        try:
            found = wire.groups(data[bom:])
        except FAULTS:
            return False
        if found is None:
            return False
        self._take(data[bom:], offset + bom, number, found)
        return True

    def _broken(self, data: bytes, offset: int, number: int) -> None:
        """Bytes that are no document: what is whole in them is taken in, the rest is a problem row."""
        again = data.rfind(_START)
        if again > 0 and self._document_in(data[again:], offset + again, number):
            data = data[:again]
        reason = "not OTLP: it has none of resourceSpans, resourceLogs, resourceMetrics"
        try:
            wire.groups(data)
        except FAULTS as error:
            reason = f"not JSON: {error}"
        found = wire.salvage(data) if any(mark in data for mark in MARKS) else []
        count = sum(len(group.spans) for group in found)
        rest = (
            f"; {count} whole span{'s' if count != 1 else ''} of it {'were' if count != 1 else 'was'} read"
            if count
            else ""
        )
        self._tell(reason + rest, number, offset, None, data)
        self._take(data, offset, number, found)

    # -- spans

    def _take(self, data: bytes, base: int, number: int, found: list[wire.Group]) -> None:
        """Takes in the spans and log records of `data`, which begins at byte `base` of the file."""
        self._body()
        for group in found:
            for offset, length in group.logs:
                self._log(data[offset : offset + length], base + offset)
            if group.spans:
                self._places.add(base + group.spans[0][0], base, group)
            for offset, length in group.spans:
                self._span(data[offset : offset + length], base + offset, number)
            if len(self._held) >= FLUSH:
                self._flush()

    def _log(self, raw: bytes, offset: int) -> None:
        try:
            log = wire.decode_log(as_otlp(raw))
        except FAULTS:
            return
        trace, span = wire.hex_id(log.trace_id), wire.hex_id(log.span_id)
        event = log.event_name or ""
        for pair in log.attributes or ():
            if pair.key == "event.name" and not event:
                event = str(wire.attribute(pair.value))
        if trace and span and event.startswith("gen_ai."):
            self._family.add_log(trace, span, self._loader.pieces, (offset, len(raw)))

    def _span(self, raw: bytes, offset: int, number: int) -> None:
        faults: list[Fault] = []
        span: WireSpan | None
        if (run := workflow_name(raw)) is not None:
            self._family.name_run(*run)
            return
        converted = as_otlp(raw)
        try:
            span = wire.decode_span(converted)
        except FAULTS:
            span = wire.tolerant(converted, faults)
        found = None if span is None else self._found(span, raw, offset, number, faults)
        for fault in faults:
            self._tell(fault.reason, number, offset, fault.field, raw)
        if found is not None:
            self._held.append(found)

    def _found(self, span: WireSpan, raw: bytes, offset: int, number: int, faults: list[Fault]) -> _Found | None:
        trace, span_id, parent = map(wire.hex_id, (span.trace_id, span.span_id, span.parent_span_id))
        if trace is None or span_id is None:
            faults.append(Fault("not a span: it has no traceId or no spanId", "traceId" if trace is None else "spanId"))
            return None
        attributes = wire.LazyAttributes(span.attributes)
        light = names.light(attributes, span.name or "", span.kind, parent is None, faults)
        if light.kind == names.CREATE_AGENT and parent is None:
            return None  # it makes an agent object; nothing runs
        if light.kind == LLM:
            if not light.finish_reason and span.events is not NOTHING:
                light = light._replace(finish_reason=finish_in_events(span.events))
            faults += lost_attributes(attributes, span.dropped_attributes_count)
        start, end = wire.micros(span.start_time_unix_nano), wire.micros(span.end_time_unix_nano)
        if start == NAT:
            faults.append(
                Fault(f"expected nanoseconds since 1970, found {span.start_time_unix_nano!r}", "startTimeUnixNano")
            )
        duration = NAT if NAT in (start, end) else end - start
        if duration != NAT and duration < 0:
            faults.append(Fault("it ends before it begins", "endTimeUnixNano"))
            duration = NAT
        failed = wire.has_failed(span.status.code if span.status is not None else None, attributes)
        error = error_of(span, attributes) if failed else None
        status = 2 if failed else 1 if end != NAT else 0
        return _Found(trace, span_id, parent, light, start, duration, status, error, offset, len(raw), number)

    def _flush(self) -> None:
        held, self._held = self._held, []
        if not held:
            return
        store, n = self._store, len(held)
        lights = [found.light for found in held]
        classes = [SpanClass(x.kind, x.agent, x.name, x.provider, x.model, x.finish_reason) for x in lights]
        records = Records(
            trace=store.trace_codes([found.trace for found in held]),
            span_id=[found.span_id for found in held],
            parent_id=[found.parent for found in held],
            cls=np.array([store.class_code(cls) for cls in classes], np.int32),
            start=np.array([found.start for found in held], np.int64),
            duration=np.array([found.duration for found in held], np.int64),
            status=np.array([found.status for found in held], np.uint8),
            flags=np.full(n, np.uint8(Flag.KEEP)),
            input=_counts(x.usage.input_tokens for x in lights),
            output=_counts(x.usage.output_tokens for x in lights),
            cached=_counts(x.usage.cached_tokens for x in lights),
            recorded_cost=np.array([np.nan if x.cost is None else x.cost for x in lights], np.float64),
            file=np.full(n, self._body(), np.int32),
            offset=np.array([found.offset for found in held], np.int64),
            length=np.array([found.length for found in held], np.int32),
            line=np.array([found.line for found in held], np.int32),
            errors={i: found.error[:ERROR_KEPT] for i, found in enumerate(held) if found.error},
            own={i: Own(usage=x.usage) for i, x in enumerate(lights) if x.usage.has_details},
        )
        self._family.put(records, {i: x.response_id for i, x in enumerate(lights) if x.response_id})
        self._uncommitted += n
        if self._uncommitted >= COMMIT:
            self._uncommitted = 0
            self._family.settle()


def _counts(values: Iterable[int | None]) -> Int32:
    return np.array([UNKNOWN if value is None else value for value in values], np.int32)


def finish_in_events(events: msgspec.Raw) -> str:
    """Return why the model stopped, from the event that holds its answer."""
    listed = wire.attribute(events)
    for event in listed if isinstance(listed, list) else ():
        if isinstance(event, dict) and event.get("name") == "gen_ai.choice":
            reason = wire.pairs(event.get("attributes")).get("finish_reason")
            if isinstance(reason, str):
                return reason
    return ""


def lost_attributes(attributes: Mapping[str, Any], dropped: object) -> list[Fault]:
    """Return a fault if the SDK's limit of attributes has cut a call's conversation."""
    lost = dropped_parts(attributes, dropped)
    if not lost:
        return []
    count = f"{dropped} attributes" if str(dropped or 0) != "0" else "the first messages"
    reason = (
        f"{count} were dropped when the span was recorded (OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT); the request is not whole"
    )
    return [Fault(reason, lost[0])]


def error_of(span: WireSpan, attributes: Mapping[str, Any]) -> str | None:
    """What a failed span says of its failure: its status, else its exception, else the type of error."""
    if span.status is not None and span.status.message:
        return span.status.message
    events = wire.attribute(span.events)
    for event in events if isinstance(events, list) else ():
        if isinstance(event, dict) and event.get("name") == "exception":
            found = wire.pairs(event.get("attributes"))
            for key in ("exception.message", "exception.type"):
                if isinstance(found.get(key), str) and found[key]:
                    return str(found[key])
    return first_text(attributes, (names.ERROR_TYPE,)) or None
