"""Agents' nodes: one for each agent of each trace, derived from its calls unless the source has a span for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from anton_notebook.model.span import AGENT, NAT, ORCHESTRATOR, Bool, Flag, Int32, Int64, SpanClass
from anton_notebook.store import aggregates
from anton_notebook.store.hash_index import hashed, key_of, keys_of
from anton_notebook.store.trace_info import Agent, TraceInfo
from anton_notebook.store.uuid5 import uuid5, uuid5s

if TYPE_CHECKING:
    from anton_notebook.store.store import Store

DEAD, PENDING, DERIVED = np.uint8(Flag.DEAD), np.uint8(Flag.PENDING), np.uint8(Flag.DERIVED)
AGENT_KINDS = 2
_NEVER = 2**63 - 1
_MANY = 8


def agent_id(trace_id: str, agent: str) -> str:
    """The id of a derived agent's node."""
    return uuid5(f"{trace_id}:agent:{agent}")


def extend_agents(store: Store, rows: Int32, pairs: list[int], which: Int64, derive: Bool) -> set[int]:
    """Extends each agent's first start, end and count of running spans by these rows; makes nodes that are not there yet."""
    c = store.c
    explicit = (store.class_kind[c.cls[rows]] < AGENT_KINDS) & (store.class_agent[c.cls[rows]] != store.agent_code(""))
    if explicit.any():
        own = zip(rows[explicit].tolist(), which[explicit].tolist(), strict=True)
        for row, p in sorted(own, key=lambda one: (int(c.start[one[0]]), store.ids[one[0]])):
            _explicit(store, row, store.traces[pairs[p] >> 32], pairs[p] & 0xFFFFFFFF)
    if not derive.all():
        rows, which = rows[derive], which[derive]
    touched: set[int] = set()
    if not len(rows):
        return touched
    if len(pairs) > 1:
        order = np.argsort(which, kind="stable")
        rows, which = rows[order], which[order]
    begins = np.flatnonzero(np.append(True, which[1:] != which[:-1]))
    starts, unrooted = c.start[rows], c.recorded_parent[rows] >= 0
    least = _least(store, rows, starts, begins)
    ends = np.maximum.reduceat(c.end(rows), begins).tolist()
    running = np.add.reduceat((c.status[rows] == 0).astype(np.int64), begins).tolist()
    roots = _least(store, rows, np.where(unrooted, _NEVER, starts), begins)
    bare: list[Agent] = []
    infos: list[TraceInfo] = []
    for g, p in enumerate(which[begins].tolist()):
        info, code = store.traces[pairs[p] >> 32], pairs[p] & 0xFFFFFFFF
        agent = info.agents.get(code)
        if agent is None:
            agent = info.agents[code] = Agent(code)
        agent.first = min(agent.first, least[g])
        agent.end = max(agent.end, ends[g])
        agent.running += running[g]
        if roots[g][0] != _NEVER:
            info.first_root = min(info.first_root or (_NEVER, "", 0), (*roots[g], code))
        if not agent.explicit:
            if agent.row >= 0:
                touched.add(agent.row)
            else:
                bare.append(agent)
                infos.append(info)
    for agent, row in zip(bare, _derive(store, infos, [agent.code for agent in bare]), strict=True):
        agent.row = row
        touched.add(row)
    return touched


def _explicit(store: Store, row: int, info: TraceInfo, code: int) -> None:
    """Of the spans that a source has for one agent, the first is its node."""
    c, agent = store.c, info.agents.get(code)
    if agent is None:
        info.agents[code] = Agent(code, row, explicit=True)
    elif not agent.explicit or (int(c.start[row]), store.ids[row]) < (int(c.start[agent.row]), store.ids[agent.row]):
        agent.explicit, agent.row, info.stale = True, row, True


def _least(store: Store, rows: Int32, starts: Int64, begins: Int64) -> list[tuple[int, str]]:
    """The first start of each group of rows and the least id that has it; the groups begin at `begins`.

    A group in which all starts are `_NEVER` has no id.
    """
    first = np.minimum.reduceat(starts, begins)
    at = np.flatnonzero((starts == np.repeat(first, np.diff(np.append(begins, len(rows))))) & (starts != _NEVER))
    ids = store.ids
    if len(at) == len(begins) and (first != _NEVER).all():
        return list(zip(first.tolist(), [ids[row] for row in rows[at].tolist()], strict=True))
    found: dict[int, str] = {}
    group = np.searchsorted(begins, at, side="right") - 1
    for g, row in zip(group.tolist(), rows[at].tolist(), strict=True):
        found[g] = min(found.get(g, ids[row]), ids[row])
    return [(start, found.get(g, "")) for g, start in enumerate(first.tolist())]


def _derive(store: Store, infos: list[TraceInfo], codes: list[int]) -> list[int]:
    """The rows of nodes for these agents of these traces."""
    if len(infos) >= _MANY:
        ids = uuid5s([f"{info.trace_id}:agent:{store.agents[code]}" for info, code in zip(infos, codes, strict=True)])
        traces = np.array([info.code for info in infos], np.int32)
        keys = keys_of(hashed(ids), traces)
        if len(np.unique(keys)) == len(keys) and (store.index.find(keys) < 0).all():
            classes = {code: store.class_code(_class(store.agents[code])) for code in set(codes)}
            first, n, c = store.size, len(ids), store.c
            store.index.take(keys, first)
            c.reserve(first + n)
            _blank(
                store, slice(first, first + n), traces, np.array([classes[code] for code in codes], np.int32), DERIVED
            )
            store.ids += ids
            store.size = first + n
            return list(range(first, first + n))
    return [_derived(store, info, code) for info, code in zip(infos, codes, strict=True)]


