"""A graph under older and newer ipykernels: it grows while a cell runs, and a click is answered then or, before subshells, afterwards.
A page that is reloaded while a cell runs shows its graph when the cell has ended.

`python tests/tools/kernels.py [VERSION ...]` (`make kernels`) puts each version of ipykernel into a folder of its own, in front of what is
installed, starts it as a front end does, opens a `TraceGraph` and speaks as its page. Prints a table; exit code 1 where something failed.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import tempfile
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jupyter_client.manager import KernelManager

ROOT = Path(__file__).resolve().parents[2]
VERSIONS = ("6.29.5", "6.31.0", "7.0.1", "7.4.0")
PATIENCE = 60.0
BUSY = "import time\nuntil = time.monotonic() + 4\nwhile time.monotonic() < until:\n    sum(range(20_000))\n"
LINES = 12


def line(number: int) -> str:
    """A call, as anton writes it."""
    return (
        json.dumps(
            {
                "timestamp": f"2026-03-01T12:00:{number:02d}",
                "agent_name": "orchestrator",
                "provider": "claude",
                "model": "claude-haiku-4-5",
                "trace_id": "t",
                "span_id": f"s{number}",
                "parent_id": None,
                "span_type": "llm_call",
                "duration_ms": 500.0,
                "tokens": {"input": 10, "output": 2, "total": 12},
                "cost_usd": 0.0,
                "messages": [],
                "response": "ok",
            }
        )
        + "\n"
    )


@dataclass
class Seen:
    """What came from a kernel: `states` of widgets by comm, messages of the graph, answers with the time each came, ends of cells."""

    states: dict[str, dict[str, Any]] = field(default_factory=dict)
    changes: list[float] = field(default_factory=list)
    answers: dict[str, tuple[float, dict[str, Any]]] = field(default_factory=dict)
    ended: dict[str, float] = field(default_factory=dict)
    failed: str = ""


class Front:
    """A front end of one kernel."""

    def __init__(self, manager: KernelManager) -> None:
        self.client = manager.blocking_client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=PATIENCE)
        self.seen = Seen()

    def take(self, seconds: float) -> None:
        """Takes what comes within so many seconds, at least one message if there is one."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            try:
                message = self.client.get_iopub_msg(timeout=max(0.01, until - time.monotonic()))
            except queue.Empty:
                return
            kind, content = message["header"]["msg_type"], message["content"]
            if kind == "comm_open":
                self.seen.states[content["comm_id"]] = content["data"].get("state", {})
            elif kind == "error":
                self.seen.failed = "\n".join(content["traceback"])
            elif kind == "status" and content["execution_state"] == "idle":
                self.seen.ended[message["parent_header"]["msg_id"]] = time.monotonic()
            elif kind == "comm_msg" and content["data"].get("method") == "custom":
                said = content["data"]["content"]
                if said.get("type") == "answer":
                    self.seen.answers[said["id"]] = time.monotonic(), said
                elif message.get("buffers"):
                    self.seen.changes.append(time.monotonic())

    def until(self, what: Any) -> None:
        """Takes messages until this is true."""
        deadline = time.monotonic() + PATIENCE
        while not what():
            if self.seen.failed or time.monotonic() > deadline:
                raise AssertionError(self.seen.failed or "it did not come in time")
            self.take(0.2)

    def cell(self, code: str, wait: bool = True) -> str:
        """Runs a cell."""
        run: str = self.client.execute(code)
        if wait:
            self.until(lambda: run in self.seen.ended)
        return run

    def ask(self, comm: str, op: str, subshell: str | None = None, **more: Any) -> str:
        """Sends a request of the page."""
        name = uuid.uuid4().hex
        request = {"type": "request", "id": name, "op": op, **more}
        message = self.client.session.msg(
            "comm_msg", {"comm_id": comm, "data": {"method": "custom", "content": request}}
        )
        if subshell is not None:
            message["header"]["subshell_id"] = subshell
        self.client.shell_channel.send(message)
        return name

    def subshell(self) -> str | None:
        """A subshell of the kernel, as JupyterLab asks for one; None where it has none."""
        self.client.kernel_info()
        info = self.client.get_shell_msg(timeout=PATIENCE)
        while info["header"]["msg_type"] != "kernel_info_reply":
            info = self.client.get_shell_msg(timeout=PATIENCE)
        if "kernel subshells" not in info["content"].get("supported_features", []):
            return None
        self.client.control_channel.send(self.client.session.msg("create_subshell_request", {}))
        while True:
            reply = self.client.control_channel.get_msg(timeout=PATIENCE)
            if reply["header"]["msg_type"] == "create_subshell_reply":
                return str(reply["content"]["subshell_id"])


