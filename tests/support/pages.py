"""What a page does with the messages that it gets, in Python; and stores made from a few words."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from anton_notebook.model.span import NAT, Flag, Own, Records, SpanClass
from anton_notebook.store import Store
from anton_notebook.widget.protocol import NONE, ChangeMessage, ClientState, clean, unpack
from anton_notebook.widget.stream import ChangeStream, SenderThread


class Page:
    """Keeps what it was told. `behind` when it noticed that something is missing."""

    def __init__(self, name: str = "page") -> None:
        self.name = name
        self.known = ClientState()
        self.strings: list[str] = [""]
        self.classes: list[list[int]] = []
        self.spans: dict[int, tuple[Any, ...]] = {}
        self.runs: dict[str, Any] = {}
        self.shown: list[str] = []
        self.status: Any = None
        self.behind = True
        self.messages = 0
        self._parts: dict[tuple[int, ...], dict[int, ChangeMessage]] = {}

    def take(self, message: ChangeMessage) -> None:
        """Applies a message, or notices that it cannot."""
        self.messages += 1
        header = message.header
        if header["for"] not in (None, self.name):
            return
        key = (header["scope"], header["from"], header["to"], header["parts"])
        parts = self._parts.setdefault(key, {})
        parts[header["part"]] = message
        if len(parts) < header["parts"]:
            return
        del self._parts[key]
        other = header["epoch"] != self.known.epoch or header["scope"] != self.known.scope
        if header["epoch"] == self.known.epoch and header["scope"] < self.known.scope:
            return
        if header["from"] < 0:
            if not other and header["to"] < self.known.revision:
                return
            self.spans.clear()
            self.runs.clear()
        elif other or header["from"] > self.known.revision:
            self.behind = True
            return
        elif header["to"] < self.known.revision:
            return
        for i in sorted(parts):
            if not self._apply(parts[i]):
                self.behind = True
                return
        self.known = ClientState(header["epoch"], header["scope"], header["to"], len(self.strings), len(self.classes))
        self.behind = False

    def _apply(self, message: ChangeMessage) -> bool:
        header = message.header
        for name in ("strings", "classes"):
            table: list[Any] = getattr(self, name)
            first, *news = header[name]  # type: ignore[literal-required]
            if first > len(table):
                return False
            table[first : first + len(news)] = news
        columns, gone = unpack(message)
        for row in gone.tolist():
            self.spans.pop(row, None)
        for i in range(header["puts"]):
            self.spans[int(columns["row"][i])] = (
                *(self.strings[code] for code in self.classes[int(columns["cls"][i])]),
                *(_plain(columns[name][i]) for name in ("start", "parent", "duration", "cost", "input", "output")),
                *(int(columns[name][i]) for name in ("status", "flags", "provenance")),
            )
        for run in header["runs"]:
            self.runs[run["trace_id"]] = run
        self.shown = header["shown"]
        self.status = header["status"] or self.status
        return True


def _plain(value: Any) -> float | int | None:
    number = value.item()
    return None if number == NONE or (isinstance(number, float) and math.isnan(number)) else number


def expected(store: Store, stream: ChangeStream) -> dict[int, tuple[Any, ...]]:
    """What a page should hold of the runs that are shown, taken span by span from the store."""
    shown, out = set(stream.shown()), {}
    for row in range(store.size):
        flags = int(store.c.flags[row])
        if flags & Flag.DEAD or store.traces[store.c.trace[row]].trace_id not in shown:
            continue
        span = store.span(row)
        unpriced = span.kind == "llm" and span.status != "running" and math.isnan(span.cost_usd)
        provenance = (
            ("", "reused", "executed", "inferred", "stale").index(store.own[row].provenance) if row in store.own else 0
        )
        out[row] = (
            *(clean(text) for text in (span.trace_id, span.kind, span.agent, span.name, span.model)),
            None if span.start == NAT else span.start / 1000,
            None if span.parent < 0 else span.parent,
            None if span.duration == NAT or span.status == "running" else float(np.float32(span.duration / 1000)),
            None if math.isnan(span.cost_usd) else span.cost_usd,
            span.usage.input_tokens,
            span.usage.output_tokens,
            ("running", "ok", "error").index(span.status),
            flags & 15 | (16 if unpriced else 0),
            provenance,
        )
    return out


def put(store: Store, spans: Iterable[dict[str, Any]], commit: bool = True) -> None:
    """Puts spans given in words: trace, id, parent, kind, agent, name, model, start, duration, status, input, own."""
    rows = list(spans)
    n = len(rows)
    file = 0 if store.files else store.add_file("a.jsonl", lambda offset, length: {})
    first = store.revision + store.size  # lines of their own

    def column(name: str, unknown: Any, kind: Any) -> Any:
        return np.array([unknown if row.get(name) is None else row[name] for row in rows], kind)

    classes = [
        SpanClass(r.get("kind", "llm"), r.get("agent", "orchestrator"), r.get("name", "call"), "p", r.get("model", "m"))
        for r in rows
    ]
    store.put(
        Records(
            trace=store.trace_codes([row.get("trace", "t") for row in rows]),
            span_id=[row["id"] for row in rows],
            parent_id=[row.get("parent") for row in rows],
            cls=np.array([store.class_code(cls) for cls in classes], np.int32),
            start=column("start", NAT, np.int64),
            duration=column("duration", NAT, np.int64),
            status=column("status", 1, np.uint8),
            flags=np.zeros(n, np.uint8),
            input=column("input", -1, np.int32),
            output=column("output", -1, np.int32),
            cached=np.full(n, -1, np.int32),
            recorded_cost=column("cost", np.nan, np.float64),
            file=np.full(n, file, np.int32),
            offset=np.arange(first, first + n, dtype=np.int64),
            length=np.zeros(n, np.int32),
            line=np.arange(first + 1, first + n + 1, dtype=np.int32),
            own={i: Own(**row["own"]) for i, row in enumerate(rows) if "own" in row},
        )
    )
    if commit:
        store.commit()


class Hand(SenderThread):
    """No thread: the test sends by hand."""

    def add(self, stream: ChangeStream) -> None:
        """Nothing."""

    def discard(self, stream: ChangeStream) -> None:
        """Nothing."""

    def wake(self) -> None:
        """Nothing."""


STATUS: Any = {"live": True, "following": "inotify", "problems": 0, "sentence": ""}


def pump_all(stream: ChangeStream, most: int = 1000) -> None:
    """Sends until there is nothing to be sent."""
    for _ in range(most):
        if stream.due(0.0) is None:
            return
        stream.send_next()
    raise AssertionError("it never came to rest")


def settle(stream: ChangeStream, pages: Sequence[Page]) -> None:
    """As pages do: say hello until nothing is missing any more."""
    for _ in range(5):
        pump_all(stream)
        for page in pages:
            stream.subscribe(page.name, page.known)
    pump_all(stream)


def line(span_id: str, trace_id: str = "run-1", **more: Any) -> bytes:
    """A line of anton's documented format."""
    record = {
        "timestamp": "2026-01-01T00:00:00.000Z", "agent_name": "orchestrator", "provider": "openai", "model": "gpt-4o",
        "trace_id": trace_id, "span_id": span_id, "parent_id": None, "span_type": "llm_call", "duration_ms": 1200.5,
        "tokens": {"input": 100, "output": 20, "total": 120}, "cost_usd": 0.001, "system_prompt": "Be brief.",
        "messages": [{"role": "user", "content": f"Task: {trace_id}"}], "response": "Done.",
    }  # fmt: skip
    return json.dumps({**record, **more}).encode() + b"\n"
