"""anton's other files: progress, checkpoints and knowledge, joined to the runs they are about, and followed."""

from __future__ import annotations

import json
import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import anton_notebook as anb
from anton_notebook.sources.anton import join_progress
from anton_notebook.sources.anton.join_progress import words
from anton_notebook.sources.anton.repo_files import Progress
from anton_notebook.widget.details import details
from tests.support.proxies import BEGIN, Proxy, run_of, system, user

SECOND = 1_000_000
START = int(pd.Timestamp(BEGIN, tz="UTC").timestamp()) * SECOND


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))


def local(seconds: float, ahead: float = 0.0) -> str:
    """A time as anton writes it: local, without a zone."""
    return (BEGIN + timedelta(seconds=seconds, hours=ahead)).isoformat()


def progress(folder: Path, task: str = "0a1b2c3d", **more: Any) -> Path:
    """Writes a progress file."""
    said: dict[str, Any] = {
        "task_id": task, "task_description": "Add a cache", "status": "completed", "total_phases": 2, "completed_phases": 2,
        "current_phase": 1, "total_subtasks": 4, "completed_subtasks": 4, "failed_subtasks": 0, "blocked_subtasks": 0,
        "start_time": local(-1), "last_update": local(8), "estimated_completion": None, "metadata": {},
    }  # fmt: skip
    path = folder / ".modular-agents" / "progress" / f"{task}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(said | more))
    return path


def checkpoint(
    folder: Path,
    phase: int,
    at: float,
    task: str = "0a1b2c3d",
    ahead: float = 0.0,
    subtasks: tuple[str, ...] = (),
    description: str = "",
) -> None:
    """Writes one of anton's checkpoints."""
    name = f"phase{phase}_{phase:08x}"
    path = folder / ".modular-agents" / "checkpoints" / task / f"checkpoint_{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    said = {
        "task_id": task,
        "checkpoint_id": name,
        "timestamp": local(at, ahead),
        "phase_index": phase,
        "total_phases": 2,
        "task_description": description,
        "completed_subtasks": [{"subtask_id": f"{task}_st_{i}", "status": s} for i, s in enumerate(subtasks)],
    }
    path.write_text(json.dumps({**said, "agent_states": {"api": {"retry_count": {}, "conversation_history": []}}}))


@pytest.fixture
def proxy(tmp_path: Path) -> Proxy:
    (tmp_path / ".modular-agents").mkdir()
    return Proxy(tmp_path / "proxy_traces.db")


def test_the_corpus_s_phases_marks_and_words(corpus: Path) -> None:
    for name in ("anton-proxy", "anton-jsonl"):
        traces = anb.read_traces(corpus / name)
        runs = [trace.figures for trace in traces]
        full = [run for run in runs if run["phases"]]
        assert len(full) == (2 if name == "anton-proxy" else 3)
        assert sum(len(run["marks"]) for run in runs) == (4 if name == "anton-proxy" else 6)
        for run in full:
            assert run["progress"] == "completed, 2 of 2 phases, 4 of 4 subtasks"
            (a, b, *first), (c, d, *second) = run["phases"]
            assert (first, second) == (["phase 1 of 2", "ok"], ["phase 2 of 2", "ok"])
            assert run["start"] <= a < b == c < d <= run["end"] and [at for at, _ in run["marks"]] == [b, d]
        spans, table = traces.spans_df(kind="llm"), anb.costs(traces, by=["run", "phase"], sort="key")
        starts = (spans["start"] - pd.Timestamp(0, tz="UTC")) // pd.Timedelta(microseconds=1)
        for run in runs:
            mine = table[table["run"] == run["trace_id"]].set_index("phase")["calls"]
            assert mine.sum() == run["llm_calls"] and mine.index.notna().sum() == len(run["phases"])
            for begin, end, phase, _ in run["phases"]:
                inside = (spans["trace_id"] == run["trace_id"]) & (starts >= begin) & (starts < (end or 2**62))
                assert mine[phase] == inside.sum() > 0
    by_name = {run["name"]: run for run in runs}
    assert by_name["Please answer in badjson only"]["status"] == "error"
    assert by_name["Please answer in badjson only"]["progress"] == "failed"
    assert by_name["failalways: migrate to the new queue"]["status"] == "error"
    assert by_name["failalways: migrate to the new queue"]["progress"] == "stopped"


def test_a_run_is_joined_by_description_and_time(proxy: Proxy, tmp_path: Path) -> None:
    run_of(proxy, "first")
    run_of(proxy, "second", at=100)
    progress(tmp_path, "11111111", start_time=local(-1), last_update=local(9), completed_subtasks=1)
    progress(tmp_path, "22222222", start_time=local(99), last_update=local(109), completed_subtasks=2)
    progress(tmp_path, "33333333", start_time=local(200), last_update=local(209), completed_subtasks=3)
    progress(tmp_path, "44444444", task_description="Something else", start_time=local(0), completed_subtasks=4)
    traces = anb.read_traces(tmp_path)
    assert "1 of 4 subtasks" in traces["first"].figures["progress"]
    assert "2 of 4 subtasks" in traces["second"].figures["progress"]


