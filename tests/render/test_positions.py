"""The picture drawn in Python stands where the page's does: one file of positions, which `js/src/layout/positions.test.ts` writes."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anton_notebook.render.collapse import LIKE, Folds
from anton_notebook.render.layout import Layout
from anton_notebook.render.scale import Spans

CASES: list[dict[str, Any]] = json.loads((Path(__file__).parents[1] / "data" / "positions.json").read_text())
NONE = 2**32 - 1  # tokens that are unknown, on the wire
KINDS = {"orchestrator": 0, "agent": 1, "llm": 2, "tool": 3}


def spans_of(case: dict[str, Any]) -> Spans:
    """A case's spans in the arrays that a picture is made of."""
    given = case["spans"]

    def number(name: str) -> list[float]:
        return [math.nan if one.get(name) is None else one[name] for one in given]

    return Spans(
        start=np.array(number("start"), np.float64),
        duration=np.array(number("duration"), np.float32),
        status=np.array([one["status"] for one in given], np.uint8),
        kind=np.array([KINDS.get(one["kind"], 4) for one in given], np.int64),
        parent=np.array([-1 if one["parent"] is None else one["parent"] for one in given], np.int64),
        trace=np.array([case["shown"].index(one["trace"]) for one in given], np.int64),
        agents=[one["agent"] for one in given],
        names=[one["name"] for one in given],
        models=[one["model"] for one in given],
        flags=np.zeros(len(given), np.uint8),
        provenance=np.zeros(len(given), np.uint8),
        cost=np.array(number("cost"), np.float32),
        ends=case["ends"],
        classes=[tuple(one[name] for name in ("trace", "kind", "agent", "name", "model")) for one in given],
        tokens=np.array([sum(one[n] for n in ("input", "output") if one[n] != NONE) for one in given], np.int64),
    )


def folds_of(case: dict[str, Any], spans: Spans) -> Folds | None:
    return Folds(spans, case["folding"]["state"]) if "folding" in case else None


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['name']}, by {case['mode']}")
def test_each_span_stands_where_the_page_puts_it(case: dict[str, Any]) -> None:
    spans = spans_of(case)
    layout = Layout(spans, case["mode"], folds_of(case, spans))
    assert layout.x == pytest.approx(case["x"], abs=0.02)
    assert layout.y == pytest.approx(case["y"], abs=0.02)
    ends = [math.inf if end is None else end for end in case["x1"]]
    assert layout.x1 == pytest.approx(ends, abs=0.02)


@pytest.mark.parametrize(
    "case", [case for case in CASES if "folding" in case and case["mode"] == "time"], ids=lambda case: case["name"]
)
def test_what_folds_and_its_sums_are_the_pages(case: dict[str, Any]) -> None:
    folds, known = folds_of(case, spans_of(case)), case["folding"]
    assert folds is not None
    assert np.flatnonzero(folds.hidden).tolist() == known["hidden"]
    found = {slot: (like.count, like.end) for slot, like in folds.likes.items()}
    assert {row: count for row, count, _ in known["likes"]} == {slot: count for slot, (count, _) in found.items()}
    ends = [math.nan if end is None else end for _, _, end in known["likes"]]
    assert [found[row][1] for row, _, _ in known["likes"]] == pytest.approx(ends, nan_ok=True)
    assert all(like.count >= LIKE for like in folds.likes.values())
    for row, sums in known["sums"]:
        mine = folds.sums(row)
        assert (mine.spans, mine.errors, mine.tokens, mine.at_least) == (
            sums["spans"],
            sums["errors"],
            sums["tokens"],
            sums["atLeast"],
        )
        assert mine.cost == pytest.approx(sums["cost"])
    assert {row for row, _ in known["sums"]} == folds.folded


def test_a_wrong_rule_is_caught() -> None:
    case = next(one for one in CASES if one["name"] == "calls at the same time" and one["mode"] == "time")
    spans = spans_of(case)
    spans.duration = spans.duration * 0.01
    assert Layout(spans).y != pytest.approx(case["y"], abs=0.02)
