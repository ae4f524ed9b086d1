"""A point of a trace, with changes: what `anb.replay` starts from."""

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
from anton_notebook.experiments.checkpoints.store import NAME, Document, Store
from anton_notebook.model.request import Message
from anton_notebook.model.span import LLM

NAMESPACE = "checkpoints"
OURS, ANTONS = "anton_notebook", "anton"


@dataclass
class Checkpoint:
    """A point of a trace, with changed prompts for the calls from there on.

    `timestamp` is the point's time in its run (UTC), `module_states` every agent's conversation up to it (agent -> messages, the
    system prompt first), `modified_prompts` the new prompts by span id, `repo_knowledge` what anton knew of the repository, or
    None. `checkpoint_id` and `created` are None until it is saved; `parent_id` is the checkpoint that it was changed from.
    Made by `anb.checkpoint(span)` or `load_from_span`, found again by `load`.
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
        """The point right before a span, not saved yet. An agent stands for its first call.

        Raises ValueError for a prompt of a span that starts before the point or is no LLM call, `CheckpointError` for a span
        without a time.
        """
        traces = getattr(span, "_traces", None)
        if traces is None or not hasattr(span, "walk"):
            raise TypeError(f"a checkpoint is made from a span (traces.span(span_id)), found {type(span).__name__}")
        if span.start is None:
            raise CheckpointError(
                f"span {span.span_id!r} has no start in the recording, so nobody can say what came before it"
            )
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
        """The span that it stands at."""
        return self._source().span(self.span_id, self.trace_id)

    @property
    def home(self) -> Path:
        """Where it is kept."""
        return Path(self._source().home)

    def apply_modifications(self, prompts: Mapping[str, str | None], note: str | None = None) -> Checkpoint:
        """Adds new prompts by span id (None takes one back), and gives itself back. What was saved stays as it was: a saved
        checkpoint that is changed is a new one that follows it, and is kept by `save`.

        Raises ValueError, and changes nothing, where a span starts before the point, is no LLM call or is in no such trace.
        """
        if not isinstance(prompts, Mapping):
            raise TypeError(f"prompts are given as {{span_id: 'new prompt'}}, found {type(prompts).__name__}")
        self.check_prompts({name: text for name, text in prompts.items() if text is not None})
        merged = {name: text for name, text in {**self.modified_prompts, **prompts}.items() if text is not None}
        if self.checkpoint_id is not None and (merged != self.modified_prompts or note is not None):
            self.parent_id, self.checkpoint_id, self.created = self.checkpoint_id, None, None
            self.origin = OURS
        self.modified_prompts = merged
        self.note = note if note is not None else self.note
        return self

    def check_prompts(self, prompts: Mapping[str, str]) -> None:
        """ValueError that names the span and the reason, where one of these prompts cannot be a change from this point on."""
        if not prompts:
            return
        trace = self._source()[self.trace_id]
        for span_id, prompt in prompts.items():
            if not isinstance(prompt, str):
                raise TypeError(
                    f"the prompt for span {span_id!r} must be text, found {type(prompt).__name__}; None takes a prompt back"
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
                hint = f"; its first LLM call is {inner.span_id!r}" if inner is not None else ""
                raise ValueError(f"prompts: span {span_id!r} is {span.kind} {span.name!r} and no LLM call{hint}")
            if span.start is None or span.start < self.timestamp:
                raise ValueError(
                    f"prompts: span {span_id!r} starts at {span.start}, before the checkpoint at {self.timestamp}: what was done "
                    f"before the point is not done again; make the checkpoint at {span_id!r}"
                )

    def save(self, home: str | Path | None = None) -> Checkpoint:
        """Keeps it in its home's `checkpoints.db` (or in the home that is given), whole or not at all, and gives itself back.

        A checkpoint that is saved already stays as it is. `CheckpointError` where it cannot be written, `NewerSchema` where a
        newer version of this library has written the file.
        """
        if self.checkpoint_id is not None and home is None:
            return self
        now = datetime.now(UTC)
        name = self.checkpoint_id or f"{now:%Y%m%dT%H%M%S%f}_{secrets.token_hex(4)}"
        where = Path(home) if home is not None else self.home
        store_of(where).put(
            self.trace_id,
            name,
            self._body(),
            namespace=NAMESPACE,
            parent=self.parent_id,
            metadata={"span_id": self.span_id, "created": now.isoformat(), "note": self.note},
        )
        self.checkpoint_id, self.created = name, now
        return self

    def _body(self) -> dict[str, Any]:
        return {
            "trace_id": self.trace_id,
            "span_id": self.span_id,
            "timestamp": self.timestamp.isoformat(),
            "task_description": self.task_description,
            "repo_knowledge": self.repo_knowledge,
            "module_states": self.module_states,
            "modified_prompts": self.modified_prompts,
            "note": self.note,
        }

    @classmethod
    def load(cls, checkpoint_id: str, path: Any) -> Checkpoint:
        """The checkpoint of this id, ours or anton's own, from what is kept for `path` (what `read_traces` takes, or gave).

        `CheckpointError` names near misses, and says of one of anton's why it stands for no point of a run.
        """
        from anton_notebook.experiments.checkpoints import anton_checkpoints

        traces = opened(path)
        found = store_of(Path(traces.home)).list(namespace=NAMESPACE, id=checkpoint_id, limit=1)
        if found:
            return cls.of_document(found[0], traces)
        return anton_checkpoints.load(cls, checkpoint_id, traces)

    @classmethod
    def of_document(cls, document: Document, traces: Any) -> Checkpoint:
        """The checkpoint that a document of the store holds."""
        try:
            body = document.body
            states = body["module_states"]
            return cls(
                str(body["trace_id"]), str(body["span_id"]), datetime.fromisoformat(body["timestamp"]), body["task_description"],
                body["repo_knowledge"], {str(k): list(v) for k, v in states.items()}, dict(body["modified_prompts"]),
                body["note"], document.id, document.parent, datetime.fromisoformat(document.metadata["created"]), OURS, traces,
            )  # fmt: skip
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CheckpointError(
                f"the checkpoint {document.id!r} holds something else than a checkpoint: {error}"
            ) from error

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
        return f"<table><caption>Checkpoint</caption>{lines}</table>"

    def _source(self) -> Any:
        if self._traces is None:
            raise CheckpointError(
                "this checkpoint knows no traces: make it with anb.checkpoint(span), or find it with Checkpoint.load(id, path)"
            )
        return self._traces


def checkpoint(span: Any, prompts: Mapping[str, str] | None = None, note: str | None = None) -> Checkpoint:
    """Keeps a point of a trace: everything up to `span`, with new prompts (span id -> prompt) for calls from there on.

    It is kept in `checkpoints.db` of the trace's home; recorded traces are not touched. Raises ValueError for a prompt of a span
    that starts before the point or is no LLM call, and `CheckpointError` where it cannot be kept.

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


def store_of(home: Path) -> Store:
    """The store of a home."""
    return Store(home / NAME)


def opened(path: Any) -> Any:
    """The traces of a path; what `read_traces` gave is taken as it is."""
    if hasattr(path, "reader") and hasattr(path, "home"):
        return path
    from anton_notebook.api import read_traces

    return read_traces(path)


def moment(micros: int) -> datetime:
    """A time of the store as a datetime in UTC."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)
