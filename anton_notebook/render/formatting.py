"""Inner: numbers and names as people read them, and what a node says; the rules of `js/src/ui/format.ts` and `canvas/labels.ts`."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from anton_notebook.render.collapse import Folds
from anton_notebook.render.scale import Spans

LETTER = 5.5
"""Px that a letter of ten px takes, on average: there is nobody to ask for more."""
_LEAST, _MOST, _UNDER, _GAP = 26.0, 210.0, 0.75, 9.0


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


def money(usd: float, at_least: bool = False) -> str:
    """US dollars with as many digits as tell something."""
    digits = 0 if usd >= 100 else 2 if usd >= 1 else 3 if usd >= 0.01 else 5
    return ("≥ " if at_least else "") + ("$0" if usd == 0 else f"${usd:.{digits}f}")


def count(number: float) -> str:
    """A number of things.

    >>> count(1234), count(12_345), count(1_234_567)
    ('1,234', '12.3 k', '1.2 M')
    """
    for least, unit, sign in ((999_500, 1e6, "M"), (10_000, 1e3, "k")):
        if number >= least:
            return f"{number / unit:.{0 if number >= 99.5 * unit else 1}f} {sign}"
    return f"{number:,.0f}"


def title(spans: Spans, slot: int) -> str:
    """What stands in a node or beside it: of a call to a model, the model."""
    return short_model(spans.models[slot] or spans.names[slot]) if spans.kind[slot] == 2 else spans.names[slot]


@dataclass(frozen=True)
class Spot:
    """A node in the picture: where it is, half its width, half its height, in px."""

    slot: int
    x: float
    y: float
    half: float
    high: float


def plan(
    spans: Spans, folds: Folds, spots: Sequence[Spot], scale: float, width: float, inside: bool
) -> list[tuple[int, str, float, float]]:
    """Words beside nodes, as far as the next one leaves room, else under them: slot, text, left edge, middle."""
    found = []
    spots = sorted(spots, key=lambda spot: (round(spot.y), spot.x))
    for i, spot in enumerate(spots):
        after = spots[i + 1] if i + 1 < len(spots) and round(spots[i + 1].y) - round(spot.y) < 8 else None
        before = spots[i - 1] if i and round(spot.y) - round(spots[i - 1].y) < 8 else None
        left = max(spot.x + spot.half + _GAP, 6.0)
        right = width - 4 if after is None else min(after.x - after.half, width) - 4
        name, facts = _said(spans, folds, spot.slot, inside and spans.kind[spot.slot] in (2, 3))
        text = _longest(name, facts, min(_MOST, right - left))
        if text:
            found.append((spot.slot, text, left, spot.y))
        elif inside and scale > _UNDER and facts:
            wide = len(facts[0]) * LETTER
            if wide <= min(90, after.x - spot.x if after else 90, spot.x - before.x if before else 90) - 4:
                found.append((spot.slot, facts[0], spot.x - wide / 2, spot.y + spot.high + 8))
    return found


def _said(spans: Spans, folds: Folds, slot: int, named: bool) -> tuple[str, list[str]]:
    like, facts = folds.likes.get(slot), list[str]()
    name = "" if named else title(spans, slot)
    took = float(spans.duration[slot])
    if like is not None:
        times = f"× {like.count}"
        length = duration(like.end - float(spans.start[slot]))
        return (name and f"{name} {times}"), [one for one in ("" if name else times, length) if one]
    if slot in folds.folded:
        sums = folds.sums(slot)
        facts = [f"{count(sums.spans)} {'span' if sums.spans == 1 else 'spans'}"]
        facts += [money(sums.cost, sums.at_least)] if sums.cost > 0 else []
        facts += [duration(took)] if took > 0 else []
        return name, facts + ([f"{count(sums.tokens)} tokens"] if sums.tokens > 0 else [])
    facts = ["running"] if spans.status[slot] == 0 else [duration(took)] if duration(took) else []
    return name, facts + ([money(float(spans.cost[slot]))] if named and spans.cost[slot] > 0 else [])


def _longest(name: str, facts: list[str], room: float) -> str:
    """As many facts after the name as fit; else the name, cut."""
    if room < _LEAST:
        return ""
    for number in range(len(facts), -1, -1):
        whole = " · ".join([one for one in (name, *facts[:number]) if one])
        if len(whole) * LETTER <= room:
            return whole
    return name[: int(room / LETTER) - 1].rstrip() + "…"
