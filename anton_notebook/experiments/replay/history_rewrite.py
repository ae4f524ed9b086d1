"""Inner: messages of a conversation with a new answer, or new results of tools, in place of the recorded ones."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from anton_notebook.experiments.replay.answer_diff import Changed
from anton_notebook.experiments.replay.dependencies import PROXY_CALL, PROXY_RESULT, result_text
from anton_notebook.experiments.replay.node_state import SAME, UNKNOWN, Known, Rebuilt, Unreached
from anton_notebook.experiments.replay.recording import Node
from anton_notebook.model.request import Response


def retold(message: Any, old: Response, new: Response, changed: Changed, *, silent: bool) -> Any:
    """The message of the assistant with the new answer in place of the old one."""
    if silent:
        return message
    texts = {old.text: new.text}
    if old.text.strip() != old.text:
        texts.setdefault(old.text.strip(), new.text.strip())
    if old.text == old.text.strip() and new.text != new.text.strip():
        raise Unreached("the new answer has white space at its ends, and nothing says whether it is kept")
    ids = {a.get("id"): b.get("id") or a.get("id") for a, b in zip(old.tool_calls, new.tool_calls, strict=True)}
    arguments = {
        a.get("id"): (a.get("arguments"), b.get("arguments"))
        for a, b in zip(old.tool_calls, new.tool_calls, strict=True)
    }
    return _retell(message, texts, ids, arguments, None)


def _retell(
    value: Any, texts: Mapping[str, str], ids: Mapping[Any, Any], arguments: Mapping[Any, tuple[Any, Any]], key: Any
) -> Any:
    if isinstance(value, Mapping):
        own = value.get("id")
        if own in arguments and own is not None:
            before, after = arguments[own]
            out = {k: _retell(v, texts, ids, arguments, k) for k, v in value.items()}
            return _called(out, ids[own], before, after)
        return {k: _retell(v, texts, ids, arguments, k) for k, v in value.items()}
    if isinstance(value, list):
        return [_retell(inner, texts, ids, arguments, key) for inner in value]
    if isinstance(value, str) and key in ("content", "text") and value in texts:
        return texts[value]
    return value


def _called(call: dict[str, Any], name: Any, before: Any, after: Any) -> dict[str, Any]:
    """A tool call of a message with the new arguments, in the words in which the old ones stood."""
    call["id"] = name
    inner = call.get("function")
    holder = dict(inner) if isinstance(inner, Mapping) else call
    for key in ("arguments", "input"):
        if key not in holder:
            continue
        said = holder[key]
        if not isinstance(said, str):
            holder[key] = after
            continue
        style = next((s for s in _STYLES if _dumped(before, s) == said), None)
        if style is None and before != after:
            raise Unreached("the arguments of a tool call are written in a way that cannot be repeated")
        holder[key] = said if style is None else _dumped(after, style)
    if isinstance(inner, Mapping):
        call["function"] = holder
    return call


_STYLES: tuple[dict[str, Any], ...] = (
    {}, {"ensure_ascii": False}, {"separators": (",", ":")}, {"separators": (",", ":"), "ensure_ascii": False}, {"sort_keys": True}
)  # fmt: skip


def _dumped(value: Any, style: Mapping[str, Any]) -> str:
    return value if isinstance(value, str) else json.dumps(value, **style)


def result(message: Any, previous: Node, ids: Mapping[Any, tuple[int, Any]], known: Known, made: Rebuilt) -> Any:
    """A message that brings results of tools, with the new ones in place; None where it is none."""
    name = message.get("tool_call_id")
    if message.get("role") == "tool" and name in ids:
        place, later = ids[name]
        content = _new_result(message.get("content"), previous.results.get(place), known, made)
        return {**message, "tool_call_id": later, "content": content}
    content = message.get("content")
    if not isinstance(content, list) or not content:
        return None
    blocks = []
    for block in content:
        if not isinstance(block, Mapping) or block.get("type") != "tool_result" or block.get("tool_use_id") not in ids:
            return None
        place, later = ids[block["tool_use_id"]]
        inner = _new_result(block.get("content"), previous.results.get(place), known, made)
        blocks.append({**block, "tool_use_id": later, "content": inner})
    return {**message, "content": blocks}


def _new_result(content: Any, tool: Node | None, known: Known, made: Rebuilt) -> Any:
    settled = known.get(tool.place) if tool is not None else None
    if tool is None or settled is None or settled.state == SAME:
        return content
    if settled.state == UNKNOWN:
        raise Unreached(f"it rests on {tool.title}: {settled.why}")
    if result_text(content) != tool.result or settled.result is None:
        raise Unreached(f"its history tells the result of {tool.title} in other words than it was given")
    made.results += 1
    if isinstance(content, str):
        return settled.result
    return [{"type": "text", "text": settled.result}]


def told_by_proxy(message: Any) -> bool:
    content = message.get("content")
    return isinstance(content, str) and content.startswith((PROXY_CALL, PROXY_RESULT))
