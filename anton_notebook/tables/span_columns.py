"""The columns of `spans_df`, as data: name, how it is stored, where it comes from, what it means."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from anton_notebook import pricing
from anton_notebook.model.span import LLM, MARKS, NAT, PROVENANCES, STATUS_NAMES, UNKNOWN, Flag, Int32, Int64, SpanClass
from anton_notebook.store import PICO, Note, Store, noted
from anton_notebook.store.columns import distinct, grown
from anton_notebook.tables import column_arrays
from anton_notebook.tables.column_arrays import Array, Categories, masked, sparse_texts, text_array

_FEW = 2000
_NO_TIMES: Int64 = np.empty(0, np.int64)
_EACH = -2
CostSource = Callable[[str, str, Int64], tuple[list[str], Array]]
"""Where prices of a model come from: `(provider, model, starts) -> words, which of them each has`; one word where it is always
the same."""


SUMS = ("depth", "cost", "tokens", "priced", "known")


class Sums:
    """Depths and sums up the tree by row of the store, as whole numbers."""

    depth: Int32
    cost: Int64
    tokens: Int64
    priced: Int64
    known: Int64


class Context:
    """What the columns are made from: the store, and the sums over it."""

    def __init__(self, store: Store, cost_source: CostSource) -> None:
        self.store = store
        self.sums = Sums()
        self.cost_source = cost_source
        self._ids: Array = np.empty(0, object)
        self._ids_known = 0
        self.words: dict[str, Categories] = {}
        self._by_class: dict[str, Array] = {}
        self.sources: list[int] = []

    def ids(self) -> Array:
        """Every row's id, and NaN as the last of all: for rows that are none (-1)."""
        ids, known = self.store.ids, self._ids_known
        if len(ids) >= len(self._ids):
            self._ids = grown(self._ids[:known], len(ids) + 1 + (len(ids) >> 4))
            self._ids[-1] = np.nan
        self._ids[known : len(ids)] = ids[known:] if known else ids
        self._ids_known = len(ids)
        return self._ids

    def vocabulary(self, column: str) -> Categories:
        """The words of a categorical column."""
        return self.words.setdefault(column, Categories())

    def by_class(self, column: str, word: Callable[[SpanClass], str | None], rows: Int32) -> Array:
        """Codes of a column that depends on the class of a span alone."""
        words, classes = self.vocabulary(column), self.store.classes
        table = self._by_class.get(column)
        if table is None or len(table) < len(classes):
            codes = np.array([words.code(word(cls)) for cls in classes], np.int32)
            table = self._by_class[column] = codes.astype(words.width)
        return table[self.store.c.cls[rows]]

    def forget(self) -> None:
        """Drops what was derived from prices."""
        self.sources.clear()


class Column(NamedTuple):
    """One column. `make(context, rows)` gives its raw values, `kind` says what becomes of them."""

    name: str
    kind: str
    meaning: str
    make: Callable[[Context, Int32], list[Any]]

    def buffer(self, context: Context) -> column_arrays.Column:
        """An empty column buffer."""
        return column_arrays.new_column(self.kind, context.vocabulary(self.name) if self.kind == "category" else None)

    def values(self, context: Context, rows: Int32) -> list[Any]:
        """The raw values of these rows, in the types that the buffers hold."""
        parts = self.make(context, rows)
        if self.kind == "category":
            return [parts[0].astype(context.vocabulary(self.name).width, copy=False)]
        return parts


def _by_class(name: str, meaning: str, word: Callable[[SpanClass], str | None]) -> Column:
    return Column(name, "category", meaning, lambda ctx, rows: [ctx.by_class(name, word, rows)])


def _provider(cls: SpanClass) -> str:
    """As recorded; what says nothing (`unknown`) is known from the model's name, or stays as it is."""
    told = pricing.provider_of(cls.provider, "")
    return cls.provider if told or cls.kind != LLM else pricing.provider_of(cls.provider, cls.model) or cls.provider


def _trace(ctx: Context, rows: Int32) -> list[Array]:
    words, traces = ctx.vocabulary("trace_id"), ctx.store.traces
    for info in traces[len(words.words) :]:
        words.code(info.trace_id)
    return [ctx.store.c.trace[rows]]


def _named(ctx: Context, rows: Int32) -> Any:
    """The ids of rows; missing for -1."""
    if len(rows) < _FEW:
        ids = ctx.store.ids
        return text_array([ids[row] if row >= 0 else None for row in rows.tolist()])
    return text_array(ctx.ids()[rows])


def _ids(ctx: Context, rows: Int32) -> list[Any]:
    return [_named(ctx, rows)]


def _parents(ctx: Context, rows: Int32) -> list[Any]:
    return [_named(ctx, ctx.store.c.parent[rows])]


def _status(ctx: Context, rows: Int32) -> list[Array]:
    words = ctx.vocabulary("status")
    if not words.words:
        for name in STATUS_NAMES:
            words.code(name)
    return [ctx.store.c.status[rows]]


