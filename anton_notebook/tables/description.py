"""`describe`: counts, costs and percentiles of durations by model and tool."""

from __future__ import annotations

from typing import Any

import pandas as pd

from anton_notebook.tables.costs import without_experiments
from anton_notebook.tables.schema import KEY

QUANTILES = {"p50_ms": 0.5, "p95_ms": 0.95, "p99_ms": 0.99}


def describe(spans: pd.DataFrame) -> pd.DataFrame:
    """Summarize the model and tool calls of a spans frame.

    Args:
        spans: a frame of `spans_df()`.

    Returns:
        One row per kind (`llm`, `tool`) and name, most calls first: `calls`, `errors`, `input_tokens`, `output_tokens`, `cost_usd`
        (NaN if no call has a price), `p50_ms`, `p95_ms`, `p99_ms`.
    """
    calls = without_experiments(spans, False)
    calls = calls[calls["kind"].isin(["llm", "tool"])]
    keys = [calls[name].astype("str") for name in ("kind", "name")]
    groups: Any = calls.assign(failed=calls["status"].eq("error")).groupby(keys, dropna=False)
    table: pd.DataFrame = pd.DataFrame(
        {
            "calls": groups.size(),
            "errors": groups["failed"].sum(),
            "input_tokens": groups["input_tokens"].sum(min_count=1),
            "output_tokens": groups["output_tokens"].sum(min_count=1),
            "cost_usd": groups["cost_usd"].sum(min_count=1),
            **{name: groups["duration_ms"].quantile(q) for name, q in QUANTILES.items()},
        }
    )
    table = table.reset_index().sort_values(["calls", "kind", "name"], ascending=[False, True, True], kind="stable")
    table = table.reset_index(drop=True)
    table.attrs[KEY] = {"table": "describe"}
    return table
