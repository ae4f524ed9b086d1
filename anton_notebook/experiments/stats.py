"""Statistics of `verdict`: exact tests, confidence intervals, and the number of runs that a difference needs.

Numbers are compared by a permutation test (`scipy.stats.permutation_test`) of the difference of means divided by its standard
error: nothing is assumed about their distribution, a difference in spread alone is not taken for one of means, and the interval
holds all shifts that the same test does not reject. True and false are compared by
Barnard's unconditional exact test with Newcombe's interval. The p values of one verdict are adjusted together (Holm), so that
the chance of any false alarm in a verdict is at most 5 %. scipy is imported when the first comparison is made.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from anton_notebook.model.span import Bool, Float64

ALPHA = 0.05
POWER = 0.8
RESAMPLES = 1999
"""Random permutations; when there are no more than this many, all of them are tried."""
SEED = 20_250_101
MOST_RUNS = 10_000
LARGE = 150
"""Samples of shares up to this size are tested exactly, larger ones by the normal approximation."""
_NORMAL = NormalDist()
Sample = Sequence[float] | Float64 | Bool


@dataclass(frozen=True)
class Comparison:
    """The comparison of one metric: `effect` is the mean of the variant minus that of the baseline."""

    n: int
    baseline_n: int
    mean: float
    baseline_mean: float
    effect: float
    low: float
    high: float
    p: float
    test: str


def compare_samples(baseline: Sample, variant: Sample, *, shares: bool = False) -> Comparison:
    """Test whether two samples differ.

    Args:
        baseline: values of the baseline.
        variant: values of the variant.
        shares: the values are 0 and 1 (false and true).

    >>> result = compare_samples([0, 0, 0, 0, 0, 0], [1, 1, 1, 1, 1, 1], shares=True)
    >>> result.effect, round(result.p, 4)
    (1.0, 0.0005)
    """
    x, y = np.asarray(baseline, float), np.asarray(variant, float)
    n, m = len(x), len(y)
    means = (float(x.mean()) if n else math.nan, float(y.mean()) if m else math.nan)
    effect = means[1] - means[0]
    low = high = p = math.nan
    if n < 2 or m < 2:
        test = "none (fewer than 2 runs)"
    elif shares:
        a, b = int(x.sum()), int(y.sum())
        low, high = newcombe(a, n, b, m)
        exact = max(n, m) <= LARGE
        p = barnard(a, n, b, m) if exact else _score_p(a, n, b, m)
        test = "Barnard's exact test" if exact else "score test of two shares"
    else:
        permutations = Permutations(x, y)
        p = permutations.p_value(0.0)
        low, high = permutations.interval()
        test = f"permutation test ({'exact' if permutations.exact else f'{RESAMPLES:,} permutations'})"
    return Comparison(m, n, means[1], means[0], effect, low, high, p, test)


class Permutations:
    """The permutation test of a difference of means, for any shift of the variant.

    scipy permutes the values together with an indicator of the group. So one set of permutations gives the statistic at every
    shift `s` of the variant: the values become `v - s * i`, whose mean and variance are polynomials in `s`. The statistic is
    studentized (Welch), because a plain difference of means rejects too often if the samples differ in size and spread.
    Reference: A. Janssen, Studentized permutation tests for non-i.i.d. hypotheses, Statistics & Probability Letters 36 (1997).
    """

    def __init__(self, x: Float64, y: Float64) -> None:
        from scipy import stats  # type: ignore[import-untyped]

        self.observed = float(y.mean() - x.mean())
        self.spread = max(float(np.ptp(x)), float(np.ptp(y)))
        self.exact = math.comb(len(x) + len(y), len(x)) <= RESAMPLES
        center = np.concatenate([x, y]).mean()  # means of centered values have smaller rounding errors
        groups = [np.stack([values - center, np.full(len(values), i)]) for i, values in enumerate((x, y))]
        self._error = math.sqrt(max(0.0, float(_moments(groups[0], groups[1], axis=-1)[2])))
        result: Any = stats.permutation_test(
            groups, _moments, n_resamples=RESAMPLES, vectorized=True, axis=-1, rng=np.random.default_rng(SEED)
        )
        self._moments = result.null_distribution.T

    def p_value(self, shift: float) -> float:
        """The two-sided p value of the hypothesis that the variant is shifted by `shift`."""
        values, indicators, variance, covariance, indicator_variance = self._moments
        error = np.sqrt(np.maximum(variance - 2 * shift * covariance + shift**2 * indicator_variance, 0))
        statistic = _ratio(np.abs(values - shift * indicators), error, self._scale(shift))
        bar = float(_ratio(np.abs(self.observed - shift), np.asarray(self._error), self._scale(shift)))
        extreme = int((statistic >= bar * (1 - 1e-9) - 1e-9).sum())
        count, real = len(statistic), 0 if self.exact else 1  # random permutations do not include the recorded one
        return (extreme + real) / (count + real)

    def _scale(self, shift: float) -> float:
        """The size of the values, against which differences are rounding errors."""
        return max(self.spread, abs(self.observed), abs(shift))

    def interval(self) -> tuple[float, float]:
        """All shifts that the test does not reject at 5 %."""
        if self.spread == 0:
            return self.observed, self.observed
        if self.p_value(self.observed + 1e6 * self.spread) > ALPHA:
            return -math.inf, math.inf  # too few runs to reject anything
        return self._end(-1.0), self._end(1.0)

    def _end(self, side: float) -> float:
        inside, outside = 0.0, self.spread
        while self.p_value(self.observed + side * outside) > ALPHA:
            inside, outside = outside, 2 * outside
        for _ in range(30):
            middle = (inside + outside) / 2
            if self.p_value(self.observed + side * middle) > ALPHA:
                inside = middle
            else:
                outside = middle
        return self.observed + side * outside


def _moments(x: Any, y: Any, axis: int) -> Any:
    """Differences of the means of values and indicators, and the squared standard errors of that of the values at any shift."""
    difference = y.mean(axis=axis) - x.mean(axis=axis)
    errors = []
    for sample in (x, y):
        centered = sample - sample.mean(axis=axis, keepdims=True)
        values, indicators = centered[..., 0, :], centered[..., 1, :]
        count = sample.shape[axis]
        products = [
            (one * two).sum(axis=-1) for one, two in ((values, values), (values, indicators), (indicators, indicators))
        ]
        errors.append(np.stack(products, axis=-1) / (count * (count - 1)))
    return np.concatenate([difference, errors[0] + errors[1]], axis=-1)


def _ratio(difference: Any, error: Any, scale: float) -> Any:
    """The difference in standard errors; without any spread it is 0 or infinite."""
    tiny = 1e-9 * scale
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = difference / error
    return np.where(error > tiny, ratio, np.where(difference > tiny, np.inf, 0.0))


def barnard(a: int, n: int, b: int, m: int) -> float:
    """Barnard's exact two-sided p value of the shares a of n and b of m.

    >>> round(barnard(0, 5, 5, 5), 4)
    0.002
    """
    if a * m == b * n:  # equal shares: scipy divides by zero when all values are equal
        return 1.0
    from scipy import stats

    result: Any = stats.barnard_exact([[a, b], [n - a, m - b]])
    return float(result.pvalue)


def newcombe(a: int, n: int, b: int, m: int) -> tuple[float, float]:
    """Newcombe's 95 % interval for the share b of m minus the share a of n, from Wilson's intervals."""
    from scipy import stats

    p, q = a / n, b / m
    baseline, variant = (stats.binomtest(k, size).proportion_ci(1 - ALPHA, "wilson") for k, size in ((a, n), (b, m)))
    low = q - p - math.hypot(q - variant.low, baseline.high - p)
    high = q - p + math.hypot(variant.high - q, p - baseline.low)
    return float(low), float(high)


def _score_p(a: int, n: int, b: int, m: int) -> float:
    pooled = (a + b) / (n + m)
    deviation = math.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
    return 1.0 if deviation == 0 else 2 * _NORMAL.cdf(-abs(b / m - a / n) / deviation)


def holm(p: Sequence[float]) -> list[float]:
    """Adjust p values for their number (Holm's method). NaN stays NaN and does not count.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    known = sorted((value, i) for i, value in enumerate(p) if not math.isnan(value))
    out = [math.nan] * len(p)
    highest = 0.0
    for rank, (value, i) in enumerate(known):
        highest = max(highest, min(1.0, value * (len(known) - rank)))
        out[i] = highest
    return out


def more_runs(baseline: Sample, variant: Sample, alpha: float = ALPHA, *, shares: bool = False) -> int | None:
    """The number of further runs of each that show a difference of the observed size with a power of 80 %.

    None if no difference was observed or if 10,000 runs would not be enough.
    """
    x, y = np.asarray(baseline, float), np.asarray(variant, float)
    n, m = len(x), len(y)
    if min(n, m) < 2:
        return 2 - min(n, m)
    alarm, power = _NORMAL.inv_cdf(1 - alpha / 2), _NORMAL.inv_cdf(POWER)
    if shares:
        # shrunk towards one half, so that 0 of 3 does not mean never
        p, q = (float(x.sum()) + 0.5) / (n + 1), (float(y.sum()) + 0.5) / (m + 1)
        both = (p + q) / 2
        effect, spread = q - p, alarm * math.sqrt(2 * both * (1 - both)) + power * math.sqrt(p * (1 - p) + q * (1 - q))
    else:
        effect = float(y.mean() - x.mean())
        spread = (alarm + power) * math.sqrt(float(x.var(ddof=1) + y.var(ddof=1)))
    if abs(effect) < 1e-12:
        return None
    needed = math.ceil((spread / effect) ** 2) + 1
    while needed < 60 and 2 / math.comb(2 * needed, needed) > alpha:
        needed += 1  # with fewer runs no result is significant
    if needed > MOST_RUNS:
        return None
    return max(0, needed - min(n, m))
