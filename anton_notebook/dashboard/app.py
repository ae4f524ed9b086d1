"""Inner: the server. One reader for all pages; a page has a `TraceGraph` of its own, and a thread that handles what it says."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application

from anton_notebook.api import PathLike, Traces, open_traces
from anton_notebook.dashboard import comm_bridge, handlers, serializers, websockets
from anton_notebook.dashboard.auth import MOST_BODY, POLICY, AuthenticatedHandler, Gate
from anton_notebook.dashboard.comm_bridge import Page
from anton_notebook.errors import AntonNotebookError, TraceNotFound
from anton_notebook.experiments.rerun import Budget
from anton_notebook.model.span import Flag
from anton_notebook.widget.bundle import bundled

log = logging.getLogger(__name__)

PACE = 0.5  # seconds between two lists of runs sent to a page
LISTED = 500


class Dashboard:
    """The workbench as a web page. `start()` in a running event loop, `close()` ends all that it started.

    `path`: what `read_traces` takes. `trace`: the run to show first. `budget`: US dollars for all that its pages and scripts
    start together (None: 1.00). Raises `PathNotFound`, `NotATrace`, `MissingBundle`, `TraceNotFound`.
    """

    def __init__(
        self,
        path: PathLike | Sequence[PathLike],
        *,
        trace: str | None = None,
        allow_rerun: bool = False,
        allow_replay: bool = False,
        budget: float | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        names: Sequence[str] = (),
    ) -> None:
        self.allow_rerun, self.allow_replay = allow_rerun or allow_replay, allow_replay
        self.budget = Budget(1.0 if budget is None else budget)
        bundled("dashboard.js"), bundled("dashboard.css")  # a missing one is said now
        self.trace = trace
        self.pages: dict[Page, Any] = {}
        self._told: dict[Page, dict[str, str]] = {}
        self._sockets = _bind(host, port)
        self.gate = Gate(host, self._sockets[0].getsockname()[1], names)
        self.traces: Traces = open_traces(path, following=True)
        self._undo = comm_bridge.install()
        self._ends: list[Callable[[], object]] = [self.traces.close, self._undo]
        if trace is not None and trace not in self.traces:
            try:
                self.traces[trace]
            except TraceNotFound:
                self.close()
                raise
        self._server: HTTPServer | None = None
        self._news = threading.Event()

    @property
    def url(self) -> str:
        """The address to open, with its token."""
        return self.gate.url

    async def start(self) -> None:
        """Listens from now on."""
        own, all_given = {"gate": self.gate}, {"gate": self.gate, "dashboard": self}
        application = Application(
            [
                (r"/", Index, {**all_given}),
                (r"/static/(dashboard\.js|dashboard\.css)", Static, {**all_given}),
                (r"/favicon\.ico", Icon, own),
                (r"/health", handlers.HealthHandler, all_given),
                (r"/api/traces", handlers.TracesHandler, all_given),
                (r"/api/traces/([^/]+)", handlers.TraceHandler, all_given),
                (r"/api/spans/([^/]+)", handlers.SpanHandler, all_given),
                (r"/api/stats", handlers.StatsHandler, all_given),
                (r"/api/costs", handlers.CostsHandler, all_given),
                (r"/api/execute/llm", handlers.ExecuteHandler, all_given),
                (r"/api/replay/([^/]+)", handlers.ReplayHandler, all_given),
                (r"/ws/page", websockets.PageSocket, all_given),
                (r"/ws/trace/([^/]+)", websockets.TraceSocket, all_given),
            ],
            default_handler_class=handlers.NotFoundHandler,
            default_handler_args=all_given,
            log_function=lambda handler: None,  # an address may hold the token
            compress_response=True,
            **websockets.LIMITS,
        )
        self._server = HTTPServer(application, max_body_size=MOST_BODY, max_header_size=64 * 1024)
        self._server.add_sockets(self._sockets)
        stop = self.traces.store.subscribe(self._news.set)
        self._ends.append(stop)
        teller = asyncio.ensure_future(self._tell())
        self._ends.append(teller.cancel)

    def rows_of(self, trace_id: str) -> list[int]:
        """The rows of a run's spans, by start."""
        store = self.traces.store
        with store.lock:
            code = store.find_trace(trace_id)
            rows = np.flatnonzero(store.c.trace[: store.size] == (-1 if code is None else code))
            rows = rows[(store.c.flags[rows] & np.uint8(Flag.DEAD | Flag.PENDING)) == 0]
            return [int(row) for row in rows[np.argsort(store.c.start[rows], kind="stable")]]

    # -- pages

    def enter(self, page: Page, trace_id: str | None) -> None:
        """A tab was opened: its widget is made on its own thread."""
        self.pages[page] = None
        page.thread.submit(self._make, page, trace_id if trace_id is not None else self.trace)

    def _make(self, page: Page, trace_id: str | None) -> None:
        from anton_notebook.widget.trace_graph import TraceGraph

        try:
            shown = trace_id if trace_id is not None and trace_id in self.traces else None
            graph = TraceGraph(
                self.traces,
                trace_id=shown,
                allow_rerun=self.allow_rerun,
                allow_replay=self.allow_replay,
                budget=self.budget,
            )
            if page not in self.pages:
                graph.close()
                return
            self.pages[page] = graph
            page.publish({"type": "root", "comm_id": graph.comm.comm_id, "title": self._title()})
            self._tell_page(page)
        except Exception as error:
            log.warning("the widget of a page could not be made", exc_info=True)
            said = str(error) if isinstance(error, AntonNotebookError) else type(error).__name__
            with contextlib.suppress(ConnectionError):
                page.publish({"type": "failed", "message": said})

    def leave(self, page: Page) -> None:
        """A tab was closed."""
        if page not in self.pages:
            return
        graph = self.pages.pop(page)
        self._told.pop(page, None)
        page.open = False
        if graph is not None:
            page.thread.submit(graph.close)
        page.thread.submit(page.close)

    def _title(self) -> str:
        return ", ".join(Path(path).name or str(path) for path in self.traces.reader.paths)

    async def _tell(self) -> None:
        """Tells the pages which runs there are, as they change."""
        while True:
            await asyncio.sleep(PACE)
            if self._news.is_set() and self.pages:
                self._news.clear()
                for page in list(self.pages):
                    if self.pages.get(page) is not None:
                        page.thread.submit(self._tell_page, page)

    def _tell_page(self, page: Page) -> None:
        try:
            found, total = serializers.runs(self.traces, LISTED, experiments=True)
            told = self._told.setdefault(page, {})
            news = []
            for run in found:
                text = repr(run)
                if told.get(run["trace_id"]) != text:
                    told[run["trace_id"]] = text
                    news.append(run)
            if news:
                page.publish({"type": "runs", "runs": news, "total": total})
        except ConnectionError:
            self._told.pop(page, None)
            self._news.set()
        except Exception:
            log.warning("the list of runs could not be sent", exc_info=True)

    def close(self) -> None:
        """Ends the server, the pages and the reading. Idempotent."""
        server, self._server = getattr(self, "_server", None), None
        if server is not None:
            server.stop()
        for page in list(getattr(self, "pages", {})):
            self.leave(page)
        for end in reversed(self.__dict__.pop("_ends", [])):
            with contextlib.suppress(Exception):
                end()
        for one in self._sockets:
            with contextlib.suppress(OSError):
                one.close()


