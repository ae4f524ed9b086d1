"""Runs the example notebooks and saves their outputs in them: `python examples/save_outputs.py [NAME ...]`, after a change that shows."""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

from anton_notebook.simulate import TRACES, plan, play

HERE = Path(__file__).resolve().parent
LIVE = "live_trace"


def saved(path: Path) -> None:
    """Runs one in a folder of its own; what names a place of this machine is taken out."""
    pages = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory(prefix="example-") as made:
        if path.stem == LIVE:  # the run that it would start is over already, so that all of it is seen
            play([event._replace(at=0) for event in plan(seed=3, agents=3, spans=60)], Path(made, TRACES))
        client = NotebookClient(pages, timeout=300, kernel_name="python3", resources={"metadata": {"path": made}})
        client.store_widget_state = False  # the picture below the cell is kept, and is a tenth of the size
        client.execute()
    for cell in pages.cells:
        cell.metadata.pop("execution", None)
        for output in cell.get("outputs", []):
            for kind, value in output.get("data", {}).items():
                output["data"][kind] = cleaned(value) if isinstance(value, str) else value
            if "text" in output:
                output["text"] = cleaned(output["text"])
    pages.metadata.pop("widgets", None)
    nbformat.validate(pages)
    nbformat.write(pages, path)


def cleaned(text: str) -> str:
    """Without the folders of this machine."""
    folder = re.escape(tempfile.gettempdir())
    return re.sub(rf"{folder}/(?:example-)?\w+|\b(?:tmp|example-)[a-z0-9_]{{8}}\b", "runs", text)


if __name__ == "__main__":
    for found in sorted(HERE.glob("*.ipynb")):
        if not sys.argv[1:] or found.stem in sys.argv[1:]:
            saved(found)
            print(f"saved {found.name}")
