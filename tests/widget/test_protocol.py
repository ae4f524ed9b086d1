"""The wire format: complete, without repetition, within the size limit, and as TypeScript reads it."""

from __future__ import annotations

import json
import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anton_notebook.model.span import NAT
from anton_notebook.store import Store
from anton_notebook.widget.protocol import (
    COLUMNS,
    MESSAGE_LIMIT,
    SPAN_BYTES,
    ChangeMessage,
    ClientState,
    Encoder,
    Scope,
    clean,
    unpack,
)
from anton_notebook.widget.stream import ChangeStream
from tests.support.pages import STATUS, Hand, Page, expected, pump_all, put, settle


def size(message: ChangeMessage) -> int:
    return len(json.dumps(message.header).encode()) + sum(map(len, message.buffers))


def changes(
    store: Store, known: ClientState | None = None, shown: tuple[int, ...] = (0,)
) -> tuple[list[ChangeMessage], ClientState]:
    return Encoder(store).encode(known or ClientState(), Scope(1, shown))


def test_protocol_packs_44_bytes_per_span() -> None:
    store = Store()
    put(store, [{"id": "a", "start": 1_500, "duration": 2_500, "input": 3, "output": 4, "model": "gpt", "name": "ask"}])
    (message,), after = changes(store)
    columns, gone = unpack(message)
    assert sum(np.dtype(kind).itemsize for _, kind in COLUMNS) == SPAN_BYTES
    assert len(message.buffers) == 1
    assert len(message.buffers[0]) == SPAN_BYTES * message.header["puts"]
    at = [store.span_id(row) for row in columns["row"].tolist()].index("a")
    found = {name: columns[name][at].item() for name, _ in COLUMNS}
    assert (found["start"], found["duration"], found["input"], found["output"]) == (1.5, 2.5, 3, 4)
    assert (found["status"], found["flags"], found["mark"]) == (1, 16, 0)  # an LLM call without a price
    assert np.isnan(found["cost"])
    assert not len(gone)
    first, *strings = message.header["strings"]
    trace, kind, agent, name, model = message.header["classes"][1:][found["cls"]]  # type: ignore[misc]
    assert first == 1
    assert [["", *strings][code] for code in (trace, kind, agent, name, model)] == [
        "t",
        "llm",
        "orchestrator",
        "ask",
        "gpt",
    ]  # type: ignore[index]
    assert after == ClientState(store.epoch, 1, store.revision, len(strings) + 1, len(message.header["classes"]) - 1)


def test_protocol_encodes_unknown_values() -> None:
    store = Store()
    put(store, [{"id": "a", "status": 0, "duration": 5_000}])
    columns, _ = unpack(changes(store)[0][0])
    row = [store.span_id(r) for r in columns["row"].tolist()].index("a")
    assert np.isnan([columns[name][row] for name in ("start", "duration", "cost")]).all()
    assert [int(columns[name][row]) for name in ("input", "output")] == [0xFFFFFFFF] * 2


def test_protocol_header_is_strict_json() -> None:
    store = Store()
    put(store, [{"id": "a", "agent": "a", "name": "\ud800" + "x" * 5_000, "model": "m\n\0\u2028"}])
    (message,), _ = changes(store)
    assert json.loads(json.dumps(message.header, allow_nan=False)) == message.header
    json.dumps(message.header, ensure_ascii=False).encode()
    assert set(message.header) == set(
        "type epoch scope for from to part parts strings classes runs shown status puts gone".split()
    )
    assert message.header["from"] == -1
    assert max(len(text) for text in message.header["strings"][1:]) == 300  # type: ignore[arg-type]
    (run,) = message.header["runs"]
    assert set(run) == set(
        "trace_id name origin original_trace_id original_row status start end spans llm_calls tool_calls agents errors "
        "input_tokens output_tokens cost_usd unpriced_calls progress phases marks".split()
    )
    assert run["input_tokens"] is None and run["phases"] == run["marks"] == [] and run["progress"] == ""


