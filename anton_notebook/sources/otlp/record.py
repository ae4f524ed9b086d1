"""The whole record of an OTLP span in the keys of a trace line (FORMATS.md 2), with everything it held under `attributes`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from anton_notebook.model.span import AGENT, LLM, NAT, ORCHESTRATOR, TOOL
from anton_notebook.model.usage import line_tokens
from anton_notebook.sources.anton.line_schema import FAULTS, Fault, load
from anton_notebook.sources.otlp import dialogue, wire
from anton_notebook.sources.otlp import semconv as names
from anton_notebook.sources.otlp.dialogue import MESSAGE_LISTS
from anton_notebook.sources.otlp.messages import first_index, numbered, tool_definition
from anton_notebook.sources.otlp.other_wordings import as_otlp
from anton_notebook.sources.otlp.values import as_json, first_text, parsed, tool_arguments, tool_result
from anton_notebook.sources.timestamps import iso

Logs = Callable[[str, str], Sequence[bytes]]
_SPAN_TYPES = {LLM: "llm_call", TOOL: "tool_call", AGENT: "agent", ORCHESTRATOR: "agent"}
_GIVEN = (
    "gen_ai.tool.call.arguments", "gcp.vertex.agent.tool_call_args", "ai.toolCall.args", "input.value",
    "traceloop.entity.input", "langfuse.observation.input", "gen_ai.prompt", "gen_ai.task.input", "tool_input",
    "tool_arguments",
)  # fmt: skip
_RESULT = (
    "gen_ai.tool.call.result", "gcp.vertex.agent.tool_response", "ai.toolCall.result", "output.value",
    "traceloop.entity.output", "langfuse.observation.output", "gen_ai.completion", "gen_ai.task.output", "tool_response",
    "tool_result",
)  # fmt: skip
_EMPTY = (None, "", "<not specified>", "{}")
_CALL_ID = ("gen_ai.tool.call.id", "tool_call.id", "ai.toolCall.id", "tool.id", "tool_call_id")
_EXECUTION_EVENTS = ("tool.output", "gen_ai.tool.result")
_TOOL_MESSAGE, _CHOICE = "gen_ai.tool.message", "gen_ai.choice"
_REQUEST = "gen_ai.request."
_RENAMED = {
    "choice.count": "n", "stop_sequences": "stop", "encoding_formats": "encoding_format", "structured_output_schema": None,
    "model": None, "stream": None, "is_stream": None, "type": None,
}  # fmt: skip
_OPENAI = ("gen_ai.openai.request.", "openai.request.")
_NO_PARAMETERS = frozenset(
    """model messages tools functions system stream stream_options input prompt model_name _type ls_params id created_at
    instructions object status output usage error incomplete_details completed_at previous_response_id background
    billing moderation prompt_cache_key safety_identifier max_tool_calls_used conversation next_response_ids
    output_text instances contents system_instruction provider""".split()
)
"""Keys of recorded parameters that are no parameters of a request: other parts of it, or of the answer."""
_OF_AN_ANSWER = ("created_at", "id")
"""Recorded parameters with one of these are a whole answer of the Responses API, defaults and empty values included."""
_DEFAULTS_OF = "langfuse.observation.model.parameters"
"""Holds the defaults of the API beside what the program set."""
_ANSWER_DEFAULTS: dict[str, Any] = {
    "metadata": {}, "reasoning": {}, "text": {"format": {"type": "text"}}, "truncation": "disabled", "top_p": 1.0,
    "tool_choice": "auto", "parallel_tool_calls": True, "service_tier": "default", "store": True, "top_logprobs": 0,
    "frequency_penalty": 0.0, "presence_penalty": 0.0, "temperature": 1.0,
}  # fmt: skip
_TOOL_LISTS = ("gen_ai.tool.definitions", "gen_ai.request.tools", "ai.prompt.tools")
_PARAMETER_OBJECTS = ("llm.invocation_parameters", "langfuse.observation.model.parameters", "model_parameters")
_VERCEL_SETTINGS = {
    "ai.settings.temperature": "temperature", "ai.settings.maxOutputTokens": "max_tokens", "ai.settings.maxTokens": "max_tokens",
    "ai.settings.topP": "top_p", "ai.settings.topK": "top_k", "ai.settings.seed": "seed",
    "ai.settings.frequencyPenalty": "frequency_penalty", "ai.settings.presencePenalty": "presence_penalty",
}  # fmt: skip
LIMIT = 128
"""Attributes per span that an SDK keeps by default; it drops the oldest."""


def record_of(span: bytes, resource: bytes, scope: bytes, schemas: tuple[str, str], logs_of: Logs) -> dict[str, Any]:
    """Return the record of the span in these bytes. Raises one of `FAULTS` if they are no longer JSON."""
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
    state = value.get("status")
    status: dict[str, Any] = state if isinstance(state, dict) else {}
    record: dict[str, Any] = {
        "timestamp": iso(start),
        "agent_name": light.agent or None,
        "trace_id": trace_id,
        "span_id": span_id,
        "parent_id": parent,
        "span_type": _SPAN_TYPES.get(light.kind, "other"),
        "duration_ms": None if NAT in (start, end) else (end - start) / 1000,
    }
    if wire.has_failed(status.get("code"), attributes):
        record["success"] = False
        record["error"] = _failure(status, events, attributes)
    conversation = dialogue.read(attributes, [*events, *logs], faults)
    if light.kind == LLM:
        _fill_call(record, light, attributes, conversation, faults)
        lost = dropped_parts(attributes, value.get("droppedAttributesCount"))
        if lost:
            record["missing"] = lost
    else:
        _fill_work(record, light, attributes, conversation, [*events, *logs])
        if light.kind in (AGENT, ORCHESTRATOR):
            parameters, tools = _parameters(attributes, faults)
            record["agent_request"] = {"parameters": parameters, "tools": tools}
    record["attributes"] = _whole(value, attributes, events, logs, resource, scope, schemas, faults)
    if faults:
        record["_faults"] = [
            fault.reason if fault.field is None else f"{fault.field}: {fault.reason}" for fault in faults
        ]
    return record


def dropped_parts(attributes: Mapping[str, Any], dropped: Any) -> list[str]:
    """Return which parts of a request the SDK's limit of attributes has removed; it drops the oldest ones."""
    count = int(dropped) if isinstance(dropped, int | str) and str(dropped).isdecimal() else 0
    first = min((i for p in MESSAGE_LISTS if (i := first_index(attributes, p)) is not None), default=None)
    if first is None:
        return ["messages"] if count else []
    quirk = (
        1 if not count and len(attributes) < LIMIT - 28 else 0
    )  # some instrumentations leave number 0 to the system prompt
    if first > quirk or (count and len(attributes) >= LIMIT - 8):
        return ["messages"]
    return ["attributes"] if count else []


