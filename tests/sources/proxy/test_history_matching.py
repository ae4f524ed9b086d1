"""Structure from message histories: turns, tool pairs, agents' names, and the values that a prompt repeats."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anton_notebook.sources.proxy import history_matching
from anton_notebook.sources.proxy.history_matching import (
    Turns,
    agent_of,
    handed_on,
    messages_of,
    opening,
    pairs,
    plain_results,
    repeated,
    task_of,
)
from tests.support.proxies import called, system, user

Message = dict[str, Any]
texts = st.text(max_size=12) | st.sampled_from(['}, {"role": "user"', '"}]', "\\", "Calling tool: x", ""])
message = st.builds(
    lambda role, text: {"role": role, "content": text}, st.sampled_from(["user", "assistant", "system"]), texts
)
STYLES = {
    "json.dumps": json.dumps,
    "compact": lambda m: json.dumps(m, separators=(",", ":")),
    "other keys first": lambda m: json.dumps([dict(reversed(list(x.items()))) for x in m]),
    "not escaped": lambda m: json.dumps(m, ensure_ascii=False),
}


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[int, list[Message]]]:
    """Calls of two groups, each history afresh or an earlier one of its group with more messages at its end."""
    calls: list[tuple[int, list[Message]]] = []
    for _ in range(draw(st.integers(1, 14))):
        group = draw(st.integers(0, 1))
        earlier = [messages for g, messages in calls if g == group]
        if earlier and draw(st.integers(0, 3)):
            base = draw(st.sampled_from(earlier))
            calls.append((group, [*base, *draw(st.lists(message, min_size=1, max_size=3))]))
        else:
            calls.append((group, draw(st.lists(message, min_size=1, max_size=3))))
    return calls


def expected(calls: list[tuple[int, list[Message]]], at: int, chosen: list[int]) -> set[int]:
    """Every call that may be the one before: of the longest histories that this one begins with."""
    group, messages = calls[at]
    fits = {
        i: len(before)
        for i, (g, before) in enumerate(calls[:at])
        if g == group and len(before) < len(messages) and messages[: len(before)] == before
    }
    longest = max(fits.values(), default=0)
    return {i for i, size in fits.items() if size == longest}


@pytest.mark.parametrize("style", STYLES)
@given(calls=histories(), room=st.sampled_from([0, 200, history_matching.ROOM]))
def test_a_call_continues_the_longest_history_it_begins_with(
    style: str, calls: list[tuple[int, list[Message]]], room: int
) -> None:
    before, history_matching.ROOM = history_matching.ROOM, room
    try:
        finder, chosen = Turns(), list[int]()
        for i, (group, messages) in enumerate(calls):
            raw = STYLES[style](messages).encode()
            turn = finder.take(group, raw, i)
            fits = expected(calls, i, chosen)
            assert turn.previous in (fits or {-1})
            known = len(calls[turn.previous][1]) if turn.previous >= 0 else 0
            assert messages_of(turn.new(raw))[0] == messages[known:]
            chosen.append(turn.previous)
    finally:
        history_matching.ROOM = before


def test_of_two_equal_histories_each_gets_one_of_the_two_next_turns() -> None:
    finder = Turns()
    first = json.dumps([user("go")]).encode()
    next_turn = json.dumps([user("go"), user("on")]).encode()
    assert [finder.take(0, raw, i).previous for i, raw in enumerate((first, first, next_turn, next_turn))] == [
        -1,
        -1,
        0,
        1,
    ]


def test_turns_of_another_group_are_not_joined() -> None:
    finder = Turns()
    finder.take(1, json.dumps([user("go")]).encode(), 0)
    assert finder.take(2, json.dumps([user("go"), user("on")]).encode(), 1).previous == -1


@given(st.lists(message, max_size=8) | st.lists(st.sampled_from(called("ls", "a") + called("cat", 'b"\\')), max_size=8))
def test_the_quick_way_to_the_tools_finds_what_the_careful_one_finds(messages: list[Message]) -> None:
    turn = Turns().take(0, json.dumps(messages).encode(), 0)
    quick = plain_results(turn.pieces, {})
    if quick is not None:
        assert [name for name, _ in quick] == [pair.name for pair in pairs(messages)]


def test_the_quick_way_is_taken_for_anton_s_wording() -> None:
    turn = Turns().take(
        0, json.dumps([system("api"), user("go"), *called("ls", 'a "b"'), *called("cat", "c")]).encode(), 0
    )
    found = plain_results(turn.pieces, {})
    assert found is not None and [name for name, _ in found] == ["ls", "cat"]


def test_pairs_in_every_wording() -> None:
    use = {"type": "tool_use", "id": "u", "name": "cat", "input": {"f": 1}}
    ask = {"id": "t", "function": {"name": "ls", "arguments": "not json"}}
    told = [
        *called("read_file", "text: with colons\nand lines"),
        {"role": "assistant", "content": "Calling tool: a"},
        {"role": "assistant", "content": "Calling tool: b"},
        user("Tool result from b: 2"),
        user("Tool result from a: 1"),
        {"role": "assistant", "content": None, "tool_calls": [ask, "odd"]},
        {"role": "tool", "tool_call_id": "t", "content": "out"},
        {"role": "assistant", "content": [use]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "u", "is_error": True, "content": "no"}]},
        user("Tool result from nowhere: x"),
        {"role": "assistant", "content": "Calling tool: unanswered"},
        "odd",
    ]
    found = [(p.name, p.call, p.result, p.arguments, p.text, p.failed) for p in pairs(told)]
    assert found == [
        ("read_file", 0, 1, None, "text: with colons\nand lines", False),
        ("b", 3, 4, None, " 2", False),
        ("a", 2, 5, None, " 1", False),
        ("ls", 6, 7, "not json", "out", False),
        ("cat", 8, 9, {"f": 1}, "no", True),
    ]


@pytest.mark.parametrize(
    ("system_text", "user_text", "agent"),
    [
        ("You are the Orchestrator Agent for a codebase.", "x", "orchestrator"),
        ('You are a specialist agent for the "data base" module.', "x", "module_data base"),
        ("", "Decompose this task into module-specific subtasks:\n\nTask: x", "orchestrator"),
        ("", "Before decomposing this task, explore", "orchestrator"),
        ("", "\nExecute this task within the web module:\n\nTask: x", "module_web"),
        ("", "📁 Your Module:\n   /repo/src/billing\n", "module_billing"),
        ("You are a careful reviewer. Read on", "x", "careful reviewer"),
        ("You are an expert, truly", "x", "expert"),
        ("Answer briefly", "x", "Answer briefly"),
        ("", "\n\nTranslate this: " + "y" * 99, "Translate this: " + "y" * 43 + "…"),
        ("", "", "agent"),
    ],
)
def test_an_agent_s_name(system_text: str, user_text: str, agent: str) -> None:
    assert agent_of(system_text, user_text) == agent


def test_what_an_opening_says() -> None:
    told = opening([system("orchestrator", "/work/shop "), user("Explore\n\nTask: Add a cache \nMore: Task: no")])
    assert (told.agent, told.task, told.path) == ("orchestrator", "Add a cache", "/work/shop")
    assert opening([system("api"), user("x")], "planner").agent == "planner"
    assert opening([system("api"), user("x")], "unknown").agent == "module_api"
    assert opening([]).agent == "agent" and opening(["odd", 7]).task is None
    blocks = [{"type": "text", "text": "Task: from blocks"}]
    assert opening([{"role": "user", "content": blocks}]).task == "from blocks"


def test_the_description_of_a_task() -> None:
    assert task_of("📋 Current Task:\n   Do it\n\n📁 Your Module") == "Do it"
    assert task_of("📋 Current Task:\n   Do it\n\nTask: Do that") == "Do that"
    assert task_of("no Task: here") is None and task_of("") is None


def test_a_prompt_repeats_what_an_answer_handed_on() -> None:
    answer = json.dumps({"subtasks": [{"module": "api", "description": 'Add "caching"\nto the api module'}]}, indent=1)
    values = handed_on(answer)
    assert hash('Add "caching"') in values and hash("api") not in values
    listed = handed_on("1. Implement the api part\n- **web**: Implement the web part\n")
    assert repeated("Please do this:\nTask: Implement the api part\n") & listed
    assert not repeated("Task: something quite different") & listed


def stitched(conversations: int, length: int) -> float:
    """Seconds of the fastest stitching of as many conversations of this length, their turns in between each other."""
    tail = [json.dumps(called("read_file", f"line {i} " * 10))[1:-1] for i in range(length)]
    heads = [json.dumps([system("api"), user(f"Task: {c}")])[:-1] for c in range(conversations)]
    texts = [[head] for head in heads]
    rows: list[bytes] = []
    for i in range(length):
        for c in range(conversations):
            rows.append((", ".join(texts[c]) + "]").encode())
            texts[c].append(tail[i])
        if len(rows) * len(rows[-1]) > 40 << 20:
            break
    best = 1e9
    for _ in range(3):
        finder, began = Turns(), time.process_time()
        joined = sum(finder.take(0, raw, i).previous >= 0 for i, raw in enumerate(rows))
        best = min(best, time.process_time() - began)
        assert joined == len(rows) - conversations
    return best / len(rows)


def test_a_thousand_turns_cost_little_more_each_than_a_hundred() -> None:
    assert stitched(1, 400) < 6 * stitched(1, 50) + 20e-6
    assert stitched(8, 50) < 4 * stitched(1, 50) + 20e-6
