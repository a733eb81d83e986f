"""Pictures of a feeder: where the voltage is high or low, and which lines are full."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from gridedge_env.constraints import Limits
from gridedge_env.devices import Fleet
from gridedge_env.feeder import Feeder, Network, build_network
from gridedge_env.feeder.places import FIRST_NEUTRAL, place_at
from gridedge_env.layout import Positions, bus_positions
from gridedge_env.limit import Limit

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure

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
AGENT_AREA, AGENT_DISTANCE = 26.0, 7.0
# Of each kind in turn; a mark is filled as much as the agents use of their devices' power.
AGENT_MARKERS = ("s", "^", "v", "p", "P", "X")
DRAWING_COLOUR, FEEDING_COLOUR = "#1f6fb2", "#d9a21b"
TEXT: dict[str, Any] = {"fontsize": 8.5, "labelcolor": INK, "labelspacing": 0.9}
# Examples of lines for the legend, by share of the limit; the last two where there are any.
LOADED = {0.25: "25 % loaded", 0.5: "50 % loaded", 1.0: "100 % loaded"}
LOADED |= {1.2: "overloaded", np.nan: "not rated"}
LIMITED = {0.5: "half the limit", 1.0: "at the limit", 1.2: "beyond it", np.nan: "not limited"}


def draw_feeder(
    feeder: Feeder,
    voltage: ArrayLike | torch.Tensor | None = None,
    loading: ArrayLike | torch.Tensor | None = None,
    limits: Limits | None = None,
    axes: Axes | None = None,
    fleet: Fleet | None = None,
    power: ArrayLike | torch.Tensor | None = None,
) -> Figure:
    """Draw a feeder as a map: buses at their coordinates, joined by lines.

    Buses without coordinates, and what leads to them, are left out; where none has any, the map is
    a tree from the source. Needs matplotlib.

    Args:
        feeder: the network.
        voltage: (phases,) pu, magnitudes or complex, of all nodes that are no neutral; a bus has
            the colour of its worst phase.
        loading: (branch phases,) current over rating; a line is as wide as its worst phase is full.
        limits: buses and lines beyond them stand out; `Limits()` by default.
        axes: where to draw; a new figure by default.
        fleet: whose agents stand beside their buses, a mark for all of a kind.
        power: (agents,) kW at their meters, + = consumption; marks are filled as far as the power
            of all devices goes. They stay empty without.

    Returns:
        The figure, for `savefig`.

    Raises:
        ValueError: values of the wrong length.
    """
    limits = limits or Limits()
    (band,) = (kind for kind in limits if kind.name == "voltage")
    network, positions = build_network(feeder), bus_positions(feeder)
    axes = axes or _new_axes(positions)
    share = None
    if loading is not None:
        filled = _values("loading", loading, network.branch_names)
        rated = np.isfinite(network.branch_rating)
        share = np.where(rated, filled / limits.maximum_loading, np.nan)
    _draw_lines(axes, network, positions, share, LOADED)
    _draw_stations(axes, feeder, positions)
    if voltage is None:
        _draw_plain_buses(axes, positions)
    else:
        buses = [bus.name for bus in feeder.buses for k in bus.phases if k < FIRST_NEUTRAL]
        magnitude = _values("voltage", voltage, buses)
        _draw_buses(axes, positions, buses, magnitude, band, "voltage of the worst phase, pu")
    if fleet is not None:
        known = None if power is None else _values("power", power, fleet.names)
        _draw_agents(axes, feeder, positions, fleet, known)
    return _finished(axes)


def draw_limit(
    feeder: Feeder,
    kind: Limit,
    places: Sequence[str],
    quantity: ArrayLike | torch.Tensor,
    axes: Axes | None = None,
) -> Figure:
    """Draw a feeder as a map of where one kind of limit is near, and where it is exceeded.

    Args:
        feeder: the network.
        kind: of limit.
        places: where it holds, `kind.places(power_flow)`: buses and nodes, or phases of branches.
        quantity: (places,) what is limited; a bus has the colour, a line the width of its worst.
        axes: where to draw; a new figure by default.

    Returns:
        The figure, for `savefig`.

    Raises:
        ValueError: places that are not on a map, or values of the wrong length.
    """
    if not is_on_map(feeder, places):
        raise ValueError(
            f"places: got {', '.join(places)!s:.80}, expected buses and nodes, or phases of "
            f"branches, of {feeder.name!r}"
        )
    network, positions = build_network(feeder), bus_positions(feeder)
    axes = axes or _new_axes(positions)
    values = _values(kind.name, quantity, places)
    row = {name: row for row, name in enumerate(network.branch_names)}
    if places[0] in row:
        share = np.full(len(row), np.nan)
        share[[row[place] for place in places]] = 1.0 + kind.excess(values) / kind.scale
        _draw_lines(axes, network, positions, share.clip(min=0.0), LIMITED)
        _draw_stations(axes, feeder, positions)
        _draw_plain_buses(axes, positions)
    else:
        bus_of = dict(zip(network.node_names, _bus_of_node(network), strict=True))
        buses = [bus_of.get(place, place) for place in places]
        _draw_lines(axes, network, positions, None, LIMITED)
        _draw_stations(axes, feeder, positions)
        _draw_buses(axes, positions, buses, values, kind, kind.axis_title)
    return _finished(axes)


def is_on_map(feeder: Feeder, places: Sequence[str]) -> bool:
    """Whether a limit's places are buses and nodes of a feeder, or phases of its branches."""
    network = build_network(feeder)
    branches = set(network.branch_names)
    buses = {*network.node_names, *_bus_of_node(network)}
    return bool(places) and (branches.issuperset(places) or buses.issuperset(places))


