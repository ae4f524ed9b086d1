"""A server that fails in every way: each row says what happened, in time, and the sweep goes on."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from anton_notebook import llm
from anton_notebook.capture.gateway import Gateway, Recorder
from anton_notebook.errors import CallFailed, MissingKey, UnknownProvider
from anton_notebook.experiments.rerun import arerun, rerun
from anton_notebook.llm import Policy
from anton_notebook.llm.sdk_provider import Sdk, retry_after
from anton_notebook.model.request import Request
from tests.support.servers.llm_server import FAULTS, Call, LlmServer, Reply

TIMEOUT = 4.0
SAYS = {
    "empty": "empty body", "html": "text/html.*Welcome to the hotel", "other-json": "no answer of a model",
    "cut-json": "no answer of a model",
    "no-type": "empty body", "text": "text/plain", "reset": "lost", "hang-up": "lost", "stall": "deadline", "drip": "deadline",
    "loris": "deadline", "retry-after-0": "429", "retry-after-3600": "429.*asks to wait 3,600 s", "retry-after-garbage": "429",
    "sse-cut": "before the answer was whole", "sse-cut-early": "before the answer was whole", "sse-reset": "broke the answer off",
    "sse-error": "broke off.*Overloaded", "sse-bad-json": "cannot be read", "sse-not-object": "cannot be read",
    "sse-empty": "before the answer was whole", "redirect": "redirect.*not followed", "bad-status-line": "lost",
    "endless-event": "deadline",
    "echo-key": "401.*key",
}  # fmt: skip
PARTIAL = {"sse-cut", "sse-reset", "sse-error", "sse-bad-json", "sse-not-object", "drip"}
TURNED_AWAY = {"429", "503", "529", "retry-after-0", "retry-after-garbage"}


def ask(provider: str) -> Request:
    parameters = {"max_tokens": 10} if provider == "anthropic" else {}
    return Request(provider, "good", messages=[{"role": "user", "content": "Hi"}], parameters=parameters)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Any:
    with LlmServer(fault=lambda call: call.body["model"] if call.body["model"] in FAULTS else None) as server:
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        yield server


@pytest.fixture(params=["the faster transport", "the usual transport"])
def transport(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "the usual transport":
        monkeypatch.setattr(Sdk, "_transport", lambda self, sdk: sdk.DefaultAsyncHttpxClient(follow_redirects=False))
    else:
        pytest.importorskip("aiohttp")


@pytest.mark.parametrize("provider", ["anthropic", "openai"])
def test_R1_every_fault_is_told_in_its_row_and_the_sweep_goes_on(
    provider: str, server: LlmServer, transport: None
) -> None:
    assert len(FAULTS) >= 25
    models = ["good", *FAULTS, "fine"]
    rerun(ask(provider), progress=False)  # the SDK's import is not measured
    start = time.monotonic()
    df = rerun(ask(provider), model=models, provider=provider, concurrency=64, timeout=TIMEOUT, progress=False)
    assert time.monotonic() - start < TIMEOUT + 20.0  # all kinds at once, on a machine that may be busy
    assert df["model"].tolist() == models
    rows = df.set_index("model")
    assert (
        rows.loc[["good", "fine"], "error"].isna().all()
        and (rows.loc[["good", "fine"], "response"] == "All good.").all()
    )
    for fault in FAULTS:
        row = rows.loc[fault]
        expected = SAYS.get(fault, f"answered {fault}: fault {fault} on purpose")
        assert re.search(expected, row["error"], re.DOTALL), (fault, row["error"])
        assert row["attempts"] == (3 if fault in TURNED_AWAY else 1), fault
        assert row["duration_ms"] < TIMEOUT * 1000 + 1000
        assert pd.isna(row["response"]) or (fault in PARTIAL and "A partial answer".startswith(row["response"][:10])), (
            fault
        )
        assert "\n" not in row["error"] and len(row["error"]) < 700
    for fault in PARTIAL - {"drip"}:
        assert rows.loc[fault, "response"], fault
    sent = pd.Series([call.body["model"] for call in server.calls]).value_counts()
    assert all(sent[fault] == rows.loc[fault, "attempts"] for fault in FAULTS), "attempts are counted as they were made"
    assert all(call.headers.get("x-stainless-retry-count", "0") == "0" for call in server.calls), (
        "the SDK itself does not retry"
    )


def test_leave_to_retry_is_taken_for_what_may_pass(server: LlmServer) -> None:
    df = rerun(
        ask("openai"),
        model=["500", "400", "404", "sse-cut", "html"],
        provider="openai",
        retries=1,
        timeout=20,
        progress=False,
    )
    assert df["attempts"].tolist() == [2, 1, 1, 2, 1]


def test_no_retry_at_all_where_none_is_wanted(server: LlmServer) -> None:
    df = rerun(ask("openai"), model=["429", "500"], provider="openai", retries=0, progress=False)
    assert df["attempts"].tolist() == [1, 1]


def test_what_was_turned_away_is_asked_again_and_may_succeed(monkeypatch: pytest.MonkeyPatch) -> None:
    with LlmServer(fault=lambda call: "retry-after-0" if call.number < 2 else None) as server:
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        df = rerun(ask("anthropic"), progress=False)
        assert df["error"].isna().all() and df["attempts"].tolist() == [3] and len(server.calls) == 3


def test_waits_are_capped_and_end_with_the_deadline() -> None:
    failed = CallFailed("x", "status", turned_away=True, retry_after=30.0)
    assert Policy().wait(failed, 1, 100) == 30.0
    assert Policy().wait(failed, 1, 10) is None
    failed.retry_after = 61.0
    assert Policy().wait(failed, 1, 600) is None
    failed.retry_after = None
    assert all(Policy().wait(failed, n, 600) is not None for n in (1, 2)) and Policy().wait(failed, 3, 600) is None
    assert all(0 < (Policy(retries=50).wait(failed, n, 600) or 0) <= 60.0 for n in range(1, 6))


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0.0),
        ("3600", 3600.0),
        ("1.5", 1.5),
        ("soon", None),
        ("-1", None),
        ("nan", None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", None),
    ],
)
def test_what_the_server_asks_to_wait(header: str, seconds: float | None) -> None:
    assert retry_after({"retry-after": header}) == seconds
    assert retry_after({"retry-after-ms": "250", "retry-after": header}) == 0.25


@pytest.mark.parametrize(
    "base",
    ["http://no-such-host.invalid", "http://127.0.0.1:9", "https://127.0.0.1:{port}"],
    ids=["name", "port", "tls"],
)
@pytest.mark.parametrize("provider", [llm.Anthropic, llm.OpenAI])
def test_an_address_that_cannot_be_reached_is_named(
    provider: Any, base: str, server: LlmServer, transport: None
) -> None:
    base = base.format(port=server.port)
    df = rerun(ask(provider.name), provider=provider(base_url=base), timeout=8, retries=0, progress=False)
    assert base in df["error"][0] and re.search("cannot reach|lost|could not be asked", df["error"][0])
    assert df["duration_ms"][0] < 9000 and not server.calls


def test_a_missing_key_names_its_variable_and_the_others_go_on(
    server: LlmServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL", "ANTHROPIC_AUTH_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    df = rerun(ask("openai"), model=["gpt-4o", "claude-3-5-haiku-20241022"], progress=False)
    assert pd.isna(df["error"][0]) and "ANTHROPIC_API_KEY" in df["error"][1]
    assert df["attempts"].tolist() == [1, 0] and df["cost_usd"][1] == 0


@pytest.mark.parametrize("key", ["sk-ant-canary\n", "sk-canary-\u00e9", "sk canary", "sk-\x00canary"])
def test_R4_a_key_that_cannot_be_sent_is_refused_and_not_shown(
    key: str, server: LlmServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "\x00" not in key:
        monkeypatch.setenv("OPENAI_API_KEY", key)
    else:
        monkeypatch.setattr("os.environ", {**__import__("os").environ, "OPENAI_API_KEY": key})
    with pytest.raises(MissingKey) as error:
        llm.get("openai").check()
    assert "OPENAI_API_KEY" in str(error.value) and "canary" not in str(error.value)
    assert "canary" not in rerun(ask("openai"), progress=False)["error"][0]


def test_the_key_is_in_no_error_log_row_or_repr(server: LlmServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for provider in ("anthropic", "openai"):
        asked = llm.get(provider)
        df = rerun(
            ask(provider),
            model=["good", *FAULTS[:14], "echo-key", "html"],
            provider=asked,
            retries=0,
            timeout=5,
            progress=False,
        )
        assert "Incorrect API key: (key)" in df.set_index("model").loc["echo-key", "error"]
        shown = df.to_csv() + repr(df.attrs) + repr(asked) + repr(vars(asked)) + caplog.text
        assert "canary" not in shown
    assert all("canary" in str(call.headers) for call in server.calls), "the key did go to the server"


@pytest.mark.parametrize("provider", ["anthropic", "openai"])
def test_a_key_that_a_server_repeats_in_a_stream_or_that_is_cut_off_is_not_shown(
    provider: str, server: LlmServer
) -> None:
    server.fault = lambda call: call.body["model"]
    df = rerun(ask(provider), model=["echo-key-streamed", "echo-key-cut"], retries=0, progress=False)
    assert df["error"].str.contains("(key)", regex=False).all() and "canar" not in df.drop(columns="model").to_csv()


@pytest.mark.parametrize(
    "address", ["http://me:s@cret@{}/v1", "http://me:se?cret@{}", "http://{}/v1?key=secret", "me:secret@{}"]
)
def test_what_is_secret_in_an_address_is_not_told(
    address: str, server: LlmServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", address.format("127.0.0.1:9"))
    row = rerun(ask("openai"), home=tmp_path, timeout=5, progress=False).iloc[0]
    assert row["error"] and "cret" not in row["error"]
    with pytest.raises(UnknownProvider) as error, Gateway(Recorder(tmp_path)):
        pass
    assert "127.0.0.1:9" in str(error.value) or "?" in address
    assert "cret" not in str(error.value)


def test_who_serves_a_model_of_no_known_provider(server: LlmServer, monkeypatch: pytest.MonkeyPatch) -> None:
    request = Request("", "qwen2.5-coder-14b-instruct", messages=[{"role": "user", "content": "Hi"}])
    assert rerun(request, progress=False)["error"].isna().all(), "OPENAI_BASE_URL is set"
    monkeypatch.delenv("OPENAI_BASE_URL")
    with pytest.raises(UnknownProvider, match=r"qwen2.5-coder-14b-instruct.*base_url.*OPENAI_BASE_URL"):
        rerun(request, progress=False)
    assert rerun(request, provider=llm.OpenAI(base_url=server.url + "/v1"), progress=False)["error"].isna().all()


def test_an_answer_that_is_not_streamed_is_taken_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def plain(call: Call) -> Reply:
        call.body["stream"] = False
        return Reply("Whole", tools=[("read", {"a": 1})], usage=(10, 2, 4))

    with LlmServer(plain) as server:
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        for provider in ("anthropic", "openai"):
            row = rerun(ask(provider), progress=False).iloc[0]
            assert row["response"] == "Whole" and row["tool_calls"][0]["arguments"] == {"a": 1}
            assert row["cached_tokens"] == 4 and row["input_tokens"] == 10


@pytest.mark.parametrize("provider", ["anthropic", "openai"])
def test_tokens_tools_and_reason_come_through_the_stream(provider: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tools: list[tuple[str, dict[str, Any]]] = [("read", {"path": "a/b", "n": [1, {"x": None}]}), ("stop", {})]
    with LlmServer(
        lambda call: Reply("Gr\u00fc\u00dfe \U0001f600\u2028", tools=tools, usage=(100, 7, 60), pieces=40)
    ) as server:
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        row = rerun(ask(provider), progress=False).iloc[0]
    assert row["response"] == "Gr\u00fc\u00dfe \U0001f600\u2028"
    assert [(call["name"], call["arguments"]) for call in row["tool_calls"]] == tools
    assert row["finish_reason"] == ("tool_use" if provider == "anthropic" else "tool_calls")
    assert (row["output_tokens"], row["cached_tokens"]) == (7, 60)


def test_R2_cancelling_ends_an_attempt_within_a_second(server: LlmServer) -> None:
    async def cancelled(model: str) -> float:
        task = asyncio.create_task(arerun(ask("openai"), model=model, provider="openai", retries=9, progress=False))
        await asyncio.sleep(1.5)
        start = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return time.monotonic() - start

    for model in ("stall", "drip", "429"):
        assert asyncio.run(cancelled(model)) < 3.0  # a second where nothing else runs
