"""`spans_df` beside other libraries' frames of spans, each in an environment of its own: `make bench-peers`.

Usage: `python tests/benchmarks/peers.py [--spans N] [--folder DIR] [NAME ...]`. The environments are made once, in
`.venv-peers/` beside the project's own; the same spans (runs of 100, half of them calls to models, about 2 KB each) go to every
library's local store, and what is timed is getting them all as a DataFrame. Ours starts from the files on disk, in an object of
its own each time, which is what the bars are held against; the others have their stores open and their servers warm. Said too are
the frame alone, of traces that were read before as the others' were stored before, and the frame with those of all texts, which
the others' frames have in them. Ours is timed right before and right after each of the others; of both the best attempt counts.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PEERS = {"phoenix": ("arize-phoenix", 50, 5), "mlflow": ("mlflow", 10, 5)}
"""What to install, how many times faster a span of ours is to be, and which part of the spans it is given: they take
up to 30 ms to store one, and what it takes to give one back does not depend on how many there are."""
TIMES = 5
FOLDER = ROOT / ".venv-peers"


def environment(name: str, folder: Path) -> Path:
    """The Python of a peer's environment, made where it is not there yet."""
    place = folder / name
    python = place / ("Scripts" if os.name == "nt" else "bin") / "python"
    if not (place / "ready").exists():
        print(f"installing {PEERS[name][0]} into {place.name} ...", file=sys.stderr, flush=True)
        venv.create(place, with_pip=True, clear=True)
        env = {key: value for key, value in os.environ.items() if key not in ("PIP_CONSTRAINT", "PIP_BUILD_CONSTRAINT")}
        subprocess.run(
            [python, "-m", "pip", "install", "--quiet", PEERS[name][0]], env=env, check=True, stdout=subprocess.DEVNULL
        )
        (place / "ready").touch()
    return python


def ours(count: int) -> dict[str, Any]:
    """Seconds of reading the same spans from a file of lines into `spans_df()`."""
    import anton_notebook as anb

    words = "What does this module do, and which of its functions are called from elsewhere? " * 6
    with tempfile.TemporaryDirectory(prefix="peer-ours-") as folder:
        with open(Path(folder) / "t.jsonl", "w") as file:
            for i in range(count):
                run, step = divmod(i, 100)
                line: dict[str, Any] = {
                    "timestamp": f"2026-01-01T{i // 3600 % 24:02d}:{i // 60 % 60:02d}:{i % 60:02d}Z",
                    "agent_name": "orchestrator" if step < 4 else "module_a",
                    "trace_id": f"{run + 1:032x}",
                    "span_id": f"{i + 1:016x}",
                    "parent_id": f"{i:016x}" if step else None,
                    "duration_ms": 1000.0,
                    "success": True,
                }
                if step % 2 == 0:
                    line |= {"span_type": "llm_call", "provider": "openai", "model": "gpt-4o"}
                    line |= {"tokens": {"input": 1000 + i % 100, "output": 100 + i % 10, "total": 1100}}
                    line |= {
                        "messages": [{"role": "user", "content": f"Question {i}. {words}"}] * 2,
                        "response": words[::-1],
                    }
                else:
                    line |= {
                        "span_type": "tool_call",
                        "tool_name": "ask",
                        "parameters": {"q": f"Question {i}. {words}"},
                        "result": words[::-1],
                    }
                file.write(json.dumps(line) + "\n")
        found, alone, texts = [], [], []
        for _ in range(TIMES):
            start = time.perf_counter()
            with anb.read_traces(folder) as traces:
                there = time.perf_counter()
                frame = traces.spans_df(kind=["llm", "tool"])
            found.append(time.perf_counter() - start)
            alone.append(time.perf_counter() - there)
        for _ in range(2):
            start = time.perf_counter()
            with anb.read_traces(folder) as traces:
                held = traces.spans_df(kind=["llm", "tool"]), traces.messages_df(), traces.tool_calls_df()
            texts.append(time.perf_counter() - start)
        assert len(held[1]) and len(held[2])
    return {
        "name": "anton_notebook",
        "version": anb.__version__,
        "call": "spans_df",
        "spans": len(frame),
        "seconds": min(found),
        "alone": min(alone),
        "texts": min(texts),
    }


def theirs(name: str, count: int, folder: Path) -> dict[str, Any]:
    """What a peer measured in its own environment."""
    env = {key: value for key, value in os.environ.items() if "API_KEY" not in key and key != "PYTHONPATH"}
    done = subprocess.run(
        [environment(name, folder), HERE / f"peer_{name}.py", str(count)],
        env=env,
        stdout=subprocess.PIPE,
        text=True,
        timeout=1800,
    )
    if done.returncode:
        raise SystemExit(f"{name} failed; its own words are above")
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    if found["spans"] < count:
        raise SystemExit(f"{name} gave {found['spans']} of {count} spans: nothing to compare")
    return found


def rows(count: int, folder: Path, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """One row a figure: what was measured, the measurement, the bar, and whether the bar is missed."""
    for name in names:
        before = ours(count)
        found = theirs(name, count // PEERS[name][2], folder)
        after = ours(count)
        mine = min((before, after), key=lambda one: one["seconds"])
        each, alone, texts = (mine[what] / mine["spans"] * 1e6 for what in ("seconds", "alone", "texts"))
        other = found["seconds"] / found["spans"] * 1e6
        bar = PEERS[name][1]
        yield {
            "what": f"{found['name']} {found['version']} {found['call']}, {found['spans']:,} spans: {other:.0f} us a span; ours {each:.1f}",
            "measured": f"{other / each:.0f}x",
            "bar": f"{bar}x",
            "missed": other < bar * each,
        }
        yield {
            "what": f"  against the frame alone, {alone:.2f} us; with all texts as frames, {texts:.1f} us",
            "measured": f"{other / alone:.0f}x; {other / texts:.1f}x",
            "bar": "-",
            "missed": False,
        }


def ready(folder: Path = FOLDER) -> bool:
    """Whether the others are installed."""
    return all((folder / name / "ready").exists() for name in PEERS)


def main(arguments: list[str] | None = None) -> int:
    """Measures and prints; 1 where a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*PEERS, []], help="which peers (default: all)")
    parser.add_argument("--spans", type=int, default=20_000)
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where the environments are")
    options = parser.parse_args(arguments)
    sys.path.insert(0, str(ROOT))
    missed = False
    for row in rows(options.spans, options.folder, options.names or list(PEERS)):
        missed |= row["missed"]
        print(f"{row['what']:<100} {row['measured']:>16}   bar {row['bar']}", flush=True)
    return int(missed)


if __name__ == "__main__":
    raise SystemExit(main())
