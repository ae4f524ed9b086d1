"""Parsing, case by case: P-1 to P-13. A file, a reader, and the ways out of it: frame, page, export."""

from __future__ import annotations

import json
import random
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import anton_notebook as anb
from anton_notebook.experiments.rerun.answer_cache import Answers, Entry, Kept
from anton_notebook.llm import Scripted
from anton_notebook.model.request import Response
from anton_notebook.model.span import Problem
from anton_notebook.sources.anton.line_schema import DEPTH
from anton_notebook.sources.problems import EACH, KEPT, Problems
from anton_notebook.sources.tail import LINE_LIMIT
from anton_notebook.widget.details import details
from tests.conftest import ROOT
from tests.faults.test_tailing import spans
from tests.sources.test_reading import between, neighbours
from tests.support.pages import line


def suite(corpus: Path, kind: str) -> list[Path]:
    return sorted((corpus / "hostile" / "json-test-suite").rglob(f"{kind}_*.json"))


def one_line(path: Path) -> bytes:
    """Where a file must be accepted, its newlines are spaces."""
    return path.read_bytes().replace(b"\r", b" ").replace(b"\n", b" ")


def with_value(span_id: str, value: bytes, **more: Any) -> bytes:
    """A line whose `result` is this JSON text."""
    return line(span_id, result="@", **more).replace(b'"@"', value, 1)


def shown(traces: anb.Traces, span_id: str, part: str = "result") -> str:
    """What the page is sent of a span's text; whatever it is, it crosses as strict JSON."""
    said = details(traces, traces.store.row_of(span_id))
    json.dumps(said, allow_nan=False).encode()
    return next((body["text"] for body in said["bodies"] if body["part"] == part), "")


def test_P_1_every_valid_value_is_shown_in_any_place_of_a_line(tmp_path: Path, corpus: Path) -> None:
    files = suite(corpus, "y")
    places = (b'{"result": %s, ', b'{"a": 1, "result": %s, ', None)
    with (tmp_path / "t.jsonl").open("wb") as out:
        for number, path in enumerate(files):
            for place, start in enumerate(places):
                plain = line(f"s{number}-{place}").rstrip()
                value = one_line(path)
                text = plain[:-1] + b', "result": %s}' % value if start is None else start % value + plain[1:]
                out.write(text + b"\n")
    traces = anb.read_traces(tmp_path)
    assert len(files) == 95 and len(spans(traces)) == 3 * 95 and traces.reader.problems.count == 0
    for number, path in enumerate(files):
        wanted = json.loads(path.read_bytes())
        clean = json.loads(json.dumps(wanted).encode().decode("utf-8", "replace"))
        texts = {shown(traces, f"s{number}-{place}") for place in range(3)}
        assert len(texts) == 1, path.name
        if "surrogate" not in path.name and clean not in (None, "", [], {}):
            (text,) = texts
            assert (text if isinstance(clean, str) else json.loads(text)) == clean, path.name


def test_P_2_a_valid_value_that_is_no_object_is_a_notice_and_an_object_is_looked_at(
    tmp_path: Path, corpus: Path
) -> None:
    counts = {"object": 0, "other": 0}
    for number, path in enumerate(suite(corpus, "y")):
        folder = tmp_path / str(number)
        folder.mkdir()
        traces = between(folder, one_line(path))
        found = [problem.reason for problem in traces.reader.problems.rows()]
        assert neighbours(traces) == {"before", "after"} and len(found) == 1, (path.name, found)
        is_object = isinstance(json.loads(path.read_bytes()), dict)
        assert ("not an object" in found[0]) is not is_object, (path.name, found)
        counts["object" if is_object else "other"] += 1
    assert counts == {"object": 12, "other": 83}


def live(folder: Path, middle: bytes) -> anb.Traces:
    """As `between`, but each line comes while the file is followed."""
    path = folder / "t.jsonl"
    path.touch()
    traces = anb.read_traces(folder)
    for text in (line("before"), middle + b"\n", line("after")):
        with path.open("ab") as out:
            out.write(text)
        traces.refresh()
    return traces


@pytest.mark.parametrize("how", [between, live], ids=["at once", "live"])
def test_P_3_what_is_no_json_is_one_notice_and_both_neighbours_stay(tmp_path: Path, corpus: Path, how: Any) -> None:
    told = blank = 0
    for number, path in enumerate(suite(corpus, "n")):
        folder = tmp_path / str(number)
        folder.mkdir()
        traces = how(folder, path.read_bytes())
        problems = traces.reader.problems.rows()
        assert neighbours(traces) == {"before", "after"} and len(spans(traces)) == 2, path.name
        if problems:
            told += 1
            assert problems[0].line == 2 and problems[0].offset and problems[0].reason
            assert b"\n" in path.read_bytes() or len(problems) == 1, path.name
        else:
            blank += 1
        traces.close()
    assert (told, blank) == (186, 2)


