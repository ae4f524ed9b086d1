"""Mergeable sums for `costs`: one row per group, equal for any number and order of the parts.

Dollars are summed as int64 pico-dollars, which is exact; a sum of floats depends on its grouping. A frame, or each Dask
partition, becomes a `CostAggregate`; `merge` groups several of them again. See `costs` for the table made of the result.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from anton_notebook import pricing
from anton_notebook.model.span import LLM, NAT, TOOL, Bool, Float64, Int64
from anton_notebook.model.usage import Usage
from anton_notebook.tables.grouping import (
    Codes,
    Key,
    ancestors,
    codes_of,
    equals,
    factorized,
    floats,
    key_values,
    leaves,
    micros,
    retried,
)

PICO = 1e12
MAX_CALL_USD = 10_000.0
"""No call costs more: a record that says so counts as this much."""
MAX_TOTAL_USD = 9e6
"""More does not fit into int64 pico-dollars."""
MONEY = ("cost_usd", "recorded_cost_usd", "saved_usd")
TOKENS = ("input_tokens", "output_tokens", "cached_tokens")
COUNTED = ("calls", "tool_calls", "unpriced_calls", "estimated_calls", "errors", "retries")


@dataclass(slots=True)
class CostAggregate:
    """Sums of some rows, grouped.

    Attributes:
        keys: one row per group; one column per name of `by=`, numbered from 0.
        sums: one row per group; int64 counts, tokens and pico-dollars, and `<name>:known`, the number of known values.
        runs: columns `group` and `trace_id`, each pair once.
        durations: columns `group`, `tool` (bool) and `ms`, one row per call that has a duration.
        total: pico-dollars of all rows, and `unpriced_calls`.
        unpriced: number of calls without a price by (provider, model).
    """

    keys: pd.DataFrame
    sums: pd.DataFrame
    runs: pd.DataFrame
    durations: pd.DataFrame
    total: dict[str, int]
    unpriced: dict[tuple[str, str], int]


def aggregate(frame: pd.DataFrame, by: Sequence[str], subagents: bool, prices: Any) -> CostAggregate:
    """The sums of a frame's rows."""
    leaf, calls, tools = leaves(frame), equals(frame, "kind", LLM), equals(frame, "kind", TOOL)
    failed = equals(frame, "status", "error")
    money = {name: floats(frame, name) for name in MONEY}
    tokens = {name: floats(frame, name) for name in TOKENS}
    if prices is not None:
        money["cost_usd"] = repriced(frame, pricing.Prices.of(prices))
    unpriced = calls & np.isnan(money["cost_usd"]) & ~equals(frame, "status", "running")
    counted = _figured(leaf, [*money.values(), *tokens.values()])
    masks = {
        "rows": counted,
        "calls": calls,
        "tool_calls": tools,
        "unpriced_calls": unpriced,
        "estimated_calls": calls & np.nan_to_num(floats(frame, "tokens_estimated")).astype(bool),
        "errors": leaf & failed,
        "retries": retried(frame, calls, calls & failed),
    }
    values: dict[str, Int64] = {}
    for name, column in {**tokens, **money}.items():
        masks[f"{name}:known"] = known = ~np.isnan(column)
        values[name] = pico(column) if name in MONEY else np.where(known, column, 0).astype(np.int64)
    total = {name: int(values[name].sum()) for name in MONEY} | {"unpriced_calls": int(unpriced.sum())}
    keys = [codes_of(frame, name) for name in by]
    trace = factorized(frame["trace_id"])
    take: Any = slice(None)
    if subagents and "agent" in by:
        take, agent, names = ancestors(frame, np.flatnonzero(leaf))
        keys = [
            Key(agent, names) if name == "agent" else Key(key.codes[take], key.values)
            for name, key in zip(by, keys, strict=True)
        ]
    group, labels = _numbered([key.codes for key in keys], len(counted[take]))
    sums = _summed(
        group,
        len(labels),
        {name: mask[take] for name, mask in masks.items()},
        {name: column[take] for name, column in values.items()},
    )
    timed = floats(frame, "duration_ms")[take]
    rows = np.flatnonzero((calls | tools)[take] & ~np.isnan(timed))
    return CostAggregate(
        pd.DataFrame({i: key_values(key.values, labels[i]) for i, key in enumerate(keys)}, index=range(len(labels))),
        sums,
        _runs(group, trace, counted, take),
        pd.DataFrame({"group": group[rows], "tool": tools[take][rows], "ms": timed[rows]}),
        total,
        _without_price(frame, unpriced),
    )


