"""`TraceGraph` over a comm that is not Jupyter's: everything that a page can say, and everything that can go wrong."""

from __future__ import annotations

import gc
import json
import threading
import time
import tracemalloc
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import comm
import pytest
from comm.base_comm import BaseComm
from ipywidgets.widgets.widget import _instances

from anton_notebook import api, commands, sync, widget
from anton_notebook.errors import MissingBundle, PathNotFound, SpanNotFound
from anton_notebook.protocol import Message
from anton_notebook.widget import TraceGraph
from tests.pages import Page, expected, line

PATIENCE = 5.0


def eventually(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline, "it never came to be"
        time.sleep(0.002)


class Wire(BaseComm):
    """A comm that keeps what is sent, and raises when it is told to."""

    all: ClassVar[dict[str, Wire]] = {}
    fails: ClassVar[Callable[[int], BaseException | None]] = staticmethod(lambda number: None)
    number: ClassVar[int] = 0

    def publish_msg(
        self, msg_type: str, data: Any = None, metadata: Any = None, buffers: Any = None, **keys: Any
    ) -> None:
        if msg_type == "comm_msg" and data.get("content", {}).get("type") == "changes":
            Wire.number += 1
            error = Wire.fails(Wire.number)
            if error is not None:
                raise error
        Wire.all[self.comm_id] = self
        json.dumps(data, allow_nan=False)
        self.__dict__.setdefault("sent", []).append((msg_type, data, list(buffers or [])))

    def custom(self, kind: str) -> list[tuple[dict[str, Any], list[bytes]]]:
        """What was sent in custom messages of one type."""
        found = [
            (data.get("content", {}), buffers) for sort, data, buffers in self.__dict__["sent"] if sort == "comm_msg"
        ]
        return [(content, buffers) for content, buffers in found if content.get("type") == kind]


@pytest.fixture(autouse=True)
def wires(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Wire]]:
    monkeypatch.setattr(comm, "create_comm", Wire)
    monkeypatch.setattr(Wire, "all", {})
    monkeypatch.setattr(Wire, "fails", staticmethod(lambda number: None))
    monkeypatch.setattr(Wire, "number", 0)
    yield Wire
    for one in list(_instances.values()):
        one.close()


class Client:
    """A page that shows a widget: it says hello by itself when it notices that something is missing."""

    def __init__(self, graph: TraceGraph, name: str = "page") -> None:
        self.graph, self.page, self.count, self.seen = graph, Page(name), 0, 0

    def ask(self, op: str, **args: Any) -> Any:
        """A request and its answer's value; RuntimeError with the answer's error."""
        self.count += 1
        request = {"type": "request", "id": f"{self.page.name}:{self.count}", "op": op, **args}
        channel = self.graph._commands
        channel._handle_msg({"content": {"data": {"method": "custom", "content": request}}, "buffers": []})
        answer = channel.comm.custom("answer")[-1][0]
        assert answer["id"] == request["id"]
        if answer["ok"]:
            return answer["value"]
        raise RuntimeError(f"{answer['error']['type']}: {answer['error']['message']}")

    def hello(self) -> Any:
        known = self.page.known
        return self.ask(
            "hello", client=self.page.name, epoch=known.epoch or None, scope=known.scope, revision=known.revision,
            strings=known.strings, classes=known.classes,
        )  # fmt: skip

    def look(self) -> Page:
        """Takes in what has been sent since."""
        sent = self.graph.comm.custom("changes")
        for header, buffers in sent[self.seen :]:
            self.page.take(Message(header, buffers))  # type: ignore[arg-type]
        self.seen = len(sent)
        return self.page

    def in_step(self) -> bool:
        self.look()
        return not self.page.behind and self.page.spans == expected(self.graph.traces.store, self.graph._stream)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a.jsonl").write_bytes(line("s1") + line("s2", parent_id="s1"))
    return tmp_path


@pytest.fixture
def graph(folder: Path) -> Iterator[TraceGraph]:
    with_thread = TraceGraph(folder)
    yield with_thread
    with_thread.close()


def append(folder: Path, *lines: bytes) -> None:
    with (folder / "a.jsonl").open("ab") as out:
        out.write(b"".join(lines))


