"""`anb.replay(cp, program=fn)`: run a callable of the notebook again, its SDK calls going through the recording gateway."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from anton_notebook.capture.gateway import Gateway
from anton_notebook.errors import ReplayDivergence, ReplayError
from anton_notebook.experiments.replay.program.request_matching import Normalize
from anton_notebook.experiments.replay.program.runner import INTERRUPTED, POLL, ProgramReplay
from anton_notebook.experiments.rerun import Budget

if TYPE_CHECKING:
    import pandas as pd

GRACE = 5.0
"""Seconds that a program has to end after a refused request."""
_KEYS = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY")
_NO_KEY = "not-set"
"""SDKs refuse to start without a key, also if every answer is recorded."""
_NO_REQUEST = (
    ". No request reached the gateway: create the SDK clients inside the function (they read their base URL when they are "
    "created), or let it accept one argument and use its base URLs"
)
_running = threading.Lock()


@dataclass(frozen=True)
class Endpoints:
    """Base URLs of the gateway, for programs that create clients with explicit base URLs."""

    openai: str
    anthropic: str


@dataclass
class _Outcome:
    value: Any = None
    error: BaseException | None = None
    done: threading.Event = field(default_factory=threading.Event)


def replay_function(
    checkpoint: Any,
    *,
    program: Callable[..., Any],
    normalize: Normalize | None = None,
    fresh: bool = False,
    upstreams: Mapping[str, str] | None = None,
    budget: float | Budget | None = None,
    cache: bool = True,
    progress: bool = False,
    timeout: float | None = None,
) -> pd.DataFrame:
    """Run a callable in a thread against a gateway that knows the recording, and record a new trace.

    A request that equals a recorded one gets its recorded answer (`reused`); the changed one is sent with its change, and
    everything after it is live (`executed`). Its SDK clients must be created while it runs: they take the gateway's address
    from the environment, which is set for this process meanwhile. Everything else that the callable does, it does.

    Args:
        checkpoint: The point and the changed prompts.
        program: Sync or async; called without arguments, or with `Endpoints` if it requires one argument.
        normalize: As for `replay_command`.
        fresh: Execute the point itself again, unchanged.
        upstreams: Provider -> base URL of live calls.
        budget: US dollars for all live calls, retries of SDKs included; a spent budget refuses further calls.
        cache: Do not pay again for live calls of earlier replays of this run.
        progress: Show progress.
        timeout: Seconds after which the replay stops waiting. A thread cannot be ended: its later calls are refused.

    Returns:
        The frame of `replay`; `attrs` has `original_trace_id`, `new_trace_id`, `requests`, `result` (the `repr` of the returned
        value, at most 2,000 characters), `error` and, after Ctrl-C or a spent budget, `interrupted`.

    Raises:
        ReplayDivergence: A request before the changed one equals no recorded one, or the callable ends before it.
        BudgetError: A model has no price.
        ReplayError: It takes too long, or another `program=` replay is running.
    """
    replay = ProgramReplay(
        checkpoint, normalize=normalize, fresh=fresh, budget=budget, cache=cache, progress=progress, upstreams=upstreams
    )
    wants_endpoints = _parameters(program) == 1
    outcome = _Outcome()
    with replay.gateway() as gateway, _environment(gateway):
        arguments = (_endpoints(gateway),) if wants_endpoints else ()
        context = contextvars.copy_context()
        thread = threading.Thread(
            target=context.run, args=(_call, program, arguments, outcome), name="anton_notebook program", daemon=True
        )
        thread.start()
        _wait(thread, replay, timeout)
    replay.tick(last=True)
    _check(replay, outcome)
    error = f"{type(outcome.error).__name__}: {outcome.error}"[:2000] if outcome.error is not None else None
    result = repr(outcome.value)[:2000] if outcome.done.is_set() and outcome.error is None else None
    frame = replay.frame(result=result, error=error)
    if not outcome.done.is_set():
        frame.attrs["trouble"] = "the program's thread is still running; its calls are refused"
    return frame


def _check(replay: ProgramReplay, outcome: _Outcome) -> None:
    how = f"{type(outcome.error).__name__}: {outcome.error}"[:300] if outcome.error is not None else "it returned"
    try:
        replay.check(how, _NO_REQUEST if replay.responder.steps == 0 else "")
    except ReplayDivergence as divergence:
        raise divergence from outcome.error


def _parameters(program: Callable[..., Any]) -> int:
    """The number of arguments that a program requires, 0 or 1."""
    if not callable(program):
        raise TypeError(f"program= must be a function, got {type(program).__name__}; use command= for a list of words")
    try:
        parameters = inspect.signature(program).parameters.values()
    except (TypeError, ValueError):
        return 0
    required = [
        one for one in parameters if one.default is one.empty and one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)
    ]
    if len(required) > 1 or any(one.kind is one.KEYWORD_ONLY for one in required):
        raise TypeError(
            "program= must not require arguments (or one, the gateway's base URLs); use functools.partial or a lambda"
        )
    return len(required)


def _endpoints(gateway: Gateway) -> Endpoints:
    variables = gateway.environment()
    return Endpoints(variables["OPENAI_BASE_URL"], variables["ANTHROPIC_BASE_URL"])


def _call(program: Callable[..., Any], arguments: tuple[Any, ...], outcome: _Outcome) -> None:
    try:
        value = program(*arguments)
        outcome.value = asyncio.run(_awaited(value)) if inspect.isawaitable(value) else value
    except BaseException as error:  # SystemExit of a program ends its thread only
        outcome.error = error
    outcome.done.set()


async def _awaited(value: Any) -> Any:
    return await value


def _wait(thread: threading.Thread, replay: ProgramReplay, timeout: float | None) -> None:
    until = None if timeout is None else time.monotonic() + timeout
    grace: float | None = None
    try:
        while thread.is_alive():
            thread.join(POLL)
            replay.tick()
            now = time.monotonic()
            if replay.ended:
                grace = now + GRACE if grace is None else grace
                if now > grace:
                    return
            elif until is not None and now > until:
                replay.responder.stopped = f"timeout={timeout} s"
                raise ReplayError(f"the program took longer than timeout={timeout} s; its later calls are refused")
    except KeyboardInterrupt:
        replay.responder.stopped = INTERRUPTED
        thread.join(GRACE)


@contextmanager
def _environment(gateway: Gateway) -> Iterator[None]:
    """Send the SDK clients that are created meanwhile to the gateway."""
    if not _running.acquire(blocking=False):
        raise ReplayError("another replay with program= is running in this process; wait for it")
    values = {**gateway.environment(), **{name: _NO_KEY for name in _KEYS if not os.environ.get(name)}}
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        _running.release()
