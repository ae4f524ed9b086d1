"""The essential tables of some runs as text, for a terminal."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pandas as pd

from anton_notebook.tables.costs import KEY, costs

RUNS = 15
GROUPS = 12
FAILURES = 8
WIDEST = 40

Cell = Callable[[Any], str]


def summary(traces: Any) -> str:
    """Runs, costs by agent and by model, failures, unknown prices and unreadable lines of some traces, as plain text.

    Whatever comes from a trace is on one line and holds no control characters, so that it cannot steer the terminal.
    """
    runs, spans, problems = traces.runs_df(), traces.spans_df(experiments=False), traces.problems_df()
    by_agent, by_model = costs(spans, by="agent"), costs(spans, by="model")
    parts = [_headline(runs, by_agent)]
    if len(runs):
        parts += [_runs(runs)]
        parts += [_spent("Agents", by_agent, "agent"), _spent("Models", by_model[by_model["calls"] > 0], "model")]
        parts += [_failures(spans), _unpriced(by_agent)]
    parts.append(_problems(problems))
    return "\n\n".join(part for part in parts if part) + "\n"


def one_line(value: object, widest: int = WIDEST) -> str:
    """A text on one line, without control characters, no wider than so many columns; `-` for what is missing.

    >>> one_line("read\\x1b[2J\\nall")
    'read [2J all'
    """
    if value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and math.isnan(value)):
        return "-"
    shown = "".join(c if c.isprintable() else " " for c in str(value)[: widest * 8])
    shown = " ".join(shown.split())
    if _width(shown) <= widest:
        return shown
    while _width(shown) > widest - 1:
        shown = shown[:-1]
    return f"{shown}…"


def usd(value: object) -> str:
    """Dollars for people: `$12.30`, `$0.00042`; `?` where unknown."""
    if not isinstance(value, int | float) or math.isnan(value):
        return "?"
    return (
        f"${value:,.2f}"
        if value == 0 or abs(value) >= 1
        else f"${value:.3g}"
        if abs(value) >= 1e-4
        else f"${value:.2e}"
    )


def duration(ms: object) -> str:
    """Milliseconds for people: `850 ms`, `12.4 s`, `3 min 05 s`, `2 h 10 min`."""
    if not isinstance(ms, int | float) or math.isnan(ms):
        return "-"
    if ms < 1000:
        return f"{ms:.0f} ms"
    seconds = ms / 1000
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def table(title: str, heads: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> str:
    """Aligned columns under their heads; the first `left` columns flush left, the others flush right."""
    lines = [list(heads), *(list(row) for row in rows)]
    widths = [max(_width(line[i]) for line in lines) for i in range(len(heads))]
    said = []
    for line in lines:
        cells = [_padded(cell, width, i < left) for i, (cell, width) in enumerate(zip(line, widths, strict=True))]
        said.append("  ".join(cells).rstrip())
    return "\n".join([title, *(f"  {line}" for line in said)])


def _headline(runs: pd.DataFrame, by_agent: pd.DataFrame) -> str:
    about = by_agent.attrs[KEY]
    unpriced = about["unpriced_calls"]
    calls, failed = int(by_agent["calls"].sum()), int(by_agent["errors"].sum())
    words = [
        _many(len(runs), "run"),
        _many(calls, "call", " to models"),
        _many(int(by_agent["tool_calls"].sum()), "tool call"),
    ]
    words.append(_many(failed, "error"))
    known = calls > unpriced
    cost = (
        (f"{'at least ' if unpriced else ''}{usd(about['total_cost_usd'])}" if known else "cost unknown")
        if calls
        else ""
    )
    recorded = f"recorded {usd(about['total_recorded_cost_usd'])}" if about["total_recorded_cost_usd"] else ""
    saved = f"saved {usd(about['total_saved_usd'])}" if about["total_saved_usd"] else ""
    return ", ".join(word for word in [*words, cost, recorded, saved] if word)


def _runs(runs: pd.DataFrame) -> str:
    shown = runs.iloc[-RUNS:].iloc[::-1]
    title = f"Runs, newest first ({len(shown)} of {len(runs)})" if len(runs) > len(shown) else "Runs, newest first"
    rows = []
    for run in shown.to_dict("records"):
        tokens = [run[name] for name in ("input_tokens", "output_tokens")]
        at_least = "≥ " if run["unpriced_calls"] and usd(run["cost_usd"]) != "?" else ""
        rows.append(
            [
                one_line(run["name"] if not pd.isna(run["name"]) else run["trace_id"]),
                one_line(run["status"]),
                _time(run["start"]),
                duration(run["duration_ms"]),
                str(run["llm_calls"]),
                str(run["tool_calls"]),
                str(run["errors"]),
                *(_count(value) for value in tokens),
                f"{at_least}{usd(run['cost_usd'])}",
            ]
        )
    heads = ["run", "status", "start (UTC)", "took", "calls", "tools", "errors", "tokens in", "out", "cost"]
    return table(title, heads, rows, left=3)


def _spent(title: str, spent: pd.DataFrame, by: str) -> str:
    shown = spent.iloc[:GROUPS]
    if len(spent) > len(shown):
        title = f"{title}, dearest first ({len(shown)} of {len(spent)})"
    rows = [
        [
            one_line(row[by]),
            str(row["calls"]),
            str(row["tool_calls"]),
            _count(row["input_tokens"]),
            _count(row["output_tokens"]),
            usd(row["cost_usd"]),
            _percent(row["share"]),
            duration(row["p50_ms"]),
            duration(row["p95_ms"]),
            str(row["errors"]),
            str(row["retries"]),
        ]
        for row in shown.to_dict("records")
    ]
    heads = [by, "calls", "tools", "tokens in", "out", "cost", "share", "p50", "p95", "errors", "retries"]
    return table(title, heads, rows)


def _failures(spans: pd.DataFrame) -> str:
    failed = spans[(spans["status"] == "error") & ~spans["kind"].isin(["agent", "orchestrator"])]
    if not len(failed):
        return ""
    shown = failed.iloc[-FAILURES:].iloc[::-1]
    title = (
        f"Failures, newest first ({len(shown)} of {len(failed)})"
        if len(failed) > len(shown)
        else "Failures, newest first"
    )
    rows = [
        [_time(row["start"]), one_line(row["agent"], 24), one_line(row["name"], 24), one_line(row["error"], 80)]
        for row in shown.to_dict("records")
    ]
    return table(title, ["start (UTC)", "agent", "what", "error"], rows, left=4)


def _unpriced(by_agent: pd.DataFrame) -> str:
    unknown = by_agent.attrs[KEY]["unpriced"]
    if not unknown:
        return ""
    rows = []
    for of in unknown[:GROUPS]:
        why = of["reason"] + (f"; near: {', '.join(of['nearest'])}" if of["nearest"] else "")
        rows.append(
            [one_line(of["model"] or None), one_line(of["provider"] or None, 20), one_line(why, 70), str(of["calls"])]
        )
    more = f" ({len(rows)} of {len(unknown)})" if len(unknown) > len(rows) else ""
    title = f"Calls of unknown cost{more}; anb.set_price sets a price"
    return table(title, ["model", "provider", "why", "calls"], rows, left=3)


def _problems(problems: pd.DataFrame) -> str:
    if not len(problems):
        return ""
    counts = problems["reason"].astype(object).value_counts(sort=True)
    rows = [[one_line(reason, 90), str(count)] for reason, count in counts.iloc[:FAILURES].items()]
    return table(
        f"{_many(len(problems), 'thing')} could not be read; problems_df() lists them", ["reason", "times"], rows
    )


def _many(count: int, word: str, after: str = "") -> str:
    return f"{count:,} {word}{'' if count == 1 else 's'}{after}"


def _count(value: Any) -> str:
    return "-" if pd.isna(value) else f"{int(value):,}"


def _percent(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.0%}"


def _time(value: Any) -> str:
    return "-" if pd.isna(value) else f"{value:%Y-%m-%d %H:%M:%S}"


def _width(text: str) -> int:
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _padded(text: str, width: int, left: bool) -> str:
    blank = " " * (width - _width(text))
    return text + blank if left else blank + text
