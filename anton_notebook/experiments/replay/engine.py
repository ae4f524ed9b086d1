"""Inner: the walk through a recorded run that settles every call: reused, executed, inferred or stale, and why.

A call waits for what it may rest on, and for nothing else: independent calls are made at the same time. What it does, when it
asks, is left to `Hands`: the real ones send, those of a plan only guess.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from anton_notebook.experiments.replay.answer_diff import Changed, difference, plain_difference
from anton_notebook.experiments.replay.backtest import Backwards, Tested
from anton_notebook.experiments.replay.dependencies import Order, asked_by, silent
from anton_notebook.experiments.replay.node_state import CHANGED, SAME, UNKNOWN, Known, Rebuilt, Settled, Unreached
from anton_notebook.experiments.replay.prompt_rebuild import Rules, equal
from anton_notebook.experiments.replay.recording import Node, Recording, as_text
from anton_notebook.model.request import Request, Response
from anton_notebook.model.span import LLM

REUSED, EXECUTED, INFERRED, STALE = "reused", "executed", "inferred", "stale"
KEPT = "the request is as recorded, so its answer is kept"
CONTINUED = "goes on from recorded values of stale calls"
BEFORE = "it started before the first changed answer was there"
CUTOFF = "every changed call that it could rest on answered the same"
VOUCHED = "the caller vouches that it is independent"


@dataclass
class Told:
    """What hands brought back: an answer (or a result), or an error. `extra` is theirs."""

    response: Response | None = None
    result: Any = None
    error: str | None = None
    extra: Any = None


class Hands(Protocol):
    """Who asks models and calls tools for a walk."""

    async def ask(self, node: Node, request: Request, provenance: str) -> Told: ...

    async def call(self, node: Node, arguments: Any, provenance: str) -> Told: ...


@dataclass
class Verdict:
    """What a call became. `sent` says that hands were asked; `request` is what was or would be sent."""

    node: Node
    provenance: str
    reason: str
    request: Request | None = None
    arguments: Any = None
    sent: bool = False
    told: Told | None = None


@dataclass
class Wishes:
    """What the caller wants."""

    prompts: Mapping[str, str] = field(default_factory=dict)
    fresh: str | None = None
    tools: Collection[str] = ()
    match_tools: str = "arguments"
    independent: Collection[str] = ()
    go_on: bool = False
    model: str | None = None
    provider: str | None = None


class Walk:
    """Settles the calls of a recording, in the order in which they may rest on each other."""

    def __init__(
        self,
        recording: Recording,
        order: Order,
        rules: Rules,
        wishes: Wishes,
        hands: Hands,
        backwards: Backwards | None = None,
        on_verdict: Callable[[Verdict], None] | None = None,
    ) -> None:
        self.recording, self.order, self.rules = recording, order, rules
        self.wishes, self.hands, self.backwards = wishes, hands, backwards
        self.known = Known(len(recording.nodes))
        self.verdicts: dict[int, Verdict] = {}
        self._on_verdict = on_verdict
        self._provenance: dict[int, str] = {}
        self._assumed: list[Settled] = []

    async def run(self) -> None:
        """Settles all. What was settled when it is cancelled stays in `verdicts`."""
        nodes = self.recording.nodes
        later = np.arange(len(nodes))
        waits = np.zeros(len(nodes), np.int32)
        begun = np.zeros(len(nodes), bool)
        for node in nodes:
            if waits[node.place] or self._wanted(node):
                begun[node.place] = True
                waits += self.order.rested_on_by(node) & (later > node.place)
            else:
                self._tell(Verdict(node, REUSED, BEFORE))
        ready = [node for node in nodes if begun[node.place] and not waits[node.place]]
        tasks: dict[asyncio.Task[None], Node] = {}
        try:
            while ready or tasks:
                tasks |= {asyncio.create_task(self._settle(node)): node for node in ready}
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                ready = []
                for task in sorted(done, key=lambda one: tasks[one].place):
                    node = tasks.pop(task)
                    task.result()
                    reached = self.order.rested_on_by(node) & (later > node.place) & begun
                    waits -= reached
                    ready += [nodes[place] for place in np.flatnonzero(reached & (waits == 0))]
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    # -- one call

    def _wanted(self, node: Node) -> bool:
        return node.span_id in self.wishes.prompts or node.span_id == self.wishes.fresh

    async def _settle(self, node: Node) -> None:
        due = self.rules.unsettled(node, self.known)
        if node.span_id in self.wishes.independent or (node.agent and node.agent in self.wishes.independent):
            self._tell(Verdict(node, REUSED, VOUCHED))
            return
        if not due and not self._wanted(node):
            if self._goes_on(node):
                self._keep(node, Verdict(node, INFERRED, f"{KEPT}; {CONTINUED}"), None)
            else:
                self._tell(Verdict(node, REUSED, CUTOFF))
            return
        try:
            await (self._model(node, bool(due)) if node.kind == LLM else self._tool(node, bool(due)))
        except Unreached as why:
            self._stale(node, str(why))

    async def _model(self, node: Node, due: bool) -> None:
        made = self.rules.rebuild(node, self.known) if due else None
        base = made.request if made is not None else node.request
        if base is None:
            raise Unreached("its recorded request cannot be read")
        reason = self._rules_said(node, made) if made is not None else ""
        sent = base
        if node.span_id in self.wishes.prompts:
            sent = base.with_changes(prompt=self.wishes.prompts[node.span_id])
            reason = "its prompt was changed by the caller" + (f"; {reason}" if reason else "")
        elif node.span_id == self.wishes.fresh:
            reason = "it is the point that is executed anew" + (f"; {reason}" if reason else "")
        elif node.request is not None and equal(base, node.request):
            self._keep(node, Verdict(node, INFERRED, f"{KEPT} ({reason})", base), base)
            return
        if self.wishes.model is not None or self.wishes.provider is not None:
            sent = sent.with_changes(model=self.wishes.model, provider=self.wishes.provider)
        provenance = INFERRED if due or self._goes_on(node) else EXECUTED
        if self._goes_on(node):
            reason += f"; {CONTINUED}"
        self._provenance[node.place] = provenance
        told = await self.hands.ask(node, sent, provenance)
        verdict = Verdict(node, provenance, reason, sent, None, True, told)
        if told.error is not None or told.response is None:
            self._settled(node, verdict, Settled(node, UNKNOWN, base, why="it failed when it was asked anew"))
        elif node.response is None or not node.answered:
            changed = Changed(same=False, trouble="it has an answer now, and had none in the recording")
            self._settled(node, verdict, Settled(node, CHANGED, base, told.response, None, changed))
        else:
            changed = self._silent(node, told.response) if silent(node) else difference(node.response, told.response)
            state = SAME if changed.same else CHANGED
            self._settled(node, verdict, Settled(node, state, base, told.response, None, changed))

    def _silent(self, node: Node, new: Response) -> Changed:
        """What changed against an answer that is known only by the tools that were called after it."""
        before = [tool.name for _, tool in sorted(node.results.items())]
        if self.wishes.match_tools == "name" and before == [call.get("name") for call in new.tool_calls]:
            return Changed(same=False)
        return Changed(same=False, trouble="what it had asked its tools for is not recorded")

    def _rules_said(self, node: Node, made: Rebuilt) -> str:
        """What the rules did, and how they did on other runs. Raises `Unreached` where they failed there."""
        found = Tested()
        if self.backwards is not None:
            found = self.backwards.test(node, self.rules.own_turns(node) if made.turns else 0)
        why = found.failed or found.left(made.doubts)
        if why is not None:
            raise Unreached(why)
        tested = f", {found}" if self.backwards is not None else ""
        return (made.sentence(self.recording.nodes) or "no value of a changed answer stands in it") + tested

    async def _tool(self, node: Node, due: bool) -> None:
        if node.span_id == self.wishes.fresh and not due:
            await self._call(node, node.arguments, EXECUTED, "it is the point that is executed anew")
            return
        asker = node.asker
        settled = self.known.get(asker.place) if asker is not None else None
        if asker is None:
            if node.arguments is None:
                raise Unreached("its arguments are not recorded, and no recorded answer asked for it")
            arguments = self.rules.arguments(node, self.known)
            if arguments == node.arguments:
                self._keep(node, Verdict(node, INFERRED, "its arguments are as recorded, so its result is kept"), None)
            else:
                await self._call(node, arguments, INFERRED, "values of changed answers stand in its arguments")
            return
        if settled is None or settled.state == SAME:
            said = f"{asker.title} asked for it with the same arguments, so its result is kept"
            self._keep(node, Verdict(node, INFERRED, said), None)
            return
        if settled.state == UNKNOWN:
            raise Unreached(f"{asker.title} asked for it: {settled.why}")
        if settled.changed.trouble is not None:
            raise Unreached(f"{asker.title} asked for it: {settled.changed.trouble}")
        assert settled.response is not None
        if silent(asker) or node.arguments is None:
            self._by_name(node, asker, settled.response)
            return
        if node.asked < 0:
            raise Unreached(f"the recorded answer of {asker.title} does not say that it asked for it")
        before, after = asked_by(asker)[node.asked], settled.response.tool_calls[node.asked]
        if before.get("arguments") == after.get("arguments"):
            said = f"the new answer of {asker.title} asks for it with the same arguments, so its result is kept"
            self._keep(node, Verdict(node, INFERRED, said), None)
        elif before.get("arguments") != node.arguments:
            raise Unreached("the program called it with other arguments than the recorded answer asked for")
        else:
            provenance = self._provenance.get(asker.place, INFERRED)
            await self._call(
                node, after.get("arguments"), provenance, f"the new answer of {asker.title} asks for it so"
            )

    def _by_name(self, node: Node, asker: Node, answer: Response) -> None:
        if self.wishes.match_tools != "name":
            raise Unreached(
                'its arguments are not recorded; match_tools="name" keeps the result of the same tool at its place'
            )
        before = [tool.name for _, tool in sorted(asker.results.items())]
        if before != [call.get("name") for call in answer.tool_calls]:
            raise Unreached(f"the new answer of {asker.title} asks for other tools, or in another order")
        said = (
            f"the new answer of {asker.title} asks for the same tool at the same place; its arguments are not recorded"
        )
        self._keep(node, Verdict(node, INFERRED, said), None)

    async def _call(self, node: Node, arguments: Any, provenance: str, reason: str) -> None:
        if node.name not in self.wishes.tools:
            raise Unreached(f"it would be called with other arguments, and tools= has no function {node.name!r}")
        if not isinstance(arguments, Mapping):
            raise Unreached("its arguments are no object with names")
        if self._goes_on(node) and provenance == EXECUTED:
            provenance, reason = INFERRED, f"{reason}; {CONTINUED}"
        told = await self.hands.call(node, dict(arguments), provenance)
        verdict = Verdict(node, provenance, reason, None, dict(arguments), True, told)
        if told.error is not None:
            self._settled(node, verdict, Settled(node, UNKNOWN, why="it failed when it was called anew"))
            return
        text = as_text(told.result)
        changed = plain_difference(node.result, text)
        state = SAME if changed.same else CHANGED
        self._settled(node, verdict, Settled(node, state, None, None, text, changed))

    # -- what was settled

    def _goes_on(self, node: Node) -> bool:
        return any(self.order.may_rest(node, one.node) for one in self._assumed)

    def _keep(self, node: Node, verdict: Verdict, base: Request | None) -> None:
        assumed = self._goes_on(node)
        if assumed and CONTINUED not in verdict.reason:
            verdict.reason += f"; {CONTINUED}"
        self._settled(node, verdict, Settled(node, SAME, base, node.response, None, assumed=assumed))

    def _stale(self, node: Node, why: str) -> None:
        verdict = Verdict(node, STALE, why)
        if self.wishes.go_on:
            self._settled(node, verdict, Settled(node, SAME, node.request, node.response, assumed=True))
        else:
            self._settled(node, verdict, Settled(node, UNKNOWN, why="it is stale"))

    def _settled(self, node: Node, verdict: Verdict, settled: Settled) -> None:
        self.known[node.place] = settled
        if settled.assumed:
            self._assumed.append(settled)
        self._tell(verdict)

    def _tell(self, verdict: Verdict) -> None:
        self.verdicts[verdict.node.place] = verdict
        if self._on_verdict is not None:
            self._on_verdict(verdict)
