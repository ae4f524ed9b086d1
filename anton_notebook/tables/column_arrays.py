"""Columns of a cached frame: private values that are appended to and patched, and the pandas arrays made of them.

`spans_frame` and `message_frames` keep one column per name. A column never gives its own memory away: numbers are copied
when an array is made, texts are handed over as a Series, whose memory pandas shares by copy-on-write.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from anton_notebook.store.columns import grown

Array = npt.NDArray[Any]
TEXT = pd.StringDtype(storage="python", na_value=np.nan)
UTC_MICROS = pd.DatetimeTZDtype("us", "UTC")
_NO_TEXT: Any = pd.array([], dtype=TEXT)


class Buffer:
    """A growing numpy array; appending costs amortized time proportional to what is appended."""

    def __init__(self, values: Array) -> None:
        self.size = len(values)
        self._array = values.copy()

    @property
    def view(self) -> Array:
        """The elements. The memory changes with the next `patch` or `append`: copy what is given to users."""
        return self._array[: self.size]

    def append(self, values: Array) -> None:
        """Add elements at the end."""
        total = self.size + len(values)
        if total > len(self._array):
            self._array = grown(self._array, total + 1024 + (total >> 3))
        self._array[self.size : total] = values
        self.size = total

    def patch(self, at: Array, values: Array) -> None:
        """Replace the elements at some positions."""
        self._array[at] = values

    def insert(self, at: Array, values: Array) -> None:
        """Insert each value before the element that is at its position now."""
        self._array = np.insert(self.view, at, values)
        self.size = len(self._array)


class NumberColumn:
    """Numbers, codes or times: one buffer per part, and a function that makes a pandas array of copies of them."""

    def __init__(self, make: Callable[[list[Array]], Any]) -> None:
        self._make = make
        self._buffers: list[Buffer] = []

    def fill(self, parts: Sequence[Any]) -> None:
        """Replace all values (one array per buffer)."""
        self._buffers = [Buffer(part) for part in parts]

    def append(self, parts: Sequence[Any]) -> None:
        """Add rows at the end."""
        for buffer, part in zip(self._buffers, parts, strict=True):
            buffer.append(part)

    def patch(self, at: Array, parts: Sequence[Any]) -> None:
        """Replace rows."""
        for buffer, part in zip(self._buffers, parts, strict=True):
            buffer.patch(at, part)

    def insert(self, at: Array, parts: Sequence[Any]) -> None:
        """Insert rows before the rows that are at these positions now."""
        for buffer, part in zip(self._buffers, parts, strict=True):
            buffer.insert(at, part)

    def array(self) -> Any:
        """The values as a pandas array with memory of its own."""
        return self._make([buffer.view.copy() for buffer in self._buffers])


class TextColumn:
    """Texts as a Series. Every change makes a new one, so that frames may share it by copy-on-write."""

    def __init__(self) -> None:
        self._series: pd.Series[Any] = pd.Series(_NO_TEXT)

    def fill(self, parts: Sequence[Any]) -> None:
        """Replace all values (one pandas array of texts)."""
        self._series = pd.Series(parts[0], copy=False)

    def append(self, parts: Sequence[Any]) -> None:
        """Add rows at the end."""
        self._series = pd.concat([self._series, pd.Series(parts[0])], ignore_index=True)

    def patch(self, at: Array, parts: Sequence[Any]) -> None:
        """Replace rows. Equal values leave the memory shared."""
        old, new = self._series.array[at], parts[0]
        if not (pd.isna(old) & pd.isna(new) | np.asarray(old == new, bool)).all():
            array = self._series.array.copy()
            array[at] = new
            self._series = pd.Series(array, copy=False)

    def insert(self, at: Array, parts: Sequence[Any]) -> None:
        """Insert rows before the rows that are at these positions now."""
        before = len(self._series)
        order = np.insert(np.arange(before), at, before + np.arange(len(at)))
        joined = pd.concat([self._series, pd.Series(parts[0])], ignore_index=True)
        self._series = pd.Series(joined.array.take(order), copy=False)

    def array(self) -> Any:
        """The texts as a Series, shared by copy-on-write."""
        return self._series


class Categories:
    """The categories of a column in order of appearance. The dtype is made anew only when a category is added."""

    def __init__(self, words: list[str] | None = None) -> None:
        self.words = list(words or [])
        self._codes = {word: i for i, word in enumerate(self.words)}
        self._dtype: pd.CategoricalDtype | None = None

    def code(self, word: str | None) -> int:
        """The code of a word, which is added if it is new; -1 for None and the empty text."""
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
        """The smallest integer type for the codes, as pandas chooses it."""
        n = len(self.words)
        return np.int8 if n < 128 else np.int16 if n < 32768 else np.int32


Column = NumberColumn | TextColumn


def new_column(kind: str, categories: Categories | None = None) -> Column:
    """An empty column of a kind of `schema`: category, text, time, integer, number, count or flag."""
    if kind == "text":
        return TextColumn()
    if kind == "category" and categories is not None:
        return NumberColumn(lambda parts: categories.array([parts[0].astype(categories.width, copy=False)]))
    return NumberColumn({"time": time_array, "integer": integer_array}.get(kind, first_part))


def time_array(parts: list[Array]) -> Any:
    """Microseconds since 1970 as UTC times."""
    return pd.array(parts[0].view("M8[us]"), dtype=UTC_MICROS)


def integer_array(parts: list[Array]) -> Any:
    """Values and a mask as nullable integers."""
    return pd.arrays.IntegerArray(parts[0], parts[1], copy=False)


def first_part(parts: list[Array]) -> Any:
    """Numbers as they are."""
    return parts[0]


def masked(values: Array, unknown: Array) -> list[Array]:
    """The two buffers of a nullable integer."""
    known = values.astype(np.int64)
    known[unknown] = 0
    return [known, unknown]


def text_array(values: Sequence[str | None] | Array) -> Any:
    """Texts as a pandas array; None becomes NaN."""
    if not isinstance(values, np.ndarray):
        objects = np.empty(len(values), object)
        objects[:] = [np.nan if value is None else value for value in values]
        values = objects
    return pd.array(values, dtype=TEXT)


def sparse_texts(size: int, texts: dict[int, str]) -> Any:
    """A column of `size` texts that are missing at most positions. Taking is much faster than checking that many NaN."""
    codes = np.full(size, -1)
    codes[list(texts)] = np.arange(len(texts))
    pool: Any = text_array(list(texts.values())) if texts else _NO_TEXT
    return pool.take(codes, allow_fill=True)
