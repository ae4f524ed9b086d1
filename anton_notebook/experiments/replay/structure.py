"""Conversations and tool calls of a recorded run: which call continues which, and which answer asked for which tool.

A call continues another one if its messages begin with the other's messages and an assistant's message. Only a *next turn*
is structural: it adds the recorded answer and the results of the tools that the answer asked for, and nothing else. A
program decides everything else (user messages, other tools, other parameters), so nothing is concluded from it.
Cost: calls are looked up by the ends of their messages; only conversations that begin alike are compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from anton_notebook.experiments.replay.recording import Node, as_text
from anton_notebook.model.request import Message, Request, canonical, text_of, tool_calls_in
from anton_notebook.model.span import LLM, TOOL


@dataclass(frozen=True)
class ToolResult:
    """One tool result in a message: the id of its call and the text that the model saw."""

    call_id: Any
    text: str


class Structure:
    """Sets `previous`, `turn`, `asker`, `asked` and `results` of the nodes, and answers questions about them.

    Args:
        nodes: The nodes of a recording.
        ordered: Whether recorded times are trustworthy; without them only parents say who asked for a tool.
    """

    def __init__(self, nodes: Sequence[Node], *, ordered: bool) -> None:
        self.nodes = nodes
        self._problems: dict[int, str | None] = {}
        calls: dict[str | None, list[Node]] = {}
        for node in nodes:
            if node.kind == LLM:
                calls.setdefault(node.agent, []).append(node)
        for group in calls.values():
            _link_conversations(group)
        for node in nodes:
            if node.kind == TOOL:
                _link_asker(node, nodes, calls.get(node.agent, []) if ordered else [])

    def next_turn_problem(self, node: Node) -> str | None:
        """Return why a call is not the next turn of its conversation, or None if it is."""
        if node.place not in self._problems:
            self._problems[node.place] = _next_turn_problem(node)
        return self._problems[node.place]

    def ancestors(self, node: Node) -> set[int]:
        """Return the places of the calls that are certainly earlier: earlier turns, their tools, the askers above."""
        places: set[int] = set()
        stack = [node]
        while stack:
            one = stack.pop()
            above = self.nodes[one.parent] if one.parent >= 0 else None
            causes = [one.previous, one.asker, above.asker if above is not None and above.kind == TOOL else None]
            if one.ambiguous:
                causes[0] = None
            elif one.previous is not None:
                causes += one.previous.results.values()
            for cause in causes:
                if cause is not None and cause.place not in places and cause is not node:
                    places.add(cause.place)
                    stack.append(cause)
        return places

    def conversation(self, node: Node) -> set[int]:
        """Return the places of a model call, of the earlier turns of its conversation and of their tools."""
        places: set[int] = set()
        at: Node | None = node
        while at is not None and at.place not in places:
            places.add(at.place)
            places.update(tool.place for tool in at.results.values())
            at = at.previous
        return places


def _link_conversations(calls: list[Node]) -> None:
    by_ends: dict[tuple[int, bytes, bytes], list[Node]] = {}
    for call in calls:
        if call.request is not None and call.request.messages and call.answered:
            by_ends.setdefault(_ends(call.request.messages), []).append(call)
    sizes = sorted({size for size, _, _ in by_ends}, reverse=True)
    for node in calls:
        if node.request is None:
            continue
        messages = node.request.messages
        for size in sizes:
            if size >= len(messages) or messages[size].get("role") != "assistant":
                continue
            prefix = messages[:size]
            candidates = [
                one for one in by_ends.get(_ends(prefix), ()) if one.request and one.request.messages == prefix
            ]
            if candidates:
                repeated = [one for one in candidates if _repeats_answer(messages[size], one)]
                node.previous, node.ambiguous = _likeliest(node, repeated or candidates)
                break
    for node in sorted(calls, key=lambda call: len(call.request.messages) if call.request is not None else 0):
        node.turn = node.previous.turn + 1 if node.previous is not None else 0


def _ends(messages: Sequence[Message]) -> tuple[int, bytes, bytes]:
    """Number, first and last of some messages: calls with equal ones are few, so that few lists are compared."""
    return len(messages), canonical(messages[0]), canonical(messages[-1])


def _likeliest(node: Node, candidates: list[Node]) -> tuple[Node, bool]:
    """Of equal conversations, the one in the same part of the tree that ended last before the call; and whether it is unsure."""
    beside = [one for one in candidates if one.parent == node.parent] or candidates
    before = [
        one for one in beside if one.end is not None and node.start is not None and one.end <= node.start
    ] or beside
    return max(before, key=lambda one: (one.end or 0, one.place)), len(before) > 1


def _link_asker(node: Node, nodes: Sequence[Node], calls: Sequence[Node]) -> None:
    above = nodes[node.parent] if node.parent >= 0 else None
    asker = above if above is not None and above.kind == LLM else None
    if asker is None:
        before = (c for c in reversed(calls) if c.end is not None and node.start is not None and c.end <= node.start)
        asker = next(before, None)
        if asker is not None and not any(call.get("name") == node.name for call in asker.asked_calls):
            asker = None
    if asker is None:
        return
    node.asker = asker
    free = [
        i
        for i, call in enumerate(asker.asked_calls)
        if i not in asker.results and call.get("name") == node.name
    ]  # fmt: skip
    exact = [i for i in free if node.arguments is not None and asker.asked_calls[i].get("arguments") == node.arguments]
    if exact or free:
        node.asked = (exact or free)[0]
        asker.results[node.asked] = node


def _repeats_answer(message: Message, call: Node) -> bool:
    """Whether an assistant's message repeats a recorded answer word for word, with the same tool calls."""
    if call.response is None or call.silent:
        return False
    calls = tool_calls_in(message)
    if [_call_key(one) for one in calls] != [_call_key(one) for one in call.response.tool_calls]:
        return False
    return text_of(message.get("content")).strip() == call.response.text.strip()


