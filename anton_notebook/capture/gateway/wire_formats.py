"""Inner: the two vendors' APIs as they go over the wire: what a body asks, and what one answers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from anton_notebook.model.request import (
    ANTHROPIC,
    CLIENTS,
    OPENAI,
    OURS,
    Message,
    Request,
    Response,
    parsed,
    text_of,
    tool_calls_in,
)
from anton_notebook.model.usage import from_anthropic, from_openai

MESSAGES, CHAT, RESPONSES = "messages", "chat", "responses"
ENDS = {ANTHROPIC: {"/messages": MESSAGES}, OPENAI: {"/chat/completions": CHAT, "/responses": RESPONSES}}
Body = dict[str, Any]


def api_of(upstream: str, path: str) -> str | None:
    """Which API a path of an upstream is; None for one that is passed on and not recorded (lists of models, counts of tokens)."""
    return next((api for end, api in ENDS.get(upstream, {}).items() if path.rstrip("/").endswith(end)), None)


def request_of(api: str, body: Body) -> Request:
    """What a body asks for."""
    inner = {"model", "messages", "system", "tools", "input", "instructions", *OURS, *CLIENTS}
    parameters = {key: value for key, value in body.items() if key not in inner}
    tools = body.get("tools")
    tools = tools if isinstance(tools, list) and tools else None
    model = str(body.get("model") or "")
    if api == RESPONSES:
        return Request(OPENAI, model, body.get("instructions"), _from_items(body.get("input")), tools, parameters)
    listed = body.get("messages")
    messages = [dict(m) for m in listed if isinstance(m, Mapping)] if isinstance(listed, list) else []
    if api == MESSAGES:
        return Request(ANTHROPIC, model, body.get("system") or None, messages, tools, parameters)
    return Request(OPENAI, model, None, messages, tools, parameters)


def with_request(api: str, body: Body, request: Request) -> Body:
    """The body, asking for the (changed) request's system prompt, messages and model instead."""
    out = {**body, "model": request.model}
    if api == RESPONSES:
        out["input"] = _to_items(request.messages)
        if request.system is not None:
            out["instructions"] = request.system
        return out
    out["messages"] = request.messages
    if api == MESSAGES and request.system is not None:
        out["system"] = request.system
    return out


def _from_items(given: Any) -> list[Message]:
    """The Responses API's items as messages of chat completions, where there is a word for them; others stay as they are."""
    if isinstance(given, str):
        return [{"role": "user", "content": given}]
    out: list[Message] = []
    for item in given if isinstance(given, list) else []:
        if not isinstance(item, Mapping):
            continue
        kind = item.get("type")
        if kind == "function_call":
            inner = {"name": item.get("name"), "arguments": item.get("arguments")}
            call = {"id": item.get("call_id"), "type": "function", "function": inner}
            if out and out[-1].get("role") == "assistant" and "tool_calls" in out[-1]:
                out[-1]["tool_calls"].append(call)
            else:
                out.append({"role": "assistant", "content": None, "tool_calls": [call]})
        elif kind == "function_call_output":
            out.append({"role": "tool", "tool_call_id": item.get("call_id"), "content": item.get("output")})
        else:
            out.append(dict(item))
    return out


def _to_items(messages: Iterable[Message]) -> list[Message]:
    out: list[Message] = []
    for message in messages:
        if message.get("role") == "tool":
            out.append(
                {
                    "type": "function_call_output",
                    "call_id": message.get("tool_call_id"),
                    "output": message.get("content"),
                }
            )
        elif "tool_calls" in message:
            for call in message["tool_calls"]:
                inner = call["function"]
                given = {"name": inner.get("name"), "arguments": inner.get("arguments")}
                out.append({"type": "function_call", "call_id": call.get("id"), **given})
        else:
            out.append(message)
    return out


