"""Builds the front end (js/) into anton_notebook/static/ when the package is built or installed, if its inputs have changed."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ImportError:  # imported by tests/tools/install.py, outside of a build
    BuildHookInterface = object  # type: ignore[misc, assignment]

BUNDLE = ("widget.js", "widget.css", "editor.js", "standalone.js", "dashboard.js", "dashboard.css")
COMMANDS = "npm ci --prefix js && npm run build --prefix js"
NODE_VERSION = 20


class BundleError(RuntimeError):
    """The bundle cannot be built; the message says what to run."""


class BundleHook(BuildHookInterface):  # type: ignore[type-arg]
    """Builds the bundle before hatchling collects files. An unpacked source distribution contains its bundle and needs no Node."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the bundle if it is not current; called by hatchling before each target."""
        root = Path(self.root)
        unpacked = (root / "PKG-INFO").exists() and not (root / ".git").exists()
        if not (unpacked and _complete(root)) and not bundle_is_current(root):
            build_bundle(root)
        if self.target_name == "wheel" and version == "standard":  # an editable install finds them in the checkout
            build_data["force_include"][str(root / "examples")] = "anton_notebook/examples"
        if not _complete(root):
            raise BundleError(f"The bundle lacks one of {', '.join(BUNDLE)}. Run: {COMMANDS}")


def bundle_inputs(root: Path) -> list[Path]:
    """Return the files that the bundle is built from."""
    js = root / "js"
    sources = (path for path in (js / "src").rglob("*") if path.is_file() and not path.name.endswith(".test.ts"))
    return sorted([*sources, js / "build.mjs", js / "package.json", js / "package-lock.json"])


def bundle_is_current(root: Path) -> bool:
    """Return whether the bundle is complete and was built from the present inputs."""
    stamp = _stamp(root)
    return _complete(root) and stamp.is_file() and stamp.read_text() == _input_hash(root)


def build_bundle(root: Path) -> None:
    """Run `npm ci` (if the lock file has changed) and `npm run build`, and stamp the result.

    Raises:
        BundleError: npm or Node.js is missing or too old, or a command failed.
    """
    js = root / "js"
    if not (js / "package.json").is_file():
        raise BundleError("The bundle and its sources in js/ are missing. Install from a full checkout or a wheel.")
    npm = _npm()
    lock = hashlib.sha256((js / "package-lock.json").read_bytes()).hexdigest()
    lock_stamp = js / "node_modules" / ".anton-notebook-lock"
    if not (lock_stamp.is_file() and lock_stamp.read_text() == lock):
        _run([npm, "ci", "--no-audit", "--no-fund"], js)
        lock_stamp.write_text(lock)
    inputs = _input_hash(root)
    _run([npm, "run", "build"], js)
    _stamp(root).parent.mkdir(exist_ok=True)
    _stamp(root).write_text(inputs)


def _complete(root: Path) -> bool:
    return all((root / "anton_notebook" / "static" / name).is_file() for name in BUNDLE)


def _stamp(root: Path) -> Path:
    return root / "build" / "bundle-inputs.sha256"


def _input_hash(root: Path) -> str:
    digest = hashlib.sha256()
    for path in bundle_inputs(root):
        digest.update(f"{path.relative_to(root)}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _npm() -> str:
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        raise BundleError(
            f"Node.js {NODE_VERSION} or newer (with npm) is needed to build the bundle. Install it, then run: {COMMANDS}"
        )
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout.strip()
    major = version.removeprefix("v").partition(".")[0]
    if not major.isdigit() or int(major) < NODE_VERSION:
        raise BundleError(f"Node.js {NODE_VERSION} or newer is needed to build the bundle; found {version or 'none'}.")
    return npm


def _run(command: list[str], cwd: Path) -> None:
    done = subprocess.run(
        command,
        cwd=cwd,
        env=os.environ | {"CI": "true"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        words = " ".join(["npm", *command[1:]])
        raise BundleError(f"`{words}` failed in {cwd} (exit code {done.returncode}):\n{done.stdout[-4000:]}")
