"""Money: what is set aside and what is spent never exceed the limit, in whatever order things happen."""

from __future__ import annotations

import asyncio
import json
import math
import random
import threading
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import anton_notebook as anb
from anton_notebook import pricing
from anton_notebook.errors import BudgetError, CallFailed, MissingKey
from anton_notebook.experiments.rerun import Budget, Sweep, arerun, plan, rerun
from anton_notebook.experiments.rerun.budget import PICO, worst_case
from anton_notebook.experiments.rerun.variants import plain_body
from anton_notebook.llm import Exhausted, Policy
from anton_notebook.model.request import Request, Response, Usage
from tests.support.servers.llm_server import Call, LlmServer, Reply

INPUT, OUTPUT = 2.5e-6, 10e-6  # gpt-4o, US dollars a token


def worst(request: Request) -> int:
    """In trillionths of a dollar."""
    return worst_case(request.provider, request, plain_body(request))


def asked(limit: int | None = 100, content: Any = "Hi") -> Request:
    parameters = {} if limit is None else {"max_tokens": limit}
    return Request("openai", "gpt-4o", messages=[{"role": "user", "content": content}], parameters=parameters)


class Shop:
    """Takes requests as they are, and bills every attempt something between nothing and its worst case."""

    name = "openai"

    def __init__(self, seed: int, fates: list[str]) -> None:
        self.random = random.Random(seed)
        self.fates = fates
        self.billed = 0.0
        self.attempts = 0

    async def complete(self, request: Request) -> Response:
        fate = self.fates[self.attempts % len(self.fates)]
        self.attempts += 1
        sent = len(json.dumps(plain_body(request), ensure_ascii=False).encode())
        usage = Usage(self.random.randint(0, sent), self.random.randint(0, request.parameters["max_tokens"]))
        if fate == "most":
            usage = Usage(sent, request.parameters["max_tokens"])
        assert usage.input_tokens is not None and usage.output_tokens is not None
        self.billed += usage.input_tokens * INPUT + usage.output_tokens * OUTPUT
        for _ in range(self.random.randint(0, 3)):
            await asyncio.sleep(0)
        if fate == "turned away":
            raise CallFailed("429", "status", status=429, turned_away=True, retry_after=0.0)
        if fate == "broken":
            raise CallFailed("cut", "cut", passing=True, partial=Response("half", usage=usage))
        if fate == "wrong":
            raise RuntimeError("a bug")
        if fate == "slow":
            await asyncio.sleep(60)
        return Response("x", usage=Usage() if fate == "untold" else usage, finish_reason="stop")


class Told:
    """Reports whatever it is told to report."""

    name = "openai"

    def __init__(self, usage: Usage, model: str | None = None) -> None:
        self.answer = Response("x", usage=usage, model=model)

    async def complete(self, request: Request) -> Response:
        return self.answer


FATES = st.lists(st.sampled_from(["fine", "most", "untold", "turned away", "broken", "wrong"]), min_size=1, max_size=8)


@settings(max_examples=max(1000, settings().max_examples))
@given(
    st.integers(0, 2**32), FATES, st.floats(0, 0.02), st.integers(1, 12), st.integers(0, 6), st.integers(1, 12),
    st.lists(st.integers(1, 400), min_size=1, max_size=3), st.sampled_from([None, 0, 1, 4]),
)  # fmt: skip
def test_no_sweep_ever_exceeds_its_budget(
    seed: int,
    fates: list[str],
    budget: float,
    n: int,
    baseline: int,
    concurrency: int,
    limits: list[int],
    retries: int | None,
) -> None:
    shop, purse = Shop(seed, fates), Budget(budget)
    parameters = [{"max_tokens": limit} for limit in limits]
    planned = plan(asked(), provider=shop, parameters=parameters, n=n, baseline=baseline)
    made = Sweep(planned, budget=purse, concurrency=concurrency, policy=Policy(retries=retries, first_wait=0.0))
    asyncio.run(made.run())
    rows = list(made.rows.values())
    assert shop.billed <= purse.spent_usd + 1e-12 and purse.spent <= purse.limit and purse.reserved == 0
    assert len(rows) == len(limits) * n + baseline and sum(row["attempts"] for row in rows) == shop.attempts
    refused = [row for row in rows if row["error"] == "budget"]
    assert all(row["attempts"] == 0 and row["cost_usd"] == 0 for row in refused)
    dearest = max(worst(asked(limit)) for limit in [*limits, 100]) / PICO
    if budget >= (len(rows) * 5 + 1) * dearest:
        assert not refused, "what fits is asked"


