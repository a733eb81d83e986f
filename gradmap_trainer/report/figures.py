"""The figures of a report: small panels, side by side on a desk and stacked on a phone.

Each public function draws one panel. Call them inside `style()`, and `svg` to get the picture.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from textwrap import fill
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

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
GROUP = "#4d6d9a"

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
FAR_OUT = 3.0
# Signs in a line of a label beside an axis.
LONGEST_LABEL = 26
# Inches, for panels of which two or three stand side by side.
_WIDTH, NARROW = 4.8, 3.6
PERCENT = FuncFormatter(lambda share, _: f"{100.0 * share:.6g} %")


def style() -> AbstractContextManager[None]:
    """The look of all figures."""
    return mpl.rc_context(_STYLE)


def svg(figure: Figure) -> bytes:
    """The picture of a figure; `savefig` would draw it twice."""
    file = io.BytesIO()
    FigureCanvasSVG(figure).print_svg(file, metadata={"Date": None})
    return file.getvalue()


# ------------------------------------------------------------------------------------------- days


def cost_by_day(evaluation: Evaluation, reference: str, currency: str) -> Figure:
    """Each day's cost of the fleet above that of the reference method.

    The frame shows ordinary days; what leaves it is a triangle at its edge.
    """
    figure, (axes,) = panel(f"Cost above {appearance(reference).name.lower()}, {currency} a day")
    excess = excess_cost(evaluation, reference)
    low, high = ordinary_range(excess.values())
    for key, values in reversed(excess.items()):
        colour = appearance(key).colour
        _day_marks(axes, evaluation, values, colour)
        beyond = (values < low) | (values > high)
        dates = evaluation.dates[beyond].astype("datetime64[D]")
        up = values[beyond] > high
        for sign, edge, marker in ((up, high, "^"), (~up, low, "v")):
            axes.plot(dates[sign], np.full(sign.sum(), edge), marker, color=colour, markersize=7)
    axes.axhline(0.0, color=appearance(reference).colour, linewidth=1.5)
    room = 0.06 * (high - low)
    axes.set_ylim(low - room, high + room)
    return figure


def excess_cost(evaluation: Evaluation, reference: str) -> dict[str, np.ndarray]:
    """(days,) by how much each day of every other method costs more than the reference's."""
    base = evaluation.episodes[reference].cost
    return {k: e.cost - base for k, e in evaluation.episodes.items() if k != reference}


def beyond_frame(evaluation: Evaluation, reference: str) -> dict[str, dict[str, float]]:
    """By date what leaves the frame of `cost_by_day`, by method; the furthest days first."""
    excess = excess_cost(evaluation, reference)
    low, high = ordinary_range(excess.values())
    days = {
        str(date): {k: float(e[day]) for k, e in excess.items() if not low <= e[day] <= high}
        for day, date in enumerate(evaluation.dates)
    }
    furthest = sorted(days, key=lambda date: -max(map(abs, days[date].values()), default=0.0))
    return {date: days[date] for date in furthest if days[date]}


def ordinary_range(series: Iterable[np.ndarray]) -> tuple[float, float]:
    """The range of several series and 0, less what is far out in its own one.

    Far out (Tukey 1977) is what lies more than three times the middle half's width beyond it.
    """
    ordinary = [np.zeros(1)]
    for values in series:
        first, third = np.quantile(values, [0.25, 0.75])
        reach = FAR_OUT * (third - first)
        ordinary.append(values[(values >= first - reach) & (values <= third + reach)])
    everything = np.concatenate(ordinary)
    low, high = float(everything.min()), float(everything.max())
    return (low, high) if low < high else (low - 1.0, high + 1.0)


def violations_by_day(evaluation: Evaluation, limits: Limits, step: str) -> Figure:
    """Each day's share of steps, which are called `step`, outside any limit."""
    figure, (axes,) = panel(f"{step.capitalize()}s outside any limit")
    for key, episode in _back_to_front(evaluation):
        outside = outside_any(episode, limits).mean(axis=-1)
        _day_marks(axes, evaluation, outside, appearance(key).colour)
    axes.yaxis.set_major_formatter(PERCENT)
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


