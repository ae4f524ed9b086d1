"""Structure from message histories that a database holds: whose next turn a call is, which tools were called in between, which
agent speaks, and what it was asked.

A history repeats all earlier ones: a call begins with the bytes of the call before it, up to their last bracket. Only the newest
histories are kept for that comparison (`ROOM` bytes together); of the older ones there is a fingerprint. So what a turn costs,
beyond being read, goes by what is new in it.
"""

from __future__ import annotations

import os.path
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from anton_notebook.sources.anton.history_inference import ORCHESTRATOR, text_of
from anton_notebook.sources.anton.line_schema import FAULTS, Fault, load

ROOM = 16 << 20
MOST_TOOLS = 4096
LEAVES = 16  # newest histories kept of one task
_Leaf = tuple[int, bytes, int, int]  # length, history without its last bracket, call, fingerprint
_COMMA = ord(",")
_OPENS, _BETWEEN, _FURTHER = b'[{"role": ', b'}, {"role": ', b', {"role": '
_CALLED, _GIVEN = b'"assistant", "content": "Calling tool: ', b'"user", "content": "Tool result from '
_USER = b'"user", "content": "'
_TOLD, _SAID = (_USER, b'"system", "content": "'), b'"assistant", "content": "'
_MORE = b'", "tool_call'
_decode = msgspec.json.Decoder(list[dict[str, Any]]).decode
_text = msgspec.json.Decoder(str).decode
_encode = msgspec.json.Encoder(order="deterministic").encode

_SPECIALIST = re.compile(r'You are a specialist agent for the "([^"\n]{1,200})" module')
_WITHIN = re.compile(r"Execute this task within the (\S{1,200}) module:")
_MODULE = re.compile(r"📁 Your Module:\s*\n?\s*(\S+)")
_ROLE = re.compile(r"\s*You are (?:the |an? )?([^.,:;\n]{1,60})", re.IGNORECASE)
_PATH = re.compile(r"^- \*\*Path\*\*: (.+)$", re.MULTILINE)
_PLANS = ("Before decomposing this task", "Decompose this task into")
_ASKS, _GIVES = "Calling tool: ", "Tool result from "
_LITERAL = re.compile(r'"((?:[^"\\]|\\.)*)"')
_LABEL = re.compile(r"^(?:[-*•]|\d+[.)]|[\w ]{1,30}:)\s+")
NAMING = 4  # characters from which on a text may be a whole description
TELLING = 16  # characters from which on a value that is repeated is no coincidence


class Turn(NamedTuple):
    """Whose next turn a call is (-1: it starts afresh), the messages that are new in it, cut apart, and how many bytes and pieces
    of its history are not among them."""

    previous: int
    pieces: list[bytes]
    begin: int
    at: int

    def new(self, raw: bytes) -> bytes:
        """The JSON of the new messages of the history `raw`."""
        if self.at:
            return _joined(raw, self.pieces)
        return b"[" + raw[self.begin + 1 :].lstrip() if self.begin else raw


class Turns:
    """Finds the call that a history continues. Calls are numbers, given in the order in which they were made."""

    def __init__(self) -> None:
        self._ends: dict[int, int | list[int]] = {}
        self._leaves: dict[int, list[_Leaf]] = {}
        self._bytes = 0

    def take(self, group: int, raw: bytes, call: int) -> Turn:
        """Takes the history `raw` (a JSON array of messages) of a call.

        Only calls of one group are joined. Of two calls with the same history, the first that has no next turn gets it.

        >>> turns = Turns()
        >>> turns.take(0, b'[{"role": "user", "content": "a"}]', 0).previous
        -1
        >>> longer = b'[{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]'
        >>> turn = turns.take(0, longer, 1)
        >>> turn.previous, turn.new(longer)
        (0, b'[{"role": "user", "content": "b"}]')
        """
        return Turn(*self.find(group, raw, call))

    def find(self, group: int, raw: bytes, call: int) -> tuple[int, list[bytes], int, int]:
        """As `take`, for many."""
        leaves = self._leaves.get(group)
        if leaves is None:
            leaves = self._leaves[group] = []
        ends = self._ends
        size, longest, best, previous, at = len(raw), 0, -1, -1, 0
        for i, (n, stem, _, _) in enumerate(leaves):
            if longest < n < size and raw[n] == _COMMA and raw.startswith(stem):
                longest, best = n, i
        if best >= 0:
            _, _, previous, key = leaves[best]
            if raw.startswith(_FURTHER, longest):
                pieces = raw[longest + len(_FURTHER) : -2].split(_BETWEEN)
            else:
                pieces = _pieces(b"[" + raw[longest + 1 :].lstrip())
        else:
            pieces, key = _pieces(raw), hash((group,))
        last = len(pieces)
        for i, piece in enumerate(pieces, 1):
            key = hash((key, piece))
            if key in ends and i < last:
                at = i
                passed = key
        if at:
            found = ends[passed]
            if isinstance(found, int):
                previous = found
            else:
                previous = found.pop(0) if len(found) > 1 else found[0]
            pieces = pieces[at:]
        elif best >= 0:
            del leaves[best]
            self._bytes -= longest
        known = ends.get(key)
        if known is None:
            ends[key] = call
        elif isinstance(known, list):
            known.append(call)
        else:
            ends[key] = [known, call]
        if 4 * size < ROOM:
            leaves.append((size - 1, raw[:-1], call, key))
            self._bytes += size
            if len(leaves) > LEAVES:
                self._bytes -= leaves.pop(0)[0]
            if self._bytes > ROOM:
                self._forget(group)
        return previous, pieces, longest, at

    def _forget(self, group: int) -> None:
        leaves = self._leaves.pop(group)
        while self._bytes > ROOM and self._leaves:
            self._bytes -= sum(leaf[0] for leaf in self._leaves.pop(next(iter(self._leaves))))
        while self._bytes > ROOM and leaves:
            self._bytes -= leaves.pop(0)[0]
        self._leaves[group] = leaves


