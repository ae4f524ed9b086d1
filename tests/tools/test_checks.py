"""The checks that are programs of their own, each a test: so that `pytest` alone runs everything."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
JS = ROOT / "js"
STATIC = ROOT / "anton_notebook" / "static"


def run(*command: str, cwd: Path = ROOT) -> str:
    """The program's output; where it fails, the test fails with that output."""
    env = os.environ | {"NO_COLOR": "1", "FORCE_COLOR": "0"}
    done = subprocess.run(
        command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace"
    )
    if done.returncode:
        pytest.fail(f"`{' '.join(command)}` failed:\n{done.stdout[-12000:]}\n{done.stderr[-4000:]}", pytrace=False)
    return done.stdout


def node(tool: str, *arguments: str) -> str:
    """Runs a tool of js/node_modules."""
    path = JS / "node_modules" / ".bin" / tool
    if not path.exists():
        pytest.fail(f"{path} is missing; run: npm ci --prefix js", pytrace=False)
    return run(str(path), *arguments, cwd=JS)


def test_ruff_lint() -> None:
    run(sys.executable, "-m", "ruff", "check", ".")


def test_ruff_format() -> None:
    run(sys.executable, "-m", "ruff", "format", "--check", ".")


def test_mypy() -> None:
    run(sys.executable, "-m", "mypy")


@pytest.mark.parametrize("project", ["tsconfig.json", "tsconfig.tests.json"])
def test_typescript(project: str) -> None:
    node("tsc", "--noEmit", "--project", project)


def test_biome() -> None:
    node("biome", "ci", "--colors=off", ".")


@pytest.mark.timeout(600)
def test_vitest() -> None:
    print(node("vitest", "run"))


def test_the_bundle_is_that_of_the_sources(tmp_path: Path) -> None:
    program = shutil.which("node")
    assert program, "Node.js is not on the PATH"
    run(program, "build.mjs", "--out", str(tmp_path), cwd=JS)
    for built in tmp_path.iterdir():
        kept = STATIC / built.name
        assert kept.is_file() and kept.read_bytes() == built.read_bytes(), (
            f"{kept} is stale; run: npm run build --prefix js"
        )
    assert {path.name for path in tmp_path.iterdir()} >= {"widget.js", "widget.css"}
