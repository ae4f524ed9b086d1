"""The database that anton's proxy writes (FORMATS.md 4), followed while it is written.

A call is a row that is inserted when the request goes out and updated when the answer comes. The table says nothing of when a row
was changed, so a pass asks for the rows after the last one and looks again at those that had no end: it costs by what changed.
"""

from __future__ import annotations

import contextlib
import gc
import time
from collections.abc import Callable

from anton_notebook.model.span import Problem
from anton_notebook.sources.anton.line_schema import excerpt
from anton_notebook.sources.proxy.calls import text
from anton_notebook.sources.proxy.run_builder import Keep, Runs
from anton_notebook.sources.proxy.sqlite_reader import Refused, Row, SqliteFile
from anton_notebook.sources.proxy.tasks import Tasks
from anton_notebook.store import Store

FIRST = 2.0  # seconds that the first reading waits for a lock
AGAIN = 0.1  # and a later one: the journal is gone, which is the last that the system tells, before its writer lets the lock go
BORN = 2.0  # seconds in which a new database may still lack its tables
LOCKED = 5.0  # seconds after which a lock is worth a word
PAUSE = 0.25  # seconds between two looks for calls without an answer
COMMIT = 65_536
ROWS = 256  # of a statement: what was read is still in the processor's cache when it is looked at
FLUSH = 4096

_TABLES = "SELECT name FROM sqlite_master WHERE type = 'table' AND name IN ('llm_calls', 'traces')"
_NAMES = "SELECT name FROM pragma_table_info('llm_calls')"
_TRACE_NAMES = "SELECT name FROM pragma_table_info('traces')"
_LAST = "SELECT call_id FROM llm_calls WHERE rowid = ?"
NEW = """
SELECT rowid, call_id, parent_id, created_at, provider, model, finish_reason, duration_ms, tokens_input, tokens_output,
       cost_usd, agent_name, error, response, trace_id, messages
FROM llm_calls WHERE rowid > ? ORDER BY rowid
"""
ENDED = """
SELECT rowid, call_id, parent_id, created_at, provider, model, finish_reason, duration_ms, tokens_input, tokens_output,
       cost_usd, agent_name, error, response
FROM llm_calls WHERE (duration_ms IS NOT NULL OR error IS NOT NULL) AND rowid IN
(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)
"""
ASKED = 50  # question marks in `ENDED`
CALLS = frozenset(
    "call_id trace_id parent_id created_at provider model messages response finish_reason duration_ms tokens_input tokens_output "
    "cost_usd agent_name error".split()
)
TRACES = frozenset("trace_id task_id created_at task_description".split())
Report = Callable[[Problem], None]


