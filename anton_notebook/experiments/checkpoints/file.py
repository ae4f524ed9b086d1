"""Inner: the file of the store: how it is opened, what tables it has, how an older one is brought up to date.

One file in rollback mode, every change synced before it is acknowledged, every write begun as such (a transaction that reads first
and then wants to write fails at once where another writes). A file that is not ours, is damaged or newer is never touched.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from anton_notebook.errors import CheckpointError, NewerSchema
from anton_notebook.sources.writer import make_folder

APPLICATION = 1634624066
BUSY = 10.0
SYNCED = True
"""Whether every change is on the disk before it is acknowledged. Off in tests of sizes alone."""

_FIRST = (
    """CREATE TABLE documents (
        thread TEXT NOT NULL, namespace TEXT NOT NULL, id TEXT NOT NULL, parent TEXT, made TEXT NOT NULL,
        metadata BLOB NOT NULL, body BLOB NOT NULL, digest BLOB NOT NULL, PRIMARY KEY (thread, namespace, id)
    )""",
    """CREATE TABLE writes (
        thread TEXT NOT NULL, namespace TEXT NOT NULL, id TEXT NOT NULL, task TEXT NOT NULL, place INTEGER NOT NULL,
        channel TEXT NOT NULL, value BLOB NOT NULL, path TEXT NOT NULL, digest BLOB NOT NULL,
        PRIMARY KEY (thread, namespace, id, task, place)
    )""",
    "CREATE TABLE chunks (id BLOB PRIMARY KEY, body BLOB NOT NULL)",
    "CREATE TABLE links (id BLOB PRIMARY KEY, before BLOB, body BLOB NOT NULL)",
)
"""Schema 1; with row ids, for without them SQLite gives every body of more than 1 kB a page of its own.

These statements are never changed: what a later version needs is a step of its own in `STEPS`.
"""


def _make_first(db: sqlite3.Connection) -> None:
    for statement in _FIRST:
        db.execute(statement)
    db.execute("PRAGMA application_id = 1634624066")
    db.execute("PRAGMA user_version = 1")


STEPS: tuple[Callable[[sqlite3.Connection], None], ...] = (_make_first,)
"""What makes schema 1 of nothing, schema 2 of 1 and so on; each sets `user_version`."""


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection | None]:
    """The open file; None where nothing has been saved yet."""
    if not path.is_file() or not path.stat().st_size:
        yield None
        return
    with said(path):
        if os.access(path, os.W_OK) and _version_of(path) < len(STEPS):
            with writing(path):
                pass  # brings it up to date
        with closing(_connect(path)) as db:
            version = check(db, path)
            if version < len(STEPS):
                raise CheckpointError(
                    f"{path} has the older schema {version} and cannot be written, so it cannot be brought up to date; "
                    "copy it to a folder that can"
                )
            db.execute("BEGIN")
            yield db


@contextmanager
def writing(path: Path) -> Iterator[sqlite3.Connection]:
    """The open file within a transaction, which is committed at the end; the file is made where it is missing."""
    with said(path):
        make_folder(path.parent)
        if not path.exists():
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
        with closing(_connect(path)) as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                version = check(db, path)
                if 0 < version < len(STEPS):
                    _back_up(path, version)
                for step in STEPS[version:]:
                    step(db)
                yield db
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise


def check(db: sqlite3.Connection, path: Path) -> int:
    """The schema's number, 0 for an empty file. Raises for what is not ours, and for what is newer."""
    known = {row[0]: row[1] for row in db.execute("SELECT name, type FROM sqlite_schema").fetchall()}
    if not known:
        return 0
    if db.execute("PRAGMA application_id").fetchone()[0] != APPLICATION:
        raise CheckpointError(f"{path} is another program's database; move it away, or give another home=")
    version = int(db.execute("PRAGMA user_version").fetchone()[0])
    if version > len(STEPS):
        raise NewerSchema(
            f"{path} was written by a newer version of anton_notebook (schema {version}; this one knows schemas up to "
            f"{len(STEPS)}): upgrade anton_notebook, or give another home="
        )
    strange = sorted(name for name, kind in known.items() if kind not in ("table", "index"))
    if version < 1 or strange or not {"documents", "writes", "chunks", "links"} <= known.keys():
        raise CheckpointError(
            f"{path} is damaged or was changed by another program ({', '.join(strange) or 'a table is missing'})"
        )
    return version


def _version_of(path: Path) -> int:
    with closing(_connect(path)) as db:
        return check(db, path)


def _connect(path: Path) -> sqlite3.Connection:
    if os.access(path, os.W_OK):
        db = sqlite3.connect(path, timeout=BUSY, isolation_level=None)
    else:
        db = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=BUSY, isolation_level=None)
    db.execute("PRAGMA trusted_schema = OFF")
    db.execute("PRAGMA cell_size_check = ON")
    db.execute("PRAGMA journal_mode = DELETE")
    db.execute("PRAGMA synchronous = FULL")
    if not SYNCED:
        db.execute("PRAGMA synchronous = OFF")
    return db


def _back_up(path: Path, version: int) -> None:
    """A copy of the file as it was, before its schema changes. Read by a connection of its own: nothing is written yet."""
    stamp = datetime.now(UTC).strftime("%Y%m%d_%H%M%S")
    copy = path.with_name(f"{path.name}.schema{version}-{stamp}")
    os.close(os.open(copy, os.O_CREAT | os.O_WRONLY, 0o600))
    with closing(_connect(path)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)


@contextmanager
def said(path: Path) -> Iterator[None]:
    """What SQLite and the system say, as an error that names the file and what can be done."""
    try:
        yield
    except sqlite3.Error as error:
        reason = str(error)
        if "full" in reason:
            what = "the disk is full; nothing of this was saved, everything saved before is whole"
        elif "locked" in reason or "busy" in reason:
            what = f"another process held it for more than {BUSY:.0f} s; try again"
        elif "readonly" in reason or "unable to open" in reason:
            what = "it cannot be written here; give another home="
        elif isinstance(error, sqlite3.DatabaseError) and ("malformed" in reason or "not a database" in reason):
            what = "it is damaged; it was left as it is: move it away to begin a new one"
        else:
            what = "it was left as it is"
        raise CheckpointError(f"{path} cannot be used ({reason}): {what}") from error
    except UnicodeDecodeError as error:  # SQLite's own sentence quotes the damage
        raise CheckpointError(f"{path} is damaged; it was left as it is: move it away to begin a new one") from error
    except OSError as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(
            f"{path} cannot be written ({error.strerror or error}); checkpoints are kept in the home of what is read: give "
            "another one with read_traces(..., home=...)"
        ) from error
