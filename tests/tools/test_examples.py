"""The example notebooks run top to bottom, without a key and without a network."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
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
    kept = nbformat.read(EXAMPLES / name, as_version=4)  # what is saved in it is what comes
    for old, new in zip(kept.cells, notebook.cells, strict=True):
        assert kinds(old) == kinds(new), old.source


def kinds(cell: nbformat.NotebookNode) -> list[tuple[str, tuple[str, ...]]]:
    """The kinds of a cell's outputs, in order; pieces of one stream are one."""
    found = [(output.output_type, tuple(sorted(output.get("data", {})))) for output in cell.get("outputs", [])]
    return [one for i, one in enumerate(found) if one[0] != "stream" or i == 0 or found[i - 1] != one]


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.ipynb")), ids=lambda path: path.name)
def test_the_outputs_are_saved_in_the_notebook_and_none_of_them_complains(path: Path) -> None:
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    assert sum(bool(cell.outputs) for cell in cells) >= len(cells) / 2
    assert any(
        any(word in str(output.get("data", {})) for word in ("<svg", "data:image"))
        or "image/png" in output.get("data", {})
        for cell in cells
        for output in cell.outputs
    )
    assert not [
        output
        for cell in cells
        for output in cell.outputs
        if output.get("name") == "stderr" or output.output_type == "error"
    ]


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
