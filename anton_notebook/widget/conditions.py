"""Conditions on spans as text, for `DataFrame.query`. They come from Python only, never from a page."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from anton_notebook.errors import ConditionError, did_you_mean
from anton_notebook.tables import build

if TYPE_CHECKING:
    import pandas as pd

    from anton_notebook.api import Span

LIMIT = 4_000  # characters of a condition
EXAMPLE = "cost_usd > 0.5 or status == 'error'"
LIGHT_COLUMNS: dict[str, str] = {
    "trace_id": "text", "span_id": "text", "kind": "text", "agent": "text", "name": "text", "status": "text",
    "start": "time", "end": "time", "duration_ms": "number", "provider": "text", "model": "text", "input_tokens": "integer",
    "output_tokens": "integer", "cached_tokens": "integer", "tokens_estimated": "flag", "cost_usd": "number",
    "recorded_cost_usd": "number", "finish_reason": "text", "error": "text",
}  # fmt: skip
"""Columns of `spans_df` that a span holds in memory, with their kinds in `tables.schema`."""


def query(frame: pd.DataFrame, condition: str) -> pd.DataFrame:
    """Return the rows of a frame that satisfy a condition.

    Args:
        frame: A DataFrame, such as `spans_df()`.
        condition: An expression for `DataFrame.query`, such as `"kind == 'llm' and cost_usd > 0.01"`.

    Returns:
        The matching rows.

    Raises:
        ConditionError: The expression cannot be evaluated; the message names similar columns.
    """
    if not condition.strip() or len(condition) > LIMIT:
        raise ConditionError(f"A condition is a text of 1 to {LIMIT:,} characters, such as {EXAMPLE!r}.")
    try:
        # engine="python": numexpr knows no text methods and no nullable integers.
        mask: Any = frame.eval(condition, engine="python")
    except RecursionError:
        raise ConditionError(f"The condition {condition!r:.200} is nested too deeply.") from None
    except Exception as error:  # pandas raises almost any type for text that cannot be parsed
        raise ConditionError(_explain(condition, error, list(frame.columns))) from None
    index = getattr(mask, "index", None)
    if index is None or getattr(getattr(mask, "dtype", None), "kind", None) != "b" or not frame.index.equals(index):
        raise ConditionError(f"{condition!r:.200} is not a condition. Write for example {EXAMPLE!r}.")
    rows: pd.DataFrame = frame[mask.fillna(False).to_numpy(dtype=bool)]
    return rows


def light_frame(spans: Sequence[Span]) -> pd.DataFrame:
    """Return the columns `LIGHT_COLUMNS` of some spans as a DataFrame, one row per span, without reading from disk."""
    rows = []
    for span in spans:
        row = {name: getattr(span, name) for name in LIGHT_COLUMNS}
        row["start"] = span.start_us
        row["end"] = None if span.end is None or span.start_us is None else span.start_us + round(_ms(span) * 1_000)
        rows.append(row)
    return build(LIGHT_COLUMNS, rows)


def _ms(span: Span) -> float:
    return span.duration_ms or 0.0


def _explain(condition: str, error: Exception, columns: Iterable[str]) -> str:
    known = list(columns)
    name = re.search(r"name '([^']+)' is not defined", str(error))
    if name is None:
        return f"{condition!r:.200} is not a condition ({str(error)[:200]}). Write for example {EXAMPLE!r}."
    hint = did_you_mean(name[1], known) or f"; columns are {', '.join(map(str, known))}"
    return f"No column {name[1]!r} in the condition {condition!r:.200}{hint}"
