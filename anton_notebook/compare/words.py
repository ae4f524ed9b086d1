"""Inner: two texts, word by word."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple, cast

from rapidfuzz.distance import Indel

TOO_MANY = 200_000_000
"""Pairs of words above which not every pair is looked at: the table of pairs would not fit into memory."""

CONTEXT = 4
_WORD = re.compile(r"\w+\s*|[^\w\s]\s*|\s+")
_words: Callable[[str], list[str]] = _WORD.findall


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
    return _changes(old, new)[0]


def _changes(old: str, new: str) -> tuple[list[Change], float]:
    if old == new:
        return ([Change("equal", old, new)] if old else []), 1.0
    a, b = _words(old), _words(new)
    if len(a) * len(b) > TOO_MANY:
        return _changes_of_much(a, b)
    return _changes_of(a, b)


def _changes_of_much(a: list[str], b: list[str]) -> tuple[list[Change], float]:
    """What is equal at both ends is taken off first; if the rest is still too much, it is replaced as a whole."""
    most = min(len(a), len(b))
    head = next((i for i in range(most) if a[i] != b[i]), most)
    tail = next((i for i in range(most - head) if a[-1 - i] != b[-1 - i]), most - head)
    c, d = a[head : len(a) - tail], b[head : len(b) - tail]
    if len(c) * len(d) > TOO_MANY:
        middle, share = [Change("replace", "".join(c), "".join(d))], 0.0
    else:
        middle, share = _changes_of(c, d)
    ends = ("".join(a[:head]), "".join(a[len(a) - tail :]))
    first, last = ([Change("equal", text, text)] if text else [] for text in ends)
    shared = 2 * (head + tail) + share * (len(c) + len(d))
    return [*first, *middle, *last], shared / (len(a) + len(b))


def _changes_of(a: list[str], b: list[str]) -> tuple[list[Change], float]:
    found: list[Change] = []
    same = 0
    for op, i, j, k, m in cast(list[tuple[str, int, int, int, int]], Indel.opcodes(a, b).as_list()):
        before, after = "".join(a[i:j]), "".join(b[k:m])
        same += j - i if op == "equal" else 0
        if found and op != "equal" and found[-1].op != "equal":
            last = found[-1]
            found[-1] = Change("replace", last.old + before, last.new + after)
        else:
            found.append(Change(op, before, after))
    return found, 2 * same / (len(a) + len(b))


def similarity(old: str, new: str) -> float:
    """How much of two texts is the same: twice the words they share (in order) by all their words; 0 to 1.

    >>> similarity("one two three four", "one two three five")
    0.75
    """
    return _changes(old, new)[1]


def shown(old: str, new: str) -> tuple[str, float]:
    """The difference as one line of text, and the similarity. `[-taken away-]`, `{+new+}`; long equal stretches are cut.

    >>> shown("a fine day", "a bad day")[0]
    'a [-fine -]{+bad +}day'
    """
    if old == new:
        return "", 1.0
    found, alike = _changes(old, new)
    out: list[str] = []
    last = len(found) - 1
    for i, (op, before, after) in enumerate(found):
        if op == "equal":
            out.append(_cut(before, i > 0, i < last))
            continue
        if before:
            out.append(f"[-{before}-]")
        if after:
            out.append(f"{{+{after}+}}")
    return "".join(out), alike


def _cut(text: str, head: bool, tail: bool) -> str:
    """The ends of an equal stretch that touch a difference."""
    if len(text) < 80:
        return text
    words = _words(text[:400]) if head else []
    ends = _words(text[-400:]) if tail else []
    first, final = "".join(words[:CONTEXT]), "".join(ends[-CONTEXT:])
    return f"{first}\u2026 {final}" if len(first) + len(final) < len(text) - 2 else text
