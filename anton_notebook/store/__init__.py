"""Spans by trace: columns, identity, tree, sums, and what changed since when."""

from __future__ import annotations

from anton_notebook.store.core import FileInfo, Store
from anton_notebook.store.index import hashed
from anton_notebook.store.log import Changes
from anton_notebook.store.noted import Note, note_of, noted
from anton_notebook.store.runs import PICO, Agent, RunFigures, TraceInfo

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
