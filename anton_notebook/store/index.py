"""From a span's identity to its row: open addressing over numpy, so that a million ids cost 20 bytes each and a batch is looked
up in a few array operations.

Only 64-bit hashes are compared here; whoever asks compares the ids themselves. Python's string hash is keyed per process, so
equal hashes of different ids cannot be provoked by a file.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from anton_notebook.span import Int32
from anton_notebook.store.columns import grown

UInt64 = npt.NDArray[np.uint64]
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def hashes(ids: Sequence[str], traces: Int32) -> UInt64:
    """A 64-bit number for every (trace, id); `ids` and `traces` have one length."""
    raw = np.fromiter(map(hash, ids), np.int64, len(ids)).view(np.uint64)
    mixed = raw ^ ((traces.astype(np.uint64) + np.uint64(1)) * _GOLDEN)
    spread: UInt64 = mixed ^ (mixed >> np.uint64(29))
    return spread


class HashIndex:
    """Rows by hash. Every row is added once, in ascending order of rows."""

    def __init__(self) -> None:
        self._table = np.full(1024, -1, np.int32)
        self._hash = np.empty(1024, np.uint64)
        self._rows = 0

    def find(self, wanted: UInt64) -> Int32:
        """The row of each hash, -1 where there is none."""
        found = np.full(len(wanted), -1, np.int32)
        mask = np.uint64(len(self._table) - 1)
        slot = (wanted & mask).astype(np.int64)
        open_ = np.arange(len(wanted))
        while len(open_):
            rows = self._table[slot[open_]]
            used = rows >= 0
            open_, rows = open_[used], rows[used]
            hit = self._hash[rows] == wanted[open_]
            found[open_[hit]] = rows[hit]
            open_ = open_[~hit]
            slot[open_] = (slot[open_] + 1) & int(mask)
        return found

    def find_one(self, wanted: int) -> int:
        """As `find`, for one hash."""
        mask = len(self._table) - 1
        slot = wanted & mask
        while (row := int(self._table[slot])) >= 0:
            if int(self._hash[row]) == wanted:
                return row
            slot = (slot + 1) & mask
        return -1

    def expect(self, rows: int) -> None:
        """Makes room for about this many rows."""
        if rows > len(self._hash):
            self._hash = grown(self._hash, rows)
            size = len(self._table)
            while 2 * rows > size:
                size *= 2
            self._table = np.full(size, -1, np.int32)
            self._place(np.arange(self._rows, dtype=np.int32))

    def add(self, new: UInt64, first_row: int) -> None:
        """Adds the rows `first_row`, `first_row + 1`, … with these hashes."""
        total = first_row + len(new)
        if total > len(self._hash):
            self._hash = grown(self._hash, max(total, len(self._hash) + (len(self._hash) >> 1)))
        self._hash[first_row:total] = new
        self._rows = total
        if 2 * total > len(self._table):
            size = len(self._table)
            while 2 * total > size:
                size *= 2
            self._table = np.full(size, -1, np.int32)
            self._place(np.arange(total, dtype=np.int32))
        else:
            self._place(np.arange(first_row, total, dtype=np.int32))

    def _place(self, rows: Int32) -> None:
        mask = len(self._table) - 1
        slot = (self._hash[rows] & np.uint64(mask)).astype(np.int64)
        while len(rows):
            free = self._table[slot] < 0
            self._table[slot[free]] = rows[free]
            lost = self._table[slot] != rows
            rows, slot = rows[lost], (slot[lost] + 1) & mask
