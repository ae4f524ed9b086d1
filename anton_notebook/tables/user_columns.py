"""Columns that users add to the frames, and the list of all columns."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from anton_notebook.errors import BodyUnavailable, UnknownColumn, did_you_mean
from anton_notebook.model.span import Int32
from anton_notebook.store import Store
from anton_notebook.tables.builder import LONG
from anton_notebook.tables.schema import (
    DTYPES,
    MESSAGE_FIELDS,
    PROBLEM_FIELDS,
    RECORD,
    RUN_FIELDS,
    SPAN_SOURCES,
    TOOL_FIELDS,
    Field,
)
from anton_notebook.tables.span_columns import SPANS

Make = Callable[[pd.DataFrame], Any] | str
FIELDS: dict[str, tuple[Field, ...]] = {
    "runs": RUN_FIELDS,
    "spans": tuple(Field(c.name, c.kind, c.meaning, SPAN_SOURCES.get(c.name, RECORD)) for c in SPANS),
    "messages": MESSAGE_FIELDS,
    "tool_calls": TOOL_FIELDS,
    "problems": PROBLEM_FIELDS,
}


class UserColumn(NamedTuple):
    """A column of the user's: `make` is a function of the frame's rows, or the way to a key of the record."""

    name: str
    make: Make
    dtype: str
    meaning: str


_added: dict[str, tuple[UserColumn, ...]] = {}
_lock = threading.Lock()


def add_column(name: str, make: Make, dtype: str = "object", meaning: str = "", *, frame: str = "spans") -> None:
    """Adds a column of one's own at the end of a frame, from now on and for all traces; the same name replaces.

    `make` is a function that gets rows of the frame (with the library's own columns) and gives one value each: a Series, an
    array or one value for all. A value must follow from its own row alone, for rows come in pieces: what was appended, or a
    partition of `scan`. Or it is the key of a value in the span's record, with dots between keys (`"metadata.temperature"`;
    frame `spans` only), which is read from disk once for each span and missing where it is not there or not of the `dtype`.

    `dtype` is any of pandas, `meaning` one line for `anb.columns()`; `frame` is `spans`, `runs`, `messages`, `tool_calls` or
    `problems`. Raises ValueError for the name of one of the library's columns, and what pandas raises for an unknown dtype.

    >>> add_column("slow", lambda spans: spans["duration_ms"] > 60_000, "bool", "it took longer than a minute")
    >>> columns("spans")["name"].iloc[-1]
    'slow'
    >>> remove_column("slow")
    """
    fields = _fields(frame)
    if not isinstance(name, str) or not name.isprintable() or not name.strip():
        raise ValueError(f"a column is called by a printable word, not {name!r}")
    if any(field.name == name for field in fields):
        raise ValueError(f"{name!r} is one of the library's columns of {frame}; choose another name")
    if not callable(make) and not (isinstance(make, str) and make):
        raise ValueError(f"make={make!r} is neither a function of the frame nor a key of the record")
    if isinstance(make, str) and frame != "spans":
        raise ValueError(f"a key of the record can be a column of spans alone; give a function of {frame}_df()")
    dtype = str(pd.api.types.pandas_dtype(dtype))
    with _lock:
        kept = [column for column in _added.get(frame, ()) if column.name != name]
        _added[frame] = (*kept, UserColumn(name, make, dtype, " ".join(meaning.split())))


def remove_column(name: str, *, frame: str = "spans") -> None:
    """Takes a column of one's own away again; `UnknownColumn` (a KeyError) where there is none.

    >>> add_column("cheap", lambda spans: spans["cost_usd"] < 0.01, "bool")
    >>> remove_column("cheap")
    """
    _fields(frame)
    with _lock:
        kept = tuple(column for column in _added.get(frame, ()) if column.name != name)
        if len(kept) == len(_added.get(frame, ())):
            raise UnknownColumn(f"{frame} has no column {name!r} of yours{did_you_mean(name, [c.name for c in kept])}")
        _added[frame] = kept


def columns(frame: str = "spans") -> pd.DataFrame:
    """The columns of a frame (`spans`, `runs`, `messages`, `tool_calls`, `problems`), in order, one row each.

    `name`, `dtype`, `meaning`, `source` (where its values come from). One's own come last.

    >>> columns("spans").set_index("name").loc["cost_usd", "meaning"]
    'US dollars, recomputed; NaN where no price is known'
    """
    rows = [(field.name, DTYPES[field.kind], field.meaning, field.source) for field in _fields(frame)]
    for own in own_columns(frame):
        where = f"the record's {own.make!r}" if isinstance(own.make, str) else "a function of the frame"
        rows.append((own.name, own.dtype, own.meaning, where))
    return pd.DataFrame(rows, columns=["name", "dtype", "meaning", "source"], dtype="str")


def own_columns(frame: str) -> tuple[UserColumn, ...]:
    """The user's columns of a frame, in the order in which they were added."""
    return _added.get(frame, ())


