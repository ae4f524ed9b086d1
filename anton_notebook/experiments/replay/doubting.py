"""Inner: what is doubted of a request that the rules made: the checks of `doubts`, held against the recording."""

from __future__ import annotations

from functools import partial

from anton_notebook.experiments.replay import doubts, vetoes
from anton_notebook.experiments.replay.answer_diff import LEAST, Column, is_word, terms
from anton_notebook.experiments.replay.dependencies import Order
from anton_notebook.experiments.replay.node_state import CHANGED, Rebuilt, Settled
from anton_notebook.experiments.replay.recording import Node
from anton_notebook.experiments.replay.value_index import Index
from anton_notebook.model.span import LLM


class Doubting:
    """Finds the doubts about requests of one recording."""

    def __init__(self, order: Order, index: Index) -> None:
        self._order, self._index = order, index
        self._rivals: dict[int, list[Node]] = {}

    def about(self, node: Node, due: list[Settled], made: Rebuilt, rest: str) -> None:
        """What else than copying explains the recording, and would write something else now."""
        puts: dict[int, list[doubts.Put]] = {}
        for put in made.puts:
            puts.setdefault(put.place, []).append(put)
        beside, open_ones = terms(rest), {one.node.place for one in due}
        for one in due:
            if one.state != CHANGED or one.node.kind != LLM:
                continue
            place, title = one.node.place, one.node.title
            if place in puts:
                self._values(node, one, puts[place], due, made, rest)
            lost = one.changed.lost_terms(one.node.answer, one.said) & beside
            if lost:
                elsewhere = partial(self._elsewhere_too, node, open_ones, self._index.fixed(one.node))
                doubts.of_words(lost, rest, place, title, elsewhere, made.doubts)

    def _values(
        self, node: Node, one: Settled, puts: list[doubts.Put], due: list[Settled], made: Rebuilt, rest: str
    ) -> None:
        """The values of one answer that were replaced."""
        place, title = one.node.place, one.node.title
        for put in dict.fromkeys(puts):
            doubts.of_text(put, title, made.doubts)
            if put.old == one.node.answer.strip():
                self._equals(node, one, put, due, made)
        rival = self._rival(node, one.node)
        if rival is not None:
            why = f"{rival.title} was asked much the same as {title}, and nobody took it up: one of them may be chosen"
            made.doubts.add(why, "chosen", place)
        for column in one.changed.columns:
            here = doubts.items_in(column, [put.old for put in puts]) if column.changed else []
            if here:
                named = len(here) == 1 and doubts.named(column, here[0], f"{rest} {node.agent or ''}")
                takers = {} if named or len(here) > 1 else self._takers(column, one.node)
                doubts.of_items(column, here, takers, place, title, named, made.doubts)

    def _rival(self, node: Node, source: Node) -> Node | None:
        """A call that was asked much the same as another, that this one could know, and that nobody took up."""
        if source.place not in self._rivals:
            nobody = len(self._order.nodes)
            found = vetoes.alike(source, self._order.nodes, lambda one: self._index.taker(one) == nobody)
            self._rivals[source.place] = found
        return next((other for other in self._rivals[source.place] if self._order.may_rest(node, other)), None)

    def _elsewhere_too(self, node: Node, open_ones: set[int], fixed: vetoes.Fixed, word: str, text: str) -> bool:
        """Whether a word stands in a text only within values of answers that did not change, or was said before any change."""
        if word in fixed:
            return True
        text = "\n".join(line for line in text.split("\n") if word not in line or not self._index.template(node, line))
        for other in self._index.given(word):
            if other.place not in open_ones and self._order.may_rest(node, other):
                for value in sorted(other.values, key=len, reverse=True):
                    text = text.replace(value, "\0") if word in value else text
        return not is_word(word, text)

    def _takers(self, column: Column, source: Node) -> dict[int, int]:
        """The first call that took each item of a list, and no other of it."""
        after = self._order.rested_on_by(source)
        held: dict[int, list[int]] = {}
        for item, text in enumerate(column.items):
            for place in self._index.held(text.old) if len(text.old) >= LEAST else ():
                if after[place]:
                    held.setdefault(place, []).append(item)
        out: dict[int, int] = {}
        for place in sorted(held):
            if len(held[place]) == 1:
                out.setdefault(held[place][0], place)
        return out

    def _equals(self, node: Node, one: Settled, put: doubts.Put, due: list[Settled], made: Rebuilt) -> None:
        """An answer that says the same as another call's now: a program may take the two as one."""
        open_ones = {other.node.place for other in due}
        new = [
            other.node for other in due if other is not one and other.state == CHANGED and other.said.strip() == put.new
        ]
        new += [
            n for n in self._index.said.get(put.new, ()) if n.place not in open_ones and self._order.may_rest(node, n)
        ]
        if put.old != put.new and new:
            why = f"{one.node.title} says the same as {new[0].title} now, and the program may take the two as one"
            made.doubts.add(why, "equal", put.place)
