"""What all tests share: the corpus, the browser, the zone of time, and how long they may take."""

from __future__ import annotations

import os
import re
import shutil
import sys
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support import scale

ROOT = Path(__file__).resolve().parent.parent
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
slow = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture]

settings.register_profile("change", deadline=None, suppress_health_check=slow, max_examples=100)
settings.register_profile("nightly", deadline=None, suppress_health_check=slow, max_examples=5000)

os.environ["TZ"] = "UTC"
if hasattr(time, "tzset"):
    time.tzset()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--nightly", action="store_true", help="run the long versions too, with many more examples")
    parser.addoption("--release", action="store_true", help="the longest versions: as before a release; with --nightly")


def pytest_configure(config: pytest.Config) -> None:
    settings.load_profile("nightly" if config.getoption("--nightly") else "change")
    scale.choose(
        "release" if config.getoption("--release") else "nightly" if config.getoption("--nightly") else "change"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    # The browser's driver keeps an event loop running in this thread; what wants a loop of its own goes before it.
    items.sort(key=lambda item: "browser" in item.path.parts)
    if config.getoption("--nightly"):
        for item in items:
            if not item.get_closest_marker("timeout"):
                item.add_marker(pytest.mark.timeout(36_000 if config.getoption("--release") else 3600))
        return
    late = [item for item in items if item.get_closest_marker("nightly")]
    if late:
        config.hook.pytest_deselected(items=late)
        items[:] = [item for item in items if item not in late]


def pytest_report_header(config: pytest.Config) -> list[str]:
    required = os.environ.get("ANTON_NOTEBOOK_REQUIRE") or "nothing"
    have = f"browser: {find_chromium() or 'none'}, corpus: {find_corpus() or 'none'}"
    return [f"Python {sys.version.split()[0]}, {have}, required: {required}"]


COUNTED = re.compile(r"::test_(?:[TGWRX]\d+|P_\d+)_|::test_every_naughty|::test_a_view_that_writes_markup")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What the tests of faults counted: how many kills, sequences, payloads, and what came of them."""
    said = {}
    for report in terminalreporter.stats.get("passed", []):
        if COUNTED.search(report.nodeid) and (text := report.capstdout.strip()):
            said[report.nodeid.rpartition("::")[2]] = text.splitlines()[-4:]
    if said:
        terminalreporter.section("counts")
        for name, lines in sorted(said.items()):
            terminalreporter.write_line(f"{name}: {'; '.join(lines)}"[:600])


def find_corpus() -> Path | None:
    """The folder of recorded runs beside the project, where there is one."""
    found = ROOT.parent / "shared" / "corpus"
    return found if found.is_dir() else None


def find_chromium() -> str | None:
    """The browser that the tests drive: `$CHROMIUM`, else the first that is on the PATH."""
    named = os.environ.get("CHROMIUM")
    return named or next((path for name in BROWSERS if (path := shutil.which(name))), None)


def lacking(what: str, reason: str) -> None:
    """Skips the test, saying why; where `ANTON_NOTEBOOK_REQUIRE` names `what`, fails it."""
    if what in os.environ.get("ANTON_NOTEBOOK_REQUIRE", "").replace(",", " ").split():
        pytest.fail(f"{reason}, but ANTON_NOTEBOOK_REQUIRE asks for {what!r}", pytrace=False)
    pytest.skip(f"NOT TESTED: {reason}")


@pytest.fixture(scope="session")
def corpus() -> Path:
    """The folder of recorded runs, `../shared/corpus`."""
    found = find_corpus()
    if found is None:
        lacking("corpus", f"no recorded runs at {ROOT.parent / 'shared' / 'corpus'}")
    assert found is not None
    return found


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of a Chromium to drive."""
    found = find_chromium()
    if found is None:
        lacking("browser", f"no Chromium on the PATH (looked for {', '.join(BROWSERS)}; $CHROMIUM names another)")
    assert found is not None
    return found
