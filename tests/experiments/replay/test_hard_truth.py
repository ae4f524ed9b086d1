"""Claims of a replay beside the truth on programs and recorders that mislead it; the kinds are in `hard_families`."""

from __future__ import annotations

import pytest

from tests.experiments.replay.hard_families import HARD
from tests.experiments.replay.hard_judge import judge_family
from tests.experiments.replay.judge import Judged

RUNS = 6


def total(families: list[str], runs: int = RUNS, start: int = 0) -> Judged:
    judged = Judged()
    for family in families:
        for seed in range(start, start + runs):
            judged.add(judge_family(family, seed))
    return judged


@pytest.mark.parametrize("family", HARD)
def test_replay_reused_and_executed_are_never_wrong(family: str) -> None:
    judged = total([family])
    assert not judged.wrong["reused"], judged.errors
    assert not judged.wrong["executed"], judged.errors


def test_replay_inferred_is_wrong_at_most_once_in_200() -> None:
    judged = total(list(HARD), runs=4, start=300)
    claims = judged.right["inferred"] + judged.wrong["inferred"]
    assert claims >= 40
    assert judged.wrong["inferred"] <= 0.005 * claims, judged.errors


def test_replay_reaches_plain_loops() -> None:
    judged = total(["loops", "repeated calls", "white space"], runs=15)
    assert judged.right["inferred"] >= 15
    assert judged.right["reused"] >= 60


REPLAY = "anton_notebook.experiments.replay"
BROKEN: dict[str, dict[str, object]] = {
    "skewed hosts": {f"{REPLAY}.clock._several_hosts": lambda recording: None, f"{REPLAY}.clock.repeats_answer": lambda *_: False,
                     f"{REPLAY}.clock._lines_out_of_order": lambda *_: None, f"{REPLAY}.dependencies.repeats_answer": lambda *_: False},
    "whole seconds, exact durations": {f"{REPLAY}.clock._coarsest": lambda groups: 1, f"{REPLAY}.clock.repeats_answer": lambda *_: False,
                      f"{REPLAY}.dependencies.repeats_answer": lambda *_: False, f"{REPLAY}.clock.SLACK_US": 0},
    "stream": {f"{REPLAY}.dependencies.available_us": lambda node: node.end},
    "polling tool": {f"{REPLAY}.dependencies.may_wait": lambda name: False},
    "race of drafts": {f"{REPLAY}.dependencies.Dependencies._independent_while_running": lambda *_: True},
    "steps left": {f"{REPLAY}.structure.Structure.next_turn_problem": lambda *_: None},
    "files": {f"{REPLAY}.tool_steps.reads_only": lambda name: True},
}  # fmt: skip
"""Checks of a replay, taken out by family; each has to show as a wrong claim."""


@pytest.mark.parametrize("family", BROKEN)
def test_judge_catches_a_replay_without_the_check(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in BROKEN[family].items():
        monkeypatch.setattr(name, value)
    caught = 0
    for seed in range(60):
        try:
            judged = judge_family(family, seed)
        except (KeyError, AssertionError, ValueError, AttributeError):  # nonsense instead of a claim
            caught += 1
            continue
        caught += sum(judged.wrong.values())
    assert caught


@pytest.mark.nightly
def test_replay_claims_hold_over_many_programs() -> None:
    judged = total(list(HARD), runs=100, start=10_000)
    claims = judged.right["inferred"] + judged.wrong["inferred"]
    assert not judged.wrong["reused"], judged.errors
    assert not judged.wrong["executed"], judged.errors
    assert judged.wrong["inferred"] <= 0.005 * claims, judged.errors
