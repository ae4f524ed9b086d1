"""Tables of what the attributes of a span mean, in every vocabulary that is read.

GenAI conventions 1.28 to 1.40, OpenInference, OpenLLMetry, LangSmith, Langfuse, Vercel AI, Claude Code. Each tuple names the
attributes that may hold one fact, the likeliest first. A span's own word for its kind is kept unless it means an agent, a
model call or a tool: `retriever`, `chain`, `http`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from anton_notebook.model.message_content import provider_of
from anton_notebook.model.span import AGENT, LLM, ORCHESTRATOR, TOOL
from anton_notebook.model.usage import Usage
from anton_notebook.sources.anton.line_schema import Fault
from anton_notebook.sources.otlp.reported_usage import COUNTS, cost_of, usage_of
from anton_notebook.sources.otlp.values import first_text, parsed

KIND = "openinference.span.kind"
OPERATION = "gen_ai.operation.name"
ENTITY = "traceloop.span.kind"
REQUEST_TYPE = "llm.request.type"
LANGFUSE = "langfuse.observation.type"

AGENT_NAME = (
    "gen_ai.agent.name", "agent.name", "langsmith.metadata.lc_agent_name",
    "traceloop.association.properties.lc_agent_name", "agent_name",
)  # fmt: skip
NODE_NAME = "graph.node.id"
"""Names an agent on an agent's span only; elsewhere it is a step of a graph."""
METADATA = ("metadata", "langfuse.observation.metadata")
"""JSON texts in which LangChain keeps `lc_agent_name` and `langgraph_node`."""
_LANGGRAPH_NODE = ("langsmith.metadata.langgraph_node", "traceloop.association.properties.langgraph_node")
_PLAIN_NODES = frozenset(
    {"model", "agent", "tools", "tool", "llm", "call_model", "chatbot", "assistant", "__start__", "model_request"}
)
"""Nodes of ready-made graphs: they name a step, not an agent."""
_FRAMEWORKS = frozenset(
    {"strands-agents", "langchain", "autogen", "agent_framework", "microsoft.agent_framework", "crewai", "llamaindex"}
)
"""Frameworks that name themselves as the provider of a call."""
_LANGSMITH_KIND = "langsmith.span.kind"
_VERCEL = "ai.operationId"
_VERCEL_KINDS = {
    "ai.generateText.doGenerate": LLM, "ai.streamText.doStream": LLM, "ai.generateObject.doGenerate": LLM,
    "ai.streamObject.doStream": LLM, "ai.toolCall": TOOL, "ai.generateText": "chain", "ai.streamText": "chain",
    "ai.generateObject": "chain", "ai.streamObject": "chain", "ai.embed": "chain", "ai.embedMany": "chain",
    "ai.embed.doEmbed": "embedding", "ai.embedMany.doEmbed": "embedding",
}  # fmt: skip
_SPAN_NAMES = {
    "claude_code.llm_request": LLM, "claude_code.tool": TOOL, "claude_code.interaction": AGENT,
    "claude_code.tool.execution": "span", "claude_code.tool.blocked_on_user": "span", "claude_code.hook": "span",
}  # fmt: skip
"""Spans that are known by their names only."""
_SPAN_AGENTS = {"claude_code.interaction": "claude_code"}
_NAME_SUFFIXES = (
    "._execute_core", ".run", ".arun", ".run_stream", ".kickoff", ".__call__", ".call", ".invoke", ".ainvoke", ".tool",
    ".agent", ".workflow", ".task",
)  # fmt: skip
_CONTENT_KEYS = ("input.value", "output.value", "gen_ai.input.messages", "gen_ai.output.messages")
ENTITY_NAME = "traceloop.entity.name"
TOOL_NAME = ("gen_ai.tool.name", "tool.name", "ai.toolCall.name", "mcp.tool.name", "tool_name")
PROVIDER = ("gen_ai.provider.name", "gen_ai.system", "llm.provider", "llm.system", "llm.vendor", "ai.model.provider")
ANSWERING = (
    "gen_ai.response.model", "llm.response.model_name", "llm.response.model", "ai.response.model",
)  # fmt: skip
REQUESTED = (
    "gen_ai.request.model", "llm.request.model_name", "llm.model_name", "llm.request.model", "embedding.model_name",
    "reranker.model_name", "ai.model.id", "langfuse.observation.model.name",
)  # fmt: skip
MODEL = (*ANSWERING, *REQUESTED)
"""The model that answered goes before the one that was asked for: it is the one that is billed."""
FINISH = (
    "gen_ai.response.finish_reasons", "gen_ai.response.finish_reason", "gen_ai.completion.0.finish_reason",
    "llm.finish_reason", "llm.response.finish_reason", "gen_ai.response.stop_reason", "llm.response.stop_reason",
    "anthropic.message.stop_reason", "ai.response.finishReason",
)  # fmt: skip
_ANSWERS = ("gen_ai.output.messages", "langfuse.observation.output", "gen_ai.completion", "output.value")
_FINISH_KEYS = ("finish_reason", "stop_reason", "finishReason", "stopReason", "done_reason")
RESPONSE_ID = ("gen_ai.response.id", "llm.response.id", "llm.response_id", "ai.response.id", "openai.response.id")
PLAIN_KINDS = (
    ("db.system", "db"), ("db.system.name", "db"), ("rpc.system", "rpc"), ("rpc.system.name", "rpc"),
    ("messaging.system", "messaging"), ("mcp.method.name", "mcp"), ("http.request.method", "http"), ("http.method", "http"),
)  # fmt: skip
ERROR_TYPE = "error.type"
CREATE_AGENT = "create_agent"

