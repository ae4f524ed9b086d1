"""Full-text search in everything that was recorded of some spans: in a thread, with progress and a stop."""

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

RESULT_LIMIT = 10_000  # rows per search
SEARCH_LIMIT = 4  # searches that are kept
_SKIPPED = frozenset({"timestamp", "trace_id", "span_id", "parent_id", "_faults"})


class Search:
    """A running search. `rows` grows; `looked` of `total` spans have been read; `unread` could not be read."""

    def __init__(self, traces: Traces, text: str, rows: list[int]) -> None:
        self.name = secrets.token_hex(6)
        self.text, self.total = text, len(rows)
        self.rows: list[int] = []
        self.looked = self.unread = 0
        self.done = self.full = False
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=self._run, args=(traces, rows), name="anton_notebook search", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Stop the search; results stay."""
        self._stop.set()

    def join(self, seconds: float | None = None) -> None:
        """Wait for the end of the search."""
        self._thread.join(seconds)

    def _run(self, traces: Traces, rows: list[int]) -> None:
        try:
            wanted = self.text.casefold()
            for row in rows:
                if self._stop.is_set():
                    break
                self._check(traces, row, wanted)
                self.looked += 1
                if len(self.rows) >= RESULT_LIMIT:
                    self.full = True
                    break
        finally:
            self.done = True

    def _check(self, traces: Traces, row: int, wanted: str) -> None:
        store = traces.store
        if wanted in note_of(store, row).text.casefold():
            self.rows.append(row)
            return
        # Derived nodes have no record on disk.
        file = int(store.c.file[row])
        if file < 0:
            return
        try:
            record = store.files[file].loader(int(store.c.offset[row]), int(store.c.length[row]))
        except (BodyUnavailable, ValueError):
            self.unread += 1
            return
        if any(wanted in text.casefold() for text in texts_of(record)):
            self.rows.append(row)


def texts_of(value: Any) -> Iterator[str]:
    """Yield every text in a record at any depth, except times and ids."""
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
        """Start a search in these traces; ValueError for an empty text."""
        if not text.strip():
            raise ValueError("The search text is empty.")
        store = self._traces.store
        rows = [row for row in store.changes(-1, codes).rows.tolist() if not store.c.flags[row] & Flag.PENDING]
        for old in list(self._all)[: max(0, len(self._all) - SEARCH_LIMIT + 1)]:
            self._all.pop(old).stop()
        search = Search(self._traces, text, rows)
        self._all[search.name] = search
        return search

    def progress(self, name: str, since: int) -> dict[str, Any]:
        """Return the progress of a search and its results after the first `since`."""
        search = self._all.get(name)
        if search is None:
            raise ValueError("This search has ended. Start it again.")
        done, rows = search.done, search.rows[since:]
        return {
            "search": name,
            "rows": rows,
            "looked": search.looked,
            "total": search.total,
            "unread": search.unread,
            "done": done,
            "full": search.full,
        }

    def stop(self, name: str) -> None:
        """Stop a search."""
        if name in self._all:
            self._all[name].stop()

    def close(self) -> None:
        """Stop all searches."""
        for search in self._all.values():
            search.stop()
        self._all.clear()
