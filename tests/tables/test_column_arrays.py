"""Columns of cached frames: arrays that were given out never change, whatever is appended or patched later."""

from __future__ import annotations

import random

import numpy as np
import pandas as pd
import pytest

from anton_notebook.tables.column_arrays import TEXT, new_column, sparse_texts, text_array, time_array

ALPHABET = ["a", "b", "c", np.nan]


def values(rng: random.Random, kind: str, n: int) -> np.ndarray:
    if kind == "O":
        out = np.empty(n, object)
        out[:] = [rng.choice(ALPHABET) for _ in range(n)]
        return out
    numbers = [rng.choice([0, 1, 2, 3]) for _ in range(n)]
    return np.array([np.nan if v == 3 else v for v in numbers], float) if kind == "f" else np.array(numbers)


@pytest.mark.parametrize("kind", ["i", "f", "O"])
@pytest.mark.parametrize("seed", range(12))
def test_column_equals_plain_array_and_arrays_given_never_change(kind: str, seed: int) -> None:
    rng = random.Random(seed)
    prepare = text_array if kind == "O" else np.asarray
    start = values(rng, kind, rng.randrange(1, 30))
    column, model = new_column("text" if kind == "O" else "number"), start.copy()
    column.fill([prepare(start)])
    given: list[tuple[pd.DataFrame, str]] = []
    for _ in range(120):
        act = rng.random()
        if act < 0.35:
            at = np.array(sorted(rng.sample(range(len(model)), rng.randrange(1, min(4, len(model)) + 1))))
            new = values(rng, kind, len(at))
            column.patch(at, [prepare(new)])
            model[at] = new
        elif act < 0.6:
            new = values(rng, kind, rng.randrange(1, 4))
            column.append([prepare(new)])
            model = np.concatenate([model, new])
        elif act < 0.63:
            at, new = np.array([rng.randrange(len(model) + 1)]), values(rng, kind, 1)
            column.insert(at, [prepare(new)])
            model = np.insert(model, at, new)
        frame = pd.DataFrame({"c": column.array()}, copy=False)
        assert repr(frame["c"].tolist()) == repr(model.tolist())
        given.append((frame, repr(model.tolist())))
        if act > 0.9:  # what a user writes into a frame is in that frame alone
            frame.loc[0, "c"] = "x" if kind == "O" else 7
            given.pop()
        assert all(repr(old["c"].tolist()) == before for old, before in given[-5:])


def test_time_array_is_utc() -> None:
    times = time_array([np.array([0, 1_500_000])])
    assert str(times.dtype) == "datetime64[us, UTC]"
    assert times[1].isoformat() == "1970-01-01T00:00:01.500000+00:00"


def test_sparse_texts_are_missing_elsewhere() -> None:
    texts = sparse_texts(4, {2: "boom", 0: "late"})
    assert texts.dtype == TEXT
    assert pd.Series(texts).fillna("-").tolist() == ["late", "-", "boom", "-"]
    assert pd.isna(sparse_texts(3, {})).all()
