"""Every DataFrame of the library, from declared columns."""

from __future__ import annotations

from anton_notebook.tables.columns import SPANS, Column
from anton_notebook.tables.frames import (
    MESSAGES,
    PROBLEMS,
    RUNS,
    TOOL_CALLS,
    as_text,
    build,
    problems_frame,
    runs_frame,
)
from anton_notebook.tables.spans import SpansFrame

__all__ = [
    "MESSAGES",
    "PROBLEMS",
    "RUNS",
    "SPANS",
    "TOOL_CALLS",
    "Column",
    "SpansFrame",
    "as_text",
    "build",
    "problems_frame",
    "runs_frame",
]
