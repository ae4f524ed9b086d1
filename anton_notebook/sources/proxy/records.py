"""The calls of a proxy's database, and the tools called between them, as batches for the store."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from anton_notebook.model.span import ERROR_KEPT, LLM, NAT, TOOL, UNKNOWN, Flag, Float64, Int32, Records, SpanClass
from anton_notebook.sources.proxy.calls import ENDED, Calls, Group, text
from anton_notebook.store import Store
from anton_notebook.store.uuid5 import uuid5s

MOST_COUNT = 2**31 - 1
MOST_MS = 1e14
MOST_LINE = 2**31 - 1
Fault = Callable[[int, str, str, object], None]
"""Told of a value that is none: row, column, what was expected, what was found."""


class ToolSpan(NamedTuple):
    """A tool call that shows in the messages of call `shower`, as its `place`th of `among` new ones; `asker` may be -1."""

    span_id: str
    name: str
    asker: int
    shower: int
    place: int
    among: int


class Tools(NamedTuple):
    """Many of them in columns."""

    span_id: list[str]
    name: list[str]
    asker: Int32
    shower: Int32
    place: Int32
    among: Int32

    @classmethod
    def of(cls, tools: Sequence[ToolSpan]) -> Tools:
        """These in columns."""
        ids, names, *numbers = zip(*tools, strict=True)
        return cls(list(ids), list(names), *(np.array(column, np.int32) for column in numbers))

    def spans(self) -> list[ToolSpan]:
        """Each of these."""
        numbers = (column.tolist() for column in self[2:])
        return list(map(ToolSpan, self.span_id, self.name, *numbers))


class Held:
    """Calls and tools on their way into the store. `new`: runs and where their first call is; `odd`: tools that have ids."""

    def __init__(self) -> None:
        self.columns: list[list[Any]] = [[] for _ in range(14)]
        self.numbers: list[int] = []
        self.new: list[tuple[Group, int]] = []
        self.showers: list[int] = []
        self.counts: list[int] = []
        self.names: list[str] = []
        self.odd: list[ToolSpan] = []

    def add(self, columns: Sequence[Sequence[Any]], shown: list[int], among: int) -> None:
        """Takes the rows `shown` of these columns."""
        for column, more in zip(self.columns, columns, strict=True):
            column += more if len(shown) == among else [more[i] for i in shown]

    def tools(self, calls: Calls) -> Tools:
        """The tools that show in the messages of `showers`, `counts` of them in each."""
        counts = np.array(self.counts, np.int32)
        shower = np.repeat(np.array(self.showers, np.int32), counts)
        asker = calls.at("previous")[shower]
        place = np.arange(1, len(shower) + 1, dtype=np.int32) - np.repeat(np.cumsum(counts) - counts, counts).astype(
            np.int32
        )
        ids = calls.ids
        names = [f"{ids[number]}:tool:{k}" for number, k in zip(asker.tolist(), place.tolist(), strict=True)]
        return Tools(uuid5s(names), self.names, asker, shower, place, np.repeat(counts, counts))


class Classes:
    """The store's codes of what calls have in common."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._calls = _Codes(self._call)
        self._tools = _Codes(self._tool)

    def calls(self, agents: Iterable[str], provider: Any, model: Any, finish: Any) -> Int32:
        """The codes of LLM calls' classes."""
        return np.array(list(map(self._calls.__getitem__, zip(agents, provider, model, finish, strict=True))), np.int32)

    def tools(self, agents: Iterable[str], names: Iterable[str]) -> Int32:
        """The codes of tool calls' classes."""
        return np.array(list(map(self._tools.__getitem__, zip(agents, names, strict=True))), np.int32)

    def _call(self, key: tuple[Any, ...]) -> int:
        agent, provider, model, finish = key
        name = text(model)
        return self._store.class_code(SpanClass(LLM, agent, name or LLM, text(provider), name, text(finish)))

    def _tool(self, key: tuple[Any, ...]) -> int:
        agent, name = key
        return self._store.class_code(SpanClass(TOOL, agent, name or TOOL))


class _Codes(dict[tuple[Any, ...], int]):
    def __init__(self, make: Callable[[tuple[Any, ...]], int]) -> None:
        self._make = make

    def __missing__(self, key: tuple[Any, ...]) -> int:
        code = self[key] = self._make(key)
        return code


