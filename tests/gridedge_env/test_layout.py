"""A feeder without coordinates is a tree that no line of it crosses."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import combinations

import pytest

from gridedge_env.feeder import Feeder, load_feeder
from gridedge_env.layout import TREE_SHAPE, beside, bus_positions, has_coordinates, tree_positions


def without_coordinates(feeder: Feeder) -> Feeder:
    return replace(feeder, buses=tuple(replace(bus, x=None, y=None) for bus in feeder.buses))


def test_a_small_tree_by_hand() -> None:
    """Three links deep, four ends: d, e, f and g, a third of the height apart; c is alone half-way
    between e and f (1.5 thirds), b between d and c (0.75 thirds), the root between b and g.
    """
    links = [("b", "root"), ("root", "g"), ("b", "d"), ("b", "c"), ("e", "c"), ("c", "f")]
    third = TREE_SHAPE / 3.0
    expected = {
        "root": (0.0, 1.875 / 3.0),
        "b": (third, 0.75 / 3.0),
        "g": (third, 1.0),
        "d": (2.0 * third, 0.0),
        "c": (2.0 * third, 1.5 / 3.0),
        "e": (TREE_SHAPE, 1.0 / 3.0),
        "f": (TREE_SHAPE, 2.0 / 3.0),
    }
    found = tree_positions("root", [*links, ("alone", "apart")])
    assert found.keys() == expected.keys()
    for bus, place in expected.items():
        assert found[bus] == pytest.approx(place)


def test_a_loop_is_opened_at_its_far_end() -> None:
    ring = [("a", "b"), ("b", "c"), ("c", "d"), ("d", "a"), ("a", "b")]
    depth = {bus: x / TREE_SHAPE for bus, (x, _) in tree_positions("a", ring).items()}
    assert depth == {"a": 0.0, "b": 0.5, "d": 0.5, "c": 1.0}


def test_one_bus_is_a_tree() -> None:
    assert tree_positions("a", []) == {"a": (0.0, 0.0)}


def test_coordinates_are_kept() -> None:
    feeder = load_feeder("ieee123")
    assert has_coordinates(feeder)
    assert bus_positions(feeder)["13"] == next(
        (bus.x, bus.y) for bus in feeder.buses if bus.name == "13"
    )


def test_who_has_no_coordinates_stands_beside_who_has() -> None:
    """Half-way between two neighbours, a fiftieth of the map from a single one, none on another."""
    known = {"a": (0.0, 0.0), "b": (100.0, 0.0), "c": (100.0, 50.0)}
    links = [("a", "m"), ("m", "b"), ("c", "e"), ("c", "f"), ("f", "g"), ("alone", "apart")]
    found = beside(known, links)
    assert found.keys() == {*known, "m", "e", "f", "g"}
    assert {bus: found[bus] for bus in known} == known
    assert found["m"] == (50.0, 0.0)
    for one, other in links[2:5]:
        assert math.dist(found[one], found[other]) == pytest.approx(2.0)
    assert min(math.dist(*pair) for pair in combinations(found.values(), 2)) > 0.5


@pytest.mark.parametrize("name", ["ieee123", "european_lv"])
def test_a_feeder_as_a_tree(name: str) -> None:
    """Every bus that is fed has a place of its own, and no line goes back or crosses another."""
    feeder = without_coordinates(load_feeder(name))
    assert not has_coordinates(feeder)
    positions = bus_positions(feeder)
    assert positions[feeder.source.bus][0] == 0.0
    assert len(set(positions.values())) == len(positions) > 0.95 * len(feeder.buses)
    columns: dict[float, list[tuple[float, float]]] = {}
    for line in feeder.lines:
        if line.from_bus in positions:
            near, far = sorted((positions[line.from_bus], positions[line.to_bus]))
            assert near[0] < far[0]
            columns.setdefault(far[0], []).append((near[1], far[1]))
    for lines in columns.values():
        for (begin, end), (other_begin, other_end) in combinations(lines, 2):
            assert (begin - other_begin) * (end - other_end) >= 0.0
