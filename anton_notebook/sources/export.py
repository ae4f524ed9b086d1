"""Spans of any source, written as lines with ids (FORMATS.md 5) that give the same spans when they are read.

Nodes of agents that were derived are derived again and not written. A line says what the store knows of the span, so what a
source had to work out (ids, starts, estimated tokens) is plain in it; its texts are those of the record on disk.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from anton_notebook.errors import PathNotFound
from anton_notebook.model.message_content import ends_with_answer
from anton_notebook.model.span import AGENT, LLM, NAT, ORCHESTRATOR, TOOL, Flag, Own, Span
from anton_notebook.sources.timestamps import iso
from anton_notebook.sources.writer import TraceWriter
from anton_notebook.store import Note, Store, note_of

Redact = Callable[[str], str]
_SPAN_TYPES = {LLM: "llm_call", TOOL: "tool_call", AGENT: "agent", ORCHESTRATOR: "agent"}
_OWN_WORDS = frozenset(
    {"_faults", "anton_notebook", "attributes", "data", "event_type", "success", "error", "tokens", "cost_usd"}
)
_IDS = frozenset({"trace_id", "span_id", "parent_id", "timestamp", "span_type"})
_KEPT_ORIGINS = ("rerun", "replay", "record", "demo")
_NO_LINE = Flag.DERIVED | Flag.PENDING | Flag.DEAD
_NO_NOTE = Note()


def export(store: Store, path: Path, traces: Sequence[int], redact: Redact | None = None) -> int:
    """Writes the spans of these traces (codes) into the new file `path`, by start. Returns how many were written.

    `redact` is applied to every text but ids and times. Raises FileExistsError (nothing is overwritten), `PathNotFound` where
    the folder is missing, and `BodyUnavailable` where a span's text is gone from disk; then no file is left.
    """
    if not path.parent.is_dir():
        raise PathNotFound(f"the folder {path.parent} does not exist; make it, or give a path in one that does")
    try:
        writer = TraceWriter(path, {"origin": "export"})
    except FileExistsError as error:
        raise FileExistsError(
            f"{path} exists already and an export overwrites nothing; give another path or remove it"
        ) from error
    count = 0
    try:
        with writer:
            for span, parent, own in _spans(store, traces):
                file = store.files[span.file]
                record = file.loader(span.offset, span.length)
                line = line_of(span, parent, own, record, file.kind, note_of(store, span.row))
                writer.write(redacted(line, redact) if redact is not None else line, running=span.status == "running")
                count += 1
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return count


def _spans(store: Store, traces: Sequence[int]) -> Iterator[tuple[Span, str | None, Own | None]]:
    wanted = set(traces)
    with store.lock:
        c = store.c
        rows = [
            row for row in store.live_rows().tolist() if int(c.trace[row]) in wanted and not c.flags[row] & _NO_LINE
        ]
        rows.sort(key=lambda row: (int(c.start[row]), store.ids[row]))
    for row in rows:
        with store.lock:
            above = int(store.c.recorded_parent[row])
            found = store.span(row), store.ids[above] if above >= 0 else None, store.own.get(row)
        yield found


def line_of(
    span: Span,
    parent: str | None,
    own: Own | None,
    record: Mapping[str, Any],
    kind: str = "jsonl",
    note: Note = _NO_NOTE,
) -> dict[str, Any]:
    """The line of one span; `kind` is that of the file that it was read from."""
    line: dict[str, Any] = {
        "timestamp": iso(span.start),
        "trace_id": span.trace_id,
        "span_id": span.span_id,
        "parent_id": parent,
        "span_type": _SPAN_TYPES.get(span.kind, "other"),
        "agent_name": span.agent or None,
        "provider": span.provider or None,
        "model": span.model or None,
    }
    line |= {key: value for key, value in record.items() if key not in line and key not in _OWN_WORDS}
    line |= {
        "duration_ms": None if span.duration == NAT else span.duration / 1000,
        "finish_reason": span.finish_reason or None,
    }
    text = record.get("error")
    if span.error is not None:
        line["error"] = text if isinstance(text, str) and text else span.error
    if span.status == "error":
        line["success"] = False
    elif record.get("success") is True:
        line["success"] = True
    _fill_numbers(line, span, record)
    named = _name(line, span)
    if line.get("finish_reason") is None:
        del line["finish_reason"]
    messages = record.get("messages")
    whole = isinstance(messages, list) and bool(messages) and all(isinstance(message, Mapping) for message in messages)
    if whole and ends_with_answer(messages or [], record) and not ends_with_answer(messages or [], line):
        # Without ids the last message is the answer whatever it says; with ids it has to say the same.
        line["messages"] = (messages or [])[:-1]
    line["anton_notebook"] = _mark(span, parent, own, record, kind, named, note)
    return line


def _fill_numbers(line: dict[str, Any], span: Span, record: Mapping[str, Any]) -> None:
    recorded = record.get("tokens")
    tokens = dict(recorded) if isinstance(recorded, Mapping) else {}
    for key, count in zip(("input", "output", "cached"), span.usage[:3], strict=True):
        tokens.pop(key, None)
        if count is not None:
            tokens[key] = count
    if None not in span.usage[:2]:
        tokens.setdefault("total", tokens["input"] + tokens["output"])
    if tokens:
        line["tokens"] = tokens
    if not math.isnan(span.recorded_cost_usd):
        line["cost_usd"] = span.recorded_cost_usd


def _name(line: dict[str, Any], span: Span) -> bool:
    """Writes the span's name where its line would not give it. True where its kind has to be said too."""
    if span.kind == TOOL:
        line["tool_name"] = span.name
        return False
    plain = {LLM: span.model or LLM, AGENT: span.agent or AGENT, ORCHESTRATOR: span.agent or AGENT}.get(span.kind)
    line.pop("tool_name", None)
    if span.name != plain:
        line["tool_name"] = span.name
    return span.name != plain or line["span_type"] != "llm_call"


