"""The documentation is built from what is there: every public name is in it, every block of code runs, every error is explained."""

from __future__ import annotations

import doctest
import importlib
import inspect
import json
import os
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import anton_notebook as anb
from anton_notebook import errors
from anton_notebook.api import inventory
from anton_notebook.cli import COMMANDS
from anton_notebook.experiments import branches, frames, verdict
from anton_notebook.experiments.checkpoints import frame as listing
from anton_notebook.simulate import TRACES, plan, play
from tests.conftest import ROOT
from tests.support.servers.llm_server import LlmServer
from tests.tools.test_readme import checked_command

SOURCES = sorted((ROOT / "examples" / "docs").glob("*.md"))
ERRORS = [
    name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, anb.AntonNotebookError)
]
RUN = """
import contextlib, io, json, os, sys
from pathlib import Path
import anton_notebook as anb
failed = []
for name, blocks in json.load(open(sys.argv[1])):
    namespace = {"__name__": "__main__"}
    os.chdir(Path(sys.argv[2], name))
    kept = dict(os.environ)
    for number, (word, code) in enumerate(blocks):
        where = f"{name}.md, block {number + 1}"
        wanted = word.removeprefix("raises=") if word.startswith("raises=") else None
        with contextlib.ExitStack() as stack:
            if word == "server":
                from tests.dashboard.test_dashboard import Served
                served = Served(Path("."), allow_replay=True)
                stack.callback(served.close)
                namespace |= {"address": f"http://127.0.0.1:{served.port}", "token": served.made.gate.token}
            try:
                with contextlib.redirect_stdout(io.StringIO()):
                    exec(compile(code, where, "exec"), namespace)
            except Exception as error:
                if type(error).__name__ != wanted or len(str(error)) < 25:
                    failed.append(f"{where}: {type(error).__name__}: {error}")
            else:
                if wanted is not None:
                    failed.append(f"{where}: {wanted} was not raised")
    os.environ.clear()
    os.environ.update(kept)
print("\\n".join(failed) or "all ran")
"""


def blocks(path: Path, language: str) -> list[tuple[str, str]]:
    """What follows the language, and the code."""
    return [
        (word.strip(), code)
        for word, code in re.findall(rf"^```{language}([^\n]*)\n(.*?)^```$", path.read_text(), re.M | re.S)
    ]


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built pages."""
    folder = tmp_path_factory.mktemp("docs")
    command = [sys.executable, str(ROOT / "examples" / "build_docs.py"), str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def test_every_block_of_the_pages_runs_in_a_folder_where_agents_have_worked(tmp_path: Path) -> None:
    book = []
    for source in SOURCES:
        folder = tmp_path / "pages" / source.stem
        folder.mkdir(parents=True)
        play([event._replace(at=0) for event in plan(seed=3, agents=3, spans=40)], folder / TRACES)
        book.append((source.stem, blocks(source, "python")))
    assert sum(len(inventory) for _, inventory in book) > 40
    (tmp_path / "book.json").write_text(json.dumps(book))
    (tmp_path / "run.py").write_text(RUN)
    with LlmServer() as server:
        env = {k: v for k, v in os.environ.items() if not k.endswith("_API_KEY")} | server.environment()
        env |= {"HOME": str(tmp_path), "PYTHONPATH": str(ROOT), "MPLBACKEND": "agg"}
        command = [sys.executable, str(tmp_path / "run.py"), str(tmp_path / "book.json"), str(tmp_path / "pages")]
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr[-5000:]
    assert done.stdout.strip() == "all ran"


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_every_command_of_the_pages_is_one(source: Path) -> None:
    for _, code in blocks(source, "bash"):
        for line in code.splitlines():
            if line.startswith("anton-notebook "):
                checked_command(line.split("#")[0].strip())


def test_the_pages_are_there_and_their_links_lead_somewhere(pages: Path) -> None:
    names = {path.name for path in pages.iterdir()}
    assert {f"{path.stem}.html" for path in SOURCES} | {"index.html", "security.html", "columns.html"} <= names
    for page in pages.glob("*.html"):
        text = page.read_text()
        for link, mark in re.findall(r'<a href="([\w.-]*\.html)?(#[\w.-]+)?"', text):
            assert not link or link in names, f"{page.name}: {link}"
            aim = (pages / link).read_text() if link else text
            assert not mark or re.search(rf"""id=['"]{re.escape(mark[1:])}['"]""", aim), f"{page.name}: {link}{mark}"
        assert text.count(".html") > 20, f"{page.name} has no way to the others"


