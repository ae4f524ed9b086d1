"""An archive of spans on disk: a Delta table, partitioned by the day and the project of a run.

`append` writes the runs that are new or have changed in one transaction of the Delta log, so that readers see the table as it
was before or as it is after. A run is always written whole. `scan` reads the files of the table with Dask.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from anton_notebook.errors import ArchiveError
from anton_notebook.model.span import NAT
from anton_notebook.tables.grouping import micros
from anton_notebook.tables.phases import of_text, phases_of, text_of, with_phases
from anton_notebook.tables.schema import DTYPES
from anton_notebook.tables.span_columns import SPANS

MAX_SMALL_FILES = 32
"""A partition with more files than this is compacted."""
TARGET_BYTES = 32 << 20
"""Size of a file on disk. Spans are light: this is about half a million of them."""
UNKNOWN = "unknown"
NAMES = tuple(column.name for column in SPANS)
RUN_KEY = "run_key"
"""Column that identifies a run within the table in hexadecimal digits: trace ids are text of the trace and never part of SQL."""
PLACED = ("day", "project", "phases", RUN_KEY)
"""Columns of the table beside those of `spans_df()`: the partition, the run's phases as JSON, and its key."""
CATEGORIES = tuple(column.name for column in SPANS if column.kind == "category")
_DAY = 86_400_000_000
_FILE = re.compile(r"day=[\w%.-]+/project=[\w%.-]+/[\w.-]+\.parquet", re.ASCII)


class TableFile(NamedTuple):
    """One file of the table: its path below the table's folder, its partition and its number of rows."""

    path: str
    day: str
    project: str
    rows: int


def files_of(place: str, storage_options: dict[str, str] | None = None) -> list[TableFile]:
    """The files of the table's current version.

    Raises:
        ArchiveError: the table cannot be read, or was not written by `to_parquet`.
    """
    return _files(_open(place, storage_options), place)


