"""`TraceGraph` in a real kernel without a page, as `nbconvert --execute` runs it, and the saved notebook."""

from __future__ import annotations

import json

import nbformat
import pytest
from nbclient import NotebookClient

from tests.support.pages import line

CANARY = "sk-canary-98765"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> nbformat.NotebookNode:
    folder = tmp_path_factory.mktemp("traces")
    secret = [{"role": "user", "content": CANARY}]
    (folder / "a.jsonl").write_bytes(
        line("s1", system_prompt=CANARY, messages=secret, response=CANARY, error=CANARY) + line("s2", parent_id="s1")
    )
    cells = [
        f"from anton_notebook.widget.trace_graph import TraceGraph\ngraph = TraceGraph({str(folder)!r})\ngraph",
        "graph.selected_span_id = 's1'\ngraph.height = 300\nprint(graph.selected_span.status)",
        f"import time\nopen({str(folder / 'a.jsonl')!r}, 'ab').write({line('s3')!r})\n"
        "for _ in range(500):\n    if graph.traces.store.size == 4: break\n    time.sleep(0.01)\nprint(graph.traces.store.size)",
        "graph.close()\nimport threading\nprint([t.name for t in threading.enumerate() if 'anton' in t.name])",
    ]
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells[:3]])
    closing = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    for one in (book, closing):
        NotebookClient(one, timeout=60, kernel_name="python3").execute()
        (folder / "a.jsonl").write_bytes((folder / "a.jsonl").read_bytes().replace(line("s3"), b""))
    book.metadata["closing"] = closing.cells[3].outputs[0].text
    return book


def test_kernel_runs_graph_without_a_page(saved: nbformat.NotebookNode) -> None:
    texts = [
        output.get("text", "") for cell in saved.cells for output in cell.outputs if output.output_type == "stream"
    ]
    assert texts == ["error\n", "4\n"]
    shown, still = saved.cells[0].outputs
    assert "application/vnd.jupyter.widget-view+json" in shown.data
    assert shown.data["text/plain"].startswith("<TraceGraph of ")
    assert still.data["text/html"].startswith('<div class="anton-still tex2jax_ignore mathjax_ignore"><img alt=')
    assert "<svg" not in still.data["text/html"]  # which an untrusted notebook would lose


def test_kernel_close_ends_threads(saved: nbformat.NotebookNode) -> None:
    assert saved.metadata["closing"] == "[]\n"


def test_W9_saved_notebook_holds_no_text_of_spans(saved: nbformat.NotebookNode) -> None:
    text = json.dumps(saved)
    assert CANARY not in text
    states = saved.metadata.widgets["application/vnd.jupyter.widget-state+json"].state.values()
    graph = next(s.state for s in states if s.state.get("_anywidget_id"))
    assert (graph.height, graph.selected_span_id, graph.x_axis) == (300, "s1", "time")
    assert len(text) < 600_000
