"""The connection between one widget and its pages: the change stream, the shown run, and requests about single spans."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from anton_notebook.api import Traces
from anton_notebook.errors import TraceNotFound, did_you_mean
from anton_notebook.widget.arguments import int_argument, row_argument, text_argument
from anton_notebook.widget.commands import Args, Handlers, on_subshell
from anton_notebook.widget.details import details, text_chunk
from anton_notebook.widget.protocol import ChangeMessage, ClientState, ReaderStatus
from anton_notebook.widget.stream import ChangeStream
from anton_notebook.widget.waiting import Waiting, describe_waiting


class PageSession:
    """The pages of one widget. `on_contact` is called on the thread that handles a page's regular messages."""

    def __init__(self, widget: Any, traces: Traces, on_contact: Callable[[], None]) -> None:
        self._widget, self._traces, self._on_contact = widget, traces, on_contact
        self._expected: str | None = None
        self.stream = ChangeStream(traces.store, self._send, self._status)
        widget.observe(lambda change: self.select_trace(change["new"]), "trace_id")

    def handlers(self) -> Handlers:
        """Return the handlers of a page's requests."""
        return {
            "hello": self._handle_hello,
            "alive": self._handle_alive,
            "bye": lambda args: self.stream.unsubscribe(text_argument(args, "client")),
            "show": self._handle_show,
            "details": self._handle_details,
            "text": lambda args: text_chunk(
                self._traces,
                row_argument(self._traces, args),
                text_argument(args, "part"),
                int_argument(args, "offset"),
            ),
        }

    def close(self) -> None:
        """Stop sending."""
        self.stream.close()

    def select_trace(self, trace_id: str | None) -> None:
        """Show a run; None follows the newest."""
        self.stream.select_trace(trace_id)
        self.update()

    def check_trace(self, trace_id: str | None) -> str | None:
        """Return the id of a known run, or one that a page expects; TraceNotFound for any other."""
        if trace_id is None or trace_id == self._expected or self.stream.code_of(trace_id) is not None:
            return trace_id
        known = [info.trace_id for info in self._traces.store.traces if info.spans]
        hint = did_you_mean(trace_id, known)
        if not hint:
            hint = (
                "; traces.runs_df() lists the runs" if known else "; no run has been read yet. Omit trace_id to wait."
            )
        raise TraceNotFound(f"No run {trace_id!r}{hint}")

    def update(self) -> None:
        """Update what the widget says about the reader and about a missing run, and wake the stream."""
        follower = self._traces.live
        error = follower.error if follower is not None else None
        # Only the kind of the error: its message may quote a trace, and traits are saved in notebooks.
        message = (
            f"Reading the traces failed ({type(error).__name__}). See graph.traces.live.error for details."
            if error
            else ""
        )
        # Every assignment of a trait is a message to all pages.
        if message != self._widget._error:
            self._widget._error = message
        waiting = self._waiting()
        if waiting != self._widget.waiting:
            self._widget.waiting = waiting
        self.stream.wake()

    def _waiting(self) -> Waiting:
        if self.stream.codes():
            return {}
        reader = self._traces.reader
        return describe_waiting(reader.paths, reader.problems.sentence(), self.stream.waits_for())

    def _send(self, message: ChangeMessage) -> None:
        self._widget.send(message.header, message.buffers)

    def _status(self) -> ReaderStatus:
        follower, problems = self._traces.live, self._traces.reader.problems
        following = follower.following if follower is not None else "off"
        expected = self.stream.waits_for()
        parts = [f"waiting for the run {expected!r}"] if expected else []
        return ReaderStatus(
            live=following != "off",
            following=following,
            problems=problems.count,
            sentence="; ".join(part for part in (*parts, problems.sentence()) if part),
        )

    # -- requests of a page

    def _handle_hello(self, args: Args) -> dict[str, Any]:
        self._on_contact()
        epoch = text_argument(args, "epoch") if args.get("epoch") is not None else ""
        scope, revision = int_argument(args, "scope", -1), int_argument(args, "revision", -1)
        known = ClientState(epoch, scope, revision, int_argument(args, "strings"), int_argument(args, "classes"))
        self.stream.subscribe(text_argument(args, "client"), known)
        return {"subshell": on_subshell()}

    def _handle_alive(self, args: Args) -> None:
        self._on_contact()
        # Other processes write notes; a heartbeat is often enough to look for them.
        self._traces.read_notes()
        if not self.stream.alive(text_argument(args, "client")):
            raise LookupError("This page was forgotten. It must subscribe again.")

    def _handle_show(self, args: Args) -> None:
        trace_id = None if args.get("trace_id") is None else text_argument(args, "trace_id")
        code = None if trace_id is None else self.stream.code_of(trace_id)
        # A page may name a run that has just begun, such as a replay, before it has been read.
        self._expected = trace_id if code is None else self._traces.store.traces[code].trace_id
        self._widget.trace_id = self._expected

    def _handle_details(self, args: Args) -> dict[str, Any]:
        self._traces.read_notes()
        return details(self._traces, row_argument(self._traces, args))
