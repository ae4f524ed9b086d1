"""Plain values of attributes: JSON written as text, tool arguments and tool results without their wrappings.

Frameworks wrap what a tool was called with (`{"args": [], "kwargs": {…}}`) and what it returned (LangChain's message, content
blocks, `{"response": {"result": …}}`). The functions here remove these wrappings; everything else stays as recorded.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from anton_notebook.sources.anton.line_schema import Fault

DEEPEST = 8
"""Levels of wrapping that are removed at most."""
_CALL_OPTIONS = frozenset({"args", "kwargs", "sanitize_inputs_outputs", "raw_input"})
"""Keys of an object that describes a Python call rather than holds its arguments."""
_ARGUMENT_KEYS = ("kwargs", "tool_arguments", "tool_args", "arguments", "tool_input", "tool_kwargs")
_ONE_RESULT = ("result", "output", "content", "response")
_TEXT_TYPES = (None, "text", "output_text", "input_text")


def first_text(attributes: Mapping[str, Any], names: tuple[str, ...]) -> str:
    """Return the first of these attributes that is a text; of a list its first text."""
    for name in names:
        value = attributes.get(name)
        if isinstance(value, list) and value:
            value = value[0]
        if isinstance(value, str) and value:
            return value
    return ""


def as_json(attributes: Mapping[str, Any], key: str, faults: list[Fault]) -> Any:
    """Return an attribute as a value; text that looks like JSON but is not stays text and is reported in `faults`."""
    value = attributes.get(key)
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        if value.lstrip()[:1] in ("[", "{"):
            faults.append(Fault("no whole JSON (cut off?); shown as text", key))
        return value


def parsed(value: Any) -> Any:
    """Decode an object or array that was written as text; return anything else unchanged."""
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def unquoted(value: Any) -> Any:
    """Decode JSON written as text, quoted strings included."""
    if isinstance(value, str) and len(value) > 1 and value[0] == '"' == value[-1]:
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return parsed(value)


def as_text(value: Any) -> str:
    """Return a value as text: itself, or its JSON."""
    return value if isinstance(value, str) else dumps(value)


def dumps(value: Any) -> str:
    """Return the JSON of a value."""
    return json.dumps(value, ensure_ascii=False, default=str)


def joined_text(blocks: Any) -> str | None:
    """Return the text of a list that holds text blocks only, in any wording; None if it holds anything else."""
    if not isinstance(blocks, list) or not blocks:
        return None
    texts: list[str] = []
    for block in blocks:
        if isinstance(block, Mapping) and isinstance(block.get("json"), dict | list) and len(block) == 1:
            texts.append(dumps(block["json"]))
            continue
        if not isinstance(block, Mapping) or block.get("type") not in _TEXT_TYPES:
            return None
        text = block.get("text", block.get("content"))
        if not isinstance(text, str):
            return None
        texts.append(text)
    return "\n".join(texts)


def tool_arguments(value: Any) -> Any:
    """Return what a tool was called with, without the description of the Python call around it."""
    value = unquoted(value)
    for _ in range(DEEPEST):
        if not isinstance(value, Mapping):
            return value
        keys = set(value)
        inner = next((value[key] for key in _ARGUMENT_KEYS if key in value), None)
        if keys and keys <= _CALL_OPTIONS:
            positional, named = value.get("args"), value.get("kwargs")
            if named or not positional:
                inner = named if named is not None else {}
                if positional and isinstance(named, Mapping):
                    return dict(value)
            else:
                inner = positional[0] if isinstance(positional, list) and len(positional) == 1 else positional
        elif not (len(keys) == 1 and isinstance(inner, Mapping | str) and _is_wrapping(inner)):
            if "tool_arguments" in keys and ("tool_name" in keys or "calling" in keys):
                inner = value["tool_arguments"]
            else:
                return dict(value)
        value = unquoted(inner)
    return value


def _is_wrapping(inner: Any) -> bool:
    return isinstance(unquoted(inner), Mapping)


def tool_result(value: Any) -> Any:
    """Return what a tool returned, without the message or blocks around it."""
    value = unquoted(value)
    for _ in range(DEEPEST):
        inner = _inner_result(value)
        if inner is value:
            return value
        value = unquoted(inner)
    return value


def _inner_result(value: Any) -> Any:
    text = joined_text(value)
    if text is not None:
        return text
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], Mapping):
        only = value[0]
        if "toolResult" in only or only.get("type") == "tool_result":
            return only
    if not isinstance(value, Mapping):
        return value
    if value.get("type") == "tool" and isinstance(value.get("data"), Mapping):
        return value["data"].get("content")
    if value.get("lc") and isinstance(value.get("kwargs"), Mapping):
        return value["kwargs"].get("content")
    if isinstance(value.get("toolResult"), Mapping):
        return value["toolResult"].get("content")
    if "content" in value and (value.get("type") in ("tool", "tool_result") or "tool_call_id" in value):
        return value["content"]
    if len(value) == 1 and (key := next(iter(value))) in _ONE_RESULT:
        inner = value[key]
        # {"result": 3} may be the tool's own result; only nested wrappings and messages are removed.
        if isinstance(inner, Mapping) and (len(inner) == 1 or "content" in inner) or joined_text(inner) is not None:
            return inner.get("result", inner) if isinstance(inner, Mapping) and len(inner) == 1 else inner
        if key == "output" and isinstance(inner, str):
            return inner
    if set(value) >= {"response"} and {"id", "name"} & set(value) and isinstance(value["response"], Mapping):
        response = value["response"]
        return response.get("result", response) if len(response) == 1 else response
    return value
