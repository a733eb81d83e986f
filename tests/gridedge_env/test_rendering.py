"""Pictures are hard to test; that they show what they are given is not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb as rgb_of
from matplotlib.figure import Figure

from gridedge_env import PowerFlow, default_case, load_feeder
from gridedge_env.constraints import Limits, Loading, Unbalance, VoltageBand
from gridedge_env.rendering import (
    DRAWING_COLOUR,
    FEEDING_COLOUR,
    OVERLOAD_COLOUR,
    draw_feeder,
    draw_limit,
    to_rgb,
)


@pytest.fixture(scope="module")
def feeder():
    return load_feeder("ieee123")


@pytest.fixture(scope="module")
def power_flow(feeder):
    return PowerFlow(feeder)


def markers(figure):
    """(fills (buses, 3), areas (buses,)) of the buses: the largest scatter."""
    points = max(figure.axes[0].collections[1:], key=lambda found: len(found.get_offsets()))
    return points.get_facecolors()[:, :3], points.get_sizes(), points.get_offsets()


def lines(figure):
    return figure.axes[0].collections[0]


def has_colour(image, colour):
    wanted = np.round(255 * np.array(rgb_of(colour)))
    return bool((np.abs(image.astype(float) - wanted).max(axis=2) <= 1).any())


def test_a_solved_feeder_is_a_picture(feeder, power_flow):
    """Hundreds of colours, mostly white paper, and ink in every quarter."""
    solution = power_flow.solve()
    loading = solution.branch_current_magnitude[0] / power_flow.branch_rating
    image = to_rgb(draw_feeder(feeder, solution.voltage[0], loading))
    assert image.dtype == np.uint8
    assert image.ndim == 3
    assert image.shape[2] == 3
    assert 0.7 < (image == 255).all(axis=2).mean() < 0.98
    assert len(np.unique(image.reshape(-1, 3), axis=0)) > 300
    height, width = image.shape[0] // 2, image.shape[1] // 2
    for rows in (slice(height), slice(height, None)):
        for columns in (slice(width), slice(width, None)):
            assert (image[rows, columns] < 200).any()


def test_buses_take_the_colour_of_their_voltage(feeder):
    """Orange below (more red than blue), violet above (more blue than red), pale in the middle."""
    nodes = len(feeder.node_names)
    fills = {v: markers(draw_feeder(feeder, np.full(nodes, v)))[0] for v in (0.94, 0.97, 1.0, 1.06)}
    assert all(len(np.unique(found, axis=0)) == 1 for found in fills.values())
    low, lowish, middle, high = (found[0] for found in fills.values())
    assert low[0] > low[2] + 0.3
    assert high[2] > high[0] + 0.1
    assert middle.min() > 0.9
    assert middle.mean() > lowish.mean() > low.mean()


def test_the_worst_phase_counts_and_a_bus_beyond_its_limits_is_larger(feeder):
    voltage = np.ones(len(feeder.node_names))
    voltage[feeder.node_names.index("13.2")] = 0.93
    voltage[feeder.node_names.index("13.3")] = 1.02
    fills, areas, places = markers(draw_feeder(feeder, voltage))
    bus = next(bus for bus in feeder.buses if bus.name == "13")
    (chosen,) = np.flatnonzero(areas == areas.max())
    assert areas.max() > 2.0 * np.median(areas)
    assert tuple(places[chosen]) == (bus.x, bus.y)
    assert fills[chosen][0] > fills[chosen][2] + 0.3

    inside = markers(draw_feeder(feeder, voltage, limits=Limits(0.9, 1.1)))
    assert len(set(inside[1])) == 1


def test_lines_are_as_wide_as_they_are_full_and_red_beyond_the_limit(feeder, power_flow):
    names = power_flow.branch_names
    loading = torch.full((len(names),), 0.2)
    plain = draw_feeder(feeder, None, loading)
    assert not has_colour(to_rgb(plain), OVERLOAD_COLOUR)
    ordinary = np.median(lines(plain).get_linewidths())
    assert max(lines(plain).get_linewidths()) == ordinary

    loading[names.index("line.l115.1")] = 1.4
    full = draw_feeder(feeder, None, loading)
    assert has_colour(to_rgb(full), OVERLOAD_COLOUR)
    assert max(lines(full).get_linewidths()) > 3.0 * ordinary


def test_any_limit_at_buses_has_their_colour(feeder, power_flow):
    """Half of 2 % is paler than 2 %, 3 % darker and a larger dot; it has the worst on top."""
    places = power_flow.three_phase_buses
    unbalance = np.zeros(len(places))
    for bus, value in (("7", 0.01), ("8", 0.02), ("13", 0.03)):
        unbalance[places.index(bus)] = value
    figure = draw_limit(feeder, Unbalance(), places, unbalance)
    fills, areas, found = markers(figure)
    where = {bus.name: (bus.x, bus.y) for bus in feeder.buses}
    half, at, beyond = (
        int(np.flatnonzero((found == where[bus]).all(axis=1))[0]) for bus in ("7", "8", "13")
    )
    pale = np.median(fills, axis=0)
    assert pale.min() > 0.9
    assert pale.sum() > fills[half].sum() > fills[at].sum() > fills[beyond].sum()
    assert beyond == len(fills) - 1
    assert areas[beyond] > 2.0 * areas[at]
    labels = [label.get_text() for label in figure.axes[1].get_yticklabels()]
    assert labels == ["0 %", "0.5 %", "1 %", "1.5 %", "2 % limit"]
    assert figure.axes[1].get_ylabel() == "worst unbalance"


def test_any_limit_of_branches_has_their_width(feeder, power_flow):
    """Of a limit of 2 and a scale of 1: half a unit short of it is half its width's share."""
    places = [name for name in power_flow.branch_names if name.startswith("line.l1")]
    quantity = np.full(len(places), 1.5)
    quantity[places.index("line.l115.1")] = 2.1
    figure = draw_limit(feeder, Loading(2.0), places, quantity)
    widths, styles = lines(figure).get_linewidths(), lines(figure).get_linestyles()
    assert has_colour(to_rgb(figure), OVERLOAD_COLOUR)
    assert widths[-1] == max(widths)
    dotted = [pattern is not None for _, pattern in styles]
    assert 0 < sum(dotted) < len(dotted), "lines without the limit"
    legend = figure.axes[0].get_legend()
    assert legend is not None
    told = [text.get_text() for text in legend.get_texts()]
    assert told[:4] == ["half the limit", "at the limit", "beyond it", "not limited"]


