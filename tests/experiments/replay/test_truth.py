"""Replays beside the truth: programs are run with the change, and what the replay claims is compared with what they did."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.experiments.replay.families import ALL
from tests.experiments.replay.judge import judged

SEEDS = st.integers(0, 2**32)


@settings(max_examples=40)
@given(SEEDS)
def test_nothing_is_wrong_on_programs_that_only_copy(seed: int) -> None:
    found = judged("copying", seed, others=seed % 3)
    assert not found.errors
    assert found.asked == found.due


@pytest.mark.parametrize("family", [name for name in ALL if name != "copying"])
@settings(max_examples=6)
@given(seed=SEEDS)
def test_R8_executed_and_reused_are_never_wrong(family: str, seed: int) -> None:
    found = judged(family, seed, others=seed % 3)
    assert not found.wrong["executed"], found.errors
    assert not found.wrong["reused"], found.errors
    assert found.asked == found.due
