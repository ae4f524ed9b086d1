"""Whether two pictures of a page look alike, whatever machine drew them.

Both are made four times smaller and blurred, so that edges of letters and lines weigh nothing; then each block of 20 by 20 page pixels
is compared by its mean colour, at the best of nine places one small pixel apart. What is left is what an eye would see: a thing that
is missing, has another colour, or does not stand out from its ground.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageFilter

SMALLER = 4
BLOCK = 5
# Measured: the same page 4 (its colours are kept in 32 steps), moved by a pixel, spaced otherwise, paler or blurred at most 15; a missing node,
# another colour, or text that cannot be read 26 and more. test_looks.py holds both sides.
TOLERANCE = 20.0


class Difference(NamedTuple):
    """The mean difference of the worst block, of 255, and where that block lies on the page, in its pixels."""

    worst: float
    x: int
    y: int
    blocks: int


def small(image: Image.Image) -> Image.Image:
    """The picture as it is compared: a quarter as wide."""
    return image.convert("RGB").reduce(SMALLER)


def keep(image: Image.Image, path: Path) -> None:
    """Writes what `small` gave, in 32 steps of each colour, which makes a file half as large."""
    image.point(lambda value: value // 8 * 8 + 4).save(path, optimize=True)


def _blurred(image: Image.Image) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.asarray(image.convert("RGB").filter(ImageFilter.GaussianBlur(1)), dtype=np.float32)


def difference(reference: Image.Image, seen: Image.Image) -> Difference:
    """How much two kept pictures differ where they differ most. Raises ValueError on other sizes."""
    if reference.size != seen.size:
        raise ValueError(f"the picture is {seen.size}, the reference {reference.size}")
    one, other = _blurred(reference), _blurred(seen)
    high, wide = (size // BLOCK for size in one.shape[:2])
    best = np.full((high, wide), np.inf, dtype=np.float32)
    padded = np.pad(other, ((1, 1), (1, 1), (0, 0)), mode="edge")
    for dy in range(3):
        for dx in range(3):
            moved = padded[dy : dy + one.shape[0], dx : dx + one.shape[1]]
            apart = np.abs(one - moved)[: high * BLOCK, : wide * BLOCK].max(axis=2)
            best = np.minimum(best, apart.reshape(high, BLOCK, wide, BLOCK).mean(axis=(1, 3)))
    y, x = np.unravel_index(int(best.argmax()), best.shape)
    step = BLOCK * SMALLER
    return Difference(float(best.max()), int(x) * step, int(y) * step, int((best > TOLERANCE).sum()))


def inside(image: Image.Image, box: tuple[int, int, int, int]) -> Image.Image:
    """A part of a kept picture; `box` in the page's pixels: left, top, right, bottom."""
    return image.convert("RGB").crop(tuple(edge // SMALLER for edge in box))  # type: ignore[arg-type]


def load(path: Path) -> Image.Image:
    """A reference from disk."""
    with Image.open(path) as image:
        return image.convert("RGB")
