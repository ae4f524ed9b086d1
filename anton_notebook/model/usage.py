"""One model of what a call used, and how each vendor's report becomes it.

Input includes tokens read from and written to a cache; output includes reasoning. Everything else is a part of these two,
or says at which rate they are billed. Vendors disagree: Anthropic and Bedrock report cached tokens beside the input,
Gemini and xAI report reasoning beside the output. The functions here are the only place that knows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

LARGEST = 2**31 - 1
STANDARD = frozenset({"", "standard", "default", "auto", "on_demand", "on-demand", "not_available", "global"})
"""Words for a service tier, a speed or a geography that change no price."""


class Usage(NamedTuple):
    """Tokens and other billed units of one call; None where the vendor reports nothing.

    `input_tokens` includes `cached_tokens` and `cache_write_tokens`; `cache_write_tokens` includes `cache_write_1h_tokens`;
    `output_tokens` includes `reasoning_tokens`. Audio and image tokens are parts of input or output. `web_searches` counts
    uses of a search tool that are billed one by one.
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    cache_write_1h_tokens: int | None = None
    reasoning_tokens: int | None = None
    audio_input_tokens: int | None = None
    audio_output_tokens: int | None = None
    image_input_tokens: int | None = None
    image_output_tokens: int | None = None
    web_searches: int | None = None
    service_tier: str | None = None
    speed: str | None = None
    geography: str | None = None

    @property
    def has_details(self) -> bool:
        """Whether it holds more than input, output and cached tokens."""
        return any(self[3:])

    def details(self) -> dict[str, int | str]:
        """Return the fields after `cached_tokens` that say something, by name."""
        return {name: value for name, value in zip(self._fields[3:], self[3:], strict=True) if value}


DETAILS = Usage._fields[3:]
TRACE_KEYS = {
    "input": "input_tokens",
    "output": "output_tokens",
    "cached": "cached_tokens",
    "cache_write": "cache_write_tokens",
    "cache_write_1h": "cache_write_1h_tokens",
    "reasoning": "reasoning_tokens",
    "audio_input": "audio_input_tokens",
    "audio_output": "audio_output_tokens",
    "image_input": "image_input_tokens",
    "image_output": "image_output_tokens",
    "web_searches": "web_searches",
    "service_tier": "service_tier",
    "speed": "speed",
    "geography": "geography",
    "total": None,
}
"""The keys of `tokens={...}` in `anb.trace`, and the field that each one fills."""
Complain = Callable[[str, str], None]
"""Takes the name of a field and what is wrong with it."""


def _ignore(field: str, reason: str) -> None:
    return None


def count(value: Any, field: str = "", complain: Complain = _ignore) -> int | None:
    """Read a count of tokens; a count given as text is read too, and reported.

    Examples:
        >>> count(12), count("1200"), count(-1), count(True)
        (12, 1200, None, None)
    """
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, str) and value.strip().isdecimal() and len(value) < 12:
        complain(field, f"a count was expected, found the text {value[:40]!r}; it was read as a number")
        value = int(value)
    if isinstance(value, int) and 0 <= value <= LARGEST:
        return value
    complain(field, f"expected a count of 0 to {LARGEST:,}, found {str(value)[:40]!r}")
    return None


def from_anthropic(usage: Mapping[str, Any]) -> Usage:
    """Read the `usage` of Anthropic's Messages API, whose cached tokens stand beside `input_tokens`.

    Examples:
        >>> from_anthropic({"input_tokens": 5, "cache_creation_input_tokens": 30, "output_tokens": 2}).input_tokens
        35
    """
    fresh, cached = count(usage.get("input_tokens")), count(usage.get("cache_read_input_tokens"))
    parts = _mapping(usage.get("cache_creation"))
    one_hour = count(parts.get("ephemeral_1h_input_tokens"))
    written = count(usage.get("cache_creation_input_tokens"))
    split = (count(parts.get("ephemeral_5m_input_tokens")) or 0) + (one_hour or 0)
    written = max(written or 0, split) if written is not None or split else None
    tools = _mapping(usage.get("server_tool_use"))
    details = _mapping(usage.get("output_tokens_details"))
    return Usage(
        input_tokens=None if fresh is None else fresh + (cached or 0) + (written or 0),
        output_tokens=count(usage.get("output_tokens")),
        cached_tokens=cached,
        cache_write_tokens=written,
        cache_write_1h_tokens=one_hour,
        reasoning_tokens=count(details.get("thinking_tokens", details.get("reasoning_tokens"))),
        web_searches=count(tools.get("web_search_requests")),
        service_tier=_word(usage.get("service_tier")),
        speed=_word(usage.get("speed")),
        geography=_word(usage.get("inference_geo")),
    )


