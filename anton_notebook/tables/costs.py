"""`costs`: what was spent, over any grouping.

A frame, or each Dask partition, becomes a small aggregate; aggregates are merged and finished (see `cost_aggregates`).
pandas and Dask run the same code and give the same cents.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd

from anton_notebook import pricing
from anton_notebook.model.span import Float64
from anton_notebook.tables.cost_aggregates import COUNTED, MONEY, PICO, TOKENS, CostAggregate, aggregate, merge
from anton_notebook.tables.schema import KEY

COLUMNS = (
    "calls",
    "tool_calls",
    "runs",
    *TOKENS,
    "cost_usd",
    "share",
    "cumulated_share",
    "cost_per_run",
    "recorded_cost_usd",
    "saved_usd",
    "unpriced_calls",
    "estimated_calls",
    "p50_ms",
    "p95_ms",
    "errors",
    "retries",
)
NEAREST = 50  # models of unknown price for which known names like theirs are looked for: each takes some milliseconds

Table = Mapping[str, Any]


def costs(
    x: Any,
    by: str | Sequence[str] = ("agent", "model"),
    *,
    subagents: bool = False,
    experiments: bool = False,
    prices: pricing.Prices | Mapping[str, Mapping[str, Any]] | None = None,
    sort: Literal["cost", "key"] = "cost",
) -> pd.DataFrame:
    """What was spent, grouped `by` any columns of `spans_df` or `run`, `tool`, `hour`, `day`, `phase`; dearest first.

    `x` is anything with `spans_df()`, or a spans frame of pandas or Dask (whose partitions hold whole runs, as those of
    `anb.scan` do). With `subagents` an agent has what the agents under it spent too, so that its groups overlap. Reruns and
    replays are left out unless `experiments`. `prices` (as for `set_price`: `{model: {"input": ..., "output": ...}}`, US
    dollars per million tokens) prices every call anew. A `phase` is one that anton's checkpoints and progress file tell of
    the run, by when a span began; where they tell none it is missing.

    Columns: those of `by` (missing where a span has none, so that every grouping has the same total), `calls` to
    models, `tool_calls`, `runs`, tokens, `cost_usd` (`NaN` where no call of the group is priced), its `share` and
    `cumulated_share` of the whole, `cost_per_run`, `recorded_cost_usd`, `saved_usd`, `unpriced_calls`,
    `estimated_calls`, `p50_ms` and `p95_ms` (of calls to models; of tools where there is none), `errors`, `retries`
    (calls after a failed one of the same agent). `attrs["anton_notebook"]` has the totals, and each model with calls
    of unknown cost: why, and the nearest known names.

    >>> import anton_notebook.tables.costs as c
    >>> c.costs(c.EMPTY, by="agent").columns[:2].tolist()
    ['agent', 'calls']
    """
    names = [by] if isinstance(by, str) else list(by)
    spans = spans_of(x, experiments)
    if hasattr(spans, "map_partitions"):
        needed = {*EMPTY.columns, *names} - ({"parent_id", "span_id"} if not subagents else set())
        spans = spans[[name for name in spans.columns if name in needed]]
        meta = pd.DataFrame({"part": pd.Series(dtype=object)})
        made = spans.map_partitions(_boxed, names, subagents, experiments, prices, meta=meta).compute()
        parts = list(made["part"])
    else:
        parts = [aggregate(spans, names, subagents, prices)]
    return finished(merge(parts), names, sort)


EMPTY = pd.DataFrame(
    {
        **{
            name: pd.Series(dtype="str")
            for name in (
                "trace_id",
                "span_id",
                "parent_id",
                "kind",
                "agent",
                "name",
                "status",
                "provider",
                "model",
                "original_trace_id",
            )
        },
        "start": pd.Series(dtype="datetime64[us, UTC]"),
        **{name: pd.Series(dtype="Int64") for name in TOKENS},
        **{name: pd.Series(dtype="float64") for name in ("duration_ms", *MONEY)},
        "tokens_estimated": pd.Series(dtype="bool"),
    }
)


def spans_of(x: Any, experiments: bool = True) -> Any:
    """The spans frame of a frame, a run or all traces, without reruns and replays unless `experiments`.

    A frame tells them by `original_trace_id`; one run is always whole. Raises `TypeError` for anything that holds no
    spans.
    """
    if isinstance(x, pd.DataFrame):
        return without_experiments(x, experiments)
    if hasattr(x, "map_partitions"):
        return x
    if callable(getattr(x, "spans_df", None)):
        return x.spans_df(experiments=experiments) if hasattr(x, "runs_df") else x.spans_df()
    text = f"a {type(x).__name__} holds no spans; give traces, one run, or a frame of spans_df()"
    raise TypeError(text)


def without_experiments(frame: pd.DataFrame, experiments: bool) -> pd.DataFrame:
    """The rows that belong to no rerun or replay, which are about another run; all of them if `experiments`."""
    if experiments or "original_trace_id" not in frame.columns:
        return frame
    about = frame["original_trace_id"].notna().to_numpy(dtype=bool)
    return frame[~about] if about.any() else frame


def _boxed(frame: pd.DataFrame, by: list[str], subagents: bool, experiments: bool, prices: Any) -> pd.DataFrame:
    box = np.empty(1, object)
    box[0] = aggregate(without_experiments(frame, experiments), by, subagents, prices)
    return pd.DataFrame({"part": pd.Series(box, dtype=object)})


def finished(part: CostAggregate, by: Sequence[str], sort: str) -> pd.DataFrame:
    """The table of an aggregate: most expensive group first, or in order of the keys."""
    sums, count = part.sums, len(part.keys)
    whole = part.total["cost_usd"]
    pico = sums["cost_usd"].to_numpy()
    cost = np.where((sums["cost_usd:known"] == 0) & (sums["calls"] > 0), np.nan, pico / PICO)
    runs = np.bincount(part.runs["group"], minlength=count)
    share = pico / whole if whole else np.full(count, np.nan)
    p50, p95 = _quantiles(part.durations, count, (0.5, 0.95))
    data: dict[str, Any] = {
        name: _tidy(column).array for name, column in zip(by, (part.keys[i] for i in part.keys), strict=True)
    }
    figures = {
        "runs": runs.astype(np.int64),
        "cost_usd": cost,
        "share": share,
        "cumulated_share": share,
        "cost_per_run": np.divide(cost, runs, out=np.full(count, np.nan), where=runs > 0),
        "recorded_cost_usd": _or_nan(sums, "recorded_cost_usd"),
        "saved_usd": sums["saved_usd"].to_numpy() / PICO,
        "p50_ms": p50,
        "p95_ms": p95,
        **{name: sums[name].to_numpy() for name in COUNTED},
        **{
            name: pd.arrays.IntegerArray(sums[name].to_numpy(copy=True), (sums[f"{name}:known"] == 0).to_numpy())
            for name in TOKENS
        },
    }
    table = pd.DataFrame({**data, **{name: figures[name] for name in COLUMNS}})
    if by:
        used = sums["rows"].to_numpy() > 0
        table, pico = table[used], pico[used]
    order = table.assign(**{"\0cost": -pico}).sort_values(
        ["\0cost", *by] if sort == "cost" else list(by) or ["\0cost"], kind="stable", na_position="last", key=_sortable
    )
    table = table.loc[order.index].reset_index(drop=True)
    table["cumulated_share"] = table["share"].cumsum()
    table.attrs[KEY] = {
        "table": "costs",
        "by": list(by),
        "total_cost_usd": whole / PICO,
        "total_recorded_cost_usd": part.total["recorded_cost_usd"] / PICO,
        "total_saved_usd": part.total["saved_usd"] / PICO,
        "unpriced_calls": part.total["unpriced_calls"],
        "unpriced": [
            {"provider": provider, "model": model, "calls": calls, **_why_unpriced(provider, model, number < NEAREST)}
            for number, ((provider, model), calls) in enumerate(sorted(part.unpriced.items()))
        ],
    }
    return table


def _why_unpriced(provider: str, model: str, guess: bool) -> dict[str, Any]:
    if pricing.price_of(provider, model) is not None:
        return {"reason": "tokens unknown", "nearest": []}
    return {"reason": "price unknown", "nearest": pricing.nearest(model) if guess else []}


def _tidy(column: pd.Series[Any]) -> pd.Series[Any]:
    """Texts as pandas' own string type, whether there are any or not."""
    if column.dtype != object:
        return column
    return column.astype("str") if column.isna().all() else column.infer_objects()


def _sortable(column: pd.Series[Any]) -> pd.Series[Any]:
    return column.astype(object).map(str, na_action="ignore") if column.dtype == object else column


def _or_nan(sums: pd.DataFrame, name: str) -> Float64:
    return np.where(sums[f"{name}:known"] > 0, sums[name] / PICO, np.nan)


def _quantiles(durations: pd.DataFrame, count: int, at: Sequence[float]) -> list[Float64]:
    """Quantiles of the model calls of each group, or of its tools if it has no model calls."""
    called = np.bincount(durations["group"][~durations["tool"]], minlength=count) > 0
    used = durations[~durations["tool"].to_numpy() | ~called[durations["group"]]]
    if used.empty:
        return [np.full(count, np.nan) for _ in at]
    values = used.groupby("group")["ms"].quantile(np.array(at)).unstack().reindex(range(count))
    return [values[q].to_numpy() for q in at]
