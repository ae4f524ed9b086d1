"""`anton-notebook export`: runs as an HTML page, as JSON lines or as a Parquet archive."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from anton_notebook.cli._common import find_run, open_traces
from anton_notebook.cli._output import counted, warn

if TYPE_CHECKING:
    from anton_notebook.api import Traces

EXAMPLE = "anton-notebook export . --html run.html"


def run(
    paths: Annotated[
        list[str] | None,
        typer.Argument(metavar="PATH...", show_default=False, help="Folders or files of traces; default: here."),
    ] = None,
    html: Annotated[
        str | None, typer.Option("--html", metavar="FILE", help="One page of one run; opens without a network.")
    ] = None,
    jsonl: Annotated[
        str | None, typer.Option("--jsonl", metavar="FILE", help="Lines with ids, readable by every command.")
    ] = None,
    parquet: Annotated[
        str | None, typer.Option("--parquet", metavar="DIR", help="An archive by day and project; adds new spans.")
    ] = None,
    trace: Annotated[
        str | None, typer.Option("--trace", metavar="RUN", help="This run; default: --html the newest, --jsonl all.")
    ] = None,
    bodies: Annotated[
        bool, typer.Option("--bodies", help="With --html: include the texts of messages and results.")
    ] = False,
    no_redact: Annotated[bool, typer.Option("--no-redact", help="Leave keys and passwords in the texts.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
) -> int:
    """Write runs as an HTML page, as JSON lines or as a Parquet archive."""
    if sum(target is not None for target in (html, jsonl, parquet)) != 1:
        raise typer.BadParameter("give exactly one of --html FILE, --jsonl FILE and --parquet DIR")
    with open_traces(*(paths or ["."])) as traces:
        chosen = None if trace is None else find_run(traces, trace).trace_id
        if html is not None:
            _write_html(traces, html, chosen, bodies=bodies, redact=not no_redact, overwrite=force)
        elif jsonl is not None:
            try:
                warn(f"wrote {traces.export(jsonl, chosen, redact=not no_redact)}")
            except FileExistsError:
                warn(
                    f"anton-notebook export: {jsonl} exists. Choose another name; an export of lines overwrites nothing."
                )
                return 1
        else:
            rows = traces.to_parquet(str(parquet), redact=not no_redact)
            warn(f"added {counted(rows, 'row')} to {parquet}")
    return 0


def _write_html(
    traces: Traces, target: str, trace_id: str | None, *, bodies: bool, redact: bool, overwrite: bool
) -> None:
    from anton_notebook.widget.trace_graph import TraceGraph

    if os.path.exists(target) and not overwrite:
        raise FileExistsError(f"{target} exists. Choose another name, or replace it with --force.")

    with TraceGraph(traces, trace_id, redact=redact) as graph:
        note = graph.to_html(target, save_bodies=bodies, overwrite=overwrite)
    warn(f"wrote {target}{f' ({note})' if note else ''}")
