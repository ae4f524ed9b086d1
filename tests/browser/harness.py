"""The view without a kernel: js/dev/ bundled into a folder and served to a browser, spans from a fake kernel in the page."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlencode

from playwright.sync_api import Browser, ConsoleMessage, Page

JS = Path(__file__).resolve().parents[2] / "js"

# Runs before the page's own script: notes every paint, every draw call's time, and when each message came.
WATCH = """
window.paints = []; window.frames_ = [];
window.pixels = () => {
  const seen = document.querySelector(".anton canvas");
  const copy = Object.assign(document.createElement("canvas"), { width: seen.width, height: seen.height });
  const context = copy.getContext("2d", { willReadFrequently: true });
  context.drawImage(seen, 0, 0);
  return context.getImageData(0, 0, seen.width, seen.height);
};
document.addEventListener("anton:painted", (event) => window.paints.push([performance.now(), event.detail.spans]), true);
const plain = window.requestAnimationFrame.bind(window);
window.requestAnimationFrame = (draw) => plain((now) => {
  const from = performance.now();
  draw(now);
  window.frames_.push(performance.now() - from);
});
"""


class _Quiet(SimpleHTTPRequestHandler):
    """Isolated from other origins, the page's clock has steps of 5 microseconds instead of 100."""

    def end_headers(self) -> None:
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        super().end_headers()

    def log_message(self, *args: Any) -> None:
        pass


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Bundles the page into `folder` and serves it; gives its address."""
    esbuild = JS / "node_modules" / ".bin" / "esbuild"
    if not esbuild.exists():
        raise RuntimeError(f"{esbuild} is not there: run `npm ci` in js/")
    command = [str(esbuild), "dev/page.ts", "--bundle", "--format=esm", "--target=es2022", "--define:define.amd=false"]
    done = subprocess.run([*command, f"--outfile={folder / 'page.js'}"], cwd=JS, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"the page could not be bundled:\n{done.stderr}")
    shutil.copy(JS / "dev" / "index.html", folder)
    for name in ("style.css", "reset.css"):
        shutil.copy(JS / "src" / name, folder)
    for part in (Path("panels", "rerun"), Path("panels", "replay")):
        shutil.copytree(JS / "src" / part, folder / part, ignore=shutil.ignore_patterns("*.ts"))
    (folder / "favicon.ico").write_bytes(b"")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/index.html"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Harness:
    """The page with a picture in it. `complaints` are console errors and exceptions."""

    def __init__(self, browser: Browser, address: str, width: int = 1100, height: int = 660, **query: object) -> None:
        self.complaints: list[str] = []
        self.context = browser.new_context(viewport={"width": width, "height": height})
        self.page: Page = self.context.new_page()
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.complaints.append(f"exception: {error}"))
        self.page.add_init_script(WATCH)
        said = urlencode({name: "" if value is True else value for name, value in query.items()})
        self.page.goto(f"{address}?{said}")
        self.painted(1 if "live" in query else int(str(query.get("spans", 30))))

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.type}: {message.text}")

    def painted(self, spans: int) -> None:
        """Waits until the picture shows that many spans."""
        self.page.wait_for_function("n => window.paints.some((paint) => paint[1] >= n)", arg=spans, timeout=30_000)

    def rest(self) -> None:
        """Waits until nothing is drawn any more for a while."""
        self.page.evaluate(
            """() => new Promise((done) => {
              let seen = -1, still = 0;
              const look = () => {
                still = window.paints.length === seen ? still + 1 : 0;
                seen = window.paints.length;
                still > 3 ? done() : setTimeout(look, 40);
              };
              look();
            })"""
        )

    def close(self) -> None:
        self.context.close()
