"""Sweeps: lists multiply, rows come in order, from a cell, a script and `await`; interrupting keeps what was done."""

from __future__ import annotations

import asyncio
import json
import math
import os
import random
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import anton_notebook as anb
from anton_notebook import llm
from anton_notebook.errors import BudgetError, NotRerunnable, TranslationError, UnknownProvider
from anton_notebook.experiments.rerun import Sweep, arerun, plan, quote, rerun
from anton_notebook.experiments.rerun.event_loop import NAME
from anton_notebook.experiments.rerun.progress import Progress
from anton_notebook.experiments.verdict import RERUN, rerun_frame
from anton_notebook.llm import Scripted
from anton_notebook.model.request import Request, Response, Usage
from anton_notebook.widget.protocol import ClientState, Encoder, Scope
from tests.support.servers.llm_server import Call, LlmServer, Reply

LINE = {
    "timestamp": "2026-01-01T00:00:00Z", "agent_name": "module_api", "provider": "openai", "model": "gpt-4o", "trace_id": "run",
    "span_id": "call", "parent_id": None, "span_type": "llm_call", "duration_ms": 200.0, "tokens": {"input": 1000, "output": 100},
    "system_prompt": "Be kind", "messages": [{"role": "user", "content": "Hi"}], "response": "Hello there", "tools": [],
    "parameters": {"max_tokens": 50},
}  # fmt: skip
REQUEST = Request("openai", "gpt-4o", messages=[{"role": "user", "content": "Hi"}], parameters={"max_tokens": 50})


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Any:
    with LlmServer(lambda call: Reply(said(call))) as server:
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        yield server


def said(call: Call) -> str:
    return f"{call.body['model']} heard {call.body['messages'][-1]['content']}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    traces = tmp_path / "repo" / ".modular-agents" / "traces"
    traces.mkdir(parents=True)
    (traces / "module_api_20260101_000000.jsonl").write_text(json.dumps(LINE) + "\n")
    return tmp_path / "repo"


def sweep(span: Any, **given: Any) -> pd.DataFrame:
    return rerun(span, progress=False, **given)


# -- what is asked


def test_lists_multiply_and_rows_come_in_order(server: LlmServer, folder: Path) -> None:
    server.reply = lambda call: Reply(said(call), delay=random.random() / 20)
    with anb.read_traces(folder) as traces:
        df = sweep(
            traces.span("call"), prompt=["a", "b"], system=["", "x"], model=["gpt-4o", "gpt-4o-mini"],
            parameters=[{"temperature": 0}, {"temperature": 1}, {}], n=2, baseline=3, concurrency=16,
        )  # fmt: skip
    assert len(df) == 3 + 2 * 2 * 2 * 3 * 2 == len(server.calls)
    assert df["variant"].tolist() == [0] * 3 + [v for v in range(1, 25) for _ in range(2)]
    assert df["repeat"].tolist() == [1, 2, 3] + [1, 2] * 24
    assert (df["response"] == df["model"].astype(str) + " heard " + df["prompt"]).all()
    assert df["prompt"].tolist()[:5] == ["Hi"] * 3 + ["a"] * 2 and df["prompt"].tolist()[-1] == "b"
    assert df["system"].isna().sum() == 24 and df.attrs["variants"][0] == "baseline"
    assert server.most_open <= 16


def test_the_columns_are_the_contract_also_when_there_is_nothing(server: LlmServer, folder: Path) -> None:
    assert (
        list(RERUN)
        == (
            "variant repeat span_id new_span_id provider model system prompt response original diff similarity tool_calls "
            "input_tokens output_tokens cached_tokens cost_usd cost_delta_usd saved_usd duration_ms duration_delta_ms attempts "
            "finish_reason error from_cache"
        ).split()
    )
    with anb.read_traces(folder) as traces:
        df = sweep(traces.span("call"), metrics={"length": len, "kind": lambda text: "kind" in text})
    empty = rerun_frame([])
    assert list(df.columns) == [*RERUN, "length", "kind"] and list(empty.columns) == list(RERUN)
    assert df[list(RERUN)].dtypes.astype(str).to_dict() == empty.dtypes.astype(str).to_dict()
    row = df.iloc[0]
    assert row["original"] == "Hello there" and row["span_id"] == "call" and row["length"] == len(row["response"])
    assert row["cost_usd"] == pytest.approx(12 * 2.5e-6 + 5 * 10e-6)
    assert row["cost_delta_usd"] == pytest.approx(row["cost_usd"] - (1000 * 2.5e-6 + 100 * 10e-6))
    assert row["duration_delta_ms"] == pytest.approx(row["duration_ms"] - 200.0)


