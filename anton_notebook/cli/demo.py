"""`anton-notebook demo`: a simulated run of agents, and JupyterLab with a notebook that watches it."""

from __future__ import annotations

import json
import math
import signal
import subprocess
import sys
import tempfile
import threading
import time
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from anton_notebook.cli._common import has_display

if TYPE_CHECKING:
    from anton_notebook.cli._jupyterlab import Lab

EXAMPLE = "anton-notebook demo --port 8899 --no-browser"
NOTEBOOK = "live_trace.ipynb"
SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")


def _speed(value: float) -> float:
    if not 0 < value < math.inf:
        raise typer.BadParameter(f"{value} is not a factor above 0")
    return value


def run(
    path: Annotated[
        str | None,
        typer.Argument(metavar="PATH", show_default=False, help="Work in this folder; default: a temporary one."),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option("--port", min=0, max=65_535, metavar="N", help="JupyterLab's port; default: a free one."),
    ] = None,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Only print the address.")] = False,
    speed: Annotated[
        float, typer.Option("--speed", metavar="X", callback=_speed, help="How many times faster the agents work.")
    ] = 1.0,
) -> int:
    """Watch a simulated run of agents grow as a graph in JupyterLab; needs no key and no network."""
    from anton_notebook.cli._jupyterlab import Lab, check

    check()
    stop = threading.Event()
    with (
        _signals(stop),
        _folder(path) as folder,
        tempfile.TemporaryDirectory(prefix="anton-notebook-lab-") as state,
    ):
        _copy(folder)
        print(f"Working in {folder}", flush=True)
        with Lab(folder, Path(state), port) as lab:
            # The agents begin and JupyterLab starts at the same time.
            with _simulation(folder, speed, stop):
                with _timed("JupyterLab"):
                    lab.wait(stop.is_set)
                if not stop.is_set():
                    _show(lab, no_browser)
                while not stop.wait(0.25):
                    if not lab.alive():
                        print("JupyterLab was closed; the demo ends.", flush=True)
                        break
            print("\nEnding JupyterLab and the simulated run.", flush=True)
    return 0


def _show(lab: Lab, quiet: bool) -> None:
    try:
        with _timed("Notebook"):
            lab.run(NOTEBOOK)
    except Exception as error:  # the notebook can be run by hand just as well
        print(f"The notebook could not be run beforehand ({type(error).__name__}: {error}); run its cells.", flush=True)
    url = lab.url(NOTEBOOK)
    print(f"\n  {url}\n\nCtrl-C ends the demo and all that it started.", flush=True)
    if not quiet and has_display():
        webbrowser.open(url)


@contextmanager
def _timed(step: str) -> Iterator[None]:
    """Print one line per step with its time."""
    print(f"{step:<16} ", end="", flush=True)
    began = time.monotonic()
    try:
        yield
    except BaseException:
        print(f"{'failed':<11} {time.monotonic() - began:6.1f} s", flush=True)
        raise
    print(f"{'started':<11} {time.monotonic() - began:6.1f} s", flush=True)


@contextmanager
def _signals(stop: threading.Event) -> Iterator[None]:
    def end(number: int, frame: FrameType | None) -> None:
        stop.set()

    numbers = [getattr(signal, name) for name in SIGNALS if hasattr(signal, name)]
    before = {number: signal.signal(number, end) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _folder(path: str | None) -> Iterator[Path]:
    from anton_notebook.sources.writer import make_folder

    if path is not None:
        folder = Path(path).expanduser().resolve()
        make_folder(folder)
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="anton-notebook-demo-", ignore_cleanup_errors=True) as made:
        yield Path(made).resolve()


def examples() -> Path:
    """Where the example notebooks lie: in the installed package, or in the checkout that it was installed from."""
    package = Path(__file__).resolve().parent.parent
    inside = package / "examples"
    return inside if inside.is_dir() else package.parent / "examples"


def _copy(folder: Path) -> None:
    """A copy of the notebook without the outputs that are saved in it, unless one of the user's is there already."""
    if (folder / NOTEBOOK).exists():
        return
    pages = json.loads((examples() / NOTEBOOK).read_text(encoding="utf-8"))
    for cell in pages["cells"]:
        if cell["cell_type"] == "code":
            cell |= {"outputs": [], "execution_count": None}
    (folder / NOTEBOOK).write_text(json.dumps(pages, ensure_ascii=False, indent=1), encoding="utf-8")


@contextmanager
def _simulation(folder: Path, speed: float, stop: threading.Event) -> Iterator[None]:
    """The agents, a process of its own on a leash: it ends with this one, however this one ends."""
    from anton_notebook.simulate import TRACES

    known = set((folder / TRACES).glob("*.jsonl"))
    command = [sys.executable, "-P", "-m", "anton_notebook.simulate", "--path", str(folder), "--leashed"]
    command += ["--speed", str(speed), "--spans", "90", "--runs", "3", "--pause", "15"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
    try:
        for _ in range(200):
            if process.poll() is not None or set((folder / TRACES).glob("*.jsonl")) - known or stop.wait(0.05):
                break
        yield
    finally:
        process.terminate()
        process.wait(10)
        if process.stdin is not None:
            process.stdin.close()
