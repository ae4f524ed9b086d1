"""New rows, and records of a span that is there already.

Of two records of one identity the ended one wins over the running one; of two ended ones that differ, the first by start,
file and place in it. So the outcome does not depend on which was read first. Of two parents likewise.
"""

from __future__ import annotations

from itertools import compress
from math import isfinite
from typing import TYPE_CHECKING

import numpy as np

from anton_notebook.model.span import NAT, ORIGINS, Bool, Flag, Own, Records
from anton_notebook.store import aggregates
from anton_notebook.store.agent_nodes import AGENT_KINDS, hidden
from anton_notebook.store.hash_index import hashed

if TYPE_CHECKING:
    from anton_notebook.store.store import Store

_MEASURED = ("start", "duration", "status", "flags", "input", "output", "cached", "recorded_cost")
_LIES = ("file", "offset", "length", "line")
_COPIED = ("trace", "cls", *_MEASURED, *_LIES)
_SAME = ("input", "output", "cached", "status", "duration", "start")
_SAID = Flag.ESTIMATED | Flag.KEEP
Rank = tuple[bool, bool, bool, int, tuple[str, int]]


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
    if own.note or own.mark:
        store.brought.add(row)
    _run_of(store, row, own)


def _run_of(store: Store, row: int, own: Own) -> None:
    """What one line says of its whole run; of several that differ, the same is kept in whatever order they come."""
    info = store.traces[store.c.trace[row]]
    if own.origin != "export":
        info.origin = max(info.origin, own.origin, key=_origin)
    if own.original_trace_id is not None:
        info.original_trace_id = min(info.original_trace_id or own.original_trace_id, own.original_trace_id)
    if own.origin == "rerun" and own.original_span_id is not None:
        info.original_span_id = min(info.original_span_id or own.original_span_id, own.original_span_id)
    if own.run_name:
        info.name = min(info.name or own.run_name, own.run_name)


def _origin(origin: str) -> tuple[int, str]:
    return (ORIGINS.index(origin) if origin in ORIGINS else -1), origin


def merge(store: Store, records: Records, i: int, row: int) -> None:
    """Joins record `i` of the batch to the row that has its identity."""
    c, cls = store.c, int(records.cls[i])
    if c.flags[row] & (Flag.PENDING | Flag.DEAD):
        store.named_by.pop(row, None)
        store.stretched.discard(row)
        _replace(store, records, i, row, cls, fresh=True)
        return
    if c.flags[row] & Flag.DERIVED:
        _hidden(store, row, cls)
        return
    if (own := records.own.get(i)) is not None:
        _run_of(store, row, own)
    old, new = _row_rank(store, row), _rank(store, records, i)
    parent, names = _parent(store, row), store.named_by.get(row, old)
    begin, other = _earliest(int(c.start[row]), int(records.start[i])), records.parent_id[i]
    if old[0] != new[0]:
        wins = new < old
    elif _same(store, records, i, row):
        wins = _moves(store, records, i, row, new < old)
    else:
        wins = new < old
        # A running span may be extended backwards by a second line: the earliest start counts.
        if not (old[0] and new[0] and _differs_in_start_only(store, records, i, row)):
            store.on_problem(
                row,
                "span_id",
                "another line has the same trace_id and span_id and says something else; the first is kept",
            )
    if wins:
        _replace(store, records, i, row, cls)
        store.stretched.discard(row)
    _stretch(store, row, begin)
    _claim(store, row, parent, names, None if other == store.traces[c.trace[row]].trace_id else other, new)


def upsert(store: Store, records: Records) -> None:
    """Replace the rows of spans that are there already; put the others."""
    known = [store.row(int(records.trace[i]), span_id) for i, span_id in enumerate(records.span_id)]
    fresh = [row < 0 or bool(store.c.flags[row] & (Flag.PENDING | Flag.DEAD)) for row in known]
    for i, row in enumerate(known):
        if not fresh[i]:
            update(store, records, i, row)
    if any(fresh):
        store.put(records.select(np.array(fresh, bool)))


def update(store: Store, records: Records, i: int, row: int) -> None:
    """Replace a row by a later version of its span."""
    c = store.c
    parent = records.parent_id[i]
    costs = float(c.recorded_cost[row]), float(records.recorded_cost[i])
    counts = all(getattr(c, name)[row] == getattr(records, name)[i] for name in ("cached", "flags", *_LIES))
    equal = counts and (costs[0] == costs[1] or costs[0] != costs[0]) and records.own.get(i) == store.own.get(row)
    if not (equal and _same(store, records, i, row)):
        _replace(store, records, i, row, int(records.cls[i]))
    if parent is not None and parent != _parent(store, row):
        _set_parent(store, row, parent)


def _rank(store: Store, records: Records, i: int) -> Rank:
    """Of two records of one identity the lesser is shown: ended ones first, of these those that say how long they took, then
    by start and place."""
    start, place = int(records.start[i]), _place(store, records, i)
    return records.status[i] == 0, records.duration[i] == 0, start == NAT, start, place


def _row_rank(store: Store, row: int) -> Rank:
    c, stretched = store.c, row in store.stretched
    start = int(c.start[row]) + (int(c.duration[row]) if stretched else 0)
    return c.status[row] == 0, stretched or c.duration[row] == 0, start == NAT, start, _row_place(store, row)


def _hidden(store: Store, row: int, cls: int) -> None:
    """A line has the id of an agent's node: an export's line of that very agent is the node, another is told of."""
    if store.class_agent[cls] != store.class_agent[store.c.cls[row]] or store.class_kind[cls] >= AGENT_KINDS:
        hidden(store, row)


