"""Decoded lines between the file and the store."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from anton_notebook.sources.lines import FAULTS, Line, Plain, decode_plain
from anton_notebook.span import Int32, Int64


@dataclass(slots=True)
class Held:
    """Decoded lines on their way into the store, with their places (offset, length, number)."""

    lines: list[Line | Plain] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    traces: list[str] = field(default_factory=list)
    times: list[str] = field(default_factory=list)
    places: list[tuple[Int64, Int32, Int32]] = field(default_factory=list)
    marked: bool = False

    def clear(self) -> None:
        self.lines, self.ids, self.traces, self.times, self.places, self.marked = [], [], [], [], [], False


def all_plain(raw: list[bytes]) -> list[Plain]:
    """All lines decoded where all are plain, else none."""
    try:
        lines = list(map(decode_plain, raw))
    except FAULTS:
        return []
    # A list is made faster than a generator is asked.
    return [] if not all([line.span_id and line.trace_id for line in lines]) else lines  # noqa: C419


@contextmanager
def no_collection() -> Iterator[None]:
    """Nothing that is decoded can form a circle, and looking for circles would take a fifth of the time."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
