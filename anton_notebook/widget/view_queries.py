"""Inner: what the views of a page ask beside details: conversations, texts that are searched, runs side by side."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Mapping
from typing import Any

from anton_notebook.api import Span, Traces
from anton_notebook.errors import TraceNotFound
from anton_notebook.experiments.compare import changes
from anton_notebook.experiments.compare.trace_diff import Aligned, align
from anton_notebook.widget.commands import Op, number, text
from anton_notebook.widget.conversation import conversation
from anton_notebook.widget.details import readable, span_of
from anton_notebook.widget.selection import pack_rows
from anton_notebook.widget.text_search import SearchManager

PAIRS = 400
"""Pairs in one answer."""
LETTERS = 20_000
"""Of each of two texts that are compared word by word."""


class ViewQueries:
    """Answers for one graph; `codes` gives the traces that are on the screen."""

    def __init__(self, traces: Traces, codes: Callable[[], tuple[int, ...]]) -> None:
        self._traces, self._codes = traces, codes
        self._searches = SearchManager(traces)
        self._aligned: tuple[tuple[int, int, int], Aligned] | None = None

    def ops(self) -> dict[str, Op]:
        """By name."""
        return {
            "find": self._find,
            "found": self._found,
            "stop_finding": lambda args: self._searches.stop(text(args, "search")),
            "conversation": lambda args: conversation(self._traces, self._row(args, "row"), number(args, "offset")),
            "compare": self._compare,
            "difference": self._difference,
        }

    def close(self) -> None:
        """Ends what still goes on."""
        self._searches.close()

    def _row(self, args: Mapping[str, Any], name: str) -> int:
        if args.get("epoch") != self._traces.store.epoch:
            raise ValueError("the page shows another reading of the traces: it will be brought up to date")
        return number(args, name)

    def _find(self, args: Mapping[str, Any]) -> dict[str, Any]:
        return {"search": self._searches.start(text(args, "text"), self._codes()).name}

    def _found(self, args: Mapping[str, Any]) -> dict[str, Any]:
        said = self._searches.look(text(args, "search"), number(args, "since"))
        return {**said, "rows": base64.b64encode(pack_rows(said["rows"])).decode()}

    def _code(self, trace_id: str) -> int:
        code = self._traces.store.find_trace(trace_id)
        if code is None:
            raise TraceNotFound(f"no trace {trace_id!r} here; runs_df() lists them")
        return code

    def _compare(self, args: Mapping[str, Any]) -> dict[str, Any]:
        left, right = self._code(text(args, "left")), self._code(text(args, "right"))
        offset = number(args, "offset")
        key = (left, right, self._traces.store.revision)
        if self._aligned is None or self._aligned[0] != key:
            self._aligned = key, align(self._traces, left, right)
        pairs, parts, unread = self._aligned[1]
        shown = pairs[offset : offset + PAIRS]
        return {
            "pairs": [
                {"left": self._side(one.left), "right": self._side(one.right), "differs": list(one.differs)}
                for one in shown
            ],
            "offset": offset,
            "total": len(pairs),
            "differing": sum(bool(one.differs) for one in pairs),
            "parts": parts,
            "unread": unread,
        }

    def _side(self, row: int) -> dict[str, Any] | None:
        if row < 0:
            return None
        span, own = Span(self._traces, row), self._traces.store.own.get(row)
        cost = span.cost_usd
        return {
            "row": row,
            "kind": span.kind,
            "agent": span.agent or "",
            "name": (span.model if span.kind == "llm" else span.name) or span.name or span.kind,
            "status": span.status,
            "duration_ms": span.duration_ms,
            "cost_usd": cost if math.isfinite(cost) else None,
            "provenance": own.provenance if own is not None else "",
            "reason": (own.reason or "") if own is not None else "",
        }

    def _difference(self, args: Mapping[str, Any]) -> dict[str, Any]:
        """One field of two spans, as stretches that are equal, taken away or new."""
        field = text(args, "field")
        values = []
        for name in ("left", "right"):
            span = span_of(self._traces, self._row(args, name))
            value = (
                getattr(span, field, None) if field in _LIGHT else span.record.get(field) if field in _TEXTS else None
            )
            values.append("" if value is None else readable(value)[1][:LETTERS])
        return {"stretches": [[change.op, change.old, change.new] for change in changes(values[0], values[1])]}


_TEXTS = frozenset({"system_prompt", "messages", "parameters", "tools", "response", "result", "error"})
_LIGHT = frozenset({"status", "model", "name", "finish_reason", "input_tokens", "output_tokens"})
