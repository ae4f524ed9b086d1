"""The dashboard: from the command to the first picture, what an idle one takes, and how soon a span reaches a WebSocket."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

import psutil
from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect

from anton_notebook.simulate import TRACES, plan, play
from tests.browser.lab import chromium_browser
from tests.browser.test_dashboard import Command
from tests.conftest import find_chromium
from tests.dashboard.test_dashboard import line, put

ROUNDS, SPANS = 5, 300
PAINTED = "() => [...document.querySelectorAll('.an-totals')].some(e => /[1-9][0-9,]* spans/.test(e.textContent))"


def rows() -> list[dict[str, str]]:
    """The measured rows."""
    folder = Path(tempfile.mkdtemp())
    play([event._replace(at=0) for event in plan(seed=3, agents=5, spans=300)], folder / TRACES)
    own = folder / ".modular-agents" / "traces" / "own.jsonl"
    put(own, line("a", 1))
    listening, painted, memory, delays, worked = [], [], [], [], []
    chromium = find_chromium()
    for _ in range(ROUNDS):
        command = Command(folder)
        try:
            listening.append(time.perf_counter() - command.started)
            spent = psutil.Process(command.process.pid).cpu_times()
            worked.append(spent.user + spent.system)
            if chromium is not None:
                painted.append(_painted(command, chromium))
            time.sleep(1)
            memory.append(psutil.Process(command.process.pid).memory_info().rss / 2**20)
            delays += asyncio.run(_delays(command.url, own))
        finally:
            command.close()
    delays.sort()
    took = f"{median(painted):.1f} s" if painted else "no Chromium"
    spread = f"p50 {delays[len(delays) // 2]:.1f}, p95 {delays[len(delays) * 95 // 100]:.1f} ms"
    return [
        {"what": "dashboard: from the command to its address", "measured": f"{median(listening):.1f} s, CPU {median(worked):.1f} s", "bar": "none"},
        {"what": "dashboard: from the command to the first picture (a Chromium that runs)", "measured": took, "bar": "5 s"},
        {"what": "dashboard: memory of an idle one after a tab was closed", "measured": f"{max(memory):.0f} MB", "bar": "200 MB"},
        {"what": f"dashboard: from a line to its span on a WebSocket, {len(delays)} lines", "measured": spread, "bar": "p95 50 ms"},
    ]  # fmt: skip


def _painted(command: Command, chromium: str) -> float:
    """Seconds from the command to the first picture; those that the browser took to start are left out."""
    begin = time.perf_counter()
    with chromium_browser(chromium) as browser:
        page = browser.new_page()
        left_out = time.perf_counter() - begin
        page.goto(command.url)
        page.wait_for_function(PAINTED, timeout=60_000)
        return time.perf_counter() - command.started - left_out


async def _delays(url: str, path: Path) -> list[float]:
    """Milliseconds from each line to its span."""
    place, token = urlsplit(url).netloc, url.rsplit("token=", 1)[1]
    request = HTTPRequest(f"ws://{place}/ws/trace/run-1", headers={"Authorization": f"Bearer {token}"})
    socket = await websocket_connect(request)
    while json.loads(str(await socket.read_message()))["type"] != "live":
        pass
    found = []
    for _ in range(SPANS):
        name = f"s-{time.perf_counter_ns()}"
        written = time.perf_counter()
        put(path, line(name, 4))
        while True:
            message = json.loads(str(await asyncio.wait_for(socket.read_message(), 20)))
            if message["type"] == "span" and message["span"]["span_id"] == name:
                break
        found.append((time.perf_counter() - written) * 1000)
        await asyncio.sleep(0.01)
    socket.close()
    return found


if __name__ == "__main__":
    for row in rows():
        print(row)
