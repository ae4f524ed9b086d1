"""Structure from message histories, where a source has no ids.

Only hashes of messages are kept. A conversation is a chain: the hash after a message covers all messages before it, so "this
call's messages begin with that call's" is one look-up.
"""

from __future__ import annotations

import bisect
import hashlib
import json
import re
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

ORCHESTRATOR = "orchestrator"
_TASK = re.compile(r"^Task: (.*)$", re.MULTILINE)
_CURRENT = re.compile(r"📋 Current Task:\s*\n?\s*(.+)")
_SUBTASK = re.compile(r"\b([0-9a-f]{8})_st_\d+\b")
_LITERAL = re.compile(r'"((?:[^"\\]|\\.)*)"')


def line_id(line: bytes) -> str:
    """The id of a span whose line has none: a UUIDv5 of the line's bytes without its newline."""
    return _uuid5(line)


def run_id(first: bytes) -> str:
    """The id of the run that the orchestrator's line `first` opens."""
    return _uuid5(first + b":run")


def _uuid5(name: bytes) -> str:
    digest = hashlib.sha1(uuid.NAMESPACE_URL.bytes + name, usedforsecurity=False).digest()
    return str(uuid.UUID(bytes=digest[:16], version=5))


def digest(text: str) -> bytes:
    """A short fingerprint of a text."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).digest()


def chain(messages: Sequence[Any]) -> list[bytes]:
    """The fingerprint of the conversation after each message."""
    so_far, out = b"", []
    for message in messages:
        so_far = hashlib.blake2b(
            so_far + json.dumps(message, sort_keys=True, ensure_ascii=True, default=str).encode(), digest_size=12
        ).digest()
        out.append(so_far)
    return out


def text_of(message: Any) -> str:
    """The text of a message, its blocks' texts joined."""
    content = message.get("content") if isinstance(message, Mapping) else message
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        parts = (block.get("text") if isinstance(block, Mapping) else block for block in content)
        return "\n".join(part for part in parts if isinstance(part, str))
    return ""


def description(messages: Sequence[Any]) -> str | None:
    """What the first user message calls the task."""
    for message in messages:
        if isinstance(message, Mapping) and message.get("role") == "user":
            text = text_of(message)
            found = _TASK.search(text) or _CURRENT.search(text)
            return found.group(1).strip() if found else None
    return None


def values(response: str) -> set[bytes]:
    """Fingerprints of the texts that an answer hands on: its string literals and its lines."""
    out = set()
    for literal in _LITERAL.findall(response):
        try:
            out.add(digest(json.loads(f'"{literal}"', strict=False).strip()))
        except ValueError:
            continue
    out.update(digest(line.strip()) for line in response.splitlines() if line.strip())
    return out


@dataclass(slots=True)
class Call:
    """What is kept of one call without ids."""

    span_id: str
    run_id: str
    agent: str
    model: str
    start: int
    end: int
    fresh: bool
    before: list[bytes]
    after: bytes
    task: str | None
    task_key: bytes | None
    hands_on: set[bytes] = field(default_factory=set)
    subtask_of: str | None = None


def call_of(record: Mapping[str, Any], line: bytes, agent: str, model: str, start: int, end: int) -> Call:
    """The fingerprints of one line of FORMATS.md 1."""
    messages = record.get("messages")
    messages = messages if isinstance(messages, list) else []
    links = chain(messages)
    users = [m for m in messages if isinstance(m, Mapping) and m.get("role") == "user"]
    task = description(messages)
    response = record.get("response")
    orchestrates = agent == ORCHESTRATOR
    joined = _SUBTASK.search(text_of(users[-1])) if users and orchestrates else None
    return Call(
        span_id=line_id(line),
        run_id=run_id(line),
        agent=agent,
        model=model,
        start=start,
        end=end,
        fresh=len(users) <= 1,
        before=links[:-1],
        after=links[-1] if links else b"",
        task=task,
        task_key=digest(task) if task else None,
        hands_on=values(response) if orchestrates and isinstance(response, str) else set(),
        subtask_of=joined.group(1) if joined else None,
    )


@dataclass(slots=True)
class Run:
    """One conversation of the orchestrator, its calls in order of start."""

    trace_id: str
    model: str
    calls: list[Call]
    name: str | None
    task_id: str | None = None


def runs(calls: Iterable[Call]) -> tuple[dict[str, str], dict[str, Run]]:
    """Which run each call belongs to. Returns (span id -> trace id, trace id -> run); the order of `calls` does not matter."""
    ordered = sorted(calls, key=lambda c: (c.start, c.span_id))
    of: dict[str, str] = {}
    found: dict[str, Run] = {}
    ends: dict[bytes, list[Run]] = {}
    for call in (c for c in ordered if c.agent == ORCHESTRATOR):
        run = None if call.fresh else _continued(call, ends)
        if run is None:
            run = found[call.run_id] = Run(call.run_id, call.model, [], call.task)
        run.calls.append(call)
        run.task_id = run.task_id or call.subtask_of
        of[call.span_id] = run.trace_id
        ends.setdefault(call.after, []).append(run)
    modules = _Modules(found.values())
    lone: dict[str, Run] = {}
    for call in (c for c in ordered if c.agent != ORCHESTRATOR):
        run = modules.run_of(call)
        if run is None:
            run = lone.get(call.agent)
            if run is None:
                run = lone[call.agent] = found[call.run_id] = Run(call.run_id, call.model, [], call.task)
        of[call.span_id] = run.trace_id
    return of, found


def _continued(call: Call, ends: dict[bytes, list[Run]]) -> Run | None:
    for link in reversed(call.before):
        candidates = [run for run in ends.get(link, []) if run.calls[-1].after == link]
        if candidates:
            earlier = [run for run in candidates if run.calls[-1].end <= call.start] or candidates
            return max(earlier, key=lambda run: (run.model == call.model, run.calls[-1].end, run.trace_id))
    return None


class _Modules:
    """Finds the orchestrator's answer that a module's call came from."""

    def __init__(self, found: Iterable[Run]) -> None:
        self._by_task: dict[bytes, list[tuple[int, int, Run]]] = {}
        self._spans: list[tuple[int, int, Run]] = []
        for run in found:
            for i, call in enumerate(run.calls):
                following = run.calls[i + 1].start if i + 1 < len(run.calls) else 2**63 - 1
                for key in call.hands_on:
                    self._by_task.setdefault(key, []).append((call.end, following, run))
                self._spans.append((call.end, following, run))
        for answers in self._by_task.values():
            answers.sort(key=lambda a: (a[0], a[2].trace_id))
        self._spans.sort(key=lambda a: (a[0], a[2].trace_id))

    def run_of(self, call: Call) -> Run | None:
        answers = self._by_task.get(call.task_key, []) if call.task_key else []
        return self._pick(call, answers) or self._pick(call, self._spans)

    @staticmethod
    def _pick(call: Call, answers: list[tuple[int, int, Run]]) -> Run | None:
        last = bisect.bisect_right(answers, call.start, key=lambda a: a[0])
        best: Run | None = None
        for _, following, run in reversed(answers[:last]):
            if following >= call.start:
                if run.model == call.model:
                    return run
                best = best or run
        return best
