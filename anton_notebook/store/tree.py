"""The tree: recorded parents where they stand, and one derived node per agent per trace.

Rules (FORMATS.md, Agents and parents): a recorded parent of the same agent stands; a line without one, or with a parent of
another agent, hangs under its agent's node; that node hangs under the earliest such parent, else under the orchestrator's.
A parent that is named and not seen yet is a pending row under its first child's agent, and becomes the span when that is read.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from operator import eq
from typing import TYPE_CHECKING, Any

import numpy as np

from anton_notebook.model.span import NAT, Flag, Int32, Int64, SpanClass
from anton_notebook.store import aggregates
from anton_notebook.store.agent_nodes import (
    AGENT_KINDS,
    DEAD,
    DERIVED,
    PENDING,
    extend_agents,
    keep_lasts,
    look,
    new_row,
    place_nodes,
)
from anton_notebook.store.columns import distinct, union
from anton_notebook.store.hash_index import hashed, keys_of

if TYPE_CHECKING:
    from anton_notebook.store.store import Store

_KEEP, _CUT = np.uint8(Flag.KEEP), np.uint8(Flag.CUT)
_NO_ROWS = np.empty(0, np.int32)
_NO_HASH = hash(None)


@dataclass(slots=True)
class Pending:
    """What `put` left for `commit` to join."""

    new: list[Int32] = field(default_factory=list)
    parents: list[str | None] = field(default_factory=list)
    hashed: list[Int64] = field(default_factory=list)
    filled: dict[int, str | None] = field(default_factory=dict)
    changed: list[int] = field(default_factory=list)
    ended: list[int] = field(default_factory=list)
    gone: list[int] = field(default_factory=list)
    traces: set[int] = field(default_factory=set)
    waiting: dict[int, list[int]] = field(default_factory=dict)


def join(store: Store) -> tuple[Int32, Int32, set[int]]:
    """Joins everything pending. Returns the rows put, the rows gone, and the traces of which only the description changed."""
    pending, c = store.pending, store.c
    aggregates.count_new(store)
    first_derived = store.size
    rows = np.concatenate(pending.new) if pending.new else _NO_ROWS
    if pending.filled:
        rows = np.append(rows, np.array(list(pending.filled), np.int32))
        pending.parents += pending.filled.values()
        pending.hashed.append(hashed(list(pending.filled.values())))
    if len(rows):
        _resolve(store, rows, pending.parents, pending.hashed)
    changed: list[Int32] = [rows, np.array(pending.changed, np.int32)]
    for row in pending.filled:
        _seen(store, row)
    gone = np.array(sorted(set(pending.gone)), np.int32)
    gone = gone[(c.flags[gone] & DEAD) != 0]
    stale = _stale(store, rows, pending)
    changed.append(_attach(store, rows[~np.isin(store.c.trace[rows], stale)] if stale else rows))
    stale = _stale(store, rows, pending)
    for code in stale:
        whole, left = _rebuild(store, code)
        changed.append(whole)
        gone = np.concatenate([gone, left])
    c = store.c
    for row in pending.ended:
        if c.trace[row] not in stale:
            changed.append(_ended(store, row))
    if store.size > first_derived:
        changed.append(np.arange(first_derived, store.size, dtype=np.int32))
        store.counted = store.size
    store.pending = Pending(waiting=pending.waiting)
    put = union(changed, store.size)
    return put[(c.flags[put] & DEAD) == 0], gone, pending.traces


def _seen(store: Store, row: int) -> None:
    """A parent that was waited for is there: its children of another agent have to move to their own agent's node."""
    c = store.c
    waiting = np.array(store.pending.waiting.pop(row, []), np.int32)
    waiting = waiting[(c.flags[waiting] & DEAD) == 0]
    agents = store.class_agent[c.cls[waiting]]
    moves = (agents != store.class_agent[c.cls[row]]) & ((c.flags[waiting] & _KEEP) == 0)
    if (moves & (store.class_kind[c.cls[waiting]] >= AGENT_KINDS)).any():
        store.traces[c.trace[row]].stale = True


def _stale(store: Store, rows: Int32, pending: Pending) -> list[int]:
    rows = np.concatenate([rows, np.array(pending.changed + pending.gone, np.int32)])
    return [code for code in distinct(store.c.trace[rows]) if store.traces[code].stale]


