"""JupyterLab around the graph: its keys, its wheel and its styles stay outside, and ours inside."""

from __future__ import annotations

import os
import string
from pathlib import Path

import pytest

from tests.browser.conftest import Opener
from tests.browser.lab import Notebook
from tests.support.pages import line

pytestmark = pytest.mark.browser

FOCUSABLE = ".anton button:visible, .anton select:visible, .anton input:visible, .anton .an-stage"


def opened(notebook: Opener, folder: Path) -> Notebook:
    """A notebook with a graph of one model call that has a finish reason, and a long cell above and below."""
    spans = [line("one", kind="agent", name="agent"), line("two", parent="one", finish_reason="stop", name="call")]
    (folder / "run.jsonl").write_bytes(b"".join(spans))
    show = f"import anton_notebook as anb\ngraph = anb.TraceGraph({str(folder)!r})\ngraph"
    book = notebook([show, "\n".join(f"# {i}" for i in range(80))])
    book.run_cell(0)
    book.painted(2)
    return book


def cells(book: Notebook) -> list[list[str]]:
    """Type and source of each cell."""
    content: list[list[str]] = book.page.evaluate(
        "() => jupyterapp.shell.currentWidget.content.widgets.map(c => [c.model.type, c.model.sharedModel.getSource()])"
    )
    return content


def test_keys_in_the_widget_leave_the_notebook_unchanged(notebook: Opener, traces: Path) -> None:
    book = opened(notebook, traces)
    page = book.page
    before = cells(book)
    count = page.locator(FOCUSABLE).count()
    assert count > 8
    for number in range(count):
        for key in ["m", "y", "b", "a", "x", "c", "v", "1", "d", "d", "z", "Enter", "Shift+M", "Control+Enter"]:
            element = page.locator(FOCUSABLE).nth(number) if number < page.locator(FOCUSABLE).count() else None
            if element is None:
                break
            element.evaluate("element => element.focus()")
            page.keyboard.press(key)
        assert cells(book) == before, f"element {number}"
    page.locator(".an-stage:visible").first.click(position={"x": 5, "y": 200})
    for key in string.ascii_letters + string.digits + string.punctuation:
        page.keyboard.press(key)
    assert cells(book) == before


def test_shift_enter_and_a_second_escape_leave_the_graph(notebook: Opener, traces: Path) -> None:
    book = opened(notebook, traces)
    page = book.page
    page.locator(".an-stage").focus()
    page.keyboard.press("Shift+Enter")
    book.until(
        lambda: page.evaluate("() => jupyterapp.shell.currentWidget.content.activeCellIndex") == 1, "the next cell"
    )


def test_wheel_scrolls_the_page_until_the_graph_has_the_focus(notebook: Opener, traces: Path) -> None:
    book = opened(notebook, traces)
    page = book.page
    page.set_viewport_size({"width": 1000, "height": 600})
    page.mouse.click(400, 590)
    stage = page.locator(".an-stage")
    top = stage.bounding_box()
    assert top is not None
    page.mouse.move(top["x"] + 300, top["y"] + 150)
    page.mouse.wheel(0, 120)
    book.until(lambda: (stage.bounding_box() or top)["y"] < top["y"] - 40, "the page scrolled")


@pytest.mark.parametrize("width", [600, 1000])
def test_facts_of_the_details_stand_in_two_columns(notebook: Opener, traces: Path, width: int) -> None:
    book = opened(notebook, traces)
    page = book.page
    page.set_viewport_size({"width": width + 300, "height": 1000})
    book.do("graph.selected_span_id = 'two'")
    page.locator(".an-facts dt").first.wait_for()
    pairs = page.evaluate(
        """() => [...document.querySelectorAll('.an-facts dt')].map(dt => {
            const [a, b] = [dt.getBoundingClientRect(), dt.nextElementSibling.getBoundingClientRect()];
            return [a.left, a.top, a.right, b.left, b.top];
        })"""
    )
    assert len(pairs) > 4
    assert len({round(left) for left, *_ in pairs}) == 1
    assert all(right <= value_left for _, _, right, value_left, _ in pairs)
    assert all(abs(top - value_top) < 6 for _, top, _, _, value_top in pairs)


def test_a_path_with_a_typo_is_explained_until_a_run_begins(notebook: Opener, traces: Path) -> None:
    (traces / "nightly").mkdir()
    show = f"import anton_notebook as anb\ngraph = anb.TraceGraph({str(traces / 'nigthly')!r})\ngraph"
    book = notebook([show])
    book.run_cell(0)
    page = book.page
    panel = page.locator(".an-waiting")
    panel.wait_for()
    words = panel.inner_text()
    assert str(traces / "nigthly") in words
    assert str(traces / "nightly") in words
    assert "does not exist" in words
    assert "anton-notebook record" in words
    assert page.locator(".an-empty").first.inner_text() == "Waiting for the first span …"
    shoot(book, "waiting")
    (traces / "nigthly").mkdir()
    (traces / "nigthly" / "run.jsonl").write_bytes(line("one", name="agent"))
    book.painted(1)
    panel.wait_for(state="hidden")
    assert page.locator(".an-state").inner_text() == "done"
    assert page.locator(".an-live").inner_text() == "following"
    shoot(book, "done")


def shoot(book: Notebook, name: str) -> None:
    folder = os.environ.get("ANTON_NOTEBOOK_SHOTS")
    if folder:
        book.page.screenshot(path=f"{folder}/host-{name}.png")
