"""Inner: what can rest on what in a recorded run: by times, by conversations, by the tree.

Only causes come before their effects, so a call that started before an answer was there cannot rest on it. That alone makes
`reused` sound; everything else here only says what is *likely* to rest on what, and is used for `inferred`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anton_notebook.experiments.replay.recording import Node, Recording, as_text
from anton_notebook.model.request import text_of, tool_calls_in
from anton_notebook.model.span import LLM, TOOL

SLACK_US = 50_000
"""Recorded times are no better than this: a turn may start before the stored end of the turn before it."""
PROXY_CALL, PROXY_RESULT = "Calling tool: ", "Tool result from "


class Order:
    """Who may rest on whom."""

    def __init__(self, recording: Recording) -> None:
        self.nodes = recording.nodes
        link(self.nodes)
        overlap = [
            node.previous.end - node.start
            for node in self.nodes
            if node.previous is not None and node.previous.end is not None and node.start is not None
        ]
        self.slack = max([SLACK_US, *(2 * late for late in overlap)])
        self._above: list[frozenset[int]] = []
        for node in self.nodes:
            over: set[int] = set()
            at = node.parent
            while at >= 0 and at not in over:
                over.add(at)
                at = self.nodes[at].parent
            self._above.append(frozenset(over))
        self._below: dict[int, list[int]] = {}
        for place, chain in enumerate(self._above):
            for above in chain:
                self._below.setdefault(above, []).append(place)
        self._last: dict[tuple[int, str | None], Node | None] = {}
        self._calls: dict[str | None, list[Node]] = {}
        for node in self.nodes:
            if node.kind == LLM:
                self._calls.setdefault(node.agent, []).append(node)
        self._followers: dict[int, list[Node]] = {}
        for node in self.nodes:
            for other in (node.previous, node.asker):
                if other is not None:
                    self._followers.setdefault(other.place, []).append(node)
        starts, ends = [node.start for node in self.nodes], [node.end for node in self.nodes]
        self._start, self._no_start = _times(starts)
        self._end, self._no_end = _times(ends)

    def inside(self, node: Node, other: Node) -> bool:
        """Whether it lies below the other in the tree."""
        return other.place in self._above[node.place]

    def may_rest(self, node: Node, other: Node) -> bool:
        """Whether the other's answer can have been known when the node started: False is a proof, True is none."""
        if node is other or self.inside(other, node):
            return False
        if self.inside(node, other) or node.previous is other or node.asker is other:
            return True
        if node.start is None or other.end is None:
            return other.start is None or node.start is None or other.start <= node.start
        if node.start >= other.end:
            return True
        return node.start >= other.end - self.slack and (other.start is None or other.start < node.start)

    def last_before(self, node: Node, agent: str | None) -> Node | None:
        """The last call of an agent, before this one, that it may rest on."""
        if (node.place, agent) not in self._last:
            calls = self._calls.get(agent, [])
            before = reversed(calls[: bisect_left(calls, node.place, key=lambda one: one.place)])
            found = next((one for one in before if self.may_rest(node, one)), None)
            self._last[node.place, agent] = found
        return self._last[node.place, agent]

    def rests_on(self, node: Node) -> NDArray[np.bool_]:
        """`may_rest(node, other)` for every other node, by place."""
        if node.start is None:
            out = np.ones(len(self.nodes), bool)
        else:
            begun = self._no_start | (self._start <= node.start)
            late = (self._end - self.slack <= node.start) & (self._no_start | (self._start < node.start))
            out = np.where(self._no_end, begun, (self._end <= node.start) | late)
        for other in (node.previous, node.asker):
            if other is not None:
                out[other.place] = True
        out[list(self._above[node.place])] = True
        out[[node.place, *self._below.get(node.place, ())]] = False
        return out

    def rested_on_by(self, other: Node) -> NDArray[np.bool_]:
        """`may_rest(node, other)` for every node, by place."""
        if other.end is None:
            out = self._no_start | (other.start is None) | (self._start >= (other.start or 0))
        else:
            near = (self._start >= other.end - self.slack) & (other.start is None or self._start > other.start)
            out = self._no_start | (self._start >= other.end) | near
        out[[node.place for node in self._followers.get(other.place, ())]] = True
        out[self._below.get(other.place, [])] = True
        out[[other.place, *self._above[other.place]]] = False
        return out


