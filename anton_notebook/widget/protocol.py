"""Messages to a page, packed and unpacked; the mirror of `js/src/kernel/protocol.ts`. `stream` sends them.

Spans are sent as columns in one binary buffer: little-endian, one column after another, `SPAN_BYTES` per span. The columns of
eight bytes come first, so every column is aligned. Each text is sent once: a span holds the number of its class, a class the
numbers of its strings. Every message names the revisions of the store from which and to which it leads, so a page notices a
missing message. A change that is too large for one message is cut into parts of at most `MESSAGE_LIMIT` bytes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple, TypedDict

import numpy as np
import numpy.typing as npt

from anton_notebook.model.span import LLM, MARKS, NAT, PROVENANCES, Flag, Int32
from anton_notebook.store import RunFigures, Store, noted

NONE = 0xFFFFFFFF
SPAN_BYTES = 44
COLUMNS: tuple[tuple[str, str], ...] = (
    ("start", "<f8"),
    ("cost", "<f8"),
    ("row", "<u4"),
    ("parent", "<u4"),
    ("cls", "<u4"),
    ("duration", "<f4"),
    ("input", "<u4"),
    ("output", "<u4"),
    ("status", "u1"),
    ("flags", "u1"),
    ("provenance", "u1"),
    ("mark", "u1"),
)
WIRE_FLAGS = Flag.DERIVED | Flag.PENDING | Flag.ESTIMATED | Flag.FILE_GONE
UNPRICED = 16
MESSAGE_LIMIT = 900_000  # bytes of one message's content; with what Jupyter adds it stays below a million
BAND_LIMIT = 500  # phases and marks per run that are sent, the last ones
TEXT_LIMIT = 300  # characters of a name or id that are sent; the details of a span hold all

Buffers = list[bytes]


class Phase(TypedDict):
    """One phase of a run; `end` is None while it runs. `status`: `running`, `ok`, `error` or `stopped`."""

    name: str
    start: float
    end: float | None
    status: str


class MarkEntry(TypedDict):
    """One checkpoint of a run."""

    name: str
    time: float


class RunEntry(TypedDict):
    """One run's figures; times in ms since 1970 UTC, costs in USD, None where unknown.

    `original_row`: the recorded call that an experiment is about.
    `progress`: for people, such as "phase 1 of 2, 3 of 4 subtasks"; "" if unknown.
    """

    trace_id: str
    name: str
    origin: str
    original_trace_id: str | None
    original_row: int | None
    status: str
    start: float | None
    end: float | None
    spans: int
    llm_calls: int
    tool_calls: int
    agents: int
    errors: int
    input_tokens: int | None
    output_tokens: int | None
    cost_usd: float | None
    unpriced_calls: int
    progress: str
    phases: list[Phase]
    marks: list[MarkEntry]


class ReaderStatus(TypedDict):
    """State of the reader; `sentence` is for people."""

    live: bool
    following: Literal["inotify", "polling", "off"]
    problems: int
    sentence: str


Header = TypedDict(
    "Header",
    {
        "type": Literal["changes"],
        "epoch": str,
        "scope": int,
        "for": str | None,
        "from": int,
        "to": int,
        "part": int,
        "parts": int,
        "strings": list[int | str],
        "classes": list[int | list[int]],
        "runs": list[RunEntry],
        "shown": list[str],
        "status": ReaderStatus | None,
        "puts": int,
        "gone": int,
    },
)


class ChangeMessage(NamedTuple):
    """A JSON header and its binary buffers: the put spans, then the removed rows; empty ones are left out."""

    header: Header
    buffers: Buffers


class ClientState(NamedTuple):
    """The state of a page: a revision of a scope of an epoch, and how many strings and classes (string 0 is "")."""

    epoch: str = ""
    scope: int = -1
    revision: int = -1
    strings: int = 1
    classes: int = 0


class Scope(NamedTuple):
    """The traces that are shown, the main one first; `number` grows with every change."""

    number: int
    codes: tuple[int, ...]


_UNPAIRED = re.compile("[\ud800-\udfff]")


def clean(text: str, limit: int = TEXT_LIMIT) -> str:
    """Return text that can be sent: unpaired surrogates replaced, long text cut.

    >>> clean("a" * 400, 5), clean("a\\ud800b")
    ('aaaa…', 'a\ufffdb')
    """
    if len(text) > limit:
        text = text[: limit - 1] + "…"
    return _UNPAIRED.sub("\ufffd", text)


class Encoder:
    """Creates the messages of one widget. Strings and classes keep their numbers, so pages may know different counts."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.strings: list[str] = [""]
        self.classes: list[list[int]] = []
        self._string_code: dict[str, int] = {"": 0}
        self._class_code: dict[int, int] = {}

    def encode(
        self,
        known: ClientState,
        scope: Scope,
        to_client: str | None = None,
        status: ReaderStatus | None = None,
        limit: int | None = None,
    ) -> tuple[list[ChangeMessage], ClientState]:
        """Return the messages that bring a page up to date.

        A page with another epoch or scope, or with a revision too far back, gets a snapshot.

        Args:
            known: What the page has.
            scope: The traces to show.
            to_client: The page, or None for all pages.
            status: State of the reader to send, or None if unchanged.
            limit: Maximum number of spans; the first ones are sent.

        Returns:
            The messages, and what the page has after them.
        """
        store = self.store
        with store.lock:
            same = known.epoch == store.epoch and known.revision >= 0
            if not same:
                known = ClientState(scope=known.scope)
            # A change of scope needs a snapshot: the page has no span of the new run, and keeps those of the old one.
            since = known.revision if same and known.scope == scope.number else -1
            changes = store.changes(since)
            rows, gone = self._inside(changes.rows, scope)[:limit], self._inside(changes.gone, scope)
            if changes.since < 0:
                codes = range(len(store.traces))
            else:
                # Figures are sent for every run that changed, shown or not: the list of runs stays current.
                touched = np.concatenate([store.c.trace[changes.rows], store.c.trace[changes.gone]])
                codes = np.unique(touched).tolist()
            runs = [_run(store, store.run(code)) for code in codes if store.traces[code].spans or code in scope.codes]
            shown = [clean(store.traces[code].trace_id) for code in scope.codes]
            columns = self._columns(rows)
        # Outside of the lock: packing a large change must not delay the reader.
        after = ClientState(store.epoch, scope.number, changes.revision, len(self.strings), len(self.classes))
        parts = list(self._parts(known, runs, gone, len(rows)))
        messages = []
        for number, (strings, classes, part_runs, part_gone, part_rows) in enumerate(parts):
            header: Header = {
                "type": "changes",
                "epoch": store.epoch,
                "scope": scope.number,
                "for": to_client,
                "from": changes.since,
                "to": changes.revision,
                "part": number,
                "parts": len(parts),
                "strings": [strings.start, *self.strings[strings]],
                "classes": [classes.start, *self.classes[classes]],
                "runs": runs[part_runs],
                "shown": shown,
                "status": status,
                "puts": part_rows.stop - part_rows.start,
                "gone": part_gone.stop - part_gone.start,
            }
            puts = b"".join(column[part_rows].tobytes() for column in columns)
            # The page finds the removed rows first if there are no put spans, so empty buffers are left out.
            messages.append(ChangeMessage(header, [b for b in (puts, gone[part_gone].astype("<u4").tobytes()) if b]))
        return messages, after

    def _inside(self, rows: Int32, scope: Scope) -> Int32:
        traces = self.store.c.trace[rows]
        # One run is the usual case, and a comparison is cheaper than a search in a set.
        if len(scope.codes) == 1:
            inside: npt.NDArray[np.bool_] = traces == scope.codes[0]
        else:
            inside = np.isin(traces, scope.codes)
        result: Int32 = rows[inside]
        return result

    def _string(self, text: str) -> int:
        text = clean(text)
        code = self._string_code.get(text)
        if code is None:
            code = self._string_code[text] = len(self.strings)
            self.strings.append(text)
        return code

    def _codes(self, rows: Int32) -> npt.NDArray[np.uint32]:
        c = self.store.c
        # One key per pair of trace and class: a page needs the trace of a span, the store keeps it in another column.
        keys = c.trace[rows].astype(np.int64) << 32 | c.cls[rows]
        distinct, where = np.unique(keys, return_inverse=True)
        codes = np.empty(len(distinct), np.uint32)
        for i, key in enumerate(distinct.tolist()):
            code = self._class_code.get(key)
            if code is None:
                cls = self.store.classes[key & 0x7FFFFFFF]
                texts = (self.store.traces[key >> 32].trace_id, cls.kind, cls.agent, cls.name, cls.model)
                code = self._class_code[key] = len(self.classes)
                self.classes.append([self._string(text) for text in texts])
            codes[i] = code
        return codes[where]

    def _columns(self, rows: Int32) -> list[npt.NDArray[Any]]:
        store, c = self.store, self.store.c
        start, duration, status, cost = c.start[rows], c.duration[rows], c.status[rows], c.cost[rows]
        # Only model calls have a price, so only they can lack one.
        llm = np.array([kind == LLM for kind in store.kinds], bool)[store.class_kind[c.cls[rows]]]
        unpriced = llm & (status != 0) & np.isnan(cost)
        provenance = np.zeros(len(rows), np.uint8)
        # Few spans have extra fields or notes; a loop over these is cheaper than two more columns in the store.
        if store.own:
            for i, row in enumerate(rows.tolist()):
                own = store.own.get(row)
                if own is not None and own.provenance in PROVENANCES:
                    provenance[i] = PROVENANCES.index(own.provenance)
        marks = np.zeros(len(rows), np.uint8)
        for row, note in noted(store).items() if store.notes or store.brought else ():
            if note.mark:
                marks[rows == row] = 1 + MARKS.index(note.mark)
        columns: dict[str, npt.NDArray[Any]] = {
            "start": np.where(start == NAT, np.nan, start / 1000.0),
            "row": rows,
            "parent": c.parent[rows],
            "cls": self._codes(rows),
            "duration": np.where((duration == NAT) | (status == 0), np.nan, duration / 1000.0),
            "cost": cost,
            "input": c.input[rows],
            "output": c.output[rows],
            "status": status,
            "flags": (c.flags[rows] & np.uint8(WIRE_FLAGS)) | np.where(unpriced, UNPRICED, 0),
            "provenance": provenance,
            "mark": marks,
        }
        return [columns[name].astype(dtype) for name, dtype in COLUMNS]  # -1 becomes NONE

    def _parts(self, known: ClientState, runs: list[RunEntry], gone: Int32, puts: int) -> Iterator[list[slice]]:
        """Cut a change (strings, classes, runs, gone, puts) into slices that fit into one message each."""
        sizes: list[Callable[[int], int] | int] = [
            lambda i: _size(self.strings[i]),
            # bytes of a class as JSON, at most
            64,
            lambda i: _size(runs[i]),
            4,
            SPAN_BYTES,
        ]
        at = [min(known.strings, len(self.strings)), min(known.classes, len(self.classes)), 0, 0, 0]
        ends = [len(self.strings), len(self.classes), len(runs), len(gone), puts]
        while True:
            room, begin = MESSAGE_LIMIT, list(at)
            for k, size in enumerate(sizes):
                if isinstance(size, int):
                    taken = min(ends[k] - at[k], room // size)
                    at[k] += taken
                    room -= taken * size
                else:
                    while at[k] < ends[k] and (needed := size(at[k])) <= room:
                        at[k] += 1
                        room -= needed
                # Spans come after the strings and classes that they name, so a part never refers to a later one.
                if at[k] < ends[k]:
                    break
            yield [slice(a, b) for a, b in zip(begin, at, strict=True)]
            if at == ends:
                return


def _size(value: object) -> int:
    return len(json.dumps(value)) + 2


def _original_row(store: Store, figures: RunFigures) -> int | None:
    trace, span = figures["original_trace_id"], figures["original_span_id"]
    code = store.find_trace(trace) if trace is not None and span is not None else None
    row = store.row(code, span) if code is not None and span is not None else -1
    return row if row >= 0 else None


def _run(store: Store, figures: RunFigures) -> RunEntry:
    start, end, original = figures["start"], figures["end"], figures["original_trace_id"]
    return RunEntry(
        trace_id=clean(figures["trace_id"]),
        name=clean(figures["name"]),
        origin=figures["origin"],
        original_trace_id=None if original is None else clean(original),
        original_row=_original_row(store, figures),
        status=figures["status"],
        start=None if start is None else start / 1000,
        end=None if end is None else end / 1000,
        spans=figures["spans"],
        llm_calls=figures["llm_calls"],
        tool_calls=figures["tool_calls"],
        agents=figures["agents"],
        errors=figures["errors"],
        input_tokens=figures["input_tokens"],
        output_tokens=figures["output_tokens"],
        cost_usd=figures["cost_usd"],
        unpriced_calls=figures["unpriced_calls"],
        progress=clean(figures["progress"]),
        phases=[
            Phase(name=clean(name), start=begin / 1000, end=None if over is None else over / 1000, status=state)
            for begin, over, name, state in figures["phases"][-BAND_LIMIT:]
        ],
        marks=[MarkEntry(name=clean(name), time=at / 1000) for at, name in figures["marks"][-BAND_LIMIT:]],
    )


def unpack(message: ChangeMessage) -> tuple[dict[str, npt.NDArray[Any]], npt.NDArray[np.uint32]]:
    """Return the put spans of a message as columns by name, and the removed rows; ValueError if lengths differ."""
    header, buffers = message.header, list(message.buffers)
    puts = buffers.pop(0) if header["puts"] else b""
    gone = buffers.pop(0) if header["gone"] else b""
    if len(puts) != SPAN_BYTES * header["puts"] or len(gone) != 4 * header["gone"] or buffers:
        raise ValueError(f"buffers of {[len(b) for b in message.buffers]} bytes do not hold what the header announces")
    columns, at = {}, 0
    for name, dtype in COLUMNS:
        columns[name] = np.frombuffer(puts, dtype, header["puts"], at)
        at += columns[name].nbytes
    return columns, np.frombuffer(gone, "<u4")
