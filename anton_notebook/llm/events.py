"""Inner: server-sent events, from bytes as they arrive to JSON objects."""

from __future__ import annotations

import json
from typing import Any

import msgspec

LONGEST = 64 << 20
LINE = 16 << 20
_decode = msgspec.json.Decoder().decode


class Events:
    """Cuts a stream of bytes into events. `feed` gives those that are whole: their name and their data.

    >>> Events().feed(b'event: ping\\ndata: {"type": "ping"}\\n\\n')
    [('ping', b'{"type": "ping"}')]
    """

    def __init__(self) -> None:
        self._rest = b""
        self._name = ""
        self._data: list[bytes] = []
        self.size = 0

    def feed(self, chunk: bytes) -> list[tuple[str, bytes]]:
        self.size += len(chunk)
        if self.size > LONGEST or len(self._rest) > LINE:
            raise ValueError(f"the answer is longer than {LONGEST >> 20} MiB, or a line of it than {LINE >> 20} MiB")
        lines = (self._rest + chunk).split(b"\n")
        self._rest = lines.pop()
        found = []
        for line in lines:
            if line.endswith(b"\r"):
                line = line.rstrip(b"\r")
            if line.startswith(b"data: "):  # nearly all of them
                self._data.append(line[6:])
            elif not line:
                if self._data:
                    found.append((self._name, self._data[0] if len(self._data) == 1 else b"\n".join(self._data)))
                    self._data = []
                self._name = ""
            else:
                field, _, value = line.partition(b":")
                value = value.removeprefix(b" ")
                if field == b"data":
                    self._data.append(value)
                elif field == b"event":
                    self._name = value.decode("utf-8", "replace")
        return found


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
