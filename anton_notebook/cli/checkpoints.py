"""`anton-notebook checkpoints`: the points of runs that were kept, ours and anton's own."""

from __future__ import annotations

import argparse
import json
import shutil
import sys

from anton_notebook.cli._common import safe
from anton_notebook.experiments.checkpoints import checkpoints
from anton_notebook.tables.summary import Table, one_line

HELP = "list the checkpoints under a path, ours and anton's own, and whether each can be replayed"
EXAMPLE = "anton-notebook checkpoints ."


def options(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("path", nargs="?", default=".", help="a repository or a folder of traces (default: here)")
    parser.add_argument("--json", action="store_true", help="all columns, one JSON object a line")


def run(options: argparse.Namespace) -> int:
    """Prints the list."""
    frame = checkpoints(options.path)
    rows = json.loads(frame.to_json(orient="records", date_format="iso"))
    if options.json:
        for row in rows:
            print(safe(json.dumps(row, ensure_ascii=False)))
        return 0
    names = [name for name in frame.columns if name not in ("modified_prompts", "module_states", "repo_knowledge")]
    lines = [["" if row[name] is None else one_line(row[name]) for name in names] for row in rows]
    width = shutil.get_terminal_size((120, 24)).columns if sys.stdout.isatty() else None
    print(
        Table(f"{len(rows)} {'checkpoint' if len(rows) == 1 else 'checkpoints'}", names, lines, len(names)).fitting(
            width
        )
    )
    return 0
