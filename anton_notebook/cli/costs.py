"""`anton-notebook costs`: what was spent, grouped."""

from __future__ import annotations

from typing import Annotated

import typer

from anton_notebook.cli._common import JsonOption, PathArgument, SinceOption, open_traces
from anton_notebook.cli._output import Column, print_json_lines, print_table, records

EXAMPLE = "anton-notebook costs . --by agent,model"
FIGURES = (
    Column("calls", 3, right=True),
    Column("tokens in", 4, right=True),
    Column("out", 5, right=True),
    Column("cost", 0, right=True),
    Column("share", 6, right=True),
    Column("errors", 7, right=True),
)


def run(
    path: PathArgument = ".",
    by: Annotated[
        str,
        typer.Option("--by", metavar="KEYS", help="Keys with commas: agent, model, tool, run, day, hour, project …"),
    ] = "agent",
    since: SinceOption = None,
    limit: Annotated[int, typer.Option("--limit", min=1, metavar="N", help="Show at most N rows.")] = 40,
    as_json: JsonOption = False,
) -> int:
    """Sum calls, tokens and costs by agent, model, tool, run or time."""
    from anton_notebook.model.formatting import format_count, format_usd, one_line
    from anton_notebook.tables.costs import costs

    keys = [word.strip() for word in by.split(",") if word.strip()]
    with open_traces(path) as traces:
        frame = costs(traces.spans_df(experiments=False, since=since), by=keys)
    if as_json:
        print_json_lines(records(frame.iloc[:limit]))
        return 0
    if not len(frame):
        print("No calls were found.")
        return 0
    columns = [*(Column(key, 0, widest=40) for key in keys), *FIGURES]
    rows = []
    for row in frame.iloc[:limit].to_dict("records"):
        figures = [format_count(row["calls"]), format_count(row["input_tokens"]), format_count(row["output_tokens"])]
        share = row["share"]
        figures += [format_usd(row["cost_usd"]), "-" if share != share else f"{share:.0%}", format_count(row["errors"])]
        rows.append([*(one_line(row[key], 40) for key in keys), *figures])
    print_table(_title(frame, limit), columns, rows)
    return 0


def _title(frame: object, limit: int) -> str:
    from anton_notebook.model.formatting import format_usd
    from anton_notebook.tables.schema import KEY

    about = frame.attrs[KEY]  # type: ignore[attr-defined]
    total = format_usd(about["total_cost_usd"], at_least=bool(about["unpriced_calls"]))
    size = len(frame)  # type: ignore[arg-type]
    return f"Total {total}" + (f", the first {limit} of {size} rows" if size > limit else "")
