"""How long `costs` takes at a million spans, and a price of a span. Run: `python tests/benchmarks/bench_costs.py`."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from anton_notebook import pricing
from anton_notebook.tables.costs import costs

SPANS = 1_000_000


def frame(spans: int = SPANS, seed: int = 7) -> pd.DataFrame:
    """Spans as `spans_df` gives them: 200 to a run, half of them calls to models."""
    rng = np.random.default_rng(seed)
    runs = max(spans // 200, 1)
    run = np.sort(rng.integers(0, runs, spans))
    agents = ["orchestrator", *(f"module_{i}" for i in range(12))]
    models = ["claude-sonnet-4-20250514", "claude-3-5-haiku-20241022", "gpt-4o", "llama3.2:3b"]
    kind = rng.choice(2, spans)
    model = np.where(kind == 0, rng.integers(0, len(models), spans), -1)
    tokens = rng.integers(100, 20_000, spans)
    known = kind == 0
    cost = np.where(known & (model < 3), tokens * 3e-6, np.nan)
    return pd.DataFrame(
        {
            "trace_id": pd.Categorical.from_codes(run, [f"{i:032x}" for i in range(runs)]),
            "kind": pd.Categorical.from_codes(kind, ["llm", "tool"]),
            "agent": pd.Categorical.from_codes(rng.integers(0, len(agents), spans), agents),
            "name": pd.Categorical.from_codes(rng.integers(0, 20, spans), [f"tool_{i}" for i in range(20)]),
            "status": pd.Categorical.from_codes((rng.random(spans) < 0.02).astype(int), ["ok", "error"]),
            "start": pd.to_datetime(1_760_000_000_000_000 + np.arange(spans) * 50_000, unit="us", utc=True).as_unit(
                "us"
            ),
            "duration_ms": rng.exponential(2_000, spans),
            "provider": pd.Categorical.from_codes(
                np.where(model < 2, np.where(model < 0, -1, 0), 1), ["claude", "openai"]
            ),
            "model": pd.Categorical.from_codes(model, models),
            "input_tokens": pd.array(np.where(known, tokens, np.nan)).astype("Int64"),
            "output_tokens": pd.array(np.where(known, tokens // 10, np.nan)).astype("Int64"),
            "cached_tokens": pd.array(np.where(known & (tokens % 2 == 0), tokens // 2, np.nan)).astype("Int64"),
            "tokens_estimated": np.zeros(spans, bool),
            "cost_usd": cost,
            "recorded_cost_usd": np.where(known, np.nan_to_num(cost), np.nan),
            "saved_usd": np.full(spans, np.nan),
        }
    )


def best(work: Callable[[], Any], times: int = 9) -> float:
    """Seconds of the fastest of several runs."""
    found = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        found.append(time.perf_counter() - start)
    return min(found)


def rows() -> list[dict[str, str]]:
    """One row a figure: what was measured, the measurement, the bar."""
    spans = frame()
    result = []
    for by in (["agent", "model"], ["agent"], ["run"], ["hour"], ["tool"]):
        seconds = best(lambda by=by: costs(spans, by=by))  # type: ignore[misc]
        result.append(
            {
                "what": f"costs by {'+'.join(by)}, 1,000,000 spans",
                "measured": f"{seconds * 1e3:.0f} ms",
                "bar": "150 ms",
            }
        )
    rng = np.random.default_rng(1)
    when = np.sort(rng.integers(1_700_000_000_000_000, 1_790_000_000_000_000, SPANS))
    tokens = [rng.integers(-1, top, SPANS).astype(np.int32) for top in (300_000, 3_000, 100_000)]
    for provider, model in (("claude", "claude-sonnet-4-5"), ("openai", "gpt-5.6-sol"), ("deepseek", "deepseek-chat")):
        pricing.cost_array(provider, model, when[:1], *(column[:1] for column in tokens))
        each = best(lambda p=provider, m=model: pricing.cost_array(p, m, when, *tokens)) / SPANS  # type: ignore[misc]
        result.append({"what": f"price of a span of {model}", "measured": f"{each * 1e9:.0f} ns", "bar": "30 ns"})
    one = [(when[i : i + 1], *(column[i : i + 1] for column in tokens)) for i in range(2_000)]
    each = best(lambda: [pricing.cost_array("openai", "gpt-5.6-sol", *batch) for batch in one]) / len(one)
    result.append({"what": "price of a batch of one span", "measured": f"{each * 1e6:.1f} us", "bar": "20 us"})
    return result


if __name__ == "__main__":
    for row in rows():
        print(f"{row['what']:<50} {row['measured']:>10}   (bar {row['bar']})")
