"""Messages of a model call in one wording, that of chat requests, whatever wording they were recorded in.

`role` and `content`; an assistant's `tool_calls` and `reasoning_content`; a tool's `tool_call_id`. Read: chat requests,
Responses items, Anthropic, Bedrock and Gemini blocks, parts of the GenAI conventions, LangChain's messages, OpenInference's
and OpenLLMetry's flattened keys. Parts that are neither text nor tool calls (images, files) stay among the content's blocks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from anton_notebook.sources.otlp.values import as_text, dumps, joined_text, parsed, unquoted

Message = dict[str, Any]
_ROLE_OF = {
    "human": "user", "humanmessage": "user", "ai": "assistant", "aimessage": "assistant", "aimessagechunk": "assistant",
    "model": "assistant", "function": "tool", "toolmessage": "tool", "systemmessage": "system", "tool-call": "assistant",
    "tool-response": "user", "chatmessage": "user", "agent": "assistant",
}  # fmt: skip
_CALL_TYPES = ("tool_call", "function_call", "tool_use", "tool-call", "server_tool_call", "toolUse", "functionCall")
_RESULT_TYPES = (
    "tool_call_response", "function_call_output", "tool_result", "tool-result", "tool_response", "toolResult",
    "functionResponse", "server_tool_call_response",
)  # fmt: skip
_REASONING_TYPES = ("reasoning", "thinking", "reasoningContent", "redacted_thinking", "thought", "reasoning_content")
_RESULT_KEYS = ("response", "result", "output", "content")
_TEXT_TYPES = ("text", "input_text", "output_text")
_WRAPPERS = ("message", "message_content", "tool_call", "prompt", "completion")
_REASONING_KEYS = ("reasoning_content", "reasoning", "thinking")
_MOST_ITEMS = 1_000_000


def messages_in(value: Any, role: str) -> list[Message]:
    """Return the messages in a value of any wording.

    Args:
        value: A text, a message, a list of messages, or an object that holds them.
        role: Role of messages that name none.
    """
    value = parsed(value)
    if isinstance(value, str):
        return [{"role": role, "content": value}] if value else []
    if isinstance(value, Mapping):
        return _messages_in_object(value, role)
    if not isinstance(value, list):
        return []
    if value and all(isinstance(item, list) for item in value):
        value = value[0]  # a batch: spans are about its first entry
    if joined_text(value) is not None and not any(isinstance(item, Mapping) and "role" in item for item in value):
        return [{"role": role, "content": joined_text(value)}]
    out: list[Message] = []
    for item in value:
        if isinstance(item, str):
            out.append({"role": role, "content": item})
        elif isinstance(item, Mapping):
            out += message_of(item, role)
    return merge_split_turns(out)


def _messages_in_object(value: Mapping[str, Any], role: str) -> list[Message]:
    for key in ("messages", "generations", "choices", "contents", "prompts", "candidates"):
        inner = parsed(value.get(key))
        if isinstance(inner, list):
            system = value.get("system", value.get("system_instruction", value.get("systemInstruction")))
            head = [{"role": "system", "content": text}] if key != "choices" and (text := text_in(system)) else []
            return [*head, *messages_in(inner, role)]
    inner = value.get("input", value.get("output"))
    if isinstance(inner, list) and ("model" in value or "instructions" in value or len(value) == 1):
        instructions = value.get("instructions")
        head = [{"role": "system", "content": instructions}] if isinstance(instructions, str) and role == "user" else []
        return [*head, *messages_in(inner, role)]
    if isinstance(inner, str) and "instructions" in value and role == "user":
        return [{"role": "system", "content": str(value["instructions"])}, {"role": "user", "content": inner}]
    return message_of(value, role)


def message_of(item: Mapping[str, Any], role: str) -> list[Message]:
    """Return one recorded message; several if the results of several tools stand in one."""
    item = _opened(item)
    role = _role(item, role)
    kind = item.get("type")
    if "role" not in item and (kind in (*_CALL_TYPES, *_RESULT_TYPES, *_REASONING_TYPES)):
        content: Any = [item]
        role = "tool" if kind in _RESULT_TYPES else "assistant"
    else:
        parts = item.get("parts", item.get("contents"))
        content = parsed_blocks(parts if isinstance(parts, list) else item.get("content", item.get("text")))
    found = _Parts(item)
    if isinstance(content, list):
        for part in content:
            found.add(unwrapped(part) if isinstance(part, Mapping) else part)
    elif isinstance(content, Mapping):
        found.add(content)
    elif content is not None:
        found.blocks.append({"type": "text", "text": as_text(content)})
    if found.results and not found.blocks and not found.calls:
        return found.results
    message: Message = {"role": role, "content": _content(found.blocks, bool(found.calls))}
    if found.calls:
        message["tool_calls"] = found.calls
    if found.reasoning:
        message["reasoning_content"] = "\n".join(found.reasoning)
    for key in ("tool_call_id", "name", "finish_reason"):
        if isinstance(item.get(key), str) and item[key]:
            message[key] = item[key]
    reason = item.get("stop_reason", item.get("finishReason"))
    if "finish_reason" not in message and isinstance(reason, str):
        message["finish_reason"] = reason
    if role == "tool":
        message["content"] = joined_text(message["content"]) or message["content"]
        if "tool_call_id" not in message and isinstance(item.get("id"), str):
            message["tool_call_id"] = item["id"]
    return [*found.results, message] if role == "user" else [message, *found.results]


class _Parts:
    """The parts of one message, sorted by what they are."""

    def __init__(self, item: Mapping[str, Any]) -> None:
        self.blocks: list[Any] = []
        self.results: list[Message] = []
        self.calls = [tool_call(call) for call in _listed(item.get("tool_calls"))]
        single = item.get("function_call")
        if isinstance(single, Mapping) and not self.calls and single.get("name"):
            self.calls.append(tool_call(single))
        self.reasoning = [item[key] for key in _REASONING_KEYS if isinstance(item.get(key), str) and item[key]][:1]
        self._ids = {call["id"] for call in self.calls if "id" in call}

    def add(self, part: Any) -> None:
        """Sort one part in."""
        if not isinstance(part, Mapping):
            self.blocks.append({"type": "text", "text": as_text(part)})
            return
        kind, inner = _kind_of_part(part)
        if kind in _CALL_TYPES:
            call = tool_call(inner)
            if call.get("id") not in self._ids:
                self.calls.append(call)
        elif kind in _RESULT_TYPES:
            self.results.append(_result(inner))
        elif kind in _REASONING_TYPES:
            self.reasoning += [text] if (text := _reasoning(inner)) else []
        elif kind in _TEXT_TYPES and isinstance(text := part.get("text", part.get("content")), str):
            rest = {key: value for key, value in part.items() if key in ("cache_control",)}
            if part.get("thought") is True:
                self.reasoning.append(text)
            else:
                self.blocks.append({"type": "text", "text": text, **rest})
        else:
            self.blocks.append(dict(part))


def _kind_of_part(part: Mapping[str, Any]) -> tuple[str | None, Mapping[str, Any]]:
    """Return the type of a part, and the object that holds what it says."""
    kind = part.get("type")
    if isinstance(kind, str):
        return kind, part
    for key in ("toolUse", "toolResult", "functionCall", "functionResponse", "reasoningContent"):
        if isinstance(part.get(key), Mapping):
            return key, part[key]
    for snake, camel in (("function_call", "functionCall"), ("function_response", "functionResponse")):
        if isinstance(part.get(snake), Mapping):
            return camel, part[snake]
    if isinstance(part.get("text"), str):
        return "text", part
    if isinstance(part.get("function"), Mapping):
        return "tool_call", part
    return None, part


def _result(part: Mapping[str, Any]) -> Message:
    value = next((part[key] for key in _RESULT_KEYS if part.get(key) is not None), "")
    value = unquoted(value) if isinstance(value, str) and value[:1] == '"' else value
    blocks = parsed(value)
    names = ("id", "tool_call_id", "toolUseId", "tool_use_id", "call_id", "toolCallId")
    known = next((part[key] for key in names if isinstance(part.get(key), str)), None)
    out: Message = {"role": "tool", "tool_call_id": known, "content": joined_text(blocks) or as_text(value)}
    failed = part.get("is_error") is True or part.get("status") == "error"
    return {**out, "is_error": True} if failed else out


def _reasoning(part: Mapping[str, Any]) -> str:
    for key in ("thinking", "text", "content", "reasoning", "reasoningText"):
        value = part.get(key)
        value = value.get("text") if isinstance(value, Mapping) else joined_text(value) or value
        if isinstance(value, str) and value:
            return value
    summary = part.get("summary")
    listed = summary if isinstance(summary, list) else []
    return "\n".join(s["text"] for s in listed if isinstance(s, Mapping) and isinstance(s.get("text"), str))


def tool_call(call: Any) -> dict[str, Any]:
    """Return a tool call of any wording as a chat request writes it."""
    call = unwrapped(call) if isinstance(call, Mapping) else {}
    inner = call.get("function")
    inner = inner if isinstance(inner, Mapping) else call
    arguments = next((inner[key] for key in ("arguments", "input", "args") if inner.get(key) is not None), None)
    spelled = arguments if isinstance(arguments, str) else dumps({} if arguments is None else arguments)
    name = next((inner[key] for key in ("name", "toolName", "tool_name") if isinstance(inner.get(key), str)), "")
    out: dict[str, Any] = {"type": "function", "function": {"name": name, "arguments": spelled}}
    known = next((call[k] for k in ("call_id", "id", "toolUseId", "toolCallId") if isinstance(call.get(k), str)), None)
    return {"id": known, **out} if known else out


def tool_definition(tool: Mapping[str, Any]) -> dict[str, Any]:
    """Return a tool in the words of a chat request; one in a vendor's own words stays as it is."""
    spec = tool.get("toolSpec")
    if isinstance(spec, Mapping):
        schema = spec.get("inputSchema")
        tool = {**spec, "parameters": schema.get("json", schema) if isinstance(schema, Mapping) else schema}
    if "function" in tool or "input_schema" in tool or not isinstance(tool.get("name"), str):
        return dict(tool)
    keys = ("name", "description", "parameters", "strict")
    schema = tool.get("parameters", tool.get("inputSchema", tool.get("parameters_json_schema")))
    function = {key: tool[key] for key in keys if tool.get(key) is not None}
    if schema is not None:
        function["parameters"] = parsed(schema)
    return {"type": "function", "function": function}