class Index(AuthenticatedHandler):
    """The page. It is given the cookie, and takes the token out of its address."""

    def given(self, dashboard: Dashboard) -> None:  # type: ignore[override]
        self.dashboard = dashboard

    def get(self) -> None:
        self.set_header("Content-Security-Policy", POLICY.format(nonce=self.nonce))
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.set_cookie(self.gate.cookie, self.gate.session, httponly=True, samesite="Strict", path="/")
        self.finish(
            "<!doctype html>\n"
            '<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            '<meta name="color-scheme" content="light dark">\n<title>anton_notebook</title>\n'
            f'<link rel="stylesheet" href="/static/dashboard.css" nonce="{self.nonce}">\n</head>\n'
            f'<body>\n<script type="module" src="/static/dashboard.js" nonce="{self.nonce}"></script>\n</body>\n</html>\n'
        )


class Static(AuthenticatedHandler):
    """The front end's two files."""

    def given(self, dashboard: Dashboard) -> None:  # type: ignore[override]
        self.dashboard = dashboard

    def get(self, name: str) -> None:
        script = name.endswith(".js")
        self.set_header("Content-Type", f"text/{'javascript' if script else 'css'}; charset=utf-8")
        self.finish(bundled(name))  # read again after a build, for who works on it


class Icon(AuthenticatedHandler):
    """Browsers ask for it."""

    def get(self) -> None:
        self.set_status(204)
        self.finish()


def _bind(host: str, port: int) -> list[socket.socket]:
    try:
        found = bind_sockets(port, host or None, reuse_port=False)
    except (OSError, OverflowError) as error:
        raise DashboardError(
            f"the dashboard cannot listen on {host}:{port} ({error}); give another --port, or none for a free one"
        ) from None
    if port == 0:  # one address: two families would have two ports
        for more in found[1:]:
            more.close()
        found = found[:1]
    return found


class DashboardError(AntonNotebookError):
    """The dashboard cannot be started."""
