"""A run of agents, planned in full before the first line is written: what happens when, to whom, at what price.

`plan` is a pure function of its arguments. It returns lines in the documented format, each with the moment at which a
real program would have written it: a call that takes long is written when it begins (as running) and again when it ends,
and a parent's line lands after the lines of its children.
"""

from __future__ import annotations

import json
import math
import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from anton_notebook import pricing
from anton_notebook.simulate import sample_texts
from anton_notebook.simulate.sample_texts import Module

PLANNER = ("claude", "claude-sonnet-4-20250514")
WORKERS = (("claude", "claude-sonnet-4-20250514"), ("openai", "gpt-4o"), ("claude", "claude-3-5-haiku-20241022"))
TOOLS = {
    "read_file": {"path": "string"},
    "grep_codebase": {"pattern": "string"},
    "write_file": {"path": "string", "content": "string"},
    "run_tests": {"path": "string"},
    "list_directory": {"path": "string"},
}
FRESH = 4
"""Turns of one conversation; a longer piece of work goes on in a new one."""


class Event(NamedTuple):
    """One line: written `at` seconds after the run began, into the file of `agent`."""

    at: float
    agent: str
    record: dict[str, Any]
    running: bool


class Luck(NamedTuple):
    """What goes wrong for a module agent: a test fails at first, a call fails and is tried again, a call is slow."""

    fails: bool
    retries: bool
    slow: bool


class Turn(NamedTuple):
    """One tool call within a call to a model: how long it takes, and what comes of it."""

    tool: str
    seconds: float
    parameters: dict[str, Any]
    result: str
    success: bool = True


@dataclass
class _Run:
    rng: random.Random
    start: datetime
    speed: float
    events: list[Event] = field(default_factory=list)

    def new_id(self) -> str:
        return str(uuid.UUID(int=self.rng.getrandbits(128), version=4))

    def __post_init__(self) -> None:
        self.trace_id = self.new_id()

    def stamp(self, at: float) -> str:
        moment = self.start + timedelta(seconds=at / self.speed)
        return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")

    def line(
        self, agent: str, span_type: str, span_id: str, parent: str | None, at: float, took: float
    ) -> dict[str, Any]:
        return {
            "timestamp": self.stamp(at),
            "agent_name": agent,
            "trace_id": self.trace_id,
            "span_id": span_id,
            "parent_id": parent,
            "span_type": span_type,
            "duration_ms": round(took / self.speed * 1000, 3),
        }

    def write(self, agent: str, record: dict[str, Any], at: float, took: float, *, long: bool) -> None:
        if long:
            begun = {key: value for key, value in record.items() if key not in _ENDED}
            self.events.append(Event(at / self.speed, agent, begun, True))
        self.events.append(Event((at + took) / self.speed, agent, record, False))


_ENDED = {"duration_ms", "response", "tokens", "cost_usd", "finish_reason", "success", "error", "result"}


@dataclass
class _Agent:
    """One agent: its model, its conversation, and the clock of its own work."""

    run: _Run
    name: str
    model: tuple[str, str]
    system: str
    parent: str | None
    at: float
    messages: list[dict[str, str]] = field(default_factory=list)

    def call(
        self, ask: str, answer: str, seconds: float, turns: list[Turn] | None = None, error: str | None = None
    ) -> str:
        """One call to the model with the tool calls inside it. Returns its span id; the clock stands at its end."""
        run, begin = self.run, self.at
        span_id = run.new_id()
        self.messages.append({"role": "user", "content": ask})
        sent = list(self.messages)
        clock = begin + min(0.4, seconds / 8)
        share = max(0.0, seconds - 0.8 - sum(t.seconds for t in turns or ())) / (len(turns or ()) + 1)
        for turn in turns or ():
            clock += share
            tool = run.line(self.name, "tool_call", run.new_id(), span_id, clock, turn.seconds)
            tool |= {
                "tool_name": turn.tool,
                "parameters": turn.parameters,
                "result": turn.result,
                "success": turn.success,
            }
            if not turn.success:
                tool["error"] = turn.result.splitlines()[-1]
            run.write(self.name, tool, clock, turn.seconds, long=turn.seconds > 0.6)
            clock += turn.seconds
            self.messages.append({"role": "assistant", "content": f"Calling tool: {turn.tool}"})
            self.messages.append({"role": "user", "content": f"Tool result from {turn.tool}: {turn.result}"})
        took = max(seconds, clock - begin + 0.2)
        record = run.line(self.name, "llm_call", span_id, self.parent, begin, took)
        read = _tokens(self.system, json.dumps(TOOLS), *(m["content"] for m in self.messages))
        wrote = 0 if error else _tokens(answer, *(json.dumps(t.parameters) for t in turns or ()))
        record |= {
            "provider": self.model[0],
            "model": self.model[1],
            "system_prompt": self.system,
            "messages": sent,
            "tools": _definitions(),
            "parameters": {"max_tokens": 4096, "temperature": 0.2},
            "response": "" if error else answer,
            "success": error is None,
        }
        if error:
            record |= {"error": error, "tokens": {"input": 0, "output": 0, "total": 0}, "cost_usd": 0.0}
        else:
            price = pricing.cost(*self.model, run.start, read, wrote)
            record |= {"finish_reason": "end_turn" if self.model[0] == "claude" else "stop"}
            record |= {"tokens": {"input": read, "output": wrote, "total": read + wrote}, "cost_usd": round(price, 6)}
            self.messages.append({"role": "assistant", "content": answer})
        run.write(self.name, record, begin, took, long=True)
        self.at = begin + took + run.rng.uniform(0.05, 0.3)
        return span_id


