"""All traces under a path, and the ways to open one."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import tzinfo
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from anton_notebook import pricing
from anton_notebook.api.annotation_db import Notes, checked
from anton_notebook.api.dataframes import EXPERIMENTS, Frames
from anton_notebook.api.spans import Span, Trace
from anton_notebook.errors import NotATrace, NoteError, PathNotFound, TraceNotFound, did_you_mean
from anton_notebook.model.html_repr import html_table
from anton_notebook.model.span import NAT, Problem
from anton_notebook.redact import Redactor
from anton_notebook.sources import places
from anton_notebook.sources.export import export
from anton_notebook.sources.follower import Follower, follow
from anton_notebook.sources.reader import Reader
from anton_notebook.store import Note, Store
from anton_notebook.store.annotations import take
from anton_notebook.tables import MessagesFrame, SpansFrame, ToolCallsFrame
from anton_notebook.tables.description import describe
from anton_notebook.tables.user_columns import UserColumnCache

if TYPE_CHECKING:
    import pandas as pd

PathLike = str | os.PathLike[str]
LISTED = 12
__all__ = ["EXPERIMENTS", "PathLike", "Traces", "open_traces", "read_traces"]


class Traces(Frames):
    """All runs under a path. Made by `read_traces`; a context manager; `close()` ends the following. For frames see `Frames`."""

    def __init__(
        self,
        paths: Sequence[PathLike],
        zone: tzinfo | None,
        home: Path | None,
        wait: bool,
        all_repositories: bool = False,
        skip: Collection[str] = (),
    ) -> None:
        self.store = Store(pricing.cost_array, pricing.usage_cost)
        self.reader = Reader(
            paths, self.store, zone=zone, home=home, wait=wait, all_repositories=all_repositories, skip=skip
        )
        self.live: Follower | None = None
        self._frame = SpansFrame(self.store, pricing.cost_sources)
        self._own = UserColumnCache(self.store)
        self._messages = MessagesFrame(self.store)
        self._tool_calls = ToolCallsFrame(self.store)
        self._priced = pricing.version
        self._holders = 0
        self._lock = threading.Lock()
        self._notes = Notes(self.home)
        self.read_notes()

    @property
    def home(self) -> Path:
        """Where what we write about these runs is kept."""
        return self.reader.home

    def __getitem__(self, run: str | int) -> Trace:
        if isinstance(run, int):
            runs = self._by_start()
            if not -len(runs) <= run < len(runs):
                raise TraceNotFound(f"There is no run {run}: {len(runs):,} runs were read; runs_df() lists them.")
            return runs[run]
        code = self.store.find_trace(run)
        if code is None or not self.store.traces[code].spans:
            known = [info.trace_id for info in self.store.traces if info.spans]
            raise TraceNotFound(f"no trace {run!r}{did_you_mean(run, known) or '; runs_df() lists them'}")
        return Trace(self, self.store.traces[code])

    @property
    def latest(self) -> Trace:
        """The run that began last, as `traces[-1]`; `TraceNotFound` if there is none."""
        return self[-1]

    def _by_start(self) -> list[Trace]:
        """The rows of `runs_df()`: runs without reruns and replays, oldest first."""
        with self.store.lock:
            runs = [info for info in self.store.traces if info.spans and info.origin not in EXPERIMENTS]
            runs.sort(key=lambda info: (info.start == NAT, info.start, info.trace_id))
        return [Trace(self, info) for info in runs]

    def describe(self) -> pd.DataFrame:
        """Counts, costs and p50/p95/p99 of durations, one row per model and tool, without reruns and replays."""
        return describe(self.spans_df())

    def to_arrow(self) -> Any:
        """All spans as a pyarrow Table with the columns of `spans_df()`; numbers are not copied where Arrow allows it."""
        try:
            import pyarrow  # type: ignore[import-untyped]
        except ImportError as error:
            raise ImportError("to_arrow() needs pyarrow: pip install 'anton-notebook[archive]'") from error
        return pyarrow.Table.from_pandas(self.spans_df(), preserve_index=False)

    def to_polars(self) -> Any:
        """All spans as a Polars DataFrame with the columns of `spans_df()`."""
        try:
            import polars  # type: ignore[import-not-found,unused-ignore]
        except ImportError as error:
            raise ImportError("to_polars() needs Polars and pyarrow: pip install polars pyarrow") from error
        return polars.from_arrow(self.to_arrow())

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

    def export(
        self, path: PathLike, trace_id: str | None = None, *, redact: bool | Callable[[str], str] = True
    ) -> Path:
        """Writes one run, or all of them, as lines with ids into a new file that `read_traces` gives the same spans from.

        Keys and passwords are taken out of every text, ids and times excepted; `redact=False` leaves them in, a function takes
        out what it likes. Returns the file's path. Raises
        FileExistsError (an export overwrites nothing), `PathNotFound` for a missing folder, `TraceNotFound`, and
        `BodyUnavailable` where a text is no longer on disk.
        """
        where = Path(path).expanduser()
        codes = [info.code for info in self.store.traces if info.spans]
        if trace_id is not None:
            wanted = self[trace_id].trace_id
            codes = [code for code in codes if self.store.traces[code].trace_id == wanted]
        clean = Redactor().text if redact is True else redact if callable(redact) else None
        export(self.store, where, codes, clean)
        return where

    def note(
        self, span: Span | str, note: str | None = None, mark: str | None = None, *, trace_id: str | None = None
    ) -> Span:
        """Writes a note about a span, and marks it: `good`, `bad`, `question` or `important`. Returns the span.

        What is left out stays as it is, an empty text takes away. Kept in `notes.db` of the home, for every process that reads
        it; in `spans_df` the columns `note` and `mark`. Raises `NoteError`, `SpanNotFound`, `AmbiguousSpan`.

        >>> traces.note("5b2f", "invented a file name", mark="bad")  # doctest: +SKIP
        """
        one = span if isinstance(span, Span) else self.span(span, trace_id)
        before = Note(one.note or "", one.mark or "")
        checked(before, note, mark)
        self._notes.put((one.trace_id, one.span_id), note, mark, before)
        self.read_notes()
        return one

    def read_notes(self) -> None:
        """Takes in what any process has noted since. Done by itself before a frame is made and when a page looks."""
        try:
            with self._lock:
                news = self._notes.news()
                if news is not None:
                    take(self.store, news)
        except NoteError as error:
            self.reader.problems.add(Problem(str(self._notes.path), None, None, str(error), None, None))

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

    def _repr_html_(self) -> str:
        with self.store.lock:
            runs = sorted(self, key=lambda one: (one.figures["start"] or 0, one.trace_id), reverse=True)
            rows = [one.line() for one in runs[:LISTED]]
        more = [f"{len(runs) - LISTED:,} more: runs_df()"] if len(runs) > LISTED else []
        said = self.reader.problems.sentence()
        more += [said] if said else []
        title = ", ".join(self.reader.paths)
        heads = ["run", "status", "started", "spans", "calls", "errors", "tokens", "cost", "trace_id"]
        return html_table(title, f"{len(runs):,} {'run' if len(runs) == 1 else 'runs'}", heads, rows, "; ".join(more))

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


def _paths(path: Any) -> list[PathLike]:
    """The paths of what `read_traces` takes: a path, a program's name, a list, or the frame of `find_traces`."""
    columns = getattr(path, "columns", None)
    if columns is not None:
        if "path" not in columns or "is_read" not in columns:
            raise NotATrace(
                "a DataFrame was given; read_traces takes a path, or the frame that anb.find_traces() returns"
            )
        chosen = list(path["path"][path["is_read"].astype(bool)])
        if not chosen:
            raise NotATrace("anb.find_traces() found no traces that can be read on this machine; give a path")
        return chosen
    out: list[PathLike] = []
    for one in [path] if isinstance(path, str | os.PathLike) else list(path):
        if isinstance(one, str) and one in PROGRAM_NAMES and not os.path.exists(one):
            found = places.named(one)
            if not found:
                raise PathNotFound(
                    f"{one} has left no traces here; looked in {', '.join(map(str, places.folders_of(one)))}"
                )
            out += found
        else:
            out.append(one)
    return out


PROGRAM_NAMES = frozenset(program.name for program in places.PROGRAMS)


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
    paths = _paths(path)
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
