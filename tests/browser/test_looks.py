"""How each view looks, light and dark, against pictures that are kept in tests/data/looks. `make looks` renews them: look at them then."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image, ImageChops, ImageFilter
from playwright.sync_api import Browser, Page

from tests.browser import alike, looks
from tests.dashboard.test_dashboard import Served

pytestmark = pytest.mark.browser
KEPT = Path(__file__).resolve().parents[1] / "data" / "looks"
RENEW = os.environ.get("ANTON_NOTEBOOK_RENEW_LOOKS") == "1"
VIEWS = (
    "graph", "tree", "details", "timeline", "filters", "chat", "trying", "forking", "branch", "compare", "keys",
    "costs", "experiments",
)  # fmt: skip

# Drawn on the canvas in another colour, as a mistake in the theme would have it.
MISTAKE = """([from, to]) => {
  const plain = Object.getOwnPropertyDescriptor(CanvasRenderingContext2D.prototype, "fillStyle");
  Object.defineProperty(CanvasRenderingContext2D.prototype, "fillStyle", { ...plain,
    set(value) { plain.set.call(this, String(value).toLowerCase() === from ? to : value); } });
}"""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("ANTHROPIC_API_KEY", "OPENAI_API_KEY"):
            patch.setenv(name, "none")
        served = Served(looks.write(tmp_path_factory.mktemp("looks") / "shop"), allow_rerun=True, allow_replay=True)
        yield served.made.gate.url
        served.close()


def ready(page: Page, spans: int = 34) -> None:
    """Waits until the newest run is drawn, and its neighbours are listed."""
    page.wait_for_function("n => document.querySelector('.an-totals')?.textContent.includes(`${n} spans`)", arg=spans)
    page.wait_for_function("() => document.querySelectorAll('.ad-run').length === 4")


def go(page: Page, view: str) -> None:
    """From one view to the next, in the order of VIEWS, as a hand would."""
    if view == "tree":
        page.locator(".an-stage").focus()
        page.keyboard.press("3")
        page.wait_for_selector(".an-row")
    elif view == "details":
        page.locator(".an-row:not([hidden])", has_text="5.60 s").click()
        page.wait_for_selector(".an-details:not([hidden])")
        page.wait_for_function("() => !document.querySelector('.an-details .an-wait')")
    elif view == "timeline":
        page.keyboard.press("2")
    elif view == "filters":
        page.get_by_role("button", name="Filter").click()
        page.wait_for_selector(".an-filters:not([hidden])")
    elif view == "chat":
        page.get_by_role("button", name="Filter").click()
        page.get_by_role("button", name="Chat").click()
        page.wait_for_selector(".an-call")
    elif view == "trying":
        page.locator(".an-try-open").click()
        page.wait_for_selector(".an-try .cm-content")
        page.wait_for_function("() => document.querySelector('.an-try-quote').textContent.includes('call')")
    elif view == "forking":
        page.get_by_role("button", name="Close the editor").click()
        page.locator(".an-fork-open").click()
        page.wait_for_function("() => document.querySelector('.an-fork-quote')?.textContent.includes('call')")
    elif view == "branch":
        page.locator(".an-fork .an-close").click()
        page.get_by_role("button", name="Graph").click()
        page.locator(".ad-run").nth(1).click()
        page.wait_for_function("() => document.querySelector('.an-totals')?.textContent.includes('19 spans')")
    elif view == "compare":
        page.get_by_role("button", name="Compare").click()
        page.wait_for_selector(".an-parting")
    elif view == "keys":
        page.locator(".an-bar button", has_text="?").click()
        page.wait_for_selector(".an-keys:not([hidden])")
    elif view in ("costs", "experiments"):
        page.locator(".ad-tabs button", has_text=view.capitalize()).click()
        page.wait_for_selector("section.ad-page:not([hidden]) td")


def settle(page: Page, name: str, tries: int = 25) -> tuple[Image.Image, alike.Difference]:
    """The page as it is kept, once it looks like its reference; or as it was in the end."""
    path = KEPT / f"{name}.png"
    for left in reversed(range(1 if RENEW else tries)):
        # where a file lies is the machine's own
        page.evaluate("""() => { for (const one of document.querySelectorAll(".an-details dd"))
            if (one.textContent.includes("newest.jsonl")) one.textContent = "traces/newest.jsonl, line 4"; }""")
        whole = looks.shot(page)
        seen = alike.small(whole)
        if RENEW:
            KEPT.mkdir(exist_ok=True)
            alike.keep(seen, path)
        assert path.exists(), f"no reference {path.name}: `make looks` makes it"
        apart = alike.difference(alike.load(path), seen)
        if apart.worst <= alike.TOLERANCE or not left:
            if folder := os.environ.get("ANTON_NOTEBOOK_SHOTS"):
                whole.save(Path(folder) / f"{name}.png")
            return seen, apart
        page.wait_for_timeout(200)
    raise AssertionError


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_every_view_looks_as_it_is_kept(browser: Browser, address: str, dark: bool, tmp_path: Path) -> None:
    wrong = []
    theme = "dark" if dark else "light"
    with looks.still_page(browser, address, dark=dark) as (page, said):
        ready(page)
        for view in VIEWS:
            go(page, view)
            seen, apart = settle(page, f"{theme}-{view}")
            print(f"{theme} {view}: {apart.worst:.1f} of {alike.TOLERANCE}")
            if apart.worst > alike.TOLERANCE:
                seen.save(tmp_path / f"{theme}-{view}.png")
                wrong.append(
                    f"{theme} {view}: {apart.worst:.0f} at {apart.x}, {apart.y} ({apart.blocks} blocks); see {tmp_path}"
                )
        assert said == []
    assert not wrong, "\n".join([*wrong, "if it is meant to be so: make looks, and look at tests/data/looks"])


def canvas(page: Page) -> tuple[int, int, int, int]:
    """Where the graph's picture lies on the page."""
    box = page.locator(".an-stage:visible").bounding_box()
    assert box is not None
    return int(box["x"]), int(box["y"]), int(box["x"] + box["width"]), int(box["y"] + box["height"])


