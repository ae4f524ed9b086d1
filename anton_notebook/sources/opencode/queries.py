"""The statements that read opencode's database, and the fields of their rows. Bodies are read on demand alone."""

from __future__ import annotations

from typing import Any, NamedTuple

from anton_notebook.sources.proxy.sqlite_reader import Refused, SqliteFile

TABLES = frozenset({"session", "message", "part"})
SESSIONS = "SELECT id, parent_id, title, time_created, time_updated FROM session"
MESSAGE_IDS = "SELECT id FROM message"
BROKEN = "SELECT id FROM {table} WHERE NOT json_valid(data)"
MESSAGES = """SELECT id, session_id, time_updated, json_extract(data, '$.role'), json_extract(data, '$.modelID'),
    json_extract(data, '$.providerID'), coalesce(json_extract(data, '$.agent'), json_extract(data, '$.mode')),
    json_extract(data, '$.cost'), json_extract(data, '$.finish'), json_extract(data, '$.time.created'),
    json_extract(data, '$.time.completed'), json_extract(data, '$.tokens.input'), json_extract(data, '$.tokens.output'),
    json_extract(data, '$.tokens.reasoning'), json_extract(data, '$.tokens.cache.read'),
    json_extract(data, '$.tokens.cache.write'), json_extract(data, '$.error.name'),
    json_extract(data, '$.error.data.message')
    FROM message WHERE json_valid(data) AND time_updated >= ? ORDER BY time_created, id"""
TOOLS = """SELECT id, message_id, session_id, time_updated, json_extract(data, '$.tool'), json_extract(data, '$.state.status'),
    substr(json_extract(data, '$.state.error'), 1, 500), json_extract(data, '$.state.time.start'),
    json_extract(data, '$.state.time.end'), json_extract(data, '$.state.metadata.sessionId')
    FROM part WHERE json_valid(data) AND json_extract(data, '$.type') = 'tool' AND time_updated >= ?
    ORDER BY time_created, id"""
PROMPT = """SELECT substr(json_extract(p.data, '$.text'), 1, 500) FROM message m JOIN part p ON p.message_id = m.id
    WHERE m.session_id = ? AND json_valid(m.data) AND json_extract(m.data, '$.role') = 'user' AND json_valid(p.data)
    AND json_extract(p.data, '$.type') = 'text' ORDER BY m.time_created, m.id, p.id LIMIT 1"""
BODIES = """SELECT m.id, m.data, p.data FROM message m LEFT JOIN part p ON p.message_id = m.id
    WHERE m.session_id = ? ORDER BY m.time_created, m.id, p.id"""
PART = "SELECT data FROM part WHERE id = ?"


class SessionRow(NamedTuple):
    """A session. Times are milliseconds since 1970."""

    id: str
    parent: str | None
    title: str | None
    created: Any
    updated: Any


class MessageRow(NamedTuple):
    """A message of a user or of a model, without its text. Times are milliseconds since 1970."""

    id: str
    session: str
    updated: Any
    role: Any
    model: Any
    provider: Any
    agent: Any
    cost: Any
    finish: Any
    created: Any
    completed: Any
    input: Any
    output: Any
    reasoning: Any
    cache_read: Any
    cache_write: Any
    error: Any
    error_text: Any


class ToolRow(NamedTuple):
    """A tool call, without its arguments and result. Times are milliseconds since 1970."""

    id: str
    message: str
    session: str
    updated: Any
    name: Any
    status: Any
    error: Any
    start: Any
    end: Any
    child: Any


def text(value: Any) -> Any:
    """Decode what SQLite gives as bytes."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def fetch(file: SqliteFile, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """All rows of a statement, with texts decoded."""
    return [tuple(map(text, row)) for row in file.few(query, parameters)]


def is_opencode(path: str) -> bool:
    """Whether a database has the tables of opencode."""
    file = SqliteFile(path)
    try:
        names = {row[0] for row in fetch(file, "SELECT name FROM sqlite_master WHERE type = 'table'")}
    except Refused:
        return False
    finally:
        file.close()
    return names >= TABLES
