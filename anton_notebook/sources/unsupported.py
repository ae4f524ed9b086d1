"""Files that can hold no lines of JSON, whatever their names say: told once, not line by line."""

from __future__ import annotations

import os
import re
from collections.abc import Callable

import msgspec

from anton_notebook.model.span import Problem
from anton_notebook.sources.anton.line_schema import FAULTS
from anton_notebook.sources.proxy.sqlite_reader import head

HEAD = 4096
MOST = 1 << 24
_decode = msgspec.json.Decoder().decode
_PACKED = {
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\xfd7zXZ\0": "xz",
    b"BZh": "bzip2",
    b"PK\3\4": "zip",
}
_BINARY = {
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"PAR1": "Parquet",
    b"%PDF": "a PDF",
    b"ARROW1": "Arrow",
}
_WIDE = (b"\xff\xfe", b"\xfe\xff")
_SPREAD = re.compile(rb'\s*\{\s*\n\s*"')
_LINE = b"\n{"


def foreign(path: str, start: bytes) -> str | None:
    """Why a file that begins so is none of lines; None where it may be one, or it is too early to say."""
    if _LINE in start:  # whatever stands before it: lines after one that cannot be read are read
        return None
    for magic, name in _PACKED.items():
        if start.startswith(magic):
            return f"is compressed ({name}); unpack it first"
    for magic, name in _BINARY.items():
        if start.startswith(magic):
            return f"is {name}, no trace"
    if start.startswith(_WIDE):
        return "is text in UTF-16; traces are JSON in UTF-8"
    bare = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    if (bare.startswith(b"[") or _SPREAD.match(bare)) and _is_document(path):
        return "is one JSON document, but neither lines with an object each nor an export of OpenTelemetry's"
    return None


def _is_document(path: str) -> bool:
    whole = head(path, 0, MOST + 1)
    try:
        return len(whole) <= MOST and bool(_decode(whole.removeprefix(b"\xef\xbb\xbf")))
    except FAULTS:
        return False


class ForeignFile:
    """One such file. It is looked at again when it changes: lines may come yet, or another file of its name."""

    def __init__(self, path: str, report: Callable[[Problem], None]) -> None:
        self.path = path
        self._report = report
        self._told: str | None = None
        self._seen = self._now()

    def _now(self) -> tuple[int, ...] | None:
        try:
            found = os.stat(self.path)
        except OSError:
            return None
        return found.st_ino, found.st_size, found.st_mtime_ns

    def changed(self) -> bool:
        """Whether it is another than when it was looked at last."""
        was, self._seen = self._seen, self._now()
        return was != self._seen

    def read(self) -> bool:
        """Tells what it is, once. True where that is new."""
        if self._told is not None or (reason := foreign(self.path, head(self.path, 0, HEAD))) is None:
            return False
        self._told = reason
        self._report(Problem(self.path, None, None, reason, None, None))
        return True

    def close(self) -> None:
        """Nothing is open."""
