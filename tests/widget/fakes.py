"""A comm that records what is sent, and a page at its other end."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from comm.base_comm import BaseComm

from anton_notebook.widget.protocol import ChangeMessage
from anton_notebook.widget.trace_graph import TraceGraph
from tests.support.pages import Page, expected

PATIENCE = 5.0


def eventually(true: Callable[[], object], patience: float = PATIENCE) -> None:
    deadline = time.monotonic() + patience
    while not true():
        assert time.monotonic() < deadline, "it never came to be"
        time.sleep(0.002)


class Wire(BaseComm):
    """A comm that keeps what is sent, and raises when it is told to."""

    all: ClassVar[dict[str, Wire]] = {}
    fails: ClassVar[Callable[[int], BaseException | None]] = staticmethod(lambda number: None)
    number: ClassVar[int] = 0

    def publish_msg(
        self, msg_type: str, data: Any = None, metadata: Any = None, buffers: Any = None, **keys: Any
    ) -> None:
        if msg_type == "comm_msg" and data.get("content", {}).get("type") == "changes":
            Wire.number += 1
            error = Wire.fails(Wire.number)
            if error is not None:
                raise error
        Wire.all[self.comm_id] = self
        json.dumps(data, allow_nan=False)
        self.__dict__.setdefault("sent", []).append((msg_type, data, list(buffers or [])))

    def custom(self, kind: str) -> list[tuple[dict[str, Any], list[bytes]]]:
        """What was sent in custom messages of one type."""
        found = [
            (data.get("content", {}), buffers) for sort, data, buffers in self.__dict__["sent"] if sort == "comm_msg"
        ]
        return [(content, buffers) for content, buffers in found if content.get("type") == kind]


class Client:
    """A page that shows a widget: it says hello by itself when it notices that something is missing."""

    def __init__(self, graph: TraceGraph, name: str = "page") -> None:
        self.graph, self.page, self.count, self.seen = graph, Page(name), 0, 0

    def ask(self, op: str, **args: Any) -> Any:
        """A request and its answer's value; RuntimeError with the answer's error."""
        self.count += 1
        request = {"type": "request", "id": f"{self.page.name}:{self.count}", "op": op, **args}
        channel = self.graph._commands
        channel._handle_msg({"content": {"data": {"method": "custom", "content": request}}, "buffers": []})
        answer = channel.comm.custom("answer")[-1][0]
        assert answer["id"] == request["id"]
        if answer["ok"]:
            return answer["value"]
        raise RuntimeError(f"{answer['error']['type']}: {answer['error']['message']}")

    def hello(self) -> Any:
        known = self.page.known
        return self.ask(
            "hello", client=self.page.name, epoch=known.epoch or None, scope=known.scope, revision=known.revision,
            strings=known.strings, classes=known.classes,
        )  # fmt: skip

    def look(self) -> Page:
        """Takes in what has been sent since."""
        sent = self.graph.comm.custom("changes")
        for header, buffers in sent[self.seen :]:
            self.page.take(ChangeMessage(header, buffers))  # type: ignore[arg-type]
        self.seen = len(sent)
        return self.page

    def in_step(self) -> bool:
        self.look()
        return not self.page.behind and self.page.spans == expected(
            self.graph.traces.store, self.graph._parts.session.stream
        )


def append(folder: Path, *lines: bytes) -> None:
    with (folder / "a.jsonl").open("ab") as out:
        out.write(b"".join(lines))
