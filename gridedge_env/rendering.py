"""Pictures of a feeder: where the voltage is high or low, and which lines are full."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from gridedge_env.feeder import Feeder, Network, build_network
from gridedge_env.limits import Limits

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure

FloatArray = NDArray[np.float64]
Positions = dict[str, tuple[float, float]]

INK, LINE_COLOUR, OVERLOAD_COLOUR = "#2b3640", "#a3adb8", "#e0284f"
# From the bottom of the scale to its top: orange is low, violet high, and a step at each limit.
LOW_COLOURS = ("#6e2c00", "#d9660a", "#f8c88a")
HIGH_COLOURS = ("#c3b8e6", "#6a45ad", "#2a0f57")
MIDDLE_COLOUR = "#fdfbf7"
# The scale goes on beyond each limit by this share of the way to it.
BEYOND_LIMIT = 0.5
# Points and square points, for a feeder of ordinary size; a larger one gets smaller marks.
ORDINARY_BUSES = 150
EMPTY_WIDTH, FULL_WIDTH = 0.8, 5.5
BUS_AREA, WARNED_BUS_AREA, STATION_AREA = 24.0, 58.0, 130.0


def draw_feeder(
    feeder: Feeder,
    voltage: ArrayLike | torch.Tensor | None = None,
    loading: ArrayLike | torch.Tensor | None = None,
    limits: Limits = Limits(),
    axes: Axes | None = None,
) -> Figure:
    """Draw a feeder as a map: buses at their coordinates, joined by lines.

    Buses without coordinates, and what leads to them, are left out. Needs matplotlib.

    Args:
        feeder: the network.
        voltage: (nodes,) pu, magnitudes or complex; a bus has the colour of its worst phase.
        loading: (branch phases,) current over rating; a line is as wide as its worst phase is full.
        limits: buses and lines beyond them stand out.
        axes: where to draw; a new figure by default.

    Returns:
        The figure, for `savefig`.

    Raises:
        ValueError: values of the wrong length, or a feeder without coordinates.
    """
    network = build_network(feeder)
    positions = {b.name: (b.x, b.y) for b in feeder.buses if b.x is not None and b.y is not None}
    if not positions:
        raise ValueError(f"feeder: no bus of {feeder.name!r} has coordinates, expected some")
    axes = axes or _new_axes(positions)
    _draw_lines(axes, network, positions, loading, limits)
    _draw_stations(axes, feeder, positions)
    _draw_buses(axes, network, positions, voltage, limits)
    axes.set_aspect("equal")
    axes.set_axis_off()
    axes.margins(0.02)
    axes.legend(
        loc="upper center",
        bbox_to_anchor=(0.5, 0.0),
        ncols=4,
        frameon=False,
        fontsize=8.5,
        labelcolor=INK,
    )
    figure = axes.get_figure(root=True)
    assert figure is not None
    return figure


def to_rgb(figure: Figure) -> NDArray[np.uint8]:
    """A figure as an image: (height, width, 3)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.array(canvas.buffer_rgba())[..., :3]


def _new_axes(positions: Positions) -> Axes:
    """In a figure of the feeder's shape, within reason; no window, no global state."""
    from matplotlib.figure import Figure

    width, height = np.ptp(list(positions.values()), axis=0)
    shape = np.clip(height / max(width, 1e-9), 0.4, 1.0)
    figure = Figure(figsize=(9.0, 8.0 * shape + 0.8), dpi=110, layout="constrained")
    return figure.add_subplot()


def _draw_lines(
    axes: Axes,
    network: Network,
    positions: Positions,
    loading: ArrayLike | torch.Tensor | None,
    limits: Limits,
) -> None:
    """Lines, switches and transformers: as wide as they are full, dotted where nothing is rated."""
    from matplotlib.collections import LineCollection

    shown = loading is not None
    share = _values("loading", loading, network.branch_names) / limits.maximum_loading
    share[~np.isfinite(network.branch_rating)] = np.nan
    bus = _bus_of_node(network)
    fullest: dict[tuple[str, str], float] = {}
    for (start, end), value in zip(network.branch_terminals, share, strict=True):
        ends = bus[start], bus[end]
        if positions.keys() >= set(ends):
            fullest[ends] = np.fmax(fullest.get(ends, np.nan), value)
    # The fullest come last, on top.
    order = sorted(fullest, key=lambda ends: np.nan_to_num(fullest[ends]))
    scale = _mark_scale(positions)
    styles = [_line_style(fullest[ends], shown) for ends in order]
    axes.add_collection(
        LineCollection(
            [[positions[a], positions[b]] for a, b in order],
            linewidths=[scale * width for _, width, _ in styles],
            colors=[colour for colour, _, _ in styles],
            linestyles=[style for _, _, style in styles],
            capstyle="round",
            zorder=1,
        )
    )
    if shown:
        labels = {0.25: "25 % loaded", 0.5: "50 %", 1.0: "100 %", 1.3: "overloaded"}
        if np.isnan(list(fullest.values())).any():
            labels[np.nan] = "not rated"
        for value, label in labels.items():
            colour, width, style = _line_style(value, shown)
            axes.plot(
                [], [], color=colour, linewidth=scale * width, linestyle=style, label=label
            )


