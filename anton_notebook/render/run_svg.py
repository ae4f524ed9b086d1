"""Inner: a run of a store as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from anton_notebook.model.span import KINDS, NAT, PROVENANCES, Flag
from anton_notebook.render.collapse import sums_under
from anton_notebook.render.formatting import duration
from anton_notebook.render.scale import Spans, Sums
from anton_notebook.render.svg import svg
from anton_notebook.render.view_state import Camera, Seen
from anton_notebook.store import RunFigures, Store

MOST = 50_000
"""Spans that a picture is made of; of more, the first are drawn, or those at work in the window, and the rest counted."""


def spans_of(store: Store, codes: Sequence[int], most: int = MOST, seen: Seen | None = None) -> tuple[Spans, int]:
    """The spans of these traces, the first the one looked at, and how many were left out."""
    with store.lock:
        c = store.c
        order = {code: number for number, code in enumerate(codes)}
        rows = np.flatnonzero(np.isin(c.trace[: store.size], list(codes)))
        rows = rows[(c.flags[rows] & np.uint8(Flag.DEAD)) == 0]
        left, whole = 0, rows
        if len(rows) > most:
            rows, left = _nearest(store, rows, most, seen.camera if seen is not None else None)
        place = np.full(store.size + 1, -1, np.int64)
        place[rows] = np.arange(len(rows))
        classes = [store.classes[code] for code in c.cls[rows].tolist()]
        kinds = {kind: number for number, kind in enumerate(KINDS)}
        start, took, status = c.start[rows], c.duration[rows], c.status[rows]
        provenance = np.zeros(len(rows), np.uint8)
        if store.own:
            for at, row in enumerate(rows.tolist()):
                own = store.own.get(row)
                if own is not None and own.provenance in PROVENANCES:
                    provenance[at] = PROVENANCES.index(own.provenance)
        runs = [store.run(code) for code in codes]
        return Spans(
            start=np.where(start == NAT, np.nan, start / 1000.0),
            duration=np.where((took == NAT) | (status == 0), np.nan, took / 1000.0).astype(np.float32),
            status=status.copy(),
            kind=np.array([min(kinds.get(cls.kind, 4), 4) for cls in classes], np.int64),
            parent=place[c.parent[rows]],
            trace=np.array([order[code] for code in c.trace[rows].tolist()], np.int64),
            agents=[cls.agent for cls in classes],
            names=[cls.name for cls in classes],
            models=[cls.model for cls in classes],
            flags=c.flags[rows].copy(),
            provenance=provenance,
            cost=c.cost[rows].astype(np.float32),
            ends=[None if run["status"] == "running" or run["end"] is None else run["end"] / 1000 for run in runs],
            rows=rows.astype(np.int64),
            classes=list(zip(c.trace[rows].tolist(), c.cls[rows].tolist(), strict=True)),
            tokens=_tokens(store, rows),
            sums=_sums(store, whole, place, seen.folded) if len(whole) > len(rows) and seen is not None else {},
        ), left


def _tokens(store: Store, rows: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    c = store.c
    found: npt.NDArray[np.int64] = (np.maximum(c.input[rows], 0) + np.maximum(c.output[rows], 0)).astype(np.int64)
    return found


def _nearest(store: Store, rows: npt.NDArray[Any], most: int, camera: Camera | None) -> tuple[npt.NDArray[Any], int]:
    """Of too many rows the first; where a page looks at a part of the time, those at work in it, and their callers.

    And how many of those that should be there are left out.
    """
    c = store.c
    if camera is None or camera.mode != "time" or camera.row not in rows or c.start[camera.row] == NAT:
        return rows[:most], len(rows) - most
    begin, end = camera.times(c.start[camera.row] / 1000.0)
    starts = np.where(c.start[rows] == NAT, np.inf, c.start[rows] / 1000.0)
    took = np.where(c.duration[rows] == NAT, 0, c.duration[rows]) / 1000.0
    same = c.trace[rows] == c.trace[camera.row]
    near = rows[same & (starts <= end) & ((c.status[rows] == 0) | (starts + took >= begin))]
    chosen = np.zeros(store.size + 1, bool)  # the last place is that of no parent
    first = rows[np.argmin(np.where(same, starts, np.inf))]  # time counts from there
    chosen[[*near[:most].tolist(), camera.row, int(first), -1]] = True
    while True:
        callers = c.parent[rows[chosen[rows]]]
        if chosen[callers].all():
            found: npt.NDArray[Any] = rows[chosen[rows]]
            return found, max(0, len(near) - most)
        chosen[callers] = True


def _sums(store: Store, rows: npt.NDArray[Any], place: npt.NDArray[Any], folded: Sequence[int]) -> dict[int, Sums]:
    """Of nodes that are folded, over all that lies under them, drawn or not."""
    c, found = store.c, dict[int, Sums]()
    where = np.full(store.size + 1, -1, np.int64)
    where[rows] = np.arange(len(rows))
    llm = np.array([cls.kind == "llm" for cls in store.classes], bool)[c.cls[rows]]
    parent, status, cost, tokens = where[c.parent[rows]], c.status[rows], c.cost[rows], _tokens(store, rows)
    for row in folded:
        if 0 <= row < store.size and place[row] >= 0:
            found[int(place[row])] = sums_under(parent, status, llm, cost, tokens, int(where[row]))
    return found


def figures(run: RunFigures) -> list[tuple[str, str]]:
    """A run's figures as (value, name), as the toolbar has them."""
    tokens = (run["input_tokens"] or 0) + (run["output_tokens"] or 0)
    cost, least = run["cost_usd"], "≥ " if run["unpriced_calls"] else ""
    took = None if run["start"] is None or run["end"] is None else (run["end"] - run["start"]) / 1000
    state = {"running": "still running", "error": "failed"}.get(run["status"], "done")
    return [
        (f"{run['spans']:,}", "span" if run["spans"] == 1 else "spans"),
        (f"{tokens:,}", "tokens"),
        ("–" if cost is None else f"{least}${cost:,.{_digits(cost)}f}", "cost"),
        ((duration(took) if took is not None else "") or "–", "duration"),
        (f"{run['errors']:,}", "error" if run["errors"] == 1 else "errors"),
        (state, ""),
    ]


