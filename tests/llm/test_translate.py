"""A request in the other provider's words: all of it, or an error that says what has no equal there."""

from __future__ import annotations

from typing import Any

import pytest

from anton_notebook.errors import TranslationError
from anton_notebook.llm import translated
from anton_notebook.model.request import Request

PIXEL = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
LINK = {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}}
SCHEMA = {"type": "object", "properties": {"path": {"type": "string"}}}

CLAUDE = Request(
    "anthropic", "claude-3-5-haiku-20241022", "Be kind",
    [
        {"role": "user", "content": [{"type": "text", "text": "Look"}, PIXEL, LINK]},
        {"role": "assistant", "content": [
            {"type": "text", "text": "Reading"}, {"type": "tool_use", "id": "1", "name": "read", "input": {"path": "a"}},
            {"type": "tool_use", "id": "2", "name": "read", "input": {}}]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "1", "content": [{"type": "text", "text": "data"}]},
            {"type": "tool_result", "tool_use_id": "2", "content": "more"}, {"type": "text", "text": "Go on"}]},
    ],
    [{"name": "read", "description": "Reads", "input_schema": SCHEMA}],
    {"max_tokens": 100, "temperature": 0.5, "stop_sequences": ["x"], "metadata": {"user_id": "u"},
     "tool_choice": {"type": "any", "disable_parallel_tool_use": True}},
)  # fmt: skip
OPENAI = Request(
    "openai", "gpt-4o", None,
    [
        {"role": "system", "content": "Be kind"},
        {"role": "user", "content": [
            {"type": "text", "text": "Look"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
            {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}]},
        {"role": "assistant", "content": "Reading", "tool_calls": [
            {"id": "1", "type": "function", "function": {"name": "read", "arguments": '{"path": "a"}'}},
            {"id": "2", "type": "function", "function": {"name": "read", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "1", "content": "data"},
        {"role": "tool", "tool_call_id": "2", "content": "more"},
        {"role": "user", "content": "Go on"},
    ],
    [{"type": "function", "function": {"name": "read", "parameters": SCHEMA, "description": "Reads"}}],
    {"max_tokens": 100, "temperature": 0.5, "stop": ["x"], "user": "u", "tool_choice": "required", "parallel_tool_calls": False},
)  # fmt: skip


def test_to_openai() -> None:
    made = translated(CLAUDE, "openai")
    assert made.system == "Be kind"
    assert made.messages == OPENAI.messages[1:]
    assert made.tools == OPENAI.tools and made.parameters == OPENAI.parameters


def test_to_anthropic() -> None:
    made = translated(OPENAI, "anthropic")
    assert made.system == "Be kind"
    results = made.messages[2]["content"]
    assert made.messages[:2] == CLAUDE.messages[:2]
    assert results == [
        {"type": "tool_result", "tool_use_id": "1", "content": "data"},
        *CLAUDE.messages[2]["content"][1:],
    ]
    assert made.tools == CLAUDE.tools and made.parameters == CLAUDE.parameters


@pytest.mark.parametrize("request_", [CLAUDE, OPENAI], ids=["claude", "openai"])
@pytest.mark.parametrize("family", ["anthropic", "openai"])
def test_there_once_more_and_back_changes_nothing_more(request_: Request, family: str) -> None:
    once = translated(request_, family)
    assert translated(once, family) == once
    other = "openai" if family == "anthropic" else "anthropic"
    around = translated(translated(once, other), family)
    assert translated(translated(around, other), family) == around
    assert [m["role"] for m in around.messages] == [m["role"] for m in once.messages if m["role"] != "system"]
    assert (around.system_text, around.tools, around.parameters) == (once.system_text, once.tools, once.parameters)


def test_the_limit_has_another_name_for_newer_models_of_openai() -> None:
    for model, name in (
        ("gpt-4o", "max_tokens"),
        ("o3-mini", "max_completion_tokens"),
        ("gpt-5-mini", "max_completion_tokens"),
        ("llama3", "max_tokens"),
    ):
        assert translated(CLAUDE.with_changes(model=model), "openai").parameters[name] == 100


THOUGHT = {"type": "thinking", "thinking": "x", "signature": "y"}
RESULT = {"type": "tool_result", "tool_use_id": "1"}
BROKEN = {"id": "1", "function": {"name": "f", "arguments": "{oops"}}


def said(content: Any, role: str = "user") -> list[dict[str, Any]]:
    return [{"role": "user", "content": "Hi"}, {"role": role, "content": content}]


@pytest.mark.parametrize(
    ("family", "changes", "says"),
    [
        ("openai", {"parameters": {"top_k": 5}}, "top_k=5"),
        ("openai", {"parameters": {"thinking": {"type": "enabled"}}}, "thinking"),
        ("openai", {"messages": said([THOUGHT], "assistant")}, r"'thinking' \(messages\[1\].content\[0\]\)"),
        ("openai", {"messages": said([{"type": "document", "source": {}}])}, "document"),
        ("openai", {"messages": said([{**RESULT, "content": [PIXEL]}])}, "tool result that holds 'image'"),
        ("openai", {"messages": said([{"type": "image", "source": {"type": "file", "file_id": "f"}}])}, "image from 'file'"),
        ("openai", {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "web_search"),
        ("anthropic", {"parameters": {"logprobs": True}}, "logprobs"),
        ("anthropic", {"parameters": {"temperature": 1.5}}, "temperature=1.5"),
        ("anthropic", {"parameters": {"response_format": {"type": "json_object"}}}, "response_format"),
        ("anthropic", {"messages": [*said("x"), {"role": "system", "content": "late"}]}, "middle"),
        ("anthropic", {"messages": said([{"type": "input_audio", "input_audio": {}}])}, "input_audio"),
        ("anthropic", {"messages": said("x", "function")}, "role 'function'"),
        ("anthropic", {"messages": [{"role": "assistant", "tool_calls": [BROKEN]}]}, "no JSON"),
    ],
)  # fmt: skip
def test_what_has_no_equal_is_named_with_its_place(family: str, changes: dict[str, Any], says: str) -> None:
    base = CLAUDE if family == "openai" else OPENAI
    with pytest.raises(TranslationError, match=says):
        translated(base.with_changes(**changes), family)
    removed = {name: dict.fromkeys(value) for name, value in changes.items() if name == "parameters"}
    if removed:
        assert translated(base.with_changes(**changes).with_changes(**removed), family)
