"""Pictures of the tables: `frame.anb.plot()` draws the one that belongs to the frame, with matplotlib (extra `plot`).

Names from a trace are drawn as they are: no text of theirs is read as a formula.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from anton_notebook.errors import did_you_mean
from anton_notebook.model.formatting import format_duration, format_usd, one_line
from anton_notebook.model.span import LLM, TOOL
from anton_notebook.tables.schema import KEY

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHOWN = 40
FONT = 8
COLOURS = ("#4269d0", "#efb118", "#ff725c", "#6cc5b0", "#3ca951", "#ff8ab7", "#a463f2", "#97bbf5", "#9c6b4e", "#9498a0")
FAILED = "#c0182b"


@pd.api.extensions.register_dataframe_accessor("anb")
class Pictures:
    """What can be drawn of a frame of this library: `plot()`, or one picture by name; each gives a matplotlib
    `Axes`."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self._frame = frame

    def plot(self, kind: str | None = None, ax: Axes | None = None) -> Axes:
        """The picture that belongs to the frame, or the one called `kind`; `ValueError` names what is possible."""
        pictures: dict[str, Callable[[Axes | None], Axes]] = {
            "icicle": self.icicle, "bars": self.bars, "timeline": self.timeline, "waterfall": self.waterfall,
            "models": self.models, "recorded": self.recorded,
        }  # fmt: skip
        chosen = kind or self._kind()
        if chosen not in pictures:
            text = f"there is no picture {chosen!r}; there are {', '.join(pictures)}{did_you_mean(chosen, pictures)}"
            raise ValueError(text)
        return pictures[chosen](ax)

    def icicle(self, ax: Axes | None = None) -> Axes:
        """The cost of a table of `costs`: one row per key of `by`, the first at the top, as wide as its share."""
        by = self._by()
        frame = self._having(*by, "cost_usd")
        frame = frame[frame["cost_usd"].to_numpy(dtype=np.float64) > 0]
        axes = _axes(ax)
        colours: dict[str, str] = {}
        _strips(axes, frame, by, 0, 0.0, float(frame["cost_usd"].sum()), colours)
        axes.set_xlim(0, max(float(frame["cost_usd"].sum()), 1e-12))
        axes.set_ylim(len(by), 0)
        axes.set_yticks(np.arange(len(by)) + 0.5, by)
        axes.set_xlabel(self._dollars())
        return _plain(axes)

    def bars(self, ax: Axes | None = None) -> Axes:
        """The dearest rows of a table with a `cost_usd`, dearest at the top."""
        frame = self._having("cost_usd")
        frame = frame[frame["cost_usd"].notna()].nlargest(SHOWN, "cost_usd", keep="first")
        labels = [" · ".join(_said(row[name], 30) for name in self._labels()) for row in frame.to_dict("records")]
        axes = _axes(ax)
        place = np.arange(len(frame))
        drawn = axes.barh(place, frame["cost_usd"].to_numpy(dtype=np.float64), color=COLOURS[0])
        _told(axes, drawn, frame["cost_usd"])
        axes.set_yticks(place, labels)
        axes.set_ylim(len(frame) - 0.5, -0.5)
        axes.set_xlabel(self._dollars())
        return _plain(axes)

    def models(self, ax: Axes | None = None) -> Axes:
        """What a table of `cheapest` compares: a bar for each model, in parts of the agents, and what was spent."""
        frame = self._having("agent", "model", "cost_usd", "now_usd")
        frame = frame.assign(agent=frame["agent"].astype(object).fillna(""))
        whole = frame.groupby("model")["cost_usd"].sum(min_count=1).dropna().sort_values(kind="stable")
        each = frame.drop_duplicates("agent").set_index("agent")["now_usd"].fillna(0.0).sort_values(ascending=False)
        rows = [("as it was", each)] if len(frame) else []
        rows += [
            (m, frame[frame["model"] == m].set_index("agent")["cost_usd"].fillna(0.0)) for m in whole.index[:SHOWN]
        ]
        axes = _axes(ax)
        place, left = np.arange(len(rows)), np.zeros(len(rows))
        for number, agent in enumerate(each.index):
            part = np.array([float(row.get(agent, 0.0)) for _, row in rows])
            colour, label = COLOURS[number % len(COLOURS)], f" {_said(agent, 24)}" if agent else None
            drawn = axes.barh(place, part, left=left, color=colour, label=label if number < len(COLOURS) else None)
            left += part
        if rows:
            _told(axes, drawn, left)
            _legend(axes, "center right")
        axes.set_yticks(place, [_said(name, 30) for name, _ in rows])
        axes.set_ylim(max(len(rows), 1) - 0.5, -0.5)
        axes.set_xlabel(self._dollars())
        return _plain(axes)

    def recorded(self, ax: Axes | None = None) -> Axes:
        """What a table of `price_check` compares: for each model the recorded cost and the one of that day's prices."""
        frame = self._having("model", "recorded_usd", "cost_usd")
        frame = frame[frame[["recorded_usd", "cost_usd"]].notna().any(axis=1)].head(SHOWN)
        axes = _axes(ax)
        place = np.arange(len(frame))
        for name, colour, label, at in (
            ("recorded_usd", COLOURS[1], " recorded", -0.2),
            ("cost_usd", COLOURS[0], " at that day's prices", 0.2),
        ):
            drawn = axes.barh(place + at, frame[name].fillna(0.0), height=0.36, color=colour, label=label)
            _told(axes, drawn, frame[name])
        if len(frame):
            _legend(axes, "lower right")
        axes.set_yticks(place, [_said(model, 30) for model in frame["model"]])
        axes.set_ylim(max(len(frame), 1) - 0.5, -0.5)
        axes.set_xlabel(self._dollars())
        return _plain(axes)

    def timeline(self, ax: Axes | None = None) -> Axes:
        """The cumulated cost of a `cost_timeline`, all together and of each agent."""
        frame = self._having("time", "cumulated_cost_usd", "agent_cumulated_usd", "agent")
        frame = frame[frame["time"].notna()]
        axes = _axes(ax)
        axes.step(
            frame["time"], frame["cumulated_cost_usd"], where="post", color=_front(axes), linewidth=1.8, label="all"
        )
        dearest = frame.groupby("agent", observed=True)["agent_cumulated_usd"].max().nlargest(len(COLOURS) - 1)
        for colour, agent in zip(COLOURS, dearest.index, strict=False):
            spent = frame["agent_cumulated_usd"].where(frame["agent"] == agent).ffill().fillna(0.0)
            axes.step(frame["time"], spent, where="post", color=colour, label=f" {_said(agent)}")
        axes.set_ylim(bottom=0)
        axes.set_ylabel(self._dollars())
        if len(frame):
            _times(axes)
            _legend(axes, "upper left")
        return _plain(axes)

    def waterfall(self, ax: Axes | None = None) -> Axes:
        """The calls and tools of one run of `spans_df` over time, one line each; failed ones are red."""
        frame = self._having("kind", "agent", "name", "start", "duration_ms", "status")
        runs = frame["trace_id"].nunique() if "trace_id" in frame else 1
        if runs > 1:
            text = f"a waterfall shows one run and the frame has {runs}; choose one, as in traces[trace_id].spans_df()"
            raise ValueError(text)
        frame = frame[frame["kind"].isin([LLM, TOOL]) & frame["start"].notna()].sort_values("start", kind="stable")
        begin = (frame["start"] - frame["start"].min()).dt.total_seconds().to_numpy()
        took = np.nan_to_num(frame["duration_ms"].to_numpy(dtype=np.float64, na_value=np.nan)) / 1000
        agents = list(dict.fromkeys(frame["agent"].astype(object).fillna("")))
        colour = [
            FAILED if status == "error" else COLOURS[agents.index(agent) % len(COLOURS)]
            for agent, status in zip(frame["agent"].astype(object).fillna(""), frame["status"], strict=True)
        ]
        axes = _axes(ax)
        tools = (frame["kind"] == TOOL).to_numpy(dtype=bool)
        place = np.arange(len(frame))
        span = max(float((begin + took).max(initial=0.0)), 1e-3)
        drawn = axes.barh(place, np.maximum(took, span / 1000), left=begin, color=colour, height=0.8)
        for bar, tool, shade in zip(drawn, tools, colour, strict=True):
            if tool and shade != FAILED:
                bar.set_alpha(0.5)
        if len(frame) <= 2 * SHOWN:
            names = zip(frame["agent"].astype(object), frame["name"].astype(object), took, strict=True)
            axes.set_yticks(
                place, [f"{_said(a, 24)} · {_said(n, 28)} · {format_duration(t * 1000)}" for a, n, t in names]
            )
        else:
            axes.set_yticks([])
            axes.set_ylabel(f"{len(frame):,} calls and tools, by start")
        shown = [(_said(agent, 24), COLOURS[i]) for i, agent in enumerate(agents[: len(COLOURS)]) if agent]
        shown += [("failed", FAILED)] if FAILED in colour else []
        for name, of in shown:
            axes.plot([], [], "s", color=of, label=f" {name}")
        if tools.any():
            axes.plot([], [], "s", color=_front(axes), alpha=0.5, label=" paler: a tool")
        if shown:
            _legend(axes, "upper right")
        axes.set_ylim(max(len(frame), 1) - 0.5, -0.5)
        axes.set_xlim(0, span * 1.02)
        axes.set_xlabel("seconds from the start")
        return _plain(axes)

    def _kind(self) -> str:
        table = self._about().get("table")
        known = {"costs": "icicle", "cheapest": "models", "price_check": "recorded"}
        if table in known:
            return known[table]
        if table == "cost_timeline" or "cumulated_cost_usd" in self._frame:
            return "timeline"
        return "waterfall" if {"span_id", "kind", "start"} <= set(self._frame.columns) else "bars"

    def _about(self) -> dict[str, Any]:
        found = self._frame.attrs.get(KEY)
        return found if isinstance(found, dict) else {}

    def _by(self) -> list[str]:
        named = [name for name in self._about().get("by", ()) if name in self._frame]
        first = list(self._frame.columns).index("calls") if "calls" in self._frame else 0
        return named or list(self._frame.columns[:first]) or ["agent"]

    def _labels(self) -> list[str]:
        usual = ["agent", "role", "excerpt", "model"]
        return self._by() if "by" in self._about() else [name for name in usual if name in self._frame]

    def _dollars(self) -> str:
        unpriced = self._about().get("unpriced_calls", 0)
        return f"US dollars, at least ({unpriced} calls of unknown cost)" if unpriced else "US dollars"

    def _having(self, *names: str) -> pd.DataFrame:
        missing = [name for name in names if name not in self._frame]
        if missing:
            text = f"this picture needs a column {missing[0]!r}; there are {', '.join(map(str, self._frame.columns))}"
            raise ValueError(text)
        return self._frame