def _call_key(call: Mapping[str, Any]) -> tuple[Any, Any, bytes]:
    return call.get("id"), call.get("name"), canonical(call.get("arguments"))


def _next_turn_problem(node: Node) -> str | None:
    previous = node.previous
    if previous is None or previous.request is None or node.request is None:
        return "it begins a conversation, and only the program knows how it builds the prompt"
    if node.ambiguous:
        return "several calls asked the same, and it may continue each of them"
    tail = node.request.messages[len(previous.request.messages) :]
    if not _repeats_answer(tail[0], previous):
        return f"its history does not repeat the answer of {previous.title} word for word"
    if not previous.asked_calls:
        return f"the program wrote a new message after {previous.title}"
    results: list[ToolResult] = []
    for message in tail[1:]:
        found = tool_results(message)
        if found is None:
            return f"it holds a message that the program wrote after {previous.title}"
        results += found
    if [one.call_id for one in results] != [call.get("id") for call in previous.asked_calls]:
        return f"its history does not hold one result for each tool that {previous.title} asked for"
    return _changed_settings(node.request, previous.request)


def _changed_settings(request: Request, before: Request) -> str | None:
    for name in ("system", "tools", "parameters", "model", "provider"):
        if getattr(request, name) != getattr(before, name):
            return f"the program changed its {name} between the turns"
    return None


def tool_results(message: Mapping[str, Any]) -> list[ToolResult] | None:
    """Return the tool results that a message consists of; None if it holds anything else."""
    content = message.get("content")
    if message.get("role") == "tool" and message.get("tool_call_id") is not None:
        return [ToolResult(message["tool_call_id"], result_text(content))]
    if not isinstance(content, list) or not content:
        return None
    results = []
    for block in content:
        if not isinstance(block, Mapping) or block.get("type") != "tool_result":
            return None
        results.append(ToolResult(block.get("tool_use_id"), result_text(block.get("content"))))
    return results


def result_text(content: Any) -> str:
    """Return the text of a tool result in a message."""
    return content if isinstance(content, str) else text_of(content) or as_text(content)
