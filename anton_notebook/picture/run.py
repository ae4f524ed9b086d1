"""Inner: a run of a store as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from anton_notebook.picture.draw import View, duration, svg
from anton_notebook.picture.scale import Spans
from anton_notebook.span import KINDS, NAT, PROVENANCES, Flag
from anton_notebook.store import RunFigures, Store

MOST = 50_000
"""Spans that a picture is made of; of more, the first of each line of ancestors are drawn and the rest counted."""


def spans_of(store: Store, codes: Sequence[int], most: int = MOST) -> tuple[Spans, int]:
    """The spans of these traces, the first the one looked at, and how many were left out."""
    with store.lock:
        c = store.c
        order = {code: number for number, code in enumerate(codes)}
        rows = np.flatnonzero(np.isin(c.trace[: store.size], list(codes)))
        rows = rows[(c.flags[rows] & np.uint8(Flag.DEAD)) == 0]
        left = max(0, len(rows) - most)
        rows = rows[:most]
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
        ), left


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
    store: Store, codes: Sequence[int], mode: str = "time", width: int = 960, most: int = 1400, view: View | None = None
) -> str:
    """The picture of a run of the store, with its branches below; `""` where it has no span yet."""
    spans, left = spans_of(store, codes)
    if not len(spans):
        return ""
    run = store.run(codes[0])
    known = figures(run) + ([(f"{left:,}", "more spans are not drawn")] if left else [])
    return svg(spans, run["name"] or run["trace_id"], known, mode=mode, width=width, most=most, view=view)


def _digits(usd: float) -> int:
    return 2 if usd >= 1 else 3 if usd >= 0.01 else 5
