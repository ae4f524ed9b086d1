"""One JupyterLab and one browser for all browser tests, and a notebook for each."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.browser.lab import Lab, Notebook, chromium_browser

_numbers = itertools.count()
Opener = Callable[..., Notebook]


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A running JupyterLab."""
    server = Lab(tmp_path_factory.mktemp("lab"))
    yield server
    server.close()


@pytest.fixture(scope="session")
def browser(chromium: str) -> Iterator[Browser]:
    """A running Chromium."""
    with chromium_browser(chromium) as running:
        yield running


@pytest.fixture
def notebook(lab: Lab, browser: Browser) -> Iterator[Opener]:
    """Opens notebooks: `notebook([cell, ...])`. In the end no page may have complained, unless `complaints` was cleared."""
    opened: list[Notebook] = []

    def open_one(cells: list[str]) -> Notebook:
        opened.append(Notebook(lab, browser, f"test-{next(_numbers)}.ipynb", cells))
        return opened[-1]

    yield open_one
    complaints = [said for book in opened for said in book.complaints]
    for book in opened:
        book.close()
    assert not complaints


@pytest.fixture
def traces(lab: Lab, request: pytest.FixtureRequest) -> Path:
    """A folder of traces beside the notebooks."""
    folder = lab.root / f"traces-{next(_numbers)}"
    folder.mkdir()
    return folder
