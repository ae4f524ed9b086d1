"""Claude Code: one tree of a session, and every token once, however its lines arrive."""

from __future__ import annotations

import itertools
import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import anton_notebook as anb
from anton_notebook.model.usage import Usage
from anton_notebook.pricing import usage_cost
from anton_notebook.sources.reader import Reader
from anton_notebook.store import Store
from anton_notebook.widget.details import details
from tests.support.transcripts import claude_answer, claude_line, claude_session, lines, text

COLUMNS = [
    "trace_id",
    "span_id",
    "parent_id",
    "kind",
    "agent",
    "name",
    "status",
    "model",
    "input_tokens",
    "output_tokens",
]
COLUMNS += ["cached_tokens", "cache_write_tokens", "tokens_lower_bound", "start", "duration_ms", "cost_usd", "error"]


def write(folder: Path, files: dict[str, list[dict[str, Any]]]) -> Path:
    for name, records in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(lines(records))
    return folder


def figures(folder: Path) -> list[dict[str, Any]]:
    frame = anb.read_traces(folder).spans_df(columns=COLUMNS)
    return sorted(json.loads(frame.to_json(orient="records", date_format="iso")), key=lambda row: row["span_id"])


def test_session_is_one_tree_with_its_subagent(tmp_path: Path) -> None:
    traces = anb.read_traces(write(tmp_path, claude_session()))
    run = traces.runs_df().iloc[0]
    assert (run["name"], run["llm_calls"], run["tool_calls"], run["errors"]) == ("Login fixed", 4, 3, 1)
    parents = traces.spans_df().set_index("span_id")["parent_id"].to_dict()
    assert parents["t2"] == "m1"
    assert parents["session-1:a1"] == "t2"
    assert parents["s1"] == "session-1:a1"
    frame = traces.spans_df().set_index("span_id")
    assert frame.loc["s1", "agent"] == "Explore"
    assert frame.loc["t3", "error"] == "no such file"


def test_usage_of_an_answer_counts_once_with_its_last_output(tmp_path: Path) -> None:
    frame = anb.read_traces(write(tmp_path, claude_session())).spans_df(kind="llm").set_index("span_id")
    assert frame["output_tokens"].to_dict() == {"m1": 60, "m2": 25, "s1": 8, "s2": 5}
    assert frame["input_tokens"].tolist() == [1210] * 4
    assert frame["tokens_lower_bound"].to_dict() == {"m1": False, "m2": False, "s1": False, "s2": True}
    expected = usage_cost("anthropic", "claude-sonnet-4-5", None, Usage(1210, 60, 1000, 200, 50))
    by_hand = (10 * 3 + 1000 * 0.3 + 150 * 3.75 + 50 * 6 + 60 * 15) / 1e6
    assert frame.loc["m1", "cost_usd"] == pytest.approx(expected)
    assert expected == pytest.approx(by_hand)


def test_details_of_a_page_hold_every_billed_part(tmp_path: Path) -> None:
    traces = anb.read_traces(write(tmp_path, claude_session()))
    shown = {span_id: details(traces, traces.store.row_of(span_id)) for span_id in ("m1", "s2")}
    assert shown["m1"]["usage"] == {"cache_write_tokens": 200, "cache_write_1h_tokens": 50}
    assert [one["tokens_lower_bound"] for one in shown.values()] == [False, True]


def test_texts_are_read_back_from_disk(tmp_path: Path) -> None:
    traces = anb.read_traces(write(tmp_path, claude_session()))
    calls = traces.tool_calls_df().set_index("name")
    assert calls.loc["Read", "parameters"] == {"file_path": "a.py"}
    assert calls.loc["Read", "result"] == "def login(): ..."
    span = traces.span("m2")
    assert span.response.text == "Done."
    assert [message["role"] for message in span.request.messages] == ["user", "assistant", "user"]
    assert {"system", "tools"} <= set(span.request.missing)


