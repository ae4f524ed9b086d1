"""From a written line to a Python callback, and what goes over the wire for it. Run: `python tests/benchmarks live`."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from anton_notebook.api import read_traces
from anton_notebook.store import Store
from anton_notebook.widget.protocol import ChangeMessage, ClientState, Encoder, Scope
from anton_notebook.widget.stream import ChangeStream
from tests.support.pages import STATUS, Page, line, put

WRITER = """
import json, sys, time
path, count, rate = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
lines = [json.dumps(json.loads(l)).encode() + b"\\n" for l in sys.stdin]
times, out, began = [], open(path, "ab", 0), time.monotonic()
for i in range(count):
    rest = began + i / rate - time.monotonic()
    if rest > 0: time.sleep(rest)
    times.append((time.monotonic(), time.time()))
    out.write(lines[i])
print(json.dumps(times))
"""


def write(path: Path, ids: list[str], rate: float) -> list[tuple[float, float]]:
    """Appends calls in a process of its own, `rate` a second; when each line was begun: (monotonic, since 1970)."""
    done = writer(path, ids, rate)
    return finished(done)


def writer(path: Path, ids: list[str], rate: float) -> subprocess.Popen[bytes]:
    """As `write`, without waiting for its end."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), str(len(ids)), str(rate)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None
    process.stdin.write(b"".join(line(span_id, parent_id="root") for span_id in ids))
    process.stdin.close()
    return process


def finished(process: subprocess.Popen[bytes]) -> list[tuple[float, float]]:
    """The times of a writer that ends."""
    assert process.stdout is not None
    times = [(a, b) for a, b in json.loads(process.stdout.read())]
    process.wait()
    return times


def percentile(values: list[float], share: float) -> float:
    """The value below which this share lies."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def callbacks(rate: float, count: int) -> list[float]:
    """Milliseconds from the beginning of each write to the first callback after which the span is in the store."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "a.jsonl"
        file.write_bytes(line("root"))
        with read_traces(folder, follow=True) as traces:
            assert traces.live is not None
            traces.live.caught_up()
            base, seen = traces.store.size, list[tuple[float, int]]()
            traces.store.subscribe(lambda: seen.append((time.monotonic(), traces.store.size)))
            times = write(file, [f"s{i}" for i in range(count)], rate)
            time.sleep(1.0)
            late, at = [], 0
            for i, (began, _) in enumerate(times):
                while seen[at][1] < base + i + 1:
                    at += 1
                late.append((seen[at][0] - began) * 1e3)
            return late


def size(messages: list[ChangeMessage]) -> int:
    """Bytes of the content and the buffers."""
    return sum(len(json.dumps(m.header, ensure_ascii=False).encode()) + sum(map(len, m.buffers)) for m in messages)


def big(spans: int) -> tuple[Store, Encoder, ClientState]:
    """A store of that many spans in one run, and a page that has them all."""
    store = Store()
    put(
        store,
        [{"id": f"s{i}", "agent": f"module_{i % 12}", "start": i, "name": f"tool-{i % 20}"} for i in range(spans)],
    )
    encoder = Encoder(store)
    return store, encoder, encoder.encode(ClientState(), Scope(1, (0,)))[1]


def appends(times: int) -> tuple[float, float, int, int]:
    """Seconds of one append at 1,000 and at 100,000 spans (in turn, the medians), and the bytes sent for it."""
    sides = [big(1_000), big(100_000)]
    took: list[list[float]] = [[], []]
    sent = [0, 0]
    for i in range(times):
        for side, (store, encoder, known) in enumerate(sides):
            began = time.perf_counter()
            put(store, [{"id": f"new{i}", "agent": "module_1", "start": 10**6 + i, "name": "tool-1"}])
            messages, known = encoder.encode(known, Scope(1, (0,)))
            took[side].append(time.perf_counter() - began)
            sides[side] = (store, encoder, known)
            sent[side] = size(messages)
    return statistics.median(took[0]), statistics.median(took[1]), sent[0], sent[1]


def messages_a_second(seconds: float) -> tuple[float, bool]:
    """Messages a second while a store changes a thousand times a second, and whether everything arrived."""
    store, page, sent = Store(), Page(), list[float]()
    stream = ChangeStream(store, lambda m: (sent.append(time.monotonic()), page.take(m))[1], lambda: STATUS)
    put(store, [{"id": "root"}])
    stream.subscribe("page", page.known)
    began, i = time.monotonic(), 0
    while time.monotonic() - began < seconds:
        put(store, [{"id": f"x{i}", "start": i}])
        i += 1
        time.sleep(0.0008)
    passed = time.monotonic() - began
    rate = sum(began < when < began + passed for when in sent) / passed
    time.sleep(0.2)
    whole = len(page.spans) == store.size
    stream.close()
    return rate, whole


def rows() -> list[dict[str, str]]:
    """One row a figure."""
    late = callbacks(20, 300)
    found = [
        {
            "what": "written line -> Python callback, 20/s, p50",
            "measured": f"{percentile(late, 0.5):.2f} ms",
            "bar": "1 ms",
        },
        {
            "what": "written line -> Python callback, 20/s, p99",
            "measured": f"{percentile(late, 0.99):.2f} ms",
            "bar": "10 ms",
        },
    ]
    store, encoder, known = big(1_000)
    put(store, [{"id": f"x{i}", "agent": f"module_{i % 12}", "start": i, "name": "tool-1"} for i in range(100)])
    messages, _ = encoder.encode(known, Scope(1, (0,)))
    found.append({"what": "bytes a span at 100 a message", "measured": f"{size(messages) / 100:.1f} B", "bar": "60 B"})
    small, large, few, many = appends(400)
    found.append(
        {
            "what": "an append at 100,000 spans against at 1,000, time",
            "measured": f"{large / small:.2f}x",
            "bar": "1.1x",
        }
    )
    found.append({"what": "the same, bytes on the wire", "measured": f"{many / few:.2f}x", "bar": "1.1x"})
    rate, whole = messages_a_second(5.0)
    found.append({"what": "messages a second at 1,000 changes a second", "measured": f"{rate:.1f}", "bar": "31"})
    found.append({"what": "spans that arrived then", "measured": "all" if whole else "NOT ALL", "bar": "all"})
    return found