def _mark(
    span: Span, parent: str | None, own: Own | None, record: Mapping[str, Any], kind: str, named: bool, note: Note
) -> dict[str, Any]:
    before = record.get("anton_notebook")
    before = before if isinstance(before, Mapping) else {}
    attributes = record.get("attributes", before.get("attributes"))
    if parent != record.get("parent_id") and (attributes is None or isinstance(attributes, Mapping)):
        attributes = {"recorded_parent_id": record.get("parent_id"), **(attributes or {})}
    own = own or Own()
    mark: dict[str, Any] = {
        "origin": own.origin if own.origin in _KEPT_ORIGINS else "export",
        "original_trace_id": own.original_trace_id,
        "original_span_id": own.original_span_id,
        "run_name": own.run_name,
        "note": note.text or None,
        "mark": note.mark or None,
        "checkpoint_id": own.checkpoint_id,
        "provenance": own.provenance or None,
        "reason": own.reason,
        "kind": span.kind if named else None,
        "status": "error" if span.status == "error" else None,
        "attributes": attributes,
        "cached_tokens": span.usage.cached_tokens,
        "usage": (own.usage.details() if own.usage is not None else None) or None,
        "lower_bound": True if own.lower_bound else None,
        "tokens_estimated": True if span.flags & Flag.ESTIMATED else None,
        "recorded_cost_usd": None if math.isnan(span.recorded_cost_usd) else span.recorded_cost_usd,
        "saved_usd": own.saved_usd,
        "source_kind": own.source_kind or (kind if kind != "jsonl" else None),
    }
    return {key: value for key, value in mark.items() if value is not None}


_MARK_WORDS = frozenset({
    "origin", "original_trace_id", "original_span_id", "checkpoint_id", "provenance", "kind", "status", "source_kind", "mark",
})  # fmt: skip


def redacted(line: Mapping[str, Any], redact: Redact) -> dict[str, Any]:
    """The line with `redact` applied to every text in it, names of fields included, but for ids, times and our own words."""
    out = {
        key: value if key in _IDS else _apply(value, redact) for key, value in line.items() if key != "anton_notebook"
    }
    mark = line["anton_notebook"]
    out["anton_notebook"] = {key: value if key in _MARK_WORDS else _apply(value, redact) for key, value in mark.items()}
    return out


def _apply(value: Any, redact: Redact) -> Any:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {redact(key) if isinstance(key, str) else key: _apply(inner, redact) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_apply(inner, redact) for inner in value]
    return value
