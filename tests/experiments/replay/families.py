"""Families of random programs. `copying` and `anton` were written with the rules; those of `ADVERSARIAL` that are marked late,
after them; those marked latest, after the rules had learned to doubt, and those marked last after all of them.

Every program is made from a seed, and is then a plain function that does not know whether it is changed.
"""

from __future__ import annotations

import json
import random
import textwrap
from collections.abc import Callable
from typing import Any

from tests.experiments.replay.programs import Program, Run, seeded, sentence

Maker = Callable[[random.Random], Program]


def _template(rng: random.Random) -> str:
    return f"Case {rng.randrange(10**6)}: {' '.join(rng.sample(_PLAIN, 5))}"


_PLAIN = (
    "please consider now then also write down what you think about this matter and give reasons for it in brief words before going on"
).split()


def _values(style: str, answer: str) -> list[str]:
    """What a program that only copies can take from an answer."""
    if style == "lines":
        return [answer, *answer.splitlines()]
    if style in ("json", "mixed", "plan", "plan?"):
        value = json.loads(answer)
        if "subtasks" in value:
            return [answer, *(item["task"] for item in value["subtasks"])]
        out = [answer, value["goal"], *value.get("steps", [])]
        return [*out, value["mark"], str(value["size"])] if style == "mixed" else out
    return [answer]


def copying(rng: random.Random) -> Program:
    """Prompts are templates with values of earlier answers in them: whole answers, texts of their JSON, lines."""
    steps = rng.randrange(4, 10)
    seed = rng.randrange(10**9)

    def program(run: Run) -> None:
        chance = random.Random(seed)
        known: list[tuple[str, str]] = []

        def fill(style: str) -> str:
            parts = [f"[{style}] {_template(chance)}"]
            for _ in range(chance.randrange(3)):
                if known:
                    kind, answer = chance.choice(known[-4:])
                    found = _values(kind, answer)
                    parts.append(
                        f"{chance.choice(['Given', 'Use', 'See', 'After'])}: {found[chance.randrange(len(found))]}"
                    )
                else:
                    chance.random()
            parts.append(_template(chance))
            return "\n".join(parts)

        talk: list[Any] = []
        for _ in range(steps):
            style = chance.choice(["text", "text", "lines", "json", "json", "few", "mixed"])
            form = chance.randrange(5)
            if form == 0:
                agent = f"agent{chance.randrange(3)}"
                prompts = [fill(style) for _ in range(2)]
                answers = run.all(*(_asks(f"{agent}{i}", prompt) for i, prompt in enumerate(prompts)))
                known.extend((style, answer) for answer in answers)
            elif form == 1:
                if not talk:
                    talk.append({"role": "system", "content": "[text] You are a patient speaker."})
                talk.append({"role": "user", "content": fill("text")})
                answer = run.ask("speaker", talk).text
                talk.append({"role": "assistant", "content": answer})
                known.append(("text", answer))
            elif form == 2:
                messages = [
                    {"role": "user", "content": fill("tool").replace("[tool]", chance.choice(["[tool]", "[tool.]"]), 1)}
                ]
                known.append(("text", run.loop("worker", messages)))
            else:
                known.append((style, run.say(f"agent{chance.randrange(3)}", fill(style))))

    return program


def _asks(agent: str, prompt: str) -> Callable[[Run], str]:
    return lambda line: line.say(agent, prompt)


def anton(rng: random.Random) -> Program:
    """Like anton: a plan, modules beside each other in two phases, with tools, a retry, and a summary that only counts."""
    task = sentence(rng, 5)
    vary, fails, tools = rng.random() < 0.3, rng.random() < 0.3, rng.random() < 0.5

    def module(item: dict[str, str]) -> Callable[[Run], int]:
        def work(line: Run) -> int:
            text = f"[{'tool' if tools else 'json'}] Execute this task within {item['module']}:\nTask: {item['task']}\nAnswer in JSON."
            messages = [{"role": "user", "content": text}]
            answer = line.loop(f"module_{item['module']}", messages)
            if fails and seeded(answer).random() < 0.4:
                again = [{"role": "user", "content": text + "\nRETRY #1: it failed."}]
                answer = line.loop(f"module_{item['module']}", again)
            return len(answer)

        return work

    def program(run: Run) -> None:
        talk = [{"role": "user", "content": f"[{'plan?' if vary else 'plan'}] Decompose this task:\nTask: {task}"}]
        answer = run.ask("orchestrator", talk).text
        items = json.loads(answer)["subtasks"]
        done = run.all(*(module(item) for item in items[:2]))
        done += run.all(*(module(item) for item in items[2:]))
        talk += [{"role": "assistant", "content": answer}]
        results = "\n".join(f"- st_{i}: {size // 10} file(s) changed" for i, size in enumerate(done))
        talk.append({"role": "user", "content": f"Summarize the completed task:\nOriginal task: {task}\n{results}"})
        run.ask("orchestrator", talk)

    return program


