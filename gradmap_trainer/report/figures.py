"""The figures of a run's report: small panels that stand side by side on a desk and stacked on a phone.

Each public function draws one panel. Call them inside `style()`, and `svg` to get the picture.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from contextlib import AbstractContextManager

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, PercentFormatter

from gradmap_trainer.evaluation import Episode, Evaluation, outside_limits
from gradmap_trainer.report.methods import method
from gridedge_env.limits import Limits
from gridedge_env.rendering import draw_feeder
from gridedge_env.simulator import HOURS_PER_STEP, Simulator


LIMIT_COLOUR = "#c00000"
PRICE_COLOUR = "#333333"

_STYLE = {
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
_WIDTH = 4.8  # inches


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
    percent: bool = False,
    logarithmic: bool = False,
) -> Figure:
    """Columns of the log against training time: every iteration faintly, and a running median.

    Args:
        metrics: the log.
        title: what is drawn, with its unit.
        columns: label and colour of each column to draw.
        percent: the columns are shares.
        logarithmic: vertical axis.
    """
    figure, (axes,) = _panel(title)
    unit, seconds_per_unit = _time_unit(metrics["seconds"].iloc[-1])
    time = metrics["seconds"] / seconds_per_unit
    window = max(1, len(metrics) // 25)
    for column, (label, colour) in columns.items():
        values = metrics[column].where(metrics[column] > 0.0) if logarithmic else metrics[column]
        axes.plot(time, values, color=colour, alpha=0.25, linewidth=0.7)
        smooth = values.rolling(window, center=True, min_periods=1).median()
        axes.plot(time, smooth, color=colour, label=label)
    if logarithmic and (metrics[list(columns)] > 0.0).any(axis=None):
        axes.set_yscale("log")
    if percent:
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
        axes.set_ylim(bottom=0.0)
    if len(columns) > 1:
        axes.legend()
    axes.set_xlabel(f"training time, {unit}")
    axes.set_xlim(left=0.0)
    return figure


def time_split(metrics: pd.DataFrame, columns: Mapping[str, str]) -> Figure:
    """Share of the iterations' time in each part; `columns` are their labels."""
    figure, (axes,) = _panel("Share of training time", height=1.4)
    total = metrics[list(columns)].sum()
    shares = total / total.sum()
    colours = ("#4d6d9a", "#86b3d1", "#c8d9e6")
    left = 0.0
    for (column, label), colour in zip(columns.items(), colours, strict=False):
        share = shares[column]
        axes.barh([0], [share], left=left, color=colour, label=f"{label} {100 * share:.0f} %")
        left += share
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_xlim(0.0, 1.0)
    axes.set_yticks([])
    axes.legend(ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.35), handlelength=1.0)
    return figure


# ---------------------------------------------------------------------------------- distributions


def voltage_distribution(evaluation: Evaluation, limits: Limits) -> Figure:
    """All node voltages of all half-hours, one histogram per method, with the full range as a line."""
    solved = {key: e.voltage[e.converged] for key, e in evaluation.episodes.items()}
    lowest = min([limits.minimum_voltage, *(v.min() for v in solved.values() if v.size)])
    highest = max([limits.maximum_voltage, *(v.max() for v in solved.values() if v.size)])
    margin = 0.05 * (highest - lowest)
    edges = np.linspace(lowest - margin, highest + margin, 161)
    figure, (axes,) = _panel("Node voltage, pu", height=0.6 + 0.5 * len(solved))
    for row, (key, voltage) in enumerate(reversed(solved.items())):
        if not voltage.size:
            continue
        colour = method(key).colour
        count, _ = np.histogram(voltage, edges)
        axes.stairs(row + 0.8 * count / count.max(), edges, baseline=row, fill=True, color=colour)
        axes.plot([voltage.min(), voltage.max()], [row, row], color=colour, marker="|")
    for limit in (limits.minimum_voltage, limits.maximum_voltage):
        axes.axvline(limit, color=LIMIT_COLOUR, linestyle="--", linewidth=1.0)
    axes.axvspan(edges[0], limits.minimum_voltage, color=LIMIT_COLOUR, alpha=0.06, linewidth=0)
    axes.axvspan(limits.maximum_voltage, edges[-1], color=LIMIT_COLOUR, alpha=0.06, linewidth=0)
    axes.set_xlim(edges[0], edges[-1])
    axes.set_yticks(range(len(solved)), [method(key).name for key in reversed(solved)])
    axes.grid(visible=False, axis="y")
    return figure


def loading_duration(evaluation: Evaluation, limits: Limits) -> Figure:
    """Loading of the most loaded conductor, half-hours sorted from worst to best."""
    figure, (axes,) = _panel("Highest loading anywhere, % of rating", height=3.1)
    for key, episode in evaluation.episodes.items():
        worst = np.sort(episode.loading.max(axis=-1), axis=None)[::-1]
        share = np.arange(1, len(worst) + 1) / len(worst)
        axes.plot(share, worst, color=method(key).colour, drawstyle="steps-pre")
    axes.axhline(limits.maximum_loading, color=LIMIT_COLOUR, linestyle="--", linewidth=1.0)
    axes.set_xscale("log")
    axes.set_xlim(right=1.0)
    axes.set_ylim(bottom=0.0)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:g} %"))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_xlabel("share of half-hours at or above (logarithmic)")
    return figure


# ---------------------------------------------------------------------------------------- one day


