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
        self.size = 0

    def feed(self, chunk: bytes) -> list[tuple[str, bytes]]:
        self.size += len(chunk)
        if self.size > LONGEST or len(self._rest) > LINE:
            raise ValueError(f"the answer is longer than {LONGEST >> 20} MiB, or an event of it than {LINE >> 20} MiB")
        text = self._rest + chunk
        if b"\r" in text:  # a lone one at the end may be half of a line's end
            cut = len(text) - text.endswith(b"\r")
            text = text[:cut].replace(b"\r\n", b"\n") + text[cut:]
        blocks = text.split(b"\n\n")
        self._rest = blocks.pop()
        found = []
        for block in blocks:
            head, _, rest = block.partition(b"\n")
            if head.startswith(b"event: ") and rest.startswith(b"data: ") and b"\n" not in rest:
                found.append((head[7:].decode("utf-8", "replace"), rest[6:]))
            elif head.startswith(b"data: ") and not rest:
                found.append(("", head[6:]))
            elif (event := _event(block)) is not None:
                found.append(event)
        return found


def _event(block: bytes) -> tuple[str, bytes] | None:
    """An event of any lines; None of one without data."""
    name, data = "", []
    for line in block.split(b"\n"):
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            data.append(value)
        elif field == b"event":
            name = value.decode("utf-8", "replace")
    return (name, b"\n".join(data)) if data else None


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
