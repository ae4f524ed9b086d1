"""An edited request: its texts for the editor, the changes that edited texts mean, and the same call as Python."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from anton_notebook.model.request import Request

TEXT_LIMIT = 8_000_000  # characters
ANSWER_LIMIT = 50
PARTS = ("prompt", "system", "messages", "parameters", "tools")
_SURROGATES = re.compile("[\ud800-\udfff]")
_LINE_LENGTH = 88


class Code(str):
    """Python code that is inserted unchanged."""


def request_texts(request: Request) -> dict[str, str | None]:
    """Return the texts of a request for the editor: plain text or JSON, None if the part cannot be edited.

    >>> request_texts(Request("openai", "gpt-4o", messages=[{"role": "user", "content": "Hi"}]))["prompt"]
    'Hi'
    """
    blocks = request.system is not None and not isinstance(request.system, str)
    return {
        "prompt": None if request.prompt is None else plain_text(request.prompt),
        "system": to_json(request.system) if blocks else plain_text(request.system_text or ""),
        "messages": to_json(request.messages),
        "parameters": to_json(request.parameters),
        "tools": to_json(request.tools or []),
    }


def plain_text(text: str) -> str:
    """Return text without unpaired surrogates."""
    return _SURROGATES.sub("\ufffd", text)


def to_json(value: Any) -> str:
    """Return a value as indented JSON."""
    return plain_text(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def changes(request: Request, args: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the arguments of `rerun` for edited texts.

    Args:
        request: The recorded request.
        args: Edited texts by part. A text equal to the recorded one changes nothing.

    Returns:
        The keyword arguments, and the same for display as Python.

    Raises:
        ValueError: A text cannot be parsed; the message names it.
    """
    before = request_texts(request)
    keywords: dict[str, Any] = {}
    for name in PARTS:
        after = args.get(name)
        # Text equal to the recorded one must not turn into an argument: the request would differ in its JSON layout.
        if after is None or after == before[name] or before[name] is None:
            continue
        if not isinstance(after, str) or len(after) > TEXT_LIMIT:
            raise ValueError(f"{name} must be a text of at most {TEXT_LIMIT:,} characters")
        json_here = name in ("messages", "parameters", "tools") or not isinstance(request.system or "", str)
        if name == "prompt" or not json_here:
            keywords[name] = after
            continue
        value = _parsed(name, after)
        if value != json.loads(before[name] or "null"):
            keywords |= _structured(name, value, request)
    for name in ("model", "provider"):
        word = args.get(name)
        if word is not None and not (isinstance(word, str) and len(word) <= 300):
            raise ValueError(f"{name} must be a text of at most 300 characters")
        word = (word or "").strip()
        if word and word != getattr(request, name):
            keywords[name] = word
    count = args.get("n", 1)
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= ANSWER_LIMIT:
        raise ValueError(f"answers must be an integer from 1 to {ANSWER_LIMIT}; for more use rerun(n=...) in Python")
    if count > 1:
        keywords["n"] = count
    shown = dict(keywords)
    if "tools" in keywords and keywords["tools"] is None:
        keywords["tools"], shown["tools"] = (lambda tools: None), Code("lambda tools: None")
    return keywords, shown


def _parsed(name: str, text: str) -> Any:
    try:
        return json.loads(text) if text.strip() else ({} if name == "parameters" else [])
    except (ValueError, RecursionError) as error:
        why = f"{error.msg}, line {error.lineno}" if isinstance(error, json.JSONDecodeError) else "nested too deeply"
        raise ValueError(f"{name} is not valid JSON: {why}") from None


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
        raise ValueError("messages is empty; a request needs at least one message")
    if name == "system":
        return {"system": [value] if value else ""}  # blocks: a list of lists is one value
    return {name: value or None}


def python_call(span: str, keywords: Mapping[str, Any]) -> str:
    """Return the call of `anb.rerun` as Python.

    >>> print(python_call("traces.span('a')", {"prompt": "Hi", "n": 3}))
    df = anb.rerun(traces.span('a'), prompt='Hi', n=3)
    """
    arguments = {name: _literal(value, 4) for name, value in keywords.items()}
    line = f"df = anb.rerun({', '.join([span, *(f'{name}={value}' for name, value in arguments.items())])})"
    if len(line) <= _LINE_LENGTH and "\n" not in line:
        return line
    inner = [f"    {span},", *(f"    {name}={value}," for name, value in arguments.items())]
    return "\n".join(["df = anb.rerun(", *inner, ")"])


def _literal(value: Any, indent: int) -> str:
    """Return a value as Python, over several lines if it is long."""
    if isinstance(value, Code):
        return str(value)
    pad = " " * (indent + 4)
    if isinstance(value, str) and ("\n" in value.rstrip("\n") or len(value) > _LINE_LENGTH):
        pieces = [repr(part) for part in value.splitlines(True)]
        return "(\n" + "\n".join(pad + piece for piece in pieces) + "\n" + " " * indent + ")"
    flat = repr(value)
    if len(flat) <= _LINE_LENGTH - indent or not isinstance(value, dict | list) or not value:
        return flat
    if isinstance(value, dict):
        items = [f"{pad}{key!r}: {_literal(inner, indent + 4)}," for key, inner in value.items()]
        return "{\n" + "\n".join(items) + "\n" + " " * indent + "}"
    return "[\n" + "\n".join(f"{pad}{_literal(inner, indent + 4)}," for inner in value) + "\n" + " " * indent + "]"
