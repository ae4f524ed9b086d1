"""Spans of a transcript on their way into the store.

A transcript says what happened piece by piece: an answer's usage grows over several lines, a tool's result comes later, a
sub-agent's name is in another file. Sources keep their own small state per call and put a span again whenever it changed; the
last version replaces the one before.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from anton_notebook.errors import BodyUnavailable
from anton_notebook.model.span import ERROR_KEPT, NAT, UNKNOWN, Flag, Own, Records, SpanClass, Status
from anton_notebook.model.usage import Usage
from anton_notebook.store import Store

YOUNG = 600_000_000
"""Microseconds after its last line in which an unfinished session counts as running."""


class Segment(NamedTuple):
    """Where a piece of a span is written: a file's code, a byte offset, a length and the line's number."""

    file: int
    offset: int
    length: int
    line: int


@dataclass(slots=True)
class TranscriptSpan:
    """One span. Times are microseconds since 1970 UTC, `NAT` if unknown."""

    trace_id: str
    span_id: str
    parent_id: str | None
    kind: str
    agent: str
    name: str
    start: int
    end: int = NAT
    status: Status = Status.OK
    provider: str = ""
    model: str = ""
    finish_reason: str = ""
    error: str | None = None
    usage: Usage = field(default_factory=Usage)
    recorded_cost: float = math.nan
    lower_bound: bool = False
    estimated: bool = False
    place: Segment | None = None


def put_spans(store: Store, spans: Iterable[TranscriptSpan]) -> None:
    """Put spans into the store; those that are there already are replaced where they differ."""
    unique = {(span.trace_id, span.span_id): span for span in spans}
    if unique:
        store.upsert(_records(store, list(unique.values())))


def _records(store: Store, spans: list[TranscriptSpan]) -> Records:
    places = [span.place or Segment(UNKNOWN, UNKNOWN, 0, 0) for span in spans]
    classes = [SpanClass(s.kind, s.agent, s.name, s.provider, s.model, s.finish_reason) for s in spans]
    counts = [[UNKNOWN if count is None else count for count in span.usage[:3]] for span in spans]
    columns = np.array(counts, np.int32).reshape(len(spans), 3).T
    flags = [Flag.KEEP | (Flag.ESTIMATED if span.estimated else Flag(0)) for span in spans]
    return Records(
        trace=store.trace_codes([span.trace_id for span in spans]),
        span_id=[span.span_id for span in spans],
        parent_id=[span.parent_id for span in spans],
        cls=np.array([store.class_code(cls) for cls in classes], np.int32),
        start=np.array([span.start for span in spans], np.int64),
        duration=np.array([_duration(span) for span in spans], np.int64),
        status=np.array([int(span.status) for span in spans], np.uint8),
        flags=np.array(flags, np.uint8),
        input=columns[0],
        output=columns[1],
        cached=columns[2],
        recorded_cost=np.array([span.recorded_cost for span in spans], np.float64),
        file=np.array([place.file for place in places], np.int32),
        offset=np.array([place.offset for place in places], np.int64),
        length=np.array([place.length for place in places], np.int32),
        line=np.array([place.line for place in places], np.int32),
        errors={i: span.error[:ERROR_KEPT] for i, span in enumerate(spans) if span.error},
        own={
            i: Own(usage=span.usage if span.usage.has_details else None, lower_bound=span.lower_bound)
            for i, span in enumerate(spans)
            if span.usage.has_details or span.lower_bound
        },
    )


def _duration(span: TranscriptSpan) -> int:
    if span.status == Status.RUNNING or NAT in (span.start, span.end):
        return NAT
    return max(0, span.end - span.start)


Build = Callable[[int], Mapping[str, Any]]
"""Builds the record of the span whose first piece begins at this offset of a file."""


def read_segment(path: str, segment: Segment) -> bytes:
    """Read the bytes of a segment; `BodyUnavailable` if the file is gone or shorter now."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0))
    except OSError as error:
        raise BodyUnavailable(
            f"{path} cannot be read ({error.strerror}); its spans stay, their texts do not"
        ) from error
    try:
        data = os.pread(fd, segment.length, segment.offset)
    except OSError as error:
        raise BodyUnavailable(f"{path} cannot be read ({error.strerror})") from error
    finally:
        os.close(fd)
    if len(data) < segment.length:
        raise BodyUnavailable(f"{path} was cut since this span was read; its text is gone")
    return data
