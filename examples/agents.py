"""A small multi-agent program, without any framework: an orchestrator plans, two agents work with tools, it sums up.

The orchestrator and the reviewer use Anthropic's SDK, the coder OpenAI's. As real agents do, it writes the folder that it works in,
an id that is new in every run and the time into its prompts. Record it, and fork it:

    anton-notebook record -- python examples/agents.py "Add a cache"

The models' names are taken from AGENTS_CLAUDE and AGENTS_GPT.
"""

from __future__ import annotations

import json
import os
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anthropic
import openai

CLAUDE = os.environ.get("AGENTS_CLAUDE", "claude-haiku-4-5")
GPT = os.environ.get("AGENTS_GPT", "gpt-4o-mini")
HERE = Path.cwd()
RUN = str(uuid.uuid4())
TOOLS = {
    "read_file": ("Reads a file of the repository.", {"path": {"type": "string"}}),
    "write_note": ("Writes a note beside the code.", {"name": {"type": "string"}, "text": {"type": "string"}}),
}


def use(name: str, arguments: dict[str, Any]) -> str:
    """Runs one of the tools."""
    if name == "read_file":
        path = (HERE / arguments["path"]).resolve()
        return path.read_text() if path.is_relative_to(HERE) and path.is_file() else f"{path}: no such file"
    if name == "write_note":
        path = HERE / "notes" / Path(arguments["name"]).name
        path.parent.mkdir(exist_ok=True)
        path.write_text(arguments["text"])
        return f"written to {path}"
    return f"there is no tool {name}"


def context() -> str:
    """What every agent is told of the run."""
    return f"Run {RUN}, repository {HERE}, now {datetime.now(UTC).isoformat()}."


def orchestrator(messages: list[dict[str, Any]]) -> str:
    """One turn of the orchestrator, streamed."""
    system = f"You are the Orchestrator Agent of a small team. {context()}"
    client = anthropic.Anthropic(max_retries=0)
    with client.messages.stream(model=CLAUDE, max_tokens=1000, system=system, messages=messages) as stream:
        answer = stream.get_final_message()
    return "".join(block.text for block in answer.content if block.type == "text")


def coder(task: str) -> str:
    """An agent on OpenAI's API that may use tools."""
    client = openai.OpenAI(max_retries=0)
    tools = [
        {
            "type": "function",
            "function": {
                "name": name,
                "description": text,
                "parameters": {"type": "object", "properties": given, "required": list(given)},
            },
        }
        for name, (text, given) in TOOLS.items()
    ]
    messages: list[Any] = [
        {"role": "system", "content": f"You are the coder. {context()}"},
        {"role": "user", "content": f"Task: {task}"},
    ]
    for _ in range(6):
        answer = client.chat.completions.create(model=GPT, messages=messages, tools=tools)
        message = answer.choices[0].message
        if not message.tool_calls:
            return message.content or ""
        messages.append(message.model_dump(exclude_none=True))
        for call in message.tool_calls:
            result = use(call.function.name, json.loads(call.function.arguments))
            messages.append({"role": "tool", "tool_call_id": call.id, "content": result})
    return "gave up"


def reviewer(task: str) -> str:
    """An agent on Anthropic's API that may use tools."""
    client = anthropic.Anthropic(max_retries=0)
    tools: list[Any] = [
        {
            "name": name,
            "description": text,
            "input_schema": {"type": "object", "properties": given, "required": list(given)},
        }
        for name, (text, given) in TOOLS.items()
    ]
    system = f"You are the reviewer. {context()}"
    messages: list[Any] = [{"role": "user", "content": f"Task: {task}"}]
    for _ in range(6):
        answer = client.messages.create(model=CLAUDE, max_tokens=1000, system=system, messages=messages, tools=tools)
        calls = [block for block in answer.content if block.type == "tool_use"]
        if not calls:
            return "".join(block.text for block in answer.content if block.type == "text")
        messages.append(
            {"role": "assistant", "content": [block.model_dump(exclude_none=True) for block in answer.content]}
        )
        results = [
            {"type": "tool_result", "tool_use_id": call.id, "content": use(call.name, dict(call.input))}
            for call in calls
        ]
        messages.append({"role": "user", "content": results})
    return "gave up"


def main(task: str) -> None:
    """Plans, lets both agents work at the same time, and sums up."""
    talk: list[dict[str, Any]] = [
        {"role": "user", "content": f'Task: {task}\nAnswer with JSON: {{"coder": "its task", "reviewer": "its task"}}'}
    ]
    plan = orchestrator(talk)
    tasks = json.loads(plan)
    with ThreadPoolExecutor(2) as pool:
        code, review = pool.submit(coder, tasks["coder"]), pool.submit(reviewer, tasks["reviewer"])
        results = f"The coder says: {code.result()}\nThe reviewer says: {review.result()}"
    talk += [{"role": "assistant", "content": plan}, {"role": "user", "content": f"{results}\nSum up in one sentence."}]
    print(orchestrator(talk))


if __name__ == "__main__":
    main(" ".join(sys.argv[1:]) or "Add a cache")
