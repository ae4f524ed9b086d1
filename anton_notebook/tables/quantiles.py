"""Quantiles of many groups at once: linear between neighbours, as pandas has them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from anton_notebook.model.span import Float64
from anton_notebook.tables.grouping import Codes

WIDEST = 128
"""Groups of up to so many values are sorted as the rows of a table, larger ones one by one."""


def quantiles(durations: tuple[Codes, Float64], count: int, at: Sequence[float]) -> list[Float64]:
    """Quantiles of each group's calls to models (even numbers), or of its tools (odd numbers) where there is none."""
    group, values = durations
    found = [np.full(count, np.nan) for _ in at]
    if not len(values):
        return found
    order = _order(group, 2 * count)
    values = values[order]
    sizes = np.bincount(group, minlength=2 * count)
    firsts = np.cumsum(sizes) - sizes
    use = np.arange(0, 2 * count, 2)
    use += sizes[use] == 0
    first, size = firsts[use], sizes[use]
    width = 1
    while width <= WIDEST:
        mine = np.flatnonzero((size > width // 2) & (size <= width))
        if len(mine):
            place = np.arange(width)
            rows = values.take(first[mine, None] + place, mode="clip")
            rows[place >= size[mine, None]] = np.inf
            rows.sort(axis=1)
            _read(found, mine, rows.reshape(-1), np.arange(len(mine)) * width, size[mine], at)
        width *= 2
    mine = np.flatnonzero(size > WIDEST)
    places = [np.floor((size[mine] - 1) * q).astype(np.intp) for q in at]
    ranks = np.stack([place + more for place in places for more in (0, 1)], axis=1)
    for a, n, wanted in zip(first[mine].tolist(), size[mine].tolist(), ranks, strict=True):
        values[a : a + n].partition(np.minimum(wanted, n - 1))
    _read(found, mine, values, first[mine], size[mine], at)
    return found


def _read(found: list[Float64], groups: Codes, values: Float64, first: Codes, size: Codes, at: Sequence[float]) -> None:
    """Takes the quantiles of some groups out of their values, which have what is asked for at its place."""
    for of, q in zip(found, at, strict=True):
        place = (size - 1) * q
        low = np.floor(place).astype(np.intp)
        a, b = values[first + low], values[first + np.minimum(low + 1, size - 1)]
        of[groups] = a + (b - a) * (place - low)


def _order(group: Codes, count: int) -> Codes:
    """The order that brings groups together. Numbers of 16 bits are sorted by their digits, several times faster."""
    order: Codes = np.argsort(group.astype(np.uint16), kind="stable")
    for shift in range(16, max(count - 1, 1).bit_length(), 16):
        order = order[np.argsort((group[order] >> shift).astype(np.uint16), kind="stable")]
    return order
