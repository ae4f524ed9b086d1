"""Which recorded request a program's request equals, else which is nearest and where it differs.

Compared are model, system prompt, messages, tools and parameters, as far as recorded, without the ids that vendors give to
tool calls, and after `normalize`. A request holds its whole conversation, so an equal one is at the same place of the same
conversation; of several equal ones the first unused one is taken.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from anton_notebook.errors import AntonNotebookError
from anton_notebook.experiments.compare.text_diff import similarity
from anton_notebook.model.request import SYSTEM, Message, Request, Response, canonical, text_of, tool_calls_in
from anton_notebook.model.span import LLM

PRESETS: dict[str, tuple[str, str]] = {
    "uuid": (r"(?i)\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", "<uuid>"),
    "iso-time": (r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d:?\d\d)?(?!\d)", "<time>"),
    "anton-task": (r"\b[0-9a-f]{8}(?=_st_\d)|(?i:(?<=task_id: )|(?<=Task ID: ))[0-9a-f]{8}\b", "<task>"),
}
"""Texts that differ in every run, by the names that `normalize` accepts: (regex, replacement)."""
Normalize = Sequence[str | tuple[str, str]]
SHORTEST = 6
"""Characters of a value that is replaced in answers."""
MOST_COMPARED = 300
CONTEXT = 60


@dataclass
class RecordedCall:
    """One recorded call."""

    span: Any
    request: Request
    response: Response
    body: dict[str, Any] | None
    api: str | None
    start: datetime | None
    end: datetime | None
    used: bool = False
    values: list[list[str]] = field(default_factory=list)


class NormalizeRules:
    """The rules of `normalize`. Raises ValueError for an invalid rule."""

    def __init__(self, normalize: Normalize | None) -> None:
        self.rules: list[tuple[re.Pattern[str], str]] = []
        for rule in normalize if normalize is not None else tuple(PRESETS):
            if isinstance(rule, str) and rule in PRESETS:
                pattern, into = PRESETS[rule]
            elif isinstance(rule, tuple | list) and len(rule) == 2 and all(isinstance(word, str) for word in rule):
                pattern, into = rule
            else:
                raise ValueError(
                    f"normalize: {rule!r} is not a rule; use (regex, replacement) or one of {', '.join(map(repr, PRESETS))}"
                )
            try:
                self.rules.append((re.compile(pattern), into))
            except re.error as error:
                raise ValueError(f"normalize: the regex {pattern!r} is invalid: {error}") from error

    def text(self, text: str, removed: list[list[str]]) -> str:
        """Return the normalized text; the values that each rule removed are added to `removed`."""
        for at, (pattern, into) in enumerate(self.rules):
            taken = removed[at]

            def replacement(match: re.Match[str], taken: list[str] = taken, into: str = into) -> str:
                taken.append(match.group(0))
                return match.expand(into)

            text = pattern.sub(replacement, text)
        return text

    def value(self, value: Any, removed: list[list[str]]) -> Any:
        """Return a copy of a value with every text normalized."""
        return map_texts(value, lambda text: self.text(text, removed))

    def empty(self) -> list[list[str]]:
        """Return an empty list for each rule."""
        return [[] for _ in self.rules]


def map_texts(value: Any, change: Callable[[str], str]) -> Any:
    """Return a copy of a JSON value with a function applied to every text; keys stay."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {key: map_texts(inner, change) for key, inner in value.items()}
    if isinstance(value, list):
        return [map_texts(inner, change) for inner in value]
    return value


def comparable(request: Request, missing: Iterable[str]) -> dict[str, Any]:
    """Return the parts of a request that are compared; `missing` names the parts that the recording lacks."""
    absent = set(missing)
    parameters = {k: v for k, v in request.parameters.items() if k not in absent}
    whole = {
        "model": request.model,
        "system": request.system_text,
        "messages": [_message(m) for m in request.messages if m.get("role") not in SYSTEM],
        "tools": request.tools or [],
        "parameters": parameters,
    }
    return {name: value for name, value in whole.items() if name not in absent}


def _message(message: Message) -> dict[str, Any]:
    out: dict[str, Any] = {"role": message.get("role"), "text": text_of(message.get("content"))}
    calls = [[call["name"], call["arguments"]] for call in tool_calls_in(message)]
    results, others = [], []
    content = message.get("content")
    for block in content if isinstance(content, list) else ():
        kind = block.get("type") if isinstance(block, Mapping) else "text"
        if kind == "tool_result":
            inner = block.get("content")
            results.append([text_of(inner), block.get("is_error") is True])
        elif kind not in ("text", "input_text", "output_text", "tool_use") and isinstance(block, Mapping):
            others.append({k: v for k, v in block.items() if k != "cache_control"})
    named = (("calls", calls), ("results", results), ("others", others))
    return out | {name: value for name, value in named if value}


