"""The state of a graph that is synchronized with pages. Traits with an underscore are internal to both sides."""

from __future__ import annotations

import anywidget
import ipywidgets  # type: ignore[import-untyped]
import traitlets.traitlets as t

from anton_notebook.widget.commands import Commands, SubshellWidget

VIEWS = ("graph", "timeline", "tree", "chat", "compare")
X_AXES = ("time", "order")
COLORS = ("kind", "agent", "model", "cost", "tokens", "duration", "status")
SIZES = ("kind", "cost", "tokens", "duration")


class GraphState(SubshellWidget, anywidget.AnyWidget):
    """The traits of `TraceGraph`."""

    # The texts of the files: given a path, anywidget would watch it and keep every widget alive.
    _esm = t.Unicode().tag(sync=True)
    _css = t.Unicode().tag(sync=True)
    trace_id = t.Unicode(None, allow_none=True).tag(sync=True)
    selected_span_id = t.Unicode(None, allow_none=True).tag(sync=True)
    selected_span_ids = t.List(t.Unicode())
    view = t.Enum(VIEWS, "graph").tag(sync=True)
    x_axis = t.Enum(X_AXES, "time").tag(sync=True)
    color = t.Enum(COLORS, "kind").tag(sync=True)
    size = t.Enum(SIZES, "kind").tag(sync=True)
    height = t.Int(560, min=120, max=10_000).tag(sync=True)
    waiting = t.Dict().tag(sync=True)
    _selected_row = t.Int(-1).tag(sync=True)
    _selected_rows = t.Bytes(b"").tag(sync=True)
    _only_rows = t.Bytes(b"").tag(sync=True)
    _bright_rows = t.Bytes(b"").tag(sync=True)
    _folded = t.List(t.Int()).tag(sync=True)  # collapsed rows, and opened groups of equal calls as -1 - row
    _camera = t.Dict().tag(sync=True)  # where a page looked last; empty while it follows the run
    _shoot = t.Dict().tag(sync=True)
    _saved = t.Bytes(b"").tag(sync=True)
    _commands = t.Instance(Commands, allow_none=True).tag(sync=True, **ipywidgets.widget_serialization)
    _error = t.Unicode("").tag(sync=True)