@settings(max_examples=50)
@given(st.integers(0, 2**32), st.floats(0, 0.02), st.integers(0, 40))
def test_cancelled_attempts_are_settled_at_their_worst(seed: int, budget: float, steps: int) -> None:
    shop, purse = Shop(seed, ["fine", "slow"]), Budget(budget)

    async def interrupted() -> None:
        made = Sweep(plan(asked(), provider=shop, n=10), budget=purse, concurrency=4)
        task = asyncio.create_task(made.run())
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(interrupted())
    assert purse.reserved == 0 and shop.billed <= purse.spent_usd + 1e-12 and purse.spent <= purse.limit


def test_one_budget_for_many_threads_and_loops() -> None:
    purse, shops = Budget(0.05), [Shop(i, ["fine", "most", "untold", "turned away"]) for i in range(8)]

    def work(shop: Shop) -> None:
        asyncio.run(arerun(asked(), provider=shop, n=40, concurrency=8, budget=purse, progress=False))

    threads = [threading.Thread(target=work, args=(shop,)) for shop in shops]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    assert purse.reserved == 0 and sum(shop.billed for shop in shops) <= purse.spent_usd + 1e-12
    assert purse.spent <= purse.limit and purse.left_usd < 0.002, "and it was used"


def test_over_http_with_retries_and_missing_usage(monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(3)
    billed = []

    def reply(call: Call) -> Reply:
        usage = (min(len(call.raw), 60), chance.randint(1, 50), 0)
        billed.append(usage[0] * INPUT + usage[1] * OUTPUT)
        return Reply("x", usage=usage if chance.random() < 0.7 else None, delay=0.01)

    with LlmServer(reply, lambda call: "retry-after-0" if chance.random() < 0.2 else None) as server:
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        df = rerun(asked(50), n=100, budget=0.02, concurrency=16, progress=False)
    assert sum(billed) <= df.attrs["spent_usd"] <= 0.02
    assert (df["error"] == "budget").any() and df["error"].isna().any()
    assert len(server.calls) == df["attempts"].sum()


def test_calls_in_flight_are_waited_for_before_one_is_refused() -> None:
    """The worst case of two does not fit, what they really cost does."""

    class Cheap:
        name = "openai"

        async def complete(self, request: Request) -> Response:
            await asyncio.sleep(0.01)
            return Response("x", usage=Usage(1, 1))

    request = asked(1000)
    budget = 1.5 * worst(request) / PICO
    df = rerun(request, provider=Cheap(), n=20, budget=budget, concurrency=10, progress=False)
    assert df["error"].isna().all()


def test_what_did_not_reach_the_provider_costs_nothing() -> None:
    class Keyless:
        name = "openai"

        async def complete(self, request: Request) -> Response:
            raise MissingKey("no key")

    df = rerun(asked(), provider=Keyless(), n=5, budget=0.1, progress=False)
    assert df.attrs["spent_usd"] == 0


def test_a_model_without_a_price_is_refused_before_the_call_naming_set_price() -> None:
    shop = Shop(1, ["fine"])
    request = Request(
        "openai", "no-such-model", messages=[{"role": "user", "content": "Hi"}], parameters={"max_tokens": 10}
    )
    with pytest.raises(BudgetError, match=r"no-such-model.*anb\.set_price"):
        rerun(request, provider=shop, budget=1, progress=False)
    assert not shop.attempts
    anb.set_price("no-such-model", input=1, output=1)
    try:
        assert rerun(request, provider=shop, budget=1, progress=False)["error"].isna().all()
    finally:
        anb.reset_prices()


@pytest.mark.parametrize("budget", [-1, math.nan, math.inf, "1", True, 10**400])
def test_what_is_no_limit_is_refused(budget: Any) -> None:
    with pytest.raises(BudgetError, match="budget="):
        Budget(budget)


def test_nothing_fits_into_nothing() -> None:
    df = rerun(asked(), provider=Shop(1, ["fine"]), n=3, budget=0, progress=False)
    assert df["error"].tolist() == ["budget"] * 3


def test_the_worst_case_is_every_byte_and_the_longest_answer() -> None:
    request = asked(100)
    sent = len(json.dumps(plain_body(request), ensure_ascii=False).encode())
    assert worst(request) / PICO == pytest.approx(sent * INPUT + 100 * OUTPUT)
    window = pricing.context_window("openai", "gpt-4o")
    assert window is not None
    open_end = asked(None)
    assert worst(open_end) / PICO > window * OUTPUT
    body = {**plain_body(request), "max_completion_tokens": 200, "n": 3}
    assert worst_case("openai", request, body) / PICO > 600 * OUTPUT
    for part in (
        {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
        {"type": "file", "file": {"file_id": "f"}},
    ):
        unseen = asked(100, [part])
        assert worst(unseen) / PICO > window * INPUT
    small = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    assert 100_000 * INPUT < worst(asked(100, [small])) / PICO < window * INPUT, "a small file may have many pixels"
    items = {"model": "gpt-4o", "input": [{"role": "user", "content": "Hi"}], "max_output_tokens": 10}
    earlier = {**items, "previous_response_id": "resp_1"}
    there = {**items, "input": [{"role": "user", "content": [{"type": "input_file", "file_url": "https://a.b/c.pdf"}]}]}
    assert worst_case("openai", request, items) / PICO < 0.01, "the Responses API's limit of an answer"
    assert all(worst_case("openai", request, body) / PICO > window * INPUT for body in (earlier, there))
    with pytest.raises(BudgetError, match="n='3'"):
        worst_case("openai", request, {**body, "n": "3"})
    both = {**plain_body(request), "max_completion_tokens": 1, "max_tokens": 1000}
    assert worst_case("openai", request, both) / PICO > 1000 * OUTPUT, "some servers heed the one, some the other"
    written = Request("anthropic", "claude-sonnet-4-20250514", messages=request.messages, parameters={"max_tokens": 10})
    size = len(json.dumps(plain_body(written)).encode())
    assert worst(written) / PICO > size * 3.75e-6, "tokens may be written to the cache"


@pytest.mark.parametrize("count", [0, -5, 2**70, -math.inf, "10", 1.5])
def test_a_usage_that_cannot_be_right_is_the_worst_case_and_loses_no_row(count: Any) -> None:
    budget = Budget(0.0015)
    df = rerun(
        asked(), provider=Told(Usage(count, count)), n=5, concurrency=1, budget=budget, cache=False, progress=False
    )
    assert len(df) == 5 and df["error"].tolist()[1:] == ["budget"] * 4
    assert budget.spent == worst(asked())


def test_an_answer_of_a_dearer_model_is_paid_at_its_price() -> None:
    spent = []
    for model in (None, "gpt-4o-mini", "gpt-4o-2024-05-13"):
        spent.append(budget := Budget(1))
        rerun(asked(), provider=Told(Usage(100, 10), model), budget=budget, progress=False)
    assert spent[0].spent == spent[1].spent < spent[2].spent


def test_a_long_context_price_counts_where_the_bytes_may_reach_it() -> None:
    request = Request(
        "", "gemini-2.5-pro", messages=[{"role": "user", "content": "x" * 250_000}], parameters={"max_tokens": 10}
    )
    rate = pricing.price_of("", "gemini-2.5-pro").at(250_000).input  # type: ignore[union-attr]
    assert worst(request) / PICO > 250_000 * rate


def test_waiting_for_a_turn_can_be_cancelled() -> None:
    async def cancelled() -> None:
        purse = Budget(1)
        await purse.reserve(PICO)
        waiting = asyncio.create_task(purse.reserve(PICO // 2))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        purse.settle(PICO, PICO // 2)
        await purse.reserve(PICO // 2)
        purse.settle(PICO // 2, PICO // 2)
        with pytest.raises(Exhausted):
            await purse.reserve(1)

    asyncio.run(cancelled())
