"""DataFrame of all checkpoints of a path: saved ones and anton's own."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anton_notebook.experiments.checkpoints.anton_checkpoints import AntonCheckpoint, anton_checkpoints
from anton_notebook.experiments.checkpoints.checkpoint import ANTON, OURS, traces_of
from anton_notebook.experiments.checkpoints.database import FILE_NAME, CheckpointDatabase, CheckpointRow
from anton_notebook.tables import build

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = {
    "checkpoint_id": "text", "origin": "category", "trace_id": "text", "span_id": "text", "timestamp": "time", "created": "time",
    "task_description": "text", "agents": "count", "prompts": "count", "note": "text", "parent_id": "text", "replayable": "flag",
    "reason": "text", "source": "category",
}  # fmt: skip


def checkpoints(path: Any) -> pd.DataFrame:
    """List the checkpoints of a path.

    Args:
        path: What `read_traces` accepts or returns.

    Returns:
        One row per checkpoint, sorted by its time in the run. `origin` is `anton_notebook` or `anton`; `timestamp` is the
        time in the run and `created` the time of saving (UTC); `agents` and `prompts` count conversations and changed
        prompts; `replayable` is False with a `reason` if the trace or span is missing.

    Raises:
        CheckpointError: The database cannot be read.

    >>> import anton_notebook as anb, pathlib, tempfile
    >>> folder = pathlib.Path(tempfile.mkdtemp()); _ = (folder / "t.jsonl").write_text(
    ...     '{"timestamp": "2026-01-01T00:00:00Z", "agent_name": "a", "trace_id": "t", "span_id": "s", "model": "m"}\\n')
    >>> anb.checkpoints(folder).empty
    True
    """
    traces = traces_of(path)
    database = CheckpointDatabase(Path(traces.home) / FILE_NAME)
    rows = [_saved(row, traces, str(database.path)) for row in database.rows()]
    rows += [_anton(one) for one in anton_checkpoints(traces)]
    rows.sort(key=lambda row: (row["timestamp"] is None, row["timestamp"] or 0, row["checkpoint_id"]))
    return build(COLUMNS, rows)


def _saved(row: CheckpointRow, traces: Any, source: str) -> dict[str, Any]:
    reason = None
    if row.trace_id not in traces:
        reason = f"trace {row.trace_id!r} is not under this path"
    else:
        try:
            traces.span(row.span_id, row.trace_id)
        except KeyError as error:
            reason = str(error)
    return {
        "checkpoint_id": row.checkpoint_id, "origin": OURS, "trace_id": row.trace_id, "span_id": row.span_id,
        "timestamp": _micros(row.timestamp), "created": _micros(row.created), "task_description": row.task_description,
        "agents": len(row.module_states), "prompts": len(row.modified_prompts), "note": row.note,
        "parent_id": row.parent_id, "replayable": reason is None, "reason": reason, "source": source,
    }  # fmt: skip


def _anton(one: AntonCheckpoint) -> dict[str, Any]:
    agents = one.content.get("agent_states")
    return {
        "checkpoint_id": one.checkpoint_id, "origin": ANTON, "trace_id": one.trace_id, "span_id": one.span_id,
        "timestamp": one.at_us, "created": one.at_us, "task_description": one.description,
        "agents": len(agents) if isinstance(agents, dict) else 0, "prompts": 0, "note": one.progress,
        "replayable": one.problem is None, "reason": one.problem, "source": str(one.path),
    }  # fmt: skip


def _micros(text: str) -> int | None:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return round((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() * 1_000_000)
