"""`anton-notebook replay`: a run again from a span or a checkpoint on, with changed prompts, as a branch beside it."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from typing import Any

from anton_notebook.api import Traces, read_traces
from anton_notebook.cli._common import dollars, safe, text_of
from anton_notebook.errors import CheckpointError, SpanNotFound
from anton_notebook.experiments.checkpoints import Checkpoint, checkpoint
from anton_notebook.experiments.replay import plan, quote, replay
from anton_notebook.tables.summary import Table, one_line, usd

HELP = "run a trace again from a span or a checkpoint on, with changed prompts, as a branch beside it"
EXAMPLE = "anton-notebook replay SPAN --prompt-file prompt.txt --plan"


def options(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("point", help="the id of a span, or of a checkpoint")
    parser.add_argument("--path", default=".", metavar="P", help="where its run lies (default: here)")
    parser.add_argument("--trace", default=None, metavar="T", help="its run, where several have a span of that id")
    parser.add_argument(
        "--prompt-file", type=text_of, default=None, metavar="F", help="the point's new prompt (- for standard input)"
    )
    parser.add_argument("--note", default=None, metavar="TEXT", help="kept with the checkpoint")
    parser.add_argument("--budget", type=dollars, default=None, metavar="USD", help="never spend more than this")
    parser.add_argument("--provider", default=None, metavar="NAME", help="anthropic, openai, …")
    parser.add_argument("--model", default=None, metavar="M", help="another model for all calls that are made")
    parser.add_argument("--plan", action="store_true", help="only say what would be done, and what it would cost")
    parser.add_argument("--json", action="store_true", help="all columns, one JSON object a line")
    parser.add_argument(
        "--workdir", default="copy", metavar="D", help="with a program: where it runs (default: a copy)"
    )
    parser.add_argument("program", nargs="*", metavar="COMMAND", help="the agents' program, after --")


def run(options: argparse.Namespace) -> int:
    """0 where every call was settled, 1 where one failed."""
    with read_traces(options.path) as traces:
        point = _point(traces, options)
        how: dict[str, Any] = {"fresh": not point.modified_prompts}
        how["budget"] = options.budget
        if options.program:
            if options.model or options.provider:
                print(
                    "anton-notebook replay: a program asks its own models: --model and --provider mean nothing",
                    file=sys.stderr,
                )
                return 2
            how["command"] = options.program
            planned: object = quote(point, **how)
            how["workdir"] = options.workdir
        else:
            how |= {"provider": options.provider, "model": options.model}
            planned = plan(point, **how)
        print(safe(planned), file=sys.stdout if options.plan else sys.stderr)
        if options.plan:
            return 0
        frame = replay(point, **how)
    print(safe(f"original {frame.attrs['original_trace_id']}, new {frame.attrs['new_trace_id']}"), file=sys.stderr)
    rows = json.loads(frame.to_json(orient="records"))
    if options.json:
        for row in rows:
            print(safe(json.dumps(row, ensure_ascii=False)))
    else:
        heads = ["agent", "name", "provenance", "reason", "cost"]
        lines = [[*(one_line(row[name] or "") for name in heads[:-1]), usd(row["cost_usd"])] for row in rows]
        width = shutil.get_terminal_size((120, 24)).columns if sys.stdout.isatty() else None
        print(Table(f"{len(rows)} calls", heads, lines, 4).fitting(width))
    if "caution" in frame.attrs and not options.program:
        print(frame.attrs["caution"], file=sys.stderr)
    return 1 if frame["error"].notna().any() else 0


def _point(traces: Traces, options: argparse.Namespace) -> Checkpoint:
    """The checkpoint of that id, else one at the span of that id."""
    prompts = {options.point: options.prompt_file} if options.prompt_file is not None else {}
    try:
        span = traces.span(options.point, options.trace)
    except SpanNotFound:
        try:
            kept = Checkpoint.load(options.point, traces)
        except CheckpointError as error:
            raise SpanNotFound(f"no span and no checkpoint {options.point!r} under {options.path}: {error}") from None
        return kept
    return checkpoint(span, prompts=prompts, note=options.note)
