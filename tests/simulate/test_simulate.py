"""The simulated run: in the documented format, believable in every number, and on disk as it would be."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import anton_notebook as anb
from anton_notebook import pricing, simulate
from anton_notebook.simulate import Event, plan, play

TRACES = Path(".modular-agents", "traces")
START = datetime(2026, 1, 1, tzinfo=UTC)
LLM_KEYS = set(
    "timestamp agent_name provider model trace_id span_id parent_id span_type duration_ms tokens cost_usd".split()
)
TOOL_KEYS = set(
    "timestamp tool_name trace_id span_id parent_id span_type agent_name duration_ms success parameters".split()
)


def interval(record: dict[str, Any]) -> tuple[float, float]:
    begin = datetime.fromisoformat(record["timestamp"]).timestamp()
    return begin, begin + record["duration_ms"] / 1000


def ended(events: list[Event]) -> dict[str, Event]:
    return {event.record["span_id"]: event for event in events if not event.running}


@given(st.integers(0, 2**32), st.integers(1, 9), st.integers(1, 150))
def test_any_run_is_in_the_documented_format_with_children_inside_their_parents(
    seed: int, agents: int, spans: int
) -> None:
    events = plan(seed=seed, agents=agents, spans=spans, start=START)
    done = ended(events)
    assert [event.at for event in events] == sorted(event.at for event in events)
    assert len({event.record["trace_id"] for event in events}) == 1
    begun = {event.record["span_id"]: event for event in events if event.running}
    assert begun.keys() <= done.keys()
    for span_id, event in done.items():
        record = event.record
        if record["span_type"] == "llm_call":
            assert record.keys() >= LLM_KEYS | {"messages", "response", "parameters", "tools", "success"}
            assert record["messages"][-1]["role"] == "user"
            tokens = record["tokens"]
            assert tokens["total"] == tokens["input"] + tokens["output"]
        else:
            assert record.keys() >= TOOL_KEYS | {"result"}
            parent = done[record["parent_id"]]
            inside, outside = interval(record), interval(parent.record)
            assert outside[0] < inside[0] and inside[1] < outside[1]
            assert event.at < parent.at, "a parent's line lands after its children's"
        assert event.at == pytest.approx(interval(record)[1] - START.timestamp(), abs=0.002)
        if span_id in begun:
            assert begun[span_id].at <= event.at
            assert begun[span_id].record["timestamp"] == record["timestamp"]
            assert "response" not in begun[span_id].record
    parents = {event.record["parent_id"] for event in done.values()} - {None}
    assert parents <= done.keys()


def test_about_as_many_spans_and_agents_as_asked_for() -> None:
    for agents, spans in ((1, 20), (4, 60), (4, 1000), (12, 300)):
        done = ended(plan(seed=5, agents=agents, spans=spans))
        assert abs(len(done) - spans) <= agents + 6
        assert len({event.record["agent_name"] for event in done.values()}) == agents + 1


def test_the_same_seed_gives_the_same_run_and_another_seed_another() -> None:
    assert plan(seed=4, start=START) == plan(seed=4, start=START)
    assert plan(seed=4, start=START) != plan(seed=5, start=START)
    assert plan(start=START)[0].record["trace_id"] != plan(start=START)[0].record["trace_id"]


def test_speed_divides_every_duration() -> None:
    slow, fast = plan(seed=2, start=START), plan(seed=2, start=START, speed=10)
    assert slow[-1].at / fast[-1].at == pytest.approx(10)
    assert 45 < slow[-1].at < 150


def test_tokens_are_those_of_the_texts_and_costs_those_of_public_prices() -> None:
    for event in ended(plan(seed=6, start=START)).values():
        record = event.record
        if record["span_type"] != "llm_call" or record.get("error"):
            continue
        tokens = record["tokens"]
        price = pricing.cost(record["provider"], record["model"], START, tokens["input"], tokens["output"])
        assert record["cost_usd"] == pytest.approx(price, abs=1e-6)
        assert record["cost_usd"] > 0
        letters = len(record["system_prompt"]) + sum(len(message["content"]) for message in record["messages"])
        assert letters / 5 < tokens["input"] < letters / 5 + 1500


def test_something_fails_is_tried_again_and_something_is_slow() -> None:
    done = [event.record for event in ended(plan(seed=8)).values()]
    failed = [record for record in done if record.get("error")]
    assert {record["span_type"] for record in failed} == {"llm_call", "tool_call"}
    assert any("RETRY #1" in record["messages"][0]["content"] for record in done if record["span_type"] == "llm_call")
    assert sorted(record["duration_ms"] for record in done)[-1] > 20_000
    agents = defaultdict(list)
    for record in done:
        agents[record["agent_name"]].append(interval(record))
    begins = {name: min(i[0] for i in found) for name, found in agents.items() if name != "orchestrator"}
    ends = {name: max(i[1] for i in found) for name, found in agents.items() if name != "orchestrator"}
    assert len(begins) == 4
    assert max(begins.values()) < min(ends.values()), "the agents work at the same time"


@pytest.mark.parametrize(
    "wrong", [{"agents": 0}, {"agents": 1001}, {"spans": 0}, {"speed": 0}, {"speed": float("inf")}]
)
def test_numbers_that_make_no_run_are_refused_by_name(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        plan(**wrong)


def test_what_is_played_is_read_back_whole(tmp_path: Path) -> None:
    events = plan(seed=9, speed=2000)
    files = play(events, tmp_path / TRACES)
    done = ended(events)
    assert len(files) == 5
    with anb.read_traces(tmp_path) as traces:
        frame = traces.spans_df()
        assert len(traces.problems_df()) == 0
        (run,) = traces.runs_df().to_dict("records")
    calls = frame[frame["kind"].isin(["llm", "tool"])]
    assert set(calls["span_id"]) == set(done)
    assert set(frame["status"]) == {"ok", "error"}
    assert run["origin"] == "demo"
    assert run["errors"] == sum(1 for event in done.values() if event.record.get("error"))
    assert run["name"] == simulate.plan.__globals__["sample_texts"].TASK
    assert run["unpriced_calls"] == 0
    assert run["cost_usd"] == pytest.approx(run["recorded_cost_usd"], abs=1e-4)


def test_lines_land_at_their_moment_and_running_calls_show(tmp_path: Path) -> None:
    events = plan(seed=9, speed=40)
    folder = tmp_path / TRACES
    thread = threading.Thread(target=play, args=(events, folder))
    begin = time.monotonic()
    thread.start()
    grew, running = [], 0
    with anb.read_traces(tmp_path, follow=True) as traces:
        while thread.is_alive():
            frame = traces.spans_df()
            grew.append(len(frame))
            running = max(running, int((frame["status"] == "running").sum()))
            time.sleep(0.05)
    thread.join()
    assert time.monotonic() - begin == pytest.approx(events[-1].at, rel=0.5)
    assert len(set(grew)) >= 5
    assert running >= 3


def test_the_process_ends_with_the_one_that_started_it(tmp_path: Path) -> None:
    program = [sys.executable, "-c", START_AND_DIE, str(tmp_path)]
    parent = subprocess.run(program, capture_output=True, text=True, timeout=60)
    assert parent.returncode == -signal.SIGKILL
    child = int(parent.stdout)
    until = time.monotonic() + 10
    while time.monotonic() < until and alive(child):
        time.sleep(0.05)
    assert not alive(child)
    assert any((tmp_path / TRACES).glob("run_*.jsonl"))


START_AND_DIE = """
import os, signal, sys, time
from pathlib import Path
from anton_notebook import simulate
process = simulate.start(sys.argv[1])
while not list(Path(sys.argv[1]).rglob("*.jsonl")):
    time.sleep(0.02)
