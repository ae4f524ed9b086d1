"""A graph without a run describes what is missing, and refuses what cannot be shown."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from anton_notebook import api
from anton_notebook.errors import TraceNotFound
from anton_notebook.widget.trace_graph import TraceGraph
from tests.support.pages import line
from tests.widget.fakes import append, eventually


def test_graph_refuses_a_dataframe(graph: TraceGraph) -> None:
    with pytest.raises(TypeError, match=r"not a DataFrame.*graph\.filter\(df\)"):
        TraceGraph(pd.DataFrame({"span_id": ["s1"]}))
    for wrong in (7, [7], None):
        with pytest.raises(TypeError, match="a path, a list of paths"):
            TraceGraph(wrong)  # type: ignore[arg-type]


def test_graph_refuses_an_unknown_run(graph: TraceGraph, folder: Path) -> None:
    with pytest.raises(TraceNotFound, match="'run-11'.*did you mean 'run-1'"):
        TraceGraph(folder, trace_id="run-11")
    with pytest.raises(TraceNotFound, match="runs_df"):
        graph.trace_id = "nowhere at all"
    assert graph.trace_id is None
    with api.read_traces(folder) as traces, pytest.raises(TraceNotFound):
        TraceGraph(traces, "zzz")


def test_waiting_describes_an_empty_folder(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "notes.txt").write_text("x")
    (folder / "src").mkdir()
    with TraceGraph(folder) as graph:
        waiting = graph.waiting
        assert waiting["path"] == str(folder)
        assert waiting["found"] == ["notes.txt", "src/"]
        assert waiting["similar"] == []
        assert ".modular-agents/traces/*.jsonl" in waiting["looked_for"]
        assert any("simulate.start" in hint for hint in waiting["hints"])
        assert any("anton-notebook record" in hint for hint in waiting["hints"])
        (folder / ".modular-agents" / "traces").mkdir(parents=True)
        append(folder / ".modular-agents" / "traces", line("s1"))
        eventually(lambda: graph.waiting == {})
        with pytest.raises(TraceNotFound, match="run-1"):
            TraceGraph(folder, trace_id="run-12")


def test_waiting_names_similar_paths(tmp_path: Path) -> None:
    (tmp_path / "shop-agent").mkdir()
    with TraceGraph(tmp_path / "shop-agnet") as graph:
        assert graph.waiting["similar"] == [str(tmp_path / "shop-agent")]
        assert any("does not exist" in hint for hint in graph.waiting["hints"])


def test_waiting_is_empty_while_a_run_is_shown(graph: TraceGraph) -> None:
    assert graph.waiting == {}


def test_dir_lists_public_names(graph: TraceGraph) -> None:
    names = [name for name in dir(graph) if not name.startswith("__")]
    assert {"filter", "highlight", "select", "watch", "to_html", "waiting", "color", "x_axis", "layout"} <= set(names)
    assert not [name for name in names if name.startswith("_")]
