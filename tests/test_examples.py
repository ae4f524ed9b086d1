"""The example notebooks run top to bottom, without a key and without a network."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
WIDGET = "application/vnd.jupyter.widget-view+json"
RUN = """
import sys, nbformat
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], as_version=4)
NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
nbformat.write(notebook, sys.argv[1])
"""


@pytest.mark.parametrize("name", sorted(path.name for path in EXAMPLES.glob("*.ipynb")))
def test_the_notebook_runs_without_a_key_and_shows_something(name: str, tmp_path: Path) -> None:
    copy = tmp_path / name
    shutil.copyfile(EXAMPLES / name, copy)
    env = {key: value for key, value in os.environ.items() if "API_KEY" not in key}
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(copy)], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stderr[-6000:]
    notebook = nbformat.read(copy, as_version=4)
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert outputs
    assert not [output for output in outputs if output.output_type == "error"]
    if "TraceGraph" in copy.read_text():
        assert any(WIDGET in output.get("data", {}) for output in outputs)


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.ipynb")), ids=lambda path: path.name)
def test_the_notebook_is_valid_and_names_no_place_of_the_machine_it_was_made_on(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    text = path.read_text()
    assert not [word for word in ("/work/", "/root/", "/home/", "/tmp/") if word in text]


def test_the_ten_questions_about_cost_are_answered(tmp_path: Path) -> None:
    notebook = nbformat.read(EXAMPLES / "cost_analysis.ipynb", as_version=4)
    asked = [
        cell.source.splitlines()[0]
        for cell in notebook.cells
        if cell.cell_type == "markdown" and cell.source.startswith("## ")
    ]
    assert [line.split(".")[0] for line in asked[:10]] == [f"## {number}" for number in range(1, 11)]
    assert all(line.endswith("?") for line in asked[:10])
    saved = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.outputs for cell in saved if not cell.source.startswith(("import", "from")))
    pictures = [output for cell in saved for output in cell.outputs if "image/png" in output.get("data", {})]
    assert len(pictures) == 3
