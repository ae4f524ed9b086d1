"""State of every call during a replay: its new request and answer, and whether they equal the recorded ones."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from anton_notebook.experiments.replay.recording import Node
from anton_notebook.model.request import Request, Response


class State(Enum):
    """The new answer compared with the recorded one."""

    SAME = "same"
    CHANGED = "changed"
    UNKNOWN = "unknown"


class CannotInfer(Exception):
    """No structural step leads to this call. The text says why."""


@dataclass
class NodeState:
    """The outcome of one call.

    Attributes:
        base: The request that the program makes, before a change by the caller; `sent` is after it.
        response: The new answer of a model call, if changed.
        result: The new result of a tool, if changed.
        reason: Why the state is unknown.
    """

    node: Node
    state: State = State.SAME
    base: Request | None = None
    sent: Request | None = None
    response: Response | None = None
    result: str | None = None
    reason: str = ""


class NodeStates(dict[int, NodeState]):
    """States by place. A call without an entry is as recorded."""

    def of(self, node: Node) -> NodeState:
        """Return the state of a call."""
        return self.get(node.place) or NodeState(node)

    def changed(self, places: set[int]) -> list[NodeState]:
        """Return the states among these places that are not as recorded, by place."""
        return [self[place] for place in sorted(places) if place in self and self[place].state is not State.SAME]
