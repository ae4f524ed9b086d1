"""The database of anton's proxy: the corpus's counts, what a row may hold, who may be writing, and what may be wrong with the file."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import anton_notebook as anb
from anton_notebook.errors import BodyUnavailable, NotATrace
from anton_notebook.sources.anton.discovery import default_database
from anton_notebook.sources.proxy import database, run_builder, sqlite_reader
from anton_notebook.sources.proxy.sqlite_reader import HOLD, SqliteFile
from tests.conftest import ROOT
from tests.store.test_store import line
from tests.support.canonical import state
from tests.support.proxies import BEGIN, SCHEMA, Proxy, called, run_of, system, user


@pytest.fixture
def proxy(tmp_path: Path) -> Proxy:
    return Proxy(tmp_path / "proxy_traces.db")


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own, so that nobody's real database is read."""
    folder = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(folder))
    return folder


def reasons(traces: anb.Traces) -> str:
    return " | ".join(traces.problems_df()["reason"])


def seconds_now() -> float:
    """Now, as `at=` has it."""
    return time.time() - pd.Timestamp(BEGIN, tz="UTC").timestamp()


# -- the corpus


def test_the_corpus_of_the_proxy(corpus: Path) -> None:
    traces = anb.read_traces(corpus / "anton-proxy" / "proxy_traces.db")
    runs, spans = traces.runs_df(), traces.spans_df()
    calls, tools = spans[spans["kind"] == "llm"], spans[spans["kind"] == "tool"]
    assert runs["llm_calls"].tolist() == [52, 53] and len(calls) == 105
    assert runs["name"].tolist() == ["Add a cache layer to all modules", "failhard: upgrade the storage engine"]
    assert runs["status"].tolist() == ["ok", "ok"] and (spans["status"] == "running").sum() == 0
    assert tools["name"].astype(str).value_counts().to_dict() == {"read_file": 75, "grep_codebase": 75}
    assert calls["finish_reason"].astype(str).value_counts().to_dict() == {"tool_calls": 75, "stop": 30}
    assert calls["input_tokens"].sum() == 446_135 and calls["output_tokens"].sum() == 19_499
    assert calls["recorded_cost_usd"].sum() == pytest.approx(2.52316, abs=1e-9)
    assert calls["start"].min() == pd.Timestamp("2026-11-23 01:18:10.110221", tz="UTC")
    agents = ["module_api", "module_billing", "module_database", "module_web", "orchestrator"]
    assert sorted(spans["agent"].unique()) == agents and len(traces.problems_df()) == 0
    assert (spans["kind"] == "orchestrator").sum() == 2 and (spans["kind"] == "agent").sum() == 8


def test_the_corpus_s_conversations_and_the_places_of_its_tools(corpus: Path) -> None:
    traces = anb.read_traces(corpus / "anton-proxy" / "proxy_traces.db")
    heads: dict[tuple[str, str | None], int] = {}
    turns = 0
    for span in (span for trace in traces for span in trace.spans if span.kind == "llm"):
        record = span.record
        turns += record["turn"] > 1
        if record["turn"] == 1:
            heads[span.trace_id, span.agent] = heads.get((span.trace_id, span.agent), 0) + 1
            if span.agent != "orchestrator":
                above = traces.span(record["asked_by"])
                assert above.agent == "orchestrator" and "subtasks" in above.record["response"]
                assert span.parent.parent == above  # the agent's node hangs under the answer that it came from
        else:
            assert traces.span(record["continues"]).agent == span.agent
    assert turns == 77 and sum(heads.values()) == 28
    assert sorted(heads.values()) == [2, 2, 3, 3, 3, 3, 3, 3, 3, 3]
    frame = traces.tool_calls_df()
    assert frame["parameters"].isna().all() and frame["result"].str.len().gt(0).all()
    for tool in (span for trace in traces for span in trace.spans if span.kind == "tool"):
        asker, shower = tool.parent, traces.span(tool.record["shown_by"])
        assert asker.kind == "llm" and asker.agent == tool.agent and asker.finish_reason == "tool_calls"
        assert tool.duration_ms >= 0 and tool.end <= shower.start
        assert tool.start >= asker.end or tool.start == shower.start


