"""Prices of models at a time, and the cost of a usage, in US dollars. Nothing here goes over the network.

Prices come from the table that `genai-prices` bundles and from `set_price`. A price is resolved once per provider, model,
service tier, speed and geography as a schedule of the times at which it changes; a cost is then a multiplication. An
unknown price is None and an unknown cost NaN, never 0. Usage is normalized: see `anton_notebook.model.usage`.
"""

from __future__ import annotations

import difflib
import math
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date, datetime
from functools import lru_cache
from typing import Any

import numpy as np

from anton_notebook.model.span import Float64, Int32, Int64
from anton_notebook.model.usage import Usage
from anton_notebook.pricing import genai_prices
from anton_notebook.pricing.schedule import NAN, Price, Rates, Rule, Schedule, as_datetime, micros, moment, rates_of

__all__ = [
    "Price",
    "Prices",
    "Rates",
    "context_window",
    "cost",
    "cost_array",
    "cost_source",
    "cost_sources",
    "max_output",
    "nearest",
    "price_of",
    "provider_of",
    "reset_prices",
    "set_price",
    "usage_cost",
    "version",
]


class Prices:
    """An immutable set of one's own prices over the library's; safe to share between threads.

    >>> mine = Prices.of({"llama3*": {"input": 0.1, "output": 0.2}})
    >>> round(mine.cost("ollama", "llama3.2:3b", None, 1_000_000, 0), 6)
    0.1
    """

    def __init__(self, rules: Iterable[Rule] = ()) -> None:
        self._rules = tuple(rules)
        self._schedules: dict[tuple[str, str, genai_prices.Context], Schedule | None] = {}

    @classmethod
    def of(cls, prices: Prices | Mapping[str, Mapping[str, Any]] | None = None) -> Prices:
        """`prices` as users give them for one call: `{model: {"input": 0.15, "output": 0.6, ...}}` with the keywords
        of `set_price`, before those already set. `None` gives the prices that are set now."""
        if isinstance(prices, Prices):
            return prices
        found = _current
        for model, fields in (prices or {}).items():
            found = found.having(_rule(model, **fields))
        return found

    def having(self, rule: Rule) -> Prices:
        """These prices and one more; the same model, provider and start replace."""
        return Prices([*(old for old in self._rules if old.key != rule.key), rule])

    def schedule(self, provider: str, model: str, context: genai_prices.Context = ()) -> Schedule | None:
        key = (provider, model, context)
        try:
            return self._schedules[key]
        except KeyError:
            if len(self._schedules) > 10_000:
                self._schedules.clear()
            made = self._schedules[key] = genai_prices.schedule(provider, model, self._own(provider, model), context)
            return made

    def _own(self, provider: str, model: str) -> list[Rule]:
        found = genai_prices.find(provider, model)
        names = [
            genai_prices.plain(model),
            genai_prices.plain(model).rpartition("/")[2],
            *([found.name] if found else []),
        ]
        providers = [
            provider.lower().strip(),
            genai_prices.provider_name(provider),
            *([found.provider] if found else []),
        ]
        return [rule for rule in self._rules if rule.matches(providers, names)]

    def price_of(self, provider: str, model: str, when: datetime | int | None = None) -> Price | None:
        """The price of a model at a time (a `datetime`, microseconds since 1970, or `None`: now); `None` if unknown."""
        schedule = self.schedule(provider, model)
        return None if schedule is None else schedule.find(micros(when))

    def cost(
        self,
        provider: str,
        model: str,
        when: datetime | int | None,
        input_tokens: int | None,
        output_tokens: int | None,
        cached_tokens: int | None = 0,
        cache_write_tokens: int | None = 0,
        reasoning_tokens: int | None = 0,
    ) -> float:
        """Return US dollars of one call, NaN if unknown; see `usage_cost` for the meaning of the counts."""
        usage = Usage(
            input_tokens,
            output_tokens,
            cached_tokens,
            cache_write_tokens,
            reasoning_tokens=reasoning_tokens,
        )
        return self.usage_cost(provider, model, when, usage)

    def usage_cost(self, provider: str, model: str, when: datetime | int | None, usage: Usage) -> float:
        """Return US dollars of all that a call used; see the function of this name."""
        words = (("service_tier", usage.service_tier), ("speed", usage.speed), ("geography", usage.geography))
        context = tuple((name, word.lower()) for name, word in words if word)
        schedule = self.schedule(provider, model, context)
        if schedule is None:
            return NAN
        return schedule.cost(micros(when) if schedule.dated else 0, usage)

    def cost_array(self, provider: str, model: str, when: Int64, input: Int32, output: Int32, cached: Int32) -> Float64:
        """US dollars of many calls of one model. `when`: microseconds since 1970 (`NAT`: now); tokens -1 where
        unknown."""
        schedule = self.schedule(provider, model)
        return np.full(len(input), NAN) if schedule is None else schedule.costs(when, input, output, cached)

    def cost_source(self, provider: str, model: str, when: datetime | int | None = None) -> str:
        """Where the price comes from: `"genai-prices <version>"`, `"override"` or `"unpriced"`."""
        price = self.price_of(provider, model, when)
        return "unpriced" if price is None else price.source

    def cost_sources(self, provider: str, model: str, when: Int64) -> tuple[list[str], Int64]:
        """The words that `cost_source` may give, and which of them holds at each of these times (microseconds; `NAT`:
        now). One word alone where it is the same at all times."""
        schedule = self.schedule(provider, model)
        known = {cell.source for cell in schedule.cells if cell} if schedule is not None else ()
        if schedule is None or len(known) < 2:
            return [next(iter(known), "unpriced")], np.zeros(len(when), np.int64)
        return ["unpriced" if cell is None else cell.source for cell in schedule.cells], schedule.cells_at(when)

    def limit(self, provider: str, model: str, field: str) -> int | None:
        own = [getattr(rule, field) for rule in self._own(provider, model)]
        return next((value for value in reversed(own) if value is not None), None)


