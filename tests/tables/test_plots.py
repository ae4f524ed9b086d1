"""The pictures of the tables, drawn for real and looked at through their shapes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.support.spans_by_hand import messages, spans

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")

import matplotlib.pyplot as plt  # noqa: E402
from matplotlib.axes import Axes  # noqa: E402
from matplotlib.cbook import is_math_text  # noqa: E402
from matplotlib.colors import to_rgb  # noqa: E402

from anton_notebook.model.formatting import format_usd  # noqa: E402
from anton_notebook.tables import plots  # noqa: E402
from anton_notebook.tables.cost_analysis import cheapest, cost_timeline, price_check  # noqa: E402
from anton_notebook.tables.costs import costs  # noqa: E402
from anton_notebook.tables.ledger import context_ledger  # noqa: E402

GPT = {"provider": "openai", "model": "gpt-4o"}


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    plt.close("all")


def run() -> pd.DataFrame:
    return spans(
        {"span_id": "a", "agent": "$x$ and $\\frac{", "input_tokens": 3000, "output_tokens": 100, "name": "<b>", **GPT},
        {
            "span_id": "b",
            "agent": "b",
            "input_tokens": 1000,
            "output_tokens": 50,
            "status": "error",
            "name": "gpt",
            **GPT,
        },
        {"span_id": "c", "agent": "b", "kind": "tool", "name": "read_file"},
        {"span_id": "d", "agent": "b", "provider": "ollama", "model": "llama3", "input_tokens": 1, "output_tokens": 1},
    )


def drawn(axes: Axes) -> list[Any]:
    assert axes.figure is not None
    axes.figure.canvas.draw()
    return list(axes.patches)


def test_an_icicle_is_as_wide_as_the_cost_at_every_level() -> None:
    table = costs(run(), by=["agent", "model"])
    axes = table.anb.plot()
    strips = drawn(axes)
    total = table["cost_usd"].sum()
    for level in (0, 1):
        row = [strip for strip in strips if round(strip.get_y() + strip.get_height() / 2 - 0.5) == level]
        assert sum(strip.get_width() for strip in row) == pytest.approx(total)
    assert axes.get_xlabel() == "US dollars, at least (1 calls of unknown cost)"


def test_texts_of_a_trace_are_never_read_as_formulas() -> None:
    for axes in (costs(run(), by="agent").anb.plot(), run().anb.plot(), cost_timeline(run()).anb.plot()):
        drawn(axes)
        shown = [text for text in axes.findobj(plt.Text) if "frac" in text.get_text()]
        assert shown
        assert not any(is_math_text(text.get_text()) for text in shown)


def test_a_waterfall_has_a_line_for_every_call_and_tool_and_failures_in_red() -> None:
    bars = drawn(run().anb.waterfall())
    assert [bar.get_x() for bar in bars] == [0, 1, 2, 3]
    assert [bar.get_width() for bar in bars] == [1, 1, 1, 1]
    red = [bar.get_facecolor() == matplotlib.colors.to_rgba(plots.FAILED) for bar in bars]
    assert red == [False, True, False, False]


def test_a_waterfall_of_two_runs_says_what_to_do() -> None:
    with pytest.raises(ValueError, match="2; choose one"):
        pd.concat([run(), run().assign(trace_id="other")]).anb.waterfall()


def test_a_timeline_ends_at_the_total() -> None:
    table = cost_timeline(run())
    axes = table.anb.plot()
    drawn(axes)
    assert axes.lines[0].get_ydata()[-1] == pytest.approx(table["cost_usd"].sum())
    assert len(axes.lines) == 3


def test_a_ledger_is_drawn_as_bars_with_their_dollars() -> None:
    table = context_ledger(run(), messages(("a", [("user", "hello"), ("tool", "x" * 500)])))
    axes = table.anb.plot()
    assert [bar.get_width() for bar in drawn(axes)] == sorted(table["cost_usd"].dropna(), reverse=True)
    assert [text.get_text() for text in axes.texts] == [
        format_usd(cost).replace("$", r"\$") for cost in sorted(table["cost_usd"])[::-1]
    ]


def test_models_are_compared_with_what_was_spent_agent_by_agent() -> None:
    table = cheapest(run(), ["gpt-4o-mini", "o3", "llama3"])
    axes = table.anb.plot()
    bars = drawn(axes)
    assert [label.get_text() for label in axes.get_yticklabels()] == ["as it was", "gpt-4o-mini", "o3"]
    totals = [
        sum(bar.get_width() for bar in bars if round(bar.get_y() + bar.get_height() / 2) == row) for row in range(3)
    ]
    spent = run()["cost_usd"].sum()
    mini, o3 = (table.loc[table["model"] == model, "cost_usd"].sum() for model in ("gpt-4o-mini", "o3"))
    assert totals == pytest.approx([spent, mini, o3]) and mini < o3


def test_recorded_costs_stand_beside_those_of_the_day() -> None:
    frame = run().assign(recorded_cost_usd=[0.5, 0.25, None, None])
    bars = drawn(price_check(frame).anb.plot())
    assert sorted(bar.get_width() for bar in bars)[-2:] == pytest.approx(sorted([0.75, frame["cost_usd"].sum()]))


@pytest.mark.parametrize("style", ["default", "dark_background"])
def test_everything_stands_out_from_the_ground_light_and_dark(style: str) -> None:
    tables = [cost_timeline(run()), run(), costs(run(), by=["agent", "model"]), cheapest(run(), ["gpt-4o-mini"])]
    with plt.style.context(style):
        for table in tables:
            axes = table.anb.plot()
            drawn(axes)
            ground = np.array(to_rgb(axes.get_facecolor()))
            colours = [line.get_color() for line in axes.lines] + [patch.get_facecolor() for patch in axes.patches]
            assert colours and all(np.abs(np.array(to_rgb(colour)) - ground).sum() > 0.5 for colour in colours)


@pytest.mark.parametrize(
    "make",
    [lambda f: costs(f, by=["agent", "model"]), cost_timeline, lambda f: f, price_check, lambda f: cheapest(f, ["o3"])],
)
def test_empty_frames_give_empty_pictures(make: Any) -> None:
    assert drawn(make(run().iloc[:0]).anb.plot()) == []


def test_an_unknown_picture_and_a_missing_column_are_named() -> None:
    with pytest.raises(ValueError, match="did you mean 'waterfall'"):
        run().anb.plot("waterfal")
    with pytest.raises(ValueError, match="cost_usd"):
        pd.DataFrame({"a": [1]}).anb.bars()


def test_pictures_go_into_axes_of_ones_own() -> None:
    _, mine = plt.subplots()
    assert costs(run(), by="agent").anb.bars(ax=mine) is mine


def test_importing_the_accessor_does_not_load_matplotlib() -> None:
    code = "import anton_notebook.tables.plots, sys; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
