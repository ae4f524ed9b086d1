"""Inner: connections to the upstreams that are kept open between calls, so that passing a call on costs no handshake.

Nothing is asked twice here: whether a failed call may be repeated is the program's (its SDK's) decision.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from tornado.http1connection import HTTP1Connection, HTTP1ConnectionParameters
from tornado.httputil import HTTPHeaders, HTTPMessageDelegate, RequestStartLine, ResponseStartLine
from tornado.iostream import IOStream, StreamClosedError
from tornado.tcpclient import TCPClient

from anton_notebook.errors import UnknownProvider
from anton_notebook.llm.scrub import is_address, told

MOST = 256 << 20
HOPS = frozenset(
    "connection keep-alive proxy-authenticate proxy-authorization proxy-connection te trailer transfer-encoding upgrade".split()
)
"""Headers that are about one connection and are not passed on."""


@dataclass
class Upstream:
    """Where the calls of one API go. `url` is its base, as the SDK would have been given it."""

    url: str
    idle: list[IOStream] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not is_address(self.url) or "@" in self.url or "?" in self.url:
            raise UnknownProvider(
                f"upstream {told(self.url)!r}: an address such as https://api.example.com or http://127.0.0.1:8000/v1 is possible, "
                "without a name, a password or a query in it"
            )
        parts = urlsplit(self.url)
        self.host, self.path = parts.hostname or "", parts.path.rstrip("/")
        self.port = parts.port or (443 if parts.scheme == "https" else 80)
        self.netloc = parts.netloc
        self.tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._tcp: TCPClient | None = None

    async def call(self, method: str, path: str, headers: HTTPHeaders, body: bytes, to: Receiver) -> None:
        """Passes one request on. `ConnectionError` where no whole answer came."""
        stream = await self._stream()
        out = HTTPHeaders()
        for name, value in headers.get_all():
            if name.lower() not in HOPS and name.lower() not in ("host", "content-length", "accept-encoding"):
                out.add(name, value)
        out["Host"] = self.netloc
        out["Accept-Encoding"] = "identity"
        out["Content-Length"] = str(len(body))
        given = HTTP1ConnectionParameters(max_body_size=MOST, max_header_size=1 << 18, chunk_size=1 << 16)
        connection = HTTP1Connection(stream, True, given)
        to.stream = stream
        whole = False
        try:
            connection.write_headers(RequestStartLine(method, self.path + path, "HTTP/1.1"), out, body)
            connection.finish()
            await connection.read_response(to)
            whole = to.finished
        except StreamClosedError as error:
            raise ConnectionError(f"{self.netloc} ended the connection before it answered") from error
        finally:
            to.stream = None
            if whole and to.keeps and not stream.closed():
                self._park(stream)
            else:
                stream.close()
        if not whole:
            raise ConnectionError(f"{self.netloc} ended the connection within its answer")

    async def _stream(self) -> IOStream:
        while self.idle:
            stream = self.idle.pop()
            stream.set_close_callback(None)
            if not stream.closed():
                return stream
        if self._tcp is None:
            self._tcp = TCPClient()
        try:
            made = await self._tcp.connect(self.host, self.port, ssl_options=self.tls, max_buffer_size=MOST)
        except (OSError, StreamClosedError) as error:
            raise ConnectionError(f"{self.netloc} cannot be reached: {error}") from error
        made.set_nodelay(True)
        return made

    def _park(self, stream: IOStream) -> None:
        self.idle.append(stream)
        stream.set_close_callback(lambda: self.idle.remove(stream) if stream in self.idle else None)

    def close(self) -> None:
        """Ends all connections."""
        for stream in [*self.idle]:
            stream.close()
        self.idle.clear()


class Receiver(HTTPMessageDelegate):
    """Takes one answer as it comes."""

    def __init__(self, head: Callable[[int, str, HTTPHeaders], None], piece: Callable[[bytes], None]) -> None:
        self._head, self._piece = head, piece
        self.stream: IOStream | None = None
        self.finished = False
        self.keeps = True

    def headers_received(self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders) -> None:
        if isinstance(start_line, ResponseStartLine) and start_line.code >= 200:
            self.keeps = start_line.version == "HTTP/1.1" and headers.get("Connection", "").lower() != "close"
            self._head(start_line.code, start_line.reason, headers)

    def data_received(self, chunk: bytes) -> None:
        self._piece(chunk)

    def finish(self) -> None:
        self.finished = True

    def cancel(self) -> None:
        """The program has gone: the answer is not wanted any more."""
        if self.stream is not None:
            self.stream.close()
