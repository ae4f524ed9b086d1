"""The replay engine: goes through a recorded run and resolves every call as reused, executed, inferred or stale.

Idea: calls that `Dependencies` proves independent of all changed calls are `reused` at once. A changed call is sent
(`executed`). A dependent call waits for the changed calls, and for what it structurally follows: its previous turn, that
turn's tools, the answer that asked for it. If all of them answered as recorded it is `reused`; if it is the next turn of its
conversation, or a tool with a known result, it is `inferred`; otherwise it is `stale` and not sent.
Invariants: tools are never `executed`; a stale call makes everything that follows from it stale. Independent calls run
concurrently. Cost: O(changed calls x nodes) plus the answers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from anton_notebook.experiments.replay.answer_diff import same_answer
from anton_notebook.experiments.replay.dependencies import Dependencies
from anton_notebook.experiments.replay.history_rewrite import HistoryRewriter
from anton_notebook.experiments.replay.node_state import CannotInfer, NodeState, NodeStates, State
from anton_notebook.experiments.replay.recording import Node, Recording, as_text
from anton_notebook.experiments.replay.tool_steps import ToolSteps
from anton_notebook.model.request import Request, Response, canonical
from anton_notebook.model.span import LLM, TOOL

REUSED, EXECUTED, INFERRED, STALE = "reused", "executed", "inferred", "stale"
BEFORE = "it is independent of every changed call"
UNCHANGED = "no call was changed"
SAME_ANSWERS = "every changed call before it answered as recorded"
VOUCHED = "the caller declared it independent"
NEXT_TURN = "it is the next turn of its conversation, with the new answer and results"
AS_RECORDED = "it is the next turn of its conversation, and everything in it is as recorded"


@dataclass
class CallOutcome:
    """What an executor brought back: an answer or a result, or an error. `extra` belongs to the executor."""

    response: Response | None = None
    result: Any = None
    error: str | None = None
    extra: Any = None


class Executor(Protocol):
    """Sends requests and calls functions for the engine."""

    async def ask(self, node: Node, request: Request) -> CallOutcome:
        """Send a request."""

    async def call(self, node: Node, arguments: Mapping[str, Any]) -> CallOutcome:
        """Call the caller's function for a tool."""


@dataclass
class NodeResult:
    """How one call was resolved.

    Attributes:
        request: The request of a model call, as sent or as it would be sent.
        arguments: New arguments of a tool; None if as recorded.
        result: Result of another recorded call with equal arguments; None if its own.
        sent: Whether the executor was asked; `outcome` is its answer.
    """

    node: Node
    provenance: str
    reason: str
    request: Request | None = None
    arguments: Any = None
    result: str | None = None
    sent: bool = False
    outcome: CallOutcome | None = None


@dataclass
class ReplayOptions:
    """What the caller wants: new prompts by span id, a call to execute unchanged, functions, declared independence."""

    prompts: Mapping[str, str] = field(default_factory=dict)
    fresh: str | None = None
    tools: Collection[str] = ()
    independent: Collection[str] = ()
    model: str | None = None
    provider: str | None = None


