"""anton_notebook: watch, ask, try and fork runs of LLM agents, in a notebook."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from anton_notebook.api import Span, Trace, Traces, read_traces, sources

# Functions that a module is named like are loaded at once, so that the module does not stand in their place later.
from anton_notebook.checkpoints import Checkpoint, checkpoint, checkpoints
from anton_notebook.errors import AntonNotebookError
from anton_notebook.quoting import quote
from anton_notebook.replay import replay
from anton_notebook.request import Request, Response
from anton_notebook.rerun import arerun, rerun

if TYPE_CHECKING:
    from anton_notebook.archive import scan
    from anton_notebook.compare.sides import show_diff
    from anton_notebook.keeping import branches, clean
    from anton_notebook.pricing import reset_prices, set_price
    from anton_notebook.tables.costs import costs
    from anton_notebook.tables.experiments import verdict
    from anton_notebook.tables.ledger import context_ledger
    from anton_notebook.tables.own import add_column, columns, remove_column
    from anton_notebook.tables.spending import cheapest, cost_timeline, price_check
    from anton_notebook.tracing import trace
    from anton_notebook.widget import TraceGraph

__version__ = "0.1.0"
__all__ = [
    "AntonNotebookError",
    "Checkpoint",
    "Request",
    "Response",
    "Span",
    "Trace",
    "TraceGraph",
    "Traces",
    "add_column",
    "arerun",
    "branches",
    "cheapest",
    "checkpoint",
    "checkpoints",
    "clean",
    "columns",
    "context_ledger",
    "cost_timeline",
    "costs",
    "price_check",
    "quote",
    "read_traces",
    "remove_column",
    "replay",
    "rerun",
    "reset_prices",
    "scan",
    "set_price",
    "show_diff",
    "sources",
    "trace",
    "verdict",
]

_LATE = (
    "TraceGraph",
    "add_column",
    "branches",
    "cheapest",
    "clean",
    "columns",
    "context_ledger",
    "cost_timeline",
    "costs",
    "price_check",
    "remove_column",
    "reset_prices",
    "scan",
    "set_price",
    "show_diff",
    "trace",
    "verdict",
)


def __getattr__(name: str) -> Any:
    """What is loaded when it is asked for: the widget's dependencies take longer to import than a run takes to read."""
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home: Any
    if name == "TraceGraph":
        from anton_notebook import widget

        home = widget
    elif name == "scan":
        from anton_notebook import archive

        home = archive
    elif name == "trace":
        from anton_notebook import tracing

        home = tracing
    elif name in ("branches", "clean"):
        from anton_notebook import keeping

        home = keeping
    elif name in ("reset_prices", "set_price"):
        from anton_notebook import pricing

        home = pricing
    else:
        from anton_notebook.compare import sides
        from anton_notebook.tables import costs, experiments, ledger, own, spending

        rooms: dict[str, Any] = {"costs": costs, "context_ledger": ledger, "show_diff": sides, "verdict": experiments}
        rooms |= dict.fromkeys(("add_column", "columns", "remove_column"), own)
        home = rooms.get(name, spending)
    return getattr(home, name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_LATE])