def from_openai(usage: Mapping[str, Any], service_tier: Any = None, web_searches: int | None = None) -> Usage:
    """Read the `usage` of OpenAI's Chat Completions or Responses API, or of a server that speaks them.

    Args:
        usage: The `usage` object of the answer.
        service_tier: The `service_tier` beside it.
        web_searches: How many of the answer's items are web searches.
    """
    given = count(usage.get("prompt_tokens", usage.get("input_tokens")))
    answer = count(usage.get("completion_tokens", usage.get("output_tokens")))
    inside = _mapping(usage.get("prompt_tokens_details") or usage.get("input_tokens_details"))
    outside = _mapping(usage.get("completion_tokens_details") or usage.get("output_tokens_details"))
    # A fee for each search: Perplexity, xAI and OpenRouter report it in words of their own.
    tools = _mapping(usage.get("server_tool_use"))
    searches = (usage.get("num_search_queries"), usage.get("num_sources_used"), tools.get("web_search_requests"))
    cached = count(inside.get("cached_tokens", usage.get("prompt_cache_hit_tokens", usage.get("cached_tokens"))))
    reasoning = count(outside.get("reasoning_tokens", usage.get("reasoning_tokens")))
    read = Usage(
        input_tokens=given,
        output_tokens=answer,
        cached_tokens=cached,
        cache_write_tokens=count(inside.get("cache_write_tokens", inside.get("cache_creation_tokens"))),
        reasoning_tokens=reasoning,
        audio_input_tokens=count(inside.get("audio_tokens")),
        audio_output_tokens=count(outside.get("audio_tokens")),
        image_input_tokens=count(inside.get("image_tokens")),
        image_output_tokens=count(outside.get("image_tokens")),
        web_searches=web_searches or next((number for name in searches if (number := count(name))), None),
        service_tier=_word(service_tier) or _word(usage.get("service_tier")),
    )
    return complete(read, count(usage.get("total_tokens")))


def from_gemini(usage: Mapping[str, Any], web_searches: int | None = None) -> Usage:
    """Read the `usageMetadata` of Gemini, whose thoughts stand beside the candidates' tokens.

    Args:
        usage: The object, with names in camelCase or snake_case.
        web_searches: How many searches the answer was grounded on.
    """
    flat = {name.replace("_", "").lower(): value for name, value in usage.items()}
    given, tools = count(flat.get("prompttokencount")), count(flat.get("tooluseprompttokencount"))
    answer, thoughts = count(flat.get("candidatestokencount")), count(flat.get("thoughtstokencount"))
    read = Usage(
        input_tokens=None if given is None else given + (tools or 0),
        output_tokens=None if answer is None and thoughts is None else (answer or 0) + (thoughts or 0),
        cached_tokens=count(flat.get("cachedcontenttokencount")),
        reasoning_tokens=thoughts,
        audio_input_tokens=_modality(flat.get("prompttokensdetails"), "AUDIO"),
        audio_output_tokens=_modality(flat.get("candidatestokensdetails"), "AUDIO"),
        image_input_tokens=_modality(flat.get("prompttokensdetails"), "IMAGE"),
        image_output_tokens=_modality(flat.get("candidatestokensdetails"), "IMAGE"),
        web_searches=web_searches,
        service_tier=_traffic(flat.get("traffictype")),
    )
    return complete(read, count(flat.get("totaltokencount")), thinking=True)


def from_bedrock(usage: Mapping[str, Any], service_tier: Any = None) -> Usage:
    """Read the `usage` of Bedrock's Converse API, whose cached tokens stand beside `inputTokens`."""
    fresh = count(usage.get("inputTokens"))
    cached = count(usage.get("cacheReadInputTokens", usage.get("cacheReadInputTokenCount")))
    written = count(usage.get("cacheWriteInputTokens", usage.get("cacheWriteInputTokenCount")))
    details = usage.get("cacheDetails")
    parts = [_mapping(part) for part in details] if isinstance(details, list) else []
    hours = [count(part.get("inputTokens")) or 0 for part in parts if part.get("ttl") == "1h"]
    tier = service_tier.get("type") if isinstance(service_tier, Mapping) else service_tier
    return Usage(
        input_tokens=None if fresh is None else fresh + (cached or 0) + (written or 0),
        output_tokens=count(usage.get("outputTokens")),
        cached_tokens=cached,
        cache_write_tokens=written,
        cache_write_1h_tokens=sum(hours) or None,
        service_tier=_word(tier),
    )


