"""Each documented field of each vendor's usage object fills one field of `Usage`, and none is ignored silently."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from anton_notebook.model.usage import Usage, from_anthropic, from_bedrock, from_gemini, from_openai, from_report
from anton_notebook.sources.otlp.reported_usage import LANGFUSE_TYPES, usage_of

ANTHROPIC = {"input_tokens": 7, "output_tokens": 50}
CHAT = {"prompt_tokens": 700, "completion_tokens": 50}
RESPONSES = {"input_tokens": 700, "output_tokens": 50}
GEMINI = {"promptTokenCount": 700, "candidatesTokenCount": 50}
CONVERSE = {"inputTokens": 7, "outputTokens": 50}
Reader = Callable[[Mapping[str, Any]], Usage]

FIELDS: list[tuple[str, Reader, dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    ("anthropic", from_anthropic, ANTHROPIC, {}, {"input_tokens": 7, "output_tokens": 50}),
    ("anthropic", from_anthropic, ANTHROPIC, {"cache_read_input_tokens": 9}, {"input_tokens": 16, "cached_tokens": 9}),
    (
        "anthropic",
        from_anthropic,
        ANTHROPIC,
        {"cache_creation_input_tokens": 9},
        {"input_tokens": 16, "cache_write_tokens": 9},
    ),
    (
        "anthropic",
        from_anthropic,
        ANTHROPIC,
        {"cache_creation": {"ephemeral_5m_input_tokens": 4, "ephemeral_1h_input_tokens": 5}},
        {"input_tokens": 16, "cache_write_tokens": 9, "cache_write_1h_tokens": 5},
    ),
    ("anthropic", from_anthropic, ANTHROPIC, {"server_tool_use": {"web_search_requests": 3}}, {"web_searches": 3}),
    ("anthropic", from_anthropic, ANTHROPIC, {"service_tier": "batch"}, {"service_tier": "batch"}),
    ("anthropic", from_anthropic, ANTHROPIC, {"service_tier": "standard"}, {"service_tier": None}),
    ("anthropic", from_anthropic, ANTHROPIC, {"speed": "fast"}, {"speed": "fast"}),
    ("anthropic", from_anthropic, ANTHROPIC, {"inference_geo": "us"}, {"geography": "us"}),
    ("chat", from_openai, CHAT, {"prompt_tokens_details": {"cached_tokens": 9}}, {"cached_tokens": 9}),
    ("chat", from_openai, CHAT, {"prompt_tokens_details": {"cache_write_tokens": 9}}, {"cache_write_tokens": 9}),
    ("chat", from_openai, CHAT, {"prompt_tokens_details": {"audio_tokens": 9}}, {"audio_input_tokens": 9}),
    ("chat", from_openai, CHAT, {"prompt_tokens_details": None}, {"cached_tokens": None, "input_tokens": 700}),
    ("chat", from_openai, CHAT, {"completion_tokens_details": {"reasoning_tokens": 9}}, {"reasoning_tokens": 9}),
    ("chat", from_openai, CHAT, {"completion_tokens_details": {"audio_tokens": 9}}, {"audio_output_tokens": 9}),
    ("chat", from_openai, CHAT, {"prompt_cache_hit_tokens": 9}, {"cached_tokens": 9}),
    ("chat", from_openai, CHAT, {"num_search_queries": 2}, {"web_searches": 2}),
    ("chat", from_openai, CHAT, {"num_sources_used": 2}, {"web_searches": 2}),
    (
        "chat",
        from_report,
        CHAT,
        {"server_tool_use": {"web_search_requests": 2}},
        {"web_searches": 2, "input_tokens": 700},
    ),
    (
        "chat, reasoning beside the output",
        from_openai,
        CHAT,
        {"total_tokens": 790, "completion_tokens_details": {"reasoning_tokens": 40}},
        {"output_tokens": 90, "reasoning_tokens": 40},
    ),
    ("responses", from_openai, RESPONSES, {"input_tokens_details": {"cached_tokens": 9}}, {"cached_tokens": 9}),
    ("responses", from_openai, RESPONSES, {"output_tokens_details": {"reasoning_tokens": 9}}, {"reasoning_tokens": 9}),
    ("gemini", from_gemini, GEMINI, {"cachedContentTokenCount": 9}, {"input_tokens": 700, "cached_tokens": 9}),
    ("gemini", from_gemini, GEMINI, {"thoughtsTokenCount": 9}, {"output_tokens": 59, "reasoning_tokens": 9}),
    ("gemini", from_gemini, GEMINI, {"toolUsePromptTokenCount": 9}, {"input_tokens": 709}),
    ("gemini", from_gemini, GEMINI, {"totalTokenCount": 770}, {"output_tokens": 70, "reasoning_tokens": 20}),
    (
        "gemini",
        from_gemini,
        GEMINI,
        {"promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 9}, {"modality": "IMAGE", "tokenCount": 8}]},
        {"audio_input_tokens": 9, "image_input_tokens": 8},
    ),
    (
        "gemini",
        from_gemini,
        GEMINI,
        {"candidatesTokensDetails": [{"modality": "AUDIO", "tokenCount": 9}, {"modality": "IMAGE", "tokenCount": 8}]},
        {"audio_output_tokens": 9, "image_output_tokens": 8},
    ),
    ("gemini", from_gemini, GEMINI, {"trafficType": "PROVISIONED_THROUGHPUT"}, {"service_tier": "provisioned"}),
    ("converse", from_bedrock, CONVERSE, {"cacheReadInputTokens": 9}, {"input_tokens": 16, "cached_tokens": 9}),
    ("converse", from_bedrock, CONVERSE, {"cacheWriteInputTokens": 9}, {"input_tokens": 16, "cache_write_tokens": 9}),
    (
        "converse",
        from_bedrock,
        CONVERSE,
        {
            "cacheWriteInputTokens": 9,
            "cacheDetails": [{"ttl": "5m", "inputTokens": 4}, {"ttl": "1h", "inputTokens": 5}],
        },
        {"cache_write_tokens": 9, "cache_write_1h_tokens": 5},
    ),
]


@pytest.mark.parametrize(
    ("vendor", "read", "base", "added", "expected"), FIELDS, ids=lambda value: value if isinstance(value, str) else ""
)
def test_usage_reads_each_documented_field(
    vendor: str, read: Reader, base: dict[str, Any], added: dict[str, Any], expected: dict[str, Any]
) -> None:
    usage = read({**base, **added})
    assert {field: getattr(usage, field) for field in expected} == expected


GENAI = {"gen_ai.usage.input_tokens": 700, "gen_ai.usage.output_tokens": 50}


@pytest.mark.parametrize(
    ("added", "expected"),
    [
        ({"gen_ai.usage.cache_read.input_tokens": 9}, {"input_tokens": 700, "cached_tokens": 9}),
        ({"gen_ai.usage.cache_creation.input_tokens": 9}, {"input_tokens": 700, "cache_write_tokens": 9}),
        ({"gen_ai.usage.cache_write.input_tokens": 9}, {"cache_write_tokens": 9}),
        ({"gen_ai.usage.cache_read_input_tokens": 9}, {"cached_tokens": 9}),
        ({"gen_ai.usage.details.cache_read_tokens": 9}, {"cached_tokens": 9}),
        ({"gen_ai.usage.details.cache_write_tokens": 9}, {"cache_write_tokens": 9}),
        ({"gen_ai.usage.reasoning.output_tokens": 9}, {"output_tokens": 50, "reasoning_tokens": 9}),
        ({"llm.token_count.prompt_details.cache_write": 9}, {"cache_write_tokens": 9}),
        ({"llm.token_count.prompt_details.audio": 9}, {"audio_input_tokens": 9}),
        ({"gen_ai.openai.response.service_tier": "flex"}, {"service_tier": "flex"}),
        ({"openai.response.service_tier": "default", "openai.request.service_tier": "auto"}, {"service_tier": None}),
    ],
)
def test_usage_reads_each_attribute_of_the_conventions(added: dict[str, Any], expected: dict[str, Any]) -> None:
    usage = usage_of({**GENAI, **added}, "openai", "gpt-5", [])
    assert {field: getattr(usage, field) for field in expected} == expected


@pytest.mark.parametrize("name", sorted(set(LANGFUSE_TYPES) - {"input", "output"}))
def test_usage_counts_each_type_of_langfuse_once(name: str) -> None:
    beside = usage_of({"langfuse.observation.usage_details": {"input": 700, "output": 50, name: 9}}, "", "m", [])
    whole = {"input": 700, "output": 50, name: 9, "total": 750}
    inside = usage_of({"langfuse.observation.usage_details": whole}, "", "m", [])
    field, container = LANGFUSE_TYPES[name]
    assert getattr(beside, field) == getattr(inside, field) == 9
    assert getattr(beside, container) == getattr(inside, container) + 9


def test_usage_of_langchain_keeps_writes_by_lifetime_and_the_tier_beside() -> None:
    details = {"cache_read": 60, "cache_creation": 0, "ephemeral_1h_input_tokens": 20, "ephemeral_5m_input_tokens": 10}
    report = {"input_tokens": 100, "output_tokens": 5, "input_token_details": details}
    attributes = {"langsmith.metadata.usage_metadata": report, "gen_ai.response.service_tier": "priority"}
    usage = usage_of(attributes, "anthropic", "claude-sonnet-4-5", [])
    assert usage == Usage(100, 5, 60, 30, 20, service_tier="priority")
