"""Inner: what people wrote about spans. A store holds it by identity, so that a note may be there before its span is read.

A span's own line may bring a note along (an export does); what the user wrote here stands above that.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from anton_notebook.model.span import MARKS, Flag

if TYPE_CHECKING:
    from anton_notebook.store.store import Store


class Note(NamedTuple):
    """A text and a mark (one of `MARKS`); empty where there is none."""

    text: str = ""
    mark: str = ""


class Notes(dict[tuple[str, str], Note]):
    """What the user noted, by trace and span. A store's `brought` are the rows whose own lines have notes."""


def note_of(store: Store, row: int) -> Note:
    """What is noted about a row."""
    with store.lock:
        written = store.notes.get((store.traces[store.c.trace[row]].trace_id, store.ids[row]))
        if written is not None:
            return written
        own = store.own.get(row)
        return Note() if own is None else Note(own.note or "", own.mark if own.mark in MARKS else "")


def noted(store: Store) -> dict[int, Note]:
    """All rows with a note or a mark."""
    with store.lock:
        rows = {row for row in store.brought if row in store.own}
        for trace_id, span_id in store.notes:
            code = store.find_trace(trace_id)
            row = store.row(code, span_id) if code is not None else -1
            if row >= 0 and not store.c.flags[row] & (Flag.DEAD | Flag.PENDING):
                rows.add(row)
        found = {row: note_of(store, row) for row in rows}
        return {row: note for row, note in found.items() if note != Note()}


def take(store: Store, notes: Mapping[tuple[str, str], Note]) -> bool:
    """Puts these notes in the place of those before; what changed is a change of its span. True where anything did."""
    with store.lock:
        before = store.notes
        differ = [key for key in {*before, *notes} if before.get(key) != notes.get(key)]
        if not differ:
            return False
        store.notes = Notes(notes)
        rows = []
        for trace_id, span_id in differ:
            code = store.find_trace(trace_id)
            row = store.row(code, span_id) if code is not None else -1
            if row >= 0:
                rows.append(row)
        store.pending.changed.extend(rows)
    return store.commit()
