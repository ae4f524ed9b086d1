"""The columns of frames: what was handed out stays as it was, whatever is added and set afterwards."""

from __future__ import annotations

import random

import numpy as np
import pytest

from anton_notebook.tables.column_buffer import Buffer, time

ALPHABET = ["a", "b", "c", np.nan]


def values(rng: random.Random, kind: str, n: int) -> np.ndarray:
    if kind == "O":
        out = np.empty(n, object)
        out[:] = [rng.choice(ALPHABET) for _ in range(n)]
        return out
    numbers = [rng.choice([0, 1, 2, 3]) for _ in range(n)]
    return np.array([np.nan if v == 3 else v for v in numbers], float) if kind == "f" else np.array(numbers)


def same(one: np.ndarray, other: np.ndarray) -> bool:
    return repr(one.tolist()) == repr(other.tolist())


@pytest.mark.parametrize("kind", ["i", "f", "O"])
@pytest.mark.parametrize("seed", range(12))
def test_views_never_change_and_the_buffer_is_what_a_plain_array_would_be(kind: str, seed: int) -> None:
    rng = random.Random(seed)
    start = values(rng, kind, rng.randrange(1, 30))
    buffer, model = Buffer(start.copy()), start.copy()
    held: list[tuple[np.ndarray, np.ndarray]] = []
    for _ in range(200):
        act = rng.random()
        if act < 0.35:
            at = np.array(sorted(rng.sample(range(len(model)), rng.randrange(1, min(4, len(model)) + 1))))
            new = values(rng, kind, len(at))
            buffer.patch(at, new)
            model[at] = new
        elif act < 0.6:
            new = values(rng, kind, rng.randrange(1, 4))
            buffer.append(new)
            model = np.concatenate([model, new])
        elif act < 0.63:
            at, new = np.array([rng.randrange(len(model) + 1)]), values(rng, kind, 1)
            buffer.insert(at, new)
            model = np.insert(model, at, new)
        elif act < 0.85:
            view = buffer.view[rng.randrange(2) :]  # a view of a view
            held.append((view, view.copy()))
        elif held:
            held.pop(rng.randrange(len(held)))
        assert same(buffer.view, model)
        assert all(same(view, before) for view, before in held)


def test_an_array_that_nobody_looks_at_any_more_is_used_again() -> None:
    buffer = Buffer(np.arange(1000))
    seen = []
    for i in range(10):
        view = buffer.view
        buffer.patch(np.array([0]), np.array([i + 5000]))
        seen.append(id(view.base))
    assert len(set(seen)) == 2


def test_times_are_utc_and_not_copied() -> None:
    micros = np.array([0, 1_500_000])
    found = time([micros])
    assert str(found.dtype) == "datetime64[us, UTC]" and found[1].isoformat() == "1970-01-01T00:00:01.500000+00:00"
    assert np.shares_memory(found.asi8, micros)
