"""Traces of one's own program: `with anb.trace("name") as t:`, and what it does is a live trace like any other.

Lines go out when something begins and when it ends, so that a graph of the folder shows the program while it runs.
"""

from __future__ import annotations

import time
import uuid
import warnings
from collections.abc import Mapping, Sequence
from contextvars import ContextVar, Token
from datetime import UTC, datetime
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from anton_notebook.errors import PathNotFound, did_you_mean
from anton_notebook.model.request import provider_of
from anton_notebook.model.usage import TRACE_KEYS, Usage, complete, line_mark, line_tokens, with_cache_beside
from anton_notebook.sources import writer
from anton_notebook.sources.home import home

_T = TypeVar("_T", bound="Work")
Time = datetime | float | None
_inside: ContextVar[Work | None] = ContextVar("anton_notebook_inside", default=None)


class Work:
    """Something that begins and ends: a call, a tool, an agent's work. Ends with the `with` block, or by `end(...)`.

    What is begun within its block (in tasks and threads that inherit the context too) hangs under it. An exception that leaves
    the block is its error, and goes on.
    """

    def __init__(self, trace: Tracing, agent: str, line: Mapping[str, Any], began: float | None = None) -> None:
        self.trace, self.agent = trace, agent
        self.span_id = str(uuid.uuid4())
        self.began = time.time() if began is None else began
        self.ended = False
        above = _inside.get()
        parent = above if above is not None and above.trace is trace else trace.root
        self._parent = parent
        self._children_end = 0.0
        self._line = {
            "timestamp": _timestamp(self.began),
            "agent_name": agent,
            "trace_id": trace.trace_id,
            "span_id": self.span_id,
            "parent_id": parent.span_id if parent is not None else None,
            **line,
        }
        self._token: Token[Work | None] | None = None

    def begin(self: _T) -> _T:
        """Write the line that marks this span as running."""
        self.trace.running[self.span_id] = self
        if self._parent is not None:
            self._parent.stretch(self.began)
        self.trace.write(self._line, running=True)
        return self

    def stretch(self, start: float, end: float = 0.0) -> None:
        """Extend this span and its ancestors so that they contain `start` and `end`, in seconds since 1970."""
        self._children_end = max(self._children_end, end)
        if start < self.began:
            self.began = start
            self._line["timestamp"] = _timestamp(start)
            if not self.ended and self.span_id in self.trace.running:
                self.trace.write(self._line, running=True)
        if self._parent is not None:
            self._parent.stretch(start, end)

    def end(self, *, error: str | BaseException | None = None, duration_ms: float | None = None, **more: Any) -> None:
        """End the span once; a second call does nothing.

        Args:
            error: The error that ended it, or None.
            duration_ms: Duration in milliseconds. Measured if omitted. Extended if a child ends later.
        """
        if self.ended:
            return
        self.ended = True
        self.trace.running.pop(self.span_id, None)
        took = (time.time() - self.began) * 1000.0 if duration_ms is None else float(duration_ms)
        # One microsecond more: lines hold whole microseconds, and rounding must not end the parent before its child.
        took = max(took, 0.0, (self._children_end - self.began) * 1000.0 + 0.001)
        if self._parent is not None:
            self._parent.stretch(self.began, self.began + took / 1000.0)
        said = f"{type(error).__name__}: {error}" if isinstance(error, BaseException) else error
        line = {**self._line, **more, "duration_ms": took, "success": said is None, "error": said}
        self.trace.write({key: value for key, value in line.items() if value is not None or key == "parent_id"})

    def __enter__(self: _T) -> _T:
        self._token = _inside.set(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._token is not None:
            _inside.reset(self._token)
            self._token = None
        self.end(error=error)

    async def __aenter__(self: _T) -> _T:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)


class Call(Work):
    """A call to a model that is under way; `answer` says what came."""

    def answer(
        self,
        response: str,
        *,
        tokens: Mapping[str, Any] | Usage | None = None,
        tool_calls: Sequence[Mapping[str, Any]] | None = None,
        finish_reason: str | None = None,
        cost_usd: float | None = None,
        duration_ms: float | None = None,
    ) -> None:
        """Ends the call with its answer. For the words see `Tracing.llm`."""
        self.end(duration_ms=duration_ms, **_answer(response, tokens, tool_calls, finish_reason, cost_usd))


class ToolCall(Work):
    """A tool that is under way; `done` says what it gave."""

    def done(self, result: Any, *, duration_ms: float | None = None) -> None:
        """Ends the call with its result, any JSON value."""
        self.end(duration_ms=duration_ms, result=result)


