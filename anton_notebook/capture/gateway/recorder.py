"""Inner: what went through the gateway, as lines of a trace."""

from __future__ import annotations

import hashlib
import queue
import re
import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from anton_notebook.capture.gateway.sse_assembly import assembled
from anton_notebook.capture.gateway.wire_formats import Body, error_of, request_of, response_of
from anton_notebook.llm.scrub import scrubbed
from anton_notebook.model.request import Message, Request, Response, canonical, parsed, text_of
from anton_notebook.model.usage import line_mark, line_tokens
from anton_notebook.sources import writer

_WHO = re.compile(r"\bYou are (?:the |an? )?([^.,;:\n(]{2,80})", re.IGNORECASE)
_REST = re.compile(
    r"\s+(?:that|who|which|whose|for|in|of|at|on|with|to|and|responsible|working|helping)\b.*", re.I | re.S
)
_MODULE = re.compile(r'specialist agent for the "([^"]+)" module', re.IGNORECASE)


@dataclass
class Exchange:
    """One call that went through: what was asked and answered. Times are seconds since 1970."""

    api: str
    body: Body
    started: float
    agent: str | None = None
    span_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    status: int = 0
    ended: float = 0.0
    answer: Body | None = None
    chunks: list[bytes] = field(default_factory=list)
    streams: bool = False
    error: str | None = None
    mark: dict[str, Any] = field(default_factory=dict)
    keys: list[str] = field(default_factory=list, repr=False)
    """What it was asked with, so that no error that names them is written."""

    def whole_answer(self) -> Body:
        """The answer's body, put together where it was streamed."""
        if self.answer is None:
            try:
                if self.streams:
                    self.answer = assembled(self.api, self.chunks)
                else:
                    value = parsed(b"".join(self.chunks).decode("utf-8", "replace"))
                    self.answer = value if isinstance(value, dict) else {}
            except (ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
                self.answer, self.error = {}, self.error or f"the answer could not be read: {error}"
        return self.answer


class Recorder:
    """Writes exchanges into a new trace file, in a thread of its own, so that a call does not wait for its line.

    `trouble` says what could not be written. Nothing is made before the first call.
    """

    def __init__(self, folder: Path, *, prefix: str = "record", mark: Mapping[str, Any] | None = None) -> None:
        self.folder, self.prefix = folder, prefix
        self.mark = dict(mark or {"origin": "record"})
        self.trace_id = str(uuid.uuid4())
        self.calls = 0
        self.trouble: str | None = None
        self._out: writer.TraceWriter | None = None
        self._agents: dict[bytes, str] = {}
        self._asked: dict[tuple[str | None, str], tuple[str, str, Any, float]] = {}
        self._due: queue.SimpleQueue[tuple[str, Exchange] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="anton_notebook gateway recorder", daemon=True)
        self._thread.start()

    @property
    def path(self) -> Path | None:
        """The trace file, once there is one."""
        return self._out.path if self._out is not None else None

    def begin(self, exchange: Exchange) -> None:
        """A call goes out."""
        self._due.put(("begin", exchange))

    def end(self, exchange: Exchange) -> None:
        """Its answer has come, or failed."""
        self._due.put(("end", exchange))

    def close(self) -> None:
        """Writes what is due and ends the file."""
        if self._thread.is_alive():
            self._due.put(None)
            self._thread.join()
        if self._out is not None:
            self._out.close()

    def _run(self) -> None:
        while (item := self._due.get()) is not None:
            what, exchange = item
            try:
                request = request_of(exchange.api, exchange.body)
                if what == "begin":
                    self._begin(exchange, request)
                else:
                    self._end(exchange, request)
            except Exception as error:  # a line that cannot be written must not end the program's calls
                self.trouble = f"not everything was recorded: {type(error).__name__}: {error}"

    def _write(self, line: Mapping[str, Any], running: bool = False) -> None:
        if self._out is None:
            self._out = writer.create(self.folder, self.prefix, self.mark)
        self._out.write(line, running=running)

    def _begin(self, exchange: Exchange, request: Request) -> None:
        self.calls += 1
        exchange.agent = exchange.agent or self._agent_of(request)
        self._tools(exchange, request)
        self._write({**self._head(exchange, request), "anton_notebook": exchange.mark}, running=True)

    def _head(self, exchange: Exchange, request: Request) -> dict[str, Any]:
        return {
            "timestamp": _time(exchange.started),
            "agent_name": exchange.agent,
            "provider": request.provider,
            "model": request.model,
            "trace_id": self.trace_id,
            "span_id": exchange.span_id,
            "parent_id": None,
            "span_type": "llm_call",
        }

    def _end(self, exchange: Exchange, request: Request) -> None:
        body = exchange.whole_answer()
        said = error_of(body)
        failed = exchange.error or said or (f"HTTP {exchange.status}" if exchange.status >= 400 else None)
        if failed and exchange.status >= 400:
            failed = f"{exchange.status}: {said or exchange.error or 'no reason was given'}"
        failed = scrubbed(failed, exchange.keys) if failed else None
        response = response_of(exchange.api, body) if body else Response()
        usage = response.usage
        line = {
            **self._head(exchange, request),
            "duration_ms": max(0.0, (exchange.ended - exchange.started) * 1000.0),
            "tokens": line_tokens(usage),
            "messages": request.messages,
            "system_prompt": request.system,
            "tools": request.tools or [],
            "parameters": request.parameters,
            "stream": exchange.body.get("stream") is True,
            "response": response.text,
            "success": failed is None,
            "error": failed,
            "finish_reason": response.finish_reason,
            "api": exchange.api,
            "answer": None if failed else body,
            "anton_notebook": {**line_mark(usage), **exchange.mark},
        }
        if response.tool_calls:
            line["tool_calls"] = response.tool_calls
        for call in response.tool_calls:
            if isinstance(call.get("id"), str):
                asked = (exchange.span_id, str(call["name"]), call["arguments"], exchange.ended)
                self._asked[exchange.agent, call["id"]] = asked
        self._write({key: value for key, value in line.items() if value is not None or key == "parent_id"})

    def _tools(self, exchange: Exchange, request: Request) -> None:
        """The results of tools that an earlier answer asked for. Their times are bounds: the answer's end, this request's start."""
        for call_id, result, failed in tool_results(request.messages):
            asked = self._asked.pop((exchange.agent, call_id), None)
            if asked is None:
                continue
            parent, name, arguments, since = asked
            line: dict[str, Any] = {
                "timestamp": _time(since),
                "tool_name": name,
                "trace_id": self.trace_id,
                "span_id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{parent}:{call_id}")),
                "parent_id": parent,
                "span_type": "tool_call",
                "agent_name": exchange.agent,
                "duration_ms": max(0.0, (exchange.started - since) * 1000.0),
                "success": not failed,
                "parameters": arguments,
                "result": result,
            }
            if failed:
                line["error"] = text_of(result)[:500] or "the tool failed"
            if exchange.mark.get("provenance"):
                line["anton_notebook"] = {"reason": "the program ran it"}
            self._write(line)

    def _agent_of(self, request: Request) -> str:
        """The agent's name as its system prompt gives it; else the agent whose conversation this continues; else a new one."""
        name = agent_name(request)
        so_far, found = hashlib.blake2b((request.system_text or "").encode("utf-8", "replace")).digest(), None
        links = []
        for message in request.messages:
            so_far = hashlib.blake2b(so_far + canonical(message)).digest()
            links.append(so_far)
            found = self._agents.get(so_far, found)
        name = name or found or f"agent {len(set(self._agents.values())) + 1}"
        self._agents |= dict.fromkeys(links, name)
        return name


