"""What is exported gives the same spans when it is read, from whatever source it came."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import anton_notebook as anb
from anton_notebook.errors import BodyUnavailable, PathNotFound, TraceNotFound
from tests.support.canonical import state
from tests.support.proxies import Proxy, called, system, user

DATA = Path(__file__).parents[1] / "data"


def told(traces: anb.Traces) -> dict[str, Any]:
    """Everything that a round trip has to keep: spans and runs by id, and all texts."""
    found = state(traces.store)
    messages, calls = traces.messages_df().to_dict("records"), traces.tool_calls_df().to_dict("records")
    found["messages"] = {(row["trace_id"], row["span_id"], row["position"]): row for row in messages}
    found["tools"] = {(row["trace_id"], row["span_id"]): row for row in calls}
    found["texts"] = {}
    for trace in traces:
        for span in trace.spans:
            record = span.record
            keys = ("response", "system_prompt", "parameters", "result", "tools")
            found["texts"][span.trace_id, span.span_id] = {
                key: record[key] for key in keys if record.get(key) is not None
            }
    return found


def assert_attributes_kept(traces: anb.Traces, back: anb.Traces) -> None:
    """A copy has every attribute of the original; it may say more. An empty word is as good as none."""
    for trace in traces:
        for span in trace.spans:
            attributes, found = span.attributes, back.span(span.span_id, span.trace_id).attributes
            for key, value in attributes.items():
                assert found.get(key) == value or (value == "" and found.get(key) is None), (span.span_id, key)


def assert_round_trip(traces: anb.Traces, path: Path, beside: tuple[str, ...] = ()) -> anb.Traces:
    """`beside` names what a run has from other files than those of its spans."""
    assert traces.export(path) == path
    back = anb.read_traces(path)
    before, after = told(traces), told(back)
    for run in [*before["runs"].values(), *after["runs"].values()]:
        for key in beside:
            del run[key]
    for part in before:
        assert normal(after[part]) == normal(before[part]), part
    return back


def normal(found: dict[Any, Any]) -> list[tuple[str, str]]:
    """The same in an order of its own, and so that what is not a number equals itself."""
    return sorted((repr(key), repr(value)) for key, value in found.items())


# -- every source


AGENTS = st.sampled_from(["orchestrator", "module_api", "module_ui", "scout"])
MODELS = st.sampled_from(["gpt-4o", "claude-sonnet-4-20250514", "llama3.2:latest", "no-such-model", ""])
TEXT = st.text(max_size=20)
IDS = st.sampled_from(["s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7"])
TRACES = st.sampled_from(["t1", "t2"])
SECONDS = st.integers(0, 59)
MESSAGES = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant", "system"]), "content": TEXT}), max_size=4
)
COUNTS = st.none() | st.integers(0, 5000)


def moment(second: int, zone: str = "Z") -> str:
    return f"2026-03-01T10:00:{second:02d}.{second * 16_001 % 1_000_000:06d}{zone}"


@st.composite
def lines_with_ids(draw: st.DrawFn) -> dict[str, Any]:
    kind = draw(st.sampled_from(["llm_call", "tool_call"]))
    common: dict[str, Any] = {
        "timestamp": moment(draw(SECONDS)), "agent_name": draw(AGENTS), "trace_id": draw(TRACES), "span_id": draw(IDS),
        "parent_id": draw(st.none() | IDS | TRACES | st.just("missing")), "span_type": kind,
        "duration_ms": draw(st.none() | st.integers(0, 9_000_000).map(lambda us: us / 1000)),
    }  # fmt: skip
    common |= draw(
        st.fixed_dictionaries(
            {}, optional={"error": TEXT, "metadata": st.just({"attempt": 2}), "success": st.booleans()}
        )
    )
    if kind == "tool_call":
        return common | {"tool_name": draw(st.sampled_from(["read", "write"])), "parameters": draw(st.none() | st.just({"path": "x"})),
                         "result": draw(st.none() | TEXT)}  # fmt: skip
    common |= {"provider": draw(st.sampled_from(["openai", "claude", "ollama"])), "model": draw(MODELS),
               "messages": draw(MESSAGES), "response": draw(TEXT)}  # fmt: skip
    common |= draw(st.fixed_dictionaries({}, optional={
        "tokens": st.fixed_dictionaries({"input": COUNTS, "output": COUNTS, "cached": COUNTS}), "temperature": st.just(0.5),
        "cost_usd": st.floats(0, 9), "finish_reason": st.just("stop"), "system_prompt": TEXT, "tools": st.just([{"name": "f"}]),
    }))  # fmt: skip
    return common


@st.composite
def legacy_lines(draw: st.DrawFn) -> dict[str, Any]:
    answer, error = draw(TEXT), draw(st.none() | st.just("it broke"))
    asked = [{"role": "user", "content": draw(st.sampled_from(["Task: build it", "Task: test it", "hello"]))}]
    messages = asked if error else [*asked, {"role": "assistant", "content": answer}]
    return {
        "timestamp": moment(draw(SECONDS), ""), "agent_name": draw(AGENTS), "provider": "unknown", "model": draw(MODELS),
        "system_prompt": draw(st.none() | TEXT), "messages": messages, "response": "" if error else answer,
        "duration_ms": draw(st.floats(0, 5000)), "error": error, "metadata": {},
    }  # fmt: skip


@st.composite
def events(draw: st.DrawFn) -> dict[str, Any]:
    kind = draw(st.sampled_from(["llm_call", "tool_call", "agent_start", "agent_end"]))
    data: dict[str, Any] = {}
    if kind == "llm_call":
        data = {
            "model": draw(MODELS),
            "messages": draw(MESSAGES),
            "response": draw(TEXT),
            "tokens": {"input": 3, "output": 4},
        }
    elif kind == "tool_call":
        data = {"tool_name": "read", "parameters": {"a": 1}, "result": draw(TEXT), "duration_ms": 2.5}
    number = draw(IDS)
    return {
        "event_type": kind, "trace_id": draw(TRACES), "span_id": f"agent {number}" if kind.startswith("agent") else number,
        "parent_id": draw(st.none() | IDS), "timestamp": moment(draw(SECONDS)), "agent_name": draw(AGENTS), "data": data,
    }  # fmt: skip


@st.composite
def own_lines(draw: st.DrawFn) -> dict[str, Any]:
    line = draw(lines_with_ids())
    mark = draw(st.fixed_dictionaries(
        {"origin": st.sampled_from(["export", "demo", "rerun", "replay", "record"]), "version": st.just(1)},
        optional={
            "provenance": st.sampled_from(["reused", "executed", "inferred", "stale"]), "reason": TEXT, "saved_usd": st.floats(0, 3),
            "status": st.sampled_from(["running", "error"]), "cached_tokens": st.integers(0, 50), "tokens_estimated": st.just(True),
            "original_span_id": IDS, "recorded_cost_usd": st.floats(0, 3), "attributes": st.just({"colour": "red"}),
        },
    ))  # fmt: skip
    if draw(st.booleans()):
        line["span_type"], mark["kind"] = draw(
            st.sampled_from([("other", "retriever"), ("other", "chain"), ("agent", "agent")])
        )
    if mark.get("status") == "running":
        line.pop("duration_ms", None)
    # What concerns the whole run is one thing for all lines of a run.
    mark["origin"] = {"t1": "replay", "t2": "demo"}[line["trace_id"]]
    if line["trace_id"] == "t1":
        mark["original_trace_id"] = "t0"
    return {**line, "anton_notebook": mark}


@st.composite
def otlp_lines(draw: st.DrawFn) -> dict[str, Any]:
    number, start = draw(st.integers(0, 7)), 1_760_000_000_000_000_000 + draw(SECONDS) * 1_000_001_000
    attributes: dict[str, Any] = draw(st.sampled_from([
        {"openinference.span.kind": "CHAIN", "input.value": "Q"},
        {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "Ann"},
        {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "Bob", "gen_ai.input.messages": '[{"role": "user", "content": "x"}]'},
        {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "ls", "gen_ai.tool.call.arguments": '{"a": 1}'},
        {"gen_ai.operation.name": "chat"},
        {"gen_ai.operation.name": "chat", "gen_ai.agent.name": "Eve", "gen_ai.request.model": "gpt-4o", "gen_ai.system": "openai"},
        {"openinference.span.kind": "LLM", "llm.model_name": "gpt-4o", "llm.provider": "openai", "input.value": "Q", "output.value": "A"},
        {"http.request.method": "GET"},
    ]))  # fmt: skip
    pairs = [{"key": key, "value": {"stringValue": value}} for key, value in attributes.items()]
    for key in draw(
        st.sets(st.sampled_from(["gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens", "llm.cost.total"]))
    ):
        pairs.append({"key": key, "value": {"intValue": draw(st.integers(0, 5000))}})
    parent = draw(st.none() | st.integers(0, 9))
    span = {
        "traceId": f"{draw(st.integers(1, 2)):032x}", "spanId": f"{number + 1:016x}", "name": draw(TEXT), "attributes": pairs,
        "parentSpanId": "" if parent is None else f"{parent + 1:016x}", "startTimeUnixNano": str(start),
        "endTimeUnixNano": str(start + draw(st.integers(0, 10**10))) if draw(st.integers(0, 9)) else "0",
        "status": draw(st.sampled_from([{}, {"code": 1}, {"code": 2}, {"code": 2, "message": "bad"}])),
    }  # fmt: skip
    return {"resourceSpans": [{"resource": {}, "scopeSpans": [{"spans": [span]}]}]}


SOURCES = {
    "with ids": lines_with_ids(),
    "without ids": legacy_lines(),
    "events": events(),
    "own": own_lines(),
    "otlp": otlp_lines(),
    "all in one folder": st.one_of(lines_with_ids(), legacy_lines(), otlp_lines()),
}


@pytest.mark.parametrize("source", SOURCES)
@given(data=st.data())
def test_what_was_exported_is_read_back_the_same(
    tmp_path_factory: pytest.TempPathFactory, source: str, data: st.DataObject
) -> None:
    lines = data.draw(st.lists(SOURCES[source], min_size=1, max_size=9))
    folder = tmp_path_factory.mktemp("source")
    for line in lines:
        with (folder / ("spans.jsonl" if "resourceSpans" in line else "lines.jsonl")).open("a") as out:
            out.write(json.dumps(line) + "\n")
    traces = anb.read_traces(folder)
    if len(traces):
        back = assert_round_trip(traces, tmp_path_factory.mktemp("export") / "export.jsonl")
        if source == "otlp":
            assert_attributes_kept(traces, back)


@st.composite
def proxy_calls(draw: st.DrawFn) -> dict[str, Any]:
    asked = [
        system(draw(st.sampled_from(["orchestrator", "api", "ui"]))),
        user(draw(st.sampled_from(["Task: a", "b"]))),
    ]
    for number in range(draw(st.integers(0, 2))):
        asked += called(draw(st.sampled_from(["ls", "grep"])), draw(TEXT) + str(number))
    return {
        "messages": asked, "task": draw(st.sampled_from(["task-1", "task-2", None])), "model": draw(MODELS),
        "response": draw(st.none() | TEXT), "finish": draw(st.sampled_from(["stop", "tool_calls"])),
        "ms": draw(st.none() | st.integers(0, 9_000_000).map(lambda us: us / 1000)),
        "error": draw(st.none() | st.just("overloaded")),
    }  # fmt: skip


@given(calls=st.lists(proxy_calls(), min_size=1, max_size=6))
@settings(max_examples=40)
def test_what_a_proxy_recorded_is_read_back_the_same(
    tmp_path_factory: pytest.TempPathFactory, calls: list[dict[str, Any]]
) -> None:
    proxy = Proxy(tmp_path_factory.mktemp("source") / "p.db")
    for at, call in enumerate(calls):
        proxy.call(**call, at=at)
    proxy.close()
    traces = anb.read_traces(proxy.path)
    back = assert_round_trip(traces, tmp_path_factory.mktemp("export") / "export.jsonl")
    assert_attributes_kept(traces, back)


@pytest.mark.parametrize("pattern", ["anton-jsonl/**/*.jsonl", "anton-proxy/*.db"], ids=["lines", "database"])
def test_the_recorded_runs(corpus: Path, tmp_path: Path, pattern: str) -> None:
    files = sorted(corpus.glob(pattern))
    assert files
    beside = ("status", "progress", "phases", "marks")
    for number, path in enumerate({path.parent if path.suffix == ".jsonl" else path for path in files}):
        assert_round_trip(anb.read_traces(path), tmp_path / f"{number}.jsonl", beside)


@pytest.mark.parametrize("name", ["otlp_collector.jsonl", "otlp_document.json"])
def test_attributes_are_kept_too(tmp_path: Path, name: str) -> None:
    traces = anb.read_traces(DATA / name)
    back = assert_round_trip(traces, tmp_path / "one.jsonl")
    again = assert_round_trip(back, tmp_path / "two.jsonl")
    for trace in traces:
        for span in trace.spans:
            attributes = span.attributes
            for copy in (back, again):
                found = copy.span(span.span_id, span.trace_id).attributes
                assert {key: found.get(key) for key in attributes} == attributes
            if span.kind == "llm" and span.record["messages"]:
                assert again.span(span.span_id).request == span.request
                assert again.span(span.span_id).request.missing == span.request.missing


# -- the file


@pytest.fixture
def traces(tmp_path: Path) -> Iterator[anb.Traces]:
    lines = [
        {"timestamp": moment(i), "agent_name": f"agent {i % 2}", "trace_id": f"t{i % 3}", "span_id": f"s{i}", "parent_id": None,
         "span_type": "llm_call", "model": "gpt-4o", "provider": "openai", "duration_ms": 5.0,
         "messages": [{"role": "user", "content": f"my key is sk-{i}"}], "response": "sk-9 it is", "metadata": {"sk-7": ["sk-8"]}}
        for i in range(6)
    ]  # fmt: skip
    path = tmp_path / "lines.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with anb.read_traces(path) as read:
        yield read


def test_one_run_alone(traces: anb.Traces, tmp_path: Path) -> None:
    back = anb.read_traces(traces.export(tmp_path / "one.jsonl", "t1"))
    assert [trace.trace_id for trace in back] == ["t1"]
    assert sorted(back.spans_df()["span_id"]) == sorted(traces["t1"].spans_df()["span_id"])


def test_an_unknown_run_is_named_and_leaves_no_file(traces: anb.Traces, tmp_path: Path) -> None:
    with pytest.raises(TraceNotFound, match="did you mean"):
        traces.export(tmp_path / "one.jsonl", "t11")
    assert not (tmp_path / "one.jsonl").exists()


def test_the_file_is_new_and_its_owners_alone(traces: anb.Traces, tmp_path: Path) -> None:
    path = traces.export(tmp_path / "one.jsonl")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    before = path.read_bytes()
    with pytest.raises(FileExistsError, match="overwrites nothing"):
        traces.export(path)
    assert path.read_bytes() == before
    with pytest.raises(PathNotFound, match="does not exist"):
        traces.export(tmp_path / "nowhere" / "one.jsonl")


def test_derived_agents_are_not_written(traces: anb.Traces, tmp_path: Path) -> None:
    lines = [json.loads(line) for line in traces.export(tmp_path / "one.jsonl").read_text().splitlines()]
    assert [line["span_id"] for line in lines] == [f"s{i}" for i in range(6)]
    assert {line["anton_notebook"]["origin"] for line in lines} == {"export"}
    assert len(traces.spans_df()) > 6


def test_every_text_goes_through_redact_and_ids_do_not(traces: anb.Traces, tmp_path: Path) -> None:
    def redact(text: str) -> str:
        return text.replace("sk-", "[key]").replace("s1", "[id]")

    path = traces.export(tmp_path / "one.jsonl", redact=redact)
    assert "sk-" not in path.read_text()
    assert path.read_text().count("[key]") == 6 * 4
    back = anb.read_traces(path)
    assert sorted(back.spans_df()["span_id"]) == sorted(traces.spans_df()["span_id"])
    assert back.span("s1").request.prompt == "my key is [key]1"


def test_otlp_attributes_and_names_are_redacted(tmp_path: Path) -> None:
    seen: list[str] = []

    def redact(text: str) -> str:
        seen.append(text)
        return text.replace("Oslo", "[place]").replace("Guide", "[name]")

    path = anb.read_traces(DATA / "otlp_collector.jsonl").export(tmp_path / "one.jsonl", redact=redact)
    assert "Oslo" not in path.read_text() and "Guide" not in path.read_text()
    assert "[name]" in set(anb.read_traces(path).spans_df()["agent"])


@pytest.mark.parametrize("spoil", [lambda p: p.unlink(), lambda p: p.write_text("{}\n")], ids=["removed", "replaced"])
def test_a_text_that_is_gone_is_an_error_and_leaves_no_file(
    traces: anb.Traces, tmp_path: Path, spoil: Callable[[Path], object]
) -> None:
    spoil(tmp_path / "lines.jsonl")
    traces.refresh()
    with pytest.raises(BodyUnavailable, match=r"lines\.jsonl"):
        traces.export(tmp_path / "one.jsonl")
    assert not (tmp_path / "one.jsonl").exists()
