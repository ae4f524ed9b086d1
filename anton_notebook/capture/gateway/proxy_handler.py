"""Inner: the HTTP door itself: who may come in, what is passed on, what is answered from a recording."""

from __future__ import annotations

import hmac
import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from tornado.httputil import HTTPHeaders
from tornado.iostream import StreamClosedError
from tornado.web import Application, HTTPError, RequestHandler

from anton_notebook.capture.gateway.recorder import Exchange, Recorder
from anton_notebook.capture.gateway.sse_assembly import assembled, streamed
from anton_notebook.capture.gateway.upstream_pool import HOPS, Receiver, Upstream
from anton_notebook.capture.gateway.wire_formats import Body, api_of, response_of
from anton_notebook.llm import Exhausted, Gate

log = logging.getLogger(__name__)
KEYS = ("Authorization", "X-Api-Key", "Api-Key")
PREFIXES = {"anthropic": "/anthropic", "openai": "/openai/v1"}


class Decision(NamedTuple):
    """What is to be done with a request: `answer` it, `refuse` it with a sentence, or (neither) pass `body` on.

    `answered` is applied to an answer before the program gets it, `mark` says in the trace how it came about.
    """

    body: Body
    answer: Body | None = None
    refuse: str | None = None
    answered: Callable[[Any], Any] | None = None
    mark: Mapping[str, Any] = {}
    recorded: Body | None = None
    """The request as the trace is to have it, where that differs from `body`."""
    status: int = 200
    gate: Gate | None = None
    """Asked before the request is passed on, and told what it used."""


class Responder(Protocol):
    """Decides on every request, in the gateway's own thread."""

    def decide(self, api: str, body: Body) -> Decision:
        """What is to be done with a request."""

    def refuse(self, method: str, path: str) -> str | None:
        """Why a request that is none of the known calls must not be passed on; None where it may."""


@dataclass
class GatewayState:
    """What the handlers share."""

    token: str
    upstreams: dict[str, Upstream]
    recorder: Recorder
    answerer: Responder | None = None
    port: int = 0
    open: int = field(default=0)


def application(door: GatewayState) -> Application:
    """The tornado application."""
    return Application([(r"/.*", Handler, {"door": door})], log_function=lambda handler: None)


