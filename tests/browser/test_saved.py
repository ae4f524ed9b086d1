"""Tomorrow: a notebook that was saved, opened without a kernel; converted; and a page of its own, from disk, offline."""

from __future__ import annotations

import base64
import json
import re
import urllib.request
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from playwright.sync_api import Browser

from anton_notebook.widget.trace_graph import TraceGraph
from tests.browser.lab import PATIENCE, Lab
from tests.support.pages import line

CELL = "import anton_notebook as anb\ngraph = anb.TraceGraph({path!r})\ngraph"


@pytest.fixture
def executed(lab: Lab, traces: Path) -> Callable[[bool], str]:
    """Runs a notebook and saves it as JupyterLab does by itself, without widgets' states, or with them."""
    (traces / "a.jsonl").write_bytes(b"".join(line(f"s{i}", parent_id="s0" if i else None) for i in range(5)))

    def make(with_state: bool) -> str:
        book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL.format(path=str(traces)))])
        NotebookClient(book, timeout=60, kernel_name="python3").execute()
        if not with_state:
            del book.metadata["widgets"]
        name = f"saved-{traces.name}-{with_state}.ipynb"
        nbformat.write(book, lab.root / name)
        return name

    return make


def opened(lab: Lab, browser: Browser, name: str) -> dict[str, object]:
    """What a page shows that opens a notebook and starts no kernel."""
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    page = context.new_page()
    page.set_default_timeout(PATIENCE * 1000)
    page.goto(f"{lab.url}/lab/tree/{name}?token={lab.token}&reset")
    page.wait_for_selector(".jp-Notebook .jp-OutputArea-output")
    page.wait_for_timeout(2500)
    shown: dict[str, object] = page.evaluate(
        """() => {
          const image = document.querySelector('.jp-OutputArea img');
          const totals = document.querySelector('.an-totals');
          return {
            image: image === null ? null : [image.naturalWidth, image.naturalHeight, image.offsetParent !== null],
            table: document.querySelector('.jp-OutputArea table')?.textContent ?? '',
            totals: totals?.textContent ?? '', state: document.querySelector('.an-live')?.textContent ?? '',
          };
        }"""
    )
    context.close()
    return shown


def test_without_a_kernel_and_without_states_the_picture_is_there(
    lab: Lab, browser: Browser, executed: Callable[[bool], str]
) -> None:
    shown = opened(lab, browser, executed(False))  # no trust was given: scripts and drawings in markup are taken out
    image = shown["image"]
    assert isinstance(image, list)
    assert image[0] > 500
    assert image[1] > 100
    assert image[2] is True
    assert "orchestrator" in str(shown["table"])


def test_without_a_kernel_but_with_states_the_graph_itself_is_there(
    lab: Lab, browser: Browser, executed: Callable[[bool], str]
) -> None:
    name = executed(True)
    trust = urllib.request.Request(
        f"{lab.url}/api/contents/{name}/trust", method="POST", headers={"Authorization": f"token {lab.token}"}
    )
    urllib.request.urlopen(trust).close()
    shown = opened(lab, browser, name)
    assert "5 spans" in str(shown["totals"])
    assert shown["state"] == "saved copy"
    assert shown["image"] is None or shown["image"][2] is False  # type: ignore[index]


def test_nbconvert_keeps_the_picture(lab: Lab, executed: Callable[[bool], str]) -> None:
    nbconvert = pytest.importorskip("nbconvert")
    html, _ = nbconvert.HTMLExporter().from_filename(str(lab.root / executed(False)))
    image = re.search(r"data:image/svg\+xml;base64,([A-Za-z0-9+/=]+)", html)
    assert image is not None
    assert b"<svg" in base64.b64decode(image[1])
    assert "5 spans" in html


def test_W11_a_page_of_its_own_opens_from_disk_without_a_network(tmp_path: Path, browser: Browser) -> None:
    (tmp_path / "a.jsonl").write_bytes(
        b"".join(
            line(f"s{i}", parent_id="s0" if i else None, response="<img src=x onerror=alert(1)>") for i in range(5)
        )
    )
    with TraceGraph(tmp_path / "a.jsonl") as graph:
        graph.to_html(tmp_path / "run.html", save_bodies=True)
    context = browser.new_context(viewport={"width": 1200, "height": 800}, offline=True)
    page, said = context.new_page(), []
    page.on("console", lambda message: said.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("dialog", lambda dialog: (said.append("a dialog"), dialog.dismiss()))
    page.on(
        "request",
        lambda request: None if request.url.startswith(("file:", "data:", "blob:")) else said.append(request.url),
    )
    page.goto((tmp_path / "run.html").as_uri())
    page.wait_for_function("() => document.querySelector('.an-totals')?.textContent.includes('5 spans')")
    page.locator(".an-stage").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.wait_for_selector(".an-details pre")
    assert "<img src=x onerror=alert(1)>" in page.locator(".an-details").inner_text()
    assert said == []
    context.close()


def test_the_state_is_no_larger_than_what_it_shows(lab: Lab, executed: Callable[[bool], str]) -> None:
    book = json.loads((lab.root / executed(True)).read_text())
    states = book["metadata"]["widgets"]["application/vnd.jupyter.widget-state+json"]["state"].values()
    saved = [b for state in states for b in state.get("buffers", []) if b["path"] == ["_saved"]]
    assert len(saved) == 1
    assert len(base64.b64decode(saved[0]["data"])) < 4000
