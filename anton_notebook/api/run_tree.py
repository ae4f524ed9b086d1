"""A run as a tree: text, HTML and a networkx graph. See `Trace.tree` and `Trace.to_networkx`."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Any

import pandas as pd

from anton_notebook.model.formatting import format_duration, format_usd
from anton_notebook.model.html_repr import no_math, short

NAME_LIMIT = 80  # characters of a name in a line


class RunTree:
    """The spans of a run as an indented tree; `print` it, or let a cell end with it."""

    def __init__(self, title: str, spans: pd.DataFrame) -> None:
        self.title = title
        self._spans = spans

    def lines(self) -> Iterator[tuple[str, str]]:
        """The branches and the text of each span, parents before children."""
        ids = self._spans["span_id"].tolist()
        known = set(ids)
        parents = [parent if parent in known else None for parent in self._spans["parent_id"]]
        children: dict[Any, list[int]] = {}
        for row, parent in enumerate(parents):
            children.setdefault(parent, []).append(row)
        rows = self._spans.to_dict("records")
        stack = [(row, "", row == children[None][-1], True) for row in reversed(children.get(None, []))]
        while stack:
            row, indent, last, top = stack.pop()
            yield indent + ("" if top else "└─ " if last else "├─ "), _line(rows[row])
            below = children.get(ids[row], [])
            inner = indent if top else indent + ("   " if last else "│  ")
            stack += [(child, inner, child == below[-1], False) for child in reversed(below)]

    def __str__(self) -> str:
        return "\n".join([self.title, *(branch + text for branch, text in self.lines())])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        text = "\n".join(escape(branch + text) for branch, text in self.lines())
        return no_math(f"<b>{escape(short(self.title))}</b><pre style='line-height:1.3'>{text}</pre>")


def _line(span: dict[Any, Any]) -> str:
    name = span["name"] if isinstance(span["name"], str) else span["agent"] if isinstance(span["agent"], str) else "–"
    parts = [f"{span['kind']} {short(' '.join(name.split()), NAME_LIMIT)}"]
    if span["status"] != "ok":
        parts.append(span["status"])
    if span["duration_ms"] == span["duration_ms"]:
        parts.append(format_duration(span["duration_ms"]))
    if not pd.isna(span["input_tokens"]) or not pd.isna(span["output_tokens"]):
        given, made = (
            "?" if pd.isna(span[f"{of}_tokens"]) else f"{span[f'{of}_tokens']:,}" for of in ("input", "output")
        )
        parts.append(f"{given} → {made} tokens")
    if span["cost_usd"] == span["cost_usd"]:
        parts.append(format_usd(span["cost_usd"]))
    if isinstance(span["error"], str):
        parts.append(short(" ".join(span["error"].split()), NAME_LIMIT))
    return "  ".join(parts)


def graph_of(spans: pd.DataFrame) -> Any:
    """A directed graph of spans: nodes have the columns of `spans_df()`, edges lead from parents to children."""
    try:
        import networkx  # type: ignore[import-untyped]
    except ImportError as error:
        raise ImportError("to_networkx() needs networkx: pip install networkx") from error
    graph = networkx.DiGraph()
    for row in spans.to_dict("records"):
        values = {name: value for name, value in row.items() if not (pd.api.types.is_scalar(value) and pd.isna(value))}
        graph.add_node(row["span_id"], **{str(name): value for name, value in values.items() if name != "span_id"})
    for child, parent in zip(spans["span_id"], spans["parent_id"], strict=True):
        if isinstance(parent, str) and parent in graph:
            graph.add_edge(parent, child)
    return graph
