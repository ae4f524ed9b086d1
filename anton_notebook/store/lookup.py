"""Finding a span by the id that a user gives."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anton_notebook.errors import AmbiguousSpan, SpanNotFound, did_you_mean
from anton_notebook.model.span import Flag

if TYPE_CHECKING:
    from anton_notebook.store.store import Store

FEW_TRACES = 4096
"""Up to this many traces, each is asked for the id; beyond, all ids are compared."""


def find_row(store: Store, span_id: str, trace_id: str | None) -> int:
    """Return the row of a span; raises `SpanNotFound` or, if several traces have the id, `AmbiguousSpan`."""
    if trace_id is not None:
        code = store.find_trace(trace_id)
        rows = [] if code is None else [store.row(code, span_id)]
    elif len(store.traces) <= FEW_TRACES:
        rows = [store.row(code, span_id) for code in range(len(store.traces))]
    else:
        rows = [row for row, known in enumerate(store.ids) if known == span_id]
    rows = [row for row in rows if row >= 0 and not store.c.flags[row] & (Flag.DEAD | Flag.PENDING)]
    if not rows:
        keys = [key for key in store.aliases if key[1] == span_id]
        rows = [store.aliases[key] for key in keys if trace_id in (None, store.traces[key[0]].trace_id)]
    if len(rows) == 1:
        return rows[0]
    if rows:
        names = ", ".join(repr(store.traces[store.c.trace[row]].trace_id) for row in rows)
        raise AmbiguousSpan(f"span {span_id!r} is in several traces: {names}; say which with trace_id=")
    where = f" in trace {trace_id!r}" if trace_id is not None else ""
    hint = did_you_mean(span_id, store.ids[:20_000]) or "; spans_df() lists them"
    raise SpanNotFound(f"no span {span_id!r}{where}{hint}")
