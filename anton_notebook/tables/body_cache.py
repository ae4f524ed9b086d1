"""What was read from disk for a frame, for the next one to take over: nothing is read twice that somebody still holds."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from anton_notebook.model.span import Flag, Int32, Int64
from anton_notebook.store import Store
from anton_notebook.store.columns import grown
from anton_notebook.tables.column_buffer import Array

FEW = 32 << 20
"""So many bytes are held even if nobody else does."""
CHUNKS = 64
_NOTHING: Int64 = np.empty(0, np.int64)
Read = Callable[[Int64], tuple[Int64, list[list[Any]]]]


class Seen:
    """Which spans' bodies were read, and whether they are still what they were then."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._revision = -1
        self._marks: Int64 = np.empty(0, np.int64)

    def changes(self) -> tuple[Int32 | None, Int32]:
        """The spans that changed since the last call (None: any may have), and those whose bodies have to be read again.

        A line of a file never changes: it is read again only where a span lies elsewhere than it did.
        """
        with self._store.lock:
            return self._changes()

    def _changes(self) -> tuple[Int32 | None, Int32]:
        store = self._store
        found = store.changes(self._revision)
        self._revision = found.revision
        if store.size > (before := len(self._marks)):
            self._marks = grown(self._marks, store.size + (store.size >> 3))
            self._marks[before:] = 0
        known = np.flatnonzero(self._marks[: store.size]).astype(np.int32)
        changed = None if found.since < 0 else np.concatenate([found.rows, found.gone])
        if changed is not None:
            known = known[np.isin(known, changed)]
        there = np.zeros(store.size, bool)
        there[found.rows] = True
        lines = np.array([file.kind == "jsonl" for file in store.files] + [False])
        kept = there[known] & lines[store.c.file[known]] & (self._of(known) == self._marks[known])
        stale: Int32 = known[~kept]
        self._marks[stale] = 0
        return changed, stale

    def unread(self, rows: Int32) -> Int32:
        """Those of these spans that were not read."""
        unread: Int32 = rows[self._marks[rows] == 0]
        return unread

    def marks(self, rows: Int32) -> Int64:
        """What to `note` of these spans once they are read; asked for before, since they may change meanwhile."""
        with self._store.lock:
            return self._of(rows)

    def note(self, rows: Int32, marks: Int64) -> None:
        """These were read."""
        self._marks[rows] = marks

    def forget(self, rows: Int32) -> None:
        """These are to be read again."""
        self._marks[rows] = 0

    def _of(self, rows: Int32) -> Int64:
        """A number that says where a body lies and whether its span has ended; never 0."""
        c = self._store.c
        gone = c.flags[rows] & np.uint8(Flag.FILE_GONE)
        place = c.offset[rows].astype(np.int64) * 1_000_003 + c.length[rows].astype(np.int64) * 8_191
        state = (c.file[rows].astype(np.int64) << 40) + (c.status[rows].astype(np.int64) << 8) + gone
        marks: Int64 = (place ^ state) | 1
        return marks


class Kept:
    """Columns that were read for the last frame, a number for each row: there for as long as that frame lives, or they are few.

    `dtypes` says what a column is of: a dtype of text, or None for any objects.
    """

    def __init__(self, dtypes: Sequence[Any]) -> None:
        self._dtypes = list(dtypes)
        self._keys = _NOTHING
        self._refs: list[weakref.ref[Any]] = []
        self._held: list[Any] | None = None
        self._stale: set[int] = set()

    def forget(self, keys: Array) -> None:
        """The values of these numbers are no longer what they were."""
        self._stale.update(keys.tolist())

    def take(self, keys: Int64, fresh: tuple[Int64, list[list[Any]]], read: Read, size: int | None = None) -> list[Any]:
        """The columns for these numbers (-1: nothing is known). `fresh` was read just now; `read` gets what is neither there
        nor held any more, and may give more than that. `size` is about how many bytes they are, where that does not show."""
        old, order = self._alive()
        place = np.full(max(int(a.max(initial=-1)) for a in (keys, order, fresh[0])) + 1, -1, np.int64)
        place[order] = np.arange(len(order))
        whole = not self._stale
        if self._stale:
            stale = np.fromiter(self._stale, np.int64, len(self._stale))
            place[stale[stale < len(place)]] = -1
        place[fresh[0]] = np.arange(len(fresh[0])) + len(order)
        missing = keys[keys >= 0]
        missing = missing[place[missing] < 0]
        more, columns = fresh
        if len(missing):
            again, found = read(missing)
            place[again] = np.arange(len(again)) + len(order) + len(more)
            more, columns = np.concatenate([more, again]), [a + b for a, b in zip(columns, found, strict=True)]
        n = len(order)
        behind = (
            whole and len(keys) == n + len(more) and np.array_equal(keys[:n], order) and np.array_equal(keys[n:], more)
        )
        made = []
        for dtype, before, values in zip(self._dtypes, old, columns, strict=True):
            if behind:
                made.append(_joined(dtype, before, _array(dtype, values)) if values or not n else before)
            else:
                pool = _joined(dtype, before, _array(dtype, [*values, None]))
                made.append(pool.take(np.where(keys < 0, n + len(more), place[keys])))
        self._hold(keys, made, size)
        return made

    def _alive(self) -> tuple[list[Any], Int64]:
        cores = self._held if self._held is not None else [ref() for ref in self._refs]
        if not cores or any(core is None for core in cores):
            self._stale.clear()
            return [_array(dtype, []) for dtype in self._dtypes], _NOTHING
        return [_shown(dtype, core) for dtype, core in zip(self._dtypes, cores, strict=True)], self._keys

    def _hold(self, keys: Int64, made: list[Any], size: int | None) -> None:
        cores = [_core(dtype, array) for dtype, array in zip(self._dtypes, made, strict=True)]
        few = (sum(array.nbytes for array in made) if size is None else size) <= FEW
        self._keys, self._refs, self._held = keys, [weakref.ref(core) for core in cores], cores if few else None
        self._stale.clear()


def _array(dtype: Any, values: list[Any]) -> Any:
    if dtype is not None:
        return pd.array([np.nan if value is None else value for value in values], dtype=dtype)
    made = np.empty(len(values), object)
    for i, value in enumerate(values):  # at once, numpy would take lists apart
        made[i] = value
    return made


def _joined(dtype: Any, before: Any, more: Any) -> Any:
    """One column behind the other; text of Arrow's is not copied, but for a while now and then where it is in too many pieces."""
    if dtype is None:
        return np.concatenate([before, more])
    whole: Any = pd.concat([pd.Series(before), pd.Series(more)], ignore_index=True).array
    if dtype.storage == "pyarrow" and (core := whole.__arrow_array__()).num_chunks > CHUNKS:
        return dtype.__from_arrow__(core.combine_chunks())
    return whole


def _core(dtype: Any, array: Any) -> Any:
    """What every column that shares these values keeps alive."""
    if dtype is None:
        return array
    return array.__arrow_array__() if dtype.storage == "pyarrow" else np.asarray(array, dtype=object)


def _shown(dtype: Any, core: Any) -> Any:
    if dtype is None:
        return core
    return dtype.__from_arrow__(core) if dtype.storage == "pyarrow" else pd.array(core, dtype=dtype)
