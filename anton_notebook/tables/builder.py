"""The frames of runs, problems, messages and tool calls, with one column order, also when empty."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from anton_notebook.model.span import NAT, Problem
from anton_notebook.store import RunFigures
from anton_notebook.tables.column_arrays import TEXT
from anton_notebook.tables.schema import PROBLEMS, RUNS

LONG = pd.StringDtype(na_value=np.nan)
"""Texts that no other object of the process holds are smaller in Arrow's form, which pandas takes where pyarrow is installed."""


def build(columns: Mapping[str, str], rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """A frame of exactly these columns and dtypes; what a row lacks is unknown."""
    listed = list(rows)
    made = {name: _series([row.get(name) for row in listed], kind) for name, kind in columns.items()}
    return pd.DataFrame(made, columns=list(columns), index=pd.RangeIndex(len(listed)))


def _series(values: Sequence[Any], kind: str) -> Any:
    if kind == "text":
        return pd.array([np.nan if v is None else v for v in values], dtype=TEXT)
    if kind == "long":
        return pd.array([np.nan if v is None else v for v in values], dtype=LONG)
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
    return pd.Series(list(values), dtype=object)  # an array of objects that are all text would become a column of text


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
