"""A building and the heat pump that heats it: one thermal resistance, one capacity (1R1C)."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from gridedge_env.devices.ranges import positive, within
from gridedge_env.devices.recurrence import states_before
from gridedge_env.record import Record

# Coefficient of performance, a linear fit to 358 certified heat pumps (hplib), valid -10 to 15 °C.
COP_CONSTANT, COP_PER_OUTDOOR_KELVIN, COP_PER_SUPPLY_KELVIN = 7.160, 0.1554, -0.0905
COP_RANGE = (1.0, 6.0)
DESIGN_OUTDOOR_TEMPERATURE = -7.5
# Price of a room colder than its comfort band, € per K and hour: far above what heating costs.
DISCOMFORT_PRICE = 1.0
# Above this daily mean temperature nobody heats the next day: heat left over is worth nothing.
HEATING_LIMIT_TEMPERATURE = 15.0


@dataclass(frozen=True, eq=False)
class HeatPumps(Record):
    """Parameters of heat pumps and their buildings; all tensors are (heat pumps,).

    They stay as they are: what follows from them is kept.

    Attributes:
        maximum_power: electric kW.
        supply_temperature: °C of the heating water: 35 floor, 45 radiators, 55 old radiators.
        performance: this unit's COP over the fleet's fit.
        resistance: K per kW of heat from the room to outdoors.
        capacity: kWh per K of the building.
        lowest_temperature: °C, lower edge of the comfort band, which has some width: where rooms
            stand is told as a share of it.
        highest_temperature: °C, upper edge.
        internal_gain: kW of heat from people and appliances.
        solar_aperture: m², heat gained per irradiance.
    """

    maximum_power: Tensor = field(metadata=positive())
    supply_temperature: Tensor = field(metadata=within(20.0, 80.0))
    performance: Tensor = field(metadata=positive(3.0))
    resistance: Tensor = field(metadata=positive())
    capacity: Tensor = field(metadata=positive(lasting="resistance"))
    lowest_temperature: Tensor = field(metadata=within(0.0, 0.999, of="highest_temperature"))
    highest_temperature: Tensor = field(metadata=positive(40.0))
    internal_gain: Tensor = field(metadata=within())
    solar_aperture: Tensor = field(metadata=within())

    @cached_property
    def _buildings(self) -> dict[float, _Building]:
        """What follows for steps of each length that was asked for."""
        return {}

    def building(self, hours: float) -> _Building:
        """What follows for steps of one length."""
        if hours not in self._buildings:
            self._buildings[hours] = _building(self, hours)
        return self._buildings[hours]


def coefficient_of_performance(
    outdoor_temperature: Tensor, supply_temperature: Tensor, performance: Tensor
) -> Tensor:
    """Heat delivered per electricity drawn: from 1, a resistance heater's, to 6."""
    at_zero, per_kelvin = _performance_line(supply_temperature, performance)
    return (at_zero + per_kelvin * outdoor_temperature).clamp(*COP_RANGE)


def _performance_line(supply_temperature: Tensor, performance: Tensor) -> tuple[Tensor, Tensor]:
    """Heat per electricity before the limits, at 0 °C outdoors and more per K."""
    at_zero = (COP_CONSTANT + COP_PER_SUPPLY_KELVIN * supply_temperature) * performance
    return at_zero, COP_PER_OUTDOOR_KELVIN * performance


@dataclass(frozen=True)
class HeatBalance:
    """What the weather does to buildings in a step: from T to kept T + drift, at most `opened`.

    Attributes:
        kept: (heat pumps,) share of a difference in temperature that is there after a step.
        drift: (..., heat pumps) °C that the weather and what happens indoors add.
        full_rise: (..., heat pumps) K that the heat pump adds at full power.
        opened: (..., heat pumps) °C at which windows are opened: sun and people can overheat rooms.
    """

    kept: Tensor
    drift: Tensor
    full_rise: Tensor
    opened: Tensor

    @classmethod
    def of(
        cls, heat_pumps: HeatPumps, outdoor_temperature: Tensor, irradiance: Tensor, hours: float
    ) -> HeatBalance:
        """For temperatures in °C and irradiances in W/m², (..., 1) each."""
        building = heat_pumps.building(hours)
        performance = torch.addcmul(
            building.performance_at_zero, building.performance_per_kelvin, outdoor_temperature
        )
        drift = torch.addcmul(building.indoors, building.lost, outdoor_temperature)
        return cls(
            building.kept,
            torch.addcmul(drift, building.sunned, irradiance),
            building.full_rise * performance.clamp(*COP_RANGE),
            torch.maximum(heat_pumps.highest_temperature, outdoor_temperature),
        )


@dataclass(frozen=True)
class _Building:
    """What follows from the parameters for steps of one length; all tensors are (heat pumps,).

    Attributes:
        kept: share of a difference in temperature that is there after a step.
        lost: the rest.
        indoors: K that people and appliances add.
        sunned: K per W/m² that the sun adds.
        full_rise: K that full power adds at a coefficient of performance of one.
        performance_at_zero: that coefficient at 0 °C outdoors, before its limits.
        performance_per_kelvin: what it gains per K.
    """

    kept: Tensor
    lost: Tensor
    indoors: Tensor
    sunned: Tensor
    full_rise: Tensor
    performance_at_zero: Tensor
    performance_per_kelvin: Tensor


