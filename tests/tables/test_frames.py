"""What the frames can be asked for, one's own columns, and that dtypes and order are the same whatever is in them."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import anton_notebook as anb
from anton_notebook import pricing
from anton_notebook.errors import BodyUnavailable, UnknownColumn, Unreadable
from anton_notebook.tables import body_cache, user_columns
from anton_notebook.tables.filters import moment

FRAMES = ("spans", "runs", "messages", "tool_calls", "problems")
NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


def frame_of(traces: Any, name: str, **asked: Any) -> pd.DataFrame:
    made: pd.DataFrame = getattr(traces, f"{name}_df")(**asked)
    return made


def call(span: str, at: str, **more: Any) -> dict[str, Any]:
    usual = {
        "timestamp": at,
        "agent_name": "orchestrator",
        "trace_id": "early",
        "span_id": span,
        "parent_id": None,
        "span_type": "llm_call",
        "provider": "openai",
        "model": "gpt-4o",
        "duration_ms": 1000.0,
        "tokens": {"input": 1000, "output": 100},
        "messages": [{"role": "user", "content": f"do {span}"}],
        "response": f"did {span}",
        "metadata": {"temperature": 0.5, "tags.x": {"y": 1}},
    }
    return {**usual, **more}


def tool(span: str, at: str, **more: Any) -> dict[str, Any]:
    only = {
        "span_type": "tool_call",
        "tool_name": "grep",
        "parameters": {"q": span},
        "result": "found",
        "success": True,
    }
    body_cache = {
        key: value
        for key, value in call(span, at).items()
        if key not in ("model", "provider", "tokens", "messages", "response")
    }
    return {**body_cache, **only, **more}


LINES = [
    call("a", "2026-01-01T10:00:00Z"),
    tool("b", "2026-01-01T10:00:00.5Z", parent_id="a"),
    call(
        "c",
        "2026-01-01T23:30:00Z",
        trace_id="late",
        model="llama3.2:3b",
        provider="ollama",
        metadata={"temperature": "warm"},
    ),
    tool("d", "2026-01-01T23:40:00Z", trace_id="late", parent_id="c", duration_ms=-1),
]


@pytest.fixture(autouse=True)
def _as_bundled() -> Iterator[None]:
    pricing.reset_prices()
    yield
    pricing.reset_prices()
    for frame in FRAMES:
        for column in user_columns.own_columns(frame):
            anb.remove_column(column.name, frame=frame)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    lines = [json.dumps(line) for line in LINES]
    (tmp_path / "t.jsonl").write_text("\n".join([*lines[:3], "no json", lines[3]]) + "\n")
    return tmp_path


@pytest.mark.parametrize("name", FRAMES)
def test_columns_picks_and_orders(folder: Path, name: str) -> None:
    traces = anb.read_traces(folder)
    whole = frame_of(traces, name)
    wanted = list(whole.columns[[3, 0]])
    pd.testing.assert_frame_equal(frame_of(traces, name, columns=wanted), whole[wanted])
    pd.testing.assert_frame_equal(frame_of(traces, name, columns=wanted[0]), whole[wanted[:1]])
    with pytest.raises(UnknownColumn, match=f"did you mean '{wanted[0]}'"):
        frame_of(traces, name, columns=[wanted[0] + "s"])
    with pytest.raises(KeyError):
        frame_of(traces, name, columns="nothing like it at all")
    with pytest.raises(ValueError, match="more than once"):
        frame_of(traces, name, columns=[wanted[0]] * 2)


def test_kind_keeps_what_is_about_spans_of_that_kind(folder: Path) -> None:
    traces = anb.read_traces(folder)
    assert traces.spans_df(kind="tool")["span_id"].tolist() == ["b", "d"]
    assert traces.spans_df(kind=["llm", "tool"])["span_id"].tolist() == ["a", "b", "c", "d"]
    assert traces.runs_df(kind="tool")["trace_id"].tolist() == ["early", "late"]
    assert traces.runs_df(kind="agent").empty
    with pytest.raises(ValueError, match="kinds are orchestrator"):
        traces.runs_df(kind="of my own")
    assert traces.messages_df(kind="tool").empty and len(traces.messages_df(kind="llm")) == 4
    assert traces.tool_calls_df(kind="llm").empty and len(traces.tool_calls_df(kind="tool")) == 2
    # The broken line may have been anything; the negative duration is a tool's.
    assert traces.problems_df()["line"].tolist() == [4, 5]
    assert traces.problems_df(kind="llm")["line"].tolist() == [4]
    assert traces.problems_df(kind="tool")["line"].tolist() == [4, 5]
    with pytest.raises(ValueError, match="did you mean 'tool'"):
        traces.spans_df(kind="tools")


def test_since_keeps_what_began_then_or_later(folder: Path) -> None:
    traces = anb.read_traces(folder)
    at = "2026-01-01T23:30:00Z"
    assert traces.spans_df(since=at, kind=["llm", "tool"])["span_id"].tolist() == ["c", "d"]
    assert traces.runs_df(since=at)["trace_id"].tolist() == ["late"]
    assert set(traces.messages_df(since=at)["span_id"]) == {"c"}
    assert set(traces.tool_calls_df(since=at)["span_id"]) == {"d"}
    assert traces.problems_df(since="2026-01-02")["line"].tolist() == [4]
    assert traces.spans_df(since="last hour").empty
    in_the_zone = anb.read_traces(folder, tz="Asia/Tokyo")
    assert in_the_zone.spans_df(since="2026-01-02T08:35", kind="tool")["span_id"].tolist() == ["d"]


@pytest.mark.parametrize(
    ("said", "hours"),
    [
        ("last hour", 1),
        ("the past 2 hours", 2),
        ("Last Day", 24),
        ("3 days", 72),
        ("2 weeks", 336),
        ("last week", 168),
        ("90 min", 1.5),
        (timedelta(minutes=30), 0.5),
        (pd.Timedelta("1h"), 1),
        (np.timedelta64(2, "h"), 2),
        ("today", 12),
        ("yesterday", 36),
        ("2026-01-02", 12),
        (datetime(2026, 1, 2, 11), 1),
        (datetime(2026, 1, 2, 13, tzinfo=timezone(timedelta(hours=2))), 1),
        (pd.Timestamp("2026-01-02T10:00", tz="UTC"), 2),
        (np.datetime64("2026-01-02T09:00"), 3),
        (NOON.date(), 12),
    ],
)
def test_the_ways_to_say_since_when(said: Any, hours: float) -> None:
    found = moment(said, UTC, NOON)
    assert found is not None
    assert pd.Timestamp(found, unit="us", tz="UTC") == pd.Timestamp(NOON) - pd.Timedelta(hours=hours)


@pytest.mark.parametrize(
    "said", ["", "soon", "last", "2026", "last purple", "-2h", timedelta(-1), 17, True, "2 months", pd.NaT]
)
def test_what_is_no_time_is_refused_and_named(said: Any) -> None:
    with pytest.raises(ValueError, match="since=.*neither a time nor a duration; give a time"):
        moment(said, UTC, NOON)


@pytest.mark.parametrize("name", FRAMES)
def test_strict_raises_where_something_was_left_out(folder: Path, name: str) -> None:
    traces = anb.read_traces(folder)
    with pytest.raises(
        Unreadable, match=r"2 things could not be read, the first in .*t\.jsonl, line 4: .*problems_df"
    ) as error:
        frame_of(traces, name, strict=True)
    assert error.value.problems == 2 and isinstance(error.value, ValueError)
    with pytest.raises(Unreadable, match="1 thing could not"):
        frame_of(traces, name, strict=True, kind="llm")
    (folder / "t.jsonl").write_text(json.dumps(LINES[0]) + "\n")
    whole = anb.read_traces(folder)
    pd.testing.assert_frame_equal(frame_of(whole, name, strict=True), frame_of(whole, name))


def test_texts_that_are_gone_are_counted_or_with_strict_raised(folder: Path) -> None:
    (folder / "t.jsonl").write_text("".join(json.dumps(line) + "\n" for line in LINES[:3]))
    traces, other = anb.read_traces(folder), anb.read_traces(folder)
    assert other.messages_df().attrs["anton_notebook"]["unavailable"] == 0
    (folder / "t.jsonl").unlink()
    traces.reader.close()
    messages, tools = traces.messages_df(), traces.tool_calls_df()
    assert messages.empty and messages.attrs["anton_notebook"]["unavailable"] == 2
    assert tools["name"].tolist() == ["grep"] and tools["result"].tolist() == [None]
    with pytest.raises(BodyUnavailable):
        traces.messages_df(strict=True)
    with pytest.raises(BodyUnavailable):
        traces.tool_calls_df(strict=True)
    assert traces.tool_calls_df(strict=True, columns=["name", "duration_ms"])["name"].tolist() == ["grep"]
    other.refresh()  # sees that the file is gone, and then what was read of it is no more either
    assert other.messages_df().empty and other.messages_df().attrs["anton_notebook"]["unavailable"] == 2


def test_messages_and_tool_calls_cost_what_was_appended(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, read = folder / "t.jsonl", []
    lines = [(call if i % 2 else tool)(f"s{i}", f"2026-01-01T00:{i // 60:02d}:{i % 60:02d}Z") for i in range(200)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines[:150]))
    traces = anb.read_traces(folder)
    (file,) = (file for file in traces.store.files if file.path == str(path))
    once = file.loader
    monkeypatch.setattr(file, "loader", lambda *place: (read.append(place), once(*place))[1])

    def reads(work: Any) -> int:
        read.clear()
        work()
        return len(read)

    assert reads(traces.messages_df) == 75 and reads(traces.tool_calls_df) == 75
    assert reads(traces.messages_df) == reads(traces.tool_calls_df) == 0
    for end in (151, 160, 200):
        with path.open("a") as out:
            out.writelines(
                json.dumps(line) + "\n" for line in lines[150 if end == 151 else 151 if end == 160 else 160 : end]
            )
        traces.refresh()
        assert reads(traces.messages_df) + reads(traces.tool_calls_df) == (1 if end == 151 else 9 if end == 160 else 40)
        whole = anb.read_traces(folder)
        pd.testing.assert_frame_equal(traces.messages_df(), whole.messages_df())
        pd.testing.assert_frame_equal(traces.tool_calls_df(), whole.tool_calls_df())
    # Large texts are not kept; light columns and the rows of one run do not need the others.
    monkeypatch.setattr(body_cache, "CACHE_BYTES", -1)
    traces.messages_df()
    assert reads(lambda: traces.messages_df(columns=["role", "chars"])) == 0
    assert reads(lambda: traces["early"].messages_df(since="2026-01-01T00:03:00Z")) == 10
    assert reads(traces.messages_df) == 100 and len(traces.messages_df()) == 200


def test_a_text_that_is_no_longer_as_it_was_read_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    began = {
        **call("a", "2026-01-01T10:00:00Z"),
        "anton_notebook": {"version": 1, "origin": "record", "status": "running"},
    }
    path.write_text(json.dumps({**began, "response": "", "duration_ms": None}) + "\n" + json.dumps(LINES[1]) + "\n")
    traces = anb.read_traces(tmp_path)
    assert traces.messages_df()["text"].tolist() == ["do a"]
    with path.open("a") as file:
        file.write(json.dumps({**call("a", "2026-01-01T10:00:00Z"), "response": "done"}) + "\n")
        file.write(json.dumps(tool("z", "2026-01-01T09:00:00Z", parent_id="a", result={"k": [1]})) + "\n")
    traces.tool_calls_df()
    traces.refresh()
    whole = anb.read_traces(tmp_path)
    assert traces.messages_df()["text"].tolist() == ["do a", "done"]
    assert traces.tool_calls_df()["span_id"].tolist() == ["z", "b"]
    pd.testing.assert_frame_equal(traces.messages_df(), whole.messages_df())
    pd.testing.assert_frame_equal(traces.tool_calls_df(), whole.tool_calls_df())
    path.write_text(json.dumps(call("new", "2026-01-01T10:00:00Z")) + "\n")
    traces.refresh()
    assert traces.messages_df(kind="llm").attrs["anton_notebook"]["unavailable"] == 1
    assert set(traces.messages_df()["span_id"]) == {"new"}


@pytest.mark.parametrize("name", FRAMES)
def test_dtypes_are_those_that_were_declared_also_when_empty(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    nothing = tmp_path_factory.mktemp("empty")
    (nothing / "t.jsonl").write_text("")
    declared = anb.columns(name)
    for traces in (anb.read_traces(folder), anb.read_traces(nothing)):
        frame = frame_of(traces, name)
        assert frame.columns.tolist() == declared["name"].tolist()
        assert [str(dtype) for dtype in frame.dtypes] == declared["dtype"].tolist()
        assert isinstance(frame.index, pd.RangeIndex)
    assert declared["meaning"].str.len().gt(2).all() and declared["source"].str.len().gt(2).all()
    assert not declared["meaning"].str.contains("\n").any()


def test_a_run_takes_the_same_parameters(folder: Path) -> None:
    run = anb.read_traces(folder)["late"]
    assert run.spans_df(columns=["span_id", "cost_usd"], kind="llm").to_dict("list")["span_id"] == ["c"]
    assert run.spans_df(columns=["span_id"]).columns.tolist() == ["span_id"]
    assert run.messages_df(columns="text")["text"].tolist() == ["do c", "did c"]
    assert run.tool_calls_df(since="2026-01-01T23:45Z").empty


# -- one's own columns


def test_a_function_of_the_frame_is_a_column(folder: Path) -> None:
    traces = anb.read_traces(folder)
    anb.add_column("speed", lambda s: s["output_tokens"] / s["duration_ms"] * 1000, "float64", "tokens a second")
    anb.add_column("slow", lambda s: s["duration_ms"] > 999, "bool", "took long")
    frame = traces.spans_df()
    assert frame.columns.tolist()[-2:] == ["speed", "slow"]
    assert frame.set_index("span_id").loc["a", "speed"] == 100 and frame["speed"].dtype == "float64"
    listed = anb.columns("spans").set_index("name").loc["speed"]
    assert listed.to_dict() == {"dtype": "float64", "meaning": "tokens a second", "source": "a function of the frame"}
    assert traces.spans_df(columns=["slow"], kind="llm")["slow"].tolist() == [True, True]
    assert anb.costs(traces, by="slow")["calls"].sum() == 2
    anb.remove_column("speed")
    assert "speed" not in traces.spans_df() and "slow" in traces.spans_df()


def test_a_function_of_a_column_may_ask_for_the_frame_without_such_columns(folder: Path) -> None:
    traces = anb.read_traces(folder)
    anb.add_column(
        "of_all", lambda df: len(traces.spans_df(columns=["span_id"])) + 0 * df.duration_ms, "Float64", "how many"
    )
    try:
        frame = traces.spans_df()
        assert (frame["of_all"].dropna() == len(frame)).all() and frame["of_all"].notna().any()
        anb.add_column("of_itself", lambda df: traces.spans_df(columns=["of_itself"]).of_itself, "Float64", "nothing")
        with pytest.raises(anb.errors.UnknownColumn, match="'of_itself' cannot be asked for while"):
            traces.spans_df()
        anb.remove_column("of_itself")
        assert "of_all" in traces.spans_df()
    finally:
        anb.remove_column("of_all")


def test_a_key_of_the_record_is_a_column_and_what_does_not_fit_is_missing(folder: Path) -> None:
    traces = anb.read_traces(folder)
    anb.add_column("temperature", "metadata.temperature", "float64", "how wild")
    anb.add_column("y", "metadata.tags.x.y", "Int64")
    frame = traces.spans_df(kind="llm").set_index("span_id")
    assert frame.loc["a", "temperature"] == 0.5 and math.isnan(frame.loc["c", "temperature"])
    assert frame.loc["a", "y"] == 1 and frame["y"].isna().tolist() == [False, True]


@pytest.mark.parametrize("name", FRAMES)
def test_every_frame_takes_columns_of_ones_own(folder: Path, name: str) -> None:
    anb.add_column("one", lambda rows: 1, "int64", "one", frame=name)
    made = frame_of(anb.read_traces(folder), name)
    assert made.columns[-1] == "one" and (made["one"] == 1).all() and made["one"].dtype == "int64"


def test_a_column_of_ones_own_costs_what_was_appended(folder: Path) -> None:
    seen: list[int] = []

    def length(rows: pd.DataFrame) -> pd.Series[Any]:
        seen.append(len(rows))
        return rows["span_id"].str.len()

    path = folder / "t.jsonl"
    path.write_text(
        "".join(json.dumps(call(f"s{i:03d}", f"2026-01-01T00:{i // 60:02d}:{i % 60:02d}Z")) + "\n" for i in range(500))
    )
    traces = anb.read_traces(folder)
    anb.add_column("length", length, "int64")
    assert len(traces.spans_df()) == 501 and seen == [501]
    with path.open("a") as file:
        file.write(json.dumps(call("another", "2026-01-01T01:00:00Z")) + "\n")
    traces.refresh()
    frame = traces.spans_df()
    assert frame["length"].iloc[-1] == 7 and (frame["length"] == frame["span_id"].str.len()).all()
    assert len(seen) == 2 and seen[1] <= 3  # the call, and the agent that it belongs to


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"name": "cost_usd", "make": len}, "one of the library's columns"),
        ({"name": " ", "make": len}, "printable word"),
        ({"name": "x", "make": 3}, "neither a function of the frame nor a key"),
        ({"name": "x", "make": "a.b", "frame": "runs"}, "spans alone"),
        ({"name": "x", "make": len, "frame": "span"}, "did you mean 'spans'"),
        ({"name": "x", "make": len, "dtype": "floaty"}, "floaty"),
    ],
)
def test_columns_that_cannot_be_are_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises((ValueError, TypeError), match=said):
        anb.add_column(**given)


def test_a_function_that_gives_something_else_is_named(folder: Path) -> None:
    traces = anb.read_traces(folder)
    anb.add_column("two", lambda rows: [1, 2], "int64")
    with pytest.raises(ValueError, match="column 'two': its function gave 2 values for"):
        traces.spans_df()
    anb.add_column("two", lambda rows: ["x"] * len(rows), "int64")
    with pytest.raises(ValueError, match="column 'two': its values are not of dtype 'int64'"):
        traces.spans_df()
    with pytest.raises(KeyError, match="did you mean 'two'"):
        anb.remove_column("tow")


# -- what is derived from the model and the price


def test_the_provider_is_known_from_the_model_where_none_was_recorded(tmp_path: Path) -> None:
    models = {
        "claude-sonnet-4-20250514": "anthropic",
        "gpt-4o": "openai",
        "llama3.2:3b": "unknown",
        "gemini-2.5-pro": "google",
    }
    lines = [
        json.dumps(call(model, f"2026-01-01T00:00:{i:02d}Z", model=model, provider="unknown"))
        for i, model in enumerate(models)
    ]
    (tmp_path / "t.jsonl").write_text(
        "\n".join([*lines, json.dumps(call("z", "2026-01-01T00:01:00Z", provider="claude"))]) + "\n"
    )
    frame = anb.read_traces(tmp_path).spans_df(kind="llm").set_index("span_id")
    assert frame["provider"].to_dict() == {**models, "z": "claude"}


def test_the_source_of_a_price_is_that_of_the_spans_own_day(tmp_path: Path) -> None:
    days = ["2026-01-01", "2026-02-01", "2026-03-01"]
    lines = [
        json.dumps(call(day, f"{day}T00:00:00Z", model=m, provider=p))
        for day in days
        for m, p in [("gpt-4o", "openai")]
    ]
    lines.append(json.dumps(call("own", "2026-01-15T00:00:00Z", model="mine", provider="ollama")))
    (tmp_path / "t.jsonl").write_text("\n".join(lines) + "\n")
    traces = anb.read_traces(tmp_path)
    before = traces.spans_df(kind="llm").set_index("span_id")["cost_source"]
    assert before[days[0]].startswith("genai-prices") and before["own"] == "unpriced"
    anb.set_price("gpt-4o", input=1, output=1, since="2026-02-01")
    anb.set_price("mine", input=1, output=1, since="2026-02-01")
    frame = traces.spans_df(kind="llm").set_index("span_id")
    assert frame["cost_source"].to_dict() == {
        days[0]: before[days[0]],
        "own": "unpriced",
        days[1]: "override",
        days[2]: "override",
    }
    assert frame.loc[days[1], "cost_usd"] == pytest.approx(1100e-6) and math.isnan(frame.loc["own", "cost_usd"])
    assert traces.spans_df(kind="agent").empty and traces.spans_df(kind="orchestrator")["cost_source"].isna().all()


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 59), st.booleans()), max_size=30), st.data())
def test_frames_that_grew_are_those_of_reading_anew(
    tmp_path_factory: pytest.TempPathFactory, spans: list[tuple[int, int, bool]], data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("grown")
    path = folder / "t.jsonl"
    path.write_text("")
    traces, held = anb.read_traces(folder), []
    for number, (run, second, llm) in enumerate(spans):
        more = {
            "trace_id": f"r{run}",
            "agent_name": f"a{number % 3}",
            "parent_id": f"s{number - 2}" if number % 4 else None,
        }
        with path.open("a") as file:
            file.write(
                json.dumps((call if llm else tool)(f"s{number}", f"2026-01-01T00:00:{second:02d}Z", **more)) + "\n"
            )
        if data.draw(st.booleans()):
            traces.refresh()
            asked = data.draw(st.sampled_from([{}, {"columns": ["span_id"]}, {"since": "2026-01-01T00:00:30Z"}]))
            held = (
                [frame_of(traces, name, **asked) for name in ("messages", "tool_calls")]
                if data.draw(st.booleans())
                else []
            )
    traces.refresh()
    new = anb.read_traces(folder)
    for name in ("messages", "tool_calls"):
        pd.testing.assert_frame_equal(frame_of(traces, name), frame_of(new, name))
    assert len(held) in (0, 2)


def test_texts_are_kept_in_the_form_that_takes_fewer_bytes(tmp_path: Path) -> None:
    lines = [
        (call if i % 2 else tool)(
            f"span-{i:08d}", f"2026-01-01T00:{i // 60:02d}:{i % 60:02d}Z", parent_id=f"span-{i - 1:08d}"
        )
        for i in range(400)
    ]
    failed = [
        {**line, "success": False, "error": f"failed at {i}"} if i % 5 == 0 else line for i, line in enumerate(lines)
    ]
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(line) + "\n" for line in failed) + "torn\n" * 5)
    traces = anb.read_traces(tmp_path)
    store = traces.store
    objects: list[Any] = [
        *store.ids,
        *store.errors.values(),
        *(x for info in store.traces for x in (info.trace_id, info.name)),
    ]
    objects += [text for problem in traces.reader.problems.rows() for text in problem]
    held = {id(text) for text in objects}
    form: dict[str, str] = {}
    for name in FRAMES:
        frame = frame_of(traces, name)
        for column in frame.columns[frame.dtypes == "str"]:
            values = frame[column].array
            made = [text for text in np.asarray(values, dtype=object) if isinstance(text, str)]
            arrow = pd.array(np.asarray(values, dtype=object), dtype=kept_as_arrow()).nbytes
            own_bytes = sum(sys.getsizeof(text) for text in made if id(text) not in held) if made else 0
            python = 8 * len(frame) + (own_bytes if values.dtype.storage == "python" else sum(map(sys.getsizeof, made)))
            form[f"{name}.{column}"] = f"{values.dtype.storage} {min(arrow, python)} of {max(arrow, python)}"
            assert (values.dtype.storage == "pyarrow") == (arrow < python), (name, column, arrow, python)
    # Ids, names and errors are the store's own objects, so that a column of them is a pointer a row; texts of messages are nobody's.
    assert [name for name, said in form.items() if said.startswith("pyarrow")] == ["messages.text"], form
    assert {"spans.span_id", "spans.parent_id", "spans.error", "messages.span_id", "tool_calls.error"} <= form.keys()


def kept_as_arrow() -> pd.StringDtype:
    return pd.StringDtype(storage="pyarrow", na_value=np.nan)
