"""What kind of source a file is, told from its first bytes and never from its name alone."""

from __future__ import annotations

import os

from anton_notebook.sources.claude_code.lines import detect as is_claude_code
from anton_notebook.sources.codex.items import detect as is_codex
from anton_notebook.sources.gemini_cli.document import detect as is_gemini_cli
from anton_notebook.sources.opencode.queries import is_opencode
from anton_notebook.sources.otlp.file import is_otlp
from anton_notebook.sources.otlp.protobuf_file import ENDINGS as PROTOBUF_ENDINGS
from anton_notebook.sources.proxy.sqlite_reader import MAGIC, head
from anton_notebook.sources.trace_folders import DOCUMENT, ENDING
from anton_notebook.sources.unsupported import foreign

HEAD = 4096
DATABASES = (".db", ".sqlite", ".sqlite3")
ENDINGS = (ENDING, DOCUMENT, *DATABASES, *PROTOBUF_ENDINGS)
KINDS = {
    "jsonl": "lines of JSON, one a span",
    "otlp": "OpenTelemetry's spans in JSON",
    "protobuf": "OpenTelemetry's spans in protobuf",
    "sqlite": "an SQLite database, as anton's proxy writes it",
    "anton": "anton's own account of a task or repository",
    "claude_code": "a transcript of Claude Code",
    "codex": "a rollout of Codex",
    "gemini_cli": "a session of Gemini CLI",
    "opencode": "a database of opencode",
    "empty": "nothing in it yet",
    "foreign": "of another kind, and not read",
    "unknown": "could not be read",
}
TRANSCRIPTS = ("claude_code", "codex", "gemini_cli", "opencode")
"""Kinds of files that are searched for in depth."""


def recognise(path: str) -> str | None:
    """What kind of source a file is, by its first bytes; None while it is empty or cannot be read."""
    start = head(path, 0, HEAD)
    if start.startswith(MAGIC) or path.endswith(DATABASES):
        return "opencode" if start.startswith(MAGIC) and is_opencode(path) else "sqlite"
    if is_gemini_cli(start):
        return "gemini_cli"
    if path.endswith(PROTOBUF_ENDINGS):
        return "protobuf" if start else None
    otlp = is_otlp(start)
    if otlp is not False:
        return "otlp" if otlp else None
    if is_codex(start):
        return "codex"
    if is_claude_code(start):
        return "claude_code"
    if foreign(path, start):
        return "foreign"
    return "jsonl" if start or not os.access(path, os.R_OK) else None