@torch.inference_mode(False)  # kept for calls that differentiate, too
def _building(heat_pumps: HeatPumps, hours: float) -> _Building:
    kelvin_per_kw = hours / heat_pumps.capacity
    lost = kelvin_per_kw / heat_pumps.resistance
    return _Building(
        1.0 - lost,
        lost,
        kelvin_per_kw * heat_pumps.internal_gain,
        1e-3 * kelvin_per_kw * heat_pumps.solar_aperture,
        kelvin_per_kw * heat_pumps.maximum_power,
        *_performance_line(heat_pumps.supply_temperature, heat_pumps.performance),
    )


def step_heat_pumps(
    heat_pumps: HeatPumps,
    temperature: Tensor,
    action: Tensor,
    outdoor_temperature: Tensor,
    irradiance: Tensor,
    hours: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """One time step: T+ = T + dt/C ((T_out - T)/R + gains + COP p).

    The action spans the power that keeps the room in its comfort band at the end of the step:
    -1 the least such power, +1 the most, each within what the heat pump can do.

    Args:
        heat_pumps: parameters.
        temperature: (..., heat pumps) °C in the room.
        action: (..., heat pumps) in [-1, 1].
        outdoor_temperature: (..., 1) °C.
        irradiance: (..., 1) W/m², global horizontal.
        hours: length of the step.

    Returns:
        (..., heat pumps) each: next temperature °C, power kW, cost of discomfort €.
    """
    balance = HeatBalance.of(heat_pumps, outdoor_temperature, irradiance, hours)
    return _step(heat_pumps, balance, temperature, 0.5 * (action + 1.0), hours)


def run_heat_pumps(
    heat_pumps: HeatPumps,
    temperature: Tensor,
    actions: Tensor,
    outdoor_temperature: Tensor,
    irradiance: Tensor,
    hours: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Several time steps, one after the other.

    Args:
        heat_pumps: parameters.
        temperature: (batch, heat pumps) °C before the first.
        actions: (steps, batch, heat pumps) in [-1, 1].
        outdoor_temperature: (steps, batch, 1) °C.
        irradiance: (steps, batch, 1) W/m².
        hours: length of a step.

    Returns:
        As `step_heat_pumps`, (steps, batch, heat pumps) each.
    """
    balance = HeatBalance.of(heat_pumps, outdoor_temperature, irradiance, hours)

    def following(temperature: Tensor, share: Tensor, *weather: Tensor) -> Tensor:
        return _heat(heat_pumps, HeatBalance(balance.kept, *weather), temperature, share)[0]

    weather, shares = (balance.drift, balance.full_rise, balance.opened), 0.5 * (actions + 1.0)
    before = states_before(following, temperature, shares, *weather)
    return _step(heat_pumps, balance, before, shares, hours)


def _step(
    heat_pumps: HeatPumps, balance: HeatBalance, temperature: Tensor, share: Tensor, hours: float
) -> tuple[Tensor, Tensor, Tensor]:
    """See `step_heat_pumps`; power goes `share` of the way from the least to the most."""
    heated, rise, cold = _heat(heat_pumps, balance, temperature, share)
    power = rise / balance.full_rise * heat_pumps.maximum_power
    return heated, power, (DISCOMFORT_PRICE * hours) * cold


def _heat(
    heat_pumps: HeatPumps, balance: HeatBalance, temperature: Tensor, share: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """One step, where power goes `share` of the way from the least to the most.

    Returns:
        (..., heat pumps) each: next temperature °C, by how many K the heat pump raised it, and how
        many K full power leaves it below the comfort band.
    """
    unheated = torch.addcmul(balance.drift, balance.kept, temperature)
    to_lowest = heat_pumps.lowest_temperature - unheated
    to_highest = heat_pumps.highest_temperature - unheated
    # Minima and maxima as differences to zero: their gradients take a tenth of the time.
    cold = torch.relu(to_lowest - balance.full_rise)
    least = torch.relu(to_lowest) - cold
    most = torch.relu(to_highest) - torch.relu(to_highest - balance.full_rise)
    rise = least.lerp(most, share)
    aired = unheated - torch.relu(unheated - balance.opened)
    return aired + rise, rise, cold


def stored_heat_value(
    heat_pumps: HeatPumps, temperature: Tensor, mean_outdoor_temperature: Tensor, mean_price: Tensor
) -> Tensor:
    """What the heat left in the buildings at midnight is worth, € (batch, heat pumps).

    Heat above the lower edge of the comfort band saves tomorrow's electricity: the day's mean price
    over the COP; nothing on days that are warmer than 15 °C.

    Args:
        heat_pumps: parameters.
        temperature: (batch, heat pumps) °C at midnight.
        mean_outdoor_temperature: (batch, 1) °C over the day before.
        mean_price: (batch, 1) €/kWh, import price over that day.
    """
    performance = coefficient_of_performance(
        mean_outdoor_temperature, heat_pumps.supply_temperature, heat_pumps.performance
    )
    heat = heat_pumps.capacity * (temperature - heat_pumps.lowest_temperature)
    value = heat / performance * mean_price
    return torch.where(mean_outdoor_temperature < HEATING_LIMIT_TEMPERATURE, value, 0.0)
