"""Parts of a table of costs: one row per group, of sums that do not depend on the order or the number of the parts.

Dollars are summed as whole pico-dollars in two halves of 26 bits, each exact in a float64, because a plain sum of
floats changes with its grouping.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from anton_notebook import pricing
from anton_notebook.model.span import LLM, TOOL, Bool, Float64, Int64
from anton_notebook.model.usage import Usage
from anton_notebook.tables.grouping import (
    WIDE,
    Codes,
    ancestors,
    codes_of,
    equals,
    factorized,
    floats,
    grouped,
    leaves,
    micros,
    retried,
)

PICO = 1e12
HALF = float(1 << 26)
MOST = 9e6
"""No call costs more than this many dollars: a record that says so is read as this much, so that sums stay exact."""
MONEY = ("cost_usd", "recorded_cost_usd", "saved_usd")
TOKENS = ("input_tokens", "output_tokens", "cached_tokens")
COUNTED = ("calls", "tool_calls", "unpriced_calls", "estimated_calls", "errors", "retries")


@dataclass(slots=True)
class Part:
    """Sums of some rows: one entry per group in `keys` and the sums; `runs` and `durations` are (group, value)
    pairs."""

    keys: list[pd.Series[Any]]
    sums: dict[str, Float64]
    runs: tuple[Codes, npt.NDArray[Any]]
    durations: tuple[Codes, Float64]
    total: dict[str, int]
    unpriced: dict[tuple[str, str], int]

    @property
    def size(self) -> int:
        return len(next(iter(self.sums.values())))


def part_of(frame: pd.DataFrame, by: Sequence[str], subagents: bool, prices: Any) -> Part:
    """The sums of a frame's rows."""
    leaf, calls, tools = leaves(frame), equals(frame, "kind", LLM), equals(frame, "kind", TOOL)
    failed = equals(frame, "status", "error")
    money = {name: floats(frame, name) for name in MONEY}
    tokens = {name: floats(frame, name) for name in TOKENS}
    if prices is not None:
        money["cost_usd"] = repriced(frame, pricing.Prices.of(prices))
    unpriced = calls & np.isnan(money["cost_usd"]) & ~equals(frame, "status", "running")
    masks = {
        "rows": _figured(leaf, [*money.values(), *tokens.values()]),
        "calls": calls,
        "tool_calls": tools,
        "unpriced_calls": unpriced,
        "estimated_calls": calls & np.nan_to_num(floats(frame, "tokens_estimated")).astype(bool),
        "errors": leaf & failed,
        "retries": retried(frame, calls, calls & failed),
    }
    keys = [codes_of(frame, name) for name in by]
    trace, labels = factorized(frame["trace_id"])
    take: Any = slice(None)
    overlapping = subagents and "agent" in by
    if overlapping:
        take, agent, names = ancestors(frame, np.flatnonzero(leaf))
        keys = [
            (agent, names) if name == "agent" else (codes[take], values)
            for name, (codes, values) in zip(by, keys, strict=True)
        ]
        keys_rows = len(take)
    else:
        keys_rows = len(frame)
    group, columns = grouped(keys, keys_rows)
    count = len(columns[0]) if columns else 1
    sums = _counted(masks, take, group, count)
    known = _Known(group, count)
    for name, column in tokens.items():
        values, at, sums[f"{name}:known"] = known.of(column[take])
        sums[name] = _summed(at, values, count)
    for name, column in money.items():
        values, at, sums[f"{name}:known"] = known.of(column[take])
        sums[f"{name}:hi"], sums[f"{name}:lo"] = _dollars(values, at, count)
    timed = floats(frame, "duration_ms")[take]
    rows = np.flatnonzero((calls | tools)[take] & ~np.isnan(timed))
    used = masks["rows"][take]
    run = trace[take]
    where = (group, run) if used.all() else (group[used], run[used])
    pairs = _distinct(where[0], where[1], count, len(labels))
    return Part(
        columns,
        sums,
        (pairs[0], labels.to_numpy(dtype=object)[pairs[1]]),
        (group[rows] * 2 + tools[take][rows], timed[rows]),
        _totals(money, None if overlapping else sums, unpriced),
        _without_price(frame, unpriced),
    )


def _figured(leaf: Bool, figures: Sequence[Float64]) -> Bool:
    """The rows that say something: agents' nodes have no figures of their own, unless their source gave them some."""
    rows = leaf.copy()
    nodes = np.flatnonzero(~leaf)
    rows[nodes] = np.any([~np.isnan(column[nodes]) for column in figures], axis=0)
    return rows


def repriced(frame: pd.DataFrame, prices: pricing.Prices) -> Float64:
    """The cost of every call at other prices; answers that were not paid for keep what they have."""
    result = floats(frame, "cost_usd").copy()
    unpaid = ~np.isnan(floats(frame, "saved_usd"))
    rows = np.flatnonzero(equals(frame, "kind", LLM) & ~unpaid)
    when = micros(frame)[rows]
    tokens = [np.nan_to_num(floats(frame, name)[rows], nan=-1).astype(np.int32) for name in TOKENS]
    for part, (provider, model) in classes(frame, rows):
        result[rows[part]] = prices.cost_array(provider, model, when[part], *(column[part] for column in tokens))
        _reprice_details(frame, prices, (provider, model), rows[part], when[part], result)
    return result


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
    """The rows of each (provider, model): places in `rows`, and the two names, `""` where there is none."""
    keys = [factorized(frame[name].iloc[rows]) for name in ("provider", "model")]
    group, names = grouped(keys, len(rows))
    order = np.argsort(group, kind="stable")
    edges = np.searchsorted(group[order], np.arange(len(names[0]) + 1))
    texts = [["" if pd.isna(value) else str(value) for value in column] for column in names]
    return [(order[a:b], (texts[0][i], texts[1][i])) for i, (a, b) in enumerate(pairwise(edges))]


