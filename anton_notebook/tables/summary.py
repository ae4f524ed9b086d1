"""The essential tables of some runs as text, for a terminal."""

from __future__ import annotations

import math
import textwrap
import unicodedata
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import pandas as pd

from anton_notebook.tables.cost_aggregates import TOKENS
from anton_notebook.tables.costs import costs
from anton_notebook.tables.filters import Since
from anton_notebook.tables.schema import KEY

RUNS = 15
GROUPS = 12
FAILURES = 8
WIDEST = 40
NARROW = 16
WHOLE = ("start (UTC)", "status")
"""Columns that are left out rather than cut."""

Cell = Callable[[Any], str]


def summary(traces: Any, *, width: int | None = None, since: Since = None) -> str:
    """Runs, costs by agent, model and tool, failures, unknown prices and unreadable lines of some traces, as plain text.

    No line is wider than `width` columns (None: as wide as it wants): texts are cut, then the least telling columns left out.
    `since` as for the frames. Whatever comes from a trace is on one line and holds no control characters, so that it cannot
    steer the terminal.
    """
    runs, spans = traces.runs_df(since=since), traces.spans_df(experiments=False, since=since)
    by_agent, by_model = costs(spans, by="agent"), costs(spans, by="model")
    parts: list[Table | str | None] = [_headline(runs, by_agent)]
    if len(runs):
        by_tool = costs(spans, by="tool")
        parts += [_runs(runs)]
        parts += [_spent("Agents", by_agent, "agent"), _spent("Models", by_model[by_model["calls"] > 0], "model")]
        parts += [_tools(by_tool[by_tool["tool_calls"] > 0]), _failures(spans), _unpriced(by_agent)]
    parts.append(_problems(traces.problems_df(since=since), 0 if since else traces.reader.problems.count))
    said = [part if isinstance(part, str) else part.fitting(width) for part in parts if part]
    return "\n\n".join([*_wrapped(said[:1], width), *said[1:]]) + "\n"


def figures(traces: Any, *, since: Since = None) -> dict[str, Any]:
    """The same as plain values for JSON: `total`, `runs`, `agents`, `models`, `tools`, `failures`, `unpriced`, `problems`.

    Rows are objects with the frames' column names; times are ISO 8601 UTC, what is unknown is null.
    """
    runs, spans = traces.runs_df(since=since), traces.spans_df(experiments=False, since=since)
    tables = {name: costs(spans, by=name) for name in ("agent", "model", "tool")}
    about = tables["agent"].attrs[KEY]
    failed = spans[_failed(spans)]
    total = {name: int(tables["agent"][name].sum()) for name in ("calls", "tool_calls", "errors", "retries")}
    total |= {name: int(tables["agent"][name].fillna(0).sum()) for name in TOKENS}
    known = total["calls"] > about["unpriced_calls"]
    spent = {
        "cost_usd": about["total_cost_usd"] if known else None,
        "recorded_cost_usd": about["total_recorded_cost_usd"],
        "saved_usd": about["total_saved_usd"],
        "unpriced_calls": about["unpriced_calls"],
    }
    problems = traces.problems_df(since=since)["reason"].astype(object).value_counts(sort=True)
    tools = tables["tool"]
    return {
        "total": {"runs": len(runs), **total, **spent},
        "runs": _records(runs),
        "agents": _records(tables["agent"]),
        "models": _records(tables["model"][tables["model"]["calls"] > 0]),
        "tools": _records(tools[tools["tool_calls"] > 0][["tool", "tool_calls", "p50_ms", "p95_ms", "errors"]]),
        "failures": _records(failed[["trace_id", "span_id", "start", "agent", "kind", "name", "error"]]),
        "unpriced": about["unpriced"],
        "problems": [{"reason": str(reason), "times": int(count)} for reason, count in problems.items()],
    }


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): _plain(value) for name, value in row.items()} for row in frame.to_dict("records")]


def _plain(value: Any) -> Any:
    if pd.isna(value):
        return None
    return value.isoformat() if isinstance(value, pd.Timestamp) else value


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


