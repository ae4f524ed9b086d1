"""What a program that runs again may spend, and what is paid once: quotes, budgets, Ctrl-C, and going on afterwards."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import anton_notebook as anb
from anton_notebook.errors import BudgetError
from tests.support.agents_by_hand import PROGRAM, answer, record, repository
from tests.support.servers.llm_server import Call, LlmServer, Reply

COMMAND = [sys.executable, str(PROGRAM), "Add a cache"]


class Recorded:
    """A recorded run and the server that answered it; `at(n, what)` does something when the n-th call from now comes in."""

    def __init__(self, where: Path) -> None:
        self.original = self.where = repository(where)
        self.server = LlmServer(self.reply)
        self.waiting: tuple[int, Any] | None = None
        done = record(self.where, self.server, *COMMAND)
        assert done.returncode == 0, done.stderr

    def reply(self, call: Call) -> Reply:
        waiting = self.waiting
        if waiting is not None and call.number >= waiting[0]:
            self.waiting = None
            waiting[1]()
        return answer(call)

    def at(self, nth: int, what: Any) -> None:
        self.waiting = (self.asked + nth, what)

    @property
    def asked(self) -> int:
        return len(self.server.calls)

    def replay(self, cp: anb.Checkpoint, **given: Any) -> Any:
        server = self.server
        return anb.replay(
            cp,
            command=COMMAND,
            upstreams={"anthropic": server.url, "openai": f"{server.url}/v1"},
            environment={name: value for name, value in server.environment().items() if name.endswith("KEY")},
            recorded_path=self.original.resolve(),
            timeout=100,
            progress=False,
            **given,
        )


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorded]:
    made = Recorded(tmp_path_factory.mktemp("money") / "repo")
    yield made
    made.server.close()


@pytest.fixture
def run(recorded: Recorded, tmp_path: Path) -> Recorded:
    """The recording in a folder of its own, so that nothing was replayed there before."""
    recorded.where = tmp_path / "moved"
    shutil.copytree(recorded.original, recorded.where)
    return recorded


def plan_changed(traces: anb.Traces) -> anb.Checkpoint:
    """A checkpoint from which on everything is live: six calls."""
    plan = next(s for t in traces for s in t.spans if s.kind == "llm" and s.agent == "orchestrator")
    return anb.checkpoint(plan, prompts={plan.span_id: "Task: Remove the cache"})


def test_a_quote_is_of_all_that_is_live_after_the_change(run: Recorded) -> None:
    with anb.read_traces(run.where) as traces:
        before = run.asked
        cp = plan_changed(traces)
        last = max((s for s in traces[cp.trace_id].spans if s.kind == "llm"), key=lambda s: s.start)
        quote = anb.quote(cp, command=COMMAND)
        assert quote.calls == 6 and 0 < quote.cost_low_usd < quote.cost_high_usd
        one = anb.quote(anb.checkpoint(last), command=COMMAND, fresh=True)
        assert one.calls == 1 and one.cost_low_usd < quote.cost_low_usd
        assert anb.quote(anb.checkpoint(last), command=COMMAND).calls == 0
        inferred = anb.quote(cp)
        assert 1 <= inferred.calls <= 6 and inferred.cost_high_usd > 0
        assert run.asked == before, "a quote asks nothing"


def test_a_budget_is_never_overspent_and_ends_the_program(run: Recorded) -> None:
    with anb.read_traces(run.where) as traces:
        cp = plan_changed(traces)
        dear = anb.quote(cp, command=COMMAND).cost_high_usd
        before = run.asked
        limit = dear / 6 * 1.01  # room for about one call's worst case at a time
        frame = run.replay(cp, budget=limit)
        made = run.asked - before
        assert 1 <= made < 6 and frame.attrs["spent_usd"] <= limit
        assert "the budget is spent" in frame.attrs["interrupted"]
        assert (frame["provenance"] == "executed").sum() >= made
        branch = traces[frame.attrs["new_trace_id"]]
        assert branch.figures["cost_usd"] <= limit
        nothing = run.asked
        frame = run.replay(cp, budget=0.0, cache=False)
        assert run.asked == nothing and frame.attrs["spent_usd"] == 0 and "budget" in frame.attrs["interrupted"]


ASIDE = """
import gzip, json, os, urllib.request
chat = json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}]}).encode()
for path, body in (("/models", None), ("/embeddings", chat), ("/chat/completions", gzip.compress(chat)), ("/chat/c%6fmpletions", chat)):
    try:
        urllib.request.urlopen(os.environ["OPENAI_BASE_URL"] + path, body)
    except urllib.error.HTTPError as error:
        print(error.code, flush=True)
"""


def test_with_a_budget_nothing_is_passed_on_that_is_not_set_aside(run: Recorded) -> None:
    urls = {"openai": f"{run.server.url}/v1", "anthropic": run.server.url}
    with anb.read_traces(run.where) as traces:
        cp, before = plan_changed(traces), run.asked
        with pytest.raises(BudgetError, match="POST '/embeddings', whose price is unknown"):
            anb.replay(
                cp, command=[sys.executable, "-c", ASIDE], upstreams=urls, budget=1.0, timeout=60, progress=False
            )
        assert run.asked == before


def test_a_model_without_a_price_has_no_budget(run: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("anton_notebook.pricing.price_of", lambda *given: None)
    with anb.read_traces(run.where) as traces:
        before = run.asked
        with pytest.raises(BudgetError, match="no price is known"):
            run.replay(plan_changed(traces), budget=1.0)
        assert run.asked == before


def test_ctrl_c_keeps_what_was_done_and_the_same_again_pays_only_for_the_rest(run: Recorded) -> None:
    released = threading.Event()

    def interrupt() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        released.wait(20)

    with anb.read_traces(run.where) as traces:
        cp = plan_changed(traces)
        before = run.asked
        run.at(4, interrupt)  # the fourth live call is never answered
        frame = run.replay(cp)
        released.set()
        assert frame.attrs["interrupted"].startswith("interrupted: the program was stopped")
        answered = int(((frame["provenance"] == "executed") & (frame["kind"] == "llm") & frame["error"].isna()).sum())
        assert 2 <= answered <= 4 and run.asked - before > answered
        again = run.asked
        frame = run.replay(cp)
        assert "interrupted" not in frame.attrs and frame.attrs["exit_code"] == 0
        assert run.asked - again == 6 - answered, "what was answered is not asked again"
        kept = frame[frame["reason"].str.contains("earlier replay", na=False)]
        assert len(kept) == answered and (kept["saved_usd"] > 0).all() and set(kept["provenance"]) == {"executed"}
        assert "write the code for: Remove the cache" in frame.attrs["output"]
        third = run.asked
        assert run.replay(cp).attrs["requests"] == 6 and run.asked == third, "a whole replay costs nothing twice"


def test_what_means_nothing_for_a_program_is_refused(run: Recorded) -> None:
    with anb.read_traces(run.where) as traces, pytest.raises(TypeError, match="tools= has no meaning"):
        run.replay(plan_changed(traces), tools={"read_file": len})
