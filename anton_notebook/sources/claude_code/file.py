"""One file of a Claude Code session, followed line by line."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from typing import Any

from anton_notebook.errors import BodyUnavailable
from anton_notebook.model.span import NAT, Problem
from anton_notebook.sources.anton.line_schema import FAULTS, excerpt
from anton_notebook.sources.claude_code.lines import (
    KIND,
    SYNTHETIC_LINE,
    Block,
    Line,
    Message,
    decode_any,
    decode_blocks,
    decode_line,
    decode_text,
    is_noise,
)
from anton_notebook.sources.claude_code.sessions import ClaudeSessions, Thread
from anton_notebook.sources.tail import Lines, Tail
from anton_notebook.sources.timestamps import parse_time
from anton_notebook.sources.transcripts.spans import Segment, read_segment
from anton_notebook.store import Store

LIMIT = 64 << 20
META = 1 << 20
_AGENT_FILE = re.compile(r"agent-([\w-]+)\.jsonl")
_TAGS = re.compile(r"<(command-name|command-args|command-message)>(.*?)</\1>", re.S)
_STARTERS = ("Task", "Agent")


class ClaudeFile:
    """A session's file, a sub-agent's file or the output of `--output-format stream-json`."""

    def __init__(self, path: str, store: Store, report: Callable[[Problem], None], sessions: ClaudeSessions) -> None:
        self.path = path
        self.tail = Tail(path, limit=LIMIT)
        self._store, self._report, self._sessions = store, report, sessions
        self._file = self._tool_file = -1
        self._generation = self.tail.generation
        self._sidechains: dict[str, str] = {}
        match = _AGENT_FILE.fullmatch(os.path.basename(path))
        self._agent = match.group(1) if match else ""
        self._session = ""
        self._meta_read = False

    def read(self) -> bool:
        """Read what is new; returns whether anything was."""
        if self.tail.rests():
            return False
        seen = False
        for part in self.tail.read():
            seen = True
            if self.tail.generation != self._generation:
                self._forget()
            if not isinstance(part, Lines):
                self._report(Problem(self.path, part.line, part.offset, part.reason, None, None))
                continue
            offset = part.offset
            for number, text in enumerate(part.lines, part.number):
                self._take(text, Segment(self._code(), offset, len(text), number))
                offset += len(text) + 1
        if self.tail.gone and self._file >= 0:
            seen = True
            self._forget()
        return seen

    def _forget(self) -> None:
        """Mark what was read as no longer on disk: the file was removed or replaced."""
        self._generation = self.tail.generation
        if self._file >= 0:
            self._store.mark_file_gone(self._file)
            self._store.mark_file_gone(self._tool_file)
            self._file = -1

    def close(self) -> None:
        """Close the file."""
        self.tail.close()

    def _code(self) -> int:
        if self._file < 0:
            self._file = self._store.add_file(self.path, self.load, KIND)
            self._tool_file = self._store.add_file(self.path, self.load_tool, KIND)
            self._sessions.tool_files[self._file] = self._tool_file
        return self._file

    # -- lines

    def _take(self, text: bytes, place: Segment) -> None:
        if not text.strip() or is_noise(text):
            return
        try:
            line = decode_line(text)
        except FAULTS as error:
            self._report(
                Problem(
                    self.path, place.line, place.offset, f"not a line of a transcript: {error}", None, excerpt(text)
                )
            )
            return
        session = line.sessionId or line.session_id or self._session
        if line.type in ("summary", "ai-title", "custom-title"):
            title = line.summary or line.aiTitle or line.customTitle or line.title
            if title and session:
                self._sessions.named(session, 0 if line.type == "custom-title" else 1, title)
            return
        if not session:
            return
        self._session = session
        agent = self._agent_of(line)
        thread = (session, agent)
        if agent and not self._meta_read and self._agent:
            self._read_meta(session)
        when = parse_time(line.timestamp, None) if line.timestamp else NAT
        if line.type == "progress":
            self._progress(line, session, place)
        elif line.type in ("assistant", "user") and line.message is not None:
            self._message(thread, line.type, line.message, line, when, place)
        elif line.type == "system" and line.subtype == "compact_boundary":
            self._sessions.compacted(thread)
        elif line.type == "result" and line.total_cost_usd is not None:
            self._sessions.costs[session] = line.total_cost_usd

    def _agent_of(self, line: Line) -> str:
        if line.agentId:
            return line.agentId
        if self._agent:
            return self._agent
        if line.parent_tool_use_id:
            session = line.session_id or self._session
            self._sessions.started_agent(session, line.parent_tool_use_id, line.parent_tool_use_id)
            return line.parent_tool_use_id
        if not line.isSidechain or not line.uuid:
            return ""
        # Older versions write sub-agents into the main file without an id: a chain of lines from a root of its own.
        root = self._sidechains.get(line.parentUuid or "", line.uuid[:8])
        self._sidechains[line.uuid] = root
        return root

    def _read_meta(self, session: str) -> None:
        """Read the small file beside a sub-agent's file that says who started it."""
        self._meta_read = True
        try:
            with open(self.path.removesuffix(".jsonl") + ".meta.json", "rb") as file:
                meta = json.loads(file.read(META))
        except (OSError, ValueError, RecursionError):
            return
        if isinstance(meta, dict):
            tool, kind = meta.get("toolUseId"), meta.get("agentType")
            self._sessions.started_agent(
                session, self._agent, tool if isinstance(tool, str) else None, kind if isinstance(kind, str) else ""
            )

    def _progress(self, line: Line, session: str, place: Segment) -> None:
        data = line.data
        if data is None or data.message is None or data.message.message is None or not data.agentId:
            return
        inner = data.message
        self._sessions.started_agent(session, data.agentId, line.parentToolUseID)
        when = parse_time(inner.timestamp or line.timestamp, None)
        outer = Line(type=inner.type, requestId=inner.requestId, toolUseResult=inner.toolUseResult, uuid=inner.uuid)
        assert inner.message is not None
        self._message((session, data.agentId), inner.type or "", inner.message, outer, when, place)

    def _message(self, thread: Thread, kind: str, message: Message, line: Line, when: int, place: Segment) -> None:
        sessions = self._sessions
        raw = bytes(message.content)
        if kind == "user":
            sessions.spoke(thread, when, place, asked=not line.isMeta)
            if b'"tool_result"' in raw:
                self._results(thread, raw, line, when, place)
            elif not thread[1] and not line.isMeta and (prompt := _prompt(raw)):
                sessions.named(thread[0], 2, prompt)
            return
        error = _text(raw) if line.isApiErrorMessage else None
        if message.model == SYNTHETIC_LINE and error is None:
            sessions.spoke(thread, when, place, asked=False)
            return
        key = f"{message.id}" if message.id else line.uuid or f"{place.file}:{place.offset}"
        sessions.answered(thread, key, message, when, place, error)
        sessions.spoke(thread, when, place, asked=False)
        if b'"tool_use"' in raw:
            for block in _blocks(raw):
                if block.type in ("tool_use", "server_tool_use") and block.id:
                    sessions.asked_tool(thread, key, block.id, block.name or "tool", when, place)
                    if block.name in _STARTERS:
                        self._task(block)

    def _task(self, block: Block) -> None:
        try:
            given = decode_any(block.input)
        except FAULTS:
            return
        kind = given.get("subagent_type") if isinstance(given, dict) else None
        if isinstance(kind, str) and block.id:
            self._sessions.task_type(block.id, kind[:120])

    def _results(self, thread: Thread, raw: bytes, line: Line, when: int, place: Segment) -> None:
        for block in _blocks(raw):
            if block.type != "tool_result" or not block.tool_use_id:
                continue
            error = (_text(bytes(block.content)) or "the tool reported an error") if block.is_error else None
            self._sessions.result_of(block.tool_use_id, when, error, place)
            if b'"agentId"' in bytes(line.toolUseResult):
                try:
                    result = decode_any(line.toolUseResult)
                except FAULTS:
                    continue
                agent = result.get("agentId") if isinstance(result, dict) else None
                if isinstance(agent, str):
                    self._sessions.started_agent(thread[0], agent, block.tool_use_id)

    # -- bodies

    def load(self, offset: int, length: int) -> Mapping[str, Any]:
        """Build the record of the call whose first piece is at `offset`."""
        key = self._sessions.places.get((self._file, offset))
        if key is None:
            raise BodyUnavailable(f"{self.path} at byte {offset} holds no call; the file was replaced")
        return self._call_record(self._sessions.calls[key])

    def load_tool(self, offset: int, nth: int) -> Mapping[str, Any]:
        """Build the record of the tool that is asked for as the `nth` in the line at `offset`."""
        found = self._sessions.tools_at.get((self._file, offset), [])
        if nth >= len(found):
            raise BodyUnavailable(f"{self.path} at byte {offset} holds no tool call; the file was replaced")
        use = self._sessions.tools[found[nth]]
        blocks = self._message_at(use.asked).get("content")
        asked = next((b for b in _dicts(blocks) if b.get("id") == use.span_id), {})
        record = {"tool_name": use.name, "parameters": asked.get("input"), "result": None, "error": use.error}
        if use.result is not None:
            results = self._message_at(use.result).get("content")
            given = next((b for b in _dicts(results) if b.get("tool_use_id") == use.span_id), {})
            record["result"] = _plain(given.get("content"))
        return record

    def _line_at(self, segment: Segment) -> dict[str, Any]:
        path = self._store.files[segment.file].path
        try:
            value = decode_any(read_segment(path, segment))
        except FAULTS as error:
            raise BodyUnavailable(f"{path} at byte {segment.offset} no longer holds the line that was read") from error
        return value if isinstance(value, dict) else {}

    def _call_record(self, call: Any) -> dict[str, Any]:
        said = self._sessions.threads[call.shown]
        before = said.entries[said.base : call.homes[call.shown]] if call.homes[call.shown] >= said.base else []
        messages = _joined(self._message_at(segment) for segment in before)
        answer = _joined(self._message_at(segment) for segment in sorted(call.pieces))
        blocks = answer[-1]["content"] if answer else []
        return {
            "provider": "anthropic",
            "model": call.model,
            "messages": messages,
            "response": blocks,
            "finish_reason": call.stop_reason,
            "error": call.error,
            "missing": ["system", "tools", "max_tokens"],
        }

    def _message_at(self, segment: Segment) -> dict[str, Any]:
        line = self._line_at(segment)
        data = line.get("data")
        inner = data.get("message") if isinstance(data, dict) else None
        message = (inner if isinstance(inner, dict) else line).get("message")
        return message if isinstance(message, dict) else {}


