"""What other spans of a run know of one: tool arguments in the model's answer, tools and parameters of the agent above."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from anton_notebook.errors import BodyUnavailable
from anton_notebook.model.message_content import tool_calls_in
from anton_notebook.model.span import AGENT, LLM, ORCHESTRATOR, Flag
from anton_notebook.sources.otlp.values import parsed
from anton_notebook.store import Store

NEAR = 12
"""Model calls before or after a tool that are looked at."""
DEEPEST = 16
_GONE = int(Flag.DEAD | Flag.PENDING)


def complete(store: Store, record: dict[str, Any], row: int) -> None:
    """Add to a span's record what only its neighbors recorded; nothing that is there is changed."""
    if row < 0:
        return
    if record["span_type"] == "tool_call":
        _complete_tool(store, record, row)
    elif record["span_type"] == "llm_call" and record.get("messages") and not record.get("tools"):
        _complete_call(store, record, row)


def _complete_tool(store: Store, record: dict[str, Any], row: int) -> None:
    arguments, result = record.get("parameters"), record.get("result")
    if isinstance(arguments, Mapping) and result is not None:
        return
    known, name = record.get("tool_call_id"), record.get("tool_name")
    if not isinstance(arguments, Mapping):
        options = [
            call["arguments"]
            for other in _calls_near(store, row, before=True)
            for call in tool_calls_in(other.get("response"))
            if (call.get("id") == known if known else call.get("name") == name and _is_only_value(call, arguments))
        ]
        if options and isinstance(options[0], Mapping):
            record["parameters"] = options[0]
    if result is None and known and record.get("success") is not False:
        for other in _calls_near(store, row, before=False):
            for message in other.get("messages") or ():
                if message.get("tool_call_id") == known:
                    content = parsed(message.get("content"))
                    alone = isinstance(content, Mapping) and set(content) == {"result"}
                    record["result"] = content["result"] if alone else message.get("content")
                    return


def _is_only_value(call: Mapping[str, Any], argument: Any) -> bool:
    """Return whether the one argument of a call is the text that a tool recorded as its input."""
    given = call.get("arguments")
    return isinstance(given, Mapping) and len(given) == 1 and next(iter(given.values())) == argument


def _calls_near(store: Store, row: int, before: bool) -> Iterator[Mapping[str, Any]]:
    """Yield the records of the run's model calls before or after a row, the nearest first."""
    c = store.c
    rows = np.flatnonzero((c.trace[: store.size] == c.trace[row]) & ((c.flags[: store.size] & _GONE) == 0))
    start = c.start[row]
    picked = rows[c.start[rows] <= start] if before else rows[c.start[rows] > start]
    calls = [r for r in picked.tolist() if store.classes[c.cls[r]].kind == LLM]
    calls.sort(key=lambda r: abs(int(c.start[r]) - int(start)))
    for other in calls[:NEAR]:
        record = _record(store, other)
        if record is not None:
            yield record


def _complete_call(store: Store, record: dict[str, Any], row: int) -> None:
    """Take tool definitions and parameters from the agent above, if the call itself recorded none."""
    above = int(store.c.recorded_parent[row])
    for _ in range(DEEPEST):
        if above < 0 or int(store.c.flags[above]) & _GONE:
            return
        if store.classes[store.c.cls[above]].kind in (AGENT, ORCHESTRATOR):
            agent = _record(store, above)
            for key in ("tools", "parameters"):
                value = (agent or {}).get("agent_request", {}).get(key)
                if value and not record.get(key):
                    record[key] = value
            return
        above = int(store.c.recorded_parent[above])


def _record(store: Store, row: int) -> Mapping[str, Any] | None:
    c = store.c
    file = int(c.file[row])
    if file < 0:
        return None
    loader: Any = store.files[file].loader
    plain = getattr(loader, "__self__", None)
    read = getattr(plain, "load_alone", loader)
    try:
        record: Mapping[str, Any] = read(int(c.offset[row]), int(c.length[row]))
    except BodyUnavailable:
        return None
    return record
