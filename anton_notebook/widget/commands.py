"""Inner: requests of a page and their answers, on a comm of their own.

ipykernel hands a page's message to the shell that published last on the same comm. A stream published by a thread
would so drag every click behind the running cell, even where the page asks for a subshell. Hence two comms, and on
both that memory is wiped after each message: then it counts what the page asked for.
"""

from __future__ import annotations

import contextvars
import logging
import threading
import weakref
from collections.abc import Callable, Mapping
from typing import Any

import ipywidgets  # type: ignore[import-untyped]
import traitlets.traitlets as t

from anton_notebook.errors import AntonNotebookError, did_you_mean
from anton_notebook.widget.ipykernel_compat import answer_beside_cells, this_kernel

log = logging.getLogger(__name__)

Op = Callable[[Mapping[str, Any]], Mapping[str, Any] | None]


class Prompt(ipywidgets.Widget):  # type: ignore[misc]
    """A widget whose messages from the page are taken by the shell that the page names."""

    def open(self) -> None:
        super().open()
        self._let_the_page_choose()

    def _send(self, msg: Any, buffers: Any = None) -> None:
        _have_a_parent(self.comm)
        super()._send(msg, buffers)
        self._let_the_page_choose()

    def _let_the_page_choose(self) -> None:
        memory: dict[str, Any] = getattr(self.comm, "__dict__", {})
        memory.pop("_reply_subshell_id", None)
        memory.get("_reply_subshell_ids", {}).clear()


def _have_a_parent(comm: Any) -> None:
    """ipykernel 7.0 sends nothing from a thread in which it knows of no request that the message answers: here there is none."""
    asked = getattr(getattr(comm, "kernel", None), "_shell_parent", None)
    if isinstance(asked, contextvars.ContextVar):
        try:
            asked.get()
        except LookupError:
            asked.set({})


class Commands(Prompt):
    """A widget that is never seen: its comm carries requests to `answer` and the answers back."""

    _model_name = t.Unicode("WidgetModel").tag(sync=True)
    _model_module = t.Unicode("@jupyter-widgets/base").tag(sync=True)
    _model_module_version = t.Unicode("2.0.0").tag(sync=True)
    _view_name = t.Unicode(None, allow_none=True).tag(sync=True)

    def __init__(self, ops: Mapping[str, Op]) -> None:
        super().__init__()
        answer_beside_cells(this_kernel())
        self.on_msg(lambda widget, content, buffers: answer(self, content, ops))


def answer(widget: ipywidgets.Widget, content: object, ops: Mapping[str, Op]) -> None:
    """Answers a request on the widget's comm; an exception travels as an answer. Other messages are left alone."""
    if not isinstance(content, Mapping) or content.get("type") != "request" or not isinstance(content.get("id"), str):
        return
    reply: dict[str, Any] = {"type": "answer", "id": content["id"]}
    try:
        name = content.get("op")
        op = ops.get(name) if isinstance(name, str) else None
        if op is None:
            raise ValueError(f"no command {str(name)[:80]!r}{did_you_mean(str(name)[:80], ops)}")
        reply |= {"ok": True, "value": dict(op(content) or {})}
    except Exception as error:
        if not isinstance(error, AntonNotebookError | ValueError | LookupError):
            log.exception("a request of the page failed")
        reply |= {"ok": False, "error": {"type": type(error).__name__, "message": str(error)[:2000]}}
    try:
        widget.send(reply)
    except Exception:
        log.warning("an answer could not be sent", exc_info=True)


def on_subshell() -> bool:
    """True where this message is handled beside the cells, so that the next one will be answered while a cell runs."""
    return threading.current_thread().name.startswith("subshell-")


def text(content: Mapping[str, Any], name: str, most: int = 1000) -> str:
    """A text argument; ValueError where it is none."""
    value = content.get(name)
    if not isinstance(value, str) or len(value) > most:
        raise ValueError(f"{name} must be a text of at most {most} characters")
    return value


def number(content: Mapping[str, Any], name: str, least: int = 0, most: int = 2**53) -> int:
    """A whole number; ValueError where it is none or lies outside."""
    value = content.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ValueError(f"{name} must be a whole number from {least} to {most}")
    return value


_made: dict[str, tuple[str, list[weakref.ref[ipywidgets.Widget]]]] = {}
_made_lock = threading.Lock()


def close_previous_in_cell(widget: ipywidgets.Widget) -> Callable[[], None]:
    """Closes what an earlier run of this cell has made, and remembers this widget. Returns the way to forget it.

    Only where the front end says which cell runs, as JupyterLab does: equal code alone may stand in two cells.
    """
    cell, run = _cell()
    if cell is None:
        return lambda: None
    me = weakref.ref(widget)
    with _made_lock:
        former_run, former = _made.get(cell, ("", []))
        if former_run == run:
            former.append(me)
            old: list[weakref.ref[ipywidgets.Widget]] = []
        else:
            old = former
            _made[cell] = (run, [me])
    for ref in old:
        found = ref()
        if found is not None:
            found.close()

    def forget() -> None:
        with _made_lock:
            known = _made.get(cell)
            if known is not None and me in known[1]:
                known[1].remove(me)
                if not known[1]:
                    del _made[cell]

    return forget


def _cell() -> tuple[str | None, str]:
    """The cell that runs now, and the number of its run, as the front end names them."""
    try:
        from IPython import get_ipython

        shell = get_ipython()
        parent = shell.kernel.get_parent("shell") if shell is not None else {}
        cell = parent["metadata"]["cellId"]
        return (cell if isinstance(cell, str) and cell else None), str(parent["header"]["msg_id"])
    except (ImportError, AttributeError, KeyError, TypeError, LookupError):
        return None, ""
