"""A live run that goes on and on, at ten times its speed: memory, file handles and threads must not grow with time.

    python tests/tools/soak.py [--minutes 48] [--rate 50] [--speed 10] [--kept 20000] [--without-browser]

A writer appends `rate` x `speed` spans a second to files that rotate away; a widget follows with a page at the other end of its
comm, and Chromium shows the same folder by a dashboard. The run is followed anew whenever `kept` spans are held, so that the slope
shows what leaks, not what is kept. The dashboard keeps all it read, as it should; what its page holds is measured.

Prints a row of figures for each run, and at the end the slopes after the first quarter (the allocator warms up longer than anything
else does: `blocks` are the interpreter's own, and where they stay while memory grows, it is that). The exit code is 1 where a bar is missed.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import queue
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import NamedTuple

import comm
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from anton_notebook.widget.trace_graph import TraceGraph
from tests.support.pages import line
from tests.widget.fakes import Client, Wire

SLOPE, GROWTH, HEAP, IDLE = 1.0, 50.0, 50.0, 0.01  # MB an hour of the run's own time, MB in all, MB, a share of a core


class Row(NamedTuple):
    """What is measured after each run."""

    s: float
    MB: float
    handles: int
    threads: int
    blocks: int
    heap: float
    nodes: int
    spans: int
    dashboard: float
    shown: str


def memory(pid: int | str = "self") -> float:
    """Resident memory of a process in MB."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


class Write(threading.Thread):
    """Appends at an even rate, each twentieth of a second's spans in one go of many lines."""

    def __init__(self, folder: Path, rate: float) -> None:
        super().__init__(daemon=True)
        self.folder, self.rate, self.written, self.over = folder, rate, 0, threading.Event()
        self.run_id = 0

    def run(self) -> None:
        text, began = line("@", trace_id="%", parent_id=None, timestamp="#"), time.monotonic()
        while not self.over.wait(0.05):
            due = max(0, int((time.monotonic() - began) * self.rate) - self.written)
            now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()).encode()
            text_now = text.replace(b'"#"', b'"%s"' % now).replace(b'"%"', b'"run-%d"' % self.run_id)
            rows = [text_now.replace(b'"@"', b'"s%d"' % (self.written + i)) for i in range(due)]
            with (self.folder / "live.jsonl").open("ab") as out:
                out.write(b"".join(rows))
            self.written += due


class Quiet(Wire):
    """A comm that hands on and keeps nothing behind."""

    def publish_msg(self, *args: object, **keys: object) -> None:  # type: ignore[override]
        super().publish_msg(*args, **keys)  # type: ignore[arg-type]
        if len(self.__dict__["sent"]) > 400:
            del self.__dict__["sent"][:200]


class Seen(threading.Thread):
    """A dashboard of the folder in Chromium; the browser's driver wants a thread of its own."""

    def __init__(self, folder: Path) -> None:
        super().__init__(daemon=True)
        self.folder, self.asked, self.said = folder, queue.Queue[bool](), queue.Queue[tuple[float, int, str]]()
        self.pid = 0
        self.complaints: list[str] = []

    def measure(self) -> tuple[float, int, str]:
        """MB of the page's heap after a collection, its nodes, and what the page says it shows."""
        self.asked.put(True)
        return self.said.get(timeout=120)

    def run(self) -> None:
        from tests.browser.lab import chromium_browser
        from tests.browser.test_dashboard import Command
        from tests.conftest import find_chromium

        executable = find_chromium()
        if executable is None:
            raise SystemExit("no Chromium: --without-browser leaves the page out")
        command = Command(self.folder)
        self.pid = command.process.pid
        try:
            with chromium_browser(executable) as browser:
                page = browser.new_page()
                page.on("pageerror", lambda error: self.complaints.append(str(error)))
                page.goto(command.url)
                tools = page.context.new_cdp_session(page)
                tools.send("Performance.enable")
                while self.asked.get():
                    tools.send("HeapProfiler.collectGarbage")
                    found = {one["name"]: one["value"] for one in tools.send("Performance.getMetrics")["metrics"]}
                    shown = page.evaluate("() => document.querySelector('.an-totals')?.textContent ?? ''")
                    self.said.put((found["JSHeapUsedSize"] / 2**20, int(found["Nodes"]), shown[:60]))
        finally:
            command.close()

    def close(self) -> None:
        self.asked.put(False)
        self.join(30)


