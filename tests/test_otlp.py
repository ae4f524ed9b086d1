"""OpenTelemetry: what the official SDK and its exporters write, and files by hand, read as spans."""

from __future__ import annotations

import itertools
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from canonical import state
from google.protobuf.json_format import MessageToJson
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry._logs import LogRecord
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.json.file import FileSpanExporter
from opentelemetry.exporter.otlp.json.file._log_exporter import FileLogExporter
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Link, SpanKind, Status, StatusCode, Tracer, get_current_span, set_span_in_context

import anton_notebook as anb
from anton_notebook.errors import BodyUnavailable
from anton_notebook.sources import Reader, otlp
from anton_notebook.span import Flag
from anton_notebook.store import Store

DATA = Path(__file__).parent / "data"
RESOURCE = Resource({"service.name": "travel", "host.cpus": 8})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "spans.jsonl"


def tracer_into(path: Path) -> Tracer:
    provider = TracerProvider(resource=RESOURCE)
    provider.add_span_processor(SimpleSpanProcessor(FileSpanExporter(path)))
    return provider.get_tracer("tests", "1.2", schema_url="https://opentelemetry.io/schemas/1.37.0")


def only(path: Path | str, kind: str | None = None) -> anb.Span:
    traces = anb.read_traces(path)
    frame = traces.spans_df()
    if kind is not None:
        frame = frame[frame["kind"] == kind]
    assert len(frame) == 1
    return traces.span(frame["span_id"].iloc[0])


def read_at_once(path: Path) -> dict[str, Any]:
    store = Store()
    reader = Reader([path], store)
    reader.scan()
    reader.close()
    return state(store)


def one_call(path: Path, attributes: Mapping[str, Any], events: Sequence[tuple[str, dict[str, Any]]] = ()) -> anb.Span:
    with tracer_into(path).start_as_current_span("a call", attributes=dict(attributes)) as span:
        for name, fields in events:
            span.add_event(name, fields)
    return only(path)


# -- the vocabularies