def _tokens(*parts: str) -> int:
    """About as many tokens as such text has: some four letters each, and a few for each message."""
    return sum(math.ceil(len(part) / 3.9) + 4 for part in parts)


def _definitions() -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "description": name.replace("_", " ").capitalize(),
            "input_schema": {
                "type": "object",
                "properties": {key: {"type": kind} for key, kind in fields.items()},
                "required": list(fields),
            },
        }
        for name, fields in TOOLS.items()
    ]


def modules(agents: int) -> list[Module]:
    """So many modules; past the written ones they are numbered."""
    known = sample_texts.MODULES
    return [
        known[i]
        if i < len(known)
        else known[i % len(known)]._replace(name=f"{known[i % len(known)].name}_{i // len(known) + 1}")
        for i in range(agents)
    ]


def plan(
    *, seed: int | None = None, agents: int = 4, spans: int = 60, speed: float = 1.0, start: datetime | None = None
) -> list[Event]:
    """All lines of one run, by the moment they are written.

    `agents` module agents work in parallel under one orchestrator; about `spans` calls to models and tools are made in all.
    At `speed=1` the run takes somewhat more than a minute; `speed` divides all durations. `start` is when it begins
    (now). The same `seed` gives the same run. Raises ValueError on numbers that make no run.

    >>> events = plan(seed=1, agents=2, spans=20)
    >>> events == sorted(events, key=lambda event: event.at)
    True
    """
    if not 1 <= agents <= 1000:
        raise ValueError(f"agents={agents}: between 1 and 1000 agents are possible")
    if spans < 1:
        raise ValueError(f"spans={spans}: at least one span is needed")
    if not (speed > 0 and math.isfinite(speed)):
        raise ValueError(
            f"speed={speed}: a number above 0 is needed, such as 1 (real time) or 20 (twenty times as fast)"
        )
    run = _Run(random.Random(seed), start or datetime.now(UTC), speed)
    parts = modules(agents)
    boss = _Agent(run, "orchestrator", PLANNER, sample_texts.ORCHESTRATOR, None, 0.0)
    names = ", ".join(part.name for part in parts[:20])
    listing = "\n".join(file for part in parts[:20] for file in part.files)
    boss.call(
        f"Explore the repository before you plan.\n\nTask: {sample_texts.TASK}\n\nModules: {names}",
        f"The task touches {names}. The limit has to be counted in one place for all workers, and read from the plan.",
        4.2,
        [
            Turn("list_directory", 0.08, {"path": "src"}, listing),
            Turn("read_file", 0.05, {"path": parts[0].files[0]}, parts[0].code),
        ],
    )
    subtasks = [{"id": f"st_{i}", "module": part.name, "description": part.task} for i, part in enumerate(parts, 1)]
    decompose = boss.call(
        f"Decompose this task into module-specific subtasks:\n\nTask: {sample_texts.TASK}\n\nRespond with ONLY JSON.",
        json.dumps({"subtasks": subtasks}, indent=2),
        5.6,
    )
    each = max(1, round((spans - 8) / agents))
    ends = []
    for number, part in enumerate(parts):
        worker = _Agent(
            run, f"module_{part.name}", WORKERS[number % 3], "", decompose, boss.at + run.rng.uniform(0.05, 0.9)
        )
        worker.system = sample_texts.SPECIALIST.format(module=part.name, files=", ".join(part.files))
        luck = Luck(number == 0, number == min(1, agents - 1), number == min(3, agents - 1))
        _work(worker, part, each, luck)
        ends.append(worker.at)
    boss.at = max(ends) + 0.4
    results = "\n".join(f"- st_{i}: {part.summary}" for i, part in enumerate(parts[:20], 1))
    boss.call(
        f"Check that the results fit together:\n\n{results}",
        "The pieces fit: the layer asks the window, the window takes the limit from the plan, the page reads the same window.",
        4.8,
        [Turn("run_tests", 2.6, {"path": "tests"}, sample_texts.PASSED_TESTS.format(module="all", n=214))],
    )
    boss.call(
        f"Summarize the completed task:\n\nOriginal task: {sample_texts.TASK}",
        "Rate limiting is in place: 60 requests a minute for each key, 429 with Retry-After beyond it, and a usage page. "
        "One call had to be tried again after the model was overloaded; one test failed at first and was mended.",
        3.1,
    )
    return sorted(run.events, key=lambda event: event.at)