def _blocks(raw: bytes) -> list[Block]:
    try:
        return decode_blocks(raw)
    except FAULTS:
        return []


def _text(raw: bytes) -> str:
    try:
        return decode_text(raw)
    except FAULTS:
        return " ".join(block.text for block in _blocks(raw) if block.type == "text" and block.text)


def _dicts(values: Any) -> list[dict[str, Any]]:
    return [value for value in values if isinstance(value, dict)] if isinstance(values, list) else []


def _plain(content: Any) -> Any:
    """A tool's result; text blocks as their text."""
    blocks = _dicts(content)
    if blocks and all(block.get("type") == "text" for block in blocks):
        return "\n".join(str(block.get("text", "")) for block in blocks)
    return content


def _prompt(raw: bytes) -> str:
    """The first words of a user: a slash command by its name and arguments."""
    text = _text(raw).strip()
    tags = dict(_TAGS.findall(text))
    if tags:
        return f"{tags.get('command-name', '')} {tags.get('command-args', '')}".strip()
    return "" if text.startswith(("<local-command", "Caveat:", "[Request interrupted")) else text


def _joined(messages: Any) -> list[dict[str, Any]]:
    """Messages as they went to the model.

    An answer is written one block per line, and results of its first tools may stand between: all its blocks are one message,
    and the results after it are one.
    """
    out: list[dict[str, Any]] = []
    answers: dict[str, dict[str, Any]] = {}
    for message in messages:
        role, content, name = message.get("role"), message.get("content"), message.get("id")
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else list(content or ())
        if role == "assistant" and isinstance(name, str) and name in answers:
            answers[name]["content"] += blocks
        elif role == "user" and out and out[-1]["role"] == "user":
            out[-1]["content"] += blocks
        elif role in ("user", "assistant"):
            out.append({"role": role, "content": blocks})
            if isinstance(name, str):
                answers[name] = out[-1]
    return out
