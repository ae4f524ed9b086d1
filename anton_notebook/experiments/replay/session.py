"""One replay of a recording: plan it, run it, look at its rows at any time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anton_notebook import llm
from anton_notebook.errors import ReplayError, did_you_mean
from anton_notebook.experiments.checkpoints import Checkpoint
from anton_notebook.experiments.frames import replay_frame
from anton_notebook.experiments.replay.branch_writer import BranchWriter
from anton_notebook.experiments.replay.dependencies import Dependencies
from anton_notebook.experiments.replay.dry_run import CAUTION, DryRunExecutor, ReplayPlan, quote_of
from anton_notebook.experiments.replay.engine import NodeResult, ReplayEngine, ReplayOptions
from anton_notebook.experiments.replay.live_executor import LiveExecutor, ProviderPool
from anton_notebook.experiments.replay.recording import Recording
from anton_notebook.experiments.rerun import Budget, Quote
from anton_notebook.experiments.rerun.event_loop import run as run_in_loop
from anton_notebook.model.span import LLM, TOOL

if TYPE_CHECKING:
    import pandas as pd

Tools = Mapping[str, Callable[..., Any]]


class Replay:
    """One replay: `plan()` before, `await run()`, `rows` and `frame()` at any time. See `replay` for the arguments."""

    def __init__(
        self,
        cp: Checkpoint,
        *,
        tools: Tools | None = None,
        fresh: bool = False,
        budget: float | Budget | None = None,
        provider: Any = None,
        model: str | None = None,
        concurrency: int = 8,
        assume_independent: Sequence[str] = (),
        cache: bool = True,
        timeout: float = 600.0,
    ) -> None:
        if isinstance(concurrency, bool) or not isinstance(concurrency, int) or concurrency < 1:
            raise ValueError(f"concurrency={concurrency!r} must be an integer of 1 or more")
        if not isinstance(cp, Checkpoint):
            raise TypeError(f"replay needs a checkpoint, anb.checkpoint(span, prompts=...), got {type(cp).__name__}")
        traces = cp._source()
        self.cp, self._traces = cp, traces
        self.tools = dict(tools or {})
        self.budget = budget if budget is None or isinstance(budget, Budget) else Budget(budget)
        self._concurrency, self._cache = concurrency, cache
        self._policy = llm.Policy(timeout=timeout)
        cp.check_prompts(cp.modified_prompts)
        self.recording = Recording(traces[cp.trace_id])
        self.dependencies = Dependencies(self.recording)
        self.options = ReplayOptions(
            dict(cp.modified_prompts), self._point(cp) if fresh else None, frozenset(self.tools),
            frozenset(self._independent(assume_independent)), model, provider if isinstance(provider, str) else None,
        )  # fmt: skip
        self.providers = ProviderPool(provider)
        self.branch = BranchWriter(self.recording, Path(traces.home) / "traces", cp.checkpoint_id)
        self.notes: dict[str, str] = {}
        self.rows: dict[int, dict[str, Any]] = {}
        self.results: list[NodeResult] = []
        self.on_row: Callable[[dict[str, Any]], None] | None = None

    def plan(self) -> ReplayPlan:
        """Return what `run` would do. Raises `BudgetError`, `UnknownProvider` and the like, as it would before it sends."""
        executor = DryRunExecutor()
        engine = ReplayEngine(self.recording, self.dependencies, self.options, executor)
        _run_now(engine.run())
        quote = quote_of(
            executor.requests, self.providers, self.budget, concurrency=self._concurrency, cache=self._cache
        )
        results = [engine.results[place] for place in sorted(engine.results)]
        return ReplayPlan(results, quote, tools=[node.name for node, _ in executor.calls])

    def live_quote(self) -> Quote:
        """Quote a run of the program itself, where every call after the change is live."""
        changed = {*self.options.prompts, *([self.options.fresh] if self.options.fresh is not None else [])}
        calls = [(node, node.request) for node in self.recording.calls if node.request is not None]
        ends = (node.end for node, _ in calls if node.span_id in changed and node.end is not None)
        since = min(ends, default=None)
        requests = []
        for node, request in calls:
            prompt = self.options.prompts.get(node.span_id)
            if node.span_id in changed:
                requests.append((node, request if prompt is None else request.with_changes(prompt=prompt)))
            elif changed and (since is None or node.start is None or node.start >= since):
                requests.append((node, request))
        return quote_of(requests, self.providers, self.budget, concurrency=1, cache=False)

    async def run(self) -> None:
        """Replay. If cancelled, the finished calls stay in `rows` and in the branch."""
        executor = LiveExecutor(
            self.providers, self.tools, home=Path(self._traces.home), budget=self.budget, concurrency=self._concurrency,
            cache=self._cache, policy=self._policy, branch=self.branch, on_row=self.on_row,
        )  # fmt: skip
        self.rows = executor.rows
        engine = ReplayEngine(self.recording, self.dependencies, self.options, executor, executor.add_result)
        executor.engine = engine
        try:
            async with executor:
                await engine.run()
        finally:
            self.results = [engine.results[place] for place in sorted(engine.results)]
            self.branch.close(self.results)
            if self.branch.trouble is not None:
                self.notes["trace"] = self.branch.trouble
            if executor.trouble is not None:
                self.notes["cache"] = executor.trouble
            if self._traces.live is None:
                self._traces.refresh()

    def frame(self) -> pd.DataFrame:
        """Return one row per resolved call."""
        frame = replay_frame(self.rows[place] for place in sorted(self.rows))
        frame.attrs |= {
            "original_trace_id": self.cp.trace_id,
            "new_trace_id": self.branch.trace_id,
            "checkpoint_id": self.cp.checkpoint_id,
            "caution": CAUTION,
            **self.notes,
        }
        if self.budget is not None:
            frame.attrs["spent_usd"] = self.budget.spent_usd
        if self.dependencies.clock.problem is not None:
            frame.attrs["clock"] = f"{self.dependencies.clock.problem}: times prove nothing, so fewer calls are reused"
        return frame

    def _point(self, cp: Checkpoint) -> str:
        span = cp.span
        if span.kind == TOOL:
            node = self.recording.by_id[span.span_id]
            if node.name not in self.tools:
                raise ReplayError(
                    f"the point {span.span_id!r} is the tool {node.name!r}, and tools= has no function of this name"
                    f"{did_you_mean(node.name, self.tools)}. Tools are never run without one: tools={{{node.name!r}: fn}}"
                )
            if not isinstance(node.arguments, Mapping):
                raise ReplayError(
                    f"the arguments of the tool {node.name!r} are not recorded, so it cannot be called again"
                )
            return str(span.span_id)
        call = next((one for one in span.walk() if one.kind == LLM), None)
        if call is None:
            raise ReplayError(
                f"the point {span.span_id!r} ({span.kind} {span.name!r}) has no model call below it to execute"
            )
        return str(call.span_id)

    def _independent(self, names: Sequence[str]) -> Collection[str]:
        names = [names] if isinstance(names, str) else list(names)
        known = {*self.recording.by_id, *(node.agent for node in self.recording.nodes if node.agent)}
        for name in names:
            if name not in known:
                raise ReplayError(
                    f"assume_independent: no agent or span {name!r} in trace {self.cp.trace_id!r}{did_you_mean(str(name), known)}"
                )
        return names


def _run_now(work: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine that waits for nothing outside, also if this thread already runs an event loop."""
    loop = asyncio.new_event_loop()
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        try:
            loop.run_until_complete(work)
        finally:
            loop.close()
        return
    loop.close()
    run_in_loop(_completed(work), lambda: None)


async def _completed(work: Coroutine[Any, Any, None]) -> bool:
    await work
    return True
