"""The figures of a report: small panels, side by side on a desk and stacked on a phone.

Each public function draws one panel. Call them inside `style()`, and `svg` to get the picture.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogFormatter

from gradmap_trainer.report.appearance import appearance
from gridedge_env.clock import HOURS_PER_DAY
from gridedge_env.constraints import Limits
from gridedge_env.evaluation import Episode, Evaluation, outside_any
from gridedge_env.limit import Limit
from gridedge_env.rendering import draw_feeder, draw_limit
from gridedge_env.simulator import Simulator

Scale = Literal["linear", "logarithmic", "percent"]

LIMIT_COLOUR = "#c00000"
PRICE_COLOUR = "#333333"

_STYLE: dict[Any, Any] = {
    "font.size": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "axes.edgecolor": "#666666",
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "lines.linewidth": 1.5,
    "text.parse_math": False,  # a dollar sign in a name is a dollar sign
    "svg.hashsalt": "gridedge",  # the same run gives the same file
}
# Inches, for panels of which two or three stand side by side.
_WIDTH, _NARROW = 4.8, 3.6
_LEGEND_COLUMNS = 3  # for which a narrow panel has room
_PERCENT = FuncFormatter(lambda share, _: f"{100.0 * share:.6g} %")


def style() -> AbstractContextManager[None]:
    """The look of all figures."""
    return mpl.rc_context(_STYLE)


def svg(figure: Figure) -> bytes:
    """The picture of a figure."""
    file = io.BytesIO()
    figure.savefig(file, format="svg", metadata={"Date": None})
    return file.getvalue()


# ------------------------------------------------------------------------------------- training


def training_curves(
    metrics: pd.DataFrame,
    title: str,
    columns: Mapping[str, tuple[str, str]],
    scale: Scale = "linear",
) -> Figure:
    """Columns of the log against training time: every iteration faintly, and a running median.

    Args:
        metrics: the log.
        title: what is drawn, with its unit.
        columns: label and colour of each column to draw.
        scale: vertical axis; "percent" for shares.
    """
    figure, (axes,) = _panel(title, height=2.6, width=_NARROW)
    unit, seconds_per_unit = _time_unit(metrics["seconds"].iloc[-1])
    time = metrics["seconds"] / seconds_per_unit
    window = max(9, len(metrics) // 25)
    smooth = metrics[list(columns)].rolling(window, center=True, min_periods=1).median()
    for column, (label, colour) in columns.items():
        axes.plot(time, smooth[column], color=colour, label=label)
    if scale == "linear":  # single iterations may leave the frame, so that the trend can be read
        axes.margins(y=0.6)
        axes.autoscale_view()
        axes.set_autoscaley_on(False)
    for column, (_, colour) in columns.items():
        axes.plot(time, metrics[column], color=colour, alpha=0.25, linewidth=0.7, zorder=1.0)
    if scale == "logarithmic" and (metrics[list(columns)] > 0.0).any(axis=None):
        axes.set_yscale("log", nonpositive="mask")
        axes.yaxis.set_major_formatter(LogFormatter())
        axes.yaxis.set_minor_formatter(LogFormatter(minor_thresholds=(1.0, 0.4)))
    if scale == "percent":
        axes.yaxis.set_major_formatter(_PERCENT)
        axes.set_ylim(bottom=0.0)
    if len(columns) > 1:
        rows = math.ceil(len(columns) / _LEGEND_COLUMNS)
        axes.set_title(title, pad=7.0 + 13.0 * rows)  # room for the legend
        axes.legend(
            loc="lower left",
            bbox_to_anchor=(0.0, 1.0),
            ncols=min(len(columns), _LEGEND_COLUMNS),
            borderpad=0.1,
            handlelength=1.2,
            columnspacing=1.0,
        )
    axes.set_xlabel(f"training time, {unit}")
    axes.set_xlim(left=0.0)
    return figure


def time_split(metrics: pd.DataFrame, columns: Mapping[str, str]) -> Figure:
    """Share of the iterations' time that went to each part; `columns` are their labels."""
    figure, (axes,) = _panel("Share of training time", height=2.6, width=_NARROW)
    shares = metrics[list(columns)].sum() / metrics[list(columns)].sum().sum()
    bars = axes.barh(range(len(columns)), shares, height=0.55, color="#4d6d9a")
    axes.bar_label(bars, [f"{100.0 * share:.0f} %" for share in shares], padding=4)
    axes.set_yticks(range(len(columns)), list(columns.values()))
    axes.invert_yaxis()
    axes.set_xlim(0.0, 1.15 * shares.max())
    axes.xaxis.set_major_formatter(_PERCENT)
    axes.grid(visible=False, axis="y")
    return figure


