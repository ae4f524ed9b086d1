"""Full-text search in recorded texts, and the comparison of two runs."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

import anton_notebook as anb
from anton_notebook.api import Traces
from anton_notebook.experiments.compare.trace_diff import align
from anton_notebook.widget.text_search import Search, SearchManager
from tests.support import pages


def line(span_id: str, trace_id: str = "run-1", **more: Any) -> bytes:
    """Like `pages.line`, with the same question in every trace."""
    return pages.line(span_id, trace_id, **{"messages": [{"role": "user", "content": "The same."}], **more})


def read(path: Path, *lines: bytes) -> Traces:
    path.write_bytes(b"".join(lines))
    return anb.read_traces(path)


def names(traces: Traces, rows: list[int]) -> list[str]:
    return ["" if row < 0 else traces.store.span_id(row) for row in rows]


def test_text_search_finds_text_anywhere(tmp_path: Path) -> None:
    tool = {"span_type": "tool_call", "tool_name": "read", "messages": None, "response": None}
    with read(
        tmp_path / "a.jsonl",
        line("question", messages=[{"role": "user", "content": "Find the NEEDLE in this"}]),
        line("block", messages=[{"role": "user", "content": [{"type": "text", "text": "a needle\nin a block"}]}]),
        line("answer", response="nEEdle"),
        line("tool", parameters={"deep": [{"path": "needle.py"}]}, **tool),
        line("escaped", response='Stra\u00dfe \u2028 \\ "quoted"'),
        line("none", response="hay"),
    ) as traces:
        searches = SearchManager(traces)

        def found(text: str) -> set[str]:
            search = searches.start(text, (0,))
            search.join(10)
            assert search.done
            assert search.looked == search.total
            return set(names(traces, search.rows))

        assert found("needle") == {"question", "block", "answer", "tool"}
        assert found("STRASSE") == {"escaped"}
        assert found('\\ "quoted"') == {"escaped"}
        assert found("s1") == set()
        with pytest.raises(ValueError, match="empty"):
            searches.start("  ", (0,))


def test_text_search_reports_progress_and_stops(tmp_path: Path) -> None:
    with read(tmp_path / "a.jsonl", *(line(f"s{i}", response="hay " * 2000) for i in range(3000))) as traces:
        searches = SearchManager(traces)
        search = searches.start("needle", (0,))
        until = time.monotonic() + 10
        while not search.looked and time.monotonic() < until:
            time.sleep(0.001)
        searches.stop(search.name)
        search.join(10)
        known = searches.progress(search.name, 0)
        assert known["done"]
        assert 0 < known["looked"] < known["total"]
        with pytest.raises(ValueError, match="ended"):
            searches.progress("nothing", 0)
        for _ in range(9):
            searches.start("x", (0,))
        assert len(searches._all) <= 4
        searches.close()


def test_text_search_counts_unreadable_spans(tmp_path: Path) -> None:
    with read(tmp_path / "a.jsonl", line("s0"), line("s1")) as traces:
        (tmp_path / "a.jsonl").write_bytes(b"")
        search = Search(traces, "done", traces.store.live_rows().tolist())
        search.join(10)
        assert search.unread == 2
        assert search.rows == []


def test_trace_diff_of_equal_runs_is_empty(tmp_path: Path) -> None:
    with read(tmp_path / "a.jsonl", *(line(f"{t}-{i}", t) for t in ("left", "right") for i in range(6))) as traces:
        found = align(traces, 0, 1)
    assert found.parts == -1
    assert all(pair.left >= 0 and pair.right >= 0 and not pair.differs for pair in found.pairs)
    assert len(found.pairs) == 7  # with the agent's own


def test_trace_diff_names_the_first_difference(tmp_path: Path) -> None:
    def call(trace: str, i: int, **more: Any) -> bytes:
        return line(f"{trace}-{i}", trace, timestamp=f"2026-01-01T00:00:{i:02d}.000Z", **more)

    tool = {
        "span_type": "tool_call",
        "tool_name": "read",
        "messages": None,
        "response": None,
        "model": None,
        "tokens": None,
    }
    left = [call("left", 0), call("left", 1), call("left", 2, **tool), call("left", 3)]
    right = [call("right", 0), call("right", 1, response="Other."), call("right", 3), call("right", 4)]
    with read(tmp_path / "a.jsonl", *left, *right) as traces:
        found = align(traces, 0, 1)
        shown = [
            (*names(traces, [pair.left, pair.right]), pair.differs)
            for pair in found.pairs
            if "-" in "".join(names(traces, [pair.left, pair.right])[:1] or [""]) or pair.left < 0
        ]
    calls = [one for one in shown if one[0].startswith("left") or one[1].startswith("right")]
    assert calls == [
        ("left-0", "right-0", ()),
        ("left-1", "right-1", ("response",)),
        ("left-2", "", ("missing",)),
        ("left-3", "right-3", ()),
        ("", "right-4", ("added",)),
    ]
    assert found.pairs[found.parts].differs == ("response",)


def test_trace_diff_pairs_branches_by_original(tmp_path: Path) -> None:
    def branch(i: int, original: str, **more: Any) -> bytes:
        mark = {
            "origin": "replay",
            "original_trace_id": "run-1",
            "original_span_id": original,
            "provenance": "executed",
        }
        return line(f"b{i}", "branch", anton_notebook=mark, **more)

    with read(
        tmp_path / "a.jsonl",
        line("s0"),
        line("s1", agent_name="other"),
        branch(1, "s1", agent_name="orchestrator", response="New."),
        branch(0, "s0", agent_name="orchestrator"),
    ) as traces:
        found = align(traces, 0, traces.store.find_trace("branch") or 1)
        pairs = {tuple(names(traces, [pair.left, pair.right])): pair.differs for pair in found.pairs}
    assert pairs["s0", "b0"] == ()
    assert pairs["s1", "b1"] == ("response",)
    assert json.dumps(found.parts) != "-1"