def pico(usd: Float64) -> Int64:
    """Dollars as whole pico-dollars, 0 if unknown. Raises OverflowError if the sum does not fit into an int64."""
    if np.isnan(usd).all():
        return np.zeros(len(usd), np.int64)
    clipped = np.clip(np.where(np.isnan(usd), 0.0, usd), -MAX_CALL_USD, MAX_CALL_USD)
    if np.abs(clipped).sum() > MAX_TOTAL_USD:
        raise OverflowError(
            f"costs of more than {MAX_TOTAL_USD:,.0f} US dollars cannot be summed; filter the spans first"
        )
    return np.rint(clipped * PICO).astype(np.int64)


def _numbered(codes: Sequence[Any], rows: int) -> tuple[Codes, pd.DataFrame]:
    """The group of each row, and the codes of each group; without keys all rows are one group."""
    if not codes:
        return np.zeros(rows, np.intp), pd.DataFrame(index=range(1))
    if len(codes) == 1:  # codes are numbered already; groups without rows are left out of the table
        group: Codes = codes[0] + 1
        return group, pd.DataFrame({0: np.arange(-1, codes[0].max(initial=-1) + 1)})
    frame = pd.DataFrame(dict(enumerate(codes)), copy=False)
    groups: Any = frame.groupby(list(frame.columns), sort=True, dropna=False)
    labels = groups.size().index.to_frame(index=False).set_axis(frame.columns, axis=1)
    return groups.ngroup().to_numpy(dtype=np.intp), labels


def _summed(group: Codes, groups: int, masks: Mapping[str, Bool], values: Mapping[str, Int64]) -> pd.DataFrame:
    """The number of True of each mask and the sum of each int64 column, per group."""
    sums = pd.DataFrame(values, copy=False).groupby(group).sum().reindex(range(groups), fill_value=0)
    none = np.zeros(groups, np.int64)
    counts = {name: np.bincount(group[mask], minlength=groups) if mask.any() else none for name, mask in masks.items()}
    table: pd.DataFrame = sums.assign(**counts)
    return table


def _runs(group: Codes, trace: Key, counted: Bool, take: Any) -> pd.DataFrame:
    """Each pair of group and run once, of rows that count."""
    used = counted[take]
    pairs = pd.unique(group[used] * np.int64(len(trace.values) + 1) + trace.codes[take][used] + 1)
    at, run = np.divmod(pairs, len(trace.values) + 1)
    runs: pd.DataFrame = pd.DataFrame({"group": at, "trace_id": trace.values.to_numpy(dtype=object)[run - 1]})[run > 0]
    return runs


def _figured(leaf: Bool, figures: Sequence[Float64]) -> Bool:
    """The rows with figures: spans other than agents, and agents whose source recorded figures for them."""
    rows = leaf.copy()
    nodes = np.flatnonzero(~leaf)
    rows[nodes] = np.any([~np.isnan(column[nodes]) for column in figures], axis=0)
    return rows


def repriced(frame: pd.DataFrame, prices: pricing.Prices) -> Float64:
    """The cost of every call at other prices; answers that were not paid for keep their cost."""
    result = floats(frame, "cost_usd").copy()
    unpaid = ~np.isnan(floats(frame, "saved_usd"))
    rows = np.flatnonzero(equals(frame, "kind", LLM) & ~unpaid)
    when = micros(frame)[rows]
    tokens = [np.nan_to_num(floats(frame, name)[rows], nan=-1).astype(np.int32) for name in TOKENS]
    for part, (provider, model) in classes(frame, rows):
        result[rows[part]] = prices.cost_array(provider, model, when[part], *(column[part] for column in tokens))
        _reprice_details(frame, prices, (provider, model), rows[part], when[part], result)
    return result


