"""Inner: what a notebook shows of a thing that a cell ends with. Text of a trace is escaped, and no attribute comes from data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape

LONGEST = 300
LEFT = " style='text-align:left;vertical-align:top'"


def html_facts(title: str, kind: str, facts: Mapping[str, object]) -> str:
    """A small table of names and values; what is None or empty is left out.

    >>> "&lt;b&gt;" in html_facts("<b>", "llm", {"status": "ok"})
    True
    """
    rows = "".join(
        f"<tr><th{LEFT}>{escape(name)}</th><td{LEFT}>{escape(short(value))}</td></tr>"
        for name, value in facts.items()
        if value is not None and value != ""
    )
    return f"<table>{_caption(title, kind)}{rows}</table>"


def html_table(title: str, kind: str, heads: Sequence[str], rows: Iterable[Sequence[object]], more: str = "") -> str:
    """A table with a line of heads; `more` is said below it.

    >>> html_table("Traces", "", ["run"], [["<i>"]]).count("&lt;i&gt;")
    1
    """
    top = "".join(f"<th{LEFT}>{escape(name)}</th>" for name in heads)
    body = "".join(
        "<tr>" + "".join(f"<td{LEFT}>{escape(short('' if value is None else value))}</td>" for value in row) + "</tr>"
        for row in rows
    )
    below = f"<p>{escape(more)}</p>" if more else ""
    return f"<table>{_caption(title, kind)}<thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>{below}"


def short(value: object, longest: int = LONGEST) -> str:
    """A value as text, cut where it is long."""
    text = str(value)
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def _caption(title: str, kind: str) -> str:
    return f"<caption style='text-align:left'><b>{escape(short(title))}</b> {escape(kind)}</caption>"
