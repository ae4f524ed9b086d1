"""`anton-notebook spans`: the spans of a run, filtered and sorted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from anton_notebook.cli._common import JsonOption, SinceOption, find_run, open_traces, run_and_path
from anton_notebook.cli._output import Column, counted, print_json_lines, print_table, records

if TYPE_CHECKING:
    import pandas as pd

EXAMPLE = "anton-notebook spans --sort cost --where 'cost_usd > 0.001'"
COLUMNS = (
    Column("agent", 2, widest=24),
    Column("kind", 3),
    Column("name", 0, widest=32),
    Column("status", 4),
    Column("start (UTC)", 8),
    Column("took", 5, right=True),
    Column("tokens in", 6, right=True),
    Column("out", 7, right=True),
    Column("cost", 1, right=True),
    Column("id", 0),
)
SORTS = {"start": "start", "cost": "cost_usd", "duration": "duration_ms", "tokens": "input_tokens"}


def _sort(text: str) -> str:
    if text not in SORTS:
        raise typer.BadParameter(f"{text!r} is not one of {', '.join(SORTS)}")
    return text


def run(
    run_id: Annotated[
        str | None,
        typer.Argument(metavar="RUN", show_default=False, help="A run's id or its first characters; default: all."),
    ] = None,
    path: Annotated[
        str | None, typer.Argument(metavar="PATH", show_default=False, help="Where the runs are; default: here.")
    ] = None,
    kind: Annotated[
        str | None, typer.Option("--kind", metavar="KIND", help="llm, tool, agent or orchestrator.")
    ] = None,
    status: Annotated[str | None, typer.Option("--status", metavar="STATUS", help="ok, error or running.")] = None,
    agent: Annotated[str | None, typer.Option("--agent", metavar="NAME", help="Spans of this agent.")] = None,
    model: Annotated[str | None, typer.Option("--model", metavar="NAME", help="Calls to this model.")] = None,
    where: Annotated[
        str | None, typer.Option("--where", metavar="CONDITION", help="A condition of DataFrame.query.")
    ] = None,
    sort: Annotated[
        str, typer.Option("--sort", metavar="KEY", callback=_sort, help="start, cost, duration or tokens.")
    ] = "start",
    limit: Annotated[int, typer.Option("--limit", min=1, metavar="N", help="Show at most N spans.")] = 50,
    since: SinceOption = None,
    as_json: JsonOption = False,
) -> int:
    """List spans with the ids that `show`, `rerun` and `replay` take."""
    name, folder = run_and_path(run_id, path)
    with open_traces(folder) as traces:
        frame = traces.spans_df(since=since)
        if name is not None:
            frame = frame[frame["trace_id"] == find_run(traces, name).trace_id]
    for column, value in (("kind", kind), ("status", status), ("agent", agent), ("model", model)):
        if value is not None:
            frame = frame[frame[column].astype(object) == value]
    if where is not None:
        frame = _query(frame, where)
    if sort != "start":
        frame = frame.sort_values(SORTS[sort], ascending=False, kind="stable", na_position="last")
    if as_json:
        print_json_lines(records(frame.iloc[:limit]))
        return 0
    if not len(frame):
        print("No spans match.")
        return 0
    title = counted(len(frame), "span") + (f", the first {limit} by {sort}" if len(frame) > limit else "")
    print_table(title, COLUMNS, [_row(span) for span in frame.iloc[:limit].to_dict("records")])
    return 0


def _query(frame: pd.DataFrame, condition: str) -> pd.DataFrame:
    try:
        return frame.query(condition, engine="python")
    except Exception as error:
        columns = ", ".join(map(str, frame.columns[:12]))
        raise typer.BadParameter(f"--where {condition!r}: {error}. Columns are {columns}, …") from error


def _row(span: dict[Any, Any]) -> list[str]:
    from anton_notebook.model.formatting import format_count, format_duration, format_usd, one_line

    start = span["start"]
    cost = span["cost_usd"] if span["kind"] == "llm" else None
    return [
        one_line(span["agent"], 24),
        one_line(span["kind"]),
        one_line(span["name"], 32),
        one_line(span["status"]),
        one_line(f"{start:%H:%M:%S.%f}"[:12] if one_line(start) != "-" else None),
        format_duration(span["duration_ms"]),
        format_count(span["input_tokens"]),
        format_count(span["output_tokens"]),
        format_usd(cost) if cost is not None else "",
        one_line(span["span_id"])[:12],
    ]
