"""The summary for a terminal: what it says, and that nothing from a trace can steer the terminal."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import anton_notebook as anb
from anton_notebook.tables.summary import Table, duration, figures, one_line, summary, usd


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
    text = Table("T", ["a", "n"], [["漢字", "1"], ["ab", "22"]]).fitting()
    assert text.splitlines() == ["T", "  a      n", "  漢字   1", "  ab    22"]


HOSTILE = [
    {
        "agent_name": "agent of a name that is far too long for any terminal " * 3,
        "tokens": {"input": 10**6, "output": 10**5},
    },
    {"agent_name": "\x1b[31mred\x1b[0m", "model": "漢字" * 40, "success": False, "error": "wrong " * 60},
    {"span_type": "tool_call", "tool_name": "grep\nall", "duration_ms": 12.0},
]
COMMAND = [sys.executable, "-m", "anton_notebook.cli", "summary"]


@pytest.mark.parametrize("width", [40, 60, 80, 100, 200])
def test_no_line_is_wider_than_the_terminal(tmp_path: Path, width: int) -> None:
    text = summary(anb.read_traces(written(tmp_path, *HOSTILE)), width=width)
    wide = [sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in line) for line in text.splitlines()]
    assert max(wide) <= width
    assert {"Agents", "Models"} <= set(text.splitlines()) and "cost" in text and "\x1b" not in text


def test_the_figures_are_json_and_agree_with_the_tables(tmp_path: Path) -> None:
    traces = anb.read_traces(written(tmp_path, *HOSTILE))
    said = json.loads(json.dumps(figures(traces), allow_nan=False))
    assert said["total"]["runs"] == 1 and said["total"]["calls"] == 2 and said["total"]["tool_calls"] == 1
    assert said["total"]["cost_usd"] == pytest.approx(traces.spans_df()["cost_usd"].sum())
    assert said["total"]["unpriced_calls"] == 1 and said["unpriced"][0]["reason"] == "price unknown"
    assert [agent["calls"] for agent in said["agents"]] == [1, 1, 0]
    assert said["failures"][0]["error"] == "wrong " * 60 and said["runs"][0]["start"] == "2026-01-01T00:00:00+00:00"
    assert figures(traces, since="2026-01-02T00:00Z")["total"]["runs"] == 0
    nothing = figures(anb.read_traces(written(tmp_path)))
    assert nothing["total"]["calls"] == 0 and nothing["agents"] == [] and nothing["total"]["cost_usd"] is None


def test_the_command_prints_plain_text_into_a_pipe_and_colours_on_a_terminal(tmp_path: Path) -> None:
    written(tmp_path, *HOSTILE)
    env = {**os.environ, "TERM": "xterm", "COLUMNS": "72", "NO_COLOR": ""}
    piped = subprocess.run([*COMMAND, str(tmp_path)], env=env, capture_output=True, text=True, timeout=60, check=True)
    assert piped.stdout.startswith("1 run, 2 calls to models") and "\x1b" not in piped.stdout and not piped.stderr
    assert max(map(len, piped.stdout.splitlines())) <= 72
    shown = subprocess.run(
        [*COMMAND, str(tmp_path), "--json"], env=env, capture_output=True, text=True, timeout=60, check=True
    )
    assert json.loads(shown.stdout)["total"]["runs"] == 1
    ours, theirs = pty.openpty()
    with subprocess.Popen([*COMMAND, str(tmp_path)], env=env, stdout=theirs) as process:
        os.close(theirs)
        said = b""
        while True:
            try:
                part = os.read(ours, 65536)
            except OSError:
                break
            if not part:
                break
            said += part
        assert process.wait(60) == 0
    os.close(ours)
    assert said.startswith(b"\x1b[1m1 run, ") and b"\x1b[31m" not in said


def test_the_command_says_what_is_wrong(tmp_path: Path) -> None:
    for options, code, words in (
        ([str(tmp_path / "absent")], 1, "does not exist"),
        ([str(tmp_path), "--since", "soon"], 2, "neither a time nor a duration"),
        ([str(tmp_path), "--tz", "Mars/Phobos"], 2, "no zone 'Mars/Phobos'"),
    ):
        done = subprocess.run([*COMMAND, *options], capture_output=True, text=True, timeout=60)
        assert done.returncode == code and words in done.stderr and "Traceback" not in done.stderr
