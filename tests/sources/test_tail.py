"""The tailer against a model of the file, through everything that writers and rotators do."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from anton_notebook.sources import tail as tail_module
from anton_notebook.sources.tail import Lines, Notice, Tail


def drain(tail: Tail) -> tuple[list[bytes], list[Notice]]:
    lines: list[bytes] = []
    notices: list[Notice] = []
    for part in tail.read():
        if isinstance(part, Lines):
            lines += part.lines
        else:
            notices.append(part)
    return lines, notices


class World:
    """A file that is written, rotated, cut and replaced, and what a reader must have seen of it at each poll.

    `must`: complete lines that lay in a file of this name at a poll. A reader may see no other line, none twice, and may miss
    one only if it says that something was lost.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self.random = random.Random(seed)
        self.path = folder / "t.jsonl"
        self.count = 0
        self.half = b""
        self.rotations = 0
        self.written: set[bytes] = set()

    def line(self) -> bytes:
        self.count += 1
        text = (
            f'{{"n": {self.count}, "é": "{"🧪" * self.random.randrange(4)}{"x" * self.random.randrange(40)}"}}'.encode()
        )
        self.written.add(text)
        return text

    def append(self) -> None:
        with self.path.open("ab") as out:
            for _ in range(self.random.randrange(1, 4)):
                if self.half:
                    out.write(self.half + b"\n")
                    self.half = b""
                else:
                    out.write(self.line() + b"\n")

    def partial(self) -> None:
        text = self.half or self.line()
        if len(text) < 2:
            return
        cut = self.random.randrange(1, len(text))
        with self.path.open("ab") as out:
            out.write(text[:cut])
        self.half = text[cut:]

    def rotate(self) -> None:
        if self.path.exists():
            self.rotations += 1
            os.replace(self.path, f"{self.path}.{self.rotations}")
            self.half = b""

    def truncate(self) -> None:
        if self.path.exists():
            os.truncate(self.path, 0)
            self.half = b""

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
        self.half = b""

    def replace(self) -> None:
        fresh = self.path.with_suffix(".new")
        fresh.write_bytes(b"".join(self.line() + b"\n" for _ in range(self.random.randrange(0, 4))))
        os.replace(fresh, self.path)
        self.half = b""

    def now(self) -> list[bytes]:
        return self.path.read_bytes().split(b"\n")[:-1] if self.path.exists() else []


ACTIONS = ("append", "append", "append", "partial", "rotate", "truncate", "remove", "replace", "poll", "poll")


def play(make: Callable[[str], Tail], folder: Path, seed: int) -> str | None:
    """One random sequence. Returns what went wrong."""
    world = World(folder, seed)
    tail = make(str(world.path))
    seen: list[bytes] = []
    known: set[bytes] = set()
    for _ in range(world.random.randrange(4, 14)):
        action = world.random.choice(ACTIONS)
        if action != "poll":
            getattr(world, action)()
            continue
        there = world.now()
        lines, _ = drain(tail)
        seen += lines
        if lost := [line for line in there if line not in known and line not in lines]:
            return f"lost {lost[:2]}"
        known |= set(lines)
    seen += drain(tail)[0]
    tail.close()
    if ghosts := [line for line in seen if line not in world.written]:
        return f"ghosts {ghosts[:2]}"
    if len(seen) != len(set(seen)):
        return "a line came twice"
    return None


@pytest.mark.parametrize("part", range(4))
def test_T5_random_file_actions_lose_nothing_double_nothing_and_invent_nothing(tmp_path: Path, part: int) -> None:
    failures = []
    for seed in range(part * 1250, part * 1250 + 1250):
        folder = tmp_path / str(seed)
        folder.mkdir()
        wrong = play(Tail, folder, seed)
        if wrong:
            failures.append((seed, wrong))
    assert not failures, failures[:5]


class OffsetOnly(Tail):
    """A tailer that knows a file by nothing but its name."""

    def _restart(self, reason: str | None, lost: int = 0):  # type: ignore[no-untyped-def]
        self._prefix = b""
        yield from ()


class InodeOnly(Tail):
    """A tailer that trusts device and inode."""

    def _drain(self):  # type: ignore[no-untyped-def]
        yield from super()._drain()
        self._prefix = self._edge = b""

    def _read(self):  # type: ignore[no-untyped-def]
        self.gone = False
        yield from super()._read()


class NoPartial(Tail):
    """A tailer that takes what stands behind the last newline for a line."""

    def _drain(self):  # type: ignore[no-untyped-def]
        yield from super()._drain()
        if self.partial:
            data = self.partial + b"\n"
            yield Lines(memoryview(data), np.array([len(data) - 1]), self.offset, self.number)
            self.offset += len(self.partial)
            self.partial = b""


@pytest.mark.parametrize("broken", [OffsetOnly, InodeOnly, NoPartial])
def test_broken_tailers_are_caught(tmp_path: Path, broken: type[Tail]) -> None:
    wrong = 0
    for seed in range(300):
        folder = tmp_path / str(seed)
        folder.mkdir()
        wrong += play(broken, folder, seed) is not None
    assert wrong > 0


