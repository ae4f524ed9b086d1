"""A prompt tried in JupyterLab, from the selected span to the row in Python; and where a key could turn up."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.browser.conftest import Opener
from tests.browser.lab import Notebook
from tests.browser.test_dashboard import Command
from tests.support.pages import line
from tests.support.servers.llm_server import LlmServer, Reply

pytestmark = pytest.mark.browser

WAYS = ("framesent", "framereceived")
WORDS = "Green it is, said the model, and went on for a while so that one can watch it. "


@pytest.fixture
def server() -> Iterator[LlmServer]:
    with LlmServer(lambda call: Reply(WORDS, pieces=16, pause=0.1)) as running:
        yield running


def recorded() -> bytes:
    """A run of one call of a model."""
    call = line(
        "s2", parent_id="s1", provider="claude", model="claude-haiku-4-5", response="Blue it is.", parameters={"max_tokens": 99},
        messages=[{"role": "user", "content": "Name a *colour*."}],
    )  # fmt: skip
    return line("s1", span_type="orchestrator") + call


def opened(notebook: Opener, folder: Path, server: LlmServer, more: str = ", allow_rerun=True") -> Notebook:
    """A notebook whose graph shows a recorded call, with the panel to try it open."""
    (folder / "a.jsonl").write_bytes(recorded())
    (folder / "environment.txt").write_text(json.dumps(server.environment()))  # no key stands in the notebook
    cell = f"import json, os\nos.environ.update(json.load(open({str(folder / 'environment.txt')!r})))\n"
    cell += f"from anton_notebook.widget.trace_graph import TraceGraph\ngraph = TraceGraph({str(folder)!r}{more}, trace_id='run-1')\ngraph"
    book = notebook([cell])
    book.idle()
    book.run_cell(0)
    book.painted(2)
    book.do("graph.selected_span_id = 's2'")
    book.page.click(".an-try-open")
    book.page.wait_for_selector(".an-try .cm-content")
    return book


def says(book: Notebook, where: str, text: str) -> None:
    book.page.wait_for_function(
        "([where, text]) => document.querySelector(where)?.textContent.includes(text)", arg=[where, text]
    )


def test_a_prompt_is_edited_and_tested_and_is_a_row_in_python(
    notebook: Opener, traces: Path, server: LlmServer
) -> None:
    book = opened(notebook, traces, server)
    page = book.page
    says(book, ".an-try-quote", "1 call")
    page.click(".an-try-editor .cm-content")
    page.keyboard.press("Control+End")
    page.keyboard.type(" Not blue")
    page.keyboard.press("Control+z")
    page.keyboard.type(" Not blue.")
    says(book, ".an-try-python pre", "Not blue.")
    page.keyboard.press("Control+Enter")  # the notebook has keys of its own, which must not hear this
    lengths = set()
    for _ in range(600):
        text = page.evaluate("document.querySelector('.an-try .cm-merge-b .cm-content')?.textContent ?? ''")
        lengths.add(len(text))
        if text.strip() == WORDS.strip():
            break
        page.wait_for_timeout(50)
    assert len(lengths) > 4, f"it did not stream: {lengths}"
    says(book, ".an-try-facts", "% alike")
    assert page.locator(".an-try .cm-merge-a .cm-changedText").count() > 0
    assert page.locator(".an-try .cm-merge-b .cm-changedText").count() > 0
    (sent,) = [call.body["messages"] for call in server.calls]
    assert sent == [{"role": "user", "content": "Name a *colour*. Not blue."}]
    row = book.ask("graph.experiments_df.iloc[0][['prompt', 'response', 'original', 'attempts']].to_dict()")
    assert row == {
        "prompt": "Name a *colour*. Not blue.", "response": WORDS, "original": "Blue it is.", "attempts": 1,
    }  # fmt: skip
    book.painted(4)  # its answer stands in the graph, beside the run
    said = page.inner_text(".an-try-python pre") or page.text_content(".an-try-python pre")
    assert book.ask("len(graph.traces.runs_df(experiments=True))") == 2 and str(said).startswith("df = anb.rerun(")


def test_undo_find_and_json_and_both_themes(notebook: Opener, traces: Path, server: LlmServer) -> None:
    book = opened(notebook, traces, server)
    page = book.page
    page.click(".an-try-editor .cm-content")
    page.keyboard.press("Control+f")
    page.keyboard.type("colour")
    page.wait_for_selector(".an-try .cm-searchMatch")
    page.keyboard.press("Escape")  # ends the search, not the panel
    page.wait_for_selector(".an-try .cm-search", state="detached")
    page.click(".an-try-tab >> text=Parameters")
    page.click(".an-try-editor:not([hidden]) .cm-content")
    page.keyboard.press("Control+a")
    page.keyboard.type('{"max_tokens": ')
    says(book, ".an-try-quote", "parameters is not valid JSON")
    assert page.is_disabled(".an-try-test")
    page.keyboard.press("Control+a")
    page.keyboard.type('{"max_tokens": 5}')
    says(book, ".an-try-python pre", "parameters={'max_tokens': 5}")
    colours = []
    for theme in ("JupyterLab Dark", "JupyterLab Light"):
        page.evaluate("theme => jupyterapp.commands.execute('apputils:change-theme', {theme}).then(() => 1)", theme)
        page.wait_for_timeout(300)
        colours.append(
            page.evaluate(
                "[...document.querySelectorAll('.an-try, .an-try .cm-editor')].map(e => getComputedStyle(e).color)[1]"
            )
        )
    assert colours[0] != colours[1]


def test_where_nothing_is_allowed_the_button_says_how_to_allow_it(
    notebook: Opener, traces: Path, server: LlmServer
) -> None:
    book = opened(notebook, traces, server, "")
    says(book, ".an-try-quote", "allow_rerun=True")
    assert book.page.is_disabled(".an-try-test") and not server.calls


def test_a_dashboard_has_the_whole_editor_under_its_strict_policy(
    browser: Browser, tmp_path: Path, server: LlmServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in server.environment().items():
        monkeypatch.setenv(name, value)
    folder = tmp_path / ".modular-agents" / "traces"
    folder.mkdir(parents=True)
    (folder / "a.jsonl").write_bytes(recorded())
    dashboard, context = Command(tmp_path, "--allow-rerun"), browser.new_context()
    try:
        page = context.new_page()
        said: list[str] = []
        page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
        page.goto(dashboard.url)
        page.wait_for_selector(".an-live-live")
        page.locator(".an-stage").focus()
        for _ in range(5):
            page.keyboard.press("ArrowDown")
            page.wait_for_timeout(200)
            if page.locator(".an-try-open").count():
                break
        page.click(".an-try-open")
        page.wait_for_selector(".an-try .cm-content")
        page.click(".an-try-test:enabled")
        page.wait_for_selector(".an-try-facts:has-text('alike')")
        assert not said and len(server.calls) == 1
    finally:
        context.close()
        dashboard.close()


def test_the_key_is_in_no_page_notebook_or_request(notebook: Opener, traces: Path, server: LlmServer) -> None:
    keys = [value for name, value in server.environment().items() if name.endswith("KEY")]
    server.fault = lambda call: "echo-key" if len(server.calls) == 1 else None  # a server that tells the key
    frames: list[str] = []
    book = opened(notebook, traces, server)
    page = book.page
    (traces / "environment.txt").unlink()
    page.on("request", lambda request: frames.append(f"{request.url} {request.post_data or ''}"))
    page.on("websocket", lambda socket: [socket.on(way, lambda data: frames.append(str(data))) for way in WAYS])
    book.save()
    book.open()
    book.idle()
    book.painted(2)
    page.click(".an-try-open")
    page.wait_for_selector(".an-try .cm-content")
    for prompt in ("first", "second"):
        page.click(".an-try-editor .cm-content")
        page.keyboard.type(prompt)
        page.wait_for_timeout(500)
        page.click(".an-try-test")
        says(book, ".an-try-result", "401" if prompt == "first" else "% alike")
    assert len(server.calls) == 2 and any(key in str(server.calls[0].headers) for key in keys)
    widgets = "[w.get_state() for w in __import__('ipywidgets.widgets.widget').widgets.widget._instances.values()]"
    state = book.ask(f"repr({widgets})")
    book.save()
    dom = page.evaluate("document.querySelector('.anton').outerHTML")
    stored = page.evaluate("JSON.stringify({...localStorage}) + JSON.stringify({...sessionStorage})")
    files = [path.read_bytes() for path in traces.rglob("*") if path.is_file()]
    assert len(files) >= 3 and "401" in dom + state + str(files)
    outputs = json.dumps([cell.get("outputs") for cell in json.loads((book.lab.root / book.name).read_text())["cells"]])
    assert any("try_run" in frame for frame in frames) and any("401" in frame for frame in frames)
    for key in keys:
        for place in (state, dom, stored, outputs, *frames, *map(str, book.complaints)):
            assert key not in place
        assert not any(key.encode() in data for data in files)
