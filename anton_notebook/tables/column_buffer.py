"""Columns that grow at their end without being copied, as pandas arrays.

A frame that was handed out looks at the first rows of these buffers. So rows beyond may be added at any time, but a row that a
frame can see is never written: `patch` and `insert` work on a copy. `patch` keeps the array that it left, and takes that one
the next time, once nobody looks at it any more: then only what has changed since is written into it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from anton_notebook.store.columns import grown

Array = npt.NDArray[Any]
SPARE = 1 << 18
TEXT = pd.StringDtype(storage="python", na_value=np.nan)
_SOME_TEXT: Any = pd.array(["text"], dtype=TEXT)


_SOME_TIME: Any = pd.DatetimeIndex(["2026-01-01"], tz="UTC").as_unit("us").array
_PATCHES = 64
_COUNTED = sys.implementation.name == "cpython" and getattr(sys, "_is_gil_enabled", lambda: True)()


_PIN: Any = getattr(getattr(pd.Series([0]), "_mgr", None), "blocks", [None])[0]


def lent(frame: pd.DataFrame) -> pd.DataFrame:
    """A frame whose arrays are used further here, for somebody to change: pandas copies a column before it writes to it, as it does
    where another frame looks at the same values. What is no frame does not last as long as they do; so one says that it looks."""
    try:
        for block in frame._mgr.blocks:
            block.refs.add_reference(_PIN)
    except (AttributeError, TypeError):
        return frame.copy()
    return frame


class Buffer:
    """A growing numpy array of `size` elements."""

    def __init__(self, values: Array) -> None:
        self.size = len(values)
        self._left: Array | None = None
        self._left_size = 0
        self._lacks: list[tuple[Array, Array]] = []
        self._array = grown(values, self.size + 1024 + (self.size >> 3)) if self.size <= SPARE else values

    @property
    def view(self) -> Array:
        """The elements, not copied."""
        return self._array[: self.size]

    def append(self, values: Array) -> None:
        """Adds at the end."""
        total = self.size + len(values)
        if total > len(self._array):
            bigger = np.empty(max(total + 1024, total + (total >> 3)), self._array.dtype)
            bigger[: self.size] = self.view
            self._array, self._left = bigger, None
        self._array[self.size : total] = values
        self.size = total

    def patch(self, at: Array, values: Array) -> None:
        """Sets elements, where a frame looks at them in a copy; a column that stays equal is left alone."""
        if _same(self._array[at], values):
            return
        if _alone(self._array):
            if len(self._lacks) == _PATCHES:
                self._left, self._lacks = None, []
        else:
            fresh = self._left
            if fresh is not None and _alone(fresh, holders=2):
                for places, patch in self._lacks:
                    fresh[places] = patch
                fresh[self._left_size : self.size] = self._array[self._left_size : self.size]
            else:
                fresh = self._array.copy()
            self._left, self._left_size, self._lacks = self._array, self.size, []
            self._array = fresh
        if self._left is not None:
            self._lacks.append((at, values))
        self._array[at] = values

    def insert(self, at: Array, values: Array) -> None:
        """Puts each value before the element that stands at its place, in a copy."""
        self._array, self._left = np.insert(self.view, at, values), None
        self.size = len(self._array)


def _same(old: Array, new: Array) -> bool:
    if old.dtype.kind == "O":
        return all(a is b or a == b for a, b in zip(old.tolist(), new.tolist(), strict=True))
    if old.dtype.kind == "f":
        return bool(((old == new) | (np.isnan(old) & np.isnan(new))).all())
    return bool((old == new).all())


def _alone(array: Array, holders: int = 1) -> bool:
    """Whether nobody but so many names of ours holds an array: every view of it, in whatever object, would hold it too.

    Where counts of references cannot be had or do not say that, somebody might.
    """
    return _COUNTED and sys.getrefcount(array) == holders + 2


class Held:
    """One column of a frame: raw values in buffers, and how they become a pandas array."""

    def __init__(self, make: Callable[[list[Array]], Any]) -> None:
        self._make = make
        self._buffers: list[Buffer] = []

    def fill(self, parts: list[Array]) -> None:
        """Starts anew with these values (one array a buffer)."""
        self._buffers = [Buffer(part) for part in parts]

    def append(self, parts: list[Array]) -> None:
        """Adds rows at the end."""
        for buffer, part in zip(self._buffers, parts, strict=True):
            buffer.append(part)

    def patch(self, at: Array, parts: list[Array]) -> None:
        """Sets rows."""
        for buffer, part in zip(self._buffers, parts, strict=True):
            buffer.patch(at, part)

    def insert(self, at: Array, parts: list[Array]) -> None:
        """Puts rows in between."""
        for buffer, part in zip(self._buffers, parts, strict=True):
            buffer.insert(at, part)

    def array(self) -> Any:
        """The pandas array."""
        return self._make([buffer.view for buffer in self._buffers])


class Words:
    """The categories of a column, in the order in which they came up; its dtype is made anew only when one is added."""

    def __init__(self, words: list[str] | None = None) -> None:
        self.words = list(words or [])
        self._codes = {word: i for i, word in enumerate(self.words)}
        self._dtype: pd.CategoricalDtype | None = None

    def code(self, word: str | None) -> int:
        """The code of a word, -1 for none."""
        if not word:
            return -1
        code = self._codes.get(word)
        if code is None:
            code = self._codes[word] = len(self.words)
            self.words.append(word)
            self._dtype = None
        return code

    def array(self, parts: list[Array]) -> pd.Categorical:
        """Codes as a categorical."""
        if self._dtype is None or len(self._dtype.categories) != len(self.words):
            self._dtype = pd.CategoricalDtype(pd.Index(self.words, dtype=TEXT))
        return pd.Categorical.from_codes(parts[0], dtype=self._dtype, validate=False)

    @property
    def width(self) -> type[np.signedinteger[Any]]:
        """The smallest type of code that pandas would choose."""
        n = len(self.words)
        return np.int8 if n < 128 else np.int16 if n < 32768 else np.int32


def text(parts: list[Array]) -> Any:
    """Python strings as a text column.

    What is in the buffer is text or NaN by how it was made; checking a hundred thousand objects again for every frame would
    cost more than all else of it.
    """
    unchecked = getattr(_SOME_TEXT, "_from_backing_data", None)
    return unchecked(parts[0]) if unchecked is not None else pd.array(parts[0], dtype=TEXT)


def time(parts: list[Array]) -> Any:
    """Microseconds since 1970 as UTC times."""
    values = parts[0].view("M8[us]")
    unchecked = getattr(_SOME_TIME, "_from_backing_data", None)
    return unchecked(values) if unchecked is not None else pd.DatetimeIndex(values).tz_localize("UTC").array


def integer(parts: list[Array]) -> Any:
    """Values and a mask as nullable integers."""
    return pd.arrays.IntegerArray(parts[0], parts[1], copy=False)


def plain(parts: list[Array]) -> Any:
    """Numbers as they are."""
    return parts[0]


def masked(values: Array, unknown: Array) -> list[Array]:
    """The two buffers of a nullable integer."""
    known = values.astype(np.int64)
    known[unknown] = 0
    return [known, unknown]


def texts(values: list[str | None]) -> Array:
    """Strings as an object array, NaN for None."""
    out = np.empty(len(values), object)
    out[:] = [np.nan if v is None else v for v in values] if None in values else values
    return out
