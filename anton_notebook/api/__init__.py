"""What users hold: all traces under a path, one trace, one span."""

from __future__ import annotations

from anton_notebook.api.inventory import find_traces, list_sources
from anton_notebook.api.spans import Span, Trace
from anton_notebook.api.traces import EXPERIMENTS, PathLike, Traces, open_traces, read_traces

__all__ = [
    "EXPERIMENTS",
    "PathLike",
    "Span",
    "Trace",
    "Traces",
    "find_traces",
    "list_sources",
    "open_traces",
    "read_traces",
]
