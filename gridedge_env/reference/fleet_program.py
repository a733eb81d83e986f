"""The devices of one known day as linear programs: all that a planner may choose, and its cost.

Whatever a fleet does in the simulator is a feasible point here, at the same cost or less; the
network is left out. Where the devices are convex, which is nearly everywhere, nothing is lost. What
is relaxed:

- A battery may charge and discharge in the same step. That pays only where drawing a kilowatt-hour
  earns more than the wear of what comes back over what is lost on the way, 0.15 to 0.6 €.
- A generator's fuel, quadratic in its power, is the largest of nine of its tangents.
- A room that sun and people warm beyond its comfort band may be heated while its windows are open,
  and they may be left shut or opened further, as long as its temperature stays between those that
  least and most heating since midnight lead to.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TypeVar

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from gridedge_env.devices.battery import (
    MIDNIGHT_STATE_OF_CHARGE,
    Batteries,
    action_for_change,
    energy_bounds,
    step_batteries,
)
from gridedge_env.devices.generator import Generators
from gridedge_env.devices.heat_pump import (
    DISCOMFORT_PRICE,
    HeatPumps,
    coefficient_of_performance,
    step_heat_pumps,
    stored_heat_value,
)
from gridedge_env.simulator import HOURS_PER_STEP, Simulator
from gridedge_env.state import SimulatorState

# Where a generator's fuel gets its tangents: so far from the loading at which it is expected.
TANGENT_OFFSETS = np.array([-1.0, -0.3, -0.1, -0.03, 0.0, 0.03, 0.1, 0.3, 1.0])


@dataclass(frozen=True)
class LinearProgram:
    """Minimise cost @ x + constant over lowest <= x <= highest where equality @ x = target.

    Attributes:
        cost: (variables,) € per unit.
        constant: €.
        lowest: (variables,).
        highest: (variables,).
        equality: (rows, variables).
        target: (rows,).
        output: (steps x devices, variables), from the variables to the kW that each device draws.
    """

    cost: np.ndarray
    constant: float
    lowest: np.ndarray
    highest: np.ndarray
    equality: sparse.csr_array
    target: np.ndarray
    output: sparse.csr_array


@dataclass(frozen=True)
class Meters:
    """What the homes with one kind of device draw without it, and what it is billed at.

    Attributes:
        demand: (steps, devices) kW.
        imported: (steps, 1) €/kWh.
        exported: (steps, 1) €/kWh, nowhere more.
    """

    demand: np.ndarray
    imported: np.ndarray
    exported: np.ndarray

    @property
    def bill(self) -> float:
        """€ for the demand alone."""
        price = np.where(self.demand >= 0.0, self.imported, self.exported)
        return float(HOURS_PER_STEP * (price * self.demand).sum())


def fleet_programs(
    simulator: Simulator, state: SimulatorState, loading: np.ndarray | None = None
) -> tuple[LinearProgram, LinearProgram, LinearProgram]:
    """The programs of the homes with batteries, with heat pumps and with generators.

    Args:
        simulator: the case.
        state: midnight of one day, a batch of one.
        loading: (steps, generators) share of full power around which the fuel's tangents lie; by
            default the cheapest at the meter's prices, so that nothing is lost there.

    Raises:
        ValueError: exports earn more than imports cost, or a home without its device exports at
            another price than it imports: bills that are not convex, or not as simple as assumed.
    """
    fleet, day = simulator.fleet, state.day
    demand = _double(day.demand)[0]
    imported, exported = (_double(p)[0][:, None] for p in (day.import_price, day.export_price))
    if (exported > imported).any():
        step = int((exported - imported).argmax())
        raise ValueError(
            f"tariff: got {exported[step, 0]:.3f} €/kWh for exports and {imported[step, 0]:.3f} "
            f"for imports in step {step}, expected no more for exports: bills must be convex"
        )
    if (demand < 0.0).any() and (exported < imported).any():
        raise ValueError(
            f"demand: got {demand.min():.3f} kW, expected at least 0 if exports earn less than "
            "imports cost"
        )
    edges = np.cumsum(fleet.counts)[:-1]
    meters = [Meters(part, imported, exported) for part in np.split(demand, edges, axis=1)]
    return (
        _battery_program(_double_group(fleet.batteries), meters[0]),
        _heat_pump_program(_double_group(fleet.heat_pumps), meters[1], state),
        _generator_program(_double_group(fleet.generators), meters[2], loading),
    )


@torch.no_grad()
def actions_for(simulator: Simulator, state: SimulatorState, output: np.ndarray) -> Tensor:
    """Actions under which the devices draw what a plan says, as nearly as they can.

    Args:
        simulator: the case.
        state: midnight of one day, a batch of one.
        output: (steps, agents) kW.

    Returns:
        (steps, 1, agents, 1) in [-1, 1].
    """
    fleet, hours = simulator.fleet, HOURS_PER_STEP
    batteries, pumps = fleet.batteries, fleet.heat_pumps
    energy, temperature = state.energy, state.temperature
    actions = []
    for t, wanted in enumerate(torch.from_numpy(output).to(energy)):
        charging, heating, generating = wanted[None].split(fleet.counts, dim=-1)
        left = (simulator.steps - t - 1) * hours
        into, out_of = batteries.charge_efficiency, 1.0 / batteries.discharge_efficiency
        change = hours * charging * torch.where(charging >= 0.0, into, out_of)
        charge = action_for_change(batteries, energy, change, hours, left)
        energy = step_batteries(batteries, energy, charge, hours, left)[0]

        weather = state.day.outdoor_temperature[:, t, None], state.day.irradiance[:, t, None]
        least, most = (
            step_heat_pumps(pumps, temperature, torch.full_like(heating, end), *weather, hours)[1]
            for end in (-1.0, 1.0)
        )
        room = (most - least).clamp(min=1e-6 * pumps.maximum_power)
        heat = (2.0 * (heating - least) / room - 1.0).clamp(-1.0, 1.0)
        temperature = step_heat_pumps(pumps, temperature, heat, *weather, hours)[0]

        generate = -2.0 * generating / fleet.generators.maximum_power - 1.0
        actions.append(torch.cat((charge, heat, generate), dim=-1).clamp(-1.0, 1.0))
    return torch.stack(actions)[..., None]


def _battery_program(batteries: Batteries, meters: Meters) -> LinearProgram:
    """Variables: kW drawn, kW delivered at the import and at the export price, kWh stored."""
    hours, shape, size = HOURS_PER_STEP, meters.demand.shape, meters.demand.size
    full = np.broadcast_to(batteries.maximum_power.numpy(), shape)
    none = np.zeros(shape)
    one_price = (meters.imported == meters.exported).all()
    home = full if one_price else np.minimum(full, meters.demand)
    bounds = [energy_bounds(batteries, (shape[0] - t - 1) * hours) for t in range(shape[0])]
    least, most = (torch.stack(series).numpy() for series in zip(*bounds, strict=True))
    wear = batteries.wear_cost.numpy()
    charged = _diagonal(hours * batteries.charge_efficiency, shape)
    discharged = _diagonal(hours / batteries.discharge_efficiency, shape)
    midnight = none.copy()
    midnight[0] = MIDNIGHT_STATE_OF_CHARGE * batteries.capacity.numpy()
    one = sparse.eye_array(size)
    return LinearProgram(
        _flat(
            hours * meters.imported + none,
            hours * (wear - meters.imported),
            hours * (wear - meters.exported),
            none,
        ),
        meters.bill,
        _flat(none, none, none, least),
        _flat(full, home, none if one_price else full, most),
        sparse.hstack((-charged, discharged, discharged, one - _before(shape)), "csr"),
        midnight.ravel(),
        sparse.hstack((one, -one, -one, sparse.csr_array((size, size))), "csr"),
    )


def _heat_pump_program(pumps: HeatPumps, meters: Meters, state: SimulatorState) -> LinearProgram:
    """Variables: kW drawn, K above and K below the comfort band's lower edge, K let out."""
    hours, shape, size = HOURS_PER_STEP, meters.demand.shape, meters.demand.size
    outdoor, sun = (
        series[0, :, None].double()
        for series in (state.day.outdoor_temperature, state.day.irradiance)
    )
    edge = pumps.lowest_temperature
    performance = coefficient_of_performance(outdoor, pumps.supply_temperature, pumps.performance)
    gain = pumps.internal_gain + pumps.solar_aperture * sun * 1e-3
    kelvin_per_kw = hours / pumps.capacity * performance
    kept = 1.0 - hours / (pumps.capacity * pumps.resistance)
    drift = hours / pumps.capacity * ((outdoor - edge) / pumps.resistance + gain)

    # The next temperature rises with the last one and with the action: these two days are extremes.
    midnight = coldest = warmest = state.temperature[0].double()
    ones, extremes = torch.ones_like(edge), []
    for t in range(shape[0]):
        weather = outdoor[t], sun[t], hours
        unheated = edge + kept * (warmest - edge) + drift[t]
        cold_day = [step_heat_pumps(pumps, coldest, a, *weather) for a in (-ones, ones)]
        warm_day = [step_heat_pumps(pumps, warmest, a, *weather) for a in (-ones, ones)]
        coldest, warmest = cold_day[0][0], warm_day[1][0]
        extremes.append(
            (warm_day[0][1], cold_day[1][1], coldest - edge, warmest - edge, unheated - warmest)
        )
    least, most, below, above, let_out = (
        torch.stack(series).numpy() for series in zip(*extremes, strict=True)
    )

    worth = stored_heat_value(  # linear, and nothing at the edge: € per K
        pumps, edge + 1.0, outdoor.mean(), torch.tensor(meters.imported.mean())
    ).numpy()
    none, kelvin = np.zeros(shape), np.zeros(shape)
    kelvin[-1] = worth
    first = drift.numpy().copy()
    first[0] += (kept * (midnight - edge)).numpy()
    one = sparse.eye_array(size)
    follows = one - _before(shape) @ _diagonal(kept, shape)
    return LinearProgram(
        _flat(hours * meters.imported + none, -kelvin, hours * DISCOMFORT_PRICE + kelvin, none),
        meters.bill,
        _flat(least, np.maximum(below, 0.0), np.maximum(-above, 0.0), none),
        _flat(most, np.maximum(above, 0.0), np.maximum(-below, 0.0), np.maximum(let_out, 0.0)),
        sparse.hstack((-_diagonal(kelvin_per_kw, shape), follows, -follows, one), "csr"),
        first.ravel(),
        sparse.hstack((one, sparse.csr_array((size, 3 * size))), "csr"),
    )


