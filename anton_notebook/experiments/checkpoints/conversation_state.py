"""Inner: what every agent's conversation was at a moment of a run, from the run's calls."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from anton_notebook.errors import AntonNotebookError
from anton_notebook.model.request import SYSTEM, Message
from anton_notebook.model.span import LLM

KNOWLEDGE = "knowledge.json"
MOST = 64 << 20


def first_call(span: Any) -> Any | None:
    """The call that a span stands for: its own, or the first below it; None where there is none."""
    return next((one for one in span.walk() if one.kind == LLM), None)


def conversations(trace: Any, at_us: int, point: Any | None) -> dict[str, list[Message]]:
    """Every agent's conversation at a moment (microseconds since 1970 UTC): the last call that had ended, with its answer.

    Of the point itself, the conversation as it was sent.
    """
    out: dict[str, list[Message]] = {}
    last: dict[str, Any] = {}
    frame = trace.spans_df(columns=["span_id", "agent", "start", "end"], kind=LLM)
    frame = frame[frame["end"].notna()]
    if len(frame):
        frame = frame[frame["end"].astype("int64") <= at_us]
    for span_id, agent in zip(frame["span_id"], frame["agent"], strict=True):  # by start: the last one stays
        last[agent] = span_id
    for agent, span_id in last.items():
        said = _said(trace.span(span_id), answered=True)
        if said is not None and isinstance(agent, str):
            out[agent] = said
    if point is not None and point.agent and (said := _said(point, answered=False)) is not None:
        out[point.agent] = said
    return out


def _said(span: Any, *, answered: bool) -> list[Message] | None:
    try:
        request = span.request
        answer = span.response if answered and not span.error else None
    except AntonNotebookError:
        return None
    messages = [dict(message) for message in request.messages]
    if request.system is not None and not any(message.get("role") in SYSTEM for message in messages):
        messages.insert(0, {"role": "system", "content": request.system})
    if answer is not None and (answer.text or answer.tool_calls):
        said: Message = {"role": "assistant", "content": answer.text}
        if answer.tool_calls:
            said["tool_calls"] = answer.tool_calls
        messages.append(said)
    return messages


def knowledge(traces: Any) -> dict[str, Any] | None:
    """What anton knows of the repository (`knowledge.json`), where that is there."""
    for folder in traces.reader.beside.folders:
        found = read_json(Path(folder.path) / KNOWLEDGE)
        if found is not None:
            return found
    return None


def read_json(path: Path) -> dict[str, Any] | None:
    """A file's JSON object; None where it holds none."""
    try:
        if path.is_symlink() or not path.is_file() or path.stat().st_size > MOST:
            return None
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return dict(value) if isinstance(value, Mapping) else None
