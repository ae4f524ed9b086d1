"""Tokens guessed from text, where a source records none. Whoever shows them says so (`tokens_estimated`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from anton_notebook.sources.anton.history_inference import text_of

CHARS_PER_TOKEN = 4.0
PER_MESSAGE = 4


def estimate(record: Mapping[str, Any]) -> tuple[int, int]:
    """Input and output tokens of a call, from its texts; -1 where there is no text to guess from.

    >>> estimate({"messages": [{"role": "user", "content": "a" * 40}], "response": "b" * 8})
    (14, 2)
    """
    messages = record.get("messages")
    response = record.get("response")
    answer = response if isinstance(response, str) else ""
    if not isinstance(messages, list):
        return -1, -1
    asked = messages
    if (
        answer
        and asked
        and isinstance(asked[-1], Mapping)
        and asked[-1].get("role") == "assistant"
        and text_of(asked[-1]) == answer
    ):
        asked = asked[:-1]
    system = record.get("system_prompt")
    texts = [text_of(m) for m in asked] + ([system] if isinstance(system, str) and system else [])
    if not texts:
        return -1, -1
    given = sum(len(t) for t in texts) / CHARS_PER_TOKEN + PER_MESSAGE * len(texts)
    return round(given), round(len(answer) / CHARS_PER_TOKEN) if answer else -1
