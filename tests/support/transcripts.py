"""Sessions of coding agents, written by hand with known figures."""

from __future__ import annotations

import json
from typing import Any


def stamp(second: float) -> str:
    return f"2026-03-01T10:{int(second) // 60:02d}:{second % 60:06.3f}Z"


def claude_line(kind: str, second: float, session: str = "session-1", **more: Any) -> dict[str, Any]:
    base = {"sessionId": session, "isSidechain": False, "parentUuid": None, "uuid": f"{session}-{kind}-{second}"}
    return {**base, "type": kind, "timestamp": stamp(second), **more}


def claude_answer(
    second: float,
    message: str,
    block: dict[str, Any],
    *,
    output: int,
    stop: str | None = None,
    model: str = "claude-sonnet-4-5",
    fresh: int = 10,
    cached: int = 1000,
    written: int = 200,
    hour: int = 50,
    **more: Any,
) -> dict[str, Any]:
    split = {"ephemeral_5m_input_tokens": written - hour, "ephemeral_1h_input_tokens": hour}
    usage = {
        "input_tokens": fresh,
        "cache_read_input_tokens": cached,
        "cache_creation_input_tokens": written,
        "cache_creation": split,
        "output_tokens": output,
        "service_tier": "standard",
    }
    body = {"id": message, "role": "assistant", "model": model, "content": [block], "stop_reason": stop, "usage": usage}
    return claude_line("assistant", second, requestId=f"req-{message}", message=body, **more)


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def tool_use(call: str, name: str, **given: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": call, "name": name, "input": given}


def claude_result(second: float, call: str, content: Any, failed: bool = False, **more: Any) -> dict[str, Any]:
    block = {"type": "tool_result", "tool_use_id": call, "content": content, "is_error": failed}
    return claude_line("user", second, message={"role": "user", "content": [block]}, **more)


def claude_session() -> dict[str, list[dict[str, Any]]]:
    """A session with a sub-agent in a file of its own: 4 calls, 3 tools, one of them failed."""
    main = [
        claude_line("user", 1, message={"role": "user", "content": "Fix the login"}),
        claude_answer(2, "m1", text("I look."), output=3),
        claude_line("progress", 2.5, data={"type": "hook_progress", "command": "x"}),
        claude_answer(3, "m1", tool_use("t1", "Read", file_path="a.py"), output=40),
        claude_result(4, "t1", [text("def login(): ...")]),
        claude_answer(
            5, "m1", tool_use("t2", "Task", subagent_type="Explore", prompt="Search"), output=60, stop="tool_use"
        ),
        claude_result(20, "t2", [text("Found it.")], toolUseResult={"agentId": "a1", "totalTokens": 9}),
        claude_answer(22, "m2", text("Done."), output=25, stop="end_turn"),
        {"type": "summary", "summary": "Login fixed", "leafUuid": "x", "sessionId": "session-1"},
    ]
    side = {"isSidechain": True, "agentId": "a1"}
    agent = [
        claude_line("user", 6, message={"role": "user", "content": "Search"}, **side),
        claude_answer(
            7, "s1", tool_use("t3", "Bash", command="ls"), output=8, stop="tool_use", model="claude-haiku-4-5", **side
        ),
        claude_result(8, "t3", "no such file", failed=True, **side),
        claude_answer(10, "s2", text("Found it."), output=5, model="claude-haiku-4-5", **side),
    ]
    return {"session-1.jsonl": main, "session-1/subagents/agent-a1.jsonl": agent}


def lines(records: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


def codex_line(kind: str, second: float, **payload: Any) -> dict[str, Any]:
    return {"timestamp": stamp(second), "type": kind, "payload": payload}


def codex_total(second: float, given: int, cached: int, output: int, reasoning: int) -> dict[str, Any]:
    total = {
        "input_tokens": given,
        "cached_input_tokens": cached,
        "output_tokens": output,
        "reasoning_output_tokens": reasoning,
    }
    return codex_line("event_msg", second, type="token_count", info={"total_token_usage": total})


def codex_session(session: str = "thread-1", **meta: Any) -> list[dict[str, Any]]:
    """A rollout of two calls and two tools, one of which failed."""
    return [
        codex_line("session_meta", 0, id=session, timestamp=stamp(0), model_provider="openai", **meta),
        codex_line("turn_context", 1, model="gpt-5.3-codex"),
        codex_line("event_msg", 1, type="task_started", turn_id="1"),
        codex_line(
            "response_item", 1, type="message", role="user", content=[{"type": "input_text", "text": "Run the tests"}]
        ),
        codex_line(
            "response_item", 3, type="function_call", name="shell", call_id="c1", arguments='{"command": "make"}'
        ),
        codex_total(3, 1000, 200, 50, 20),
        codex_total(3.1, 1000, 200, 50, 20),
        codex_line("response_item", 5, type="function_call_output", call_id="c1", output='{"exit_code": 2}'),
        codex_line("response_item", 7, type="function_call", name="shell", call_id="c2", arguments='{"command": "ls"}'),
        codex_line("response_item", 7.5, type="function_call_output", call_id="c2", output="a.py\nExit code: 0"),
        codex_line(
            "response_item", 8, type="message", role="assistant", content=[{"type": "output_text", "text": "It fails."}]
        ),
        codex_total(9, 2500, 1100, 90, 30),
        codex_line("event_msg", 9.5, type="task_complete", turn_id="1"),
    ]
