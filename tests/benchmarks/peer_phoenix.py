"""Run by `peers` in Phoenix's own environment: seconds of `get_spans_dataframe` on a server of this machine, as JSON.

Usage: `peer_phoenix.py SPANS`. Phoenix's database lies in a temporary folder, and nothing is sent anywhere else.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from importlib.metadata import version

TIMES = 3
BATCH = 1_000


def main(count: int) -> None:
    from phoenix.client import Client

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        grpc = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory(prefix="peer-phoenix-") as folder:
        env = {**os.environ, "PHOENIX_WORKING_DIR": folder, "PHOENIX_PORT": str(port), "PHOENIX_GRPC_PORT": str(grpc)}
        env |= {"PHOENIX_HOST": "127.0.0.1", "PHOENIX_TELEMETRY_ENABLED": "false"}
        log = os.path.join(folder, "log")
        with open(log, "wb") as said:
            server = subprocess.Popen(
                [sys.executable, "-m", "phoenix.server.main", "serve"], env=env, stdout=said, stderr=said
            )
        try:
            ready(server, f"{address}/healthz", log)
            client = Client(base_url=address)
            spans = [span(i) for i in range(count)]
            for at in range(0, count, BATCH):
                client.spans.log_spans(project_identifier="bench", spans=spans[at : at + BATCH], timeout=300)
            until = time.monotonic() + 300
            while True:
                there = len(client.spans.get_spans_dataframe(project_identifier="bench", limit=count, timeout=300))
                if there >= count or time.monotonic() > until:
                    break
                time.sleep(1)
            found = []
            for _ in range(TIMES):
                start = time.perf_counter()
                frame = client.spans.get_spans_dataframe(project_identifier="bench", limit=count, timeout=300)
                found.append(time.perf_counter() - start)
        finally:
            server.terminate()
            server.wait(30)
    said_ = {"name": "Phoenix", "version": version("arize-phoenix"), "call": "get_spans_dataframe"}
    print(json.dumps({**said_, "spans": len(frame), "seconds": min(found)}))


def ready(server: subprocess.Popen[bytes], address: str, log: str) -> None:
    until = time.monotonic() + 180
    while time.monotonic() < until and server.poll() is None:
        try:
            with urllib.request.urlopen(address, timeout=2):
                return
        except OSError:
            time.sleep(0.5)
    with open(log, errors="replace") as file:
        raise SystemExit(f"Phoenix did not start:\n{file.read()[-3000:]}")


def span(i: int) -> dict[str, object]:
    run, step = divmod(i, 100)
    start = 1_767_225_600 + i
    words = f"Question {i}. " + "What does this module do, and which of its functions are called from elsewhere? " * 6
    attributes: dict[str, object] = {
        "openinference.span.kind": "LLM" if step % 2 == 0 else "TOOL",
        "input.value": words,
        "output.value": words[::-1],
    }
    if step % 2 == 0:
        attributes |= {
            "llm.model_name": "gpt-4o",
            "llm.token_count.prompt": 1000 + i % 100,
            "llm.token_count.completion": 100 + i % 10,
            "llm.input_messages.0.message.role": "user",
            "llm.input_messages.0.message.content": words,
        }
    return {
        "name": "call",
        "context": {"trace_id": f"{run + 1:032x}", "span_id": f"{i + 1:016x}"},
        "parent_id": f"{i:016x}" if step else None,
        "span_kind": "LLM" if step % 2 == 0 else "TOOL",
        "start_time": time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(start)),
        "end_time": time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(start + 1)),
        "status_code": "OK",
        "status_message": "",
        "attributes": attributes,
        "events": [],
    }


if __name__ == "__main__":
    main(int(sys.argv[1]))
