"""Which recorded request a program's request equals: each finds itself again, whatever the order; a changed one never does."""

from __future__ import annotations

import copy
import random
import shutil
import uuid
from pathlib import Path
from typing import Any

import pytest

import anton_notebook as anb
from anton_notebook.errors import ReplayDivergence, ReplayError
from anton_notebook.experiments.replay.program.request_matching import Matcher
from anton_notebook.experiments.replay.program.responder import RecordingResponder
from anton_notebook.experiments.replay.program.workdir import path_map
from anton_notebook.model.request import Request


def talks(dice: random.Random, folder: Path) -> None:
    """A run of several agents of several turns, some of which say the same twice, written as the gateway writes it."""
    with anb.trace("random", path=folder) as t:
        for agent in range(dice.randrange(1, 5)):
            messages: list[dict[str, Any]] = []
            for turn in range(dice.randrange(1, 6)):
                messages.append(
                    {
                        "role": "user",
                        "content": f"run {uuid.UUID(int=dice.getrandbits(128))} {agent} {dice.choice('abc') * 3} {turn}",
                    }
                )
                for _ in range(dice.choice([1, 1, 1, 2])):
                    t.llm(
                        model="gpt-4o", messages=copy.deepcopy(messages), response=f"answer {agent} {turn}", agent=f"a{agent}",
                        system=f"You are {agent}", tools=[{"name": "x"}] if agent % 2 else None, parameters={"seed": 1},
                    )  # fmt: skip
                messages.append({"role": "assistant", "content": f"answer {agent} {turn}"})


def other_ids(value: Any, dice: random.Random) -> Any:
    """The same request of another run: its ids are new, in the same places."""
    new: dict[str, str] = {}

    def swap(text: str) -> str:
        return " ".join(
            new.setdefault(w, str(uuid.UUID(int=dice.getrandbits(128)))) if len(w) == 36 and w.count("-") == 4 else w
            for w in text.split(" ")
        )

    out = copy.deepcopy(value)
    for message in out:
        if message["role"] == "user":
            message["content"] = swap(message["content"])
    return out


def mutants(request: Request, dice: random.Random) -> list[Request]:
    """Requests that differ from this one in one place."""
    messages = copy.deepcopy(request.messages)
    at = dice.randrange(len(messages))
    changed = copy.deepcopy(messages)
    changed[at]["content"] += "!"
    longer = [*messages, {"role": "user", "content": "more"}]
    swapped_roles = copy.deepcopy(messages)
    swapped_roles[at]["role"] = "assistant" if swapped_roles[at]["role"] == "user" else "user"
    return [
        request.with_changes(messages=changed),
        request.with_changes(messages=longer),
        request.with_changes(messages=swapped_roles),
        request.with_changes(system=f"{request.system}."),
        request.with_changes(parameters={"seed": 2}),
        request.with_changes(parameters={"temperature": 0}),
        request.with_changes(model="gpt-4o-mini"),
        request.with_changes(tools=[{"name": "y"}]),
    ]


def test_every_request_finds_itself_and_no_changed_one_does(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    clean = injected = 0
    for seed in range(200 if request.config.getoption("--nightly") else 25):
        dice = random.Random(seed)
        folder = tmp_path / str(seed)
        folder.mkdir()
        talks(dice, folder)
        with anb.read_traces(folder) as traces:
            (trace,) = traces
            spans = sorted((s for s in trace.spans if s.kind == "llm"), key=lambda s: s.start)
            for wrong in mutants(dice.choice(spans).request, dice):
                matcher = Matcher(trace.spans, None)
                assert matcher.take(wrong) is None, wrong
                near = matcher.nearest(wrong)
                assert near is not None and near[1] and near[2] != near[3]
                injected += 1
            matcher = Matcher(spans, None)
            dice.shuffle(spans)
            for span in spans:
                hit = matcher.take(span.request.with_changes(messages=lambda m, d=dice: other_ids(m, d)))
                assert (
                    hit is not None
                    and hit[0].request.messages[-1]["content"][50:] == span.request.messages[-1]["content"][50:]
                )
                clean += 1
            assert all(call.used for call in matcher.calls) and matcher.take(spans[0].request) is None
    print(f"{clean} of {clean} found, {injected} of {injected} changed requests told apart")
    assert injected >= 200 and clean >= 100


def test_equal_requests_are_taken_in_the_order_of_the_recording(tmp_path: Path) -> None:
    with anb.trace("twice", path=tmp_path) as t:
        for i in range(3):
            t.llm(model="gpt-4o", messages=[{"role": "user", "content": "again"}], response=f"{i}", duration_ms=1)
    with anb.read_traces(tmp_path) as traces:
        (trace,) = traces
        matcher = Matcher(trace.spans, None)
        same = Request("openai", "gpt-4o", messages=[{"role": "user", "content": [{"type": "text", "text": "again"}]}])
        assert [matcher.take(same)[0].response.text for _ in range(3)] == ["0", "1", "2"]  # type: ignore[index]


def test_compared_is_only_what_the_recording_holds(corpus: Path, tmp_path: Path) -> None:
    """Lines without ids hold no tools, no parameters: a program that sends some equals them all the same."""
    shutil.copytree(corpus / "anton-jsonl", tmp_path / "r")
    with anb.read_traces(tmp_path / "r") as traces:
        for trace in traces:
            matcher = Matcher(trace.spans, None)
            for call in list(matcher.calls):
                more = call.request.with_changes(
                    parameters={"max_tokens": 77, "temperature": 0.1}, tools=[{"name": "t"}]
                )
                assert matcher.take(more) is not None
                assert matcher.take(more.with_changes(system="Another.")) is None


def test_a_recording_that_lacks_what_an_answer_asked_for_is_named(corpus: Path, tmp_path: Path) -> None:
    shutil.copytree(corpus / "anton-proxy", tmp_path / "r")
    with anb.read_traces(tmp_path / "r") as traces:
        trace = max(traces, key=lambda t: t.figures["llm_calls"])
        asked = next(s for s in trace.spans if s.finish_reason == "tool_calls")
        answerer = RecordingResponder({}, None, Matcher(trace.spans, None))
        got = answerer.decide("chat", {"model": asked.model, "messages": asked.request.messages})
        assert got.refuse is not None and isinstance(answerer.failure, ReplayError)
        assert not isinstance(answerer.failure, ReplayDivergence) and "were not recorded" in got.refuse


def test_paths_are_put_in_each_others_place_as_whole_paths() -> None:
    there = path_map("/a/repo", "/tmp/x/repo")
    assert there("/a/repo /a/repo/b.py, /a/repo. /a/repos /a/repo.git /a/repo-2 x/a/repo") == (
        "/tmp/x/repo /tmp/x/repo/b.py, /tmp/x/repo. /a/repos /a/repo.git /a/repo-2 x/a/repo"
    )