def _resolve(store: Store, rows: Int32, parents: list[str | None], parts: list[Int64]) -> None:
    """Sets `recorded_parent` of these rows; a parent that is not there gets a pending row. `parts`: the parents' hashes."""
    raw = parts[0] if len(parts) == 1 else np.concatenate(parts)
    none = raw == _NO_HASH
    named = np.flatnonzero(~none)
    if any(map(parents.__getitem__, np.flatnonzero(none).tolist())):  # a name that has the hash of None
        named = np.array([i for i, parent in enumerate(parents) if parent is not None], np.int64)
    if not len(named):
        return
    children, raw = _wide(rows)[named], raw[named]
    traces = store.c.trace[children]
    # Calls that follow each other mostly have one parent: each is looked up once.
    heads = np.append(True, (raw[1:] != raw[:-1]) | (traces[1:] != traces[:-1]))
    of, traces = named[heads].tolist(), traces[heads]
    ids: list[str] = [parents[i] for i in of]
    found = store.index.find(keys_of(raw[heads], traces))
    known = store.ids
    fits = np.fromiter(map(eq, map(known.__getitem__, found.tolist()), ids), bool, len(ids))
    c = store.c
    fits &= (found >= 0) & (c.trace[found] == traces) & ((c.flags[found] & DEAD) == 0)
    for i in np.flatnonzero(~fits).tolist():
        own_trace = ids[i] == store.traces[traces[i]].trace_id
        found[i] = -1 if own_trace else _pending_row(store, int(traces[i]), ids[i])
    c = store.c
    above = found[np.cumsum(heads) - 1]
    c.recorded_parent[children] = above
    waits = (above >= 0) & ((c.flags[above] & PENDING) != 0)
    for child, parent_row in zip(children[waits].tolist(), above[waits].tolist(), strict=True):
        store.pending.waiting.setdefault(parent_row, []).append(child)


def _pending_row(store: Store, trace: int, span_id: str) -> int:
    row = store.row(trace, span_id)
    if row >= 0:
        if store.c.flags[row] & DEAD:
            store.c.flags[row] = PENDING
        return row
    return new_row(store, trace, span_id, SpanClass("pending"), Flag.PENDING)


def _rebuild(store: Store, code: int) -> tuple[Int32, Int32]:
    """Derives one trace anew from all its rows."""
    info, c = store.traces[code], store.c
    rows = np.flatnonzero((c.trace[: store.size] == code) & ((c.flags[: store.size] & DEAD) == 0)).astype(np.int32)
    nodes = rows[(c.flags[rows] & DERIVED) != 0]
    old = {row: look(store, row) for row in rows.tolist()}
    info.stale = False
    info.agents, info.first_root, info.orchestrator = {}, None, -1
    info.start = info.end = NAT
    lines = rows[(c.flags[rows] & (DERIVED | PENDING)) == 0]
    if len(lines):
        starts = c.start[lines]
        info.start = int(starts[starts != NAT].min(initial=2**62)) if (starts != NAT).any() else NAT
        info.end = int(c.end(lines).max())
    c.flags[nodes] |= DEAD
    c.flags[lines] &= ~_CUT
    for row in rows[(c.flags[rows] & PENDING) != 0].tolist():
        named = [r for r in store.pending.waiting.get(row, []) if not c.flags[r] & DEAD]
        if named:
            store.pending.waiting[row] = named
        else:
            store.pending.waiting.pop(row, None)
            c.flags[row] |= DEAD
    _attach(store, lines)
    c = store.c
    alive = rows[(c.flags[rows] & DEAD) == 0]
    changed = np.array([row for row in alive.tolist() if look(store, row) != old[row]], np.int32)
    return changed, rows[(c.flags[rows] & DEAD) != 0]


def _attach(store: Store, rows: Int32) -> Int32:
    """Gives these rows their parents in the tree and brings their agents' nodes up to date. Returns the nodes touched."""
    if not len(rows):
        return _NO_ROWS
    rows = _wide(rows)
    c = store.c
    flags = c.flags[rows]
    agents = store.class_agent[c.cls[rows]]
    recorded = c.recorded_parent[rows]
    has = recorded >= 0
    recorded = np.where(has, recorded, rows)
    pending = has & ((c.flags[recorded] & PENDING) != 0)
    stands = has & (
        pending
        | ((flags & _KEEP) != 0)
        | (store.class_kind[c.cls[rows]] < AGENT_KINDS)
        | (store.class_agent[c.cls[recorded]] == agents)
    )
    pairs, which = _pairs(c.trace[rows], agents)
    named = np.array([store.agents[pair & 0xFFFFFFFF] != "" for pair in pairs])
    free = ((flags & _KEEP) != 0) | ~named[which] | (store.class_kind[c.cls[rows]] < AGENT_KINDS)
    c.parent[rows] = np.where(stands, recorded, -1)
    touched = extend_agents(store, rows, pairs, which, ~free)
    c = store.c
    to_node = ~stands & ~free
    held = [store.traces[pair >> 32].agents.get(pair & 0xFFFFFFFF) for pair in pairs]
    nodes = np.array([n.row if n is not None else -1 for n in held], np.int32)[which]
    c.parent[rows[to_node]] = nodes[to_node]
    for row in dict.fromkeys(recorded[pending].tolist()):
        _hang_pending(store, row)
        touched.add(row)
    touched |= _cut_circles(store, rows)
    foreign = to_node & has
    for i in np.flatnonzero(foreign):
        store.traces[c.trace[rows[i]]].agents[int(agents[i])].foreign.add(int(recorded[i]))
    below = (c.parent[rows] == nodes) & ~free
    keep_lasts(store, rows[below], agents[below])
    for code in distinct(c.trace[rows]):
        touched |= place_nodes(store, store.traces[code])
    return np.array(sorted(touched), np.int32)


