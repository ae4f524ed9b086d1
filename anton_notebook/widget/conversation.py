"""An agent's calls as one conversation: every message once, where it was first sent or received, in pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from anton_notebook.api import Span, Traces
from anton_notebook.errors import BodyUnavailable
from anton_notebook.model.span import LLM, Flag
from anton_notebook.widget.details import readable, span_of

PAGE_SIZE = 12  # calls per answer
TEXT_LIMIT = 6_000  # characters per message; the rest is requested with `text`


def conversation(traces: Traces, row: int, offset: int) -> dict[str, Any]:
    """Return the calls of a span's agent with the messages that are new in each, and the answers.

    Args:
        traces: The traces.
        row: A row of the agent.
        offset: The number of the first call to return; at most `PAGE_SIZE` are returned.

    Returns:
        `{"agent", "calls": [{"row", "said": [{"part", "role", "kind", "text", "chars"}], "tools": [row], "problem"}],
        "offset", "total", "next"}`; `next` is None at the end.
    """
    store = traces.store
    span = span_of(traces, row)
    rows = _calls(traces, row)
    shown = rows[offset : offset + PAGE_SIZE]
    state = _Seen()
    if 0 < offset <= len(rows):
        state = _Seen.of(Span(traces, rows[offset - 1]))
    calls = []
    for one in shown:
        call = Span(traces, one)
        try:
            messages, state = _new_messages(call, state)
            problem = None
        except BodyUnavailable as error:
            messages, problem = [], str(error)
        with store.lock:
            tools = [child.row for child in call.children if child.kind != LLM]
        calls.append({"row": one, "said": messages, "tools": tools, "problem": problem})
    end = offset + len(shown)
    return {
        "agent": span.agent or span.name or "",
        "calls": calls,
        "offset": offset,
        "total": len(rows),
        "next": end if end < len(rows) else None,
    }


def _calls(traces: Traces, row: int) -> list[int]:
    """Return the rows of an agent's model calls in a trace, by start."""
    store = traces.store
    with store.lock:
        agent, trace = store.classes[store.c.cls[row]].agent, store.c.trace[row]
        matches = np.array([cls.kind == LLM and cls.agent == agent for cls in store.classes])
        c, size = store.c, store.size
        alive = (c.flags[:size] & np.uint8(Flag.DEAD | Flag.PENDING)) == 0
        rows = np.flatnonzero(alive & (c.trace[:size] == trace) & matches[c.cls[:size]])
        return [int(one) for one in rows[np.argsort(c.start[rows], kind="stable")]]


class _Seen(NamedTuple):
    """Messages, answer and system prompt of the agent's previous call."""

    messages: Sequence[Any] = ()
    answer: Any = None
    system: Any = None

    @classmethod
    def of(cls, call: Span) -> _Seen:
        record = call.record
        messages = record.get("messages")
        return cls(messages if isinstance(messages, list) else [], record.get("response"), record.get("system_prompt"))


def _new_messages(call: Span, before: _Seen) -> tuple[list[dict[str, Any]], _Seen]:
    """Return the messages of a call that the previous one did not have, and the state for the next call."""
    seen = _Seen.of(call)
    messages, answer = seen.messages, seen.answer
    shown = [_message("system", "system", seen.system)] if seen.system not in (None, "", before.system) else []
    common = 0
    while common < min(len(before.messages), len(messages)) and _same(before.messages[common], messages[common]):
        common += 1
    request = messages[:-1] if messages and _is_answer(messages[-1], answer) else messages
    for index in range(common, len(request)):
        message = request[index]
        # the previous answer comes back as the first new message
        if index == len(before.messages) and before.answer is not None and _is_answer(message, before.answer):
            continue
        role = message.get("role") if isinstance(message, Mapping) else None
        is_simple = isinstance(message, Mapping) and set(message) <= {"role", "content", "timestamp"}
        content = message.get("content") if is_simple and isinstance(message, Mapping) else message
        shown.append(_message(f"messages/{index}", role if isinstance(role, str) else "message", content))
    if answer not in (None, ""):
        shown.append(_message("response", "assistant", answer))
    if call.error:
        shown.append(_message("error", "error", call.error))
    return shown, _Seen(request, answer, seen.system)


def _message(part: str, role: str, value: Any) -> dict[str, Any]:
    kind, text = readable(value)
    return {"part": part, "role": role, "kind": kind, "text": text[:TEXT_LIMIT], "chars": len(text)}


def _is_answer(message: Any, answer: Any) -> bool:
    return (
        isinstance(message, Mapping) and message.get("role") == "assistant" and message.get("content") == answer != ""
    )


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return all(one.get(name) == other.get(name) for name in ("role", "content", "tool_calls", "tool_call_id"))
    return bool(one == other)
