"""Inner: what colour and size stand for. The rules of `js/src/canvas/encoding.ts`, on a light ground."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from anton_notebook.render.formatting import count, duration, money, short_model
from anton_notebook.render.scale import Spans

KINDS = ("#4A90E2", "#E67E22", "#9B59B6", "#2ECC71", "#8A94A0")
ON_KINDS = ("#06223F", "#2E1500", "#FFFFFF", "#04260F", "#10151A")
UNKNOWN, OTHER = "#c3cad4", "#8a94a0"
_NAMED = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#b8a300", "#7f6dd6")
_STATUS = ("#56b4e9", "#009e73", "#d55e00")
_LITTLE, _MIDDLE, _MUCH = (196, 217, 236), (190, 92, 128), (70, 18, 92)
_STEPS, _LEAST, _MOST = 9, 0.55, 1.5
FIGURES = ("cost", "tokens", "duration")


class Encoding:
    """`fills` and `inks` by span, `factors` of the nodes' sizes, and the legend: pairs of colour and words."""

    def __init__(self, spans: Spans, colour: str = "kind", size: str = "kind") -> None:
        self.spans, self.legend = spans, list[tuple[str, str]]()
        self.factors = np.ones(len(spans))
        if size in FIGURES:
            sizes = _figure(spans, size)
            if (most := float(sizes.max(initial=0))) > 0:
                self.factors = _LEAST + (_MOST - _LEAST) * np.sqrt(sizes / most)
        if colour in FIGURES:
            self.fills = self._shades(_figure(spans, colour), colour)
        elif colour in ("agent", "model"):
            self.fills = self._names(spans.agents if colour == "agent" else spans.models, colour)
        elif colour == "status":
            self.fills = [_STATUS[status] for status in spans.status.tolist()]
            self.legend = list(zip(_STATUS, ("running", "ok", "failed"), strict=True))
        else:
            self.fills = [KINDS[kind] for kind in spans.kind.tolist()]
        self.figure = colour in FIGURES
        self.values = _figure(spans, colour) if self.figure else np.zeros(len(spans))
        self.inks = (
            [_ink(fill) for fill in self.fills]
            if colour in (*FIGURES, "agent", "model", "status")
            else [ON_KINDS[kind] for kind in spans.kind.tolist()]
        )

    def _names(self, names: list[str], colour: str) -> list[str]:
        """Names get their colours in the order in which they came."""
        known = {name: number for number, name in enumerate(dict.fromkeys(name for name in names if name))}
        colours = [_NAMED[i] if i < len(_NAMED) else OTHER for i in range(len(known))]
        self.legend = [(colours[i], short_model(name) if colour == "model" else name) for name, i in known.items()]
        return [colours[known[name]] if name else OTHER for name in names]

    def _shades(self, values: npt.NDArray[np.float64], colour: str) -> list[str]:
        """By orders of magnitude, from the lowest to the highest."""
        ramp = [_ramp(i / (_STEPS - 1)) for i in range(_STEPS)]
        known = values[values > 0]
        if not len(known):
            return [UNKNOWN] * len(values)
        low, high = float(known.min()), float(known.max())
        said = [money(v) if colour == "cost" else count(v) if colour == "tokens" else duration(v) for v in (low, high)]
        self.legend = [(ramp[0], said[0]), *((one, "") for one in ramp[1:-1]), (ramp[-1], said[1])]
        part = np.ones(len(values))
        if high > low:
            part = np.clip(np.log(np.maximum(values, low) / low) / math.log(high / low), 0, 1)
        return [
            ramp[math.floor(share * (_STEPS - 1) + 0.5)] if value > 0 else UNKNOWN
            for share, value in zip(part.tolist(), values.tolist(), strict=True)
        ]


def _figure(spans: Spans, name: str) -> npt.NDArray[np.float64]:
    found = spans.cost if name == "cost" else spans.tokens if name == "tokens" else spans.duration
    return np.nan_to_num(found.astype(np.float64))


def _ramp(at: float) -> str:
    a, b, share = (_LITTLE, _MIDDLE, at * 2) if at < 0.5 else (_MIDDLE, _MUCH, at * 2 - 1)
    return "#" + "".join(f"{math.floor(x + (y - x) * share + 0.5):02x}" for x, y in zip(a, b, strict=True))


def _ink(colour: str) -> str:
    r, g, b = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return "#ffffff" if (0.299 * r + 0.587 * g + 0.114 * b) / 255 < 0.52 else "#10151a"
