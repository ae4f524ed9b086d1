"""How rows of `spans_df` fall into groups: by a column, or by what can be derived from several."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from anton_notebook.errors import did_you_mean
from anton_notebook.model.span import AGENT, NAT, ORCHESTRATOR, TOOL, Bool, Float64, Int64
from anton_notebook.tables.phases import phases_of

Codes = npt.NDArray[np.intp]


class Key(NamedTuple):
    """A grouping of rows: a code per row (-1: missing) and the values that the codes number."""

    codes: Codes
    values: pd.Index[Any]


WIDE = 1 << 22


def floats(frame: pd.DataFrame, name: str) -> Float64:
    """A column as float64, `NaN` where unknown or where there is no such column."""
    if name not in frame.columns:
        return np.full(len(frame), np.nan)
    return frame[name].to_numpy(dtype=np.float64, na_value=np.nan)


def equals(frame: pd.DataFrame, name: str, *values: str) -> Bool:
    """Which rows of a column have one of these values."""
    column = frame[name]
    if isinstance(column.dtype, pd.CategoricalDtype):
        wanted = column.cat.categories.isin(values)
        return np.append(wanted, False)[column.cat.codes.to_numpy()]
    return column.isin(values).to_numpy(dtype=bool)


def micros(frame: pd.DataFrame, name: str = "start") -> Int64:
    """A time column as microseconds since 1970 UTC, `NAT` where unknown."""
    times = pd.to_datetime(frame[name], utc=True).dt.tz_localize(None)
    return times.to_numpy(dtype="datetime64[us]").astype(np.int64)


def factorized(column: pd.Series[Any]) -> Key:
    """Codes (-1: missing) and the values that they stand for."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        return Key(column.cat.codes.to_numpy().astype(np.intp), column.cat.categories)
    codes, values = pd.factorize(column, use_na_sentinel=True)
    return Key(codes, pd.Index(values))


def codes_of(frame: pd.DataFrame, name: str) -> Key:
    """The group of each row under one name of `by=`; `ValueError` names what is possible."""
    derived = DERIVED.get(name)
    if derived is not None and name not in frame.columns:
        return derived(frame)
    if name not in frame.columns:
        possible = [*DERIVED, *frame.columns]
        text = f"by={name!r} is neither a column nor one of {', '.join(DERIVED)}{did_you_mean(name, possible)}"
        raise ValueError(text)
    return factorized(frame[name])


def _tools(frame: pd.DataFrame) -> Key:
    codes, values = factorized(frame["name"])
    return Key(np.where(equals(frame, "kind", TOOL), codes, -1), values)


