"""Inner: who may come in. A token, the name the page was asked for by, and the page that asks; checked on every request.

A page of another site in the same browser can send requests to this port, and with a name of its own that points here it can
even read the answers. So each request must name this server as its `Host`, and bring the token in its URL, in an
`Authorization` header or in the cookie that the first page was given. What a browser sends for another page names that page as
its `Origin` and is turned away.
"""

from __future__ import annotations

import hmac
import ipaddress
import json
import logging
import secrets
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from tornado.web import HTTPError, RequestHandler

log = logging.getLogger(__name__)

MOST_BODY = 8 * 2**20
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
POLICY = (
    "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; img-src data: blob:; "
    "font-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'"
)


class Gate:
    """The token of one server, and the names it answers to."""

    def __init__(self, host: str, port: int, names: Iterable[str] = (), token: str | None = None) -> None:
        self.host, self.port = host, port
        self.token = token or secrets.token_urlsafe(32)
        self.session = secrets.token_urlsafe(32)
        self._tickets: set[str] = set()
        self.cookie = f"anton_notebook_{port}"
        self.names = {*_LOOPBACK, *names}
        self.anywhere = host in ("0.0.0.0", "::", "")
        if not self.anywhere:
            self.names.add(host)

    @property
    def url(self) -> str:
        """The address to open, with the token."""
        return f"{self.address}/?token={self.token}"

    def once(self) -> str:
        """The address for the command line of a browser, which other users of the machine can see: it opens one page, once."""
        ticket = secrets.token_urlsafe(32)
        self._tickets.add(ticket)
        return f"{self.address}/?token={ticket}"

    @property
    def address(self) -> str:
        """The address without the token."""
        host = "127.0.0.1" if self.anywhere else self.host
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"

    def answers_to(self, host: str | None, own: str | None) -> bool:
        """Whether a `Host` header names this server; `own` is the address that the request came in at."""
        name, port = _split(host)
        if name is None or port != self.port:
            return False
        if name in self.names:
            return True
        return self.anywhere and own is not None and _same_address(name, own)

    def opens(self, token: str | None) -> bool:
        """Whether this is the token, or a ticket that nobody has used yet."""
        if token is None:
            return False
        if token in self._tickets:
            self._tickets.discard(token)
            return True
        return hmac.compare_digest(token.encode("utf-8", "replace"), self.token.encode())

    def knows(self, session: str | None) -> bool:
        """Whether this is the cookie that this server has given out."""
        return session is not None and hmac.compare_digest(session.encode("utf-8", "replace"), self.session.encode())


