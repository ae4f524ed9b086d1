"""The saved state, the static HTML below a graph, and exported files."""

from __future__ import annotations

import base64
import json
import re
import struct
import time
import zlib
from pathlib import Path
from typing import Any

import pytest

from anton_notebook.errors import NoRun
from anton_notebook.widget import snapshot
from anton_notebook.widget.protocol import SPAN_BYTES
from anton_notebook.widget.snapshot import AutoSaver, pack_state
from anton_notebook.widget.trace_graph import TraceGraph
from tests.widget.conftest import line
from tests.widget.fakes import Client, append, eventually

SECRET = "sk-" + "ant-api03-" + "a1B2c3D4" * 6
QUESTION = "a question that nobody else may read"


def frames(packed: bytes) -> list[dict[str, Any]]:
    """The headers in a packed state."""
    assert packed[:4] == snapshot.MAGIC
    data, out, at = zlib.decompress(packed[4:]), [], 0
    while at < len(data):
        (size,) = struct.unpack_from("<I", data, at)
        (length,) = struct.unpack_from("<I", data, at + 4)
        out.append(json.loads(data[at + 8 : at + 8 + length]))
        at += 4 + size
    return out


@pytest.fixture
def asked(folder: Path) -> Path:
    append(
        folder,
        line("q", messages=[{"role": "user", "content": f"{QUESTION} {SECRET}"}], response=QUESTION, error=QUESTION),
        line("n", agent_name=f"agent {SECRET}"),
    )
    return folder


def test_snapshot_holds_all_spans_and_no_texts(asked: Path) -> None:
    with TraceGraph(asked) as graph:
        packed, said = pack_state(graph.traces, graph._parts.session.stream.codes())
    headers = frames(packed)
    assert sum(one["puts"] for one in headers) == graph.traces.store.live_rows().size
    data = zlib.decompress(packed[4:])
    assert QUESTION.encode() not in data
    assert SECRET.encode() not in data
    assert "1 secret was taken out" in said or "secrets were taken out" in said
    assert headers[0]["status"]["live"] is False
    assert headers[0]["puts"] * SPAN_BYTES < len(data)


def test_snapshot_redacts_saved_bodies(asked: Path) -> None:
    with TraceGraph(asked, save_bodies=True) as graph:
        packed, _ = pack_state(graph.traces, graph._parts.session.stream.codes(), bodies=True)
        details = {one["details"]["span_id"]: one["details"] for one in frames(packed) if one["type"] == "details"}
        assert QUESTION in json.dumps(details["q"])
        assert SECRET not in json.dumps(details)
        assert "[redacted: Anthropic key]" in json.dumps(details["q"])
        bare, said = pack_state(graph.traces, graph._parts.session.stream.codes(), bodies=True, redact=False)
    assert SECRET.encode() in zlib.decompress(bare[4:])
    assert said == ""


def test_snapshot_cuts_large_states(folder: Path) -> None:
    append(folder, *(line(f"many-{i}", duration_ms=float(i * 37 % 1000)) for i in range(3000)))
    with TraceGraph(folder) as graph:
        whole, nothing = pack_state(graph.traces, graph._parts.session.stream.codes())
        packed, said = pack_state(graph.traces, graph._parts.session.stream.codes(), limit=len(whole) // 3)
    assert nothing == ""
    assert len(packed) <= len(whole) // 3
    headers = frames(packed)
    kept = sum(one["puts"] for one in headers)
    assert 100 < kept < 2000
    assert re.search(r"[\d,]+ of [\d,]+ spans are not in this saved copy", said)
    assert headers[0]["status"]["sentence"] == said


def test_snapshot_follows_a_finished_run(folder: Path) -> None:
    append(folder, line("a"))
    with TraceGraph(folder) as graph:
        client = Client(graph)
        client.hello()
        first = sum(one["puts"] for one in frames(graph._saved))
        assert first == graph.traces.store.live_rows().size
        append(folder, line("b"))
        eventually(lambda: sum(one["puts"] for one in frames(graph._saved)) == first + 1)


def test_auto_saver_limits_its_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    class Fake:
        revision = 0

    monkeypatch.setattr(snapshot, "RUNNING_INTERVAL", 0.4)
    store, saved = Fake(), []

    class Owner:
        def save(self) -> None:
            saved.append((time.monotonic(), store.revision))

    owner = Owner()
    saver = AutoSaver(store, lambda: True, owner.save)  # type: ignore[arg-type]
    until = time.monotonic() + 1.5
    while time.monotonic() < until:
        store.revision += 1
        saver.schedule()
        time.sleep(0.005)
    assert 3 <= len(saved) <= 5
    store.revision += 1
    saver.save_now()
    assert saved[-1][1] == store.revision
    saver.close()
    saver.schedule()
    time.sleep(0.5)
    assert saved[-1][1] == store.revision


def test_static_html_needs_no_scripts(asked: Path) -> None:
    with TraceGraph(asked) as graph:
        html = graph._parts.snapshot.static_html()
    image = re.search(r'src="data:image/svg\+xml;base64,([^"]+)"', html)
    assert image is not None
    drawn = base64.b64decode(image[1]).decode()
    assert "<svg" in drawn
    assert "spans" in drawn
    assert not re.search(r"<(svg|script|style|iframe)", html)
    assert QUESTION not in html + drawn
    assert SECRET not in html + drawn
    assert "<th>agent</th>" in html


def test_standalone_page_allows_only_its_own_script(asked: Path, tmp_path: Path) -> None:
    with TraceGraph(asked) as graph:
        said = graph.to_html(tmp_path / "run.html")
        assert "taken out" in said
        page = (tmp_path / "run.html").read_text()
        graph.to_html(tmp_path / "bodies.html", save_bodies=True)
        assert graph.to_svg(tmp_path / "run.svg") == (tmp_path / "run.svg").read_text()
    assert QUESTION not in page
    assert SECRET not in page
    assert "default-src 'none'" in page
    assert "unsafe" not in page.split("<style>")[0]
    assert not re.search(r"""(?:src|href)=["']https?:""", page)
    assert page.count("</script>") == 2


def test_exports_refuse_a_missing_run(tmp_path: Path) -> None:
    (tmp_path / "traces").mkdir()
    with TraceGraph(tmp_path / "traces") as graph:
        for ask in (graph.to_svg, lambda: graph.to_html(tmp_path / "x.html")):
            with pytest.raises(NoRun, match="runs_df"):
                ask()
    assert not (tmp_path / "x.html").exists()


@pytest.mark.parametrize("name", ["to_html", "to_svg"])
def test_exports_refuse_an_existing_file(asked: Path, tmp_path: Path, name: str) -> None:
    target = tmp_path / "existing"
    target.write_text("mine")
    with TraceGraph(asked) as graph:
        export = getattr(graph, name)
        with pytest.raises(FileExistsError, match="overwrite=True"):
            export(target)
        assert target.read_text() == "mine"
        export(target, overwrite=True)
    assert target.read_text().startswith("<")
    export_file = tmp_path / "new"
    with TraceGraph(asked) as graph:
        getattr(graph, name)(export_file)
    assert export_file.stat().st_mode & 0o777 == 0o600
