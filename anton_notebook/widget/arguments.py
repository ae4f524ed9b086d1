"""Arguments of a page's requests: every value is checked, since a page is not trusted."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from anton_notebook.api import Span, Traces
from anton_notebook.widget.details import span_of

Int32Array = np.ndarray[Any, np.dtype[np.int32]]


def text_argument(args: Mapping[str, Any], name: str, limit: int = 1000) -> str:
    """Return a text of at most `limit` characters; ValueError for anything else."""
    value = args.get(name)
    if not isinstance(value, str) or len(value) > limit:
        raise ValueError(f"{name} must be a text of at most {limit} characters")
    return value


def int_argument(args: Mapping[str, Any], name: str, low: int = 0, high: int = 2**53) -> int:
    """Return an integer from `low` to `high`; ValueError for anything else."""
    value = args.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ValueError(f"{name} must be an integer from {low} to {high}")
    return value


def check_epoch(traces: Traces, args: Mapping[str, Any]) -> None:
    """Raise ValueError if the page refers to rows of another store."""
    if args.get("epoch") != traces.store.epoch:
        raise ValueError("The page shows an earlier reading of the traces. It will be updated.")


def row_argument(traces: Traces, args: Mapping[str, Any], name: str = "row") -> int:
    """Return a row number of the current store."""
    check_epoch(traces, args)
    return int_argument(args, name)


def span_argument(traces: Traces, args: Mapping[str, Any], name: str = "row") -> Span:
    """Return the span of a row number."""
    return span_of(traces, row_argument(traces, args, name))


def rows_argument(args: Mapping[str, Any], name: str = "rows") -> Int32Array:
    """Return packed row numbers; ValueError for anything else."""
    value = args.get(name)
    try:
        rows = unpack_rows(base64.b64decode(value, validate=True)) if isinstance(value, str) else None
    except binascii.Error:
        rows = None
    if rows is None:
        raise ValueError(f"{name} must be base64-encoded int32 numbers, preceded by their count")
    return rows


def pack_rows(rows: Sequence[int]) -> bytes:
    """Encode a set of rows: their count, then the rows, as little-endian int32."""
    return np.array([len(rows), *rows], "<i4").tobytes()


def unpack_rows(packed: bytes) -> Int32Array | None:
    """Decode a set of rows; None for empty bytes."""
    numbers = np.frombuffer(packed[: len(packed) // 4 * 4], "<i4")
    return numbers[1 : 1 + max(0, int(numbers[0]))].astype(np.int32) if len(numbers) else None
