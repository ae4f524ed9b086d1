"""`graph.watch`: a callback for every span that comes to satisfy a condition.

A condition is a function of a `Span`, or text for `DataFrame.query` (see `conditions`). Only changed spans are checked.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from anton_notebook.api import Span
from anton_notebook.errors import ConditionError
from anton_notebook.model.span import Flag
from anton_notebook.widget.conditions import EXAMPLE, light_frame, query
from anton_notebook.widget.kernel_comm import running_kernel

if TYPE_CHECKING:
    from anton_notebook.api import Traces

log = logging.getLogger(__name__)

Condition = str | Callable[[Span], object]


class Watch:
    """One watchpoint; `close()` ends it.

    Attributes:
        condition: The condition.
        count: Calls so far.
        errors: The last exceptions of the callback and of the condition.
        closed: Whether it has ended.
    """

    def __init__(
        self,
        traces: Traces,
        condition: Condition,
        callback: Callable[[Span], object],
        *,
        thread: bool = False,
        existing: bool = True,
    ) -> None:
        if isinstance(condition, str):
            query(light_frame([]), condition)  # refuses unknown columns at once
        elif not callable(condition):
            raise ConditionError(
                f"A condition is text such as {EXAMPLE!r}, or a function of a span; not {type(condition).__name__}."
            )
        self.condition = condition
        self.count = 0
        self.errors: deque[BaseException] = deque(maxlen=20)
        self.closed = False
        self._traces, self._callback = traces, callback
        self._loop = None if thread else _event_loop()
        self._queue: deque[Span] = deque()
        self._queue_lock, self._check_lock = threading.Lock(), threading.RLock()
        self._matching: set[int] = set()
        self._revision = -1
        if not existing:
            self._check(call=False)
        self._unsubscribe = traces.store.subscribe(self._check)
        self._check()

    def close(self) -> None:
        """End the watchpoint; queued calls are dropped."""
        self.closed = True
        self._unsubscribe()
        self._queue.clear()

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Watch {self.condition!r}: {'closed' if self.closed else 'watching'}, called {self.count} times>"

    def _check(self, call: bool = True) -> None:
        """Check the spans changed since the last check. Runs on the thread that commits."""
        store = self._traces.store
        with self._check_lock:
            if self.closed:
                return
            changes = store.changes(self._revision)
            self._revision = changes.revision
            self._matching.difference_update(changes.gone.tolist())
            hidden = int(Flag.DEAD | Flag.PENDING)
            rows = [row for row in changes.rows.tolist() if not int(store.c.flags[row]) & hidden]
            spans = [Span(self._traces, row) for row in rows]
            matching = self._matches(spans)
            new = [span for span in spans if span.row in matching and span.row not in self._matching]
            # A span that no longer matches may match again later, and is then reported again.
            self._matching.difference_update(rows)
            self._matching |= matching
            if not call or not new:
                return
            if self._loop is None:
                for span in new:
                    self._call(span)
                return
            with self._queue_lock:
                idle = not self._queue
                self._queue.extend(new)
        if idle:
            try:
                self._loop.call_soon_threadsafe(self._drain)
            except RuntimeError:  # the loop is closed
                self.close()

    def _matches(self, spans: Sequence[Span]) -> set[int]:
        """Return the rows of the spans that satisfy the condition."""
        if not spans:
            return set()
        if isinstance(self.condition, str):
            try:
                places = query(light_frame(spans), self.condition).index
            except ConditionError as error:
                self._record(error, "condition")
                return set()
            return {spans[place].row for place in places.tolist()}
        matching = set()
        for span in spans:
            try:
                if self.condition(span):
                    matching.add(span.row)
            except Exception as error:
                self._record(error, "condition")
        return matching

    def _drain(self) -> None:
        while not self.closed:
            with self._queue_lock:
                if not self._queue:
                    return
                span = self._queue[0]
            self._call(span)
            with self._queue_lock:
                if self._queue:
                    self._queue.popleft()
                if not self._queue:
                    return

    def _call(self, span: Span) -> None:
        self.count += 1
        try:
            self._callback(span)
        except Exception as error:
            self._record(error, "callback")

    def _record(self, error: Exception, source: str) -> None:
        self.errors.append(error)
        log.warning("The %s of a watchpoint failed: %r", source, error, exc_info=error)


def _event_loop() -> asyncio.AbstractEventLoop:
    """Return the running event loop, or that of the kernel."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        pass
    loop = getattr(getattr(running_kernel(), "io_loop", None), "asyncio_loop", None)
    if isinstance(loop, asyncio.AbstractEventLoop):
        return loop
    raise ConditionError(
        "The callback needs an event loop, and none is running. In a script pass thread=True: the callback then runs on the "
        "reader thread."
    )
