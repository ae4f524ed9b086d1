"""anton_notebook: watch, ask, try and fork runs of LLM agents, in a notebook."""

from __future__ import annotations

from anton_notebook.api import Span, Trace, Traces, read_traces

__version__ = "0.1.0"
__all__ = ["Span", "Trace", "Traces", "read_traces"]
