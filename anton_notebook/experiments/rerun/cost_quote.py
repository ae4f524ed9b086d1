"""Inner: what a sweep would cost, before anything is asked."""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import dataclass

from anton_notebook import pricing
from anton_notebook.errors import BudgetError
from anton_notebook.experiments.rerun.answer_cache import Answers
from anton_notebook.experiments.rerun.budget import PICO, cost_of, worst_case
from anton_notebook.experiments.rerun.variants import Call, Plan
from anton_notebook.model.formatting import format_duration, format_usd
from anton_notebook.model.html_repr import html_facts
from anton_notebook.model.request import Usage

BYTES_A_TOKEN = 4.0
TOKENS_A_SECOND = 50.0


@dataclass(frozen=True)
class Quote:
    """What a sweep would take. Dollars are NaN where no price is known, seconds are rough.

    `calls` go out, `cached_calls` do not. `cost_low_usd` takes answers as long as the recorded one, `cost_high_usd` is the worst
    case of one attempt each, which `budget=` would set aside. `unpriced_models` are those without a price.
    """

    calls: int
    cached_calls: int
    input_tokens: int
    output_tokens_low: int
    output_tokens_high: int | None
    cost_low_usd: float
    cost_high_usd: float
    seconds: float
    unpriced_models: tuple[str, ...] = ()

    def __str__(self) -> str:
        if not self.calls:
            kept = "the answer is" if self.cached_calls == 1 else f"all {self.cached_calls:,} answers are"
            return f"nothing to pay: {kept} kept already"
        noun = "call" if self.calls == 1 else "calls"
        attempts = "one attempt" if self.calls == 1 else "one attempt each"
        more = "one more is" if self.cached_calls == 1 else f"{self.cached_calls:,} more are"
        kept = f" ({more} kept already)" if self.cached_calls else ""
        tokens = f"about {self.input_tokens:,} tokens in and {self.output_tokens_low:,} out"
        low, high = (
            format_usd(value) if not math.isnan(value) else "an unknown price"
            for value in (self.cost_low_usd, self.cost_high_usd)
        )
        money = low if low == high else f"{low}, at most {high} for {attempts}"
        unknown = (
            f"; no price is known for {', '.join(self.unpriced_models)}: anb.set_price" if self.unpriced_models else ""
        )
        return f"{self.calls:,} {noun}{kept}, {tokens}, {money}, about {format_duration(self.seconds * 1000)}{unknown}"

    def _repr_html_(self) -> str:
        unknown = "unknown"
        low, high = (format_usd(n) if not math.isnan(n) else unknown for n in (self.cost_low_usd, self.cost_high_usd))
        most = "" if self.output_tokens_high is None else f", at most {self.output_tokens_high:,}"
        facts = {
            "calls": f"{self.calls:,}"
            + (f" ({self.cached_calls:,} more are kept already)" if self.cached_calls else ""),
            "tokens": f"about {self.input_tokens:,} in, {self.output_tokens_low:,} out{most}",
            "cost": low if low == high else f"{low}, at most {high} for one attempt each",
            "time": f"about {format_duration(self.seconds * 1000)}",
            "no price known": ", ".join(self.unpriced_models) and f"{', '.join(self.unpriced_models)}: anb.set_price",
        }
        return html_facts("What it would take", "quote", facts)


def quoted(plan: Plan, *, concurrency: int = 8, cache: bool = True) -> Quote:
    """The quote for a plan."""
    hits = _kept(plan, cache)
    due = [call for call in plan.calls if (call.fingerprint, call.nth) not in hits]
    original = plan.original
    said = _recorded_output(plan)
    asked = low = 0
    high: int | None = 0
    cheap = dear = 0.0
    unpriced: list[str] = []
    for number, times in Counter(call.variant.number for call in due).items():
        variant = next(v for v in plan.variants if v.number == number)
        size = len(json.dumps(variant.body, ensure_ascii=False, default=str))
        tokens = math.ceil(size / BYTES_A_TOKEN)
        limit = variant.body.get("max_tokens") or variant.body.get("max_completion_tokens")
        limit = (
            limit if isinstance(limit, int) else pricing.context_window(variant.provider_name, variant.request.model)
        )
        each = min(said, limit) if limit else said
        asked, low = asked + times * tokens, low + times * each
        high = None if high is None or limit is None else high + times * limit
        price = cost_of(variant.provider_name, variant.request.model, Usage(tokens, each, 0))
        if math.isnan(price):
            unpriced.append(variant.request.model)
        cheap += times * price
        try:
            dear += times * worst_case(variant.provider_name, variant.sent, variant.body) / PICO
        except BudgetError:
            dear = math.nan
    seconds = original.duration_ms / 1000 if not math.isnan(original.duration_ms) else said / TOKENS_A_SECOND
    rounds = math.ceil(len(due) / max(1, concurrency))
    return Quote(
        len(due),
        len(plan.calls) - len(due),
        asked,
        low,
        high,
        cheap,
        dear,
        rounds * seconds,
        tuple(dict.fromkeys(unpriced)),
    )


def _recorded_output(plan: Plan) -> int:
    answer = plan.original.response
    return 500 if answer is None else max(1, math.ceil(len(answer.encode("utf-8", "replace")) / BYTES_A_TOKEN))


def _kept(plan: Plan, cache: bool) -> set[tuple[str | None, int]]:
    wanted: list[tuple[str, int]] = [
        (c.fingerprint, c.nth) for c in plan.calls if isinstance(c, Call) and c.fingerprint is not None
    ]
    if not cache or plan.original.home is None:
        return set()
    return set(Answers(plan.original.home).find(wanted))
