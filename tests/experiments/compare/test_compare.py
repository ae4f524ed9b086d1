"""Differences: of text by words, of JSON by path, of tool calls; and side by side without any HTML out of a trace."""

from __future__ import annotations

import json
import math
from html.parser import HTMLParser
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anton_notebook.experiments.compare import changes, compare, edits, json_in, show_diff, similarity, tool_differences
from anton_notebook.experiments.verdict import rerun_frame

texts = st.text(st.sampled_from("ab c.\n{}\"'<&\u2028\U0001f600"), max_size=40)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["a", "", "~/"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b/c", "~", ""]), inner, max_size=3)
    ),
    max_leaves=10,
)


@given(texts, texts)
def test_both_texts_can_be_read_off_the_changes(old: str, new: str) -> None:
    found = changes(old, new)
    assert "".join(change.old for change in found) == old and "".join(change.new for change in found) == new
    assert all((change.op == "equal") == (change.old == change.new) for change in found)
    assert 0 <= similarity(old, new) <= 1 and (similarity(old, new) == 1) == (old == new)
    assert similarity(old, new) == pytest.approx(similarity(new, old))
    assert (compare(old, new).diff == "") == (old == new) or json.loads(old) == json.loads(new)


def test_words_are_the_unit() -> None:
    assert compare("The cat sat down.", "The dog sat down.").diff == "The [-cat -]{+dog +}sat down."
    assert similarity("one two three four", "one two three five") == 0.75
    assert similarity("", "") == 1 and similarity("a", "") == 0


def test_long_equal_stretches_are_cut() -> None:
    same = "word " * 200
    diff = compare(f"{same}old {same}", f"{same}new {same}").diff
    assert len(diff) < 120 and "[-old -]{+new +}" in diff and diff.count("\u2026") == 2


def test_very_long_texts_take_no_more_memory_than_they_must() -> None:
    old = "\n".join(f"line {i} of many" for i in range(20_000))
    new = old.replace("line 777 of", "line 777 not of")
    assert compare(old, new).similarity > 0.99
    assert 0 <= similarity("a " * 200_000, "b " * 200_000) <= 1


@given(values, values)
def test_json_that_is_equal_has_no_edits_and_else_the_edits_rebuild_it(old: Any, new: Any) -> None:
    found = edits(old, new)
    assert edits(old, old) == []
    rebuilt = json.loads(json.dumps({"": old}))
    for edit in reversed(found):  # from the back, so that positions in lists stay right
        keys = (
            [step.replace("~1", "/").replace("~0", "~") for step in ("/" + edit.path).split("/")[1:]]
            if edit.path
            else [""]
        )
        at: Any = rebuilt
        for key in keys[:-1]:
            at = at[int(key)] if isinstance(at, list) else at[key]
        last: Any = int(keys[-1]) if isinstance(at, list) else keys[-1]
        if edit.op == "-":
            del at[last]
        elif isinstance(at, list) and edit.op == "+":
            at.insert(len(at) if last >= len(at) else last, edit.new)
        else:
            at[last] = edit.new
    assert json.dumps(edits(rebuilt[""], new)) == "[]" or any(
        e.op == "+" and e.path.rsplit("/", 1)[-1].isdigit() for e in found
    )


@pytest.mark.parametrize(
    ("old", "new", "diff"),
    [
        ('{"a": 1, "b": 2}', '{"b": 2, "a": 1}', ""), ('{"a": 1}', '{"a": 1.0}', ""),
        ('{"a": 0}', '{"a": false}', "~ /a: 0 \u2192 false"),
        ('{"a": null}', "{}", "- /a: null"), ("[1, 2]", "[1, 2, 3]", "+ /2: 3"),
        ('{"a/b": {"~": 1}}', '{"a/b": {"~": 2}}', "~ /a~1b/~0: 1 \u2192 2"),
        ('```json\n{"a": 1}\n```', '{"a": 2}', "~ /a: 1 \u2192 2"), ("[1]", '{"a": 1}', '~ (the whole): [1] \u2192 {"a": 1}'),
        ('{"a": 1', '{"a": 2', '{"a": [-1-]{+2+}'), ('{"t": "x"}', '{"t": "<b>"}', '~ /t: "x" \u2192 "<b>"'),
    ],
)  # fmt: skip
def test_json_is_compared_by_path(old: str, new: str, diff: str) -> None:
    assert compare(old, new).diff == diff