def merge_split_turns(messages: list[Message]) -> list[Message]:
    """Join assistant messages that are items of one turn: each tool call, text and reasoning was recorded on its own."""
    out: list[Message] = []
    for message in messages:
        last = out[-1] if out else None
        if (
            last is not None
            and last.get("role") == message.get("role") == "assistant"
            and "finish_reason" not in last
            and (message.get("tool_calls") or "reasoning_content" in last and not last.get("content"))
        ):
            out[-1] = joined(last, message)
        else:
            out.append(message)
    return out


def joined(first: Message, second: Message) -> Message:
    """Return two items of one turn as one message."""
    blocks = [*_blocks(first.get("content")), *_blocks(second.get("content"))]
    calls = [*first.get("tool_calls", ()), *second.get("tool_calls", ())]
    out = {**first, **second, "content": _content(blocks, bool(calls))}
    if calls:
        out["tool_calls"] = calls
    reasoning = [m["reasoning_content"] for m in (first, second) if m.get("reasoning_content")]
    if reasoning:
        out["reasoning_content"] = "\n".join(reasoning)
    return out


def _blocks(content: Any) -> list[Any]:
    if isinstance(content, list):
        return content
    return [{"type": "text", "text": content}] if isinstance(content, str) and content else []


def text_in(value: Any) -> str:
    """Return the text of a system prompt in any wording; `""` if there is none."""
    value = parsed(value)
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        return text_in(value.get("content", value.get("text", value.get("parts"))))
    if isinstance(value, list):
        return "\n".join(filter(None, map(text_in, value)))
    return ""


