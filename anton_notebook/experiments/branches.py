"""What we have written beside the recorded traces: which branches and experiments there are, and how they are cleaned away."""

from __future__ import annotations

import json
import os
import re
import stat
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anton_notebook.experiments.checkpoints.database import FILE_NAME, CheckpointDatabase
from anton_notebook.sources.home import home
from anton_notebook.tables import build
from anton_notebook.tables.filters import moment

if TYPE_CHECKING:
    import pandas as pd

    PathLike = str | os.PathLike[str]

OURS = ("rerun", "replay")
"""Origins of what may be removed: what a `rerun` or a `replay` wrote, and can be written again. Recordings never are."""
COLUMNS = {
    "trace_id": "text", "origin": "category", "original_trace_id": "text", "original_span_id": "text", "checkpoint_id": "text",
    "depth": "count", "created": "time", "modified": "time", "bytes": "count", "spans": "count", "source": "text",
}  # fmt: skip
CLEANED = {**COLUMNS, "removed": "flag", "reason": "text"}
RECENT = 60.0  # seconds after its last line for which a file may still be written to
_NAME = re.compile(r"(?:rerun|branch)_\d{8}_\d{6}_[0-9a-f]{8}\.jsonl")


def branches(path: PathLike | Sequence[PathLike] | Any) -> pd.DataFrame:
    """One row a trace that a `rerun` or a `replay` wrote for this path, oldest first; `bytes` is its size on disk.

    `path` is what `read_traces` takes, or gave. `original_trace_id` is what it was made from: a branch of a branch names that one.
    `depth` is 1 for a branch of a recorded run, 2 for a branch of that, and so on.

    >>> import tempfile
    >>> branches(tempfile.mkdtemp()).empty
    True
    """
    return build(COLUMNS, _found(_home(path)))


def clean(
    path: PathLike | Sequence[PathLike] | Any,
    older_than: str | timedelta | datetime | None = None,
    dry_run: bool = True,
) -> pd.DataFrame:
    """Removes what `branches` lists; never a recorded trace, a checkpoint or an answer. With `dry_run` it only says what it would.

    `older_than`: a `timedelta`, a time, or text such as `"30 days"` or `"last week"`; None for all. Returns the rows of `branches`
    with `removed` (with `dry_run`: would be) and `reason` where one is kept: not old enough, written to just now, the original of a
    branch that is kept, or the place of a checkpoint. Raises ValueError for an `older_than` that is no time, and `CheckpointError`
    where the checkpoints cannot be read.

    >>> import tempfile
    >>> clean(tempfile.mkdtemp(), older_than="30 days").attrs["bytes"]
    0
    """
    where = _home(path)
    before = moment(older_than)
    rows = list(_found(where))
    for row in rows:
        row["removed"], row["reason"] = True, None
        if before is not None and row["modified"] >= before:
            row["removed"], row["reason"] = False, "not old enough"
        elif time.time() - row["modified"] / 1e6 < RECENT:
            row["removed"], row["reason"] = False, "written to just now"
    pinned = dict.fromkeys(CheckpointDatabase(where / FILE_NAME).trace_ids(), "it has a checkpoint")
    changed = True
    while changed:  # what is kept keeps what it was made from
        pinned |= {r["original_trace_id"]: "a branch of it is kept" for r in rows if not r["removed"]}
        hit = [row for row in rows if row["removed"] and row["trace_id"] in pinned]
        for row in hit:
            row["removed"], row["reason"] = False, pinned[row["trace_id"]]
        changed = bool(hit)
    for row in rows if not dry_run else ():
        if row["removed"]:
            try:
                Path(row["source"]).unlink()
            except OSError as error:
                row["removed"], row["reason"] = False, f"it cannot be removed: {error.strerror}"
    frame = build(CLEANED, rows)
    frame.attrs["bytes"] = int(frame.loc[frame["removed"], "bytes"].sum())
    frame.attrs["dry_run"] = dry_run
    return frame


def _home(path: Any) -> Path:
    return Path(path.home) if hasattr(path, "reader") else home(path)


def _found(where: Path) -> Iterator[dict[str, Any]]:
    try:
        paths = sorted(p for p in (where / "traces").iterdir() if _NAME.fullmatch(p.name))
    except OSError:
        return
    rows = [row for row in map(_row, paths) if row is not None]
    found = {row["trace_id"]: row for row in rows}
    for row in rows:
        row["depth"], above, seen = 1, found.get(row["original_trace_id"]), {row["trace_id"]}
        while above is not None and above["trace_id"] not in seen:
            seen.add(above["trace_id"])
            row["depth"], above = row["depth"] + 1, found.get(above["original_trace_id"])
        yield row


def _row(path: Path) -> dict[str, Any] | None:
    """What a file holds, if every line of it is ours; None for any other."""
    try:
        about = path.lstat()
        if not stat.S_ISREG(about.st_mode):
            return None
        lines = path.read_bytes().split(b"\n")
    except OSError:
        return None
    row: dict[str, Any] = {}
    spans = set()
    for number, line in enumerate(lines):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
            mark = value["anton_notebook"]
            origin, trace_id = mark["origin"], value["trace_id"]
        except (ValueError, KeyError, TypeError, RecursionError):
            if number == len(lines) - 1 and row:
                continue  # torn by a crash
            return None
        if origin not in OURS or not isinstance(trace_id, str) or row.get("trace_id", trace_id) != trace_id:
            return None
        spans.add(str(value.get("span_id")))
        if not row:
            names = ("origin", "original_trace_id", "original_span_id", "checkpoint_id")
            row = {"trace_id": trace_id, **{name: _text(mark.get(name)) for name in names}}
            row["created"] = _time(value.get("timestamp"))
    if not row:
        return None
    return {
        **row,
        "modified": about.st_mtime_ns // 1000,
        "bytes": about.st_size,
        "spans": len(spans),
        "source": str(path),
    }


def _time(text: object) -> int | None:
    try:
        when = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return round((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() * 1_000_000)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