class Tracing:
    """A trace that is being written. Made by `trace`; `trace_id` and `path` say where, `trouble` what could not be written."""

    def __init__(self, name: str, path: str | PathLike[str], agent: str) -> None:
        self.name = name
        self.trace_id = str(uuid.uuid4())
        self.trouble: str | None = None
        self._out = writer.create(home(path) / "traces", "run", {"origin": "run"})
        self.running: dict[str, Work] = {}
        self.root: Work | None = None
        self.root = Work(self, agent, {"span_type": "agent", "metadata": {"task": name}})

    @property
    def path(self) -> Path:
        """The trace file."""
        return self._out.path

    def llm(
        self,
        *,
        model: str,
        messages: Sequence[Mapping[str, Any]],
        response: str | None = None,
        system: str | None = None,
        tools: Sequence[Mapping[str, Any]] | None = None,
        parameters: Mapping[str, Any] | None = None,
        provider: str | None = None,
        tokens: Mapping[str, Any] | Usage | None = None,
        tool_calls: Sequence[Mapping[str, Any]] | None = None,
        finish_reason: str | None = None,
        cost_usd: float | None = None,
        duration_ms: float | None = None,
        start: Time = None,
        end: Time = None,
        error: str | BaseException | None = None,
        agent: str | None = None,
    ) -> Call:
        """Record a call to a model.

        With `response` or `error` the call has ended; otherwise it runs until `answer(...)` or the end of its `with` block.
        Give at most two of `duration_ms`, `start` and `end`. A call with only `duration_ms` ends now. The enclosing spans
        are extended to contain the call.

        Args:
            model: The model's name.
            messages: The messages that were sent, as the provider's API has them, without the answer.
            response: The text of the answer.
            system: The system prompt.
            tools: Tool definitions, as the provider's API has them.
            parameters: Sampling parameters, as the provider's API has them.
            provider: The provider; derived from the model's name if omitted.
            tokens: `{"input": 3, "output": 1, "cached": 0}`; input tokens include cached ones.
            tool_calls: Tool calls of the answer: `{"id", "name", "arguments"}`.
            finish_reason: Why the model stopped.
            cost_usd: The recorded cost in US dollars.
            duration_ms: Duration in milliseconds.
            start: When it started: a datetime, or seconds since 1970 (UTC).
            end: When it ended, likewise.
            error: The error that ended it.
            agent: The agent that called. Default: the agent of the enclosing block.

        Returns:
            The call, for `answer(...)` and as a context manager.
        """
        line = {
            "span_type": "llm_call",
            "provider": provider or provider_of("", model) or "unknown",
            "model": model,
            "messages": [dict(message) for message in messages],
            "system_prompt": system,
            "tools": list(tools) if tools else [],
            "parameters": dict(parameters or {}),
            "metadata": {"task": self.name},
        }
        over = response is not None or error is not None
        began, took = _interval(start, end, duration_ms, over)
        call = Call(self, self._agent(agent), line, began)
        if not over:
            return call.begin()
        call.end(error=error, duration_ms=took, **_answer(response, tokens, tool_calls, finish_reason, cost_usd))
        return call

    def tool(
        self,
        name: str,
        parameters: Mapping[str, Any] | None = None,
        result: Any = None,
        *,
        duration_ms: float | None = None,
        start: Time = None,
        end: Time = None,
        error: str | BaseException | None = None,
        agent: str | None = None,
    ) -> ToolCall:
        """Record a tool call.

        With `result` or `error` it has ended; otherwise it runs until `done(...)` or the end of its `with` block. For
        `duration_ms`, `start` and `end` see `Tracing.llm`.
        """
        line = {"span_type": "tool_call", "tool_name": name, "parameters": dict(parameters or {})}
        over = result is not None or error is not None
        began, took = _interval(start, end, duration_ms, over)
        call = ToolCall(self, self._agent(agent), line, began)
        if not over:
            return call.begin()
        call.end(error=error, duration_ms=took, result=result)
        return call

    def agent(self, name: str) -> Work:
        """An agent's work, for a `with` block: what is done in it is this agent's."""
        return Work(self, name, {"span_type": "agent"}).begin()

    def _agent(self, agent: str | None) -> str:
        above = _inside.get()
        own = above if above is not None and above.trace is self else self.root
        return agent or (own.agent if own is not None else "agent")

    def write(self, line: Mapping[str, Any], running: bool = False) -> None:
        """Writes a line; what cannot be written is a warning, once, and `trouble`: tracing does not end the program."""
        try:
            self._out.write(line, running=running)
        except OSError as error:
            if self.trouble is None:
                self.trouble = f"not everything is in the trace {self.path}: {error}"
                warnings.warn(self.trouble, stacklevel=4)

    def __enter__(self) -> Tracing:
        if self.root is not None:
            self.root.begin().__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for work in [work for work in self.running.values() if work is not self.root]:
            work.end(error="the trace ended before it did")
        if self.root is not None:
            self.root.__exit__(kind, error, trace)
        self._out.close()

    async def __aenter__(self) -> Tracing:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)

    def __repr__(self) -> str:
        return f"<Tracing {self.name!r} trace_id={self.trace_id!r} in {str(self.path)!r}>"


