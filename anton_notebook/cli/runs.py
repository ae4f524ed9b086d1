"""`anton-notebook runs`: the recorded runs under a path."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from anton_notebook.cli._common import JsonOption, PathArgument, SinceOption, open_traces
from anton_notebook.cli._output import Column, counted, print_json_lines, print_table, records

EXAMPLE = "anton-notebook runs . --since 'last day'"
COLUMNS = (
    Column("run", 0, widest=44),
    Column("status", 1),
    Column("start (UTC)", 4),
    Column("took", 3, right=True),
    Column("calls", 5, right=True),
    Column("tools", 7, right=True),
    Column("errors", 6, right=True),
    Column("tokens in", 8, right=True),
    Column("out", 9, right=True),
    Column("cost", 2, right=True),
    Column("id", 0),
)


def run(
    path: PathArgument = ".",
    since: SinceOption = None,
    limit: Annotated[
        int, typer.Option("--limit", min=1, metavar="N", help="Show at most N runs, the newest first.")
    ] = 20,
    experiments: Annotated[bool, typer.Option("--experiments", help="Include re-runs and replays.")] = False,
    as_json: JsonOption = False,
) -> int:
    """List the recorded runs: status, time, calls, errors, tokens and cost."""
    with open_traces(path) as traces:
        frame = traces.runs_df(since=since, experiments=experiments).iloc[::-1]
    if as_json:
        print_json_lines(records(frame.iloc[:limit]))
        return 0
    if not len(frame):
        print("No runs were found." if since is None else "No runs began in this period.")
        return 0
    title = counted(len(frame), "run") + (f", the newest {limit}" if len(frame) > limit else "")
    print_table(title, COLUMNS, [run_row(run) for run in frame.iloc[:limit].to_dict("records")])
    return 0


def run_row(run: dict[Any, Any]) -> list[str]:
    from anton_notebook.model.formatting import format_count, format_duration, format_usd, one_line

    name = run["name"] if isinstance(run["name"], str) else run["trace_id"]
    start = run["start"]
    return [
        one_line(name, 44),
        one_line(run["status"]),
        one_line(f"{start:%Y-%m-%d %H:%M:%S}" if one_line(start) != "-" else None),
        format_duration(run["duration_ms"]),
        *(format_count(run[key]) for key in ("llm_calls", "tool_calls", "errors", "input_tokens", "output_tokens")),
        format_usd(run["cost_usd"], at_least=bool(run["unpriced_calls"])),
        one_line(run["trace_id"])[:12],
    ]
