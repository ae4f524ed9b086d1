"""Transcripts in a tree of folders: `~/.claude/projects` and its like.

A listing is made again only for folders whose modification time changed, so that a pass over a long history costs one `stat`
per folder. Links are not followed, and a bound holds for the number of entries.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable

MOST_ENTRIES = 200_000
DEEPEST = 10
HEAD = 4096
SKIPPED = frozenset({"node_modules", "__pycache__", "site-packages", ".git", ".venv", "venv"})
ENDINGS = (".jsonl", ".json", ".traj", ".db")


class DeepFolder:
    """Lists the files below a folder that a test accepts, newest first."""

    def __init__(self, path: str, accepts: Callable[[str], bool]) -> None:
        self.path = path
        self.cut = False
        self._accepts = accepts
        self._stamps: dict[str, int] = {}
        self._folders: dict[str, tuple[list[str], list[str]]] = {}
        self._known: dict[str, tuple[bool, int]] = {}

    def files(self) -> list[str]:
        """Return the accepted files, the one written last first."""
        found: list[tuple[int, str]] = []
        pending, entries = [(self.path, 0)], 0
        while pending:
            folder, depth = pending.pop()
            names, folders = self._listing(folder)
            entries += len(names) + len(folders)
            if entries > MOST_ENTRIES:
                self.cut = True
                break
            if depth < DEEPEST:
                pending += [(inner, depth + 1) for inner in folders]
            for path in names:
                try:
                    now = os.lstat(path)
                except OSError:
                    continue
                if stat.S_ISREG(now.st_mode) and self._takes(path, now.st_size):
                    found.append((now.st_mtime_ns, path))
        return [path for _, path in sorted(found, reverse=True)]

    def folders(self) -> list[str]:
        """Return the folders that were looked into."""
        return list(self._folders)

    def _takes(self, path: str, size: int) -> bool:
        known, seen = self._known.get(path, (False, -1))
        if known or (seen >= 0 and (seen == size or seen >= HEAD)):
            return known
        # A file that is still shorter than what is looked at may turn out to be a transcript later.
        known = size > 0 and self._accepts(path)
        self._known[path] = known, size
        return known

    def _listing(self, folder: str) -> tuple[list[str], list[str]]:
        try:
            stamp = os.lstat(folder).st_mtime_ns
            if self._stamps.get(folder) == stamp:
                return self._folders[folder]
            names, folders = [], []
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.is_symlink():
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        if entry.name not in SKIPPED:
                            folders.append(entry.path)
                    elif entry.name.endswith(ENDINGS):
                        names.append(entry.path)
        except OSError:
            return [], []
        self._stamps[folder] = stamp
        self._folders[folder] = names, folders
        return names, folders
