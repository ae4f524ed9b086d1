"""Inner: prompts that are tried from the page. The page asks for everything, and nothing is pushed to it.

An answer that streams in is fetched in pieces: a message that is lost costs nothing, a page that is loaded again finds
what it left, and a page without a kernel has nothing to miss. Whether calls are made, and for how much money, is said in
Python alone. Keys stay in the SDKs' clients; a page learns at most which variable is not set.
"""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import CancelledError, Future
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from anton_notebook import llm
from anton_notebook.api import Span, Traces
from anton_notebook.errors import AntonNotebookError, NotAllowed
from anton_notebook.experiments.rerun import Budget, Call, Plan, Sweep, plan
from anton_notebook.experiments.rerun.cost_quote import quoted
from anton_notebook.experiments.rerun.event_loop import private_loop
from anton_notebook.experiments.verdict import rerun_frame
from anton_notebook.widget.details import span_of, where
from anton_notebook.widget.rerun_panel import history
from anton_notebook.widget.rerun_panel.edits import changes, plain, python, shown, texts

if TYPE_CHECKING:
    import pandas as pd

ASSETS = ("editor.js",)
DEFAULT_USD = 1.0
MOST_AT_ONCE = 8
HOW_TO_ALLOW = (
    "This graph makes no calls: nothing leaves the machine unasked. To allow it, make the graph with "
    "TraceGraph(..., allow_rerun=True), or set graph.allow_rerun = True in a cell."
)
Args = Mapping[str, Any]


@dataclass
class Try:
    """One press of the button: a sweep of one variant, what it has said so far, and how to do the same from Python."""

    number: int
    row: int
    sweep: Sweep
    python: str
    changed: list[str]
    started: float
    state: str = "running"
    error: str | None = None
    said: dict[int, list[str]] = field(default_factory=dict)
    future: Future[None] | None = None


