"""How far a plan for a known day is from the best: a lower bound on cost, and a plan close to it.

The devices are a linear program (`fleet_program`): its optimum bounds every plan's cost, whatever
the network. The network's limits enter as tangents. Each limit is a function of the power at the
homes' connections in one step, by how much it is exceeded, whose value and gradient come from the
AC power flow. The program is solved, its optimum goes through the AC power flow, limits that it
breaks get tangents, and so on, until the optimum rises no more. A tangent is taken where the way
from a given plan to the optimum meets the limit: supporting hyperplanes (Veinott, 1967). The way
must begin within the limits: one taken beyond a voltage's, which is concave in what is fed in,
would cut off plans that keep it.

The bound without the network is rigorous up to the solver's tolerance of 1e-7. The bound with it
would be if every limit were a convex function of the power, which an upper limit on a voltage or
a current nearly is, and a lower one is not quite. Weak duality says what the rest is worth: every
plan within the limits costs at least

    bound + sum over tangents of multiplier x (limit's function - tangent, at that plan).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from gridedge_env.reference.fleet_program import LinearProgram, actions_for, fleet_programs
from gridedge_env.reference.network_tangents import FleetNetwork, OperatingPoints, Tangents
from gridedge_env.simulator import Simulator
from gridedge_env.state import SimulatorState

# The given plan's limits get tangents from this close on; in units of their scale, as all below.
NEARLY_BINDING = 0.05
# The optimum has risen enough when a round, not the first, adds less than this share to it.
LEAST_RISE = 5e-5
# The plan that comes with the bound keeps this far from its tangents, so as to be within limits.
MARGIN = 0.002


@dataclass(frozen=True)
class LowerBound:
    """What no plan for a day can undercut, for a batch of days, and a plan that comes close.

    Attributes:
        cost: (batch,) € of the fleet, with the network's limits as tangents.
        cost_without_network: (batch,) €, rigorous: the devices alone.
        curvature: (batch,) € by which tangents that lie above their limits at the plan found may
            have raised `cost` too far.
        actions: (steps, batch, agents, action_size), the plan found, for `simulator.simulate`.
    """

    cost: np.ndarray
    cost_without_network: np.ndarray
    curvature: np.ndarray
    actions: Tensor


def lower_bound(
    simulator: Simulator,
    state: SimulatorState,
    plan: Tensor,
    rounds: int = 8,
    progress: Callable[[int], None] = lambda done: None,
) -> LowerBound:
    """Bound the cost of each day from below.

    Args:
        simulator: the case.
        state: midnight, as `reset` returns it.
        plan: actions of a good plan, as `perfect_foresight` returns them: where the network is
            looked at first. Steps outside the limits are first moved towards devices at rest.
        rounds: at most so many times are tangents added.
        progress: called with the number of days done.

    Raises:
        ValueError: reactive power, local response or regulator control is on, homes have several
            devices, bills are not convex, the plan's power flow does not converge, no plan is
            within the limits, or fewer than one round.
    """
    for name in ("reactive_power", "local_response", "regulator_control"):
        if getattr(simulator.case, name):
            raise ValueError(f"{name}: got True, expected False: what it does is not linear")
    if rounds < 1:
        raise ValueError(f"rounds: got {rounds}, expected at least 1")
    days = []
    for k in range(len(state.day.table_row)):
        days.append(_bound_day(simulator, state.take([k]), plan[:, [k]], rounds))
        progress(k + 1)
    return LowerBound(
        np.array([day.cost for day in days]),
        np.array([day.cost_without_network for day in days]),
        np.array([day.curvature for day in days]),
        torch.cat([day.actions for day in days], dim=1),
    )


class _DayBound(NamedTuple):
    """The fields of `LowerBound` for one day."""

    cost: float
    cost_without_network: float
    curvature: float
    actions: Tensor


def _bound_day(simulator: Simulator, state: SimulatorState, plan: Tensor, rounds: int) -> _DayBound:
    network = FleetNetwork(simulator, state)
    given = network.operate(network.output(plan) @ network.connection)
    if not bool(given.solution.converged.all()):
        failed = int((~given.solution.converged).sum())
        raise ValueError(f"plan: got {failed} steps without a power flow, expected none")
    given = network.within_limits(given)

    programs = fleet_programs(simulator, state)
    tangents = network.tangents(given, given, np.empty((0, 2), dtype=int))
    alone = best = optimum = _solve(network, programs, tangents)
    tangents = network.tangents(given, given, given.worst(-NEARLY_BINDING))
    for done in range(rounds):
        programs = fleet_programs(simulator, state, optimum.output)
        optimum = _solve(network, programs, tangents)
        rise = optimum.cost - best.cost
        best = max(best, optimum, key=lambda solved: solved.cost)
        reached = network.approach(given, optimum.output)
        broken = reached.worst(0.0)
        tangents = tangents.joined(network.tangents(given, reached, broken))
        if len(broken) == 0 or (done > 0 and rise < LEAST_RISE * abs(best.cost)):
            break

    for _ in range(rounds):
        found = _solve(network, programs, tangents, MARGIN)
        reached = network.approach(given, found.output)
        broken = reached.worst(0.0)
        if len(broken) == 0:
            break
        tangents = tangents.joined(network.tangents(given, reached, broken))
    curvature = best.curvature(reached)
    actions = actions_for(simulator, state, found.output)
    return _DayBound(best.cost, alone.cost, curvature, actions)


@dataclass(frozen=True)
class _Optimum:
    """A solved program.

    Attributes:
        cost: €.
        output: (steps, agents) kW drawn by the devices.
        tangents: the network in it.
        multiplier: (tangents,) € per unit of excess.
    """

    cost: float
    output: np.ndarray
    tangents: Tangents
    multiplier: np.ndarray

    def curvature(self, point: OperatingPoints) -> float:
        """€ by which the tangents lie above the limits' functions at a point, 0 if below."""
        step, limit = self.tangents.place.T
        tangent = (self.tangents.slope * point.drawn[step]).sum(axis=1) - self.tangents.limit
        return max(0.0, float(self.multiplier @ (tangent - point.excess[step, limit])))