def test_protocol_sends_changed_run_descriptions() -> None:
    store = Store()
    put(store, [{"id": "a", "trace": "t1"}, {"id": "b", "trace": "t2", "input": 0, "output": 7}])
    code = store.find_trace("t1") or 0
    (message,), known = changes(store)
    assert [run["output_tokens"] for run in message.header["runs"]] == [None, 7]
    told = {
        "progress": "phase 2 of 2, 3 of 4 subtasks",
        "phases": [(1_000_000, 3_500_000, "phase 1 of 2", "ok"), (3_500_000, NAT, "\ud800", "running")],
        "marks": [(3_500_000, "m" * 900)],
    }
    store.describe(code, **told)  # type: ignore[arg-type]
    assert store.commit() and store.revision > known.revision
    (message,), after = changes(store, known)
    (run,) = message.header["runs"]
    assert run["trace_id"] == "t1" and run["progress"] == told["progress"]
    assert run["phases"] == [
        {"name": "phase 1 of 2", "start": 1_000.0, "end": 3_500.0, "status": "ok"},
        {"name": "\ufffd", "start": 3_500.0, "end": None, "status": "running"},
    ]
    assert [(mark["time"], len(mark["name"])) for mark in run["marks"]] == [(3_500.0, 300)]
    store.describe(code, **told)  # type: ignore[arg-type]
    assert not store.commit() and store.revision == after.revision
    store.describe(code, marks=[(at, "") for at in range(9_000)])
    store.commit()
    (message,), _ = changes(store, after)
    assert [mark["time"] for mark in message.header["runs"][0]["marks"]] == [at / 1000 for at in range(8_500, 9_000)]


def test_protocol_sends_each_string_once() -> None:
    store, encoder = Store(), None
    put(store, [{"id": "a", "agent": "someone"}])
    encoder = Encoder(store)
    first, known = encoder.encode(ClientState(), Scope(1, (0,)))
    put(store, [{"id": "b", "agent": "someone"}])
    second, after = encoder.encode(known, Scope(1, (0,)))
    assert "someone" in first[0].header["strings"]
    assert second[0].header["strings"] == [known.strings]
    assert second[0].header["classes"] == [known.classes]
    assert second[0].header["from"] == known.revision
    assert second[0].header["to"] == after.revision == store.revision


def test_protocol_sends_spans_of_shown_runs_only() -> None:
    store = Store()
    put(store, [{"id": "a", "trace": "t1"}, {"id": "b", "trace": "t2"}])
    (message,), known = changes(store, shown=(store.find_trace("t2") or 0,))
    ids = {store.span_id(row) for row in unpack(message)[0]["row"].tolist()}
    assert "b" in ids
    assert "a" not in ids
    assert [run["trace_id"] for run in message.header["runs"]] == ["t1", "t2"]
    put(store, [{"id": "c", "trace": "t1"}])
    (message,), _ = Encoder(store).encode(known._replace(strings=1, classes=0), Scope(1, (1,)))
    assert message.header["puts"] == 0
    assert [run["trace_id"] for run in message.header["runs"]] == ["t1"]


def test_protocol_answers_unknown_states_with_a_snapshot() -> None:
    store = Store()
    put(store, [{"id": f"s{i}"} for i in range(10)])
    _, known = changes(store)
    put(store, [{"id": "new"}])
    for place, snapshot in (
        (known, False),
        (known._replace(epoch="other"), True),
        (known._replace(scope=0), True),
        (known._replace(revision=-1), True),
        (known._replace(revision=known.revision + 10**6), True),
    ):
        (message,), _ = changes(store, place)
        assert (message.header["from"] == -1) is snapshot
    put(store, [{"id": f"many{i}"} for i in range(100_001)])
    assert changes(store, known)[0][0].header["from"] == -1


def test_protocol_cuts_large_changes_into_parts() -> None:
    store, dice = Store(), random.Random(3)
    names = ["ä" * dice.randint(1, 900) + str(i) for i in range(8_000)]
    put(store, [{"id": f"s{i}", "name": names[i % 8_000]} for i in range(50_000)], commit=False)
    put(store, [{"id": "x", "trace": f"run-{i}"} for i in range(3_000)])
    page, sent = Page(), list[ChangeMessage]()
    stream = ChangeStream(store, lambda m: (sent.append(m), page.take(m))[1], lambda: STATUS, Hand())
    stream.select_trace("t")
    stream.subscribe("page", page.known)
    pump_all(stream)
    assert len(sent) == sent[0].header["parts"] > 3
    assert max(map(size, sent)) <= 1_000_000
    assert min(map(size, sent[:-1])) > MESSAGE_LIMIT * 0.7
    assert page.spans == expected(store, stream)
    assert len(page.runs) == 3_001


def test_protocol_overhead_per_span_is_small() -> None:
    store = Store()
    put(store, [{"id": f"s{i}", "agent": f"a{i % 5}", "start": i} for i in range(1_000)])
    encoder = Encoder(store)
    _, known = encoder.encode(ClientState(), Scope(1, (0,)))
    put(store, [{"id": f"x{i}", "agent": f"a{i % 5}", "start": i} for i in range(100)])
    (message,), _ = encoder.encode(known, Scope(1, (0,)))
    assert size(message) / 100 <= 60


