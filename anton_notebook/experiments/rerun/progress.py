"""Inner: how far a sweep is and what it has cost: a line in a terminal, a bar in a notebook. Text of traces is never shown."""

from __future__ import annotations

import sys
import time
from html import escape
from typing import Any

from anton_notebook.model.formatting import format_usd
from anton_notebook.model.html_repr import no_math

EVERY = 0.2


class Progress:
    """Shows `done` of `total` where there is somebody to look: a notebook's cell, or a terminal."""

    def __init__(self, total: int, show: bool) -> None:
        self.total = total
        self.done = self.failed = self.cached = 0
        self.cost = 0.0
        self.unpriced = 0
        self._began = time.monotonic()
        self._last = 0.0
        self._handle: Any = None
        self._terminal = show and not _in_kernel() and sys.stderr is not None and sys.stderr.isatty()
        self._notebook = show and _in_kernel()

    def add(self, row: dict[str, Any]) -> None:
        """Counts a row."""
        self.done += 1
        self.failed += row["error"] is not None
        self.cached += bool(row["from_cache"])
        cost = row["cost_usd"]
        if cost == cost:
            self.cost += cost
        elif row["attempts"]:
            self.unpriced += 1

    def text(self) -> str:
        """The state in a line.

        >>> Progress(3, False).text()
        '0 of 3 calls, $0'
        """
        more = [f"{self.cached} from the cache"] if self.cached else []
        more += [f"{self.failed} failed"] if self.failed else []
        more += [f"{self.unpriced} without a price"] if self.unpriced else []
        calls = "call" if self.total == 1 else "calls"
        return ", ".join([f"{self.done} of {self.total} {calls}", format_usd(self.cost, bool(self.unpriced)), *more])

    def show(self, *, last: bool = False) -> None:
        """Brings what is shown up to date; at most five times a second."""
        now = time.monotonic()
        if not last and now - self._last < EVERY:
            return
        self._last = now
        if self._terminal:
            print(f"\r\x1b[K{self._bar()} {self.text()}", end="\n" if last else "", file=sys.stderr, flush=True)  # noqa: T201
        elif self._notebook:
            self._update()

    def _bar(self) -> str:
        full = 20 * self.done // max(1, self.total)
        return "[" + "#" * full + "." * (20 - full) + "]"

    def _update(self) -> None:
        content = _Bar(self.done, self.total, self.text(), time.monotonic() - self._began)
        if self._handle is None:
            self._handle = sys.modules["IPython.display"].display(content, display_id=True)
        else:
            self._handle.update(content)


class _Bar:
    def __init__(self, done: int, total: int, text: str, seconds: float) -> None:
        self._done, self._total, self._text, self._seconds = done, total, text, seconds

    def __repr__(self) -> str:
        return f"{self._text}, {self._seconds:.1f} s"

    def _repr_html_(self) -> str:
        return no_math(f'<progress value="{self._done:d}" max="{self._total:d}"></progress> {escape(repr(self))}')


def _in_kernel() -> bool:
    shell = sys.modules.get("IPython")
    if shell is None or "IPython.display" not in sys.modules:
        return False
    found = shell.get_ipython()
    return found is not None and getattr(found, "kernel", None) is not None
