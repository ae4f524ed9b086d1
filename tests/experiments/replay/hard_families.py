"""Families of programs and recorders for which a careless replay claims too much. Each makes a `Case` from a seed."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

from tests.experiments.replay.programs import seeded, sentence
from tests.experiments.replay.simulator import Case, Event, Habits, Line, Tools, read_file, run_loop

Maker = Callable[[random.Random], Case]
READ: Tools = {"read_file": lambda line, arguments: read_file(**arguments)}
FUNCTIONS: dict[str, Callable[..., str]] = {"read_file": read_file}


def topic(rng: random.Random) -> str:
    return f"Case {rng.randrange(10**6)}"


def loops(words: str, habits: Habits | None = None, tools: Tools | None = None, agents: int = 1) -> Maker:
    """Agents with a tool loop, one after the other; each next one is told the answer of the last."""

    def make(rng: random.Random) -> Case:
        heads = [topic(rng) for _ in range(agents + 1)]

        def program(line: Line) -> None:
            text = ""
            for at in range(agents):
                text = run_loop(line, f"agent{at}", f"[loop {words}] {heads[at]} {text}", tools or READ, habits)
            line.say("writer", f"[text] {heads[-1]} Given: {text}")

        return Case(program, functions=FUNCTIONS)

    return make


# -- tools that contain or await other agents


def nested(rng: random.Random, *, levels: int = 1, parents: bool = True, words: str = "use:research") -> Case:
    heads = [topic(rng) for _ in range(4)]

    def research(inner: Line, arguments: dict[str, Any], level: int = 1) -> str:
        text = f"{heads[level]} Research {arguments['topic']}"
        if level < levels:
            return run_loop(inner, f"researcher{level}", f"[loop {words}] {text}", deeper(level + 1))
        return inner.say(f"researcher{level}", f"[text] {text}")

    def deeper(level: int) -> Tools:
        return {"research": lambda inner, arguments: research(inner, arguments, level), **READ}

    def program(line: Line) -> None:
        text = run_loop(line, "boss", f"[loop {words}] {heads[0]}", deeper(1))
        line.say("writer", f"[text] {heads[3]} {text}")

    return Case(program, parents=parents, functions={**FUNCTIONS, "research": lambda topic: f"about {topic}"})


def waiting(rng: random.Random, *, poll: bool = False) -> Case:
    heads = [topic(rng) for _ in range(4)]
    name = "check_inbox" if poll else "wait_for_reply"

    def program(line: Line) -> None:
        posts: list[tuple[float, str]] = []

        def bob(one: Line) -> None:
            for at in range(2):
                text = one.say("bob", f"[text] {heads[at]} Propose {posts[-1][1] if posts else ''}")
                posts.append((one.now, text))

        def read(inner: Line, arguments: dict[str, Any]) -> str:
            if not poll:
                inner.now = max(inner.now, posts[-1][0])
                return posts[-1][1]
            inner.now += 0.2
            there = [text for at, text in posts if at <= inner.now]
            return there[-1] if there else "nothing yet"

        def alice(one: Line) -> None:
            if poll:
                run_loop(one, "alice", f"[loop deep use:check_inbox] {heads[2]}", {"check_inbox": read})
                return
            text = one.use("alice", name, {}, lambda inner: read(inner, {}))
            one.say("alice", f"[text] {heads[2]} {text}")

        line.all(bob, alice)
        line.say("chair", f"[text] {heads[3]} {posts[-1][1]}")

    return Case(program, functions={"check_inbox": lambda: "nothing yet"})


# -- streams


def stream_sentence(rng: random.Random, *, parameters: bool = True) -> Case:
    """A sentence is passed on while the answer still comes in."""
    heads = [topic(rng) for _ in range(3)]

    def program(line: Line) -> None:
        began = line.now
        text = line.say("speaker", f"[sentences] {heads[0]}", stream=True)
        took = line.now - began
        parts = text.split(". ")

        def translate(at: int) -> Callable[[Line], Any]:
            def work(one: Line) -> None:
                one.now = began + took * (at + 1) / (len(parts) + 1)
                one.say("translator", f"[text] {heads[1]} Translate: {parts[at]}", stream=True)

            return work

        end = line.now
        line.all(*(translate(at) for at in range(len(parts))))
        line.now = max(line.now, end)
        line.say("editor", f"[text] {heads[2]} {text}")

    return Case(program, parameters=parameters)


def stream_tools(rng: random.Random) -> Case:
    """Tools start while the answer that asks for them still comes in."""
    heads = [topic(rng) for _ in range(2)]

    def program(line: Line) -> None:
        messages: list[Any] = [{"role": "user", "content": f"[loop two use:read_file] {heads[0]}"}]
        for _ in range(3):
            began = line.now
            response = line.ask("worker", messages, stream=True)
            key = line.last.key if line.last is not None else None
            if not response.tool_calls:
                break
            end, line.now = line.now, (began + line.now) / 2
            calls = [
                {"id": c["id"], "type": "function", "function": {"name": c["name"], "arguments": json.dumps(c["arguments"])}}
                for c in response.tool_calls
            ]  # fmt: skip
            messages.append({"role": "assistant", "content": "", "tool_calls": calls})
            for call in response.tool_calls:
                arguments = call["arguments"]
                text = line.use("worker", "read_file", arguments, lambda _, a=arguments: read_file(**a), key)
                messages.append({"role": "tool", "tool_call_id": call["id"], "content": text})
            line.now = max(line.now, end)
        line.say("writer", f"[text] {heads[1]} {len(messages)}")

    return Case(program, functions=FUNCTIONS)


# -- clocks


def chain(rng: random.Random, length: int = 5, agents: int = 2) -> Callable[[Line], Any]:
    heads = [topic(rng) for _ in range(length)]

    def program(line: Line) -> None:
        text = "nothing"
        for at, head in enumerate(heads):
            text = line.say(f"agent{at % agents}", f"[text] {head} Given: {text}")

    return program


def coarse(rng: random.Random, step: float, *, rounded: bool = False, both: bool = True) -> Case:
    def grid(value: float) -> float:
        return round(value / step) * step if rounded else value // step * step

    def clock(event: Event) -> tuple[float, float]:
        start = grid(event.start)
        return start, (grid(event.end) if both else start + event.end - event.start)

    fast = rng.random() < 0.5
    return Case(chain(rng) if fast else fan(rng), clock=clock)


def fan(rng: random.Random) -> Callable[[Line], Any]:
    """A plan, workers at the same time with two calls each, a summary."""
    heads = [topic(rng) for _ in range(8)]

    def worker(at: int, text: str) -> Callable[[Line], Any]:
        def work(line: Line) -> str:
            one = line.say(f"worker{at}", f"[text] {heads[at]} {text if at else 'alone'}")
            return line.say(f"worker{at}", f"[text] {heads[at + 3]} {one}")

        return work

    def program(line: Line) -> None:
        text = line.say("lead", f"[text] {heads[6]}")
        texts = line.all(*(worker(at, text) for at in range(3)))
        line.say("lead", f"[text] {heads[7]} {' '.join(texts)}")

    return program


def skewed(rng: random.Random, *, marked: bool, kind: str = "chain") -> Case:
    """Each agent's clock is off by a constant of its own."""
    offsets = {f"agent{at}": rng.choice([-3.0, -1.0, 0.0, 1.0, 3.0]) for at in range(3)}
    offsets["researcher1"] = rng.choice([-4.0, -2.0, 2.0])
    case = nested(rng) if kind == "nested" else Case(chain(rng, 6, 3))
    case.clock = lambda event: (
        event.start + offsets.get(event.agent, 0.0),
        event.end + offsets.get(event.agent, 0.0),
    )
    if marked:
        case.host = lambda event: f"host-{event.agent}"
    return case


