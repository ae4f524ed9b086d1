"""The columns of every frame, as data: name, how it is stored, what it means, where it comes from."""

from __future__ import annotations

from typing import NamedTuple

RECORD = "recorded"
TREE = "worked out from the tree"
PRICES = "recomputed from prices"
KEY = "anton_notebook"
"""Where in a frame's `attrs` it says what it is."""


class Field(NamedTuple):
    """One column of a frame. `kind` says what pandas makes of it."""

    name: str
    kind: str
    meaning: str
    source: str = RECORD


DTYPES = {
    "text": "str",
    "long": "str",
    "category": "category",
    "time": "datetime64[us, UTC]",
    "number": "float64",
    "integer": "Int64",
    "count": "int64",
    "flag": "bool",
    "object": "object",
}

RUN_FIELDS = (
    Field("name", "text", "what its task is called"),
    Field("status", "category", "running, ok or error", "its spans and its progress file"),
    Field("start", "time", "when its first span began, UTC", "its spans"),
    Field("duration_ms", "number", "milliseconds from start to end", "its spans"),
    Field("spans", "count", "how many spans it has", "its spans"),
    Field("llm_calls", "count", "how many calls to models", "its spans"),
    Field("tool_calls", "count", "how many calls of tools", "its spans"),
    Field("agents", "count", "how many agents", "its spans"),
    Field("errors", "count", "how many calls failed", "its spans"),
    Field("input_tokens", "integer", "tokens of all requests", "its spans"),
    Field("output_tokens", "integer", "tokens of all answers", "its spans"),
    Field("cost_usd", "number", "US dollars of the calls whose price is known", PRICES),
    Field("end", "time", "when its last span ended, UTC", "its spans"),
    Field("cached_tokens", "integer", "tokens that came from the provider's cache", "its spans"),
    Field("recorded_cost_usd", "number", "US dollars, as recorded", "its spans"),
    Field("unpriced_calls", "count", "how many calls have no known cost", PRICES),
    Field("trace_id", "text", "the run"),
    Field("origin", "category", "run, record, demo, export, rerun or replay"),
    Field("original_trace_id", "text", "the run that it was made from"),
    Field("source", "category", "the file of its first call", "where it was read"),
)
MESSAGE_FIELDS = (
    Field("trace_id", "category", "the run"),
    Field("span_id", "text", "the call to a model that carried the message"),
    Field("position", "count", "its place in the call, from 0"),
    Field("role", "category", "system, user, assistant, tool or the source's own word"),
    Field("agent", "category", "the agent that made the call"),
    Field("text", "long", "what it says"),
    Field("chars", "count", "how many characters that is", "its text"),
    Field("is_response", "flag", "it is the answer of this call"),
)
TOOL_FIELDS = (
    Field("trace_id", "category", "the run"),
    Field("span_id", "text", "the call of the tool"),
    Field("parent_id", "text", "its parent in the tree", TREE),
    Field("agent", "category", "the agent that called it"),
    Field("name", "category", "the tool"),
    Field("parameters", "object", "what it was called with"),
    Field("result", "object", "what it answered"),
    Field("status", "category", "running, ok or error"),
    Field("start", "time", "when it began, UTC"),
    Field("duration_ms", "number", "milliseconds"),
    Field("error", "text", "what went wrong"),
)
PROBLEM_FIELDS = (
    Field("source", "category", "the file", "where it was read"),
    Field("line", "integer", "the line in the file, from 1", "where it was read"),
    Field("offset", "integer", "the byte in the file, from 0", "where it was read"),
    Field("reason", "text", "why it cannot be used", "reading"),
    Field("field", "category", "the field that is wrong", "reading"),
    Field("excerpt", "text", "how the line begins", RECORD),
)
RUNS = {field.name: field.kind for field in RUN_FIELDS}
MESSAGES = {field.name: field.kind for field in MESSAGE_FIELDS}
TOOL_CALLS = {field.name: field.kind for field in TOOL_FIELDS}
PROBLEMS = {field.name: field.kind for field in PROBLEM_FIELDS}

SPAN_SOURCES = {
    "parent_id": TREE,
    "agent": "recorded, or read from the conversation",
    "name": "recorded",
    "end": "start and duration",
    "provider": "recorded, else known from the model's name",
    "tokens_estimated": "reading",
    "cost_usd": PRICES,
    "cost_source": "prices at the span's own time",
    "total_cost_usd": TREE,
    "total_tokens": TREE,
    "depth": TREE,
    "mark": "the user",
    "note": "the user",
    "source": "where it was read",
    "line": "where it was read",
}
