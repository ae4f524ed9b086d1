"""A recorded program run again in a copy: the same without a change, forked at a prompt with one, stopped where it goes astray."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import anton_notebook as anb
from anton_notebook.errors import ReplayDivergence, ReplayError
from anton_notebook.experiments.replay.program.command import replay_command
from anton_notebook.experiments.replay.program.request_matching import PRESETS, NormalizeRules, first_difference
from anton_notebook.experiments.replay.program.workdir import copy_of
from tests.support.agents_by_hand import PROGRAM, answer, record, repository
from tests.support.servers.llm_server import LlmServer

COMMAND = [sys.executable, str(PROGRAM), "Add a cache"]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, LlmServer]]:
    where = repository(tmp_path_factory.mktemp("program") / "repo")
    with LlmServer(answer) as server:
        done = record(where, server, *COMMAND)
        assert done.returncode == 0, done.stderr
        yield where, server


def upstreams(server: LlmServer) -> dict[str, str]:
    return {"anthropic": server.url, "openai": f"{server.url}/v1"}


def keys(server: LlmServer) -> dict[str, str]:
    return {name: value for name, value in server.environment().items() if name.endswith("KEY")}


def files(where: Path) -> dict[str, str]:
    """Every file of the original but git's own and the new traces, with what it holds."""
    return {
        str(path.relative_to(where)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in where.rglob("*")
        if path.is_file() and ".git" not in path.parts and not path.name.startswith("branch_") and path.suffix != ".db"
    }


def run(recorded: tuple[Path, LlmServer], cp: anb.Checkpoint, command: list[str] = COMMAND, **given: Any) -> Any:
    _, server = recorded
    return replay_command(
        cp, command=command, upstreams=upstreams(server), environment=keys(server), timeout=100, **given
    )


def calls(traces: anb.Traces, agent: str) -> list[Any]:
    (trace,) = [t for t in traces if t.figures["origin"] == "record"]
    return [span for span in trace.spans if span.kind == "llm" and span.agent == agent]


def test_without_a_change_it_is_the_same_and_nothing_is_asked(recorded: tuple[Path, LlmServer]) -> None:
    where, server = recorded
    before, asked = files(where), len(server.calls)
    with anb.read_traces(where) as traces:
        cp = anb.checkpoint(calls(traces, "coder")[0])
        frame = run(recorded, cp)
        assert len(server.calls) == asked, "nothing was asked"
        llm = frame[frame["kind"] == "llm"]
        assert len(llm) == 6 and set(llm["provenance"]) == {"reused"} and (llm["similarity"] == 1).all()
        assert len(frame) == 8 and frame.attrs["exit_code"] == 0 and frame.attrs["how"] == "git worktree"
        assert frame.attrs["output"].startswith("All done. The coder says: I did: write the code for: Add a cache")
        branch, original = traces[frame.attrs["new_trace_id"]], traces[cp.trace_id]
        assert branch.figures["origin"] == "replay" and branch.figures["original_trace_id"] == cp.trace_id
        assert branch.figures["cost_usd"] == 0
        rules = NormalizeRules(None)
        by_id = {s.span_id: s for s in original.spans}
        for span in branch.spans:
            if span.kind == "llm":
                old = by_id[span.record["anton_notebook"]["original_span_id"]]
                for one in ("request", "response"):
                    a, b = getattr(old, one), getattr(span, one)
                    if one == "request":
                        assert rules.value(a.as_dict(), rules.empty()) == rules.value(b.as_dict(), rules.empty())
                    else:
                        assert a == b
    assert files(where) == before, "the original is as it was"
    worktrees = subprocess.run(
        ["git", "worktree", "list"], cwd=where, capture_output=True, text=True, check=True
    ).stdout
    assert len(worktrees.splitlines()) == 1, "the copy is gone"


def test_forked_at_a_prompt_the_change_is_sent_and_what_follows_is_live(recorded: tuple[Path, LlmServer]) -> None:
    where, server = recorded
    with anb.read_traces(where) as traces:
        first, _ = calls(traces, "coder")
        cp = anb.checkpoint(first, prompts={first.span_id: "Task: write nothing at all"})
        asked = len(server.calls)
        frame = run(recorded, cp, cache=False)
        by_agent = {
            agent: list(rows["provenance"])
            for agent, rows in frame[frame["kind"] == "llm"].groupby("agent", observed=True)
        }
        assert by_agent["orchestrator"] == ["reused", "executed"]
        assert by_agent["coder"][0] == "executed"
        changed = frame[frame["span_id"] == first.span_id].iloc[0]
        assert changed["reason"] == "the caller changed its prompt"
        sent = server.calls[asked:]
        assert len(sent) == (frame["provenance"] == "executed").sum()
        assert sent[0].body["messages"][-1]["content"] == "Task: write nothing at all"
        new = traces[frame.attrs["new_trace_id"]]
        assert [s.request.prompt for s in new.spans if s.span_id == changed["new_span_id"]] == [
            "Task: write nothing at all"
        ]
        assert all(s.request.missing == () for s in new.spans if s.kind == "llm")


def test_a_change_of_the_plan_reaches_both_agents(recorded: tuple[Path, LlmServer]) -> None:
    where, _ = recorded
    with anb.read_traces(where) as traces:
        plan = calls(traces, "orchestrator")[0]
        cp = anb.checkpoint(plan, prompts={plan.span_id: "Task: Remove the cache"})
        frame = run(recorded, cp, cache=False)
        assert set(frame[frame["kind"] == "llm"]["provenance"]) == {"executed"}
        assert "write the code for: Remove the cache" in frame.attrs["output"]
        # the answers speak of the copy to the program and of the original in the trace
        said = [
            s.response.text
            for s in traces[frame.attrs["new_trace_id"]].spans
            if s.agent == "reviewer" and s.kind == "llm"
        ]
        assert said[-1].startswith(f"In {where.resolve()} I reviewed")


def test_the_point_itself_can_be_asked_anew(recorded: tuple[Path, LlmServer]) -> None:
    where, server = recorded
    with anb.read_traces(where) as traces:
        last = calls(traces, "orchestrator")[1]
        asked = len(server.calls)
        frame = run(recorded, anb.checkpoint(last), fresh=True, cache=False)
        assert len(server.calls) == asked + 1
        assert frame[frame["provenance"] == "executed"]["span_id"].tolist()[-1:] == [last.span_id]


def test_the_program_runs_in_the_copy_and_may_keep_it(recorded: tuple[Path, LlmServer]) -> None:
    where, _ = recorded
    with anb.read_traces(where) as traces:
        frame = run(recorded, anb.checkpoint(calls(traces, "coder")[0]), keep_workdir=True)
    copy = Path(frame.attrs["workdir"])
    assert copy.name == "repo" and (copy / "notes" / "review.txt").read_text() == "review the plan for: Add a cache"
    assert not (copy / ".modular-agents").exists()
    subprocess.run(["git", "worktree", "remove", "--force", str(copy)], cwd=where, check=True)


def test_R6_a_request_that_differs_before_the_change_stops_it_and_says_where(recorded: tuple[Path, LlmServer]) -> None:
    where, server = recorded
    with anb.read_traces(where) as traces:
        last = calls(traces, "orchestrator")[1]
        cp = anb.checkpoint(last, prompts={last.span_id: "x"})
        asked, began = len(server.calls), time.monotonic()
        with pytest.raises(ReplayDivergence) as caught:
            run(recorded, cp, command=[sys.executable, str(PROGRAM), "Add a cat"])
        assert caught.value.step == 0 and time.monotonic() - began < 60
        assert "Add a cache" in str(caught.value.expected) and "Add a cat" in str(caught.value.actual)
        assert "/messages/0/text" in str(caught.value) and "normalize=" in str(caught.value)
        assert len(server.calls) == asked


def test_without_the_presets_the_run_id_is_a_difference(recorded: tuple[Path, LlmServer]) -> None:
    where, _ = recorded
    with anb.read_traces(where) as traces:
        cp = anb.checkpoint(calls(traces, "coder")[0])
        with pytest.raises(ReplayDivergence, match=r"differs first at /system"):
            run(recorded, cp, normalize=[])
        frame = run(recorded, cp, normalize=[(r"Run [0-9a-f-]{36}", "Run"), "iso-time"])
        assert set(frame[frame["kind"] == "llm"]["provenance"]) == {"reused"}


def test_a_program_that_ends_before_the_change_is_a_divergence(recorded: tuple[Path, LlmServer]) -> None:
    where, _ = recorded
    with anb.read_traces(where) as traces:
        last = calls(traces, "orchestrator")[1]
        cp = anb.checkpoint(last, prompts={last.span_id: "x"})
        with pytest.raises(ReplayDivergence, match=r"ended \(exit code 3\) after 0 requests.*bye"):
            run(recorded, cp, command=[sys.executable, "-c", "print('bye'); raise SystemExit(3)"])


def test_what_cannot_be_run_says_so(recorded: tuple[Path, LlmServer], tmp_path: Path) -> None:
    where, _ = recorded
    with anb.read_traces(where) as traces:
        cp = anb.checkpoint(calls(traces, "coder")[0])
        with pytest.raises(ReplayError, match="cannot be started"):
            run(recorded, cp, command=["no-such-program-anywhere"])
        with pytest.raises(TypeError, match="must be a list"):
            run(recorded, cp, command="ls -l")  # type: ignore[arg-type]
        for workdir in (where, where / "notes", where.parent, tmp_path / "none"):
            with pytest.raises(ReplayError, match="workdir="):
                run(recorded, cp, workdir=workdir)
        with pytest.raises(ValueError, match="normalize"):
            run(recorded, cp, normalize=["dates"])
        began = time.monotonic()
        with pytest.raises(ReplayError, match="longer than timeout"):
            replay_command(cp, command=[sys.executable, "-c", "import time; time.sleep(60)"], timeout=1)
        assert time.monotonic() - began < 20


def test_a_folder_that_is_no_git_repository_is_copied(tmp_path: Path) -> None:
    where = repository(tmp_path / "plain", git=False)
    with LlmServer(answer) as server:
        assert record(where, server, *COMMAND).returncode == 0
        with anb.read_traces(where) as traces:
            frame = run((where, server), anb.checkpoint(calls(traces, "coder")[0]))
    assert frame.attrs["how"] == "copy" and set(frame[frame["kind"] == "llm"]["provenance"]) == {"reused"}


def test_ids_of_the_recording_in_an_answer_become_those_of_the_run(tmp_path: Path) -> None:
    """A program that looks its own id up in the answer gets it."""
    code = (
        "import anthropic, uuid\n"
        "mine = str(uuid.uuid4())\n"
        "ask = [{'role': 'user', 'content': f'repeat {mine}'}]\n"
        "got = anthropic.Anthropic().messages.create(model='claude-haiku-4-5', max_tokens=9, messages=ask)\n"
        "assert got.content[0].text == f'you said repeat {mine}', got\n"
    )
    from tests.support.servers.llm_server import Reply

    with LlmServer(lambda call: Reply(f"you said {call.body['messages'][0]['content']}")) as server:
        assert record(tmp_path, server, sys.executable, "-c", code).returncode == 0
        with anb.read_traces(tmp_path) as traces:
            (trace,) = traces
            span = next(s for s in trace.spans if s.kind == "llm")
            frame = run((tmp_path, server), anb.checkpoint(span), command=[sys.executable, "-c", code])
            assert frame.attrs["exit_code"] == 0 and len(server.calls) == 1


@pytest.mark.parametrize(
    ("name", "same", "other"),
    [
        ("uuid", ("6ba7b810-9dad-11d1-80b4-00c04fd430c8", "6BA7B811-9DAD-11D1-80B4-00C04FD430C9"), "6ba7b810-9dad"),
        ("iso-time", ("2026-01-02T03:04:05.123456+00:00", "2026-11-22 23:59Z"), "2026-01-02"),
        ("anton-task", ("5ee4b0b5_st_2", "d513686b_st_2"), "deadbeef"),
    ],
)
def test_the_presets_make_equal_what_they_name_and_nothing_else(name: str, same: tuple[str, str], other: str) -> None:
    assert name in PRESETS
    rules = NormalizeRules([name])
    one, two = (rules.text(f"at {text}, done", rules.empty()) for text in same)
    assert one == two and rules.text(other, rules.empty()) == other


def test_the_first_difference_is_the_first() -> None:
    assert first_difference({"a": [1, {"b": "xy"}]}, {"a": [1, {"b": "xz"}]}) == ("/a/1/b (character 1)", "xy", "xz")
    assert first_difference([1, 2], [1]) == ("/1", 2, None)
    assert first_difference({"a": 1}, {"a": 1, "b": 2}) == ("/b", None, 2)
    assert first_difference(json.loads('{"a": 1.0}'), {"a": 1.0}) is None


def test_a_repositorys_hooks_and_watcher_are_not_run_for_a_copy(tmp_path: Path) -> None:
    where, ran = tmp_path / "repo", tmp_path / "ran"
    where.mkdir()
    (where / "a.txt").write_text("a")
    for words in (
        ("init", "-q"),
        ("add", "a.txt"),
        ("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "a"),
    ):
        subprocess.run(["git", *words], cwd=where, check=True)
    for number, hook in enumerate(("post-checkout", "reference-transaction")):
        (where / ".git" / "hooks" / hook).write_text(f"#!/bin/sh\ntouch {ran}-{number}\n")
        (where / ".git" / "hooks" / hook).chmod(0o755)
    subprocess.run(["git", "config", "core.fsmonitor", f"touch {ran}-watcher; false"], cwd=where, check=True)
    copy = copy_of(where)
    assert copy.how == "git worktree" and (copy.path / "a.txt").read_text() == "a"
    copy.remove()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["repo"]
