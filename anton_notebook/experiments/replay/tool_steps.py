"""Results of tools after a changed answer: recorded results with equal arguments, or functions of the caller.

A recorded result is used only if nothing else can have changed it: no dependent call outside of the tool's conversation may
precede its end, no agent works inside it, no writing tool was called with other arguments before. A function of the caller
bypasses the program's own guards, so it is refused where the recording shows such guards (an asked call without a span, or
with other arguments), where new arguments have a form that the program never accepted, and where a writing tool of the run
makes it unknown which state the function reads.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from anton_notebook.experiments.replay.dependencies import Dependencies
from anton_notebook.experiments.replay.node_state import CannotInfer, NodeStates, State
from anton_notebook.experiments.replay.recording import Node
from anton_notebook.experiments.replay.tool_kinds import may_wait, reads_only, runs_commands, schema_problem
from anton_notebook.model.request import canonical, tool_calls_in


@dataclass(frozen=True)
class ToolStep:
    """How a tool gets its result: from `recorded` (a call with equal arguments), or by a function if that is None."""

    arguments: Any
    recorded: Node | None
    reason: str


class ToolSteps:
    """Decides how tools of a recording get their results.

    Args:
        dependencies: Of the recording.
        functions: Names of the tools for which the caller gave a function.
    """

    def __init__(self, dependencies: Dependencies, functions: Collection[str]) -> None:
        self._dependencies, self._functions = dependencies, functions
        self._tools = [node for node in dependencies.nodes if node.kind == "tool"]
        self._by_call: dict[tuple[str, bytes], list[Node]] = {}
        for tool in self._tools:
            self._by_call.setdefault((tool.name, canonical(tool.arguments)), []).append(tool)
        self._guard = next(_guards(dependencies.nodes), None)

    def step(self, node: Node, states: NodeStates, dependent: set[int], free: set[int]) -> ToolStep:
        """Decide about one tool.

        Args:
            node: A tool that may depend on a change.
            states: States of all calls that were resolved.
            dependent: Places of the calls that may depend on a change, changed calls included.
            free: Places of the calls whose recorded results stand.

        Raises:
            CannotInfer: No structural step gives its result.
        """
        asker = node.asker
        if asker is None or node.asked < 0:
            raise CannotInfer("no recorded answer asked for it, so only the program knows its arguments")
        before = states.of(asker)
        if before.state is State.UNKNOWN:
            raise CannotInfer(f"{asker.title} asked for it: {before.reason}")
        new = before.response if before.state is State.CHANGED else asker.response
        if new is None or [c.get("name") for c in new.tool_calls] != [c.get("name") for c in asker.asked_calls]:
            raise CannotInfer(f"the new answer of {asker.title} asks for other tools")
        if canonical(asker.asked_calls[node.asked].get("arguments")) != canonical(node.arguments):
            raise CannotInfer("the program called it with other arguments than the recorded answer asked for")
        arguments = new.tool_calls[node.asked].get("arguments")
        self._check_surroundings(node, asker, states, dependent)
        if canonical(arguments) == canonical(node.arguments):
            return ToolStep(arguments, node, f"{asker.title} asks for it with equal arguments, so its result is kept")
        self._check_repetition(node, asker, arguments)
        other = self._same_call(node, arguments, free)
        if other is not None:
            return ToolStep(
                arguments, other, f"{other.title} was recorded with the arguments that {asker.title} asks for"
            )
        if node.name not in self._functions:
            raise CannotInfer(f"it would be called with other arguments, and tools= has no function {node.name!r}")
        self._check_function(node, asker, arguments)
        return ToolStep(arguments, None, f"the function in tools= was called as the new answer of {asker.title} asks")

    def _check_surroundings(self, node: Node, asker: Node, states: NodeStates, dependent: set[int]) -> None:
        if may_wait(node.name):
            raise CannotInfer("its result may depend on when it is called, or on other agents")
        if self._dependencies.inside(node):
            raise CannotInfer("other calls lie within it, and they may give another result")
        conversation = self._dependencies.structure.conversation(asker)
        others = (self._dependencies.nodes[place] for place in sorted(dependent - conversation))
        for other in others:
            if other is node or not self._dependencies.may_precede(other, node):
                continue
            if node.place not in self._dependencies.structure.ancestors(other):
                raise CannotInfer(f"{other.title} may have changed what it reads")
        for place in sorted(conversation):
            tool = self._dependencies.nodes[place]
            if tool.kind != "tool" or tool is node or reads_only(tool.name):
                continue
            if tool.place > node.place and tool.asker is asker and tool.asked > node.asked:
                continue
            state = states.get(place)
            if state is not None and (state.state is not State.SAME or state.result is not None):
                raise CannotInfer(f"{tool.title} writes, and was called with other arguments before it")

    def _check_repetition(self, node: Node, asker: Node, arguments: Any) -> None:
        """A program may answer a repeated call by itself."""
        key = (node.name, canonical(arguments))
        history = asker.request.messages if asker.request is not None else []
        asked = [call for message in history for call in tool_calls_in(message)]
        if key in {(call.get("name"), canonical(call.get("arguments"))) for call in asked}:
            raise CannotInfer("the new answer repeats a call of its conversation, which the program may answer itself")

    def _same_call(self, node: Node, arguments: Any, free: set[int]) -> Node | None:
        """A recorded call with equal arguments, if the run has no tool that may write and all such calls agree."""
        if not reads_only(node.name) or not all(reads_only(tool.name) for tool in self._tools):
            return None
        calls = [tool for tool in self._by_call.get((node.name, canonical(arguments)), []) if tool.place in free]
        calls = [tool for tool in calls if tool.answered]
        return calls[0] if calls and len({tool.result for tool in calls}) == 1 else None

    def _check_function(self, node: Node, asker: Node, arguments: Any) -> None:
        if not isinstance(arguments, Mapping):
            raise CannotInfer("its arguments are not an object")
        if self._guard is not None:
            raise CannotInfer(f"{self._guard}: the program checks calls of tools, and a function would bypass that")
        problem = schema_problem(node.name, arguments, asker.request.tools if asker.request is not None else None)
        if problem is not None:
            raise CannotInfer(f"{problem}: the program may refuse the call")
        for tool in self._tools:
            if tool is not node and not reads_only(tool.name):
                raise CannotInfer(f"{tool.title} may write, so the state that a function reads is unknown")
        form = next(self._new_forms(node, arguments), None)
        if form is not None:
            raise CannotInfer(f"{form}, which no recorded call has: the program may refuse it")

    def _new_forms(self, node: Node, arguments: Mapping[str, Any]) -> Iterator[str]:
        """Forms of arguments that programs often refuse, if no recorded call of the tool has them."""
        recorded = [tool.arguments for tool in self._tools if tool.name == node.name]
        known = [call for call in recorded if isinstance(call, Mapping)]
        if not any(set(arguments) == set(call) for call in known):
            yield "its arguments have other names"
        for key, value in arguments.items():
            values = [call.get(key) for call in known]
            if not any(type(value) is type(one) for one in values):
                yield f"the argument {key!r} has another type"
            if not isinstance(value, str):
                continue
            texts = [one for one in values if isinstance(one, str)]
            for form in sorted(_forms(value) - {form for text in texts for form in _forms(text)}):
                yield f"the argument {key!r} is {form}"
            folders = {text.partition("/")[0] for text in texts if "/" in text}
            if "/" in value and value.partition("/")[0] not in folders:
                yield f"the argument {key!r} is a path in another folder"
            if runs_commands(node.name) and value.split()[:1] not in [text.split()[:1] for text in texts]:
                yield f"the argument {key!r} is another command"


def _forms(text: str) -> set[str]:
    forms = {"an upward path"} if ".." in text else set()
    if text[:1] in ("/", "~", "\\", "-", ".", "$") or text[1:2] == ":":
        forms.add("an absolute or hidden path, or an option")
    if not text.strip():
        forms.add("empty")
    if any(sign in text for sign in ";|&`<>*$\n"):
        forms.add("a text with special signs")
    if "://" in text:
        forms.add("an address")
    return forms


def _guards(nodes: list[Node]) -> Iterator[str]:
    """Asked calls that the program did not run, or ran with other arguments."""
    for node in nodes:
        for index, call in enumerate(node.asked_calls if node.kind == "llm" else ()):
            tool = node.results.get(index)
            if tool is None:
                yield f"{node.title} asked for {call.get('name')!r}, which has no span"
            elif canonical(tool.arguments) != canonical(call.get("arguments")):
                yield f"{tool.title} was called with other arguments than {node.title} asked for"