def _class(name: str) -> SpanClass:
    return SpanClass(ORCHESTRATOR if name == ORCHESTRATOR else AGENT, name, name)


def _derived(store: Store, info: TraceInfo, code: int) -> int:
    name = store.agents[code]
    cls = _class(name)
    span_id = agent_id(info.trace_id, name)
    row = store.row(info.code, span_id)
    if row < 0:
        return new_row(store, info.code, span_id, cls, Flag.DERIVED)
    if not store.c.flags[row] & (DEAD | PENDING | DERIVED):
        aggregates.count(store, np.array([row], np.int32), -1)
        hidden(store, row)
    store.c.flags[row] = DERIVED
    return row


def hidden(store: Store, row: int) -> None:
    """Tells of a line that has the id of an agent's node."""
    store.on_problem(row, "span_id", "a line has the id that an agent's own node has here; it is not shown")


def keep_lasts(store: Store, rows: Int32, agents: Int32) -> None:
    """Keeps, for each agent, the call right below its node that ended last."""
    c = store.c
    done = c.status[rows] != 0
    rows, agents = rows[done], agents[done]
    if not len(rows):
        return
    ends, traces = c.end(rows), c.trace[rows]
    ends = np.where(ends == NAT, c.start[rows], ends)  # of a call that was given up, nobody knows the end
    order = np.lexsort((ends, agents, traces))
    rows, ends, agents, traces = rows[order], ends[order], agents[order], traces[order]
    changes = (agents[1:] != agents[:-1]) | (traces[1:] != traces[:-1])
    for stop in np.flatnonzero(np.append(changes, True)).tolist():
        agent = store.traces[traces[stop]].agents[int(agents[stop])]
        at = stop
        while at >= 0 and ends[at] == ends[stop] and agents[at] == agents[stop] and traces[at] == traces[stop]:
            row = int(rows[at])
            agent.last = max(agent.last, (int(ends[at]), store.ids[row], int(c.status[row])))
            at -= 1


def place_nodes(store: Store, info: TraceInfo) -> set[int]:
    """Times, status and parents of one trace's derived nodes. Returns those that changed."""
    c = store.c
    named = next((a for a in info.agents if store.agents[a] == ORCHESTRATOR), None)
    root = named if named is not None else (info.first_root[2] if info.first_root else -1)
    info.orchestrator = root
    nodes = sorted(info.agents.values(), key=lambda a: (a.first, store.agents[a.code]))
    derived = [a for a in nodes if not a.explicit and a.row >= 0]
    before = {a.row: look(store, a.row) for a in derived}
    top = info.agents[root].row if root in info.agents else -1
    for agent in derived:
        name = store.agents[agent.code]
        c.cls[agent.row] = store.class_code(SpanClass(ORCHESTRATOR if agent.code == root else AGENT, name, name))
        c.start[agent.row] = agent.first[0] if agent.first[0] != 2**63 - 1 else NAT
        c.parent[agent.row] = -1
    for agent in derived:
        if agent.code == root:
            continue
        real = [p for p in agent.foreign if not c.flags[p] & (DEAD | PENDING)]
        wanted = (min(real, key=lambda r: (int(c.start[r]), store.ids[r]), default=-1), top)
        c.parent[agent.row] = next((p for p in wanted if p >= 0 and not _is_above(store, agent.row, p)), -1)
    busy = {a.row for a in nodes if a.running}
    for row in list(busy):
        at = int(c.parent[row])
        while at >= 0 and at not in busy:
            if c.flags[at] & DERIVED:
                busy.add(at)
            at = int(c.parent[at])
    for agent in derived:
        runs = agent.row in busy
        c.status[agent.row] = 0 if runs else agent.last[2]
        start = int(c.start[agent.row])
        c.duration[agent.row] = NAT if runs or start == NAT or agent.end == NAT else agent.end - start
    return {row for row, old in before.items() if look(store, row) != old}


def _is_above(store: Store, row: int, below: int) -> bool:
    parent, at = store.c.parent, below
    while at >= 0:
        if at == row:
            return True
        at = int(parent[at])
    return False


def new_row(store: Store, trace: int, span_id: str, cls: SpanClass, flags: Flag) -> int:
    row, c = store.size, store.c
    c.reserve(row + 1)
    _blank(store, row, trace, store.class_code(cls), flags)
    store.ids.append(span_id)
    others, new = store.index.take(np.array([key_of(span_id, trace)], np.uint64), row)
    if not new[0]:
        store.clash(trace, span_id, int(others[0]))
    store.size = row + 1
    return row


def _blank(store: Store, at: int | slice, trace: int | Int32, cls: int | Int32, flags: Flag | np.uint8) -> None:
    c = store.c
    c.trace[at], c.cls[at], c.flags[at], c.status[at] = trace, cls, flags, 1
    for column in (c.parent, c.recorded_parent, c.file, c.line, c.length, c.input, c.output, c.cached, c.offset):
        column[at] = -1
    c.start[at] = c.duration[at] = NAT
    c.cost[at] = c.recorded_cost[at] = np.nan


def look(store: Store, row: int) -> tuple[int, ...]:
    c = store.c
    return int(c.parent[row]), int(c.status[row]), int(c.start[row]), int(c.duration[row]), int(c.cls[row])
