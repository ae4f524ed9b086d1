"""Watchpoints: each span that comes to satisfy a condition is called back once, in order, none lost."""

from __future__ import annotations

import asyncio
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
from anton_notebook.errors import WatchError
from anton_notebook.widget.watchpoints import COLUMNS, Condition, Watch
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


def test_each_span_that_comes_to_satisfy_it_is_called_once_in_order(traces: Traces) -> None:
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


def test_what_was_there_before_can_be_left_out(traces: Traces) -> None:
    seen: list[Span] = []
    with Watch(traces, "status == 'error'", seen.append, thread=True, existing=False):
        assert seen == []
        more(traces, line("x", error="refused"))
    assert [span.span_id for span in seen if span.kind == "llm"] == ["x"]


def test_a_span_is_called_when_it_changes_into_the_condition(tmp_path: Path) -> None:
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


def test_on_an_event_loop_it_is_called_between_cells_in_order_and_none_is_lost(traces: Traces) -> None:
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


def test_a_failing_callback_is_kept_and_stops_nothing(traces: Traces) -> None:
    seen: list[str] = []

    def called(span: Span) -> None:
        seen.append(span.span_id)
        raise ValueError("mine")

    with Watch(traces, "kind == 'llm'", called, thread=True) as watch:
        more(traces, line("x"))
        assert seen == ["s0", "s1", "x"]
        assert [str(error) for error in watch.errors] == ["mine"] * 3


def test_without_a_loop_it_says_what_to_do(traces: Traces) -> None:
    with pytest.raises(WatchError, match="thread=True"):
        Watch(traces, "cost_usd > 1", print)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("cost > 1", "cost_usd"),
        ("cost_usd >", "no condition"),
        ("__import__('os')", "not possible"),
        ("name.upper() == 'A'", "not possible"),
        ("[x for x in name]", "not possible"),
        ("lambda: 1", "not possible"),
        ("cost_usd ** 99", "not possible"),
        ("not " * 99 + "cost_usd", "deeper"),
        ("1" * 5000, "4,000"),
        (7, "4,000"),
    ],
)
def test_what_is_no_condition_says_what_is_possible(text: Any, words: str) -> None:
    with pytest.raises(WatchError, match=words.replace("(", r"\(")):
        Condition(text)


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("cost_usd > 0.0001", True),
        ("0 < duration_ms < 2000", True),
        ("model in ['gpt-4o', 'x']", True),
        ("'gpt' in model and not status == 'error'", True),
        ("error is None", True),
        ("error is not None", False),
        ("cached_tokens > 1 or cached_tokens <= 1", False),
        ("input_tokens + output_tokens >= 120", True),
        ("duration_ms / 0 > 1", False),
        ("name < 3", False),
        ("start > '2025-01-01T00:00:00+00:00'", True),
        ("model not in ('a', 'b')", True),
    ],
)
def test_conditions_hold_as_in_a_query(traces: Traces, text: str, holds: bool) -> None:
    assert Condition(text).holds(traces.span("s0")) is holds


@given(st.text(max_size=60))
def test_any_text_is_a_condition_or_an_error_of_ours(text: str) -> None:
    try:
        Condition(text)
    except WatchError:
        pass


def test_the_columns_are_those_of_the_frame(traces: Traces) -> None:
    assert set(COLUMNS) <= set(traces.spans_df().columns)
