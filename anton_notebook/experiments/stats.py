"""Is a variant better than the model's own noise? Exact tests, an interval for the effect, and how many more runs would tell.

Numbers: a permutation test of the difference of means. Every way (or 10,000 random ways, always the same) of dealing the
answers into two groups is tried; `p` is the share that differs as much. Nothing is assumed about how the numbers are
distributed. The interval holds the shifts that the same test does not refuse. True or false: Barnard's unconditional exact
test of two shares, the interval is Newcombe's. `p` values of one verdict are adjusted together (Holm), so that the chance of
*any* false alarm in a whole verdict is at most 5 %.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from statistics import NormalDist

import numpy as np

from anton_notebook.model.span import Bool, Float64

ALPHA = 0.05
POWER = 0.8
DEALS = 9_999
CELLS = 4_000_000
MOST_RUNS = 10_000
LARGE = 150
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
    """Tests whether two samples differ. `shares`: they are 0 and 1 (false and true).

    >>> found = compare_samples([0, 0, 0, 0, 0, 0], [1, 1, 1, 1, 1, 1], shares=True)
    >>> found.effect, round(found.p, 4)
    (1.0, 0.0005)
    """
    x, y = np.asarray(baseline, float), np.asarray(variant, float)
    n, m = len(x), len(y)
    means = (float(x.mean()) if n else math.nan, float(y.mean()) if m else math.nan)
    effect = means[1] - means[0]
    if n < 2 or m < 2:
        return Comparison(m, n, means[1], means[0], effect, math.nan, math.nan, math.nan, "none (fewer than 2 runs)")
    if shares:
        a, b = int(x.sum()), int(y.sum())
        low, high = newcombe(a, n, b, m)
        if max(n, m) <= LARGE:
            return Comparison(m, n, means[1], means[0], effect, low, high, barnard(a, n, b, m), "Barnard's exact test")
        return Comparison(m, n, means[1], means[0], effect, low, high, _score_p(a, n, b, m), "score test of two shares")
    deals, exact = _deals(n, m)
    p = _permutation_p(x, y, deals, 0.0)
    low, high = _interval(x, y, deals)
    return Comparison(
        m,
        n,
        means[1],
        means[0],
        effect,
        low,
        high,
        p,
        f"permutation test ({'exact' if exact else f'{len(deals):,} deals'})",
    )


# -- numbers


@lru_cache(64)
def _deals(n: int, m: int) -> tuple[Bool, bool]:
    """Ways to deal n + m answers: rows of True where an answer goes to the variant. The real deal is the first."""
    total = n + m
    if math.comb(total, m) <= DEALS:
        chosen = np.array(list(combinations(range(total), m)))
        deals = np.zeros((len(chosen), total), bool)
        deals[np.arange(len(chosen))[:, None], chosen] = True
        return deals, True
    rng = np.random.default_rng(20_250_101)
    order = np.argsort(rng.random((min(DEALS, max(999, CELLS // total)), total)), axis=1)
    deals = order < m
    real = np.zeros((1, total), bool)
    real[0, n:] = True
    return np.concatenate([real, deals]), False


def _parts(x: Float64, y: Float64, deals: Bool) -> tuple[Float64, Float64]:
    """For each deal the difference of means at shift 0, and how much it falls for each unit of shift."""
    n, m = len(x), len(y)
    pooled = np.concatenate([x, y])
    centre = pooled.mean()  # differences of means do not change, rounding errors do
    weights = deals.astype(float) * (1 / m + 1 / n) - 1 / n
    own = np.concatenate([np.zeros(n), np.ones(m)])
    return weights @ (pooled - centre), weights @ own


def _share(at_zero: Float64, slope: Float64, observed: float, shift: float) -> float:
    statistic = np.abs(at_zero - shift * slope)
    bar = abs(observed - shift)
    return float(np.mean(statistic >= bar - 1e-9 * (1 + bar)))


def _permutation_p(x: Float64, y: Float64, deals: Bool, shift: float) -> float:
    at_zero, slope = _parts(x, y, deals)
    return _share(at_zero, slope, float(y.mean() - x.mean()), shift)


def _interval(x: Float64, y: Float64, deals: Bool) -> tuple[float, float]:
    """All shifts of the variant that the test does not refuse at 5 %."""
    observed = float(y.mean() - x.mean())
    spread = max(float(x.max() - x.min()), float(y.max() - y.min()))
    if spread == 0:
        return observed, observed
    at_zero, slope = _parts(x, y, deals)
    if _share(at_zero, slope, observed, observed + 1e6 * spread) > ALPHA:
        return -math.inf, math.inf  # too few runs to refuse anything
    ends = []
    for side in (-1.0, 1.0):
        inside, step = 0.0, spread
        while _share(at_zero, slope, observed, observed + side * step) > ALPHA:
            inside, step = step, 2 * step
        for _ in range(30):
            middle = (inside + step) / 2
            if _share(at_zero, slope, observed, observed + side * middle) > ALPHA:
                inside = middle
            else:
                step = middle
        ends.append(observed + side * step)
    return ends[0], ends[1]


# -- shares


def _score(a: Float64, n: int, b: Float64, m: int) -> Float64:
    pooled = (a + b) / (n + m)
    variance = pooled * (1 - pooled) * (1 / n + 1 / m)
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.abs(b / m - a / n) / np.sqrt(variance)
    found: Float64 = np.where(variance > 0, z, 0.0)
    return found


def _score_p(a: int, n: int, b: int, m: int) -> float:
    z = float(_score(np.array([float(a)]), n, np.array([float(b)]), m)[0])
    return 2 * (1 - _NORMAL.cdf(z))


@lru_cache(4096)
def barnard(a: int, n: int, b: int, m: int) -> float:
    """Barnard's exact p of a of n against b of m: the worst case over all shares that both might have.

    >>> round(barnard(0, 5, 5, 5), 4)
    0.002
    """
    xs, ys = np.arange(n + 1.0)[:, None], np.arange(m + 1.0)[None, :]
    observed = _score(np.array([float(a)]), n, np.array([float(b)]), m)[0]
    extreme = _score(xs, n, ys, m) >= observed - 1e-9
    shares = np.linspace(0.001, 0.999, 333)[:, None]
    worst = np.einsum("gi,ij,gj->g", _binomial(n, shares), extreme.astype(float), _binomial(m, shares), optimize=True)
    return min(1.0, float(worst.max()))


def _binomial(n: int, shares: Float64) -> Float64:
    k = np.arange(n + 1)
    ways = np.array([math.lgamma(n + 1) - math.lgamma(i + 1) - math.lgamma(n - i + 1) for i in k])
    found: Float64 = np.exp(ways + k * np.log(shares) + (n - k) * np.log1p(-shares))
    return found


def wilson(a: int, n: int, level: float = 1 - ALPHA) -> tuple[float, float]:
    """Wilson's interval for a share of a in n."""
    z = _NORMAL.inv_cdf((1 + level) / 2)
    share, z2 = a / n, z * z
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = z / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def newcombe(a: int, n: int, b: int, m: int) -> tuple[float, float]:
    """Newcombe's 95 % interval for the share b of m minus the share a of n."""
    p, q = a / n, b / m
    low_a, high_a = wilson(a, n)
    low_b, high_b = wilson(b, m)
    effect = q - p
    return effect - math.hypot(q - low_b, high_a - p), effect + math.hypot(high_b - q, p - low_a)


# -- several at once, and how many more


def holm(p: Sequence[float]) -> list[float]:
    """The p values adjusted for there being so many of them; NaN stays and does not count.

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
    """How many more runs of each would show a difference as large as the one seen, four times out of five.

    `None` where none is seen, where fewer than two runs of each say anything, or where 10,000 would not do.
    """
    x, y = np.asarray(baseline, float), np.asarray(variant, float)
    n, m = len(x), len(y)
    if min(n, m) < 2:
        return 2 - min(n, m)
    alarm, power = _NORMAL.inv_cdf(1 - alpha / 2), _NORMAL.inv_cdf(POWER)
    if shares:
        # shrunk towards one half, so that 0 of 3 is not taken for never
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
        needed += 1  # so few can never be beyond chance, whatever they are
    if needed > MOST_RUNS:
        return None
    return max(0, needed - min(n, m))
