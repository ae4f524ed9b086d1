"""The views of one run in a real browser: each is reached by key and button, keeps what is selected, filtered and looked at, and is
fit for keyboards, screen readers and narrow cells. Spans come from a fake kernel in the page."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.harness import JS, Harness, served

pytestmark = pytest.mark.browser
Opener = Callable[..., Harness]
VIEWS = ("graph", "timeline", "tree", "chat", "compare")
AXE = JS / "node_modules" / "axe-core" / "axe.min.js"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served(tmp_path_factory.mktemp("views")) as url:
        yield url


@pytest.fixture
def show(address: str, browser: Browser) -> Iterator[Opener]:
    opened: list[Harness] = []

    def open_one(**query: object) -> Harness:
        opened.append(Harness(browser, address, **query))  # type: ignore[arg-type]
        return opened[-1]

    yield open_one
    for one in opened:
        assert one.complaints == []
        one.close()


def view_of(page: Page) -> str:
    return str(page.evaluate("document.querySelector('.anton').dataset.view"))


def violations(page: Page) -> list[str]:
    """What axe finds in the cell, against WCAG 2.1 AA and good practice."""
    if not page.evaluate("'axe' in window"):
        page.add_script_tag(path=str(AXE))
    tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]
    found: list[dict[str, Any]] = page.evaluate(
        "tags => axe.run('.anton', { runOnly: { type: 'tag', values: tags } }).then((done) => done.violations)", tags
    )
    return [f"{one['id']}: {node['html'][:160]}" for one in found for node in one["nodes"]]


def test_keys_and_buttons_lead_to_each_view_and_the_selection_goes_along(show: Opener) -> None:
    page = show(spans=60, select=12).page
    page.locator(".an-stage").focus()
    for number, name in enumerate(VIEWS, start=1):
        page.keyboard.press(str(number))
        assert view_of(page) == name
        assert page.evaluate("kernel.traits.get('view')") == name
        assert page.locator(".an-details").is_visible()
    page.get_by_role("button", name="Tree").click()
    assert view_of(page) == "tree"
    chosen = page.locator(".an-row.an-chosen")
    assert chosen.count() == 1
    page.locator(".an-tree").focus()
    page.keyboard.press("ArrowDown")
    after = page.evaluate("kernel.traits.get('_selected_row')")
    assert after != 12
    page.keyboard.press("4")
    page.wait_for_selector(".an-call")
    page.keyboard.press("1")
    assert page.evaluate("kernel.traits.get('_selected_row')") == after


# Pixels that are about of a colour, which stands on the canvas in lines that are thin.
COLOURED = """(rgb) => {
  const { data } = window.pixels();
  let found = 0;
  for (let i = 0; i < data.length; i += 4)
    if (rgb.every((part, at) => Math.abs(data[i + at] - part) < 70) && data[i + 2] - data[i] > 80) found++;
  return found;
}"""


def test_a_note_is_written_by_keyboard_and_its_mark_is_seen_and_filtered_by(show: Opener) -> None:
    page = show(spans=60, select=12).page
    page.get_by_label("Mark of this span").focus()
    page.keyboard.type("bad")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "Note about this span"
    page.keyboard.type("f2/ wrong file?")  # keys of the views, which must not hear them
    page.keyboard.press("Control+Enter")
    page.wait_for_function("document.querySelector('.an-note-said').textContent === 'Saved'")
    assert page.evaluate("kernel.requests.filter((one) => one.op === 'note').length") >= 1
    assert view_of(page) == "graph" and violations(page) == []
    page.locator(".an-stage").focus()
    page.keyboard.press("3")
    page.wait_for_function("document.querySelector('.an-row.an-chosen .an-noted')?.textContent === '✗ bad'")
    page.get_by_role("button", name="Filter", exact=True).click()
    page.get_by_label("Only bad").click()
    page.wait_for_function("document.querySelector('.an-filter-foot .an-found').textContent === '1 left'")


def test_answers_of_an_experiment_hang_dashed_under_the_call_they_are_about(show: Opener) -> None:
    page = show(spans=60, tried=4).page
    page.wait_for_function("window.paints.length > 0")
    hanging = page.evaluate("kernel.runs.map((one) => one.original_row !== null && one.origin)")
    assert hanging == [False, "rerun"] and page.evaluate("kernel.shown.length") == 2
    accent = page.evaluate("getComputedStyle(document.querySelector('.anton')).getPropertyValue('--an-accent').trim()")
    rgb = [int(accent[i : i + 2], 16) for i in (1, 3, 5)]
    assert page.evaluate(COLOURED, rgb) > 20, "the dashes between them are seen"
    total = page.locator(".an-total").first.inner_text()
    alone = show(spans=60).page
    assert alone.locator(".an-total").first.inner_text() == total, "the run's sums do not count them"


def test_a_search_and_a_filter_hold_in_every_view(show: Opener) -> None:
    page = show(spans=300).page
    page.keyboard.press("Tab")
    page.locator(".an-stage").focus()
    page.keyboard.press("/")
    page.keyboard.type("read_file")
    page.wait_for_function("document.querySelector('.an-found').textContent.includes('found')")
    page.keyboard.press("Enter")
    slot = page.evaluate("model.slotOf(kernel.traits.get('_selected_row'))")
    assert page.evaluate("slot => model.name(slot)", slot) == "read_file"
    page.get_by_role("button", name="Tree").click()
    faint = page.locator(".an-space .an-row:not([hidden])").evaluate_all(
        "all => all.map(e => [e.querySelector('.an-name').textContent, e.classList.contains('an-faint')])"
    )
    assert {name == "read_file" for name, is_faint in faint if not is_faint} <= {True}
    assert any(is_faint for _, is_faint in faint)
    page.locator(".an-search").press("Escape")
    before = page.locator(".an-tree").get_attribute("aria-rowcount")
    page.get_by_role("button", name="Filter").click()
    page.get_by_role("button", name="Only llm").click()
    page.wait_for_function("n => document.querySelector('.an-tree').getAttribute('aria-rowcount') !== n", arg=before)
    kinds = set(page.locator(".an-space .an-row:not([hidden]) .an-cell:nth-child(2)").all_inner_texts())
    assert "tool call" not in kinds and "LLM call" in kinds
    page.keyboard.press("Escape")
    page.keyboard.press("2")
    assert view_of(page) == "timeline"
    assert page.get_by_role("button", name="Filter · 1").is_visible()


def test_a_brush_on_the_timeline_and_a_box_in_the_graph_select_many(show: Opener) -> None:
    shown = show(spans=60)
    page = shown.page
    for view, (x, y), (dx, dy), shift in [
        ("timeline", (300, 40), (400, 4), False),
        ("graph", (60, 60), (900, 400), True),
    ]:
        page.evaluate("name => kernel.setTrait('view', name)", view)
        shown.rest()
        box = page.locator(".an-stage:visible").bounding_box()
        assert box is not None
        if shift:
            page.keyboard.down("Shift")
        page.mouse.move(box["x"] + x, box["y"] + y)
        page.mouse.down()
        page.mouse.move(box["x"] + x + dx / 2, box["y"] + y + dy / 2)
        page.mouse.move(box["x"] + x + dx, box["y"] + y + dy)
        page.mouse.up()
        if shift:
            page.keyboard.up("Shift")
        count = page.evaluate("kernel.traits.get('_selected_rows')?.getInt32(0, true) ?? 0")
        assert count > 5, view


def test_a_shape_drawn_by_hand_selects_what_lies_in_it(show: Opener, tmp_path: Path) -> None:
    shown = show(spans=60)
    page = shown.page
    shown.rest()
    box = page.locator(".an-stage:visible").bounding_box()
    assert box is not None
    right, bottom = box["x"] + box["width"] - 6, box["y"] + box["height"] - 6
    left, top = box["x"] + 6, box["y"] + 30

    def draw(*corners: tuple[float, float]) -> int:
        page.keyboard.down("Shift")
        page.keyboard.down("Alt")
        page.mouse.move(*corners[0])
        page.mouse.down()
        for corner in corners[1:]:
            page.mouse.move(*corner, steps=12)
        page.screenshot(path=tmp_path / "lasso.png")
        page.mouse.up()
        page.keyboard.up("Alt")
        page.keyboard.up("Shift")
        count = int(page.evaluate("kernel.traits.get('_selected_rows')?.getInt32(0, true) ?? 0"))
        page.get_by_role("button", name="Close").click()
        shown.rest()
        return count

    middle = (left + right) / 2
    whole = draw((left, top), (right, top), (right, bottom), (left, bottom))
    halves = draw((left, top), (middle, top), (middle, bottom), (left, bottom))
    others = draw((middle, bottom), (right, bottom), (right, top), (middle, top))
    assert whole > 20 and 0 < halves < whole and halves + others == whole
    assert page.locator(".an-lasso polygon[points]").count() == 0


def test_the_place_in_time_goes_along(show: Opener) -> None:
    shown = show(spans=200, view="timeline")
    page = shown.page
    picture = "document.querySelector('.an-stage:not([hidden]) canvas').toDataURL()"
    shown.rest()
    whole = page.evaluate(picture)
    page.locator(".an-stage:visible").focus()
    for _ in range(4):
        page.keyboard.press("+")
    shown.rest()
    near = page.evaluate(picture)
    assert near != whole
    page.keyboard.press("1")
    shown.rest()
    page.keyboard.press("2")
    shown.rest()
    assert page.evaluate(picture) == near
    page.keyboard.press("f")
    shown.rest()
    assert page.evaluate(picture) == whole


def test_a_long_run_has_few_lines_in_the_page_and_scrolls_to_its_end(show: Opener) -> None:
    page = show(spans=50_000, view="tree").page
    page.locator(".an-tree").focus()
    page.keyboard.press("End")
    page.wait_for_selector(".an-row.an-chosen")
    assert page.locator(".an-row").count() < 60
    last = page.locator(".an-row.an-chosen").get_attribute("aria-rowindex")
    assert last == page.locator(".an-tree").get_attribute("aria-rowcount")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_axe_finds_nothing_in_any_view(show: Opener, dark: bool) -> None:
    found: dict[str, list[str]] = {}
    shown = show(spans=80, select=9, branch=True, **({"dark": True} if dark else {}))
    page = shown.page
    for name in VIEWS:
        page.evaluate("name => kernel.setTrait('view', name)", name)
        page.wait_for_timeout(150)
        if not (wrong := violations(page)):
            continue
        found[name] = wrong
    page.get_by_role("button", name="Filter").click()
    if wrong := violations(page):
        found["filters"] = wrong
    assert found == {}, "\n".join(f"{name}: {one}" for name, all_ in found.items() for one in all_)


@pytest.mark.parametrize("width", [420, 760])
def test_narrow_cells_keep_everything_inside(show: Opener, width: int) -> None:
    page = show(spans=60, width=width, branch=True).page
    for name in VIEWS:
        page.evaluate("name => kernel.setTrait('view', name)", name)
        page.wait_for_timeout(80)
        wide = page.evaluate(
            "(() => { const e = document.querySelector('.anton'); return e.scrollWidth - e.clientWidth; })()"
        )
        assert wide <= 1, name
