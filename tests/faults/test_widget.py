"""The widget's life and its wire, case by case: W1 to W11, over a comm that loses, doubles, reorders and fails."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from anton_notebook.store import Store
from anton_notebook.widget import stream as sync
from anton_notebook.widget.protocol import ChangeMessage
from anton_notebook.widget.stream import ChangeStream
from anton_notebook.widget.trace_graph import TraceGraph
from tests.support.pages import STATUS, Hand, Page, expected, line, put, settle
from tests.widget.conftest import folder, graph, wires  # noqa: F401  (fixtures)
from tests.widget.fakes import Client, Wire, append, eventually


class Credulous(Page):
    """A page that takes every change for the next one."""

    def take(self, message: ChangeMessage) -> None:
        if message.header["from"] >= 0:
            self.known = self.known._replace(revision=message.header["from"])
        super().take(message)


def lossy(seed: int, make: Callable[[str], Page] = Page) -> bool:
    """A run over a wire that loses, doubles and reorders; whether page and store agree when the traffic has stopped."""
    store, dice, kept = Store(), random.Random(seed), list[ChangeMessage]()
    loss, pages = dice.choice([0.01, 0.1, 0.3, 0.5]), [make("a"), make("b")]

    def send(message: ChangeMessage) -> None:
        for page in pages:
            if dice.random() >= loss:
                page.take(message)
            if kept and dice.random() < loss:
                page.take(dice.choice(kept))
        kept.append(message)

    stream = ChangeStream(store, send, lambda: STATUS, Hand())
    for page in pages:
        stream.subscribe(page.name, page.known)
    for turn in range(dice.randrange(5, 30)):
        put(
            store,
            [{"id": f"s{turn}-{i}", "parent": f"s{turn - 1}-0", "start": turn} for i in range(dice.randrange(1, 4))],
        )
        stream.send_next()
        for page in pages:
            if page.behind:
                stream.subscribe(page.name, page.known)
    loss = 0.0
    kept.clear()
    behind = [page for page in pages if page.behind]
    settle(stream, behind)
    put(store, [{"id": "last"}])
    settle(stream, [page for page in pages if page.behind])
    stream.send_next()
    for page in pages:
        if page.behind:
            settle(stream, [page])
    return all(page.spans == expected(store, stream) for page in pages)


def test_W1_a_wire_that_loses_doubles_and_reorders_ends_in_agreement(request: pytest.FixtureRequest) -> None:
    runs = 1000 if request.config.getoption("--nightly") else 100
    bad = [seed for seed in range(runs) if not lossy(seed)]
    print(f"{runs - len(bad)} of {runs} lossy runs end in agreement")
    assert not bad


def test_W1_a_page_that_believes_every_message_is_caught() -> None:
    assert sum(not lossy(seed, Credulous) for seed in range(30)) > 5


def test_W3_pace_size_and_bytes(graph: TraceGraph, folder: Path) -> None:  # noqa: F811
    client = Client(graph)
    client.hello()
    eventually(client.in_step)
    before, began = len(graph.comm.custom("changes")), time.monotonic()
    for number in range(60):
        append(folder, *(line(f"l{number}-{i}") for i in range(50)))
        time.sleep(0.01)
    eventually(lambda: client.in_step() and len(client.page.spans) == 3003)
    sent = graph.comm.custom("changes")[before:]
    assert len(sent) <= 31 * (time.monotonic() - began) + 1
    sizes = [len(str(header)) + sum(map(len, buffers)) for header, buffers in sent]
    assert max(sizes) <= 1_000_000 and sum(len(b) for _, buffers in sent for b in buffers) <= 1.2 * 40 * 3003


@pytest.mark.parametrize("nth", [1, 2, 3, 7, 20, 50])
def test_W6_a_send_that_fails_at_any_place_is_made_up_for(
    graph: TraceGraph,  # noqa: F811
    folder: Path,  # noqa: F811
    wires: type[Wire],  # noqa: F811
    nth: int,
) -> None:
    wires.fails = staticmethod(lambda number: LookupError("shell_parent") if number == nth else None)
    client = Client(graph)
    client.hello()
    for number in range(12):
        append(folder, line(f"f{number}"))
        time.sleep(0.02)
        if client.look().behind:
            client.hello()
    eventually(lambda: client.in_step() or client.hello() is None)
    assert graph._parts.session.stream.failure is None


def test_W7_a_reader_that_fails_is_a_banner_and_goes_on(
    graph: TraceGraph,  # noqa: F811
    folder: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client, reader = Client(graph), graph.traces.reader
    client.hello()
    eventually(client.in_step)
    with monkeypatch.context() as patch:
        patch.setattr(type(reader), "scan", lambda self, changed=None: 1 / 0)
        append(folder, line("x"))
        eventually(lambda: "Reading the traces failed (ZeroDivisionError)" in graph._error)
    append(folder, line("y"))
    eventually(lambda: client.in_step() and len(client.page.spans) == 5 and graph._error == "")


def test_W8_dropped_without_close_and_made_again_it_is_one_thread_a_folder(folder: Path) -> None:  # noqa: F811
    graphs = [TraceGraph(folder) for _ in range(30)]
    names = [thread.name for thread in threading.enumerate()]
    assert names.count("anton_notebook live") == 1
    for one in graphs:
        one.close()
    eventually(lambda: "anton_notebook live" not in [thread.name for thread in threading.enumerate()])


def test_W10_a_page_that_slept_gets_what_it_lacks_and_no_backlog(
    graph: TraceGraph,  # noqa: F811
    folder: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client = Client(graph)
    client.hello()
    eventually(client.in_step)
    monkeypatch.setattr(sync, "CLIENT_TIMEOUT", -1.0)
    graph._parts.session.stream.due(time.monotonic())
    monkeypatch.undo()
    before = len(graph.comm.custom("changes"))
    for number in range(40):
        append(folder, *(line(f"n{number}-{i}") for i in range(10)))
        time.sleep(0.005)
    eventually(lambda: graph.traces.store.size >= 403)
    assert len(graph.comm.custom("changes")) == before, "nothing is sent to a page that sleeps"
    with pytest.raises(RuntimeError, match="subscribe again"):
        client.ask("alive", client="page")
    client.hello()
    eventually(client.in_step)
    assert len(graph.comm.custom("changes")) - before <= 3


def test_what_is_dropped_or_cut_has_a_counter_on_the_page(graph: TraceGraph, folder: Path) -> None:  # noqa: F811
    append(
        folder,
        b"{broken\n" * 300,
        line("long", response="x" * 100_000),
        line("deep", result="@").replace(b'"@"', b"[" * 300 + b"]" * 300),
    )
    client = Client(graph)
    client.hello()
    eventually(lambda: client.in_step() and client.page.status is not None and client.page.status["problems"] == 300)
    assert "300 lines" in client.page.status["sentence"]

    def details(span_id: str) -> Any:
        store = graph.traces.store
        return client.ask("details", epoch=store.epoch, row=store.row_of(span_id))

    body = next(one for one in details("long")["bodies"] if one["part"] == "response")
    assert (len(body["text"]), body["chars"]) == (65_536, 100_000)
    rest = client.ask(
        "text", epoch=graph.traces.store.epoch, row=graph.traces.store.row_of("long"), part="response", offset=65_536
    )
    assert body["text"] + rest["text"] == "x" * 100_000 and rest["next_offset"] is None
    assert any("nested deeper than 200" in problem for problem in details("deep")["problems"])
