"""Inner: what of a graph is there tomorrow, without a kernel: a packed state for pages that keep it, and a picture for all others.

Both hold names, kinds, times and figures; texts of messages, answers, parameters, results and errors only where the user asked
for them, and then redacted. A picture is an output of its own below the graph, since JupyterLab keeps no widget's state by
itself; a page that shows the graph hides it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import math
import os
import threading
import time
import weakref
import zlib
from collections.abc import Callable, Mapping
from html import escape
from typing import TYPE_CHECKING, Any

import ipywidgets  # type: ignore[import-untyped]
import traitlets.traitlets as t

from anton_notebook.errors import NoRun
from anton_notebook.redact import Redactor
from anton_notebook.render import Seen, by_agent, figures, run_svg
from anton_notebook.widget.bundle import bundled
from anton_notebook.widget.details import details
from anton_notebook.widget.protocol import Encoder, Known, Message, Scope, Status, clean, frame

if TYPE_CHECKING:
    from anton_notebook.api import Traces
    from anton_notebook.store import Store

log = logging.getLogger(__name__)

LIMIT = 4 * 2**20
"""Bytes of a saved state, packed."""
PAGE_LIMIT = 32 * 2**20  # bytes of a page of its own, packed
EVERY = 60.0  # seconds between two savings while a run goes on
REST = 1.5  # seconds after the last change of a run that has ended
AT_ONCE = 20_000  # spans that are saved without another thread
MAGIC = b"ANB1"


def pack_state(
    traces: Traces, codes: tuple[int, ...], limit: int = LIMIT, bodies: bool = False, redact: bool = True
) -> tuple[bytes, str]:
    """The shown runs as one packed value of at most `limit` bytes, and a sentence about what was left out or taken out."""
    store, redactor = traces.store, Redactor()
    most: int | None = None
    total = sum(store.traces[code].spans for code in codes)
    while True:
        said = "" if most is None else f"{total - most:,} of {total:,} spans are not in this saved copy"
        messages = _messages(store, codes, most, said)
        frames = [frame(_clean(message.header, redactor if redact else None), message.buffers) for message in messages]
        packed = MAGIC + zlib.compress(b"".join(_sized(one) for one in frames), 6)
        if len(packed) <= limit or most == 0:
            break
        kept = total if most is None else most
        most = int(kept * min(0.9, 0.9 * limit / len(packed)))
    if bodies and len(packed) < limit:
        packed, missing = _with_bodies(traces, codes, frames, limit, redactor if redact else None)
        if missing:
            said = "; ".join(filter(None, [said, f"the texts of {missing:,} spans are not in this saved copy"]))
    return packed, "; ".join(filter(None, [said, redactor.said()]))


def _messages(store: Store, codes: tuple[int, ...], most: int | None, said: str) -> list[Message]:
    status = Status(live=False, following="off", problems=0, sentence=said)
    messages, _ = Encoder(store).encode(Known(), Scope(1, codes), None, status, most)
    return messages


def _clean(header: Any, redactor: Redactor | None) -> dict[str, Any]:
    """A header whose names hold no secrets."""
    made: dict[str, Any] = dict(header)
    if redactor is not None:
        made["strings"] = [header["strings"][0], *map(redactor.text, header["strings"][1:])]
        made["runs"] = [_run(run, redactor) for run in header["runs"]]
    return made


def _run(run: Mapping[str, Any], redactor: Redactor) -> dict[str, Any]:
    def named(one: Mapping[str, Any]) -> dict[str, Any]:
        return {**one, "name": redactor.text(one["name"])}

    return {
        **run,
        "name": redactor.text(run["name"]),
        "progress": redactor.text(run["progress"]),
        "phases": [named(one) for one in run["phases"]],
        "marks": [named(one) for one in run["marks"]],
    }


def _with_bodies(
    traces: Traces, codes: tuple[int, ...], frames: list[bytes], limit: int, redactor: Redactor | None
) -> tuple[bytes, int]:
    """As many spans' texts as there is room for, in order of arrival; how many had none."""
    store = traces.store
    packer = zlib.compressobj(6)
    out = [MAGIC, *(packer.compress(_sized(one)) for one in frames)]
    size, missing = sum(map(len, out)) + 65_536, 0
    for row in store.changes(-1, codes).rows.tolist():
        if size >= limit:
            missing += 1
            continue
        try:
            known = details(traces, row, raw=False)
        except (ValueError, OSError):
            continue
        value = known if redactor is None else redactor.value(known)
        text = frame({"type": "details", "row": row, "details": json.loads(json.dumps(value, default=str))}, [])
        out.append(packer.compress(_sized(text)))
        size += max(len(out[-1]), len(text) // 12)
    out.append(packer.flush())
    return b"".join(out), missing


def _sized(one: bytes) -> bytes:
    return len(one).to_bytes(4, "little") + one


def still(store: Store, codes: tuple[int, ...], mode: str, redact: bool = True) -> str:
    """The shown run as HTML that every page keeps, sanitised or not: an image and a table. `""` without a run."""
    drawn = run_svg(store, codes, mode) if codes else ""
    if not drawn:
        return ""
    redactor, run = Redactor(), store.run(codes[0])

    def text(value: object, most: int = 200) -> str:
        said = clean(str(value), most)
        return escape(redactor.text(said) if redact else said)

    known = " · ".join(f"{value} {name}".strip() for value, name in figures(run))
    image = base64.b64encode((redactor.text(drawn) if redact else drawn).encode()).decode()
    heads = "".join(f"<th>{name}</th>" for name in ("agent", "calls", "tools", "tokens", "cost", "errors"))
    rows = "".join(
        "<tr>" + "".join(f"<td>{text(value, 60)}</td>" for value in row) + "</tr>" for row in by_agent(store, codes[0])
    )
    return (
        f'<div class="anton-still"><img alt="{text(run["name"] or run["trace_id"])}: {text(known)}" '
        f'src="data:image/svg+xml;base64,{image}"><table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>'
    )


def page_of(packed: bytes, title: str, traits: Mapping[str, Any]) -> str:
    """A page of its own that shows a packed state; its policy lets run what is in it and nothing else."""
    script, style = bundled("standalone.js").replace("</script", "<\\/script"), bundled("widget.css")
    style += "html,body{margin:0;background:Canvas}body{padding:12px;color-scheme:light dark}"
    state = json.dumps({"saved": base64.b64encode(packed).decode(), "traits": dict(traits)}).replace("<", "\\u003c")

    def hashed(text: str) -> str:
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

    policy = (
        f"default-src 'none'; script-src {hashed(script)}; style-src {hashed(style)}; img-src data: blob:; base-uri 'none'; "
        "form-action 'none'"
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{style}</style></head>\n"
        f'<body><div id="anton-cell"></div>\n<script type="application/json" id="anton-state">{state}</script>\n'
        f'<script type="module">{script}</script></body></html>\n'
    )


class Saver:
    """Says when to save: at the end of a run, at the end of the graph, and at most once a minute while a run grows."""

    def __init__(self, store: Store, running: Callable[[], bool | None], save: Callable[[], None]) -> None:
        self._store, self._running = store, running
        self._save = weakref.WeakMethod(save) if hasattr(save, "__self__") else (lambda: save)
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None
        self._due = math.inf
        self._saved, self._when = -1, -math.inf
        self._closed = False

    def look(self) -> None:
        """Something may have changed."""
        running = self._running()
        if self._closed or running is None or self._store.revision == self._saved:
            return
        self._later(max(0.0, self._when + EVERY - time.monotonic()) if running else REST)

    def now(self) -> None:
        """Saves at once, on this thread, where anything is new."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
                self._timer, self._due = None, math.inf
        self._run()

    def close(self) -> None:
        """Saves no more."""
        self._closed = True
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()

    def _later(self, pause: float) -> None:
        due = time.monotonic() + pause
        with self._lock:
            if self._closed or self._due <= due + 0.01:
                return
            if self._timer is not None:
                self._timer.cancel()
            self._due = due
            self._timer = threading.Timer(pause, self._rung)
            self._timer.daemon = True
            self._timer.name = "anton_notebook saver"
            self._timer.start()

    def _rung(self) -> None:
        with self._lock:
            self._timer, self._due = None, math.inf
        self._run()

    def _run(self) -> None:
        save = self._save()
        if self._closed or save is None or self._store.revision == self._saved:
            return
        self._saved, self._when = self._store.revision, time.monotonic()
        try:
            save()
        except ConnectionError:
            return  # the page has gone, and its state with it
        except Exception:
            log.warning("the graph could not be saved", exc_info=True)
        self.look()


class Saving(ipywidgets.Widget):  # type: ignore[misc]
    """The part of a graph that is kept: `_saved` where a page keeps widgets' states, an image below it where none does."""

    _saved = t.Bytes(b"").tag(sync=True)
    save_bodies: bool
    save_limit: int
    redact: bool
    traces: Traces
    x_axis: str
    _still: Any = None

    def _start_saving(self, bodies: bool, limit: int, redact: bool) -> Callable[[], None]:
        """Saves what is there already, and from now on. Returns the way to end it, with a last saving."""
        self.save_bodies, self.save_limit, self.redact = bodies, limit, redact
        self._saver = Saver(self.traces.store, self._goes_on, self._save)
        if self._goes_on() is False and self.traces.store.size <= AT_ONCE:
            self._saver.now()
        else:
            self._saver.look()

        def end() -> None:
            self._saver.now()
            self._saver.close()

        return end

    def _codes(self) -> tuple[int, ...]:
        """The codes of the runs that are shown, the one looked at first."""
        raise NotImplementedError

    def _seen(self) -> Seen | None:
        """What a page shows; None where none ever did."""
        raise NotImplementedError

    def _goes_on(self) -> bool | None:
        """Whether the run looked at is still running; None where there is none."""
        codes = self._codes()
        return self.traces.store.traces[codes[0]].status == "running" if codes else None

    def _save(self) -> None:
        codes = self._codes()
        if not codes:
            return
        packed, _ = pack_state(self.traces, codes, self.save_limit, self.save_bodies, self.redact)
        self._saved = packed
        if self._still is not None:
            self._still.update({"text/html": self._still_html(), "text/plain": repr(self)}, raw=True)

    def _still_html(self) -> str:
        return still(self.traces.store, self._codes(), self.x_axis, self.redact)

    def _ipython_display_(self) -> None:
        """The graph, and below it its picture for whoever opens the notebook without a kernel."""
        from IPython.display import display

        bundle = self._repr_mimebundle_()
        if bundle is None:
            return
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
        display(data, metadata=metadata, raw=True)  # type: ignore[no-untyped-call]
        html = self._still_html() or '<div class="anton-still"></div>'
        self._still = display({"text/html": html, "text/plain": ""}, raw=True, display_id=True)  # type: ignore[no-untyped-call]

    def to_html(self, path: str | os.PathLike[str], *, save_bodies: bool | None = None) -> str:
        """Writes the shown run as one page that needs no network and no kernel, and returns a sentence about what it holds.

        The same view, from a `file://` address too. Names, times and figures; texts of messages, answers and errors only with
        `save_bodies=True` (None: as the graph was made), and then redacted unless the graph was made with `redact=False`.
        Raises `NoRun` where nothing is shown yet, `MissingBundle` where the front end was not built.

        >>> graph = getfixture("graph")  # doctest: +SKIP
        >>> graph.to_html("run.html")  # doctest: +SKIP
        ''
        """
        codes = self._codes()
        if not codes:
            raise NoRun("there is no run to write yet; graph.traces.runs_df() lists what has been read")
        bodies = self.save_bodies if save_bodies is None else save_bodies
        limit = PAGE_LIMIT if bodies else max(self.save_limit, PAGE_LIMIT)
        packed, said = pack_state(self.traces, codes, limit, bodies, self.redact)
        run = self.traces.store.run(codes[0])
        name = clean(run["name"] or run["trace_id"])
        page = page_of(
            packed, Redactor().text(name) if self.redact else name, {"x_axis": self.x_axis, "trace_id": None}
        )
        with open(path, "w", encoding="utf-8", opener=_private) as file:
            file.write(page)
        return said

    def to_svg(
        self, path: str | os.PathLike[str] | None = None, *, width: int | None = None, view: str = "seen"
    ) -> str:
        """The picture of the shown run as SVG text, drawn without a browser; written to `path` too, where one is given.

        `view`: `"seen"`, the graph as a page showed it last: its place and zoom, what is folded, colour, size, and what
        `filter` and `highlight` let fade; or `"all"`, the whole run, as without a page. `width`: px; None as wide as the page's
        view, or 960. Nodes dragged by hand stand in their lines. Shows names, kinds, times and figures, never texts of messages.
        Raises `NoRun` where nothing is shown yet, ValueError for another `view`.

        >>> graph.to_svg("run.svg", view="all")  # doctest: +SKIP
        """
        if view not in ("seen", "all"):
            raise ValueError(f"view={view!r}: 'seen' (what a page shows) and 'all' (the whole run) are possible")
        codes, seen = self._codes(), self._seen() if view == "seen" else None
        drawn = run_svg(self.traces.store, codes, self.x_axis, width, seen=seen) if codes else ""
        if not drawn:
            raise NoRun("there is no run to draw yet; graph.traces.runs_df() lists what has been read")
        drawn = Redactor().text(drawn) if self.redact else drawn
        if path is not None:
            with open(path, "w", encoding="utf-8", opener=_private) as file:
                file.write(drawn)
        return drawn


def _private(path: str, flags: int) -> int:
    """Opens what is written anew for its owner alone."""
    return os.open(path, flags, 0o600)
