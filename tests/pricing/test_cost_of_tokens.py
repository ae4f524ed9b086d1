"""Tokens of every sort that a record has are priced: cached, written to the cache, of reasoning, above a tier."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import anton_notebook as anb
from anton_notebook import pricing
from tests.support.otlp_by_hand import one_call


def read(path: Path, attributes: dict[str, Any]) -> anb.Traces:
    one_call(path, {"gen_ai.operation.name": "chat", **attributes})
    return anb.read_traces(path)


CASES: list[tuple[dict[str, Any], float]] = [
    # claude-sonnet-4-5: 3 in, 15 out, 0.30 cached, 3.75 written (platform.claude.com/docs/en/about-claude/pricing)
    (
        {
            "gen_ai.provider.name": "anthropic",
            "gen_ai.request.model": "claude-sonnet-4-5",
            "gen_ai.usage.input_tokens": 100_000,
            "gen_ai.usage.cache_read.input_tokens": 60_000,
            "gen_ai.usage.cache_creation.input_tokens": 30_000,
            "gen_ai.usage.output_tokens": 2_000,
        },
        (10_000 * 3 + 60_000 * 0.3 + 30_000 * 3.75 + 2_000 * 15) / 1e6,
    ),
    # gpt-4o: tokens of reasoning are part of the answer and cost what it costs
    (
        {
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "gpt-4o",
            "gen_ai.usage.input_tokens": 10_000,
            "gen_ai.usage.cache_read.input_tokens": 4_000,
            "gen_ai.usage.output_tokens": 2_000,
            "gen_ai.usage.reasoning.output_tokens": 500,
        },
        (6_000 * 2.5 + 4_000 * 1.25 + 2_000 * 10) / 1e6,
    ),
    # gemini-2.5-pro: above 200,000 tokens in all cost 2.50 and 15
    (
        {
            "gen_ai.provider.name": "gcp.gemini",
            "gen_ai.request.model": "gemini-2.5-pro",
            "gen_ai.usage.input_tokens": 300_000,
            "gen_ai.usage.output_tokens": 1_000,
        },
        (300_000 * 2.5 + 1_000 * 15) / 1e6,
    ),
]


@pytest.mark.parametrize(("attributes", "cost"), CASES, ids=["cache writes", "reasoning", "tier"])
def test_a_recorded_call_costs_what_its_sorts_of_tokens_cost(
    tmp_path: Path, attributes: dict[str, Any], cost: float
) -> None:
    pricing.reset_prices()
    traces = read(tmp_path / "t.jsonl", attributes)
    span = traces.spans_df(kind="llm").iloc[0]
    assert span["cost_usd"] == pytest.approx(cost, rel=1e-12)
    assert traces.runs_df()["cost_usd"].tolist() == [pytest.approx(cost)]
    copy = tmp_path / "copy"
    copy.mkdir()
    traces.export(copy / "c.jsonl")
    exported = anb.read_traces(copy)
    assert exported.spans_df(kind="llm")["cost_usd"].tolist() == [pytest.approx(cost, rel=1e-12)]
    assert anb.scan(copy, blocksize=1024).compute(scheduler="sync")["cost_usd"].sum() == pytest.approx(cost)
    anb.set_price(attributes["gen_ai.request.model"], input=0, output=0, cached=0, cache_write=1)
    try:
        written = attributes.get("gen_ai.usage.cache_creation.input_tokens", 0)
        assert traces.spans_df(kind="llm")["cost_usd"].tolist() == [pytest.approx(written / 1e6)]
    finally:
        pricing.reset_prices()
