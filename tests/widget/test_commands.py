"""Requests of pages, arguments of `TraceGraph`, and what both refuse."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import ipywidgets
import pytest

from anton_notebook.errors import SpanNotFound
from anton_notebook.widget import page_session
from anton_notebook.widget.trace_graph import TraceGraph
from tests.support.pages import line
from tests.widget.fakes import Client, append, eventually


def test_selection_is_shared_by_page_and_python(graph: TraceGraph, folder: Path) -> None:
    client, heard = Client(graph), list[str]()
    graph.observe(lambda change: heard.append(change["new"]), "selected_span_id")
    assert graph.selected_span is None
    assert len(graph.selected_df) == 0
    row = graph.traces.span("s2").row
    client.ask("select", client="page", row=row)
    assert heard == ["s2"]
    assert graph.selected_span == graph.traces.span("s2")
    assert graph.selected_df["span_id"].tolist() == ["s2"]
    graph.selected_span_id = "s1"
    assert graph._selected_row == graph.traces.span("s1").row
    client.ask("select", client="page", row=None)
    assert graph.selected_span_id is None
    assert graph._selected_row == -1
    updates = [
        data["state"] for sort, data, _ in graph.comm.__dict__["sent"] if data and data.get("method") == "update"
    ]
    assert {"selected_span_id", "_selected_row"} <= {name for state in updates for name in state}


def test_selection_refuses_unknown_spans(graph: TraceGraph) -> None:
    with pytest.raises(SpanNotFound, match="s1"):
        graph.selected_span_id = "s11"
    assert graph.selected_span_id is None
    with pytest.raises(RuntimeError, match="not a span"):
        Client(graph).ask("select", client="page", row=10_000)


def test_selection_prefers_the_shown_run_for_repeated_ids(graph: TraceGraph, folder: Path) -> None:
    append(folder, line("s1", trace_id="run-2", timestamp="2026-02-01T00:00:00Z"))
    eventually(lambda: graph.traces.store.find_trace("run-2") is not None and len(graph.traces) == 2)
    graph.selected_span_id = "s1"
    assert graph.selected_span is not None
    assert graph.selected_span.trace_id == "run-2"
    graph.selected_span_id = None
    graph.trace_id = "run-1"
    graph.selected_span_id = "s1"
    assert graph.selected_span is not None
    assert graph.selected_span.trace_id == "run-1"


def test_selection_shows_the_run_of_the_span(graph: TraceGraph, folder: Path) -> None:
    append(folder, line("z", trace_id="run-2", timestamp="2026-02-01T00:00:00Z"))
    eventually(lambda: len(graph.traces) == 2)
    graph.selected_span_id = "s2"
    assert graph.trace_id == "run-1"


def test_details_hold_all_texts_in_reading_order(graph: TraceGraph, folder: Path) -> None:
    messages = [{"role": "user", "content": "é" * 70_000}, {"role": "assistant", "content": "Done."}]
    append(
        folder, line("d", parent_id="s1", messages=messages, error="it <b>failed</b>", parameters={"temperature": 0})
    )
    client = Client(graph)
    eventually(lambda: graph.traces.store.size == 4)
    epoch, row = graph.traces.store.epoch, graph.traces.span("d").row
    found = client.ask("details", epoch=epoch, row=row)
    assert [body["part"] for body in found["bodies"]] == [
        "system",
        "messages/0",
        "parameters",
        "response",
        "error",
        "raw",
    ]
    assert [body["text"] for body in found["bodies"]][3:5] == ["Done.", "it <b>failed</b>"]
    assert (found["span_id"], found["status"], found["duration_ms"], found["input_tokens"]) == (
        "d",
        "error",
        1200.5,
        100,
    )
    assert (found["line"], found["source"], found["depth"]) == (3, str(folder / "a.jsonl"), 2)
    raw = found["bodies"][-1]["text"]
    while len(raw) < found["bodies"][-1]["chars"]:
        raw += client.ask("text", epoch=epoch, row=row, part="raw", offset=len(raw))["text"]
    assert raw.encode() == (folder / "a.jsonl").read_bytes().splitlines()[2]
    long = found["bodies"][1]
    assert (len(long["text"]), long["chars"]) == (65_536, 70_000)
    rest = client.ask("text", epoch=epoch, row=row, part="messages/0", offset=65_536)
    assert (len(rest["text"]), rest["next_offset"]) == (70_000 - 65_536, None)
    with pytest.raises(RuntimeError, match="earlier reading"):
        client.ask("details", epoch="00000000", row=row)
    with pytest.raises(RuntimeError, match="no text 'nothing'"):
        client.ask("text", epoch=epoch, row=row, part="nothing", offset=0)


def test_details_name_a_missing_file(graph: TraceGraph, folder: Path) -> None:
    epoch, row = graph.traces.store.epoch, graph.traces.span("s1").row
    (folder / "a.jsonl").unlink()
    found = Client(graph).ask("details", epoch=epoch, row=row)
    assert found["span_id"] == "s1"
    assert "a.jsonl" in found["problems"][0]


def test_details_of_derived_agents_have_no_texts(graph: TraceGraph) -> None:
    above = graph.traces.span("s1").parent
    assert above is not None
    found = Client(graph).ask("details", epoch=graph.traces.store.epoch, row=above.row)
    assert (found["kind"], found["bodies"], found["source"], found["cost_usd"]) == ("orchestrator", [], None, None)


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ({"op": "detials"}, "did you mean 'details'"),
        ({"op": None}, "Unknown command"),
        ({"op": "hello", "client": 5}, "must be an integer"),
        ({"op": "hello", "client": 5, "scope": 1, "revision": 1, "strings": 1, "classes": 1}, "client must be a text"),
        ({"op": "hello", "client": "c", "scope": True, "revision": 1, "strings": 1, "classes": 1}, "scope must be"),
        ({"op": "select", "client": "c", "row": "1"}, "row must be"),
        ({"op": "select", "client": "c", "row": -5}, "row must be"),
        ({"op": "show", "client": "c", "trace_id": ["x"]}, "trace_id must be"),
        ({"op": "show", "client": "c", "trace_id": "x" * 2_000}, "trace_id must be"),
    ],
)
def test_commands_refuse_invalid_requests(graph: TraceGraph, request_: dict[str, Any], said: str) -> None:
    with pytest.raises(RuntimeError, match=said):
        Client(graph).ask(**request_)


def test_commands_ignore_other_messages(graph: TraceGraph) -> None:
    for content in (None, 1, [], {}, {"type": "request"}, {"type": "request", "id": 7, "op": "details"}):
        graph._commands._handle_custom_msg(content, [])
    assert not graph._commands.comm.custom("answer")


def test_commands_answer_with_exceptions(graph: TraceGraph, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_session, "details", lambda traces, row: 1 / 0)
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        Client(graph).ask("details", epoch=graph.traces.store.epoch, row=0)


def test_commands_answer_with_exceptions_of_observers(graph: TraceGraph) -> None:
    graph.observe(lambda change: 1 / 0, "selected_span_id")
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        Client(graph).ask("select", client="c", row=graph.traces.span("s2").row)
    assert graph.selected_span_id == "s2"


def test_commands_answer_hosts_with_one_comm(graph: TraceGraph) -> None:
    request = {"type": "request", "id": "a:1", "op": "details", "epoch": graph.traces.store.epoch, "row": 0}
    graph._handle_custom_msg(request, [])
    assert graph.comm.custom("answer")[0][0]["ok"]


def test_pages_cannot_change_permissions(folder: Path) -> None:
    graph = TraceGraph(folder, allow_rerun=False, budget=0.5)
    try:
        state = {"allow_rerun": True, "allow_replay": True, "budget": 10.0}
        graph._handle_msg({"content": {"data": {"method": "update", "state": state}}, "buffers": []})
        assert (graph.allow_rerun, graph.allow_replay, graph.budget) == (False, False, 0.5)
        assert not set(state) & set(graph.keys)
    finally:
        graph.close()


@pytest.mark.parametrize("budget", [-1, float("nan"), float("inf"), "1", True])
def test_graph_refuses_invalid_budgets(folder: Path, budget: Any) -> None:
    with pytest.raises(ValueError, match="budget"):
        TraceGraph(folder, budget=budget)


def test_graph_suggests_similar_arguments(folder: Path) -> None:
    with pytest.raises(TypeError, match="'hieght'; did you mean 'height'"):
        TraceGraph(folder, hieght=3)
    with pytest.raises(TypeError, match="it has trace_id"):
        TraceGraph(folder, zzzzz=3)


def test_traits_are_synchronized_both_ways(graph: TraceGraph) -> None:
    def from_page(**state: Any) -> None:
        graph._handle_msg({"content": {"data": {"method": "update", "state": state}}, "buffers": []})

    from_page(height=300, x_axis="order", color="cost", size="tokens")
    assert (graph.height, graph.x_axis, graph.color, graph.size) == (300, "order", "cost", "tokens")
    graph.color = "agent"
    assert graph.get_state("color") == {"color": "agent"}
    for name, value in (("x_axis", "circle"), ("color", "cots"), ("size", "agent"), ("view", "conversation")):
        with pytest.raises(Exception, match=name):
            setattr(graph, name, value)
    assert graph.get_state("_commands")["_commands"].startswith("IPY_MODEL_")


def test_layout_is_the_layout_of_ipywidgets(graph: TraceGraph) -> None:
    graph.layout.width = "50%"
    assert isinstance(graph.layout, ipywidgets.Layout)
    assert graph.get_state("layout")["layout"].startswith("IPY_MODEL_")
    graph.view = "chat"
    for container in (ipywidgets.HBox, ipywidgets.VBox, ipywidgets.Tab, ipywidgets.Accordion):
        assert container([graph]).children == (graph,)
    app = ipywidgets.AppLayout(left_sidebar=graph, center=ipywidgets.Label("center"))
    assert graph in app.children
    grid = ipywidgets.TwoByTwoLayout(top_left=graph)
    assert graph in grid.children


def test_layout_may_be_given_and_is_closed_if_created_here(folder: Path) -> None:
    shared = ipywidgets.Layout(width="70%")
    with TraceGraph(folder, layout=shared) as graph:
        assert graph.layout is shared
    assert shared.comm is not None, "a given layout belongs to the caller"
    for given, width in ((None, "100%"), ({"width": "40%"}, "40%")):
        with TraceGraph(folder, layout=given) as graph:
            created = graph.layout
            assert created.width == width
        assert created.comm is None


def test_state_holds_no_text_of_spans(folder: Path) -> None:
    secret = "sk-canary-1234"
    append(
        folder,
        line("c", response=secret, error=secret, system_prompt=secret, messages=[{"role": "user", "content": secret}]),
    )
    graph = TraceGraph(folder)
    try:
        client = Client(graph)
        client.hello()
        eventually(client.in_step)
        client.ask("select", client="page", row=graph.traces.span("c").row)
        state = {k: v for k, v in graph.get_state().items() if k not in ("_esm", "_css") and v != b""}
        saved = zlib.decompress(state.pop("_saved")[4:])
        assert b"run-1" in saved or b"strings" in saved
        assert secret.encode() not in saved
        assert secret not in json.dumps(state)
        assert secret not in json.dumps(graph._commands.get_state())
        assert secret not in repr(graph)
        assert secret not in json.dumps(graph.comm.custom("changes")[0][0])
    finally:
        graph.close()


def test_error_trait_names_only_the_kind_of_error(
    graph: TraceGraph, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(changed: object = None) -> bool:
        raise ValueError("quoting sk-canary-1234")

    monkeypatch.setattr(graph.traces.reader, "scan", fail)
    append(folder, line("x"))
    eventually(lambda: graph._error)
    assert "ValueError" in graph._error
    assert "canary" not in graph._error
    monkeypatch.undo()
    eventually(lambda: graph._error == "")


def test_repr_names_path_and_figures(graph: TraceGraph, folder: Path) -> None:
    assert repr(graph).startswith(f"<TraceGraph of {folder}: 1 runs, following ")
    bundle = graph._repr_mimebundle_()
    assert bundle is not None
    assert "application/vnd.jupyter.widget-view+json" in bundle[0]
