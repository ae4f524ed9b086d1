"""Spans by trace: columns, identity, tree, sums, and what changed since when."""

from __future__ import annotations

from anton_notebook.store.annotations import Note, note_of, noted
from anton_notebook.store.change_log import Changes
from anton_notebook.store.hash_index import hashed
from anton_notebook.store.store import FileInfo, Store
from anton_notebook.store.trace_info import PICO, Agent, RunFigures, TraceInfo

__all__ = [
    "PICO",
    "Agent",
    "Changes",
    "FileInfo",
    "Note",
    "RunFigures",
    "Store",
    "TraceInfo",
    "hashed",
    "note_of",
    "noted",
]
