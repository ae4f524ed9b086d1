"""Every DataFrame of the library, from declared columns."""

from __future__ import annotations

from anton_notebook.tables import plots  # registers the accessor `frame.anb`; loads no matplotlib
from anton_notebook.tables.bodies import Message, MessagesFrame, ToolCallsFrame
from anton_notebook.tables.columns import SPANS, Column
from anton_notebook.tables.declared import MESSAGES, PROBLEMS, RUNS, TOOL_CALLS
from anton_notebook.tables.frames import as_text, build, problems_frame, runs_frame
from anton_notebook.tables.spans import SpansFrame

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
