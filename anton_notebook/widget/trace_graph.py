"""`TraceGraph`: the live graph in a notebook cell.

Its traits are small and public; spans go through `sync`, requests come through `commands`.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import anywidget
import ipywidgets  # type: ignore[import-untyped]
import numpy as np
import traitlets.traitlets as t

from anton_notebook.api import PathLike, Span, Traces, open_traces
from anton_notebook.errors import AmbiguousSpan, did_you_mean
from anton_notebook.experiments.rerun import Budget
from anton_notebook.render import Camera, Seen, figures
from anton_notebook.widget import commands
from anton_notebook.widget.bundle import bundled
from anton_notebook.widget.details import details, piece, span_of
from anton_notebook.widget.protocol import Known, Message, Status
from anton_notebook.widget.replay_panel import Forks
from anton_notebook.widget.rerun_panel.panel import Tries
from anton_notebook.widget.screenshot import Shooting
from anton_notebook.widget.selection import Brushing, unpack_rows
from anton_notebook.widget.snapshot import LIMIT, Saving
from anton_notebook.widget.stream import Stream
from anton_notebook.widget.view_queries import ViewQueries
from anton_notebook.widget.watchpoints import Watch

if TYPE_CHECKING:
    import pandas as pd

X_AXES = ("time", "order")
COLORS = ("kind", "agent", "model", "cost", "tokens", "duration", "status")
SIZES = ("kind", "cost", "tokens", "duration")


class TraceGraph(Saving, Shooting, Brushing, commands.Prompt, anywidget.AnyWidget):
    """A graph of agents' runs that grows while they work.

    `path_or_traces`: what `read_traces` takes, or what it gave. `trace_id`: the run to show; None follows the newest.
    `height`: px. `x_axis`: `"time"` or `"order"` (of the start). `allow_rerun`, `allow_replay`: whether the page may
    start these; `budget`: US dollars for all that it starts (None: 1.00). No message of a page can change these
    three. `all_repositories`: with a repository, whether the proxy's database shows the tasks of others too.

    A saved notebook shows the run without a kernel: names, times and figures. `save_bodies`: texts too, where widgets' states are
    saved; `save_limit`: bytes of that state; `redact`: whether secrets are taken out of all that is saved.

    Traits to observe and set: `trace_id`, `selected_span_id`, `selected_span_ids`, `view`, `height`,
    `x_axis`, `color` (one of `COLORS`), `size` (one of `SIZES`); `layout` is the `ipywidgets.Layout` of every widget.
    Raises `PathNotFound`, `NotATrace`,
    `MissingBundle`; TypeError for an argument that it does not know.

    >>> import anton_notebook as anb
    >>> graph = anb.TraceGraph(".", height=400)  # doctest: +SKIP
    >>> graph.observe(lambda change: print(graph.selected_span), "selected_span_id")  # doctest: +SKIP
    """

    # Traits with the files' text, where anywidget takes paths too: for a path it would hold every widget for ever.
    _esm = t.Unicode().tag(sync=True)
    _css = t.Unicode().tag(sync=True)
    trace_id = t.Unicode(None, allow_none=True).tag(sync=True)
    selected_span_id = t.Unicode(None, allow_none=True).tag(sync=True)
    height = t.Int(560, min=120, max=10_000).tag(sync=True)
    x_axis = t.Enum(X_AXES, "time").tag(sync=True)
    color = t.Enum(COLORS, "kind").tag(sync=True)
    size = t.Enum(SIZES, "kind").tag(sync=True)
    _selected_row = t.Int(-1).tag(sync=True)
    # what is folded by hand, as rows of the store, and runs of like calls that were opened, as -1 - row
    _folded = t.List(t.Int()).tag(sync=True)
    # where a page looked last, as `picture.Camera` takes it; empty while it follows the run. Pages tell it and open with it.
    _camera = t.Dict().tag(sync=True)
    _commands = t.Instance(commands.Commands, allow_none=True).tag(sync=True, **ipywidgets.widget_serialization)
    _error = t.Unicode("").tag(sync=True)

    def __init__(
        self,
        path_or_traces: PathLike | Sequence[PathLike] | Traces,
        trace_id: str | None = None,
        *,
        allow_rerun: bool = False,
        allow_replay: bool = False,
        budget: float | Budget | None = None,
        height: int = 560,
        x_axis: str = "time",
        all_repositories: bool = False,
        save_bodies: bool = False,
        save_limit: int = LIMIT,
        redact: bool = True,
        **unknown: Any,
    ) -> None:
        for name in unknown:
            known = [*inspect.signature(TraceGraph).parameters][1:-1]
            raise TypeError(
                f"TraceGraph has no argument {name!r}{did_you_mean(name, known) or '; it has ' + ', '.join(known)}"
            )
        script, style = bundled("widget.js"), bundled("widget.css")
        self.allow_rerun, self.allow_replay, self.budget = allow_rerun, allow_replay, _budget(budget)
        given = path_or_traces
        self.traces = (
            given.hold()
            if isinstance(given, Traces)
            else open_traces(given, following=True, all_repositories=all_repositories)
        )
        self._ends: list[Callable[[], object]] = [self.traces.close]
        try:
            self._stream = Stream(self.traces.store, self._send_changes, self._status)
            self._ends.append(self._stream.close)
            self._stream.choose(trace_id)
            self._tries = Tries(self.traces, lambda: self.allow_rerun, lambda: self.budget, bundled)
            self._ends.append(self._tries.close)
            self._forks = Forks(self.traces, lambda: self.allow_replay, lambda: self._tries.budget)
            self._ends.append(self._forks.close)
            self._asking = ViewQueries(self.traces, self._codes)
            self._ends.append(self._asking.close)
            ops: dict[str, commands.Op] = {
                "hello": self._on_hello,
                "alive": self._on_alive,
                "bye": lambda args: self._stream.bye(commands.text(args, "client")),
                "select": self._on_select,
                "show": self._on_show,
                "details": self._on_details,
                "text": lambda args: piece(
                    self.traces, self._row(args), commands.text(args, "part"), commands.number(args, "offset")
                ),
                **self._tries.ops(),
                **self._forks.ops(),
                **self._asking.ops(),
                **self._brushing_ops(),
                **self._shooting_ops(),
            }
            channel = commands.Commands(ops)
            self._ends.append(channel.close)
            looks = {"height": height, "x_axis": x_axis, "_esm": script, "_css": style}
            super().__init__(trace_id=trace_id, _commands=channel, **looks)
            self.on_msg(lambda widget, content, buffers: commands.answer(self, content, ops))  # hosts with one comm
            self.comm.on_close(lambda message: self.close())
            self._ends.append(commands.close_previous_in_cell(self))
            self._ends.append(self._start_saving(save_bodies, save_limit, redact))
            if self.traces.live is not None:  # last: it may be called at once
                self._ends.append(self.traces.live.subscribe(self._on_live))
        except BaseException:
            self.close()
            raise

    # -- what users see

    @property
    def selected_span(self) -> Span | None:
        """The span that is selected, in the page or by `selected_span_id`."""
        return None if self._selected_row < 0 else span_of(self.traces, self._selected_row)

    @property
    def experiments_df(self) -> pd.DataFrame:
        """What was tried in the cell: the columns of `rerun`, a row an answer; `variant` is the number of the try."""
        return self._tries.frame()

    def watch(
        self, condition: str, callback: Callable[[Span], object], *, thread: bool = False, existing: bool = True
    ) -> Watch:
        """Calls back once for every span that comes to satisfy a condition over the columns of `spans_df`, in order, none lost.

        On the kernel's event loop, that is between cells; with `thread=True` at once, on the thread that reads. Spans that satisfy
        it already come first, unless `existing=False`. Returns the watch; its `close()` ends it, and so does the graph's.
        Raises `WatchError` that names what is possible.

        >>> graph.watch("cost_usd > 0.5 or status == 'error'", print)  # doctest: +SKIP
        """
        watch = Watch(self.traces, condition, callback, thread=thread, existing=existing)
        self._ends.append(watch.close)
        return watch

    def close(self) -> None:
        """Takes the graph off the page and lets go of its traces; the last one ends their thread. Idempotent."""
        ends = self.__dict__.pop("_ends", [])
        for end in reversed(ends):
            with contextlib.suppress(Exception):
                end()
        super().close()

    def __enter__(self) -> TraceGraph:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __repr__(self) -> str:
        where = ", ".join(self.traces.reader.paths)
        following = self.traces.live.following if self.traces.live is not None else "off"
        codes = self._codes()
        shown = (
            f"; {', '.join(' '.join(known).strip() for known in figures(self.traces.store.run(codes[0])))}"
            if codes
            else ""
        )
        return f"<TraceGraph of {where}: {len(self.traces)} runs, following {following}{shown}>"

    # -- traits

    @t.validate("selected_span_id")
    def _known_span(self, proposal: dict[str, Any]) -> str | None:
        span_id: str | None = proposal["value"]
        if span_id is not None and (self._selected_row < 0 or self.traces.store.span_id(self._selected_row) != span_id):
            self._find(span_id)
        return span_id

    @t.observe("selected_span_id")
    def _selected(self, change: dict[str, Any]) -> None:
        row = -1 if change["new"] is None else self._find(change["new"])
        self._selected_row = row
        if row >= 0:
            trace_id = self.traces.store.span(row).trace_id
            if trace_id not in self._stream.shown():
                self.trace_id = trace_id

    def _find(self, span_id: str) -> int:
        """The row of an id; of several traces that have it, the one on the screen."""
        store, row = self.traces.store, self._selected_row
        if row >= 0 and store.span_id(row) == span_id:
            return row
        try:
            return store.row_of(span_id)
        except AmbiguousSpan:
            for trace_id in self._stream.shown():
                with contextlib.suppress(KeyError):
                    return store.row_of(span_id, trace_id)
            raise

    @t.observe("trace_id")
    def _chosen(self, change: dict[str, Any]) -> None:
        self._stream.choose(change["new"])

    # -- the page

    def _send_changes(self, message: Message) -> None:
        self.send(message.header, message.buffers)

    def _status(self) -> Status:
        live, problems = self.traces.live, self.traces.reader.problems
        following = live.following if live is not None else "off"
        waits = self._stream.waits_for()
        said = [f"waiting for the run {waits!r}"] if waits else []
        return Status(
            live=following != "off",
            following=following,
            problems=problems.count,
            sentence="; ".join(word for word in (*said, problems.sentence()) if word),
        )

    def _on_live(self) -> None:
        error = self.traces.live.error if self.traces.live is not None else None
        # Only its kind: a message may quote a trace, and traits are saved in notebooks.
        said = (
            f"Reading the traces failed ({type(error).__name__}); graph.traces.live.error says more." if error else ""
        )
        if said != self._error:
            self._error = said
        self._stream.ring()
        self._saver.look()

    def _codes(self) -> tuple[int, ...]:
        return self._stream.codes()

    def _seen(self) -> Seen | None:
        if not (self._heard_on or self._camera or self._folded):
            return None
        rows = [found for packed in (self._only_rows, self._bright_rows) if (found := unpack_rows(packed)) is not None]
        lit = np.intersect1d(rows[0], rows[-1]) if rows else None
        return Seen(self._folded, Camera.of(self._camera), self.color, self.size, lit)

    def _on_hello(self, args: Mapping[str, Any]) -> dict[str, Any]:
        self._heard()
        epoch = commands.text(args, "epoch") if args.get("epoch") is not None else ""
        scope, revision = commands.number(args, "scope", -1), commands.number(args, "revision", -1)
        known = Known(epoch, scope, revision, commands.number(args, "strings"), commands.number(args, "classes"))
        self._stream.hello(commands.text(args, "client"), known)
        return {"subshell": commands.on_subshell()}

    def _on_details(self, args: Mapping[str, Any]) -> dict[str, Any]:
        self.traces.read_notes()
        return details(self.traces, self._row(args))

    def _on_alive(self, args: Mapping[str, Any]) -> None:
        self._heard()
        self.traces.read_notes()
        if not self._stream.alive(commands.text(args, "client")):
            raise LookupError("this page was forgotten: say hello")

    def _on_select(self, args: Mapping[str, Any]) -> None:
        if args.get("row") is None:
            self.selected_span_id = None
            return
        span = span_of(self.traces, commands.number(args, "row"))
        if self._selected_row != span.row:
            self.set_trait("_selected_row", span.row)
            self.selected_span_id = span.span_id

    def _on_show(self, args: Mapping[str, Any]) -> None:
        trace_id = None if args.get("trace_id") is None else commands.text(args, "trace_id")
        code = None if trace_id is None else self._stream.code_of(trace_id)
        self.trace_id = trace_id if code is None else self.traces.store.traces[code].trace_id

    def _row(self, args: Mapping[str, Any]) -> int:
        if args.get("epoch") != self.traces.store.epoch:
            raise ValueError("the page shows another reading of the traces: it will be brought up to date")
        return commands.number(args, "row")


def _budget(budget: float | Budget | None) -> float | Budget | None:
    if isinstance(budget, Budget):
        return budget
    if budget is not None and (
        isinstance(budget, bool) or not isinstance(budget, int | float) or not 0 <= budget < 1e9
    ):
        raise ValueError(f"budget must be US dollars from 0 on, or None for 1.00; got {budget!r}")
    return budget