def test_places_that_are_not_on_the_map_are_refused(feeder):
    with pytest.raises(ValueError, match="places: got network, expected buses and nodes, or phas"):
        draw_limit(feeder, Unbalance(), ["network"], [1.0])


def test_buses_without_coordinates_stand_beside_their_neighbours(feeder):
    placed = [bus for bus in feeder.buses if bus.x is not None]
    assert len(placed) == len(feeder.buses) - 2  # the stubs behind two open switches
    assert len(markers(draw_feeder(feeder))[2]) == len(feeder.buses)

    bare = replace(feeder, buses=tuple(replace(bus, x=None, y=None) for bus in feeder.buses))
    assert len(markers(draw_feeder(bare))[2]) == len(feeder.buses), "a tree has them, too"


def test_values_of_the_wrong_length_are_refused(feeder, power_flow):
    with pytest.raises(ValueError, match=r"voltage: got shape \(3,\), expected \(278,\)"):
        draw_feeder(feeder, np.ones(3))
    with pytest.raises(ValueError, match=r"loading: got shape \(1, 2\)"):
        draw_feeder(feeder, None, torch.ones(1, 2))


def test_it_draws_into_axes_of_ones_own(feeder):
    figure = Figure()
    left, right = figure.subplots(1, 2)
    assert draw_feeder(feeder, axes=left) is figure
    assert left.collections
    assert not right.collections