def call_records(
    calls: Calls, classes: Classes, columns: Sequence[Sequence[Any]], numbers: list[int], file: int, fault: Fault
) -> Records:
    """Rows (their columns as in `proxy_db.NEW`) as spans. Those that have ended are marked so in `calls`."""
    n, lines = len(numbers), columns[0]
    at = np.array(numbers, np.int32)
    duration = _amounts(columns[7], MOST_MS, lines, "duration_ms", fault)
    ended = np.array([ms is not None or error is not None for ms, error in zip(columns[7], columns[12], strict=True)])
    status = ended.astype(np.uint8)
    errors: dict[int, str] = {}
    if columns[12].count(None) < n:
        errors = {i: text(error)[:ERROR_KEPT] for i, error in enumerate(columns[12]) if error}
        status[list(errors)] = 2
    micros = np.where(np.isnan(duration), NAT, np.rint(np.nan_to_num(duration) * 1000)).astype(np.int64)
    start = calls.at("starts")[at]
    calls.at("state")[at[ended]] = ENDED
    calls.at("ends")[at[ended]] = np.where((start == NAT) | (micros == NAT), NAT, start + micros)[ended]
    agents, asked, ids = calls.agents, calls.asked, calls.ids
    parents: list[str | None] = [None] * n
    if asked or columns[2].count(None) < n:
        parents = [
            text(parent) if parent else ids[asked[number]] if number in asked else None
            for number, parent in zip(numbers, columns[2], strict=True)
        ]
    return Records(
        trace=np.array([calls.groups[number].code for number in numbers], np.int32),
        span_id=[ids[number] for number in numbers],
        parent_id=parents,
        cls=classes.calls([agents[number] for number in numbers], columns[4], columns[5], columns[6]),
        start=start,
        duration=micros,
        status=status,
        flags=np.zeros(n, np.uint8),
        input=_counts(columns[8], lines, "tokens_input", fault),
        output=_counts(columns[9], lines, "tokens_output", fault),
        cached=np.full(n, UNKNOWN, np.int32),
        recorded_cost=_amounts(columns[10], 9e6, lines, "cost_usd", fault),
        file=np.full(n, file, np.int32),
        offset=at.astype(np.int64),
        length=np.zeros(n, np.int32),
        line=_lines(lines),
        errors=errors,
    )


def tool_records(calls: Calls, classes: Classes, tools: Tools, failed: set[str], file: int) -> Records:
    """Tool calls as spans: each has its share of the time between the answer that asked for them and the next turn."""
    n = len(tools.span_id)
    upto = calls.at("starts")[tools.shower]
    asker, ids = tools.asker.tolist(), calls.ids
    since = np.where(tools.asker >= 0, calls.at("ends")[tools.asker], NAT)
    since = np.where((since == NAT) | (since > upto), upto, since)
    place, among = tools.place, tools.among
    gap = np.where(upto == NAT, 0, upto - since)
    begin, end = since + gap * (place - 1) // among, since + gap * place // among
    whose = np.where(tools.asker >= 0, tools.asker, tools.shower).tolist()
    status = np.ones(n, np.uint8)
    if failed:
        status[[i for i, span_id in enumerate(tools.span_id) if span_id in failed]] = 2
    return Records(
        trace=np.array([calls.groups[number].code for number in whose], np.int32),
        span_id=tools.span_id,
        parent_id=[ids[number] if number >= 0 else None for number in asker],
        cls=classes.tools([calls.agents[number] for number in whose], tools.name),
        start=begin,
        duration=end - begin,
        status=status,
        flags=np.zeros(n, np.uint8),
        input=np.full(n, UNKNOWN, np.int32),
        output=np.full(n, UNKNOWN, np.int32),
        cached=np.full(n, UNKNOWN, np.int32),
        recorded_cost=np.full(n, np.nan),
        file=np.full(n, file, np.int32),
        offset=tools.shower.astype(np.int64),
        length=place,
        line=_lines([calls.rowids[number] for number in tools.shower.tolist()]),
    )


def copied(store: Store, rows: list[int], parents: list[str | None]) -> Records:
    """The spans of these rows of the store, on their way into it once more with other parents."""
    c, at = store.c, np.array(rows, np.int32)
    names = (
        "cls",
        "start",
        "duration",
        "status",
        "input",
        "output",
        "cached",
        "recorded_cost",
        "file",
        "offset",
        "length",
        "line",
    )
    return Records(
        trace=c.trace[at],
        span_id=[store.ids[row] for row in rows],
        parent_id=parents,
        flags=c.flags[at] & ~np.uint8(Flag.DEAD),
        errors={i: store.errors[row] for i, row in enumerate(rows) if row in store.errors},
        **{name: getattr(c, name)[at] for name in names},
    )


def _lines(rowids: Sequence[int]) -> Int32:
    numbers = np.array(rowids, np.int64)
    return np.where((numbers > 0) & (numbers <= MOST_LINE), numbers, UNKNOWN).astype(np.int32)


def _amounts(values: Sequence[Any], most: float, lines: Sequence[int], column: str, fault: Fault) -> Float64:
    """Numbers from 0 to `most`, NaN where there is none."""
    try:
        found = np.array(values, np.float64)
    except (TypeError, ValueError):
        found = np.array(
            [v if isinstance(v, int | float) else np.nan if v is None else -1.0 for v in values], np.float64
        )
    bad = ~np.isnan(found) & ~((found >= 0) & (found <= most))
    for i in np.flatnonzero(bad):
        fault(lines[int(i)], column, f"a number from 0 to {most:g}", values[int(i)])
    found[bad] = np.nan
    return found


def _counts(values: Sequence[Any], lines: Sequence[int], column: str, fault: Fault) -> Int32:
    found = _amounts(values, MOST_COUNT, lines, column, fault)
    return np.where(np.isnan(found), UNKNOWN, found).astype(np.int32)
