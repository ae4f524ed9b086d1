"""Inner typed values: what a span is between the sources, the store and everything that looks at it.

Times are int64 microseconds since 1970 UTC, `NAT` where unknown. Token counts are int32, -1 where unknown.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from anton_notebook.model.usage import Usage

NAT = int(np.iinfo(np.int64).min)
UNKNOWN = -1
ERROR_KEPT = 4096

ORCHESTRATOR = "orchestrator"
AGENT = "agent"
LLM = "llm"
TOOL = "tool"
KINDS = (ORCHESTRATOR, AGENT, LLM, TOOL)
PRICED = frozenset({LLM, "embedding", "embeddings", "rerank", "reranker"})
"""Kinds of spans that a vendor bills."""

Int64 = npt.NDArray[np.int64]
Int32 = npt.NDArray[np.int32]
UInt8 = npt.NDArray[np.uint8]
Float64 = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]


class Status(enum.IntEnum):
    """How a span ended, as the store and the wire number it."""

    RUNNING = 0
    OK = 1
    ERROR = 2


STATUS_NAMES = ("running", "ok", "error")


class Flag(enum.IntFlag):
    """What else is known of a row of the store; the lower four bits go over the wire."""

    DERIVED = 1  # an agent's node: no line of a file
    PENDING = 2  # named as a parent, not seen yet
    ESTIMATED = 4  # tokens estimated from text
    FILE_GONE = 8  # its file was removed, replaced or cut
    DEAD = 16  # taken back (moved to another trace)
    KEEP = 32  # recorded parents stand: the source names its agents itself
    CUT = 64  # its parent would have closed a circle


PROVENANCES = ("", "reused", "executed", "inferred", "stale")
ORIGINS = ("run", "record", "demo", "export", "rerun", "replay")


class SpanClass(NamedTuple):
    """What many spans have in common; interned by the store."""

    kind: str
    agent: str = ""
    name: str = ""
    provider: str = ""
    model: str = ""
    finish_reason: str = ""


MARKS = ("good", "bad", "question", "important")
"""What a span can be marked as; on the wire a mark is its place here, from 1."""


@dataclass(slots=True)
class Own:
    """Facts that few spans have: the `anton_notebook` key of a written line, and billed units beside plain tokens.

    `usage` holds those of `model.usage.DETAILS`; input, output and cached tokens are columns. `lower_bound` marks an answer
    whose final count of output tokens never came.
    """

    origin: str = "run"
    original_trace_id: str | None = None
    original_span_id: str | None = None
    run_name: str | None = None
    note: str | None = None
    mark: str | None = None
    checkpoint_id: str | None = None
    provenance: str = ""
    reason: str | None = None
    source_kind: str | None = None
    recorded_cost_usd: float | None = None
    saved_usd: float | None = None
    cost_free: bool = False
    usage: Usage | None = None
    lower_bound: bool = False
    running: bool = False


@dataclass(slots=True)
class Records:
    """A batch of spans in columns, on its way from a source into the store. All columns have one length.

    `trace` and `cls` are codes given out by the store; `recorded_cost` is USD (NaN unknown); `line` counts from 1;
    `errors` and `own` are keyed by position in the batch. `hashed` holds Python's hashes of the ids and of the parents, where
    the source has them at hand.
    """

    trace: Int32
    span_id: list[str]
    parent_id: list[str | None]
    cls: Int32
    start: Int64
    duration: Int64
    status: UInt8
    flags: UInt8
    input: Int32
    output: Int32
    cached: Int32
    recorded_cost: Float64
    file: Int32
    offset: Int64
    length: Int32
    line: Int32
    errors: dict[int, str] = field(default_factory=dict)
    own: dict[int, Own] = field(default_factory=dict)
    hashed: tuple[Int64, Int64] | None = None

    def __len__(self) -> int:
        return len(self.span_id)

    def select(self, mask: Bool) -> Records:
        """Return the records where the mask is set."""
        places = np.flatnonzero(mask).tolist()
        at = {old: new for new, old in enumerate(places)}
        columns = {f.name: value[mask] for f in fields(self) if isinstance(value := getattr(self, f.name), np.ndarray)}
        return replace(
            self,
            **columns,
            span_id=[self.span_id[i] for i in places],
            parent_id=[self.parent_id[i] for i in places],
            errors={at[i]: error for i, error in self.errors.items() if i in at},
            own={at[i]: own for i, own in self.own.items() if i in at},
            hashed=None,
        )


class Span(NamedTuple):
    """The light fields of one row, as plain Python values."""

    row: int
    trace_id: str
    span_id: str
    parent: int
    kind: str
    agent: str
    name: str
    provider: str
    model: str
    finish_reason: str
    status: str
    start: int
    duration: int
    usage: Usage
    cost_usd: float
    recorded_cost_usd: float
    error: str | None
    flags: int
    file: int
    offset: int
    length: int
    line: int


Loader = Callable[[int, int], Mapping[str, Any]]
"""Gives the whole record of a span back: `loader(offset, length)`; raises `BodyUnavailable`."""

Pricer = Callable[[str, str, Int64, Int32, Int32, Int32], Float64]
"""Prices of many calls of one model: `(provider, model, start, input, output, cached) -> USD`, NaN where unknown."""

Detailed = Callable[[str, str, int, Usage], float]
"""The price of one call with all that it used: `(provider, model, start, usage) -> USD`, NaN if unknown."""


class Problem(NamedTuple):
    """One row of `problems_df`: what could not be read, and where."""

    source: str
    line: int | None
    offset: int | None
    reason: str
    field: str | None
    excerpt: str | None
