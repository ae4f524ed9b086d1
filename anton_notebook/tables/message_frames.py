"""The frames of messages and of tool calls, kept between calls: what one costs follows what was appended.

Light columns stay in memory. Texts are on disk: those of the last frame are kept while they are small (see `body_cache`), and
read again otherwise.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from anton_notebook.errors import BodyUnavailable
from anton_notebook.model.span import STATUS_NAMES, Int32, Int64
from anton_notebook.store import Store
from anton_notebook.store.columns import grown
from anton_notebook.tables.body_cache import BodyCache, ReadTracker
from anton_notebook.tables.builder import LONG
from anton_notebook.tables.column_arrays import Array, Buffer, Categories, Column, new_column
from anton_notebook.tables.schema import MESSAGES, TOOL_CALLS
from anton_notebook.tables.span_columns import SPANS, Context

_MADE = {column.name: column for column in SPANS}
_NONE: Int64 = np.empty(0, np.int64)


class Message(NamedTuple):
    """One message of a call: who says it, what, and whether it is the answer."""

    role: str
    text: str
    is_response: bool


ReadMessages = Callable[[int], list[Message]]
ReadToolCall = Callable[[int], tuple[Any, Any]]


class MessagesFrame:
    """The messages of spans."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._seen, self._lines, self._texts = ReadTracker(store), _Lines(store, MESSAGES), BodyCache([LONG])
        self._first: Int64 = np.empty(0, np.int64)
        self._count: Int32 = np.empty(0, np.int32)
        self._roles: list[str] = []
        self._role_code: dict[str, int] = {}
        self._light = {
            "span": Buffer(np.empty(0, np.int32)),
            "position": Buffer(np.empty(0, np.int64)),
            "role": Buffer(np.empty(0, np.int32)),
            "chars": Buffer(np.empty(0, np.int64)),
            "is_response": Buffer(np.empty(0, bool)),
        }

    def frame(self, rows: Int32, read: ReadMessages, texts: bool, strict: bool) -> tuple[pd.DataFrame, int]:
        """The messages of these rows of the store, in their order, with the column `text` or without, and how many calls could
        not be read. `read` gives those of a row, or raises `BodyUnavailable`."""
        with self._lock:
            changed, stale = self._seen.changes()
            self._make_room()
            self._count[stale] = 0
            fresh, lost = self._take_in(self._seen.unread(rows), read, strict)
            while True:
                counts = self._count[rows]
                index = np.arange(int(counts.sum())) + np.repeat(self._first[rows] - np.cumsum(counts) + counts, counts)
                spans = np.repeat(rows, counts)
                try:
                    text = self._texts.take(index, fresh, lambda missing: self._again(missing, read)) if texts else []
                    break
                except _Gone as gone:
                    if strict:
                        raise gone.reason from None
                    lost += 1
                    self._count[gone.row] = 0
                    self._seen.forget(np.array([gone.row], np.int32))
            own = {name: buffer.view[index] for name, buffer in self._light.items() if name != "span"}
            with self._store.lock:
                made = self._lines.arrays(spans, index, changed, own, self._roles)
            if texts:
                made["text"] = text[0]
            columns = [name for name in MESSAGES if name in made]
            frame = pd.DataFrame({c: made[c] for c in columns}, copy=False, index=pd.RangeIndex(len(index)))
            return frame, lost

    def _make_room(self) -> None:
        size = self._store.size
        if size > len(self._first):
            known, room = len(self._first), size + (size >> 3)
            self._first, self._count = grown(self._first, room), grown(self._count, room)
            self._first[known:] = self._count[known:] = 0

    def _take_in(self, rows: Int32, read: ReadMessages, strict: bool) -> tuple[tuple[Int64, list[list[Any]]], int]:
        """Reads these spans: the numbers and texts of their messages, and how many are no longer there."""
        first = self._light["span"].size
        found: list[Message] = []
        counts, lost, gone, marks = [], 0, [], self._seen.marks(rows)
        for row in rows.tolist():
            try:
                messages = read(row)
            except BodyUnavailable:
                if strict:
                    raise
                lost, messages = lost + 1, []
                gone.append(row)
            found += messages
            counts.append(len(messages))
        number = np.array(counts, np.int64)
        self._first[rows] = first + np.cumsum(number) - number
        self._count[rows] = number
        self._seen.note(rows, marks)
        self._seen.forget(np.array(gone, np.int32))
        self._light["span"].append(np.repeat(rows, number))
        place = np.arange(len(found)) - np.repeat(np.cumsum(number) - number, number)
        self._light["position"].append(place)
        self._light["role"].append(np.array([self._code(message.role) for message in found], np.int32))
        self._light["chars"].append(np.array([len(message.text) for message in found], np.int64))
        self._light["is_response"].append(np.array([message.is_response for message in found], bool))
        return (np.arange(first, first + len(found)), [[message.text for message in found]]), lost

    def _again(self, missing: Int64, read: ReadMessages) -> tuple[Int64, list[list[Any]]]:
        keys, texts = [_NONE], list[Any]()
        for row in pd.unique(self._light["span"].view[missing]).tolist():
            try:
                messages = read(row)
            except BodyUnavailable as error:
                raise _Gone(row, error) from error
            if len(messages) != self._count[row]:
                raise _Gone(row, BodyUnavailable("the record is no longer the one that was read"))
            keys.append(np.arange(self._first[row], self._first[row] + len(messages)))
            texts += [message.text for message in messages]
        return np.concatenate(keys), [texts]

    def _code(self, role: str) -> int:
        code = self._role_code.get(role)
        if code is None:
            code = self._role_code[role] = len(self._roles)
            self._roles.append(role)
        return code


