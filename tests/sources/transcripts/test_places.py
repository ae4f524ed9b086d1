"""Traces of known programs on this machine, found by name and listed without being read."""

from __future__ import annotations

from pathlib import Path

import pytest

import anton_notebook as anb
from tests.support.transcripts import claude_session, codex_session, lines


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("CLAUDE_CONFIG_DIR", "CODEX_HOME", "XDG_DATA_HOME", "PHOENIX_WORKING_DIR"):
        monkeypatch.delenv(name, raising=False)
    for name, records in claude_session().items():
        path = tmp_path / ".claude" / "projects" / "-home-me" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(lines(records))
    rollout = tmp_path / ".codex" / "sessions" / "2026" / "03" / "01" / "rollout-x.jsonl"
    rollout.parent.mkdir(parents=True)
    rollout.write_bytes(lines(codex_session()))
    return tmp_path


def test_find_traces_lists_places(machine: Path) -> None:
    frame = anb.find_traces().set_index("name")
    assert frame.loc["claude-code", "files"] == 2
    assert frame.loc["codex", "files"] == 1
    assert frame["is_read"].all()


def test_read_traces_takes_a_programs_name(machine: Path) -> None:
    assert anb.read_traces("claude-code").runs_df()["llm_calls"].tolist() == [4]
    assert anb.read_traces("codex").runs_df()["llm_calls"].tolist() == [2]
    assert len(anb.read_traces(anb.find_traces()).runs_df()) == 2


def test_read_traces_reports_a_program_without_traces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("CODEX_HOME", raising=False)
    with pytest.raises(anb.PathNotFound, match=r"codex has left no traces here; looked in"):
        anb.read_traces("codex")


def test_list_sources_names_the_kinds(machine: Path) -> None:
    kinds = anb.list_sources(machine / ".claude" / "projects")["kind"].tolist()
    assert kinds == ["claude_code", "claude_code"]


def test_links_out_of_the_folder_are_not_followed(machine: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside") / "other.jsonl"
    outside.write_bytes(lines(codex_session("other")))
    (machine / ".codex" / "sessions" / "link.jsonl").symlink_to(outside)
    (machine / ".codex" / "sessions" / "folder").symlink_to(outside.parent)
    assert anb.read_traces("codex").runs_df()["trace_id"].tolist() == ["thread-1"]
