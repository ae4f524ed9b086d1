"""Programs in virtual time with streams, nested and waiting tools, state, hedges, and recorders with bad clocks.

A family makes a `Case` from a seed: a program, how it is recorded, and the functions that a caller could give. The model and
the latencies are functions of the request, so running the program again with one changed prompt gives the truth.
"""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from anton_notebook.model.request import Request, Response, Usage
from anton_notebook.sources import writer
from tests.experiments.replay.programs import START, seeded, sentence, span_of

PATHS = ("src/app.py", "src/util.py", "docs/guide.md", "tests/check.py")


@dataclass
class Event:
    """One call of a run in true time (seconds)."""

    key: str
    kind: str
    agent: str
    start: float
    end: float
    parent: str | None = None
    request: Request | None = None
    response: Response | None = None
    name: str = ""
    arguments: Any = None
    result: Any = None
    error: str | None = None
    stream: bool = False


@dataclass
class World:
    """What all lines of one run share."""

    change: dict[str, str] = field(default_factory=dict)
    events: dict[str, Event] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    count: int = 0


Clock = Callable[[Event], tuple[float, float]]


@dataclass
class Case:
    """A program and its recorder."""

    program: Callable[[Line], Any]
    clock: Clock | None = None
    host: Callable[[Event], str] | None = None
    parameters: bool = True
    functions: dict[str, Callable[..., str]] = field(default_factory=dict)
    parents: bool = True


class Line:
    """One line of control with its own clock; its path names its calls."""

    def __init__(self, world: World, now: float = 0.0, path: str = "", parent: str | None = None) -> None:
        self.world, self.now, self.path, self.parent, self.count = world, now, path, parent, 0
        self.last: Event | None = None

    def key(self) -> str:
        self.count += 1
        return f"{self.path}{self.count}"

    def fork(self, now: float | None = None, parent: str | None = None) -> Line:
        return Line(self.world, self.now if now is None else now, f"{self.key()}.", parent or self.parent)

    def ask(self, agent: str, messages: list[Any], model: str = "gpt-4o", **about: Any) -> Response:
        key = self.key()
        asked = Request(
            "openai", model, None, copy.deepcopy(messages), about.get("tools"), about.get("parameters") or {}
        )
        request = asked.with_changes(prompt=self.world.change[key]) if key in self.world.change else asked
        response = answer(request)
        took = 0.3 + seeded(request.messages, model, key).random() * 2
        event = Event(key, "llm", agent, self.now, self.now + took, self.parent, request, response)
        event.stream = about.get("stream", False)
        self.world.events[key] = self.last = event
        self.now = event.end + 0.02
        return response

    def say(self, agent: str, text: str, **about: Any) -> str:
        return self.ask(agent, [{"role": "user", "content": text}], **about).text

    def use(self, agent: str, name: str, arguments: Any, work: Callable[[Line], str], parent: str | None = None) -> str:
        """Call a tool: `work` gets a line that begins with it and may wait and ask."""
        key = self.key()
        parent = parent or self.parent
        inner = Line(self.world, self.now + 0.01, f"{key}.", key)
        result = work(inner)
        end = max(inner.now, self.now + 0.05)
        self.world.events[key] = Event(
            key, "tool", agent, self.now, end, parent, name=name, arguments=copy.deepcopy(arguments), result=result
        )
        self.now = end + 0.02
        return result

    def all(self, *parts: Callable[[Line], Any], gap: float = 0.005) -> list[Any]:
        """Run parts at the same time and wait for all."""
        at = self.key()
        lines = [Line(self.world, self.now + gap * i, f"{at}.{i}.", self.parent) for i in range(len(parts))]
        values = [part(line) for part, line in zip(parts, lines, strict=True)]
        self.now = max([self.now, *(line.now for line in lines)]) + 0.02
        return values

    def first(self, *parts: Callable[[Line], Any], gap: float = 0.0) -> tuple[int, Any]:
        """Run parts at the same time and go on with the first that ends."""
        at = self.key()
        lines = [Line(self.world, self.now + gap * i, f"{at}.{i}.", self.parent) for i in range(len(parts))]
        values = [part(line) for part, line in zip(parts, lines, strict=True)]
        winner = min(range(len(parts)), key=lambda i: lines[i].now)
        self.now = lines[winner].now
        return winner, values[winner]


