"""Sums: of each run, kept with every change, and up the tree, on demand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from anton_notebook.span import NAT, Flag, Float64, Int32
from anton_notebook.store.columns import distinct
from anton_notebook.store.runs import PICO

if TYPE_CHECKING:
    from anton_notebook.store.core import Store

_NO_LINE = np.uint8(Flag.DERIVED | Flag.PENDING | Flag.DEAD)
_LLM, _TOOL = 2, 3


def pico(usd: Float64) -> npt.NDArray[np.int64]:
    """Dollars as whole pico-dollars, 0 where unknown."""
    return np.rint(np.nan_to_num(np.clip(usd, -9e6, 9e6), nan=0.0) * PICO).astype(np.int64)


def count_new(store: Store) -> None:
    """Prices and counts the rows added since the last time."""
    new = np.arange(store.counted, store.size, dtype=np.int32)
    store.counted = store.size
    if len(new):
        store.price(new)
        count(store, new, 1)


def count(store: Store, rows: Int32, sign: int) -> None:
    """Adds these rows' figures to their traces', or takes them off again. Rows not counted yet are passed over."""
    c = store.c
    if len(rows) == 1:
        _count_one(store, int(rows[0]), sign)
        return
    rows = rows[((c.flags[rows] & _NO_LINE) == 0) & (rows < store.counted)]
    if not len(rows):
        return
    traces = c.trace[rows]
    codes = distinct(traces)
    for code in codes:
        part = rows[traces == code] if len(codes) > 1 else rows
        info = store.traces[code]
        kind = store.class_kind[c.cls[part]]
        status = c.status[part]
        info.spans += sign * len(part)
        llm = kind == _LLM
        info.llm_calls += sign * int(llm.sum())
        info.tool_calls += sign * int((kind == _TOOL).sum())
        info.errors += sign * int((status == 2).sum())
        info.running += sign * int((status == 0).sum())
        unknown = np.isnan(c.cost[part])
        info.unpriced += sign * int((llm & unknown & (status != 0)).sum())
        info.priced += sign * int((~unknown).sum())
        info.cost += sign * int(pico(c.cost[part]).sum())
        info.recorded_known += sign * int((~np.isnan(c.recorded_cost[part])).sum())
        info.recorded += sign * int(pico(c.recorded_cost[part]).sum())
        for i, column in enumerate((c.input, c.output, c.cached)):
            values = column[part]
            known = values >= 0
            info.tokens[i] += sign * int(values[known].sum(dtype=np.int64))
            info.tokens_known[i] += sign * int(known.sum())
        if sign > 0:
            _widen(store, int(code), part)
        else:
            info.stale = True


def _count_one(store: Store, row: int, sign: int) -> None:
    """As `count`, for the one line that a live run appends: a dozen array operations would cost more than all else of it."""
    c = store.c
    if int(c.flags[row]) & int(_NO_LINE) or row >= store.counted:
        return
    info = store.traces[int(c.trace[row])]
    kind, status, cost, recorded = (
        int(store.class_kind[c.cls[row]]),
        int(c.status[row]),
        float(c.cost[row]),
        float(c.recorded_cost[row]),
    )
    info.spans += sign
    info.llm_calls += sign * (kind == _LLM)
    info.tool_calls += sign * (kind == _TOOL)
    info.errors += sign * (status == 2)
    info.running += sign * (status == 0)
    info.unpriced += sign * (kind == _LLM and cost != cost and status != 0)
    if cost == cost:
        info.priced += sign
        info.cost += sign * _pico(cost)
    if recorded == recorded:
        info.recorded_known += sign
        info.recorded += sign * _pico(recorded)
    for i, value in enumerate((int(c.input[row]), int(c.output[row]), int(c.cached[row]))):
        if value >= 0:
            info.tokens[i] += sign * value
            info.tokens_known[i] += sign
    if sign < 0:
        info.stale = True
        return
    start, duration = int(c.start[row]), int(c.duration[row])
    if start == NAT:
        return
    info.start = start if info.start == NAT else min(info.start, start)
    if duration != NAT:
        info.end = max(info.end, start + duration)
    if kind == _LLM and c.file[row] >= 0 and (info.first_call < 0 or start < c.start[info.first_call]):
        info.first_call = row
        store.unnamed.add(info.code)


def _pico(usd: float) -> int:
    return round(max(-9e6, min(9e6, usd)) * PICO)


def _widen(store: Store, code: int, rows: Int32) -> None:
    info, c = store.traces[code], store.c
    start = c.start[rows]
    known = start != NAT
    if known.any():
        first = int(start[known].min())
        info.start = first if info.start == NAT else min(info.start, first)
        calls = rows[known & (store.class_kind[c.cls[rows]] == _LLM) & (c.file[rows] >= 0)]
        if len(calls):
            call = int(calls[np.argmin(c.start[calls])])
            if info.first_call < 0 or c.start[call] < c.start[info.first_call]:
                info.first_call = call
                store.unnamed.add(code)
    info.end = max(info.end, int(c.end(rows).max()))


def totals(store: Store) -> tuple[Float64, Float64]:
    """Cost and tokens of every row's subtree. See `Store.totals`."""
    n, c = store.size, store.c
    parent = c.parent[:n]
    shown = (c.flags[:n] & np.uint8(Flag.DEAD)) == 0
    tokens = np.maximum(c.input[:n], 0).astype(np.int64) + np.maximum(c.output[:n], 0)
    known = shown & ((c.input[:n] >= 0) | (c.output[:n] >= 0))
    priced = shown & ~np.isnan(c.cost[:n])
    cost = np.where(shown, pico(c.cost[:n]), 0)
    sums: list[npt.NDArray[Any]] = [
        cost,
        np.where(shown, tokens, 0),
        known.astype(np.int64),
        priced.astype(np.int64),
    ]
    for rows in reversed(levels(parent, shown)[1:]):
        above = parent[rows]
        for column in sums:
            np.add.at(column, above, column[rows])
    return (
        np.where(sums[3] > 0, sums[0] / PICO, np.nan),
        np.where(sums[2] > 0, sums[1].astype(np.float64), np.nan),
    )


def levels(parent: Int32, shown: npt.NDArray[np.bool_]) -> list[Int32]:
    """The rows of each depth, the roots first."""
    depth = depths(parent)
    depth = np.where(shown, depth, -1)
    order = np.argsort(depth, kind="stable").astype(np.int32)
    bounds = np.searchsorted(depth[order], np.arange(depth.max(initial=-1) + 2))
    return [order[a:b] for a, b in zip(bounds[:-1], bounds[1:], strict=True)]


def depths(parent: Int32) -> Int32:
    """The depth of every row, roots 0, by doubling: as many steps as the depth has binary digits."""
    up = parent.copy()
    depth = (up >= 0).astype(np.int32)
    for _ in range(40):
        inner = np.flatnonzero(up >= 0)
        if not inner.size:
            break
        depth[inner] += depth[up[inner]]
        up[inner] = up[up[inner]]
    return depth
