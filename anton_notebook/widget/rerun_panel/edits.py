"""Inner: a request as texts that people edit, the changes that edited texts mean, and the Python line that says the same."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from anton_notebook.model.request import Request

LONGEST = 8_000_000
MOST_ANSWERS = 50
PARTS = ("prompt", "system", "messages", "parameters", "tools")
_SURROGATES = re.compile("[\ud800-\udfff]")
_WIDE = 88


class Code(str):
    """Python that stands in a line as it is."""


def texts(request: Request) -> dict[str, str | None]:
    """What the editor shows of a request: plain text, or JSON. None where there is nothing to change.

    >>> texts(Request("openai", "gpt-4o", messages=[{"role": "user", "content": "Hi"}]))["prompt"]
    'Hi'
    """
    blocks = request.system is not None and not isinstance(request.system, str)
    return {
        "prompt": None if request.prompt is None else plain(request.prompt),
        "system": shown(request.system) if blocks else plain(request.system_text or ""),
        "messages": shown(request.messages),
        "parameters": shown(request.parameters),
        "tools": shown(request.tools or []),
    }


def plain(text: str) -> str:
    """Text that can cross to a page."""
    return _SURROGATES.sub("\ufffd", text)


def shown(value: Any) -> str:
    """A value as JSON that can be read and edited."""
    return plain(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def changes(request: Request, args: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The arguments of `rerun` that the edited texts in `args` mean, and the same as they stand in a Python line.

    A text that says what was recorded is no change. ValueError says which text cannot be read, and why.
    """
    before = texts(request)
    made: dict[str, Any] = {}
    for name in PARTS:
        after = args.get(name)
        if after is None or after == before[name] or before[name] is None:
            continue
        if not isinstance(after, str) or len(after) > LONGEST:
            raise ValueError(f"{name} must be a text of at most {LONGEST:,} characters")
        json_here = name in ("messages", "parameters", "tools") or not isinstance(request.system or "", str)
        if name == "prompt" or not json_here:
            made[name] = after
            continue
        value = _parsed(name, after)
        if value != json.loads(before[name] or "null"):
            made |= _structured(name, value, request)
    for name in ("model", "provider"):
        word = args.get(name)
        if word is not None and not (isinstance(word, str) and len(word) <= 300):
            raise ValueError(f"{name} must be a text of at most 300 characters")
        word = (word or "").strip()
        if word and word != getattr(request, name):
            made[name] = word
    count = args.get("n", 1)
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= MOST_ANSWERS:
        raise ValueError(
            f"answers: a whole number from 1 to {MOST_ANSWERS} is possible; more from Python, rerun(n=...)"
        )
    if count > 1:
        made["n"] = count
    said = dict(made)
    if "tools" in made and made["tools"] is None:
        made["tools"], said["tools"] = (lambda tools: None), Code("lambda tools: None")
    return made, said


def _parsed(name: str, text: str) -> Any:
    try:
        return json.loads(text) if text.strip() else ({} if name == "parameters" else [])
    except (ValueError, RecursionError) as error:
        why = f"{error.msg}, line {error.lineno}" if isinstance(error, json.JSONDecodeError) else "nested too deep"
        raise ValueError(f"{name} is no JSON: {why}") from None


def _structured(name: str, value: Any, request: Request) -> dict[str, Any]:
    if name == "parameters":
        if not isinstance(value, dict):
            raise ValueError('parameters must be a JSON object such as {"temperature": 0}')
        changed: dict[str, Any] = {
            key: inner for key, inner in value.items() if request.parameters.get(key, ...) != inner
        }
        return {"parameters": changed | {key: None for key in request.parameters if key not in value}}
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise ValueError(f"{name} must be a JSON list of objects")
    if name == "messages" and not value:
        raise ValueError("messages is empty: a request has at least one message")
    if name == "system":
        return {"system": [value] if value else ""}  # blocks: a list of lists is one value
    return {name: value or None}


def python(found: str, said: Mapping[str, Any]) -> str:
    """The line that does the same from Python.

    >>> print(python("traces.span('a')", {"prompt": "Hi", "n": 3}))
    df = anb.rerun(traces.span('a'), prompt='Hi', n=3)
    """
    given = {name: _literal(value, 4) for name, value in said.items()}
    line = f"df = anb.rerun({', '.join([found, *(f'{name}={value}' for name, value in given.items())])})"
    if len(line) <= _WIDE and "\n" not in line:
        return line
    inner = [f"    {found},", *(f"    {name}={value}," for name, value in given.items())]
    return "\n".join(["df = anb.rerun(", *inner, ")"])


def _literal(value: Any, indent: int) -> str:
    """A value as Python, laid out over several lines where it is long."""
    if isinstance(value, Code):
        return str(value)
    pad = " " * (indent + 4)
    if isinstance(value, str) and ("\n" in value.rstrip("\n") or len(value) > _WIDE):
        pieces = [repr(part) for part in value.splitlines(True)]
        return "(\n" + "\n".join(pad + piece for piece in pieces) + "\n" + " " * indent + ")"
    flat = repr(value)
    if len(flat) <= _WIDE - indent or not isinstance(value, dict | list) or not value:
        return flat
    if isinstance(value, dict):
        items = [f"{pad}{key!r}: {_literal(inner, indent + 4)}," for key, inner in value.items()]
        return "{\n" + "\n".join(items) + "\n" + " " * indent + "}"
    return "[\n" + "\n".join(f"{pad}{_literal(inner, indent + 4)}," for inner in value) + "\n" + " " * indent + "]"
