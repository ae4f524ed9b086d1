"""Frames of spans and messages in the columns of `spans_df` and `messages_df`, made from a few words each."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from anton_notebook import pricing

SPANS = [
    "trace_id",
    "span_id",
    "parent_id",
    "kind",
    "agent",
    "name",
    "status",
    "start",
    "end",
    "duration_ms",
    "provider",
    "model",
    "input_tokens",
    "output_tokens",
    "cached_tokens",
    "tokens_estimated",
    "cost_usd",
    "recorded_cost_usd",
    "cost_source",
    "saved_usd",
    "total_cost_usd",
    "total_tokens",
    "finish_reason",
    "error",
    "depth",
    "provenance",
    "original_trace_id",
    "original_span_id",
    "mark",
    "note",
    "source",
    "line",
]
REPEATED = [
    "trace_id",
    "kind",
    "agent",
    "name",
    "status",
    "provider",
    "model",
    "cost_source",
    "finish_reason",
    "provenance",
    "source",
]
NUMBERS = ["duration_ms", "cost_usd", "recorded_cost_usd", "saved_usd", "total_cost_usd"]
WHOLE = ["input_tokens", "output_tokens", "cached_tokens", "total_tokens", "depth", "line"]
DAY = pd.Timestamp("2025-12-01", tz="UTC")


def spans(*rows: dict[str, Any], price: bool = True) -> pd.DataFrame:
    """A spans frame. Each row gives what matters; a call to a model is priced at its time unless it has a
    `cost_usd`."""
    filled = []
    for i, row in enumerate(rows):
        full: dict[str, Any] = {
            "trace_id": "run-1", "span_id": f"s{i}", "kind": "llm", "agent": "orchestrator", "status": "ok",
            "start": DAY + pd.Timedelta(seconds=i), "duration_ms": 1000.0, "tokens_estimated": False,
        }  # fmt: skip
        full.update(row)
        if price and full["kind"] == "llm" and "cost_usd" not in full:
            names = (full.get("provider") or "", full.get("model") or "", full["start"].to_pydatetime())
            tokens = full.get("input_tokens"), full.get("output_tokens"), full.get("cached_tokens")
            full["cost_usd"] = pricing.cost(*names, *tokens)
        filled.append(full)
    frame = pd.DataFrame(filled, columns=SPANS)
    frame["start"] = pd.to_datetime(frame["start"], utc=True).astype("datetime64[us, UTC]")
    frame["end"] = frame["start"] + pd.to_timedelta(frame["duration_ms"].astype(float), unit="ms")
    return frame.astype(
        {
            **dict.fromkeys(REPEATED, "category"),
            **dict.fromkeys(NUMBERS, np.float64),
            **dict.fromkeys(WHOLE, "Int64"),
            "tokens_estimated": bool,
        }
    )


def messages(*calls: tuple[str, list[tuple[str, str]]], trace_id: str = "run-1") -> pd.DataFrame:
    """A messages frame of `(span_id, [(role, text), ...])`."""
    rows = [
        (trace_id, span, i, role, "orchestrator", text, len(text), False)
        for span, said in calls
        for i, (role, text) in enumerate(said)
    ]
    return pd.DataFrame(
        rows, columns=["trace_id", "span_id", "position", "role", "agent", "text", "chars", "is_response"]
    )
