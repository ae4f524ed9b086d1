"""Inner: replays that are started from the page: what would be done, lit before anybody says yes, then start, look and stop.

As with tries the page asks for everything. Whether replays are made, and for how much money, is said in Python alone, and
tools are never run from a page: it has no functions to give.
"""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError, Future
from dataclasses import asdict, dataclass
from typing import Any

from anton_notebook import llm
from anton_notebook.api import Span, Traces
from anton_notebook.errors import AntonNotebookError, NotAllowed
from anton_notebook.experiments.checkpoints import Checkpoint
from anton_notebook.experiments.replay import CAUTION, Replay
from anton_notebook.experiments.rerun import Budget
from anton_notebook.experiments.rerun.event_loop import private_loop
from anton_notebook.model.span import LLM
from anton_notebook.widget.details import span_of

MOST_AT_ONCE = 4
LONGEST = 8_000_000
WORDS = ("executed", "inferred", "stale", "reused")
HOW_TO_ALLOW = (
    "This graph replays nothing: nothing leaves the machine unasked. To allow it, make the graph with "
    "TraceGraph(..., allow_replay=True), or set graph.allow_replay = True in a cell."
)
Args = Mapping[str, Any]


@dataclass
class Fork:
    """One replay of the page."""

    number: int
    replay: Replay
    state: str = "running"
    error: str | None = None
    future: Future[None] | None = None


