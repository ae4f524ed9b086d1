"""Inner: two runs side by side: which span of one stands for which of the other, where they part, and what differs.

A replay or a re-run names its originals; those pairs are certain. Other spans are paired agent by agent, in order of start:
equal work (kind and name) in equal order. What is left over stands alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import Any, NamedTuple

import numpy as np

from anton_notebook.api import Span, Traces
from anton_notebook.errors import BodyUnavailable
from anton_notebook.model.span import LLM, Flag
from anton_notebook.store import Store

MOST = 20_000  # spans of one run that are paired
LOOKED = 2_000  # pairs whose texts are read


class Pair(NamedTuple):
    """One line of the comparison; a row is -1 where its run has no such span. `differs` names fields, the first ones first."""

    left: int
    right: int
    differs: tuple[str, ...]


class Aligned(NamedTuple):
    """The pairs by start, the place of the first that differs (-1: none), and how many pairs were not looked into."""

    pairs: list[Pair]
    parts: int
    unread: int


def align(traces: Traces, left: int, right: int) -> Aligned:
    """Pairs the spans of two traces, given by their codes in the store."""
    store = traces.store
    with store.lock:
        a, b = _rows(store, left), _rows(store, right)
        paired = _named(store, a, b)
        paired |= _in_order(store, [r for r in a if r not in paired], [r for r in b if r not in set(paired.values())])
        starts = {row: int(store.c.start[row]) for row in (*a, *b)}
    others = set(b) - set(paired.values())
    lines = [(row, paired.get(row, -1)) for row in a] + [(-1, row) for row in others]
    order = _ordered(lines, starts, paired)
    pairs: list[Pair] = []
    unread = 0
    for x, y in order:
        if x >= 0 and y >= 0:
            read = len(pairs) - unread < LOOKED
            unread += not read
            pairs.append(Pair(x, y, tuple(_differences(traces, x, y, read))))
        else:
            pairs.append(Pair(x, y, ("missing",) if y < 0 else ("added",)))
    parts = next((i for i, pair in enumerate(pairs) if pair.differs), -1)
    return Aligned(pairs, parts, unread)


def _rows(store: Store, code: int) -> list[int]:
    rows = np.flatnonzero(store.c.trace[: store.size] == code)
    rows = rows[(store.c.flags[rows] & np.uint8(Flag.DEAD | Flag.PENDING)) == 0]
    return [int(row) for row in rows[np.argsort(store.c.start[rows], kind="stable")][:MOST]]


def _named(store: Store, a: Sequence[int], b: Sequence[int]) -> dict[int, int]:
    """What a replay says itself: from the original's row to its own."""
    found: dict[int, int] = {}
    ids = {store.span_id(row): row for row in a}
    for row in b:
        own = store.own.get(row)
        original = ids.get(own.original_span_id or "") if own is not None else None
        if original is not None:
            found.setdefault(original, row)
    return found


def _in_order(store: Store, a: Sequence[int], b: Sequence[int]) -> dict[int, int]:
    sides: tuple[dict[str, list[int]], dict[str, list[int]]] = (defaultdict(list), defaultdict(list))
    for side, rows in zip(sides, (a, b), strict=True):
        for row in rows:
            side[store.classes[store.c.cls[row]].agent].append(row)
    found: dict[int, int] = {}
    for agent, mine in sides[0].items():
        other = sides[1].get(agent, [])
        keys, others = [_key(store, row) for row in mine], [_key(store, row) for row in other]
        for i, j, size in SequenceMatcher(None, keys, others, autojunk=False).get_matching_blocks():
            found |= {mine[i + n]: other[j + n] for n in range(size)}
    return found


def _key(store: Store, row: int) -> tuple[str, str]:
    cls = store.classes[store.c.cls[row]]
    return cls.kind, "" if cls.kind == LLM else cls.name


def _ordered(lines: list[tuple[int, int]], starts: dict[int, int], paired: dict[int, int]) -> list[tuple[int, int]]:
    """The left run's order; what only the right has stands after what came before it there."""
    back = {right: left for left, right in paired.items()}
    rights = sorted((y for _, y in lines if y >= 0), key=lambda row: (starts[row], row))
    after: dict[int, list[int]] = defaultdict(list)
    last = -1
    for row in rights:
        if row in back:
            last = back[row]
        else:
            after[last].append(row)
    out = [(-1, row) for row in after[-1]]
    for x, y in lines:
        if x >= 0:
            out.append((x, y))
            out += [(-1, row) for row in after[x]]
    return out


def _differences(traces: Traces, x: int, y: int, read: bool) -> list[str]:
    a, b = Span(traces, x), Span(traces, y)
    light = ("status", "model", "name", "finish_reason", "input_tokens", "output_tokens")
    found = [name for name in light if getattr(a, name) != getattr(b, name)]
    if not read:
        return found
    try:
        mine, other = a.record, b.record
    except BodyUnavailable:
        return found
    texts = ("system_prompt", "messages", "parameters", "tools", "response", "result", "error")
    return [name for name in texts if _plain(mine.get(name)) != _plain(other.get(name))] + found


def _plain(value: Any) -> Any:
    return None if value in ("", [], {}) else value
