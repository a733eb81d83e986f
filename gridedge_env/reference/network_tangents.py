"""The network's limits as tangents: linear in what the devices draw where homes connect.

A limit is a function of the power drawn in one step, by how much it is exceeded; its value and its
gradient come from the AC power flow. A tangent is taken where the way from one operating point to
another meets the limit. All such tangents support the set within the limits, as far as it is convex
(Veinott, Operations Research 15, 1967).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from gridedge_env.constraints import scaled_edges
from gridedge_env.devices.kind import REACTIVE_SHARE
from gridedge_env.powerflow import PowerFlowSolution
from gridedge_env.simulator import Simulator
from gridedge_env.state import SimulatorState

# Limits of one kind and step that get tangents at a time: neighbours are much alike.
WORST = 6
BISECTIONS = 12


@dataclass(frozen=True)
class OperatingPoints:
    """A day's operating points: what all devices draw in every step, and what comes of it.

    Attributes:
        drawn: (steps, 2 connections) kW, then kvar, of the devices at each connection.
        solution: the power flows.
        excess: (steps, limits) by how much each limit is exceeded, in units of its scale.
        kinds: where in `excess` each kind of limit ends.
    """

    drawn: np.ndarray
    solution: PowerFlowSolution
    excess: np.ndarray
    kinds: np.ndarray

    @property
    def inside(self) -> np.ndarray:
        """(steps,) bool: whether all limits are kept."""
        return (self.excess <= 0.0).all(axis=1) & self.solution.converged.cpu().numpy()

    def worst(self, threshold: float) -> np.ndarray:
        """(rows, 2): step and limit of the worst few of each kind that exceed by `threshold`."""
        rows = []
        for kind in np.split(np.arange(self.excess.shape[1]), self.kinds[:-1]):
            order = np.argsort(-self.excess[:, kind], axis=1, kind="stable")[:, :WORST]
            rows += [(t, kind[k]) for t, first in enumerate(order) for k in first]
        chosen = np.array(rows)
        return chosen[self.excess[chosen[:, 0], chosen[:, 1]] > threshold]


@dataclass(frozen=True)
class Tangents:
    """Limits of the network as seen from points near them: slope @ drawn <= limit.

    Attributes:
        place: (rows, 2) step and limit.
        slope: (rows, 2 connections) change of excess per kW and kvar drawn.
        limit: (rows,).
    """

    place: np.ndarray
    slope: np.ndarray
    limit: np.ndarray

    def joined(self, other: Tangents) -> Tangents:
        """These, then those."""
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return Tangents(*(np.concatenate(pair) for pair in pairs))


class FleetNetwork:
    """The network on one day, as a function of what the devices draw.

    Attributes:
        simulator: the case.
        state: midnight, a batch of one.
        connection: (devices, 2 connections), from the devices' kW to the kW, then kvar, that they
            draw at each connection.
        base: (steps, 2 connections) kW, then kvar, of household demand.
    """

    def __init__(self, simulator: Simulator, state: SimulatorState) -> None:
        self.simulator, self.state = simulator, state
        fleet = simulator.fleet
        count, place = len(fleet.connection_names), fleet.connection.cpu().numpy()
        rows, ones = np.arange(len(place)), np.ones(len(place))
        where = {"shape": (len(place), count)}
        active = sparse.csr_array((ones, (rows, place)), **where)
        reactive = sparse.csr_array((_numpy(fleet.reactive_share), (rows, place)), **where)
        self.connection = sparse.hstack((active, reactive), "csr")
        self.demand = _numpy(state.day.demand[0])
        drawn = self.demand @ active
        self.base = np.concatenate((drawn, REACTIVE_SHARE * drawn), axis=1)

    def output(self, plan: Tensor) -> np.ndarray:
        """(steps, agents) kW that the devices draw under actions (steps, 1, agents, 1)."""
        with torch.no_grad():
            power = self.simulator.simulate(self.state, plan).power[:, 0]
        return _numpy(power) - self.demand

    def operate(self, drawn: np.ndarray) -> OperatingPoints:
        """Operating points from what devices draw at each connection."""
        with torch.no_grad():
            solution = self._solve(self._power(drawn))
            kinds = scaled_edges(self.simulator.case.limits, self.simulator.power_flow, solution)
        excess = np.concatenate([_numpy(kind) for kind in kinds], axis=1)
        ends = np.cumsum([kind.shape[1] for kind in kinds])
        return OperatingPoints(drawn, solution, excess, ends)

    def within_limits(self, point: OperatingPoints) -> OperatingPoints:
        """The operating points; those outside the limits moved towards rest as far as they must.

        At rest no device draws anything. Where that is outside, too, a point stays where it is.
        """
        outside = ~point.inside & self.operate(0.0 * point.drawn).inside
        if not outside.any():
            return point
        low, high = np.zeros((len(outside), 1)), outside[:, None].astype(float)
        for _ in range(BISECTIONS):
            middle = 0.5 * (low + high)
            inside = self.operate((1.0 - middle) * point.drawn).inside[:, None]
            low, high = np.where(inside, low, middle), np.where(inside, middle, high)
        return self.operate((1.0 - high) * point.drawn)

    def approach(self, given: OperatingPoints, output: np.ndarray) -> OperatingPoints:
        """The operating points under `output`; where there is none, on the way there from `given`.

        Every halving of the way brings a step closer to its given point, which has a solution.
        """
        drawn = output @ self.connection
        point = self.operate(drawn)
        while not bool(point.solution.converged.all()):
            failed = ~point.solution.converged.cpu().numpy()[:, None]
            drawn = np.where(failed, 0.5 * (drawn + given.drawn), drawn)
            point = self.operate(drawn)
        return point

    def tangents(
        self, given: OperatingPoints, reached: OperatingPoints, place: np.ndarray
    ) -> Tangents:
        """Tangents to limits where the way from `given` to `reached` meets them.

        Where it does not, since `given` is outside them or `reached` inside, at the nearer end.
        """
        step = place[:, 0]
        start = reached.solution.device_voltage[step]
        low, high = np.zeros((len(place), 1)), np.ones((len(place), 1))
        way = reached.drawn[step] - given.drawn[step]
        with torch.no_grad():
            for _ in range(BISECTIONS):
                middle = 0.5 * (low + high)
                power = self._power(given.drawn[step] + middle * way, step)
                excess, solved = self._excess_at(power, start, place)
                inside = _numpy((excess < 0.0) & solved).astype(bool)[:, None]
                low, high = np.where(inside, middle, low), np.where(inside, high, middle)
        touching = given.drawn[step] + low * way
        power = self._power(touching, step).requires_grad_()
        excess, _ = self._excess_at(power, start, place)
        (gradient,) = torch.autograd.grad(excess.sum(), power)
        slope = _numpy(gradient)
        return Tangents(place, slope, (slope * touching).sum(axis=1) - _numpy(excess))

    def _power(self, drawn: np.ndarray, step: np.ndarray | slice = slice(None)) -> Tensor:
        """(rows, 2 connections) kW, then kvar, that homes draw in the given steps."""
        return torch.from_numpy(self.base[step] + drawn).to(
            self.simulator.device, self.simulator.dtype
        )

    def _solve(
        self, power: Tensor, step: np.ndarray | slice = slice(None), start: Tensor | None = None
    ) -> PowerFlowSolution:
        """Power flows of what homes draw, as of `_power`, in the given steps."""
        multiplier = self.state.day.load_multiplier
        at_steps = None if multiplier is None else multiplier[0, step]
        drawn = self.simulator.wiring.drawn(power, at_steps)
        return self.simulator.power_flow.solve_branches(drawn, start)

    def _excess_at(self, power: Tensor, start: Tensor, place: np.ndarray) -> tuple[Tensor, Tensor]:
        """(rows,) by how much each row's power exceeds the limit at its place, and whether solved.

        `place` is (rows, 2), step and limit.
        """
        step, limit = place.T
        solution = self._solve(power, step, start)
        excess = torch.cat(
            scaled_edges(self.simulator.case.limits, self.simulator.power_flow, solution), dim=1
        )
        column = torch.from_numpy(limit).to(excess.device)
        return excess.gather(1, column[:, None])[:, 0], solution.converged


def _numpy(values: Tensor) -> np.ndarray:
    return values.detach().cpu().double().numpy()
