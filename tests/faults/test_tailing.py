"""Tailing, case by case: T1 to T14. The model of the file and its random sequences are those of `tests/sources/test_tail.py`."""

from __future__ import annotations

import errno
import gc
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import anton_notebook as anb
from anton_notebook.errors import BodyUnavailable, NotATrace
from anton_notebook.model.span import Flag
from anton_notebook.sources import tail as tail_module
from anton_notebook.sources import watcher
from anton_notebook.sources.follower import follow
from anton_notebook.sources.tail import Lines, Notice, Tail
from tests.sources.test_follower import eventually
from tests.sources.test_tail import InodeOnly, NoPartial, OffsetOnly, drain, play
from tests.sources.test_watcher import unreliable
from tests.support.pages import line
from tests.support.scale import many


def spans(traces: anb.Traces) -> list[str]:
    """The sorted ids of the spans that were read, calls alone; one that was read twice is there twice."""
    frame = traces.spans_df()
    return sorted(frame[frame["kind"] == "llm"]["span_id"])


def reasons(traces: anb.Traces) -> str:
    return " | ".join(problem.reason for problem in traces.reader.problems.rows())


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "t.jsonl"
    path.write_bytes(line("first"))
    return path


@pytest.fixture
def traces(file: Path) -> Iterator[anb.Traces]:
    with anb.read_traces(file.parent) as read:
        yield read


@given(st.lists(st.integers(0, 400), max_size=50))
def test_T1_a_line_in_pieces_is_none_before_its_newline_and_one_after(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[int]
) -> None:
    path = tmp_path_factory.mktemp("t") / "t.jsonl"
    text = line("é🧪", response="\ud83e\uddea \u00e9" + "x" * 20) + line("zwei", response="🧪\u2028ü").replace(
        b"\\", b""
    )
    path.touch()
    tail, got = Tail(str(path)), 0
    places = sorted({0, *(min(cut * 3, len(text)) for cut in cuts), len(text)})
    for start, stop in zip(places, places[1:], strict=False):
        with path.open("ab") as out:
            out.write(text[start:stop])
        lines, notices = drain(tail)
        got += len(lines)
        assert not notices and got == text[:stop].count(b"\n")
    assert got == 2 and tail.waiting == 0
    tail.close()


WRITER = "import sys, time; out = open(sys.argv[1], 'ab', buffering=0); out.write(bytes.fromhex(sys.argv[2])); print('x', flush=True); time.sleep(60)"


@pytest.mark.parametrize("part", [1, 40, -2])
def test_T2_the_rest_of_a_killed_writers_line_waits_is_said_and_is_taken_up(
    file: Path, traces: anb.Traces, part: int
) -> None:
    whole = line("late")
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(file), (line("second") + whole[:part]).hex()], stdout=subprocess.PIPE
    )
    assert writer.stdout is not None and writer.stdout.read(1) == b"x"
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    writer.stdout.close()
    old = time.time() - 60
    os.utime(file, (old, old))
    traces.refresh()
    assert spans(traces) == ["first", "second"] and traces.reader.problems.count == 0
    assert f"1 line is not finished ({len(whole[:part])} bytes wait" in traces.reader.problems.sentence()
    with file.open("ab") as out:
        out.write(whole[part:])
    traces.refresh()
    assert spans(traces) == ["first", "late", "second"] and traces.reader.problems.sentence() == ""


