"""Installing a checkout: a step runs only if its inputs have changed, and prints its time."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.tools import install


def copy_inputs(target: Path) -> Path:
    """Copy what the bundle is built from, with the installed node_modules."""
    for path in install.bundle_inputs(ROOT):
        copy = target / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    for name in ("tsconfig.json",):
        shutil.copy(ROOT / "js" / name, target / "js" / name)
    (target / "js" / "node_modules").symlink_to((ROOT / "js" / "node_modules").resolve())
    return target


def test_bundle_is_built_once_and_again_after_a_change(tmp_path: Path) -> None:
    if shutil.which("npm") is None or not (ROOT / "js" / "node_modules").is_dir():
        pytest.skip("NOT TESTED: npm or js/node_modules is missing")
    root = copy_inputs(tmp_path)
    assert not install.bundle_is_current(root)
    install.build_bundle(root)
    assert install.bundle_is_current(root)
    assert (root / "anton_notebook" / "static" / "widget.js").stat().st_size > 50_000
    (root / "js" / "src" / "new.test.ts").write_text("// tests are no input")
    assert install.bundle_is_current(root)
    with (root / "js" / "src" / "index.ts").open("a") as file:
        file.write("\n// changed\n")
    assert not install.bundle_is_current(root)
    install.build_bundle(root)
    (root / "anton_notebook" / "static" / "widget.css").unlink()
    assert not install.bundle_is_current(root), "an incomplete bundle is not current"


def test_steps_print_one_line_with_their_time(capsys: pytest.CaptureFixture[str]) -> None:
    runs: list[int] = []
    install.step("Python packages", False, lambda: runs.append(1))
    install.step("Python packages", True, lambda: runs.append(2))
    lines = capsys.readouterr().out.splitlines()
    assert runs == [1]
    assert re.fullmatch(r"Python packages +installed +\d+\.\d s", lines[0])
    assert re.fullmatch(r"Python packages +up to date +\d+\.\d s", lines[1])


def test_input_hash_follows_content_and_texts(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_text("1")
    first = install.input_hash([file], "3.11")
    assert install.input_hash([file], "3.11") == first
    assert install.input_hash([file], "3.12") != first
    file.write_text("2")
    assert install.input_hash([file], "3.11") != first
