"""The backend of the re-run panel against a real HTTP server."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import anton_notebook as anb
from anton_notebook import llm, read_traces
from anton_notebook.experiments.rerun import Budget, rerun
from anton_notebook.experiments.verdict import RERUN
from anton_notebook.model.request import Response
from anton_notebook.pricing import reset_prices
from anton_notebook.widget.trace_graph import TraceGraph
from tests.support.pages import line
from tests.support.servers.llm_server import LlmServer, Reply
from tests.widget import fakes
from tests.widget.fakes import Client

MODEL = "claude-sonnet-4-20250514"
ASKED = [{"role": "user", "content": "Name a colour."}]
OPEN: dict[str, Any] = {
    "provider": "claude", "model": MODEL, "system_prompt": "Be brief.", "messages": ASKED, "response": "Blue, I would say.",
    "parameters": {"max_tokens": 64, "temperature": 0.5}, "tools": [{"name": "look", "input_schema": {"type": "object"}}],
}  # fmt: skip


def eventually(true: Callable[[], object]) -> None:
    fakes.eventually(true, 60.0)  # the first call of a process loads the SDK


@pytest.fixture(autouse=True)
def prices() -> Iterator[None]:
    yield
    reset_prices()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[LlmServer]:
    with LlmServer() as running:
        for name, value in running.environment().items():
            monkeypatch.setenv(name, value)
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    traces = tmp_path / ".modular-agents" / "traces"
    traces.mkdir(parents=True)
    (traces / "a.jsonl").write_bytes(line("root", span_type="orchestrator") + line("s2", parent_id="root", **OPEN))
    return tmp_path


@pytest.fixture
def opened(folder: Path) -> Iterator[Callable[..., Page]]:
    graphs: list[TraceGraph] = []

    def make(**given: Any) -> Page:
        graphs.append(TraceGraph(folder, **{"allow_rerun": True, **given}))
        return Page(graphs[-1])

    yield make
    for graph in graphs:
        graph.close()


class Page(Client):
    """A page that has the call `s2` open."""

    def __init__(self, graph: TraceGraph) -> None:
        super().__init__(graph)
        self.row = graph.traces.span("s2").row

    def on_span(self, op: str, **args: Any) -> Any:
        return self.ask(op, epoch=self.graph.traces.store.epoch, row=self.row, **args)

    def finished(self, number: int) -> Any:
        eventually(lambda: self.ask("try_look", **{"try": number})["state"] != "running")
        return self.ask("try_look", **{"try": number})

    def run(self, **args: Any) -> Any:
        return self.finished(self.on_span("try_run", **args)["try"])


def test_rerun_panel_opens_with_the_recorded_request(opened: Callable[..., Page]) -> None:
    found = opened().on_span("try_open")
    texts = found["texts"]
    assert (texts["prompt"], texts["system"], found["model"], found["provider"]) == (
        "Name a colour.", "Be brief.", MODEL, "anthropic",
    )  # fmt: skip
    assert json.loads(texts["messages"]) == ASKED
    assert json.loads(texts["parameters"]) == OPEN["parameters"] and json.loads(texts["tools"]) == OPEN["tools"]
    assert found["response"] == OPEN["response"] and found["allowed"] and found["tries"] == []


def test_rerun_panel_sends_edits_and_adds_a_row(opened: Callable[..., Page], server: LlmServer) -> None:
    server.reply = lambda call: Reply("Green, I would say.", usage=(20, 6, 0))
    page = opened()
    done = page.run(
        prompt="Name another colour.", system="", parameters='{"max_tokens": 32}', tools="[]", model="claude-haiku-4-5"
    )
    (call,) = server.calls
    assert call.body == {
        "model": "claude-haiku-4-5", "messages": [{"role": "user", "content": "Name another colour."}], "max_tokens": 32,
        "stream": True,
    }  # fmt: skip
    (answer,) = done["answers"]
    assert answer["text"] == "Green, I would say." and answer["error"] is None and answer["cost_usd"] > 0
    df = page.graph.experiments_df
    assert list(df.columns) == list(RERUN) and len(df) == 1
    row = df.iloc[0]
    assert (row["response"], row["original"], row["prompt"]) == (
        "Green, I would say.", OPEN["response"], "Name another colour.",
    )  # fmt: skip
    assert row["similarity"] == answer["similarity"] and row["diff"]


def test_rerun_panel_python_sends_the_same_request(
    opened: Callable[..., Page], server: LlmServer, folder: Path
) -> None:
    page = opened()
    edits: list[dict[str, Any]] = [
        {"prompt": "Another\ncolour, with \"quotes\" and 'more'\n\n  and a tail\\n."},
        {"system": "", "parameters": '{"temperature": 1, "stop_sequences": ["x"]}'},
        {"tools": "[]", "n": 2},
        {"messages": json.dumps([*ASKED, {"role": "assistant", "content": "Red"}, {"role": "user", "content": "No."}])},
        {
            "model": "claude-haiku-4-5",
            "tools": json.dumps([{"name": "w" * 60, "input_schema": {"type": "object"}}] * 3),
        },
    ]
    for edit in edits:
        server.calls.clear()
        done = page.run(**edit, fresh=True)
        sent = [call.body for call in server.calls]
        server.calls.clear()
        names: dict[str, Any] = {"anb": anb, "traces": read_traces(folder)}
        exec(done["python"], names)  # noqa: S102
        assert [call.body for call in server.calls] == sent and names["df"]["error"].isna().all()
        names["traces"].close()


def test_rerun_panel_ignores_unchanged_texts(opened: Callable[..., Page]) -> None:
    page = opened()
    texts = page.on_span("try_open")["texts"]
    compact = {name: json.dumps(json.loads(texts[name])) for name in ("messages", "parameters", "tools")}
    for given in (texts, {**texts, **compact}):
        assert page.on_span("try_quote", **given)["python"] == "df = anb.rerun(traces.span('s2'))"


def test_rerun_panel_quote_sends_nothing(opened: Callable[..., Page], server: LlmServer) -> None:
    page = opened()
    one, three = (page.on_span("try_quote", prompt="Other", n=n)["quote"] for n in (1, 3))
    assert (one["calls"], three["calls"]) == (1, 3) and one["input_tokens"] > 0
    assert 0 < one["cost_low_usd"] < one["cost_high_usd"] < three["cost_high_usd"]
    assert page.on_span("try_quote", prompt="Other")["problem"] is None and not server.calls


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"parameters": '{"temperature": }'}, "parameters is not valid JSON: .*line 1"),
        ({"messages": "[]"}, "at least one message"),
        ({"tools": '{"name": "x"}'}, "tools must be a JSON list"),
        ({"model": "nobody-knows-1"}, "anb.set_price"),
        ({"provider": "nobody", "model": "x"}, "provider 'nobody' is not known"),
        ({"n": 1000}, "from 1 to 50"),
        ({"parameters": '{"max_tokens": 64000000}', "prompt": "x"}, "of the graph's budget is left"),
    ],
)
def test_rerun_panel_reports_problems_in_the_quote(
    opened: Callable[..., Page], server: LlmServer, given: dict[str, Any], problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL")
    found = opened().on_span("try_quote", **given)
    assert re.search(problem, found["problem"]), found["problem"]


def test_rerun_panel_names_a_missing_key(
    opened: Callable[..., Page], server: LlmServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = opened()
    server.fault = "401"
    (answer,) = page.run(prompt="Refused")["answers"]
    assert "401" in answer["error"] and "is the key right?" in answer["error"]
    for name in server.environment():
        monkeypatch.delenv(name)
    assert "ANTHROPIC_API_KEY is not set" in page.on_span("try_quote", prompt="Nobody")["problem"]


def test_rerun_panel_sends_nothing_unless_allowed(opened: Callable[..., Page], server: LlmServer) -> None:
    page = opened(allow_rerun=False)
    state = {"allow_rerun": True, "budget": 100.0}
    page.graph._handle_msg({"content": {"data": {"method": "update", "state": state}}, "buffers": []})
    assert not page.on_span("try_open")["allowed"]
    assert page.on_span("try_quote", prompt="x")["quote"]["calls"] == 1
    with pytest.raises(RuntimeError, match=r"NotAllowed: .*allow_rerun=True"):
        page.on_span("try_run", prompt="x", allow_rerun=True)
    assert not server.calls and page.graph.experiments_df.empty
    page.graph.allow_rerun = True
    assert page.run(prompt="x")["answers"][0]["error"] is None


def test_rerun_panel_streams_answers(opened: Callable[..., Page], server: LlmServer) -> None:
    words = [f"word{i} " for i in range(40)]

    async def complete(request: Any, *, on_text: Callable[[str], None]) -> Any:
        for word in words:
            on_text(word)
            await asyncio.sleep(0.02)
        return Response("".join(words))

    provider = type("Talker", (), {"name": "talker", "complete": staticmethod(complete)})()
    llm.register("talker", provider)
    anb.set_price(MODEL, input=1, output=1)
    page = opened()
    number = page.on_span("try_run", prompt="Talk", provider="talker")["try"]
    text, seen = "", []
    while True:
        found = page.ask("try_look", **{"try": number, "seen": [len(text)]})
        (answer,) = found["answers"]
        text = text[: answer["offset"]] + answer["text"]
        seen.append(len(text))
        if found["state"] != "running":
            break
        time.sleep(0.05)
    assert text == "".join(words) and len(set(seen)) > 4
    assert page.ask("try_look", **{"try": number, "seen": [-1]})["answers"] == []


def test_rerun_panel_stops_a_job(opened: Callable[..., Page], server: LlmServer) -> None:
    server.fault = lambda call: "stall" if "Slow" in json.dumps(call.body) else None
    page = opened()
    number = page.on_span("try_run", prompt="Slow", n=2)["try"]
    eventually(lambda: server.open == 2)
    page.ask("try_stop", **{"try": number})
    done = page.finished(number)
    assert done["state"] == "stopped" and all("cancelled" in answer["error"] for answer in done["answers"])
    assert page.graph.experiments_df["error"].str.contains("may have been billed").all()


def test_rerun_panel_budget_covers_all_jobs(opened: Callable[..., Page], server: LlmServer) -> None:
    server.reply = lambda call: Reply(usage=None)  # the worst case is what it costs
    budget = Budget(0.006)
    page = opened(budget=budget)
    rows = [page.run(prompt=f"Call {i}")["answers"][0] for i in range(8)]
    said = [row["error"] for row in rows]
    assert said[0] is None and said[-1] == "budget" and 0 < budget.spent_usd <= 0.006
    assert len(server.calls) == said.count(None)
    assert page.ask("try_look", **{"try": 8})["left_usd"] == pytest.approx(0.006 - budget.spent_usd)


def test_rerun_panel_default_budget_is_one_dollar(opened: Callable[..., Page]) -> None:
    assert opened().on_span("try_quote")["left_usd"] == 1.0
    assert opened(budget=2).on_span("try_quote")["left_usd"] == 2.0


def test_rerun_panel_uses_cached_answers(opened: Callable[..., Page], server: LlmServer) -> None:
    page = opened()
    first = page.run(prompt="Twice")["answers"][0]
    assert page.on_span("try_quote", prompt="Twice")["quote"]["calls"] == 0
    again = page.run(prompt="Twice")["answers"][0]
    assert not first["from_cache"] and again["from_cache"] and again["cost_usd"] == 0 and len(server.calls) == 1
    fresh = page.run(prompt="Twice", fresh=True)
    assert not fresh["answers"][0]["from_cache"] and len(server.calls) == 2 and "cache=False" in fresh["python"]


def test_rerun_panel_history_includes_python_reruns(
    opened: Callable[..., Page], server: LlmServer, folder: Path
) -> None:
    with read_traces(folder) as traces:
        rerun(traces.span("s2"), prompt="From Python", n=2, progress=False)
    page = opened()
    page.run(prompt="From the page")
    before, own = page.on_span("try_history")["tries"]
    assert (before["answers"], before["try"], own["try"], own["changed"]) == (2, None, 1, ["prompt"])
    found = page.on_span("try_look", trace_id=before["trace_id"])
    assert [answer["text"] for answer in found["answers"]] == ["All good.", "All good."]
    eventually(lambda: len(page.graph.traces.store.traces) == 3)
    assert len(page.on_span("try_history")["tries"]) == 2  # its own trace is not told twice
    with pytest.raises(RuntimeError, match="No sweep"):
        page.on_span("try_look", trace_id=page.graph.traces.span("s2").trace_id)


def test_rerun_panel_answers_stay_outside_run_totals(
    opened: Callable[..., Page], server: LlmServer, folder: Path
) -> None:
    page = opened()
    page.hello()
    run = page.graph.traces.span("s2").trace_id
    eventually(lambda: page.look().shown == [run] and not page.page.behind)
    before = page.page.runs[run]
    page.run(prompt="One more", n=2)
    with read_traces(folder) as traces:
        rerun(traces.span("s2"), prompt="And one from Python", progress=False)
    eventually(lambda: len(page.look().shown) == 3 and page.in_step())
    assert page.page.shown[0] == run and page.page.runs[run] == before
    tried = [page.page.runs[trace_id] for trace_id in page.page.shown[1:]]
    row = page.graph.traces.span("s2").row
    said = {(one["origin"], one["original_trace_id"], one["original_row"]) for one in tried}
    assert said == {("rerun", run, row)}, "beside the call that they are about"
    assert all("s2"[:8] in one["name"] and "prompt" in one["name"] for one in tried), (
        "what was tried, and of which call"
    )
    assert sum(one["llm_calls"] for one in tried) == 3
    runs = page.graph.traces.runs_df()
    assert page.graph.traces.runs_df().loc[runs["origin"] == "run", "llm_calls"].sum() == 1


def test_rerun_panel_serves_listed_assets_only(opened: Callable[..., Page]) -> None:
    page = opened()
    assert "export" in page.ask("asset", name="editor.js")["text"]
    for name in ("widget.js", "../widget.js", "editor.js/../../__init__.py", "", None, 3):
        with pytest.raises(RuntimeError, match="No such file"):
            page.ask("asset", name=name)


def test_rerun_panel_refuses_unknown_jobs(opened: Callable[..., Page]) -> None:
    for number in (1, 0, -1, "1", None, True):
        with pytest.raises(RuntimeError, match="No re-run"):
            opened().ask("try_look", **{"try": number})


def test_rerun_panel_refuses_tool_calls(opened: Callable[..., Page]) -> None:
    page = opened()
    page.row = page.graph.traces.span("root").row
    with pytest.raises(RuntimeError, match=r"no LLM call.*'s2'"):
        page.on_span("try_open")


def test_rerun_panel_never_reveals_the_key(
    opened: Callable[..., Page], server: LlmServer, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keys = [value for name, value in server.environment().items() if name.endswith("KEY")]
    faults = iter(["echo-key", "401", "500", "html", "sse-cut", None])
    server.fault = lambda call: next(faults)
    page = opened()
    with caplog.at_level("DEBUG"):
        page.hello()
        for i in range(6):
            provider = {"provider": "openai", "model": "gpt-4o", "parameters": '{"max_tokens": 9}'} if i == 0 else {}
            page.run(prompt=f"Call {i}", **provider)
    sent = [call.headers for call in server.calls]
    assert all(any(key in str(headers) for headers in sent) for key in keys), "they do go to the server"
    graph = page.graph
    df = graph.experiments_df
    assert df["error"].notna().sum() == 5 and "(key)" in df["error"].iloc[0]
    wires = [str(graph.comm.__dict__["sent"]), str(graph._commands.comm.__dict__["sent"])]
    said = [
        caplog.text,
        str(df.to_dict()),
        str(df.attrs),
        repr(graph),
        repr(graph.budget),
        str(graph.get_state()),
        *wires,
    ]
    files = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert {path.suffix for path in files} >= {".jsonl", ".db"} and "Call 5" in str(df.to_dict())
    for key in keys:
        assert not [text for text in said if key in text]
        assert not [path for path, data in files.items() if key.encode() in data]


def test_rerun_panel_close_stops_jobs(opened: Callable[..., Page], server: LlmServer) -> None:
    server.fault = "stall"
    page = opened()
    page.on_span("try_run", prompt="Never")
    eventually(lambda: server.open == 1)
    tried = page.graph._parts.reruns
    page.graph.close()
    eventually(lambda: tried._jobs.all()[0].state == "stopped")