def test_T3_sixty_rotations_each_with_an_unread_rest_lose_nothing_and_hold_no_file(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.touch()
    tail, seen, held = Tail(str(path)), [], []
    for turn in range(60):
        with path.open("ab") as out:
            out.write(b"a%d\n" % turn)
        seen += drain(tail)[0]
        with path.open("ab") as out:
            out.write(b"b%d\n" % turn)
        os.replace(path, tmp_path / f"t.jsonl.{turn}")
        path.write_bytes(b"c%d\n" % turn)
        seen += drain(tail)[0]
        held.append(len(os.listdir("/proc/self/fd")))
    tail.close()
    assert seen == [b"%c%d" % (letter, turn) for turn in range(60) for letter in b"abc"]
    assert held[-1] == held[0]


def test_T3_what_is_rotated_to_numbers_between_two_looks_is_read_then_and_by_whoever_comes_later(
    tmp_path: Path,
) -> None:
    path, names = tmp_path / "t.jsonl", ["a", "b", "c", "d"]
    path.write_bytes(line("first"))
    with anb.read_traces(tmp_path) as traces:
        for name in names:  # all of it unseen
            for number in (3, 2, 1, 0):
                old = path if number == 0 else tmp_path / f"t.jsonl.{number}"
                if old.exists():
                    os.replace(old, tmp_path / f"t.jsonl.{number + 1}")
            path.write_bytes(line(name))
        (tmp_path / "t.jsonl.bak").write_bytes(line("other"))
        traces.refresh()
        assert spans(traces) == ["a", "b", "c", "d", "first"]
        assert traces.span("a").record["span_id"] == "a", "its text is in the file of that name now"
    with anb.read_traces(tmp_path) as traces:
        assert spans(traces) == ["a", "b", "c", "d", "first"]


@pytest.mark.parametrize("size", ["shorter", "longer", "same"])
def test_T4_a_file_made_again_is_read_from_its_start_and_its_old_spans_stay_marked(
    file: Path, traces: anb.Traces, size: str
) -> None:
    inode, before = file.stat().st_ino, line("first")
    for followed in traces.reader._files.values():
        followed.close()  # as among very many files; an open file keeps its inode
    for _ in range(20):
        file.unlink()
        news = {
            "shorter": line("n")[:-60] + b'"}\n',
            "longer": line("new") * 2,
            "same": before.replace(b"first", b"other"),
        }
        text = (
            news[size]
            if size != "shorter"
            else json.dumps({**json.loads(before), "span_id": "n", "messages": []}).encode() + b"\n"
        )
        file.write_bytes(text)
        if file.stat().st_ino == inode:
            break
    else:
        pytest.skip("NOT TESTED: no inode was given twice in 20 tries")
    traces.refresh()
    new = {"shorter": "n", "longer": "new", "same": "other"}[size]
    assert spans(traces) == sorted(["first", new])
    old, fresh = (traces.store.row_of(span_id) for span_id in ("first", new))
    assert traces.store.c.flags[old] & Flag.FILE_GONE and not traces.store.c.flags[fresh] & Flag.FILE_GONE


def test_T5_copy_and_truncate_doubles_nothing_and_says_what_is_lost(file: Path, traces: anb.Traces) -> None:
    with file.open("ab") as out:
        out.write(line("second") + b'{"cut')
    traces.refresh()
    shutil.copy(file, file.with_suffix(".1"))
    os.truncate(file, 0)
    with file.open("ab") as out:
        out.write(line("third"))
    traces.refresh()
    assert spans(traces) == ["first", "second", "third"]
    assert "was cut from" in reasons(traces) and "5 bytes of an unfinished line are lost" in reasons(traces)


@pytest.mark.nightly
def test_T5_fifty_thousand_random_sequences_of_file_actions(tmp_path: Path) -> None:
    failures, began, count = [], time.monotonic(), many(0, 50_000, 500_000)
    for seed in range(10**6, 10**6 + count):
        folder = tmp_path / str(seed)
        folder.mkdir()
        if wrong := play(Tail, folder, seed):
            failures.append((seed, wrong))
        shutil.rmtree(folder)
    print(f"{count:,} sequences, {len(failures)} failures, {time.monotonic() - began:.0f} s")
    assert not failures, failures[:5]


@settings(max_examples=25)
@given(st.lists(st.integers(0, 8), min_size=1, max_size=6))
def test_T6_an_editors_save_with_the_same_first_lines_doubles_nothing(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("t")
    path, most = folder / "t.jsonl", 0
    path.write_bytes(b"")
    with anb.read_traces(folder) as read:
        for length in lengths:
            fresh = folder / "t.new"
            fresh.write_bytes(b"".join(line(f"s{i}") for i in range(length)))
            os.replace(fresh, path)
            read.refresh()
            most = max(most, length)
            assert sorted(spans(read)) == [f"s{i}" for i in range(most)]
        assert read.reader.problems.count == 0


@pytest.mark.parametrize("loss", [0.1, 0.5, 1.0])
def test_T7_with_lost_and_disordered_events_every_span_is_there_within_two_seconds(
    file: Path, loss: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watcher, "new_observer", unreliable(watcher.new_observer, loss))
    with anb.read_traces(file.parent, follow=True) as live:
        for number in range(30):
            with file.open("ab") as out:
                out.write(line(f"s{number}"))
            time.sleep(0.005)
        began = time.monotonic()
        eventually(lambda: len(live.store.live_rows()) >= 32)
        assert time.monotonic() - began < 2.0
        assert spans(live) == sorted(["first", *(f"s{i}" for i in range(30))])


def new_files(folder: Path, count: int) -> float:
    """Makes so many files at once under a reader that follows; the seconds until all are read."""
    with anb.read_traces(folder, follow=True) as live:
        eventually(lambda: live.live is not None and live.live.following == "inotify")
        text = line("@")
        for number in range(count):
            (folder / f"f{number}.jsonl").write_bytes(text.replace(b'"@"', b'"s%d"' % number))
        began = time.monotonic()
        while (found := len(spans(live))) < count + 1 and time.monotonic() - began < 120:
            time.sleep(0.2)
        assert found == count + 1 == len(set(spans(live)))
        return time.monotonic() - began


def test_T8_two_thousand_files_at_once_are_all_read(file: Path) -> None:
    print(f"2,000 new files: read {new_files(file.parent, 2000):.1f} s after the last was made")


@pytest.mark.nightly
def test_T8_twenty_thousand_files_at_once_are_all_read_though_events_overflow(file: Path) -> None:
    print(f"20,000 new files: read {new_files(file.parent, 20_000):.1f} s after the last was made")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EMFILE])