def test_a_file_written_anew_behind_its_first_kib_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    head = b"x" * 2000 + b"\n"
    path.write_bytes(head + b"one\nfoot\n")
    tail = Tail(str(path))
    assert drain(tail)[0] == [head[:-1], b"one", b"foot"]
    with open(path, "r+b") as file:  # longer than before, and alike in its first KiB
        file.seek(len(head))
        file.write(b"one\ntwo\nthe end\n")
    lines, notices = drain(tail)
    assert lines == [head[:-1], b"one", b"two", b"the end"] and "written anew" in notices[0].reason


def test_lines_that_are_put_into_room_made_before_are_read_as_they_come(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_bytes(b"x" * 2000 + b"\n")
    with open(path, "r+b") as file:
        file.truncate(10_000)
        tail, at = Tail(str(path)), 2001
        assert len(drain(tail)[0]) == 1 and tail.waiting == 7999
        for number, one in enumerate((b"one\n", b"two\n", b"three\n")):
            os.pwrite(file.fileno(), one, at)
            os.utime(path, ns=(number, number))
            at += len(one)
            assert drain(tail) == ([one[:-1]], [])
    assert (tail.generation, tail.offset) == (0, at)


def test_T4_the_same_inode_again_is_another_file(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_bytes(b"one\ntwo\n")
    tail = Tail(str(path))
    assert drain(tail)[0] == [b"one", b"two"]
    tail.close()
    inode = path.stat().st_ino
    path.unlink()
    path.write_bytes(b"three\nfour\nfive\n")
    if path.stat().st_ino != inode:
        pytest.skip("NOT TESTED: this file system gives a new file another inode")
    assert drain(tail)[0] == [b"three", b"four", b"five"] and tail.generation == 1


def test_T3_what_was_not_read_before_a_rotation_is_read_after_it(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_bytes(b"one\n")
    tail = Tail(str(path))
    assert drain(tail)[0] == [b"one"]
    with path.open("ab") as out:
        out.write(b"two\n")
    os.replace(path, tmp_path / "t.jsonl.1")
    path.write_bytes(b"three\n")
    assert drain(tail)[0] == [b"two", b"three"]
    tail.close()


def test_T5_a_cut_file_says_what_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_bytes(b"one\ntw")
    tail = Tail(str(path))
    drain(tail)
    os.truncate(path, 0)
    path.write_bytes(b"x\n")
    lines, (notice,) = drain(tail)
    assert lines == [b"x"] and "was cut from 6 to 2 bytes; 2 bytes of an unfinished line are lost" in notice.reason


def test_T11_a_file_that_cannot_be_read_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.jsonl"
    path.write_bytes(b"one\n")
    tail = Tail(str(path))
    clock, fail = [100.0], [True]
    monkeypatch.setattr(tail_module.time, "monotonic", lambda: clock[0])
    real = os.open

    def denied(*arguments: object, **more: object) -> int:
        if fail[0]:
            raise PermissionError(13, "Permission denied")
        return real(*arguments, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(tail_module.os, "open", denied)
    lines, (notice,) = drain(tail)
    assert lines == [] and "Permission denied" in notice.reason
    assert drain(tail) == ([], [])
    clock[0] += 0.2
    fail[0] = False
    assert drain(tail) == ([b"one"], [])


def test_T14_only_regular_files_are_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jsonl")
    (tmp_path / "folder.jsonl").mkdir()
    for name in ("pipe.jsonl", "folder.jsonl"):
        tail = Tail(str(tmp_path / name))
        lines, (notice,) = drain(tail)
        assert lines == [] and "no regular file" in notice.reason


def test_T14_offsets_beyond_two_gigabytes(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    with path.open("wb") as out:
        out.truncate((2 << 30) + 10)
        out.seek((2 << 30) + 10)
        out.write(b"\nlast\n")
    parts = list(Tail(str(path)).read())
    assert isinstance(parts[0], Notice) and "over the limit" in parts[0].reason
    assert isinstance(parts[-1], Lines) and parts[-1].lines == [b"last"] and parts[-1].offset == (2 << 30) + 11


def test_P11_a_line_over_the_limit_costs_no_memory_and_no_neighbour(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_bytes(b"a\n" + b"x" * 5000 + b"\nb\n")
    tail = Tail(str(path), limit=1000)
    lines, (notice,) = drain(tail)
    assert lines == [b"a", b"b"] and (notice.line, notice.offset) == (2, 2) and "5000 bytes" in notice.reason


@pytest.mark.parametrize("seed", range(6))
def test_long_lines_and_short_ones_take_turns_in_one_file(tmp_path: Path, seed: int) -> None:
    """Their ends are looked for in two ways, by how long the lines of the block before were."""
    rng = random.Random(seed)
    written: list[bytes] = []
    while sum(map(len, written)) < 12 << 20:
        longest = rng.choice((0, 3, 300, 5_000, 200_000, 900_000))
        size = rng.randrange(1 << 20, 1 << 21)
        while size > 0:
            written.append(rng.randbytes(8).hex().encode() * rng.randint(0, longest // 16))
            size -= len(written[-1]) + 64
    path = tmp_path / "t.jsonl"
    path.write_bytes(b"".join(line + b"\n" for line in written) + b"half")
    tail, read, offset, number = Tail(str(path)), list[bytes](), 0, 1
    for part in tail.read():
        assert isinstance(part, Lines)
        assert (part.offset, part.number) == (offset, number)
        assert part.ends.tolist() == [i for i, byte in enumerate(bytes(part.data)) if byte == 10]
        read += part.lines
        offset, number = offset + len(part.data), number + len(part.ends)
    assert read == written
    assert tail.partial == b"half"
