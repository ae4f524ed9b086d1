"""`anton-notebook notebook`: JupyterLab with a ready notebook on a folder of traces."""

from __future__ import annotations

import json
import signal
import tempfile
import threading
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from anton_notebook.cli._common import PathArgument, has_display
from anton_notebook.cli._output import safe

EXAMPLE = "anton-notebook notebook . --no-browser"
NAME = "traces.ipynb"


def run(
    path: PathArgument = ".",
    port: Annotated[
        int | None,
        typer.Option("--port", min=0, max=65_535, metavar="N", help="JupyterLab's port; default: a free one."),
    ] = None,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Only print the address.")] = False,
) -> int:
    """Open JupyterLab with a notebook that shows the traces under a path."""
    from anton_notebook.cli._jupyterlab import Lab, check
    from anton_notebook.errors import PathNotFound

    check()
    folder = Path(path).expanduser().resolve()
    if not folder.exists():
        raise PathNotFound(f"{path} does not exist")
    place = folder if folder.is_dir() else folder.parent
    stop = threading.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: stop.set())
    with tempfile.TemporaryDirectory(prefix="anton-notebook-lab-") as state:
        write_notebook(place / NAME, "." if folder.is_dir() else folder.name)
        print(safe(f"Starting JupyterLab on {place} …"), flush=True)
        with Lab(place, Path(state), port) as lab:
            lab.wait(stop.is_set)
            if not stop.is_set():
                url = lab.url(NAME)
                print(f"\n  {url}\n\nPress Ctrl-C to end JupyterLab.", flush=True)
                if not no_browser and has_display():
                    webbrowser.open(url)
            while not stop.wait(0.25) and lab.alive():
                pass
    return 0


def write_notebook(target: Path, path: str) -> None:
    """Write the notebook; an existing one is left as it is."""
    import nbformat

    if target.exists():
        return
    cells = [
        f"import anton_notebook as anb\n\ntraces = anb.read_traces({path!r}, follow=True)\ntraces.runs_df()",
        "graph = anb.TraceGraph(traces)\ngraph",
        'anb.costs(traces, by=["agent", "model"])',
    ]
    page = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    target.write_text(json.dumps(page, indent=1), encoding="utf-8")
