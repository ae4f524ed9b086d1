"""Inner: the rules by which a recorded request is rebuilt after an answer before it changed.

1. A later turn of a conversation gets the new answer in place of the old one.
2. A value of an earlier answer that stands word for word in a prompt is replaced by the new answer's value, longest first.
3. A tool that is asked for with the same name and arguments keeps its result (see `tools`).
Where a guard finds a reason, `Unreached` is raised. All of it is a pure function of the recording and of what is settled.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from anton_notebook.experiments.replay import doubts, vetoes
from anton_notebook.experiments.replay.answer_diff import LEAST, bounded
from anton_notebook.experiments.replay.dependencies import Order, holds_answer, silent
from anton_notebook.experiments.replay.doubting import Doubting
from anton_notebook.experiments.replay.history_rewrite import result, retold, told_by_proxy
from anton_notebook.experiments.replay.node_state import CHANGED, SAME, UNKNOWN, Known, Rebuilt, Settled, Unreached
from anton_notebook.experiments.replay.recording import Node, strings
from anton_notebook.experiments.replay.value_index import Index
from anton_notebook.model.request import Request, canonical
from anton_notebook.model.span import LLM, TOOL


@dataclass
class _Text:
    """A text after substitution, and what of it was there before and was not replaced."""

    text: str
    rest: str


NEAR = 8
"""So many of the last answers are looked at first: what a call rests on is likely to be among them."""


class Rules:
    """Rebuilds requests of one recording."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.nodes = order.nodes
        self._index = Index(order)
        self._doubting = Doubting(order, self._index)
        self._elsewhere: dict[tuple[str, int], str | None] = {}
        self._right = sum(1 for node in self.nodes if node.previous is not None and holds_answer(node))
        self._wrong: dict[str | None, Node] = {}
        for node in reversed(self.nodes):
            if node.previous is not None and not holds_answer(node):
                self._wrong[node.agent] = node

    def unsettled(self, node: Node, known: Known) -> list[Settled]:
        """What changed, or is unknown, and may have reached the node."""
        if not known.open.any():
            return []
        return [known[place] for place in np.flatnonzero(known.open & self.order.rests_on(node)).tolist()]

    def rebuild(self, node: Node, known: Known) -> Rebuilt:
        """The request of a call to a model after what is known. Raises `Unreached`."""
        if node.request is None:
            raise Unreached("its recorded request cannot be read")
        due = self.unsettled(node, known)
        made = Rebuilt(node.request)
        first, messages = self._history(node, known, made)
        news = node.request.messages[first:]
        text = "\n".join(strings(news)) if node.previous is not None else node.asks
        self._guard(node, due, text, made)
        if any(one.state == CHANGED and one.node is node.previous for one in due):
            self._stop(vetoes.looped(node, self.order, text))
        change = self._substitution(node, due, made, text)
        rest: list[str] = []
        messages += [_deep(message, change, rest) for message in news]
        system, tools = node.request.system, node.request.tools
        before = node.previous.request if node.previous is not None else None
        if before is not None and node.previous is not None and before.system == system:
            settled = known.get(node.previous.place)
            system = settled.base.system if settled is not None and settled.base is not None else system
        else:
            system = _deep(system, change, rest)
        if before is None or before.tools != tools:
            tools = _deep(tools, change, rest)
        made.request = replace(node.request, messages=messages, system=system, tools=tools)
        left = "\n".join(rest)
        for one in due:
            if one.state == CHANGED and one.node is not node.previous and not self._linked(node, one.node):
                self._stop(vetoes.piece_left(left, one.node, one.changed, one.said, self._index.fixed(one.node)))
        self._doubting.about(node, due, made, left)
        return made

    def arguments(self, node: Node, known: Known) -> Any:
        """The arguments of a tool that no recorded answer asked for: its program's own call. Raises `Unreached`."""
        due = self.unsettled(node, known)
        made = Rebuilt(Request("", ""))
        self._guard(node, due, node.asks, made)
        rest: list[str] = []
        out = _deep(node.arguments, self._substitution(node, due, made, node.asks), rest)
        for one in due:
            if one.state == CHANGED:
                self._stop(
                    vetoes.piece_left("\n".join(rest), one.node, one.changed, one.said, self._index.fixed(one.node))
                )
        self._doubting.about(node, due, made, "\n".join(rest))
        self._stop(next(iter(made.doubts.said.values()), None))
        return out

    # -- inner

    def _guard(self, node: Node, due: list[Settled], text: str, made: Rebuilt) -> None:
        for one in [*reversed(due[-NEAR:]), *due[:-NEAR]]:
            follows = node.previous is one.node
            why = (
                one.why if one.state == UNKNOWN else one.changed.trouble or ("" if follows else one.changed.calls or "")
            )
            if why and not (self._linked(node, one.node) and one.state == CHANGED):
                self._stop(
                    vetoes.rests_on_unknown(
                        node, one.node, why, self.order, text, self._index.fixed(one.node), self._index.own
                    )
                )
        others = [one.node for one in due]
        self._stop(vetoes.retried(node, self.order, others))
        alike = {
            one.node.place for one in due if one.state == CHANGED and not (one.changed.trouble or one.changed.calls)
        }
        waited = [other for other in others if other is not node.previous]
        for other, why in vetoes.joins(node, self.order, waited, text, self._index.taken_up):
            if other.place not in alike:
                raise Unreached(why)
            counted = vetoes.counts(text, self._index.fixed(other))
            made.doubts.add(why, "counted" if counted else "joined", other.place)

    def _stop(self, why: str | None) -> None:
        if why is not None:
            raise Unreached(why)

    def _linked(self, node: Node, tool: Node) -> bool:
        """Whether the tool's result stands in the call's history by its call, not by its words."""
        return tool.kind == TOOL and node.previous is not None and tool.asker is node.previous

    def _history(self, node: Node, known: Known, made: Rebuilt) -> tuple[int, list[Any]]:
        """The messages up to the tools' results: the earlier turn's, its answer, the results. And how many they were."""
        previous, request = node.previous, node.request
        if previous is None or previous.request is None or request is None or previous.response is None:
            return 0, []
        settled = known.get(previous.place) or Settled(previous)
        base = settled.base or previous.request
        messages: list[Any] = list(base.messages)
        at = len(previous.request.messages)
        answer = request.messages[at]
        if settled.state == UNKNOWN:
            raise Unreached(f"it follows {previous.title}: {settled.why}")
        if settled.state == CHANGED and settled.changed.trouble:
            raise Unreached(f"it follows {previous.title}: {settled.changed.trouble}")
        new = settled.response or previous.response
        if settled.state == CHANGED:
            if not holds_answer(node):
                raise Unreached(f"its history tells the answer of {previous.title} in other words than it was given")
            self._stop(self._own_turns(node))
            answer = retold(answer, previous.response, new, settled.changed, silent=silent(previous))
            made.used[previous.place] = -1
            made.turns += 1
        messages.append(answer)
        at += 1
        ids = {
            old.get("id"): (place, later.get("id") or old.get("id"))
            for place, (old, later) in enumerate(zip(previous.response.tool_calls, new.tool_calls, strict=False))
        }
        while at < len(request.messages):
            message = result(request.messages[at], previous, ids, known, made)
            if message is None:
                break
            messages.append(message)
            at += 1
        if silent(previous):
            while at < len(request.messages) and told_by_proxy(request.messages[at]):
                messages.append(request.messages[at])
                at += 1
        if any(s.state != SAME for s in self._results(previous, known)) and not ids:
            raise Unreached("results of its tools changed, and its history does not say which call they belong to")
        return at, messages

    def _results(self, previous: Node, known: Known) -> list[Settled]:
        return [known[tool.place] for tool in previous.results.values() if tool.place in known]

    def _own_turns(self, node: Node) -> str | None:
        """Rule 1, tested on the run's own earlier turns of that agent: one that tells an answer in other words is enough."""
        other = self._wrong.get(node.agent)
        if other is None:
            return None
        return f"{other.title} tells the answer before it in other words, so this one may do so too"

    def own_turns(self, node: Node) -> int:
        """How many other turns of the run confirm rule 1."""
        return self._right - (1 if node.previous is not None and holds_answer(node) else 0)

    def _stands_elsewhere(self, value: str, place: int) -> str | None:
        if (value, place) not in self._elsewhere:
            self._elsewhere[value, place] = vetoes.stands_elsewhere(
                self.nodes[place], [self.nodes[other] for other in self._index.held(value)], self.order
            )
        return self._elsewhere[value, place]

    def _substitution(self, node: Node, due: list[Settled], made: Rebuilt, text: str) -> Callable[[str], _Text]:
        """Rule 2 as a function of a text."""
        pairs: dict[str, dict[str, int]] = {}
        changed: dict[str, int] = {}
        for one in due:
            if one.state != CHANGED or one.node.kind != LLM:
                continue
            for old, news in one.changed.pairs.items():
                if len(old) >= LEAST and old in text:
                    for new in news:
                        pairs.setdefault(old, {})[new] = one.node.place
                        if new != old:
                            changed.setdefault(old, one.node.place)
                    if old in one.changed.uneven:
                        self._stop(
                            "the new value has other white space at its ends, and nothing says whether it is kept"
                        )
        if not changed:
            return lambda found: _Text(found, found)
        places = {one.node.place for one in due}
        for old, place in changed.items():
            self._stop(vetoes.candidates_disagree(old, pairs[old]))
            self._stop(self._stands_elsewhere(old, place))
        givers = {n.place: n for old in changed for n in self._index.given(old) if n.place < node.place}
        clean = [givers[place] for place in sorted(givers) if place not in places]
        self._stop(vetoes.other_source(changed, clean))
        keep = [
            value for other in clean for value in other.values if value in text and any(old in value for old in changed)
        ]
        ordered = sorted({*pairs, *keep}, key=lambda value: (-len(value), value))

        def change(found: str) -> _Text:
            spans: list[tuple[int, int, str, str]] = []
            for old in ordered:
                at = found.find(old)
                while at >= 0:
                    end = at + len(old)
                    if bounded(found, at, end) and all(end <= s or e <= at for s, e, *_ in spans):
                        new = next(iter(pairs[old])) if old in pairs else old
                        if new != old:
                            self._stop(vetoes.quoted(found, at, end, old, new))
                            place = pairs[old][new]
                            made.used[place] = max(0, made.used.get(place, 0)) + 1
                        spans.append((at, end, new, old))
                    at = found.find(old, at + 1)
            out, rest, last = [], [], 0
            for start, end, new, old in sorted(spans):
                if old in pairs:
                    made.puts.append(doubts.Put(pairs[old][new], old, new))
                out += [found[last:start], new]
                rest.append(found[last:start])
                last = end
            return _Text("".join([*out, found[last:]]), "\0".join([*rest, found[last:]]))

        return change


def _deep(value: Any, change: Callable[[str], _Text], rest: list[str]) -> Any:
    if isinstance(value, str):
        made = change(value)
        rest.append(made.rest)
        return made.text
    if isinstance(value, Mapping):
        return {key: _deep(inner, change, rest) for key, inner in value.items()}
    if isinstance(value, list):
        return [_deep(inner, change, rest) for inner in value]
    return value


def equal(one: Request, other: Request) -> bool:
    """Whether two requests are the same, whatever the order of their keys."""
    return canonical(one.as_dict()) == canonical(other.as_dict())