def stepping(rng: random.Random) -> Case:
    """The clock is set back once."""
    at, by = rng.uniform(1.0, 6.0), rng.choice([1.0, 3.0, 10.0])

    def shown(time: float) -> float:
        return time - by if time > at else time

    return Case(chain(rng), clock=lambda event: (shown(event.start), shown(event.start) + event.end - event.start))


# -- programs that check arguments


def refuses(name: str, arguments: dict[str, Any]) -> str | None:
    path = str(arguments.get("path", ""))
    if path.startswith("/") or "secret" in path:
        return "Blocked by policy."
    return "Blocked by policy." if str(arguments.get("command", "")).startswith("rm") else None


def wrong_mode(name: str, arguments: dict[str, Any]) -> str | None:
    return "Invalid mode." if arguments.get("mode") == "bytes" else None


def checked(rng: random.Random) -> Case:
    """Arguments are checked against the schema that the request holds."""
    head, last = topic(rng), topic(rng)
    schema = {
        "type": "object", "properties": {"path": {"type": "string"}, "mode": {"type": "string", "enum": ["text", "lines"]}},
        "required": ["path", "mode"],
    }  # fmt: skip
    tools = [{"type": "function", "function": {"name": "read_file", "parameters": schema}}]

    def program(line: Line) -> None:
        habits = Habits(policy=wrong_mode)
        text = run_loop(line, "worker", f"[loop deep mode use:read_file] {head}", READ, habits, tools=tools)
        line.say("writer", f"[text] {last} {text}")

    return Case(program, functions=FUNCTIONS)


