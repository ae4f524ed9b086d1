"""Programs of agents whose truth is known: they are run with a change, in virtual time, by a model that is a function.

A program is a Python function that calls models and tools through `Run`. It is recorded by the writer as any run is. What a
change does is known by running the program again with that one request changed on its way to the model.
"""

from __future__ import annotations

import copy
import hashlib
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from anton_notebook.model.request import Request, Response, Usage
from anton_notebook.sources import writer

WORDS = (
    "amber basin cedar delta ember fjord grove haven inlet jetty knoll lagoon meadow nectar orchid pebble quarry ripple saffron "
    "thicket umber velvet willow xenon yonder zephyr copper silver marble canyon harbor lantern mirror needle oyster parcel"
).split()
START = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


@dataclass
class Made:
    """One call of a run: what was asked on the way to the model, what the program had asked, what came back, when."""

    key: str
    kind: str
    agent: str
    start: float
    end: float
    parent: str | None = None
    sent: list[Any] | None = None
    asked: list[Any] | None = None
    response: Response | None = None
    name: str = ""
    arguments: Any = None
    result: Any = None


Model = Callable[[Request], Response]
Tool = Callable[..., str]


@dataclass
class Ground:
    """What all branches of one run share."""

    model: Model
    tools: dict[str, Tool] = field(default_factory=dict)
    change: dict[str, str] = field(default_factory=dict)
    made: dict[str, Made] = field(default_factory=dict)


class Run:
    """One line of control: its clock, and the path that names its calls."""

    def __init__(self, ground: Ground, now: float = 0.0, path: str = "") -> None:
        self.ground, self.now, self.path, self.count = ground, now, path, 0

    def _key(self) -> str:
        self.count += 1
        return f"{self.path}{self.count}"

    def ask(self, agent: str, messages: list[Any]) -> Response:
        """Asks the model; the change of this call is put in on the way."""
        key = self._key()
        asked = copy.deepcopy(messages)
        request = Request("openai", "gpt-4o", None, asked)
        if key in self.ground.change:
            request = request.with_changes(prompt=self.ground.change[key])
        response = self.ground.model(request)
        took = 0.5 + seeded(request.messages).random() * 2
        start = self.now
        self.now += took
        self.ground.made[key] = Made(key, "llm", agent, start, self.now, None, request.messages, asked, response)
        self.now += 0.2
        return response

    def last(self) -> str:
        """The key of the call that was made last in this line."""
        return f"{self.path}{self.count}"

    def say(self, agent: str, text: str) -> str:
        """One question in a conversation of its own."""
        return self.ask(agent, [{"role": "user", "content": text}]).text

    def use(self, agent: str, name: str, arguments: dict[str, Any], parent: str | None) -> str:
        """Calls a tool."""
        key = self._key()
        result = self.ground.tools[name](**arguments)
        start = self.now
        self.now += 0.3
        self.ground.made[key] = Made(
            key, "tool", agent, start, self.now, parent, name=name, arguments=arguments, result=result
        )
        self.now += 0.1
        return result

    def loop(self, agent: str, messages: list[Any], most: int = 4) -> str:
        """Asks, calls the tools that are asked for, and asks again: the loop of every agent. `messages` grows."""
        for _ in range(most):
            answer = self.ask(agent, messages)
            parent = self.last()
            message: dict[str, Any] = {"role": "assistant", "content": answer.text}
            if answer.tool_calls:
                message["tool_calls"] = [
                    {
                        "id": c["id"],
                        "type": "function",
                        "function": {"name": c["name"], "arguments": json.dumps(c["arguments"])},
                    }
                    for c in answer.tool_calls
                ]
            messages.append(message)
            if not answer.tool_calls:
                return answer.text
            for call in answer.tool_calls:
                result = self.use(agent, call["name"], call["arguments"], parent)
                messages.append({"role": "tool", "tool_call_id": call["id"], "content": result})
        return answer.text

    def all(self, *parts: Callable[[Run], Any]) -> list[Any]:
        """Runs parts beside each other, and waits for all."""
        at = self._key()
        lines = [Run(self.ground, self.now + 0.01 * i, f"{at}.{i}.") for i in range(len(parts))]
        out = [part(line) for part, line in zip(parts, lines, strict=True)]
        self.now = max([self.now, *(line.now for line in lines)]) + 0.1
        return out


Program = Callable[[Run], Any]


