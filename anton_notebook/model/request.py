"""What went to a model and what came back, as values.

A `Request` holds messages, tools and parameters exactly as they were recorded, in the words of its provider's API: sent
unchanged it is the same request. A recorded line holds more than that (the answer may stand at the end of `messages`) and
less (tools, `max_tokens`): the first is taken off, the second named in `missing`.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from anton_notebook.errors import NotRerunnable
from anton_notebook.model.html_repr import html_facts
from anton_notebook.model.message_content import (
    ANTHROPIC,
    OLLAMA,
    OPENAI,
    SYSTEM,
    Message,
    as_text,
    canonical,
    checked,
    ends_with_answer,
    is_tool_result,
    parsed,
    provider_of,
    text_of,
    tool_calls_in,
    with_text,
)
from anton_notebook.model.response import Response
from anton_notebook.model.usage import Usage

__all__ = [
    "ANTHROPIC",
    "CLIENTS",
    "OLLAMA",
    "OPENAI",
    "OURS",
    "SYSTEM",
    "Message",
    "Request",
    "Response",
    "Usage",
    "canonical",
    "parsed",
    "provider_of",
    "text_of",
    "tool_calls_in",
]

Change = Any
"""A new value, or a function that takes the old value and gives the new one."""

OURS = frozenset({"stream", "stream_options"})
"""Parameters that we set ourselves: every answer is streamed."""

CLIENTS = frozenset(
    "api_key api_base base_url api_version organization headers default_headers extra_headers extra_query extra_body".split()
)
"""What programs hand to their client, not to a model: where it asks and as whom. Never taken from a recording."""

_APART = ("model", "messages", "system", "tools")

_ON_THE_LINE = (
    "tool_choice",
    "temperature",
    "max_tokens",
    "max_completion_tokens",
    "top_p",
    "top_k",
    "stop",
    "stop_sequences",
    "response_format",
    "seed",
    "thinking",
    "reasoning_effort",
)


@dataclass(frozen=True)
class Request:
    """Everything that goes to a model.

    `provider` is `anthropic`, `openai`, `ollama` or another name, `""` where it is not known. `system` is the system prompt
    where it is a value of its own (text, or blocks as recorded). `parameters` is what else stands in the request's body.
    `missing` names what the recording lacks; it is no part of the request and does not count for equality.

    >>> Request("openai", "gpt-4o", messages=[{"role": "user", "content": "Hi"}]).with_changes(prompt="Bye").prompt
    'Bye'
    """

    provider: str
    model: str
    system: str | list[Any] | None = None
    messages: list[Message] = field(default_factory=list)
    tools: list[Any] | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
    missing: tuple[str, ...] = field(default=(), compare=False)

    def _repr_html_(self) -> str:
        names = [
            tool.get("name") or (tool.get("function") or {}).get("name")
            for tool in self.tools or []
            if isinstance(tool, dict)
        ]
        facts = {
            "provider": self.provider, "system": self.system_text, "messages": f"{len(self.messages):,}", "prompt": self.prompt,
            "tools": ", ".join(str(name) for name in names), "missing": ", ".join(self.missing),
            "parameters": ", ".join(f"{name}={value!r}" for name, value in self.parameters.items()),
        }  # fmt: skip
        return html_facts(self.model, "request", facts)

    def __hash__(self) -> int:
        return hash(self.key())

    @classmethod
    def from_record(cls, record: Mapping[str, Any], source_kind: str = "jsonl") -> Request:
        """The request of a recorded LLM call (a line of the trace files, or a row of another source in the same keys).

        Raises `NotRerunnable` where the record holds no messages.
        """
        raw = record.get("messages")
        if not isinstance(raw, list) or not raw or not all(isinstance(message, Mapping) for message in raw):
            found = "none" if not raw else "something else"
            raise NotRerunnable(
                f"span {record.get('span_id')!r} has no request: its record should hold a list of messages and holds {found}; "
                "one can be made by hand: anton_notebook.model.request.Request(provider, model, messages=[...])"
            )
        messages = [dict(message) for message in raw]
        if ends_with_answer(messages, record):
            messages.pop()
        model = as_text(record.get("model"))
        given = record.get("parameters")
        parameters = {k: v for k, v in given.items() if k not in OURS | CLIENTS} if isinstance(given, Mapping) else {}
        for name in _ON_THE_LINE:
            if record.get(name) is not None:
                parameters.setdefault(name, record[name])
        for name in ("model", "messages"):
            parameters.pop(name, None)
        inner_system, inner_tools = parameters.pop("system", None), parameters.pop("tools", None)
        system = record.get("system_prompt") or record.get("system") or inner_system or None
        tools = record.get("tools") if record.get("tools") is not None else inner_tools
        provider = provider_of(as_text(record.get("provider")), model)
        made = cls(
            provider,
            model,
            system if isinstance(system, str | list) else None,
            messages,
            list(tools) if isinstance(tools, list) and tools else None,
            parameters,
        )
        return replace(made, missing=tuple(_lacking(made, record, source_kind, tools is not None)))

    # -- looking at it

    @property
    def prompt(self) -> str | None:
        """The text of the last user message that is no tool result; `None` where there is none."""
        at = self._prompt_at()
        return None if at is None else text_of(self.messages[at].get("content"))

    @property
    def system_text(self) -> str | None:
        """The system prompt as text, wherever it stands; `None` where there is none."""
        if self.system is not None:
            return text_of(self.system)
        found = [text_of(m.get("content")) for m in self.messages if m.get("role") in SYSTEM]
        return "\n".join(found) if found else None

    def as_dict(self) -> dict[str, Any]:
        """The request as plain JSON values."""
        return {
            "provider": self.provider, "model": self.model, "system": self.system, "messages": self.messages,
            "tools": self.tools, "parameters": self.parameters,
        }  # fmt: skip

    def key(self) -> str:
        """A fingerprint (64 hex digits): equal for equal requests, whatever the order of their keys."""
        return hashlib.sha256(canonical(self.as_dict())).hexdigest()

    # -- changing it

    def with_changes(
        self,
        *,
        prompt: Change = None,
        system: Change = None,
        messages: Change = None,
        model: Change = None,
        provider: str | None = None,
        parameters: Change = None,
        tools: Change = None,
    ) -> Request:
        """A changed copy. `None` keeps; a function takes the old value and gives the new one.

        `prompt` replaces the text of the last user message that is no tool result (tool results in it and images stay),
        `system=""` removes the system prompt, `parameters` are merged over the old ones and a `None` in them removes one.
        A model of another provider brings its provider along. Messages stay in the words of the old provider's API; they
        are translated when they are sent. Raises `NotRerunnable` where there is no prompt to replace.
        """
        made = self
        if messages is not None:
            value = messages(copy.deepcopy(made.messages)) if callable(messages) else messages
            made = replace(made, messages=checked(value))
        if prompt is not None:
            made = made._with_prompt(prompt)
        if system is not None:
            made = made._with_system(system)
        if tools is not None:
            value = tools(copy.deepcopy(made.tools)) if callable(tools) else tools
            made = replace(made, tools=list(value) if value else None, missing=_without(made.missing, "tools"))
        if parameters is not None:
            value = parameters(copy.deepcopy(made.parameters)) if callable(parameters) else parameters
            if not isinstance(value, Mapping):
                raise TypeError(f"parameters must be a dict such as {{'temperature': 0}}, found {value!r}")
            if apart := [name for name in _APART if name in value]:
                raise ValueError(f"parameters has {apart[0]!r}, which is no parameter: give {apart[0]}=... beside it")
            merged = {k: v for k, v in {**made.parameters, **value}.items() if k not in OURS}
            removed = [k for k, v in value.items() if v is None]
            merged = {k: v for k, v in merged.items() if k not in removed}
            made = replace(made, parameters=merged, missing=_without(made.missing, *value))
        if model is not None:
            name = str(model(made.model) if callable(model) else model)
            made = replace(made, model=name, provider=provider_of("", name) or made.provider)
        if provider is not None:
            made = replace(made, provider=provider_of(provider, made.model))
        return made

    def _prompt_at(self) -> int | None:
        for at in range(len(self.messages) - 1, -1, -1):
            message = self.messages[at]
            if message.get("role") == "user" and not is_tool_result(self.messages, at):
                return at
        return None

    def _with_prompt(self, prompt: Change) -> Request:
        at = self._prompt_at()
        if at is None:
            roles = ", ".join(dict.fromkeys(str(m.get("role")) for m in self.messages)) or "no message"
            raise NotRerunnable(
                f"prompt= replaces the last message of the user that is no tool result, and there is none here (roles: {roles}); "
                "give messages=[...] instead"
            )
        message = self.messages[at]
        old = message.get("content")
        new = prompt(text_of(old)) if callable(prompt) else prompt
        if not isinstance(new, str):
            raise TypeError(f"prompt must be text, or a function from text to text, found {type(new).__name__}")
        changed = list(self.messages)
        changed[at] = {**message, "content": with_text(old, new)}
        return replace(self, messages=changed)

    def _with_system(self, system: Change) -> Request:
        inside = [m for m in self.messages if m.get("role") in SYSTEM] if self.system is None else []
        old = self.system_text or ""
        new = system(old) if callable(system) else system
        if not isinstance(new, str | list):
            raise TypeError(f"system must be text (or Anthropic's list of blocks), found {type(new).__name__}")
        missing = _without(self.missing, "system")
        if not inside:
            return replace(self, system=new or None, missing=missing)
        first, messages = inside[0], []
        for message in self.messages:
            if message is first and new:
                messages.append({**message, "content": new})
            elif message.get("role") not in SYSTEM:
                messages.append(message)
        return replace(self, messages=messages, missing=missing)


def _lacking(request: Request, record: Mapping[str, Any], source_kind: str, has_tools: bool) -> list[str]:
    named = record.get("missing")
    out = [name for name in named if isinstance(name, str)] if isinstance(named, list) else []
    unsaid = record.get("event_type") is not None or (source_kind == "proxy" and request.provider == ANTHROPIC)
    if request.system_text is None and unsaid:
        out.append("system")
    if not has_tools:
        out.append("tools")
    if not request.parameters and not isinstance(record.get("parameters"), Mapping):
        out.append("parameters")
    if request.provider == ANTHROPIC and "max_tokens" not in request.parameters:
        out.append("max_tokens")
    if not request.model:
        out.append("model")
    return list(dict.fromkeys(out))


def _without(missing: tuple[str, ...], *names: str) -> tuple[str, ...]:
    return tuple(name for name in missing if name not in names)