version = 0
"""Rises with every `set_price` and `reset_prices`: what has been priced under another version is out of date."""

_current = Prices()
_lock = threading.Lock()


def set_price(
    model: str,
    *,
    input: float,
    output: float,
    cached: float | None = None,
    cache_write: float | None = None,
    provider: str | None = None,
    since: datetime | date | str | None = None,
    until: datetime | date | str | None = None,
    context_window: int | None = None,
    max_output: int | None = None,
) -> None:
    """Set the price of a model for everything that is priced from now on.

    Args:
        model: The model's name, or a pattern such as `llama3*`. Of several rules that fit, an exact name goes before a
            pattern, then the later `since`, then the one set last.
        input: US dollars per million input tokens.
        output: US dollars per million output tokens.
        cached: US dollars per million cached tokens; default: `input`.
        cache_write: US dollars per million tokens written to a cache; default: `input`.
        provider: Only for this provider; default: every provider.
        since: The price holds from this time on (UTC); default: always.
        until: The price holds before this time (UTC); default: for ever.
        context_window: Tokens that the model takes.
        max_output: Tokens that the model writes at most.

    Raises:
        ValueError: A price is negative or not a number, or `until` is not after `since`.

    >>> set_price("my-model", input=0.15, output=0.6)
    >>> cost("ollama", "my-model", None, 1_000_000, 1_000_000)
    0.75
    >>> reset_prices()
    """
    rule = _rule(
        model,
        input=input,
        output=output,
        cached=cached,
        cache_write=cache_write,
        provider=provider,
        since=since,
        until=until,
        context_window=context_window,
        max_output=max_output,
    )
    _become(lambda old: old.having(rule))


def reset_prices() -> None:
    """Forgets everything that `set_price` has set.

    >>> set_price("my-local-model", input=0, output=0)
    >>> reset_prices()
    """
    _become(lambda old: Prices())


@contextmanager
def only(prices: Prices) -> Iterator[None]:
    """In this process these prices hold meanwhile: those of the process that a piece of work comes from."""
    global _current
    with _lock:
        before, _current = _current, prices
    try:
        yield
    finally:
        with _lock:
            _current = before


def _become(change: Callable[[Prices], Prices]) -> None:
    global _current, version
    with _lock:
        _current = change(_current)
        version += 1


def price_of(provider: str, model: str, when: datetime | int | None = None) -> Price | None:
    """The price of a model at a time (default: now), or `None` where it is not known.

    >>> price_of("openai", "o3", datetime(2025, 5, 1)).output * 1e6
    40.0
    >>> price_of("ollama", "llama3.2:3b") is None
    True
    """
    return _current.price_of(provider, model, when)