# -- adversarial: what is passed on is no copy


def _chain(rng: random.Random, style: str, pass_on: Callable[[str], str], length: int = 4) -> Program:
    heads = [f"[{style}] {_template(rng)}" for _ in range(length)]

    def program(run: Run) -> None:
        answer = run.say("agent0", heads[0])
        for at, head in enumerate(heads[1:], 1):
            answer = run.say(f"agent{at % 2}", f"{head}\nGiven: {pass_on(answer)}\nGo on.")

    return program


def counting(rng: random.Random) -> Program:
    return _chain(rng, "plan?", lambda answer: f"{len(json.loads(answer)['subtasks'])} subtasks are planned")


def sums(rng: random.Random) -> Program:
    return _chain(rng, "mixed", lambda answer: f"a total of {json.loads(answer)['size'] + 7} units")


def truncation(rng: random.Random) -> Program:
    most = rng.randrange(8, 30)
    return _chain(rng, rng.choice(["text", "json"]), lambda answer: answer[:most])


def rewording(rng: random.Random) -> Program:
    change = rng.choice(
        [str.upper, str.title, lambda t: " ".join(t.split()[::-1]), lambda t: t.replace(" ", "-"), lambda t: t[::-1]]
    )
    return _chain(rng, "text", change)


def redumped(rng: random.Random) -> Program:
    style = rng.choice([{"indent": 2}, {"separators": (",", ":")}, {"sort_keys": True}])
    return _chain(rng, rng.choice(["json", "mixed", "plan?"]), lambda answer: json.dumps(json.loads(answer), **style))


def branching(rng: random.Random) -> Program:
    """A branch that the recording may never have taken."""
    words = rng.sample(["amber", "cedar", "delta", "grove", "inlet", "meadow"], 4)
    head, heads = f"[text] {_template(rng)}", [_template(rng) for _ in range(3)]

    def program(run: Run) -> None:
        answer = run.say("agent0", head)
        for at, word in enumerate(words[:3]):
            if word in answer:
                answer = run.say("agent1", f"[text] {heads[at]} exceptional {word}: {answer}")
            else:
                answer = run.say("agent1", f"[text] {heads[at]} ordinary: {answer}")
        if words[3] in answer:
            run.say("agent2", "[text] one more call, that was not there before")

    return program


def short_words(rng: random.Random) -> Program:
    """Short values that are passed on, and stand in the templates too."""
    heads = [f"[mixed] {_template(rng)} red or blue, 0 1 2" for _ in range(4)]

    def program(run: Run) -> None:
        answer = run.say("agent0", heads[0])
        for head in heads[1:]:
            value = json.loads(answer)
            answer = run.say("agent1", f"{head}\nPaint it {value['mark']}, {value['size']} times.")

    return program


# -- written after the rules were done


def late_first_line(rng: random.Random) -> Program:
    return _chain(rng, "lines", lambda answer: sorted(answer.splitlines())[0])


def late_glued(rng: random.Random) -> Program:
    """Two values glued to one word, and a value within another."""
    return _chain(rng, "json", lambda a: "-".join([json.loads(a)["goal"], *json.loads(a)["steps"]]).replace(" ", "_"))


def late_hash(rng: random.Random) -> Program:
    """A name made of the answer, and the answer in another place of the next call but one."""
    heads = [f"[text] {_template(rng)}" for _ in range(5)]

    def program(run: Run) -> None:
        answers = [run.say("agent0", heads[0])]
        for head in heads[1:]:
            name = f"job-{seeded(answers[-1]).randrange(100)}"
            answers.append(
                run.say("agent1", f"{head} {name}\nBefore: {answers[-2] if len(answers) > 1 else 'nothing'}")
            )

    return program


