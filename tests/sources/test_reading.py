"""Lines into spans: the corpus's counts, and everything that a file can hold instead of a line."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import anton_notebook as anb
from anton_notebook.errors import BodyUnavailable, NotATrace, PathNotFound
from anton_notebook.sources.reader import Reader
from anton_notebook.sources.timestamps import parse_time, parse_times
from anton_notebook.store import Store
from anton_notebook.tables import PROBLEMS, RUNS, SPANS
from tests.store.test_store import line, lines_of
from tests.support.canonical import state

GOOD = json.dumps(line("before")).encode(), json.dumps(line("after")).encode()


def between(tmp_path: Path, middle: bytes) -> anb.Traces:
    """Traces of a file that holds this between two good lines."""
    (tmp_path / "t.jsonl").write_bytes(GOOD[0] + b"\n" + middle + b"\n" + GOOD[1] + b"\n")
    return anb.read_traces(tmp_path)


def neighbours(traces: anb.Traces) -> set[str]:
    return {"before", "after"} & set(traces.spans_df()["span_id"])


def test_the_corpus_of_lines_without_ids(corpus: Path) -> None:
    traces = anb.read_traces(corpus / "anton-jsonl")
    runs = traces.runs_df()
    assert runs["spans"].tolist() == [6, 6, 1, 6, 1]
    assert runs["name"].tolist()[0] == "Add a cache layer to all modules"
    assert runs["status"].tolist() == ["ok", "ok", "error", "ok", "error"]
    frame = traces.spans_df()
    calls = frame[frame["kind"] == "llm"]
    assert len(calls) == 20 and calls["tokens_estimated"].all() and (calls["status"] == "error").sum() == 1
    assert (frame["kind"] == "orchestrator").sum() == 5 and (frame["kind"] == "agent").sum() == 12
    assert frame["start"].min() == pd.Timestamp("2026-11-23 01:18:01.339027", tz="UTC")
    assert len(traces.problems_df()) == 0


def test_the_corpus_reads_the_same_file_by_file(corpus: Path) -> None:
    folder = corpus / "anton-jsonl" / ".modular-agents"
    whole = state(anb.read_traces(corpus / "anton-jsonl").store)
    assert state(anb.read_traces(folder).store) == whole
    assert state(anb.read_traces(folder / "traces").store) == whole
    files = sorted((folder / "traces").glob("*.jsonl"))
    assert state(anb.read_traces(files).store) == whole == state(anb.read_traces(files[::-1]).store)


def test_a_zone_of_ones_own_moves_times_without_one(corpus: Path) -> None:
    folder = corpus / "anton-jsonl"
    here, there = anb.read_traces(folder).spans_df(), anb.read_traces(folder, tz="Asia/Tokyo").spans_df()
    assert ((here["start"] - there["start"]) == pd.Timedelta(hours=9)).all()


@given(cuts=st.lists(st.integers(1, 2000), max_size=12))
def test_any_split_of_the_bytes_into_writes_gives_the_same(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[int]
) -> None:
    text = lines_of(
        line("a", error="naïve 🧪"), line("b", parent="a"), line("c", "x", parent="later"), line("later")
    ).encode()
    folder = tmp_path_factory.mktemp("w")
    (folder / "whole").mkdir()
    (folder / "whole" / "t.jsonl").write_bytes(text)
    (folder / "parts").mkdir()
    file = folder / "parts" / "t.jsonl"
    file.touch()
    traces = anb.read_traces(folder / "parts")
    places = sorted({min(c, len(text)) for c in cuts} | {len(text)})
    at = 0
    for place in places:
        with file.open("ab") as out:
            out.write(text[at:place])
        at = place
        traces.refresh()
        assert len(traces.store.live_rows()) == 0 or len(traces["t"].spans) > 0
        complete = text[:place].count(b"\n")
        assert sum(t.spans for t in traces.store.traces) == complete
    assert state(traces.store) == state(anb.read_traces(folder / "whole").store)
    before = traces.store.revision
    assert not traces.refresh() and traces.store.revision == before


BAD: dict[str, tuple[bytes, str]] = {
    "cut off": (b'{"trace_id": "t", "span_id"', "not JSON"),
    "an array": (b"[1, 2]", "not an object: the line holds an array"),
    "a number": (b"7", "not an object: the line holds a number"),
    "no ids": (b'{"hello": "world"}', "not a span"),
    "NULs": (b"\0" * 50, "not JSON"),
    "UTF-16": ('{"a": 1}'.encode("utf-16"), "UTF-8"),
    "half an id": (b'{"trace_id": "t", "timestamp": "2026-01-01", "agent_name": "a"}', "not a span"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_line_that_is_no_span_is_one_problem_and_loses_nothing_else(tmp_path: Path, name: str) -> None:
    bad, reason = BAD[name]
    traces = between(tmp_path, bad)
    assert neighbours(traces) == {"before", "after"}
    problems = traces.problems_df()
    assert len(problems) >= 1 and problems["line"].iloc[0] == 2 and problems["offset"].iloc[0] == len(GOOD[0]) + 1
    assert any(reason in text for text in problems["reason"])
    assert "could not be read" in traces.reader.problems.sentence() and "problems_df()" in repr(traces)


FIELDS: dict[str, tuple[dict[str, Any], str]] = {
    "timestamp": ({"timestamp": "yesterday"}, "expected a time, found 'yesterday'"),
    "timestamp of a wrong type": ({"timestamp": [1]}, "expected text, found an array"),
    "duration_ms": ({"duration_ms": -3}, "expected milliseconds of 0 or more"),
    "duration_ms as text": ({"duration_ms": "long"}, "expected a number, found text"),
    "tokens.input": ({"tokens": {"input": -5, "output": 1}}, "expected a count"),
    "tokens.input too large": ({"tokens": {"input": 2**63, "output": 1}}, "expected a"),
    "tokens": ({"tokens": [1]}, "expected an object, found an array"),
    "cost_usd": ({"cost_usd": -1.0}, "expected a cost of 0 or more"),
    "parent_id": ({"parent_id": 7}, "expected text, found a number"),
    "model": ({"model": {"name": "x"}}, "expected text, found an object"),
}


@pytest.mark.parametrize("name", FIELDS)
def test_a_wrong_field_is_unknown_and_the_span_is_shown(tmp_path: Path, name: str) -> None:
    fields, reason = FIELDS[name]
    traces = between(tmp_path, json.dumps(line("odd", **fields)).encode())
    assert neighbours(traces) == {"before", "after"} and traces.span("odd").agent == "orchestrator"
    (problem,) = traces.reader.problems.rows()
    assert (
        reason in problem.reason and problem.line == 2 and problem.field is not None and name.startswith(problem.field)
    )


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e400", "9" * 5000])
def test_numbers_that_are_none_make_a_problem_and_the_span_stays(tmp_path: Path, number: str) -> None:
    text = json.dumps(line("odd", cost_usd="@")).replace('"@"', number).encode()
    traces = between(tmp_path, text)
    assert neighbours(traces) == {"before", "after"}
    assert np.isnan(traces.span("odd").recorded_cost_usd) and len(traces.problems_df()) >= 1


def test_lone_surrogates_and_broken_utf8_are_marked_and_nothing_breaks(tmp_path: Path) -> None:
    odd = json.dumps(line("odd", "agent-\ud800")).encode()
    latin = json.dumps(line("latin", "ag\u00e9nt"), ensure_ascii=False).encode("latin-1")
    traces = between(tmp_path, odd + b"\n" + latin)
    assert traces.span("odd").agent == "agent-\ufffd" and traces.span("latin").agent == "ag\ufffdnt"
    assert {p.line for p in traces.reader.problems.rows()} == {2, 3}
    traces.spans_df().to_json(tmp_path / "out.json")


def test_depth_is_cut_and_the_span_stays(tmp_path: Path) -> None:
    for depth in (2_000, 100_000):
        deep = "[" * depth + "]" * depth
        traces = between(tmp_path, json.dumps(line(f"odd{depth}", result="@")).replace('"@"', deep).encode())
        assert neighbours(traces) == {"before", "after"}
        value, steps = traces.span(f"odd{depth}").record["result"], 0
        while isinstance(value, list) and value:
            value, steps = value[0], steps + 1
        assert 190 <= steps <= 200 and value == "\u2026"


def test_line_ends_inside_strings_do_not_cut_a_line(tmp_path: Path) -> None:
    text = "a\u2028b\u2029c\u0085d\x0be\x0cf\rg"
    traces = between(tmp_path, json.dumps(line("odd", response=text), ensure_ascii=False).encode() + b"\r")
    assert traces.span("odd").record["response"] == text and len(traces.problems_df()) == 0


def test_a_byte_order_mark_at_the_start_is_dropped(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_bytes(b"\xef\xbb\xbf" + GOOD[0] + b"\n" + b"\xef\xbb\xbf" + GOOD[1] + b"\n")
    traces = anb.read_traces(tmp_path)
    assert neighbours(traces) == {"before", "after"} and traces.span("before").record["span_id"] == "before"
    (problem,) = traces.reader.problems.rows()
    assert problem.line == 2 and "byte order mark" in problem.reason


def test_names_that_mean_something_elsewhere_are_names(tmp_path: Path) -> None:
    names = ["__proto__", "constructor", "toString", "hasOwnProperty", "<script>", "../../etc/passwd", "' OR 1=1 --"]
    (tmp_path / "t.jsonl").write_text(lines_of(*(line(name, name) for name in names)))
    frame = anb.read_traces(tmp_path).spans_df()
    assert sorted(frame[frame["kind"] == "llm"]["agent"]) == sorted(names)


def test_a_line_over_the_limit_is_skipped_with_its_size(tmp_path: Path) -> None:
    traces = between(tmp_path, b'{"x": "' + b"y" * (100 << 20) + b'"}')
    (problem,) = traces.reader.problems.rows()
    assert (
        neighbours(traces) == {"before", "after"}
        and problem.line == 2
        and "104857609 bytes is over the limit" in problem.reason
    )
    assert traces.span("after").record["span_id"] == "after"
    assert anb.read_traces(tmp_path).spans_df()["line"].max() == 3


def test_no_more_problem_rows_than_can_be_looked_at_but_all_are_counted(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_bytes(b"nonsense\n" * 25_000 + GOOD[0] + b"\n")
    traces = anb.read_traces(tmp_path)
    assert traces.reader.problems.count == 25_000 and len(traces.problems_df()) == 101
    assert "25,000 lines" in traces.reader.problems.sentence() and traces.span("before").status == "ok"


def test_paths_that_hold_no_trace_say_what_is_possible(tmp_path: Path) -> None:
    with pytest.raises(PathNotFound, match=r"nowhere does not exist; give a repository"):
        anb.read_traces(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError):
        anb.read_traces(tmp_path / "nowhere" / "deep" / "down", follow=True)
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotATrace, match=r"neither .modular-agents/traces nor \*.jsonl"):
        anb.read_traces(tmp_path / "empty")
    with pytest.raises(NotATrace, match="empty list"):
        anb.read_traces([])
    os.mkfifo(tmp_path / "pipe.jsonl")
    with pytest.raises(NotATrace, match="neither a regular file nor a folder"):
        anb.read_traces(tmp_path / "pipe.jsonl")
    (tmp_path / "t.jsonl").write_bytes(GOOD[0] + b"\n")
    (tmp_path / "dir.jsonl").mkdir()
    assert len(anb.read_traces(tmp_path)) == 1


def test_frames_have_all_columns_and_dtypes_also_when_empty(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").touch()
    empty = anb.read_traces(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "t.jsonl").write_text(
        lines_of(
            line("a", messages=[{"role": "user", "content": "hi"}]), line("b", tool_name="x", span_type="tool_call")
        )
        + "x\n"
    )
    full = anb.read_traces(tmp_path / "full")
    assert list(full.spans_df().columns) == [column.name for column in SPANS]
    assert list(full.runs_df().columns) == list(RUNS) and list(full.problems_df().columns) == list(PROBLEMS)
    for name in ("spans_df", "runs_df", "messages_df", "tool_calls_df", "problems_df"):
        few, none = getattr(full, name)(), getattr(empty, name)()
        assert len(none) == 0 and len(few) > 0
        assert {c: str(t) for c, t in none.dtypes.items()} == {c: str(t) for c, t in few.dtypes.items()}, name


def test_a_frame_does_not_change_when_more_is_read_or_it_is_written_to(tmp_path: Path) -> None:
    file = tmp_path / "t.jsonl"
    file.write_text(lines_of(line("a", duration_ms=None, anton_notebook={"version": 1, "status": "running"})))
    traces = anb.read_traces(tmp_path)
    first = traces.spans_df()
    kept = first.copy(deep=True)
    with file.open("a") as out:
        out.write(lines_of(line("a"), line("b", timestamp="2026-01-01T00:00:09Z")))
    traces.refresh()
    second = traces.spans_df()
    pd.testing.assert_frame_equal(first, kept)
    second.loc[:, "duration_ms"] = -1.0
    second.loc[0, "status"] = "error"
    assert (traces.spans_df()["duration_ms"] >= 0).all() and (traces.spans_df()["status"] == "ok").all()
    pd.testing.assert_frame_equal(first, kept)


@given(st.data())
def test_a_frame_grown_step_by_step_equals_one_made_at_once(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("f")
    file = folder / "t.jsonl"
    file.touch()
    traces = anb.read_traces(folder)
    assert len(traces.spans_df()) == 0
    for i in range(data.draw(st.integers(1, 10))):
        second = data.draw(st.integers(0, 20))
        parent = data.draw(st.sampled_from((None, *(f"s{j}" for j in range(i)), "s9")))
        with file.open("a") as out:
            out.write(
                lines_of(
                    line(f"s{i}", data.draw(st.sampled_from("ab")), parent, timestamp=f"2026-01-01T00:00:{second:02d}Z")
                )
            )
        traces.refresh()
        if data.draw(st.booleans()):
            traces.spans_df()
    grown, whole = traces.spans_df(), anb.read_traces(folder).spans_df()
    for column in grown.select_dtypes("category").columns:
        grown[column], whole[column] = grown[column].astype(object), whole[column].astype(object)
    pd.testing.assert_frame_equal(grown, whole)


@given(
    st.lists(
        st.datetimes(min_value=pd.Timestamp("1971-01-01"), max_value=pd.Timestamp("2200-01-01")), min_size=1, max_size=5
    ),
    st.sampled_from(("", "Z", "+00:00")),
)
def test_times_in_bulk_equal_times_one_by_one(moments: list[Any], suffix: str) -> None:
    texts = [m.isoformat(timespec="microseconds") + suffix for m in moments]
    assert parse_times(texts, None).tolist() == [parse_time(text, None) for text in texts]
    assert parse_times([t[:19] + suffix for t in texts], None).tolist() == [
        parse_time(t[:19] + suffix, None) for t in texts
    ]


def test_a_body_that_is_no_longer_there_says_so(tmp_path: Path) -> None:
    traces = between(tmp_path, b"")
    (tmp_path / "t.jsonl").unlink()
    with pytest.raises(BodyUnavailable, match="removed, cut or replaced|cannot be read"):
        _ = traces.span("before").record
    traces.refresh()
    assert neighbours(traces) == {"before", "after"}


def test_the_json_test_suite_between_two_lines(tmp_path: Path, corpus: Path) -> None:
    files = sorted((corpus / "hostile" / "json-test-suite").rglob("*.json"))
    counts = {"y": [0, 0], "n": [0, 0], "i": [0, 0]}
    for number, path in enumerate(files):
        folder = tmp_path / str(number)
        folder.mkdir()
        data = path.read_bytes()
        traces = between(folder, data)
        assert neighbours(traces) == {"before", "after"}, path.name
        counts[path.name[0]][0] += 1
        assert len(traces.spans_df()) == 3, path.name
        if path.name[0] == "n":
            counts["n"][1] += traces.reader.problems.count > 0
    assert [c[0] for c in counts.values()] == [95, 188, 35]
    assert counts["n"][1] == 186


def test_every_valid_value_of_the_json_test_suite_comes_back(tmp_path: Path, corpus: Path) -> None:
    files = sorted((corpus / "hostile" / "json-test-suite").rglob("y_*.json"))
    assert len(files) == 95
    with (tmp_path / "t.jsonl").open("wb") as out:
        for number, path in enumerate(files):
            value = path.read_bytes().replace(b"\n", b" ").replace(b"\r", b" ")
            out.write(json.dumps(line(f"s{number}", result="@")).encode().replace(b'"@"', value) + b"\n")
    traces = anb.read_traces(tmp_path)
    assert len(traces.store.live_rows()) == 96
    for number, path in enumerate(files):
        wanted = json.loads(path.read_bytes())
        found = traces.span(f"s{number}").record["result"]
        clean = json.loads(json.dumps(wanted).encode().decode("utf-8", "replace"))
        assert repr(found) == repr(clean) or "surrogate" in path.name or "\ufffd" in repr(found), path.name


def test_blocks_of_lines_are_read_as_the_lines_alone(tmp_path: Path) -> None:
    """Lines that the decoder of blocks might split or join wrongly, among many plain ones."""
    rows = [line(f"s{i}", agent=f"module_{i % 3}") for i in range(9000)]
    texts = [json.dumps(row) for row in rows]
    texts[5000] = json.dumps(line("new-word", agent="module_never_seen"))
    odd = {
        1000: texts[1000] + " " + texts[1001],
        1001: texts[1001][:40],
        1002: texts[1001][40:],
        3000: texts[3000].replace(", ", ",\r", 1) + "\r",
        4000: "",
        6000: '{"n": 1}',
        7000: json.dumps({**rows[7000], "span_type": "rerank"}),
        8000: json.dumps({**rows[8000], "trace_id": ""}),
    }
    for at, text in odd.items():
        texts[at] = text
    (tmp_path / "all.jsonl").write_text("\n".join(texts) + "\n", newline="")
    whole = anb.read_traces(tmp_path / "all.jsonl")
    store, file = Store(), tmp_path / "slow.jsonl"
    file.touch()
    slow = Reader([file], store)
    for begin in range(0, 9000, 60):
        for part in (texts[begin : begin + 1], texts[begin + 1 : begin + 60]):
            with file.open("a", newline="") as out:
                out.write("\n".join(part) + "\n")
            slow.scan()
    assert state(whole.store)["spans"].keys() == state(store)["spans"].keys()
    ids = set(whole.spans_df()["span_id"])
    assert {"new-word", "s7000", "s3000"} <= ids and not {"s1000", "s1001", "s1002", "s8000"} & ids
    assert sorted(p.line for p in whole.reader.problems.rows() if p.line) == [1001, 1002, 1003, 6001, 8001]
    assert sorted(p.line for p in slow.problems.rows() if p.line) == [1001, 1002, 1003, 6001, 8001]


def test_what_else_is_written_in_a_repository_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".modular-agents").mkdir()
    reader = Reader([tmp_path], Store(), wait=True)
    reader.scan()
    listed: list[int] = []
    monkeypatch.setattr(reader, "_list", lambda: listed.append(1) or [])
    for name in ("server.log", "src", "notes.txt", ".modular-agents/knowledge.lock"):
        assert not reader.scan({str(tmp_path / name)})
    assert not listed
    monkeypatch.undo()
    traces = tmp_path / ".modular-agents" / "traces"
    traces.mkdir()
    (traces / "a.jsonl").write_text(lines_of(line("first")))
    assert reader.scan({str(traces)}) and reader.store.size
    (traces / "b.jsonl").write_text(lines_of(line("second")))
    assert reader.scan({str(traces / "b.jsonl")})
    assert {"first", "second"} <= set(reader.store.ids)


def test_lines_appended_one_by_one_keep_their_tokens(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"

    def append(span_id: str, **more: Any) -> None:
        with file.open("ab") as out:
            out.write(json.dumps(line(span_id, **more)).encode() + b"\n")

    append("root")
    with anb.read_traces(tmp_path) as traces:
        for number, tokens in enumerate((None, {"input": 7, "output": 8}, {"input": 7, "output": 8, "cached": 5})):
            append(f"s{number}", parent_id="root", tokens=tokens)
            assert traces.reader.scan({str(file)})
        found = traces.spans_df().set_index("span_id").loc[["s0", "s1", "s2"]]
        assert found["input_tokens"].fillna(-1).to_list() == [-1, 7, 7]
        assert found["cached_tokens"].fillna(-1).to_list() == [-1, -1, 5]