def from_report(usage: Any, *, service_tier: Any = None) -> Usage:
    """Read a vendor's usage object by the names in it.

    Examples:
        >>> from_report({"inputTokens": 1, "cacheReadInputTokens": 9, "outputTokens": 2}).input_tokens
        10
    """
    if not isinstance(usage, Mapping):
        return Usage()
    names = set(usage)
    if names & {"inputTokens", "outputTokens"}:
        return from_bedrock(usage, service_tier)
    if names & {"promptTokenCount", "prompt_token_count", "candidatesTokenCount", "candidates_token_count"}:
        return from_gemini(usage)
    cache = {"cache_read_input_tokens", "cache_creation_input_tokens", "cache_creation", "server_tool_use"}
    if names & cache and not names & {"prompt_tokens", "completion_tokens"}:
        return from_anthropic(usage)
    return from_openai(usage, service_tier)


def complete(usage: Usage, total: int | None, thinking: bool = False) -> Usage:
    """Put reasoning into the output where the counts show that it stands beside it.

    Args:
        usage: Counts as reported, cached tokens included in the input.
        total: The reported sum of all tokens, or None.
        thinking: Whether tokens that only the total tells are reasoning (Gemini).
    """
    given, answer, reasoning = usage.input_tokens, usage.output_tokens, usage.reasoning_tokens or 0
    if given is None or answer is None:
        return usage
    rest = 0 if total is None else total - given - answer
    if reasoning and (rest == reasoning or reasoning > answer):
        return usage._replace(output_tokens=answer + reasoning)
    if thinking and rest > 0 and not reasoning:
        return usage._replace(output_tokens=answer + rest, reasoning_tokens=rest)
    return usage


def line_tokens(usage: Usage) -> dict[str, int]:
    """Return the `tokens` key of a trace line: input, output and cached tokens that are known."""
    counts = {"input": usage.input_tokens, "output": usage.output_tokens, "cached": usage.cached_tokens}
    return {name: value for name, value in counts.items() if value is not None}


def line_mark(usage: Usage) -> dict[str, Any]:
    """Return what the `anton_notebook` key of a trace line says of a usage."""
    mark = {"cached_tokens": usage.cached_tokens, "usage": usage.details() or None}
    return {name: value for name, value in mark.items() if value is not None}


def details_of(value: Any, faults: Complain = _ignore) -> Usage | None:
    """Read the details that `line_mark` wrote; None if there are none."""
    if not isinstance(value, Mapping):
        return None
    words: dict[str, Any] = {name: _word(value.get(name)) for name in ("service_tier", "speed", "geography")}
    counts: dict[str, Any] = {name: count(value.get(name), name, faults) for name in DETAILS if name not in words}
    usage = Usage(**counts, **words)
    return usage if usage.has_details else None


def with_cache_beside(usage: Usage) -> Usage:
    """Add cached tokens to an input that does not include them."""
    beside = (usage.cached_tokens or 0) + (usage.cache_write_tokens or 0)
    return usage if usage.input_tokens is None else usage._replace(input_tokens=usage.input_tokens + beside)


def reports_cache_beside(provider: str, model: str) -> bool:
    """Return whether this provider's own API reports cached tokens beside the input tokens."""
    word = provider.lower()
    if not word or word.startswith(("gcp", "google", "vertex", "strands", "litellm", "openrouter")):
        return "claude" in model.lower()
    return word in ("anthropic", "claude") or word.startswith("aws") or "bedrock" in word


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _word(value: Any) -> str | None:
    """A tier, speed or geography that changes the price; None for the ordinary ones."""
    return value if isinstance(value, str) and value.lower() not in STANDARD and len(value) < 64 else None


def _traffic(value: Any) -> str | None:
    """Gemini's traffic type; provisioned throughput is billed by time, not by token."""
    return "provisioned" if isinstance(value, str) and value.upper() == "PROVISIONED_THROUGHPUT" else None


def _modality(parts: Any, wanted: str) -> int | None:
    if not isinstance(parts, list):
        return None
    names = ("tokenCount", "token_count")
    chosen = [part for part in map(_mapping, parts) if str(part.get("modality", "")).upper() == wanted]
    counts = [count(next((part[name] for name in names if name in part), None)) or 0 for part in chosen]
    return sum(counts) or None