def agent_name(request: Request) -> str | None:
    """How a request's system prompt calls its agent, anton's agents as in anton's own traces; None where it says nothing.

    >>> agent_name(Request("openai", "m", "You are the careful reviewer of a small team. Say no."))
    'careful reviewer'
    """
    text = request.system_text or ""
    if module := _MODULE.search(text):
        return f"module_{module.group(1)}"
    who = _WHO.search(text)
    name = _REST.sub("", who.group(1)).strip(" \"'*`") if who else ""
    return "orchestrator" if name.lower() == "orchestrator agent" else name[:60].lower() or None


def tool_results(messages: list[Message]) -> list[tuple[str, Any, bool]]:
    """The results of tools after the last answer, in both vendors' words: (id of the call, result, whether it failed)."""
    out = []
    answers = [at for at, message in enumerate(messages) if message.get("role") == "assistant"]
    for message in messages[answers[-1] + 1 :] if answers else []:
        content = message.get("content")
        if message.get("role") == "tool" and isinstance(message.get("tool_call_id"), str):
            out.append((message["tool_call_id"], content, False))
        for block in content if isinstance(content, list) else ():
            if isinstance(block, Mapping) and block.get("type") == "tool_result":
                result = block.get("content")
                plain = text_of(result) if isinstance(result, list) and _only_text(result) else result
                out.append((str(block.get("tool_use_id")), plain, block.get("is_error") is True))
    return out


def _only_text(blocks: list[Any]) -> bool:
    return all(isinstance(block, Mapping) and block.get("type") == "text" for block in blocks)


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds")
