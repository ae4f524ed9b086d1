"""Folders of trace files: which they are for a path, and what lies in them now."""

from __future__ import annotations

import os
from pathlib import Path

from anton_notebook.sources.home import MODULAR

ENDING = ".jsonl"


class Folder:
    """One folder of trace files. Its listing is made anew only when the folder itself has changed."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._stamp: tuple[int, int] | None = None
        self._files: list[str] = []

    def exists(self) -> bool:
        """Whether it is there now."""
        return os.path.isdir(self.path)

    def takes(self, path: str) -> bool:
        """Whether a path in this folder is one to read: a trace file, no link out of the folder."""
        if not path.endswith(ENDING):
            return False
        if os.path.islink(path):
            inside = os.path.realpath(self.path) + os.sep
            return os.path.realpath(path).startswith(inside)
        return True

    def files(self) -> list[str]:
        """The trace files in it, by name."""
        try:
            now = os.stat(self.path)
        except OSError:
            self._stamp, self._files = None, []
            return []
        stamp = (now.st_mtime_ns, now.st_ino)
        if stamp != self._stamp:
            try:
                with os.scandir(self.path) as entries:
                    found = [(e.name, e.is_symlink()) for e in entries if e.name.endswith(ENDING)]
            except OSError:
                return self._files
            self._stamp = stamp
            paths = [(os.path.join(self.path, name), link) for name, link in sorted(found)]
            self._files = [path for path, link in paths if not link or self.takes(path)]
        return self._files


def roots_of(path: str, home: Path) -> list[Folder]:
    """The folders of traces that a folder stands for, whether they are there yet or not; the first is the likeliest."""
    if os.path.basename(path) == MODULAR:
        return [Folder(os.path.join(path, "traces"))]
    inner = os.path.join(path, MODULAR, "traces")
    if os.path.isdir(os.path.join(path, MODULAR)):
        return [Folder(inner)]
    own = Folder(path)
    if own.files():
        return [own]
    if os.path.isdir(os.path.join(path, "traces")):
        return [Folder(os.path.join(path, "traces"))]
    if os.path.basename(path) == "traces" or os.path.basename(os.path.dirname(path)) == MODULAR:
        return [own]
    return [Folder(inner)]