def names(frame: str) -> list[str]:
    """The names of all columns of a frame, the user's at the end."""
    return [*(field.name for field in FIELDS[frame]), *(own.name for own in own_columns(frame))]


def add_user_columns(
    frame: pd.DataFrame, of: str, wanted: Sequence[str] | None = None, added: Sequence[UserColumn] | None = None
) -> pd.DataFrame:
    """The frame with the user's columns, or those `wanted`, each worked out from the frame's rows. `added`: instead of
    those of this process."""
    added = [own for own in (own_columns(of) if added is None else added) if wanted is None or own.name in wanted]
    return frame.assign(**{own.name: _typed(own, own.make(frame), len(frame)) for own in added if callable(own.make)})


class UserColumnCache:
    """The user's columns of a store's spans: worked out once for each span, and anew where it changed."""

    def __init__(self, store: Store) -> None:
        self.lock = threading.RLock()
        self._making = False
        self._store = store
        self._kept: dict[str, tuple[UserColumn, npt.NDArray[Any]]] = {}

    def add_to(
        self, frame: pd.DataFrame, rows: Int32, changed: Int32 | None, wanted: Sequence[str] | None = None
    ) -> pd.DataFrame:
        """The frame with the user's columns. `rows` are the store's rows of its rows, `changed` those that are not as
        they were at the last call (None: any may be)."""
        added = [own for own in own_columns("spans") if wanted is None or own.name in wanted]
        self._making = True
        try:
            return self._added(frame, rows, changed, added)
        finally:
            self._making = False

    def within(self, frame: pd.DataFrame, wanted: Sequence[str] | None) -> pd.DataFrame | None:
        """Who asks from within a column's function gets the frame without the user's columns; None: nobody does so."""
        if not self._making:
            return None
        lacking = [own.name for own in own_columns("spans") if own.name in (wanted or ())]
        if lacking:
            names = ", ".join(map(repr, lacking))
            raise UnknownColumn(
                f"{names} cannot be asked for while columns of one's own are made; take what the frame given has"
            )
        return frame

    def _added(
        self, frame: pd.DataFrame, rows: Int32, changed: Int32 | None, added: Sequence[UserColumn]
    ) -> pd.DataFrame:
        at = None if changed is None else np.flatnonzero(np.isin(rows, changed))
        kept: dict[str, tuple[UserColumn, npt.NDArray[Any]]] = {}
        made = {}
        for own in own_columns("spans"):
            old = self._kept.get(own.name)
            if own not in added and (old is None or at is None or len(at)):
                continue
            known = old[1] if old is not None and old[0] is own and at is not None else None
            kept[own.name] = own, self._brought_up(own, known, frame, rows, at)
            if own in added:
                made[own.name] = _from_objects(own, kept[own.name][1][rows])
        self._kept = kept
        return frame.assign(**made) if made else frame

    def _brought_up(
        self, own: UserColumn, known: npt.NDArray[Any] | None, frame: pd.DataFrame, rows: Int32, at: Any
    ) -> npt.NDArray[Any]:
        size = int(rows.max(initial=-1)) + 1
        values = np.full(max(size, 0 if known is None else len(known)), None, object)
        if known is None:
            at = np.arange(len(rows))
        else:
            values[: len(known)] = known
        if len(at):
            part = frame.iloc[at]
            found = own.make(part) if callable(own.make) else self._read(own.make, rows[at])
            values[rows[at]] = _typed(own, found, len(part)).astype(object).to_numpy(dtype=object)
        return values

    def _read(self, path: str, rows: Int32) -> list[Any]:
        store, found = self._store, []
        for row in rows.tolist():
            file = int(store.c.file[row])
            try:
                record = (
                    store.files[file].loader(int(store.c.offset[row]), int(store.c.length[row])) if file >= 0 else {}
                )
            except BodyUnavailable:
                record = {}
            found.append(value_at(record, path))
        return found


