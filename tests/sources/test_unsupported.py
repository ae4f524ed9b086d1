"""Files that cannot hold lines, whatever their names: one clear word each, and nothing beside them is lost."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

import anton_notebook as anb
from anton_notebook.errors import NotATrace

SPAN = {"trace_id": "t", "span_id": "s", "timestamp": "2026-01-01T00:00:00", "span_type": "llm_call", "agent_name": "a"}
LINE = json.dumps(SPAN).encode() + b"\n"
FILES: dict[str, tuple[bytes, str]] = {
    "gzip": (gzip.compress(LINE * 50), "compressed (gzip)"),
    "zstd": (b"\x28\xb5\x2f\xfd" + bytes(range(256)), "compressed (zstd)"),
    "zip": (b"PK\3\4" + bytes(50), "compressed (zip)"),
    "picture": (b"\x89PNG\r\n\x1a\n" + bytes(range(255, 0, -1)) * 20, "a picture"),
    "Parquet": (b"PAR1" + bytes(40) + b"PAR1", "Parquet"),
    "UTF-16": (LINE.decode().encode("utf-16"), "UTF-16"),
    "an array": (json.dumps([SPAN, SPAN]).encode(), "one JSON document"),
    "an array over lines": (json.dumps([SPAN, SPAN], indent=1).encode(), "one JSON document"),
    "an object over lines": (json.dumps({"cells": [], "nbformat": 4}, indent=1).encode() + b"\n", "one JSON document"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_cannot_hold_lines_is_told_once_and_beside_others_loses_nothing(tmp_path: Path, name: str) -> None:
    content, said = FILES[name]
    file = tmp_path / "x.jsonl"
    file.write_bytes(content)
    with pytest.raises(NotATrace) as refused:
        anb.read_traces(file)
    assert str(refused.value).startswith(str(file)) and said in str(refused.value)
    (tmp_path / "good.jsonl").write_bytes(LINE)
    traces = anb.read_traces(tmp_path)
    problems = traces.problems_df()
    assert problems["source"].tolist() == [str(file)] and said in problems["reason"].iloc[0]
    assert len(traces.spans_df(kind="llm")) == 1
    traces.refresh()
    assert len(traces.problems_df()) == 1
    kinds = anb.list_sources(tmp_path).set_index("source")["kind"]
    assert kinds[str(file)] == "foreign" and kinds[str(tmp_path / "good.jsonl")] == "jsonl"


@pytest.mark.parametrize("name", FILES)
def test_lines_that_come_in_its_place_are_read(tmp_path: Path, name: str) -> None:
    file = tmp_path / "x.jsonl"
    file.write_bytes(FILES[name][0])
    (tmp_path / "good.jsonl").write_bytes(LINE.replace(b'"s"', b'"other"'))
    traces = anb.read_traces(tmp_path)
    file.write_bytes(FILES[name][0] + b" ")  # still none
    traces.refresh()
    assert len(traces.problems_df()) == 1
    file.write_bytes(LINE)
    traces.refresh()
    assert set(traces.spans_df(kind="llm")["span_id"]) == {"s", "other"}


@pytest.mark.parametrize("first", [b"[" + b"1, " * 9000 + b"1]", b"[1]", b"{", b"[", b"\x1f\x8b\0\0", b"\xff\xfe{}"])
def test_lines_after_one_that_looks_so_are_read(tmp_path: Path, first: bytes) -> None:
    file = tmp_path / "x.jsonl"
    file.write_bytes(first + b"\n" + LINE)
    traces = anb.read_traces(file)
    assert len(traces.spans_df(kind="llm")) == 1
    assert len(traces.problems_df()) >= 1


def caught_up(traces: anb.Traces) -> None:
    assert traces.live is not None
    traces.live.caught_up()


def test_a_graph_of_one_waits_and_says_what_it_is(tmp_path: Path) -> None:
    file = tmp_path / "x.jsonl"
    file.write_bytes(FILES["gzip"][0])
    with anb.TraceGraph(file) as graph:
        caught_up(graph.traces)
        assert "compressed (gzip)" in graph.traces.problems_df()["reason"].iloc[0]
        file.write_bytes(LINE)
        caught_up(graph.traces)
        assert graph.traces.spans_df(kind="llm")["span_id"].tolist() == ["s"]
