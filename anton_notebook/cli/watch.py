"""`anton-notebook watch`: a live table of runs and agents in the terminal."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from anton_notebook.cli._common import PathArgument, open_traces
from anton_notebook.cli._output import Column, console, table

if TYPE_CHECKING:
    from rich.console import Group

    from anton_notebook.api import Traces

EXAMPLE = "anton-notebook watch . --once"
AGENTS = (
    Column("agent", 0, widest=32),
    Column("status", 2),
    Column("calls", 3, right=True),
    Column("tools", 5, right=True),
    Column("errors", 4, right=True),
    Column("tokens", 6, right=True),
    Column("cost", 1, right=True),
)
NEWEST = 8


def run(
    path: PathArgument = ".",
    interval: Annotated[
        float, typer.Option("--interval", min=0.1, metavar="S", help="Seconds between two pictures.")
    ] = 1.0,
    once: Annotated[bool, typer.Option("--once", help="Print the tables once and end.")] = False,
) -> int:
    """Show runs and the agents of the newest run while they work; Ctrl-C ends it."""
    from rich.live import Live

    out = console()
    with open_traces(path, follow=not once) as traces:
        if once or not out.is_terminal:
            out.print(_picture(traces, out.width))
            return 0
        with Live(_picture(traces, out.width), console=out, auto_refresh=False, screen=False) as live:
            while True:
                time.sleep(interval)
                live.update(_picture(traces, out.width), refresh=True)


def _picture(traces: Traces, width: int) -> Group:
    from rich.console import Group
    from rich.text import Text

    from anton_notebook.cli.runs import COLUMNS, run_row

    runs = traces.runs_df().iloc[::-1]
    if not len(runs):
        return Group(Text("No runs yet."))
    shown = runs.iloc[:NEWEST].to_dict("records")
    parts = [table("Runs", COLUMNS, [run_row(run) for run in shown], width)]
    parts.append(table("Agents of the newest run", AGENTS, _agents(traces, str(shown[0]["trace_id"])), width))
    return Group(*parts)


def _agents(traces: Traces, trace_id: str) -> list[list[str]]:
    from anton_notebook.model.formatting import format_count, format_usd, one_line

    frame = traces.spans_df()
    frame = frame[frame["trace_id"] == trace_id]
    rows = []
    for agent, spans in frame.groupby("agent", observed=True, sort=False):
        kinds: Any = spans["kind"].astype(object)
        calls, tools = spans[kinds == "llm"], spans[kinds == "tool"]
        running = (spans["status"].astype(object) == "running").any()
        failed = int((spans["status"].astype(object) == "error").sum())
        tokens = int(calls["input_tokens"].sum() + calls["output_tokens"].sum())
        unknown = bool(calls["cost_usd"].isna().any())
        rows.append(
            [
                one_line(agent, 32),
                "running" if running else "error" if failed else "ok",
                format_count(len(calls)),
                format_count(len(tools)),
                format_count(failed),
                format_count(tokens),
                format_usd(float(calls["cost_usd"].sum()), at_least=unknown),
            ]
        )
    return rows