class Forks:
    """The replays that the pages of one graph have started. `allowed` and `budget` are asked at each start."""

    def __init__(self, traces: Traces, allowed: Callable[[], bool], budget: Callable[[], Budget]) -> None:
        self._traces, self._allowed, self._budget = traces, allowed, budget
        self._forks: list[Fork] = []
        self._lock = threading.Lock()
        self._closed = False

    def ops(self) -> dict[str, Callable[[Args], Mapping[str, Any] | None]]:
        """What a page may ask."""
        return {
            "fork_plan": self._on_plan, "fork_run": self._on_run, "fork_look": self._on_look, "fork_stop": self._on_stop
        }  # fmt: skip

    def close(self) -> None:
        """Stops what is under way."""
        self._closed = True
        for one in list(self._forks):
            if one.future is not None:
                one.future.cancel()

    # -- what a page asks

    def _on_plan(self, args: Args) -> dict[str, Any]:
        """What a start would do: rows by provenance, reasons, the quote. What stands in its way is `problem`."""
        span = self._span(args)
        point = _first_call(span)
        out: dict[str, Any] = {
            "allowed": self._allowed(), "how_to_allow": HOW_TO_ALLOW, "caution": CAUTION, "problem": None, "quote": None,
            "prompt": None, "rows": {word: [] for word in WORDS}, "reasons": [], "left_usd": self._budget().left_usd,
        }  # fmt: skip
        try:
            if point is not None:
                prompt = point.request.prompt
                out["prompt"] = None if prompt is None else prompt.encode("utf-8", "replace").decode()
            made = self._made(span, args)
            planned = made.plan()
            for one in planned.results:
                out["rows"][one.provenance].append(one.node.span.row)
                if one.provenance != "reused" and len(out["reasons"]) < 500:
                    about = {"row": one.node.span.row, "provenance": one.provenance, "reason": one.reason}
                    out["reasons"].append({**about, "title": one.node.title})
            out["quote"] = {
                name: None if isinstance(value, float) and not math.isfinite(value) else value
                for name, value in asdict(planned.quote).items()
            }
            high, left = planned.quote.cost_high_usd, out["left_usd"]
            if planned.quote.calls and high / planned.quote.calls > left:
                out["problem"] = (
                    f"The worst case of a call, ${high / planned.quote.calls:,.4f}, is more than what is left of the graph's "
                    f"budget, ${left:,.4f}. Give TraceGraph(..., budget=...)."
                )
            if planned.quote.calls:
                for provider in made.providers.known:
                    if isinstance(provider, llm.Sdk):
                        provider.check()
        except (AntonNotebookError, ValueError, TypeError) as error:
            out["problem"] = str(error).encode("utf-8", "replace").decode()
        return out

    def _on_run(self, args: Args) -> dict[str, Any]:
        if not self._allowed():
            raise NotAllowed(HOW_TO_ALLOW)
        made = self._made(self._span(args), args)
        made.plan()  # what cannot be done is said before anything is sent
        made.cp.save()
        made.branch.checkpoint_id = made.cp.checkpoint_id
        with self._lock:
            if self._closed:
                raise ValueError("the graph is closed")
            if sum(one.state == "running" for one in self._forks) >= MOST_AT_ONCE:
                raise ValueError(f"{MOST_AT_ONCE} replays are under way already: wait for one, or stop one")
            one = Fork(len(self._forks) + 1, made)
            self._forks.append(one)
        one.future = asyncio.run_coroutine_threadsafe(self._run(one), private_loop())
        return {"fork": one.number, "trace_id": made.branch.trace_id}

    async def _run(self, one: Fork) -> None:
        try:
            await one.replay.run()
            one.state = "done"
        except (asyncio.CancelledError, CancelledError):
            one.state = "stopped"
        except Exception as error:
            one.state, one.error = "failed", f"{type(error).__name__}: {error}"[:2000]

    def _on_look(self, args: Args) -> dict[str, Any]:
        one = self._fork(args)
        state, rows = one.state, [one.replay.rows[place] for place in sorted(one.replay.rows)]
        known = [row["cost_usd"] for row in rows if row["kind"] == LLM and not math.isnan(row["cost_usd"])]
        return {
            "state": state,
            "error": one.error,
            "trace_id": one.replay.branch.trace_id,
            "done": len(rows),
            "total": len(one.replay.recording.nodes),
            "counts": {word: sum(row["provenance"] == word for row in rows) for word in WORDS},
            "failed": sum(row["error"] is not None for row in rows),
            "first_error": next((row["error"] for row in rows if row["error"] is not None), None),
            "changed": sum(row["similarity"] < 1 for row in rows),
            "cost_usd": sum(known),
            "left_usd": self._budget().left_usd,
            "notes": sorted(one.replay.notes.values()),
        }

    def _on_stop(self, args: Args) -> None:
        one = self._fork(args)
        if one.future is not None:
            one.future.cancel()

    # -- inner

    def _made(self, span: Span, args: Args) -> Replay:
        prompt = args.get("prompt")
        if prompt is not None and not (isinstance(prompt, str) and len(prompt) <= LONGEST):
            raise ValueError(f"prompt must be a text of at most {LONGEST:,} characters")
        point = _first_call(span)
        changed = prompt is not None and point is not None and prompt != point.request.prompt
        prompts = {point.span_id: str(prompt)} if changed and point is not None else {}
        cp = Checkpoint.load_from_span(span, prompts, note="from the page")
        return Replay(cp, fresh=not changed, budget=self._budget(), cache=args.get("anew") is not True)

    def _fork(self, args: Args) -> Fork:
        number = args.get("fork")
        if isinstance(number, int) and not isinstance(number, bool) and 1 <= number <= len(self._forks):
            return self._forks[number - 1]
        raise ValueError(f"there is no replay {str(number)[:20]} in this graph; it may have been made anew")

    def _span(self, args: Args) -> Span:
        if args.get("epoch") != self._traces.store.epoch:
            raise ValueError("the page shows another reading of the traces: it will be brought up to date")
        row = args.get("row")
        if isinstance(row, bool) or not isinstance(row, int):
            raise ValueError("row must be a whole number")
        return span_of(self._traces, row)


def _first_call(span: Span) -> Span | None:
    """The call that a span stands for."""
    return next((one for one in span.walk() if one.kind == LLM), None)
