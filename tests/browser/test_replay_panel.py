"""A replay from the page: fork from a node, the branch appears beside its original, and both are there to compare."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from anton_notebook.model.request import Request
from tests.browser.conftest import Opener
from tests.experiments.replay.programs import TOOLS, Run, execute, model, record, span_of
from tests.support.servers.llm_server import Call, LlmServer, Reply

pytestmark = pytest.mark.browser


def answer(call: Call) -> Reply:
    response = model(Request("openai", "gpt-4o", None, call.body["messages"]))
    # The recording's usage: an answer that is longer than any recorded one would end the replay, for fear of compaction.
    return Reply(response.text, [(one["name"], one["arguments"]) for one in response.tool_calls], usage=(10, 5, 0))


@pytest.fixture
def server() -> Iterator[LlmServer]:
    with LlmServer(answer) as running:
        yield running


def program(run: Run) -> None:
    """An agent that reads a file twice, and a summary."""
    messages = [{"role": "user", "content": "[tool.] Read the file and say what is in it"}]
    text = run.loop("worker", messages)
    run.say("orchestrator", f"[text] Summarize: {text}")


def test_a_fork_grows_beside_its_original_and_can_be_compared(
    notebook: Opener, traces: Path, server: LlmServer
) -> None:
    made = execute(program, model, TOOLS)
    original = record(made, traces, "run-1")
    before = original.read_bytes()
    (traces / "environment.txt").write_text(json.dumps(server.environment()))
    cell = f"import json, os\nos.environ.update(json.load(open({str(traces / 'environment.txt')!r})))\n"
    cell += "import anton_notebook as anb\n"
    cell += f"graph = anb.TraceGraph({str(traces)!r}, allow_replay=True, budget=10, trace_id='run-1')\ngraph"
    book = notebook([cell])
    book.idle()
    book.run_cell(0)
    page = book.page
    book.painted(7)
    book.do(f"graph.selected_span_id = {span_of('1')!r}")
    page.click(".an-fork-open")
    page.wait_for_function("document.querySelector('.an-fork-prompt')?.value.startsWith('[tool.]')")
    page.fill(".an-fork-prompt", "[tool.] Read the file and say it otherwise")
    page.wait_for_function("document.querySelector('.an-fork-executed')?.textContent.includes('1 executed')")
    page.wait_for_function("document.querySelector('.an-fork-inferred')?.textContent.includes('4 inferred')")
    page.wait_for_function("document.querySelector('.an-fork-stale')?.textContent.includes('1 stale')")
    page.wait_for_function("document.querySelector('.an-fork-quote')?.textContent.includes('3 calls')")
    assert "structural steps" in page.inner_text(".an-fork-caution")
    assert not server.calls
    shoot(page, "plan")
    page.click(".an-fork-go")
    page.wait_for_function("document.querySelector('.an-fork-quote')?.textContent.startsWith('Done')")
    assert len(server.calls) == 3
    book.painted(14)  # the branch stands beside its original
    shoot(page, "branch")
    page.click(".an-fork-look")
    branch = next(traces.glob(".anton_notebook/traces/branch_*.jsonl"))
    lines = [json.loads(line) for line in branch.read_text().splitlines()]
    ended = {one["span_id"]: one["anton_notebook"] for one in lines}.values()
    assert sorted(mark["provenance"] for mark in ended) == ["executed", *["inferred"] * 4, "stale"]
    assert {mark["original_trace_id"] for mark in ended} == {"run-1"}
    page.wait_for_function("document.querySelector('.an-fork-quote')?.textContent.includes('answers differ')")
    assert original.read_bytes() == before
    book.do("graph.view = 'compare'")
    page.wait_for_selector(".an-parting")
    said = {
        one: page.locator(".an-pairs .an-origin", has_text=one).count() for one in ("executed", "inferred", "stale")
    }
    assert said == {"executed": 1, "inferred": 4, "stale": 1}
    page.locator(".an-pairs .an-chip").first.click()  # how it differs, word by word
    page.wait_for_selector(".an-words del, .an-words ins")
    shoot(page, "compare")


def shoot(page: object, name: str) -> None:
    folder = os.environ.get("ANTON_NOTEBOOK_SHOTS")
    if folder:
        page.screenshot(path=f"{folder}/fork-{name}.png")  # type: ignore[attr-defined]