def test_T9_without_inotify_it_polls_says_so_and_reads_on(
    file: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(hear: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(watcher, "new_observer", refuse)
    with anb.read_traces(file.parent, follow=True) as live:
        assert live.live is not None
        eventually(lambda: live.live.following == "polling")  # type: ignore[union-attr]
        with file.open("ab") as out:
            out.write(line("second"))
        eventually(lambda: spans(live) == ["first", "second"])


def test_T10_a_folder_that_comes_goes_and_comes_again(tmp_path: Path) -> None:
    folder = tmp_path / ".modular-agents" / "traces"
    graph = anb.TraceGraph(folder)
    live = graph.traces
    try:
        for turn in range(3):
            folder.mkdir(parents=True)
            (folder / f"{turn}.jsonl").write_bytes(line(f"s{turn}"))
            eventually(lambda turn=turn: len(spans(live)) == turn + 1)  # type: ignore[misc]
            shutil.rmtree(folder)
            time.sleep(0.05)
        assert live.live is not None and not live.live.closed and live.live.error is None
    finally:
        graph.close()


def test_T10_a_circle_of_links_and_a_file_in_the_folders_place(file: Path) -> None:
    folder = file.parent
    (folder / "loop").symlink_to(folder)
    (folder / "self.jsonl").symlink_to(folder / "self.jsonl")
    with anb.read_traces(folder) as read:
        assert spans(read) == ["first"]
    os.replace(file, folder / ".modular-agents")
    with pytest.raises(NotATrace):
        anb.read_traces(folder)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.ESTALE])
