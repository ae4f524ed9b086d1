"""Builds the page's half (js/) into anton_notebook/static/ whenever the package is built or installed."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

BUNDLE = ("widget.js", "widget.css", "editor.js", "standalone.js", "dashboard.js", "dashboard.css")
BY_HAND = "npm ci --prefix js && npm run build --prefix js"


class BundleError(RuntimeError):
    """The bundle cannot be had; the message says what to run."""


class BundleHook(BuildHookInterface[Any]):
    """Runs `npm ci` (when the lock file has changed) and `npm run build`, and refuses to go on without a bundle.

    An unpacked source distribution brings its bundle along and needs no Node.
    """

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before each target is put together."""
        root = Path(self.root)
        static, js = root / "anton_notebook" / "static", root / "js"
        unpacked = (root / "PKG-INFO").exists() and not (root / ".git").exists()
        if not (unpacked and _complete(static)):
            _build(js, static)
        if self.target_name == "wheel" and version == "standard":  # an editable install finds them in the checkout
            build_data["force_include"][str(root / "examples")] = "anton_notebook/examples"
        if not _complete(static):
            raise BundleError(f"the bundle is missing: {static} lacks one of {', '.join(BUNDLE)}; run: {BY_HAND}")


def _complete(static: Path) -> bool:
    return all((static / name).is_file() for name in BUNDLE)


def _build(js: Path, static: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise BundleError(
            f"the bundle {static} is built by npm, which was not found on the PATH; "
            f"install Node.js 20 or newer (it brings npm), then run: {BY_HAND}"
        )
    if not (js / "package.json").is_file():
        raise BundleError(
            f"the bundle {static} is missing and so are its sources, {js}; install from a full checkout or a wheel"
        )
    lock = hashlib.sha256((js / "package-lock.json").read_bytes()).hexdigest()
    stamp = js / "node_modules" / ".anton-notebook-lock"
    if not (stamp.is_file() and stamp.read_text() == lock):
        _run([npm, "ci", "--no-audit", "--no-fund"], js)
        stamp.write_text(lock)
    _run([npm, "run", "build"], js)


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
    )
    if done.returncode:
        words = " ".join(["npm", *command[1:]])
        raise BundleError(f"`{words}` failed in {cwd} (exit code {done.returncode}):\n{done.stdout[-4000:]}")
    print(done.stdout.rstrip())
