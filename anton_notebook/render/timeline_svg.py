"""A run as a static timeline: one lane per agent, one bar per span, errors, an axis and a legend.

For saved notebooks and `TraceGraph.to_svg`. The page's own view is `TraceGraph.to_png`.

Bars of a lane that overlap in time are stacked into rows (first fit by start; at most `ROW_LIMIT`, later ones share the last
row). Bars of one row that fall on the same pixels with the same color are merged, so the size of the picture is bounded by its
width, not by the number of spans. Attributes hold numbers and constants only; names are escaped text nodes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from xml.sax.saxutils import escape

import numpy as np

from anton_notebook.model.formatting import format_duration, short_model
from anton_notebook.model.span import NAT, Flag
from anton_notebook.render.run_summary import figures
from anton_notebook.store import Store

KIND_COLORS = {"orchestrator": "#7f6dd6", "agent": "#9aa7ff", "llm": "#0072b2", "tool": "#e69f00"}
OTHER_COLOR, ERROR_COLOR = "#8a94a0", "#d3202f"
GROUND, LANE, LINE, TEXT, MUTED = "#ffffff", "#f5f7fa", "#c3cad4", "#1c2430", "#5b6675"
FONT = "system-ui, -apple-system, 'Segoe UI', sans-serif"
LABEL_WIDTH, RIGHT, HEAD, FOOT = 150.0, 14.0, 56.0, 24.0
ROW_HEIGHT, LANE_GAP, BAR_HEIGHT = 14.0, 6.0, 11.0
LANE_LIMIT, ROW_LIMIT = 40, 6
LETTER_WIDTH = 5.6  # pixels of a letter of ten pixels, on average
TICK_STEPS = (
    1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 3e4, 6e4, 12e4, 3e5, 6e5, 18e5, 36e5, 72e5, 216e5, 864e5,
)  # fmt: skip
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


@dataclass(slots=True)
class Bar:
    """One span, or several that fall on the same pixels. Times in milliseconds since 1970."""

    start: float
    end: float
    kind: str
    label: str
    failed: bool
    running: bool


@dataclass(slots=True)
class Lane:
    """The bars of one agent of one run, in rows."""

    name: str
    rows: list[list[Bar]] = field(default_factory=list)


def run_svg(store: Store, codes: Sequence[int], width: int = 960) -> str:
    """Draw runs as one timeline.

    Args:
        store: The store.
        codes: Codes of the runs, the main one first; experiments follow below.
        width: Width in pixels, at least 320.

    Returns:
        An SVG document; "" without a span whose time is known.
    """
    width = max(320, int(width))
    lanes, hidden = _lanes(store, codes)
    bars = [bar for lane in lanes for row in lane.rows for bar in row]
    if not bars:
        return ""
    first, last = min(bar.start for bar in bars), max(bar.end for bar in bars)
    run = store.run(codes[0])
    summary = " · ".join(f"{value} {name}".strip() for value, name in figures(run))
    if hidden:
        summary += f" · {hidden:,} more agents are not drawn"
    picture = Timeline(float(width), first, max(last - first, 1.0))
    return picture.draw(run["name"] or run["trace_id"], summary, lanes)


def _lanes(store: Store, codes: Sequence[int]) -> tuple[list[Lane], int]:
    """Return the lanes in order of their first span, and how many were left out."""
    lanes: list[Lane] = []
    for number, code in enumerate(codes):
        by_agent: dict[str, list[Bar]] = {}
        for agent, bar in _bars(store, code):
            by_agent.setdefault(agent, []).append(bar)
        name = "" if number == 0 else f"{store.traces[code].origin}: "
        for agent, bars in by_agent.items():
            lanes.append(Lane(f"{name}{agent or 'no agent'}", _rows(bars)))
    return lanes[:LANE_LIMIT], max(0, len(lanes) - LANE_LIMIT)


def _bars(store: Store, code: int) -> Iterator[tuple[str, Bar]]:
    """Yield agent and bar of the spans of a run with a known start, by start."""
    with store.lock:
        c = store.c
        rows = np.flatnonzero(c.trace[: store.size] == code)
        rows = rows[((c.flags[rows] & np.uint8(Flag.DEAD)) == 0) & (c.start[rows] != NAT)]
        rows = rows[np.argsort(c.start[rows], kind="stable")]
        starts, durations, status = c.start[rows] / 1000, c.duration[rows], c.status[rows].tolist()
        classes = [store.classes[cls] for cls in c.cls[rows].tolist()]
    known = durations != NAT
    ends = np.where(known, starts + np.where(known, durations, 0) / 1000, starts)
    # A running span is drawn to the end of what is known.
    last = float(ends.max(initial=starts.max(initial=0.0)))
    for start, end, state, cls in zip(starts.tolist(), ends.tolist(), status, classes, strict=True):
        label = short_model(cls.model or cls.name) if cls.kind == "llm" else cls.name
        yield cls.agent, Bar(start, last if state == 0 else end, cls.kind, label, state == 2, state == 0)


def _rows(bars: Sequence[Bar]) -> list[list[Bar]]:
    """Stack bars, which are ordered by start, so that those of one row do not overlap."""
    rows: list[list[Bar]] = []
    ends: list[float] = []
    for bar in bars:
        place = next((i for i, end in enumerate(ends) if end <= bar.start), len(rows))
        # Beyond the limit bars overlap in the last row; a lane stays readable.
        if place == len(rows) and place < ROW_LIMIT:
            rows.append([])
            ends.append(0.0)
        place = min(place, ROW_LIMIT - 1)
        rows[place].append(bar)
        ends[place] = max(ends[place], bar.end)
    return rows


class Timeline:
    """Draws lanes into a picture `width` pixels wide, from `first` on for `span` milliseconds."""

    def __init__(self, width: float, first: float, span: float) -> None:
        self.width, self.first = width, first
        self.scale = (width - LABEL_WIDTH - RIGHT) / span

    def draw(self, title: str, summary: str, lanes: Sequence[Lane]) -> str:
        """Return the SVG document."""
        body: list[str] = []
        y = HEAD
        for number, lane in enumerate(lanes):
            height = len(lane.rows) * ROW_HEIGHT + LANE_GAP
            if number % 2 == 0:
                body.append(_rect(0, y, self.width, height, LANE))
            body.append(_text(8, y + height / 2 + 3.5, _cut(lane.name, LABEL_WIDTH - 16), TEXT))
            for i, row in enumerate(lane.rows):
                body += self._row(row, y + LANE_GAP / 2 + i * ROW_HEIGHT)
            y += height
        height = math.ceil(y + FOOT)
        size = f'width="{self.width:.0f}" height="{height}" viewBox="0 0 {self.width:.0f} {height}"'
        return "".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="{FONT}" font-size="10">',
                f"<title>{_clean(title)}</title><desc>{_clean(summary)}</desc>",
                _rect(0, 0, self.width, height, GROUND),
                _text(8, 18, _cut(title, self.width - 16, 7.2), TEXT, 'font-size="13" font-weight="600"'),
                _text(8, 34, _cut(summary, self.width - 16), MUTED),
                *self._legend(),
                *body,
                *self._axis(y),
                "</svg>",
            ]
        )

    def _row(self, bars: Sequence[Bar], y: float) -> Iterator[str]:
        """Yield the bars of one row; equal ones on the same pixels are merged."""
        last: tuple[float, str] | None = None
        for bar in bars:
            x, end = self._x(bar.start), self._x(bar.end)
            wide = max(end - x, 1.5)
            color = ERROR_COLOR if bar.failed else KIND_COLORS.get(bar.kind, OTHER_COLOR)
            # Invisible: the pixels have this color already.
            if last is not None and last[1] == color and x + wide <= last[0] + 0.5:
                continue
            last = (x + wide, color)
            more = 'fill-opacity="0.45" stroke-dasharray="3 2" stroke="' + color + '"' if bar.running else ""
            yield _rect(x, y, wide, BAR_HEIGHT, color, f'rx="2" {more}'.strip())
            label = ("! " if bar.failed else "") + bar.label
            if wide > 26:
                ink = TEXT if bar.running or bar.kind in ("tool", "agent") and not bar.failed else GROUND
                yield _text(x + 4, y + 8.8, _cut(label, wide - 8), ink)
            elif bar.failed:
                yield _text(x + wide + 1, y + 9, "!", ERROR_COLOR, 'font-weight="700"')

    def _axis(self, y: float) -> Iterator[str]:
        step = next((step for step in TICK_STEPS if step * self.scale >= 70), TICK_STEPS[-1])
        # Runs of more than about a week.
        while step * self.scale < 70:
            step *= 2
        for number in range(int((self.width - LABEL_WIDTH - RIGHT) / (step * self.scale)) + 1):
            x = LABEL_WIDTH + number * step * self.scale
            yield f'<line x1="{x:.1f}" y1="{HEAD:.0f}" x2="{x:.1f}" y2="{y + 4:.1f}" stroke="{LINE}" stroke-width="0.5"/>'
            yield _text(x + 2, y + 16, format_duration(number * step) if number else "0", MUTED)

    def _legend(self) -> Iterator[str]:
        x = 8.0
        for name, color in [*KIND_COLORS.items(), ("error", ERROR_COLOR)]:
            yield _rect(x, 41, 9, 9, color, 'rx="2"')
            yield _text(x + 13, 49, name, MUTED)
            x += 13 + len(name) * LETTER_WIDTH + 12

    def _x(self, moment: float) -> float:
        return LABEL_WIDTH + (moment - self.first) * self.scale


def _rect(x: float, y: float, width: float, height: float, color: str, more: str = "") -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{color}"{" " if more else ""}{more}/>'


def _text(x: float, y: float, text: str, color: str, more: str = "") -> str:
    if not text:
        return ""
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{color}"{" " if more else ""}{more}>{_clean(text)}</text>'


def _cut(text: str, room: float, letter: float = LETTER_WIDTH) -> str:
    """Return as much of a text as fits into `room` pixels."""
    count = int(room / letter)
    return text if len(text) <= count else "" if count < 3 else text[: count - 1].rstrip() + "…"


def _clean(text: str) -> str:
    return escape(_CONTROL.sub("\ufffd", text))
