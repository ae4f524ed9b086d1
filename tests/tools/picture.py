"""README's picture, from the real widget in a real Chromium, light and dark: `make picture` writes examples/live_trace*.png.

A simulated run of five agents is stopped in the middle, so that some of its spans still run; the clock of the page stands there too.
"""

from __future__ import annotations

import tempfile
from datetime import timedelta
from pathlib import Path

from tests.browser import looks
from tests.browser.lab import chromium_browser
from tests.conftest import ROOT, find_chromium
from tests.dashboard.test_dashboard import Served

SIZE = {"width": 1180, "height": 720}
AFTER = 40.0


def main() -> None:
    """Writes both pictures; says where, and how large they are."""
    chromium = find_chromium()
    if chromium is None:
        raise SystemExit("no Chromium found: install one, or name it by CHROMIUM=")
    with tempfile.TemporaryDirectory() as folder:
        made = looks.write_live(Path(folder, "shop"), seconds=AFTER)
        served = Served(made)
        try:
            with chromium_browser(chromium) as browser:
                for dark, name in ((False, "live_trace.png"), (True, "live_trace_dark.png")):
                    now = looks.START + timedelta(seconds=AFTER)
                    with looks.still_page(browser, served.made.gate.url, dark=dark, size=SIZE, sharp=2, now=now) as (
                        page,
                        said,
                    ):
                        page.wait_for_selector(".an-totals b")
                        # the cell alone, without the dashboard's list of runs
                        page.evaluate(
                            "() => { for (const one of document.querySelectorAll('.ad-runs, .ad-head')) one.remove(); }"
                        )
                        page.evaluate("() => window.dispatchEvent(new Event('resize'))")
                        image = looks.shot(page)
                        page.locator(".an-stage").focus()
                        page.keyboard.press("f")
                        image = looks.shot(page)
                        if said:
                            raise SystemExit(f"the page complained: {said}")
                    path = ROOT / "examples" / name
                    image.quantize(256, kmeans=2, dither=0).save(path, optimize=True)
                    print(
                        f"{path.relative_to(ROOT)}: {image.width} by {image.height}, {path.stat().st_size / 1024:.0f} KB"
                    )
        finally:
            served.close()


if __name__ == "__main__":
    main()
