"""Reading: a file of trace lines into a frame, against counting its newlines, and what a span keeps in memory."""

from __future__ import annotations

import gc
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
TEXT = 'The quick brown fox "jumps"\nover the lazy dog, twice. '


def write_lines(path: Path, spans: int, body: int) -> None:
    """A run of agents as anton writes it: model calls, each with two tool calls that land before it."""
    rng = random.Random(7)
    clock = 1_790_000_000.0
    with path.open("w") as out:
        made = 0
        while made < spans:
            agent = f"module_{made % 7}"
            call = str(uuid.UUID(int=rng.getrandbits(128)))
            trace = f"run-{made // 25_000:04d}"
            for _ in range(min(2, spans - made - 1)):
                tool: dict[str, Any] = {
                    "timestamp": stamp(clock), "tool_name": ("read_file", "grep_codebase")[made % 2], "trace_id": trace,
                    "span_id": str(uuid.UUID(int=rng.getrandbits(128))), "parent_id": call, "span_type": "tool_call",
                    "agent_name": agent, "duration_ms": 12.5, "success": True,
                    "parameters": {"path": "src/x.py"}, "result": (TEXT * 100)[:body],
                }  # fmt: skip
                out.write(json.dumps(tool) + "\n")
                made += 1
                clock += 0.01
            line = {
                "timestamp": stamp(clock), "agent_name": agent, "provider": "claude",
                "model": ("claude-sonnet-4-20250514", "gpt-4o")[made % 2], "trace_id": trace, "span_id": call,
                "parent_id": None, "span_type": "llm_call", "duration_ms": 812.25,
                "tokens": {"input": 1200, "output": 80, "total": 1280}, "cost_usd": 0.0048,
                "messages": [{"role": "user", "content": (TEXT * 100)[: body * 3 // 4]}], "response": (TEXT * 100)[: body // 8],
            }  # fmt: skip
            out.write(json.dumps(line) + "\n")
            made += 1
            clock += 0.02


def stamp(seconds: float) -> str:
    whole = int(seconds)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)) + f".{int((seconds - whole) * 1e6):06d}"


def newlines(path: Path) -> int:
    """The floor: reads the file once and counts its newlines."""
    found = 0
    block = bytearray(1 << 20)
    with path.open("rb", buffering=0) as file:
        while size := file.readinto(block):
            found += block.count(b"\n", 0, size)
    return found


class Took(NamedTuple):
    """Seconds of several runs of one thing: by the clock, and of the processor."""

    wall: list[float]
    cpu: list[float]


def in_turn(*runs: Callable[[], object], times: int) -> list[Took]:
    """Runs these in turn, so that whatever else the machine does meets all of them alike."""
    took = [Took([], []) for _ in runs]
    for _ in range(times):
        for run, spent in zip(runs, took, strict=True):
            gc.collect()
            wall, cpu = time.perf_counter(), time.process_time()
            run()
            spent.wall.append(time.perf_counter() - wall)
            spent.cpu.append(time.process_time() - cpu)
    return took


def times_as_long(one: Took, other: Took) -> str:
    """How many times as long `one` took, by medians: by the clock, and of the processor."""
    wall, cpu = (statistics.median(a) / statistics.median(b) for a, b in zip(one, other, strict=True))
    return f"{wall:.2f}x (processor {cpu:.2f}x)"


MEMORY = """
import ctypes, gc, sys, threading, time
import psutil
import anton_notebook as anb
from anton_notebook import pricing
anb.read_traces(sys.argv[2]).spans_df()
def rest():
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
rest()
me = psutil.Process()
base, peak, over = me.memory_info().rss, [0], [False]
def watch():
    while not over[0]:
        peak[0] = max(peak[0], me.memory_info().rss)
        time.sleep(0.005)
thread = threading.Thread(target=watch)
thread.start()
traces = anb.read_traces(sys.argv[1])
traces.spans_df()
over[0] = True
thread.join()
highest = max(peak[0], me.memory_info().rss)
traces._frame = None
rest()
print(base, highest, me.memory_info().rss, traces.store.size)
"""


def memory(path: Path, small: Path) -> tuple[float, float]:
    """Bytes kept for a span after reading, and the peak above the base as a share of the file."""
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, str(path), str(small)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    base, peak, kept, spans = map(int, done.stdout.split())
    return (kept - base) / spans, (peak - base) / path.stat().st_size


def rows() -> list[dict[str, str]]:
    """Measured beside the bars."""
    import pandas as pd

    import anton_notebook as anb

    out: list[dict[str, str]] = []

    def add(what: str, measured: str, bar: str) -> None:
        out.append({"what": what, "measured": measured, "bar": bar})

    with tempfile.TemporaryDirectory() as folder:
        small, long, many = (Path(folder) / name for name in ("small.jsonl", "long.jsonl", "many.jsonl"))
        write_lines(small, 1000, 500)
        write_lines(long, 100_000, 3600)
        write_lines(many, 1_000_000, 120)
        anb.read_traces(small).spans_df()
        for path, spans, times in ((long, 100_000, 7), (many, 1_000_000, 5)):
            newlines(path)
            floor, taken = in_turn(
                lambda path=path: newlines(path),  # type: ignore[misc]
                lambda path=path: anb.read_traces(path).spans_df(),  # type: ignore[misc]
                times=times,
            )
            wall, cpu = (statistics.median(seconds) for seconds in taken)
            name = f"{spans:,} spans, {path.stat().st_size / 1e6:.0f} MB -> spans_df(), against counting newlines"
            add(name, times_as_long(taken, floor), "<= 4x" if path is long else "<= 14x")
            if path is long:
                add("the same, seconds", f"{wall:.2f} (processor {cpu:.2f})", "")
                ours, theirs = in_turn(
                    lambda path=path: anb.read_traces(path).spans_df(),  # type: ignore[misc]
                    lambda path=path: pd.read_json(path, lines=True),  # type: ignore[misc]
                    times=3,
                )
                add("pandas.read_json(lines=True) of the same file, against it", times_as_long(theirs, ours), ">= 20x")
            else:
                shown = f"{wall / spans * 1e6:.2f} us (processor {cpu / spans * 1e6:.2f} us)"
                add("the same, a span", shown, "<= 2.5 us")
        kept, peak = memory(many, small)
        add("memory kept per span, 1,000,000 spans", f"{kept:.0f} B", "<= 250 B")
        kept, peak = memory(long, small)
        add("memory kept per span, 100,000 spans of 4 KB", f"{kept:.0f} B", "<= 250 B")
        add("peak above the base, as a share of the file of 4 KB lines", f"{peak:.2f}", "<= 0.25")
        out += appends(long)
    return out


def appends(path: Path) -> list[dict[str, str]]:
    import anton_notebook as anb

    traces = anb.read_traces(path)
    traces.spans_df()
    again: list[float] = []
    first: list[float] = []
    for i in range(30):
        with path.open("a") as out:
            line = {
                "timestamp": stamp(1_800_000_000.0 + i), "agent_name": "module_1", "provider": "claude", "model": "gpt-4o",
                "trace_id": "run-0003", "span_id": f"new-{i}", "parent_id": None, "span_type": "llm_call", "duration_ms": 5.0,
                "tokens": {"input": 10, "output": 2},
            }  # fmt: skip
            out.write(json.dumps(line) + "\n")
        traces.refresh()
        begin = time.perf_counter()
        traces.spans_df()
        middle = time.perf_counter()
        traces.spans_df()
        first.append(middle - begin)
        again.append(time.perf_counter() - middle)
    first.sort()
    again.sort()
    os.sync()
    return [
        {
            "what": "spans_df() at 100,000 spans after one append, median (worst)",
            "measured": f"{first[15] * 1e3:.2f} ({first[-1] * 1e3:.1f}) ms",
            "bar": "<= 5 ms",
        },
        {"what": "spans_df() with nothing new, median", "measured": f"{again[15] * 1e3:.3f} ms", "bar": "<= 1 ms"},
    ]


if __name__ == "__main__":
    for row in rows():
        print(f"{row['what']:75} {row['measured']:>26}   {row['bar']}")
