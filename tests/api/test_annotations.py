"""Notes and marks of spans: written from Python, kept in the home, columns, for other processes, in exports."""

from __future__ import annotations

import base64
import json
import re
import sqlite3
import subprocess
import sys
import zlib
from pathlib import Path

import pandas as pd
import pytest

import anton_notebook as anb
from anton_notebook.api.annotation_db import Notes
from anton_notebook.errors import NoteError
from anton_notebook.model.span import MARKS
from anton_notebook.store import Note
from anton_notebook.widget.protocol import ClientState, Encoder, Scope

SECRET = "sk-ant-api03-" + "a1B2" * 20


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "repo" / ".modular-agents" / "traces"
    place.mkdir(parents=True)
    lines = [
        {
            "timestamp": f"2026-01-01T00:00:0{i}Z",
            "agent_name": "orchestrator",
            "trace_id": "run",
            "span_id": f"s{i}",
            "parent_id": None,
            "span_type": "llm_call",
            "model": "gpt-4o",
            "provider": "openai",
            "duration_ms": 5.0,
            "messages": [{"role": "user", "content": "Hi"}],
            "response": "Hello",
        }
        for i in range(3)
    ]
    (place / "orchestrator_20260101_000000.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return tmp_path / "repo"


def noted(frame: pd.DataFrame) -> dict[str, tuple[object, object]]:
    rows = frame.dropna(subset=["mark", "note"], how="all")
    return {row.span_id: (row.mark, row.note) for row in rows.fillna({"note": ""}).itertuples()}


def test_a_note_is_a_column_and_there_when_the_traces_are_read_again(folder: Path) -> None:
    with anb.read_traces(folder) as traces:
        assert noted(traces.spans_df()) == {}
        span = traces.note("s1", "invented a file name", mark="bad")
        traces.note(traces.span("s2"), mark="good")
        expected = {"s1": ("bad", "invented a file name"), "s2": ("good", "")}
        assert noted(traces.spans_df()) == expected and (span.note, span.mark) == ("invented a file name", "bad")
        frame = traces.spans_df()
        assert frame["mark"].dtype == "category" and set(frame["mark"].cat.categories) <= {*MARKS}
    with anb.read_traces(folder) as again:
        assert noted(again.spans_df()) == expected, "they are there before a frame was ever asked for"
        again.note("s1", mark="question")
        again.note("s2", "well said")
        again.note("s2", mark="")
        assert (again.span("s1").note, again.span("s1").mark) == ("invented a file name", "question")
        assert (again.span("s2").note, again.span("s2").mark) == ("well said", None)
        again.note("s1", "", mark="")
        assert noted(again.spans_df()).keys() == {"s2"}
    kept = folder / ".modular-agents" / "notes.db"
    assert kept.stat().st_mode & 0o777 == 0o600


def test_what_another_process_notes_is_seen(folder: Path) -> None:
    with anb.read_traces(folder) as traces:
        revision = traces.store.revision
        program = (
            f"import anton_notebook as anb; anb.read_traces({str(folder)!r}).note('s0', 'from afar', mark='important')"
        )
        subprocess.run([sys.executable, "-c", program], check=True, timeout=120)
        assert noted(traces.spans_df()) == {"s0": ("important", "from afar")}
        changed = traces.store.changes(revision)
        assert changed.rows.tolist() == [traces.span("s0").row], "pages are told of that span alone"


def test_a_mark_crosses_to_the_page_and_a_note_does_not(folder: Path) -> None:
    with anb.read_traces(folder) as traces:
        traces.note("s1", "a private thought", mark="bad")
        (message,), _ = Encoder(traces.store).encode(ClientState(), Scope(1, (0,)))
        puts = message.header["puts"]
        rows = [int.from_bytes(message.buffers[0][16 * puts + 4 * i :][:4], "little") for i in range(puts)]
        marks = dict(zip(rows, message.buffers[0][-puts:], strict=True))
        assert marks[traces.span("s1").row] == 1 + MARKS.index("bad") and sum(marks.values()) == 2
        assert b"private" not in message.buffers[0] and "private" not in json.dumps(message.header)


def test_an_export_brings_notes_along_and_takes_secrets_out_of_them(folder: Path, tmp_path: Path) -> None:
    with anb.read_traces(folder) as traces:
        traces.note("s1", f"the key {SECRET} stands there", mark="bad")
        traces.export(tmp_path / "out.jsonl")
    assert SECRET not in (tmp_path / "out.jsonl").read_text()
    with anb.read_traces(tmp_path / "out.jsonl", home=tmp_path / "elsewhere") as copy:
        mark, note = noted(copy.spans_df())["s1"]
        assert mark == "bad" and str(note).startswith("the key ") and str(note).endswith(" stands there")
        copy.note("s1", mark="good")
        assert (copy.span("s1").mark, copy.span("s1").note) == ("good", note), "the user's word stands above the line's"


def test_errors_name_what_is_possible(folder: Path) -> None:
    with anb.read_traces(folder) as traces:
        with pytest.raises(NoteError, match="'bda'.*did you mean.*'bad'|'good', 'bad', 'question', 'important'"):
            traces.note("s1", mark="bda")
        with pytest.raises(NoteError, match="at most 20,000 characters"):
            traces.note("s1", "x" * 20_001)
        with pytest.raises(KeyError, match="s9"):
            traces.note("s9", "nobody")
        assert not (folder / ".modular-agents" / "notes.db").exists(), "nothing is made before something is noted"


def test_a_file_that_is_not_ours_is_left_alone(folder: Path) -> None:
    path = folder / ".modular-agents" / "notes.db"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE theirs (a)")
    before = path.read_bytes()
    with anb.read_traces(folder) as traces:
        assert len(traces.spans_df()) and "another program" in traces.problems_df()["reason"].str.cat()
        with pytest.raises(NoteError, match="another program's database"):
            traces.note("s1", "x")
    assert path.read_bytes() == before


def test_two_writers_lose_nothing(tmp_path: Path) -> None:
    first, second = Notes(tmp_path), Notes(tmp_path)
    first.put(("t", "a"), "one", None, Note())
    second.put(("t", "a"), None, "bad", Note())
    assert first.read() == {("t", "a"): Note("one", "bad")}


def test_a_graph_takes_notes_from_python_and_from_its_page(folder: Path) -> None:
    graph = anb.TraceGraph(folder)
    try:
        graph.note("s1", "from Python", mark="bad")
        graph.note(graph.traces.span("s2"), mark="good")
        assert noted(graph.traces.spans_df()) == {"s1": ("bad", "from Python"), "s2": ("good", "")}
        notes = graph._parts.handlers["note"]
        epoch, row = graph.traces.store.epoch, graph.traces.span("s0").row
        said = notes({"epoch": epoch, "row": row, "note": "from the page", "mark": ""})
        assert said == {"note": "from the page", "mark": ""} and graph.traces.span("s0").note == "from the page"
        for wrong in ({"row": row}, {"epoch": epoch, "row": "0", "note": "", "mark": ""}, {"epoch": epoch, "row": row}):
            with pytest.raises(ValueError, match="must be an integer|must be a text|earlier reading"):
                notes(wrong)
        found = graph._parts.queries._searches.start("the page", graph._parts.session.stream.codes())
        found.join(30)
        assert found.rows == [row], "a note is found by its words"
    finally:
        graph.close()


def test_an_archive_has_them_and_takes_in_what_changed(folder: Path, tmp_path: Path) -> None:
    with anb.read_traces(folder) as traces:
        traces.note("s1", "before", mark="bad")
        traces.to_parquet(tmp_path / "archive")
        traces.note("s1", "after", mark="good")
        assert traces.to_parquet(tmp_path / "archive") > 0
    kept = anb.scan(tmp_path / "archive").compute(scheduler="sync").dropna(subset=["note"])
    assert kept[["span_id", "mark", "note"]].astype(str).to_numpy().tolist() == [["s1", "good", "after"]]


def test_a_page_has_marks_always_and_notes_only_with_the_texts_and_without_secrets(
    folder: Path, tmp_path: Path
) -> None:
    with anb.TraceGraph(folder, trace_id="run") as graph:
        graph.note("s1", f"my own thought about {SECRET}", mark="bad")
        graph.to_html(tmp_path / "a.html")
        graph.to_html(tmp_path / "b.html", save_bodies=True)
    states = []
    for name in ("a", "b"):
        text = re.search(r'id="anton-state"[^>]*>(.*?)</script>', (tmp_path / f"{name}.html").read_text(), re.DOTALL)
        assert text is not None
        states.append(zlib.decompressobj().decompress(base64.b64decode(json.loads(text[1])["saved"])[4:]))
    assert [b"my own thought" in state for state in states] == [False, True]
    assert not any(SECRET.encode() in state for state in states)
    assert all(bytes([1 + MARKS.index("bad")]) in state for state in states)
