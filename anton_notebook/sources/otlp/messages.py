"""What was said to a model and what it answered, read from a span's attributes and events in whatever words they are written.

The outcome is in one wording, that of chat messages: `role` and `content`, an assistant's `tool_calls`, a tool's
`tool_call_id`. Parts that are neither text nor tool calls (images, files) stay as they are among the content's blocks.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from anton_notebook.sources.anton.line_schema import Fault

Message = dict[str, Any]
DETAILS = "gen_ai.client.inference.operation.details"
_ROLES = {
    "gen_ai.system.message": "system", "gen_ai.user.message": "user", "gen_ai.assistant.message": "assistant",
    "gen_ai.tool.message": "tool",
}  # fmt: skip
_ROLE_OF = {"human": "user", "ai": "assistant", "model": "assistant", "function": "tool", "developer": "developer"}
_INPUT = ("gen_ai.input.messages", "gen_ai.prompt")
_OUTPUT = ("gen_ai.output.messages", "gen_ai.completion")


@dataclass(slots=True)
class Dialogue:
    """A call's messages, answer and system prompt; `from_keys` names the attributes and events they were read from."""

    messages: list[Message] = field(default_factory=list)
    response: Any = ""
    system: str | None = None
    finish_reason: str | None = None
    from_keys: list[str] = field(default_factory=list)


def read(attributes: Mapping[str, Any], events: Sequence[Mapping[str, Any]], faults: list[Fault]) -> Dialogue:
    """The dialogue of a call. What is no JSON where it should be is shown as text, and said in `faults`."""
    whole = dict(attributes)
    for event in events:
        if event.get("name") in (DETAILS, "gen_ai.content.prompt", "gen_ai.content.completion"):
            body = event.get("body")
            for source in (event["attributes"], body if isinstance(body, dict) else {}):
                whole.update({key: value for key, value in source.items() if key not in whole})
    out = Dialogue()
    answers = _output(whole, events, out, faults)
    out.messages = _input(whole, events, out, faults)
    if answers:
        first = answers[0]
        out.finish_reason = first.pop("finish_reason", None) or out.finish_reason
        calls = first.get("tool_calls")
        out.response = first if calls or not isinstance(first.get("content"), str) else first["content"]
    instructions = as_json(whole, "gen_ai.system_instructions", faults)
    if instructions:
        listed = instructions if isinstance(instructions, list) else [instructions]
        out.system = "\n".join(filter(None, map(_text_of_part, listed)))
    return out


def _input(
    whole: Mapping[str, Any], events: Sequence[Mapping[str, Any]], out: Dialogue, faults: list[Fault]
) -> list[Message]:
    for key in _INPUT:
        if whole.get(key) is not None:
            out.from_keys.append(key)
            return _messages(as_json(whole, key, faults), "user")
    for prefix in ("gen_ai.prompt", "llm.prompts", "llm.input_messages"):
        found = [_message(unwrapped(item), "user") for item in numbered(whole, prefix)]
        if found:
            out.from_keys.append(prefix)
            return [message for several in found for message in several]
    said = [
        _message({**_fields(event), "role": _role_in(event)}, "user") for event in events if event.get("name") in _ROLES
    ]
    if said:
        out.from_keys.append("gen_ai.*.message")
        return [message for several in said for message in several]
    given = whole.get("input.value")
    if given is None:
        return []
    out.from_keys.append("input.value")
    value = parsed(given)
    if isinstance(value, dict) and isinstance(value.get("messages"), list):
        listed = value["messages"]
        listed = listed[0] if listed and isinstance(listed[0], list) else listed
        return _messages(listed, "user")
    return [{"role": "user", "content": given if isinstance(given, str) else _dumps(given)}]


