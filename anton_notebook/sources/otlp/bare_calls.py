"""Runs, agents and tools of programs that call an SDK directly: each of their calls is a trace of its own.

Idea: a call continues the conversation whose messages and answer its own messages begin with; a conversation that starts
while a tool call is open, with a prompt that the tool's arguments contain, is the work of that tool. A conversation and
those below it are one run; results of tools are read from the next call's messages. The result is a function of the set of
calls: it is computed anew, in order of start, when calls arrive. Cost: one pass over fingerprints of all such calls.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from anton_notebook.model.message_content import canonical, text_of, tool_calls_in
from anton_notebook.model.span import NAT

SHORTEST = 4
"""Characters of an argument from which on its presence in a prompt means something."""
_FAILED = re.compile(r"\s*(Error\b|Exception\b|Traceback \(most|\w+(Error|Exception)\b\s*[:(])")
_WHO = re.compile(r"\s*You are (?:the |an? )?([\w][\w -]{0,39}?)(?=[.,:;\n]|$)", re.IGNORECASE)
_ANSWERED = ("tool", "function")
Key = tuple[int, str]


class AskedTool(NamedTuple):
    """A tool call in an answer."""

    id: str
    name: str
    arguments: Any


class ToolResult(NamedTuple):
    """A tool's result in the messages of a later call."""

    value: Any
    failed: bool


@dataclass(slots=True)
class BareCall:
    """The facts about one call that decide where it belongs."""

    key: Key
    start: int
    end: int
    failed: bool
    usage: tuple[int, int]
    chain: list[bytes] = field(default_factory=list)
    after: bytes = b""
    system: str = ""
    agent: str = ""
    prompt: str = ""
    asked: list[AskedTool] = field(default_factory=list)
    results: dict[str, ToolResult] = field(default_factory=dict)
    unnamed: list[tuple[int, ToolResult]] = field(default_factory=list)
    repeated: dict[int, list[AskedTool]] = field(default_factory=dict)

    @property
    def has_content(self) -> bool:
        """Whether messages or an answer were recorded."""
        return bool(self.chain or self.asked)

    def read(self, record: Mapping[str, Any]) -> None:
        """Take the fingerprints of a call's record."""
        messages = [m for m in record.get("messages") or () if isinstance(m, Mapping)]
        system = text_of(record.get("system_prompt")) or "\n".join(
            text_of(m.get("content")) for m in messages if m.get("role") in ("system", "developer")
        )
        talk = [m for m in messages if m.get("role") not in ("system", "developer")]
        self.system = system
        match = _WHO.match(system)
        self.agent = match.group(1).strip() if match else ""
        self.prompt = next((text_of(m.get("content")) for m in talk if m.get("role") == "user"), "")
        digest = hashlib.blake2b(system.encode("utf-8", "replace"), digest_size=12).digest()
        self.chain = []
        for message in talk:
            digest = _next(digest, message)
            self.chain.append(digest)
        answer = record.get("response")
        shaped = answer if isinstance(answer, Mapping) else {"content": answer}
        self.after = _next(digest, {**shaped, "role": "assistant"})
        self.asked = _asked(shaped)
        self.repeated = {i: tools for i, message in enumerate(talk) if (tools := _asked(message))}
        self.results = dict(_results(talk))
        self.unnamed = [
            (i, ToolResult(m.get("content"), bool(m.get("is_error"))))
            for i, m in enumerate(talk)
            if m.get("role") in _ANSWERED and not m.get("tool_call_id")
        ]


def _asked(message: Mapping[str, Any]) -> list[AskedTool]:
    calls = enumerate(tool_calls_in(message))
    return [AskedTool(str(call.get("id") or f"{i}"), str(call["name"]), call.get("arguments")) for i, call in calls]


def _next(digest: bytes, message: Mapping[str, Any]) -> bytes:
    calls = [(call["name"], call.get("arguments")) for call in tool_calls_in(message)]
    said = [message.get("role"), text_of(message.get("content")).strip(), calls]
    return hashlib.blake2b(digest + canonical(said), digest_size=12).digest()


def _results(messages: list[Mapping[str, Any]]) -> list[tuple[str, ToolResult]]:
    out: list[tuple[str, ToolResult]] = []
    for message in messages:
        known, content = message.get("tool_call_id"), message.get("content")
        if message.get("role") in _ANSWERED and isinstance(known, str):
            failed = message.get("is_error") is True or bool(isinstance(content, str) and _FAILED.match(content))
            out.append((known, ToolResult(content, failed)))
        for block in content if isinstance(content, list) else ():
            if isinstance(block, Mapping) and block.get("type") == "tool_result" and block.get("tool_use_id"):
                text = text_of(block.get("content"))
                failed = block.get("is_error") is True or bool(_FAILED.match(text))
                out.append((str(block["tool_use_id"]), ToolResult(text, failed)))
    return out


@dataclass(slots=True)
class Conversation:
    """Calls that continue each other; `caller` is the open tool call that started it."""

    calls: list[BareCall]
    caller: tuple[Conversation, BareCall, AskedTool] | None = None

    @property
    def run(self) -> Conversation:
        """The outermost conversation."""
        return self.caller[0].run if self.caller else self