def execute(
    program: Program, model: Model, tools: dict[str, Tool], change: dict[str, str] | None = None
) -> dict[str, Made]:
    """What a run of the program makes, by key."""
    ground = Ground(model, tools, change or {})
    program(Run(ground))
    return ground.made


def record(
    made: dict[str, Made], folder: Path, trace_id: str = "trace", at: datetime = START, prefix: str = "span"
) -> Path:
    """Writes a run as a trace. Runs beside each other need a prefix each, so that no two spans have one id."""
    with writer.create(folder, "run", {"origin": "record"}) as out:
        for one in sorted(made.values(), key=lambda one: one.end):
            out.write(line(one, trace_id, at, prefix))
        return out.path


def line(one: Made, trace_id: str, at: datetime, prefix: str = "span") -> dict[str, Any]:
    out: dict[str, Any] = {
        "timestamp": (at + timedelta(seconds=one.start)).isoformat(timespec="microseconds"),
        "trace_id": trace_id,
        "span_id": span_of(one.key, prefix),
        "parent_id": None if one.parent is None else span_of(one.parent, prefix),
        "agent_name": one.agent,
        "duration_ms": round((one.end - one.start) * 1000, 3),
        "success": True,
    }
    if one.kind == "tool":
        return out | {
            "span_type": "tool_call",
            "tool_name": one.name,
            "parameters": one.arguments,
            "result": one.result,
        }
    assert one.response is not None
    out |= {
        "span_type": "llm_call",
        "provider": "openai",
        "model": "gpt-4o",
        "messages": one.sent,
        "parameters": {},
        "tools": [],
        "response": one.response.text,
        "tokens": {"input": 10, "output": 5},
    }
    if one.response.tool_calls:
        out |= {"tool_calls": one.response.tool_calls, "finish_reason": "tool_calls"}
    return out


def span_of(key: str, prefix: str = "span") -> str:
    return f"{prefix}-{key}"


def seeded(*values: Any) -> random.Random:
    """Chance that is a function of values."""
    digest = hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()
    return random.Random(int(digest[:16], 16))


def sentence(rng: random.Random, words: int = 4) -> str:
    return " ".join(rng.choice(WORDS) for _ in range(words))


# -- models: functions of the whole request


def style_of(request: Request) -> str:
    """How it is to be answered stands in the first message, as it would for a model."""
    first = str(request.messages[0].get("content", ""))
    return first.split("]", 1)[0].removeprefix("[") if first.startswith("[") else "text"


def model(request: Request, mood: int | None = None) -> Response:
    """Answers in the style that is asked for: `text`, `lines`, `json`, `plan`, `mixed`, `tool`, or `few` (one of three answers).

    In another mood it answers otherwise, as a model does that is asked again.
    """
    rng = seeded(request.messages) if mood is None else seeded(request.messages, mood)
    style = style_of(request)
    usage = Usage(10, 5, 0)
    if style == "few":
        return Response(sentence(random.Random(rng.randrange(3)), 5), usage=usage)
    if style == "lines":
        return Response("\n".join(sentence(rng, 4) for _ in range(3)), usage=usage)
    if style == "json":
        return Response(json.dumps({"goal": sentence(rng), "steps": [sentence(rng) for _ in range(2)]}), usage=usage)
    if style == "mixed":
        made = {"goal": sentence(rng), "mark": rng.choice(["red", "blue"]), "size": rng.randrange(3)}
        return Response(json.dumps(made), usage=usage)
    if style.startswith("plan"):
        many = 3 if style == "plan" else 2 + rng.randrange(2)
        made = {"subtasks": [{"module": f"m{i}", "task": sentence(rng, 5)} for i in range(many)]}
        return Response(json.dumps(made, indent=1), usage=usage)
    if style.startswith("tool"):
        done = sum(m.get("role") == "tool" for m in request.messages)
        if done < 2:
            path = f"src/{rng.choice(WORDS)}/{rng.choice(WORDS)}.py" if style == "tool" else "src/main.py"
            call = {"id": f"call_{rng.randrange(10**9)}", "name": "read_file", "arguments": {"path": path}}
            return Response("", [call], usage, "tool_calls")
    return Response(sentence(rng, 6), usage=usage)


def read_file(path: str) -> str:
    return f"contents of {path}: " + sentence(seeded(path), 6)


TOOLS: dict[str, Tool] = {"read_file": read_file}
