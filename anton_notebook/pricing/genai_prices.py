"""The adapter of `genai-prices`: which of its models a recorded name means, and how that model's price changes over time.

The bundled table is used as it is; nothing goes over the network. A wrong price in it is corrected by `anb.set_price` or
upstream.
"""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from anton_notebook.pricing.schedule import (
    DAY,
    EPOCH,
    NAN,
    Price,
    Rates,
    Rule,
    Schedule,
    as_datetime,
    moment,
)

if TYPE_CHECKING:
    from genai_prices.data_snapshot import DataSnapshot
    from genai_prices.types import ModelInfo, ModelPrice

Context = tuple[tuple[str, str], ...]
_ALIASES = {
    "claude": "anthropic",
    "bedrock": "aws",
    "aws.bedrock": "aws",
    "gemini": "google",
    "gcp.gemini": "google",
    "gcp.vertex_ai": "google",
    "vertex_ai": "google",
    "vertexai": "google",
    "xai": "x-ai",
    "grok": "x-ai",
    "mistralai": "mistral",
    "mistral_ai": "mistral",
    "az.ai.openai": "azure",
    "azure.ai.openai": "azure",
    "azure_openai": "azure",
    "gpt": "openai",
    "unknown": "",
    "none": "",
    "null": "",
}
LOCAL = frozenset(
    {
        "ollama",
        "ollama_chat",
        "lmstudio",
        "lm-studio",
        "lm_studio",
        "vllm",
        "hosted_vllm",
        "llamacpp",
        "llama.cpp",
        "llama-cpp",
        "llama_cpp",
        "llamafile",
        "local",
        "localhost",
        "localai",
        "sglang",
        "tgi",
        "mlx",
        "koboldcpp",
        "gpt4all",
        "transformers",
        "scripted",
        "mock",
        "fake",
    }
)
"""Providers that run models on one's own machines: their models have no price but one's own."""

_LOCAL_TAG = re.compile(r"[^/]*:(latest|.*\b\d+(\.\d+)?[bm]\b.*|.*(fp16|q\d|gguf).*)")
_BEDROCK = re.compile(
    r"((us|eu|apac|au|jp|global|us-gov)\.)?(anthropic|amazon|meta|mistral|cohere|ai21|deepseek|openai|qwen)\."
)
_ANY_DAY = datetime(2000, 1, 1, tzinfo=UTC)


class Found(NamedTuple):
    """A model of the library, its provider there, and the plain name by which it was found."""

    provider: str
    model: ModelInfo
    name: str


@cache
def _snapshot() -> DataSnapshot:
    # Imported late: it takes a third of a second. The bundled table only; the library's updater is never started.
    from genai_prices.data import providers
    from genai_prices.data_snapshot import DataSnapshot

    return DataSnapshot(providers=providers, from_auto_update=False)


@cache
def source() -> str:
    """The name of the library's prices in `cost_source`."""
    return f"genai-prices {importlib.metadata.version('genai-prices')}"


@cache
def names() -> list[str]:
    """Every model's name that the library knows, without its vendor's prefix."""
    return sorted({m.id.rpartition("/")[2] for p in _snapshot().providers for m in p.models})


def provider_name(provider: str) -> str:
    """The library's word for a recorded provider; `""` where nothing is known of it."""
    word = provider.lower().strip()
    return _ALIASES.get(word, word)


def plain(model: str) -> str:
    """A model's name without case, blanks and the parts of a resource's path."""
    word = model.lower().strip()
    for marker in ("foundation-model/", "inference-profile/", "publishers/google/models/"):
        word = word.rpartition(marker)[2]
    return word.removeprefix("models/")


def is_local(provider: str, model: str) -> bool:
    """Whether the names say that the model ran on one's own machine."""
    if provider in LOCAL or model.partition("/")[0] in LOCAL:
        return True
    return provider in ("", "openai", "litellm") and _LOCAL_TAG.fullmatch(model) is not None


@lru_cache(4096)
def find(provider: str, model: str) -> Found | None:
    """The library's entry for a recorded provider and model, or `None`."""
    word, name = provider_name(provider), plain(model)
    if not name or is_local(word, name):
        return None
    return next((found for at, ref in _candidates(word, name) if (found := _look_up(at, ref))), None)


def _candidates(provider: str, name: str) -> Iterator[tuple[str | None, str]]:
    known = _known(provider) if provider else None
    head, slash, tail = name.partition("/")
    if known:
        yield known, name
        if slash:
            yield known, tail
        # These words also mean a way of speaking, behind which anybody's model may stand.
        if known not in ("openai", "anthropic") and provider != "litellm":
            return
    if slash:
        if owner := _known(provider_name(head)):
            yield owner, tail
        return
    if _BEDROCK.match(name):
        yield "aws", name
    elif "@" in name:
        yield "google", name
    else:
        yield None, name


@lru_cache(1024)
def _known(provider: str) -> str | None:
    from genai_prices.data_snapshot import find_provider_by_id

    found = find_provider_by_id(_snapshot().providers, provider) if provider else None
    return None if found is None else found.id


def _look_up(provider: str | None, name: str) -> Found | None:
    try:
        at, model = _snapshot().find_provider_model(name, None, provider, None)
    except LookupError:
        return None
    return Found(at.id, model, name)


