"""`anton-notebook record -- COMMAND`: runs a program and records what it asks of models, through a local gateway."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from pathlib import Path

from anton_notebook.capture.gateway import Gateway, Recorder
from anton_notebook.cli._common import safe
from anton_notebook.sources.home import home

HELP = "run a program and record every call that it makes by Anthropic's or OpenAI's SDK"
EXAMPLE = "anton-notebook record -- python my_agents.py"


def options(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument(
        "--out",
        type=Path,
        default=None,
        metavar="DIR",
        help="the folder that the trace file is made in (default: the traces folder of the folder that this is run in)",
    )
    parser.add_argument("program", nargs="+", metavar="COMMAND", help="the program and its arguments, after --")


def run(options: argparse.Namespace) -> int:
    """Runs the program and gives its exit code (128 + n where signal n ended it, 127 where it cannot be started)."""
    folder = options.out if options.out is not None else home(Path.cwd()) / "traces"
    sys.setswitchinterval(0.0005)  # the line of one call must not hold up the next by Python's 5 ms
    recorder = Recorder(folder)
    with Gateway(recorder) as gateway:
        code = _run(list(options.program), {**os.environ, **gateway.environment()})
    if recorder.trouble:
        print(safe(f"anton-notebook record: {recorder.trouble}"), file=sys.stderr)
    if recorder.path is None:
        print("anton-notebook record: no call to a model went through, so there is no trace", file=sys.stderr)
    else:
        calls = "1 call" if recorder.calls == 1 else f"{recorder.calls} calls"
        print(safe(f"anton-notebook record: {calls} in {recorder.path}"), file=sys.stderr)
    return code


def _run(command: list[str], environment: dict[str, str]) -> int:
    try:
        process = subprocess.Popen(command, env=environment)
    except OSError as error:
        print(safe(f"anton-notebook record: {command[0]} cannot be started: {error.strerror}"), file=sys.stderr)
        return 127
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the program by itself, and it decides
    others = {number: signal.signal(number, lambda n, _: process.send_signal(n)) for number in (signal.SIGTERM,)}
    try:
        code = process.wait()
    finally:
        signal.signal(signal.SIGINT, before)
        for number, handler in others.items():
            signal.signal(number, handler)
    return code if code >= 0 else 128 - code