def trace(name: str, path: str | PathLike[str] = ".", agent: str = "orchestrator") -> Tracing:
    """Writes a trace of one's own program, for a `with` (or `async with`) block; `name` is what the run is called.

    `path`: the folder that it belongs to: `anb.read_traces(path)` and `anb.TraceGraph(path)` show it, while it runs too.
    `agent`: whose work it is, where no inner `t.agent(...)` says otherwise. Raises `PathNotFound` (a
    FileNotFoundError) for a folder that is not there, OSError where no file can be made in it.

    >>> import anton_notebook as anb, tempfile
    >>> folder = tempfile.mkdtemp()
    >>> asked = [{"role": "user", "content": "Hi"}]
    >>> with anb.trace("Say hello", path=folder) as t:
    ...     _ = t.llm(model="gpt-4o", messages=asked, response="Hello", tokens={"input": 1, "output": 2})
    ...     with t.agent("reader"):
    ...         _ = t.tool("read_file", {"path": "a.txt"}, "its text", duration_ms=3)
    >>> anb.read_traces(folder).runs_df()[["name", "llm_calls", "tool_calls", "agents", "status"]].values.tolist()
    [['Say hello', 1, 1, 2, 'ok']]
    """
    if not isinstance(name, str) or not name.strip():
        raise ValueError(f"trace({name!r}): a run needs a name, such as 'Fix the login'")
    if not Path(path).expanduser().is_dir():
        raise PathNotFound(
            f"{path} is no folder, so no trace can be written for it; give the folder that the program works in"
        )
    return Tracing(name, path, agent)


def _answer(
    response: str | None,
    tokens: Mapping[str, Any] | Usage | None,
    tool_calls: Sequence[Mapping[str, Any]] | None,
    finish_reason: str | None,
    cost_usd: float | None,
) -> dict[str, Any]:
    out: dict[str, Any] = {"response": response or "", "finish_reason": finish_reason, "cost_usd": cost_usd}
    if tool_calls:
        out["tool_calls"] = [dict(call) for call in tool_calls]
    if tokens is not None:
        usage = tokens if isinstance(tokens, Usage) else _usage(tokens)
        out["tokens"] = line_tokens(usage)
        if mark := line_mark(usage):
            out["anton_notebook"] = mark
    return out


def _usage(tokens: Mapping[str, Any]) -> Usage:
    """Read `tokens={...}`; cached tokens that exceed the input are taken to stand beside it, as Anthropic reports them."""
    unknown = [key for key in tokens if key not in TRACE_KEYS]
    if unknown:
        raise ValueError(
            f"tokens: {unknown[0]!r} is not a known key{did_you_mean(str(unknown[0]), TRACE_KEYS)}; "
            f"possible are {', '.join(map(repr, TRACE_KEYS))}"
        )
    fields = {field: tokens[key] for key, field in TRACE_KEYS.items() if field is not None and key in tokens}
    usage = complete(Usage(**fields), tokens.get("total"))
    beside = (usage.cached_tokens or 0) + (usage.cache_write_tokens or 0)
    return with_cache_beside(usage) if beside > (usage.input_tokens or 0) else usage


def _interval(start: Time, end: Time, duration_ms: float | None, ended: bool) -> tuple[float, float]:
    """Return the start in seconds since 1970 and the duration in milliseconds."""
    first, last = _seconds(start, "start"), _seconds(end, "end")
    if not ended and end is not None:
        raise ValueError("end= needs response= or error=: a call without them is still running")
    if first is not None and last is not None:
        if duration_ms is not None:
            raise ValueError("give at most two of start, end and duration_ms")
        if last < first:
            raise ValueError("end is before start")
        return first, (last - first) * 1000.0
    if first is not None:
        return first, (time.time() - first) * 1000.0 if duration_ms is None else float(duration_ms)
    took = float(duration_ms or 0.0) if ended else 0.0
    return (time.time() if last is None else last) - took / 1000.0, took


def _seconds(moment: Time, name: str) -> float | None:
    """Return a moment as seconds since 1970."""
    if moment is None:
        return None
    if isinstance(moment, datetime):
        return moment.timestamp()
    if isinstance(moment, bool) or not isinstance(moment, int | float):
        raise TypeError(f"{name} must be a datetime or seconds since 1970 (UTC), not {type(moment).__name__}")
    return float(moment)


def _timestamp(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="microseconds")
