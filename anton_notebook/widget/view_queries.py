"""Queries of the page's views beside details: conversations, text search, runs side by side."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable
from typing import Any

from anton_notebook.api import Span, Traces
from anton_notebook.errors import TraceNotFound
from anton_notebook.experiments.compare import changes
from anton_notebook.experiments.compare.trace_diff import Aligned, align
from anton_notebook.widget.arguments import int_argument, pack_rows, row_argument, span_argument, text_argument
from anton_notebook.widget.commands import Args, Handlers
from anton_notebook.widget.conversation import conversation
from anton_notebook.widget.details import readable
from anton_notebook.widget.text_search import SearchManager

PAGE_SIZE = 400  # pairs per answer
TEXT_LIMIT = 20_000  # characters of each of two compared texts


class ViewQueries:
    """Answers queries of one graph; `codes` returns the codes of the shown runs."""

    def __init__(self, traces: Traces, codes: Callable[[], tuple[int, ...]]) -> None:
        self._traces, self._codes = traces, codes
        self._searches = SearchManager(traces)
        self._aligned: tuple[tuple[int, int, int], Aligned] | None = None

    def handlers(self) -> Handlers:
        """Return the handlers of a page's requests."""
        return {
            "find": self._find,
            "found": self._found,
            "stop_finding": lambda args: self._searches.stop(text_argument(args, "search")),
            "conversation": lambda args: conversation(
                self._traces, row_argument(self._traces, args), int_argument(args, "offset")
            ),
            "compare": self._compare,
            "difference": self._difference,
        }

    def close(self) -> None:
        """Stop running searches."""
        self._searches.close()

    def _find(self, args: Args) -> dict[str, Any]:
        return {"search": self._searches.start(text_argument(args, "text"), self._codes()).name}

    def _found(self, args: Args) -> dict[str, Any]:
        progress = self._searches.progress(text_argument(args, "search"), int_argument(args, "since"))
        return {**progress, "rows": base64.b64encode(pack_rows(progress["rows"])).decode()}

    def _code(self, trace_id: str) -> int:
        code = self._traces.store.find_trace(trace_id)
        if code is None:
            raise TraceNotFound(f"No trace {trace_id!r}; runs_df() lists all traces.")
        return code

    def _compare(self, args: Args) -> dict[str, Any]:
        left, right = self._code(text_argument(args, "left")), self._code(text_argument(args, "right"))
        offset = int_argument(args, "offset")
        key = (left, right, self._traces.store.revision)
        if self._aligned is None or self._aligned[0] != key:
            self._aligned = key, align(self._traces, left, right)
        pairs, parts, unread = self._aligned[1]
        shown = pairs[offset : offset + PAGE_SIZE]
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
        span, extras = Span(self._traces, row), self._traces.store.own.get(row)
        cost = span.cost_usd
        return {
            "row": row,
            "kind": span.kind,
            "agent": span.agent or "",
            "name": (span.model if span.kind == "llm" else span.name) or span.name or span.kind,
            "status": span.status,
            "duration_ms": span.duration_ms,
            "cost_usd": cost if math.isfinite(cost) else None,
            "provenance": extras.provenance if extras is not None else "",
            "reason": (extras.reason or "") if extras is not None else "",
        }

    def _difference(self, args: Args) -> dict[str, Any]:
        """Return one field of two spans as stretches that are equal, removed or added."""
        field = text_argument(args, "field")
        values = []
        for name in ("left", "right"):
            span = span_argument(self._traces, args, name)
            value = getattr(span, field, None) if field in _LIGHT else None
            if field in _TEXTS:
                value = span.record.get(field)
            values.append("" if value is None else readable(value)[1][:TEXT_LIMIT])
        return {"stretches": [[change.op, change.old, change.new] for change in changes(values[0], values[1])]}


_TEXTS = frozenset({"system_prompt", "messages", "parameters", "tools", "response", "result", "error"})
_LIGHT = frozenset({"status", "model", "name", "finish_reason", "input_tokens", "output_tokens"})
