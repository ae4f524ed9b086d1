"""`anton-notebook show SPAN`: one span with its messages, answer, tools and figures."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from anton_notebook.cli._common import JsonOption, find_span, open_traces
from anton_notebook.cli._output import console, print_json_lines, safe

if TYPE_CHECKING:
    from rich.console import Console

    from anton_notebook.api import Span

EXAMPLE = "anton-notebook show SPAN"
FACTS = ("status", "agent", "model", "start", "duration_ms", "input_tokens", "output_tokens", "cost_usd", "error")


def run(
    span_id: Annotated[str, typer.Argument(metavar="SPAN", help="A span's id or its first characters.")],
    path: Annotated[
        str, typer.Argument(metavar="PATH", show_default=False, help="Where its run is; default: here.")
    ] = ".",
    trace: Annotated[
        str | None, typer.Option("--trace", metavar="RUN", help="Its run, if several have a span of this id.")
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """Show one span: figures, messages, answer, tool calls and error."""
    with open_traces(path) as traces:
        span = find_span(traces, span_id, trace)
        if as_json:
            print_json_lines([_as_json(span)])
            return 0
        out = console()
        _print_facts(out, span)
        if span.kind == "llm":
            _print_call(out, span)
        else:
            record = span.attributes
            for key in ("parameters", "arguments", "result"):
                if record.get(key) is not None:
                    _print_text(out, key, _text(record[key]))
    return 0


def _as_json(span: Span) -> dict[str, Any]:
    from anton_notebook.errors import AntonNotebookError

    out: dict[str, Any] = {key: getattr(span, key, None) for key in ("span_id", "trace_id", "kind", "name", *FACTS)}
    out["start"] = None if span.start is None else span.start.isoformat()
    if span.kind == "llm":
        try:
            out |= {"system": span.request.system, "messages": span.request.messages, "response": span.response.text}
        except AntonNotebookError as error:
            out["unreadable"] = str(error)
    return {
        key: value if isinstance(value, str | int | list | dict | None) else _number(value)
        for key, value in out.items()
    }


def _number(value: Any) -> Any:
    return value if isinstance(value, float) and value == value else None if isinstance(value, float) else str(value)


def _print_facts(out: Console, span: Span) -> None:
    from anton_notebook.model.formatting import format_count, format_duration, format_usd, one_line

    out.print(f"{span.kind} {one_line(span.name, 80)}", style="bold")
    facts = {
        "status": one_line(span.status),
        "agent": one_line(span.agent),
        "model": one_line(span.model),
        "start": one_line(None if span.start is None else f"{span.start:%Y-%m-%d %H:%M:%S.%f}"[:23] + " UTC"),
        "took": format_duration(span.duration_ms),
        "tokens": f"{format_count(span.input_tokens)} in, {format_count(span.output_tokens)} out",
        "cost": format_usd(span.cost_usd) if span.kind == "llm" else "-",
        "run": one_line(span.trace_id, 80),
        "span": one_line(span.span_id, 80),
    }
    for name, value in facts.items():
        if value not in ("-", "- in, - out"):
            out.print(f"  {name:8} {value}")
    if span.error:
        _print_text(out, "error", span.error)


def _print_call(out: Console, span: Span) -> None:
    from anton_notebook.errors import AntonNotebookError

    try:
        request, response = span.request, span.response
    except AntonNotebookError as error:
        _print_text(out, "texts", f"cannot be read: {error}")
        return
    if request.system:
        _print_text(out, "system", _text(request.system))
    for message in request.messages:
        _print_text(out, str(message.get("role", "message")), _text(message.get("content") or message))
    _print_text(out, "answer", response.text or "")
    for call in response.tool_calls or ():
        _print_text(out, "asks for", _text(call))


def _print_text(out: Console, title: str, text: str) -> None:
    out.print(f"\n{safe(title)}", style="bold")
    out.print(safe(text), soft_wrap=True)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2, default=str)
