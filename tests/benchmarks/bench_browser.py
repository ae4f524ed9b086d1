"""From a written line to its span painted in JupyterLab in Chromium. Run: `python tests/benchmarks browser`."""

from __future__ import annotations

import tempfile
from pathlib import Path

from bench_live import finished, percentile, writer

from tests.browser.lab import Lab, Notebook, chromium_browser
from tests.conftest import find_chromium
from tests.support.pages import line


def latencies(notebook: Notebook, file: Path, name: str, count: int, rate: float) -> tuple[list[float], int]:
    """Milliseconds from each line's write to the first paint with its span, and how many were never painted."""
    page = notebook.page
    base = int(page.evaluate("document.querySelector('.anton').__painted"))
    page.evaluate("window.__paints.length = 0")
    process = writer(file, [f"{name}{i}" for i in range(count)], rate)
    page.wait_for_timeout(count / rate * 1000 + 500)
    times = finished(process)
    try:
        notebook.painted(base + count, patience=10)
    except Exception:  # what is missing is counted below
        pass
    paints = page.evaluate("window.__paints")
    late, at = [], 0
    for i, (_, written) in enumerate(times):
        while at < len(paints) and paints[at][1] < base + i + 1:
            at += 1
        if at < len(paints):
            late.append(paints[at][0] - written * 1e3)
    return late, count - len(late)


def rows() -> list[dict[str, str]]:
    """One row a figure; none, but a word, where there is no browser."""
    chromium = find_chromium()
    if chromium is None:
        return [{"what": "written line -> painted in JupyterLab", "measured": "no Chromium", "bar": "30 ms"}]
    found = []
    with tempfile.TemporaryDirectory() as folder:
        lab = Lab(Path(folder))
        try:
            traces = lab.root / "traces"
            traces.mkdir()
            file = traces / "a.jsonl"
            file.write_bytes(line("root"))
            with chromium_browser(chromium) as browser:
                cell = f"from anton_notebook.widget.trace_graph import TraceGraph\ngraph = TraceGraph({str(traces)!r})\ngraph"
                notebook = Notebook(lab, browser, "bench.ipynb", [cell])
                notebook.idle()
                notebook.run_cell(0)
                notebook.painted(2)
                notebook.page.wait_for_timeout(3_000)
                for rate, count, bar in ((20, 300, "30 ms"), (1_000, 5_000, "100 ms")):
                    late, lost = latencies(notebook, file, f"r{rate}-", count, rate)
                    what = f"written line -> painted in JupyterLab, {rate:,}/s"
                    p95 = f"{percentile(late, 0.95):.1f} ms" if late else "nothing"
                    found.append({"what": f"{what}, p95", "measured": p95, "bar": bar})
                    p50 = f"{percentile(late, 0.5):.1f} ms" if late else "nothing"
                    found.append({"what": f"{what}, p50", "measured": p50, "bar": "-"})
                    found.append({"what": f"{what}, lost", "measured": str(lost), "bar": "0"})
                notebook.close()
        finally:
            lab.close()
    return found
