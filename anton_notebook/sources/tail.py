"""Bytes of a growing file into whole lines.

A file is what it was while its device, inode and first KiB stay and it does not shrink; else it is another file of the same
name, read from its start under a new *generation*. A line counts from its newline on: what stands behind the last newline waits.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass

CHUNK = 1 << 18
LINE_LIMIT = 16 << 20
PREFIX = 1024
_BACK_OFF = (0.1, 5.0)


@dataclass(slots=True)
class Lines:
    """Whole lines without their newlines; `offset` and `number` (from 1) are the first line's."""

    lines: list[bytes]
    offset: int
    number: int


@dataclass(slots=True)
class Notice:
    """Something that a reader of the frame of problems should know of the file itself."""

    reason: str
    line: int | None = None
    offset: int | None = None


class Tail:
    """Follows one file. `read()` yields `Lines` and `Notice`s; it stays open, so that what is rotated away is still read.

    `generation` grows by one whenever the name stands for another file or for one that was cut; whoever sees it grow knows that
    offsets given out before are of a file that is no more.
    """

    def __init__(self, path: str, *, limit: int = LINE_LIMIT) -> None:
        self.path = path
        self.limit = limit
        self.generation = 0
        self.gone = False
        self.offset = 0
        self.number = 1
        self.partial = b""
        self._skipped = 0
        self._fd = -1
        self._id: tuple[int, int] | None = None
        self._prefix = b""
        self._seen: tuple[int, int] | None = None
        self._retry_at = 0.0
        self._wait = _BACK_OFF[0]

    def close(self) -> None:
        """Lets go of the file; reading may go on later."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    @property
    def waiting(self) -> int:
        """Bytes behind the last newline."""
        return len(self.partial) + self._skipped

    def rests(self) -> bool:
        """Whether the file is as it was after the last `read`: one look, for folders of many thousand files."""
        if self._seen is None or self.gone or self._retry_at:
            return False
        try:
            now = os.stat(self.path)
        except OSError:
            return False
        return self._seen == (now.st_size, now.st_mtime_ns) and self._id == (now.st_dev, now.st_ino)

    def read(self) -> Iterator[Lines | Notice]:
        """What is new since the last call; never raises for what the file system does."""
        if time.monotonic() < self._retry_at:
            return
        try:
            yield from self._read()
        except OSError as error:
            self.close()
            self._retry_at = time.monotonic() + self._wait
            self._wait = min(2 * self._wait, _BACK_OFF[1])
            yield Notice(f"cannot be read: {error.strerror or error}; it is tried again")
        else:
            self._wait, self._retry_at = _BACK_OFF[0], 0.0

    def _read(self) -> Iterator[Lines | Notice]:
        try:
            now = os.stat(self.path)
        except FileNotFoundError:
            if self._fd >= 0:
                yield from self._catch_up()
                self.close()
            self.gone = self.gone or self._id is not None
            self._seen = None
            return
        if self.gone:
            self.gone = False
            yield from self._restart(None)
        seen = (now.st_size, now.st_mtime_ns)
        same = self._id == (now.st_dev, now.st_ino)
        if same and seen == self._seen:
            return
        if not stat.S_ISREG(now.st_mode):
            if self._seen != seen:
                self._seen = seen
                yield Notice("is no regular file and is not read")
            return
        if self._id is not None and not same:
            if self._fd >= 0:
                yield from self._catch_up()
            self.close()
            yield from self._restart(None)
        if self._fd < 0:
            self._fd = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            opened = os.fstat(self._fd)
            if not stat.S_ISREG(opened.st_mode):
                self.close()
                return
            if self._id is not None and self._id != (opened.st_dev, opened.st_ino):
                yield from self._restart(None)
            self._id = (opened.st_dev, opened.st_ino)
        yield from self._catch_up()
        self._seen = seen

    def _catch_up(self) -> Iterator[Lines | Notice]:
        """What the open file holds beyond what was read, after a look whether it is still the same."""
        size = os.fstat(self._fd).st_size
        if size < self.offset + self.waiting:
            unread = (self._seen[0] if self._seen else 0) - self.offset
            yield from self._restart(f"was cut from {self.offset + self.waiting} to {size} bytes", max(0, unread))
        elif self._prefix and os.pread(self._fd, len(self._prefix), 0) != self._prefix:
            yield from self._restart("was written anew in place")
        yield from self._drain()

    def _restart(self, reason: str | None, lost: int = 0) -> Iterator[Notice]:
        if self.waiting and not lost:
            lost = self.waiting
        self.generation += 1
        self.offset, self.number, self.partial, self._skipped, self._prefix = 0, 1, b"", 0, b""
        if reason is not None:
            tail = f"; {lost} bytes of an unfinished line are lost" if lost else ""
            yield Notice(f"{reason}{tail}; it is read from its start, what was read before stays")

    def _drain(self) -> Iterator[Lines | Notice]:
        at = self.offset + self.waiting
        while data := os.pread(self._fd, CHUNK, at):
            if len(self._prefix) < PREFIX:
                self._prefix = data[:PREFIX] if at == 0 else os.pread(self._fd, min(PREFIX, at + len(data)), 0)
            at += len(data)
            if self._skipped:
                end = data.find(b"\n")
                if end < 0:
                    self._skipped += len(data)
                    continue
                size = self._skipped + end
                yield Notice(
                    f"a line of {size} bytes is over the limit of {self.limit} and was skipped",
                    self.number,
                    self.offset,
                )
                self.offset += size + 1
                self.number += 1
                self._skipped = 0
                data = data[end + 1 :]
            lines = data.split(b"\n")
            lines[0] = self.partial + lines[0] if self.partial else lines[0]
            self.partial = lines.pop()
            if lines and (len(lines[0]) > self.limit or self.limit < CHUNK):
                yield from self._sifted(lines)
            elif lines:
                yield Lines(lines, self.offset, self.number)
                self.number += len(lines)
            self.offset = at - len(self.partial)
            if len(self.partial) > self.limit:
                self._skipped, self.partial = len(self.partial), b""
            if len(data) < CHUNK and at >= os.fstat(self._fd).st_size:
                break

    def _sifted(self, lines: list[bytes]) -> Iterator[Lines | Notice]:
        """Whole lines one by one, without those over the limit."""
        at = self.offset
        for line in lines:
            if len(line) > self.limit:
                yield Notice(
                    f"a line of {len(line)} bytes is over the limit of {self.limit} and was skipped", self.number, at
                )
            else:
                yield Lines([line], at, self.number)
            at += len(line) + 1
            self.number += 1
