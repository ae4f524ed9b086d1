"""One SQLite database that somebody else may be writing: opened read-only, in short statements, whatever state it is in.

In rollback-journal mode a reader holds the writer up while its statement is open, so `rows` ends every statement after
`HOLD` seconds and says that there is more. A journal left behind by a killed writer makes the file unreadable until somebody
who may write has opened it; reading past it (`immutable`) would show what was never committed.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
from typing import Any, NamedTuple
from urllib.parse import quote

MAGIC = b"SQLite format 3\0"
HOLD = 0.012  # seconds a statement is kept open at most; with the step that is under way it stays below 20 ms
WAIT = 0.03  # seconds to wait for a lock within one attempt
KNOCK = 0.0004  # seconds between two tries for it: SQLite's own waiting sleeps past the gaps that a busy writer leaves
FRESH = 50_000_000  # ns: a file changed this short a while ago may change again without another time stamp
_WAL = 2

Row = tuple[Any, ...]
Stamp = tuple[object, ...]


class Refused(Exception):
    """Why the database cannot be read now. `soon`: it is worth waiting for. `passing`: it may go better another time, without the
    file being changed. `foreign`: it is none of ours. `rows` is what the statement had given until then.
    """

    def __init__(self, reason: str, *, soon: bool = False, passing: bool = False, foreign: bool = False) -> None:
        super().__init__(reason)
        self.reason, self.soon, self.passing, self.foreign = reason, soon, soon or passing, foreign
        self.rows: list[Row] = []


class _Look(NamedTuple):
    stamp: Stamp
    settled: bool


class SqliteFile:
    """Reads one database. Any thread may use it, one at a time."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.no_wal = False
        self._lock = threading.RLock()
        self._db: sqlite3.Connection | None = None
        self._frozen: Stamp | None = None
        self._identity: tuple[int, int] | None = None

    def look(self) -> _Look | None:
        """What tells whether anything was written since; None where the file is not there."""
        found = _stat(self.path)
        if found is None:
            return None
        sides = [_stat(self.path + end) for end in ("-journal", "-wal")]
        newest = max(s.st_mtime_ns for s in (found, *sides) if s is not None)
        stamp = (
            (found.st_dev, found.st_ino),
            found.st_size,
            found.st_mtime_ns,
            head(self.path, 24, 4),  # the number of the last transaction
            *((s.st_size, s.st_mtime_ns) if s is not None else None for s in sides),
        )
        return _Look(stamp, abs(time.time_ns() - newest) > FRESH)

    def age(self) -> float:
        """Seconds since the file was changed."""
        found = _stat(self.path)
        return 0.0 if found is None else time.time() - found.st_mtime

    def replaced(self) -> bool:
        """True once after another file has taken the place of the one that was read."""
        found = _stat(self.path)
        now = None if found is None else (found.st_dev, found.st_ino)
        with self._lock:
            if now is None or now == self._identity:
                return False
            was, self._identity = self._identity, now
            self._drop()
            return was is not None

    def rows(
        self, query: str, parameters: tuple[Any, ...] = (), hold: float = HOLD, most: int = 1 << 30
    ) -> tuple[list[Row], bool]:
        """The rows of one statement, `most` or as many as come within `hold` seconds, and whether there may be more. Text comes as
        bytes."""
        out: list[Row] = []
        with self._lock:
            try:
                db = self._opened()
                cursor, more = _begun(db, query, parameters), False
                try:
                    until = time.perf_counter() + hold
                    for row in cursor:
                        out.append(row)
                        if time.perf_counter() > until or len(out) >= most:
                            more = True
                            break
                finally:
                    cursor.close()
                self._still_frozen()
                return out, more
            except sqlite3.Error as error:
                self._drop()
                refused = self._refused(error)
                refused.rows = [] if refused.passing else out
                raise refused from error

    def few(self, query: str, parameters: tuple[Any, ...] = ()) -> list[Row]:
        """All rows of a statement that gives a few small ones, however busy the machine is."""
        return self.rows(query, parameters, hold=float("inf"))[0]

    def record(self, query: str, parameters: tuple[Any, ...]) -> dict[str, Any] | None:
        """The first row of a statement by the names of its columns. Waits for a lock as long as a writer would."""
        until = time.monotonic() + 5.0
        while True:
            with self._lock:
                try:
                    cursor = _begun(self._opened(), query, parameters)
                    try:
                        row = cursor.fetchone()
                        names = [column[0] for column in cursor.description]
                    finally:
                        cursor.close()
                    self._still_frozen()
                    return None if row is None else dict(zip(names, row, strict=True))
                except sqlite3.Error as error:
                    self._drop()
                    refused = self._refused(error)
                except Refused as error:
                    refused = error
            if not refused.soon or time.monotonic() > until:
                raise refused
            time.sleep(0.01)

    def close(self) -> None:
        """Lets go of it; it is opened again when it is needed."""
        with self._lock:
            self._drop()

    def _opened(self) -> sqlite3.Connection:
        if self._thawed():
            self._drop()
        if self._db is None:
            wal = head(self.path, 18, 2)[1:] == bytes([_WAL])
            self.no_wal = wal and not os.path.exists(self.path + "-wal")
            # Without its -wal nobody has it open for writing; to ask for locks would make new files beside it.
            mode = "mode=ro&immutable=1" if self.no_wal else "mode=ro"
            self._frozen = _still(self.path) if self.no_wal else None
            where = quote(os.path.abspath(self.path).encode("utf-8", "surrogateescape"))
            db = sqlite3.connect(
                f"file:{where}?{mode}", uri=True, timeout=0.0, isolation_level=None, check_same_thread=False
            )
            try:
                db.text_factory = bytes
                db.execute("PRAGMA trusted_schema=OFF").close()
                db.execute("PRAGMA query_only=ON").close()
            except BaseException:
                db.close()
                raise
            self._db = db
            if self._identity is None and (found := _stat(self.path)) is not None:
                self._identity = (found.st_dev, found.st_ino)
        return self._db

    def _thawed(self) -> bool:
        return self._frozen is not None and (self._frozen != _still(self.path) or os.path.exists(self.path + "-wal"))

    def _still_frozen(self) -> None:
        if self._thawed():
            self._drop()
            raise Refused("began to be written while it was read", soon=True)

    def _drop(self) -> None:
        db, self._db, self._frozen = self._db, None, None
        if db is not None:
            with contextlib.suppress(sqlite3.Error):
                db.close()

    def _refused(self, error: sqlite3.Error) -> Refused:
        name = getattr(error, "sqlite_errorname", "") or ""
        if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            return Refused("is locked by the program that writes it; it is tried again", soon=True)
        journal = _stat(self.path + "-journal")
        if name == "SQLITE_READONLY_ROLLBACK" or (journal is not None and journal.st_size and "CANTOPEN" in name):
            return Refused(
                "was left in the middle of a change by a writer that was killed (its -journal holds what is "
                "to be undone); start anton's proxy again, or open it once with a program that may write, such as "
                "`sqlite3 FILE 'PRAGMA user_version'`: that repairs it",
                passing=True,
            )
        if name == "SQLITE_NOTADB":
            return Refused("is no SQLite database", foreign=True)
        if name.startswith("SQLITE_CORRUPT"):
            return Refused(
                f"is damaged ({error}); what was read before stays. `sqlite3 FILE .recover` may save more of it"
            )
        if name.startswith(("SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_PERM", "SQLITE_AUTH")):
            missing = "" if os.access(self.path, os.R_OK) else "; there is no right to read it"
            wal = (
                "; in WAL mode its folder must be writable, or its -shm there"
                if os.path.exists(self.path + "-wal")
                else missing
            )
            return Refused(f"cannot be opened ({error}){wal}", passing=True)
        return Refused(f"cannot be read ({error})")


