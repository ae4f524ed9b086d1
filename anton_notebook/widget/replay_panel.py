"""Replays started from a page: a dry run with its reasons and quote, then start, progress and stop.

As with re-runs, the page asks for everything. Whether replays are allowed, and for how much money, is set in Python only. Tools
are never executed from a page: it has no functions to give.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from anton_notebook import llm
from anton_notebook.api import Span, Traces
from anton_notebook.errors import AntonNotebookError, NotAllowed
from anton_notebook.experiments.checkpoints import Checkpoint
from anton_notebook.experiments.replay import CAUTION, Replay
from anton_notebook.experiments.rerun import Budget
from anton_notebook.model.formatting import format_usd
from anton_notebook.model.span import LLM
from anton_notebook.widget.arguments import span_argument
from anton_notebook.widget.commands import Args, Handlers
from anton_notebook.widget.jobs import PanelJob, PanelJobs

JOB_LIMIT = 4
TEXT_LIMIT = 8_000_000  # characters
REASON_LIMIT = 500
PROVENANCES = ("executed", "inferred", "stale", "reused")
HOW_TO_ALLOW = (
    "This graph replays nothing and sends no requests. To allow replays, create it with TraceGraph(..., allow_replay=True), or "
    "set graph.allow_replay = True in a cell."
)


@dataclass(kw_only=True)
class ReplayJob(PanelJob):
    """One replay."""

    replay: Replay


class ReplayJobs:
    """The replays started from the pages of one graph. `allowed` and `budget` are read at each start."""

    def __init__(self, traces: Traces, allowed: Callable[[], bool], budget: Callable[[], Budget]) -> None:
        self._traces, self._allowed, self._budget = traces, allowed, budget
        self._jobs: PanelJobs[ReplayJob] = PanelJobs("replay", JOB_LIMIT)

    def handlers(self) -> Handlers:
        """Return the handlers of a page's requests."""
        return {
            "fork_plan": self._on_plan,
            "fork_run": self._on_run,
            "fork_look": self._on_look,
            "fork_stop": lambda args: self._jobs.stop(args.get("fork")),
        }

    def close(self) -> None:
        """Stop running replays."""
        self._jobs.close()

    # -- requests of a page

    def _on_plan(self, args: Args) -> dict[str, Any]:
        """Return what a replay would do: rows by provenance, reasons, quote. What prevents it is `problem`."""
        span = span_argument(self._traces, args)
        call = _first_call(span)
        out: dict[str, Any] = {
            "allowed": self._allowed(), "how_to_allow": HOW_TO_ALLOW, "caution": CAUTION, "problem": None, "quote": None,
            "prompt": None, "rows": {word: [] for word in PROVENANCES}, "reasons": [], "left_usd": self._budget().left_usd,
        }  # fmt: skip
        try:
            if call is not None:
                prompt = call.request.prompt
                out["prompt"] = None if prompt is None else prompt.encode("utf-8", "replace").decode()
            replay = self._create(span, args)
            planned = replay.plan()
            for one in planned.results:
                out["rows"][one.provenance].append(one.node.span.row)
                if one.provenance != "reused" and len(out["reasons"]) < REASON_LIMIT:
                    about = {"row": one.node.span.row, "provenance": one.provenance, "reason": one.reason}
                    out["reasons"].append({**about, "title": one.node.title})
            out["quote"] = {
                name: None if isinstance(value, float) and not math.isfinite(value) else value
                for name, value in asdict(planned.quote).items()
            }
            high, left = planned.quote.cost_high_usd, out["left_usd"]
            if planned.quote.calls and high / planned.quote.calls > left:
                out["problem"] = (
                    f"A call may cost up to {format_usd(high / planned.quote.calls)}; {format_usd(left)} of the graph's "
                    "budget is left. Set TraceGraph(..., budget=...)."
                )
            if planned.quote.calls:
                for provider in replay.providers.known:
                    if isinstance(provider, llm.Sdk):
                        provider.check()
        except (AntonNotebookError, ValueError, TypeError) as error:
            out["problem"] = str(error).encode("utf-8", "replace").decode()
        return out

    def _on_run(self, args: Args) -> dict[str, Any]:
        if not self._allowed():
            raise NotAllowed(HOW_TO_ALLOW)
        replay = self._create(span_argument(self._traces, args), args)
        replay.plan()  # refuses what is impossible before anything is sent
        replay.cp.save()
        replay.branch.checkpoint_id = replay.cp.checkpoint_id
        job = self._jobs.start(lambda number: ReplayJob(number=number, replay=replay), lambda job: job.replay.run())
        return {"fork": job.number, "trace_id": replay.branch.trace_id}

    def _on_look(self, args: Args) -> dict[str, Any]:
        job = self._jobs.get(args.get("fork"))
        state, rows = job.state, [job.replay.rows[place] for place in sorted(job.replay.rows)]
        known = [row["cost_usd"] for row in rows if row["kind"] == LLM and not math.isnan(row["cost_usd"])]
        return {
            "state": state,
            "error": job.error,
            "trace_id": job.replay.branch.trace_id,
            "done": len(rows),
            "total": len(job.replay.recording.nodes),
            "counts": {word: sum(row["provenance"] == word for row in rows) for word in PROVENANCES},
            "failed": sum(row["error"] is not None for row in rows),
            "first_error": next((row["error"] for row in rows if row["error"] is not None), None),
            "changed": sum(row["similarity"] < 1 for row in rows),
            "cost_usd": sum(known),
            "left_usd": self._budget().left_usd,
            "notes": sorted(job.replay.notes.values()),
        }

    # -- internal

    def _create(self, span: Span, args: Args) -> Replay:
        prompt = args.get("prompt")
        if prompt is not None and not (isinstance(prompt, str) and len(prompt) <= TEXT_LIMIT):
            raise ValueError(f"prompt must be a text of at most {TEXT_LIMIT:,} characters")
        call = _first_call(span)
        changed = prompt is not None and call is not None and prompt != call.request.prompt
        prompts = {call.span_id: str(prompt)} if changed and call is not None else {}
        checkpoint = Checkpoint.load_from_span(span, prompts, note="from the page")
        return Replay(checkpoint, fresh=not changed, budget=self._budget(), cache=args.get("anew") is not True)


def _first_call(span: Span) -> Span | None:
    """Return the model call that a span stands for."""
    return next((one for one in span.walk() if one.kind == LLM), None)
