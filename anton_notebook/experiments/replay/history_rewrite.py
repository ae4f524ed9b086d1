"""The next turn of a conversation with new answers and results in place of the recorded ones.

Invariants: only messages that repeat the recorded texts word for word are rewritten, in the same JSON style. What was never
seen in this run's histories is not assumed: longer texts (the program may cut them), new kinds of white space (it may strip
them), more tokens than any continued turn had (it may compact the history), shorter answers (it may ask another model).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from anton_notebook.experiments.replay.answer_diff import shape_problem, total_tokens
from anton_notebook.experiments.replay.node_state import CannotInfer, NodeState, NodeStates, State
from anton_notebook.experiments.replay.recording import Node
from anton_notebook.experiments.replay.structure import Structure, result_text, tool_results
from anton_notebook.model.request import Message, Request, Response, canonical, tool_calls_in

_TURNS_WITH_TEXT = 5
_WHITE_SPACE = ("\n", "\r", "\t", "\x1b", "  ")
_JSON_STYLES: tuple[dict[str, Any], ...] = (
    {}, {"ensure_ascii": False}, {"separators": (",", ":")}, {"separators": (",", ":"), "ensure_ascii": False}, {"sort_keys": True}
)  # fmt: skip


@dataclass
class _Repeated:
    """The texts that the histories of one agent repeat whole."""

    sizes: list[int] = field(default_factory=list)
    white_space: set[str] = field(default_factory=set)

    def add(self, text: str) -> None:
        self.sizes.append(len(text))
        self.white_space.update(sign for sign in _WHITE_SPACE if sign in text)

    def check_answer(self, text: str, what: str) -> None:
        """Raise `CannotInfer` for an answer unlike the repeated ones: a program may look at its text."""
        if len(text) < min(self.sizes, default=0):
            raise CannotInfer(f"{what} is shorter than any that a history of this agent repeats")
        if text and sum(size > 0 for size in self.sizes) < _TURNS_WITH_TEXT:
            raise CannotInfer(f"{what} has a text, and the run shows too few turns with one")
        self.check(text, what)

    def check(self, text: str, what: str) -> None:
        """Raise `CannotInfer` for a text unlike the repeated ones."""
        if len(text) > max(self.sizes, default=0):
            raise CannotInfer(f"{what} is longer than any that a history of this agent repeats whole")
        if not text and 0 not in self.sizes:
            raise CannotInfer(f"{what} is empty, and no history of this agent repeats such a one")
        if text != text.strip() or any(sign in text and sign not in self.white_space for sign in _WHITE_SPACE):
            raise CannotInfer(f"{what} has white space that no history of this agent repeats")


class HistoryRewriter:
    """Builds the requests of next turns. The evidence is collected from all next turns of the recording."""

    def __init__(self, structure: Structure) -> None:
        self._structure = structure
        self._answers: dict[str | None, _Repeated] = {}
        self._results: dict[str | None, _Repeated] = {}
        self._tokens: dict[str | None, int] = {}
        for node in structure.nodes:
            if node.request is not None and node.previous is not None and structure.next_turn_problem(node) is None:
                self._collect(node, node.previous)

    def _collect(self, node: Node, previous: Node) -> None:
        assert node.request is not None
        assert previous.request is not None
        assert previous.response is not None
        self._answers.setdefault(node.agent, _Repeated()).add(previous.response.text)
        tokens = total_tokens(previous.response.usage)
        if tokens is not None:
            self._tokens[node.agent] = max(tokens, self._tokens.get(node.agent, 0))
        results = self._results.setdefault(node.agent, _Repeated())
        for at, one in enumerate(_results_in(node.request.messages[len(previous.request.messages) + 1 :])):
            tool = previous.results.get(at)
            if tool is not None and tool.result == one:
                results.add(one)

    def next_turn(self, node: Node, states: NodeStates) -> Request:
        """Return the request of a next turn. Raises `CannotInfer` if anything but the structure would have to be known."""
        previous, request = node.previous, node.request
        assert previous is not None
        assert previous.request is not None
        assert previous.response is not None
        assert request is not None
        before = states.of(previous)
        base = before.base or previous.request
        new = before.response if before.state is State.CHANGED and before.response is not None else previous.response
        at = len(previous.request.messages)
        answer: Message = request.messages[at]
        if before.state is State.CHANGED:
            self._check_answer(node, previous, before, new)
            _check_refused(previous, new)
            answer = _rewrite_answer(answer, previous.response, new)
        tools = {index: states.of(tool) for index, tool in previous.results.items()}
        for tool in tools.values():
            if tool.state is State.CHANGED and tool.result is not None:
                self._results.get(node.agent, _Repeated()).check(tool.result, f"the new result of {tool.node.title}")
        ids = {
            old.get("id"): (index, call.get("id") or old.get("id"))
            for index, (old, call) in enumerate(zip(previous.response.tool_calls, new.tool_calls, strict=True))
        }
        results = [_rewrite_results(message, ids, tools) for message in request.messages[at + 1 :]]
        return replace(request, messages=[*base.messages, answer, *results], system=base.system, tools=base.tools)

    def _check_answer(self, node: Node, previous: Node, before: NodeState, new: Response) -> None:
        assert previous.response is not None
        problem = shape_problem(previous.response, new)
        if problem is not None:
            raise CannotInfer(f"it follows {previous.title}: {problem}")
        if new.text != previous.response.text:
            self._answers.get(node.agent, _Repeated()).check_answer(new.text, f"the new answer of {previous.title}")
        tokens, most = total_tokens(new.usage), self._tokens.get(node.agent)
        if tokens is not None and most is not None and tokens > most + _growth(before):
            raise CannotInfer(
                f"the new answer of {previous.title} used {tokens:,} tokens, more than any turn that this agent continued: "
                "the program may compact the history"
            )


def _check_refused(previous: Node, new: Response) -> None:
    """A call without a span was answered by the program; it may answer other arguments in another way."""
    for index, (old, call) in enumerate(zip(previous.asked_calls, new.tool_calls, strict=True)):
        if index not in previous.results and canonical(old.get("arguments")) != canonical(call.get("arguments")):
            raise CannotInfer(
                f"the program answered a call of {previous.title} itself, and the arguments are others now"
            )


def _growth(state: NodeState) -> float:
    """Tokens by which a changed request can be longer than the recorded one, at four characters per token."""
    if state.node.request is None or state.sent is None:
        return 0.0
    sizes = [len(json.dumps(one.messages, default=str)) for one in (state.sent, state.node.request)]
    return max(0, sizes[0] - sizes[1]) / 4


def _results_in(messages: Iterable[Message]) -> list[str]:
    return [one.text for message in messages for one in tool_results(message) or ()]


def _rewrite_answer(message: Message, old: Response, new: Response) -> Message:
    """The assistant's message with the new text and tool calls, in the style of the recorded one."""
    content = message.get("content")
    if isinstance(content, list) and not all(
        isinstance(block, Mapping) and block.get("type") in ("text", "tool_use") for block in content
    ):
        raise CannotInfer("the recorded answer has parts (such as thinking) that the new one lacks")
    if {key for key, value in message.items() if value} - {"role", "content", "tool_calls", "type", "name"}:
        raise CannotInfer("the recorded answer has fields that the new one lacks")
    if not old.text.strip() and new.text.strip():
        raise CannotInfer("the recorded answer had no text, so its place in the history is unknown")
    calls = {
        one.get("id"): (one.get("arguments"), two.get("id") or one.get("id"), two.get("arguments"))
        for one, two in zip(old.tool_calls, new.tool_calls, strict=True)
    }
    if len(calls) != len(old.tool_calls) or len(tool_calls_in(message)) != len(calls):
        raise CannotInfer("the tool calls of the recorded answer have no ids of their own")
    texts = {old.text: new.text, old.text.strip(): new.text.strip()} if old.text.strip() else {}
    rewritten = _rewrite(message, texts, calls, None)
    return dict(rewritten)


