"""`anton-notebook summary`: what was run, spent and failed, in one report."""

from __future__ import annotations

import json
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import typer

from anton_notebook.cli._common import SinceOption, open_traces
from anton_notebook.cli._output import console

EXAMPLE = "anton-notebook summary . --since 'last hour'"


def _zone(text: str | None) -> str | None:
    if text is None:
        return None
    try:
        ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise typer.BadParameter(f"there is no time zone {text!r}; give one like Europe/Berlin") from error
    return text


def run(
    paths: Annotated[
        list[str] | None,
        typer.Argument(metavar="PATH...", show_default=False, help="Folders or files of traces; default: here."),
    ] = None,
    since: SinceOption = None,
    tz: Annotated[
        str | None,
        typer.Option(
            "--tz", metavar="ZONE", callback=_zone, help="Zone of times without one; default: this machine's."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the same figures as one JSON object.")] = False,
) -> int:
    """Report runs, agents, models, tools, failures, unknown prices and unreadable lines."""
    from anton_notebook.cli.report import figures, report

    with open_traces(*(paths or ["."]), tz=None if tz is None else ZoneInfo(tz)) as traces:
        if as_json:
            print(json.dumps(figures(traces, since=since), indent=2, allow_nan=False))
            return 0
        out = console()
        for part in report(traces, out.width, since=since):
            out.print(part)
    return 0
