"""Where an OTLP file's spans, resources and scopes lie, and how a span's whole record is read back from there."""

from __future__ import annotations

import os
from array import array
from bisect import bisect_right
from collections.abc import Mapping
from typing import Any

from anton_notebook.errors import BodyUnavailable
from anton_notebook.sources.anton.line_schema import FAULTS
from anton_notebook.sources.otlp import wire
from anton_notebook.sources.otlp.other_wordings import as_otlp
from anton_notebook.sources.otlp.record import record_of
from anton_notebook.sources.otlp.run_grouping import Family
from anton_notebook.sources.tail import Tail


class Document:
    """A JSON document over several lines."""

    def __init__(self, offset: int, number: int) -> None:
        self.offset, self.number = offset, number
        self.lines: list[bytes] = []
        self.size = self.depth = 0

    def add(self, line: bytes) -> None:
        """Takes in the next line."""
        self.lines.append(line)
        self.size += len(line) + 1
        self.depth += wire.depth(line)

    @property
    def data(self) -> bytes:
        """The bytes so far."""
        return b"\n".join(self.lines)


class Places:
    """Where the resource and scope of a file's spans lie: what stands last at or before a span's offset is its own."""

    def __init__(self) -> None:
        self._starts = array("q")
        self._places = array("q")
        self._schemas: list[tuple[str, str]] = []
        self._code: dict[tuple[str, str], int] = {}

    def add(self, start: int, base: int, group: wire.Group) -> None:
        """Notes that from the span at `start` on the group's resource and scope hold; `base`: where its bytes begin in the file."""
        code = self._code.setdefault(group.schemas, len(self._schemas))
        if code == len(self._schemas):
            self._schemas.append(group.schemas)
        at = bisect_right(self._starts, start) if self._starts and start < self._starts[-1] else len(self._starts)
        if at and self._starts[at - 1] == start:
            return
        self._starts.insert(at, start)
        (resource, long), (scope, wide) = group.resource, group.scope
        self._places[5 * at : 5 * at] = array("q", [base + resource, long, base + scope, wide, code])

    def of(self, offset: int) -> tuple[wire.Place, wire.Place, tuple[str, str]]:
        """Resource, scope and schema addresses of the span at `offset`."""
        at = bisect_right(self._starts, offset) - 1
        if at < 0:
            return (0, 0), (0, 0), ("", "")
        a, b, c, d, code = self._places[5 * at : 5 * at + 5]
        return (a, b), (c, d), self._schemas[code]


class SpanBody:
    """Reads the whole record of a span back from its file, as it was under one generation."""

    def __init__(self, path: str, tail: Tail, places: Places, family: Family) -> None:
        self._path, self._tail, self._places, self._family = path, tail, places, family
        self._generation = tail.generation

    def load(self, offset: int, length: int) -> Mapping[str, Any]:
        """Return the record at `offset`, completed by what neighboring spans recorded.

        Raises:
            BodyUnavailable: The file is no longer the one that was read.
        """
        record = self.load_alone(offset, length)
        self._family.complete(record)
        return record

    def load_alone(self, offset: int, length: int) -> dict[str, Any]:
        """Return the record at `offset` as its span recorded it."""
        resource, scope, schemas = self._places.of(offset)
        span, *around = self.pieces([(offset, length), resource, scope])
        try:
            return record_of(as_otlp(span), around[0], around[1], schemas, self._family.logs_of)
        except FAULTS as error:
            raise BodyUnavailable(
                f"{self._path} at byte {offset} no longer holds the span that was read: {error}"
            ) from error

    def pieces(self, places: list[wire.Place]) -> list[bytes]:
        """The bytes at these places."""
        if self._tail.generation != self._generation or self._tail.gone:
            raise BodyUnavailable(
                f"{self._path} was removed, cut or replaced since this span was read; its text is gone"
            )
        try:
            fd = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                if not self._tail.knows(fd):
                    raise BodyUnavailable(
                        f"{self._path} was removed, cut or replaced since this span was read; its text is gone"
                    )
                return [os.pread(fd, length, offset) if length else b"" for offset, length in places]
            finally:
                os.close(fd)
        except OSError as error:
            raise BodyUnavailable(
                f"{self._path} cannot be read ({error.strerror}); its spans stay, their texts do not"
            ) from error
