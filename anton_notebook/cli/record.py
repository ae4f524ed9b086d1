"""`anton-notebook record -- COMMAND`: run a program and record its calls to models through a local gateway."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from anton_notebook.cli._common import program_words
from anton_notebook.cli._output import counted, warn

EXAMPLE = "anton-notebook record -- python my_agents.py"


def run(
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="DIR", help="Folder for the trace file; default: the traces folder of this folder."
        ),
    ] = None,
) -> int:
    """Run the program after `--` and record every call that it makes with an Anthropic or OpenAI SDK."""
    from anton_notebook.capture.gateway import Gateway, Recorder
    from anton_notebook.sources.home import home

    program = list(program_words.get())
    if not program:
        raise typer.BadParameter("give the program after --, for example: anton-notebook record -- python my_agents.py")
    folder = out if out is not None else home(Path.cwd()) / "traces"
    # The interpreter's default of 5 ms between thread switches would delay the next call while a line is written.
    sys.setswitchinterval(0.0005)
    recorder = Recorder(folder)
    with Gateway(recorder) as gateway:
        code = run_program(program, {**os.environ, **gateway.environment()})
    if recorder.trouble:
        warn(f"anton-notebook record: {recorder.trouble}")
    if recorder.path is None:
        warn("anton-notebook record: no call to a model went through, so there is no trace")
    else:
        warn(f"anton-notebook record: {counted(recorder.calls, 'call')} in {recorder.path}")
    return code


def run_program(command: list[str], environment: dict[str, str]) -> int:
    """Run a program and return its exit code: 128 + n after signal n, 127 if it cannot be started."""
    try:
        process = subprocess.Popen(command, env=environment)
    except OSError as error:
        warn(f"anton-notebook record: {command[0]} cannot be started: {error.strerror}")
        return 127
    # Ctrl-C reaches the program itself, which decides how to end.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    terminate = signal.signal(signal.SIGTERM, lambda number, _: process.send_signal(number))
    try:
        code = process.wait()
    finally:
        signal.signal(signal.SIGINT, before)
        signal.signal(signal.SIGTERM, terminate)
    return code if code >= 0 else 128 - code
