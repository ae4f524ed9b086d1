"""Inner: the two WebSockets. `/ws/page` carries the widget of a tab, `/ws/trace/{trace_id}` one run's spans as JSON."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from tornado.websocket import WebSocketClosedError, WebSocketHandler

from anton_notebook.api import Traces
from anton_notebook.dashboard import serializers
from anton_notebook.dashboard.auth import MOST_BODY, AuthenticatedHandler
from anton_notebook.dashboard.comm_bridge import Page

if TYPE_CHECKING:
    from anton_notebook.dashboard.app import Dashboard

log = logging.getLogger(__name__)

BATCH = 200
FIGURES = 0.25  # seconds between two messages about the run as a whole
MOST_PAGES = 64


class Socket(AuthenticatedHandler, WebSocketHandler):
    """A WebSocket behind the same gate."""

    def given(self, dashboard: Dashboard) -> None:  # type: ignore[override]
        self.dashboard = dashboard

    def check_origin(self, origin: str) -> bool:
        return True  # the gate has looked at it, and more strictly

    def set_default_headers(self) -> None:
        self.clear_header("Server")


class PageSocket(Socket):
    """The widget of one tab."""

    page: Page | None = None

    async def open(self, *args: str, **given: str) -> None:
        if len(self.dashboard.pages) >= MOST_PAGES:
            self.close(4429, f"{MOST_PAGES} pages are open; close one")
            return
        loop = asyncio.get_running_loop()

        def send(frame: bytes) -> None:
            loop.call_soon_threadsafe(self._write, frame)

        self.page = page = Page(send)
        self.dashboard.enter(page, self.get_query_argument("trace_id", None))

    def _write(self, frame: bytes) -> None:
        page = self.page
        try:
            sending = self.write_message(frame, binary=True)
        except WebSocketClosedError:
            return
        if page is not None:
            asyncio.ensure_future(sending).add_done_callback(lambda done: _sent(done, page, len(frame)))

    def on_message(self, message: str | bytes) -> None:
        if self.page is not None:
            self.page.take(message)

    def on_close(self) -> None:
        if self.page is not None:
            self.dashboard.leave(self.page)


class TraceSocket(Socket):
    """One run: first its figures and what is there, then each span as it arrives or changes.

    Messages: `{"type": "trace", "trace": …}`, `{"type": "span", "span": …}`, `{"type": "gone", "span_id": …}`, and
    `{"type": "live"}` once everything that was there has been sent.
    """

    _ended = False

    async def open(self, *args: str, **given: str) -> None:
        trace_id = unquote(args[0])
        self._news = asyncio.Event()
        loop = asyncio.get_running_loop()
        try:
            self.dashboard.traces[trace_id]
        except LookupError as error:
            await self.write_message(_text({"type": "error", "message": str(error)}))
            self.close(4404, "no such trace")
            return

        def ring() -> None:
            loop.call_soon_threadsafe(self._news.set)

        self._stop = self.dashboard.traces.store.subscribe(ring)
        self._task = asyncio.ensure_future(self._follow(trace_id))

    def on_message(self, message: str | bytes) -> None:
        """Nothing is expected from the other end."""

    async def _follow(self, trace_id: str) -> None:
        try:
            await _follow(self, self.dashboard.traces, trace_id, self._news)
        except (WebSocketClosedError, asyncio.CancelledError):
            pass
        except Exception:
            log.warning("a run could not be followed", exc_info=True)
            self.close(1011, "the dashboard failed; its terminal says more")

    def on_close(self) -> None:
        if hasattr(self, "_task"):
            self._stop()
            self._task.cancel()


async def _follow(socket: Socket, traces: Traces, trace_id: str, news: asyncio.Event) -> None:
    store, since, known, figures, looked = traces.store, -1, False, "", 0.0
    loop = asyncio.get_running_loop()
    while True:
        news.clear()
        code = store.find_trace(trace_id)
        changes = store.changes(since, () if code is None else (code,))
        since = changes.revision
        rows = changes.rows.tolist()
        now = loop.time()
        if now - looked >= FIGURES or not known:
            looked, text = now, _text({"type": "trace", "trace": serializers.run_of(traces[trace_id])})
            if text != figures:
                figures = text
                await socket.write_message(text)
        for row in changes.gone.tolist():
            await socket.write_message(_text({"type": "gone", "trace_id": trace_id, "span_id": store.span_id(row)}))
        for begin in range(0, len(rows), BATCH):
            for span in serializers.spans_of(traces, rows[begin : begin + BATCH]):
                await socket.write_message(_text({"type": "span", "span": span}))
            await asyncio.sleep(0)
        if not known:
            known = True
            await socket.write_message('{"type":"live"}')
        try:
            await asyncio.wait_for(news.wait(), FIGURES if rows else None)
        except TimeoutError:
            continue


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))


def _sent(done: asyncio.Future[None], page: Page, size: int) -> None:
    done.exception()  # a page that left while it was sent to is no failure
    page.sent(size)


LIMITS: dict[str, Any] = {
    "websocket_max_message_size": MOST_BODY,
    "websocket_ping_interval": 20,
    "websocket_ping_timeout": 15,
}
