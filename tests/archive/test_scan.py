"""Archives: `scan` gives what `spans_df` gives, `to_parquet` adds what is new and survives being interrupted at any moment."""

from __future__ import annotations

import json
import random
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pandas as pd
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from hypothesis import given, settings
from hypothesis import strategies as st

import anton_notebook as anb
from anton_notebook import pricing
from anton_notebook.archive import delta_table
from anton_notebook.errors import ArchiveError, NotATrace, PathNotFound
from tests.tables.test_frames import call, tool

BYS: list[Any] = ["agent", ["model", "hour"], "phase", "tool", "run", "kind", "name", []]


@pytest.fixture(autouse=True)
def _as_bundled() -> Iterator[None]:
    pricing.reset_prices()
    yield
    pricing.reset_prices()


def lines_of(runs: int, seed: int = 1, body: int = 0) -> list[str]:
    """Runs of agents, calls and tools over some days, their lines in any order, some of them broken."""
    rng = random.Random(seed)
    lines = []
    for run in range(runs):
        for i in range(20):
            at = f"2026-01-{run % 3 + 1:02d}T{run % 24:02d}:{i:02d}:{rng.randrange(60):02d}Z"
            common = {"trace_id": f"run{run}", "agent_name": ("orchestrator", "module_a", "module_b")[i % 3]}
            common |= {
                "parent_id": f"s{run}.{i - rng.randrange(1, 4)}" if i > 3 else None,
                "duration_ms": rng.random() * 1e4,
            }
            if i % 2:
                lines.append(tool(f"s{run}.{i}", at, **common, success=rng.random() > 0.2, result="r" * body))
            else:
                tokens = {"input": rng.randrange(10_000), "output": rng.randrange(1000), "cached": rng.randrange(5000)}
                model = rng.choice(["gpt-4o", "claude-sonnet-4-20250514", "llama3.2:3b"])
                failed = {"success": False, "error": "no"} if rng.random() < 0.2 else {}
                lines.append(
                    call(f"s{run}.{i}", at, **common, tokens=tokens, model=model, response="x" * body, **failed)
                )
    texts = [json.dumps(line) for line in lines]
    rng.shuffle(texts)
    return [*texts[:5], "broken", "", *texts[5:]]


def same(made: pd.DataFrame, expected: pd.DataFrame) -> None:
    """The same rows in the same order with the same dtypes; a categorical's categories may stand in another order."""
    assert made.columns.tolist() == expected.columns.tolist()
    assert [str(dtype) for dtype in made.dtypes] == [str(dtype) for dtype in expected.dtypes]
    pd.testing.assert_frame_equal(made.astype(object), expected.astype(object), check_exact=True)