def late_swap(rng: random.Random) -> Program:
    """Items are taken in the order of the alphabet."""
    heads = [f"[plan] {_template(rng)}", *(f"[text] {_template(rng)}" for _ in range(3))]

    def program(run: Run) -> None:
        items = sorted(item["task"] for item in json.loads(run.say("agent0", heads[0]))["subtasks"])
        run.all(*(_asks(f"agent{i + 1}", f"{heads[i + 1]}\nTask: {task}") for i, task in enumerate(items)))

    return program


def late_status(rng: random.Random) -> Program:
    """A loop that ends when an answer holds a word, with a constant prompt."""
    head, word = f"[text] {_template(rng)}", rng.choice(["amber", "cedar", "delta", "grove"])

    def program(run: Run) -> None:
        talk = [{"role": "user", "content": head}]
        for _ in range(5):
            answer = run.ask("agent0", talk).text
            talk += [
                {"role": "assistant", "content": answer},
                {"role": "user", "content": "Go on with the next part of it."},
            ]
            if word in answer:
                break
        run.say("agent1", f"[text] Review it in {len(talk)} points.")

    return program


def late_tools(rng: random.Random) -> Program:
    """A tool that the program refuses for some arguments, and a path that it changes before it calls."""
    head = f"[tool] {_template(rng)}"
    prefix = rng.choice(["", "/repo/"])

    def program(run: Run) -> None:
        messages: list[Any] = [{"role": "user", "content": head}]
        for _ in range(3):
            answer = run.ask("worker", messages)
            parent = run.last()
            if not answer.tool_calls:
                break
            call = answer.tool_calls[0]
            told = {
                "id": call["id"],
                "type": "function",
                "function": {"name": call["name"], "arguments": json.dumps(call["arguments"])},
            }
            messages.append({"role": "assistant", "content": "", "tool_calls": [told]})
            result = run.use("worker", "read_file", {"path": prefix + call["arguments"]["path"]}, parent)
            messages.append({"role": "tool", "tool_call_id": call["id"], "content": result[:20]})
        run.say("agent1", f"[text] {len(messages)} messages were written.")

    return program


# -- written after the rules learned to doubt (order, case, cuts, words)


def latest_unique(rng: random.Random) -> Program:
    """Answers of several calls, each once: a repeated one is dropped."""
    heads = [f"[few] {_template(rng)}" for _ in range(4)]
    again = [f"[text] {_template(rng)}" for _ in range(4)]

    def program(run: Run) -> None:
        answers = run.all(*(_asks(f"agent{i}", head) for i, head in enumerate(heads)))
        for at, answer in enumerate(dict.fromkeys(answers)):
            run.say("writer", f"{again[at]}\nTopic: {answer}")
        run.say("editor", f"[text] {_template(random.Random(7))}\n" + "\n".join(dict.fromkeys(answers)))

    return program


def latest_shouted(rng: random.Random) -> Program:
    """One value as it is, and another in capitals beside it."""

    def told(answer: str) -> str:
        value = json.loads(answer)
        return f"{value['goal']}\nMind: {value['steps'][0].upper()}\nThen: {value['steps'][1]}"

    return _chain(rng, "json", told)


def latest_first_two(rng: random.Random) -> Program:
    """The first items of a list that may be longer, each to a call of its own."""
    heads = [f"[plan?] {_template(rng)}", *(f"[text] {_template(rng)}" for _ in range(3))]

    def program(run: Run) -> None:
        items = [item["task"] for item in json.loads(run.say("agent0", heads[0]))["subtasks"]][:2]
        said = run.all(*(_asks(f"agent{i + 1}", f"{heads[i + 1]}\nTask: {task}") for i, task in enumerate(items)))
        run.say("agent0", f"{heads[3]}\nFirst: {said[0]}")

    return program


def latest_by_length(rng: random.Random) -> Program:
    """A template that is chosen by how long the answer is."""
    long, short, most = _template(rng), _template(rng), rng.randrange(30, 50)
    return _chain(rng, "text", lambda answer: f"{long if len(answer) > most else short}\n{answer}")


