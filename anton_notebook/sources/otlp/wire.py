"""OTLP/JSON: where in some bytes the spans and log records lie, and what their fields and values are.

The shape is `resourceSpans[].scopeSpans[].spans[]`. Spans are found as pieces of the bytes and decoded one by one, so one bad
span spoils no other; bytes that are no JSON as a whole are searched for the spans that are whole all the same.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import msgspec
import numpy as np

from anton_notebook.model.span import NAT
from anton_notebook.sources.anton.line_schema import FAULTS, Fault, load
from anton_notebook.sources.otlp.other_wordings import AGENTS_SPAN, CONSOLE_SPAN
from anton_notebook.sources.otlp.wire_schema import (
    NOTHING,
    KeyValue,
    OtlpRequest,
    OtlpSnakeRequest,
    OtlpTempo,
    WireLog,
    WireSpan,
)

_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{}:]', re.DOTALL)
_TEMPO = re.compile(rb'\s*\{\s*"trace"\s*:\s*\{')
_SNAKE_REQUEST = re.compile(rb'"(resource_spans|resource_logs|scope_spans|scope_logs)"')
_HEX = re.compile(r"[0-9a-fA-F]+")
_ZERO = re.compile(r"0*")
_RESOURCES = (b'"resourceSpans"', b'"batches"', b'"resource_spans"')
_SCOPES = (b'"scopeSpans"', b'"instrumentationLibrarySpans"', b'"scope_spans"')
_BYTES_OF = {24: 16, 22: 16, 12: 8, 11: 8}
"""Lengths of base64 texts (with and without padding) of ids: protobuf's own JSON writes ids so, where OTLP wants hex."""


Place = tuple[int, int]
"""Where something lies: (offset, length) in bytes. Length 0: nowhere."""


class Group(NamedTuple):
    """What one scope of one resource brought; places are relative to the bytes given."""

    resource: Place
    scope: Place
    spans: list[Place]
    logs: list[Place]
    schemas: tuple[str, str] = ("", "")


_decode_snake = msgspec.json.Decoder(OtlpSnakeRequest).decode
_decode_snakes = msgspec.json.Decoder(list[OtlpSnakeRequest]).decode
_decode_tempo = msgspec.json.Decoder(OtlpTempo).decode
_decode_raws = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_request = msgspec.json.Decoder(OtlpRequest).decode
_decode_requests = msgspec.json.Decoder(list[OtlpRequest]).decode
decode_span: Callable[[bytes | msgspec.Raw], WireSpan] = msgspec.json.Decoder(WireSpan).decode
decode_log: Callable[[bytes], WireLog] = msgspec.json.Decoder(WireLog).decode
_decode_value: Callable[[bytes | msgspec.Raw], Any] = msgspec.json.Decoder().decode


def groups(data: bytes) -> list[Group] | None:
    """The spans and log records in one whole document; None where it is JSON of another kind. Raises one of `FAULTS`."""
    many = data.lstrip()[:1] == b"["
    base = _address(data)
    if AGENTS_SPAN.match(data) or CONSOLE_SPAN.match(data):
        _decode_value(data)  # whole JSON, or one of FAULTS
        start = len(data) - len(data.lstrip())
        return [Group((0, 0), (0, 0), [(start, len(data.rstrip()) - start)], [])]
    if many and (CONSOLE_SPAN.match(data.lstrip()[1:]) or AGENTS_SPAN.match(data.lstrip()[1:])):
        spans = [(_address(raw) - base, len(memoryview(raw))) for raw in _decode_raws(data)]
        return [Group((0, 0), (0, 0), spans, [])]
    if _TEMPO.match(data):
        inner = _decode_tempo(data).trace
        at = _address(inner) - base
        found = groups(data[at : at + len(memoryview(inner))])
        return None if found is None else [_shifted(group, at) for group in found]
    requests: list[Any]
    if _SNAKE_REQUEST.search(data[:4096]):
        requests = list(_decode_snakes(data)) if many else [_decode_snake(data)]
    else:
        requests = list(_decode_requests(data)) if many else [_decode_request(data)]

    def place(raw: msgspec.Raw) -> Place:
        size = len(memoryview(raw))
        return (0, 0) if raw is NOTHING else (_address(raw) - base, size)

    out: list[Group] = []
    known = False
    for request in requests:
        known |= any(x is not None for x in (request.resource_spans, request.resource_logs, request.batches))
        known |= request.resource_metrics is not NOTHING
        for group in (request.resource_spans, request.batches, request.resource_logs):
            for resource in group or ():
                where = place(resource.resource)
                for scopes in (resource.scope_spans, resource.instrumentation_library_spans, resource.scope_logs):
                    for scope in scopes or ():
                        named = scope.scope if scope.scope is not NOTHING else scope.instrumentation_library
                        spans = [place(raw) for raw in scope.spans or ()]
                        logs = [place(raw) for raw in scope.log_records or ()]
                        schemas = (_url(resource.schema_url), _url(scope.schema_url))
                        out.append(Group(where, place(named), spans, logs, schemas))
    return out if known else None


