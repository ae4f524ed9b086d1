"""Where the money went over time, what it would have cost elsewhere, and whether the recorded costs are right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from anton_notebook import pricing
from anton_notebook.model.span import LLM, NAT, Float64, Int64
from anton_notebook.tables.cost_aggregates import PICO, TOKENS, classes, priced_as, repriced
from anton_notebook.tables.costs import spans_of
from anton_notebook.tables.grouping import Codes, equals, factorized, floats, micros
from anton_notebook.tables.schema import KEY

PricesLike = pricing.Prices | Mapping[str, Mapping[str, Any]] | None


def cost_timeline(run: Any, *, experiments: bool = True, prices: PricesLike = None) -> pd.DataFrame:
    """The cost of a run, cumulated over time: one row per call to a model, in the order in which they ended.

    Columns: `time` (the end; the start where that is unknown), `trace_id`, `span_id`, `agent`, `model`, `cost_usd` and
    `tokens` of the call, `cumulated_cost_usd`, `cumulated_tokens`, `agent_cumulated_usd` (of its agent) and
    `unpriced_calls` so far: while that is not 0, the sums are lower bounds. Calls without a time come last.

    >>> import anton_notebook.tables.costs as c
    >>> cost_timeline(c.EMPTY)["cumulated_cost_usd"].tolist()
    []
    """
    frame = spans_of(run, experiments)
    cost = floats(frame, "cost_usd") if prices is None else repriced(frame, pricing.Prices.of(prices))
    rows = np.flatnonzero(equals(frame, "kind", LLM) & ~equals(frame, "status", "running"))
    time = _ends(frame)[rows]
    rows = rows[np.argsort(np.where(time == NAT, np.iinfo(np.int64).max, time), kind="stable")]
    pico = np.rint(np.nan_to_num(np.clip(cost[rows], -9e6, 9e6)) * PICO).astype(np.int64)
    tokens = [floats(frame, name)[rows] for name in TOKENS[:2]]
    both = np.where(np.isnan(tokens[0]) & np.isnan(tokens[1]), np.nan, np.nansum(tokens, axis=0) if len(rows) else 0.0)
    agent, _ = factorized(frame["agent"])
    table = pd.DataFrame(
        {
            "time": pd.to_datetime(_ends(frame)[rows], unit="us", utc=True).as_unit("us"),
            "trace_id": frame["trace_id"].to_numpy(dtype=object)[rows],
            "span_id": frame["span_id"].to_numpy(dtype=object)[rows],
            "agent": frame["agent"].array[rows],
            "model": frame["model"].array[rows],
            "cost_usd": cost[rows],
            "tokens": pd.array(both).astype("Int64"),
            "cumulated_cost_usd": np.cumsum(pico) / PICO,
            "cumulated_tokens": np.cumsum(np.nan_to_num(both)).astype(np.int64),
            "agent_cumulated_usd": pd.Series(pico).groupby(agent[rows]).cumsum().to_numpy() / PICO,
            "unpriced_calls": np.cumsum(np.isnan(cost[rows])),
        }
    )
    table.attrs[KEY] = {"table": "cost_timeline"}
    return table


def cheapest(
    run: Any, models: Sequence[str | tuple[str, str]], *, experiments: bool = True, prices: PricesLike = None
) -> pd.DataFrame:
    """The same tokens at other models' prices, per agent, cheapest first within an agent.

    `models` are names, with `provider/` before them or as `(provider, model)` where that is needed. Columns: `agent`,
    `model`, `calls`, `input_tokens` (cached ones included), `output_tokens`, `cost_usd` at that model's price of today
    (`NaN` without one), `now_usd` (what the calls are priced at as recorded), `saving_usd`, `ratio`, `fits` (whether
    its context window takes the longest call). It is a comparison of prices: another model writes other answers, and
    its tokenizer counts otherwise.

    >>> import anton_notebook.tables.costs as c
    >>> cheapest(c.EMPTY, ["gpt-4o-mini"])["model"].tolist()
    []
    """
    frame = spans_of(run, experiments)
    chosen = pricing.Prices.of(prices)
    wanted = [_named(model) for model in models]
    now = floats(frame, "cost_usd") if prices is None else repriced(frame, chosen)
    rows = np.flatnonzero(equals(frame, "kind", LLM) & ~equals(frame, "status", "running"))
    fresh, cached, output = split_tokens(frame, rows)
    total = fresh + cached
    agents, names = factorized(frame["agent"])
    found = []
    for code in np.unique(agents[rows]):
        of = agents[rows] == code
        paid = _sum(now[rows][of])
        for provider, model in wanted:
            other = _sum(priced_as(frame, chosen, (provider, model), rows[of]))
            window = pricing.context_window(provider, model)
            longest = np.nanmax(total[of], initial=0)
            found.append(
                {
                    "agent": names[code] if code >= 0 else None,
                    "model": f"{provider}/{model}" if provider else model,
                    "calls": int(of.sum()),
                    "input_tokens": int(np.nansum(total[of])),
                    "output_tokens": int(np.nansum(output[of])),
                    "cost_usd": other,
                    "now_usd": paid,
                    "saving_usd": paid - other,
                    "ratio": other / paid if paid else np.nan,
                    "fits": None if window is None else bool(longest <= window),
                }
            )
    columns: dict[str, Any] = {
        "agent": object,
        "model": object,
        "calls": np.int64,
        "input_tokens": np.int64,
        "output_tokens": np.int64,
        "cost_usd": np.float64,
        "now_usd": np.float64,
        "saving_usd": np.float64,
        "ratio": np.float64,
        "fits": "boolean",
    }
    table = _typed(found, columns)
    table = table.sort_values(["agent", "cost_usd", "model"], kind="stable", na_position="last").reset_index(drop=True)
    unknown = [model for provider, model in wanted if chosen.price_of(provider, model) is None]
    table.attrs[KEY] = {"table": "cheapest", "unpriced": [{"model": m, "nearest": pricing.nearest(m)} for m in unknown]}
    return table


def price_check(x: Any, *, experiments: bool = False, tolerance: float = 0.005) -> pd.DataFrame:
    """Recorded against recomputed cost, per provider and model, and why they differ; the largest difference first.

    Columns: `provider`, `model`, `calls`, `recorded_usd`, `cost_usd` (both over the calls that have both),
    `difference_usd` (recorded less recomputed), `ratio`, `differing_calls` (by more than `tolerance` of the cost),
    `source` (of the price) and `reason`.

    >>> import anton_notebook.tables.costs as c
    >>> price_check(c.EMPTY)[["model", "difference_usd", "reason"]].empty
    True
    """
    frame = spans_of(x, experiments)
    rows = np.flatnonzero(equals(frame, "kind", LLM) & ~equals(frame, "status", "running"))
    recorded, computed = floats(frame, "recorded_cost_usd"), floats(frame, "cost_usd")
    when = micros(frame)
    found = []
    for part, (provider, model) in classes(frame, rows):
        at = rows[part]
        mine, theirs = computed[at], recorded[at]
        both = ~np.isnan(mine) & ~np.isnan(theirs)
        differing = both & (np.abs(theirs - mine) > tolerance * np.abs(mine) + 1e-9)
        known = when[at][when[at] != NAT]
        spent = _sum(theirs[both])
        should = _sum(mine[both])
        found.append(
            {
                "provider": provider,
                "model": model,
                "calls": len(at),
                "recorded_usd": spent if both.any() else _sum(theirs),
                "cost_usd": should if both.any() else _sum(mine),
                "difference_usd": spent - should if both.any() else np.nan,
                "ratio": spent / should if both.any() and should else np.nan,
                "differing_calls": int(differing.sum()),
                "source": pricing.cost_source(provider, model, int(known.max()) if len(known) else None),
                "reason": _reason(frame, at, mine, theirs, differing, provider, model),
            }
        )
    columns: dict[str, Any] = {
        "provider": object,
        "model": object,
        "calls": np.int64,
        "recorded_usd": np.float64,
        "cost_usd": np.float64,
        "difference_usd": np.float64,
        "ratio": np.float64,
        "differing_calls": np.int64,
        "source": object,
        "reason": object,
    }
    table = _typed(found, columns)
    order = table["difference_usd"].abs().sort_values(ascending=False, kind="stable", na_position="last").index
    table = table.loc[order].reset_index(drop=True)
    table.attrs[KEY] = {"table": "price_check"}
    return table


def _reason(
    frame: pd.DataFrame, at: Codes, mine: Float64, theirs: Float64, differing: Any, provider: str, model: str
) -> str:
    fresh, cached, output = split_tokens(frame, at)
    if np.isnan(mine).all():
        if pricing.price_of(provider, model) is not None:
            return "the records lack tokens"
        near = pricing.nearest(model)
        return "no price is known" + (f"; near: {', '.join(near)}" if near else "") + "; anb.set_price sets one"
    if np.isnan(theirs).all():
        return "no cost was recorded"
    if not differing.any():
        return "they agree"
    wrong = np.flatnonzero(differing)
    theirs, mine, at = theirs[wrong], mine[wrong], at[wrong]
    fresh, cached, output = fresh[wrong], cached[wrong], output[wrong]
    if (theirs == 0).all():
        return "recorded as 0: the writer had no price for the model"
    if np.nan_to_num(floats(frame, "tokens_estimated")[at]).astype(bool).any():
        return "the tokens are estimated from the text"
    when = micros(frame)[at]
    undiscounted = np.array(
        [
            pricing.cost(provider, model, int(t), int(i), int(o))
            for t, i, o in zip(when, np.nan_to_num(fresh + cached), np.nan_to_num(output), strict=True)
        ]
    )
    if cached.any() and np.allclose(theirs, undiscounted, rtol=1e-3):
        return "recorded without the discount of cached tokens"
    implied = _implied(fresh + cached, output, theirs)
    if implied is not None:
        return (
            f"recorded at ${implied[0]:g} in and ${implied[1]:g} out per million tokens, not at the price of that day"
        )
    return "recorded at changing prices, or with tokens that the record does not show"


def _implied(given: Float64, output: Float64, spent: Float64) -> tuple[float, float] | None:
    """The price in and out, per million tokens, that explains every recorded cost, if there is one."""
    tokens = np.stack([given, output], axis=1) / 1e6
    if len(spent) < 2 or np.isnan(tokens).any() or np.linalg.matrix_rank(tokens) < 2:
        return None
    rates, *_ = np.linalg.lstsq(tokens, spent, rcond=None)
    if (rates < -1e-9).any() or not np.allclose(tokens @ rates, spent, rtol=2e-3, atol=1e-6):
        return None
    return float(f"{rates[0]:.4g}"), float(f"{rates[1]:.4g}")


def split_tokens(frame: pd.DataFrame, rows: Codes) -> tuple[Float64, Float64, Float64]:
    """Of these calls the input tokens that were not cached, those that were (0 where unknown), and the output
    tokens."""
    given, output, cached = (floats(frame, name)[rows] for name in ("input_tokens", "output_tokens", "cached_tokens"))
    cached = np.nan_to_num(cached)
    rest = given - cached
    given = np.where(rest < 0, given, rest)
    return given, cached, output


def _typed(rows: list[dict[str, Any]], columns: dict[str, Any]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(columns)).astype(columns)


def _named(model: str | tuple[str, str]) -> tuple[str, str]:
    if not isinstance(model, str):
        return model
    if pricing.price_of("", model) is None and "/" in model:
        provider, _, name = model.partition("/")
        return provider, name
    return "", model


def _sum(usd: Float64) -> float:
    """A sum that does not depend on the order, of what is known; `NaN` where nothing is."""
    known = usd[np.isfinite(usd)]
    return float(np.rint(known * PICO).astype(object).sum()) / PICO if len(known) else float("nan")


def _ends(frame: pd.DataFrame) -> Int64:
    start = micros(frame)
    duration = np.nan_to_num(floats(frame, "duration_ms")) * 1000
    return np.where(start == NAT, NAT, start + np.where(start == NAT, 0, duration.astype(np.int64)))
