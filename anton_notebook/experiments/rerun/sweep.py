"""Inner: the calls of a plan, several at a time, each with its row, its line in a trace and its place in the cache."""

from __future__ import annotations

import asyncio
import contextlib
import math
import uuid
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from anton_notebook import llm
from anton_notebook.errors import AntonNotebookError
from anton_notebook.experiments.compare import compare
from anton_notebook.experiments.rerun.answer_cache import Answers, Entry, Kept
from anton_notebook.experiments.rerun.budget import Budget, Purse, cost_of
from anton_notebook.experiments.rerun.variants import Call, Plan
from anton_notebook.experiments.verdict import RERUN, rerun_frame
from anton_notebook.model.request import Response, Usage
from anton_notebook.model.usage import line_mark, line_tokens
from anton_notebook.sources import writer

if TYPE_CHECKING:
    import pandas as pd

FLUSH = 0.25
Metric = Callable[[str], Any]
OnRow = Callable[[dict[str, Any]], None]
OnText = Callable[[Call, str], None]


class Sweep:
    """Makes the calls of a plan. `rows` holds what is done, by place in the plan; `frame()` can be asked for at any time."""

    def __init__(
        self,
        plan: Plan,
        *,
        metrics: Mapping[str, Metric] | None = None,
        budget: Budget | float | None = None,
        concurrency: int = 8,
        cache: bool = True,
        policy: llm.Policy | None = None,
        on_row: OnRow | None = None,
        on_text: OnText | None = None,
    ) -> None:
        if isinstance(concurrency, bool) or not isinstance(concurrency, int) or concurrency < 1:
            raise ValueError(f"concurrency={concurrency!r}: a whole number of 1 or more is possible")
        self.plan = plan
        self.metrics = _checked(metrics)
        self.budget = budget if budget is None or isinstance(budget, Budget) else Budget(budget)
        self.policy = policy or llm.Policy()
        self.rows: dict[int, dict[str, Any]] = {}
        self.trace_id: str | None = None
        self.notes: dict[str, str] = {}
        self._concurrency = concurrency
        self._on_row, self._on_text = on_row, on_text
        home = plan.original.home
        self._answers = Answers(home) if cache and home is not None else None
        self._folder = home / "traces" if home is not None else None
        self._out: writer.TraceWriter | None = None
        self._due: list[Entry] = []
        self._spent_before = self.budget.spent_usd if self.budget is not None else 0.0
        self._purses = {
            v.number: Purse(self.budget, v.provider_name, v.sent, v.body)
            for v in plan.variants
            if self.budget is not None
        }

    # -- the calls

    async def run(self) -> None:
        """Makes all calls. Cancelled, it keeps what is done and marks what was under way."""
        hits: dict[tuple[str, int], Kept] = {}
        if self._answers is not None:
            wanted = [(call.fingerprint, call.nth) for call in self.plan.calls if call.fingerprint is not None]
            hits = await asyncio.to_thread(self._answers.find, wanted)
        places = iter(range(len(self.plan.calls)))
        end = asyncio.Event()
        saving = asyncio.create_task(self._save_until(end))
        async with AsyncExitStack() as stack:
            for provider in {id(v.provider): v.provider for v in self.plan.variants}.values():
                if isinstance(provider, llm.Sdk) and len(hits) < len(self.plan.calls):
                    await _entered(stack, provider)
            workers = [
                asyncio.create_task(self._work(places, hits))
                for _ in range(min(self._concurrency, len(self.plan.calls)))
            ]
            try:
                await asyncio.gather(*workers)
            finally:
                for task in workers:
                    task.cancel()
                await asyncio.gather(*workers, return_exceptions=True)
                end.set()
                await saving
                if self._out is not None:
                    self._out.close()

    async def _work(self, places: Any, hits: Mapping[tuple[str, int], Kept]) -> None:
        for place in places:
            call = self.plan.calls[place]
            found = hits.get((call.fingerprint, call.nth)) if call.fingerprint is not None else None
            if found is not None:
                now = datetime.now(UTC).timestamp()
                outcome = llm.Outcome(found.response, None, 0, now, found.duration_ms / 1000)
            else:
                outcome = await self._ask(place, call)
            self._done(place, call, outcome, cached=found is not None)

    async def _ask(self, place: int, call: Call) -> llm.Outcome:
        variant = call.variant
        heard: Callable[[str], None] | None = None
        if self._on_text is not None:
            tell = self._on_text
            heard = lambda text: tell(call, text)  # noqa: E731
        began = datetime.now(UTC).timestamp()
        try:
            return await llm.ask(variant.provider, variant.sent, self.policy, self._purses.get(variant.number), heard)
        except asyncio.CancelledError:
            took = datetime.now(UTC).timestamp() - began
            cancelled = llm.Outcome(None, "cancelled; it may have been billed", 1, began, took)
            self._done(place, call, cancelled, cached=False)
            raise

    def _done(self, place: int, call: Call, outcome: llm.Outcome, *, cached: bool) -> None:
        row = self._row(call, outcome, cached)
        if outcome.attempts or cached:
            self._write(call, outcome, row)
        if outcome.error is None and not cached and call.fingerprint is not None and outcome.response is not None:
            kept = Kept(outcome.response, row["duration_ms"])
            self._due.append(Entry(call.fingerprint, call.nth, row["provider"], row["model"], kept))
        self.rows[place] = row
        if self._on_row is not None:
            self._on_row(row)

    # -- rows

    def _row(self, call: Call, outcome: llm.Outcome, cached: bool) -> dict[str, Any]:
        variant, original = call.variant, self.plan.original
        response = outcome.response
        usage = response.usage if response is not None else Usage()
        price = cost_of(variant.provider_name, variant.request.model, usage) if response is not None else math.nan
        asked = bool(outcome.attempts)
        duration = outcome.seconds * 1000 if asked or cached else math.nan
        if outcome.error is None and response is not None:
            difference = compare(original.response, response.text, original.tool_calls, response.tool_calls)
        else:
            difference = compare(None, None)
        return {
            "variant": variant.number,
            "repeat": call.repeat,
            "span_id": original.span_id,
            "new_span_id": None,
            "provider": variant.provider_name or None,
            "model": variant.request.model,
            "system": variant.request.system_text,
            "prompt": variant.request.prompt,
            "response": response.text if response is not None else None,
            "original": original.response,
            "diff": difference.diff if not math.isnan(difference.similarity) else None,
            "similarity": difference.similarity,
            "tool_calls": list(response.tool_calls) if response is not None else [],
            "input_tokens": usage.input_tokens,
            "output_tokens": usage.output_tokens,
            "cached_tokens": usage.cached_tokens,
            "cost_usd": 0.0 if cached or not asked else price,
            "cost_delta_usd": price - original.cost_usd,
            "saved_usd": price if cached else math.nan,
            "duration_ms": duration,
            "duration_delta_ms": duration - original.duration_ms,
            "attempts": outcome.attempts,
            "finish_reason": response.finish_reason if response is not None else None,
            "error": outcome.error,
            "from_cache": cached,
        }

    def frame(self) -> pd.DataFrame:
        """What is done, in order, with the metrics. Their exceptions are values."""
        rows = []
        for place in sorted(self.rows):
            row = self.rows[place]
            text = row["response"] if row["error"] is None else None
            rows.append({**row, **{name: _measured(fn, text) for name, fn in self.metrics.items()}})
        frame = rerun_frame(rows, list(self.metrics))
        original = self.plan.original
        frame.attrs |= {
            "original_trace_id": original.trace_id,
            "original_span_id": original.span_id,
            "new_trace_id": self.trace_id,
            "missing": self.plan.missing,
            "assumed": self.plan.assumed,
            "metrics": list(self.metrics),
            "variants": {variant.number: variant.label for variant in self.plan.variants},
            "calls": len(self.plan.calls),
            **self.notes,
        }
        if self.budget is not None:
            frame.attrs["spent_usd"] = self.budget.spent_usd - self._spent_before
        return frame

    # -- the trace and the cache

    def _write(self, call: Call, outcome: llm.Outcome, row: dict[str, Any]) -> None:
        if self._folder is None:
            return
        original, request, response = self.plan.original, call.variant.sent, outcome.response
        try:
            if self._out is None:
                mark = {
                    "origin": "rerun",
                    "original_trace_id": original.trace_id,
                    "original_span_id": original.span_id,
                    "run_name": self.plan.name,
                }
                self._out = writer.create(self._folder, "rerun", {k: v for k, v in mark.items() if v is not None})
                self.trace_id = str(uuid.uuid4())
            span_id = str(uuid.uuid4())
            self._out.write(self._line(call, outcome, row, span_id, request, response or Response()))
            row["new_span_id"] = span_id
        except (OSError, ValueError, TypeError) as error:
            self.notes["trace"] = f"not all answers are in the trace: {error}"

    def _line(
        self, call: Call, outcome: llm.Outcome, row: dict[str, Any], span_id: str, request: Any, response: Response
    ) -> dict[str, Any]:
        line: dict[str, Any] = {
            "timestamp": datetime.fromtimestamp(outcome.started, UTC).isoformat(timespec="microseconds"),
            "agent_name": self.plan.original.agent or "experiment",
            "provider": call.variant.provider_name,
            "model": request.model,
            "trace_id": self.trace_id,
            "span_id": span_id,
            "parent_id": None,
            "span_type": "llm_call",
            "duration_ms": None if math.isnan(row["duration_ms"]) else row["duration_ms"],
            "tokens": line_tokens(response.usage),
            "cost_usd": None if math.isnan(row["cost_usd"]) else row["cost_usd"],
            "messages": request.messages,
            "system_prompt": request.system,
            "tools": request.tools or [],
            "parameters": request.parameters,
            "response": response.text,
            "success": outcome.error is None,
            "error": outcome.error,
            "finish_reason": response.finish_reason,
            "metadata": {"variant": call.variant.number, "label": call.variant.label, "repeat": call.repeat},
        }
        if response.tool_calls:
            line["tool_calls"] = response.tool_calls
        line["anton_notebook"] = line_mark(response.usage)
        if row["from_cache"]:
            line["anton_notebook"] |= {"saved_usd": 0.0 if math.isnan(row["saved_usd"]) else row["saved_usd"]}
        return line

    async def _save_until(self, end: asyncio.Event) -> None:
        """Keeps answers in batches, beside the calls, and the last of them at the end."""
        while not end.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(end.wait(), FLUSH)
            due, self._due = self._due, []
            if due and self._answers is not None:
                await asyncio.to_thread(self._answers.keep, due)
        if self._answers is not None and self._answers.trouble:
            self.notes["cache"] = self._answers.trouble


async def _entered(stack: AsyncExitStack, provider: llm.Sdk) -> None:
    try:
        await stack.enter_async_context(provider)
    except AntonNotebookError:
        return  # each of its rows will say it


def _measured(metric: Metric, text: str | None) -> Any:
    if text is None:
        return None
    try:
        return metric(text)
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def _checked(metrics: Mapping[str, Metric] | None) -> dict[str, Metric]:
    found = dict(metrics or {})
    for name, fn in found.items():
        if not isinstance(name, str) or not callable(fn):
            raise TypeError(f"metrics takes {{'name': function of the answer's text}}, found {name!r}: {fn!r}")
        if name in RERUN:
            raise ValueError(f"a metric cannot be called {name!r}: that is a column of the frame already")
    return found
