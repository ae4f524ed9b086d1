"""Archives larger than the machine: `scan` gives the spans of trace files or of a Parquet dataset as a lazy Dask DataFrame.

A partition always holds whole runs, so that what looks at a run as a whole (retries, phases, sub-agents) is worked out within
one. Bodies are passed over where they are read and go nowhere.
"""

from __future__ import annotations

import os
import posixpath
import tempfile
from collections.abc import Sequence
from datetime import tzinfo
from pathlib import Path
from typing import Any

import pandas as pd

from anton_notebook.api import PathLike
from anton_notebook.archive import parquet_dataset, partitions
from anton_notebook.archive.partitions import ByteRange, LightBatch, Prices
from anton_notebook.errors import ArchiveError, NotATrace, PathNotFound
from anton_notebook.tables import user_columns

BLOCK = 64 << 20
LEAST = 1024
MOST_BUCKETS = 32
TRACES = (".jsonl", ".db", ".sqlite", ".sqlite3", ".json")


def scan(
    path: PathLike | Sequence[PathLike],
    *,
    tz: str | tzinfo | None = None,
    blocksize: int = BLOCK,
    storage_options: dict[str, Any] | None = None,
) -> Any:
    """All spans under a path as a lazy Dask DataFrame, with the columns and dtypes of `spans_df()`.

    `path`: what `read_traces` takes, the folder that `traces.to_parquet` wrote, or the address of either that fsspec knows
    (`s3://bucket/traces`, with `storage_options` for it). Files of lines with ids that have more than `blocksize` bytes
    together are read in stretches of about that size, everything else under the path in one piece. `tz` as for
    `read_traces`. Prices are those of now in this process, but in a dataset those of the day it was written.

    At an address of fsspec the traces alone are read, and not what lies beside them: their runs have no phases.

    Every partition holds whole runs. `anb.costs(scan(...), by="agent")` is what it is on pandas, to the cent. Columns of one's
    own are there if they are functions of the frame. Raises `ArchiveError` without Dask (`pip install
    'anton-notebook[archive]'`), and what `read_traces` raises.

    >>> import pathlib, tempfile
    >>> folder = pathlib.Path(tempfile.mkdtemp()); _ = (folder / "t.jsonl").write_text(
    ...     '{"timestamp": "2026-01-01T00:00:00Z", "agent_name": "a", "trace_id": "t", "span_id": "s", "model": "m"}\\n')
    >>> scan(folder).agent.compute().tolist()
    ['a', 'a']
    """
    if blocksize < LEAST:
        raise ValueError(f"blocksize={blocksize} is less than {LEAST:,} bytes; a stretch is to hold many lines")
    dask_frames = _dask()
    given = [path] if isinstance(path, str | os.PathLike) else list(path)
    places = [os.fspath(place) for place in given]
    zone, prices = partitions.zone_of(tz), Prices.of(None)
    if len(places) == 1 and (found := _dataset(places[0], storage_options)) is not None:
        frame = found
    elif any("://" in place for place in places):
        frame = _remote(places, zone, blocksize, storage_options or {}, prices)
    else:
        frame = _local(places, zone, blocksize, prices)
    columns = user_columns.own_columns("spans")
    if not any(callable(column.make) for column in columns):
        return frame
    meta = user_columns.add_user_columns(frame._meta, "spans", added=columns)
    return dask_frames.map_partitions(user_columns.add_user_columns, frame, "spans", added=columns, meta=meta)


def _dask() -> Any:
    try:
        import dask.dataframe
    except ImportError as error:
        raise ArchiveError("scan() needs Dask: pip install 'anton-notebook[archive]'") from error
    return dask.dataframe


def _meta() -> pd.DataFrame:
    from dask.dataframe import utils

    unknown: Any = utils.clear_known_categories
    meta: pd.DataFrame = unknown(partitions.empty())
    return meta


# -- the Parquet dataset


def _dataset(place: str, storage_options: dict[str, Any] | None) -> Any:
    import fsspec  # type: ignore[import-untyped]

    files, root = fsspec.core.url_to_fs(place, **(storage_options or {}))
    listed = posixpath.join(root, parquet_dataset.LIST)
    try:
        text = files.cat_file(listed)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
    known = sorted(
        parquet_dataset.parts_of(text, f"{place}/{parquet_dataset.LIST}"), key=lambda part: (part.day, part.project)
    )
    parts = [[posixpath.join(root, part.file) for part in parts] for parts in parquet_dataset.together(known)] or [[]]
    import dask

    with dask.config.set({"dataframe.convert-string": False}):  # the columns have pandas' own type of text already
        return _dask().from_map(_Parts(files), parts, meta=_meta(), label="anton-archive", enforce_metadata=False)


class _Parts:
    """Reads the files of some runs of one day and project; only the columns asked for."""

    def __init__(self, files: Any) -> None:
        self._files = files

    def __call__(self, paths: list[str], columns: list[str] | None = None) -> pd.DataFrame:
        frames = []
        for path in paths:
            with self._files.open(path, "rb") as file:
                frames.append(parquet_dataset.conformed(pd.read_parquet(file, columns=columns), columns))
        if len(frames) == 1:
            return frames[0]
        return parquet_dataset.joined(frames or [parquet_dataset.conformed(partitions.empty(), columns)])


# -- trace files