# -- the model


def answer(request: Request) -> Response:
    """Answer in the style that stands in brackets at the start of the first message."""
    rng = seeded(request.messages, request.model)
    first = str(request.messages[0].get("content", ""))
    style = first.split("]", 1)[0].removeprefix("[") if first.startswith("[") else "text"
    words = style.split(" ")
    usage = Usage(rng.randrange(50, 1500), rng.randrange(5, 100), 0) if "usage" in words else Usage(10, 5, 0)
    if "loop" in words:
        return _loop_answer(request, rng, words, usage)
    if "sentences" in words:
        return Response(". ".join(sentence(rng, 3) for _ in range(3)) + ".", usage=usage)
    if "few" in words:
        return Response(sentence(random.Random(rng.randrange(2)), 4), usage=usage)
    if "length" in words:
        return Response(sentence(rng, 4), usage=usage, finish_reason=rng.choice(["stop", "length"]))
    return Response(sentence(rng, 5), usage=usage)


def _loop_answer(request: Request, rng: random.Random, words: list[str], usage: Usage) -> Response:
    done = sum(message.get("role") == "assistant" for message in request.messages)
    names = [word.removeprefix("use:") for word in words if word.startswith("use:")]
    depth = 2 + ("deep" in words)
    if done >= depth or ("short" in words and rng.random() < 0.15):
        return Response(sentence(rng, 6), usage=usage, finish_reason="stop")
    calls = []
    for _ in range(2 if "two" in words else 1):
        name = rng.choice(names)
        calls.append({"id": f"call_{rng.randrange(10**9)}", "name": name, "arguments": _arguments(name, rng, words)})
    text = sentence(rng, rng.randrange(1, 6)) if "talk" in words else ""
    return Response(text, calls, usage, "tool_calls")


def _arguments(name: str, rng: random.Random, words: list[str]) -> dict[str, Any]:
    if name == "bash":
        return {"command": rng.choice(["ls", "pwd", "rm -rf build", "cat notes.txt"])}
    if name in ("next_number", "get_time", "check_inbox"):
        return {}
    if name == "write_file":
        return {"path": rng.choice(PATHS[:2]), "text": rng.choice(["one", "two"])}
    if name in ("research", "delegate"):
        return {"topic": rng.choice(["tea", "salt"])}
    path = rng.choice(PATHS[:2] if "same" in words else PATHS)
    if "secret" in words and rng.random() < 0.4:
        path = rng.choice(["/etc/passwd", "src/secret.py"])
    if "mode" in words:
        return {"path": path, "mode": rng.choice(["text", "bytes", "lines"])}
    return {"path": path}


def read_file(path: str, mode: str = "text") -> str:
    """A tool without state; results have quite different lengths."""
    rng = seeded(path, mode)
    return f"{path}: {sentence(rng, 2 + rng.randrange(8))}"


# -- the recorder


def record(case: Case, world: World, folder: Path) -> None:
    """Write the run line by line, in the order in which its calls truly ended."""
    with writer.create(folder, "run", {"origin": "record"}) as out:
        for event in sorted(world.events.values(), key=lambda one: (one.end, one.start)):
            out.write(_line(case, event))


