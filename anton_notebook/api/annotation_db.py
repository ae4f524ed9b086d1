"""Inner: notes and marks of spans, kept in `notes.db` of the home.

One small SQLite file in rollback mode: a note is there, whole and for every process, when `put` returns. It is made by the first
note. A file that is not ours, damaged or newer is never touched.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from anton_notebook.errors import NoteError, did_you_mean
from anton_notebook.model.span import MARKS
from anton_notebook.sources.writer import make_folder
from anton_notebook.store import Note

NAME = "notes.db"
APPLICATION = 1634624067
VERSION = 1
BUSY = 10.0
LONGEST = 20_000
_TABLE = """
CREATE TABLE notes (
    trace_id TEXT NOT NULL, span_id TEXT NOT NULL, note TEXT NOT NULL, mark TEXT NOT NULL, written TEXT NOT NULL,
    PRIMARY KEY (trace_id, span_id)
) WITHOUT ROWID
"""
Key = tuple[str, str]


def checked(before: Note, note: str | None, mark: str | None) -> Note:
    """What these arguments make of the note before: None keeps, an empty text takes away. `NoteError` says what is possible."""
    if note is not None and not isinstance(note, str):
        raise NoteError(f"a note is a text, found {type(note).__name__}")
    if note is not None and len(note) > LONGEST:
        raise NoteError(f"a note has at most {LONGEST:,} characters, this one has {len(note):,}")
    if mark and mark not in MARKS:
        words = ", ".join(repr(word) for word in MARKS)
        raise NoteError(
            f"there is no mark {str(mark)[:80]!r}{did_you_mean(str(mark)[:80], MARKS)}; possible: {words}, or '' for none"
        )
    text = before.text if note is None else note.strip().encode("utf-8", "replace").decode("utf-8")
    return Note(text, before.mark if mark is None else mark)


class Notes:
    """The notes of one home. Safe to share between threads and processes."""

    def __init__(self, home: Path) -> None:
        self.path = home / NAME
        self._seen: tuple[int, ...] | None = None

    def news(self) -> dict[Key, Note] | None:
        """All notes, where the file is another one than at the last call; else None. Costs one look at the file's time."""
        try:
            found = self.path.stat()
        except OSError:
            seen: tuple[int, ...] = ()
        else:
            seen = (found.st_mtime_ns, found.st_size, found.st_ino)
        if seen == self._seen or (not seen and self._seen is None):
            return None
        self._seen = seen
        return self.read() if seen else {}

    def read(self) -> dict[Key, Note]:
        """All notes."""
        if not self.path.is_file() or not self.path.stat().st_size:
            return {}
        with _said(self.path), closing(self._connect()) as db:
            self._check(db)
            rows = db.execute("SELECT trace_id, span_id, note, mark FROM notes").fetchall()
        return {(str(a), str(b)): Note(str(note), mark if mark in MARKS else "") for a, b, note, mark in rows}

    def put(self, key: Key, note: str | None, mark: str | None, before: Note) -> Note:
        """Writes one note: what another process wrote meanwhile counts, `before` where nothing is written yet."""
        with _said(self.path):
            make_folder(self.path.parent)
            if not self.path.exists():
                os.close(os.open(self.path, os.O_CREAT | os.O_WRONLY, 0o600))
            with closing(self._connect()) as db:
                db.execute("BEGIN IMMEDIATE")
                if not db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
                    db.execute(_TABLE)
                    db.execute("PRAGMA application_id = 1634624067")
                    db.execute("PRAGMA user_version = 1")
                self._check(db)
                row = db.execute("SELECT note, mark FROM notes WHERE trace_id = ? AND span_id = ?", key).fetchone()
                made = checked(Note(*row) if row else before, note, mark)
                values = (*key, made.text, made.mark, datetime.now(UTC).isoformat())
                db.execute("INSERT OR REPLACE INTO notes VALUES (?, ?, ?, ?, ?)", values)
                db.execute("COMMIT")
        return made

    def _connect(self) -> sqlite3.Connection:
        writable = os.access(self.path, os.W_OK)
        where = str(self.path) if writable else f"{self.path.resolve().as_uri()}?mode=ro"
        db = sqlite3.connect(where, uri=not writable, timeout=BUSY, isolation_level=None)
        db.execute("PRAGMA trusted_schema = OFF")
        db.execute("PRAGMA journal_mode = DELETE")
        db.execute("PRAGMA synchronous = FULL")
        return db

    def _check(self, db: sqlite3.Connection) -> None:
        if db.execute("PRAGMA application_id").fetchone()[0] != APPLICATION:
            raise NoteError(
                f"{self.path} is another program's database, or damaged: move it away, or give another home="
            )
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version != VERSION:
            raise NoteError(
                f"{self.path} was written by another version of anton_notebook (schema {version}, known is {VERSION}): "
                "upgrade anton_notebook, or give another home="
            )


@contextmanager
def _said(path: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise NoteError(
            f"{path} cannot be used ({error}); it was left as it is. Notes are kept in the home of what is read: give another one "
            "with read_traces(..., home=...)"
        ) from error
