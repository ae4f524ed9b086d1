"""The cache of answers: private, exact, shared by threads and processes, and never the end of a sweep."""

from __future__ import annotations

import os
import random
import sqlite3
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from anton_notebook.experiments.rerun.answer_cache import Answers, Entry, Kept
from anton_notebook.model.request import Response, Usage

RESPONSE = Response(
    "Gr\u00fc\u00dfe \x00 \U0001f600",
    [{"id": "1", "name": "f", "arguments": {"a": [1, None, 2**70]}}],
    Usage(1, 2, None, 0),
    "stop",
    "m",
    {"x": 1},
)


def entry(number: int, repeat: int = 1) -> Entry:
    return Entry(f"{number:064x}", repeat, "openai", "gpt-4o", Kept(RESPONSE, 12.5))


def key(number: int, repeat: int = 1) -> tuple[str, int]:
    return (f"{number:064x}", repeat)


def test_an_answer_comes_back_as_it_was(tmp_path: Path) -> None:
    answers = Answers(tmp_path / "deep" / "home")
    assert answers.find([key(1)]) == {} and not (tmp_path / "deep").exists(), "nothing is made by asking"
    answers.keep([entry(1), entry(1, 2)])
    found = Answers(tmp_path / "deep" / "home").find([key(1), key(1, 2), key(1, 3), key(2)])
    assert set(found) == {key(1), key(1, 2)} and found[key(1)] == Kept(RESPONSE, 12.5)
    assert found[key(1)].response.raw == {"x": 1} and answers.trouble is None
    assert stat.S_IMODE(answers.path.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "deep" / "home").stat().st_mode) == 0o700


def test_a_lone_surrogate_does_not_stop_it(tmp_path: Path) -> None:
    answers = Answers(tmp_path)
    answers.keep([entry(1)._replace(kept=Kept(Response("bad \ud800 text"), 1.0))])
    assert answers.trouble is None and answers.find([key(1)])[key(1)].response.text == "bad \ud800 text"


def test_threads_and_processes_write_at_once(tmp_path: Path) -> None:
    program = (
        "import sys; sys.path.insert(0, sys.argv[2]); from tests.experiments.rerun.test_answer_cache import *\n"
        "answers = Answers(Path(sys.argv[1]))\n"
        "for i in range(20): answers.keep([entry(i), entry(1000 + int(sys.argv[3]) * 100 + i)])\n"
        "assert answers.trouble is None, answers.trouble"
    )
    root = str(Path(__file__).resolve().parents[3])
    running = [subprocess.Popen([sys.executable, "-c", program, str(tmp_path), root, str(i)]) for i in range(3)]
    answers = Answers(tmp_path)
    threads = [threading.Thread(target=lambda i=i: answers.keep([entry(i), entry(5000 + i)])) for i in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [process.wait(60) for process in running] == [0, 0, 0] and answers.trouble is None
    wanted = (
        [key(i) for i in range(20)]
        + [key(5000 + i) for i in range(20)]
        + [key(1000 + p * 100 + i) for p in range(3) for i in range(20)]
    )
    assert len(answers.find(wanted)) == len(wanted)


def make(path: Path, kind: str) -> None:
    if kind == "text":
        path.write_text("no database at all, " * 100)
    elif kind == "cut":
        Answers(path.parent).keep([entry(i) for i in range(50)])
        path.write_bytes(path.read_bytes()[:5000])
    elif kind in ("foreign", "newer", "view"):
        db = sqlite3.connect(path)
        if kind == "foreign":
            db.execute("CREATE TABLE theirs (x)")
        else:
            db.execute("CREATE TABLE answers (request, repeat, made, provider, model, answer, digest)")
            db.execute("PRAGMA application_id = 1634624065")
            db.execute("PRAGMA user_version = 2")
        db.commit()
        db.close()
    elif kind == "folder":
        path.mkdir()


@pytest.mark.parametrize("kind", ["text", "cut", "foreign", "newer", "folder"])
def test_a_file_that_is_not_ours_is_left_alone_and_said(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "answers.db"
    make(path, kind)
    before = path.read_bytes() if path.is_file() else None
    answers = Answers(tmp_path)
    answers.find([key(1)])
    answers.keep([entry(1)])
    assert answers.trouble is not None and str(path) in answers.trouble and "left as it is" in answers.trouble
    assert answers.find([key(1)]) == {}
    assert (path.read_bytes() if path.is_file() else None) == before


def test_a_locked_file_is_waited_for(tmp_path: Path) -> None:
    answers = Answers(tmp_path)
    answers.keep([entry(1)])
    other = sqlite3.connect(answers.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    writing = threading.Thread(target=lambda: answers.keep([entry(2)]))
    writing.start()
    assert answers.path.exists()
    writing.join(0.3)
    assert writing.is_alive()
    other.execute("COMMIT")
    writing.join(5)
    assert not writing.is_alive() and answers.trouble is None and len(answers.find([key(1), key(2)])) == 2


@pytest.mark.skipif(os.geteuid() == 0, reason="NOT TESTED: root may write everywhere")
def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    answers = Answers(tmp_path)
    answers.keep([entry(1)])
    assert answers.trouble is not None


def test_flipped_bits_never_show_as_an_answer(tmp_path: Path) -> None:
    Answers(tmp_path).keep([entry(i) for i in range(30)])
    path = tmp_path / "answers.db"
    sound = path.read_bytes()
    chance = random.Random(11)
    for _ in range(200):
        bad = bytearray(sound)
        bad[chance.randrange(len(bad))] ^= 1 << chance.randrange(8)
        path.write_bytes(bytes(bad))
        answers = Answers(tmp_path)
        found = answers.find([key(i) for i in range(30)])
        assert all(kept == Kept(RESPONSE, 12.5) for kept in found.values())


def test_killed_while_it_writes_it_loses_nothing_that_was_kept(tmp_path: Path) -> None:
    program = (
        "import sys; sys.path.insert(0, sys.argv[2]); from tests.experiments.rerun.test_answer_cache import *\n"
        "answers, i = Answers(Path(sys.argv[1])), 0\n"
        "while True:\n    answers.keep([entry(i), entry(i, 2)]); print(i, flush=True); i += 1\n"
    )
    root = str(Path(__file__).resolve().parents[3])
    for attempt in range(2):
        process = subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path / str(attempt)), root], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        last = -1
        for _ in range(5 + 3 * attempt):
            last = int(process.stdout.readline())
        process.kill()
        rest, _ = process.communicate()
        last = int(rest.split()[-1]) if rest.split() else last
        answers = Answers(tmp_path / str(attempt))
        found = answers.find([key(i, r) for i in range(last + 2) for r in (1, 2)])
        assert answers.trouble is None and all(key(i, r) in found for i in range(last + 1) for r in (1, 2))
        assert (key(last + 1, 1) in found) == (key(last + 1, 2) in found), "both of a batch or none"