def _begun(db: sqlite3.Connection, query: str, parameters: tuple[Any, ...]) -> sqlite3.Cursor:
    """A statement that has given its first row; waits for a lock, `WAIT` seconds at most."""
    until = time.perf_counter() + WAIT
    while True:
        try:
            return db.execute(query, parameters)
        except sqlite3.OperationalError as error:
            name = getattr(error, "sqlite_errorname", "") or ""
            if not name.startswith("SQLITE_BUSY") or time.perf_counter() > until:
                raise
        time.sleep(KNOCK)


def head(path: str, offset: int, length: int) -> bytes:
    """Bytes of a file's beginning. The descriptor of a database is never closed again: that would take away the locks which
    a writer in this very process holds on it."""
    found = _stat(path)
    if found is None:
        return b""
    key = (found.st_dev, found.st_ino)
    with _heads_lock:
        fd = _heads.get(key)
        if fd is None:
            try:
                fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            except OSError:
                return b""
            if os.pread(fd, len(MAGIC), 0) != MAGIC:
                try:
                    return os.pread(fd, length, offset)
                finally:
                    os.close(fd)
            for old in [k for k, known in _heads.items() if not os.fstat(known).st_nlink]:
                os.close(_heads.pop(old))
            _heads[key] = fd
        try:
            return os.pread(fd, length, offset)
        except OSError:
            return b""


_heads: dict[tuple[int, int], int] = {}
_heads_lock = threading.Lock()


def _stat(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except OSError:
        return None


def _still(path: str) -> Stamp:
    found = _stat(path)
    return () if found is None else (found.st_ino, found.st_size, found.st_mtime_ns)
