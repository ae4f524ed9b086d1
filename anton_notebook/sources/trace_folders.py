"""Folders of trace files: which they are for a path, and what lies in them now."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable
from pathlib import Path

from anton_notebook.sources.home import MODULAR
from anton_notebook.sources.otlp.file import is_document, is_otlp
from anton_notebook.sources.otlp.protobuf_file import ENDINGS as PROTOBUF_ENDINGS

ENDING = ".jsonl"
DOCUMENT = ".json"
HEAD = 4096
_ROTATED = re.compile(r"\.jsonl\.[0-9]{1,8}")


def _is_lines(name: str) -> bool:
    """Whether a file of this name holds lines; a rotated one has a number behind its name."""
    if name.endswith((ENDING, *PROTOBUF_ENDINGS)):
        return True
    return name[-1:].isdigit() and _ROTATED.fullmatch(name[name.rfind(ENDING) :]) is not None


class Folder:
    """One folder of trace files: its `*.jsonl` (and `*.jsonl.1`, as they are rotated), and those of its `*.json` that hold
    OpenTelemetry's spans.

    Its listing is made anew only when the folder itself has changed. JSON of another kind is nobody's business here: it is looked
    at again only with a new listing or when somebody says that it was written; what is still too short to tell, each time.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._stamp: tuple[int, int] | None = None
        self._lines: list[str] = []
        self._documents: dict[str, tuple[int, int, int] | None] = {}
        self._short: set[str] = set()

    def exists(self) -> bool:
        """Whether it is there now."""
        return os.path.isdir(self.path)

    def takes(self, path: str) -> bool:
        """Whether a path in this folder is one to read: a trace file, no link out of the folder."""
        if path.endswith(DOCUMENT):
            return self._inside(path) and self._is_document(path)
        return _is_lines(path) and self._inside(path)

    def files(self) -> list[str]:
        """The trace files in it, by name."""
        try:
            now = os.stat(self.path)
        except OSError:
            self._stamp, self._lines, self._documents = None, [], {}
            return []
        stamp = (now.st_mtime_ns, now.st_ino)
        if stamp != self._stamp:
            try:
                with os.scandir(self.path) as entries:
                    found = sorted(
                        e.path for e in entries if (_is_lines(e.name) or e.name.endswith(DOCUMENT)) and self._regular(e)
                    )
            except OSError:
                return self._lines
            self._stamp = stamp
            self._lines = [path for path in found if not path.endswith(DOCUMENT)]
            documents = [path for path in found if path.endswith(DOCUMENT)]
            self._documents = {path: self._documents.get(path, (0, 0, 0)) for path in documents}
            again = documents
        else:
            again = sorted(self._short)
        for path in again:
            self._is_document(path)
        self._short &= self._documents.keys()
        more = [path for path, foreign in self._documents.items() if foreign is None]
        return sorted([*self._lines, *more]) if more else self._lines

    def _is_document(self, path: str) -> bool:
        known = self._documents.get(path, (0, 0, 0))
        if known is None:
            return True
        try:
            found = os.stat(path)
            now = (found.st_mtime_ns, found.st_size, found.st_ino)
            if now == known:
                return False
            start = b""
            if stat.S_ISREG(found.st_mode):
                with open(path, "rb") as file:
                    start = file.read(HEAD)
        except OSError:
            return False
        is_one = is_document(start)
        self._documents[path] = None if is_one else now
        if is_one or len(start) == HEAD or (start and is_otlp(start) is False):
            self._short.discard(path)
        else:
            self._short.add(path)
        return is_one

    def _regular(self, entry: os.DirEntry[str]) -> bool:
        if not entry.is_symlink():
            return not entry.name.endswith(DOCUMENT) or entry.is_file()
        return self._inside(entry.path) and os.path.isfile(entry.path)

    def _inside(self, path: str) -> bool:
        return not os.path.islink(path) or os.path.realpath(path).startswith(os.path.realpath(self.path) + os.sep)


def roots_of(path: str, home: Path, folder: Callable[[str], Folder] = Folder) -> list[Folder]:
    """The folders of traces that a folder stands for, whether they are there yet or not; the first is the likeliest.

    `folder` makes the objects; who has them already gives them again, and no listing is made twice.
    """
    if os.path.basename(path) == MODULAR:
        return [folder(os.path.join(path, "traces"))]
    inner = os.path.join(path, MODULAR, "traces")
    if os.path.isdir(os.path.join(path, MODULAR)):
        return [folder(inner)]
    own = folder(path)
    if own.files():
        return [own]
    if os.path.isdir(os.path.join(path, "traces")):
        return [folder(os.path.join(path, "traces"))]
    if os.path.basename(path) == "traces" or os.path.basename(os.path.dirname(path)) == MODULAR:
        return [own]
    return [folder(inner)]
