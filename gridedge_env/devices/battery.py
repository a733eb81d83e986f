"""Home battery: arbitrage in time, with losses and wear, ending the day where it began."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

# At midnight every battery stands here, so that days cost what they cost and nothing is left over.
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


@dataclass(frozen=True)
class Batteries:
    """Parameters of a group of batteries; all tensors are (batteries,).

    Attributes:
        capacity: kWh.
        maximum_power: kW at the meter, charging and discharging.
        charge_efficiency: kWh stored per kWh drawn.
        discharge_efficiency: kWh delivered per kWh taken from the store.
        minimum_energy: kWh.
        wear_cost: € per kWh of throughput, which data sheets count as energy delivered.
    """

    capacity: Tensor
    maximum_power: Tensor
    charge_efficiency: Tensor
    discharge_efficiency: Tensor
    minimum_energy: Tensor
    wear_cost: Tensor


def sample_batteries(
    count: int, scale: float, random: np.random.Generator
) -> dict[str, np.ndarray]:
    """Draw parameters of `Batteries`.

    Power is that of a home battery of 5 kW together with a car that feeds back at 11 kW, 16 kW on
    average, for 1.8 to 2.6 h.

    Args:
        count: number of batteries.
        scale: multiplies every power and energy.
        random: source of randomness.
    """
    power = random.uniform(13.5, 18.5, count) * scale
    capacity = power * random.uniform(1.8, 2.6, count)
    one_way = np.sqrt(random.uniform(*ROUND_TRIP_EFFICIENCY, count))
    return {
        "capacity": capacity,
        "maximum_power": power,
        "charge_efficiency": one_way,
        "discharge_efficiency": one_way,
        "minimum_energy": MINIMUM_STATE_OF_CHARGE * capacity,
        "wear_cost": random.uniform(*WEAR_COST, count),
    }


def energy_bounds(batteries: Batteries, hours_left: float) -> tuple[Tensor, Tensor]:
    """Least and most energy from which a battery is sure to be half full at midnight.

    The way back may need 0.6 of full power, either way, for the hours left; (batteries,) kWh each.
    """
    middle = MIDNIGHT_STATE_OF_CHARGE * batteries.capacity
    reach = RETURN_POWER_SHARE * batteries.maximum_power * hours_left
    lowest = torch.maximum(batteries.minimum_energy, middle - reach * batteries.charge_efficiency)
    highest = torch.minimum(batteries.capacity, middle + reach / batteries.discharge_efficiency)
    return lowest, highest


def feasible_change(
    batteries: Batteries, energy: Tensor, hours: float, hours_left: float
) -> tuple[Tensor, Tensor, Tensor]:
    """By how much the stored energy can change in a step: by full power, within `energy_bounds`.

    Args:
        batteries: parameters.
        energy: (batch, batteries) kWh stored.
        hours: length of the step.
        hours_left: from the end of the step to midnight.

    Returns:
        (batch, batteries) kWh each: the least change, the one nearest zero, and the most.
    """
    lowest, highest = energy_bounds(batteries, hours_left)
    full_charge = batteries.maximum_power * hours * batteries.charge_efficiency
    full_discharge = batteries.maximum_power * hours / batteries.discharge_efficiency
    most = torch.minimum(highest - energy, full_charge)
    least = torch.maximum(lowest - energy, -full_discharge)
    return least, most.clamp(max=0.0) + least.clamp(min=0.0), most


def action_for_change(
    batteries: Batteries, energy: Tensor, change: Tensor, hours: float, hours_left: float
) -> Tensor:
    """The action that changes the stored energy by `change` kWh, or as far as is feasible.

    The inverse of `step_batteries`, differentiable in `change`; shapes as there.
    """
    least, forced, most = feasible_change(batteries, energy, hours, hours_left)
    wanted = change.clamp(least, most) - forced
    room = torch.where(wanted >= 0.0, most - forced, forced - least)
    return wanted / room.clamp(min=1e-3 * batteries.maximum_power * hours)


def step_batteries(
    batteries: Batteries, energy: Tensor, action: Tensor, hours: float, hours_left: float
) -> tuple[Tensor, Tensor, Tensor]:
    """One time step.

    The action spans what is feasible now: -1 discharges as far as possible, +1 charges as far, and
    0 does as little as is allowed. Both halves start from there, so that no action is illegal and
    no gradient dies at a bound.

    Args:
        batteries: parameters.
        energy: (batch, batteries) kWh stored.
        action: (batch, batteries) in [-1, 1].
        hours: length of the step.
        hours_left: from the end of this step to midnight.

    Returns:
        (batch, batteries) each: next energy kWh, power kW (+ = consumption), wear cost €.
    """
    least, forced, most = feasible_change(batteries, energy, hours, hours_left)
    # At its kinks, an action and a change of zero, a gradient is that of charging alone.
    change = forced + action * torch.where(action >= 0.0, most - forced, forced - least)
    delivered = torch.relu(-change) * batteries.discharge_efficiency
    power = torch.where(change >= 0.0, change / batteries.charge_efficiency, -delivered) / hours
    return energy + change, power, batteries.wear_cost * delivered
