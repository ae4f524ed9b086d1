"""Watchpoints: a condition over the columns of spans, and a call for every span that comes to satisfy it.

The condition is read, never run: names of columns, numbers, texts, comparisons, arithmetic, `and`, `or`, `not`, `in`. What is
unknown satisfies no comparison, as in `DataFrame.query`.
"""

from __future__ import annotations

import ast
import asyncio
import logging
import math
import operator
import threading
from collections import deque
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from anton_notebook.api import Span
from anton_notebook.errors import WatchError, did_you_mean
from anton_notebook.model.span import Flag

if TYPE_CHECKING:
    from anton_notebook.api import Traces

log = logging.getLogger(__name__)

COLUMNS: Mapping[str, Callable[[Span], Any]] = {
    name: operator.attrgetter(name)
    for name in (
        "trace_id", "span_id", "kind", "agent", "name", "status", "start", "end", "duration_ms", "provider", "model",
        "input_tokens", "output_tokens", "cached_tokens", "tokens_estimated", "cost_usd", "recorded_cost_usd",
        "finish_reason", "error",
    )
}  # fmt: skip
"""What a condition may name: the columns of `spans_df` that a span has by itself."""

_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}  # fmt: skip
_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
}  # fmt: skip
_DEEP = 50
EXAMPLE = "cost_usd > 0.5 or status == 'error'"