class AuthenticatedHandler(RequestHandler):
    """A handler that lets in who may come in, and answers errors as JSON with a reason."""

    def initialize(self, gate: Gate, **given: Any) -> None:
        self.gate = gate
        self.nonce = secrets.token_urlsafe(18)
        self.given(**given)

    def given(self, **given: Any) -> None:
        """What the application hands to the handler besides the gate."""

    def set_default_headers(self) -> None:
        self.clear_header("Server")
        for name, value in (
            ("X-Content-Type-Options", "nosniff"),
            ("Referrer-Policy", "no-referrer"),
            ("Cross-Origin-Opener-Policy", "same-origin"),
            ("Cross-Origin-Resource-Policy", "same-origin"),
            ("Cache-Control", "no-store"),
            ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
        ):
            self.set_header(name, value)

    def prepare(self) -> None:
        if not self.gate.answers_to(self.request.headers.get("Host"), self._arrived_at()):
            raise HTTPError(403, reason="Forbidden", log_message="a Host that is not this server")
        by_cookie = False
        if not self.gate.opens(self._token()):
            by_cookie = self.gate.knows(self.get_cookie(self.gate.cookie))
            if not by_cookie:
                raise HTTPError(401, reason="Unauthorized", log_message="no token, or a wrong one")
        if not self._same_page(by_cookie):
            raise HTTPError(403, reason="Forbidden", log_message="another page asks")

    def _arrived_at(self) -> str | None:
        stream = getattr(self.request.connection, "stream", None)
        sock = getattr(stream, "socket", None)
        try:
            return str(sock.getsockname()[0]) if sock is not None else None
        except OSError:
            return None

    def _token(self) -> str | None:
        header = self.request.headers.get("Authorization", "")
        kind, _, token = header.partition(" ")
        if kind.lower() in ("bearer", "token") and token:
            return token.strip()
        return self.get_query_argument("token", None)

    def _same_page(self, by_cookie: bool) -> bool:
        """Scripts send no `Origin`; a browser sends the page's with everything that could change something."""
        origin = self.request.headers.get("Origin")
        site, mode = (self.request.headers.get(f"Sec-Fetch-{name}") for name in ("Site", "Mode"))
        if by_cookie and site in ("same-site", "cross-site") and mode != "navigate":
            return False  # another port of this machine has the same cookies
        if origin is None:
            changes = self.request.method not in ("GET", "HEAD") or "Upgrade" in self.request.headers
            return not (by_cookie and changes)
        parts = urlsplit(origin)
        return parts.scheme == "http" and self.gate.answers_to(parts.netloc, self._arrived_at())

    def check_xsrf_cookie(self) -> None:
        """What tornado's second cookie would prove is proved by `_same_page`."""

    def body(self) -> dict[str, Any]:
        """The request's JSON object; 400 where it is none."""
        if self.request.headers.get("Content-Type", "").partition(";")[0].strip() != "application/json":
            raise Refused(415, "the body must be JSON: send Content-Type: application/json")
        try:
            given = json.loads(self.request.body)
        except (ValueError, RecursionError) as error:
            raise Refused(400, f"the body is not JSON: {error}") from None
        if not isinstance(given, dict):
            raise Refused(400, f"the body must be a JSON object, not {type(given).__name__}")
        return given

    def answer(self, value: Any) -> None:
        """Finishes with a JSON value."""
        self.set_header("Content-Type", "application/json; charset=utf-8")
        self.finish(json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")))

    def write_error(self, status_code: int, **given: Any) -> None:
        error = given.get("exc_info", (None, None, None))[1]
        said = error.message if isinstance(error, Refused) else _REASONS.get(status_code, self._reason)
        kind = error.kind if isinstance(error, Refused) else "error"
        self.answer({"error": {"type": kind, "message": said, "status": status_code}})

    def log_exception(self, *error: Any) -> None:
        if not isinstance(error[1], HTTPError):  # tornado would name the address, which may hold the token
            log.error("a request to %s failed", self.request.path[:200], exc_info=error)


class Refused(HTTPError):
    """An answer with a reason that the caller may read."""

    def __init__(self, status: int, message: str, kind: str = "error") -> None:
        super().__init__(status)
        self.message, self.kind = message, kind


_REASONS = {
    401: "no token, or a wrong one: use the address that the dashboard printed, or send Authorization: Bearer TOKEN",
    403: "the request names another server, or comes from another page: use the address that the dashboard printed",
    404: "there is nothing at this address: try /, /api/traces, /api/traces/{trace_id}, /api/stats, /health",
    405: "this address does not take that method",
    500: "the dashboard failed at this request; its terminal says more",
}


def _split(host: str | None) -> tuple[str | None, int]:
    """Name and port of a `Host` header, the name in lower case."""
    if not host or any(c in host for c in " ,/@\\"):
        return None, 0
    name, port = host, "80"
    if host.startswith("["):
        name, closing, rest = host[1:].partition("]")
        if not closing or (rest and not rest.startswith(":")):
            return None, 0
        port = rest[1:] or "80"
    elif ":" in host:
        name, _, port = host.rpartition(":")
    return name.lower(), int(port) if port.isascii() and port.isdigit() and len(port) < 6 else 0


def _same_address(name: str, own: str) -> bool:
    try:
        return ipaddress.ip_address(name) == ipaddress.ip_address(own.partition("%")[0])
    except ValueError:
        return False
