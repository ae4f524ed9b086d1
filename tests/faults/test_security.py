"""Security, case by case: X4, X5 and X7 to X11. X1 to X3 need a browser: tests/browser/test_hostile.py."""

from __future__ import annotations

import base64
import json
import os
import re
import sqlite3
import stat
import subprocess
import sys
import time
import zlib
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

import anton_notebook as anb
from anton_notebook.errors import CheckpointError
from anton_notebook.experiments.checkpoints import CheckpointDatabase, CheckpointRow
from anton_notebook.llm import Scripted
from anton_notebook.redact import Redactor
from tests.conftest import ROOT
from tests.dashboard.test_dashboard import Served
from tests.support.pages import line

CANARIES = {
    "Anthropic": "sk-ant-" + "api03-Ca9aRy" * 4, "OpenAI": "sk-proj-" + "Ca9aRy77" * 5, "AWS": "AKIA" + "CANARY2345CANARY",
    "GitHub": "ghp_" + "Ca9aRy" * 6, "GitLab": "glpat-" + "Ca9aRy" * 4, "Slack": "xoxb-" + "1234-Ca9aRy" * 3,
    "Stripe": "sk_live_" + "Ca9aRy" * 4, "Google": "AIza" + "Ca9aRy7" * 5, "Hugging Face": "hf_" + "Ca9aRy" * 6,
    "JWT": "eyJ" + "Ca9aRy7" * 3 + ".eyJ" + "Ca9aRy7" * 3 + "." + "Ca9aRy7" * 4, "npm": "npm_" + "Ca9aRy" * 6,
    "OpenRouter": "sk-or-" + "v1-Ca9aRy" * 4, "Groq": "gsk_" + "Ca9aRy" * 5, "LangSmith": "lsv2_" + "Ca9aRy" * 5,
    "PyPI": "pypi-AgE" + "Ca9aRy" * 8, "SendGrid": "SG." + "Ca9aRy" * 4 + "." + "Ca9aRy" * 5, "xAI": "xai-" + "Ca9aRy" * 5,
    "environment": "plain words of a Ca9aRy passphrase", "password": "hunter2-Ca9aRy", "Azure": "Ca9aRy77" * 8,
}  # fmt: skip


def planted(text: str) -> dict[str, Any]:
    """Every place of a line that a secret may stand in."""
    return {
        "agent_name": f"agent {text}", "name": text, "model": f"m {text}", "error": f"401 with {text}", "system_prompt": text,
        "messages": [{"role": "user", "content": f"my key is {text}, {json.dumps(text)}"}], "response": f"ok {text}.",
        "parameters": {"header": f"Bearer {text}", text: 1}, "result": [text, {"deep": [text]}], "note": text,
    }  # fmt: skip


