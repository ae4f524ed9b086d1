"""What every frame can be asked for: `columns=`, `kind=` and `since=`."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, date, datetime, timedelta, tzinfo

import numpy as np
import pandas as pd

from anton_notebook.errors import UnknownColumn, did_you_mean
from anton_notebook.model.span import KINDS, NAT, STATUS_NAMES, Bool, Int64

Since = str | datetime | date | timedelta | np.datetime64 | np.timedelta64 | None
Names = str | Sequence[str] | None
_HOW = "give a time (a datetime, or text such as '2026-11-23T08:00'), a duration ('2h', timedelta(minutes=5)) or 'last hour'"


def named(names: Names) -> list[str] | None:
    """One word or several, as a list."""
    return None if names is None else [names] if isinstance(names, str) else list(names)


def chosen(columns: Names, known: Iterable[str], frame: str) -> list[str] | None:
    """The columns asked for, in that order; `UnknownColumn` (a KeyError) names near misses."""
    wanted, there = named(columns), list(known)
    for name in wanted or []:
        if name not in there:
            hint = did_you_mean(str(name), there) or f"; there are {', '.join(there)}"
            raise UnknownColumn(f"{frame} has no column {name!r}{hint}")
    if wanted and len(set(wanted)) < len(wanted):
        twice = next(name for name in wanted if wanted.count(name) > 1)
        raise ValueError(f"columns= names {twice!r} more than once")
    return wanted


def kinds_of(kind: Names, seen: Collection[str]) -> list[str] | None:
    """The kinds asked for; ValueError for a kind that no span has and that is not one of the known kinds."""
    wanted = named(kind)
    for word in wanted or []:
        if word not in KINDS and word not in seen:
            known = list(dict.fromkeys([*KINDS, *seen]))
            hint = did_you_mean(str(word), known) or f"; kinds are {', '.join(known)}"
            raise ValueError(f"No span is of kind {word!r}{hint}")
    return wanted


def statuses_of(status: Names) -> list[str] | None:
    """The statuses asked for; ValueError for anything but running, ok and error."""
    wanted = named(status)
    for word in wanted or []:
        if word not in STATUS_NAMES:
            raise ValueError(f"status={word!r} is not a status; use {', '.join(STATUS_NAMES)}.")
    return wanted


def rows_with(frame: pd.DataFrame, column: str, values: Names) -> Bool:
    """The rows in which a categorical column has one of these values; ValueError for a value similar to one that occurs."""
    wanted = named(values) or []
    known = frame[column].cat.categories.tolist()
    for value in wanted:
        if value not in known and (hint := did_you_mean(str(value), known)):
            raise ValueError(f"No span has the {column} {value!r}{hint}")
    rows: Bool = frame[column].isin(wanted).to_numpy(dtype=bool)
    return rows


def moment(since: Since, zone: tzinfo | None = None, now: datetime | None = None) -> int | None:
    """`since=` as microseconds since 1970 UTC; `zone` (default: the machine's) is that of times that say none.

    >>> from datetime import datetime, UTC
    >>> noon = datetime(2026, 1, 2, 12, tzinfo=UTC)
    >>> [pd.Timestamp(moment(word, UTC, noon), unit="us").isoformat() for word in ("last hour", "90 min", "2026-01-01")]
    ['2026-01-02T11:00:00', '2026-01-02T10:30:00', '2026-01-01T00:00:00']
    """
    if since is None:
        return None
    found = _words(since, zone, now or datetime.now(UTC)) if isinstance(since, str) else since
    try:
        if pd.isna(found):
            raise ValueError
        if isinstance(found, timedelta | np.timedelta64):
            ago = pd.Timedelta(found)
            if ago < pd.Timedelta(0):
                raise ValueError
            return _micros(pd.Timestamp(now or datetime.now(UTC)) - ago)
        if isinstance(found, datetime | date | np.datetime64):
            return _micros(_placed(pd.Timestamp(found), zone))
    except (ValueError, OverflowError, TypeError):
        pass
    raise ValueError(f"since={since!r} is neither a time nor a duration; {_HOW}")


def _words(text: str, zone: tzinfo | None, now: datetime) -> pd.Timestamp | pd.Timedelta | None:
    said = " ".join(text.lower().split())
    if said in ("today", "yesterday"):
        today = pd.Timestamp(now).tz_convert(zone or datetime.now().astimezone().tzinfo).normalize()
        return today if said == "today" else today - pd.Timedelta(days=1)
    ago = re.fullmatch(r"(?:the )?(?:last|past) (.+)", said)
    length = ago[1] if ago else said
    length = length if length[:1].isdigit() else f"1 {length}"
    length = length if re.search("[a-z]", length) else "?"  # a number alone would be nanoseconds
    for make in (lambda: pd.Timestamp(datetime.fromisoformat(text.strip())), lambda: pd.Timedelta(_weeks(length))):
        try:
            found: pd.Timestamp | pd.Timedelta = make()
        except ValueError:
            continue
        return found
    return None


def _weeks(length: str) -> str:
    return re.sub(r"(\d+) ?weeks?\b", lambda found: f"{7 * int(found[1])} days", length)


def _placed(time: pd.Timestamp, zone: tzinfo | None) -> pd.Timestamp:
    if time.tzinfo is not None:
        return time
    plain = time.to_pydatetime()
    return pd.Timestamp(plain.replace(tzinfo=zone) if zone else plain.astimezone())


def _micros(time: pd.Timestamp) -> int:
    return int(time.tz_convert(None).to_datetime64().astype("M8[us]").astype(np.int64))


def later(start: Int64, since: int | None) -> Bool | slice:
    """Which of these times are `since` or later; unknown ones are not."""
    return slice(None) if since is None else (start != NAT) & (start >= since)
