"""The pictures of a comparison, in the look of the report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator

from baselines.appearances import APPEARANCES
from baselines.compare.config import FORESIGHT, Comparison
from baselines.compare.tables import Tables, as_observed
from gradmap_trainer.report.appearance import Appearance, appearance
from gradmap_trainer.report.figures import style
from gradmap_trainer.report.words import step_name
from gridedge_env.writing import whole_file

BUDGETS, CURVES, TRADE_OFF = "budgets.png", "curves.png", "trade_off.png"

RESOLUTION = 160.0
# For methods that have none.
SPARE_COLOURS = ("#999933", "#332288", "#661100", "#444444")
# Of axes that grow as the square root, as far as there is room.
TICKS = [digit * 10.0**power for power in range(-3, 7) for digit in (1, 2, 3, 5)]

_PERCENT = FuncFormatter(lambda share, _: f"{100.0 * share:.6g} %".replace("-", "−"))
_PLAIN = FuncFormatter(lambda amount, _: f"{amount:,.6g}".replace("-", "−"))


def draw(comparison: Comparison, tables: Tables, folder: Path) -> list[str]:
    """Draw all that there is something to draw of; returns the names of the files."""
    learners = [m for m in comparison.learners if (tables.trainings["method"] == m).any()]
    with style():
        figures = {TRADE_OFF: trade_off(comparison, tables)}
        if learners:
            figures[BUDGETS] = budgets(comparison, tables, learners)
            figures[CURVES] = curves(comparison, tables, learners)
        for name, figure in figures.items():
            with whole_file(folder / name) as file:
                figure.savefig(file, dpi=RESOLUTION, format=Path(name).suffix[1:])
    return list(figures)


def look(comparison: Comparison, key: str) -> Appearance:
    """Name and colour of a method: the usual ones where it has some."""
    if key in APPEARANCES:
        return APPEARANCES[key]
    others = [m for m in (*comparison.learners, *comparison.rules) if m not in APPEARANCES]
    colour = SPARE_COLOURS[others.index(key) % len(SPARE_COLOURS)]
    return Appearance(appearance(key).name, colour, "")


def budgets(comparison: Comparison, tables: Tables, learners: Sequence[str]) -> Figure:
    """What came of each budget: every seed a dot, and a line through their means."""
    panels = {
        "above_foresight": "Cost above perfect foresight",
        "any_steps": f"{step_name(comparison.clock).capitalize()}s outside any limit",
        "score_above_foresight": f"Score above perfect foresight, {comparison.currency}/day",
    }
    trainings = as_observed(tables.trainings)
    figure = Figure((11.0, 3.5), layout="constrained")
    for axes, (measure, title) in zip(figure.subplots(1, 3), panels.items(), strict=True):
        axes.set_title(title)
        for key in learners:
            colour = look(comparison, key).colour
            rows = trainings[trainings["method"] == key]
            means = rows.groupby("budget")[["training_seconds", measure]].mean()
            dots = {"color": colour, "alpha": 0.45, "markersize": 4.0, "clip_on": False}
            axes.plot(rows["training_seconds"], rows[measure], "o", **dots)
            axes.plot(means["training_seconds"], means[measure], color=colour, marker="_", ms=9)
        _square_root(axes, "y", _PLAIN if "score" in measure else _PERCENT)
        _logarithmic(axes, "seconds of training")
        ticks = _distinct(trainings["budget"])
        axes.xaxis.set_major_locator(FixedLocator(ticks))
        left, right = axes.get_xlim()  # trainings may all have taken longer than they were given
        axes.set_xlim(min(left, *(0.8 * tick for tick in ticks)), max(right, 1.25 * ticks[-1]))
        axes.xaxis.set_minor_locator(NullLocator())
    _legend(figure, comparison, learners)
    return figure


def curves(comparison: Comparison, tables: Tables, learners: Sequence[str]) -> Figure:
    """Each learner's longest training on days of the validation year: mean and range of seeds."""
    columns = {"seconds": "seconds of training", "environment_steps": "environment steps"}
    rows = {
        "above_foresight": "Cost above perfect foresight",
        "any_steps": f"{step_name(comparison.clock).capitalize()}s outside any limit",
    }
    figure = Figure((9.5, 6.4), layout="constrained")
    grid = figure.subplots(2, 2, sharex="col", sharey="row")
    for row, (measure, title) in zip(grid, rows.items(), strict=True):
        for axes, along in zip(row, columns, strict=True):
            for key in learners:
                one = tables.curves[tables.curves["method"] == key]
                longest = one[one["budget"] == one["budget"].max()]
                _band(axes, longest, along, measure, look(comparison, key).colour)
        _square_root(row[0], "y", _PERCENT)
        row[0].set_title(title)
    for axes, label in zip(grid[1], columns.values(), strict=True):
        _logarithmic(axes, label)
    _legend(figure, comparison, learners)
    return figure


