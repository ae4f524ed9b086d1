"""What the attributes of a span mean: the words of the GenAI conventions, present and former, and of OpenInference.

Each tuple below names the attributes that may hold one thing, the likeliest first. A span's own words for its kind are kept
where they are not an agent's, a model call's or a tool's: `retriever`, `chain`, `http`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from anton_notebook.model.span import AGENT, LLM, ORCHESTRATOR, TOOL
from anton_notebook.model.usage import STANDARD, Usage, complete, count, reports_cache_beside, with_cache_beside
from anton_notebook.sources.anton.line_schema import Fault

KIND = "openinference.span.kind"
OPERATION = "gen_ai.operation.name"
ENTITY = "traceloop.span.kind"
REQUEST_TYPE = "llm.request.type"

AGENT_NAME = ("gen_ai.agent.name", "agent.name")
ENTITY_NAME = "traceloop.entity.name"
TOOL_NAME = ("gen_ai.tool.name", "tool.name", "mcp.tool.name")
PROVIDER = ("gen_ai.provider.name", "gen_ai.system", "llm.provider", "llm.system", "llm.vendor")
ANSWERING = (
    "gen_ai.response.model", "llm.response.model_name", "llm.response.model", "ai.response.model",
)  # fmt: skip
REQUESTED = (
    "gen_ai.request.model", "llm.request.model_name", "llm.model_name", "llm.request.model", "embedding.model_name",
    "reranker.model_name", "ai.model.id", "langfuse.observation.model.name",
)  # fmt: skip
MODEL = (*ANSWERING, *REQUESTED)
"""The model that answered goes before the one that was asked for: it is the one that is billed."""
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
FINISH = (
    "gen_ai.response.finish_reasons", "gen_ai.response.finish_reason", "gen_ai.completion.0.finish_reason",
    "llm.finish_reason", "llm.response.finish_reason", "gen_ai.response.stop_reason", "llm.response.stop_reason",
    "anthropic.message.stop_reason", "ai.response.finishReason",
)  # fmt: skip
RESPONSE_ID = ("gen_ai.response.id", "llm.response.id", "llm.response_id", "ai.response.id", "openai.response.id")
PLAIN_KINDS = (
    ("db.system", "db"), ("db.system.name", "db"), ("rpc.system", "rpc"), ("rpc.system.name", "rpc"),
    ("messaging.system", "messaging"), ("mcp.method.name", "mcp"), ("http.request.method", "http"), ("http.method", "http"),
)  # fmt: skip
ERROR_TYPE = "error.type"

WANTED = frozenset({
    KIND, OPERATION, ENTITY, REQUEST_TYPE, ENTITY_NAME, ERROR_TYPE, *AGENT_NAME, *TOOL_NAME, *PROVIDER, *MODEL,
    *COST, *TOTAL, *FINISH, *RESPONSE_ID, "logfire.span_type", *(name for name, _ in PLAIN_KINDS),
    *(name for names in (*COUNTS.values(), *RATES.values()) for name in names),
})  # fmt: skip
"""The attributes that the light fields of a span are made of."""

_OPERATIONS = {
    "chat": LLM, "text_completion": LLM, "generate_content": LLM, "completion": LLM,
    "execute_tool": TOOL, "invoke_agent": AGENT, "invoke_workflow": "workflow",
}  # fmt: skip
_WORDS = {"llm": LLM, "tool": TOOL, "agent": AGENT, "chat": LLM, "completion": LLM}
_OTHER_OPERATIONS = (
    "embed",
    "rerank",
    "retriev",
    "moderat",
    "image",
    "audio",
    "speech",
    "transcri",
    "create_agent",
    "vector",
)
_NO_CALLS = ("_prepare_chat_with_tools", "_prepare_chat_with_tools_compat")
"""Ends of names of spans that frameworks mark as model calls although they send nothing."""
_SPAN_KINDS = ("span", "internal", "server", "client", "producer", "consumer")
_PREFIXES = {TOOL: ("execute_tool ",), AGENT: ("invoke_agent ", "create_agent ")}
_COUNTED = frozenset({LLM, "embeddings", "embedding", "reranker", "rerank"})


class Light(NamedTuple):
    """A span's light fields as its attributes give them; counts are -1 where unknown, the cost is None."""

    kind: str
    agent: str
    name: str
    provider: str
    model: str
    finish_reason: str
    usage: Usage
    cost: float | None
    response_id: str = ""


