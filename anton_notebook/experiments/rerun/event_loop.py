"""Inner: the private thread with its own event loop, on which sweeps run while a cell or a script waits."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError, Future
from typing import Any, TypeVar

T = TypeVar("T")
NAME = "anton-notebook-calls"
PATIENCE = 1.0

_lock = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None
_thread: threading.Thread | None = None


def private_loop() -> asyncio.AbstractEventLoop:
    """The loop, started when it is first needed (and again after a fork)."""
    global _loop, _thread
    with _lock:
        if _loop is None or _thread is None or not _thread.is_alive():
            _loop = asyncio.new_event_loop()
            _thread = threading.Thread(target=_run, args=(_loop,), name=NAME, daemon=True)
            _thread.start()
        return _loop


def _run(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    loop.run_forever()


def run(work: Coroutine[Any, Any, T], tick: Callable[[], None], every: float = 0.1) -> T | None:
    """Runs the work on the private loop and waits for it, calling `tick` now and then in this thread.

    KeyboardInterrupt cancels the work and gives `None`, at the latest after a second.
    """
    if threading.current_thread() is _thread:
        work.close()
        raise RuntimeError("rerun() cannot wait on the thread that does its calls; use `await arerun(...)` there")
    done = threading.Event()
    future: Future[T] = asyncio.run_coroutine_threadsafe(_told(work, done), private_loop())
    try:
        while not done.wait(every):
            tick()
    except KeyboardInterrupt:
        future.cancel()
        done.wait(PATIENCE)
        return None
    try:
        return future.result()
    except CancelledError:
        return None


async def _told(work: Coroutine[Any, Any, T], done: threading.Event) -> T:
    try:
        return await work
    finally:
        done.set()
