"""Inner: a recorded run as calls in the order of their starts, with the texts that rules look at."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from anton_notebook.errors import AntonNotebookError
from anton_notebook.experiments.replay.answer_diff import folded, whole_values
from anton_notebook.model.request import Request, Response
from anton_notebook.model.span import LLM, TOOL


@dataclass(eq=False)
class Node:
    """One span of a run. `start` and `end` are microseconds since 1970 UTC, None where unknown.

    `previous` is the call whose conversation a call continues, `turn` its number in that conversation, `asker` the call whose
    answer asked for a tool. `parent` is the place of the span above it among the nodes, -1 where none of them is.
    """

    place: int
    span: Any
    kind: str
    start: int | None
    end: int | None
    record: Mapping[str, Any]
    source_kind: str = "jsonl"
    request: Request | None = None
    response: Response | None = None
    parent: int = -1
    above: str | None = None
    previous: Node | None = None
    turn: int = 0
    conversation: int = 0
    asker: Node | None = None
    asked: int = -1
    results: dict[int, Node] = field(default_factory=dict)
    told_right: bool | None = None
    """See `dependence.holds_answer`."""

    @property
    def span_id(self) -> str:
        return str(self.span.span_id)

    @cached_property
    def agent(self) -> str | None:
        found = self.span.agent
        return found if isinstance(found, str) else None

    @property
    def name(self) -> str:
        return self.span.name or self.kind

    @property
    def title(self) -> str:
        """How reasons name it."""
        who = self.agent or self.name
        return f"{who}'s {self.name}" if self.kind == TOOL else f"turn {self.turn + 1} of {who}"

    @property
    def answered(self) -> bool:
        return not self.span.error and self.span.status == "ok"

    @property
    def arguments(self) -> Any:
        """What a tool was called with, None where that is not recorded."""
        return self.record.get("parameters")

    @cached_property
    def result(self) -> str:
        """A tool's result as text."""
        return as_text(self.record.get("result"))

    @cached_property
    def answer(self) -> str:
        """What it gave, as text."""
        if self.kind == TOOL:
            return self.result
        return self.response.text if self.response is not None else ""

    @cached_property
    def values(self) -> set[str]:
        """The values of its answer that are long enough to be told."""
        return whole_values(self.answer)

    @cached_property
    def asks(self) -> str:
        """All text of its request (or of its arguments)."""
        if self.kind == TOOL:
            return "\n".join(strings(self.arguments))
        if self.request is None:
            return ""
        return "\n".join([*strings(self.request.system), *strings(self.request.messages), *strings(self.request.tools)])

    @cached_property
    def says(self) -> str:
        """The same without its case and the signs between its words."""
        return folded(self.asks)

    def __repr__(self) -> str:
        return f"<Node {self.place} {self.title}>"


class Recording:
    """The calls of a run, by start, and the spans above them."""

    def __init__(self, trace: Any) -> None:
        self.trace_id: str = trace.trace_id
        self.nodes: list[Node] = []
        self.others: list[Any] = []
        for span in trace.spans:
            if span.kind in (LLM, TOOL):
                self.nodes.append(_node(len(self.nodes), span))
            elif span.record:
                self.others.append(span)
        self.by_id = {node.span_id: node for node in self.nodes}
        agents: dict[str, str | None] = {}
        for node in self.nodes:
            above = node.span.parent
            while above is not None:
                found = self.by_id.get(above.span_id)
                if found is not None:
                    node.parent = found.place
                    break
                above = above.parent
            if node.agent not in agents and node.agent is not None:
                agents[node.agent] = _agent_above(node)
            node.above = agents.get(node.agent or "")

    @property
    def calls(self) -> Iterator[Node]:
        """The calls to models."""
        return (node for node in self.nodes if node.kind == LLM)


def _node(place: int, span: Any) -> Node:
    try:
        record = span.record
    except AntonNotebookError:
        record = {}
    end = None if span.start_us is None or span.duration_ms is None else span.start_us + round(span.duration_ms * 1000)
    made = Node(place, span, span.kind, span.start_us, end, record, source_kind(span))
    if span.kind == LLM:
        try:
            made.request, made.response = span.request, span.response
        except AntonNotebookError:
            made.request = None
    return made


def source_kind(span: Any) -> str:
    """The kind of the source that a span was recorded by."""
    store = span._traces.store
    own = store.own.get(span.row)
    if own is not None and own.source_kind:
        return str(own.source_kind)
    light = store.span(span.row)
    return str(store.files[light.file].kind) if light.file >= 0 else "jsonl"


def _agent_above(node: Node) -> str | None:
    """The next other agent above it in the tree."""
    above = node.span.parent
    while above is not None:
        if above.agent and above.agent != node.agent:
            return str(above.agent)
        above = above.parent
    return None


def as_text(value: Any) -> str:
    """A result as text: strings as they are, anything else as JSON."""
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, ensure_ascii=False, default=str)


def strings(value: Any) -> Iterator[str]:
    """All texts in a value, in order."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from strings(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from strings(inner)
