"""Texts and values that were read from disk for a frame, kept for the next frame while they are small.

`ReadTracker` says which bodies have to be read again, `BodyCache` holds what was read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from anton_notebook.model.span import Flag, Int32, Int64
from anton_notebook.store import Store
from anton_notebook.store.columns import grown
from anton_notebook.tables.column_arrays import Array

CACHE_BYTES = 32 << 20
"""Larger columns are not kept in memory: they are read again for the next frame."""
CHUNKS = 64
_NO_KEYS: Int64 = np.empty(0, np.int64)
Read = Callable[[Int64], tuple[Int64, list[list[Any]]]]


class ReadTracker:
    """Which spans' bodies were read, and whether they are unchanged since."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._revision = -1
        self._marks: Int64 = np.empty(0, np.int64)

    def changes(self) -> tuple[Int32 | None, Int32]:
        """The rows that changed since the last call (None: any may have), and the rows whose bodies must be read again.

        A line of a file never changes: it is read again only if the span's location in the file has changed.
        """
        with self._store.lock:
            return self._changes()

    def _changes(self) -> tuple[Int32 | None, Int32]:
        store = self._store
        changes = store.changes(self._revision)
        self._revision = changes.revision
        if store.size > (before := len(self._marks)):
            self._marks = grown(self._marks, store.size + (store.size >> 3))
            self._marks[before:] = 0
        known = np.flatnonzero(self._marks[: store.size]).astype(np.int32)
        changed = None if changes.since < 0 else np.concatenate([changes.rows, changes.gone])
        if changed is not None:
            known = known[np.isin(known, changed)]
        present = np.zeros(store.size, bool)
        present[changes.rows] = True
        lines = np.array([file.kind == "jsonl" for file in store.files] + [False])
        unchanged = present[known] & lines[store.c.file[known]] & (self._of(known) == self._marks[known])
        stale: Int32 = known[~unchanged]
        self._marks[stale] = 0
        return changed, stale

    def unread(self, rows: Int32) -> Int32:
        """The rows whose bodies were not read yet."""
        unread: Int32 = rows[self._marks[rows] == 0]
        return unread

    def marks(self, rows: Int32) -> Int64:
        """Marks to pass to `note` after reading; taken before, because spans may change meanwhile."""
        with self._store.lock:
            return self._of(rows)

    def note(self, rows: Int32, marks: Int64) -> None:
        """Record that these rows were read."""
        self._marks[rows] = marks

    def forget(self, rows: Int32) -> None:
        """Read these rows again."""
        self._marks[rows] = 0

    def _of(self, rows: Int32) -> Int64:
        """A number for a body's location and its span's state; never 0."""
        c = self._store.c
        gone = c.flags[rows] & np.uint8(Flag.FILE_GONE)
        place = c.offset[rows].astype(np.int64) * 1_000_003 + c.length[rows].astype(np.int64) * 8_191
        state = (c.file[rows].astype(np.int64) << 40) + (c.status[rows].astype(np.int64) << 8) + gone
        marks: Int64 = (place ^ state) | 1
        return marks


class BodyCache:
    """Columns read for the last frame, with a key per row; kept while they are no larger than `CACHE_BYTES`.

    `dtypes` has one entry per column: a dtype of text, or None for any objects.
    """

    def __init__(self, dtypes: Sequence[Any]) -> None:
        self._dtypes = list(dtypes)
        self._keys = _NO_KEYS
        self._series = [_series(dtype, []) for dtype in self._dtypes]
        self._stale: set[int] = set()

    def forget(self, keys: Array) -> None:
        """Drop the values of these keys."""
        self._stale.update(keys.tolist())

    def take(
        self, keys: Int64, fresh: tuple[Int64, list[list[Any]]], read: Read, size: int | None = None
    ) -> list[pd.Series[Any]]:
        """The columns for these keys (-1: missing), as Series that pandas shares with the cache by copy-on-write.

        Args:
            keys: one key per row of the frame.
            fresh: keys and values that were read just now.
            read: reads keys that are in neither; it may return more than it was asked for.
            size: approximate size in bytes, for columns of objects.
        """
        cached = self._keys
        place = np.full(max(int(a.max(initial=-1)) for a in (keys, cached, fresh[0])) + 1, -1, np.int64)
        place[cached] = np.arange(len(cached))
        if self._stale:
            stale = np.fromiter(self._stale, np.int64, len(self._stale))
            place[stale[stale < len(place)]] = -1
        place[fresh[0]] = np.arange(len(fresh[0])) + len(cached)
        missing = keys[keys >= 0]
        missing = missing[place[missing] < 0]
        more, columns = fresh
        if len(missing):
            again, values = read(missing)
            place[again] = np.arange(len(again)) + len(cached) + len(more)
            more, columns = np.concatenate([more, again]), [a + b for a, b in zip(columns, values, strict=True)]
        places = np.where(keys < 0, len(cached) + len(more), place[keys])
        result = []
        for dtype, old, new in zip(self._dtypes, self._series, columns, strict=True):
            pool = pd.concat([old, _series(dtype, [*new, None])], ignore_index=True)
            moved = not _is_prefix(places, len(pool))
            result.append(pool.take(places).reset_index(drop=True) if moved else pool.iloc[:-1])
        self._keep(keys, result, size)
        return result

    def _keep(self, keys: Int64, columns: list[pd.Series[Any]], size: int | None) -> None:
        self._stale.clear()
        if (sum(column.array.nbytes for column in columns) if size is None else size) <= CACHE_BYTES:
            self._keys, self._series = keys, [_compact(column) for column in columns]
        else:
            self._keys, self._series = _NO_KEYS, [_series(dtype, []) for dtype in self._dtypes]


def _is_prefix(places: Int64, size: int) -> bool:
    """Whether places are 0, 1, 2 … of all values but the missing one at the end: nothing has to move."""
    return len(places) == size - 1 and bool((places == np.arange(size - 1)).all())


def _series(dtype: Any, values: list[Any]) -> pd.Series[Any]:
    if dtype is not None:
        return pd.Series(pd.array([np.nan if value is None else value for value in values], dtype=dtype))
    objects = np.empty(len(values), object)
    for i, value in enumerate(values):  # at once, numpy would make an array of more dimensions of lists
        objects[i] = value
    return pd.Series(objects, dtype=object)


def _compact(column: pd.Series[Any]) -> pd.Series[Any]:
    """The same texts in few Arrow chunks: every concatenation adds one, and access slows down with their number."""
    dtype: Any = column.dtype
    if getattr(dtype, "storage", "") == "pyarrow":
        chunks = column.array.__arrow_array__()
        if chunks.num_chunks > CHUNKS:
            return pd.Series(dtype.__from_arrow__(chunks.combine_chunks()))
    return column
