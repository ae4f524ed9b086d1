"""Inner: what is to be asked: the recorded request, and the variants that lists of changes multiply to."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

from anton_notebook import llm
from anton_notebook.errors import NotRerunnable
from anton_notebook.model.request import ANTHROPIC, OPENAI, Request, canonical, provider_of

BASELINE = 0


@dataclass(frozen=True)
class Original:
    """The recorded call that an experiment is about; of a request made by hand only the request."""

    request: Request
    response: str | None = None
    tool_calls: Sequence[Mapping[str, Any]] = ()
    span_id: str | None = None
    trace_id: str | None = None
    agent: str | None = None
    cost_usd: float = math.nan
    duration_ms: float = math.nan
    home: Path | None = None

    @classmethod
    def of(cls, span: Any) -> Original:
        """The call of a span (or a `Request`). Raises `NotRerunnable` on a span that is no LLM call."""
        if isinstance(span, Request):
            return cls(span)
        try:
            request = span.request
        except AttributeError:
            raise TypeError(
                f"rerun takes a span (traces.span(span_id)) or an anton_notebook.model.request.Request, found {type(span).__name__}"
            ) from None
        answer = span.response
        answered = not span.error and (bool(answer.text) or bool(answer.tool_calls) or span.status == "ok")
        took = span.duration_ms
        home = getattr(span, "home", None)
        return cls(
            request, answer.text if answered else None, answer.tool_calls, span.span_id, span.trace_id, span.agent,
            span.cost_usd, math.nan if took is None else float(took), Path(home) if home is not None else None,
        )  # fmt: skip


@dataclass(frozen=True)
class Variant:
    """One changed request, and whom it goes to. `sent` is the request in that provider's words."""

    number: int
    request: Request
    sent: Request
    provider: Any
    provider_name: str
    label: str
    body: Mapping[str, Any]
    assumed: Mapping[str, Any]

    @property
    def cache_key(self) -> str | None:
        """What the answer depends on besides the request; None where answers are not to be kept."""
        kind = type(self.provider)
        found = getattr(self.provider, "cache_key", f"{kind.__module__}.{kind.__qualname__}")
        return found if isinstance(found, str) else None

    def fingerprint(self) -> str | None:
        """The key of its answers in the cache."""
        if self.cache_key is None:
            return None
        return hashlib.sha256(canonical([self.cache_key, self.body])).hexdigest()


@dataclass(frozen=True)
class Call:
    """One call that a sweep makes: a variant, which repeat of it, and which of its kind among equal requests."""

    variant: Variant
    repeat: int
    fingerprint: str | None
    nth: int


@dataclass
class Plan:
    """All calls of a sweep, in order, baseline first."""

    original: Original
    variants: list[Variant]
    calls: list[Call]
    assumed: dict[str, Any] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    name: str = ""


def plan(
    span: Any,
    *,
    prompt: Any = None,
    system: Any = None,
    messages: Any = None,
    model: Any = None,
    provider: Any = None,
    parameters: Any = None,
    tools: Any = None,
    n: int = 1,
    baseline: int = 0,
) -> Plan:
    """Lists multiply; a list of dicts is one value of `messages` or `tools`. Nothing is asked here."""
    for name, value, least in (("n", n, 1), ("baseline", baseline, 0)):
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ValueError(f"{name}={value!r}: a whole number of {least} or more is possible")
    original = Original.of(span)
    axes = {
        "prompt": _values(prompt), "system": _values(system), "messages": _of_lists(messages), "model": _values(model),
        "provider": _values(provider), "parameters": _values(parameters), "tools": _of_lists(tools),
    }  # fmt: skip
    empty = [name for name, values in axes.items() if not values]
    if empty:
        raise ValueError(f"{empty[0]}=[] gives no variant; leave it out to keep what was recorded")
    variants = (
        [] if not baseline else [variant_of(BASELINE, original.request, _unchanged(provider, original), "baseline")]
    )
    for number, chosen in enumerate(product(*axes.values()), start=1):
        values = dict(zip(axes, chosen, strict=True))
        whom = values.pop("provider")
        whose: str | None = whom if isinstance(whom, str) else None
        label = ", ".join(
            f"{axis} {axes[axis].index(v) + 1}" for axis, v in zip(axes, chosen, strict=True) if len(axes[axis]) > 1
        )
        changed = original.request.with_changes(**values, provider=whose)
        variants.append(variant_of(number, changed, whom, label or "changed", original.request))
    repeats = [(v, r) for v in variants for r in range(1, (baseline if v.number == BASELINE else n) + 1)]
    seen: dict[str | None, int] = {}
    prints = {v.number: v.fingerprint() for v in variants}
    calls = []
    for variant, repeat in repeats:
        mark = prints[variant.number]
        nth = repeat
        if mark is not None:  # equal requests of one sweep are repeats of each other
            nth = seen[mark] = seen.get(mark, 0) + 1
        calls.append(Call(variant, repeat, mark, nth))
    assumed = {name: value for v in variants for name, value in v.assumed.items()}
    missing = list(dict.fromkeys(name for v in variants for name in v.request.missing))
    return Plan(original, variants, calls, assumed, missing, _name(original, axes, n, baseline))


