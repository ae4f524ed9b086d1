"""What the store knows of each trace as a whole: its figures and its agents' nodes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypedDict

from anton_notebook.model.span import NAT

PICO = 1e12
"""Costs are summed as whole pico-dollars, so that a total does not depend on the order of its parts."""
PHASE_STATES = ("running", "ok", "error", "stopped")
"""How a phase ended; `stopped`: left in the middle, and nothing says why."""


class RunFigures(TypedDict):
    """One run's figures; times in microseconds since 1970 UTC or None, costs in USD or None where nothing is priced.

    `original_span_id`: the one call that all of an experiment's answers are about, else None.
    """

    trace_id: str
    name: str
    origin: str
    original_trace_id: str | None
    original_span_id: str | None
    status: str
    start: int | None
    end: int | None
    spans: int
    llm_calls: int
    tool_calls: int
    agents: int
    errors: int
    input_tokens: int | None
    output_tokens: int | None
    cached_tokens: int | None
    cost_usd: float | None
    recorded_cost_usd: float | None
    unpriced_calls: int
    progress: str
    phases: list[tuple[int, int | None, str, str]]
    marks: list[tuple[int, str]]


class Described(TypedDict, total=False):
    """What other files than traces say of a run; times in microseconds since 1970 UTC, `NAT` for the end of an open phase.

    A phase is (start, end, name, status); its status is one of `PHASE_STATES`. A mark is (time, name).
    """

    name: str
    verdict: str | None
    origin: str
    progress: str
    phases: list[tuple[int, int, str, str]]
    marks: list[tuple[int, str]]


@dataclass(slots=True)
class Agent:
    """One agent of one trace: its node's row and what the node is derived from."""

    code: int
    row: int = -1
    explicit: bool = False
    first: tuple[int, str] = (2**63 - 1, "")
    end: int = NAT
    running: int = 0
    last: tuple[int, str, int] = (NAT, "", 1)
    foreign: set[int] = field(default_factory=set)


@dataclass(slots=True)
class TraceInfo:
    """One trace; its place in the store's list is its code."""

    code: int
    trace_id: str
    name: str = ""
    origin: str = "run"
    original_trace_id: str | None = None
    original_span_id: str | None = None
    verdict: str | None = None
    progress: str = ""
    phases: list[tuple[int, int, str, str]] = field(default_factory=list)
    marks: list[tuple[int, str]] = field(default_factory=list)
    agents: dict[int, Agent] = field(default_factory=dict)
    first_root: tuple[int, str, int] | None = None
    orchestrator: int = -1
    stale: bool = False
    first_call: int = -1
    start: int = NAT
    end: int = NAT
    spans: int = 0
    llm_calls: int = 0
    tool_calls: int = 0
    errors: int = 0
    running: int = 0
    unpriced: int = 0
    priced: int = 0
    tokens: list[int] = field(default_factory=lambda: [0, 0, 0])
    tokens_known: list[int] = field(default_factory=lambda: [0, 0, 0])
    cost: int = 0
    recorded: int = 0
    recorded_known: int = 0

    @property
    def status(self) -> str:
        """`running` while a span is; else what the run's own file says of it, else how the orchestrator's last call ended."""
        if self.running:
            return "running"
        if self.verdict is not None:
            return self.verdict
        agent = self.agents.get(self.orchestrator)
        return "error" if agent is not None and agent.last[2] == 2 else "ok"

    def figures(self) -> RunFigures:
        """The run's row of figures."""
        tokens = [total if known else None for total, known in zip(self.tokens, self.tokens_known, strict=True)]
        return RunFigures(
            trace_id=self.trace_id,
            name=self.name,
            origin=self.origin,
            original_trace_id=self.original_trace_id,
            original_span_id=self.original_span_id,
            status=self.status,
            start=None if self.start == NAT else self.start,
            end=None if self.end == NAT or self.status == "running" else self.end,
            spans=self.spans,
            llm_calls=self.llm_calls,
            tool_calls=self.tool_calls,
            agents=len(self.agents),
            errors=self.errors,
            input_tokens=tokens[0],
            output_tokens=tokens[1],
            cached_tokens=tokens[2],
            cost_usd=self.cost / PICO if self.priced else None,
            recorded_cost_usd=self.recorded / PICO if self.recorded_known else None,
            unpriced_calls=self.unpriced,
            progress=self.progress,
            phases=[(start, None if end == NAT else end, name, status) for start, end, name, status in self.phases],
            marks=list(self.marks),
        )