def schedule(provider: str, model: str, own: list[Rule], context: Context = ()) -> Schedule | None:
    """Return all prices of a model over time, or None if none is known.

    Args:
        provider: The provider as recorded.
        model: The model as recorded.
        own: Prices that the user set; they go before the library's.
        context: What else decides the rate: pairs of `service_tier`, `speed` or `geography` and a word.
    """
    found = find(provider, model)
    table = _table(found) if found else []
    layers = sorted(own, key=lambda rule: rule.rank)
    if not table and not layers:
        return None
    starts = sorted({edge for rule in layers for edge in (rule.since, rule.until) if edge is not None} | _dates(table))
    cuts = sorted({0} | _times(table))
    cells: list[Price | None] = []
    for i in range(len(starts) + 1):
        first = starts[i - 1] if i else min(starts, default=0) - 2 * DAY
        bounds = {
            "since": as_datetime(starts[i - 1] if i else None),
            "until": as_datetime(starts[i] if i < len(starts) else None),
        }
        for cut in cuts:
            rule = next((r for r in reversed(layers) if r.active(first)), None)
            price = rule.price if rule else _library_price(found, first, cut, context) if found else None
            cells.append(None if price is None else _dated(price, **bounds))
    return Schedule(starts, cuts, cells)


def _dated(price: Price, since: datetime | None, until: datetime | None) -> Price:
    return replace(price, since=since, until=until)


def _table(found: Found) -> list[Any]:
    prices = found.model.prices
    return list(prices) if isinstance(prices, list) else [prices]


def _dates(table: list[Any]) -> set[int]:
    found = (getattr(getattr(entry, "constraint", None), "start_date", None) for entry in table)
    return {moment(day) for day in found if day is not None}


def _times(table: list[Any]) -> set[int]:
    limits: list[Any] = [getattr(entry, "constraint", None) for entry in table]
    return {_of_day(t) for c in limits if hasattr(c, "start_time") for t in (c.start_time, c.end_time)}


def _of_day(time: Any) -> int:
    aware = datetime.combine(date(1970, 1, 2), time if time.tzinfo else time.replace(tzinfo=UTC))
    return moment(aware) % DAY


def _library_price(found: Found, first: int, cut: int, context: Context) -> Price | None:
    moment_of_day = EPOCH + timedelta(microseconds=first - first % DAY + cut)
    standard = found.model.get_prices(moment_of_day)
    if not context:
        return _converted(found, standard)
    variant = _variant(found.model, context, moment_of_day)
    return None if variant is None else _converted(found, variant)


def _variant(model: ModelInfo, context: Context, when: datetime) -> ModelPrice | None:
    """Return the prices in a context, or None if the library knows none.

    The library dates a variant from the day it was verified. Before that day it is used while the standard price is the
    same as on that day.
    """
    wanted = dict(context)
    if wanted.get("service_tier") == "batch":
        del wanted["service_tier"]
        wanted["processing"] = "batch"
    known = [variant for variant in model.price_variants or () if variant.when.items() <= wanted.items()]
    if {key for variant in known for key in variant.when} != wanted.keys():
        return None
    days = [day for variant in known if (day := getattr(variant.constraint, "start_date", None)) is not None]
    if days and when.date() < max(days):
        later = datetime(max(days).year, max(days).month, max(days).day, tzinfo=UTC)
        if model.get_prices(later) != model.get_prices(when):
            return None
        when = later
    return model.get_prices(when, wanted)


def _converted(found: Found, prices: ModelPrice) -> Price | None:
    known = {key: value for key, value in prices.__dict__.items() if value is not None}
    if not known and found.name.endswith(":free"):
        known = {"input_mtok": 0, "output_mtok": 0}
    if "input_mtok" not in known:
        return None
    starts = sorted({tier.start for value in known.values() for tier in getattr(value, "tiers", ())})

    def rates(above: int) -> Rates:
        def rate(key: str, otherwise: float) -> float:
            value = known.get(key)
            if value is None:
                return otherwise
            for tier in reversed(getattr(value, "tiers", ())):
                if above >= tier.start:
                    return float(tier.price / 10**6)
            return float(getattr(value, "base", value) / 10**6)

        fresh, out = rate("input_mtok", NAN), rate("output_mtok", NAN)
        written = rate("cache_write_mtok", fresh)
        # Audio costs up to 16 times what text costs; only Google's plain rates hold for it too.
        sound = found.provider == "google"
        return Rates(
            input=fresh,
            output=out,
            cache_read=rate("cache_read_mtok", fresh),
            cache_write=written,
            reasoning=rate("output_reasoning_mtok", out),
            cache_write_1h=rate("cache_write_1h_mtok", NAN if "cache_write_mtok" in known else written),
            audio_input=rate("input_audio_mtok", fresh if sound else NAN),
            audio_output=rate("output_audio_mtok", out if sound else NAN),
            image_input=rate("input_image_mtok", fresh),
            image_output=rate("output_image_mtok", out),
        )

    return Price(
        rates(-1),
        tuple((start, rates(start)) for start in starts),
        request=float(known.get("requests_kcount", 0)) / 1000,
        web_search=float(known["web_searches_kcount"]) / 1000 if "web_searches_kcount" in known else NAN,
        source=source(),
        provider=found.provider,
        model=found.model.id,
    )
