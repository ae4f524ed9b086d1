"""Inner: what a page shows of a run, as the widget's traits tell it; and the window of a picture that this makes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from anton_notebook.render.layout import Layout
from anton_notebook.render.scale import Spans

_NUMBERS = ("x", "y", "pace", "ky", "room", "width", "height")


@dataclass(frozen=True)
class View:
    """What part is seen: world coordinates of the corner, px a world px on both axes, and the size in px."""

    x: float
    y: float
    kx: float
    ky: float
    width: float
    height: float
    room: float
    """How much of its natural room a node has on x."""


@dataclass(frozen=True)
class Camera:
    """Where a page looks: by a span and its place in the window, so that it means the same in another layout of the run.

    `x`, `y`: px from the window's corner to the span of `row`; `pace`: px a millisecond, by time, or a column, by order;
    `ky`: px a world px on y; `room`: how much of its natural room a node has on x; `width`, `height`: px of the window.
    """

    mode: str
    row: int
    x: float
    y: float
    pace: float
    ky: float
    room: float
    width: float
    height: float

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> Camera | None:
        """What a page said; None where it follows the run, or where that is no place to look at."""
        row, mode = said.get("row"), said.get("mode")
        values = [said.get(name) for name in _NUMBERS]
        if isinstance(row, bool) or not isinstance(row, int) or not isinstance(mode, str):
            return None
        numbers = [float(v) for v in values if isinstance(v, int | float) and math.isfinite(v) and abs(v) < 1e12]
        if len(numbers) < len(_NUMBERS) or min(numbers[2:5]) <= 0 or not all(20 <= n <= 20_000 for n in numbers[5:]):
            return None
        return cls(mode, row, *numbers)

    def times(self, start: float) -> tuple[float, float]:
        """First and last moment in the window, where the span of `row` began at `start`; all in ms."""
        return start - self.x / self.pace, start + (self.width - self.x) / self.pace

    def view(self, layout: Layout, width: int | None) -> View | None:
        """The window in a layout; None where its span has no place there."""
        spans = layout.spans
        found = np.flatnonzero(spans.rows == self.row)
        if not len(found) or layout.mode != self.mode:
            return None
        slot, wider = int(found[0]), (width or self.width) / self.width
        while layout.folds.hidden[slot]:  # folded since, and not by that page: what it is folded into is near
            slot = int(spans.parent[slot])
        kx = self.pace / (layout.scale.per_ms if layout.mode == "time" else layout.columns.step)
        corner = float(layout.x[slot]) - self.x / kx, float(layout.y[slot]) - self.y / self.ky
        return View(*corner, kx * wider, self.ky, self.width * wider, self.height, self.room * wider)


@dataclass(frozen=True)
class Seen:
    """`folded`: as `Folds` takes it; `lit`: rows that do not fade, None for all."""

    folded: Sequence[int] = ()
    camera: Camera | None = None
    colour: str = "kind"
    size: str = "kind"
    lit: npt.NDArray[Any] | None = None

    def bright(self, spans: Spans) -> npt.NDArray[np.bool_]:
        """Which spans do not fade."""
        return np.ones(len(spans), bool) if self.lit is None else np.isin(spans.rows, self.lit)
