"""Inner: selections between page and pandas, both ways; a mixin of `TraceGraph`.

Rows cross packed (int32, little-endian, their number first): a selection of a million spans is 4 MB and no list of words.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import ipywidgets  # type: ignore[import-untyped]
import numpy as np
import traitlets.traitlets as t

from anton_notebook.api import Span, Traces
from anton_notebook.widget.details import living, span_of

if TYPE_CHECKING:
    import pandas as pd

    Rows = pd.DataFrame | pd.Series[Any] | Span | str | Iterable[Span | str] | None

VIEWS = ("graph", "timeline", "tree", "chat", "compare")


class Brushing(ipywidgets.Widget):  # type: ignore[misc]
    """Many spans selected, lit or kept; and which view is shown."""

    traces: Traces
    view = t.Enum(VIEWS, "graph").tag(sync=True)
    selected_span_id: Any
    selected_span_ids = t.List(t.Unicode())
    _selected_row: Any
    _selected_rows = t.Bytes(b"").tag(sync=True)
    _only_rows = t.Bytes(b"").tag(sync=True)
    _bright_rows = t.Bytes(b"").tag(sync=True)
    _picking = False

    @property
    def selected_df(self) -> pd.DataFrame:
        """The rows of `spans_df()` of all that is selected, by start; none where nothing is."""
        return self._rows_df(self._picked())

    def highlight(self, spans: Rows) -> None:
        """Lights these spans, and fades the others; None lights all again.

        `spans`: a frame with the column `span_id` (and `trace_id`), a Series or list of ids, or spans. Raises `SpanNotFound`;
        `AmbiguousSpan` for an id alone that is in several runs, none of which is on the screen; ValueError for a frame without ids.

        >>> graph.highlight(graph.traces.spans_df().query("cost_usd > .01"))  # doctest: +SKIP
        """
        self._bright_rows = b"" if spans is None else pack_rows(self._rows_of(spans))

    def filter(self, spans: Rows) -> None:
        """Keeps these spans, and fades or leaves out the others in every view; None keeps all. Takes what `highlight` takes."""
        self._only_rows = b"" if spans is None else pack_rows(self._rows_of(spans))

    def select(self, spans: Rows) -> None:
        """Selects these spans, the first of which the page shows in full; None selects nothing. Takes what `highlight` takes."""
        self._pick([] if spans is None else self._rows_of(spans))

    def note(
        self, span: Span | str, note: str | None = None, mark: str | None = None, *, trace_id: str | None = None
    ) -> Span:
        """Writes a note about a span, and marks it: `good`, `bad`, `question` or `important`; as `traces.note`.

        >>> graph.note(graph.selected_span, "invented a file name", mark="bad")  # doctest: +SKIP
        """
        one = span if isinstance(span, Span) else self._rows_of([span] if trace_id is None else [])
        if isinstance(one, list):
            one = span_of(self.traces, one[0]) if one else self.traces.span(str(span), trace_id)
        return self.traces.note(one, note, mark)

    # -- inside

    def _find(self, span_id: str) -> int:
        raise NotImplementedError

    def _picked(self) -> np.ndarray[Any, np.dtype[np.int32]]:
        rows = unpack_rows(self._selected_rows)
        return np.array([self._selected_row] if self._selected_row >= 0 else [], np.int32) if rows is None else rows

    def _rows_df(self, rows: np.ndarray[Any, np.dtype[np.int32]]) -> pd.DataFrame:
        frame, store = self.traces.spans_df(), self.traces.store
        with store.lock:
            wanted = {(store.traces[store.c.trace[row]].trace_id, store.span_id(row)) for row in rows.tolist()}
        near = frame["span_id"].isin([span_id for _, span_id in wanted]).to_numpy(dtype=bool)
        places = np.flatnonzero(near)
        ids = frame["span_id"].iloc[places]
        keys = zip(frame["trace_id"].iloc[places].astype(object), ids.astype(object), strict=True)
        keep = np.fromiter((key in wanted for key in keys), bool, len(places))
        chosen: pd.DataFrame = frame.iloc[places[keep]]
        return chosen

    def _rows_of(self, spans: Any) -> list[int]:
        if isinstance(spans, str | Span):
            spans = [spans]
        columns = getattr(spans, "columns", None)
        if columns is None:
            return list(dict.fromkeys(one.row if isinstance(one, Span) else self._find(str(one)) for one in spans))
        if "span_id" not in columns:
            raise ValueError(
                f"a frame of spans needs the column 'span_id' (and 'trace_id' where ids repeat); this one has "
                f"{', '.join(map(repr, list(columns)[:12])) or 'none'}. Take it from spans_df(), or give the ids."
            )
        ids = spans["span_id"].astype(object)
        if "trace_id" not in columns:
            return list(dict.fromkeys(self._find(str(one)) for one in ids))
        store = self.traces.store
        pairs = zip(spans["trace_id"].astype(object), ids, strict=True)
        return list(dict.fromkeys(store.row_of(str(span_id), str(trace_id)) for trace_id, span_id in pairs))

    def _pick(self, rows: Sequence[int]) -> None:
        store = self.traces.store
        ids = [store.span_id(row) for row in rows]
        self._picking = True
        try:
            # in one message, so that no page sees the half of it
            with self.hold_sync():
                self._selected_rows = pack_rows(rows) if len(rows) > 1 else b""
                self.set_trait("_selected_row", rows[0] if rows else -1)
                self.selected_span_id = ids[0] if ids else None
                self.selected_span_ids = ids
        finally:
            self._picking = False

    @t.observe("_selected_row")
    def _one_picked(self, change: dict[str, Any]) -> None:
        if self._picking:
            return
        row: int = change["new"]
        self._picking = True
        try:
            self._selected_rows = b""
            self.selected_span_ids = [] if row < 0 else [self.traces.store.span_id(row)]
        finally:
            self._picking = False

    @t.observe("selected_span_ids")
    def _ids_picked(self, change: dict[str, Any]) -> None:
        if not self._picking:
            self._pick(self._rows_of(change["new"]))

    @t.validate("selected_span_ids")
    def _known_spans(self, proposal: dict[str, Any]) -> list[str]:
        ids: list[str] = proposal["value"]
        if not self._picking:
            for span_id in ids:
                self._find(span_id)
        return ids

    def _on_select_many(self, args: Mapping[str, Any]) -> None:
        store = self.traces.store
        if args.get("epoch") != store.epoch:
            raise ValueError("the page shows another reading of the traces: it will be brought up to date")
        rows = rows_in(args.get("rows"))
        self._pick(living(self.traces, rows).tolist())

    def _on_note(self, args: Mapping[str, Any]) -> dict[str, str]:
        if args.get("epoch") != self.traces.store.epoch:
            raise ValueError("the page shows another reading of the traces: it will be brought up to date")
        row, said = args.get("row"), [args.get("note"), args.get("mark")]
        if isinstance(row, bool) or not isinstance(row, int) or not all(isinstance(text, str) for text in said):
            raise ValueError("a note needs row, note and mark: a whole number and two texts")
        one = self.traces.note(span_of(self.traces, row), str(said[0]), str(said[1]))
        return {"note": one.note or "", "mark": one.mark or ""}

    def _brushing_ops(self) -> dict[str, Callable[[Mapping[str, Any]], Mapping[str, Any] | None]]:
        return {"select_many": self._on_select_many, "note": self._on_note}


def pack_rows(rows: Sequence[int]) -> bytes:
    """The number of rows, then the rows, as little-endian int32."""
    return np.array([len(rows), *rows], "<i4").tobytes()


def unpack_rows(packed: bytes) -> np.ndarray[Any, np.dtype[np.int32]] | None:
    """The rows; None where there is no set at all."""
    numbers = np.frombuffer(packed[: len(packed) // 4 * 4], "<i4")
    return numbers[1 : 1 + max(0, int(numbers[0]))].astype(np.int32) if len(numbers) else None


def rows_in(text: object) -> np.ndarray[Any, np.dtype[np.int32]]:
    """Rows from a request. ValueError for anything else."""
    try:
        rows = unpack_rows(base64.b64decode(text, validate=True)) if isinstance(text, str) else None
    except binascii.Error:
        rows = None
    if rows is None:
        raise ValueError("rows must be int32 numbers in base64, their count first")
    return rows
