"""The only door to watchdog: which files changed, as soon as the system says so.

Events are a hint, never the truth. A burst overflows inotify's queue and loses half of it, other file systems say
nothing at all, and a folder may be replaced under its watch; so every `poll` seconds there is a sweep (`None`: look
at everything). What the system's events bring on top is speed: a written line is known well within a millisecond.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Self

from watchdog.events import FileModifiedEvent, FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver, ObservedWatch

log = logging.getLogger(__name__)

Following = Literal["inotify", "polling", "off"]

BREATH = 0.004  # between two passes, so that a flood of lines is read in batches
MANY = 4096  # changed paths from which on a sweep is cheaper
SWEEP_SHARE = {"inotify": 0.004, "polling": 0.1}  # sweeps take about this part of the time,
RAREST = 30.0  # but are made as often as this,
MOST_SHARE = 0.1  # unless they would take as much as this
RETRY = 15.0  # before a folder that could not be watched is tried again
REMOTE = frozenset(
    (
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "smbfs",
        "9p",
        "afs",
        "ceph",
        "fuse.glusterfs",
        "fuse.sshfs",
        "fuse.s3fs",
        "drvfs",
        "vboxsf",
    )
)
HEARD = frozenset(("created", "modified", "moved", "deleted", "closed"))


def new_observer(hear: Callable[[str, FileSystemEvent], None]) -> BaseObserver:
    """An observer that delivers at once; `hear(folder, event)` is called on a thread of its own.

    watchdog holds every event behind a rename back for half a second, in the hope of pairing it with a second one; by
    default it reports each opening of a file, our own readings included; and it passes events from thread to thread to
    thread. Here the first two are not asked of the system, and the last thread is left out.
    """
    observer = Observer()
    if sys.platform == "linux":
        from watchdog.observers.inotify import InotifyEmitter
        from watchdog.observers.inotify_c import InotifyConstants as In

        mask = In.IN_MODIFY | In.IN_CREATE | In.IN_MOVED_TO | In.IN_DELETE | In.IN_DELETE_SELF

        class Prompt(InotifyEmitter):
            def get_event_mask_from_filter(self) -> Any:
                return mask

            def queue_event(self, event: FileSystemEvent) -> None:
                hear(self.watch.path, event)

            def on_thread_start(self) -> None:
                super().on_thread_start()
                _shorten(getattr(self, "_inotify", None), self.watch.path, hear)

        if issubclass(getattr(observer, "_emitter_class", object), InotifyEmitter):
            observer._emitter_class = Prompt
    return observer


def _shorten(group: Any, folder: str, hear: Callable[[str, FileSystemEvent], None]) -> None:
    """Has the thread that reads the system's events tell of a written file itself: watchdog would wake another one for that, which
    pairs renames. Where its inner parts are called otherwise, all is left as it is."""
    plain, path_of = getattr(group, "on_event", None), getattr(group, "_build_event_source_path", None)
    if plain is None or path_of is None:
        return

    def on_event(event: Any) -> None:
        path = path_of(event) if event.is_modify and not event.is_directory else None
        if path is None:
            plain(event)
        else:
            hear(folder, FileModifiedEvent(os.fsdecode(path)))

    group.on_event = on_event


@dataclass(slots=True)
class _Root:
    real: str
    recursive: bool
    identity: tuple[int, int]
    watch: ObservedWatch


class _Ear(FileSystemEventHandler):
    """Hears the events of one folder where they come through the observer's own thread."""

    def __init__(self, folder: str, hear: Callable[[str, FileSystemEvent], None]) -> None:
        self.folder, self.hear = folder, hear

    def dispatch(self, event: FileSystemEvent) -> None:
        self.hear(self.folder, event)


