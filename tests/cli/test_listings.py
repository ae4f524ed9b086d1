"""The commands that list and show: `runs`, `spans`, `show`, `tree`, `costs`, `watch`, `notebook`."""

from __future__ import annotations

import json
from pathlib import Path

import nbformat
import pytest

import anton_notebook as anb
from anton_notebook.cli import main
from anton_notebook.cli.notebook import write_notebook
from anton_notebook.simulate import TRACES, play
from anton_notebook.simulate.plan import plan


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("agents")
    play([event._replace(at=0) for event in plan(seed=3, agents=3, spans=40)], place / TRACES)
    return place


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], folder: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "160")

    def call(*words: str) -> tuple[int, str, str]:
        code = main(words)
        out, err = capsys.readouterr()
        return code, out, err

    return call


def test_runs_lists_each_run_with_its_cost(run, folder: Path) -> None:  # type: ignore[no-untyped-def]
    code, out, _ = run("runs")
    frame = anb.read_traces(folder).runs_df()
    assert code == 0
    assert f"{len(frame)} run" in out
    assert str(frame["trace_id"].iloc[0])[:12] in out


def test_runs_json_equals_the_frame(run, folder: Path) -> None:  # type: ignore[no-untyped-def]
    _, out, _ = run("runs", "--json")
    rows = [json.loads(line) for line in out.splitlines()]
    frame = anb.read_traces(folder).runs_df().iloc[::-1]
    assert [row["trace_id"] for row in rows] == list(frame["trace_id"])
    assert [row["cost_usd"] for row in rows] == pytest.approx(list(frame["cost_usd"]))


def test_spans_filters_and_sorts(run, folder: Path) -> None:  # type: ignore[no-untyped-def]
    _, out, _ = run("spans", "--kind", "llm", "--sort", "cost", "--json")
    costs = [json.loads(line)["cost_usd"] for line in out.splitlines()]
    frame = anb.read_traces(folder).spans_df(kind="llm")
    assert len(costs) == min(len(frame), 50)
    assert costs == sorted(costs, reverse=True)
    _, out, _ = run("spans", "--where", "duration_ms > 1e12")
    assert out.strip() == "No spans match."


def test_spans_where_reports_an_unknown_column(run) -> None:  # type: ignore[no-untyped-def]
    code, _, err = run("spans", "--where", "prize > 1")
    assert code == 2
    assert "prize" in err
    assert "Columns are" in err


def test_spans_takes_a_prefix_of_a_run(run, folder: Path) -> None:  # type: ignore[no-untyped-def]
    trace_id = str(anb.read_traces(folder).runs_df()["trace_id"].iloc[-1])
    _, out, _ = run("spans", trace_id[:8], "--json", "--limit", "1000")
    assert {json.loads(line)["trace_id"] for line in out.splitlines()} == {trace_id}


def test_show_prints_messages_and_answer_of_a_call(run, folder: Path) -> None:  # type: ignore[no-untyped-def]
    traces = anb.read_traces(folder)
    span = traces.span(str(traces.spans_df(kind="llm")["span_id"].iloc[0]))
    code, out, _ = run("show", span.span_id[:14])
    assert code == 0
    assert span.span_id in out
    assert (span.response.text or "").splitlines()[0][:60] in out
    _, out, _ = run("show", span.span_id, "--json")
    assert json.loads(out)["response"] == span.response.text


def test_show_reports_an_unknown_span(run) -> None:  # type: ignore[no-untyped-def]
    code, out, err = run("show", "zzz")
    assert (code, out) == (1, "")
    assert "zzz" in err


def test_tree_shows_every_span_of_the_run(run, folder: Path) -> None:  # type: ignore[no-untyped-def]
    traces = anb.read_traces(folder)
    trace_id = str(traces.runs_df()["trace_id"].iloc[-1])
    code, out, _ = run("tree")
    assert code == 0
    frame = traces.spans_df()
    assert len(out.splitlines()) == 1 + int((frame["trace_id"] == trace_id).sum())


def test_costs_sum_to_the_total(run, folder: Path) -> None:  # type: ignore[no-untyped-def]
    _, out, _ = run("costs", "--by", "agent,model", "--json")
    total = sum(json.loads(line)["cost_usd"] or 0 for line in out.splitlines())
    assert total == pytest.approx(anb.read_traces(folder).spans_df()["cost_usd"].sum())


def test_watch_once_prints_the_agents(run, folder: Path) -> None:  # type: ignore[no-untyped-def]
    code, out, _ = run("watch", "--once")
    assert code == 0
    assert "Agents of the newest run" in out
    assert "orchestrator" in out


@pytest.mark.parametrize("command", ["runs", "spans", "costs", "checkpoints"])
def test_empty_results_are_a_sentence(run, command: str, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "traces").mkdir()
    (tmp_path / "traces" / "a.jsonl").write_text("")
    words = (command, str(tmp_path)) if command != "spans" else ("spans", str(tmp_path))
    code, out, _ = run(*words)
    assert code == 0
    assert out.startswith(("No ", "0 "))


def test_notebook_is_written_once_and_runs_on_the_folder(tmp_path: Path) -> None:
    target = tmp_path / "traces.ipynb"
    write_notebook(target, ".")
    page = nbformat.read(target, as_version=4)
    assert "read_traces('.', follow=True)" in page.cells[0].source
    target.write_text("mine")
    write_notebook(target, ".")
    assert target.read_text() == "mine"
