"""anton_notebook: watch, ask, try and fork runs of LLM agents, in a notebook."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from anton_notebook.api import Span, Trace, Traces, read_traces, sources
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
    "sources",
]

_LATE = (
    "TraceGraph",
    "cheapest",
    "context_ledger",
    "cost_timeline",
    "costs",
    "price_check",
    "reset_prices",
    "set_price",
)


def __getattr__(name: str) -> Any:
    """What is loaded when it is asked for: the widget's dependencies take longer to import than a run takes to read."""
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home: Any
    if name == "TraceGraph":
        from anton_notebook import widget

        home = widget
    elif name in ("reset_prices", "set_price"):
        from anton_notebook import pricing

        home = pricing
    else:
        from anton_notebook.tables import costs, ledger, spending

        home = {"costs": costs, "context_ledger": ledger}.get(name, spending)
    return getattr(home, name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_LATE])