def _shifted(group: Group, by: int) -> Group:
    def moved(place: Place) -> Place:
        return (place[0] + by, place[1]) if place[1] else place

    resource, scope, spans, logs, schemas = group
    return Group(moved(resource), moved(scope), list(map(moved, spans)), list(map(moved, logs)), schemas)


def _url(raw: msgspec.Raw) -> str:
    found = attribute(raw)
    return found if isinstance(found, str) else ""


def _address(data: bytes | msgspec.Raw) -> int:
    """Where in memory bytes begin: a `Raw` is a view into what it was decoded from."""
    found: int = np.frombuffer(data, np.uint8).__array_interface__["data"][0]
    return found


def salvage(data: bytes) -> list[Group]:
    """The spans that are whole in bytes that are no JSON as a whole, with the resource and scope before them."""
    out: list[Group] = []
    opened: list[tuple[bytes, bytes, int]] = []  # bracket, the key it stands under, where
    resource = scope = (0, 0)
    last = key = b""
    for token in _TOKEN.finditer(data):
        mark = token.group()
        if mark == b":":
            key = last
        elif mark in b"[{":
            under = opened[-1][1] if opened and opened[-1][0] == b"[" else key
            opened.append((mark, under, token.start()))
            if mark == b"{" and under in _RESOURCES:
                resource = scope = (0, 0)
            elif mark == b"{" and under in _SCOPES:
                scope = (0, 0)
            key = b""
        elif mark not in b"]}":
            last = mark
        elif opened:
            _, under, start = opened.pop()
            where = (start, token.end() - start)
            if under == b'"resource"':
                resource = where
            elif under in (b'"scope"', b'"instrumentationLibrary"'):
                scope = where
            elif under == b'"spans"' and mark == b"}" and opened and opened[-1][0] == b"[":
                out.append(Group(resource, scope, [where], []))
    return out


def depth(line: bytes) -> int:
    """How many more objects and arrays a line opens than it closes."""
    found = 0
    for token in _TOKEN.finditer(line):
        mark = token.group()
        found += (mark in b"[{") - (mark in b"]}")
    return found


def tolerant(raw: bytes, faults: list[Fault]) -> WireSpan | None:
    """A span that the typed decoder refused, field by field. None where it is no object at all."""
    try:
        value = load(raw, faults)
    except FAULTS as error:
        faults.append(Fault(f"not JSON: {error}"))
        return None
    if not isinstance(value, dict):
        faults.append(Fault("not an object", "spans"))
        return None
    wanted: tuple[tuple[str, type | tuple[type, ...], str], ...] = (
        ("traceId", str, "text"),
        ("spanId", str, "text"),
        ("parentSpanId", str, "text"),
        ("name", str, "text"),
        ("kind", (int, str), "a number"),
        ("startTimeUnixNano", (int, float, str), "a number of nanoseconds"),
        ("endTimeUnixNano", (int, float, str), "a number of nanoseconds"),
        ("attributes", list, "an array"),
    )
    kept: dict[str, Any] = {}
    for name, types, words in wanted:
        found = value.get(name)
        if found is None:
            continue
        if isinstance(found, types) and not isinstance(found, bool):
            kept[name] = found
        else:
            faults.append(Fault(f"expected {words}, found {json.dumps(found)[:40]}", name))
    if "attributes" in kept:
        pairs = [p for p in kept["attributes"] if isinstance(p, dict) and isinstance(p.get("key"), str)]
        if len(pairs) < len(kept["attributes"]):
            faults.append(Fault("expected pairs of key and value", "attributes"))
        kept["attributes"] = [{"key": p["key"], "value": p.get("value")} for p in pairs]
    status = value.get("status")
    if isinstance(status, dict):
        code, message = status.get("code"), status.get("message")
        kept["status"] = {
            "code": code if isinstance(code, int | str) and not isinstance(code, bool) else 0,
            "message": message if isinstance(message, str) else None,
        }
    elif status is not None:
        faults.append(Fault("expected an object", "status"))
    if isinstance(value.get("events"), list):
        kept["events"] = value["events"]
    return decode_span(json.dumps(kept).encode())


