"""The best of a known day for chargers alone: their linear program, and the schedule near it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import optimize
from torch import Tensor

from gridedge_env.day import Day, Window
from gridedge_env.devices.charging import EvChargers, EvChargerState, run_chargers
from gridedge_env.devices.ev_charger import EV_CHARGER
from gridedge_env.devices.linear_program import Meters
from tests.gridedge_env.devices.forty_cars import (
    BATCH,
    CARS,
    a_day,
    actions_of,
    forty_cars,
    midnight,
)


@pytest.fixture(scope="module")
def cars() -> EvChargers:
    return forty_cars()


def prices(minutes: int = 30) -> Tensor:
    """(batch, steps) of hours, 0.1 to 0.4 €/kWh, with a valley at night and one at noon."""
    random = torch.Generator().manual_seed(5)
    hour = torch.arange(24, dtype=torch.float64)
    shape = 0.25 - 0.08 * torch.cos(2.0 * torch.pi * (hour - 7.0) / 12.0)
    noise = 0.04 * torch.randn(BATCH, 24, generator=random, dtype=torch.float64)
    return (shape + noise).repeat_interleave(60 // minutes, dim=1)


@pytest.mark.parametrize("minutes", [15, 30, 60])
def test_the_schedule_is_close_to_the_programs_optimum(cars: EvChargers, minutes: int) -> None:
    """Simulated, it saves 99 % of what the linear program saves over charging at once.

    What is left are levels of a fortieth of what full power stores in an hour.
    """
    day, begin = a_day(minutes, BATCH, prices(minutes)), midnight(cars)
    window = Window(day, 0, day.clock.steps)
    price = day.import_price.T[..., None]

    def cost(actions: Tensor) -> np.ndarray:
        _, power, wear = run_chargers(cars, begin, actions, window)
        costs: np.ndarray = (wear + day.clock.hours * price * power).sum(dim=(0, 2)).numpy()
        return costs

    planned = cost(EV_CHARGER.lone_plan(cars, begin, day))
    best = np.array([optimum(cars, begin.take([k]), day.take([k])) for k in range(BATCH)])
    assert (planned >= best - 1e-6).all()
    at_once = cost(actions_of("1", day.clock.steps))
    assert (at_once - planned >= 0.99 * (at_once - best)).all()
    assert (best < 0.5 * at_once).all()


def optimum(
    cars: EvChargers, begin: EvChargerState, day: Day, played: Tensor | None = None
) -> float:
    """€ of the linear program of chargers alone; or of what was played, (steps, chargers) kW."""
    price = day.import_price[0, :, None].numpy()
    meters = Meters(day.clock.hours, np.zeros((day.clock.steps, CARS)), price, price)
    program = EV_CHARGER.linear_program(cars, begin, day, meters, None)
    rows, target = [program.equality], [program.target]
    if played is not None:
        rows, target = [*rows, program.output], [*target, played.numpy().ravel()]
    found = optimize.linprog(
        program.cost,
        None,
        None,
        np.concatenate([row.toarray() for row in rows]) if played is not None else rows[0],
        np.concatenate(target),
        np.stack((program.lowest, program.highest), axis=1),
        options={"presolve": False},  # which finds faults of 1e-9 in what leaves no choice
    )
    assert found.status == 0, found.message
    return float(found.fun + program.constant)


def test_what_chargers_do_is_in_their_program_at_the_same_cost(cars: EvChargers) -> None:
    """On hours: the program with the played kilowatts prescribed; HiGHS keeps to 1e-7."""
    day, begin = a_day(60, BATCH, prices(60)).take([0]), midnight(cars).take([0])
    actions = actions_of("random", 24)[:, :1]
    _, power, wear = run_chargers(cars, begin, actions, Window(day, 0, 24))
    cost = (wear + day.import_price.T[..., None] * power).sum().item()
    assert optimum(cars, begin, day, power[:, 0]) == pytest.approx(cost, abs=1e-4)