def _floored(micros_each: int) -> Callable[[pd.DataFrame], Key]:
    def floor(frame: pd.DataFrame) -> Key:
        start = micros(frame)
        known = start != NAT
        if not known.any():
            return Key(np.full(len(frame), -1), pd.DatetimeIndex([], dtype="datetime64[us, UTC]"))
        codes, slots = pd.factorize(np.where(known, start // micros_each, -1), sort=True)
        missing = np.flatnonzero(slots == -1)
        if len(missing):  # -1 sorts first
            codes, slots = codes - 1, slots[1:]
        times = pd.to_datetime(slots * micros_each, unit="us", utc=True).as_unit("us")
        return Key(codes, pd.Index(times))

    return floor


def _runs(frame: pd.DataFrame) -> Key:
    return factorized(frame["trace_id"])


def _phases(frame: pd.DataFrame) -> Key:
    """The phase in which each row began, by name; missing (-1) where nothing tells one."""
    known = phases_of(frame)
    trace, labels = factorized(frame["trace_id"])
    codes = np.full(len(frame), -1)
    names: dict[str, int] = {}
    having = [code for code, label in enumerate(labels) if label in known]
    if having:
        start = micros(frame)
        order = np.argsort(trace, kind="stable")
        firsts, lasts = (np.searchsorted(trace[order], having, side=side) for side in ("left", "right"))
        for code, first, last in zip(having, firsts.tolist(), lasts.tolist(), strict=True):
            rows = order[first:last]
            phases = sorted(known[labels[code]], key=lambda phase: phase[0])
            begins = np.array([phase[0] for phase in phases])
            ends = np.array([np.iinfo(np.int64).max if phase[1] == NAT else phase[1] for phase in phases])
            called = np.array([names.setdefault(phase[2], len(names)) for phase in phases])
            at = np.searchsorted(begins, start[rows], side="right") - 1
            inside = (at >= 0) & (start[rows] != NAT) & (start[rows] < ends[at])
            codes[rows[inside]] = called[at[inside]]
    return Key(codes, pd.Index(list(names), dtype="str"))


DERIVED: dict[str, Callable[[pd.DataFrame], Key]] = {
    "run": _runs,
    "tool": _tools,
    "hour": _floored(3_600_000_000),
    "day": _floored(86_400_000_000),
    "phase": _phases,
}


def key_values(values: pd.Index[Any], codes: Any) -> pd.Series[Any]:
    """The values of codes; missing for -1."""
    if len(values) == 0:
        return pd.Series([None] * len(codes), dtype=object)
    plain = values.astype(object) if isinstance(values.dtype, pd.StringDtype) else values
    at = np.asarray(codes)
    return pd.Series(plain.take(np.maximum(at, 0))).where(pd.Series(at >= 0)).reset_index(drop=True)


def ancestors(frame: pd.DataFrame, rows: Codes) -> tuple[Codes, Codes, pd.Index[Any]]:
    """Every row with each distinct agent in whose subtree it lies, its own included: (rows, agent codes, agents)."""
    trace, _ = _runs(frame)
    agents, names = factorized(frame["agent"])
    spans = pd.Index(frame["span_id"].astype(object))
    both, known = pd.factorize(spans.append(pd.Index(frame["parent_id"].astype(object))), use_na_sentinel=True)
    own, parent = both[: len(frame)], both[len(frame) :]
    keys = pd.Series(np.arange(len(frame)), index=trace * len(known) + own)
    keys = keys[~keys.index.duplicated()]
    at = pd.Index(keys.index).get_indexer(pd.Index(trace * len(known) + parent))
    up = np.where((at >= 0) & (parent >= 0), keys.to_numpy()[at], -1)
    width = len(names) + 1
    found, leaf, above = [rows * width + agents[rows] + 1], rows, up[rows]
    # A tree of calls is shallow; the bound is for frames whose parents run in a circle.
    for _ in range(1000):
        leaf, above = leaf[above >= 0], above[above >= 0]
        if not len(leaf):
            break
        found.append(leaf * width + agents[above] + 1)
        above = up[above]
    distinct = pd.unique(np.concatenate(found))
    return distinct // width, distinct % width - 1, names


def retried(frame: pd.DataFrame, calls: Bool, failed: Bool) -> Bool:
    """Which of these calls follow a failed one of the same agent in the same run."""
    if not failed.any():
        return np.zeros(len(frame), bool)
    trace, _ = _runs(frame)
    agent, names = factorized(frame["agent"])
    pair = trace * (len(names) + 1) + agent + 1
    if pair.max() > WIDE:
        pair = pd.factorize(pair)[0]
    unlucky = np.zeros(pair.max() + 1, bool)
    unlucky[pair[failed]] = True
    rows = np.flatnonzero(calls & unlucky[pair])
    start = micros(frame)[rows]
    if not np.all(start[1:] >= start[:-1]):
        rows = rows[np.argsort(start, kind="stable")]
    before = pd.Series(failed[rows]).groupby(pair[rows], sort=False).shift(1, fill_value=False)
    result = np.zeros(len(frame), bool)
    result[rows] = before.to_numpy(dtype=bool)
    return result


def leaves(frame: pd.DataFrame) -> Bool:
    """Which rows are work itself and not an agent's node, which has no figures of its own."""
    return ~equals(frame, "kind", ORCHESTRATOR, AGENT)
