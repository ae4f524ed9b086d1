"""Inner: looks for a text in everything that was recorded of some spans, in a thread of its own, with progress and a stop."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from anton_notebook.errors import BodyUnavailable
from anton_notebook.model.span import Flag
from anton_notebook.store import note_of

if TYPE_CHECKING:
    from anton_notebook.api import Traces

MOST = 10_000
"""Rows that one search gives back; of more it says so."""
KEPT = 4
_SKIPPED = frozenset({"timestamp", "trace_id", "span_id", "parent_id", "_faults"})


class Search:
    """One search. `found` grows while it goes on; `looked` of `total` spans have been read; `unread` could not be."""

    def __init__(self, traces: Traces, text: str, rows: list[int]) -> None:
        self.name = secrets.token_hex(6)
        self.text, self.total = text, len(rows)
        self.found: list[int] = []
        self.looked = self.unread = 0
        self.done = self.full = False
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=self._run, args=(traces, rows), name="anton_notebook search", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Ends it; what was found stays."""
        self._stop.set()

    def join(self, seconds: float | None = None) -> None:
        """Waits for its end."""
        self._thread.join(seconds)

    def _run(self, traces: Traces, rows: list[int]) -> None:
        try:
            wanted = self.text.casefold()
            for row in rows:
                if self._stop.is_set():
                    break
                self._look(traces, row, wanted)
                self.looked += 1
                if len(self.found) >= MOST:
                    self.full = True
                    break
        finally:
            self.done = True

    def _look(self, traces: Traces, row: int, wanted: str) -> None:
        store = traces.store
        if wanted in note_of(store, row).text.casefold():
            self.found.append(row)
            return
        file = int(store.c.file[row])
        if file < 0:
            return
        try:
            record = store.files[file].loader(int(store.c.offset[row]), int(store.c.length[row]))
        except (BodyUnavailable, ValueError):
            self.unread += 1
            return
        if any(wanted in text.casefold() for text in texts_of(record)):
            self.found.append(row)


def texts_of(value: Any) -> Iterator[str]:
    """Every text in a record, at any depth, times and ids apart."""
    stack = [value]
    while stack:
        one = stack.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, Mapping):
            stack.extend(inner for name, inner in one.items() if name not in _SKIPPED)
        elif isinstance(one, list | tuple):
            stack.extend(one)


class SearchManager:
    """The searches of one graph; the last ones are kept until the page has read them."""

    def __init__(self, traces: Traces) -> None:
        self._traces = traces
        self._all: dict[str, Search] = {}

    def start(self, text: str, codes: tuple[int, ...]) -> Search:
        """Starts one over these traces. ValueError for an empty text."""
        if not text.strip():
            raise ValueError("there is nothing to search for: give at least one letter")
        store = self._traces.store
        rows = [row for row in store.changes(-1, codes).rows.tolist() if not store.c.flags[row] & Flag.PENDING]
        for old in list(self._all)[: max(0, len(self._all) - KEPT + 1)]:
            self._all.pop(old).stop()
        made = Search(self._traces, text, rows)
        self._all[made.name] = made
        return made

    def look(self, name: str, since: int) -> dict[str, Any]:
        """How far a search is, and the rows that it found after the first `since`."""
        search = self._all.get(name)
        if search is None:
            raise ValueError("this search is over; start it again")
        done, found = search.done, search.found[since:]
        return {
            "search": name,
            "rows": found,
            "looked": search.looked,
            "total": search.total,
            "unread": search.unread,
            "done": done,
            "full": search.full,
        }

    def stop(self, name: str) -> None:
        """Stops one."""
        if name in self._all:
            self._all[name].stop()

    def close(self) -> None:
        """Stops all."""
        for search in self._all.values():
            search.stop()
        self._all.clear()
