"""Retries, waits and deadlines: the one place that decides whether a request is sent again.

By default only what the server turned away unread (429, 503, 529) is sent again, so that nothing is billed twice unasked.
A number of `retries` is the caller's leave to send again whatever may go better another time.
"""

from __future__ import annotations

import asyncio
import inspect
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from anton_notebook.errors import AntonNotebookError, CallFailed, ProviderError
from anton_notebook.model.request import Request, Response, Usage

TURNED_AWAY_RETRIES = 2


@dataclass(frozen=True)
class Policy:
    """How often and how long is tried. `retries=None`: twice more, but only what was turned away unread. Times in seconds."""

    retries: int | None = None
    timeout: float = 600.0
    first_wait: float = 0.5
    longest_wait: float = 60.0

    def wait(self, error: CallFailed, attempts: int, left: float) -> float | None:
        """Seconds to wait before the next attempt; `None` where there is to be none."""
        allowed = TURNED_AWAY_RETRIES if self.retries is None else self.retries
        again = error.turned_away if self.retries is None else error.turned_away or error.passing
        if not again or attempts > allowed:
            return None
        wait = error.retry_after
        if wait is None:
            wait = min(self.longest_wait, self.first_wait * 2 ** (attempts - 1)) * random.uniform(0.75, 1.25)
        return wait if wait <= min(self.longest_wait, left) else None


class Gate(Protocol):
    """Who is asked before each attempt, and told after it what it used, and of which model."""

    async def enter(self) -> None: ...

    def leave(self, usage: Usage | None, sent: bool, model: str | None = None) -> None: ...


@dataclass(slots=True)
class Outcome:
    """What became of a call. `error` is a sentence; `response` may be there beside it, cut off.

    `started` is in seconds since 1970, `seconds` are those of the last attempt.
    """

    response: Response | None
    error: str | None
    attempts: int
    started: float
    seconds: float


class Exhausted(Exception):
    """The gate lets no more attempts in; its text becomes the row's error."""


async def ask(
    provider: Any,
    request: Request,
    policy: Policy,
    gate: Gate | None = None,
    on_text: Callable[[str], None] | None = None,
) -> Outcome:
    """Asks a provider, again where the policy says so. Only being cancelled comes out as an exception."""
    enter = getattr(provider, "__aenter__", None)
    if enter is None:
        return await _ask(provider, request, policy, gate, on_text)
    try:
        await enter()
    except AntonNotebookError as problem:
        return Outcome(None, str(problem), 0, time.time(), 0.0)
    try:
        return await _ask(provider, request, policy, gate, on_text)
    finally:
        await provider.__aexit__(None, None, None)


async def _ask(
    provider: Any, request: Request, policy: Policy, gate: Gate | None, on_text: Callable[[str], None] | None
) -> Outcome:
    attempts, last = 0, Outcome(None, None, 0, time.time(), 0.0)
    deadline = 0.0
    loop = asyncio.get_running_loop()
    while True:
        if gate is not None:
            try:
                await gate.enter()
            except Exhausted as end:
                last.error = str(end) if last.error is None else f"{end}, after: {last.error}"
                return last
        deadline = deadline or loop.time() + policy.timeout
        attempts += 1
        started, clock = time.time(), time.perf_counter()
        usage: Usage | None = None
        sent = True
        failed: CallFailed | None = None
        response: Response | None = None
        error: str | None = None
        try:
            async with asyncio.timeout_at(deadline) as limit:
                response = await _complete(provider, request, on_text)
            usage = response.usage
        except CallFailed as problem:
            failed, error = problem, str(problem)
            response = problem.partial if isinstance(problem.partial, Response) else None
        except ProviderError as problem:
            sent, error = False, str(problem)
        except TimeoutError as problem:
            if limit.expired():
                error = f"no answer within {policy.timeout:g} s, the deadline; it may have been billed"
            else:
                error = _told(problem)
        except AntonNotebookError as problem:
            sent, error = False, str(problem)
        except Exception as problem:
            error = _told(problem)
        finally:
            if gate is not None:
                gate.leave(usage, sent, response.model if response is not None else None)
        last = Outcome(response, error, attempts, started, time.perf_counter() - clock)
        if failed is None:
            return last
        wait = policy.wait(failed, attempts, deadline - loop.time())
        if wait is None:
            if failed.retry_after is not None and failed.retry_after > policy.longest_wait:
                last.error = f"{error}; it asks to wait {failed.retry_after:,.0f} s, longer than is waited here"
            return last
        await asyncio.sleep(wait)


async def _complete(provider: Any, request: Request, on_text: Callable[[str], None] | None) -> Response:
    found = (
        provider.complete(request, on_text=on_text)
        if on_text is not None and _streams(provider)
        else provider.complete(request)
    )
    if inspect.isawaitable(found):
        found = await found
    if isinstance(found, str):
        found = Response(found)
    if not isinstance(found, Response):
        raise TypeError(f"{type(provider).__name__}.complete() gave a {type(found).__name__}; it must give a Response")
    return found


def _streams(provider: Any) -> bool:
    try:
        return "on_text" in inspect.signature(provider.complete).parameters
    except (TypeError, ValueError):
        return False


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:500].rstrip(": ")
