"""The summary for a terminal: what it says, and that nothing from a trace can steer the terminal."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import anton_notebook as anb
from anton_notebook.tables.summary import duration, one_line, summary, table, usd


def written(folder: Path, *lines: dict[str, Any]) -> Path:
    usual = {
        "provider": "openai",
        "model": "gpt-4o",
        "trace_id": "run",
        "parent_id": None,
        "span_type": "llm_call",
        "agent_name": "orchestrator",
        "duration_ms": 1500.0,
        "messages": [],
        "response": "",
        "success": True,
    }
    texts = [
        json.dumps({**usual, "timestamp": f"2026-01-01T00:00:{i:02d}Z", "span_id": f"s{i}", **line})
        for i, line in enumerate(lines)
    ]
    (folder / "t.jsonl").write_text("\n".join(texts) + "\n")
    return folder


def test_a_summary_says_what_was_run_and_spent_and_what_failed(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        {"tokens": {"input": 1_000_000, "output": 0}, "cost_usd": 2.0},
        {"agent_name": "module_a", "provider": "ollama", "model": "llama3.2:3b", "tokens": {"input": 10, "output": 5}},
        {
            "agent_name": "module_a",
            "success": False,
            "error": "boom\nsecond line",
            "tokens": {"input": 10, "output": 0},
        },
    )
    text = summary(anb.read_traces(path))
    first = text.splitlines()[0]
    assert first == "1 run, 3 calls to models, 0 tool calls, 1 error, at least $2.50, recorded $2.00"
    assert "module_a" in text
    assert "boom second line" in text
    assert "llama3.2:3b" in text
    assert "price unknown; near: " in text
    assert "≥ $2.50" in text


def test_an_empty_folder_has_a_summary_too(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_text("")
    assert summary(anb.read_traces(tmp_path)).startswith("0 runs, 0 calls to models")


def test_what_could_not_be_read_is_counted_by_reason(tmp_path: Path) -> None:
    path = written(tmp_path, {"tokens": {"input": 1, "output": 1}})
    with (path / "t.jsonl").open("a") as file:
        file.write("not json\n")
    assert "1 thing could not be read" in summary(anb.read_traces(path))


def test_control_characters_of_a_trace_do_not_reach_the_terminal(tmp_path: Path) -> None:
    evil = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202e\r\nnext"
    path = written(
        tmp_path,
        {"agent_name": evil, "model": evil, "success": False, "error": evil, "tokens": {"input": 1, "output": 1}},
    )
    text = summary(anb.read_traces(path))
    assert "next" in text
    assert all(c.isprintable() or c == "\n" for c in text)


@settings(max_examples=200, deadline=None)
@given(st.text(), st.integers(2, 60))
def test_one_line_is_one_printable_line_of_bounded_width(text: str, widest: int) -> None:
    shown = one_line(text, widest)
    assert shown.isprintable()
    assert sum(1 for c in shown if not unicodedata.combining(c)) <= widest
    assert len(shown) <= widest * 8


@pytest.mark.parametrize(
    ("value", "said"),
    [(0.0, "$0.00"), (1234.5, "$1,234.50"), (0.1239, "$0.124"), (0.000012, "$1.20e-05"), (float("nan"), "?")],
)
def test_dollars_for_people(value: float, said: str) -> None:
    assert usd(value) == said


@pytest.mark.parametrize(
    ("ms", "said"),
    [
        (0.4, "0 ms"),
        (850, "850 ms"),
        (12_400, "12.4 s"),
        (185_000, "3 min 05 s"),
        (7_800_000, "2 h 10 min"),
        (float("nan"), "-"),
    ],
)
def test_durations_for_people(ms: float, said: str) -> None:
    assert duration(ms) == said


def test_columns_line_up_with_wide_letters() -> None:
    text = table("T", ["a", "n"], [["漢字", "1"], ["ab", "22"]])
    assert text.splitlines() == ["T", "  a      n", "  漢字   1", "  ab    22"]