class Table(NamedTuple):
    """Aligned columns under their heads; the first `left` columns flush left, the others flush right."""

    title: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    left: int = 1
    droppable: Sequence[str] = ()

    def fitting(self, width: int | None = None) -> str:
        """As text of at most so many columns: texts are cut first, then the droppable columns left out, the first first."""
        keep = list(range(len(self.heads)))
        lines = [list(self.heads), *(list(row) for row in self.rows)]
        widths = [max(_width(line[i]) for line in lines) for i in keep]
        if width is not None:
            cut = [i < self.left and head not in WHOLE for i, head in enumerate(self.heads)]
            least = [min(w, NARROW) if cut[i] else w for i, w in enumerate(widths)]
            for head in self.droppable:
                if sum(least[i] + 2 for i in keep) > width and head in self.heads:
                    keep.remove(list(self.heads).index(head))
            for i in sorted((i for i in keep if cut[i]), key=lambda i: -widths[i]):
                over = sum(widths[j] + 2 for j in keep) - width
                widths[i] = max(least[i], widths[i] - max(over, 0))
        said = [
            "  ".join(
                _padded(one_line(line[i], widths[i]) if i < self.left else line[i], widths[i], i < self.left)
                for i in keep
            )
            for line in lines
        ]
        title = self.title if width is None else one_line(self.title, width)
        return "\n".join([title, *(f"  {line}".rstrip() for line in said)])


def _wrapped(parts: list[str], width: int | None) -> list[str]:
    return parts if width is None else ["\n".join(textwrap.wrap(part, width, subsequent_indent="  ")) for part in parts]


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


def _runs(runs: pd.DataFrame) -> Table:
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
    return Table(title, heads, rows, 3, ("tools", "start (UTC)", "out", "tokens in", "errors", "calls", "took"))


def _spent(title: str, spent: pd.DataFrame, by: str) -> Table:
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
            _percent(row["share"] if usd(row["cost_usd"]) != "?" else math.nan),
            duration(row["p50_ms"]),
            duration(row["p95_ms"]),
            str(row["errors"]),
            str(row["retries"]),
        ]
        for row in shown.to_dict("records")
    ]
    heads = [by, "calls", "tools", "tokens in", "out", "cost", "share", "p50", "p95", "errors", "retries"]
    return Table(title, heads, rows, 1, ("p50", "retries", "tools", "p95", "out", "tokens in", "errors", "calls"))


def _tools(spent: pd.DataFrame) -> Table | None:
    shown = spent.sort_values("tool_calls", ascending=False, kind="stable").iloc[:GROUPS]
    title = f"Tools, most called first ({len(shown)} of {len(spent)})" if len(spent) > len(shown) else "Tools"
    rows = [
        [
            one_line(row["tool"]),
            str(row["tool_calls"]),
            duration(row["p50_ms"]),
            duration(row["p95_ms"]),
            str(row["errors"]),
        ]
        for row in shown.to_dict("records")
    ]
    return Table(title, ["tool", "calls", "p50", "p95", "errors"], rows) if rows else None


def _failed(spans: pd.DataFrame) -> pd.Series[bool]:
    return (spans["status"] == "error") & ~spans["kind"].isin(["agent", "orchestrator"])


def _failures(spans: pd.DataFrame) -> Table | None:
    failed = spans[_failed(spans)]
    if not len(failed):
        return None
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
    return Table(title, ["start (UTC)", "agent", "what", "error"], rows, 4, ("start (UTC)", "agent"))


def _unpriced(by_agent: pd.DataFrame) -> Table | None:
    unknown = by_agent.attrs[KEY]["unpriced"]
    if not unknown:
        return None
    rows = []
    for of in unknown[:GROUPS]:
        why = of["reason"] + (f"; near: {', '.join(of['nearest'])}" if of["nearest"] else "")
        rows.append(
            [one_line(of["model"] or None), one_line(of["provider"] or None, 20), one_line(why, 70), str(of["calls"])]
        )
    more = f" ({len(rows)} of {len(unknown)})" if len(unknown) > len(rows) else ""
    title = f"Calls of unknown cost{more}; anb.set_price sets a price"
    return Table(title, ["model", "provider", "why", "calls"], rows, 3, ("provider", "calls"))


def _problems(problems: pd.DataFrame, counted: int) -> Table | None:
    if not len(problems):
        return None
    counts = problems["reason"].astype(object).value_counts(sort=True)
    rows = [[one_line(reason, 90), str(count)] for reason, count in counts.iloc[:FAILURES].items()]
    return Table(
        f"{_many(max(counted, len(problems)), 'thing')} could not be read; problems_df() lists them",
        ["reason", "times"],
        rows,
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