class Handler(RequestHandler):
    """One request."""

    def initialize(self, door: GatewayState) -> None:
        self.door = door
        self._receiver: Receiver | None = None
        self._gone = self._redirected = False

    def set_default_headers(self) -> None:
        self.clear_header("Server")
        self.clear_header("Content-Type")

    def prepare(self) -> None:
        """A page in a browser sends an Origin, a rebound name another Host; programs send neither."""
        host = (self.request.headers.get("Host") or "").lower()
        if host not in (f"127.0.0.1:{self.door.port}", f"localhost:{self.door.port}"):
            raise HTTPError(403, reason="Forbidden")
        if self.request.headers.get("Origin") is not None or self.request.headers.get("Sec-Fetch-Site") is not None:
            raise HTTPError(403, reason="Forbidden")
        token = self.request.path.split("/", 2)[1]
        if not hmac.compare_digest(token.encode("utf-8", "replace"), self.door.token.encode()):
            raise HTTPError(401, reason="Unauthorized")

    async def get(self) -> None:
        await self._pass()

    async def post(self) -> None:
        await self._pass()

    async def delete(self) -> None:
        await self._pass()

    def on_connection_close(self) -> None:
        self._gone = True
        if self._receiver is not None:
            self._receiver.cancel()

    def write_error(self, status_code: int, **given: Any) -> None:
        said = {
            401: "the base URL lacks the gateway's one-time token: use the one that the gateway put into the environment",
            403: "this gateway answers programs on this machine only",
            404: "the gateway passes on /anthropic and /openai/v1 alone",
        }.get(status_code, self._reason)
        self._fail(status_code, said, "gateway_error")

    def log_exception(self, *error: Any) -> None:
        if not isinstance(error[1], HTTPError):  # tornado would name the address, which holds the token
            log.error("a request through the gateway failed", exc_info=error)

    def _fail(self, status: int, said: str, kind: str) -> None:
        self.set_status(status)
        self.set_header("Content-Type", "application/json")
        self.set_header("X-Should-Retry", "false")
        self.finish(json.dumps({"type": "error", "error": {"type": kind, "message": said}}))

    async def _pass(self) -> None:
        rest = self.request.path[len(self.door.token) + 1 :]
        name = next((n for n, p in PREFIXES.items() if rest.startswith(p + "/") and n in self.door.upstreams), None)
        if name is None:
            raise HTTPError(404)
        path = rest[len(PREFIXES[name]) :]
        api = api_of(name, path) if self.request.method == "POST" else None
        body = _object(self.request.body) if api else None
        if self.request.query:
            path += "?" + self.request.query
        upstream = self.door.upstreams[name]
        if api is None or body is None:
            answerer = self.door.answerer
            if answerer is not None and (said := answerer.refuse(str(self.request.method), path)) is not None:
                self._fail(402, said, "budget_error")
                return
            await self._forward(upstream, path, self.request.body, None)
            return
        await self._call(upstream, path, api, body)

    async def _call(self, upstream: Upstream, path: str, api: str, body: Body) -> None:
        exchange = Exchange(api, body, time.time(), self.request.headers.get("X-Agent-Name"))
        sent = [self.request.headers.get(name, "") for name in KEYS]
        exchange.keys = [word for value in sent for word in (value, value.partition(" ")[2]) if word]
        raw = self.request.body
        decision = None
        if self.door.answerer is not None:
            decision = self.door.answerer.decide(api, body)
            if decision.refuse is not None:
                self._fail(409, decision.refuse, "replay_divergence")
                return
            if decision.body is not body:
                raw = json.dumps(decision.body, ensure_ascii=False).encode("utf-8", "replace")
            exchange.body = decision.recorded if decision.recorded is not None else decision.body
            exchange.mark = dict(decision.mark)
        self.door.recorder.begin(exchange)
        try:
            if decision is not None and decision.answer is not None:
                exchange.answer, exchange.status = decision.answer, decision.status
                self.set_status(decision.status)
                self._say(api, body, decision.answer, decision.answered)
            elif decision is not None:
                await self._paid(upstream, path, raw, exchange, decision)
            else:
                await self._forward(upstream, path, raw, exchange)
        finally:
            exchange.ended = time.time()
            self.door.recorder.end(exchange)

    async def _paid(self, upstream: Upstream, path: str, raw: bytes, exchange: Exchange, decision: Decision) -> None:
        """Passes a request on if its gate lets it."""
        gate = decision.gate
        if gate is None:
            await self._forward(upstream, path, raw, exchange, decision.answered)
            return
        try:
            await gate.enter()
        except Exhausted as end:
            exchange.status, exchange.error = 402, f"not sent: {end}"
            self._fail(402, str(end), "budget_error")
            return
        usage = model = None
        try:
            await self._forward(upstream, path, raw, exchange, decision.answered)
            body = exchange.whole_answer() if exchange.status < 400 and exchange.error is None else {}
            if body:
                answer = response_of(exchange.api, body)
                usage, model = answer.usage, answer.model
        finally:
            gate.leave(usage, True, model)

    def _say(self, api: str, asked: Body, answer: Body, answered: Callable[[Any], Any] | None) -> None:
        body = answered(answer) if answered is not None else answer
        if asked.get("stream") and self.get_status() < 400:
            self.set_header("Content-Type", "text/event-stream; charset=utf-8")
            self.finish(streamed(api, body, asked))
        else:
            self.set_header("Content-Type", "application/json")
            self.finish(json.dumps(body, ensure_ascii=False).encode("utf-8", "replace"))

    async def _forward(
        self,
        upstream: Upstream,
        path: str,
        raw: bytes,
        exchange: Exchange | None,
        answered: Callable[[Any], Any] | None = None,
    ) -> None:
        """Passes a request on and its answer back, piece by piece; where the answer is to be changed, whole."""
        held: list[bytes] = []

        def head(status: int, reason: str, headers: HTTPHeaders) -> None:
            if 300 <= status < 400:
                self._redirected = True
                receiver.cancel()
                return
            self.set_status(status, reason)
            for key, value in headers.get_all():
                if key.lower() not in HOPS and not (answered and key.lower() == "content-length"):
                    self.add_header(key, value)
            if exchange is not None:
                exchange.status = status
                exchange.streams = "event-stream" in headers.get("Content-Type", "")

        def piece(chunk: bytes) -> None:
            if self._redirected or self._gone:
                return
            if exchange is not None:
                exchange.chunks.append(chunk)
            if answered is not None:
                held.append(chunk)
            else:
                self.write(chunk)
                self.flush()

        self._receiver = receiver = Receiver(head, piece)
        try:
            await upstream.call(str(self.request.method), path, self.request.headers, raw, receiver)
            if self._redirected:
                raise ConnectionError
        except ConnectionError as error:
            said = "the upstream redirects, which is not followed" if self._redirected else str(error)
            said = "the program went away before the answer was whole" if self._gone else said
            if exchange is not None:
                exchange.error = said
            if self._gone:
                return
            if self._headers_written:
                self._break()
                return
            self.clear()
            self._fail(502, f"the gateway got no answer: {said}", "api_connection_error")
            return
        if answered is not None and exchange is not None:
            self._say_held(exchange, held, answered)
            return
        try:
            await self.finish()
        except StreamClosedError:
            pass

    def _say_held(self, exchange: Exchange, held: list[bytes], answered: Callable[[Any], Any]) -> None:
        whole = exchange.whole_answer()
        if exchange.status >= 400 or not whole:
            self.finish(b"".join(held))
            return
        changed = answered(whole)
        if changed == whole or (exchange.streams and whole != assembled(exchange.api, held)):
            self.finish(b"".join(held))
            return
        exchange.answer = whole
        self._say(exchange.api, {"stream": exchange.streams, **_usage_wanted(exchange.body)}, changed, None)

    def _break(self) -> None:
        """Ends the connection within the answer, so that the program sees what the gateway has seen."""
        stream = getattr(self.request.connection, "stream", None)
        if stream is not None:
            stream.close()


def _usage_wanted(body: Body) -> Body:
    return {"stream_options": body["stream_options"]} if isinstance(body.get("stream_options"), dict) else {}


def _object(raw: bytes) -> Body | None:
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
