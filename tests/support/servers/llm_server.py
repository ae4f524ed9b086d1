"""A local HTTP server that speaks Anthropic's and OpenAI's APIs, streams, keeps what it gets, and fails on demand.

It knows the two APIs from their documentation, and nothing of the library under test.
"""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

STATUSES = (400, 401, 403, 404, 408, 409, 413, 422, 429, 500, 502, 503, 504, 529)
FAULTS = (
    *(str(status) for status in STATUSES),
    "empty", "html", "other-json", "cut-json", "no-type", "text", "reset", "hang-up", "stall", "drip", "loris",
    "retry-after-0", "retry-after-3600", "retry-after-garbage", "sse-cut", "sse-cut-early", "sse-reset", "sse-error",
    "sse-bad-json", "sse-not-object", "sse-empty", "redirect", "bad-status-line", "endless-event", "echo-key",
)  # fmt: skip


@dataclass
class Call:
    """One request as it came in."""

    api: str
    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    raw: bytes
    number: int
    when: float = field(default_factory=time.time)

    @property
    def key(self) -> str:
        return self.headers.get("x-api-key") or self.headers.get("authorization", "").removeprefix("Bearer ")


@dataclass
class Reply:
    """An answer. `usage` is (input, output, cached) in OpenAI's sense: the input counts the cached ones too; None: not told."""

    text: str = "All good."
    tools: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    usage: tuple[int, int, int] | None = (12, 5, 0)
    delay: float = 0.0
    pieces: int = 3
    pause: float = 0.0