class ToolRow(NamedTuple):
    """A tool call that only messages tell of."""

    span_id: str
    call: BareCall
    tool: AskedTool
    result: ToolResult | None
    start: int
    end: int


class Placement(NamedTuple):
    """Where a call belongs: the trace of its run's first call, and the span above it."""

    run: Key
    parent: str | None
    agent: str


def group(calls: list[BareCall]) -> tuple[list[Conversation], dict[Key, Key]]:
    """Return the conversations of these calls, and which calls another span reports as well."""
    conversations: list[Conversation] = []
    ends: dict[bytes, list[Conversation]] = defaultdict(list)
    same: dict[Key, Key] = {}
    ordered = sorted(calls, key=lambda c: (not c.has_content, c.start, c.key))
    by_usage: dict[tuple[int, int], list[BareCall]] = defaultdict(list)
    for call in ordered:
        twin = next((c for c in by_usage[call.usage] if _is_same(c, call)), None)
        if twin is not None:
            same[call.key] = twin.key
            continue
        by_usage[call.usage].append(call)
        conversation = _continued(call, ends)
        if conversation is None:
            conversation = Conversation([], _caller(call, conversations))
            conversations.append(conversation)
        conversation.calls.append(call)
        for end in {call.after, *call.chain[-1:]}:
            ends[end].append(conversation)
    return conversations, same


def _is_same(first: BareCall, second: BareCall) -> bool:
    """Return whether two spans report one call: same usage at the same time, and no other messages."""
    told = first.chain[-1:] == second.chain[-1:] or not second.chain
    overlap = first.start < second.end and second.start < first.end
    return bool(first.chain) and told and overlap and first.usage == second.usage and first.usage[1] >= 0


def _continued(call: BareCall, ends: Mapping[bytes, list[Conversation]]) -> Conversation | None:
    for link in reversed(call.chain):
        options = [c for c in ends.get(link, ()) if _can_follow(c.calls[-1], call, link)]
        if options:
            return max(options, key=lambda c: (c.calls[-1].end <= call.start, c.calls[-1].end, c.calls[-1].key))
    return None


def _can_follow(last: BareCall, call: BareCall, link: bytes) -> bool:
    if link == last.after:
        return True
    if not last.chain or link != last.chain[-1]:
        return False
    if link == call.chain[-1]:  # the same request: a retry
        return last.failed
    return last.end <= call.start  # the answer was recorded in other words


def _caller(call: BareCall, conversations: list[Conversation]) -> tuple[Conversation, BareCall, AskedTool] | None:
    """Return the open tool call whose arguments the prompt of a new conversation contains."""
    for conversation in reversed(conversations):
        last = conversation.calls[-1]
        if last.end > call.start:
            continue
        for tool in last.asked:
            if any(text in call.prompt for text in _strings(tool.arguments)):
                return conversation, last, tool
    return None


def _strings(value: Any) -> list[str]:
    if isinstance(value, Mapping):
        return [text for inner in value.values() for text in _strings(inner)]
    return [value.strip()] if isinstance(value, str) and len(value.strip()) >= SHORTEST else []


def tools_of(conversation: Conversation, nested: set[tuple[Key, str]]) -> list[ToolRow]:
    """Return the tool calls of a conversation that have a result, or a conversation of their own."""
    out: list[ToolRow] = []
    for at, call in enumerate(conversation.calls):
        following = next((c for c in conversation.calls[at + 1 :] if len(c.chain) > len(call.chain)), None)
        loose = [r for i, r in following.unnamed if i >= len(call.chain)] if following else []
        repeated = following.repeated.get(len(call.chain), []) if following else []
        for i, tool in enumerate(call.asked):
            known = repeated[i].id if len(repeated) == len(call.asked) else tool.id
            result = (following.results.get(tool.id) or following.results.get(known)) if following else None
            if result is None and loose:
                result = loose.pop(0)
            if result is None and (call.key, tool.id) not in nested:
                continue
            end = following.start if following is not None else NAT
            out.append(ToolRow(tool_span_id(call.key, tool.id), call, tool, result, call.end, end))
    return out


def tool_span_id(key: Key, call_id: str) -> str:
    """Return the id of the span of a tool call: the same every time the file is read."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{key[1]}:tool:{call_id}"))


def placements(conversations: list[Conversation]) -> tuple[dict[Key, Placement], list[tuple[Key, str, ToolRow]]]:
    """Return where each call belongs, and the tool calls as (first call of the run, agent, tool call)."""
    nested = {(c.caller[1].key, c.caller[2].id) for c in conversations if c.caller}
    places: dict[Key, Placement] = {}
    tools: list[tuple[Key, str, ToolRow]] = []
    for conversation in conversations:
        run = conversation.run.calls[0].key
        agent = next((call.agent for call in conversation.calls if call.agent), "")
        above = tool_span_id(conversation.caller[1].key, conversation.caller[2].id) if conversation.caller else None
        places.update({call.key: Placement(run, above, agent) for call in conversation.calls})
        tools += [(run, agent, row) for row in tools_of(conversation, nested)]
    return places, tools
