"""New rows, and records of a span that is there already.

Of two records of one identity the ended one wins over the running one; of two ended ones that differ, the first by start,
file and place in it. So the outcome does not depend on which was read first.
"""

from __future__ import annotations

from itertools import compress
from typing import TYPE_CHECKING

import numpy as np

from anton_notebook.span import NAT, Bool, Flag, Own, Records
from anton_notebook.store import figures
from anton_notebook.store.index import hashed

if TYPE_CHECKING:
    from anton_notebook.store.core import Store

_MEASURED = ("start", "duration", "status", "flags", "input", "output", "cached", "recorded_cost")
_LIES = ("file", "offset", "length", "line")
_COPIED = ("trace", "cls", *_MEASURED, *_LIES)
_SAME = ("input", "output", "cached", "duration", "status", "start")


def append(store: Store, records: Records, picked: Bool | None) -> None:
    """Adds these records of the batch (a mask), or all, as new rows; the index knows them already."""
    n = len(records) if picked is None else int(np.count_nonzero(picked))
    first, c = store.size, store.c
    c.reserve(first + n)
    rows = slice(first, first + n)
    pick = slice(None) if picked is None else picked
    c.parent[rows] = -1
    c.recorded_parent[rows] = -1
    for name in _COPIED:
        getattr(c, name)[rows] = getattr(records, name)[pick]
    pending = store.pending
    if picked is None:
        store.ids += records.span_id
        pending.parents += records.parent_id
    else:
        mask = picked.tolist()
        store.ids += compress(records.span_id, mask)
        pending.parents += compress(records.parent_id, mask)
    if records.hashed is not None:
        pending.hashed.append(records.hashed[1][pick])
    else:
        pending.hashed.append(hashed(pending.parents[-n:]))
    store.size = first + n
    if records.errors or records.own:
        for row, i in enumerate(range(n) if picked is None else np.flatnonzero(picked).tolist(), first):
            _set_sparse(store, row, records.errors.get(i), records.own.get(i))
    pending.new.append(np.arange(first, first + n, dtype=np.int32))


def _set_sparse(store: Store, row: int, error: str | None, own: Own | None) -> None:
    if error is None:
        store.errors.pop(row, None)
    else:
        store.errors[row] = error
    if own is None:
        store.own.pop(row, None)
        return
    store.own[row] = own
    info = store.traces[store.c.trace[row]]
    if own.origin != "export":
        info.origin = own.origin
    if own.original_trace_id is not None:
        info.original_trace_id = own.original_trace_id


def merge(store: Store, records: Records, i: int, row: int) -> None:
    """Joins record `i` of the batch to the row that has its identity."""
    c, cls = store.c, int(records.cls[i])
    if c.flags[row] & (Flag.PENDING | Flag.DEAD):
        _replace(store, records, i, row, cls, fresh=True)
        return
    if c.flags[row] & Flag.DERIVED:
        return
    old_runs, new_runs = c.status[row] == 0, records.status[i] == 0
    if old_runs != new_runs:
        if not old_runs:
            _stretch(store, row, int(records.start[i]))
            return
        begin = int(c.start[row])
        if records.duration[i] == 0 and NAT != begin < records.start[i]:
            records.duration[i] = records.start[i] - begin
            records.start[i] = begin
        _replace(store, records, i, row, cls)
        return
    same = cls == c.cls[row] and all(getattr(c, f)[row] == getattr(records, f)[i] for f in _SAME)
    same = same and records.errors.get(i) == store.errors.get(row)
    parent, other = _parent(store, row), records.parent_id[i]
    if parent and other and parent != other:
        store.on_problem(
            row, "parent_id", "another line names another parent for this span; what was read first is kept"
        )
    if same:
        moved = store.files[c.file[row]].gone and not store.files[records.file[i]].gone
        if moved or (_place(store, records, i) < _row_place(store, row) and not store.files[records.file[i]].gone):
            for name in _LIES:
                getattr(c, name)[row] = getattr(records, name)[i]
            c.flags[row] &= ~np.uint8(Flag.FILE_GONE)
            store.pending.changed.append(row)
        return
    if _order(store, records, i) < _row_order(store, row):
        _replace(store, records, i, row, cls)
    store.on_problem(
        row, "span_id", "another line has the same trace_id and span_id and says something else; the first is kept"
    )


def _parent(store: Store, row: int) -> str | None:
    """The parent that a row's line named; None where it named none, or its run itself."""
    pending = store.pending
    at = row - (store.size - len(pending.parents))
    if at >= 0:
        return pending.parents[at]
    above = int(store.c.recorded_parent[row])
    return pending.filled.get(row) if above < 0 else store.ids[above]


def _place(store: Store, records: Records, i: int) -> tuple[str, int]:
    return store.files[records.file[i]].path, int(records.offset[i])


def _row_place(store: Store, row: int) -> tuple[str, int]:
    return (store.files[store.c.file[row]].path if store.c.file[row] >= 0 else ""), int(store.c.offset[row])


def _order(store: Store, records: Records, i: int) -> tuple[int, tuple[str, int]]:
    return int(records.start[i]), _place(store, records, i)


def _row_order(store: Store, row: int) -> tuple[int, tuple[str, int]]:
    return int(store.c.start[row]), _row_place(store, row)


def _replace(store: Store, records: Records, i: int, row: int, cls: int, *, fresh: bool = False) -> None:
    c = store.c
    rows = np.array([row], np.int32)
    info = store.traces[c.trace[row]]
    if not fresh:
        figures.count(store, rows, -1)
    simple = not fresh and c.status[row] == 0 and store.class_agent[c.cls[row]] == store.class_agent[cls]
    stale, start = info.stale, int(c.start[row])
    c.cls[row] = cls
    for name in _MEASURED:
        getattr(c, name)[row] = getattr(records, name)[i]
    for name in _LIES:
        getattr(c, name)[row] = getattr(records, name)[i]
    _set_sparse(store, row, records.errors.get(i), records.own.get(i))
    store.price(rows)
    figures.count(store, rows, 1)
    if fresh:
        store.pending.filled[row] = records.parent_id[i]
        return
    store.pending.changed.append(row)
    if row >= store.counted:
        info.stale = stale
    elif simple and int(c.start[row]) == start:
        info.stale = stale
        store.pending.ended.append(row)
    else:
        info.stale = True


def _stretch(store: Store, row: int, begin: int) -> None:
    """A line that says only when its span ended begins where the other line says."""
    c = store.c
    if begin != NAT and c.duration[row] == 0 and begin < c.start[row]:
        c.duration[row] = c.start[row] - begin
        c.start[row] = begin
        store.pending.changed.append(row)
        store.traces[c.trace[row]].stale = True