# ------------------------------------------------------------------------------------------- days


def cost_by_day(evaluation: Evaluation, reference: str, currency: str) -> Figure:
    """Each day's cost of the fleet above that of the reference method."""
    figure, (axes,) = _panel(f"Cost above {appearance(reference).name.lower()}, {currency} a day")
    base = evaluation.episodes[reference].cost
    for key, episode in _back_to_front(evaluation):
        if key != reference:
            _day_marks(axes, evaluation, episode.cost - base, appearance(key).colour)
    axes.axhline(0.0, color=appearance(reference).colour, linewidth=1.5)
    return figure


def violations_by_day(evaluation: Evaluation, limits: Limits, step: str) -> Figure:
    """Each day's share of steps, which are called `step`, outside any limit."""
    figure, (axes,) = _panel(f"{step.capitalize()}s outside any limit")
    for key, episode in _back_to_front(evaluation):
        outside = outside_any(episode, limits).mean(axis=-1)
        _day_marks(axes, evaluation, outside, appearance(key).colour)
    axes.yaxis.set_major_formatter(_PERCENT)
    axes.set_ylim(bottom=0.0)
    return figure


# ---------------------------------------------------------------------------------- distributions


def spread(evaluation: Evaluation, kind: Limit, step: str) -> Figure:
    """What is limited in all steps, which are called `step`, and the limit.

    Within a band all places count, else the worst.
    """
    if all(map(math.isfinite, kind.bounds)):
        return _histograms(evaluation, kind)
    return _duration_curves(evaluation, kind, step)


def _histograms(evaluation: Evaluation, kind: Limit) -> Figure:
    """All places in all steps: per method a histogram, and the full range as a line."""
    solved = {key: e.quantities[kind.name][e.converged] for key, e in evaluation.episodes.items()}
    low, high = kind.bounds
    lowest = min([low, *(v.min() for v in solved.values() if v.size)])
    highest = max([high, *(v.max() for v in solved.values() if v.size)])
    margin = 0.05 * (highest - lowest)
    edges = np.linspace(lowest - margin, highest + margin, 161)
    figure, (axes,) = _panel(_sentence(kind.axis_title), height=0.6 + 0.5 * len(solved))
    for row, (key, values) in enumerate(reversed(solved.items())):
        if not values.size:
            continue
        colour = appearance(key).colour
        count, _ = np.histogram(values, edges)
        axes.stairs(row + 0.8 * count / count.max(), edges, baseline=row, fill=True, color=colour)
        axes.plot([values.min(), values.max()], [row, row], color=colour, marker="|")
    for limit in (low, high):
        axes.axvline(limit, color=LIMIT_COLOUR, linestyle="--", linewidth=1.0)
    axes.axvspan(edges[0], low, color=LIMIT_COLOUR, alpha=0.06, linewidth=0)
    axes.axvspan(high, edges[-1], color=LIMIT_COLOUR, alpha=0.06, linewidth=0)
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylim(-0.25, len(solved))
    axes.set_yticks(range(len(solved)), [appearance(key).name for key in reversed(solved)])
    axes.grid(visible=False, axis="y")
    if kind.in_percent:
        axes.xaxis.set_major_formatter(_PERCENT)
    return figure