def project_of(folder: str) -> str:
    """The name of the project that a folder of traces belongs to: its repository's, told from others of that name.

    >>> project_of("/work/web shop/.modular-agents/traces")[:-8]
    'web-shop-'
    """
    root = re.split(r"[/\\\\]\.(?:modular-agents|anton_notebook)(?:[/\\\\]|$)", folder, maxsplit=1)[0]
    digest = hashlib.sha256(root.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", os.path.basename(root)).strip("-.")[:40]
    return f"{name or 'traces'}-{digest}"


def append(frame: pd.DataFrame, directory: str | os.PathLike[str], home: str) -> int:
    """Update the table to a frame of `spans_df()`.

    Args:
        frame: all spans that were read.
        directory: folder of the table; it is created if missing.
        home: folder of spans that have no file.

    Returns:
        The number of rows that are new or have changed.
    """
    folder = Path(directory).expanduser()
    try:
        return _update(frame, folder, home)
    finally:
        _make_private(folder)


def _make_private(folder: Path) -> None:
    """Let only the owner read the table: deltalake writes files with the mode that the umask leaves."""
    for place, _, names in os.walk(folder):
        os.chmod(place, 0o700)
        for name in names:
            os.chmod(os.path.join(place, name), 0o600)


def _update(frame: pd.DataFrame, folder: Path, home: str) -> int:
    fresh = _placed(frame[list(NAMES)], home)
    if not (folder / "_delta_log").is_dir():
        if (folder / "_anton_notebook.json").exists():
            raise ArchiveError(f"{folder} is an archive of an older version. Write the archive to a new folder.")
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        _delta().write_deltalake(
            str(folder), _arrow(fresh), partition_by=["day", "project"], target_file_size=TARGET_BYTES
        )
        return len(fresh)
    table = _open(str(folder))
    old = _read(table, set(fresh["project"]), set(fresh["day"]), set(fresh[RUN_KEY]))
    due, gone, left = _compared(fresh, old)
    keys = set(due[RUN_KEY]) | set(old[RUN_KEY][gone])
    if not keys:
        return 0
    kept = left[left[RUN_KEY].isin(keys)]
    kept = kept[~_keys(kept).isin(_keys(fresh))]
    rows = pd.concat([fresh[fresh[RUN_KEY].isin(keys)], kept]) if len(kept) else fresh[fresh[RUN_KEY].isin(keys)]
    _write(table, rows, keys & set(old[RUN_KEY]))
    _compact(str(folder))
    return len(due)


def _write(table: Any, rows: pd.DataFrame, replaced: set[str]) -> None:
    """Write runs, in place of the rows of the replaced ones; one transaction."""
    if not replaced:
        _delta().write_deltalake(table, _arrow(rows), mode="append", target_file_size=TARGET_BYTES)
        return
    keys = sorted(set(rows[RUN_KEY]) | replaced)
    predicate = f"{RUN_KEY} IN ({', '.join(repr(key) for key in keys)})"  # hexadecimal digits alone
    _delta().write_deltalake(table, _arrow(rows), mode="overwrite", predicate=predicate, target_file_size=TARGET_BYTES)


def _compact(place: str) -> None:
    """Merge small files where a partition has many, and delete files that no version of the last week uses."""
    table = _open(place)
    counts: dict[tuple[str, str], int] = {}
    for file in _files(table, place):
        counts[file.day, file.project] = counts.get((file.day, file.project), 0) + 1
    crowded = [partition for partition, count in counts.items() if count > MAX_SMALL_FILES]
    for day, project in crowded:
        table.optimize.compact([("day", "=", day), ("project", "=", project)], target_size=TARGET_BYTES)
    if crowded:
        table.vacuum(dry_run=False)


def _delta() -> Any:
    try:
        import deltalake
    except ImportError as error:
        raise ArchiveError("archives need deltalake: pip install 'anton-notebook[archive]'") from error
    return deltalake


def _open(place: str, storage_options: dict[str, str] | None = None) -> Any:
    deltalake = _delta()
    try:
        return deltalake.DeltaTable(place, storage_options=storage_options)
    except deltalake.exceptions.DeltaError as error:
        raise ArchiveError(f"{place} cannot be read as a Delta table: {str(error).splitlines()[0]}") from error


def _files(table: Any, place: str) -> list[TableFile]:
    import pyarrow as pa  # type: ignore[import-untyped]

    missing = {*NAMES, *PLACED} - {field.name for field in table.schema().fields}
    if missing:
        lacking = ", ".join(sorted(missing)[:5])
        raise ArchiveError(f"{place} lacks the columns {lacking}: it was not written by to_parquet() of this version.")
    files = []
    for action in pa.table(table.get_add_actions(flatten=True)).to_pylist():
        if not _FILE.fullmatch(action["path"]):
            raise ArchiveError(f"{place} lists the file {action['path']!r}, which is outside the archive.")
        partition = action["partition.day"], action["partition.project"]
        files.append(TableFile(action["path"], *partition, int(action["num_records"])))
    return sorted(files)


def _read(table: Any, projects: Iterable[str], days: Iterable[str], keys: set[str]) -> pd.DataFrame:
    """Rows of these projects that are of these days or of these runs."""
    import pyarrow.dataset as ds  # type: ignore[import-untyped]

    chosen = ds.field("project").isin(sorted(projects))
    chosen &= ds.field("day").isin(sorted(days)) | ds.field(RUN_KEY).isin(sorted(keys))
    rows = table.to_pyarrow_dataset().to_table(filter=chosen).to_pandas()
    return conformed(rows).astype(dict.fromkeys(CATEGORIES, object)).assign(**{name: rows[name] for name in PLACED})


def _arrow(rows: pd.DataFrame) -> Any:
    """Rows by run and start as an Arrow table, categories as text."""
    import pyarrow as pa

    types = {"time": pa.timestamp("us", "UTC"), "integer": pa.int64(), "count": pa.int64()}
    types |= {"number": pa.float64(), "flag": pa.bool_()}
    fields = [pa.field(column.name, types.get(column.kind, pa.string())) for column in SPANS]
    rows = rows.astype(dict.fromkeys(CATEGORIES, object))
    rows = rows.sort_values(["day", "project", RUN_KEY, "start", "span_id"], kind="stable", na_position="last")
    return pa.Table.from_pandas(
        rows, pa.schema([*fields, *(pa.field(name, pa.string()) for name in PLACED)]), preserve_index=False
    ).replace_schema_metadata(None)


def frame_of(rows: pd.DataFrame, columns: list[str] | None = None) -> pd.DataFrame:
    """Rows of the table as `spans_df()` has them: dtypes, order, and phases in `attrs` if the table's columns are there."""
    order = [name for name in ("start", "depth", "trace_id", "span_id") if name in rows]
    rows = rows.sort_values(order, kind="stable", na_position="last") if order else rows
    wanted = list(NAMES) if columns is None else columns
    frame = conformed(rows, wanted)
    if "phases" in rows and "trace_id" in rows:
        runs = rows[["trace_id", "phases"]].drop_duplicates("trace_id")
        with_phases(frame, of_text(dict(zip(runs["trace_id"], runs["phases"], strict=True))))
    return frame


def conformed(frame: pd.DataFrame, columns: list[str] | None = None) -> pd.DataFrame:
    """Rows with the dtypes of `spans_df()`."""
    text = pd.StringDtype(na_value=np.nan)
    made: dict[str, Any] = {}
    for column in SPANS:
        if columns is not None and column.name not in columns:
            continue
        values = frame[column.name]
        if column.kind == "category":
            made[column.name] = _categorical(values, text)
        else:
            dtype: Any = text if column.kind == "text" else DTYPES[column.kind]
            made[column.name] = values.astype(dtype).array
    result = pd.DataFrame(made, index=pd.RangeIndex(len(frame)))
    return result if columns is None else result[columns]


def _categorical(values: pd.Series[Any], text: Any) -> pd.Categorical:
    if not isinstance(values.dtype, pd.CategoricalDtype):
        values = values.astype("category")
    return pd.Categorical.from_codes(
        values.cat.codes.to_numpy(), categories=pd.Index(values.cat.categories.astype(object), dtype=text)
    )


def _placed(frame: pd.DataFrame, home: str) -> pd.DataFrame:
    """The rows with the day and project of their runs."""
    run = frame["trace_id"].cat.codes.to_numpy()
    starts = micros(frame)
    first = np.full(len(frame["trace_id"].cat.categories), np.iinfo(np.int64).max)
    np.minimum.at(first, run[starts != NAT], starts[starts != NAT])
    known = first < np.iinfo(np.int64).max
    days = np.where(known, first // _DAY * _DAY, 0).astype("M8[us]").astype("M8[D]").astype(str).astype(object)
    days[~known] = UNKNOWN
    files = frame["source"].astype(object).to_numpy()
    from_file = np.flatnonzero(frame["source"].notna().to_numpy())[::-1]
    source = np.full(len(first), None, object)
    source[run[from_file]] = files[from_file]
    names = {path: project_of(os.path.dirname(path) if path else home) for path in set(source.tolist())}
    projects = np.array([names[path] for path in source.tolist()], object)
    phases = phases_of(frame)
    texts = np.array([text_of(phases, trace_id) for trace_id in frame["trace_id"].cat.categories], object)
    keys = np.array(
        [_run_key(*names) for names in zip(projects, frame["trace_id"].cat.categories, strict=True)], object
    )
    return frame.assign(day=days[run], project=projects[run], phases=texts[run], **{RUN_KEY: keys[run]})


def _run_key(project: str, trace_id: str) -> str:
    return hashlib.sha256(f"{project}/{trace_id}".encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _compared(new: pd.DataFrame, old: pd.DataFrame) -> tuple[pd.DataFrame, npt.NDArray[Any], pd.DataFrame]:
    """The new rows that differ from the old ones, a mask of the old rows that are outdated, and the other old rows."""
    if not len(old):
        return new, np.zeros(0, bool), old
    mine, theirs = _keys(new), _keys(old)
    same = pd.Series(_prints(new), index=mine)
    at = mine.get_indexer(theirs)
    present = at >= 0
    equal = present & (same.to_numpy()[np.maximum(at, 0)] == _prints(old))
    written = np.zeros(len(new), bool)
    written[at[equal]] = True
    recorded = old["source"].notna().to_numpy()
    moved = ~present & recorded & _places(old).isin(_places(new))
    gone = (present & ~equal) | moved
    # The node of an agent goes with its calls when all of them moved to another run.
    left = pd.MultiIndex.from_frame(old.loc[recorded & ~moved, ["trace_id", "agent"]].astype(object))
    gone |= ~present & ~recorded & ~pd.MultiIndex.from_frame(old[["trace_id", "agent"]].astype(object)).isin(left)
    return new[~written], gone, old[~gone]


def _keys(frame: pd.DataFrame) -> pd.MultiIndex:
    return pd.MultiIndex.from_arrays([frame["trace_id"].astype(object), frame["span_id"].astype(object)])


def _places(frame: pd.DataFrame) -> pd.MultiIndex:
    """Where a row was recorded, whatever run it is counted to."""
    lines = frame["line"].astype("Int64").fillna(-1).astype(object)
    return pd.MultiIndex.from_arrays([frame["source"].astype(object), lines, frame["span_id"].astype(object)])


def _prints(frame: pd.DataFrame) -> npt.NDArray[Any]:
    """A number for each row that changes with anything in it, its partition included."""
    plain: dict[str, Any] = {}
    for name in [*NAMES, *PLACED]:
        values = frame[name]
        if name in CATEGORIES or values.dtype == object or isinstance(values.dtype, pd.StringDtype):
            texts = values.astype(object)
            plain[name] = texts.where(texts.notna(), "").astype(str)
        elif name == "start" or name == "end":
            plain[name] = pd.Series(micros(frame, name), index=frame.index)
        else:
            plain[name] = values.astype("float64")
    prints: npt.NDArray[Any] = pd.util.hash_pandas_object(pd.DataFrame(plain), index=False).to_numpy()
    return prints