def ordered(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.sort_values(["trace_id", "span_id"], key=lambda c: c.astype(str)).reset_index(drop=True)


def same_costs(lazy: Any, traces: Any, phases: bool = True) -> None:
    for by in BYS if phases else [by for by in BYS if by != "phase"]:
        pd.testing.assert_frame_equal(
            anb.costs(lazy, by=by, sort="key"), anb.costs(traces, by=by, sort="key"), check_exact=True
        )
    with_subagents = [anb.costs(x, by="agent", subagents=True, sort="key") for x in (lazy, traces)]
    pd.testing.assert_frame_equal(*with_subagents, check_exact=True)


@pytest.mark.parametrize("where", ["anton-jsonl", "anton-proxy/proxy_traces.db"])
def test_the_corpus_scanned_is_the_corpus_read(corpus: Path, where: str) -> None:
    traces, lazy = anb.read_traces(corpus / where), anb.scan(corpus / where)
    expected = traces.spans_df()
    assert [str(dtype) for dtype in lazy.dtypes] == [str(dtype) for dtype in expected.dtypes]
    same(lazy.compute(scheduler="sync"), expected)
    same_costs(lazy, traces)


def test_the_corpus_as_a_dataset_is_the_corpus_read(corpus: Path, tmp_path: Path) -> None:
    places = [corpus / "anton-jsonl", corpus / "anton-proxy" / "proxy_traces.db"]
    for place in places:
        anb.read_traces(place).to_parquet(tmp_path)
    both, lazy = anb.read_traces(places), anb.scan(tmp_path)
    assert lazy.npartitions == 2
    assert sorted(p.name for p in tmp_path.glob("day=*")) == ["day=2026-11-23"]
    same(ordered(lazy.compute(scheduler="sync")), ordered(both.spans_df()))
    same_costs(lazy, both)


@settings(max_examples=12)
@given(runs=st.integers(1, 8), seed=st.integers(0, 99), blocksize=st.integers(4_000, 60_000), files=st.integers(1, 4))
def test_in_stretches_of_any_size_the_same_spans_are_found(
    tmp_path_factory: pytest.TempPathFactory, runs: int, seed: int, blocksize: int, files: int
) -> None:
    folder = tmp_path_factory.mktemp("stretches")
    lines = lines_of(runs, seed)
    for number in range(files):
        (folder / f"{number}.jsonl").write_text("".join(line + "\n" for line in lines[number::files]) + '{"torn": ')
    (folder / "copy.jsonl").write_text(lines[0] + "\n")  # one span in two files is one span
    traces, lazy = anb.read_traces(folder), anb.scan(folder, blocksize=blocksize)
    same(ordered(lazy.compute(scheduler="sync")), ordered(traces.spans_df()))
    if lazy.npartitions > 1:
        held = [
            set(part["trace_id"].astype(object))
            for part in (lazy.get_partition(i).compute(scheduler="sync") for i in range(lazy.npartitions))
        ]
        assert sum(map(len, held)) == len(set().union(*held)) == runs


def test_stretches_beside_what_can_only_be_read_whole(corpus: Path, tmp_path: Path) -> None:
    source = corpus / "anton-jsonl" / ".modular-agents" / "traces"
    for path in source.glob("*.jsonl"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "z.jsonl").write_text("\n".join(lines_of(9)) + "\n")
    traces, lazy = anb.read_traces(tmp_path), anb.scan(tmp_path, blocksize=20_000)
    assert lazy.npartitions > 2
    same(ordered(lazy.compute(scheduler="sync")), ordered(traces.spans_df()))
    same_costs(lazy, traces)


def test_lines_without_ids_in_a_file_cut_into_stretches_are_refused(tmp_path: Path) -> None:
    plain = {
        "timestamp": "2026-01-01T00:00:00",
        "agent_name": "orchestrator",
        "model": "m",
        "messages": [],
        "response": "",
    }
    (tmp_path / "t.jsonl").write_text("\n".join([*lines_of(3), json.dumps(plain)]) + "\n")
    with pytest.raises(NotATrace, match="blocksize="):
        anb.scan(tmp_path, blocksize=5000).compute(scheduler="sync")
    assert len(anb.scan(tmp_path).compute(scheduler="sync")) == len(anb.read_traces(tmp_path).spans_df())


def test_any_address_that_fsspec_knows(corpus: Path, tmp_path: Path) -> None:
    memory = fsspec.filesystem("memory")
    memory.store.clear()
    (tmp_path / "t.jsonl").write_text("\n".join(lines_of(6)) + "\n")
    memory.put(str(tmp_path / "t.jsonl"), "/lines/traces/t.jsonl")
    traces = anb.read_traces(tmp_path)
    for blocksize in (10_000, 1 << 26):
        lazy = anb.scan("memory://lines", blocksize=blocksize)
        found = ordered(lazy.compute(scheduler="sync"))
        assert found["source"].dropna().unique().tolist() == ["memory:///lines/traces/t.jsonl"]
        same(found.drop(columns="source"), ordered(traces.spans_df()).drop(columns="source"))
    memory.put(str(corpus / "anton-proxy" / "proxy_traces.db"), "/proxy/proxy_traces.db")
    lazy = anb.scan("memory://proxy/proxy_traces.db")
    assert lazy["source"].compute(scheduler="sync").dropna().unique().tolist() == ["memory:///proxy/proxy_traces.db"]
    same_costs(lazy, anb.read_traces(corpus / "anton-proxy" / "proxy_traces.db"), phases=False)
    traces.to_parquet(tmp_path / "archive")
    same(ordered(anb.scan((tmp_path / "archive").as_uri()).compute(scheduler="sync")), ordered(traces.spans_df()))
    with pytest.raises(PathNotFound, match="memory://nowhere"):
        anb.scan("memory://nowhere")


def test_only_the_columns_asked_for_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "t.jsonl").write_text("\n".join(lines_of(6)) + "\n")
    anb.read_traces(tmp_path).to_parquet(tmp_path / "archive")
    asked: list[Any] = []
    read = pd.read_parquet
    monkeypatch.setattr(
        pd, "read_parquet", lambda path, columns=None: (asked.append(columns), read(path, columns=columns))[1]
    )
    lazy = anb.scan(tmp_path / "archive")
    assert lazy["cost_usd"].sum().compute(scheduler="sync") > 0
    anb.costs(lazy, by="agent")
    assert ["cost_usd"] in asked and len(asked) == 2 * lazy.npartitions
    assert all(columns is not None and not {"error", "note", "source"} & set(columns) for columns in asked)