def widest_price_day(evaluation: Evaluation) -> int:
    """The evaluated day with the largest spread of prices."""
    return int(np.ptp(evaluation.import_price, axis=1).argmax())


def device_day(
    simulator: Simulator, evaluation: Evaluation, day: int, example: int, methods: list[str]
) -> Figure:
    """Price, power at the meter, and the device's own state of one agent on one day."""
    kind, _, number = str(evaluation.examples[example]).rpartition("_")
    figure, (price, power, store) = _panel(
        "Price, €/kWh", "Power at the meter, kW", "", height=4.6, width=3.7
    )
    _day_line(price, evaluation.import_price[day], PRICE_COLOUR)
    power.axhline(0.0, color="#666666", linewidth=0.6)
    offset, scale = 0.0, 1.0
    if kind == "battery":
        store.set_title("State of charge")
        store.yaxis.set_major_formatter(PercentFormatter(1.0))
    elif kind == "heat_pump":
        pumps = simulator.fleet.heat_pumps
        offset = float(pumps.lowest_temperature[int(number)])
        scale = float(pumps.highest_temperature[int(number)]) - offset
        store.set_title("Room temperature, °C; grey: comfort band")
        store.axhspan(offset, offset + scale, color="#000000", alpha=0.06, linewidth=0)
    else:
        generators = simulator.fleet.generators
        fuel = float(generators.linear_cost[int(number)])
        price.axhline(fuel, color=PRICE_COLOUR, linestyle=":", linewidth=1.0)
        price.set_title("Price (solid) and cost of fuel (dotted), €/kWh")
        store.set_title("Output, half an hour ago, share of full power")
        store.yaxis.set_major_formatter(PercentFormatter(1.0))
    for key in methods:
        episode, colour = evaluation.episodes[key], method(key).colour
        _day_line(power, episode.example_power[day, :, example], colour)
        values = offset + scale * episode.example_store[day, :, example]
        store.plot(_hours(len(values))[:-1], values, color=colour)
    _hour_axis(store)
    return figure


def fleet_day(evaluation: Evaluation, limits: Limits, day: int) -> tuple[Figure, ...]:
    """One day of the whole feeder: price, power of all homes, extreme voltages, highest loading."""
    price, (price_axes,) = _panel("Price, €/kWh", height=2.2)
    power, (power_axes,) = _panel("Power of all homes, kW", height=2.2)
    voltage, (voltage_axes,) = _panel("Lowest and highest node voltage, pu", height=2.2)
    loading, (loading_axes,) = _panel("Highest loading anywhere, % of rating", height=2.2)
    _day_line(price_axes, evaluation.import_price[day], PRICE_COLOUR)
    for key, episode in evaluation.episodes.items():
        colour = method(key).colour
        _day_line(power_axes, episode.fleet_power[day], colour)
        _day_line(voltage_axes, episode.voltage[day].min(axis=-1), colour)
        _day_line(voltage_axes, episode.voltage[day].max(axis=-1), colour)
        _day_line(loading_axes, episode.loading[day].max(axis=-1), colour)
    for limit in (limits.minimum_voltage, limits.maximum_voltage):
        voltage_axes.axhline(limit, color=LIMIT_COLOUR, linestyle="--", linewidth=1.0)
    loading_axes.axhline(limits.maximum_loading, color=LIMIT_COLOUR, linestyle="--", linewidth=1.0)
    loading_axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    for axes in (price_axes, power_axes, voltage_axes, loading_axes):
        _hour_axis(axes)
    return price, power, voltage, loading


# ------------------------------------------------------------------------------------- the feeder


def feeder_at(simulator: Simulator, episode: Episode, moment: tuple[int, int]) -> Figure:
    """The feeder's map at a day and step, coloured by voltage, its lines as wide as they are full.

    Raises:
        ValueError: the feeder has no coordinates.
    """
    figure, (axes,) = _panel("", height=4.6)
    limits = simulator.options.limits
    draw_feeder(simulator.feeder, episode.voltage[moment], episode.loading[moment], limits, axes)
    return figure


# ------------------------------------------------------------------------------------------ parts


def _panel(*titles: str, height: float = 2.9, width: float = _WIDTH) -> tuple[Figure, list[Axes]]:
    """A figure of axes one below the other with a common horizontal axis."""
    figure = Figure((width, height), layout="constrained")
    axes = list(figure.subplots(len(titles), 1, sharex=True, squeeze=False)[:, 0])
    for one, title in zip(axes, titles, strict=True):
        one.set_title(title)
    return figure, axes


def _hours(steps: int) -> np.ndarray:
    """Edges of the steps, hours since midnight: (steps + 1,)."""
    return np.arange(steps + 1) * HOURS_PER_STEP


def _day_line(axes: Axes, values: np.ndarray, colour: str) -> None:
    axes.stairs(values, _hours(len(values)), baseline=None, color=colour, linewidth=1.5)


def _hour_axis(axes: Axes) -> None:
    axes.set_xlim(0.0, 24.0)
    axes.set_xticks(range(0, 25, 6), [f"{hour:02d}:00" for hour in range(0, 25, 6)])


def _time_unit(seconds: float) -> tuple[str, float]:
    """The unit in which a duration reads well, and its seconds."""
    if seconds < 300.0:
        return "seconds", 1.0
    return ("minutes", 60.0) if seconds < 3 * 3600.0 else ("hours", 3600.0)
