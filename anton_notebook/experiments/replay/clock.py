"""How far the recorded times of a run can be trusted as a proof of order.

Idea: a call that started before an answer existed cannot depend on it. That holds only if both times come from one clock
that never steps back, and only beyond the resolution of the data. `problem` says why times prove nothing; `slack_us` is the
distance that two times must have before one counts as earlier.
Evidence against the clock: several hosts or services, negative durations, a child that starts before its parent, a call
that starts before something that its prompt repeats, lines of one file sorted by neither start nor end.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Any

from anton_notebook.experiments.replay.recording import Node, Recording
from anton_notebook.model.span import LLM

SLACK_US = 50_000
"""Smallest slack: programs note the end of a call a little after they used its answer."""
_STEPS = (60_000_000, 1_000_000, 100_000, 10_000, 1_000, 100, 10)
_SMALL_GROUP = 3
_MOST_RUNNING = 64
_TELLING = 16
"""Characters from which on equal texts are no coincidence."""
_HOST_KEYS = (
    "host.name",
    "host.id",
    "k8s.node.name",
    "service.instance.id",
    "container.id",
    "host",
    "hostname",
    "node",
)
_SERVICE = "service.name"
_FIRST_BYTE_KEYS = ("time_to_first_token", "time_to_first_chunk", "first_token_time", "ttft")


class RecordedClock:
    """Resolution and trustworthiness of the times of a recording."""

    def __init__(self, recording: Recording) -> None:
        nodes = recording.nodes
        self.start_step = _coarsest(_groups(nodes, (node.start for node in nodes)))
        durations = [None if node.start is None or node.end is None else node.end - node.start for node in nodes]
        self.slack_us = max(SLACK_US, self.start_step + _coarsest(_groups(nodes, durations)))
        self.problem: str | None = (
            _several_hosts(recording)
            or _impossible_times(recording, self.start_step)
            or _lines_out_of_order(recording, self.slack_us)
        )

    def find_overlap(self, nodes: list[Node]) -> None:
        """Set `problem` if a call starts before something that its own request repeats."""
        self.problem = self.problem or _answers_before_their_end(nodes, self.slack_us)
        for node in nodes:
            for cause in (node.previous, *(node.previous.results.values() if node.previous is not None else ())):
                if cause is None or cause.end is None or node.start is None:
                    continue
                if node.start < cause.end - self.slack_us:
                    self.problem = self.problem or f"{node.title} starts before {cause.title} ends, which it repeats"
                    return


def available_us(node: Node) -> int | None:
    """Return when the first byte of a call's answer can have existed, in microseconds since 1970; None if unknown.

    The answer of a request without streaming exists at its end. A streamed or possibly streamed one exists from its recorded
    first byte, else from its start. A tool can have effects from its start on.
    """
    if node.start is None:
        return None
    if node.request is not None and streams(node) is False:
        return node.end
    delay = _first_byte_us(node.record)
    return node.start + delay if delay is not None else node.start


def streams(node: Node) -> bool | None:
    """Whether a model call was streamed; None if the recording does not say."""
    record = node.record
    parameters = record.get("parameters")
    for holder in (record, parameters if isinstance(parameters, Mapping) else {}):
        if isinstance(holder.get("stream"), bool):
            return bool(holder["stream"])
    # Gateways and instrumentations drop the flag; lines of a program's own recorder hold all parameters or none.
    complete = isinstance(parameters, Mapping) and node.source_kind == "jsonl" and "api" not in record
    return False if complete else None


def _first_byte_us(record: Mapping[str, Any]) -> int | None:
    """Microseconds from start to first byte, if recorded. The unit is unknown; milliseconds is the cautious reading."""
    for holder in (record, record.get("attributes")):
        for key, value in holder.items() if isinstance(holder, Mapping) else ():
            number = isinstance(value, int | float) and not isinstance(value, bool) and value > 0
            if number and str(key).rpartition(".")[2] in _FIRST_BYTE_KEYS:
                return int(value * 1000)
    return None


def _groups(nodes: list[Node], values: Iterable[int | None]) -> Iterator[list[int]]:
    """Values by the recorder that probably wrote them; small groups are put together."""
    groups: dict[tuple[str, str, str | None], list[int]] = {}
    for node, value in zip(nodes, values, strict=True):
        if value is not None:
            groups.setdefault((node.source_kind, node.kind, node.agent), []).append(value)
    rest: list[int] = []
    for group in groups.values():
        if len(group) < _SMALL_GROUP:
            rest += group
        else:
            yield group
    if rest:
        yield rest


def _coarsest(groups: Iterator[list[int]]) -> int:
    """The largest step of which all values of a group are multiples, in microseconds."""
    return max((next((s for s in _STEPS if all(v % s == 0 for v in group)), 1) for group in groups), default=1)


def _answers_before_their_end(nodes: list[Node], slack: int) -> str | None:
    """A call without a stream whose answer stands in a prompt that was sent before its end: the clocks differ."""
    running: list[Node] = []
    for node in nodes:
        if node.kind != LLM or node.start is None:
            continue
        running = [one for one in running if one.end is not None and one.end - slack > node.start][-_MOST_RUNNING:]
        for one in running:
            if repeats_answer(node, one) and streams(one) is False:
                return f"{node.title} repeats the answer of {one.title} before its recorded end"
        running.append(node)
    return None


def repeats_answer(node: Node, other: Node) -> bool:
    """Whether a prompt holds the whole answer of another call, and that call did not just repeat its own prompt."""
    if node.kind != LLM or other.kind != LLM:
        return False
    text = other.answer.strip()
    return len(text) >= _TELLING and text in node.prompt_text and text not in other.prompt_text


def _several_hosts(recording: Recording) -> str | None:
    hosts: dict[str, set[str]] = {}
    services: set[str] = set()
    for node in recording.nodes:
        for holder in _holders(node.record):
            for key in _HOST_KEYS:
                if isinstance(holder.get(key), str):
                    hosts.setdefault(key, set()).add(holder[key])
            if isinstance(holder.get(_SERVICE), str):
                services.add(holder[_SERVICE])
    for key, names in hosts.items():
        if len(names) > 1:
            return f"its spans come from several hosts ({key})"
    if len(services) > 1 and not hosts:
        return "its spans come from several services"
    return None


def _holders(record: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    attributes = record.get("attributes")
    resource = attributes.get("resource") if isinstance(attributes, Mapping) else None
    inner = resource.get("attributes") if isinstance(resource, Mapping) else None
    for holder in (record, record.get("metadata"), attributes, resource, inner):
        if isinstance(holder, Mapping):
            yield holder


def _impossible_times(recording: Recording, step: int) -> str | None:
    for node in recording.nodes:
        if node.start is not None and node.end is not None and node.end < node.start:
            return f"{node.title} ends before it starts"
    for span in recording.recorded.values():
        parent = recording.parent(span)
        if parent is None or span.start_us is None or parent.start_us is None:
            continue
        if span.start_us < parent.start_us - step:
            return f"span {span.span_id!r} starts before its parent"
    return None


def _lines_out_of_order(recording: Recording, slack: int) -> str | None:
    """Recorders append lines when a call starts or ends: a file sorted by neither shows a clock that stepped back."""
    if recording.origin == "replay":  # our branches are written in the order in which calls are resolved
        return None
    files: dict[int, list[Node]] = {}
    for node in recording.nodes:
        if node.source_kind == "jsonl" and node.position[0] >= 0 and node.start is not None and node.end is not None:
            files.setdefault(node.position[0], []).append(node)
    for nodes in files.values():
        nodes.sort(key=lambda node: node.position[1])
        by_end = all((two.end or 0) >= (one.end or 0) - slack for one, two in pairwise(nodes))
        by_start = all((two.start or 0) >= (one.start or 0) - slack for one, two in pairwise(nodes))
        if not by_end and not by_start:
            return "the times in its file step back"
    return None
