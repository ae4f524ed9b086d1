"""The whole record of an OTLP span, in the keys of anton's lines (FORMATS.md 2), with all that it held under `attributes`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from anton_notebook.model.span import AGENT, LLM, NAT, ORCHESTRATOR, TOOL
from anton_notebook.model.usage import line_tokens
from anton_notebook.sources.anton.line_schema import FAULTS, Fault, load
from anton_notebook.sources.otlp import messages as said
from anton_notebook.sources.otlp import semconv as names
from anton_notebook.sources.otlp import wire
from anton_notebook.sources.timestamps import iso

Logs = Callable[[str, str], Sequence[bytes]]
_SPAN_TYPES = {LLM: "llm_call", TOOL: "tool_call", AGENT: "agent", ORCHESTRATOR: "agent"}
_GIVEN = ("gen_ai.tool.call.arguments", "tool.parameters", "input.value", "traceloop.entity.input", "gen_ai.task.input")
_RESULT = ("gen_ai.tool.call.result", "output.value", "traceloop.entity.output", "gen_ai.task.output")
_REQUEST = "gen_ai.request."
_RENAMED = {
    "choice.count": "n", "stop_sequences": "stop", "encoding_formats": "encoding_format", "structured_output_schema": None,
    "model": None, "stream": None, "is_stream": None, "type": None,
}  # fmt: skip
_OPENAI = ("gen_ai.openai.request.", "openai.request.")
_NO_PARAMETERS = frozenset(
    {"model", "messages", "tools", "functions", "system", "stream", "stream_options", "input", "prompt"}
)
_TOOL_LISTS = ("gen_ai.tool.definitions", "gen_ai.request.tools")


def record_of(span: bytes, resource: bytes, scope: bytes, schemas: tuple[str, str], logs_of: Logs) -> dict[str, Any]:
    """The record of the span whose object these bytes are. Raises one of `FAULTS` where they are no JSON any more."""
    faults: list[Fault] = []
    value = load(span, faults)
    if not isinstance(value, dict):
        raise ValueError("the place holds no span")
    attributes = wire.pairs(value.get("attributes"))
    events = [_event(event) for event in _dicts(value.get("events"))]
    trace_id, span_id, parent = (wire.hex_id(_text(value.get(k))) for k in ("traceId", "spanId", "parentSpanId"))
    logs = [_log(raw, faults) for raw in logs_of(trace_id or "", span_id or "")]
    name = _text(value.get("name")) or ""
    light = names.light(attributes, name, value.get("kind"), parent is None, [])
    start, end = wire.micros(value.get("startTimeUnixNano")), wire.micros(value.get("endTimeUnixNano"))
    found = value.get("status")
    status: dict[str, Any] = found if isinstance(found, dict) else {}
    record: dict[str, Any] = {
        "timestamp": iso(start),
        "agent_name": light.agent or None,
        "trace_id": trace_id,
        "span_id": span_id,
        "parent_id": parent,
        "span_type": _SPAN_TYPES.get(light.kind, "other"),
        "duration_ms": None if NAT in (start, end) else (end - start) / 1000,
    }
    failed = str(status.get("code")) in ("2", "STATUS_CODE_ERROR")
    if failed:
        record["success"] = False
        record["error"] = _failure(status, events, attributes)
    dialogue = said.read(attributes, [*events, *logs], faults)
    if light.kind == LLM:
        _fill_call(record, light, attributes, dialogue, faults)
    else:
        _fill_work(record, light, attributes, dialogue, faults)
    record["attributes"] = _whole(value, attributes, events, logs, resource, scope, schemas, faults)
    if faults:
        record["_faults"] = [
            fault.reason if fault.field is None else f"{fault.field}: {fault.reason}" for fault in faults
        ]
    return record


def _fill_call(
    record: dict[str, Any],
    light: names.Light,
    attributes: Mapping[str, Any],
    dialogue: said.Dialogue,
    faults: list[Fault],
) -> None:
    parameters, tools = _parameters(attributes, faults)
    record |= {
        "provider": light.provider,
        "model": light.model,
        "tokens": line_tokens(light.usage),
        "cost_usd": light.cost,
        "finish_reason": light.finish_reason or dialogue.finish_reason,
        "messages": dialogue.messages,
        "response": dialogue.response,
    }
    if dialogue.system is not None:
        record["system_prompt"] = dialogue.system
    if parameters:
        record["parameters"] = parameters
    if tools:
        record["tools"] = tools


def _fill_work(
    record: dict[str, Any],
    light: names.Light,
    attributes: Mapping[str, Any],
    dialogue: said.Dialogue,
    faults: list[Fault],
) -> None:
    if light.kind == TOOL:
        record["tool_name"] = light.name
    if light.model:
        record |= {"provider": light.provider, "model": light.model}
    if light.kind in (AGENT, ORCHESTRATOR) and any(key.startswith("gen_ai.") for key in dialogue.from_keys):
        record |= {"messages": dialogue.messages, "response": dialogue.response}
        if dialogue.system is not None:
            record["system_prompt"] = dialogue.system
    for key, sources in (("parameters", _GIVEN), ("result", _RESULT)):
        found = next((attributes[name] for name in sources if attributes.get(name) is not None), None)
        if found is not None:
            record[key] = said.parsed(found)
        elif light.kind == TOOL:
            record[key] = None


def _parameters(attributes: Mapping[str, Any], faults: list[Fault]) -> tuple[dict[str, Any], list[Any]]:
    """What else the request said, and its tools, in the words of a chat request."""
    given = said.as_json(attributes, "llm.invocation_parameters", faults)
    inside = given if isinstance(given, dict) else {}
    out = {key: value for key, value in inside.items() if key not in _NO_PARAMETERS and value is not None}
    for key, value in attributes.items():
        word: str | None = None
        if key.startswith(_REQUEST):
            word = key.removeprefix(_REQUEST)
            word = None if "." in word and word not in _RENAMED else _RENAMED.get(word, word)
        for prefix in _OPENAI:
            if key.startswith(prefix):
                word = key.removeprefix(prefix)
        if word is not None and word not in _NO_PARAMETERS and value not in (None, ""):
            out.setdefault(word, value)
    tools: Any = next((found for name in _TOOL_LISTS if (found := said.as_json(attributes, name, faults))), None)
    if not isinstance(tools, list):
        tools = [
            said.parsed(tool.get("tool", {}).get("json_schema")) for tool in said.numbered(attributes, "llm.tools")
        ]
        tools = [tool for tool in tools if isinstance(tool, dict)]
        tools = tools or [_function(tool) for tool in said.numbered(attributes, "llm.request.functions")]
        tools = tools or _dicts(inside.get("tools"))
    return out, [said.tool_definition(tool) for tool in tools if isinstance(tool, dict)]


def _function(tool: Mapping[str, Any]) -> dict[str, Any]:
    return {**tool, "type": "function", "parameters": said.parsed(tool.get("parameters"))}


def _failure(status: Mapping[str, Any], events: list[dict[str, Any]], attributes: Mapping[str, Any]) -> str | None:
    message = _text(status.get("message"))
    if message:
        return message
    for event in events:
        if event.get("name") == "exception":
            found = names.text(event["attributes"], ("exception.message", "exception.type"))
            if found:
                return found
    return names.text(attributes, (names.ERROR_TYPE,)) or None


def _whole(
    span: Mapping[str, Any],
    attributes: Mapping[str, Any],
    events: list[dict[str, Any]],
    logs: list[dict[str, Any]],
    resource: bytes,
    scope: bytes,
    schemas: tuple[str, str],
    faults: list[Fault],
) -> dict[str, Any]:
    """Everything that the span held. Its attributes stand first; what else it has gives way where an attribute has its name."""
    around = {"resource": _around(resource, schemas[0], faults), "scope": _around(scope, schemas[1], faults)}
    links = [
        {**link, "attributes": wire.pairs(link.get("attributes"))}
        for link in span.get("links") or ()
        if isinstance(link, dict)
    ]
    rest = {**span, **around, "events": events, "links": links, "status": span.get("status") or {}}
    if logs:
        rest["logs"] = logs
    rest.pop("attributes", None)
    out = dict(attributes)
    for key, value in rest.items():
        out[key if key not in out else f"otlp.{key}"] = value
    return out


def _around(raw: bytes, schema: str, faults: list[Fault]) -> dict[str, Any]:
    found: Any = {}
    try:
        found = load(raw, faults) if raw else {}
    except FAULTS as error:
        faults.append(Fault(f"its resource or scope is not JSON: {error}"))
    found = dict(found) if isinstance(found, dict) else {}
    found["attributes"] = wire.pairs(found.get("attributes"))
    return {**found, "schemaUrl": schema} if schema else found


def _event(event: Mapping[str, Any]) -> dict[str, Any]:
    return {**event, "name": _text(event.get("name")), "attributes": wire.pairs(event.get("attributes"))}


def _log(raw: bytes, faults: list[Fault]) -> dict[str, Any]:
    """A log record in the shape of an event; its body's fields join its attributes."""
    found: Any = {}
    try:
        found = load(raw, faults)
    except FAULTS as error:
        faults.append(Fault(f"a log record of it is not JSON: {error}"))
    found = found if isinstance(found, dict) else {}
    attributes = wire.pairs(found.get("attributes"))
    name = _text(found.get("eventName")) or _text(attributes.get("event.name")) or ""
    return {**found, "name": name, "attributes": attributes, "body": wire.plain(found.get("body"))}


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