@pytest.mark.parametrize("ahead", [0.0, 3.0, -9.5])
def test_a_proxy_s_run_is_joined_in_the_zone_that_its_database_shows(tmp_path: Path, ahead: float) -> None:
    proxy = Proxy(tmp_path / "proxy_traces.db", ahead=ahead)
    run_of(proxy)
    progress(tmp_path, start_time=local(-1, ahead), last_update=local(8, ahead))
    checkpoint(tmp_path, 0, 3.5, ahead=ahead)
    figures = anb.read_traces(tmp_path, tz="Asia/Tokyo")["task-1"].figures
    assert figures["marks"] == [(START + 3_500_000, "checkpoint phase0_00000000")]
    assert figures["phases"] == [(START + SECOND, START + 3_500_000, "phase 1 of 2", "ok")]


def test_a_live_run_says_how_far_it_is_and_the_files_are_followed(proxy: Proxy, tmp_path: Path) -> None:
    now = (datetime.now(UTC).replace(tzinfo=None) - BEGIN).total_seconds()
    run_of(proxy, at=now - 6)
    running: dict[str, Any] = {
        "status": "in_progress",
        "completed_phases": 0,
        "current_phase": 0,
        "start_time": local(now - 7),
    }
    progress(tmp_path, **running, completed_subtasks=3, last_update=local(now))
    with anb.read_traces(tmp_path, follow=True) as traces:
        assert traces.live is not None and traces.live.caught_up()
        run = traces["task-1"]
        assert run.figures["progress"] == "phase 1 of 2, 3 of 4 subtasks" and run.status == "running"
        assert run.figures["end"] is None
        (phase,) = run.figures["phases"]
        assert phase[1:] == (None, "phase 1 of 2", "running") and run.figures["marks"] == []
        revision = traces.store.revision
        checkpoint(tmp_path, 0, now)
        progress(tmp_path, **running | {"current_phase": 1}, last_update=local(now + 1))
        deadline = time.monotonic() + 5
        while not run.figures["progress"].startswith("phase 2") or len(run.figures["phases"]) < 2:
            assert time.monotonic() < deadline, run.figures
            time.sleep(0.02)
        assert len(run.figures["marks"]) == 1 and run.figures["phases"][1][1] is None
        assert traces.store.revision > revision  # whoever looks is told
        progress(tmp_path, status="failed", start_time=local(now - 7), last_update=local(now + 2))
        while run.status != "error":
            assert time.monotonic() < deadline, run.figures
            time.sleep(0.02)


def test_a_phase_with_a_failed_subtask_failed_and_so_did_the_one_in_which_the_task_gave_up(
    proxy: Proxy, tmp_path: Path
) -> None:
    run_of(proxy)
    progress(tmp_path, status="failed", total_phases=3, completed_phases=2, current_phase=2)
    checkpoint(tmp_path, 0, 2, subtasks=("completed", "failed"))
    checkpoint(tmp_path, 1, 3, subtasks=("completed", "failed", "completed"))
    run = anb.read_traces(tmp_path)["task-1"]
    end = run.figures["end"]
    assert [phase[3] for phase in run.figures["phases"]] == ["error", "ok", "error"]
    assert run.figures["phases"][2] == (START + 3 * SECOND, end, "phase 3 of 3", "error") and run.status == "error"


