"""anton_notebook: watch, ask, try and fork runs of LLM agents, in a notebook."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from anton_notebook.api import Span, Trace, Traces, read_traces
from anton_notebook.errors import AntonNotebookError

if TYPE_CHECKING:
    from anton_notebook.pricing import reset_prices, set_price
    from anton_notebook.tables.costs import costs
    from anton_notebook.tables.ledger import context_ledger
    from anton_notebook.tables.spending import cheapest, cost_timeline, price_check
    from anton_notebook.widget import TraceGraph

__version__ = "0.1.0"
__all__ = [
    "AntonNotebookError",
    "Span",
    "Trace",
    "TraceGraph",
    "Traces",
    "cheapest",
    "context_ledger",
    "cost_timeline",
    "costs",
    "price_check",
    "read_traces",
    "reset_prices",
    "set_price",
]

# Loaded when they are asked for: the widget's dependencies take longer to import than a run takes to read.
_LATE = {
    "TraceGraph": "anton_notebook.widget",
    "cheapest": "anton_notebook.tables.spending",
    "context_ledger": "anton_notebook.tables.ledger",
    "cost_timeline": "anton_notebook.tables.spending",
    "costs": "anton_notebook.tables.costs",
    "price_check": "anton_notebook.tables.spending",
    "reset_prices": "anton_notebook.pricing",
    "set_price": "anton_notebook.pricing",
}


def __getattr__(name: str) -> Any:
    if name in _LATE:
        return getattr(importlib.import_module(_LATE[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_LATE])
