"""Inner: the values of an answer, and what became of each in another answer to the same question."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

from anton_notebook.experiments.compare import json_in
from anton_notebook.model.request import Response, canonical

LEAST = 12
"""Characters from which on two equal texts are no coincidence: the point where false matches ended on recorded runs."""

Path = tuple[Any, ...]
_NOTHING: Any = object()
GRAM = LEAST


def leaves(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every leaf of a JSON value with its path; an empty object or list is one."""
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from leaves(inner, (*path, str(key)))
    elif isinstance(value, list) and value:
        for at, inner in enumerate(value):
            yield from leaves(inner, (*path, at))
    else:
        yield path, value


def structure(text: str) -> Any:
    """The JSON that an answer is, or `_NOTHING` where it is plain text."""
    try:
        return json_in(text)
    except ValueError:
        return _NOTHING


def whole_values(text: str) -> set[str]:
    """The values of an answer that are long enough to be told: itself, the texts in its JSON, its lines."""
    found = {text.strip()}
    value = structure(text)
    inner = [text] if value is _NOTHING else [leaf for _, leaf in leaves(value) if isinstance(leaf, str)]
    for one in inner:
        found.add(one.strip())
        found.update(line.strip() for line in one.splitlines())
    return {one for one in found if len(one) >= LEAST}


def short_values(text: str) -> set[str]:
    """The values that are too short to be told from chance, or are no texts."""
    value = structure(text)
    if value is _NOTHING:
        return {line.strip() for line in text.splitlines() if 0 < len(line.strip()) < LEAST}
    found: set[str] = set()
    for _, leaf in leaves(value):
        if isinstance(leaf, str):
            found.update(line.strip() for line in leaf.splitlines() if 0 < len(line.strip()) < LEAST)
        elif not isinstance(leaf, Mapping | list):
            found |= {str(leaf), json.dumps(leaf)}
    return found


@dataclass(frozen=True)
class Item:
    """One item of a list, or one text in it: the old one and the new one.

    `names` are other texts of the item, which no other item has and which did not change.
    """

    old: str
    new: str
    names: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Column:
    """The same text of every item of a list, in the order of the answer."""

    items: tuple[Item, ...]

    @cached_property
    def places(self) -> dict[str, int]:
        """The items by their old texts."""
        return {item.old: at for at, item in enumerate(self.items)}

    @cached_property
    def changed(self) -> bool:
        return any(item.old != item.new for item in self.items)

    @cached_property
    def merged(self) -> frozenset[int]:
        """Items that are the same as another now and were not, or the other way round."""
        old, new = [item.old for item in self.items], [item.new for item in self.items]
        before, after, both = Counter(old), Counter(new), Counter(zip(old, new, strict=True))
        pairs = enumerate(zip(old, new, strict=True))
        return frozenset(at for at, pair in pairs if not before[pair[0]] == after[pair[1]] == both[pair])


@dataclass
class Changed:
    """What changed between two answers. `trouble` says why its values cannot be followed; `pairs` are old and new values.

    `uneven` are old values whose new ones have other white space at their ends, `loose` those that changed into something that
    cannot be told (a line of a text that has more or fewer lines now), `short` changed lines too short to be told from chance,
    `columns` the texts that stand in lists.
    """

    same: bool = True
    trouble: str | None = None
    calls: str | None = None
    pairs: dict[str, set[str]] = field(default_factory=dict)
    uneven: set[str] = field(default_factory=set)
    loose: set[str] = field(default_factory=set)
    short: set[str] = field(default_factory=set)
    columns: list[Column] = field(default_factory=list)
    _lost: frozenset[str] | None = field(default=None, repr=False, compare=False)
    _lost_words: frozenset[str] | None = field(default=None, repr=False, compare=False)
    _lost_terms: frozenset[str] | None = field(default=None, repr=False, compare=False)

    def lost(self, new: str) -> frozenset[str]:
        """The pieces of its loose values that the new answer does not hold."""
        if self._lost is None:
            found: set[str] = set()
            found.update(*(grams(value) for value in self.loose))
            self._lost = frozenset(found - grams(new))
        return self._lost

    def lost_terms(self, old: str, new: str) -> frozenset[str]:
        """The words of an answer that the new one lacks."""
        if self._lost_terms is None:
            self._lost_terms = terms(old) - terms(new)
        return self._lost_terms

    def lost_words(self, new: str) -> frozenset[str]:
        """The same of what they say, whatever their case and the signs between their words."""
        if self._lost_words is None:
            found: set[str] = set()
            found.update(*(grams(folded(value)) for value in self.loose if value[0] not in "{[`"))  # keys say nothing
            self._lost_words = frozenset(found - grams(folded(new)))
        return self._lost_words


