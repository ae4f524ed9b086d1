"""Codex: the steps of a running total, forks without what they inherited, tools with their exit codes."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import anton_notebook as anb
from anton_notebook.sources.reader import Reader
from anton_notebook.store import Store
from tests.support.transcripts import codex_line, codex_session, codex_total, lines, stamp


def read(folder: Path, *sessions: list[dict[str, Any]]) -> anb.Traces:
    for i, session in enumerate(sessions):
        (folder / f"rollout-{i}.jsonl").write_bytes(lines(session))
    return anb.read_traces(folder)


def tokens(traces: anb.Traces) -> list[tuple[int, ...]]:
    frame = traces.spans_df(kind="llm")
    names = ["input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens"]
    return [tuple(int(value) for value in row) for row in frame[names].fillna(0).itertuples(index=False)]


def test_calls_are_the_steps_of_the_total(tmp_path: Path) -> None:
    traces = read(tmp_path, codex_session())
    assert tokens(traces) == [(1000, 200, 50, 20), (1500, 900, 40, 10)]
    run = traces.runs_df().iloc[0]
    assert (run["name"], run["status"], run["tool_calls"], run["errors"]) == ("Run the tests", "ok", 2, 1)
    frame = traces.spans_df(kind="llm")
    assert frame["model"].astype(str).unique().tolist() == ["gpt-5.3-codex"]
    assert frame["cost_usd"].notna().all()


def test_tools_have_arguments_results_and_exit_codes(tmp_path: Path) -> None:
    calls = read(tmp_path, codex_session()).tool_calls_df()
    assert calls["parameters"].tolist() == [{"command": "make"}, {"command": "ls"}]
    assert calls["error"].fillna("").tolist() == ["exit code 2", ""]
    assert calls["result"].tolist()[1] == "a.py\nExit code: 0"


def test_counter_that_falls_begins_anew(tmp_path: Path) -> None:
    session = [*codex_session(), codex_total(20, 0, 0, 0, 0), codex_total(21, 300, 100, 20, 5)]
    assert tokens(read(tmp_path, session))[-1] == (300, 100, 20, 5)


def test_fork_counts_only_what_it_added(tmp_path: Path) -> None:
    parent = codex_session("parent")
    copied = [{**record, "timestamp": stamp(100)} for record in parent[1:]]
    fork = [
        codex_line("session_meta", 100, id="fork", timestamp=stamp(100), forked_from_id="parent"),
        codex_line("session_meta", 100, id="parent", timestamp=stamp(0)),
        *copied,
        codex_line("event_msg", 110, type="task_started", turn_id="2", started_at=1_772_359_910),
        codex_line(
            "response_item", 110, type="message", role="user", content=[{"type": "input_text", "text": "And now?"}]
        ),
        codex_total(112, 2600, 1150, 95, 31),
    ]
    traces = read(tmp_path, parent, fork)
    assert sorted(tokens(traces)) == [(100, 50, 5, 1), (1000, 200, 50, 20), (1500, 900, 40, 10)]
    assert len(traces.runs_df()) == 2


def test_subagent_hangs_under_its_parent_thread(tmp_path: Path) -> None:
    source = {"subagent": {"thread_spawn": {"parent_thread_id": "parent"}}}
    child = [
        codex_line("session_meta", 4, id="child", timestamp=stamp(4), source=source),
        codex_line("event_msg", 5, type="task_started", turn_id="c", started_at=1_772_359_205),
        codex_line("response_item", 5, type="message", role="user", content=[{"type": "input_text", "text": "Look"}]),
        codex_total(6, 70, 0, 7, 0),
    ]
    traces = read(tmp_path, codex_session("parent"), child)
    assert len(traces.runs_df()) == 1
    assert traces.runs_df()["llm_calls"].tolist() == [3]


@settings(max_examples=25)
@given(cuts=st.lists(st.floats(0, 1), max_size=8))
def test_any_split_of_the_bytes_gives_the_same_spans(
    cuts: list[float], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("split")
    expected = tokens(read(tmp_path_factory.mktemp("whole"), codex_session()))
    path, data = folder / "rollout-x.jsonl", lines(codex_session())
    path.write_bytes(b"")
    store = Store()
    reader = Reader([path], store, wait=True)
    for i, j in itertools.pairwise(sorted({0, len(data), *(int(cut * len(data)) for cut in cuts)})):
        with path.open("ab") as file:
            file.write(data[i:j])
        reader.scan()
    reader.close()
    rows = [row for row in store.live_rows().tolist() if store.c.input[row] >= 0]
    assert [(int(store.c.input[row]), int(store.c.cached[row])) for row in rows] == [row[:2] for row in expected]
    assert tokens(anb.read_traces(path)) == expected


def test_recorded_rollouts_have_their_right_values(corpus: Path) -> None:
    right = json.loads((corpus / "agents" / "right_values.json").read_text())
    checked = 0
    for name, values in right.items():
        if not name.startswith("codex/"):
            continue
        frame = anb.read_traces(corpus / "agents" / name).spans_df()
        calls = frame[frame["kind"] == "llm"]
        found = {
            "input": calls["input_tokens"].sum() - calls["cached_tokens"].sum(),
            "cache_read": calls["cached_tokens"].sum(),
            "output": calls["output_tokens"].sum(),
            "reasoning": calls["reasoning_tokens"].sum(),
        }
        assert (name, len(calls), found) == (name, values["calls"], {key: values["tokens"][key] for key in found})
        checked += 1
    assert checked >= 4
