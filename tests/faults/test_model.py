"""The model, case by case: G1 to G9. What the store holds is a function of the set of lines."""

from __future__ import annotations

import hashlib
import itertools
import math
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import anton_notebook as anb
from anton_notebook import render
from anton_notebook.model.span import NAT
from anton_notebook.sources.reader import Reader
from anton_notebook.store import Store
from anton_notebook.store.agent_nodes import agent_id
from tests.faults.test_tailing import reasons, spans
from tests.store.test_store import line as row
from tests.store.test_store import lines_of, read
from tests.support.canonical import state
from tests.support.pages import line
from tests.support.scale import many


def fingerprint(store: Store) -> str:
    held = state(store)
    return hashlib.sha256(repr((sorted(held["spans"].items()), sorted(held["runs"].items()))).encode()).hexdigest()


def test_G1_every_order_of_the_lines_gives_the_same_graph(tmp_path: Path) -> None:
    lines = [
        row("top"),
        row("work", "module_api", "top", timestamp="2026-01-01T00:00:01Z"),
        row("tool", "module_api", "work", span_type="tool_call", tool_name="grep", timestamp="2026-01-01T00:00:02Z"),
        row("deep", "module_api", "tool", timestamp="2026-01-01T00:00:03Z"),
        row("orphan", "module_web", "never seen", timestamp="2026-01-01T00:00:04Z"),
        row("late", "module_web", "orphan", error="exploded", timestamp="2026-01-01T00:00:05Z"),
    ]
    found = set()
    for number, order in enumerate(itertools.permutations(lines)):
        found.add(fingerprint(read(tmp_path / str(number), [[("a", one)] for one in order])))
    print(f"{number + 1} orders, line by line: {len(found)} result")
    assert number + 1 == 720 and len(found) == 1


def fingerprint_of_spans(store: Store) -> str:
    return repr(sorted(state(store)["spans"].items()))


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), min_size=1, max_size=16))
def test_G2_whatever_parents_are_claimed_there_is_no_circle(
    tmp_path_factory: pytest.TempPathFactory, claims: list[tuple[int, int]]
) -> None:
    folder = tmp_path_factory.mktemp("g")
    (folder / "t.jsonl").write_text(lines_of(*(row(f"s{a}", f"agent{a % 3}", f"s{b}") for a, b in claims)))
    traces = anb.read_traces(folder)
    assert spans(traces) == sorted({f"s{a}" for a, _ in claims})
    parent = traces.store.c.parent
    for start in traces.store.live_rows().tolist():
        seen, at = set(), start
        while at >= 0:
            assert at not in seen, "a circle"
            seen.add(at)
            at = int(parent[at])
    two = len({b for a, b in claims if a == claims[0][0]}) > 1
    circle = any(a == b for a, b in claims)
    assert not (two or circle) or traces.reader.problems.count, "what was cut or not taken is told"
    render.run_svg(traces.store, [0])


def test_G3_the_same_id_again_is_merged_or_told_and_nothing_vanishes(tmp_path: Path) -> None:
    running = row("run", duration_ms=None, anton_notebook={"version": 1, "status": "running"})
    (tmp_path / "a.jsonl").write_text(lines_of(running, row("run"), row("same"), row("same"), row("odd")))
    (tmp_path / "b.jsonl").write_text(lines_of(row("odd", duration_ms=77.0), row("odd", trace_id="other")))
    traces = anb.read_traces(tmp_path)
    assert spans(traces) == ["odd", "odd", "run", "same"] and traces.span("run").status == "ok"
    assert traces.span("odd", trace_id="t").duration_ms == 10.0
    assert reasons(traces).count("first is kept") == 1


@pytest.mark.parametrize("first", [True, False])
def test_G3_a_line_with_the_id_of_an_agents_node_is_told(tmp_path: Path, first: bool) -> None:
    good, sly = row("good", "module_a"), row(agent_id("t", "module_a"), "module_a")
    (tmp_path / "t.jsonl").write_text(lines_of(*([sly, good] if first else [good, sly])))
    traces = anb.read_traces(tmp_path)
    assert spans(traces) == ["good"] and "has the id that an agent's own node has" in reasons(traces)
    assert traces.runs_df()["llm_calls"].tolist() == [1]


@st.composite
def versions(draw: st.DrawFn) -> list[tuple[str, dict[str, Any]]]:
    """Lines that say different things of very few spans: parents, times, agents, what they are of; each with its file."""
    lines = []
    for number in range(draw(st.integers(2, 7))):
        one = row(
            draw(st.sampled_from(("s0", "s0", "s1"))),
            draw(st.sampled_from(("orchestrator", "a", "b"))),
            draw(st.sampled_from((None, "t", "s0", "s1", "unseen", "never"))),
            timestamp=f"2026-01-01T00:00:0{draw(st.integers(0, 3))}Z",
            duration_ms=draw(st.sampled_from((0, 0, 5, 10))),
        )
        if draw(st.integers(0, 2)) == 0:
            one |= {"duration_ms": None, "anton_notebook": {"version": 1, "status": "running"}}
        elif draw(st.integers(0, 3)) == 0:
            one["anton_notebook"] = {
                "version": 1, "origin": draw(st.sampled_from(("record", "rerun", "replay"))),
                "original_trace_id": draw(st.sampled_from(("first", "second"))), "cached_tokens": draw(st.integers(0, 2)),
            }  # fmt: skip
        if draw(st.integers(0, 4)) == 0:
            one["error"] = "exploded"
        lines.append(("abc"[number % 3], one))
    return lines


