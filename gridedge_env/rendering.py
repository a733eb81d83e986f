"""Pictures of a feeder: where the voltage is high or low, and which lines are full."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from gridedge_env.constraints import Limits
from gridedge_env.feeder import Feeder, Network, build_network

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure

Positions = dict[str, tuple[float, float]]
FloatArray = NDArray[np.float64]

INK, LINE_COLOUR, OVERLOAD_COLOUR = "#2b3640", "#a3adb8", "#e0284f"
# Orange is low, violet high, from the end of the scale through the limit to the middle of the band.
LOW_COLOURS = ("#6e2c00", "#cc640c", "#f3b266")
HIGH_COLOURS = ("#2a0f57", "#7248bd", "#b3a5df")
MIDDLE_COLOUR = "#fdfbf7"
# The scale goes on beyond each limit by this share of the way from the middle to it.
BEYOND_LIMIT = 0.5
# Sizes of marks, in points and square points, on a feeder of up to so many buses.
ORDINARY_BUSES = 150
EMPTY_WIDTH, FULL_WIDTH = 0.8, 5.5
BUS_AREA, WARNED_BUS_AREA, STATION_AREA = 22.0, 55.0, 130.0
TEXT: dict[str, Any] = {"fontsize": 8.5, "labelcolor": INK}


def draw_feeder(
    feeder: Feeder,
    voltage: ArrayLike | torch.Tensor | None = None,
    loading: ArrayLike | torch.Tensor | None = None,
    limits: Limits | None = None,
    axes: Axes | None = None,
) -> Figure:
    """Draw a feeder as a map: buses at their coordinates, joined by lines.

    Buses without coordinates, and what leads to them, are left out. Needs matplotlib.

    Args:
        feeder: the network.
        voltage: (nodes,) pu, magnitudes or complex; a bus has the colour of its worst phase.
        loading: (branch phases,) current over rating; a line is as wide as its worst phase is full.
        limits: buses and lines beyond them stand out; `Limits()` by default.
        axes: where to draw; a new figure by default.

    Returns:
        The figure, for `savefig`.

    Raises:
        ValueError: values of the wrong length, or a feeder without coordinates.
    """
    limits = limits or Limits()
    network = build_network(feeder)
    positions = {b.name: (b.x, b.y) for b in feeder.buses if b.x is not None and b.y is not None}
    if not positions:
        raise ValueError(f"feeder: no bus of {feeder.name!r} has coordinates, expected some")
    axes = axes or _new_axes(positions)
    filled = _values("loading", loading, network.branch_names)
    _draw_lines(axes, network, positions, filled, limits)
    _draw_stations(axes, feeder, positions)
    magnitude = _values("voltage", voltage, network.node_names)
    _draw_buses(axes, network, positions, magnitude, limits)
    axes.set_aspect("equal")
    axes.set_axis_off()
    axes.margins(0.02)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 0.0), ncols=4, frameon=False, **TEXT)
    figure = axes.get_figure(root=True)
    assert figure is not None  # of the axes made above, or given
    return figure


def to_rgb(figure: Figure) -> NDArray[np.uint8]:
    """A figure as an image: (height, width, 3)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.array(canvas.buffer_rgba())[..., :3]


def _values(
    name: str, given: ArrayLike | torch.Tensor | None, columns: tuple[str, ...]
) -> FloatArray | None:
    """Magnitudes, one for each column."""
    if given is None:
        return None
    numbers = given.detach().cpu().numpy() if isinstance(given, torch.Tensor) else given
    values = np.abs(np.asarray(numbers)).astype(np.float64)
    if values.shape != (len(columns),):
        raise ValueError(f"{name}: got shape {values.shape}, expected ({len(columns)},)")
    return values


def _new_axes(positions: Positions) -> Axes:
    """In a figure of the feeder's shape, within reason; no window and no global state."""
    from matplotlib.figure import Figure

    width, height = np.ptp(list(positions.values()), axis=0)
    shape = float(np.clip(height / max(width, 1e-9), 0.4, 1.0))
    return Figure(figsize=(9.0, 7.5 * shape + 1.3), dpi=110, layout="constrained").add_subplot()


def _draw_lines(
    axes: Axes,
    network: Network,
    positions: Positions,
    loading: FloatArray | None,
    limits: Limits,
) -> None:
    """Lines, switches and transformers; the fullest on top."""
    from matplotlib.collections import LineCollection

    if loading is None:
        share = np.full(len(network.branch_names), 0.2)
    else:
        rated = np.isfinite(network.branch_rating)
        share = np.where(rated, loading / limits.maximum_loading, np.nan)
    bus = _bus_of_node(network)
    fullest: dict[tuple[str, str], float] = {}
    between_buses = (network.branch_terminals >= 0).all(axis=1)
    terminals = network.branch_terminals[between_buses]
    for (start, end), value in zip(terminals, share[between_buses], strict=True):
        ends = bus[start], bus[end]
        if ends[0] in positions and ends[1] in positions:
            fullest[ends] = np.fmax(fullest.get(ends, np.nan), value)

    scale = _mark_scale(positions)
    order = sorted(fullest, key=lambda ends: np.nan_to_num(fullest[ends]))
    colours, widths, styles = zip(
        *[_line_style(fullest[ends], scale) for ends in order], strict=True
    )
    segments = [[positions[a], positions[b]] for a, b in order]
    axes.add_collection(
        LineCollection(
            segments,
            colors=colours,
            linewidths=widths,
            linestyles=styles,
            capstyle="round",
            zorder=1,
        )
    )
    if loading is None:
        return
    examples = {0.25: "25 % loaded", 0.5: "50 % loaded", 1.0: "100 % loaded"}
    if max(fullest.values()) > 1.0:
        examples[1.2] = "overloaded"
    if np.isnan(list(fullest.values())).any():
        examples[np.nan] = "not rated"
    for value, label in examples.items():
        colour, width, style = _line_style(value, scale)
        axes.plot([], [], color=colour, linewidth=width, linestyle=style, label=label)