class Matcher:
    """The recorded calls of a run, looked up by their requests."""

    def __init__(self, spans: Iterable[Any], normalize: Normalize | None) -> None:
        self.rules = NormalizeRules(normalize)
        self.calls: list[RecordedCall] = []
        for span in spans:
            if span.kind != LLM:
                continue
            try:
                request = span.request
            except AntonNotebookError:
                continue
            record = span.record
            body = record.get("answer") if isinstance(record.get("answer"), Mapping) else None
            api = record.get("api") if isinstance(record.get("api"), str) else None
            self.calls.append(
                RecordedCall(span, request, span.response, dict(body) if body else None, api, span.start, span.end)
            )
        self._kinds = sorted({call.request.missing for call in self.calls})
        self._by_key: dict[tuple[tuple[str, ...], bytes], list[RecordedCall]] = {}
        for call in self.calls:
            call.values = self.rules.empty()
            key = _key(self.rules.value(comparable(call.request, call.request.missing), call.values))
            self._by_key.setdefault((call.request.missing, key), []).append(call)

    def take(self, request: Request) -> tuple[RecordedCall, dict[str, str]] | None:
        """Return the recorded call that a request equals, and recorded value -> the program's value; None if there is none."""
        for kind in self._kinds:
            removed = self.rules.empty()
            key = _key(self.rules.value(comparable(request, kind), removed))
            call = next((call for call in self._by_key.get((kind, key), ()) if not call.used), None)
            if call is not None:
                call.used = True
                return call, _pairs(call.values, removed)
        return None

    def nearest(self, request: Request) -> tuple[RecordedCall, str, Any, Any] | None:
        """Return the nearest unused call and the first difference: (call, place, recorded, sent)."""
        best: tuple[float, RecordedCall] | None = None
        texts: dict[tuple[str, ...], str] = {}
        for call in [call for call in self.calls if not call.used][:MOST_COMPARED]:
            kind = call.request.missing
            if kind not in texts:
                texts[kind] = _text(self.rules.value(comparable(request, kind), self.rules.empty()))
            recorded = _text(self.rules.value(comparable(call.request, kind), self.rules.empty()))
            score = similarity(recorded, texts[kind])
            if best is None or score > best[0]:
                best = (score, call)
        if best is None:
            return None
        call = best[1]
        kind = call.request.missing
        old, new = (self.rules.value(comparable(one, kind), self.rules.empty()) for one in (call.request, request))
        place, expected, actual = first_difference(old, new) or ("the same content, sent once more", None, None)
        return call, place, expected, actual


def _key(value: Any) -> bytes:
    return hashlib.blake2b(canonical(value), digest_size=20).digest()


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=0, default=str)


def _pairs(recorded: list[list[str]], sent: list[list[str]]) -> dict[str, str]:
    """Old value -> the program's value, if a rule removed as many from both and no value is ambiguous."""
    pairs: dict[str, str] = {}
    ambiguous: set[str] = set()
    for olds, news in zip(recorded, sent, strict=True):
        for old, new in zip(olds, news, strict=True) if len(olds) == len(news) else ():
            if len(old) >= SHORTEST and pairs.setdefault(old, new) != new:
                ambiguous.add(old)
    return {old: new for old, new in pairs.items() if old not in ambiguous and old != new}


def first_difference(old: Any, new: Any, place: str = "") -> tuple[str, Any, Any] | None:
    """Return the first difference in reading order: (place, old, new), of texts the part around it; None if equal."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in [*old, *(key for key in new if key not in old)]:
            if key not in old or key not in new:
                return f"{place}/{key}", old.get(key), new.get(key)
            if difference := first_difference(old[key], new[key], f"{place}/{key}"):
                return difference
        return None
    if isinstance(old, list) and isinstance(new, list):
        for at, (one, other) in enumerate(zip(old, new, strict=False)):
            if difference := first_difference(one, other, f"{place}/{at}"):
                return difference
        if len(old) != len(new):
            at = min(len(old), len(new))
            return f"{place}/{at}", old[at] if at < len(old) else None, new[at] if at < len(new) else None
        return None
    if isinstance(old, str) and isinstance(new, str) and old != new:
        at = next((i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
        start = max(0, at - CONTEXT // 3)
        return f"{place} (character {at})", old[start : start + CONTEXT], new[start : start + CONTEXT]
    return (place, old, new) if canonical(old) != canonical(new) else None
