"""The dashboard in a real Chromium: a live writer, several tabs, and who is shown nothing."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from tests.dashboard.test_dashboard import line, put
from tests.support.servers.llm_server import LlmServer


class Command:
    """`anton-notebook dashboard` as users start it."""

    def __init__(self, path: Path, *options: str, **environ: str) -> None:
        self.started = time.perf_counter()
        command = [sys.executable, "-m", "anton_notebook.cli", "dashboard", str(path), "--no-browser"]
        self.process = subprocess.Popen(
            [*command, *options], stdout=subprocess.PIPE, text=True, env=os.environ | environ
        )
        assert self.process.stdout is not None
        self.url = ""
        for said in self.process.stdout:
            found = re.search(r"http://\S+", said)
            if found:
                self.url = found.group(0)
                break
        assert self.url, "the dashboard did not say its address"

    def close(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(15)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    traces = tmp_path / ".modular-agents" / "traces"
    traces.mkdir(parents=True)
    put(traces / "first.jsonl", line("a", 1), line("b", 2, parent_id="a", response="<img src=x onerror=alert(1)>"))
    return tmp_path


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    made = browser.new_context(viewport={"width": 1200, "height": 800})
    yield made
    made.close()


def watched(context: BrowserContext) -> tuple[Page, list[str]]:
    page, said = context.new_page(), []
    page.set_default_timeout(20_000)
    page.on("console", lambda message: said.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("dialog", lambda dialog: (said.append("a dialog"), dialog.dismiss()))
    return page, said


def spans(page: Page, count: int) -> None:
    page.wait_for_function(
        "n => [...document.querySelectorAll('.an-totals')].some(e => new RegExp(`(^|\\\\D)${n} spans`).test(e.textContent))",
        arg=count,
    )


def test_a_live_run_grows_in_two_tabs_from_one_reader(folder: Path, context: BrowserContext) -> None:
    command = Command(folder)
    try:
        (first, said), (second, said_too) = watched(context), watched(context)
        first.goto(command.url)
        spans(first, 2)
        print(f"from the command to the first picture: {time.perf_counter() - command.started:.2f} s (bar 5 s)")
        assert "token" not in first.url
        second.goto(first.url)  # the cookie opens a second tab
        spans(second, 2)
        put(folder / ".modular-agents" / "traces" / "first.jsonl", line("c", 3, parent_id="a"))
        for page in (first, second):
            spans(page, 3)
        assert first.locator(".ad-run").count() == 1
        first.locator(".ad-tabs button", has_text="Costs").click()
        first.wait_for_selector(".ad-table td")
        assert "api" in first.locator(".ad-table:visible").inner_text()
        first.locator(".ad-tabs button", has_text="Experiments").click()
        said_of_tries = first.locator("section.ad-page:visible").inner_text()
        assert "Nothing was tried yet" in said_of_tries and "No run was forked yet" in said_of_tries
        first.reload()
        spans(first, 3)
        assert said == said_too == []
    finally:
        assert command.close() == 0


def test_a_second_run_can_be_picked_while_the_other_tab_stays(folder: Path, context: BrowserContext) -> None:
    put(
        folder / ".modular-agents" / "traces" / "second.jsonl",
        *(line(name, 9, trace_id="run-2", timestamp="2026-11-23T02:00:00Z") for name in ("x", "y", "z")),
    )
    command = Command(folder)
    try:
        (first, said), (second, said_too) = watched(context), watched(context)
        first.goto(command.url)
        spans(first, 3)
        second.goto(command.url)
        spans(second, 3)
        first.locator(".ad-run").nth(1).click()
        spans(first, 2)
        assert first.locator('.ad-run[aria-current="true"]').count() == 1
        spans(second, 3)
        assert said == said_too == []
    finally:
        command.close()


def test_a_wrong_token_shows_nothing(folder: Path, context: BrowserContext) -> None:
    command = Command(folder)
    try:
        page, _ = watched(context)
        answer = page.goto(re.sub("token=.*", "token=wrong", command.url))
        assert answer is not None
        assert answer.status == 401
        assert "the dashboard printed" in json.loads(answer.text())["error"]["message"]
    finally:
        command.close()


@pytest.mark.parametrize("allowed", [False, True])
def test_only_a_flag_lets_scripts_of_the_page_replay(folder: Path, context: BrowserContext, allowed: bool) -> None:
    command = Command(folder, *(["--allow-replay"] if allowed else []))
    try:
        page, _ = watched(context)
        page.goto(command.url)
        spans(page, 2)
        ask = """path => fetch(path, {method: "POST", headers: {"Content-Type": "application/json"}, body: "{}"})
            .then(answer => answer.json()).then(value => value.error.message)"""
        said = page.evaluate(ask, "/api/execute/llm")
        assert ("--allow-rerun" in said) != allowed
        if allowed:
            assert "span_id" in said
    finally:
        command.close()


def test_a_scripts_replay_is_compared_at_the_address_that_it_is_given(folder: Path, context: BrowserContext) -> None:
    with LlmServer() as model:
        command = Command(folder, "--allow-replay", **model.environment())
        try:
            page, said = watched(context)
            page.goto(command.url)
            spans(page, 2)
            ask = """body => fetch("/api/replay/a", {method: "POST", headers: {"Content-Type": "application/json"}, body})
                .then(answer => answer.json())"""
            value = page.evaluate(ask, json.dumps({"prompt": "Say goodbye."}))
            assert value["original_trace_id"] == "run-1", value
            page.wait_for_selector(".ad-try")  # the branch is in the list of runs, marked
            page.locator(".ad-tabs button", has_text="Experiments").click()
            page.locator(".ad-small").click()
            page.wait_for_selector(".an-pairs .an-parting")
            other, said_too = watched(context)
            other.goto(value["comparison_url"])
            other.wait_for_selector(".an-pairs .an-parting")
            assert "executed" in other.locator(".an-pairs").inner_text()
            assert said == said_too == []
        finally:
            command.close()