def test_prices_that_were_set_hold_where_the_pieces_are_read(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text("\n".join(lines_of(6)) + "\n")
    anb.set_price("llama3.2:3b", input=1, output=2)
    for blocksize in (10_000, 1 << 26):
        lazy = anb.scan(tmp_path, blocksize=blocksize)
        table = anb.costs(lazy, by="model")
        pd.testing.assert_frame_equal(table, anb.costs(anb.read_traces(tmp_path), by="model"))
        assert not table.attrs["anton_notebook"]["unpriced"]
    lazy = anb.scan(tmp_path, blocksize=10_000)
    anb.reset_prices()
    assert anb.costs(lazy, by="model").attrs["anton_notebook"]["unpriced"] == []  # those of the moment of scan


def test_phases_of_runs_are_in_archives_and_follow_what_is_said_of_them(tmp_path: Path) -> None:
    traces, archive = tmp_path / ".modular-agents" / "traces", tmp_path / "archive"
    traces.mkdir(parents=True)
    (traces / "t.jsonl").write_text("\n".join(lines_of(6)) + "\n")

    def checkpoint(phase: int, at: str) -> None:
        told = {"task_id": "run2", "checkpoint_id": f"phase{phase}_0", "timestamp": at, "phase_index": phase}
        path = tmp_path / ".modular-agents" / "checkpoints" / "run2" / f"checkpoint_{phase}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({**told, "total_phases": 2, "task_description": ""}))

    checkpoint(0, "2026-01-03T02:08:00")
    read = anb.read_traces(tmp_path, tz="UTC")
    first = anb.costs(read, by="phase", sort="key")
    assert first["phase"].dropna().tolist() == ["phase 1 of 2"]
    read.to_parquet(archive)
    before = parts(archive)
    checkpoint(1, "2026-01-03T02:15:00")
    read = anb.read_traces(tmp_path, tz="UTC")
    both = anb.costs(read, by="phase", sort="key")
    assert both["phase"].dropna().tolist() == ["phase 1 of 2", "phase 2 of 2"]
    assert read.to_parquet(archive) == (read.spans_df()["trace_id"] == "run2").sum()
    assert len(before.items() & parts(archive).items()) == len(before) - 1 and read.to_parquet(archive) == 0
    for lazy in (anb.scan(archive), anb.scan(tmp_path, tz="UTC"), anb.scan(tmp_path, tz="UTC", blocksize=10_000)):
        pd.testing.assert_frame_equal(anb.costs(lazy, by="phase", sort="key"), both, check_exact=True)


def test_columns_of_ones_own_are_scanned_too(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text("\n".join(lines_of(6)) + "\n")
    anb.add_column("slow", lambda spans: spans["duration_ms"] > 5000, "bool", "took long")
    try:
        traces = anb.read_traces(tmp_path)
        lazy = anb.scan(tmp_path, blocksize=10_000)
        same(ordered(lazy.compute(scheduler="sync")), ordered(traces.spans_df()))
        pd.testing.assert_frame_equal(anb.costs(lazy, by="slow"), anb.costs(traces, by="slow"))
    finally:
        anb.remove_column("slow")


# -- what is on disk


def parts(folder: Path) -> dict[str, int]:
    """The files of the table's current version, and what identifies each on disk."""
    files = [folder / file.path for file in delta_table.files_of(str(folder))]
    return {str(path.relative_to(folder)): path.stat().st_ino for path in files}


def test_only_what_is_new_is_written_and_doing_it_again_changes_nothing(tmp_path: Path) -> None:
    lines, archive = lines_of(9), tmp_path / "archive"
    early = [line for line in lines if '"run8"' not in line]
    (tmp_path / "t.jsonl").write_text("\n".join(early) + "\n")
    traces = anb.read_traces(tmp_path)
    assert traces.to_parquet(archive) == len(traces.spans_df()) > 0
    before, version = parts(archive), DeltaTable(archive).version()
    assert sorted({name.split("/")[0] for name in before}) == ["day=2026-01-01", "day=2026-01-02", "day=2026-01-03"]
    assert traces.to_parquet(archive) == 0 and anb.read_traces(tmp_path).to_parquet(archive) == 0
    assert parts(archive) == before
    assert DeltaTable(archive).version() == version
    with (tmp_path / "t.jsonl").open("a") as file:
        file.write("\n".join(line for line in lines if '"run8"' in line) + "\n")
    traces.refresh()
    assert traces.to_parquet(archive) == (traces.spans_df()["trace_id"] == "run8").sum()
    assert before.items() <= parts(archive).items() and len(parts(archive)) == len(before) + 1
    same(ordered(anb.scan(archive).compute(scheduler="sync")), ordered(traces.spans_df()))
    same_costs(anb.scan(archive), traces)


def test_a_row_that_changed_is_replaced_and_what_is_of_other_runs_stays(tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    (tmp_path / "a").mkdir()
    other = tmp_path / "a" / "other.jsonl"
    other.write_text("\n".join(lines_of(3)) + "\n")
    anb.read_traces(other).to_parquet(archive)
    before = parts(archive)
    path = tmp_path / "t.jsonl"
    running = {"version": 1, "origin": "record", "status": "running"}
    began = {
        **call("s", "2026-01-05T10:00:00Z"),
        "duration_ms": None,
        "tokens": None,
        "response": None,
        "anton_notebook": running,
    }
    path.write_text(json.dumps(began) + "\n")
    traces = anb.read_traces(path)
    traces.to_parquet(archive)
    assert (anb.scan(archive)["status"] == "running").sum().compute(scheduler="sync") > 0
    with path.open("a") as file:
        file.write(
            json.dumps({**call("s", "2026-01-05T10:00:00Z"), "anton_notebook": {"version": 1, "origin": "record"}})
            + "\n"
        )
        file.write(
            json.dumps(call("before", "2026-01-04T10:00:00Z")) + "\n"
        )  # the run began a day earlier than thought
    traces.refresh()
    traces.to_parquet(archive)
    whole = anb.scan(archive).compute(scheduler="sync")
    mine = whole[whole["trace_id"] == "early"]
    same(ordered(mine), ordered(traces.spans_df()))
    assert before.items() <= parts(archive).items()
    assert {name.split("/")[0] for name in parts(archive).keys() - before.keys()} == {"day=2026-01-04"}


def test_spans_whose_run_was_found_later_are_not_there_twice(corpus: Path, tmp_path: Path) -> None:
    files = sorted((corpus / "anton-jsonl" / ".modular-agents" / "traces").glob("*.jsonl"))
    folder, archive = tmp_path / "traces", tmp_path / "archive"
    folder.mkdir()
    for path in sorted(files, key=lambda p: p.name, reverse=False):  # modules first: their runs are not known yet
        (folder / path.name).write_bytes(path.read_bytes())
        anb.read_traces(folder).to_parquet(archive)
    expected = anb.read_traces(folder).spans_df()
    found = anb.scan(archive).compute(scheduler="sync")
    assert sorted(found.loc[found["kind"] == "llm", "span_id"]) == sorted(
        expected.loc[expected["kind"] == "llm", "span_id"]
    )
    same(ordered(found), ordered(expected))


def test_archive_compacts_partitions_of_many_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delta_table, "MAX_SMALL_FILES", 4)
    path, archive = tmp_path / "t.jsonl", tmp_path / "archive"
    path.write_text("")
    traces = anb.read_traces(path)
    for run in range(7):
        with path.open("a") as file:
            file.write(json.dumps(call(f"s{run}", "2026-01-05T10:00:00Z", trace_id=f"r{run}")) + "\n")
        traces.refresh()
        traces.to_parquet(archive)
        assert len(parts(archive)) <= 4
    same(ordered(anb.scan(archive).compute(scheduler="sync")), ordered(traces.spans_df()))


def test_scan_splits_a_large_day_into_pieces_of_whole_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["anton_notebook.archive.scan"], "PIECE_ROWS", 50)
    path, archive = tmp_path / "t.jsonl", tmp_path / "archive"
    lines = [line.replace("2026-01-02", "2026-01-01").replace("2026-01-03", "2026-01-01") for line in lines_of(12)]
    path.write_text("\n".join(line for line in lines if '.19"' not in line) + "\n")
    traces = anb.read_traces(path)
    traces.to_parquet(archive)
    with path.open("a") as file:
        file.write("\n".join(line for line in lines if '.19"' in line) + "\n")
    traces.refresh()
    traces.to_parquet(archive)
    lazy = anb.scan(archive)
    pieces = [set(lazy.get_partition(i).compute(scheduler="sync")["trace_id"]) for i in range(lazy.npartitions)]
    assert len(pieces) > 2
    assert sum(map(len, pieces)) == len(set().union(*pieces)) == 12
    same(ordered(lazy.compute(scheduler="sync")), ordered(traces.spans_df()))
    same_costs(lazy, traces)


WRITER = """
import sys
import anton_notebook as anb
anb.read_traces(sys.argv[1]).to_parquet(sys.argv[2])
"""


def test_archive_of_a_killed_writer_is_the_old_or_the_new_one(tmp_path: Path) -> None:
    path, lines = tmp_path / "t.jsonl", lines_of(3)
    path.write_text("\n".join(line for line in lines if '"run0"' not in line and '.19"' not in line) + "\n")
    first = anb.read_traces(path)
    first.to_parquet(tmp_path / "start")
    before = ordered(first.spans_df())
    with path.open("a") as file:
        file.write("\n".join(line for line in lines if '"run0"' in line or '.19"' in line) + "\n")
    later = anb.read_traces(path)
    after = ordered(later.spans_df())
    for moment in range(6):
        archive = tmp_path / f"archive{moment}"
        shutil.copytree(tmp_path / "start", archive)
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path), str(archive)])
        deadline = time.monotonic() + 60
        while writer.poll() is None and time.monotonic() < deadline:
            written = len(list(archive.rglob("*.parquet"))) > len(list((tmp_path / "start").rglob("*.parquet")))
            if written and moment < 5:  # the first file is on disk, the transaction is not complete: kill -9
                writer.kill()
            time.sleep(0.001 * moment)
        writer.wait()
        table = ordered(anb.scan(archive).compute(scheduler="sync"))
        same(table, after if len(table) == len(after) else before)
        later.to_parquet(archive)
        same(ordered(anb.scan(archive).compute(scheduler="sync")), after)