def _output(
    whole: Mapping[str, Any], events: Sequence[Mapping[str, Any]], out: Dialogue, faults: list[Fault]
) -> list[Message]:
    for key in _OUTPUT:
        if whole.get(key) is not None:
            out.from_keys.append(key)
            return _messages(as_json(whole, key, faults), "assistant")
    for prefix in ("gen_ai.completion", "llm.completions", "llm.choices", "llm.output_messages"):
        found = [_message(unwrapped(item), "assistant") for item in numbered(whole, prefix)]
        if found:
            out.from_keys.append(prefix)
            return [message for several in found for message in several]
    choices = [_choice(_fields(event)) for event in events if event.get("name") == "gen_ai.choice"]
    if choices:
        out.from_keys.append("gen_ai.choice")
        return [message for several in choices for message in several]
    given = whole.get("output.value")
    if given is None:
        return []
    out.from_keys.append("output.value")
    value = parsed(given)
    if isinstance(value, dict) and isinstance(value.get("choices"), list) and value["choices"]:
        return _choice(value["choices"][0])
    if isinstance(value, dict) and (value.get("role") == "assistant" or "tool_calls" in value):
        return _message(value, "assistant")
    return [{"role": "assistant", "content": given if isinstance(given, str) else _dumps(given)}]


def _choice(choice: Any) -> list[Message]:
    if not isinstance(choice, Mapping):
        return []
    inner = parsed(choice.get("message"))
    inner = {**choice, **inner} if isinstance(inner, dict) else dict(choice)
    return _message({**inner, "role": inner.get("role") or "assistant"}, "assistant")


def _fields(event: Mapping[str, Any]) -> dict[str, Any]:
    body = event.get("body")
    return {**event["attributes"], **(body if isinstance(body, dict) else {})}


def _role_in(event: Mapping[str, Any]) -> str:
    said = _fields(event).get("role")
    return said if isinstance(said, str) and said else _ROLES[event["name"]]


def _messages(value: Any, role: str) -> list[Message]:
    if isinstance(value, str):
        return [{"role": role, "content": value}] if value else []
    if isinstance(value, Mapping):
        value = value.get("messages", value.get("choices", [value]))
    if not isinstance(value, list):
        return []
    out: list[Message] = []
    for item in value:
        if isinstance(item, Mapping) and isinstance(item.get("message"), Mapping):
            out += _choice(item)
        elif isinstance(item, Mapping):
            out += _message(item, role)
        elif isinstance(item, str):
            out.append({"role": role, "content": item})
    return out


def _message(item: Mapping[str, Any], role: str) -> list[Message]:
    """One recorded message; several where the results of several tools stand in one."""
    said = item.get("role")
    role = _ROLE_OF.get(said, said) if isinstance(said, str) and said else role
    parts = item.get("parts", item.get("contents"))
    content = parsed_list(parts if isinstance(parts, list) else item.get("content", item.get("text")))
    blocks: list[Any] = []
    calls = [_call(call) for call in _listed(item.get("tool_calls"))]
    results: list[Message] = []
    if isinstance(content, list):
        for part in map(_unwrapped_part, content):
            kind = part.get("type") if isinstance(part, Mapping) else None
            if kind in ("tool_call", "function_call"):
                calls.append(_call(part))
            elif kind in ("tool_call_response", "function_call_output"):
                found = next(
                    (part[key] for key in ("response", "result", "output", "content") if part.get(key) is not None), ""
                )
                results.append({"role": "tool", "tool_call_id": part.get("id"), "content": _as_text(found)})
            else:
                blocks.append(_block(part))
    elif content is not None:
        blocks.append({"type": "text", "text": _as_text(content)})
    if results and not blocks and not calls:
        return results
    message: Message = {"role": role, "content": _content(blocks, bool(calls))}
    if calls:
        message["tool_calls"] = calls
    for key in ("tool_call_id", "name", "finish_reason"):
        if isinstance(item.get(key), str) and item[key]:
            message[key] = item[key]
    if role == "tool" and "tool_call_id" not in message and isinstance(item.get("id"), str):
        message["tool_call_id"] = item["id"]
    return [message, *results]


def _content(blocks: list[Any], calls: bool) -> Any:
    if not blocks:
        return None if calls else ""
    if (
        len(blocks) == 1
        and isinstance(blocks[0], dict)
        and set(blocks[0]) == {"type", "text"}
        and blocks[0]["type"] == "text"
    ):
        return blocks[0]["text"]
    return blocks


def _block(part: Any) -> Any:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    if not isinstance(part, Mapping):
        return {"type": "text", "text": _as_text(part)}
    if part.get("type") == "text" and isinstance(part.get("content"), str):
        return {"type": "text", "text": part["content"]}
    return dict(part)


def _unwrapped_part(part: Any) -> Any:
    if isinstance(part, Mapping) and isinstance(part.get("message_content"), Mapping):
        return unwrapped(part)
    return part


