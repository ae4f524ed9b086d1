"""Inner: which recorded request a program's request equals, and, where none, which comes nearest and where it differs.

Compared is what the recording holds: model, system prompt, messages, tools and parameters, without the ids that vendors give to
tool calls, with what `normalize` names made equal. A request holds its whole conversation, so an equal one stands at the same
place of the same conversation; of several equal ones the first that was not asked yet is taken.
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
"""What agents write into their prompts anew in every run; `normalize` takes these names beside (regex, replacement)."""
Normalize = Sequence[str | tuple[str, str]]
SHORTEST = 6  # characters of a value that is put back into an answer
LOOKED_AT = 300
AROUND = 60


@dataclass
class Recorded:
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


class Rules:
    """What `normalize` means. ValueError names what is no rule."""

    def __init__(self, normalize: Normalize | None) -> None:
        self.rules: list[tuple[re.Pattern[str], str]] = []
        for rule in normalize if normalize is not None else tuple(PRESETS):
            if isinstance(rule, str) and rule in PRESETS:
                pattern, into = PRESETS[rule]
            elif isinstance(rule, tuple | list) and len(rule) == 2 and all(isinstance(word, str) for word in rule):
                pattern, into = rule
            else:
                raise ValueError(
                    f"normalize: {rule!r} is no rule; give (regex, replacement) or one of {', '.join(map(repr, PRESETS))}"
                )
            try:
                self.rules.append((re.compile(pattern), into))
            except re.error as error:
                raise ValueError(f"normalize: the regex {pattern!r} is wrong: {error}") from error

    def text(self, text: str, found: list[list[str]]) -> str:
        """The text made equal; what each rule took out of it goes to `found`."""
        for at, (pattern, into) in enumerate(self.rules):
            taken = found[at]

            def put(match: re.Match[str], taken: list[str] = taken, into: str = into) -> str:
                taken.append(match.group(0))
                return match.expand(into)

            text = pattern.sub(put, text)
        return text

    def value(self, value: Any, found: list[list[str]]) -> Any:
        """The same for every text of a value."""
        return each_text(value, lambda text: self.text(text, found))

    def empty(self) -> list[list[str]]:
        """A place for what the rules take out."""
        return [[] for _ in self.rules]


def each_text(value: Any, change: Callable[[str], str]) -> Any:
    """A copy of a value in which every text is changed; keys stay."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {key: each_text(inner, change) for key, inner in value.items()}
    if isinstance(value, list):
        return [each_text(inner, change) for inner in value]
    return value


def form(request: Request, lacking: Iterable[str]) -> dict[str, Any]:
    """What is compared of a request; `lacking` names what the recording does not hold."""
    lacking = set(lacking)
    parameters = {k: v for k, v in request.parameters.items() if k not in lacking}
    whole = {
        "model": request.model,
        "system": request.system_text,
        "messages": [_message(m) for m in request.messages if m.get("role") not in SYSTEM],
        "tools": request.tools or [],
        "parameters": parameters,
    }
    return {name: value for name, value in whole.items() if name not in lacking}


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
    """The recorded calls of a run, found again by what they asked."""

    def __init__(self, spans: Iterable[Any], normalize: Normalize | None) -> None:
        self.rules = Rules(normalize)
        self.calls: list[Recorded] = []
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
                Recorded(span, request, span.response, dict(body) if body else None, api, span.start, span.end)
            )
        self._kinds = sorted({call.request.missing for call in self.calls})
        self._by_key: dict[tuple[tuple[str, ...], bytes], list[Recorded]] = {}
        for call in self.calls:
            call.values = self.rules.empty()
            key = _key(self.rules.value(form(call.request, call.request.missing), call.values))
            self._by_key.setdefault((call.request.missing, key), []).append(call)

    def take(self, request: Request) -> tuple[Recorded, dict[str, str]] | None:
        """The recorded call that this request equals, and what stands in the recording for what in the program, or None."""
        for kind in self._kinds:
            found = self.rules.empty()
            key = _key(self.rules.value(form(request, kind), found))
            call = next((call for call in self._by_key.get((kind, key), ()) if not call.used), None)
            if call is not None:
                call.used = True
                return call, _pairs(call.values, found)
        return None

    def nearest(self, request: Request) -> tuple[Recorded, str, Any, Any] | None:
        """The unused recorded call that comes nearest, and the first place where it differs: (call, place, recorded, asked)."""
        best: tuple[float, Recorded] | None = None
        texts: dict[tuple[str, ...], str] = {}
        for call in [call for call in self.calls if not call.used][:LOOKED_AT]:
            kind = call.request.missing
            if kind not in texts:
                texts[kind] = _text(self.rules.value(form(request, kind), self.rules.empty()))
            recorded = _text(self.rules.value(form(call.request, kind), self.rules.empty()))
            score = similarity(recorded, texts[kind])
            if best is None or score > best[0]:
                best = (score, call)
        if best is None:
            return None
        call = best[1]
        kind = call.request.missing
        old, new = (self.rules.value(form(one, kind), self.rules.empty()) for one in (call.request, request))
        place, expected, actual = first_difference(old, new) or ("the same content, asked once more", None, None)
        return call, place, expected, actual


def _key(value: Any) -> bytes:
    return hashlib.blake2b(canonical(value), digest_size=20).digest()


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=0, default=str)


def _pairs(recorded: list[list[str]], found: list[list[str]]) -> dict[str, str]:
    """Recorded value -> the program's own, where the same rule took as many out of both and no value means two things."""
    out: dict[str, str] = {}
    two: set[str] = set()
    for olds, news in zip(recorded, found, strict=True):
        for old, new in zip(olds, news, strict=True) if len(olds) == len(news) else ():
            if len(old) >= SHORTEST and out.setdefault(old, new) != new:
                two.add(old)
    return {old: new for old, new in out.items() if old not in two and old != new}


def first_difference(old: Any, new: Any, place: str = "") -> tuple[str, Any, Any] | None:
    """Where two values differ first, in reading order: (place, old, new); of texts the part around it."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in [*old, *(key for key in new if key not in old)]:
            if key not in old or key not in new:
                return f"{place}/{key}", old.get(key), new.get(key)
            if found := first_difference(old[key], new[key], f"{place}/{key}"):
                return found
        return None
    if isinstance(old, list) and isinstance(new, list):
        for at, (one, other) in enumerate(zip(old, new, strict=False)):
            if found := first_difference(one, other, f"{place}/{at}"):
                return found
        if len(old) != len(new):
            at = min(len(old), len(new))
            return f"{place}/{at}", old[at] if at < len(old) else None, new[at] if at < len(new) else None
        return None
    if isinstance(old, str) and isinstance(new, str) and old != new:
        at = next((i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
        start = max(0, at - AROUND // 3)
        return f"{place} (character {at})", old[start : start + AROUND], new[start : start + AROUND]
    return (place, old, new) if canonical(old) != canonical(new) else None
