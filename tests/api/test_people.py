"""What users of pandas expect of traces: indexing, filters, summaries and exports to other libraries."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

import anton_notebook as anb
from anton_notebook.errors import TraceNotFound


def record(span_id: str, run: str, minute: int, **more: object) -> str:
    fields: dict[str, object] = {
        "timestamp": f"2026-02-01T10:{minute:02}:00Z",
        "agent_name": "planner",
        "trace_id": run,
        "span_id": span_id,
        "span_type": "llm_call",
        "model": "gpt-4o",
        "provider": "openai",
        "duration_ms": 1000.0,
        "tokens": {"input": 1000, "output": 100},
    }
    return json.dumps(fields | more) + "\n"


@pytest.fixture
def traces(tmp_path: Path) -> anb.Traces:
    lines = [
        record("a1", "later", 30),
        record("b1", "first", 5, agent_name="coder", model="gpt-4o-mini"),
        record("b2", "first", 6, agent_name="coder", success=False, error="<script> rate limit", parent_id="b1"),
        record(
            "b3",
            "first",
            7,
            agent_name="coder",
            span_type="tool_call",
            tool_name="ls",
            parent_id="b1",
            tokens=None,
            model=None,
        ),
    ]
    (tmp_path / "t.jsonl").write_text("".join(lines))
    return anb.read_traces(tmp_path)


def test_traces_are_indexed_by_start(traces: anb.Traces) -> None:
    assert [traces[0].trace_id, traces[-1].trace_id, traces.latest.trace_id] == ["first", "later", "later"]
    assert traces.runs_df()["trace_id"].tolist() == ["first", "later"]
    with pytest.raises(TraceNotFound, match="There is no run 2: 2 runs were read"):
        traces[2]


def test_spans_df_filters_by_status_agent_model_and_run(traces: anb.Traces) -> None:
    def ids(**chosen: object) -> list[str]:
        return sorted(traces.spans_df(kind=["llm", "tool"], **chosen)["span_id"])

    assert ids(status="error") == ["b2"]
    assert ids(agent="coder") == ["b1", "b2", "b3"]
    assert ids(agent=["coder", "planner"], model="gpt-4o") == ["a1", "b2"]
    assert ids(run="later") == ["a1"]
    assert sorted(traces["first"].spans_df(status="error")["span_id"].tolist()) == ["b2"]


@pytest.mark.parametrize(
    ("chosen", "error", "message"),
    [
        ({"kind": "foo"}, ValueError, "No span is of kind 'foo'"),
        ({"kind": "tols"}, ValueError, "did you mean 'tool'"),
        ({"status": "failed"}, ValueError, "use running, ok, error"),
        ({"agent": "codr"}, ValueError, "did you mean 'coder'"),
        ({"model": "gpt-4"}, ValueError, "did you mean 'gpt-4o'"),
        ({"run": "frist"}, TraceNotFound, "did you mean 'first'"),
    ],
)
def test_spans_df_names_similar_values(
    traces: anb.Traces, chosen: dict[str, str], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        traces.spans_df(**chosen)


def test_frames_begin_with_the_columns_that_people_read(traces: anb.Traces) -> None:
    spans = traces.spans_df().columns.tolist()
    assert spans[:5] == ["agent", "kind", "name", "status", "start"]
    assert spans[5:11] == ["duration_ms", "model", "input_tokens", "output_tokens", "cost_usd", "error"]
    assert spans[-4:] == ["original_trace_id", "original_span_id", "source", "line"]
    assert traces.runs_df().columns.tolist()[:4] == ["name", "status", "start", "duration_ms"]


def test_describe_counts_models_and_tools(traces: anb.Traces) -> None:
    table = traces.describe().set_index(["kind", "name"])
    assert table["calls"].to_dict() == {("llm", "gpt-4o"): 2, ("llm", "gpt-4o-mini"): 1, ("tool", "ls"): 1}
    assert table.loc[("llm", "gpt-4o"), "errors"] == 1
    assert table.loc[("llm", "gpt-4o"), "input_tokens"] == 2000
    assert table.loc[("llm", "gpt-4o"), ["p50_ms", "p95_ms", "p99_ms"]].tolist() == [1000.0, 1000.0, 1000.0]
    assert pd.isna(table.loc[("tool", "ls"), "cost_usd"])
    assert pd.isna(table.loc[("tool", "ls"), "input_tokens"])


def test_describe_of_no_traces_is_empty(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text("")
    assert anb.read_traces(tmp_path / "t.jsonl").describe().empty


def test_tree_shows_each_span_below_its_parent_and_escapes_html(traces: anb.Traces) -> None:
    text = str(traces["first"].tree())
    lines = text.splitlines()
    at = {name: next(i for i, line in enumerate(lines) if name in line) for name in ("gpt-4o-mini", "rate limit", "ls")}
    assert at["gpt-4o-mini"] < at["rate limit"] < at["ls"]
    assert lines[at["ls"]].index("tool") > lines[at["gpt-4o-mini"]].index("llm")
    assert "1,000 → 100 tokens" in text
    html = traces["first"].tree()._repr_html_()
    assert "<script>" not in html
    assert "&lt;script&gt; rate limit" in html


def test_to_networkx_has_the_spans_and_their_parents(traces: anb.Traces) -> None:
    networkx = pytest.importorskip("networkx")
    graph = traces["first"].to_networkx()
    spans = traces["first"].spans_df()
    assert set(graph) == set(spans["span_id"])
    assert set(graph.successors("b1")) == {"b2", "b3"}
    assert graph.nodes["b1"]["model"] == "gpt-4o-mini"
    assert networkx.is_directed_acyclic_graph(graph)


def test_to_arrow_round_trips(traces: anb.Traces) -> None:
    table = traces.to_arrow()
    spans = traces.spans_df()
    assert table.column_names == spans.columns.tolist()
    assert table.num_rows == len(spans)
    pd.testing.assert_series_equal(table.to_pandas()["cost_usd"], spans["cost_usd"])


def test_to_polars_has_the_same_spans(traces: anb.Traces) -> None:
    polars = pytest.importorskip("polars")
    frame = traces.to_polars()
    assert isinstance(frame, polars.DataFrame)
    assert frame["span_id"].to_list() == traces.spans_df()["span_id"].tolist()


def test_costs_takes_a_path(traces: anb.Traces, tmp_path: Path) -> None:
    pd.testing.assert_frame_equal(anb.costs(tmp_path, by="day"), anb.costs(traces, by="day"))
    pd.testing.assert_frame_equal(anb.costs(str(tmp_path), by="day"), anb.costs(traces, by="day"))
