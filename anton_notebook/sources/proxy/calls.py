"""What is kept of the calls of a proxy's database, and their whole records, read back when somebody looks (FORMATS.md 4)."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC
from typing import Any, Literal

import numpy as np

from anton_notebook.errors import BodyUnavailable
from anton_notebook.model.span import NAT, Int64
from anton_notebook.sources.proxy.history_matching import messages_of, pairs
from anton_notebook.sources.proxy.sqlite_reader import Refused, SqliteFile
from anton_notebook.sources.timestamps import iso, parse_times

WHOLE = "SELECT * FROM llm_calls WHERE call_id = ?"
QUARTER = 900_000_000
SLACK = 120_000_000
FARTHEST = 14 * 4 * QUARTER
_OWN = frozenset(("messages", "response", "call_id", "trace_id", "parent_id", "agent_name", "provider", "model"))


def text(value: Any) -> str:
    """A column's value as text; `""` for NULL. Bytes that are no UTF-8 are shown as U+FFFD."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return "" if value is None else str(value)


def texts(values: Sequence[Any]) -> list[str]:
    """Many of them."""
    try:
        return [value.decode() for value in values]
    except (AttributeError, UnicodeDecodeError):
        return [text(value) for value in values]


_UNKNOWN = array("q", [NAT])
OPEN, ENDED, LOST = 0, 1, 2
_DTYPES = {"starts": np.int64, "ends": np.int64, "previous": np.int32, "state": np.uint8}


@dataclass(slots=True, eq=False)
class Group:
    """The calls of one task, or, where there is none, of one conversation.

    `kept`: whether it is to be shown; None: not known yet. `named`: by its orchestrator, `called`: by its first prompt. `offset`:
    what local time is ahead of UTC. `planning`: how many calls of the orchestrator are open. `answers`: who handed on a value, by
    its fingerprint. `openings`: prompts that may repeat one that is still to come. `ended`: each agent's newest call with an end.
    """

    number: int
    trace_id: str
    kept: bool | None
    code: int = -1
    named: bool = False
    called: bool = False
    offset: int | None = None
    newest: int = NAT
    arrived: float = 0.0
    planning: int = 0
    waiting: bool = False
    answers: dict[int, list[int]] = field(default_factory=dict)
    openings: list[tuple[int, frozenset[int]]] = field(default_factory=list)
    ended: dict[str, int] = field(default_factory=dict)