def test_messages_and_tools_as_one_list_or_several(server: LlmServer) -> None:
    one = [{"role": "user", "content": "one"}]
    two = [{"role": "user", "content": "two"}]
    assert len(sweep(REQUEST, messages=one)) == 1
    df = sweep(REQUEST, messages=[one, two, lambda old: [*old, {"role": "assistant", "content": "{"}]])
    assert df["prompt"].tolist() == ["one", "two", "Hi"]
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
    server.calls.clear()
    sweep(REQUEST, tools=[[tool], []], concurrency=1)
    assert [call.body.get("tools") for call in server.calls] == [[tool], None]


def test_a_span_that_is_no_call_names_the_calls_below_it(folder: Path) -> None:
    with anb.read_traces(folder) as traces:
        agent = traces.span("call").parent
        assert agent is not None
        with pytest.raises(NotRerunnable, match=r"'call' \(gpt-4o\)"):
            sweep(agent)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"n": 0}, "n=0"), ({"baseline": -1}, "baseline=-1"), ({"prompt": []}, "no variant"), ({"concurrency": 0}, "concurrency=0"),
        ({"metrics": {"cost_usd": len}}, "cost_usd"), ({"budget": math.nan}, "no limit"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_before_anything_is_sent(
    given: dict[str, Any], says: str, server: LlmServer
) -> None:
    with pytest.raises(ValueError, match=says):
        sweep(REQUEST, **given)
    assert not server.calls


def test_a_request_moved_to_the_other_provider_is_translated_or_refused(server: LlmServer) -> None:
    df = sweep(REQUEST.with_changes(system="Be kind"), model="claude-3-5-haiku-20241022")
    assert (
        df["provider"][0] == "anthropic"
        and server.calls[0].body["system"] == "Be kind"
        and server.calls[0].api == "anthropic"
    )
    with pytest.raises(TranslationError, match="logit_bias"):
        sweep(REQUEST, model="claude-3-5-haiku-20241022", parameters={"logit_bias": {"1": 2}})
    assert len(server.calls) == 1


# -- how it runs


def test_from_a_running_loop_and_awaited(server: LlmServer) -> None:
    async def cell() -> tuple[pd.DataFrame, pd.DataFrame]:
        return sweep(REQUEST, n=3), await arerun(REQUEST, n=3, progress=False)

    waited, awaited = asyncio.run(cell())
    assert waited["response"].tolist() == awaited["response"].tolist() == ["gpt-4o heard Hi"] * 3


def test_from_several_threads_at_once(server: LlmServer) -> None:
    frames: list[pd.DataFrame] = []
    threads = [threading.Thread(target=lambda: frames.append(sweep(REQUEST, n=5))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [len(frame) for frame in frames] == [5] * 8 and all(frame["error"].isna().all() for frame in frames)
    assert sum(thread.name == NAME for thread in threading.enumerate()) == 1


def test_interrupting_returns_what_was_done_within_a_second(server: LlmServer, folder: Path) -> None:
    server.reply = lambda call: Reply("done", delay=0.0 if call.number < 6 else 30.0)
    pressed: list[float] = []

    def press() -> None:
        while len(server.calls) < 10:
            time.sleep(0.02)
        time.sleep(0.2)
        pressed.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    with anb.read_traces(folder) as traces:
        threading.Thread(target=press, daemon=True).start()
        df = sweep(traces.span("call"), n=50, concurrency=4)
        assert time.monotonic() - pressed[0] < 1.5
        assert 6 <= len(df) <= 10 and df["response"].notna().sum() == 6
        cancelled = df[df["error"].notna()]
        assert len(cancelled) == 4 and cancelled["error"].str.contains("may have been billed").all()
        assert "interrupted: 10 of 50" in df.attrs["interrupted"]
        server.reply = lambda call: Reply("done")
        assert sweep(traces.span("call"), n=10)["from_cache"].sum() == 6, "what was done is kept"


def test_scripts_without_a_loop_or_a_main_guard(server: LlmServer, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from anton_notebook.experiments.rerun import rerun\nfrom anton_notebook.model.request import Request\n"
        "df = rerun(Request('openai', 'gpt-4o', messages=[{'role': 'user', 'content': 'Hi'}]), n=2)\n"
        "print(df['response'].tolist())\n"
    )
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=60, env=dict(os.environ)
    )
    assert done.stdout == "['gpt-4o heard Hi', 'gpt-4o heard Hi']\n" and done.stderr == "", done.stderr


def test_in_the_cells_of_a_kernel_waited_for_and_awaited(server: LlmServer, tmp_path: Path) -> None:
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    given = "Request('openai', 'gpt-4o', messages=[{'role': 'user', 'content': 'Hi'}])"
    cells = [
        f"from anton_notebook.model.request import Request\nfrom anton_notebook.experiments.rerun import arerun, rerun\nrequest = {given}",
        "df = rerun(request, n=3)\nprint(df['response'].tolist())",
        "df = await arerun(request, n=2)\nprint(df['error'].isna().all())",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbclient.NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    shown = [[output.get("text") or output["data"]["text/html"] for output in cell.outputs] for cell in notebook.cells]
    assert shown[0] == [] and len(shown[1]) == len(shown[2]) == 2
    assert "3 of 3 calls, $0.0002" in shown[1][0] and '<progress value="3" max="3">' in shown[1][0]
    assert shown[1][1] == "['gpt-4o heard Hi', 'gpt-4o heard Hi', 'gpt-4o heard Hi']\n" and shown[2][1] == "True\n"


def test_progress_counts_and_says_what_is_not_priced() -> None:
    progress = Progress(4, False)
    for cost, error, cached in (
        (0.25, None, False),
        (math.nan, None, False),
        (math.nan, "x", False),
        (0.0, None, True),
    ):
        progress.add({"cost_usd": cost, "error": error, "from_cache": cached, "attempts": 0 if cached else 1})
    assert progress.text() == "4 of 4 calls, \u2265 $0.250, 1 from the cache, 1 failed, 2 without a price"


def test_answers_stream_to_whoever_listens(server: LlmServer) -> None:
    heard: dict[int, str] = {}

    def on_text(call: Any, text: str) -> None:
        heard[call.variant.number] = heard.get(call.variant.number, "") + text

    made = Sweep(plan(REQUEST, prompt=["a", "b"]), on_text=on_text)
    asyncio.run(made.run())
    assert heard == {1: "gpt-4o heard a", 2: "gpt-4o heard b"} == dict(enumerate(made.frame()["response"], start=1))


# -- own metrics, own providers


def test_a_metric_that_fails_is_a_value_in_its_row(server: LlmServer) -> None:
    def fussy(text: str) -> int:
        if "b" in text:
            raise RuntimeError("not b")
        return len(text)

    df = sweep(REQUEST, prompt=["a", "b", "c"], metrics={"fussy": fussy, "fine": lambda text: True})
    assert df["fussy"].tolist() == [14, "RuntimeError: not b", 14] and df["fine"].tolist() == [True] * 3


def test_rows_without_an_answer_have_no_metric(server: LlmServer) -> None:
    server.fault = lambda call: "400" if call.number == 1 else None
    df = sweep(REQUEST, n=3, concurrency=1, metrics={"good": lambda text: True, "length": len})
    assert df["good"].isna().tolist() == [False, True, False] and df["length"].isna().tolist() == [False, True, False]


def test_a_provider_of_ones_own_is_one_method() -> None:
    class Mine:
        async def complete(self, request: Request) -> Response:
            if request.prompt == "bad":
                raise RuntimeError("no")
            return Response(f"<{request.prompt}>", usage={"input_tokens": 1_000_000, "output_tokens": 0})  # type: ignore[arg-type]

    df = sweep(REQUEST, prompt=["a", "bad", "c"], provider=Mine(), baseline=1)
    assert df["response"].tolist()[:2] == ["<Hi>", "<a>"] and df["error"].tolist()[2] == "RuntimeError: no"
    assert df["cost_usd"][0] == pytest.approx(2.5)


def test_a_server_of_ones_own_needs_no_key(server: LlmServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "OPENAI_BASE_URL", "ANTHROPIC_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    local = Request("", "llama3.2:3b", messages=[{"role": "user", "content": "Hi"}])
    with pytest.raises(UnknownProvider, match=r"OpenAI\(base_url=.*OPENAI_BASE_URL"):
        rerun(local, progress=False)
    monkeypatch.setenv("OLLAMA_HOST", server.url.removeprefix("http://"))
    monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}/v1")
    for provider in ("ollama", llm.OpenAI(base_url=f"{server.url}/v1"), llm.Ollama(base_url=server.url), None):
        assert rerun(local, provider=provider, progress=False)["error"].isna().all(), provider
    assert {call.path for call in server.calls} == {"/v1/chat/completions"} and len(server.calls) == 4
    assert {call.body["model"] for call in server.calls} == {"llama3.2:3b"}


def test_a_script_is_followed_in_order_and_is_loud_when_exhausted() -> None:
    script = Scripted(["one", Response("two", usage=Usage(5, 6)), RuntimeError("three"), lambda request: "four"])
    df = sweep(REQUEST, n=5, provider=script, concurrency=3)
    assert (
        df["response"].tolist()[:2] == ["one", "two"]
        and df["error"][2] == "RuntimeError: three"
        and df["response"][3] == "four"
    )
    assert "exhausted" in df["error"][4] and len(script.requests) == 5


# -- the cache and the trace


def test_answers_are_kept_by_request_and_repeat(server: LlmServer, folder: Path) -> None:
    server.reply = lambda call: Reply(f"answer {call.number}")
    with anb.read_traces(folder) as traces:
        span = traces.span("call")
        first = sweep(span, n=3, concurrency=1)
        assert first["response"].nunique() == 3 and not first["from_cache"].any()
        again = sweep(span, n=4, concurrency=1)
        assert again["from_cache"].tolist() == [True] * 3 + [False]
        assert again["response"].tolist()[:3] == first["response"].tolist()
        kept = again.iloc[0]
        assert (
            kept["cost_usd"] == 0 and kept["saved_usd"] == pytest.approx(first["cost_usd"][0]) and kept["attempts"] == 0
        )
        assert math.isnan(again["saved_usd"][3])
        asked = len(server.calls)
        baseline = sweep(span, n=2, baseline=2)
        assert baseline["from_cache"].all() and baseline["response"].nunique() == 4, (
            "equal requests of a sweep are repeats"
        )
        assert len(server.calls) == asked
        assert not sweep(span, cache=False)["from_cache"].any()
        assert not sweep(span, prompt="other")["from_cache"].any()
        traces.refresh()
        runs = traces.runs_df(experiments=True)
        assert runs["cost_usd"].sum() == pytest.approx(
            0.0035 + sum(f["cost_usd"].sum() for f in (first, again)) + 2 * first["cost_usd"][0]
        )
    db = folder / ".modular-agents" / "answers.db"
    assert stat.S_IMODE(db.stat().st_mode) == 0o600
    assert sqlite3.connect(db).execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_failed_answers_are_not_kept(server: LlmServer, folder: Path) -> None:
    server.fault = "sse-cut"
    with anb.read_traces(folder) as traces:
        assert sweep(traces.span("call"))["error"].notna().all()
        server.fault = None
        assert not sweep(traces.span("call"))["from_cache"].any()


def test_another_server_is_another_answer(server: LlmServer, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with anb.read_traces(folder) as traces, LlmServer(lambda call: Reply("other")) as other:
        sweep(traces.span("call"))
        monkeypatch.setenv("OPENAI_BASE_URL", other.url + "/v1")
        assert sweep(traces.span("call"))["response"].tolist() == ["other"]


def _told(traces: Any) -> list[dict[str, Any]]:
    """The runs as they go to a page."""
    store = traces.store
    messages, _ = Encoder(store).encode(ClientState(), Scope(1, tuple(range(len(store.traces)))))
    return [run for message in messages for run in message.header["runs"]]


def test_a_sweep_is_a_trace_of_its_own_linked_to_its_original(server: LlmServer, folder: Path) -> None:
    server.reply = lambda call: Reply("Called", tools=[("read", {"path": "x"})], usage=(100, 10, 40))
    with anb.read_traces(folder) as traces:
        before = traces.runs_df()
        df = sweep(traces.span("call"), prompt=["a", "b"])
        traces.refresh()
        assert traces.runs_df().drop(columns="source").equals(before.drop(columns="source")), "experiments stay outside"
        run = traces.runs_df(experiments=True).iloc[-1]
        assert (run["origin"], run["original_trace_id"], run["trace_id"]) == ("rerun", "run", df.attrs["new_trace_id"])
        assert run["name"] == "2 prompts \u2013 module_api \u00b7 gpt-4o (call)", "what was tried, and of which call"
        told = {one["trace_id"]: one for one in _told(traces)}
        assert told[run["trace_id"]]["original_row"] == traces.span("call").row, "pages know which call it is about"
        assert told["run"]["original_row"] is None and told["run"]["llm_calls"] == before["llm_calls"].iloc[0]
        spans = traces.spans_df().set_index("span_id")
        for row in df.itertuples():
            span = traces.span(row.new_span_id)
            light = spans.loc[row.new_span_id]
            assert (light["original_trace_id"], light["original_span_id"], light["agent"]) == (
                "run",
                "call",
                "module_api",
            )
            assert light["cost_usd"] == pytest.approx(row.cost_usd) and light["cached_tokens"] == 40
            assert (
                span.request.prompt == row.prompt
                and span.request.system == "Be kind"
                and span.response.text == row.response
            )
            assert span.response.tool_calls == row.tool_calls and span.request.missing == ()
            assert span.duration_ms == pytest.approx(row.duration_ms, abs=0.01)
        again = sweep(traces.span(df["new_span_id"][0]), cache=False)
        (first,) = (call.body for call in server.calls[:2] if call.body["messages"][-1]["content"] == "a")
        assert again["error"].isna().all() and server.calls[-1].body == first


def test_nothing_is_written_before_something_is_asked(server: LlmServer, folder: Path) -> None:
    with anb.read_traces(folder) as traces:
        quote(traces.span("call"), n=3)
        with pytest.raises(BudgetError):
            sweep(traces.span("call"), model="no-such-model", budget=1)
    home = folder / ".modular-agents"
    assert sorted(path.name for path in home.rglob("*")) == ["module_api_20260101_000000.jsonl", "traces"]


def test_a_home_that_cannot_be_written_is_said_and_does_not_stop_the_sweep(server: LlmServer, folder: Path) -> None:
    blocked = folder / "blocked"
    blocked.write_text("a file where a folder should be")
    with anb.read_traces(folder) as traces:
        df = sweep(traces.span("call"), home=blocked)
    assert df["error"].isna().all() and df["new_span_id"].isna().all()
    assert "trace" in df.attrs and "answers.db" in df.attrs["cache"]


def test_the_key_is_in_no_file(server: LlmServer, folder: Path) -> None:
    server.fault = lambda call: "echo-key" if call.number % 2 else None
    with anb.read_traces(folder) as traces:
        sweep(traces.span("call"), n=4, model=["gpt-4o", "claude-3-5-haiku-20241022"])
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) == 3
    for path in files:
        assert b"canary" not in path.read_bytes(), path


def test_the_originals_stay_byte_for_byte(server: LlmServer, folder: Path) -> None:
    path = folder / ".modular-agents" / "traces" / "module_api_20260101_000000.jsonl"
    before = path.read_bytes()
    with anb.read_traces(folder) as traces:
        sweep(traces.span("call"), n=3)
    assert path.read_bytes() == before


# -- quotes


def test_a_quote_lies_between_what_is_paid_and_the_worst_case(server: LlmServer, folder: Path) -> None:
    with anb.read_traces(folder) as traces:
        span = traces.span("call")
        found = quote(span, prompt=["a", "b"], n=5, budget=1, metrics={"x": len})
        assert (found.calls, found.cached_calls, found.output_tokens_high) == (10, 0, 500)
        assert 0 < found.cost_low_usd < found.cost_high_usd and found.seconds == pytest.approx(0.4)
        assert "10 calls" in str(found) and "at most" in str(found)
        sweep(span, prompt=["a"], n=5)
        kept = quote(span, prompt=["a", "b"], n=5)
        assert (kept.calls, kept.cached_calls) == (5, 5)
        assert not quote(span, prompt=["a"], n=5).calls and "nothing to pay" in str(quote(span, prompt="a"))
        unknown = quote(span, model="no-such-model")
        assert math.isnan(unknown.cost_low_usd) and "anb.set_price" in str(unknown)
        with pytest.raises(TypeError, match="promt"):
            quote(span, promt="x")
