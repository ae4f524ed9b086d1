"""Differences between a recorded and a new answer, as far as a program can see them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from anton_notebook.model.request import Response, Usage, canonical


def same_answer(old: Response, new: Response) -> bool:
    """Whether a program cannot tell two answers apart: text, tool calls with ids, usage and finish reason are equal."""
    return (
        old.text == new.text
        and [_call(call) for call in old.tool_calls] == [_call(call) for call in new.tool_calls]
        and _usage(old.usage) == _usage(new.usage)
        and old.finish_reason == new.finish_reason
    )


def shape_problem(old: Response, new: Response) -> str | None:
    """Return why a program may go on in another way after the new answer, or None if it has the shape of the old one."""
    if old.finish_reason != new.finish_reason:
        return f"the new answer ended for another reason ({new.finish_reason or 'unknown'})"
    before, after = ([call.get("name") for call in one.tool_calls] for one in (old, new))
    if before != after:
        return "the new answer asks for other tools"
    return None


def total_tokens(usage: Usage) -> int | None:
    """Return all tokens of a call; None if unknown."""
    counts = [count for count in _usage(usage) if count is not None]
    return sum(counts) if counts else None


def _call(call: Mapping[str, Any]) -> tuple[Any, Any, bytes]:
    return call.get("id"), call.get("name"), canonical(call.get("arguments"))


def _usage(usage: Usage) -> tuple[int | None, ...]:
    """Counts of a usage; parts that are not reported count as 0."""
    return usage.input_tokens, usage.output_tokens, usage.cached_tokens or 0, usage.cache_write_tokens or 0
