"""The frames of experiments: answers of a sweep, and the verdict on them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from anton_notebook.experiments import stats
from anton_notebook.tables.builder import build

RERUN: dict[str, str] = {
    "variant": "count", "repeat": "count", "span_id": "text", "new_span_id": "text", "provider": "category",
    "model": "category", "system": "text", "prompt": "text", "response": "text", "original": "text", "diff": "text",
    "similarity": "number", "tool_calls": "object", "input_tokens": "integer", "output_tokens": "integer",
    "cached_tokens": "integer", "cost_usd": "number", "cost_delta_usd": "number", "saved_usd": "number",
    "duration_ms": "number", "duration_delta_ms": "number", "attempts": "count", "finish_reason": "category",
    "error": "text", "from_cache": "flag",
}  # fmt: skip
VERDICT: dict[str, str] = {
    "variant": "count", "metric": "category", "verdict": "text", "differs": "object", "effect": "number", "ci_low": "number",
    "ci_high": "number", "p": "number", "p_adjusted": "number", "mean": "number", "baseline_mean": "number", "runs": "count",
    "baseline_runs": "count", "left_out": "count", "more_runs": "integer", "test": "category",
}  # fmt: skip
_SURROGATES = re.compile("[\ud800-\udfff]")
OWN = ("similarity", "output_tokens")


def rerun_frame(rows: Iterable[Mapping[str, Any]], metrics: Sequence[str] = ()) -> pd.DataFrame:
    """The frame of `rerun`: its columns, then one for each metric, as its values are."""
    listed = [{name: _text(value) for name, value in row.items()} for row in rows]
    frame = build(RERUN, listed)
    for name in metrics:
        frame[name] = _metric([row.get(name) for row in listed])
    return frame


def _text(value: Any) -> Any:
    """Lone surrogates, which no column of text can hold, are shown as U+FFFD."""
    return value if not isinstance(value, str) or value.isascii() else _SURROGATES.sub("\ufffd", value)


def _metric(values: list[Any]) -> Any:
    known = [value for value in values if value is not None]
    if known and len(known) == len(values) and all(isinstance(value, bool | np.bool_) for value in known):
        return np.array(values, bool)
    if known and all(isinstance(value, bool | np.bool_) for value in known):
        return pd.array(values, dtype="boolean")
    if all(isinstance(value, int | float | np.number) and not isinstance(value, bool | np.bool_) for value in known):
        return np.array([math.nan if value is None else float(value) for value in values], np.float64)
    return pd.Series(values, dtype=object).array


def verdict(df: pd.DataFrame, metrics: Sequence[str] | None = None) -> pd.DataFrame:
    """Whether each variant of a `rerun(..., baseline=k)` frame differs from the unchanged request by more than its noise.

    One row a variant and metric: your own metrics, or, where there are none, `similarity` (to the recorded answer) and
    `output_tokens`; `metrics` names other columns of numbers. `effect` is the variant's mean minus the baseline's, with a
    95 % interval; `p` comes from the test named in `test`, and `p_adjusted` allows for all rows of the verdict together:
    the chance that a verdict on no difference at all says `differs` anywhere is at most 5 %. `more_runs` says how many more
    runs of the variant *and* the baseline would show a difference of the size seen, four times out of five (missing where none
    is seen, or 10,000 would not do). Judge the new runs alone: a verdict on the
    old and the new runs together is a second look, and both looks together raise a false alarm in about 9 % of cases, not 5 %.
    `left_out` counts values that are no numbers: errors, failed metrics.

    Raises ValueError where there is no baseline, or no such column.

    >>> import pandas as pd
    >>> df = pd.DataFrame({"variant": [0] * 6 + [1] * 6, "good": [False] * 6 + [True] * 6})
    >>> verdict(df, ["good"])[["effect", "differs"]].values.tolist()
    [[1.0, True]]
    """
    names = (
        list(metrics)
        if metrics is not None
        else list(df.attrs.get("metrics") or ()) or [n for n in OWN if n in df.columns]
    )
    lacking = [name for name in names if name not in df.columns]
    if lacking:
        raise ValueError(
            f"no column {lacking[0]!r} in the frame; metrics of one's own are made by rerun(metrics={{...}})"
        )
    numbers = [int(v) for v in sorted(df["variant"].unique())]
    if 0 not in numbers:
        raise ValueError(
            "a verdict needs the model's own noise: rerun(..., baseline=k) also runs the unchanged request k times (as variant 0); "
            "10 is a good k"
        )
    sound = df[df["error"].isna()] if "error" in df.columns else df
    samples = {
        (number, name): _numbers(sound.loc[sound["variant"] == number, name].tolist())
        for number in numbers
        for name in names
    }
    pairs = [(number, name) for number in numbers if number != 0 for name in names]
    shares = {name: all(samples[number, name][1] for number in numbers) for name in names}
    tests = [
        stats.compare_samples(samples[0, name][0], samples[number, name][0], shares=shares[name])
        for number, name in pairs
    ]
    adjusted = stats.holm([test.p for test in tests])
    alpha = stats.ALPHA / max(1, len(tests))
    rows = []
    for (number, name), test, p in zip(pairs, tests, adjusted, strict=True):
        differs = None if math.isnan(p) else p <= stats.ALPHA
        base, values = samples[0, name][0], samples[number, name][0]
        more = None if differs else stats.more_runs(base, values, alpha, shares=shares[name])
        left_out = int((df["variant"] == number).sum()) - len(values)
        rows.append(
            {
                "variant": number, "metric": name, "verdict": _sentence(test, differs, more), "differs": differs,
                "effect": test.effect, "ci_low": test.low, "ci_high": test.high, "p": test.p, "p_adjusted": p, "mean": test.mean,
                "baseline_mean": test.baseline_mean, "runs": test.n, "baseline_runs": test.baseline_n, "left_out": left_out,
                "more_runs": more, "test": test.test,
            }
        )  # fmt: skip
    return build(VERDICT, rows)


def _numbers(values: list[Any]) -> tuple[list[float], bool]:
    """The values that are numbers, and whether all of them are true or false."""
    kept = [
        v
        for v in values
        if isinstance(v, int | float | np.number | np.bool_) and not (isinstance(v, float) and math.isnan(v))
    ]
    return [float(v) for v in kept], all(isinstance(v, bool | np.bool_) for v in kept)


def _sentence(test: stats.Comparison, differs: bool | None, more: int | None) -> str:
    if differs is None:
        return f"too few runs: {test.n}, and {test.baseline_n} of the baseline"
    if differs:
        return f"{'higher' if test.effect > 0 else 'lower'} than noise explains"
    if more is None:
        return "not told apart from noise" if test.effect else "no difference seen"
    if more == 0:
        return "not told apart from noise; a difference of this size would have shown four times out of five"
    return (
        f"not told apart from noise; {more:,} more runs of each would show a difference of this size "
        "(judge the new runs alone: a second look at the same runs finds more false alarms)"
    )
