"""What the attributes of a span mean: the words of the GenAI conventions, present and former, and of OpenInference.

Each tuple below names the attributes that may hold one thing, the likeliest first. A span's own words for its kind are kept
where they are not an agent's, a model call's or a tool's: `retriever`, `chain`, `http`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from anton_notebook.model.span import AGENT, LLM, ORCHESTRATOR, TOOL, UNKNOWN
from anton_notebook.sources.anton.line_schema import Fault

KIND = "openinference.span.kind"
OPERATION = "gen_ai.operation.name"
ENTITY = "traceloop.span.kind"
REQUEST_TYPE = "llm.request.type"

AGENT_NAME = ("gen_ai.agent.name", "agent.name")
ENTITY_NAME = "traceloop.entity.name"
TOOL_NAME = ("gen_ai.tool.name", "tool.name", "mcp.tool.name")
PROVIDER = ("gen_ai.provider.name", "gen_ai.system", "llm.provider", "llm.system", "llm.vendor")
MODEL = (
    "gen_ai.request.model", "llm.request.model_name", "llm.model_name", "llm.request.model",
    "gen_ai.response.model", "llm.response.model_name", "llm.response.model", "embedding.model_name", "reranker.model_name",
)  # fmt: skip
INPUT = ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens", "llm.token_count.prompt", "llm.usage.prompt_tokens")
OUTPUT = (
    "gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens", "llm.token_count.completion", "llm.usage.completion_tokens",
)  # fmt: skip
CACHED = (
    "gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_read_input_tokens", "gen_ai.usage.input_tokens.cached",
    "gen_ai.usage.cached_tokens", "llm.token_count.prompt_details.cache_read", "llm.token_count.prompt_details.cache_input",
)  # fmt: skip
WRITTEN = (
    "gen_ai.usage.cache_creation.input_tokens", "gen_ai.usage.cache_creation_input_tokens", "gen_ai.usage.cache_write_tokens",
    "llm.token_count.prompt_details.cache_write",
)  # fmt: skip
REASONING = (
    "gen_ai.usage.reasoning.output_tokens", "gen_ai.usage.reasoning_tokens", "gen_ai.usage.output_tokens.reasoning",
    "gen_ai.usage.details.reasoning_tokens", "llm.token_count.completion_details.reasoning", "llm.usage.reasoning_tokens",
)  # fmt: skip
COST = ("llm.cost.total", "gen_ai.usage.cost", "operation.cost")
FINISH = (
    "gen_ai.response.finish_reasons", "gen_ai.response.finish_reason", "gen_ai.completion.0.finish_reason",
    "llm.finish_reason", "llm.response.finish_reason", "gen_ai.response.stop_reason", "llm.response.stop_reason",
)  # fmt: skip
PLAIN_KINDS = (
    ("db.system", "db"), ("db.system.name", "db"), ("rpc.system", "rpc"), ("rpc.system.name", "rpc"),
    ("messaging.system", "messaging"), ("mcp.method.name", "mcp"), ("http.request.method", "http"), ("http.method", "http"),
)  # fmt: skip
ERROR_TYPE = "error.type"

WANTED = frozenset({
    KIND, OPERATION, ENTITY, REQUEST_TYPE, ENTITY_NAME, ERROR_TYPE, *AGENT_NAME, *TOOL_NAME, *PROVIDER, *MODEL,
    *INPUT, *OUTPUT, *CACHED, *WRITTEN, *REASONING, *COST, *FINISH, *(name for name, _ in PLAIN_KINDS),
})  # fmt: skip
"""The attributes that the light fields of a span are made of."""

_OPERATIONS = {
    "chat": LLM, "text_completion": LLM, "generate_content": LLM, "completion": LLM,
    "execute_tool": TOOL, "invoke_agent": AGENT, "invoke_workflow": "workflow",
}  # fmt: skip
_WORDS = {"llm": LLM, "tool": TOOL, "agent": AGENT, "chat": LLM, "completion": LLM}
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
    input: int
    output: int
    cached: int
    cost: float | None
    written: int = 0
    reasoning: int = 0


def light(attributes: Mapping[str, Any], name: str, span_kind: object, root: bool, faults: list[Fault]) -> Light:
    """What a span is. Its agent is `""` where it names none itself; an agent without a parent is the orchestrator."""
    kind = kind_of(attributes, span_kind)
    agent = text(attributes, AGENT_NAME)
    model = text(attributes, MODEL)
    if kind == AGENT:
        agent = agent or text(attributes, (ENTITY_NAME,)) or _without(name, kind) or AGENT
        kind = ORCHESTRATOR if root or agent == ORCHESTRATOR else AGENT
        shown = agent
    elif kind == TOOL:
        shown = text(attributes, TOOL_NAME) or text(attributes, (ENTITY_NAME,)) or _without(name, kind) or kind
    elif kind == LLM:
        shown = model or name or kind
    else:
        shown = name or kind
    if kind not in _COUNTED:
        return Light(kind, agent, shown, "", "", "", UNKNOWN, UNKNOWN, UNKNOWN, None)
    provider = text(attributes, PROVIDER)
    given, cached = _count(attributes, INPUT, faults), _count(attributes, CACHED, faults)
    written, reasoning = (max(_count(attributes, of, faults), 0) for of in (WRITTEN, REASONING))
    beside = max(cached, 0) + written
    if 0 < beside <= given and cached_beside_input(provider, model):
        given -= beside
    return Light(
        kind, agent, shown, provider, model, text(attributes, FINISH),
        given, _count(attributes, OUTPUT, faults), cached, _cost(attributes, faults), written, reasoning,
    )  # fmt: skip


def kind_of(attributes: Mapping[str, Any], span_kind: object) -> str:
    """The kind of a span: `agent`, `llm`, `tool`, or the word that it uses itself."""
    word = text(attributes, (KIND,)).lower()
    if word and word != "unknown":
        return _WORDS.get(word, word)
    word = text(attributes, (OPERATION,))
    if word:
        return _OPERATIONS.get(word, word)
    word = text(attributes, (ENTITY,))
    if word and word != "unknown":
        return _WORDS.get(word, word)
    word = text(attributes, (REQUEST_TYPE,))
    if word and word != "unknown":
        return _WORDS.get(word, word)
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


def cached_beside_input(provider: str, model: str) -> bool:
    """Whether such a call's vendor reports cached tokens beside the input tokens. The conventions count them among these; here
    tokens are as the vendor reports them, so that prices fit."""
    word = provider.lower()
    if not word or word.startswith(("gcp", "google", "vertex")):
        return "claude" in model.lower()
    return word in ("anthropic", "claude") or word.startswith("aws") or "bedrock" in word


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


def _count(attributes: Mapping[str, Any], names: tuple[str, ...], faults: list[Fault]) -> int:
    for name in names:
        found = attributes.get(name)
        if found is None:
            continue
        if isinstance(found, float) and found.is_integer():
            found = int(found)
        if isinstance(found, int) and not isinstance(found, bool) and 0 <= found < 2**31:
            return found
        faults.append(Fault(f"expected a count of 0 to 2,147,483,647, found {str(found)[:40]!r}", name))
    return UNKNOWN


def _cost(attributes: Mapping[str, Any], faults: list[Fault]) -> float | None:
    for name in COST:
        found = attributes.get(name)
        if found is None:
            continue
        if isinstance(found, int | float) and not isinstance(found, bool) and 0 <= found < 1e12:
            return float(found)
        faults.append(Fault(f"expected a cost of 0 or more, found {str(found)[:40]!r}", name))
    return None
