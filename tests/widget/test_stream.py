"""The change stream: completeness, rate, failures, and pages that come and go."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from anton_notebook.widget import stream
from anton_notebook.widget.trace_graph import TraceGraph
from tests.support.pages import line
from tests.widget.fakes import Client, Wire, append, eventually


def test_stream_sends_a_snapshot_then_changes(graph: TraceGraph, folder: Path) -> None:
    client = Client(graph)
    assert client.hello() == {"subshell": False}
    eventually(client.in_step)
    assert {"s1", "s2"} <= {graph.traces.store.span_id(row) for row in client.page.spans}
    for i in range(20):
        append(folder, line(f"x{i}"))
    eventually(lambda: client.in_step() and len(client.page.spans) == 23)
    assert all(header["from"] >= 0 for header, _ in graph.comm.custom("changes")[1:])
    assert client.page.status["following"] == "inotify"


def test_stream_sends_nothing_without_pages(graph: TraceGraph, folder: Path) -> None:
    append(folder, line("x"))
    eventually(lambda: graph.traces.store.size >= 4)
    time.sleep(0.1)
    assert not graph.comm.custom("changes")
    client = Client(graph)
    client.hello()
    eventually(client.in_step)
    client.ask("bye", client="page")
    before = len(graph.comm.custom("changes"))
    append(folder, line("y"))
    eventually(lambda: graph.traces.store.size >= 5)
    time.sleep(0.1)
    assert len(graph.comm.custom("changes")) == before
    client.hello()
    eventually(client.in_step)
    assert graph.comm.custom("changes")[-1][0]["from"] >= 0  # it still had the rest


def test_stream_forgets_silent_pages(graph: TraceGraph, monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client(graph)
    client.hello()
    assert client.ask("alive", client="page") == {}
    monkeypatch.setattr(stream, "CLIENT_TIMEOUT", -1.0)
    graph._parts.session.stream.due(time.monotonic())
    monkeypatch.undo()
    assert graph._parts.session.stream.clients == 0
    with pytest.raises(RuntimeError, match="subscribe again"):
        client.ask("alive", client="page")


def test_stream_limits_its_rate(graph: TraceGraph, folder: Path) -> None:
    client = Client(graph)
    client.hello()
    eventually(client.in_step)
    before, began, i = len(graph.comm.custom("changes")), time.monotonic(), 0
    while time.monotonic() - began < 1.5:
        append(folder, line(f"l{i}"))
        i += 1
        time.sleep(0.001)
    seconds = time.monotonic() - began
    assert len(graph.comm.custom("changes")) - before <= 31 * seconds + 1
    eventually(lambda: client.in_step() and len(client.page.spans) == i + 3)


def test_stream_keeps_pages_in_step(graph: TraceGraph, folder: Path) -> None:
    first, second, late = (Client(graph, name) for name in ("one", "two", "late"))
    first.hello()
    second.hello()
    append(folder, line("x"), line("r2", trace_id="run-2", timestamp="2026-02-01T00:00:00Z"))
    eventually(lambda: first.in_step() and second.in_step())
    late.hello()
    append(folder, line("y", trace_id="run-2"))
    eventually(lambda: first.in_step() and second.in_step() and late.in_step())
    assert first.page.runs == second.page.runs == late.page.runs
    assert first.page.shown == ["run-2"]  # the newest


@pytest.mark.parametrize("error", [LookupError("shell_parent"), OSError("closed"), RuntimeError("gone"), SystemExit()])
@pytest.mark.parametrize("every", [1, 2, 3, 5])
def test_stream_loses_nothing_when_sends_fail(
    graph: TraceGraph, folder: Path, wires: type[Wire], error: BaseException, every: int
) -> None:
    failed = list[int]()

    def fails(number: int) -> BaseException | None:
        if number % every or len(failed) > 6:
            return None
        failed.append(number)
        return error

    wires.fails = staticmethod(fails)
    client = Client(graph)
    client.hello()
    for i in range(8):
        append(folder, line(f"f{i}"))
        time.sleep(0.04)
        if client.look().behind:
            client.hello()
    wires.fails = staticmethod(lambda number: None)
    client.hello()
    eventually(client.in_step)
    assert failed
    assert graph._parts.session.stream.failure is None


def test_page_selects_the_run(graph: TraceGraph, folder: Path) -> None:
    append(folder, line("z", trace_id="run-2", timestamp="2026-02-01T00:00:00Z"))
    client, heard = Client(graph), list[str]()
    graph.observe(lambda change: heard.append(change["new"]), "trace_id")
    client.hello()
    eventually(lambda: client.in_step() and client.page.shown == ["run-2"])
    client.ask("show", client="page", trace_id="run-1")
    eventually(lambda: client.in_step() and client.page.shown == ["run-1"])
    client.ask("show", client="page", trace_id=None)
    eventually(lambda: client.in_step() and client.page.shown == ["run-2"])
    assert heard == ["run-1", None]


def test_stream_waits_for_a_run_that_a_page_expects(graph: TraceGraph, folder: Path) -> None:
    client = Client(graph)
    client.hello()
    eventually(client.in_step)
    client.ask("show", client="page", trace_id="later")
    eventually(lambda: "waiting for the run 'later'" in client.look().status["sentence"])
    assert client.page.spans == {}
    assert any("'later'" in hint for hint in graph.waiting["hints"])
    append(folder, line("l", trace_id="later"))
    eventually(lambda: client.in_step() and client.page.shown == ["later"])
    eventually(lambda: client.look().status["sentence"] == "")
    assert graph.waiting == {}


def test_stream_waits_for_a_missing_folder(tmp_path: Path) -> None:
    graph = TraceGraph(tmp_path / ".modular-agents" / "traces")
    try:
        client = Client(graph)
        client.hello()
        (tmp_path / ".modular-agents" / "traces").mkdir(parents=True)
        (tmp_path / ".modular-agents" / "traces" / "a.jsonl").write_bytes(line("s"))
        eventually(lambda: client.in_step() and len(client.page.spans) == 2)
    finally:
        graph.close()


def test_status_counts_bad_lines(graph: TraceGraph, folder: Path) -> None:
    client = Client(graph)
    client.hello()
    eventually(client.in_step)
    append(folder, b"{broken\n", b"[1, 2]\n")
    eventually(lambda: client.look().status["problems"] == 2)
    assert "2 lines" in client.page.status["sentence"]
