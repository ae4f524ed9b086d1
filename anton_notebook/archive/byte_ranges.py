"""Stretches of large files of lines, read apart from each other and joined by run: for archives larger than a machine.

`read` gives the light fields of a stretch's lines, by bucket of run; `join` puts the lights of a bucket into a store, whose
spans are then those that reading the whole files would have given. Texts are passed over and never kept.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import tzinfo
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from anton_notebook.errors import BodyUnavailable, NotATrace
from anton_notebook.model.span import Int32, Int64, Problem, Records, SpanClass
from anton_notebook.sources.anton.jsonl_file import JsonlFile
from anton_notebook.sources.anton.legacy import Legacy
from anton_notebook.sources.anton.line_batch import Batch, gc_paused
from anton_notebook.sources.anton.line_schema import FAULTS, decode_line
from anton_notebook.sources.otlp.run_grouping import Family
from anton_notebook.sources.tail import LINE_LIMIT, Lines
from anton_notebook.store import Store

CHUNK = 1 << 22
_NEWLINE = ord("\n")


class ByteRange(NamedTuple):
    """The lines of a file that begin at byte `start` or later and before `stop`. `order` is the file's place among all."""

    order: int
    path: str
    start: int
    stop: int


@dataclass(slots=True)
class LightBatch:
    """The light fields of some lines of one file; `records.trace` and `.cls` are places in `traces` and `classes`."""

    order: int
    path: str
    records: Records
    traces: list[str]
    classes: list[SpanClass]
    roots: list[tuple[str, str]]


class _Gathering(Store):
    """Takes batches as they come and joins nothing."""

    def __init__(self) -> None:
        super().__init__(None)
        self.batches: list[Records] = []

    def put(self, records: Records) -> None:
        self.batches.append(records)


class _WithIds(Legacy):
    """Where a line without ids turns up: what run it belongs to shows only beside all lines of its folder."""

    path = ""

    def add(self, *call: Any) -> None:
        text = f"{self.path} mixes lines with and without ids, so it cannot be read in stretches"
        raise NotATrace(f"{text}; give a larger blocksize= than the file has bytes")


def has_ids(head: bytes) -> bool:
    """Whether the first line that can be read names its run and itself."""
    for line in head.split(b"\n")[:-1]:
        try:
            found = decode_line(line.removeprefix(b"\xef\xbb\xbf"))
        except FAULTS:
            continue
        return bool(found.span_id and found.trace_id)
    return False


def newlines(file: BinaryIO, start: int, stop: int) -> int:
    """How many lines end in a stretch of a file."""
    file.seek(start)
    count = 0
    while start < stop and (part := file.read(min(CHUNK, stop - start))):
        count += part.count(b"\n")
        start += len(part)
    return count


def read(file: BinaryIO, stretch: ByteRange, before: int, zone: tzinfo | None, buckets: int) -> list[list[LightBatch]]:
    """The lights of a stretch by bucket of run; `before` lines end ahead of its start."""
    store, roots = _Gathering(), list[tuple[str, str]]()
    batch = Batch(store, unreported, zone, lambda *root: roots.append(root))
    legacy = _WithIds(store)
    legacy.path = stretch.path
    source = JsonlFile(stretch.path, store, unreported, legacy, zone, batch)
    offset, number = stretch.start, before + 1
    file.seek(max(offset - 1, 0))
    if offset:
        ended = file.read(1) == b"\n"
        while not ended and (skipped := file.readline(LINE_LIMIT)):
            offset, ended = offset + len(skipped), skipped.endswith(b"\n")
            number += ended
    rest = b""
    with gc_paused():
        while offset < stretch.stop and (
            part := file.read(min(CHUNK, max(stretch.stop - offset - len(rest), 1 << 20)))
        ):
            data = rest + part
            ends = np.flatnonzero(np.frombuffer(data, np.uint8) == _NEWLINE)
            rest = data[ends[-1] + 1 :] if len(ends) else data
            begins = np.append(0, ends + 1)[:-1] if len(ends) else ends
            count = int(np.searchsorted(begins, stretch.stop - offset))  # the lines that begin before the stop
            for one, few in _readable(begins[:count], ends[:count]):
                place = memoryview(data)[int(begins[one]) : int(ends[few - 1]) + 1]
                source.take(Lines(place, ends[one:few] - begins[one], offset + int(begins[one]), number + one))
            offset, number = offset + len(data) - len(rest), number + len(ends)
    batch.settle()
    return _parted(store, stretch, roots, buckets)


