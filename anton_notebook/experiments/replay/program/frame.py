"""Rows of the frame of a replayed program: its calls and tools beside the recorded ones that they equal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from anton_notebook.errors import AntonNotebookError
from anton_notebook.experiments.compare import compare
from anton_notebook.experiments.frames import replay_frame
from anton_notebook.model.span import LLM, TOOL

if TYPE_CHECKING:
    import pandas as pd


def program_frame(traces: Any, trace: Any, new_trace_id: str) -> pd.DataFrame:
    """Return one row per call or tool of the new trace. `traces` is refreshed first."""
    traces.refresh()
    if new_trace_id not in traces:
        return replay_frame([])
    return replay_frame(_row(span, trace) for span in traces[new_trace_id].spans if span.kind in (LLM, TOOL))


def _row(span: Any, trace: Any) -> dict[str, Any]:
    value = span.record.get("anton_notebook")
    mark: Mapping[str, Any] = value if isinstance(value, Mapping) else {}
    old = _original(trace, mark.get("original_span_id"))
    replayed, original = _text(span), _text(old)
    difference = compare(original, replayed) if original is not None and replayed is not None else None
    return {
        "span_id": old.span_id if old is not None else None, "new_span_id": span.span_id, "kind": span.kind,
        "agent": span.agent, "name": span.name, "provenance": mark.get("provenance"), "reason": mark.get("reason"),
        "original": original, "replayed": replayed, "diff": difference.diff if difference else None,
        "similarity": difference.similarity if difference else None,
        "original_cost_usd": old.cost_usd if old is not None else None, "cost_usd": span.cost_usd,
        "saved_usd": mark.get("saved_usd"), "original_duration_ms": old.duration_ms if old is not None else None,
        "duration_ms": span.duration_ms, "error": span.error,
    }  # fmt: skip


def _original(trace: Any, span_id: object) -> Any | None:
    try:
        return trace.span(span_id) if isinstance(span_id, str) else None
    except KeyError:
        return None


def _text(span: Any | None) -> str | None:
    """The result of a tool, or the text and tool calls of an answer."""
    if span is None:
        return None
    if span.kind == TOOL:
        result = span.record.get("result")
        return result if isinstance(result, str) or result is None else str(result)
    try:
        response = span.response
    except AntonNotebookError:
        return None
    calls = [f"[{call['name']} {call['arguments']}]" for call in response.tool_calls]
    return "\n".join([*([response.text] if response.text else []), *calls])