def test_only_objects_and_arrays_count_as_json() -> None:
    for text in ("12", '"a"', "true", "", "```\nno\n```", "[" * 100_000):
        with pytest.raises(ValueError, match="no JSON|nested|Expecting"):
            json_in(text)


def test_tool_calls_are_compared_by_name_and_arguments() -> None:
    read, grep = {"name": "read", "arguments": {"path": "a"}, "id": "1"}, {"name": "grep", "arguments": {"q": 1}}
    assert tool_differences([read], [{**read, "id": "2"}]) == []
    assert tool_differences([read], [{**read, "arguments": {"path": "b"}}]) == ['~ tool 0 read/path: "a" \u2192 "b"']
    assert tool_differences([read], [grep, read]) == [
        '- tool 0 read: {"path": "a"}',
        '+ tool 0 grep: {"q": 1}',
        '+ tool 1 read: {"path": "a"}',
    ]
    assert compare("Same", "Same", [read], []).diff == '- tool 0 read: {"path": "a"}'


def test_without_an_answer_there_is_nothing_to_compare() -> None:
    assert compare(None, "x").diff == "" and math.isnan(compare("x", None).similarity)


# -- side by side

HOSTILE = [
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", '"><svg onload=alert(1)>', "</pre></td></table><iframe src=//e>",
    "{{constructor.constructor('alert(1)')()}}", "javascript:alert(1)", "<style>@import url(//e)</style>", "&lt;b&gt; &amp; <b>",
    "\x00\ud800<a href=x>",
]  # fmt: skip


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[tuple[str, list[tuple[str, str | None]]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, attrs))

    def handle_data(self, data: str) -> None:
        self.text += data


def rows(*pairs: tuple[str, str], **more: Any) -> pd.DataFrame:
    return rerun_frame(
        {
            "variant": 1,
            "repeat": i,
            "original": old,
            "response": new,
            "attempts": 1,
            "from_cache": False,
            "similarity": 0.5,
            "diff": "d",
            **more,
        }
        for i, (old, new) in enumerate(pairs)
    )  # fmt: skip


@pytest.mark.parametrize("payload", HOSTILE)
def test_side_by_side_shows_hostile_text_as_text(payload: str) -> None:
    df = rows((payload, "fine"), ("fine", payload), (f"a {payload} b", f"a {payload} c"), model=payload, error=payload)
    tags = Tags()
    tags.feed(show_diff(df)._repr_html_())
    allowed = {"div", "style", "table", "thead", "tbody", "tr", "th", "td", "pre", "del", "ins", "p"}
    assert {tag for tag, _ in tags.found} <= allowed
    assert {name for _, attrs in tags.found for name, _ in attrs} <= {"class", "colspan"}
    assert tags.text.count(payload.replace("\ud800", "\ufffd")) >= 4


def test_side_by_side_marks_the_difference_and_says_what_it_leaves_out() -> None:
    df = rows(*[("one two", "one three")] * 60)
    html = show_diff(df)._repr_html_()
    assert html.count("<del>two</del>") == html.count("<ins>three</ins>") == 50 and "10 more rows" in html
    assert "variant 1, repeat 0" in repr(show_diff(df, limit=1)) and "59 more rows" in repr(show_diff(df, limit=1))
    with pytest.raises(ValueError, match="original"):
        show_diff(pd.DataFrame({"a": [1]}))
