"""The documentation is built from what is there, and every public name is in it."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import anton_notebook as anb
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built pages."""
    pytest.importorskip("pdoc")
    folder = tmp_path_factory.mktemp("docs")
    command = [sys.executable, str(ROOT / "examples" / "build_docs.py"), str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def test_the_pages_are_there_and_their_links_lead_somewhere(pages: Path) -> None:
    names = {path.name for path in pages.iterdir()}
    assert {"index.html", "anton_notebook.html", "cost_analysis.html", "prompt_experiment.html"} <= names
    for page in pages.glob("*.html"):
        for link in re.findall(r'<a href="([\w.-]+\.html)', page.read_text()):
            assert link in names, f"{page.name}: {link}"


def test_every_public_name_has_its_place(pages: Path) -> None:
    text = (pages / "anton_notebook.html").read_text()
    assert [name for name in anb.__all__ if f'id="{name}"' not in text] == []


@pytest.mark.parametrize("name", anb.__all__)
def test_every_public_name_says_what_it_is(name: str) -> None:
    said = inspect.getdoc(getattr(anb, name)) or ""
    assert len(said) > 30, name
