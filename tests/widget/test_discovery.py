"""Descriptions of a run that reach the page: progress, phases, checkpoints, hidden tasks."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

import anton_notebook as anb
from anton_notebook.sources.anton.discovery import default_database
from anton_notebook.sources.proxy import run_builder
from tests.conftest import ROOT
from tests.sources.anton.test_progress import checkpoint, local, progress
from tests.sources.proxy.test_database import WRITER
from tests.support.proxies import BEGIN, Proxy, run_of, system, user
from tests.widget.fakes import Client, eventually


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    found = tmp_path / "home"
    found.mkdir()
    monkeypatch.setenv("HOME", str(found))
    return found


def test_page_shows_phases_checkpoints_and_progress(tmp_path: Path) -> None:
    repo = tmp_path / "shop"
    (repo / ".modular-agents").mkdir(parents=True)
    now = (datetime.now(UTC).replace(tzinfo=None) - BEGIN).total_seconds()
    run_of(Proxy(repo / "proxy_traces.db"), at=now - 6)
    running = {"status": "in_progress", "completed_phases": 0, "start_time": local(now - 7), "last_update": local(now)}
    progress(repo, **running, current_phase=0, completed_subtasks=3)
    graph = anb.TraceGraph(repo)
    client = Client(graph)
    client.hello()
    eventually(client.in_step)
    eventually(lambda: client.look().runs["task-1"]["progress"] == "phase 1 of 2, 3 of 4 subtasks")
    run = client.page.runs["task-1"]
    assert run["status"] == "running" and run["marks"] == []
    assert [(phase["name"], phase["end"], phase["status"]) for phase in run["phases"]] == [
        ("phase 1 of 2", None, "running")
    ]
    checkpoint(repo, 0, now)
    progress(repo, **running, current_phase=1, completed_subtasks=3)
    eventually(lambda: client.look().runs["task-1"]["progress"] == "phase 2 of 2, 3 of 4 subtasks")
    eventually(lambda: len(client.look().runs["task-1"]["phases"]) == 2)
    run = client.page.runs["task-1"]
    first, second = run["phases"]
    (mark,) = run["marks"]
    assert (first["status"], second["status"], second["end"]) == ("ok", "running", None)
    assert first["end"] == second["start"] == mark["time"] and mark["name"] == "checkpoint phase0_00000000"
    progress(repo, start_time=local(now - 7), last_update=local(now + 1))
    eventually(lambda: client.look().runs["task-1"]["status"] == "ok")
    assert client.page.runs["task-1"]["progress"] == "completed, 2 of 2 phases, 4 of 4 subtasks"


def test_page_counts_hidden_tasks_of_other_repositories(tmp_path: Path, home: Path) -> None:
    repo = tmp_path / "shop"
    (repo / ".modular-agents" / "traces").mkdir(parents=True)
    (home / ".modular-agents").mkdir()
    proxy = Proxy(Path(default_database()))
    run_of(proxy, "mine", str(repo))
    run_of(proxy, "other", "/somewhere/else", at=20)
    client = Client(anb.TraceGraph(repo))
    client.hello()
    eventually(lambda: client.look().status and "1 task in" in client.page.status["sentence"])
    assert client.page.status["problems"] == 0 and "all_repositories=True shows them" in client.page.status["sentence"]
    assert set(client.page.runs) == {"mine"}
    run_of(proxy, "more", "/somewhere/else", at=40)
    eventually(lambda: "2 tasks in" in client.look().status["sentence"])
    everything = Client(anb.TraceGraph(repo, all_repositories=True))
    everything.hello()
    eventually(lambda: set(everything.look().runs) == {"mine", "other", "more"})
    assert everything.page.status["sentence"] == ""


def test_page_gets_all_rows_of_a_fast_writer(tmp_path: Path) -> None:
    proxy = Proxy(tmp_path / "p.db")
    proxy.close()
    rows = 400
    graph = anb.TraceGraph(proxy.path)
    client = Client(graph)
    client.hello()
    command = [sys.executable, "-c", WRITER, str(ROOT), str(proxy.path), str(rows), "200"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as writer:
        sizes = set()
        while writer.poll() is None:
            sizes.add(len(client.look().spans))
            time.sleep(0.02)
        assert writer.returncode == 0, writer.stderr and writer.stderr.read()  # sqlite3's default timeout was enough
    eventually(lambda: client.in_step() and client.look().runs["task-1"]["status"] == "ok")
    assert len(sizes) > 20  # it grew all the time
    store = graph.traces.store
    calls = [store.span_id(row) for row in client.page.spans if re.fullmatch(r"c\d+", store.span_id(row))]
    assert sorted(calls) == sorted(f"c{i}" for i in range(rows))
    assert client.page.runs["task-1"]["llm_calls"] == rows
    assert graph.traces.live is not None and graph.traces.live.error is None


def test_page_marks_abandoned_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = (datetime.now(UTC).replace(tzinfo=None) - BEGIN).total_seconds()
    proxy = Proxy(tmp_path / "p.db")
    call = proxy.begin([system("api"), user("go")], at=now)
    graph = anb.TraceGraph(proxy.path)
    client = Client(graph)
    client.hello()
    eventually(client.in_step)
    row = graph.traces.store.row_of(call)

    def status() -> int:
        return int(client.look().spans[row][-3])

    eventually(lambda: client.look().runs["task-1"]["status"] == "running" and status() == 0)
    monkeypatch.setattr(run_builder, "QUIET", -1.0)
    eventually(lambda: client.look().runs["task-1"]["status"] == "error" and status() == 2)
    assert "process ended" in (graph.traces.span(call).error or "")
    monkeypatch.undo()
    proxy.end(call)  # it was only very slow
    eventually(lambda: client.look().runs["task-1"]["status"] == "ok" and status() == 1)
