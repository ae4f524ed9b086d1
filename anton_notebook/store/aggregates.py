"""Sums: of each run, kept with every change, and up the tree, on demand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from anton_notebook.model.span import NAT, PRICED, Flag, Float64, Int32
from anton_notebook.store.columns import distinct
from anton_notebook.store.trace_info import PICO

if TYPE_CHECKING:
    from anton_notebook.store.store import Store

_NO_LINE = np.uint8(Flag.DERIVED | Flag.PENDING | Flag.DEAD)
_LLM, _TOOL = 2, 3
_NEVER = 2**63 - 1


def pico(usd: Float64) -> npt.NDArray[np.int64]:
    """Dollars as whole pico-dollars, 0 if unknown."""
    return np.rint(np.where(np.isnan(usd), 0.0, np.clip(usd, -9e6, 9e6)) * PICO).astype(np.int64)


def count_new(store: Store) -> None:
    """Prices and counts the rows added since the last time."""
    new: Any = np.arange(store.counted, store.size, dtype=np.intp)
    store.counted = store.size
    if len(new):
        store.price(new)
        count(store, new, 1)


def count(store: Store, rows: Int32, sign: int) -> None:
    """Adds these rows' figures to their traces', or takes them off again. Rows not counted yet are passed over."""
    c = store.c
    rows = rows[((c.flags[rows] & _NO_LINE) == 0) & (rows < store.counted)]
    if not len(rows):
        return
    traces = c.trace[rows]
    codes = distinct(traces)
    if len(codes) > 1:
        order = np.argsort(traces, kind="stable")
        rows, traces = rows[order], traces[order]
    begins = np.flatnonzero(np.append(True, traces[1:] != traces[:-1]))
    kind, status, cost, recorded = store.class_kind[c.cls[rows]], c.status[rows], c.cost[rows], c.recorded_cost[rows]
    llm, unknown = kind == _LLM, np.isnan(cost)
    usage = [column[rows] for column in (c.input, c.output, c.cached)]

    def sums(values: npt.NDArray[Any]) -> list[int]:
        found: list[int] = np.add.reduceat(values.astype(np.int64), begins).tolist()
        return found

    columns = [
        np.diff(np.append(begins, len(rows))).tolist(),
        sums(llm), sums(kind == _TOOL), sums(status == 2), sums(status == 0), sums(llm & unknown & (status != 0)),
        sums(~unknown), sums(pico(cost)), sums(~np.isnan(recorded)), sums(pico(recorded)),
        *(sums(np.maximum(values, 0)) for values in usage), *(sums(values >= 0) for values in usage),
    ]  # fmt: skip
    for code, *found in zip(codes, *columns, strict=True):
        info = store.traces[code]
        info.spans += sign * found[0]
        info.llm_calls += sign * found[1]
        info.tool_calls += sign * found[2]
        info.errors += sign * found[3]
        info.running += sign * found[4]
        info.unpriced += sign * found[5]
        info.priced += sign * found[6]
        info.cost += sign * found[7]
        info.recorded_known += sign * found[8]
        info.recorded += sign * found[9]
        for i in range(3):
            info.tokens[i] += sign * found[10 + i]
            info.tokens_known[i] += sign * found[13 + i]
        info.stale |= sign < 0
    if sign > 0:
        _widen(store, codes, rows, begins)


def _widen(store: Store, codes: list[int], rows: Int32, begins: npt.NDArray[np.int64]) -> None:
    """Extends the traces by the times of these rows, and finds their first calls; the rows of each begin at `begins`."""
    c = store.c
    start = c.start[rows]
    known = np.where(start == NAT, _NEVER, start)
    called = (start != NAT) & (store.class_kind[c.cls[rows]] == _LLM) & (c.file[rows] >= 0)
    calls = np.where(called, start, _NEVER)
    earliest = np.minimum.reduceat(calls, begins)
    at = np.flatnonzero(called & (calls == np.repeat(earliest, np.diff(np.append(begins, len(rows))))))
    first_calls = dict(zip(c.trace[rows[at]].tolist()[::-1], rows[at].tolist()[::-1], strict=True))
    firsts = np.minimum.reduceat(known, begins).tolist()
    ends = np.maximum.reduceat(c.end(rows), begins).tolist()
    for code, first, end in zip(codes, firsts, ends, strict=True):
        info = store.traces[code]
        if first != _NEVER:
            info.start = first if info.start == NAT else min(info.start, first)
        info.end = max(info.end, end)
        call = first_calls.get(code)
        if call is not None and (info.first_call < 0 or c.start[call] < c.start[info.first_call]):
            info.first_call = call
            store.unnamed.add(code)


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


def levels(parent: Int32, shown: npt.NDArray[np.bool_], depth: Int32 | None = None) -> list[Int32]:
    """The rows of each depth, the roots first. `depth`: as `depths` gives it, where that is known."""
    depth = np.where(shown, depths(parent) if depth is None else depth, -1)
    shallow = depth.max(initial=-1) < np.iinfo(np.int16).max  # such numbers are sorted without comparing
    order: Any = np.argsort(depth.astype(np.int16) if shallow else depth, kind="stable")
    bounds = np.searchsorted(depth[order], np.arange(depth.max(initial=-1) + 2))
    return [order[a:b] for a, b in zip(bounds[:-1], bounds[1:], strict=True)]


def depths(parent: Int32) -> Int32:
    """The depth of every row, roots 0, by doubling: as many steps as the depth has binary digits."""
    up = parent.astype(np.intp)
    depth = (up >= 0).astype(np.int32)
    for _ in range(40):
        inner = np.flatnonzero(up >= 0)
        if not inner.size:
            break
        depth[inner] += depth[up[inner]]
        up[inner] = up[up[inner]]
    return depth


def price(store: Store, rows: Int32) -> None:
    """Fills `cost` for these rows."""
    c, pricer = store.c, store.pricer
    c.cost[rows] = np.nan
    if pricer is None or not len(rows):
        return
    codes = c.cls[rows]
    for code in distinct(codes):
        cls = store.classes[code]
        part = rows[codes == code] if cls.kind in PRICED else rows[:0]
        part = part[c.status[part] != 0]
        if len(part):
            c.cost[part] = pricer(cls.provider, cls.model, c.start[part], c.input[part], c.output[part], c.cached[part])
    if store.own:
        price_own(store, rows)


def price_own(store: Store, rows: Int32) -> None:
    """The cost of rows of which more is known: an answer that was not paid for, tokens of a sort that few records have."""
    c = store.c
    for row in rows.tolist():
        own = store.own.get(row)
        if own is None:
            continue
        if own.cost_free:
            c.cost[row] = 0.0
        elif own.usage is not None and store.detailed is not None and c.status[row]:
            cls = store.classes[c.cls[row]]
            if cls.kind in PRICED:
                c.cost[row] = store.detailed(cls.provider, cls.model, int(c.start[row]), store.usage(row))
