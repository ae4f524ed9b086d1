"""`anb.replay(cp, program=fn)`: callables with real SDKs against a server that counts."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest

import anton_notebook as anb
from anton_notebook.errors import ReplayDivergence, ReplayError
from tests.support.agents_by_hand import record
from tests.support.servers.llm_server import Call, LlmServer, Reply

MODEL = "gpt-4o-mini"
CODE = """
import openai
client = openai.OpenAI()
def ask(text):
    return client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": text}]).choices[0].message.content
plan = ask("Plan: tea")
ask(f"Do: {plan}")
ask("Report")
"""


def answer(call: Call) -> Reply:
    text = call.body["messages"][-1]["content"]
    return Reply(f"<{text}>")


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[anb.Traces, LlmServer]]:
    with LlmServer(answer) as server:
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        done = record(tmp_path, server, sys.executable, "-c", CODE)
        assert done.returncode == 0, done.stderr
        with anb.read_traces(tmp_path) as traces:
            yield traces, server


def spans(traces: anb.Traces) -> list[Any]:
    (trace,) = [one for one in traces if one.figures["origin"] == "record"]
    return [span for span in trace.spans if span.kind == "llm"]


def ask(client: openai.OpenAI, text: str) -> str:
    messages: Any = [{"role": "user", "content": text}]
    return str(client.chat.completions.create(model=MODEL, messages=messages).choices[0].message.content)


def program() -> str:
    client = openai.OpenAI()
    plan = ask(client, "Plan: tea")
    ask(client, f"Do: {plan}")
    return ask(client, "Report")


def replay(traces: anb.Traces, at: int, prompt: str | None = None, fn: Any = program, **more: Any) -> Any:
    span = spans(traces)[at]
    cp = anb.checkpoint(span, prompts={span.span_id: prompt} if prompt is not None else None)
    return anb.replay(cp, program=fn, progress=False, **{"timeout": 60, **more})


def test_program_without_change_sends_nothing(recorded: tuple[anb.Traces, LlmServer]) -> None:
    traces, server = recorded
    before, variables = len(server.calls), dict(os.environ)
    frame = replay(traces, 0)
    assert len(server.calls) == before
    assert frame["provenance"].tolist() == ["reused"] * 3
    assert (frame["similarity"] == 1).all()
    assert frame.attrs["result"] == repr("<Report>")
    assert frame.attrs["error"] is None
    assert dict(os.environ) == variables
    branch = traces[frame.attrs["new_trace_id"]]
    assert branch.figures["origin"] == "replay"
    assert branch.figures["original_trace_id"] == frame.attrs["original_trace_id"]


def test_program_is_live_after_the_change(recorded: tuple[anb.Traces, LlmServer]) -> None:
    traces, server = recorded
    before = len(server.calls)
    frame = replay(traces, 0, "Plan: coffee", cache=False)
    sent = [call.body["messages"][-1]["content"] for call in server.calls[before:]]
    assert sent == ["Plan: coffee", "Do: <Plan: coffee>", "Report"]
    assert set(frame["provenance"]) == {"executed"}
    frame = replay(traces, 2, "Report briefly", cache=False)
    assert frame["provenance"].tolist() == ["reused", "reused", "executed"]
    assert frame.attrs["result"] == repr("<Report briefly>")


def test_program_pays_nothing_twice(recorded: tuple[anb.Traces, LlmServer]) -> None:
    traces, server = recorded
    replay(traces, 0, "Plan: coffee")
    before = len(server.calls)
    again = replay(traces, 0, "Plan: coffee")
    assert len(server.calls) == before
    assert set(again["provenance"]) == {"executed"}


def test_program_may_be_async_and_use_several_sdks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = (
        "import asyncio, sys\nsys.path.insert(0, sys.argv[1])\n"
        "from tests.experiments.replay.program.test_function import two_sdks\nasyncio.run(two_sdks())\n"
    )
    with LlmServer(answer) as server:
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        root = str(Path(__file__).resolve().parents[4])
        done = record(tmp_path, server, sys.executable, "-c", code, root)
        assert done.returncode == 0, done.stderr
        with anb.read_traces(tmp_path) as traces:
            before = len(server.calls)
            frame = replay(traces, 0, fn=two_sdks)
            assert sorted(frame["provenance"]) == ["reused", "reused"]
            assert len(server.calls) == before


async def two_sdks() -> list[str]:
    messages: Any = [{"role": "user", "content": "Hi"}]

    async def one() -> str:
        made = await openai.AsyncOpenAI().chat.completions.create(model=MODEL, messages=messages)
        return str(made.choices[0].message.content)

    async def other() -> str:
        client = anthropic.AsyncAnthropic()
        made = await client.messages.create(model="claude-haiku-4-5", max_tokens=9, messages=messages)
        return str(made.content[0].text)  # type: ignore[union-attr]

    return list(await asyncio.gather(one(), other()))


def test_program_that_differs_before_the_change_diverges(recorded: tuple[anb.Traces, LlmServer]) -> None:
    traces, server = recorded
    before = len(server.calls)
    with pytest.raises(ReplayDivergence, match=r"differs first at /messages/0/text.*normalize="):
        replay(traces, 2, "x", fn=lambda: ask(openai.OpenAI(), "Plan: water"))
    assert len(server.calls) == before


def test_program_that_ends_before_the_change_diverges(recorded: tuple[anb.Traces, LlmServer]) -> None:
    traces, _ = recorded

    def broken() -> None:
        ask(openai.OpenAI(), "Plan: tea")
        raise KeyError("lost")

    with pytest.raises(ReplayDivergence, match=r"KeyError: 'lost'.*after 1 requests") as caught:
        replay(traces, 2, "x", fn=broken)
    assert isinstance(caught.value.__cause__, KeyError)
    with pytest.raises(ReplayDivergence, match="create the SDK clients inside the function"):
        replay(traces, 2, "x", fn=lambda: None)


def test_program_error_after_the_change_is_in_attrs(recorded: tuple[anb.Traces, LlmServer]) -> None:
    traces, _ = recorded

    def fails() -> None:
        ask(openai.OpenAI(), "Plan: tea")
        raise RuntimeError("after it")

    frame = replay(traces, 0, "Plan: coffee", fn=fails)
    assert frame.attrs["error"] == "RuntimeError: after it"
    assert frame["provenance"].tolist() == ["executed"]


def test_program_may_take_the_base_urls(recorded: tuple[anb.Traces, LlmServer]) -> None:
    traces, _ = recorded
    frame = replay(traces, 0, fn=lambda urls: ask(openai.OpenAI(base_url=urls.openai), "Plan: tea"))
    assert frame["provenance"].tolist() == ["reused"]


def test_program_budget_stops_further_calls(recorded: tuple[anb.Traces, LlmServer]) -> None:
    traces, server = recorded
    before = len(server.calls)
    frame = replay(traces, 0, "Plan: coffee", budget=0.0, cache=False)
    assert len(server.calls) == before
    assert "the budget is spent" in frame.attrs["interrupted"]
    assert frame.attrs["spent_usd"] == 0


def test_program_timeout_and_second_replay_are_refused(recorded: tuple[anb.Traces, LlmServer]) -> None:
    traces, _ = recorded
    release = threading.Event()
    began = time.monotonic()
    with pytest.raises(ReplayError, match=r"longer than timeout=0\.5 s"):
        replay(traces, 0, fn=lambda: release.wait(60), timeout=0.5)
    assert time.monotonic() - began < 20
    release.set()
    errors: list[BaseException] = []

    def nested() -> None:
        try:
            replay(traces, 0)
        except ReplayError as error:
            errors.append(error)

    with pytest.raises(ReplayDivergence):
        replay(traces, 2, "x", fn=nested)
    assert "another replay with program=" in str(errors[0])


@pytest.mark.parametrize(
    ("fn", "more", "message"),
    [
        ("text", {}, "must be a function"),
        (lambda a, b: None, {}, "must not require arguments"),
        (program, {"tools": {}}, "tools= has no meaning with program="),
        (program, {"command": ["x"]}, "program= has no meaning with command="),
        (program, {"timeoutt": 1}, "timeoutt"),
    ],
)
def test_program_arguments_are_checked(
    recorded: tuple[anb.Traces, LlmServer], fn: Any, more: dict[str, Any], message: str
) -> None:
    with pytest.raises(TypeError, match=message):
        replay(recorded[0], 0, fn=fn, **more)


def test_program_works_without_keys_if_all_is_recorded(
    recorded: tuple[anb.Traces, LlmServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    frame = replay(recorded[0], 0)
    assert frame["provenance"].tolist() == ["reused"] * 3
    text = json.dumps([path.read_text() for path in Path(recorded[0].home).rglob("*.jsonl")])
    assert "not-set" not in text
