"""The watcher against the real inotify, and without it."""

from __future__ import annotations

import logging
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from watchdog.events import FileModifiedEvent, FileSystemEvent
from watchdog.observers.api import BaseObserver

from anton_notebook.sources import watcher as watch
from anton_notebook.sources.watcher import Watcher

PATIENCE = 5.0


@pytest.fixture
def watcher() -> Iterator[Watcher]:
    """A watcher that sweeps so seldom that what arrives came from an event."""
    with Watcher(poll=60.0) as made:
        yield made


def attentive(watcher: Watcher, *roots: Path) -> Iterator[set[str] | None]:
    """The events from here on: the sweeps with which it begins are behind."""
    events = watcher.events()
    next(events)
    watcher.watch([(str(root), False) for root in roots])
    if roots:
        assert next(events) is None  # what was written before the watch
    return events


def until(watcher: Watcher, events: Iterator[set[str] | None], wanted: Path) -> None:
    """Runs through the events until `wanted` is among them; fails when it never is."""
    timer = threading.Timer(PATIENCE, watcher.stop)
    timer.start()
    seen: set[str] = set()
    try:
        for changed in events:
            seen |= changed or set()
            if str(wanted) in seen:
                return
    finally:
        timer.cancel()
    raise AssertionError(f"{wanted} was not reported; {sorted(seen)} were")


