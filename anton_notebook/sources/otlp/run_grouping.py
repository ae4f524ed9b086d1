"""What the OTLP files of one path have in common: whose agent a span is, what a run is called, and log records of calls.

A span that names no agent belongs to the nearest agent above it. Spans come after their children, so that is decided once all
that lies between is there, in whatever order and file it came. A run whose first span has not come is running, for a while.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from anton_notebook.errors import BodyUnavailable
from anton_notebook.model.span import LLM, NAT, Bool, Flag, Int32, Records, Status
from anton_notebook.sources.otlp import context
from anton_notebook.sources.otlp.bare_runs import BareRuns
from anton_notebook.sources.otlp.duplicates import CallDuplicates
from anton_notebook.sources.otlp.wire import Place
from anton_notebook.store import Store
from anton_notebook.store.hash_index import hashes

DEEPEST = 4096
QUIET = 600_000_000  # microseconds after its last span in which a run without its first one still runs
_AGENT_KINDS = 2
_PENDING = np.uint8(Flag.PENDING)
Pieces = Callable[[list[Place]], list[bytes]]


class Family:
    """Puts the spans of all OTLP files of one path into the store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._new: list[tuple[list[str], Int32]] = []
        self._open = np.empty(0, np.int32)
        self._roots: dict[int, int] = {}
        self._names: dict[int, str] = {}
        self._rootless: set[int] = set()
        self._logs: dict[tuple[str, str], list[tuple[Pieces, Place]]] = {}
        self._duplicates = CallDuplicates(store)
        self._bare = BareRuns(store, store.put)

    # -- agents

    def put(self, records: Records, responses: Mapping[int, str]) -> None:
        """Put a batch; a span that is there already keeps the agent that was found for it.

        Args:
            records: The spans.
            responses: The vendor's ids of answers, by position in the batch.
        """
        store = self._store
        with store.lock:
            records.trace = np.array([self._bare.run_of(trace) for trace in records.trace.tolist()], np.int32)
            known = self._rows(records.span_id, records.trace)
            for i in np.flatnonzero(known >= 0).tolist():
                new, old = store.classes[records.cls[i]], store.classes[store.c.cls[known[i]]]
                if not new.agent and new == old._replace(agent=""):
                    records.cls[i] = store.c.cls[known[i]]
            store.put(records)
            for i, response in responses.items():
                self._duplicates.add(int(records.trace[i]), records.span_id[i], response)
            self._new.append((records.span_id, records.trace))
            self._bare.take(records)

    def name_run(self, trace_id: str, name: str) -> None:
        """Name a run as its source names it."""
        self._names[self._store.trace_code(trace_id)] = name

    def root(self, trace_id: str, span_id: str) -> None:
        """Takes note of a span without a parent that another source put: what was exported from OpenTelemetry once."""
        self._new.append(([span_id], np.array([self._store.trace_code(trace_id)], np.int32)))

    def settle(self) -> None:
        """Joins what was put to the tree; finds the agents of the spans that name none, and what each run is called."""
        if not self._new:
            self._wait()
            return
        store = self._store
        store.commit()  # not under the lock: whoever listens may wait for one that another thread has, which waits for this
        with store.lock:
            found = [self._rows(ids, traces) for ids, traces in self._new]
            self._new = []
            rows = np.unique(np.concatenate([self._open, *found])).astype(np.int32)
            rows = rows[rows >= 0]
            self._open = self._inherit(rows[self._nameless(rows)])
            self._describe(rows)
            self._rootless.update(np.unique(store.c.trace[rows]).tolist())
            self._duplicates.merge(rows.tolist())
            placed = self._bare.settle()
        if placed:
            store.commit()
        with store.lock:
            moved = [row for ids, traces in placed for row in self._rows(ids, traces).tolist() if row >= 0]
            self._describe(np.array(moved, np.int32))
            self._rootless.update(store.c.trace[moved].tolist())
            self._wait()

    def _describe(self, rows: Int32) -> None:
        """A run is called what its first span without a parent is called, and ended as that did."""
        store, c = self._store, self._store.c
        touched: set[int] = set()
        for row in rows[c.recorded_parent[rows] < 0].tolist():
            trace = int(c.trace[row])
            touched.add(trace)
            self._roots[trace] = min(
                self._roots.get(trace, row), row, key=lambda r: (int(c.start[r]) % 2**64, store.ids[r])
            )
        for trace in touched:
            row = self._roots[trace]
            failed = c.status[row] == Status.ERROR
            cls = store.classes[c.cls[row]]
            name = cls.agent if cls.kind == LLM and cls.agent else cls.name
            name = self._names.get(trace, name)
            store.describe(trace, name=name[:500], verdict="error" if failed else "ok")

    def _wait(self) -> None:
        """Spans are written when they end, the first one last: until then the run goes on, unless nothing has come for a while."""
        if not self._rootless:
            return
        self._rootless -= self._roots.keys()
        now = time.time() * 1e6
        for trace in list(self._rootless):
            info = self._store.traces[trace]
            last = max(info.start, info.end)
            fresh = last != NAT and abs(now - last) <= QUIET
            self._store.describe(trace, verdict="running" if fresh else None)
            if not fresh:
                self._rootless.discard(trace)

    def _rows(self, ids: list[str], traces: Int32) -> Int32:
        store = self._store
        rows = store.index.find(hashes(ids, traces))
        for i, row in enumerate(rows.tolist()):
            if row >= 0 and store.ids[row] != ids[i]:
                rows[i] = store.row(int(traces[i]), ids[i])
        return rows

    def _nameless(self, rows: Int32) -> Bool:
        store = self._store
        codes = store.c.cls[rows]
        without = store.class_agent[codes] == store.agent_code("")
        found: Bool = without & (store.class_kind[codes] >= _AGENT_KINDS) & ((store.c.flags[rows] & _PENDING) == 0)
        return found

    def _inherit(self, rows: Int32) -> Int32:
        """Gives each row the agent of the nearest agent above it. Returns the rows of which a parent is still to come."""
        store, c = self._store, self._store.c
        at = c.recorded_parent[rows]
        late: list[Int32] = []
        for _ in range(DEEPEST):
            there = at >= 0
            rows, at = rows[there], at[there]
            if not len(rows):
                break
            pending = (c.flags[at] & _PENDING) != 0
            late.append(rows[pending])
            agents = ~pending & (store.class_kind[c.cls[at]] < _AGENT_KINDS)
            for row, above in zip(rows[agents].tolist(), at[agents].tolist(), strict=True):
                cls = store.classes[c.cls[row]]._replace(agent=store.classes[c.cls[above]].agent)
                c.cls[row] = store.class_code(cls)
                store.pending.changed.append(row)
            on = ~pending & ~agents
            rows, at = rows[on], c.recorded_parent[at[on]]
        return np.concatenate(late) if late else np.empty(0, np.int32)

    # -- bodies

    def complete(self, record: dict[str, Any]) -> None:
        """Add to a span's record what only its neighbors recorded."""
        code = self._store.find_trace(str(record.get("trace_id")))
        if code is None:
            return
        code = self._bare.run_of(code)
        context.complete(self._store, record, self._store.row(code, str(record.get("span_id"))))

    # -- log records

    def add_log(self, trace_id: str, span_id: str, pieces: Pieces, place: Place) -> None:
        """Takes note of where a log record of a span lies."""
        known = self._logs.setdefault((trace_id, span_id), [])
        if (pieces, place) not in known:
            known.append((pieces, place))
            self._bare.mark(trace_id, span_id)

    def logs_of(self, trace_id: str, span_id: str) -> list[bytes]:
        """The log records of a span, as bytes; those that are gone from disk are left out."""
        out: list[bytes] = []
        for pieces, place in self._logs.get((trace_id, span_id), ()):
            try:
                out += pieces([place])
            except BodyUnavailable:
                continue
        return out
