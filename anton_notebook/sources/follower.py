"""The one thread that follows a reader's files: woken by `watch`, one pass of the reader at a time.

Between passes the thread knows its reader only weakly, so it ends when nobody else holds the reader any more.
Nothing that a pass raises ends it: the exception is kept in `error`, and the next sweep tries again.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import logging
import os
import threading
import weakref
from collections.abc import Callable, Collection
from types import TracebackType
from typing import Protocol, Self

from anton_notebook.sources.watcher import Following, Watcher

log = logging.getLogger(__name__)


class Followed(Protocol):
    """What can be followed; `sources.Reader` is one."""

    def scan(self, changed: Collection[str] | None = None) -> bool:
        """One pass, over everything or over these paths. True where anything was new."""

    def watch_roots(self) -> list[tuple[str, bool]]:
        """The existing folders whose changes matter."""


class Follower:
    """A running thread that keeps a reader up to date. Made by `follow`; usable as a context manager.

    `error` is the exception of the last pass, or None where that went well.
    """

    def __init__(self, reader: Followed, poll: float = 0.5) -> None:
        self.error: BaseException | None = None
        self._watcher = watcher = Watcher(poll)
        self._reader = weakref.ref(reader, lambda _: watcher.stop())
        self._pid = os.getpid()
        self._passed = threading.Condition()
        self._passes = 0
        self._listeners: list[Callable[[], None]] = []
        self._thread = threading.Thread(target=self._run, name="anton_notebook live", daemon=True)
        _running.add(self)
        self._thread.start()

    @property
    def closed(self) -> bool:
        """True when nothing is followed any more."""
        return self._watcher.following == "off" or self._pid != os.getpid() or not self._thread.is_alive()

    @property
    def following(self) -> Following:
        """`inotify` (told by the system), `polling` (looks every half second) or `off`."""
        return "off" if self.closed else self._watcher.following

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Calls back, on the live thread, when anything was new, when `following` or `error` changes, and at the end.

        Returns the way to stop that.
        """
        self._listeners.append(callback)

        def stop() -> None:
            if callback in self._listeners:
                self._listeners.remove(callback)

        return stop

    def wake(self) -> None:
        """Has everything looked at now, not only at the next sweep."""
        self._watcher.wake()

    def caught_up(self, timeout: float = 5.0) -> bool:
        """Waits for a pass over everything that began after this call; False where none ended in time."""
        with self._passed:
            wanted = self._passes + 2  # the pass that may be running now began before
            self.wake()
            while self._passes < wanted and not self.closed:
                self._watcher.wake()
                if not self._passed.wait(min(timeout, 0.05)):
                    timeout -= 0.05
                    if timeout <= 0:
                        break
            return self._passes >= wanted

    def close(self, timeout: float = 1.0) -> None:
        """Ends the thread and waits for that, `timeout` seconds at most. May be called often, from any thread."""
        if self._pid != os.getpid():
            return  # a fork has this object, but never had its thread or its watches
        self._watcher.stop()
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Live {self.following}{f', {type(self.error).__name__}' if self.error else ''}>"

    def _run(self) -> None:
        before: tuple[object, ...] = ()
        try:
            with self._watcher:
                self._look_around()
                for changed in self._watcher.events():
                    new = self._pass(changed)
                    now = (self._watcher.following, type(self.error))
                    if new or now != before:
                        before = now
                        self._tell()
        finally:
            _running.discard(self)
            self._tell()
            _give_back()

    def _pass(self, changed: Collection[str] | None) -> bool:
        reader, new = self._reader(), False
        if reader is None:
            self._watcher.stop()
            return False
        try:
            new = reader.scan(changed)
            self.error = None
        except BaseException as error:  # not even a MemoryError or an exit from a callback ends the following
            if type(error) is not type(self.error):
                log.warning("a pass over the traces failed: %r", error, exc_info=error)
            self.error = error.with_traceback(None)
        if changed is None:
            del reader
            self._look_around()
            with self._passed:
                self._passes += 1
                self._passed.notify_all()
        return new

    def _look_around(self) -> None:
        """Has the folders watched that matter now: they appear, vanish and are replaced."""
        reader = self._reader()
        try:
            if reader is not None:
                self._watcher.watch(reader.watch_roots())
        except Exception as error:
            log.warning("cannot watch the traces: %r", error)
            self.error = error.with_traceback(None)

    def _tell(self) -> None:
        for callback in list(self._listeners):
            try:
                callback()
            except Exception:
                log.exception("a listener failed")


def _give_back() -> None:
    """What was freed goes back to the system; glibc keeps it for threads to come: a kernel with graph after graph would grow."""
    with contextlib.suppress(Exception):  # another C library has no such call
        ctypes.CDLL(None).malloc_trim(0)


_running: weakref.WeakSet[Follower] = weakref.WeakSet()


def follow(reader: Followed, *, poll: float = 0.5) -> Follower:
    """Follows what `reader` reads in a thread, until `close`, the end of the process or the end of the reader.

    `poll`: seconds between two sweeps over everything. The thread makes the first pass at once.
    """
    return Follower(reader, poll)


@atexit.register
def close_all() -> None:
    """Ends every following; runs by itself when the process ends."""
    for live in list(_running):
        live.close()
