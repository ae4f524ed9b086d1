"""How a price changes over time, and the arithmetic of a cost: a price found once is a multiplication ever after."""

from __future__ import annotations

import math
import time
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

import numpy as np

from anton_notebook.model.span import NAT, Float64, Int32, Int64
from anton_notebook.model.usage import Usage

NAN = math.nan
DAY = 86_400_000_000
MILLION = 1_000_000
BLOCK = 1 << 15
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Rates(NamedTuple):
    """US dollars per token of each class; NaN where no price is published.

    A class that a vendor does not price apart costs what the class does that contains it: a one-hour cache write what a
    cache write costs, images what other input or output costs, reasoning what output costs. Audio without a price of its
    own is unpriced, except at Google.
    """

    input: float
    output: float
    cache_read: float
    cache_write: float
    reasoning: float
    cache_write_1h: float
    audio_input: float
    audio_output: float
    image_input: float
    image_output: float


@dataclass(frozen=True, slots=True)
class Price:
    """What one model costs, in US dollars a token, between `since` and `until` (`None`: always).

    `tiers` are `(tokens, rates)`: above that many input tokens (cached ones counted) *all* tokens of the call cost
    those rates. `request` is a fixed price of each call. `source` is `"genai-prices <version>"` or `"override"`;
    `model` is the name of the entry that matched.
    """

    rates: Rates
    tiers: tuple[tuple[int, Rates], ...] = ()
    request: float = 0.0
    web_search: float = NAN
    source: str = "override"
    provider: str = ""
    model: str = ""
    since: datetime | None = None
    until: datetime | None = None

    @property
    def input(self) -> float:
        return self.rates.input

    @property
    def output(self) -> float:
        return self.rates.output

    @property
    def cache_read(self) -> float:
        return self.rates.cache_read

    @property
    def cache_write(self) -> float:
        return self.rates.cache_write

    def at(self, input_tokens: int) -> Rates:
        """The rates of a call with so many input tokens."""
        rates = self.rates
        for start, tier in self.tiers:
            if input_tokens > start:
                rates = tier
        return rates


@dataclass(frozen=True, slots=True)
class Rule:
    """A price that goes before the library's: one's own, or a correction."""

    patterns: tuple[str, ...]
    provider: str | None
    price: Price
    since: int | None = None
    until: int | None = None
    context_window: int | None = None
    max_output: int | None = None

    def matches(self, providers: Sequence[str], names: Sequence[str]) -> bool:
        if self.provider is not None and self.provider not in providers:
            return False
        return any(fnmatchcase(name, pattern) for name in names for pattern in self.patterns)

    def active(self, when: int) -> bool:
        return not ((self.since is not None and when < self.since) or (self.until is not None and when >= self.until))

    @property
    def key(self) -> tuple[tuple[str, ...], str | None, int | None]:
        return self.patterns, self.provider, self.since

    @property
    def rank(self) -> tuple[bool, int]:
        exact = not any(c in "*?[" for pattern in self.patterns for c in pattern)
        return exact, NAT if self.since is None else self.since