# Agents -------------------------------------------------------------------------------------------


def test_agents_stand_beside_their_buses_in_the_colour_of_what_they_do():
    """One mark for all of a kind at a bus: white at rest, the full colour at full power."""
    fleet = default_case("ieee13", num_agents=9).fleet
    feeder, buses = load_feeder("ieee13"), {place.split(".")[0] for place in fleet.places}
    full = np.concatenate([g.kind.full_power(g.parameters).numpy() for g in fleet.groups])

    def marks(power):
        kinds = draw_feeder(feeder, fleet=fleet, power=power).axes[0].collections
        return [found for found in kinds if len(found.get_offsets()) and found.get_zorder() == 4]

    still = marks(np.zeros(9))
    assert len(still) == 3
    assert {tuple(at) for kind in still for at in kind.get_offsets()} == {
        (bus.x, bus.y) for bus in feeder.buses if bus.name in buses
    }
    for power, colour in ((0.0, "white"), (1.0, DRAWING_COLOUR), (-1.0, FEEDING_COLOUR)):
        for kind in marks(power * full):
            assert np.allclose(kind.get_facecolors()[:, :3], rgb_of(colour))
    with pytest.raises(ValueError, match=r"power: got shape \(2,\), expected \(9,\)"):
        marks(np.zeros(2))


# Odd feeders and limits ---------------------------------------------------------------------------

SMALL = load_feeder("ieee13")
SMALL_FLOW = PowerFlow(SMALL)


def with_coordinates(*names):
    bare = (bus if bus.name in names else replace(bus, x=None, y=None) for bus in SMALL.buses)
    return replace(SMALL, buses=tuple(bare))


def unrated(*names):
    codes = [replace(c, ampacity=None) if c.name in names else c for c in SMALL.line_codes]
    return replace(SMALL, line_codes=tuple(codes))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "odd",
    [
        with_coordinates(),
        with_coordinates("671"),
        with_coordinates("671", "632"),
        unrated(SMALL.lines[0].line_code),
        unrated(*(code.name for code in SMALL.line_codes)),
    ],
    ids=["no coordinates", "one bus", "two apart", "first line unrated", "no line rated"],
)
def test_odd_feeders_are_drawn_without_a_word(odd):
    flow, fleet = PowerFlow(odd), default_case(odd, num_agents=6).fleet
    solution, three = flow.solve(), flow.three_phase_buses
    loading = solution.branch_current_magnitude[0] / flow.branch_rating
    for figure in (
        draw_feeder(odd),
        draw_feeder(odd, solution.voltage[0], loading, fleet=fleet, power=np.zeros(6)),
        draw_limit(odd, Unbalance(), three, solution.unbalance[0]),
        draw_limit(odd, Loading(), flow.branch_names, loading),
    ):
        assert to_rgb(figure).min() < 200


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("kind", "places"),
    [
        (Loading(np.inf), SMALL_FLOW.branch_names),
        (Unbalance(np.inf), SMALL_FLOW.three_phase_buses),
        (VoltageBand(0.95, np.inf), SMALL_FLOW.phase_names),
    ],
    ids=["loading", "unbalance", "voltage"],
)
def test_a_limit_that_is_infinite_is_never_near(kind, places):
    image = to_rgb(draw_limit(SMALL, kind, places, np.full(len(places), 1.0)))
    assert not has_colour(image, OVERLOAD_COLOUR)


@pytest.mark.parametrize("links", [0, 1, 2, 3])
def test_feeders_of_any_size_are_drawn(feeder, links):
    """Of two line styles Matplotlib takes a tuple for something else."""
    names = {bus.name for bus in feeder.buses[: links + 1]}
    buses = tuple(
        bus if bus.name in names else replace(bus, x=None, y=None) for bus in feeder.buses
    )
    draw_feeder(replace(feeder, buses=buses), axes=Figure().subplots())
