"""Inner: rules tested backwards: on runs that are recorded already, they must predict the prompts that were written there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from anton_notebook.errors import AntonNotebookError
from anton_notebook.experiments.replay.answer_diff import LEAST, difference, plain_difference
from anton_notebook.experiments.replay.dependencies import Order
from anton_notebook.experiments.replay.doubts import Doubts, Key
from anton_notebook.experiments.replay.node_state import CHANGED, SAME, Known, Settled, Unreached
from anton_notebook.experiments.replay.prompt_rebuild import Rules, equal
from anton_notebook.experiments.replay.recording import Node, Recording, strings
from anton_notebook.model.request import Request
from anton_notebook.model.span import LLM

MOST = 12
"""Other runs that are looked at, newest first."""
NEEDED = {"joined": 2, "counted": 5, "chosen": 3, "order": 2, "some": 2}
"""So many runs settle a doubt that one of them can pass by chance: that a prompt which waited for an answer and holds none of it
never changes (more where a number in it may be a count), that none of several answers was chosen. Of the others, one is enough."""

_Key = tuple[Any, ...]


@dataclass
class Tested:
    """How often the rules predicted the prompt, of how many tests; `failed` names the run where they did not."""

    confirmed: int = 0
    tests: int = 0
    failed: str | None = None
    told: Counter[Key] = field(default_factory=Counter)
    """How often a doubt was there and the rules were right nevertheless."""

    def left(self, doubts: Doubts) -> str | None:
        """A doubt that these tests have not settled."""
        for key, why in doubts.said.items():
            if self.told[key] < NEEDED.get(key[0], 1):
                return why
        return None

    def __str__(self) -> str:
        return f"confirmed {self.confirmed} of {self.tests}" if self.tests else "unconfirmed"


@dataclass
class _Other:
    """Another run, laid beside ours: what each of our calls answered there."""

    trace_id: str
    calls: dict[_Key, Node]
    known: Known
    inputs: list[tuple[str, str]]


class Backwards:
    """Tests the rules on other runs of the same program."""

    def __init__(self, recording: Recording, rules: Rules, traces: Iterable[Any]) -> None:
        self._recording, self._rules = recording, rules
        self._traces = list(traces)
        self._others: list[_Other] | None = None

    def test(self, node: Node, turns: int = 0) -> Tested:
        """Predicts this call in every other run. `turns`: confirmations of rule 1 within this run."""
        out = Tested(turns, turns)
        for other in self._laid():
            wanted = other.calls.get(_key(node))
            if not self._rules.unsettled(node, other.known):
                continue
            if node.previous is not None and _key(node.previous) not in other.calls:
                continue
            try:
                made = self._rules.rebuild(node, other.known)
            except Unreached:
                continue
            out.tests += 1
            if wanted is None or wanted.request is None:
                out.failed = f"in the run {other.trace_id[:8]} this call was not made"
                return out
            if not _alike(_with(made.request, other.inputs), wanted.request):
                out.failed = f"in the run {other.trace_id[:8]} the same rules predict another prompt than was written"
                return out
            out.confirmed += 1
            out.told.update(made.doubts.said.keys())
        return out

    def _laid(self) -> list[_Other]:
        if self._others is None:
            self._others = [laid for trace in self._traces[:MOST] if (laid := self._lay(trace)) is not None]
        return self._others

    def _lay(self, trace: Any) -> _Other | None:
        try:
            there = Recording(trace)
        except (AntonNotebookError, OSError):
            return None
        Order(there)
        calls = {_key(node): node for node in there.calls}
        ours = list(self._recording.calls)
        first, their = next(iter(ours), None), next(there.calls, None)
        if first is None or their is None or _key(first) != _key(their) or not first.request or not their.request:
            return None
        inputs = _inputs(list(strings([first.request.system, first.request.messages])),
                         list(strings([their.request.system, their.request.messages])))  # fmt: skip
        if inputs is None:
            return None
        known = Known(len(self._recording.nodes))
        for node in ours:
            found = calls.get(_key(node))
            if found is None or node.response is None or found.response is None:
                continue
            if not (node.answered and found.answered):
                continue
            changed = difference(node.response, found.response)
            known[node.place] = Settled(
                node, SAME if changed.same else CHANGED, found.request, found.response, None, changed
            )
            for at, tool in node.results.items():
                if at in found.results:
                    known[tool.place] = _result(tool, found.results[at])
        return _Other(trace.trace_id, calls, known, inputs)


def _result(tool: Node, there: Node) -> Settled:
    """What a tool gave in another run."""
    changed = plain_difference(tool.result, there.result)
    return Settled(tool, SAME if changed.same else CHANGED, None, None, there.result, changed)


def _key(node: Node) -> _Key:
    return (node.agent, node.conversation, node.turn) if node.kind == LLM else (node.agent, node.kind, node.place)


def _inputs(ours: Sequence[str], theirs: Sequence[str]) -> list[tuple[str, str]] | None:
    """What was given to the two programs from outside, by the lines in which their first requests differ."""
    if len(ours) != len(theirs):
        return None
    out: list[tuple[str, str]] = []
    for one, other in zip(ours, theirs, strict=True):
        rows, now = one.splitlines(), other.splitlines()
        if len(rows) != len(now):
            return None
        for line, later in zip(rows, now, strict=True):
            if line == later:
                continue
            pair = _core(line, later)
            if len(pair[0]) < LEAST or len(pair[1]) < LEAST:
                return None
            out.append(pair)
    return sorted(out, key=lambda pair: -len(pair[0]))


def _core(one: str, other: str) -> tuple[str, str]:
    """Two lines without the label that both begin with."""
    at = one.find(": ") + 2
    return (one[at:], other[at:]) if at > 1 and one[:at] == other[:at] else (one, other)


def _with(request: Request, inputs: Sequence[tuple[str, str]]) -> Request:
    if not inputs:
        return request
    return request.with_changes(messages=_put(request.messages, inputs), system=_put(request.system, inputs) or None)


def _put(value: Any, inputs: Sequence[tuple[str, str]]) -> Any:
    if isinstance(value, str):
        for old, new in inputs:
            value = value.replace(old, new)
        return value
    if isinstance(value, dict):
        return {key: _put(inner, inputs) for key, inner in value.items()}
    if isinstance(value, list):
        return [_put(inner, inputs) for inner in value]
    return value


def _alike(predicted: Request, written: Request) -> bool:
    """What a program writes; which model it asks with which parameters is no matter of values."""
    return equal(
        Request("", "", predicted.system, predicted.messages), Request("", "", written.system, written.messages)
    )