def _line_style(share: float, scale: float) -> tuple[str, float, str]:
    """Colour, width and style for a share of the limit; not a number: there is none."""
    if np.isnan(share):
        return INK, 1.4 * scale, ":"
    width = EMPTY_WIDTH + (FULL_WIDTH - EMPTY_WIDTH) * min(share, 1.5)
    return (OVERLOAD_COLOUR if share > 1.0 else LINE_COLOUR), width * scale, "-"


def _draw_stations(axes: Axes, feeder: Feeder, positions: Positions) -> None:
    """The source, and where transformers and regulators stand."""
    stations = [
        (positions[t.windings[0].bus], positions[t.windings[1].bus])
        for t in feeder.transformers
        if t.windings[0].bus in positions and t.windings[1].bus in positions
    ]
    source = [positions[feeder.source.bus]] if feeder.source.bus in positions else []
    area = STATION_AREA * _mark_scale(positions) ** 2
    marks: tuple[tuple[list[Any], str, dict[str, Any]], ...] = (
        (source, "source", {"marker": "s", "s": 1.8 * area, "facecolors": INK}),
        (
            [np.mean(ends, axis=0) for ends in stations],
            "transformer or regulator",
            {"marker": "D", "s": area, "facecolors": "white"},
        ),
    )
    for places, label, style in marks:
        if places:
            axes.scatter(*np.transpose(places), edgecolors=INK, zorder=2, label=label, **style)


def _draw_buses(
    axes: Axes,
    network: Network,
    positions: Positions,
    voltage: FloatArray | None,
    limits: Limits,
) -> None:
    """Buses in the colour of their worst phase; the worst on top, and larger outside the limits."""
    scale = _mark_scale(positions) ** 2
    style: dict[str, Any] = {"edgecolors": INK, "zorder": 3}
    x, y = np.array(list(positions.values())).T
    if voltage is None:
        axes.scatter(x, y, s=BUS_AREA * scale, color="white", linewidths=0.9, **style)
        return
    middle = 0.5 * (limits.minimum_voltage + limits.maximum_voltage)
    worst = dict.fromkeys(positions, middle)
    for bus, value in zip(_bus_of_node(network), voltage, strict=True):
        if bus in worst and abs(value - middle) >= abs(worst[bus] - middle):
            worst[bus] = value
    values = np.array(list(worst.values()))
    outside = (values < limits.minimum_voltage) | (values > limits.maximum_voltage)
    order = np.argsort(np.abs(values - middle))
    colours = _voltage_colours(limits)
    axes.scatter(
        x[order],
        y[order],
        s=scale * np.where(outside, WARNED_BUS_AREA, BUS_AREA)[order],
        c=colours.to_rgba(values[order]),
        linewidths=np.where(outside, 1.2, 0.6)[order].tolist(),
        **style,
    )
    if outside.any():
        area = scale * WARNED_BUS_AREA
        axes.scatter([], [], s=area, color="white", label="bus outside limits", **style)
    _add_colour_bar(axes, colours, limits)


def _voltage_colours(limits: Limits) -> ScalarMappable:
    """Pale in the middle of the band of voltages, with a step at each limit."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LinearSegmentedColormap, Normalize

    low, high = limits.minimum_voltage, limits.maximum_voltage
    beyond = 0.5 * BEYOND_LIMIT * (high - low)
    place = 0.5 * BEYOND_LIMIT / (1.0 + BEYOND_LIMIT)  # of the lower limit, between 0 and 1
    colour_map = LinearSegmentedColormap.from_list(
        "voltage",
        [
            *zip((0.0, place, place), LOW_COLOURS, strict=True),
            (0.5, MIDDLE_COLOUR),
            *zip((1.0 - place, 1.0 - place, 1.0), reversed(HIGH_COLOURS), strict=True),
        ],
    )
    return ScalarMappable(Normalize(low - beyond, high + beyond), colour_map)


def _add_colour_bar(axes: Axes, colours: ScalarMappable, limits: Limits) -> None:
    ticks = np.linspace(limits.minimum_voltage, limits.maximum_voltage, 5)
    bar = axes.figure.colorbar(colours, ax=axes, shrink=0.7, aspect=30, pad=0.01, extend="both")
    labels = [f"{tick:.3f}" for tick in ticks]
    bar.set_ticks(list(ticks), labels=[f"{labels[0]} limit", *labels[1:-1], f"{labels[-1]} limit"])
    bar.ax.tick_params(length=0, labelsize=TEXT["fontsize"], labelcolor=INK)
    bar.ax.hlines(ticks[[0, -1]], 0.0, 1.0, colors=INK, linewidth=1.2)
    bar.outline.set_visible(False)
    bar.set_label("voltage of the worst phase, pu", color=INK, fontsize=TEXT["fontsize"])


def _bus_of_node(network: Network) -> list[str]:
    return [name.rpartition(".")[0] for name in network.node_names]


def _mark_scale(positions: Positions) -> float:
    """Smaller marks where there are many."""
    return min(1.0, (ORDINARY_BUSES / len(positions)) ** 0.5)
