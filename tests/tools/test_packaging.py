"""What is built from this checkout: the wheel has the page's half in it, and so has the wheel made from the source archive."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUNDLE = tuple(
    f"anton_notebook/static/{name}"
    for name in ("widget.js", "widget.css", "editor.js", "standalone.js", "dashboard.js", "dashboard.css")
)


def build(where: Path, out: Path, *targets: str, path: str | None = None) -> subprocess.CompletedProcess[str]:
    chosen = [word for target in targets for word in ("-t", target)]
    env = os.environ | ({"PATH": path} if path is not None else {})
    return subprocess.run(
        [sys.executable, "-m", "hatchling", "build", *chosen, "-d", str(out)],
        cwd=where,
        env=env,
        capture_output=True,
        text=True,
        timeout=500,
    )


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the source archive of this checkout."""
    out = tmp_path_factory.mktemp("dist")
    done = build(ROOT, out, "sdist", "wheel")
    assert done.returncode == 0, done.stdout + done.stderr
    return out


@pytest.fixture(scope="module")
def unpacked(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source archive, unpacked."""
    (archive,) = built.glob("*.tar.gz")
    place = tmp_path_factory.mktemp("unpacked")
    shutil.unpack_archive(archive, place)  # extractall's `filter` is missing in early releases of Python 3.11
    (inside,) = place.iterdir()
    return inside


@pytest.fixture(scope="module")
def bare_path(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A PATH on which there is no Node."""
    return str(tmp_path_factory.mktemp("empty"))


def names(wheel: Path) -> dict[str, int]:
    with zipfile.ZipFile(wheel) as archive:
        return {info.filename: info.file_size for info in archive.infolist()}


def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist() if "dist-info" not in name}


def test_the_wheel_has_the_bundle_the_examples_and_the_types_and_nothing_else(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    found = names(wheel)
    assert all(found.get(name, 0) > 500 for name in BUNDLE)
    assert {"anton_notebook/py.typed", "anton_notebook/examples/live_trace.ipynb"} <= found.keys()
    assert {name.split("/")[0].split("-")[0] for name in found} == {"anton_notebook"}
    assert not [name for name in found if "__pycache__" in name or name.endswith((".ts", ".pyc"))]
    assert {name for name in found if name.startswith("anton_notebook/static/")} == set(BUNDLE)
    with zipfile.ZipFile(wheel) as archive:
        (meta,) = [name for name in found if name.endswith("/METADATA")]
        text = archive.read(meta).decode()
        (entry,) = [name for name in found if name.endswith("/entry_points.txt")]
        assert "anton-notebook = anton_notebook.cli:main" in archive.read(entry).decode()
    assert "Provides-Extra: demo" in text and "Requires-Dist: anywidget<0.12,>=0.11" in text
    assert any(name.endswith("licenses/LICENSE") for name in found)


def test_the_package_works_from_the_wheel_alone(built: Path, tmp_path: Path) -> None:
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    code = (
        "import anton_notebook, pathlib, sys\n"
        "from anton_notebook.cli.demo import NOTEBOOK, examples\n"
        "assert pathlib.Path(anton_notebook.__file__).is_relative_to(sys.argv[1]), anton_notebook.__file__\n"
        "assert examples().is_relative_to(sys.argv[1]) and (examples() / NOTEBOOK).is_file()\n"
        "graph = anton_notebook.TraceGraph(sys.argv[1] + '/runs.jsonl')\n"
        "assert len(graph._esm) > 500, graph._esm\n"
        "graph.close()\n"
    )
    (tmp_path / "runs.jsonl").write_text("")
    env = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr


def test_the_source_archive_makes_the_same_wheel_without_node(
    built: Path, unpacked: Path, bare_path: str, tmp_path: Path
) -> None:
    assert not (unpacked / "js" / "node_modules").exists()
    assert (unpacked / "js" / "package-lock.json").is_file()
    assert (unpacked / "tests" / "tools" / "test_packaging.py").is_file()
    done = build(unpacked, tmp_path, "wheel", path=bare_path)
    assert done.returncode == 0, done.stdout + done.stderr
    (first,) = built.glob("*.whl")
    (second,) = tmp_path.glob("*.whl")
    assert contents(first) == contents(second)


def test_a_missing_bundle_is_an_error_that_says_what_to_run(unpacked: Path, bare_path: str, tmp_path: Path) -> None:
    bundle = unpacked / BUNDLE[0]
    kept = bundle.read_bytes()
    bundle.unlink()
    try:
        done = build(unpacked, tmp_path, "wheel", path=bare_path)
    finally:
        bundle.write_bytes(kept)
    assert done.returncode != 0
    assert "npm ci --prefix js && npm run build --prefix js" in done.stderr
    assert "Node.js 20" in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.nightly
def test_the_wheel_does_its_work_in_a_bare_environment_with_the_lowest_versions(built: Path, tmp_path: Path) -> None:
    from tests.tools import matrix

    try:
        uv = matrix.resolver(tmp_path)
    except matrix.Failed as error:
        pytest.skip(f"uv cannot be had: {error}")
    (wheel,) = built.glob("*.whl")
    cell = matrix.tried(sys.executable, "lowest", wheel, uv, tmp_path)
    assert not cell.failed, cell.failed
    assert len(cell.steps) == 12
