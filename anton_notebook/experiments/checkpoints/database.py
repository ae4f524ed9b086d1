"""SQLite storage of checkpoints: one table, one row per checkpoint, JSON columns.

Every save is one synced transaction in rollback mode: after a crash a checkpoint is there as a whole or not at all.
A file that is damaged, foreign or newer is reported and never modified. Read `checkpoint.py` next.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from anton_notebook.errors import CheckpointError, NewerSchema
from anton_notebook.sources.writer import make_folder

FILE_NAME = "checkpoints.db"
APPLICATION_ID = 1634624066
SCHEMA_VERSION = 2
BUSY_TIMEOUT = 10.0
"""Seconds that a save waits for another process."""
LARGEST_ROW = 256 << 20
"""Bytes of the largest text that is read from the file."""
SYNCHRONOUS = "PRAGMA synchronous = FULL"
_HEADER_SIZE = 100
_ROLLBACK_MODE = b"\x01\x01"
_TABLE = """CREATE TABLE checkpoints (
    checkpoint_id TEXT PRIMARY KEY, trace_id TEXT NOT NULL, span_id TEXT NOT NULL, timestamp TEXT NOT NULL,
    task_description TEXT NOT NULL, repo_knowledge TEXT NOT NULL, module_states TEXT NOT NULL,
    modified_prompts TEXT NOT NULL, note TEXT NOT NULL, created TEXT NOT NULL, parent_id TEXT, digest TEXT NOT NULL
)"""
_TEXT_COLUMNS = ("checkpoint_id", "trace_id", "span_id", "timestamp", "created", "parent_id")
_JSON_COLUMNS = ("task_description", "repo_knowledge", "module_states", "modified_prompts", "note")
_COLUMNS = (*_TEXT_COLUMNS, *_JSON_COLUMNS)
_INSERT = """INSERT OR REPLACE INTO checkpoints (
    checkpoint_id, trace_id, span_id, timestamp, created, parent_id, task_description, repo_knowledge, module_states,
    modified_prompts, note, digest
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
_SELECT = """SELECT checkpoint_id, trace_id, span_id, timestamp, created, parent_id, task_description, repo_knowledge,
    module_states, modified_prompts, note, digest
FROM checkpoints WHERE ?1 IS NULL OR checkpoint_id = ?1 ORDER BY checkpoint_id DESC"""


@dataclass(frozen=True)
class CheckpointRow:
    """One stored checkpoint. `timestamp` and `created` are ISO 8601 in UTC."""

    checkpoint_id: str
    trace_id: str
    span_id: str
    timestamp: str
    created: str
    parent_id: str | None = None
    task_description: str | None = None
    repo_knowledge: dict[str, Any] | None = field(default=None, repr=False)
    module_states: dict[str, list[dict[str, Any]]] = field(default_factory=dict, repr=False)
    modified_prompts: dict[str, str] = field(default_factory=dict)
    note: str | None = None


class CheckpointDatabase:
    """The checkpoints of one file. Threads and processes may share it; the first `insert` creates the file.

    >>> import tempfile, pathlib
    >>> database = CheckpointDatabase(pathlib.Path(tempfile.mkdtemp()) / "checkpoints.db")
    >>> when = "2026-01-01T00:00:00+00:00"
    >>> database.insert(CheckpointRow("c1", "trace", "span", when, when, modified_prompts={"span": "Hi"}))
    >>> [(row.checkpoint_id, row.modified_prompts) for row in database.rows()], database.trace_ids()
    ([('c1', {'span': 'Hi'})], ['trace'])
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def insert(self, row: CheckpointRow) -> None:
        """Save a checkpoint; one with the same id is replaced.

        Raises:
            CheckpointError: A value is not JSON, or the file cannot be written.
            NewerSchema: A newer version of this library wrote the file.
        """
        values = [_text(getattr(row, name), name) for name in _TEXT_COLUMNS]
        values += [_json(getattr(row, name), name) for name in _JSON_COLUMNS]
        with self._writing() as db:
            db.execute(_INSERT, (*values, _digest(values)))

    def get(self, checkpoint_id: str) -> CheckpointRow | None:
        """Return the checkpoint of this id, or None. Raises `CheckpointError` if it is damaged."""
        return next(self._select(checkpoint_id), None)

    def rows(self) -> list[CheckpointRow]:
        """Return all checkpoints, the newest id first. Raises `CheckpointError` if one is damaged."""
        return list(self._select(None))

    def trace_ids(self) -> list[str]:
        """Return the ids of the traces that have checkpoints, sorted."""
        with self._reading() as db:
            if db is None:
                return []
            return [str(row[0]) for row in db.execute("SELECT DISTINCT trace_id FROM checkpoints ORDER BY 1")]

    def _select(self, checkpoint_id: str | None) -> Iterator[CheckpointRow]:
        with self._reading() as db:
            if db is None:
                return
            for row in db.execute(_SELECT, (checkpoint_id,)):
                yield _checkpoint_row(row, self.path)

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection | None]:
        """Open the file in a read transaction; None before the first save."""
        with _errors_named(self.path):
            if not _exists(self.path):
                yield None
                return
            _check_header(self.path)
            with closing(_connect(self.path)) as db:
                db.execute("BEGIN")
                yield db if _check_schema(db, self.path) else None

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """Open or create the file in a write transaction that is committed at the end."""
        with _errors_named(self.path):
            make_folder(self.path.parent)
            if _exists(self.path):
                _check_header(self.path)
            else:
                os.close(os.open(self.path, os.O_CREAT | os.O_WRONLY | getattr(os, "O_NOFOLLOW", 0), 0o600))
            with closing(_connect(self.path)) as db:
                # A transaction that reads first would fail at once where another process writes.
                db.execute("BEGIN IMMEDIATE")
                try:
                    if not _check_schema(db, self.path):
                        _create(db)
                    yield db
                    db.execute("COMMIT")
                except BaseException:
                    if db.in_transaction:
                        db.execute("ROLLBACK")
                    raise


def _create(db: sqlite3.Connection) -> None:
    db.execute(_TABLE)
    db.execute("PRAGMA application_id = 1634624066")  # APPLICATION_ID
    db.execute("PRAGMA user_version = 2")  # SCHEMA_VERSION


def _exists(path: Path) -> bool:
    """Whether the file has content. Raises `CheckpointError` for anything but a regular file."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return False
    if not stat.S_ISREG(status.st_mode):
        raise CheckpointError(f"{path} is not a regular file. Move it away, or choose another folder with home=.")
    return status.st_size > 0


def _check_header(path: Path) -> None:
    """Check the first bytes before SQLite opens the file: a foreign database must not be written to, even by reading."""
    with path.open("rb") as file:
        header = file.read(_HEADER_SIZE)
    if not header.startswith(b"SQLite format 3\0") or len(header) < _HEADER_SIZE:
        raise CheckpointError(f"{path} is damaged and was not changed. Move it away to begin a new one.")
    if int.from_bytes(header[68:72], "big") != APPLICATION_ID:
        raise CheckpointError(
            f"{path} is another program's database. Move it away, or choose another folder with home=."
        )
    if header[18:20] != _ROLLBACK_MODE:
        raise CheckpointError(f"{path} was changed by another program (journal mode). It was not changed.")


def _check_schema(db: sqlite3.Connection, path: Path) -> bool:
    """Whether the table exists. Raises for a newer schema and for everything that `_create` does not make."""
    objects = db.execute("SELECT name, type, sql FROM sqlite_schema").fetchall()
    if not objects:
        return False
    version = int(db.execute("PRAGMA user_version").fetchone()[0])
    if version > SCHEMA_VERSION:
        raise NewerSchema(
            f"{path} was written by a newer version of anton_notebook (schema {version}; this version knows "
            f"{SCHEMA_VERSION}). Upgrade anton_notebook, or choose another folder with home=."
        )
    unexpected = [name for name, kind, sql in objects if sql is not None and (kind != "table" or sql != _TABLE)]
    if version != SCHEMA_VERSION or unexpected or not any(name == "checkpoints" for name, _, _ in objects):
        raise CheckpointError(
            f"{path} is damaged or was changed by another program "
            f"({', '.join(sorted(map(str, unexpected))) or 'a table is missing'}). It was not changed."
        )
    return True


def _connect(path: Path) -> sqlite3.Connection:
    mode = "rw" if os.access(path, os.W_OK) else "ro"
    db = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}", uri=True, timeout=BUSY_TIMEOUT, isolation_level=None
    )
    db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LARGEST_ROW)
    db.execute("PRAGMA trusted_schema = OFF")
    db.execute("PRAGMA cell_size_check = ON")
    db.execute(SYNCHRONOUS)
    return db


