"""`TraceGraph`: the live graph in a notebook cell.

`graph_state` holds the traits; the parts do the work (`parts.GraphParts`). Each part has handlers for the page's requests.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import traitlets.traitlets as t
from ipywidgets import Layout  # type: ignore[import-untyped]

from anton_notebook.api import PathLike, Span, Traces
from anton_notebook.experiments.rerun import Budget
from anton_notebook.widget import commands
from anton_notebook.widget.bundle import bundled
from anton_notebook.widget.graph_state import GraphState
from anton_notebook.widget.parts import GraphParts, check_budget, open_source, refuse_unknown
from anton_notebook.widget.snapshot import STATE_LIMIT
from anton_notebook.widget.watchpoints import Condition, Watch

if TYPE_CHECKING:
    import pandas as pd

    from anton_notebook.widget.selection import Spans


class TraceGraph(GraphState):
    """A live graph of the runs of LLM agents.

    Traits to observe and set: `trace_id`, `selected_span_id`, `selected_span_ids`, `view` (one of `VIEWS`), `x_axis` (`X_AXES`),
    `color` (`COLORS`), `size` (`SIZES`), `height` (pixels); `layout` is the `ipywidgets.Layout` of every widget. Read-only:
    `waiting`, which says what is missing while no run is shown.

    Args:
        path_or_traces: What `read_traces` accepts or returned.
        trace_id: The run to show; None follows the newest.
        allow_rerun: Whether pages may start re-runs. Set in Python only.
        allow_replay: Whether pages may start replays. Set in Python only.
        budget: US dollars for everything that pages start; None means 1.00. Set in Python only.
        height: Height in pixels.
        x_axis: `"time"` or `"order"` (of the start).
        all_repositories: Whether the proxy's database shows the tasks of other repositories too.
        save_bodies: Whether a saved notebook contains texts, where widget states are saved.
        save_limit: Maximum size of the saved state in bytes.
        redact: Whether secrets are removed from everything that is saved or exported.
        layout: The widget's `ipywidgets.Layout`, or a dict of its properties.

    Raises:
        PathNotFound: The path and its parents do not exist.
        NotATrace: The file is not a trace.
        TraceNotFound: No run has this `trace_id`.
        MissingBundle: The front end has not been built.

    Example:
        >>> import anton_notebook as anb
        >>> graph = anb.TraceGraph(".", height=400)  # doctest: +SKIP
        >>> graph.observe(lambda change: print(graph.selected_span), "selected_span_id")  # doctest: +SKIP
    """

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
        save_limit: int = STATE_LIMIT,
        redact: bool = True,
        layout: Layout | dict[str, str] | None = None,
        **unknown: Any,
    ) -> None:
        refuse_unknown(unknown, [*inspect.signature(TraceGraph).parameters][1:-1])
        script, style = bundled("widget.js"), bundled("widget.css")
        self.allow_rerun, self.allow_replay, self.budget = allow_rerun, allow_replay, check_budget(budget)
        self.traces = open_source(path_or_traces, all_repositories)
        self._parts = GraphParts(self, self.traces, trace_id, bodies=save_bodies, limit=save_limit, redact=redact)
        try:
            channel, handlers = self._parts.channel, self._parts.handlers
            # As wide as its container, and shrinking beside others in an HBox.
            chosen = {"width": "100%", "min_width": "0"} if layout is None else layout
            state = {"height": height, "x_axis": x_axis, "layout": chosen, "_esm": script, "_css": style}
            super().__init__(trace_id=trace_id, _commands=channel, **state)
            if not isinstance(layout, Layout):
                self._parts.on_close(self.layout.close)
            self.on_msg(lambda widget, content, buffers: commands.answer(self, content, handlers))  # one-comm hosts
            self.comm.on_close(lambda message: self.close())
            self._parts.start()
        except BaseException:
            self.close()
            raise

    # -- selection

    @property
    def selected_span(self) -> Span | None:
        """The selected span; the first of several."""
        return self._parts.selection.span

    @property
    def selected_df(self) -> pd.DataFrame:
        """The selected rows of `spans_df()`, by start; empty if nothing is selected."""
        return self._parts.selection.frame()

    def highlight(self, spans: Spans) -> None:
        """Highlight spans and fade all others; None removes the highlight.

        Args:
            spans: A DataFrame with the column `span_id` (and `trace_id` if ids repeat), span ids, `Span` objects, or a condition
                as text for `DataFrame.query`, such as `"kind == 'llm' and cost_usd > 0.01"`.

        Raises:
            SpanNotFound: An id does not exist.
            AmbiguousSpan: An id is in several runs, none of which is shown.
            ConditionError: The condition cannot be evaluated.
            ValueError: The DataFrame has no ids.

        Example:
            >>> graph.highlight("status == 'error'")  # doctest: +SKIP
        """
        self._parts.selection.highlight(spans)

    def filter(self, spans: Spans) -> None:
        """Show only these spans in every view; None shows all. Accepts and raises the same as `highlight`."""
        self._parts.selection.filter(spans)

    def select(self, spans: Spans) -> None:
        """Select spans; the page shows the first one in full. None selects nothing. Accepts the same as `highlight`."""
        self._parts.selection.select(spans)

    def note(
        self, span: Span | str, note: str | None = None, mark: str | None = None, *, trace_id: str | None = None
    ) -> Span:
        """Annotate a span; see `Traces.note`. Of several spans with this id, the one on screen is used.

        Example:
            >>> graph.note(graph.selected_span, "invented a file name", mark="bad")  # doctest: +SKIP
        """
        return self._parts.selection.note(span, note, mark, trace_id)

    @property
    def experiments_df(self) -> pd.DataFrame:
        """Answers of the re-runs started in the page: the columns of `rerun`, one row per answer."""
        return self._parts.reruns.frame()

    def watch(
        self, condition: Condition, callback: Callable[[Span], object], *, thread: bool = False, existing: bool = True
    ) -> Watch:
        """Call back once for every span that comes to satisfy a condition, in order.

        Args:
            condition: A function of a `Span`, or text for `DataFrame.query`, such as `"cost_usd > 0.5"`.
            callback: Called with the span: on the kernel's event loop, that is between cells.
            thread: Whether it is called on the reader thread instead, at once.
            existing: Whether spans that satisfy the condition already come first.

        Returns:
            The watchpoint; `close()` ends it, and so does closing the graph.

        Raises:
            ConditionError: The condition cannot be evaluated.
        """
        watch = Watch(self.traces, condition, callback, thread=thread, existing=existing)
        self._parts.on_close(watch.close)
        return watch

    def to_html(self, path: str | os.PathLike[str], *, save_bodies: bool | None = None, overwrite: bool = False) -> str:
        """Write the shown run as one page that needs no network and no kernel.

        Args:
            path: The file. An existing one raises FileExistsError unless `overwrite` is true.
            save_bodies: Whether texts of messages, answers and errors are included; None: as the graph was created.
            overwrite: Whether an existing file is replaced.

        Returns:
            A sentence about what was left out or removed, or "". Raises `NoRun` if no run is shown.
        """
        return self._parts.snapshot.to_html(path, save_bodies, overwrite)

    def to_svg(self, path: str | os.PathLike[str] | None = None, *, width: int = 960, overwrite: bool = False) -> str:
        """Draw the shown run as a static timeline, without a browser and without texts of messages.

        `path` and `overwrite` as for `to_html`; None writes no file. `width` in pixels. Raises `NoRun` if no run is shown.
        """
        return self._parts.snapshot.to_svg(path, width, overwrite)

    def to_png(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        scale: float = 2.0,
        timeout: float = 10.0,
        overwrite: bool = False,
    ) -> bytes:
        """Return a PNG image of what a page shows of this graph: its view, camera, filters and theme.

        Args:
            path: The file to write as well, or None. An existing one raises FileExistsError unless `overwrite` is true.
            scale: Image pixels per CSS pixel, 0.5 to 4.
            timeout: Seconds to wait for a page.
            overwrite: Whether an existing file is replaced.

        Raises:
            NoPage: No page shows the graph or answers in time, or the kernel cannot be answered while a cell runs.
            PictureError: The page shows a view that is not a picture.
        """
        return self._parts.screenshot.to_png(path, scale=scale, timeout=timeout, overwrite=overwrite)

    def close(self) -> None:
        """Close the widget and release its traces. The reader thread stops when the last user closes."""
        if "_parts" in self.__dict__:
            self._parts.close()
        super().close()

    def __enter__(self) -> TraceGraph:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __dir__(self) -> list[str]:
        return [name for name in super().__dir__() if not name.startswith("_") or name.startswith("__")]

    def __repr__(self) -> str:
        return f"<TraceGraph of {self._parts.describe()}>"

    def _ipython_display_(self) -> None:
        self._parts.snapshot.display()

    @t.validate("trace_id")
    def _check_trace(self, proposal: dict[str, Any]) -> str | None:
        return self._parts.session.check_trace(proposal["value"])

    @t.validate("selected_span_id")
    def _check_span(self, proposal: dict[str, Any]) -> str | None:
        return self._parts.selection.check_id(proposal["value"])

    @t.validate("selected_span_ids")
    def _check_spans(self, proposal: dict[str, Any]) -> list[str]:
        return self._parts.selection.check_ids(proposal["value"])
