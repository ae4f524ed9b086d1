"""A row of the store as plain values: `Store.span` and `Store.usage`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anton_notebook.model.span import STATUS_NAMES, Span
from anton_notebook.model.usage import Usage

if TYPE_CHECKING:
    from anton_notebook.store.store import Store


def light_span(store: Store, row: int) -> Span:
    """The light fields of a row."""
    c, cls = store.c, store.classes[store.c.cls[row]]
    return Span(
        row=row,
        trace_id=store.traces[c.trace[row]].trace_id,
        span_id=store.ids[row],
        parent=int(c.parent[row]),
        kind=cls.kind,
        agent=cls.agent,
        name=cls.name,
        provider=cls.provider,
        model=cls.model,
        finish_reason=cls.finish_reason,
        status=STATUS_NAMES[c.status[row]],
        start=int(c.start[row]),
        duration=int(c.duration[row]),
        usage=usage_of(store, row),
        cost_usd=float(c.cost[row]),
        recorded_cost_usd=float(c.recorded_cost[row]),
        error=store.errors.get(row),
        flags=int(c.flags[row]),
        file=int(c.file[row]),
        offset=int(c.offset[row]),
        length=int(c.length[row]),
        line=int(c.line[row]),
    )


def usage_of(store: Store, row: int) -> Usage:
    """All that the call in a row used; None where unknown."""
    c, own = store.c, store.own.get(row)
    details = own.usage if own is not None and own.usage is not None else Usage()
    known = [None if value < 0 else int(value) for value in (c.input[row], c.output[row], c.cached[row])]
    return details._replace(input_tokens=known[0], output_tokens=known[1], cached_tokens=known[2])
