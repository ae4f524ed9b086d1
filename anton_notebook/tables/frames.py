"""The frames of runs, problems, messages and tool calls, with one column order, also when empty."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from anton_notebook.span import NAT, Problem
from anton_notebook.store import RunFigures
from anton_notebook.tables.buffers import TEXT

RUNS: dict[str, str] = {
    "trace_id": "text", "name": "text", "origin": "category", "original_trace_id": "text", "status": "category",
    "start": "time", "end": "time", "duration_ms": "number", "spans": "count", "llm_calls": "count", "tool_calls": "count",
    "agents": "count", "errors": "count", "input_tokens": "integer", "output_tokens": "integer", "cached_tokens": "integer",
    "cost_usd": "number", "recorded_cost_usd": "number", "unpriced_calls": "count", "source": "category",
}  # fmt: skip
MESSAGES: dict[str, str] = {
    "trace_id": "category", "span_id": "text", "position": "count", "role": "category", "agent": "category", "text": "text",
    "chars": "count", "is_response": "flag",
}  # fmt: skip
TOOL_CALLS: dict[str, str] = {
    "trace_id": "category", "span_id": "text", "parent_id": "text", "agent": "category", "name": "category",
    "parameters": "object", "result": "object", "status": "category", "start": "time", "duration_ms": "number", "error": "text",
}  # fmt: skip
PROBLEMS: dict[str, str] = {
    "source": "category", "line": "integer", "offset": "integer", "reason": "text", "field": "category", "excerpt": "text",
}  # fmt: skip


def build(columns: Mapping[str, str], rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """A frame of exactly these columns and dtypes; what a row lacks is unknown."""
    listed = list(rows)
    made = {name: _series([row.get(name) for row in listed], kind) for name, kind in columns.items()}
    return pd.DataFrame(made, columns=list(columns), index=pd.RangeIndex(len(listed)))


def _series(values: Sequence[Any], kind: str) -> Any:
    if kind == "text":
        return pd.array([np.nan if v is None else v for v in values], dtype=TEXT)
    if kind == "category":
        words = list(dict.fromkeys(v for v in values if v is not None))
        return pd.Categorical(values, categories=pd.Index(words, dtype=TEXT))
    if kind == "time":
        micros = np.array([NAT if v is None else v for v in values], np.int64)
        return pd.DatetimeIndex(micros.view("M8[us]")).tz_localize("UTC")
    if kind == "number":
        return np.array([np.nan if v is None else v for v in values], np.float64)
    if kind == "integer":
        return pd.array([pd.NA if v is None else v for v in values], dtype="Int64")
    if kind == "count":
        return np.array(values, np.int64)
    if kind == "flag":
        return np.array(values, bool)
    return pd.Series(list(values), dtype=object).array


def runs_frame(figures: Iterable[tuple[RunFigures, str | None]]) -> pd.DataFrame:
    """One row a run, from its figures and the folder or file that it lies in; oldest first."""
    rows = []
    for run, source in figures:
        start, end = run["start"], run["end"]
        ms = None if start is None or end is None else (end - start) / 1000.0
        rows.append({**run, "name": run["name"] or None, "duration_ms": ms, "source": source})
    rows.sort(key=lambda row: (row["start"] is None, row["start"] or 0, row["trace_id"]))
    return build(RUNS, rows)


def problems_frame(problems: Iterable[Problem]) -> pd.DataFrame:
    """One row for everything that could not be read."""
    return build(PROBLEMS, (problem._asdict() for problem in problems))


def as_text(value: Any) -> str:
    """A body as text: strings as they are, anything else as JSON."""
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, ensure_ascii=False, default=str)
