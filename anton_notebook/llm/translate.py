"""A request in the words of the other provider's API: system, text, images, tools, tool calls and results, parameters.

What has no equal there is a `TranslationError` that says what and where. Parts that are already in the other's words pass
unchanged, so a mixture is fine.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from anton_notebook.errors import TranslationError
from anton_notebook.model.request import ANTHROPIC, SYSTEM, Message, Request, parsed, text_of

_DATA = re.compile(r"data:([\w.+-]+/[\w.+-]+);base64,(.*)", re.DOTALL)
_NEW_LIMIT = re.compile(r"(openai/)?(o\d|gpt-[5-9])", re.I)
_SHARED = frozenset({"temperature", "top_p", "max_tokens"})


def translated(request: Request, family: str) -> Request:
    """The request in the words of `family` (`anthropic` or `openai`); the provider's name stays.

    >>> moved = translated(Request("openai", "m", messages=[{"role": "system", "content": "Be kind"}]), "anthropic")
    >>> moved.system, moved.messages
    ('Be kind', [])
    """
    return _to_anthropic(request) if family == ANTHROPIC else _to_openai(request)


def foreign(request: Request, family: str) -> bool:
    """Whether a request recorded for this family holds what only the other one's API knows (gateways record such mixtures).

    >>> foreign(Request("anthropic", "m", messages=[{"role": "tool", "content": "x"}]), "anthropic")
    True
    """
    kinds = {
        block.get("type")
        for message in request.messages
        if isinstance(content := message.get("content"), list)
        for block in content
        if isinstance(block, Mapping)
    }
    tools = [tool for tool in request.tools or () if isinstance(tool, Mapping)]
    if family == ANTHROPIC:
        said = any(message.get("role") == "tool" or message.get("tool_calls") for message in request.messages)
        return said or "image_url" in kinds or any("function" in tool for tool in tools)
    return bool(kinds & {"tool_use", "tool_result", "image"}) or any("input_schema" in tool for tool in tools)


def _fail(what: str, where: str, family: str) -> TranslationError:
    other = "Anthropic" if family == ANTHROPIC else "OpenAI"
    return TranslationError(
        f"{what} ({where}) has no equal in {other}'s API; change or remove it, or keep the provider"
    )


# -- to OpenAI


def _to_openai(request: Request) -> Request:
    system = text_of(request.system) if request.system is not None else None
    messages: list[Message] = []
    for i, message in enumerate(request.messages):
        messages += _message_to_openai(message, f"messages[{i}]")
    tools = [_tool_to_openai(tool, f"tools[{i}]") for i, tool in enumerate(request.tools or ())]
    parameters: dict[str, Any] = {}
    for name, value in request.parameters.items():
        if name == "max_tokens":
            parameters["max_completion_tokens" if _NEW_LIMIT.match(request.model) else name] = value
        elif name == "stop_sequences":
            parameters["stop"] = value
        elif name == "tool_choice":
            parameters |= _choice_to_openai(value)
        elif name == "metadata" and isinstance(value, Mapping) and set(value) <= {"user_id"}:
            parameters |= {"user": value["user_id"]} if value.get("user_id") else {}
        elif name in (
            "top_k",
            "thinking",
            "metadata",
            "container",
            "context_management",
            "mcp_servers",
            "output_config",
            "speed",
            "service_tier",
        ):
            raise _fail(f"parameter {name}={value!r}", "parameters", "openai")
        else:
            parameters[name] = value
    return replace(request, system=system, messages=messages, tools=tools or None, parameters=parameters)


def _message_to_openai(message: Message, where: str) -> list[Message]:
    content = message.get("content")
    if not isinstance(content, list):
        return [message]
    parts: list[Any] = []
    calls: list[dict[str, Any]] = []
    results: list[Message] = []
    for i, block in enumerate(content):
        at = f"{where}.content[{i}]"
        kind = block.get("type") if isinstance(block, Mapping) else None
        if isinstance(block, str) or kind == "text":
            text = block if isinstance(block, str) else block.get("text", "")
            if isinstance(block, Mapping) and block.get("citations"):
                raise _fail("a text with citations", at, "openai")
            parts.append({"type": "text", "text": text})
        elif kind == "image":
            parts.append({"type": "image_url", "image_url": {"url": _image_url(block.get("source"), at)}})
        elif kind == "tool_use":
            arguments = json.dumps(block.get("input"), ensure_ascii=False)
            calls.append(
                {
                    "id": block.get("id"),
                    "type": "function",
                    "function": {"name": block.get("name"), "arguments": arguments},
                }
            )
        elif kind == "tool_result":
            results.append(
                {"role": "tool", "tool_call_id": block.get("tool_use_id"), "content": _result_text(block, at)}
            )
        elif kind in ("image_url", "input_audio", "file", "refusal"):
            parts.append(block)
        else:
            raise _fail(f"a block of type {kind!r}", at, "openai")
    out = list(results)
    if parts or calls or not results:
        plain = "\n".join(part["text"] for part in parts) if all(p.get("type") == "text" for p in parts) else None
        said: Message = {
            "role": message.get("role"),
            "content": (plain or None) if calls and not plain else parts if plain is None else plain,
        }
        if calls:
            said["tool_calls"] = calls
        out.append(said)
    return out


def _image_url(source: Any, where: str) -> str:
    source = source if isinstance(source, Mapping) else {}
    if source.get("type") == "base64":
        return f"data:{source.get('media_type')};base64,{source.get('data')}"
    if source.get("type") == "url":
        return str(source.get("url"))
    raise _fail(f"an image from {source.get('type')!r}", where, "openai")


def _result_text(block: Mapping[str, Any], where: str) -> str:
    content = block.get("content")
    if isinstance(content, list):
        other = [b.get("type") for b in content if isinstance(b, Mapping) and b.get("type") != "text"]
        if other:
            raise _fail(f"a tool result that holds {other[0]!r}", where, "openai")
    return text_of(content)


def _tool_to_openai(tool: Any, where: str) -> Any:
    if isinstance(tool, Mapping) and "function" in tool:
        return tool
    if not isinstance(tool, Mapping) or "input_schema" not in tool or tool.get("type", "custom") != "custom":
        kind = tool.get("type") if isinstance(tool, Mapping) else tool
        raise _fail(f"the provider's own tool {kind!r}", where, "openai")
    function = {"name": tool.get("name"), "parameters": tool["input_schema"]}
    if tool.get("description") is not None:
        function["description"] = tool["description"]
    return {"type": "function", "function": function}


def _choice_to_openai(choice: Any) -> dict[str, Any]:
    if not isinstance(choice, Mapping) or choice.get("type") == "function":
        return {"tool_choice": choice}
    kind = choice.get("type")
    known = {"auto": "auto", "any": "required", "none": "none"}
    if kind == "tool":
        out: dict[str, Any] = {"tool_choice": {"type": "function", "function": {"name": choice.get("name")}}}
    elif kind in known:
        out = {"tool_choice": known[kind]}
    else:
        raise _fail(f"tool_choice {choice!r}", "parameters", "openai")
    if choice.get("disable_parallel_tool_use"):
        out["parallel_tool_calls"] = False
    return out


# -- to Anthropic


def _to_anthropic(request: Request) -> Request:
    system: Any = request.system
    messages: list[Message] = []
    leading: list[str] = []
    for i, message in enumerate(request.messages):
        where = f"messages[{i}]"
        if message.get("role") in SYSTEM:
            if messages:
                raise _fail("a system message in the middle of the conversation", where, ANTHROPIC)
            leading.append(text_of(message.get("content")))
            continue
        made = _message_to_anthropic(message, where)
        if messages and made["role"] == "user" == messages[-1]["role"] and _has_results(messages[-1]):
            messages[-1] = {"role": "user", "content": [*messages[-1]["content"], *_blocks(made["content"])]}
        else:
            messages.append(made)
    if leading:
        system = "\n\n".join([*([text_of(system)] if system else []), *leading])
    tools = [_tool_to_anthropic(tool, f"tools[{i}]") for i, tool in enumerate(request.tools or ())]
    return replace(
        request,
        system=system,
        messages=messages,
        tools=tools or None,
        parameters=_parameters_to_anthropic(request.parameters),
    )


def _has_results(message: Message) -> bool:
    content = message.get("content")
    return (
        isinstance(content, list)
        and bool(content)
        and isinstance(content[-1], Mapping)
        and content[-1].get("type") == "tool_result"
    )


def _blocks(content: Any) -> list[Any]:
    return list(content) if isinstance(content, list) else [{"type": "text", "text": text_of(content)}]


def _message_to_anthropic(message: Message, where: str) -> Message:
    role, content = message.get("role"), message.get("content")
    if role == "tool":
        blocks = _content_to_anthropic(content, where) if isinstance(content, list) else content
        return {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": message.get("tool_call_id"), "content": blocks}],
        }
    if role not in ("user", "assistant"):
        raise _fail(f"a message of role {role!r}", where, ANTHROPIC)
    for name in ("audio", "function_call"):
        if message.get(name):
            raise _fail(f"a message with {name!r}", where, ANTHROPIC)
    calls = message.get("tool_calls") or ()
    made: Any = _content_to_anthropic(content, where) if isinstance(content, list) else content
    if calls:
        made = [] if not made else _blocks(made)
        for i, call in enumerate(calls):
            function = call.get("function") if isinstance(call, Mapping) else None
            arguments = parsed(function.get("arguments")) if isinstance(function, Mapping) else None
            if not isinstance(function, Mapping) or not isinstance(arguments, Mapping):
                raise _fail("a tool call whose arguments are no JSON object", f"{where}.tool_calls[{i}]", ANTHROPIC)
            made.append({"type": "tool_use", "id": call.get("id"), "name": function.get("name"), "input": arguments})
    if made is None:
        made = message.get("refusal") or ""
    return {"role": role, "content": made}


def _content_to_anthropic(content: list[Any], where: str) -> list[Any]:
    out: list[Any] = []
    for i, part in enumerate(content):
        kind = part.get("type") if isinstance(part, Mapping) else None
        if isinstance(part, str):
            out.append({"type": "text", "text": part})
        elif kind == "image_url":
            url = part.get("image_url")
            url = str(url.get("url", "") if isinstance(url, Mapping) else url)
            data = _DATA.fullmatch(url)
            source = {"type": "base64", "media_type": data[1], "data": data[2]} if data else {"type": "url", "url": url}
            out.append({"type": "image", "source": source})
        elif kind == "refusal":
            out.append({"type": "text", "text": part.get("refusal", "")})
        elif kind in ("input_audio", "file", "input_file", "audio"):
            raise _fail(f"a part of type {kind!r}", f"{where}.content[{i}]", ANTHROPIC)
        else:
            out.append(part)
    return out


def _tool_to_anthropic(tool: Any, where: str) -> Any:
    function = tool.get("function") if isinstance(tool, Mapping) else None
    if not isinstance(function, Mapping):
        if isinstance(tool, Mapping) and ("input_schema" in tool or str(tool.get("type", "")).count("_2")):
            return tool
        raise _fail(f"the tool {tool!r}", where, ANTHROPIC)
    made = {
        "name": function.get("name"),
        "input_schema": function.get("parameters") or {"type": "object", "properties": {}},
    }
    if function.get("description") is not None:
        made["description"] = function["description"]
    if function.get("strict"):
        made["strict"] = True
    return made


def _parameters_to_anthropic(parameters: Mapping[str, Any]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name, value in parameters.items():
        if name in ("max_tokens", "max_completion_tokens"):
            out["max_tokens"] = value
        elif name == "temperature" and isinstance(value, int | float) and value > 1:
            raise _fail(f"temperature={value} (at most 1 there)", "parameters", ANTHROPIC)
        elif name == "stop":
            out["stop_sequences"] = [value] if isinstance(value, str) else value
        elif name == "user":
            out["metadata"] = {"user_id": value}
        elif name == "tool_choice":
            out["tool_choice"] = {**_choice_to_anthropic(value), **out.get("tool_choice", {})}
        elif name == "parallel_tool_calls":
            if value is False:
                out["tool_choice"] = {"type": "auto", **out.get("tool_choice", {}), "disable_parallel_tool_use": True}
        elif name == "n" and value == 1:
            continue
        elif name in _NONE_THERE:
            raise _fail(f"parameter {name}={value!r}", "parameters", ANTHROPIC)
        else:
            out[name] = value
    return out


_NONE_THERE = frozenset(
    "n seed logprobs top_logprobs logit_bias response_format presence_penalty frequency_penalty reasoning_effort modalities audio "
    "prediction store service_tier web_search_options functions function_call verbosity".split()
)


def _choice_to_anthropic(choice: Any) -> dict[str, Any]:
    known = {"auto": "auto", "required": "any", "none": "none"}
    if isinstance(choice, str) and choice in known:
        return {"type": known[choice]}
    if isinstance(choice, Mapping):
        function = choice.get("function")
        if isinstance(function, Mapping):
            return {"type": "tool", "name": function.get("name")}
        if choice.get("type") in ("auto", "any", "tool", "none"):
            return dict(choice)
    raise _fail(f"tool_choice {choice!r}", "parameters", ANTHROPIC)