def _strips(
    axes: Axes, frame: pd.DataFrame, by: Sequence[str], level: int, left: float, whole: float, colours: dict[str, str]
) -> None:
    """One level of an icicle below a strip that begins at `left`, and all levels below it."""
    letters = axes.get_window_extent().width / (axes.figure.dpi / 72 * FONT * 0.62)
    groups = frame.groupby(by[level], dropna=False, observed=True)
    parts = [(key, part, float(part["cost_usd"].sum())) for key, part in groups]
    for key, part, cost in sorted(parts, key=lambda found: -found[2]):
        label = _said(key, 32)
        colour = colours.setdefault(label, COLOURS[len(colours) % len(COLOURS)])
        axes.barh(level + 0.5, cost, left=left, height=0.96, color=colour, edgecolor=axes.get_facecolor(), linewidth=1)
        room = int(letters * cost / whole)
        if room >= 3:
            said = _said(key, room) + (f"\n{_said(format_usd(cost))}" if len(format_usd(cost)) <= room else "")
            axes.text(
                left + cost / 2,
                level + 0.5,
                said,
                ha="center",
                va="center",
                fontsize=FONT,
                clip_on=True,
                color=_ink(colour),
            )
        if level + 1 < len(by):
            _strips(axes, part, by, level + 1, left, whole, colours)
        left += cost