def test_a_run_in_the_present_wording_of_the_genai_conventions(file: Path) -> None:
    tracer = tracer_into(file)
    with tracer.start_as_current_span(
        "invoke_agent Planner", attributes={"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "Planner"}
    ):
        with tracer.start_as_current_span("plan"):
            call = {
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": "openai",
                "gen_ai.request.model": "gpt-4o",
                "gen_ai.response.model": "gpt-4o-2024-08-06",
                "gen_ai.usage.input_tokens": 1000,
                "gen_ai.usage.output_tokens": 100,
                "gen_ai.usage.cache_read.input_tokens": 200,
                "gen_ai.request.temperature": 0.5,
                "gen_ai.request.stop_sequences": ["END"],
                "gen_ai.response.finish_reasons": ["tool_calls"],
                "gen_ai.system_instructions": json.dumps([{"type": "text", "content": "Be kind."}]),
                "gen_ai.input.messages": json.dumps([
                    {"role": "user", "parts": [{"type": "text", "content": "Paris?"}]},
                    {"role": "assistant", "parts": [{"type": "tool_call", "id": "c0", "name": "where", "arguments": {"q": 1}}]},
                    {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c0", "result": "FR"}]},
                ]),
                "gen_ai.output.messages": json.dumps([
                    {"role": "assistant", "parts": [
                        {"type": "text", "content": "I ask."},
                        {"type": "tool_call", "id": "c1", "name": "weather", "arguments": {"place": "Paris"}},
                    ], "finish_reason": "tool_calls"}
                ]),
                "gen_ai.tool.definitions": json.dumps([{"type": "function", "name": "weather", "parameters": {"type": "object"}}]),
            }  # fmt: skip
            with tracer.start_as_current_span("chat gpt-4o", kind=SpanKind.CLIENT, attributes=call):
                pass
            tool = {
                "gen_ai.operation.name": "execute_tool",
                "gen_ai.tool.name": "weather",
                "gen_ai.tool.call.arguments": '{"place": "Paris"}',
                "gen_ai.tool.call.result": "rain",
            }
            with tracer.start_as_current_span("execute_tool weather", attributes=tool):
                pass
    traces = anb.read_traces(file)
    assert len(traces.problems_df()) == 0
    frame = traces.spans_df().set_index("name")
    assert frame["kind"].to_dict() == {
        "Planner": "orchestrator",
        "plan": "internal",
        "gpt-4o": "llm",
        "weather": "tool",
    }
    assert set(frame["agent"]) == {"Planner"}
    assert frame["depth"].to_dict() == {"Planner": 0, "plan": 1, "gpt-4o": 2, "weather": 2}
    row = frame.loc["gpt-4o"]
    assert (row["input_tokens"], row["output_tokens"], row["cached_tokens"]) == (1000, 100, 200)
    assert row["cost_usd"] == pytest.approx((800 * 2.5 + 200 * 1.25 + 100 * 10) / 1e6)
    assert (row["provider"], row["finish_reason"]) == ("openai", "tool_calls")
    llm = traces.span(row["span_id"])
    request = llm.request
    assert (request.model, request.system, request.parameters) == (
        "gpt-4o",
        "Be kind.",
        {"temperature": 0.5, "stop": ["END"]},
    )
    assert request.messages == [
        {"role": "user", "content": "Paris?"},
        {"role": "assistant", "content": None, "tool_calls": [
            {"id": "c0", "type": "function", "function": {"name": "where", "arguments": '{"q": 1}'}}]},
        {"role": "tool", "tool_call_id": "c0", "content": "FR"},
    ]  # fmt: skip
    assert request.tools == [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]
    assert llm.response.text == "I ask."
    assert llm.response.tool_calls == [{"id": "c1", "name": "weather", "arguments": {"place": "Paris"}}]
    calls = traces.tool_calls_df()
    assert calls[["name", "agent", "parameters", "result"]].to_dict("records") == [
        {"name": "weather", "agent": "Planner", "parameters": {"place": "Paris"}, "result": "rain"}
    ]
    run = traces.runs_df().iloc[0]
    assert (run["name"], run["llm_calls"], run["tool_calls"], run["status"]) == ("Planner", 1, 1, "ok")


def test_the_former_wording_with_numbered_prompts(file: Path) -> None:
    span = one_call(file, {
        "gen_ai.system": "openai", "llm.request.type": "chat", "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.usage.prompt_tokens": 7, "gen_ai.usage.completion_tokens": 3, "gen_ai.usage.cache_read_input_tokens": 2,
        "gen_ai.prompt.0.role": "system", "gen_ai.prompt.0.content": "S",
        "gen_ai.prompt.1.role": "user", "gen_ai.prompt.1.content": "U",
        "gen_ai.prompt.2.role": "assistant",
        "gen_ai.prompt.2.tool_calls.0.id": "t", "gen_ai.prompt.2.tool_calls.0.name": "f",
        "gen_ai.prompt.2.tool_calls.0.arguments": '{"a": 1}',
        "gen_ai.prompt.3.role": "tool", "gen_ai.prompt.3.tool_call_id": "t", "gen_ai.prompt.3.content": "R",
        "gen_ai.completion.0.role": "assistant", "gen_ai.completion.0.content": "A", "gen_ai.completion.0.finish_reason": "stop",
        "llm.request.functions.0.name": "f", "llm.request.functions.0.parameters": '{"type": "object"}',
    })  # fmt: skip
    assert (span.kind, span.provider, span.input_tokens, span.output_tokens, span.cached_tokens) == (
        "llm",
        "openai",
        7,
        3,
        2,
    )
    assert span.finish_reason == "stop"
    assert [(m["role"], m["content"]) for m in span.request.messages] == [
        ("system", "S"), ("user", "U"), ("assistant", None), ("tool", "R")
    ]  # fmt: skip
    assert span.request.messages[2]["tool_calls"][0]["function"] == {"name": "f", "arguments": '{"a": 1}'}
    assert span.request.messages[3]["tool_call_id"] == "t"
    assert span.request.tools == [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
    assert span.response.text == "A"


def test_ten_numbered_messages_keep_their_order(file: Path) -> None:
    attributes = {f"gen_ai.prompt.{i}.content": str(i) for i in range(12)} | {"gen_ai.request.model": "m"}
    assert [m["content"] for m in one_call(file, attributes).request.messages] == [str(i) for i in range(12)]


EVENTS = [
    ("gen_ai.system.message", {"content": "S"}),
    ("gen_ai.user.message", {"content": "U", "role": "user"}),
    ("gen_ai.choice", {"index": 0, "finish_reason": "stop", "message": '{"role": "assistant", "content": "A"}'}),
]
CONTENT = [
    (
        "gen_ai.content.prompt",
        {"gen_ai.prompt": '[{"role": "system", "content": "S"}, {"role": "user", "content": "U"}]'},
    ),
    ("gen_ai.content.completion", {"gen_ai.completion": '[{"role": "assistant", "content": "A"}]'}),
]
DETAILS = [
    ("gen_ai.client.inference.operation.details", {
        "gen_ai.input.messages": '[{"role": "system", "parts": [{"type": "text", "content": "S"}]},'
                                 ' {"role": "user", "parts": [{"type": "text", "content": "U"}]}]',
        "gen_ai.output.messages": '[{"role": "assistant", "parts": [{"type": "text", "content": "A"}]}]'}),
]  # fmt: skip


@pytest.mark.parametrize("events", [EVENTS, CONTENT, DETAILS], ids=["messages", "content", "details"])
def test_messages_as_events_of_the_span(file: Path, events: list[tuple[str, dict[str, Any]]]) -> None:
    span = one_call(file, {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m"}, events)
    assert [(m["role"], m["content"]) for m in span.request.messages] == [("system", "S"), ("user", "U")]
    assert span.response.text == "A"


def test_messages_as_log_records_in_a_file_of_their_own(tmp_path: Path) -> None:
    tracer = tracer_into(tmp_path / "spans.jsonl")
    logs = LoggerProvider()
    logs.add_log_record_processor(SimpleLogRecordProcessor(FileLogExporter(tmp_path / "logs.jsonl")))
    logger = logs.get_logger("tests")
    with tracer.start_as_current_span(
        "chat m", attributes={"gen_ai.operation.name": "chat", "gen_ai.request.model": "m"}
    ):
        now = set_span_in_context(get_current_span())
        logger.emit(LogRecord(context=now, event_name="gen_ai.user.message", body={"content": "U"}))
        body = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "A"}}
        logger.emit(LogRecord(context=now, event_name="gen_ai.choice", body=body))
    span = only(tmp_path)
    assert span.request.messages == [{"role": "user", "content": "U"}]
    assert span.response.text == "A"
    assert [log["name"] for log in span.attributes["logs"]] == ["gen_ai.user.message", "gen_ai.choice"]
    assert len(anb.read_traces(tmp_path).problems_df()) == 0


def test_openinference(file: Path) -> None:
    span = one_call(file, {
        "openinference.span.kind": "LLM", "llm.provider": "openai", "llm.model_name": "gpt-4o",
        "llm.invocation_parameters": '{"model": "gpt-4o", "temperature": 0.1, "max_tokens": null}',
        "llm.input_messages.0.message.role": "user",
        "llm.input_messages.0.message.contents.0.message_content.type": "text",
        "llm.input_messages.0.message.contents.0.message_content.text": "What is 23 times 87?",
        "llm.input_messages.0.message.contents.1.message_content.type": "image",
        "llm.input_messages.0.message.contents.1.message_content.image.image.url": "x.png",
        "llm.input_messages.1.message.role": "assistant",
        "llm.input_messages.1.message.tool_calls.0.tool_call.id": "c",
        "llm.input_messages.1.message.tool_calls.0.tool_call.function.name": "multiply",
        "llm.input_messages.1.message.tool_calls.0.tool_call.function.arguments": '{"a": 23}',
        "llm.input_messages.2.message.role": "tool", "llm.input_messages.2.message.content": "2001",
        "llm.input_messages.2.message.tool_call_id": "c",
        "llm.output_messages.0.message.role": "assistant", "llm.output_messages.0.message.content": "2001.",
        "llm.tools.0.tool.json_schema": '{"type": "function", "function": {"name": "multiply"}}',
        "llm.token_count.prompt": 229, "llm.token_count.completion": 21, "llm.token_count.prompt_details.cache_read": 128,
        "llm.cost.total": 0.25, "input.value": "{}", "output.value": "2001.",
    })  # fmt: skip
    assert (span.kind, span.model, span.name) == ("llm", "gpt-4o", "gpt-4o")
    assert (span.input_tokens, span.output_tokens, span.cached_tokens, span.recorded_cost_usd) == (229, 21, 128, 0.25)
    first, second, third = span.request.messages
    assert first["content"][0] == {"type": "text", "text": "What is 23 times 87?"}
    assert first["content"][1]["type"] == "image"
    assert second["tool_calls"] == [
        {"id": "c", "type": "function", "function": {"name": "multiply", "arguments": '{"a": 23}'}}
    ]
    assert third == {"role": "tool", "content": "2001", "tool_call_id": "c"}
    assert span.request.parameters == {"temperature": 0.1}
    assert span.request.tools == [{"type": "function", "function": {"name": "multiply"}}]
    assert span.response.text == "2001."


def test_plain_texts_in_and_out(file: Path) -> None:
    span = one_call(
        file, {"openinference.span.kind": "LLM", "llm.model_name": "m", "input.value": "Hi", "output.value": "Ho"}
    )
    assert span.request.messages == [{"role": "user", "content": "Hi"}]
    assert span.response.text == "Ho"


@pytest.mark.parametrize(
    ("attributes", "kind", "name"),
    [
        ({"openinference.span.kind": "RETRIEVER"}, "retriever", "a call"),
        ({"openinference.span.kind": "CHAIN"}, "chain", "a call"),
        ({"openinference.span.kind": "GUARDRAIL"}, "guardrail", "a call"),
        ({"openinference.span.kind": "TOOL", "tool.name": "ls"}, "tool", "ls"),
        ({"openinference.span.kind": "AGENT", "agent.name": "Bob"}, "orchestrator", "Bob"),
        ({"gen_ai.operation.name": "embeddings", "gen_ai.request.model": "e"}, "embeddings", "a call"),
        ({"gen_ai.operation.name": "invoke_workflow"}, "workflow", "a call"),
        ({"traceloop.span.kind": "task", "traceloop.entity.name": "t"}, "task", "a call"),
        ({"traceloop.span.kind": "tool", "traceloop.entity.name": "t"}, "tool", "t"),
        ({"gen_ai.request.model": "m"}, "llm", "m"),
        ({"http.request.method": "GET"}, "http", "a call"),
        ({"db.system": "postgresql"}, "db", "a call"),
        ({"anything": "else"}, "internal", "a call"),
    ],
)
def test_kinds_that_are_not_ours_keep_their_word(file: Path, attributes: dict[str, Any], kind: str, name: str) -> None:
    span = one_call(file, attributes)
    assert (span.kind, span.name) == (kind, name)


@pytest.mark.parametrize(
    ("provider", "model", "input_tokens"),
    [
        ("anthropic", "claude-sonnet-4-20250514", 200),
        ("aws.bedrock", "anthropic.claude-3-5-sonnet-20241022-v2:0", 200),
        ("gcp.vertex_ai", "claude-sonnet-4", 200),
        ("openai", "gpt-4o", 1200),
        ("gcp.vertex_ai", "gemini-2.5-pro", 1200),
    ],
)
def test_cached_tokens_are_counted_as_the_vendor_counts_them(
    file: Path, provider: str, model: str, input_tokens: int
) -> None:
    span = one_call(file, {
        "gen_ai.operation.name": "chat", "gen_ai.provider.name": provider, "gen_ai.request.model": model,
        "gen_ai.usage.input_tokens": 1200, "gen_ai.usage.output_tokens": 0, "gen_ai.usage.cache_read.input_tokens": 1000,
    })  # fmt: skip
    assert (span.input_tokens, span.cached_tokens) == (input_tokens, 1000)


def test_agents_own_tokens_are_not_added_to_those_of_their_calls(file: Path) -> None:
    attributes = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "A", "gen_ai.usage.input_tokens": 50}
    span = one_call(file, attributes)
    assert span.input_tokens is None
    assert span.attributes["gen_ai.usage.input_tokens"] == 50


def test_nothing_of_the_original_is_dropped(file: Path) -> None:
    attributes = {
        "text": "T", "number": 2**62, "fraction": 0.5, "flag": True, "texts": ["a", "b"], "numbers": [1, 2],
        "status": "mine", "resource": "mine too", "openinference.span.kind": "CHAIN",
    }  # fmt: skip
    tracer = tracer_into(file)
    with tracer.start_as_current_span("before") as before:
        link = Link(before.get_span_context(), {"why": "retry"})
    with tracer.start_as_current_span("S", attributes=attributes, links=[link]) as span:
        span.add_event("seen", {"at": 3})
        span.set_status(Status(StatusCode.ERROR, "it broke"))
    read = only(file, "chain")
    found = read.attributes
    assert {key: found[key] for key in attributes} == attributes
    assert found["otlp.status"] == {"code": 2, "message": "it broke"}
    assert found["otlp.resource"]["attributes"] == dict(RESOURCE.attributes)
    assert (found["scope"]["name"], found["scope"]["version"]) == ("tests", "1.2")
    assert found["scope"]["schemaUrl"] == "https://opentelemetry.io/schemas/1.37.0"
    assert [(event["name"], event["attributes"]) for event in found["events"]] == [("seen", {"at": 3})]
    assert found["links"][0]["attributes"] == {"why": "retry"}
    assert found["links"][0]["spanId"] == f"{before.get_span_context().span_id:016x}"
    assert (read.status, read.error) == ("error", "it broke")
    assert found["name"] == "S"


def test_an_exception_says_what_the_status_does_not(file: Path) -> None:
    with tracer_into(file).start_as_current_span("S") as span:
        span.set_status(Status(StatusCode.ERROR))
        span.record_exception(ValueError("no such place"))
    assert only(file).error == "no such place"
    assert anb.read_traces(file).runs_df()["status"].tolist() == ["error"]


def test_ids_and_times_are_those_of_the_sdk(file: Path) -> None:
    start = 1_760_000_000_123_456_789
    span = tracer_into(file).start_span("S", start_time=start)
    span.end(start + 1_500_000_999)
    read = only(file)
    context = span.get_span_context()
    assert (read.trace_id, read.span_id) == (f"{context.trace_id:032x}", f"{context.span_id:016x}")
    assert read.start == pd.Timestamp(start // 1000, unit="us", tz="UTC").to_pydatetime()
    assert read.duration_ms == 1500.001
    assert read.attributes["startTimeUnixNano"] == str(start)


def test_protobufs_own_json_with_ids_in_base64_gives_the_same_spans(tmp_path: Path) -> None:
    kept = InMemorySpanExporter()
    provider = TracerProvider(resource=RESOURCE)
    provider.add_span_processor(SimpleSpanProcessor(kept))
    provider.add_span_processor(SimpleSpanProcessor(FileSpanExporter(tmp_path / "lines.jsonl")))
    tracer = provider.get_tracer("tests")
    with tracer.start_as_current_span("agent", attributes={"gen_ai.operation.name": "invoke_agent"}):
        with tracer.start_as_current_span(
            "chat", attributes={"gen_ai.request.model": "gpt-4o", "gen_ai.usage.input_tokens": 3}
        ):
            pass
    document = tmp_path / "document.json"
    document.write_text(MessageToJson(encode_spans(kept.get_finished_spans())))
    assert state(anb.read_traces(document).store) == state(anb.read_traces(tmp_path / "lines.jsonl").store)


# -- files by hand


def test_a_file_of_the_collector() -> None:
    traces = anb.read_traces(DATA / "otlp_collector.jsonl")
    frame = traces.spans_df().set_index("span_id")
    assert len(traces.problems_df()) == 0
    assert frame["kind"].tolist() == ["http", "agent", "llm", "tool", "llm"]
    assert frame["agent"].astype(object).fillna("").tolist() == ["", "Guide", "Guide", "Guide", "Guide"]
    assert frame["line"].tolist() == [3, 2, 1, 1, 2]
    call = traces.span("00000000000000a3")
    assert (call.input_tokens, call.cached_tokens, call.output_tokens) == (200, 1000, 40)
    assert call.cost_usd == pytest.approx((200 * 3 + 1000 * 0.3 + 40 * 15) / 1e6)
    assert call.request.messages == [{"role": "user", "content": "Weather in Oslo?"}]
    assert call.request.parameters == {"max_tokens": 512, "temperature": 0.2, "stop": ["END"]}
    assert call.response.tool_calls == [{"id": "call_1", "name": "weather", "arguments": {"place": "Oslo"}}]
    assert traces.span("00000000000000a4").record["result"] == "rain, 7 °C"
    assert traces.span("00000000000000a5").error == "overloaded"
    web = traces.span("00000000000000a1")
    assert web.attributes["links"][0]["attributes"] == {"why": "retry"}
    assert web.attributes["resource"]["attributes"]["service.name"] == "web"
    assert web.attributes["traceState"] == "vendor=1"
    assert call.attributes["resource"]["attributes"] == {"service.name": "travel", "host.cpus": 8}
    assert traces.runs_df()["name"].tolist() == ["POST /ask"]


def test_a_document_over_many_lines_without_a_newline_at_its_end() -> None:
    traces = anb.read_traces(DATA / "otlp_document.json")
    frame = traces.spans_df()
    assert frame["kind"].tolist() == ["chain", "retriever", "llm"]
    call = traces.span("00000000000000b3")
    assert [m["content"] for m in call.request.messages] == ["Be short.", "Who wrote it?"]
    assert (call.response.text, call.recorded_cost_usd) == ("Nobody knows.", 0.5)
    assert call.attributes["resource"]["attributes"]["service.name"] == "rag"
    assert traces.span("00000000000000b2").attributes["retrieval.documents.0.document.score"] == 0.5
    assert len(traces.problems_df()) == 0


@pytest.mark.parametrize(
    "spelled", [{"indent": 1}, {"separators": (",", ":")}, {}], ids=["indented", "compact", "plain"]
)
@pytest.mark.parametrize("end", ["", "\n", "\n\n"], ids=["none", "newline", "blank line"])
@pytest.mark.parametrize("start", ["", "\ufeff"], ids=["plain", "BOM"])
def test_one_document_however_it_is_spelled(tmp_path: Path, spelled: dict[str, Any], end: str, start: str) -> None:
    value = json.loads((DATA / "otlp_document.json").read_text())
    path = tmp_path / "export.json"
    path.write_text(start + json.dumps(value, **spelled) + end)
    traces = anb.read_traces(path)
    assert state(traces.store) == state(anb.read_traces(DATA / "otlp_document.json").store)
    assert traces.span("00000000000000b3").response.text == "Nobody knows."
    assert len(traces.problems_df()) == 0


def test_a_list_of_requests_is_a_document_too(tmp_path: Path) -> None:
    lines = [json.loads(line) for line in (DATA / "otlp_collector.jsonl").read_text().splitlines()]
    path = tmp_path / "export.json"
    path.write_text(json.dumps(lines, indent=2))
    assert state(anb.read_traces(path).store) == state(anb.read_traces(DATA / "otlp_collector.jsonl").store)


# -- the agent of a span, whatever the order of arrival


def wire_span(number: int, parent: int | None, attributes: Mapping[str, str], trace: int = 1) -> dict[str, Any]:
    start = 1_760_000_000_000_000_000 + number * 1_000_000
    return {
        "traceId": f"{trace:032x}",
        "spanId": f"{number + 1:016x}",
        "parentSpanId": "" if parent is None else f"{parent + 1:016x}",
        "name": f"span {number}",
        "startTimeUnixNano": str(start),
        "endTimeUnixNano": str(start + 500_000),
        "attributes": [{"key": key, "value": {"stringValue": value}} for key, value in attributes.items()],
    }


def line(spans: Sequence[Mapping[str, Any]]) -> bytes:
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": list(spans)}]}]}).encode() + b"\n"


AGENTS = st.sampled_from(["Ann", "Bob", "orchestrator"])
PARTS = st.one_of(
    st.builds(lambda name: {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": name}, AGENTS),
    st.builds(
        lambda name: {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m", "gen_ai.agent.name": name}, AGENTS
    ),
    st.just({"gen_ai.operation.name": "chat", "gen_ai.request.model": "m"}),
    st.just({"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "ls"}),
    st.just({"openinference.span.kind": "CHAIN"}),
)


@st.composite
def forests(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Spans of one trace; a parent may come before or after its children and may be missing."""
    parts = draw(st.lists(PARTS, min_size=1, max_size=14))
    return [
        wire_span(i, draw(st.sampled_from([None, *range(max(0, i - 4), i), 90 + i % 2])), part)
        for i, part in enumerate(parts)
    ]


def agent_by_hand(span: Mapping[str, Any], by_id: Mapping[str, Mapping[str, Any]]) -> str:
    def says(span: Mapping[str, Any], key: str) -> str:
        return next((pair["value"]["stringValue"] for pair in span["attributes"] if pair["key"] == key), "")

    own = says(span, "gen_ai.agent.name")
    above = by_id.get(span["parentSpanId"])
    while not own and above is not None:
        if says(above, "gen_ai.operation.name") == "invoke_agent":
            own = says(above, "gen_ai.agent.name")
        above = by_id.get(above["parentSpanId"])
    return own


@given(forests(), st.randoms(use_true_random=False), st.integers(1, 4), st.booleans())
def test_a_span_belongs_to_its_nearest_agent_whatever_came_first(
    tmp_path_factory: pytest.TempPathFactory, spans: list[dict[str, Any]], shuffled: Any, size: int, look: bool
) -> None:
    folder = tmp_path_factory.mktemp("otlp")
    files = [folder / "a.jsonl", folder / "b.jsonl"]
    for path in files:
        path.touch()
    order = spans[:]
    shuffled.shuffle(order)
    store = Store()
    reader = Reader([folder], store)
    for start in range(0, len(order), size):
        with shuffled.choice(files).open("ab") as out:
            out.write(line(order[start : start + size]))
        if look:
            reader.scan()
    reader.scan()
    by_id = {span["spanId"]: span for span in spans}
    seen = [row for row in store.live_rows().tolist() if not store.c.flags[row] & Flag.PENDING]
    found = {store.ids[row]: store.classes[store.c.cls[row]].agent for row in seen}
    assert found == {key: agent_by_hand(span, by_id) for key, span in by_id.items()}
    assert state(store) == read_at_once(folder)
    assert reader.problems.count == 0
    reader.close()


def test_a_span_that_was_exported_twice_is_one(file: Path) -> None:
    spans = [
        wire_span(0, None, {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "A"}),
        wire_span(1, 0, {}),
    ]
    file.write_bytes(line(spans))
    store = Store()
    reader = Reader([file], store)
    reader.scan()
    revision = store.revision
    with file.open("ab") as out:
        out.write(line(spans))
    reader.scan()
    assert (store.revision, len(store.live_rows()), reader.problems.count) == (revision, 2, 0)


def test_a_circle_of_parents_is_said_and_does_no_harm(file: Path) -> None:
    file.write_bytes(line([wire_span(0, 1, {}), wire_span(1, 0, {}), wire_span(2, 1, {})]))
    traces = anb.read_traces(file)
    assert len(traces.spans_df()) == 3
    assert traces.problems_df()["field"].tolist() == ["parent_id"]


# -- what is broken


WHOLE = [line([wire_span(i, None, {}, trace=i + 1)]) for i in range(3)]
TORN = line([wire_span(7, None, {}, trace=9), wire_span(8, None, {}, trace=9)])
BROKEN = {
    "garbage": b"\x00\x01 garbage\n",
    "another kind of JSON": b'{"hello": 1}\n',
    "a list": b"[1, 2]\n",
    "a line cut in a value": TORN[:250] + b"\n",
    "half a key": b'{"resourceSp\n',
    "not a list": b'{"resourceSpans": 5}\n',
    "invalid UTF-8 around": b'\xff\xfe{"resourceSpans": []}\n',
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("at", [0, 1, 3], ids=["first", "second", "last"])
def test_a_broken_line_is_a_problem_and_loses_no_other(tmp_path: Path, broken: bytes, at: int) -> None:
    path = tmp_path / "spans.jsonl"
    path.write_bytes(b"".join([*WHOLE[:at], broken, *WHOLE[at:]]))
    if at == 0:
        path.write_bytes(WHOLE[0] + path.read_bytes())  # so that it is recognised
    traces = anb.read_traces(path)
    assert {f"{i + 1:032x}" for i in range(3)} <= set(traces.runs_df()["trace_id"])
    problems = traces.problems_df()
    assert problems["line"].tolist() == [at + 1 + (at == 0)]
    assert problems["offset"].iloc[0] == path.read_bytes().index(broken)


def test_whole_spans_of_a_torn_line_are_read_all_the_same(file: Path) -> None:
    spans = [wire_span(i, None, {"openinference.span.kind": "CHAIN"}, trace=50) for i in range(4)]
    request = {"resourceSpans": [{"resource": {"attributes": [{"key": "r", "value": {"intValue": 1}}]},
                                  "scopeSpans": [{"scope": {"name": "sc"}, "spans": spans}]}]}  # fmt: skip
    whole = json.dumps(request).encode()
    torn = whole[: whole.index(b'"span 3"')]
    file.write_bytes(WHOLE[2] + torn + WHOLE[1] + WHOLE[0])
    traces = anb.read_traces(file)
    frame = traces.spans_df()
    assert sorted(frame["kind"]) == ["chain"] * 3 + ["span"] * 3
    assert "3 whole spans of it were read" in traces.problems_df()["reason"].iloc[0]
    read = traces.span(spans[2]["spanId"], spans[2]["traceId"])
    assert (read.attributes["resource"]["attributes"], read.attributes["scope"]["name"]) == ({"r": 1}, "sc")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"startTimeUnixNano": "soon"}, "startTimeUnixNano"),
        ({"startTimeUnixNano": {"low": 1}}, "startTimeUnixNano"),
        ({"endTimeUnixNano": "1"}, "endTimeUnixNano"),
        ({"attributes": {"no": "list"}}, "attributes"),
        ({"attributes": [5, {"key": "openinference.span.kind", "value": {"stringValue": "CHAIN"}}]}, "attributes"),
        ({"name": 5}, "name"),
        ({"kind": []}, "kind"),
        ({"status": "bad"}, "status"),
        ({"parentSpanId": 7}, "parentSpanId"),
        ({"attributes": [{"key": "gen_ai.request.model", "value": {"stringValue": "m"}},
                         {"key": "gen_ai.usage.input_tokens", "value": {"stringValue": "many"}}]}, "gen_ai.usage.input_tokens"),
        ({"attributes": [{"key": "gen_ai.request.model", "value": {"stringValue": "m"}},
                         {"key": "llm.cost.total", "value": {"doubleValue": "NaN"}}]}, "llm.cost.total"),
    ],
)  # fmt: skip
def test_a_wrong_field_is_named_and_the_span_is_there(file: Path, change: dict[str, Any], field: str) -> None:
    bad = {**wire_span(5, None, {}), **change}
    file.write_bytes(line([wire_span(4, None, {}), bad, wire_span(6, None, {})]))
    traces = anb.read_traces(file)
    assert len(traces.spans_df()) == 3
    assert traces.problems_df()["field"].tolist()[:1] == [field]
    for span_id in traces.spans_df()["span_id"]:
        assert traces.span(span_id).attributes["spanId"] == span_id


@pytest.mark.parametrize("missing", ["traceId", "spanId"])
def test_a_span_without_ids_is_a_problem(file: Path, missing: str) -> None:
    file.write_bytes(line([{**wire_span(0, None, {}), missing: "0" * 16}, wire_span(1, None, {})]))
    traces = anb.read_traces(file)
    assert len(traces.spans_df()) == 1
    assert traces.problems_df()["field"].tolist() == [missing]


def test_a_huge_line_is_skipped_and_said(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(otlp, "LIMIT", 4096)
    huge = line([wire_span(9, None, {"big": "x" * 10_000}, trace=99)])
    file.write_bytes(WHOLE[0] + huge + WHOLE[1])
    traces = anb.read_traces(file)
    assert len(traces) == 2
    assert "over the limit of 4096" in traces.problems_df()["reason"].iloc[0]


def test_deep_nesting_in_an_attribute_stays_readable(file: Path) -> None:
    deep: dict[str, Any] = {"stringValue": "core"}
    for _ in range(60):
        deep = {"arrayValue": {"values": [deep]}}
    span = wire_span(0, None, {})
    span["attributes"] = [{"key": "deep", "value": deep}]
    file.write_bytes(line([span, wire_span(1, None, {})]))
    traces = anb.read_traces(file)
    assert len(traces.spans_df()) == 2
    assert "deep" in traces.span(span["spanId"]).attributes


def test_cut_off_messages_are_shown_as_text_and_said(file: Path) -> None:
    span = one_call(file, {"gen_ai.request.model": "m", "gen_ai.input.messages": '[{"role": "user", "par'})
    assert span.request.messages == [{"role": "user", "content": '[{"role": "user", "par'}]
    assert "gen_ai.input.messages" in span.record["_faults"][0]


@given(st.data())
def test_any_damage_to_a_file_is_survived(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    path = tmp_path_factory.mktemp("otlp") / "spans.jsonl"
    whole = bytearray((DATA / "otlp_collector.jsonl").read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(20, len(whole) - 1))
        cut = data.draw(st.integers(0, 300))
        whole[at : at + cut] = data.draw(st.binary(max_size=6))
    path.write_bytes(bytes(whole))
    traces = anb.read_traces(path)
    for span_id, trace_id in traces.spans_df()[["span_id", "trace_id"]].itertuples(index=False):
        span = traces.span(span_id, trace_id)
        assert isinstance(span.attributes, dict)
    traces.problems_df()


TEXTS = st.text(max_size=8) | st.sampled_from(["0", "[]", "{}", '["x"]', "[1]"])
KEYS = st.sampled_from(["key", "value", "values", "role", "x"])
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)


def nodes(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every place in a JSON value, as (what holds it, key or index)."""
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield value, key
        yield from nodes(value[key])


@given(st.data())
def test_any_value_in_any_place_is_survived(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    path = tmp_path_factory.mktemp("otlp") / "spans.jsonl"
    lines = [json.loads(text) for text in (DATA / "otlp_collector.jsonl").read_text().splitlines()]
    lines.append(json.loads((DATA / "otlp_document.json").read_text()))
    for _ in range(data.draw(st.integers(1, 5))):
        places = list(nodes(lines))
        holder, key = places[data.draw(st.integers(0, len(places) - 1))]
        holder[key] = data.draw(JSON_VALUES)
    path.write_text(json.dumps({"resourceSpans": []}) + "\n" + "".join(json.dumps(value) + "\n" for value in lines))
    traces = anb.read_traces(path)
    for span_id, trace_id in traces.spans_df()[["span_id", "trace_id"]].itertuples(index=False):
        span = traces.span(span_id, trace_id)
        assert isinstance(span.attributes, dict)
        if span.kind == "llm":
            assert isinstance(span.response.text, str)
    traces.problems_df()


# -- live


def until(true: Callable[[], bool], seconds: float = 20.0) -> bool:
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def test_a_graph_grows_while_the_sdk_writes(file: Path) -> None:
    tracer = tracer_into(file)
    with tracer.start_as_current_span("before"):
        pass
    with anb.read_traces(file, follow=True) as traces:
        assert until(lambda: len(traces.spans_df()) == 1)
        agent = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "A"}
        with tracer.start_as_current_span("invoke_agent A", context=Context(), attributes=agent):
            for number in range(20):
                with tracer.start_as_current_span("chat", attributes={"gen_ai.request.model": f"m{number}"}):
                    pass
            assert until(lambda: len(traces.spans_df()) == 21)
            early = traces.spans_df()
            assert early.loc[early["kind"] == "llm", "agent"].isna().all()
        assert until(lambda: len(traces.spans_df()) == 22)
        frame = traces.spans_df()
        assert set(frame.loc[frame["kind"] == "llm", "agent"]) == {"A"}
        assert len(traces.problems_df()) == 0


def pieces(data: bytes, count: int) -> Iterator[bytes]:
    bounds = [len(data) * i // count for i in range(count + 1)]
    return (data[a:b] for a, b in itertools.pairwise(bounds))


@pytest.mark.parametrize("name", ["otlp_collector.jsonl", "otlp_document.json"])
@pytest.mark.parametrize("count", [2, 7, 60])
def test_a_file_that_comes_in_pieces_is_read_as_if_it_had_come_at_once(tmp_path: Path, name: str, count: int) -> None:
    path = tmp_path / name
    path.touch()
    store = Store()
    reader = Reader([path], store)
    for piece in pieces((DATA / name).read_bytes(), count):
        with path.open("ab") as out:
            out.write(piece)
        reader.scan()
    assert state(store) == read_at_once(DATA / name)
    assert reader.problems.count == 0
    reader.close()


def test_a_document_that_was_broken_off_gives_what_it_holds_and_the_rest_when_it_comes(tmp_path: Path) -> None:
    path = tmp_path / "export.json"
    whole = (DATA / "otlp_document.json").read_bytes()
    half = whole.index(b'"00000000000000b3"')
    path.write_bytes(whole[:half])
    os.utime(path, (time.time() - 60, time.time() - 60))
    store = Store()
    reader = Reader([path], store)
    reader.scan()
    assert sorted(store.ids[row] for row in store.live_rows()) == ["00000000000000b1", "00000000000000b2"]
    assert reader.problems.count == 1
    reader.scan()
    assert reader.problems.count == 1
    with path.open("ab") as out:
        out.write(whole[half:])
    reader.scan()
    assert state(store) == read_at_once(DATA / "otlp_document.json")
    reader.close()


def test_a_replaced_file_keeps_its_spans_and_says_that_their_texts_are_gone(file: Path) -> None:
    file.write_bytes(WHOLE[0] + WHOLE[1])
    traces = anb.read_traces(file)
    span = traces[f"{1:032x}"].spans[0]
    assert span.attributes["name"] == "span 0"
    file.write_bytes(WHOLE[2])
    traces.refresh()
    assert len(traces) == 3
    with pytest.raises(BodyUnavailable, match="replaced"):
        _ = span.attributes
    assert traces[f"{3:032x}"].spans[0].attributes["name"] == "span 2"


def test_other_files_beside_are_still_what_they_are(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(WHOLE[0])
    own = {"timestamp": "2026-01-01T00:00:00Z", "agent_name": "orchestrator", "trace_id": "t", "span_id": "s", "parent_id": None,
           "span_type": "llm_call", "model": "gpt-4o", "messages": [{"role": "user", "content": '"resourceSpans"'}]}  # fmt: skip
    (tmp_path / "b.jsonl").write_text(json.dumps(own) + "\n")
    traces = anb.read_traces(tmp_path)
    assert len(traces) == 2
    assert traces.span("s").kind == "llm"
    assert len(traces.problems_df()) == 0
