"""The executor of a real replay: sends requests within the budget, calls functions, writes the branch and the rows."""

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
from anton_notebook.experiments.replay.branch_writer import BranchWriter
from anton_notebook.experiments.replay.engine import STALE, CallOutcome, NodeResult, ReplayEngine
from anton_notebook.experiments.replay.recording import Node, as_text
from anton_notebook.experiments.rerun.answer_cache import Answers, Entry, Kept
from anton_notebook.experiments.rerun.budget import Budget, Purse, cost_of
from anton_notebook.experiments.rerun.variants import Call, Variant, variant_of
from anton_notebook.model.request import Request, Response
from anton_notebook.model.span import LLM

Row = dict[str, Any]


@dataclass
class CallInfo:
    """How a call was made: provider, model, seconds, attempts, and whether the answer came from the cache."""

    provider: str
    model: str
    seconds: float
    attempts: int
    cached: bool


class ProviderPool:
    """One provider object for each name, or the one that the caller gave."""

    def __init__(self, provider: Any) -> None:
        self._given = provider
        self._known: dict[str, Any] = {}

    @property
    def known(self) -> list[Any]:
        """The providers that were needed so far."""
        return list(self._known.values()) if self._given is None or isinstance(self._given, str) else [self._given]

    def variant(self, node: Node, request: Request) -> Variant:
        """Return the call as it is sent. Raises `UnknownProvider`, `TranslationError`, `NotRerunnable`."""
        provider = self._given
        if provider is None or isinstance(provider, str):
            name = request.provider if provider is None else provider
            if name not in self._known:
                self._known[name] = llm.get(name, request.model)
            provider = self._known[name]
        return variant_of(node.place, request, provider, "replay", node.request)


class LiveExecutor:
    """Sends requests and calls functions for the engine. `rows` are the rows of the frame by place."""

    def __init__(
        self,
        providers: ProviderPool,
        tools: Mapping[str, Callable[..., Any]],
        *,
        home: Path,
        budget: Budget | None,
        concurrency: int,
        cache: bool,
        policy: llm.Policy,
        branch: BranchWriter,
        on_row: Callable[[Row], None] | None = None,
    ) -> None:
        self._providers, self._tools, self._budget, self._policy = providers, tools, budget, policy
        self._answers = Answers(home) if cache else None
        self._gate = asyncio.Semaphore(concurrency)
        self._branch, self._on_row = branch, on_row
        self._seen: dict[str, int] = {}
        self._stack: AsyncExitStack | None = None
        self._entered: set[int] = set()
        self.rows: dict[int, Row] = {}
        self.engine: ReplayEngine | None = None

    async def __aenter__(self) -> LiveExecutor:
        self._stack = AsyncExitStack()
        return self

    async def __aexit__(self, *error: Any) -> None:
        if self._stack is not None:
            await self._stack.aclose()

    async def ask(self, node: Node, request: Request) -> CallOutcome:
        """Send a request, or return the cached answer of an earlier replay."""
        try:
            variant = self._providers.variant(node, request)
            purse = None
            if self._budget is not None:
                purse = Purse(self._budget, variant.provider_name, variant.sent, variant.body)
        except AntonNotebookError as error:
            return CallOutcome(error=str(error), extra=CallInfo("", request.model, 0.0, 0, False))
        call = self._numbered(variant)
        async with self._gate:
            cached = await self._from_cache(call)
            if cached is not None:
                return CallOutcome(cached.response, extra=_info(variant, cached.duration_ms / 1000, 0, cached=True))
            await self._enter(variant.provider)
            outcome = await llm.ask(variant.provider, variant.sent, self._policy, purse)
            if outcome.error is None and outcome.response is not None:
                await self._to_cache(call, outcome.response, outcome.seconds)
            info = _info(variant, outcome.seconds, outcome.attempts, cached=False)
            return CallOutcome(outcome.response, None, outcome.error, info)

    async def call(self, node: Node, arguments: Mapping[str, Any]) -> CallOutcome:
        """Call the caller's function, in a thread if it is not a coroutine function."""
        began = time.perf_counter()
        function = self._tools[node.name]
        outcome = CallOutcome()
        try:
            async with self._gate:
                if inspect.iscoroutinefunction(function):
                    outcome.result = await function(**arguments)
                else:
                    outcome.result = await asyncio.to_thread(function, **arguments)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            outcome.error = f"{type(error).__name__}: {error}"[:500]
        outcome.extra = CallInfo("", "", time.perf_counter() - began, 1, False)
        return outcome

    def add_result(self, result: NodeResult) -> None:
        """Add the row of a call and its line in the branch."""
        row = self._row(result)
        self.rows[result.node.place] = row
        self._branch.write_call(result, self._delay(result.node), row)
        if self._on_row is not None:
            self._on_row(row)

    @property
    def trouble(self) -> str | None:
        """Why answers are not cached."""
        return self._answers.trouble if self._answers is not None else None

    def _numbered(self, variant: Variant) -> Call:
        """Equal requests of one replay are numbered, so that each has an answer of its own in the cache."""
        fingerprint = variant.fingerprint()
        nth = 1
        if fingerprint is not None:
            nth = self._seen[fingerprint] = self._seen.get(fingerprint, 0) + 1
        return Call(variant, 1, fingerprint, nth)

    async def _from_cache(self, call: Call) -> Kept | None:
        if self._answers is None or call.fingerprint is None:
            return None
        key = (call.fingerprint, call.nth)
        return (await asyncio.to_thread(self._answers.find, [key])).get(key)

    async def _to_cache(self, call: Call, response: Response, seconds: float) -> None:
        """Save an answer before anything else is done with it: a paid answer is never paid again."""
        if self._answers is None or call.fingerprint is None:
            return
        variant = call.variant
        kept = Kept(response, seconds * 1000)
        entry = Entry(call.fingerprint, call.nth, variant.provider_name, variant.request.model, kept)
        await asyncio.shield(asyncio.to_thread(self._answers.keep, [entry]))

    async def _enter(self, provider: Any) -> None:
        if isinstance(provider, llm.Sdk) and id(provider) not in self._entered and self._stack is not None:
            self._entered.add(id(provider))
            try:
                await self._stack.enter_async_context(provider)
            except AntonNotebookError:
                return  # every row of this provider will have the error

    def _delay(self, node: Node) -> int:
        """Microseconds by which a call starts later than in the recording."""
        if self.engine is None or node.place not in self.engine.dependent:
            return 0
        nodes = self.engine.recording.nodes
        return max([self._branch.lateness(nodes[place]) for place in self.engine.causes(node)], default=0)

    def _row(self, result: NodeResult) -> Row:
        node, span = result.node, result.node.span
        row: Row = {
            "span_id": node.span_id, "new_span_id": self._branch.id_of(node), "kind": node.kind, "agent": node.agent,
            "name": node.name, "provenance": result.provenance, "reason": result.reason,
            "original": node.answer if node.answered else None,
            "original_cost_usd": span.cost_usd if node.kind == LLM else math.nan,
            "original_duration_ms": math.nan if span.duration_ms is None else span.duration_ms,
        }  # fmt: skip
        return row | (_unsent(result, row) if result.outcome is None else _sent(result, result.outcome, row))


