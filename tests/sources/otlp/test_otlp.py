"""OpenTelemetry: what the official SDK and its exporters write, in every wording, read as spans."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from google.protobuf.json_format import MessageToJson
from opentelemetry._logs import LogRecord
from opentelemetry.exporter.otlp.json.file import FileSpanExporter
from opentelemetry.exporter.otlp.json.file._log_exporter import FileLogExporter
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Link, SpanKind, Status, StatusCode, get_current_span, set_span_in_context

import anton_notebook as anb
from tests.support.canonical import state
from tests.support.otlp_by_hand import DATA, RESOURCE, one_call, only, tracer_into


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "spans.jsonl"


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
        ("anthropic", "claude-sonnet-4-20250514", 1200),
        ("aws.bedrock", "anthropic.claude-3-5-sonnet-20241022-v2:0", 1200),
        ("gcp.vertex_ai", "claude-sonnet-4", 1200),
        ("openai", "gpt-4o", 1200),
        ("gcp.vertex_ai", "gemini-2.5-pro", 1200),
    ],
)
def test_input_tokens_include_cached_ones_for_every_vendor(
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
    assert (call.input_tokens, call.cached_tokens, call.output_tokens) == (1200, 1000, 40)
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
