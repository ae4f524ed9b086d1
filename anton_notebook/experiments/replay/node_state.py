"""Inner: what is known of the calls of a replay, and what a rule has made."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from anton_notebook.experiments.replay.answer_diff import Changed
from anton_notebook.experiments.replay.doubts import Doubts, Put
from anton_notebook.experiments.replay.recording import Node, strings
from anton_notebook.model.request import Request, Response

SAME, CHANGED, UNKNOWN = "same", "changed", "unknown"


class Unreached(Exception):
    """No rule reaches this call; the text says why."""


@dataclass
class Settled:
    """What became of a node. `base` is the request that the program makes, before a change of the caller's.

    `state`: its answer is the `same` as recorded, `changed`, or `unknown` (then `why`). `assumed`: the recorded answer is taken,
    though it may be another.
    """

    node: Node
    state: str = SAME
    base: Request | None = None
    response: Response | None = None
    result: str | None = None
    changed: Changed = field(default_factory=Changed)
    why: str = ""
    assumed: bool = False

    @cached_property
    def said(self) -> str:
        """All that it says now."""
        if self.response is None:
            return self.result or ""
        return "\n".join([self.response.text, *strings([call.get("arguments") for call in self.response.tool_calls])])


class Known(dict[int, Settled]):
    """By place: what became of the nodes that are no plain `reused`. `open` says where that is not the same as recorded."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.open = np.zeros(size, bool)

    def __setitem__(self, place: int, settled: Settled) -> None:
        super().__setitem__(place, settled)
        self.open[place] = settled.state != SAME


@dataclass
class Rebuilt:
    """A request that the rules made. `used` counts what was put in, by the node that it came from; `puts` are the values in their
    order, `doubts` what else the program may have done."""

    request: Request
    used: dict[int, int] = field(default_factory=dict)
    turns: int = 0
    results: int = 0
    puts: list[Put] = field(default_factory=list)
    doubts: Doubts = field(default_factory=Doubts)

    def sentence(self, nodes: list[Node]) -> str:
        said = [f"the new answer of {nodes[place].title}" for place in sorted(self.used) if self.used[place] < 0]
        for place in sorted(self.used):
            if self.used[place] > 0:
                many = self.used[place]
                said.append(f"{many} value{'s' if many > 1 else ''} of {nodes[place].title}")
        if self.results:
            said.append(f"{self.results} new result{'s' if self.results > 1 else ''} of tools")
        return ", ".join(said)
