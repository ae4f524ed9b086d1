"""The parts of a `TraceGraph`, their order of construction and of closing, and the check of its arguments."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, TypeVar

from anton_notebook.api import PathLike, Traces, open_traces
from anton_notebook.errors import did_you_mean
from anton_notebook.experiments.rerun import Budget
from anton_notebook.render import figures
from anton_notebook.widget.bundle import bundled
from anton_notebook.widget.cell_lifetime import close_previous_in_cell
from anton_notebook.widget.commands import Commands, Handler
from anton_notebook.widget.page_session import PageSession
from anton_notebook.widget.replay_panel import ReplayJobs
from anton_notebook.widget.rerun_panel.panel import RerunJobs
from anton_notebook.widget.screenshot import Screenshot
from anton_notebook.widget.selection import Selection
from anton_notebook.widget.snapshot import Snapshot
from anton_notebook.widget.view_queries import ViewQueries


class _Closable(Protocol):
    def close(self) -> None: ...


Part = TypeVar("Part", bound=_Closable)


class GraphParts:
    """The parts of one widget. Created before the widget's own `__init__`, so that traits may be validated by them."""

    def __init__(
        self, widget: Any, traces: Traces, trace_id: str | None, *, bodies: bool, limit: int, redact: bool
    ) -> None:
        self._widget, self._traces = widget, traces
        self._closers: list[Callable[[], object]] = [traces.close]
        try:
            self.screenshot = Screenshot(widget, lambda: self.session.stream.clients)
            self.session = self._add(PageSession(widget, traces, self.screenshot.note_page_thread))
            stream = self.session.stream
            stream.select_trace(self.session.check_trace(trace_id))
            self.selection = Selection(widget, traces, stream.shown)
            self.reruns = self._add(RerunJobs(traces, lambda: widget.allow_rerun, lambda: widget.budget, bundled))
            self.replays = self._add(ReplayJobs(traces, lambda: widget.allow_replay, lambda: self.reruns.budget))
            self.queries = self._add(ViewQueries(traces, stream.codes))
            self.snapshot = Snapshot(widget, traces, stream.codes, bodies=bodies, limit=limit, redact=redact)
            self.handlers: dict[str, Handler] = {
                **self.session.handlers(),
                **self.selection.handlers(),
                **self.screenshot.handlers(),
                **self.snapshot.handlers(),
                **self.reruns.handlers(),
                **self.replays.handlers(),
                **self.queries.handlers(),
            }
            self.channel = self._add(Commands(self.handlers))
        except BaseException:
            self.close()
            raise

    def start(self) -> None:
        """Follow the traces, once the widget has been opened."""
        self.on_close(close_previous_in_cell(self._widget))
        self.session.update()
        self.on_close(self.snapshot.close)
        self.snapshot.start()
        if self._traces.live is not None:  # last: it may be called at once
            self.on_close(self._traces.live.subscribe(self._on_change))

    def on_close(self, closer: Callable[[], object]) -> None:
        """Call a function when the widget closes, before those added earlier."""
        self._closers.append(closer)

    def close(self) -> None:
        """Close all parts and release the traces. Idempotent."""
        closers, self._closers = self._closers, []
        for closer in reversed(closers):
            with contextlib.suppress(Exception):
                closer()

    def describe(self) -> str:
        """Return paths, number of runs, how they are followed, and figures of the shown run, on one line."""
        follower, codes = self._traces.live, self.session.stream.codes()
        following = follower.following if follower is not None else "off"
        shown = [" ".join(pair).strip() for pair in figures(self._traces.store.run(codes[0]))] if codes else []
        summary = f"; {', '.join(shown)}" if shown else ""
        paths = ", ".join(self._traces.reader.paths)
        return f"{paths}: {len(self._traces)} runs, following {following}{summary}"

    def _add(self, part: Part) -> Part:
        self.on_close(part.close)
        return part

    def _on_change(self) -> None:
        self.session.update()
        self.snapshot.update()


def open_source(path_or_traces: PathLike | Sequence[PathLike] | Traces, all_repositories: bool) -> Traces:
    """Return traces that are followed: those given, or those under a path."""
    if isinstance(path_or_traces, Traces):
        return path_or_traces.hold()
    if hasattr(path_or_traces, "columns"):
        raise TypeError(
            "TraceGraph takes a path or what read_traces returned, not a DataFrame. To show some spans of traces: "
            "graph = anb.TraceGraph(traces); graph.filter(df)"
        )
    paths = [path_or_traces] if isinstance(path_or_traces, str | os.PathLike) else path_or_traces
    if not isinstance(paths, Iterable) or not all(isinstance(path, str | os.PathLike) for path in paths):
        raise TypeError(
            f"TraceGraph takes a path, a list of paths or what read_traces returned, not {type(path_or_traces).__name__}."
        )
    return open_traces(path_or_traces, following=True, all_repositories=all_repositories)


def refuse_unknown(unknown: Iterable[str], known: Sequence[str]) -> None:
    """Raise TypeError for an unknown argument, with the most similar known ones."""
    for name in unknown:
        hint = did_you_mean(name, known) or f"; it has {', '.join(known)}"
        raise TypeError(f"TraceGraph has no argument {name!r}{hint}")


def check_budget(budget: float | Budget | None) -> float | Budget | None:
    """Return a valid budget; ValueError for anything else."""
    if isinstance(budget, Budget) or budget is None:
        return budget
    if isinstance(budget, bool) or not isinstance(budget, int | float) or not 0 <= budget < 1e9:
        raise ValueError(f"budget must be US dollars from 0 on, or None for 1.00; got {budget!r}")
    return budget
