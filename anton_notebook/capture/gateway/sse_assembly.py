"""Inner: answers as streams of events: put together for the trace, and taken apart where a recorded answer is to be streamed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, Protocol

from anton_notebook.capture.gateway.wire_formats import CHAT, MESSAGES, RESPONSES, Body
from anton_notebook.llm.sse import Events, decode
from anton_notebook.model.request import parsed

CUT = "the stream ended before the answer was whole"


def assembled(api: str, chunks: Iterable[bytes]) -> Body:
    """The body that a stream amounts to; where it was cut, what had come, with an `error` that says so."""
    events = Events()
    makers: dict[str, type[_Parts]] = {MESSAGES: _AnthropicParts, CHAT: _ChatParts, RESPONSES: _ResponsesParts}
    put = makers[api]()
    for chunk in chunks:
        for name, data in events.feed(chunk):
            if data.strip() != b"[DONE]":
                put.take(name, decode(data))
    body = put.whole()
    return body if put.ended or body.get("error") else {**body, "error": {"message": CUT}}


class _Parts(Protocol):
    ended: bool

    def take(self, name: str, event: Body) -> None:
        """Takes one event in."""

    def whole(self) -> Body:
        """What has come so far."""


class _AnthropicParts:
    def __init__(self) -> None:
        self.ended = False
        self.body: Body = {}
        self.blocks: dict[int, Body] = {}
        self.texts: dict[int, list[str]] = {}

    def take(self, name: str, event: Body) -> None:
        kind = event.get("type") or name
        at = event.get("index", 0)
        if kind == "message_start":
            self.body = dict(event.get("message") or {})
        elif kind == "content_block_start":
            self.blocks[at] = dict(event.get("content_block") or {})
        elif kind == "content_block_delta":
            delta = dict(event.get("delta") or {})
            what = delta.pop("type", "")
            block = self.blocks.setdefault(at, {"type": "text", "text": ""})
            if what == "input_json_delta":
                self.texts.setdefault(at, []).append(str(delta.get("partial_json") or ""))
            else:
                for key, value in delta.items():
                    old = block.get(key)
                    block[key] = old + value if isinstance(old, str) and isinstance(value, str) else value
        elif kind == "message_delta":
            self.body |= {k: v for k, v in (event.get("delta") or {}).items() if v is not None}
            usage = {k: v for k, v in (event.get("usage") or {}).items() if v is not None}
            self.body["usage"] = {**(self.body.get("usage") or {}), **usage}
        elif kind == "message_stop":
            self.ended = True
        elif kind == "error":
            self.body["error"] = event.get("error")

    def whole(self) -> Body:
        for at, pieces in self.texts.items():
            self.blocks[at]["input"] = parsed("".join(pieces))
        return {**self.body, "content": [self.blocks[at] for at in sorted(self.blocks)]}


class _ChatParts:
    def __init__(self) -> None:
        self.ended = False
        self.body: Body = {}
        self.choices: dict[int, Body] = {}

    def take(self, name: str, event: Body) -> None:
        self.body |= {k: v for k, v in event.items() if k != "choices" and v is not None}
        for choice in event.get("choices") or []:
            at = choice.get("index", 0)
            mine = self.choices.setdefault(at, {"index": at, "message": {"role": "assistant"}, "finish_reason": None})
            for key, value in (choice.get("delta") or {}).items():
                if key == "tool_calls":
                    for call in value or []:
                        _merge_call(mine["message"].setdefault("tool_calls", []), call)
                elif key != "role" and value is not None:
                    old = mine["message"].get(key)
                    mine["message"][key] = old + value if isinstance(old, str) and isinstance(value, str) else value
            mine["finish_reason"] = choice.get("finish_reason") or mine["finish_reason"]
            self.ended = self.ended or mine["finish_reason"] is not None

    def whole(self) -> Body:
        for choice in self.choices.values():
            choice["message"].setdefault("content", None)
        kind = {"object": "chat.completion"} if self.body.get("object") else {}
        return {**self.body, **kind, "choices": [self.choices[at] for at in sorted(self.choices)]}


def _merge_call(calls: list[Body], piece: Body) -> None:
    at = piece.get("index", len(calls))
    while len(calls) <= at:
        calls.append({"id": None, "type": "function", "function": {"name": "", "arguments": ""}})
    mine, inner = calls[at], piece.get("function") or {}
    mine["id"] = piece.get("id") or mine["id"]
    mine["function"]["name"] = inner.get("name") or mine["function"]["name"]
    mine["function"]["arguments"] += inner.get("arguments") or ""


class _ResponsesParts:
    def __init__(self) -> None:
        self.ended = False
        self.body: Body = {}

    def take(self, name: str, event: Body) -> None:
        if isinstance(event.get("response"), dict):
            self.body = event["response"]
            self.ended = self.body.get("status") not in ("in_progress", "queued", None)
        elif (event.get("type") or name) == "error":
            self.body["error"] = event.get("error") or {"message": event.get("message")}

    def whole(self) -> Body:
        return self.body


def streamed(api: str, body: Body, asked: Body) -> bytes:
    """A whole answer as the stream that would have said it."""
    makers = {MESSAGES: _anthropic_events, CHAT: _chat_events, RESPONSES: _responses_events}
    return b"".join(makers[api](body, asked))


def _event(data: Any, name: str | None = None) -> bytes:
    head = f"event: {name}\n".encode() if name else b""
    return head + b"data: " + json.dumps(data, ensure_ascii=False).encode("utf-8", "replace") + b"\n\n"


def _named(kind: str, **data: Any) -> bytes:
    return _event({"type": kind, **data}, kind)


def _anthropic_events(body: Body, asked: Body) -> Iterator[bytes]:
    usage = body.get("usage") or {"input_tokens": 0, "output_tokens": 0}
    start = {**body, "content": [], "stop_reason": None, "stop_sequence": None}
    yield _named("message_start", message={**start, "usage": {**usage, "output_tokens": 0}})
    for at, block in enumerate(body.get("content") or []):
        kind = block.get("type")
        if kind == "tool_use":
            yield _named("content_block_start", index=at, content_block={**block, "input": {}})
            piece = {"type": "input_json_delta", "partial_json": json.dumps(block.get("input"), ensure_ascii=False)}
            yield _named("content_block_delta", index=at, delta=piece)
        elif kind in ("text", "thinking"):
            blank = {kind: "", **({"signature": ""} if block.get("signature") else {})}
            yield _named("content_block_start", index=at, content_block={**block, **blank})
            piece = {"type": f"{kind}_delta", kind: block.get(kind) or ""}
            yield _named("content_block_delta", index=at, delta=piece)
            if block.get("signature"):
                signed = {"type": "signature_delta", "signature": block["signature"]}
                yield _named("content_block_delta", index=at, delta=signed)
        else:
            yield _named("content_block_start", index=at, content_block=block)
        yield _named("content_block_stop", index=at)
    delta = {"stop_reason": body.get("stop_reason"), "stop_sequence": body.get("stop_sequence")}
    yield _named("message_delta", delta=delta, usage={"output_tokens": usage.get("output_tokens") or 0})
    yield _named("message_stop")


def _chat_events(body: Body, asked: Body) -> Iterator[bytes]:
    shared = {k: v for k, v in body.items() if k not in ("choices", "usage")} | {"object": "chat.completion.chunk"}
    for choice in body.get("choices") or []:
        at, message = choice.get("index", 0), choice.get("message") or {}
        delta = {k: v for k, v in message.items() if k != "tool_calls" and v is not None}
        calls = [{"index": i, **call} for i, call in enumerate(message.get("tool_calls") or [])]
        if calls:
            delta["tool_calls"] = calls
        yield _event(
            {**shared, "choices": [{"index": at, "delta": {"role": "assistant", **delta}, "finish_reason": None}]}
        )
        last = {"index": at, "delta": {}, "finish_reason": choice.get("finish_reason")}
        yield _event({**shared, "choices": [last]})
    if (asked.get("stream_options") or {}).get("include_usage"):
        yield _event({**shared, "choices": [], "usage": body.get("usage")})
    yield b"data: [DONE]\n\n"


def _responses_events(body: Body, asked: Body) -> Iterator[bytes]:
    number = iter(range(10**9))

    def one(kind: str, **data: Any) -> bytes:
        return _named(kind, sequence_number=next(number), **data)

    yield one("response.created", response={**body, "status": "in_progress", "output": []})
    for at, item in enumerate(body.get("output") or []):
        name = {"item_id": item.get("id"), "output_index": at}
        blank = {**item, "content": []} if item.get("type") == "message" else {**item}
        if item.get("type") == "function_call":
            blank["arguments"] = ""
        yield one("response.output_item.added", output_index=at, item=blank)
        for i, part in enumerate(item.get("content") or [] if item.get("type") == "message" else []):
            text = part.get("text")
            yield one("response.content_part.added", **name, content_index=i, part={**part, "text": ""})
            if isinstance(text, str):
                yield one("response.output_text.delta", **name, content_index=i, delta=text, logprobs=[])
                yield one("response.output_text.done", **name, content_index=i, text=text, logprobs=[])
            yield one("response.content_part.done", **name, content_index=i, part=part)
        if item.get("type") == "function_call":
            given = str(item.get("arguments") or "")
            yield one("response.function_call_arguments.delta", **name, delta=given)
            yield one("response.function_call_arguments.done", **name, name=item.get("name"), arguments=given)
        yield one("response.output_item.done", output_index=at, item=item)
    yield one("response.completed", response=body)
