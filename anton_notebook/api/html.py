"""Inner: what a notebook shows of a span or a run that a cell ends with. Text of a trace is escaped."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape


def card(title: str, kind: str, facts: Mapping[str, object]) -> str:
    """A small table; what is None or empty is left out.

    >>> "&lt;b&gt;" in card("<b>", "llm", {"status": "ok"})
    True
    """
    rows = "".join(
        f"<tr><th style='text-align:left'>{escape(name)}</th><td style='text-align:left'>{escape(_short(value))}</td></tr>"
        for name, value in facts.items()
        if value is not None and value != ""
    )
    return (
        f"<table><caption style='text-align:left'><b>{escape(_short(title))}</b> {escape(kind)}</caption>{rows}</table>"
    )


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 300 else f"{text[:299]}…"
