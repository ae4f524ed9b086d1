"""Token counts, rates and costs of a call, from the attributes of its span in any vocabulary."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

from anton_notebook.model.usage import (
    STANDARD,
    Usage,
    complete,
    count,
    from_report,
    reports_cache_beside,
    with_cache_beside,
)
from anton_notebook.sources.anton.line_schema import Fault
from anton_notebook.sources.otlp.values import first_text, parsed

COST = (
    "llm.cost.total", "gen_ai.usage.cost", "gen_ai.cost.total_cost", "gen_ai.usage.total_cost", "operation.cost",
    "llm.usage.total_cost", "langfuse.observation.cost_details.total", "ai.usage.cost",
)  # fmt: skip
COUNTS: dict[str, tuple[str, ...]] = {
    "input_tokens": (
        "gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens", "llm.token_count.prompt", "llm.usage.prompt_tokens",
        "ai.usage.inputTokens", "ai.usage.promptTokens", "ai.usage.tokens", "input_tokens",
    ),
    "output_tokens": (
        "gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens", "llm.token_count.completion",
        "llm.usage.completion_tokens", "ai.usage.outputTokens", "ai.usage.completionTokens", "output_tokens",
    ),
    "cached_tokens": (
        "gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_read_input_tokens", "gen_ai.usage.input_tokens.cached",
        "gen_ai.usage.cached_tokens", "gen_ai.usage.cached_input_tokens", "gen_ai.usage.input_tokens_details.cached_tokens",
        "gen_ai.usage.prompt_tokens_details.cached_tokens", "gen_ai.usage.details.cache_read_tokens",
        "gen_ai.usage.details.cached_tokens", "gen_ai.usage.cache_read_tokens",
        "llm.token_count.prompt_details.cache_read", "llm.token_count.prompt_details.cache_input",
        "llm.usage.cache_read_input_tokens", "ai.usage.cachedInputTokens", "cache_read_tokens", "cache_read_input_tokens",
    ),
    "cache_write_tokens": (
        "gen_ai.usage.cache_write.input_tokens", "gen_ai.usage.cache_creation.input_tokens",
        "gen_ai.usage.cache_creation_input_tokens", "gen_ai.usage.cache_write_input_tokens", "gen_ai.usage.cache_write_tokens",
        "gen_ai.usage.details.cache_write_tokens", "gen_ai.usage.details.cache_creation_tokens",
        "gen_ai.usage.cache_creation_tokens", "gen_ai.usage.prompt_tokens_details.cache_write_tokens",
        "gen_ai.usage.input_tokens_details.cache_write_tokens", "llm.token_count.prompt_details.cache_write",
        "llm.usage.cache_creation_input_tokens", "cache_creation_tokens", "cache_creation_input_tokens",
    ),
    "cache_write_1h_tokens": (
        "gen_ai.usage.cache_creation.ephemeral_1h_input_tokens", "gen_ai.usage.details.cache_write_1h_tokens",
        "gen_ai.usage.cache_write.1h.input_tokens", "anthropic.usage.cache_creation.ephemeral_1h_input_tokens",
    ),
    "reasoning_tokens": (
        "gen_ai.usage.reasoning.output_tokens", "gen_ai.usage.reasoning_tokens", "gen_ai.usage.output_tokens.reasoning",
        "gen_ai.usage.details.reasoning_tokens", "gen_ai.usage.output_tokens_details.reasoning_tokens",
        "gen_ai.usage.completion_tokens_details.reasoning_tokens", "gen_ai.usage.thoughts_tokens",
        "gen_ai.usage.experimental.reasoning_tokens", "llm.token_count.completion_details.reasoning",
        "llm.usage.reasoning_tokens", "ai.usage.reasoningTokens",
    ),
    "audio_input_tokens": (
        "llm.token_count.prompt_details.audio", "gen_ai.usage.details.input_audio_tokens", "gen_ai.usage.input_audio_tokens",
        "gen_ai.usage.prompt_tokens_details.audio_tokens", "gen_ai.usage.input_tokens_details.audio_tokens",
    ),
    "audio_output_tokens": (
        "llm.token_count.completion_details.audio", "gen_ai.usage.details.output_audio_tokens",
        "gen_ai.usage.output_audio_tokens", "gen_ai.usage.completion_tokens_details.audio_tokens",
        "gen_ai.usage.output_tokens_details.audio_tokens",
    ),
    "image_input_tokens": ("llm.token_count.prompt_details.image", "gen_ai.usage.details.input_image_tokens"),
    "image_output_tokens": ("llm.token_count.completion_details.image", "gen_ai.usage.details.output_image_tokens"),
    "web_searches": (
        "gen_ai.usage.server_tool_use.web_search_requests", "gen_ai.usage.web_search_requests",
        "gen_ai.usage.details.web_search_requests", "anthropic.usage.server_tool_use.web_search_requests",
    ),
}  # fmt: skip
"""Attributes that report each count of `model.usage.Usage`, the likeliest first."""
REPORTS = ("langfuse.observation.usage_details", "langsmith.metadata.usage_metadata", "gen_ai.usage")
"""Attributes that hold a whole usage object."""
_LONGEST_REPORT = 20_000
TOTAL = ("gen_ai.usage.total_tokens", "llm.usage.total_tokens", "llm.token_count.total", "ai.usage.totalTokens")
RATES: dict[str, tuple[str, ...]] = {
    "service_tier": (
        "openai.response.service_tier", "gen_ai.openai.response.service_tier", "gen_ai.response.service_tier",
        "anthropic.usage.service_tier", "gen_ai.usage.service_tier", "aws.bedrock.service_tier",
        "openai.request.service_tier", "gen_ai.openai.request.service_tier", "gen_ai.request.service_tier",
    ),
    "speed": ("anthropic.usage.speed", "gen_ai.usage.speed", "gen_ai.response.speed", "gen_ai.request.speed"),
    "geography": ("anthropic.usage.inference_geo", "gen_ai.usage.inference_geo", "gen_ai.response.inference_geo"),
}  # fmt: skip
"""Attributes that say at which rate a call is billed; those of the answer go before those of the request."""


def usage_of(attributes: Mapping[str, Any], provider: str, model: str, faults: list[Fault]) -> Usage:
    """Read what a call used from its attributes, in any vocabulary of `COUNTS`."""

    def complain(name: str, reason: str) -> None:
        faults.append(Fault(reason, name))

    def read(names: tuple[str, ...]) -> int | None:
        for name in names:
            if name in attributes and (value := count(attributes[name], name, complain)) is not None:
                return value
        return None

    words: dict[str, Any] = {field: _rate(attributes, names) for field, names in RATES.items()}
    reported = next((usage for name in REPORTS if (usage := _report(attributes.get(name))) is not None), None)
    counts: dict[str, Any] = {field: read(names) for field, names in COUNTS.items()} if reported is None else {}
    if reported is None and counts["cached_tokens"] is None:
        reported = _report(attributes.get("metadata.usage_object"))
    if reported is not None:
        missing = {field: word for field, word in words.items() if getattr(reported, field) is None}
        return reported._replace(**missing)
    usage, total = Usage(**counts, **words), read(TOTAL)
    beside = (usage.cached_tokens or 0) + (usage.cache_write_tokens or 0)
    given, answer = usage.input_tokens, usage.output_tokens
    if beside and given is not None and reports_cache_beside(provider, model):
        # The conventions count cached tokens among the input; who passes on the vendor's own counts does not.
        told = total is not None and answer is not None and total == given + beside + answer
        if beside > given or told:
            usage = with_cache_beside(usage)
    elif given is not None and beside > given:
        usage = with_cache_beside(usage)
    word = f"{provider} {model}".lower()
    return complete(usage, total, thinking="gemini" in word or "google" in word or "vertex" in word)


def _report(value: Any) -> Usage | None:
    """Read a vendor's usage object that stands whole in an attribute, as JSON or as Python writes a dict."""
    if isinstance(value, str) and len(value) < _LONGEST_REPORT:
        value = parsed(value)
        if isinstance(value, str) and value.startswith("{'"):
            try:
                value = ast.literal_eval(value)
            except (ValueError, SyntaxError, RecursionError, MemoryError):
                return None
    if not isinstance(value, Mapping):
        return None
    if isinstance(value.get("input_token_details"), Mapping):
        return _from_langchain(value)
    usage = _from_langfuse(value) if "input" in value or "output" in value else from_report(value)
    return usage if usage.input_tokens is not None or usage.output_tokens is not None else None