@pytest.mark.parametrize("how", [between, live], ids=["at once", "live"])
def test_P_4_what_parsers_disagree_about_is_taken_or_told_and_always_crosses(
    tmp_path: Path, corpus: Path, how: Any
) -> None:
    files, taken = suite(corpus, "i"), 0
    for number, path in enumerate(files):
        folder = tmp_path / str(number)
        folder.mkdir()
        traces = how(folder, with_value("odd", one_line(path)).rstrip())
        assert neighbours(traces) == {"before", "after"}, path.name
        if "odd" in spans(traces):
            taken += 1
            shown(traces, "odd", "raw").encode()
            traces.spans_df().to_json(date_format="iso")
        else:
            assert traces.reader.problems.count, path.name
        traces.export(folder / "out.jsonl")
        assert spans(anb.read_traces(folder / "out.jsonl")) == spans(traces)
        traces.close()
    print(f"{taken} of {len(files)} were taken")
    assert len(files) == 35 and taken > 20


NUMBERS = {
    "-0.0": "-0.0", "9007199254740993": "9007199254740993", "9223372036854775808": "9223372036854775808",
    "18446744073709551616": "18446744073709551616", "0.1": "0.1", "1e308": "1e+308",
}  # fmt: skip


@pytest.mark.parametrize("number", [*NUMBERS, "NaN", "Infinity", "-Infinity", "1e400", "9" * 4301])
def test_P_5_a_number_is_itself_on_the_page_and_in_the_export_or_a_told_fault(tmp_path: Path, number: str) -> None:
    (tmp_path / "t.jsonl").write_bytes(with_value("s", number.encode()) + line("after"))
    traces = anb.read_traces(tmp_path)
    text, clean = shown(traces, "s"), NUMBERS.get(number)
    traces.export(tmp_path / "out.jsonl")
    again = anb.read_traces(tmp_path / "out.jsonl")
    assert spans(again) == spans(traces) == ["after", "s"]
    if clean is not None:
        assert text == shown(again, "s") == clean
    else:
        said = details(traces, traces.store.row_of("s"))["problems"]
        assert said or number[:40] in text, (text, said)
        assert text != "nan" and shown(again, "s") == text
        json.loads((tmp_path / "out.jsonl").read_bytes().splitlines()[0], parse_constant=lambda name: pytest.fail(name))


