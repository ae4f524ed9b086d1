"""A recorded run as model and tool calls sorted by start. Read `structure.py` next."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from anton_notebook.errors import AntonNotebookError
from anton_notebook.model.request import Request, Response, text_of
from anton_notebook.model.span import LLM, TOOL


@dataclass(eq=False)
class Node:
    """One model or tool call. `start` and `end` are microseconds since 1970 UTC, None if unknown.

    Attributes:
        place: Index in `Recording.nodes`.
        position: Number of its file and offset of its line in it; (-1, -1) if it is not a line of a file.
        parent: Place of the nearest model or tool call above it in the tree, -1 if none.
        previous: The call whose conversation this one continues; `turn` counts from 0. `ambiguous` if several calls fit.
        asker: The model call that asked for this tool; `asked` is the index in its tool calls, -1 if unknown.
        results: Index in this answer's tool calls -> the tool that ran for it.
    """

    place: int
    span: Any
    kind: str
    start: int | None
    end: int | None
    record: Mapping[str, Any]
    source_kind: str = "jsonl"
    position: tuple[int, int] = (-1, -1)
    request: Request | None = None
    response: Response | None = None
    parent: int = -1
    previous: Node | None = None
    turn: int = 0
    ambiguous: bool = False
    asker: Node | None = None
    asked: int = -1
    results: dict[int, Node] = field(default_factory=dict)

    @property
    def span_id(self) -> str:
        """The span's id."""
        return str(self.span.span_id)

    @cached_property
    def agent(self) -> str | None:
        """The agent's name, if it is text."""
        agent = self.span.agent
        return agent if isinstance(agent, str) else None

    @property
    def name(self) -> str:
        """The tool's name or the model call's name."""
        return self.span.name or self.kind

    @property
    def title(self) -> str:
        """Name for messages to the user."""
        agent = self.agent or self.name
        return f"{agent}'s {self.name}" if self.kind == TOOL else f"turn {self.turn + 1} of {agent}"

    @property
    def answered(self) -> bool:
        """Whether it ended without an error."""
        return not self.span.error and self.span.status == "ok"

    @property
    def arguments(self) -> Any:
        """Arguments of a tool; None if not recorded."""
        return self.record.get("parameters")

    @property
    def asked_calls(self) -> list[Mapping[str, Any]]:
        """Tool calls in the recorded answer."""
        return list(self.response.tool_calls) if self.response is not None else []

    @cached_property
    def result(self) -> str:
        """Result of a tool as text."""
        return as_text(self.record.get("result"))

    @cached_property
    def answer(self) -> str:
        """Result of a tool, or text of an answer."""
        if self.kind == TOOL:
            return self.result
        return self.response.text if self.response is not None else ""

    @cached_property
    def prompt_text(self) -> str:
        """All text of the messages of a model call."""
        messages = self.request.messages if self.request is not None else []
        return "\n".join(text_of(message.get("content")) for message in messages)

    @property
    def silent(self) -> bool:
        """Whether the recording lacks the tool calls of the answer, as anton's proxy does."""
        return (
            self.response is not None
            and not self.response.text
            and not self.response.tool_calls
            and self.span.finish_reason in ("tool_calls", "tool_use")
        )

    def __repr__(self) -> str:
        return f"<Node {self.place} {self.title}>"


class Recording:
    """The calls of a run sorted by start, and the other spans above them."""

    def __init__(self, trace: Any) -> None:
        self.trace_id: str = trace.trace_id
        self.origin: str = trace.figures["origin"]
        self.nodes: list[Node] = []
        self.others: list[Any] = []
        for span in trace.spans:
            if span.kind in (LLM, TOOL):
                self.nodes.append(_node(len(self.nodes), span))
            elif span.record:
                self.others.append(span)
        self.by_id = {node.span_id: node for node in self.nodes}
        self.recorded = {span.span_id: span for span in (*(node.span for node in self.nodes), *self.others)}
        for node in self.nodes:
            above = self.parent(node.span)
            seen = {node.span_id}
            while above is not None and above.span_id not in seen:
                seen.add(above.span_id)
                if above.span_id in self.by_id:
                    node.parent = self.by_id[above.span_id].place
                    break
                above = self.parent(above)

    def parent(self, span: Any) -> Any | None:
        """Return the parent that was recorded. The tree's own agents are shared by all calls of an agent."""
        parent_id = span.record.get("parent_id")
        return self.recorded.get(parent_id) if isinstance(parent_id, str) else None

    @property
    def calls(self) -> Iterator[Node]:
        """The model calls."""
        return (node for node in self.nodes if node.kind == LLM)

    @property
    def tools(self) -> Iterator[Node]:
        """The tool calls."""
        return (node for node in self.nodes if node.kind == TOOL)


def _node(place: int, span: Any) -> Node:
    try:
        record = span.record
    except AntonNotebookError:
        record = {}
    end = None if span.start_us is None or span.duration_ms is None else span.start_us + round(span.duration_ms * 1000)
    light = span._traces.store.span(span.row)
    position = (light.file, light.offset)
    node = Node(place, span, span.kind, span.start_us, end, record, source_kind(span), position)
    if span.kind == LLM:
        try:
            node.request, node.response = span.request, span.response
        except AntonNotebookError:
            node.request = None
    return node


def source_kind(span: Any) -> str:
    """Return the kind of source that recorded a span."""
    store = span._traces.store
    extras = store.own.get(span.row)
    if extras is not None and extras.source_kind:
        return str(extras.source_kind)
    light = store.span(span.row)
    return str(store.files[light.file].kind) if light.file >= 0 else "jsonl"


def as_text(value: Any) -> str:
    """Return a result as text: text as it is, anything else as JSON."""
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, ensure_ascii=False, default=str)
