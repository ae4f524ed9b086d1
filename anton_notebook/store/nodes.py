"""Agents' nodes: one for each agent of each trace, derived from its calls unless the source has a span for it."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import numpy as np

from anton_notebook.span import AGENT, NAT, ORCHESTRATOR, Bool, Flag, Int32, Int64, SpanClass
from anton_notebook.store.index import hashes
from anton_notebook.store.runs import Agent, TraceInfo

if TYPE_CHECKING:
    from anton_notebook.store.core import Store

DEAD, PENDING, DERIVED = np.uint8(Flag.DEAD), np.uint8(Flag.PENDING), np.uint8(Flag.DERIVED)
AGENT_KINDS = 2


def agent_id(trace_id: str, agent: str) -> str:
    """The id of a derived agent's node."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{trace_id}:agent:{agent}"))


def extend_agents(store: Store, rows: Int32, pairs: list[int], which: Int64, derive: Bool) -> set[int]:
    """Extends each agent's first start, end and count of running spans by these rows; makes nodes that are not there yet."""
    c = store.c
    touched: set[int] = set()
    order = np.argsort(which, kind="stable")
    bounds = np.searchsorted(which[order], np.arange(len(pairs) + 1))
    explicit = store.class_kind[c.cls[rows]] < AGENT_KINDS
    for p, pair in enumerate(pairs):
        info, code = store.traces[pair >> 32], pair & 0xFFFFFFFF
        mine = order[bounds[p] : bounds[p + 1]]
        part = rows[mine]
        named = part[explicit[mine]]
        if len(named) and store.agents[code]:
            row = min(named.tolist(), key=lambda r: (int(c.start[r]), store.ids[r]))
            agent = info.agents.get(code)
            if agent is None:
                info.agents[code] = Agent(code, row, explicit=True)
            elif not agent.explicit or (int(c.start[row]), store.ids[row]) < (
                int(c.start[agent.row]),
                store.ids[agent.row],
            ):
                agent.explicit, agent.row, info.stale = True, row, True
        part = part[derive[mine]]
        if not len(part):
            continue
        agent = info.agents.get(code)
        if agent is None:
            agent = info.agents[code] = Agent(code)
        starts = c.start[part]
        first = int(starts.min())
        if first <= agent.first[0]:
            least = min(store.ids[r] for r in part[starts == first].tolist())
            agent.first = min(agent.first, (first, least))
        agent.end = max(agent.end, int(c.end(part).max()))
        agent.running += int((c.status[part] == 0).sum())
        roots = part[c.recorded_parent[part] < 0]
        if len(roots):
            start = int(c.start[roots].min())
            if info.first_root is None or start <= info.first_root[0]:
                least = min(store.ids[r] for r in roots[c.start[roots] == start].tolist())
                info.first_root = min(info.first_root or (2**63 - 1, "", 0), (start, least, code))
        if not agent.explicit:
            if agent.row < 0:
                agent.row = _derived(store, info, code)
            touched.add(agent.row)
        c = store.c
    return touched


def _derived(store: Store, info: TraceInfo, code: int) -> int:
    name = store.agents[code]
    cls = SpanClass(ORCHESTRATOR if name == ORCHESTRATOR else AGENT, name, name)
    span_id = agent_id(info.trace_id, name)
    row = store.row(info.code, span_id)
    if row < 0:
        return new_row(store, info.code, span_id, cls, Flag.DERIVED)
    store.c.flags[row] = DERIVED
    return row


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
    c.trace[row], c.cls[row], c.flags[row], c.status[row] = trace, store.class_code(cls), flags, 1
    c.parent[row] = c.recorded_parent[row] = c.file[row] = c.line[row] = c.length[row] = -1
    c.input[row] = c.output[row] = c.cached[row] = -1
    c.start[row] = c.duration[row] = NAT
    c.cost[row] = c.recorded_cost[row] = np.nan
    c.offset[row] = -1
    store.ids.append(span_id)
    store.index.add(hashes([span_id], np.array([trace], np.int32)), row)
    store.size = row + 1
    return row


def look(store: Store, row: int) -> tuple[int, ...]:
    c = store.c
    return int(c.parent[row]), int(c.status[row]), int(c.start[row]), int(c.duration[row]), int(c.cls[row])
