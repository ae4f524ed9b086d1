"""The tests of requests, faults and sweeps with older SDKs: one path for every major version. `python tests/tools/majors.py`.

Installs each pair into a folder of its own (pip, nothing of this environment changes), and puts it before the installed ones.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAIRS = (("0.60.0", "1.60.0"), ("0.125.0", "2.54.0"), ("1.0.0", "3.0.0"))
TESTS = ("test_request_equality", "test_llm_faults", "test_llm_lean", "test_rerun", "test_translate")
ASKED = "import anthropic, openai; print(anthropic.__version__, openai.__version__)"


def main() -> int:
    bad = 0
    for anthropic, openai in PAIRS:
        with tempfile.TemporaryDirectory() as folder:
            pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", folder]
            free = {name: value for name, value in os.environ.items() if name != "PIP_CONSTRAINT"}
            subprocess.run([*pip, f"anthropic=={anthropic}", f"openai=={openai}"], check=True, env=free)
            env = os.environ | {"PYTHONPATH": folder}
            found = subprocess.run([sys.executable, "-c", ASKED], env=env, capture_output=True, text=True, check=True)
            if found.stdout.split() != [anthropic, openai]:
                raise SystemExit(f"asked for {anthropic} and {openai}, imported {found.stdout.strip()}")
            files = [str(ROOT / "tests" / f"{name}.py") for name in TESTS]
            command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "-W", "ignore", *files]
            code = subprocess.run(command, cwd=ROOT, env=env).returncode
            print(f"anthropic {anthropic}, openai {openai}: {'as with today' if code == 0 else 'FAILED'}", flush=True)
            bad += code != 0
    return 1 if bad else 0


if __name__ == "__main__":
    raise SystemExit(main())
