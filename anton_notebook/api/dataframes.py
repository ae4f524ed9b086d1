"""The five frames of some traces, and what each can be asked for."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from anton_notebook import pricing
from anton_notebook.api.spans import Span
from anton_notebook.archive import delta_table
from anton_notebook.errors import NotRerunnable, Unreadable
from anton_notebook.model.span import LLM, TOOL, Int32, Problem
from anton_notebook.redact import Redactor
from anton_notebook.sources.anton.history_inference import text_of
from anton_notebook.sources.reader import Reader
from anton_notebook.store import Store, TraceInfo
from anton_notebook.tables import (
    Message,
    MessagesFrame,
    SpansFrame,
    ToolCallsFrame,
    as_text,
    filters,
    problems_frame,
    runs_frame,
    user_columns,
)
from anton_notebook.tables.filters import Names, Since
from anton_notebook.tables.schema import KEY

if TYPE_CHECKING:
    import pandas as pd

    from anton_notebook.api.traces import Traces

Body = TypeVar("Body")
EXPERIMENTS = ("rerun", "replay")
_TEXTS = ("kind", "agent", "name", "provider", "model", "finish_reason", "error", "note")


def _redacted(spans: pd.DataFrame) -> pd.DataFrame:
    """The same spans without secrets in their texts."""
    redactor, changed = Redactor(), {}
    for name in _TEXTS:
        texts = [text for text in spans[name].astype(object).dropna().unique() if isinstance(text, str)]
        together = "\n".join(texts)
        if redactor.text(together) != together:
            kinds = {text: redactor.text(text) for text in texts}
            changed[name] = spans[name].astype(object).map(lambda text, kinds=kinds: kinds.get(text, text))
    return spans.assign(**changed) if changed else spans


class Frames:
    """What `Traces` gives as DataFrames. All frames take the same four parameters:

    - `columns`: a name or several; only these, in this order. `UnknownColumn` (a KeyError) names near misses.
      `anb.columns()` lists what there is, the columns that `anb.add_column` added at the end.
    - `kind`: a kind of span or several (`llm`, `tool`, `agent`, `orchestrator`, a source's own word): the rows about spans
      of these kinds; of runs those that have such a span. ValueError for what looks like a slip.
    - `since`: what began at that time or later; times that are not known are left out. A datetime or its text
      (`"2026-11-23T08:00"`; without a zone, in that of `read_traces(tz=)`, by default the machine's), a duration back from
      now (`"2h"`, `"last 15 min"`, a timedelta), `"last hour"`, `"today"` or `"yesterday"`.
    - `strict`: raises `Unreadable` (a ValueError) if anything of what the frame is made of could not be read, in place of
      leaving that out: if `problems_df(kind=kind, since=since)` has rows, or a text is no longer on disk.
    """

    store: Store
    reader: Reader
    _frame: SpansFrame
    _messages: MessagesFrame
    _tool_calls: ToolCallsFrame
    _own: user_columns.UserColumnCache
    _priced: int

    def read_notes(self) -> None:
        """Takes in what was noted since."""
        raise NotImplementedError

    def spans_df(
        self,
        *,
        columns: Names = None,
        kind: Names = None,
        since: Since = None,
        strict: bool = False,
        experiments: bool = True,
        status: Names = None,
        agent: Names = None,
        model: Names = None,
        run: Names = None,
    ) -> pd.DataFrame:
        """One row per span, by start; the columns are `anb.columns("spans")`. Agents have no cost or tokens of their own.

        Args:
            columns: see `Frames`.
            kind: see `Frames`.
            since: see `Frames`.
            strict: see `Frames`.
            experiments: include the spans of reruns and replays.
            status: running, ok or error, or several of them.
            agent: one agent or several.
            model: one model or several.
            run: one trace id or several.

        Raises:
            UnknownColumn, TraceNotFound, ValueError: a name does not exist; the message suggests similar ones.
        """
        wanted = filters.chosen(columns, user_columns.names("spans"), "spans_df")
        kinds, moment = self._asked(kind, since)
        self._check(kinds, moment, strict)
        statuses, runs = filters.statuses_of(status), filters.named(run)
        frame = self._spans_frame(wanted)
        keep = np.ones(len(frame), bool)
        for name, values in (("status", statuses), ("agent", agent), ("model", model)):
            if values is not None:
                keep &= filters.rows_with(frame, name, values)
        if runs is not None:
            holder: Any = self
            ids = [holder[trace_id].trace_id for trace_id in runs]
            keep &= frame["trace_id"].isin(ids).to_numpy(dtype=bool)
        if kinds is not None:
            keep &= frame["kind"].isin(kinds).to_numpy(dtype=bool)
        if moment is not None:
            keep &= filters.later(_micros(frame["start"]), moment)
        tries = set() if experiments else {i.trace_id for i in self.store.traces if i.origin in EXPERIMENTS}
        if tries:
            keep &= ~frame["trace_id"].isin(tries).to_numpy(dtype=bool)
        if wanted is not None:
            frame = frame[wanted]
        return frame if keep.all() else frame[keep].reset_index(drop=True)

    def _spans_frame(self, wanted: Sequence[str] | None) -> pd.DataFrame:
        self.read_notes()
        if self._priced != pricing.version:
            self._priced = pricing.version
            self.store.reprice()
            self.store.commit()
            self._frame.forget_prices()
        if not user_columns.own_columns("spans"):
            return self._frame.frame()
        with self._own.lock:
            within = self._own.within(self._frame.frame(), wanted)
            return self._own.add_to(*self._frame.frame_and_changes(), wanted) if within is None else within

    def runs_df(
        self,
        *,
        columns: Names = None,
        kind: Names = None,
        since: Since = None,
        strict: bool = False,
        experiments: bool = False,
    ) -> pd.DataFrame:
        """One row a run, oldest first; the columns are `anb.columns("runs")`. `kind`: runs that have a span of that kind.

        `columns, kind, since, strict` as said of `Frames`. Reruns and replays only with `experiments=True`.
        """
        wanted = filters.chosen(columns, user_columns.names("runs"), "runs_df")
        kinds, moment = self._asked(kind, since)
        self._check(kinds, moment, strict)
        store = self.store
        with store.lock:
            shown = [i for i in store.traces if i.spans and (experiments or i.origin not in EXPERIMENTS)]
            if kinds is not None:
                having = set(store.c.trace[self._rows(kinds)].tolist())
                shown = [info for info in shown if info.code in having]
            figures = [(info.figures(), self._source_of(info)) for info in shown]
        if moment is not None:
            figures = [one for one in figures if one[0]["start"] is not None and one[0]["start"] >= moment]
        return _given(runs_frame(figures), "runs", wanted)

    def messages_df(
        self,
        trace_id: str | None = None,
        *,
        columns: Names = None,
        kind: Names = None,
        since: Since = None,
        strict: bool = False,
    ) -> pd.DataFrame:
        """One row a message of every LLM call, the answer last (`is_response`). Reads the texts from disk.

        `columns, kind, since, strict` as said of `Frames`; the columns are `anb.columns("messages")`. Calls whose text is no
        longer on disk have no rows, and are counted in `attrs["anton_notebook"]["unavailable"]`.
        """
        wanted = filters.chosen(columns, user_columns.names("messages"), "messages_df")
        kinds, moment = self._asked(kind, since)
        self._check(kinds, moment, strict)
        texts = wanted is None or "text" in wanted or bool(user_columns.own_columns("messages"))
        frame, lost = self._messages.frame(
            self._spans(LLM, trace_id, kinds, moment), self._read(messages_of), texts, strict
        )
        return _given(frame, "messages", wanted, lost)

    def tool_calls_df(
        self,
        trace_id: str | None = None,
        *,
        columns: Names = None,
        kind: Names = None,
        since: Since = None,
        strict: bool = False,
    ) -> pd.DataFrame:
        """One row a tool call, with its parameters and result as they were recorded. Reads them from disk, if asked for.

        `columns, kind, since, strict` as said of `Frames`; the columns are `anb.columns("tool_calls")`. Where the text is no
        longer on disk the two are missing, and `attrs["anton_notebook"]["unavailable"]` counts it.
        """
        wanted = filters.chosen(columns, user_columns.names("tool_calls"), "tool_calls_df")
        kinds, moment = self._asked(kind, since)
        self._check(kinds, moment, strict)
        bodies = (
            wanted is None
            or not {"parameters", "result"}.isdisjoint(wanted)
            or bool(user_columns.own_columns("tool_calls"))
        )
        frame, lost = self._tool_calls.frame(
            self._spans(TOOL, trace_id, kinds, moment), self._read(tool_call_of), bodies, strict
        )
        return _given(frame, "tool_calls", wanted, lost)

    def problems_df(
        self, *, columns: Names = None, kind: Names = None, since: Since = None, strict: bool = False
    ) -> pd.DataFrame:
        """One row for everything that could not be read: file, line, byte offset, reason, field, the start of the line.

        `columns, kind, since, strict` as said of `Frames`; the columns are `anb.columns("problems")`. A problem has the kind
        and time of the span that its line became. Where it became none nobody knows them, and `kind` and `since` keep it.
        """
        wanted = filters.chosen(columns, user_columns.names("problems"), "problems_df")
        kinds, moment = self._asked(kind, since)
        self._check(kinds, moment, strict)
        return _given(problems_frame(self._problems(kinds, moment)), "problems", wanted)

    def to_parquet(self, directory: str | os.PathLike[str], *, redact: bool = True) -> int:
        """Update an archive, a Delta table partitioned by day and project, to the spans that were read.

        New runs and runs that have changed are written, in one transaction; runs of other traces stay. Repeating the call
        changes nothing. `anb.scan(directory)` reads the archive. It contains your notes, but no texts of messages and results.

        Args:
            directory: folder of the archive; it is created if missing.
            redact: replace keys and passwords in names, errors and notes.

        Returns:
            The number of rows that are new or have changed.

        Raises:
            ArchiveError: deltalake is not installed (`pip install 'anton-notebook[archive]'`), or the folder cannot be read.
        """
        first = self.reader.paths[0]
        spans = _redacted(self.spans_df()) if redact else self.spans_df()
        return delta_table.append(spans, directory, first if os.path.isdir(first) else os.path.dirname(first))

    def _asked(self, kind: Names, since: Since) -> tuple[list[str] | None, int | None]:
        return filters.kinds_of(kind, self.store.kinds), filters.moment(since, self.reader.zone)

    def _check(self, kinds: Collection[str] | None, since: int | None, strict: bool) -> None:
        if not strict or not self.reader.problems.count:
            return
        found = self._problems(kinds, since)
        count = self.reader.problems.count if kinds is None and since is None else len(found)
        if found:
            first = found[0]
            place = f", line {first.line}" if first.line is not None else ""
            field = f", field {first.field}" if first.field else ""
            text = f"{count:,} thing{'s' if count > 1 else ''} could not be read, the first in {first.source}{place}{field}"
            hint = "problems_df() lists them; without strict=True they are left out"
            raise Unreadable(f"{text}: {first.reason}; {hint}", count)

    def _problems(self, kinds: Collection[str] | None, since: int | None) -> list[Problem]:
        problems = self.reader.problems.rows()
        if not problems or (kinds is None and since is None):
            return problems
        store = self.store
        with store.lock:
            rows = store.live_rows()
            lines = zip(store.c.file[rows].tolist(), store.c.line[rows].tolist(), strict=True)
            at = {(store.files[file].path, line): row for (file, line), row in zip(lines, rows.tolist(), strict=True)}
            wrong = set(rows.tolist())
            if kinds is not None:
                wrong -= set(self._rows(kinds).tolist())
                wrong = wrong if since is None else wrong | self._before(rows, since)
            else:
                wrong = self._before(rows, since or 0)
        return [p for p in problems if p.line is None or at.get((p.source, p.line)) not in wrong]

    def _before(self, rows: Int32, since: int) -> set[int]:
        return set(rows[~np.asarray(filters.later(self.store.c.start[rows], since))].tolist())

    def _rows(self, kinds: Collection[str]) -> Int32:
        """The store's rows of some kinds."""
        store = self.store
        rows = store.live_rows()
        codes = [code for code, name in enumerate(store.kinds) if name in kinds]
        return rows[np.isin(store.class_kind[store.c.cls[rows]], codes)]

    def _read(self, what: Callable[[Span], Body]) -> Callable[[int], Body]:
        traces: Any = self
        return lambda row: what(Span(traces, row))

    def _spans(
        self, of: str, trace_id: str | None, kinds: Collection[str] | None = None, since: int | None = None
    ) -> Int32:
        """The store's rows of the spans of one kind that are asked for, in the order of `spans_df`."""
        traces: Any = self
        holder: Traces = traces
        wanted = None if trace_id is None else holder[trace_id].trace_id
        store = self.store
        with store.lock:
            rows = self._frame.rows()
            codes = [code for code, name in enumerate(store.kinds) if name == of and (kinds is None or of in kinds)]
            keep: Any = np.isin(store.class_kind[store.c.cls[rows]], codes)
            if wanted is not None:
                keep &= store.c.trace[rows] == store.find_trace(wanted)
            if since is not None:
                keep &= filters.later(store.c.start[rows], since)
            found: Int32 = rows[keep]
            return found

    def _source_of(self, info: TraceInfo) -> str | None:
        store = self.store
        row = info.first_call
        file = int(store.c.file[row]) if row >= 0 else -1
        if file < 0:
            rows = np.flatnonzero((store.c.trace[: store.size] == info.code) & (store.c.file[: store.size] >= 0))
            file = int(store.c.file[rows[0]]) if len(rows) else -1
        return store.files[file].path if file >= 0 else None


def messages_of(span: Span) -> list[Message]:
    """The messages of a call to a model, the answer last; `BodyUnavailable` where they are no longer on disk."""
    record = span.record
    texts: list[tuple[str, Any, bool]] = []
    with contextlib.suppress(NotRerunnable):
        request = span.request_of(record)
        texts += [("system", request.system, False)] if request.system else []
        texts += [(str(m.get("role")), m, False) for m in request.messages]
    answer = record.get("response")
    if answer not in (None, ""):
        texts.append(("assistant", answer, True))
    return [
        Message(role, text_of(content) if isinstance(content, Mapping) else as_text(content), is_response)
        for role, content, is_response in texts
    ]


def tool_call_of(span: Span) -> tuple[Any, Any]:
    """Parameters and result of a tool call, as recorded; `BodyUnavailable` where they are no longer on disk."""
    record = span.record
    return record.get("parameters"), record.get("result")


def _given(frame: pd.DataFrame, of: str, wanted: Sequence[str] | None, unavailable: int | None = None) -> pd.DataFrame:
    if user_columns.own_columns(of):
        frame = user_columns.add_user_columns(frame, of, wanted)
    if wanted is not None:
        frame = frame[wanted]
    if unavailable is not None:
        frame.attrs[KEY] = {"table": of, "unavailable": unavailable}
    return frame


def _micros(times: Any) -> Any:
    return times.dt.tz_localize(None).to_numpy(dtype="M8[us]").view(np.int64)
