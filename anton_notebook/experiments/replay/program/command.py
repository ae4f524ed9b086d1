"""`anb.replay(cp, command=[...])`: run the recorded program again in a copy of its repository."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anton_notebook.errors import ReplayError
from anton_notebook.experiments.replay.program.request_matching import Normalize
from anton_notebook.experiments.replay.program.runner import INTERRUPTED, POLL, ProgramReplay
from anton_notebook.experiments.replay.program.workdir import copy_of, existing_folder, path_map
from anton_notebook.experiments.rerun import Budget

if TYPE_CHECKING:
    import pandas as pd

_OUTPUT_KEPT = 1 << 16


def replay_command(
    checkpoint: Any,
    *,
    command: Sequence[str | os.PathLike[str]],
    workdir: str | os.PathLike[str] = "copy",
    normalize: Normalize | None = None,
    fresh: bool = False,
    repository: str | os.PathLike[str] | None = None,
    recorded_path: str | os.PathLike[str] | None = None,
    upstreams: Mapping[str, str] | None = None,
    environment: Mapping[str, str] | None = None,
    budget: float | Budget | None = None,
    cache: bool = True,
    progress: bool = False,
    timeout: float | None = None,
    keep_workdir: bool = False,
) -> pd.DataFrame:
    """Run `command` in a copy of the repository against a gateway that knows the recording, and record a new trace.

    A request that equals a recorded one gets its recorded answer (`reused`); the changed one is sent with its change, and
    everything after it is live (`executed`). Files that the program writes outside of the copy are not protected.

    Args:
        checkpoint: The point and the changed prompts.
        command: The program and its arguments.
        workdir: `"copy"`, or an existing folder that is not the repository.
        normalize: What is made equal before comparing: names of presets (`"uuid"`, `"iso-time"`, `"anton-task"`; all by
            default) and (regex, replacement).
        fresh: Execute the point itself again, unchanged.
        repository: The folder to copy; by default the one that the traces are in.
        recorded_path: The path of the repository in the recording, if different.
        upstreams: Provider -> base URL of live calls.
        environment: More environment variables.
        budget: US dollars for everything that is passed on, retries of SDKs included. The worst case of a call is reserved
            before it is sent; a spent budget ends the program.
        cache: Do not pay again for live calls of earlier replays of this run.
        progress: Show progress.
        timeout: Seconds after which the program is ended.
        keep_workdir: Keep the copy; its path is `attrs["workdir"]`.

    Returns:
        The frame of `replay`; `attrs` has `original_trace_id`, `new_trace_id`, `exit_code`, `workdir`, `how`, `requests`,
        `output` (the end of it) and, after Ctrl-C or a spent budget, `interrupted`.

    Raises:
        ReplayDivergence: A request before the changed one equals no recorded one, or the program ends before it.
        BudgetError: A model has no price.
        ReplayError: The program cannot be started or takes too long.
    """
    if isinstance(command, str) or not command:
        raise TypeError(
            "command= must be a list of the program and its arguments, such as ['anton', 'task', '.', 'Fix it']"
        )
    original = Path(repository) if repository is not None else Path(checkpoint._source().home).parent
    copy = copy_of(original) if os.fspath(workdir) == "copy" else existing_folder(original, Path(workdir))
    recorded = os.fspath(recorded_path or original.resolve())
    try:
        replay = ProgramReplay(
            checkpoint, normalize=normalize, fresh=fresh, budget=budget, cache=cache, progress=progress,
            upstreams=upstreams, to_original=path_map(copy.path, recorded), to_copy=path_map(recorded, copy.path),
        )  # fmt: skip
        with replay.gateway() as gateway:
            words = [path_map(copy.original, copy.path)(os.fspath(word)) for word in command]
            env = {**os.environ, **(environment or {}), **gateway.environment(), "PWD": str(copy.path)}
            code, output = _run(words, env, copy.path, replay, timeout)
        replay.tick(last=True)
        replay.check(f"exit code {code}", f"; the end of its output: {output[-300:]!r}" if output else "")
        kept = str(copy.path) if keep_workdir else None
        return replay.frame(exit_code=code, how=copy.how, workdir=kept, output=output)
    finally:
        if not keep_workdir:
            copy.remove()


def _run(
    words: list[str], env: dict[str, str], folder: Path, replay: ProgramReplay, timeout: float | None
) -> tuple[int | None, str]:
    """Run the program until it ends, diverges, or time or money are spent. Return its exit code and the end of its output."""
    try:
        process = subprocess.Popen(
            words, cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
    except OSError as error:
        raise ReplayError(f"command= {words[0]!r} cannot be started: {error.strerror or error}") from error
    output = bytearray()
    reader = threading.Thread(target=_read, args=(process, output), name="anton_notebook replay output", daemon=True)
    reader.start()
    until = None if timeout is None else time.monotonic() + timeout
    code: int | None = None
    try:
        while True:
            try:
                code = process.wait(POLL)
                break
            except subprocess.TimeoutExpired:
                replay.tick()
                late = until is not None and time.monotonic() > until
                if replay.ended or late:
                    _end(process)
                if late and replay.responder.failure is None:
                    raise ReplayError(f"the program took longer than timeout={timeout} s and was ended") from None
    except KeyboardInterrupt:
        replay.responder.stopped = INTERRUPTED
        _end(process)
        code = process.poll()
    except BaseException:
        _end(process)
        raise
    reader.join(1.0)
    return code, bytes(output).decode("utf-8", "replace")


def _read(process: subprocess.Popen[bytes], output: bytearray) -> None:
    assert process.stdout is not None
    while chunk := os.read(process.stdout.fileno(), 1 << 16):
        output.extend(chunk)
        del output[:-_OUTPUT_KEPT]


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the program and its children, politely first."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(2.0)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue
