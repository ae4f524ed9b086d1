"""The proxy's database at 100,000 calls: the first reading, an update while it is followed, and conversations of 1,000 turns.

Run: `python tests/benchmarks proxy`.
"""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from anton_notebook.api import Traces, read_traces
from anton_notebook.sources.proxy import sqlite_reader
from anton_notebook.sources.proxy.history_matching import Turns
from tests.conftest import ROOT
from tests.support.proxies import Proxy, called, system, user

CALLS = 100_000
TURNS = 4  # of a conversation, as in the recorded runs
UPDATES = 200

WRITER = """
import json, sys, time
sys.path[:0] = [sys.argv[1]]
from pathlib import Path
from tests.support.proxies import Proxy, system, user
count, rate, base = int(sys.argv[3]), float(sys.argv[4]), time.time() - 1772366400
proxy = Proxy(Path(sys.argv[2]), schema="")
began, times = time.monotonic(), {}
for i in range(count):
    rest = began + i / rate - time.monotonic()
    if rest > 0: time.sleep(rest)
    call = proxy.begin([system("api"), user("Task: %d" % i)], at=base + i / rate, call="w%d" % i, task="live")
    time.sleep(0.01)
    proxy.end(call)
    times[call] = time.monotonic()
print(json.dumps(times))
"""
HELD_UP = """
import json, sys, time
sys.path[:0] = [sys.argv[1]]
from pathlib import Path
from tests.support.proxies import Proxy, system, user
count, rate, base = int(sys.argv[3]), float(sys.argv[4]), time.time() - 1772366400
proxy = Proxy(Path(sys.argv[2]), schema="")
began, slowest = time.monotonic(), 0.0
for i in range(count):
    rest = began + i / rate - time.monotonic()
    if rest > 0: time.sleep(rest)
    start = time.monotonic()
    proxy.begin([system("api"), user("Task: %d" % i)], at=base + i / rate, call="h%d" % i, task="held")
    slowest = max(slowest, time.monotonic() - start)
print(json.dumps({"slowest": slowest}))
"""


SELECT = """
SELECT l.rowid, l.call_id, l.parent_id, l.created_at, l.provider, l.model, l.messages, l.finish_reason, l.duration_ms,
       l.tokens_input, l.tokens_output, l.cost_usd, l.agent_name, l.error, t.task_id, t.created_at, t.task_description, l.response
FROM llm_calls AS l LEFT JOIN traces AS t ON t.trace_id = l.trace_id ORDER BY l.rowid
"""
"""What is read of each call. Two tables hold it, so who asks for these columns in one statement asks for a join."""


def fill(path: Path, calls: int = CALLS) -> None:
    """A database of calls of about 4 KB: tasks of 52 calls, conversations of four turns, two tool calls between two turns."""
    proxy = Proxy(path)
    proxy.db.execute("BEGIN")
    for number in range(0, calls, TURNS):
        agent, task = f"m{number % 7}", f"task-{number // 52}"
        history = [system(agent), user(f"Task: number {number}\n" + "context " * 300)]
        for turn in range(TURNS):
            last = turn == TURNS - 1
            proxy.call(
                history, "done" if last else None, at=number + turn, task=task, finish="stop" if last else "tool_calls"
            )
            history = [*history, *called("read_file", f"{number} " * 60), *called("grep_codebase", f"{turn} " * 200)]
    proxy.db.execute("COMMIT")
    proxy.close()


def bare(path: Path) -> float:
    """Seconds of work of a bare SELECT of the columns that are read, as sqlite3 gives them."""
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    began = time.process_time()
    for _ in db.execute(SELECT):
        pass
    took = time.process_time() - began
    db.close()
    return took


def first_read(path: Path) -> float:
    """Seconds of work until all spans are there. Other programs on the machine do not count."""
    began = time.process_time()
    traces = read_traces(path)
    took = time.process_time() - began
    assert sum(trace.figures["llm_calls"] for trace in traces) == CALLS
    traces.close()
    return took


def works(traces: Traces, path: Path) -> list[float]:
    """Milliseconds of work for each update of one row, while nothing else is done."""
    proxy, out = Proxy(path, schema=""), []
    for i in range(UPDATES):
        call = proxy.begin([system("api"), user(f"Task: {i}")], at=time.time() - 1772366400, task="work", call=f"u{i}")
        traces.reader.scan({str(path)})
        proxy.end(call)
        began = time.thread_time()
        traces.reader.scan({str(path)})
        out.append((time.thread_time() - began) * 1e3)
        assert traces.span(call).status == "ok"
    proxy.close()
    return out


@contextmanager
def noted(traces: Traces, seen: dict[str, float]) -> Iterator[None]:
    """Notes when each of the writer's calls is known to have ended."""
    store, known = traces.store, {"revision": traces.store.revision}

    def note() -> None:
        now = time.monotonic()
        changes = store.changes(known["revision"])
        known["revision"] = changes.revision
        for row in changes.rows.tolist():
            if store.c.status[row] == 1 and store.ids[row].startswith("w"):
                seen.setdefault(store.ids[row], now)

    stop = store.subscribe(note)
    try:
        yield
    finally:
        stop()


