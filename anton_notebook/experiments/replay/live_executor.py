"""Inner: the hands of a real replay: models are asked and tools are called, within the budget, and each answer is kept at once."""

from __future__ import annotations

import asyncio
import inspect
import math
import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anton_notebook import llm
from anton_notebook.errors import AntonNotebookError
from anton_notebook.experiments.compare import compare
from anton_notebook.experiments.replay.branch_writer import Branch
from anton_notebook.experiments.replay.engine import STALE, Told, Verdict, Walk
from anton_notebook.experiments.replay.recording import Node, as_text
from anton_notebook.experiments.rerun.answer_cache import Answers, Entry, Kept
from anton_notebook.experiments.rerun.budget import Budget, Purse, cost_of
from anton_notebook.experiments.rerun.variants import Call, Variant, variant_of
from anton_notebook.model.request import Request, Response, Usage
from anton_notebook.model.span import LLM

Row = dict[str, Any]


@dataclass
class Asked:
    """What hands know of a call: whom they asked, how long it took, whether the answer was kept from before."""

    provider: str
    model: str
    seconds: float
    attempts: int
    cached: bool


class Senders:
    """Who is asked: the provider that the caller gave, or the recorded one, one object for each."""

    def __init__(self, provider: Any) -> None:
        self._given = provider
        self._known: dict[str, Any] = {}

    @property
    def known(self) -> list[Any]:
        """The providers that were needed so far."""
        return list(self._known.values()) if self._given is None or isinstance(self._given, str) else [self._given]

    def variant(self, node: Node, request: Request) -> Variant:
        """The call as it goes out. Raises `UnknownProvider`, `TranslationError`, `NotRerunnable`."""
        whom = self._given
        if whom is None or isinstance(whom, str):
            name = request.provider if whom is None else whom
            if name not in self._known:
                self._known[name] = llm.get(name, request.model)
            whom = self._known[name]
        return variant_of(node.place, request, whom, "replay", node.request)