class Watcher:
    """Watches folders. `events()` is to be run through by one thread; everything else may be called from any.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, Watcher() as watcher:
    ...     watcher.watch([(folder, False)])
    ...     next(watcher.events()) is None  # the first pass looks at everything
    True
    """

    def __init__(self, poll: float = 0.5) -> None:
        self.poll = poll
        self._bell = threading.Condition()
        self._changed: set[str] = set()
        self._sweep = True
        self._stopped = False
        self._observer: BaseObserver | None = None
        self._roots: dict[str, _Root] = {}
        self._failed: dict[str, float] = {}
        self._polled = False  # until the folders have been tried
        self._said = False

    @property
    def following(self) -> Following:
        """How changes are noticed now: `polling` as soon as one of the folders cannot be watched."""
        return "off" if self._stopped else "polling" if self._polled else "inotify"

    def heard(self, folder: str, event: FileSystemEvent) -> None:
        """Takes note of what happened in a watched folder, under the names by which that was asked for."""
        if event.event_type not in HEARD or (event.is_directory and event.event_type == "modified"):
            return
        paths = [os.fsdecode(p) for p in (event.src_path, event.dest_path) if p]
        names = [path for path, root in list(self._roots.items()) if root.real == folder] or [folder]
        with self._bell:
            for name in names:
                self._changed.update(name + p[len(folder) :] if p.startswith(folder) else p for p in paths)
            self._sweep |= event.is_directory  # other folders may matter now
            if len(self._changed) > MANY:
                self._changed.clear()
                self._sweep = True
            self._bell.notify_all()

    def wake(self) -> None:
        """Asks for a sweep now."""
        with self._bell:
            self._sweep = True
            self._bell.notify_all()

    def stop(self) -> None:
        """Ends `events()`; from any thread, also while memory is being collected."""
        with self._bell:
            self._stopped = True
            self._bell.notify_all()

    def events(self) -> Iterator[set[str] | None]:
        """Yields the absolute paths that changed, or None when everything should be looked at; ends after `stop`."""
        due, first = 0.0, True
        while True:
            with self._bell:
                while not (self._stopped or self._changed or self._sweep):
                    left = due - time.monotonic()
                    if left <= 0:
                        break
                    self._bell.wait(left)
                if self._stopped:
                    return
                sweep = self._sweep or time.monotonic() >= due
                began = time.thread_time()
                changed, self._changed, self._sweep = self._changed, set(), False
            yield None if sweep else changed
            if sweep:
                pause = self.poll if first else self._pause(time.thread_time() - began)
                due, first = time.monotonic() + pause, False
            with self._bell:
                self._bell.wait_for(lambda: self._stopped, BREATH)

    def _pause(self, took: float) -> float:
        """Seconds from a sweep to the next, after one that took so many seconds of work."""
        share = SWEEP_SHARE["polling" if self._polled else "inotify"]
        return max(self.poll, min(took / share, RAREST), took / MOST_SHARE)

    def watch(self, roots: Iterable[tuple[str, bool]]) -> None:
        """Watches these folders (path, whether with all below) and no others; what is not there is left out."""
        wanted = dict(roots)
        if self._stopped or not wanted:
            return
        observer = self._running()
        alive = {e.watch for e in observer.emitters if e.is_alive()} if observer is not None else set()
        missing = False
        for path, root in list(self._roots.items()):
            if wanted.get(path) != root.recursive or root.watch not in alive or _identity(path) != root.identity:
                self._drop(path)
        for path, recursive in wanted.items():
            if path not in self._roots and os.path.isdir(path):
                missing |= observer is None or not self._add(observer, path, recursive)
        self._polled = missing or not self._roots

    def _running(self) -> BaseObserver | None:
        if self._observer is None and time.monotonic() >= self._failed.get("", 0.0):
            try:
                observer = new_observer(self.heard)
                observer.start()
                self._observer = observer
            except Exception as error:
                self._cannot("", error)
        return self._observer

    def _add(self, observer: BaseObserver, path: str, recursive: bool) -> bool:
        if time.monotonic() < self._failed.get(path, 0.0):
            return False
        real = os.path.realpath(path)  # a watch on a link would be a watch on the link alone
        try:
            if _is_remote(real):
                raise OSError(f"{path} lies on a file system that does not report what others write")
            identity = _identity(path)
            watch = observer.schedule(_Ear(real, self.heard), real, recursive=recursive)
            self._roots[path] = _Root(real, recursive, identity, watch)
            self._failed.pop(path, None)
        except (FileNotFoundError, NotADirectoryError):
            return True
        except Exception as error:
            self._cannot(path, error)
            return False
        self.wake()  # what was written between the last pass and now
        return True

    def _cannot(self, path: str, error: Exception) -> None:
        self._failed[path] = time.monotonic() + RETRY
        if not self._said:
            self._said = True
            log.warning("cannot be told of changes (%s): looks every %g s instead", error, self.poll)

    def _drop(self, path: str) -> None:
        root = self._roots.pop(path)
        others = any(other.watch == root.watch for other in self._roots.values())
        if self._observer is not None and not others:
            with contextlib.suppress(Exception):
                self._observer.unschedule(root.watch)

    def close(self) -> None:
        """Stops, and lets go of all watches. Idempotent; not to be called from one of watchdog's threads."""
        self.stop()
        observer, self._observer = self._observer, None
        self._roots.clear()
        if observer is not None:
            with contextlib.suppress(Exception):
                observer.stop()
                observer.join(1.0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _identity(path: str) -> tuple[int, int]:
    try:
        found = os.stat(path)
    except OSError:
        return (-1, -1)
    return (found.st_dev, found.st_ino)


def _is_remote(path: str) -> bool:
    try:
        with open("/proc/self/mounts", encoding="utf-8", errors="replace") as mounts:
            fields = [line.split(" ", 3) for line in mounts]
    except OSError:
        return False
    best = ("", "")
    for _, where, kind, _ in (f for f in fields if len(f) == 4):
        where = where.replace("\\040", " ")
        if (path == where or path.startswith(where.rstrip("/") + "/")) and len(where) >= len(best[0]):
            best = (where, kind)
    return best[1] in REMOTE
