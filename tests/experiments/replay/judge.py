"""A replay beside the truth: which calls it claims rightly, which wrongly, which not at all."""

from __future__ import annotations

import random
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path

import anton_notebook as anb
from anton_notebook.experiments.replay import Replay
from anton_notebook.experiments.replay.engine import REUSED, STALE, NodeResult
from anton_notebook.experiments.rerun.event_loop import run
from anton_notebook.llm import Scripted
from tests.experiments.replay.families import ALL
from tests.experiments.replay.programs import START, TOOLS, Made, execute, model, record, span_of


@dataclass
class Judged:
    """`right` and `wrong` count by provenance; `asked` is what the server heard, `due` what it should have."""

    right: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)
    asked: int = 0
    due: int = 0

    def add(self, other: Judged) -> None:
        self.right += other.right
        self.wrong += other.wrong
        self.errors += other.errors
        self.asked += other.asked
        self.due += other.due

    @property
    def downstream(self) -> int:
        """Calls that may depend on the change, the changed ones left out."""
        return self.right["inferred"] + self.wrong["inferred"] + self.right[STALE]


def judged(family: str, seed: int, *, others: int = 0, tools: bool = True) -> Judged:
    """Records a program of a family, changes a prompt, replays, and runs the program with the change.

    `others`: so many other runs of it, with other answers, lie beside the recording.
    """
    rng = random.Random(f"{family}:{seed}")
    program = ALL[family](rng)
    recorded = execute(program, model, TOOLS)
    calls = [one for one in recorded.values() if one.kind == "llm"]
    changed = rng.choice(calls)
    old = str(next(m for m in reversed(changed.asked or []) if m["role"] == "user")["content"])
    new = f"{old} But do it otherwise, number {rng.randrange(100)}."
    truth = execute(program, model, TOOLS, {changed.key: new})
    out = Judged()
    with tempfile.TemporaryDirectory() as name:
        record(recorded, Path(name) / ".modular-agents" / "traces")
        for mood in range(others):
            again = execute(program, partial(model, mood=mood), TOOLS)
            earlier = START - timedelta(days=mood + 1)
            record(again, Path(name) / ".modular-agents" / "traces", f"other{mood}", earlier, f"other{mood}")
        traces = anb.read_traces(name)
        cp = anb.Checkpoint.load_from_span(traces.span(span_of(changed.key)), {span_of(changed.key): new})
        script = Scripted(model)
        made = Replay(cp, tools=TOOLS if tools else None, provider=script)
        verdicts: list[NodeResult] = []
        run(_walk(made, verdicts), lambda: None)
        keys = {span_of(key): key for key in recorded}
        for verdict in verdicts:
            key = keys[verdict.node.span_id]
            word = verdict.provenance
            good = word == STALE or holds(verdict, recorded[key], truth.get(key))
            (out.right if good else out.wrong)[word] += 1
            if not good:
                out.errors.append(f"{family} {seed}: {word} {key} ({verdict.reason})")
        out.asked = len(script.requests)
        out.due = sum(v.sent and v.node.kind == "llm" for v in verdicts)
    return out


async def _walk(made: Replay, verdicts: list[NodeResult]) -> bool:
    await made.run()
    verdicts += made.results
    return True


def holds(verdict: NodeResult, before: Made, after: Made | None) -> bool:
    """Whether what the replay claims of a call is what the program did."""
    if after is None:
        return False
    if verdict.node.kind == "tool":
        arguments = before.arguments if verdict.arguments is None else verdict.arguments
        result = before.result if verdict.result is None else verdict.result
        if verdict.outcome is not None:
            result = verdict.outcome.result
        return bool(arguments == after.arguments and result == after.result)
    if verdict.sent:
        assert verdict.request is not None
        return verdict.request.messages == after.sent
    same = before.sent == after.sent
    if verdict.provenance == REUSED:
        assert before.response is not None and after.response is not None
        return same and before.response.text == after.response.text
    return same


def table(runs: int, start: int = 0, others: int = 0) -> str:
    """The shares of every family, with their denominators."""
    rows = [
        f"{'family':20} {'executed':>12} {'reused':>12} {'exact':>16} {'stale':>16} {'wrong':>16}  (of downstream calls)"
    ]
    for family in ALL:
        total = Judged()
        for seed in range(start, start + runs):
            total.add(judged(family, seed, others=others))
        down = max(1, total.downstream)
        executed = (total.right["executed"], total.wrong["executed"])
        exact, wrong, stale = total.right["inferred"], total.wrong["inferred"], total.right["stale"]
        rows.append(
            f"{family:20} {executed[1]:>4}/{sum(executed):<6}x {total.wrong['reused']:>4}/{total.right['reused'] + total.wrong['reused']:<6}x "
            + " ".join(f"{n:>5}/{down:<5}{n / down:>4.0%}" for n in (exact, stale, wrong))
        )
    return "\n".join(rows)


if __name__ == "__main__":
    import sys

    # how many programs of each family, how many other runs lie beside, the first seed
    given = [int(one) for one in sys.argv[1:]]
    many, others, start = [*given, *(50, 0, 0)[len(given) :]]
    print(table(many, start, others))
