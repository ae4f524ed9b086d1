"""The picture drawn in Python stands where the page's does: one file of positions, which `js/src/layout/positions.test.ts` writes."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anton_notebook.picture.layout import Layout
from anton_notebook.picture.scale import Spans

CASES: list[dict[str, Any]] = json.loads((Path(__file__).parent / "data" / "positions.json").read_text())
KINDS = {"orchestrator": 0, "agent": 1, "llm": 2, "tool": 3}


def spans_of(case: dict[str, Any]) -> Spans:
    """A case's spans in the arrays that a picture is made of."""
    given = case["spans"]

    def number(name: str) -> list[float]:
        return [math.nan if one[name] is None else one[name] for one in given]

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
        cost=np.zeros(len(given), np.float32),
        ends=case["ends"],
    )


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['name']}, by {case['mode']}")
def test_each_span_stands_where_the_page_puts_it(case: dict[str, Any]) -> None:
    layout = Layout(spans_of(case), case["mode"])
    assert layout.x == pytest.approx(case["x"], abs=0.02)
    assert layout.y == pytest.approx(case["y"], abs=0.02)
    ends = [math.inf if end is None else end for end in case["x1"]]
    assert layout.x1 == pytest.approx(ends, abs=0.02)


def test_a_wrong_rule_is_caught() -> None:
    case = next(one for one in CASES if one["name"] == "calls at the same time" and one["mode"] == "time")
    spans = spans_of(case)
    spans.duration = spans.duration * 0.01
    assert Layout(spans).y != pytest.approx(case["y"], abs=0.02)
