"""The long forms of everything: all tests in their long versions, an hour of random faults of models, and eight hours of a live run.

    python tests/tools/nightly.py [--release] [--minutes M] [--only tests|models|soak] [pytest's arguments]

The three run beside each other and say what they counted; each writes all it says into `build/nightly/`. `--minutes` shortens the second and the third;
`--release` takes the numbers of a release: 500,000 sequences, 10,000 kills, eight hours. The exit code is 1 where any of them failed.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "build" / "nightly"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--release", action="store_true")
    parser.add_argument("--minutes", type=float, default=None)
    parser.add_argument("--only", choices=["tests", "models", "soak"], action="append")
    given, more = parser.parse_known_args()
    soak = ["--minutes", "480", "--speed", "1"] if given.release else []
    shorter = [] if given.minutes is None else ["--minutes", str(given.minutes)]
    level = ["--nightly", "--release"] if given.release else ["--nightly"]
    pytest = [
        "-n",
        "2",
        "--dist",
        "loadfile",
        "--no-loadscope-reorder",
        "--reruns",
        "2",
        "-rfERs",
        "-p",
        "no:cacheprovider",
    ]
    parts = {
        "tests": ["-m", "pytest", *level, *pytest, *more],
        "models": ["tests/tools/model_faults.py", *shorter],
        "soak": ["tests/tools/soak.py", *soak, *shorter],
    }
    FOLDER.mkdir(parents=True, exist_ok=True)
    began, running = time.monotonic(), {}
    for name, command in parts.items():
        if not given.only or name in given.only:
            out = (FOLDER / f"{name}.txt").open("wb")
            running[name] = subprocess.Popen([sys.executable, *command], cwd=ROOT, stdout=out, stderr=subprocess.STDOUT)
            out.close()
    results: dict[str, int] = {}
    try:
        while len(results) < len(running):
            time.sleep(1)
            for name, process in running.items():
                if name not in results and process.poll() is not None:
                    results[name] = process.returncode
                    _tell(name, process.returncode, (time.monotonic() - began) / 60)
    finally:
        for process in running.values():
            if process.poll() is None:
                process.terminate()
                process.wait()
    print(
        f"{'all well' if not any(results.values()) else 'NOT ALL WELL'}: {results}, {(time.monotonic() - began) / 60:.0f} min"
    )
    return int(any(results.values()))


def _tell(name: str, code: int, minutes: float) -> None:
    """The last part of what one of them said: what it counted."""
    lines = (FOLDER / f"{name}.txt").read_text(errors="replace").splitlines()
    begin = next((i for i, said in enumerate(lines) if said.strip("= ") == "counts"), max(0, len(lines) - 12))
    print(f"\n== {name}: {'well' if code == 0 else f'FAILED ({code})'} after {minutes:.0f} min", flush=True)
    print("\n".join(line for line in lines[begin:] if not line.startswith("{")), flush=True)


if __name__ == "__main__":
    sys.exit(main())
