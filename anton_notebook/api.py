"""What users hold: all traces under a path, one trace, one span."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta, timezone, tzinfo
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from anton_notebook import pricing
from anton_notebook.errors import TraceNotFound, near
from anton_notebook.sources import Reader
from anton_notebook.sources.conversations import text_of
from anton_notebook.sources.live import Live, follow
from anton_notebook.span import LLM, NAT, TOOL, Flag
from anton_notebook.store import RunFigures, Store, TraceInfo
from anton_notebook.tables import MESSAGES, TOOL_CALLS, SpansFrame, as_text, build, problems_frame, runs_frame

if TYPE_CHECKING:
    from anton_notebook.request import Request, Response

PathLike = str | os.PathLike[str]
EXPERIMENTS = ("rerun", "replay")


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
        self.duration_ms = None if light.duration == NAT else light.duration / 1000.0
        self.end = None if NAT in (light.start, light.duration) else _when(light.start + light.duration)
        self.input_tokens, self.output_tokens, self.cached_tokens = light.usage
        self.tokens_estimated = bool(light.flags & Flag.ESTIMATED)
        self.cost_usd, self.recorded_cost_usd = light.cost_usd, light.recorded_cost_usd

    @property
    def row(self) -> int:
        """Its number in the store, which the page knows it by."""
        return self._row

    @property
    def record(self) -> Mapping[str, Any]:
        """The whole record as it stands on disk; `BodyUnavailable` where it does no longer."""
        if self._light.file < 0:
            return {}
        return self._traces.store.files[self._light.file].loader(self._light.offset, self._light.length)

    @property
    def request(self) -> Request:
        """Everything that went to the model; `NotRerunnable` on a span that is no LLM call."""
        from anton_notebook.errors import NotRerunnable
        from anton_notebook.request import Request

        if self.kind != LLM:
            calls = [f"{child.span_id!r} ({child.model})" for child in self.walk() if child.kind == LLM][:5]
            below = f"; LLM calls below it: {', '.join(calls)}" if calls else "; there is no LLM call below it"
            raise NotRerunnable(f"span {self.span_id!r} is {self.kind} {self.name!r} and no LLM call, so it has no request{below}")
        return Request.from_record(self.record, self._traces.store.files[self._light.file].kind)

    @property
    def response(self) -> Response:
        """What the model answered; `NotRerunnable` on a span that is no LLM call."""
        from anton_notebook.errors import NotRerunnable
        from anton_notebook.request import Response

        if self.kind != LLM:
            raise NotRerunnable(f"span {self.span_id!r} is {self.kind} {self.name!r} and no LLM call, so it has no response")
        return Response.from_record(self.record)

    @property
    def attributes(self) -> dict[str, Any]:
        """Every key of the record that is no column, and the provider and parent as they were recorded."""
        record = dict(self.record)
        out = {key: value for key, value in record.items() if key not in _COLUMNS}
        if record:
            out["recorded_parent_id"] = record.get("parent_id")
            out["recorded_provider"] = record.get("provider")
        return out

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

    def __repr__(self) -> str:
        took = "" if self.duration_ms is None else f", {self.duration_ms:,.0f} ms"
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

    def spans_df(self) -> pd.DataFrame:
        """The rows of `Traces.spans_df` that are this run's."""
        frame = self._traces.spans_df(experiments=True)
        return frame[frame["trace_id"] == self.trace_id].reset_index(drop=True)

    def messages_df(self) -> pd.DataFrame:
        """The rows of `Traces.messages_df` that are this run's."""
        return self._traces.messages_df(self.trace_id)

    def __repr__(self) -> str:
        run = self.figures
        cost = "" if run["cost_usd"] is None else f", {'≥ ' if run['unpriced_calls'] else ''}${run['cost_usd']:,.4f}"
        return f"<Trace {self.name or self.trace_id!r} {self.status}, {run['spans']} spans{cost}>"


