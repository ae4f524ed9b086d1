"""Frames share arrays with what makes the next one: whoever writes into a frame changes that frame alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import anton_notebook as anb

FRAMES = ("spans_df", "runs_df", "messages_df", "tool_calls_df", "problems_df")


def lines(i: int) -> str:
    """A model call and its tool call."""
    both: dict[str, Any] = {
        "timestamp": f"2026-01-01T00:00:{i:02}",
        "agent_name": "a",
        "trace_id": "t",
        "duration_ms": 5.0,
    }
    tool = {
        "tool_name": "ls",
        "span_id": f"t{i}",
        "parent_id": f"s{i}",
        "span_type": "tool_call",
        "parameters": {"a": 1},
    }
    messages = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yo"}]
    call = {"span_id": f"s{i}", "span_type": "llm_call", "model": "gpt-4o", "messages": messages, "response": "yo"}
    tokens = {"tokens": {"input": 5, "output": 2}}
    return "".join(json.dumps(both | one) + "\n" for one in (tool | {"result": "r"}, call | tokens))


def written_all_over(frame: pd.DataFrame) -> int:
    """Writes something else into two rows of every column, in place; gives how many columns took it."""
    took = 0
    for column in frame:
        values = frame[column]
        tries: list[Any] = ["other", 77, 77.0, True, pd.Timestamp("2020", tz="UTC")]
        if isinstance(values.dtype, pd.CategoricalDtype):
            tries = list(values.cat.categories)
        del values
        for new in tries:
            try:
                frame.loc[[0, min(3, len(frame) - 1)], column] = new
            except (TypeError, ValueError):
                continue
            took += 1
    return took


@pytest.mark.parametrize("name", FRAMES)
@pytest.mark.parametrize("later", [False, True])
def test_what_is_written_into_a_frame_is_in_no_other(tmp_path: Path, name: str, later: bool) -> None:
    file = tmp_path / "t.jsonl"
    file.write_text("".join(map(lines, range(20))) + "bad\n")
    traces = anb.read_traces(file)
    frame = getattr(traces, name)()
    if later:  # the frame of before is nobody's but the user's now
        with file.open("a") as out:
            out.write(lines(21))
        traces.refresh()
        getattr(traces, name)()
    true = getattr(traces, name)().copy(deep=True)
    assert written_all_over(frame) >= len(frame.columns) // 2
    pd.testing.assert_frame_equal(getattr(traces, name)(), true)
    series = getattr(traces, name)().iloc[:, 0]  # held alone
    series.iloc[0] = series.iloc[-1]
    pd.testing.assert_frame_equal(getattr(traces, name)(), true)
    with file.open("a") as out:
        out.write(lines(22))
    traces.refresh()
    fresh = anb.read_traces(file)
    pd.testing.assert_frame_equal(getattr(traces, name)(), getattr(fresh, name)())


def test_frames_are_not_copied_to_be_lent(tmp_path: Path) -> None:
    file = tmp_path / "t.jsonl"
    file.write_text("".join(map(lines, range(20))))
    traces = anb.read_traces(file)
    one, other = traces.spans_df(), traces.spans_df()
    assert np.shares_memory(one["cost_usd"].to_numpy(), other["cost_usd"].to_numpy())
