"""What an installed wheel must be able to do: run by the Python of an environment that holds nothing else. `tests/tools/matrix.py` starts it.

`python -I matrix_check.py FOLDER LLM_SERVER bare|extras` prints one JSON object, `{"step": seconds}`, and ends with the first failure.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

COMMAND = str(Path(sys.executable).with_name("anton-notebook"))
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
PROGRAM = """
import openai
print(openai.OpenAI().chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": "Hi"}]).choices[0].message.content)
"""


def imported(folder: Path) -> None:
    import anton_notebook as anb

    where = Path(anb.__file__).parent
    assert "site-packages" in str(where), where
    assert (where / "py.typed").exists() and (where / "static" / "widget.js").stat().st_size > 50_000
    for name in anb.__all__:
        if name != "scan":  # of the extra `archive`
            getattr(anb, name)


def read(folder: Path) -> None:
    import anton_notebook as anb
    from anton_notebook.simulate import TRACES, plan, play

    events = [event._replace(at=0) for event in plan(seed=3, agents=3, spans=60)]
    play(events, folder / TRACES)
    traces = anb.read_traces(folder)
    frame = traces.spans_df()
    assert len(frame) >= 60 and str(frame["start"].dtype) == "datetime64[us, UTC]", frame.dtypes
    assert len(traces.runs_df()) == 1 and len(traces.messages_df()) and len(traces.tool_calls_df())
    assert len(traces.problems_df()) == 0
    assert anb.costs(traces, by=["agent", "model"])["calls"].sum() > 0
    assert len(anb.cost_timeline(traces)) and len(anb.context_ledger(traces))
    traces.close()


def follow(folder: Path) -> None:
    import anton_notebook as anb

    traces = anb.read_traces(folder, follow=True)
    before = len(traces.spans_df())
    with anb.trace("A run of one's own", path=folder) as run:
        run.llm(model="gpt-4o-mini", messages=[{"role": "user", "content": "Go"}], response="Done.")
    until = time.monotonic() + 30
    while len(traces.spans_df()) <= before:
        assert time.monotonic() < until, "a new file was not seen"
        time.sleep(0.02)
    traces.close()


def drawn(folder: Path) -> None:
    import anton_notebook as anb

    graph = anb.TraceGraph(folder)
    assert graph._repr_mimebundle_()
    graph.to_svg(folder / "run.svg")
    graph.to_html(folder / "run.html")
    assert "</svg>" in (folder / "run.svg").read_text() and (folder / "run.html").stat().st_size > 100_000
    graph.close()


def asked_again(folder: Path) -> None:
    import anton_notebook as anb

    with anb.read_traces(folder) as traces:
        calls = traces.spans_df(kind="llm")
        span = traces.span(calls["span_id"].iloc[0], calls["trace_id"].iloc[0])
        for model, provider in (("gpt-4o-mini", "openai"), ("claude-haiku-4-5", "anthropic")):
            given: dict[str, Any] = {"model": model, "provider": provider, "cache": False, "progress": False}
            answers = anb.rerun(span, prompt="Say hello.", n=2, parameters={"max_tokens": 50}, **given)
            assert answers["error"].isna().all(), answers["error"].tolist()
            assert answers["response"].tolist() == ["All good."] * 2, answers["response"].tolist()
        assert len(anb.verdict(anb.rerun(span, prompt=["a", "b"], n=2, baseline=2, progress=False)))


def forked(folder: Path) -> None:
    import anton_notebook as anb

    with anb.read_traces(folder) as traces:
        calls = traces.spans_df(kind="llm")
        span = traces.span(calls["span_id"].iloc[-1], calls["trace_id"].iloc[-1])
        point = anb.checkpoint(span, prompts={span.span_id: "Shorter."})
        assert len(anb.replay(point, progress=False)) and len(anb.checkpoints(folder))


def commands(folder: Path) -> None:
    for words in (
        ["--version"],
        ["summary", str(folder), "--json"],
        ["export", str(folder), "--jsonl", str(folder / "all.jsonl")],
    ):
        run([COMMAND, *words], folder)
    (folder / "program.py").write_text(PROGRAM)
    assert "All good." in run([COMMAND, "record", "--", sys.executable, "-I", str(folder / "program.py")], folder)


def dashboard(folder: Path) -> None:
    with Started([COMMAND, "dashboard", "--path", str(folder), "--no-browser"], folder) as one:
        token = one.url.rsplit("token=", 1)[1]
        page = DIRECT.open(one.url, timeout=20)
        assert page.status == 200 and b"dashboard.js" in page.read()
        for path in ("health", "api/traces", "api/stats", "api/costs"):
            asked = urllib.request.Request(one.url.split("?")[0] + path, headers={"Authorization": f"Bearer {token}"})
            assert json.loads(DIRECT.open(asked, timeout=20).read()), path


def demo(folder: Path) -> None:
    place = folder / "demo"
    with Started([COMMAND, "demo", "--no-browser", "--path", str(place), "--speed", "20"], folder) as one:
        assert "JupyterLab" in DIRECT.open(one.url, timeout=60).read().decode()
        text = (place / "live_trace.ipynb").read_text()
        failed = [
            out
            for cell in json.loads(text)["cells"]
            for out in cell.get("outputs", [])
            if out["output_type"] == "error"
        ]
        assert "widget-view+json" in text and not failed, failed or one.said


def archived(folder: Path) -> None:
    import anton_notebook as anb

    with anb.read_traces(folder) as traces:
        traces.to_parquet(folder / "archive")
        lazy = anb.costs(anb.scan(folder / "archive"), by="model")
        assert lazy["calls"].sum() == anb.costs(traces, by="model")["calls"].sum()


def plotted(folder: Path) -> None:
    import matplotlib

    matplotlib.use("agg")
    import anton_notebook as anb

    with anb.read_traces(folder) as traces:
        for frame in (anb.costs(traces, by="agent"), anb.cost_timeline(traces), anb.context_ledger(traces)):
            assert frame.anb.plot() is not None


def fast(folder: Path) -> None:
    assert importlib.util.find_spec("aiohttp")
    asked_again(folder)


STEPS = {
    "bare": (imported, read, follow, drawn, asked_again, forked, commands, dashboard),
    "extras": (demo, archived, plotted, fast),
}


def run(words: list[str], folder: Path) -> str:
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=180, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, f"{words}: {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout


class Started:
    """A command that prints an address and runs until it is ended."""

    def __init__(self, words: list[str], folder: Path) -> None:
        self.errors = folder / "stderr.txt"
        with self.errors.open("w") as err:
            self.process = subprocess.Popen(words, cwd=folder, stdout=subprocess.PIPE, stderr=err, text=True)
        self.url, self.said = "", ""

    def __enter__(self) -> Started:
        assert self.process.stdout is not None
        for said in self.process.stdout:
            self.said += said
            found = re.search(r"http://\S+token=\S+", said)
            if found:
                self.url = found.group(0)
                return self
        raise AssertionError(f"no address was printed:\n{self.errors.read_text()[-4000:]}")

    def __exit__(self, *_: object) -> None:
        self.process.send_signal(signal.SIGINT)
        try:
            assert self.process.wait(60) == 0, self.errors.read_text()[-4000:]
        finally:
            self.process.kill()


def main(folder: Path, steps: str) -> None:
    took: dict[str, float] = {}
    for step in STEPS[steps]:
        begin = time.perf_counter()
        try:
            step(folder)
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{step.__name__}: {error} {error.read()[:500]!r}") from error
        took[step.__name__] = round(time.perf_counter() - begin, 2)
    print(json.dumps(took))


if __name__ == "__main__":
    os.environ.update(json.loads(sys.argv[2]))
    main(Path(sys.argv[1]), sys.argv[3])
