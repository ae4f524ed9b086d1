"""Sends the changes of a store to pages. One thread sends for all widgets of the process; `protocol` packs the messages.

A `ChangeStream` belongs to one widget. After a quiet period it sends the first change at once, then at most one message every
`INTERVAL` seconds, and nothing while no page listens. All pages in step get the same changes; a page that reports an older state
gets a separate message with what it lacks. A message that could not be sent does not count as sent: the next one covers it.

Invariants: `_sent` is the state of every page that is in step; `_sending` is their state once `_queue` is empty. A failure
clears the queue and keeps `_sent`, so nothing is lost. Lock order: store lock inside the stream's lock.
"""

from __future__ import annotations

import logging
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable

from anton_notebook.store import Store
from anton_notebook.widget.protocol import ChangeMessage, ClientState, Encoder, ReaderStatus, Scope, clean

log = logging.getLogger(__name__)

INTERVAL = 1 / 30  # seconds between two messages
CLIENT_TIMEOUT = 60.0  # seconds after which a silent page is forgotten
IDLE_TIMEOUT = 10.0  # seconds after which an idle thread ends
RETRY = (0.1, 5.0)  # seconds of the first and the longest pause after a failure


class SenderThread:
    """The thread that sends. It runs while a stream has listeners, and `IDLE_TIMEOUT` longer."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._woken = False
        self._streams: set[ChangeStream] = set()
        self._thread: threading.Thread | None = None

    def add(self, stream: ChangeStream) -> None:
        """Add a stream that has a listener."""
        with self._condition:
            self._streams.add(stream)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="anton_notebook sender", daemon=True)
                self._thread.start()
        self.wake()

    def discard(self, stream: ChangeStream) -> None:
        """Remove a stream without listeners."""
        with self._condition:
            self._streams.discard(stream)
        self.wake()

    def wake(self) -> None:
        """Check for something to send."""
        with self._condition:
            self._woken = True
            self._condition.notify_all()

    def _run(self) -> None:
        while True:
            wait = self._send_due()
            with self._condition:
                # The flag is checked under the lock, so a call of wake() between two rounds is not missed.
                if not self._woken and not self._condition.wait(wait) and not self._streams:
                    self._thread = None
                    return
                self._woken = False

    def _send_due(self) -> float:
        """Send what is due; return the seconds until more is due. Keeps no reference to a stream between calls."""
        wait = IDLE_TIMEOUT
        for stream in list(self._streams):
            now = time.monotonic()
            due = stream.due(now)
            if due is not None and due <= now:
                stream.send_next()
                due = stream.due(time.monotonic())
            if due is not None:
                wait = min(wait, max(0.0, due - time.monotonic()))
            elif not stream.clients:
                with self._condition:
                    if not stream.clients:
                        self._streams.discard(stream)
        return wait


SENDER = SenderThread()


class ChangeStream:
    """Sends the changes of one store to the pages of one widget. All methods are thread-safe.

    Args:
        store: The store.
        send: Sends one message; may raise any exception.
        status: Returns the state of the reader.
        sender: The thread that calls `send`.
    """

    def __init__(
        self,
        store: Store,
        send: Callable[[ChangeMessage], None],
        status: Callable[[], ReaderStatus],
        sender: SenderThread = SENDER,
    ) -> None:
        self.store = store
        self._sender = sender
        self.failure: BaseException | None = None
        self._send = send
        self._status = status
        self._lock = threading.RLock()
        self._encoder = Encoder(store)
        self._clients: dict[str, float] = {}
        self._catching_up: dict[str, ClientState] = {}
        self._answering: dict[str, ClientState] = {}
        self._queue: deque[ChangeMessage] = deque()
        self._sent = self._sending = ClientState()
        self._sent_status: ReaderStatus | None = None
        self._scope = Scope(0, ())
        self._selected: str | None = None
        self._dirty = True
        self._due = 0.0
        self._failures = 0
        self._closed = False
        self._unsubscribe = store.subscribe(_waker(weakref.ref(self)))

    @property
    def clients(self) -> int:
        """The number of pages that listen."""
        return len(self._clients)

    @property
    def acknowledged(self) -> ClientState:
        """The state that pages in step have."""
        return self._sent

    def select_trace(self, trace_id: str | None) -> None:
        """Show a run; None follows the newest."""
        with self._lock:
            self._selected = trace_id
        self.wake()

    def subscribe(self, client: str, known: ClientState) -> None:
        """Add a page that reports its state; it is sent what it lacks."""
        with self._lock:
            if self._closed:
                return
            self._clients[client] = time.monotonic()
            self._catching_up[client] = known
            self._dirty = True
            # A new page is a sign that the connection works again.
            if self._failures:
                self._failures, self._due = 0, time.monotonic()
        self._sender.add(self)

    def alive(self, client: str) -> bool:
        """Note that a page still listens; False if it was forgotten and must subscribe again."""
        with self._lock:
            known = client in self._clients
            if known:
                self._clients[client] = time.monotonic()
            return known

    def unsubscribe(self, client: str) -> None:
        """Remove a page."""
        with self._lock:
            self._clients.pop(client, None)
            self._catching_up.pop(client, None)
            self._answering.pop(client, None)
            # Queued messages are for pages that have gone; the next page reports its own state.
            if not self._clients:
                self._queue.clear()

    def wake(self) -> None:
        """Check for something to send."""
        if not self._dirty:
            self._dirty = True
            if self._clients:
                self._sender.wake()

    def close(self) -> None:
        """Stop sending."""
        with self._lock:
            self._closed = True
            self._clients.clear()
            self._queue.clear()
        self._unsubscribe()
        self._sender.discard(self)

    def due(self, now: float) -> float | None:
        """Return the monotonic time at which the next message is due; None if there is nothing to send."""
        with self._lock:
            for client, heard in list(self._clients.items()):
                if now - heard > CLIENT_TIMEOUT:
                    self.unsubscribe(client)
            return self._due if self._clients and (self._dirty or self._queue) else None

    def send_next(self) -> None:
        """Send one message if there is one. Never raises."""
        try:
            with self._lock:
                if not self._queue and self._clients:
                    self._fill()
                if not self._queue:
                    return
                # It stays in the queue until it was sent, so that a failure loses nothing.
                message = self._queue[0]
                self._due = time.monotonic() + INTERVAL
            # Outside of the lock: a slow socket must not block requests of pages.
            self._send(message)
            with self._lock:
                self.failure, self._failures = None, 0
                if self._queue and self._queue[0] is message:
                    self._queue.popleft()
                    if not self._queue:
                        self._sent, self._answering = self._sending, {}
        except BaseException as error:  # a closed comm, a lost socket, a kernel that is going down
            self._failed(error)

    def _failed(self, error: BaseException) -> None:
        if type(error) is not type(self.failure):
            log.warning("Changes could not be sent: %r", error, exc_info=error)
        with self._lock:
            # The traceback would keep the frames of the sender alive.
            self.failure = error.with_traceback(None)
            self._catching_up = {**self._answering, **self._catching_up}
            self._answering = {}
            self._queue.clear()
            self._sent_status = None
            self._dirty = True
            self._due = time.monotonic() + min(RETRY[0] * 2**self._failures, RETRY[1])
            self._failures = min(self._failures + 1, 10)

    def _fill(self) -> None:
        """Queue pending messages: one shared delta for pages in step, one catch-up message for each of the others."""
        self._dirty = False
        status = self._status()
        new_status = status if status != self._sent_status else None
        joined, self._catching_up = self._catching_up, {}
        self._answering = joined
        with self.store.lock:
            codes = self._shown()
            # A new experiment joins the shown runs, and a new run replaces them.
            if codes != self._scope.codes:
                self._scope = Scope(self._scope.number + 1, codes)
            now = (self.store.epoch, self._scope.number, self.store.revision)
            states_after = []
            if any(client not in joined for client in self._clients):
                states_after.append(self._sent)
                if self._sent[:3] != now or new_status is not None:
                    messages, states_after[0] = self._encoder.encode(self._sent, self._scope, None, new_status)
                    self._queue.extend(messages)
            for client, known in joined.items():
                if known[:3] != now or new_status is not None:
                    messages, known = self._encoder.encode(known, self._scope, client, status)
                    self._queue.extend(messages)
                states_after.append(known)
        counts = (min(k.strings for k in states_after), min(k.classes for k in states_after))
        self._sending = ClientState(*now, *counts)
        self._sent_status = status
        if not self._queue:
            self._sent, self._answering = self._sending, {}

    def _shown(self) -> tuple[int, ...]:
        """Return the codes of the main run and of its experiments."""
        traces = self.store.traces
        first = self.code_of(self._selected) if self._selected is not None else self.store.newest_trace()
        if first is None:
            return ()
        shown = {first: None}
        if self.store.own:  # only lines written by this library name an original
            experiments = [t for t in traces if t.original_trace_id is not None and t.spans]
            count = 0
            while count < len(shown):
                count = len(shown)
                ids = {traces[code].trace_id for code in shown}
                shown.update((t.code, None) for t in experiments if t.original_trace_id in ids)
        return tuple(shown)

    def codes(self) -> tuple[int, ...]:
        """Return the codes of the shown runs, the main one first."""
        with self._lock, self.store.lock:
            return self._shown()

    def shown(self) -> list[str]:
        """Return the ids of the shown runs, the main one first."""
        with self._lock, self.store.lock:
            return [self.store.traces[code].trace_id for code in self._shown()]

    def waits_for(self) -> str | None:
        """Return the id of the selected run while it has not been read."""
        selected = self._selected
        return None if selected is None or self.code_of(selected) is not None else clean(selected)

    def code_of(self, trace_id: str) -> int | None:
        """Return the code of a run, by its id or by its id as it was sent to pages; None if unknown."""
        code = self.store.find_trace(trace_id)
        if code is None:
            # Long ids were cut when they were sent.
            code = next((t.code for t in self.store.traces if clean(t.trace_id) == trace_id), None)
        return code


def _waker(stream: weakref.ref[ChangeStream]) -> Callable[[], None]:
    """Return a callback that wakes a stream without keeping it alive."""

    def wake() -> None:
        target = stream()
        if target is not None:
            target.wake()

    return wake
