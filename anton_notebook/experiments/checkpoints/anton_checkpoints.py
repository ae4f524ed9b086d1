"""anton's own checkpoint files, as positions in the runs that they belong to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anton_notebook.errors import CheckpointError, did_you_mean
from anton_notebook.experiments.checkpoints.checkpoint import ANTON, Checkpoint, utc_time
from anton_notebook.experiments.checkpoints.conversation_state import conversations, knowledge, read_json
from anton_notebook.model.request import Message
from anton_notebook.model.span import LLM

EVENT_PREFIX = "checkpoint "


@dataclass(frozen=True)
class AntonCheckpoint:
    """One checkpoint file of anton. Unknown fields are None; `problem` says why it cannot be replayed."""

    checkpoint_id: str
    path: Path
    content: Mapping[str, Any]
    trace_id: str | None = None
    at_us: int | None = None
    span_id: str | None = None
    problem: str | None = None

    @property
    def description(self) -> str | None:
        """The task description in the file."""
        text = self.content.get("task_description")
        return text if isinstance(text, str) else None

    @property
    def progress(self) -> str:
        """Phase and number of completed subtasks, as text."""
        phase, phases = self.content.get("phase_index"), self.content.get("total_phases")
        done = self.content.get("completed_subtasks")
        count = str(len(done)) if isinstance(done, list) else "no"
        return f"after phase {phase + 1 if isinstance(phase, int) else '?'} of {phases}, {count} subtasks done"


def anton_checkpoints(traces: Any) -> Iterator[AntonCheckpoint]:
    """Yield anton's checkpoints of these traces, each with its position in a run."""
    positions: dict[str, tuple[str, int]] = {}
    for trace in traces:
        for at, name in trace.figures["marks"]:
            if name.startswith(EVENT_PREFIX):
                positions[name.removeprefix(EVENT_PREFIX)] = (trace.trace_id, at)
    for folder in traces.reader.beside.folders:
        for path in sorted(Path(folder.path, "checkpoints").glob("*/checkpoint_*.json")):
            content = read_json(path)
            if content is None:
                name = path.stem.removeprefix("checkpoint_")
                yield AntonCheckpoint(name, path, {}, problem="the file is not a JSON object")
                continue
            name = content.get("checkpoint_id")
            name = name if isinstance(name, str) else path.stem.removeprefix("checkpoint_")
            yield _locate(traces, AntonCheckpoint(name, path, content), positions.get(name))


def _locate(traces: Any, one: AntonCheckpoint, position: tuple[str, int] | None) -> AntonCheckpoint:
    if position is None:
        problem = f"no recorded run belongs to anton's task {one.content.get('task_id')!r}"
        return AntonCheckpoint(one.checkpoint_id, one.path, one.content, problem=problem)
    trace_id, at = position
    calls = traces[trace_id].spans_df(columns=["span_id", "start"], kind=LLM)
    calls = calls[calls["start"].notna()]
    after = calls[calls["start"].astype("int64") >= at] if len(calls) else calls
    if not len(after):
        problem = f"no model call of run {trace_id!r} starts after it"
        return AntonCheckpoint(one.checkpoint_id, one.path, one.content, trace_id, at, None, problem)
    return AntonCheckpoint(one.checkpoint_id, one.path, one.content, trace_id, at, str(after["span_id"].iloc[0]))


def load_anton_checkpoint(kind: type[Checkpoint], checkpoint_id: str, traces: Any) -> Checkpoint:
    """Return anton's checkpoint of this id as a `Checkpoint`. Raises `CheckpointError` with near misses."""
    listed = list(anton_checkpoints(traces))
    one = next((one for one in listed if one.checkpoint_id == checkpoint_id), None)
    if one is None:
        known = [one.checkpoint_id for one in listed]
        raise CheckpointError(
            f"no checkpoint {checkpoint_id!r} for {', '.join(traces.reader.paths)}{did_you_mean(checkpoint_id, known)}; "
            "anb.checkpoints(path) lists them"
        )
    if one.problem is not None or one.trace_id is None or one.at_us is None or one.span_id is None:
        raise CheckpointError(
            f"anton's checkpoint {checkpoint_id!r} ({one.path.name}) is not replayable: {one.problem}"
        )
    states = conversations(traces[one.trace_id], one.at_us, None)
    agents = {agent.removeprefix("module_"): agent for agent in states}
    for name, history in _histories(one.content).items():
        states[agents.get(name, f"module_{name}")] = history
    return kind(
        one.trace_id, one.span_id, utc_time(one.at_us), one.description, knowledge(traces), states, {}, one.progress,
        one.checkpoint_id, None, None, ANTON, traces,
    )  # fmt: skip


def _histories(content: Mapping[str, Any]) -> dict[str, list[Message]]:
    """Return the conversations in the file. It lacks the orchestrator's, and often all of them."""
    states = content.get("agent_states")
    histories: dict[str, list[Message]] = {}
    for name, state in states.items() if isinstance(states, Mapping) else ():
        history = state.get("conversation_history") if isinstance(state, Mapping) else None
        if isinstance(history, list) and history and all(isinstance(message, Mapping) for message in history):
            histories[str(name)] = [{key: m[key] for key in ("role", "content") if key in m} for m in history]
    return histories
