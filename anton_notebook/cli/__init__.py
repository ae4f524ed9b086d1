"""The command line `anton-notebook`. Each command is a module with a function `run` and an `EXAMPLE`."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from anton_notebook import __version__
from anton_notebook.cli import (
    checkpoints,
    costs,
    dashboard,
    demo,
    export,
    find,
    notebook,
    record,
    replay,
    rerun,
    runs,
    show,
    spans,
    summary,
    tree,
    watch,
)
from anton_notebook.cli._common import program_words
from anton_notebook.cli._output import warn
from anton_notebook.errors import AntonNotebookError

COMMANDS = {
    "demo": demo,
    "notebook": notebook,
    "dashboard": dashboard,
    "find": find,
    "runs": runs,
    "spans": spans,
    "show": show,
    "tree": tree,
    "costs": costs,
    "summary": summary,
    "watch": watch,
    "export": export,
    "rerun": rerun,
    "replay": replay,
    "checkpoints": checkpoints,
    "record": record,
}
TAKE_PROGRAM = ("record", "replay")
"""Commands whose words after `--` are the user's program."""


def build_app() -> typer.Typer:
    """Build the application with all commands."""
    app = typer.Typer(
        name="anton-notebook",
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )

    @app.callback()
    def options(
        version: Annotated[
            bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
        ] = False,
    ) -> None:
        """Watch, query, re-run and fork runs of LLM agents."""

    for name, module in COMMANDS.items():
        app.command(name, epilog=f"Example: {module.EXAMPLE}")(_guarded(name, module.run))
    return app


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"anton-notebook {__version__}")
        raise typer.Exit


def _guarded(name: str, run: Callable[..., int]) -> Callable[..., None]:
    """Turn a command's result and its exceptions into exit codes and one line on standard error."""

    @functools.wraps(run)
    def command(*words: Any, **options: Any) -> None:
        try:
            code = run(*words, **options)
            sys.stdout.flush()
        except AntonNotebookError as error:
            warn(f"anton-notebook {name}: {error}")
            code = 1
        except BrokenPipeError:
            # The reader of a pipe, such as `head`, has closed it.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            code = 0
        except OSError as error:
            place = f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error)
            warn(f"anton-notebook {name}: {place}")
            code = 1
        except KeyboardInterrupt:
            code = 130
        raise typer.Exit(code)

    return command


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: The words of the command line; default: those of this process.

    Returns:
        The exit code: 0 for success, 1 for an error (one line on stderr), 2 for wrong usage, 130 after Ctrl-C, and for
        `record` and `receive` the program's own.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    program: list[str] = []
    if words[:1] and words[0] in TAKE_PROGRAM and "--" in words:
        at = words.index("--")
        words, program = words[:at], words[at + 1 :]
    token = program_words.set(tuple(program))
    try:
        build_app()(args=words, prog_name="anton-notebook")
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 0 if ended.code is None else 1
    finally:
        program_words.reset(token)
    return 0


__all__ = ["COMMANDS", "build_app", "main"]
