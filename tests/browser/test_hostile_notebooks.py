"""The script-injection list in JupyterLab and in Notebook 7: nothing runs, loads, opens a dialog or starts a command.

The notebook's page gets a policy that reports what would run or load, a spy on its commands, and a log of what it asks for.
Each is tried in the end: markup that is written into the page must trip them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.lab import Lab, Notebook
from tests.browser.test_hostile import OPEN_ALL, WATCH, payloads, run_of_many
from tests.dashboard.test_dashboard import line, put

pytestmark = [pytest.mark.browser, pytest.mark.nightly]
POLICY = "script-src 'self' 'unsafe-eval' blob:; img-src 'self' data: blob:; frame-src 'none'; object-src 'none'; form-action 'none'"
SPY = """() => {
  window.broken.length = 0;
  window.commands = [];
  jupyterapp.commands.commandExecuted.connect((_, args) => window.commands.push(args.id));
}"""
FOUND = """() => ({
  broken: window.broken, commands: window.commands, polluted: ({}).polluted === undefined ? null : "polluted",
  dialogs: document.querySelectorAll(".jp-Dialog, dialog[open]").length,
  attributes: [...document.querySelectorAll(".anton *")].flatMap((node) => [...node.attributes]
    .filter((one) => /^(on|src|href|action|formaction|srcdoc|xlink|data-command|name$)/.test(one.name) && !one.value.startsWith("data:image"))
    .map((one) => `${one.name}=${one.value}`)),
})"""
__all__ = ["payloads"]


def guarded(page: Page, asked: list[str]) -> None:
    """Keeps what the page of a notebook reports and asks for."""
    page.add_init_script(WATCH)
    page.on(
        "request",
        lambda r: (
            asked.append(r.url)
            if r.resource_type in ("image", "media", "document", "script", "font", "other")
            else None
        ),
    )
    page.on("dialog", lambda dialog: (asked.append("a dialog"), dialog.dismiss()))


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A JupyterLab, and with it a Notebook 7, of which every page has the policy."""
    headers = {"headers": {"Content-Security-Policy-Report-Only": POLICY}}
    server = Lab(tmp_path_factory.mktemp("strict"), f"--ServerApp.tornado_settings={headers}")
    yield server
    server.close()


class Seven(Notebook):
    """A notebook in Notebook 7."""

    place = "notebooks"


@pytest.mark.parametrize("kind", [Notebook, Seven], ids=["JupyterLab", "Notebook 7"])
def test_X1_X3_no_payload_runs_or_starts_a_command_in(
    kind: type[Notebook], strict: Lab, browser: Browser, payloads: list[str], tmp_path: Path
) -> None:
    if kind is Seven:
        pytest.importorskip("notebook", reason="NOT TESTED: Notebook 7 is not installed")
    calls = run_of_many(payloads)
    names = [
        line(
            f"m{i} {text[:40]}", 1, trace_id="many names", agent_name=text, model=text, span_type="tool" if i % 2 else "llm",
            tool_name=text, error=text, timestamp=f"2026-11-23T02:00:00.{i:06d}Z",
        )
        for i, text in enumerate(payloads)
    ]  # fmt: skip
    put(tmp_path / "main.jsonl", *calls)
    put(tmp_path / "names.jsonl", *names)
    asked: list[str] = []
    cell = (
        f"import anton_notebook as anb\ngraph = anb.TraceGraph({str(tmp_path)!r}, height=700, allow_rerun=True)\ngraph"
    )
    book = kind(strict, browser, f"hostile-{kind.__name__}.ipynb", [cell], prepare=lambda page: guarded(page, asked))
    page = book.page
    try:
        book.idle()
        book.do("import anton_notebook")
        page.evaluate(SPY)
        book.run_cell(0)
        book.painted(len(calls))
        ran = page.evaluate("() => window.commands.splice(0)")
        assert "notebook:run-cell" in ran, "the spy hears commands"
        del asked[:]
        before = page.url
        seen, places = set[str](), set[str]()
        for call in calls:
            book.do(f"graph.selected_span_id = {call['span_id']!r}")
            wanted = call["response"].split("\n")[0]
            page.wait_for_function(
                "text => [...document.querySelectorAll('.an-details pre')].some((one) => one.textContent.includes(text))",
                arg=wanted,
            )
            page.evaluate(OPEN_ALL)
            seen |= set(page.eval_on_selector_all(".an-details pre", "all => all.map((one) => one.textContent)"))
        missing = [text for text in payloads if text not in seen]
        assert not missing, (len(missing), missing[:3])
        places |= {"error", "facts", "system", "messages", "response", "JSON keys", "JSON leaves", "picker", "totals"}
        for run in ("main " + payloads[7], "many names"):
            book.do(f"graph.trace_id = {run!r}")
            for view in ("graph", "timeline", "tree", "chat", "compare"):
                book.do(f"graph.view = {view!r}")
                page.wait_for_function("view => document.querySelector('.anton').dataset.view === view", arg=view)
                page.wait_for_timeout(400)
                _hover(page)
                places.add(view)
        book.do("graph.view = 'graph'")
        for text in payloads[:600:40]:
            page.locator(".an-search").fill(text)
            page.wait_for_timeout(30)
        page.locator(".an-search").fill("")
        places |= {"tooltips", "search"}
        found: dict[str, Any] = page.evaluate(FOUND)
        elsewhere = [url for url in asked if not url.startswith(("data:", "blob:", f"{strict.url}/static/"))]
        assert found == {"broken": [], "commands": [], "polluted": None, "dialogs": 0, "attributes": []}, json.dumps(
            found
        )[:1500]
        assert elsewhere == [] and page.url == before and len(places) >= 12
        page.evaluate(
            "() => { const e = document.createElement('div'); document.body.append(e); e.innerHTML = '<img src=nowhere.png onerror=alert(1)>'; }"
        )
        page.wait_for_function("() => window.broken.length > 0")
        assert any("nowhere" in url for url in asked), "the log hears requests"
        print(
            f"{kind.__name__}: {len(payloads)} payloads in {len(places)} places: 0 executions, commands, dialogs and requests"
        )
    finally:
        book.close()


def _hover(page: Page) -> None:
    """Leads the pointer over the picture or the list."""
    box = page.locator(".an-stage:visible, .an-tree:visible, .an-conversation:visible, .anton").first.bounding_box()
    assert box is not None
    for step in range(25):
        page.mouse.move(
            box["x"] + 30 + step * 41 % (box["width"] - 60), box["y"] + 20 + step * 67 % (box["height"] - 40)
        )
        page.wait_for_timeout(15)
