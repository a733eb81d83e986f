"""What a feeder can carry, as its groups of homes meet it: tangents to the limits that can bind.

All devices that pull alike, ever harder, meet one limit after the other, in either direction. Where
they first meet one, its tangent says what each connection contributes: slope @ kW <= room.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gridedge_env.constraints import Limits, scaled_edges
from gridedge_env.powerflow import PowerFlow
from gridedge_env.wiring import Wiring
from gridedge_gateway.alternating import Array

# Operating points in each direction, up to full power; limits that get tangents there; and how many
# of those that are met are looked at, so many at a time.
POINTS = 64
MOST_TANGENTS = 32
AT_A_TIME, MOST_LOOKED_AT = 64, 512
# Of tangents whose slopes are closer than this (cosine), the first that is met stands for all.
ALIKE = 0.95


@dataclass(frozen=True)
class FeederLimits:
    """Tangents.

    Attributes:
        names: of the places where they are taken.
        slope: (limits, connections) per kW, at a power factor of one.
        reactive_slope: likewise, per kvar.
        room: (limits,).
    """

    names: tuple[str, ...]
    slope: Array
    reactive_slope: Array
    room: Array


def feeder_limits(
    power_flow: PowerFlow,
    wiring: Wiring,
    limits: Limits,
    base: Tensor,
    directions: tuple[Tensor, ...],
) -> FeederLimits:
    """Tangents to the limits that devices can meet.

    Args:
        power_flow: the network.
        wiring: how homes draw there; the feeder's own loads draw their nominal power.
        limits: what it is allowed.
        base: (2 connections) kW, then kvar, that homes draw without their devices.
        directions: likewise each, what devices that all pull alike add at full power.
    """
    count = len(base) // 2
    weight = torch.stack(directions)[:, :count].abs().sum(dim=0).cpu().double().numpy()
    names: list[str] = []
    slopes, rooms = np.zeros((0, len(base))), np.zeros(0)
    for direction in directions:
        met = _met_on_the_way(power_flow, wiring, limits, base, direction)
        known = len(rooms)
        for begin in range(0, min(len(met.place), MOST_LOOKED_AT), AT_A_TIME):
            slope, room = met.tangents(slice(begin, begin + AT_A_TIME))
            for row in range(len(room)):
                felt = np.concatenate((slopes, slope[row : row + 1]))[:, :count] * weight
                felt /= np.linalg.norm(felt, axis=1, keepdims=True).clip(min=1e-300)
                if len(rooms) - known < MOST_TANGENTS and (felt[:-1] @ felt[-1] < ALIKE).all():
                    slopes = np.concatenate((slopes, slope[row : row + 1]))
                    rooms = np.concatenate((rooms, room[row : row + 1]))
                    names.append(met.names[begin + row])
    return FeederLimits(tuple(names), slopes[:, :count], slopes[:, count:], rooms)


@dataclass(frozen=True)
class _Met:
    """Limits that are met on the way from rest to full power, in their order.

    Attributes:
        power_flow: the network.
        wiring: how homes draw there.
        limits: what it is allowed.
        names: of the places.
        place: (limits met,) column of the joined `scaled_edges`.
        touching: (limits met, 2 connections) where each is first passed.
    """

    power_flow: PowerFlow
    wiring: Wiring
    limits: Limits
    names: list[str]
    place: NDArray[np.int64]
    touching: Tensor

    def tangents(self, rows: slice) -> tuple[Array, Array]:
        """Slopes (rows, 2 connections) and rooms (rows,)."""
        power = self.touching[rows].clone().requires_grad_()
        column = torch.from_numpy(self.place[rows]).to(power.device)[:, None]
        solution = self.power_flow.solve_branches(self.wiring.drawn(power, None))
        edges = torch.cat(scaled_edges(self.limits, self.power_flow, solution), dim=1)
        excess = edges.gather(1, column)[:, 0]
        (gradient,) = torch.autograd.grad(excess.sum(), power)
        slope, at, passed = (
            values.detach().cpu().double().numpy() for values in (gradient, power, excess)
        )
        return slope, (slope * at).sum(axis=1) - passed


def _met_on_the_way(
    power_flow: PowerFlow, wiring: Wiring, limits: Limits, base: Tensor, direction: Tensor
) -> _Met:
    share = torch.linspace(0.0, 1.0, POINTS, device=base.device, dtype=base.dtype)
    points = base + share[:, None] * direction
    with torch.no_grad():
        solution = power_flow.solve_branches(wiring.drawn(points, None))
        excess = torch.cat(scaled_edges(limits, power_flow, solution), dim=1)
    names = [
        f"{kind.name} at {place}"
        for kind in limits
        for _ in kind.edges(np.zeros(1))
        for place in kind.places(power_flow)
    ]
    beyond = ((excess > 0.0) & solution.converged[:, None]).cpu().numpy()
    # What is passed at rest may be kept on the way, and passed once more: there it binds.
    rising = (excess.diff(dim=0) > 0.0).cpu().numpy()
    passed = beyond & np.concatenate((rising[:1], rising))
    passed[0] |= beyond[0] & ~passed.any(axis=0)
    first = np.where(passed.any(axis=0), passed.argmax(axis=0), POINTS)
    met = np.argsort(first, kind="stable")
    met = met[first[met] < POINTS]
    touching = points[torch.from_numpy(first[met]).to(points.device)]
    return _Met(power_flow, wiring, limits, [names[place] for place in met], met, touching)
