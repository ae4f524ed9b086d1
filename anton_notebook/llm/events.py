"""Inner: server-sent events, from bytes as they arrive to JSON objects."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec

LONGEST = 64 << 20
LINE = 16 << 20
_decode = msgspec.json.Decoder().decode


class Events:
    """Cuts a stream of bytes into events. `feed` gives those that are whole: their name and their data.

    >>> list(Events().feed(b'event: ping\\ndata: {"type": "ping"}\\n\\n'))
    [('ping', b'{"type": "ping"}')]
    """

    def __init__(self) -> None:
        self._rest = b""
        self._name = ""
        self._data: list[bytes] = []
        self.size = 0

    def feed(self, chunk: bytes) -> Iterator[tuple[str, bytes]]:
        self.size += len(chunk)
        if self.size > LONGEST or len(self._rest) > LINE:
            raise ValueError(f"the answer is longer than {LONGEST >> 20} MiB, or a line of it than {LINE >> 20} MiB")
        lines = (self._rest + chunk).split(b"\n")
        self._rest = lines.pop()
        for line in lines:
            line = line.rstrip(b"\r")
            if not line:
                if self._data:
                    data, name = b"\n".join(self._data), self._name
                    self._data, self._name = [], ""
                    yield name, data
                self._name = ""
                continue
            field, _, value = line.partition(b":")
            value = value.removeprefix(b" ")
            if field == b"data":
                self._data.append(value)
            elif field == b"event":
                self._name = value.decode("utf-8", "replace")


def decode(data: bytes) -> dict[str, Any]:
    """The JSON object of an event; ValueError where it is none."""
    try:
        value = _decode(data)
    except msgspec.DecodeError:
        try:
            value = json.loads(data.decode("utf-8", "replace"))
        except RecursionError:
            raise ValueError("nested too deep") from None
    if not isinstance(value, dict):
        raise ValueError("no object")
    return value