print(process.pid, flush=True)
assert simulate.start(sys.argv[1]) is None
os.kill(os.getpid(), signal.SIGKILL)
"""


def alive(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_the_command_line_writes_a_run_and_says_what_is_wrong(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "anton_notebook.simulate", "--path", str(tmp_path), "--seed", "1"]
    environment = {key: value for key, value in os.environ.items() if "KEY" not in key}
    more = ["--speed", "3000", "--runs", "2", "--pause", "0"]
    done = subprocess.run([*command, *more], env=environment, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    records = [json.loads(line) for path in tmp_path.rglob("*.jsonl") for line in path.read_text().splitlines()]
    assert len({record["trace_id"] for record in records}) == 2
    wrong = subprocess.run([*command, "--speed", "-1"], env=environment, capture_output=True, text=True, timeout=60)
    assert wrong.returncode == 2
    assert "speed=-1.0" in wrong.stderr and "Traceback" not in wrong.stderr


@pytest.mark.parametrize("ending", ["closed", "open", "no descriptor"])
def test_simulate_leashed_exits_cleanly(tmp_path: Path, ending: str) -> None:
    command = [sys.executable, "-m", "anton_notebook.simulate", "--path", str(tmp_path), "--leashed"]
    command += ["--speed", "1000", "--spans", "5"]
    if ending == "no descriptor":
        command = ["sh", "-c", 'exec "$@" <&-', "sh", *command]
    stdin = subprocess.PIPE if ending == "open" else subprocess.DEVNULL
    process = subprocess.Popen(command, stdin=stdin, stderr=subprocess.PIPE)
    assert process.wait(30) == 0
    assert process.stderr is not None
    assert process.stderr.read() == b""
    process.stderr.close()
    if process.stdin is not None:
        process.stdin.close()