def trade_off(comparison: Comparison, tables: Tables) -> Figure:
    """Cost against violations: every training a dot, the larger the longer it was."""
    trainings = as_observed(tables.trainings)
    figure = Figure((7.5, 5.0), layout="constrained")
    axes = figure.subplots()
    axes.axhline(0.0, color=APPEARANCES[FORESIGHT].colour, linewidth=3.0, clip_on=False, zorder=2.5)
    shown = [m for m in (*comparison.learners, *comparison.rules) if m in set(trainings["method"])]
    for key in shown:
        rows = trainings[trainings["method"] == key]
        lengths = sorted(rows["budget"].dropna().unique())
        rank = rows["budget"].map({length: k for k, length in enumerate(lengths)}).fillna(0)
        axes.scatter(
            rows["any_steps"],
            rows["above_foresight"],
            25.0 + 30.0 * rank,
            color=look(comparison, key).colour,
            marker="o" if lengths else "D",
            alpha=0.6,
            linewidths=0.0,
            clip_on=False,
        )
    _square_root(axes, "x", _PERCENT)
    _square_root(axes, "y", _PERCENT)
    axes.set_xlabel(f"{step_name(comparison.clock)}s outside any limit")
    axes.set_title("Cost above perfect foresight")
    _legend(figure, comparison, [*shown, FORESIGHT])
    return figure


# --- Parts ----------------------------------------------------------------------------------------


def _band(axes: Axes, rows: pd.DataFrame, along: str, measure: str, colour: str) -> None:
    """The mean of the seeds' curves and their range, over where all of them are."""
    seeds = [one[one[along] > 0].sort_values(along) for _, one in rows.groupby("seed")]
    start = max(one[along].iloc[0] for one in seeds)
    end = min(one[along].iloc[-1] for one in seeds)
    at = np.geomspace(start, end, 100)
    values = [np.interp(np.log(at), np.log(one[along]), one[measure]) for one in seeds]
    axes.fill_between(
        at, np.min(values, axis=0), np.max(values, axis=0), fc=colour, alpha=0.15, lw=0
    )
    axes.plot(at, np.mean(values, axis=0), color=colour)


def _square_root(axes: Axes, which: Literal["x", "y"], unit: FuncFormatter) -> None:
    """An axis that grows as the square root, which has room for small numbers; call it last."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    set_scale, set_limits, get_limits, interval = (
        (axes.set_xscale, axes.set_xlim, axes.get_xlim, axes.dataLim.intervalx)
        if which == "x"
        else (axes.set_yscale, axes.set_ylim, axes.get_ylim, axes.dataLim.intervaly)
    )
    set_scale("function", functions=(_root, lambda root: np.sign(root) * root**2))
    low, high = get_limits()
    low, high = (0.0 if interval[0] >= 0.0 else low), max(high, 0.01)
    set_limits(low, high)
    axis.set_major_locator(FixedLocator(_ticks(low, high)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(unit)


def _root(value: Any) -> Any:
    return np.sign(value) * np.sqrt(np.abs(value))


def _ticks(low: float, high: float) -> list[float]:
    """Zero and round numbers, none closer to the one before than a twelfth of the axis."""
    room = (_root(high) - _root(low)) / 12.0
    kept = [0.0]
    for tick in TICKS:
        if _root(tick) - _root(kept[-1]) >= room:
            kept.append(tick)
    signed = [*(-tick for tick in kept[1:]), *kept]
    return [tick for tick in signed if low <= tick <= high]


def _logarithmic(axes: Axes, label: str) -> None:
    """A logarithmic axis with plain numbers, some of them between the powers of ten."""
    axes.set_xscale("log")
    left, right = axes.get_xlim()
    steps = (1.0, 2.0, 5.0) if right < 1000.0 * left else (1.0,)
    axes.xaxis.set_major_locator(LogLocator(subs=steps))
    axes.xaxis.set_major_formatter(_PLAIN)
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel(f"{label} (logarithmic)")


def _distinct(budgets: pd.Series) -> list[float]:
    """The budgets, without those whose labels would run into that of a smaller one."""
    kept: list[float] = []
    for budget in sorted(budgets.dropna().unique()):
        if not kept or budget >= 1.4 * kept[-1]:
            kept.append(float(budget))
    return kept


def _legend(figure: Figure, comparison: Comparison, keys: Sequence[str]) -> None:
    """Names and colours, above all panels."""
    looks = [look(comparison, key) for key in keys]
    figure.legend(
        handles=[Line2D([], [], color=one.colour, linewidth=3.0, label=one.name) for one in looks],
        loc="outside upper left",
        ncols=len(looks) if len(looks) <= 5 else (len(looks) + 1) // 2,
        handlelength=1.0,
    )