def response_of(api: str, body: Body) -> Response:
    """What a body answers."""
    usage = body.get("usage")
    usage = usage if isinstance(usage, Mapping) else {}
    model = body.get("model") if isinstance(body.get("model"), str) else None
    if api == MESSAGES:
        content = body.get("content")
        counts = from_anthropic(usage)
        return Response(
            text_of(content), tool_calls_in({"content": content}), counts, body.get("stop_reason"), model, body
        )
    if api == CHAT:
        choice = _first(body.get("choices"))
        message = choice.get("message")
        message = message if isinstance(message, Mapping) else {}
        counts = from_openai(usage, body.get("service_tier"))
        text = text_of(message.get("content")) or str(message.get("refusal") or "")
        return Response(text, tool_calls_in(message), counts, choice.get("finish_reason"), model, body)
    items = [item for item in body.get("output") or [] if isinstance(item, Mapping)]
    text = "\n".join(text_of(item.get("content")) for item in items if item.get("type") == "message")
    calls = [
        {"id": i.get("call_id"), "name": str(i.get("name") or ""), "arguments": parsed(i.get("arguments"))}
        for i in items
        if i.get("type") == "function_call"
    ]
    searches = sum(1 for item in items if item.get("type") == "web_search_call")
    counts = from_openai(usage, body.get("service_tier"), searches or None)
    return Response(text, calls, counts, body.get("status"), model, body)


def answer_of(api: str, response: Response, name: str) -> Body:
    """The body that would have answered so, where a recording holds no body of this API."""
    usage, model = response.usage, response.model or ""
    asked = response.finish_reason in ("tool_calls", "tool_use") or bool(response.tool_calls)
    calls = [{**call, "id": call.get("id") or f"call_{i}"} for i, call in enumerate(response.tool_calls)]
    tokens = {"input_tokens": usage.input_tokens or 0, "output_tokens": usage.output_tokens or 0}
    if api == MESSAGES:
        blocks: list[Body] = [{"type": "text", "text": response.text}] if response.text or not calls else []
        blocks += [{"type": "tool_use", "id": c["id"], "name": c["name"], "input": c["arguments"] or {}} for c in calls]
        return {
            "id": f"msg_{name}", "type": "message", "role": "assistant", "model": model, "content": blocks,
            "stop_reason": "tool_use" if asked else "end_turn", "stop_sequence": None, "usage": tokens,
        }  # fmt: skip
    texts = [c["arguments"] if isinstance(c["arguments"], str) else json.dumps(c["arguments"] or {}) for c in calls]
    if api == CHAT:
        message: Body = {"role": "assistant", "content": response.text or None}
        if calls:
            message["tool_calls"] = [
                {"id": c["id"], "type": "function", "function": {"name": c["name"], "arguments": text}}
                for c, text in zip(calls, texts, strict=True)
            ]
        finish = "tool_calls" if asked else "stop"
        counts = {"prompt_tokens": tokens["input_tokens"], "completion_tokens": tokens["output_tokens"]}
        return {
            "id": f"chatcmpl-{name}", "object": "chat.completion", "created": 0, "model": model,
            "choices": [{"index": 0, "message": message, "finish_reason": finish}],
            "usage": {**counts, "total_tokens": sum(counts.values())},
        }  # fmt: skip
    content = [{"type": "output_text", "text": response.text, "annotations": []}]
    said = {"type": "message", "id": f"msg_{name}", "status": "completed", "role": "assistant", "content": content}
    items = [said] if response.text or not calls else []
    items += [
        {
            "type": "function_call",
            "id": f"fc_{i}",
            "call_id": c["id"],
            "name": c["name"],
            "arguments": text,
            "status": "completed",
        }
        for i, (c, text) in enumerate(zip(calls, texts, strict=True))
    ]
    return {
        "id": f"resp_{name}", "object": "response", "created_at": 0, "status": "completed", "model": model, "output": items,
        "parallel_tool_calls": True, "tool_choice": "auto", "tools": [],
        "usage": {**tokens, "total_tokens": sum(tokens.values())},
    }  # fmt: skip


def error_of(body: Any) -> str | None:
    """The sentence of an error's body."""
    inner = body.get("error") if isinstance(body, Mapping) else None
    if isinstance(inner, Mapping):
        return str(inner.get("message") or inner.get("type") or "an error without words")
    return inner if isinstance(inner, str) and inner else None


def _first(listed: Any) -> Mapping[str, Any]:
    return listed[0] if isinstance(listed, list) and listed and isinstance(listed[0], Mapping) else {}