@pytest.fixture
def leaky(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MY_SECRET_PASSPHRASE", CANARIES["environment"])
    folder = tmp_path / "run"
    folder.mkdir()
    rows = []
    for number, (kind, text) in enumerate(CANARIES.items()):
        said = {"password": f"password={text}", "Azure": f"AccountKey={text}"}.get(kind, text)
        rows.append(line(f"s{number}", trace_id="run-1", parent_id=None, **planted(said)))
    (folder / "t.jsonl").write_bytes(b"".join(rows))
    return folder


def left(data: bytes) -> list[str]:
    """The canaries that are in there, as they are, in base64 or as an address has them."""
    found = []
    for kind, text in CANARIES.items():
        forms = [text.encode(), quote(text, safe="").encode(), json.dumps(text).encode()[1:-1]]
        forms += [base64.b64encode(text.encode())[:-4]]
        if any(form in data for form in forms):
            found.append(kind)
    return found


def unpacked(data: bytes) -> bytes:
    """What lies in the data, also behind base64 and zlib."""
    out = [data]
    for match in re.finditer(rb"[A-Za-z0-9+/]{200,}={0,2}", data):
        raw = base64.b64decode(match[0][: len(match[0]) // 4 * 4])
        out.append(raw)
        for start in (0, 4):
            try:
                out.append(zlib.decompress(raw[start:]))
            except zlib.error:
                pass
    return b"\n".join(out)


@pytest.mark.parametrize("bodies", [False, True])
def test_X5_no_export_and_no_saved_state_holds_a_known_secret(leaky: Path, tmp_path: Path, bodies: bool) -> None:
    before = (leaky / "t.jsonl").read_bytes()
    assert len(left(before)) == len(CANARIES), "the harness finds what is there"
    ways: dict[str, bytes] = {}
    with anb.TraceGraph(leaky, save_bodies=bodies) as graph:
        graph.traces.refresh()
        said = graph.to_html(tmp_path / "page.html", save_bodies=bodies)
        ways["page"] = (tmp_path / "page.html").read_bytes()
        ways["picture"] = graph.to_svg(tmp_path / "run.svg").encode()
        ways["still"] = graph._parts.snapshot.static_html().encode()
        graph._parts.snapshot.close()
        ways["state"] = zlib.decompress(bytes(graph._saved)[4:])
        ways["traits"] = repr(graph.get_state()).encode()
        graph.traces.export(tmp_path / "out.jsonl")
        ways["export"] = (tmp_path / "out.jsonl").read_bytes()
        graph.traces.to_parquet(tmp_path / "archive")
        told = anb.scan(tmp_path / "archive").compute()
        ways["archive"] = told.drop(columns=["source"]).to_csv().encode()
        assert len(told) >= len(CANARIES) and told["error"].str.contains("redacted").any()
    assert "taken out" in said
    leaks = {way: found for way, data in ways.items() if (found := left(unpacked(data)))}
    print(
        f"{len(CANARIES)} kinds of secrets in {len(planted(''))} places, {len(ways)} ways out: {leaks or 'none left'}"
    )
    assert not leaks
    assert (leaky / "t.jsonl").read_bytes() == before


def test_X5_a_value_of_the_environment_is_found_in_json_in_json() -> None:
    value = 'pa"ss\\word\n12\u00e93456'
    redactor = Redactor({"MY_API_TOKEN": value})
    told = value
    for _ in range(4):
        assert redactor.text(f"said {told}.") == "said [redacted: value of the environment]."
        told = json.dumps(told)[1:-1]
    assert (
        redactor.text(json.dumps({"a": value}, ensure_ascii=False)) == '{"a": "[redacted: value of the environment]"}'
    )


def test_X4_the_key_of_the_environment_is_in_nothing_that_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("ANTHROPIC_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.setenv(name, CANARIES["Anthropic"])
    (tmp_path / "t.jsonl").write_bytes(line("s"))
    with anb.read_traces(tmp_path) as traces:
        frame = anb.rerun(traces.span("s"), prompt="x", provider=Scripted(["answer"]), progress=False)
        anb.checkpoint(traces.span("s"), prompts={})
        kept = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
        said = capfd.readouterr()
        seen = frame.to_csv() + repr(frame.attrs) + repr(traces) + said.out + said.err + caplog.text
    assert len(kept) >= 2 and not left(b"\n".join(kept)) and not left(seen.encode())


def attempts() -> list[str]:
    ups = ["..", "%2e%2e", "%252e%252e", "..%2f", "%2e%2e%2f", "..\\", "..%5c", ".%2e", "%c0%ae%c0%ae", "....//"]
    ends = [
        "etc/passwd",
        "proc/self/environ",
        "dev/zero",
        "app.py",
        "dashboard/app.py",
        "__init__.py",
        "C:/windows/win.ini",
    ]
    roots = ["/static/", "/api/traces/", "/api/spans/", "/"]
    found = [f"{root}{'/'.join([up] * n)}/{end}" for root in roots for up in ups for n in (1, 3) for end in ends]
    return [
        *found,
        "/static//etc/passwd",
        "/static/\\\\host\\share",
        "/static/a%00.js",
        "/%00",
        "/static/widget.js%00.txt",
    ]


def test_X7_no_path_leads_out_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_bytes(line("a"))
    (tmp_path / "link.jsonl").symlink_to("/etc/passwd")
    served, tried = Served(tmp_path), attempts()
    try:
        for path in tried:
            status, said, _ = served.ask("GET", path)
            text = said if isinstance(said, bytes) else json.dumps(said).encode()
            assert status in (400, 403, 404, 405), (path, status, text[:200])
            assert b"root:" not in text and b"import " not in text and b"PATH=" not in text, path
    finally:
        served.close()
    print(f"{len(tried)} attempts, none answered with a file")
    assert len(tried) >= 500


AUDIT = """
import sys, json
import anton_notebook as anb
from anton_notebook.widget.details import details
import ipywidgets, numpy, pandas
warm = anb.read_traces(sys.argv[1] + "/warm"); warm.spans_df(); details(warm, int(warm.store.live_rows()[-1])); warm.runs_df(); anb.costs(warm)
warm.messages_df(); warm.tool_calls_df(); warm.span("s").request
events = []
WATCHED = ("open", "socket.", "subprocess.", "os.system", "os.exec", "import", "pickle.", "exec", "compile", "ctypes.", "urllib.")
sys.addaudithook(lambda name, args: events.append((name, str(args[:2])[:200])) if name.startswith(WATCHED) else None)
traces = anb.read_traces(sys.argv[1] + "/hostile")
for frame in ("spans_df", "runs_df", "messages_df", "tool_calls_df", "problems_df"): getattr(traces, frame)()
for row in traces.store.live_rows().tolist(): details(traces, row)
anb.costs(traces)
traces.span("s").request
allowed = lambda name, text: name == "open" and sys.argv[1] in text or name == "import" and text.startswith(("('pandas", "('numpy", "('pyarrow"))
print(json.dumps([event for event in events if not allowed(*event)]))
"""


def test_X8_nothing_that_a_trace_names_is_opened_fetched_imported_or_run(tmp_path: Path) -> None:
    names = [
        "/etc/passwd",
        "http://evil.invalid/x",
        "os.system",
        "subprocess:Popen",
        "__import__('os')",
        "file:///etc/hosts",
        "~/.ssh/id_rsa",
    ]
    for folder in ("warm", "hostile"):
        (tmp_path / folder).mkdir()
        text = names if folder == "hostile" else ["plain"]
        rows = [
            line(
                "s" if i == 0 else f"s{i}", agent_name=one, model=one, provider=one, name=one, base_url=one, module=one, path=one, command=one,
                parameters={"__class__": one, "py/object": one, "lc": 1, "type": "constructor", "id": one.split(".")},
                messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": one}}]}],
            )
            for i, one in enumerate(text)
        ]  # fmt: skip
        rows.append(line("t", span_type="tool_call", tool_name=text[0], parameters={"path": text[0]}))
        (tmp_path / folder / "t.jsonl").write_bytes(b"".join(rows))
    done = subprocess.run(
        [sys.executable, "-c", AUDIT, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    events = json.loads(done.stdout.splitlines()[-1])
    assert not [event for event in events if any(name[:12] in event[1] for name in names)], events
    assert not [event for event in events if event[0] not in ("open", "import", "compile", "exec")], events


SQL = [
    "' OR 1=1 --",
    "x') UNION SELECT 1 --",
    '"; DROP TABLE checkpoints; --',
    "$.a') OR ('1'='1",
    "%",
    "_",
    "\0",
    "a" * 10_000,
]


@pytest.mark.parametrize("text", SQL)
def test_X9_no_text_becomes_sql_and_no_schema_is_trusted(tmp_path: Path, text: str) -> None:
    store = CheckpointDatabase(tmp_path / "c.db")
    when = "2026-01-01T00:00:00+00:00"
    store.insert(CheckpointRow("1", "trace", "span", when, when))
    try:
        assert store.get(text) is None
    except (CheckpointError, ValueError):
        pass
    name = text.replace("\0", "0")
    store.insert(CheckpointRow(name, name, name, when, when, note=text))
    assert store.get(name).note == text  # type: ignore[union-attr]
    with sqlite3.connect(store.path) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        db.execute("CREATE TRIGGER sly AFTER INSERT ON checkpoints BEGIN DELETE FROM checkpoints; END")
    with pytest.raises(CheckpointError):
        store.insert(CheckpointRow("2", "trace", "span", when, when))


def test_X10_search_is_for_plain_text_and_many_small_spans_are_read(tmp_path: Path) -> None:
    with (tmp_path / "t.jsonl").open("wb") as out:
        for number in range(50_000):
            out.write(b'{"trace_id":"t","span_id":"%d","timestamp":"2026-01-01T00:00:00Z"}\n' % number)
        out.write(line("evil", response="a" * 50_000 + "!"))
    began = time.process_time()
    traces = anb.read_traces(tmp_path)
    assert len(traces.spans_df()) >= 50_001 and time.process_time() - began < 20


def test_X11_what_is_written_is_its_owners_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        (tmp_path / "t.jsonl").write_bytes(line("s"))
        with anb.read_traces(tmp_path) as traces:
            anb.rerun(traces.span("s"), prompt="x", provider=Scripted(["answer"]), progress=False)
            anb.checkpoint(traces.span("s"), prompts={})
            traces.export(tmp_path / "out.jsonl")
            traces.to_parquet(tmp_path / "archive")
            home = traces.home
        with anb.TraceGraph(tmp_path / "t.jsonl") as graph:
            graph.traces.refresh()
            graph.to_html(tmp_path / "out.html")
            graph.to_svg(tmp_path / "out.svg")
    finally:
        os.umask(before)
    files = [path for path in home.rglob("*") if path.is_file()] + list(tmp_path.glob("out.*"))
    files += [path for path in (tmp_path / "archive").rglob("*") if path.is_file()]
    assert len(files) >= 7
    assert not [path.name for path in files if stat.S_IMODE(path.stat().st_mode) != 0o600]
    assert {stat.S_IMODE(path.stat().st_mode) for path in home.rglob("*") if path.is_dir()} <= {0o700}
