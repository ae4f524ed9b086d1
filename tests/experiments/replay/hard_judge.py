"""A replay beside the truth on `hard_families`: `python -m tests.experiments.replay.hard_judge RUNS START` prints the table."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

import anton_notebook as anb
from anton_notebook.experiments.replay import Replay
from anton_notebook.experiments.replay.engine import REUSED, STALE, NodeResult
from anton_notebook.experiments.replay.recording import as_text
from anton_notebook.experiments.rerun.event_loop import run
from anton_notebook.llm import Scripted
from tests.experiments.replay.hard_families import HARD
from tests.experiments.replay.judge import Judged
from tests.experiments.replay.programs import span_of
from tests.experiments.replay.simulator import Event, Line, World, answer, record


def judge_family(family: str, seed: int) -> Judged:
    """Record a program of a family, change a prompt, replay, and compare with the program run with the change."""
    rng = random.Random(f"{family}:{seed}")
    case = HARD[family](rng)
    recorded = World()
    case.program(Line(recorded))
    calls = sorted((one for one in recorded.events.values() if one.kind == "llm"), key=lambda one: one.start)
    changed = rng.choice(calls)
    assert changed.request is not None
    new = f"{changed.request.prompt} But do it otherwise, number {rng.randrange(100)}."
    truth = World(change={changed.key: new})
    case.program(Line(truth))
    judged = Judged()
    with tempfile.TemporaryDirectory() as name:
        record(case, recorded, Path(name) / ".modular-agents" / "traces")
        traces = anb.read_traces(name)
        span_id = span_of(changed.key)
        cp = anb.Checkpoint.load_from_span(traces.span(span_id), {span_id: new})
        replay = Replay(cp, tools=case.functions if seed % 2 else None, provider=Scripted(answer))
        run(_finished(replay), lambda: None)
    keys = {span_of(key): key for key in recorded.events}
    for result in replay.results:
        key = keys[result.node.span_id]
        right = result.provenance == STALE or holds(result, recorded.events[key], truth.events.get(key))
        (judged.right if right else judged.wrong)[result.provenance] += 1
        if not right:
            judged.errors.append(f"{family} {seed}: {result.provenance} {key} ({result.reason})")
    return judged


async def _finished(replay: Replay) -> bool:
    await replay.run()
    return True


def holds(result: NodeResult, before: Event, after: Event | None) -> bool:
    """Whether the program did what the replay claims of a call."""
    if after is None or after.kind != before.kind:
        return False
    if result.node.kind == "tool":
        arguments = before.arguments if result.arguments is None else result.arguments
        value = before.result if result.result is None else result.result
        if result.outcome is not None:
            value = as_text(result.outcome.result)
        return bool(arguments == after.arguments and value == after.result and before.name == after.name)
    assert before.request is not None
    assert after.request is not None
    if result.sent:
        assert result.request is not None
        return result.request.messages == after.request.messages and result.request.model == after.request.model
    if before.request != after.request:
        return False
    return result.provenance != REUSED or before.response == after.response


def table(runs: int, start: int = 0) -> str:
    """Claims and errors by family, with their sums."""
    rows = [f"{'family':34} {'reused':>12} {'executed':>12} {'inferred':>12} {'stale':>8}  (wrong / all)"]
    total = Judged()
    for family in HARD:
        judged = Judged()
        for seed in range(start, start + runs):
            judged.add(judge_family(family, seed))
        rows.append(_row(family, judged))
        total.add(judged)
    return "\n".join([*rows, _row("all", total), *total.errors[:60]])


def _row(name: str, judged: Judged) -> str:
    counts = [
        f"{judged.wrong[word]:>4} /{judged.right[word] + judged.wrong[word]:>6}"
        for word in ("reused", "executed", "inferred")
    ]
    return f"{name:34} {' '.join(counts)} {judged.right['stale']:>8}"


if __name__ == "__main__":
    import sys

    given = [int(one) for one in sys.argv[1:]]
    print(table(*(given or [20])))