def light(attributes: Mapping[str, Any], name: str, span_kind: object, root: bool, faults: list[Fault]) -> Light:
    """What a span is. Its agent is `""` where it names none itself; an agent without a parent is the orchestrator."""
    kind = kind_of(attributes, span_kind)
    if kind == LLM and name.endswith(_NO_CALLS):
        kind = "chain"
    agent = text(attributes, AGENT_NAME)
    model = text(attributes, MODEL)
    if kind == AGENT:
        agent = agent or text(attributes, (ENTITY_NAME,)) or _without(name, kind) or AGENT
        kind = ORCHESTRATOR if root or agent == ORCHESTRATOR else AGENT
        shown = agent
    elif kind == TOOL:
        shown = text(attributes, TOOL_NAME) or text(attributes, (ENTITY_NAME,)) or _without(name, kind) or kind
    elif kind == LLM:
        shown = text(attributes, REQUESTED) or model or name or kind
    else:
        shown = name or kind
    if kind not in _COUNTED:
        return Light(kind, agent, shown, "", "", "", Usage(), _cost(attributes, faults))
    provider = text(attributes, PROVIDER)
    usage = usage_of(attributes, provider, model, faults)
    if kind != LLM and usage.input_tokens is not None and usage.output_tokens is None:
        usage = usage._replace(output_tokens=0)
    response = text(attributes, RESPONSE_ID)
    return Light(kind, agent, shown, provider, model, finish_of(attributes), usage, _cost(attributes, faults), response)


def usage_of(attributes: Mapping[str, Any], provider: str, model: str, faults: list[Fault]) -> Usage:
    """Read what a call used from its attributes, in any vocabulary of `COUNTS`."""

    def complain(name: str, reason: str) -> None:
        faults.append(Fault(reason, name))

    def read(names: tuple[str, ...]) -> int | None:
        for name in names:
            if name in attributes and (value := count(attributes[name], name, complain)) is not None:
                return value
        return None

    counts: dict[str, Any] = {field: read(names) for field, names in COUNTS.items()}
    words: dict[str, Any] = {field: _rate(attributes, names) for field, names in RATES.items()}
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


def _rate(attributes: Mapping[str, Any], names: tuple[str, ...]) -> str | None:
    word = text(attributes, names).lower()
    return word if word and word not in STANDARD and len(word) < 64 else None


def kind_of(attributes: Mapping[str, Any], span_kind: object) -> str:
    """The kind of a span: `agent`, `llm`, `tool`, or the word that it uses itself."""
    word = text(attributes, (KIND,)).lower()
    if word and word != "unknown":
        return _WORDS.get(word, word)
    word = text(attributes, (OPERATION,))
    if word:
        return _OPERATIONS.get(word) or (LLM if _is_call(word, attributes) else word)
    word = text(attributes, (ENTITY,))
    if word and word != "unknown":
        return _WORDS.get(word, word)
    word = text(attributes, (REQUEST_TYPE,))
    if word and word != "unknown":
        return _WORDS.get(word) or (LLM if _is_call(word, attributes) else word)
    if text(attributes, TOOL_NAME):
        return TOOL
    if text(attributes, MODEL):
        return LLM
    for name, plain in PLAIN_KINDS:
        if name in attributes:
            return plain
    if isinstance(span_kind, str):
        return span_kind.removeprefix("SPAN_KIND_").lower().replace("unspecified", "span") or "span"
    return _SPAN_KINDS[span_kind] if isinstance(span_kind, int) and 0 <= span_kind < len(_SPAN_KINDS) else "span"


def _is_call(word: str, attributes: Mapping[str, Any]) -> bool:
    """Whether an operation that the conventions do not name is a model call: it has a model and tokens."""
    if word.lower().startswith(_OTHER_OPERATIONS) or not text(attributes, MODEL):
        return False
    return any(name in attributes for field in ("input_tokens", "output_tokens") for name in COUNTS[field])


def finish_of(attributes: Mapping[str, Any]) -> str:
    """Why the model stopped; a list of reasons that was written as JSON text gives its first."""
    word = text(attributes, FINISH)
    if word.startswith("["):
        try:
            listed = json.loads(word)
        except ValueError:
            return word
        word = next((one for one in listed if isinstance(one, str)), "") if isinstance(listed, list) else word
    return word


def text(attributes: Mapping[str, Any], names: tuple[str, ...]) -> str:
    """The first of these attributes that is a text; of a list its first text."""
    for name in names:
        found = attributes.get(name)
        if isinstance(found, list) and found:
            found = found[0]
        if isinstance(found, str) and found:
            return found
    return ""


def _without(name: str, kind: str) -> str:
    for prefix in _PREFIXES[kind]:
        if name.startswith(prefix):
            return name[len(prefix) :].strip()
    return name


def _cost(attributes: Mapping[str, Any], faults: list[Fault]) -> float | None:
    for name in COST:
        found = attributes.get(name)
        if found is None:
            continue
        if isinstance(found, str):
            try:
                found = float(found)
            except ValueError:
                continue
        if isinstance(found, int | float) and not isinstance(found, bool) and 0 <= found < 1e12:
            return float(found)
        faults.append(Fault(f"expected a cost of 0 or more, found {str(found)[:40]!r}", name))
    return None