def value_at(record: Mapping[str, Any], path: str) -> Any:
    """The value of a key in a record, or in its attributes; keys may hold dots themselves. None where there is none.

    >>> value_at({"metadata": {"a.b": {"c": 1}}}, "metadata.a.b.c"), value_at({"attributes": {"x.y": 2}}, "x.y")
    (1, 2)
    """
    mark = record.get("anton_notebook")
    inner = mark.get("attributes") if isinstance(mark, Mapping) else None
    for place in (record, record.get("attributes"), inner):
        found = _dug(place, path)
        if found is not None:
            return found
    return None


def _dug(value: Any, path: str) -> Any:
    if not isinstance(value, Mapping):
        return None
    if path in value:
        return value[path]
    for at in range(len(path)):
        if path[at] == "." and path[:at] in value and (found := _dug(value[path[:at]], path[at + 1 :])) is not None:
            return found
    return None


def _typed(own: UserColumn, found: Any, rows: int) -> pd.Series[Any]:
    """What a column's function gave, as the dtype that was promised; of a record, what is not of that kind is missing."""
    if isinstance(own.make, str):
        return pd.Series([_fitting(own.dtype, value) for value in found], dtype=object)
    values = found if pd.api.types.is_list_like(found) else [found] * rows
    made = pd.Series(values.array if isinstance(values, pd.Series) else values)
    if len(made) != rows:
        raise ValueError(f"column {own.name!r}: its function gave {len(made)} values for {rows} rows")
    dtype: Any = own.dtype
    try:
        return made.astype(dtype)
    except (TypeError, ValueError) as error:
        raise ValueError(f"column {own.name!r}: its values are not of dtype {own.dtype!r}: {error}") from error


def _fitting(dtype: Any, value: Any) -> Any:
    if value is None:
        return None
    if dtype == "category" and not isinstance(value, str | int | float):
        return str(value)
    try:
        return pd.array([value], dtype=dtype)[0]
    except (TypeError, ValueError, OverflowError):
        return None


def _from_objects(own: UserColumn, values: npt.NDArray[Any]) -> Any:
    dtype: Any = pd.api.types.pandas_dtype(own.dtype)
    missing = pd.isna(values)
    if missing.any() and dtype.kind in "biu":
        dtype = "boolean" if dtype.kind == "b" else "Int64"
    if isinstance(dtype, pd.StringDtype):
        dtype = LONG
    filled = values.copy()
    filled[missing] = np.nan if isinstance(dtype, pd.StringDtype) or getattr(dtype, "kind", "") == "f" else None
    return pd.Series(filled, dtype=object).astype(dtype).array


def _fields(frame: str) -> tuple[Field, ...]:
    if frame not in FIELDS:
        raise ValueError(
            f"there is no frame {frame!r}{did_you_mean(str(frame), FIELDS)}; there are {', '.join(FIELDS)}"
        )
    return FIELDS[frame]