def difference(old: Response, new: Response) -> Changed:
    """What changed from the recorded answer to the new one.

    >>> difference(Response("Write the parser first"), Response("Write the printer first")).pairs
    {'Write the parser first': {'Write the printer first'}}
    """
    out = Changed(same=same(old, new))
    if out.same:
        return out
    _calls(old, new, out)
    before, after = structure(old.text), structure(new.text)
    if (before is _NOTHING) != (after is _NOTHING):
        out.trouble = "one answer is JSON and the other is not"
        return out
    _pair(old.text, new.text, out, lines=before is _NOTHING)
    if before is not _NOTHING:
        _json(before, after, out)
    else:
        out.trouble = out.trouble or _told(old.text, new.text)
    return out


def plain_difference(old: str, new: str) -> Changed:
    """The same for the results of tools, which are no source of values: what repeats a changed one cannot be followed."""
    if old == new:
        return Changed()
    return Changed(same=False, loose=whole_values(old), short=short_values(old))


def same(old: Response, new: Response) -> bool:
    """Byte for byte, the ids of tool calls too: the next turn repeats them."""
    return old.text == new.text and canonical(old.tool_calls) == canonical(new.tool_calls)


def _calls(old: Response, new: Response, out: Changed) -> None:
    """Tool calls: another number or order of them is another course; their arguments go to their tools, and may go elsewhere."""
    if [c.get("name") for c in old.tool_calls] != [c.get("name") for c in new.tool_calls]:
        asked = ", ".join(str(c.get("name")) for c in new.tool_calls) or "no tools"
        out.trouble = f"it asks for {asked} now, and for something else before, so the turns that follow may be others"
        return
    for before, after in zip(old.tool_calls, new.tool_calls, strict=True):
        inner = Changed()
        _json(before.get("arguments"), after.get("arguments"), inner)
        out.calls = out.calls or inner.trouble
        for value, values in inner.pairs.items():
            out.pairs.setdefault(value, set()).update(values)
        out.uneven |= inner.uneven
        out.loose |= inner.loose
        out.short |= inner.short
        out.columns += inner.columns


def _json(before: Any, after: Any, out: Changed) -> None:
    old, new = dict(leaves(before)), dict(leaves(after))
    if list(old) != list(new):
        out.trouble = out.trouble or "the number, order or shape of its items changed"
        return
    by_value: dict[str, list[Path]] = {}
    for path, value in old.items():
        if isinstance(value, str) and len(value.strip()) >= LEAST:
            by_value.setdefault(value, []).append(path)
    for path, value in old.items():
        now = new[path]
        if type(value) is not type(now) or not isinstance(value, str):
            if type(value) is not type(now) or value != now:
                out.trouble = out.trouble or f"a value that is no text changed ({_place(path)})"
                return
        elif value == now:
            _pair(value, now, out)
        elif len(value.strip()) < LEAST or len(now.strip()) < LEAST:
            out.trouble = out.trouble or f"a short value changed ({_place(path)})"
            return
        elif now in by_value and path not in by_value[now]:
            out.trouble = out.trouble or f"items changed their places ({_place(path)})"
            return
        elif _CHOICE.fullmatch(value) and _CHOICE.fullmatch(now):
            out.trouble = out.trouble or f"a value that reads like one of several choices changed ({_place(path)})"
            return
        else:
            _pair(value, now, out)
    out.columns += _columns(before, after)


def _columns(before: Any, after: Any) -> Iterator[Column]:
    """The lists in a value, as far as their items have texts that can be told. The other value has the same shape."""
    if isinstance(before, Mapping):
        for key in before:
            yield from _columns(before[key], after[key])
        return
    if not isinstance(before, list):
        return
    rows = [(dict(leaves(one)), dict(leaves(now))) for one, now in zip(before, after, strict=True)]
    paths = dict.fromkeys(path for row, _ in rows for path, leaf in row.items() if isinstance(leaf, str))
    said = Counter(leaf for row, _ in rows for leaf in {str(leaf) for leaf in row.values()})
    names = [frozenset(str(leaf) for path, leaf in row.items() if now[path] == leaf and said[str(leaf)] == 1 and len(str(leaf)) > 1)
             for row, now in rows]  # fmt: skip
    for path in paths:
        texts = [(row.get(path), now.get(path), name) for (row, now), name in zip(rows, names, strict=True)]
        items = [Item(one, now, name) for one, now, name in texts if isinstance(one, str) and isinstance(now, str)]
        if len(items) > 1 and any(len(item.old.strip()) >= LEAST for item in items):
            yield Column(tuple(items))
    for one, now in zip(before, after, strict=True):
        yield from _columns(one, now)