def test_T11_one_file_that_fails_is_said_and_tried_again_and_the_others_go_on(
    file: Path, traces: anb.Traces, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    sick, real, clock = file.with_name("sick.jsonl"), os.preadv, [time.monotonic()]
    sick.write_bytes(line("sick"))
    failing: list[bool] = [True]
    monkeypatch.setattr(tail_module.time, "monotonic", lambda: clock[0])

    def read(fd: int, *rest: object) -> int:
        if failing[0] and os.fstat(fd).st_ino == sick.stat().st_ino:
            raise OSError(number, os.strerror(number))
        return real(fd, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(tail_module.os, "preadv", read)
    for turn in range(5):
        with file.open("ab") as out:
            out.write(line(f"s{turn}"))
        traces.refresh()
        clock[0] += 10.0
    assert spans(traces) == ["first", *(f"s{i}" for i in range(5))]
    assert os.strerror(number) in reasons(traces) and "it is tried again" in reasons(traces)
    failing[0] = False
    traces.refresh()
    assert "sick" in spans(traces)


WRITERS = """
import os, sys, time
folder, first, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
text = bytes.fromhex(sys.argv[4])
for number in range(count):
    for writer in range(first, first + 10):
        with open(f"{folder}/w{writer % 25}.jsonl", "ab", buffering=0) as out:
            out.write(text.replace(b'"@"', b'"w%d-%d"' % (writer, number)))
"""


def test_T12_fifty_writers_into_twenty_five_files_lose_and_double_nothing(file: Path) -> None:
    with anb.read_traces(file.parent, follow=True) as live:
        running = [
            subprocess.Popen([sys.executable, "-c", WRITERS, str(file.parent), str(10 * i), "40", line("@").hex()])
            for i in range(5)
        ]
        assert [one.wait(60) for one in running] == [0] * 5
        eventually(lambda: len(spans(live)) == 2001)
        assert len(set(spans(live))) == 2001 and live.reader.problems.count == 0


def test_T13_opened_and_closed_leaves_no_thread_and_no_file(file: Path) -> None:
    cycles = many(100, 1000)

    def cycle(turn: int) -> None:
        live = anb.read_traces(file.parent, follow=True)
        if turn % 3 == 1:
            anb.read_traces(file.parent, follow=True).close()
        if turn % 5 == 1:
            live.refresh()
        live.close()
        live.close()

    cycle(0)
    threads, handles = threading.active_count(), len(os.listdir("/proc/self/fd"))
    for turn in range(cycles):
        cycle(turn)
    eventually(lambda: threading.active_count() <= threads)
    assert len(os.listdir("/proc/self/fd")) == handles


def test_T4_a_replaced_files_text_is_never_shown_for_a_span_of_the_old_one(file: Path) -> None:
    """Also before the next look at the file, and where the other file is as long and begins likewise."""
    head = line("head", response="y" * 2000)
    for name, in_place in (("replaced", False), ("in place", True)):
        path = file.parent / f"{name}.jsonl"
        path.write_bytes(head.replace(b"head", name[:4].encode()) + line(f"old {name[:2]}", response="mine"))
        traces = anb.read_traces(path)
        assert traces.span(f"old {name[:2]}").response.text == "mine"
        other = (
            path.read_bytes().replace(f"old {name[:2]}".encode(), f"new {name[:2]}".encode()).replace(b"mine", b"your")
        )
        if in_place:
            with path.open("r+b") as out:
                out.write(other)
        else:
            (file.parent / "aside").write_bytes(other)
            os.replace(file.parent / "aside", path)
        with pytest.raises(BodyUnavailable):
            _ = traces.span(f"old {name[:2]}").response


def test_T13_dropped_without_close_holds_no_file(file: Path) -> None:
    file.write_bytes(line("s"))
    spans(anb.read_traces(file))
    gc.collect()
    handles = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        assert spans(anb.read_traces(file)) == ["s"]
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) <= handles


def test_T13_stopped_from_its_own_callback(file: Path) -> None:
    live = anb.read_traces(file.parent, follow=True)
    assert live.live is not None
    thread, began = live.live._thread, time.monotonic()
    live.store.subscribe(live.close)
    with file.open("ab") as out:
        out.write(line("second"))
    thread.join(2.0)
    assert not thread.is_alive() and time.monotonic() - began < 2.0


def test_T14_pipes_devices_holes_and_long_files_hold_nothing_up(file: Path) -> None:
    folder = file.parent
    os.mkfifo(folder / "pipe.jsonl")
    (folder / "dir.jsonl").mkdir()
    (folder / "null.jsonl").symlink_to("/dev/zero")
    with file.open("ab") as out:
        out.write(b"\0" * 4096 + b"\n" + line("behind"))
    with (folder / "long.jsonl").open(
        "wb"
    ) as out:  # read in full in the test of the tailer: here its middle is no line
        out.truncate(100 << 20)
        out.seek(100 << 20)
        out.write(b"\n" + line("far"))
    began = time.monotonic()
    with anb.read_traces(folder) as read:
        assert sorted(spans(read)) == ["behind", "far", "first"]
        bad = [problem for problem in read.reader.problems.rows() if problem.line is not None]
        assert len(bad) == 2, [problem.reason for problem in bad]
        assert read.span("far").response.text == "Done."
    assert time.monotonic() - began < 20


def test_T14_offsets_beyond_two_gigabytes_reach_the_text_of_a_span(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail_module, "CHUNK", 1 << 26)
    with file.open("wb") as out:
        out.seek((2 << 30) + 10)
        out.write(b"\n" + line("far"))
    with anb.read_traces(file) as read:
        assert read.span("far").response.text == "Done."


class NoRescan:
    """A reader that believes in events alone."""

    def __init__(self, reader: object) -> None:
        self.reader, self.scans = reader, 0

    def scan(self, changed: object = None) -> bool:
        self.scans += 1
        return False if changed is None and self.scans > 1 else self.reader.scan(changed)  # type: ignore[attr-defined]

    def watch_roots(self) -> list[tuple[str, bool]]:
        return self.reader.watch_roots()  # type: ignore[attr-defined]


class KeepsOffset(Tail):
    """A tailer that sees that a file was cut, and goes on where it was."""

    def _restart(self, reason: str | None, lost: int = 0) -> Iterator[Notice]:
        offset = self.offset
        yield from super()._restart(reason, lost)
        self.offset = offset


class Forgetful(Tail):
    """A tailer that throws away what stands behind the last newline."""

    def _drain(self) -> Iterator[Lines | Notice]:
        yield from super()._drain()
        self.offset += len(self.partial)
        self.partial = b""


@pytest.mark.parametrize("broken", [OffsetOnly, InodeOnly, NoPartial, KeepsOffset, Forgetful])
def test_broken_tailers_fail_on_the_same_sequences(tmp_path: Path, broken: type[Tail]) -> None:
    caught = 0
    for seed in range(300):
        folder = tmp_path / str(seed)
        folder.mkdir()
        caught += play(broken, folder, seed) is not None
    print(f"{broken.__name__}: {caught} of 300 sequences fail")
    assert caught > 0


def test_a_reader_that_never_sweeps_is_caught_where_events_are_lost(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watcher, "new_observer", unreliable(watcher.new_observer, 1.0))
    with anb.read_traces(file.parent) as read, follow(NoRescan(read.reader), poll=0.1):
        with file.open("ab") as out:
            out.write(line("second"))
        time.sleep(1.0)
        assert spans(read) == ["first"], "the harness would not notice"
