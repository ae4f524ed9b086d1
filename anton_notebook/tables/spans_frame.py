"""`spans_df`, kept between calls: what it costs follows what changed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from anton_notebook.model.span import NAT, Bool, Flag, Int32, Int64
from anton_notebook.store import Store
from anton_notebook.store.aggregates import depths, levels, pico
from anton_notebook.store.columns import grown
from anton_notebook.tables.column_arrays import Array, Buffer
from anton_notebook.tables.phases import told
from anton_notebook.tables.span_columns import SPANS, SUMS, Context, CostSource

_UNSEEN = np.uint8(Flag.DEAD | Flag.PENDING)
_MANY = 4096
_LAST = np.iinfo(np.int64).max


class SpansFrame:
    """The frame of all spans of a store, by start; spans without one last."""

    def __init__(self, store: Store, cost_source: CostSource) -> None:
        self._store = store
        self._context = Context(store, cost_source)
        self._columns = [(column, column.buffer(self._context)) for column in SPANS]
        self._revision = -1
        self._order = Buffer(np.empty(0, np.int32))
        self._times = Buffer(np.empty(0, np.int64))
        self._known = 0
        self._place: Int32 = np.empty(0, np.int32)
        self._parent: Int32 = np.empty(0, np.int32)
        self._own_cost: Int64 = np.empty(0, np.int64)
        self._own_tokens: Int64 = np.empty(0, np.int64)
        self._frame: pd.DataFrame | None = None
        self._moved: set[int] | None = None

    def forget_prices(self) -> None:
        """Look up the sources of prices again, after a price was set."""
        self._context.forget()

    def frame(self) -> pd.DataFrame:
        """The frame as of now. Changing it changes nothing else."""
        with self._store.lock:
            return self._now()

    def frame_and_changes(self) -> tuple[pd.DataFrame, Int32, Int32 | None]:
        """The frame, the store's row of each of its rows, and the store's rows that changed since this was last asked for
        (None: any may have)."""
        with self._store.lock:
            frame, moved, self._moved = self._now(), self._moved, set()
            changed = None if moved is None else np.fromiter(moved, np.int32, len(moved))
            return frame, self._order.view.copy(), changed

    def _now(self) -> pd.DataFrame:
        with self._store.lock:
            if self._frame is None or self._store.revision != self._revision:
                self._frame = None
                self._update()
                arrays = {column.name: buffer.array() for column, buffer in self._columns}
                frame = pd.DataFrame(arrays, copy=False, index=pd.RangeIndex(self._order.size))
                self._frame = told(frame, self._store.traces)
            return self._frame.copy(deep=False)

    def rows(self) -> Int32:
        """The store's row of each row of the frame, as of now."""
        with self._store.lock:
            self._now()
            return self._order.view.copy()

    def _update(self) -> None:
        store = self._store
        changes = store.changes(self._revision)
        self._revision = changes.revision
        seen = (store.c.flags[changes.rows] & _UNSEEN) == 0
        small = changes.since >= 0 and not len(changes.gone) and len(changes.rows) <= _MANY
        if not (small and self._little(changes.rows, seen)):
            self._whole()

    def _whole(self) -> None:
        store, c = self._store, self._store.c
        self._moved = None
        live = store.live_rows()
        rows = live[(c.flags[live] & _UNSEEN) == 0]
        starts = np.where(c.start[rows] == NAT, _LAST, c.start[rows])
        self._sum_all()
        order = self._ordered(rows, starts)
        self._order, self._times = Buffer(rows[order]), Buffer(starts[order])
        self._place = np.full(store.size, -1, np.int32)
        self._place[self._order.view] = np.arange(len(rows), dtype=np.int32)
        self._known = store.size
        self._context.forget()
        # numpy looks rows up by numbers of this width; others it copies for each column
        wide: Any = self._order.view.astype(np.intp)
        for column, buffer in self._columns:
            buffer.fill(column.values(self._context, wide))

    def _ordered(self, rows: Int32, starts: Int64) -> Array:
        """By start, then the tree's upper spans first, then by trace and id: an order that arrival does not change."""
        if len(starts) < 2:
            return np.arange(len(starts))
        if (starts[1:] > starts[:-1]).all():
            return np.arange(len(starts))
        depth = self._context.sums.depth[rows]
        order = np.lexsort((depth, starts))
        ordered, deep = starts[order], depth[order]
        tied = np.flatnonzero((ordered[1:] == ordered[:-1]) & (deep[1:] == deep[:-1]))
        ids, traces, trace = self._store.ids, self._store.traces, self._store.c.trace
        for group in np.split(tied, np.flatnonzero(np.diff(tied) != 1) + 1) if len(tied) else []:
            first, last = int(group[0]), int(group[-1]) + 2
            part = order[first:last].tolist()
            part.sort(key=lambda i: (traces[trace[rows[i]]].trace_id, ids[rows[i]]))
            order[first:last] = part
        return order

    def _sum_all(self) -> None:
        c, n = self._store.c, self._store.size
        sums = self._context.sums
        self._parent = c.parent[:n].copy()
        cost, tokens = self._shares(np.arange(n, dtype=np.int32))
        self._own_cost, self._own_tokens = cost, tokens
        sums.depth = depths(self._parent)
        sums.cost, sums.tokens = np.maximum(cost, 0), np.maximum(tokens, 0)
        sums.priced, sums.known = (cost >= 0).astype(np.int64), (tokens >= 0).astype(np.int64)
        shown: Bool = (c.flags[:n] & np.uint8(Flag.DEAD)) == 0
        for rows in reversed(levels(self._parent, shown, sums.depth)[1:]):
            above = self._parent[rows]
            for column in (sums.cost, sums.tokens, sums.priced, sums.known):
                np.add.at(column, above, column[rows])

    def _shares(self, rows: Int32) -> tuple[Int64, Int64]:
        """What each row itself brings to the sums: cost and tokens, -1 for nothing."""
        c = self._store.c
        shown = (c.flags[rows] & np.uint8(Flag.DEAD)) == 0
        cost = np.where(shown & ~np.isnan(c.cost[rows]), pico(c.cost[rows]), -1)
        given, made = c.input[rows].astype(np.int64), c.output[rows].astype(np.int64)
        known = shown & ((given >= 0) | (made >= 0))
        return cost, np.where(known, np.maximum(given, 0) + np.maximum(made, 0), -1)

    def _little(self, rows: Int32, seen: Bool) -> bool:
        """Takes a few changed rows in. False where only starting anew will do."""
        c = self._store.c
        self._make_room()
        touched = self._sum(rows)
        if touched is None:
            return False
        rows = rows[seen]
        old = rows[self._place[rows] >= 0]
        if (np.where(c.start[old] == NAT, _LAST, c.start[old]) != self._times.view[self._place[old]]).any():
            return False
        new = rows[self._place[rows] < 0]
        widths = [self._context.vocabulary(col.name).width for col, _ in self._columns if col.kind == "category"]
        starts = np.where(c.start[new] == NAT, _LAST, c.start[new])
        order = self._ordered(new, starts)
        new, starts = new[order], starts[order]
        times = self._times.view
        if len(times) and (times[np.minimum(np.searchsorted(times, starts), len(times) - 1)] == starts).any():
            return False
        parts = [column.values(self._context, new) for column, _ in self._columns]
        if widths != [self._context.vocabulary(col.name).width for col, _ in self._columns if col.kind == "category"]:
            return False
        if len(new):
            self._add(new, starts, parts)
        changed = np.array(sorted(touched | set(old.tolist())), np.int32)
        changed = changed[self._place[changed] >= 0]
        if self._moved is not None:
            self._moved.update(changed.tolist(), new.tolist())
        if len(changed):
            at = self._place[changed]
            for column, buffer in self._columns:
                buffer.patch(at, column.values(self._context, changed))
        return True

    def _make_room(self) -> None:
        size, known = self._store.size, self._known
        if size > len(self._place):
            room = size + 1024 + (size >> 3)
            self._place, self._parent = grown(self._place, room), grown(self._parent, room)
            self._own_cost, self._own_tokens = grown(self._own_cost, room), grown(self._own_tokens, room)
            for name in SUMS:
                setattr(self._context.sums, name, grown(getattr(self._context.sums, name), room))
        for array, empty in ((self._place, -1), (self._parent, -2), (self._own_cost, -1), (self._own_tokens, -1)):
            array[known:size] = empty
        for name in SUMS:
            getattr(self._context.sums, name)[known:size] = 0
        self._known = size

    def _add(self, new: Int32, starts: Int64, parts: list[list[Array]]) -> None:
        n, times = self._order.size, self._times.view
        if not n or starts[0] > times[-1]:
            self._order.append(new)
            self._times.append(starts)
            self._place[new] = np.arange(n, n + len(new), dtype=np.int32)
            for (_, buffer), part in zip(self._columns, parts, strict=True):
                buffer.append(part)
            return
        at = np.searchsorted(times, starts)
        self._order.insert(at, new)
        self._times.insert(at, starts)
        self._place[self._order.view] = np.arange(self._order.size, dtype=np.int32)
        for (_, buffer), part in zip(self._columns, parts, strict=True):
            buffer.insert(at, part)

    def _sum(self, rows: Int32) -> set[int] | None:
        """Brings depths and sums up to date. Returns the rows above these; None where a part of the tree moved."""
        sums, parents = self._context.sums, self._store.c.parent
        costs, tokens = self._shares(rows)
        touched: set[int] = set()
        fresh = [int(row) for row in rows if self._parent[row] == -2]
        for row in rows.tolist():
            if self._parent[row] not in (-2, parents[row]):
                return None
        self._parent[rows] = parents[rows]
        for row in self._by_depth(fresh):
            above = int(self._parent[row])
            sums.depth[row] = sums.depth[above] + 1 if above >= 0 else 0
        for i, row in enumerate(rows.tolist()):
            cost = max(int(costs[i]), 0) - max(int(self._own_cost[row]), 0)
            count = max(int(tokens[i]), 0) - max(int(self._own_tokens[row]), 0)
            priced = int(costs[i] >= 0) - int(self._own_cost[row] >= 0)
            known = int(tokens[i] >= 0) - int(self._own_tokens[row] >= 0)
            self._own_cost[row], self._own_tokens[row] = costs[i], tokens[i]
            if not (cost or count or priced or known):
                continue
            at = row
            while at >= 0:
                sums.cost[at] += cost
                sums.tokens[at] += count
                sums.priced[at] += priced
                sums.known[at] += known
                touched.add(at)
                at = int(self._parent[at])
        return touched

    def _by_depth(self, rows: list[int]) -> list[int]:
        """Parents before their children."""
        inside = set(rows)
        done: set[int] = set()
        out: list[int] = []
        for row in rows:
            chain: list[int] = []
            at = row
            while at in inside and at not in done:
                done.add(at)
                chain.append(at)
                at = int(self._parent[at])
            out += reversed(chain)
        return out
