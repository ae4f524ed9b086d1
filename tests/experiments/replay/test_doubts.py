"""What else than copying would explain a recording: told by small programs whose answers are chosen so that it matters."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

import anton_notebook as anb
from anton_notebook.experiments.replay.answer_diff import difference
from anton_notebook.experiments.replay.dry_run import guessed
from anton_notebook.llm import Scripted
from anton_notebook.model.request import Request, Response
from tests.experiments.replay.judge import Judged, judged
from tests.experiments.replay.programs import START, Program, Run, execute, record

FIRST, OTHERWISE = "Make a list", "Make another list"


def follows(
    folder: Path, program: Program, old: str, new: str, *, before: tuple[str, ...] = (), rest: str = "Fine as it is"
) -> list[tuple[str, str]]:
    """(provenance, reason) of what follows when the first call says `new` and not `old`. `before`: what it said in other runs."""

    def model(answer: str) -> Callable[[Request], Response]:
        def asked(request: Request) -> Response:
            text = str(request.messages[0]["content"])
            return Response(new if text == OTHERWISE else answer if text == FIRST else f"{rest}: {len(text)}")

        return asked

    for at, answer in enumerate((old, *before)):
        name = f"other{at}" if at else "trace"
        made = execute(program, model(answer), {})
        record(made, folder / ".modular-agents" / "traces", name, START - timedelta(days=at), name)
    spans = anb.read_traces(folder)["trace"].spans
    span = next(span for span in spans if span.kind == "llm" and span.request.messages[0]["content"] == FIRST)
    cp = anb.checkpoint(span, {span.span_id: OTHERWISE})
    df = anb.replay(cp, provider=Scripted(model(old)), progress=False)
    return [
        (word, why) for word, why in zip(df["provenance"].astype(str), df["reason"], strict=True) if word != "executed"
    ]


def passing_on(change: Callable[[str], str]) -> Program:
    def program(run: Run) -> None:
        answer = run.say("lead", FIRST)
        run.say("worker", f"Now go on with this.\n{change(answer)}\nThank you.")

    return program


def each(order: Callable[[list[str]], list[str]], key: str | None = None) -> Program:
    """Each item to a worker of its own, named in its prompt where the item has a name."""

    def program(run: Run) -> None:
        items = order(json.loads(run.say("lead", FIRST)))
        texts = [item if key is None else f"in {item[key]}: {item['task']}" for item in items]
        numbers = ("one", "two", "three")
        run.all(*(asks(f"worker{n}", f"Do this, number {n}\n{text}") for n, text in zip(numbers, texts, strict=True)))

    return program


def asks(agent: str, text: str) -> Callable[[Run], str]:
    return lambda line: line.say(agent, text)


def plain(items: str) -> str:
    return json.dumps([f"{item} the garden shed" for item in items.split()])


def test_items_that_are_taken_in_their_order_are_followed(tmp_path: Path) -> None:
    found = follows(tmp_path, each(list), plain("paint build sweep"), plain("leave hoist check"))
    assert [word for word, _ in found] == ["inferred"] * 3


def test_items_that_were_taken_in_another_order_are_not(tmp_path: Path) -> None:
    found = follows(tmp_path, each(sorted), plain("paint build sweep"), plain("leave hoist check"))
    assert {word for word, _ in found} == {"stale"}
    assert "in another order than it gave them" in found[0][1]


def test_items_that_stood_in_the_order_of_the_alphabet_may_be_sorted(tmp_path: Path) -> None:
    found = follows(tmp_path, each(list), plain("build paint sweep"), plain("leave hoist check"))
    assert [word for word, _ in found] == ["stale", "inferred", "stale"]  # the second stays the second, sorted or not
    assert "in the order of the alphabet" in found[0][1]


def test_another_run_tells_sorted_items_from_those_that_are_taken_as_they_come(tmp_path: Path) -> None:
    old, new, other = plain("build paint sweep"), plain("leave hoist check"), plain("wash brush climb")
    found = follows(tmp_path / "list", each(list), old, new, before=(other,))
    assert [word for word, _ in found] == ["inferred"] * 3
    assert "confirmed 1 of 1" in found[0][1]
    found = follows(tmp_path / "sorted", each(sorted), old, new, before=(other,))
    assert found[0][0] == found[2][0] == "stale"
    assert "the same rules predict another prompt" in found[0][1]


def test_items_that_are_called_by_an_unchanged_name_may_come_in_any_order(tmp_path: Path) -> None:
    def named(verbs: str) -> str:
        return json.dumps(
            [
                {"where": w, "task": f"{v} the garden shed"}
                for w, v in zip(("web", "api", "core"), verbs.split(), strict=True)
            ]
        )

    program = each(lambda items: sorted(items, key=lambda item: item["where"]), "where")  # type: ignore[arg-type,return-value,index]
    found = follows(tmp_path, program, named("paint build sweep"), named("leave hoist check"))
    assert [word for word, _ in found] == ["inferred"] * 3


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("mend the old fence", "Mend the Gate of iron", "in lower case"),
        ("Mend the old fence", "Mend the gate,\nthen paint it", "on one line"),
        ("Mend the old fence", '"Mend the iron gate"', "without the signs around it"),
        ("Mend the old fence", "Mend the iron gate " * 4 + "now", "longer than 50 characters"),
        ('{"a": "Mend the old fence"}', '{"a":"Mend the iron gate"}', "as JSON that is written anew"),
    ],
)
def test_what_looks_copied_and_may_be_something_else_is_stale(tmp_path: Path, old: str, new: str, why: str) -> None:
    ((word, reason),) = follows(tmp_path, passing_on(str), old, new)
    assert word == "stale"
    assert why in reason


def test_a_run_that_copied_such_a_text_settles_the_doubt(tmp_path: Path) -> None:
    ((word, reason),) = follows(
        tmp_path, passing_on(str), "mend the old fence", "Mend the Gate of iron", before=("Mend the Wall of stone",)
    )
    assert word == "inferred"
    assert "confirmed 1 of 1" in reason


def test_a_word_beside_the_values_that_the_new_answer_lacks_is_a_sign(tmp_path: Path) -> None:
    def told(answer: str) -> str:
        return f"Mind the fence.\n{answer}" if "fence" in answer else answer

    ((word, reason),) = follows(tmp_path, passing_on(told), "mend the old fence", "mend the old gates")
    assert word == "stale"
    assert "the word 'fence'" in reason


def test_a_value_in_another_case_beside_others_is_a_piece_of_the_answer(tmp_path: Path) -> None:
    ((word, reason),) = follows(
        tmp_path,
        passing_on(lambda answer: f"{answer}\n{answer.upper()}"),
        "mend the old fence",
        "fetch more iron nails",
    )
    assert word == "stale"
    assert "in another case" in reason


def test_a_prompt_that_waited_and_quotes_nothing_needs_two_runs_that_say_the_same(tmp_path: Path) -> None:
    old, new = "mend the old fence", "fetch more iron nails"
    others = ("clean all the windows", "build one more wall")
    for many, expected in ((0, "stale"), (1, "stale"), (2, "inferred")):
        found = follows(tmp_path / str(many), passing_on(lambda answer: "Well done"), old, new, before=others[:many])
        assert [word for word, _ in found] == [expected], many
    counted = passing_on(lambda answer: f"{len(answer)} letters")
    assert follows(tmp_path / "counted", counted, old, new, before=others)[0][0] == "stale"
    same = passing_on(lambda answer: f"{len(answer.splitlines())} line")
    ((word, reason),) = follows(tmp_path / "same", same, old, new, before=others)
    assert word == "stale" and "no value of it" in reason  # two runs of one line each do not show that it is no count


def test_one_of_several_answers_to_the_same_question_may_have_been_chosen(tmp_path: Path) -> None:
    def program(run: Run) -> None:
        one, two = run.all(asks("lead", FIRST), asks("another lead", f"{FIRST}."))
        run.say("worker", f"Now go on with this.\n{max(one, two, key=len)}")

    found = follows(
        tmp_path, program, "mend the old fence at the back of the house", "fetch more iron nails", rest="Short"
    )
    assert found[-1][0] == "stale"
    assert "one of them may be chosen" in found[-1][1]


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ('{"next": "needs_revision", "a": "Mend it"}', '{"next": "ready_to_merge", "a": "Mend it"}', "several choices"),
        ("Mend the old fence\nVerdict: good", "Mend the old fence\nVerdict: bad", "behind a label"),
        ("Mend the old fence", "No.", "very short"),
    ],
)
def test_an_answer_that_decides_otherwise_is_not_followed(old: str, new: str, why: str) -> None:
    assert why in (difference(Response(old), Response(new)).trouble or "")


def test_a_plan_guesses_the_same_choices_and_other_words() -> None:
    old = Response('{"next": "needs_revision", "file": "src/web/cache.py", "task": "Paint the web"}')
    new = guessed(old, "What about the web?")
    assert difference(old, new).trouble is None
    assert json.loads(new.text) == {"next": "needs_revision", "file": "src/web/pnpur.cl", "task": "Cnvag the web"}


def test_other_runs_beside_a_recording_take_the_rules_further() -> None:
    def reached(others: int) -> float:
        total = Judged()
        for seed in range(12):
            total.add(judged("anton", seed, others=others))
        assert not total.errors
        return (total.right["inferred"] + total.right["executed tool"]) / total.downstream

    assert reached(3) > 1.2 * reached(0)
