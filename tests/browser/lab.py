"""A real JupyterLab in a real Chromium: a server in folders of its own, and notebooks that are driven by hand."""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-background-timer-throttling",
    "--disable-renderer-backgrounding", "--disable-backgrounding-occluded-windows",
]  # fmt: skip
PATIENCE = 60.0

KERNEL = "jupyterapp.shell.currentWidget.sessionContext.session?.kernel"


class Lab:
    """A running JupyterLab. `root` is its folder of notebooks."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.root = folder / "work"
        self.root.mkdir(parents=True)
        self.token = secrets.token_hex(8)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.url = f"http://127.0.0.1:{free.getsockname()[1]}"
        kept = {
            name: str(folder / name.lower())
            for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR")
        }
        kept |= {"IPYTHONDIR": str(folder / "ipython"), "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings")}
        kept |= {"JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces"), "HOME": str(folder)}
        news = folder / "settings" / "@jupyterlab" / "apputils-extension" / "notification.jupyterlab-settings"
        news.parent.mkdir(parents=True)
        news.write_text('{"fetchNews": "false", "checkForUpdates": false}')
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        command = [
            sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1",
            f"--port={self.url.rsplit(':', 1)[1]}", "--ServerApp.port_retries=0", f"--IdentityProvider.token={self.token}",
            "--LabApp.expose_app_in_browser=True", "--JupyterNotebookApp.expose_app_in_browser=True",
            f"--ServerApp.root_dir={self.root}", *options,
        ]  # fmt: skip
        self.log = (folder / "lab.log").open("wb")
        self.process = subprocess.Popen(
            command,
            env={**os.environ, **kept, "PYTHONPATH": path},
            stdout=self.log,
            stderr=subprocess.STDOUT,
            cwd=folder,
        )
        self._wait(folder / "lab.log")

    def _wait(self, log: Path) -> None:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                with urllib.request.urlopen(f"{self.url}/api/status?token={self.token}", timeout=2):
                    return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    self.close()
                    raise RuntimeError(f"JupyterLab did not start:\n{log.read_text()[-3000:]}") from None
                time.sleep(0.1)

    def close(self) -> None:
        """Ends the server and its kernels."""
        self.process.terminate()
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()


@contextmanager
def chromium_browser(executable: str) -> Iterator[Browser]:
    """The browser of the machine; `HEADED=300` shows it, with 300 ms between two actions."""
    slow = int(os.environ.get("HEADED") or 0)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=FLAGS, headless=not slow, slow_mo=slow)
        try:
            yield browser
        finally:
            browser.close()


class Notebook:
    """A notebook that is open in a tab. `complaints` are console errors, exceptions of the page and requests to elsewhere."""

    place = "lab/tree"

    def __init__(
        self,
        lab: Lab,
        browser: Browser,
        name: str,
        cells: list[str],
        prepare: Callable[[Page], object] = lambda page: None,
    ) -> None:
        self.lab, self.name = lab, name
        spec = {"name": "python3", "display_name": "Python 3", "language": "python"}
        cells = [nbformat.v4.new_code_cell(cell) for cell in cells]
        book = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": spec})
        nbformat.write(book, lab.root / name)
        self.complaints: list[str] = []
        self.context = browser.new_context(viewport={"width": 1280, "height": 1600})
        self._use(self.context.new_page())
        prepare(self.page)
        self.open()

    def _use(self, page: Page) -> None:
        self.page = page
        self.page.set_default_timeout(PATIENCE * 1000)
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.complaints.append(f"exception: {error}"))
        self.page.on("request", self._request)
        self.page.add_init_script(RECORD)

    def second_tab(self) -> Notebook:
        """The same notebook in another tab."""
        other = object.__new__(Notebook)
        other.__dict__.update(self.__dict__)
        other._use(self.context.new_page())
        other.open()
        return other

    def _console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.complaints.append(f"console: {message.text} ({message.location.get('url', '')})")

    def _request(self, request: Request) -> None:
        if not request.url.startswith((self.lab.url, self.lab.url.replace("http", "ws"), "data:", "blob:")):
            self.complaints.append(f"asked another host: {request.url}")

    def open(self) -> None:
        """Opens the notebook, or loads it again, and waits for its kernel to answer."""
        self.page.goto(f"{self.lab.url}/{self.place}/{self.name}?token={self.lab.token}&reset")
        self.page.wait_for_function(f"window.jupyterapp?.shell?.currentWidget?.sessionContext && !!({KERNEL})")

    def idle(self) -> None:
        """Waits until the kernel is idle."""
        self.page.wait_for_function(f"{KERNEL}?.status === 'idle'")

    def run(self, *, wait: bool = True) -> None:
        """Runs all cells, one after the other."""
        self.page.evaluate(
            "wait => { const done = jupyterapp.commands.execute('notebook:run-all-cells'); return wait ? done.then(() => 1) : 1; }",
            wait,
        )

    def run_cell(self, index: int, *, wait: bool = True) -> None:
        """Runs one cell."""
        self.page.evaluate(
            "([i, wait]) => { const book = jupyterapp.shell.currentWidget.content; book.activeCellIndex = i; book.deselectAll();"
            "const done = jupyterapp.commands.execute('notebook:run-cell'); return wait ? done.then(() => 1) : 1; }",
            [index, wait],
        )

    def ask(self, expression: str) -> Any:
        """The value of a Python expression in the kernel, through JSON."""
        text = self.page.evaluate(
            """async code => {
                let out = '', bad = '';
                const kernel = jupyterapp.shell.currentWidget.sessionContext.session.kernel;
                const future = kernel.requestExecute({code, store_history: false});
                future.onIOPub = m => {
                    if (m.header.msg_type === 'stream') out += m.content.text;
                    if (m.header.msg_type === 'error') bad = m.content.ename + ': ' + m.content.evalue;
                };
                await future.done;
                if (bad) throw new Error(bad);
                return out;
            }""",
            f"import json; print(json.dumps({expression}))",
        )
        return json.loads(text)

    def do(self, code: str) -> None:
        """Runs Python in the kernel."""
        self.ask(f"exec({code!r})")

    def until(self, true: Callable[[], object], what: str, patience: float = PATIENCE) -> None:
        """Waits until it is true."""
        deadline = time.monotonic() + patience
        while not true():
            assert time.monotonic() < deadline, f"never came to be: {what}; complaints: {self.complaints}"
            self.page.wait_for_timeout(20)

    def painted(self, size: int, patience: float = PATIENCE) -> None:
        """Waits until each visible graph has painted so many spans, or more."""
        self.page.wait_for_function(
            "size => { const all = [...document.querySelectorAll('.anton')];"
            "return all.length > 0 && all.every(root => (root.__painted ?? 0) >= size); }",
            arg=size,
            timeout=patience * 1000,
        )

    def save(self) -> None:
        """Saves the notebook, so that another page finds its outputs."""
        self.page.evaluate("() => jupyterapp.commands.execute('docmanager:save').then(() => 1)")

    def channel(self) -> dict[str, str]:
        """What `request_ms` needs to know of `graph`; to be asked while the kernel is idle."""
        return {"comm": self.ask("graph._commands.comm.comm_id"), "epoch": self.ask("graph.traces.store.epoch")}

    def request_ms(self, channel: dict[str, str], op: str, **args: Any) -> float:
        """How long the kernel takes to answer a request of this page, in ms."""
        content = {"op": op, "epoch": channel["epoch"], **args}
        return float(
            self.page.evaluate(
                """async ([id, content]) => {
                    const kernel = jupyterapp.shell.currentWidget.sessionContext.session.kernel;
                    const request = {type: 'request', id: 'test:' + Math.random(), ...content};
                    const began = performance.now();
                    await new Promise((done, failed) => {
                        const hear = (_, message) => {
                            const answer = message.content?.data?.content;
                            if (answer?.id !== request.id || answer.type !== 'answer') return;
                            kernel.iopubMessage.disconnect(hear);
                            answer.ok ? done() : failed(new Error(answer.error.message));
                        };
                        kernel.iopubMessage.connect(hear);
                        kernel._comms.get(id).send({method: 'custom', content: request});
                    });
                    return performance.now() - began;
                }""",
                [channel["comm"], content],
            )
        )

    def click_a_span(self) -> None:
        """Clicks where a span is drawn: along a grid, until the details of one are shown."""
        shown = "!!document.querySelector('.an-details:not([hidden])')?.textContent"
        box = self.page.locator(".anton canvas").first.bounding_box()
        assert box is not None
        for y in range(10, int(box["height"]), 12):
            for x in range(10, int(box["width"]), 16):
                self.page.mouse.move(box["x"] + x, box["y"] + y)
                if self.page.evaluate(
                    "([x, y]) => getComputedStyle(document.elementFromPoint(x, y)).cursor === 'pointer'",
                    [box["x"] + x, box["y"] + y],
                ):
                    self.page.mouse.click(box["x"] + x, box["y"] + y)
                    self.page.wait_for_function(shown)
                    return
        raise AssertionError("no span was found under the pointer")

    def close(self) -> None:
        """Ends the kernel and closes the tab."""
        try:
            self.page.evaluate("() => jupyterapp.shell.currentWidget.sessionContext.shutdown()")
        finally:
            self.context.close()


# What was painted when: on each root the number of spans, and a list of all paints (ms since 1970, number of spans).
RECORD = """
window.__paints = [];
document.addEventListener('anton:painted', event => {
    event.target.__painted = event.detail.spans;
    window.__paints.push([performance.timeOrigin + performance.now(), event.detail.spans]);
}, true);
"""