def _line_style(share: float, shown: bool) -> tuple[str, float, str]:
    """Colour, width in points and line style for a share of the limit; not a number: not rated."""
    if np.isnan(share):
        return (INK, 1.4, ":") if shown else (LINE_COLOUR, 2.0, "-")
    width = EMPTY_WIDTH + (FULL_WIDTH - EMPTY_WIDTH) * min(share, 2.0)
    return OVERLOAD_COLOUR if share > 1.0 else LINE_COLOUR, width, "-"


def _draw_buses(
    axes: Axes,
    network: Network,
    positions: Positions,
    voltage: ArrayLike | torch.Tensor | None,
    limits: Limits,
) -> None:
    """Buses in the colour of their worst phase; larger outside the limits."""
    scale = _mark_scale(positions) ** 2
    place = np.array(list(positions.values()))
    style = {"edgecolors": INK, "zorder": 3}
    if voltage is None:
        axes.scatter(*place.T, s=scale * BUS_AREA, color="white", linewidths=0.9, **style)
        return
    magnitude = _values("voltage", voltage, network.node_names)
    middle = 0.5 * (limits.minimum_voltage + limits.maximum_voltage)
    half_width = limits.maximum_voltage - middle
    worst = dict.fromkeys(positions, middle)
    for bus, value in zip(_bus_of_node(network), magnitude, strict=True):
        if bus in worst and abs(value - middle) > abs(worst[bus] - middle):
            worst[bus] = value
    value = np.array(list(worst.values()))
    distance = np.abs(value - middle) / half_width
    outside = distance > 1.0
    top = np.argsort(distance)
    colours = _voltage_colours(limits)
    axes.scatter(
        *place[top].T,
        s=scale * np.where(outside, WARNED_BUS_AREA, BUS_AREA)[top],
        c=colours.to_rgba(value[top]),
        linewidths=np.where(outside, 1.2, 0.6)[top],
        **style,
    )
    if outside.any():
        axes.scatter(
            [], [], s=WARNED_BUS_AREA, color="white", linewidths=1.2, label="bus outside limits", **style
        )
    _add_colour_bar(axes, colours, limits)


def _voltage_colours(limits: Limits) -> ScalarMappable:
    """Pale in the middle of the voltage band, with a step at each limit."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LinearSegmentedColormap, Normalize

    reach = (0.5 + BEYOND_LIMIT) * (limits.maximum_voltage - limits.minimum_voltage)
    middle = 0.5 * (limits.minimum_voltage + limits.maximum_voltage)
    low = 0.5 - 0.5 / (1.0 + 2.0 * BEYOND_LIMIT)
    places = (0.0, low, low, 0.5, 1.0 - low, 1.0 - low, 1.0)
    colours = (*LOW_COLOURS, MIDDLE_COLOUR, *HIGH_COLOURS)
    scale = LinearSegmentedColormap.from_list("voltage", list(zip(places, colours, strict=True)))
    return ScalarMappable(Normalize(middle - reach, middle + reach), scale)


def _add_colour_bar(axes: Axes, colours: ScalarMappable, limits: Limits) -> None:
    low, high = limits.minimum_voltage, limits.maximum_voltage
    bar = axes.figure.colorbar(
        colours, ax=axes, shrink=0.65, aspect=30, pad=0.02, extend="both", drawedges=False
    )
    bar.set_ticks(list(np.linspace(low, high, 5)))
    bar.ax.set_yticklabels(
        [f"{v:.3f}" + (" limit" if v in (low, high) else "") for v in np.linspace(low, high, 5)]
    )
    bar.ax.tick_params(colors=INK, labelsize=8.5, length=0)
    bar.ax.axhline(low, color=INK, linewidth=1.2)
    bar.ax.axhline(high, color=INK, linewidth=1.2)
    bar.outline.set_visible(False)
    bar.set_label("voltage of the worst phase (pu)", color=INK, fontsize=8.5)


def _draw_stations(axes: Axes, feeder: Feeder, positions: Positions) -> None:
    """The source, and where transformers and regulators stand."""
    scale = _mark_scale(positions) ** 2
    ends = {(t.windings[0].bus, t.windings[1].bus) for t in feeder.transformers}
    places = [
        np.mean([positions[a], positions[b]], axis=0)
        for a, b in sorted(ends)
        if a in positions and b in positions
    ]
    for marker, area, where, label in (
        ("D", STATION_AREA, places, "transformer or regulator"),
        ("s", 0.6 * STATION_AREA, source, "source"),
    ):
        if where:
            axes.scatter(*np.transpose(where), s=scale * area, marker=marker, label=label, ...)


def _bus_of_node(network: Network) -> list[str]:
    return [name.rpartition(".")[0] for name in network.node_names]