class Condition:
    """A condition as text, checked once. Raises `WatchError` that names what is wrong and what is possible.

    >>> Condition("cost_usd > 0.5 or status == 'error'").columns
    ['cost_usd', 'status']
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.columns: list[str] = []
        if not isinstance(text, str) or len(text) > 4000:
            raise WatchError(
                f'a condition is a text of at most 4,000 characters, such as "cost_usd > 0.5"; got {text!r:.80}'
            )
        try:
            tree = ast.parse(text.strip(), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise WatchError(f"{text!r:.200} is no condition ({error}); write for example {EXAMPLE!r}") from None
        self._holds = self._made(tree, 0)
        self.columns.sort()

    def holds(self, span: Span) -> bool:
        """Whether a span satisfies it."""
        try:
            found = self._holds(span)
        except (TypeError, ZeroDivisionError, OverflowError):
            return False  # a text compared with a number, a part that is not known
        return found is not None and found is not _UNKNOWN and bool(found)

    def _made(self, node: ast.expr, depth: int) -> Callable[[Span], Any]:
        if depth > _DEEP:
            raise WatchError(f"the condition {self.text!r:.200} is nested deeper than {_DEEP}")

        def inner(one: ast.expr) -> Callable[[Span], Any]:
            return self._made(one, depth + 1)

        if isinstance(node, ast.BoolOp):
            parts = [inner(one) for one in node.values]
            if isinstance(node.op, ast.And):
                return lambda span: all(_true(part(span)) for part in parts)
            return lambda span: any(_true(part(span)) for part in parts)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub):
            operand = inner(node.operand)
            if isinstance(node.op, ast.Not):
                return lambda span: not _true(operand(span))
            return lambda span: -operand(span)
        if isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
            work, left, right = _ARITHMETIC[type(node.op)], inner(node.left), inner(node.right)
            return lambda span: _worked(work, left(span), right(span))
        if isinstance(node, ast.Compare):
            return self._compared(node, inner)
        if isinstance(node, ast.Constant) and (node.value is None or isinstance(node.value, bool | int | float | str)):
            value = node.value
            return lambda span: value
        if isinstance(node, ast.List | ast.Tuple | ast.Set):
            members = [inner(one) for one in node.elts]
            return lambda span: [member(span) for member in members]
        if isinstance(node, ast.Name):
            return self._column(node.id)
        raise WatchError(
            f"{ast.unparse(node)!r:.80} in the condition {self.text!r:.200} is not possible; there are columns, numbers, texts, "
            "comparisons, + - * /, and, or, not, in"
        )

    def _column(self, name: str) -> Callable[[Span], Any]:
        if name not in COLUMNS:
            known = ", ".join(COLUMNS)
            raise WatchError(
                f"no column {name!r} in {self.text!r:.200}{did_you_mean(name, COLUMNS)}; there are {known}"
            )
        if name not in self.columns:
            self.columns.append(name)
        get = COLUMNS[name]

        def read(span: Span) -> Any:
            value = get(span)
            return _UNKNOWN if value is None or (isinstance(value, float) and math.isnan(value)) else value

        return read

    def _compared(
        self, node: ast.Compare, inner: Callable[[ast.expr], Callable[[Span], Any]]
    ) -> Callable[[Span], bool]:
        parts = [inner(one) for one in (node.left, *node.comparators)]

        def holds(span: Span) -> bool:
            values = [part(span) for part in parts]
            return all(_compare(op, a, b) for op, a, b in zip(node.ops, values, values[1:], strict=False))

        for op in node.ops:
            if type(op) not in (*_COMPARE, ast.In, ast.NotIn, ast.Is, ast.IsNot):
                raise WatchError(f"the condition {self.text!r:.200} compares in a way that is not possible")
        return holds


_UNKNOWN = object()


def _true(value: Any) -> bool:
    return value is not _UNKNOWN and bool(value)


def _worked(work: Callable[[Any, Any], Any], a: Any, b: Any) -> Any:
    return _UNKNOWN if a is _UNKNOWN or b is _UNKNOWN else work(a, b)


def _compare(op: ast.cmpop, a: Any, b: Any) -> bool:
    if isinstance(op, ast.Is | ast.IsNot):
        return ((a is _UNKNOWN or a is None) == (b is _UNKNOWN or b is None)) == isinstance(op, ast.Is)
    if a is _UNKNOWN or b is _UNKNOWN:
        return False
    if isinstance(op, ast.In | ast.NotIn):
        found = isinstance(b, str | list) and a in b
        return found == isinstance(op, ast.In)
    if isinstance(a, datetime) and isinstance(b, str):
        b = datetime.fromisoformat(b)
    if isinstance(b, datetime) and isinstance(a, str):
        a = datetime.fromisoformat(a)
    return bool(_COMPARE[type(op)](a, b))


class Watch:
    """One watchpoint. `count`: calls so far; `errors`: the last exceptions of the callback; `close()` ends it."""

    def __init__(
        self,
        traces: Traces,
        condition: str,
        callback: Callable[[Span], object],
        *,
        thread: bool = False,
        existing: bool = True,
    ) -> None:
        self.condition = Condition(condition)
        self.count = 0
        self.errors: deque[BaseException] = deque(maxlen=20)
        self._traces, self._callback = traces, callback
        self._loop = None if thread else _loop()
        self._due: deque[Span] = deque()
        self._lock, self._order = threading.Lock(), threading.RLock()
        self._met: set[int] = set()
        self._since = -1
        self.closed = False
        if not existing:
            self._look(told=False)
        self._stop = traces.store.subscribe(self._look)
        self._look()

    def close(self) -> None:
        """Ends it; what was not yet called back is dropped."""
        self.closed = True
        self._stop()
        self._due.clear()

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self.closed else "watching"
        return f"<Watch {self.condition.text!r}: {state}, called {self.count} times>"

    def _look(self, told: bool = True) -> None:
        """Looks at what changed; on the thread that commits."""
        store = self._traces.store
        with self._order:
            if self.closed:
                return
            changes = store.changes(self._since)
            self._since = changes.revision
            self._met.difference_update(changes.gone.tolist())
            found = []
            for row in changes.rows.tolist():
                if store.c.flags[row] & (Flag.DEAD | Flag.PENDING):
                    continue
                span = Span(self._traces, row)
                if not self.condition.holds(span):
                    self._met.discard(row)
                elif row not in self._met:
                    self._met.add(row)
                    found.append(span)
            if not told or not found:
                return
            if self._loop is None:
                for span in found:
                    self._call(span)
                return
            with self._lock:
                idle = not self._due
                self._due.extend(found)
        if idle:
            try:
                self._loop.call_soon_threadsafe(self._drain)
            except RuntimeError:  # that loop is over, and nobody is left to be called
                self.close()

    def _drain(self) -> None:
        while not self.closed:
            with self._lock:
                if not self._due:
                    return
                span = self._due[0]
            self._call(span)
            with self._lock:
                if self._due:
                    self._due.popleft()
                if not self._due:
                    return

    def _call(self, span: Span) -> None:
        self.count += 1
        try:
            self._callback(span)
        except Exception as error:
            self.errors.append(error)
            log.warning("the callback of a watch failed: %r", error, exc_info=True)


def _loop() -> asyncio.AbstractEventLoop:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        pass
    try:
        from IPython import get_ipython

        shell: Any = get_ipython()
        loop = getattr(getattr(getattr(shell, "kernel", None), "io_loop", None), "asyncio_loop", None)
    except ImportError:
        loop = None
    if isinstance(loop, asyncio.AbstractEventLoop):
        return loop
    raise WatchError(
        "there is no event loop to call back on: in a script give thread=True, and the callback is called on the thread that reads"
    )
