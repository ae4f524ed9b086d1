"""Answers as JSON for a page, and the sweeps about a span that are on disk."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from anton_notebook.api import Span, Traces
from anton_notebook.errors import BodyUnavailable
from anton_notebook.model.span import Flag
from anton_notebook.widget.rerun_panel.edits import plain_text

LIMIT = 100  # sweeps, and answers per sweep
_FIGURES = ("similarity", "cost_usd", "saved_usd", "duration_ms", "input_tokens", "output_tokens", "cached_tokens")


def row_to_json(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row of a re-run's frame as JSON values."""
    calls = row["tool_calls"]
    return {
        "done": True,
        "text": plain_text(row["response"] or ""),
        "tool_calls": plain_text(json.dumps(calls, indent=2, ensure_ascii=False, default=str)) if calls else "",
        "error": None if row["error"] is None else plain_text(row["error"]),
        "from_cache": bool(row["from_cache"]),
        "attempts": row["attempts"],
        "finish_reason": row["finish_reason"],
        "model": plain_text(row["model"] or ""),
        **{name: _finite(row[name]) for name in _FIGURES},
    }


def sweeps(traces: Traces, span: Span) -> list[dict[str, Any]]:
    """Return the sweeps about a span that are on disk, oldest first."""
    store = traces.store
    entries: list[dict[str, Any]] = []
    for info in [t for t in store.traces if t.origin == "rerun" and t.original_trace_id == span.trace_id]:
        rows = _rows(traces, info.code)
        extras = store.own.get(rows[0]) if rows else None
        # Another call of the same run was re-run.
        if extras is None or extras.original_span_id != span.span_id:
            continue
        figures = store.run(info.code)
        start = figures["start"]
        entries.append(
            {
                "try": None,
                "trace_id": info.trace_id,
                "started": None if start is None else start / 1000,
                "state": "done",
                "changed": [],
                "answers": len(rows),
                "failed": figures["errors"],
                "model": plain_text(store.span(rows[0]).model),
                "cost_usd": figures["cost_usd"],
            }
        )
    return sorted(entries, key=lambda entry: entry["started"] or 0.0)[-LIMIT:]


def answers(traces: Traces, trace_id: str) -> list[dict[str, Any]]:
    """Return the answers of a sweep on disk; ValueError if there is none with this id."""
    code = traces.store.find_trace(trace_id)
    info = None if code is None else traces.store.traces[code]
    if info is None or info.origin != "rerun":
        raise ValueError("No sweep with this id in the traces.")
    out = []
    for place, row in enumerate(_rows(traces, info.code)[:LIMIT]):
        span = Span(traces, row)
        try:
            response = span.response
        except BodyUnavailable as error:
            out.append(_answer(place, span, "", [], str(error)))
            continue
        out.append(_answer(place, span, response.text, list(response.tool_calls), span.error))
    return out


def _answer(place: int, span: Span, text: str, calls: list[Any], error: str | None) -> dict[str, Any]:
    row = {
        "response": text, "tool_calls": calls, "error": error, "from_cache": False, "attempts": 1,
        "finish_reason": span.finish_reason, "model": span.model, "similarity": math.nan,
        "cost_usd": span.cost_usd, "saved_usd": math.nan,
        "duration_ms": span.duration_ms, "input_tokens": span.input_tokens, "output_tokens": span.output_tokens,
        "cached_tokens": span.cached_tokens,
    }  # fmt: skip
    return {"place": place, "repeat": place + 1, "offset": 0, **row_to_json(row)}


def _rows(traces: Traces, code: int) -> list[int]:
    store = traces.store
    with store.lock:
        rows = np.flatnonzero(store.c.trace[: store.size] == code)
        dead = store.c.flags[rows] & np.uint8(Flag.DEAD | Flag.PENDING | Flag.DERIVED)
        rows = rows[dead == 0]
        return [int(row) for row in rows[np.argsort(store.c.start[rows], kind="stable")]]


def _finite(value: Any) -> float | None:
    return None if value is None or not math.isfinite(value) else value
