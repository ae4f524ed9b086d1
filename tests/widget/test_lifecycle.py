"""Creation and closing of `TraceGraph`: threads, memory, cells that run again."""

from __future__ import annotations

import gc
import threading
import tracemalloc
import weakref
from pathlib import Path

import pytest

from anton_notebook import api
from anton_notebook.errors import MissingBundle, PathNotFound
from anton_notebook.widget import bundle, cell_lifetime
from anton_notebook.widget import stream as sync
from anton_notebook.widget.trace_graph import TraceGraph
from tests.support.pages import line
from tests.widget.fakes import Client, Wire, append, eventually


def test_closed_graph_sends_nothing(graph: TraceGraph, folder: Path) -> None:
    client = Client(graph)
    client.hello()
    eventually(client.in_step)
    stream, line_out, channel = graph._parts.session.stream, graph.comm, graph._commands
    live = graph.traces.live
    assert live is not None
    graph.close()
    graph.close()
    assert live.closed
    append(folder, line("x"))
    stream.send_next()
    assert line_out.__dict__["sent"][-1][0] == "comm_close"
    assert channel.comm is None
    assert stream.due(0.0) is None


def test_closing_the_comm_ends_the_reader_thread(graph: TraceGraph) -> None:
    live = graph.traces.live
    assert live is not None
    graph.comm.handle_close({})
    assert live.closed


def test_missing_bundle_names_the_command(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "STATIC", folder / "static")
    with pytest.raises(MissingBundle, match="npm run build"):
        TraceGraph(folder)


def test_refused_path_leaves_no_thread(tmp_path: Path) -> None:
    with pytest.raises(PathNotFound):
        TraceGraph(tmp_path / "no" / "such" / "place" / "at" / "all")
    assert not [t for t in threading.enumerate() if t.name == "anton_notebook live"]


def test_graphs_of_one_folder_share_a_thread(folder: Path) -> None:
    graphs = [TraceGraph(folder) for _ in range(5)]
    live = [t for t in threading.enumerate() if t.name == "anton_notebook live"]
    assert len(live) == 1
    for graph in graphs:
        assert live[0].is_alive()
        graph.close()
    live[0].join(1.0)
    assert not live[0].is_alive()


def test_given_traces_stay_open(folder: Path) -> None:
    with api.read_traces(folder, follow=True) as traces:
        TraceGraph(traces).close()
        assert traces.live is not None
        assert not traces.live.closed


def test_unfollowed_traces_are_shown_unchanged(folder: Path) -> None:
    with api.read_traces(folder) as traces:
        graph = TraceGraph(traces)
        client = Client(graph)
        client.hello()
        eventually(client.in_step)
        assert client.page.status == {"live": False, "following": "off", "problems": 0, "sentence": ""}
        graph.close()


class Cells:
    """The cell that runs, as ipykernel tells it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.cell, self.run = "c1", 0
        monkeypatch.setattr(cell_lifetime, "current_cell", lambda: (self.cell, str(self.run)))

    def start(self, cell: str) -> None:
        self.cell, self.run = cell, self.run + 1


def test_cell_run_again_closes_its_graphs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cells, threads = Cells(monkeypatch), threading.active_count()
    cells.start("c1")
    first, second = TraceGraph(folder), TraceGraph(folder)
    cells.start("c2")
    other = TraceGraph(folder)
    assert first.comm is not None
    cells.start("c1")
    third = TraceGraph(folder)
    assert (first.comm, second.comm) == (None, None)
    assert None not in (other.comm, third.comm)
    for _ in range(100):
        cells.start("c1")
        TraceGraph(folder)
    assert (
        len([w for w in Wire.all.values() if not w._closed]) == 6
    )  # the other cell's graph and the last one: three comms each, with the layout
    other.close()
    cells.start("c1")
    TraceGraph(folder).close()
    eventually(lambda: threading.active_count() <= threads + 1)  # the sender may linger
    assert not cell_lifetime._widgets


def test_cell_run_a_hundred_times_keeps_memory(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cells = Cells(monkeypatch)

    def run(times: int) -> int:
        for _ in range(times):
            cells.start("c1")
            TraceGraph(folder)
            Wire.all.clear()
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    run(2)
    tracemalloc.start()
    try:
        once = run(1)
        assert run(100) <= 2 * once + 100_000
    finally:
        tracemalloc.stop()


def test_closed_graph_is_collected(folder: Path) -> None:
    graph = TraceGraph(folder)
    gone, store = weakref.ref(graph), weakref.ref(graph.traces.store)
    client = Client(graph)
    client.hello()
    eventually(client.in_step)
    graph.close()
    Wire.all.clear()
    del graph, client
    gc.collect()
    eventually(lambda: (gc.collect(), gone() is None and store() is None)[1])


def test_sender_thread_ends_without_listeners(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sync, "IDLE_TIMEOUT", 0.05)
    sync.SENDER.wake()
    graph = TraceGraph(folder)
    client = Client(graph)
    client.hello()
    eventually(client.in_step)
    client.ask("bye", client="page")
    eventually(lambda: not [t for t in threading.enumerate() if t.name == "anton_notebook sender"])
    client.hello()
    append(folder, line("x"))
    eventually(client.in_step)
    graph.close()
