"""The schedule of a battery on its own, against a mixed-integer optimum."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
import torch
from scipy import optimize, sparse

from gridedge_env.clock import Clock
from gridedge_env.devices.battery import BATTERY
from gridedge_env.devices.battery_schedule import Levels, Meter, battery_schedule
from gridedge_env.devices.storage import (
    MIDNIGHT_STATE_OF_CHARGE,
    Batteries,
    action_for_change,
    energy_bounds,
    step_batteries,
)
from gridedge_env.scenarios import ObservedDays, Tariff

HOURS = 0.5
STEPS = 48
BATTERIES = 2
# Levels are a fourteenth of a step's full charge apart and stop short of empty and full by up to
# one: two to three per cent less than the optimum's earnings, more on a single day of flat prices.
SHORTFALL = 0.035


@pytest.fixture(scope="module")
def batteries() -> Batteries:
    values = BATTERY.sample(BATTERIES, 1.0, np.random.default_rng(0))
    return Batteries(**{name: torch.from_numpy(value) for name, value in values.items()})


@pytest.fixture(scope="module")
def prices() -> torch.Tensor:
    """(13, steps) €/kWh: a day of each month of 2023, and the one of the lowest price: negative."""
    table = ObservedDays().load("train", Clock()).to("cpu", torch.float64)
    lowest = int(table.day_ahead_price.amin(dim=1).argmin())
    retail = Tariff().import_price(table, Clock())[[*range(10, 362, 30), lowest]]
    assert retail[-1].min() < 0.0
    return retail


def optimal_cost(battery: Batteries, price: np.ndarray) -> float:
    """Least cost in €: a mixed-integer linear programme, since a battery cannot do both at once.

    Variables: kWh drawn and kWh delivered at the meter in each step, and whether it charges.
    """
    full = battery.maximum_power.item() * HOURS
    into, out_of = battery.charge_efficiency.item(), 1.0 / battery.discharge_efficiency.item()
    cost = np.concatenate((price, battery.wear_cost.item() - price, np.zeros(STEPS)))
    total = np.tril(np.ones((STEPS, STEPS)))
    stored = sparse.csr_array(np.hstack((into * total, -out_of * total, np.zeros((STEPS, STEPS)))))
    bounds = [energy_bounds(battery, (STEPS - 1 - t) * HOURS) for t in range(STEPS)]
    start = MIDNIGHT_STATE_OF_CHARGE * battery.capacity.item()
    lowest, highest = (np.array([each[k].item() for each in bounds]) - start for k in (0, 1))
    one, zero = sparse.identity(STEPS), sparse.csr_array((STEPS, STEPS))
    either = sparse.vstack(
        (sparse.hstack((one, zero, -full * one)), sparse.hstack((zero, one, full * one)))
    )
    solution = optimize.milp(
        cost,
        integrality=np.repeat((0, 0, 1), STEPS),
        bounds=optimize.Bounds(0.0, np.repeat((full, full, 1.0), STEPS)),
        constraints=[
            optimize.LinearConstraint(stored, lowest, highest),
            optimize.LinearConstraint(either, -np.inf, np.repeat((0.0, full), STEPS)),
        ],
    )
    assert solution.success
    return float(solution.fun)


def test_nearly_as_good_as_the_optimum(batteries: Batteries, prices: torch.Tensor) -> None:
    energy = (MIDNIGHT_STATE_OF_CHARGE * batteries.capacity).expand(len(prices), -1)
    path = battery_schedule(batteries, Levels.of(batteries, HOURS), energy, prices, HOURS)
    assert path.shape == (STEPS, len(prices), BATTERIES)
    torch.testing.assert_close(path[-1], energy)

    cost = torch.zeros(len(prices), BATTERIES, dtype=torch.float64)
    used = []
    for t, target in enumerate(path):
        left = (STEPS - 1 - t) * HOURS
        action = action_for_change(batteries, energy, target - energy, HOURS, left)
        energy, power, wear = step_batteries(batteries, energy, action, HOURS, left)
        # The schedule is within what a battery can do: it arrives where it was sent.
        torch.testing.assert_close(energy, target, rtol=0.0, atol=1e-9)
        cost += wear + power * prices[:, t, None] * HOURS
        used.append(power / batteries.maximum_power)
    # All of the power, up to a level: a fourteenth in, a fifteenth out.
    assert torch.stack(used).max() == pytest.approx(1.0)
    assert -1.0 <= torch.stack(used).min() < -14 / 15

    optimum = [
        [
            optimal_cost(
                Batteries(**{f.name: getattr(batteries, f.name)[[k]] for f in fields(Batteries)}),
                price.numpy(),
            )
            for k in range(BATTERIES)
        ]
        for price in prices
    ]
    best = torch.tensor(optimum, dtype=torch.float64)
    assert (best <= 0.0).all()
    assert (cost >= best - 1e-9).all()
    assert (cost.sum(dim=0) <= (1.0 - SHORTFALL) * best.sum(dim=0)).all()


def at_the_meter(
    batteries: Batteries, path: torch.Tensor, price: torch.Tensor, meter: Meter
) -> torch.Tensor:
    """(days, batteries) € of a schedule beyond what demand alone costs, wear included."""
    before = torch.cat((MIDNIGHT_STATE_OF_CHARGE * batteries.capacity.expand(path[:1].shape), path))
    change = before.diff(dim=0).transpose(0, 1) / HOURS  # (days, steps, batteries) kW stored
    delivered = -change.clamp(max=0.0) * batteries.discharge_efficiency
    power = change.clamp(min=0.0) / batteries.charge_efficiency - delivered

    def bill(drawn: torch.Tensor) -> torch.Tensor:
        paid, earned = price[..., None], meter.export_price[..., None]
        return torch.where(drawn > 0.0, paid, earned) * drawn

    cost = bill(meter.demand + power) - bill(meter.demand) + batteries.wear_cost * delivered
    return HOURS * cost.sum(dim=1)


def test_at_a_meter_that_earns_as_much_nothing_changes(
    batteries: Batteries, prices: torch.Tensor
) -> None:
    energy = (MIDNIGHT_STATE_OF_CHARGE * batteries.capacity).expand(len(prices), -1)
    told = batteries, Levels.of(batteries, HOURS), energy, prices, HOURS
    meter = Meter(torch.ones(len(prices), STEPS, BATTERIES, dtype=torch.float64), prices)
    assert torch.equal(battery_schedule(*told, meter=meter), battery_schedule(*told))


def test_where_feed_in_earns_nothing_only_the_home_is_served(
    batteries: Batteries, prices: torch.Tensor
) -> None:
    """Without demand a battery rests; with 1 kW, it saves what neither rest nor trade would.

    Days of negative prices, on which feeding in would still be worth while, are left out.
    """
    prices = prices[:-1].clamp(min=0.05)
    energy = (MIDNIGHT_STATE_OF_CHARGE * batteries.capacity).expand(len(prices), -1)
    told = batteries, Levels.of(batteries, HOURS), energy, prices, HOURS
    none = torch.zeros(len(prices), STEPS, BATTERIES, dtype=torch.float64)
    alone = Meter(none, torch.zeros_like(prices))
    assert torch.equal(battery_schedule(*told, meter=alone), energy.expand(STEPS, -1, -1))

    home = Meter(none + 1.0, torch.zeros_like(prices))
    served, traded = (battery_schedule(*told, meter=meter) for meter in (home, None))
    saved = -at_the_meter(batteries, served, prices, home)
    assert (saved >= -1e-9).all()
    assert (saved > 0.1).any()
    assert (saved >= -at_the_meter(batteries, traded, prices, home) - 1e-9).all()