_OPERATIONS = {
    "chat": LLM, "text_completion": LLM, "generate_content": LLM, "completion": LLM,
    "execute_tool": TOOL, "invoke_agent": AGENT, "invoke_workflow": "workflow",
    "ai.generateText.doGenerate": LLM, "ai.streamText.doStream": LLM,
}  # fmt: skip
_WORDS = {"llm": LLM, "tool": TOOL, "agent": AGENT, "chat": LLM, "completion": LLM, "generation": LLM}
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
_NO_TOOLS = ("(merged tools)",)
"""Names of spans that only sum up tool calls."""
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
    """Read the light fields of a span.

    Args:
        attributes: All attributes, by name.
        name: The span's name.
        span_kind: OpenTelemetry's kind, a number or a word.
        root: Whether the span has no parent; an agent without one is the orchestrator.
        faults: Receives attributes that hold something unexpected.

    Returns:
        The fields; the agent is `""` if the span names none.
    """
    kind = kind_of(attributes, span_kind, name)
    if (kind == LLM and name.endswith(_NO_CALLS)) or (kind == TOOL and first_text(attributes, TOOL_NAME) in _NO_TOOLS):
        kind = "chain"
    agent = first_text(attributes, AGENT_NAME) or _agent_in_metadata(attributes, kind)
    if kind == "chain" and agent and agent == _without(name, AGENT):
        kind = AGENT  # the chain that LangChain's create_agent builds is called what its agent is called
    if kind == AGENT:
        agent = agent or first_text(attributes, (NODE_NAME,))
        bare = root and not agent and KIND in attributes and _without(name, AGENT) == name
        if bare and not any(key in attributes for key in _CONTENT_KEYS):
            kind = "workflow"  # a framework's root span: it says nothing but that it is there
    model = first_text(attributes, MODEL) or (first_text(attributes, ("model",)) if kind == LLM else "")
    if kind == AGENT:
        agent = (
            agent or first_text(attributes, (ENTITY_NAME,)) or _SPAN_AGENTS.get(name) or _without(name, kind) or AGENT
        )
        kind = ORCHESTRATOR if root or agent == ORCHESTRATOR else AGENT
        shown = agent
    elif kind == TOOL:
        shown = (
            first_text(attributes, TOOL_NAME) or first_text(attributes, (ENTITY_NAME,)) or _without(name, kind) or kind
        )
        shown = _without(shown, kind)
    elif kind == LLM:
        shown = first_text(attributes, REQUESTED) or model or name or kind
    else:
        shown = name or kind
    if kind not in _COUNTED:
        return Light(kind, agent, shown, "", "", "", Usage(), cost_of(attributes, faults))
    provider = _provider(attributes, model)
    usage = usage_of(attributes, provider, model, faults)
    if kind != LLM and usage.input_tokens is not None and usage.output_tokens is None:
        usage = usage._replace(output_tokens=0)
    response = first_text(attributes, RESPONSE_ID)
    return Light(
        kind, agent, shown, provider, model, finish_of(attributes), usage, cost_of(attributes, faults), response
    )


def requested_model(attributes: Mapping[str, Any]) -> str:
    """Return the model that the program asked for, where it is recorded apart from the one that answered."""
    for key in ("llm.invocation_parameters", "input.value"):
        value = attributes.get(key)
        if first_text(attributes, REQUESTED[:2]) or not isinstance(value, str) or '"model"' not in value:
            continue
        inner = parsed(value)
        if isinstance(inner, Mapping) and (model := first_text(inner, ("model",))):
            return model
    return first_text(attributes, REQUESTED)


