"""All traces under a path, and the ways to open one."""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import tzinfo
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import numpy as np

from anton_notebook import pricing
from anton_notebook.api.spans import Span, Trace
from anton_notebook.errors import NotRerunnable, TraceNotFound, near
from anton_notebook.sources import Reader
from anton_notebook.sources.conversations import text_of
from anton_notebook.sources.export import export
from anton_notebook.sources.live import Live, follow
from anton_notebook.span import LLM, TOOL
from anton_notebook.store import Store, TraceInfo
from anton_notebook.tables import MESSAGES, TOOL_CALLS, SpansFrame, as_text, build, problems_frame, runs_frame

if TYPE_CHECKING:
    import pandas as pd

PathLike = str | os.PathLike[str]
EXPERIMENTS = ("rerun", "replay")


class Traces:
    """All runs under a path. Made by `read_traces`; a context manager; `close()` ends the following."""

    def __init__(
        self,
        paths: Sequence[PathLike],
        zone: tzinfo | None,
        home: Path | None,
        wait: bool,
        all_repositories: bool = False,
    ) -> None:
        self.store = Store(pricing.cost_array)
        self.reader = Reader(paths, self.store, zone=zone, home=home, wait=wait, all_repositories=all_repositories)
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
        return (
            isinstance(trace_id, str)
            and (code := self.store.find_trace(trace_id)) is not None
            and self.store.traces[code].spans > 0
        )

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
            record = span.record
            texts: list[tuple[str, Any, bool]] = []
            with contextlib.suppress(NotRerunnable):
                request = span.request
                texts += [("system", request.system, False)] if request.system else []
                texts += [(str(m.get("role")), m, False) for m in request.messages]
            answer = record.get("response")
            if answer not in (None, ""):
                texts.append(("assistant", answer, True))
            for position, (role, content, is_response) in enumerate(texts):
                text = text_of(content) if isinstance(content, Mapping) else as_text(content)
                rows.append(
                    {
                        "trace_id": span.trace_id,
                        "span_id": span.span_id,
                        "position": position,
                        "role": role,
                        "agent": span.agent,
                        "text": text,
                        "chars": len(text),
                        "is_response": is_response,
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
                    "trace_id": span.trace_id,
                    "span_id": span.span_id,
                    "parent_id": above.span_id if above else None,
                    "agent": span.agent,
                    "name": span.name,
                    "parameters": record.get("parameters"),
                    "result": record.get("result"),
                    "status": span.status,
                    "start": None if span.start is None else self.store.c.start[span.row],
                    "duration_ms": span.duration_ms,
                    "error": span.error,
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

    def export(
        self, path: PathLike, trace_id: str | None = None, *, redact: Callable[[str], str] | None = None
    ) -> Path:
        """Writes one run, or all of them, as lines with ids into a new file that `read_traces` gives the same spans from.

        `redact` is applied to every text before it is written, ids and times excepted. Returns the file's path. Raises
        FileExistsError (an export overwrites nothing), `PathNotFound` for a missing folder, `TraceNotFound`, and
        `BodyUnavailable` where a text is no longer on disk.
        """
        where = Path(path).expanduser()
        codes = [info.code for info in self.store.traces if info.spans]
        if trace_id is not None:
            wanted = self[trace_id].trace_id
            codes = [code for code in codes if self.store.traces[code].trace_id == wanted]
        export(self.store, where, codes, redact)
        return where

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

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        said = self.reader.problems.sentence()
        where = ", ".join(self.reader.paths)
        return f"<Traces of {where}: {len(self)} runs{', ' + said if said else ''}>"


_shared: weakref.WeakValueDictionary[tuple[object, ...], Traces] = weakref.WeakValueDictionary()
_shared_lock = threading.Lock()


def read_traces(
    path: PathLike | Sequence[PathLike],
    follow: bool = False,
    tz: str | tzinfo | None = None,
    home: PathLike | None = None,
    all_repositories: bool = False,
) -> Traces:
    """Reads all traces under a path.

    `path`: a repository that anton has worked on, its `.modular-agents` folder, a folder of `*.jsonl` files, one file (of lines, of
    OpenTelemetry's spans, or the database of anton's proxy), or a list. With a repository the proxy's database at its default
    place is read too, as far as its tasks are that repository's; `all_repositories=True` shows the others as well.
    `follow=True` keeps reading in a background thread (one for a path, however often it is opened) until `close()`.
    `tz`: the zone of times that say none (a name or a `tzinfo`; default: the machine's). `home`: where what we write is kept.

    Raises `PathNotFound` (a FileNotFoundError) and `NotATrace` (a ValueError).

    >>> import anton_notebook as anb, pathlib, tempfile
    >>> folder = pathlib.Path(tempfile.mkdtemp()); _ = (folder / "t.jsonl").write_text(
    ...     '{"timestamp": "2026-01-01T00:00:00Z", "agent_name": "orchestrator", "trace_id": "t", "span_id": "s", '
    ...     '"parent_id": null, "span_type": "llm_call", "model": "gpt-4o", "provider": "openai", "duration_ms": 5.0}\\n')
    >>> anb.read_traces(folder).runs_df()[["trace_id", "spans", "status"]].values.tolist()
    [['t', 1, 'ok']]
    """
    return open_traces(path, following=follow, tz=tz, home=home, all_repositories=all_repositories)


def open_traces(
    path: PathLike | Sequence[PathLike],
    *,
    following: bool,
    tz: str | tzinfo | None = None,
    home: PathLike | None = None,
    wait: bool | None = None,
    all_repositories: bool = False,
) -> Traces:
    """As `read_traces`; with `wait` the first pass over the files is left to the thread."""
    paths = [path] if isinstance(path, str | os.PathLike) else list(path)
    zone = ZoneInfo(tz) if isinstance(tz, str) else tz
    kept = Path(home) if home is not None else None
    if not following:
        traces = Traces(paths, zone, kept, False, all_repositories).hold()
        traces.reader.scan()
        return traces
    key = (
        tuple(os.path.realpath(os.path.expanduser(os.fspath(p))) for p in paths),
        str(zone),
        str(kept),
        all_repositories,
    )
    with _shared_lock:
        known = _shared.get(key)
        if known is not None and known.live is not None and not known.live.closed:
            return known.hold()
        traces = Traces(paths, zone, kept, True, all_repositories).hold()
        _shared[key] = traces
    if not wait:
        traces.reader.scan()
    traces.live = follow(traces.reader)
    return traces
