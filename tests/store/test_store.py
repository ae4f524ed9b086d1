"""The store is a function of the set of lines: whatever their order, their files, and the moments of reading."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import anton_notebook as anb
from anton_notebook import pricing
from anton_notebook.errors import AmbiguousSpan, SpanNotFound
from anton_notebook.sources.reader import Reader
from anton_notebook.store import Store, agent_nodes, hash_index, tree
from anton_notebook.store import store as core
from tests.support.canonical import state

AGENTS = ("orchestrator", "module_api", "module_web", "", "writer")


@st.composite
def span_lines(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Lines of one to two runs: any parents (absent, unseen, circular, of another agent), repeats, running and ended pairs."""
    n = draw(st.integers(1, 12))
    lines: list[dict[str, Any]] = []
    for i in range(n):
        kind = draw(st.sampled_from(("llm_call", "llm_call", "tool_call", "agent")))
        line: dict[str, Any] = {
            "timestamp": f"2026-01-01T00:00:{draw(st.integers(0, 30)):02d}.{i:06d}Z",
            "agent_name": draw(st.sampled_from(AGENTS)),
            "trace_id": draw(st.sampled_from(("t1", "t1", "t1", "t2"))),
            "span_id": f"s{i}",
            "parent_id": draw(st.sampled_from((None, "t1", *(f"s{j}" for j in range(n)), "unseen"))),
            "span_type": kind,
            "duration_ms": draw(st.integers(0, 5000)),
        }
        if kind == "llm_call":
            line |= {
                "model": "gpt-4o",
                "provider": "openai",
                "tokens": {"input": draw(st.integers(0, 99)), "output": 3},
            }
        if kind == "tool_call":
            line |= {"tool_name": "grep", "success": draw(st.booleans())}
        if draw(st.integers(0, 5)) == 0:
            line["error"] = "exploded"
        runs = draw(st.integers(0, 6))
        if runs == 0:
            lines.append({**line, "duration_ms": None, "anton_notebook": {"version": 1, "status": "running"}})
        elif runs == 1:
            lines.append({**line, "duration_ms": 1 + line["duration_ms"]})
        lines.append(line)
    return lines


def read(folder: Path, rounds: list[list[tuple[str, dict[str, Any]]]]) -> Store:
    store = Store(pricing.cost_array)
    folder.mkdir()
    (folder / "first.jsonl").touch()
    reader = Reader([folder], store)
    for lines in rounds:
        for name, line in lines:
            with (folder / f"{name}.jsonl").open("a") as file:
                file.write(json.dumps(line) + "\n")
        reader.scan()
    reader.close()
    return store


@settings(max_examples=60)
@given(st.data())
def test_any_order_and_any_moments_of_reading_give_the_same_store(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    lines = data.draw(span_lines())
    placed = [(("a", "b", "c")[i % 3], line) for i, line in enumerate(lines)]
    tmp = tmp_path_factory.mktemp("s")
    at_once = read(tmp / "whole", [placed])
    shuffled = data.draw(st.permutations(placed))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(placed)), max_size=4)))
    parts = [shuffled[a:b] for a, b in zip([0, *cuts], [*cuts, len(placed)], strict=True)]
    assert state(read(tmp / "parts", parts))["spans"] == state(at_once)["spans"]
    assert state(read(tmp / "again", parts))["runs"] == state(at_once)["runs"]


