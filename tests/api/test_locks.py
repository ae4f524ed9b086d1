"""Threads that ask and one that reads: no order of theirs ends in all of them waiting for each other."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import anton_notebook as anb
from tests.support.proxies import Proxy, system, user
from tests.tables.test_lent import FRAMES, lines

OTLP = (
    '{"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "%032x", "spanId": "%016x", "name": "chat", '
    '"startTimeUnixNano": "1790000000000000000", "endTimeUnixNano": "1790000001000000000", "attributes": []}]}]}]}\n'
)


def run(what: Callable[[], object]) -> threading.Thread:
    """Begins this on a thread that does not keep the tests from ending."""
    thread = threading.Thread(target=what, daemon=True)
    thread.start()
    return thread


@pytest.mark.parametrize("asked", FRAMES)
@pytest.mark.parametrize("other", ["spans_df", "messages_df", "tool_calls_df"])
def test_whoever_holds_the_store_may_ask_while_others_wait_for_it(tmp_path: Path, asked: str, other: str) -> None:
    file = tmp_path / "t.jsonl"
    file.write_text(lines(1))
    traces, done, held, go = anb.read_traces(file), list[int](), threading.Event(), threading.Event()

    def ask() -> None:
        with traces.store.lock:
            held.set()
            go.wait()
            done.append(len(traces.store.traces))
            traces._frame.rows()
        getattr(traces, asked)()

    first = run(ask)
    held.wait()
    second = run(lambda: getattr(traces, other)())
    time.sleep(0.05)  # until it waits for the store; where it does not yet, this finds nothing
    go.set()
    for thread in (first, second):
        thread.join(60)
        assert not thread.is_alive()
    assert done == [1]


@pytest.mark.parametrize("kind", ["jsonl", "otlp", "proxy"])
def test_listeners_are_called_when_the_store_is_free(tmp_path: Path, kind: str) -> None:
    file = tmp_path / ("t.db" if kind == "proxy" else "t.jsonl")
    proxy = Proxy(file) if kind == "proxy" else None

    def write(i: int) -> None:
        if proxy is not None:
            proxy.call([system("api"), user(f"Task: {i}")], "done", at=float(i))
        else:
            with file.open("a") as out:
                out.write(OTLP % (1, i) if kind == "otlp" else lines(i))

    write(1)
    traces, free = anb.read_traces(file), list[bool]()

    def listen() -> None:
        def look() -> None:
            got = traces.store.lock.acquire(timeout=20)
            free.append(got)
            if got:
                traces.store.lock.release()

        run(look).join()

    traces.store.subscribe(listen)
    for i in range(2, 5):
        write(i)
        traces.refresh()
    assert free and all(free)
    traces.close()
    if proxy is not None:
        proxy.close()
