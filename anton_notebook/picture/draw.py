"""Inner: the picture as SVG text. Text of a trace is escaped into text elements, and is never an attribute."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

import numpy as np

from anton_notebook.picture.layout import Layout
from anton_notebook.picture.scale import Spans
from anton_notebook.span import PROVENANCES, Flag

KINDS = ("#4A90E2", "#E67E22", "#9B59B6", "#2ECC71", "#8A94A0")
ON_KINDS = ("#06223F", "#2E1500", "#FFFFFF", "#04260F", "#10151A")
SIZES = (40.0, 35.0, 60.0, 50.0, 40.0)
GROUND, BAND, LINE, TEXT, MUTED, ERROR = "#ffffff", "#f5f7fa", "#c3cad4", "#1c2430", "#5b6675", "#d3202f"
FONT = "system-ui, -apple-system, 'Segoe UI', sans-serif"
HEAD, AXIS, LEFT, RIGHT = 54.0, 22.0, 48.0, 56.0
MOST_NODES, LEAST_SCALE, LABELLED, CLOSE = 900, 0.3, 0.62, 0.36
STEPS = (
    1,
    2,
    5,
    10,
    20,
    50,
    100,
    200,
    500,
    1e3,
    2e3,
    5e3,
    1e4,
    3e4,
    6e4,
    12e4,
    3e5,
    6e5,
    18e5,
    36e5,
    72e5,
    216e5,
    864e5,
)
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


@dataclass(frozen=True)
class View:
    """What part is seen: world coordinates of the corner, px a world px on both axes, and the size in px."""

    x: float
    y: float
    kx: float
    ky: float
    width: float
    height: float


def svg(
    spans: Spans,
    title: str,
    figures: Sequence[tuple[str, str]],
    *,
    mode: str = "time",
    width: int = 960,
    most: int = 1400,
    view: View | None = None,
) -> str:
    """The picture of a run, at most `most` px high; or what a `view` of it shows. `figures`: (value, name), for the head."""
    layout = Layout(spans, mode)
    view = view or _whole(layout, width, most)
    body = _Body(spans, layout, view)
    height = view.height + HEAD + AXIS
    said = ", ".join(f"{value} {name}" for value, name in figures)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" width="{view.width:g}" height="{height:g}" '
        f'viewBox="0 0 {view.width:g} {height:g}" font-family="{FONT}">',
        f"<title>{_text(title, 300)}</title><desc>{_text(said, 500)}</desc>",
        f'<rect width="100%" height="100%" rx="6" fill="{GROUND}" stroke="{LINE}"/>',
        f'<text x="14" y="24" font-size="15" font-weight="600" fill="{TEXT}">{_text(title, int(view.width / 8.5))}</text>',
        f'<text x="14" y="43" font-size="12" fill="{MUTED}">{_text(" · ".join(f"{v} {n}" for v, n in figures), 200)}</text>',
        f'<svg y="{HEAD + AXIS:g}" width="{view.width:g}" height="{view.height:g}" overflow="hidden">',
        *body.bands(),
        *(body.near() if body.scale >= LEAST_SCALE and len(body.seen) <= MOST_NODES else body.far()),
        *body.labels(),
        "</svg>",
        *body.axis(),
        "</svg>",
    ]
    return "".join(parts)


def _whole(layout: Layout, width: int, most: int) -> View:
    right, bottom = layout.right, max(layout.bottom, 98.0)
    kx = min(1.0, (width - LEFT - RIGHT) / max(right, 1.0))
    ky = min(1.0, (most - HEAD - AXIS) / bottom)
    if kx * max(layout.unit, 1e-9) * 1.15 < LEAST_SCALE or len(layout.spans) > MOST_NODES:
        ky = min(ky, CLOSE)  # marks need less height than nodes
    return View(-LEFT / kx, 0.0, kx, ky, float(width), math.ceil(bottom * ky) + 8.0)


class _Body:
    def __init__(self, spans: Spans, layout: Layout, view: View) -> None:
        self.spans, self.layout, self.view = spans, layout, view
        self.scale = min(1.0, view.kx * max(layout.unit, 1e-9) * 1.15, view.ky * 1.7)
        self.x = (layout.x.astype(np.float64) - view.x) * view.kx
        self.y = (layout.y.astype(np.float64) - view.y) * view.ky
        ends = np.where(np.isfinite(layout.x1), layout.x1, self._now())
        self.end = np.maximum((ends.astype(np.float64) - view.x) * view.kx, self.x)
        inside = (self.end >= -70) & (self.x <= view.width + 70) & (self.y >= -70) & (self.y <= view.height + 70)
        self.seen = np.flatnonzero(inside)

    def _now(self) -> float:
        """Where what still ran ended: at the run's end, else at the last thing seen."""
        known = [end for end in self.spans.ends if end is not None]
        right = self.layout.right
        return (
            min(max(self.layout.scale.x(known[0], 0), right), right * 1.2)
            if known and self.layout.mode == "time"
            else right
        )

    def bands(self) -> list[str]:
        out = []
        for i, band in enumerate(self.layout.bands):
            top, bottom = ((y - self.view.y) * self.view.ky for y in (band.y0, band.y1))
            if i % 2 == 0:
                out.append(f'<rect y="{top:.1f}" width="100%" height="{bottom - top:.1f}" fill="{BAND}"/>')
            if band.trace > 0:
                out.append(
                    f'<rect x="-2" y="{top:.1f}" width="{self.view.width + 4:.0f}" height="{bottom - top:.1f}" fill="none" '
                    f'stroke="{LINE}" stroke-dasharray="6 5"/>'
                )
        return out

    def labels(self) -> list[str]:
        out, free = [], 0.0
        for band in self.layout.bands:
            top = max((band.y0 - self.view.y) * self.view.ky + 5, free)
            bottom = (band.y1 - self.view.y) * self.view.ky
            if bottom < 14 or top > self.view.height - 12 or bottom - top < 9:
                continue
            out.append(
                f'<text x="10" y="{top + 10:.1f}" font-size="11" font-weight="600" fill="{MUTED}">'
                f"{_text(band.label or 'no agent', 36)}</text>"
            )
            free = top + 15
        return out

    def near(self) -> list[str]:
        return [*self._durations(), *self._edges(), *(self._node(slot) for slot in self.seen.tolist())]

    def _durations(self) -> list[str]:
        if self.layout.mode != "time":
            return []
        out = []
        for slot in self.seen.tolist():
            long = self.end[slot] - self.x[slot]
            if long < 4:
                continue
            kind = int(self.spans.kind[slot])
            high = (14 if kind == 2 else 9 if kind == 3 else 4) * self.scale
            failed = self.spans.status[slot] == 2
            out.append(
                f'<rect x="{self.x[slot]:.1f}" y="{self.y[slot] - high / 2:.1f}" width="{long:.1f}" height="{high:.1f}" '
                f'rx="{high / 2:.1f}" fill="{ERROR if failed else KINDS[kind]}" fill-opacity="{0.4 if failed else 0.24}"/>'
            )
        return out

    def _edges(self) -> list[str]:
        ways: dict[str, list[str]] = {"thick": [], "solid": [], "back": []}
        for slot in self.seen.tolist():
            parent = int(self.spans.parent[slot])
            if parent < 0:
                continue
            kind = int(self.spans.kind[slot])
            x0, y0, x1, y1 = self.x[parent], self.y[parent], self.x[slot], self.y[slot]
            gap = y0 + 26 * self.scale if abs(y1 - y0) < 2 else y1 - math.copysign(31 * self.scale, y1 - y0)
            ways["thick" if kind <= 1 else "solid"].append(f"M{x0:.1f} {y0:.1f}V{gap:.1f}H{x1:.1f}V{y1:.1f}")
            if kind == 3 and self.spans.status[slot] != 0:
                aside = 6 * self.scale
                ways["back"].append(f"M{x1 + aside:.1f} {y1:.1f}V{gap + aside / 2:.1f}")
        looks = (("thick", 3.0, LINE, ""), ("solid", 1.3, LINE, ""), ("back", 1.1, MUTED, ' stroke-dasharray="3 4"'))
        return [
            f'<path d="{"".join(ways[name])}" fill="none" stroke="{colour}" stroke-linejoin="round" '
            f'stroke-width="{width * max(0.5, self.scale):.2f}"{more}/>'
            for name, width, colour, more in looks
            if ways[name]
        ]

    def _node(self, slot: int) -> str:
        spans, x, y, s = self.spans, self.x[slot], self.y[slot], self.scale
        kind, status = int(spans.kind[slot]), int(spans.status[slot])
        size, colour = SIZES[kind] * s, KINDS[kind]
        pending = bool(spans.flags[slot] & Flag.PENDING)
        stale = PROVENANCES[int(spans.provenance[slot])] == "stale" if spans.provenance[slot] else False
        opacity = 0.15 if pending else 0.3 if stale else 1.0
        failed, dashed = status == 2, pending or spans.trace[slot] > 0
        out = [
            _shape(kind, x, y, size, f'fill="{GROUND}"'),
            _shape(kind, x, y, size, f'fill="{colour}" fill-opacity="{opacity:g}"'),
        ]
        if kind == 0 and not pending:
            out.append(
                f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{size * 0.32:.1f}" fill="none" stroke="{GROUND}" stroke-width="2"/>'
            )
        if failed or dashed or status == 0:
            dash = ' stroke-dasharray="4 3"' if dashed or status == 0 else ""
            stroke = ERROR if failed else colour if status == 0 and not dashed else MUTED
            wide = max(2.0, 3 * s) if failed else 1.5
            out.append(
                _shape(
                    kind,
                    x,
                    y,
                    size + (4 * s if failed else 7 * s if status == 0 else 0),
                    f'fill="none" stroke="{stroke}" stroke-width="{wide:.1f}"{dash}',
                )
            )
        if failed and s > 0.5:
            bx, by, r = x + size / 2, y - size * (0.28 if kind in (2, 3) else 0.36), 7 * s
            out.append(f'<circle cx="{bx:.1f}" cy="{by:.1f}" r="{r:.1f}" fill="{ERROR}"/>')
            out.append(_said(bx, by + r * 0.55, r * 1.6, "!", GROUND, 700))
        return "".join([*out, *self._name(slot, kind, x, y, size, pending or stale)])

    def _name(self, slot: int, kind: int, x: float, y: float, size: float, faint: bool) -> list[str]:
        spans, s = self.spans, self.scale
        if s <= LABELLED:
            return []
        name = short_model(spans.models[slot]) if kind == 2 and spans.models[slot] else spans.names[slot]
        if kind in (2, 3):
            room = size - (10 if kind == 3 else 6)
            points = max(7.0, min(10 * s, room / max(len(name), 1) / 0.58))
            text = _text(name, max(3, int(room / points / 0.55)))
            out = [_said(x, y + points * 0.36, points, text, TEXT if faint else ON_KINDS[kind], 600)]
            took = duration(float(spans.duration[slot]))
            if took and self.view.ky > 0.75:
                out.append(_said(x, y + 28, 9, took, MUTED))
            return out
        return [_said(x, y + size / 2 + 12, 11, _text(name, 20), TEXT)] if self.view.ky > 0.75 else []

    def far(self) -> list[str]:
        """What falls into one pixel of a line is one mark, coloured by the worst in it."""
        high = max(1.5, min(14.0, 40 * self.view.ky))
        order = self.seen[np.lexsort((self.x[self.seen], self.y[self.seen]))]
        begin = np.floor(self.x[order]).astype(np.int64)
        finish = np.maximum(np.ceil(self.end[order]).astype(np.int64), begin + 1)
        paths: dict[tuple[str, float], list[str]] = {}
        looks = np.where(self.spans.status[order] == 2, -1, self.spans.kind[order]).tolist()
        tops = (self.y[order] - high / 2).round(1).tolist()
        last: tuple[float, int] | None = None
        for x0, x1, top, look in sorted(
            zip(begin.tolist(), finish.tolist(), tops, looks, strict=True), key=lambda m: (m[2], m[0], m[3])
        ):
            if last is not None and last[0] == top and x0 < last[1] and look >= 0 and x1 <= last[1]:
                continue
            begins = max(x0, last[1]) if last is not None and last[0] == top and look >= 0 else x0
            paths.setdefault((ERROR if look < 0 else KINDS[look], 0.9 if look < 0 else 0.75), []).append(
                f"M{begins} {top}h{max(1, x1 - begins)}v{high:.1f}h-{max(1, x1 - begins)}z"
            )
            last = (top, max(x1, last[1]) if last is not None and last[0] == top else x1)
        ordered = sorted(paths.items(), key=lambda item: item[0][0] == ERROR)
        return [
            f'<path d="{"".join(d)}" fill="{colour}" fill-opacity="{opacity:g}"/>' for (colour, opacity), d in ordered
        ]

    def axis(self) -> list[str]:
        top, view = HEAD, self.view
        out = [f'<line x1="0" x2="{view.width:g}" y1="{top + AXIS:g}" y2="{top + AXIS:g}" stroke="{LINE}"/>']
        if self.layout.mode == "order":
            return [*out, f'<text x="10" y="{top + 15:g}" font-size="10" fill="{MUTED}">in order of start</text>']
        per_px = 1 / (self.layout.scale.per_ms * view.kx)
        step = next((s for s in STEPS if s / per_px >= 86), STEPS[-1])
        first = math.ceil(view.x / self.layout.scale.per_ms / step)
        for n in range(first, first + 60):
            x = (n * step * self.layout.scale.per_ms - view.x) * view.kx
            if x > view.width - 30:
                break
            if n >= 0:
                out.append(
                    f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top + AXIS - 5:g}" y2="{top + AXIS:g}" stroke="{LINE}"/>'
                )
                out.append(
                    f'<text x="{x + 3:.1f}" y="{top + 14:g}" font-size="10" fill="{MUTED}">{duration(n * step) or "0"}</text>'
                )
        return out


