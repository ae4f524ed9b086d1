"""The whole record of a span, read back from its file when somebody looks."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from anton_notebook.errors import BodyUnavailable
from anton_notebook.sources.anton.line_schema import FAULTS, Fault, load
from anton_notebook.sources.tail import Tail


class Body:
    """Reads the whole record of a span back from its file."""

    def __init__(self, path: str, tail: Tail) -> None:
        self._path = path
        self._tail = tail
        self._generation = tail.generation

    def load(self, offset: int, length: int) -> Mapping[str, Any]:
        """The record at `offset`; `BodyUnavailable` where the file is no longer the one that was read."""
        if self._tail.generation != self._generation or self._tail.gone:
            raise self._changed()
        try:
            fd = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                if not self._tail.knows(fd):
                    raise self._changed()
                line = os.pread(fd, length, offset)
            finally:
                os.close(fd)
        except OSError as error:
            raise BodyUnavailable(
                f"{self._path} cannot be read ({error.strerror}); its spans stay, their texts do not"
            ) from error
        faults: list[Fault] = []
        try:
            record = load(line.removeprefix(b"\xef\xbb\xbf"), faults)
        except FAULTS as error:
            raise BodyUnavailable(
                f"{self._path} at byte {offset} no longer holds the line that was read: {error}"
            ) from error
        if not isinstance(record, dict):
            raise BodyUnavailable(f"{self._path} at byte {offset} no longer holds the line that was read")
        if isinstance(record.get("event_type"), str) and isinstance(record.get("data"), dict):
            record = {**record, **record["data"]}
        if faults:
            record["_faults"] = [fault.reason for fault in faults]
        return record

    def _changed(self) -> BodyUnavailable:
        return BodyUnavailable(f"{self._path} was removed, cut or replaced since this span was read; its text is gone")
