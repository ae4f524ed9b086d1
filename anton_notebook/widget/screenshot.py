"""PNG pictures that a page draws on request."""

from __future__ import annotations

import base64
import binascii
import os
import secrets
import threading
import time
from collections.abc import Callable
from typing import Any

from anton_notebook.errors import NoPage, PictureError
from anton_notebook.widget.arguments import text_argument
from anton_notebook.widget.commands import Args, Handlers
from anton_notebook.widget.files import write_private
from anton_notebook.widget.kernel_comm import supports_subshells

LIMIT = 64 << 20  # characters of base64
POLL = 0.25  # seconds between two looks at refusals
SIGNATURE = b"\x89PNG\r\n\x1a\n"


class PictureRequest:
    """A request for one picture to `pages` pages; the first complete one counts."""

    def __init__(self, pages: int) -> None:
        self.token = secrets.token_hex(8)
        self.done = threading.Event()
        self.png: bytes | None = None
        self.refused: dict[str, str] = {}
        self._pages = pages
        self._pieces: dict[str, list[str]] = {}

    def add(self, client: str, piece: str, last: bool) -> None:
        """Add a piece of a page's answer, in base64."""
        pieces = self._pieces.setdefault(client, [])
        pieces.append(piece)
        if sum(map(len, pieces)) > LIMIT:
            raise ValueError("The picture is larger than 48 MiB.")
        if not last or self.done.is_set():
            return
        try:
            png = base64.b64decode("".join(pieces), validate=True)
        except binascii.Error as error:
            raise ValueError("The picture is not valid base64.") from error
        if not png.startswith(SIGNATURE):
            raise ValueError("The picture is not a PNG file.")
        self.png = png
        self.done.set()

    def refuse(self, client: str, reason: str) -> None:
        """Record that a page cannot draw the picture."""
        self.refused[client] = reason

    def wait(self, timeout: float) -> bool:
        """Wait for the picture, for the refusal of every page, or for `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while (left := deadline - time.monotonic()) > 0:
            if self.done.wait(min(left, POLL)):
                return True
            # Checked after a pause: another view of the same page may still draw the picture.
            if len(self.refused) >= self._pages:
                return False
        return False


class Screenshot:
    """Pictures of one widget. `pages` returns how many pages show it."""

    def __init__(self, widget: Any, pages: Callable[[], int]) -> None:
        self._widget, self._pages = widget, pages
        self._request: PictureRequest | None = None
        self._page_thread = 0

    def handlers(self) -> Handlers:
        """Return the handlers of a page's requests."""
        return {"drawn": self._handle_drawn}

    def note_page_thread(self) -> None:
        """Remember the thread that answers pages."""
        self._page_thread = threading.get_ident()

    def to_png(self, path: str | os.PathLike[str] | None, *, scale: float, timeout: float, overwrite: bool) -> bytes:
        """Ask the pages for a picture and wait; see `TraceGraph.to_png`."""
        if isinstance(scale, bool) or not isinstance(scale, int | float) or not 0.5 <= scale <= 4:
            raise ValueError(f"scale must be a number from 0.5 to 4, not {scale!r}")
        pages = self._pages()
        if pages == 0:
            raise NoPage("No page shows this graph. Display it in a cell, or use graph.to_svg(path).")
        # Waiting on the thread that answers pages would wait forever.
        if self._page_thread == threading.get_ident() and not supports_subshells():
            raise NoPage(
                "This kernel answers pages only between cells. Use ipykernel 7 with JupyterLab 4.4 or newer, call to_png from a "
                "thread, or use graph.to_svg(path)."
            )
        request = self._request = PictureRequest(pages)
        self._widget._shoot = {"id": request.token, "scale": float(scale)}
        try:
            request.wait(timeout)
        finally:
            self._request = None
        if request.png is None:
            if request.refused:
                raise PictureError(next(iter(request.refused.values())))
            raise NoPage(
                f"No page that shows this graph answered within {timeout:g} s. Its tab may be asleep. graph.to_svg(path) needs "
                "no page."
            )
        if path is not None:
            write_private(path, request.png, overwrite=overwrite)
        return request.png

    def _handle_drawn(self, args: Args) -> None:
        self.note_page_thread()
        request = self._request
        if request is None or args.get("shot") != request.token:
            return
        client = text_argument(args, "client")
        if args.get("problem") is not None:
            request.refuse(client, text_argument(args, "problem"))
        else:
            request.add(client, text_argument(args, "piece", 1 << 20), args.get("last") is True)
