"""Asking again, replaying and keeping, case by case: what `tests/FAULTS.md` does not place elsewhere, and the harnesses on
broken parts."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import anton_notebook as anb
from anton_notebook.errors import AntonNotebookError, BudgetError
from anton_notebook.experiments.checkpoints import CheckpointDatabase, CheckpointRow, database
from anton_notebook.experiments.rerun import Budget, Sweep, plan
from anton_notebook.experiments.rerun.budget import worst_case
from anton_notebook.experiments.rerun.variants import plain_body
from anton_notebook.llm import Policy, Scripted
from tests.conftest import ROOT
from tests.experiments.checkpoints import test_database as checkpoint_store
from tests.experiments.rerun.test_budget import Shop, asked
from tests.support.pages import line
from tests.support.scale import many

PROMPTS: dict[str, dict[str, Any]] = {
    "no messages": {"messages": None},
    "messages of another kind": {"messages": 7},
    "no model": {"model": None, "provider": None},
    "a tool": {"span_type": "tool_call", "tool_name": "grep"},
}


@pytest.mark.parametrize("name", PROMPTS)
def test_R5_what_cannot_be_asked_again_is_refused_before_any_call(tmp_path: Path, name: str) -> None:
    (tmp_path / "t.jsonl").write_bytes(line("odd", **PROMPTS[name]))
    script = Scripted(["never"])
    with anb.read_traces(tmp_path) as traces:
        try:
            frame = anb.rerun(traces.span("odd"), provider=script, progress=False)
        except (AntonNotebookError, ValueError) as error:
            said = str(error)
        else:
            assert name == "no model" and frame["error"].isna().all(), "a model may be the provider's own"
            return
    assert len(said) > 20 and not script.requests


@pytest.mark.parametrize("size", [10, 1_000_000])
def test_R5_a_huge_prompt_is_sent_exactly_as_it_is(tmp_path: Path, size: int) -> None:
    messages = [{"role": "user", "content": "ä" * size}]
    (tmp_path / "t.jsonl").write_bytes(line("s", messages=messages, system_prompt=None))
    script = Scripted(["ok"])
    with anb.read_traces(tmp_path) as traces:
        anb.rerun(traces.span("s"), provider=script, progress=False)
    assert script.requests[0].messages == messages


BRANCH = """
import sys, os
from pathlib import Path
from anton_notebook.sources.writer import create
for line in sys.stdin:
    child = os.fork()
    if child:
        os.write(1, b"%d\\n" % child)
        os.waitpid(child, 0)
        os.write(1, b"end\\n")
        continue
    with create(Path(sys.argv[1]), "branch", {"origin": "replay", "original_trace_id": "run-1"}) as out:
        for number in range(10**9):
            out.write({"trace_id": "new", "span_id": f"b{number}", "timestamp": "2026-01-01T00:00:00Z", "response": "y" * 3000})