@settings(max_examples=40)
@given(st.data())
def test_spans_whose_hashes_are_equal_are_told_apart(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    lines = [("a", line) for line in data.draw(span_lines())]
    cuts = sorted(data.draw(st.lists(st.integers(0, len(lines)), max_size=3)))
    parts = [lines[a:b] for a, b in zip([0, *cuts], [*cuts, len(lines)], strict=True)]
    tmp = tmp_path_factory.mktemp("s")
    expected = state(read(tmp / "whole", parts))
    with pytest.MonkeyPatch.context() as patch:
        for module in (core, agent_nodes):
            patch.setattr(module, "key_of", lambda span_id, trace: hash_index.key_of(span_id, trace) & 1)
        for module in (core, tree):
            patch.setattr(module, "keys_of", lambda raw, traces: hash_index.keys_of(raw, traces) & np.uint64(1))
        store = read(tmp / "clashes", parts)
        assert state(store) == expected
        assert all(store.row(store.c.trace[row], store.ids[row]) == row for row in store.live_rows().tolist())


def test_index_takes_a_batch_as_it_takes_single_keys() -> None:
    numbers = np.random.default_rng(3)
    many, one, rows = hash_index.HashIndex(), hash_index.HashIndex(), 0
    for size in (1, 700, 3, 2000, 50):
        keys = numbers.integers(0, 3000, size).astype(np.uint64) << np.uint64(7)
        found, new = many.take(keys, rows)
        singly = []
        for i in range(size):
            row, is_new = one.take(keys[i : i + 1], rows)
            singly.append((int(row[0]), bool(is_new[0])))
            rows += singly[-1][1]
        assert list(zip(found.tolist(), new.tolist(), strict=True)) == singly
        assert (many.find(keys) == found).all()
        assert (one.find(keys) == found).all()


@settings(max_examples=50)
@given(st.data())
def test_snapshot_and_changes_are_everything(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    lines = data.draw(span_lines())
    folder = tmp_path_factory.mktemp("s") / "t"
    folder.mkdir()
    file = folder / "a.jsonl"
    file.touch()
    store = Store()
    reader = Reader([folder], store)
    mirror: dict[int, tuple[object, ...]] = {}
    revision = -1
    for line in lines:
        with file.open("a") as out:
            out.write(json.dumps(line) + "\n")
        reader.scan()
        if data.draw(st.booleans()):
            continue
        changes = store.changes(revision)
        revision = changes.revision
        if changes.since < 0:
            mirror.clear()
        for row in changes.gone.tolist():
            mirror.pop(row, None)
        mirror |= {row: tuple(store.span(row)[:-5]) for row in changes.rows.tolist()}
    final = store.changes(revision)
    for row in final.gone.tolist():
        mirror.pop(row, None)
    mirror |= {row: tuple(store.span(row)[:-5]) for row in final.rows.tolist()}
    assert {row: repr(value) for row, value in mirror.items()} == {
        row: repr(tuple(store.span(row)[:-5])) for row in store.live_rows().tolist()
    }


def lines_of(*lines: dict[str, Any]) -> str:
    return "".join(json.dumps(line) + "\n" for line in lines)


def line(span_id: str, agent: str = "orchestrator", parent: str | None = None, **more: Any) -> dict[str, Any]:
    return {
        "timestamp": "2026-01-01T00:00:00Z", "agent_name": agent, "trace_id": "t", "span_id": span_id, "parent_id": parent,
        "span_type": "llm_call", "model": "gpt-4o", "provider": "openai", "duration_ms": 10.0,
        "tokens": {"input": 10, "output": 2}, **more,
    }  # fmt: skip


def test_agents_hang_where_the_rules_say(tmp_path: Path) -> None:
    tmp_path.joinpath("t.jsonl").write_text(
        lines_of(
            line("plan"),
            line("work", "module_api", "plan", timestamp="2026-01-01T00:00:01Z"),
            line(
                "read",
                "module_api",
                "work",
                span_type="tool_call",
                tool_name="read_file",
                timestamp="2026-01-01T00:00:01.001Z",
            ),
            line("more", "module_api", timestamp="2026-01-01T00:00:02Z"),
            line("alone", "module_web", timestamp="2026-01-01T00:00:03Z"),
        )
    )
    traces = anb.read_traces(tmp_path)
    root = traces["t"].root
    assert root is not None and root.kind == "orchestrator"
    assert {child.agent for child in root.children} == {"orchestrator", "module_web"}
    plan = traces.span("plan")
    (api,) = plan.children
    assert (api.kind, api.agent) == ("agent", "module_api")
    assert [child.span_id for child in api.children] == ["work", "more"]
    assert [child.span_id for child in traces.span("work").children] == ["read"]
    assert api.duration_ms == pytest.approx(1010.0)


def test_an_orphan_waits_under_a_pending_parent_and_is_joined_when_it_comes(tmp_path: Path) -> None:
    file = tmp_path / "t.jsonl"
    file.write_text(lines_of(line("tool", "module_api", "call", span_type="tool_call", tool_name="grep")))
    traces = anb.read_traces(tmp_path)
    row = traces.span("tool").row
    pending = int(traces.store.c.parent[row])
    assert traces.store.ids[pending] == "call" and traces.store.span(pending).kind == "pending"
    assert "call" not in set(traces.spans_df()["span_id"])
    with pytest.raises(SpanNotFound):
        traces.span("call")
    with file.open("a") as out:
        out.write(lines_of(line("call", "module_api")))
    traces.refresh()
    call = traces.span("call")
    assert call.row == pending and [child.span_id for child in call.children] == ["tool"]
    assert traces["t"].figures["spans"] == 2


def test_a_circle_of_parents_is_cut_once_and_reported(tmp_path: Path) -> None:
    tmp_path.joinpath("t.jsonl").write_text(
        lines_of(line("a", parent="b"), line("b", parent="c"), line("c", parent="a"), line("d", parent="d"))
    )
    traces = anb.read_traces(tmp_path)
    assert sorted(traces.problems_df()["field"]) == ["parent_id", "parent_id"]
    frame = traces.spans_df().set_index("span_id")
    assert len(frame) == 5 and (frame["depth"] >= 0).all()


def test_a_circle_among_deep_chains_is_found_and_the_chains_stay_whole(tmp_path: Path) -> None:
    chain = [line(f"c{i}", parent=f"c{i - 1}" if i else None) for i in range(900)]
    circle = [line(f"o{i}", parent=f"o{(i + 1) % 70}") for i in range(70)]
    behind = [line(f"b{i}", parent=f"b{i - 1}" if i else "o5") for i in range(200)]
    tmp_path.joinpath("t.jsonl").write_text(lines_of(*chain, *circle, *behind))
    traces = anb.read_traces(tmp_path)
    assert traces.problems_df()["field"].tolist() == ["parent_id"]
    depth = traces.spans_df().set_index("span_id")["depth"]
    assert depth["c899"] - depth["c0"] == 899 and depth["b199"] - depth["o5"] == 200
    assert sorted(depth[[f"o{i}" for i in range(70)]] - depth.filter(regex="^o").min()) == list(range(70))


def test_equal_ids_in_one_trace_are_one_span_and_the_first_is_kept(tmp_path: Path) -> None:
    first, other = line("s"), line("s", duration_ms=99.0)
    (tmp_path / "b.jsonl").write_text(lines_of(other))
    (tmp_path / "a.jsonl").write_text(lines_of(first, first))
    traces = anb.read_traces(tmp_path)
    assert traces.span("s").duration_ms == 10.0
    (problem,) = traces.reader.problems.rows()
    assert problem.field == "span_id" and "first is kept" in problem.reason
    assert traces["t"].figures["spans"] == 1


def test_equal_ids_in_two_traces_are_two_spans(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(lines_of(line("s"), line("s", trace_id="u"), line("tool", trace_id="u")))
    traces = anb.read_traces(tmp_path)
    with pytest.raises(AmbiguousSpan, match="'t'.*'u'"):
        traces.span("s")
    assert traces.span("s", trace_id="u").trace_id == "u"
    with pytest.raises(KeyError, match="did you mean 'tool'"):
        traces.span("tol")


def test_a_running_span_ends_and_its_agent_with_it(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text(lines_of(line("s", duration_ms=None, anton_notebook={"version": 1, "status": "running"})))
    traces = anb.read_traces(tmp_path)
    assert (traces.span("s").status, traces["t"].status) == ("running", "running")
    root = traces["t"].root
    assert root is not None and root.status == "running" and root.end is None
    with file.open("a") as out:
        out.write(lines_of(line("s")))
    traces.refresh()
    root = traces["t"].root
    assert traces["t"].status == "ok" and root is not None and (root.status, root.duration_ms) == ("ok", 10.0)


def test_event_lines_of_one_agent_are_one_span(tmp_path: Path) -> None:
    def event(kind: str, second: int, span_id: str, parent: str | None, **data: Any) -> dict[str, Any]:
        return {
            "event_type": kind, "trace_id": "t", "span_id": span_id, "parent_id": parent, "agent_name": "orchestrator",
            "timestamp": f"2026-01-01T00:00:{second:02d}Z", "data": data,
        }  # fmt: skip

    file = tmp_path / "a.jsonl"
    file.write_text(lines_of(event("agent_start", 0, "o", None)))
    traces = anb.read_traces(tmp_path)
    assert traces.span("o").status == "running"
    with file.open("a") as out:
        out.write(
            lines_of(
                event(
                    "llm_call",
                    1,
                    "l",
                    "o",
                    model="gpt-4o",
                    tokens={"input": 7, "output": 2},
                    messages=[],
                    response="x",
                    cost_usd=0.5,
                ),
                event("tool_call", 2, "x", "l", tool_name="grep", parameters={"q": 1}, result="r", duration_ms=3),
                event("agent_end", 5, "o", None),
            )
        )
    traces.refresh()
    agent = traces.span("o")
    assert (agent.kind, agent.status, agent.duration_ms) == ("orchestrator", "ok", 5000.0)
    call = traces.span("l")
    assert (call.model, call.input_tokens, call.recorded_cost_usd) == ("gpt-4o", 7, 0.5) and call.parent == agent
    assert [child.name for child in call.children] == ["grep"] and traces.span("x").record["parameters"] == {"q": 1}
    assert len(traces.spans_df()) == 3


def test_sums_up_the_tree_skip_what_has_no_price(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(
        lines_of(
            line("a"),
            line("b", parent="a"),
            line("c", parent="a", model="home-made", provider="mine"),
            line("d", "x", tokens=None),
        )
    )
    traces = anb.read_traces(tmp_path)
    frame = traces.spans_df().set_index("span_id")
    price = 10 * 2.5e-6 + 2 * 10e-6
    assert frame.loc["a", "cost_usd"] == pytest.approx(price) and np.isnan(frame.loc["c", "cost_usd"])
    assert frame.loc["a", "total_cost_usd"] == pytest.approx(2 * price) and frame.loc["a", "total_tokens"] == 36
    assert frame.loc["c", "cost_source"] == "unpriced" and np.isnan(frame.loc["c", "total_cost_usd"])
    run = traces["t"].figures
    assert run["unpriced_calls"] == 2 and run["cost_usd"] == pytest.approx(2 * price)
    assert frame["cost_usd"].sum() == pytest.approx(run["cost_usd"])


def test_a_log_that_no_longer_reaches_back_answers_with_a_snapshot(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text(lines_of(line("s")))
    traces = anb.read_traces(tmp_path)
    revision = traces.store.revision
    with file.open("a") as out:
        out.writelines(lines_of(line(f"n{i}")) for i in range(100_001))
    traces.refresh()
    assert traces.store.changes(revision).since == -1
    assert traces.store.changes(traces.store.revision - 10).since >= 0
    assert len(traces.store.changes(-1).rows) == traces.store.size
