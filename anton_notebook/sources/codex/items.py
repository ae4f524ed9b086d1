"""Items of a Codex rollout as texts, arguments and messages."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from anton_notebook.model.span import NAT
from anton_notebook.sources.anton.line_schema import FAULTS
from anton_notebook.sources.transcripts.spans import Segment

CALLS = frozenset({"function_call", "custom_tool_call", "local_shell_call", "web_search_call", "mcp_tool_call"})
OUTPUTS = frozenset({"function_call_output", "custom_tool_call_output", "mcp_tool_call_output"})
_EXIT = re.compile(r'"exit_code"\s*:\s*(-?\d+)|(?:Exit code|exited with code):?\s*(-?\d+)', re.IGNORECASE)
_TYPES = re.compile(
    rb'"type"\s*:\s*"(?:session_meta|response_item|event_msg|turn_context|compacted|token_usage_record)"'
)
decode_any = msgspec.json.Decoder().decode


class Line(msgspec.Struct, gc=False):
    """One line of a rollout."""

    timestamp: str | None = None
    type: str | None = None
    payload: msgspec.Raw = msgspec.Raw(b"null")


decode_line = msgspec.json.Decoder(Line, strict=False).decode


def detect(head: bytes) -> bool | None:
    """Whether a file that begins like this is a rollout of Codex; None if it is too early to say."""
    start = head.lstrip()
    if not start.startswith(b"{"):
        return False if start else None
    return b'"payload"' in head and bool(_TYPES.search(head[:2048]))


@dataclass(slots=True)
class Tool:
    """A tool that an answer asked for."""

    span_id: str
    name: str
    call: str
    start: int
    asked: Segment
    end: int = NAT
    error: str | None = None
    result: Segment | None = None


@dataclass(slots=True)
class Turn:
    """A call that is being written: what stands since the last count of tokens."""

    pieces: list[Segment] = field(default_factory=list)
    first: int = 0
    start: int = NAT
    end: int = NAT


def text_of(content: Any) -> str:
    if isinstance(content, str):
        return content
    blocks = content if isinstance(content, list) else []
    texts = [block.get("text") for block in blocks if isinstance(block, dict)]
    return "\n".join(text for text in texts if isinstance(text, str))


def failure(text: str, output: Any) -> str | None:
    """The error of a tool's output: an exit code that is not 0, or `success: false`."""
    if isinstance(output, dict) and output.get("success") is False:
        return text[:200] or "the tool reported an error"
    match = _EXIT.search(text[:4096])
    code = next((group for group in match.groups() if group is not None), "0") if match else "0"
    return f"exit code {code}" if int(code) else None


def parsed(value: Any) -> Any:
    if isinstance(value, str):
        try:
            return decode_any(value.encode("utf-8", "replace"))
        except FAULTS:
            return value
    return value


def messages_of(payloads: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Items of a rollout as messages of chat completions; reasoning is encrypted and left out."""
    out: list[dict[str, Any]] = []
    for item in payloads:
        kind = item.get("type")
        if kind == "message":
            role = "system" if item.get("role") == "developer" else item.get("role")
            out.append({"role": role, "content": text_of(item.get("content"))})
        elif kind in CALLS:
            inner = {"name": item.get("name") or kind, "arguments": item.get("arguments") or item.get("input") or ""}
            call = {"id": item.get("call_id"), "type": "function", "function": inner}
            if out and out[-1].get("role") == "assistant":
                out[-1].setdefault("tool_calls", []).append(call)
            else:
                out.append({"role": "assistant", "content": None, "tool_calls": [call]})
        elif kind in OUTPUTS:
            output = item.get("output")
            text = output if isinstance(output, str) else text_of(output)
            out.append({"role": "tool", "tool_call_id": item.get("call_id"), "content": text})
    return out