def _from_langchain(value: Mapping[str, Any]) -> Usage:
    """Read LangChain's `usage_metadata`; cached tokens are parts of the input, writes are split by how long they live."""
    inside, outside = value["input_token_details"], value.get("output_token_details")
    outside = outside if isinstance(outside, Mapping) else {}
    one_hour = count(inside.get("ephemeral_1h_input_tokens"))
    split = (count(inside.get("ephemeral_5m_input_tokens")) or 0) + (one_hour or 0)
    usage = Usage(
        input_tokens=count(value.get("input_tokens")),
        output_tokens=count(value.get("output_tokens")),
        cached_tokens=count(inside.get("cache_read")),
        cache_write_tokens=max(count(inside.get("cache_creation")) or 0, split) or None,
        cache_write_1h_tokens=one_hour,
        reasoning_tokens=count(outside.get("reasoning")),
        audio_input_tokens=count(inside.get("audio")),
        audio_output_tokens=count(outside.get("audio")),
    )
    return complete(usage, count(value.get("total_tokens")))


LANGFUSE_TYPES: dict[str, tuple[str, str]] = {
    "input": ("input_tokens", "input_tokens"),
    "output": ("output_tokens", "output_tokens"),
    **dict.fromkeys(
        ("input_cached_tokens", "input_cache_read", "cache_read_input_tokens", "cached_tokens"),
        ("cached_tokens", "input_tokens"),
    ),
    **dict.fromkeys(
        ("input_cache_creation", "cache_creation_input_tokens", "input_cache_write"),
        ("cache_write_tokens", "input_tokens"),
    ),
    **dict.fromkeys(("output_reasoning_tokens", "output_reasoning"), ("reasoning_tokens", "output_tokens")),
    **dict.fromkeys(("input_audio_tokens", "input_audio"), ("audio_input_tokens", "input_tokens")),
    **dict.fromkeys(("output_audio_tokens", "output_audio"), ("audio_output_tokens", "output_tokens")),
}
"""Langfuse's types of usage: the field that each one fills, and the sum that contains it."""