def test_a_file_that_says_running_for_ever_is_not_believed(
    proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_of(proxy)
    progress(tmp_path, status="in_progress", current_phase=0, completed_subtasks=1)
    run = anb.read_traces(tmp_path)["task-1"]
    assert run.status == "ok" and run.figures["progress"] == "stopped, phase 1 of 2, 1 of 4 subtasks"
    (phase,) = run.figures["phases"]
    assert run.figures["end"] is not None and phase[1:] == (run.figures["end"], "phase 1 of 2", "stopped")
    monkeypatch.setattr(join_progress, "FRESH", 1 << 62)
    assert anb.read_traces(tmp_path)["task-1"].status == "running"


def test_half_written_and_odd_files_are_no_harm(proxy: Proxy, tmp_path: Path) -> None:
    run_of(proxy)
    path = progress(tmp_path)
    whole = path.read_text()
    traces = anb.read_traces(tmp_path)
    assert "4 of 4" in traces["task-1"].figures["progress"]
    path.write_text(whole[:40])
    traces.refresh()
    assert "4 of 4" in traces["task-1"].figures["progress"] and len(traces.problems_df()) == 0
    old = time.time() - 60
    os.utime(path, (old, old))
    traces.refresh()
    traces.refresh()
    problems = traces.problems_df()
    assert problems["source"].tolist() == [str(path)] and "cannot be used" in problems["reason"].iloc[0]
    path.write_text(whole.replace("4", "3"))
    traces.refresh()
    assert "3 of 3 subtasks" in traces["task-1"].figures["progress"]
    for i, odd in enumerate(("[]", '{"task_id": null}', '{"task_id": "x", "total_phases": "two"}', "\0")):
        odd_path = path.with_name(f"odd{i}.json")
        odd_path.write_text(odd)
        os.utime(odd_path, (old, old))
    knowledge = tmp_path / ".modular-agents" / "knowledge.json"
    knowledge.write_text('{"root_path": "/repo", "modules": [{"name": "api", "purpose": null, "loc": 3}]}')
    traces.refresh()
    assert len(traces.problems_df()) == 5
    (folder,) = traces.reader.beside.folders
    assert folder.knowledge is not None and folder.knowledge.modules[0].name == "api"
    os.remove(path)
    traces.refresh()
    assert anb.list_sources(traces)["kind"].tolist().count("anton") == 1


def test_an_agent_s_module_is_what_the_repository_s_knowledge_says(proxy: Proxy, tmp_path: Path) -> None:
    ids = run_of(proxy)
    traces = anb.read_traces(tmp_path)
    (agent,) = [span for span in traces["task-1"].spans if span.kind == "agent"]
    assert agent.module is None
    knowledge = tmp_path / ".modular-agents" / "knowledge.json"
    knowledge.write_text(
        '{"root_path": "/repo", "modules": [{"name": "web"}, {"name": "api", "path": "/repo/src/api", "purpose": "REST", '
        '"dependencies": ["web"], "loc": 3}]}'
    )
    traces.refresh()
    known = {"name": "api", "path": "/repo/src/api", "purpose": "REST", "language": "", "dependencies": ["web"]}
    assert agent.module == known == traces.span(ids["one"]).module and traces.span(ids["plan"]).module is None
    (body,) = [body for body in details(traces, agent.row)["bodies"] if body["part"] == "module"]
    assert json.loads(body["text"]) == known


def test_checkpoints_alone_give_phases_too(proxy: Proxy, tmp_path: Path) -> None:
    run_of(proxy)
    run_of(proxy, "later", at=100)
    checkpoint(tmp_path, 0, 2, description="Add a cache")
    checkpoint(tmp_path, 1, 4, description="Add a cache")
    checkpoint(tmp_path, 0, 2, "another", description="Something else")
    traces = anb.read_traces(tmp_path)
    figures = traces["task-1"].figures
    assert [phase[2:] for phase in figures["phases"]] == [("phase 1 of 2", "ok"), ("phase 2 of 2", "ok")]
    assert len(figures["marks"]) == 2 and figures["progress"] == "" and traces["task-1"].status == "ok"
    assert traces["later"].figures["phases"] == []


def test_the_words_of_every_state() -> None:
    def said(**more: Any) -> str:
        return words(Progress("t", total_phases=2, total_subtasks=4, **more))

    assert said(status="in_progress", current_phase=1, completed_subtasks=3) == "phase 2 of 2, 3 of 4 subtasks"
    assert (
        said(status="completed", completed_phases=2, completed_subtasks=4)
        == "completed, 2 of 2 phases, 4 of 4 subtasks"
    )
    assert (
        said(status="failed", completed_phases=1, failed_subtasks=1)
        == "failed, 1 of 2 phases, 0 of 4 subtasks, 1 failed"
    )
    assert words(Progress("t", status="in_progress")) == "planning"


def test_a_run_without_any_file_says_nothing(proxy: Proxy) -> None:
    proxy.call([system("api"), user("Task: x")])
    figures = anb.read_traces(proxy.path)["task-1"].figures
    assert (figures["progress"], figures["phases"], figures["marks"]) == ("", [], [])


def test_files_of_anton_s_that_lack_their_lists_are_read_as_if_they_were_empty(proxy: Proxy, tmp_path: Path) -> None:
    run_of(proxy)
    progress(tmp_path)
    folder = tmp_path / ".modular-agents"
    path = folder / "checkpoints" / "0a1b2c3d" / "checkpoint_phase0_00000000.json"
    path.parent.mkdir(parents=True)
    said = {"task_id": "0a1b2c3d", "checkpoint_id": "phase0_00000000", "timestamp": local(3.5), "total_phases": 2}
    path.write_text(json.dumps(said))
    (folder / "knowledge.json").write_text('{"root_path": "/x"}')
    traces = anb.read_traces(tmp_path)
    assert [name for _, name in traces["task-1"].figures["marks"]] == ["checkpoint phase0_00000000"]
    assert all(span.module is None for span in traces["task-1"].spans)
