"""Inner: answers side by side, as a page's fragment. Every text goes through `html.escape`; no attribute comes from data."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from html import escape
from typing import TYPE_CHECKING, Any

from anton_notebook.experiments.compare.text_diff import changes
from anton_notebook.model.formatting import format_usd
from anton_notebook.model.html_repr import no_math

if TYPE_CHECKING:
    import pandas as pd

MOST = 50
LONGEST = 100_000
_STYLE = (
    "<style>.anb-sides{border-collapse:collapse;width:100%;table-layout:fixed}"
    ".anb-sides td,.anb-sides th{vertical-align:top;text-align:left;border:1px solid rgba(128,128,128,.4);padding:6px 8px}"
    ".anb-sides th{font-weight:600}.anb-sides pre{white-space:pre-wrap;word-break:normal!important;"
    "overflow-wrap:anywhere;margin:0;text-align:left}"
    ".anb-sides del{background:rgba(255,80,80,.25);text-decoration:line-through}"
    ".anb-sides ins{background:rgba(60,180,80,.28);text-decoration:none}</style>"
)


class SideBySide:
    """Answers beside the originals. Shown as a table in a notebook, as text elsewhere."""

    def __init__(self, rows: list[Mapping[str, Any]], left_out: int = 0) -> None:
        self._rows = rows
        self._left_out = left_out

    def _repr_html_(self) -> str:
        parts = [_STYLE, '<table class="anb-sides"><thead><tr><th>original</th><th>response</th></tr></thead><tbody>']
        for row in self._rows:
            old, new = _text(row.get("original")), _text(row.get("response"))
            left, right = _sides(old, new)
            parts.append(f'<tr><th colspan="2">{escape(_title(row))}</th></tr>')
            parts.append(f"<tr><td><pre>{left}</pre></td><td><pre>{right}{_failed(row)}</pre></td></tr>")
        parts.append("</tbody></table>")
        if self._left_out:
            parts.append(
                f"<p>{self._left_out} more rows are not shown: show_diff(df[df.variant == ...]) picks some.</p>"
            )
        return no_math("".join(parts))

    def __repr__(self) -> str:
        blocks = [f"{_title(row)}\n{_text(row.get('diff')) or '(no difference)'}" for row in self._rows]
        more = [f"({self._left_out} more rows are not shown)"] if self._left_out else []
        return "\n\n".join([*blocks, *more])


def show_diff(df: pd.DataFrame, *, limit: int = MOST) -> SideBySide:
    """The answers of a `rerun` (or `replay`) frame beside the originals, differences marked.

    Raises ValueError where the frame has no `original` and `response` (or `replayed`).

    >>> import pandas as pd
    >>> show_diff(pd.DataFrame({"variant": [1], "repeat": [1], "original": ["Hello"], "response": ["Hello"]}))
    variant 1, repeat 1
    (no difference)
    """
    names = {"replayed": "response"} if "response" not in df.columns else {}
    shown = df.rename(columns=names)
    lacking = [name for name in ("original", "response") if name not in shown.columns]
    if lacking:
        raise ValueError(f"show_diff takes the frame of rerun or replay; this one has no column {' or '.join(lacking)}")
    rows: list[Mapping[str, Any]] = [
        {str(name): value for name, value in row.items()} for row in shown.head(limit).to_dict("records")
    ]
    return SideBySide(rows, max(0, len(shown) - limit))


def _sides(old: str, new: str) -> tuple[str, str]:
    left, right = [], []
    for op, before, after in _bounded(old, new):
        if op == "equal":
            left.append(escape(before))
            right.append(escape(after))
            continue
        if before:
            left.append(f"<del>{escape(before)}</del>")
        if after:
            right.append(f"<ins>{escape(after)}</ins>")
    return "".join(left), "".join(right)


def _bounded(old: str, new: str) -> Iterator[tuple[str, str, str]]:
    yield from changes(old[:LONGEST], new[:LONGEST])
    if len(old) > LONGEST or len(new) > LONGEST:
        yield ("equal", "\u2026", "\u2026")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _failed(row: Mapping[str, Any]) -> str:
    error = _text(row.get("error"))
    return f"<ins>{escape(error)}</ins>" if error else ""


def _title(row: Mapping[str, Any]) -> str:
    parts = [f"variant {row['variant']}, repeat {row['repeat']}"] if "variant" in row and "repeat" in row else []
    parts += [_text(row.get(name)) for name in ("provenance", "name", "model") if _text(row.get(name))]
    alike, cost = row.get("similarity"), row.get("cost_usd")
    if isinstance(alike, float) and not math.isnan(alike):
        parts.append(f"similarity {alike:.2f}")
    if isinstance(cost, float) and not math.isnan(cost):
        parts.append(format_usd(cost))
    if row.get("from_cache") is True:
        parts.append("from the cache")
    return ", ".join(parts)
