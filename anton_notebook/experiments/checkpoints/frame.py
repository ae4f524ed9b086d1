"""The frame of all checkpoints under a path."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anton_notebook.experiments.checkpoints import anton_checkpoints
from anton_notebook.experiments.checkpoints.checkpoint import ANTONS, NAMESPACE, OURS, opened, store_of
from anton_notebook.tables import build

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = {
    "checkpoint_id": "text", "origin": "category", "trace_id": "text", "span_id": "text", "timestamp": "time", "created": "time",
    "task_description": "text", "agents": "count", "prompts": "count", "note": "text", "parent_id": "text", "replayable": "flag",
    "reason": "text", "source": "category",
}  # fmt: skip


def checkpoints(path: Any) -> pd.DataFrame:
    """One row a checkpoint that is kept for a path: ours and anton's own, by the time of their point.

    `origin` is `anton_notebook` or `anton`; `timestamp` the point's time in its run and `created` when it was made (UTC);
    `agents` and `prompts` how many conversations and changed prompts it holds; `replayable`, and `reason` where it is not.
    `path` is what `read_traces` takes, or gave. Raises `CheckpointError` where the store cannot be read.

    >>> import anton_notebook as anb, pathlib, tempfile
    >>> folder = pathlib.Path(tempfile.mkdtemp()); _ = (folder / "t.jsonl").write_text(
    ...     '{"timestamp": "2026-01-01T00:00:00Z", "agent_name": "a", "trace_id": "t", "span_id": "s", "model": "m"}\\n')
    >>> anb.checkpoints(folder).empty
    True
    """
    traces = opened(path)
    rows: list[dict[str, Any]] = []
    store = store_of(Path(traces.home))
    for document in store.list(namespace=NAMESPACE):
        body = document.body if isinstance(document.body, dict) else {}
        why = None
        if body.get("trace_id") not in traces:
            why = f"the trace {body.get('trace_id')!r} is not under this path any more"
        else:
            try:
                traces.span(body["span_id"], body["trace_id"])
            except KeyError as error:
                why = str(error)
        rows.append(
            {
                **{name: body.get(name) for name in ("trace_id", "span_id", "task_description", "note")},
                "checkpoint_id": document.id,
                "origin": OURS,
                "timestamp": _micros(body.get("timestamp")),
                "created": _micros(document.made.isoformat()),
                "agents": len(body.get("module_states") or ()),
                "prompts": len(body.get("modified_prompts") or ()),
                "parent_id": document.parent,
                "replayable": why is None,
                "reason": why,
                "source": str(store.path),
            }  # fmt: skip
        )
    for one in anton_checkpoints.found(traces):
        agents = one.said.get("agent_states")
        rows.append(
            {
                "checkpoint_id": one.checkpoint_id,
                "origin": ANTONS,
                "trace_id": one.trace_id,
                "span_id": one.span_id,
                "timestamp": one.at_us,
                "created": one.at_us,
                "task_description": one.description,
                "agents": len(agents) if isinstance(agents, dict) else 0,
                "prompts": 0,
                "note": one.summary,
                "replayable": one.why is None,
                "reason": one.why,
                "source": str(one.path),
            }  # fmt: skip
        )
    rows.sort(key=lambda row: (row["timestamp"] is None, row["timestamp"] or 0, row["checkpoint_id"]))
    return build(COLUMNS, rows)


def _micros(text: object) -> int | None:
    try:
        when = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return round((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() * 1_000_000)
