"""One model call that several spans report is one call.

An SDK's own span stands under its framework's span of the same call, or beside it in another trace. The outer span is kept
and completed by what only the inner one knows; the inner row is removed and its id leads to the outer one. Two spans report
the same call if they have the same response id, or if one lies within the other and their models and counts agree. An outer
span whose counts are the sum of several calls below it is no call itself.

Invariant: the result depends on the spans alone, not on their order, because every settled span is looked at again together
with its nearest call above. Cost: a walk up from each new model call, and from those whose ancestors are still to come.
"""

from __future__ import annotations

from collections import defaultdict

from anton_notebook.model.span import AGENT, LLM, ORCHESTRATOR, TOOL, UNKNOWN, Flag, Own
from anton_notebook.store import Store

DEEPEST = 64
_GONE = int(Flag.DEAD | Flag.PENDING)
_WAITING = -2
SUMMARY = "chain"
"""Kind of a span that sums up several calls."""


class CallDuplicates:
    """Finds and merges spans of the same call in a store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._response_of: dict[tuple[int, str], str] = {}
        self._by_response: dict[str, set[tuple[int, str]]] = defaultdict(set)
        self._inner: dict[int, set[int]] = defaultdict(set)
        self._loose: set[int] = set()

    def add(self, trace: int, span_id: str, response_id: str) -> None:
        """Record the vendor's id of the answer that a span reports."""
        self._response_of[trace, span_id] = response_id
        self._by_response[response_id].add((trace, span_id))

    def merge(self, rows: list[int]) -> None:
        """Merge the calls among these rows, and those above them, with the spans that report the same call."""
        touched: set[int] = set()
        for row in {*rows, *self._loose}:
            self._loose.discard(row)
            if not self._is_call(row):
                continue
            above = self._call_above(row)
            if above >= 0:
                self._inner[above].add(row)
                touched.add(above)
            elif above == _WAITING:
                self._loose.add(row)
        for above in sorted(touched):
            calls = sorted(row for row in self._inner[above] if self._is_call(row))
            if len(calls) == 1 and self._same(above, calls[0]):
                self._absorb(above, calls[0])
            elif len(calls) > 1 and self._is_sum(above, calls):
                self._demote(above)
        for row in rows:
            response = self._response_of.get((int(self._store.c.trace[row]), self._store.ids[row]))
            if response is not None and len(self._by_response[response]) > 1:
                self._merge_response(response)

    def _is_call(self, row: int) -> bool:
        store = self._store
        return not int(store.c.flags[row]) & _GONE and store.classes[store.c.cls[row]].kind == LLM

    def _call_above(self, row: int) -> int:
        """Return the nearest call above a row; `_WAITING` if a span in between has not been read yet."""
        c, store = self._store.c, self._store
        above = int(c.recorded_parent[row])
        for _ in range(DEEPEST):
            if above < 0:
                return UNKNOWN
            if int(c.flags[above]) & int(Flag.PENDING):
                return _WAITING
            if self._is_call(above):
                return above
            if store.classes[c.cls[above]].kind in (AGENT, ORCHESTRATOR, TOOL):
                return UNKNOWN
            above = int(c.recorded_parent[above])
        return UNKNOWN

    def _same(self, outer: int, inner: int) -> bool:
        c = self._store.c
        ids = [self._response_of.get((int(c.trace[row]), self._store.ids[row])) for row in (outer, inner)]
        if None not in ids:
            return ids[0] == ids[1]
        pairs = [(int(column[outer]), int(column[inner])) for column in (c.input, c.output)]
        reported = any(count != UNKNOWN for pair in pairs for count in pair)
        return reported and all(UNKNOWN in pair or pair[0] == pair[1] for pair in pairs)

    def _is_sum(self, outer: int, calls: list[int]) -> bool:
        c = self._store.c
        for column in (c.input, c.output):
            counts = [int(column[row]) for row in calls]
            if int(column[outer]) not in (UNKNOWN, sum(counts)) or UNKNOWN in counts:
                return False
        return True

    def _absorb(self, outer: int, inner: int) -> None:
        store, c = self._store, self._store.c
        store.uncount(outer)
        for column in (c.input, c.output, c.cached):
            if column[outer] < 0:
                column[outer] = column[inner]
        if c.recorded_cost[outer] != c.recorded_cost[outer]:
            c.recorded_cost[outer] = c.recorded_cost[inner]
        own = store.own.get(inner)
        if own is not None and own.usage is not None and (store.own.get(outer) or Own()).usage is None:
            store.own[outer] = store.own.get(outer) or Own()
            store.own[outer].usage = own.usage
        old, other = store.classes[c.cls[outer]], store.classes[c.cls[inner]]
        better = old._replace(
            model=old.model or other.model,
            provider=old.provider or other.provider,
            finish_reason=old.finish_reason or other.finish_reason,
        )
        c.cls[outer] = store.class_code(better)
        store.recount(outer)
        store.hide(inner, outer)

    def _demote(self, outer: int) -> None:
        store, c = self._store, self._store.c
        store.uncount(outer)
        c.cls[outer] = store.class_code(store.classes[c.cls[outer]]._replace(kind=SUMMARY))
        for column in (c.input, c.output, c.cached):
            column[outer] = UNKNOWN
        store.own.pop(outer, None)
        store.recount(outer)

    def _merge_response(self, response: str) -> None:
        """Keep the span whose trace holds most of a program; remove the others."""
        store = self._store
        rows = [row for key in self._by_response[response] if (row := store.row(*key)) >= 0 and self._is_call(row)]
        if len(rows) < 2:
            return
        sizes = {row: store.traces[int(store.c.trace[row])].spans for row in rows}
        best = min(rows, key=lambda row: (-sizes[row], int(store.c.start[row]), store.ids[row]))
        for row in rows:
            if row != best:
                self._absorb(best, row)
