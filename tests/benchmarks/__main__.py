"""Runs the benchmarks and prints what was measured beside its bar: `python tests/benchmarks [NAME ...]`, or `make bench`.

A benchmark is a file `bench_<name>.py` here with a function `rows()` that gives dicts of three texts: `what`, `measured`, `bar`.
"""

from __future__ import annotations

import importlib
import os
import platform
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def machine() -> str:
    """What the figures were measured on."""
    names = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    processor = next(
        (line.split(":", 1)[1].strip() for line in names if line.startswith("model name")), platform.machine()
    )
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    return f"{processor}, {os.cpu_count()} cores{load}, {platform.system()}, Python {platform.python_version()}"


def main(wanted: list[str]) -> int:
    """Runs the named benchmarks, or all; 2 for a name that is none."""
    sys.path[:0] = [str(HERE), str(HERE.parent.parent)]
    known = {path.stem.removeprefix("bench_"): path.stem for path in sorted(HERE.glob("bench_*.py"))}
    unknown = [name for name in wanted if name not in known]
    if unknown:
        print(f"no benchmark {', '.join(unknown)}; there are: {', '.join(known)}", file=sys.stderr)
        return 2
    print(f"{machine()}\n")
    for name in wanted or known:
        print(f"{name}", flush=True)
        for row in importlib.import_module(known[name]).rows():
            print(f"  {row['what']:<76} {row['measured']:>26}   bar {row['bar']}", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
