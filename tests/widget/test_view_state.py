"""`to_svg` writes what a page shows: its window, what is folded there, what fades, and what colour and size stand for."""

from __future__ import annotations

import re
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from anton_notebook.widget.trace_graph import TraceGraph
from tests.widget.conftest import line
from tests.widget.fakes import Client

NS = "{http://www.w3.org/2000/svg}"
MINUTE = 60_000


@pytest.fixture
def graph(tmp_path: Path) -> Iterator[TraceGraph]:
    """An orchestrator, two agents; the first calls `t00` to `t19`, a minute each, the second twelve times `read`."""

    def at(minute: int) -> str:
        return f"2026-11-23T{1 + minute // 60:02d}:{minute % 60:02d}:00.000Z"

    lines = [
        line("root", span_type="orchestrator", agent_name="o", timestamp=at(0), duration_ms=45.0 * MINUTE),
        line("one", span_type="agent", agent_name="one", parent_id="root", timestamp=at(0), duration_ms=25.0 * MINUTE),
        line("two", span_type="agent", agent_name="two", parent_id="root", timestamp=at(25), duration_ms=20.0 * MINUTE),
    ]

    def tool(name: str, agent: str, minute: int, span_id: str, **more: Any) -> bytes:
        looks = {"span_type": "tool", "tool_name": name, "agent_name": agent, "parent_id": agent}
        return line(span_id, timestamp=at(minute), duration_ms=0.9 * MINUTE, **looks, **more)

    lines += [tool(f"t{i:02d}", "one", i, f"t{i:02d}") for i in range(20)]
    lines += [line("ask", agent_name="one", parent_id="one", timestamp=at(21), duration_ms=1.0 * MINUTE, cost_usd=0.5)]
    lines += [tool("fails", "one", 23, "fails", error="exit code 1")]
    lines += [tool("read", "two", 26 + i, f"r{i:02d}") for i in range(12)]
    (tmp_path / "a.jsonl").write_bytes(b"".join(lines))
    with TraceGraph(tmp_path) as made:
        yield made


def texts(svg: str) -> list[str]:
    """What is written inside the window."""
    root = ET.fromstring(svg)
    window = root.find(f"{NS}svg")
    assert window is not None
    wide, high = float(window.attrib["width"]), float(window.attrib["height"])
    inside = [
        text
        for text in window.iter(f"{NS}text")
        if 0 <= float(text.get("x", "0")) <= wide and 0 <= float(text.get("y", "0")) <= high
    ]
    return [text.text or "" for text in inside]


def tools(svg: str) -> set[str]:
    return {text for text in texts(svg) if re.fullmatch(r"t\d\d", text)}


def look(graph: TraceGraph, **more: Any) -> None:
    """A page says that it looks at `t10`, in the middle of eight minutes."""
    row = graph.traces.span("t10").row
    middle = {"mode": "time", "row": row, "x": 400.0, "y": 200.0, "pace": 100 / MINUTE, "ky": 1.0, "room": 1.0}
    graph.set_state({"_camera": middle | {"width": 800.0, "height": 400.0} | more})


def far(graph: TraceGraph) -> None:
    """A page that looks at all of it, near enough for nodes."""
    one = graph.traces.span("one").row
    look(graph, row=one, x=50.0, y=150.0, pace=28 / MINUTE, room=0.31, ky=0.5, width=1500.0, height=500.0)


def test_without_a_page_it_is_the_whole_run(graph: TraceGraph) -> None:
    drawn = graph.to_svg()
    assert drawn == graph.to_svg(view="all")
    assert drawn == graph.to_svg(width=960)
    assert 'width="960"' in drawn
    with pytest.raises(ValueError, match="'seen'.*'all'"):
        graph.to_svg(view="half")


def test_a_pages_window_is_the_picture_and_the_whole_is_there_for_the_asking(graph: TraceGraph) -> None:
    whole = graph.to_svg()
    still = graph._still_html()
    look(graph)
    seen = graph.to_svg()
    assert tools(seen) == {f"t{i:02d}" for i in range(6, 14 + 1)}
    assert 'width="800"' in seen
    assert tools(graph.to_svg(width=1600)) == tools(seen)
    assert graph.to_svg(view="all") == whole
    assert graph._still_html() == still, "what a saved notebook shows is the whole run"


def test_a_place_that_is_none_is_the_whole_run(graph: TraceGraph) -> None:
    for wrong in (
        {"pace": 0}, {"ky": -1}, {"row": 10_000}, {"row": True}, {"width": 1e9}, {"x": "1"},
        {"mode": "order"}, {"mode": 3}, {"ky": None},
    ):  # fmt: skip
        look(graph, **wrong)
        root = ET.fromstring(graph.to_svg())
        assert root.attrib["width"] == "960", wrong
        assert "nan" not in graph.to_svg()


def test_what_is_folded_is_one_mark_with_its_sums(graph: TraceGraph) -> None:
    far(graph)
    words = texts(graph.to_svg())
    assert "read × 12 · 11 min 54 s" in words, "like calls fold by themselves"
    assert len(tools(graph.to_svg(width=3000))) == 20
    graph.set_state({"_folded": [graph.traces.span("one").row]})
    words = texts(graph.to_svg())
    assert not tools(graph.to_svg(width=3000))
    assert "one · 22 spans · $0.00045 · 25 min 0 s" in words
    assert "!" in texts(graph.to_svg(width=3000)), "a failure under a folded node is told"
    graph.set_state({"_folded": [-1 - graph.traces.span("r00").row]})
    look(graph, row=graph.traces.span("r03").row)
    opened = graph.to_svg()
    assert not any("×" in text for text in texts(opened))
    assert texts(opened).count("read") >= 7


def test_a_page_that_follows_the_run_folds_too(graph: TraceGraph) -> None:
    assert graph.to_svg() == graph.to_svg(view="all")
    Client(graph).hello()
    marks = [len(re.findall(r"M-?\d", svg)) for svg in (graph.to_svg(), graph.to_svg(view="all"))]
    assert marks[1] - marks[0] == 11, "twelve like calls are one"


def test_colour_size_and_what_fades(graph: TraceGraph) -> None:
    look(graph)
    plain = graph.to_svg()
    graph.set_state({"color": "agent", "size": "duration"})
    coloured = graph.to_svg()
    assert "#e69f00" in coloured and "#e69f00" not in plain
    head = [text.text for text in ET.fromstring(coloured).findall(f"{NS}text")]
    assert {"one", "two"} <= set(head), "the legend says which colour is whose"
    graph.filter(["t10"])
    faded = ET.fromstring(graph.to_svg())
    faint = [text.text for group in faded.iter(f"{NS}g") for text in group.iter(f"{NS}text")]
    assert {"t09", "t11"} <= set(faint)
    assert "t10" not in faint
    graph.set_state({"color": "cost"})
    assert "$0.00045" in ET.fromstring(graph.to_svg()).findall(f"{NS}text")[-1].text


def test_of_more_spans_than_are_drawn_those_in_the_window_are(
    graph: TraceGraph, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture_run = sys.modules["anton_notebook.render.run_svg"]
    plain: Callable[..., Any] = picture_run.spans_of
    monkeypatch.setattr(picture_run, "spans_of", lambda *args, **more: plain(*args, most=12, **more))
    look(graph)
    assert tools(graph.to_svg()) >= {f"t{i:02d}" for i in range(7, 14)}
    graph.set_state({"_folded": [graph.traces.span("one").row]})
    look(graph, row=graph.traces.span("one").row, x=50.0)
    assert any("22 spans" in text for text in texts(graph.to_svg())), "sums are over all, drawn or not"