def test_protocol_refuses_inconsistent_lengths() -> None:
    store = Store()
    put(store, [{"id": "a"}])
    (message,), _ = changes(store)
    with pytest.raises(ValueError, match="announces"):
        unpack(ChangeMessage(message.header, [message.buffers[0][:-1]]))
    with pytest.raises(ValueError, match="announces"):
        unpack(ChangeMessage(message.header, [*message.buffers, b"1234"]))


@given(st.text())
def test_clean_returns_text_that_can_be_sent(text: str) -> None:
    out = clean(text, 20)
    out.encode()
    assert len(out) <= 20
    assert out == text or len(text) > 20 or any("\ud800" <= c <= "\udfff" for c in text)


SPAN = st.fixed_dictionaries(
    {
        "trace": st.sampled_from(["t1", "t2", "t3"]),
        "id": st.integers(0, 30).map(str),
        "parent": st.none() | st.integers(0, 30).map(str),
        "kind": st.sampled_from(["llm", "tool", "agent", "odd"]),
        "agent": st.sampled_from(["orchestrator", "module_a", "module_b", "é"]),
        "name": st.sampled_from(["read", "\ud800", "x" * 400]),
        "start": st.none() | st.integers(0, 10**12),
        "duration": st.none() | st.integers(0, 10**9),
        "status": st.sampled_from([0, 1, 2]),
        "input": st.none() | st.integers(0, 10**6),
        "output": st.none() | st.integers(0, 10**6),
    },
    optional={
        "own": st.fixed_dictionaries(
            {
                "origin": st.sampled_from(["run", "replay"]),
                "original_trace_id": st.sampled_from([None, "t1", "t2"]),
                "provenance": st.sampled_from(["", "reused", "stale"]),
            }
        )
    },
)
STEP = st.one_of(
    st.tuples(st.just("put"), st.lists(SPAN, max_size=6)),
    st.tuples(st.just("remove"), st.lists(st.integers(0, 60), max_size=3)),
    st.tuples(st.just("pump"), st.integers(1, 3)),
    st.tuples(st.just("hello"), st.integers(0, 2)),
    st.tuples(st.just("bye"), st.integers(0, 2)),
    st.tuples(st.just("choose"), st.sampled_from([None, "t1", "t2", "t4"])),
    st.tuples(st.just("fail"), st.integers(1, 2)),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(STEP, max_size=30), st.integers(0, 2**32), st.sampled_from([0.0, 0.1, 0.5]))
def test_protocol_snapshot_and_changes_agree_with_the_store(
    steps: list[tuple[str, Any]], seed: int, loss: float
) -> None:
    """Whatever is put, removed, chosen, lost, doubled and turned round on the way: in the end pages and store agree."""
    store, dice, failing = Store(), random.Random(seed), [0]
    pages = [Page(name) for name in "abc"]
    late: list[ChangeMessage] = []

    def send(message: ChangeMessage) -> None:
        if failing[0]:
            failing[0] -= 1
            raise dice.choice([LookupError("shell_parent"), OSError("closed"), RuntimeError()])
        for page in pages:
            if dice.random() >= loss:
                page.take(message)
            if late and dice.random() < loss:
                page.take(dice.choice(late))
        if dice.random() < loss:
            late.append(message)

    stream = ChangeStream(store, send, lambda: STATUS, Hand())
    for what, value in steps:
        if what == "put":
            put(store, value)
        elif what == "remove":
            store.remove(np.array(sorted({row for row in value if row < store.size}), np.int32))
            store.commit()
        elif what == "pump":
            for _ in range(value):
                stream.send_next()
        elif what == "hello":
            stream.subscribe(pages[value].name, pages[value].known)
        elif what == "bye":
            stream.unsubscribe(pages[value].name)
        elif what == "choose":
            stream.select_trace(value)
        else:
            failing[0] += value
    loss, failing[0] = 0.0, 0
    late.clear()
    settle(stream, pages)
    wanted = expected(store, stream)
    for page in pages:
        assert not page.behind
        assert page.spans == wanted
        assert page.shown == [clean(trace_id) for trace_id in stream.shown()]
        for info in store.traces:
            if info.spans:
                assert page.runs[clean(info.trace_id)]["spans"] == info.spans
