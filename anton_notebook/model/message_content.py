"""Inner: the words of recorded messages, in Anthropic's and OpenAI's shapes."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

Message = dict[str, Any]
ANTHROPIC, OPENAI, OLLAMA = "anthropic", "openai", "ollama"
SYSTEM = ("system", "developer")

_SAME = {"claude": ANTHROPIC, "unknown": "", "none": "", "null": ""}
_BY_NAME = (
    (ANTHROPIC, re.compile(r"(anthropic[/.])?claude(-|$)", re.I)),
    (
        OPENAI,
        re.compile(r"(openai/)?(gpt-\d|gpt4|chatgpt|codex-|o[1-9](-|$)|ft:(gpt|davinci|babbage)|text-davinci)", re.I),
    ),
)
_PROXY_CALL = re.compile(r"Calling tool: ")
_PROXY_RESULT = re.compile(r"Tool result from [^:\n]*:")


def provider_of(recorded: str, model: str) -> str:
    """The provider's name: the recorded word in our spelling, else what the model's name says, else `""`.

    >>> provider_of("claude", "x"), provider_of("unknown", "gpt-4o"), provider_of("unknown", "qwen2.5")
    ('anthropic', 'openai', '')
    """
    word = recorded.strip().lower()
    word = _SAME.get(word, word)
    return word or next((name for name, pattern in _BY_NAME if pattern.match(model)), "")


def text_of(content: Any) -> str:
    """The text of a message's content: its text blocks, one below the other."""
    if isinstance(content, str):
        return content
    if isinstance(content, Mapping):
        inner = content.get("text", content.get("content"))
        return inner if isinstance(inner, str) else text_of(inner) if isinstance(inner, list) else ""
    if isinstance(content, Sequence):
        found = (
            block if isinstance(block, str) else block.get("text") if isinstance(block, Mapping) else None
            for block in content
        )
        return "\n".join(text for text in found if isinstance(text, str))
    return ""


def tool_calls_in(message: Any) -> list[dict[str, Any]]:
    """The tool calls of an assistant's message, in Anthropic's or OpenAI's words, as `id`, `name`, `arguments`."""
    if isinstance(message, Mapping):
        listed = message.get("tool_calls")
        if isinstance(listed, list):
            return [found for call in listed if isinstance(call, Mapping) and (found := _call(call))]
        message = message.get("content")
    if not isinstance(message, list):
        return []
    return [
        {"id": b.get("id"), "name": as_text(b.get("name")), "arguments": b.get("input")}
        for b in message
        if isinstance(b, Mapping) and b.get("type") == "tool_use"
    ]


def _call(call: Mapping[str, Any]) -> dict[str, Any]:
    inner = call.get("function")
    inner = inner if isinstance(inner, Mapping) else call
    arguments = inner.get("arguments", inner.get("input"))
    return {"id": call.get("id"), "name": as_text(inner.get("name")), "arguments": parsed(arguments)}


def parsed(arguments: Any) -> Any:
    """Arguments as a value, where they are JSON written as text; else as they are."""
    if not isinstance(arguments, str):
        return arguments
    try:
        return json.loads(arguments) if arguments.strip() else {}
    except (ValueError, RecursionError):
        return arguments


def canonical(value: Any) -> bytes:
    """The one spelling of a value in JSON: sorted keys, no spaces."""
    return json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(",", ":"), default=str).encode()


def ends_with_answer(messages: Sequence[Mapping[str, Any]], record: Mapping[str, Any]) -> bool:
    """Whether the last message is the recorded answer itself, which was never sent."""
    last = messages[-1]
    if last.get("role") != "assistant" or record.get("error") or record.get("success") is False:
        return False
    if record.get("trace_id") is None and record.get("span_id") is None:
        return True  # lines without ids: after a success the last entry is the answer
    if tool_calls_in(last):
        return True  # what asks for tools can only be followed by their results
    said, response = text_of(last.get("content")).strip(), record.get("response")
    return bool(said) and (last.get("content") == response or said == text_of(response).strip())


def is_tool_result(messages: Sequence[Mapping[str, Any]], at: int) -> bool:
    content = messages[at].get("content")
    if isinstance(content, list):
        kinds = [block.get("type") for block in content if isinstance(block, Mapping)]
        return bool(kinds) and len(kinds) == len(content) and set(kinds) <= {"tool_result"}
    before = text_of(messages[at - 1].get("content")) if at and messages[at - 1].get("role") == "assistant" else ""
    return bool(_PROXY_CALL.match(before) and isinstance(content, str) and _PROXY_RESULT.match(content))


def with_text(content: Any, text: str) -> Any:
    """The content with its text replaced: the first text block takes it, other blocks stay where they are."""
    if not isinstance(content, list):
        return text
    out: list[Any] = []
    placed = False
    for block in content:
        is_text = isinstance(block, str) or (isinstance(block, Mapping) and block.get("type") in ("text", "input_text"))
        if not is_text:
            out.append(block)
        elif not placed:
            placed = True
            out.append(text if isinstance(block, str) else {**block, "text": text})
    return out if placed else [*out, {"type": "text", "text": text}]


def checked(value: Any) -> list[Message]:
    if not isinstance(value, Sequence) or isinstance(value, str) or not all(isinstance(m, Mapping) for m in value):
        raise TypeError("messages must be a list of dicts such as {'role': 'user', 'content': 'Hi'}")
    return [dict(message) for message in value]


def as_text(value: Any) -> str:
    """The value where it is text, else nothing."""
    return value if isinstance(value, str) else ""
