"""`to_png`: which page answers, and errors if none can."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from anton_notebook.errors import NoPage, PictureError
from anton_notebook.widget.screenshot import SIGNATURE
from anton_notebook.widget.trace_graph import TraceGraph
from tests.widget.fakes import Client

PNG = SIGNATURE + bytes(range(256)) * 20


def hello(graph: TraceGraph) -> Client:
    client = Client(graph)
    client.hello()
    return client


def beside(graph: TraceGraph, reply: Callable[[Client, str], None]) -> threading.Thread:
    """A page that is answered on another thread, as on a subshell, and replies to the next picture that is asked for."""

    def run() -> None:
        client = hello(graph)
        ready.set()
        deadline = time.monotonic() + 20
        while not graph._shoot and time.monotonic() < deadline:
            time.sleep(0.005)
        reply(client, graph._shoot["id"])

    ready = threading.Event()
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert ready.wait(20)
    return thread


def test_screenshot_refuses_without_a_page_that_can_answer(graph: TraceGraph) -> None:
    began = time.monotonic()
    with pytest.raises(NoPage, match=r"No page shows this graph.*to_svg"):
        graph.to_png()
    hello(graph)
    with pytest.raises(NoPage, match=r"only between cells.*ipykernel 7"):
        graph.to_png()
    assert time.monotonic() - began < 5 and not graph._shoot
    for scale in (0, 5, True, "2"):
        with pytest.raises(ValueError, match=r"from 0\.5 to 4"):
            graph.to_png(scale=scale)  # type: ignore[arg-type]


def test_screenshot_joins_pieces_of_one_page(graph: TraceGraph, tmp_path: Path) -> None:
    data = base64.b64encode(PNG).decode()

    def reply(client: Client, token: str) -> None:
        client.ask("drawn", client="x", shot="another", piece="AAAA", last=True)
        client.ask("drawn", client="hidden", shot=token, problem="The graph is in no visible part of the page.")
        client.ask("drawn", client="a", shot=token, piece=data[:4000], last=False)
        client.ask("drawn", client="a", shot=token, piece=data[4000:], last=True)

    thread = beside(graph, reply)
    assert graph.to_png(tmp_path / "x.png", scale=1) == PNG
    assert (tmp_path / "x.png").read_bytes() == PNG
    thread.join()
    graph._shoot = {}
    thread = beside(graph, reply)
    with pytest.raises(FileExistsError, match="overwrite=True"):
        graph.to_png(tmp_path / "x.png")
    thread.join()


def test_screenshot_refuses_what_is_not_a_picture(graph: TraceGraph) -> None:
    def refuse(client: Client, token: str) -> None:
        client.ask("drawn", client="a", shot=token, problem="The tree view is no picture.")

    thread = beside(graph, refuse)
    with pytest.raises(PictureError, match="The tree view is no picture"):
        graph.to_png()
    thread.join()

    graph._shoot = {}
    answers: list[str] = []

    def lie(client: Client, token: str) -> None:
        for piece in (base64.b64encode(b"<svg>").decode(), "not base64!"):
            with pytest.raises(RuntimeError) as said:
                client.ask("drawn", client=str(len(answers)), shot=token, piece=piece, last=True)
            answers.append(str(said.value))

    thread = beside(graph, lie)
    with pytest.raises(NoPage, match="answered within"):
        graph.to_png(timeout=1.0)
    thread.join()
    assert [word in said for word, said in zip(("not a PNG", "not valid base64"), answers, strict=True)] == [True, True]
