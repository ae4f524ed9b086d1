"""Lines of a Claude Code transcript, decoded into the few fields that spans are made of."""

from __future__ import annotations

import re
from typing import Any

import msgspec

KIND = "claude_code"
SYNTHETIC_LINE = "<synthetic>"
_TYPES = (
    rb'"type":\s*"(?:user|assistant|system|progress|summary|file-history-snapshot|attachment|queue-operation|ai-title)"'
)
_SESSION = re.compile(
    rb'"(?:sessionId|leafUuid|isSnapshotUpdate)"\s*:|"type":\s*"file-history-snapshot"'
    rb'|"subtype":\s*"init".{0,400}"session_id"',
    re.S,
)
_LINE = re.compile(_TYPES)
_SKIPPED = (
    b'"type":"hook_progress"',
    b'"type":"bash_progress"',
    b'"type":"mcp_progress"',
    b'"type":"waiting_for_task"',
)


class Message(msgspec.Struct, gc=False):
    """An Anthropic message inside a line."""

    id: str | None = None
    role: str | None = None
    model: str | None = None
    content: msgspec.Raw = msgspec.Raw(b"null")
    stop_reason: str | None = None
    usage: dict[str, Any] | None = None


class Inner(msgspec.Struct, gc=False):
    """The message that a progress line carries."""

    type: str | None = None
    timestamp: str | None = None
    requestId: str | None = None
    uuid: str | None = None
    message: Message | None = None
    toolUseResult: msgspec.Raw = msgspec.Raw(b"null")


class Progress(msgspec.Struct, gc=False):
    """The `data` of a progress line."""

    type: str | None = None
    agentId: str | None = None
    message: Inner | None = None


class Line(msgspec.Struct, gc=False):
    """One line; other keys are left alone."""

    type: str | None = None
    subtype: str | None = None
    uuid: str | None = None
    parentUuid: str | None = None
    sessionId: str | None = None
    session_id: str | None = None
    agentId: str | None = None
    parent_tool_use_id: str | None = None
    isSidechain: bool | None = None
    isMeta: bool | None = None
    isApiErrorMessage: bool | None = None
    isCompactSummary: bool | None = None
    timestamp: str | None = None
    requestId: str | None = None
    message: Message | None = None
    toolUseResult: msgspec.Raw = msgspec.Raw(b"null")
    data: Progress | None = None
    parentToolUseID: str | None = None
    summary: str | None = None
    aiTitle: str | None = None
    customTitle: str | None = None
    title: str | None = None
    error: msgspec.Raw = msgspec.Raw(b"null")
    total_cost_usd: float | None = None
    is_error: bool | None = None


class Block(msgspec.Struct, gc=False):
    """A content block; only tools matter here."""

    type: str | None = None
    id: str | None = None
    name: str | None = None
    text: str | None = None
    tool_use_id: str | None = None
    is_error: bool | None = None
    input: msgspec.Raw = msgspec.Raw(b"null")
    content: msgspec.Raw = msgspec.Raw(b"null")


decode_line = msgspec.json.Decoder(Line, strict=False).decode
decode_blocks = msgspec.json.Decoder(list[Block], strict=False).decode
decode_text = msgspec.json.Decoder(str).decode
decode_any = msgspec.json.Decoder().decode


def detect(head: bytes) -> bool | None:
    """Whether a file that begins like this is a transcript of Claude Code; None if it is too early to say."""
    start = head.lstrip()
    if not start.startswith(b"{"):
        return False if start else None
    return bool(_LINE.search(head) and _SESSION.search(head))


def is_noise(line: bytes) -> bool:
    """Whether a line is progress of hooks and commands, which are most lines of a transcript and no spans."""
    return b'"type":"progress"' in line and any(mark in line for mark in _SKIPPED)
