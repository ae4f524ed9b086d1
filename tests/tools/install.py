"""Install the checkout into the running environment: packages and page bundle, each only if its inputs have changed.

`python tests/tools/install.py` (`make install`) prints one line per step with its time. A step is skipped if the hash of its inputs
equals the stamp that its last run left.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from hatch_build import BundleError, build_bundle, bundle_inputs, bundle_is_current  # noqa: E402

PACKAGE_INPUTS = ("pyproject.toml", "constraints.txt", "hatch_build.py")


def input_hash(paths: Iterable[Path], *more: str) -> str:
    """Return a hash of files, by name and content, and of further texts."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(f"{path.name}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    for text in more:
        digest.update(text.encode() + b"\0")
    return digest.hexdigest()


def step(title: str, current: bool, run: Callable[[], None]) -> None:
    """Run a step unless it is current, and print one line with its time."""
    print(f"{title:<16} ", end="", flush=True)
    began = time.monotonic()
    if not current:
        run()
    print(f"{'up to date' if current else 'installed':<11} {time.monotonic() - began:6.1f} s", flush=True)


def main() -> int:
    """Install what has changed; 1 if a step failed."""
    stamp = Path(sys.prefix) / ".anton-notebook-install"
    wanted = input_hash((ROOT / name for name in PACKAGE_INPUTS), str(ROOT), sys.version)

    def install_packages() -> None:
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--editable", ".[dev]"]
        subprocess.run(command, cwd=ROOT, check=True)
        stamp.write_text(wanted)

    try:
        # The bundle first: the build hook of the package finds it current.
        step("Page bundle", bundle_is_current(ROOT), lambda: build_bundle(ROOT))
        step("Python packages", stamp.is_file() and stamp.read_text() == wanted, install_packages)
    except (BundleError, subprocess.CalledProcessError) as error:
        print(f"failed\n{error}", file=sys.stderr)
        return 1
    return 0


__all__ = ["bundle_inputs", "input_hash", "main", "step"]

if __name__ == "__main__":
    raise SystemExit(main())