def _pieces(raw: bytes) -> list[bytes]:
    """The messages of a JSON array, each in bytes that are equal for equal messages."""
    if raw.startswith(_OPENS):
        # Inside a text a quotation mark is escaped, so this never cuts one.
        return raw[len(_OPENS) : -2].split(_BETWEEN)
    try:
        return [_encode(message) for message in _decode(raw)]
    except FAULTS:
        return [raw]


def _joined(raw: bytes, pieces: list[bytes]) -> bytes:
    if raw.startswith(_OPENS):
        return _OPENS + _BETWEEN.join(pieces) + b"}]"
    return b"[" + b", ".join(pieces) + b"]"


Asked = dict[bytes, tuple[str, bytes]]
"""Messages that ask for a tool in anton's own wording: the tool's name, and how its result begins."""


def plain_results(pieces: Sequence[bytes], asked: Asked) -> list[tuple[str, int]] | None:
    """The tools called in these pieces, each with a fingerprint of its result, where all they hold is anton's own wording or no
    tool call at all; else None: they are to be decoded. `asked` remembers, as there are few tools and many calls."""
    out: list[tuple[str, int]] = []
    waits: tuple[str, bytes] | None = None
    for piece in pieces:
        if waits is not None:
            if not piece.startswith(waits[1]):
                return None
            out.append((waits[0], hash(piece)))
            waits = None
            continue
        waits = asked.get(piece)
        if waits is not None:
            continue
        if piece.startswith(_CALLED) and b"\\" not in piece and piece.count(b'"') == 6:
            name = piece[len(_CALLED) : -1]
            if len(asked) >= MOST_TOOLS:
                asked.clear()
            waits = asked[piece] = name.decode("utf-8", "replace"), _GIVEN + name + b":"
        elif piece.startswith(_TOLD):
            continue  # who is told something calls no tool
        elif not piece.startswith(_SAID) or piece.startswith(_CALLED) or _MORE in piece:
            return None
    return out if waits is None else None


def messages_of(raw: bytes) -> tuple[list[Any], str | None]:
    """The messages of a JSON array, and why they cannot be read where they cannot."""
    try:
        return _decode(raw), None
    except FAULTS:
        faults: list[Fault] = []
        try:
            found = load(raw, faults)
        except FAULTS as error:
            return [], f"not JSON: {error}"
        if not isinstance(found, list):
            return [], "not an array of messages"
        return [m for m in found if isinstance(m, dict)], faults[0].reason if faults else None


class Opening(NamedTuple):
    """What the first messages of a conversation say."""

    agent: str
    task: str | None
    path: str | None
    prompt: str


def opening(messages: Sequence[Any], recorded: str = "") -> Opening:
    """Who speaks in a conversation that starts with these messages, and about what.

    >>> opening([{"role": "system", "content": 'You are a specialist agent for the "api" module.'}]).agent
    'module_api'
    """
    system = user = ""
    for message in messages:
        role = message.get("role") if isinstance(message, Mapping) else None
        if role == "user":
            user = text_of(message)
            break
        if role in ("system", "developer") and not system:
            system = text_of(message)
    agent = recorded if recorded and recorded != "unknown" else agent_of(system, user)
    path = _PATH.search(system) if agent == ORCHESTRATOR and system else None
    return Opening(agent, task_of(user), path.group(1).strip() if path else None, user)


def plain_prompt(piece: bytes) -> str | None:
    """The text of a piece of a history that is a plain message of the user; None where it is none."""
    if not piece.startswith(_USER):
        return None
    try:
        return _text(piece[len(_USER) - 1 :])
    except FAULTS:
        return None


def is_system(messages: Sequence[Any]) -> bool:
    """Whether messages begin with a plain system message."""
    first = messages[0] if messages else None
    return (
        isinstance(first, Mapping) and first.keys() == {"role", "content"} and first["role"] in ("system", "developer")
    )


