"""The graph in hosts other than JupyterLab: marimo, Voilà, and a cell that may touch nothing outside itself."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Browser, Page

from tests.browser.harness import served
from tests.browser.lab import PATIENCE
from tests.conftest import ROOT
from tests.support.pages import line

pytestmark = pytest.mark.browser

MARIMO = """
import marimo

app = marimo.App()


@app.cell
def _():
    import marimo as mo
    import anton_notebook as anb
    from pathlib import Path
    graph = anb.TraceGraph(PATH, height=420)
    graph.observe(lambda change: Path(change["name"]).write_text(str(change["new"])), ["selected_span_id", "view"])
    return graph, mo


@app.cell
def _(graph, mo):
    shown = mo.ui.anywidget(graph)
    shown
    return (shown,)


if __name__ == "__main__":
    app.run()
"""


def missing(module: str) -> None:
    pytest.importorskip(module, reason=f"NOT TESTED: {module} is not installed")


@contextmanager
def serving(folder: Path, *command: str, log: str) -> Iterator[str]:
    """A server of another host, with its files in `folder`; gives its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    own = {
        name: str(folder / name.lower())
        for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR", "XDG_CONFIG_HOME")
    }
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    given = [one.format(port=port) for one in command]
    with (folder / log).open("wb") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", *given], stdout=said, stderr=subprocess.STDOUT, cwd=folder,
            env={**os.environ, **own, "HOME": str(folder), "PYTHONPATH": path},
        )  # fmt: skip
        try:
            deadline = time.monotonic() + PATIENCE
            while True:
                try:
                    with urllib.request.urlopen(
                        f"http://127.0.0.1:{port}/health"
                        if "marimo" in command
                        else f"http://127.0.0.1:{port}/static/favicon.ico",
                        timeout=2,
                    ):
                        break
                except urllib.error.HTTPError:
                    break
                except OSError:
                    assert process.poll() is None and time.monotonic() < deadline, (folder / log).read_text()[-3000:]
                    time.sleep(0.1)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def watched(browser: Browser, url: str) -> Iterator[tuple[Page, list[str]]]:
    """The page at an address; what its console said of errors, and exceptions."""
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    page, said = context.new_page(), list[str]()
    page.set_default_timeout(PATIENCE * 1000)
    page.on(
        "console",
        lambda message: (
            said.append(f"{message.text} {message.location.get('url', '')}") if message.type == "error" else None
        ),
    )
    page.on("pageerror", lambda error: said.append(f"exception: {error}"))
    # what a host asks of other hosts is answered by nobody: the machine may have no network
    page.route(re.compile(r"^https?://(?!127\.0\.0\.1)"), lambda route: route.fulfill(status=204))
    try:
        page.goto(url)
        yield page, said
    finally:
        context.close()


def traced(folder: Path) -> Path:
    """A folder with a run of five spans."""
    folder.mkdir()
    (folder / "a.jsonl").write_bytes(b"".join(line(f"s{i}", parent_id="s0" if i else None) for i in range(5)))
    return folder


def grow(folder: Path, name: str) -> None:
    with (folder / "a.jsonl").open("ab") as file:
        file.write(line(name, parent_id="s0"))


def spans(page: Page, count: int) -> None:
    page.locator(".an-totals", has_text=re.compile(rf"\b{count}\s*spans")).wait_for()


def test_marimo_shows_a_graph_that_grows_and_is_chosen_from(tmp_path: Path, browser: Browser) -> None:
    missing("marimo")
    traces = traced(tmp_path / "traces")
    (tmp_path / "app.py").write_text(MARIMO.replace("PATH", repr(str(traces))))
    command = ("marimo", "run", "app.py", "--headless", "--no-token", "--port", "{port}")
    with serving(tmp_path, *command, log="marimo.log") as url, watched(browser, url) as (page, said):
        spans(page, 5)
        for number in range(3):
            grow(traces, f"new{number}")
            spans(page, 6 + number)
        assert page.locator(".an-live").inner_text() == "following"
        assert page.locator(".anton").evaluate("e => e.getRootNode() instanceof ShadowRoot"), "marimo's own room"
        page.get_by_role("button", name="Tree", exact=True).click()
        page.locator(".an-space .an-row:not([hidden])").nth(1).click()
        page.wait_for_selector(".an-details:not([hidden]) dl")
        for trait, start in (("view", "tree"), ("selected_span_id", "")):
            deadline = time.monotonic() + PATIENCE
            while not ((tmp_path / trait).exists() and (tmp_path / trait).read_text().startswith(start)):
                assert time.monotonic() < deadline, f"{trait} did not reach Python"
                page.wait_for_timeout(50)
        assert [one for one in said if "anton" in one.lower() or "exception" in one] == []


