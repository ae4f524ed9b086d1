"""Inner: keeps pages in step with a store. One thread sends for all widgets of the process.

A `Stream` belongs to one widget. It sends the first change after a quiet spell at once, then at most one message
every `PACE` seconds, and nothing while no page listens. All pages get the same changes; a page that says hello with
less than the others have gets what it lacks for itself. What could not be sent is not counted as sent: the next
message covers it.
"""

from __future__ import annotations

import logging
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable

from anton_notebook.store import Store
from anton_notebook.widget.protocol import Encoder, Known, Message, Scope, Status, clean

log = logging.getLogger(__name__)

PACE = 1 / 30
SILENCE = 60.0  # seconds after which a page that says nothing is forgotten
LINGER = 10.0  # seconds for which the thread waits for more
RETRY = (0.1, 5.0)  # seconds after a failed sending: at first, at most


class Sender:
    """The thread that sends. It runs while a stream has listeners, and a little longer."""

    def __init__(self) -> None:
        self._bell = threading.Condition()
        self._rung = False
        self._streams: set[Stream] = set()
        self._thread: threading.Thread | None = None

    def add(self, stream: Stream) -> None:
        """A stream has a listener."""
        with self._bell:
            self._streams.add(stream)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="anton_notebook sender", daemon=True)
                self._thread.start()
        self.ring()

    def discard(self, stream: Stream) -> None:
        """A stream has none any more."""
        with self._bell:
            self._streams.discard(stream)
        self.ring()

    def ring(self) -> None:
        """Something may have to be sent."""
        with self._bell:
            self._rung = True
            self._bell.notify_all()

    def _run(self) -> None:
        while True:
            patience = self._round()
            with self._bell:
                if not self._rung and not self._bell.wait(patience) and not self._streams:
                    self._thread = None
                    return
                self._rung = False

    def _round(self) -> float:
        """Sends what is due; the seconds until there is more. No stream is held between two rounds."""
        patience = LINGER
        for stream in list(self._streams):
            now = time.monotonic()
            due = stream.due(now)
            if due is not None and due <= now:
                stream.pump()
                due = stream.due(time.monotonic())
            if due is not None:
                patience = min(patience, max(0.0, due - time.monotonic()))
            elif not stream.clients:
                with self._bell:
                    if not stream.clients:
                        self._streams.discard(stream)
        return patience


SENDER = Sender()


