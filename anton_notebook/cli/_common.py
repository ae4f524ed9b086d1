"""Options that commands share, and how they find the traces, runs and spans that a user names."""

from __future__ import annotations

import math
import os
import sys
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from anton_notebook.api import Span, Trace, Traces

LATEST = "latest"

program_words: ContextVar[tuple[str, ...]] = ContextVar("program_words", default=())
"""The words after `--`: the user's program and its arguments."""

PathArgument = Annotated[
    str,
    typer.Argument(
        metavar="PATH", show_default=False, help="Folder, file or database of traces; default: the current folder."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, one object per line.")]


def check_since(text: str | None) -> str | None:
    """Check the value of `--since`."""
    from anton_notebook.tables.filters import moment

    if text is not None:
        try:
            moment(text)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from error
    return text


def check_dollars(value: float | None) -> float | None:
    """Check an amount of US dollars."""
    if value is not None and not 0 <= value < math.inf:
        raise typer.BadParameter(f"{value} is not an amount of US dollars (0 or more)")
    return value


def read_text(name: str) -> str:
    """Read a file as UTF-8, or standard input for `-`."""
    try:
        return sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"{name} cannot be read as text: {error}") from error


SinceOption = Annotated[
    str | None,
    typer.Option(
        "--since", metavar="WHEN", callback=check_since, help="Only what began then or later: a time, '2h', 'last day'."
    ),
]
BudgetOption = Annotated[
    float | None,
    typer.Option("--budget", metavar="USD", callback=check_dollars, help="Spend at most this many US dollars."),
]


def open_traces(*paths: str, **options: Any) -> Traces:
    """Read traces; `PathNotFound` and `NotATrace` end the command with one line."""
    from anton_notebook.api import read_traces

    return read_traces(list(paths) if len(paths) > 1 else paths[0], **options)


def run_and_path(run: str | None, path: str | None) -> tuple[str | None, str]:
    """Tell a run's id and a path apart: a first word that names an existing file or folder is the path."""
    if run is not None and path is None and os.path.exists(run):
        return None, run
    return run, path if path is not None else "."


def find_run(traces: Traces, run: str | None) -> Trace:
    """Return the run with this id or unique prefix of an id; the newest one for None or "latest"."""
    from anton_notebook.errors import TraceNotFound

    ids = list(traces.runs_df(experiments=False)["trace_id"].astype(str))
    if run is None or run == LATEST:
        if not ids:
            raise TraceNotFound("no runs were found here")
        return traces[ids[-1]]
    matches = [name for name in ids if name.startswith(run)]
    return traces[matches[0] if len(matches) == 1 and run not in ids else run]


def find_span(traces: Traces, span: str, run: str | None = None) -> Span:
    """Return the span with this id or unique prefix of an id."""
    from anton_notebook.errors import AmbiguousSpan, SpanNotFound

    try:
        return traces.span(span, run)
    except SpanNotFound:
        frame = traces.spans_df()
        if run is not None:
            frame = frame[frame["trace_id"] == run]
        matches = frame[frame["span_id"].astype(str).str.startswith(span)] if span else frame[:0]
        if len(matches) == 1:
            return traces.span(str(matches["span_id"].iloc[0]), str(matches["trace_id"].iloc[0]))
        if len(matches) > 1:
            raise AmbiguousSpan(f"{len(matches)} span ids begin with {span!r}; give more characters") from None
        raise


def has_display() -> bool:
    """Return whether a browser window can be opened; without a display `webbrowser` starts a text browser."""
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def private(path: str, flags: int) -> int:
    """Open a file that only its owner can read: it holds prompts and answers."""
    return os.open(path, flags, 0o600)
