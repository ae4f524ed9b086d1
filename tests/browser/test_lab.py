"""The graph in JupyterLab, as people use it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.browser.conftest import Opener
from tests.browser.lab import KERNEL, Notebook
from tests.support.pages import line

pytestmark = pytest.mark.browser


def busy_cell(folder: Path, seconds: float) -> str:
    """A cell that computes for a while and leaves a mark when it has ended."""
    return (
        f"import pathlib, time\nend = time.time() + {seconds}\nwhile time.time() < end: sum(range(1000))\n"
        f"pathlib.Path({str(folder / 'ended')!r}).touch()"
    )


def running(folder: Path) -> bool:
    """Whether that cell has not ended."""
    return not (folder / "ended").exists()


def show(folder: Path, more: str = "") -> str:
    return f"from anton_notebook.widget.trace_graph import TraceGraph\ngraph = TraceGraph({str(folder)!r}{more})\ngraph"


def append(folder: Path, *lines: bytes) -> None:
    with (folder / "a.jsonl").open("ab") as out:
        out.write(b"".join(lines))


def started(notebook: Opener, folder: Path, *more: str) -> Notebook:
    """A notebook with the graph of two calls and their orchestrator in its first cell."""
    append(folder, line("s1"), line("s2", parent_id="s1", response="The answer of s2."))
    book = notebook([show(folder), *more])
    book.idle()
    book.run_cell(0)
    book.painted(3)
    return book


def busy(book: Notebook) -> bool:
    return bool(book.page.evaluate(f"{KERNEL}.status === 'busy'"))


def test_the_graph_grows_while_a_writer_appends(notebook: Opener, traces: Path) -> None:
    book = started(notebook, traces)
    for i in range(30):
        append(traces, line(f"x{i}", parent_id="s1"))
        time.sleep(0.01)
    book.painted(33, patience=5)


def test_the_graph_grows_while_a_cell_runs(notebook: Opener, traces: Path) -> None:
    book = started(notebook, traces, busy_cell(traces, 12))
    book.run_cell(1, wait=False)
    book.until(lambda: busy(book), "busy")
    for i in range(10):
        append(traces, line(f"x{i}", parent_id="s1"))
    book.painted(13, patience=5)
    assert running(traces)


def test_a_graph_is_there_at_once_in_a_cell_that_goes_on_running(notebook: Opener, traces: Path) -> None:
    append(traces, line("s1"))
    book = notebook([show(traces).removesuffix("graph") + "display(graph)\n" + busy_cell(traces, 15)])
    book.do("import anton_notebook.widget.trace_graph")
    book.run_cell(0, wait=False)
    book.painted(2, patience=8)
    assert running(traces)


def test_a_reload_shows_everything_again(notebook: Opener, traces: Path) -> None:
    book = started(notebook, traces)
    append(traces, line("x"))
    book.painted(4)
    book.save()
    book.open()
    book.painted(4)
    append(traces, line("y"))
    book.painted(5, patience=5)


def test_a_reload_while_a_cell_runs_shows_the_graph_when_the_cell_ends(notebook: Opener, traces: Path) -> None:
    """JupyterLab asks the main shell for the states of widgets, which waits for the running cell: a documented limit."""
    book = started(notebook, traces, busy_cell(traces, 12))
    book.run_cell(1, wait=False)
    book.until(lambda: busy(book), "busy")
    append(traces, line("x"))
    book.save()
    book.open()
    book.painted(4, patience=40)
    assert not running(traces)
    append(traces, line("y"))
    book.painted(5, patience=10)


def test_W4_two_views_and_a_second_tab_show_the_same(notebook: Opener, traces: Path) -> None:
    book = started(notebook, traces, "graph")
    book.run_cell(1)
    book.page.wait_for_function("document.querySelectorAll('.anton').length === 2")
    book.save()
    tab = book.second_tab()
    append(traces, line("x"))
    book.painted(4, patience=10)
    tab.painted(4)
    assert book.ask("graph._parts.session.stream.clients") == 2
    tab.page.close()
    append(traces, line("y"))
    book.painted(5, patience=5)


def test_a_graph_shown_after_its_run_has_ended_is_whole(notebook: Opener, traces: Path) -> None:
    append(traces, line("s1"))
    book = notebook([show(traces).removesuffix("\ngraph"), "graph"])
    book.idle()
    book.run_cell(0)
    append(traces, *(line(f"x{i}", parent_id="s1") for i in range(200)))
    book.until(lambda: book.ask("graph.traces.store.size") == 202, "read")
    book.run_cell(1)
    book.painted(202, patience=10)


def test_selecting_in_the_page_reaches_python_and_the_other_way_round(notebook: Opener, traces: Path) -> None:
    book = started(notebook, traces)
    book.do("chosen = []\ngraph.observe(lambda change: chosen.append(change['new']), 'selected_span_id')")
    book.click_a_span()
    book.until(lambda: book.ask("chosen"), "a selection in Python")
    first = book.ask("graph.selected_span_id")
    assert book.ask("graph.selected_df['span_id'].tolist()") == [first]
    book.do("graph.selected_span_id = 's2'")
    book.page.wait_for_function("document.querySelector('.an-details:not([hidden])')?.textContent.includes('s2')")


def test_a_click_is_answered_while_a_cell_runs(notebook: Opener, traces: Path) -> None:
    book = started(notebook, traces, busy_cell(traces, 25))
    channel = book.channel()
    book.run_cell(1, wait=False)
    book.until(lambda: busy(book), "busy")
    append(traces, *(line(f"x{i}") for i in range(10)))
    book.click_a_span()
    book.page.wait_for_selector(".an-details dl")
    took = sorted(book.request_ms(channel, "details", row=1) for _ in range(20))
    assert running(traces)
    assert took[10] <= 150


def test_running_a_cell_again_closes_its_former_graph(notebook: Opener, traces: Path) -> None:
    count = "sum('TraceGraph' in type(w).__name__ for w in __import__('ipywidgets').widgets.widget._instances.values())"
    book = started(notebook, traces, "graph2 = TraceGraph(graph.traces)\ngraph2")
    book.run_cell(1)
    assert book.ask(count) == 2
    for _ in range(5):
        book.run_cell(0)
    book.painted(3)
    assert book.ask(count) == 2  # the other cell's is still there
    names = book.ask("[t.name for t in __import__('threading').enumerate()]")
    assert names.count("anton_notebook live") == 1
    assert names.count("anton_notebook sender") == 1
    book.do("graph.close(); graph2.close()")
    book.until(
        lambda: "anton_notebook live" not in book.ask("[t.name for t in __import__('threading').enumerate()]"),
        "the end",
    )


def test_W2_a_flood_of_prints_loses_nothing_in_the_end(notebook: Opener, traces: Path) -> None:
    flood = (
        "import time\nend = time.time() + 6\nwhile time.time() < end:\n    print('x' * 100_000)\n    time.sleep(0.01)"
    )
    book = started(notebook, traces, flood)
    book.run_cell(1, wait=False)
    book.until(lambda: busy(book), "busy")
    for i in range(300):
        append(traces, line(f"x{i}", parent_id="s1"))
        time.sleep(0.01)
    book.painted(303, patience=30)


def test_W5_a_restarted_kernel_leaves_the_last_picture_and_no_error(notebook: Opener, traces: Path) -> None:
    book = started(notebook, traces)
    book.page.evaluate(f"{KERNEL}.restart()")
    book.idle()
    append(traces, line("x"))
    book.page.wait_for_timeout(1_000)
    assert book.page.evaluate("document.querySelector('.anton').__painted") == 3
    book.run_cell(0)
    book.painted(4)


def test_many_spans_selected_lit_and_kept_cross_both_ways_and_the_view_is_a_trait(
    notebook: Opener, traces: Path
) -> None:
    book = started(notebook, traces)
    page = book.page
    book.do("graph.view = 'timeline'")
    page.wait_for_selector(".anton[data-view=timeline]")
    stage = page.locator(".an-stage:visible").bounding_box()
    assert stage is not None
    page.mouse.move(stage["x"] + 2, stage["y"] + 8)
    page.mouse.down()
    page.mouse.move(stage["x"] + stage["width"] / 2, stage["y"] + 12)
    page.mouse.move(stage["x"] + stage["width"] - 4, stage["y"] + 12)
    page.mouse.up()
    book.until(lambda: len(book.ask("graph.selected_span_ids")) == 3, "a brushed selection in Python")
    assert book.ask("len(graph.selected_df)") == 3
    page.locator(".an-stage:visible").focus()
    page.keyboard.press("3")
    book.until(lambda: book.ask("graph.view") == "tree", "the view in Python")
    assert page.locator(".an-space .an-row.an-chosen").count() == 3
    book.do("graph.highlight(['s2'])")
    page.wait_for_function("document.querySelectorAll('.an-row.an-faint').length === 2")
    book.do("graph.highlight(None); graph.filter(graph.traces.spans_df().query(\"span_id == 's1'\"))")
    page.wait_for_function("document.querySelectorAll('.an-space .an-row:not([hidden])').length === 2")
    book.do("graph.filter(None); graph.selected_span_ids = ['s1', 's2']")
    page.wait_for_function("document.querySelectorAll('.an-row.an-chosen').length === 2")


def test_what_is_seen_comes_back_as_a_picture_while_the_cell_runs(notebook: Opener, traces: Path) -> None:
    book = started(notebook, traces)
    wide = book.page.locator(".an-stage:visible").bounding_box()
    assert wide is not None
    for view in ("graph", "timeline"):
        book.do(f"graph.view = {view!r}")
        book.page.wait_for_selector(f".anton[data-view={view}]")
        head = bytes.fromhex(book.ask("graph.to_png(scale=2)[:24].hex()"))
        assert head[1:4] == b"PNG"
        assert int.from_bytes(head[16:20], "big") == pytest.approx(wide["width"] * 2, abs=6)
    book.do("graph.view = 'tree'")
    book.page.wait_for_selector(".anton[data-view=tree]")
    with pytest.raises(Exception, match="The tree view is no picture"):
        book.do("graph.to_png()")


def test_no_html_representation_is_typeset_as_mathematics(notebook: Opener, traces: Path) -> None:
    append(traces, line("s1", response="costs $3 or $4", messages=[{"role": "user", "content": "$a$ and $b$"}]))
    cells = [
        "from IPython.display import HTML, display\nHTML('<p>$x^2$ and $y_1$</p>')",
        f"import anton_notebook as anb, pandas as pd\ntraces = anb.read_traces({str(traces)!r})\nspan = traces.span('s1')\n"
        "display(traces, traces['run-1'], span, span.request, span.response, anb.checkpoint(span))\n"
        "display(anb.quote(span, prompt='$a$ or $b$'))\n"
        "display(anb.show_diff(pd.DataFrame([{'original': '$a$ b', 'response': '$a$ c $d$', 'error': None}])))",
        f"graph = anb.TraceGraph({str(traces)!r})\nHTML(graph._parts.snapshot.static_html())",
    ]
    book = notebook(cells)
    book.idle()
    for number in range(3):
        book.run_cell(number)
    cell = book.page.locator(".jp-CodeCell")
    cell.nth(0).locator("mjx-container").first.wait_for(timeout=20_000)  # MathJax is there
    book.page.wait_for_timeout(1_000)
    assert cell.nth(0).locator("mjx-container").count() == 2
    for number in (1, 2):
        assert cell.nth(number).locator(".jp-OutputArea-output").count() >= 1
        assert cell.nth(number).locator("mjx-container").count() == 0
    assert "$a$" in cell.nth(1).inner_text()


def test_graph_fits_ipywidgets_containers(notebook: Opener, traces: Path) -> None:
    append(traces, line("s1"), line("s2", parent_id="s1"))
    make = f"anb.TraceGraph({str(traces)!r}, height=300)"
    cells = [
        f"import anton_notebook as anb, ipywidgets as w\nw.HBox([{make}, {make}])",
        f"w.VBox([{make}])",
        f"w.AppLayout(center={make}, left_sidebar=w.Label('left'))",
        f"w.TwoByTwoLayout(top_left={make}, bottom_right=w.Label('below'))",
        f"tab = w.Tab([w.Label('first'), {make}])\ntab",
        f"w.Accordion([{make}], selected_index=0)",
        f"half = {make}\nhalf.layout.width = '50%'\nhalf",
    ]
    book = notebook(cells)
    book.idle()
    for number in range(len(cells)):
        book.run_cell(number)
    cell = book.page.locator(".jp-CodeCell")

    def widths(number: int) -> list[float]:
        boxes = [one.bounding_box() for one in cell.nth(number).locator(".anton").all()]
        return [box["width"] if box else 0.0 for box in boxes]

    whole = cell.nth(1).locator(".jp-OutputArea-output").first.bounding_box()
    assert whole is not None
    book.until(lambda: len(widths(0)) == 2 and min(widths(0)) > 0.4 * whole["width"], "two graphs side by side")
    for number in (1, 2, 3, 5):
        book.until(lambda number=number: min(widths(number) or [0]) > 0.25 * whole["width"], f"cell {number}")
    cell.nth(4).locator(".lm-TabBar-tab").nth(1).click()
    book.until(lambda: min(widths(4) or [0]) > 0.7 * whole["width"], "a tab that was shown later")
    book.until(lambda: 0.4 < min(widths(6) or [0]) / whole["width"] < 0.6, "half the width")