class Calls:
    """The calls of one database by number, in the order of their rows, and the loader of their texts."""

    def __init__(self, file: SqliteFile) -> None:
        self.file = file
        self.ids: list[str] = []
        self.agents: list[str] = []
        self.groups: list[Group] = []
        self.rowids = array("q")
        self.previous = array("i")
        self.starts = array("q")
        self.ends = array("q")
        self.state = bytearray()
        self.continued: set[int] = set()
        self.asked: dict[int, int] = {}
        self.gone = False

    def __len__(self) -> int:
        return len(self.ids)

    def fill(self) -> None:
        """Makes room for the times of the calls that were added; they are unknown."""
        more = len(self.ids) - len(self.state)
        unknown = _UNKNOWN * more
        self.starts += unknown
        self.ends += unknown
        self.state.extend(bytes(more))

    def at(self, column: Literal["starts", "ends", "previous", "state"]) -> Any:
        """A column as numpy sees it; not to be kept, for nothing can be added meanwhile."""
        return np.frombuffer(getattr(self, column), _DTYPES[column])

    def load(self, number: int, tool: int) -> Mapping[str, Any]:
        """The whole record of call `number`, or of the tool call `tool` (from 1) that is new in its messages."""
        row = self._row(number)
        raw = row.get("messages")
        messages, fault = messages_of(raw) if isinstance(raw, bytes) else ([], "not an array of messages")
        record = self._tool(number, tool, messages) if tool else self._call(number, row, messages)
        if fault:
            record["_faults"] = [fault]
        return record

    def _row(self, number: int) -> dict[str, Any]:
        path, span_id = self.file.path, self.ids[number]
        if self.gone:
            raise BodyUnavailable(f"{path} was removed or replaced since this span was read; its text is gone")
        try:
            row = self.file.record(WHOLE, (span_id,))
        except Refused as refused:
            raise BodyUnavailable(
                f"{path} {refused.reason}; its spans stay, their texts cannot be read now"
            ) from refused
        if row is None:
            raise BodyUnavailable(f"{path} no longer holds the call {span_id!r}; its text is gone")
        return row

    def _call(self, number: int, row: dict[str, Any], messages: list[Any]) -> dict[str, Any]:
        previous, asked = self.previous[number], self.asked.get(number)
        turn, first = 1, number
        while self.previous[first] >= 0:
            turn, first = turn + 1, self.previous[first]
        tokens = {"input": row.get("tokens_input"), "output": row.get("tokens_output")}
        response = row.get("response")
        record: dict[str, Any] = {
            "timestamp": iso(self.starts[number]),
            "agent_name": self.agents[number],
            "provider": text(row.get("provider")),
            "model": text(row.get("model")),
            "trace_id": self.groups[number].trace_id,
            "span_id": self.ids[number],
            "parent_id": _plain(row.get("parent_id")),
            "span_type": "llm_call",
            "duration_ms": row.get("duration_ms"),
            "tokens": {k: v for k, v in tokens.items() if v is not None},
            "cost_usd": row.get("cost_usd"),
            "messages": messages,
            "response": _plain(response),
            "finish_reason": _plain(row.get("finish_reason")),
            "error": _plain(row.get("error")),
            "conversation_id": self.ids[first],
            "turn": turn,
            "continues": self.ids[previous] if previous >= 0 else None,
            "asked_by": None if asked is None else self.ids[asked],
            "proxy_trace_id": _plain(row.get("trace_id")),
            "recorded_agent_name": _plain(row.get("agent_name")),
        }
        return record | {
            k: _plain(v) for k, v in row.items() if k not in _OWN and k not in record and not k.startswith("tokens_")
        }

    def _tool(self, number: int, tool: int, messages: list[Any]) -> dict[str, Any]:
        previous = self.previous[number]
        known = 0
        if previous >= 0:
            earlier = self._row(previous).get("messages")
            known = len(messages_of(earlier)[0]) if isinstance(earlier, bytes) else 0
        pair = next((pair for k, pair in enumerate(pairs(messages[known:]), 1) if k == tool), None)
        if pair is None:
            raise BodyUnavailable(f"{self.file.path}: call {self.ids[number]!r} no longer holds its tool call {tool}")
        return {
            "agent_name": self.agents[number],
            "tool_name": pair.name,
            "trace_id": self.groups[number].trace_id,
            "parent_id": self.ids[previous] if previous >= 0 else None,
            "span_type": "tool_call",
            "success": not pair.failed,
            "parameters": pair.arguments,
            "result": pair.text,
            "shown_by": self.ids[number],
            "message": known + pair.result,
        }


def _plain(value: Any) -> Any:
    return text(value) if isinstance(value, bytes) else value


def starts_of(created: Sequence[Any], trace_created: Sequence[Any], before: int) -> tuple[Int64, Int64]:
    """Starts in UTC, and what local time is ahead of UTC, both in microseconds.

    The zone of `created` is not written down: it is what that time is ahead of its trace's, which is in UTC, rounded to a quarter
    of an hour. Where that makes no sense (no trace, or a later call of the same trace), the offset before it holds.
    """
    words = texts(created)
    local = parse_times(words, UTC)
    utc = parse_times(texts(trace_created), UTC)
    aware = np.array([_is_aware(word) for word in words], bool)
    known = (local != NAT) & (utc != NAT) & ~aware
    gap = np.where(known, local - utc, 0)
    offset = np.rint(gap / QUARTER).astype(np.int64) * QUARTER
    known &= (np.abs(gap - offset) <= SLACK) & (np.abs(offset) <= FARTHEST)
    if not known.all():
        last = np.maximum.accumulate(np.where(known, np.arange(len(words)), -1))
        first = int(offset[np.argmax(known)]) if known.any() else before
        offset = np.where(last >= 0, offset[np.maximum(last, 0)], before if before != NAT else first)
        offset = np.where(offset == NAT, 0, offset)
    return np.where(local == NAT, NAT, np.where(aware, local, local - offset)), offset


def _is_aware(word: str) -> bool:
    return len(word) > 19 and (word[-1] in "Zz" or word[-6] in "+-")
