"""`anton-notebook summary`: the essential tables of some traces, in a terminal or as JSON."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from anton_notebook.api import read_traces
from anton_notebook.tables.filters import moment
from anton_notebook.tables.summary import figures, summary

HELP = "print what was run, spent and failed under a path: runs, agents, models, tools, failures, unknown prices"
EXAMPLE = "anton-notebook summary . --since 'last hour'"
WIDTH = 120
BOLD, DIM, PLAIN = "\x1b[1m", "\x1b[2m", "\x1b[0m"


def options(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("path", nargs="+", help="a repository, a .modular-agents or traces folder, or files of traces")
    parser.add_argument("--json", action="store_true", help="the same figures as one JSON object")
    parser.add_argument(
        "--since",
        type=_since,
        default=None,
        metavar="WHEN",
        help="only what began then or later: a time, '2h', 'last day'",
    )
    parser.add_argument(
        "--tz",
        type=_zone,
        default=None,
        metavar="ZONE",
        help="the zone of times that say none (default: this machine's)",
    )


def _since(text: str) -> str:
    try:
        moment(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


def _zone(text: str) -> ZoneInfo:
    try:
        return ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise argparse.ArgumentTypeError(f"there is no zone {text!r}; give one like Europe/Berlin") from error


def run(options: argparse.Namespace) -> int:
    """Prints the summary. Colours only on a terminal, and not where NO_COLOR is set; lines as wide as the terminal."""
    with read_traces(options.path, tz=options.tz) as traces:
        if options.json:
            text = json.dumps(figures(traces, since=options.since), indent=2, allow_nan=False) + "\n"
        else:
            text = summary(traces, width=_width(), since=options.since)
    encoding = sys.stdout.encoding or "utf-8"
    text = text.encode(encoding, "replace").decode(encoding)
    print(_coloured(text) if not options.json and _colours() else text, end="")
    return 0


def _width() -> int:
    """The terminal's columns, or `$COLUMNS`; enough for all columns where the text goes into a pipe or a file."""
    return max(shutil.get_terminal_size((WIDTH, 24)).columns if sys.stdout.isatty() else int(_columns() or WIDTH), 40)


def _columns() -> str:
    said = os.environ.get("COLUMNS", "")
    return said if said.isdigit() else ""


def _colours() -> bool:
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _coloured(text: str) -> str:
    """Titles bold, heads dim. Texts of a trace are indented, so that none is taken for either."""
    lines = text.splitlines()
    for i, line in enumerate(lines):
        if line and not line.startswith(" "):
            lines[i] = f"{BOLD}{line}{PLAIN}"
        elif i and lines[i - 1].startswith(BOLD) and i > 1:
            lines[i] = f"{DIM}{line}{PLAIN}"
    return "\n".join(lines) + "\n"