def _duration_curves(evaluation: Evaluation, kind: Limit, step: str) -> Figure:
    """The worst place of each step, steps sorted from worst to best."""
    figure, (axes,) = _panel(_sentence(kind.axis_title), height=3.1)
    from_above = math.isfinite(kind.bounds[1])
    for key, episode in _back_to_front(evaluation):
        (worst,) = _extremes(kind, episode.quantities[kind.name])
        worst = np.sort(worst, axis=None)[:: -1 if from_above else 1]
        share = np.arange(1, len(worst) + 1) / len(worst)
        axes.plot(share, worst, color=appearance(key).colour, drawstyle="steps-pre")
    _limit_lines(axes, kind)
    axes.set_xscale("log")
    axes.set_xlim(right=1.0)
    if from_above and axes.dataLim.ymin >= 0.0:
        axes.set_ylim(bottom=0.0)
    axes.xaxis.set_major_formatter(_PERCENT)
    if kind.in_percent:
        axes.yaxis.set_major_formatter(_PERCENT)
    beyond = "above" if from_above else "below"
    axes.set_xlabel(f"share of {step}s at or {beyond} (logarithmic)")
    return figure


def _extremes(kind: Limit, quantity: np.ndarray) -> list[np.ndarray]:
    """(...) the lowest and the highest of the quantity (..., places), as far as it is limited."""
    low, high = map(math.isfinite, kind.bounds)
    return [quantity.min(axis=-1)] * low + [quantity.max(axis=-1)] * high


# ---------------------------------------------------------------------------------------- one day


def widest_price_day(evaluation: Evaluation) -> int:
    """The evaluated day with the largest spread of prices."""
    return int(np.ptp(evaluation.import_price, axis=1).argmax())


def device_day(
    simulator: Simulator, evaluation: Evaluation, day: int, example: int, methods: list[str]
) -> Figure:
    """Price, power at the meter, and the device's own state of one agent on one day."""
    group = simulator.fleet.group(str(evaluation.example_kinds[example]))
    drawn = group.kind.store_axis(group.parameters, 0)
    price_title = f"{drawn.price_title}, {simulator.case.currency}/kWh"
    figure, (price, power, store) = _panel(
        price_title, "Power at the meter, kW", drawn.title, height=4.6, width=_NARROW
    )
    figure.suptitle(str(evaluation.examples[example]), fontsize=10.0, fontweight="bold")
    _day_line(price, evaluation.import_price[day], PRICE_COLOUR)
    if drawn.price is not None:
        price.axhline(drawn.price, color=PRICE_COLOUR, linestyle=":", linewidth=1.0)
    power.axhline(0.0, color="#666666", linewidth=0.6)
    if drawn.percent:
        store.yaxis.set_major_formatter(_PERCENT)
    if drawn.band:
        ends = drawn.offset, drawn.offset + drawn.scale
        store.axhspan(*ends, color="#000000", alpha=0.06, linewidth=0)
    for key in methods:
        episode, colour = evaluation.episodes[key], appearance(key).colour
        _day_line(power, episode.example_power[day, :, example], colour)
        values = drawn.offset + drawn.scale * episode.example_store[day, :, example]
        if drawn.ended:
            _day_line(store, values[1:], colour, len(values))
        else:
            store.plot(_hours(len(values))[:-1], values, color=colour)
    _hour_axis(store)
    return figure


def fleet_day(
    evaluation: Evaluation, kinds: Iterable[Limit], day: int, currency: str
) -> dict[str, Figure]:
    """One day of the whole feeder, and what each panel shows: last the limits of these kinds."""
    panels = {}

    def panel(title: str) -> Axes:
        panels[title], (axes,) = _panel(title, height=2.4)
        _hour_axis(axes)
        return axes

    _day_line(panel(f"Price, {currency}/kWh"), evaluation.import_price[day], PRICE_COLOUR)
    power = panel("Power of all homes, kW")
    for key, episode in _back_to_front(evaluation):
        _day_line(power, episode.fleet_power[day], appearance(key).colour)
    for kind in kinds:
        band = all(map(math.isfinite, kind.bounds))
        axes = panel(_sentence(f"{'lowest and highest ' if band else ''}{kind.axis_title}"))
        for key, episode in _back_to_front(evaluation):
            for values in _extremes(kind, episode.quantities[kind.name][day]):
                _day_line(axes, values, appearance(key).colour)
        _limit_lines(axes, kind)
        if kind.in_percent:
            axes.yaxis.set_major_formatter(_PERCENT)
    return panels