def _info(variant: Variant, seconds: float, attempts: int, *, cached: bool) -> CallInfo:
    return CallInfo(variant.provider_name, variant.request.model, seconds, attempts, cached)


def _unsent(result: NodeResult, row: Row) -> Row:
    original = row["original"]
    replayed = None if result.provenance == STALE else result.result if result.result is not None else original
    return {
        "replayed": replayed, "cost_usd": 0.0 if result.node.kind == LLM else math.nan, "saved_usd": row["original_cost_usd"],
        "duration_ms": math.nan, "error": None, "from_cache": False, "attempts": 0, **_difference(original, replayed),
    }  # fmt: skip


def _sent(result: NodeResult, outcome: CallOutcome, row: Row) -> Row:
    node, info, response = result.node, outcome.extra, outcome.response
    replayed, price = None, math.nan
    if outcome.error is None:
        replayed = as_text(outcome.result) if node.kind != LLM else response.text if response is not None else None
    if node.kind == LLM and response is not None:
        price = cost_of(info.provider, info.model, response.usage)
    free = node.kind == LLM and (info.cached or not info.attempts)
    calls = response.tool_calls if response is not None else []
    before = node.response.tool_calls if node.response is not None else []
    return {
        "replayed": replayed, "cost_usd": 0.0 if free else price, "saved_usd": price if info.cached else math.nan,
        "duration_ms": info.seconds * 1000, "error": outcome.error, "from_cache": info.cached, "attempts": info.attempts,
        **_difference(row["original"], replayed, before, calls),
    }  # fmt: skip


def _difference(old: str | None, new: str | None, *calls: Any) -> Row:
    difference = compare(old, new, *calls)
    return {
        "similarity": difference.similarity,
        "diff": None if math.isnan(difference.similarity) else difference.diff,
    }
