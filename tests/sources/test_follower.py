"""The one thread: it survives everything but its close, and leaves nothing behind."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Collection
from pathlib import Path

import pytest

from anton_notebook.sources.follower import Follower, follow

PATIENCE = 5.0


class Counter:
    """A reader that counts the bytes of one folder's files, and fails where it is told to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bytes = 0
        self.scans = 0
        self.fails: BaseException | None = None
        self.wrong_roots = False

    def scan(self, changed: Collection[str] | None = None) -> bool:
        self.scans += 1
        if self.fails is not None:
            raise self.fails
        before, self.bytes = self.bytes, sum(f.stat().st_size for f in self.folder.glob("*.jsonl"))
        return self.bytes != before

    def watch_roots(self) -> list[tuple[str, bool]]:
        if self.wrong_roots:
            raise RuntimeError("no roots")
        return [(str(self.folder), False)]


def eventually(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline, "it never came to be"
        time.sleep(0.002)


def ours() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name == "anton_notebook live"]


def test_lines_are_taken_up_while_nobody_asks(tmp_path: Path) -> None:
    reader = Counter(tmp_path)
    with follow(reader) as live:
        eventually(lambda: live.following == "inotify")
        for size in range(1, 30):
            with (tmp_path / "a.jsonl").open("ab") as out:
                out.write(b"x")
            eventually(lambda size=size: reader.bytes == size)  # type: ignore[misc]
    assert live.following == "off"


def test_a_folder_that_appears_later_is_followed(tmp_path: Path) -> None:
    folder = tmp_path / "later"
    reader = Counter(folder)
    with follow(reader, poll=0.05):
        time.sleep(0.1)
        folder.mkdir()
        (folder / "a.jsonl").write_bytes(b"123")
        eventually(lambda: reader.bytes == 3)


@pytest.mark.parametrize(
    "error", [OSError(5, "I/O error"), RecursionError(), MemoryError(), SystemExit(1), KeyboardInterrupt()]
)
def test_no_exception_of_a_pass_ends_the_thread(tmp_path: Path, error: BaseException) -> None:
    reader = Counter(tmp_path)
    with follow(reader, poll=0.02) as live:
        eventually(lambda: reader.scans)
        reader.fails = error
        eventually(lambda: live.error is error)
        assert type(error).__name__ in repr(live)
        reader.fails = None
        (tmp_path / "a.jsonl").write_bytes(b"12")
        eventually(lambda: reader.bytes == 2 and live.error is None)
        assert not live.closed


def test_failing_watch_roots_do_not_end_the_thread(tmp_path: Path) -> None:
    reader = Counter(tmp_path)
    reader.wrong_roots = True
    with follow(reader, poll=0.02):
        eventually(lambda: reader.scans > 3)
        (tmp_path / "a.jsonl").write_bytes(b"12")
        eventually(lambda: reader.bytes == 2)


def test_a_dropped_reader_ends_its_thread(tmp_path: Path) -> None:
    reader = Counter(tmp_path)
    gone = weakref.ref(reader)
    live = follow(reader)
    assert live.caught_up()
    del reader
    gc.collect()
    eventually(lambda: gone() is None and live.closed)
    live._thread.join(1.0)
    assert not live._thread.is_alive()


def test_close_is_quick_idempotent_and_allowed_everywhere(tmp_path: Path) -> None:
    class Closes(Counter):
        live: Follower | None = None

        def scan(self, changed: Collection[str] | None = None) -> bool:
            if self.live is not None:
                self.live.close()
            return super().scan(changed)

    reader = Closes(tmp_path)
    live = follow(reader)
    eventually(lambda: reader.scans)
    reader.live = live
    live.wake()  # closes from inside a pass
    began = time.monotonic()
    live._thread.join(PATIENCE)
    live.close()
    live.close()
    assert time.monotonic() - began < 1.0
    assert live.closed
    assert live.following == "off"


def test_listeners_hear_of_errors_and_of_the_end_and_may_fail(tmp_path: Path) -> None:
    reader, heard = Counter(tmp_path), list[str]()
    live = follow(reader, poll=0.02)
    live.subscribe(lambda: 1 / 0)  # type: ignore[arg-type,return-value]
    stop = live.subscribe(lambda: heard.append(repr(live)))
    reader.fails = ValueError("bad")
    eventually(lambda: any("ValueError" in h for h in heard))
    live.close()
    eventually(lambda: "off" in heard[-1])
    stop()
    stop()


def test_caught_up_waits_for_a_whole_pass(tmp_path: Path) -> None:
    reader = Counter(tmp_path)
    with follow(reader, poll=60.0) as live:
        (tmp_path / "a.jsonl").write_bytes(b"12345")
        assert live.caught_up()
        assert reader.bytes == 5
    assert not live.caught_up(0.1)


def test_many_starts_and_stops_leave_no_thread_fd_or_watch(tmp_path: Path) -> None:
    cycles = int(os.environ.get("ANTON_NOTEBOOK_CYCLES", "100"))
    reader = Counter(tmp_path)
    follow(reader).close()
    fds, threads = set(os.listdir("/proc/self/fd")), threading.active_count()
    for i in range(cycles):
        live = follow(reader)
        if i % 2:
            eventually(lambda live=live: live.following == "inotify")  # type: ignore[misc]
        live.close()
        assert live.closed
    eventually(lambda: threading.active_count() == threads)
    assert len(os.listdir("/proc/self/fd")) == len(fds)
    assert not ours()


def test_a_fork_neither_hangs_nor_disturbs_its_parent(tmp_path: Path) -> None:
    reader = Counter(tmp_path)
    with follow(reader, poll=0.02) as live:
        eventually(lambda: reader.scans)
        pid = os.fork()
        if pid == 0:
            live.close()
            os._exit(0 if live.closed else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        (tmp_path / "a.jsonl").write_bytes(b"12")
        eventually(lambda: reader.bytes == 2)


def test_the_interpreter_ends_with_a_thread_still_following(tmp_path: Path) -> None:
    program = (
        "import sys\nfrom anton_notebook.sources.follower import follow\n"
        "class R:\n    def scan(self, changed=None): return False\n"
        f"    def watch_roots(self): return [({str(tmp_path)!r}, False)]\n"
        "r = R()\nlive = follow(r)\nprint('on')\n"
    )
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    assert (done.stdout, done.stderr) == ("on\n", "")
    assert time.monotonic() - began < 20
