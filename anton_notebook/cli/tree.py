"""`anton-notebook tree`: a run as a tree of agents, calls and tools."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from anton_notebook.cli._common import find_run, open_traces, run_and_path
from anton_notebook.cli._output import console

EXAMPLE = "anton-notebook tree"


def run(
    run_id: Annotated[
        str | None,
        typer.Argument(
            metavar="RUN", show_default=False, help="A run's id or its first characters; default: the newest."
        ),
    ] = None,
    path: Annotated[
        str | None, typer.Argument(metavar="PATH", show_default=False, help="Where the runs are; default: here.")
    ] = None,
    depth: Annotated[int, typer.Option("--depth", min=1, metavar="N", help="Show at most N levels.")] = 20,
) -> int:
    """Show a run as a tree: agents, their calls and tools, with duration and cost."""
    from rich.text import Text
    from rich.tree import Tree

    name, folder = run_and_path(run_id, path)
    with open_traces(folder) as traces:
        trace = find_run(traces, name)
        frame = traces.spans_df(columns=["span_id", "trace_id", "parent_id", *_SHOWN])
        frame = frame[frame["trace_id"] == trace.trace_id]
        tree = Tree(Text(_line({"name": trace.name or trace.trace_id, "status": trace.status})), guide_style="dim")
    rows = frame.to_dict("records")
    known = {row["span_id"] for row in rows}
    children: dict[Any, list[dict[Any, Any]]] = {}
    for row in rows:
        children.setdefault(row["parent_id"] if row["parent_id"] in known else None, []).append(row)
    pending = [(tree, row, 1) for row in reversed(children.get(None, []))]
    while pending:
        parent, row, level = pending.pop()
        node = parent.add(Text(_line(row), style="red" if row["status"] == "error" else ""))
        below = children.get(row["span_id"], [])
        if level < depth:
            pending += [(node, child, level + 1) for child in reversed(below)]
        elif below:
            node.add(Text(f"… {len(below)} more below", style="dim"))
    console().print(tree)
    return 0


_SHOWN = ["kind", "agent", "name", "status", "duration_ms", "cost_usd", "total_cost_usd", "error"]


def _line(row: dict[Any, Any]) -> str:
    from anton_notebook.model.formatting import format_duration, format_usd, one_line

    kind = row.get("kind")
    words = [one_line(row["name"], 60)]
    if kind is not None:
        words.insert(0, {"orchestrator": "agent"}.get(kind, str(kind)))
        words.append(format_duration(row["duration_ms"]))
        cost = row["cost_usd"] if kind == "llm" else row["total_cost_usd"] if kind != "tool" else None
        if cost is not None and format_usd(cost) != "?":
            words.append(format_usd(cost))
    if row["status"] != "ok":
        words.append(str(row["status"]))
    if isinstance(row.get("error"), str):
        words.append(one_line(row["error"], 60))
    return "  ".join(words)
