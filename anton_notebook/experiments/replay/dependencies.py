"""Which calls of a run are provably independent of a changed call.

Idea: only causes come before effects. With R the changed call and a(R) the time of the first byte of its answer:
- A model call is independent if its request existed before a(R). Calls that start while R runs are accepted only if no
  other call ended meanwhile: the program may have waited for the first of several calls, or asked again after a time-out.
  A next turn of a conversation is accepted if everything that it repeats is independent.
- A tool is independent if it ended before a(R) and no dependent call lies within it: it may wait, or run agents itself.
- If another call asks the same messages while R runs (a hedge), the winner depends on R's speed: a(R) is R's start.
- If the clock proves nothing (`RecordedClock.problem`), only ancestors are independent: earlier turns and their tools.
False is never wrong, only less useful. Cost: O(changed calls x nodes x log nodes).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

from anton_notebook.experiments.replay.clock import RecordedClock, available_us, repeats_answer
from anton_notebook.experiments.replay.recording import Node, Recording
from anton_notebook.experiments.replay.structure import Structure
from anton_notebook.experiments.replay.tool_kinds import may_wait
from anton_notebook.model.span import LLM, TOOL

NOTED_LATE_US = 5_000
"""How much later than its answer is used the end of a call may be noted."""


class Dependencies:
    """Order and independence of the calls of a recording."""

    def __init__(self, recording: Recording) -> None:
        self.nodes = recording.nodes
        self.clock = RecordedClock(recording)
        self.structure = Structure(self.nodes, ordered=self.clock.problem is None)
        self.clock.find_overlap(self.nodes)
        self._above = [self._chain(node) for node in self.nodes]
        self._inside: dict[int, list[int]] = {}
        for place, chain in enumerate(self._above):
            for above in chain:
                self._inside.setdefault(above, []).append(place)
        self._ends = sorted(node.end for node in self.nodes if node.end is not None)

    def inside(self, node: Node) -> list[int]:
        """Return the places of the calls below a call in the tree."""
        return self._inside.get(node.place, [])

    def dependent(self, root: Node) -> set[int]:
        """Return the places of the calls that may depend on a changed call, without the call itself."""
        earlier = self.structure.ancestors(root)
        if self.clock.problem is not None or root.start is None:
            return self._all_but(root, earlier)
        limit = self._limit(root)
        dependent: set[int] = set()
        above = set(self._above[root.place])
        for node in self.nodes:  # by start: what a call repeats was looked at before
            if node is root or node.place in earlier:
                continue
            around = node.place in above and (node.kind == TOOL or node.end is None or node.end > root.start)
            if around or not self._independent(node, root, limit, dependent):
                dependent.add(node.place)
        for place in sorted(dependent):  # a tool that contains a dependent call
            dependent.update(p for p in self._above[place] if self.nodes[p].kind == TOOL and p not in earlier)
        dependent.discard(root.place)
        others = (node for node in self.nodes if node.place not in dependent and node.place not in earlier)
        if any(repeats_answer(node, root) for node in others if node is not root):
            return self._all_but(root, earlier)  # the times of this call contradict a prompt
        return dependent

    def _all_but(self, root: Node, earlier: set[int]) -> set[int]:
        return {node.place for node in self.nodes if node is not root and node.place not in earlier}

    def may_precede(self, node: Node, tool: Node) -> bool:
        """Whether a call may have had an effect before a tool ended."""
        if node.start is None or tool.end is None or self.clock.problem is not None:
            return True
        return node.start <= tool.end + self.clock.slack_us

    def _chain(self, node: Node) -> list[int]:
        chain: list[int] = []
        at = node.parent
        while at >= 0 and at not in chain:
            chain.append(at)
            at = self.nodes[at].parent
        return chain

    def _limit(self, root: Node) -> int:
        """The time before which a request must have existed."""
        assert root.start is not None
        available = available_us(root)
        if available is None or any(_hedges(root, other) for other in self.nodes):
            return root.start
        return available

    def _independent(self, node: Node, root: Node, limit: int, dependent: set[int]) -> bool:
        slack = self.clock.slack_us
        assert root.start is not None
        if node.start is None:
            return False
        if node.kind == TOOL:
            waits = may_wait(node.name) and (node.end is None or node.end + slack > root.start)
            if node.end is None or node.end + slack > limit or waits:
                return False
        elif node.start + slack > limit:
            return False
        if node.start + slack <= root.start:
            return node.kind == LLM or node.asker is None or node.asker.place not in dependent
        return self._independent_while_running(node, root, dependent)

    def _independent_while_running(self, node: Node, root: Node, dependent: set[int]) -> bool:
        """Whether a call that starts while the changed one runs was started by something else."""
        if node.kind == TOOL and node.asker is not None:
            return node.asker.place not in dependent
        if node.kind == LLM and self.structure.next_turn_problem(node) is None and node.previous is not None:
            causes = [node.previous, *node.previous.results.values()]
            return not any(cause.place in dependent for cause in causes)
        assert root.start is not None
        assert node.start is not None
        until = node.start + max(self.clock.start_step, NOTED_LATE_US)
        ended = bisect_right(self._ends, until) - bisect_right(self._ends, root.start)
        return ended == (node.end is not None and root.start < node.end <= until)


def _hedges(root: Node, other: Node) -> bool:
    """Whether another call asks the same messages at the same time."""
    if other is root or other.request is None or root.request is None:
        return False
    if other.start is None or other.end is None or root.start is None or root.end is None:
        return other.request.messages == root.request.messages
    overlap = other.start < root.end and root.start < other.end
    return overlap and other.request.messages == root.request.messages


def titles(nodes: Iterable[Node]) -> str:
    """Return the names of some calls for a message."""
    names = [node.title for node in nodes]
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