# ------------------------------------------------------------------------------------- the feeder


def feeder_at(
    simulator: Simulator, episode: Episode, moment: tuple[int, int], kind: Limit, key: str
) -> Figure:
    """The feeder's map at a day and step: one kind of limit, or its voltages and loadings."""
    figure, (axes,) = _panel("", height=4.2, width=6.0)
    axes.set_title(
        appearance(key).name, color=appearance(key).colour, fontsize=12, fontweight="bold"
    )
    now = {name: values[moment] for name, values in episode.quantities.items()}
    if kind.name == "voltage":
        draw_feeder(simulator.feeder, now["voltage"], now["loading"], simulator.case.limits, axes)
    else:
        places = kind.places(simulator.power_flow)
        draw_limit(simulator.feeder, kind, places, now[kind.name], axes)
    if legend := axes.get_legend():  # the caption explains the marks; the map needs the room
        legend.remove()
    return figure


# ------------------------------------------------------------------------------------------ parts


def _panel(*titles: str, height: float = 2.9, width: float = _WIDTH) -> tuple[Figure, list[Axes]]:
    """A figure of axes one below the other with a common horizontal axis."""
    figure = Figure((width, height), layout="constrained")
    axes = list(figure.subplots(len(titles), 1, sharex=True, squeeze=False)[:, 0])
    for one, title in zip(axes, titles, strict=True):
        one.set_title(title)
    return figure, axes


def _back_to_front(evaluation: Evaluation) -> list[tuple[str, Episode]]:
    """The methods in the order of drawing: the first of the table on top."""
    return list(evaluation.episodes.items())[::-1]


def _sentence(title: str) -> str:
    return title[0].upper() + title[1:]


def _hours(steps: int) -> np.ndarray:
    """Edges of the steps of a day, hours since midnight: (steps + 1,)."""
    return np.arange(steps + 1) * (HOURS_PER_DAY / steps)


def _day_line(axes: Axes, values: np.ndarray, colour: str, steps: int | None = None) -> None:
    """The first values of a day of so many steps; by default all of them."""
    edges = _hours(steps or len(values))[: len(values) + 1]
    axes.stairs(values, edges, baseline=None, color=colour, linewidth=1.5)


def _day_marks(axes: Axes, evaluation: Evaluation, values: np.ndarray, colour: str) -> None:
    dates = evaluation.dates.astype("datetime64[D]")
    axes.plot(dates, values, color=colour, marker="o", markersize=3.5, linewidth=0.8)
    locator = AutoDateLocator(maxticks=7)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    day = np.timedelta64(1, "D")  # room around a single day, which spans no range of its own
    axes.set_xlim(dates.min() - day, dates.max() + day)


def _limit_lines(axes: Axes, kind: Limit) -> None:
    for limit in filter(math.isfinite, kind.bounds):
        axes.axhline(limit, color=LIMIT_COLOUR, linestyle="--", linewidth=1.0)


def _hour_axis(axes: Axes) -> None:
    axes.set_xlim(0.0, 24.0)
    axes.set_xticks(range(0, 25, 6), [f"{hour:02d}:00" for hour in range(0, 25, 6)])


def _time_unit(seconds: float) -> tuple[str, float]:
    """The unit in which a duration reads well, and its seconds."""
    if seconds < 300.0:
        return "seconds", 1.0
    return ("minutes", 60.0) if seconds < 3 * 3600.0 else ("hours", 3600.0)