def _readable(begins: Int64, ends: Int64) -> Iterator[tuple[int, int]]:
    """Runs of lines that are not longer than a line may be."""
    one = 0
    for at in [*np.flatnonzero(ends - begins > LINE_LIMIT).tolist(), len(ends)]:
        if at > one:
            yield one, at
        one = at + 1


def unreported(problem: Problem) -> None:
    """Problems are those of `read_traces`; a stretch of an archive gives its spans alone."""


def _parted(
    store: _Gathering, stretch: ByteRange, roots: Sequence[tuple[str, str]], buckets: int
) -> list[list[LightBatch]]:
    names = [info.trace_id for info in store.traces]
    bucket = np.array([bucket_of(name, buckets) for name in names], np.int32)
    parts: list[list[LightBatch]] = [[] for _ in range(buckets)]
    for records in store.batches:
        of = bucket[records.trace]
        for number in np.unique(of).tolist():
            taken = _taken(records, np.flatnonzero(of == number))
            traces, trace = np.unique(taken.trace, return_inverse=True)
            classes, cls = np.unique(taken.cls, return_inverse=True)
            taken.trace, taken.cls = trace.astype(np.int32), cls.astype(np.int32)
            own = [root for root in roots if bucket_of(root[0], buckets) == number] if not parts[number] else []
            light = LightBatch(
                stretch.order,
                stretch.path,
                taken,
                [names[i] for i in traces.tolist()],
                [store.classes[i] for i in classes.tolist()],
                own,
            )
            parts[number].append(light)
    return parts


def bucket_of(trace_id: str, buckets: int) -> int:
    """The same number for a run wherever it is read."""
    return zlib.crc32(trace_id.encode("utf-8", "surrogatepass")) % buckets


def _taken(records: Records, at: Any) -> Records:
    made: dict[str, Any] = {}
    places: Mapping[int, int] = {}
    for field in fields(Records):
        value = getattr(records, field.name)
        if isinstance(value, np.ndarray):
            made[field.name] = value[at]
        elif isinstance(value, list):
            made[field.name] = [value[i] for i in at.tolist()]
        elif isinstance(value, dict):
            places = places or {old: new for new, old in enumerate(at.tolist())}
            made[field.name] = {places[old]: found for old, found in value.items() if old in places}
    return Records(**made)


def join(lights: Iterable[LightBatch], store: Store) -> None:
    """Puts lights into a store in the order in which whole files would have been read, and joins them."""
    files: dict[str, int] = {}
    family = Family(store)
    for light in sorted(lights, key=lambda one: (one.order, int(one.records.offset[0]))):
        if light.path not in files:
            files[light.path] = store.add_file(light.path, _elsewhere)
        records = light.records
        records.trace = store.trace_codes(light.traces)[records.trace]
        codes: Int32 = np.array([store.class_code(cls) for cls in light.classes], np.int32)
        records.cls = codes[records.cls]
        records.file = np.full(len(records), files[light.path], np.int32)
        store.put(records)
        for trace_id, span_id in light.roots:
            family.root(trace_id, span_id)
    family.settle()
    store.commit()


def _elsewhere(offset: int, length: int) -> Mapping[str, Any]:
    raise BodyUnavailable("texts are not read by scan(); read_traces() reads them")
