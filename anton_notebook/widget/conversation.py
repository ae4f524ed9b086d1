"""Inner: an agent's calls as one conversation: every message once, where it was said first, in pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from anton_notebook.api import Span, Traces
from anton_notebook.errors import BodyUnavailable
from anton_notebook.model.span import LLM, Flag
from anton_notebook.widget.details import readable, span_of

CALLS = 12
"""Calls in one page."""
LETTERS = 6_000
"""Of one message, in the page at once; the rest is fetched with `text`."""


def conversation(traces: Traces, row: int, offset: int) -> dict[str, Any]:
    """The calls of the agent that a span belongs to, `CALLS` from `offset` on: what was new in each, and what was answered.

    `{"agent", "calls": [{"row", "said": [{"part", "role", "text", "chars"}], "again": messages told before, "tools": [row]}],
    "offset", "total", "next"}`; `next` is None at the end.
    """
    store = traces.store
    span = span_of(traces, row)
    rows = _calls(traces, row)
    shown = rows[offset : offset + CALLS]
    before = _messages(Span(traces, rows[offset - 1])) if 0 < offset <= len(rows) else []
    answered = _answer(Span(traces, rows[offset - 1])) if 0 < offset <= len(rows) else None
    system = _system(Span(traces, rows[offset - 1])) if 0 < offset <= len(rows) else None
    calls = []
    for one in shown:
        call = Span(traces, one)
        try:
            said, before, answered, system = _said(call, before, answered, system)
            problem = None
        except BodyUnavailable as error:
            said, problem = [], str(error)
        with store.lock:
            tools = [child.row for child in call.children if child.kind != LLM]
        calls.append({"row": one, "said": said, "tools": tools, "problem": problem})
    end = offset + len(shown)
    return {
        "agent": span.agent or span.name or "",
        "calls": calls,
        "offset": offset,
        "total": len(rows),
        "next": end if end < len(rows) else None,
    }


def _calls(traces: Traces, row: int) -> list[int]:
    """Rows of the calls of one agent in one trace, by start."""
    store = traces.store
    with store.lock:
        agent, trace = store.classes[store.c.cls[row]].agent, store.c.trace[row]
        own = np.array([cls.kind == LLM and cls.agent == agent for cls in store.classes])
        c, size = store.c, store.size
        alive = (c.flags[:size] & np.uint8(Flag.DEAD | Flag.PENDING)) == 0
        rows = np.flatnonzero(alive & (c.trace[:size] == trace) & own[c.cls[:size]])
        return [int(one) for one in rows[np.argsort(c.start[rows], kind="stable")]]


def _said(
    call: Span, before: Sequence[Any], answered: Any, system: Any
) -> tuple[list[dict[str, Any]], list[Any], Any, Any]:
    messages, answer, told = _messages(call), _answer(call), _system(call)
    said = [_piece("system", "system", told)] if told not in (None, "") and told != system else []
    known = 0
    while known < min(len(before), len(messages)) and _same(before[known], messages[known]):
        known += 1
    own = messages[:-1] if messages and _is_answer(messages[-1], answer) else messages
    for place in range(known, len(own)):
        message = own[place]
        # the last answer comes back as the first new message
        if place == len(before) and answered is not None and _is_answer(message, answered):
            continue
        role = message.get("role") if isinstance(message, Mapping) else None
        plain = isinstance(message, Mapping) and set(message) <= {"role", "content", "timestamp"}
        content = message.get("content") if plain and isinstance(message, Mapping) else message
        said.append(_piece(f"messages/{place}", role if isinstance(role, str) else "message", content))
    if answer not in (None, ""):
        said.append(_piece("response", "assistant", answer))
    if call.error:
        said.append(_piece("error", "error", call.error))
    return said, own, answer, told


def _piece(part: str, role: str, value: Any) -> dict[str, Any]:
    kind, text = readable(value)
    return {"part": part, "role": role, "kind": kind, "text": text[:LETTERS], "chars": len(text)}


def _messages(call: Span) -> list[Any]:
    found = call.record.get("messages")
    return found if isinstance(found, list) else []


def _answer(call: Span) -> Any:
    return call.record.get("response")


def _system(call: Span) -> Any:
    return call.record.get("system_prompt")


def _is_answer(message: Any, answer: Any) -> bool:
    return (
        isinstance(message, Mapping) and message.get("role") == "assistant" and message.get("content") == answer != ""
    )


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return all(one.get(name) == other.get(name) for name in ("role", "content", "tool_calls", "tool_call_id"))
    return bool(one == other)