def latest_longest(rng: random.Random) -> Program:
    """The longest item, and the one that is the first in the alphabet."""
    pick = rng.choice([lambda found: max(found, key=len), min, lambda found: sorted(found)[len(found) // 2]])
    return _chain(rng, "plan", lambda answer: pick([item["task"] for item in json.loads(answer)["subtasks"]]))


def latest_cut(rng: random.Random) -> Program:
    """A text that is cut at a length which the recording may not have reached."""
    most = rng.choice([35, 40, 45, 50, 60])
    return _chain(rng, "text", lambda answer: answer[:most] + ("…" if len(answer) > most and most % 2 else ""))


def latest_listed(rng: random.Random) -> Program:
    """All items in one prompt: as they came, in the order of the alphabet, or turned about."""
    order = rng.choice([list, sorted, lambda found: found[::-1]])

    def told(answer: str) -> str:
        return "\n".join(f"* {task}" for task in order([item["task"] for item in json.loads(answer)["subtasks"]]))

    return _chain(rng, "plan", told)


# -- written last; no rule was made for them


def last_best(rng: random.Random) -> Program:
    """The same question three times, and the longest answer is passed on."""
    head, heads = _template(rng), [f"[text] {_template(rng)}" for _ in range(2)]

    def program(run: Run) -> None:
        answers = run.all(*(_asks(f"writer{i}", f"[text] {head} Draft {i}") for i in range(3)))
        said = run.say("editor", f"{heads[0]}\nGiven: {max(answers, key=len)}")
        run.say("reader", f"{heads[1]}\nGiven: {said}")

    return program


def last_wrapped(rng: random.Random) -> Program:
    """Long lines are broken."""
    wide = rng.randrange(30, 70)
    return _chain(rng, "text", lambda answer: textwrap.fill(answer, wide))


def last_quoted(rng: random.Random) -> Program:
    """Each line with a mark before it."""
    return _chain(rng, "lines", lambda answer: "\n".join(f"> {line}" for line in answer.splitlines()))


def last_first_words(rng: random.Random) -> Program:
    """A heading made of the first words, and the whole below it."""
    many = rng.randrange(1, 4)
    return _chain(rng, "text", lambda answer: f"# {' '.join(answer.split()[:many])}\n{answer}")


def last_branch_on_json(rng: random.Random) -> Program:
    """A mark in the answer decides who goes on, and with which words."""
    heads, other = [f"[mixed] {_template(rng)}" for _ in range(4)], _template(rng)

    def program(run: Run) -> None:
        value = json.loads(run.say("agent0", heads[0]))
        for head in heads[1:]:
            red = value["mark"] == "red"
            text = f"{head}\nGoal: {value['goal']}" + (f"\n{other}" if red and value["size"] else "")
            value = json.loads(run.say("checker" if red else "builder", text))

    return program


def last_edited(rng: random.Random) -> Program:
    """A word of the answer is put in place of another, where it stands."""
    old, new = rng.sample(["amber", "basin", "cedar", "delta", "ember", "fjord"], 2)
    return _chain(rng, "text", lambda answer: answer.replace(old, new))


FAMILIES: dict[str, Maker] = {"copying": copying, "anton": anton}
ADVERSARIAL: dict[str, Maker] = {
    "counting": counting, "sums": sums, "truncation": truncation, "rewording": rewording, "redumped": redumped,
    "branching": branching, "short words": short_words, "late: sorted line": late_first_line, "late: glued": late_glued,
    "late: names": late_hash, "late: sorted items": late_swap, "late: loop": late_status, "late: tools": late_tools, "latest: unique": latest_unique, "latest: shouted": latest_shouted,
    "latest: first two": latest_first_two, "latest: by length": latest_by_length, "latest: longest": latest_longest,
    "latest: cut": latest_cut, "latest: listed": latest_listed,
    "last: best of three": last_best, "last: wrapped": last_wrapped, "last: quoted": last_quoted,
    "last: first words": last_first_words, "last: marks": last_branch_on_json, "last: edited": last_edited,
}  # fmt: skip
ALL = FAMILIES | ADVERSARIAL