class Tries:
    """What was tried from the pages of one graph.

    `allowed` and `budget` are asked at each press; `asset(name)` gives the text of a file of the front end.
    """

    def __init__(
        self,
        traces: Traces,
        allowed: Callable[[], bool],
        budget: Callable[[], Budget | float | None],
        asset: Callable[[str], str],
    ) -> None:
        self._traces, self._allowed, self._given, self._asset = traces, allowed, budget, asset
        self._lock = threading.Lock()
        self._tries: list[Try] = []
        self._purse: tuple[Any, Budget] | None = None
        self._closed = False

    def ops(self) -> dict[str, Callable[[Args], Mapping[str, Any] | None]]:
        """What a page may ask."""
        return {
            "asset": self._on_asset,
            "try_open": self._on_open,
            "try_quote": self._on_quote,
            "try_run": self._on_run,
            "try_look": self._on_look,
            "try_stop": self._on_stop,
            "try_history": lambda args: {"tries": self._history(self._span(args))},
        }

    @property
    def budget(self) -> Budget:
        """The money for all tries together: a new one only where Python gave the graph another."""
        given = self._given()
        with self._lock:
            if isinstance(given, Budget):
                return given
            if self._purse is None or self._purse[0] != given:
                self._purse = (given, Budget(DEFAULT_USD if given is None else given))
            return self._purse[1]

    def frame(self) -> pd.DataFrame:
        """All answers so far, one row each; `variant` is the number of the try."""
        return rerun_frame(
            {**one.sweep.rows[place], "variant": one.number}
            for one in list(self._tries)
            for place in sorted(one.sweep.rows)
        )

    def close(self) -> None:
        """Stops what is under way."""
        self._closed = True
        for one in list(self._tries):
            if one.future is not None:
                one.future.cancel()

    # -- what a page asks

    def _on_asset(self, args: Args) -> dict[str, Any]:
        name = args.get("name")
        if name not in ASSETS:
            raise ValueError(f"there is no file of this name; possible: {', '.join(ASSETS)}")
        return {"text": self._asset(str(name))}

    def _on_open(self, args: Args) -> dict[str, Any]:
        span = self._span(args)
        request, response = span.request, span.response
        models = {name for name in (found.model for found in self._traces.store.classes) if name}
        return {
            "allowed": self._allowed(),
            "how_to_allow": HOW_TO_ALLOW,
            "provider": request.provider,
            "model": plain(request.model),
            "texts": texts(request),
            "system_is_json": request.system is not None and not isinstance(request.system, str),
            "missing": list(request.missing),
            "response": plain(response.text),
            "tool_calls": shown(list(response.tool_calls)) if response.tool_calls else "",
            "error": span.error,
            "models": sorted(plain(name) for name in models)[:100],
            "providers": ["anthropic", "openai", "ollama"],
            "tries": self._history(span),
        }

    def _on_quote(self, args: Args) -> dict[str, Any]:
        """What a press would take. What stands in its way is `problem`, and is no failure of the question."""
        span = self._span(args)
        purse = self.budget
        out: dict[str, Any] = {"left_usd": purse.left_usd, "problem": None, "quote": None, "python": None}
        try:
            made, said = changes(span.request, args)
            out["python"] = python(where(self._traces, span), self._said(said, args))
            planned = plan(span, **made)
            found = quoted(planned, cache=args.get("fresh") is not True)
            out["quote"] = {
                name: None if isinstance(value, float) and not math.isfinite(value) else value
                for name, value in asdict(found).items()
            }
            out["assumed"] = sorted(planned.assumed)
            if found.calls:
                for provider in {id(v.provider): v.provider for v in planned.variants}.values():
                    if isinstance(provider, llm.Sdk):
                        provider.check()
                Sweep(planned, budget=purse)  # a model without a price is refused here
                if not math.isnan(found.cost_high_usd) and found.cost_high_usd / found.calls > purse.left_usd:
                    out["problem"] = (
                        f"The worst case of a call, ${found.cost_high_usd / found.calls:,.4f}, is more than what is left of the "
                        f"graph's budget, ${purse.left_usd:,.4f}. Lower max_tokens, or give TraceGraph(..., budget=...)."
                    )
        except (AntonNotebookError, ValueError, TypeError) as error:
            out["problem"] = plain(str(error))
        return out

    def _on_run(self, args: Args) -> dict[str, Any]:
        if not self._allowed():
            raise NotAllowed(HOW_TO_ALLOW)
        span = self._span(args)
        made, said = changes(span.request, args)
        line = python(where(self._traces, span), self._said(said, args))
        planned = plan(span, **made)
        purse = self.budget
        with self._lock:
            if self._closed:
                raise ValueError("the graph is closed")
            if sum(one.state == "running" for one in self._tries) >= MOST_AT_ONCE:
                raise ValueError(f"{MOST_AT_ONCE} tries are under way already: wait for one, or stop one")
            one = self._made(span, planned, purse, line, [*said], fresh=args.get("fresh") is True)
            self._tries.append(one)
        one.future = asyncio.run_coroutine_threadsafe(self._run(one), private_loop())
        return {"try": one.number, "tries": self._history(span)}

    def _made(self, span: Span, planned: Plan, purse: Budget, line: str, changed: list[str], *, fresh: bool) -> Try:
        places = {id(call): place for place, call in enumerate(planned.calls)}
        said: dict[int, list[str]] = {}

        def heard(call: Call, text: str) -> None:
            said.setdefault(places[id(call)], []).append(text)

        sweep = Sweep(planned, budget=purse, cache=not fresh, on_text=heard)
        now = datetime.now(UTC).timestamp() * 1000
        return Try(len(self._tries) + 1, span.row, sweep, line, changed, now, said=said)

    async def _run(self, one: Try) -> None:
        try:
            await one.sweep.run()
            one.state = "done"
        except (asyncio.CancelledError, CancelledError):
            one.state = "stopped"
        except Exception as error:
            one.state, one.error = "failed", f"{type(error).__name__}: {error}"[:2000]

    def _on_look(self, args: Args) -> dict[str, Any]:
        """What a try has said beyond the characters that the page has: `seen`, one number an answer, -1 for whole ones."""
        if args.get("trace_id") is not None:
            return {"state": "done", "error": None, "answers": history.answers(self._traces, str(args["trace_id"]))}
        one = self._try(args)
        state, error = one.state, one.error
        seen = args.get("seen")
        have = seen if isinstance(seen, list) else []
        return {
            "state": state,
            "error": None if error is None else plain(error),
            "answers": list(self._answers(one, have)),
            "python": one.python,
            "left_usd": self.budget.left_usd,
        }

    def _answers(self, one: Try, have: list[Any]) -> Iterator[dict[str, Any]]:
        for place, call in enumerate(one.sweep.plan.calls):
            at = have[place] if place < len(have) and isinstance(have[place], int) else 0
            row = one.sweep.rows.get(place)
            if at < 0:
                continue
            if row is None:
                parts = one.said.get(place)
                text = "" if parts is None else "".join(parts)
                yield {"place": place, "repeat": call.repeat, "offset": min(at, len(text)), "text": plain(text[at:])}
            else:
                yield {"place": place, "repeat": call.repeat, "offset": 0, **history.summed(row)}

    def _on_stop(self, args: Args) -> None:
        one = self._try(args)
        if one.future is not None:
            one.future.cancel()

    # -- inner

    def _history(self, span: Span) -> list[dict[str, Any]]:
        """The tries of a span, newest last: those of Python and of earlier days first, from the traces."""
        own = [one for one in list(self._tries) if one.row == span.row]
        traces = {one.sweep.trace_id for one in list(self._tries)}
        before = [entry for entry in history.sweeps(self._traces, span) if entry["trace_id"] not in traces]
        return before + [
            {
                "try": one.number,
                "trace_id": None,
                "started": one.started,
                "state": one.state,
                "changed": one.changed,
                "answers": len(one.sweep.plan.calls),
                "failed": sum(row["error"] is not None for row in list(one.sweep.rows.values())),
                "model": plain(one.sweep.plan.variants[-1].request.model),
                "cost_usd": _sum([row["cost_usd"] for row in list(one.sweep.rows.values())]),
            }
            for one in own
        ]

    def _said(self, said: dict[str, Any], args: Args) -> dict[str, Any]:
        return {**said, "cache": False} if args.get("fresh") is True else said

    def _try(self, args: Args) -> Try:
        number = args.get("try")
        if isinstance(number, int) and not isinstance(number, bool) and 1 <= number <= len(self._tries):
            return self._tries[number - 1]
        raise ValueError(f"there is no try {str(number)[:20]} in this graph; it may have been made anew")

    def _span(self, args: Args) -> Span:
        if args.get("epoch") != self._traces.store.epoch:
            raise ValueError("the page shows another reading of the traces: it will be brought up to date")
        row = args.get("row")
        if isinstance(row, bool) or not isinstance(row, int):
            raise ValueError("row must be a whole number")
        return span_of(self._traces, row)


def _sum(costs: list[float]) -> float | None:
    known = [cost for cost in costs if not math.isnan(cost)]
    return sum(known) if known else None
