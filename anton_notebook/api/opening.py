"""Analyses that also take a path: `anb.costs("folder")`. The tables themselves are in `tables`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from anton_notebook import pricing
from anton_notebook.api.traces import read_traces
from anton_notebook.tables import costs as cost_tables

if TYPE_CHECKING:
    import pandas as pd


def costs(
    x: Any,
    by: str | Sequence[str] = ("agent", "model"),
    *,
    subagents: bool = False,
    experiments: bool = False,
    prices: pricing.Prices | Mapping[str, Mapping[str, Any]] | None = None,
    sort: Literal["cost", "key"] = "cost",
) -> pd.DataFrame:
    """Sum what was spent, grouped by columns of `spans_df` or by `run`, `tool`, `hour`, `day`, `phase`.

    Args:
        x: a path (as for `read_traces`), traces, one run, or a spans frame of pandas or Dask.
        by: one name or several. Missing values are a group of their own, so that every grouping has the same total.
        subagents: an agent includes the agents below it; groups overlap.
        experiments: include reruns and replays.
        prices: price every call anew: `{model: {"input": …, "output": …}}` in US dollars per million tokens.
        sort: "cost" (most expensive first) or "key".

    Returns:
        One row per group: `calls` to models, `tool_calls`, `runs`, tokens, `cost_usd` (NaN if no call has a price), `share` and
        `cumulated_share` of the total, `cost_per_run`, `recorded_cost_usd`, `saved_usd`, `unpriced_calls`, `estimated_calls`,
        `p50_ms` and `p95_ms` (of model calls; of tools if there are none), `errors`, `retries` (calls after a failed call of
        the same agent). `attrs["anton_notebook"]` has the totals and the models without a price.

    Raises:
        TypeError: `x` holds no spans.
        ValueError: `by` names no column.

    >>> import pathlib, tempfile
    >>> folder = pathlib.Path(tempfile.mkdtemp()); _ = (folder / "t.jsonl").write_text(
    ...     '{"timestamp": "2026-01-01T00:00:00Z", "agent_name": "a", "trace_id": "t", "span_id": "s", "span_type": "llm_call", '
    ...     '"model": "gpt-4o", "tokens": {"input": 1000, "output": 10}}\\n')
    >>> costs(folder, by="day")["calls"].tolist()
    [1]
    """
    options: dict[str, Any] = {"subagents": subagents, "experiments": experiments, "prices": prices, "sort": sort}
    if not isinstance(x, str | os.PathLike):
        return cost_tables.costs(x, by, **options)
    with read_traces(x) as traces:
        return cost_tables.costs(traces, by, **options)
