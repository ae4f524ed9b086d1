"""Unchanged, a span is sent as it was recorded: what arrives at a server is compared with the recorded line itself."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import anton_notebook as anb
from anton_notebook.experiments.rerun import rerun
from anton_notebook.model.request import Request
from tests.support.servers.llm_server import Call, LlmServer

OURS = {"stream", "stream_options"}
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
NAUGHTY = "\u202e \x00 \ufeff \U0001f600 </script> {{x}} ' OR 1=1 \\ \" \n\r\t \u2028"

CLAUDE_TOOLS = [
    {
        "name": "read_file",
        "description": "Reads",
        "input_schema": {"type": "object", "properties": {"path": {"type": "string"}}},
    },
    {"type": "web_search_20250305", "name": "web_search", "max_uses": 5},
]
OPENAI_TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "read_file",
            "strict": True,
            "parameters": {"type": "object", "properties": {}, "additionalProperties": False},
        },
    }
]
BY_HAND: dict[str, dict[str, Any]] = {
    "anthropic, all kinds of blocks": {
        "provider": "claude", "model": "claude-sonnet-4-20250514", "system_prompt": NAUGHTY,
        "messages": [
            {"role": "user", "content": [
                {"type": "text", "text": "Look", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}},
                {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "x"}, "citations": {"enabled": True}},
            ]},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
                {"type": "redacted_thinking", "data": "eHg="},
                {"type": "text", "text": "I read it."},
                {"type": "tool_use", "id": "toolu_1", "name": "read_file", "input": {"path": "a", "deep": {"n": [1, 2.5, None, True]}}},
            ]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "toolu_1", "is_error": False, "content": [
                    {"type": "text", "text": "done"}, {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}}]},
                {"type": "text", "text": "And now?"},
            ]},
        ],
        "tools": CLAUDE_TOOLS,
        "parameters": {
            "max_tokens": 50_000, "temperature": 0.3, "top_p": 0.9, "top_k": 40, "stop_sequences": ["END"],
            "tool_choice": {"type": "tool", "name": "read_file", "disable_parallel_tool_use": True}, "metadata": {"user_id": "u"},
            "thinking": {"type": "enabled", "budget_tokens": 2000}, "an_unknown_one": {"of": ["the", None, "future"]},
        },
    },
    "anthropic, system in blocks": {
        "provider": "anthropic", "model": "claude-3-5-haiku-20241022",
        "system_prompt": [{"type": "text", "text": "Be kind", "cache_control": {"type": "ephemeral"}}],
        "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "{"}], "parameters": {"max_tokens": 1},
    },
    "openai, tools and pictures": {
        "provider": "openai", "model": "gpt-4o",
        "messages": [
            {"role": "developer", "content": "Be kind"},
            {"role": "user", "name": "anna", "content": [
                {"type": "text", "text": "Look"},
                {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}", "detail": "low"}}]},
            {"role": "assistant", "content": None, "refusal": None, "tool_calls": [
                {"id": "call_1", "type": "function", "function": {"name": "read_file", "arguments": '{"path":  "a"}'}}]},
            {"role": "tool", "tool_call_id": "call_1", "content": NAUGHTY},
        ],
        "tools": OPENAI_TOOLS,
        "parameters": {
            "temperature": 0, "max_completion_tokens": 9, "tool_choice": "required", "parallel_tool_calls": False, "seed": 7,
            "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}},
            "logit_bias": {"50256": -100}, "stop": ["a", "b"], "metadata": {"k": "v"}, "vllm_thing": {"guided_json": {"a": [None]}},
        },
    },
    "ollama, system beside the messages": {
        "provider": "ollama", "model": "llama3.2:3b", "system_prompt": "Be kind", "messages": [{"role": "user", "content": NAUGHTY}],
        "parameters": {"temperature": 0.7, "options": {"num_ctx": 4096}},
    },
}  # fmt: skip


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Any:
    with LlmServer() as server:
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        yield server


def arrived(call: Call) -> dict[str, Any]:
    return {key: value for key, value in call.body.items() if key not in OURS}


def recorded(line: dict[str, Any], api: str) -> dict[str, Any]:
    """The body that the line says was sent, put together here from its keys."""
    messages = line["messages"]
    if line.get("response") and not line.get("error"):
        messages = messages[:-1] if messages[-1] == {"role": "assistant", "content": line["response"]} else messages
    body = {"model": line["model"], "messages": messages, **(line.get("parameters") or {})}
    if line.get("tools"):
        body["tools"] = line["tools"]
    if line.get("system_prompt"):
        if api == "anthropic":
            body["system"] = line["system_prompt"]
        else:
            body["messages"] = [{"role": "system", "content": line["system_prompt"]}, *messages]
    return body


@pytest.mark.parametrize("name", BY_HAND)
@pytest.mark.parametrize("as_event", [False, True], ids=["line", "event"])
def test_a_request_made_by_hand_arrives_as_it_was_recorded(
    name: str, as_event: bool, server: LlmServer, tmp_path: Path
) -> None:
    request = json.loads(json.dumps(BY_HAND[name]))
    about = {
        "timestamp": "2026-01-01T00:00:00Z",
        "agent_name": "orchestrator",
        "trace_id": "t",
        "span_id": "s",
        "parent_id": None,
    }
    answer = {"response": "Fine", "duration_ms": 5, "tokens": {"input": 1, "output": 1, "total": 2}, "cost_usd": 0.1}
    line = (
        {**about, "event_type": "llm_call", "data": {**request, **answer}}
        if as_event
        else {**about, "span_type": "llm_call", **request, **answer}
    )
    (tmp_path / "trace.jsonl").write_text(json.dumps(line) + "\n")
    with anb.read_traces(tmp_path / "trace.jsonl") as traces:
        df = rerun(traces.span("s"), progress=False)
    assert df["error"].isna().all()
    (call,) = server.calls
    body = arrived(call)
    assert call.body["stream"] is True
    assert body == recorded(request, call.api)
    assert json.dumps(body, sort_keys=True) == json.dumps(
        recorded(request, call.api), sort_keys=True
    )  # 1 is not 1.0, nor True


def test_every_call_of_the_corpus_arrives_as_it_was_recorded(corpus: Path, server: LlmServer, tmp_path: Path) -> None:
    lines = {}
    for path in sorted((corpus / "anton-jsonl").rglob("*.jsonl")):
        for raw in path.read_bytes().split(b"\n"):
            if raw:
                line = json.loads(raw)
                lines[line["timestamp"], line["agent_name"]] = line
    assert len(lines) == 20
    with anb.read_traces(corpus / "anton-jsonl", home=tmp_path) as traces:
        spans = [span for trace in traces for span in trace.spans if span.kind == "llm"]
        for span in spans:
            line = lines[span.record["timestamp"], span.agent or ""]
            before = len(server.calls)
            df = rerun(span, progress=False, cache=False)
            assert df["error"].isna().all() and len(server.calls) == before + 1
            call = server.calls[-1]
            expected = recorded(line, call.api)
            if call.api == "anthropic":
                assert call.body["max_tokens"] == df.attrs["assumed"]["max_tokens"] == 4096
                assert "max_tokens" in df.attrs["missing"]
                expected["max_tokens"] = 4096
            assert arrived(call) == expected
            assert df.attrs["missing"][:2] == ["tools", "parameters"]


def test_every_call_of_the_proxys_database_arrives_as_it_was_recorded(
    corpus: Path, server: LlmServer, tmp_path: Path
) -> None:
    path = corpus / "anton-proxy" / "proxy_traces.db"
    with closing(sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)) as db:
        rows = dict(db.execute("SELECT call_id, messages FROM llm_calls").fetchall())
        models = dict(db.execute("SELECT call_id, model FROM llm_calls").fetchall())
    assert len(rows) == 105
    with anb.read_traces(path, home=tmp_path) as traces:
        spans = {span.span_id: span for trace in traces for span in trace.spans if span.kind == "llm"}
        assert set(spans) == set(rows)
        for call_id, span in spans.items():
            df = rerun(span, progress=False, cache=False)
            assert df["error"].isna().all() and df.attrs["missing"] == ["tools", "parameters"]
            assert arrived(server.calls[-1]) == {"model": models[call_id], "messages": json.loads(rows[call_id])}
    assert len(server.calls) == 105


def test_a_gateways_mixture_is_put_into_the_words_of_who_is_asked(server: LlmServer) -> None:
    messages = [
        {"role": "user", "content": "Hi"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "1", "content": "data"},
    ]
    mixed = Request("anthropic", "claude-3-5-haiku-20241022", None, messages, OPENAI_TOOLS, {"max_tokens": 5})
    assert rerun(mixed, progress=False)["error"].isna().all()
    body = server.calls[0].body
    assert [block["type"] for m in body["messages"][1:] for block in m["content"]] == ["tool_use", "tool_result"]
    assert "input_schema" in body["tools"][0]


def test_both_apis_are_called_at_their_paths(server: LlmServer, tmp_path: Path) -> None:
    lines = [
        json.dumps(
            {
                "timestamp": "2026-01-01T00:00:00Z",
                "trace_id": "t",
                "span_id": str(i),
                "span_type": "llm_call",
                "response": "",
                **line,
            }
        )
        for i, line in enumerate(BY_HAND.values())
    ]
    (tmp_path / "trace.jsonl").write_text("\n".join(lines) + "\n")
    with anb.read_traces(tmp_path / "trace.jsonl") as traces:
        for i in range(len(BY_HAND)):
            rerun(traces.span(str(i)), progress=False)
    assert [call.path for call in server.calls] == [
        "/v1/messages",
        "/v1/messages",
        "/v1/chat/completions",
        "/v1/chat/completions",
    ]
    ollama = server.calls[-1]
    assert "canary" not in json.dumps(ollama.headers), "the key of OpenAI is not for other servers"
