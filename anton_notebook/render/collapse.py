"""Inner: what is folded away. The rules of `js/src/layout/collapse.ts` and `subtree-totals.ts`, for a whole run at once."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from anton_notebook.render.scale import Spans, Sums

LIKE = 8
"""So many like calls in a row become one."""
_LLM, _TOOL, _ERROR = 2, 3, 2


@dataclass
class Like:
    """A run of like calls, folded into the first of them."""

    count: int
    last: int
    end: float  # ms since 1970 UTC, of the last that ended; NaN where a start is unknown


class Folds:
    """`rows` of the store that were folded by hand, and of runs that were opened -1 - row; by default nothing folds."""

    def __init__(self, spans: Spans, rows: Iterable[int] | None = None) -> None:
        self.spans = spans
        count = len(spans)
        self.hidden = np.zeros(count, bool)
        self.folded: set[int] = set()
        self.likes: dict[int, Like] = {}
        if rows is None:
            return
        slots = {row: slot for slot, row in enumerate(spans.rows.tolist() or range(count))}
        said = list(rows)
        opened = {slots[-1 - row] for row in said if row < 0 and -1 - row in slots}
        self.folded = {slots[row] for row in said if row in slots}
        children: dict[int, list[int]] = {}
        for slot, parent in enumerate(spans.parent.tolist()):
            if parent >= 0:
                children.setdefault(parent, []).append(slot)
        for own in children.values():
            self._find(own, children, opened)
        for slot in self.folded:
            self._hide(children.get(slot, []), children)

    def sums(self, slot: int) -> Sums:
        """The figures of all that lies under a node that is folded."""
        known = self.spans.sums.get(slot)
        if known is not None:
            return known
        spans = self.spans
        return sums_under(spans.parent, spans.status, spans.kind == _LLM, spans.cost, spans.tokens, slot)

    def _find(self, own: list[int], children: dict[int, list[int]], opened: set[int]) -> None:
        """Runs of like calls among the children of one node."""
        kind, status, classes = self.spans.kind, self.spans.status, self.spans.classes
        at = 0
        while at < len(own):
            first, end = own[at], at + 1
            if kind[first] == _TOOL and status[first] != _ERROR and first not in children:
                while (
                    end < len(own)
                    and classes[own[end]] == classes[first]
                    and status[own[end]] != _ERROR
                    and own[end] not in children
                ):
                    end += 1
            run, at = own[at:end], end
            if len(run) >= LIKE and first not in opened:
                self.likes[first] = Like(len(run), run[-1], self._end(run))
                self.hidden[run[1:]] = True

    def _end(self, run: list[int]) -> float:
        took = np.nan_to_num(self.spans.duration[run].astype(np.float64))
        return float(np.max(self.spans.start[run] + took))

    def _hide(self, stack: list[int], children: dict[int, list[int]]) -> None:
        stack = list(stack)
        while stack:
            slot = stack.pop()
            if not self.hidden[slot]:
                self.hidden[slot] = True
                stack.extend(children.get(slot, ()))


def sums_under(
    parent: npt.NDArray[Any],
    status: npt.NDArray[Any],
    llm: npt.NDArray[np.bool_],
    cost: npt.NDArray[Any],
    tokens: npt.NDArray[Any],
    at: int,
) -> Sums:
    """Follows the lines of descent a generation at a time. `parent`: -1 for none."""
    under = np.zeros(len(parent) + 1, bool)  # the last place is that of no parent
    under[at] = True
    while True:
        more = under[parent] & ~under[:-1]
        if not more.any():
            break
        under[:-1] |= more
    found = under[:-1]
    paid, unpriced = cost[found], np.isnan(cost[found])
    return Sums(
        spans=int(found.sum()) - 1,
        errors=int((status[found] == _ERROR).sum()) - int(status[at] == _ERROR),
        cost=math.fsum(paid[~unpriced].tolist()),
        at_least=bool((unpriced & llm[found] & (status[found] != 0)).any()),
        tokens=int(tokens[found].sum()),
    )