def _from_langfuse(value: Mapping[str, Any]) -> Usage:
    """Read Langfuse's `usage_details`, whose types do not overlap unless the total says so."""
    fields: dict[str, int] = {}
    sums: dict[str, int] = {}
    for name, (field, whole) in LANGFUSE_TYPES.items():
        if (number := count(value.get(name), name)) is not None:
            fields[field] = number
            sums[whole] = sums.get(whole, 0) + number
    total = count(value.get("total"))
    if total is None or total != fields.get("input_tokens", 0) + fields.get("output_tokens", 0):
        fields |= sums
    return Usage(**fields)  # type: ignore[arg-type]


def _rate(attributes: Mapping[str, Any], names: tuple[str, ...]) -> str | None:
    word = first_text(attributes, names).lower()
    return word if word and word not in STANDARD and len(word) < 64 else None


def cost_of(attributes: Mapping[str, Any], faults: list[Fault]) -> float | None:
    """Return the recorded cost in US dollars; None if there is none."""
    for name in COST:
        cost = attributes.get(name)
        if cost is None:
            continue
        if isinstance(cost, str):
            try:
                cost = float(cost)
            except ValueError:
                continue
        if isinstance(cost, int | float) and not isinstance(cost, bool) and 0 <= cost < 1e12:
            return float(cost)
        faults.append(Fault(f"expected a cost of 0 or more, found {str(cost)[:40]!r}", name))
    return None
