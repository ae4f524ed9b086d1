"""Selection, highlight and filter between page and pandas, and queries of the views."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from anton_notebook.errors import AmbiguousSpan, ConditionError, SpanNotFound
from anton_notebook.widget.arguments import pack_rows, rows_argument, unpack_rows
from anton_notebook.widget.trace_graph import TraceGraph
from tests.support.pages import line
from tests.widget.fakes import Client, append, eventually


def packed(*rows: int) -> str:
    return base64.b64encode(pack_rows(rows)).decode()


def rows(packed: bytes) -> list[int] | None:
    found = unpack_rows(packed)
    return None if found is None else found.tolist()


def test_selected_df_holds_the_selection_of_the_page(graph: TraceGraph) -> None:
    heard: list[tuple[list[str], int]] = []
    graph.observe(lambda change: heard.append((change["new"], len(graph.selected_df))), "selected_span_ids")
    one, two = (graph.traces.span(name).row for name in ("s1", "s2"))
    Client(graph).ask("select_many", epoch=graph.traces.store.epoch, rows=packed(two, one))
    assert heard == [(["s2", "s1"], 2)]
    assert graph.selected_span_id == "s2" and graph._selected_row == two
    assert sorted(graph.selected_df["span_id"]) == ["s1", "s2"]
    state = [data["state"] for sort, data, _ in graph.comm.__dict__["sent"] if data and data.get("method") == "update"]
    assert [one for one in state if "_selected_row" in one][-1].keys() >= {"selected_span_id"}
    Client(graph).ask("select", client="page", row=one)
    assert graph.selected_span_ids == ["s1"] and graph._selected_rows == b""
    Client(graph).ask("select", client="page", row=None)
    assert graph.selected_span_ids == [] and len(graph.selected_df) == 0


def test_selection_accepts_frames_ids_and_spans(graph: TraceGraph) -> None:
    frame = graph.traces.spans_df()
    one, two = (graph.traces.span(name).row for name in ("s1", "s2"))
    graph.selected_span_ids = ["s1", "s2"]
    assert rows(graph._selected_rows) == [one, two] and graph.selected_span_id == "s1"
    for given in (
        frame[frame.span_id == "s2"],
        frame.span_id[frame.span_id == "s2"],
        ["s2"],
        "s2",
        graph.traces.span("s2"),
    ):
        graph.highlight(None)
        assert rows(graph._bright_rows) is None
        graph.highlight(given)
        assert rows(graph._bright_rows) == [two]
    graph.filter(frame)
    assert sorted(rows(graph._only_rows) or []) == sorted(graph.traces.span(name).row for name in frame.span_id)
    graph.filter(frame.iloc[:0])
    assert rows(graph._only_rows) == []
    graph.filter(None)
    assert rows(graph._only_rows) is None


def test_selection_refuses_unknown_rows_unchanged(graph: TraceGraph) -> None:
    graph.selected_span_ids = ["s1"]
    with pytest.raises(SpanNotFound, match="s1"):
        graph.highlight(["s11"])
    with pytest.raises(SpanNotFound):
        graph.selected_span_ids = ["s1", "nobody"]
    with pytest.raises(ValueError, match="span_id.*spans_df"):
        graph.filter(graph.traces.spans_df()[["cost_usd"]])
    client = Client(graph)
    epoch = graph.traces.store.epoch
    for bad in (packed(99_999), packed(-1), "no base64 at all!", 7, None):
        with pytest.raises(RuntimeError, match="ValueError"):
            client.ask("select_many", epoch=epoch, rows=bad)
    with pytest.raises(RuntimeError, match="earlier reading"):
        client.ask("select_many", epoch="other", rows=packed(0))
    assert graph.selected_span_ids == ["s1"]


def test_selection_accepts_conditions(graph: TraceGraph, folder: Path) -> None:
    append(folder, line("t1", span_type="tool", tool_name="read_file", parent_id="s1"))
    eventually(lambda: "t1" in set(graph.traces.spans_df().span_id))
    row = {name: graph.traces.span(name).row for name in ("s1", "s2", "t1")}
    graph.filter("kind == 'llm'")
    assert sorted(rows(graph._only_rows) or []) == sorted([row["s1"], row["s2"]])
    graph.highlight("name.str.contains('read')")
    assert rows(graph._bright_rows) == [row["t1"]]
    graph.select("kind == 'tool' and duration_ms > 0")
    assert graph.selected_span_ids == ["t1"]
    graph.filter("cost_usd > 1e9")
    assert rows(graph._only_rows) == []
    with pytest.raises(ConditionError, match="No column 'cost'.*cost_usd"):
        graph.filter("cost > 1")
    with pytest.raises(ConditionError, match="not a condition"):
        graph.highlight("kind ==")
    with pytest.raises(SpanNotFound, match="s1"):
        graph.select("s11")
    assert graph.selected_span_ids == ["t1"]


def test_selection_resolves_repeated_ids(graph: TraceGraph, folder: Path) -> None:
    append(folder, line("s1", trace_id="run-2", timestamp="2026-02-01T00:00:00Z"))
    append(folder, line("s1", trace_id="run-3", timestamp="2026-03-01T00:00:00Z"))
    eventually(lambda: len(graph.traces) == 3)
    graph.highlight(["s1"])  # the one on the screen
    assert rows(graph._bright_rows) == [graph.traces.span("s1", trace_id="run-3").row]
    graph.highlight(graph.traces.spans_df().query("span_id == 's1'"))
    assert len(rows(graph._bright_rows) or []) == 3
    graph.trace_id = "run-1"
    append(folder, line("only", trace_id="run-2"), line("only", trace_id="run-3"))
    eventually(lambda: (graph.traces.spans_df().span_id == "only").sum() == 2)
    with pytest.raises(AmbiguousSpan, match="run-2"):
        graph.filter(["only"])


def test_arguments_unpack_rows() -> None:
    assert rows_argument({"rows": packed(3, 1, 2)}).tolist() == [3, 1, 2]
    assert rows(pack_rows([])) == [] and rows(b"") is None
    assert len(pack_rows(range(1_000_000))) == 4_000_004


def test_view_is_a_validated_trait(graph: TraceGraph) -> None:
    assert graph.view == "graph"
    graph.view = "timeline"
    with pytest.raises(Exception, match="timetable"):
        graph.view = "timetable"


def call(span_id: str, at: int, messages: list[dict[str, str]], response: str, **more: Any) -> bytes:
    return line(
        span_id, type="llm_call", agent="coder", module_name="coder", timestamp=f"2026-01-01T00:00:{at:02}Z", messages=messages,
        response=response, **{"system_prompt": "be brief", **more},
    )  # fmt: skip


def test_conversation_shows_each_message_once(tmp_path: Path) -> None:
    ask, answer = {"role": "user", "content": "write it"}, {"role": "assistant", "content": "which file?"}
    more = {"role": "user", "content": "cache.py"}
    (tmp_path / "a.jsonl").write_bytes(
        call("c1", 1, [ask], "which file?", system_prompt="be brief")
        + call("c2", 2, [ask, answer, more], "done", system_prompt="be brief")
        + call(
            "c3",
            3,
            [ask, answer, more, {"role": "assistant", "content": "done"}, {"role": "user", "content": "x" * 9000}],
            "ok",
        )
    )
    with TraceGraph(tmp_path) as graph:
        client, store = Client(graph), graph.traces.store
        found = client.ask("conversation", epoch=store.epoch, row=graph.traces.span("c2").row, offset=0)
        told = [[(one["role"], one["text"][:20]) for one in step["said"]] for step in found["calls"]]
        assert told == [
            [("system", "be brief"), ("user", "write it"), ("assistant", "which file?")],
            [("user", "cache.py"), ("assistant", "done")],
            [("user", "x" * 20), ("assistant", "ok")],
        ]
        assert (found["total"], found["next"]) == (3, None)
        long = found["calls"][2]["said"][0]
        assert (len(long["text"]), long["chars"]) == (6000, 9000)
        piece = client.ask("text", epoch=store.epoch, row=found["calls"][2]["row"], part=long["part"], offset=6000)
        assert piece["text"] == "x" * 3000
        later = client.ask("conversation", epoch=store.epoch, row=graph.traces.span("c2").row, offset=1)
        assert later["calls"] == found["calls"][1:]


def test_view_queries_search_bodies(graph: TraceGraph, folder: Path) -> None:
    append(folder, line("s3", messages=[{"role": "user", "content": "find the NEEDLE here"}]))
    eventually(lambda: "s3" in set(graph.traces.spans_df().span_id))
    client = Client(graph)
    name = client.ask("find", text="needle")["search"]
    eventually(lambda: client.ask("found", search=name, since=0)["done"])
    said = client.ask("found", search=name, since=0)
    assert rows_argument(said).tolist() == [graph.traces.span("s3").row]
    assert said["looked"] == said["total"] >= 3
    client.ask("stop_finding", search=name)
    with pytest.raises(RuntimeError, match="empty"):
        client.ask("find", text=" ")


def test_view_queries_compare_runs(tmp_path: Path) -> None:
    same = call("c1", 1, [{"role": "user", "content": "a"}], "one")
    (tmp_path / "a.jsonl").write_bytes(same + call("c2", 2, [{"role": "user", "content": "b"}], "two"))
    other = call("d2", 2, [{"role": "user", "content": "b"}], "three, and nothing else").decode()
    branch = [json.loads(text) for text in (same.decode(), other)]
    for record in branch:
        record["trace_id"] = "run-2"
    (tmp_path / "b.jsonl").write_text("\n".join(json.dumps(record) for record in branch) + "\n")
    with TraceGraph(tmp_path, trace_id="run-1") as graph:
        client = Client(graph)
        said = client.ask("compare", left="run-1", right="run-2", offset=0)
        calls = [pair for pair in said["pairs"] if pair["left"] and pair["left"]["kind"] == "llm"]
        assert [pair["differs"] for pair in calls] == [[], ["response"]]
        assert said["parts"] == said["pairs"].index(calls[1]) and said["differing"] == 1
        both = {side: calls[1][side]["row"] for side in ("left", "right")}
        words = client.ask("difference", epoch=graph.traces.store.epoch, field="response", **both)["stretches"]
        assert "".join(old for _, old, _ in words) == "two"
        assert "".join(new for _, _, new in words) == "three, and nothing else"
        with pytest.raises(RuntimeError, match="TraceNotFound"):
            client.ask("compare", left="run-1", right="nowhere", offset=0)