def _without_price(frame: pd.DataFrame, unpriced: Bool) -> dict[tuple[str, str], int]:
    rows = np.flatnonzero(unpriced)
    return {names: len(part) for part, names in classes(frame, rows)} if len(rows) else {}


def _counted(masks: Mapping[str, Bool], take: Any, group: Codes, count: int) -> dict[str, Float64]:
    """How many rows of each group are in each mask, in one pass over the rows where the groups are few."""
    if count > 1 << 14:
        return {
            name: np.bincount(group[mask[take]], minlength=count).astype(np.float64) for name, mask in masks.items()
        }
    bits = np.zeros(len(group), np.uint8)
    for i, mask in enumerate(masks.values()):
        bits |= mask[take].view(np.uint8) << i
    width = 1 << len(masks)
    table = np.bincount(group * width + bits, minlength=count * width).reshape(count, width).astype(np.float64)
    return {name: table[:, np.arange(width) >> i & 1 == 1].sum(axis=1) for i, name in enumerate(masks)}


def _totals(money: Mapping[str, Float64], sums: Mapping[str, Float64] | None, unpriced: Bool) -> dict[str, int]:
    """Pico-dollars of all rows, and how many calls have no price."""
    total = {"unpriced_calls": int(unpriced.sum())}
    for name, values in money.items():
        if sums is None:
            known = values[~np.isnan(values)]
            high, low = _dollars(known, np.zeros(len(known), np.intp), 1)
        else:
            high, low = sums[f"{name}:hi"], sums[f"{name}:lo"]
        total[name] = int(high.sum()) * int(HALF) + int(low.sum())
    return total


class _Known:
    """The known values of columns and their groups; columns that are known in the same rows share the work."""

    def __init__(self, group: Codes, count: int) -> None:
        self._group, self._count = group, count
        self._seen: list[tuple[Bool, Codes, Codes, Float64]] = []

    def of(self, values: Float64) -> tuple[Float64, Codes, Float64]:
        """The known values, the group of each, and how many there are in each group."""
        missing = np.isnan(values)
        for mask, rows, at, counts in self._seen:
            if np.array_equal(mask, missing):
                return values[rows], at, counts
        rows = np.flatnonzero(~missing)
        at = self._group[rows]
        counts = np.bincount(at, minlength=self._count).astype(np.float64)
        self._seen.append((missing, rows, at, counts))
        return values[rows], at, counts


def _dollars(values: Float64, group: Codes, count: int) -> tuple[Float64, Float64]:
    pico = np.clip(values, -MOST, MOST)
    pico *= PICO
    np.rint(pico, out=pico)
    high = np.floor(pico / HALF)
    pico -= high * HALF
    return _summed(group, high, count), _summed(group, pico, count)


def _summed(group: Codes, values: Float64, count: int) -> Float64:
    return np.bincount(group, values, minlength=count).astype(np.float64, copy=False)


def _distinct(group: Codes, run: Codes, groups: int, runs: int) -> tuple[Codes, Codes]:
    """The distinct pairs of group and run."""
    width = runs + 1
    number = group * np.int64(width) + run + 1
    if groups * width <= WIDE:
        seen = np.zeros(groups * width, bool)
        seen[number] = True
        pairs = np.flatnonzero(seen)
    else:
        pairs = pd.unique(number)
    pairs = pairs[pairs % width > 0]
    return pairs // width, pairs % width - 1


def combined(parts: Sequence[Part]) -> Part:
    """One part of several, grouped anew by the values of their keys."""
    if len(parts) == 1:
        return parts[0]
    if not parts:
        raise ValueError("there is nothing to put together: the data set has no partition")
    offsets = np.cumsum([0, *(part.size for part in parts)])
    joined = [pd.concat([part.keys[i] for part in parts], ignore_index=True) for i in range(len(parts[0].keys))]
    keys = [
        factorized(column.astype(object) if isinstance(column.dtype, pd.CategoricalDtype) else column)
        for column in joined
    ]
    group, columns = grouped(keys, int(offsets[-1]))
    count = len(columns[0]) if columns else 1
    sums = {name: _summed(group, np.concatenate([part.sums[name] for part in parts]), count) for name in parts[0].sums}
    runs = [(group[part.runs[0] + at], part.runs[1]) for part, at in zip(parts, offsets, strict=False)]
    run, labels = pd.factorize(np.concatenate([values for _, values in runs]))
    pairs = _distinct(np.concatenate([at for at, _ in runs]), run, count, len(labels))
    timed = [
        (group[part.durations[0] // 2 + at] * 2 + part.durations[0] % 2)
        for part, at in zip(parts, offsets, strict=False)
    ]
    unpriced: dict[tuple[str, str], int] = {}
    for part in parts:
        for names, calls in part.unpriced.items():
            unpriced[names] = unpriced.get(names, 0) + calls
    total = {name: sum(part.total[name] for part in parts) for name in parts[0].total}
    durations = np.concatenate(timed), np.concatenate([part.durations[1] for part in parts])
    return Part(columns, sums, (pairs[0], labels[pairs[1]]), durations, total, unpriced)