def test_an_appended_line_is_reported_by_its_path(watcher: Watcher, tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_bytes(b"1\n")
    events = attentive(watcher, tmp_path)
    assert watcher.following == "inotify"
    with file.open("ab") as out:
        out.write(b"2\n")
    until(watcher, events, file)


def test_the_first_pass_and_a_wake_look_at_everything(watcher: Watcher) -> None:
    events = watcher.events()
    assert next(events) is None
    watcher.wake()
    assert next(events) is None


def test_a_file_moved_in_is_reported_at_once_and_holds_nothing_back(watcher: Watcher, tmp_path: Path) -> None:
    folder, outside = tmp_path / "traces", tmp_path / "new"
    folder.mkdir()
    outside.write_bytes(b"1\n")
    (folder / "old.jsonl").write_bytes(b"")
    events = attentive(watcher, folder)
    began = time.perf_counter()
    os.rename(folder / "old.jsonl", tmp_path / "rotated")  # a rename away must not delay what comes behind it
    os.replace(outside, folder / "b.jsonl")
    until(watcher, events, folder / "b.jsonl")
    assert time.perf_counter() - began < 0.3


def test_our_own_reading_is_no_event(watcher: Watcher, tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_bytes(b"1\n")
    events = attentive(watcher, tmp_path)
    for _ in range(20):
        file.read_bytes()
    (tmp_path / "last").touch()
    assert next(events) == {str(tmp_path / "last")}


def test_a_linked_folder_is_reported_under_the_name_it_was_asked_for(watcher: Watcher, tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    real.mkdir()
    link.symlink_to(real)
    events = attentive(watcher, link)
    (real / "a.jsonl").write_bytes(b"1\n")
    until(watcher, events, link / "a.jsonl")


def test_a_folder_made_again_is_watched_again(watcher: Watcher, tmp_path: Path) -> None:
    folder = tmp_path / "traces"
    roots = [(str(tmp_path), False), (str(folder), False)]
    events = attentive(watcher, tmp_path)
    for turn in range(3):
        folder.mkdir()
        assert next(events) is None  # a new folder asks for a sweep, after which the live thread watches what there is
        watcher.watch(roots)
        assert next(events) is None
        file = folder / f"{turn}.jsonl"
        file.write_bytes(b"1\n")
        until(watcher, events, file)
        file.unlink()
        until(watcher, events, file)
        folder.rmdir()
        while next(events) is not None:
            pass


def test_a_folder_replaced_by_another_of_its_name_is_watched(watcher: Watcher, tmp_path: Path) -> None:
    folder, other = tmp_path / "traces", tmp_path / "other"
    folder.mkdir()
    other.mkdir()
    events = attentive(watcher, folder)
    folder.rename(tmp_path / "gone")
    other.rename(folder)
    watcher.watch([(str(folder), False)])
    assert next(events) is None
    (folder / "a.jsonl").write_bytes(b"1\n")
    until(watcher, events, folder / "a.jsonl")


def test_folders_that_are_not_there_are_left_out(watcher: Watcher, tmp_path: Path) -> None:
    watcher.watch([(str(tmp_path / "nowhere"), False), (str(tmp_path), False)])
    assert watcher.following == "inotify"


def test_a_new_folder_below_asks_for_a_sweep(watcher: Watcher, tmp_path: Path) -> None:
    events = attentive(watcher, tmp_path)
    (tmp_path / "new").mkdir()
    assert next(events) is None


def test_a_flood_of_paths_becomes_a_sweep(watcher: Watcher, tmp_path: Path) -> None:
    events = attentive(watcher)
    for i in range(watch.MANY + 1):
        watcher.heard(str(tmp_path), FileModifiedEvent(str(tmp_path / f"{i}.jsonl")))
    assert next(events) is None


@pytest.mark.parametrize("number", [24, 28], ids=["EMFILE", "ENOSPC"])
def test_without_inotify_it_polls_and_says_so(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(hear: object) -> BaseObserver:
        raise OSError(number, "inotify instance limit reached")

    monkeypatch.setattr(watch, "new_observer", refuse)
    with caplog.at_level(logging.WARNING), Watcher(poll=0.02) as watcher:
        for _ in range(3):
            watcher.watch([(str(tmp_path), False)])
        assert watcher.following == "polling"
        events = watcher.events()
        assert [next(events) for _ in range(5)] == [None] * 5
    assert len(caplog.records) == 1
    assert "limit reached" in caplog.text
    assert "every 0.02 s" in caplog.text


def test_one_folder_that_cannot_be_watched_means_polling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    remote = tmp_path / "remote"
    remote.mkdir()
    monkeypatch.setattr(watch, "_is_remote", lambda path: path == str(remote))
    with Watcher() as watcher:
        watcher.watch([(str(tmp_path), False)])
        assert watcher.following == "inotify"
        watcher.watch([(str(tmp_path), False), (str(remote), False)])
        assert watcher.following == "polling"


Hear = Callable[[str, FileSystemEvent], None]
Maker = Callable[[Hear], BaseObserver]


def unreliable(real: Maker, loss: float) -> Maker:
    """Makes observers whose events are dropped, delayed, doubled and out of order."""

    def make(hear: Hear) -> BaseObserver:
        dice, kept = random.Random(7), list[tuple[str, FileSystemEvent]]()

        def pass_on(folder: str, event: FileSystemEvent) -> None:
            if dice.random() < loss:
                return
            kept.append((folder, event))
            if dice.random() < 0.5:
                dice.shuffle(kept)
                for one in [*kept, *kept[:1]]:
                    hear(*one)
                kept.clear()

        return real(pass_on)

    return make


@pytest.mark.parametrize("loss", [0.1, 0.5, 1.0])
def test_lost_doubled_and_disordered_events_only_cost_time(
    loss: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "new_observer", unreliable(watch.new_observer, loss))
    file = tmp_path / "a.jsonl"
    file.touch()
    with Watcher(poll=0.1) as watcher:
        watcher.watch([(str(tmp_path), False)])
        events, sizes = watcher.events(), 0
        for size in range(1, 40):
            with file.open("ab") as out:
                out.write(b"x")
            began = time.monotonic()
            while sizes < size:
                changed = next(events)
                if changed is None or str(file) in changed:
                    sizes = file.stat().st_size
            assert time.monotonic() - began < 2.0


def test_stop_ends_the_events_from_another_thread(watcher: Watcher) -> None:
    events = watcher.events()
    next(events)
    threading.Timer(0.05, watcher.stop).start()
    began = time.monotonic()
    assert list(events) == []
    assert time.monotonic() - began < 1.0
    assert watcher.following == "off"


def test_a_remote_file_system_is_known_by_its_kind() -> None:
    assert not watch._is_remote("/proc")


def test_the_larger_a_sweep_the_rarer_it_is_but_never_so_rare_that_nothing_is_seen() -> None:
    watcher = Watcher(0.5)
    watcher._polled = False
    assert [watcher._pause(took) for took in (0.0001, 0.002, 0.1, 2.0, 10.0)] == [0.5, 0.5, 25.0, 30.0, 100.0]
    watcher._polled = True
    assert [watcher._pause(took) for took in (0.0001, 0.1, 2.0)] == [0.5, 1.0, 20.0]
