"""Forecasts that are wrong by a stated model, for days whose source has perfect ones."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gridedge_env.checks import (
    check_entropy,
    check_members,
    check_not_negative,
    check_positive,
    settle,
)
from gridedge_env.clock import Clock
from gridedge_env.scenarios.observed import SPLITS, DaySource, DayTable


@dataclass(frozen=True)
class ForecastErrors:
    """A source of days as another one has them, but forecast with errors.

    Along a day the error of a series is a stationary autoregressive process of order one: its
    standard deviation is the same in every step, and from hour to hour it is forgotten by the
    factor exp(-1 / correlation_hours). Days, temperatures and prices err independently. What
    happens, and is billed, stays as it is; a day has the same forecast whenever it is played.

    Attributes:
        days: whose days; a forecast of its own is what the error is added to.
        temperature_deviation: K.
        price_deviation: €/kWh of the day-ahead price; by default it is published, not forecast.
        correlation_hours: within which errors are forgotten.
        seed: chooses the errors.

    Raises:
        ValueError: a negative deviation or seed, or a correlation over no time.
    """

    days: DaySource
    temperature_deviation: float = 1.5
    price_deviation: float = 0.0
    correlation_hours: float = 6.0
    seed: int = 0
    _loaded: dict[tuple[str, Clock], DayTable] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        check_members(self.days, ("load",), "days", "a DaySource")
        settle(
            self,
            temperature_deviation=check_not_negative,
            price_deviation=check_not_negative,
            correlation_hours=check_positive,
            seed=check_entropy,
        )

    def __getattr__(self, name: str) -> Any:
        """What else a source says of its days: their time zone, where they were observed."""
        if name.startswith("_") or "days" not in self.__dict__:
            raise AttributeError(name)
        return getattr(self.days, name)

    def load(self, split: str, clock: Clock) -> DayTable:
        """See `DaySource`."""
        if (split, clock) not in self._loaded:
            self._loaded[split, clock] = self._forecast(self.days.load(split, clock), split, clock)
        return self._loaded[split, clock]

    def _forecast(self, days: DayTable, split: str, clock: Clock) -> DayTable:
        random = np.random.default_rng([self.seed, SPLITS.index(split)])
        told = days.as_forecast
        temperature = self._errors(random, told.outdoor_temperature, clock)
        price = self._errors(random, told.day_ahead_price, clock)
        if self.temperature_deviation > 0.0:
            wrong = told.outdoor_temperature + self.temperature_deviation * temperature
            days = replace(days, temperature_forecast=wrong)
        if self.price_deviation > 0.0:
            wrong = told.day_ahead_price + self.price_deviation * price
            days = replace(days, price_forecast=wrong)
        return days

    def _errors(self, random: np.random.Generator, like: Tensor, clock: Clock) -> Tensor:
        """(days, steps) of standard deviation 1."""
        kept = math.exp(-clock.hours / self.correlation_hours)
        drawn = random.standard_normal(tuple(like.shape))
        for step in range(1, like.shape[1]):
            drawn[:, step] = kept * drawn[:, step - 1] + (1.0 - kept**2) ** 0.5 * drawn[:, step]
        return torch.from_numpy(drawn).to(like)
