"""What an agent observes: its own meter, and what every customer can read in the news.

Private fields come from the agent's own home. Shared fields are the clock, the day-ahead prices,
published for the whole day before it begins, what a lone battery would make of these, and
the weather with its forecast (the observed temperature stands in for the forecast). Nothing of
another agent is in them, and nothing that is not yet known: past midnight, where tomorrow's prices
start, the blocks ahead are cut short.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import lru_cache

import torch
from torch import Tensor

from gridedge_env.devices.battery import (
    MIDNIGHT_STATE_OF_CHARGE,
    MINIMUM_STATE_OF_CHARGE,
    TYPICAL_EFFICIENCY,
    TYPICAL_WEAR_COST,
    Batteries,
)
from gridedge_env.devices.battery_schedule import Levels, battery_schedule
from gridedge_env.scenarios import DayTable, Tariff

# Price and temperature ahead, as means over blocks of half-hours [first, last] after this one.
PRICE_BLOCKS = ((1, 1), (2, 2), (3, 4), (5, 6), (7, 8), (9, 12), (13, 16), (17, 20), (21, 28))
TEMPERATURE_BLOCKS = ((1, 6), (7, 16), (17, 28))
# Agents see the best plans of two lone batteries that hold so many hours of full power. The slow
# one's plan spreads over more of the day, as the plans of many must on a feeder that they share.
PLANNED_HOURS = (2, 5)
# Every entry of an observation is clipped to this many of its scale.
OBSERVATION_BOUND = 10.0

# €/kWh: typical retail price with its tax, and typical spread within a day.
PRICE_CENTRE, PRICE_SCALE = 0.25, 0.10


@dataclass(frozen=True)
class ObservationField:
    """One entry of an observation: (value - offset) / scale, clipped; the value in `unit`.

    Attributes:
        name: what it is.
        unit: of the value.
        offset: value at which the entry is 0.
        scale: change of the value for which the entry changes by 1.
        private: known to this agent alone; otherwise all agents see the same number.
    """

    name: str
    unit: str
    offset: float
    scale: float
    private: bool = False


def observation_fields() -> tuple[ObservationField, ...]:
    """The entries in order; private ones first."""
    own = [
        # State of charge, room temperature within its comfort band, or the loading that pays now.
        ObservationField("own_state", "share of range", 0.5, 0.5, private=True),
        ObservationField("own_load", "over its annual mean", 1.0, 1.0, private=True),
        ObservationField("own_voltage", "pu, previous step", 1.0, 0.05, private=True),
    ]
    clock = [
        ObservationField(f"{wave}_{turns}_day", "", 0.0, 1.0)
        for turns in (1, 2, 3)
        for wave in ("sine", "cosine")
    ]
    price = [
        ObservationField("price", "€/kWh", PRICE_CENTRE, PRICE_SCALE),
        ObservationField("price_z_score", "standard deviations of the day", 0.0, 1.0),
        ObservationField("price_rank", "share of the day that is cheaper", 0.5, 0.5),
        ObservationField("price_mean", "€/kWh", PRICE_CENTRE, PRICE_SCALE),
        ObservationField("price_minimum", "€/kWh", PRICE_CENTRE, PRICE_SCALE),
        ObservationField("price_maximum", "€/kWh", PRICE_CENTRE, PRICE_SCALE),
        *(
            ObservationField(f"price_ahead_{a}_{b}", "€/kWh above now", 0.0, PRICE_SCALE)
            for a, b in PRICE_BLOCKS
        ),
        ObservationField(
            "price_rank_ahead", "share of the rest of the day that is cheaper", 0.5, 0.5
        ),
        ObservationField("price_minimum_ahead", "€/kWh above now", 0.0, PRICE_SCALE),
        ObservationField("price_maximum_ahead", "€/kWh above now", 0.0, PRICE_SCALE),
    ]
    plan = [
        entry
        for hours in PLANNED_HOURS
        for entry in (
            ObservationField(f"planned_energy_{hours}_hours", "share of range, 0 to 1", 0.5, 0.5),
            ObservationField(f"planned_power_{hours}_hours", "share of full power", 0.0, 1.0),
        )
    ]
    weather = [
        ObservationField("outdoor_temperature", "°C", 10.0, 10.0),
        *(
            ObservationField(f"temperature_ahead_{a}_{b}", "K above now", 0.0, 5.0)
            for a, b in TEMPERATURE_BLOCKS
        ),
    ]
    return (*own, *clock, *price, *plan, *weather)


def shared_observations(days: DayTable, tariff: Tariff) -> Tensor:
    """The shared entries of every step of every day: (days, steps, shared fields), clipped.

    Args:
        days: observed weather and prices.
        tariff: turns day-ahead prices into the retail prices that agents see.
    """
    price = tariff.import_price(days.day_ahead_price)
    temperature = days.outdoor_temperature
    steps = price.shape[1]
    angle = 2.0 * torch.pi * torch.arange(steps, device=price.device, dtype=price.dtype) / steps
    mean = price.mean(dim=1, keepdim=True)
    spread = price.std(dim=1, keepdim=True, correction=0).clamp(min=1e-3)
    values = [
        *(wave(turns * angle) for turns in (1, 2, 3) for wave in (torch.sin, torch.cos)),
        price,
        (price - mean) / spread,
        (price[:, None, :] < price[:, :, None]).to(price.dtype).mean(dim=2),
        mean,
        price.amin(dim=1, keepdim=True),
        price.amax(dim=1, keepdim=True),
        *(_ahead(price, a, b) - price for a, b in PRICE_BLOCKS),
        *_against_the_rest_of_the_day(price),
        *_battery_plans(price),
        temperature,
        *(_ahead(temperature, a, b) - temperature for a, b in TEMPERATURE_BLOCKS),
    ]
    seen = entries(torch.stack([x.expand_as(price) for x in values]), private=False)
    return seen.permute(1, 2, 0).contiguous()


def entries(values: Tensor, private: bool) -> Tensor:
    """What agents see of values.

    Args:
        values: (fields, batch, n) in the units of the private fields, or of the shared ones.
        private: which of them.

    Returns:
        The entries, of the same shape.
    """
    at_zero, slope = _scales(private, values.device, values.dtype)
    seen = torch.addcmul(at_zero, slope, values)
    return seen.clamp(-OBSERVATION_BOUND, OBSERVATION_BOUND)


@lru_cache
@torch.inference_mode(False)  # kept for calls that differentiate, too
def _scales(private: bool, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Entries of the value 0, and what they gain per unit, of the private fields or of the shared.

    (fields, 1, 1) each.
    """
    chosen = [f for f in observation_fields() if f.private == private]
    numbers = [(-f.offset / f.scale, 1.0 / f.scale) for f in chosen]
    at_zero, slope = torch.tensor(numbers, dtype=dtype).to(device).T[..., None, None]
    return at_zero, slope


