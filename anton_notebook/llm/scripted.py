"""A provider that says what it was told to say: for tests and the demo, without key or network."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable
from typing import Any

from anton_notebook.errors import CallFailed
from anton_notebook.model.request import Request, Response, Usage

Line = str | Response | BaseException | Callable[[Request], Any]


class Scripted:
    """Answers with the lines of a script, one a call, in the order in which it is asked.

    A line is a text, a `Response`, an exception (raised) or a function from the `Request` to one of these. A script may also
    be one such function for all calls. A script that is exhausted raises. `delay` is in seconds; `requests` keeps what was
    asked. Texts get a `usage` of a token for every four characters. Its answers are never kept in a cache.

    >>> import asyncio
    >>> asyncio.run(Scripted(["Hello"]).complete(Request("", "any"))).text
    'Hello'
    """

    name = "scripted"
    family: str | None = None
    cache_key: str | None = None

    def __init__(self, script: Iterable[Line] | Callable[[Request], Any], *, delay: float = 0.0) -> None:
        self._always = script if callable(script) else None
        self._script: list[Line] = [] if callable(script) else list(script)
        self.delay = delay
        self.requests: list[Request] = []
        self._lock = threading.Lock()

    async def complete(self, request: Request) -> Response:
        """The next line of the script."""
        with self._lock:
            number = len(self.requests)
            self.requests.append(request)
        if self._always is None and number >= len(self._script):
            raise CallFailed(
                f"the script is exhausted: it holds {len(self._script)} answers, and this is call {number + 1}; "
                "give more answers, or a function",
                "exhausted",
            )
        line: Any = self._always if self._always is not None else self._script[number]
        if self.delay:
            await asyncio.sleep(self.delay)
        if callable(line) and not isinstance(line, type):
            line = line(request)
        if isinstance(line, BaseException):
            raise line
        if isinstance(line, Response):
            return line
        if not isinstance(line, str):
            raise TypeError(f"a scripted answer must be text, a Response or an exception, found {type(line).__name__}")
        asked = sum(len(str(message.get("content", ""))) for message in request.messages) + len(
            request.system_text or ""
        )
        return Response(
            line, usage=Usage(asked // 4 + 1, len(line) // 4 + 1, 0), finish_reason="stop", model=request.model
        )

    def __repr__(self) -> str:
        left = (
            "a function"
            if self._always is not None
            else f"{max(0, len(self._script) - len(self.requests))} answers left"
        )
        return f"<Scripted: {left}>"