def _generator_program(
    generators: Generators, meters: Meters, loading: np.ndarray | None
) -> LinearProgram:
    """Variables: kW delivered in each interval between kinks of the cost, cheapest first."""
    shape, full = meters.demand.shape, generators.maximum_power.numpy()
    linear, quadratic = generators.linear_cost.numpy(), generators.quadratic_cost.numpy()
    kink = np.broadcast_to(np.clip(meters.demand / full, 0.0, 1.0), shape)
    if loading is None:
        cheapest = [
            np.clip((price - linear) / (2.0 * quadratic), 0.0, 1.0)
            for price in (meters.imported, meters.exported)
        ]
        loading = np.clip(kink, cheapest[1], cheapest[0])
    tangent = np.clip(loading + TANGENT_OFFSETS[:, None, None], 0.0, 1.0)
    ends = np.zeros((1, *shape))
    # Two tangents to a parabola meet half-way; the bill has its kink where the home's demand ends.
    meet = 0.5 * (tangent[1:] + tangent[:-1])
    edges = np.sort(np.concatenate((ends, meet, kink[None], ends + 1.0)), axis=0)
    middle = 0.5 * (edges[1:] + edges[:-1])
    touching = (middle[:, None] > meet).sum(axis=1)
    slope = linear + 2.0 * quadratic * np.take_along_axis(tangent, touching, axis=0)
    earned = np.where(middle < kink, meters.imported, meters.exported)
    # All tangents lie on or below the parabola, the first one by this much at no load.
    below = HOURS_PER_STEP * quadratic * full * tangent[0] ** 2
    intervals, size = len(middle), meters.demand.size
    return LinearProgram(
        HOURS_PER_STEP * (slope - earned).ravel(),
        meters.bill - float(below.sum()),
        np.zeros(intervals * size),
        (full * np.diff(edges, axis=0)).ravel(),
        sparse.csr_array((0, intervals * size)),
        np.zeros(0),
        sparse.hstack([-sparse.eye_array(size)] * intervals, "csr"),
    )


def _before(shape: tuple[int, ...]) -> sparse.csr_array:
    """From the values of all steps to those of the steps before, 0 before the first."""
    return sparse.eye_array(shape[0] * shape[1], k=-shape[1], format="csr")


def _diagonal(values: Tensor, shape: tuple[int, ...]) -> sparse.csr_array:
    """Multiplies every step's values, (steps x devices), by (devices,) or (steps, devices)."""
    return sparse.diags_array(np.broadcast_to(values.numpy(), shape).ravel(), format="csr")


def _flat(*blocks: np.ndarray) -> np.ndarray:
    return np.concatenate([block.ravel() for block in blocks])


def _double(values: Tensor) -> np.ndarray:
    return values.detach().cpu().double().numpy()


Group = TypeVar("Group", Batteries, HeatPumps, Generators)


def _double_group(group: Group) -> Group:
    values = {f.name: getattr(group, f.name).detach().cpu().double() for f in fields(group)}
    return type(group)(**values)