def _finished(axes: Axes) -> Figure:
    axes.set_aspect("equal")
    axes.set_axis_off()
    axes.margins(0.02)
    if axes.get_legend_handles_labels()[0]:
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


def _values(name: str, given: ArrayLike | torch.Tensor, columns: Sequence[str]) -> FloatArray:
    """Numbers, one for each column; the magnitudes of complex ones."""
    numbers = np.asarray(given.detach().cpu() if isinstance(given, torch.Tensor) else given)
    values = (np.abs(numbers) if np.iscomplexobj(numbers) else numbers).astype(np.float64)
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
    given: FloatArray | None,
    labels: Mapping[float, str],
) -> None:
    """Lines, switches and transformers by their share of a limit, if given; the fullest on top."""
    from matplotlib.collections import LineCollection

    share = np.full(len(network.branch_names), 0.2) if given is None else given
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
    drawn = LineCollection([[positions[a], positions[b]] for a, b in order], zorder=1)
    if order:
        colours, widths, styles = zip(
            *[_line_style(fullest[ends], scale) for ends in order], strict=True
        )
        # A list: of two styles Matplotlib takes a tuple for an offset and dashes.
        drawn.set(colors=colours, linewidths=widths, linestyles=list(styles), capstyle="round")
    axes.add_collection(drawn)
    if given is None or not order:
        return
    found = np.array(list(fullest.values()))
    over, unlimited = (found > 1.0).any(), np.isnan(found).any()
    for value, label in labels.items():
        if (value > 1.0 and not over) or (np.isnan(value) and not unlimited):
            continue
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


def _draw_plain_buses(axes: Axes, positions: Positions) -> None:
    x, y = np.array(list(positions.values())).T
    area = BUS_AREA * _mark_scale(positions) ** 2
    axes.scatter(x, y, s=area, color="white", linewidths=0.9, edgecolors=INK, zorder=3)


def _draw_buses(
    axes: Axes,
    positions: Positions,
    buses: Sequence[str],
    quantity: FloatArray,
    kind: Limit,
    title: str,
) -> None:
    """Buses in the colour of their worst value; the worst on top, and larger outside the limits."""
    scale = _mark_scale(positions) ** 2
    style: dict[str, Any] = {"edgecolors": INK, "zorder": 3}
    x, y = np.array(list(positions.values())).T
    worst = dict.fromkeys(positions, kind.middle)
    for row in np.argsort(kind.excess(quantity), kind="stable"):
        if buses[row] in worst:
            worst[buses[row]] = quantity[row]
    values = np.array(list(worst.values()))
    excess = kind.excess(values)
    outside, order = excess > 0.0, np.argsort(excess)
    colours = _colours(kind)
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
    _add_colour_bar(axes, colours, kind, title)


