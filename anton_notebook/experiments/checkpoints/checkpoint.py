"""A position in a trace plus changed prompts: the starting point of `anb.replay`."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from html import escape
from pathlib import Path
from typing import Any

from anton_notebook.errors import CheckpointError, did_you_mean
from anton_notebook.experiments.checkpoints.conversation_state import conversations, first_call, knowledge
from anton_notebook.experiments.checkpoints.database import FILE_NAME, CheckpointDatabase, CheckpointRow
from anton_notebook.model.html_repr import no_math
from anton_notebook.model.request import Message
from anton_notebook.model.span import LLM

OURS, ANTON = "anton_notebook", "anton"


@dataclass
class Checkpoint:
    """A position in a trace, with changed prompts for later calls.

    Create one with `anb.checkpoint(span)` or `load_from_span`; read a saved one with `load`.

    Attributes:
        timestamp: Time of the position in its run (UTC).
        repo_knowledge: anton's knowledge of the repository, or None.
        module_states: Agent -> messages up to the position, the system prompt first.
        modified_prompts: Span id -> new prompt.
        checkpoint_id: None until saved, as `created`.
        parent_id: The saved checkpoint that this one was derived from.
    """

    trace_id: str
    span_id: str
    timestamp: datetime
    task_description: str | None = None
    repo_knowledge: dict[str, Any] | None = field(default=None, repr=False)
    module_states: dict[str, list[Message]] = field(default_factory=dict, repr=False)
    modified_prompts: dict[str, str] = field(default_factory=dict)
    note: str | None = None
    checkpoint_id: str | None = None
    parent_id: str | None = None
    created: datetime | None = None
    origin: str = OURS
    _traces: Any = field(default=None, repr=False, compare=False)

    @classmethod
    def load_from_span(cls, span: Any, prompts: Mapping[str, str] | None = None, note: str | None = None) -> Checkpoint:
        """Return the position right before a span, not saved. An agent's span stands for its first model call.

        Raises:
            ValueError: A prompt belongs to a span that starts earlier or is not a model call.
            CheckpointError: The span has no start time.
        """
        traces = getattr(span, "_traces", None)
        if traces is None or not hasattr(span, "walk"):
            raise TypeError(f"a checkpoint needs a span (traces.span(span_id)), got {type(span).__name__}")
        if span.start is None:
            raise CheckpointError(f"span {span.span_id!r} has no start time, so the calls before it are unknown")
        point = span if span.kind == LLM else first_call(span)
        trace = traces[span.trace_id]
        made = cls(
            span.trace_id,
            span.span_id,
            span.start,
            trace.name,
            knowledge(traces),
            conversations(trace, span.start_us, point),
            note=note,
            _traces=traces,
        )
        return made.apply_modifications(prompts or {})

    @property
    def span(self) -> Any:
        """The span at this position."""
        return self._source().span(self.span_id, self.trace_id)

    @property
    def home(self) -> Path:
        """The folder that holds its database."""
        return Path(self._source().home)

    def apply_modifications(self, prompts: Mapping[str, str | None], note: str | None = None) -> Checkpoint:
        """Add new prompts by span id (None removes one) and return this checkpoint.

        A saved checkpoint stays as it was in the database: the changed one becomes its child and needs `save`.

        Raises:
            ValueError: A span starts before the position, is not a model call, or is not in the trace. Nothing is changed.
        """
        if not isinstance(prompts, Mapping):
            raise TypeError(f"prompts must be {{span_id: 'new prompt'}}, got {type(prompts).__name__}")
        self.check_prompts({name: text for name, text in prompts.items() if text is not None})
        merged = {name: text for name, text in {**self.modified_prompts, **prompts}.items() if text is not None}
        if self.checkpoint_id is not None and (merged != self.modified_prompts or note is not None):
            self.parent_id, self.checkpoint_id, self.created = self.checkpoint_id, None, None
            self.origin = OURS
        self.modified_prompts = merged
        self.note = note if note is not None else self.note
        return self

    def check_prompts(self, prompts: Mapping[str, str]) -> None:
        """Raise ValueError, with span and reason, if one of these prompts cannot be changed from this position on."""
        if not prompts:
            return
        trace = self._source()[self.trace_id]
        for span_id, prompt in prompts.items():
            if not isinstance(prompt, str):
                raise TypeError(
                    f"the prompt for span {span_id!r} must be text, got {type(prompt).__name__}; None removes a prompt"
                )
            try:
                span = trace.span(span_id)
            except KeyError:
                known = trace.spans_df(columns=["span_id"], kind=LLM)["span_id"]
                raise ValueError(
                    f"prompts: no span {span_id!r} in trace {self.trace_id!r}{did_you_mean(str(span_id), known)}"
                ) from None
            if span.kind != LLM:
                inner = first_call(span)
                hint = f"; its first model call is {inner.span_id!r}" if inner is not None else ""
                raise ValueError(f"prompts: span {span_id!r} is {span.kind} {span.name!r}, not a model call{hint}")
            if span.start is None or span.start < self.timestamp:
                raise ValueError(
                    f"prompts: span {span_id!r} starts at {span.start}, before the checkpoint at {self.timestamp}. "
                    f"Create the checkpoint at {span_id!r} instead."
                )

    def save(self, home: str | Path | None = None) -> Checkpoint:
        """Save it to `checkpoints.db` of its home (or of the given one) and return it.

        A checkpoint that is already saved is not saved again.

        Raises:
            CheckpointError: The file cannot be written; `NewerSchema` if a newer version of this library wrote it.
        """
        if self.checkpoint_id is not None and home is None:
            return self
        now = datetime.now(UTC)
        name = self.checkpoint_id or f"{now:%Y%m%dT%H%M%S%f}_{secrets.token_hex(4)}"
        row = CheckpointRow(
            name, self.trace_id, self.span_id, self.timestamp.isoformat(), now.isoformat(), self.parent_id,
            self.task_description, self.repo_knowledge, self.module_states, self.modified_prompts, self.note,
        )  # fmt: skip
        CheckpointDatabase((Path(home) if home is not None else self.home) / FILE_NAME).insert(row)
        self.checkpoint_id, self.created = name, now
        return self

    @classmethod
    def load(cls, checkpoint_id: str, path: Any) -> Checkpoint:
        """Return the checkpoint of this id, a saved one or anton's own.

        Args:
            checkpoint_id: As listed by `anb.checkpoints(path)`.
            path: What `read_traces` accepts or returns.

        Raises:
            CheckpointError: Unknown id (with near misses), or an anton checkpoint without a position in a run.
        """
        from anton_notebook.experiments.checkpoints.anton_checkpoints import load_anton_checkpoint

        traces = traces_of(path)
        row = CheckpointDatabase(Path(traces.home) / FILE_NAME).get(checkpoint_id)
        return load_anton_checkpoint(cls, checkpoint_id, traces) if row is None else cls._of_row(row, traces)

    @classmethod
    def _of_row(cls, row: CheckpointRow, traces: Any) -> Checkpoint:
        try:
            return cls(
                row.trace_id, row.span_id, datetime.fromisoformat(row.timestamp), row.task_description, row.repo_knowledge,
                {str(agent): list(messages) for agent, messages in row.module_states.items()}, dict(row.modified_prompts),
                row.note, row.checkpoint_id, row.parent_id, datetime.fromisoformat(row.created), OURS, traces,
            )  # fmt: skip
        except (TypeError, ValueError, AttributeError) as error:
            raise CheckpointError(f"checkpoint {row.checkpoint_id!r} is not readable: {error}") from error

    def _repr_html_(self) -> str:
        agents = ", ".join(f"{agent} ({len(messages)})" for agent, messages in self.module_states.items())
        changes = "".join(
            f"<li><code>{escape(k)}</code>: {escape(_cut(v))}</li>" for k, v in self.modified_prompts.items()
        )
        rows = {
            "task": escape(_cut(self.task_description or "")),
            "point": f"<code>{escape(self.span_id)}</code> at {self.timestamp:%Y-%m-%d %H:%M:%S} UTC",
            "conversations": escape(agents) or "none yet",
            "changed prompts": f"<ul>{changes}</ul>" if changes else "none",
            "note": escape(_cut(self.note or "")),
            "kept as": f"<code>{escape(self.checkpoint_id)}</code>" if self.checkpoint_id else "not saved",
        }
        lines = "".join(f"<tr><th>{name}</th><td>{value}</td></tr>" for name, value in rows.items() if value)
        return no_math(f"<table><caption>Checkpoint</caption>{lines}</table>")

    def _source(self) -> Any:
        if self._traces is None:
            raise CheckpointError(
                "this checkpoint has no traces. Create it with anb.checkpoint(span), or read it with Checkpoint.load(id, path)."
            )
        return self._traces


def checkpoint(span: Any, prompts: Mapping[str, str] | None = None, note: str | None = None) -> Checkpoint:
    """Save a position in a trace, with changed prompts for later calls.

    The checkpoint is saved in `checkpoints.db` of the trace's home; recorded traces are never changed.

    Args:
        span: The position is right before this span; an agent's span stands for its first model call.
        prompts: Span id -> new prompt, for model calls from there on.
        note: Free text.

    Raises:
        ValueError: A prompt belongs to a span that starts earlier or is not a model call.
        CheckpointError: The span has no start time, or the checkpoint cannot be saved.

    >>> import anton_notebook as anb, pathlib, tempfile
    >>> folder = pathlib.Path(tempfile.mkdtemp()); _ = (folder / "t.jsonl").write_text(
    ...     '{"timestamp": "2026-01-01T00:00:00Z", "agent_name": "a", "trace_id": "t", "span_id": "s", "parent_id": null, '
    ...     '"span_type": "llm_call", "model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}], "response": "Yes?"}\\n')
    >>> traces = anb.read_traces(folder)
    >>> cp = anb.checkpoint(traces.span("s"), prompts={"s": "Bye"})
    >>> cp.module_states, anb.checkpoints(traces)["replayable"].tolist()
    ({'a': [{'role': 'user', 'content': 'Hi'}]}, [True])
    """
    return Checkpoint.load_from_span(span, prompts, note).save()


def _cut(text: str) -> str:
    return text if len(text) <= 200 else text[:199] + "\u2026"


def traces_of(path: Any) -> Any:
    """Return the traces of a path; a result of `read_traces` is returned unchanged."""
    if hasattr(path, "reader") and hasattr(path, "home"):
        return path
    from anton_notebook.api import read_traces

    return read_traces(path)


def utc_time(micros: int) -> datetime:
    """Convert microseconds since 1970 to a datetime in UTC."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)
