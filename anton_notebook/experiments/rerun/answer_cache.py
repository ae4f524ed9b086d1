"""Inner: answers kept by request, in `answers.db` of the home, so that asking again costs nothing.

A damaged, foreign or newer file is never touched: the sweep goes on without it and says so.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from anton_notebook.model.request import Response, Usage, canonical

NAME = "answers.db"
APPLICATION = 1634624065
VERSION = 1
BUSY = 10.0
_TABLE = """
CREATE TABLE answers (
    request TEXT NOT NULL, repeat INTEGER NOT NULL, made TEXT NOT NULL, provider TEXT NOT NULL, model TEXT NOT NULL,
    answer TEXT NOT NULL, digest TEXT NOT NULL, PRIMARY KEY (request, repeat)
) WITHOUT ROWID
"""


class Kept(NamedTuple):
    """An answer that was kept, and how long it took when it was made."""

    response: Response
    duration_ms: float


class Entry(NamedTuple):
    """An answer to keep."""

    request: str
    repeat: int
    provider: str
    model: str
    kept: Kept


class Answers:
    """The answers of one home. Safe to share between threads and processes; nothing is made before something is kept."""

    def __init__(self, home: Path) -> None:
        self.path = home / NAME
        self.trouble: str | None = None
        self._lock = threading.Lock()

    def find(self, wanted: Sequence[tuple[str, int]]) -> dict[tuple[str, int], Kept]:
        """The answers to these (fingerprint, repeat); what cannot be read is as if it were not there."""
        out: dict[tuple[str, int], Kept] = {}
        if not wanted or self.trouble or not self.path.is_file():
            return out
        with self._guarded(), closing(self._connect()) as db:
            self._check(db)
            for key in wanted:
                row = db.execute("SELECT answer, digest FROM answers WHERE request = ? AND repeat = ?", key).fetchone()
                found = _decoded(*row) if row else None
                if found is not None:
                    out[key] = found
        return out

    def keep(self, entries: Iterable[Entry]) -> None:
        """Keeps answers, all or none. Those that are there already stay as they are."""
        listed = [
            (e.request, e.repeat, datetime.now(UTC).isoformat(), e.provider, e.model, *_encoded(e.kept))
            for e in entries
        ]
        if not listed or self.trouble:
            return
        with self._guarded():
            _private(self.path.parent)
            if not self.path.exists():
                os.close(os.open(self.path, os.O_CREAT | os.O_WRONLY, 0o600))
            with closing(self._connect()) as db:
                db.execute("BEGIN IMMEDIATE")
                self._make(db)
                db.executemany("INSERT OR IGNORE INTO answers VALUES (?, ?, ?, ?, ?, ?, ?)", listed)
                db.execute("COMMIT")

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        with self._lock:
            try:
                yield
            except (sqlite3.Error, OSError, _Foreign) as error:
                self.trouble = f"answers are not kept: {self.path} cannot be used ({error}); it was left as it is"

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self.path, timeout=BUSY, isolation_level=None)
        db.execute("PRAGMA trusted_schema = OFF")
        db.execute("PRAGMA journal_mode = DELETE")
        db.execute("PRAGMA synchronous = FULL")
        return db

    def _check(self, db: sqlite3.Connection) -> None:
        application = db.execute("PRAGMA application_id").fetchone()[0]
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if application != APPLICATION:
            raise _Foreign("it is another program's database, or damaged")
        if version != VERSION:
            raise _Foreign(f"it was written by another version of this library (schema {version}, known is {VERSION})")

    def _make(self, db: sqlite3.Connection) -> None:
        if db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
            self._check(db)
            return
        db.execute(_TABLE)
        db.execute("PRAGMA application_id = 1634624065")
        db.execute("PRAGMA user_version = 1")


class _Foreign(Exception):
    """Not a file of ours."""


def _private(folder: Path) -> None:
    if not folder.is_dir():
        _private(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)


def _encoded(kept: Kept) -> tuple[str, str]:
    response = kept.response
    value = {
        "text": response.text, "tool_calls": response.tool_calls, "usage": list(response.usage),
        "finish_reason": response.finish_reason, "model": response.model, "raw": response.raw, "duration_ms": kept.duration_ms,
    }  # fmt: skip
    text = canonical(value).decode("ascii")
    return text, hashlib.sha256(text.encode()).hexdigest()


def _decoded(text: object, digest: object) -> Kept | None:
    """The answer, or None where it is not the one that was written."""
    if not isinstance(text, str) or hashlib.sha256(text.encode("utf-8", "replace")).hexdigest() != digest:
        return None
    try:
        value = json.loads(text)
        usage = Usage(*value["usage"])
        response = Response(
            value["text"], value["tool_calls"], usage, value["finish_reason"], value["model"], value["raw"]
        )
        return Kept(response, float(value["duration_ms"]))
    except (ValueError, TypeError, KeyError):
        return None