class Sending:
    """Asks and calls for a walk, writes the branch and makes the rows."""

    def __init__(
        self,
        senders: Senders,
        tools: Mapping[str, Callable[..., Any]],
        *,
        home: Path,
        budget: Budget | None,
        concurrency: int,
        cache: bool,
        policy: llm.Policy,
        branch: Branch,
        on_row: Callable[[Row], None] | None = None,
    ) -> None:
        self._senders, self._tools, self._budget, self._policy = senders, tools, budget, policy
        self._answers = Answers(home) if cache else None
        self._gate = asyncio.Semaphore(concurrency)
        self._branch, self._on_row = branch, on_row
        self._seen: dict[str, int] = {}
        self._stack: AsyncExitStack | None = None
        self._entered: set[int] = set()
        self.rows: dict[int, Row] = {}
        self.walk: Walk | None = None

    async def __aenter__(self) -> Sending:
        self._stack = AsyncExitStack()
        return self

    async def __aexit__(self, *error: Any) -> None:
        if self._stack is not None:
            await self._stack.aclose()

    # -- as hands

    async def ask(self, node: Node, request: Request, provenance: str) -> Told:
        try:
            variant = self._senders.variant(node, request)
            purse = (
                Purse(self._budget, variant.provider_name, variant.sent, variant.body)
                if self._budget is not None
                else None
            )
        except AntonNotebookError as error:
            return Told(error=str(error), extra=Asked("", request.model, 0.0, 0, False))
        call = self._call(variant)
        async with self._gate:
            found = await self._kept(call)
            if found is not None:
                return Told(found.response, extra=self._asked(variant, found.duration_ms / 1000, 0, cached=True))
            await self._enter(variant.provider)
            outcome = await llm.ask(variant.provider, variant.sent, self._policy, purse)
            asked = self._asked(variant, outcome.seconds, outcome.attempts, cached=False)
            if outcome.error is None and outcome.response is not None:
                await self._keep(call, outcome.response, outcome.seconds)
            return Told(outcome.response, None, outcome.error, asked)

    async def call(self, node: Node, arguments: Any, provenance: str) -> Told:
        clock = time.perf_counter()
        try:
            fn = self._tools[node.name]
            async with self._gate:
                found = (
                    await fn(**arguments)
                    if inspect.iscoroutinefunction(fn)
                    else await asyncio.to_thread(fn, **arguments)
                )
        except asyncio.CancelledError:
            raise
        except Exception as error:
            told = Told(error=f"{type(error).__name__}: {error}"[:500])
        else:
            told = Told(None, found)
        told.extra = Asked("", "", time.perf_counter() - clock, 1, False)
        return told

    # -- as listener

    def settled(self, verdict: Verdict) -> None:
        """A call is settled: its row, and its line in the branch."""
        row = self._row(verdict)
        self.rows[verdict.node.place] = row
        self._branch.end(verdict, self._late(verdict.node), row)
        if self._on_row is not None:
            self._on_row(row)

    # -- inner

    def _call(self, variant: Variant) -> Call:
        mark = variant.fingerprint()
        nth = 1
        if mark is not None:
            nth = self._seen[mark] = self._seen.get(mark, 0) + 1
        return Call(variant, 1, mark, nth)

    async def _kept(self, call: Call) -> Kept | None:
        if self._answers is None or call.fingerprint is None:
            return None
        key = (call.fingerprint, call.nth)
        return (await asyncio.to_thread(self._answers.find, [key])).get(key)

    async def _keep(self, call: Call, response: Response, seconds: float) -> None:
        """On disk before anything else is done with it: an answer that was paid for is never paid for again."""
        if self._answers is None or call.fingerprint is None:
            return
        variant = call.variant
        entry = Entry(
            call.fingerprint, call.nth, variant.provider_name, variant.request.model, Kept(response, seconds * 1000)
        )
        await asyncio.shield(asyncio.to_thread(self._answers.keep, [entry]))

    @property
    def trouble(self) -> str | None:
        """Why answers are not kept."""
        return self._answers.trouble if self._answers is not None else None

    async def _enter(self, provider: Any) -> None:
        if isinstance(provider, llm.Sdk) and id(provider) not in self._entered and self._stack is not None:
            self._entered.add(id(provider))
            try:
                await self._stack.enter_async_context(provider)
            except AntonNotebookError:
                return  # each of its rows will say it

    def _asked(self, variant: Variant, seconds: float, attempts: int, *, cached: bool) -> Asked:
        return Asked(variant.provider_name, variant.request.model, seconds, attempts, cached)

    def _late(self, node: Node) -> int:
        if self.walk is None:
            return 0
        order, known = self.walk.order, list(self.walk.known.values())
        return max([self._branch.behind(one.node) for one in known if order.may_rest(node, one.node)], default=0)

    def _row(self, verdict: Verdict) -> Row:
        node, told = verdict.node, verdict.told
        span, original = node.span, node.answer if node.answered else None
        recorded = span.cost_usd if node.kind == LLM else math.nan
        row: Row = {
            "span_id": node.span_id, "new_span_id": self._branch.id_of(node), "kind": node.kind, "agent": node.agent,
            "name": node.name, "provenance": verdict.provenance, "reason": verdict.reason, "original": original,
            "original_cost_usd": recorded, "original_duration_ms": math.nan if span.duration_ms is None else span.duration_ms,
        }  # fmt: skip
        if not verdict.sent or told is None:
            replayed = None if verdict.provenance == STALE else original
            nothing = math.nan if node.kind != LLM else 0.0
            row |= {
                "cost_usd": nothing,
                "saved_usd": recorded,
                "duration_ms": math.nan,
                "error": None,
                "from_cache": False,
            }
            row["attempts"] = 0
            old, new = original, replayed
            difference = compare(old, new)
        else:
            asked: Asked = told.extra
            replayed = None
            if told.error is None:
                replayed = as_text(told.result) if node.kind != LLM else told.response.text if told.response else None
            price = math.nan
            if node.kind == LLM:
                usage = told.response.usage if told.response is not None else Usage()
                price = cost_of(asked.provider, asked.model, usage) if told.response is not None else math.nan
            free = asked.cached or not asked.attempts
            row |= {
                "cost_usd": 0.0 if free and node.kind == LLM else price, "saved_usd": price if asked.cached else math.nan,
                "duration_ms": asked.seconds * 1000, "error": told.error, "from_cache": asked.cached, "attempts": asked.attempts,
            }  # fmt: skip
            calls = told.response.tool_calls if told.response is not None else []
            before = node.response.tool_calls if node.response is not None else []
            difference = compare(original, replayed, before, calls)
        row |= {"replayed": replayed, "similarity": difference.similarity}
        row["diff"] = None if math.isnan(difference.similarity) else difference.diff
        return row