def parsed_blocks(value: Any) -> Any:
    """Decode a list of blocks that was written as text; other texts that begin like one stay text."""
    decoded = parsed(value)
    if not isinstance(value, str):
        return decoded
    is_blocks = (
        isinstance(decoded, list)
        and bool(decoded)
        and all(isinstance(p, dict) and _kind_of_part(p)[0] is not None for p in decoded)
    )
    return decoded if is_blocks else value


def _content(blocks: list[Any], calls: bool) -> Any:
    if not blocks:
        return None if calls else ""
    only = blocks[0]
    if len(blocks) == 1 and isinstance(only, dict) and set(only) == {"type", "text"} and only["type"] == "text":
        text = only["text"]
        return None if calls and not text else text
    return blocks


def _opened(item: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a message without LangChain's constructor, a choice or a generation around it."""
    kwargs, data, inner = item.get("kwargs"), item.get("data"), parsed(item.get("message"))
    if item.get("lc") and isinstance(kwargs, Mapping):
        names = item.get("id")
        kind = names[-1] if isinstance(names, list) and names else ""
        return {**kwargs, "role": _ROLE_OF.get(str(kind).lower(), kwargs.get("type"))}
    if isinstance(data, Mapping) and isinstance(item.get("type"), str) and "content" in data:
        return {**data, "role": _ROLE_OF.get(item["type"], item["type"])}
    if isinstance(inner, Mapping):
        outer = {key: item[key] for key in ("finish_reason", "index") if item.get(key) is not None}
        info = item.get("generation_info")
        if isinstance(info, Mapping) and isinstance(info.get("finish_reason"), str):
            outer["finish_reason"] = info["finish_reason"]
        return {**outer, **_opened(inner)}
    content = item.get("content")
    if "role" not in item and isinstance(content, Mapping) and isinstance(content.get("parts"), list):
        return {**content, **{k: v for k, v in item.items() if k != "content"}}  # a candidate of Gemini
    if isinstance(inner, list) or (isinstance(inner, str) and inner and "content" not in item):
        return {**{k: v for k, v in item.items() if k != "message"}, "content": inner}
    return item


def _role(item: Mapping[str, Any], role: str) -> str:
    named = item.get("role")
    if not isinstance(named, str) or not named:
        kind = item.get("type")
        named = kind if isinstance(kind, str) and kind in ("human", "ai", "system", "tool", "function") else None
    return role if named is None else _ROLE_OF.get(named.lower(), named.lower())


# -- attributes that are flattened into numbered keys


def numbered(attributes: Mapping[str, Any], prefix: str) -> list[dict[str, Any]]:
    """Return the items of a list that was flattened (`prefix.0.role`, `prefix.0.content`, …), or that is a list still."""
    whole = attributes.get(prefix)
    if isinstance(whole, list):
        return [dict(item) if isinstance(item, Mapping) else {"content": item} for item in whole]
    items: dict[int, dict[str, Any]] = {}
    start = prefix + "."
    for key, value in attributes.items():
        if key.startswith(start):
            number, _, rest = key.removeprefix(start).partition(".")
            if number.isascii() and number.isdigit() and len(number) < 6:
                _put(items.setdefault(int(number), {}), rest.split(".") if rest else ["content"], value)
    return [{key: _relisted(inner) for key, inner in items[i].items()} for i in sorted(items)]


def first_index(attributes: Iterable[str], prefix: str) -> int | None:
    """Return the lowest number among flattened keys; None if there are none."""
    start = prefix + "."
    numbers = (key.removeprefix(start).partition(".")[0] for key in attributes if key.startswith(start))
    return min((int(n) for n in numbers if n.isascii() and n.isdigit() and len(n) < 7), default=None)


def _put(into: dict[str, Any], path: Sequence[str], value: Any) -> None:
    for word in path[:-1]:
        inner = into.setdefault(word, {})
        if not isinstance(inner, dict):
            inner = into[word] = {"": inner}
        into = inner
    into[path[-1]] = value


def _relisted(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    inner = {key: _relisted(entry) for key, entry in value.items()}
    if inner and all(key.isascii() and key.isdigit() for key in inner):
        return [inner[key] for key in sorted(inner, key=int)]
    return inner


def unwrapped(item: Mapping[str, Any]) -> dict[str, Any]:
    """Remove OpenInference's wrapping of each item in the name of what it is (`message.role`, `tool_call.function.name`)."""
    out = {key: value for key, value in item.items() if key not in _WRAPPERS}
    for word in _WRAPPERS:
        inner = item.get(word)
        if isinstance(inner, Mapping):
            out.update(inner)
        elif inner is not None:
            out[word] = inner
    for key in [k for k in out if "." in k]:
        word, _, rest = key.partition(".")
        if word in _WRAPPERS:
            _put(out, rest.split("."), out.pop(key))
    return out


def _listed(value: Any) -> Iterable[Any]:
    value = parsed(value)
    return value if isinstance(value, list) else ()
