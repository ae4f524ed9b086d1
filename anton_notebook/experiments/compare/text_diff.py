"""Inner: two texts, word by word."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple, cast

from rapidfuzz.distance import Indel

TOO_MANY = 200_000_000
"""Pairs of words above which not every pair is looked at: the table of pairs would not fit into memory."""

CONTEXT = 4
LONG = 14
_WORD = re.compile(r"\w+\s*|[^\w\s]\s*|\s+")
_words: Callable[[str], list[str]] = _WORD.findall
_Stretch = tuple[bool, int, int, int, int]
"""Whether it is equal, and its first and last word (not included) in both texts."""


class Change(NamedTuple):
    """A stretch of two texts: `op` is `equal`, `delete`, `insert` or `replace`."""

    op: str
    old: str
    new: str


def changes(old: str, new: str) -> list[Change]:
    """The stretches in which two texts are equal and in which they differ, in order.

    >>> [change.op for change in changes("a fine day", "a bad day")]
    ['equal', 'replace', 'equal']
    """
    a, b = _words(old), _words(new)
    out = []
    for equal, i, j, k, m in _stretches(a, b)[0]:
        op = "equal" if equal else "insert" if i == j else "delete" if k == m else "replace"
        out.append(Change(op, "".join(a[i:j]), "".join(b[k:m])))
    return out


def similarity(old: str, new: str) -> float:
    """How much of two texts is the same: twice the words they share (in order) by all their words; 0 to 1.

    >>> similarity("one two three four", "one two three five")
    0.75
    """
    return 1.0 if old == new else _stretches(_words(old), _words(new))[1]


def shown(old: str, new: str) -> tuple[str, float]:
    """The difference as one line of text, and the similarity. `[-taken away-]`, `{+new+}`; long equal stretches are cut.

    >>> shown("a fine day", "a bad day")[0]
    'a [-fine -]{+bad +}day'
    """
    if old == new:
        return "", 1.0
    a, b = _remembered(old) if len(old) < 10_000 else _words(old), _words(new)
    found, alike = _stretches(a, b)
    out: list[str] = []
    last = len(found) - 1
    for at, (equal, i, j, k, m) in enumerate(found):
        if not equal:
            if i < j:
                out += ("[-", *a[i:j], "-]")
            if k < m:
                out += ("{+", *b[k:m], "+}")
        elif j - i <= LONG:
            out += a[i:j]
        else:
            if at:
                out += a[i : i + CONTEXT]
            out.append("\u2026 ")
            if at < last:
                out += a[j - CONTEXT : j]
    return "".join(out), alike


@lru_cache(64)
def _remembered(text: str) -> list[str]:
    return _words(text)  # a thousand answers are compared with one original


def _stretches(a: list[str], b: list[str]) -> tuple[list[_Stretch], float]:
    if not a and not b:
        return [], 1.0
    if len(a) * len(b) > TOO_MANY:
        found, same = _of_much(a, b)
    else:
        found, same = _of(a, b)
    return found, 2 * same / (len(a) + len(b))


def _of(a: list[str], b: list[str]) -> tuple[list[_Stretch], int]:
    """The stretches, and how many words are equal."""
    found: list[_Stretch] = []
    same = 0
    open_at = (0, 0)
    for op, i, j, k, m in cast(list[tuple[str, int, int, int, int]], Indel.opcodes(a, b).as_list()):
        if op == "equal":
            if open_at != (i, k):
                found.append((False, open_at[0], i, open_at[1], k))
            found.append((True, i, j, k, m))
            same += j - i
            open_at = (j, m)
    if open_at != (len(a), len(b)):
        found.append((False, open_at[0], len(a), open_at[1], len(b)))
    return found, same


def _of_much(a: list[str], b: list[str]) -> tuple[list[_Stretch], int]:
    """What is equal at both ends is taken off first; if the rest is still too much, it is replaced as a whole."""
    most = min(len(a), len(b))
    head = next((i for i in range(most) if a[i] != b[i]), most)
    tail = next((i for i in range(most - head) if a[-1 - i] != b[-1 - i]), most - head)
    end, last = len(a) - tail, len(b) - tail
    inner, same = [(False, 0, end - head, 0, last - head)], 0
    if (end - head) * (last - head) <= TOO_MANY:
        inner, same = _of(a[head:end], b[head:last])
    first = [(True, 0, head, 0, head)] if head else []
    final = [(True, end, len(a), last, len(b))] if tail else []
    middle = [(equal, i + head, j + head, k + head, m + head) for equal, i, j, k, m in inner]
    return [*first, *middle, *final], same + head + tail
