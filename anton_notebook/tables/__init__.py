"""Every DataFrame of the library, from declared columns."""

from __future__ import annotations

from anton_notebook.tables import plots  # registers the accessor `frame.anb`; loads no matplotlib
from anton_notebook.tables.builder import as_text, build, problems_frame, runs_frame
from anton_notebook.tables.message_frames import Message, MessagesFrame, ToolCallsFrame
from anton_notebook.tables.schema import MESSAGES, PROBLEMS, RUNS, TOOL_CALLS
from anton_notebook.tables.span_columns import SPANS, Column
from anton_notebook.tables.spans_frame import SpansFrame

__all__ = [
    "MESSAGES",
    "PROBLEMS",
    "RUNS",
    "SPANS",
    "TOOL_CALLS",
    "Column",
    "Message",
    "MessagesFrame",
    "SpansFrame",
    "ToolCallsFrame",
    "as_text",
    "build",
    "plots",
    "problems_frame",
    "runs_frame",
]
