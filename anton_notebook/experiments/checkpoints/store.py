"""Documents by thread, namespace and id, in one SQLite file: what checkpoints are kept in.

A document has a parent, metadata, pending writes and a body, all of them JSON with bytes as tagged base64. What two documents have
in common (a conversation's beginning, a large text) is kept once, so that a document at every turn of a long run costs what is new
in that turn. Each call is one transaction: it is there, whole, for every process when the call returns, or it is not there at all.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from anton_notebook.errors import CheckpointError
from anton_notebook.experiments.checkpoints import file
from anton_notebook.experiments.checkpoints.values import chunk_id, link_ids, named_parts, pack, unpack

NAME = "checkpoints.db"
ANY = None


class Write(NamedTuple):
    """Something that a task wrote to a channel after the document was made, and that is in no document yet."""

    task: str
    place: int
    channel: str
    value: Any
    path: str = ""


@dataclass(frozen=True)
class Document:
    """One document as it is kept. `made` is UTC; `parent` the id of the document that it follows, in the same namespace."""

    thread: str
    namespace: str
    id: str
    parent: str | None
    made: datetime
    metadata: dict[str, Any]
    body: Any = field(repr=False)
    writes: list[Write] = field(default_factory=list, repr=False)


class Store:
    """The documents of one file. Safe to share between threads and processes; the file is made by the first `put`.

    >>> import tempfile, pathlib
    >>> store = Store(pathlib.Path(tempfile.mkdtemp()) / "checkpoints.db")
    >>> store.put("run", "1", {"turn": 1, "raw": b"\\x00"}); store.put("run", "2", {"turn": 2}, parent="1")
    >>> [(d.id, d.parent, d.body) for d in store.list("run")]
    [('2', '1', {'turn': 2}), ('1', None, {'turn': 1, 'raw': b'\\x00'})]
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    # -- saving

    def put(
        self,
        thread: str,
        id: str,
        body: Any,
        *,
        namespace: str = "",
        parent: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        """Keeps a document; one of the same id is replaced, its writes stay. `CheckpointError` where it cannot be kept."""
        made = datetime.now(UTC).isoformat()
        with file.writing(self.path) as db:
            parts = _Parts(db)
            row = (
                *_keys(thread, namespace, id),
                None if parent is None else _text(parent, "the parent"),
                made,
                pack(dict(metadata or {}), parts, "metadata"),
                pack(body, parts, "body"),
            )
            db.execute("INSERT OR REPLACE INTO documents VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (*row, _digest(row)))

    def put_writes(self, thread: str, id: str, writes: Iterable[Write], *, namespace: str = "") -> None:
        """Keeps writes beside a document, all or none. Of the same task and place the first stays; below 0 the last."""
        with file.writing(self.path) as db:
            parts = _Parts(db)
            for write in writes:
                row = (
                    *_keys(thread, namespace, id),
                    _text(write.task, "the task"),
                    int(write.place),
                    _text(write.channel, "the channel"),
                    pack(write.value, parts, f"the write to {write.channel!r}"),
                    _text(write.path, "the path"),
                )
                if write.place < 0:
                    query = "INSERT OR REPLACE INTO writes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
                else:
                    query = "INSERT OR IGNORE INTO writes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
                db.execute(query, (*row, _digest(row)))

    # -- finding

    def get(self, thread: str, id: str | None = None, *, namespace: str = "") -> Document | None:
        """The document of this id, or the newest of the namespace; None where there is none."""
        with file.reading(self.path) as db:
            if db is None:
                return None
            row = db.execute(
                "SELECT * FROM documents WHERE thread = ?1 AND namespace = ?2 AND (?3 IS NULL OR id = ?3) ORDER BY id DESC LIMIT 1",
                (thread, namespace, id),
            ).fetchone()
            return None if row is None else _document(db, row, self.path)

    def threads(self) -> list[str]:
        """The threads that have documents or writes, in order."""
        with file.reading(self.path) as db:
            if db is None:
                return []
            return [r[0] for r in db.execute("SELECT thread FROM documents UNION SELECT thread FROM writes ORDER BY 1")]

    def list(
        self,
        thread: str | None = ANY,
        *,
        namespace: str | None = ANY,
        id: str | None = ANY,
        before: str | None = None,
        filter: Mapping[str, Any] | None = None,
        limit: int | None = None,
    ) -> list[Document]:
        """Documents, the greatest id first (ids that begin with a time sort by it).

        `before`: only ids below this one. `filter`: metadata must hold these values. `limit`: at most so many.
        """
        out: list[Document] = []
        with file.reading(self.path) as db:
            if db is None or (limit is not None and limit < 1):
                return out
            found = db.execute(
                "SELECT * FROM documents WHERE (?1 IS NULL OR thread = ?1) AND (?2 IS NULL OR namespace = ?2) "
                "AND (?3 IS NULL OR id = ?3) AND (?4 IS NULL OR id < ?4) ORDER BY id DESC, thread, namespace",
                (thread, namespace, id, before),
            )
            for row in found:
                if filter and not _holds(_verified(row, self.path, lambda r: unpack(r[5], _Parts(db))), filter):
                    continue
                out.append(_document(db, row, self.path))
                if limit is not None and len(out) >= limit:
                    break
        return out

    # -- removing

    def delete_thread(self, thread: str) -> None:
        """Removes a thread's documents and writes, and what no other document shares with them."""
        self._delete("DELETE FROM documents WHERE thread = ?", "DELETE FROM writes WHERE thread = ?", (thread,))

    def delete(self, thread: str, id: str, *, namespace: str = "") -> None:
        """Removes one document with its writes."""
        self._delete(
            "DELETE FROM documents WHERE thread = ? AND namespace = ? AND id = ?",
            "DELETE FROM writes WHERE thread = ? AND namespace = ? AND id = ?",
            (thread, namespace, id),
        )

    def _delete(self, documents: str, writes: str, key: tuple[str, ...]) -> None:
        if not self.path.is_file():
            return
        with file.writing(self.path) as db:
            db.execute(documents, key)
            db.execute(writes, key)
            _collect(db)

    def __repr__(self) -> str:
        return f"<Store {str(self.path)!r}>"


class _Parts:
    """The parts of documents, within one transaction."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def put_chunk(self, text: bytes) -> bytes:
        name = chunk_id(text)
        self._db.execute("INSERT OR IGNORE INTO chunks VALUES (?, ?)", (name, text))
        return name

    def put_chain(self, items: list[bytes]) -> bytes:
        names = link_ids(items)
        low, high = 0, len(names)
        while low < high:  # a link that is there has all links before it
            middle = (low + high) // 2
            if self._db.execute("SELECT 1 FROM links WHERE id = ?", (names[middle],)).fetchone():
                low = middle + 1
            else:
                high = middle
        befores = [None, *names]
        rows = [(names[i], befores[i], items[i]) for i in range(low, len(names))]
        self._db.executemany("INSERT OR IGNORE INTO links VALUES (?, ?, ?)", rows)
        return names[-1]

    def chunk(self, name: bytes) -> bytes:
        row = self._db.execute("SELECT body FROM chunks WHERE id = ?", (name,)).fetchone()
        if row is None or not isinstance(row[0], bytes) or chunk_id(row[0]) != name:
            raise ValueError(f"the part {name.hex()} is {'missing' if row is None else 'not what was written'}")
        return bytes(row[0])

    def chain(self, name: bytes, length: int) -> list[bytes]:
        rows = self._db.execute(
            "WITH RECURSIVE up(before, body, place) AS (SELECT before, body, 1 FROM links WHERE id = ?1 UNION ALL "
            "SELECT links.before, links.body, up.place + 1 FROM links JOIN up ON links.id = up.before WHERE up.place < ?2) "
            "SELECT body FROM up ORDER BY place DESC",
            (name, length),
        ).fetchall()
        items = [row[0] for row in rows]
        if len(items) != length or not all(isinstance(item, bytes) for item in items) or link_ids(items)[-1] != name:
            raise ValueError(f"the list {name.hex()} is not what was written")
        return items


def _collect(db: sqlite3.Connection) -> None:
    """Removes the parts that no document and no write needs any more."""
    chunks: set[bytes] = set()
    links: set[bytes] = set()
    stack: list[bytes] = []
    for query in ("SELECT metadata FROM documents", "SELECT body FROM documents", "SELECT value FROM writes"):
        stack.extend(row[0] for row in db.execute(query))
    while stack:
        some, chains = named_parts(json.loads(stack.pop()))
        for name in some - chunks:
            chunks.add(name)
            if (row := db.execute("SELECT body FROM chunks WHERE id = ?", (name,)).fetchone()) is not None:
                stack.append(row[0])
        for chain in chains:
            at: bytes | None = chain
            while at is not None and at not in links:
                links.add(at)
                row = db.execute("SELECT before, body FROM links WHERE id = ?", (at,)).fetchone()
                at = None
                if row is not None:
                    at = row[0]
                    stack.append(row[1])
    gone = [(row[0],) for row in db.execute("SELECT id FROM chunks") if row[0] not in chunks]
    db.executemany("DELETE FROM chunks WHERE id = ?", gone)
    gone = [(row[0],) for row in db.execute("SELECT id FROM links") if row[0] not in links]
    db.executemany("DELETE FROM links WHERE id = ?", gone)


def _document(db: sqlite3.Connection, row: tuple[Any, ...], path: Path) -> Document:
    parts = _Parts(db)
    metadata, body = _verified(row, path, lambda r: (unpack(r[5], parts), unpack(r[6], parts)))
    found = db.execute(
        "SELECT * FROM writes WHERE thread = ? AND namespace = ? AND id = ? ORDER BY task, place", row[:3]
    )
    writes = [
        Write(w[3], w[4], w[5], _verified(w, path, lambda r: unpack(r[6], parts)), w[7]) for w in found.fetchall()
    ]
    return Document(row[0], row[1], row[2], row[3], datetime.fromisoformat(row[4]), metadata, body, writes)


def _verified(row: tuple[Any, ...], path: Path, read: Callable[[tuple[Any, ...]], Any]) -> Any:
    """What `read` makes of a row that is what was written; `CheckpointError` names it otherwise."""
    name = f"the document {row[2]!r} of the thread {row[0]!r} in {path}"
    if _digest(row[:-1]) != row[-1]:
        raise CheckpointError(f"{name} is damaged: it is not what was written. Others are not concerned")
    try:
        return read(row)
    except CheckpointError as error:
        raise CheckpointError(f"{name} is damaged: {error}") from error


def _digest(row: tuple[Any, ...]) -> bytes:
    said = [value.decode("latin-1") if isinstance(value, bytes) else value for value in row]
    return hashlib.blake2b(json.dumps(said).encode(), digest_size=16).digest()


def _keys(thread: str, namespace: str, id: str) -> tuple[str, str, str]:
    return _text(thread, "the thread"), _text(namespace, "the namespace"), _text(id, "the id")


def _text(value: object, what: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{what} must be text, found {value!r}")
    return value.encode("utf-8", "replace").decode("utf-8")


def _holds(metadata: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    return all(key in metadata and metadata[key] == value for key, value in wanted.items())
