"""What could not be read: the first ten thousand in full, all of them counted."""

from __future__ import annotations

import threading

from anton_notebook.span import Problem

KEPT = 10_000


class Problems:
    """Collects problem rows from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: list[Problem] = []
        self.count = 0
        self.lines = 0
        self.notes: dict[str, str] = {}

    def add(self, problem: Problem) -> None:
        """Takes one problem."""
        with self._lock:
            self.count += 1
            self.lines += problem.line is not None
            if len(self._kept) < KEPT:
                self._kept.append(problem)

    def rows(self) -> list[Problem]:
        """The problems kept, in the order in which they were found."""
        with self._lock:
            return list(self._kept)

    def sentence(self) -> str:
        """What the widget says of them; empty where there is none."""
        notes = [note for note in list(self.notes.values()) if note]
        return "; ".join([*([self._counted()] if self.count else []), *notes])

    def _counted(self) -> str:
        other = self.count - self.lines
        parts = []
        if self.lines:
            parts.append(f"{self.lines:,} line{'s' if self.lines > 1 else ''} could not be read in full")
        if other:
            parts.append(f"{other:,} other notice{'s' if other > 1 else ''}")
        kept = f" (the first {KEPT:,} are kept)" if self.count > KEPT else ""
        return f"{' and '.join(parts)}: see problems_df(){kept}"