@settings(max_examples=25)
@given(cuts=st.lists(st.floats(0, 1), max_size=6), order=st.randoms(use_true_random=False), looks=st.booleans())
def test_any_split_of_the_bytes_gives_the_same_spans(
    cuts: list[float], order: random.Random, looks: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder, files = tmp_path_factory.mktemp("split"), claude_session()
    whole = figures(write(tmp_path_factory.mktemp("whole"), files))
    parts = []
    for name, records in files.items():
        data = lines(records)
        at = sorted({0, len(data), *(int(cut * len(data)) for cut in cuts)})
        parts.append([(name, data[i:j]) for i, j in itertools.pairwise(at)])
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    store = Store()
    reader = Reader([folder], store, wait=True)
    while any(parts):
        name, piece = order.choice([part for part in parts if part]).pop(0)
        with (folder / name).open("ab") as file:
            file.write(piece)
        if looks:
            reader.scan()
    reader.scan()
    reader.close()
    rows = {store.ids[row]: (int(store.c.input[row]), int(store.c.output[row])) for row in store.live_rows().tolist()}
    expected = {row["span_id"]: (row["input_tokens"], row["output_tokens"]) for row in whole}
    assert {key: tuple(None if n < 0 else n for n in value) for key, value in rows.items()} == expected
    assert figures(folder) == whole


def test_copied_and_resumed_sessions_count_once(tmp_path: Path) -> None:
    files = claude_session()
    alone = anb.read_traces(write(tmp_path / "one", files)).runs_df()["cost_usd"].sum()
    resumed = [{**record, "sessionId": "session-2"} for record in files["session-1.jsonl"]]
    resumed.append(claude_answer(90, "m9", text("More."), output=7, stop="end_turn", sessionId="session-2"))
    traces = anb.read_traces(write(tmp_path / "two", {**files, "session-2.jsonl": resumed}))
    frame = traces.spans_df(kind="llm").set_index("span_id")
    assert frame["trace_id"].to_dict() == {
        "m1": "session-1",
        "m2": "session-1",
        "s1": "session-1",
        "s2": "session-1",
        "m9": "session-2",
    }
    one = frame.loc["m9", "cost_usd"]
    assert traces.runs_df()["cost_usd"].sum() == pytest.approx(alone + one)


def test_api_errors_and_synthetic_messages_are_no_calls(tmp_path: Path) -> None:
    error = claude_line(
        "assistant",
        3,
        isApiErrorMessage=True,
        message={"id": "e1", "role": "assistant", "model": "<synthetic>", "content": [text("API Error: 529")]},
    )
    quiet = claude_line(
        "assistant", 4, message={"id": "e2", "model": "<synthetic>", "role": "assistant", "content": [text("No")]}
    )
    start = claude_line("user", 1, message={"role": "user", "content": "Hi"})
    traces = anb.read_traces(write(tmp_path, {"s.jsonl": [start, error, quiet]}))
    run = traces.runs_df().iloc[0]
    assert (run["llm_calls"], run["errors"]) == (0, 1)
    assert traces.spans_df().set_index("span_id").loc["e1", "error"] == "API Error: 529"


def test_subagent_that_stands_only_in_progress_lines_is_read(tmp_path: Path) -> None:
    files = claude_session()
    agent = files.pop("session-1/subagents/agent-a1.jsonl")
    progress = [
        claude_line(
            "progress", 6 + i, parentToolUseID="t2", data={"type": "agent_progress", "agentId": "a1", "message": record}
        )
        for i, record in enumerate(agent)
    ]
    main = files["session-1.jsonl"]
    traces = anb.read_traces(write(tmp_path, {"session-1.jsonl": [*main[:6], *progress, *main[6:]]}))
    run = traces.runs_df().iloc[0]
    assert (run["llm_calls"], run["tool_calls"], run["agents"]) == (4, 3, 2)


def test_recorded_sessions_have_their_right_values(corpus: Path) -> None:
    right = json.loads((corpus / "agents" / "right_values.json").read_text())
    checked = 0
    for name, values in right.items():
        if not name.startswith("claude_code/") or not (corpus / "agents" / name).is_file():
            continue
        frame = anb.read_traces(corpus / "agents" / name).spans_df()
        main = frame[(frame["kind"] == "llm") & (frame["agent"] == "claude")]
        cached, written = main["cached_tokens"].sum(), main["cache_write_tokens"].sum()
        tokens = {
            "input": main["input_tokens"].sum() - cached - written,
            "cache_read": cached,
            "cache_write": written,
            "output": main["output_tokens"].sum(),
        }
        assert len(main) == values["calls"]
        assert tokens == {key: values["tokens"][key] for key in tokens}
        tools = frame[(frame["kind"] == "tool") & (frame["agent"] == "claude")]
        assert tools["name"].astype(str).value_counts().to_dict() == values["tool_calls_by_name"]
        assert int((tools["status"] == "error").sum()) == values["tool_errors"]
        checked += 1
    assert checked >= 2
