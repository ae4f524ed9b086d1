"""Every payload of the script-injection list in every place of the page where text of a trace stands: nothing runs.

The oracle: the page's own content security policy reports whatever would run or load, a dialog is noticed, every request is
logged. It is tried first: a view that writes markup trips it thousands of times on the same list.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page
from playwright.sync_api import Error as PlaywrightError

import anton_notebook as anb
from anton_notebook.experiments.compare.html_diff import show_diff
from anton_notebook.llm import Scripted
from tests.browser.test_dashboard import Command
from tests.dashboard.test_dashboard import line, put

CHUNK = 200
WATCH = """
window.broken = [];
document.addEventListener("securitypolicyviolation", (event) => {
  const at = event.composedPath().find((node) => node.dataset?.payload);
  window.broken.push([event.effectiveDirective, event.blockedURI.slice(0, 80), at === undefined ? -1 : Number(at.dataset.payload)]);
}, true);
for (const name of ["alert", "confirm", "prompt", "print"]) window[name] = () => window.broken.push([name, "", -1]);
"""
# Tags that the page makes itself. An element of another kind would have come out of a trace.
TAGS = """HTML HEAD BODY META TITLE LINK STYLE SCRIPT DIV SPAN P H1 H2 H3 H4 HEADER FOOTER MAIN NAV SECTION ASIDE BUTTON INPUT SELECT
OPTION OPTGROUP LABEL CANVAS PRE DETAILS SUMMARY DL DT DD UL OL LI TABLE THEAD TBODY TFOOT TR TH TD CAPTION KBD TIME OUTPUT PROGRESS SVG
PATH POLYGON FIGURE FIGCAPTION TEXTAREA FIELDSET LEGEND DIALOG SMALL STRONG EM CODE MARK INS DEL B I""".split()
LOOK = """tags => {
  const every = [];
  const walk = (root) => {
    for (const node of root.querySelectorAll("*")) {
      every.push(node);
      if (node.shadowRoot) walk(node.shadowRoot);
    }
  };
  walk(document);
  for (const node of every.filter((one) => one.closest?.("main, .anton, aside, section, nav")).slice(0, 6000))
    for (const type of ["mouseover", "mouseenter", "pointerover", "focus", "focusin", "copy", "contextmenu", "toggle", "load", "error"])
      node.dispatchEvent(new Event(type, { bubbles: false }));
  const attributes = every.flatMap((node) => [...node.attributes]
    .filter((one) => /^(on|src|href|action|formaction|srcdoc|xlink|data-command|name$|style$)/.test(one.name) && /alert|prompt|script|http/i.test(one.value))
    .filter((one) => !(one.ownerElement.tagName === "LINK" || one.ownerElement.tagName === "SCRIPT" || one.value.startsWith("data:image")))
    .map((one) => `${one.name}=${one.value}`));
  return {
    broken: window.broken, polluted: ({}).polluted === undefined ? null : "polluted",
    tags: [...new Set(every.map((one) => one.tagName.toUpperCase()).filter((tag) => !tags.includes(tag)))], attributes,
  };
}"""

OPEN_ALL = """async () => {
  for (let i = 0; i < 4; i++) {
    for (const one of document.querySelectorAll(".an-details details:not([open])")) one.open = true;
    await new Promise((go) => setTimeout(go, 20));
  }
}"""


@pytest.fixture(scope="module")
def payloads(corpus: Path) -> list[str]:
    text = (corpus / "hostile" / "xss-payloads.txt").read_text(encoding="utf-8", errors="replace")
    found = list(dict.fromkeys(one for one in text.split("\n") if one.strip()))
    assert len(found) > 6000
    return found


class Watched:
    """A page of which every complaint, dialog and request to elsewhere is kept."""

    def __init__(self, context: BrowserContext, own: str) -> None:
        self.page: Page = context.new_page()
        self.said: list[str] = []
        self.page.set_default_timeout(60_000)
        self.page.add_init_script(WATCH)
        self.page.on("pageerror", lambda error: self.said.append(f"exception: {error}"))
        self.page.on("console", lambda m: self.said.append(f"{m.type}: {m.text}") if m.type == "error" else None)
        self.page.on("dialog", lambda dialog: (self.said.append("dialog"), dialog.dismiss()))
        self.page.on(
            "request", lambda r: None if r.url.startswith((own, "data:", "blob:")) else self.said.append(r.url)
        )
        self.page.on("framenavigated", lambda frame: frame.parent_frame and self.said.append(f"frame: {frame.url}"))

    def clean(self, place: str, *more: str) -> None:
        found = self.page.evaluate(LOOK, [*TAGS, *more])
        assert self.said == [], (place, self.said[:5])
        assert found == {"broken": [], "polluted": None, "tags": [], "attributes": []}, (place, str(found)[:1500])

    def read(self, selector: str) -> list[str]:
        """The texts of all elements, in one go."""
        return self.page.eval_on_selector_all(selector, "all => all.map((one) => one.textContent)")


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    made = browser.new_context(viewport={"width": 1300, "height": 900})
    yield made
    made.close()


def run_of_many(payloads: list[str]) -> list[dict[str, Any]]:
    """One run whose few calls hold all payloads, each once in every kind of text."""
    out = []
    for number, start in enumerate(range(0, len(payloads), CHUNK)):
        some = payloads[start : start + CHUNK]
        out.append(
            line(
                f"{some[0][:80]} {number}", 1, trace_id=f"main {payloads[7]}", parent_id=None, agent_name=payloads[8],
                model=some[2 % len(some)], name=some[3 % len(some)], finish_reason=some[-1], error=some[4 % len(some)],
                system_prompt="\n".join(some), messages=[{"role": "user", "content": text} for text in some],
                response=f"chunk-{number}\n" + "\n".join(some), parameters={text: at for at, text in enumerate(some)},
                result=some, timestamp=f"2026-11-23T03:00:{number:02d}Z",
            )
        )  # fmt: skip
    return out


def test_a_view_that_writes_markup_is_caught_thousands_of_times(context: BrowserContext, payloads: list[str]) -> None:
    policy = "default-src 'none'; script-src 'nonce-own'; style-src 'nonce-own'"
    empty = {
        "status": 200,
        "content_type": "text/html",
        "headers": {"content-security-policy": policy},
        "body": "<body></body>",
    }
    context.route(
        "**/*",
        lambda route: route.fulfill(**empty) if route.request.url == "http://hostile.invalid/" else route.abort(),
    )
    tripped: set[int] = set()
    show = """([first, texts, markup]) => new Promise((done) => {
      document.body.replaceChildren();
      window.broken = [];
      texts.forEach((text, i) => {
        const place = document.createElement("div");
        place.dataset.payload = String(first + i);
        document.body.append(place);
        if (markup) place.innerHTML = text; else place.textContent = text;
        for (const node of place.querySelectorAll("*"))
          for (const type of ["mouseover", "click", "focus", "error", "load"]) node.dispatchEvent(new Event(type));
      });
      setTimeout(() => done(window.broken.map((one) => one[2])), 30);
    })"""

    def start() -> None:
        """Opens the empty page; what a payload began may take the page elsewhere once more."""
        for left in reversed(range(20)):
            try:
                watched.page.goto("http://hostile.invalid/")
                return
            except PlaywrightError:
                if not left:
                    raise
                watched.page.wait_for_timeout(50)

    for markup in (True, False):
        watched = Watched(context, "http://hostile.invalid/")
        start()
        tripped.clear()
        for first in range(0, len(payloads), 50):
            try:
                tripped |= set(watched.page.evaluate(show, [first, payloads[first : first + 50], markup]))
            except PlaywrightError:  # a payload took the page elsewhere
                if not markup:
                    raise
                start()
        tripped.discard(-1)
        print(f"{'markup' if markup else 'text'}: {len(tripped)} of {len(payloads)} payloads trip the oracle")
        watched.page.close()
        if markup:
            assert len(tripped) >= 2000
    assert not tripped


def test_X1_X2_X3_no_payload_runs_in_any_place_of_the_dashboard(
    tmp_path: Path, context: BrowserContext, payloads: list[str]
) -> None:
    folder = tmp_path / ".modular-agents" / "traces"
    folder.mkdir(parents=True)
    calls = run_of_many(payloads)
    put(folder / "main.jsonl", *calls)
    put(
        folder / "others.jsonl",
        *(
            line(
                f"s{i}", 1, trace_id=f"{text[:100]} {i}", agent_name=text, model=text, name=text,
                messages=[{"role": "user", "content": f"Task: {text}"}], timestamp=f"2026-11-23T01:00:00.{i:06d}Z",
            )
            for i, text in enumerate(payloads[::20])
        ),
        *(
            line(
                f"m{i}", 1, trace_id="many names", agent_name=text, model=text, span_type="tool" if i % 2 else "llm",
                tool_name=text, timestamp=f"2026-11-23T02:00:00.{i:06d}Z",
            )
            for i, text in enumerate(payloads)
        ),
    )  # fmt: skip
    with anb.read_traces(tmp_path) as traces:
        tried = [
            anb.rerun(traces.span(calls[0]["span_id"]), prompt=text, provider=Scripted([text]), progress=False)
            for text in payloads[:40:4]
        ]
    assert all(frame["error"].isna().all() for frame in tried)
    command = Command(tmp_path)
    try:
        watched = Watched(context, command.url.split("/?")[0].rstrip("/"))
        page = watched.page
        page.goto(command.url)
        page.wait_for_function("n => document.querySelectorAll('.ad-run').length >= 100", arg=None)
        watched.clean("the list of runs, the picker, the keys, the picture")
        for number, text in enumerate(payloads[:400:40]):
            page.locator(".ad-search").fill(text)
            page.wait_for_timeout(20)
            assert number >= 0
        page.locator(".ad-search").fill("main ")
        watched.clean("the search")
        page.locator(".ad-run").first.click()
        page.wait_for_function(
            "n => document.querySelector('.an-totals')?.textContent.includes(`${n} spans`)", arg=len(calls)
        )
        page.locator(".an-stage").focus()
        seen: dict[str, set[str]] = {"messages": set(), "keys": set(), "leaves": set()}
        chunks: set[str] = set()
        path = ["ArrowDown"] * 2  # to the agent, and its first call
        for _ in range(2 * len(calls)):
            for key in path:
                page.keyboard.press(key)
                page.wait_for_timeout(40)
            path = ["ArrowRight"]
            page.wait_for_function(
                "() => document.querySelector('.an-details:not([hidden])') && !document.querySelector('.an-details .an-wait')"
            )
            found = re.search(r"chunk-\d+", "".join(watched.read(".an-details pre")))
            if found is None or found[0] in chunks:
                continue
            chunks.add(found[0])
            page.evaluate(OPEN_ALL)
            seen["messages"] |= set(watched.read(".an-details pre"))
            seen["keys"] |= {text[:-2] for text in watched.read(".an-json-key")}
            seen["leaves"] |= {json.loads(text) for text in watched.read(".an-json-string")}
            if len(chunks) % 8 == 1:
                watched.clean(f"details of {found[0]}")
        watched.clean("error, facts, system, messages, response and the tree of JSON")
        assert len(chunks) == len(calls), sorted(chunks)
        for place, texts in seen.items():
            shown = {text.replace("\r\n", "\n") for text in texts}
            missing = [text for text in payloads if text.replace("\r\n", "\n") not in shown]
            assert not missing, (place, len(missing), missing[:3])
        page.locator(".ad-search").fill("many names")
        page.wait_for_timeout(150)
        page.locator(".ad-run").first.click()
        page.wait_for_function("() => /[\\d,]{5,} spans/.test(document.querySelector('.an-totals')?.textContent)")
        box = page.locator(".an-stage canvas").first.bounding_box()
        assert box is not None
        for step in range(60):
            page.mouse.move(
                box["x"] + 60 + step * 17 % (box["width"] - 80), box["y"] + 40 + step * 37 % (box["height"] - 60)
            )
            page.wait_for_timeout(15)
        watched.clean("tooltips and labels of many thousand names")
        page.locator(".ad-tabs button", has_text="Costs").click()
        page.wait_for_selector(".ad-table td")
        watched.clean("costs by agent")
        page.locator(".ad-page:visible select").first.select_option("model")
        page.wait_for_timeout(500)
        watched.clean("costs by model")
        page.locator(".ad-tabs button", has_text="Experiments").click()
        page.wait_for_selector(
            "section.ad-page:visible table, section.ad-page:visible li, section.ad-page:visible button"
        )
        watched.clean("experiments")
        page.locator(".ad-tabs button", has_text="Workbench").click()
        print(
            f"{len(payloads)} payloads in 14 places of the dashboard: 0 executions, 0 dialogs, 0 requests to elsewhere"
        )
    finally:
        command.close()


def test_every_naughty_string_is_the_same_on_the_page(tmp_path: Path, context: BrowserContext, corpus: Path) -> None:
    texts = list(dict.fromkeys(json.loads((corpus / "hostile" / "naughty-strings.json").read_text())))
    calls = run_of_many([text for text in texts if text.strip()])
    for number, call in enumerate(calls):
        some = texts[number * CHUNK : (number + 1) * CHUNK]
        call |= {
            "span_id": f"s{number}",
            "trace_id": "main",
            "agent_name": "agent",
            "parameters": dict.fromkeys(some, 1),
        }
        call["messages"] = [{"role": "user", "content": text} for text in some]
    put(tmp_path / "main.jsonl", *calls)
    command = Command(tmp_path)
    seen: set[str] = set()
    keys: set[str] = set()
    try:
        watched = Watched(context, command.url.split("/?")[0].rstrip("/"))
        page = watched.page
        page.goto(command.url)
        page.wait_for_function(
            "n => document.querySelector('.an-totals')?.textContent.includes(`${n} spans`)", arg=len(calls)
        )
        page.locator(".an-stage").focus()
        for key in ["ArrowDown", "ArrowDown", *["ArrowRight"] * (len(calls) - 1)]:
            page.keyboard.press(key)
            page.wait_for_timeout(60)
            page.wait_for_function(
                "() => document.querySelector('.an-details:not([hidden])') && !document.querySelector('.an-details .an-wait')"
            )
            page.evaluate(OPEN_ALL)
            seen |= set(watched.read(".an-details pre"))
            keys |= {text[:-2] for text in watched.read(".an-json-key")}
        watched.clean("naughty strings")
    finally:
        command.close()
    assert len(texts) == 511 and not [text for text in texts if text.strip() and text not in seen]
    assert not [text for text in texts if text not in keys]
    print(f"{len(texts)} of {len(texts)} strings are the same in the page, as texts and as keys")


def test_X1_no_payload_runs_in_a_saved_page_or_a_still_picture(
    tmp_path: Path, context: BrowserContext, payloads: list[str]
) -> None:
    put(tmp_path / "main.jsonl", *run_of_many(payloads))
    with anb.TraceGraph(tmp_path) as graph:
        graph.to_html(tmp_path / "page.html", save_bodies=True)
        (tmp_path / "still.html").write_text(
            f"<!doctype html><meta charset=utf-8>{graph._parts.snapshot.static_html()}", encoding="utf-8"
        )
        graph.to_svg(tmp_path / "run.svg")
    watched = Watched(context, "file:")
    for name in ("still.html", "run.svg"):
        watched.page.goto((tmp_path / name).as_uri())
        if name == "still.html":
            watched.page.wait_for_function("() => document.querySelector('img').naturalWidth > 0")
            watched.clean(name, "IMG")
    watched.page.goto((tmp_path / "page.html").as_uri())
    watched.page.wait_for_function("() => /spans/.test(document.querySelector('.an-totals')?.textContent)")
    watched.page.locator(".an-stage").focus()
    for key in ["ArrowDown"] * 2 + ["ArrowRight"] * 8:
        watched.page.keyboard.press(key)
        watched.page.wait_for_timeout(60)
    watched.page.wait_for_selector(".an-details pre", state="attached")
    watched.clean("the saved page")


def test_X1_no_payload_runs_in_what_a_cell_shows_of_an_object(
    tmp_path: Path, context: BrowserContext, payloads: list[str]
) -> None:
    """Jupyter puts `_repr_html_` into the page as markup: all that is shown so, with every payload in every text of it."""
    names = [
        line(
            f"{i} {text[:60]}", 1, trace_id=f"many {text[:60] if i % 50 == 0 else ''}", agent_name=text, model=text, tool_name=text,
            span_type="tool" if i % 2 else "llm", error=text, system_prompt=text, messages=[{"role": "user", "content": text}],
            response=text, timestamp=f"2026-11-23T02:00:00.{i:06d}Z",
        )
        for i, text in enumerate(payloads)
    ]  # fmt: skip
    put(tmp_path / "names.jsonl", *names)
    traces = anb.read_traces(tmp_path)
    first = traces.span(names[0]["span_id"])
    shown: list[Any] = [traces, *(traces[trace_id] for trace_id in traces.runs_df()["trace_id"].tolist()[:60])]
    for one in names[::5]:
        span = traces.span(one["span_id"], one["trace_id"])
        shown += [span, *([span.request, span.response] if span.kind == "llm" else [])]
    shown += [anb.checkpoint(first, note=text) for text in payloads[:300:10]]
    model = Scripted(lambda request: f"{request.prompt} {payloads[9]}")
    shown += [show_diff(anb.rerun(first, prompt=payloads[:300:3], provider=model, progress=False), limit=100)]
    shown += [anb.quote(first, prompt=payloads[:40], model=payloads[10], provider=model)]
    parts = [one._repr_html_() for one in shown]
    policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'nonce-own'"
    page = {
        "status": 200,
        "content_type": "text/html",
        "headers": {"content-security-policy": policy},
        "body": "<body></body>",
    }
    context.route(
        "**/*", lambda route: route.fulfill(**page) if route.request.url.endswith("invalid/") else route.abort()
    )
    watched = Watched(context, "http://hostile.invalid/")
    watched.page.goto("http://hostile.invalid/")
    for begin in range(0, len(parts), 100):
        watched.page.evaluate("all => { document.body.innerHTML = all.join(''); }", parts[begin : begin + 100])
        watched.clean(f"the objects from {begin} on")
    print(f"{len(parts)} objects shown as markup, {sum(map(len, parts)) / 1e6:.1f} MB")
