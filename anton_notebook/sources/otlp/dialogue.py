"""What a model was asked and answered, from the attributes, events and log records of its span.

Every vocabulary has its place in the tables below; the first that holds anything is read. See `messages.py` for the wordings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from anton_notebook.sources.anton.line_schema import Fault
from anton_notebook.sources.otlp import messages as wording
from anton_notebook.sources.otlp.messages import Message
from anton_notebook.sources.otlp.values import as_json, dumps, parsed

DETAILS = ("gen_ai.client.inference.operation.details", "gen_ai.content.prompt", "gen_ai.content.completion")
_EVENT_ROLES = {
    "gen_ai.system.message": "system", "gen_ai.user.message": "user", "gen_ai.assistant.message": "assistant",
    "gen_ai.tool.message": "tool",
}  # fmt: skip
_CHOICE = "gen_ai.choice"
_INPUT = (
    "gen_ai.input.messages", "gen_ai.prompt", "langfuse.observation.input", "ai.prompt.messages", "ai.prompt",
    "pydantic_ai.all_messages",
)  # fmt: skip
_OUTPUT = ("gen_ai.output.messages", "gen_ai.completion", "langfuse.observation.output")
MESSAGE_LISTS = ("gen_ai.prompt", "llm.prompts", "llm.input_messages")
_OUTPUT_LISTS = ("gen_ai.completion", "llm.completions", "llm.choices", "llm.output_messages")
_EVENT_LISTS = ("events", "all_messages_events")
"""Attributes in which logfire and pydantic-ai keep the events of a call."""
_RAW_INPUT = ("input.value", "traceloop.entity.input")
_RAW_OUTPUT = ("output.value", "traceloop.entity.output")
_SYSTEM = ("gen_ai.system_instructions", "gen_ai.request.instructions")
_VERCEL_TEXT, _VERCEL_CALLS, _VERCEL_OBJECT = "ai.response.text", "ai.response.toolCalls", "ai.response.object"
_VERCEL_REASONING = "ai.response.reasoning"


@dataclass(slots=True)
class Dialogue:
    """A call's messages, answer and system prompt; `from_keys` names the attributes and events they were read from."""

    messages: list[Message] = field(default_factory=list)
    response: Any = ""
    system: str | None = None
    finish_reason: str | None = None
    choices: list[Message] = field(default_factory=list)
    from_keys: list[str] = field(default_factory=list)


def read(attributes: Mapping[str, Any], events: Sequence[Mapping[str, Any]], faults: list[Fault]) -> Dialogue:
    """Read the dialogue of a call. Text that should be JSON but is not is kept as text and reported in `faults`."""
    whole = dict(attributes)
    events = [*events, *_listed_events(whole)]
    for event in events:
        if event.get("name") in DETAILS:
            body = event.get("body")
            for source in (event["attributes"], body if isinstance(body, dict) else {}):
                whole.update({key: value for key, value in source.items() if key not in whole})
    out = Dialogue()
    choices = _merged(_output(whole, events, out, faults))
    out.messages = _input(whole, events, out, faults)
    if choices:
        first = choices[0]
        out.choices = choices
        out.finish_reason = next((c["finish_reason"] for c in choices if c.get("finish_reason")), None)
        first.pop("finish_reason", None)
        plain = isinstance(first.get("content"), str) and not first.get("tool_calls")
        out.response = first["content"] if plain and "reasoning_content" not in first else first
    system = next((text for key in _SYSTEM if (text := wording.text_in(as_json(whole, key, faults)))), None)
    out.system = system or None
    first_text = wording.text_in(out.messages[0].get("content")) if out.messages else ""
    if system and out.messages[:1] and out.messages[0].get("role") == "system" and first_text.strip() == system.strip():
        out.messages = out.messages[1:]
    return out


def _merged(answers: list[Message]) -> list[Message]:
    """Return the choices of an answer: items of one output are joined, alternatives (`n` > 1) stay apart."""
    if len(answers) < 2 or all(answer.get("finish_reason") for answer in answers):
        return answers
    whole = answers[0]
    for answer in answers[1:]:
        whole = wording.joined(whole, answer)
    return [whole]


