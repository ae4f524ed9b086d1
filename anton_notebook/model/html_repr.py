"""HTML tables for `_repr_html_`.

Text of a trace is escaped, and no attribute comes from data. Every representation is wrapped by `no_math`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape

TEXT_LIMIT = 300  # characters of one value
CELL_STYLE = " style='text-align:left;vertical-align:top'"


def html_facts(title: str, kind: str, facts: Mapping[str, object]) -> str:
    """Return a table of names and values; None and "" are left out.

    Args:
        title: The caption in bold.
        kind: Text after the title.
        facts: Values by name.

    Returns:
        HTML.

    >>> "&lt;b&gt;" in html_facts("<b>", "llm", {"status": "ok"})
    True
    """
    rows = "".join(
        f"<tr><th{CELL_STYLE}>{escape(name)}</th><td{CELL_STYLE}>{escape(short(value))}</td></tr>"
        for name, value in facts.items()
        if value is not None and value != ""
    )
    return no_math(f"<table>{_caption(title, kind)}{rows}</table>")


def html_table(title: str, kind: str, heads: Sequence[str], rows: Iterable[Sequence[object]], more: str = "") -> str:
    """Return a table with column heads.

    Args:
        title: The caption in bold.
        kind: Text after the title.
        heads: Names of the columns.
        rows: Values by row; None is an empty cell.
        more: Text below the table.

    Returns:
        HTML.

    >>> html_table("Traces", "", ["run"], [["<i>"]]).count("&lt;i&gt;")
    1
    """
    top = "".join(f"<th{CELL_STYLE}>{escape(name)}</th>" for name in heads)
    body = "".join(
        "<tr>"
        + "".join(f"<td{CELL_STYLE}>{escape(short('' if value is None else value))}</td>" for value in row)
        + "</tr>"
        for row in rows
    )
    below = f"<p>{escape(more)}</p>" if more else ""
    return no_math(f"<table>{_caption(title, kind)}<thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>{below}")


def no_math(html: str, css_class: str = "") -> str:
    """Wrap HTML so that no host typesets text between dollar signs as mathematics.

    JupyterLab's MathJax skips elements of these classes. Notebooks render every HTML output through it.

    Args:
        html: Trusted HTML.
        css_class: A further class of the wrapping element.

    Returns:
        HTML.
    """
    return f'<div class="{f"{css_class} " if css_class else ""}tex2jax_ignore mathjax_ignore">{html}</div>'


def short(value: object, limit: int = TEXT_LIMIT) -> str:
    """Return a value as text of at most `limit` characters."""
    text = str(value)
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def _caption(title: str, kind: str) -> str:
    return f"<caption style='text-align:left'><b>{escape(short(title))}</b> {escape(kind)}</caption>"
