"""README's code runs as it stands there: one block after another, in a folder where agents have worked, with a local model."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import typer.main

from anton_notebook.cli import COMMANDS, build_app
from anton_notebook.simulate import TRACES, plan, play
from tests.conftest import ROOT
from tests.support.servers.llm_server import LlmServer

README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.M | re.S)
RUN = """
import json, sys, traceback
namespace = {"__name__": "__main__"}
for number, code in enumerate(json.load(open(sys.argv[1]))):
    try:
        exec(compile(code, f"block {number + 1}", "exec"), namespace)
    except BaseException:
        print(code, file=sys.stderr)
        raise
"""


def test_readme_fits_one_look() -> None:
    assert len(README.splitlines()) <= 130


def test_every_python_block_runs(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    events = plan(seed=3, agents=3, spans=40)
    play([event._replace(at=0) for event in events], folder / TRACES)
    shutil.copyfile(ROOT / "examples" / "agents.py", folder / "agents.py")
    blocks = [code for language, code in BLOCKS if language == "python"]
    assert len(blocks) > 5
    (tmp_path / "blocks.json").write_text(json.dumps(blocks))
    (tmp_path / "run.py").write_text(RUN)
    with LlmServer() as server:
        env = {k: v for k, v in os.environ.items() if not k.endswith("_API_KEY")} | server.environment()
        env |= {"HOME": str(tmp_path), "PYTHONPATH": str(ROOT), "MPLBACKEND": "agg"}
        done = subprocess.run(
            [sys.executable, str(tmp_path / "run.py"), str(tmp_path / "blocks.json")],
            cwd=folder, env=env, capture_output=True, text=True, timeout=240,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr[-5000:]


def test_readme_lists_commands_that_exist() -> None:
    listed = re.findall(r"`anton-notebook ([a-z]+(?: \| [a-z]+)+)`", README)
    assert len(listed) == 1
    for name in listed[0].split(" | "):
        checked_command(f"anton-notebook {name}")


def checked_command(line: str) -> None:
    """Fails where there is no such command, or it has no such option."""
    words = line.replace('"', "").replace("'", "").split()
    assert words[1] in COMMANDS
    options = set(re.findall(r"(?<!\S)--[a-z][a-z-]*", line.split(" -- ")[0]))
    command: Any = typer.main.get_command(build_app())
    assert options <= {option for parameter in command.commands[words[1]].params for option in parameter.opts}


def test_every_file_that_is_named_is_there() -> None:
    for name in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / name).exists(), name
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M)
    for target in re.findall(r"\bmake ([a-z-]+)", README):
        assert target in targets, target


def test_developing_page_names_files_that_exist() -> None:
    text = (ROOT / "examples" / "docs" / "developing.md").read_text()
    names = re.findall(r"`((?:anton_notebook|js|tests|examples)/[\w./-]+)`", text)
    assert len(names) > 5
    assert [name for name in names if not (ROOT / name).exists()] == []
