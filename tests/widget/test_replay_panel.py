"""The backend of the replay panel: plans at any time, starts only where Python allows them."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import anton_notebook as anb
from anton_notebook import llm
from anton_notebook.errors import NotAllowed
from anton_notebook.experiments.rerun import Budget
from anton_notebook.widget.replay_panel import ReplayJobs
from tests.experiments.replay.families import anton
from tests.experiments.replay.programs import TOOLS, execute, model, record


@pytest.fixture
def openai() -> Iterator[None]:
    """Recorded calls of OpenAI's are answered by the model of the tests."""

    class Priced(llm.Scripted):
        name = "openai"

    before = llm._makers["openai"]
    llm.register("openai", Priced(model))
    yield
    llm._makers["openai"] = before


def made(folder: Path, allowed: bool, budget: float = 10.0) -> tuple[ReplayJobs, dict[str, Any], anb.Traces]:
    record(execute(anton(random.Random(1)), model, TOOLS), folder / ".modular-agents" / "traces")
    traces = anb.read_traces(folder)
    purse = Budget(budget)
    call = next(span for span in traces["trace"].spans if span.kind == "llm")
    return ReplayJobs(traces, lambda: allowed, lambda: purse), {"epoch": traces.store.epoch, "row": call.row}, traces


def test_replay_panel_plans_but_starts_only_if_allowed(tmp_path: Path, openai: None) -> None:
    forks, args, traces = made(tmp_path, False)
    ops = forks.handlers()
    planned = ops["fork_plan"]({**args, "prompt": "[plan] Otherwise", "allowed": True, "allow_replay": True})
    assert planned is not None and not planned["allowed"]
    assert planned["rows"]["executed"] == [args["row"]]
    assert planned["rows"]["stale"]
    assert planned["quote"]["calls"] == 1
    with pytest.raises(NotAllowed, match="allow_replay=True"):
        ops["fork_run"]({**args, "prompt": "x", "allowed": True})
    assert len(traces) == 1 and not (tmp_path / ".modular-agents" / "checkpoints.db").exists()


def test_replay_panel_writes_a_branch(tmp_path: Path, openai: None) -> None:
    forks, args, traces = made(tmp_path, True)
    ops = forks.handlers()
    started = ops["fork_run"]({**args, "prompt": "[plan] Otherwise"})
    assert started is not None
    until = time.monotonic() + 20
    while (seen := ops["fork_look"]({"fork": started["fork"]}) or {})[
        "state"
    ] == "running" and time.monotonic() < until:
        time.sleep(0.02)
    assert seen["state"] == "done" and seen["done"] == seen["total"] and seen["counts"]["executed"] == 1
    traces.refresh()
    assert traces[started["trace_id"]].figures["original_trace_id"] == "trace"
    assert len(anb.checkpoints(traces)) == 1


def test_replay_panel_reports_problems_before_start(tmp_path: Path, openai: None) -> None:
    forks, args, _ = made(tmp_path, True, budget=0.0)
    planned = forks.handlers()["fork_plan"](args)
    assert planned is not None and "budget" in planned["problem"]
    with pytest.raises(ValueError, match="earlier reading"):
        forks.handlers()["fork_plan"]({**args, "epoch": "other"})
    with pytest.raises(ValueError, match="No replay"):
        forks.handlers()["fork_look"]({"fork": 7})
