"""`anton-notebook summary`: its figures, and that no text of a trace steers the terminal or breaks a line."""

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
from rich.console import Console

import anton_notebook as anb
from anton_notebook.cli._output import Column, table
from anton_notebook.cli.report import figures, report
from anton_notebook.model.formatting import format_duration, format_usd, one_line

COMMAND = [sys.executable, "-m", "anton_notebook.cli", "summary"]
HOSTILE: list[dict[str, Any]] = [
    {"agent_name": "an agent with a name too long for any terminal " * 3, "tokens": {"input": 10**6, "output": 10**5}},
    {"agent_name": "\x1b[31mred\x1b[0m", "model": "漢字" * 40, "success": False, "error": "wrong " * 60},
    {"span_type": "tool_call", "tool_name": "grep\nall", "duration_ms": 12.0},
]


def write_trace(folder: Path, *lines: dict[str, Any]) -> Path:
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


def report_text(path: Path, width: int = 120) -> str:
    out = Console(width=width, file=open(os.devnull, "w"), record=True, markup=False, highlight=False)  # noqa: SIM115
    for part in report(anb.read_traces(path), width):
        out.print(part)
    return out.export_text()


def test_report_shows_runs_spending_and_failures(tmp_path: Path) -> None:
    path = write_trace(
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
    text = report_text(path)
    headline = "1 run, 3 calls to models, 0 tool calls, 1 error, ≥ $2.50, recorded $2.00"
    assert text.splitlines()[0].rstrip() == headline
    for words in ("module_a", "boom second line", "llama3.2:3b", "price unknown; near: "):
        assert words in text


def test_report_of_an_empty_folder_has_a_headline(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_text("")
    assert report_text(tmp_path).startswith("0 runs, 0 calls to models")


def test_report_counts_problems_by_reason(tmp_path: Path) -> None:
    path = write_trace(tmp_path, {"tokens": {"input": 1, "output": 1}})
    with (path / "t.jsonl").open("a") as file:
        file.write("not json\n")
    assert "1 problem while reading" in report_text(path)


@settings(max_examples=200, deadline=None)
@given(st.text(), st.integers(2, 60))
def test_one_line_is_printable_and_bounded(text: str, widest: int) -> None:
    shown = one_line(text, widest)
    assert shown.isprintable()
    assert sum(1 for c in shown if not unicodedata.combining(c)) <= widest


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "$0"),
        (1234.5, "$1,235"),
        (0.1239, "$0.124"),
        (0.00275, "$0.00275"),
        (1.2e-9, "$1.2e-9"),
        (float("nan"), "?"),
    ],
)
def test_format_usd_shows_the_digits_that_matter(value: float, text: str) -> None:
    assert format_usd(value) == text


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (0.4, "0.40 ms"),
        (850, "850 ms"),
        (12_400, "12.4 s"),
        (104_999, "1 min 44 s"),
        (7_800_000, "2 h 10 min"),
        (float("nan"), "-"),
    ],
)
def test_format_duration_rounds_down(ms: float, text: str) -> None:
    assert format_duration(ms) == text


def test_table_leaves_out_columns_by_rank() -> None:
    columns = [Column("name", 0, widest=40), Column("much", 1, right=True), Column("little", 2, right=True)]
    out = Console(width=26, file=open(os.devnull, "w"), record=True)  # noqa: SIM115
    out.print(table("T", columns, [["a name that is long", "123456", "654321"]], 26))
    text = out.export_text()
    assert "123456" in text
    assert "654321" not in text


@pytest.mark.parametrize("width", [60, 80, 100, 200])
def test_report_has_no_line_wider_than_the_terminal(tmp_path: Path, width: int) -> None:
    text = report_text(write_trace(tmp_path, *HOSTILE), width)
    wide = [sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in line) for line in text.splitlines()]
    assert max(wide) <= width
    assert "\x1b" not in text
    assert "cost" in text


def test_figures_are_json_and_equal_the_frames(tmp_path: Path) -> None:
    traces = anb.read_traces(write_trace(tmp_path, *HOSTILE))
    shown = json.loads(json.dumps(figures(traces), allow_nan=False))
    total = shown["total"]
    assert (total["runs"], total["calls"], total["tool_calls"], total["unpriced_calls"]) == (1, 2, 1, 1)
    assert total["cost_usd"] == pytest.approx(traces.spans_df()["cost_usd"].sum())
    assert [agent["calls"] for agent in shown["agents"]] == [1, 1, 0]
    assert shown["failures"][0]["error"] == "wrong " * 60
    assert figures(traces, since="2026-01-02T00:00Z")["total"]["runs"] == 0
    nothing = figures(anb.read_traces(write_trace(tmp_path)))
    assert nothing["total"]["cost_usd"] is None
    assert nothing["agents"] == []


def test_summary_is_plain_in_a_pipe_and_styled_on_a_terminal(tmp_path: Path) -> None:
    write_trace(tmp_path, *HOSTILE)
    env = {**os.environ, "TERM": "xterm", "COLUMNS": "72", "NO_COLOR": ""}
    piped = subprocess.run([*COMMAND, str(tmp_path)], env=env, capture_output=True, text=True, timeout=60, check=True)
    assert piped.stdout.startswith("1 run, 2 calls to models")
    assert "\x1b" not in piped.stdout
    as_json = subprocess.run([*COMMAND, str(tmp_path), "--json"], env=env, capture_output=True, text=True, timeout=60)
    assert json.loads(as_json.stdout)["total"]["runs"] == 1
    ours, theirs = pty.openpty()
    with subprocess.Popen([*COMMAND, str(tmp_path)], env=env, stdout=theirs) as process:
        os.close(theirs)
        shown = b""
        while True:
            try:
                part = os.read(ours, 65536)
            except OSError:
                break
            if not part:
                break
            shown += part
        assert process.wait(60) == 0
    os.close(ours)
    assert shown.startswith(b"\x1b[1m1 run, ")
    assert b"\x1b[31m" not in shown


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["absent"], 1, "does not exist"),
        ([".", "--since", "soon"], 2, "neither a time nor a duration"),
        ([".", "--tz", "Mars/Phobos"], 2, "no time zone 'Mars/Phobos'"),
    ],
)
def test_summary_reports_wrong_options(tmp_path: Path, options: list[str], code: int, words: str) -> None:
    done = subprocess.run([*COMMAND, *options], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == code
    assert words in done.stderr
    assert "Traceback" not in done.stderr
