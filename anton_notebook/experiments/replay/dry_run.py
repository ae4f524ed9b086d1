"""What a replay would do, before anything is sent: the same engine, with made-up answers.

Every made-up answer differs from the recorded one and asks for the same tools with the same arguments. So calls that are
planned as `inferred` may become `stale` when a real answer asks for something else.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from anton_notebook.experiments.replay.engine import EXECUTED, INFERRED, REUSED, STALE, CallOutcome, NodeResult
from anton_notebook.experiments.replay.live_executor import ProviderPool
from anton_notebook.experiments.replay.recording import Node
from anton_notebook.experiments.rerun import Budget, Call, Original, Plan, Quote
from anton_notebook.experiments.rerun.budget import Purse
from anton_notebook.experiments.rerun.cost_quote import quoted
from anton_notebook.model.html_repr import html_table
from anton_notebook.model.request import Request, Response

CAUTION = (
    "A replay of a trace repeats structural steps only: the next turn of the same conversation and recorded tool calls with "
    "equal arguments are inferred, everything else after a changed answer is stale. Functions in tools= bypass the program's "
    "own checks. Run the program itself with command= or program= for exact results."
)
MOST_ROWS = 30


class DryRunExecutor:
    """Sends nothing: answers are made up, functions are not called."""

    def __init__(self) -> None:
        self.requests: list[tuple[Node, Request]] = []
        self.calls: list[tuple[Node, Mapping[str, Any]]] = []

    async def ask(self, node: Node, request: Request) -> CallOutcome:
        """Return an answer of the same shape with other words."""
        self.requests.append((node, request))
        return CallOutcome(_other_answer(node.response or Response()))

    async def call(self, node: Node, arguments: Mapping[str, Any]) -> CallOutcome:
        """Return the recorded result."""
        self.calls.append((node, arguments))
        return CallOutcome(None, node.record.get("result"))


def _other_answer(response: Response) -> Response:
    calls = [{**call, "id": f"{call.get('id') or 'call'}_new"} for call in response.tool_calls]
    text = codecs.encode(response.text, "rot13")
    if text == response.text and not calls:
        text = "?" * (len(text) or 1) if text != "?" else "!"
    return replace(response, text=text, tool_calls=calls)


@dataclass
class ReplayPlan:
    """What a replay would do. `provenance` and `reasons` by span id; `quote` is for the requests that would be sent."""

    results: list[NodeResult]
    quote: Any
    provenance: dict[str, str] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    tools: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.provenance = {one.node.span_id: one.provenance for one in self.results}
        self.reasons = {one.node.span_id: one.reason for one in self.results}

    def count(self, provenance: str) -> int:
        """Return how many calls have this provenance."""
        return sum(word == provenance for word in self.provenance.values())

    def _repr_html_(self) -> str:
        rows = [(one.node.agent, one.node.name, one.provenance, one.reason) for one in self.results]
        more = [f"{len(rows) - MOST_ROWS:,} more: plan.provenance, plan.reasons"] if len(rows) > MOST_ROWS else []
        return html_table(
            "What a replay would do",
            "plan",
            ["agent", "call", "provenance", "reason"],
            rows[:MOST_ROWS],
            "; ".join([str(self), *more]),
        )

    def __str__(self) -> str:
        counts = ", ".join(f"{self.count(word)} {word}" for word in (REUSED, EXECUTED, INFERRED, STALE))
        tools = f"; functions of tools= called: {', '.join(sorted(set(self.tools)))}" if self.tools else ""
        return f"{counts}, if the new answers ask for the same tools; {self.quote}{tools}"


def quote_of(
    requests: Iterable[tuple[Node, Request]],
    providers: ProviderPool,
    budget: Budget | None,
    *,
    concurrency: int,
    cache: bool,
) -> Quote:
    """Quote these requests. Raises `BudgetError`, `UnknownProvider` and the like, as the run would before it sends."""
    quotes: list[Quote] = []
    seen: dict[str, int] = {}
    for node, request in requests:
        variant = providers.variant(node, request)
        if budget is not None:
            Purse(budget, variant.provider_name, variant.sent, variant.body)
        fingerprint = variant.fingerprint()
        nth = 1
        if fingerprint is not None:
            nth = seen[fingerprint] = seen.get(fingerprint, 0) + 1
        one = Plan(Original.of(node.span), [variant], [Call(variant, 1, fingerprint, nth)])
        quotes.append(quoted(one, concurrency=concurrency, cache=cache))
    return _sum(quotes)


def _sum(quotes: list[Quote]) -> Quote:
    values: dict[str, Any] = {}
    for one in fields(Quote):
        parts = [getattr(quote, one.name) for quote in quotes]
        if one.name == "unpriced_models":
            values[one.name] = tuple(dict.fromkeys(name for names in parts for name in names))
        elif any(part is None for part in parts):
            values[one.name] = None
        else:
            values[one.name] = sum(parts)
    return Quote(**values)
