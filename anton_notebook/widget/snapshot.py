"""The saved state of a graph: what a notebook shows without a kernel. See `export_html` for pages and static HTML.

Names, kinds, times and figures are saved; texts of messages, answers, parameters, results and errors only with `save_bodies`,
and then redacted. JupyterLab does not save widget states by itself, so a static picture is a second output below the graph; a
page that shows the graph hides it.
"""

from __future__ import annotations

import json
import logging
import math
import os
import threading
import time
import weakref
import zlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from anton_notebook.errors import NoRun
from anton_notebook.redact import Redactor
from anton_notebook.render import run_svg
from anton_notebook.widget.commands import Handlers
from anton_notebook.widget.details import details
from anton_notebook.widget.export_html import PAGE_LIMIT, standalone_page, static_html
from anton_notebook.widget.files import write_private
from anton_notebook.widget.framing import frame
from anton_notebook.widget.protocol import ChangeMessage, ClientState, Encoder, ReaderStatus, Scope, clean

if TYPE_CHECKING:
    from anton_notebook.api import Traces
    from anton_notebook.store import Store

log = logging.getLogger(__name__)

STATE_LIMIT = 4 * 2**20  # bytes of a saved state, packed
RUNNING_INTERVAL = 60.0  # seconds between two saves while a run is in progress
QUIET_PERIOD = 1.5  # seconds after the last change of a finished run
IMMEDIATE_SPANS = 20_000  # spans that are saved at once, on the caller's thread
MAGIC = b"ANB1"


def pack_state(
    traces: Traces, codes: tuple[int, ...], limit: int = STATE_LIMIT, bodies: bool = False, redact: bool = True
) -> tuple[bytes, str]:
    """Pack runs into one value.

    Args:
        traces: The traces.
        codes: Codes of the runs.
        limit: Maximum size in bytes; spans that do not fit are left out, the last ones first.
        bodies: Whether texts are included.
        redact: Whether secrets are removed.

    Returns:
        The packed bytes, and a sentence about what was left out or removed ("" if nothing was).
    """
    store, redactor = traces.store, Redactor()
    count: int | None = None
    total = sum(store.traces[code].spans for code in codes)
    while True:
        summary = "" if count is None else f"{total - count:,} of {total:,} spans are not in this saved copy"
        messages = _messages(store, codes, count, summary)
        frames = [frame(_redacted(one.header, redactor if redact else None), one.buffers) for one in messages]
        packed = MAGIC + zlib.compress(b"".join(map(_with_size, frames)), 6)
        # The compression ratio is unknown before packing, so the count is reduced until it fits.
        if len(packed) <= limit or count == 0:
            break
        count = int((total if count is None else count) * min(0.9, 0.9 * limit / len(packed)))
    if bodies and len(packed) < limit:
        packed, missing = _with_bodies(traces, codes, frames, limit, redactor if redact else None)
        if missing:
            missed = f"the texts of {missing:,} spans are not in this saved copy"
            summary = "; ".join(filter(None, [summary, missed]))
    return packed, "; ".join(filter(None, [summary, redactor.said()]))


def _messages(store: Store, codes: tuple[int, ...], count: int | None, summary: str) -> list[ChangeMessage]:
    status = ReaderStatus(live=False, following="off", problems=0, sentence=summary)
    messages, _ = Encoder(store).encode(ClientState(), Scope(1, codes), None, status, count)
    return messages


def _redacted(header: Any, redactor: Redactor | None) -> dict[str, Any]:
    """Return a header without secrets in its names."""
    result: dict[str, Any] = dict(header)
    if redactor is not None:
        result["strings"] = [header["strings"][0], *map(redactor.text, header["strings"][1:])]
        result["runs"] = [_redacted_run(run, redactor) for run in header["runs"]]
    return result


def _redacted_run(run: Mapping[str, Any], redactor: Redactor) -> dict[str, Any]:
    result = {**run, "name": redactor.text(run["name"]), "progress": redactor.text(run["progress"])}
    for key in ("phases", "marks"):
        result[key] = [{**one, "name": redactor.text(one["name"])} for one in run[key]]
    return result