class ProxyDb:
    """One database, followed into a store. With `keep`, only the tasks that it is true for; `left_out` counts the others.

    `patient`: a file that has just been made may become a database yet.
    """

    def __init__(
        self, path: str, store: Store, report: Report, keep: Keep | None = None, *, patient: bool = False
    ) -> None:
        self.path = path
        self.filtered = keep is not None
        self._patient = patient
        self.file = SqliteFile(path)
        self._store = store
        self._report = report
        self._keep = keep
        self._verdicts: dict[str, bool] = {}
        self._seen: set[int] = set()
        self._stamp: object = None
        self._settled = False
        self._checked = False
        self._missing = False
        self._told: set[str] = set()
        self._begun = False
        self._locked: float | None = None
        self._looked = 0.0
        self._open_before: list[tuple[int, str]] = []
        self.runs = self._begin()

    @property
    def left_out(self) -> int:
        """How many tasks are not shown because they are of another repository, or do not say of which."""
        return len(self.runs.groups) - self.runs.kept

    @property
    def offsets(self) -> dict[int, int]:
        """What local time was ahead of UTC, in microseconds, by the code of the trace."""
        return {group.code: group.offset for group in self.runs.groups if group.kept and group.offset is not None}

    def read(self) -> bool:
        """Reads what is new. True where anything was."""
        look = self.file.look()
        if look is None:
            return self._vanished()
        if self.file.replaced() or self._missing:
            self._missing = self._checked = False
            self._renew()
        new = False
        if look.stamp != self._stamp or not self._settled:
            new, done = self._pass()
            self._stamp, self._settled = (look.stamp, look.settled) if done else (None, False)
        if time.monotonic() - self._looked > PAUSE:
            new |= self.runs.give_up()
            self._looked = time.monotonic()
        return new

    def reread(self) -> None:
        """Has everything read anew at the next pass: it is to be decided again which tasks are shown."""
        self._verdicts.clear()
        self._renew()
        self._stamp = None

    def close(self) -> None:
        """Lets go of the file; it is opened again when it is needed."""
        self.file.close()

    # -- one pass

    def _pass(self) -> tuple[bool, bool]:
        """Whether anything was new, and whether all of it was read."""
        first, self._begun = not self._begun, True
        deadline = time.monotonic() + (FIRST if first else AGAIN)
        collects, new = gc.isenabled(), False
        gc.disable()  # nothing here forms a circle
        try:
            while True:
                try:
                    self._check()
                    self._same_rows()
                    new |= self._look_again() | self._go_on()
                    if not self.runs.restart:
                        self.runs.bury(self._open_before)
                        self._open_before, self._locked = [], None
                        return new, True
                    self._renew()
                except Refused as refused:
                    if refused.rows:
                        with contextlib.suppress(Refused):
                            new |= self._take(refused.rows)
                        self.runs.flush()
                    if refused.soon and time.monotonic() < deadline:
                        time.sleep(0.01)
                        continue
                    self._checked &= refused.passing
                    if refused.foreign and self._patient and self.file.age() < BORN:
                        return new, False
                    self._refused(refused, first)
                    return new, not refused.passing
        finally:
            if collects:
                gc.enable()

    def _check(self) -> None:
        if self._checked:
            return
        reason = lacking(self.file)
        if reason:
            raise Refused(reason, foreign=True)
        extra = {text(name) for (name,) in self.file.few(_NAMES)} - CALLS
        if extra:
            more = ", ".join(sorted(extra))
            self._tell(f"is of a version of anton that is not known here: its columns {more} are kept as attributes")
        if self.file.no_wal:
            self._tell(
                "is in WAL mode and has no -wal beside it: if it was copied without that file, its newest calls are missing"
            )
        self._checked = True

    def _same_rows(self) -> None:
        """Starts over where rows were taken out or numbered anew."""
        if self.runs.last:
            found = self.file.few(_LAST, (self.runs.last,))
            if not found or found[0][0] != self.runs.last_id:
                self._renew()

    def _go_on(self) -> bool:
        new, held, more = False, 0, True
        try:
            while more:
                rows, more = self.file.rows(NEW, (self.runs.last,), most=ROWS)
                if rows:
                    new |= self._take(rows)
                    held += len(rows)
                if held >= COMMIT:
                    self.runs.flush()
                    self._store.commit()
                    held = 0
        finally:
            self.runs.flush()
        return new

    def _take(self, rows: list[Row]) -> bool:
        columns = list(zip(*rows, strict=True))
        new = self.runs.take(rows, columns, self._tasks.of(columns[14]))
        if self.runs.waiting >= FLUSH:
            self.runs.flush()
        return new

    def _look_again(self) -> bool:
        runs = self.runs
        again = list(runs.lost)[:ASKED]
        for rowid in again:  # all of those get their turn
            runs.lost[rowid] = runs.lost.pop(rowid)
        due = [*runs.open, *again]
        ended: list[Row] = []
        for at in range(0, len(due), ASKED):
            part = due[at : at + ASKED]
            ended += self.file.rows(ENDED, (*part, *part[:1] * (ASKED - len(part))))[0]
        if any(text(row[1]) != runs.calls.ids[runs.number(row[0])] for row in ended):
            self._renew()
            return True
        if ended:
            runs.end(ended)
        return bool(ended)

    # -- what may happen to the file

    def _begin(self) -> Runs:
        self._tasks = Tasks(self.file)
        return Runs(self.file, self._store, self._tell_row, self._keep, self._verdicts, self._seen)

    def _renew(self) -> None:
        """Starts over; what is found again keeps its rows in the store."""
        self._open_before += self.runs.forget()
        self.runs = self._begin()

    def _vanished(self) -> bool:
        if self._missing or not self.runs.last:
            return False
        self._missing, self._stamp = True, None
        self.runs.lose(list(self.runs.open.values()))
        self.runs.calls.gone = True
        self._store.mark_file_gone(self.runs.file)
        self._tell("was removed; its spans stay, their texts cannot be read any more")
        return True

    def _refused(self, refused: Refused, first: bool) -> None:
        if refused.soon:
            if self._locked is None:
                self._locked = time.monotonic()
            if not first and time.monotonic() - self._locked < LOCKED:
                return
        self._tell(refused.reason)

    def _tell(self, reason: str) -> None:
        if reason not in self._told:
            self._told.add(reason)
            self._report(Problem(self.path, None, None, reason, None, None))

    def _tell_row(self, rowid: int, reason: str, column: str | None, raw: bytes) -> None:
        self._report(Problem(self.path, rowid, None, reason, column, excerpt(raw) if raw else None))


def lacking(file: SqliteFile) -> str | None:
    """What a database lacks to be a proxy's; None where it lacks nothing. `Refused` where it cannot be read."""
    tables = {text(name) for (name,) in file.few(_TABLES)}
    if tables != {"llm_calls", "traces"}:
        lost = " and ".join(sorted({"llm_calls", "traces"} - tables))
        return f"is no database of anton's proxy: it has no table {lost}"
    for table, query, wanted in (("llm_calls", _NAMES, CALLS), ("traces", _TRACE_NAMES, TRACES)):
        less = wanted - {text(name) for (name,) in file.few(query)}
        if less:
            return f"is of a version of anton that cannot be read: its table {table} has no column {', '.join(sorted(less))}"
    return None


def refusal(path: str) -> str | None:
    """Why a file can never be read as a proxy's database; None where it can, or where that may yet change."""
    file = SqliteFile(path)
    try:
        return lacking(file)
    except Refused as refused:
        return refused.reason if refused.foreign else None
    finally:
        file.close()
