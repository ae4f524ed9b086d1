"""The one writer: whole lines, whatever is in them, however many write, and for their owner's eyes only."""

from __future__ import annotations

import errno
import json
import math
import multiprocessing
import os
import re
import resource
import stat
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import anton_notebook as anb
from anton_notebook.sources import writer
from anton_notebook.sources.writer import TraceWriter, create

IDS = {"trace_id": "t", "span_id": "s"}
CALL = {
    **IDS,
    "timestamp": "2026-01-01T00:00:00Z",
    "agent_name": "orchestrator",
    "span_type": "llm_call",
    "model": "gpt-4o",
}
texts = st.text(st.characters(exclude_categories=()), max_size=30)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=20,
)


def lines(path: Path) -> list[dict[str, Any]]:
    """Every line as strict JSON: what is not UTF-8, or not JSON, fails here."""

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    whole = path.read_bytes()
    assert whole == b"" or whole.endswith(b"\n")
    return [json.loads(line.decode("utf-8"), parse_constant=refuse) for line in whole.split(b"\n")[:-1]]


def sane(value: Any) -> Any:
    """What is expected back."""
    if isinstance(value, str):
        return re.sub("[\ud800-\udfff]", "\ufffd", value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, list):
        return [sane(inner) for inner in value]
    if isinstance(value, dict):
        return {sane(key): sane(inner) for key, inner in value.items()}
    return value


@given(st.lists(st.dictionaries(texts, values, max_size=5), max_size=5))
def test_any_values_come_back_one_line_each(tmp_path: Path, records: list[dict[str, Any]]) -> None:
    with create(tmp_path, "run") as out:
        for record in records:
            out.write({**record, **IDS, "anton_notebook": {"version": 1}})
    found = lines(out.path)
    assert found == [sane({**record, **IDS, "anton_notebook": {"version": 1}}) for record in records]


def test_the_mark_of_the_file_stands_in_every_line_and_absent_keys_are_left_out(tmp_path: Path) -> None:
    with create(tmp_path, "branch", {"origin": "replay", "original_trace_id": "t0"}) as out:
        out.write(IDS)
        out.write({**IDS, "anton_notebook": {"provenance": "reused", "reason": None, "original_trace_id": "t1"}})
        out.write({**IDS, "duration_ms": 5}, running=True)
    first, second, third = (line["anton_notebook"] for line in lines(out.path))
    assert first == {"version": 1, "origin": "replay", "original_trace_id": "t0"}
    assert second == first | {"provenance": "reused", "original_trace_id": "t1"}
    assert third == first | {"status": "running"}
    assert "duration_ms" not in lines(out.path)[2]


def test_the_name_says_what_and_when_and_is_never_taken_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = iter(["aaaaaaaa", "aaaaaaaa", "bbbbbbbb"])
    monkeypatch.setattr(writer.secrets, "token_hex", lambda n: next(tokens))
    made = [create(tmp_path, "rerun") for _ in range(2)]
    for out in made:
        out.close()
        assert re.fullmatch(r"rerun_\d{8}_\d{6}_[ab]{8}\.jsonl", out.path.name)
    assert made[0].path != made[1].path
    with pytest.raises(FileExistsError):
        TraceWriter(made[0].path)


@pytest.mark.parametrize("prefix", ["", "../up", "a/b", "Branch", "a" * 40, "a.b", "\x00", "a\n"])
def test_a_prefix_is_a_short_word(tmp_path: Path, prefix: str) -> None:
    with pytest.raises(ValueError, match="short word"):
        create(tmp_path, prefix)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_files_are_0600_and_new_folders_0700_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    there = tmp_path / "there"
    there.mkdir(mode=0o755)
    there.chmod(0o755)
    before = os.umask(umask)
    try:
        create(there / "deep" / "deeper", "branch").close()
    finally:
        os.umask(before)
    (file,) = (there / "deep" / "deeper").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE((there / "deep" / "deeper").stat().st_mode) == 0o700
    assert stat.S_IMODE((there / "deep").stat().st_mode) == 0o700
    assert stat.S_IMODE(there.stat().st_mode) == 0o755


def test_a_link_in_the_place_of_the_file_is_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "precious.jsonl"
    target.write_text("kept")
    link = tmp_path / "run.jsonl"
    link.symlink_to(target)
    with pytest.raises(OSError, match=r"run\.jsonl"):
        TraceWriter(link)
    dangling = tmp_path / "dangling.jsonl"
    dangling.symlink_to(tmp_path / "nowhere.jsonl")
    with pytest.raises(OSError, match=r"dangling\.jsonl"):
        TraceWriter(dangling)
    assert target.read_text() == "kept"
    assert not (tmp_path / "nowhere.jsonl").exists()


@pytest.mark.parametrize(
    "record", [{}, {"trace_id": "t"}, {"span_id": "s"}, {**IDS, "span_id": ""}, {**IDS, "trace_id": 3}]
)
def test_a_line_without_its_ids_is_refused(tmp_path: Path, record: dict[str, Any]) -> None:
    with create(tmp_path, "run") as out, pytest.raises(ValueError, match=r"trace_id|span_id"):
        out.write(record)
    assert lines(out.path) == []