def _agent_in_metadata(attributes: Mapping[str, Any], kind: str) -> str:
    """Return the agent that LangChain's metadata names; a node of a graph names one for calls only."""
    node = first_text(attributes, _LANGGRAPH_NODE)
    for key in METADATA:
        value = attributes.get(key)
        if isinstance(value, str) and ("lc_agent_name" in value or "langgraph_node" in value):
            value = parsed(value)
        if isinstance(value, Mapping):
            if isinstance(agent := value.get("lc_agent_name"), str) and agent:
                return agent
            node = node or first_text(value, ("langgraph_node",))
    return node if kind == LLM and node not in _PLAIN_NODES else ""


def _provider(attributes: Mapping[str, Any], model: str) -> str:
    for name in PROVIDER:
        word = first_text(attributes, (name,))
        if name == "ai.model.provider":
            word = word.partition(".")[0]
        if word and word.lower() not in _FRAMEWORKS:
            return word
    return provider_of("", model)


def kind_of(attributes: Mapping[str, Any], span_kind: object, name: str = "") -> str:
    """Return the kind of a span: `agent`, `llm`, `tool`, or the word that it uses itself."""
    word = first_text(attributes, (KIND,)).lower()
    if word and word != "unknown":
        return _WORDS.get(word, word)
    for key, words in ((LANGFUSE, _WORDS), (_VERCEL, _VERCEL_KINDS)):
        word = first_text(attributes, (key,))
        if word in words or (word and key == LANGFUSE):
            return words.get(word, word)
    word = first_text(attributes, (OPERATION,))
    if word:
        return _OPERATIONS.get(word) or (LLM if _is_call(word, attributes) else word)
    for key in (ENTITY, _LANGSMITH_KIND):
        word = first_text(attributes, (key,)).lower()
        if word and word != "unknown":
            return _WORDS.get(word, word)
    word = first_text(attributes, (REQUEST_TYPE,))
    if word and word != "unknown":
        return _WORDS.get(word) or (LLM if _is_call(word, attributes) else word)
    if name in _SPAN_NAMES:
        return _SPAN_NAMES[name]
    if first_text(attributes, TOOL_NAME):
        return TOOL
    if first_text(attributes, MODEL):
        return LLM
    for attribute, plain in PLAIN_KINDS:
        if attribute in attributes:
            return plain
    if isinstance(span_kind, str):
        return span_kind.removeprefix("SPAN_KIND_").lower().replace("unspecified", "span") or "span"
    return _SPAN_KINDS[span_kind] if isinstance(span_kind, int) and 0 <= span_kind < len(_SPAN_KINDS) else "span"


def _is_call(word: str, attributes: Mapping[str, Any]) -> bool:
    """Whether an operation that the conventions do not name is a model call: it has a model and tokens."""
    if word.lower().startswith(_OTHER_OPERATIONS) or not first_text(attributes, MODEL):
        return False
    return any(name in attributes for field in ("input_tokens", "output_tokens") for name in COUNTS[field])


def finish_of(attributes: Mapping[str, Any]) -> str:
    """Return why the model stopped, from its own attribute or from within the recorded answer."""
    word = first_text(attributes, FINISH)
    if word.startswith("["):
        listed = parsed(word)
        word = next((one for one in listed if isinstance(one, str)), "") if isinstance(listed, list) else word
    if word:
        return word
    for key in _ANSWERS:
        value = attributes.get(key)
        if isinstance(value, str) and any(mark in value for mark in (*_FINISH_KEYS, '"status"')):
            value = parsed(value)
        if isinstance(value, Mapping | list) and (word := _finish_in(value)):
            return word
    return ""


def _finish_in(value: Any, depth: int = 0) -> str:
    """Return the first reason in the usual places of an answer."""
    if isinstance(value, list):
        return next((word for item in value[:8] if (word := _finish_in(item, depth + 1))), "") if depth < 6 else ""
    if not isinstance(value, Mapping):
        return ""
    word = first_text(value, _FINISH_KEYS)
    if word:
        return word
    for key in ("choices", "generations", "candidates", "generation_info", "response_metadata", "message"):
        if key in value and depth < 6 and (word := _finish_in(value[key], depth + 1)):
            return word
    status = value.get("status")
    if value.get("object") == "response" and status in ("completed", "incomplete"):
        details = value.get("incomplete_details")
        output = value.get("output")
        called = isinstance(output, list) and any(
            isinstance(item, Mapping) and item.get("type") == "function_call" for item in output
        )
        reason = first_text(details, ("reason",)) if isinstance(details, Mapping) else ""
        return reason or ("tool_calls" if called else "stop")
    return ""


def _without(name: str, kind: str) -> str:
    """Return a name without the words that instrumentations put around it."""
    for prefix in _PREFIXES[kind]:
        if name.startswith(prefix):
            name = name[len(prefix) :].strip()
    for suffix in _NAME_SUFFIXES:
        if name.endswith(suffix) and len(name) > len(suffix):
            return name[: -len(suffix)]
    return name
