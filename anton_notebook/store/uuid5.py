"""Ids of spans that have none of their own, made from what they are."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Sequence

import numpy as np

_NAMESPACE = uuid.NAMESPACE_URL.bytes
_HEX = np.frombuffer(bytes(range(256)).hex().encode(), np.uint8).reshape(256, 2)
_PLACES = np.array([at for at in range(36) if at not in (8, 13, 18, 23)])
_VARIANT = dict(zip("0123456789abcdef", "89ab" * 4, strict=True))


def uuid5(name: str) -> str:
    """A UUIDv5 in the namespace of URLs.

    >>> uuid5("a") == str(uuid.uuid5(uuid.NAMESPACE_URL, "a"))
    True
    """
    h = hashlib.sha1(_NAMESPACE + name.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()
    return f"{h[:8]}-{h[8:12]}-5{h[13:16]}-{_VARIANT[h[16]]}{h[17:20]}-{h[20:32]}"


def uuid5s(names: Sequence[str]) -> list[str]:
    """Many of them.

    >>> uuid5s(["a", "b"]) == [uuid5("a"), uuid5("b")]
    True
    """
    sha1, space = hashlib.sha1, _NAMESPACE
    digests = [sha1(space + name.encode("utf-8", "surrogatepass"), usedforsecurity=False).digest() for name in names]
    raw = np.frombuffer(b"".join(digests), np.uint8).reshape(len(names), 20)[:, :16].copy()
    raw[:, 6] = raw[:, 6] & 0x0F | 0x50
    raw[:, 8] = raw[:, 8] & 0x3F | 0x80
    out = np.full((len(names), 36), ord("-"), np.uint8)
    out[:, _PLACES] = _HEX[raw].reshape(len(names), 32)
    whole = out.tobytes().decode("ascii")
    return [whole[at : at + 36] for at in range(0, len(whole), 36)]