class Traces:
    """All runs under a path. Made by `read_traces`; a context manager; `close()` ends the following."""

    def __init__(self, paths: Sequence[PathLike], zone: tzinfo | None, home: Path | None, wait: bool) -> None:
        self.store = Store(pricing.cost_array)
        self.reader = Reader(paths, self.store, zone=zone, home=home, wait=wait)
        self.live: Live | None = None
        self._frame = SpansFrame(self.store, pricing.cost_source)
        self._priced = pricing.version
        self._holders = 0
        self._lock = threading.Lock()

    @property
    def home(self) -> Path:
        """Where what we write about these runs is kept."""
        return self.reader.home

    def __getitem__(self, trace_id: str) -> Trace:
        code = self.store.find_trace(trace_id)
        if code is None or not self.store.traces[code].spans:
            known = [info.trace_id for info in self.store.traces if info.spans]
            raise TraceNotFound(f"no trace {trace_id!r}{near(trace_id, known) or '; runs_df() lists them'}")
        return Trace(self, self.store.traces[code])

    def __iter__(self) -> Iterator[Trace]:
        return iter([Trace(self, info) for info in self.store.traces if info.spans])

    def __len__(self) -> int:
        return sum(1 for info in self.store.traces if info.spans)

    def __contains__(self, trace_id: object) -> bool:
        return isinstance(trace_id, str) and (code := self.store.find_trace(trace_id)) is not None and self.store.traces[code].spans > 0

    def _ipython_key_completions_(self) -> list[str]:
        return [info.trace_id for info in self.store.traces if info.spans]

    def span(self, span_id: str, trace_id: str | None = None) -> Span:
        """One span by id. `SpanNotFound` (a KeyError) names near misses, `AmbiguousSpan` the traces that have the id."""
        return Span(self, self.store.row_of(span_id, trace_id))

    def spans_df(self, *, experiments: bool = True) -> pd.DataFrame:
        """One row a span, by start; the columns are `tables.SPANS`. Rows of agents have no cost or tokens of their own.

        With `experiments=False` without the spans of reruns and replays.
        """
        if self._priced != pricing.version:
            self._priced = pricing.version
            self.store.reprice()
            self.store.commit()
        frame = self._frame.frame()
        if experiments:
            return frame
        tries = {info.trace_id for info in self.store.traces if info.origin in EXPERIMENTS}
        return frame[~frame["trace_id"].isin(tries)].reset_index(drop=True) if tries else frame

    def runs_df(self, *, experiments: bool = False) -> pd.DataFrame:
        """One row a run, oldest first. Reruns and replays only with `experiments=True`."""
        with self.store.lock:
            shown = [i for i in self.store.traces if i.spans and (experiments or i.origin not in EXPERIMENTS)]
            return runs_frame([(info.figures(), self._source_of(info)) for info in shown])

    def _source_of(self, info: TraceInfo) -> str | None:
        store = self.store
        row = info.first_call
        file = int(store.c.file[row]) if row >= 0 else -1
        if file < 0:
            rows = np.flatnonzero((store.c.trace[: store.size] == info.code) & (store.c.file[: store.size] >= 0))
            file = int(store.c.file[rows[0]]) if len(rows) else -1
        return store.files[file].path if file >= 0 else None

    def messages_df(self, trace_id: str | None = None) -> pd.DataFrame:
        """One row a message of every LLM call, the answer last (`is_response`). Reads the texts from disk."""
        rows: list[dict[str, Any]] = []
        for span in self._spans(LLM, trace_id):
            request = span.request
            texts = [("system", request.system, False)] if request.system else []
            texts += [(str(m.get("role")), m, False) for m in request.messages]
            answer = span.record.get("response")
            if answer not in (None, ""):
                texts.append(("assistant", answer, True))
            for position, (role, content, is_response) in enumerate(texts):
                text = text_of(content) if isinstance(content, Mapping) else as_text(content)
                rows.append(
                    {
                        "trace_id": span.trace_id, "span_id": span.span_id, "position": position, "role": role,
                        "agent": span.agent, "text": text, "chars": len(text), "is_response": is_response,
                    }  # fmt: skip
                )
        return build(MESSAGES, rows)

    def tool_calls_df(self, trace_id: str | None = None) -> pd.DataFrame:
        """One row a tool call, with its parameters and result as they were recorded. Reads them from disk."""
        rows = []
        for span in self._spans(TOOL, trace_id):
            record, above = span.record, span.parent
            rows.append(
                {
                    "trace_id": span.trace_id, "span_id": span.span_id, "parent_id": above.span_id if above else None,
                    "agent": span.agent, "name": span.name, "parameters": record.get("parameters"),
                    "result": record.get("result"), "status": span.status, "start": None if span.start is None else self.store.c.start[span.row],
                    "duration_ms": span.duration_ms, "error": span.error,
                }  # fmt: skip
            )
        return build(TOOL_CALLS, rows)

    def problems_df(self) -> pd.DataFrame:
        """One row for everything that could not be read: file, line, byte offset, reason, field, the start of the line."""
        return problems_frame(self.reader.problems.rows())

    def _spans(self, kind: str, trace_id: str | None) -> Iterator[Span]:
        wanted = None if trace_id is None else self[trace_id].trace_id
        store = self.store
        with store.lock:
            rows = store.live_rows()
            codes = [code for code, name in enumerate(store.kinds) if name == kind]
            rows = rows[np.isin(store.class_kind[store.c.cls[rows]], codes)]
            if wanted is not None:
                rows = rows[store.c.trace[rows] == store.find_trace(wanted)]
            rows = rows[np.argsort(store.c.start[rows], kind="stable")]
        for row in rows.tolist():
            yield Span(self, row)

    def refresh(self) -> bool:
        """Reads what is new on disk now. True where anything was. A followed path is read by itself."""
        return self.reader.scan()

    def hold(self) -> Traces:
        """Counts one more holder; each ends with `close`."""
        with self._lock:
            self._holders += 1
        return self

    def close(self) -> None:
        """Lets go. The last holder's `close` ends the thread and the open files; frames and spans stay readable."""
        with self._lock:
            self._holders -= 1
            if self._holders > 0:
                return
            live, self.live = self.live, None
        with _shared_lock:
            for key, traces in list(_shared.items()):
                if traces is self:
                    del _shared[key]
        if live is not None:
            live.close()
        self.reader.close()

    def __enter__(self) -> Traces:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        said = self.reader.problems.sentence()
        where = ", ".join(self.reader.paths)
        return f"<Traces of {where}: {len(self)} runs{', ' + said if said else ''}>"


