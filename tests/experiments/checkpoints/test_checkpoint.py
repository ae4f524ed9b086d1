"""Points of traces: what they hold, how they are kept, changed, listed and found again; anton's own beside ours."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import anton_notebook as anb
from anton_notebook.errors import CheckpointError


def line(span_id: str, at: float, agent: str, messages: list[dict], response: str, **more: object) -> dict:
    stamp = f"2026-01-01T00:00:{at:09.6f}+00:00"
    return {
        "timestamp": stamp, "agent_name": agent, "provider": "openai", "model": "gpt-4o", "trace_id": "run", "span_id": span_id,
        "parent_id": None, "span_type": "llm_call", "duration_ms": 500.0, "messages": messages, "response": response, **more,
    }  # fmt: skip


def user(text: str) -> dict:
    return {"role": "user", "content": text}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    first = [user("Task: plan")]
    lines = [
        line("o1", 1, "orchestrator", first, "the plan", system_prompt="You plan."),
        line("w1", 2, "worker", [user("do it")], "done"),
        {
            "timestamp": "2026-01-01T00:00:02.100000+00:00", "tool_name": "read_file", "trace_id": "run", "span_id": "tool",
            "parent_id": "w1", "span_type": "tool_call", "agent_name": "worker", "duration_ms": 1.0, "success": True,
            "parameters": {"path": "a"}, "result": "text",
        },
        line("w2", 3, "worker", [user("do it"), {"role": "assistant", "content": "done"}, user("again")], "done twice"),
        line("o2", 5, "orchestrator", [*first, {"role": "assistant", "content": "the plan"}, user("and?")], "the end"),
    ]  # fmt: skip
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(one) + "\n" for one in lines))
    return tmp_path


def test_a_checkpoint_holds_every_conversation_up_to_its_point(folder: Path) -> None:
    with anb.read_traces(folder) as traces:
        cp = anb.checkpoint(traces.span("w2"), prompts={"w2": "once more"}, note="try")
    assert (cp.trace_id, cp.span_id, cp.note, cp.modified_prompts) == ("run", "w2", "try", {"w2": "once more"})
    assert cp.timestamp.isoformat() == "2026-01-01T00:00:03+00:00"
    assert cp.module_states == {
        "orchestrator": [
            {"role": "system", "content": "You plan."},
            user("Task: plan"),
            {"role": "assistant", "content": "the plan"},
        ],
        "worker": [user("do it"), {"role": "assistant", "content": "done"}, user("again")],
    }


def test_what_was_saved_is_found_again_and_equal(folder: Path) -> None:
    with anb.read_traces(folder) as traces:
        cp = anb.checkpoint(traces.span("o2"), prompts={"o2": "\ud800 odd"})
        assert cp.checkpoint_id is not None
        again = anb.Checkpoint.load(cp.checkpoint_id, traces)
        assert again == cp and again.span.span_id == "o2"
    assert anb.Checkpoint.load(cp.checkpoint_id, folder) == cp


def test_an_agent_is_a_point_too_and_stands_for_its_first_call(folder: Path) -> None:
    with anb.read_traces(folder) as traces:
        agent = traces.span("w1").parent
        assert agent is not None and agent.kind == "agent"
        cp = anb.Checkpoint.load_from_span(agent)
        assert cp.module_states["worker"] == [user("do it")] and cp.checkpoint_id is None
        assert not (traces.home / "checkpoints.db").exists(), "nothing is made before something is saved"


@pytest.mark.parametrize(
    ("span_id", "said"),
    [("o1", "before the checkpoint"), ("tool", "is tool 'read_file', not a model call"), ("w22", "did you mean")],
)
def test_a_prompt_that_cannot_be_a_change_from_here_is_named(folder: Path, span_id: str, said: str) -> None:
    with anb.read_traces(folder) as traces:
        at = traces.span("w1" if span_id == "tool" else "w2")
        with pytest.raises(ValueError, match=said) as caught:
            anb.checkpoint(at, prompts={span_id: "x"})
        assert repr(span_id) in str(caught.value)
        assert anb.checkpoints(traces).empty


def test_a_change_of_a_saved_checkpoint_is_a_new_one_that_follows_it(folder: Path) -> None:
    with anb.read_traces(folder) as traces:
        cp = anb.checkpoint(traces.span("w2"))
        first = cp.checkpoint_id
        assert cp.apply_modifications({"w2": "b"}) is cp and cp.checkpoint_id is None
        cp.save()
        assert cp.parent_id == first and cp.checkpoint_id != first
        cp.apply_modifications({"w2": None, "o2": "c"})
        assert cp.modified_prompts == {"o2": "c"}
        frame = anb.checkpoints(traces)
        assert frame["prompts"].tolist() == [0, 1] and frame["parent_id"].isna().tolist() == [True, False]


def test_an_unknown_id_is_answered_with_the_nearest(folder: Path) -> None:
    with anb.read_traces(folder) as traces, pytest.raises(CheckpointError, match=r"anb\.checkpoints"):
        anb.Checkpoint.load("nothing", traces)


def test_a_checkpoint_of_a_trace_that_is_gone_is_listed_with_the_reason(folder: Path) -> None:
    with anb.read_traces(folder) as traces:
        anb.checkpoint(traces.span("w2"))
        home = traces.home
    text = (folder / "t.jsonl").read_text().replace('"run"', '"other"')
    (folder / "t.jsonl").write_text(text)
    with anb.read_traces(folder, home=home) as traces:
        row = anb.checkpoints(traces).iloc[0]
        assert not row["replayable"] and "'run'" in row["reason"]


@pytest.mark.parametrize("version", ["anton-jsonl", "anton-proxy"])
def test_antons_own_checkpoints_are_points_of_their_runs(corpus: Path, tmp_path: Path, version: str) -> None:
    shutil.copytree(corpus / version, tmp_path / version)
    with anb.read_traces(tmp_path / version) as traces:
        frame = anb.checkpoints(traces)
        files = list((tmp_path / version / ".modular-agents" / "checkpoints").glob("*/checkpoint_*.json"))
        assert len(frame) == len(files) > 0 and set(frame["origin"]) == {"anton"} and frame["replayable"].all()
        for name in frame["checkpoint_id"]:
            cp = anb.Checkpoint.load(name, traces)
            said = json.loads(next(p for p in files if name in p.name).read_text())
            assert cp.task_description == said["task_description"] and cp.repo_knowledge is not None
            assert cp.span.start >= cp.timestamp and cp.module_states["orchestrator"]
            wanted = {f"module_{agent}" for agent in said["agent_states"]}
            recorded = {
                s.agent for s in traces[cp.trace_id].spans if s.kind == "llm" and s.end and s.end <= cp.timestamp
            }
            assert wanted & recorded <= set(cp.module_states)


def test_antons_checkpoint_without_its_run_is_listed_and_says_why(corpus: Path, tmp_path: Path) -> None:
    shutil.copytree(corpus / "anton-jsonl", tmp_path / "r")
    for path in (tmp_path / "r" / ".modular-agents" / "traces").iterdir():
        path.unlink()
    (tmp_path / "r" / ".modular-agents" / "traces" / "t.jsonl").write_text(
        json.dumps(line("s", 1, "a", [user("x")], "y")) + "\n"
    )
    with anb.read_traces(tmp_path / "r") as traces:
        frame = anb.checkpoints(traces)
        assert len(frame) > 0 and not frame["replayable"].any()
        assert frame["reason"].str.contains("no recorded run").all()
        with pytest.raises(CheckpointError, match="no recorded run"):
            anb.Checkpoint.load(frame["checkpoint_id"].iloc[0], traces)


def test_a_checkpoint_is_shown_as_a_table_without_markup_of_the_trace(folder: Path) -> None:
    with anb.read_traces(folder) as traces:
        html = anb.checkpoint(traces.span("w2"), prompts={"w2": "<script>x</script>"}, note="<b>")._repr_html_()
    assert "<script" not in html and "<b>" not in html and "&lt;script&gt;" in html and "worker (3)" in html