class ToolCallsFrame:
    """The tool calls of spans."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._seen, self._lines, self._bodies = ReadTracker(store), _Lines(store, TOOL_CALLS), BodyCache([None, None])

    def frame(self, rows: Int32, read: ReadToolCall, bodies: bool, strict: bool) -> tuple[pd.DataFrame, int]:
        """These rows of the store, in their order, with `parameters` and `result` or without, and how many could not be read.
        `read` gives the two of a row, or raises `BodyUnavailable`."""
        with self._lock:
            changed, stale = self._seen.changes()
            self._bodies.forget(stale)
            gone: list[int] = []

            def read_all(missing: Int64) -> tuple[Int64, list[list[Any]]]:
                found: list[tuple[Any, Any]] = []
                for row in missing.tolist():
                    try:
                        found.append(read(row))
                    except BodyUnavailable:
                        if strict:
                            raise
                        found.append((None, None))
                        gone.append(row)
                return missing, [[one[0] for one in found], [one[1] for one in found]]

            keys, marks = rows.astype(np.int64), self._seen.marks(rows)
            with self._store.lock:
                size = int(self._store.c.length[rows].sum())
                made = self._lines.arrays(rows, keys, changed, {}, [])
            if bodies:
                made["parameters"], made["result"] = self._bodies.take(keys, (_NONE, [[], []]), read_all, size)
                self._seen.note(rows, marks)
                self._seen.forget(np.array(gone, np.int32))
                self._bodies.forget(np.array(gone, np.int64))
            columns = {name: made[name] for name in TOOL_CALLS if name in made}
            return pd.DataFrame(columns, copy=False, index=pd.RangeIndex(len(rows))), len(gone)


class _Gone(Exception):
    """A body that was there before is no longer."""

    def __init__(self, row: int, reason: BodyUnavailable) -> None:
        super().__init__(str(reason))
        self.row, self.reason = row, reason


class _Lines:
    """The columns that rows have from their spans, kept: rows behind the last ones are added, anything else starts anew."""

    def __init__(self, store: Store, columns: dict[str, str]) -> None:
        self._store = store
        self._context = Context(store, lambda provider, model, starts: ([], starts))
        self._kinds = columns
        self._spans: Int32 = np.empty(0, np.int32)
        self._index = _NONE
        self._columns: dict[str, Column] = {}
        self._words: dict[str, Categories] = {}
        self._tables: dict[str, Int32] = {}

    def arrays(
        self, spans: Int32, index: Int64, changed: Int32 | None, own: dict[str, Array], roles: Sequence[str]
    ) -> dict[str, Any]:
        """The columns: `spans` are the store's rows, `index` tells rows of one span apart, `own` are the values that are not in
        the store (codes of `roles` for the role)."""
        known = len(self._spans)
        behind = (
            changed is not None
            and known > 0
            and np.array_equal(index[:known], self._index)
            and np.array_equal(spans[:known], self._spans)
            and not _any_of(spans[:known], changed, self._store.size)
        )
        if not behind:
            known = 0
            self._words = {name: Categories() for name, kind in self._kinds.items() if kind == "category"}
            self._tables, self._columns = {}, {}
        for name, values in self._values(
            spans[known:], {name: part[known:] for name, part in own.items()}, roles
        ).items():
            if behind:
                self._columns[name].append([values])
            else:
                self._columns[name] = new_column(self._kinds[name], self._words.get(name))
                self._columns[name].fill([values])
        self._spans, self._index = spans, index
        return {name: held.array() for name, held in self._columns.items()}

    def _values(self, rows: Int32, own: dict[str, Array], roles: Sequence[str]) -> dict[str, Array]:
        store, made = self._store, dict[str, Array]()
        of_class = {"agent": "agent", "name": "name"}
        for name in self._kinds:
            if name == "trace_id":
                made[name] = self._worded(name, store.c.trace[rows], lambda code: store.traces[code].trace_id)
            elif name in of_class:
                made[name] = self._worded(name, store.c.cls[rows], lambda c, n=name: getattr(store.classes[c], n))  # type: ignore[misc]
            elif name == "status":
                made[name] = self._worded(name, store.c.status[rows], lambda code: STATUS_NAMES[code])
            elif name == "role":
                made[name] = self._worded(name, own[name], lambda code: roles[code])
            elif name in own:
                made[name] = own[name]
            elif name in _MADE:
                made[name] = _MADE[name].make(self._context, rows)[0]
        return made

    def _worded(self, name: str, codes: Array, word: Callable[[int], str | None]) -> Int32:
        """The codes of a column's words; a word gets one when it first comes up."""
        table = self._tables.get(name, np.empty(0, np.int32))
        codes = codes.astype(np.int64)
        top = int(codes.max(initial=-1)) + 1
        if top > len(table):
            known = len(table)
            table = grown(table, top + 64)
            table[known:] = -2
        for code in pd.unique(codes[table[codes] == -2]).tolist():
            table[code] = self._words[name].code(word(code))
        self._tables[name] = table
        found: Int32 = table[codes]
        return found


def _any_of(rows: Int32, changed: Int32, size: int) -> bool:
    marked = np.zeros(size, bool)
    marked[changed] = True
    return bool(marked[rows].any())
