"""Inner: two JSON values, path by path (RFC 6901).

The order of keys does not matter, lists are compared by position, `False` is not 0, 1 is 1.0, and a missing key is not null.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

_FENCED = re.compile(r"\s*```(?:json|JSON)?[ \t]*\n(.*?)\n?[ \t]*```\s*", re.DOTALL)
_MISSING: Any = type("Missing", (), {"__repr__": lambda self: "missing"})()
MOST = 200
LONGEST = 200


class Edit(NamedTuple):
    """One difference: `op` is `+`, `-` or `~`; `path` says where; `old` or `new` is None where there is none."""

    op: str
    path: str
    old: Any
    new: Any

    def __str__(self) -> str:
        where = self.path or "(the whole)"
        if self.op == "~":
            return f"~ {where}: {_short(self.old)} \u2192 {_short(self.new)}"
        return f"{self.op} {where}: {_short(self.new if self.op == '+' else self.old)}"


def json_in(text: str) -> Any:
    """The object or array that a text consists of, also in a Markdown fence; ValueError where it is none."""
    start = text.lstrip()[:1]
    if start == "`":
        fenced = _FENCED.fullmatch(text)
        if fenced is None:
            raise ValueError("no JSON")
        text = fenced[1]
        start = text.lstrip()[:1]
    if start not in ("{", "["):
        raise ValueError("no JSON")
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deep") from None


def edits(old: Any, new: Any) -> list[Edit]:
    """What turns one value into the other, in the order of paths as they are met.

    >>> [str(edit) for edit in edits({"a": 1, "b": [1, 2]}, {"b": [1, 3], "a": 1.0, "c": None})]
    ['~ /b/1: 2 \u2192 3', '+ /c: null']
    """
    return list(_walk(old, new))


def _walk(old: Any, new: Any) -> Iterator[Edit]:
    stack: list[tuple[str, Any, Any]] = [("", old, new)]
    while stack:
        path, before, after = stack.pop()
        if before is _MISSING:
            yield Edit("+", path, None, after)
        elif after is _MISSING:
            yield Edit("-", path, before, None)
        elif isinstance(before, Mapping) and isinstance(after, Mapping):
            keys = [*before, *(key for key in after if key not in before)]
            pairs = [(f"{path}/{_step(key)}", before.get(key, _MISSING), after.get(key, _MISSING)) for key in keys]
            stack += reversed(pairs)
        elif isinstance(before, list) and isinstance(after, list):
            longest = range(max(len(before), len(after)))
            pairs = [
                (f"{path}/{i}", before[i] if i < len(before) else _MISSING, after[i] if i < len(after) else _MISSING)
                for i in longest
            ]
            stack += reversed(pairs)
        elif isinstance(before, bool) is not isinstance(after, bool) or before != after:
            yield Edit("~", path, before, after)


def _step(key: Any) -> str:
    return str(key).replace("~", "~0").replace("/", "~1")


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "\u2026"


def listed(found: list[Edit]) -> str:
    """Edits as lines of text."""
    lines = [str(edit) for edit in found[:MOST]]
    if len(found) > MOST:
        lines.append(f"\u2026 and {len(found) - MOST} more")
    return "\n".join(lines)