def _fill_call(
    record: dict[str, Any],
    light: names.Light,
    attributes: Mapping[str, Any],
    conversation: dialogue.Dialogue,
    faults: list[Fault],
) -> None:
    parameters, tools = _parameters(attributes, faults)
    record |= {
        "provider": light.provider,
        "model": names.requested_model(attributes) or light.model,
        "tokens": line_tokens(light.usage),
        "cost_usd": light.cost,
        "finish_reason": light.finish_reason or conversation.finish_reason,
        "messages": conversation.messages,
        "response": conversation.response,
    }
    if len(conversation.choices) > 1:
        record["choices"] = conversation.choices
    if conversation.system is not None:
        record["system_prompt"] = conversation.system
    if parameters:
        record["parameters"] = parameters
    if tools:
        record["tools"] = tools


def _fill_work(
    record: dict[str, Any],
    light: names.Light,
    attributes: Mapping[str, Any],
    conversation: dialogue.Dialogue,
    events: list[dict[str, Any]],
) -> None:
    if light.kind == TOOL:
        _fill_tool(record, light, attributes, events)
        return
    if light.model:
        record |= {"provider": light.provider, "model": light.model}
    if light.kind in (AGENT, ORCHESTRATOR) and any(key.startswith("gen_ai.") for key in conversation.from_keys):
        record |= {"messages": conversation.messages, "response": conversation.response}
        if conversation.system is not None:
            record["system_prompt"] = conversation.system
    for key, sources in (("parameters", _GIVEN), ("result", _RESULT)):
        value = next((attributes[name] for name in sources if attributes.get(name) is not None), None)
        if value is not None:
            record[key] = parsed(value)


