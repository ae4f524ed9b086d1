"""Selected, highlighted and filtered spans, kept in step between page and pandas.

Sets of rows cross the wire packed (`arguments.pack_rows`): a selection of a million spans is 4 MB.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from anton_notebook.api import Span, Traces
from anton_notebook.errors import AmbiguousSpan, ConditionError, SpanNotFound
from anton_notebook.widget.arguments import (
    Int32Array,
    check_epoch,
    int_argument,
    pack_rows,
    rows_argument,
    span_argument,
    text_argument,
    unpack_rows,
)
from anton_notebook.widget.commands import Args, Handlers
from anton_notebook.widget.conditions import query
from anton_notebook.widget.details import live_rows, span_of

if TYPE_CHECKING:
    import pandas as pd

    Spans = pd.DataFrame | pd.Series[Any] | Span | str | Iterable[Span | str] | None

NOTE_LIMIT = 100_000  # characters of a note from a page


class Selection:
    """The selection of one widget. `shown` returns the ids of the runs on screen, the main one first."""

    def __init__(self, widget: Any, traces: Traces, shown: Callable[[], list[str]]) -> None:
        self._widget, self._traces, self._shown = widget, traces, shown
        self._updating = False
        widget.observe(self._on_row, "_selected_row")
        widget.observe(self._on_id, "selected_span_id")
        widget.observe(self._on_ids, "selected_span_ids")

    def handlers(self) -> Handlers:
        """Return the handlers of a page's requests."""
        return {"select": self._handle_select, "select_many": self._handle_select_many, "note": self._handle_note}

    # -- Python

    @property
    def span(self) -> Span | None:
        """The selected span, or the first of several."""
        row: int = self._widget._selected_row
        return None if row < 0 else span_of(self._traces, row)

    def frame(self) -> pd.DataFrame:
        """Return the selected rows of `spans_df()`, by start."""
        frame, store = self._traces.spans_df(), self._traces.store
        with store.lock:
            rows = [store.span(row) for row in self._rows().tolist()]
        wanted = {(span.trace_id, span.span_id) for span in rows}
        # By id first: comparing pairs of ids for every row of a large frame is slow.
        places = np.flatnonzero(frame["span_id"].isin([span.span_id for span in rows]).to_numpy(dtype=bool))
        ids = frame["span_id"].iloc[places]
        keys = zip(frame["trace_id"].iloc[places].astype(object), ids.astype(object), strict=True)
        matches = np.fromiter((key in wanted for key in keys), bool, len(places))
        selected: pd.DataFrame = frame.iloc[places[matches]]
        return selected

    def highlight(self, spans: Spans) -> None:
        """Highlight spans; None removes the highlight."""
        self._widget._bright_rows = b"" if spans is None else pack_rows(self.rows_of(spans))

    def filter(self, spans: Spans) -> None:
        """Keep only these spans; None keeps all."""
        self._widget._only_rows = b"" if spans is None else pack_rows(self.rows_of(spans))

    def select(self, spans: Spans) -> None:
        """Select spans; None selects none."""
        self._set([] if spans is None else self.rows_of(spans))

    def note(self, span: Span | str, note: str | None, mark: str | None, trace_id: str | None) -> Span:
        """Annotate a span; of several with this id, the one on screen."""
        if not isinstance(span, Span):
            row = self.find(span) if trace_id is None else self._traces.span(span, trace_id).row
            span = span_of(self._traces, row)
        return self._traces.note(span, note, mark)

    def rows_of(self, spans: Any) -> list[int]:
        """Return the rows of spans given as a DataFrame, ids, Span objects, one span id or a condition."""
        if isinstance(spans, str):
            return self._rows_of_text(spans)
        if isinstance(spans, Span):
            spans = [spans]
        columns = getattr(spans, "columns", None)
        if columns is None:
            return list(dict.fromkeys(one.row if isinstance(one, Span) else self.find(str(one)) for one in spans))
        if "span_id" not in columns:
            raise ValueError(
                "A DataFrame of spans needs the column 'span_id' (and 'trace_id' if ids repeat); this one has "
                f"{', '.join(map(repr, list(columns)[:12])) or 'none'}. Use rows of spans_df(), or a list of ids."
            )
        ids = spans["span_id"].astype(object)
        if "trace_id" not in columns:
            return list(dict.fromkeys(self.find(str(one)) for one in ids))
        store = self._traces.store
        pairs = zip(spans["trace_id"].astype(object), ids, strict=True)
        return list(dict.fromkeys(store.row_of(str(span_id), str(trace_id)) for trace_id, span_id in pairs))

    def _rows_of_text(self, text: str) -> list[int]:
        try:
            # Ids are checked first: an id such as "a-1" is also a valid expression.
            return [self.find(text)]
        except SpanNotFound as not_found:
            try:
                return self.rows_of(query(self._traces.spans_df(), text))
            except ConditionError as error:
                # One word is more likely a mistyped id than a condition.
                if text.isidentifier() or " " not in text.strip():
                    raise not_found from None
                raise error from None

    def find(self, span_id: str) -> int:
        """Return the row of a span id; of several runs that have it, the one on screen."""
        store, row = self._traces.store, self._widget._selected_row
        if row >= 0 and store.span_id(row) == span_id:
            return int(row)
        try:
            return store.row_of(span_id)
        except AmbiguousSpan:
            for trace_id in self._shown():
                with contextlib.suppress(KeyError):
                    return store.row_of(span_id, trace_id)
            raise

    # -- traits

    def check_id(self, span_id: str | None) -> str | None:
        """Validate `selected_span_id`."""
        if span_id is not None:
            self.find(span_id)
        return span_id

    def check_ids(self, span_ids: list[str]) -> list[str]:
        """Validate `selected_span_ids`."""
        if not self._updating:
            for span_id in span_ids:
                self.find(span_id)
        return span_ids

    def _on_id(self, change: dict[str, Any]) -> None:
        row = -1 if change["new"] is None else self.find(change["new"])
        self._widget._selected_row = row
        if row >= 0:
            trace_id = self._traces.store.span(row).trace_id
            # A selected span must be visible, so its run is shown.
            if trace_id not in self._shown():
                self._widget.trace_id = trace_id

    def _on_row(self, change: dict[str, Any]) -> None:
        if self._updating:
            return
        row: int = change["new"]
        self._updating = True
        try:
            self._widget._selected_rows = b""
            self._widget.selected_span_ids = [] if row < 0 else [self._traces.store.span_id(row)]
        finally:
            self._updating = False

    def _on_ids(self, change: dict[str, Any]) -> None:
        if not self._updating:
            self._set([self.find(span_id) for span_id in change["new"]])

    def _rows(self) -> Int32Array:
        rows = unpack_rows(self._widget._selected_rows)
        row = self._widget._selected_row
        return np.array([row] if row >= 0 else [], np.int32) if rows is None else rows

    def _set(self, rows: Sequence[int]) -> None:
        widget, ids = self._widget, [self._traces.store.span_id(row) for row in rows]
        self._updating = True
        try:
            # One message, so that no page shows half of the change.
            with widget.hold_sync():
                widget._selected_rows = pack_rows(rows) if len(rows) > 1 else b""
                widget.set_trait("_selected_row", rows[0] if rows else -1)
                widget.selected_span_id = ids[0] if ids else None
                widget.selected_span_ids = ids
        finally:
            self._updating = False

    # -- the page

    def _handle_select(self, args: Args) -> None:
        if args.get("row") is None:
            self._widget.selected_span_id = None
            return
        span = span_of(self._traces, int_argument(args, "row"))
        if self._widget._selected_row != span.row:
            self._widget.set_trait("_selected_row", span.row)
            self._widget.selected_span_id = span.span_id

    def _handle_select_many(self, args: Args) -> None:
        check_epoch(self._traces, args)
        self._set(live_rows(self._traces, rows_argument(args)).tolist())

    def _handle_note(self, args: Args) -> dict[str, str]:
        span = span_argument(self._traces, args)
        note, mark = text_argument(args, "note", NOTE_LIMIT), text_argument(args, "mark")
        span = self._traces.note(span, note, mark)
        return {"note": span.note or "", "mark": span.mark or ""}
