"""The verdict: right about known cases, rarely wrong about noise, and able to see what is there."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
import pytest

from anton_notebook.experiments.stats import barnard, compare_samples, holm, more_runs, newcombe
from anton_notebook.experiments.verdict import VERDICT, verdict

ROUNDS = 200
_barnard = lru_cache(barnard)


def margin(rate: float, rounds: int = ROUNDS) -> float:
    """Three standard errors of a measured rate."""
    return 3 * math.sqrt(rate * (1 - rate) / rounds)


NOISES: dict[str, Callable[[np.random.Generator, int], Any]] = {
    "normal": lambda rng, n: rng.normal(size=n), "skewed": lambda rng, n: rng.lognormal(sigma=1.5, size=n),
    "heavy tails": lambda rng, n: rng.standard_t(2, size=n), "whole numbers": lambda rng, n: rng.poisson(2, n),
    "mostly equal": lambda rng, n: (rng.random(n) < 0.2) * rng.random(n),
}  # fmt: skip


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize(("n", "m"), [(5, 5), (12, 8), (10, 30)])
def test_noise_is_taken_for_a_difference_in_at_most_a_twentieth_of_all_cases(noise: str, n: int, m: int) -> None:
    rng = np.random.default_rng(7 * n + m)
    found = [compare_samples(NOISES[noise](rng, n), NOISES[noise](rng, m)) for _ in range(ROUNDS)]
    assert np.mean([test.p <= 0.05 for test in found]) <= 0.05 + margin(0.05)
    assert np.mean([test.low <= 0 <= test.high for test in found]) >= 0.95 - margin(0.05)
    assert all((test.p > 0.05) == (test.low < 0 < test.high) for test in found if test.low != test.high), (
        "test and interval agree"
    )


@pytest.mark.parametrize(("n", "m", "spread"), [(5, 20, 5), (20, 5, 5), (10, 30, 4), (12, 12, 6)])
def test_verdict_takes_no_difference_in_spread_for_one_of_means(n: int, m: int, spread: float) -> None:
    rng = np.random.default_rng(n)
    alarms = [compare_samples(rng.normal(size=n) * spread, rng.normal(size=m)).p <= 0.05 for _ in range(ROUNDS)]
    assert np.mean(alarms) <= 0.05 + margin(0.05)


def test_verdict_on_the_new_runs_alone_keeps_its_rate_of_alarms() -> None:
    """Following `more_runs` on noise: the verdict on the new runs alone, as the sentence says."""
    rng = np.random.default_rng(9)
    alarms = []
    for _ in range(ROUNDS):
        x, y = rng.normal(size=8), rng.normal(size=8)
        more = more_runs(x, y)
        if compare_samples(x, y).p > 0.05 and more and more <= 100:
            alarms.append(compare_samples(rng.normal(size=more), rng.normal(size=more)).p <= 0.05)
    assert len(alarms) > 50
    assert np.mean(alarms) <= 0.05 + margin(0.05, len(alarms))


def test_verdict_says_that_more_runs_are_judged_alone() -> None:
    rng = np.random.default_rng(3)
    rows = verdict(frame(rng, 8, variants=3, metrics=3))
    sentences = rows.loc[rows["more_runs"].fillna(0) > 0, "verdict"]
    assert len(sentences)
    assert sentences.str.contains("judge the new runs alone").all()


@pytest.mark.parametrize("share", [0.05, 0.3, 0.5, 0.9])
@pytest.mark.parametrize(("n", "m"), [(5, 5), (8, 12)])
def test_shares_are_taken_for_different_in_at_most_a_twentieth_of_all_cases(share: float, n: int, m: int) -> None:
    """Not simulated: the probability of every table in which the test says so, added up."""
    ways = [[math.comb(k, i) * share**i * (1 - share) ** (k - i) for i in range(k + 1)] for k in (n, m)]
    alarm = sum(ways[0][a] * ways[1][b] for a in range(n + 1) for b in range(m + 1) if _barnard(a, n, b, m) <= 0.05)
    assert alarm <= 0.05


def frame(rng: np.random.Generator, n: int, variants: int, metrics: int, shift: float = 0.0) -> pd.DataFrame:
    numbers = np.repeat(np.arange(variants + 1), n)
    columns = {f"m{i}": rng.normal(size=len(numbers)) + shift * (numbers == 1) * (i == 0) for i in range(metrics)}
    df = pd.DataFrame({"variant": numbers, "error": None, **columns})
    df.attrs["metrics"] = list(columns)
    return df


def test_a_whole_verdict_on_noise_says_differs_anywhere_in_at_most_a_twentieth_of_all_cases() -> None:
    rng = np.random.default_rng(5)
    rounds = 200
    wrong = [bool((verdict(frame(rng, 8, variants=3, metrics=3))["differs"] == True).any()) for _ in range(rounds)]  # noqa: E712
    assert np.mean(wrong) <= 0.05 + margin(0.05, rounds)


@pytest.mark.parametrize(("n", "effect", "power"), [(10, 1.5, 0.85), (20, 1.0, 0.8), (30, 1.0, 0.9), (10, 3.0, 0.99)])
def test_what_is_there_is_seen(n: int, effect: float, power: float) -> None:
    rng = np.random.default_rng(n)
    rounds = 300
    seen = [compare_samples(rng.normal(size=n), rng.normal(size=n) + effect).p <= 0.05 for _ in range(rounds)]
    assert np.mean(seen) >= power - margin(power, rounds)


@pytest.mark.parametrize(("n", "p", "q", "power"), [(10, 0.2, 0.8, 0.75), (20, 0.2, 0.8, 0.95), (40, 0.5, 0.8, 0.75)])
def test_a_difference_of_shares_is_seen(n: int, p: float, q: float, power: float) -> None:
    rng = np.random.default_rng(n)
    rounds = 400
    seen = [compare_samples(rng.random(n) < p, rng.random(n) < q, shares=True).p <= 0.05 for _ in range(rounds)]
    assert np.mean(seen) >= power - margin(power, rounds)


@pytest.mark.parametrize(("effect", "shares"), [(0.8, False), (1.5, False), (0.5, True)])
def test_as_many_more_runs_as_it_says_do_settle_it(effect: float, shares: bool) -> None:
    """Told from a large pilot (so that the effect is known well), the promised power is reached."""
    rng = np.random.default_rng(11)

    def draw(n: int, shift: float) -> Any:
        return (rng.random(n) < 0.25 + shift).astype(float) if shares else rng.normal(size=n) + shift

    more = more_runs(draw(20_000, 0), draw(20_000, effect), shares=shares)
    assert more == 0
    pilot = draw(4000, 0), draw(4000, effect)
    needed = next(n for n in range(2, 200) if _needed(pilot, n, shares) == 0)
    seen = [compare_samples(draw(needed, 0), draw(needed, effect), shares=shares).p <= 0.05 for _ in range(400)]
    assert 0.72 <= np.mean(seen) <= 0.97


def _needed(pilot: tuple[Any, Any], n: int, shares: bool) -> int | None:
    """More runs that n runs with exactly the pilot's mean and spread would be told to make."""
    base, other = (_shrunk(sample, n, shares) for sample in pilot)
    return more_runs(base, other, shares=shares)


