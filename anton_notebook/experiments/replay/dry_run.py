"""Inner: what a replay would do, before anything is sent: the same walk, with answers that are only guessed.

A guessed answer says something else in every long text and has the shape of the recorded one. So what a plan calls `inferred`
may still become `stale`, when a real answer has another shape, and what it would send may turn out to be as recorded.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from anton_notebook.experiments.compare import json_in
from anton_notebook.experiments.replay.answer_diff import LEAST, chosen
from anton_notebook.experiments.replay.dependencies import silent
from anton_notebook.experiments.replay.engine import Told, Verdict
from anton_notebook.experiments.replay.live_executor import Senders
from anton_notebook.experiments.replay.recording import Node
from anton_notebook.experiments.rerun import Budget, Call, Original, Plan, Quote
from anton_notebook.experiments.rerun.budget import Purse
from anton_notebook.experiments.rerun.cost_quote import quoted
from anton_notebook.model.html_repr import html_table
from anton_notebook.model.request import Request, Response

CAUTION = (
    "From a trace alone, a replay shows what would follow if the program only copies values; calls marked inferred rest on "
    "that, and the trace cannot prove it."
)


LISTED = 30


class Guesses:
    """Hands that send nothing: every answer is guessed, every tool gives what it gave."""

    def __init__(self) -> None:
        self.requests: list[tuple[Node, Request]] = []
        self.calls: list[tuple[Node, Mapping[str, Any]]] = []

    async def ask(self, node: Node, request: Request, provenance: str) -> Told:
        self.requests.append((node, request))
        return Told(_asks_again(node) if silent(node) else guessed(node.response or Response(), node.asks))

    async def call(self, node: Node, arguments: Any, provenance: str) -> Told:
        self.calls.append((node, arguments))
        return Told(None, node.record.get("result"))


def _asks_again(node: Node) -> Response:
    """An answer that asks for the tools that were called after a recorded one of which only those are known."""
    calls = [
        {"id": f"call_{at}", "name": tool.name, "arguments": {}}
        for at, (_, tool) in enumerate(sorted(node.results.items()))
    ]
    return Response("", calls, finish_reason="tool_calls")


def guessed(response: Response, asked: str = "") -> Response:
    """An answer of the same shape, with the same choices, that says something else. Words of what was `asked` stay, as names do.

    >>> guessed(Response('{"module": "web", "task": "Write the parser"}'), "What is to be done for the web?").text
    '{"module": "web", "task": "Jevgr the cnefre"}'
    """
    names = frozenset(_WORD.findall(asked))
    try:
        value = json_in(response.text)
    except ValueError:
        text = other(response.text, names)
    else:
        style = next((one for one in _STYLES if json.dumps(value, **one) == response.text), {"ensure_ascii": False})
        text = json.dumps(_other(value, names), **style)
    return Response(text, response.tool_calls, response.usage, response.finish_reason, response.model)


def other(text: str, names: frozenset[str] = frozenset()) -> str:
    """Another text of the same shape, line by line."""
    return "".join(_said(line, names) for line in text.splitlines(keepends=True))


_STYLES: tuple[dict[str, Any], ...] = ({}, {"indent": 1}, {"indent": 2}, {"indent": 4}, {"separators": (",", ":")})
_WORD = re.compile(r"[^\W_]+")
_PART = re.compile(r"(?:[^\s/]*/)+|[^\W_]+")
"""The folders that a word stands in, or a word: another file is likely to be in the same."""


def _said(line: str, names: frozenset[str]) -> str:
    if len(line.strip()) < LEAST or chosen(line):
        return line
    turned = _PART.sub(
        lambda one: one[0] if one[0][-1] == "/" or one[0] in names else codecs.encode(one[0], "rot13"), line
    )
    turned = turned if turned != line else codecs.encode(line, "rot13")
    return turned if turned != line else line.replace(line.strip(), "?" * len(line.strip()))


def _other(value: Any, names: frozenset[str]) -> Any:
    if isinstance(value, str):
        return other(value, names)
    if isinstance(value, Mapping):
        return {key: _other(inner, names) for key, inner in value.items()}
    if isinstance(value, list):
        return [_other(inner, names) for inner in value]
    return value


@dataclass
class ReplayPlan:
    """What a replay would do. `provenance` and `reasons` by span id; `calls` requests would go out, for `quote`."""

    verdicts: list[Verdict]
    quote: Any
    provenance: dict[str, str] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    tools: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.provenance = {v.node.span_id: v.provenance for v in self.verdicts}
        self.reasons = {v.node.span_id: v.reason for v in self.verdicts}

    def count(self, provenance: str) -> int:
        """How many calls are planned to be this."""
        return sum(found == provenance for found in self.provenance.values())

    def _repr_html_(self) -> str:
        rows = [(v.node.agent, v.node.name, v.provenance, v.reason) for v in self.verdicts]
        more = [f"{len(rows) - LISTED:,} more: plan.provenance, plan.reasons"] if len(rows) > LISTED else []
        return html_table(
            "What a replay would do",
            "plan",
            ["agent", "call", "provenance", "reason"],
            rows[:LISTED],
            "; ".join([str(self), *more]),
        )

    def __str__(self) -> str:
        said = ", ".join(f"{self.count(word)} {word}" for word in ("reused", "executed", "inferred", "stale"))
        tools = f"; functions of tools= called: {', '.join(sorted(set(self.tools)))}" if self.tools else ""
        return f"{said}, if the new answers have the shape of the recorded ones; {self.quote}{tools}"


def quote_of(
    requests: Iterable[tuple[Node, Request]], senders: Senders, budget: Budget | None, *, concurrency: int, cache: bool
) -> Quote:
    """What these requests would take. Raises `BudgetError`, `UnknownProvider` and the like, as the run would before it sends."""
    variants = [(node, senders.variant(node, request)) for node, request in requests]
    quotes: list[Quote] = []
    seen: dict[str, int] = {}
    for node, variant in variants:
        if budget is not None:
            Purse(budget, variant.provider_name, variant.sent, variant.body)
        mark = variant.fingerprint()
        nth = 1
        if mark is not None:
            nth = seen[mark] = seen.get(mark, 0) + 1
        one = Plan(Original.of(node.span), [variant], [Call(variant, 1, mark, nth)])
        quotes.append(quoted(one, concurrency=concurrency, cache=cache))
    return _together(quotes)


def _together(quotes: list[Quote]) -> Quote:
    """The sum of quotes."""
    values: dict[str, Any] = {}
    for one in fields(Quote):
        found = [getattr(quote, one.name) for quote in quotes]
        if one.name == "unpriced_models":
            values[one.name] = tuple(dict.fromkeys(name for names in found for name in names))
        elif any(value is None for value in found):
            values[one.name] = None
        else:
            values[one.name] = sum(found)
    return Quote(**values)