def _said(x: float, y: float, points: float, text: str, fill: str, weight: int = 400) -> str:
    """A centred text, escaped already."""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{points:.1f}" font-weight="{weight}" fill="{fill}" '
        f'text-anchor="middle">{text}</text>'
    )


def _shape(kind: int, x: float, y: float, size: float, look: str) -> str:
    if kind <= 1:
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{size / 2:.1f}" {look}/>'
    if kind == 3:
        w, h = size / 2, size * 0.33
        points = ((-w, 0), (-w * 0.62, -h), (w * 0.62, -h), (w, 0), (w * 0.62, h), (-w * 0.62, h))
        return f'<polygon points="{" ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in points)}" {look}/>'
    wide, high = (size, size * 0.56) if kind == 2 else (size * 0.8, size * 0.8)
    return (
        f'<rect x="{x - wide / 2:.1f}" y="{y - high / 2:.1f}" width="{wide:.1f}" height="{high:.1f}" '
        f'rx="{size * 0.15 if kind == 2 else 3:.1f}" {look}/>'
    )


def duration(ms: float) -> str:
    """A length of time as people read it, `""` where it is unknown.

    >>> duration(850), duration(2130), duration(65_000)
    ('850 ms', '2.13 s', '1 min 5 s')
    """
    if math.isnan(ms) or ms <= 0:
        return ""
    if ms < 1000:
        return f"{int(ms)} ms" if ms >= 1 else f"{ms:.2f} ms"
    if ms < 60_000:
        return f"{int(ms / 10) / 100:g} s" if ms < 10_000 else f"{int(ms / 100) / 10:g} s"
    seconds = int(ms / 1000)
    return (
        f"{seconds // 60} min {seconds % 60} s" if seconds < 3600 else f"{seconds // 3600} h {seconds % 3600 // 60} min"
    )


def short_model(name: str) -> str:
    """A model's name without the vendor, the word before the family, the date; the family first."""
    tail = name.rpartition("/")[2]
    short = re.sub(r"[-@]20\d{2}-?\d{2}-?\d{2}(-v\d.*)?$", "", tail)
    short = re.sub(r"^(anthropic\.)?claude-", "", short)
    short = re.sub(r"-(latest|instruct|preview)$", "", short)
    return re.sub(r"^(\d(?:-\d)?)-([a-z]+)$", r"\2-\1", short) or name


def _text(text: str, most: int) -> str:
    clean = _UNPRINTABLE.sub("\ufffd", text)
    return escape(clean if len(clean) <= most else clean[: max(1, most - 1)].rstrip() + "…")