class Schedule:
    """All prices of one (provider, model): a cell per stretch of time between changes, and within it per stretch of
    the day."""

    def __init__(self, starts: list[int], cuts: list[int], cells: list[Price | None]) -> None:
        self.starts, self.cuts, self.cells = starts, cuts, cells
        self.dated = len(cells) > 1
        self.depth = max((len(cell.tiers) for cell in cells if cell), default=0)
        width = self.depth + 1
        unknown = Rates(*[NAN] * len(Rates._fields))
        self._steps = np.full((self.depth, len(cells)), np.inf)
        self._rates = np.full((4, len(cells) * width), NAN)
        for i, cell in enumerate(cells):
            for j in range(width):
                rates = unknown if cell is None else ((0, cell.rates), *cell.tiers)[min(j, len(cell.tiers))][1]
                request = NAN if cell is None else cell.request
                self._rates[:, i * width + j] = rates.input, rates.cache_read, rates.output, request
            for j, (start, _) in enumerate(cell.tiers if cell else ()):
                self._steps[j, i] = start
        self._holes = bool(np.isnan(self._rates).any())
        self._starts, self._cuts = np.array(starts, np.int64), np.array(cuts, np.int64)

    def find(self, when: int) -> Price | None:
        if not self.dated:
            return self.cells[0]
        day = bisect_right(self.cuts, when % DAY) - 1
        return self.cells[bisect_right(self.starts, when) * len(self.cuts) + day]

    def cost(self, when: int, usage: Usage) -> float:
        """Return US dollars of one call at a time; NaN where a count or the price of a count is unknown."""
        price, given, answer = self.find(when), usage.input_tokens, usage.output_tokens
        if price is None or given is None or answer is None or given < 0 or answer < 0:
            return NAN
        cached, written = max(usage.cached_tokens or 0, 0), max(usage.cache_write_tokens or 0, 0)
        # Counts that contradict each other: more cached than put in means that they stand beside the input.
        total = given if cached + written <= given else given + cached + written
        hour = min(usage.cache_write_1h_tokens or 0, written)
        fresh = total - cached - written
        audio_in = min(usage.audio_input_tokens or 0, fresh)
        image_in = min(usage.image_input_tokens or 0, fresh - audio_in)
        audio_out = min(usage.audio_output_tokens or 0, answer)
        image_out = min(usage.image_output_tokens or 0, answer - audio_out)
        reasoning = min(usage.reasoning_tokens or 0, answer - audio_out - image_out)
        rates = price.at(total)
        parts = (
            (fresh - audio_in - image_in, rates.input),
            (cached, rates.cache_read),
            (written - hour, rates.cache_write),
            (hour, rates.cache_write_1h),
            (audio_in, rates.audio_input),
            (image_in, rates.image_input),
            (answer - audio_out - image_out - reasoning, rates.output),
            (reasoning, rates.reasoning),
            (audio_out, rates.audio_output),
            (image_out, rates.image_output),
            (usage.web_searches or 0, price.web_search),
        )
        return sum(_times(number, rate) for number, rate in parts) + price.request

    def costs(self, when: Int64, input: Int32, output: Int32, cached: Int32) -> Float64:
        n = len(input)
        if n <= 8:
            unknown = now() if self.dated else 0
            times = [unknown if t == NAT else t for t in when.tolist()]
            rows = zip(times, input.tolist(), output.tolist(), cached.tolist(), strict=True)
            return np.array([self.cost(t, Usage(i, o, c)) for t, i, o, c in rows], np.float64)
        result = np.empty(n, np.float64)
        for at in range(0, n, BLOCK):
            part = slice(at, at + BLOCK)
            self._block(when[part], input[part], output[part], cached[part], result[part])
        return result

    def cells_at(self, when: Int64) -> Int64:
        """Which cell holds at each of these times (microseconds; `NAT`: now)."""
        when = np.where(when == NAT, now(), when)
        place: Int64 = np.searchsorted(self._starts, when, side="right").astype(np.int64) * len(self._cuts)
        if len(self._cuts) > 1:
            place += np.searchsorted(self._cuts, when % DAY, side="right") - 1
        return place

    def _block(self, when: Int64, input: Int32, output: Int32, cached: Int32, result: Float64) -> None:
        cached = np.maximum(cached, 0)
        fresh = input - cached
        np.copyto(fresh, input, where=fresh < 0)
        place: Any = self.cells_at(when) if self.dated else 0
        cell = place
        if self.depth:
            total = fresh.astype(np.float64) + cached
            place = place * (self.depth + 1) + (total > self._steps[0][cell])
            for step in self._steps[1:]:
                place += total > step[cell]
        rates = self._rates.take(place, axis=1)
        np.multiply(fresh, rates[0], out=result)
        for count, rate in ((cached, rates[1]), (output, rates[2])):
            result += count * rate
        result += rates[3]
        if self._holes:
            parts = ((fresh, rates[0]), (cached, rates[1]), (output, rates[2]))
            result[:] = sum(np.where(count == 0, 0.0, count * rate) for count, rate in parts) + rates[3]
        result[(input < 0) | (output < 0)] = NAN


def rates_of(input: float, output: float, cached: float | None = None, cache_write: float | None = None) -> Rates:
    read, write = input if cached is None else cached, input if cache_write is None else cache_write
    values = (input, output, read, write, output, write, input, output, input, output)
    return Rates(*(value / MILLION for value in values))


def _times(count: int, rate: float) -> float:
    return count * rate if count else 0.0


def now() -> int:
    return time.time_ns() // 1000


def micros(when: datetime | int | None) -> int:
    if when is None or when == NAT:
        return now()
    return when if isinstance(when, int) else moment(when)


def moment(when: datetime | date | str) -> int:
    if isinstance(when, str):
        when = datetime.fromisoformat(when)
    if not isinstance(when, datetime):
        when = datetime(when.year, when.month, when.day)
    return ((when if when.tzinfo else when.replace(tzinfo=UTC)) - EPOCH) // timedelta(microseconds=1)


def as_datetime(micros: int | None) -> datetime | None:
    return None if micros is None else EPOCH + timedelta(microseconds=micros)
