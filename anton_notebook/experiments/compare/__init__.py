"""How two answers differ: text by words, JSON by path, tool calls by name and arguments.

Similarity is 2 x shared words / all words, 0 to 1, in order (a word is a run of letters or digits, or a single other sign, with
the spaces after it). Texts that are both JSON are compared by path instead of by words, their similarity is that of the texts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from anton_notebook.experiments.compare.html_diff import SideBySide, show_diff
from anton_notebook.experiments.compare.json_diff import Edit, edits, json_in, listed
from anton_notebook.experiments.compare.text_diff import Change, changes, shown, similarity

__all__ = [
    "Change", "Difference", "Edit", "SideBySide", "changes", "compare", "edits", "json_in", "show_diff", "similarity",
    "text_difference", "tool_differences",
]  # fmt: skip


class Difference(NamedTuple):
    """`diff` is text, `""` where nothing differs; `similarity` is 0 to 1 (NaN where there is nothing to compare with)."""

    diff: str
    similarity: float


def compare(
    old: str | None,
    new: str | None,
    old_calls: Sequence[Mapping[str, Any]] = (),
    new_calls: Sequence[Mapping[str, Any]] = (),
) -> Difference:
    """How an answer differs from an older one: texts and tool calls. `None` for an answer that is not there.

    >>> compare('{"a": 1}', '{"a": 2}').diff
    '~ /a: 1 \u2192 2'
    """
    if old is None or new is None:
        return Difference("", math.nan)
    text, alike = text_difference(old, new)
    if not old_calls and not new_calls:
        return Difference(text, alike)
    called = tool_differences(old_calls, new_calls)
    return Difference("\n".join([*([text] if text else []), *called]), alike)


def text_difference(old: str, new: str) -> tuple[str, float]:
    """The difference of two texts as text, and their similarity."""
    if old == new:
        return "", 1.0
    return _short(old, new) if len(old) + len(new) < 20_000 else _difference(old, new)


@lru_cache(4096)
def _short(old: str, new: str) -> tuple[str, float]:
    return _difference(old, new)  # a model often says the same again


def _difference(old: str, new: str) -> tuple[str, float]:
    if old[:1] in "{[` \n\t\r" and new[:1] in "{[` \n\t\r":
        try:
            found = edits(json_in(old), json_in(new))
        except ValueError:
            pass
        else:
            return listed(found), similarity(old, new)
    return shown(old, new)


def tool_differences(old: Sequence[Mapping[str, Any]], new: Sequence[Mapping[str, Any]]) -> list[str]:
    """One line for every tool call that differs, by position: its name, and its arguments by path.

    >>> tool_differences([{"name": "read", "arguments": {"path": "a"}}], [{"name": "read", "arguments": {"path": "b"}}])
    ['~ tool 0 read/path: "a" \u2192 "b"']
    """
    out: list[str] = []
    for i in range(max(len(old), len(new))):
        before = old[i] if i < len(old) else None
        after = new[i] if i < len(new) else None
        if before is None or after is None or before.get("name") != after.get("name"):
            if before is not None:
                out.append(str(Edit("-", f"tool {i} {before.get('name')}", before.get("arguments"), None)))
            if after is not None:
                out.append(str(Edit("+", f"tool {i} {after.get('name')}", None, after.get("arguments"))))
            continue
        for edit in edits(before.get("arguments"), after.get("arguments")):
            out.append(str(edit._replace(path=f"tool {i} {before.get('name')}{edit.path}")))
    return out
