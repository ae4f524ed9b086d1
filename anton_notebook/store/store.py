"""The store: every span's light fields in columns, the tree above them, and a number for every change.

What it holds is a function of the set of records put into it, never of their order. `put` takes a batch, `commit` joins it to
the tree and numbers the changes; both under the one lock. Texts of spans are not here: `files` gives them back.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Unpack

import numpy as np

from anton_notebook.model.span import (
    KINDS,
    PRICED,
    Detailed,
    Flag,
    Float64,
    Int32,
    Loader,
    Own,
    Pricer,
    Records,
    Span,
    SpanClass,
)
from anton_notebook.model.usage import Usage
from anton_notebook.store import aggregates, lookup, merge, tree
from anton_notebook.store.annotations import Notes
from anton_notebook.store.change_log import ChangeLog, Changes
from anton_notebook.store.columns import Columns, distinct, grown
from anton_notebook.store.hash_index import HashIndex, hashed, key_of, keys_of
from anton_notebook.store.light_span import light_span, usage_of
from anton_notebook.store.trace_info import Described, RunFigures, TraceInfo

HIDDEN = np.uint8(Flag.DEAD)


@dataclass(slots=True)
class FileInfo:
    """Where bodies lie: a file as it was at one time. A replaced file is another entry."""

    path: str
    loader: Loader
    kind: str = "jsonl"
    gone: bool = False


class Store:
    """Spans by row. See the module's docstring; `on_problem(row, field, reason)` is told of conflicts and circles."""

    def __init__(self, pricer: Pricer | None = None, detailed: Detailed | None = None) -> None:
        self.epoch = secrets.token_hex(4)
        self.lock = threading.RLock()
        self.size = 0
        self.c = Columns()
        self.ids: list[str] = []
        self.classes: list[SpanClass] = []
        self.class_kind = np.empty(64, np.int32)
        self.class_agent = np.empty(64, np.int32)
        self.agents: list[str] = []
        self.kinds: list[str] = list(KINDS)
        self.traces: list[TraceInfo] = []
        self.files: list[FileInfo] = []
        self.errors: dict[int, str] = {}
        self.notes, self.brought = Notes(), set[int]()
        self.own: dict[int, Own] = {}
        self.aliases: dict[tuple[int, str], int] = {}
        self.pricer, self.detailed = pricer, detailed
        self.on_problem: Callable[[int, str, str], None] = lambda row, field, reason: None
        self.index = HashIndex()
        self.clashes: dict[tuple[int, str], int] = {}
        self._log = ChangeLog()
        self._class_code: dict[SpanClass, int] = {}
        self._agent_code: dict[str, int] = {}
        self._kind_code = {k: i for i, k in enumerate(KINDS)}
        self._trace_code: dict[str, int] = {}
        self._listeners: list[Callable[[], None]] = []
        self._newest: int | None = None
        self.pending = tree.Pending()
        self.counted = 0
        self.unnamed: set[int] = set()
        self.reported: set[int] = set()
        # who named a row's parent, where that is not the record that it shows
        self.named_by: dict[int, merge.Rank] = {}
        self.stretched: set[int] = set()

    @property
    def revision(self) -> int:
        """The number of the last change."""
        return self._log.revision

    # -- codes

    def trace_code(self, trace_id: str) -> int:
        """The code of a trace, made when it is new."""
        code = self._trace_code.get(trace_id)
        if code is None:
            code = self._trace_code[trace_id] = len(self.traces)
            self.traces.append(TraceInfo(code, trace_id))
        return code

    def trace_codes(self, trace_ids: list[str]) -> Int32:
        """The codes of many traces."""
        codes = list(map(self._trace_code.get, trace_ids))
        if None in codes:
            for trace_id in dict.fromkeys(trace_ids):
                self.trace_code(trace_id)
            codes = list(map(self._trace_code.get, trace_ids))
        return np.array(codes, np.int32)

    def find_trace(self, trace_id: str) -> int | None:
        """The code of a known trace."""
        return self._trace_code.get(trace_id)

    def agent_code(self, agent: str) -> int:
        """The code of an agent's name."""
        code = self._agent_code.get(agent)
        if code is None:
            code = self._agent_code[agent] = len(self.agents)
            self.agents.append(agent)
        return code

    def class_code(self, cls: SpanClass) -> int:
        """The code of a class of spans."""
        code = self._class_code.get(cls)
        if code is None:
            code = self._class_code[cls] = len(self.classes)
            self.classes.append(cls)
            if code >= len(self.class_kind):
                self.class_kind = grown(self.class_kind, 2 * code)
                self.class_agent = grown(self.class_agent, 2 * code)
            if cls.kind not in self._kind_code:
                self._kind_code[cls.kind] = len(self.kinds)
                self.kinds.append(cls.kind)
            self.class_kind[code] = self._kind_code[cls.kind]
            self.class_agent[code] = self.agent_code(cls.agent)
        return code

    def add_file(self, path: str, loader: Loader, kind: str = "jsonl") -> int:
        """Registers a file; the code is what `Records.file` holds."""
        with self.lock:
            self.files.append(FileInfo(path, loader, kind))
            return len(self.files) - 1

    def expect(self, rows: int) -> None:
        """Makes room for about this many more rows."""
        with self.lock:
            self.c.reserve(self.size + rows)
            self.index.expect(self.size + rows)

    # -- writing

    def put(self, records: Records) -> None:
        """Takes a batch in. What is new is seen by readers after the next `commit`."""
        if not len(records):
            return
        with self.lock:
            first = self.size
            if records.file.max(initial=-1) >= len(self.files):
                raise IndexError("Records.file names a file that add_file has not given out")
            ids = records.hashed[0] if records.hashed is not None else hashed(records.span_id)
            rows, fresh = self.index.take(keys_of(ids, records.trace), first)
            if fresh.all():
                merge.append(self, records, None)
                return
            if fresh.any():
                merge.append(self, records, fresh)
            for i in np.flatnonzero(~fresh).tolist():
                row = self._own_row(int(records.trace[i]), records.span_id[i], int(rows[i]))
                if row < 0:
                    self._twin(records, i, int(rows[i]))
                else:
                    merge.merge(self, records, i, row)

    def upsert(self, records: Records) -> None:
        """Put records of which later versions replace earlier ones, whatever those said."""
        with self.lock:
            merge.upsert(self, records)

    def take_back(self, trace_id: str, span_id: str) -> None:
        """Remove a span that turned out to belong to another trace."""
        row = self.row(self.trace_code(trace_id), span_id)
        if row >= 0:
            self.remove(np.array([row], np.int32))

    def _own_row(self, trace: int, span_id: str, row: int) -> int:
        """The row of an identity, of which the hash was found at `row`; -1 where that is another's."""
        if self.ids[row] == span_id and self.c.trace[row] == trace:
            return row
        return self.clashes.get((trace, span_id), -1)

    def _twin(self, records: Records, i: int, other: int) -> None:
        """Adds a record whose hash another span has."""
        self.clash(int(records.trace[i]), records.span_id[i], other)
        merge.append(self, records, np.arange(len(records)) == i)

    def clash(self, trace: int, span_id: str, other: int) -> None:
        """Takes note that the next row has the hash of another one: both are found by name from now on."""
        self.clashes[(int(self.c.trace[other]), self.ids[other])] = other
        self.clashes[(trace, span_id)] = self.size
        self.index.twin(key_of(span_id, trace), self.size)

    def row(self, trace: int, span_id: str) -> int:
        """The row of an identity, -1 where there is none (rows taken back included)."""
        row = int(self.index.find(np.array([key_of(span_id, trace)], np.uint64))[0])
        return self._own_row(trace, span_id, row) if row >= 0 else -1

    def remove(self, rows: Int32) -> None:
        """Takes rows back: they are `gone` with the next commit."""
        with self.lock:
            rows = rows[(self.c.flags[rows] & HIDDEN) == 0]
            if len(rows):
                aggregates.count(self, rows, -1)
                self.c.flags[rows] |= HIDDEN
                self.pending.gone.extend(rows.tolist())
                for code in distinct(self.c.trace[rows]):
                    self.traces[code].stale = True

    def hide(self, row: int, instead: int) -> None:
        """Remove a row whose call another row shows; its id leads to that one."""
        with self.lock:
            self.remove(np.array([row], np.int32))
            self.aliases[int(self.c.trace[row]), self.ids[row]] = instead

    def uncount(self, row: int) -> None:
        """Take a row out of its run's figures before its values change."""
        aggregates.count(self, np.array([row], np.int32), -1)

    def recount(self, row: int) -> None:
        """Price a changed row and put it back into its run's figures."""
        rows = np.array([row], np.int32)
        if row < self.counted:
            self.price(rows)
            aggregates.count(self, rows, 1)
        self.pending.changed.append(row)

    def mark_file_gone(self, file: int) -> None:
        """Marks the spans of a file that was removed, cut or replaced; they stay."""
        with self.lock:
            self.files[file].gone = True
            rows = np.flatnonzero(self.c.file[: self.size] == file).astype(np.int32)
            self.c.flags[rows] |= np.uint8(Flag.FILE_GONE)
            self.pending.changed.extend(rows.tolist())

    def describe(self, trace: int, **known: Unpack[Described]) -> None:
        """Sets what is known of a run beside its spans: its description, and what its own files say of it."""
        with self.lock:
            info = self.traces[trace]
            for name, value in known.items():
                if getattr(info, name) != value:
                    setattr(info, name, value)
                    self.pending.traces.add(trace)

    def reprice(self) -> None:
        """Prices every call again, after a price was set."""
        with self.lock:
            rows = np.flatnonzero((self.c.flags[: self.size] & HIDDEN) == 0).astype(np.int32)
            priced = [code for kind, code in self._kind_code.items() if kind in PRICED]
            rows = rows[np.isin(self.class_kind[self.c.cls[rows]], priced)]
            aggregates.count(self, rows, -1)
            self.price(rows)
            aggregates.count(self, rows, 1)
            self.pending.changed.extend(rows.tolist())

    def price(self, rows: Int32) -> None:
        """Fills `cost` for these rows."""
        aggregates.price(self, rows)

    def commit(self) -> bool:
        """Joins what was put to the tree, numbers the changes and tells the listeners. False where nothing changed."""
        with self.lock:
            changed, gone, traces = tree.join(self)
            if not len(changed) and not len(gone) and not traces:
                return False
            for code in traces:
                agent = self.traces[code].agents.get(self.traces[code].orchestrator)
                row = agent.row if agent is not None else self._any_row(code)
                if row >= 0 and row not in changed:
                    changed = np.append(changed, np.int32(row))
            self._log.extend(changed.astype(np.int32), gone)
            self._newest = None
            listeners = list(self._listeners)
        for tell in listeners:
            tell()
        return True

    def _any_row(self, trace: int) -> int:
        """A row of a trace, to carry the word that something of the whole changed; -1 where it has none."""
        rows = np.flatnonzero((self.c.trace[: self.size] == trace) & ((self.c.flags[: self.size] & HIDDEN) == 0))
        return int(rows[0]) if len(rows) else -1

    # -- reading

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Calls back after every commit that changed something, on the committing thread. Returns the way to stop that."""
        with self.lock:
            self._listeners.append(callback)

        def stop() -> None:
            with self.lock:
                if callback in self._listeners:
                    self._listeners.remove(callback)

        return stop

    def changes(self, since: int, traces: Collection[int] | None = None) -> Changes:
        """What changed after revision `since`, in these traces or in all; a snapshot where the log does not reach back."""
        with self.lock:
            found = self._log.since(since) if since >= 0 else None
            if found is None:
                rows, gone = self.live_rows(), np.empty(0, np.int32)
            else:
                rows, gone = found
                rows = rows[(self.c.flags[rows] & HIDDEN) == 0]
            if traces is not None:
                wanted = np.fromiter(traces, np.int32, len(traces))
                rows = rows[np.isin(self.c.trace[rows], wanted)]
                gone = gone[np.isin(self.c.trace[gone], wanted)]
            return Changes(-1 if found is None else since, self.revision, rows, gone)

    def live_rows(self) -> Int32:
        """Every row that has not been taken back, in order of arrival."""
        return np.flatnonzero((self.c.flags[: self.size] & HIDDEN) == 0).astype(np.int32)

    def newest_trace(self) -> int | None:
        """The code of the run that started last; experiments only where there is nothing else."""
        with self.lock:
            if self._newest is None:
                seen = [t for t in self.traces if t.spans]
                runs = [t for t in seen if t.origin not in ("rerun", "replay")] or seen
                self._newest = max(runs, key=lambda t: (t.start, t.trace_id)).code if runs else None
            return self._newest

    def run(self, code: int) -> RunFigures:
        """The figures of one run."""
        with self.lock:
            return self.traces[code].figures()

    def span_id(self, row: int) -> str:
        """The id of a row."""
        return self.ids[row]

    def row_of(self, span_id: str, trace_id: str | None = None) -> int:
        """Return the row of a span; `SpanNotFound` names near misses, `AmbiguousSpan` the traces."""
        with self.lock:
            return lookup.find_row(self, span_id, trace_id)

    def span(self, row: int) -> Span:
        """The light fields of a row as plain values."""
        with self.lock:
            return light_span(self, row)

    def usage(self, row: int) -> Usage:
        """Return all that the call in a row used."""
        return usage_of(self, row)

    def children(self, row: int) -> Int32:
        """The rows below a row, by start."""
        with self.lock:
            below = np.flatnonzero(self.c.parent[: self.size] == row).astype(np.int32)
            below = below[(self.c.flags[below] & HIDDEN) == 0]
            ordered: Int32 = below[np.argsort(self.c.start[below], kind="stable")]
            return ordered

    def totals(self) -> tuple[Float64, Float64]:
        """Cost (USD, NaN where nothing is priced) and tokens (NaN unknown) of every row's subtree, itself included."""
        with self.lock:
            return aggregates.totals(self)