class Stream:
    """The changes of one store on their way to the pages of one widget.

    `send` may raise anything; `status` tells how the following goes. Every method may be called from any thread.
    """

    def __init__(
        self,
        store: Store,
        send: Callable[[Message], None],
        status: Callable[[], Status],
        sender: Sender = SENDER,
    ) -> None:
        self.store = store
        self._sender = sender
        self.failure: BaseException | None = None
        self._send = send
        self._status = status
        self._lock = threading.RLock()
        self._encoder = Encoder(store)
        self._clients: dict[str, float] = {}
        self._asked: dict[str, Known] = {}
        self._answering: dict[str, Known] = {}
        self._queue: deque[Message] = deque()
        self._sent = self._sending = Known()
        self._said: Status | None = None
        self._scope = Scope(0, ())
        self._chosen: str | None = None
        self._dirty = True
        self._due = 0.0
        self._failures = 0
        self._closed = False
        self._unsubscribe = store.subscribe(_ringer(weakref.ref(self)))

    @property
    def clients(self) -> int:
        """How many pages listen."""
        return len(self._clients)

    @property
    def place(self) -> Known:
        """What the pages have been sent."""
        return self._sent

    def choose(self, trace_id: str | None) -> None:
        """Shows this run; with None the newest, whichever that is at the time."""
        with self._lock:
            self._chosen = trace_id
        self.ring()

    def hello(self, client: str, known: Known) -> None:
        """A page says what it has; it is sent what it lacks."""
        with self._lock:
            if self._closed:
                return
            self._clients[client] = time.monotonic()
            self._asked[client] = known
            self._dirty = True
            if self._failures:
                self._failures, self._due = 0, time.monotonic()
        self._sender.add(self)

    def alive(self, client: str) -> bool:
        """A page still listens; False where it has been forgotten and must say hello again."""
        with self._lock:
            known = client in self._clients
            if known:
                self._clients[client] = time.monotonic()
            return known

    def bye(self, client: str) -> None:
        """A page listens no longer."""
        with self._lock:
            self._clients.pop(client, None)
            self._asked.pop(client, None)
            self._answering.pop(client, None)
            if not self._clients:
                self._queue.clear()

    def ring(self) -> None:
        """Something may have to be sent."""
        if not self._dirty:
            self._dirty = True
            if self._clients:
                self._sender.ring()

    def close(self) -> None:
        """Sends nothing any more."""
        with self._lock:
            self._closed = True
            self._clients.clear()
            self._queue.clear()
        self._unsubscribe()
        self._sender.discard(self)

    def due(self, now: float) -> float | None:
        """When there is something to be sent; None where there is nothing."""
        with self._lock:
            for client, heard in list(self._clients.items()):
                if now - heard > SILENCE:
                    self.bye(client)
            return self._due if self._clients and (self._dirty or self._queue) else None

    def pump(self) -> None:
        """Sends one message, where there is one. Never raises."""
        try:
            with self._lock:
                if not self._queue and self._clients:
                    self._fill()
                if not self._queue:
                    return
                message = self._queue[0]
                self._due = time.monotonic() + PACE
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
            log.warning("changes could not be sent: %r", error, exc_info=error)
        with self._lock:
            self.failure = error.with_traceback(None)
            self._asked = {**self._answering, **self._asked}
            self._answering = {}
            self._queue.clear()
            self._said = None
            self._dirty = True
            self._due = time.monotonic() + min(RETRY[0] * 2**self._failures, RETRY[1])
            self._failures = min(self._failures + 1, 10)

    def _fill(self) -> None:
        """Queues what the pages lack: for those in step one change, for each that asked its own."""
        self._dirty = False
        status = self._status()
        news = status if status != self._said else None
        asked, self._asked = self._asked, {}
        self._answering = asked
        with self.store.lock:
            codes = self._shown()
            if codes != self._scope.codes:
                self._scope = Scope(self._scope.number + 1, codes)
            now = (self.store.epoch, self._scope.number, self.store.revision)
            known_after = []
            if any(client not in asked for client in self._clients):
                known_after.append(self._sent)
                if self._sent[:3] != now or news is not None:
                    messages, known_after[0] = self._encoder.encode(self._sent, self._scope, None, news)
                    self._queue.extend(messages)
            for client, known in asked.items():
                if known[:3] != now or news is not None:
                    messages, known = self._encoder.encode(known, self._scope, client, status)
                    self._queue.extend(messages)
                known_after.append(known)
        words = (min(k.strings for k in known_after), min(k.classes for k in known_after))
        self._sending = Known(*now, *words)
        self._said = status
        if not self._queue:
            self._sent, self._answering = self._sending, {}

    def _shown(self) -> tuple[int, ...]:
        """The codes of the run looked at and of what was tried from it."""
        traces = self.store.traces
        first = self.code_of(self._chosen) if self._chosen is not None else self.store.newest_trace()
        if first is None:
            return ()
        shown = {first: None}
        if self.store.own:  # only lines of ours name an original
            tried = [t for t in traces if t.original_trace_id is not None and t.spans]
            count = 0
            while count < len(shown):
                count = len(shown)
                ids = {traces[code].trace_id for code in shown}
                shown.update((t.code, None) for t in tried if t.original_trace_id in ids)
        return tuple(shown)

    def codes(self) -> tuple[int, ...]:
        """The codes of the runs that are shown, the one looked at first."""
        with self._lock, self.store.lock:
            return self._shown()

    def shown(self) -> list[str]:
        """The ids of the runs that are shown, the one looked at first."""
        with self._lock, self.store.lock:
            return [self.store.traces[code].trace_id for code in self._shown()]

    def waits_for(self) -> str | None:
        """The run that was chosen, as long as it has not been seen."""
        chosen = self._chosen
        return None if chosen is None or self.code_of(chosen) is not None else clean(chosen)

    def code_of(self, trace_id: str) -> int | None:
        """The code of a run; a page knows ids as they crossed."""
        code = self.store.find_trace(trace_id)
        if code is None:
            code = next((t.code for t in self.store.traces if clean(t.trace_id) == trace_id), None)
        return code


def _ringer(stream: weakref.ref[Stream]) -> Callable[[], None]:
    """Rings a stream that its store must not keep alive."""

    def ring() -> None:
        found = stream()
        if found is not None:
            found.ring()

    return ring
