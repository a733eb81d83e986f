"""A store of energy with losses and wear, which ends the day where it began."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from gridedge_env.devices.ranges import positive, within
from gridedge_env.devices.recurrence import states_before
from gridedge_env.record import Record

# When episodes begin and end, at midnight, every battery stands here, so that they cost what they
# cost and nothing is left over.
MIDNIGHT_STATE_OF_CHARGE = 0.5
MINIMUM_STATE_OF_CHARGE = 0.05
# Round-trip efficiencies and wear of five home batteries (Tesla Powerwall 2 and 3, BYD, Siemens
# Junelight; data sheets), and what is typical of them, one way.
ROUND_TRIP_EFFICIENCY = (0.88, 0.91)
WEAR_COST = (0.02, 0.06)
TYPICAL_EFFICIENCY = 0.946
TYPICAL_WEAR_COST = 0.04
# Share of full power that the way back to that state may need: slack for feeders that are full.
RETURN_POWER_SHARE = 0.6


@dataclass(frozen=True, eq=False)
class Batteries(Record):
    """Parameters of batteries; all tensors are (batteries,) and stay as they are.

    Attributes:
        capacity: kWh.
        maximum_power: kW at the meter, charging and discharging.
        charge_efficiency: kWh stored per kWh drawn.
        discharge_efficiency: kWh delivered per kWh taken from the store.
        minimum_energy: kWh.
        wear_cost: € per kWh of throughput, which data sheets count as energy delivered.
    """

    capacity: Tensor = field(metadata=positive())
    maximum_power: Tensor = field(metadata=positive())
    charge_efficiency: Tensor = field(metadata=positive(1.0))
    discharge_efficiency: Tensor = field(metadata=positive(1.0))
    minimum_energy: Tensor = field(metadata=within(0.0, 0.5, of="capacity"))
    wear_cost: Tensor = field(metadata=within())

    @cached_property
    @torch.inference_mode(False)  # kept for calls that differentiate, too
    def full_power(self) -> FullPower:
        """What follows from the parameters alone."""
        charge = self.maximum_power * self.charge_efficiency
        discharge = self.maximum_power / self.discharge_efficiency
        return FullPower(
            charge,
            discharge,
            MIDNIGHT_STATE_OF_CHARGE * self.capacity,
            RETURN_POWER_SHARE * charge,
            RETURN_POWER_SHARE * discharge,
        )


@dataclass(frozen=True)
class FullPower:
    """What a battery can do, as tensors of (batteries,).

    Attributes:
        charge: kW that reach the store at full power.
        discharge: kW that leave it at full power.
        middle: kWh at midnight.
        back_up: kWh that an hour of the way back to midnight's energy may need from below.
        back_down: kWh from above.
    """

    charge: Tensor
    discharge: Tensor
    middle: Tensor
    back_up: Tensor
    back_down: Tensor


def energy_bounds(batteries: Batteries, hours_left: float | Tensor) -> tuple[Tensor, Tensor]:
    """Least and most energy from which a battery is sure to be half full at midnight.

    The way back may need 0.6 of full power, either way, for the hours left; (..., batteries) kWh
    each for hours (..., 1).
    """
    full = batteries.full_power
    lowest = torch.maximum(batteries.minimum_energy, full.middle - hours_left * full.back_up)
    highest = torch.minimum(batteries.capacity, full.middle + hours_left * full.back_down)
    return lowest, highest


def feasible_change(
    batteries: Batteries, energy: Tensor, hours: float, bounds: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor, Tensor]:
    """By how much the stored energy can change in a step: by full power, within bounds.

    Args:
        batteries: parameters.
        energy: (..., batteries) kWh stored.
        hours: length of the step.
        bounds: of `energy_bounds`, at the end of the step.

    Returns:
        (..., batteries) kWh each: the least change, the one nearest zero, and the most.
    """
    to_lowest, to_highest = bounds[0] - energy, bounds[1] - energy
    full = batteries.full_power
    # Minima and maxima as differences to zero: their gradients take a tenth of the time.
    most = to_highest - torch.relu(torch.sub(to_highest, full.charge, alpha=hours))
    least = torch.relu(torch.add(to_lowest, full.discharge, alpha=hours))
    least = torch.sub(least, full.discharge, alpha=hours)
    return least, torch.relu(to_lowest) - torch.relu(-to_highest), most


def action_for_change(
    batteries: Batteries, energy: Tensor, change: Tensor, hours: float, hours_left: float | Tensor
) -> Tensor:
    """The action that changes the stored energy by `change` kWh, or as far as is feasible.

    The inverse of `step_batteries`, differentiable in `change`; shapes as there.
    """
    bounds = energy_bounds(batteries, hours_left)
    least, forced, most = feasible_change(batteries, energy, hours, bounds)
    wanted = change.clamp(least, most) - forced
    room = torch.where(wanted >= 0.0, most - forced, forced - least)
    return wanted / room.clamp(min=1e-3 * batteries.maximum_power * hours)


def step_batteries(
    batteries: Batteries, energy: Tensor, action: Tensor, hours: float, hours_left: float | Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """One time step.

    The action spans what is feasible now: -1 discharges as far as possible, +1 charges as far, and
    0 does as little as is allowed. Both halves start from there, so that no action is illegal and
    no gradient dies at a bound.

    Args:
        batteries: parameters.
        energy: (..., batteries) kWh stored.
        action: (..., batteries) in [-1, 1].
        hours: length of the step.
        hours_left: from the end of this step to midnight.

    Returns:
        (..., batteries) each: next energy kWh, power kW (+ = consumption), wear cost €.
    """
    return _step(batteries, energy, action, hours, energy_bounds(batteries, hours_left))


def run_batteries(
    batteries: Batteries,
    energy: Tensor,
    actions: Tensor,
    hours: float,
    bounds: tuple[Tensor, Tensor],
) -> tuple[Tensor, Tensor, Tensor]:
    """Several time steps, one after the other.

    Args:
        batteries: parameters; constants here.
        energy: (batch, batteries) kWh before the first step.
        actions: (steps, batch, batteries) in [-1, 1].
        hours: length of a step.
        bounds: (steps, 1, batteries) each, of `energy_bounds`, at the end of each step.

    Returns:
        As `step_batteries`, (steps, batch, batteries) each.
    """

    def following(energy: Tensor, action: Tensor, *bounds: Tensor) -> Tensor:
        lowest, highest = bounds
        return energy + _change(batteries, energy, action, hours, (lowest, highest))

    before = states_before(following, energy, actions, *bounds)
    return _step(batteries, before, actions, hours, bounds)


def _step(
    batteries: Batteries,
    energy: Tensor,
    action: Tensor,
    hours: float,
    bounds: tuple[Tensor, Tensor],
) -> tuple[Tensor, Tensor, Tensor]:
    """See `step_batteries`; bounds as in `feasible_change`."""
    change = _change(batteries, energy, action, hours, bounds)
    stored = change / hours
    taken = torch.relu(-stored)
    delivered = taken * batteries.discharge_efficiency
    power = (stored + taken) / batteries.charge_efficiency - delivered
    return energy + change, power, hours * batteries.wear_cost * delivered


def _change(
    batteries: Batteries,
    energy: Tensor,
    action: Tensor,
    hours: float,
    bounds: tuple[Tensor, Tensor],
) -> Tensor:
    least, forced, most = feasible_change(batteries, energy, hours, bounds)
    # At the kinks, an action and a change of zero, a gradient is that of charging alone.
    discharging = torch.relu(-action)
    charging = action + discharging
    charged = torch.addcmul(forced, charging, most - forced)
    return torch.addcmul(charged, discharging, least - forced)