def test_archive_names_what_is_wrong_with_a_folder(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text("\n".join(lines_of(1)) + "\n")
    traces = anb.read_traces(tmp_path / "t.jsonl")
    write_deltalake(tmp_path / "other", pa.table({"a": [1]}))
    with pytest.raises(ArchiveError, match="lacks the columns"):
        anb.scan(tmp_path / "other")
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "_anton_notebook.json").write_text("{}")
    with pytest.raises(ArchiveError, match="older version"):
        traces.to_parquet(tmp_path / "old")
    traces.to_parquet(tmp_path / "bad")
    for log in (tmp_path / "bad" / "_delta_log").glob("*.json"):
        log.write_text(re.sub(r'"path":"[^"]+"', '"path":"../../etc/x.parquet"', log.read_text()))
    with pytest.raises(ArchiveError, match="outside the archive"):
        anb.scan(tmp_path / "bad")


def test_without_the_extra_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "t.jsonl").write_text("\n".join(lines_of(1)) + "\n")
    monkeypatch.setitem(sys.modules, "dask.dataframe", None)
    with pytest.raises(ArchiveError, match=r"pip install 'anton-notebook\[archive\]'"):
        anb.scan(tmp_path)


def test_more_than_a_worker_s_memory_on_a_cluster(tmp_path: Path) -> None:
    from distributed import Client, LocalCluster

    limit, body = 400 << 20, 60_000
    lines = lines_of(24, body=body)
    path = tmp_path / "t.jsonl"
    with path.open("w") as file:
        for copy in range(17):
            file.writelines(line.replace('"run', f'"c{copy}run') + "\n" for line in lines)
    assert path.stat().st_size > 1.1 * limit
    traces = anb.read_traces(path)
    expected = traces.spans_df()
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, memory_limit=limit, dashboard_address=None
        ) as cluster,
        Client(cluster) as client,
    ):
        lazy = anb.scan(path, blocksize=16 << 20)
        assert lazy.npartitions > 4
        for by in ("agent", ["model", "hour"]):
            pd.testing.assert_frame_equal(
                anb.costs(lazy, by=by, sort="key"), anb.costs(traces, by=by, sort="key"), check_exact=True
            )
        traces.to_parquet(tmp_path / "archive")
        pd.testing.assert_frame_equal(
            anb.costs(anb.scan(tmp_path / "archive"), by="agent"), anb.costs(traces, by="agent")
        )
        assert int(lazy["input_tokens"].sum().compute()) == int(expected["input_tokens"].sum())
        workers = client.scheduler_info()["workers"].values()
        assert len(workers) == 2
        for worker in workers:
            assert worker["metrics"]["spilled_bytes"] == {"memory": 0, "disk": 0}
            assert worker["metrics"]["memory"] < limit
