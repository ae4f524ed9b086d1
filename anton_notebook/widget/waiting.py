"""State of a graph without a run: the path, the patterns searched for, the names found instead, and hints."""

from __future__ import annotations

import difflib
import os
from collections.abc import Sequence
from typing import TypedDict

SHOWN_NAMES = 8
LOOKED_FOR = (
    ".modular-agents/traces/*.jsonl",
    "traces/*.jsonl",
    "*.jsonl",
    "*.json with OpenTelemetry spans",
    "proxy_traces.db",
)


class Waiting(TypedDict, total=False):
    """State of a graph that has no run to show; empty once a run is shown.

    `path`: the path or paths. `looked_for`: patterns. `found`: names in the folder, folders with a final slash. `similar`: paths
    with a similar name, if the path does not exist. `hints`: sentences that say what to do.
    """

    path: str
    looked_for: list[str]
    found: list[str]
    similar: list[str]
    hints: list[str]


def describe_waiting(paths: Sequence[str], problems: str = "", trace_id: str | None = None) -> Waiting:
    """Describe why no run is shown.

    Args:
        paths: Absolute paths that are read.
        problems: One sentence about what could not be read, or "".
        trace_id: The run that is waited for, or None for any.

    Returns:
        The description, for people.
    """
    first = paths[0]
    found: list[str] = []
    similar: list[str] = []
    hints: list[str] = []
    folder = os.path.isdir(first)
    for path in paths:
        if os.path.isdir(path):
            found += _listing(path)
        elif os.path.isfile(path):
            hints.append(f"{path} holds no span yet.")
        else:
            similar += _similar(path)
            hints.append(f"{path} does not exist. It is read as soon as it appears.")
    if trace_id is not None:
        hints.append(f"Waiting for the run {trace_id!r}.")
    if problems:
        hints.append(f"{problems[:1].upper()}{problems[1:]}.")
    target = first if folder else os.path.dirname(first)
    hints += [
        f"Try the simulation: from anton_notebook import simulate; simulate.start({target!r})",
        "Record a program: anton-notebook record -- python program.py",
        f"Record from Python: with anb.trace('name', path={target!r}) as run: ...",
    ]
    looked_for = list(LOOKED_FOR) if folder or not os.path.splitext(first)[1] else [os.path.basename(first)]
    return Waiting(path=", ".join(paths), looked_for=looked_for, found=found, similar=similar, hints=hints)


def _listing(folder: str) -> list[str]:
    """Return the first names in a folder, and how many more there are."""
    try:
        with os.scandir(folder) as entries:
            names = sorted(f"{entry.name}/" if entry.is_dir() else entry.name for entry in entries)
    except OSError:
        return []
    more = len(names) - SHOWN_NAMES
    return [*names[:SHOWN_NAMES], *([f"{more:,} more"] if more > 0 else [])]


def _similar(path: str) -> list[str]:
    """Return existing paths whose name is close to that of the first missing part of a path."""
    missing, rest = path, ""
    parent = os.path.dirname(missing)
    while not os.path.isdir(parent) and os.path.dirname(parent) != parent:
        rest = os.path.join(os.path.basename(missing), rest) if rest else os.path.basename(missing)
        missing, parent = parent, os.path.dirname(parent)
    try:
        names = os.listdir(parent)
    except OSError:
        return []
    close = difflib.get_close_matches(os.path.basename(missing), names, 3, 0.6)
    # A difference in case alone is the most common mistake on case-sensitive file systems.
    folded = {name.casefold(): name for name in names}
    close = close or difflib.get_close_matches(os.path.basename(missing).casefold(), folded, 3, 0.6)
    return [os.path.join(parent, folded.get(name, name)) for name in close]