def _duration(ctx: Context, rows: Int32) -> list[Array]:
    duration = ctx.store.c.duration[rows]
    return [np.where(duration == NAT, np.nan, duration / 1000.0)]


def _count(name: str) -> Callable[[Context, Int32], list[Array]]:
    def make(ctx: Context, rows: Int32) -> list[Array]:
        values = getattr(ctx.store.c, name)[rows]
        return masked(values, values == UNKNOWN)

    return make


def _cost_source(ctx: Context, rows: Int32) -> list[Array]:
    """By the class of a span, where its price has one source at all times; else by the span's own time."""
    words, c, classes = ctx.vocabulary("cost_source"), ctx.store.c, ctx.store.classes
    table = ctx.sources
    for cls in classes[len(table) :]:
        found = ctx.cost_source(cls.provider, cls.model, _NO_TIMES) if cls.kind == LLM else None
        table.append(-1 if found is None else words.code(found[0][0]) if len(found[0]) == 1 else _EACH)
    cls_of = c.cls[rows]
    codes = np.array([*table, -1], np.int32)[cls_of]
    for cls_code in distinct(cls_of[codes == _EACH]):
        at = np.flatnonzero(cls_of == cls_code)
        cls = classes[cls_code]
        names, which = ctx.cost_source(cls.provider, cls.model, c.start[rows[at]])
        used = distinct(which)
        places = np.zeros(len(names), np.int32)
        places[used] = [words.code(names[i]) for i in used]
        codes[at] = places[which]
    unpriced = (codes >= 0) & np.isnan(c.cost[rows]) & (c.status[rows] != 0)
    if unpriced.any():
        codes[unpriced] = words.code("unpriced")
    return [codes]


def _own(name: str) -> Callable[[Context, Int32], list[str | None]]:
    def find(ctx: Context, rows: Int32) -> list[str | None]:
        own = ctx.store.own
        if not own:
            return [None] * len(rows)
        return [getattr(own[row], name) or None if row in own else None for row in rows.tolist()]

    return find


def _own_words(name: str) -> Callable[[Context, Int32], list[Array]]:
    find = _own(name)

    def make(ctx: Context, rows: Int32) -> list[Array]:
        words = ctx.vocabulary(name)
        if name == "provenance" and not words.words:
            for word in PROVENANCES[1:]:
                words.code(word)
        if not ctx.store.own:
            return [np.full(len(rows), -1, np.int8)]
        return [np.array([words.code(word) for word in find(ctx, rows)], np.int32)]

    return make


def _saved(ctx: Context, rows: Int32) -> list[Array]:
    own = ctx.store.own
    values = np.full(len(rows), np.nan)
    if own:
        for i, row in enumerate(rows.tolist()):
            if row in own and own[row].saved_usd is not None:
                values[i] = own[row].saved_usd
    return [values]


def _errors(ctx: Context, rows: Int32) -> list[Any]:
    errors = ctx.store.errors
    failed = np.flatnonzero(ctx.store.c.status[rows] == 2).tolist() if errors else []
    return [sparse_texts(len(rows), {i: errors[row] for i in failed if (row := int(rows[i])) in errors})]


def _marks(ctx: Context, rows: Int32) -> list[Array]:
    words = ctx.vocabulary("mark")
    if not words.words:
        for word in MARKS:
            words.code(word)
    codes = np.full(len(rows), -1, np.int8)
    for at, note in _noted(ctx, rows):
        codes[at] = MARKS.index(note.mark) if note.mark else -1
    return [codes]


def _notes(ctx: Context, rows: Int32) -> list[Any]:
    return [sparse_texts(len(rows), {at: note.text for at, note in _noted(ctx, rows) if note.text})]


def _noted(ctx: Context, rows: Int32) -> Iterator[tuple[int, Note]]:
    """Where noted rows stand among these."""
    if not (ctx.store.notes or ctx.store.brought):
        return
    for row, note in noted(ctx.store).items():
        for at in np.flatnonzero(rows == row).tolist():
            yield at, note


def _original(ctx: Context, rows: Int32) -> list[Any]:
    ids = _own("original_span_id")(ctx, rows) if ctx.store.own else []
    return [sparse_texts(len(rows), {i: span_id for i, span_id in enumerate(ids) if span_id is not None})]


def _source(ctx: Context, rows: Int32) -> list[Array]:
    words, store = ctx.vocabulary("source"), ctx.store
    table = np.array([*(words.code(file.path) for file in store.files), -1], np.int32)
    return [table[store.c.file[rows]]]


def _line(ctx: Context, rows: Int32) -> list[Array]:
    line = ctx.store.c.line[rows]
    return masked(line, line < 1)


def _total_cost(ctx: Context, rows: Int32) -> list[Array]:
    return [np.where(ctx.sums.priced[rows] > 0, ctx.sums.cost[rows] / PICO, np.nan)]


