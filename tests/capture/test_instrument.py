"""`anb.instrument()`: spans of this process in a trace file, when they start and when they end."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import anton_notebook as anb
from tests.support.servers.llm_server import LlmServer

PROGRAM = """
import sys, time
import anton_notebook as anb
recording = anb.instrument(sys.argv[1], only=["openai"])
import openai
client = openai.OpenAI()
answer = client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "Hi"}])
recording.flush()
again = anb.instrument(sys.argv[1])
print(again is recording, recording.instrumented, len(recording.errors))
"""
RUNNING = """
import sys
import anton_notebook as anb
from opentelemetry import trace
with anb.instrument(sys.argv[1], only=[]) as recording:
    tracer = trace.get_tracer("mine")
    agent = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "planner"}
    with tracer.start_as_current_span("invoke_agent planner", attributes=agent):
        with tracer.start_as_current_span("chat", attributes={"gen_ai.operation.name": "chat", "gen_ai.request.model": "m"}):
            recording.flush()
            frame = anb.read_traces(sys.argv[1]).spans_df()
            print(sorted(zip(frame["kind"].astype(str), frame["status"].astype(str))))
    recording.flush()
    frame = anb.read_traces(sys.argv[1]).spans_df()
    print(sorted(zip(frame["kind"].astype(str), frame["status"].astype(str))))
"""
LONG = """
import sys
import anton_notebook as anb
from opentelemetry import trace
with anb.instrument(sys.argv[1], only=[]) as recording:
    with trace.get_tracer("mine").start_as_current_span("chat") as span:
        for i in range(300):
            span.set_attribute(f"llm.input_messages.{i}.message.content", "x")
    recording.flush()
"""


def run(code: str, *words: str, **environ: str) -> str:
    import os

    command = [sys.executable, "-c", code, *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=os.environ | environ)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_instrument_records_an_sdk_with_one_line(tmp_path: Path) -> None:
    pytest.importorskip("openinference.instrumentation.openai")
    with LlmServer() as server:
        out = run(PROGRAM, str(tmp_path), **server.environment())
    assert out.startswith("True ['openai'] 0")
    traces = anb.read_traces(tmp_path)
    frame = traces.spans_df(kind="llm")
    assert len(frame) == 1
    span = traces.span(str(frame["span_id"].iloc[0]))
    assert span.request.messages == [{"role": "user", "content": "Hi"}]
    assert span.input_tokens is not None


def test_spans_are_seen_running_and_then_ended(tmp_path: Path) -> None:
    before, after = run(RUNNING, str(tmp_path)).splitlines()
    assert before == "[('llm', 'running'), ('orchestrator', 'running')]"
    assert after == "[('llm', 'ok'), ('orchestrator', 'ok')]"


def test_long_conversations_are_not_cut_at_128_attributes(tmp_path: Path) -> None:
    run(LONG, str(tmp_path))
    (path,) = tmp_path.rglob("otel_*.jsonl")
    last = json.loads(path.read_text().splitlines()[-1])
    span = last["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
    assert len(span["attributes"]) == 300
    assert "droppedAttributesCount" not in span


def test_trace_files_are_their_owners_alone(tmp_path: Path) -> None:
    run(LONG, str(tmp_path))
    (path,) = tmp_path.rglob("otel_*.jsonl")
    assert path.stat().st_mode & 0o777 == 0o600
