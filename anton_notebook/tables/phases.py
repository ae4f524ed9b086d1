"""The phases of runs, as their sources tell them, on their way with a frame of spans.

`spans_df()` has no column for them: they are the run's. So they travel in the frame's `attrs`, as plain JSON, which pandas keeps
when rows and columns are taken, when a frame goes to another process, and in Parquet.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pandas as pd

from anton_notebook.store import TraceInfo
from anton_notebook.tables.schema import KEY

NAME = "phases"


class Phases(dict[str, list[tuple[int, int, str, str]]]):
    """By run: (start, end, name, status) of each phase, in microseconds since 1970 UTC, `NAT` for the end of an open one.

    Never changed once it is made, so that the copy of a frame may share it.
    """

    def __deepcopy__(self, memo: Any) -> Phases:
        return self


def told(frame: pd.DataFrame, traces: Iterable[TraceInfo]) -> pd.DataFrame:
    """The frame, with the phases of these runs in its `attrs` where there are any."""
    return with_phases(frame, {info.trace_id: info.phases for info in traces if info.phases})


def with_phases(frame: pd.DataFrame, phases: dict[str, Any]) -> pd.DataFrame:
    """The frame, with these phases in its `attrs` where there are any."""
    if phases:
        frame.attrs[KEY] = {NAME: Phases(phases)}
    return frame


def phases_of(frame: pd.DataFrame) -> dict[str, Any]:
    """What a frame says of the phases of its runs."""
    about = frame.attrs.get(KEY)
    found = about.get(NAME) if isinstance(about, dict) else None
    return found if isinstance(found, dict) else {}


def text_of(phases: dict[str, Any], trace_id: str) -> str:
    """The phases of one run as text, the same for the same phases; empty where there are none."""
    return json.dumps(phases[trace_id]) if trace_id in phases else ""


def of_text(texts: dict[str, str]) -> dict[str, Any]:
    """The phases that were brought to text, by run."""
    return {trace_id: json.loads(text) for trace_id, text in texts.items() if text}
