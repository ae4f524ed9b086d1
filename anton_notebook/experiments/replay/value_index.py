"""Inner: which calls of a run hold a text, looked up once."""

from __future__ import annotations

from functools import cached_property

from anton_notebook.experiments.replay.answer_diff import short_values
from anton_notebook.experiments.replay.dependencies import Order
from anton_notebook.experiments.replay.recording import Node
from anton_notebook.experiments.replay.vetoes import Fixed, taker
from anton_notebook.model.span import LLM


class Index:
    """Texts of a recording: who was asked with them, who answered with them."""

    def __init__(self, order: Order) -> None:
        self._order, self._nodes = order, order.nodes
        self.taken_up: dict[int, int] = {}
        """By place of an answer: the place of the call that took it up first (see `guards.taker`)."""
        self._fixed: dict[int, Fixed] = {}
        self._given: dict[str, list[Node]] = {}
        self._held: dict[str, list[int]] = {}
        self._short: dict[str, list[int]] = {}
        self._own: dict[tuple[str, str], bool] = {}

    def held(self, text: str) -> list[int]:
        """The places of the calls whose requests hold a text."""
        found = self._held.get(text)
        if found is None:
            found = self._held[text] = [node.place for node in self._nodes if text in node.asks]
        return found

    def given(self, text: str) -> list[Node]:
        """The calls whose answers hold a text, in their order."""
        found = self._given.get(text)
        if found is None:
            found = self._given[text] = [node for node in self._nodes if text in node.answer]
        return found

    def taker(self, node: Node) -> int:
        """The place of the call that took an answer up first; as many as there are calls where none did."""
        return taker(node, self._order, self.taken_up)

    def fixed(self, source: Node) -> Fixed:
        """All that was asked before, or beside, an answer."""
        found = self._fixed.get(source.place)
        if found is None:
            found = self._fixed[source.place] = Fixed(self._order, source)
        return found

    def own(self, value: str, around: str) -> bool:
        """Whether a call says this that can rest on no answer with this short value: so the program's own text holds it."""
        if (value, around) not in self._own:
            if value not in self._short:
                self._short[value] = [one.place for one in self.given(value) if value in short_values(one.answer)]
            givers = self._short[value]
            holders = (self._nodes[place] for place in self.held(around))
            self._own[value, around] = any(not self._order.rests_on(one)[givers].any() for one in holders)
        return self._own[value, around]

    def template(self, node: Node, line: str) -> bool:
        """Whether other agents are told the same line: a text of the program, and not of one answer."""
        return len({self._nodes[place].agent for place in self.held(line)} - {node.agent}) > 1

    @cached_property
    def said(self) -> dict[str, list[Node]]:
        """The calls to models by their whole answers."""
        found: dict[str, list[Node]] = {}
        for node in self._nodes:
            if node.kind == LLM:
                found.setdefault(node.answer.strip(), []).append(node)
        return found
