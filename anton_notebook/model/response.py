"""Inner: what a model answered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from anton_notebook.model.html_repr import html_facts
from anton_notebook.model.message_content import as_text, ends_with_answer, text_of, tool_calls_in
from anton_notebook.model.usage import DETAILS, Usage, count

_MOST = 2**53


@dataclass(frozen=True)
class Response:
    """What a model answered.

    `tool_calls` are dicts of `id`, `name` and `arguments` (a dict; text where the model wrote no valid JSON). `usage` takes a
    `Usage` or a dict of its fields. `raw` is the provider's own answer as JSON values.

    >>> Response("Hello", usage={"input_tokens": 3, "output_tokens": 1}).usage.output_tokens
    1
    """

    text: str = ""
    tool_calls: list[dict[str, Any]] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)
    finish_reason: str | None = None
    model: str | None = None
    raw: Any = field(default=None, repr=False, compare=False)

    def _repr_html_(self) -> str:
        calls = ", ".join(f"{call.get('name')}({call.get('arguments')})" for call in self.tool_calls)
        counts = {name.removesuffix("_tokens"): n for name, n in self.usage._asdict().items() if n is not None}
        tokens = ", ".join(f"{n:,} {name.replace('_', ' ')}" for name, n in counts.items())
        facts = {"text": self.text, "tool calls": calls, "tokens": tokens, "finished by": self.finish_reason}
        return html_facts(self.model or "an answer", "response", facts)

    def __post_init__(self) -> None:
        usage: Any = self.usage
        if not isinstance(usage, Usage):
            if usage is None:
                object.__setattr__(self, "usage", Usage())
            elif isinstance(usage, Mapping):
                object.__setattr__(self, "usage", Usage(**{k: usage[k] for k in Usage._fields if k in usage}))
            else:
                named = {k: getattr(usage, k, None) for k in Usage._fields}
                object.__setattr__(self, "usage", Usage(**named))
        checked = (_checked(name, value) for name, value in self.usage._asdict().items())
        object.__setattr__(self, "usage", Usage(*checked))

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Response:
        """The recorded answer of an LLM call. An answer that asked for tools may have no text."""
        said = record.get("response")
        calls = tool_calls_in(said) or tool_calls_in(record)
        raw = record.get("messages")
        if (
            not calls
            and isinstance(raw, list)
            and raw
            and isinstance(raw[-1], Mapping)
            and ends_with_answer(raw, record)
        ):
            calls = tool_calls_in(raw[-1])
        tokens = record.get("tokens")
        tokens = tokens if isinstance(tokens, Mapping) else {}
        mark = record.get("anton_notebook")
        details = mark.get("usage") if isinstance(mark, Mapping) else None
        counts: dict[str, Any] = (
            {name: details[name] for name in DETAILS if name in details} if isinstance(details, Mapping) else {}
        )
        counts |= {f"{name}_tokens": count(tokens.get(name)) for name in ("input", "output", "cached")}
        finish, model = as_text(record.get("finish_reason")) or None, as_text(record.get("model")) or None
        return cls(text_of(said), calls, Usage(**counts), finish, model, said)


def _checked(name: str, value: Any) -> Any:
    """A field of a usage as an answer may claim it: counts are whole numbers, the others short texts."""
    if name in ("service_tier", "speed", "geography"):
        return value if isinstance(value, str) and value else None
    return _count(value)


def _count(told: Any) -> int | None:
    """A count as a whole number; None for what counts nothing, such as -1, NaN or text."""
    try:
        return int(told) if 0 <= told <= _MOST and told == int(told) else None
    except (TypeError, ValueError, OverflowError):
        return None
