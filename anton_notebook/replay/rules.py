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

from anton_notebook.replay import guards
from anton_notebook.replay.dependence import Order, holds_answer, silent
from anton_notebook.replay.recorded import Node, strings
from anton_notebook.replay.retell import result, retold, told_by_proxy
from anton_notebook.replay.settled import CHANGED, SAME, UNKNOWN, Known, Rebuilt, Settled, Unreached
from anton_notebook.replay.values import LEAST, bounded, whole_values
from anton_notebook.request import Request, canonical
from anton_notebook.span import LLM, TOOL


@dataclass
class _Text:
    """A text after substitution, and what of it was there before and was not replaced."""

    text: str
    rest: str


class Rules:
    """Rebuilds requests of one recording."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.nodes = order.nodes
        self._fixed_by: dict[int, str] = {}

    def unsettled(self, node: Node, known: Known) -> list[Settled]:
        """What changed, or is unknown, and may have reached the node."""
        return [one for one in known.values() if one.state != SAME and self.order.may_rest(node, one.node)]

    def rebuild(self, node: Node, known: Known) -> Rebuilt:
        """The request of a call to a model after what is known. Raises `Unreached`."""
        if node.request is None:
            raise Unreached("its recorded request cannot be read")
        due = self.unsettled(node, known)
        made = Rebuilt(node.request)
        first, messages = self._history(node, known, made)
        news = node.request.messages[first:]
        text = "\n".join(strings(news)) if node.previous is not None else node.asks
        self._guard(node, due, text)
        if any(one.state == CHANGED and one.node is node.previous for one in due):
            self._stop(guards.looped(node, self.order, text))
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
                self._stop(guards.piece_left(left, one.node, one.changed, one.said, self._fixed(one.node)))
        return made

    def arguments(self, node: Node, known: Known) -> Any:
        """The arguments of a tool that no recorded answer asked for: its program's own call. Raises `Unreached`."""
        due = self.unsettled(node, known)
        made = Rebuilt(Request("", ""))
        self._guard(node, due, node.asks)
        rest: list[str] = []
        out = _deep(node.arguments, self._substitution(node, due, made, node.asks), rest)
        for one in due:
            if one.state == CHANGED:
                self._stop(guards.piece_left("\n".join(rest), one.node, one.changed, one.said, self._fixed(one.node)))
        return out

    # -- inner

    def _guard(self, node: Node, due: list[Settled], text: str) -> None:
        for one in due:
            follows = node.previous is one.node
            why = (
                one.why if one.state == UNKNOWN else one.changed.trouble or ("" if follows else one.changed.calls or "")
            )
            if why and not (self._linked(node, one.node) and one.state == CHANGED):
                self._stop(guards.rests_on_unknown(node, one.node, why, self.order, text, self._fixed(one.node)))
        others = [one.node for one in due]
        self._stop(guards.retried(node, self.order, others))
        self._stop(guards.joins(node, self.order, [n for n in others if n is not node.previous], text))

    def _stop(self, why: str | None) -> None:
        if why is not None:
            raise Unreached(why)

    def _fixed(self, source: Node) -> str:
        """All that was asked before, or beside, an answer: pieces of it that stand there came from elsewhere."""
        found = self._fixed_by.get(source.place)
        if found is None:
            texts = [n.asks for n in self.nodes if n is source or not self.order.may_rest(n, source)]
            found = self._fixed_by[source.place] = "\n".join(texts)
        return found

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
        for other in self.nodes:
            if other.previous is not None and other.agent == node.agent and not holds_answer(other):
                return f"{other.title} tells the answer before it in other words, so this one may do so too"
        return None

    def own_turns(self, node: Node) -> int:
        """How many other turns of the run confirm rule 1."""
        return sum(1 for o in self.nodes if o is not node and o.previous is not None and holds_answer(o))

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
        clean = [n for n in self.nodes[: node.place] if n.place not in places and n.answer]
        for old, place in changed.items():
            self._stop(guards.candidates_disagree(old, pairs[old]))
            self._stop(guards.stands_elsewhere(old, self.nodes[place], self.order))
        self._stop(guards.other_source(changed, clean))
        keep = [
            value
            for other in clean
            if any(old in other.answer for old in changed)
            for value in whole_values(other.answer)
            if value in text and any(old in value for old in changed)
        ]
        ordered = sorted({*pairs, *keep}, key=lambda value: (-len(value), value))

        def change(found: str) -> _Text:
            spans: list[tuple[int, int, str]] = []
            for old in ordered:
                at = found.find(old)
                while at >= 0:
                    end = at + len(old)
                    if bounded(found, at, end) and all(end <= s or e <= at for s, e, _ in spans):
                        new = next(iter(pairs[old])) if old in pairs else old
                        if new != old:
                            self._stop(guards.quoted(found, at, end, old, new))
                            place = pairs[old][new]
                            made.used[place] = max(0, made.used.get(place, 0)) + 1
                        spans.append((at, end, new))
                    at = found.find(old, at + 1)
            out, rest, last = [], [], 0
            for start, end, new in sorted(spans):
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