def test_every_public_name_is_documented_with_how_it_is_called_and_its_source(pages: Path) -> None:
    text = (pages / "anton_notebook.html").read_text()
    for name in [*anb.__all__, *ERRORS]:
        assert f"id='{name}'" in text, name
    for name in (
        "TraceGraph.highlight",
        "TraceGraph.watch",
        "Traces.spans_df",
        "Span.request",
        "Trace.spans_df",
        "Request.prompt",
    ):
        assert f"id='{name}'" in text, name
    assert text.count("<summary") > 100
    assert " at 0x" not in text
    columns = (pages / "columns.html").read_text()
    for frame in ("spans", "runs", "messages", "tool_calls", "problems"):
        assert [name for name in anb.columns(frame)["name"] if f"<code>{name}</code>" not in columns] == []


def test_every_column_of_the_other_frames_is_explained() -> None:
    text = (ROOT / "examples" / "docs" / "frames.md").read_text()
    declared = (verdict.RERUN, verdict.VERDICT, frames.REPLAY, listing.COLUMNS, branches.CLEANED, inventory.SOURCES)
    heads = re.split(r"^## ", text, flags=re.M)[1:]
    assert len(heads) == len(declared)
    for names, part in zip(declared, heads, strict=True):
        lacking = [name for name in names if f"`{name}`" not in part]
        assert lacking == [], f"examples/docs/frames.md says nothing of {lacking} in: {part.splitlines()[0]}"


def test_every_command_and_every_error_has_its_place(pages: Path) -> None:
    commands = (pages / "commands.html").read_text()
    assert [name for name in COMMANDS if f"anton-notebook {name}" not in commands] == []
    text = (ROOT / "examples" / "docs" / "troubleshooting.md").read_text()
    inner = {"AntonNotebookError", "TraceError"}  # parents alone
    assert [name for name in ERRORS if name not in inner and f"\n### {name}\n" not in text] == []
    shown = {
        word.removeprefix("raises=") for word, _ in blocks(ROOT / "examples" / "docs" / "troubleshooting.md", "python")
    }
    assert len(shown & set(ERRORS)) >= 17
    listed = (pages / "troubleshooting.html").read_text().split("every-message")[-1]
    said = [name for name in ERRORS if f"<h3>{name}</h3>" in listed]
    assert len(said) > 15 and listed.count("<tr>") > 100


def test_every_example_of_a_docstring_is_true(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tried = 0
    for module in pkgutil.walk_packages(anb.__path__, "anton_notebook."):
        if not module.name.endswith("__main__"):
            inventory = doctest.testmod(importlib.import_module(module.name), optionflags=doctest.ELLIPSIS)
            assert inventory.failed == 0, module.name
            tried += inventory.attempted
    assert tried > 130


def words(kind: type) -> Iterator[str]:
    for name, value in vars(kind).items():
        if not name.startswith("_") and (inspect.isroutine(value) or isinstance(value, property)):
            yield name


@pytest.mark.parametrize("name", [name for name in anb.__all__ if name != "errors"])
def test_every_public_name_says_what_it_is(name: str) -> None:
    thing = getattr(anb, name)
    said = inspect.getdoc(thing) or ""
    assert len(said) > 15, name
    if isinstance(thing, type):
        assert [one for one in words(thing) if not inspect.getdoc(inspect.getattr_static(thing, one))] == []
    else:
        assert ">>>" in said, f"{name} has no example"


def test_the_pages_need_nothing_from_elsewhere(pages: Path) -> None:
    for page in pages.glob("*.html"):
        assert not re.findall(r"""(?:src|href)=["'](?:https?:)?//""", page.read_text()), page.name