class LlmServer:
    """Runs on a free port of this machine. `reply(call)` gives the answer, `fault(call)` the name of a fault or None."""

    def __init__(
        self, reply: Callable[[Call], Reply] | None = None, fault: str | Callable[[Call], str | None] | None = None
    ) -> None:
        self.reply = reply or (lambda call: Reply())
        self.fault = fault
        self.calls: list[Call] = []
        self.open = self.most_open = 0
        self.lock = threading.Lock()
        self.stopped = threading.Event()
        outer = self

        class Handler(_Handler):
            server_of = outer

        self._http = _Server(("127.0.0.1", 0), Handler)
        self.port: int = self._http.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self.stopped.set()
        self._http.shutdown()
        self._http.server_close()

    def environment(self) -> dict[str, str]:
        """The variables that send both SDKs here."""
        return {
            "ANTHROPIC_BASE_URL": self.url, "OPENAI_BASE_URL": f"{self.url}/v1", "OLLAMA_HOST": self.url,
            "ANTHROPIC_API_KEY": "sk-ant-canary-0123456789", "OPENAI_API_KEY": "sk-proj-canary-9876543210",
        }  # fmt: skip

    def __enter__(self) -> LlmServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Server(ThreadingHTTPServer):
    request_queue_size = 256
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server_of: LlmServer

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is printed."""

    def do_POST(self) -> None:
        outer = self.server_of
        raw = self.rfile.read(int(self.headers.get("content-length") or 0))
        api = "anthropic" if self.path.rstrip("/").endswith("/messages") else "openai"
        headers = {name.lower(): value for name, value in self.headers.items()}
        with outer.lock:
            call = Call(api, self.path, headers, json.loads(raw), raw, len(outer.calls))
            outer.calls.append(call)
            outer.open += 1
            outer.most_open = max(outer.most_open, outer.open)
        try:
            fault = outer.fault(call) if callable(outer.fault) else outer.fault
            if fault is not None and self._fail(fault, call):
                return
            reply = outer.reply(call)
            if reply.delay:
                time.sleep(reply.delay)
            if call.body.get("stream"):
                self._stream(events(call, reply), reply.pause)
            else:
                self._send(200, "application/json", json.dumps(whole(call, reply)).encode())
        finally:
            with outer.lock:
                outer.open -= 1

    def do_GET(self) -> None:
        self._send(404, "application/json", b'{"error": {"message": "no such path"}}')

    # -- answers

    def _send(self, status: int, kind: str | None, body: bytes, **headers: str) -> None:
        self.send_response(status)
        if kind:
            self.send_header("content-type", kind)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _begin(self, kind: str = "text/event-stream; charset=utf-8") -> None:
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def _stream(self, parts: Iterator[bytes], pause: float = 0.0) -> None:
        self._begin()
        for part in parts:
            self._chunk(part)
            if pause:
                self.server_of.stopped.wait(pause)
        self._chunk(b"")

    # -- faults

    def _fail(self, fault: str, call: Call) -> bool:
        """Does the fault; False where the answer follows all the same."""
        parts = list(events(call, Reply(text="A partial answer that goes on.", pieces=6)))
        if fault.isdigit():
            error = {"type": "error", "error": {"type": "some_error", "message": f"fault {fault} on purpose"}}
            self._send(int(fault), "application/json", json.dumps(error).encode())
        elif fault.startswith("echo-key-"):  # within a stream, or cut off by the length that is shown of an error
            if fault.endswith("streamed"):
                error = {"type": "error", "error": {"type": "some_error", "message": f"no such key: {call.key}"}}
                self._stream(iter([b"event: error\ndata: " + json.dumps(error).encode() + b"\n\n"]))
            else:
                self._send(500, "text/plain", f"{'x' * 280} {call.key}".encode())
        elif fault == "echo-key":
            key = call.key
            self._send(
                401, "application/json", json.dumps({"error": {"message": f"Incorrect API key: {key}"}}).encode()
            )
        elif fault.startswith("retry-after-"):
            wait = {"garbage": "next tuesday"}.get(fault.rpartition("-")[2], fault.rpartition("-")[2])
            self._send(429, "application/json", b'{"error": {"message": "slow down"}}', retry_after=wait)
        elif fault in ("empty", "no-type"):
            self._send(200, "application/json" if fault == "empty" else None, b"")
        elif fault == "html":
            page = b"<html><head><title>Sign in</title></head><body onload=alert(1)><h1>Welcome to the hotel</h1></body></html>"
            self._send(200, "text/html", page)
        elif fault == "text":
            self._send(200, "text/plain", b"".join(parts))
        elif fault == "other-json":
            self._send(200, "application/json", b'{"status": "fine", "choices": 3, "content": {"a": 1}}')
        elif fault == "cut-json":
            self._send(200, "application/json", json.dumps(whole(call, Reply())).encode()[:-20])
        elif fault == "redirect":
            self._send(307, None, b"", location="http://127.0.0.1:9/elsewhere")
        elif fault == "bad-status-line":
            self.wfile.write(b"SSH-2.0-OpenSSH_9.2p1 Debian\r\n\r\n")
            self.close_connection = True
        elif fault in ("reset", "sse-reset"):
            if fault == "sse-reset":
                self._begin()
                for part in parts[:4]:
                    self._chunk(part)
                time.sleep(0.05)
            self._reset()
        elif fault == "hang-up":
            self.close_connection = True
        elif fault == "stall":
            self._wait()
        elif fault == "drip":
            self._begin()
            for part in parts:
                for i in range(0, len(part), 16):
                    self._chunk(part[i : i + 16])
                    if self.server_of.stopped.wait(0.3):
                        return True
        elif fault == "loris":
            for byte in b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nx-slow: " + b"a" * 500:
                self.wfile.write(bytes([byte]))
                if self.server_of.stopped.wait(0.2):
                    return True
        elif fault == "endless-event":
            self._begin()
            while not self.server_of.stopped.wait(0.05):
                self._chunk(b"data: " + b"x" * 1000)
        else:
            self._fail_in_stream(fault, parts)
        return True

    def _fail_in_stream(self, fault: str, parts: list[bytes]) -> None:
        overloaded = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
        endings = {
            "sse-cut": parts[:-3], "sse-cut-early": parts[:1], "sse-empty": [],
            "sse-error": [*parts[:4], b"event: error\ndata: " + json.dumps(overloaded).encode() + b"\n\n"],
            "sse-bad-json": [*parts[:4], b'data: {"type": "content_block_delta", "index"\n\n', *parts[4:]],
            "sse-not-object": [*parts[:4], b"data: [1, 2]\n\n", *parts[4:]],
        }  # fmt: skip
        if fault not in endings:
            raise ValueError(f"no fault {fault!r}")
        self._stream(iter(endings[fault]))

    def _wait(self) -> None:
        self.connection.settimeout(0.1)
        while not self.server_of.stopped.is_set():
            with contextlib.suppress(TimeoutError):
                if not self.connection.recv(1):
                    break
        self.close_connection = True

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True


# -- the two APIs


def cut(text: str, pieces: int) -> list[str]:
    step = max(1, -(-len(text) // max(1, pieces)))
    return [text[i : i + step] for i in range(0, len(text), step)]


def events(call: Call, reply: Reply) -> Iterator[bytes]:
    """The server-sent events of an answer."""
    return _anthropic_events(call, reply) if call.api == "anthropic" else _openai_events(call, reply)


def _anthropic_usage(reply: Reply) -> dict[str, int]:
    if reply.usage is None:
        return {}
    asked, said, cached = reply.usage
    return {
        "input_tokens": asked - cached,
        "output_tokens": said,
        "cache_read_input_tokens": cached,
        "cache_creation_input_tokens": 0,
    }


def _anthropic_events(call: Call, reply: Reply) -> Iterator[bytes]:
    def event(kind: str, **data: Any) -> bytes:
        return f"event: {kind}\ndata: {json.dumps({'type': kind, **data})}\n\n".encode()

    usage = _anthropic_usage(reply)
    first = {**usage, "output_tokens": 1} if usage else {}
    message = {
        "id": "msg_1", "type": "message", "role": "assistant", "model": call.body.get("model"), "content": [],
        "stop_reason": None, "stop_sequence": None, "usage": first,
    }  # fmt: skip
    yield event("message_start", message=message)
    yield event("ping")
    index = 0
    if reply.text or not reply.tools:
        yield event("content_block_start", index=0, content_block={"type": "text", "text": ""})
        for piece in cut(reply.text, reply.pieces):
            yield event("content_block_delta", index=0, delta={"type": "text_delta", "text": piece})
        yield event("content_block_stop", index=0)
        index = 1
    for name, arguments in reply.tools:
        block = {"type": "tool_use", "id": f"toolu_{index}", "name": name, "input": {}}
        yield event("content_block_start", index=index, content_block=block)
        for piece in cut(json.dumps(arguments), 3):
            yield event("content_block_delta", index=index, delta={"type": "input_json_delta", "partial_json": piece})
        yield event("content_block_stop", index=index)
        index += 1
    reason = "tool_use" if reply.tools else "end_turn"
    last = {"output_tokens": reply.usage[1]} if reply.usage else {}
    yield event("message_delta", delta={"stop_reason": reason, "stop_sequence": None}, usage=last)
    yield event("message_stop")


def _openai_usage(reply: Reply) -> dict[str, Any] | None:
    if reply.usage is None:
        return None
    asked, said, cached = reply.usage
    return {
        "prompt_tokens": asked, "completion_tokens": said, "total_tokens": asked + said,
        "prompt_tokens_details": {"cached_tokens": cached},
    }  # fmt: skip


def _openai_events(call: Call, reply: Reply) -> Iterator[bytes]:
    about = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": call.body.get("model")}

    def chunk(delta: dict[str, Any] | None, finish: str | None = None, **more: Any) -> bytes:
        choices = [] if delta is None else [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]
        return f"data: {json.dumps({**about, 'choices': choices, **more})}\n\n".encode()

    yield chunk({"role": "assistant", "content": "" if reply.text else None, "refusal": None})
    for piece in cut(reply.text, reply.pieces):
        yield chunk({"content": piece})
    for index, (name, arguments) in enumerate(reply.tools):
        start = {"index": index, "id": f"call_{index}", "type": "function", "function": {"name": name, "arguments": ""}}
        yield chunk({"tool_calls": [start]})
        for piece in cut(json.dumps(arguments), 3):
            yield chunk({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
    yield chunk({}, "tool_calls" if reply.tools else "stop")
    if (call.body.get("stream_options") or {}).get("include_usage") and reply.usage is not None:
        yield chunk(None, usage=_openai_usage(reply))
    yield b"data: [DONE]\n\n"


def whole(call: Call, reply: Reply) -> dict[str, Any]:
    """An answer that is not streamed."""
    if call.api == "anthropic":
        content: list[dict[str, Any]] = [{"type": "text", "text": reply.text}] if reply.text else []
        content += [
            {"type": "tool_use", "id": f"toolu_{i}", "name": n, "input": a} for i, (n, a) in enumerate(reply.tools)
        ]
        return {
            "id": "msg_1", "type": "message", "role": "assistant", "model": call.body.get("model"), "content": content,
            "stop_reason": "tool_use" if reply.tools else "end_turn", "stop_sequence": None, "usage": _anthropic_usage(reply),
        }  # fmt: skip
    message: dict[str, Any] = {"role": "assistant", "content": reply.text or None}
    if reply.tools:
        message["tool_calls"] = [
            {"id": f"call_{i}", "type": "function", "function": {"name": n, "arguments": json.dumps(a)}}
            for i, (n, a) in enumerate(reply.tools)
        ]
    finish = "tool_calls" if reply.tools else "stop"
    return {
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": call.body.get("model"),
        "choices": [{"index": 0, "message": message, "finish_reason": finish}], "usage": _openai_usage(reply),
    }  # fmt: skip
