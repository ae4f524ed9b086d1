"""What could not be read: of each file the first hundred in full, ten thousand in all; every one is counted."""

from __future__ import annotations

import threading
from collections import Counter

from anton_notebook.model.span import Problem

KEPT, EACH = 10_000, 100


class Problems:
    """Collects problem rows from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: list[Problem] = []
        self.count = 0
        self.lines = 0
        self.notes: dict[str, str] = {}
        self.sources: Counter[str] = Counter()
        self._listed: Counter[str] = Counter()

    def add(self, problem: Problem) -> None:
        """Takes one problem."""
        with self._lock:
            self.count += 1
            self.lines += problem.line is not None
            self.sources[problem.source] += 1
            if len(self._kept) < KEPT and self._listed[problem.source] < EACH:
                self._listed[problem.source] += 1
                self._kept.append(problem)

    def rows(self) -> list[Problem]:
        """The problems kept, in the order in which they were found, and a row for each file that counts the others."""
        with self._lock:
            more = [(source, count - self._listed[source]) for source, count in self.sources.items()]
            others = [
                Problem(s, None, None, f"{n:,} more problems are counted, not listed", None, None) for s, n in more if n
            ]
            return [*self._kept, *others]

    def sentence(self) -> str:
        """Return a summary for the widget; "" without problems."""
        notes = [note for note in list(self.notes.values()) if note]
        return "; ".join([*([self._counted()] if self.count else []), *notes])

    def _counted(self) -> str:
        other = self.count - self.lines
        parts = []
        if self.lines:
            parts.append(f"{self.lines:,} line{'s' if self.lines > 1 else ''} could not be read in full")
        if other:
            parts.append(f"{other:,} other notice{'s' if other > 1 else ''}")
        kept = f" (the first {EACH} of each file are listed)" if self.count > len(self._kept) else ""
        return f"{' and '.join(parts)}: see problems_df(){kept}"
