"""One line of JSON into its light fields: typed first, field by field where that is refused.

`decode` never raises. What it cannot use comes back as a `Fault`; an object with a wrong field comes back as a line all the
same, with that field unknown and named in `faults`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import msgspec

T = TypeVar("T", bound=msgspec.Struct)
NAN = math.nan
DEPTH = 200
EXCERPT = 120
_BOM = b"\xef\xbb\xbf"
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)
_SURROGATES = re.compile("[\ud800-\udfff]")
_CUT = b'"\\u2026"'
_DEEP = f"nested deeper than {DEPTH}; what lies deeper is cut"


class Tokens(msgspec.Struct, gc=False):
    """Token counts of one call, in the words of several programs."""

    input: int | None = -1
    output: int | None = -1
    cached: int | None = -1


class Line(msgspec.Struct, gc=False):
    """The light fields of a line of any of the kinds of FORMATS.md 1 to 3 and 5; bodies are passed over."""

    span_type: str | None = None
    agent_name: str | None = None
    tool_name: str | None = None
    provider: str | None = None
    model: str | None = None
    finish_reason: str | None = None
    success: bool | None = None
    trace_id: str | None = None
    span_id: str | None = None
    parent_id: str | None = None
    timestamp: str | None = None
    duration_ms: float | None = None
    tokens: Tokens | None = None
    cost_usd: float | None = None
    error: str | None = None
    event_type: str | None = None
    anton_notebook: Mark | None = None


_Id = Annotated[str, msgspec.Meta(min_length=1)]


class Plain(msgspec.Struct, gc=False, kw_only=True):
    """A line as anton writes it, with its ids; all that is not so is refused, and looked at more closely.

    The fields stand in the order in which anton writes them: so each is found at the first look.
    """

    timestamp: str
    agent_name: str | None = None
    tool_name: str | None = None
    provider: str | None = None
    model: str | None = None
    trace_id: _Id
    span_id: _Id
    parent_id: str | None = None
    span_type: str | None = None
    duration_ms: float | None = NAN  # as numbers at once; None, where a line says so, is the same
    success: bool | None = None
    tokens: Tokens | None = None
    cost_usd: float | None = NAN
    finish_reason: str | None = None
    error: str | None = None
    event_type: None = None
    anton_notebook: None = None


class Mark(msgspec.Struct, gc=False):
    """The `anton_notebook` key of a line that we wrote."""

    version: int | None = None
    origin: str | None = None
    original_trace_id: str | None = None
    original_span_id: str | None = None
    run_name: str | None = None
    note: str | None = None
    mark: str | None = None
    checkpoint_id: str | None = None
    provenance: str | None = None
    reason: str | None = None
    kind: str | None = None
    status: str | None = None
    end: str | None = None
    cached_tokens: int | None = None
    usage: dict[str, Any] | None = None
    lower_bound: bool | None = None
    tokens_estimated: bool | None = None
    recorded_cost_usd: float | None = None
    saved_usd: float | None = None
    source_kind: str | None = None


class EventData(msgspec.Struct, gc=False):
    """The light fields of an event line's `data`."""

    model: str | None = None
    provider: str | None = None
    tool_name: str | None = None
    finish_reason: str | None = None
    success: bool | None = None
    duration_ms: float | None = None
    tokens: Tokens | None = None
    cost_usd: float | None = None
    error: str | None = None


class EventLine(msgspec.Struct, gc=False):
    """An event line, of which `data` matters too."""

    data: EventData | None = None


class Fault(msgspec.Struct, gc=False):
    """Why a line, or one field of it, cannot be used."""

    reason: str
    field: str | None = None


FAULTS = (ValueError, RecursionError, MemoryError, msgspec.MsgspecError)
_PLAIN = msgspec.json.Decoder(Plain)
decode_plain: Callable[[bytes | memoryview], Plain] = _PLAIN.decode
decode_plains: Callable[[bytes | memoryview], list[Plain]] = _PLAIN.decode_lines
decode_line: Callable[[bytes], Line] = msgspec.json.Decoder(Line).decode
_decode_event = msgspec.json.Decoder(EventLine).decode
_TYPES: dict[type, dict[str, Any]] = {
    t: {f.encode_name: f.type for f in msgspec.structs.fields(t)} for t in (Line, Tokens, Mark, EventData)
}


def tolerant(line: bytes, number: int = 0) -> tuple[Line | None, list[Fault]]:
    """A line that the typed decoder refused, field by field. None where it is no object at all."""
    faults: list[Fault] = []
    if line.startswith(_BOM):
        if number != 1:
            faults.append(Fault("a byte order mark inside the file"))
        line = line[3:]
    try:
        value = load(line, faults)
    except FAULTS as error:
        wide = b"\0" in line[:64] and line.count(b"\0") * 4 > len(line) > 2 * line.count(b"\0") - 9
        why = "not JSON in UTF-8: every other byte is zero, as in UTF-16" if wide else _why(error)
        return None, [*faults, Fault(why)][:1]
    if not isinstance(value, dict):
        return None, [*faults, Fault(f"not an object: the line holds {_name(value)}")][:1]
    return _build(Line, value, "", faults), faults


