"""Inner: widgets on a page without a kernel.

`comm.create_comm` is replaced, as its package intends: a widget that is made for a `Page` gets a comm whose messages go over
that page's WebSocket. One binary frame holds one message: 4 bytes with the length of the JSON header, the header, then for each
buffer its 4 bytes of length and its bytes, each part padded to 8 bytes so that the page reads columns in place.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import comm
from comm.base_comm import BaseComm

from anton_notebook.widget.framing import frame

log = logging.getLogger(__name__)

UNSENT = 64 * 2**20
"""Bytes that may wait for a slow page; what is beyond is refused, and the widget sends it later."""
_here = threading.local()


class Page:
    """One tab of a browser: its comms, and the one thread that handles what it says, in order."""

    def __init__(self, send: Callable[[bytes], None]) -> None:
        self._send = send
        self._comms: dict[str, PageComm] = {}
        self._lock = threading.Lock()
        self.waiting = 0
        self.open = True
        self.thread = ThreadPoolExecutor(1, "anton_notebook page", initializer=lambda: setattr(_here, "page", self))

    def publish(self, header: dict[str, Any], buffers: Sequence[Any] = ()) -> None:
        """Sends one message; `ConnectionError` where the page is gone or too slow. From any thread."""
        if not self.open:
            raise ConnectionError("the page is gone")
        if self.waiting > UNSENT:
            raise ConnectionError("the page is too slow; it will be brought up to date")
        packed = frame(header, buffers)
        with self._lock:
            self.waiting += len(packed)
        self._send(packed)

    def sent(self, size: int) -> None:
        """A frame has left."""
        with self._lock:
            self.waiting -= size

    def take(self, frame: bytes | str) -> None:
        """Handles a message of the page on the page's thread; what is no message is dropped."""
        self.thread.submit(self._take, frame)

    def _take(self, frame: bytes | str) -> None:
        try:
            header = json.loads(frame)
            found = self._comms.get(header["comm_id"])
            if found is not None and isinstance(header["data"], dict):
                found.handle_msg({"content": {"comm_id": found.comm_id, "data": header["data"]}, "buffers": []})
        except Exception:
            log.warning("a message of a page could not be handled", exc_info=True)

    def add(self, one: PageComm) -> None:
        """A comm of this page was opened."""
        self._comms[one.comm_id] = one

    def discard(self, one: PageComm) -> None:
        """A comm of this page was closed."""
        self._comms.pop(one.comm_id, None)

    def close(self) -> None:
        """The page is gone."""
        self.open = False
        self.thread.shutdown(wait=False, cancel_futures=True)


class PageComm(BaseComm):
    """A comm whose other end is a page's WebSocket."""

    def __init__(self, *args: Any, page: Page, **given: Any) -> None:
        self.page = page
        super().__init__(*args, **given)

    def publish_msg(
        self,
        msg_type: str,
        data: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
        buffers: Sequence[Any] | None = None,
        **keys: Any,
    ) -> None:
        if msg_type == "comm_open":
            self.page.add(self)
        elif msg_type == "comm_close":
            self.page.discard(self)
            if not self.page.open:
                return
        self.page.publish({"type": msg_type, "comm_id": self.comm_id, "data": _lean(data or {})}, buffers or ())


def _lean(data: dict[str, Any]) -> dict[str, Any]:
    """Without the front end's own text, which the page has."""
    state = data.get("state")
    if isinstance(state, dict) and ("_esm" in state or "_css" in state):
        return {**data, "state": {name: value for name, value in state.items() if name not in ("_esm", "_css")}}
    return data


def install() -> Callable[[], None]:
    """Makes new widgets of a page's thread speak to that page; others stay as they were. Returns the way to undo it."""
    before: Any = comm.create_comm

    def create(*args: Any, **given: Any) -> BaseComm:
        page = getattr(_here, "page", None)
        made: BaseComm = before(*args, **given) if page is None else PageComm(*args, page=page, **given)
        return made

    comm.create_comm = create

    def undo() -> None:
        if comm.create_comm is create:
            comm.create_comm = before

    return undo