def test_the_corpus_is_the_same_read_at_once_and_row_by_row(corpus: Path, tmp_path: Path) -> None:
    source = sqlite3.connect(f"file:{corpus}/anton-proxy/proxy_traces.db?mode=ro", uri=True)
    target = Proxy(tmp_path / "p.db")
    traces = anb.read_traces(target.path)
    for row in source.execute("SELECT * FROM traces").fetchall():
        target.db.execute("INSERT INTO traces VALUES (?, ?, ?, ?, ?)", row)
    later: list[tuple[Any, ...]] = []
    for i, row in enumerate(source.execute("SELECT * FROM llm_calls ORDER BY rowid").fetchall()):
        began = (*row[:7], *[None] * 6, row[13], None)
        target.db.execute("INSERT INTO llm_calls VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", began)
        later.append(row)
        if i % 3 == 2:  # answers come late, and out of order
            traces.refresh()
            for done in later[::-1]:
                target.db.execute("DELETE FROM llm_calls WHERE 0")
                target.db.execute(
                    "UPDATE llm_calls SET response=?, finish_reason=?, duration_ms=?, tokens_input=?, tokens_output=?, cost_usd=?, "
                    "error=? WHERE call_id=?",
                    (*done[7:13], done[14], done[0]),
                )
                traces.refresh()
            later.clear()
    traces.refresh()
    assert not later
    whole = anb.read_traces(target.path)
    assert state(traces.store) == state(whole.store)
    assert (whole.spans_df()["kind"] == "tool").sum() == 150


# -- rows


def test_a_run_has_its_turns_tools_agents_and_parents(proxy: Proxy) -> None:
    ids = run_of(proxy)
    traces = anb.read_traces(proxy.path)
    run = traces["task-1"]
    assert run.name == "Add a cache" and run.status == "ok" and run.figures["llm_calls"] == 6
    plan, retry = traces.span(ids["plan"]), traces.span(ids["retry"])
    node = retry.parent
    assert (node.kind, node.agent, node.parent) == ("agent", "module_api", plan)
    assert [child.span_id for child in node.children] == [ids[n] for n in ("one", "two", "three", "retry")]
    tools = [[(t.name, t.record["result"]) for t in traces.span(ids[n]).children] for n in ("one", "two", "three")]
    assert tools == [
        [("read_file", "def f(): ..."), ("grep_codebase", "a.py:1: f")],
        [("read_file", "def f(): ...")],
        [],
    ]
    first, second = traces.span(ids["one"]).children
    start = pd.Timestamp(BEGIN, tz="UTC")
    assert (first.start - start).total_seconds() == 1.5 and first.end == second.start
    assert (second.end - start).total_seconds() == 2.0
    assert first.record["parameters"] is None and first.status == "ok" and first.cost_usd != first.cost_usd
    record = traces.span(ids["three"]).record
    assert (record["turn"], record["continues"], record["conversation_id"]) == (3, ids["two"], ids["one"])
    assert traces.span(ids["sum"]).record["continues"] == ids["plan"]
    assert traces.spans_df().set_index("span_id").loc[ids["two"], "line"] == 3
    assert traces.span(ids["plan"]).request.missing == ("tools", "parameters")
    assert traces.span(ids["plan"]).response.text.startswith('{"subtasks"')


def test_ids_are_the_same_each_time(proxy: Proxy) -> None:
    run_of(proxy)
    proxy.call([system("api"), user("Task: alone")], task=None, call="c-1")
    one, two = anb.read_traces(proxy.path), anb.read_traces(proxy.path)
    assert state(one.store) == state(two.store)
    import uuid

    assert str(uuid.uuid5(uuid.NAMESPACE_URL, "c-1")) in {trace.trace_id for trace in one}


def test_tools_in_the_words_of_openai_and_anthropic(proxy: Proxy) -> None:
    ask = [system("api"), user("go")]
    one = proxy.call(ask, None, finish="tool_calls")
    function = {"name": "ls", "arguments": '{"path": "."}'}
    asked = {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "t1", "type": "function", "function": function}],
    }
    proxy.call([*ask, asked, {"role": "tool", "tool_call_id": "t1", "content": "a b"}], at=1)
    claude = [user("Execute this task within the web module:\n\nTask: go")]
    two = proxy.call(claude, None, finish="tool_use", provider="claude", model="claude-sonnet-4-20250514", at=2)
    use = [
        {"type": "text", "text": "Let me look"},
        {"type": "tool_use", "id": "u1", "name": "cat", "input": {"file": "x"}},
    ]
    result = [{"type": "tool_result", "tool_use_id": "u1", "content": "no such file", "is_error": True}]
    proxy.call(
        [*claude, {"role": "assistant", "content": use}, {"role": "user", "content": result}],
        provider="claude", model="claude-sonnet-4-20250514", at=3,
    )  # fmt: skip
    traces = anb.read_traces(proxy.path)
    (ls,), (cat,) = traces.span(one).children, traces.span(two).children
    assert (ls.name, ls.record["parameters"], ls.record["result"], ls.status) == ("ls", {"path": "."}, "a b", "ok")
    assert (cat.name, cat.record["parameters"], cat.record["result"]) == ("cat", {"file": "x"}, "no such file")
    assert cat.status == "error" and traces.span(two).agent == "module_web"
    assert "system" in traces.span(two).request.missing and "max_tokens" in traces.span(two).request.missing


