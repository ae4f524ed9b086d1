"""Requests out of recorded lines: what was sent, no more and no less, and what the recording lacks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import anton_notebook as anb
from anton_notebook import llm
from anton_notebook.errors import NotRerunnable
from anton_notebook.model.request import Request, Response, Usage, provider_of

USER = {"role": "user", "content": "Hi"}


def line(**more: Any) -> dict[str, Any]:
    return {"trace_id": "t", "span_id": "s", "model": "gpt-4o", "provider": "openai", "messages": [USER], **more}


def legacy(**more: Any) -> dict[str, Any]:
    return {
        "agent_name": "module_api",
        "provider": "unknown",
        "model": "gpt-4o",
        "system_prompt": "Be kind",
        "messages": [USER],
        **more,
    }


def test_the_answer_at_the_end_of_a_legacy_conversation_is_not_part_of_the_request() -> None:
    answer = {"role": "assistant", "content": "Hello"}
    made = Request.from_record(legacy(messages=[USER, answer], response="Hello", error=None))
    assert made.messages == [USER] and made.system == "Be kind" and made.provider == "openai"


def test_after_an_error_nothing_is_taken_off() -> None:
    assert Request.from_record(legacy(messages=[USER], response="", error="500")).messages == [USER]
    begun = [USER, {"role": "assistant", "content": "Prefilled"}]
    assert Request.from_record(legacy(messages=begun, response="", error="500")).messages == begun


def test_a_prefilled_answer_of_a_line_with_ids_stays_and_a_repeated_one_goes() -> None:
    prefill = [USER, {"role": "assistant", "content": "{"}]
    assert Request.from_record(line(messages=prefill, response='"a": 1}')).messages == prefill
    assert Request.from_record(line(messages=prefill, response="{")).messages == [USER]


@pytest.mark.parametrize(
    "last",
    [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "1", "function": {"name": "read", "arguments": "{}"}}],
        },
        {"role": "assistant", "content": [{"type": "tool_use", "id": "1", "name": "read", "input": {}}]},
    ],
)
def test_an_answer_that_asked_for_tools_is_taken_off_and_is_the_response(last: dict[str, Any]) -> None:
    record = line(messages=[USER, last], response="", finish_reason="tool_calls")
    assert Request.from_record(record).messages == [USER]
    assert Response.from_record(record).tool_calls == [{"id": "1", "name": "read", "arguments": {}}]


def test_what_the_recording_lacks_is_named() -> None:
    assert Request.from_record(legacy()).missing == ("tools", "parameters")
    assert Request.from_record(legacy(model="claude-3-5-haiku-20241022")).missing == (
        "tools",
        "parameters",
        "max_tokens",
    )
    assert Request.from_record(line(tools=[], parameters={})).missing == ()
    assert Request.from_record(line(provider="claude", tools=[], parameters={"max_tokens": 5})).missing == ()
    assert "system" in Request.from_record(line(event_type="llm_call")).missing
    assert Request.from_record({"messages": [USER], "trace_id": "t"}).missing[-1] == "model"


def test_parameters_on_the_line_count_and_streaming_is_ours() -> None:
    record = line(temperature=0.2, tool_choice="auto", parameters={"stream": True, "top_p": 0.5, "temperature": 0.3})
    assert Request.from_record(record).parameters == {"top_p": 0.5, "temperature": 0.3, "tool_choice": "auto"}


@pytest.mark.parametrize("messages", [None, [], "Hi", {"role": "user"}, [1, 2]])
def test_a_record_without_messages_has_no_request(messages: Any) -> None:
    with pytest.raises(NotRerunnable, match="messages"):
        Request.from_record(line(messages=messages))


@pytest.mark.parametrize(
    ("recorded", "model", "expected"),
    [
        ("claude", "x", "anthropic"), ("unknown", "claude-sonnet-4-20250514", "anthropic"), ("", "anthropic/claude-3", "anthropic"),
        ("unknown", "gpt-4o-mini", "openai"), ("", "o3-mini", "openai"), ("OpenAI", "x", "openai"), ("ollama", "gpt-oss", "ollama"),
        ("unknown", "qwen2.5-coder-14b-instruct", ""), ("", "claudette", ""), ("", "gpt-oss:20b", ""), ("groq", "llama", "groq"),
    ],
)  # fmt: skip
def test_the_provider_is_recorded_or_inferred(recorded: str, model: str, expected: str) -> None:
    assert provider_of(recorded, model) == expected


def test_every_call_of_the_corpus_ends_with_the_user(corpus: Path) -> None:
    with anb.read_traces(corpus / "anton-jsonl") as traces:
        calls = [span for trace in traces for span in trace.spans if span.kind == "llm"]
        assert len(calls) == 20
        for span in calls:
            assert span.request.messages[-1]["role"] == "user"
            assert len(span.request.messages) in (1, 3)
            assert span.request.system and span.response.text == (span.record["response"] or "")


# -- changes


def test_prompt_replaces_the_last_user_message_that_is_no_tool_result() -> None:
    call = {"role": "assistant", "content": [{"type": "tool_use", "id": "1", "name": "read", "input": {}}]}
    result = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1", "content": "data"}]}
    made = Request("anthropic", "m", messages=[USER, call, result])
    assert made.prompt == "Hi"
    assert made.with_changes(prompt="Bye").messages == [{"role": "user", "content": "Bye"}, call, result]


def test_tool_results_and_images_beside_the_text_stay() -> None:
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
    result = {"type": "tool_result", "tool_use_id": "1", "content": "data"}
    text = {"type": "text", "text": "Look", "cache_control": {"type": "ephemeral"}}
    made = Request(
        "anthropic",
        "m",
        messages=[{"role": "user", "content": [result, image, text, {"type": "text", "text": "twice"}]}],
    )
    changed = made.with_changes(prompt=lambda old: old.upper())
    assert changed.messages[0]["content"] == [result, image, {**text, "text": "LOOK\nTWICE"}]
    bare = Request("anthropic", "m", messages=[{"role": "user", "content": [image]}]).with_changes(prompt="What is it?")
    assert bare.messages[0]["content"] == [image, {"type": "text", "text": "What is it?"}]


def test_results_written_as_text_by_the_proxy_are_results() -> None:
    pair = [
        {"role": "assistant", "content": "Calling tool: read_file"},
        {"role": "user", "content": "Tool result from read_file: x"},
    ]
    assert Request("openai", "m", messages=[USER, *pair]).prompt == "Hi"
    quoted = {"role": "user", "content": "Tool result from read_file: why is this here?"}
    assert Request("openai", "m", messages=[quoted]).prompt == quoted["content"]


def test_without_a_prompt_the_error_says_what_to_do() -> None:
    with pytest.raises(NotRerunnable, match="messages="):
        Request("openai", "m", messages=[{"role": "assistant", "content": "x"}]).with_changes(prompt="Bye")


def test_system_wherever_it_stands() -> None:
    beside = Request("anthropic", "m", "Old", [USER])
    assert beside.with_changes(system="New").system == "New" and beside.with_changes(system="").system is None
    assert beside.with_changes().system == "Old" and beside.with_changes(system=lambda old: old + "!").system == "Old!"
    inside = Request("openai", "m", None, [{"role": "system", "content": "Old", "name": "x"}, USER])
    assert inside.system_text == "Old" and inside.system is None
    assert inside.with_changes(system="New").messages[0] == {"role": "system", "content": "New", "name": "x"}
    assert inside.with_changes(system="").messages == [USER]


def test_parameters_merge_and_none_removes() -> None:
    made = Request("openai", "m", parameters={"temperature": 1, "seed": 3})
    assert made.with_changes(parameters={"temperature": 0, "seed": None, "stream": False}).parameters == {
        "temperature": 0
    }
    assert made.with_changes(parameters=lambda old: {"seed": old["seed"] + 1}).parameters == {
        "temperature": 1,
        "seed": 4,
    }


@pytest.mark.parametrize("name", ["model", "messages", "system", "tools"])
def test_what_is_no_parameter_cannot_come_in_as_one(name: str) -> None:
    request = Request("openai", "cheap", messages=[{"role": "user", "content": "Hi"}], parameters={name: "dear"})
    with pytest.raises(ValueError, match=f"give {name}=... beside it"):
        request.with_changes(parameters={name: "dear"})
    for provider in (llm.OpenAI(), llm.Anthropic()):
        assert provider.body(request)[0]["model"] == "cheap" or name != "model"
        assert provider.body(request)[0]["messages"] == request.messages


def test_where_and_as_whom_a_recorded_program_asked_is_not_taken_over() -> None:
    given = {"api_base": "http://evil", "api_key": "sk-x", "extra_headers": {"a": "b"}, "temperature": 0}
    record = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}], "parameters": given}
    assert Request.from_record(record).parameters == {"temperature": 0}


def test_what_is_supplied_is_no_longer_missing() -> None:
    made = Request.from_record(legacy()).with_changes(tools=[{"type": "function", "function": {"name": "f"}}])
    assert made.missing == ("parameters",)


def test_a_model_of_another_provider_brings_its_provider() -> None:
    made = Request("openai", "gpt-4o", messages=[USER])
    assert made.with_changes(model="claude-sonnet-4-20250514").provider == "anthropic"
    assert made.with_changes(model="my-finetune").provider == "openai"
    assert made.with_changes(model="x", provider="claude").provider == "anthropic"


def test_the_original_is_not_touched_by_changes() -> None:
    made = Request(
        "openai", "m", "S", [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}], None, {"a": {"b": 1}}
    )
    before = json.dumps(made.as_dict())

    def spoil(messages: list[Any]) -> list[Any]:
        messages[0]["content"][0]["text"] = "spoilt"
        return messages

    made.with_changes(messages=spoil, prompt="new", system="", parameters={"a": None})
    assert json.dumps(made.as_dict()) == before


def test_equal_requests_have_equal_keys_whatever_the_order() -> None:
    one = Request("openai", "m", "S", [{"role": "user", "content": "x"}], None, {"a": 1, "b": 2}, ("tools",))
    two = Request("openai", "m", "S", [{"content": "x", "role": "user"}], None, {"b": 2, "a": 1})
    assert one == two and one.key() == two.key() and hash(one) == hash(two)
    assert one.key() != two.with_changes(parameters={"a": True}).key()


def test_a_response_takes_usage_in_several_forms() -> None:
    assert Response("x", usage={"input_tokens": 3}).usage == Usage(3)  # type: ignore[arg-type]
    assert Response("x", usage=None).usage == Usage()  # type: ignore[arg-type]
    assert Response.from_record(line(response="x", tokens={"input": 1, "output": 2, "cached": -1})).usage == Usage(
        1, 2, None
    )