def _wide(rows: Int32) -> Any:
    """The same rows as numpy looks them up: other numbers are copied into such each time."""
    return rows.astype(np.intp)


def _pairs(traces: Int32, agents: Int32) -> tuple[list[int], Int64]:
    """The (trace << 32 | agent) pairs there are, and which of them each row has."""
    if len(traces) == 1:
        return [int(traces[0]) << 32 | int(agents[0])], np.zeros(1, np.int64)
    width = int(agents.max()) + 1
    keys = traces.astype(np.int64) * width + agents
    low = int(keys.min())
    keys -= low
    if int(keys.max()) < 4 * len(keys) + 1024:
        present = np.zeros(int(keys.max()) + 1, bool)
        present[keys] = True
        distinct, which = np.flatnonzero(present), (np.cumsum(present) - 1)[keys]
    else:
        distinct, which = np.unique(keys, return_inverse=True)
    return [(k + low) // width << 32 | (k + low) % width for k in distinct.tolist()], which


def _hang_pending(store: Store, row: int) -> None:
    """A pending parent hangs where its first child's agent has its node."""
    c = store.c
    children = [r for r in store.pending.waiting.get(row, []) if not c.flags[r] & DEAD]
    if not children:
        return
    child = min(children, key=lambda r: (int(c.start[r]), store.ids[r]))
    agent = store.traces[c.trace[row]].agents.get(int(store.class_agent[c.cls[child]]))
    c.parent[row] = agent.row if agent is not None and not agent.explicit and not c.flags[child] & _KEEP else -1
    c.start[row] = c.start[child]


def _cut_circles(store: Store, rows: Int32) -> set[int]:
    """Where lines name each other as parents in a circle, the earliest of them hangs under its agent's node instead.

    Derived nodes end the walk: where they hang is decided afterwards, over what the lines say. Returns the rows cut.
    """
    c = store.c

    def above(of: Int32) -> Int32:
        up = c.parent[of]
        return np.where((up >= 0) & ((c.flags[up] & DERIVED) == 0), up, -1).astype(np.int32, copy=False)

    up = above(rows)
    for _ in range(8 if len(rows) * 32 > store.size else 64):
        rows, up = rows[up >= 0], up[up >= 0]
        if not len(rows):
            return set()
        up = above(up)
    if len(rows) * 32 > store.size:
        # many are deep: each step now goes twice as far as the last, and what a circle holds never arrives
        jump = above(np.arange(store.size, dtype=np.int32))
        for _ in range(int(store.size).bit_length() + 1):
            under = np.flatnonzero(jump >= 0)
            if not len(under):
                return set()
            jump[under] = jump[jump[under]]
        up = jump[rows]
    cleared: set[int] = set()
    cuts: set[int] = set()
    for row in rows[up >= 0].tolist():
        path: dict[int, int] = {}
        at = row
        while at >= 0 and at not in cleared and at not in path and not c.flags[at] & DERIVED:
            path[at] = len(path)
            at = int(c.parent[at])
        if at in path:
            circle = list(path)[path[at] :]
            cut = min(circle, key=lambda r: (int(c.start[r]), store.ids[r]))
            agent = store.traces[c.trace[cut]].agents.get(int(store.class_agent[c.cls[cut]]))
            free = agent is None or agent.explicit or c.flags[cut] & _KEEP
            c.parent[cut] = -1 if agent is None or free else agent.row
            c.flags[cut] |= _CUT
            cuts.add(cut)
            if cut not in store.reported:
                store.reported.add(cut)
                store.on_problem(cut, "parent_id", "its parents form a circle; it is shown without its recorded parent")
        cleared.update(path)
    return cuts


def _ended(store: Store, row: int) -> Int32:
    """A span that ran has ended: its agent's node follows."""
    c = store.c
    info = store.traces[c.trace[row]]
    agent = info.agents.get(int(store.class_agent[c.cls[row]]))
    if agent is None or store.class_kind[c.cls[row]] < AGENT_KINDS or c.flags[row] & _KEEP:
        return _NO_ROWS
    agent.running -= 1
    rows = np.array([row], np.int32)
    agent.end = max(agent.end, int(c.end(rows)[0]))
    if c.parent[row] == agent.row:
        keep_lasts(store, rows, np.array([agent.code], np.int32))
    return np.array(sorted(place_nodes(store, info)), np.int32)
