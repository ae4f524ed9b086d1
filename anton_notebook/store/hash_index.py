"""From a span's identity to its row: open addressing over numpy, so that a million ids cost 20 bytes each and a batch is looked
up in a few array operations.

Only 64-bit hashes are compared here; whoever asks compares the ids themselves. Python's string hash is keyed per process, so
equal hashes of different ids cannot be provoked by a file.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from anton_notebook.model.span import Bool, Int32, Int64
from anton_notebook.store.columns import grown

UInt64 = npt.NDArray[np.uint64]
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_ALL = 2**64 - 1


def hashed(texts: Sequence[str | None]) -> Int64:
    """Python's own hash of every text."""
    return np.fromiter(map(hash, texts), np.int64, len(texts))


def keys_of(raw: Int64, traces: Int32) -> UInt64:
    """A 64-bit number for every (trace, id), from the hashes of the ids."""
    mixed = raw.view(np.uint64) ^ ((traces.astype(np.uint64) + np.uint64(1)) * _GOLDEN)
    spread: UInt64 = mixed ^ (mixed >> np.uint64(29))
    return spread


def hashes(ids: Sequence[str], traces: Int32) -> UInt64:
    """A 64-bit number for every (trace, id); `ids` and `traces` have one length."""
    return keys_of(hashed(ids), traces)


def key_of(span_id: str, trace: int) -> int:
    """As `hashes`, for one."""
    mixed = (hash(span_id) & _ALL) ^ ((int(trace) + 1) * int(_GOLDEN) & _ALL)
    return mixed ^ (mixed >> 29)


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

    def expect(self, rows: int) -> None:
        """Makes room for about this many rows."""
        if rows > len(self._hash):
            self._hash = grown(self._hash, rows)
        self._widen(rows)

    def take(self, wanted: UInt64, first: int) -> tuple[Int32, Bool]:
        """The row of each hash, and whether it is a new one.

        New hashes become the rows `first`, `first + 1`, … in their order; of equal ones the first is new, the others are found.
        """
        n = len(wanted)
        self._reserve(first + n)
        table, known = self._table, self._hash
        known[first : first + n] = wanted
        mask = len(table) - 1
        rows, fresh = np.empty(n, np.int32), np.zeros(n, bool)
        slots = (wanted & np.uint64(mask)).astype(np.int64)
        open_, at, mine = np.arange(n), slots, np.arange(first, first + n, dtype=np.int32)
        while len(open_):
            there = table[at]
            empty = there < 0
            if empty.any():
                free, claims = at[empty], mine[empty]
                table[free[::-1]] = claims[::-1]  # of several for one place the first has it
                there = table[at]
            hit = known[there] == wanted[open_]
            rows[open_[hit]] = there[hit]
            fresh[open_[there == mine]] = True
            lost = ~hit
            open_, mine = open_[lost], mine[lost]
            at = (at[lost] + 1) & mask
            slots[open_] = at
        new = int(np.count_nonzero(fresh))
        if new < n:
            number = (np.cumsum(fresh) + (first - 1)).astype(np.int32)
            table[slots[fresh]] = number[fresh]
            known[first : first + new] = wanted[fresh]
            inside = rows >= first
            rows[inside] = number[rows[inside] - first]
        self._rows = first + new
        return rows, fresh

    def twin(self, wanted: int, row: int) -> None:
        """Adds a row of which the hash is there already, of another id."""
        self._reserve(row + 1)
        self._hash[row] = wanted
        self._rows = row + 1

    def _reserve(self, rows: int) -> None:
        if rows > len(self._hash):
            self._hash = grown(self._hash, max(rows, len(self._hash) + (len(self._hash) >> 1)))
        self._widen(rows)

    def _widen(self, rows: int) -> None:
        size = len(self._table)
        while 2 * rows > size:
            size *= 2
        if size > len(self._table):
            self._table = np.full(size, -1, np.int32)
            self._place(np.arange(self._rows, dtype=np.int32))

    def _place(self, rows: Int32) -> None:
        mask = len(self._table) - 1
        slot = (self._hash[rows] & np.uint64(mask)).astype(np.int64)
        while len(rows):
            free = self._table[slot] < 0
            self._table[slot[free][::-1]] = rows[free][::-1]
            lost = self._table[slot] != rows
            rows, slot = rows[lost], (slot[lost] + 1) & mask