BASH: Tools = {"bash": lambda line, arguments: f"ran {arguments['command']}: {sentence(seeded(arguments), 3)}"}


def shell(rng: random.Random) -> Case:
    case = loops("deep use:bash", Habits(policy=refuses), BASH)(rng)
    case.functions = {"bash": lambda command: f"ran {command}: {sentence(seeded({'command': command}), 3)}"}
    return case


def prefixed(rng: random.Random) -> Case:
    """Paths that begin with `docs` are changed before the call."""

    def rewrite(arguments: dict[str, Any]) -> dict[str, Any]:
        path = arguments["path"]
        return {"path": f"/repo/{path}"} if path.startswith("docs") else dict(arguments)

    return loops("deep use:read_file", Habits(rewrite=rewrite))(rng)


# -- side effects


def files(rng: random.Random, *, by_program: bool = False) -> Case:
    """Tools that write and read the same files; or a program that writes answers where another agent reads."""
    heads = [topic(rng) for _ in range(3)]

    def write(line: Line, arguments: dict[str, Any]) -> str:
        line.world.files[arguments["path"]] = arguments["text"]
        return "written"

    def read(line: Line, arguments: dict[str, Any]) -> str:
        return f"{arguments['path']} holds {line.world.files.get(arguments['path'], 'nothing')}"

    tools: Tools = {"write_file": write, "read_file": read}

    def program(line: Line) -> None:
        if by_program:
            text = line.say("author", f"[few] {heads[0]}")
            line.world.files["src/app.py"] = text
            line.all(
                lambda one: run_loop(one, "reader", f"[loop same use:read_file] {heads[1]}", tools),
                lambda one: one.say("other", f"[text] {heads[2]}"),
            )
        else:
            run_loop(line, "worker", f"[loop deep same use:write_file use:read_file] {heads[0]}", tools)
            run_loop(line, "checker", f"[loop same use:read_file] {heads[1]}", tools)

    if by_program:  # a caller's function cannot know what the program wrote
        return Case(program)
    world: dict[str, str] = {}
    functions: dict[str, Callable[..., str]] = {
        "write_file": lambda path, text: world.update({path: text}) or "written",
        "read_file": lambda path: f"{path} holds {world.get(path, 'nothing')}",
    }
    return Case(program, functions=functions)


