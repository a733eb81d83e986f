"""The best schedule of each battery on its own, at known prices: dynamic programming.

Stored energy is cut into levels; the value of every level is found backwards from midnight, the
schedule forwards from it. Over a year it earns two to three per cent less than the optimum between
levels would.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from gridedge_env.devices.storage import (
    MIDNIGHT_STATE_OF_CHARGE,
    MINIMUM_STATE_OF_CHARGE,
    TYPICAL_EFFICIENCY,
    TYPICAL_WEAR_COST,
    Batteries,
    energy_bounds,
)
from gridedge_env.record import Record

# Levels that a battery climbs in one step at full power.
LEVELS_PER_STEP = 14
# Of lone plans, € per kWh and step: far above rounding in double precision, and far below what a
# difference of one tick in price, 1e-5 €/kWh, is worth over a day.
DELAY_COST = 1e-9


@dataclass(frozen=True, eq=False)
class Levels(Record):
    """Levels of stored energy, counted from half full.

    Attributes:
        spacing: (batteries,) kWh between two of them.
        half: how many there are on either side of half full.
        fall: how many a battery descends in one step at full power.
    """

    spacing: Tensor
    half: int
    fall: int

    @staticmethod
    def of(batteries: Batteries, hours: float) -> Levels:
        """For steps of so many hours. The host looks at the batteries, and waits for a GPU."""
        middle = MIDNIGHT_STATE_OF_CHARGE * batteries.capacity
        spacing = batteries.maximum_power * hours * batteries.charge_efficiency / LEVELS_PER_STEP
        fall = batteries.maximum_power * hours / batteries.discharge_efficiency / spacing
        return Levels(spacing, int((middle / spacing).max().ceil()), int(fall.min()))


@dataclass(frozen=True)
class Meter:
    """What else a battery's meter bills.

    Attributes:
        demand: (batch, steps, batteries) kW drawn by all else.
        export_price: (batch, steps) €/kWh that is earned by what the meter feeds in.
    """

    demand: Tensor
    export_price: Tensor


@torch.no_grad()
def battery_schedule(
    batteries: Batteries,
    levels: Levels,
    energy: Tensor,
    price: Tensor,
    hours: float,
    delay_cost: float = 0.0,
    meter: Meter | None = None,
    forecast: Tensor | None = None,
) -> Tensor:
    """Energy stored after every step under the cheapest schedule of each battery alone.

    Args:
        batteries: parameters.
        levels: theirs.
        energy: (batch, batteries) kWh at the start.
        price: (batch, steps) €/kWh paid until midnight, and earned.
        hours: length of a step.
        delay_cost: € per kWh moved and step since midnight: of equals, the earlier is chosen.
        meter: what else is behind it, where what is fed in earns another price.
        forecast: (batch, steps) €/kWh that each step is said to have until it begins, by which the
            rest of the day is planned anew in every step; None: the price itself.

    Returns:
        (steps, batch, batteries) kWh; half full at midnight.
    """
    steps = price.shape[1]
    middle = MIDNIGHT_STATE_OF_CHARGE * batteries.capacity
    spacing, half, fall = levels.spacing, levels.half, levels.fall
    where: dict[str, Any] = {"device": price.device, "dtype": price.dtype}
    stored = middle + torch.arange(-half, half + 1, **where)[:, None] * spacing
    moves = torch.arange(-fall, LEVELS_PER_STEP + 1, **where)

    change = moves[:, None] * spacing
    drawn = change.clamp(min=0.0) / batteries.charge_efficiency
    delivered = -change.clamp(max=0.0) * batteries.discharge_efficiency
    bought, wear = (drawn - delivered)[:, None], (batteries.wear_cost * delivered)[:, None]

    def cost_at(price: Tensor) -> Tensor:
        """(steps, moves, batch, batteries) of every move."""
        cost = bought * price.T[:, None, :, None] + wear
        if meter:
            demand = hours * meter.demand.transpose(0, 1)[:, None]
            fed_in = (demand + bought).clamp(max=0.0) - demand.clamp(max=0.0)
            cost = cost + (meter.export_price - price).T[:, None, :, None] * fed_in
        if delay_cost:
            late = delay_cost * torch.arange(steps, **where)
            cost = cost + late[:, None, None, None] * change.abs()[:, None]
        return cost

    left = hours * torch.arange(steps, 0, -1, **where)[:, None, None]
    lowest, highest = energy_bounds(batteries, left)
    inside = (stored >= lowest - 1e-3 * spacing) & (stored <= highest + 1e-3 * spacing)
    barrier = torch.zeros(inside.shape, **where).masked_fill(~inside, torch.inf)
    barrier = barrier.mT[:, None]  # (steps, 1, batteries, levels)

    first = ((energy - middle) / spacing).round().long() + half
    cost = cost_at(price)
    planned = cost if forecast is None else cost_at(forecast)
    return middle + (cheapest_levels(cost, barrier, first, half, fall, planned) - half) * spacing


def cheapest_levels(
    cost: Tensor,
    barrier: Tensor,
    first: Tensor,
    last: int,
    fall: int,
    planned: Tensor | None = None,
) -> Tensor:
    """The cheapest way over levels of stores: values backwards from midnight, the way forwards.

    Args:
        cost: (steps, moves, batch, stores) of descending by `fall` levels, ..., of climbing most.
        barrier: (steps, batch or 1, stores, levels) 0 where a level may be before a step, else inf.
        first: (batch, stores) integer, the level before the first step.
        last: the only level that will do at midnight.
        fall: levels that the first move descends.
        planned: what each step's moves are expected to cost before it begins; None: `cost`.

    Returns:
        (steps, batch, stores) integer, the level after each step.
    """
    steps, moves = cost.shape[:2]
    planned = cost if planned is None else planned
    # Costs to come, (batch, stores, levels).
    to_come = cost.new_full((*first.shape, barrier.shape[-1]), torch.inf)
    to_come[..., last] = 0.0
    # Moves come first in memory: minima are then taken of whole rows of levels, vector by vector.
    choices, after = to_come.new_empty((moves, *to_come.shape)), []
    for t in reversed(range(steps)):
        beyond = functional.pad(to_come, (fall, moves - 1 - fall), value=torch.inf)
        moved = beyond.unfold(-1, moves, 1).permute(3, 0, 1, 2)
        to_come = torch.add(moved, planned[t, ..., None], out=choices).amin(dim=0) + barrier[t]
        after.append(beyond)

    level, path = first, []
    places = torch.arange(moves, device=cost.device, dtype=torch.long)
    for beyond, paid in zip(reversed(after), cost.permute(0, 2, 3, 1), strict=True):
        reached = beyond.gather(-1, level[..., None] + places) + paid
        level = level + reached.argmin(dim=-1) - fall
        path.append(level)
    return torch.stack(path)


def lone_plans(
    hours_of_power: tuple[int, ...], price: Tensor, hours: float, forecast: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """What typical batteries would do that had the feeder to themselves.

    An hour's price is often held over several steps, whose order then makes no difference: the
    earlier one is taken. In double precision, whatever else is not: rounding must not choose.

    Args:
        hours_of_power: of full power that each battery holds.
        price: (days, steps) €/kWh, in double precision.
        hours: length of a step.
        forecast: of the price, as of `battery_schedule`.

    Returns:
        The state of charge before a step, and the charging power in it over full power: (days,
        steps, batteries) each, in double precision.
    """
    batteries, levels = _lone_batteries(hours_of_power, hours, price.device)
    capacity = batteries.capacity
    start = batteries.full_power.middle.expand(1, len(price), -1)
    after = battery_schedule(
        batteries, levels, start[0], price, hours, DELAY_COST, forecast=forecast
    )
    before = torch.cat((start, after[:-1]))
    change = (after - before) / hours
    power = torch.where(change > 0.0, change / TYPICAL_EFFICIENCY, change * TYPICAL_EFFICIENCY)
    return (before / capacity).transpose(0, 1), power.transpose(0, 1)


@lru_cache
def _lone_batteries(
    hours_of_power: tuple[int, ...], hours: float, device: torch.device
) -> tuple[Batteries, Levels]:
    """Typical batteries of 1 kW, and their levels in steps of so many hours."""
    capacity = torch.tensor(hours_of_power, dtype=torch.float64, device="cpu")
    batteries = Batteries(
        capacity=capacity,
        maximum_power=torch.ones_like(capacity),
        charge_efficiency=torch.full_like(capacity, TYPICAL_EFFICIENCY),
        discharge_efficiency=torch.full_like(capacity, TYPICAL_EFFICIENCY),
        minimum_energy=MINIMUM_STATE_OF_CHARGE * capacity,
        wear_cost=torch.full_like(capacity, TYPICAL_WEAR_COST),
    )
    return batteries.to(device), Levels.of(batteries, hours).to(device)
