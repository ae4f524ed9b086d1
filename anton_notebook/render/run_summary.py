"""Figures of a run and of its agents, as text."""

from __future__ import annotations

import numpy as np

from anton_notebook.model.formatting import format_duration, format_usd
from anton_notebook.model.span import Flag
from anton_notebook.store import RunFigures, Store

AGENT_LIMIT = 12
STATES = {"running": "still running", "error": "failed"}


def figures(run: RunFigures) -> list[tuple[str, str]]:
    """Return the figures of a run as (value, name), as in the toolbar of the page."""
    tokens = (run["input_tokens"] or 0) + (run["output_tokens"] or 0)
    start, end = run["start"], run["end"]
    took = None if start is None or end is None else (end - start) / 1000
    return [
        (f"{run['spans']:,}", "span" if run["spans"] == 1 else "spans"),
        (f"{tokens:,}", "tokens"),
        (format_usd(run["cost_usd"], bool(run["unpriced_calls"])), "cost"),
        (format_duration(took), "duration"),
        (f"{run['errors']:,}", "error" if run["errors"] == 1 else "errors"),
        (STATES.get(run["status"], "done"), ""),
    ]


def agent_rows(store: Store, code: int, limit: int = AGENT_LIMIT) -> list[tuple[str, str, str, str, str, str]]:
    """Return agent, model calls, tool calls, tokens, cost and errors of a run, the most expensive agents first."""
    with store.lock:
        c = store.c
        rows = np.flatnonzero(c.trace[: store.size] == code)
        rows = rows[(c.flags[rows] & np.uint8(Flag.DEAD)) == 0]
        classes = c.cls[rows]
        kinds = np.array([cls.kind for cls in store.classes], object)[classes]
        agents = np.array([cls.agent for cls in store.classes], object)[classes]
        tokens = np.maximum(c.input[rows], 0).astype(np.int64) + np.maximum(c.output[rows], 0)
        cost, status = c.cost[rows].astype(np.float64), c.status[rows].copy()
    if not len(rows):
        return []
    names, place = np.unique(agents.astype(str), return_inverse=True)
    llm, tool = kinds == "llm", kinds == "tool"
    unpriced = llm & np.isnan(cost) & (status != 0)

    def total(values: np.ndarray) -> np.ndarray:
        return np.bincount(place, values.astype(np.float64), len(names))

    calls, tools, errors = total(llm), total(tool), total((status == 2) & (llm | tool))
    spent, used, missing = (
        total(np.where(llm, np.nan_to_num(cost), 0)),
        total(np.where(llm, tokens, 0)),
        total(unpriced),
    )
    # lexsort sorts by its last key first.
    order = np.lexsort((names, -calls, -spent))[:limit]
    return [
        (
            str(names[i]) or "no agent",
            f"{int(calls[i]):,}",
            f"{int(tools[i]):,}",
            f"{int(used[i]):,}",
            format_usd(None if missing[i] and not spent[i] else float(spent[i]), bool(missing[i])),
            f"{int(errors[i]):,}",
        )
        for i in order.tolist()
    ]
