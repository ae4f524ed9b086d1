"""`anton-notebook export`: runs as a page, as lines with ids, or as an archive in Parquet."""

from __future__ import annotations

import argparse
import sys

from anton_notebook.api import read_traces
from anton_notebook.cli._common import safe

HELP = "write runs as one HTML page, as lines with ids, or as an archive in Parquet"
EXAMPLE = "anton-notebook export . --html run.html"


def options(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("path", nargs="+", help="a repository, a .modular-agents or traces folder, or files of traces")
    form = parser.add_mutually_exclusive_group(required=True)
    form.add_argument(
        "--html", metavar="FILE", help="one page of one run; opens without a network and without a kernel"
    )
    form.add_argument("--jsonl", metavar="FILE", help="lines with ids, which every command here reads; a new file")
    form.add_argument("--parquet", metavar="DIR", help="an archive of spans by day and project; adds what is new")
    parser.add_argument("--trace", metavar="T", default=None, help="this run (default: --html the newest, --jsonl all)")
    parser.add_argument("--bodies", action="store_true", help="with --html: texts of messages and results too")
    parser.add_argument("--no-redact", action="store_true", help="leave keys and passwords in the texts")


def run(options: argparse.Namespace) -> int:
    """Writes the file and says on stderr what it holds."""
    with read_traces(options.path) as traces:
        if options.trace is not None:
            traces[options.trace]
        if options.html is not None:
            from anton_notebook.widget.trace_graph import TraceGraph

            with TraceGraph(traces, options.trace, redact=not options.no_redact) as graph:
                said = graph.to_html(options.html, save_bodies=options.bodies)
            print(safe(f"wrote {options.html}{f' ({said})' if said else ''}"), file=sys.stderr)
        elif options.jsonl is not None:
            try:
                where = traces.export(options.jsonl, options.trace, redact=not options.no_redact)
            except FileExistsError:
                print(
                    safe(f"anton-notebook export: {options.jsonl} is there already; an export overwrites nothing"),
                    file=sys.stderr,
                )
                return 1
            print(safe(f"wrote {where}"), file=sys.stderr)
        else:
            rows = traces.to_parquet(options.parquet, redact=not options.no_redact)
            print(safe(f"added {rows:,} {'row' if rows == 1 else 'rows'} to {options.parquet}"), file=sys.stderr)
    return 0