"""


def test_R9_killed_while_a_branch_is_written_the_original_is_untouched_and_the_branch_a_prefix(
    tmp_path: Path,
) -> None:
    rounds = many(30, 1000)
    original, dice, spans, torn = tmp_path / "t.jsonl", random.Random(5), 0, 0
    original.write_bytes(line("s"))
    before = hashlib.sha256(original.read_bytes()).hexdigest()
    command = [sys.executable, "-c", BRANCH, str(tmp_path)]
    writers = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT)
    assert writers.stdin is not None and writers.stdout is not None
    for _ in range(rounds):
        writers.stdin.write(b"go\n")
        writers.stdin.flush()
        child = int(writers.stdout.readline())
        time.sleep(dice.random() * 0.03)
        os.kill(child, signal.SIGKILL)
        assert writers.stdout.readline() == b"end\n"
        for path in tmp_path.glob("branch_*.jsonl"):
            *whole, rest = path.read_bytes().split(b"\n")
            assert [json.loads(one)["span_id"] for one in whole] == [f"b{i}" for i in range(len(whole))]
            spans, torn = spans + len(whole), torn + bool(rest)
            path.unlink()
    writers.stdin.close()
    writers.stdout.close()
    assert writers.wait(30) == 0
    assert hashlib.sha256(original.read_bytes()).hexdigest() == before
    with anb.read_traces(original) as traces:
        assert traces.span("s").response.text == "Done."
    print(f"{rounds} kills, {spans} whole lines, {torn} cut in the middle, the original untouched")
    assert spans > 0


class Clicks(Budget):
    """A limiter that counts what was clicked, not what was attempted."""

    def __init__(self, limit: float) -> None:
        super().__init__(limit)
        self.counted: set[object] = set()

    async def reserve(self, amount: int) -> None:
        task = asyncio.current_task()
        if task not in self.counted:
            self.counted.add(task)
            await super().reserve(amount)

    def settle(self, reserved: int, spent: int) -> None:
        if self.reserved >= reserved:
            super().settle(reserved, spent)


def overspent(make: type[Budget]) -> int:
    """Of a hundred sweeps with retries, those of which more was billed than the purse knows or allows."""
    bad = 0
    for seed in range(100):
        shop, purse = Shop(seed, ["turned away", "most", "turned away", "untold"]), make(0.01)
        sweep = Sweep(plan(asked(), provider=shop, n=8), budget=purse, concurrency=3, policy=Policy(first_wait=0.0))
        asyncio.run(sweep.run())
        bad += shop.billed > purse.spent_usd + 1e-12 or shop.billed > 0.01
    return bad


DEARER: dict[str, dict[str, Any]] = {
    "service_tier='priority'": {"service_tier": "priority"},
    "speed='fast'": {"speed": "fast"},
    "inference_geo='us'": {"inference_geo": "us"},
    "modalities": {"modalities": ["text", "audio"]},
    "web_search_options": {"web_search_options": {"search_context_size": "high"}},
    "prediction": {"prediction": {"type": "content", "content": "x"}},
    "web_search_20250305, which takes a fee": {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
    "code_interpreter, which takes a fee": {"tools": [{"type": "code_interpreter"}]},
    "kept for an hour": {
        "tools": [{"type": "custom", "name": "x", "cache_control": {"type": "ephemeral", "ttl": "1h"}}]
    },
}


@pytest.mark.parametrize("what", DEARER)
def test_R3_what_costs_more_than_its_tokens_is_refused_with_a_budget(what: str) -> None:
    request = asked()
    assert worst_case("openai", request, plain_body(request)) > 0
    with pytest.raises(BudgetError, match=re.escape(what)):
        worst_case("openai", request, {**plain_body(request), **DEARER[what]})


def test_R3_attempts_are_counted_and_a_limiter_that_counts_clicks_is_caught() -> None:
    assert overspent(Budget) == 0
    caught = overspent(Clicks)
    print(f"a limiter that counts clicks: {caught} of 100 sweeps are overspent")
    assert caught > 10


def test_R11_a_store_that_says_saved_before_it_has_saved_is_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = "            store.insert("
    said = '            os.write(1, f"{i}\\n".encode())\n'
    assert saved in checkpoint_store.SAVERS and said in checkpoint_store.SAVERS
    hasty = checkpoint_store.SAVERS.replace(said, "").replace(saved, said + saved)
    monkeypatch.setattr(checkpoint_store, "SAVERS", hasty)
    with pytest.raises(AssertionError):
        checkpoint_store.kills(CheckpointDatabase(tmp_path / "c.db"), 20)


def test_R11_a_store_that_forgets_to_sync_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def synced() -> bool:
        db = database._connect(tmp_path / "c.db")
        try:
            return db.execute("PRAGMA synchronous").fetchone() in ((2,), (3,))
        finally:
            db.close()

    when = "2026-01-01T00:00:00+00:00"
    CheckpointDatabase(tmp_path / "c.db").insert(CheckpointRow("1", "t", "s", when, when))
    assert synced()
    monkeypatch.setattr(database, "SYNCHRONOUS", "PRAGMA synchronous = OFF")
    assert not synced()