@settings(max_examples=many(200, 5000))
@given(st.data())
def test_G3_whatever_lines_say_of_one_span_their_order_makes_no_difference(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    lines = data.draw(versions())
    folder = tmp_path_factory.mktemp("g")
    for name in "abc":
        (folder / name).mkdir()
    at_once = read_lines(folder / "a", lines, [len(lines)])
    for name in "bc":
        order = data.draw(st.permutations(range(len(lines))))
        cuts = data.draw(st.lists(st.integers(1, len(lines)), max_size=3))
        assert read_lines(folder / name, lines, cuts, order) == at_once


def read_lines(
    folder: Path, lines: list[tuple[str, dict[str, Any]]], cuts: list[int], order: Sequence[int] = ()
) -> tuple[str, set[str]]:
    """What the store holds of lines that each have a file of their own, read in this order and in parts; and whose parents differ."""
    store, told = Store(), set[str]()

    def tell(row: int, field: str, reason: str) -> None:
        if "another parent" in reason:
            told.add(store.span_id(row))

    reader = Reader([folder], store, wait=True)
    store.on_problem = tell
    for place, number in enumerate(order or range(len(lines)), 1):
        (folder / f"{number}.jsonl").write_text(lines_of(lines[number][1]))
        if place in cuts:
            reader.scan()
    reader.scan()
    reader.close()
    held = state(store)
    return repr((sorted(held["spans"].items()), sorted(held["runs"].items()))), told


TIMES = {
    "the clock went back": ({"timestamp": "2025-01-01T00:00:00Z"}, ""),
    "the year 9999": ({"timestamp": "9999-12-31T23:59:59Z"}, ""),
    "zero": ({"timestamp": "1970-01-01T00:00:00Z"}, ""),
    "before 1970": ({"timestamp": "1960-01-01T00:00:00Z"}, ""),
    "another clock": ({"timestamp": "2026-01-01T09:00:00+09:00"}, ""),
    "seconds since 1970": ({"timestamp": 1767225600}, ""),
    "nanoseconds since 1970": ({"timestamp": 1767225600000000000}, ""),
    "no time at all": ({"timestamp": "soon"}, "timestamp"),
    "an end before the start": ({"duration_ms": -5}, "duration_ms"),
    "longer than anything": ({"duration_ms": 1e300}, "duration_ms"),
    "no end": ({"duration_ms": None}, ""),
}


@pytest.mark.parametrize("name", TIMES)
def test_G4_odd_times_have_no_negative_width_and_are_told(tmp_path: Path, name: str) -> None:
    wrong, field = TIMES[name]
    (tmp_path / "t.jsonl").write_text(lines_of(row("before"), row("odd", **wrong), row("after")))
    traces = anb.read_traces(tmp_path)
    assert spans(traces) == ["after", "before", "odd"]
    durations = traces.store.c.duration[traces.store.live_rows()]
    assert (durations[durations != NAT] >= 0).all()
    assert not field or any(problem.field == field for problem in traces.reader.problems.rows()), reasons(traces)
    assert "NaN" not in render.run_svg(traces.store, [0]) and "inf" not in render.run_svg(traces.store, [0])
    first = traces.spans_df()["span_id"].tolist()
    assert anb.read_traces(tmp_path).spans_df()["span_id"].tolist() == first


SHAPES: dict[str, Any] = {
    "100,000 spans": lambda i: None if i % 100 == 0 else f"s{i - i % 100}",
    "10,000 children": lambda i: "s0" if i else None,
    "5,000 deep": lambda i: f"s{i - 1}" if i else None,
}


@pytest.mark.parametrize(
    ("shape", "count"), [("100,000 spans", 100_000), ("10,000 children", 10_001), ("5,000 deep", 5000)]
)
def test_G5_large_wide_and_deep_runs_are_read_and_drawn(tmp_path: Path, shape: str, count: int) -> None:
    text, parent_of = line("@", parent_id="%"), SHAPES[shape]
    with (tmp_path / "t.jsonl").open("wb") as out:
        for i in range(count):
            parent = parent_of(i)
            value = b"null" if parent is None else b'"%s"' % parent.encode()
            out.write(text.replace(b'"@"', b'"s%d"' % i).replace(b'"%"', value))
    began = time.process_time()
    traces = anb.read_traces(tmp_path)
    frame = traces.spans_df()
    drawn = render.run_svg(traces.store, [0])
    took = time.process_time() - began
    print(f"{shape}: read, frame and picture in {took:.1f} s")
    assert (frame["kind"] == "llm").sum() == count and len(drawn) < 2_000_000 and took < 20
    assert frame["depth"].max() >= (4999 if shape == "5,000 deep" else 1)


@pytest.mark.parametrize(
    "name", ["x" * 1_000_000, "\u202eabc\u202c", "a\u200bb\u200d", "👩‍👩‍👧‍👦", "\x00\x1b[31m", " ", "\n\n"]
)
def test_G6_odd_names_are_shown_and_exact_in_the_frame(tmp_path: Path, name: str) -> None:
    (tmp_path / "t.jsonl").write_text(
        lines_of(row("s", name), row("tool", name, span_type="tool_call", tool_name=name))
    )
    traces = anb.read_traces(tmp_path)
    frame = traces.spans_df().set_index("span_id")
    assert frame.loc["s", "agent"] == name and frame.loc["tool", "name"] == name
    drawn = render.run_svg(traces.store, [0])
    assert len(drawn) < 20_000 and "\x00" not in drawn and "\x1b" not in drawn


def test_G7_grown_line_by_line_is_the_same_as_read_at_once(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    rounds, dice = 5000 if request.config.getoption("--nightly") else 150, random.Random(11)
    agents = ("orchestrator", "module_a", "module_b")
    for number in range(rounds):
        ids = [f"s{i}" for i in range(dice.randrange(1, 12))]
        lines = [
            (
                "ab"[dice.randrange(2)],
                row(one, dice.choice(agents), dice.choice([None, "unseen", *ids]), duration_ms=float(i)),
            )
            for i, one in enumerate(ids)
        ]
        parts, at = [], 0
        while at < len(lines):
            step = dice.randrange(1, 4)
            parts.append(lines[at : at + step])
            at += step
        assert fingerprint_of_spans(read(tmp_path / f"g{number}", parts)) == fingerprint_of_spans(
            read(tmp_path / f"w{number}", [lines])
        ), number
    print(f"{rounds} runs grown in parts")


class Plain:
    """What a run costs, counted as one would by hand."""

    def __init__(self, lines: list[dict[str, Any]]) -> None:
        last: dict[str, dict[str, Any]] = {}
        for one in lines:
            last.setdefault(one["span_id"], one)
        calls = [one for one in last.values() if one["span_type"] == "llm_call"]
        self.calls, self.tools = len(calls), sum(one["span_type"] == "tool_call" for one in last.values())
        counts = [one["tokens"] for one in calls]
        self.input = sum(one["input"] for one in counts)
        self.output = sum(one["output"] for one in counts)
        self.cost = sum(one["input"] * 2.5e-6 + one["output"] * 10e-6 for one in counts)
        self.errors = sum(bool(one.get("error")) or one.get("success") is False for one in last.values())


@settings(max_examples=40)
@given(st.data())
def test_G8_counts_and_costs_are_those_of_a_plain_sum(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    lines = []
    for i in range(data.draw(st.integers(1, 15))):
        tool = data.draw(st.booleans())
        more: dict[str, Any] = {
            "tokens": {"input": data.draw(st.integers(0, 999)), "output": data.draw(st.integers(0, 99))}
        }
        if tool:
            more = {
                "span_type": "tool_call",
                "tool_name": "grep",
                "success": data.draw(st.booleans()),
                "tokens": None,
                "model": None,
            }
        if data.draw(st.integers(0, 3)) == 0:
            more["error"] = "exploded"
        lines.append(row(f"s{i}", data.draw(st.sampled_from("ab")), **more))
    wanted = Plain(lines)
    repeats = [*lines, *data.draw(st.lists(st.sampled_from(lines), max_size=4))]
    store = read(tmp_path_factory.mktemp("g") / "t", [[("a", one)] for one in data.draw(st.permutations(repeats))])
    run = store.traces[0].figures()
    assert (run["llm_calls"], run["tool_calls"], run["input_tokens"], run["output_tokens"]) == (
        wanted.calls, wanted.tools, wanted.input if wanted.calls else None, wanted.output if wanted.calls else None,
    )  # fmt: skip
    assert run["errors"] == wanted.errors
    assert not wanted.calls or (run["cost_usd"] or 0.0) == pytest.approx(wanted.cost)


UNKNOWN = {
    "no tokens": {"tokens": None},
    "negative tokens": {"tokens": {"input": -1, "output": 5}},
    "tokens as text": {"tokens": {"input": "many", "output": 5}},
    "an unknown model": {"model": "home-made-7b", "provider": "mine"},
    "no model": {"model": None},
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_G9_what_has_no_price_is_unknown_and_never_free(tmp_path: Path, name: str) -> None:
    (tmp_path / "t.jsonl").write_text(lines_of(row("known"), row("odd", **UNKNOWN[name])))
    traces = anb.read_traces(tmp_path)
    frame = traces.spans_df().set_index("span_id")
    assert math.isnan(frame.loc["odd", "cost_usd"])
    run = traces["t"].figures
    known = 10 * 2.5e-6 + 2 * 10e-6
    assert run["unpriced_calls"] == 1 and run["cost_usd"] == pytest.approx(known)
    assert "≥" in render.run_svg(traces.store, [0]), "the picture's total says at least"
    assert traces.runs_df()["unpriced_calls"].tolist() == [1]
