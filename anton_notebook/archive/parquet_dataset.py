"""An archive of spans on disk: a Parquet dataset by day and project, to which only what is new is added.

`<folder>/day=2026-11-23/project=<name>/part-<12 hex>.parquet`, and `_anton_notebook.json`, the list of the parts that count. A
run lies in one day (that on which it began, UTC) and one project. Every file is written under another name, brought to disk
and renamed; the list is replaced last. So whoever reads by the list sees the archive as it was before or as it is after, and
what a crash leaves behind is taken away by the next writer.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
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

LIST = "_anton_notebook.json"
LOCK = "_anton_notebook.lock"
VERSION = 1
MOST_PARTS = 32
MOST_ROWS = 200_000
"""So many rows go into one file at most, but a run is not cut: whoever reads it needs no more memory than for one file."""
UNKNOWN = "unknown"
NAMES = tuple(column.name for column in SPANS)
PLACED = ("day", "project", "phases")
"""What goes with a row while it is brought to its place: its partition, and the phases of its run as text."""
CATEGORIES = tuple(column.name for column in SPANS if column.kind == "category")
_DAY = 86_400_000_000


class Part(NamedTuple):
    """One file of the dataset: its place in it, its partition, and the runs that it has rows of."""

    file: str
    day: str
    project: str
    rows: int
    traces: tuple[str, ...]


def parts_of(text: str | bytes, where: str) -> list[Part]:
    """The parts that a list names; `ArchiveError` where it is none of ours or of a newer version."""
    try:
        said = json.loads(text)
        version, listed = int(said["version"]), said["parts"]
        parts = [Part(p["file"], p["day"], p["project"], int(p["rows"]), tuple(p["traces"])) for p in listed]
    except (ValueError, KeyError, TypeError) as error:
        raise ArchiveError(f"{where} is no list of an archive's parts ({error}); write the archive anew") from error
    if version > VERSION:
        raise ArchiveError(
            f"{where} was written by a newer version (layout {version}, known {VERSION}); update this library"
        )
    for part in parts:
        if not re.fullmatch(r"day=[\w-]+/project=[\w.-]+/part-[0-9a-f]+\.parquet", part.file, re.ASCII):
            raise ArchiveError(f"{where} names {part.file!r}, which is no part of an archive; write the archive anew")
    return parts


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
    """Brings the dataset up to the frame of `spans_df()`; how many rows were written. Spans without a file belong to the
    folder `home`."""
    folder = Path(directory).expanduser()
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder):
        kept = _listed(folder)
        fresh = _placed(frame[list(NAMES)], home)
        written: list[Part] = []
        rows = 0
        for project, new in fresh.groupby("project", sort=True, observed=True):
            mine = [part for part in kept if part.project == project]
            touched = _touched(mine, set(new["trace_id"].astype(object)), set(new["day"]))
            old = _read(folder, touched)
            due, stale, left = _compared(new, old)
            crowded = _crowded(mine, due)
            again = {p.file for p in touched if p.file in stale} | {p.file for p in crowded}
            more = _read(folder, [part for part in mine if part.file in again and part not in touched])
            left = pd.concat([left, more]) if len(more) else left
            rows += len(due)
            written += _write(
                folder, str(project), pd.concat([due, left[left["file"].isin(again)].drop(columns="file")])
            )
            kept = [part for part in kept if part.file not in again]
        names = {part.file for part in written}
        kept = sorted([part for part in kept if part.file not in names] + written)
        if written or not (folder / LIST).exists():
            _replace(folder / LIST, _text(kept).encode())
        _tidy(folder, {part.file for part in kept})
    return rows


def together(parts: list[Part]) -> list[list[Part]]:
    """The parts in groups that have no run in common, each of one day and project: what may be read apart."""
    groups: dict[int, list[Part]] = {}
    of: dict[tuple[str, str, str], int] = {}
    for number, part in enumerate(parts):
        keys = [(part.day, part.project, trace) for trace in part.traces]
        mine = groups[number] = [part]
        for other in {of[key] for key in keys if key in of}:
            moved = groups.pop(other)
            mine[:0] = moved
            of.update({(p.day, p.project, trace): number for p in moved for trace in p.traces})
        of.update(dict.fromkeys(keys, number))
    return list(groups.values())


def conformed(frame: pd.DataFrame, columns: list[str] | None = None) -> pd.DataFrame:
    """A part's rows with the dtypes of `spans_df()`."""
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
    result = with_phases(pd.DataFrame(made, index=pd.RangeIndex(len(frame))), phases_of(frame))
    return result if columns is None else result[columns]


def joined(frames: list[pd.DataFrame]) -> pd.DataFrame:
    """The rows of several parts, in the order of `spans_df()`."""
    names = [name for name in CATEGORIES if name in frames[0].columns]
    phases: dict[str, Any] = {}
    whole = pd.concat([frame.astype(dict.fromkeys(names, object)) for frame in frames], ignore_index=True)
    for frame in frames:
        phases |= phases_of(frame)
    return with_phases(conformed(whole, list(whole.columns)), phases)


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
    return frame.assign(day=days[run], project=projects[run], phases=texts[run])