def _total_tokens(ctx: Context, rows: Int32) -> list[Array]:
    return masked(ctx.sums.tokens[rows], ctx.sums.known[rows] == 0)


def _detail(name: str) -> Callable[[Context, Int32], list[Array]]:
    """A column of a count that few spans have."""

    def make(ctx: Context, rows: Int32) -> list[Array]:
        values = np.full(len(rows), UNKNOWN, np.int32)
        if ctx.store.own:
            for i, row in enumerate(rows.tolist()):
                own = ctx.store.own.get(row)
                if own is not None and own.usage is not None and (value := getattr(own.usage, name)) is not None:
                    values[i] = value
        return masked(values, values == UNKNOWN)

    return make


def _lower_bound(ctx: Context, rows: Int32) -> list[Array]:
    bounds = np.zeros(len(rows), bool)
    if own := ctx.store.own:
        bounds[[i for i, row in enumerate(rows.tolist()) if row in own and own[row].lower_bound]] = True
    return [bounds]


def _service_tier(ctx: Context, rows: Int32) -> list[Array]:
    words, own = ctx.vocabulary("service_tier"), ctx.store.own
    if not own:
        return [np.full(len(rows), -1, np.int8)]
    usages = [own[row].usage if row in own else None for row in rows.tolist()]
    return [
        np.array([words.code(usage.service_tier or None if usage is not None else None) for usage in usages], np.int32)
    ]


def _estimated(ctx: Context, rows: Int32) -> list[Array]:
    return [(ctx.store.c.flags[rows] & np.uint8(Flag.ESTIMATED)) != 0]


SPANS: tuple[Column, ...] = (
    _by_class("agent", "the agent that it belongs to", lambda cls: cls.agent),
    _by_class("kind", "orchestrator, agent, llm, tool, or the source's own word", lambda cls: cls.kind),
    _by_class("name", "the model, the tool or the agent", lambda cls: cls.name),
    Column("status", "category", "running, ok or error", _status),
    Column("start", "time", "when it began, UTC", lambda ctx, rows: [ctx.store.c.start[rows]]),
    Column("duration_ms", "number", "milliseconds", _duration),
    _by_class("model", "the model, as recorded", lambda cls: cls.model),
    Column("input_tokens", "integer", "tokens of the request", _count("input")),
    Column("output_tokens", "integer", "tokens of the answer", _count("output")),
    Column(
        "cost_usd",
        "number",
        "US dollars, recomputed; NaN where no price is known",
        lambda ctx, rows: [ctx.store.c.cost[rows]],
    ),
    Column("error", "text", "what went wrong", _errors),
    Column("end", "time", "when it ended, UTC", lambda ctx, rows: [ctx.store.c.end(rows)]),
    _by_class("provider", "who served the model", _provider),
    Column("cached_tokens", "integer", "tokens of the request that came from the provider's cache", _count("cached")),
    Column(
        "cache_write_tokens",
        "integer",
        "tokens of the request that were written to the provider's cache",
        _detail("cache_write_tokens"),
    ),
    Column("reasoning_tokens", "integer", "tokens of the answer that were reasoning", _detail("reasoning_tokens")),
    Column("tokens_estimated", "flag", "the tokens are guessed from the text", _estimated),
    Column("tokens_lower_bound", "flag", "the final count of output tokens never came", _lower_bound),
    Column("service_tier", "category", "the service tier that was billed, if not the ordinary one", _service_tier),
    Column(
        "recorded_cost_usd", "number", "US dollars, as recorded", lambda ctx, rows: [ctx.store.c.recorded_cost[rows]]
    ),
    Column("cost_source", "category", "where the price comes from", _cost_source),
    Column("saved_usd", "number", "US dollars that a reused or cached answer did not cost", _saved),
    Column("total_cost_usd", "number", "US dollars of the span and all below it", _total_cost),
    Column("total_tokens", "integer", "input and output tokens of the span and all below it", _total_tokens),
    _by_class("finish_reason", "why the model stopped", lambda cls: cls.finish_reason),
    Column("depth", "count", "steps to the root", lambda ctx, rows: [ctx.sums.depth[rows].astype(np.int64)]),
    Column("mark", "category", "the user's mark", _marks),
    Column("note", "text", "the user's note", _notes),
    Column("trace_id", "category", "the run", _trace),
    Column("span_id", "text", "the span; unique within its run", _ids),
    Column("parent_id", "text", "its parent in the tree", _parents),
    Column("provenance", "category", "how a replayed answer came about", _own_words("provenance")),
    Column("original_trace_id", "category", "the run that this one was made from", _own_words("original_trace_id")),
    Column(
        "original_span_id",
        "text",
        "the span that this one was made from",
        _original,
    ),
    Column("source", "category", "the file", _source),
    Column("line", "integer", "the line in the file, from 1", _line),
)
"""In the order of interest to people: figures first, ids and provenance last."""