def _with_bodies(
    traces: Traces, codes: tuple[int, ...], frames: list[bytes], limit: int, redactor: Redactor | None
) -> tuple[bytes, int]:
    """Add the texts of as many spans as fit, in order of arrival; return how many do not fit."""
    store = traces.store
    packer = zlib.compressobj(6)
    parts = [MAGIC, *(packer.compress(_with_size(one)) for one in frames)]
    # Compressed output lags behind its input; 64 KiB cover what the packer still holds.
    size, missing = sum(map(len, parts)) + 65_536, 0
    for row in store.changes(-1, codes).rows.tolist():
        if size >= limit:
            missing += 1
            continue
        try:
            value = details(traces, row, raw=False)
        except (ValueError, OSError):
            continue
        value = value if redactor is None else redactor.value(value)
        text = frame({"type": "details", "row": row, "details": json.loads(json.dumps(value, default=str))}, [])
        parts.append(packer.compress(_with_size(text)))
        size += max(len(parts[-1]), len(text) // 12)
    parts.append(packer.flush())
    return b"".join(parts), missing


def _with_size(one: bytes) -> bytes:
    return len(one).to_bytes(4, "little") + one


class AutoSaver:
    """Schedules saves: at the end of a run, when the graph closes, and at most once a minute while a run grows.

    `running` returns whether the shown run is in progress, or None without a run.
    """

    def __init__(self, store: Store, running: Callable[[], bool | None], save: Callable[[], None]) -> None:
        self._store, self._running = store, running
        # A timer must not keep a closed widget alive.
        self._save = weakref.WeakMethod(save) if hasattr(save, "__self__") else (lambda: save)
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None
        self._due = math.inf
        self._saved_revision, self._saved_at = -1, -math.inf
        self._closed = False

    def schedule(self) -> None:
        """Schedule a save if anything changed."""
        running = self._running()
        if self._closed or running is None or self._store.revision == self._saved_revision:
            return
        wait = max(0.0, self._saved_at + RUNNING_INTERVAL - time.monotonic()) if running else QUIET_PERIOD
        due = time.monotonic() + wait
        with self._lock:
            # An earlier save is scheduled already.
            if self._closed or self._due <= due + 0.01:
                return
            if self._timer is not None:
                self._timer.cancel()
            self._due = due
            self._timer = threading.Timer(wait, self._on_timer)
            self._timer.daemon = True
            self._timer.name = "anton_notebook saver"
            self._timer.start()

    def save_now(self) -> None:
        """Save on this thread if anything changed."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
                self._timer, self._due = None, math.inf
        self._run()

    def close(self) -> None:
        """Stop saving."""
        self._closed = True
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()

    def _on_timer(self) -> None:
        with self._lock:
            self._timer, self._due = None, math.inf
        self._run()

    def _run(self) -> None:
        save = self._save()
        if self._closed or save is None or self._store.revision == self._saved_revision:
            return
        self._saved_revision, self._saved_at = self._store.revision, time.monotonic()
        try:
            save()
        except ConnectionError:
            return  # the page has gone, and its state with it
        except Exception:
            log.warning("The graph could not be saved.", exc_info=True)
        self.schedule()


class Snapshot:
    """The saved state of one widget: the trait `_saved`, and a static output below the graph.

    `codes` returns the codes of the shown runs, the main one first. `bodies`, `limit` (bytes) and `redact` as for `pack_state`.
    """

    def __init__(
        self,
        widget: Any,
        traces: Traces,
        codes: Callable[[], tuple[int, ...]],
        *,
        bodies: bool,
        limit: int,
        redact: bool,
    ) -> None:
        self._widget, self._traces, self.codes = widget, traces, codes
        self.bodies, self.limit, self.redact = bodies, limit, redact
        self._output: Any = None
        self._saver = AutoSaver(traces.store, self._running, self._save)

    def handlers(self) -> Handlers:
        """Return no handlers: pages read the saved state from a trait."""
        return {}

    def start(self) -> None:
        """Save what is there, and begin to follow changes."""
        if self._running() is False and self._traces.store.size <= IMMEDIATE_SPANS:
            self._saver.save_now()
        else:
            self._saver.schedule()

    def update(self) -> None:
        """Schedule a save if anything changed."""
        self._saver.schedule()

    def close(self) -> None:
        """Save once more, and stop."""
        self._saver.save_now()
        self._saver.close()

    def display(self) -> None:
        """Display the widget, and below it the static picture for notebooks that are opened without a kernel."""
        from IPython.display import display

        bundle = self._widget._repr_mimebundle_()
        if bundle is None:
            return
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
        display(data, metadata=metadata, raw=True)  # type: ignore[no-untyped-call]
        html = self.static_html() or '<div class="anton-still"></div>'
        self._output = display({"text/html": html, "text/plain": ""}, raw=True, display_id=True)  # type: ignore[no-untyped-call]

    def static_html(self) -> str:
        """Return the shown run as static HTML."""
        return static_html(self._traces.store, self.codes(), self.redact)

    def to_html(self, path: str | os.PathLike[str], bodies: bool | None, overwrite: bool) -> str:
        """Write the shown run as a standalone page; see `TraceGraph.to_html`."""
        codes = self._shown()
        # A page is written once, on request, so it may be larger than the state in a notebook.
        with_bodies = self.bodies if bodies is None else bodies
        limit = PAGE_LIMIT if with_bodies else max(self.limit, PAGE_LIMIT)
        packed, summary = pack_state(self._traces, codes, limit, with_bodies, self.redact)
        run = self._traces.store.run(codes[0])
        name = clean(run["name"] or run["trace_id"])
        title = Redactor().text(name) if self.redact else name
        page = standalone_page(packed, title, {"x_axis": self._widget.x_axis, "trace_id": None})
        write_private(path, page, overwrite=overwrite)
        return summary

    def to_svg(self, path: str | os.PathLike[str] | None, width: int, overwrite: bool) -> str:
        """Draw the shown run as SVG; see `TraceGraph.to_svg`."""
        svg = run_svg(self._traces.store, self._shown(), width)
        if not svg:
            raise NoRun("No run can be drawn yet; graph.traces.runs_df() lists what has been read.")
        svg = Redactor().text(svg) if self.redact else svg
        if path is not None:
            write_private(path, svg, overwrite=overwrite)
        return svg

    def _shown(self) -> tuple[int, ...]:
        codes = self.codes()
        if not codes:
            raise NoRun("No run can be written yet; graph.traces.runs_df() lists what has been read.")
        return codes

    def _running(self) -> bool | None:
        codes = self.codes()
        return self._traces.store.traces[codes[0]].status == "running" if codes else None

    def _save(self) -> None:
        codes = self.codes()
        if not codes:
            return
        self._widget._saved, _ = pack_state(self._traces, codes, self.limit, self.bodies, self.redact)
        if self._output is not None:
            self._output.update({"text/html": self.static_html(), "text/plain": repr(self._widget)}, raw=True)
