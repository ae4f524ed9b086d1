"""Requests of a page and their answers, on a separate comm.

The stream of changes is published by a thread, requests are answered by the shell that the page names: hence two comms, both
`kernel_comm.KernelComm` under ipykernel. `arguments` reads the arguments of a request.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any

import ipywidgets  # type: ignore[import-untyped]
import traitlets.traitlets as t

from anton_notebook.errors import AntonNotebookError, did_you_mean
from anton_notebook.widget.kernel_comm import kernel_comms

log = logging.getLogger(__name__)

Args = Mapping[str, Any]
Handler = Callable[[Args], Mapping[str, Any] | None]
Handlers = Mapping[str, Handler]


class SubshellWidget(ipywidgets.Widget):  # type: ignore[misc]
    """A widget whose messages from the page are handled by the shell that the page names."""

    def open(self) -> None:
        """Open the comm to the page."""
        with kernel_comms():
            super().open()


class Commands(SubshellWidget):
    """An invisible widget: its comm carries requests to `answer`, and the answers back."""

    _model_name = t.Unicode("WidgetModel").tag(sync=True)
    _model_module = t.Unicode("@jupyter-widgets/base").tag(sync=True)
    _model_module_version = t.Unicode("2.0.0").tag(sync=True)
    _view_name = t.Unicode(None, allow_none=True).tag(sync=True)

    def __init__(self, handlers: Handlers) -> None:
        super().__init__()
        self.on_msg(lambda widget, content, buffers: answer(self, content, handlers))


def answer(widget: ipywidgets.Widget, content: object, handlers: Handlers) -> None:
    """Answer a request on the widget's comm. Exceptions are sent as answers; messages of other kinds are ignored."""
    if not isinstance(content, Mapping) or content.get("type") != "request" or not isinstance(content.get("id"), str):
        return
    reply: dict[str, Any] = {"type": "answer", "id": content["id"]}
    try:
        name = content.get("op")
        handler = handlers.get(name) if isinstance(name, str) else None
        if handler is None:
            raise ValueError(f"Unknown command {str(name)[:80]!r}{did_you_mean(str(name)[:80], handlers)}")
        reply |= {"ok": True, "value": dict(handler(content) or {})}
    except Exception as error:
        if not isinstance(error, AntonNotebookError | ValueError | LookupError):
            log.exception("A request of the page failed.")
        reply |= {"ok": False, "error": {"type": type(error).__name__, "message": str(error)[:2000]}}
    try:
        widget.send(reply)
    except Exception:
        log.warning("An answer could not be sent.", exc_info=True)


def on_subshell() -> bool:
    """Return whether the current message is handled by a subshell, so that the next one is answered while a cell runs."""
    return threading.current_thread().name.startswith("subshell-")
