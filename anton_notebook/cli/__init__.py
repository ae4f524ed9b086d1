"""The command line: `anton-notebook COMMAND`. Each command is a module with `HELP`, `EXAMPLE`, `options` and `run`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from anton_notebook import __version__
from anton_notebook.cli import checkpoints, completion, dashboard, demo, export, record, replay, rerun, summary
from anton_notebook.cli._common import safe
from anton_notebook.errors import AntonNotebookError

COMMANDS = {
    "demo": demo,
    "dashboard": dashboard,
    "summary": summary,
    "export": export,
    "record": record,
    "rerun": rerun,
    "checkpoints": checkpoints,
    "replay": replay,
    "completion": completion,
}


def parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    made = argparse.ArgumentParser(
        prog="anton-notebook", description="Watch, question, re-run and fork runs of LLM agents, in a notebook."
    )
    made.add_argument("--version", action="version", version=f"anton-notebook {__version__}")
    commands = made.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, module in COMMANDS.items():
        one = commands.add_parser(
            name,
            help=module.HELP,
            description=module.HELP,
            epilog=f"example: {module.EXAMPLE}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.options(one)
        one.set_defaults(run=module.run)
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code: 0 done, 1 an error that is said on stderr, 2 wrong usage, 130 Ctrl-C."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    at = words.index("--") if words[:1] == ["replay"] and "--" in words else len(words)
    options = parser().parse_args(words[:at])  # argparse takes a last list only right behind the other words
    if at < len(words):
        options.program = words[at + 1 :]
    try:
        code = int(options.run(options))
        sys.stdout.flush()
        return code
    except AntonNotebookError as error:
        print(safe(f"anton-notebook {options.command}: {error}"), file=sys.stderr)
        return 1
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        said = f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error)
        print(safe(f"anton-notebook {options.command}: {said}"), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


__all__ = ["main", "parser"]
