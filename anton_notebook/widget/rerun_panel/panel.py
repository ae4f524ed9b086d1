"""Re-runs started from a page. `edits` turns edited texts into arguments, `history` reads earlier sweeps.

The page asks for everything, nothing is pushed to it: streamed answers are requested in pieces. Whether calls are made, and for
how much money, is set in Python only. Keys stay in the SDK's clients; a page learns at most which variable is not set.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from anton_notebook import llm
from anton_notebook.api import Span, Traces
from anton_notebook.errors import AntonNotebookError, NotAllowed
from anton_notebook.experiments.rerun import Budget, Call, Plan, Sweep, plan
from anton_notebook.experiments.rerun.cost_quote import quoted
from anton_notebook.experiments.verdict import rerun_frame
from anton_notebook.model.formatting import format_usd
from anton_notebook.widget.arguments import span_argument
from anton_notebook.widget.commands import Args, Handlers
from anton_notebook.widget.details import python_expression
from anton_notebook.widget.jobs import PanelJob, PanelJobs
from anton_notebook.widget.rerun_panel import history
from anton_notebook.widget.rerun_panel.edits import changes, plain_text, python_call, request_texts, to_json

if TYPE_CHECKING:
    import pandas as pd

ASSETS = ("editor.js",)
DEFAULT_BUDGET_USD = 1.0
JOB_LIMIT = 8
HOW_TO_ALLOW = (
    "This graph sends no requests. To allow re-runs, create it with TraceGraph(..., allow_rerun=True), or set "
    "graph.allow_rerun = True in a cell."
)


@dataclass(kw_only=True)
class RerunJob(PanelJob):
    """One sweep of one variant: its texts so far by answer, and the same call as Python."""

    row: int
    sweep: Sweep
    python: str
    changed: list[str]
    started: float
    texts: dict[int, list[str]] = field(default_factory=dict)


class RerunJobs:
    """The re-runs started from the pages of one graph.

    `allowed` and `budget` are read at each start; `asset(name)` returns a file of the front end.
    """

    def __init__(
        self,
        traces: Traces,
        allowed: Callable[[], bool],
        budget: Callable[[], Budget | float | None],
        asset: Callable[[str], str],
    ) -> None:
        self._traces, self._allowed, self._given, self._asset = traces, allowed, budget, asset
        self._jobs: PanelJobs[RerunJob] = PanelJobs("re-run", JOB_LIMIT)
        self._lock = threading.Lock()
        self._budget: tuple[Any, Budget] | None = None

    def handlers(self) -> Handlers:
        """Return the handlers of a page's requests."""
        return {
            "asset": self._on_asset,
            "try_open": self._on_open,
            "try_quote": self._on_quote,
            "try_run": self._on_run,
            "try_look": self._on_look,
            "try_stop": lambda args: self._jobs.stop(args.get("try")),
            "try_history": lambda args: {"tries": self._history(span_argument(self._traces, args))},
        }

    @property
    def budget(self) -> Budget:
        """The budget of all re-runs together; replaced only if Python sets another on the graph."""
        given = self._given()
        with self._lock:
            if isinstance(given, Budget):
                return given
            # Spending is kept as long as Python does not set another amount.
            if self._budget is None or self._budget[0] != given:
                self._budget = (given, Budget(DEFAULT_BUDGET_USD if given is None else given))
            return self._budget[1]

    def frame(self) -> pd.DataFrame:
        """Return all answers so far, one row each; `variant` is the number of the re-run."""
        return rerun_frame(
            {**job.sweep.rows[place], "variant": job.number}
            for job in self._jobs.all()
            for place in sorted(job.sweep.rows)
        )

    def close(self) -> None:
        """Stop running jobs."""
        self._jobs.close()

    # -- requests of a page

    def _on_asset(self, args: Args) -> dict[str, Any]:
        name = args.get("name")
        if name not in ASSETS:
            raise ValueError(f"No such file; available: {', '.join(ASSETS)}")
        return {"text": self._asset(str(name))}

    def _on_open(self, args: Args) -> dict[str, Any]:
        span = span_argument(self._traces, args)
        request, response = span.request, span.response
        models = {name for name in (cls.model for cls in self._traces.store.classes) if name}
        return {
            "allowed": self._allowed(),
            "how_to_allow": HOW_TO_ALLOW,
            "provider": request.provider,
            "model": plain_text(request.model),
            "texts": request_texts(request),
            "system_is_json": request.system is not None and not isinstance(request.system, str),
            "missing": list(request.missing),
            "response": plain_text(response.text),
            "tool_calls": to_json(list(response.tool_calls)) if response.tool_calls else "",
            "error": span.error,
            "models": sorted(plain_text(name) for name in models)[:100],
            "providers": ["anthropic", "openai", "ollama"],
            "tries": self._history(span),
        }

    def _on_quote(self, args: Args) -> dict[str, Any]:
        """Return the cost of a re-run. What prevents it is `problem`, not an error of this request."""
        span = span_argument(self._traces, args)
        budget = self.budget
        out: dict[str, Any] = {"left_usd": budget.left_usd, "problem": None, "quote": None, "python": None}
        try:
            keywords, shown = changes(span.request, args)
            out["python"] = python_call(python_expression(self._traces, span), self._with_cache(shown, args))
            planned = plan(span, **keywords)
            quote = quoted(planned, cache=args.get("fresh") is not True)
            out["quote"] = {
                name: None if isinstance(value, float) and not math.isfinite(value) else value
                for name, value in asdict(quote).items()
            }
            out["assumed"] = sorted(planned.assumed)
            if quote.calls:
                for provider in {id(v.provider): v.provider for v in planned.variants}.values():
                    if isinstance(provider, llm.Sdk):
                        provider.check()
                Sweep(planned, budget=budget)  # a model without a price is refused here
                if not math.isnan(quote.cost_high_usd) and quote.cost_high_usd / quote.calls > budget.left_usd:
                    most, left = format_usd(quote.cost_high_usd / quote.calls), format_usd(budget.left_usd)
                    out["problem"] = (
                        f"A call may cost up to {most}; {left} of the graph's budget is left. Lower max_tokens, or set "
                        "TraceGraph(..., budget=...)."
                    )
        except (AntonNotebookError, ValueError, TypeError) as error:
            out["problem"] = plain_text(str(error))
        return out

    def _on_run(self, args: Args) -> dict[str, Any]:
        if not self._allowed():
            raise NotAllowed(HOW_TO_ALLOW)
        span = span_argument(self._traces, args)
        keywords, shown = changes(span.request, args)
        line = python_call(python_expression(self._traces, span), self._with_cache(shown, args))
        planned, budget, fresh = plan(span, **keywords), self.budget, args.get("fresh") is True
        job = self._jobs.start(
            lambda number: self._create(number, span, planned, budget, line, [*shown], fresh=fresh),
            lambda job: job.sweep.run(),
        )
        return {"try": job.number, "tries": self._history(span)}

    def _create(
        self, number: int, span: Span, planned: Plan, budget: Budget, line: str, changed: list[str], *, fresh: bool
    ) -> RerunJob:
        places = {id(call): place for place, call in enumerate(planned.calls)}
        texts: dict[int, list[str]] = {}

        def add_text(call: Call, text: str) -> None:
            texts.setdefault(places[id(call)], []).append(text)

        sweep = Sweep(planned, budget=budget, cache=not fresh, on_text=add_text)
        now = datetime.now(UTC).timestamp() * 1000
        return RerunJob(
            number=number, row=span.row, sweep=sweep, python=line, changed=changed, started=now, texts=texts
        )

    def _on_look(self, args: Args) -> dict[str, Any]:
        """Return the texts beyond those that the page has: `seen` holds their lengths by answer, -1 for complete ones."""
        if args.get("trace_id") is not None:
            return {"state": "done", "error": None, "answers": history.answers(self._traces, str(args["trace_id"]))}
        job = self._jobs.get(args.get("try"))
        state, error = job.state, job.error
        seen = args.get("seen")
        have = seen if isinstance(seen, list) else []
        return {
            "state": state,
            "error": None if error is None else plain_text(error),
            "answers": list(self._answers(job, have)),
            "python": job.python,
            "left_usd": self.budget.left_usd,
        }

    def _answers(self, job: RerunJob, have: list[Any]) -> Iterator[dict[str, Any]]:
        for place, call in enumerate(job.sweep.plan.calls):
            at = have[place] if place < len(have) and isinstance(have[place], int) else 0
            row = job.sweep.rows.get(place)
            # The page has the complete answer.
            if at < 0:
                continue
            if row is None:
                parts = job.texts.get(place)
                text = "" if parts is None else "".join(parts)
                yield {
                    "place": place,
                    "repeat": call.repeat,
                    "offset": min(at, len(text)),
                    "text": plain_text(text[at:]),
                }
            else:
                yield {"place": place, "repeat": call.repeat, "offset": 0, **history.row_to_json(row)}

    # -- internal

    def _history(self, span: Span) -> list[dict[str, Any]]:
        """Return the re-runs of a span, newest last: those on disk first, then those of this graph."""
        jobs = self._jobs.all()
        traces = {job.sweep.trace_id for job in jobs}
        earlier = [entry for entry in history.sweeps(self._traces, span) if entry["trace_id"] not in traces]
        return earlier + [
            {
                "try": job.number,
                "trace_id": None,
                "started": job.started,
                "state": job.state,
                "changed": job.changed,
                "answers": len(job.sweep.plan.calls),
                "failed": sum(row["error"] is not None for row in list(job.sweep.rows.values())),
                "model": plain_text(job.sweep.plan.variants[-1].request.model),
                "cost_usd": _sum([row["cost_usd"] for row in list(job.sweep.rows.values())]),
            }
            for job in jobs
            if job.row == span.row
        ]

    def _with_cache(self, keywords: dict[str, Any], args: Args) -> dict[str, Any]:
        return {**keywords, "cache": False} if args.get("fresh") is True else keywords


def _sum(costs: list[float]) -> float | None:
    known = [cost for cost in costs if not math.isnan(cost)]
    return sum(known) if known else None