def follow(
    folder: Path, write: Write, seen: Seen | None, kept: int, until: float
) -> tuple[int, tuple[float, int, str]]:
    """One widget, until it holds `kept` spans. Returns how many it held, and what the page measured then."""
    Wire.all.clear()
    with TraceGraph(folder) as graph:
        client = Client(graph)
        client.hello()
        while graph.traces.store.size < kept and time.monotonic() < until:
            time.sleep(0.25)
            client.ask("alive", client="page")
        found = seen.measure() if seen is not None else (0.0, 0, "")
        write.run_id += 1
        (folder / "live.jsonl").unlink(missing_ok=True)
        return int(graph.traces.store.live_rows().size), found


def idle(folder: Path, seconds: float) -> float:
    """The share of a core that a graph with a page takes while nothing is written."""
    with TraceGraph(folder) as graph:
        client = Client(graph)
        client.hello()
        time.sleep(2)
        began, spent = time.monotonic(), time.process_time()
        time.sleep(seconds)
        return (time.process_time() - spent) / (time.monotonic() - began)


def slope(rows: list[Row], name: str) -> float:
    """What a figure grows by in an hour, by least squares."""
    return float(np.polyfit([row.s for row in rows], [getattr(row, name) for row in rows], 1)[0]) * 3600


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("minutes", 48.0), ("rate", 50.0), ("speed", 10.0), ("kept", 20_000.0)):
        parser.add_argument(f"--{name}", type=float, default=value)
    parser.add_argument("--without-browser", action="store_true")
    given = parser.parse_args()
    comm.create_comm = Quiet  # type: ignore[assignment]
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "traces"
        folder.mkdir()
        write = Write(folder, given.rate * given.speed)
        (folder / "live.jsonl").write_bytes(line("first", trace_id="before", timestamp="2026-01-01T00:00:00Z"))
        seen = None if given.without_browser else Seen(folder)
        if seen is not None:
            seen.start()
            seen.measure()
        write.start()
        began = time.monotonic()
        until, spent = began + given.minutes * 60, time.process_time()
        while time.monotonic() < until:
            held, (heap, nodes, shown) = follow(folder, write, seen, int(given.kept), until)
            gc.collect()
            handles, blocks = len(os.listdir("/proc/self/fd")), sys.getallocatedblocks()
            now, of_dashboard = time.monotonic() - began, memory(seen.pid) if seen is not None else 0.0
            rows.append(
                Row(now, memory(), handles, threading.active_count(), blocks, heap, nodes, held, of_dashboard, shown)
            )
            print(
                json.dumps({k: round(v, 1) if isinstance(v, float) else v for k, v in rows[-1]._asdict().items()}),
                flush=True,
            )
        seconds, busy = time.monotonic() - began, time.process_time() - spent
        write.over.set()
        write.join()
        resting = idle(folder, 20)
        if seen is not None:
            seen.close()
    warm = rows[max(1, len(rows) // 4) : -1]  # the last run was cut short
    if len(warm) < 3:
        print("too short to tell: at least two minutes for every 15,000 spans kept")
        return 1
    first, last = warm[0], warm[-1]
    own, growth = slope(warm, "MB") / given.speed, last.MB - first.MB
    bars = {
        f"memory {own:+.2f} MB an hour of the run (bar {SLOPE}; {own * given.speed:+.1f} an hour here)": own < SLOPE,
        f"memory {growth:+.1f} MB after the warming up (bar {GROWTH:g})": growth < GROWTH,
        f"file handles {last.handles - first.handles:+d} (bar 0)": last.handles <= first.handles,
        f"threads {last.threads - first.threads:+d} (bar 0)": last.threads <= first.threads,
        f"a resting graph takes {resting:.2%} of a core (bar {IDLE:.0%})": resting < IDLE,
    }
    if seen is not None:
        grown = last.heap - first.heap
        bars |= {
            f"the page's heap {grown:+.1f} MB, {last.heap:.1f} MB in the end (bar {HEAP:g}); nodes {last.nodes - first.nodes:+d}": grown
            < HEAP,
            f"the page's exceptions: {len(seen.complaints)} {seen.complaints[:3]} (bar 0)": not seen.complaints,
        }
    print(
        f"{seconds / 60:.1f} min at {given.speed:g}x = {seconds * given.speed / 3600:.1f} h of a run, {write.written:,} spans, "
        f"{len(rows)} runs, {busy / seconds:.0%} of a core"
    )
    for said, good in bars.items():
        print(f"{'met   ' if good else 'MISSED'} {said}")
    return 0 if all(bars.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