def _rewrite(value: Any, texts: Mapping[str, str], calls: Mapping[Any, tuple[Any, Any, Any]], key: Any) -> Any:
    if isinstance(value, Mapping):
        inner = {k: v if k in ("arguments", "input") else _rewrite(v, texts, calls, k) for k, v in value.items()}
        if value.get("id") in calls and value.get("id") is not None:
            return _rewrite_call(inner, *calls[value["id"]])
        return inner
    if isinstance(value, list):
        return [_rewrite(inner, texts, calls, key) for inner in value]
    return texts.get(value, value) if isinstance(value, str) and key in ("content", "text") else value


def _rewrite_call(call: dict[str, Any], before: Any, call_id: Any, after: Any) -> dict[str, Any]:
    """A tool call of a message with the new arguments, written as the recorded ones were."""
    call["id"] = call_id
    function = call.get("function")
    holder = dict(function) if isinstance(function, Mapping) else call
    for key in ("arguments", "input"):
        if key not in holder:
            continue
        written = holder[key]
        if not isinstance(written, str):
            holder[key] = after
        elif before != after:
            spellings = {_dumped(after, s) for s in _JSON_STYLES if _dumped(before, s) == written}
            if len(spellings) != 1:
                raise CannotInfer("the program may write the new arguments of a tool call in another style")
            holder[key] = spellings.pop()
    if isinstance(function, Mapping):
        call["function"] = holder
    return call


def _dumped(value: Any, style: Mapping[str, Any]) -> str:
    return value if isinstance(value, str) else json.dumps(value, **style)


def _rewrite_results(message: Message, ids: Mapping[Any, tuple[int, Any]], tools: Mapping[int, NodeState]) -> Message:
    """A message of tool results with new ids and results."""
    content = message.get("content")
    if message.get("role") == "tool":
        index, call_id = ids[message["tool_call_id"]]
        return {**message, "tool_call_id": call_id, "content": _new_content(content, tools.get(index))}
    blocks = []
    for block in content if isinstance(content, list) else ():
        index, call_id = ids[block["tool_use_id"]]
        inner = _new_content(block.get("content"), tools.get(index))
        blocks.append({**block, "tool_use_id": call_id, "content": inner})
    return {**message, "content": blocks}


def _new_content(content: Any, tool: NodeState | None) -> Any:
    if tool is None or tool.state is State.SAME:
        return content
    if tool.state is State.UNKNOWN:
        raise CannotInfer(f"it needs the result of {tool.node.title}: {tool.reason}")
    if result_text(content) != tool.node.result or tool.result is None:
        raise CannotInfer(f"its history repeats the result of {tool.node.title} in other words")
    if isinstance(content, str):
        return tool.result
    if not isinstance(content, list) or len(content) != 1 or set(content[0]) != {"type", "text"}:
        raise CannotInfer(f"its history repeats the result of {tool.node.title} in several parts")
    return [{"type": "text", "text": tool.result}]
