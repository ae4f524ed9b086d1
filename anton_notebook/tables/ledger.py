"""What each message of a run cost over all the turns that carried it.

A model reads the whole conversation at every turn, so an early tool result is paid for again and again. The input
tokens of each call are spread over its messages by their length; what the provider took from its cache is the
beginning of the conversation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from anton_notebook import pricing
from anton_notebook.model.span import LLM, Float64
from anton_notebook.tables.cost_analysis import split_tokens
from anton_notebook.tables.costs import spans_of
from anton_notebook.tables.grouping import Codes, equals, factorized, micros
from anton_notebook.tables.schema import KEY

FRAME = 16
"""Characters' worth of tokens that a message costs beside its text."""
EXCERPT = 120


def context_ledger(
    run: Any,
    messages: pd.DataFrame | None = None,
    *,
    prices: pricing.Prices | Mapping[str, Mapping[str, Any]] | None = None,
) -> pd.DataFrame:
    """Which message or tool result cost most over all the turns that carried it, dearest first.

    `run` has `spans_df()` and `messages_df()`, or is a spans frame beside which the frame of `messages` is given.
    Columns: `trace_id`, `agent`, `role`, `position` and `span_id` where it first stood, `excerpt`, `chars`, `calls`
    that carried it, `tokens` in all of them, `cost_usd` (what leaving it out would have saved), `later_usd` (of that,
    what dropping it after its first turn would have saved), `missed_cache_calls` and `missed_cache_usd`: turns in
    which it stood in an unchanged beginning of the conversation, so that it might have come from the prompt cache, and
    did not; and what that cost more. Costs are `NaN` without a price.

    >>> import anton_notebook as anb, pathlib, tempfile
    >>> folder = pathlib.Path(tempfile.mkdtemp()); _ = (folder / "t.jsonl").write_text(
    ...     '{"timestamp": "2026-01-01T00:00:00Z", "agent_name": "a", "trace_id": "t", "span_id": "s", "span_type": "llm_call", '
    ...     '"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}], "response": "Yes?"}\\n')
    >>> context_ledger(anb.read_traces(folder))[["role", "excerpt", "calls"]].values.tolist()
    [['user', 'Hi', 1]]
    """
    spans = spans_of(run)
    texts = run.messages_df() if messages is None else messages
    chosen = pricing.Prices.of(prices)
    calls = np.flatnonzero(equals(spans, "kind", LLM))
    calls = calls[np.argsort(micros(spans)[calls], kind="stable")]
    place = pd.Series(np.arange(len(calls)), index=_ids(spans).take(calls))
    place = place[~place.index.duplicated()]
    asked = texts[~texts["is_response"].to_numpy(dtype=bool)]
    at = place.reindex(_ids(asked)).to_numpy(dtype=np.float64)
    asked, at = asked[~np.isnan(at)], at[~np.isnan(at)].astype(np.intp)
    order = np.lexsort((asked["position"].to_numpy(), at))
    asked, call = asked.iloc[order], at[order]
    fresh, cached, _ = split_tokens(spans, calls)
    tokens, from_cache = _spread(asked, call, fresh, cached)
    rates = _rates(spans, calls, fresh + cached, chosen)
    cost = (tokens - from_cache) * rates[call, 0] + from_cache * rates[call, 1]
    key = _identities(spans, calls, asked, call)
    reusable = _repeated_prefix(spans, calls, asked, call, key)
    missed = np.where(reusable, tokens - from_cache, 0.0)
    discount = rates[call, 0] - rates[call, 1]
    first = ~pd.Series(key).duplicated().to_numpy()
    known = ~np.isnan(cost)
    lines = pd.DataFrame(
        {
            "key": key,
            "tokens": tokens,
            "cost_usd": cost,
            "later_usd": np.where(first, np.where(known, 0.0, np.nan), cost),
            "missed_cache_calls": (missed > 0.5) & (discount > 0),
            "missed_cache_usd": missed * discount,
        }
    )
    sums = lines.groupby("key", sort=False).agg(
        calls=("key", "size"),
        tokens=("tokens", _total),
        cost_usd=("cost_usd", _total),
        later_usd=("later_usd", _total),
        missed_cache_calls=("missed_cache_calls", "sum"),
        missed_cache_usd=("missed_cache_usd", _total),
    )
    heads = asked[first]
    table = pd.DataFrame(
        {
            "trace_id": heads["trace_id"].to_numpy(dtype=object),
            "agent": spans["agent"].to_numpy(dtype=object)[calls[call[first]]],
            "role": heads["role"].to_numpy(dtype=object),
            "position": heads["position"].to_numpy(),
            "span_id": heads["span_id"].to_numpy(dtype=object),
            "excerpt": [_excerpt(text) for text in heads["text"]],
            "chars": heads["chars"].to_numpy(),
            **{name: sums[name].to_numpy() for name in sums.columns},
        }
    )
    table["tokens"] = pd.array(np.rint(table["tokens"].to_numpy(dtype=np.float64))).astype("Int64")
    table = table.sort_values(["cost_usd", "tokens"], ascending=False, kind="stable", na_position="last").reset_index(
        drop=True
    )
    table.attrs[KEY] = {"table": "context_ledger"}
    return table