def _times(values: Sequence[int | None]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    missing = np.array([value is None for value in values], bool)
    return np.array([value or 0 for value in values], np.int64), missing


def link(nodes: Sequence[Node]) -> None:
    """Finds the conversations among the calls, and for each tool the answer that asked for it."""
    calls: dict[str | None, list[Node]] = {}
    begun: dict[str | None, int] = {}
    for node in nodes:
        if node.kind != LLM:
            continue
        earlier = calls.setdefault(node.agent, [])
        node.previous = _previous(node, earlier)
        if node.previous is None:
            node.conversation = begun.get(node.agent, 0)
            begun[node.agent] = node.conversation + 1
        else:
            node.turn, node.conversation = node.previous.turn + 1, node.previous.conversation
        earlier.append(node)
    for node in nodes:
        if node.kind == TOOL:
            _ask(node, nodes, calls.get(node.agent, []))


def _previous(node: Node, earlier: Sequence[Node]) -> Node | None:
    """The call whose messages, and one of an assistant after them, this call's messages begin with."""
    if node.request is None:
        return None
    messages = node.request.messages
    best: Node | None = None
    for other in reversed(earlier):
        if other.request is None or not other.answered:
            continue
        size = len(other.request.messages)
        if (
            size < len(messages)
            and (best is None or best.request is None or size > len(best.request.messages))
            and messages[size].get("role") == "assistant"
            and messages[:size] == other.request.messages
        ):
            best = other
    return best


def _ask(node: Node, nodes: Sequence[Node], calls: Sequence[Node]) -> None:
    above = nodes[node.parent] if node.parent >= 0 else None
    asker = above if above is not None and above.kind == LLM else None
    if asker is None:
        asker = next(
            (c for c in reversed(calls) if c.end is not None and node.start is not None and c.end <= node.start), None
        )
        if asker is not None and not any(call.get("name") == node.name for call in asked_by(asker)):
            asker = None
    if asker is None:
        return
    node.asker = asker
    listed = asked_by(asker)
    if silent(asker):
        node.asked = len(asker.results)
        asker.results[node.asked] = node
        return
    free = [i for i, call in enumerate(listed) if i not in asker.results and call.get("name") == node.name]
    exact = [i for i in free if node.arguments is not None and listed[i].get("arguments") == node.arguments]
    if exact or free:
        node.asked = (exact or free)[0]
        asker.results[node.asked] = node


def asked_by(node: Node) -> list[Mapping[str, Any]]:
    """The tool calls that a recorded answer holds."""
    return list(node.response.tool_calls) if node.response is not None else []


def silent(node: Node) -> bool:
    """Whether the recording lacks what an answer asked for: the proxy stores such answers as null."""
    return (
        node.response is not None
        and not node.response.text
        and not node.response.tool_calls
        and node.span.finish_reason in ("tool_calls", "tool_use")
    )


def holds_answer(node: Node) -> bool:
    """Whether a turn's history repeats the earlier turn's answer word for word: what rule 1 rests on."""
    if node.told_right is None:
        node.told_right = _holds_answer(node)
    return node.told_right


def _holds_answer(node: Node) -> bool:
    previous = node.previous
    if previous is None or previous.request is None or previous.response is None or node.request is None:
        return False
    message = node.request.messages[len(previous.request.messages)]
    said, calls = text_of(message.get("content")), tool_calls_in(message)
    if silent(previous):
        return said.startswith(PROXY_CALL) or bool(calls)
    if [c.get("arguments") for c in calls] != [c.get("arguments") for c in previous.response.tool_calls]:
        return False
    if [c.get("name") for c in calls] != [c.get("name") for c in previous.response.tool_calls]:
        return False
    return said.strip() == previous.response.text.strip()


def result_text(content: Any) -> str:
    """The text of a tool's result in a message."""
    return content if isinstance(content, str) else text_of(content) or as_text(content)
