"""Inner: the picture as SVG text. Text of a trace is escaped into text elements, and is never an attribute."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from xml.sax.saxutils import escape

import numpy as np
import numpy.typing as npt

from anton_notebook.model.span import PROVENANCES, Flag
from anton_notebook.render.collapse import Folds
from anton_notebook.render.encoding import Encoding
from anton_notebook.render.formatting import Spot, duration, plan, title
from anton_notebook.render.layout import Layout
from anton_notebook.render.scale import Spans
from anton_notebook.render.view_state import Seen, View

SIZES = (40.0, 35.0, 60.0, 50.0, 40.0)
GROUND, BAND, LINE, TEXT, MUTED, ERROR = "#ffffff", "#f5f7fa", "#c3cad4", "#1c2430", "#5b6675", "#d3202f"
FONT = "system-ui, -apple-system, 'Segoe UI', sans-serif"
HALO = f'paint-order="stroke" stroke="{GROUND}" stroke-width="3" stroke-linejoin="round"'
HEAD, AXIS, LEFT, RIGHT = 54.0, 22.0, 48.0, 56.0
MOST_NODES, LEAST_SCALE, LABELLED, CLOSE = 900, 0.3, 0.62, 0.36
HEIGHTS, FADED, MOST_NAMES = (1.0, 1.0, 0.56, 0.66, 0.8), 0.14, 6
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


def svg(
    spans: Spans,
    name: str,
    figures: Sequence[tuple[str, str]],
    *,
    mode: str = "time",
    width: int | None = None,
    most: int = 1400,
    seen: Seen | None = None,
) -> str:
    """The picture of a run, at most `most` px high; or what is `seen` of it. `figures`: (value, name), for the head."""
    layout = Layout(spans, mode, Folds(spans, None if seen is None else seen.folded))
    view = seen.camera.view(layout, width) if seen is not None and seen.camera is not None else None
    view = view or _whole(layout, width or 960, most)
    body = _Body(spans, layout, view, seen)
    height = view.height + HEAD + AXIS
    said = ", ".join(f"{value} {name}" for value, name in figures)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" width="{view.width:g}" height="{height:g}" '
        f'viewBox="0 0 {view.width:g} {height:g}" font-family="{FONT}">',
        f"<title>{_text(name, 300)}</title><desc>{_text(said, 500)}</desc>",
        f'<rect width="100%" height="100%" rx="6" fill="{GROUND}" stroke="{LINE}"/>',
        f'<text x="14" y="24" font-size="15" font-weight="600" fill="{TEXT}">{_text(name, int(view.width / 8.5))}</text>',
        f'<text x="14" y="43" font-size="12" fill="{MUTED}">{_text(" · ".join(f"{v} {n}" for v, n in figures), 200)}</text>',
        f'<svg y="{HEAD + AXIS:g}" width="{view.width:g}" height="{view.height:g}" overflow="hidden">',
        *body.bands(),
        *(body.near() if body.scale >= LEAST_SCALE and len(body.seen) <= MOST_NODES else body.far()),
        *body.labels(),
        "</svg>",
        *body.axis(),
        *body.legend(),
        "</svg>",
    ]
    return "".join(parts)


def _whole(layout: Layout, width: int, most: int) -> View:
    right, bottom = layout.right, max(layout.bottom, 98.0)
    kx = min(1.0, (width - LEFT - RIGHT) / max(right, 1.0))
    ky = min(1.0, (most - HEAD - AXIS) / bottom)
    room = kx * max(layout.unit, 1e-9)
    if room * 1.15 < LEAST_SCALE or (~layout.folds.hidden).sum() > MOST_NODES:
        ky = min(ky, CLOSE)  # marks need less height than nodes
    return View(-LEFT / kx, 0.0, kx, ky, float(width), math.ceil(bottom * ky) + 8.0, room)


class _Body:
    def __init__(self, spans: Spans, layout: Layout, view: View, seen: Seen | None) -> None:
        self.spans, self.layout, self.view, self.page = spans, layout, view, seen is not None
        self.folds, seen = layout.folds, seen or Seen()
        self.encoding = Encoding(spans, seen.colour, seen.size)
        self.bright = seen.bright(spans)
        self.scale = min(1.0, view.room * 1.15, view.ky * 1.7)
        self.x = (layout.x.astype(np.float64) - view.x) * view.kx
        self.y = (layout.y.astype(np.float64) - view.y) * view.ky
        ends = np.where(np.isfinite(layout.x1), layout.x1, self._now())
        self.end = np.maximum((ends.astype(np.float64) - view.x) * view.kx, self.x)
        inside = (self.end >= -70) & (self.x <= view.width + 70) & (self.y >= -70) & (self.y <= view.height + 70)
        self.seen = np.flatnonzero(inside & ~self.folds.hidden)

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
                f'<text x="10" y="{top + 10:.1f}" font-size="11" font-weight="600" fill="{MUTED}" {HALO}>'
                f"{_text(band.label or 'no agent', 36)}</text>"
            )
            free = top + 15
        return out

    def near(self) -> list[str]:
        nodes = (self._faded(slot, self._node(slot)) for slot in self.seen.tolist())
        return [*self._durations(), *self._edges(), *nodes, *self._beside()]

    def _faded(self, slot: int, drawn: str, strength: float = FADED) -> str:
        return drawn if self.bright[slot] else f'<g opacity="{strength:g}">{drawn}</g>'

    def _beside(self) -> list[str]:
        """Words as the page has them, where it is a page's view."""
        if not self.page:
            return []
        spots = []
        for slot in self.seen.tolist():
            kind = int(self.spans.kind[slot])
            size = SIZES[kind] * self.scale * self.encoding.factors[slot]
            spots.append(Spot(slot, self.x[slot], self.y[slot], size / 2, size * HEIGHTS[kind] / 2))
        inside = self.scale > LABELLED
        return [
            self._faded(
                slot,
                f'<text x="{x:.1f}" y="{y + 3.5:.1f}" font-size="10" font-weight="500" '
                f'fill="{ERROR if self.spans.status[slot] == 2 else TEXT}" {HALO}>{_text(text, 60)}</text>',
                2 * FADED,
            )
            for slot, text, x, y in plan(self.spans, self.folds, spots, self.scale, self.view.width, inside)
        ]

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
            left, fill = max(self.x[slot], -90.0), ERROR if failed else self.encoding.fills[slot]
            bar = (
                f'<rect x="{left:.1f}" y="{self.y[slot] - high / 2:.1f}" '
                f'width="{min(self.end[slot], self.view.width + 90) - left:.1f}" height="{high:.1f}" '
                f'rx="{high / 2:.1f}" fill="{fill}" fill-opacity="{0.4 if failed else 0.24}"/>'
            )
            out.append(self._faded(slot, bar))
        return out

    def _edges(self) -> list[str]:
        ways: dict[str, list[str]] = {"thick": [], "solid": [], "back": []}
        for slot in self.seen.tolist():
            parent = int(self.spans.parent[slot])
            if parent < 0 or not self.bright[slot]:
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
        size, colour = SIZES[kind] * s * float(self.encoding.factors[slot]), self.encoding.fills[slot]
        pending = bool(spans.flags[slot] & Flag.PENDING)
        stale = PROVENANCES[int(spans.provenance[slot])] == "stale" if spans.provenance[slot] else False
        opacity = 0.15 if pending else 0.3 if stale else 1.0
        failed, dashed = status == 2, pending or spans.trace[slot] > 0
        inner = self.folds.sums(slot).errors if slot in self.folds.folded else 0
        out = [
            *(
                self._behind(slot, kind, x, y, size)
                if inner or slot in self.folds.folded or slot in self.folds.likes
                else ()
            ),
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
        if (failed or inner) and s > 0.5:
            bx, by, r = x + size / 2, y - size * (0.28 if kind in (2, 3) else 0.36), 7 * s
            out.append(f'<circle cx="{bx:.1f}" cy="{by:.1f}" r="{r:.1f}" fill="{ERROR}"/>')
            out.append(_said(bx, by + r * 0.55, r * 1.6, "!", GROUND, 700))
        return "".join([*out, *self._name(slot, kind, x, y, size, pending or stale)])

    def _behind(self, slot: int, kind: int, x: float, y: float, size: float) -> list[str]:
        """Two more of its kind behind it, like a pile of cards."""
        step, fill = max(2.0, 3.5 * self.scale), self.encoding.fills[slot]
        return [
            _shape(kind, x + far * step, y - far * step, size, look)
            for far, opacity in ((2, 0.25), (1, 0.45))
            for look in (f'fill="{GROUND}"', f'fill="{fill}" fill-opacity="{opacity}" stroke="{GROUND}"')
        ]

    def _name(self, slot: int, kind: int, x: float, y: float, size: float, faint: bool) -> list[str]:
        spans, s = self.spans, self.scale
        if s <= LABELLED:
            return []
        name = title(spans, slot)
        if kind in (2, 3):
            room = size - (10 if kind == 3 else 6)
            points = max(7.0, min(10 * s, room / max(len(name), 1) / 0.58))
            text = _text(name, max(3, int(room / points / 0.55)))
            out = [_said(x, y + points * 0.36, points, text, TEXT if faint else self.encoding.inks[slot], 600)]
            took = duration(float(spans.duration[slot]))
            if took and self.view.ky > 0.75 and not self.page:
                out.append(_said(x, y + 28, 9, took, MUTED))
            return out
        return [_said(x, y + size / 2 + 12, 11, _text(name, 20), TEXT)] if self.view.ky > 0.75 and not self.page else []

    def far(self) -> list[str]:
        """What falls into one pixel of a line is one mark, coloured by the worst in it, or by the dearest."""
        bright = self.bright[self.seen]
        return [*self._marks(self.seen[~bright], FADED), *self._marks(self.seen[bright], 1.0)]

    def _marks(self, slots: npt.NDArray[np.int64], strength: float) -> list[str]:
        high = max(1.5, min(14.0, 40 * self.view.ky))
        begin = np.maximum(np.floor(self.x[slots]), -70).astype(np.int64)
        finish = np.minimum(np.ceil(self.end[slots]), self.view.width + 70).astype(np.int64)
        finish = np.maximum(finish, begin + 1)
        failed = self.spans.status[slots] == 2
        order = np.lexsort((self.spans.kind[slots], -self.encoding.values[slots], ~failed, begin, self.y[slots]))
        paths: dict[tuple[str, float], list[str]] = {}
        words: list[str] = []
        last: tuple[float, int] | None = None
        for at in order.tolist():
            slot, x0, x1, error = int(slots[at]), int(begin[at]), int(finish[at]), bool(failed[at])
            top = round(float(self.y[slot]) - high / 2, 1)
            if last is not None and last[0] == top and x0 < last[1] and not error and x1 <= last[1]:
                continue
            begins = max(x0, last[1]) if last is not None and last[0] == top and not error else x0
            wide, fill = max(1, x1 - begins), ERROR if error else self.encoding.fills[slot]
            paths.setdefault((fill, 0.9 if error else 0.75), []).append(f"M{begins} {top}h{wide}v{high:.1f}h-{wide}z")
            if self.page and high >= 11 and self.spans.kind[slot] >= 2 and x1 - max(begins, 0) >= 34:
                words.append(self._on_mark(slot, max(begins, 0) + 4, top + high / 2 + 3.3, x1 - max(begins, 0) - 8))
            last = (top, max(x1, last[1]) if last is not None and last[0] == top else x1)
        ordered = sorted(paths.items(), key=lambda item: item[0][0] == ERROR)
        drawn = [f'<path d="{"".join(d)}" fill="{fill}" fill-opacity="{o * strength:g}"/>' for (fill, o), d in ordered]
        return [*drawn, *words]

    def _on_mark(self, slot: int, x: float, y: float, room: float) -> str:
        error = self.spans.status[slot] == 2
        text = _text(title(self.spans, slot), max(2, int(min(room, 392) / 5.2)))
        ink = GROUND if error else self.encoding.inks[slot]
        return self._faded(
            slot, f'<text x="{x:.1f}" y="{y:.1f}" font-size="9" font-weight="600" fill="{ink}">{text}</text>', 2 * FADED
        )

    def legend(self) -> list[str]:
        """What the colours stand for, from the right edge of the head on."""
        known, ramp, out, x = self.encoding.legend, self.encoding.figure, list[str](), self.view.width - 12
        if len(known) > MOST_NAMES and not ramp:
            known = [*known[:MOST_NAMES], (GROUND, f"and {len(known) - MOST_NAMES} more")]
        for number, (colour, word) in enumerate(reversed(known)):
            first = (
                ramp and number == len(known) - 1
            )  # the lowest figure stands before its colour, the others after theirs
            said = _text(word, 20)
            wide = min(len(word), 20) * 5.6 + 5 if word else 0.0
            box, x = (x - 10, x - 10 - wide) if first else (x - 10 - wide, x - 10 - wide)
            out.append(f'<rect x="{box:.1f}" y="34" width="10" height="10" fill="{colour}"/>')
            if word:
                at = x if first else x + 14
                out.append(f'<text x="{at:.1f}" y="43" font-size="10" fill="{MUTED}">{said}</text>')
            x -= 0 if ramp else 9
        return out

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


def _text(text: str, most: int) -> str:
    clean = _UNPRINTABLE.sub("\ufffd", text)
    return escape(clean if len(clean) <= most else clean[: max(1, most - 1)].rstrip() + "…")
