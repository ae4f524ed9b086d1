"""What the proxy's table `traces` says of its calls.

Nearly every call has a trace of its own, made right before it. So the table is read along with the calls, in the same order: to
join the two costs as much as the calls themselves. What is not found on that way, or has no task yet, is asked for by its id.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from anton_notebook.sources.proxy.sqlite_reader import Refused, Row, SqliteFile

WINDOW = 8192  # traces kept
ASKED = 10
FEW = 40  # calls of which it is quicker to ask for each trace
_ALONG = "SELECT rowid, trace_id, task_id, created_at, task_description FROM traces WHERE rowid > ? ORDER BY rowid"
_OF = """
SELECT 0, trace_id, task_id, created_at, task_description FROM traces WHERE trace_id IN
(CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS TEXT),
 CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS TEXT))
"""


Task = tuple[Any, Any, Any, Any, Any]
"""A trace's row number and id, its task, when it was made (UTC), and what it is called; as the database holds them."""
NONE: Task = (None, None, None, None, None)


class Tasks:
    """See the module."""

    def __init__(self, file: SqliteFile) -> None:
        self._file = file
        self._known: dict[Any, Row] = {}
        self._last = 0
        self._along = True

    def of(self, traces: Sequence[Any]) -> list[Task]:
        """The tasks of calls with these `trace_id`s. `Refused` where they cannot be read now."""
        known = self._known
        try:
            if len(traces) > FEW and self._along:
                self._read_along(traces)
            found = [known.get(trace, NONE) for trace in traces]
            lacking = [trace for trace, task in zip(traces, found, strict=True) if not task[2] and trace is not None]
            if lacking:
                wanted = list(dict.fromkeys(lacking))
                for at in range(0, len(wanted), ASKED):
                    part = wanted[at : at + ASKED]
                    self._keep(self._file.few(_OF, (*part, *part[:1] * (ASKED - len(part)))))
                found = [known.get(trace, NONE) for trace in traces]
        except Refused as refused:
            refused.rows = []  # none of calls
            raise
        if len(known) > WINDOW:
            for trace in list(known)[: len(known) - WINDOW // 2]:
                del known[trace]
        return found

    def _read_along(self, traces: Sequence[Any]) -> None:
        left, more = 2 * len(traces), True
        wanted = set(traces)
        while more and left > 0 and not self._known.keys() >= wanted:
            try:
                rows, more = self._file.rows(_ALONG, (self._last,), most=len(traces))
            except Refused as refused:
                if refused.soon or refused.passing:
                    raise
                self._along = False  # a table without row numbers, or a damaged one
                return
            self._keep(rows)
            left -= len(rows)
            if rows:
                self._last = rows[-1][0]

    def _keep(self, rows: list[Row]) -> None:
        self._known.update(zip([row[1] for row in rows], rows, strict=True))
