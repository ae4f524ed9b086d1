"""`anton-notebook dashboard`: the workbench as a web page, for people without a notebook."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import threading
import webbrowser
from pathlib import Path

from anton_notebook.cli._common import dollars, has_display, safe, whole
from anton_notebook.dashboard import Dashboard, serve

HELP = "the workbench as a web page, live, without a notebook or a kernel"
EXAMPLE = "anton-notebook dashboard --path /project --no-browser"


def options(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument(
        "--path", default=".", metavar="P", help="a repository, a traces folder, a file (default: here)"
    )
    parser.add_argument("--trace", default=None, metavar="T", help="the run to show first (default: the newest)")
    parser.add_argument("--allow-rerun", action="store_true", help="let the page send single requests to models")
    parser.add_argument("--allow-replay", action="store_true", help="let the page replay runs; includes --allow-rerun")
    parser.add_argument(
        "--budget", type=dollars, default=None, metavar="USD", help="for all that the page starts (default: 1.00)"
    )
    parser.add_argument("--port", type=whole(0, 65_535), default=0, metavar="N", help="the port (default: a free one)")
    parser.add_argument(
        "--host", default="127.0.0.1", metavar="H", help="the address to listen on (default: 127.0.0.1, this machine)"
    )
    parser.add_argument(
        "--name", action="append", default=[], metavar="N", help="a name that this machine is asked for by, with --host"
    )
    parser.add_argument("--no-browser", action="store_true", help="only print the address")


def run(options: argparse.Namespace) -> int:
    """Serves until Ctrl-C or SIGTERM."""
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    if hasattr(signal, "SIGTERM") and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)

    def ready(made: Dashboard) -> None:
        if not Path(options.path).expanduser().exists():
            print(safe(f"{options.path} is not there yet; the page shows it as soon as it is."), file=sys.stderr)
        print(f"\n  {made.url}\n\nCtrl-C ends the dashboard.", flush=True)
        if made.gate.anywhere:
            print(
                "It listens on every network of this machine, without encryption: whoever has the address with its "
                "token sees the traces.",
                file=sys.stderr,
            )
        if not options.no_browser and has_display():
            threading.Thread(target=webbrowser.open, args=(made.gate.once(),), daemon=True).start()

    try:
        serve(
            options.path,
            ready=ready,
            trace=options.trace,
            allow_rerun=options.allow_rerun,
            allow_replay=options.allow_replay,
            budget=options.budget,
            host=options.host,
            port=options.port,
            names=options.name,
        )
    except KeyboardInterrupt:
        print("The dashboard ended.", file=sys.stderr)
    return 0
