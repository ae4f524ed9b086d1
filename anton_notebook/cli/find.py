"""`anton-notebook find`: traces that known programs have left on this machine."""

from __future__ import annotations

from anton_notebook.cli._common import JsonOption
from anton_notebook.cli._output import Column, print_json_lines, print_table, records

EXAMPLE = "anton-notebook find"
COLUMNS = (
    Column("program", 0, widest=24),
    Column("name", 0),
    Column("files", 1, right=True),
    Column("newest (UTC)", 2),
    Column("size", 3, right=True),
    Column("read", 4),
    Column("path", 0, widest=80),
)


def run(as_json: JsonOption = False) -> int:
    """List the traces of known programs on this machine: Claude Code, Codex and others."""
    from anton_notebook.api import find_traces
    from anton_notebook.model.formatting import format_count, one_line

    frame = find_traces()
    if as_json:
        print_json_lines(records(frame))
        return 0
    if not len(frame):
        print("No traces of known programs were found on this machine. Give other commands a PATH.")
        return 0
    rows = [
        [
            one_line(row["program"]),
            one_line(row["name"]),
            format_count(row["files"]),
            f"{row['newest']:%Y-%m-%d %H:%M}",
            f"{row['size_mb']:,.1f} MB",
            "yes" if row["is_read"] else "not yet",
            one_line(row["path"], 80),
        ]
        for row in frame.to_dict("records")
    ]
    print_table("Traces on this machine; read them with: anton-notebook runs NAME", COLUMNS, rows)
    return 0
