"""What a store holds, in a form that does not depend on the order in which it came: for comparing two of them."""

from __future__ import annotations

from typing import Any

from anton_notebook.model.span import Flag
from anton_notebook.store import Store


def state(store: Store) -> dict[str, Any]:
    """Every span and every run, by id."""
    costs, tokens = store.totals()
    spans = {}
    for row in store.live_rows().tolist():
        span = store.span(row)
        spans[span.trace_id, span.span_id] = (
            store.ids[span.parent] if span.parent >= 0 else None,
            span.kind, span.agent, span.name, span.model, span.status, span.start, span.duration, span.usage,
            repr(span.cost_usd), repr(span.recorded_cost_usd), span.error, span.flags & ~Flag.FILE_GONE,
            repr(float(costs[row])), repr(float(tokens[row])),
        )  # fmt: skip
    return {"spans": spans, "runs": {t.trace_id: {**t.figures(), "name": ""} for t in store.traces if t.spans}}
