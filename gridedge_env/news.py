"""The news: what every customer can read of prices, weather and the clock, for whole days."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from gridedge_env.clock import HOURS_PER_DAY, Clock
from gridedge_env.devices.battery_schedule import lone_plans

# Agents see the best plans of two lone batteries that hold so many hours of full power. The slow
# one's plan spreads over more of the day, as the plans of many must on a feeder that they share.
PLANNED_HOURS = (2, 5)
# €/kWh: the European day-ahead market's prices are multiples of 0.01 €/MWh.
PRICE_TICK = 1e-5


@dataclass(frozen=True)
class News:
    """What shared fields are made of: whole days, all (days, steps).

    Attributes:
        clock: of the days.
        price: €/kWh that a kilowatt-hour costs.
        temperature: °C outdoors.
        published_price: €/kWh as the price, in double precision whatever the simulator's, and from
            day-ahead prices in whole ticks: the same numbers for everybody who reads them.
        export_price: €/kWh that a kilowatt-hour earns that is fed in.
    """

    clock: Clock
    price: Tensor
    temperature: Tensor
    published_price: Tensor
    export_price: Tensor

    @property
    def angle(self) -> Tensor:
        """(steps,) of the hand of a clock that goes round once a day."""
        like, steps = self.price, round(HOURS_PER_DAY / self.clock.hours)
        step = torch.arange(self.clock.steps, device=like.device, dtype=like.dtype)
        return 2.0 * torch.pi * step / steps

    @cached_property
    def price_mean(self) -> Tensor:
        """(days, 1)."""
        return self.price.mean(dim=1, keepdim=True)

    @cached_property
    def to_come(self) -> Tensor:
        """(steps, steps) bool: whether a step is this one or a later one."""
        steps = self.clock.steps
        return torch.ones(steps, steps, device=self.price.device, dtype=torch.bool).triu()

    @cached_property
    def difference(self) -> Tensor:
        """(days, steps, steps) each price less the present one."""
        return self.price[:, None, :] - self.price[:, :, None]

    @cached_property
    def plans(self) -> tuple[Tensor, Tensor]:
        """What typical batteries would do that had the feeder to themselves, at these prices.

        The state of charge before a step and the charging power in it over full power, (days,
        steps, `PLANNED_HOURS`) each.
        """
        energy, power = lone_plans(PLANNED_HOURS, self.published_price, self.clock.hours)
        return energy.to(self.price), power.to(self.price)

    def ahead(self, values: Tensor, begin: float, end: float) -> Tensor:
        """Mean over a block of hours after each step; the present value if the day is over."""
        hours = self.clock.hours
        step = torch.arange(self.clock.steps, device=values.device, dtype=values.dtype)
        opens = (step[None, :] - step[:, None] - 1.0) * hours  # of each step, after each other
        overlap = (opens + hours).clamp(max=end) - opens.clamp(min=begin)
        weight = overlap.clamp(min=0.0) / hours
        total = weight.sum(dim=1)
        mean = values @ weight.T / total.where(total > 0.0, 1.0)
        return torch.where(total > 0.0, mean, values)
