"""A believable run of agents, written to disk in real time: for the demo, for trying the widget, for tests.

`python -m anton_notebook.simulate --path DIR` is a process of its own that writes to `DIR/.modular-agents/traces`, line
by line, as a running program would. It needs no key and no network. `start` does that from a notebook.
"""

from __future__ import annotations

import argparse
import atexit
import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from anton_notebook.simulate.plan import Event, plan
from anton_notebook.sources import writer

TRACES = Path(".modular-agents", "traces")
MARK = {"origin": "demo"}


def play(events: Sequence[Event], folder: str | os.PathLike[str], stop: threading.Event | None = None) -> list[Path]:
    """Writes each line at its moment, one file an agent, and returns the files. `stop` ends it early, within a line.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     len(play(plan(seed=1, agents=2, spans=12, speed=1000), folder))
    3
    """
    stop = stop or threading.Event()
    writers: dict[str, writer.TraceWriter] = {}
    begin = time.monotonic()
    try:
        for event in events:
            if stop.wait(max(0.0, begin + event.at - time.monotonic())):
                break
            if event.agent not in writers:
                writers[event.agent] = writer.create(folder, "run", MARK)
            writers[event.agent].write(event.record, running=event.running)
    finally:
        for out in writers.values():
            out.close()
    return [out.path for out in writers.values()]


def start(
    path: str | os.PathLike[str] = ".", *, speed: float = 1.0, again: bool = False
) -> subprocess.Popen[bytes] | None:
    """Starts a simulated run below `path`, in a process that ends with this one.

    Returns None, and starts nothing, where a run has been written already; `again=True` starts one all the same.
    """
    folder = Path(path).expanduser().resolve()
    if not again and any((folder / TRACES).glob("*.jsonl")):
        return None
    command = [
        sys.executable,
        "-P",  # nothing is imported from the folder that this is run in
        "-m",
        "anton_notebook.simulate",
        "--path",
        str(folder),
        "--speed",
        str(speed),
        "--leashed",
    ]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    atexit.register(process.terminate)
    return process


def parser() -> argparse.ArgumentParser:
    """The options of the command line."""
    made = argparse.ArgumentParser(
        prog="python -m anton_notebook.simulate",
        description="Writes a believable run of agents in real time, in anton's trace format. No key, no network.",
        epilog="example: python -m anton_notebook.simulate --path /tmp/shop --speed 4",
    )
    made.add_argument(
        "--path", default=".", help="the repository; lines go to .modular-agents/traces in it (default: .)"
    )
    made.add_argument("--speed", type=float, default=1.0, help="how many times faster than it would be (default: 1)")
    made.add_argument(
        "--seed", type=int, default=None, help="the same seed gives the same run (default: another each time)"
    )
    made.add_argument("--agents", type=int, default=4, help="module agents at work in parallel (default: 4)")
    made.add_argument("--spans", type=int, default=60, help="about how many calls in all (default: 60)")
    made.add_argument("--runs", type=int, default=1, help="how many runs, one after the other (default: 1)")
    made.add_argument("--pause", type=float, default=10.0, help="seconds between two runs (default: 10)")
    made.add_argument(
        "--leashed", action="store_true", help="end when standard input closes, so with the parent process"
    )
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; the exit code."""
    options = parser().parse_args(arguments)
    stop = threading.Event()
    if options.leashed:
        threading.Thread(target=_leash, args=(stop,), name="anton-notebook-leash", daemon=True).start()
    folder = Path(options.path).expanduser() / TRACES
    try:
        for number in range(options.runs):
            if number and stop.wait(options.pause):
                break
            seed = None if options.seed is None else options.seed + number
            play(plan(seed=seed, agents=options.agents, spans=options.spans, speed=options.speed), folder, stop)
    except (ValueError, OSError) as error:
        print(f"anton_notebook.simulate: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def _leash(stop: threading.Event) -> None:
    """Set `stop` when standard input closes.

    Reads the file descriptor: a daemon thread that waits in `sys.stdin.buffer` holds its lock, and the interpreter aborts
    at shutdown.
    """
    with contextlib.suppress(OSError, ValueError, AttributeError):
        descriptor = sys.stdin.fileno()
        while os.read(descriptor, 4096):
            pass
    stop.set()


__all__ = ["Event", "main", "plan", "play", "start"]
