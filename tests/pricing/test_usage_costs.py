"""One call costs the same through every door: hand-computed dollars, and sums that do not depend on the grouping."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import anton_notebook as anb
from anton_notebook import pricing
from anton_notebook.capture.gateway.wire_formats import CHAT, MESSAGES, RESPONSES, response_of
from anton_notebook.model.usage import TRACE_KEYS, Usage
from tests.support.otlp_by_hand import one_call


class Call(NamedTuple):
    """A normalized usage and what it costs, in millionths of a dollar."""

    provider: str
    model: str
    usage: Usage
    micros: float


SONNET, GPT5, GPT4O, MINI, FLASH = "claude-sonnet-4-5", "gpt-5", "gpt-4o", "gpt-5-mini", "gemini-2.5-flash"
CALLS = [
    Call("anthropic", SONNET, Usage(1000, 100), 1000 * 3 + 100 * 15),
    Call("anthropic", SONNET, Usage(1000, 100, 600), 400 * 3 + 600 * 0.3 + 100 * 15),
    Call("anthropic", SONNET, Usage(1000, 100, 0, 600), 400 * 3 + 600 * 3.75 + 100 * 15),
    Call("anthropic", SONNET, Usage(1000, 100, 0, 600, 600), 400 * 3 + 600 * 6 + 100 * 15),
    Call("anthropic", SONNET, Usage(1000, 100, 300, 600, 200), 100 * 3 + 300 * 0.3 + 400 * 3.75 + 200 * 6 + 100 * 15),
    Call("anthropic", SONNET, Usage(1000, 100, web_searches=2), 1000 * 3 + 100 * 15 + 2 * 10_000),
    Call("anthropic", SONNET, Usage(300_000, 100), 300_000 * 6 + 100 * 22.5),
    Call("anthropic", SONNET, Usage(300_000, 100, 290_000), 10_000 * 6 + 290_000 * 0.6 + 100 * 22.5),
    Call("anthropic", SONNET, Usage(1000, 100, service_tier="batch"), (1000 * 3 + 100 * 15) / 2),
    Call("anthropic", SONNET, Usage(1000, 100, service_tier="unheard-of"), math.nan),
    Call("openai", GPT4O, Usage(1000, 100), 1000 * 2.5 + 100 * 10),
    Call("openai", GPT4O, Usage(1000, 100, 800), 200 * 2.5 + 800 * 1.25 + 100 * 10),
    Call("openai", GPT5, Usage(1000, 100, 800, reasoning_tokens=64), 200 * 1.25 + 800 * 0.125 + 100 * 10),
    Call("openai", GPT5, Usage(1000, 100, service_tier="flex"), (1000 * 1.25 + 100 * 10) / 2),
    Call("openai", GPT5, Usage(1000, 100, service_tier="priority"), (1000 * 1.25 + 100 * 10) * 2),
    Call("openai", MINI, Usage(1000, 100, 500), 500 * 0.25 + 500 * 0.025 + 100 * 2),
    Call("openai", MINI, Usage(1000, 0), 1000 * 0.25),
    Call("openai", "gpt-4o-audio-preview", Usage(1000, 100, audio_input_tokens=900), math.nan),
    Call("openai", "gpt-realtime", Usage(1000, 100, audio_input_tokens=900), 100 * 4 + 900 * 32 + 100 * 16),
    Call("google", FLASH, Usage(1000, 100), 1000 * 0.3 + 100 * 2.5),
    Call("google", FLASH, Usage(1000, 100, 400), 600 * 0.3 + 400 * 0.03 + 100 * 2.5),
    Call("google", FLASH, Usage(1000, 100, audio_input_tokens=900), 100 * 0.3 + 900 * 1 + 100 * 2.5),
    Call("google", FLASH, Usage(1000, 100, reasoning_tokens=70), 1000 * 0.3 + 100 * 2.5),
]


@pytest.fixture(autouse=True)
def bundled_prices() -> None:
    pricing.reset_prices()


def by_trace(path: Path, call: Call) -> float:
    tokens = {key: value for key, name in TRACE_KEYS.items() if name and (value := getattr(call.usage, name))}
    with anb.trace("A call", path) as trace:
        trace.llm(model=call.model, provider=call.provider, messages=[], response="", tokens={"output": 0, **tokens})
    return float(anb.read_traces(path).spans_df(kind="llm")["cost_usd"].iloc[0])


def by_conventions(path: Path, call: Call) -> float:
    prefix, usage = "gen_ai.usage.", call.usage
    names = {
        "input_tokens": prefix + "input_tokens",
        "output_tokens": prefix + "output_tokens",
        "cached_tokens": prefix + "cache_read.input_tokens",
        "cache_write_tokens": prefix + "cache_creation.input_tokens",
        "cache_write_1h_tokens": prefix + "cache_creation.ephemeral_1h_input_tokens",
        "reasoning_tokens": prefix + "reasoning.output_tokens",
        "audio_input_tokens": prefix + "details.input_audio_tokens",
        "web_searches": prefix + "server_tool_use.web_search_requests",
        "service_tier": "gen_ai.response.service_tier",
    }
    model = {"gen_ai.provider.name": call.provider, "gen_ai.request.model": call.model}
    counts = {names[field]: value for field, value in usage._asdict().items() if value is not None}
    one_call(path / "t.jsonl", {"gen_ai.operation.name": "chat", **model, **counts})
    return float(anb.read_traces(path).spans_df(kind="llm")["cost_usd"].iloc[0])


def by_gateway(path: Path, call: Call) -> float:
    u = call.usage
    if call.provider == "anthropic":
        written, hour = u.cache_write_tokens or 0, u.cache_write_1h_tokens or 0
        usage: dict[str, Any] = {
            "input_tokens": (u.input_tokens or 0) - (u.cached_tokens or 0) - written,
            "output_tokens": u.output_tokens,
            "cache_read_input_tokens": u.cached_tokens or 0,
            "cache_creation": {"ephemeral_5m_input_tokens": written - hour, "ephemeral_1h_input_tokens": hour},
            "server_tool_use": {"web_search_requests": u.web_searches or 0},
            "service_tier": u.service_tier or "standard",
        }
        return cost_of(call, MESSAGES, {"usage": usage})
    details = {"cached_tokens": u.cached_tokens or 0, "audio_tokens": u.audio_input_tokens or 0}
    usage = {"prompt_tokens": u.input_tokens, "completion_tokens": u.output_tokens, "prompt_tokens_details": details}
    return cost_of(call, CHAT, {"usage": usage, "service_tier": u.service_tier or "default"})


def by_responses(path: Path, call: Call) -> float:
    u = call.usage
    usage = {
        "input_tokens": u.input_tokens,
        "output_tokens": u.output_tokens,
        "input_tokens_details": {
            "cached_tokens": u.cached_tokens or 0,
            "cache_write_tokens": u.cache_write_tokens or 0,
            "audio_tokens": u.audio_input_tokens or 0,
        },
        "output_tokens_details": {"reasoning_tokens": u.reasoning_tokens or 0},
    }
    searches = [{"type": "web_search_call"}] * (u.web_searches or 0)
    return cost_of(call, RESPONSES, {"usage": usage, "output": searches, "service_tier": u.service_tier or "auto"})


def cost_of(call: Call, api: str, body: dict[str, Any]) -> float:
    return pricing.usage_cost(call.provider, call.model, None, response_of(api, body).usage)


DOORS: list[Callable[[Path, Call], float]] = [by_trace, by_conventions, by_gateway]
ROWS = [(door, call) for door in DOORS for call in CALLS] + [
    (by_responses, call) for call in CALLS if call.provider == "openai"
]


def test_usage_costs_has_at_least_sixty_rows() -> None:
    assert len(ROWS) >= 60


@pytest.mark.parametrize(("door", "call"), ROWS, ids=[f"{door.__name__}-{i}" for i, (door, _) in enumerate(ROWS)])
def test_a_call_costs_what_was_computed_by_hand(
    tmp_path: Path, door: Callable[[Path, Call], float], call: Call
) -> None:
    assert door(tmp_path, call) == pytest.approx(call.micros / 1e6, rel=1e-9, nan_ok=True)


@pytest.mark.parametrize(
    "by", ["agent", "model", "kind", "name", "provider", "status", "day", "run", ["agent", "model"]]
)
def test_costs_of_every_grouping_sum_to_the_runs(tmp_path: Path, by: Any) -> None:
    with anb.trace("Calls", tmp_path) as trace:
        for call in CALLS:
            tokens = {key: value for key, name in TRACE_KEYS.items() if name and (value := getattr(call.usage, name))}
            with trace.agent(call.provider):
                trace.llm(
                    model=call.model, provider=call.provider, messages=[], response="", tokens={"output": 0, **tokens}
                )
    traces = anb.read_traces(tmp_path)
    priced = [call.micros / 1e6 for call in CALLS if not math.isnan(call.micros)]
    table = anb.costs(traces, by=by)
    assert table["cost_usd"].sum() == pytest.approx(sum(priced), rel=1e-9)
    assert table["unpriced_calls"].sum() == len(CALLS) - len(priced)
    assert traces.runs_df()["cost_usd"].sum() == pytest.approx(sum(priced), rel=1e-9)


def test_cheapest_prices_cache_writes_of_the_other_model(tmp_path: Path) -> None:
    by_trace(tmp_path, Call("openai", GPT4O, Usage(1000, 100, 0, 600), 0))
    table = anb.cheapest(anb.read_traces(tmp_path), [SONNET])
    assert table["cost_usd"].tolist() == [pytest.approx((400 * 3 + 600 * 3.75 + 100 * 15) / 1e6)]
