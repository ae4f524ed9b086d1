"""The picture beside what people would draw it with: d3-force in SVG, cytoscape.js, sigma.js, in one browser and run.

Run: `python tests/benchmarks peers`. A frame is timed from the gesture to after its painting, without a limit on how
many there are in a second and with a software raster, for all of them alike.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import mean

from bench_live import percentile
from playwright.sync_api import Browser, sync_playwright

from tests.browser.harness import JS, served
from tests.conftest import find_chromium

PEERS = JS / "bench" / "peers"
NAMES = {
    "anton": "this picture",
    "floor": "an empty canvas (the floor)",
    "d3": "d3-force in SVG",
    "cytoscape": "cytoscape.js",
    "sigma": "sigma.js",
}
PICTURES = ["anton", "d3", "cytoscape", "sigma"]
SIZES = {1_000: [*PICTURES, "floor"], 10_000: PICTURES, 100_000: ["anton", "sigma"], 1_000_000: ["anton"]}
BARS = {1_000: (50, 4, 10), 10_000: (100, 4, 10), 100_000: (200, 4, 10), 1_000_000: (500, 6, 16.7)}
FRAMES = 60
PAGE = """<!doctype html><meta charset="utf-8"><link rel="stylesheet" href="style.css">
<body style="margin:0"><div id="cell" style="width:1100px;height:560px"></div><script type="module" src="peers.js"></script>"""


@contextmanager
def page_of_peers(folder: Path) -> Iterator[str]:
    """Installs the peers where they are not yet, bundles their page into a served folder and gives its address."""
    if not (PEERS / "node_modules").exists():
        subprocess.run(["npm", "ci", "--silent"], cwd=PEERS, check=True)
    with served(folder) as address:
        esbuild = [str(JS / "node_modules" / ".bin" / "esbuild"), str(PEERS / "page.js")]
        options = ["--bundle", "--minify", "--format=esm", "--log-level=error", f"--outfile={folder / 'peers.js'}"]
        subprocess.run([*esbuild, *options], cwd=JS, check=True)
        (folder / "peers.html").write_text(PAGE)
        yield address.replace("index.html", "peers.html")


@contextmanager
def unlimited(chromium: str) -> Iterator[Browser]:
    """A browser that draws as many frames as it can, WebGL included, without a graphics card."""
    flags = ["--no-sandbox", "--disable-frame-rate-limit", "--disable-gpu-vsync", "--enable-unsafe-swiftshader"]
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium, args=flags)
        yield browser
        browser.close()


def measured(browser: Browser, address: str, who: str, size: int) -> tuple[float, list[float]]:
    """Milliseconds to the first picture, and of each frame."""
    context = browser.new_context(viewport={"width": 1100, "height": 560})
    try:
        page = context.new_page()
        page.goto(address)
        page.wait_for_function("window.ready")
        # what the engine has not compiled yet, nobody should pay for alone
        page.evaluate("([who]) => measure(who, 300, 6)", [who])
        page.evaluate("document.getElementById('cell').replaceChildren()")
        found = page.evaluate("([who, size, frames]) => measure(who, size, frames)", [who, size, FRAMES])
        return float(found["first"]), [float(one) for one in found["took"]]
    finally:
        context.close()


def rows() -> list[dict[str, str]]:
    """One row a drawer and size; none, but a word, without a browser or npm."""
    chromium = find_chromium()
    if chromium is None or shutil.which("npm") is None:
        return [{"what": "beside d3-force, cytoscape.js, sigma.js", "measured": "no browser", "bar": "-"}]
    found = []
    with (
        tempfile.TemporaryDirectory() as folder,
        page_of_peers(Path(folder)) as address,
        unlimited(chromium) as browser,
    ):
        for size, who in ((size, who) for size, all_of_them in SIZES.items() for who in all_of_them):
            try:
                first, took = measured(browser, address, who, size)
                text = f"{first:.0f} / {mean(took):.1f} / {percentile(took, 0.95):.1f} ms"
            except Exception as error:  # a peer that gives up at a size is a result too
                if who == "anton":
                    raise
                text = f"gave up: {str(error).splitlines()[0][:40]}"
            bar = " / ".join(f"{part:g}" for part in BARS[size]) + " ms" if who == "anton" else "-"
            found.append(
                {
                    "what": f"{size:,} spans, {NAMES[who]}: first picture / frame mean / p95",
                    "measured": text,
                    "bar": bar,
                }
            )
    return found
