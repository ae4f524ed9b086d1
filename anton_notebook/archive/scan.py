"""`scan`: the spans of trace files or of an archive that is larger than memory, as a lazy Dask DataFrame.

A partition always holds whole runs, because retries, phases and subagents are computed within one partition. Bodies of spans are
skipped while reading.
"""

from __future__ import annotations

import os
import posixpath
import tempfile
from collections.abc import Sequence
from datetime import tzinfo
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from anton_notebook.api import PathLike
from anton_notebook.archive import delta_table, partitions
from anton_notebook.archive.partitions import ByteRange, LightBatch, Prices
from anton_notebook.errors import ArchiveError, NotATrace, PathNotFound
from anton_notebook.tables import user_columns

BLOCK = 64 << 20
LEAST = 1024
MOST_BUCKETS = 32
PIECE_ROWS = 200_000
"""Rows per Dask partition of an archive, about; a run is never split."""
TRACES = (".jsonl", ".db", ".sqlite", ".sqlite3", ".json")


def scan(
    path: PathLike | Sequence[PathLike],
    *,
    tz: str | tzinfo | None = None,
    blocksize: int = BLOCK,
    storage_options: dict[str, Any] | None = None,
) -> Any:
    """All spans under a path as a lazy Dask DataFrame, with the columns and dtypes of `spans_df()`.

    `path`: what `read_traces` takes, the folder that `traces.to_parquet` wrote (a Delta table), or a URL of
    either that fsspec knows
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
    if len(places) == 1 and _is_archive(places[0], storage_options):
        frame = _archive(os.path.expanduser(places[0]), storage_options or {})
    elif any("://" in place for place in places):
        frame = _remote(places, zone, blocksize, storage_options or {}, prices)
    else:
        frame = _local(places, zone, blocksize, prices)
    columns = user_columns.own_columns("spans")
    if not any(callable(column.make) for column in columns):
        return frame
    meta = user_columns.add_user_columns(frame._meta, "spans", added=columns)
    return dask_frames.map_partitions(user_columns.add_user_columns, frame, "spans", added=columns, meta=meta)


def _is_archive(place: str, storage_options: dict[str, Any] | None) -> bool:
    import fsspec  # type: ignore[import-untyped]

    files, root = fsspec.core.url_to_fs(place, **(storage_options or {}))
    return bool(files.isdir(posixpath.join(root, "_delta_log")))


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


# -- Delta tables


def _archive(place: str, storage_options: dict[str, Any]) -> Any:
    """The table's files by partition; a partition that is large on disk is split by run."""
    import dask
    import fsspec

    groups: dict[tuple[str, str], list[delta_table.TableFile]] = {}
    for file in delta_table.files_of(place, storage_options):
        groups.setdefault((file.day, file.project), []).append(file)
    pieces: list[Piece] = []
    for files in groups.values():
        count = max(1, round(sum(file.rows for file in files) / PIECE_ROWS))
        pieces += [Piece([file.path for file in files], number, count) for number in range(count)]
    with dask.config.set({"dataframe.convert-string": False}):  # the columns are pandas' own strings already
        reader = _PieceReader(*fsspec.core.url_to_fs(place, **storage_options))
        return _dask().from_map(
            reader, pieces or [Piece([], 0, 1)], meta=_meta(), label="anton-archive", enforce_metadata=False
        )


class Piece(NamedTuple):
    """The runs of some files whose key modulo `of` is `number`."""

    paths: list[str]
    number: int
    of: int


class _PieceReader:
    """Reads whole runs of one day and project; only the columns asked for."""

    def __init__(self, filesystem: Any, root: str) -> None:
        self._filesystem, self._root = filesystem, root

    def __call__(self, piece: Piece, columns: list[str] | None = None) -> pd.DataFrame:
        wanted = list(delta_table.NAMES if columns is None else columns)
        read = [*wanted, *(["phases"] if "trace_id" in wanted else [])]
        read += [delta_table.RUN_KEY] if piece.of > 1 else []
        frames = []
        for path in piece.paths:
            with self._filesystem.open(posixpath.join(self._root, path), "rb") as file:
                frame = pd.read_parquet(file, columns=read)
            if piece.of > 1:
                numbers = frame[delta_table.RUN_KEY].map(lambda key: int(key[:8], 16) % piece.of)
                frame = frame[numbers == piece.number]
            frames.append(frame)
        rows = pd.concat(frames, ignore_index=True) if frames else partitions.empty()
        return delta_table.frame_of(rows, wanted)


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
