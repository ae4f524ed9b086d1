"""Watchpoints: one call per matching span, in order, none lost."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import anton_notebook as anb
from anton_notebook.api import Span, Traces
from anton_notebook.errors import ConditionError
from anton_notebook.widget.conditions import LIGHT_COLUMNS, light_frame, query
from anton_notebook.widget.watchpoints import Watch
from tests.support.pages import line


@pytest.fixture
def traces(tmp_path: Path) -> Any:
    (tmp_path / "a.jsonl").write_bytes(line("s0") + line("s1", error="refused"))
    with anb.read_traces(tmp_path / "a.jsonl") as found:
        yield found


def more(traces: Traces, *lines: bytes) -> None:
    path = Path(traces.reader.paths[0])
    with path.open("ab") as file:
        file.write(b"".join(lines))
    traces.refresh()


def test_watch_calls_once_per_match_in_order(traces: Traces) -> None:
    seen: list[str] = []
    watch = Watch(traces, "status == 'error' and kind == 'llm'", lambda span: seen.append(span.span_id), thread=True)
    assert seen == ["s1"]
    for i in range(50):
        more(traces, line(f"n{i}", error="refused" if i % 2 else None))
    assert seen == ["s1", *(f"n{i}" for i in range(1, 50, 2))]
    watch.close()
    more(traces, line("late", error="refused"))
    assert "late" not in seen
    assert watch.count == len(seen)


def test_watch_skips_existing_spans(traces: Traces) -> None:
    seen: list[Span] = []
    with Watch(traces, "status == 'error'", seen.append, thread=True, existing=False):
        assert seen == []
        more(traces, line("x", error="refused"))
    assert [span.span_id for span in seen if span.kind == "llm"] == ["x"]


def test_watch_reports_spans_that_change_into_a_match(tmp_path: Path) -> None:
    def event(kind: str, second: int) -> bytes:
        known = {
            "event_type": kind,
            "trace_id": "t",
            "span_id": "o",
            "parent_id": None,
            "agent_name": "api",
            "data": {},
        }
        return json.dumps({**known, "timestamp": f"2026-01-01T00:00:{second:02d}Z"}).encode() + b"\n"

    path = tmp_path / "a.jsonl"
    path.write_bytes(event("agent_start", 0))
    with anb.read_traces(path) as traces:
        seen: list[str] = []
        with Watch(traces, "status == 'ok'", lambda span: seen.append(span.span_id), thread=True):
            assert seen == []
            more(traces, event("agent_end", 10))
            assert seen == ["o"]
            more(traces, event("agent_end", 10))
        assert seen == ["o"]


def test_watch_calls_on_the_event_loop_in_order(traces: Traces) -> None:
    async def cell() -> tuple[list[str], set[str]]:
        seen: list[str] = []
        threads: set[str] = set()

        def called(span: Span) -> None:
            seen.append(span.span_id)
            threads.add(threading.current_thread().name)

        with Watch(traces, "kind == 'llm'", called):
            work = threading.Thread(target=lambda: [more(traces, line(f"n{i}")) for i in range(100)])
            work.start()
            time.sleep(0.05)  # a busy cell
            assert seen == []
            until = time.monotonic() + 20
            while len(seen) < 102 and time.monotonic() < until:
                await asyncio.sleep(0.01)
            work.join()
        return seen, threads

    seen, threads = asyncio.run(cell())
    assert seen == ["s0", "s1", *(f"n{i}" for i in range(100))]
    assert threads == {"MainThread"}


def test_watch_records_failing_callbacks(traces: Traces) -> None:
    seen: list[str] = []

    def called(span: Span) -> None:
        seen.append(span.span_id)
        raise ValueError("mine")

    with Watch(traces, "kind == 'llm'", called, thread=True) as watch:
        more(traces, line("x"))
        assert seen == ["s0", "s1", "x"]
        assert [str(error) for error in watch.errors] == ["mine"] * 3


def test_watch_needs_a_loop_or_a_thread(traces: Traces) -> None:
    with pytest.raises(ConditionError, match="thread=True"):
        Watch(traces, "cost_usd > 1", print)


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        ("cost > 1", "No column 'cost'.*cost_usd"),
        ("cost_usd >", "not a condition"),
        ("cost_usd", "not a condition"),
        ("__import__('os')", "not a condition|No column"),
        ("@x > 1", "not a condition|No column"),
        ("", "4,000"),
        ("1" * 5000, "4,000"),
        (7, "function of a span"),
    ],
)
def test_watch_refuses_what_is_not_a_condition(traces: Traces, condition: Any, words: str) -> None:
    with pytest.raises(ConditionError, match=words):
        Watch(traces, condition, print, thread=True)


@pytest.mark.parametrize(
    ("condition", "matches"),
    [
        ("cost_usd > 0.0001", True),
        ("0 < duration_ms < 2000", True),
        ("model in ['gpt-4o', 'x']", True),
        ("model.str.contains('gpt') and not status == 'error'", True),
        ("error.isna()", True),
        ("error.notna()", False),
        ("cached_tokens > 1 or cached_tokens <= 1", False),
        ("input_tokens + output_tokens >= 120", True),
        ("start > '2025-01-01T00:00:00+00:00'", True),
        (lambda span: span.model == "gpt-4o" and span.error is None, True),
        (lambda span: span.children, False),
    ],
)
def test_watch_conditions_match_spans(traces: Traces, condition: Any, matches: bool) -> None:
    seen: list[str] = []
    with Watch(traces, condition, lambda span: seen.append(span.span_id), thread=True) as watch:
        assert ("s0" in seen) is matches
        assert not watch.errors


def test_watch_records_failing_conditions(traces: Traces) -> None:
    with Watch(traces, lambda span: 1 / 0, print, thread=True) as watch:
        assert {type(error) for error in watch.errors} == {ZeroDivisionError}
        assert watch.count == 0


@given(st.text(max_size=60))
def test_conditions_accept_or_refuse_any_text(text: str) -> None:
    with contextlib.suppress(ConditionError):
        query(light_frame([]), text)


def test_light_columns_are_columns_of_spans_df(traces: Traces) -> None:
    assert set(LIGHT_COLUMNS) <= set(traces.spans_df().columns)
    assert set(LIGHT_COLUMNS) == set(light_frame([traces.span("s0")]).columns)
