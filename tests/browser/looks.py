"""Pictures of the workbench that come out the same everywhere: a fixed run, a fixed clock, one font, nothing that moves.

The page is the real one: the dashboard, its widget in Python, the bundle. The font is matplotlib's DejaVu Sans, since fonts of machines differ.
"""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib
from PIL import Image
from playwright.sync_api import Browser, Page

from anton_notebook.simulate.plan import plan
from anton_notebook.sources.writer import create

START = datetime(2026, 11, 23, 9, 0, 0, tzinfo=UTC)
NOW = START + timedelta(minutes=30)
SIZE = {"width": 1280, "height": 800}
FONT = Path(matplotlib.get_data_path(), "fonts", "ttf")

# Before the page's own scripts: the font, and no cursor that blinks.
STILL = """([plain, bold]) => {
  for (const [data, weight] of [[plain, "100 500"], [bold, "600 900"]]) {
    const face = new FontFace("Looks", Uint8Array.from(atob(data), (one) => one.charCodeAt(0)), { weight });
    document.fonts.add(face);
    face.load();
  }
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(`:root { --jp-ui-font-family: Looks; --jp-code-font-family: Looks; }
    body { font-family: Looks !important; } * { caret-color: transparent !important; transition: none !important; animation: none !important; }
    ::-webkit-scrollbar { display: none; }`);
  document.adoptedStyleSheets = [sheet];
}"""


def lines(start: datetime, seed: int, *, agents: int = 3, spans: int = 34) -> list[dict[str, Any]]:
    """A finished run, a line a span."""
    return [event.record for event in plan(seed=seed, agents=agents, spans=spans, start=start) if not event.running]


def branch(run: list[dict[str, Any]], at: datetime) -> list[dict[str, Any]]:
    """The same run forked at its plan, as a replay writes it."""
    own = {record["span_id"]: str(uuid.UUID(int=number + 1)) for number, record in enumerate(run)}
    shift = at - datetime.fromisoformat(run[0]["timestamp"])
    trace = str(uuid.UUID(int=99))
    made = []
    for number, record in enumerate(sorted(run, key=lambda record: str(record["timestamp"]))):
        share = number / len(run)
        how = "reused" if share < 0.2 else "executed" if share < 0.3 else "inferred" if share < 0.8 else "stale"
        mark = {
            "version": 1, "origin": "replay", "original_trace_id": record["trace_id"], "original_span_id": record["span_id"],
            "provenance": how, "reason": f"it was {how}",
        }  # fmt: skip
        changed = (
            {"response": f"Otherwise: {record['response']}"}
            if how in ("executed", "inferred") and record.get("response")
            else {}
        )
        ids = {"trace_id": trace, "span_id": own[record["span_id"]], "parent_id": own.get(record["parent_id"])}
        when = (datetime.fromisoformat(record["timestamp"]) + shift).isoformat().replace("+00:00", "Z")
        made.append({**record, **ids, **changed, "timestamp": when, "cost_usd": 0.0, "anton_notebook": mark})
    return made


def write(folder: Path, *, without: str = "") -> Path:
    """Three runs and a branch. `without`: the tool that the newest run's orchestrator did not call."""
    traces = folder / ".modular-agents" / "traces"
    traces.mkdir(parents=True)
    newest = [
        one for one in lines(START, 7) if not (one["agent_name"] == "orchestrator" and one.get("tool_name") == without)
    ]
    older = lines(START - timedelta(hours=5), 11, agents=2, spans=20)
    runs = {
        "newest": newest,
        "older": older,
        "small": lines(START - timedelta(days=2), 5, agents=1, spans=8),
        "branch": branch(older, START - timedelta(hours=4)),
    }
    for name, records in runs.items():
        (traces / f"{name}.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return folder


def write_live(folder: Path, *, seconds: float) -> Path:
    """One run of five agents as it lies on disk `seconds` after it began."""
    traces = folder / ".modular-agents" / "traces"
    traces.mkdir(parents=True)
    with create(traces, "live", {"origin": "run"}) as out:
        for event in plan(seed=7, agents=4, spans=44, start=START):
            if event.at <= seconds:
                out.write(event.record, running=event.running)
    return folder


@contextmanager
def still_page(
    browser: Browser,
    url: str,
    *,
    dark: bool,
    size: dict[str, int] | None = None,
    sharp: int = 1,
    script: str = "",
    now: datetime = NOW,
) -> Iterator[tuple[Page, list[str]]]:
    """The page at an address, with what its console said."""
    context = browser.new_context(
        viewport=size or SIZE, color_scheme="dark" if dark else "light", reduced_motion="reduce",  # type: ignore[arg-type]
        timezone_id="UTC", locale="en-GB", device_scale_factor=sharp,
    )  # fmt: skip
    page, said = context.new_page(), list[str]()
    page.set_default_timeout(30_000)
    page.on("console", lambda message: said.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.clock.set_fixed_time(now)
    fonts = [
        base64.b64encode((FONT / name).read_bytes()).decode() for name in ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf")
    ]
    page.add_init_script(f"({STILL})({json.dumps(fonts)})")
    if script:
        page.add_init_script(script)
    try:
        page.goto(url)
        yield page, said
    finally:
        context.close()


def shot(page: Page) -> Image.Image:
    """What is on the screen, once it stands still: two pictures in a row that are the same."""
    last = b""
    for _ in range(60):
        data = page.screenshot(animations="disabled", caret="hide")
        if data == last:
            break
        last = data
        page.wait_for_timeout(120)
    return Image.open(BytesIO(last)).convert("RGB")