def priced_as(frame: pd.DataFrame, prices: pricing.Prices, model: tuple[str, str], rows: Codes) -> Float64:
    """The cost of these calls at today's ordinary price of another model; cache writes and reasoning are counted."""
    when = np.full(len(rows), NAT)
    tokens = [np.nan_to_num(floats(frame, name)[rows], nan=-1).astype(np.int32) for name in TOKENS]
    result = np.full(len(frame), np.nan)
    result[rows] = prices.cost_array(*model, when, *tokens)
    plain = frame.drop(columns="service_tier", errors="ignore")
    _reprice_details(plain, prices, model, rows, when, result)
    return result[rows]


_DETAILS = ("cache_write_tokens", "reasoning_tokens")


def _reprice_details(
    frame: pd.DataFrame, prices: pricing.Prices, model: tuple[str, str], rows: Codes, when: Int64, result: Float64
) -> None:
    """Price calls with cache writes, reasoning or a service tier one by one; they are few."""
    names = [name for name in (*_DETAILS, "service_tier") if name in frame]
    if not names:
        return
    detailed = frame[names].iloc[rows].notna().any(axis=1).to_numpy()
    chosen = frame.iloc[rows[detailed]]
    for row, moment, call in zip(
        rows[detailed].tolist(), when[detailed].tolist(), chosen.to_dict("records"), strict=True
    ):
        fields = {name: call[name] for name in (*TOKENS, *names) if not pd.isna(call[name])}
        result[row] = prices.usage_cost(*model, moment, Usage(**{key: _plain(value) for key, value in fields.items()}))


def _plain(value: Any) -> Any:
    return value if isinstance(value, str) else int(value)


def classes(frame: pd.DataFrame, rows: Codes) -> list[tuple[Codes, tuple[str, str]]]:
    """The rows of each (provider, model): positions in `rows`, and the two names, `""` if missing."""
    keys = [factorized(frame[name].iloc[rows]) for name in ("provider", "model")]
    group, labels = _numbered([codes for codes, _ in keys], len(rows))
    names = [np.append(np.array([str(value) for value in values], object), "") for _, values in keys]  # code -1: ""
    providers, models = (names[i][labels[i].to_numpy(dtype=np.intp)] for i in (0, 1))
    order = np.argsort(group, kind="stable")
    parts = np.split(order, np.cumsum(np.bincount(group, minlength=len(labels)))[:-1])
    return [(at, (providers[i], models[i])) for i, at in enumerate(parts) if len(at)]


def _without_price(frame: pd.DataFrame, unpriced: Bool) -> dict[tuple[str, str], int]:
    rows = np.flatnonzero(unpriced)
    return {names: len(part) for part, names in classes(frame, rows)} if len(rows) else {}


def merge(parts: Sequence[CostAggregate]) -> CostAggregate:
    """One aggregate of several, grouped again by the values of their keys."""
    if not parts:
        raise ValueError("the data set has no partitions")
    if len(parts) == 1:
        return parts[0]
    offsets = np.cumsum([0, *(len(part.keys) for part in parts)])
    joined = {i: pd.concat([part.keys[i].astype(object) for part in parts], ignore_index=True) for i in parts[0].keys}
    keys = [factorized(column) for column in joined.values()]
    group, labels = _numbered([key.codes for key in keys], int(offsets[-1]))

    def regrouped(name: str) -> pd.DataFrame:
        tables = [getattr(part, name) for part in parts]
        moved = [table.assign(group=group[table["group"] + at]) for table, at in zip(tables, offsets, strict=False)]
        table: pd.DataFrame = pd.concat(moved, ignore_index=True)
        return table

    unpriced: dict[tuple[str, str], int] = {}
    for part in parts:
        for names, calls in part.unpriced.items():
            unpriced[names] = unpriced.get(names, 0) + calls
    return CostAggregate(
        pd.DataFrame({i: key_values(key.values, labels[i]) for i, key in enumerate(keys)}, index=range(len(labels))),
        pd.concat([part.sums for part in parts], ignore_index=True).groupby(group).sum(),
        regrouped("runs").drop_duplicates(),
        regrouped("durations"),
        {name: sum(part.total[name] for part in parts) for name in parts[0].total},
        unpriced,
    )