def _ink(colour: str) -> str:
    """Black or white, whichever stands out from a colour."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return "black" if 0.299 * red + 0.587 * green + 0.114 * blue > 128 else "white"


def _said(value: object, widest: int = 40) -> str:
    """A text of a trace for a picture: on one line, and without the dollar signs that would make it a formula."""
    return one_line(value, widest).replace("$", r"\$")


def _axes(ax: Axes | None) -> Axes:
    if ax is not None:
        return ax
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError("pictures of tables need matplotlib: pip install 'anton-notebook[plot]'") from error
    return plt.subplots(figsize=(9, 4.5), layout="constrained")[1]


def _front(axes: Axes) -> Any:
    """The colour of lines and words, which a dark style has light."""
    return axes.xaxis.label.get_color()


def _told(axes: Axes, bars: Any, dollars: Any) -> None:
    """Writes what bars cost behind them, and makes room for it."""
    values = np.asarray(dollars, dtype=np.float64)
    axes.bar_label(
        bars, [_said(format_usd(float(value))) if value == value else "" for value in values], padding=3, fontsize=FONT
    )
    axes.set_xlim(0, max(axes.get_xlim()[1], float(np.nan_to_num(values).max(initial=0.0)) * 1.12, 1e-12))


def _legend(axes: Axes, place: Any) -> None:
    axes.legend(loc=place, fontsize=FONT, frameon=False)


def _times(axes: Axes) -> None:
    """Times that say no more than they have to."""
    from matplotlib import dates

    untyped: Any = dates
    locator = untyped.AutoDateLocator()
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(untyped.ConciseDateFormatter(locator))


def _plain(axes: Axes) -> Axes:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return axes
