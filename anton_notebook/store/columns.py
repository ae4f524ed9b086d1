"""The store's columns: one numpy array a field, grown by half when full."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from anton_notebook.model.span import Float64, Int32, Int64, UInt8

_FIELDS: dict[str, type[np.generic]] = {
    "trace": np.int32,
    "cls": np.int32,
    "parent": np.int32,
    "recorded_parent": np.int32,
    "start": np.int64,
    "duration": np.int64,
    "status": np.uint8,
    "flags": np.uint8,
    "input": np.int32,
    "output": np.int32,
    "cached": np.int32,
    "cost": np.float64,
    "recorded_cost": np.float64,
    "file": np.int32,
    "offset": np.int64,
    "length": np.int32,
    "line": np.int32,
}


class Columns:
    """Arrays indexed by row. Slice to the store's `size`: what lies beyond is not yet anything."""

    trace: Int32
    cls: Int32
    parent: Int32
    recorded_parent: Int32
    start: Int64
    duration: Int64
    status: UInt8
    flags: UInt8
    input: Int32
    output: Int32
    cached: Int32
    cost: Float64
    recorded_cost: Float64
    file: Int32
    offset: Int64
    length: Int32
    line: Int32

    def __init__(self, capacity: int = 256) -> None:
        self.capacity = capacity
        for name, dtype in _FIELDS.items():
            setattr(self, name, np.empty(capacity, dtype))

    def reserve(self, size: int) -> None:
        """Makes room for `size` rows."""
        if size <= self.capacity:
            return
        capacity = max(size, self.capacity + (self.capacity >> 1), 1024)
        for name in _FIELDS:
            setattr(self, name, grown(getattr(self, name), capacity))
        self.capacity = capacity  # last: where memory runs out, some have room and all have what they had

    def end(self, rows: Any = slice(None)) -> Int64:
        """When the spans ended, `NAT` where that or the start is unknown."""
        start, duration = self.start[rows], self.duration[rows]
        nat = np.iinfo(np.int64).min
        end: Int64 = start + duration
        unknown = (start == nat) | (duration == nat)
        if unknown.any():
            end[unknown] = nat
        return end


def grown(array: npt.NDArray[Any], capacity: int) -> npt.NDArray[Any]:
    """A copy with room for `capacity` elements."""
    bigger = np.empty(capacity, array.dtype)
    bigger[: len(array)] = array
    return bigger


def distinct(codes: Int32 | Int64) -> list[int]:
    """The different small numbers in an array, ascending."""
    if len(codes) == 1:
        return [int(codes[0])]
    return np.flatnonzero(np.bincount(codes)).tolist() if len(codes) else []


def union(parts: list[Int32], size: int) -> Int32:
    """The rows in any of these arrays, each once, ascending; all are below `size`."""
    parts = [part for part in parts if len(part)]
    if not parts:
        return np.empty(0, np.int32)
    if len(parts) == 1 and (len(parts[0]) == 1 or bool((parts[0][1:] > parts[0][:-1]).all())):
        return parts[0]
    rows = np.concatenate(parts)
    if len(rows) < 1000:
        return np.array(sorted(set(rows.tolist())), np.int32)
    low = int(rows.min())
    there = np.zeros(size - low, bool)
    there[rows - low] = True
    return (np.flatnonzero(there) + low).astype(np.int32)
