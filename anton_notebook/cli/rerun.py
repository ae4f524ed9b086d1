"""`anton-notebook rerun`: one recorded call again, with another prompt, some times, into a table."""

from __future__ import annotations

import argparse
import json
import math
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anton_notebook.api import read_traces
from anton_notebook.cli._common import dollars, private, safe, text_of, whole
from anton_notebook.experiments.rerun import quote, rerun
from anton_notebook.tables.summary import Table, duration, one_line, usd

if TYPE_CHECKING:
    import pandas as pd

HELP = "send one recorded call to its model again, with another prompt or model, and compare the answers"
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
EXAMPLE = "anton-notebook rerun SPAN --prompt-file prompt.txt --n 5 --out results.csv"


def options(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("span", help="the id of the call, as `spans_df` and the details of the graph have it")
    parser.add_argument("--path", default=".", metavar="P", help="where its run lies (default: here)")
    parser.add_argument("--trace", default=None, metavar="T", help="its run, where several have a span of that id")
    parser.add_argument("--prompt", action="append", default=[], metavar="TEXT", help="a prompt; again for several")
    parser.add_argument(
        "--prompt-file", type=text_of, action="append", default=[], metavar="F", help="a file with a prompt, or -"
    )
    parser.add_argument(
        "--system-file", type=text_of, default=None, metavar="F", help="a file with another system prompt"
    )
    parser.add_argument("--model", action="append", default=[], metavar="M", help="a model; again for several")
    parser.add_argument("--provider", default=None, metavar="NAME", help="anthropic, openai, …")
    parser.add_argument("--n", type=whole(1), default=1, metavar="N", help="answers for each variant (default: 1)")
    parser.add_argument(
        "--baseline", type=whole(0), default=0, metavar="K", help="ask the unchanged request K times too"
    )
    parser.add_argument("--budget", type=dollars, default=None, metavar="USD", help="never spend more than this")
    parser.add_argument("--concurrency", type=whole(1), default=8, metavar="N", help="calls at a time (default: 8)")
    parser.add_argument("--quote", action="store_true", help="only say what it would cost")
    parser.add_argument("--no-cache", action="store_true", help="ask again even where the answer is known")
    parser.add_argument(
        "--out",
        default=None,
        metavar="FILE",
        help="write all columns: .csv (what begins as a formula, with a ' before it), .json or .parquet",
    )
    parser.add_argument("--json", action="store_true", help="print all columns as JSON, a line for each answer")


def run(options: argparse.Namespace) -> int:
    """0 where an answer came, 1 where none did."""
    write = _writer(options.out)
    given: dict[str, Any] = {"n": options.n, "baseline": options.baseline, "provider": options.provider}
    prompts = [*options.prompt, *options.prompt_file]
    given["prompt"] = (prompts if len(prompts) > 1 else prompts[0]) if prompts else None
    given["model"] = (options.model if len(options.model) > 1 else options.model[0]) if options.model else None
    given["system"] = options.system_file
    with read_traces(options.path) as traces:
        span = traces.span(options.span, options.trace)
        expected = quote(span, **given)
        if options.quote:
            print(safe(expected))
            return 0
        print(safe(expected), file=sys.stderr)
        frame = rerun(span, **given, budget=options.budget, concurrency=options.concurrency, cache=not options.no_cache)
    if write is not None:
        write(frame)
        print(safe(f"wrote {len(frame)} rows to {options.out}"), file=sys.stderr)
    if options.json:
        for row in json.loads(frame.to_json(orient="records", date_format="iso")):
            print(safe(json.dumps(row, ensure_ascii=False)))
    else:
        print(shown(frame), end="")
    if frame["error"].isna().any() or not len(frame):
        return 0
    print(safe(f"anton-notebook rerun: no answer came: {frame['error'].iloc[0]}"), file=sys.stderr)
    return 1


def shown(frame: pd.DataFrame) -> str:
    """The answers as a table for a terminal."""
    heads = ["answer", "variant", "n", "alike", "cost", "time"]
    rows = [
        [
            one_line(f"error: {row['error']}" if isinstance(row["error"], str) else row["response"] or ""),
            f"{row['variant']}",
            f"{row['repeat']}",
            "–" if math.isnan(row["similarity"]) else f"{row['similarity']:.0%}",
            usd(row["cost_usd"]),
            duration(row["duration_ms"]),
        ]
        for row in frame.to_dict("records")
    ]
    width = shutil.get_terminal_size((120, 24)).columns if sys.stdout.isatty() else None
    return Table(f"{len(rows)} {'answer' if len(rows) == 1 else 'answers'}", heads, rows).fitting(width) + "\n"


def _writer(name: str | None) -> Any:
    """How to write the file; checked before anything is spent."""
    if name is None:
        return None
    kinds = {".csv": "to_csv", ".json": "to_json", ".parquet": "to_parquet"}
    kind = Path(name).suffix.lower()
    if kind not in kinds:
        raise SystemExit(_wrong(f"--out {name}: the name must end in {', '.join(kinds)}"))
    if not Path(name).absolute().parent.is_dir():
        raise SystemExit(_wrong(f"--out {name}: there is no such folder"))

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
    """What a spreadsheet would take for a formula, as a text: models and traces say what they like."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _wrong(text: str) -> int:
    print(safe(f"anton-notebook rerun: {text}"), file=sys.stderr)
    return 2