def test_a_picture_that_is_moved_blurred_or_spaced_is_alike(browser: Browser, address: str) -> None:
    for name in ("light-graph", "dark-graph"):
        with looks.still_page(browser, address, dark=name.startswith("dark")) as (page, _):
            ready(page)
            _, same = settle(page, name)
            whole, kept = looks.shot(page), alike.load(KEPT / f"{name}.png")
            page.evaluate("document.querySelector('.an-totals').style.letterSpacing = '0.15px'")
            spaced = looks.shot(page)
        others = {
            "moved by a pixel": ImageChops.offset(whole, 1, 1),
            "blurred": whole.filter(ImageFilter.GaussianBlur(0.8)),
            "paler": Image.blend(whole, Image.new("RGB", whole.size, "#808080"), 0.02),
            "spaced": spaced,
        }
        found = {"the same": round(same.worst, 1)}
        found |= {what: round(alike.difference(kept, alike.small(image)).worst, 1) for what, image in others.items()}
        print(name, found)
        assert max(found.values()) <= alike.TOLERANCE, found


def test_a_missing_node_a_wrong_colour_and_unreadable_words_are_not(
    browser: Browser, address: str, tmp_path: Path
) -> None:
    found: dict[str, float] = {}

    def damaged(what: str, url: str, *, dark: bool, mistake: tuple[str, str] | None = None, spans: int = 34) -> None:
        name = f"{'dark' if dark else 'light'}-graph"
        with looks.still_page(
            browser, url, dark=dark, script=f"({MISTAKE})({json.dumps(mistake)})" if mistake else ""
        ) as (page, _):
            ready(page, spans)
            looks.shot(page)
            settle(page, name, tries=1)
            box = canvas(page)
            kept, seen = alike.load(KEPT / f"{name}.png"), alike.small(looks.shot(page))
        found[what] = round(alike.difference(alike.inside(kept, box), alike.inside(seen, box)).worst, 1)

    damaged("nothing, light", address, dark=False)
    damaged("nothing, dark", address, dark=True)
    damaged("models drawn as orchestrators", address, dark=False, mistake=("#9b59b6", "#4a90e2"))
    damaged("models drawn as failed", address, dark=True, mistake=("#9b59b6", "#ff6b6b"))
    damaged("dark words on the dark", address, dark=True, mistake=("#e6eaf0", "#2a323c"))
    served = Served(looks.write(tmp_path / "shop", without="run_tests"), allow_rerun=True, allow_replay=True)
    try:
        damaged("one node missing", served.made.gate.url, dark=False, spans=33)
        damaged("one node missing in the dark", served.made.gate.url, dark=True, spans=33)
    finally:
        served.close()
    print(found)
    for what, worst in found.items():
        assert (worst <= alike.TOLERANCE) == what.startswith("nothing"), (what, worst, found)
