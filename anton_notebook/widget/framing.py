"""A header and its buffers as one bytes object, for connections other than Jupyter's and for saved states."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from typing import Any


def frame(header: Mapping[str, Any], buffers: Sequence[Any] = ()) -> bytes:
    """Pack a header and its buffers into one bytes object, for connections other than Jupyter's.

    4 bytes with the length of the JSON header, the header, then for each buffer 4 bytes with its length and its bytes, which
    start at a multiple of 8, so that the page reads columns in place.

    >>> frame({"type": "x"}).hex()[:8]
    '0c000000'
    """
    text = json.dumps(header, ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode()
    parts = [struct.pack("<I", len(text)), text]
    size = 4 + len(text)
    for buffer in buffers:
        body = buffer if isinstance(buffer, bytes) else bytes(buffer)
        # Typed arrays need aligned offsets; without padding the page would copy each column.
        pad = -(size + 4) % 8
        parts += [b"\0" * pad, struct.pack("<I", len(body)), body]
        size += pad + 4 + len(body)
    return b"".join(parts)