def _against_the_rest_of_the_day(price: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Where a price stands among those from now to midnight: all (days, steps).

    Returns:
        The share of them that is cheaper; the least and the greatest of them, less the price.
    """
    steps = price.shape[1]
    to_come = torch.ones(steps, steps, device=price.device, dtype=torch.bool).triu()
    difference = price[:, None, :] - price[:, :, None]
    cheaper = ((difference < 0.0) & to_come).to(price.dtype).sum(dim=2) / to_come.sum(dim=1)
    least = difference.where(to_come, torch.inf).amin(dim=2)
    greatest = difference.where(to_come, -torch.inf).amax(dim=2)
    return cheaper, least, greatest


def _battery_plans(price: Tensor) -> list[Tensor]:
    """What typical batteries would do that had the feeder to themselves, at the published prices.

    Returns:
        Of each of `PLANNED_HOURS`, the state of charge before a step and the charging power in it
        over full power: (days, steps) each.
    """
    hours = 24.0 / price.shape[1]
    batteries, levels = _lone_batteries(hours, price.device, price.dtype)
    capacity = batteries.capacity
    start = (MIDNIGHT_STATE_OF_CHARGE * capacity).expand(1, len(price), -1)
    after = battery_schedule(batteries, levels, start[0], price, hours)
    before = torch.cat((start, after[:-1]))
    change = (after - before) / hours
    power = torch.where(change > 0.0, change / TYPICAL_EFFICIENCY, change * TYPICAL_EFFICIENCY)
    energy = before / capacity
    return [plan[..., k].T for k in range(len(PLANNED_HOURS)) for plan in (energy, power)]


@lru_cache
def _lone_batteries(
    hours: float, device: torch.device, dtype: torch.dtype
) -> tuple[Batteries, Levels]:
    """One battery for each of `PLANNED_HOURS`, of 1 kW, and its levels in steps of `hours`."""
    capacity = torch.tensor(PLANNED_HOURS, dtype=dtype)
    batteries = Batteries(
        capacity=capacity,
        maximum_power=torch.ones_like(capacity),
        charge_efficiency=torch.full_like(capacity, TYPICAL_EFFICIENCY),
        discharge_efficiency=torch.full_like(capacity, TYPICAL_EFFICIENCY),
        minimum_energy=MINIMUM_STATE_OF_CHARGE * capacity,
        wear_cost=torch.full_like(capacity, TYPICAL_WEAR_COST),
    )
    levels = Levels.of(batteries, hours)
    there = {f.name: getattr(batteries, f.name).to(device) for f in fields(Batteries)}
    return Batteries(**there), replace(levels, spacing=levels.spacing.to(device))


def _ahead(values: Tensor, first: int, last: int) -> Tensor:
    """Mean over the steps [t + first, t + last] of today; the present value if none is left."""
    steps = values.shape[1]
    step = torch.arange(steps, device=values.device)
    ahead = step[None, :] - step[:, None]
    weight = ((ahead >= first) & (ahead <= last)).to(values.dtype)
    count = weight.sum(dim=1)
    mean = values @ weight.T / count.clamp(min=1.0)
    return torch.where(count > 0, mean, values)
