"""`anton-notebook dashboard`: the workbench as a web page, for people without a notebook."""

from __future__ import annotations

import logging
import signal
import sys
import threading
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from anton_notebook.cli._common import BudgetOption, PathArgument, has_display
from anton_notebook.cli._output import warn

if TYPE_CHECKING:
    from anton_notebook.dashboard import Dashboard

EXAMPLE = "anton-notebook dashboard /project --no-browser"


def run(
    path: PathArgument = ".",
    trace: Annotated[
        str | None, typer.Option("--trace", metavar="RUN", help="The run to show first; default: the newest.")
    ] = None,
    allow_rerun: Annotated[
        bool, typer.Option("--allow-rerun", help="Let the page send single requests to models.")
    ] = False,
    allow_replay: Annotated[
        bool, typer.Option("--allow-replay", help="Let the page replay runs; includes --allow-rerun.")
    ] = False,
    budget: BudgetOption = None,
    port: Annotated[
        int, typer.Option("--port", min=0, max=65_535, metavar="N", help="The port; 0 takes a free one.")
    ] = 0,
    host: Annotated[str, typer.Option("--host", metavar="H", help="The address to listen on.")] = "127.0.0.1",
    names: Annotated[
        list[str] | None, typer.Option("--name", metavar="N", help="With --host: a name of this machine.")
    ] = None,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Only print the address.")] = False,
) -> int:
    """Serve the workbench as a web page, live, without a notebook or a kernel; Ctrl-C ends it."""
    from anton_notebook.dashboard import serve

    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)

    def ready(dashboard: Dashboard) -> None:
        if not Path(path).expanduser().exists():
            warn(f"{path} does not exist yet; the page shows it as soon as it does.")
        print(f"\n  {dashboard.url}\n\nPress Ctrl-C to end the dashboard.", flush=True)
        if dashboard.gate.anywhere:
            warn(
                "The dashboard listens on every network of this machine, without encryption: anybody with the address "
                "and its token can read the traces."
            )
        if not no_browser and has_display():
            threading.Thread(target=webbrowser.open, args=(dashboard.gate.once(),), daemon=True).start()

    try:
        serve(
            path,
            ready=ready,
            trace=trace,
            allow_rerun=allow_rerun,
            allow_replay=allow_replay,
            budget=budget,
            host=host,
            port=port,
            names=names or [],
        )
    except KeyboardInterrupt:
        warn("The dashboard ended.")
    return 0