class ReplayEngine:
    """Resolves the calls of a recording. Results are in `results` by place, also after a cancelled `run`.

    `dependent` has the places of the changed calls and of all that may depend on them.
    """

    def __init__(
        self,
        recording: Recording,
        dependencies: Dependencies,
        options: ReplayOptions,
        executor: Executor,
        on_result: Callable[[NodeResult], None] | None = None,
    ) -> None:
        self.recording, self.dependencies, self.options = recording, dependencies, options
        self.states = NodeStates()
        self.results: dict[int, NodeResult] = {}
        self._executor, self._on_result = executor, on_result
        self._rewriter = HistoryRewriter(dependencies.structure)
        self._tool_steps = ToolSteps(dependencies, options.tools)
        roots = [node for node in recording.nodes if self._is_root(node)]
        self._dependent = {root.place: dependencies.dependent(root) for root in roots}
        self.dependent = set(self._dependent).union(*self._dependent.values())
        self._free = {node.place for node in recording.nodes} - self.dependent

    async def run(self) -> None:
        """Resolve all calls."""
        pending: dict[int, set[int]] = {}
        for node in self.recording.nodes:
            if self._is_root(node):
                pending[node.place] = set()
            elif node.place in self._free:
                self._report(NodeResult(node, REUSED, BEFORE if self._dependent else UNCHANGED))
            elif node.span_id in self.options.independent or node.agent in self.options.independent:
                self._report(NodeResult(node, REUSED, VOUCHED))
            else:
                pending[node.place] = set()
        for place in pending:
            pending[place] = self.causes(self.recording.nodes[place]) & set(pending)
        waiting = {place: len(causes) for place, causes in pending.items()}
        effects: dict[int, list[int]] = {}
        for place, causes in pending.items():
            for cause in causes:
                effects.setdefault(cause, []).append(place)
        ready = [place for place, count in waiting.items() if not count]
        tasks: dict[asyncio.Task[None], int] = {}
        try:
            while waiting or tasks:
                if not ready and not tasks:  # impossible recordings: calls that follow from each other
                    ready = [min(waiting)]
                finished: list[int] = []
                for place in ready:
                    del waiting[place]
                    work = self._resolve(self.recording.nodes[place])
                    if work is None:
                        finished.append(place)
                    else:
                        tasks[asyncio.create_task(work)] = place
                if not finished and tasks:
                    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                    for task in done:
                        finished.append(tasks.pop(task))
                        task.result()
                ready = _released(finished, effects, waiting)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def causes(self, node: Node) -> set[int]:
        """Return the places of the calls that a dependent call waits for."""
        roots = {root for root, dependent in self._dependent.items() if node.place in dependent}
        if self._is_root(node):
            return {root for root in roots if root < node.place} | self._structural(node)
        inner = set(self.dependencies.inside(node)) if node.kind == TOOL else set()
        return (roots | self._structural(node) | inner) - {node.place}

    def _structural(self, node: Node) -> set[int]:
        before = [node.previous, node.asker, *(node.previous.results.values() if node.previous is not None else ())]
        if node.asker is not None:  # tools of one answer run in its order
            before += [tool for index, tool in node.asker.results.items() if index < node.asked]
        return {one.place for one in before if one is not None}

    def _is_root(self, node: Node) -> bool:
        return node.span_id in self.options.prompts or node.span_id == self.options.fresh

    def _resolve(self, node: Node) -> Coroutine[Any, Any, None] | None:
        """Resolve a call, or return the work that resolves it."""
        roots = {root for root, dependent in self._dependent.items() if node.place in dependent}
        changed = bool(self.states.changed(roots))
        try:
            if self._is_root(node):
                return self._root(node, changed)
            if not changed and not self.states.changed(self._structural(node)):
                self._report(NodeResult(node, REUSED, SAME_ANSWERS))
            elif node.kind == LLM:
                return self._next_turn(node)
            else:
                return self._tool(node)
        except CannotInfer as why:
            self.states[node.place] = NodeState(node, State.UNKNOWN, reason="it is stale")
            self._report(NodeResult(node, STALE, str(why)))
        return None

    def _root(self, node: Node, changed: bool) -> Coroutine[Any, Any, None]:
        if node.kind == TOOL:
            return self._call(node, node.arguments, "it is the point of the replay, run by the function in tools=")
        if node.request is None:
            raise CannotInfer("its recorded request cannot be read")
        base, reason = node.request, "it is the point that is executed again"
        if changed and not self._vouched(node):
            base = self._rebuilt(node)
        sent = base
        if node.span_id in self.options.prompts:
            sent, reason = base.with_changes(prompt=self.options.prompts[node.span_id]), "the caller changed its prompt"
        provenance = INFERRED if changed and not self._vouched(node) else EXECUTED
        return self._ask(node, provenance, reason, base, sent)

    def _vouched(self, node: Node) -> bool:
        return node.span_id in self.options.independent or node.agent in self.options.independent

    def _rebuilt(self, node: Node) -> Request:
        problem = self.dependencies.structure.next_turn_problem(node)
        if problem is not None:
            raise CannotInfer(problem)
        previous = node.previous
        assert previous is not None
        for one in (previous, *previous.results.values()):
            state = self.states.of(one)
            if state.state is State.UNKNOWN:
                raise CannotInfer(f"it follows {one.title}: {state.reason}")
        return self._rewriter.next_turn(node, self.states)

    def _next_turn(self, node: Node) -> Coroutine[Any, Any, None] | None:
        base = self._rebuilt(node)
        if node.request is None or not equal_requests(base, node.request):
            return self._ask(node, INFERRED, NEXT_TURN, base, base)
        self.states[node.place] = NodeState(node, State.SAME, base)
        self._report(NodeResult(node, INFERRED, AS_RECORDED, base))
        return None

    async def _ask(self, node: Node, provenance: str, reason: str, base: Request, sent: Request) -> None:
        if self.options.model is not None or self.options.provider is not None:
            sent = sent.with_changes(model=self.options.model, provider=self.options.provider)
        outcome = await self._executor.ask(node, sent)
        if outcome.error is not None or outcome.response is None:
            state = NodeState(node, State.UNKNOWN, base, sent, reason="it failed when it was asked again")
        elif node.response is not None and node.answered and same_answer(node.response, outcome.response):
            state = NodeState(node, State.SAME, base, sent)
        elif node.response is None or not node.answered or node.silent:
            state = NodeState(node, State.UNKNOWN, base, sent, reason="its recorded answer is unknown")
        else:
            state = NodeState(node, State.CHANGED, base, sent, outcome.response)
        self.states[node.place] = state
        self._report(NodeResult(node, provenance, reason, sent, sent=True, outcome=outcome))

    def _tool(self, node: Node) -> Coroutine[Any, Any, None] | None:
        step = self._tool_steps.step(node, self.states, self.dependent, self._free)
        if step.recorded is None:
            return self._call(node, step.arguments, step.reason)
        if step.recorded is node:
            self.states[node.place] = NodeState(node)
            self._report(NodeResult(node, INFERRED, step.reason))
            return None
        state = State.SAME if step.recorded.result == node.result else State.CHANGED
        self.states[node.place] = NodeState(node, state, result=step.recorded.result)
        self._report(NodeResult(node, INFERRED, step.reason, None, step.arguments, step.recorded.result))
        return None

    async def _call(self, node: Node, arguments: Any, reason: str) -> None:
        outcome = await self._executor.call(node, dict(arguments))
        if outcome.error is not None:
            self.states[node.place] = NodeState(node, State.UNKNOWN, reason="its function failed")
        else:
            text = as_text(outcome.result)
            same = text == node.result and node.answered
            self.states[node.place] = NodeState(node, State.SAME if same else State.CHANGED, result=text)
        self._report(NodeResult(node, INFERRED, reason, None, dict(arguments), sent=True, outcome=outcome))

    def _report(self, result: NodeResult) -> None:
        self.results[result.node.place] = result
        if self._on_result is not None:
            self._on_result(result)


def _released(finished: list[int], effects: Mapping[int, list[int]], waiting: dict[int, int]) -> list[int]:
    """The places that wait for nothing any more, once these have finished."""
    ready = []
    for cause in finished:
        for place in effects.get(cause, ()):
            if place in waiting:
                waiting[place] -= 1
                if not waiting[place]:
                    ready.append(place)
    return ready


def equal_requests(one: Request, other: Request) -> bool:
    """Whether two requests are the same, whatever the order of their keys."""
    return canonical(one.as_dict()) == canonical(other.as_dict())
