"""Spans as frameworks write them: tools, agents, texts and runs in each vocabulary."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import anton_notebook as anb
from anton_notebook.sources.otlp.values import tool_arguments, tool_result

START = 1_770_000_000_000_000_000
OPENINFERENCE = {"openinference.span.kind": "LLM", "llm.model_name": "gpt-4o-mini", "llm.provider": "openai"}
CALL = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o-mini"}
Write = Callable[..., anb.Traces]


def _value(value: Any) -> dict[str, Any]:
    if isinstance(value, int):
        return {"intValue": str(value)}
    return {"stringValue": value if isinstance(value, str) else json.dumps(value)}


def _pairs(attributes: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": _value(value)} for key, value in attributes.items()]


def span(
    number: int,
    name: str,
    attributes: dict[str, Any],
    parent: int | None = None,
    trace: int = 1,
    events: tuple[tuple[str, dict[str, Any]], ...] = (),
    **more: Any,
) -> dict[str, Any]:
    """Return one span of OTLP/JSON that starts `number` seconds after the first and takes half a second."""
    start = START + number * 10**9
    return {
        "traceId": f"{trace:032x}",
        "spanId": f"{number + 1:016x}",
        "parentSpanId": "" if parent is None else f"{parent + 1:016x}",
        "name": name,
        "startTimeUnixNano": str(start),
        "endTimeUnixNano": str(start + 5 * 10**8),
        "attributes": _pairs(attributes),
        "events": [{"name": n, "timeUnixNano": str(start), "attributes": _pairs(a)} for n, a in events],
        **more,
    }


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return a function that writes spans to a file and reads it."""

    def write_and_read(*spans: dict[str, Any]) -> anb.Traces:
        path = tmp_path / "spans.jsonl"
        path.write_text(json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": list(spans)}]}]}) + "\n")
        return anb.read_traces(path)

    return write_and_read


def call_of(traces: anb.Traces, at: int = 0) -> anb.Span:
    row = traces.spans_df(kind="llm").iloc[at]
    return traces.span(row.span_id, row.trace_id)


@pytest.mark.parametrize(
    ("recorded", "expected"),
    [
        ('{"args": [], "kwargs": {"river": "Elbe"}}', {"river": "Elbe"}),
        ('{"kwargs": {"river": "Elbe"}}', {"river": "Elbe"}),
        ('{"args": [], "sanitize_inputs_outputs": true, "kwargs": {"river": "Elbe"}}', {"river": "Elbe"}),
        ('{"tool_name": "depth", "tool_arguments": "{\\"river\\": \\"Elbe\\"}"}', {"river": "Elbe"}),
        ('{"args": ["Elbe"], "kwargs": {}}', "Elbe"),
        ('{"river": "Elbe"}', {"river": "Elbe"}),
        ("Elbe", "Elbe"),
    ],
)
def test_tool_arguments_are_unwrapped(recorded: str, expected: Any) -> None:
    assert tool_arguments(recorded) == expected


@pytest.mark.parametrize(
    ("recorded", "expected"),
    [
        ('{"type": "tool", "data": {"content": "4 m", "tool_call_id": "c1"}}', "4 m"),
        ('[{"type": "text", "text": "4 m"}]', "4 m"),
        ('[{"text": "4 m"}]', "4 m"),
        ('{"id": "c1", "name": "depth", "response": {"result": "4 m"}}', "4 m"),
        ('{"response": {"result": "4 m"}}', "4 m"),
        ('"4 m"', "4 m"),
        ('{"output": {"content": "4 m", "type": "tool"}}', "4 m"),
        ('{"depth": 4}', {"depth": 4}),
        ("4 m", "4 m"),
    ],
)
def test_tool_results_are_unwrapped(recorded: str, expected: Any) -> None:
    assert tool_result(recorded) == expected


SCHEMA = '{"properties": {"river": {"type": "string"}}, "type": "object"}'


@pytest.mark.parametrize(
    ("name", "attributes", "events"),
    [
        ("depth.run", {"openinference.span.kind": "TOOL", "input.value": '{"river": "Elbe"}', "output.value": "4 m",
                       "tool.parameters": SCHEMA}, ()),
        ("depth.__call__", {"openinference.span.kind": "TOOL", "input.value": '{"kwargs": {"river": "Elbe"}}',
                            "output.value": "4 m"}, ()),
        ("execute_tool depth", {"gen_ai.operation.name": "execute_tool", "gcp.vertex.agent.tool_call_args":
                                '{"river": "Elbe"}', "gcp.vertex.agent.tool_response": '{"response": {"result": "4 m"}}'}, ()),
        ("execute_tool depth", {"gen_ai.operation.name": "execute_tool"},
         (("gen_ai.tool.message", {"content": '{"river": "Elbe"}', "id": "c1"}),
          ("gen_ai.choice", {"message": '[{"text": "4 m"}]', "id": "c1"}))),
        ("depth", {"langfuse.observation.type": "tool", "langfuse.observation.output": "4 m",
                   "langfuse.observation.input": '{"args": [], "kwargs": {"river": "Elbe"}}'}, ()),
        ("ai.toolCall", {"ai.operationId": "ai.toolCall", "ai.toolCall.name": "depth",
                         "ai.toolCall.args": '{"river": "Elbe"}', "ai.toolCall.result": '"4 m"'}, ()),
        ("depth.tool", {"traceloop.span.kind": "tool", "traceloop.entity.input": '{"args": [], "kwargs": {"river": "Elbe"}}',
                        "traceloop.entity.output": "4 m"}, ()),
    ],
)  # fmt: skip
def test_tool_rows_in_each_vocabulary(write: Write, name: str, attributes: dict[str, Any], events: Any) -> None:
    row = write(span(0, name, attributes, events=events)).tool_calls_df().iloc[0]
    assert (row["name"], row.parameters, row.result) == ("depth", {"river": "Elbe"}, "4 m")


def test_langchain_tool_gets_named_arguments_from_the_answer(write: Write) -> None:
    answer = {
        "llm.output_messages.0.message.tool_calls.0.tool_call.id": "c1",
        "llm.output_messages.0.message.tool_calls.0.tool_call.function.name": "depth",
        "llm.output_messages.0.message.tool_calls.0.tool_call.function.arguments": '{"river": "Elbe"}',
    }
    result = {"type": "tool", "data": {"content": "4 m", "tool_call_id": "c1"}}
    tool = {"openinference.span.kind": "TOOL", "tool.name": "depth", "input.value": "Elbe", "output.value": result}
    root = {"openinference.span.kind": "CHAIN", "metadata": {"lc_agent_name": "surveyor"}}
    traces = write(
        span(0, "surveyor", root), span(1, "ChatOpenAI", {**OPENINFERENCE, **answer}, 0), span(2, "depth", tool, 0)
    )
    row = traces.tool_calls_df().iloc[0]
    assert (row.parameters, row.result, row.agent) == ({"river": "Elbe"}, "4 m", "surveyor")


@pytest.mark.parametrize(
    ("name", "attributes", "agent"),
    [
        ("surveyor.run", {"openinference.span.kind": "AGENT", "input.value": "{}"}, "surveyor"),
        ("surveyor._execute_core", {"openinference.span.kind": "AGENT", "graph.node.id": "surveyor"}, "surveyor"),
        ("surveyor", {"openinference.span.kind": "CHAIN", "metadata": {"lc_agent_name": "surveyor"}}, "surveyor"),
        ("invoke_agent surveyor", {"gen_ai.operation.name": "invoke_agent"}, "surveyor"),
        ("surveyor", {"langfuse.observation.type": "agent"}, "surveyor"),
        ("claude_code.interaction", {}, "claude_code"),
    ],
)
def test_agent_names_in_each_vocabulary(write: Write, name: str, attributes: dict[str, Any], agent: str) -> None:
    frame = write(span(0, name, attributes)).spans_df()
    assert (frame.kind.iloc[0], frame.agent.iloc[0]) == ("orchestrator", agent)


def test_framework_roots_are_no_agents(write: Write) -> None:
    root = {"openinference.span.kind": "AGENT"}
    inner = {"openinference.span.kind": "AGENT", "graph.node.id": "surveyor"}
    frame = write(span(0, "Agent workflow", root), span(1, "surveyor", inner, 0)).spans_df()
    assert dict(zip(frame["name"], frame.kind, strict=True)) == {"Agent workflow": "workflow", "surveyor": "agent"}


def test_create_agent_spans_are_no_runs(write: Write) -> None:
    made = span(0, "create_agent a", {"gen_ai.operation.name": "create_agent", "gen_ai.agent.name": "a"})
    ran = span(1, "invoke_agent a", {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "a"}, trace=2)
    assert write(made, ran).runs_df()["name"].tolist() == ["a"]


LANGCHAIN = {"messages": [[
    {"lc": 1, "type": "constructor", "id": ["langchain", "SystemMessage"], "kwargs": {"content": "Be brief"}},
    {"lc": 1, "type": "constructor", "id": ["langchain", "HumanMessage"], "kwargs": {"content": "How deep?"}},
]]}  # fmt: skip
GENERATIONS = {"generations": [[{"text": "4 m", "message": {
    "lc": 1, "type": "constructor", "id": ["langchain", "AIMessage"], "kwargs": {"content": "4 m"}}}]]}  # fmt: skip
PARTS = [
    {"role": "system", "parts": [{"type": "text", "content": "Be brief"}]},
    {"role": "user", "parts": [{"type": "text", "content": "How deep?"}]},
]
LOGFIRE = [
    {"event.name": "gen_ai.system.message", "content": "Be brief", "role": "system"},
    {"event.name": "gen_ai.user.message", "content": "How deep?", "role": "user"},
    {"event.name": "gen_ai.choice", "message": {"role": "assistant", "content": "4 m"}, "index": 0},
]
CHAT = [{"role": "system", "content": "Be brief"}, {"role": "user", "content": "How deep?"}]


@pytest.mark.parametrize(
    ("attributes", "events"),
    [
        ({**CALL, "gen_ai.prompt": LANGCHAIN, "gen_ai.completion": GENERATIONS, "langsmith.span.kind": "llm"}, ()),
        ({**CALL, "gen_ai.input.messages": PARTS, "gen_ai.output.messages":
          [{"role": "assistant", "parts": [{"type": "text", "content": "4 m"}]}]}, ()),
        ({"langfuse.observation.type": "generation", "langfuse.observation.model.name": "gpt-4o-mini",
          "langfuse.observation.input": {"messages": CHAT}, "langfuse.observation.output":
          {"role": "assistant", "content": "4 m"}}, ()),
        ({"ai.operationId": "ai.generateText.doGenerate", "ai.model.id": "gpt-4o-mini", "ai.response.text": "4 m",
          "ai.prompt.messages": [{"role": "system", "content": "Be brief"},
                                 {"role": "user", "content": [{"type": "text", "text": "How deep?"}]}]}, ()),
        ({**CALL, "events": LOGFIRE}, ()),
        (CALL, (("gen_ai.system.message", {"content": '[{"text": "Be brief"}]'}),
                ("gen_ai.user.message", {"content": '[{"text": "How deep?"}]'}),
                ("gen_ai.choice", {"message": '[{"text": "4 m"}]', "finish_reason": "end_turn"}))),
        ({**OPENINFERENCE, "input.value": {"contents": [{"role": "user", "parts": [{"text": "How deep?"}]}],
                                           "system_instruction": {"parts": [{"text": "Be brief"}]}},
          "output.value": {"candidates": [{"content": {"role": "model", "parts": [{"text": "4 m"}]}}]}}, ()),
    ],
)  # fmt: skip
def test_texts_in_each_vocabulary(write: Write, attributes: dict[str, Any], events: Any) -> None:
    traces = write(span(0, "call", attributes, events=events))
    assert traces.messages_df().text.tolist() == ["Be brief", "How deep?", "4 m"]
    assert call_of(traces).response.text == "4 m"


def test_items_of_one_answer_are_joined_and_reasoning_stays_apart(write: Write) -> None:
    output = [
        {"role": "assistant", "parts": [{"type": "reasoning", "content": "A tool knows."}]},
        {"role": "assistant", "parts": [{"type": "tool_call", "id": "c1", "name": "depth", "arguments": {"river": "Elbe"}}]},
        {"role": "assistant", "parts": [{"type": "text", "content": "One moment."}]},
    ]  # fmt: skip
    traces = write(span(0, "chat", {**CALL, "gen_ai.input.messages": PARTS, "gen_ai.output.messages": output}))
    answer = call_of(traces).response
    assert answer.text == "One moment."
    assert [call["name"] for call in answer.tool_calls] == ["depth"]


def test_alternative_answers_are_all_kept(write: Write) -> None:
    output = [
        {"role": "assistant", "parts": [{"type": "text", "content": text}], "finish_reason": "stop"}
        for text in ("4 m", "5 m")
    ]
    traces = write(span(0, "chat", {**CALL, "gen_ai.input.messages": PARTS, "gen_ai.output.messages": output}))
    call = call_of(traces)
    assert call.response.text == "4 m"
    assert [choice["content"] for choice in call.record["choices"]] == ["4 m", "5 m"]
    assert traces.spans_df().finish_reason.iloc[0] == "stop"


def test_parallel_calls_recorded_as_two_messages_are_one_turn(write: Write) -> None:
    calls = {
        f"llm.input_messages.{n}.message.{key}": value
        for n in (1, 2)
        for key, value in {
            "role": "assistant",
            "tool_calls.0.tool_call.id": f"c{n}",
            "tool_calls.0.tool_call.function.name": "depth",
            "tool_calls.0.tool_call.function.arguments": "{}",
        }.items()
    }
    first = {"llm.input_messages.0.message.role": "user", "llm.input_messages.0.message.content": "How deep?"}
    result = {f"llm.input_messages.3.message.{key}": value for key, value in (("role", "tool"), ("tool_call_id", "c1"))}
    messages = call_of(write(span(0, "response", {**OPENINFERENCE, **first, **calls, **result}))).request.messages
    assert [message["role"] for message in messages] == ["user", "assistant", "tool"]
    assert [call["id"] for call in messages[1]["tool_calls"]] == ["c1", "c2"]


def test_dropped_attributes_are_reported_and_missing(write: Write) -> None:
    late = {"llm.input_messages.7.message.role": "user", "llm.input_messages.7.message.content": "And now?"}
    traces = write(span(0, "call", {**OPENINFERENCE, **late}, droppedAttributesCount=21))
    assert "messages" in call_of(traces).request.missing
    assert traces.problems_df().field.tolist() == ["messages"]


def test_parameters_of_langchain_and_of_whole_answers(write: Write) -> None:
    user = {"llm.input_messages.0.message.role": "user", "llm.input_messages.0.message.content": "How deep?"}
    chain = {"model_name": "gpt-4o-mini", "_type": "openai-chat", "stop": None, "temperature": 0.3, "stream": False}
    whole = {
        "id": "resp_1",
        "created_at": 1.0,
        "instructions": "Be brief",
        "temperature": 0.3,
        "metadata": {},
        "top_p": 1.0,
    }
    for recorded in (chain, whole):
        attributes = {**OPENINFERENCE, **user, "llm.invocation_parameters": recorded}
        assert call_of(write(span(0, "call", attributes))).request.parameters == {"temperature": 0.3}


def test_calls_of_a_bare_sdk_become_one_run_with_tools(write: Write) -> None:
    def call(number: int, messages: list[Any], answer: list[Any]) -> dict[str, Any]:
        attributes = {**CALL, "gen_ai.input.messages": messages, "gen_ai.usage.input_tokens": 10 + number}
        output = [{"role": "assistant", "parts": answer}]
        return span(number, "chat", {**attributes, "gen_ai.output.messages": output}, trace=number + 1)

    asked = [{"type": "tool_call", "id": "c1", "name": "ask_expert", "arguments": {"question": "Depth of the Elbe?"}}]
    looked = [{"type": "tool_call", "id": "c2", "name": "look_up", "arguments": {"river": "Elbe"}}]
    text = [{"type": "text", "content": "4 m"}]
    planner = [{"role": "system", "parts": [{"type": "text", "content": "You are the planner. Be brief."}]}, PARTS[1]]
    expert = [
        {"role": "system", "parts": [{"type": "text", "content": "You are the expert. Look it up."}]},
        {"role": "user", "parts": [{"type": "text", "content": "Depth of the Elbe?"}]},
    ]

    def answered(call_id: str, parts: list[Any], result: str) -> list[Any]:
        response = {"type": "tool_call_response", "id": call_id, "response": result}
        return [{"role": "assistant", "parts": parts}, {"role": "tool", "parts": [response]}]

    traces = write(
        call(0, planner, asked),
        call(1, expert, looked),
        call(2, [*expert, *answered("c2", looked, "Error: no such river")], text),
        call(3, [*planner, *answered("c1", asked, "4 m")], text),
        call(4, [{"role": "user", "parts": [{"type": "text", "content": "Something else"}]}], text),
    )
    runs = traces.runs_df().sort_values("llm_calls")
    assert runs.llm_calls.tolist() == [1, 4]
    tools = traces.tool_calls_df().set_index("name")
    assert tools.loc["ask_expert", "result"] == "4 m"
    assert (tools.loc["look_up", "status"], tools.loc["look_up", "agent"]) == ("error", "expert")
    frame = traces.spans_df()
    expert_calls = frame[(frame.kind == "llm") & (frame.agent == "expert")]
    assert len(expert_calls) == 2
    assert traces.span(expert_calls.span_id.iloc[0]).parent.agent == "expert"


def _camel_to_snake(value: Any) -> Any:
    if isinstance(value, list):
        return [_camel_to_snake(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {"".join("_" + c.lower() if c.isupper() else c for c in k): _camel_to_snake(v) for k, v in value.items()}


def _wordings() -> dict[str, str]:
    one = span(0, "chat", {**CALL, "gen_ai.input.messages": PARTS, "gen_ai.usage.input_tokens": 9})
    request = {"resourceSpans": [{"resource": {}, "scopeSpans": [{"scope": {}, "spans": [one]}]}]}
    console = {
        "name": "chat", "context": {"trace_id": "0x" + "a" * 32, "span_id": "0x" + "b" * 16, "trace_state": "[]"},
        "kind": "SpanKind.CLIENT", "parent_id": None, "start_time": "2026-02-02T02:40:00.000000Z",
        "end_time": "2026-02-02T02:40:00.500000Z", "status": {"status_code": "UNSET"},
        "attributes": {**CALL, "gen_ai.input.messages": json.dumps(PARTS), "gen_ai.usage.input_tokens": 9},
        "events": [], "links": [], "resource": {"attributes": {}, "schema_url": ""},
    }  # fmt: skip
    agents = {
        "object": "trace.span", "id": "span_1", "trace_id": "trace_1", "parent_id": None,
        "started_at": "2026-02-02T02:40:00+00:00", "ended_at": "2026-02-02T02:40:00.500+00:00", "error": None,
        "span_data": {"type": "generation", "model": "gpt-4o-mini", "input": CHAT, "usage": {"input_tokens": 9}},
    }  # fmt: skip
    return {
        "snake_case": json.dumps(_camel_to_snake(request)),
        "tempo": json.dumps({"trace": {"batches": request["resourceSpans"]}}, indent=1),
        "console": json.dumps(console, indent=4),
        "openai_agents": json.dumps({"object": "trace", "id": "trace_1", "workflow_name": "w"})
        + "\n"
        + json.dumps(agents),
    }


@pytest.mark.parametrize("wording", ["snake_case", "tempo", "console", "openai_agents"])
def test_other_wordings_are_read(tmp_path: Path, wording: str) -> None:
    path = tmp_path / "spans.jsonl"
    path.write_text(_wordings()[wording] + "\n")
    traces = anb.read_traces(path)
    row = traces.spans_df().iloc[0]
    assert (row.kind, row.model, row.input_tokens, row.duration_ms) == ("llm", "gpt-4o-mini", 9, 500)
    assert traces.messages_df().text.tolist()[:2] == ["Be brief", "How deep?"]
    assert traces.problems_df().empty


def test_protobuf_files_are_read(tmp_path: Path) -> None:
    from google.protobuf.json_format import ParseDict
    from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

    one = span(0, "chat", {**CALL, "gen_ai.usage.input_tokens": 9})
    one |= {"traceId": "AAAAAAAAAAAAAAAAAAAAAQ==", "spanId": "AAAAAAAAAAE=", "parentSpanId": ""}
    data = ParseDict({"resourceSpans": [{"scopeSpans": [{"spans": [one]}]}]}, TracesData()).SerializeToString()
    for name, content in (("whole.pb", data), ("framed.binpb", len(data).to_bytes(4, "big") + data)):
        (tmp_path / name).write_bytes(content)
        assert anb.read_traces(tmp_path / name).spans_df().input_tokens.tolist() == [9]
    (tmp_path / "other.pb").write_bytes(b"hello")
    assert len(anb.read_traces(tmp_path / "other.pb").problems_df()) == 1