def reloaded(manager: KernelManager) -> tuple[float, dict[str, Any]]:
    """What a page asks before it restores its widgets, as JupyterLab asks it: when all was answered, and the states of the widgets."""
    client, comm = manager.blocking_client(), uuid.uuid4().hex
    client.start_channels()
    try:
        client.kernel_info()
        client.comm_info("jupyter.widget")
        opening = {"comm_id": comm, "target_name": "jupyter.widget.control", "data": {}}
        asking = {"comm_id": comm, "data": {"method": "request_states"}}
        for kind, content in (("comm_open", opening), ("comm_msg", asking), ("comm_close", {"comm_id": comm})):
            message = client.session.msg(kind, content, metadata={"version": "1.0.0"})
            client.shell_channel.send(message)
        missing = {"kernel_info_reply", "comm_info_reply"}
        while missing:
            missing.discard(client.get_shell_msg(timeout=PATIENCE)["header"]["msg_type"])
        while True:
            message = client.get_iopub_msg(timeout=PATIENCE)
            if message["header"]["msg_type"] == "comm_msg" and message["content"]["comm_id"] == comm:
                return time.monotonic(), message["content"]["data"]["states"]
    finally:
        client.stop_channels()


def tried(version: str, folder: Path) -> str:
    """What one version does, in a sentence; AssertionError where it does not do what it should."""
    place, traces = folder / version, folder / f"{version}.traces"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(place)]
    subprocess.run([*command, f"ipykernel=={version}"], check=True, capture_output=True, timeout=300)
    traces.mkdir()
    file = traces / "a.jsonl"
    file.write_text(line(0))
    words = {
        "PYTHONPATH": os.pathsep.join([str(place), str(ROOT)]),
        "IPYTHONDIR": str(folder / "ipython"),
        "HOME": str(folder),
    }
    manager = KernelManager()
    manager.kernel_cmd = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    manager.start_kernel(env={**os.environ, **words}, cwd=str(folder))
    try:
        front = Front(manager)
        seen = front.seen
        front.cell(
            f"import ipykernel, anton_notebook as anb\nassert ipykernel.__version__ == {version!r}, ipykernel.__version__\n"
            f"graph = anb.TraceGraph({str(traces)!r})\ngraph"
        )
        found = [state for state in seen.states.values() if "selected_span_id" in state]
        assert len(found) == 1, "no graph was opened"
        named = {str(v).removeprefix("IPY_MODEL_") for v in found[0].values() if str(v).startswith("IPY_MODEL_")}
        (comm,) = [name for name in named if name in seen.states and seen.states[name].get("_view_name") is None]
        hello = {"client": "page", "epoch": None, "scope": -1, "revision": -1, "strings": 0, "classes": 0}
        subshell = front.subshell()
        asked = front.ask(comm, "hello", subshell, **hello)
        front.until(lambda: asked in seen.answers and seen.changes)
        said = seen.answers[asked][1]
        assert said["ok"] and said["value"]["subshell"] is (subshell is not None), said
        # A cell runs; lines are written and a span is clicked meanwhile.
        count, run = len(seen.changes), front.cell(BUSY, wait=False)
        front.take(0.5)
        pages = ThreadPoolExecutor(1)
        page = pages.submit(reloaded, manager)
        clicked, began = front.ask(comm, "select", subshell, row=0), time.monotonic()
        for number in range(1, 1 + LINES):
            with file.open("a") as out:
                out.write(line(number))
            front.take(0.15)
        front.until(lambda: run in seen.ended and clicked in seen.answers)
        grown = sum(when < seen.ended[run] for when in seen.changes[count:])
        assert grown >= 3, f"only {grown} changes came while the cell ran"
        late = seen.answers[clicked][0]
        beside = late < seen.ended[run]
        assert beside is (subshell is not None), f"a click was answered {'beside' if beside else 'after'} the cell"
        answered, states = page.result()
        pages.shutdown()
        assert any("selected_span_id" in one["state"] for one in states.values()), states
        assert answered >= seen.ended[run] - 0.5, "a reloaded page was answered before the cell ended"
        front.cell(f"assert graph.selected_span_id is not None and len(graph.traces.spans_df()) == {2 + LINES}")
        front.cell("graph.close()")
        how = f"answered while it ran, after {1e3 * (late - began):.0f} ms" if beside else "answered after the cell"
        return f"{grown} changes came while a cell ran; a click was {how}, a reloaded page after the cell"
    finally:
        manager.shutdown_kernel(now=True)


def main(versions: list[str]) -> int:
    """Tries these versions; 1 where one failed."""
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        for version in versions or VERSIONS:
            try:
                print(f"ipykernel {version:<8} {tried(version, Path(folder))}", flush=True)
            except (AssertionError, subprocess.SubprocessError, RuntimeError) as error:
                failed = 1
                print(f"ipykernel {version:<8} FAILED: {error}", flush=True)
    return failed


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
