"""Fixtures: graphs over a comm that is not Jupyter's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import comm
import pytest
from ipywidgets.widgets.widget import _instances

from anton_notebook.widget.trace_graph import TraceGraph
from tests.support.pages import line
from tests.widget.fakes import Wire


@pytest.fixture(autouse=True)
def wires(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Wire]]:
    monkeypatch.setattr(comm, "create_comm", Wire)
    monkeypatch.setattr(Wire, "all", {})
    monkeypatch.setattr(Wire, "fails", staticmethod(lambda number: None))
    monkeypatch.setattr(Wire, "number", 0)
    yield Wire
    for one in list(_instances.values()):
        one.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a.jsonl").write_bytes(line("s1") + line("s2", parent_id="s1"))
    return tmp_path


@pytest.fixture
def graph(folder: Path) -> Iterator[TraceGraph]:
    with_thread = TraceGraph(folder)
    yield with_thread
    with_thread.close()