def _line(case: Case, event: Event) -> dict[str, Any]:
    start, end = case.clock(event) if case.clock is not None else (event.start, event.end)
    line: dict[str, Any] = {
        "timestamp": (START + timedelta(seconds=start)).isoformat(timespec="microseconds"),
        "trace_id": "trace",
        "span_id": span_of(event.key),
        "parent_id": span_of(event.parent) if event.parent is not None and case.parents else None,
        "agent_name": event.agent,
        "duration_ms": round((end - start) * 1000, 3),
        "success": event.error is None,
    }
    if event.error is not None:
        line["error"] = event.error
    if case.host is not None:
        line["attributes"] = {"host.name": case.host(event)}
    if event.kind == "tool":
        more = {"tool_name": event.name, "parameters": event.arguments, "result": event.result}
        return line | {"span_type": "tool_call", **more}
    assert event.request is not None
    assert event.response is not None
    response = event.response
    line |= {
        "span_type": "llm_call", "provider": "openai", "model": event.request.model, "messages": event.request.messages,
        "response": response.text, "tokens": {"input": response.usage.input_tokens, "output": response.usage.output_tokens},
    }  # fmt: skip
    if case.parameters:
        parameters = {**event.request.parameters, **({"stream": True} if event.stream else {})}
        line |= {"parameters": parameters, "tools": event.request.tools or []}
    if response.tool_calls:
        line["tool_calls"] = response.tool_calls
    if response.finish_reason:
        line["finish_reason"] = response.finish_reason
    return line


# -- an agent's loop, with the habits of real programs


@dataclass
class Habits:
    """What a program does besides appending answers and results."""

    policy: Callable[[str, dict[str, Any]], str | None] = lambda name, arguments: None
    rewrite: Callable[[dict[str, Any]], dict[str, Any]] = dict
    cut: int | None = None
    drop_text: bool = False
    cut_text: int | None = None
    squeeze: bool = False
    dedupe: bool = False
    steps_left: bool = False
    compact: int | None = None
    only_first: bool = False
    escalate: bool = False
    inject: str | None = None
    most: int = 5


Tools = dict[str, Callable[[Line, dict[str, Any]], str]]


def run_loop(line: Line, agent: str, text: str, toolbox: Tools, habits: Habits | None = None, **about: Any) -> str:
    """Ask, run the tools that are asked for, and ask again."""
    habits = habits or Habits()
    messages: list[Any] = [{"role": "user", "content": text}]
    seen: dict[str, str] = {}
    model, response = "gpt-4o", Response()
    for step in range(habits.most):
        response = line.ask(agent, messages, model, **about)
        parent = line.last.key if line.last is not None else None
        if not response.tool_calls:
            return response.text
        messages.append(_assistant(response, habits))
        for at, call in enumerate(response.tool_calls):
            if habits.only_first and at:
                result = "Only one tool per turn."
            else:
                result = _result(line, agent, call, toolbox, habits, seen, parent)
            messages.append({"role": "tool", "tool_call_id": call["id"], "content": result})
        if habits.steps_left:
            messages.append({"role": "user", "content": f"{habits.most - step - 1} steps are left."})
        if habits.inject is not None and habits.inject in response.text:
            messages.append({"role": "user", "content": "Mind the rules."})
        used = (response.usage.input_tokens or 0) + (response.usage.output_tokens or 0)
        if habits.compact is not None and used > habits.compact:
            messages = [messages[0], *messages[-2:]]
        if habits.escalate and len(response.text) < 12:
            model = "gpt-4o-large"
    return response.text


def _assistant(response: Response, habits: Habits) -> dict[str, Any]:
    text = "" if habits.drop_text else response.text
    text = text[: habits.cut_text] if habits.cut_text is not None else text
    calls = [
        {"id": c["id"], "type": "function", "function": {"name": c["name"], "arguments": json.dumps(c["arguments"])}}
        for c in response.tool_calls
    ]
    return {"role": "assistant", "content": text, "tool_calls": calls}


def _result(
    line: Line, agent: str, call: dict[str, Any], tools: Tools, habits: Habits, seen: dict[str, str], parent: str | None
) -> str:
    refused = habits.policy(call["name"], call["arguments"])
    if refused is not None:
        return refused
    arguments = habits.rewrite(call["arguments"])
    name = json.dumps([call["name"], arguments], sort_keys=True)
    if habits.dedupe and name in seen:
        return "You called this before."
    tool = tools[call["name"]]
    result = line.use(agent, call["name"], arguments, lambda inner: tool(inner, arguments), parent)
    seen[name] = result
    result = " ".join(result.split()) if habits.squeeze else result
    return result[: habits.cut] if habits.cut is not None else result
