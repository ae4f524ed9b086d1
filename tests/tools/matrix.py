"""The wheel in bare environments: each Python that is found, with the lowest and the newest allowed versions. `make matrix`.

`python tests/tools/matrix.py [--pythons PATH …] [--resolutions lowest newest] [--keep FOLDER]` builds the wheel, and for each pair makes an
environment that holds nothing but the wheel and what it asks for (uv resolves: `lowest-direct` is the lowest version of each direct
dependency that pyproject.toml allows and that has a wheel for this Python), runs `tests/tools/matrix_check.py` in it, adds the extras in the same
manner, and runs the rest. Prints a table; exit code 1 where something failed.
"""

from __future__ import annotations

import argparse
import glob
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
CHECK = ROOT / "tests" / "matrix_check.py"
EXTRAS = "demo,plot,fast,archive"
RESOLUTIONS = {"lowest": "lowest-direct", "newest": "highest"}
OLDEST = (3, 11)


class Failed(Exception):
    """A program failed; the message has its last words."""


@dataclass
class Cell:
    """One environment and what was seen in it."""

    python: str
    resolution: str
    versions: dict[str, str] = field(default_factory=dict)
    steps: dict[str, float] = field(default_factory=dict)
    failed: str = ""


def run(words: list[str], cwd: Path | None = None, timeout: float = 900, **environ: str) -> str:
    kept = {
        k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL_ENV", "JUPYTER", "PIP_CONSTRAINT"))
    }
    kept = {k: v for k, v in kept.items() if not k.endswith("_API_KEY")} | environ
    done = subprocess.run(
        words, cwd=cwd, env=kept, capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL
    )
    if done.returncode:
        raise Failed(
            f"`{' '.join(words[:6])} …` ended with {done.returncode}:\n{done.stdout[-1500:]}\n{done.stderr[-5000:]}"
        )
    return done.stdout


def pythons() -> list[str]:
    """One path for each version from 3.11 on: on the PATH, of pyenv, and this one."""
    places = [sys.executable]
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        places += glob.glob(str(Path(folder) / "python3.[0-9][0-9]"))
    places += glob.glob(str(Path.home() / ".pyenv" / "versions" / "3.*" / "bin" / "python"))
    found: dict[tuple[int, int], str] = {}
    for place in places:
        asked = [
            place,
            "-I",
            "-c",
            "import sys, venv, ensurepip; print(*sys.version_info[:2], sys.implementation.name)",
        ]
        try:
            said = subprocess.run(asked, capture_output=True, text=True, timeout=30).stdout.split()
        except (OSError, subprocess.SubprocessError):
            continue
        if len(said) == 3 and said[2] == "cpython" and (int(said[0]), int(said[1])) >= OLDEST:
            found.setdefault((int(said[0]), int(said[1])), place)
    return [found[version] for version in sorted(found)]


def resolver(folder: Path) -> str:
    """uv: the one on the PATH, or one installed here."""
    if shutil.which("uv"):
        return str(shutil.which("uv"))
    run([sys.executable, "-m", "venv", str(folder / "uv")])
    run([str(folder / "uv" / "bin" / "python"), "-m", "pip", "install", "--quiet", "uv"])
    return str(folder / "uv" / "bin" / "uv")


def wheel(folder: Path) -> Path:
    """The wheel of this checkout."""
    run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)], cwd=ROOT)
    (made,) = folder.glob("*.whl")
    return made


