"""Where the buses of a feeder are drawn: where they stand, or as a tree from the source."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import TypeAlias

from gridedge_env.feeder import Feeder

Positions: TypeAlias = dict[str, tuple[float, float]]

# Width of a tree over its height.
TREE_SHAPE = 1.6
# Share of a map to a bus of which nothing but a neighbour's place is known, and the turn from one
# such direction to the next.
BESIDE, GOLDEN_ANGLE = 0.02, math.pi * (3.0 - math.sqrt(5.0))


def has_coordinates(feeder: Feeder) -> bool:
    """Whether buses do: more than one, or there is no map to draw."""
    return sum(bus.x is not None and bus.y is not None for bus in feeder.buses) > 1


def bus_positions(feeder: Feeder) -> Positions:
    """Where each bus is drawn.

    Where some have coordinates, those that have none stand beside what they are linked to; where
    none has, or a single one, all that lead to the source stand as `tree_positions` has them.
    """
    if has_coordinates(feeder):
        known = {b.name: (b.x, b.y) for b in feeder.buses if b.x is not None and b.y is not None}
        return beside(known, _links(feeder))
    return tree_positions(feeder.source.bus, _links(feeder))


def beside(known: Positions, links: Iterable[tuple[str, str]]) -> Positions:
    """Positions also of buses that are linked to some: amidst those, or a short way from the one.

    Args:
        known: of two or more buses, x and y.
        links: pairs of buses.

    Returns:
        Those, and of every bus that links lead to from them.
    """
    neighbours = _neighbours(known, links)
    columns = list(zip(*known.values(), strict=True))
    away = BESIDE * max(max(column) - min(column) for column in columns)
    found, waiting = dict(known), list(known)
    for bus in waiting:  # which grows meanwhile
        for other in neighbours[bus]:
            if other in found:
                continue
            placed = [found[near] for near in neighbours[other] if near in found]
            x, y = (sum(column) / len(placed) for column in zip(*placed, strict=True))
            if len(placed) == 1:
                angle = GOLDEN_ANGLE * len(waiting)
                x, y = x + away * math.cos(angle), y + away * math.sin(angle)
            found[other] = x, y
            waiting.append(other)
    return found


def tree_positions(root: str, links: Iterable[tuple[str, str]]) -> Positions:
    """A tree that grows to the right: its breadth-first one, where links make loops.

    Args:
        root: on the left.
        links: pairs of buses.

    Returns:
        Of every bus that is linked to the root: the number of links between them as x, up to
        `TREE_SHAPE`; as y, from 0 to 1, the ends of branches one above the other, and every other
        bus half-way between its outermost branches.
    """
    neighbours = _neighbours([root], links)
    depth, branches, found = {root: 0}, {root: list[str]()}, [root]
    for bus in found:  # which grows meanwhile
        for other in neighbours[bus]:
            if other not in depth:
                depth[other], branches[other] = depth[bus] + 1, []
                branches[bus].append(other)
                found.append(other)

    height: dict[str, float] = {}
    ends = 0
    waiting = [root]
    while waiting:  # branch after branch, so that no two cross
        bus = waiting.pop()
        waiting += reversed(branches[bus])
        if not branches[bus]:
            height[bus] = float(ends)
            ends += 1
    for bus in reversed(found):  # what is further away comes first
        if branches[bus]:
            heights = [height[branch] for branch in branches[bus]]
            height[bus] = 0.5 * (min(heights) + max(heights))
    across, up = max(*depth.values(), 1), max(ends - 1, 1)
    return {bus: (TREE_SHAPE * depth[bus] / across, height[bus] / up) for bus in found}


def _links(feeder: Feeder) -> Iterator[tuple[str, str]]:
    """Pairs of buses between which there is a line, a closed switch or a transformer."""
    for line in feeder.lines:
        yield line.from_bus, line.to_bus
    for switch in feeder.switches:
        if switch.closed:
            yield switch.from_bus, switch.to_bus
    for transformer in feeder.transformers:
        first, *others = transformer.windings
        for winding in others:
            yield first.bus, winding.bus


def _neighbours(buses: Iterable[str], links: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Of these buses, and of all that are linked."""
    found: dict[str, list[str]] = {bus: [] for bus in buses}
    for one, other in links:
        found.setdefault(one, []).append(other)
        found.setdefault(other, []).append(one)
    return found