def _ids(frame: pd.DataFrame) -> pd.MultiIndex:
    return pd.MultiIndex.from_arrays([frame["trace_id"].astype(object), frame["span_id"].astype(object)])


def _spread(asked: pd.DataFrame, call: Codes, fresh: Float64, cached: Float64) -> tuple[Float64, Float64]:
    """The tokens of each message, and how many of them came from the cache."""
    weight = asked["chars"].to_numpy(dtype=np.float64) + FRAME
    whole = np.bincount(call, weight, minlength=len(fresh))
    ends = np.cumsum(weight)
    starts_of_call = np.append(0.0, np.cumsum(whole))[call]
    scale = ((fresh + cached) / np.maximum(whole, 1))[call]
    end = (ends - starts_of_call) * scale
    start = end - weight * scale
    return end - start, np.clip(cached[call] - start, 0, end - start)


def _rates(spans: pd.DataFrame, calls: Codes, total: Float64, prices: pricing.Prices) -> Float64:
    """US dollars a fresh and a cached token of each call."""
    rates = np.full((len(calls), 2), np.nan)
    when = micros(spans)[calls]
    columns = (spans[name].to_numpy(dtype=object)[calls] for name in ("provider", "model"))
    for i, (provider, model) in enumerate(zip(*columns, strict=True)):
        price = prices.price_of("" if pd.isna(provider) else provider, "" if pd.isna(model) else model, int(when[i]))
        if price is not None and not np.isnan(total[i]):
            tier = price.at(int(total[i]))
            rates[i] = tier.input, tier.cache_read
    return rates


def _identities(spans: pd.DataFrame, calls: Codes, asked: pd.DataFrame, call: Codes) -> Codes:
    """One number a message: the same words of the same role to the same agent, the n-th time within a call."""
    trace, _ = factorized(asked["trace_id"])
    role, roles = factorized(asked["role"])
    text, texts = pd.factorize(asked["text"].astype(object), use_na_sentinel=False)
    agent, agents = factorized(spans["agent"])
    number = ((trace * (len(roles) + 1) + role + 1) * len(texts) + text) * (len(agents) + 1) + agent[calls[call]] + 1
    once = pd.factorize(number)[0]
    again = pd.Series(once).groupby([call, once]).cumcount().to_numpy()
    distinct: Codes = pd.factorize(once * (again.max(initial=0) + 1) + again)[0]
    return distinct


def _repeated_prefix(
    spans: pd.DataFrame, calls: Codes, asked: pd.DataFrame, call: Codes, key: Codes
) -> npt.NDArray[np.bool_]:
    """Which messages stand in the beginning that a call shares with the call of its agent before it."""
    trace, _ = factorized(spans["trace_id"])
    agent, agents = factorized(spans["agent"])
    who = (trace * (len(agents) + 1) + agent)[calls]
    edges = np.searchsorted(call, np.arange(len(calls) + 1))
    result = np.zeros(len(call), bool)
    before: dict[int, int] = {}
    for i in range(len(calls)):
        earlier = before.get(int(who[i]))
        if earlier is not None:
            mine, theirs = key[edges[i] : edges[i + 1]], key[edges[earlier] : edges[earlier + 1]]
            shared = min(len(mine), len(theirs))
            differ = np.flatnonzero(mine[:shared] != theirs[:shared])
            result[edges[i] : edges[i] + (differ[0] if len(differ) else shared)] = True
        if edges[i + 1] > edges[i]:
            before[int(who[i])] = i
    return result


def _total(column: pd.Series[float]) -> float:
    return float(column.sum(min_count=1))


def _excerpt(text: object) -> str:
    words = " ".join(str(text).split()) if isinstance(text, str) else ""
    return words if len(words) <= EXCERPT else words[: EXCERPT - 1] + "…"