def _input(
    whole: Mapping[str, Any], events: Sequence[Mapping[str, Any]], out: Dialogue, faults: list[Fault]
) -> list[Message]:
    for key in _INPUT:
        if whole.get(key) is not None and (messages := wording.messages_in(as_json(whole, key, faults), "user")):
            out.from_keys.append(key)
            return messages
    for prefix in MESSAGE_LISTS:
        messages = _numbered(whole, prefix, "user")
        if messages:
            out.from_keys.append(prefix)
            return wording.merge_split_turns(messages)
    listed = [event for event in events if event.get("name") in _EVENT_ROLES]
    if listed:
        out.from_keys.append("gen_ai.*.message")
        found = [
            message
            for event in listed
            for message in wording.message_of({"role": _EVENT_ROLES[event["name"]], **fields_of(event)}, "user")
        ]
        return wording.merge_split_turns(found)
    for key in _RAW_INPUT:
        if whole.get(key) is not None:
            out.from_keys.append(key)
            return _raw(whole[key], "user")
    return []


def _output(
    whole: Mapping[str, Any], events: Sequence[Mapping[str, Any]], out: Dialogue, faults: list[Fault]
) -> list[Message]:
    empty: list[Message] = []
    for key in _OUTPUT:
        if whole.get(key) is not None:
            messages = wording.messages_in(as_json(whole, key, faults), "assistant")
            if any(_says_something(message) for message in messages):
                out.from_keys.append(key)
                return messages
            empty = empty or messages
    for prefix in _OUTPUT_LISTS:
        messages = _numbered(whole, prefix, "assistant")
        if messages:
            out.from_keys.append(prefix)
            return messages
    choices = [m for e in events if e.get("name") == _CHOICE for m in wording.message_of(_choice(e), "assistant")]
    if choices:
        out.from_keys.append(_CHOICE)
        return choices
    vercel = _vercel_answer(whole)
    if vercel:
        out.from_keys.append("ai.response")
        return vercel
    if empty:
        return empty
    for key in _RAW_OUTPUT:
        if whole.get(key) is not None:
            out.from_keys.append(key)
            return _raw(whole[key], "assistant")
    return []


def _says_something(message: Message) -> bool:
    return bool(message.get("content") or message.get("tool_calls") or message.get("reasoning_content"))


def _choice(event: Mapping[str, Any]) -> dict[str, Any]:
    fields = {key: value for key, value in fields_of(event).items() if key not in ("index", "id", "tool.result")}
    return {"role": "assistant", **fields}


def _vercel_answer(whole: Mapping[str, Any]) -> list[Message]:
    text = whole.get(_VERCEL_TEXT, whole.get(_VERCEL_OBJECT))
    calls = parsed(whole.get(_VERCEL_CALLS))
    if text is None and not isinstance(calls, list):
        return []
    message = {"role": "assistant", "content": text, "tool_calls": calls if isinstance(calls, list) else []}
    return wording.message_of({**message, "reasoning": whole.get(_VERCEL_REASONING)}, "assistant")


def _numbered(whole: Mapping[str, Any], prefix: str, role: str) -> list[Message]:
    items = wording.numbered(whole, prefix)
    return [message for item in items for message in wording.message_of(wording.unwrapped(item), role)]


def _raw(value: Any, role: str) -> list[Message]:
    """Return the messages in a recorded request or answer; a text, or an object of another kind, as one message."""
    decoded = parsed(value)
    known = ("messages", "generations", "choices", "contents", "prompts", "candidates", "role", "tool_calls", "content")
    is_items = isinstance(decoded, list) and all(
        isinstance(item, Mapping) and ("role" in item or "type" in item) for item in decoded
    )
    if (isinstance(decoded, Mapping) and any(key in decoded for key in (*known, "output", "input"))) or is_items:
        messages = wording.messages_in(decoded, role)
        if messages:
            return messages
    return [{"role": role, "content": value if isinstance(value, str) else dumps(value)}]


def fields_of(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of an event, those of its body included."""
    body = event.get("body")
    attributes = event["attributes"]
    content = parsed(attributes.get("gen_ai.event.content"))
    inner = content if isinstance(content, dict) else {}
    return {**attributes, **inner, **(body if isinstance(body, dict) else {})}


def _listed_events(whole: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the events that stand as a list in an attribute."""
    out: list[dict[str, Any]] = []
    for key in _EVENT_LISTS:
        listed = parsed(whole.get(key))
        for event in listed if isinstance(listed, list) else ():
            if isinstance(event, dict) and isinstance(event.get("event.name"), str):
                out.append({"name": event["event.name"], "attributes": event})
    return out
