"""The calls of a proxy's database, and the tools called between them, as batches for the store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from anton_notebook.sources.proxy_calls import Calls, text
from anton_notebook.sources.sqlite_file import Row
from anton_notebook.span import ERROR_KEPT, LLM, NAT, TOOL, UNKNOWN, Flag, Float64, Int32, Records, SpanClass
from anton_notebook.store import Store

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


class Classes:
    """The store's codes of what calls have in common."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[tuple[Any, ...], int] = {}

    def call(self, agent: str, provider: Any, model: Any, finish: Any) -> int:
        """The code of an LLM call's class."""
        key = (agent, provider, model, finish)
        code = self._known.get(key)
        if code is None:
            name = text(model)
            cls = SpanClass(LLM, agent, name or LLM, text(provider), name, text(finish))
            code = self._known[key] = self._store.class_code(cls)
        return code

    def tool(self, agent: str, name: str) -> int:
        """The code of a tool call's class."""
        code = self._known.get((agent, name))
        if code is None:
            code = self._known[agent, name] = self._store.class_code(SpanClass(TOOL, agent, name or TOOL))
        return code


def call_records(
    calls: Calls, classes: Classes, rows: list[Row], numbers: list[int], file: int, fault: Fault
) -> Records:
    """These rows (in the columns of `proxy_db.NEW`) as spans. Those that have ended are marked so in `calls`."""
    n = len(rows)
    columns = list(zip(*rows, strict=True))
    lines = columns[0]
    duration = _amounts(columns[8], MOST_MS, lines, "duration_ms", fault)
    failed = [None if error is None else text(error)[:ERROR_KEPT] for error in columns[13]]
    errors = {i: error for i, error in enumerate(failed) if error}
    ended = np.array([ms is not None or error is not None for ms, error in zip(columns[8], failed, strict=True)], bool)
    status = ended.astype(np.uint8)
    status[list(errors)] = 2
    micros = np.where(np.isnan(duration), NAT, np.rint(np.nan_to_num(duration) * 1000)).astype(np.int64)
    start = np.array([calls.starts[number] for number in numbers], np.int64)
    for number, over, begin, took in zip(numbers, ended.tolist(), start.tolist(), micros.tolist(), strict=True):
        if over:
            calls.state[number] = 1
            calls.ends[number] = NAT if NAT in (begin, took) else begin + took
    agents = calls.agents
    asked = calls.asked
    return Records(
        trace=np.array([calls.groups[number].code for number in numbers], np.int32),
        span_id=[calls.ids[number] for number in numbers],
        parent_id=[
            text(parent) if parent else calls.ids[asked[number]] if number in asked else None
            for number, parent in zip(numbers, columns[2], strict=True)
        ],
        cls=np.array(
            [
                classes.call(agents[number], provider, model, finish)
                for number, provider, model, finish in zip(numbers, columns[4], columns[5], columns[7], strict=True)
            ],
            np.int32,
        ),
        start=start,
        duration=micros,
        status=status,
        flags=np.zeros(n, np.uint8),
        input=_counts(columns[9], lines, "tokens_input", fault),
        output=_counts(columns[10], lines, "tokens_output", fault),
        cached=np.full(n, UNKNOWN, np.int32),
        recorded_cost=_amounts(columns[11], 9e6, lines, "cost_usd", fault),
        file=np.full(n, file, np.int32),
        offset=np.array(numbers, np.int64),
        length=np.zeros(n, np.int32),
        line=_lines(lines),
        errors=errors,
    )


def tool_records(calls: Calls, classes: Classes, tools: list[ToolSpan], failed: set[str], file: int) -> Records:
    """Tool calls as spans: each has its share of the time between the answer that asked for them and the next turn."""
    n = len(tools)
    shower = [tool.shower for tool in tools]
    upto = np.array([calls.starts[number] for number in shower], np.int64)
    since = np.array([calls.ends[t.asker] if t.asker >= 0 else NAT for t in tools], np.int64)
    since = np.where((since == NAT) | (since > upto), upto, since)
    among = np.array([tool.among for tool in tools], np.int64)
    place = np.array([tool.place for tool in tools], np.int64)
    gap = np.where(upto == NAT, 0, upto - since)
    begin, end = since + gap * (place - 1) // among, since + gap * place // among
    return Records(
        trace=np.array([calls.groups[number].code for number in shower], np.int32),
        span_id=[tool.span_id for tool in tools],
        parent_id=[calls.ids[tool.asker] if tool.asker >= 0 else None for tool in tools],
        cls=np.array(
            [classes.tool(calls.agents[t.asker if t.asker >= 0 else t.shower], t.name) for t in tools], np.int32
        ),
        start=begin,
        duration=end - begin,
        status=np.array([2 if tool.span_id in failed else 1 for tool in tools], np.uint8),
        flags=np.zeros(n, np.uint8),
        input=np.full(n, UNKNOWN, np.int32),
        output=np.full(n, UNKNOWN, np.int32),
        cached=np.full(n, UNKNOWN, np.int32),
        recorded_cost=np.full(n, np.nan),
        file=np.full(n, file, np.int32),
        offset=np.array(shower, np.int64),
        length=np.array([tool.place for tool in tools], np.int32),
        line=_lines([calls.rowids[number] for number in shower]),
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
    return np.array([rowid if 0 < rowid <= MOST_LINE else UNKNOWN for rowid in rowids], np.int32)


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
