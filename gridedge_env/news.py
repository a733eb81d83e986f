"""The news: what every customer can read of prices, weather and the clock, for whole days.

What is to come is as it is forecast, while what happens, and is billed, is as it is. Where a source
of days has no forecasts, they are perfect.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from gridedge_env.clock import Clock
from gridedge_env.devices.battery_schedule import lone_plans
from gridedge_env.scenarios import DayTable, Tariff

# Agents see the best plans of two lone batteries that hold so many hours of full power. The slow
# one's plan spreads over more of the day, as the plans of many must on a feeder that they share.
PLANNED_HOURS = (2, 5)
# €/kWh: the European day-ahead market's prices are multiples of 0.01 €/MWh.
PRICE_TICK = 1e-5


@dataclass(frozen=True)
class Quotes:
    """Series of whole days, (days, steps) each.

    Attributes:
        price: €/kWh that a kilowatt-hour costs.
        temperature: °C outdoors.
        published_price: €/kWh as the price, in double precision whatever the simulator's, and from
            day-ahead prices in whole ticks: the same numbers for everybody who reads them.
        export_price: €/kWh that a kilowatt-hour earns that is fed in.
    """

    price: Tensor
    temperature: Tensor
    published_price: Tensor
    export_price: Tensor

    @classmethod
    def of(cls, days: DayTable, tariff: Tariff, clock: Clock) -> Quotes:
        """Under a tariff, on days as they are or as they are forecast."""
        published = (days.day_ahead_price.double() / PRICE_TICK).round() * PRICE_TICK
        return cls(
            tariff.import_price(days, clock),
            days.outdoor_temperature,
            tariff.import_price(replace(days, day_ahead_price=published), clock),
            tariff.export_price(days, clock),
        )


@dataclass(frozen=True)
class News:
    """What shared fields are made of: whole days, all (days, steps).

    Prices are known as they are up to the step that begins, later ones as they are forecast. The
    weather of a step is not known before it has ended: its temperature is a forecast, too.

    Attributes:
        clock: of the episodes that the days are of, one after the other.
        now: what there is in each step.
        forecast: what was said of it before; the same object where forecasts are perfect.
    """

    clock: Clock
    now: Quotes
    forecast: Quotes

    @classmethod
    def of(cls, days: DayTable, tariff: Tariff, clock: Clock) -> News:
        """Of days with or without forecasts."""
        now, foreseen = Quotes.of(days, tariff, clock.day), days.as_forecast
        return cls(clock, now, now if foreseen is days else Quotes.of(foreseen, tariff, clock.day))

    @property
    def steps(self) -> int:
        """Of a day."""
        return self.clock.day.steps

    @property
    def days_left(self) -> Tensor:
        """(days, 1) of its episode, after each day."""
        days = torch.arange(len(self.price), device=self.price.device, dtype=self.price.dtype)
        return (self.clock.days - 1 - days % self.clock.days)[:, None]

    @property
    def price(self) -> Tensor:
        """€/kWh that a kilowatt-hour costs."""
        return self.now.price

    @property
    def export_price(self) -> Tensor:
        """€/kWh that a kilowatt-hour earns that is fed in."""
        return self.now.export_price

    @property
    def temperature(self) -> Tensor:
        """°C outdoors."""
        return self.forecast.temperature

    @property
    def angle(self) -> Tensor:
        """(steps,) of the hand of a clock that goes round once a day."""
        like = self.price
        step = torch.arange(self.steps, device=like.device, dtype=like.dtype)
        return 2.0 * torch.pi * step / self.steps

    @cached_property
    def to_come(self) -> Tensor:
        """(steps, steps) bool: whether a step is this one or a later one."""
        return torch.ones(self.steps, self.steps, device=self.price.device, dtype=torch.bool).triu()

    def of_the_day(self, series: str) -> Tensor:
        """The whole day of a price as it is known in each step: (days, steps or 1, steps)."""
        actual = getattr(self.now, series)[:, None, :]
        if self.forecast is self.now:
            return actual
        later = self.to_come.triu(diagonal=1)
        return torch.where(later, getattr(self.forecast, series)[:, None, :], actual)

    def difference_of(self, series: str) -> Tensor:
        """(days, steps, steps) each price of the day, as it is known, less the present one."""
        return self.of_the_day(series) - getattr(self.now, series)[:, :, None]

    @cached_property
    def prices(self) -> Tensor:
        """`of_the_day` of the import price."""
        return self.of_the_day("price")

    @cached_property
    def difference(self) -> Tensor:
        """`difference_of` the import price."""
        return self.difference_of("price")

    @cached_property
    def price_mean(self) -> Tensor:
        """(days, steps or 1)."""
        return self.prices.mean(dim=2)

    @cached_property
    def plans(self) -> tuple[Tensor, Tensor]:
        """What typical batteries would do that had the feeder to themselves, at these prices.

        The state of charge before a step and the charging power in it over full power, (days,
        steps, `PLANNED_HOURS`) each. In each step they plan anew, by the forecast of later ones.
        """
        price, hours = self.now.published_price, self.clock.hours
        forecast = None if self.forecast is self.now else self.forecast.published_price
        energy, power = lone_plans(PLANNED_HOURS, price, hours, forecast)
        return energy.to(self.price), power.to(self.price)

    def ahead(self, series: str, begin: float, end: float) -> Tensor:
        """By how much the forecast of a block of hours after each step is above the present.

        In the mean over the block; 0 if the day is over.
        """
        present, later = getattr(self, series), getattr(self.forecast, series)
        hours = self.clock.hours
        step = torch.arange(self.steps, device=later.device, dtype=later.dtype)
        opens = (step[None, :] - step[:, None] - 1.0) * hours  # of each step, after each other
        overlap = (opens + hours).clamp(max=end) - opens.clamp(min=begin)
        weight = overlap.clamp(min=0.0) / hours
        total = weight.sum(dim=1)
        # No matrix product: its rounding would depend on how many other days there are.
        mean = (later[:, None, :] * weight).sum(dim=2) / total.where(total > 0.0, 1.0)
        return torch.where(total > 0.0, mean, present) - present
