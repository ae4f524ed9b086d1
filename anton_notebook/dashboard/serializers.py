"""Inner: runs and spans as JSON values, under the names that the frames use; times ISO 8601 in UTC, unknown is null."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from anton_notebook.api import Span, Trace, Traces

if TYPE_CHECKING:
    import pandas as pd

EXPERIMENTS = ("rerun", "replay")


def plain(value: Any) -> Any:
    """A value of a frame as JSON has it; infinities and NaN are null, since JSON has none."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, datetime):
        return None if value != value else value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, dict):
        return {str(name): plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if hasattr(value, "item"):
        return plain(value.item())
    return None if value != value or str(value) in ("<NA>", "NaT") else str(value)


def rows_of(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """A frame's rows."""
    wide = frame.astype(object).where(frame.notna(), None)
    return [{str(name): plain(value) for name, value in row.items()} for row in wide.to_dict("records")]


def run_of(trace: Trace) -> dict[str, Any]:
    """One run's figures."""
    figures: dict[str, Any] = dict(trace.figures)
    start, end = figures["start"], figures["end"]
    figures["duration_ms"] = None if start is None or end is None else (end - start) / 1000
    figures["phases"] = [
        {"start": _iso(begin), "end": _iso(over), "name": name, "status": state}
        for begin, over, name, state in figures["phases"]
    ]
    figures["marks"] = [{"time": _iso(at), "name": name} for at, name in figures["marks"]]
    figures["start"], figures["end"] = _iso(start), _iso(end)
    return {name: plain(value) for name, value in figures.items()}


def runs(traces: Traces, limit: int, experiments: bool = False) -> tuple[list[dict[str, Any]], int]:
    """The newest runs first, and how many there are."""
    with traces.store.lock:
        found = [t for t in traces if experiments or t.figures["origin"] not in EXPERIMENTS]
        found.sort(key=lambda t: (t.figures["start"] or 0, t.trace_id), reverse=True)
        return [run_of(trace) for trace in found[:limit]], len(found)


def span_of(span: Span) -> dict[str, Any]:
    """One span's light fields."""
    above = span.parent
    return {
        "trace_id": span.trace_id,
        "span_id": span.span_id,
        "parent_id": None if above is None else above.span_id,
        "kind": span.kind,
        "agent": span.agent,
        "name": span.name,
        "status": span.status,
        "start": plain(span.start),
        "end": plain(span.end),
        "duration_ms": plain(span.duration_ms),
        "provider": span.provider,
        "model": span.model,
        "input_tokens": span.input_tokens,
        "output_tokens": span.output_tokens,
        "cached_tokens": span.cached_tokens,
        "tokens_estimated": span.tokens_estimated,
        "cost_usd": plain(span.cost_usd),
        "recorded_cost_usd": plain(span.recorded_cost_usd),
        "finish_reason": span.finish_reason,
        "error": span.error,
    }


def spans_of(traces: Traces, rows: list[int]) -> Iterator[dict[str, Any]]:
    """The spans of these rows; those that are gone by now are left out."""
    for row in rows:
        try:
            yield span_of(Span(traces, row))
        except (LookupError, ValueError):
            continue


def stats(traces: Traces) -> dict[str, Any]:
    """Sums over all recorded runs (experiments apart), and the state of the reading."""
    all_runs, total = runs(traces, 10**9)
    sums: dict[str, Any] = {"traces": total, "running": sum(run["status"] == "running" for run in all_runs)}
    for name in ("spans", "llm_calls", "tool_calls", "errors", "unpriced_calls"):
        sums[name] = sum(run[name] for run in all_runs)
    for name in ("input_tokens", "output_tokens", "cached_tokens", "cost_usd", "recorded_cost_usd"):
        known = [run[name] for run in all_runs if run[name] is not None]
        sums[name] = (math.fsum(known) if name.endswith("usd") else sum(known)) if known else None
    live = traces.live
    return sums | {
        "problems": traces.reader.problems.count,
        "following": live.following if live is not None else "off",
        "revision": traces.store.revision,
    }


def _iso(micros: int | None) -> str | None:
    if micros is None:
        return None
    try:
        return plain(datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros))  # type: ignore[no-any-return]
    except OverflowError:
        return None
