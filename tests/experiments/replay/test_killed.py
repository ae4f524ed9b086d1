"""Replays against a server that counts, and replays that are killed at any moment and taken up again."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

import anton_notebook as anb
from anton_notebook.model.request import Request
from tests.conftest import ROOT
from tests.experiments.replay.families import anton
from tests.experiments.replay.programs import TOOLS, execute, model, record, span_of
from tests.support.servers.llm_server import Call, LlmServer, Reply


def answer(call: Call) -> Reply:
    found = model(Request("openai", "gpt-4o", None, call.body["messages"]))
    return Reply(found.text, [(c["name"], c["arguments"]) for c in found.tool_calls], delay=0.02)


def test_the_server_hears_what_was_executed_and_what_differs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with LlmServer(answer) as server:
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        for seed in range(6):
            folder = tmp_path / str(seed)
            record(execute(anton(random.Random(seed)), model, TOOLS), folder / ".modular-agents" / "traces")
            traces = anb.read_traces(folder)
            heard = len(server.calls)
            cp = anb.checkpoint(traces.span(span_of("1")), {span_of("1"): f"[plan] Otherwise {seed}"})
            df = anb.replay(cp, progress=False)
            llm = df[(df["kind"] == "llm")]
            kept = llm["reason"].str.contains("as recorded")
            due = (llm["provenance"] == "executed").sum() + ((llm["provenance"] == "inferred") & ~kept).sum()
            assert len(server.calls) - heard == due and df["error"].isna().all()
            again = anb.replay(cp, progress=False)
            assert len(server.calls) - heard == due, "what is kept was asked again"
            assert again["provenance"].astype(str).tolist() == df["provenance"].astype(str).tolist()
            assert again["replayed"].fillna("").tolist() == df["replayed"].fillna("").tolist()


@pytest.mark.parametrize("rounds", [3, pytest.param(100, marks=pytest.mark.nightly)])
def test_killed_replays_pay_nothing_twice_and_leave_originals_alone(tmp_path: Path, rounds: int) -> None:
    rng = random.Random(rounds)
    with LlmServer(answer) as server:
        original = record(execute(anton(random.Random(1)), model, TOOLS), tmp_path / ".modular-agents" / "traces")
        before = original.read_bytes()
        env = {**os.environ, **server.environment()}
        for turn in range(rounds):
            command = [
                sys.executable,
                "-m",
                "tests.experiments.replay.killed",
                str(tmp_path),
                span_of("1"),
                f"[plan] Otherwise {turn}",
            ]
            heard = len(server.calls)
            with subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE) as process:
                assert process.stdout is not None
                assert process.stdout.readline() == b"ready\n"
                until = time.monotonic() + 10
                asked = rng.randrange(1, 4)
                while len(server.calls) - heard < asked and time.monotonic() < until and process.poll() is None:
                    time.sleep(0.002)
                time.sleep(rng.random() * 0.1)
                process.send_signal(signal.SIGKILL)
            answered = _answered(tmp_path)
            first = Counter(call.raw for call in server.calls[heard:])
            done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=300)
            assert done.returncode == 0, done.stderr
            for call in server.calls[heard + sum(first.values()) :]:
                said = json.dumps(call.body["messages"], sort_keys=True)
                assert said not in answered, "an answer that was on disk was paid for again"
            assert original.read_bytes() == before


def _answered(folder: Path) -> set[str]:
    """The requests whose answers are in a branch."""
    found = set()
    for path in (folder / ".modular-agents" / "traces").glob("branch_*.jsonl"):
        for line in path.read_bytes().splitlines(keepends=True):
            if line.endswith(b"\n"):
                one = json.loads(line)
                if one.get("cost_usd") and one["anton_notebook"]["provenance"] in ("executed", "inferred"):
                    found.add(json.dumps(one["messages"], sort_keys=True))
    return found
