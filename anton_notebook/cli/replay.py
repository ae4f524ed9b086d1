"""`anton-notebook replay`: run a trace again from a span or a checkpoint on, as a branch beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from anton_notebook.cli._common import BudgetOption, JsonOption, find_span, open_traces, program_words, read_text
from anton_notebook.cli._output import Column, counted, print_json_lines, print_table, records, safe, warn

if TYPE_CHECKING:
    from anton_notebook.api import Traces
    from anton_notebook.experiments.checkpoints import Checkpoint

EXAMPLE = "anton-notebook replay SPAN --prompt-file prompt.txt --plan"
COLUMNS = (
    Column("agent", 2, widest=24),
    Column("name", 1, widest=32),
    Column("provenance", 0),
    Column("reason", 3),
    Column("cost", 0, right=True),
)


def run(
    point: Annotated[str, typer.Argument(metavar="POINT", help="The id of a span or of a checkpoint.")],
    path: Annotated[
        str, typer.Argument(metavar="PATH", show_default=False, help="Where its run is; default: here.")
    ] = ".",
    trace: Annotated[
        str | None, typer.Option("--trace", metavar="RUN", help="Its run, if several have a span of this id.")
    ] = None,
    prompt_file: Annotated[
        str | None, typer.Option("--prompt-file", metavar="F", help="The new prompt, or - for standard input.")
    ] = None,
    note: Annotated[
        str | None, typer.Option("--note", metavar="TEXT", help="A note saved with the checkpoint.")
    ] = None,
    budget: BudgetOption = None,
    provider: Annotated[str | None, typer.Option("--provider", metavar="NAME", help="anthropic, openai, …")] = None,
    model: Annotated[
        str | None, typer.Option("--model", metavar="M", help="Another model for all calls that are sent.")
    ] = None,
    only_plan: Annotated[
        bool, typer.Option("--plan", help="Only print what would be done and what it would cost.")
    ] = False,
    workdir: Annotated[
        str, typer.Option("--workdir", metavar="D", help="With a program: the folder it runs in.")
    ] = "copy",
    as_json: JsonOption = False,
) -> int:
    """Run a trace again from a point on; the agents' own program may follow after `--`."""
    from anton_notebook.experiments.replay import plan, quote, replay

    program = list(program_words.get())
    if program and (model or provider):
        raise typer.BadParameter("a program calls its own models: --model and --provider have no effect")
    with open_traces(path) as traces:
        start = _checkpoint(traces, point, trace, prompt_file, note)
        options: dict[str, Any] = {"fresh": not start.modified_prompts, "budget": budget}
        if program:
            options["command"] = program
            planned: object = quote(start, **options)
            options["workdir"] = workdir
        else:
            options |= {"provider": provider, "model": model}
            planned = plan(start, **options)
        if only_plan:
            print(safe(planned))
            return 0
        warn(planned)
        frame = replay(start, **options)
    warn(f"original {frame.attrs['original_trace_id']}, new {frame.attrs['new_trace_id']}")
    rows = records(frame)
    if as_json:
        print_json_lines(rows)
    else:
        print_table(counted(len(rows), "call"), COLUMNS, [_row(row) for row in rows])
    if "caution" in frame.attrs and not program:
        warn(frame.attrs["caution"])
    return 1 if frame["error"].notna().any() else 0


def _row(row: dict[str, Any]) -> list[str]:
    from anton_notebook.model.formatting import format_usd, one_line

    names = [one_line(row[name] or "") for name in ("agent", "name", "provenance")]
    return [*names, one_line(row["reason"] or "", 120), format_usd(row["cost_usd"])]


def _checkpoint(traces: Traces, point: str, trace: str | None, prompt_file: str | None, note: str | None) -> Checkpoint:
    """Return the checkpoint of this id, else a new one at the span of this id."""
    from anton_notebook.errors import CheckpointError, SpanNotFound
    from anton_notebook.experiments.checkpoints import Checkpoint, checkpoint

    prompt = None if prompt_file is None else read_text(prompt_file)
    try:
        span = find_span(traces, point, trace)
    except SpanNotFound:
        try:
            return Checkpoint.load(point, traces)
        except CheckpointError as error:
            raise SpanNotFound(f"no span and no checkpoint {point!r}: {error}") from None
    return checkpoint(span, prompts={} if prompt is None else {span.span_id: prompt}, note=note)
