"""Output of the commands: tables that fit the terminal, JSON lines, and texts that cannot steer a terminal."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console
    from rich.table import Table

PIPE_WIDTH = 120
NARROWEST = 40
SHORTEST = 12
GAP = 2


class Column(NamedTuple):
    """A column of a table.

    Columns with a `widest` hold texts that may be cut; the others are shown whole. Of columns that do not fit, those with
    the highest `rank` are left out first; rank 0 always stays.
    """

    title: str
    rank: int = 0
    right: bool = False
    widest: int | None = None


def console(stderr: bool = False, width: int | None = None) -> Console:
    """Return a console without markup, as wide as the terminal, or 120 columns where the output is no terminal."""
    from rich.console import Console

    file = sys.stderr if stderr else sys.stdout
    if width is None and not file.isatty():
        columns = os.environ.get("COLUMNS", "")
        width = max(int(columns) if columns.isdigit() else PIPE_WIDTH, NARROWEST)
    return Console(file=file, width=width, markup=False, highlight=False, emoji=False, soft_wrap=False)


def safe(text: object) -> str:
    """Write control characters of a text as JSON escapes, so that it cannot steer a terminal and JSON stays JSON.

    Examples:
        >>> safe("a\x1b[2J\u202eb")
        'a\\\\u001b[2J\\\\u202eb'
    """
    return "".join(c if c.isprintable() or c in "\n\t" else json.dumps(c)[1:-1] for c in str(text))


def warn(text: object) -> None:
    """Print a line to standard error."""
    print(safe(text), file=sys.stderr)


def print_json_lines(rows: Iterable[Mapping[str, Any]]) -> None:
    """Print one JSON object per line."""
    for row in rows:
        print(safe(json.dumps(row, ensure_ascii=False, allow_nan=False)))


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return a frame's rows as JSON values; times in ISO 8601, missing values as null."""
    out: list[dict[str, Any]] = json.loads(frame.to_json(orient="records", date_format="iso"))
    return out


def table(title: str, columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int) -> Table:
    """Build a table that is at most `width` columns wide: texts are cut first, then whole columns are left out."""
    from rich.table import Table
    from rich.text import Text

    from anton_notebook.model.formatting import display_width

    full = [max(map(display_width, [column.title, *(row[i] for row in rows)])) for i, column in enumerate(columns)]
    widths = [size if (most := columns[i].widest) is None else min(size, most) for i, size in enumerate(full)]
    least = [size if columns[i].widest is None else min(size, SHORTEST) for i, size in enumerate(widths)]
    kept = list(range(len(columns)))
    while sum(least[i] + GAP for i in kept) > width and any(columns[i].rank for i in kept):
        kept.remove(max(kept, key=lambda i: (columns[i].rank, i)))
    for i in sorted(kept, key=lambda i: -widths[i]):
        surplus = sum(widths[j] + GAP for j in kept) - width
        widths[i] = max(least[i], widths[i] - max(surplus, 0))
    made = Table(
        title=Text(title), title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, GAP, 0, 0)
    )
    for i in kept:
        made.add_column(
            columns[i].title,
            justify="right" if columns[i].right else "left",
            no_wrap=True,
            overflow="ellipsis",
            width=widths[i],
            header_style="dim",
        )
    for row in rows:
        made.add_row(*(Text(row[i]) for i in kept))
    return made


def print_table(title: str, columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    """Print a table to standard output."""
    out = console()
    out.print(table(title, columns, rows, out.width))


def counted(number: int, noun: str) -> str:
    """Return a count with its noun.

    Examples:
        >>> counted(1, "run"), counted(1200, "run")
        ('1 run', '1,200 runs')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
