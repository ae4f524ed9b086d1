"""Everything that a page shows of one span. Its texts are read from disk on request."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import numpy as np

from anton_notebook import pricing
from anton_notebook.api import Span, Traces
from anton_notebook.errors import AmbiguousSpan, BodyUnavailable
from anton_notebook.model.span import Flag

Int32Array = np.ndarray[Any, np.dtype[np.int32]]
CHUNK = 65_536  # characters of a text that are sent with the details, or per request afterwards
_SURROGATES = re.compile("[\ud800-\udfff]")  # cannot be encoded in a message
_LABELS = (("tools", "Tools"), ("parameters", "Parameters"), ("response", "Response"), ("result", "Result"))


def details(traces: Traces, row: int, *, raw: bool = True) -> dict[str, Any]:
    """Return the fields of a span and the first `CHUNK` characters of its texts.

    Args:
        traces: The traces.
        row: The row of the span.
        raw: Whether the recorded line is included as well.

    Returns:
        `Details` of `js/src/kernel/protocol.ts`.
    """
    span = span_of(traces, row)
    problems: list[str] = []
    try:
        record = span.record
    except BodyUnavailable as error:
        record = {}
        problems.append(str(error))
    problems += [str(fault) for fault in record.get("_faults", ())]
    light = traces.store.span(row)
    fields = {
        "row": row,
        "span_id": span.span_id,
        "trace_id": span.trace_id,
        "kind": span.kind,
        "agent": span.agent or "",
        "name": span.name or "",
        "status": span.status,
        "start": _ms(span.start),
        "end": _ms(span.end),
        "duration_ms": span.duration_ms,
        "provider": span.provider,
        "model": span.model,
        "input_tokens": span.input_tokens,
        "output_tokens": span.output_tokens,
        "cached_tokens": span.cached_tokens,
        "tokens_estimated": span.tokens_estimated,
        "tokens_lower_bound": row in traces.store.own and traces.store.own[row].lower_bound,
        "usage": traces.store.usage(row).details(),
        "cost_usd": _finite(span.cost_usd),
        "recorded_cost_usd": _finite(span.recorded_cost_usd),
        "cost_source": _cost_source(span),
        "finish_reason": span.finish_reason,
        "error": span.error,
        "source": traces.store.files[light.file].path if light.file >= 0 else None,
        "line": light.line if light.line > 0 else None,
        "depth": _depth(traces, row),
        "note": span.note or "",
        "mark": span.mark or "",
        "python": python_expression(traces, span),
        "bodies": [
            {"part": part, "label": label, "role": role, "kind": kind, "text": text[:CHUNK], "chars": len(text)}
            for part, label, role, kind, text in _bodies(record, span)
            if raw or part != "raw"
        ],
        "problems": problems,
    }
    # One field of a hostile trace must not make a message too large for the page.
    for name, value in fields.items():
        if isinstance(value, str) and len(value) > CHUNK:
            fields[name] = value[: CHUNK - 1] + "…"
            problems.append(
                f"{name} has {len(value):,} characters; the first {CHUNK - 1:,} are shown, the raw line has all"
            )
    return fields


def text_chunk(traces: Traces, row: int, part: str, offset: int) -> dict[str, Any]:
    """Return `CHUNK` characters of a text of a span, and the offset of the next chunk (None at the end)."""
    span = span_of(traces, row)
    for name, _, _, _, text in _bodies(span.record, span):
        if name == part:
            end = min(offset + CHUNK, len(text))
            following = end if end < len(text) else None
            return {"text": text[offset:end], "offset": offset, "next_offset": following, "chars": len(text)}
    raise ValueError(f"Span {span.span_id!r} has no text {part[:80]!r}.")


def python_expression(traces: Traces, span: Span) -> str:
    """Return the Python expression that gets a span from `traces`, with the trace's id if the span's id is ambiguous."""
    try:
        traces.store.row_of(span.span_id)
    except AmbiguousSpan:
        return f"traces.span({span.span_id!r}, trace_id={span.trace_id!r})"
    return f"traces.span({span.span_id!r})"


def span_of(traces: Traces, row: int) -> Span:
    """Return the span of a row; ValueError if there is none."""
    store = traces.store
    if not 0 <= row < store.size or store.c.flags[row] & (Flag.DEAD | Flag.PENDING):
        raise ValueError(f"Row {row} is not a span. The page shows an earlier state of the files.")
    return Span(traces, row)


def live_rows(traces: Traces, rows: Int32Array) -> Int32Array:
    """Return the rows that are still spans; ValueError for numbers out of range."""
    store = traces.store
    with store.lock:
        if rows.size and (rows.min() < 0 or rows.max() >= store.size):
            raise ValueError("These rows are not spans. The page shows an earlier state of the files.")
        alive: np.ndarray[Any, Any] = (store.c.flags[rows] & np.uint8(Flag.DEAD | Flag.PENDING)) == 0
    live: Int32Array = rows[alive]
    return live


def _bodies(record: Mapping[str, Any], span: Span) -> Iterator[tuple[str, str, str | None, str, str]]:
    """Yield part, label, role, kind and text of each text of a span, in reading order."""
    system, messages, response = record.get("system_prompt"), record.get("messages"), record.get("response")
    if system not in (None, ""):
        yield ("system", "System", "system", *readable(system))
    messages = messages if isinstance(messages, list) else []
    last = messages[-1] if messages else None
    # The answer is shown once, as the response.
    if isinstance(last, Mapping) and last.get("role") == "assistant" and last.get("content") == response != "":
        messages = messages[:-1]  # anton's history ends with the answer
    for i, message in enumerate(messages):
        role = message.get("role") if isinstance(message, Mapping) else None
        role = role if isinstance(role, str) else None
        is_simple = isinstance(message, Mapping) and set(message) <= {"role", "content", "timestamp"}
        yield (
            f"messages/{i}",
            (role or "message").capitalize(),
            role,
            *readable(message["content"] if is_simple and "content" in message else message),
        )
    for part, label in _LABELS:
        value = record.get(part)
        if value not in (None, "", [], {}) or (part == "result" and part in record):
            yield (part, label, "assistant" if part == "response" else None, *readable(value))
    if span.kind == "agent" and (module := span.module) is not None:
        yield ("module", "Module", None, *readable(module))
    if span.error:
        whole = record.get("error")
        yield ("error", "Error", None, *readable(whole if isinstance(whole, str) and whole else span.error))
    if record:
        line = _line(span)
        whole = {key: value for key, value in record.items() if key != "_faults"}
        yield ("raw", "Raw line", None, "text", line) if line else ("raw", "Whole record", None, *readable(whole))


def _line(span: Span) -> str | None:
    """Return the recorded line; None if the span is not a line of a text file."""
    place = span.place
    if place is None:
        return None
    try:
        with open(place.path, "rb") as file:
            file.seek(place.offset)
            return _SURROGATES.sub("\ufffd", file.read(place.length).decode("utf-8", "replace").strip())
    except OSError:
        return None


def readable(value: Any) -> tuple[str, str]:
    """Return `text` or `json`, and the value as text."""
    if isinstance(value, str):
        return "text", _SURROGATES.sub("\ufffd", value)
    return "json", _SURROGATES.sub("\ufffd", json.dumps(value, indent=2, ensure_ascii=False, default=str))


def _cost_source(span: Span) -> str | None:
    return (
        pricing.cost_source(span.provider or "", span.model, span.start) if span.kind == "llm" and span.model else None
    )


def _ms(when: datetime | None) -> float | None:
    return None if when is None else when.timestamp() * 1000


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _depth(traces: Traces, row: int) -> int:
    depth, parent = 0, traces.store.c.parent
    while (row := int(parent[row])) >= 0:
        depth += 1
    return depth
