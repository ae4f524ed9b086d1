"""The conversation of every agent at one moment of a run, computed from the recorded calls."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from anton_notebook.errors import AntonNotebookError
from anton_notebook.model.request import SYSTEM, Message
from anton_notebook.model.span import LLM

KNOWLEDGE = "knowledge.json"
LARGEST_FILE = 64 << 20


def first_call(span: Any) -> Any | None:
    """Return the span if it is a model call, else the first model call below it, else None."""
    return next((one for one in span.walk() if one.kind == LLM), None)


def conversations(trace: Any, at_us: int, point: Any | None) -> dict[str, list[Message]]:
    """Return the conversation of every agent at a moment.

    Args:
        trace: The trace.
        at_us: Microseconds since 1970 UTC.
        point: The model call at this moment; its conversation is taken as sent, without an answer.

    Returns:
        Agent -> messages of its last call that had ended, with the answer.
    """
    states: dict[str, list[Message]] = {}
    last: dict[str, Any] = {}
    frame = trace.spans_df(columns=["span_id", "agent", "start", "end"], kind=LLM)
    frame = frame[frame["end"].notna()]
    if len(frame):
        frame = frame[frame["end"].astype("int64") <= at_us]
    for span_id, agent in zip(frame["span_id"], frame["agent"], strict=True):  # sorted by start: the last one remains
        last[agent] = span_id
    for agent, span_id in last.items():
        messages = _messages(trace.span(span_id), answered=True)
        if messages is not None and isinstance(agent, str):
            states[agent] = messages
    if point is not None and point.agent and (messages := _messages(point, answered=False)) is not None:
        states[point.agent] = messages
    return states


def _messages(span: Any, *, answered: bool) -> list[Message] | None:
    try:
        request = span.request
        response = span.response if answered and not span.error else None
    except AntonNotebookError:
        return None
    messages = [dict(message) for message in request.messages]
    if request.system is not None and not any(message.get("role") in SYSTEM for message in messages):
        messages.insert(0, {"role": "system", "content": request.system})
    if response is not None and (response.text or response.tool_calls):
        answer: Message = {"role": "assistant", "content": response.text}
        if response.tool_calls:
            answer["tool_calls"] = response.tool_calls
        messages.append(answer)
    return messages


def knowledge(traces: Any) -> dict[str, Any] | None:
    """Return anton's knowledge of the repository (`knowledge.json`), or None."""
    for folder in traces.reader.beside.folders:
        value = read_json(Path(folder.path) / KNOWLEDGE)
        if value is not None:
            return value
    return None


def read_json(path: Path) -> dict[str, Any] | None:
    """Return the JSON object in a regular file, or None."""
    try:
        if path.is_symlink() or not path.is_file() or path.stat().st_size > LARGEST_FILE:
            return None
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return dict(value) if isinstance(value, Mapping) else None