def _same(store: Store, records: Records, i: int, row: int) -> bool:
    """Whether a record shows what the row shows; where a stretched span begins is another line's word."""
    c = store.c
    if records.cls[i] != c.cls[row] or records.errors.get(i) != store.errors.get(row):
        return False
    if row in store.stretched and records.duration[i] == 0 and records.start[i] == c.start[row] + c.duration[row]:
        return all(getattr(c, f)[row] == getattr(records, f)[i] for f in _SAME[:4])
    return all(getattr(c, f)[row] == getattr(records, f)[i] for f in _SAME)


def _differs_in_start_only(store: Store, records: Records, i: int, row: int) -> bool:
    """Return whether a record equals the row in every compared field except its start."""
    c = store.c
    if records.cls[i] != c.cls[row] or records.errors.get(i) != store.errors.get(row):
        return False
    return all(getattr(c, name)[row] == getattr(records, name)[i] for name in _SAME if name != "start")


def _moves(store: Store, records: Records, i: int, row: int, first: bool) -> bool:
    """Of two lines that show the same, that is read which comes first and is there. True where more differs than the place."""
    c, gone = store.c, store.files[records.file[i]].gone
    if gone or not (first or store.files[c.file[row]].gone):
        return False
    costs = float(c.recorded_cost[row]), float(records.recorded_cost[i])
    flags = int(c.flags[row] ^ records.flags[i]) & int(_SAID)
    if flags or records.own.get(i) != store.own.get(row) or (costs[0] != costs[1] and any(map(isfinite, costs))):
        return True
    for name in _LIES:
        getattr(c, name)[row] = getattr(records, name)[i]
    c.flags[row] &= ~np.uint8(Flag.FILE_GONE)
    store.pending.changed.append(row)
    return False


def _earliest(one: int, other: int) -> int:
    return max(one, other) if NAT in (one, other) else min(one, other)


def _stretch(store: Store, row: int, begin: int) -> None:
    """A line that says only when its span ended begins where another line says; what runs, with the first that says so."""
    c = store.c
    start, running = int(c.start[row]), c.status[row] == 0
    if begin == NAT or start <= begin or not (running or c.duration[row] == 0 or row in store.stretched):
        return
    if not running:
        c.duration[row] += start - begin
        store.stretched.add(row)
    c.start[row] = begin
    store.pending.changed.append(row)
    store.traces[c.trace[row]].stale = True


def _claim(store: Store, row: int, parent: str | None, names: Rank, other: str | None, new: Rank) -> None:
    """Of the parents that a span's lines name, the first is kept, by the rank of the line that names it."""
    if other is not None and parent != other:
        if parent is None or new < names:
            _set_parent(store, row, other)
            names = new
        if parent is not None and -1 - row not in store.reported:
            store.reported.add(-1 - row)
            store.on_problem(row, "parent_id", "another line names another parent for this span; the first is kept")
    elif other is not None:
        names = min(names, new)
    if (parent is None and other is None) or names == _row_rank(store, row):
        store.named_by.pop(row, None)
    else:
        store.named_by[row] = names


def _parent(store: Store, row: int) -> str | None:
    """The parent that a row's line named; None where it named none, or its run itself."""
    pending = store.pending
    if row in pending.filled:
        found = pending.filled[row]
    else:
        at = row - (store.size - len(pending.parents))
        above = int(store.c.recorded_parent[row])
        found = pending.parents[at] if at >= 0 else None if above < 0 else store.ids[above]
    return None if found == store.traces[store.c.trace[row]].trace_id else found


def _set_parent(store: Store, row: int, parent: str) -> None:
    """Has the next commit hang a row under another recorded parent."""
    pending, c = store.pending, store.c
    at = row - (store.size - len(pending.parents))
    if at >= 0 and row not in pending.filled:
        pending.parents[at] = parent
        for number, part in enumerate(pending.hashed):
            if at < len(part):
                pending.hashed[number] = part = part.copy()
                part[at : at + 1] = hashed([parent])
                return
            at -= len(part)
        return
    above = int(c.recorded_parent[row])
    if above >= 0 and row in pending.waiting.get(above, ()):
        pending.waiting[above].remove(row)
    c.recorded_parent[row] = -1
    pending.filled[row] = parent
    store.traces[c.trace[row]].stale = True


def _place(store: Store, records: Records, i: int) -> tuple[str, int]:
    return store.files[records.file[i]].path, int(records.offset[i])


def _row_place(store: Store, row: int) -> tuple[str, int]:
    return (store.files[store.c.file[row]].path if store.c.file[row] >= 0 else ""), int(store.c.offset[row])


def _replace(store: Store, records: Records, i: int, row: int, cls: int, *, fresh: bool = False) -> None:
    c = store.c
    rows = np.array([row], np.int32)
    info = store.traces[c.trace[row]]
    if not fresh:
        aggregates.count(store, rows, -1)
    simple = not fresh and c.status[row] == 0 and store.class_agent[c.cls[row]] == store.class_agent[cls]
    stale, start = info.stale, int(c.start[row])
    c.cls[row] = cls
    for name in _MEASURED:
        getattr(c, name)[row] = getattr(records, name)[i]
    for name in _LIES:
        getattr(c, name)[row] = getattr(records, name)[i]
    _set_sparse(store, row, records.errors.get(i), records.own.get(i))
    store.price(rows)
    aggregates.count(store, rows, 1)
    if fresh:
        c.recorded_parent[row] = -1
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
