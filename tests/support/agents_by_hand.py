"""The answers that a model would give to `examples/agents.py`: what the tests of the gateway and of replaying programs run against."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.support.servers.llm_server import Call, LlmServer, Reply

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "examples" / "agents.py"


def text_of(message: dict[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, str):
        return content
    return "\n".join(str(block.get("text") or block.get("content") or "") for block in content or [])


def answer(call: Call) -> Reply:
    """Depends on what is asked alone, so that a change shows in everything that follows from it."""
    messages = call.body["messages"]
    system = call.body.get("system") or text_of(messages[0])
    last = text_of(messages[-1])
    if "Orchestrator" in system:
        task = re.search("Task: (.*)", text_of(messages[0]))
        if len(messages) == 1 and task:
            what = task.group(1)
            return Reply(
                json.dumps({"coder": f"write the code for: {what}", "reviewer": f"review the plan for: {what}"})
            )
        return Reply(f"All done. {last.splitlines()[0]}", delay=0.01)
    place = re.search(r"repository (\S+),", system)
    task = next((text_of(m) for m in messages if m["role"] == "user"), "").removeprefix("Task: ")
    used = messages[-1]["role"] == "tool" or "tool_result" in json.dumps(messages[-1])
    if "coder" in system:
        if not used:
            return Reply("", tools=[("read_file", {"path": "app.py"})])
        return Reply(f"I did: {task} (read {len(last)} characters)", delay=0.02)
    if not used:
        return Reply("Let me note that.", tools=[("write_note", {"name": "review.txt", "text": task})])
    return Reply(f"In {place.group(1) if place else '?'} I reviewed: {task}")


def repository(folder: Path, git: bool = True) -> Path:
    """A small repository that the agents work in."""
    folder.mkdir(parents=True)
    (folder / "app.py").write_text("print('hello')\n")
    if git:
        made = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}
        who = ["-c", "user.name=t", "-c", "user.email=t@example.com"]
        for words in (["init", "-q"], ["add", "."], [*who, "commit", "-qm", "first"]):
            subprocess.run(["git", *words], cwd=folder, check=True, env={**os.environ, **made})
    return folder


def record(folder: Path, server: LlmServer, *command: str) -> subprocess.CompletedProcess[str]:
    """Runs a command in a folder under `anton-notebook record`, the SDKs sent to the server."""
    return subprocess.run(
        [sys.executable, "-m", "anton_notebook.cli", "record", "--", *command],
        cwd=folder,
        env={**os.environ, **server.environment(), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