def savings(by_group: Mapping[str, np.ndarray], currency: str) -> Figure:
    """What the customers of each group save, a shape each: (customers,) of money a day."""
    figure, (axes,) = panel(
        f"Saving of a customer, {currency} a day", height=0.8 + 0.5 * len(by_group)
    )
    everybody = np.concatenate(list(by_group.values()))
    edges = np.linspace(min(0.0, everybody.min()), max(0.0, everybody.max()) + 1e-9, 81)
    for row, values in enumerate(list(by_group.values())[::-1]):
        low, median, high = np.quantile(values, [0.05, 0.5, 0.95])
        count, _ = np.histogram(values, edges)
        axes.stairs(row + 0.7 * count / count.max(), edges, baseline=row, fill=True, color=GROUP)
        axes.plot([values.min(), values.max()], [row, row], color=GROUP, linewidth=0.8)
        axes.plot([low, high], [row, row], color=GROUP, linewidth=3.0)
        axes.plot(median, row, color="#333333", marker="|", markersize=9)
    axes.axvline(0.0, color=LIMIT_COLOUR, linestyle="--", linewidth=1.0)
    axes.set_ylim(-0.35, len(by_group))
    names = [fill(name, LONGEST_LABEL) for name in by_group]  # of a home with many devices
    axes.set_yticks(range(len(by_group)), names[::-1])
    axes.grid(visible=False, axis="y")
    return figure


def _histograms(evaluation: Evaluation, kind: Limit) -> Figure:
    """All places in all steps: per method a histogram, and the full range as a line."""
    solved = {key: e.quantities[kind.name][e.converged] for key, e in evaluation.episodes.items()}
    low, high = kind.bounds
    lowest = min([low, *(v.min() for v in solved.values() if v.size)])
    highest = max([high, *(v.max() for v in solved.values() if v.size)])
    margin = 0.05 * (highest - lowest)
    edges = np.linspace(lowest - margin, highest + margin, 161)
    figure, (axes,) = panel(_sentence(kind.axis_title), height=0.6 + 0.5 * len(solved))
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
        axes.xaxis.set_major_formatter(PERCENT)
    return figure


def _duration_curves(evaluation: Evaluation, kind: Limit, step: str) -> Figure:
    """The worst place of each step, steps sorted from worst to best."""
    figure, (axes,) = panel(_sentence(kind.axis_title), height=3.1)
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
    axes.xaxis.set_major_formatter(PERCENT)
    if kind.in_percent:
        axes.yaxis.set_major_formatter(PERCENT)
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
    simulator: Simulator, evaluation: Evaluation, day: int, kind: int, methods: list[str]
) -> Figure:
    """Price, power at the meter, and the state of the first device of a kind on one day."""
    fleet = simulator.fleet
    group, device = fleet.groups[kind], sum(fleet.counts[:kind])
    agent = int(group.agent[0])
    drawn = group.kind.store_axis(group.parameters, 0)
    price_title = f"{drawn.price_title}, {simulator.case.currency}/kWh"
    figure, (price, power, store) = panel(
        price_title, "Power at the meter, kW", drawn.title, height=4.6, width=NARROW
    )
    figure.suptitle(fleet.names[agent], fontsize=10.0, fontweight="bold")
    _day_line(price, evaluation.import_price[day], PRICE_COLOUR)
    if drawn.price is not None:
        price.axhline(drawn.price, color=PRICE_COLOUR, linestyle=":", linewidth=1.0)
    power.axhline(0.0, color="#666666", linewidth=0.6)
    if drawn.percent:
        store.yaxis.set_major_formatter(PERCENT)
    if drawn.band:
        ends = drawn.offset, drawn.offset + drawn.scale
        store.axhspan(*ends, color="#000000", alpha=0.06, linewidth=0)
    for key in methods:
        episode, colour = evaluation.episodes[key], appearance(key).colour
        _day_line(power, episode.power[day, :, agent], colour)
        values = drawn.offset + drawn.scale * episode.store[day, :, device]
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

    def add(title: str) -> Axes:
        panels[title], (axes,) = panel(title, height=2.4)
        _hour_axis(axes)
        return axes

    _day_line(add(f"Price, {currency}/kWh"), evaluation.import_price[day], PRICE_COLOUR)
    power = add("Power of all homes, kW")
    for key, episode in _back_to_front(evaluation):
        _day_line(power, episode.fleet_power[day], appearance(key).colour)
    for kind in kinds:
        band = all(map(math.isfinite, kind.bounds))
        axes = add(_sentence(f"{'lowest and highest ' if band else ''}{kind.axis_title}"))
        for key, episode in _back_to_front(evaluation):
            for values in _extremes(kind, episode.quantities[kind.name][day]):
                _day_line(axes, values, appearance(key).colour)
        _limit_lines(axes, kind)
        if kind.in_percent:
            axes.yaxis.set_major_formatter(PERCENT)
    return panels


# ------------------------------------------------------------------------------------- the feeder


def feeder_at(
    simulator: Simulator, episode: Episode, moment: tuple[int, int], kind: Limit, key: str
) -> Figure:
    """The feeder's map at a day and step: one kind of limit, or its voltages and loadings."""
    figure, (axes,) = panel("", height=4.2, width=6.0)
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


def panel(*titles: str, height: float = 2.9, width: float = _WIDTH) -> tuple[Figure, list[Axes]]:
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