class LazyAttributes(Mapping[str, Any]):
    """The attributes of a span; each value is decoded when it is read."""

    def __init__(self, pairs_: list[KeyValue] | None) -> None:
        self._raw = {pair.key: pair.value for pair in pairs_ or ()}

    def __getitem__(self, key: str) -> Any:
        return attribute(self._raw[key])

    def get(self, key: str, default: Any = None) -> Any:
        """Return a value, `default` if there is none."""
        raw = self._raw.get(key)
        return default if raw is None else attribute(raw)

    def __contains__(self, key: object) -> bool:
        return key in self._raw

    def __iter__(self) -> Iterator[str]:
        return iter(self._raw)

    def __len__(self) -> int:
        return len(self._raw)


def hex_id(text: str | None) -> str | None:
    """An id as OTLP writes it, in small letters; None for one that is missing or all zeros."""
    if not text:
        return None
    if _HEX.fullmatch(text):
        return None if _ZERO.fullmatch(text) else text.lower()
    size = _BYTES_OF.get(len(text))
    if size:
        try:
            found = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
        except (ValueError, binascii.Error):
            return text
        if len(found) == size:
            return found.hex() if any(found) else None
    return text


def has_failed(code: object, attributes: Mapping[str, Any]) -> bool:
    """Return whether a span failed: by its status, or by an error type where its status says nothing."""
    if str(code) in ("2", "STATUS_CODE_ERROR"):
        return True
    return str(code) not in ("1", "STATUS_CODE_OK") and _names_error(attributes)


def _names_error(attributes: Mapping[str, Any]) -> bool:
    level = attributes.get("langfuse.observation.level")
    return level == "ERROR" or isinstance(attributes.get("error.type"), str) and bool(attributes["error.type"])


def micros(nanos: object) -> int:
    """Nanoseconds since 1970 in microseconds; `NAT` where there are none."""
    if isinstance(nanos, str):
        if not (nanos.isascii() and nanos.isdecimal() and len(nanos) <= 20):
            return NAT
        nanos = int(nanos)
    if not isinstance(nanos, int | float) or not 0 < nanos < 2**64:
        return NAT
    return int(nanos) // 1000


def attribute(raw: msgspec.Raw) -> Any:
    """The plain value of an attribute; None where it cannot be decoded."""
    try:
        return plain(_decode_value(raw))
    except FAULTS:
        return None


def plain(value: Any) -> Any:
    """Return an `AnyValue` as a plain value. Whole numbers are written as text; `NaN` and the like stay text."""
    if not isinstance(value, dict):
        return value
    for name, found in value.items():
        kind = _SNAKE_VALUES.get(name, name)
        if kind == "intValue":
            return _integer(found)
        if kind == "arrayValue":
            return [plain(v) for v in _listed(found, "values")]
        if kind == "kvlistValue":
            return pairs(_listed(found, "values"))
        if kind in ("stringValue", "boolValue", "doubleValue", "bytesValue"):
            return found
    return value or None


def pairs(attributes: Any) -> dict[str, Any]:
    """A list of keys and values as a dict; a key that stands twice has its last value."""
    if not isinstance(attributes, list):
        return {}
    return {
        p["key"]: plain(p.get("value")) for p in attributes if isinstance(p, dict) and isinstance(p.get("key"), str)
    }


_SNAKE_VALUES = {
    "string_value": "stringValue", "int_value": "intValue", "double_value": "doubleValue", "bool_value": "boolValue",
    "array_value": "arrayValue", "kvlist_value": "kvlistValue", "bytes_value": "bytesValue",
}  # fmt: skip


def _listed(value: Any, key: str) -> list[Any]:
    found = value.get(key) if isinstance(value, dict) else value
    return found if isinstance(found, list) else []


def _integer(found: Any) -> Any:
    if isinstance(found, str) and len(found) <= 30:
        try:
            return int(found)
        except ValueError:
            return found
    return found