def _work(agent: _Agent, part: Module, spans: int, luck: Luck) -> None:
    """What one module agent does, in about so many spans."""
    head = f"Task: {part.task}\n\nFiles: {', '.join(part.files)}"
    if luck.retries:
        agent.call(head, "", 2.4, error=sample_texts.OVERLOADED)
        agent.messages.clear()
        agent.at += 2.0
        head = f"RETRY #1\n\nThe attempt before failed: {sample_texts.OVERLOADED}\n\n{head}"
        spans = max(1, spans - 1)
    pieces = list(_pieces(part, spans, luck.fails))
    for number, (ask, answer, turns) in enumerate(pieces):
        if number % FRESH == 0:
            agent.messages.clear()
            ask = f"{head}\n\n{ask}"
        slow = luck.slow and number == min(1, len(pieces) - 1)
        took = 26.0 if slow else agent.run.rng.uniform(2.2, 6.5) + 0.9 * len(turns)
        agent.call(ask, answer, took, turns)


def _pieces(part: Module, spans: int, fails: bool) -> Iterator[tuple[str, str, list[Turn]]]:
    """Read, change, test, mend, and from the start again while there are spans left: each is one call and its tools."""
    file, test = part.files[0], f"tests/{part.name}"
    read = [
        Turn("read_file", 0.06, {"path": file}, part.code),
        Turn("grep_codebase", 0.42, {"pattern": part.search}, part.found),
        Turn("read_file", 0.05, {"path": part.files[-1]}, part.code.split("\n\n")[0]),
    ]
    change = [
        Turn("write_file", 0.04, {"path": part.files[-1], "content": part.change}, f"wrote {len(part.change)} bytes"),
        Turn("write_file", 0.03, {"path": f"{test}/test_limits.py", "content": "..."}, "wrote 1211 bytes"),
    ]
    trial = sample_texts.FAILED_TESTS if fails else sample_texts.PASSED_TESTS
    tests = [Turn("run_tests", 2.3, {"path": test}, trial.format(module=part.name, n=8, passed=7), success=not fails)]
    mend = [
        Turn("write_file", 0.04, {"path": part.files[-1], "content": part.change}, f"wrote {len(part.change)} bytes"),
        Turn("run_tests", 2.1, {"path": test}, sample_texts.PASSED_TESTS.format(module=part.name, n=8)),
    ]
    story = [
        ("Read the code that this touches first.", part.finding, read),
        ("Make the change.", f"Done:\n\n```python\n{part.change}```", change),
        ("Run the tests.", "One test fails: the window lets one too many through." if fails else "All pass.", tests),
        ("Look over the edges of it once more, and run the tests.", part.summary, mend),
    ]
    left, turn = spans, 0
    while left > 0:
        ask, answer, turns = story[turn % len(story)]
        turns = turns[: max(0, left - 1)]
        yield ask, answer, turns
        left -= 1 + len(turns)
        turn += 1
