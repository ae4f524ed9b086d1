"""A graph that follows the proxy's database while a real writer works on it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from anton_notebook.widget.trace_graph import TraceGraph
from tests.conftest import ROOT
from tests.sources.proxy.test_database import WRITER
from tests.support.proxies import Proxy
from tests.widget.fakes import Client, Wire, eventually

ROWS = 300


def test_page_gets_each_row_of_the_proxy_once(
    wires: type[Wire], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    proxy = Proxy(tmp_path / "p.db")
    proxy.close()
    graph = TraceGraph(proxy.path)
    try:
        client, store = Client(graph), graph.traces.store
        client.hello()
        command = [sys.executable, "-c", WRITER, str(ROOT), str(proxy.path), str(ROWS), "200"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr  # its timeout is sqlite3's default
        eventually(lambda: sum(trace.figures["llm_calls"] for trace in graph.traces) == ROWS, 30)
        eventually(lambda: client.in_step() and not (store.c.status[: store.size] == 0).any(), 30)
        shown = [store.span_id(row) for row in client.page.spans]
        assert sorted(name for name in shown if "-" not in name) == sorted(f"c{i}" for i in range(ROWS))
        assert len(shown) == len(set(shown)) == len(store.live_rows())
        assert len(graph.comm.custom("changes")) > 10  # as they came, not at the end
    finally:
        graph.close()
