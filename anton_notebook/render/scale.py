"""Inner: how time, or the order of starts, becomes x. The rules of `js/src/layout/time-scale.ts`, for a whole run at once."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

MEDIAN_WIDTH = 90.0  # px: a model call of median length is one and a half node widths long
USUAL_CALL_MS = 3_000.0
MAX_WIDTH = 8_000.0
SAMPLES = 2_000
HOUR = 3_600_000.0
WRONG_CLOCK = 500.0  # a clock that many times farther off than the rest is wrong, and stands at the edge
STEP = 76.0


@dataclass(frozen=True)
class Sums:
    """What lies under a node: `spans` and `errors` without itself, the rest with it."""

    spans: int
    errors: int
    cost: float
    at_least: bool
    tokens: int


@dataclass
class Spans:
    """What a picture is made of, one entry a span; the first trace is the one looked at. Times in ms since 1970 UTC."""

    start: Floats
    duration: npt.NDArray[np.float32]  # ms, NaN unknown or running
    status: npt.NDArray[np.uint8]  # 0 running, 1 ok, 2 error
    kind: npt.NDArray[np.int64]  # 0 orchestrator, 1 agent, 2 llm, 3 tool, 4 other
    parent: npt.NDArray[np.int64]  # -1: none that is shown
    trace: npt.NDArray[np.int64]
    agents: list[str]
    names: list[str]
    models: list[str]
    flags: npt.NDArray[np.uint8]
    provenance: npt.NDArray[np.uint8]
    cost: npt.NDArray[np.float32]
    ends: list[float | None] = field(default_factory=list)  # by trace: when its run ended, None while it goes on
    rows: npt.NDArray[np.int64] = field(
        default_factory=lambda: np.empty(0, np.int64)
    )  # of the store; empty: 0, 1, 2, …
    classes: list[Any] = field(default_factory=list)  # equal for what has trace, kind, agent, name and model in common
    tokens: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))  # 0 unknown
    sums: dict[int, Sums] = field(default_factory=dict)  # of folded nodes, where not all under them is among the spans

    def __len__(self) -> int:
        return len(self.start)


class TimeScale:
    """Linear time; each trace counts from its own start."""

    def __init__(self, spans: Spans) -> None:
        self.per_ms, self.unit = MEDIAN_WIDTH / USUAL_CALL_MS, 1.0
        self.low, self.high = -HOUR, math.inf
        traces = int(spans.trace.max(initial=-1)) + 1
        known = ~np.isnan(spans.start)
        took = np.where(spans.duration > 0, spans.duration, 0).astype(np.float64)
        self.origins = [float(spans.start[known & (spans.trace == t)].min(initial=math.inf)) for t in range(traces)]
        finish = [float((spans.start + took)[known & (spans.trace == t)].max(initial=-math.inf)) for t in range(traces)]
        longest = max(
            [0.0, *(b - a for a, b in zip(self.origins, finish, strict=True) if math.isfinite(a) and math.isfinite(b))]
        )
        step = max(1, len(spans) // SAMPLES)
        sampled = np.arange(0, len(spans), step)
        sampled = sampled[known[sampled]]
        times = spans.start[sampled] - np.array(self.origins)[spans.trace[sampled]] if len(sampled) else np.empty(0)
        calls = spans.duration[sampled[(spans.kind[sampled] == 2) & (spans.duration[sampled] > 0)]].astype(np.float64)
        length = longest
        if len(times) >= 20:
            begin = _quantile(times, 0.05)
            usual = max(_quantile(times, 0.95) - begin, 1.0)
            if longest > usual * WRONG_CLOCK:
                self.origins = [origin + begin for origin in self.origins]
                self.low, self.high = -usual * 0.2, usual * 1.4
                length = self.high - self.low
        median = _quantile(calls, 0.5) if len(calls) else USUAL_CALL_MS
        ideal = MEDIAN_WIDTH / min(max(median, 20.0), HOUR)
        self.per_ms = min(ideal, MAX_WIDTH / length) if length > 0 else ideal
        self.unit = self.per_ms / ideal

    def x(self, time: float, trace: int) -> float:
        """World px of a time in ms."""
        origin = self.origins[trace]
        after = time - (origin if math.isfinite(origin) else time)
        return min(max(after, self.low), self.high) * self.per_ms

    def length(self, duration: float) -> float:
        """World px of a duration in ms."""
        return min(duration, self.high) * self.per_ms if duration > 0 else 0.0


class Columns:
    """The order of starts: no span stands left of an earlier one, and what shares a column was at work together."""

    def __init__(self, spans: Spans) -> None:
        self.spans, self.last, self.step = spans, 0, STEP
        self._members: list[int] = []

    def place(self, slot: int, start: float, after: int) -> int:
        """The column for a span that must stand right of column `after`."""
        if after >= self.last or any(self._ended(other, start) for other in self._members):
            self.last += 1
            self._members = []
        self._members.append(slot)
        return self.last

    def fit(self) -> None:
        """Too long an order is drawn closer together."""
        self.step = min(STEP, max(MAX_WIDTH / (self.last + 1), 0.005))

    def _ended(self, slot: int, time: float) -> bool:
        spans = self.spans
        took = float(spans.duration[slot])
        return bool(spans.status[slot]) and float(spans.start[slot]) + (took if took > 0 else 0.0) <= time


def _quantile(values: Floats, share: float) -> float:
    ordered = np.sort(values)
    return float(ordered[min(len(ordered) - 1, math.floor(share * len(ordered)))])