def _checkpoint_row(values: tuple[Any, ...], path: Path) -> CheckpointRow:
    row = dict(zip(_COLUMNS, values, strict=False))
    damaged = f"checkpoint {row['checkpoint_id']!r} in {path} is damaged. The other checkpoints are not affected."
    if _digest(values[:-1]) != values[-1]:
        raise CheckpointError(damaged)
    try:
        row |= {name: json.loads(row[name]) for name in _JSON_COLUMNS}
        made = CheckpointRow(**row)
    except (ValueError, TypeError, RecursionError) as error:
        raise CheckpointError(damaged) from error
    return made


def _text(value: object, name: str) -> str | None:
    if value is None and name == "parent_id":
        return None
    if not isinstance(value, str):
        raise TypeError(f"{name} must be text, got {value!r}")
    return value.encode("utf-8", "replace").decode("utf-8")


def _json(value: object, name: str) -> str:
    try:
        return json.dumps(value, ensure_ascii=True, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{name} cannot be saved as JSON: {error}") from error


def _digest(values: Any) -> str:
    """Checksum of a row: a damaged page must not be shown as a prompt."""
    text = json.dumps([value if isinstance(value, str) else None for value in values])
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


@contextmanager
def _errors_named(path: Path) -> Iterator[None]:
    """Turn errors of SQLite and the file system into `CheckpointError` with the file and what to do."""
    try:
        yield
    except sqlite3.Error as error:
        raise CheckpointError(f"{path} cannot be used ({error}): {_advice(error)}") from error
    except UnicodeDecodeError as error:  # SQLite's own message quotes the damaged bytes
        raise CheckpointError(f"{path} is damaged and was not changed. Move it away to begin a new one.") from error
    except OSError as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(
            f"{path} cannot be written ({error.strerror or error}). Choose another folder with read_traces(..., home=...)."
        ) from error


def _advice(error: sqlite3.Error) -> str:
    reason = str(error)
    if "full" in reason:
        return "the disk is full. Nothing of this checkpoint was saved; all earlier checkpoints are intact."
    if "locked" in reason or "busy" in reason:
        return f"another process held it for more than {BUSY_TIMEOUT:.0f} s. Try again."
    if "readonly" in reason or "unable to open" in reason:
        return "it cannot be written here. Choose another folder with home=."
    if isinstance(error, sqlite3.DatabaseError) and ("malformed" in reason or "not a database" in reason):
        return "it is damaged and was not changed. Move it away to begin a new one."
    return "it was not changed."
