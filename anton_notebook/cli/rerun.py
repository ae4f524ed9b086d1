"""`anton-notebook rerun`: send one recorded call again, changed, and compare the answers."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from anton_notebook.cli._common import BudgetOption, JsonOption, find_span, open_traces, private, read_text
from anton_notebook.cli._output import Column, counted, print_json_lines, print_table, records, safe, warn

if TYPE_CHECKING:
    import pandas as pd

EXAMPLE = "anton-notebook rerun SPAN --prompt-file prompt.txt --n 5 --out results.csv"
COLUMNS = (
    Column("answer", 0),
    Column("variant", 1, right=True),
    Column("n", 2, right=True),
    Column("alike", 3, right=True),
    Column("cost", 4, right=True),
    Column("time", 5, right=True),
)
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
WRITERS = {".csv": "to_csv", ".json": "to_json", ".parquet": "to_parquet"}


def run(
    span_id: Annotated[str, typer.Argument(metavar="SPAN", help="A span's id or its first characters.")],
    path: Annotated[
        str, typer.Argument(metavar="PATH", show_default=False, help="Where its run is; default: here.")
    ] = ".",
    trace: Annotated[
        str | None, typer.Option("--trace", metavar="RUN", help="Its run, if several have a span of this id.")
    ] = None,
    prompt: Annotated[
        list[str] | None, typer.Option("--prompt", metavar="TEXT", help="A prompt; repeat for several.")
    ] = None,
    prompt_file: Annotated[
        list[str] | None, typer.Option("--prompt-file", metavar="F", help="A file with a prompt, or -.")
    ] = None,
    system_file: Annotated[
        str | None, typer.Option("--system-file", metavar="F", help="A file with another system prompt.")
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option("--model", metavar="M", help="A model; repeat for several.")
    ] = None,
    provider: Annotated[str | None, typer.Option("--provider", metavar="NAME", help="anthropic, openai, …")] = None,
    n: Annotated[int, typer.Option("--n", min=1, metavar="N", help="Answers for each variant.")] = 1,
    baseline: Annotated[
        int, typer.Option("--baseline", min=0, metavar="K", help="Also send the unchanged request K times.")
    ] = 0,
    budget: BudgetOption = None,
    concurrency: Annotated[int, typer.Option("--concurrency", min=1, metavar="N", help="Calls at a time.")] = 8,
    only_quote: Annotated[bool, typer.Option("--quote", help="Only print what it would cost.")] = False,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Send again even if the answer is cached.")] = False,
    out: Annotated[
        str | None, typer.Option("--out", metavar="FILE", help="Write all columns: .csv, .json or .parquet.")
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """Send one recorded call to its model again with another prompt or model, and compare the answers."""
    from anton_notebook.experiments.rerun import quote, rerun

    write = None if out is None else _writer(out)
    prompts = [*(prompt or []), *map(read_text, prompt_file or [])]
    changes: dict[str, Any] = {"n": n, "baseline": baseline, "provider": provider}
    changes["prompt"] = (prompts if len(prompts) > 1 else prompts[0]) if prompts else None
    changes["model"] = (model if len(model) > 1 else model[0]) if model else None
    changes["system"] = None if system_file is None else read_text(system_file)
    with open_traces(path) as traces:
        span = find_span(traces, span_id, trace)
        expected = quote(span, **changes)
        if only_quote:
            print(safe(expected))
            return 0
        warn(expected)
        frame = rerun(span, **changes, budget=budget, concurrency=concurrency, cache=not no_cache)
    if write is not None:
        write(frame)
        warn(f"wrote {counted(len(frame), 'row')} to {out}")
    if as_json:
        print_json_lines(records(frame))
    else:
        print_table(counted(len(frame), "answer"), COLUMNS, [_row(row) for row in frame.to_dict("records")])
    if frame["error"].isna().any() or not len(frame):
        return 0
    warn(f"anton-notebook rerun: no answer came: {frame['error'].iloc[0]}")
    return 1


def _row(row: dict[Any, Any]) -> list[str]:
    from anton_notebook.model.formatting import format_duration, format_usd, one_line

    return [
        one_line(f"error: {row['error']}" if isinstance(row["error"], str) else row["response"] or "", 200),
        str(row["variant"]),
        str(row["repeat"]),
        "–" if math.isnan(row["similarity"]) else f"{row['similarity']:.0%}",
        format_usd(row["cost_usd"]),
        format_duration(row["duration_ms"]),
    ]


def _writer(name: str) -> Callable[[pd.DataFrame], None]:
    """Return a function that writes the frame; the name is checked before anything is spent."""
    kind = Path(name).suffix.lower()
    if kind not in WRITERS:
        raise typer.BadParameter(f"--out {name}: the name must end in {', '.join(WRITERS)}")
    if not Path(name).absolute().parent.is_dir():
        raise typer.BadParameter(f"--out {name}: the folder does not exist")

    def write(frame: pd.DataFrame) -> None:
        with open(name, "wb", opener=private) as file:
            if kind == ".csv":
                file.write(frame.map(_cell).to_csv(index=False).encode("utf-8", "replace"))
            elif kind == ".json":
                file.write(frame.to_json(orient="records", date_format="iso", indent=2).encode("utf-8", "replace"))
            else:
                frame.drop(columns=["tool_calls"]).to_parquet(file, index=False)

    return write


def _cell(value: Any) -> Any:
    """Keep a spreadsheet from taking an answer for a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value
