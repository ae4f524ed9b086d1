"""Inner: the guards. Each looks for one reason why the rules must not be trusted for a call, and says it; None where it finds
none.

Every one of them was found on runs where plain substitution made a prompt that the program never would have written.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence

from anton_notebook.experiments.compare import similarity
from anton_notebook.experiments.replay.answer_diff import Changed, contexts, folded, grams, is_word, short_values
from anton_notebook.experiments.replay.dependencies import Order
from anton_notebook.experiments.replay.recording import Node
from anton_notebook.model.request import text_of
from anton_notebook.model.span import LLM, TOOL

ALIKE = 0.8


class Fixed:
    """All that was asked before, or beside, an answer: pieces of it that stand there came from elsewhere."""

    def __init__(self, order: Order, source: Node) -> None:
        self._order, self._source = order, source
        self._nodes: list[Node] | None = None

    def __contains__(self, piece: object) -> bool:
        return any(str(piece) in node.asks for node in self._all())

    def says(self, piece: str) -> bool:
        """The same, whatever the case and the signs between the words."""
        return any(piece in node.says for node in self._all())

    def _all(self) -> list[Node]:
        if self._nodes is None:
            after = self._order.rested_on_by(self._source)
            self._nodes = [node for node in self._order.nodes if not after[node.place]]
        return self._nodes


def rests_on_unknown(
    node: Node, other: Node, why: str, order: Order, text: str, fixed: Fixed, own: Callable[[str, str], bool]
) -> str | None:
    """Anything that rests on an answer that is not known, or whose shape changed.

    `text` is what the call says beyond its conversation, `fixed` what is known not to come from the other; `own` says of a short
    value whether it stands so, with these words around it, in the program's own text.
    """
    told = f"{other.title}: {why}"
    if node.previous is other or order.inside(node, other) or node.asker is other:
        return f"it follows {told}"
    if any(value in text for value in other.values):
        return f"it repeats a value of {told}"
    if any(gram not in fixed for gram in grams(text) & grams(other.answer)):
        return f"it repeats a piece of {told}"
    said = folded("\0".join(value for value in sorted(other.values) if value[0] not in "{[`"))
    if any("\0" not in gram and not fixed.says(gram) for gram in grams(folded(text)) & grams(said)):
        return f"it repeats a piece of {told}, in another case or with other signs"
    if any(not own(value, around) for value in short_values(other.answer) for around in contexts(value, text)):
        return f"it may repeat a short value of {told}"
    if spawned_by(node, other, order):
        return f"it was begun after {told}"
    return None


def spawned_by(node: Node, other: Node, order: Order) -> bool:
    """Whether the other is what probably began it: the last call, before it, of the agent above it, or of its own."""
    if other.kind != LLM or node.turn or node.kind != LLM:
        return False
    return order.last_before(node, node.above or node.agent) is other


def candidates_disagree(value: str, news: Iterable[str]) -> str | None:
    """Candidates that disagree about the new value."""
    found = set(news)
    return None if len(found) == 1 else f"{len(found)} sources disagree about the new value of one text in it"


def stands_elsewhere(source: Node, holders: Iterable[Node], order: Order) -> str | None:
    """The old value stands where it cannot have come from that answer: the program may have it from there. `holders` hold it."""
    for other in holders:
        if other is source or not order.may_rest(other, source):
            return f"a value of {source.title} stands in {other.title} too, which cannot rest on it"
    return None


def other_source(values: Iterable[str], unchanged: Sequence[Node]) -> str | None:
    """An answer or result that did not change holds the same value."""
    listed = list(values)
    for other in unchanged:
        known = None
        for value in listed:
            if value in other.answer:
                known = known or other.values
                if value in known:
                    return f"{other.title} gave the same value as an answer that changed, and did not change"
    return None


def piece_left(rest: str, source: Node, changed: Changed, new: str, fixed: Fixed) -> str | None:
    """A piece of a changed value that is no whole value: it was cut, or put into other words."""
    for gram in changed.lost(new) & grams(rest):
        if gram not in fixed:
            return f"it holds a piece of what {source.title} said, and no whole value of it"
    for gram in changed.lost_words(new) & grams(folded(rest)):
        if not fixed.says(gram):
            return f"it says a piece of what {source.title} said in another case or with other signs"
    for value in sorted(changed.short):
        if is_word(value, rest):
            return f"it may hold a short value that changed in {source.title}"
    return None


def quoted(text: str, start: int, end: int, old: str, new: str) -> str | None:
    """A value between quotation marks may be written as JSON, where some signs are written otherwise."""
    if start > 0 and end < len(text) and text[start - 1] == '"' and text[end] == '"':
        written = any(sign in '"\\' or ord(sign) < 32 or ord(sign) > 126 for sign in new + old)
        if written:
            return "a value stands there in JSON, in which its signs may be written otherwise"
    return None


def retried(node: Node, order: Order, unsettled: Sequence[Node]) -> str | None:
    """A retry after a changed answer: whether it is made depends on that answer."""
    if node.kind != LLM or node.turn or not node.conversation:
        return None
    for other in unsettled:
        if other.kind == LLM and other.agent == node.agent and order.may_rest(node, other):
            first = other
            while first.previous is not None:
                first = first.previous
            if similarity(first.asks[:4000], node.asks[:4000]) >= ALIKE:
                return f"it looks like a retry after {other.title}, which changed"
    return None


def looped(node: Node, order: Order, text: str) -> str | None:
    """A turn count that would change: the same words go on in several turns, so an answer may decide how many there are."""
    if node.previous is None or not text.strip():
        return None
    turns = [n for n in order.nodes if n.previous is not None and n.agent == node.agent and n is not node]
    for other in turns:
        if other.conversation == node.conversation and other.request is not None:
            words = text_of(other.request.messages[-1].get("content"))
            if words and text.endswith(words):
                return "its agent goes on with the same words in several turns, and an answer that changed may end that"
    return None


def joins(
    node: Node, order: Order, unsettled: Sequence[Node], text: str, taken_up: dict[int, int]
) -> Iterator[tuple[Node, str]]:
    """Each answer that a prompt waited for and of which it holds no value: a count or a status may stand in it.

    `taken_up` remembers, by place of an answer, who took it up first.
    """
    if node.kind != LLM:
        return
    open_ones = [other for other in unsettled if other.kind == LLM and not _consumed(other, node, order, taken_up)]
    for other in open_ones:
        if holds(text, other):
            continue
        previous = node.previous
        if previous is not None:
            if order.may_rest(other, previous):
                yield other, f"its agent waited for {other.title}, which changed, and the prompt holds no value of it"
            continue
        why = f"nobody took up what {other.title} said, which changed, and this holds no value of it that would tell"
        yield other, why


def counts(text: str, fixed: Fixed) -> bool:
    """Whether a small number stands in a text that may be a count: with these words around it, it was not said before."""
    return any(around not in fixed for number in set(_SMALL.findall(text)) for around in contexts(number, text))


_SMALL = re.compile(r"(?<![\w.])\d{1,3}(?![\w.]*\d)")


def holds(text: str, other: Node) -> bool:
    """Whether a text repeats a value of an answer."""
    return any(value in text for value in other.values)


def _consumed(other: Node, node: Node, order: Order, taken_up: dict[int, int]) -> bool:
    """Whether another call took the answer up before this one."""
    return taker(other, order, taken_up) < node.place


def taker(other: Node, order: Order, taken_up: dict[int, int]) -> int:
    """The place of the call that took an answer up first; as many as there are calls where none did."""
    if other.place not in taken_up:
        taken_up[other.place] = next(
            (
                one.place
                for one in order.nodes[other.place + 1 :]
                if one.kind != TOOL and order.may_rest(one, other) and (one.previous is other or holds(one.asks, other))
            ),
            len(order.nodes),
        )
    return taken_up[other.place]


def alike(source: Node, nodes: Iterable[Node], wanted: Callable[[Node], bool]) -> list[Node]:
    """First turns, of those that are wanted, that were asked much the same as this one."""
    size = len(source.asks)
    found = []
    for other in nodes:
        first = other.kind == LLM and other is not source and not other.turn and not source.turn
        near = first and other.answer and abs(len(other.asks) - size) <= (1 - ALIKE) * size
        if near and wanted(other) and similarity(source.asks[:4000], other.asks[:4000]) >= ALIKE:
            found.append(other)
    return found