def _draw_agents(
    axes: Axes, feeder: Feeder, positions: Positions, fleet: Fleet, power: FloatArray | None
) -> None:
    """A mark for all agents of a kind at a bus, around it, in the colour of what they do."""
    from matplotlib.colors import to_rgb as rgb
    from matplotlib.transforms import ScaledTranslation

    buses = {bus.name: bus for bus in feeder.buses}
    homes = [place_at(place, buses).bus for place in fleet.places]
    groups = [group.kind.full_power(group.parameters) for group in fleet.groups]
    full = _values("full_power", fleet.by_agent(fleet.join(groups)), fleet.names)
    kinds, scale = list(dict.fromkeys(fleet.agent_kinds)), _mark_scale(positions)
    style: dict[str, Any] = {"s": scale**2 * AGENT_AREA, "edgecolors": INK, "lw": 0.5}
    for number, kind in enumerate(kinds):
        of_kind = np.array([found == kind for found in fleet.agent_kinds])
        there = sorted({bus for bus, own in zip(homes, of_kind, strict=True) if own} & {*positions})
        colours = []
        for bus in there:
            here = of_kind & (np.array(homes) == bus)
            share = 0.0 if power is None else power[here].sum() / max(full[here].sum(), 1e-9)
            end = np.array(rgb(DRAWING_COLOUR if share > 0.0 else FEEDING_COLOUR))
            colours.append(1.0 + min(abs(share), 1.0) * (end - 1.0))
        angle = 2.0 * math.pi * number / len(kinds)
        shift = AGENT_DISTANCE * scale / 72.0 * np.array([math.cos(angle), math.sin(angle)])
        moved = axes.transData + ScaledTranslation(shift[0], shift[1], axes.figure.dpi_scale_trans)
        marker, label = AGENT_MARKERS[number % len(AGENT_MARKERS)], kind
        for group in fleet.groups:
            label = label.replace(group.kind.name, group.kind.plural)
        label = label.replace("_", " ")
        axes.scatter([], [], color="white", marker=marker, label=label, **style)
        if there:
            x, y = np.transpose([positions[bus] for bus in there])
            axes.scatter(
                x, y, c=colours, marker=marker, transform=moved, zorder=4, clip_on=False, **style
            )
    for colour, label in ((DRAWING_COLOUR, "drawing"), (FEEDING_COLOUR, "feeding in")):
        if power is not None:
            axes.scatter([], [], color=colour, label=label, **style)


def _colours(kind: Limit) -> ScalarMappable:
    """Pale well within the limits, with a step at each."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LinearSegmentedColormap, Normalize

    middle, (low, high) = kind.middle, kind.bounds
    stops = [(middle, MIDDLE_COLOUR)]
    if math.isfinite(low):
        end = low - BEYOND_LIMIT * (middle - low)
        stops = [*zip((end, low, low), LOW_COLOURS, strict=True), *stops]
    if math.isfinite(high):
        end = high + BEYOND_LIMIT * (high - middle)
        stops += zip((high, high, end), reversed(HIGH_COLOURS), strict=True)
    if len(stops) == 1:  # nothing is near a limit that there is not
        stops += [(middle + kind.scale, MIDDLE_COLOUR)]
    scale = Normalize(stops[0][0], stops[-1][0])
    shares = [(float(scale(value)), colour) for value, colour in stops]
    return ScalarMappable(scale, LinearSegmentedColormap.from_list(kind.name, shares))


def _add_colour_bar(axes: Axes, colours: ScalarMappable, kind: Limit, title: str) -> None:
    limits = [limit for limit in kind.bounds if math.isfinite(limit)]
    if not limits:
        return
    first, last = limits if len(limits) == 2 else sorted((*limits, kind.middle))
    ticks = np.linspace(first, last, 5)
    extend = {(True, True): "both", (True, False): "min", (False, True): "max"}
    bar = axes.figure.colorbar(
        colours,
        ax=axes,
        shrink=0.7,
        aspect=30,
        pad=0.01,
        extend=extend[math.isfinite(kind.bounds[0]), math.isfinite(kind.bounds[1])],
    )
    labels = [
        (f"{100.0 * tick:.3g} %" if kind.in_percent else f"{tick:.3f}")
        + (" limit" if tick in limits else "")
        for tick in ticks
    ]
    bar.set_ticks(list(ticks), labels=labels)
    bar.ax.tick_params(length=0, labelsize=TEXT["fontsize"], labelcolor=INK)
    bar.ax.hlines(limits, 0.0, 1.0, colors=INK, linewidth=1.2)
    bar.outline.set_visible(False)
    bar.set_label(title, color=INK, fontsize=TEXT["fontsize"])


def _bus_of_node(network: Network) -> list[str]:
    return [name.rpartition(".")[0] for name in network.node_names]


def _mark_scale(positions: Positions) -> float:
    """Smaller marks where there are many."""
    return min(1.0, (ORDINARY_BUSES / len(positions)) ** 0.5)