def test_a_page_gets_everything_and_then_what_is_new(graph: TraceGraph, folder: Path) -> None:
    client = Client(graph)
    assert client.hello() == {"subshell": False}
    eventually(client.in_step)
    assert {"s1", "s2"} <= {graph.traces.store.span_id(row) for row in client.page.spans}
    for i in range(20):
        append(folder, line(f"x{i}"))
    eventually(lambda: client.in_step() and len(client.page.spans) == 23)
    assert all(header["from"] >= 0 for header, _ in graph.comm.custom("changes")[1:])
    assert client.page.status["following"] == "inotify"


def test_nothing_is_sent_while_no_page_listens(graph: TraceGraph, folder: Path) -> None:
    append(folder, line("x"))
    eventually(lambda: graph.traces.store.size >= 4)
    time.sleep(0.1)
    assert not graph.comm.custom("changes")
    client = Client(graph)
    client.hello()
    eventually(client.in_step)
    client.ask("bye", client="page")
    before = len(graph.comm.custom("changes"))
    append(folder, line("y"))
    eventually(lambda: graph.traces.store.size >= 5)
    time.sleep(0.1)
    assert len(graph.comm.custom("changes")) == before
    client.hello()
    eventually(client.in_step)
    assert graph.comm.custom("changes")[-1][0]["from"] >= 0  # it still had the rest


