"""OTLP/JSON files: spans in any order, files that are broken, and files that grow while they are read."""

from __future__ import annotations

import itertools
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.context import Context

import anton_notebook as anb
from anton_notebook.errors import BodyUnavailable, NotATrace
from anton_notebook.model.span import Flag
from anton_notebook.sources.otlp import file as otlp
from anton_notebook.sources.otlp import run_grouping
from anton_notebook.sources.reader import Reader
from anton_notebook.sources.trace_folders import Folder
from anton_notebook.store import Store
from tests.support.canonical import state
from tests.support.otlp_by_hand import DATA, line, one_call, read_at_once, tracer_into, wire_span


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "spans.jsonl"


# -- the agent of a span, whatever the order of arrival


AGENTS = st.sampled_from(["Ann", "Bob", "orchestrator"])
PARTS = st.one_of(
    st.builds(lambda name: {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": name}, AGENTS),
    st.builds(
        lambda name: {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m", "gen_ai.agent.name": name}, AGENTS
    ),
    st.just({"gen_ai.operation.name": "chat", "gen_ai.request.model": "m"}),
    st.just({"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "ls"}),
    st.just({"openinference.span.kind": "CHAIN"}),
)


@st.composite
def forests(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Spans of one trace; a parent may come before or after its children and may be missing."""
    parts = draw(st.lists(PARTS, min_size=1, max_size=14))
    return [
        wire_span(i, draw(st.sampled_from([None, *range(max(0, i - 4), i), 90 + i % 2])), part)
        for i, part in enumerate(parts)
    ]


def agent_by_hand(span: Mapping[str, Any], by_id: Mapping[str, Mapping[str, Any]]) -> str:
    def says(span: Mapping[str, Any], key: str) -> str:
        return next((pair["value"]["stringValue"] for pair in span["attributes"] if pair["key"] == key), "")

    own = says(span, "gen_ai.agent.name")
    above = by_id.get(span["parentSpanId"])
    while not own and above is not None:
        if says(above, "gen_ai.operation.name") == "invoke_agent":
            own = says(above, "gen_ai.agent.name")
        above = by_id.get(above["parentSpanId"])
    return own


@given(forests(), st.randoms(use_true_random=False), st.integers(1, 4), st.booleans())
def test_a_span_belongs_to_its_nearest_agent_whatever_came_first(
    tmp_path_factory: pytest.TempPathFactory, spans: list[dict[str, Any]], shuffled: Any, size: int, look: bool
) -> None:
    folder = tmp_path_factory.mktemp("otlp")
    files = [folder / "a.jsonl", folder / "b.jsonl"]
    for path in files:
        path.touch()
    order = spans[:]
    shuffled.shuffle(order)
    store = Store()
    reader = Reader([folder], store)
    for start in range(0, len(order), size):
        with shuffled.choice(files).open("ab") as out:
            out.write(line(order[start : start + size]))
        if look:
            reader.scan()
    reader.scan()
    by_id = {span["spanId"]: span for span in spans}
    seen = [row for row in store.live_rows().tolist() if not store.c.flags[row] & Flag.PENDING]
    found = {store.ids[row]: store.classes[store.c.cls[row]].agent for row in seen}
    assert found == {key: agent_by_hand(span, by_id) for key, span in by_id.items()}
    assert state(store) == read_at_once(folder)
    assert reader.problems.count == 0
    reader.close()


def test_a_span_that_was_exported_twice_is_one(file: Path) -> None:
    spans = [
        wire_span(0, None, {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "A"}),
        wire_span(1, 0, {}),
    ]
    file.write_bytes(line(spans))
    store = Store()
    reader = Reader([file], store)
    reader.scan()
    revision = store.revision
    with file.open("ab") as out:
        out.write(line(spans))
    reader.scan()
    assert (store.revision, len(store.live_rows()), reader.problems.count) == (revision, 2, 0)


def test_a_circle_of_parents_is_said_and_does_no_harm(file: Path) -> None:
    file.write_bytes(line([wire_span(0, 1, {}), wire_span(1, 0, {}), wire_span(2, 1, {})]))
    traces = anb.read_traces(file)
    assert len(traces.spans_df()) == 3
    assert traces.problems_df()["field"].tolist() == ["parent_id"]


# -- what is broken


WHOLE = [line([wire_span(i, None, {}, trace=i + 1)]) for i in range(3)]
TORN = line([wire_span(7, None, {}, trace=9), wire_span(8, None, {}, trace=9)])
BROKEN = {
    "garbage": b"\x00\x01 garbage\n",
    "another kind of JSON": b'{"hello": 1}\n',
    "a list": b"[1, 2]\n",
    "a line cut in a value": TORN[:250] + b"\n",
    "half a key": b'{"resourceSp\n',
    "not a list": b'{"resourceSpans": 5}\n',
    "invalid UTF-8 around": b'\xff\xfe{"resourceSpans": []}\n',
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("at", [0, 1, 3], ids=["first", "second", "last"])
def test_a_broken_line_is_a_problem_and_loses_no_other(tmp_path: Path, broken: bytes, at: int) -> None:
    path = tmp_path / "spans.jsonl"
    path.write_bytes(b"".join([*WHOLE[:at], broken, *WHOLE[at:]]))
    traces = anb.read_traces(path)
    assert {f"{i + 1:032x}" for i in range(3)} <= set(traces.runs_df()["trace_id"])
    problems = traces.problems_df()
    assert problems["line"].tolist() == [at + 1]
    assert problems["offset"].iloc[0] == path.read_bytes().index(broken)


def test_whole_spans_of_a_torn_line_are_read_all_the_same(file: Path) -> None:
    spans = [wire_span(i, None, {"openinference.span.kind": "CHAIN"}, trace=50) for i in range(4)]
    request = {"resourceSpans": [{"resource": {"attributes": [{"key": "r", "value": {"intValue": 1}}]},
                                  "scopeSpans": [{"scope": {"name": "sc"}, "spans": spans}]}]}  # fmt: skip
    whole = json.dumps(request).encode()
    torn = whole[: whole.index(b'"span 3"')]
    file.write_bytes(WHOLE[2] + torn + WHOLE[1] + WHOLE[0])
    traces = anb.read_traces(file)
    frame = traces.spans_df()
    assert sorted(frame["kind"]) == ["chain"] * 3 + ["span"] * 3
    assert "3 whole spans of it were read" in traces.problems_df()["reason"].iloc[0]
    read = traces.span(spans[2]["spanId"], spans[2]["traceId"])
    assert (read.attributes["resource"]["attributes"], read.attributes["scope"]["name"]) == ({"r": 1}, "sc")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"startTimeUnixNano": "soon"}, "startTimeUnixNano"),
        ({"startTimeUnixNano": {"low": 1}}, "startTimeUnixNano"),
        ({"endTimeUnixNano": "1"}, "endTimeUnixNano"),
        ({"attributes": {"no": "list"}}, "attributes"),
        ({"attributes": [5, {"key": "openinference.span.kind", "value": {"stringValue": "CHAIN"}}]}, "attributes"),
        ({"name": 5}, "name"),
        ({"kind": []}, "kind"),
        ({"status": "bad"}, "status"),
        ({"parentSpanId": 7}, "parentSpanId"),
        ({"attributes": [{"key": "gen_ai.request.model", "value": {"stringValue": "m"}},
                         {"key": "gen_ai.usage.input_tokens", "value": {"stringValue": "many"}}]}, "gen_ai.usage.input_tokens"),
        ({"attributes": [{"key": "gen_ai.request.model", "value": {"stringValue": "m"}},
                         {"key": "llm.cost.total", "value": {"doubleValue": "NaN"}}]}, "llm.cost.total"),
    ],
)  # fmt: skip
def test_a_wrong_field_is_named_and_the_span_is_there(file: Path, change: dict[str, Any], field: str) -> None:
    bad = {**wire_span(5, None, {}), **change}
    file.write_bytes(line([wire_span(4, None, {}), bad, wire_span(6, None, {})]))
    traces = anb.read_traces(file)
    assert len(traces.spans_df()) == 3
    assert traces.problems_df()["field"].tolist()[:1] == [field]
    for span_id in traces.spans_df()["span_id"]:
        assert traces.span(span_id).attributes["spanId"] == span_id


@pytest.mark.parametrize("missing", ["traceId", "spanId"])
def test_a_span_without_ids_is_a_problem(file: Path, missing: str) -> None:
    file.write_bytes(line([{**wire_span(0, None, {}), missing: "0" * 16}, wire_span(1, None, {})]))
    traces = anb.read_traces(file)
    assert len(traces.spans_df()) == 1
    assert traces.problems_df()["field"].tolist() == [missing]


def test_a_huge_line_is_skipped_and_said(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(otlp, "LIMIT", 4096)
    huge = line([wire_span(9, None, {"big": "x" * 10_000}, trace=99)])
    file.write_bytes(WHOLE[0] + huge + WHOLE[1])
    traces = anb.read_traces(file)
    assert len(traces) == 2
    assert "over the limit of 4096" in traces.problems_df()["reason"].iloc[0]


def test_deep_nesting_in_an_attribute_stays_readable(file: Path) -> None:
    deep: dict[str, Any] = {"stringValue": "core"}
    for _ in range(60):
        deep = {"arrayValue": {"values": [deep]}}
    span = wire_span(0, None, {})
    span["attributes"] = [{"key": "deep", "value": deep}]
    file.write_bytes(line([span, wire_span(1, None, {})]))
    traces = anb.read_traces(file)
    assert len(traces.spans_df()) == 2
    assert "deep" in traces.span(span["spanId"]).attributes


def test_cut_off_messages_are_shown_as_text_and_said(file: Path) -> None:
    span = one_call(file, {"gen_ai.request.model": "m", "gen_ai.input.messages": '[{"role": "user", "par'})
    assert span.request.messages == [{"role": "user", "content": '[{"role": "user", "par'}]
    assert "gen_ai.input.messages" in span.record["_faults"][0]


@given(st.data())
def test_any_damage_to_a_file_is_survived(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    path = tmp_path_factory.mktemp("otlp") / "spans.jsonl"
    whole = bytearray((DATA / "otlp_collector.jsonl").read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(20, len(whole) - 1))
        cut = data.draw(st.integers(0, 300))
        whole[at : at + cut] = data.draw(st.binary(max_size=6))
    path.write_bytes(bytes(whole))
    traces = anb.read_traces(path)
    for span_id, trace_id in traces.spans_df()[["span_id", "trace_id"]].itertuples(index=False):
        span = traces.span(span_id, trace_id)
        assert isinstance(span.attributes, dict)
    traces.problems_df()


TEXTS = st.text(max_size=8) | st.sampled_from(["0", "[]", "{}", '["x"]', "[1]"])
KEYS = st.sampled_from(["key", "value", "values", "role", "x"])
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)


def nodes(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every place in a JSON value, as (what holds it, key or index)."""
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield value, key
        yield from nodes(value[key])


@given(st.data())
def test_any_value_in_any_place_is_survived(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    path = tmp_path_factory.mktemp("otlp") / "spans.jsonl"
    lines = [json.loads(text) for text in (DATA / "otlp_collector.jsonl").read_text().splitlines()]
    lines.append(json.loads((DATA / "otlp_document.json").read_text()))
    for _ in range(data.draw(st.integers(1, 5))):
        places = list(nodes(lines))
        holder, key = places[data.draw(st.integers(0, len(places) - 1))]
        holder[key] = data.draw(JSON_VALUES)
    path.write_text(json.dumps({"resourceSpans": []}) + "\n" + "".join(json.dumps(value) + "\n" for value in lines))
    traces = anb.read_traces(path)
    for span_id, trace_id in traces.spans_df()[["span_id", "trace_id"]].itertuples(index=False):
        span = traces.span(span_id, trace_id)
        assert isinstance(span.attributes, dict)
        if span.kind == "llm":
            assert isinstance(span.response.text, str)
    traces.problems_df()


# -- live


def until(true: Callable[[], bool], seconds: float = 20.0) -> bool:
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def test_a_graph_grows_while_the_sdk_writes(file: Path) -> None:
    tracer = tracer_into(file)
    with tracer.start_as_current_span("before"):
        pass
    with anb.read_traces(file, follow=True) as traces:
        assert until(lambda: len(traces.spans_df()) == 1)
        agent = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "A"}
        with tracer.start_as_current_span("invoke_agent A", context=Context(), attributes=agent):
            for number in range(20):
                with tracer.start_as_current_span("chat", attributes={"gen_ai.request.model": f"m{number}"}):
                    pass
            assert until(lambda: len(traces.spans_df()) == 21)
            early = traces.spans_df()
            assert early.loc[early["kind"] == "llm", "agent"].isna().all()
        assert until(lambda: len(traces.spans_df()) == 22)
        frame = traces.spans_df()
        assert set(frame.loc[frame["kind"] == "llm", "agent"]) == {"A"}
        assert len(traces.problems_df()) == 0


def pieces(data: bytes, count: int) -> Iterator[bytes]:
    bounds = [len(data) * i // count for i in range(count + 1)]
    return (data[a:b] for a, b in itertools.pairwise(bounds))


@pytest.mark.parametrize("name", ["otlp_collector.jsonl", "otlp_document.json"])
@pytest.mark.parametrize("count", [2, 7, 60])
def test_a_file_that_comes_in_pieces_is_read_as_if_it_had_come_at_once(tmp_path: Path, name: str, count: int) -> None:
    path = tmp_path / name
    path.touch()
    store = Store()
    reader = Reader([path], store)
    for piece in pieces((DATA / name).read_bytes(), count):
        with path.open("ab") as out:
            out.write(piece)
        reader.scan()
    assert state(store) == read_at_once(DATA / name)
    assert reader.problems.count == 0
    reader.close()


def test_a_document_that_was_broken_off_gives_what_it_holds_and_the_rest_when_it_comes(tmp_path: Path) -> None:
    path = tmp_path / "export.json"
    whole = (DATA / "otlp_document.json").read_bytes()
    half = whole.index(b'"00000000000000b3"')
    path.write_bytes(whole[:half])
    os.utime(path, (time.time() - 60, time.time() - 60))
    store = Store()
    reader = Reader([path], store)
    reader.scan()
    assert sorted(store.ids[row] for row in store.live_rows()) == ["00000000000000b1", "00000000000000b2"]
    assert reader.problems.count == 1
    reader.scan()
    assert reader.problems.count == 1
    with path.open("ab") as out:
        out.write(whole[half:])
    reader.scan()
    assert state(store) == read_at_once(DATA / "otlp_document.json")
    reader.close()


@pytest.mark.parametrize("end", [b"", b"\n"])
def test_a_document_that_is_written_anew_in_place_each_time_loses_no_span(tmp_path: Path, end: bytes) -> None:
    path = tmp_path / "export.json"
    path.touch()
    reader = Reader([path], store := Store())
    for count in range(1, 9):
        spans = [wire_span(number, None, {"name": f"span {number}"}) for number in range(count)]
        path.write_bytes(line(spans).rstrip() + end)
        os.utime(path, ns=(count, count))
        reader.scan()
        assert len(store.live_rows()) == count
    reader.close()


def test_a_replaced_file_keeps_its_spans_and_says_that_their_texts_are_gone(file: Path) -> None:
    file.write_bytes(WHOLE[0] + WHOLE[1])
    traces = anb.read_traces(file)
    span = traces[f"{1:032x}"].spans[0]
    assert span.attributes["name"] == "span 0"
    file.write_bytes(WHOLE[2])
    traces.refresh()
    assert len(traces) == 3
    with pytest.raises(BodyUnavailable, match="replaced"):
        _ = span.attributes
    assert traces[f"{3:032x}"].spans[0].attributes["name"] == "span 2"


def test_other_files_beside_are_still_what_they_are(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(WHOLE[0])
    own = {"timestamp": "2026-01-01T00:00:00Z", "agent_name": "orchestrator", "trace_id": "t", "span_id": "s", "parent_id": None,
           "span_type": "llm_call", "model": "gpt-4o", "messages": [{"role": "user", "content": '"resourceSpans"'}]}  # fmt: skip
    tool = {**own, "span_type": "tool_call", "span_id": "s2", "parameters": {"resourceSpans": [], "batches": [1]}}
    (tmp_path / "b.jsonl").write_text(json.dumps(tool) + "\n" + json.dumps(own) + "\n")
    traces = anb.read_traces(tmp_path)
    assert len(traces) == 2
    assert traces.span("s").kind == "llm"
    assert len(traces.problems_df()) == 0


# -- documents in folders, and runs that go on


FOREIGN: dict[str, str] = {
    "package.json": '{"name": "shop", "resourceSpans": 3}',
    "knowledge.json": '{"root_path": "/repo", "modules": []}',
    "batches.json": '{"batches": [1, 2, 3]}',
    "trace_summary.json": '[{"agent_name": "orchestrator", "messages": []}]',
    "broken.json": '{"resource',
    "empty.json": "",
    "list.json": "[1, 2]",
    "text.json": "\0\xff no JSON",
}


@pytest.mark.parametrize("below", [".", ".modular-agents/traces"])
def test_exports_in_a_folder_are_found_by_what_they_hold_and_other_json_is_left_alone(
    tmp_path: Path, below: str
) -> None:
    folder = tmp_path / below
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in FOREIGN.items():
        (folder / name).write_text(text)
    (folder / "export.json").write_bytes((DATA / "otlp_document.json").read_bytes())
    (folder / "lines.jsonl").write_bytes(WHOLE[0])
    traces = anb.read_traces(tmp_path)
    wanted = {trace.trace_id for path in ("export.json", "lines.jsonl") for trace in anb.read_traces(folder / path)}
    assert {trace.trace_id for trace in traces} == wanted and len(traces.problems_df()) == 0
    found = anb.list_sources(traces)
    assert found["source"].tolist() == [str(folder / "export.json"), str(folder / "lines.jsonl")]
    assert found["kind"].tolist() == ["otlp", "otlp"] and (found["spans"] > 0).all()


def test_a_folder_of_nothing_but_foreign_json_holds_no_traces(tmp_path: Path) -> None:
    for name, text in FOREIGN.items():
        (tmp_path / name).write_text(text)
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "folder.json").mkdir()
    (tmp_path / "link.json").symlink_to(DATA / "otlp_document.json")
    with pytest.raises(NotATrace, match="holds no traces"):
        anb.read_traces(tmp_path)
    (tmp_path / "a.jsonl").write_bytes(WHOLE[0])
    traces = anb.read_traces(tmp_path)
    assert len(traces) == 1 and anb.list_sources(traces)["source"].tolist() == [str(tmp_path / "a.jsonl")]
    assert not traces.reader.scan({str(tmp_path / "pipe.json"), str(tmp_path / "package.json")})


def test_foreign_json_is_not_looked_at_again_and_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in FOREIGN.items():
        (tmp_path / name).write_text(text)
    folder, opened = Folder(str(tmp_path)), list[str]()
    plain = Folder._is_document

    def watched(self: Folder, path: str) -> bool:
        opened.append(os.path.basename(path))
        return plain(self, path)

    monkeypatch.setattr(Folder, "_is_document", watched)
    assert folder.files() == [] and sorted(opened) == sorted(FOREIGN)
    opened.clear()
    assert folder.files() == [] and sorted(opened) == ["batches.json", "broken.json", "empty.json"]  # too short to tell
    (tmp_path / "new.json").write_bytes(WHOLE[0])
    (tmp_path / "package.json").write_bytes(WHOLE[1])
    assert folder.files() == [str(tmp_path / "new.json"), str(tmp_path / "package.json")]
    (tmp_path / "list.json").write_bytes(WHOLE[2])  # in its place: the folder itself does not change
    assert folder.takes(str(tmp_path / "list.json")) and str(tmp_path / "list.json") in folder.files()


def test_an_export_that_appears_or_is_finished_later_is_found_then(tmp_path: Path) -> None:
    whole = (DATA / "otlp_document.json").read_bytes()
    (tmp_path / "a.jsonl").write_bytes(WHOLE[0])
    traces = anb.read_traces(tmp_path)
    late = tmp_path / "late.json"
    late.write_bytes(whole[:8])
    traces.refresh()
    assert len(traces) == 1
    with late.open("ab") as out:
        out.write(whole[8:])
    assert traces.refresh()
    assert len(traces) == 2 and len(traces.problems_df()) == 0
    (tmp_path / "hinted.json").write_bytes(WHOLE[1])
    assert traces.reader.scan({str(tmp_path / "hinted.json"), str(tmp_path / "nothing.json")})
    assert len(traces) == 3


def test_a_run_without_its_first_span_runs_until_that_comes_or_nothing_more_does(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracer = tracer_into(file)
    with anb.read_traces(file.parent, follow=True) as traces:
        with tracer.start_as_current_span("the whole", attributes={"gen_ai.operation.name": "invoke_agent"}):
            with tracer.start_as_current_span("a call", attributes={"gen_ai.operation.name": "chat"}):
                pass
            assert traces.live is not None and traces.live.caught_up()
            (run,) = traces
            assert run.status == "running" and run.figures["end"] is None and len(run.spans) >= 1
            monkeypatch.setattr(run_grouping, "QUIET", -1)
            assert traces.live.caught_up()
            assert run.status == "ok" and run.figures["end"] is not None  # whoever wrote it was killed
            monkeypatch.undo()
            with tracer.start_as_current_span("another call", attributes={"gen_ai.operation.name": "chat"}):
                pass
            assert traces.live.caught_up() and run.status == "running"
        assert traces.live.caught_up()
        assert run.status == "ok" and run.name == "the whole"
        with pytest.raises(KeyError), tracer.start_as_current_span("the second"):
            raise KeyError("x")
        assert traces.live.caught_up()
        assert {run.status for run in traces} == {"ok", "error"}


def test_an_old_run_whose_first_span_was_never_written_is_over(file: Path) -> None:
    file.write_bytes(line([wire_span(1, 90, {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m"})]))
    assert [run.status for run in anb.read_traces(file)] == ["ok"]
