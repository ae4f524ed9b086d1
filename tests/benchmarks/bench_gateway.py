"""What the gateway adds to a call, and what a checkpoint costs."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from anton_notebook.experiments.checkpoints import CheckpointDatabase, CheckpointRow
from tests.support.servers.llm_server import LlmServer

CALLS, ROUNDS = 300, 5
GATEWAY = """
import sys
from pathlib import Path
from anton_notebook.capture.gateway import Gateway, Recorder
sys.setswitchinterval(0.0005)
with Gateway(Recorder(Path(sys.argv[1])), {"anthropic": sys.argv[2]}) as gateway:
    print(gateway.port, gateway.token, flush=True)
    sys.stdin.read()
"""


def rows() -> list[dict[str, str]]:
    """The measured rows."""
    return [*_gateway(), *_checkpoints()]


def _take(port: int, path: str, stream: bool) -> list[float]:
    door = http.client.HTTPConnection("127.0.0.1", port)
    messages = [{"role": "user", "content": "x" * 20_000}]
    body = json.dumps({"model": "claude-haiku-4-5", "max_tokens": 100, "messages": messages, "stream": stream})
    out = []
    for _ in range(CALLS):
        began = time.perf_counter()
        door.request("POST", path, body)
        door.getresponse().read()
        out.append((time.perf_counter() - began) * 1000)
    return sorted(out)


def _gateway() -> list[dict[str, str]]:
    """The gateway in a process of its own, as `anton-notebook record` runs it."""
    out = []
    with LlmServer() as server, tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", GATEWAY, folder, server.url]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdin is not None and process.stdout is not None
            port, token = process.stdout.readline().split()
            for stream in (False, True):
                added: list[tuple[float, float]] = []
                for _ in range(ROUNDS):
                    straight = _take(server.port, "/v1/messages", stream)
                    through = _take(int(port), f"/{token}/anthropic/v1/messages", stream)
                    at = int(CALLS * 0.95)
                    added.append((through[CALLS // 2] - straight[CALLS // 2], through[at] - straight[at]))
                what = f"gateway: added to a {'streamed ' if stream else ''}call with 20 kB, median / p95"
                measured = f"{median(a for a, _ in added):.2f} / {median(b for _, b in added):.2f} ms"
                out.append({"what": what, "measured": measured, "bar": "5 ms p95"})
            process.stdin.close()
    return out


def _checkpoints() -> list[dict[str, str]]:
    when = "2026-01-01T00:00:00+00:00"
    with tempfile.TemporaryDirectory() as folder:
        database, talk, times = CheckpointDatabase(Path(folder) / "c.db"), [], []
        for i in range(500):
            talk.append({"role": "user", "content": f"{i} " + "y" * 1000})
            began = time.perf_counter()
            database.insert(CheckpointRow(f"{i:04}", "run", "span", when, when, module_states={"a": talk}))
            times.append((time.perf_counter() - began) * 1000)
    measured = f"{median(times[-50:]):.1f} ms"
    return [
        {"what": "checkpoint: saved at turn 500 (median of the last 50), synced", "measured": measured, "bar": "-"},
    ]  # fmt: skip
