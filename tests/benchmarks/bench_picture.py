"""Drawing in Chromium, without a kernel: first picture, frames, bundle. Run: `python tests/benchmarks picture`."""

from __future__ import annotations

import gzip
import subprocess
import tempfile
from pathlib import Path
from statistics import mean, median

from bench_live import percentile
from playwright.sync_api import Browser, Page

from tests.browser.harness import JS, Harness, served
from tests.browser.lab import chromium_browser
from tests.conftest import find_chromium

# A run of n spans is made and packed first; the clock starts when its first message is delivered.
FIRST = """(n) => new Promise((done) => {
  const trace = "Add a cache layer to all modules";
  const spans = makeRun({ spans: n, trace, seed: 7 });
  for (const span of spans) kernel.put(span);
  kernel.runs = [figures(spans, trace)];
  const waiting = [];
  const deliver = connection.deliver.bind(connection);
  connection.deliver = (header, buffers) => waiting.push([header, buffers]);
  kernel.flush();
  setTimeout(() => {
    connection.deliver = deliver;
    const from = performance.now();
    const seen = (event) => {
      if (event.detail.spans < n) return;
      document.removeEventListener("anton:painted", seen, true);
      done(performance.now() - from);
    };
    document.addEventListener("anton:painted", seen, true);
    for (const [header, buffers] of waiting) deliver(header, buffers);
  }, 300);
})"""

# One span after another, each in a message of its own: milliseconds in the page until the message has been taken in.
APPENDS = """async (n) => {
  const deliver = connection.deliver.bind(connection);
  const took = [];
  connection.deliver = (header, buffers) => {
    const from = performance.now();
    deliver(header, buffers);
    took.push(performance.now() - from);
  };
  const last = kernel.spans.at(-1);
  for (let i = 1; i <= n; i++) {
    kernel.put({ ...last, start: last.start + 400 * i, duration: 300 });
    kernel.runs = [{ ...kernel.runs[0], spans: kernel.runs[0].spans + 1 }];
    kernel.flush();
    await new Promise((wake) => setTimeout(wake, 40));
  }
  return took;
}"""
FIGURES = (
    "first picture",
    "frame while panning and zooming, mean",
    "frame while panning and zooming, p95",
    "one append while live, in the page, mean",
)
# First picture, frame mean, frame p95, one append; in milliseconds.
BARS = {
    1_000: (50, 4, 10, 1),
    10_000: (100, 4, 10, 1),
    100_000: (200, 4, 10, 2),
    1_000_000: (500, 6, 16.7, 4),
}


def first_pictures(browser: Browser, address: str, spans: int, repeats: int) -> tuple[list[float], Harness]:
    """Milliseconds from a message's arrival to its picture, each in a fresh page; the last page stays open."""
    times: list[float] = []
    while True:
        harness = Harness(browser, address, spans=0)
        harness.page.wait_for_timeout(300)
        times.append(float(harness.page.evaluate(FIRST, spans)))
        if len(times) == repeats:
            return times, harness
        harness.close()


def frames(page: Page) -> list[float]:
    """Milliseconds inside each draw call while the picture is panned and zoomed, from the whole run to single nodes."""
    box = page.locator(".an-stage").bounding_box()
    assert box is not None
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    taken: list[float] = []
    for _ in range(2):
        for _ in range(18):
            page.mouse.move(*middle)
            page.evaluate("window.frames_.length = 0")
            empty = _empty_place(page)
            page.mouse.move(*empty)
            page.mouse.down()
            for step in range(12):
                page.mouse.move(empty[0] + (step % 6 - 3) * 24, empty[1] + (step % 4 - 2) * 6)
            page.mouse.up()
            page.mouse.wheel(0, -220)
            page.wait_for_timeout(60)
            taken += page.evaluate("window.frames_")
        page.keyboard.press("f")
        page.locator(".an-stage").press("f")
        page.wait_for_timeout(800)
    return taken


def _empty_place(page: Page) -> tuple[float, float]:
    """A place where a drag pans: one where the cursor is that of a hand."""
    place = page.evaluate(
        """() => {
          const stage = document.querySelector(".an-stage");
          const box = stage.getBoundingClientRect();
          for (let i = 0; i < 60; i++) {
            const [x, y] = [box.left + box.width * (0.4 + (i % 8) / 40), box.top + box.height * (0.4 + i / 200)];
            stage.dispatchEvent(new PointerEvent("pointermove", { clientX: x, clientY: y, bubbles: true }));
            if (stage.style.cursor !== "pointer") return [x, y];
          }
          return [box.left + box.width / 2, box.top + box.height / 2];
        }"""
    )
    return place[0], place[1]


def bundle_size() -> int:
    """Bytes of what a widget brings along, gzipped; built anew."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["node", "build.mjs", "--out", folder], cwd=JS, check=True, capture_output=True)
        return sum(len(gzip.compress((Path(folder) / f"widget.{end}").read_bytes(), 9)) for end in ("js", "css"))


def rows() -> list[dict[str, str]]:
    """One row a figure; of the pictures none, but a word, where there is no browser."""
    found = [{"what": "the bundle, gzipped", "measured": f"{bundle_size() / 1000:.1f} KB", "bar": "80 KB"}]
    chromium = find_chromium()
    if chromium is None:
        return [*found, {"what": "first picture", "measured": "no Chromium", "bar": "100 ms"}]
    with (
        tempfile.TemporaryDirectory() as folder,
        served(Path(folder)) as address,
        chromium_browser(chromium) as browser,
    ):
        for spans, bars in BARS.items():
            first, harness = first_pictures(browser, address, spans, 5 if spans <= 100_000 else 3)
            drawn = frames(harness.page)
            appends = [float(one) for one in harness.page.evaluate(APPENDS, 60)]
            if harness.complaints:
                raise RuntimeError(f"the page complained: {harness.complaints}")
            harness.close()
            figures = (median(first), mean(drawn), percentile(drawn, 0.95), mean(appends))
            for what, value, bar in zip(FIGURES, figures, bars, strict=True):
                measured = f"{value:.2f} ms" if value < 10 else f"{value:.0f} ms"
                found.append({"what": f"{spans:,} spans: {what}", "measured": measured, "bar": f"{bar:g} ms"})
    return found