def test_what_json_cannot_hold_is_refused_by_its_place_and_nothing_is_written(tmp_path: Path) -> None:
    round_and_round: dict[str, Any] = {}
    round_and_round["again"] = [round_and_round]
    with create(tmp_path, "run") as out:
        with pytest.raises(TypeError, match=r"/parameters/0/x is a set"):
            out.write({**IDS, "parameters": [{"x": {1}}]})
        with pytest.raises(TypeError, match="keys are texts"):
            out.write({**IDS, "parameters": {(1, 2): 3}})
        with pytest.raises(ValueError, match="contains itself"):
            out.write({**IDS, "parameters": round_and_round})
        shared = [1]
        out.write({**IDS, "n": np.float64(2.5), "i": np.int32(3), "shared": [shared, shared], "pair": (1, 2), 5: True})
    (line,) = lines(out.path)
    assert (line["n"], line["i"], line["shared"], line["pair"], line["5"]) == (2.5, 3, [[1], [1]], [1, 2], True)


def test_deep_nesting_is_cut_and_the_line_stays_readable(tmp_path: Path) -> None:
    deep: Any = "bottom"
    for _ in range(100_000):
        deep = [deep]
    with create(tmp_path, "run") as out:
        out.write({**CALL, "parameters": deep})
        out.write({**CALL, "span_id": "next"})
    assert len(lines(out.path)) == 2
    with anb.read_traces(out.path) as traces:
        assert len(traces.problems_df()) == 0


def test_closing_twice_is_fine_and_writing_after_it_is_an_error(tmp_path: Path) -> None:
    out = create(tmp_path, "run")
    out.close()
    out.close()
    with pytest.raises(ValueError, match="closed"):
        out.write(IDS)


def _many(folder: str, number: int, barrier: Any) -> None:
    barrier.wait()
    with create(folder, "run") as out:
        for i in range(100):
            out.write({"trace_id": f"p{number}", "span_id": f"p{number}-{i}", "messages": "x" * (i * 97 % 9000)})


def test_R10_twenty_processes_at_once_lose_and_mix_nothing(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(20)
    workers = [context.Process(target=_many, args=(str(tmp_path), n, barrier)) for n in range(20)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
        assert worker.exitcode == 0
    found = [line["span_id"] for path in tmp_path.iterdir() for line in lines(path)]
    assert len(list(tmp_path.iterdir())) == 20
    assert Counter(found) == Counter({f"p{n}-{i}": 1 for n in range(20) for i in range(100)})


@pytest.mark.skipif(not hasattr(os, "fork"), reason="NOT TESTED: this system has no fork")
def test_a_writer_that_forked_processes_and_threads_share_mixes_nothing(tmp_path: Path) -> None:
    with create(tmp_path, "run") as out:

        def work(name: str) -> None:
            for i in range(100):
                out.write({"trace_id": "t", "span_id": f"{name}-{i}", "response": name * (i * 31 % 5000)})

        children = []
        for n in range(6):
            child = os.fork()
            if child == 0:
                try:
                    work(f"child{n}")
                finally:
                    os._exit(0)
            children.append(child)
        threads = [threading.Thread(target=work, args=(f"thread{n}",)) for n in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for child in children:
            os.waitpid(child, 0)
    found = Counter(line["span_id"] for line in lines(out.path))
    names = [f"{kind}{n}" for kind in ("child", "thread") for n in range(6)]
    assert found == Counter({f"{name}-{i}": 1 for name in names for i in range(100)})


def _until_full(folder: str, results: Any) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 100_000))
    import signal

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    out = create(folder, "run")
    written = 0
    try:
        for _ in range(100):
            out.write({**CALL, "span_id": f"s{written}", "response": "y" * 300})
            written += 1
    except OSError as error:
        results.put((written, error.errno))
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    out.write({**CALL, "span_id": "after"})
    out.close()


def test_a_full_disk_is_an_error_and_spoils_no_later_line(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    worker = context.Process(target=_until_full, args=(str(tmp_path), results))
    worker.start()
    written, number = results.get(timeout=60)
    worker.join(60)
    assert number in (errno.EFBIG, errno.ENOSPC)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes().split(b"\n")
    assert json.loads(whole[-2])["span_id"] == "after"
    assert [json.loads(line)["span_id"] for line in whole[:written]] == [f"s{i}" for i in range(written)]
    with anb.read_traces(path) as traces:
        assert set(traces.spans_df()["span_id"]) >= {"after", *(f"s{i}" for i in range(written))}
        assert len(traces.problems_df()) == 1


def test_a_running_line_is_followed_by_the_end_and_the_last_wins(tmp_path: Path) -> None:
    with create(tmp_path, "run", {"origin": "demo"}) as out:
        out.write(CALL, running=True)
        with anb.read_traces(out.path) as traces:
            assert traces.span("s").status == "running"
        out.write({**CALL, "duration_ms": 1500, "response": "done"})
    with anb.read_traces(out.path) as traces:
        span = traces.span("s")
        assert (span.status, span.duration_ms) == ("ok", 1500)
        assert len(traces.problems_df()) == 0
