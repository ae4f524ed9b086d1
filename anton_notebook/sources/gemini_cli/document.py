"""The messages of a Gemini CLI session, from either of its two forms on disk."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from anton_notebook.model.usage import Usage, from_gemini
from anton_notebook.sources.anton.line_schema import FAULTS

_FIELDS = (re.compile(rb'"sessionId"\s*:\s*"'), re.compile(rb'"projectHash"\s*:'))
_decode = msgspec.json.Decoder().decode


def detect(start: bytes) -> bool:
    """Whether a file that begins so is a session: an object with the ids of a session and of a project at its beginning."""
    begin = start.lstrip()[:4096]
    return begin.startswith(b"{") and all(pattern.search(begin) for pattern in _FIELDS)


@dataclass(slots=True)
class Session:
    """What a session's file holds now. `faulty` are the numbers of lines that could not be read, from 1."""

    about: dict[str, Any] = field(default_factory=dict)
    messages: dict[str, dict[str, Any]] = field(default_factory=dict)
    faulty: list[int] = field(default_factory=list)

    def put(self, message: Any) -> None:
        """Add a message; a later version of one replaces it in its place."""
        if isinstance(message, dict):
            name = message.get("id")
            key = name if isinstance(name, str) and name else f"message {len(self.messages)}"
            self.messages[key] = message

    def patch(self, values: dict[str, Any]) -> None:
        """Set metadata; a list of messages replaces all messages."""
        messages = values.get("messages")
        if isinstance(messages, list):
            self.messages.clear()
            for message in messages:
                self.put(message)
        self.about.update({name: value for name, value in values.items() if name != "messages"})

    def rewind(self, name: Any) -> None:
        """Remove a message and all after it."""
        if name in self.messages:
            names = list(self.messages)
            for later in names[names.index(name) :]:
                del self.messages[later]


def parse(data: bytes) -> Session | None:
    """Parse a session's file; None for a document that is only partly written.

    A last line without its newline is ignored if it is not complete.
    """
    session = Session()
    try:
        whole = _decode(data)
    except FAULTS:
        lines = data.split(b"\n")
        return _parse_lines(session, lines) if _is_object(lines[0]) else None
    if isinstance(whole, dict):
        session.patch(whole)
    return session


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(_decode(line), dict)
    except FAULTS:
        return False


def _parse_lines(session: Session, lines: list[bytes]) -> Session:
    for number, text in enumerate(lines, 1):
        if not text.strip():
            continue
        try:
            line = _decode(text)
        except FAULTS:
            if number < len(lines):
                session.faulty.append(number)
            continue
        if not isinstance(line, dict):
            session.faulty.append(number)
        elif isinstance(line.get("$set"), dict):
            session.patch(line["$set"])
        elif "$rewindTo" in line:
            session.rewind(line["$rewindTo"])
        elif "sessionId" in line and "type" not in line:
            session.patch(line)
        else:
            session.put(line)
    return session


def text_of(content: Any) -> str:
    """The text of a message, which is a string, a part or a list of parts."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else [content]
    texts = [part if isinstance(part, str) else part.get("text") for part in parts if isinstance(part, str | dict)]
    return "\n".join(text for text in texts if isinstance(text, str))


def usage_of(tokens: Any) -> Usage:
    """The usage of a call: the input includes cached tokens, thoughts stand beside the output."""
    if not isinstance(tokens, dict):
        return Usage()
    return from_gemini(
        {
            "promptTokenCount": tokens.get("input"),
            "candidatesTokenCount": tokens.get("output"),
            "cachedContentTokenCount": tokens.get("cached"),
            "thoughtsTokenCount": tokens.get("thoughts"),
            "toolUsePromptTokenCount": tokens.get("tool"),
        }
    )


def tools_of(message: dict[str, Any]) -> list[dict[str, Any]]:
    """The tool calls of a message."""
    calls = message.get("toolCalls")
    return [call for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []


def result_of(tool: dict[str, Any]) -> Any:
    """A tool's result: the output or error inside the vendor's wrapping, else as it is written."""
    result = tool.get("result")
    parts = result if isinstance(result, list) else [result]
    texts = []
    for part in parts:
        wrapped = part.get("functionResponse") if isinstance(part, dict) else None
        response = wrapped.get("response") if isinstance(wrapped, dict) else None
        given = (response.get("output") or response.get("error")) if isinstance(response, dict) else None
        if not isinstance(given, str):
            return result
        texts.append(given)
    return "\n".join(texts)


def conversation(messages: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Messages as chat completions have them; notices of the program are left out."""
    out: list[dict[str, Any]] = []
    for message in messages:
        kind, content = message.get("type"), text_of(message.get("content"))
        if kind == "user":
            out.append({"role": "user", "content": content})
        elif kind == "gemini":
            out.append(answer_of(message))
            out += [
                {"role": "tool", "tool_call_id": tool.get("id"), "content": _as_text(result_of(tool))}
                for tool in tools_of(message)
            ]
    return out


def answer_of(message: dict[str, Any]) -> dict[str, Any]:
    """One answer of the model with the tool calls that it asks for."""
    answer: dict[str, Any] = {"role": "assistant", "content": text_of(message.get("content"))}
    calls = [
        {
            "id": tool.get("id"),
            "type": "function",
            "function": {"name": tool.get("name"), "arguments": _as_text(tool.get("args") or {})},
        }
        for tool in tools_of(message)
    ]
    return {**answer, "tool_calls": calls} if calls else answer


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
