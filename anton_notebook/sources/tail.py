"""Bytes of a growing file into whole lines.

A file is what it was while its device, inode and first KiB and the end of its last line that was read stay and it does not
shrink; else it is another file of the same name, read from its start under a new *generation*. A line counts from its newline on:
what stands behind the last newline waits, and is read again where it was filled in later.
"""

from __future__ import annotations

import errno
import gc
import os
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from anton_notebook.model.span import Int64

CHUNK = 1 << 19  # twice that for long lines: these and what is made of them fit in a cache of 1 MiB
SMALL = 1 << 16
LONG = 1024  # bytes of a line from which on its end is found sooner by leaping than by looking at every byte
LINE_LIMIT = 16 << 20
PREFIX = 1024
EDGE = 64
_BACK_OFF = (0.1, 5.0)
_NEWLINE = 10


@dataclass(slots=True)
class Lines:
    """Whole lines, each with its newline, which stand at `ends`; `offset` and `number` (from 1) are the first line's.

    `data` is a look into the tailer's buffer: good until the next part is asked for.
    """

    data: memoryview
    ends: Int64
    offset: int
    number: int

    @property
    def lines(self) -> list[bytes]:
        """The lines without their newlines, copied."""
        return bytes(self.data).split(b"\n")[:-1]


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
        self._prefix = self._edge = b""
        self._seen: tuple[int, int] | None = None
        self._looked: os.stat_result | None = None
        self._retry_at = 0.0
        self._wait = _BACK_OFF[0]

    def close(self) -> None:
        """Lets go of the file; reading may go on later."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __del__(self) -> None:
        """What was read and dropped without `close()` keeps no file open."""
        if getattr(self, "_fd", -1) >= 0:
            os.close(self._fd)

    def knows(self, fd: int) -> bool:
        """Whether an open file is the one that was read: its name may stand for another since the last look."""
        now = os.fstat(fd)
        return (now.st_dev, now.st_ino) == self._id and os.pread(fd, len(self._prefix), 0) == self._prefix

    @property
    def waiting(self) -> int:
        """Bytes behind the last newline."""
        return len(self.partial) + self._skipped

    @property
    def idle(self) -> float:
        """Seconds since the file was last written to, as far as was seen."""
        return time.time() - self._seen[1] / 1e9 if self._seen is not None else 0.0

    def rests(self) -> bool:
        """Whether the file is as it was after the last `read`: one look, for folders of many thousand files."""
        if self._seen is None or self.gone or self._retry_at:
            return False
        try:
            now = os.stat(self.path)
        except OSError:
            return False
        if self._seen == (now.st_size, now.st_mtime_ns) and self._id == (now.st_dev, now.st_ino):
            return True
        self._looked = now
        return False

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
            now, self._looked = self._looked or os.stat(self.path), None
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
            self._fd = _open(self.path)
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
        elif not (self._holds(self._prefix, 0) and self._holds(self._edge, self.offset - len(self._edge))):
            yield from self._restart("was written anew in place")
        elif not (
            self._holds(self.partial[:EDGE], self.offset)
            and self._holds(self.partial[-EDGE:], self.offset + len(self.partial[:-EDGE]))
        ):
            self.partial = b""  # room that was made before is filled, or one long line is written anew, longer
        yield from self._drain()

    def _holds(self, known: bytes, at: int) -> bool:
        """Whether these bytes still stand there."""
        return not known or os.pread(self._fd, len(known), at) == known

    def _restart(self, reason: str | None, lost: int = 0) -> Iterator[Notice]:
        if self.waiting and not lost:
            lost = self.waiting
        self.generation += 1
        self.offset, self.number, self.partial, self._skipped = 0, 1, b"", 0
        self._prefix = self._edge = b""
        if reason is not None:
            tail = f"; {lost} bytes of an unfinished line are lost" if lost else ""
            yield Notice(f"{reason}{tail}; it is read from its start, what was read before stays")

    def _drain(self) -> Iterator[Lines | Notice]:
        at = self.offset + self.waiting
        block, long = bytearray(), False
        view, marks = memoryview(block), np.empty(0, np.uint8)
        while (left := os.fstat(self._fd).st_size - at) > 0:
            if left <= SMALL and at == self.offset and (one := self._one(left)) is not None:
                at = self.offset
                yield one
                continue
            start, kept = 0, len(self.partial)
            wanted = min(max(2 * CHUNK if long else CHUNK, kept), left)
            if len(view) < kept + wanted:
                block = bytearray(kept + wanted)
                view, marks = memoryview(block), np.frombuffer(block, np.uint8)
            view[:kept] = self.partial
            got = os.preadv(self._fd, [view[kept : kept + wanted]], at)
            if not got:
                break
            if len(self._prefix) < PREFIX:
                prefix = min(PREFIX, at + got)
                self._prefix = bytes(view[:prefix]) if at == 0 else os.pread(self._fd, prefix, 0)
            at += got
            stop = kept + got
            ends = _found(block, kept, stop) if long else np.flatnonzero(marks[kept:stop] == _NEWLINE) + kept
            long = got > LONG * len(ends)
            if self._skipped:
                if not len(ends):
                    self._skipped += got
                    continue
                start = int(ends[0]) + 1
                notice = self._too_long(self._skipped + start - 1, self.number, self.offset)
                self.offset += self._skipped + start
                self.number += 1
                self._skipped = 0
                ends = ends[1:]
                yield notice
            if not len(ends):
                self.partial = bytes(view[start:stop])
                if len(self.partial) > self.limit:
                    self._skipped, self.partial = len(self.partial), b""
                continue
            last = int(ends[-1]) + 1
            part = Lines(view[start:last], ends - start, self.offset, self.number)
            self._edge = (self._edge + bytes(view[max(start, last - EDGE) : last]))[-EDGE:]
            self.partial = bytes(view[last:stop])
            self.offset = at - len(self.partial)
            self.number += len(ends)
            if len(self.partial) > self.limit:
                self._skipped, self.partial = len(self.partial), b""
            if self.limit < wanted or ends[0] - start > self.limit:
                yield from self._sifted(part)
            else:
                yield part

    def _one(self, left: int) -> Lines | None:
        """The one line that a live run appends, where it is all that is new; else None, and nothing was taken."""
        data = os.pread(self._fd, left, self.offset) if left <= self.limit and len(self._prefix) >= PREFIX else b""
        if not data or data.find(b"\n") != len(data) - 1:
            return None
        part = Lines(memoryview(data), np.array([len(data) - 1], np.int64), self.offset, self.number)
        self._edge = (self._edge + data[-EDGE:])[-EDGE:]
        self.offset += len(data)
        self.number += 1
        return part

    def _sifted(self, part: Lines) -> Iterator[Lines | Notice]:
        """Whole lines one by one, without those over the limit."""
        begin = 0
        for number, end in enumerate(part.ends.tolist(), part.number):
            if end - begin > self.limit:
                yield self._too_long(end - begin, number, part.offset + begin)
            else:
                ends = np.array([end - begin], np.int64)
                yield Lines(part.data[begin : end + 1], ends, part.offset + begin, number)
            begin = end + 1

    def _too_long(self, size: int, number: int, offset: int) -> Notice:
        return Notice(f"a line of {size} bytes is over the limit of {self.limit} and was skipped", number, offset)


def _found(block: bytearray, at: int, stop: int) -> Int64:
    """Where newlines stand in part of a block of long lines: a search that leaps from one to the next."""
    out: list[int] = []
    find = block.find
    at = find(b"\n", at, stop)
    while at >= 0:
        out.append(at)
        at = find(b"\n", at + 1, stop)
    return np.array(out, np.int64)


def _open(path: str) -> int:
    """Opens a file to be read. Where too many are open, those go first that nobody holds any more."""
    how = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        return os.open(path, how)
    except OSError as error:
        if error.errno != errno.EMFILE or not gc.collect():
            raise
        return os.open(path, how)
