"""Inner: where each span stands. The rules of `js/src/layout`, for a whole run at once; one file of positions holds both."""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from anton_notebook.render.collapse import Folds
from anton_notebook.render.scale import Columns, Floats, Spans, TimeScale

ROW_HEIGHT, HEAD_ROOM, BAND_GAP, TRACE_GAP = 64.0, 34.0, 22.0, 46.0
WANTED_LINES, MOST_LINES, RESERVED = (1, 2, 3, 2), 48, (0, 1, 2, 0)
GROUP_OF_KIND = (0, 0, 1, 2, 3)
WIDTHS = (48.0, 68.0, 58.0, 48.0)
_CALLERS = 64


@dataclass
class Line:
    """One line of nodes, by x."""

    keys: list[float] = field(default_factory=list)
    slots: list[int] = field(default_factory=list)
    y: float = math.nan
    true_end: float = -math.inf
    visual_end: float = -math.inf

    def free(self, x: float, end: float, width: float, ends: Floats) -> int:
        """2: free, with room for the whole node; 1: free in time; 0: another span is at work there."""
        if not self.keys or x >= self.keys[-1]:
            return 2 if x >= self.visual_end else 1 if x >= self.true_end else 0
        following = bisect_right(self.keys, x)
        key = self.keys[following]
        before = float(ends[self.slots[following - 1]]) if following else -math.inf
        room = self.keys[following - 1] + width if following else -math.inf
        if before > x or end > key:
            return 0
        return 2 if max(before, room) <= x and x + width <= key else 1

    def insert(self, x: float, slot: int) -> None:
        """Takes a span in."""
        key = float(np.float32(x))
        at = len(self.keys) if not self.keys or key >= self.keys[-1] else bisect_right(self.keys, key)
        self.keys.insert(at, key)
        self.slots.insert(at, slot)


@dataclass
class Band:
    """One agent of one trace: lines for the agent itself, its model calls, its tool calls, others."""

    number: int
    trace: int
    label: str
    lines: list[list[Line]] = field(default_factory=lambda: [[], [], [], []])
    start: float = math.inf
    orchestrator: bool = False
    y0: float = 0.0
    y1: float = 0.0