def counter(rng: random.Random) -> Case:
    head, last = topic(rng), topic(rng)

    def count(line: Line, arguments: dict[str, Any]) -> str:
        line.world.count += 1
        return f"number {line.world.count}"

    def program(line: Line) -> None:
        text = run_loop(
            line, "worker", f"[loop deep short use:next_number use:read_file] {head}", {"next_number": count, **READ}
        )
        run_loop(line, "other", f"[loop use:next_number] {last} {text}", {"next_number": count})

    return Case(program, functions={"next_number": lambda: "number 1", **FUNCTIONS})


def clock_tool(rng: random.Random) -> Case:
    tools: Tools = {"get_time": lambda line, arguments: f"{line.now:.1f} s", **READ}
    case = loops("deep use:get_time use:read_file", tools=tools)(rng)
    case.functions = {"get_time": lambda: "0.0 s", **FUNCTIONS}
    return case


# -- hedges and races


def hedge(rng: random.Random, *, models: bool = False, delay: float = 0.0) -> Case:
    heads = [topic(rng) for _ in range(4)]

    def program(line: Line) -> None:
        before = line.say("lead", f"[text] {heads[0]}")
        text = f"[text] {heads[1]} {before}"
        names = ("gpt-4o", "gpt-4o-mini" if models else "gpt-4o")
        winner, answer = line.first(
            *(lambda one, name=name: one.say("worker", text, model=name) for name in names), gap=delay
        )
        answer = line.say("editor", f"[text] {heads[2]} Worker {winner} says: {answer}")
        line.say("reader", f"[text] {heads[3]} {answer}")

    return Case(program)


def race(rng: random.Random) -> Case:
    """Three drafts of different prompts; the first goes on."""
    heads = [topic(rng) for _ in range(5)]

    def program(line: Line) -> None:
        winner, text = line.first(
            *(lambda one, at=at: one.say(f"writer{at}", f"[text] {heads[at]}") for at in range(3))
        )
        text = line.say("editor", f"[text] {heads[3]} Draft {winner}: {text}")
        line.say("reader", f"[text] {heads[4]} {text}")

    return Case(program)


def as_completed(rng: random.Random) -> Case:
    """Each answer is followed up as it comes, with its number in the order of arrival."""
    heads = [topic(rng) for _ in range(4)]

    def program(line: Line) -> None:
        done: list[tuple[float, int, str]] = []

        def ask(at: int) -> Callable[[Line], Any]:
            def work(one: Line) -> None:
                text = one.say(f"worker{at}", f"[text] {heads[at]}")
                done.append((one.now, at, text))

            return work

        line.all(*(ask(at) for at in range(3)))
        for number, (now, at, text) in enumerate(sorted(done)):
            line.fork(now).say(f"checker{at}", f"[text] {heads[3]} Number {number}: {text}")

    return Case(program)


def tool_race(rng: random.Random) -> Case:
    """Agents with tool loops at the same time, which share nothing; only the changed one differs."""
    heads = [topic(rng) for _ in range(3)]

    def program(line: Line) -> None:
        line.all(
            *(
                lambda one, at=at: run_loop(one, f"agent{at}", f"[loop deep use:read_file] {heads[at]}", READ)
                for at in range(3)
            )
        )

    return Case(program, functions=FUNCTIONS)


def failing(rng: random.Random) -> Case:
    """A call fails, is asked again, and its answer decides what follows."""
    heads = [topic(rng) for _ in range(3)]

    def program(line: Line) -> None:
        text = line.say("worker", f"[few] {heads[0]}")
        if seeded(text).random() < 0.5 and line.last is not None:
            line.last.error = "429: too many requests"
            text = line.say("worker", f"[few] {heads[0]} RETRY")
        line.say("writer", f"[text] {heads[1]} {text}")

    return Case(program)