@given(st.lists(st.text(st.characters(exclude_categories=()), max_size=20), min_size=1, max_size=5))
def test_P_6_any_text_with_lone_surrogates_crosses_and_what_comes_later_too(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("p")
    rows = [
        line(f"s{i}{text}", agent_name=text, model=text, response=text, result={text: text}, error=text or None)
        for i, text in enumerate(texts)
    ]
    (folder / "t.jsonl").write_bytes(b"".join(rows) + line("after"))
    traces = anb.read_traces(folder)
    assert "after" in spans(traces) and len(spans(traces)) == len(texts) + 1
    for row in traces.store.live_rows().tolist():
        said = json.dumps(details(traces, row), allow_nan=False, ensure_ascii=False)
        said.encode()
    traces.spans_df().to_json(date_format="iso")
    for i, text in enumerate(texts):
        marked = "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in text)
        found = [s for s in spans(traces) if s.startswith(f"s{i}")]
        assert found == [f"s{i}{marked}"], (text, found)


ODD_BYTES = {
    "latin-1": (line("odd", agent_name="ag@nt").replace(b"@", b"\xe9"), "ag\ufffdnt"),
    "overlong": (line("odd", agent_name="a@t").replace(b"@", b"\xc0\xaf"), "a\ufffd\ufffdt"),
    "cut": (line("odd", agent_name="a@t").replace(b"@", b"\xf0\x9f\xa7"), "a\ufffdt"),
    "bom": (b"\xef\xbb\xbf" + line("odd", agent_name="agent"), "agent"),
}


@pytest.mark.parametrize("name", ODD_BYTES)
def test_P_7_what_is_no_utf_8_is_marked_and_told(tmp_path: Path, name: str) -> None:
    text, agent = ODD_BYTES[name]
    traces = between(tmp_path, text.rstrip())
    assert traces.span("odd").agent == agent and neighbours(traces) == {"before", "after"}
    assert traces.reader.problems.count == 1
    shown(traces, "odd", "response")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_P_7_a_file_in_another_encoding_says_which_is_expected(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "wide.jsonl").write_bytes((line("a") + line("b")).decode().encode(encoding))
    (tmp_path / "t.jsonl").write_bytes(line("good"))
    traces = anb.read_traces(tmp_path)
    assert spans(traces) == ["good"]
    assert any("UTF-8" in problem.reason for problem in traces.reader.problems.rows())


@given(st.text(st.sampled_from("a\u2028\u2029\u0085\v\f\x1c\x1d\x1e\r é🧪"), max_size=30), st.booleans())
def test_P_8_only_a_newline_ends_a_line(tmp_path_factory: pytest.TempPathFactory, text: str, windows: bool) -> None:
    folder = tmp_path_factory.mktemp("p")
    rows = [json.dumps({**json.loads(line(f"s{i}")), "response": text}, ensure_ascii=False) for i in range(3)]
    (folder / "t.jsonl").write_bytes(("\r\n" if windows else "\n").join([*rows, ""]).encode())
    traces = anb.read_traces(folder)
    assert spans(traces) == ["s0", "s1", "s2"] and traces.reader.problems.count == 0
    assert all(traces.span(f"s{i}").record["response"] == text for i in range(3))


NAMES = ["__proto__", "constructor", "toString", "hasOwnProperty", "", "a.b", "0"]


def test_P_9_names_that_mean_something_to_a_language_are_names(tmp_path: Path) -> None:
    # What the page does with them is in js/src (a map has no prototype) and in tests/faults/test_security.py.
    rows = [line(f"{name}!", agent_name=name, result={name: {name: 1}}, parent_id=name or None) for name in NAMES]
    twice = line("twice").replace(b'"response": "Done."', b'"response": "first", "response": "last"')
    (tmp_path / "t.jsonl").write_bytes(b"".join(rows) + twice)
    traces = anb.read_traces(tmp_path)
    assert spans(traces) == sorted([*(f"{name}!" for name in NAMES), "twice"])
    for name in NAMES:
        assert json.loads(shown(traces, f"{name}!")) == {name: {name: 1}}
        assert (traces.span(f"{name}!").agent or "") == name
    assert traces.span("twice").record["response"] == "last"


@pytest.mark.parametrize(
    "value",
    [
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 2000 + b"1" + b"}" * 2000,
        b"{" + b",".join(b'"k%d":1' % i for i in range(1_000_000)) + b"}",
        b"[" + b"1," * 999_999 + b"1]",
    ],
    ids=["100,000 deep", "2,000 deep", "a million keys", "a million elements"],
)
def test_P_10_depth_is_cut_with_a_mark_and_width_costs_little(tmp_path: Path, value: bytes) -> None:
    began = time.process_time()
    traces = between(tmp_path, with_value("big", value).rstrip())
    assert time.process_time() - began < 5.0, "a second where nothing else runs"
    assert neighbours(traces) == {"before", "after"} and "big" in spans(traces)
    depth, found = 0, traces.span("big").record["result"]
    while isinstance(found, list | dict) and found:
        depth, found = depth + 1, found[0] if isinstance(found, list) else next(iter(found.values()))
    assert depth <= DEPTH and (found == "\u2026") is (len(value) < 500_000)
    if len(value) < 500_000:
        assert len(shown(traces, "big")) <= 65_536


LONG = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[2]),) * 2)
import anton_notebook as anb
traces = anb.read_traces(sys.argv[1])
print(sorted(traces.spans_df()["span_id"]), [p.reason for p in traces.reader.problems.rows()])
"""


@pytest.mark.parametrize("size", [LINE_LIMIT + 1, 100 << 20, pytest.param(1 << 30, marks=pytest.mark.nightly)])
def test_P_11_a_line_over_the_limit_costs_little_memory_and_is_told_with_its_size(tmp_path: Path, size: int) -> None:
    assert LINE_LIMIT == 16 << 20
    with (tmp_path / "t.jsonl").open("wb") as out:
        out.write(line("before"))
        for _ in range(size // (1 << 20)):
            out.write(b"x" * (1 << 20))
        out.write(b"x" * (size % (1 << 20)) + b"\n" + line("after"))
    done = subprocess.run(
        [sys.executable, "-c", LONG, str(tmp_path), str(3 << 29)], capture_output=True, text=True, timeout=120,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "OPENBLAS_NUM_THREADS": "1", "HOME": str(tmp_path)},
    )  # fmt: skip
    assert "'after'" in done.stdout and "'before'" in done.stdout, done.stderr[-2000:]
    assert f"{size} bytes is over the limit" in done.stdout
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < 1 << 20


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
FIELDS = tuple(json.loads(line("x")))


@given(st.lists(st.tuples(st.sampled_from(FIELDS), JSON_VALUES), min_size=1, max_size=4))
def test_P_12_any_value_in_any_field_loses_neither_the_span_nor_its_neighbours(
    tmp_path_factory: pytest.TempPathFactory, wrong: list[tuple[str, Any]]
) -> None:
    folder = tmp_path_factory.mktemp("p")
    record = {**json.loads(line("odd")), "extra": {"kept": 1}}
    record.update({name: value for name, value in wrong if name not in ("span_id", "trace_id")})
    traces = between(folder, json.dumps(record).encode())
    assert neighbours(traces) == {"before", "after"} and "odd" in set(traces.spans_df()["span_id"])
    frame = traces.spans_df()
    assert not (frame["duration_ms"] < 0).any() and not (frame["depth"] < 0).any()
    assert json.loads(shown(traces, "odd", "raw"))["extra"] == {"kept": 1}
    traces.export(folder / "out.jsonl")
    assert json.loads(shown(anb.read_traces(folder / "out.jsonl"), "odd", "raw"))["extra"] == {"kept": 1}


def test_P_13_bad_lines_without_end_are_counted_and_kept_only_so_far(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    count = 1_000_000 if request.config.getoption("--nightly") else 100_000
    with (tmp_path / "t.jsonl").open("wb") as out:
        for _ in range(count // 1000):
            out.write(b"{bad\n" * 1000)
        out.write(line("after"))
    traces = anb.read_traces(tmp_path)
    assert spans(traces) == ["after"] and traces.reader.problems.count == count
    frame = traces.problems_df()
    assert (
        len(frame) == EACH + 1 and frame["reason"].iloc[-1] == f"{count - EACH:,} more problems are counted, not listed"
    )
    said = traces.reader.problems.sentence()
    assert f"{count:,} lines" in said and f"first {EACH} of each file" in said
    assert anb.list_sources(tmp_path)["problems"].tolist() == [count]


def test_P_13_the_faults_of_one_file_hide_none_of_anothers(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / f"{name}.jsonl").write_bytes(b"{bad\n" * (2 * EACH) + line(name))
    traces = anb.read_traces(tmp_path)
    listed = traces.problems_df()
    assert listed.groupby("source", observed=True).size().tolist() == [EACH + 1, EACH + 1]
    many = Problems()
    for i in range(2 * KEPT):
        many.add(Problem(f"{i % (KEPT // 50)}", 1, 0, "odd", None, None))
    assert many.count == sum(many.sources.values()) == 2 * KEPT and len(many.rows()) <= KEPT + KEPT // 50


def test_every_naughty_string_is_the_same_from_the_file_to_every_way_out(tmp_path: Path, corpus: Path) -> None:
    every = json.loads((corpus / "hostile" / "naughty-strings.json").read_text())
    texts = list(dict.fromkeys(every))
    random.Random(1).shuffle(texts)
    rows = [
        line(f"s{i}", agent_name=text, response=text, messages=[{"role": "user", "content": text}], result={"x": text})
        for i, text in enumerate(texts)
    ]
    (tmp_path / "t.jsonl").write_bytes(b"".join(rows))
    traces = anb.read_traces(tmp_path)
    traces.export(tmp_path / "out.jsonl", redact=False)
    again = anb.read_traces(tmp_path / "out.jsonl")
    for read in (traces, again):
        for i, text in enumerate(texts):
            span = read.span(f"s{i}")
            assert (span.agent or "", span.record["response"], span.record["result"]) == (text, text, {"x": text})
            assert shown(read, f"s{i}", "response") == shown(read, f"s{i}", "messages/0") == text
            assert json.loads(shown(read, f"s{i}", "result")) == {"x": text}
    tried = anb.rerun(traces.span("s0"), prompt=texts, provider=Scripted(lambda one: one.prompt), progress=False)
    assert tried["response"].tolist() == tried["prompt"].tolist() == texts
    answers = Answers(tmp_path)
    answers.keep([Entry(f"{i}", 1, text, text, Kept(Response(text), 1.0)) for i, text in enumerate(texts)])
    kept = answers.find([(f"{i}", 1) for i in range(len(texts))])
    assert [kept[f"{i}", 1].response.text for i in range(len(texts))] == texts
    first = traces.span("s0")
    made = anb.checkpoint(first, prompts={f"s{i}": text for i, text in enumerate(texts) if text}, note=texts[1])
    found = type(made).load(str(made.checkpoint_id), traces)
    assert found.modified_prompts == {f"s{i}": text for i, text in enumerate(texts) if text}
    assert found.note == texts[1] and found.module_states == made.module_states
    print(f"{len(texts)} of {len(texts)} strings: file, reader, details, export, answers.db, checkpoints.db")
    assert len(texts) == 511
