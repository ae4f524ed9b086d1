"""The static timeline: content, size, and hostile names."""

from __future__ import annotations

import json
import re
import time
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

import anton_notebook as anb
from anton_notebook.render import agent_rows, figures, run_svg
from tests.conftest import ROOT

NS = "{http://www.w3.org/2000/svg}"


def line(span_id: str, at: int, **more: Any) -> dict[str, Any]:
    return {
        "timestamp": f"2026-11-23T01:18:{at:02d}.000Z",
        "trace_id": "t",
        "span_id": span_id,
        "span_type": "llm",
        "agent_name": "api",
        "provider": "openai",
        "model": "gpt-4o-mini",
        "duration_ms": 900.0,
        "tokens": {"input": 100, "output": 20},
        "messages": [{"role": "user", "content": "a secret question"}],
        "response": "a secret answer",
    } | more


def picture(tmp_path: Path, lines: list[dict[str, Any]], **given: Any) -> str:
    path = tmp_path / "run.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in lines))
    with anb.read_traces(path) as traces:
        return run_svg(traces.store, [0], **given)


def test_svg_shows_names_and_errors_but_no_messages(tmp_path: Path) -> None:
    drawn = picture(
        tmp_path,
        [
            line("a", 1),
            line("b", 2, parent_id="a", span_type="tool", tool_name="read_file", result="a secret result"),
            line("c", 3, error="a secret reason", response=None),
        ],
    )
    root = ET.fromstring(drawn)
    texts = [text.text for text in root.iter(f"{NS}text")]
    assert "read_file" in texts
    assert "gpt-4o-mini" in texts
    assert any("3 spans" in str(text) and "1 error" in str(text) for text in texts)
    assert any(str(text).startswith("!") for text in texts)
    assert "error" in texts
    assert "secret" not in drawn
    assert {"rect", "line"} <= {element.tag.removeprefix(NS) for element in root.iter()}


def test_svg_escapes_hostile_names(tmp_path: Path) -> None:
    corpus = ROOT.parent / "shared" / "corpus" / "hostile" / "xss-payloads.txt"
    payloads = corpus.read_text(errors="replace").splitlines()[:400] if corpus.exists() else []
    payloads += [
        "</text><script>alert(1)</script>",
        '" onload="alert(1)',
        "]]>",
        "<!--",
        "\x00\x08\ud800\uffff",
        "&#0;",
    ]
    lines = [
        line(f"s{i}", i % 60, span_type="tool", tool_name=text, agent_name=text, duration_ms=1.0)
        for i, text in enumerate(payloads)
    ]
    path = tmp_path / "run.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in lines))
    with anb.read_traces(path) as traces:
        root = ET.fromstring(run_svg(traces.store, [0]))
        for element in root.iter():
            tag = element.tag.removeprefix(NS)
            assert tag in {"svg", "title", "desc", "rect", "text", "line"}
            for name, value in element.attrib.items():
                assert not name.startswith("on")
                assert re.fullmatch(r"[-#%., \w'/:]*", value), (name, value)


@pytest.mark.parametrize("count", [1, 30, 3000])
def test_svg_size_is_bounded(tmp_path: Path, count: int) -> None:
    lines = [line(f"s{i}", i % 60, agent_name=f"agent {i % 7}") for i in range(count)]
    path = tmp_path / "run.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in lines))
    with anb.read_traces(path) as traces:
        started = time.process_time()
        drawn = run_svg(traces.store, [0])
        spent = time.process_time() - started
    print(f"{count} spans: {len(drawn):,} bytes, {spent * 1000:.0f} ms")
    assert len(drawn) < 400_000
    height = re.search(r'height="(\d+)', drawn)
    assert height is not None
    assert int(height[1]) <= 1420
    ET.fromstring(drawn)


def test_svg_is_empty_without_spans(tmp_path: Path) -> None:
    (tmp_path / "traces").mkdir()
    with anb.read_traces(tmp_path) as traces:
        traces.store.trace_code("t")
        assert run_svg(traces.store, [0]) == ""


def test_svg_draws_lanes_by_agent_and_stacks_overlaps(tmp_path: Path) -> None:
    drawn = picture(
        tmp_path,
        [
            line("a", 1, agent_name="planner", duration_ms=20_000.0),
            line("b", 5, agent_name="coder", duration_ms=4_000.0, span_type="tool", tool_name="grep"),
            line("c", 6, agent_name="coder", duration_ms=4_000.0, span_type="tool", tool_name="grep"),
            line("d", 12, agent_name="coder", duration_ms=4_000.0, span_type="tool", tool_name="grep", error="no"),
        ],
    )
    root = ET.fromstring(drawn)
    texts = [text.text for text in root.iter(f"{NS}text")]
    assert texts.index("planner") < texts.index("coder")
    assert texts.count("grep") == 2
    assert "! grep" in texts
    bars = [rect.attrib for rect in root.iter(f"{NS}rect") if rect.get("fill") in ("#e69f00", "#d3202f")]
    first, second = (bar for bar in bars if bar["height"] == "11.0" and bar["fill"] == "#e69f00")
    failed = [bar for bar in bars if bar["height"] == "11.0" and bar["fill"] == "#d3202f" and bar["y"] == first["y"]]
    assert first["y"] != second["y"], "overlapping bars are stacked"
    assert len(failed) == 1, "a free row is used again"
    assert float(first["x"]) < float(second["x"]) < float(failed[0]["x"])


def test_figures_and_agent_rows_are_the_same_numbers(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    lines = [line(f"s{i}", i, agent_name=f"agent {i % 2}") for i in range(6)]
    path.write_text("".join(json.dumps(one) + "\n" for one in lines))
    with anb.read_traces(path) as traces:
        run = traces.store.run(0)
        assert {name: value for value, name in figures(run)}["tokens"] == "720"
        rows = agent_rows(traces.store, 0)
    assert [(row[0], row[1], row[3]) for row in rows if row[1] != "0"] == [
        ("agent 0", "3", "360"),
        ("agent 1", "3", "360"),
    ]