def event_data(line: bytes) -> tuple[EventData, list[Fault]]:
    """The light fields of an event line's data."""
    try:
        return _decode_event(line).data or EventData(), []
    except FAULTS:
        faults: list[Fault] = []
        value = load(line.removeprefix(_BOM), [])
        data = value.get("data") if isinstance(value, dict) else None
        if not isinstance(data, dict):
            return EventData(), [Fault(f"expected an object, found {_name(data)}", "data")]
        return _build(EventData, data, "data.", faults), faults


def load(line: bytes, faults: list[Fault]) -> Any:
    """Strict JSON, explained: invalid UTF-8 and numbers that are none are replaced and reported, deep nesting is cut."""
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        faults.append(Fault(f"invalid UTF-8 at byte {error.start} of the line; shown as U+FFFD"))
        text = line.decode("utf-8", "replace")
    try:
        value, endless = _loads(text, faults)
        # Most lines can hold nothing that has to be looked for, value by value.
        if not endless and b"\\ud" not in line and b"\\uD" not in line and line.count(b"{") + line.count(b"[") <= DEPTH:
            return value
        return _clean(value, faults)
    except RecursionError:
        faults.append(Fault(_DEEP))
        cut = shallow(text.encode("utf-8", "replace"))
        return _clean(_loads(cut.decode("utf-8"), faults)[0], faults)


def shallow(line: bytes) -> bytes:
    """The same JSON with every value below depth 200 cut."""
    out: list[bytes] = []
    depth = at = 0
    for token in _TOKEN.finditer(line):
        mark = token.group()
        if mark in b"[{":
            depth += 1
            if depth == DEPTH + 1:
                out += [line[at : token.start()], _CUT]
        elif mark in b"]}":
            depth -= 1
            if depth == DEPTH:
                at = token.end()
    return b"".join(out) + (line[at:] if depth <= DEPTH else b"")


def _loads(text: str, faults: list[Fault]) -> tuple[Any, bool]:
    """The value, and whether a number in it is too large for a float."""
    endless = False

    def real(digits: str) -> float:
        nonlocal endless
        value = float(digits)
        endless |= math.isinf(value)
        return value

    def constant(name: str) -> str:
        faults.append(Fault(f"{name} is no JSON number; kept as text"))
        return name

    return json.loads(text, parse_constant=constant, parse_int=_integer, parse_float=real), endless


def _integer(digits: str) -> int | str:
    return int(digits) if len(digits) <= 4000 else digits


def _clean(value: Any, faults: list[Fault]) -> Any:
    """Lone surrogates become U+FFFD, infinite numbers text, and what lies below depth 200 a mark; without recursion."""
    surrogate = endless = deep = False
    root, depth = [value], 0
    level: list[Any] = [root]
    while level:
        below: list[Any] = []
        for at in level:
            if isinstance(at, dict):
                for key in [k for k in at if _SURROGATES.search(k)]:
                    surrogate = True
                    at[_SURROGATES.sub("\ufffd", key)] = at.pop(key)
            for key, inner in at.items() if isinstance(at, dict) else enumerate(at):
                if isinstance(inner, str):
                    if _SURROGATES.search(inner):
                        surrogate = True
                        at[key] = _SURROGATES.sub("\ufffd", inner)
                elif isinstance(inner, dict | list):
                    if depth >= DEPTH and inner:
                        deep = True
                        at[key] = "\u2026"
                    else:
                        below.append(inner)
                elif isinstance(inner, float) and not math.isfinite(inner):
                    endless = True
                    at[key] = str(inner)
        level, depth = below, depth + 1
    if surrogate:
        faults.append(Fault("a lone surrogate; shown as U+FFFD"))
    if endless:
        faults.append(Fault("a number too large for JSON; kept as text"))
    if deep:
        faults.append(Fault(_DEEP))
    return root[0]


def _build(kind: type[T], value: dict[str, Any], path: str, faults: list[Fault]) -> T:
    made: dict[str, Any] = {}
    for name, wanted in _TYPES[kind].items():
        found = value.get(name)
        if found is None:
            continue
        inner = next((t for t in (Tokens, Mark) if wanted == t | None), None)
        if inner is not None and isinstance(found, dict):
            made[name] = _build(inner, found, f"{path}{name}.", faults)
            continue
        if name == "timestamp" and isinstance(found, int | float) and not isinstance(found, bool):
            made[name] = repr(found)
            continue
        try:
            made[name] = msgspec.convert(found, wanted)
        except FAULTS:
            words = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}
            want = next((w for t, w in words.items() if wanted == t | None), "an object")
            faults.append(Fault(f"expected {want}, found {_name(found)}", path + name))
    return kind(**made)


def _name(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    kinds: list[tuple[type, str]] = [
        (str, "text"),
        (int, "a number"),
        (float, "a number"),
        (list, "an array"),
        (dict, "an object"),
    ]
    return next(word for kind, word in kinds if isinstance(value, kind))


def _why(error: BaseException) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"not JSON: {error.msg.lower()} at character {error.pos} of the line"
    return f"not JSON: {error}" if isinstance(error, ValueError) else f"cannot be decoded: {type(error).__name__}"


def excerpt(line: bytes) -> str:
    """The start of a line as text that can be shown."""
    text = line[: 4 * EXCERPT].decode("utf-8", "replace")
    return text if len(text) <= EXCERPT else text[:EXCERPT] + "…"