class Layout:
    """Positions in world units (px at zoom 1): `x`, `y` of the nodes, `x1` of the bars' ends (infinite while they run).

    What `folds` hides has none: it stays at 0.
    """

    def __init__(self, spans: Spans, mode: str = "time", folds: Folds | None = None) -> None:
        self.spans, self.mode = spans, mode
        self.folds = folds or Folds(spans)
        count = len(spans)
        self.x = np.zeros(count, np.float32)
        self.y = np.zeros(count, np.float32)
        self.x1 = np.zeros(count, np.float32)
        self._ends: Floats = np.zeros(count)
        self._line: list[Line | None] = [None] * count
        self._band: list[Band | None] = [None] * count
        self.bands: list[Band] = []
        self._found: dict[tuple[int, str], Band] = {}
        self.scale = TimeScale(spans)
        self.columns = Columns(spans)
        self.columns.step = 1.0
        self.bottom = 0.0
        starts = spans.start.copy()
        if np.isnan(starts).any():  # an unknown start stands where it arrived
            filled = np.where(np.isnan(starts), -np.inf, starts)
            starts = np.where(np.isnan(starts), _latest(filled, starts), starts)
        order = np.argsort(starts, kind="stable")
        for slot in order[~self.folds.hidden[order]].tolist():
            self._place_called(slot)
        if mode == "order":
            self._spread()
        self._stack()

    @property
    def unit(self) -> float:
        """How much of its natural room a node has at zoom 1."""
        return self.scale.unit if self.mode == "time" else self.columns.step / 76.0

    @property
    def right(self) -> float:
        """World x of the last end."""
        ends = np.where(np.isfinite(self.x1), self.x1, self.x)
        return float(max(self.x.max(initial=0.0), ends.max(initial=0.0)))

    def _place_called(self, slot: int) -> None:
        """Callers before whom they call."""
        spans, at = self.spans, int(self.spans.parent[slot])
        callers: list[int] = []
        while at >= 0 and len(callers) < _CALLERS:
            if self._line[at] is not None or spans.start[at] > spans.start[slot]:
                break
            callers.append(at)
            at = int(spans.parent[at])
        for caller in reversed(callers):
            if self._line[caller] is None:
                self._place(caller)
        if self._line[slot] is None:
            self._place(slot)

    def _band_of(self, slot: int) -> Band:
        spans = self.spans
        key = (int(spans.trace[slot]), spans.agents[slot])
        band = self._found.get(key)
        if band is None:
            band = Band(len(self.bands), key[0], spans.agents[slot] or spans.names[slot])
            self._found[key] = band
            self.bands.append(band)
        return band

    def _place(self, slot: int) -> None:
        spans = self.spans
        band, kind = self._band_of(slot), int(spans.kind[slot])
        group = GROUP_OF_KIND[min(kind, 4)]
        start = self._start_of(slot, band.trace)
        if kind == 0:
            band.orchestrator = True
        band.start = min(band.start, start)
        line = (
            self._in_time(slot, band, group, start) if self.mode == "time" else self._in_order(slot, band, group, start)
        )
        self._line[slot], self._band[slot] = line, band

    def _in_time(self, slot: int, band: Band, group: int, start: float) -> Line:
        width = WIDTHS[group] * self.scale.unit
        self.x[slot] = self.scale.x(start, band.trace)
        x = float(self.x[slot])
        took, like = float(self.spans.duration[slot]), self.folds.likes.get(slot)
        if like is not None:
            took = like.end - float(self.spans.start[slot])
        running = self.spans.status[slot if like is None else like.last] == 0
        end = math.inf if running else x + self.scale.length(took)
        self.x1[slot] = end
        self._ends[slot] = self.x1[slot]
        line = self._line_for(band, group, x, end, width)
        line.insert(x, slot)
        line.true_end = max(line.true_end, end)
        line.visual_end = max(line.visual_end, end, x + width)
        return line

    def _line_for(self, band: Band, group: int, x: float, end: float, width: float) -> Line:
        lines, close, soonest = band.lines[group], None, None
        for line in lines:
            free = line.free(x, end, width, self._ends)
            if free == 2:
                return line
            if free == 1 and (close is None or line.visual_end < close.visual_end):
                close = line
            if soonest is None or line.true_end < soonest.true_end:
                soonest = line
        if len(lines) < (MOST_LINES if close is None else WANTED_LINES[group]):
            lines.append(Line())
            return lines[-1]
        found = close or soonest
        assert found is not None
        return found

    def _in_order(self, slot: int, band: Band, group: int, start: float) -> Line:
        lines = band.lines[group]
        if not lines:
            lines.append(Line())
        line, parent = lines[0], int(self.spans.parent[slot])
        caller = self._band[parent] if parent >= 0 else None
        called = -1 if caller is None or caller is band else round(float(self.x[parent]))
        after = max(called, round(line.keys[-1]) if line.keys else -1)
        self.x[slot] = self.x1[slot] = self.columns.place(slot, start, after)
        line.insert(float(self.x[slot]), slot)
        return line

    def _spread(self) -> None:
        self.columns.fit()
        self.x = (self.x.astype(np.float64) * self.columns.step).astype(np.float32)
        self.x1 = self.x.copy()

    def _start_of(self, slot: int, trace: int) -> float:
        at = slot
        for _ in range(16):
            if at < 0:
                break
            known = float(self.spans.start[at])
            if not math.isnan(known):
                return known
            at = int(self.spans.parent[at])
        origin = self.scale.origins[trace]
        return origin if math.isfinite(origin) else 0.0

    def _stack(self) -> None:
        """The trace looked at first, its orchestrator on top, then agents by first start."""
        self.bands.sort(key=lambda band: (band.trace, not band.orchestrator, band.start, band.number))
        y, trace = 0.0, self.bands[0].trace if self.bands else 0
        for band in self.bands:
            if band.trace != trace:
                y += TRACE_GAP
            trace = band.trace
            ends = self.spans.ends
            y = self._stack_one(band, y, trace < len(ends) and ends[trace] is None) + BAND_GAP
        self.bottom = max(0.0, y - BAND_GAP)

    def _stack_one(self, band: Band, top: float, living: bool) -> float:
        y, band.y0 = top + HEAD_ROOM, top
        for group, lines in enumerate(band.lines):
            room = max(len(lines), RESERVED[group]) if living else len(lines)
            for i in range(room):
                if i < len(lines):
                    lines[i].y = y + ROW_HEIGHT / 2
                    self.y[lines[i].slots] = lines[i].y
                y += ROW_HEIGHT
        band.y1 = max(y, top + HEAD_ROOM + ROW_HEIGHT)
        return band.y1


def _latest(filled: npt.NDArray[np.float64], starts: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """For each place the last known start before it."""
    known = np.where(np.isnan(starts), -1, np.arange(len(starts)))
    last = np.maximum.accumulate(known)
    least = np.nanmin(starts) if not np.isnan(starts).all() else 0.0
    return np.where(last >= 0, filled[np.maximum(last, 0)], least)
