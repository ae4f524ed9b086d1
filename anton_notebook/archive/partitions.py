"""Frames of spans from pieces of an archive, in whatever process a piece is read. What `archive` is built on."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from zoneinfo import ZoneInfo

from anton_notebook import pricing
from anton_notebook.api.traces import Traces
from anton_notebook.archive.byte_ranges import ByteRange, LightBatch, has_ids, join, newlines, read, unreported
from anton_notebook.pricing import Prices
from anton_notebook.sources.anton.discovery import AntonWorkspace
from anton_notebook.sources.detection import recognise
from anton_notebook.sources.reader import Reader
from anton_notebook.store import Store
from anton_notebook.tables import SpansFrame

if TYPE_CHECKING:
    import pandas as pd

HEAD = 1 << 20
__all__ = [
    "ByteRange",
    "LightBatch",
    "Plan",
    "Prices",
    "empty",
    "has_ids",
    "joined",
    "newlines",
    "plan",
    "read",
    "whole",
    "zone_of",
]


class Plan(NamedTuple):
    """What lies under paths of this machine: `apart`, files of lines with ids and their bytes; whether there is `more`."""

    apart: list[tuple[str, int]]
    more: bool


def plan(paths: Sequence[str], home: Path | None = None) -> Plan:
    """Looks at the files that `read_traces` would read, and at the beginning of each."""
    listed = Reader(paths, Store(None), home=home).listed()
    apart, more = [], False
    for path in listed:
        if not os.path.isfile(path):
            continue
        with open(path, "rb") as file:
            if recognise(path) == "jsonl" and has_ids(file.read(HEAD)):
                apart.append((path, os.path.getsize(path)))
                continue
        more = True
    return Plan(apart, more)


def whole(
    paths: Sequence[str],
    skip: Sequence[str],
    zone: tzinfo | None,
    home: Path | None,
    prices: Prices,
    renamed: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """The frame of everything under these paths but the files to skip; `renamed` says what files are called elsewhere."""
    with pricing.only(prices), Traces(paths, zone, home, False, skip=skip).hold() as traces:
        traces.reader.scan()
        frame = traces.spans_df()
    if renamed:
        frame["source"] = frame["source"].cat.rename_categories(dict(renamed))
    return frame


def joined(
    lights: Sequence[LightBatch], prices: Prices, paths: Sequence[str] = (), zone: tzinfo | None = None
) -> pd.DataFrame:
    """The frame of the runs whose lights these are, with what anton's own files under `paths` say of them."""
    store = Store(prices.cost_array, prices.usage_cost)
    join(lights, store)
    beside = AntonWorkspace(paths, store, unreported, zone, False)
    beside.read(())
    beside.join(dict, (), True)
    return SpansFrame(store, prices.cost_sources).frame()


def empty() -> pd.DataFrame:
    """A frame of spans without rows."""
    return SpansFrame(Store(None), pricing.cost_sources).frame()


def zone_of(tz: str | tzinfo | None) -> tzinfo | None:
    """The zone that `tz=` names."""
    return ZoneInfo(tz) if isinstance(tz, str) else tz