def test_a_silent_page_is_forgotten_and_told_so(graph: TraceGraph, monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client(graph)
    client.hello()
    assert client.ask("alive", client="page") == {}
    monkeypatch.setattr(sync, "SILENCE", -1.0)
    graph._stream.due(time.monotonic())
    monkeypatch.undo()
    assert graph._stream.clients == 0
    with pytest.raises(RuntimeError, match="say hello"):
        client.ask("alive", client="page")


def test_messages_keep_their_pace_whatever_the_load(graph: TraceGraph, folder: Path) -> None:
    client = Client(graph)
    client.hello()
    eventually(client.in_step)
    before, began, i = len(graph.comm.custom("changes")), time.monotonic(), 0
    while time.monotonic() - began < 1.5:
        append(folder, line(f"l{i}"))
        i += 1
        time.sleep(0.001)
    seconds = time.monotonic() - began
    assert len(graph.comm.custom("changes")) - before <= 31 * seconds + 1
    eventually(lambda: client.in_step() and len(client.page.spans) == i + 3)


def test_two_pages_and_one_that_comes_later_agree(graph: TraceGraph, folder: Path) -> None:
    first, second, late = (Client(graph, name) for name in ("one", "two", "late"))
    first.hello()
    second.hello()
    append(folder, line("x"), line("r2", trace_id="run-2", timestamp="2026-02-01T00:00:00Z"))
    eventually(lambda: first.in_step() and second.in_step())
    late.hello()
    append(folder, line("y", trace_id="run-2"))
    eventually(lambda: first.in_step() and second.in_step() and late.in_step())
    assert first.page.runs == second.page.runs == late.page.runs
    assert first.page.shown == ["run-2"]  # the newest


@pytest.mark.parametrize("error", [LookupError("shell_parent"), OSError("closed"), RuntimeError("gone"), SystemExit()])
@pytest.mark.parametrize("every", [1, 2, 3, 5])
def test_failing_sends_lose_nothing(
    graph: TraceGraph, folder: Path, wires: type[Wire], error: BaseException, every: int
) -> None:
    failed = list[int]()

    def fails(number: int) -> BaseException | None:
        if number % every or len(failed) > 6:
            return None
        failed.append(number)
        return error

    wires.fails = staticmethod(fails)
    client = Client(graph)
    client.hello()
    for i in range(8):
        append(folder, line(f"f{i}"))
        time.sleep(0.04)
        if client.look().behind:
            client.hello()
    wires.fails = staticmethod(lambda number: None)
    client.hello()
    eventually(client.in_step)
    assert failed
    assert graph._stream.failure is None


def test_a_closed_widget_sends_nothing_and_raises_nothing(graph: TraceGraph, folder: Path) -> None:
    client = Client(graph)
    client.hello()
    eventually(client.in_step)
    stream, line_out, channel = graph._stream, graph.comm, graph._commands
    live = graph.traces.live
    assert live is not None
    graph.close()
    graph.close()
    assert live.closed
    append(folder, line("x"))
    stream.pump()
    assert line_out.__dict__["sent"][-1][0] == "comm_close"
    assert channel.comm is None
    assert stream.due(0.0) is None


def test_the_page_closing_its_comm_ends_the_thread(graph: TraceGraph) -> None:
    live = graph.traces.live
    assert live is not None
    graph.comm.handle_close({})
    assert live.closed


def test_selecting_in_the_page_is_seen_in_python_and_back(graph: TraceGraph, folder: Path) -> None:
    client, heard = Client(graph), list[str]()
    graph.observe(lambda change: heard.append(change["new"]), "selected_span_id")
    assert graph.selected_span is None
    assert len(graph.selected_df) == 0
    row = graph.traces.span("s2").row
    client.ask("select", client="page", row=row)
    assert heard == ["s2"]
    assert graph.selected_span == graph.traces.span("s2")
    assert graph.selected_df["span_id"].tolist() == ["s2"]
    graph.selected_span_id = "s1"
    assert graph._selected_row == graph.traces.span("s1").row
    client.ask("select", client="page", row=None)
    assert graph.selected_span_id is None
    assert graph._selected_row == -1
    updates = [
        data["state"] for sort, data, _ in graph.comm.__dict__["sent"] if data and data.get("method") == "update"
    ]
    assert {"selected_span_id", "_selected_row"} <= {name for state in updates for name in state}


def test_a_span_that_is_not_there_cannot_be_selected(graph: TraceGraph) -> None:
    with pytest.raises(SpanNotFound, match="s1"):
        graph.selected_span_id = "s11"
    assert graph.selected_span_id is None
    with pytest.raises(RuntimeError, match="no span"):
        Client(graph).ask("select", client="page", row=10_000)


def test_an_id_in_two_runs_selects_the_one_on_the_screen(graph: TraceGraph, folder: Path) -> None:
    append(folder, line("s1", trace_id="run-2", timestamp="2026-02-01T00:00:00Z"))
    eventually(lambda: graph.traces.store.find_trace("run-2") is not None and len(graph.traces) == 2)
    graph.selected_span_id = "s1"
    assert graph.selected_span is not None
    assert graph.selected_span.trace_id == "run-2"
    graph.selected_span_id = None
    graph.trace_id = "run-1"
    graph.selected_span_id = "s1"
    assert graph.selected_span is not None
    assert graph.selected_span.trace_id == "run-1"


def test_selecting_in_a_run_that_is_not_shown_shows_it(graph: TraceGraph, folder: Path) -> None:
    append(folder, line("z", trace_id="run-2", timestamp="2026-02-01T00:00:00Z"))
    eventually(lambda: len(graph.traces) == 2)
    graph.selected_span_id = "s2"
    assert graph.trace_id == "run-1"


def test_the_page_chooses_the_run(graph: TraceGraph, folder: Path) -> None:
    append(folder, line("z", trace_id="run-2", timestamp="2026-02-01T00:00:00Z"))
    client, heard = Client(graph), list[str]()
    graph.observe(lambda change: heard.append(change["new"]), "trace_id")
    client.hello()
    eventually(lambda: client.in_step() and client.page.shown == ["run-2"])
    client.ask("show", client="page", trace_id="run-1")
    eventually(lambda: client.in_step() and client.page.shown == ["run-1"])
    client.ask("show", client="page", trace_id=None)
    eventually(lambda: client.in_step() and client.page.shown == ["run-2"])
    assert heard == ["run-1", None]


def test_a_run_that_is_still_to_come_is_waited_for(folder: Path) -> None:
    graph = TraceGraph(folder, trace_id="later")
    try:
        client = Client(graph)
        client.hello()
        eventually(lambda: client.look().status is not None)
        assert client.page.spans == {}
        assert "waiting for the run 'later'" in client.page.status["sentence"]
        append(folder, line("l", trace_id="later"))
        eventually(lambda: client.in_step() and client.page.shown == ["later"])
        eventually(lambda: client.look().status["sentence"] == "")
    finally:
        graph.close()


def test_a_folder_that_is_still_to_come_is_waited_for(tmp_path: Path) -> None:
    graph = TraceGraph(tmp_path / ".modular-agents" / "traces")
    try:
        client = Client(graph)
        client.hello()
        (tmp_path / ".modular-agents" / "traces").mkdir(parents=True)
        (tmp_path / ".modular-agents" / "traces" / "a.jsonl").write_bytes(line("s"))
        eventually(lambda: client.in_step() and len(client.page.spans) == 2)
    finally:
        graph.close()


def test_bad_lines_are_told_in_a_sentence(graph: TraceGraph, folder: Path) -> None:
    client = Client(graph)
    client.hello()
    eventually(client.in_step)
    append(folder, b"{broken\n", b"[1, 2]\n")
    eventually(lambda: client.look().status["problems"] == 2)
    assert "2 lines" in client.page.status["sentence"]


def test_details_hold_everything_in_reading_order(graph: TraceGraph, folder: Path) -> None:
    messages = [{"role": "user", "content": "é" * 70_000}, {"role": "assistant", "content": "Done."}]
    append(
        folder, line("d", parent_id="s1", messages=messages, error="it <b>failed</b>", parameters={"temperature": 0})
    )
    client = Client(graph)
    eventually(lambda: graph.traces.store.size == 4)
    epoch, row = graph.traces.store.epoch, graph.traces.span("d").row
    found = client.ask("details", epoch=epoch, row=row)
    assert [body["part"] for body in found["bodies"]] == ["system", "messages/0", "parameters", "response", "error"]
    assert [body["text"] for body in found["bodies"]][3:] == ["Done.", "it <b>failed</b>"]
    assert (found["span_id"], found["status"], found["duration_ms"], found["input_tokens"]) == (
        "d",
        "error",
        1200.5,
        100,
    )
    assert (found["line"], found["source"], found["depth"]) == (3, str(folder / "a.jsonl"), 2)
    long = found["bodies"][1]
    assert (len(long["text"]), long["chars"]) == (65_536, 70_000)
    rest = client.ask("text", epoch=epoch, row=row, part="messages/0", offset=65_536)
    assert (len(rest["text"]), rest["next_offset"]) == (70_000 - 65_536, None)
    with pytest.raises(RuntimeError, match="another reading"):
        client.ask("details", epoch="00000000", row=row)
    with pytest.raises(RuntimeError, match="no text 'nothing'"):
        client.ask("text", epoch=epoch, row=row, part="nothing", offset=0)


def test_details_of_a_vanished_file_say_so(graph: TraceGraph, folder: Path) -> None:
    epoch, row = graph.traces.store.epoch, graph.traces.span("s1").row
    (folder / "a.jsonl").unlink()
    found = Client(graph).ask("details", epoch=epoch, row=row)
    assert found["span_id"] == "s1"
    assert "a.jsonl" in found["problems"][0]


def test_details_of_a_derived_agent_have_no_texts(graph: TraceGraph) -> None:
    above = graph.traces.span("s1").parent
    assert above is not None
    found = Client(graph).ask("details", epoch=graph.traces.store.epoch, row=above.row)
    assert (found["kind"], found["bodies"], found["source"], found["cost_usd"]) == ("orchestrator", [], None, None)


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ({"op": "detials"}, "did you mean 'details'"),
        ({"op": None}, "no command"),
        ({"op": "hello", "client": 5}, "whole number"),
        ({"op": "hello", "client": 5, "scope": 1, "revision": 1, "strings": 1, "classes": 1}, "client must be a text"),
        ({"op": "hello", "client": "c", "scope": True, "revision": 1, "strings": 1, "classes": 1}, "scope must be"),
        ({"op": "select", "client": "c", "row": "1"}, "row must be"),
        ({"op": "select", "client": "c", "row": -5}, "row must be"),
        ({"op": "show", "client": "c", "trace_id": ["x"]}, "trace_id must be"),
        ({"op": "show", "client": "c", "trace_id": "x" * 2_000}, "trace_id must be"),
    ],
)
def test_a_wrong_request_is_answered_with_what_is_wrong(graph: TraceGraph, request_: dict[str, Any], said: str) -> None:
    with pytest.raises(RuntimeError, match=said):
        Client(graph).ask(**request_)


