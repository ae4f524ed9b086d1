"""Inner: what else a program may have done that looks like copying in the recording, and would come to something else now.

A value that stands word for word in a prompt may have been put into lower case, cut at 500 characters or taken as the first in
the alphabet: where it was written so already, nobody can tell. Each of these is held against the old value and the new one.
Where it explains the recording, and would write something else than a copy now, there is a doubt; and a doubt holds until
another run, in which the two differ, has shown which of them the program does (see `backwards`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from anton_notebook.experiments.replay.answer_diff import Column, bounded, is_word

Key = tuple[str, ...]
"""What is doubted: one name for one other explanation of one value, the same in every run."""

LIMITS = (
    50, 60, 64, 80, 100, 120, 128, 140, 150, 160, 200, 240, 250, 256, 280, 300, 350, 400, 450, 500, 512, 600, 700, 750, 800, 900,
    1000, 1024, 1200, 1500, 1600, 1800, 2000, 2048, 2500, 3000, 4000, 4096, 5000, 6000, 8000, 8192, 10_000, 12_000, 15_000, 16_000,
    16_384, 20_000, 30_000, 32_000, 32_768, 40_000, 50_000, 64_000, 65_536, 100_000,
)  # fmt: skip
"""Lengths at which programs cut."""


@dataclass(frozen=True)
class Put:
    """A value that was replaced: whose it is (a place), the old and the new one."""

    place: int
    old: str
    new: str


@dataclass
class Doubts:
    """The doubts about one request, by their key: the sentence that says each."""

    said: dict[Key, str] = field(default_factory=dict)

    def add(self, why: str, *key: object) -> None:
        self.said.setdefault(tuple(str(part) for part in key), why)


def _lines(text: str) -> str:
    return " ".join(text.split())


def _bare(text: str) -> str:
    text = re.sub(r"\A```\w*\n(.*)\n```\Z", r"\1", text.strip(), flags=re.DOTALL)
    return text.strip("`\"'")


def _dumped(**style: object) -> Callable[[str], str]:
    def dump(text: str) -> str:
        if text[:1] not in "{[":
            return text
        try:
            return json.dumps(json.loads(text), **style)  # type: ignore[arg-type]
        except ValueError:
            return text

    return dump


OTHERWISE: tuple[tuple[str, Callable[[str], str], str], ...] = (
    ("lower", str.lower, "in lower case"),
    ("upper", str.upper, "in upper case"),
    ("title", str.title, "with capitals"),
    ("lines", _lines, "on one line"),
    ("bare", _bare, "without the signs around it"),
    ("dump", _dumped(), "as JSON that is written anew"),
    ("indent", _dumped(indent=2), "as JSON that is written anew"),
    ("tight", _dumped(separators=(",", ":")), "as JSON that is written anew"),
    ("keys", _dumped(sort_keys=True), "as JSON with sorted keys"),
)
"""What programs do to a text on its way: a name, the function, how it is said."""


def of_text(put: Put, title: str, found: Doubts) -> None:
    """A value that may have been changed on its way in a way that left the old one as it was."""
    if put.old == put.new:
        return
    for name, change, words in OTHERWISE:
        if change(put.old) == put.old and change(put.new) != put.new:
            found.add(f"the program may write what {title} said {words}: the recording cannot tell", name, put.place)
    for limit in LIMITS:
        if len(put.old) <= limit < len(put.new):
            why = (
                f"the new value of {title} is longer than {limit:,} characters, the old one is not: it may be cut there"
            )
            found.add(why, "cut", put.place, limit)


def of_words(
    lost: Iterable[str], rest: str, place: int, title: str, elsewhere: Callable[[str, str], bool], found: Doubts
) -> None:
    """A word of the old answer that the new one `lost` stands in the prompt beside its values: it may stand there for it.

    `elsewhere` says of a word whether all that holds it in a text is known to come from elsewhere.
    """
    for word in sorted(lost):
        if is_word(word, rest) and not elsewhere(word, rest):
            why = f"the word {word!r} of what {title} said stands in it beside its values, and the new answer lacks it"
            found.add(why, "word", place, word)


# -- items: their order, and which of them are taken

_ORDERS: tuple[tuple[str, Callable[[str], object], bool, str], ...] = (
    ("alphabet", str.casefold, False, "in the order of the alphabet"),
    ("backwards", str.casefold, True, "against the order of the alphabet"),
    ("short", len, False, "by their length"),
    ("long", len, True, "by their length"),
)


def of_items(
    column: Column, here: Sequence[int], takers: Mapping[int, int], place: int, title: str, named: bool, found: Doubts
) -> None:
    """Items of a list: the recording must say that the program takes them by their place, or by a name that did not change.

    `here` are the items that the request holds, in the order in which it does; `takers` the first call that took each item alone,
    by item; `named` whether the request names the one item that it holds by something that did not change.
    """
    if not column.merged.isdisjoint(here):
        found.add(f"two items of {title} are the same now, and the program may take them as one", "merged", place)
    if len(here) > 1:
        _ordered(column, here, None, place, title, all(item.names for item in column.items), found)
    elif here and not named:
        taken = sorted(takers, key=lambda item: takers[item])
        if len(taken) > 1:
            _ordered(column, taken, here[0], place, title, False, found)
        _picked(column, here[0], taken, place, title, found)


def _ordered(
    column: Column, taken: Sequence[int], mine: int | None, place: int, title: str, named: bool, found: Doubts
) -> None:
    if list(taken) != sorted(taken) and not named:
        found.add(f"the items of {title} are taken in another order than it gave them", "order", place)
    for name, key, turned, words in _ORDERS:
        if name != "alphabet" and len(taken) < 3:
            continue  # of two, every order is one of these
        before = _sorted([(i, column.items[i].old) for i in taken], key, turned)
        after = _sorted([(i, column.items[i].new) for i in taken], key, turned)
        if before != list(taken):
            continue
        moved = after != before if mine is None else after[before.index(mine)] != mine
        if moved:
            found.add(
                f"the program may take the items of {title} {words}, and the new ones would move", "by", name, place
            )


def _picked(column: Column, mine: int, taken: Sequence[int], place: int, title: str, found: Doubts) -> None:
    """One item, and not the others."""
    every = range(len(column.items))
    if len(taken) == len(column.items) or len(column.items) < 2:
        return
    if list(every)[: len(taken)] != sorted(taken) and list(every)[-len(taken) :] != sorted(taken):
        found.add(f"the program took some items of {title}, neither the first nor the last of them", "some", place)
    for name, key, turned, words in _ORDERS:
        if name != "alphabet" and len(column.items) < 3:
            continue
        before = _sorted([(i, column.items[i].old) for i in every], key, turned)
        after = _sorted([(i, column.items[i].new) for i in every], key, turned)
        if before[0] == mine and after[0] != mine:
            found.add(
                f"the program may take the first item of {title} {words}, and that is another now", "first", name, place
            )


def _sorted(items: Sequence[tuple[int, str]], key: Callable[[str], object], turned: bool) -> list[int]:
    return [i for i, _ in sorted(items, key=lambda one: key(one[1]), reverse=turned)]  # type: ignore[arg-type,return-value]


def named(column: Column, item: int, text: str) -> bool:
    """Whether a text names this item, and no other of the list, by something of it that did not change."""
    parted = text.replace("_", " ")
    words = [any(_stands(name, text, parted) for name in one.names) for one in column.items]
    return words[item] and sum(words) == 1


def _stands(name: str, text: str, parted: str) -> bool:
    at = text.find(name)
    while at >= 0:
        end = at + len(name)
        if bounded(parted, at, end):
            return True
        at = text.find(name, at + 1)
    return False


def items_in(column: Column, texts: Iterable[str]) -> list[int]:
    """Which items these values are, each once, in this order."""
    return list(dict.fromkeys(column.places[text] for text in texts if text in column.places))