def test_no_pair_is_counted_twice_when_a_history_is_sent_again_or_cut(proxy: Proxy) -> None:
    ask = [system("api"), user("go")]
    one = proxy.call(ask, None, finish="tool_calls")
    more = [*ask, *called("ls", "a"), *called("cat", "b")]
    proxy.call(more, None, finish="error", error="overloaded", at=1)
    proxy.call(more, None, finish="tool_calls", at=2)  # the same request once more
    proxy.call([*ask[:1], user("shortened"), *called("cat", "b"), *called("new", "c")], at=3)
    traces = anb.read_traces(proxy.path)
    frame = traces.tool_calls_df()
    assert sorted(frame["name"]) == ["cat", "ls", "new"]
    assert [t.name for t in traces.span(one).children] == ["ls", "cat"]


def test_a_turn_that_starts_before_the_stored_end_of_the_one_before(proxy: Proxy) -> None:
    ask = [system("api"), user("go")]
    at = seconds_now()
    one = proxy.call(ask, None, finish="tool_calls", ms=1030.0, at=at)
    two = proxy.begin([*ask, *called("ls", "a")], at=at + 1.0)
    traces = anb.read_traces(proxy.path)
    (tool,) = traces.span(one).children
    assert tool.duration_ms == 0 and tool.start == traces.span(two).start and traces.span(two).status == "running"


@pytest.mark.parametrize("ahead", [0.0, 2.0, -5.0, 5.75, 12.75])
def test_the_zone_is_read_off_the_data(tmp_path: Path, ahead: float) -> None:
    proxy = Proxy(tmp_path / "p.db", ahead=ahead)
    run_of(proxy)
    spans = anb.read_traces(proxy.path, tz="Asia/Tokyo").spans_df()
    assert spans["start"].min() == pd.Timestamp(BEGIN, tz="UTC")