def test_messages_that_are_no_requests_are_left_alone(graph: TraceGraph) -> None:
    for content in (None, 1, [], {}, {"type": "request"}, {"type": "request", "id": 7, "op": "details"}):
        graph._commands._handle_custom_msg(content, [])
    assert not graph._commands.comm.custom("answer")


def test_an_exception_in_a_command_is_an_answer(graph: TraceGraph, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(widget, "details", lambda traces, row: 1 / 0)
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        Client(graph).ask("details", epoch=graph.traces.store.epoch, row=0)


def test_an_exception_in_an_observer_of_the_user_reaches_the_page_as_an_answer(graph: TraceGraph) -> None:
    graph.observe(lambda change: 1 / 0, "selected_span_id")
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        Client(graph).ask("select", client="c", row=graph.traces.span("s2").row)
    assert graph.selected_span_id == "s2"


def test_a_host_with_one_comm_is_answered_there(graph: TraceGraph) -> None:
    request = {"type": "request", "id": "a:1", "op": "details", "epoch": graph.traces.store.epoch, "row": 0}
    graph._handle_custom_msg(request, [])
    assert graph.comm.custom("answer")[0][0]["ok"]


def test_no_message_can_allow_anything(folder: Path) -> None:
    graph = TraceGraph(folder, allow_rerun=False, budget=0.5)
    try:
        state = {"allow_rerun": True, "allow_replay": True, "budget": 10.0}
        graph._handle_msg({"content": {"data": {"method": "update", "state": state}}, "buffers": []})
        assert (graph.allow_rerun, graph.allow_replay, graph.budget) == (False, False, 0.5)
        assert not set(state) & set(graph.keys)
    finally:
        graph.close()


@pytest.mark.parametrize("budget", [-1, float("nan"), float("inf"), "1", True])
def test_a_budget_is_an_amount_of_money(folder: Path, budget: Any) -> None:
    with pytest.raises(ValueError, match="budget"):
        TraceGraph(folder, budget=budget)


def test_unknown_arguments_are_refused_with_the_nearest_name(folder: Path) -> None:
    with pytest.raises(TypeError, match="'hieght'; did you mean 'height'"):
        TraceGraph(folder, hieght=3)
    with pytest.raises(TypeError, match="it has trace_id"):
        TraceGraph(folder, zzzzz=3)


def test_a_missing_bundle_says_what_to_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(widget, "STATIC", folder / "static")
    with pytest.raises(MissingBundle, match="npm run build"):
        TraceGraph(folder)


def test_a_path_that_cannot_be_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(PathNotFound):
        TraceGraph(tmp_path / "no" / "such" / "place" / "at" / "all")
    assert not [t for t in threading.enumerate() if t.name == "anton_notebook live"]


def test_traits_go_both_ways(graph: TraceGraph) -> None:
    def from_page(**state: Any) -> None:
        graph._handle_msg({"content": {"data": {"method": "update", "state": state}}, "buffers": []})

    from_page(height=300, _layout="order")
    assert (graph.height, graph.layout) == (300, "order")
    graph.layout = "time"
    assert graph._layout == "time"
    with pytest.raises(Exception, match="layout"):
        graph.layout = "circle"
    assert "layout" not in graph.keys  # which ipywidgets would take for a widget
    assert graph.get_state("_commands")["_commands"].startswith("IPY_MODEL_")


def test_no_text_of_a_span_is_in_the_state_that_notebooks_keep(folder: Path) -> None:
    secret = "sk-canary-1234"
    append(
        folder,
        line("c", response=secret, error=secret, system_prompt=secret, messages=[{"role": "user", "content": secret}]),
    )
    graph = TraceGraph(folder)
    try:
        client = Client(graph)
        client.hello()
        eventually(client.in_step)
        client.ask("select", client="page", row=graph.traces.span("c").row)
        state = {k: v for k, v in graph.get_state().items() if k not in ("_esm", "_css")}
        assert secret not in json.dumps(state)
        assert secret not in json.dumps(graph._commands.get_state())
        assert secret not in repr(graph)
        assert secret not in json.dumps(graph.comm.custom("changes")[0][0])
    finally:
        graph.close()


def test_a_failing_reading_is_shown_by_its_kind_alone(
    graph: TraceGraph, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(changed: object = None) -> bool:
        raise ValueError("quoting sk-canary-1234")

    monkeypatch.setattr(graph.traces.reader, "scan", fail)
    append(folder, line("x"))
    eventually(lambda: graph._error)
    assert "ValueError" in graph._error
    assert "canary" not in graph._error
    monkeypatch.undo()
    eventually(lambda: graph._error == "")


def test_its_text_says_what_it_is(graph: TraceGraph, folder: Path) -> None:
    assert repr(graph).startswith(f"<TraceGraph of {folder}: 1 runs, following ")
    bundle = graph._repr_mimebundle_()
    assert bundle is not None
    assert "application/vnd.jupyter.widget-view+json" in bundle[0]


def test_one_thread_a_folder_and_the_last_graph_ends_it(folder: Path) -> None:
    graphs = [TraceGraph(folder) for _ in range(5)]
    live = [t for t in threading.enumerate() if t.name == "anton_notebook live"]
    assert len(live) == 1
    for graph in graphs:
        assert live[0].is_alive()
        graph.close()
    live[0].join(1.0)
    assert not live[0].is_alive()


def test_traces_that_are_given_stay_open(folder: Path) -> None:
    with api.read_traces(folder, follow=True) as traces:
        TraceGraph(traces).close()
        assert traces.live is not None
        assert not traces.live.closed


def test_traces_that_are_not_followed_are_shown_as_they_are(folder: Path) -> None:
    with api.read_traces(folder) as traces:
        graph = TraceGraph(traces)
        client = Client(graph)
        client.hello()
        eventually(client.in_step)
        assert client.page.status == {"live": False, "following": "off", "problems": 0, "sentence": ""}
        graph.close()


class Cells:
    """The cell that runs, as ipykernel tells it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.cell, self.run = "c1", 0
        monkeypatch.setattr(commands, "_cell", lambda: (self.cell, str(self.run)))

    def start(self, cell: str) -> None:
        self.cell, self.run = cell, self.run + 1


def test_running_a_cell_again_closes_what_it_made_before(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cells, threads = Cells(monkeypatch), threading.active_count()
    cells.start("c1")
    first, second = TraceGraph(folder), TraceGraph(folder)
    cells.start("c2")
    other = TraceGraph(folder)
    assert first.comm is not None
    cells.start("c1")
    third = TraceGraph(folder)
    assert (first.comm, second.comm) == (None, None)
    assert None not in (other.comm, third.comm)
    for _ in range(100):
        cells.start("c1")
        TraceGraph(folder)
    assert (
        len([w for w in Wire.all.values() if not w._closed]) == 4
    )  # the other cell's graph and the last one, two comms each
    other.close()
    cells.start("c1")
    TraceGraph(folder).close()
    eventually(lambda: threading.active_count() <= threads + 1)  # the sender may linger
    assert not commands._made


def test_a_hundred_runs_of_a_cell_keep_the_memory_of_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cells = Cells(monkeypatch)

    def run(times: int) -> int:
        for _ in range(times):
            cells.start("c1")
            TraceGraph(folder)
            Wire.all.clear()
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    run(2)
    tracemalloc.start()
    try:
        once = run(1)
        assert run(100) <= 2 * once + 100_000
    finally:
        tracemalloc.stop()


def test_a_graph_that_was_closed_can_be_collected(folder: Path) -> None:
    graph = TraceGraph(folder)
    gone, store = weakref.ref(graph), weakref.ref(graph.traces.store)
    client = Client(graph)
    client.hello()
    eventually(client.in_step)
    graph.close()
    Wire.all.clear()
    del graph, client
    gc.collect()
    eventually(lambda: (gc.collect(), gone() is None and store() is None)[1])


def test_the_sender_ends_when_nobody_listens(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sync, "LINGER", 0.05)
    sync.SENDER.ring()
    graph = TraceGraph(folder)
    client = Client(graph)
    client.hello()
    eventually(client.in_step)
    client.ask("bye", client="page")
    eventually(lambda: not [t for t in threading.enumerate() if t.name == "anton_notebook sender"])
    client.hello()
    append(folder, line("x"))
    eventually(client.in_step)
    graph.close()
