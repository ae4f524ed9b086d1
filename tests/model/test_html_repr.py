"""HTML representations, completion, and types."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

import anton_notebook as anb
from anton_notebook.experiments.replay import plan
from tests.support.pages import line

HOSTILE = "<img src=x onerror=alert(1)>\"'&"


@pytest.fixture
def traces(tmp_path: Path) -> Iterator[anb.Traces]:
    said = [{"role": "system", "content": HOSTILE}, {"role": "user", "content": f"Say hello. {HOSTILE}"}]
    tools = [{"type": "function", "function": {"name": HOSTILE}}]
    text = line("s1", messages=said, response=HOSTILE, tools=tools, agent_name=HOSTILE, parameters={"temperature": 0.5})
    (tmp_path / "a.jsonl").write_bytes(text + b"".join(line(f"o{i}", f"run-{i + 2}") for i in range(20)) + b"broken\n")
    with anb.read_traces(tmp_path) as made:
        yield made


class Tags(HTMLParser):
    """The tags, and what a reader sees."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.seen = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        assert {name for name, _ in attrs} <= {"style", "class"}

    def handle_data(self, data: str) -> None:
        self.seen += f"{data} "


def test_html_repr_escapes_traces_and_ignores_math(
    traces: anb.Traces,
) -> None:
    span = traces.span("s1")
    point = anb.checkpoint(span, prompts={"s1": HOSTILE}, note=HOSTILE)
    shown: list[tuple[object, tuple[str, ...]]] = [
        (traces, ("21 runs", "9 more", "problems_df()", "trace_id", "run-20")),
        (traces["run-1"], ("run-1", "tokens", "cost")),
        (span, ("llm", "s1", "gpt-4o")),
        (span.request, (HOSTILE, "Say hello.", "temperature=0.5", "messages 2")),
        (span.response, (HOSTILE, "response")),
        (point, (HOSTILE, "kept as")),
        (anb.quote(span, prompt=["a", "b"], n=3), ("calls 6", "cost", "at most")),
        (plan(point), ("executed", "1 executed")),
    ]
    for thing, words in shown:
        markup = thing._repr_html_()  # type: ignore[attr-defined]
        assert markup.startswith('<div class="tex2jax_ignore mathjax_ignore">'), type(thing).__name__
        html = Tags(markup)
        assert html.tags <= {
            "div",
            "table",
            "caption",
            "b",
            "tr",
            "th",
            "td",
            "thead",
            "tbody",
            "code",
            "ul",
            "li",
            "p",
        }
        seen = re.sub(r"\s+", " ", html.seen)
        assert [word for word in words if word not in seen] == [], (type(thing).__name__, seen)
        assert len(repr(thing)) > 5


def test_completion_offers_keys_columns_and_traits(traces: anb.Traces, tmp_path: Path) -> None:
    from IPython.core.completer import provisionalcompleter
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell()
    graph = anb.TraceGraph(tmp_path)
    shell.user_ns |= {"traces": traces, "graph": graph, "anb": anb, "df": traces.spans_df()}
    try:
        for text, wanted in (
            ('traces["run-1', "run-11"), ("traces.spans_", "spans_df"), ("graph.selected_", "selected_span_ids"),
            ("graph.highl", "highlight"), ("graph.tra", "trace_id"), ("anb.context_", "context_ledger"),
            ('df["span_', "span_id"), ("anb.rerun(tr", ""),
        ):  # fmt: skip
            with provisionalcompleter():
                found = [one.text for one in shell.Completer.completions(text, len(text))]
            assert any(wanted in one for one in found) or not wanted, (text, found)
    finally:
        graph.close()


TYPED = """
import anton_notebook as anb
traces = anb.read_traces(".")
reveal_type(traces.spans_df())
reveal_type(traces["a"])
reveal_type(traces.span("b").request)
reveal_type(traces.span("b").response.usage.input_tokens)
graph = anb.TraceGraph(traces)
reveal_type(graph.selected_span)
reveal_type(graph.selected_df)
reveal_type(graph.traces)
reveal_type(anb.quote(traces.span("b"), n=2))
reveal_type(anb.costs(traces, by="agent"))
reveal_type(anb.checkpoint(traces.span("b")))
with anb.trace("mine") as t:
    reveal_type(t.trace_id)
traces.spans_dff()
"""


def test_types_are_known_to_a_type_checker(tmp_path: Path) -> None:
    (tmp_path / "use.py").write_text(TYPED)
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", str(tmp_path / "use.py")]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=280)
    told = re.findall(r'Revealed type is "([^"]+)"', done.stdout)
    assert [name.split(".")[-1] for name in told] == [
        "DataFrame", "Trace", "Request", "int | None", "Span | None", "DataFrame", "Traces", "Quote", "DataFrame", "Checkpoint", "str",
    ], done.stdout  # fmt: skip
    assert re.findall(r"error: (.*)", done.stdout) == ['"Traces" has no attribute "spans_dff"  [attr-defined]']