def _local(places: list[str], zone: tzinfo | None, blocksize: int, prices: Prices) -> Any:
    paths = [os.path.abspath(os.path.expanduser(place)) for place in places]
    plan = partitions.plan(paths)
    if sum(size for _, size in plan.apart) <= blocksize:
        return _frame([_delayed(partitions.whole)(paths, (), zone, None, prices)])
    parts = _in_stretches([(path, path, size) for path, size in plan.apart], None, zone, blocksize, prices, paths)
    if plan.more:
        skip = [path for path, _ in plan.apart]
        parts.append(_delayed(partitions.whole)(paths, skip, zone, None, prices))
    return _frame(parts)


def _remote(
    places: list[str], zone: tzinfo | None, blocksize: int, storage_options: dict[str, Any], prices: Prices
) -> Any:
    import fsspec

    apart: list[tuple[str, str, int]] = []
    rest: list[tuple[str, str]] = []
    for place in places:
        files, root = fsspec.core.url_to_fs(place, **storage_options)
        found = _found(files, root)
        if not found:
            raise PathNotFound(f"{place} holds no traces; give the address of a file, a folder of them, or an archive")
        for path in found:
            if path.endswith(".jsonl") and partitions.has_ids(files.cat_file(path, start=0, end=partitions.HEAD)):
                apart.append((files.unstrip_protocol(path), path, int(files.size(path))))
            else:
                rest.append((files.unstrip_protocol(path), path))
    parts = _in_stretches(apart, files, zone, blocksize, prices) if apart else []
    if rest:
        parts.append(_delayed(_fetched)(files, rest, zone, prices))
    return _frame(parts)


def _found(files: Any, root: str) -> list[str]:
    """The trace files of an address, as `read_traces` finds them in a folder."""
    if files.isfile(root):
        return [root]
    found: list[str] = []
    for inner in ("", ".modular-agents/traces", "traces"):
        folder = posixpath.join(root, inner) if inner else root
        try:
            names = files.ls(folder, detail=False)
        except (FileNotFoundError, NotADirectoryError):
            continue
        found += sorted(name for name in names if name.endswith(TRACES[:4]) and files.isfile(name))
    return found


def _fetched(files: Any, rest: list[tuple[str, str]], zone: tzinfo | None, prices: Prices) -> pd.DataFrame:
    """Files that can be read only beside each other, brought to this worker for the while."""
    with tempfile.TemporaryDirectory(prefix="anton-notebook-scan-") as folder:
        names = {}
        for number, (address, path) in enumerate(rest):
            here = os.path.join(folder, f"{number:06d}{posixpath.splitext(path)[1]}")
            files.get_file(path, here)
            names[here] = address
        return partitions.whole(list(names), (), zone, Path(folder), prices, names)


def _in_stretches(
    listed: list[tuple[str, str, int]],
    files: Any,
    zone: tzinfo | None,
    blocksize: int,
    prices: Prices,
    paths: Sequence[str] = (),
) -> list[Any]:
    """Delayed frames, each of whole runs: files are cut into stretches, their light fields put into buckets by run.

    `paths`: beside which anton's own files may lie, on this machine.
    """
    blocks: list[list[ByteRange]] = [[]]
    counts: dict[int, list[Any]] = {}
    room = blocksize
    for order, (_, path, size) in enumerate(listed):
        if size > blocksize:
            cuts = [*range(0, size, blocksize), size]
            stretches = [ByteRange(order, path, a, b) for a, b in zip(cuts, cuts[1:], strict=False)]
            counts[order] = [_delayed(_counted)(files, stretch) for stretch in stretches[:-1]]
            blocks += [[stretch] for stretch in stretches]
            continue
        if size > room and blocks[0]:
            blocks.append(blocks[0])
            blocks[0], room = [], blocksize
        blocks[0].append(ByteRange(order, path, 0, size))
        room -= size
    blocks = [block for block in blocks if block]
    buckets = min(len(blocks), MOST_BUCKETS)
    names = {path: address for address, path, _ in listed}
    read = _delayed(_lights, nout=buckets)
    made = []
    for block in blocks:
        first = block[0]
        before = counts[first.order][: first.start // blocksize] if first.start else []
        made.append(read(files, block, before, zone, buckets, {s.path: names[s.path] for s in block}))
    join = _delayed(_joined)
    return [join([lights[number] for lights in made], prices, paths, zone) for number in range(buckets)]


def _counted(files: Any, stretch: ByteRange) -> int:
    with _opened(files, stretch.path) as file:
        return partitions.newlines(file, stretch.start, stretch.stop)


def _lights(
    files: Any, block: list[ByteRange], before: list[int], zone: tzinfo | None, buckets: int, names: dict[str, str]
) -> list[list[LightBatch]]:
    parts: list[list[LightBatch]] = [[] for _ in range(buckets)]
    for stretch in block:
        with _opened(files, stretch.path) as file:
            found = partitions.read(file, stretch, sum(before), zone, buckets)
        for part, lights in zip(parts, found, strict=True):
            for light in lights:
                light.path = names[stretch.path]
            part += lights
    return parts


def _joined(parts: list[list[LightBatch]], prices: Prices, paths: Sequence[str], zone: tzinfo | None) -> pd.DataFrame:
    return partitions.joined([light for part in parts for light in part], prices, paths, zone)


def _opened(files: Any, path: str) -> Any:
    return open(path, "rb") if files is None else files.open(path, "rb")


def _delayed(function: Any, nout: int | None = None) -> Any:
    from dask.delayed import delayed

    lazily: Any = delayed
    return lazily(function, pure=False, nout=nout)


def _frame(parts: list[Any]) -> Any:
    if not parts:
        raise NotATrace("nothing to read was found; give a folder of traces or files")
    return _dask().from_delayed(parts, meta=_meta(), verify_meta=False, prefix="anton-spans")