_shared: weakref.WeakValueDictionary[tuple[object, ...], Traces] = weakref.WeakValueDictionary()
_shared_lock = threading.Lock()


def read_traces(
    path: PathLike | Sequence[PathLike], follow: bool = False, tz: str | tzinfo | None = None, home: PathLike | None = None
) -> Traces:
    """Reads all traces under a path.

    `path`: a repository that anton has worked on, its `.modular-agents` folder, a folder of `*.jsonl` files, one file, or a list.
    `follow=True` keeps reading in a background thread (one for a path, however often it is opened) until `close()`.
    `tz`: the zone of times that say none (a name or a `tzinfo`; default: the machine's). `home`: where what we write is kept.

    Raises `PathNotFound` (a FileNotFoundError) and `NotATrace` (a ValueError).

    >>> import anton_notebook as anb, pathlib, tempfile
    >>> folder = pathlib.Path(tempfile.mkdtemp()); _ = (folder / "t.jsonl").write_text(
    ...     '{"timestamp": "2026-01-01T00:00:00Z", "agent_name": "orchestrator", "trace_id": "t", "span_id": "s", "parent_id": null, '
    ...     '"span_type": "llm_call", "model": "gpt-4o", "provider": "openai", "duration_ms": 5.0}\\n')
    >>> anb.read_traces(folder).runs_df()[["trace_id", "spans", "status"]].values.tolist()
    [['t', 1, 'ok']]
    """
    return open_traces(path, following=follow, tz=tz, home=home)


def open_traces(
    path: PathLike | Sequence[PathLike],
    *,
    following: bool,
    tz: str | tzinfo | None = None,
    home: PathLike | None = None,
    wait: bool | None = None,
) -> Traces:
    """As `read_traces`; with `wait` the first pass over the files is left to the thread."""
    paths = [path] if isinstance(path, str | os.PathLike) else list(path)
    zone = ZoneInfo(tz) if isinstance(tz, str) else tz
    kept = Path(home) if home is not None else None
    if not following:
        traces = Traces(paths, zone, kept, wait=False).hold()
        traces.reader.scan()
        return traces
    key = (tuple(os.path.realpath(os.path.expanduser(os.fspath(p))) for p in paths), str(zone), str(kept))
    with _shared_lock:
        known = _shared.get(key)
        if known is not None and known.live is not None and not known.live.closed:
            return known.hold()
        traces = Traces(paths, zone, kept, wait=True).hold()
        _shared[key] = traces
    if not wait:
        traces.reader.scan()
    traces.live = follow(traces.reader)
    return traces


def _when(micros: int) -> datetime | None:
    if micros == NAT:
        return None
    try:
        return datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(microseconds=micros)
    except OverflowError:
        return None


_COLUMNS = frozenset(
    "timestamp agent_name tool_name trace_id span_id parent_id span_type event_type duration_ms tokens cost_usd messages response "
    "error parameters result system_prompt".split()
)