def _shrunk(sample: Any, n: int, shares: bool) -> list[float]:
    if shares:
        ones = round(float(np.mean(sample)) * n)
        return [1.0] * ones + [0.0] * (n - ones)
    wave = np.array([(-1.0) ** i for i in range(n)])
    wave = (wave - wave.mean()) / wave.std(ddof=1)
    return (wave * np.std(sample, ddof=1) + np.mean(sample)).tolist()  # type: ignore[no-any-return]


def test_known_values() -> None:
    assert barnard(0, 5, 5, 5) == pytest.approx(2 / 1024, rel=1e-3)
    assert barnard(3, 3, 0, 3) == pytest.approx(2 / 64, rel=1e-3)
    assert newcombe(48, 80, 56, 70) == pytest.approx(
        (0.0524, 0.3339), abs=1e-4
    )  # Newcombe 1998, method 10, example (a)
    assert compare_samples([1, 2, 3, 4, 5], [11, 12, 13, 14, 15]).p == pytest.approx(2 / 252)
    assert holm([0.01, 0.04, 0.03, math.nan])[:3] == pytest.approx([0.03, 0.06, 0.06])


def test_nothing_differs_from_itself() -> None:
    test = compare_samples([2, 2, 2, 2], [2, 2, 2, 2])
    assert (test.p, test.effect, test.low, test.high) == (1.0, 0.0, 0.0, 0.0)
    assert more_runs([2, 2, 2], [2, 2, 2]) is None


def test_three_against_three_can_never_be_more_than_chance_and_says_so() -> None:
    test = compare_samples([1, 2, 3], [101, 102, 103])
    assert test.p == 0.1 and (test.low, test.high) == (-math.inf, math.inf)
    assert more_runs([1, 2, 3], [101, 102, 103]) == 1


def test_a_verdict_says_everything_about_each_metric() -> None:
    rng = np.random.default_rng(2)
    df = frame(rng, 12, variants=2, metrics=2, shift=4.0)
    found = verdict(df)
    assert list(found.columns) == list(VERDICT) and len(found) == 4
    first = found.iloc[0]
    assert first["differs"] is True and first["verdict"] == "higher than noise explains" and first["ci_low"] > 2
    assert pd.isna(first["more_runs"]) and first["runs"] == first["baseline_runs"] == 12
    assert list(found["differs"])[1:] == [False] * 3 and found["test"].str.contains("permutation").all()


def test_true_and_false_are_tested_as_shares_and_what_is_no_number_is_left_out() -> None:
    df = pd.DataFrame(
        {
            "variant": [0] * 10 + [1] * 10, "error": [None] * 19 + ["budget"], "ok": [False] * 10 + [True] * 10,
            "odd": [1.0] * 18 + ["ZeroDivisionError: x", 1.0],
        }
    )  # fmt: skip
    found = verdict(df, ["ok", "odd"]).set_index("metric")
    assert found.loc["ok", "test"] == "Barnard's exact test" and found.loc["ok", "differs"] is True
    assert found.loc["ok", "runs"] == 9 and found.loc["ok", "left_out"] == 1 and found.loc["odd", "left_out"] == 2


def test_without_a_baseline_or_a_metric_the_error_says_what_to_do() -> None:
    df = pd.DataFrame({"variant": [1, 1], "error": [None, None], "similarity": [0.5, 0.4], "output_tokens": [1, 2]})
    with pytest.raises(ValueError, match="baseline=k"):
        verdict(df)
    with pytest.raises(ValueError, match="'nice'"):
        verdict(df, ["nice"])
    assert verdict(pd.concat([df.assign(variant=0), df]))["metric"].tolist() == ["similarity", "output_tokens"]


def test_too_few_runs_are_called_that() -> None:
    df = pd.DataFrame({"variant": [0, 1], "error": [None, None], "m": [1.0, 2.0]})
    found = verdict(df, ["m"]).iloc[0]
    assert found["differs"] is None and "too few" in found["verdict"] and found["more_runs"] == 1
