"""Spans that are not written as OTLP/JSON writes them, converted one by one.

Read: OTLP/JSON in snake_case, the output of `ConsoleSpanExporter`, and the spans of the OpenAI Agents SDK's own exporter.
The object's keys tell which one it is, so a span is converted both when it is found and when its text is read back.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from anton_notebook.sources.anton.line_schema import FAULTS, load

AGENTS_SPAN = re.compile(rb'\s*\{\s*"object"\s*:\s*"trace(\.span)?"')
CONSOLE_SPAN = re.compile(rb'\s*\{\s*"name"\s*:\s*"(?:[^"\\]|\\.)*",\s*"context"\s*:\s*\{\s*"trace_id"\s*:\s*"0x')
_SNAKE = re.compile(r"_([a-z])")
_VERBATIM = frozenset({"attributes", "value", "body"})
_KINDS = {"agent": "AGENT", "function": "TOOL", "handoff": "TOOL", "generation": "LLM", "response": "LLM"}


def as_otlp(raw: bytes) -> bytes:
    """Return a span in OTLP/JSON; bytes that are in that wording already are returned unchanged."""
    agents, console = AGENTS_SPAN.match(raw), CONSOLE_SPAN.match(raw)
    snake = not agents and not console and b'"span_id"' in raw and b'"spanId"' not in raw
    if not (agents or console or snake):
        return raw
    try:
        value = load(raw, [])
    except FAULTS:
        return raw
    if not isinstance(value, dict):
        return raw
    converted = _agents_span(value) if agents else _console_span(value) if console else camel(value)
    return json.dumps(converted, ensure_ascii=False, default=str).encode("utf-8", "surrogatepass")


def camel(value: Any) -> Any:
    """Return JSON with its field names in camelCase; keys of attributes are values and stay."""
    if isinstance(value, list):
        return [camel(item) for item in value]
    if not isinstance(value, Mapping):
        return value
    return {_SNAKE.sub(lambda match: match.group(1).upper(), key): camel(inner) for key, inner in value.items()}


def workflow_name(raw: bytes) -> tuple[str, str] | None:
    """Return the trace id and the name in the line that opens a trace of the OpenAI Agents SDK."""
    match = AGENTS_SPAN.match(raw)
    if match is None or match.group(1):
        return None
    try:
        value = load(raw, [])
    except FAULTS:
        return None
    known = value.get("id"), value.get("workflow_name")
    return (known[0], known[1]) if isinstance(known[0], str) and isinstance(known[1], str) else None


def _pairs(attributes: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": _any_value(value)} for key, value in attributes.items() if value is not None]


def _any_value(value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, list) and all(isinstance(item, str | int | float) for item in value):
        return {"arrayValue": {"values": [_any_value(item) for item in value]}}
    return {"stringValue": value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)}


def _nanos(text: Any) -> str | None:
    """Return an ISO 8601 time as nanoseconds since 1970."""
    if not isinstance(text, str):
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    delta = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return str(((delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds) * 1000)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _console_span(value: Mapping[str, Any]) -> dict[str, Any]:
    context, status = _mapping(value.get("context")), _mapping(value.get("status"))
    events = [event for event in value.get("events") or () if isinstance(event, Mapping)]
    return {
        "traceId": _text(context.get("trace_id")).removeprefix("0x"),
        "spanId": _text(context.get("span_id")).removeprefix("0x"),
        "parentSpanId": _text(value.get("parent_id")).removeprefix("0x") or None,
        "name": value.get("name"),
        "kind": _text(value.get("kind")).replace("SpanKind.", "SPAN_KIND_"),
        "startTimeUnixNano": _nanos(value.get("start_time")),
        "endTimeUnixNano": _nanos(value.get("end_time")),
        "status": {"code": f"STATUS_CODE_{status.get('status_code')}", "message": status.get("description")},
        "attributes": _pairs(value.get("attributes") or {}),
        "events": [
            {
                "name": event.get("name"), "timeUnixNano": _nanos(event.get("timestamp")),
                "attributes": _pairs(event.get("attributes") or {}),
            }
            for event in events
        ],
        "resource": value.get("resource"),
    }  # fmt: skip


def _agents_span(value: Mapping[str, Any]) -> dict[str, Any]:
    data = value.get("span_data")
    data = data if isinstance(data, Mapping) else {}
    error = value.get("error")
    out: dict[str, Any] = {
        "traceId": value.get("trace_id"), "spanId": value.get("id"), "parentSpanId": value.get("parent_id"),
        "name": data.get("name") or data.get("type"), "startTimeUnixNano": _nanos(value.get("started_at")),
        "endTimeUnixNano": _nanos(value.get("ended_at")), "attributes": _pairs(_agents_attributes(data)),
        "status": {"code": 0},
    }  # fmt: skip
    if isinstance(error, Mapping):
        details = error.get("data")
        cause = details.get("error") if isinstance(details, Mapping) else None
        message = ": ".join(str(part) for part in (error.get("message"), cause) if part)
        out["status"] = {"code": 2, "message": message}
    return out


def _agents_attributes(data: Mapping[str, Any]) -> dict[str, Any]:
    kind = data.get("type")
    out: dict[str, Any] = {"openinference.span.kind": _KINDS.get(str(kind), "CHAIN"), "openai.agents.span_data": data}
    if kind == "agent":
        out["agent.name"] = data.get("name")
    elif kind == "function":
        out |= {"tool.name": data.get("name"), "input.value": data.get("input"), "output.value": data.get("output")}
    elif kind == "handoff":
        out |= {"tool.name": f"handoff to {data.get('to_agent')}", "input.value": data.get("from_agent")}
        out["output.value"] = data.get("to_agent")
    elif kind in ("generation", "response"):
        out |= {
            "llm.model_name": data.get("model"), "gen_ai.response.id": data.get("response_id"),
            "gen_ai.usage": data.get("usage"), "llm.invocation_parameters": data.get("model_config"),
            "gen_ai.input.messages": data.get("input"), "gen_ai.output.messages": data.get("output"),
            "llm.provider": "openai",
        }  # fmt: skip
    return out
