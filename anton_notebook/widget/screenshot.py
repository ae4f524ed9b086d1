"""Inner: the picture as a page draws it: asked of a page that shows the graph, brought back as PNG."""

from __future__ import annotations

import base64
import binascii
import os
import secrets
import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import ipywidgets  # type: ignore[import-untyped]
import traitlets.traitlets as t

from anton_notebook.errors import NoPage, PictureError
from anton_notebook.widget import commands
from anton_notebook.widget.ipykernel_compat import this_kernel

if TYPE_CHECKING:
    from anton_notebook.widget.stream import Stream

MOST = 64 << 20
GRACE = 0.25
SIGNATURE = b"\x89PNG\r\n\x1a\n"


def _hears_beside() -> bool:
    """Whether this kernel can take a page's message while a cell runs."""
    return bool(getattr(this_kernel(), "_supports_kernel_subshells", False))


class Shot:
    """One picture that pages were asked for."""

    def __init__(self, asked: int) -> None:
        self.token = secrets.token_hex(8)
        self.done = threading.Event()
        self.png: bytes | None = None
        self.refused: dict[str, str] = {}
        self._asked = asked
        self._pieces: dict[str, list[str]] = {}

    def add(self, client: str, piece: str, last: bool) -> None:
        """A piece of a page's answer, base64; the first whole picture counts."""
        pieces = self._pieces.setdefault(client, [])
        pieces.append(piece)
        if sum(map(len, pieces)) > MOST:
            raise ValueError("the picture is larger than 48 MiB")
        if not last or self.done.is_set():
            return
        try:
            found = base64.b64decode("".join(pieces), validate=True)
        except binascii.Error as error:
            raise ValueError("the picture is no base64") from error
        if not found.startswith(SIGNATURE):
            raise ValueError("the picture is no PNG")
        self.png = found
        self.done.set()

    def refuse(self, client: str, why: str) -> None:
        """A page cannot draw it."""
        self.refused[client] = why

    def wait(self, timeout: float) -> bool:
        """Until there is a picture, every page has refused (one of its other views may still draw), or time is out."""
        until = time.monotonic() + timeout
        while (left := until - time.monotonic()) > 0:
            if self.done.wait(min(left, GRACE)):
                return True
            if len(self.refused) >= self._asked:
                return False
        return False


class Shooting(ipywidgets.Widget):  # type: ignore[misc]
    """A part of the widget: `to_png`."""

    _shoot = t.Dict().tag(sync=True)
    _stream: Stream
    _shot: Shot | None = None
    _heard_on = 0

    def to_png(self, path: str | os.PathLike[str] | None = None, *, scale: float = 2.0, timeout: float = 10.0) -> bytes:
        """What a page shows of the graph or the timeline, as PNG; written to `path` too, where one is given.

        A page that shows this graph draws it: its camera, folding, filters, colours and theme. `scale`: points a CSS px, 0.5 to 4.
        Raises `NoPage` at once where no page shows the graph, or where this kernel cannot be answered while a cell runs (then
        call it from a thread, or use `to_svg`, which needs no page), and after `timeout` seconds without an answer;
        `PictureError` with the page's own words where it shows a view that is no picture.
        """
        if isinstance(scale, bool) or not isinstance(scale, int | float) or not 0.5 <= scale <= 4:
            raise ValueError(f"scale={scale!r}: a number from 0.5 to 4 is possible")
        asked = self._stream.clients
        if asked == 0:
            raise NoPage("no page shows this graph, so none can draw it; show it in a cell, or use graph.to_svg(path)")
        if self._heard_on == threading.get_ident() and not _hears_beside():
            raise NoPage(
                "this kernel hears pages only between cells, so none can answer while this one runs; use ipykernel 7 with "
                "JupyterLab 4.4 or newer, call it from a thread, or use graph.to_svg(path)"
            )
        shot = self._shot = Shot(asked)
        self._shoot = {"id": shot.token, "scale": float(scale)}
        try:
            shot.wait(timeout)
        finally:
            self._shot = None
        if shot.png is None:
            if shot.refused:
                raise PictureError(next(iter(shot.refused.values())))
            raise NoPage(
                f"no page that shows this graph answered within {timeout:g} s; is its tab asleep? graph.to_svg(path) needs none"
            )
        if path is not None:
            with open(path, "wb", opener=_private) as file:
                file.write(shot.png)
        return shot.png

    def _heard(self) -> None:
        """Remembers on which thread pages are answered."""
        self._heard_on = threading.get_ident()

    def _shooting_ops(self) -> dict[str, commands.Op]:
        return {"drawn": self._on_drawn}

    def _on_drawn(self, args: Mapping[str, Any]) -> None:
        self._heard()
        shot = self._shot
        if shot is None or args.get("shot") != shot.token:
            return
        client = commands.text(args, "client")
        if args.get("problem") is not None:
            shot.refuse(client, commands.text(args, "problem"))
        else:
            shot.add(client, commands.text(args, "piece", 1 << 20), args.get("last") is True)


def _private(path: str, flags: int) -> int:
    """Opens what is written anew for its owner alone."""
    return os.open(path, flags, 0o600)
