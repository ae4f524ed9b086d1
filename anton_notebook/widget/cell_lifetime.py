"""Closing the widgets that an earlier run of the same cell created."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable

import ipywidgets  # type: ignore[import-untyped]

_widgets: dict[str, tuple[str, list[weakref.ref[ipywidgets.Widget]]]] = {}
_lock = threading.Lock()


def close_previous_in_cell(widget: ipywidgets.Widget) -> Callable[[], None]:
    """Close the widgets of an earlier run of the current cell, and register this one.

    Applies only to front ends that send the id of the running cell, as JupyterLab does. Equal code is not enough: it may stand
    in two cells.

    Returns:
        A function that unregisters the widget.
    """
    cell, run = current_cell()
    if cell is None:
        return lambda: None
    reference = weakref.ref(widget)
    with _lock:
        previous_run, previous = _widgets.get(cell, ("", []))
        # A cell may create several graphs; only those of an earlier run are outdated.
        if previous_run == run:
            previous.append(reference)
            outdated: list[weakref.ref[ipywidgets.Widget]] = []
        else:
            outdated = previous
            _widgets[cell] = (run, [reference])
    for old in outdated:
        old_widget = old()
        if old_widget is not None:
            old_widget.close()

    def unregister() -> None:
        with _lock:
            entry = _widgets.get(cell)
            if entry is not None and reference in entry[1]:
                entry[1].remove(reference)
                if not entry[1]:
                    del _widgets[cell]

    return unregister


def current_cell() -> tuple[str | None, str]:
    """Return the id of the running cell, as the front end names it, and the id of this run of it."""
    try:
        from IPython import get_ipython

        shell = get_ipython()
        parent = shell.kernel.get_parent("shell") if shell is not None else {}
        cell = parent["metadata"]["cellId"]
        return (cell if isinstance(cell, str) and cell else None), str(parent["header"]["msg_id"])
    except (ImportError, AttributeError, KeyError, TypeError, LookupError):
        return None, ""
