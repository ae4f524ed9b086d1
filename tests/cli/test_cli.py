"""The command line, as real processes: what it starts, what it prints, and that nothing of it is left at the end."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from anton_notebook import cli
from anton_notebook.cli import _jupyterlab
from anton_notebook.cli.demo import NOTEBOOK, examples
from anton_notebook.simulate import TRACES

COMMAND = [sys.executable, "-m", "anton_notebook.cli"]


class Demo:
    """A demo in a process of its own, with a home and a temporary folder of its own."""

    def __init__(self, place: Path, *options: str) -> None:
        self.home, self.temp, self.folder = (place / name for name in ("home", "temp", "folder"))
        for folder in (self.home, self.temp):
            folder.mkdir()
        env = {key: value for key, value in os.environ.items() if not key.startswith(("JUPYTER", "IPYTHON"))}
        env |= {
            "HOME": str(self.home),
            "TMPDIR": str(self.temp),
            "PYTHONUNBUFFERED": "1",
            "http_proxy": "http://127.0.0.1:9",
        }
        command = [*COMMAND, "demo", "--no-browser", *options]
        self.process = subprocess.Popen(
            command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)

    def url(self, seconds: float = 120) -> str:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            found = re.search(r"http://127\.0\.0\.1:\d+/\S+", "".join(self.lines))
            if found:
                return found.group()
            assert self.process.poll() is None, "".join(self.lines)
            time.sleep(0.05)
        raise AssertionError("".join(self.lines))

    def family(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def end(self, number: int) -> int:
        self.process.send_signal(number)
        return self.process.wait(40)


@pytest.fixture
def demos(tmp_path: Path) -> Iterator[list[Demo]]:
    made: list[Demo] = []
    yield made
    for one in made:
        if one.process.poll() is None:
            one.process.terminate()
            one.process.wait(40)


def get(url: str) -> tuple[int, str]:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(url, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, ""


def gone(processes: list[psutil.Process], seconds: float = 10) -> list[psutil.Process]:
    """Those that are still alive after a while."""
    return psutil.wait_procs(processes, timeout=seconds)[1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_demo_answers_writes_traces_and_leaves_nothing_behind(
    tmp_path: Path, demos: list[Demo], number: int
) -> None:
    folder = tmp_path / "folder"
    demo = Demo(tmp_path, str(folder), "--speed", "20")
    demos.append(demo)
    url = demo.url()
    status, page = get(url)
    assert status == 200 and "JupyterLab" in page
    token = url.rsplit("token=", 1)[1]
    assert len(token) >= 20
    assert get(url.replace(token, "wrong").replace("/lab/tree/", "/api/contents/"))[0] == 403
    family = demo.family()
    words = [" ".join(process.cmdline()) for process in family]
    assert any("anton_notebook.simulate" in line for line in words)
    assert any("jupyterlab" in line for line in words)
    assert any("ipykernel" in line for line in words), "the notebook has been run"
    assert not any(token in line for line in words), (
        "a token on a command line can be read by every user of the machine"
    )
    written = sum(path.stat().st_size for path in (folder / TRACES).glob("*.jsonl"))
    until = time.monotonic() + 20
    while sum(path.stat().st_size for path in (folder / TRACES).glob("*.jsonl")) <= written:
        assert time.monotonic() < until, "the traces do not grow"
        time.sleep(0.05)
    assert "widget-view+json" in (folder / NOTEBOOK).read_text(), "".join(demo.lines)
    assert demo.end(number) == 0, "".join(demo.lines)
    assert gone(family) == []
    assert list(demo.temp.iterdir()) == []
    touched = {path.name for path in demo.home.iterdir()}
    assert not touched & {".jupyter", ".ipython", ".local", ".modular-agents"}, (
        "the user's own settings stay as they are"
    )
    assert not any("Traceback" in line for line in demo.lines)


def test_the_demo_works_in_a_folder_of_its_own_and_ends_when_jupyterlab_is_closed(
    tmp_path: Path, demos: list[Demo]
) -> None:
    demo = Demo(tmp_path, "--speed", "20")
    demos.append(demo)
    demo.url()
    family = demo.family()
    server = next(process for process in family if "jupyterlab" in " ".join(process.cmdline()))
    server.terminate()
    assert demo.process.wait(40) == 0
    assert gone(family) == []
    assert list(demo.temp.iterdir()) == []
    assert "JupyterLab was closed" in "".join(demo.lines)


def test_a_notebook_of_the_users_own_is_not_overwritten(tmp_path: Path) -> None:
    from anton_notebook.cli.demo import _copy

    _copy(tmp_path)
    copied, ours = (json.loads((place / NOTEBOOK).read_text())["cells"] for place in (tmp_path, examples()))
    assert [cell["source"] for cell in copied] == [cell["source"] for cell in ours]
    assert any(cell.get("outputs") for cell in ours) and not any(cell.get("outputs") for cell in copied)
    (tmp_path / NOTEBOOK).write_text("mine")
    _copy(tmp_path)
    assert (tmp_path / NOTEBOOK).read_text() == "mine"


def test_a_taken_port_is_said_and_nothing_is_started(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert cli.main(["demo", "--no-browser", "--port", str(port), str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert str(port) in error and "--port" in error
    assert not (tmp_path / TRACES).exists()


def test_without_jupyterlab_the_demo_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = _jupyterlab.importlib.util.find_spec
    monkeypatch.setattr(
        _jupyterlab.importlib.util, "find_spec", lambda name: None if name == "jupyterlab" else found(name)
    )
    assert cli.main(["demo", "--no-browser"]) == 1
    out = capsys.readouterr()
    assert 'pip install "anton-notebook[demo]"' in out.err
    assert out.out == ""


@pytest.mark.parametrize(
    "wrong", [[], ["dmeo"], ["demo", "--speed", "0"], ["demo", "--port", "x"], ["demo", "--speed", "nan"]]
)
def test_wrong_usage_is_exit_code_2_and_says_what_is_possible(
    wrong: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(wrong) == 2
    assert "Usage: anton-notebook" in capsys.readouterr().err


@pytest.mark.parametrize("command", sorted(cli.COMMANDS))
def test_every_command_has_help_with_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([command, "--help"]) == 0
    shown = capsys.readouterr().out
    assert f"Example: anton-notebook {command}" in " ".join(shown.split())
    assert len(shown.splitlines()) <= 40, "the help of a command fits one screen"


def test_the_command_is_installed_beside_the_python_that_runs_it() -> None:
    program = shutil.which("anton-notebook", path=str(Path(sys.executable).parent))
    assert program, "anton-notebook is not installed; run: pip install -e '.[dev]'"
    done = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.split()[0]) == (0, "anton-notebook")
