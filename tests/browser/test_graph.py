"""The picture in a real browser, fed by a fake kernel in the page: what is seen, read, reached and kept inside."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.harness import Harness, served

Opener = Callable[..., Harness]
KINDS = {"orchestrator": (74, 144, 226), "agent": (230, 126, 34), "llm": (155, 89, 182), "tool": (46, 204, 113)}

COLOURS = """(colours) => {
  const { data } = pixels();
  const counts = colours.map(() => 0);
  const all = new Set();
  for (let i = 0; i < data.length; i += 4) {
    all.add((data[i] << 16) | (data[i + 1] << 8) | data[i + 2]);
    colours.forEach(([r, g, b], k) => { counts[k] += data[i] === r && data[i + 1] === g && data[i + 2] === b; });
  }
  return [all.size, counts];
}"""

# Of every text that is seen: its colour against the first ground behind it that is not clear.
CONTRASTS = """() => {
  const parts = (colour) => (colour.match(/[\\d.]+/g) ?? []).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const found = [];
  for (const element of document.querySelectorAll(".anton *")) {
    const own = [...element.childNodes].filter((node) => node.nodeType === 3 && node.data.trim() !== "");
    if (own.length === 0 || !element.checkVisibility() || element.closest(".an-hidden")) continue;
    let behind = element;
    while (behind && (parts(getComputedStyle(behind).backgroundColor)[3] ?? 1) < 1) behind = behind.parentElement;
    const ground = behind ? getComputedStyle(behind).backgroundColor : "rgb(255, 255, 255)";
    const [a, b] = [light(parts(getComputedStyle(element).color)), light(parts(ground))];
    found.push([(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), own[0].data.trim().slice(0, 30)]);
  }
  return found;
}"""

OUTSIDE = """() => {
  const root = document.querySelector(".anton").getBoundingClientRect();
  const out = [];
  for (const element of document.querySelectorAll(".anton *")) {
    if (!element.checkVisibility() || element.closest(".an-hidden, .an-details > *, select > *")) continue;
    const box = element.getBoundingClientRect();
    if (box.left < root.left - 1 || box.right > root.right + 1 || box.top < root.top - 1 || box.bottom > root.bottom + 1)
      out.push(element.className || element.tagName);
  }
  return out;
}"""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served(tmp_path_factory.mktemp("page")) as url:
        yield url


@pytest.fixture
def harness(browser: Browser, address: str) -> Iterator[Opener]:
    """Opens the page: `harness(spans=30, dark=True)`. In the end no page may have complained."""
    opened: list[Harness] = []

    def open_one(**query: object) -> Harness:
        size = {name: query.pop(name) for name in ("width", "height") if name in query}
        opened.append(Harness(browser, address, **size, **query))  # type: ignore[arg-type]
        opened[-1].rest()
        return opened[-1]

    yield open_one
    complaints = [said for one in opened for said in one.complaints]
    for one in opened:
        one.close()
    assert not complaints


def selected(page: Page) -> int:
    """The row that the kernel has as selected."""
    return int(page.evaluate("Number(kernel.traits.get('_selected_row'))"))


def find(page: Page, kind: str) -> tuple[float, float]:
    """A place on the page in the middle of a node of this kind."""
    place = page.evaluate(
        """([r, g, b]) => {
          const canvas = document.querySelector(".anton canvas");
          const { data } = pixels();
          const is = (x, y) => { const i = (y * canvas.width + x) * 4;
            return data[i] === r && data[i + 1] === g && data[i + 2] === b; };
          const box = canvas.getBoundingClientRect();
          for (let y = 30; y < canvas.height - 5; y++) for (let x = 5; x < canvas.width - 12; x++)
            if ([0, 3, 6, 9].every((d) => is(x + d, y) && is(x + d, y + 5))) return [box.x + x + 5, box.y + y + 3];
          return null;
        }""",
        KINDS[kind],
    )
    assert place is not None, f"no {kind} is seen"
    return place[0], place[1]


@pytest.mark.parametrize(
    ("spans", "layout", "dark"),
    [
        (1, "time", False),
        (30, "time", True),
        (30, "order", False),
        (300, "time", False),
        (10_000, "time", False),
        (10_000, "order", True),
    ],
)
def test_every_kind_is_seen_in_its_colour(harness: Opener, spans: int, layout: str, dark: bool) -> None:
    page = harness(spans=spans, layout=layout, **({"dark": True} if dark else {})).page
    colours, counts = page.evaluate(COLOURS, list(KINDS.values()))
    assert colours > (5 if spans == 1 else 20)
    seen = {kind for kind, count in zip(KINDS, counts, strict=True) if count > 0}
    assert seen == (set(KINDS) if spans > 1 else {"orchestrator"})


@pytest.mark.parametrize("dark", [False, True])
def test_words_are_readable_in_light_and_dark(harness: Opener, dark: bool) -> None:
    page = harness(spans=300, select=5, sentence=True, **({"dark": True} if dark else {})).page
    page.evaluate("kernel.setTrait('_error', 'The folder is not readable.')")
    page.locator(".an-facts").wait_for()
    page.locator(".an-stage").press("?")
    page.mouse.move(*find(page, "llm"))
    found = page.evaluate(CONTRASTS)
    assert len(found) > 30
    assert [text for contrast, text in found if contrast < 4.5] == []


def test_the_picture_follows_the_page_from_light_to_dark(harness: Opener) -> None:
    page = harness().page
    ground = "pixels().data[4 * 300 * pixels().width + 8]"
    assert page.evaluate(ground) > 200
    page.evaluate("document.body.dataset.jpThemeLight = 'false'")
    page.wait_for_function(f"{ground} < 60")


@pytest.mark.parametrize("width", [480, 760, 1100])
def test_nothing_sticks_out_of_the_cell(harness: Opener, width: int) -> None:
    page = harness(spans=30, width=width + 32, sentence=True).page
    assert page.evaluate(OUTSIDE) == []
    box = page.locator(".an-stage").bounding_box()
    assert box is not None
    hovers = 0
    for across in range(4, int(box["width"]), 30 if width < 600 else 45):
        for down in range(30, int(box["height"]), 30):
            page.mouse.move(box["x"] + across, box["y"] + down)
            if page.locator(".an-tip").is_visible():
                hovers += 1
                assert page.evaluate(OUTSIDE) == [], (across, down)
    assert hovers > 3
    page.evaluate("kernel.setTrait('_selected_row', 5)")
    page.locator(".an-facts").wait_for()
    page.locator(".an-stage").press("?")
    assert page.evaluate(OUTSIDE) == []


def test_in_a_narrow_cell_the_details_are_readable_and_the_picture_keeps_its_width(harness: Opener) -> None:
    page = harness(spans=30, width=512).page
    before = page.locator(".an-stage").bounding_box()
    page.evaluate("kernel.setTrait('_selected_row', 5)")
    page.locator(".an-facts").wait_for()
    panel, stage = page.locator(".an-details").bounding_box(), page.locator(".an-stage").bounding_box()
    assert panel is not None
    assert panel["width"] >= 340
    assert stage == before


def test_the_keyboard_walks_the_tree_and_opens_the_details(harness: Opener) -> None:
    page = harness().page
    page.locator(".an-stage").focus()
    rows = []
    for key in ("ArrowDown", "ArrowDown", "ArrowRight", "ArrowLeft", "ArrowUp"):
        page.keyboard.press(key)
        rows.append(selected(page))
    assert rows[0] == rows[4] == 0
    assert rows[1] == rows[3] != rows[2]
    parents = page.evaluate("rows => rows.map((row) => kernel.spans[row].parent)", rows[:3])
    assert parents == [None, 0, 0]
    page.locator(".an-facts").wait_for()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.className") == "an-details"
    page.locator(".an-stage").focus()
    page.keyboard.press("Escape")
    page.locator(".an-details").wait_for(state="hidden")
    assert selected(page) == -1


def test_a_click_selects_and_the_details_tell_about_it(harness: Opener) -> None:
    page = harness().page
    page.mouse.click(*find(page, "tool"))
    page.locator(".an-facts").wait_for()
    kind, name = page.evaluate("(row) => [kernel.spans[row].kind, kernel.spans[row].name]", selected(page))
    assert kind == "tool"
    assert page.locator(".an-details h3").inner_text() == name


def test_hovering_tells_what_it_is_and_leaving_stops(harness: Opener) -> None:
    page = harness().page
    page.mouse.move(*find(page, "agent"))
    page.locator(".an-tip").wait_for()
    assert "agent" in page.locator(".an-tip").inner_text()
    page.mouse.move(2, 2)
    page.locator(".an-tip").wait_for(state="hidden")


def test_a_node_that_is_dragged_stays_when_others_come(harness: Opener) -> None:
    page = harness().page
    x, y = find(page, "orchestrator")
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 40, y + 60, steps=4)
    page.mouse.up()
    page.evaluate(
        """() => { const last = kernel.spans.at(-1);
        kernel.put({ ...last, start: last.start + 60000 }); kernel.flush(); }"""
    )
    page.mouse.move(2, 2)
    page.wait_for_function("window.paints.at(-1)[1] === 31")
    moved = find(page, "orchestrator")
    assert moved[0] - x == pytest.approx(40, abs=8)
    assert moved[1] - y == pytest.approx(60, abs=8)


def test_dragging_the_ground_pans_and_the_wheel_zooms(harness: Opener) -> None:
    page = harness().page
    x, y = find(page, "orchestrator")
    page.mouse.move(700, 560)
    page.mouse.down()
    page.mouse.move(760, 540, steps=3)
    page.mouse.up()
    page.wait_for_timeout(100)
    moved = find(page, "orchestrator")
    assert moved[0] - x == pytest.approx(60, abs=8)
    assert moved[1] - y == pytest.approx(-20, abs=6)  # what answers to the pointer is looked for in steps
    page.mouse.move(*moved)
    page.mouse.wheel(0, -200)
    page.wait_for_timeout(150)
    page.mouse.move(2, 2)
    page.wait_for_timeout(100)
    assert find(page, "orchestrator") == pytest.approx(moved, abs=12)


def test_a_double_click_folds_a_node_and_the_space_key_opens_it_again(harness: Opener) -> None:
    page = harness(spans=30).page
    agent = find(page, "agent")
    page.mouse.dblclick(*agent)
    page.wait_for_function("kernel.traits.get('_folded')?.length === 1")
    (row,) = page.evaluate("kernel.traits.get('_folded')")
    assert page.evaluate("(row) => kernel.spans[row].kind", row) == "agent"
    page.mouse.move(2, 2)
    page.locator(".an-stage").press(" ")
    page.wait_for_function("kernel.traits.get('_folded').length === 0")


def test_the_minimap_is_there_when_zoomed_in_and_leads_elsewhere(harness: Opener) -> None:
    page = harness(spans=300).page
    small = page.locator(".an-map")
    assert not small.is_visible()
    page.mouse.move(500, 300)
    page.locator(".an-stage").focus()
    for _ in range(2):
        page.mouse.wheel(0, -500)
    small.wait_for()
    before = page.evaluate("Array.from(pixels().data.slice(0, 400000)).join()")
    box = small.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + 20, box["y"] + 12)
    page.wait_for_timeout(200)
    assert page.evaluate("Array.from(pixels().data.slice(0, 400000)).join()") != before
    assert int(page.evaluate("Number(kernel.traits.get('_selected_row'))")) == -1


def test_a_run_grows_before_the_eyes_and_rests_when_it_is_over(harness: Opener, browser: Browser, address: str) -> None:
    live = Harness(browser, address, spans=12, live=True)
    try:
        live.painted(12)
        live.page.wait_for_function("model.runs.values().next().value.status !== 'running'", timeout=60_000)
        live.rest()
        assert live.complaints == []
    finally:
        live.close()


def test_nothing_is_drawn_while_nothing_happens(harness: Opener) -> None:
    page = harness(spans=300).page
    before = page.evaluate("window.paints.length")
    page.wait_for_timeout(600)
    assert page.evaluate("window.paints.length") == before


def test_no_span_is_a_sentence(harness: Opener) -> None:
    page = harness(spans=0).page
    assert page.locator(".an-empty").inner_text() == "Waiting for the first span …"


def test_the_page_is_served_from_its_folder_alone(address: str, browser: Browser) -> None:
    asked: list[str] = []
    context = browser.new_context()
    page = context.new_page()
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{address}?spans=30")
    page.locator(".anton canvas").first.wait_for()
    context.close()
    assert asked
    assert all(url.startswith(address.rsplit("/", 1)[0]) for url in asked)