def latencies(path: Path) -> tuple[list[float], int]:
    """Milliseconds from the commit of each update to the callback that knows of it, and how many were never known."""
    seen: dict[str, float] = {}
    with read_traces(path, follow=True) as traces, noted(traces, seen):
        assert traces.live is not None
        traces.live.caught_up()
        command = [sys.executable, "-c", WRITER, str(ROOT), str(path), str(UPDATES), "20"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        traces.live.caught_up()
    times = json.loads(done.stdout)
    return [(seen[call] - at) * 1e3 for call, at in times.items() if call in seen], len(times) - len(seen)


def holds(path: Path) -> tuple[list[float], float]:
    """Milliseconds by the clock that each statement of first readings was open while a proxy wrote 200 rows a second, and the longest
    that a write took. A writer that fails, with sqlite3's default timeout, ends this."""
    begun, held = sqlite_reader._begun, list[float]()

    class Timed:
        def __init__(self, *given: Any) -> None:
            self.cursor, self.began = begun(*given), time.perf_counter()

        def __iter__(self) -> Iterator[Any]:
            return iter(self.cursor)

        def close(self) -> None:
            self.cursor.close()
            held.append((time.perf_counter() - self.began) * 1e3)

    sqlite_reader._begun = Timed  # type: ignore[assignment]
    try:
        command = [sys.executable, "-c", HELD_UP, str(ROOT), str(path), "400", "200"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            while writer.poll() is None:
                read_traces(path).close()
            out, _ = writer.communicate()
    finally:
        sqlite_reader._begun = begun
    if writer.returncode:
        raise RuntimeError("the writer failed")
    return held, json.loads(out)["slowest"] * 1e3


def stitching(length: int) -> float:
    """Milliseconds for all turns of four conversations of this length that take turns."""
    heads = [json.dumps([system("api"), user(f"Task: {c}")])[:-1] for c in range(4)]
    finder, took, number = Turns(), 0.0, 0
    for turn in range(length):
        for c in range(4):
            raw = (heads[c] + "]").encode()
            began = time.thread_time()
            finder.take(0, raw, number)
            took += time.thread_time() - began
            heads[c] += ", " + json.dumps(called("read_file", f"line {turn} " * 10))[1:-1]
            number += 1
    return took * 1e3


def percentile(values: list[float], share: float) -> float:
    """The value below which this share lies."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def rows() -> list[dict[str, str]]:
    """One row a figure."""
    out = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "proxy_traces.db"
        fill(path)
        size = sqlite3.connect(path).execute("SELECT avg(length(messages)) FROM llm_calls").fetchone()[0]
        bare(path)
        pairs = [(bare(path), first_read(path)) for _ in range(3)]
        select, read = min(a for a, _ in pairs), min(b for _, b in pairs)
        ratios = sorted(b / a for a, b in pairs)
        what = f"{CALLS:,} calls of {size / 1e3:.1f} KB"
        out.append({"what": f"{what}: a bare SELECT of the columns", "measured": f"{select:.2f} s", "bar": "-"})
        out.append({"what": f"{what}: first read", "measured": f"{read:.2f} s", "bar": "-"})
        out.append(
            {"what": f"{what}: first read / SELECT (middle of 3)", "measured": f"{ratios[1]:.1f} x", "bar": "3 x"}
        )
        traces = read_traces(path)
        work = works(traces, path)
        traces.close()
        out.append(
            {"what": f"{what}: work for one update, p95", "measured": f"{percentile(work, 0.95):.2f} ms", "bar": "5 ms"}
        )
        late, lost = latencies(path)
        out.append(
            {
                "what": f"{what}: update -> callback, p95",
                "measured": f"{percentile(late, 0.95):.1f} ms",
                "bar": "100 ms",
            }
        )
        out.append({"what": f"{what}: updates never seen", "measured": str(lost), "bar": "0"})
        held, write = holds(path)
        what_held = f"{what}: first readings while a proxy writes 200 rows a second"
        out.append({"what": f"{what_held}: longest hold", "measured": f"{max(held):.1f} ms", "bar": "50 ms"})
        out.append({"what": f"{what_held}: longest write", "measured": f"{write:.0f} ms", "bar": "5000 ms"})
    each = {length: min(stitching(length) for _ in range(3)) / length / 4 for length in (250, 500, 1_000)}
    for length, ms in each.items():
        out.append(
            {"what": f"one turn of a conversation of {length:,} turns", "measured": f"{ms * 1e3:.1f} us", "bar": "-"}
        )
    growth = each[1_000] / each[500]
    out.append({"what": "a turn at 1,000 turns / at 500", "measured": f"{growth:.2f} x", "bar": "1.5 x"})
    return out