def _touched(parts: list[Part], traces: set[Any], days: set[Any]) -> list[Part]:
    return [part for part in parts if part.day in days or not traces.isdisjoint(part.traces)]


def _crowded(parts: list[Part], due: pd.DataFrame) -> list[Part]:
    """The small parts of a day that has too many, if it gets another one now."""
    days = set(due["day"]) if len(due) else set()
    small = [part for part in parts if part.day in days and part.rows < MOST_ROWS // 2]
    return [p for p in small if sum(q.day == p.day for q in small) >= MOST_PARTS]


def _read(folder: Path, parts: list[Part]) -> pd.DataFrame:
    frames = []
    for part in parts:
        frame = conformed(pd.read_parquet(folder / part.file, columns=list(NAMES)))
        phases = phases_of(frame)
        texts = [text_of(phases, trace_id) for trace_id in frame["trace_id"]]
        frames.append(frame.assign(day=part.day, project=part.project, phases=texts, file=part.file))
    if not frames:
        return pd.DataFrame(columns=[*NAMES, *PLACED, "file"])
    return pd.concat([frame.astype(dict.fromkeys(CATEGORIES, object)) for frame in frames], ignore_index=True)


def _compared(new: pd.DataFrame, old: pd.DataFrame) -> tuple[pd.DataFrame, set[str], pd.DataFrame]:
    """The new rows to write, the files that hold rows which no longer hold, and the old rows that still do."""
    if not len(old):
        return new, set(), old
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
    # An agent's node lives by its calls: where all of them went to another run, so does it.
    left = pd.MultiIndex.from_frame(old.loc[recorded & ~moved, ["trace_id", "agent"]].astype(object))
    gone |= ~present & ~recorded & ~pd.MultiIndex.from_frame(old[["trace_id", "agent"]].astype(object)).isin(left)
    return new[~written], set(old["file"][gone]), old[~gone]


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


def _write(folder: Path, project: str, frame: pd.DataFrame) -> list[Part]:
    written = []
    for day, rows in _in_files(frame):
        digest = hashlib.sha256(np.sort(_prints(rows)).tobytes()).hexdigest()[:12]
        name = f"day={day}/project={project}/part-{digest}.parquet"
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        table = conformed(rows.drop(columns=list(PLACED)).astype(dict.fromkeys(CATEGORIES, "category")))
        with_phases(table, of_text(dict(zip(rows["trace_id"], rows["phases"], strict=True))))
        held = _held(path)
        try:
            with open(held, "wb", opener=_private) as file:
                table.to_parquet(file, index=False)
        except ImportError as error:
            raise ArchiveError("writing Parquet needs pyarrow: pip install 'anton-notebook[archive]'") from error
        _moved(held, path)
        written.append(Part(name, str(day), project, len(rows), tuple(sorted(set(rows["trace_id"].astype(object))))))
    return written


def _in_files(frame: pd.DataFrame) -> Iterator[tuple[Any, pd.DataFrame]]:
    """The rows of each day in files of whole runs, in the order of their starts."""
    for day, rows in frame.groupby("day", sort=True):
        rows = rows.sort_values(["start", "trace_id", "span_id"], kind="stable", na_position="last", key=_plain)
        run, _ = pd.factorize(rows["trace_id"].astype(object))
        sizes = np.bincount(run)
        before = np.cumsum(sizes) - sizes
        for _, part in rows.groupby((before // MOST_ROWS)[run], sort=True):
            yield day, part


def _plain(column: pd.Series[Any]) -> pd.Series[Any]:
    return column.astype(object).astype(str) if column.name in ("trace_id", "span_id") else column


def _text(parts: list[Part]) -> str:
    return json.dumps({"version": VERSION, "parts": [part._asdict() for part in parts]}, indent=0) + "\n"


def _listed(folder: Path) -> list[Part]:
    path = folder / LIST
    return parts_of(path.read_bytes(), str(path)) if path.exists() else []


def _held(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")


def _replace(path: Path, data: bytes) -> None:
    held = _held(path)
    with open(held, "wb", opener=_private) as file:
        file.write(data)
    _moved(held, path)


def _moved(held: Path, path: Path) -> None:
    """Gives a file that is whole its name, after it has reached the disk."""
    with open(held, "rb+") as file:
        os.fsync(file.fileno())
    os.replace(held, path)
    if os.name == "posix":
        above = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(above)
        finally:
            os.close(above)


def _tidy(folder: Path, kept: Mapping[str, Any] | set[str]) -> None:
    """Takes away the parts that no longer count, and what a crash has left."""
    for path in [
        *folder.glob("day=*/project=*/part-*.parquet"),
        *folder.glob("day=*/project=*/.part-*.tmp"),
        *folder.glob(f".{LIST}.*.tmp"),
    ]:
        if path.relative_to(folder).as_posix() not in kept:
            path.unlink(missing_ok=True)
    for pattern in ("day=*/project=*", "day=*"):
        for path in folder.glob(pattern):
            if not any(path.iterdir()):
                path.rmdir()


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One writer at a time."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    with open(folder / LOCK, "a", opener=_private) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _private(path: str, flags: int) -> int:
    """Opens what is written anew for its owner alone."""
    return os.open(path, flags, 0o600)