def test_a_running_call_ends_fails_or_is_given_up(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    at = seconds_now()
    begun = [proxy.begin([system("api"), user(f"go {i}")], at=at + i) for i in range(3)]
    traces = anb.read_traces(proxy.path)
    assert [traces.span(call).status for call in begun] == ["running"] * 3 and traces["task-1"].status == "running"
    assert traces.span(begun[0]).end is None and traces.span(begun[0]).duration_ms is None
    proxy.end(begun[0])
    proxy.end(begun[1], None, ms=None, error="overloaded")
    assert traces.refresh()
    spans = [traces.span(call) for call in begun]
    assert [s.status for s in spans] == ["ok", "error", "running"]
    assert spans[0].duration_ms == 500.0 and spans[0].input_tokens == 100 and spans[1].error == "overloaded"
    monkeypatch.setattr(run_builder, "QUIET", -1.0)
    time.sleep(0.3)
    traces.refresh()
    lost = traces.span(begun[2])
    assert lost.status == "error" and "process ended" in lost.error and traces["task-1"].status == "error"
    proxy.end(begun[2])  # it was only very slow
    traces.refresh()
    assert traces.span(begun[2]).status == "ok" and len(traces.problems_df()) == 0
    assert state(traces.store) == state(anb.read_traces(proxy.path).store)


def test_calls_that_a_crash_left_open_are_shown_as_such_at_once(proxy: Proxy) -> None:
    open_call = proxy.begin([system("api"), user("go")], at=10)
    proxy.call([system("web"), user("go on")], at=11)
    traces = anb.read_traces(proxy.path)
    assert traces.span(open_call).status == "error" and "no answer" in traces.span(open_call).error
    assert traces["task-1"].status != "running" and traces.runs_df()["end"].notna().all()


def test_a_call_is_not_given_up_because_another_agent_was_faster(proxy: Proxy) -> None:
    at = seconds_now()
    slow = proxy.begin([system("api"), user("go")], at=at)
    proxy.call([system("web"), user("go")], at=at + 0.1)
    assert anb.read_traces(proxy.path).span(slow).status == "running"


def test_an_answer_read_after_the_prompt_that_came_from_it(proxy: Proxy) -> None:
    plan = proxy.begin([system("orchestrator"), user("Task: all")])
    work = proxy.begin([system("api"), user("Task: the api part of it")], at=1)
    traces = anb.read_traces(proxy.path)
    assert traces.span(work).parent.parent.kind == "orchestrator"
    proxy.end(plan, '["the api part of it"]')
    proxy.end(work)
    traces.refresh()
    assert traces.span(work).parent.parent.span_id == plan
    assert state(traces.store) == state(anb.read_traces(proxy.path).store)


BAD = {
    "messages": ('UPDATE llm_calls SET messages = \'[{"role": "user"\'', "not JSON", "messages"),
    "no array": ("UPDATE llm_calls SET messages = '{}'", "array", "messages"),
    "duration_ms": ("UPDATE llm_calls SET duration_ms = -5", "expected a number", "duration_ms"),
    "duration as text": ("UPDATE llm_calls SET duration_ms = 'long'", "expected a number", "duration_ms"),
    "tokens": ("UPDATE llm_calls SET tokens_input = 9e18", "expected a number", "tokens_input"),
    "cost": ("UPDATE llm_calls SET cost_usd = 'much'", "expected a number", "cost_usd"),
    "bytes": ("UPDATE llm_calls SET messages = x'ff00', model = x'ff'", "not JSON", "messages"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_field_is_a_problem_and_the_span_stays(proxy: Proxy, name: str) -> None:
    call = proxy.call([system("api"), user("go")], at=1)
    query, reason, field = BAD[name]
    proxy.db.execute(query)
    proxy.call([system("api"), user("and on")], at=2)
    traces = anb.read_traces(proxy.path)
    assert traces.span(call).kind == "llm" and len(traces["task-1"].spans) >= 3
    problems = traces.problems_df()
    assert reason in problems["reason"].iloc[0] and problems["field"].iloc[0] == field
    assert problems["line"].iloc[0] == 1 and problems["source"].iloc[0] == str(proxy.path)


def test_nulls_and_odd_types_everywhere(tmp_path: Path) -> None:
    loose = SCHEMA.replace(" NOT NULL", "")
    proxy = Proxy(tmp_path / "p.db", schema=loose)
    names = "call_id trace_id parent_id created_at provider model messages response finish_reason duration_ms tokens_input".split()
    for i, value in enumerate((None, 7, 1.5, b"\xff\xfe", "text", "")):
        proxy.db.execute(
            "INSERT INTO llm_calls VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (f"id-{i}", *[value] * (len(names) - 1), *[value] * 4),
        )
    good = proxy.call([system("api"), user("go")])
    traces = anb.read_traces(proxy.path)
    assert traces.span(good).status == "ok"
    assert {f"id-{i}" for i in range(6)} <= set(traces.spans_df()["span_id"])
    traces.messages_df()


# -- the file


def test_an_unknown_column_is_kept_and_told_of(tmp_path: Path) -> None:
    proxy = Proxy(tmp_path / "p.db")
    proxy.db.execute("ALTER TABLE llm_calls ADD COLUMN temperature REAL DEFAULT 0.3")
    call = proxy.call([system("api"), user("go")])
    traces = anb.read_traces(proxy.path)
    assert traces.span(call).attributes["temperature"] == 0.3
    assert "temperature" in reasons(traces) and str(proxy.path) in set(traces.problems_df()["source"])


def broken(path: Path, how: str) -> None:
    """A file that cannot be read as a proxy's database, or not yet, or not all of it."""
    if how == "noise":
        path.write_bytes(os.urandom(9000))
        return
    proxy = Proxy(path, schema=SCHEMA if how != "foreign" else "CREATE TABLE users (id INTEGER);")
    if how != "foreign":
        for i in range(300):
            proxy.call([system("api"), user(f"go {i} " + "x" * 2000)], at=i)
    if how == "no traces table":
        proxy.db.execute("DROP TABLE traces")
    if how == "a view":
        proxy.db.execute("ALTER TABLE llm_calls RENAME TO hidden")
        proxy.db.execute("CREATE VIEW llm_calls AS SELECT * FROM hidden")
    if how == "old":
        proxy.db.execute("ALTER TABLE llm_calls DROP COLUMN tokens_input")
    proxy.close()
    data = bytearray(path.read_bytes())
    if how == "half":
        path.write_bytes(data[: len(data) // 2])
    if how == "scribbled":
        data[len(data) // 2 : len(data) // 2 + 40_000] = os.urandom(40_000)
        path.write_bytes(data)


WRONG = {
    "noise": "is no SQLite database",
    "foreign": "has no table llm_calls and traces",
    "no traces table": "has no table traces",
    "a view": "has no table llm_calls",
    "old": "has no column tokens_input",
    "half": "damaged",
    "scribbled": "damaged",
}


@pytest.mark.parametrize("how", WRONG)
def test_a_database_that_cannot_be_read_is_named_and_the_others_open(tmp_path: Path, how: str) -> None:
    bad, lines = tmp_path / "bad.db", tmp_path / "t.jsonl"
    broken(bad, how)
    lines.write_text(json.dumps(line("one")) + "\n")
    good = Proxy(tmp_path / "good.db")
    call = good.call([system("api"), user("go")])
    traces = anb.read_traces([bad, lines, good.path])
    assert traces.span("one").kind == "llm" and traces.span(call).status == "ok"
    problems = traces.problems_df()
    told = problems[problems["source"] == str(bad)]["reason"]
    assert len(told) == 1 and WRONG[how] in told.iloc[0]
    traces.refresh()
    assert len(traces.problems_df()) == len(problems)  # said once
    listed = anb.list_sources(traces).set_index("source")
    assert listed.loc[str(bad), "problems"] == 1 and listed.loc[str(good.path), "spans"] == 1


@pytest.mark.parametrize("how", WRONG)
def test_a_folder_with_a_database_that_cannot_be_read_opens_all_the_same(tmp_path: Path, how: str) -> None:
    folder = repository(tmp_path / "shop") / ".modular-agents"
    broken(folder / "proxy_traces.db", how)
    (folder / "traces" / "t.jsonl").write_text(json.dumps(line("one")) + "\n")
    traces = anb.read_traces(tmp_path / "shop")
    assert traces.span("one").kind == "llm"
    (problem,) = traces.problems_df().to_dict("records")
    assert problem["source"] == str(folder / "proxy_traces.db") and WRONG[how] in problem["reason"]


def test_a_database_that_is_still_being_copied_is_read_when_it_is_whole(tmp_path: Path) -> None:
    broken(tmp_path / "whole", "newer")
    data = (tmp_path / "whole").read_bytes()
    path = tmp_path / "p.db"
    path.write_bytes(data[:10])
    lines = tmp_path / "t.jsonl"
    lines.write_text(json.dumps(line("one")) + "\n")
    with anb.read_traces([path, lines], follow=True) as traces:
        for end in (5_000, len(data) // 2, len(data) - 1, len(data)):
            path.write_bytes(data[:end])
            assert traces.live is not None and traces.live.caught_up() and traces.live.error is None
            assert traces.span("one").kind == "llm"
        assert traces["task-1"].figures["llm_calls"] == 300


@pytest.mark.parametrize("how", ["noise", "foreign", "no traces table", "old"])
def test_a_lone_file_that_is_no_proxy_s_database_is_refused(tmp_path: Path, how: str) -> None:
    broken(tmp_path / "bad.db", how)
    with pytest.raises(NotATrace, match=r"bad\.db is .*proxy_traces\.db"):
        anb.read_traces(tmp_path / "bad.db")


def test_a_locked_database_is_said_to_be_and_read_when_it_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "FIRST", 0.1)
    proxy = Proxy(tmp_path / "p.db")
    call = proxy.call([system("api"), user("go")])
    proxy.db.execute("BEGIN EXCLUSIVE")
    (tmp_path / "t.jsonl").write_text(json.dumps(line("one")) + "\n")
    traces = anb.read_traces([proxy.path, tmp_path / "t.jsonl"])
    assert "is locked" in reasons(traces) and len(traces) == 1
    proxy.db.execute("COMMIT")
    assert traces.refresh() and traces.span(call).status == "ok"


KILLED = """
import os, sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("PRAGMA cache_size = 5")
db.execute("BEGIN IMMEDIATE")
db.execute("UPDATE llm_calls SET response = 'never committed', error = 'x'")
os.kill(os.getpid(), 9)
"""


def test_what_a_killed_writer_left_is_never_shown_as_if_it_were_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "FIRST", 3600.0)  # it is of no use to wait
    proxy = Proxy(tmp_path / "p.db")
    calls = [proxy.call([system("api"), user(f"go {i} " + "x" * 3000)], at=i) for i in range(100)]
    proxy.close()
    (tmp_path / "t.jsonl").write_text(json.dumps(line("one")) + "\n")
    before = proxy.path.read_bytes()
    subprocess.run([sys.executable, "-c", KILLED, str(proxy.path)], check=False)
    assert os.path.getsize(f"{proxy.path}-journal") > 0 and proxy.path.read_bytes() != before
    traces = anb.read_traces([proxy.path, tmp_path / "t.jsonl"])
    assert traces.span("one").kind == "llm" and len(traces) == 1
    assert "killed" in reasons(traces) and "repairs it" in reasons(traces)
    assert os.path.getsize(f"{proxy.path}-journal") > 0  # only read
    sqlite3.connect(proxy.path).execute("SELECT count(*) FROM llm_calls").fetchone()
    traces.refresh()
    spans = traces.spans_df().set_index("span_id").loc[calls]
    assert len(spans) == 100 and (spans["status"] == "ok").all()
    assert traces.span(calls[0]).record["response"] != "never committed"


def test_wal_mode_with_and_without_its_wal(tmp_path: Path) -> None:
    proxy = Proxy(tmp_path / "p.db", wal=True)
    calls = [proxy.call([system("api"), user("go")])]
    traces = anb.read_traces(proxy.path)
    calls.append(proxy.call([system("api"), user("go on")], at=1))
    assert traces.refresh() and {c in traces.spans_df()["span_id"].tolist() for c in calls} == {True}
    alone = tmp_path / "alone" / "p.db"
    alone.parent.mkdir()
    shutil.copy(proxy.path, alone)
    (alone.parent / "t.jsonl").write_text(json.dumps(line("one")) + "\n")
    copied = anb.read_traces([alone, alone.parent / "t.jsonl"])
    assert copied.span("one").kind == "llm" and sorted(os.listdir(alone.parent)) == ["p.db", "t.jsonl"]
    assert len(copied.problems_df()) == 1  # nothing was moved over to it yet, not even its tables
    proxy.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    shutil.copy(proxy.path, alone)
    proxy.close()
    copied.refresh()
    assert "no -wal" in reasons(copied) and copied.span(calls[1]).status == "ok"
    again = Proxy(alone, schema="", wal=True)  # a writer comes after all
    third = again.call([system("api"), user("and on")], at=2)
    copied.refresh()
    assert copied.span(third).status == "ok"


def test_rows_taken_out_and_numbered_anew(proxy: Proxy) -> None:
    ids = run_of(proxy)
    running = proxy.begin([system("web"), user("go")], at=seconds_now())
    traces = anb.read_traces(proxy.path)
    spans = len(traces.spans_df())
    assert traces.span(running).status == "running"
    proxy.db.execute("DELETE FROM llm_calls WHERE rowid <= 2 OR call_id = ?", (running,))
    proxy.db.execute("VACUUM")
    new = proxy.call([system("api"), user("anew")], at=9)
    traces.refresh()
    assert len(traces.spans_df()) == spans + 1 and traces.span(new).status == "ok"
    assert traces.span(running).status == "error"  # nobody will ever answer it
    assert traces.span(ids["three"]).record["finish_reason"] == "stop"
    with pytest.raises(BodyUnavailable):
        _ = traces.span(ids["plan"]).record


def test_a_file_replaced_and_a_file_removed(proxy: Proxy, tmp_path: Path) -> None:
    old = proxy.call([system("api"), user("go")])
    traces = anb.read_traces(proxy.path)
    other = Proxy(tmp_path / "other.db")
    new = other.call([system("api"), user("anew")], at=3)
    other.close()
    os.replace(other.path, proxy.path)
    assert traces.refresh() and traces.span(new).record["span_id"] == new
    with pytest.raises(BodyUnavailable, match="replaced"):
        _ = traces.span(old).record
    os.remove(proxy.path)
    assert traces.refresh() and "was removed" in reasons(traces)
    assert {old, new} <= set(traces.spans_df()["span_id"])
    assert not traces.refresh()


# -- a repository


def repository(folder: Path) -> Path:
    (folder / ".modular-agents" / "traces").mkdir(parents=True)
    return folder


def test_a_repository_finds_its_own_tasks_in_the_user_s_database(tmp_path: Path, home: Path) -> None:
    repo = repository(tmp_path / "shop")
    (home / ".modular-agents").mkdir()
    proxy = Proxy(Path(default_database()))
    assert proxy.path.is_relative_to(home)
    run_of(proxy, "mine", str(repo))
    run_of(proxy, "other", "/somewhere/else", at=20)
    run_of(proxy, "nowhere", None, at=40)
    alone = proxy.call([system("api"), user("Task: alone")], task=None, at=60)
    (repo / ".modular-agents" / "traces" / "t.jsonl").write_text(json.dumps(line("one", trace="t")) + "\n")
    traces = anb.read_traces(repo)
    assert [trace.trace_id for trace in traces] == ["t", "mine"] or {t.trace_id for t in traces} == {"t", "mine"}
    assert "3 tasks in" in repr(traces) and "all_repositories=True" in repr(traces) and len(traces.problems_df()) == 0
    assert anb.list_sources(traces).set_index("source").loc[str(proxy.path), "left_out"] == 3
    assert not traces.refresh()
    everything = anb.read_traces(repo, all_repositories=True)
    assert len(everything) == 5 and "left out" not in repr(everything) and everything.span(alone).kind == "llm"
    assert len(anb.read_traces("~/.modular-agents/proxy_traces.db")) == 4
    assert len(anb.read_traces(home / ".modular-agents")) == 4
    assert {t.trace_id for t in anb.read_traces(repo / ".modular-agents")} == {"t", "mine"}
    run_of(proxy, "late", f"{repo}/", at=80)
    traces.refresh()
    assert traces["late"].figures["llm_calls"] == 6


def test_the_root_path_that_anton_knows_counts_as_the_repository_s(tmp_path: Path, home: Path) -> None:
    repo = repository(tmp_path / "checkout")
    (home / ".modular-agents").mkdir()
    proxy = Proxy(Path(default_database()))
    run_of(proxy, "mine", "/repo")
    traces = anb.read_traces(repo)
    assert len(traces) == 0 and "1 task in" in repr(traces)
    (repo / ".modular-agents" / "knowledge.json").write_text('{"root_path": "/repo", "modules": [{"name": "api"}]}')
    assert traces.refresh() and traces["mine"].figures["spans"] == 9 and "left out" not in repr(traces)


def test_a_task_whose_orchestrator_speaks_late_is_shown_whole(tmp_path: Path, home: Path) -> None:
    repo = repository(tmp_path / "shop")
    (home / ".modular-agents").mkdir()
    proxy = Proxy(Path(default_database()))
    proxy.call([system("api"), user("first")])
    traces = anb.read_traces(repo)
    assert len(traces) == 0
    run_of(proxy, "task-1", str(repo), at=5)
    traces.refresh()
    assert traces["task-1"].figures["llm_calls"] == 7
    assert state(traces.store) == state(anb.read_traces(repo).store)


def test_a_folder_with_nothing_but_a_proxy_s_database(proxy: Proxy) -> None:
    run_of(proxy)
    assert anb.read_traces(proxy.path.parent)["task-1"].figures["tool_calls"] == 3


# -- live

WRITER = """
import json, sys, time
sys.path[:0] = [sys.argv[1]]
from collections.abc import Iterator
from pathlib import Path
import sqlite3
from tests.support.proxies import Proxy, called, system, user, SCHEMA
path, rows, rate = Path(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
writer = Proxy(path, schema="")
writer.db.close()
writer.db = sqlite3.connect(path, isolation_level=None)  # the default timeout of 5 s
began, slowest, open_calls, histories = time.monotonic(), 0.0, [], {}
base = time.time() - 1772366400
for i in range(rows):
    rest = began + i / rate - time.monotonic()
    if rest > 0: time.sleep(rest)
    agent = "m%d" % (i % 4)
    history = histories.get(agent) or [system(agent), user("Task: %d" % i)]
    start = time.monotonic()
    call = writer.begin(history, at=base + i / rate, call="c%d" % i)
    slowest = max(slowest, time.monotonic() - start)
    histories[agent] = [*history, *called("ls", "r%d" % i)] if len(history) < 8 else None
    open_calls.append(call)
    if len(open_calls) > 3:
        start = time.monotonic()
        done = open_calls.pop(0)
        writer.end(done, "answer", ms=15.0)
        slowest = max(slowest, time.monotonic() - start)
for call in open_calls: writer.end(call, "answer", ms=15.0)
print(json.dumps({"slowest": slowest, "took": time.monotonic() - began}))
"""


@pytest.mark.parametrize("wal", [False, True])
def test_a_writer_at_200_rows_a_second_is_followed_and_never_fails(tmp_path: Path, wal: bool) -> None:
    proxy = Proxy(tmp_path / "p.db", wal=wal)
    proxy.close()
    rows = 600
    with anb.read_traces(proxy.path, follow=True) as traces:
        assert traces.live is not None and traces.live.caught_up()
        revisions: list[int] = []
        traces.store.subscribe(lambda: revisions.append(traces.store.revision))
        command = [sys.executable, "-c", WRITER, str(ROOT), str(proxy.path), str(rows), "200"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["slowest"] < 5.0  # sqlite3's default timeout
        deadline = time.monotonic() + 10
        while traces["task-1"].figures["llm_calls"] < rows or traces["task-1"].status == "running":
            assert time.monotonic() < deadline, traces["task-1"].figures
            time.sleep(0.05)
        assert traces.live.error is None and len(revisions) > 5  # it was shown as it came, not at the end
        frame = traces.spans_df()
        calls = frame[frame["kind"] == "llm"]
        assert sorted(calls["span_id"]) == sorted(f"c{i}" for i in range(rows))
        assert (calls["status"] == "ok").all() and (calls["duration_ms"] == 15.0).all()
        told = traces.problems_df()["reason"]
        assert told.str.contains("no -wal").all() and len(told) <= wal  # nobody had it open at first
        assert state(traces.store) == state(anb.read_traces(proxy.path).store)


def test_no_statement_is_held_open_for_long(tmp_path: Path) -> None:
    proxy = Proxy(tmp_path / "p.db")
    proxy.db.execute("BEGIN")
    for i in range(3000):
        proxy.begin([system("api"), user(f"{i} " + "x" * 4000)], at=i)
    proxy.db.execute("COMMIT")
    file, last, parts, longest = SqliteFile(str(proxy.path)), 0, 0, 0.0
    more = True
    while more:
        began = time.thread_time()
        rows, more = file.rows("SELECT rowid, messages FROM llm_calls WHERE rowid > ? ORDER BY rowid", (last,), 0.002)
        longest = max(longest, time.thread_time() - began)
        last, parts = rows[-1][0] if rows else last, parts + 1
        proxy.db.execute("UPDATE llm_calls SET cost_usd = 1 WHERE rowid = 1")  # no lock is left behind
    assert last == 3000 and parts > 1 and HOLD <= 0.02 and longest < 0.05


def test_reading_makes_and_changes_no_file(tmp_path: Path) -> None:
    proxy = Proxy(tmp_path / "p.db")
    run_of(proxy)
    proxy.close()
    os.chmod(proxy.path, 0o444)
    before = (proxy.path.read_bytes(), os.stat(proxy.path).st_mtime_ns)
    with anb.read_traces(proxy.path, follow=True) as traces:
        traces.messages_df()
        assert traces.live is not None and traces.live.caught_up()
    assert os.listdir(tmp_path) == ["p.db"]
    assert (proxy.path.read_bytes(), os.stat(proxy.path).st_mtime_ns) == before


def test_a_writer_in_the_same_process_keeps_its_locks(tmp_path: Path) -> None:
    proxy = Proxy(tmp_path / "p.db")
    proxy.call([system("api"), user("go")])
    proxy.db.execute("BEGIN IMMEDIATE")
    proxy.db.execute("UPDATE llm_calls SET cost_usd = 5")
    anb.read_traces(proxy.path).close()
    other = "import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=0).execute('BEGIN IMMEDIATE')"
    done = subprocess.run([sys.executable, "-c", other, str(proxy.path)], capture_output=True, text=True)
    assert "locked" in done.stderr
    proxy.db.execute("COMMIT")


def test_a_first_reading_of_much_holds_no_writer_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = Proxy(tmp_path / "p.db")
    proxy.db.execute("BEGIN")
    for i in range(8_000):
        proxy.begin([system("api"), user(f"{i} " + "x" * 4_000)], at=i, task="old")
    proxy.db.execute("COMMIT")
    proxy.close()
    held = holds(monkeypatch)
    command = [sys.executable, "-c", WRITER, str(ROOT), str(proxy.path), "200", "200"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as writer:
        while writer.poll() is None:
            anb.read_traces(proxy.path).close()
        _, said = writer.communicate()
    assert writer.returncode == 0, said  # its timeout is sqlite3's default: one hold of 5 s would have ended it
    assert len(held) > 5  # fewer, the quicker the machine reads
    assert max(held) < 0.05  # seconds of work, so that a busy machine is not in it


def holds(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """For how many seconds of work each statement on a proxy's database is open from now on, from its first step to its end."""
    begun, out = sqlite_reader._begun, list[float]()

    class Timed:
        def __init__(self, *given: Any) -> None:
            self.began = time.thread_time()
            self.cursor = begun(*given)
            self.description = self.cursor.description

        def __iter__(self) -> Iterator[Any]:
            return iter(self.cursor)

        def fetchone(self) -> Any:
            return self.cursor.fetchone()

        def close(self) -> None:
            self.cursor.close()
            out.append(time.thread_time() - self.began)

    monkeypatch.setattr(sqlite_reader, "_begun", Timed)
    return out


def test_a_machine_that_stands_still_within_each_statement_changes_nothing(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i in range(60):
        run_of(proxy, f"task-{i}", at=i)
    usual = state(anb.read_traces(proxy.path).store)
    clock = itertools.count()
    stopped = types.SimpleNamespace(**vars(time) | {"perf_counter": lambda: float(next(clock))})
    monkeypatch.setattr(sqlite_reader, "time", stopped)
    assert state(anb.read_traces(proxy.path).store) == usual


def test_no_row_of_any_size_and_no_look_at_a_text_holds_a_writer_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = Proxy(tmp_path / "p.db")
    for i in range(300):
        proxy.call([system("api"), user(f"{i} " + "x" * (4_000_000 if i % 50 == 7 else 20_000))], at=i, call=f"c{i}")
    proxy.close()
    held = holds(monkeypatch)
    with anb.read_traces(proxy.path) as traces:
        assert all(len(traces.span(f"c{i}").request.messages) == 2 for i in range(0, 300, 7))
        assert traces["task-1"].figures["llm_calls"] == 300
    assert len(held) > 43 and max(held) < 0.05
