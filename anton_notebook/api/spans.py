"""One span and one run, as users hold them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from anton_notebook.api.run_tree import RunTree, graph_of
from anton_notebook.errors import BodyUnavailable, NotRerunnable
from anton_notebook.model.formatting import format_duration, format_usd
from anton_notebook.model.html_repr import html_facts
from anton_notebook.model.request import Request, Response
from anton_notebook.model.span import LLM, NAT, Flag
from anton_notebook.store import RunFigures, TraceInfo, note_of
from anton_notebook.tables.filters import Names, Since

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from anton_notebook.api.traces import Traces


class Place(NamedTuple):
    """Where a line lies: `offset` and `length` in bytes."""

    path: str
    offset: int
    length: int


class Span:
    """One call, or one agent's work. Light fields are attributes; texts are read from disk when they are asked for.

    `trace_id, span_id, kind, agent, name, status, provider, model, finish_reason, error` are text (None where unknown),
    `start` and `end` UTC datetimes, `duration_ms` milliseconds, `input_tokens, output_tokens, cached_tokens` counts,
    `cost_usd` and `recorded_cost_usd` US dollars (NaN unknown).
    """

    def __init__(self, traces: Traces, row: int) -> None:
        light = traces.store.span(row)
        self._traces, self._row, self._light = traces, row, light
        self.trace_id, self.span_id, self.kind, self.status = light.trace_id, light.span_id, light.kind, light.status
        self.agent: str | None = light.agent or None
        self.name: str | None = light.name or None
        self.provider: str | None = light.provider or None
        self.model: str | None = light.model or None
        self.finish_reason: str | None = light.finish_reason or None
        self.error = light.error
        self.start = _when(light.start)
        self.start_us = None if light.start == NAT else light.start
        self.duration_ms = None if light.duration == NAT else light.duration / 1000.0
        self.end = None if NAT in (light.start, light.duration) else _when(light.start + light.duration)
        self.usage = light.usage
        self.input_tokens, self.output_tokens, self.cached_tokens = light.usage[:3]
        self.tokens_estimated = bool(light.flags & Flag.ESTIMATED)
        self.cost_usd, self.recorded_cost_usd = light.cost_usd, light.recorded_cost_usd

    @property
    def row(self) -> int:
        """Its number in the store, which the page knows it by."""
        return self._row

    @property
    def home(self) -> Path:
        """Where what we write about its run is kept: re-runs, replays, answers."""
        return self._traces.home

    @property
    def record(self) -> Mapping[str, Any]:
        """The whole record as it stands on disk; `BodyUnavailable` where it does no longer."""
        if self._light.file < 0:
            return {}
        file = self._traces.store.files[self._light.file]
        found = file.loader(self._light.offset, self._light.length)
        said = found.get("span_id")
        if file.kind == "jsonl" and isinstance(said, str) and said != self.span_id and said.isascii():
            where = f"{file.path} at byte {self._light.offset}"
            raise BodyUnavailable(f"{where} no longer holds span {self.span_id!r}: it was written anew in place")
        return found

    @property
    def place(self) -> Place | None:
        """Where its line lies on disk, in bytes; None where it is no line of a text file."""
        file = None if self._light.file < 0 else self._traces.store.files[self._light.file]
        if file is None or file.kind != "jsonl":
            return None
        return Place(file.path, self._light.offset, self._light.length)

    @property
    def request(self) -> Request:
        """Everything that went to the model; `NotRerunnable` on a span that is no LLM call."""
        return self.request_of(None)

    def request_of(self, record: Mapping[str, Any] | None) -> Request:
        """Inner: the request of a record that was read already, or of the one on disk."""
        if self.kind != LLM:
            calls = [f"{child.span_id!r} ({child.model})" for child in self.walk() if child.kind == LLM][:5]
            below = f"; LLM calls below it: {', '.join(calls)}" if calls else "; there is no LLM call below it"
            raise NotRerunnable(
                f"span {self.span_id!r} is {self.kind} {self.name!r} and no LLM call, so it has no request{below}"
            )
        store = self._traces.store
        own = store.own.get(self._row)
        kind = own.source_kind if own is not None else None
        return Request.from_record(
            self.record if record is None else record, kind or store.files[self._light.file].kind
        )

    @property
    def response(self) -> Response:
        """What the model answered; `NotRerunnable` on a span that is no LLM call."""
        if self.kind != LLM:
            raise NotRerunnable(
                f"span {self.span_id!r} is {self.kind} {self.name!r} and no LLM call, so it has no response"
            )
        return Response.from_record(self.record)

    @property
    def note(self) -> str | None:
        """What the user has noted about it (`traces.note`)."""
        return note_of(self._traces.store, self._row).text or None

    @property
    def mark(self) -> str | None:
        """What the user has marked it as: `good`, `bad`, `question`, `important`."""
        return note_of(self._traces.store, self._row).mark or None

    @property
    def attributes(self) -> dict[str, Any]:
        """Every key of the record that is no column, the source's own attributes among them, and the provider and parent as they
        were recorded."""
        record = dict(self.record)
        mark = record.get("anton_notebook")
        own = record.pop("attributes", None) or (mark.get("attributes") if isinstance(mark, Mapping) else None)
        out = {key: value for key, value in record.items() if key not in _COLUMNS}
        if isinstance(mark, Mapping) and "attributes" in mark:
            out["anton_notebook"] = {key: value for key, value in mark.items() if key != "attributes"}
        if isinstance(own, Mapping):
            out |= own
        elif own is not None:
            out["attributes"] = own
        if record:
            out.setdefault("recorded_parent_id", record.get("parent_id"))
            out.setdefault("recorded_provider", record.get("provider"))
        return out

    @property
    def module(self) -> dict[str, Any] | None:
        """What the repository's `knowledge.json` says of the module that this span's agent works on; None where it says nothing.

        Keys: `name`, `path`, `purpose`, `language`, `dependencies` (names of modules).
        """
        return self._traces.reader.beside.module_of(self.agent or "")

    @property
    def parent(self) -> Span | None:
        """The span above it; None for the root."""
        above = self._light.parent
        if above < 0 or self._traces.store.c.flags[above] & Flag.PENDING:
            return None
        return Span(self._traces, above)

    @property
    def children(self) -> list[Span]:
        """The spans right below it, by start."""
        return [Span(self._traces, int(row)) for row in self._traces.store.children(self._row)]

    def walk(self) -> Iterator[Span]:
        """The span and all below it, parents first."""
        stack = [self]
        while stack:
            span = stack.pop()
            yield span
            stack.extend(reversed(span.children))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Span) and (self.trace_id, self.span_id) == (other.trace_id, other.span_id)

    def __hash__(self) -> int:
        return hash((self.trace_id, self.span_id))

    def _repr_html_(self) -> str:
        tokens = None
        if self.input_tokens is not None or self.output_tokens is not None:
            tokens = f"{self.input_tokens or 0:,} in, {self.output_tokens or 0:,} out"
        return html_facts(
            self.name or self.kind,
            self.kind,
            {
                "status": self.status,
                "agent": self.agent,
                "model": self.model,
                "started": None if self.start is None else f"{self.start:%Y-%m-%d %H:%M:%S} UTC",
                "duration": None if self.duration_ms is None else format_duration(self.duration_ms),
                "tokens": f"{tokens} (estimated)" if tokens and self.tokens_estimated else tokens,
                "cost": None if math.isnan(self.cost_usd) else format_usd(self.cost_usd),
                "error": self.error,
                "span": self.span_id,
                "trace": self.trace_id,
            },
        )

    def __repr__(self) -> str:
        took = "" if self.duration_ms is None else f", {format_duration(self.duration_ms)}"
        return f"<Span {self.kind} {self.name!r} {self.status}{took} span_id={self.span_id!r}>"


class Trace:
    """One run of a task: a mapping-like view of its spans."""

    def __init__(self, traces: Traces, info: TraceInfo) -> None:
        self._traces, self._info = traces, info
        self.trace_id = info.trace_id

    @property
    def name(self) -> str | None:
        """What the run's task is called."""
        return self._info.name or None

    @property
    def figures(self) -> RunFigures:
        """The run's row of figures (times in microseconds since 1970 UTC)."""
        return self._traces.store.run(self._info.code)

    @property
    def status(self) -> str:
        """running, ok or error."""
        return self._info.status

    @property
    def root(self) -> Span | None:
        """The orchestrator's span, or the first one without a parent."""
        store = self._traces.store
        with store.lock:
            c = store.c
            rows = np.flatnonzero((c.trace[: store.size] == self._info.code) & (c.parent[: store.size] < 0))
            rows = rows[(c.flags[rows] & np.uint8(Flag.DEAD | Flag.PENDING)) == 0]
            if not len(rows):
                return None
            first = min(rows.tolist(), key=lambda row: (store.class_kind[c.cls[row]], c.start[row], store.ids[row]))
        return Span(self._traces, first)

    @property
    def spans(self) -> list[Span]:
        """All spans, by start."""
        frame = self.spans_df()
        return [self.span(span_id) for span_id in frame["span_id"]]

    def span(self, span_id: str) -> Span:
        """One span of this run."""
        return self._traces.span(span_id, self.trace_id)

    def spans_df(
        self,
        *,
        columns: Names = None,
        kind: Names = None,
        since: Since = None,
        strict: bool = False,
        status: Names = None,
        agent: Names = None,
        model: Names = None,
    ) -> pd.DataFrame:
        """The rows of `Traces.spans_df` of this run."""
        return self._traces.spans_df(
            columns=columns, kind=kind, since=since, strict=strict, status=status, agent=agent, model=model,
            run=self.trace_id,
        )  # fmt: skip

    def messages_df(
        self, *, columns: Names = None, kind: Names = None, since: Since = None, strict: bool = False
    ) -> pd.DataFrame:
        """The rows of `Traces.messages_df` that are this run's."""
        return self._traces.messages_df(self.trace_id, columns=columns, kind=kind, since=since, strict=strict)

    def tool_calls_df(
        self, *, columns: Names = None, kind: Names = None, since: Since = None, strict: bool = False
    ) -> pd.DataFrame:
        """The rows of `Traces.tool_calls_df` that are this run's."""
        return self._traces.tool_calls_df(self.trace_id, columns=columns, kind=kind, since=since, strict=strict)

    def tree(self) -> RunTree:
        """The run as an indented tree of spans with status, duration, tokens and cost; as text and as HTML."""
        return RunTree(self.name or self.trace_id, self.spans_df())

    def to_networkx(self) -> Any:
        """The run as a networkx DiGraph: nodes are span ids with the columns of `spans_df()`, edges lead to children."""
        return graph_of(self.spans_df())

    def line(self) -> list[str]:
        """Inner: the run as a line of the list of runs."""
        run, start = self.figures, _when(self.figures["start"]) if self.figures["start"] is not None else None
        tokens = (run["input_tokens"] or 0) + (run["output_tokens"] or 0)
        cost = "" if run["cost_usd"] is None else format_usd(run["cost_usd"], bool(run["unpriced_calls"]))
        return [
            self.name or "–", self.status, "" if start is None else f"{start:%Y-%m-%d %H:%M:%S}", f"{run['spans']:,}",
            f"{run['llm_calls'] + run['tool_calls']:,}", f"{run['errors']:,}", f"{tokens:,}", cost, self.trace_id,
        ]  # fmt: skip

    def _repr_html_(self) -> str:
        run = self.figures
        return html_facts(
            self.name or self.trace_id,
            "run" if run["origin"] == "run" else run["origin"],
            {
                "status": self.status,
                "progress": run["progress"],
                "spans": f"{run['spans']:,} ({run['llm_calls']:,} calls to models, {run['tool_calls']:,} to tools)",
                "errors": f"{run['errors']:,}",
                "tokens": f"{run['input_tokens'] or 0:,} in, {run['output_tokens'] or 0:,} out",
                "cost": None if run["cost_usd"] is None else format_usd(run["cost_usd"], bool(run["unpriced_calls"])),
                "trace": self.trace_id,
            },
        )

    def __repr__(self) -> str:
        run = self.figures
        cost = "" if run["cost_usd"] is None else f", {format_usd(run['cost_usd'], bool(run['unpriced_calls']))}"
        return f"<Trace {self.name or self.trace_id!r} {self.status}, {run['spans']} spans{cost}>"


def _when(micros: int) -> datetime | None:
    if micros == NAT:
        return None
    try:
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)
    except OverflowError:
        return None


_COLUMNS = frozenset(
    "timestamp agent_name tool_name trace_id span_id parent_id span_type event_type duration_ms tokens cost_usd messages response "
    "error parameters result system_prompt".split()
)
