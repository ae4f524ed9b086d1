"""Puts calls without a parent into the run of their conversation, with the tools and agents that their messages tell of.

See `bare_calls.py` for how conversations are found. A call whose place changes is removed and put again; its old id leads to
the new row. Spans below a call move with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from anton_notebook.errors import BodyUnavailable
from anton_notebook.model.span import LLM, NAT, TOOL, Flag, Int32, Records, SpanClass
from anton_notebook.sources.otlp.bare_calls import BareCall, Key, Placement, ToolRow, group, placements
from anton_notebook.sources.timestamps import iso
from anton_notebook.store import Store

_COLUMNS = (
    "cls", "start", "duration", "status", "flags", "input", "output", "cached", "recorded_cost", "file", "offset",
    "length", "line",
)  # fmt: skip
_GONE = np.uint8(Flag.DEAD | Flag.PENDING)
Put = Callable[[Records], None]


class BareRuns:
    """The calls of one path that have no parent, and the runs they make up."""

    def __init__(self, store: Store, put: Put) -> None:
        self._store, self._put = store, put
        self._calls: dict[Key, BareCall] = {}
        self._dirty: set[Key] = set()
        self._placed: dict[Key, Placement] = {}
        self._row: dict[Key, int] = {}
        self._moved: dict[int, Key] = {}
        self._tools: list[dict[str, Any]] = []
        self._tool_at: dict[str, int] = {}
        self._file = -1

    def take(self, records: Records) -> None:
        """Record the calls without a parent among the spans of a batch, which the store holds by now."""
        for i in np.flatnonzero(np.array([parent is None for parent in records.parent_id], bool)).tolist():
            cls = self._store.classes[records.cls[i]]
            if cls.kind == LLM and not cls.agent:
                self._dirty.add((int(records.trace[i]), records.span_id[i]))

    def mark(self, trace_id: str, span_id: str) -> None:
        """Read a call again: a log record of it has come."""
        code = self._store.find_trace(trace_id)
        if code is not None and (code, span_id) in self._calls:
            self._dirty.add((code, span_id))

    def run_of(self, trace: int) -> int:
        """Return the trace into which the spans of a trace were moved; itself if they were not."""
        key = self._moved.get(trace)
        return trace if key is None else key[0]

    def settle(self) -> list[tuple[list[str], Int32]]:
        """Place what is new. Returns the ids and traces of the spans that were put."""
        dirty, self._dirty = self._dirty, set()
        for key in sorted(dirty):
            self._read(key)
        if not dirty:
            return []
        conversations, same = group(list(self._calls.values()))
        places, tools = placements(conversations)
        touched: list[tuple[list[str], Int32]] = []
        for key in sorted(places, key=lambda k: (self._calls[k].start, k)):
            if self._placed.get(key) != places[key]:
                touched += self._place(key, places[key])
        for key, twin in same.items():
            row, other = self._row.get(key, -1), self._row.get(twin, -1)
            if row >= 0 and other >= 0 and not self._store.c.flags[row] & _GONE:
                self._store.hide(row, other)
        rows = [tool for run, agent, tool in tools if self._is_new(tool, run, agent)]
        if rows:
            self._put_tools([(run, agent, tool) for run, agent, tool in tools if tool in rows])
            touched += [([tool.span_id for tool in rows], self._traces_of([r for r, _, t in tools if t in rows]))]
        return touched

    def _read(self, key: Key) -> None:
        store = self._store
        row = self._row.get(key, -1)
        if row < 0 or store.c.flags[row] & _GONE:
            row = store.row(*key)
        if row < 0:
            return
        self._row[key] = row
        c = store.c
        start, duration = int(c.start[row]), int(c.duration[row])
        end = start + duration if NAT not in (start, duration) else start
        call = BareCall(key, start, end, int(c.status[row]) == 2, (int(c.input[row]), int(c.output[row])))
        try:
            file = int(c.file[row])
            if file >= 0:
                call.read(store.files[file].loader(int(c.offset[row]), int(c.length[row])))
        except BodyUnavailable:
            pass
        self._calls[key] = call

    def _traces_of(self, runs: list[Key]) -> Int32:
        return np.array([run[0] for run in runs], np.int32)

    def _place(self, key: Key, place: Placement) -> list[tuple[list[str], Int32]]:
        """Put a call where it belongs. A lone call without an agent stays as it is."""
        self._placed[key] = place
        store, row = self._store, self._row[key]
        stays = place.run == key and place.parent is None and not place.agent
        if stays and int(store.c.trace[row]) == key[0]:
            return []
        below = []
        if place.run[0] != key[0]:
            self._moved[key[0]] = place.run
            rows = np.flatnonzero((store.c.trace[: store.size] == key[0]) & (store.c.flags[: store.size] & _GONE == 0))
            below = [r for r in rows.tolist() if r != row]
        out = [self._put_again(row, place.run[0], place.parent, place.agent)]
        self._row[key] = store.row(place.run[0], key[1])
        for r in below:
            above = int(store.c.recorded_parent[r])
            out.append(self._put_again(r, place.run[0], store.ids[above] if above >= 0 else None, ""))
        return out

    def _put_again(self, row: int, trace: int, parent: str | None, agent: str) -> tuple[list[str], Int32]:
        store, c = self._store, self._store.c
        cls = store.classes[c.cls[row]]
        fields = {name: getattr(c, name)[row : row + 1].copy() for name in _COLUMNS}
        fields["cls"] = np.array([store.class_code(cls._replace(agent=agent or cls.agent))], np.int32)
        if agent:
            fields["flags"] &= ~np.uint8(Flag.KEEP)
        span_id, old = store.ids[row], int(c.trace[row])
        errors = {0: store.errors[row]} if row in store.errors else {}
        own = {0: store.own[row]} if row in store.own else {}
        traces = np.array([trace], np.int32)
        if old == trace:
            self._change(row, int(fields["cls"][0]), bool(agent))
            return [span_id], traces
        store.remove(np.array([row], np.int32))
        self._put(Records(traces, [span_id], [parent], **fields, errors=errors, own=own))
        store.aliases[old, span_id] = store.row(trace, span_id)
        return [span_id], traces

    def _change(self, row: int, cls: int, derives: bool) -> None:
        """Change a row in place: its trace stays the same."""
        store = self._store
        if row < store.counted:
            store.uncount(row)
        store.c.cls[row] = cls
        if derives:
            store.c.flags[row] &= ~np.uint8(Flag.KEEP)
        store.traces[int(store.c.trace[row])].stale = True
        store.recount(row)

    # -- tools

    def _is_new(self, tool: ToolRow, run: Key, agent: str) -> bool:
        at = self._tool_at.get(tool.span_id)
        return at is None or self._tools[at] != self._tool_record(tool, run, agent)

    def _tool_record(self, tool: ToolRow, run: Key, agent: str) -> dict[str, Any]:
        result = tool.result
        known = NAT not in (tool.start, tool.end) and tool.end >= tool.start
        record = {
            "timestamp": iso(tool.start), "agent_name": agent or None, "trace_id": self._store.traces[run[0]].trace_id,
            "span_id": tool.span_id, "parent_id": tool.call.key[1], "span_type": "tool_call",
            "duration_ms": (tool.end - tool.start) / 1000 if known else None, "tool_name": tool.tool.name,
            "tool_call_id": tool.tool.id, "parameters": tool.tool.arguments,
            "result": result.value if result else None,
        }  # fmt: skip
        if result is not None and result.failed:
            record |= {"success": False, "error": str(result.value)}
        return record

    def _put_tools(self, tools: list[tuple[Key, str, ToolRow]]) -> None:
        store, n = self._store, len(tools)
        if self._file < 0:
            self._file = store.add_file("", self._load, "otlp")
        places: list[int] = []
        for run, agent, tool in tools:
            record = self._tool_record(tool, run, agent)
            if tool.span_id not in self._tool_at:
                self._tool_at[tool.span_id] = len(self._tools)
                self._tools.append(record)
            else:
                self._tools[self._tool_at[tool.span_id]] = record
            places.append(self._tool_at[tool.span_id])
        rows = [tool for _, _, tool in tools]
        ended = [NAT not in (row.start, row.end) and row.end >= row.start for row in rows]
        failed = [row.result is not None and row.result.failed for row in rows]
        status = [2 if bad else 1 if row.result is not None else 0 for row, bad in zip(rows, failed, strict=True)]
        classes = [SpanClass(TOOL, agent, tool.tool.name) for _, agent, tool in tools]
        self._put(
            Records(
                trace=self._traces_of([run for run, _, _ in tools]),
                span_id=[row.span_id for row in rows],
                parent_id=[row.call.key[1] for row in rows],
                cls=np.array([store.class_code(cls) for cls in classes], np.int32),
                start=np.array([row.start for row in rows], np.int64),
                duration=np.array([r.end - r.start if e else NAT for r, e in zip(rows, ended, strict=True)], np.int64),
                status=np.array(status, np.uint8),
                flags=np.array([0 if agent else Flag.KEEP for _, agent, _ in tools], np.uint8),
                input=np.full(n, -1, np.int32),
                output=np.full(n, -1, np.int32),
                cached=np.full(n, -1, np.int32),
                recorded_cost=np.full(n, np.nan),
                file=np.full(n, self._file, np.int32),
                offset=np.array(places, np.int64),
                length=np.zeros(n, np.int32),
                line=np.zeros(n, np.int32),
                errors={i: str(row.result.value) for i, row in enumerate(rows) if row.result and row.result.failed},
            )
        )

    def _load(self, offset: int, length: int) -> Mapping[str, Any]:
        return self._tools[offset]
