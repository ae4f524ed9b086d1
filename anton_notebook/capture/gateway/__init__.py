"""A local HTTP door to Anthropic's and OpenAI's APIs that records what programs ask and what they are answered.

A program whose SDKs are sent here (`environment()`) works as before; every call is a span of a trace, with its whole request.
With an `answerer` (see `replay.program`) requests are answered from a recording.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING

from anton_notebook.capture.gateway.recorder import Recorder

if TYPE_CHECKING:
    from anton_notebook.capture.gateway.proxy_handler import Responder

DEFAULTS = {"anthropic": "https://api.anthropic.com", "openai": "https://api.openai.com/v1"}
VARIABLES = {"anthropic": ("ANTHROPIC_BASE_URL",), "openai": ("OPENAI_BASE_URL", "OPENAI_API_BASE")}


class Gateway:
    """Runs in a thread of its own, on a free port of 127.0.0.1, until `close()`; a context manager.

    Calls go to `upstreams` (`{"anthropic": url, "openai": url}`) and nowhere else; by default where the SDKs would go themselves:
    to `ANTHROPIC_BASE_URL` and `OPENAI_BASE_URL` where these are set, else to the vendors. Who does not know the one-time token in
    the base URL is turned away. Keys pass through in headers; they are not kept and not written.

    >>> import pathlib, tempfile
    >>> with Gateway(Recorder(pathlib.Path(tempfile.mkdtemp()))) as gateway:
    ...     gateway.environment()["ANTHROPIC_BASE_URL"].startswith("http://127.0.0.1:")
    True
    """

    def __init__(
        self, recorder: Recorder, upstreams: Mapping[str, str] | None = None, answerer: Responder | None = None
    ) -> None:
        self.recorder = recorder
        self.token = secrets.token_urlsafe(24)
        self.port = 0
        self._upstreams = dict(upstreams) if upstreams is not None else upstreams_of(os.environ)
        self._answerer = answerer
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> Gateway:
        """Begins to listen; gives itself back."""
        self._thread = threading.Thread(target=self._run, name="anton_notebook gateway", daemon=True)
        self._thread.start()
        self._ready.wait()
        if self._failure is not None:
            raise self._failure
        return self

    @property
    def url(self) -> str:
        """The base URL, token included: whoever knows it may send calls through."""
        return f"http://127.0.0.1:{self.port}/{self.token}"

    def environment(self) -> dict[str, str]:
        """The variables that send both SDKs here."""
        from anton_notebook.capture.gateway.proxy_handler import PREFIXES

        out = {name: self.url + PREFIXES[who] for who, names in VARIABLES.items() for name in names}
        for name in ("NO_PROXY", "no_proxy"):
            others = [word for word in os.environ.get(name, "").split(",") if word and word != "127.0.0.1"]
            out[name] = ",".join([*others, "127.0.0.1"])
        return out

    def close(self) -> None:
        """Ends the listening and the trace; calls under way are cut."""
        if self._loop is not None and self._stop is not None and self._thread is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()
        self.recorder.close()

    def __enter__(self) -> Gateway:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            self._failure = error
            self._ready.set()

    async def _serve(self) -> None:
        from tornado.httpserver import HTTPServer
        from tornado.netutil import bind_sockets

        from anton_notebook.capture.gateway.proxy_handler import GatewayState, application
        from anton_notebook.capture.gateway.upstream_pool import MOST, Upstream

        upstreams = {name: Upstream(url) for name, url in self._upstreams.items()}
        door = GatewayState(self.token, upstreams, self.recorder, self._answerer)
        server = HTTPServer(application(door), max_buffer_size=MOST, max_body_size=MOST)
        sockets = bind_sockets(0, "127.0.0.1")
        self.port = door.port = int(sockets[0].getsockname()[1])
        server.add_sockets(sockets)
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self._ready.set()
        await self._stop.wait()
        server.stop()
        await server.close_all_connections()
        for upstream in upstreams.values():
            upstream.close()


def upstreams_of(environment: Mapping[str, str]) -> dict[str, str]:
    """Where the SDKs would go in this environment."""
    found = {who: next((environment[n] for n in names if environment.get(n)), None) for who, names in VARIABLES.items()}
    return {who: url or DEFAULTS[who] for who, url in found.items()}


__all__ = ["Gateway", "Recorder", "upstreams_of"]