_CHOICE = re.compile(r"[A-Za-z][A-Za-z0-9]*([_-][A-Za-z0-9]+)*")
_LABELLED = re.compile(r"^[^\w\n]*(\w[\w ]{0,24})[*_]*:[*_ ]+(\S{1,24})[ \t]*$", re.MULTILINE)


def chosen(line: str) -> bool:
    """Whether a text reads like a choice that was made, not like something that was written."""
    return _CHOICE.fullmatch(line.strip()) is not None or _LABELLED.fullmatch(line.rstrip("\r\n")) is not None


def _told(old: str, new: str) -> str | None:
    """What a plain answer says that a program may read as a decision: nothing at all, or a word behind a label."""
    if len(new.strip()) < LEAST <= len(old.strip()):
        return "it is very short now"
    before, after = dict(_LABELLED.findall(old)), dict(_LABELLED.findall(new))
    for label in [*before, *after]:
        if before.get(label) != after.get(label):
            return "a short value behind a label changed"
    return None


def _pair(old: str, new: str, out: Changed, *, lines: bool = True) -> None:
    """A value and its successor, and their lines where there are as many of them."""
    before, after = old.strip(), new.strip()
    if before != after and _ends(old, before) != _ends(new, after):
        out.uneven.add(before)
    if len(before) >= LEAST:
        out.pairs.setdefault(before, set()).add(after)
        if before != after:
            out.loose.add(before)
    elif before != after and before:
        out.short.add(before)
    rows, now = before.splitlines(), after.splitlines()
    if len(rows) < 2 or not lines:
        return
    if len(rows) != len(now):
        out.loose.update(line.strip() for line in rows if len(line.strip()) >= LEAST)
        out.short.update(line.strip() for line in rows if 0 < len(line.strip()) < LEAST)
        return
    moved = set(now) & set(rows)
    if not moved:  # nothing stayed by which they could be paired
        out.loose.update(line.strip() for line in rows if len(line.strip()) >= LEAST)
        out.short.update(line.strip() for line in rows if 0 < len(line.strip()) < LEAST)
        return
    if before != after:
        out.columns.append(
            Column(tuple(Item(one.strip(), later.strip()) for one, later in zip(rows, now, strict=True)))
        )
    for line, later in zip(rows, now, strict=True):
        if (
            line == later
            or len(line.strip()) >= LEAST
            and len(later.strip()) >= LEAST
            and line not in moved
            and later not in moved
        ):
            out.pairs.setdefault(line.strip(), set()).add(later.strip())
        elif line.strip():
            (out.short if len(line.strip()) < LEAST else out.loose).add(line.strip())


def _ends(text: str, stripped: str) -> tuple[str, str]:
    return text[: len(text) - len(text.lstrip())], text[len(text.rstrip()) :]


def _place(path: Path) -> str:
    """Where in the answer, in its own words only as far as they are short and plain."""
    words = [str(part) for part in path]
    return "/" + "/".join(word if word.isidentifier() or word.isdigit() else "…" for word in words)[:80]


@lru_cache(maxsize=32)
def grams(text: str) -> frozenset[str]:
    """All runs of so many characters that could be a piece of a value. A call is held against many answers: the last are kept."""
    return frozenset(text[at : at + GRAM] for at in range(len(text) - GRAM + 1))


@lru_cache(maxsize=32)
def folded(text: str) -> str:
    """What a text says, without its case and the signs between its words."""
    return " ".join(_WORDS.findall(text.casefold()))


@lru_cache(maxsize=32)
def terms(text: str) -> frozenset[str]:
    """The longer words of a text."""
    return frozenset(word for word in _LETTERS.findall(text) if len(word) >= LONG_WORD)


LONG_WORD = 4
_LETTERS = re.compile(r"[^\W\d_]+")
_WORDS = re.compile(r"[^\W_]+|\0")


def is_word(value: str, text: str) -> bool:
    """Whether a short value stands in a text on its own, not as a part of a longer word."""
    at = text.find(value)
    while at >= 0:
        if bounded(text, at, at + len(value)):
            return True
        at = text.find(value, at + 1)
    return False


def contexts(value: str, text: str) -> Iterator[str]:
    """Where a short value stands as a word: it, and what is around it in its line."""
    at = text.find(value)
    while at >= 0:
        end = at + len(value)
        if bounded(text, at, end):
            before, after = text[max(0, at - GRAM) : at], text[end : end + GRAM]
            yield before.split("\n")[-1] + value + after.split("\n")[0]
        at = text.find(value, at + 1)


def bounded(text: str, start: int, end: int) -> bool:
    """Whether no word runs across the ends of this stretch."""
    return not (start > 0 and _word(text[start - 1]) and _word(text[start])) and not (
        end < len(text) and _word(text[end - 1]) and _word(text[end])
    )


def _word(sign: str) -> bool:
    return sign.isalnum() or sign == "_"
