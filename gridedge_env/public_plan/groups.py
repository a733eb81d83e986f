"""Homes that load the feeder alike, in groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gridedge_env.devices.kind import REACTIVE_SHARE
from gridedge_env.public_plan.limits import FeederLimits
from gridedge_gateway.alternating import Array
from gridedge_gateway.program import Network

# Of k-means.
TRIALS, ROUNDS = 60, 50
# Of ratings, or in units of a limit's scale: a limit with less room counts as if it had so much.
LEAST_ROOM = 0.05


@dataclass(frozen=True)
class Groups:
    """Groups of homes that load the feeder alike.

    Attributes:
        member: (connections,) the group of each.
        homes: (groups,) how many there are.
        power: (groups, classes) kW of full power of each class.
        of_power: (connections, groups) what is there of a group's full power.
        of_homes: likewise, of its homes.
    """

    member: NDArray[np.int64]
    homes: Array
    power: Array
    of_power: Array
    of_homes: Array

    def __len__(self) -> int:
        return len(self.homes)

    def network(self, limits: FeederLimits) -> Network:
        """The feeder as groups meet it."""
        return Network(self.power, limits.slope @ self.of_power, limits.room)

    def demand_slope(self, limits: FeederLimits) -> Array:
        """(limits, groups) room that a kW takes which homes draw, with its reactive power."""
        return (limits.slope + REACTIVE_SHARE * limits.reactive_slope) @ self.of_homes


def groups_of(
    limits: FeederLimits,
    names: Sequence[str],
    stands: Array,
    homes: NDArray[np.int64],
    most: int,
) -> Groups:
    """So many groups at most.

    Args:
        limits: by what they take of which homes are told apart.
        names: of the connections.
        stands: (classes, connections) kW of full power.
        homes: (connections,) how many there are.
        most: number of groups.
    """
    # In shares of what there is room for: what binds first tells homes apart first.
    share = limits.slope / np.maximum(limits.room, LEAST_ROOM)[:, None]
    member = numbered(grouped(share.T, stands, most), names)
    belongs = np.eye(member.max() + 1)[member]
    count = homes @ belongs
    power = stands.sum(axis=0)[:, None] * belongs
    return Groups(
        member,
        count,
        (stands @ belongs).T,
        power / power.sum(axis=0),
        homes[:, None] * belongs / count,
    )


def grouped(points: Array, parts: Array, most: int) -> NDArray[np.int64]:
    """The group of each point, by k-means; at most as many groups as points with a weight.

    Of several trials, the one in which groups misjudge the parts least: a part that stands at some
    of a group's points counts as if it stood at all alike.

    Args:
        points: (points, features).
        parts: (parts, points) weight of each part at each point.
        most: number of groups.
    """
    random, weight = np.random.default_rng(0), parts.sum(axis=0)
    there = np.flatnonzero(weight > 0.0)
    count = min(most, len(np.unique(points[there], axis=0)))
    best, least = np.zeros(len(points), dtype=np.int64), np.inf
    for _ in range(TRIALS):
        centre = points[random.choice(there, count, replace=False, p=weight[there] / weight.sum())]
        for _ in range(ROUNDS):
            near = ((points[:, None] - centre) ** 2).sum(axis=2).argmin(axis=1)
            for group in np.unique(near[there]):
                members = there[near[there] == group]
                centre[group] = np.average(points[members], axis=0, weights=weight[members])
        misjudged = parts @ (points - centre[near])
        if (loss := float((misjudged**2).sum())) < least:
            best, least = near, loss
    return best


def numbered(member: NDArray[np.int64], names: Sequence[str]) -> NDArray[np.int64]:
    """The same groups by number, in the order of the first of their members' names.

    So numbers do not depend on how the groups were found.
    """
    _, first, group = np.unique(member[np.argsort(names)], return_index=True, return_inverse=True)
    number = np.empty_like(member)
    number[np.argsort(names)] = np.argsort(np.argsort(first))[group]
    return number