def test_voila_shows_a_live_graph(tmp_path: Path, browser: Browser) -> None:
    missing("voila")
    traces = traced(tmp_path / "traces")
    spec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    cell = nbformat.v4.new_code_cell(f"import anton_notebook as anb\ngraph = anb.TraceGraph({str(traces)!r})\ngraph")
    nbformat.write(nbformat.v4.new_notebook(cells=[cell], metadata={"kernelspec": spec}), tmp_path / "book.ipynb")
    command = ("voila", "book.ipynb", "--no-browser", "--port={port}", "--Voila.ip=127.0.0.1")
    with serving(tmp_path, *command, log="voila.log") as url, watched(browser, url) as (page, said):
        spans(page, 5)
        grow(traces, "new")
        spans(page, 6)
        assert [one for one in said if "anton" in one.lower() or "exception" in one] == []


# A cell as VS Code's renderer has it: the widget is given an element and nothing else. Everything around it is watched.
SPY = """() => {
  const cell = document.getElementById("cell");
  window.touched = [];
  window.listening = new Map();
  const inside = (node) => node === cell || cell.contains(node) || !node.isConnected;
  const name = (node) => node === window ? "window" : node === document ? "document" : node.nodeName.toLowerCase();
  const add = EventTarget.prototype.addEventListener, remove = EventTarget.prototype.removeEventListener;
  const outer = (target) => target === window || (target instanceof Node && !inside(target)) || target instanceof MediaQueryList;
  const key = (target, type) => `${target instanceof MediaQueryList ? "media query" : name(target)}: ${type}`;
  const held = new Map();
  EventTarget.prototype.addEventListener = function (type, listener, options) {
    const target = this ?? window;
    add.call(target, type, listener, options);
    if (!outer(target) || !listener) return;
    const all = held.get(key(target, type)) ?? new Set();
    held.set(key(target, type), all.add(listener));
    if (options?.signal) add.call(options.signal, "abort", () => all.delete(listener), { once: true });
    if (options?.once) all.delete(listener);
  };
  EventTarget.prototype.removeEventListener = function (type, listener, options) {
    const target = this ?? window;
    remove.call(target, type, listener, options);
    if (outer(target)) held.get(key(target, type))?.delete(listener);
  };
  window.heldOutside = () => [...held].filter(([, all]) => all.size > 0).map(([what]) => what).sort();
  new MutationObserver((records) => {
    for (const { target, type, attributeName } of records)
      if (target.isConnected && !cell.contains(target)) window.touched.push(`${type} ${name(target)} ${attributeName ?? ""}`);
  }).observe(document, { subtree: true, childList: true, attributes: true, characterData: true });
  for (const store of ["localStorage", "sessionStorage", "indexedDB", "caches"])
    Object.defineProperty(window, store, { get() { window.touched.push(store); throw new DOMException("not here", "SecurityError"); } });
  for (const call of ["fetch", "open", "alert", "prompt", "confirm"])
    window[call] = () => { window.touched.push(call); throw new DOMException("not here", "SecurityError"); };
  window.XMLHttpRequest = class { constructor() { window.touched.push("XMLHttpRequest"); } };
  for (const method of ["pushState", "replaceState"])
    history[method] = () => window.touched.push(method);
  window.before = {};
  window.before = { globals: Object.keys(window).length, sheets: document.adoptedStyleSheets.length };
}"""


def test_a_cell_of_its_own_is_all_that_is_touched_and_nothing_is_left(tmp_path: Path, browser: Browser) -> None:
    with served(tmp_path) as url, watched(browser, f"{url}?spans=60&wait") as (page, said):
        page.wait_for_function("() => window.start")
        page.evaluate(SPY)
        page.evaluate("() => window.start()")
        page.wait_for_selector("#cell .an-totals b")
        held = page.evaluate("() => window.heldOutside()")
        page.locator(".an-stage").focus()
        for key in ("ArrowDown", "ArrowDown", "2", "3", "4", "5", "1", "/", "Escape", "?", "Escape", "f", "+", "-"):
            page.keyboard.press(key)
            page.wait_for_timeout(30)
        box = page.locator(".an-stage:visible").bounding_box()
        assert box is not None
        page.mouse.move(box["x"] + 300, box["y"] + 200)
        page.mouse.down()
        page.mouse.move(box["x"] + 350, box["y"] + 220)
        page.mouse.up()
        page.mouse.wheel(0, 120)
        page.get_by_role("button", name="Filter").click()
        page.keyboard.press("Escape")
        touched = page.evaluate("() => window.touched")
        assert touched == [], touched
        assert held and "media query: change" in held, "the spy hears what is listened to outside"
        page.evaluate("() => window.end()")
        page.wait_for_function("() => document.getElementById('cell').childElementCount === 0")
        after = page.evaluate(
            """() => ({ held: window.heldOutside(), touched: window.touched, sheets: document.adoptedStyleSheets.length - window.before.sheets,
              globals: Object.keys(window).length - window.before.globals, styles: document.querySelectorAll("style").length })"""
        )
        assert after == {"held": [], "touched": [], "sheets": 0, "globals": 0, "styles": 0}, json.dumps(after)
        page.evaluate(
            "() => { document.body.append(document.createElement('p')); try { localStorage.x = 1; } catch {} }"
        )
        page.wait_for_timeout(20)
        assert page.evaluate("() => window.touched.length") == 2, "the spy sees what is done outside"
        assert said == []
