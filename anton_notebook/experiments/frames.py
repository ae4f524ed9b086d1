"""The frame of a replay: one row a call or tool, beside what it was in the original."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from anton_notebook.tables.builder import build

if TYPE_CHECKING:
    import pandas as pd

REPLAY: dict[str, str] = {
    "span_id": "text", "new_span_id": "text", "kind": "category", "agent": "category", "name": "category",
    "provenance": "category", "reason": "text", "original": "text", "replayed": "text", "diff": "text", "similarity": "number",
    "original_cost_usd": "number", "cost_usd": "number", "saved_usd": "number", "original_duration_ms": "number",
    "duration_ms": "number", "error": "text",
}  # fmt: skip
_SURROGATES = re.compile("[\ud800-\udfff]")


def replay_frame(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """The frame of `replay`; what a row lacks is unknown, lone surrogates are shown as U+FFFD."""
    return build(REPLAY, [{name: _text(value) for name, value in row.items()} for row in rows])


def _text(value: Any) -> Any:
    return value if not isinstance(value, str) or value.isascii() else _SURROGATES.sub("\ufffd", value)
