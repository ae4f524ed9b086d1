"""What a sweep costs beside the bare SDK, and how fast answers are compared. Run: `python tests/benchmarks/bench_rerun.py`."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from anton_notebook import llm
from anton_notebook.experiments.rerun import rerun
from anton_notebook.experiments.verdict import RERUN, rerun_frame, verdict
from anton_notebook.model.request import Request

CALLS = 1000
ANSWER = 50
ROWS = 100_000
REQUEST = Request("anthropic", "bench-model", "Be kind", [{"role": "user", "content": "Hi"}], None, {"max_tokens": 100})


@contextmanager
def fast_server(milliseconds: int, words: int = 20) -> Iterator[str]:
    """The address of a server in a process of its own, while it runs."""
    program = Path(__file__).resolve().parents[1] / "support" / "servers" / "fast_server.py"
    process = subprocess.Popen(
        [sys.executable, str(program), str(milliseconds), str(words)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.kill()
        process.wait()


Cost = tuple[float, float]
"""Seconds on the clock, and of this process's CPU: other work on the machine shows in the first far more."""


def timed(start: Cost = (0.0, 0.0)) -> Cost:
    """Now, or what has passed since."""
    return time.perf_counter() - start[0], time.process_time() - start[1]


async def bare(client: Any, concurrency: int) -> Cost:
    """Seconds of the same calls as the SDK's own documentation makes them."""
    turns = asyncio.Semaphore(concurrency)

    async def one() -> Any:
        async with (
            turns,
            client.messages.stream(
                model=REQUEST.model, max_tokens=100, system="Be kind", messages=[{"role": "user", "content": "Hi"}]
            ) as stream,
        ):
            return await stream.get_final_message()

    start = timed()
    await asyncio.gather(*(one() for _ in range(CALLS)))
    return timed(start)


def bare_sdk(address: str, concurrency: int) -> Cost:
    """With the transport that a sweep takes."""

    async def twice() -> Cost:
        provider = llm.Anthropic(base_url=address)
        async with provider:
            client = provider._own().client
            await bare(client, concurrency)
            return min([await bare(client, concurrency) for _ in range(2)])

    return asyncio.run(twice())


def swept(address: str, concurrency: int) -> Cost:
    """Seconds of a whole `rerun`: its frame, its trace and its cache on disk."""

    def once() -> Cost:
        with tempfile.TemporaryDirectory() as home:
            start = timed()
            df = rerun(
                REQUEST,
                provider=llm.Anthropic(base_url=address),
                n=CALLS,
                concurrency=concurrency,
                progress=False,
                home=home,
            )
            spent = timed(start)
        assert df["error"].isna().all() and len(df) == CALLS
        return spent

    once()
    return min(once() for _ in range(3))


def compared(characters: int) -> float:
    """Seconds for the frame of 100,000 different answers of about so many characters, comparisons included."""
    from anton_notebook.experiments.compare import compare

    chance = random.Random(1)
    words = [f"w{i}ord" for i in range(400)]
    count = characters // 6
    originals = [" ".join(chance.choices(words, k=count)) for _ in range(50)]
    answers = []
    for i in range(ROWS):
        answer = originals[i % 50].split()
        for _ in range(max(1, count // 8)):
            answer[chance.randrange(count)] = chance.choice(words)
        answers.append(" ".join(answer))
    start = time.perf_counter()
    rows = []
    for i, answer in enumerate(answers):
        original = originals[i % 50]
        found = compare(original, answer)
        rows.append(
            dict.fromkeys(RERUN)
            | {"variant": i % 10, "repeat": i // 10, "original": original, "response": answer, "diff": found.diff}
            | {"similarity": found.similarity, "attempts": 1, "from_cache": False}
        )
    frame = rerun_frame(rows)
    seconds = time.perf_counter() - start
    assert len(frame) == ROWS
    return seconds


def rows() -> list[dict[str, str]]:
    """One row a figure: what was measured, the measurement, the bar."""
    os.environ.setdefault("ANTHROPIC_API_KEY", "not-a-key")
    result = []
    with fast_server(ANSWER) as address:
        for concurrency, most in ((32, 2.0), (128, 3.0)):
            (alone, busy), (ours, our_cpu) = bare_sdk(address, concurrency), swept(address, concurrency)
            ideal = -(-CALLS // concurrency) * ANSWER / 1000
            what = f"sweep of {CALLS:,} calls, {ANSWER} ms each, {concurrency} at a time"
            result.append(
                {
                    "what": f"{what}, over the bare SDK",
                    "measured": f"{ours / alone - 1:+.0%} ({ours:.2f} s)",
                    "bar": "+15%",
                }
            )
            result.append(
                {
                    "what": f"{what}, CPU over the bare SDK",
                    "measured": f"{our_cpu / busy - 1:+.0%} ({our_cpu:.2f} s)",
                    "bar": "+15%",
                }
            )
            result.append({"what": f"{what}, times the ideal", "measured": f"{ours / ideal:.2f}", "bar": f"{most:.1f}"})
    for characters in (300, 600):
        seconds = compared(characters)
        result.append(
            {
                "what": f"{ROWS:,} answers of {characters} characters compared",
                "measured": f"{seconds:.1f} s",
                "bar": "10 s",
            }
        )
    frame = rerun_frame(
        {"variant": i % 2, "repeat": i, "similarity": random.random(), "attempts": 1, "from_cache": False}
        for i in range(200)
    )
    start = time.perf_counter()
    verdict(frame, ["similarity"])
    result.append(
        {
            "what": "verdict on 100 against 100",
            "measured": f"{(time.perf_counter() - start) * 1e3:.0f} ms",
            "bar": "1000 ms",
        }
    )
    return result


if __name__ == "__main__":
    for row in rows():
        print(f"{row['what']:<70} {row['measured']:>16}   (bar {row['bar']})")