def _fill_tool(
    record: dict[str, Any], light: names.Light, attributes: Mapping[str, Any], events: list[dict[str, Any]]
) -> None:
    record["tool_name"] = light.name
    arguments = next((attributes[name] for name in _GIVEN if attributes.get(name) not in _EMPTY), None)
    if arguments is None:
        arguments = next((attributes[name] for name in _GIVEN if attributes.get(name) is not None), None)
    result = next((attributes[name] for name in _RESULT if attributes.get(name) not in _EMPTY), None)
    if arguments is None and not _is_schema(schema := parsed(attributes.get("tool.parameters"))):
        arguments = schema
    call_id = first_text(attributes, _CALL_ID)
    for event in events:
        fields = dialogue.fields_of(event)
        if event.get("name") == _TOOL_MESSAGE and arguments is None:
            arguments = fields.get("content", fields.get("arguments"))
            call_id = call_id or first_text(fields, ("id", "tool_call_id"))
        elif event.get("name") == _CHOICE and result is None:
            result = fields.get("message", fields.get("content"))
            call_id = call_id or first_text(fields, ("id", "tool_call_id"))
        elif event.get("name") in _EXECUTION_EVENTS and result is None:
            result = fields.get("output", fields.get("result"))
    record["parameters"] = tool_arguments(arguments)
    record["result"] = tool_result(result)
    call_id = call_id or _id_in(parsed(result))
    if call_id:
        record["tool_call_id"] = call_id


def _is_schema(value: Any) -> bool:
    if not isinstance(value, Mapping):
        return False
    return "properties" in value or all(isinstance(v, Mapping) and "type" in v for v in value.values())


def _id_in(result: Any) -> str:
    """Return the id of the call that LangChain's tool message answers."""
    data = result.get("data", result.get("output", result)) if isinstance(result, Mapping) else None
    return first_text(data, ("tool_call_id",)) if isinstance(data, Mapping) else ""


def _parameters(attributes: Mapping[str, Any], faults: list[Fault]) -> tuple[dict[str, Any], list[Any]]:
    """Return the parameters and the tools of a request, in the words of a chat request."""
    inside: dict[str, Any] = {}
    for key in _PARAMETER_OBJECTS:
        value = as_json(attributes, key, faults)
        if isinstance(value, dict):
            inside = value
            break
    out = {key: value for key, value in inside.items() if key not in _NO_PARAMETERS and value is not None}
    if all(key in inside for key in _OF_AN_ANSWER) or _DEFAULTS_OF in attributes:
        out = {key: value for key, value in out.items() if _ANSWER_DEFAULTS.get(key) != value}
    for key, value in attributes.items():
        word = _parameter_name(key)
        if word is not None and word not in _NO_PARAMETERS and value not in (None, ""):
            out.setdefault(word, value)
    return out, [tool_definition(tool) for tool in _tools(attributes, inside, faults) if isinstance(tool, dict)]


def _parameter_name(key: str) -> str | None:
    """Return the parameter that an attribute holds; None if it holds none."""
    word: str | None = _VERCEL_SETTINGS.get(key)
    if key.startswith(_REQUEST):
        word = key.removeprefix(_REQUEST)
        word = None if "." in word and word not in _RENAMED else _RENAMED.get(word, word)
    for prefix in _OPENAI:
        if key.startswith(prefix):
            word = key.removeprefix(prefix)
    return word


def _tools(attributes: Mapping[str, Any], inside: Mapping[str, Any], faults: list[Fault]) -> list[Any]:
    """Return the tool definitions from the first place that holds any."""
    tools: Any = next((value for name in _TOOL_LISTS if (value := as_json(attributes, name, faults))), None)
    if isinstance(tools, list) and tools:
        return [parsed(tool) for tool in tools]
    listed = [parsed(tool.get("tool", {}).get("json_schema")) for tool in numbered(attributes, "llm.tools")]
    listed = [tool for tool in listed if isinstance(tool, dict)]
    listed = listed or [_function(tool) for tool in numbered(attributes, "llm.request.functions")]
    listed = listed or _dicts(inside.get("tools"))
    for key in ("langfuse.observation.input", "input.value"):
        whole = parsed(attributes.get(key)) if not listed else None
        listed = listed or (_dicts(whole.get("tools")) if isinstance(whole, dict) else [])
    return listed


def _function(tool: Mapping[str, Any]) -> dict[str, Any]:
    return {**tool, "type": "function", "parameters": parsed(tool.get("parameters"))}


def _failure(status: Mapping[str, Any], events: list[dict[str, Any]], attributes: Mapping[str, Any]) -> str | None:
    message = _text(status.get("message"))
    if message:
        return message
    for event in events:
        if event.get("name") == "exception":
            found = first_text(event["attributes"], ("exception.message", "exception.type"))
            if found:
                return found
    return first_text(attributes, (names.ERROR_TYPE,)) or None


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
        found = load(as_otlp(raw), faults)
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
