"""A JupyterLab of our own for a while: other port, other token, other settings than the user's, and gone at the end."""

from __future__ import annotations

import importlib.util
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from anton_notebook.errors import AntonNotebookError

HOST = "127.0.0.1"
WIDGET = "application/vnd.jupyter.widget-view+json"
NEEDED = ("jupyterlab", "ipykernel")
_NO_NEWS = Path("@jupyterlab", "apputils-extension", "notification.jupyterlab-settings")


class JupyterError(AntonNotebookError):
    """JupyterLab is missing, or does not start."""


def check() -> None:
    """`JupyterError` with the command to run, where JupyterLab is not installed."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise JupyterError(f'{" and ".join(missing)} is not installed; run: pip install "anton-notebook[demo]"')


def free_port(wanted: int | None) -> int:
    """The wanted port, or any free one; `JupyterError` where the wanted one is taken."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, wanted or 0))
        except (OSError, OverflowError) as error:
            raise JupyterError(
                f"port {wanted} cannot be had ({error}); give another --port, or none for a free one"
            ) from None
        return int(probe.getsockname()[1])


class Lab:
    """JupyterLab on `folder`, as a context manager. What it keeps goes to `state`, so the user's own settings stay as they are."""

    def __init__(self, folder: Path, state: Path, port: int | None = None) -> None:
        check()
        self.folder, self.state, self.port = folder, state, free_port(port)
        self._token = secrets.token_urlsafe(24)
        self._log = state / "jupyterlab.log"
        news = state / "settings" / _NO_NEWS
        news.parent.mkdir(parents=True, exist_ok=True)
        news.write_text('{"fetchNews": "false", "checkForUpdates": false}')
        command = [sys.executable, "-P", "-m", "jupyterlab", "--no-browser", f"--ServerApp.ip={HOST}"]
        command += [f"--ServerApp.port={self.port}", "--ServerApp.port_retries=0", f"--ServerApp.root_dir={folder}"]
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            command.append("--allow-root")
        with self._log.open("wb") as log:
            # A session of its own: Ctrl-C in the terminal is for us, and JupyterLab would ask whether it is meant.
            self._process = subprocess.Popen(
                command,
                env=os.environ | self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _environment(self) -> dict[str, str]:
        names = {
            "JUPYTER_CONFIG_DIR": "config",
            "JUPYTER_DATA_DIR": "data",
            "JUPYTER_RUNTIME_DIR": "runtime",
            "JUPYTERLAB_SETTINGS_DIR": "settings",
            "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
            "IPYTHONDIR": "ipython",
        }
        own = {name: str(self.state / folder) for name, folder in names.items()}
        return own | {"JUPYTER_TOKEN": self._token, "JUPYTER_PREFER_ENV_PATH": "1"}

    def url(self, notebook: str) -> str:
        """The address that opens a notebook of the folder, with the token."""
        return f"http://{HOST}:{self.port}/lab/tree/{notebook}?token={self._token}"

    def wait(self, stopped: Callable[[], bool] = lambda: False, seconds: float = 90.0) -> None:
        """Returns when it answers; `JupyterError` with the end of its log where it does not."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and not stopped():
            if not self.alive():
                raise JupyterError(f"JupyterLab ended with exit code {self._process.returncode}:\n{self._tail()}")
            try:
                self._ask("GET", "api/status")
                return
            except OSError:
                time.sleep(0.1)
        if not stopped():
            raise JupyterError(f"JupyterLab did not answer within {seconds:.0f} s:\n{self._tail()}")

    def alive(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def run(self, notebook: str, seconds: float = 120.0) -> None:
        """Runs a notebook's cells down to its first widget, in the kernel that its page will meet, and saves their outputs."""
        import nbformat
        from jupyter_client.blocking.client import BlockingKernelClient

        session = self._ask(
            "POST",
            "api/sessions",
            {"path": notebook, "name": notebook, "type": "notebook", "kernel": {"name": "python3"}},
            seconds,
        )
        path = self.folder / notebook
        pages = nbformat.read(path, as_version=4)
        client = BlockingKernelClient()
        client.load_connection_file(str(self.state / "runtime" / f"kernel-{session['kernel']['id']}.json"))
        client.start_channels(hb=False)  # who misses a heartbeat for a second is busy, and would be taken for dead
        try:
            client.wait_for_ready(timeout=seconds)
            for cell in pages.cells:
                if cell.cell_type == "code":
                    cell.outputs = []
                    kept = cell.outputs

                    def keep(message: dict[str, Any], kept: list[Any] = kept) -> None:
                        if message["msg_type"] in ("display_data", "execute_result", "stream", "error"):
                            kept.append(nbformat.v4.output_from_msg(message))

                    reply = client.execute_interactive(
                        cell.source, allow_stdin=False, timeout=seconds, output_hook=keep
                    )
                    cell.execution_count = reply["content"]["execution_count"]
                    if reply["content"]["status"] != "ok" or any(WIDGET in output.get("data", {}) for output in kept):
                        break
        finally:
            client.stop_channels()
        nbformat.write(pages, path)
        # The outputs are ours: without this the page would show them as those of a stranger, without the widget.
        self._ask("POST", f"api/contents/{notebook}/trust")

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None, seconds: float = 30.0) -> Any:
        request = urllib.request.Request(
            f"http://{HOST}:{self.port}/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"token {self._token}", "Content-Type": "application/json"},
        )
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(request, timeout=seconds) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def _tail(self) -> str:
        text = self._log.read_text(errors="replace")[-2000:]
        return text.replace(self._token, "…")

    def close(self) -> None:
        """Ends the server and its kernels; a second call does nothing."""
        if self.alive():
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                if hasattr(os, "killpg"):
                    os.killpg(self._process.pid, signal.SIGKILL)
                self._process.kill()
                self._process.wait(5)

    def __enter__(self) -> Lab:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
