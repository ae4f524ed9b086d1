"""The report of `anton-notebook summary`: as JSON values and as tables for a terminal."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pandas as pd

from anton_notebook.cli._output import Column, counted, table
from anton_notebook.model.formatting import format_count, format_duration, format_usd, one_line
from anton_notebook.tables.cost_aggregates import TOKENS
from anton_notebook.tables.costs import costs
from anton_notebook.tables.filters import Since
from anton_notebook.tables.schema import KEY

if TYPE_CHECKING:
    from rich.console import RenderableType

RUNS, GROUPS, FAILURES = 15, 12, 8
RUN_COLUMNS = (
    Column("run", 0, widest=40),
    Column("status", 0),
    Column("start (UTC)", 8),
    Column("took", 3, right=True),
    Column("calls", 4, right=True),
    Column("tools", 9, right=True),
    Column("errors", 5, right=True),
    Column("tokens in", 6, right=True),
    Column("out", 7, right=True),
    Column("cost", 0, right=True),
)
SPENT = (
    Column("calls", 3, right=True),
    Column("tools", 9, right=True),
    Column("tokens in", 6, right=True),
    Column("out", 7, right=True),
    Column("cost", 0, right=True),
    Column("share", 2, right=True),
    Column("p50", 11, right=True),
    Column("p95", 8, right=True),
    Column("errors", 4, right=True),
    Column("retries", 10, right=True),
)
TOOL_COLUMNS = (
    Column("tool", 0, widest=40),
    Column("calls", 0, right=True),
    Column("p50", 2, right=True),
    Column("p95", 1, right=True),
    Column("errors", 0, right=True),
)
FAILURE_COLUMNS = (
    Column("start (UTC)", 2),
    Column("agent", 1, widest=24),
    Column("what", 0, widest=24),
    Column("error", 0),
)
UNPRICED = (
    Column("model", 0, widest=40),
    Column("provider", 2, widest=20),
    Column("why", 0),
    Column("calls", 1, right=True),
)
PROBLEMS = (Column("reason", 0), Column("times", 0, right=True))


def report(traces: Any, width: int, *, since: Since = None) -> Iterator[RenderableType]:
    """Yield the headline and the tables of the report.

    Args:
        traces: Traces as `read_traces` returns them.
        width: Columns of the terminal; no line is longer.
        since: Only what began then or later, as for the DataFrames.
    """
    from rich.text import Text

    runs, spans = traces.runs_df(since=since), traces.spans_df(experiments=False, since=since)
    by_agent, by_model = costs(spans, by="agent"), costs(spans, by="model")
    yield Text(_headline(runs, by_agent), style="bold")
    if len(runs):
        shown = runs.iloc[-RUNS:].iloc[::-1]
        yield table(_title("Runs", "newest first", shown, runs), RUN_COLUMNS, _runs(shown), width)
        yield _spent("Agents", by_agent, "agent", width)
        yield _spent("Models", by_model[by_model["calls"] > 0], "model", width)
        by_tool = costs(spans, by="tool")
        by_tool = by_tool[by_tool["tool_calls"] > 0].sort_values("tool_calls", ascending=False, kind="stable")
        if len(by_tool):
            shown = by_tool.iloc[:GROUPS]
            yield table(_title("Tools", "most called first", shown, by_tool), TOOL_COLUMNS, _tools(shown), width)
        yield from _troubles(spans, by_agent, width)
    yield from _problems(traces, since, width)


def figures(traces: Any, *, since: Since = None) -> dict[str, Any]:
    """Return the report's figures as JSON values.

    Args:
        traces: Traces as `read_traces` returns them.
        since: Only what began then or later, as for the DataFrames.

    Returns:
        `total`, `runs`, `agents`, `models`, `tools`, `failures`, `unpriced` and `problems`. Rows have the column names of
        the DataFrames; times are ISO 8601 in UTC, unknown values are None.
    """
    runs, spans = traces.runs_df(since=since), traces.spans_df(experiments=False, since=since)
    tables = {name: costs(spans, by=name) for name in ("agent", "model", "tool")}
    about = tables["agent"].attrs[KEY]
    failed = spans[failed_calls(spans)]
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


def failed_calls(spans: pd.DataFrame) -> pd.Series[bool]:
    """Mark failed calls to models and tools; agents fail with their calls."""
    return (spans["status"] == "error") & ~spans["kind"].isin(["agent", "orchestrator"])


def _headline(runs: pd.DataFrame, by_agent: pd.DataFrame) -> str:
    about = by_agent.attrs[KEY]
    unpriced = about["unpriced_calls"]
    calls, failed = int(by_agent["calls"].sum()), int(by_agent["errors"].sum())
    words = [
        counted(len(runs), "run"),
        f"{counted(calls, 'call')} to models",
        counted(int(by_agent["tool_calls"].sum()), "tool call"),
        counted(failed, "error"),
    ]
    if calls:
        known = calls > unpriced
        words.append(format_usd(about["total_cost_usd"], at_least=bool(unpriced)) if known else "cost unknown")
    if about["total_recorded_cost_usd"]:
        words.append(f"recorded {format_usd(about['total_recorded_cost_usd'])}")
    if about["total_saved_usd"]:
        words.append(f"saved {format_usd(about['total_saved_usd'])}")
    return ", ".join(words)


def _title(what: str, order: str, shown: pd.DataFrame, rows: pd.DataFrame) -> str:
    return f"{what}, {order} ({len(shown)} of {len(rows)})" if len(rows) > len(shown) else f"{what}, {order}"


def _runs(shown: pd.DataFrame) -> list[list[str]]:
    return [
        [
            one_line(run["name"] if not pd.isna(run["name"]) else run["trace_id"]),
            one_line(run["status"]),
            _time(run["start"]),
            format_duration(run["duration_ms"]),
            *(format_count(run[key]) for key in ("llm_calls", "tool_calls", "errors", "input_tokens", "output_tokens")),
            format_usd(run["cost_usd"], at_least=bool(run["unpriced_calls"]) and format_usd(run["cost_usd"]) != "?"),
        ]
        for run in shown.to_dict("records")
    ]


def _spent(title: str, spent: pd.DataFrame, by: str, width: int) -> RenderableType:
    shown = spent.iloc[:GROUPS]
    rows = [
        [
            one_line(row[by]),
            *(format_count(row[key]) for key in ("calls", "tool_calls", "input_tokens", "output_tokens")),
            format_usd(row["cost_usd"]),
            "-" if math.isnan(row["share"]) or format_usd(row["cost_usd"]) == "?" else f"{row['share']:.0%}",
            format_duration(row["p50_ms"]),
            format_duration(row["p95_ms"]),
            format_count(row["errors"]),
            format_count(row["retries"]),
        ]
        for row in shown.to_dict("records")
    ]
    return table(_title(title, "dearest first", shown, spent), (Column(by, 0, widest=40), *SPENT), rows, width)


def _tools(shown: pd.DataFrame) -> list[list[str]]:
    return [
        [
            one_line(row["tool"]),
            format_count(row["tool_calls"]),
            format_duration(row["p50_ms"]),
            format_duration(row["p95_ms"]),
            format_count(row["errors"]),
        ]
        for row in shown.to_dict("records")
    ]


def _troubles(spans: pd.DataFrame, by_agent: pd.DataFrame, width: int) -> Iterator[RenderableType]:
    failed = spans[failed_calls(spans)]
    if len(failed):
        shown = failed.iloc[-FAILURES:].iloc[::-1]
        rows = [
            [_time(row["start"]), one_line(row["agent"], 24), one_line(row["name"], 24), one_line(row["error"], 80)]
            for row in shown.to_dict("records")
        ]
        yield table(_title("Failures", "newest first", shown, failed), FAILURE_COLUMNS, rows, width)
    unknown = by_agent.attrs[KEY]["unpriced"]
    if unknown:
        rows = []
        for entry in unknown[:GROUPS]:
            why = entry["reason"] + (f"; near: {', '.join(entry['nearest'])}" if entry["nearest"] else "")
            names = [one_line(entry["model"] or None), one_line(entry["provider"] or None, 20)]
            rows.append([*names, one_line(why, 70), format_count(entry["calls"])])
        yield table("Calls of unknown cost; anb.set_price sets a price", UNPRICED, rows, width)


def _problems(traces: Any, since: Since, width: int) -> Iterator[RenderableType]:
    problems = traces.problems_df(since=since)
    if len(problems):
        counts = problems["reason"].astype(object).value_counts(sort=True)
        rows = [[one_line(reason, 90), format_count(int(count))] for reason, count in counts.iloc[:FAILURES].items()]
        listed = len(problems) if since is not None else max(traces.reader.problems.count, len(problems))
        yield table(f"{counted(listed, 'problem')} while reading; problems_df() lists them", PROBLEMS, rows, width)


def _time(value: Any) -> str:
    return "-" if pd.isna(value) else f"{value:%Y-%m-%d %H:%M:%S}"