def _solve(
    network: FleetNetwork,
    programs: Sequence[LinearProgram],
    tangents: Tangents,
    margin: float = 0.0,
) -> _Optimum:
    """The cheapest that the devices can do below all tangents less a margin, by HiGHS's simplex."""
    from scipy import optimize  # takes a tenth of a second, which only a certificate needs

    step, row = np.unique(tangents.place[:, 0], return_inverse=True)
    equality = _equality(network, programs, step)
    width = network.connection.shape[1]
    summed = len(step) * width
    # Rows of like size: slopes are some 1e-4 per kW, the solver's tolerance is absolute.
    size = np.abs(tangents.slope).max(axis=1, initial=1e-9)
    column = equality.shape[1] - summed + row[:, None] * width + np.arange(width)
    entries = (
        (tangents.slope / size[:, None]).ravel(),
        column.ravel(),
        width * np.arange(len(row) + 1),
    )
    free = np.full(summed, np.inf)
    found = optimize.linprog(
        np.concatenate([*(program.cost for program in programs), np.zeros(summed)]),
        sparse.csr_array(entries, shape=(len(row), equality.shape[1])),
        (tangents.limit - margin) / size,
        equality,
        np.concatenate([*(program.target for program in programs), np.zeros(summed)]),
        np.transpose(
            (
                np.concatenate([*(program.lowest for program in programs), -free]),
                np.concatenate([*(program.highest for program in programs), free]),
            )
        ),
        method="highs-ds",
    )
    if found.status != 0:
        raise ValueError(
            f"state: got day {int(network.state.day.table_row[0])} without a plan that keeps "
            f"{margin} within its limits, expected one ({found.message})"
        )
    ends = np.cumsum([len(program.cost) for program in programs])
    parts = zip(programs, np.split(found.x, ends)[:-1], strict=True)
    steps = network.simulator.clock.steps
    return _Optimum(
        float(found.fun) + sum(program.constant for program in programs),
        np.concatenate([(p.output @ x).reshape(steps, -1) for p, x in parts], axis=1),
        tangents,
        -found.ineqlin.marginals / size,
    )


def _equality(
    network: FleetNetwork, programs: Sequence[LinearProgram], step: np.ndarray
) -> sparse.csc_array:
    """The programs' rows, then what devices draw at each connection in the given steps.

    These sums are variables of their own: else each tangent would be a row over all devices.
    """
    devices = sparse.block_diag([program.equality for program in programs])
    ends = np.cumsum([0, *network.simulator.fleet.counts])
    sums = []
    for program, first, last in zip(programs, ends[:-1], ends[1:], strict=True):
        rows = (step[:, None] * (last - first) + np.arange(last - first)).ravel()
        connect = sparse.kron(sparse.eye_array(len(step)), network.connection[first:last].T)
        sums.append(connect @ program.output[rows])
    summed = len(step) * network.connection.shape[1]
    nowhere = sparse.csr_array((devices.shape[0], summed))
    return sparse.vstack(
        (
            sparse.hstack((devices, nowhere)),
            sparse.hstack((*sums, -sparse.eye_array(summed))),
        ),
        "csc",
    )
