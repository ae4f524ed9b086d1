"""The dashboard's server: who may come in, what it answers, and what it streams. A real server, real sockets, real files."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import itertools
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect

from anton_notebook.cli import main
from anton_notebook.dashboard import Dashboard
from anton_notebook.errors import TraceNotFound
from anton_notebook.widget import bundle
from anton_notebook.widget.framing import frame
from tests.conftest import ROOT
from tests.sources.test_follower import eventually
from tests.support.servers.llm_server import LlmServer

WHEN = "2026-11-23T01:18:0{}.000000Z"


def line(span_id: str, at: int, **more: Any) -> dict[str, Any]:
    """A finished LLM call as it lies in a file."""
    known = {
        "timestamp": WHEN.format(at),
        "trace_id": "run-1",
        "span_id": span_id,
        "span_type": "llm",
        "agent_name": "api",
        "provider": "openai",
        "model": "gpt-4o-mini",
        "duration_ms": 120.0,
        "tokens": {"input": 100, "output": 20},
        "messages": [{"role": "user", "content": "Say hello."}],
        "response": "Hello.",
    }
    return known | more


def put(path: Path, *lines: dict[str, Any]) -> None:
    with path.open("a") as file:
        file.writelines(json.dumps(one) + "\n" for one in lines)


class Served:
    """A dashboard in a thread of its own, and plain HTTP to it."""

    def __init__(self, path: Path, **given: Any) -> None:
        self.loop = asyncio.new_event_loop()
        self.made: Dashboard
        ready = threading.Event()

        async def main() -> None:
            self.made = Dashboard(path, **given)
            await self.made.start()
            ready.set()

        def work() -> None:
            asyncio.set_event_loop(self.loop)
            self.loop.run_until_complete(main())
            self.loop.run_forever()

        self.thread = threading.Thread(target=work, daemon=True)
        self.thread.start()
        assert ready.wait(20)
        self.port = self.made.gate.port

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        token: str | None = "right",
        **headers: str,
    ) -> tuple[int, Any, http.client.HTTPResponse]:
        plain = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        sent = {"Host": f"127.0.0.1:{self.port}"} | {name.replace("_", "-"): value for name, value in headers.items()}
        if token is not None:
            sent["Authorization"] = f"Bearer {self.made.gate.token if token == 'right' else token}"
        data = None
        if body is not None:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            sent.setdefault("Content-Type", "application/json")
        plain.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in sent.items():
            if value:
                plain.putheader(name, value)
        if data is not None:
            plain.putheader("Content-Length", str(len(data)))
        plain.endheaders(data)
        answer = plain.getresponse()
        text = answer.read()
        plain.close()
        try:
            return answer.status, json.loads(text), answer
        except ValueError:
            return answer.status, text, answer

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.made.close)
        time.sleep(0.05)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(5)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    traces = tmp_path / ".modular-agents" / "traces"
    traces.mkdir(parents=True)
    put(
        traces / "run_20261123_011800.jsonl",
        line("a", 1),
        line("b", 2, parent_id="a"),
        line("t", 3, span_type="tool", tool_name="read_file", parent_id="a", result="text", tokens=None, model=None),
    )
    return tmp_path


@pytest.fixture
def served(folder: Path) -> Iterator[Served]:
    made = Served(folder)
    yield made
    made.close()


def test_X6_every_door_is_shut_to_strangers(served: Served) -> None:
    port, other = served.port, served.port + 1
    hosts = [
        "evil.com", f"evil.com:{port}", f"localhost.evil.com:{port}", f"0.0.0.0:{port}", f"127.0.0.1.:{port}",
        f"127.0.0.1:{other}", f"127.0.0.2:{port}", f"[::ffff:127.0.0.1]:{port}", f"127.1:{port}", f"2130706433:{port}",
        f"user@127.0.0.1:{port}", "", f"127.0.0.1:{port}, evil.com",
    ]  # fmt: skip
    paths = [
        "/", "/health", "/api/traces", "/api/traces/run-1", "/api/stats", "/api/costs", "/api/spans/a", "/ws/page",
        "/ws/trace/run-1", "/static/dashboard.js", "/static/../app.py", "/nothing", "/favicon.ico",
    ]  # fmt: skip
    tried = 0
    for host, path in itertools.product(hosts, paths):  # the right token does not help a wrong name
        status, _, _ = served.ask("GET", path, Host=host)
        assert status in (400, 403), (host, path, status)
        tried += 1
    tokens = [None, "", "x", served.made.gate.session, served.made.gate.token[:-1], served.made.gate.token + "x"]
    for token, path, method in itertools.product(tokens, paths, ["GET", "POST", "OPTIONS", "PUT", "DELETE"]):
        status, said, answer = served.ask(method, path, body={} if method == "POST" else None, token=token)
        assert status in (401, 403, 405), (token, method, path, status)
        assert b"run-1" not in (said if isinstance(said, bytes) else json.dumps(said).encode())
        assert answer.getheader("Access-Control-Allow-Origin") is None
        tried += 1
    cookies = [f"anton_notebook_{other}={served.made.gate.session}", f"{served.made.gate.cookie}=x", "session=1"]
    for cookie, path in itertools.product(cookies, paths):
        status, _, _ = served.ask("GET", path, token=None, Cookie=cookie)
        assert status == 401, (cookie, path, status)
        tried += 1
    assert tried >= 500


@pytest.mark.parametrize(
    "origin", ["http://evil.com", "null", "https://127.0.0.1:{port}", "http://127.0.0.1:1", "file://"]
)
def test_a_page_of_another_origin_gets_nothing_even_with_the_cookie(served: Served, origin: str) -> None:
    gate = served.made.gate
    cookie = f"{gate.cookie}={gate.session}"
    for method, path in [("GET", "/api/traces"), ("POST", "/api/execute/llm"), ("GET", "/ws/page")]:
        status, _, _ = served.ask(method, path, token=None, Cookie=cookie, Origin=origin.format(port=gate.port))
        assert status == 403


def test_the_cookie_opens_the_page_and_nothing_that_changes_something_without_an_origin(served: Served) -> None:
    status, text, answer = served.ask("GET", f"/?token={served.made.gate.token}", token=None)
    assert status == 200
    given = answer.getheader("Set-Cookie") or ""
    assert "HttpOnly" in given
    assert "SameSite=Strict" in given
    assert served.made.gate.token not in text.decode()
    policy = answer.getheader("Content-Security-Policy") or ""
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert answer.getheader("Referrer-Policy") == "no-referrer"
    cookie = given.split(";")[0]
    assert served.ask("GET", "/api/stats", token=None, Cookie=cookie)[0] == 200
    assert served.ask("POST", "/api/execute/llm", body={}, token=None, Cookie=cookie)[0] == 403


def test_another_port_of_this_machine_reads_nothing_with_the_cookie_that_it_shares(served: Served) -> None:
    gate = served.made.gate
    given = {"Cookie": f"{gate.cookie}={gate.session}", "Sec_Fetch_Site": "same-site"}
    for mode, status in (("no-cors", 403), ("cors", 403), ("navigate", 200)):
        assert served.ask("GET", "/api/traces", token=None, Sec_Fetch_Mode=mode, **given)[0] == status
    assert served.ask("GET", "/api/traces", token=None, **given | {"Sec_Fetch_Site": "same-origin"})[0] == 200


def test_the_address_on_a_browsers_command_line_opens_one_page_once(
    served: Served, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    monkeypatch.setattr("anton_notebook.cli.dashboard.has_display", lambda: True)
    monkeypatch.setattr("anton_notebook.dashboard.serve", lambda path, ready, **given: ready(served.made))
    monkeypatch.setattr("signal.signal", lambda *given: None)
    assert main(["dashboard", "."]) == 0
    eventually(lambda: len(opened) == 1)
    token = served.made.gate.token
    assert token in capsys.readouterr().out and token not in opened[0]
    page = opened[0].removeprefix(served.made.gate.address)
    assert [served.ask("GET", page, token=None)[0] for _ in range(2)] == [200, 401]


def test_a_request_that_fails_is_logged_without_its_token(
    served: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*given: Any) -> None:
        raise OverflowError("on purpose")

    monkeypatch.setattr("anton_notebook.dashboard.serializers.stats", broken)
    token = served.made.gate.token
    assert served.ask("GET", f"/api/stats?token={token}", token=None)[0] == 500
    eventually(lambda: "on purpose" in caplog.text)
    assert token not in caplog.text


def test_runs_spans_sums_and_health(served: Served) -> None:
    status, value, _ = served.ask("GET", "/api/traces?limit=5")
    assert status == 200
    assert value["total"] == 1
    run = value["traces"][0]
    assert (run["trace_id"], run["llm_calls"], run["tool_calls"], run["input_tokens"]) == ("run-1", 2, 1, 200)
    status, value, _ = served.ask("GET", "/api/traces/run-1")
    assert [span["span_id"] for span in value["spans"] if span["kind"] == "llm"] == ["a", "b"]
    assert value["trace"]["start"].endswith("Z")
    assert value["spans"][0].keys() >= {"trace_id", "parent_id", "status", "cost_usd", "duration_ms"}
    status, value, _ = served.ask("GET", "/api/spans/a?trace_id=run-1")
    assert value["record"]["messages"] == [{"role": "user", "content": "Say hello."}]
    status, value, _ = served.ask("GET", "/api/stats")
    assert (value["traces"], value["llm_calls"], value["problems"]) == (1, 2, 0)
    assert value["cost_usd"] == pytest.approx(2 * (100 * 0.15 + 20 * 0.6) / 1e6)
    status, value, _ = served.ask("GET", "/api/costs?by=model")
    assert value["costs"][0]["model"] == "gpt-4o-mini"
    assert value["costs"][0]["calls"] == 2
    status, value, _ = served.ask("GET", "/health")
    assert value["status"] == "ok"


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/api/traces/run-2", 404, "run-1"),
        ("/api/spans/zz", 404, "no span 'zz'"),
        ("/api/traces?limit=0", 400, "from 1"),
        ("/api/traces?limit=many", 400, "whole number"),
        ("/api/costs?by=nonsense", 404, "nonsense"),
        ("/api/nothing", 404, "/api/traces"),
        ("/static/widget.js", 404, "/api/traces"),
    ],
)
def test_bad_questions_get_a_reason(served: Served, path: str, status: int, words: str) -> None:
    got, value, _ = served.ask("GET", path)
    assert got in ({status, 400} if "costs" in path else {status})
    assert words in value["error"]["message"]


def test_nothing_is_sent_to_a_model_unless_that_was_allowed(served: Served) -> None:
    status, value, _ = served.ask("POST", "/api/execute/llm", {"span_id": "a"})
    assert status == 403
    assert "--allow-rerun" in value["error"]["message"]
    status, value, _ = served.ask("POST", "/api/replay/a", {})
    assert status in (403, 404)


def test_an_unknown_run_is_refused_by_name(folder: Path) -> None:
    with pytest.raises(TraceNotFound, match="run-1"):
        Dashboard(folder, trace="run-l")


def test_each_span_reaches_a_web_socket_soon_after_its_line(served: Served, folder: Path) -> None:
    path = next((folder / ".modular-agents" / "traces").glob("*.jsonl"))
    delays: list[float] = []

    async def follow() -> None:
        url = f"ws://127.0.0.1:{served.port}/ws/trace/run-1"
        headers = {"Authorization": f"Bearer {served.made.gate.token}"}
        socket = await websocket_connect(HTTPRequest(url, headers=headers))
        seen: list[str] = []
        while True:
            message = json.loads(str(await socket.read_message()))
            if message["type"] == "live":
                break
            if message["type"] == "span":
                seen.append(message["span"]["span_id"])
        assert {"a", "b", "t"} <= set(seen)
        for number in range(60):
            name = f"new-{number}"
            written = time.perf_counter()
            put(path, line(name, 4))
            while True:
                message = json.loads(str(await asyncio.wait_for(socket.read_message(), 10)))
                if message["type"] == "span" and message["span"]["span_id"] == name:
                    break
            delays.append(time.perf_counter() - written)
            await asyncio.sleep(0.01)
        socket.close()

    asyncio.run(follow())
    delays.sort()
    print(f"line written to span received: p50 {delays[30] * 1000:.1f} ms, p95 {delays[57] * 1000:.1f} ms")
    assert len(delays) == 60


def test_a_web_socket_of_an_unknown_run_says_so(served: Served) -> None:
    async def follow() -> tuple[Any, int | None]:
        headers = {"Authorization": f"Bearer {served.made.gate.token}"}
        socket = await websocket_connect(HTTPRequest(f"ws://127.0.0.1:{served.port}/ws/trace/run-9", headers=headers))
        first = json.loads(str(await socket.read_message()))
        assert await socket.read_message() is None
        return first, socket.close_code

    first, code = asyncio.run(follow())
    assert first["type"] == "error"
    assert "run-9" in first["message"]
    assert code == 4404


def test_closing_ends_what_was_started(folder: Path) -> None:
    before = {thread.name for thread in threading.enumerate()}
    made = Served(folder)
    assert served_threads(before)
    made.close()
    until = time.monotonic() + 5
    while served_threads(before) and time.monotonic() < until:
        time.sleep(0.05)
    assert not served_threads(before)


def served_threads(before: set[str]) -> set[str]:
    return {t.name for t in threading.enumerate() if "anton" in t.name and "sender" not in t.name} - before


def test_a_frame_is_packed_as_the_page_unpacks_it() -> None:
    packed = frame({"type": "x"}, [bytes([1, 2, 3]), b"\4"])
    assert packed.hex() == "0c0000007b2274797065223a2278227d0000000003000000010203000100000004"
    assert packed.hex() in (ROOT / "js" / "src" / "dashboard" / "dashboard.test.ts").read_text()


def test_a_call_is_made_again_and_a_run_forked_where_that_was_allowed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with LlmServer() as model:
        for name, value in model.environment().items():
            monkeypatch.setenv(name, value)
        made = Served(folder, allow_replay=True, budget=2.0)
        try:
            status, value, _ = made.ask("POST", "/api/execute/llm", {"span_id": "a", "prompt": "Say goodbye."})
            assert status == 200, value
            assert (value["original"], value["new"]) == ("Hello.", "All good.")
            assert value["diff"]
            assert value["new_span_id"]
            status, value, _ = made.ask("POST", "/api/replay/a", {"prompt": "Say goodbye."})
            assert status == 200, value
            assert value["original_trace_id"] == "run-1"
            assert value["new_trace_id"] in value["comparison_url"]
            assert {row["provenance"] for row in value["rows"]} <= {"reused", "executed", "inferred", "stale"}
            for body, words in (
                ({"span_id": "a", "promt": "x"}, "prompt"),
                ({"span_id": "t"}, "no LLM call"),
                ({"span_id": "zz"}, "no span"),
                ({"span_id": "a", "n": 0}, "from 1 to 100"),
                ({}, "span_id"),
            ):
                status, value, _ = made.ask("POST", "/api/execute/llm", body)
                assert status in (400, 404)
                assert words in value["error"]["message"]
            status, value, _ = made.ask("POST", "/api/replay/a", {"prompts": [1]})
            assert status == 400
            assert made.ask("POST", "/api/execute/llm", b"{")[0] == 400
            assert made.ask("POST", "/api/execute/llm", b"{}", Content_Type="text/plain")[0] == 415
        finally:
            made.close()


NASTY = (
    "", "%00", "%FF%FE", "..%2f..%2fetc%2fpasswd", "%2e%2e", "a%0d%0aX-Evil:%201", "%F0%9F%92%A9", "x" * 3000, "%3Cscript%3E", "nan", "-1",
    "1e9", "0x10", "%E2%80%AE", "';drop%20table", "%ED%A0%80", "a/b", "1" * 400,
)  # fmt: skip
BODIES = (
    b"", b"{", b"[]", b"null", b"1", b'"x"', b"NaN", b'{"span_id": "\xff"}', b"[" * 5000, b'{"a":' * 3000 + b"1" + b"}" * 3000,
    b'{"span_id": null}', b'{"span_id": 7}', b'{"span_id": ["a"]}', b'{"span_id": "a", "n": true}', b'{"span_id": "a", "n": 1e99}',
    b'{"span_id": "a", "prompt": 7}', b'{"span_id": "a", "model": {}}', b'{"span_id": "a", "messages": "x"}', b'{"span_id": "a", "tools": 1}',
    b'{"span_id": "a", "parameters": []}', b'{"span_id": "a", "provider": "nobody"}', b'{"span_id": "a", "__class__": "x"}',
    b'{"prompts": {"zz": "x"}}', b'{"prompts": {"a": null}}', b'{"fresh": "yes"}', b'{"trace_id": 1}', b'{"span_id": "\\ud800"}',
    b'{"span_id": "a", "system": NaN}',
)  # fmt: skip


def test_no_bad_input_of_any_call_is_a_failure_of_the_server(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with LlmServer() as model:
        for name, value in model.environment().items():
            monkeypatch.setenv(name, value)
        made = Served(folder, allow_replay=True)
        try:
            tried = 0
            for word in NASTY:
                for path in (
                    f"/api/traces?limit={word}", f"/api/traces/{word}", f"/api/spans/{word}", f"/api/spans/a?trace_id={word}",
                    f"/api/costs?by={word}", f"/api/costs?trace_id={word}", f"/static/{word}", f"/{word}x", f"/ws/trace/{word}",
                ):  # fmt: skip
                    status, value, answer = made.ask("GET", path)
                    assert status in (200, 400, 404), (path, status, value)
                    assert answer.getheader("X-Evil") is None
                    assert status == 200 or b"Traceback" not in json.dumps(value, default=str).encode()
                    tried += 1
            for body in BODIES:
                for path in ("/api/execute/llm", "/api/replay/a", "/api/replay/zz"):
                    status, value, _ = made.ask("POST", path, body=body)
                    assert status in (200, 400, 404, 502), (path, body[:60], status, value)
                    assert status == 200 or len(value["error"]["message"]) > 10
                    tried += 1
            for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "POST"):
                for path in (
                    "/",
                    "/health",
                    "/api/traces",
                    "/api/traces/run-1",
                    "/api/spans/a",
                    "/api/stats",
                    "/api/costs",
                ):
                    status, value, _ = made.ask(method, path, body={})
                    assert status in (400, 403, 405), (method, path, status)
                    tried += 1
            with contextlib.suppress(ConnectionError):  # more than it takes: it hangs up
                assert made.ask("POST", "/api/execute/llm", body=b'"' + b"x" * (9 * 2**20) + b'"')[0] in (400, 413)
            assert made.ask("GET", "/health")[1]["status"] == "ok"
            assert tried > 280
        finally:
            made.close()


def test_a_span_id_of_two_runs_and_a_text_that_is_gone_are_said(served: Served, folder: Path) -> None:
    traces = folder / ".modular-agents" / "traces"
    put(traces / "other.jsonl", line("a", 5, trace_id="run-2"))
    until = time.monotonic() + 20
    while served.ask("GET", "/api/traces/run-2")[0] != 200 and time.monotonic() < until:
        time.sleep(0.02)
    status, value, _ = served.ask("GET", "/api/spans/a")
    assert (status, value["error"]["type"]) == (409, "AmbiguousSpan")
    assert "run-1" in value["error"]["message"] and "run-2" in value["error"]["message"]
    assert served.ask("GET", "/api/spans/a?trace_id=run-2")[0] == 200
    (traces / "other.jsonl").unlink()
    status, value, _ = served.ask("GET", "/api/spans/a?trace_id=run-2")
    assert (status, value["error"]["type"]) in ((410, "BodyUnavailable"), (404, "SpanNotFound"))


def test_a_page_that_is_loaded_after_a_build_gets_the_new_bundle(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = tmp_path / "static"
    built.mkdir()
    (built / "dashboard.js").write_text("// built anew")
    monkeypatch.setattr(bundle, "STATIC", built)
    status, text, _ = served.ask("GET", "/static/dashboard.js")
    assert (status, text) == (200, b"// built anew")