def finishing(rng: random.Random) -> Case:
    heads = [topic(rng) for _ in range(3)]

    def program(line: Line) -> None:
        messages = [{"role": "user", "content": f"[length] {heads[0]}"}]
        response = line.ask("writer", messages)
        if response.finish_reason == "length":
            messages += [{"role": "assistant", "content": response.text}, {"role": "user", "content": "Go on."}]
            line.ask("writer", messages)
        line.say("reader", f"[text] {heads[1]} {response.text}")

    return Case(program)


def tokens(rng: random.Random) -> Case:
    """The same few answers, but a program that looks at their tokens."""
    heads = [topic(rng) for _ in range(3)]

    def program(line: Line) -> None:
        response = line.ask("clerk", [{"role": "user", "content": f"[few usage] {heads[0]}"}])
        size = "long" if (response.usage.input_tokens or 0) > 700 else "short"
        line.say("clerk", f"[text] {heads[1]} after a {size} one")

    return Case(program)


HARD: dict[str, Maker] = {
    "loops": loops("deep use:read_file"),
    "loops, two agents": loops("same use:read_file", agents=2),
    "loops, two calls a turn": loops("two deep use:read_file"),
    "loops, talking": loops("talk deep use:read_file"),
    "nested tool": nested,
    "nested tool, two levels": lambda rng: nested(rng, levels=2),
    "nested tool, no parents": lambda rng: nested(rng, parents=False),
    "nested tool beside others": lambda rng: nested(rng, words="deep use:research use:read_file"),
    "waiting tool": waiting,
    "polling tool": lambda rng: waiting(rng, poll=True),
    "stream": stream_sentence,
    "stream, not recorded": lambda rng: stream_sentence(rng, parameters=False),
    "stream, early tools": stream_tools,
    "whole seconds": lambda rng: coarse(rng, 1.0),
    "whole seconds, exact durations": lambda rng: coarse(rng, 1.0, both=False),
    "tenths, rounded": lambda rng: coarse(rng, 0.1, rounded=True),
    "seconds, rounded": lambda rng: coarse(rng, 1.0, rounded=True),
    "skewed hosts": lambda rng: skewed(rng, marked=True),
    "skewed agents": lambda rng: skewed(rng, marked=False),
    "skewed nested agents": lambda rng: skewed(rng, marked=False, kind="nested"),
    "clock set back": stepping,
    "fan": lambda rng: Case(fan(rng)),
    "policy": loops("deep secret use:read_file", Habits(policy=refuses)),
    "policy of a shell": shell,
    "schema": checked,
    "changed paths": prefixed,
    "files": files,
    "files of the program": lambda rng: files(rng, by_program=True),
    "counter": counter,
    "time of day": clock_tool,
    "hedge": hedge,
    "hedge, two models": lambda rng: hedge(rng, models=True),
    "hedge after a second": lambda rng: hedge(rng, delay=1.0),
    "race of drafts": race,
    "as completed": as_completed,
    "parallel loops": tool_race,
    "retry": failing,
    "finish reason": finishing,
    "tokens": tokens,
    "compaction": loops("deep usage use:read_file", Habits(compact=900)),
    "results cut": loops("deep use:read_file", Habits(cut=40)),
    "white space": loops("deep use:read_file", Habits(squeeze=True)),
    "text dropped": loops("talk deep use:read_file", Habits(drop_text=True)),
    "text cut": loops("talk deep use:read_file", Habits(cut_text=20)),
    "repeated calls": loops("deep same use:read_file", Habits(dedupe=True)),
    "steps left": loops("deep use:read_file", Habits(steps_left=True)),
    "first call only": loops("two use:read_file", Habits(only_first=True)),
    "larger model": loops("talk deep use:read_file", Habits(escalate=True)),
    "rules on a word": loops("talk deep use:read_file", Habits(inject="amber")),
}  # fmt: skip