def server() -> Any:
    """A model for the calls of the check, on this machine."""
    spec = importlib.util.spec_from_file_location("llm_server", ROOT / "tests" / "servers" / "llm_server.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["llm_server"] = module
    spec.loader.exec_module(module)
    return module.LlmServer()


def tried(python: str, resolution: str, built: Path, uv: str, place: Path, extras: bool = True) -> Cell:
    """One environment: made, filled, checked."""
    version = run([python, "-I", "-c", "import platform; print(platform.python_version())"]).strip()
    cell = Cell(version, resolution)
    work = place / f"{version}-{resolution}"
    inside = str(work / "env" / "bin" / "python")

    def fixed(steps: str) -> str:
        """A file with the versions that are meant."""
        more = [word for extra in EXTRAS.split(",") if steps == "extras" for word in ("--extra", extra)]
        asked = [uv, "pip", "compile", "--quiet", "--python", inside, "--only-binary", ":all:", "--no-header", *more]
        text = run([*asked, "--resolution", RESOLUTIONS[resolution], str(ROOT / "pyproject.toml")])
        (work / f"{steps}.txt").write_text(text)
        return str(work / f"{steps}.txt")

    try:
        run([python, "-m", "venv", "--without-pip", str(work / "env")])
        with server() as model:
            for steps, what in (("bare", str(built)), ("extras", f"anton-notebook[{EXTRAS}] @ {built.as_uri()}")):
                if steps == "extras" and not extras:
                    continue
                run(
                    [
                        uv,
                        "pip",
                        "install",
                        "--quiet",
                        "--python",
                        inside,
                        "--only-binary",
                        ":all:",
                        "-c",
                        fixed(steps),
                        what,
                    ]
                )
                folder = work / steps
                folder.mkdir()
                # The bare environment makes the traces that the extras' steps read.
                if steps == "extras":
                    shutil.copytree(work / "bare" / ".modular-agents", folder / ".modular-agents")
                home = {"HOME": str(folder), "XDG_STATE_HOME": str(folder / "state")}
                said = run(
                    [inside, "-I", str(CHECK), str(folder), json.dumps(model.environment()), steps], cwd=folder, **home
                )
                cell.steps |= json.loads(said.splitlines()[-1])
    except (Failed, subprocess.TimeoutExpired) as error:
        cell.failed = str(error)
    if Path(inside).exists():
        listed = json.loads(run([uv, "pip", "list", "--python", inside, "--format", "json", "--quiet"]))
        cell.versions = {one["name"].lower(): one["version"] for one in listed}
    return cell


def direct() -> list[str]:
    """The names of the direct dependencies, with the extras'."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = project["dependencies"] + [
        line for extra in EXTRAS.split(",") for line in project["optional-dependencies"][extra]
    ]
    return [re.split(r"[^\w.-]", line)[0].lower() for line in asked]


def table(cells: list[Cell], names: list[str]) -> str:
    """One column for each environment: what was tried, and which versions of the dependencies that were."""
    heads = ["", *(f"{cell.python} {cell.resolution}" for cell in cells)]
    rows = [["result", *("failed" if cell.failed else f"{len(cell.steps)} steps" for cell in cells)]]
    rows += [[name, *(cell.versions.get(name, "–") for cell in cells)] for name in names]
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--pythons", nargs="+", default=None, metavar="PATH", help="these instead of all that are found"
    )
    parser.add_argument("--resolutions", nargs="+", choices=tuple(RESOLUTIONS), default=list(RESOLUTIONS))
    parser.add_argument("--bare", action="store_true", help="without the extras")
    parser.add_argument("--keep", default=None, metavar="FOLDER", help="work in this folder and leave it there")
    options = parser.parse_args()
    chosen = options.pythons or os.environ.get("PYTHONS", "").split() or pythons()
    with tempfile.TemporaryDirectory(prefix="matrix-", ignore_cleanup_errors=True) as made:
        place = Path(options.keep or made).resolve()
        place.mkdir(parents=True, exist_ok=True)
        uv, built = resolver(place), wheel(place / "dist")
        cells = []
        for python in chosen:
            for resolution in options.resolutions:
                cell = tried(python, resolution, built, uv, place, extras=not options.bare)
                cells.append(cell)
                took = ", ".join(f"{name} {seconds:.1f}" for name, seconds in cell.steps.items())
                print(f"Python {cell.python}, {resolution}: {cell.failed or took}", file=sys.stderr, flush=True)
        print(table(cells, direct()))
    return 1 if any(cell.failed for cell in cells) else 0


if __name__ == "__main__":
    raise SystemExit(main())
