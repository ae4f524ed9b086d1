"""Inner: anton's own checkpoints, as points of the runs that they belong to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anton_notebook.errors import CheckpointError, did_you_mean
from anton_notebook.experiments.checkpoints.checkpoint import ANTONS, Checkpoint, moment
from anton_notebook.experiments.checkpoints.conversation_state import conversations, knowledge, read_json
from anton_notebook.model.request import Message
from anton_notebook.model.span import LLM

MARK = "checkpoint "


@dataclass(frozen=True)
class Found:
    """One file of anton's. What is not known of its run and of the call after it is None; `why` says what is lacking."""

    checkpoint_id: str
    path: Path
    said: Mapping[str, Any]
    trace_id: str | None = None
    at_us: int | None = None
    span_id: str | None = None
    why: str | None = None

    @property
    def description(self) -> str | None:
        """The task, as anton has it."""
        said = self.said.get("task_description")
        return said if isinstance(said, str) else None

    @property
    def summary(self) -> str:
        """How far its run was."""
        phase, phases = self.said.get("phase_index"), self.said.get("total_phases")
        done = self.said.get("completed_subtasks")
        return f"after phase {phase + 1 if isinstance(phase, int) else '?'} of {phases}, {_many(done)} subtasks done"


def found(traces: Any) -> Iterator[Found]:
    """anton's checkpoints under what was read, each with the point of a run that it stands for."""
    places: dict[str, tuple[str, int]] = {}
    for trace in traces:
        for at, name in trace.figures["marks"]:
            if name.startswith(MARK):
                places[name.removeprefix(MARK)] = (trace.trace_id, at)
    for folder in traces.reader.beside.folders:
        for path in sorted(Path(folder.path, "checkpoints").glob("*/checkpoint_*.json")):
            said = read_json(path)
            if said is None:
                yield Found(path.stem.removeprefix("checkpoint_"), path, {}, why="the file holds no JSON object")
                continue
            name = said.get("checkpoint_id")
            name = name if isinstance(name, str) else path.stem.removeprefix("checkpoint_")
            yield _placed(traces, Found(name, path, said), places.get(name))


def _placed(traces: Any, one: Found, place: tuple[str, int] | None) -> Found:
    if place is None:
        task = one.said.get("task_id")
        why = f"no recorded run belongs to anton's task {task!r}, so nothing is known of what came after it"
        return Found(one.checkpoint_id, one.path, one.said, why=why)
    trace_id, at = place
    calls = traces[trace_id].spans_df(columns=["span_id", "start"], kind=LLM)
    calls = calls[calls["start"].notna()]
    after = calls[calls["start"].astype("int64") >= at] if len(calls) else calls
    if not len(after):
        why = f"no call of the run {trace_id!r} starts after it, so there is nothing to do again"
        return Found(one.checkpoint_id, one.path, one.said, trace_id, at, None, why)
    return Found(one.checkpoint_id, one.path, one.said, trace_id, at, str(after["span_id"].iloc[0]))


def load(kind: type[Checkpoint], checkpoint_id: str, traces: Any) -> Checkpoint:
    """anton's checkpoint of this id, as one of ours."""
    listed = list(found(traces))
    one = next((one for one in listed if one.checkpoint_id == checkpoint_id), None)
    if one is None:
        known = [one.checkpoint_id for one in listed]
        raise CheckpointError(
            f"no checkpoint {checkpoint_id!r} is kept for {', '.join(traces.reader.paths)}{did_you_mean(checkpoint_id, known)}; "
            "anb.checkpoints(path) lists them"
        )
    if one.why is not None or one.trace_id is None or one.at_us is None or one.span_id is None:
        raise CheckpointError(f"anton's checkpoint {checkpoint_id!r} ({one.path.name}) is not replayable: {one.why}")
    states = conversations(traces[one.trace_id], one.at_us, None)
    agents = {agent.removeprefix("module_"): agent for agent in states}
    for name, history in _histories(one.said).items():
        states[agents.get(name, f"module_{name}")] = history
    return kind(
        one.trace_id, one.span_id, moment(one.at_us), one.description, knowledge(traces), states, {}, one.summary,
        one.checkpoint_id, None, None, ANTONS, traces,
    )  # fmt: skip


def _histories(said: Mapping[str, Any]) -> dict[str, list[Message]]:
    """The conversations that the file holds; it lacks the orchestrator's, and often all of them."""
    states = said.get("agent_states")
    out: dict[str, list[Message]] = {}
    for name, state in states.items() if isinstance(states, Mapping) else ():
        history = state.get("conversation_history") if isinstance(state, Mapping) else None
        if isinstance(history, list) and history and all(isinstance(message, Mapping) for message in history):
            out[str(name)] = [{key: m[key] for key in ("role", "content") if key in m} for m in history]
    return out


def _many(value: object) -> str:
    return str(len(value)) if isinstance(value, list) else "no"
