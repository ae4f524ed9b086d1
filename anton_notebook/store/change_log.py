"""The store's memory of what changed: the last 100,000 changes, by revision."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from anton_notebook.model.span import Int32

KEPT = 100_000


class Changes(NamedTuple):
    """What changed between two revisions. `since` is -1 where `rows` is everything (a snapshot)."""

    since: int
    revision: int
    rows: Int32
    gone: Int32


class ChangeLog:
    """Rows in the order of their changes; a row taken back is held as its complement."""

    def __init__(self) -> None:
        self._entries = np.empty(4096, np.int32)
        self._used = 0
        self.revision = 0

    def extend(self, rows: Int32, gone: Int32) -> None:
        """Numbers these changes: first the rows that go, then those that are put."""
        new = np.concatenate([~gone, rows])
        self.revision += len(new)
        if len(new) > KEPT:
            self._used = 0
            return
        if self._used + len(new) > len(self._entries):
            kept = self._entries[max(0, self._used - KEPT) : self._used]
            total = len(kept) + len(new)
            bigger = np.empty(max(4096, total + min(total, KEPT >> 2)), np.int32)
            bigger[: len(kept)] = kept
            self._entries, self._used = bigger, len(kept)
        self._entries[self._used : self._used + len(new)] = new
        self._used += len(new)

    def since(self, revision: int) -> tuple[Int32, Int32] | None:
        """The rows put and gone after `revision`, each once, in order of row; None where the log does not reach back so far."""
        missing = self.revision - revision
        if missing < 0 or missing > min(self._used, KEPT):
            return None
        entries = self._entries[self._used - missing : self._used]
        if (entries < 0).any():
            last = {int(~e if e < 0 else e): bool(e < 0) for e in entries}
            put = np.array(sorted(r for r, g in last.items() if not g), np.int32)
            away = np.array(sorted(r for r, g in last.items() if g), np.int32)
            return put, away
        return np.unique(entries), np.empty(0, np.int32)