def _text_of_part(part: Any) -> str:
    found = part.get("content", part.get("text")) if isinstance(part, Mapping) else part
    return found if isinstance(found, str) else ""


def _call(call: Any) -> dict[str, Any]:
    call = unwrapped(call) if isinstance(call, Mapping) else {}
    inner = call.get("function")
    inner = inner if isinstance(inner, Mapping) else call
    arguments = inner.get("arguments", inner.get("input"))
    spelled = arguments if isinstance(arguments, str) else _dumps({} if arguments is None else arguments)
    out: dict[str, Any] = {
        "type": "function",
        "function": {"name": _as_text(inner.get("name") or ""), "arguments": spelled},
    }
    return {"id": call["id"], **out} if isinstance(call.get("id"), str) else out


def tool_definition(tool: Mapping[str, Any]) -> dict[str, Any]:
    """A tool in the words of a chat request; one that is written in some vendor's words stays as it is."""
    if "function" in tool or "input_schema" in tool or not isinstance(tool.get("name"), str):
        return dict(tool)
    keys = ("name", "description", "parameters", "strict")
    return {"type": "function", "function": {key: tool[key] for key in keys if tool.get(key) is not None}}


# -- attributes that are flattened into numbered keys


def numbered(attributes: Mapping[str, Any], prefix: str) -> list[dict[str, Any]]:
    """The items of a list that was flattened (`prefix.0.role`, `prefix.0.content`, …), or that is a list still."""
    whole = attributes.get(prefix)
    if isinstance(whole, list):
        return [dict(item) if isinstance(item, Mapping) else {"content": item} for item in whole]
    found: dict[int, dict[str, Any]] = {}
    start = prefix + "."
    for key, value in attributes.items():
        if key.startswith(start):
            number, _, rest = key.removeprefix(start).partition(".")
            if number.isascii() and number.isdigit() and len(number) < 6:
                _put(found.setdefault(int(number), {}), rest.split(".") if rest else ["content"], value)
    return [{key: _relisted(inner) for key, inner in found[i].items()} for i in sorted(found)]


def _put(into: dict[str, Any], path: list[str], value: Any) -> None:
    for word in path[:-1]:
        inner = into.setdefault(word, {})
        if not isinstance(inner, dict):
            inner = into[word] = {"": inner}
        into = inner
    into[path[-1]] = value


def _relisted(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    inner = {key: _relisted(found) for key, found in value.items()}
    if inner and all(key.isascii() and key.isdigit() for key in inner):
        return [inner[key] for key in sorted(inner, key=int)]
    return inner


def unwrapped(item: Mapping[str, Any]) -> dict[str, Any]:
    """OpenInference wraps each item in the name of what it is (`message.role`, `tool_call.function.name`)."""
    out = {key: value for key, value in item.items() if key not in _WRAPPERS}
    for word in _WRAPPERS:
        inner = item.get(word)
        if isinstance(inner, Mapping):
            out.update(inner)
    for key in [k for k in out if "." in k]:
        word, _, rest = key.partition(".")
        if word in _WRAPPERS:
            _put(out, rest.split("."), out.pop(key))
    return out


_WRAPPERS = ("message", "message_content", "tool_call", "prompt", "completion")


# -- values


def as_json(attributes: Mapping[str, Any], key: str, faults: list[Fault]) -> Any:
    """An attribute that is a value, or JSON written as text. What is no JSON stays text, and is said in `faults`."""
    found = attributes.get(key)
    if not isinstance(found, str):
        return found
    try:
        return json.loads(found)
    except (ValueError, RecursionError):
        if found.lstrip()[:1] in ("[", "{"):
            faults.append(Fault("no whole JSON (cut off?); shown as text", key))
        return found


def parsed(value: Any) -> Any:
    """An object or array written as text, as a value; anything else as it is."""
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def parsed_list(value: Any) -> Any:
    """A list of parts that was written as text, as a list; other texts that begin like one stay texts."""
    found = parsed(value)
    typed = (
        isinstance(found, list)
        and bool(found)
        and all(isinstance(p, dict) and isinstance(p.get("type"), str) for p in found)
    )
    return found if typed or not isinstance(value, str) else value


def _listed(value: Any) -> Iterable[Any]:
    value = parsed(value)
    return value if isinstance(value, list) else ()


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else _dumps(value)


def _dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
