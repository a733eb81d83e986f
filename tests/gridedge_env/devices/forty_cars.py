"""Forty cars on six days, for the tests of their chargers."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from gridedge_env.clock import Clock
from gridedge_env.day import Day
from gridedge_env.devices.charging import EvChargers, EvChargerState
from gridedge_env.devices.ev_charger import EV_CHARGER

BATCH, CARS = 6, 40


def tensor(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def a_day(minutes: int = 30, batch: int = 1, price: Tensor | None = None) -> Day:
    clock = Clock.of_minutes(minutes)
    series = torch.ones(batch, clock.steps, dtype=torch.float64)
    price = series if price is None else price
    return Day(
        clock=clock,
        table_row=torch.arange(batch),
        outdoor_temperature=series,
        irradiance=series,
        import_price=price,
        export_price=price,
        demand=series[..., None],
        mean_demand=tensor(1.0),
        shared_observation=series[..., None],
    )


def forty_cars() -> EvChargers:
    values = EV_CHARGER.sample(CARS, 1.0, np.random.default_rng(0))
    return EvChargers(**{name: torch.from_numpy(value) for name, value in values.items()})


def midnight(cars: EvChargers) -> EvChargerState:
    return EV_CHARGER.begin(cars, BATCH, torch.Generator().manual_seed(1), Clock())


def actions_of(kind: str, steps: int) -> Tensor:
    size = (steps, BATCH, CARS)
    if kind == "random":
        random = torch.Generator().manual_seed(2)
        return 2.0 * torch.rand(size, generator=random, dtype=torch.float64) - 1.0
    return torch.full(size, float(kind), dtype=torch.float64)