def cost(
    provider: str,
    model: str,
    when: datetime | int | None,
    input_tokens: int | None,
    output_tokens: int | None,
    cached_tokens: int | None = 0,
    cache_write_tokens: int | None = 0,
    reasoning_tokens: int | None = 0,
) -> float:
    """US dollars of one call, `NaN` where unknown; see `Prices.cost`."""
    tokens = input_tokens, output_tokens, cached_tokens, cache_write_tokens, reasoning_tokens
    return _current.cost(provider, model, when, *tokens)


def usage_cost(provider: str, model: str, when: datetime | int | None, usage: Usage) -> float:
    """Return the cost of all that a call used.

    Args:
        provider: The provider as recorded; may be empty if the model's name tells it.
        model: The model that answered.
        when: The time of the call: a datetime, microseconds since 1970, or None for now.
        usage: What the call used; `input_tokens` includes cached reads and writes.

    Returns:
        US dollars; NaN if a count is missing, or if any class of tokens, tier or fee has no known price.

    Examples:
        >>> round(usage_cost("openai", "gpt-4o", None, Usage(1000, 100)), 6)
        0.0035
    """
    return _current.usage_cost(provider, model, when, usage)


def cost_array(provider: str, model: str, when: Int64, input: Int32, output: Int32, cached: Int32) -> Float64:
    """US dollars of many calls of one model, `NaN` where unknown; see `Prices.cost_array`. It is a `span.Pricer`."""
    return _current.cost_array(provider, model, when, input, output, cached)


def cost_source(provider: str, model: str, when: datetime | int | None = None) -> str:
    """Where a price comes from; see `Prices.cost_source`."""
    return _current.cost_source(provider, model, when)


def cost_sources(provider: str, model: str, when: Int64) -> tuple[list[str], Int64]:
    """Where the prices of many calls come from; see `Prices.cost_sources`."""
    return _current.cost_sources(provider, model, when)


def provider_of(provider: str, model: str) -> str:
    """Who serves a model, as the library names it: what was recorded, else what the model's name says, else `""`.

    >>> provider_of("claude", "x"), provider_of("unknown", "gpt-4o"), provider_of("unknown", "llama3.2:3b")
    ('anthropic', 'openai', '')
    """
    said = genai_prices.provider_name(provider)
    if said:
        return said
    found = genai_prices.find(provider, model)
    return found.provider if found else ""


def context_window(provider: str, model: str) -> int | None:
    """How many tokens the model takes, or `None` where that is not known."""
    own = _current.limit(provider, model, "context_window")
    found = genai_prices.find(provider, model)
    return own if own is not None else found.model.context_window if found else None


def max_output(provider: str, model: str) -> int | None:
    """How many tokens the model writes at most, as `set_price` said it; the library does not know, so else `None`."""
    return _current.limit(provider, model, "max_output")


@lru_cache(1024)
def nearest(model: str, limit: int = 3) -> list[str]:
    """The known names that are most like this one, best first; for the sentence that says a price is unknown."""
    word = genai_prices.plain(model[:300]).rpartition("/")[2]
    return difflib.get_close_matches(word, genai_prices.names(), limit, 0.6) if len(word) <= 100 else []


def _rule(
    model: str,
    *,
    input: float,
    output: float,
    cached: float | None = None,
    cache_write: float | None = None,
    provider: str | None = None,
    since: datetime | date | str | None = None,
    until: datetime | date | str | None = None,
    context_window: int | None = None,
    max_output: int | None = None,
) -> Rule:
    for field, value in (("input", input), ("output", output), ("cached", cached), ("cache_write", cache_write)):
        if value is not None and not (isinstance(value, int | float) and math.isfinite(value) and value >= 0):
            text = f"{field}={value!r} for {model!r} is not a price; give US dollars per million tokens, 0 or more"
            raise ValueError(text)
    start, end = (None if edge is None else moment(edge) for edge in (since, until))
    if start is not None and end is not None and end <= start:
        raise ValueError(f"until={until!r} is not after since={since!r} in the price of {model!r}")
    price = Price(
        rates_of(input, output, cached, cache_write), model=model, since=as_datetime(start), until=as_datetime(end)
    )
    who = None if provider is None else genai_prices.provider_name(provider) or provider.lower()
    return Rule((genai_prices.plain(model),), who, price, start, end, context_window, max_output)
