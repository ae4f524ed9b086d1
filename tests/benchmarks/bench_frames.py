"""Frames of 100,000 spans: what `messages_df` and `tool_calls_df` cost after an append; `spans_df` beside other libraries'.

Processor time of this thread, so that what else the machine does counts little. The other libraries are measured where
`make bench-peers` has installed them. Run: `python tests/benchmarks frames`.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import peers

SIZES = (10_000, 100_000)
APPENDS = 15


def line(i: int) -> str:
    """A call to a model with a question, or a tool's call, of about 600 bytes."""
    second = 1_767_225_600 + i
    made: dict[str, Any] = {
        "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(second)),
        "agent_name": f"module_{i % 7}",
        "trace_id": f"run-{i // 200}",
        "span_id": f"{i:016x}",
        "parent_id": None,
        "duration_ms": 900.0,
        "success": True,
    }
    if i % 2:
        made |= {
            "span_type": "tool_call",
            "tool_name": "read_file",
            "parameters": {"path": f"{i}.py"},
            "result": "r" * 400,
        }
    else:
        made |= {
            "span_type": "llm_call",
            "provider": "openai",
            "model": "gpt-4o",
            "tokens": {"input": 100, "output": 10},
        }
        made |= {"messages": [{"role": "user", "content": f"question {i} " * 20}], "response": f"answer {i}"}
    return json.dumps(made) + "\n"


def spent(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds of the processor in this thread, and what came of it."""
    start = time.thread_time()
    made = work()
    return time.thread_time() - start, made


def rows() -> list[dict[str, Any]]:
    """One row a figure: what was measured, the measurement, the bar."""
    import anton_notebook as anb

    result: list[dict[str, Any]] = []
    cost: dict[tuple[str, int], float] = {}
    for size in SIZES:
        with tempfile.TemporaryDirectory(prefix="bench-frames-") as folder:
            path, count = Path(folder) / "t.jsonl", size
            path.write_text("".join(map(line, range(size))))
            traces = anb.read_traces(folder)
            for name in ("messages_df", "tool_calls_df"):
                frame = getattr(traces, name)
                first, held = spent(frame)
                found = []
                for _ in range(APPENDS):
                    with path.open("a") as file:
                        file.write(line(count) + line(count + 1))
                    count += 2
                    traces.refresh()
                    traces.spans_df()
                    seconds, held = spent(frame)
                    found.append(seconds)
                cost[name, size] = statistics.median(found)
                what = f"{name} of {size:,} spans, {len(held):,} rows: first {first:.2f} s; after an append"
                result.append({"what": what, "measured": f"{cost[name, size] * 1e3:.1f} ms", "bar": "-"})
            traces.close()
    if peers.ready():
        result += list(peers.rows(20_000, peers.FOLDER, list(peers.PEERS)))
    else:
        result.append({"what": "spans_df beside Phoenix and MLflow", "measured": "make bench-peers", "bar": "50x; 10x"})
    return result