def _name(original: Original, axes: Mapping[str, Sequence[Any]], n: int, baseline: int) -> str:
    """What is tried, and of which call, in a line."""
    tried = [(axis, len(values)) for axis, values in axes.items() if len(values) > 1 or values[0] is not None]
    words = " \u00d7 ".join(
        _other(axis) if count == 1 else _counted(count, axis.removesuffix("s")) for axis, count in tried
    )
    more = [f"{n} each" if len(tried) else f"{n} times"] if n > 1 else []
    more += [f"baseline of {baseline}"] if baseline else []
    whom = [word for word in (original.agent, original.request.model) if word]
    span = [f"({original.span_id[:8]})"] if original.span_id else []
    return " ".join(
        [", ".join([words or "unchanged", *more]), "\u2013", *([" \u00b7 ".join(whom)] if whom else []), *span]
    )


def _other(axis: str) -> str:
    return f"{'other' if axis.endswith('s') else 'another'} {axis}"


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun if count == 1 else noun + 's'}"


def _unchanged(provider: Any, original: Original) -> Any:
    """Whom the unchanged request goes to: who is recorded, or the one object given that takes such requests as they are."""
    if provider is None or isinstance(provider, str | list | tuple):
        return None
    return provider if llm.family_of(provider) in (None, _family(original.request.provider)) else None


def _values(given: Any) -> list[Any]:
    return list(given) if isinstance(given, list | tuple) else [given]


def _of_lists(given: Any) -> list[Any]:
    """Values that are lists themselves: a list of dicts is one, a list of lists (or functions) several."""
    if isinstance(given, list | tuple) and (not given or not all(isinstance(item, Mapping) for item in given)):
        return list(given)
    return [list(given) if isinstance(given, tuple) else given]


def variant_of(number: int, request: Request, whom: Any, label: str, recorded: Request | None = None) -> Variant:
    provider = llm.get(request.provider if whom is None or isinstance(whom, str) else whom, request.model)
    named = getattr(provider, "name", None)
    name = named if isinstance(named, str) and named else request.provider
    if not request.model:
        raise NotRerunnable("the recording does not say which model was asked; give model='...'")
    target, before = llm.family_of(provider), _family(recorded.provider if recorded is not None else request.provider)
    moved = target is not None and ((recorded is not None and target != before) or llm.foreign(request, target))
    sent = llm.translated(request, target) if moved and target is not None else request
    if isinstance(provider, llm.Sdk):
        body, assumed = provider.body(sent)
    else:
        body, assumed = plain_body(sent), {}
    return Variant(number, request, sent, provider, name, label, body, assumed)


def plain_body(request: Request) -> dict[str, Any]:
    """What goes to a provider of one's own, laid out as the body of a call."""
    return {
        **request.parameters, "model": request.model, "system": request.system, "messages": request.messages, "tools": request.tools
    }  # fmt: skip


def _family(provider: str) -> str | None:
    name = provider_of(provider, "")
    return ANTHROPIC if name == ANTHROPIC else OPENAI if name else None
