"""What lies under a path, and what was made of it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import tzinfo
from typing import TYPE_CHECKING

from anton_notebook.api.traces import PathLike, Traces, open_traces
from anton_notebook.sources import places
from anton_notebook.tables import build

if TYPE_CHECKING:
    import pandas as pd

SOURCES: dict[str, str] = {
    "source": "text", "kind": "category", "recognised": "category", "spans": "count", "problems": "count", "left_out": "count",
}  # fmt: skip


PLACES: dict[str, str] = {
    "program": "category", "name": "category", "path": "text", "files": "count", "newest": "time", "size_mb": "number",
    "is_read": "flag",
}  # fmt: skip


def find_traces() -> pd.DataFrame:
    """List the traces that known programs have left on this machine.

    Looks into the places where Claude Code, Codex and other programs keep their sessions. Only names, sizes and times of
    files are read. `anb.read_traces(name)` reads a program's traces, `anb.TraceGraph(anb.find_traces())` shows all.

    Returns:
        One row per place, the newest first: `program`, `name` (as `read_traces` takes it), `path`, `files`, `newest` (UTC),
        `size_mb` (megabytes) and `is_read` (whether this library reads the format).

    Examples:
        >>> import anton_notebook as anb
        >>> list(anb.find_traces().columns)
        ['program', 'name', 'path', 'files', 'newest', 'size_mb', 'is_read']
    """
    rows = [
        {
            "program": place.title,
            "name": place.program,
            "path": place.path,
            "files": place.files,
            "newest": int(place.newest * 1e6),
            "size_mb": place.size / 1e6,
            "is_read": place.is_read,
        }
        for place in sorted(places.places(), key=lambda place: -place.newest)
    ]
    return build(PLACES, rows)


def list_sources(
    path: PathLike | Sequence[PathLike] | Traces,
    tz: str | tzinfo | None = None,
    home: PathLike | None = None,
    all_repositories: bool = False,
) -> pd.DataFrame:
    """One row a file that was found under a path: how its content was recognised, and what it gave.

    `source` (the file), `kind` (`jsonl`, `sqlite`, `otlp`, `anton` for anton's other files, `empty`, `foreign`, `unknown`),
    `recognised` (that in words), `spans` and `problems` (how many; `problems_df()` says which) and `left_out` (tasks of other
    repositories). Takes what `read_traces` takes, or what it gave, and raises the same errors.

    >>> import anton_notebook as anb, pathlib, tempfile
    >>> folder = pathlib.Path(tempfile.mkdtemp()); _ = (folder / "t.jsonl").write_text(
    ...     '{"timestamp": "2026-01-01T00:00:00Z", "agent_name": "a", "trace_id": "t", "span_id": "s", "parent_id": null, '
    ...     '"span_type": "llm_call", "model": "gpt-4o"}\\n')
    >>> anb.list_sources(folder)[["kind", "spans", "problems"]].values.tolist()
    [['jsonl', 1, 0]]
    """
    if isinstance(path, Traces):
        return build(SOURCES, [found._asdict() for found in path.reader.found()])
    given = [path] if isinstance(path, str | os.PathLike) else list(path)
    with open_traces(given, following=False, tz=tz, home=home, all_repositories=all_repositories) as traces:
        return build(SOURCES, [found._asdict() for found in traces.reader.found()])