def by_agent(store: Store, code: int, most: int = 12) -> list[tuple[str, str, str, str, str, str]]:
    """Agent, model calls, tool calls, tokens, cost and errors of a run, the dearest first."""
    spans, _ = spans_of(store, [code], 2**31)
    with store.lock:
        c = store.c
        rows = np.flatnonzero(c.trace[: store.size] == code)
        rows = rows[(c.flags[rows] & np.uint8(Flag.DEAD)) == 0]
        tokens = (np.maximum(c.input[rows], 0) + np.maximum(c.output[rows], 0)).astype(np.int64)
    if len(tokens) != len(spans):
        return []
    agents, where = np.unique(np.array(spans.agents, object).astype(str), return_inverse=True)
    llm, failed = spans.kind == 2, (spans.status == 2) & (spans.kind >= 2)
    cost = np.where(llm, np.nan_to_num(spans.cost.astype(np.float64)), 0)
    unpriced = llm & np.isnan(spans.cost) & (spans.status != 0)

    def total(what: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return np.bincount(where, what, len(agents))

    sums = [total(x) for x in (llm, spans.kind == 3, np.where(llm, tokens, 0), cost, failed, unpriced)]
    order = np.lexsort((agents, -sums[0], -sums[3]))[:most]
    return [
        (
            str(agents[i]) or "no agent",
            f"{int(sums[0][i]):,}",
            f"{int(sums[1][i]):,}",
            f"{int(sums[2][i]):,}",
            ("≥ " if sums[5][i] else "") + f"${sums[3][i]:,.{_digits(sums[3][i])}f}"
            if sums[3][i] or not sums[5][i]
            else "–",
            f"{int(sums[4][i]):,}",
        )
        for i in order.tolist()
    ]


def run_svg(
    store: Store,
    codes: Sequence[int],
    mode: str = "time",
    width: int | None = None,
    most: int = 1400,
    seen: Seen | None = None,
) -> str:
    """The picture of a run of the store, with its branches below, or what is `seen` of it; `""` where it has no span yet."""
    spans, left = spans_of(store, codes, seen=seen)
    if not len(spans):
        return ""
    run = store.run(codes[0])
    known = figures(run) + ([(f"{left:,}", "more spans are not drawn")] if left else [])
    return svg(spans, run["name"] or run["trace_id"], known, mode=mode, width=width, most=most, seen=seen)


def _digits(usd: float) -> int:
    return 2 if usd >= 1 else 3 if usd >= 0.01 else 5
