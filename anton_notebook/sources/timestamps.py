"""Times as programs write them, into microseconds since 1970 UTC."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, tzinfo

import numpy as np
import numpy.typing as npt

from anton_notebook.model.span import NAT, Int64

_BLOCK = 900_000_000
_EPOCH = datetime(1970, 1, 1)
_FINE = (14, 15, 17, 18, 20, 21, 22, 23, 24, 25)
_WEIGHTS = np.zeros((10, 2), np.float32)
_WEIGHTS[:4, 0] = 600, 60, 10, 1
_WEIGHTS[4:, 1] = 100_000, 10_000, 1000, 100, 10, 1
_DIGITS = (0, 1, 2, 3, 5, 6, 8, 9, 11, 12, 14, 15, 17, 18)


def parse_times(texts: Sequence[str], zone: tzinfo | None) -> Int64:
    """ISO 8601 texts as int64 microseconds, `NAT` for what is none. A time without a zone is taken in `zone` (None: the machine's).

    >>> parse_times(["1970-01-01T00:00:01Z"], None).tolist()
    [1000000]
    """
    n = len(texts)
    width = len(texts[0]) if n else 0
    if n > 1 and width in (19, 20, 26, 27, 32):
        joined = "".join(texts)
        if len(joined) == n * width and joined.isascii():
            fast = _uniform(np.frombuffer(joined.encode(), np.uint8).reshape(n, width), texts[0], zone)
            if fast is not None:
                return fast
    return np.array([parse_time(text, zone) for text in texts], np.int64)


def _uniform(chars: npt.NDArray[np.uint8], first: str, zone: tzinfo | None) -> Int64 | None:
    width = chars.shape[1]
    fraction = width >= 26
    suffix = first[26:] if fraction else first[19:]
    if suffix not in ("", "Z", "+00:00"):
        return None
    fixed = {4: "-", 7: "-", 10: first[10], 13: ":", 16: ":"} | ({19: "."} if fraction else {})
    fixed |= {width - len(suffix) + i: ch for i, ch in enumerate(suffix)}
    if first[10] not in "T " or any((chars[:, i] != ord(ch)).any() for i, ch in fixed.items()):
        return None
    if (chars[:, :14] == chars[0, :14]).all():
        return _one_hour(chars, first, fraction, zone)
    places = _DIGITS + (tuple(range(20, 26)) if fraction else ())
    digits = chars[:, places].astype(np.int64) - 48
    if (digits < 0).any() or (digits > 9).any():
        return None
    year = digits[:, 0] * 1000 + digits[:, 1] * 100 + digits[:, 2] * 10 + digits[:, 3]
    month, day, hour, minute, second = (digits[:, i] * 10 + digits[:, i + 1] for i in range(4, 14, 2))
    if (
        (
            (year < 1).any()
            or (month < 1).any()
            or (month > 12).any()
            or (day < 1).any()
            or (day > 28).any()
            and not _days(year, month, day)
        )
        or (hour > 23).any()
        or (minute > 59).any()
        or (second > 59).any()
    ):
        return None
    months = (year - 1970) * 12 + month - 1
    days = months.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64) + day - 1
    seconds = ((days * 24 + hour) * 60 + minute) * 60 + second
    micros = digits[:, 14:] @ np.array([100_000, 10_000, 1000, 100, 10, 1]) if fraction else 0
    naive = seconds * 1_000_000 + micros
    found: Int64 = naive if suffix else naive - offsets(naive, zone)
    return found


def _one_hour(chars: npt.NDArray[np.uint8], first: str, fraction: bool, zone: tzinfo | None) -> Int64 | None:
    """Times of one and the same hour, as the lines of one batch mostly are."""
    hour = parse_time(first[:13] + ":00:00" + first[26 if fraction else 19 :], zone)
    digits = chars[:, _FINE if fraction else _FINE[:4]] - np.uint8(48)
    if hour == NAT or (digits > 9).any() or (digits[:, (0, 2)] > 5).any():
        return None
    out = (digits.astype(np.float32) @ _WEIGHTS[: digits.shape[1], :2]).astype(np.int64)
    return hour + out[:, 0] * 1_000_000 + out[:, 1]


def _days(year: Int64, month: Int64, day: Int64) -> bool:
    months = ((year - 1970) * 12 + month - 1).astype("datetime64[M]")
    length = ((months + 1).astype("datetime64[D]") - months.astype("datetime64[D]")).astype(np.int64)
    return bool((day <= length).all())


def offsets(naive: Int64, zone: tzinfo | None) -> Int64:
    """What to take off from local times in `zone` to have UTC; microseconds."""
    blocks, which = np.unique(naive // _BLOCK, return_inverse=True)
    found = [_offset(_EPOCH + timedelta(microseconds=int(b) * _BLOCK), zone) for b in blocks.tolist()]
    return np.array(found, np.int64)[which]


def _offset(local: datetime, zone: tzinfo | None) -> int:
    try:
        aware = local.replace(tzinfo=zone) if zone is not None else local.astimezone()
        gap = aware.utcoffset() or timedelta()
    except (OverflowError, OSError, ValueError):
        return 0
    return gap // timedelta(microseconds=1)


def parse_time(value: object, zone: tzinfo | None) -> int:
    """One time: ISO 8601 text, or a number of s, ms, µs or ns since 1970 (which, its size tells). `NAT` for anything else."""
    if isinstance(value, str):
        try:
            found = datetime.fromisoformat(value.strip())
        except ValueError:
            return NAT
        if found.tzinfo is None:
            naive = (found - _EPOCH) // timedelta(microseconds=1)
            return naive - _offset(_EPOCH + timedelta(microseconds=naive // _BLOCK * _BLOCK), zone)
        try:
            return (found - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
        except OverflowError:
            return NAT
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value <= 0:
        return NAT
    for least, factor in ((1e17, 1e-3), (1e14, 1.0), (1e11, 1e3)):
        if value >= least:
            return int(value * factor) if value < 9e21 else NAT
    return int(value * 1e6)


def iso(micros: int) -> str | None:
    """Microseconds since 1970 as an ISO 8601 text in UTC, None for `NAT`.

    >>> iso(0)
    '1970-01-01T00:00:00.000000Z'
    """
    if micros == NAT:
        return None
    try:
        return (_EPOCH + timedelta(microseconds=micros)).isoformat(timespec="microseconds") + "Z"
    except OverflowError:
        return None