def agent_of(system: str, user: str) -> str:
    """An agent's name by its system message; where there is none, by its first user message."""
    start = system[:600]
    if start.startswith("You are the Orchestrator Agent"):
        return ORCHESTRATOR
    found = _SPECIALIST.match(start)
    if found:
        return f"module_{found.group(1)}"
    if not system:
        if user.lstrip().startswith(_PLANS):
            return ORCHESTRATOR
        found = _WITHIN.search(user)
        if found:
            return f"module_{found.group(1)}"
        found = _MODULE.search(user)
        if found:
            return f"module_{os.path.basename(found.group(1).rstrip('/'))}"
    found = _ROLE.match(start)
    name = found.group(1) if found else next((line for line in (system or user).splitlines() if line.strip()), "agent")
    name = name.strip()
    return name if len(name) <= 60 else name[:59] + "…"


def task_of(text: str) -> str | None:
    """The line after `Task: `, else the one under `📋 Current Task:`."""
    at = text.find("Task: ")
    while at > 0 and text[at - 1] != "\n":
        at = text.find("Task: ", at + 1)
    if at >= 0:
        return text[at + 6 :].split("\n", 1)[0].strip() or None
    at = text.find("📋 Current Task:")
    lines = text[at + 16 :].lstrip().split("\n", 1) if at >= 0 else [""]
    return lines[0].strip() or None


def handed_on(answer: str) -> set[int]:
    """Fingerprints of the values in an orchestrator's answer that a prompt may repeat: texts between quotation marks, and lines."""
    out: set[int] = set()
    for literal in _LITERAL.findall(answer):
        try:
            text = (
                msgspec.json.decode(f'"{literal}"'.encode("utf-8", "replace"), type=str) if "\\" in literal else literal
            )
        except FAULTS:
            text = literal
        out.update(hash(line) for line in (text.strip(), text.strip().split("\n", 1)[0].strip()) if len(line) >= NAMING)
    out.update(hash(line) for line in map(_bare, answer.splitlines()) if len(line) >= TELLING)
    return out


def repeated(prompt: str) -> set[int]:
    """Fingerprints of the lines of a prompt, without what only leads up to them."""
    return {hash(line) for line in map(_bare, prompt.splitlines()) if len(line) >= TELLING}


def _bare(line: str) -> str:
    line = line.strip()
    found = _LABEL.match(line)
    return line[found.end() :].strip() if found else line


class Pair(NamedTuple):
    """A tool call and its result. `call` and `result` are positions of messages, `arguments` None where they were not recorded."""

    name: str
    call: int
    result: int
    arguments: Any
    text: Any
    failed: bool


def pairs(messages: Sequence[Any]) -> Iterator[Pair]:
    """The tool calls among messages, each with its result, in the order of the results.

    anton's own wording (`Calling tool: x`, `Tool result from x: …`), OpenAI's (`tool_calls`, role `tool`) and Anthropic's (blocks).

    >>> [pair.name for pair in pairs([{"role": "assistant", "content": "Calling tool: ls"}, {"role": "user",
    ...     "content": "Tool result from ls:\\na b"}])]
    ['ls']
    """
    named: list[tuple[str, int]] = []
    by_id: dict[Any, tuple[str, int, Any]] = {}
    for at, message in enumerate(messages):
        if not isinstance(message, Mapping):
            continue
        role, content = message.get("role"), message.get("content")
        if role == "assistant":
            if isinstance(content, str) and content.startswith(_ASKS):
                named.append((content[len(_ASKS) :].split("\n", 1)[0].strip(), at))
            for key, name, arguments in _asked(message):
                by_id[key] = (name, at, arguments)
        elif role == "user" and isinstance(content, str) and content.startswith(_GIVES) and named:
            head, _, text = content[len(_GIVES) :].partition(":")
            place = next((i for i, (name, _) in enumerate(named) if name == head.strip()), -1)
            if place >= 0:
                name, asked = named.pop(place)
                yield Pair(name, asked, at, None, text.removeprefix("\n"), False)
        elif role == "tool" and message.get("tool_call_id") in by_id:
            name, asked, arguments = by_id.pop(message["tool_call_id"])
            yield Pair(name, asked, at, arguments, content, False)
        elif role == "user" and isinstance(content, list):
            for block in content:
                if (
                    isinstance(block, Mapping)
                    and block.get("type") == "tool_result"
                    and block.get("tool_use_id") in by_id
                ):
                    name, asked, arguments = by_id.pop(block["tool_use_id"])
                    yield Pair(name, asked, at, arguments, block.get("content"), block.get("is_error") is True)


def _asked(message: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
    calls, content = message.get("tool_calls"), message.get("content")
    for call in calls if isinstance(calls, list) else ():
        made = call.get("function") if isinstance(call, Mapping) else None
        if isinstance(made, Mapping) and isinstance(call.get("id"), str):
            yield call["id"], str(made.get("name") or ""), _arguments(made.get("arguments"))
    for block in content if isinstance(content, list) else ():
        if isinstance(block, Mapping) and block.get("type") == "tool_use" and isinstance(block.get("id"), str):
            yield block["id"], str(block.get("name") or ""), block.get("input")


def _arguments(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return msgspec.json.decode(value)
    except FAULTS:
        return value
