"""Batteries: energy and money by hand, and what holds whatever the actions."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
import torch
from torch import Tensor

from gridedge_env.devices.battery import BATTERY
from gridedge_env.devices.storage import (
    Batteries,
    action_for_change,
    energy_bounds,
    feasible_change,
    step_batteries,
)

HOURS = 0.5
STEPS = 48
# Sums of 48 steps of numbers around 10 kWh: 48 · 1e-15.
ROUNDING = 1e-12


def tensor(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def battery() -> Batteries:
    """10 kWh, 4 kW, 0.9 in, 0.8 out, at least 1 kWh, 0.05 €/kWh."""
    return Batteries(tensor(10.0), tensor(4.0), tensor(0.9), tensor(0.8), tensor(1.0), tensor(0.05))


@pytest.fixture(scope="module")
def batteries() -> Batteries:
    values = BATTERY.sample(50, 1.0, np.random.default_rng(0))
    return Batteries(**{name: torch.from_numpy(value) for name, value in values.items()})


def left(step: int) -> float:
    return (STEPS - 1 - step) * HOURS


@pytest.mark.parametrize(
    ("action", "energy", "power", "wear"),
    [
        # 4 kW for half an hour: 2 kWh at the meter, 1.8 kWh stored.
        (1.0, 6.8, 4.0, 0.0),
        # Half of that.
        (0.5, 5.9, 2.0, 0.0),
        # 2 kWh delivered take 2 / 0.8 = 2.5 kWh from the store and wear it by 2 · 0.05 €.
        (-1.0, 2.5, -4.0, 0.10),
        (-0.4, 4.0, -1.6, 0.04),
        (0.0, 5.0, 0.0, 0.0),
    ],
)
def test_a_step_by_hand(action: float, energy: float, power: float, wear: float) -> None:
    """5 kWh stored at noon, when midnight is too far away to matter."""
    found = step_batteries(battery(), tensor(5.0)[None], tensor(action)[None], HOURS, 12.0)
    assert [x.item() for x in found] == pytest.approx([energy, power, wear], abs=ROUNDING)


def test_full_and_empty_by_hand() -> None:
    """9.1 kWh leave room for 0.9: 1 kWh at the meter, 2 kW. 1.5 can give 0.5: 0.4 kWh, 0.8 kW."""
    energy, action = tensor(9.1, 1.5)[:, None], tensor(1.0, -1.0)[:, None]
    after, power, _ = step_batteries(battery(), energy, action, HOURS, 12.0)
    assert after[:, 0].tolist() == pytest.approx([10.0, 1.0], abs=ROUNDING)
    assert power[:, 0].tolist() == pytest.approx([2.0, -0.8], abs=ROUNDING)


def test_bounds_towards_midnight_by_hand() -> None:
    """An hour before midnight, at 0.6 · 4 = 2.4 kW, 2.4 kWh can go in and out at the meter.

    In: 2.4 · 0.9 = 2.16 kWh of store, so from 5 - 2.16 = 2.84; out: 2.4 / 0.8 = 3, so from 8.
    """
    lowest, highest = energy_bounds(battery(), 1.0)
    assert lowest.item() == pytest.approx(2.84, abs=ROUNDING)
    assert highest.item() == pytest.approx(8.0, abs=ROUNDING)
    lowest, highest = energy_bounds(battery(), 12.0)
    assert [lowest.item(), highest.item()] == [1.0, 10.0]
    lowest, highest = energy_bounds(battery(), 0.0)
    assert [lowest.item(), highest.item()] == [5.0, 5.0]


def test_forced_return_by_hand() -> None:
    """8 kWh with one hour left, half of it after this step: at most 5 + 1.2 / 0.8 = 6.5 by then.

    Action 0 takes the 1.5 kWh that must go (1.2 kWh at the meter, 2.4 kW); -1 takes what full power
    can, 2.5 kWh; +1 does the same as 0, for there is no room to charge.
    """
    actions = tensor(1.0, 0.0, -0.5, -1.0)[:, None]
    energy, power, _ = step_batteries(battery(), tensor(8.0).expand(4, 1), actions, HOURS, 0.5)
    assert energy[:, 0].tolist() == pytest.approx([6.5, 6.5, 6.0, 5.5], abs=ROUNDING)
    assert power[:, 0].tolist() == pytest.approx([-2.4, -2.4, -3.2, -4.0], abs=ROUNDING)


@pytest.mark.parametrize("kind", ["random", "full charge", "full discharge", "extremes"])
def test_a_day_stays_inside_and_ends_half_full(batteries: Batteries, kind: str) -> None:
    random = torch.Generator().manual_seed(0)
    shape = (STEPS, 20, 50)
    noise = 2.0 * torch.rand(shape, generator=random, dtype=torch.float64) - 1.0
    actions = {
        "random": noise,
        "full charge": torch.ones_like(noise),
        "full discharge": -torch.ones_like(noise),
        "extremes": noise.sign(),
    }[kind]
    energy = (0.5 * batteries.capacity).expand(20, -1)
    for step, action in enumerate(actions):
        before = energy
        energy, power, wear = step_batteries(batteries, energy, action, HOURS, left(step))
        assert (energy >= batteries.minimum_energy - ROUNDING).all()
        assert (energy <= batteries.capacity + ROUNDING).all()
        assert (power.abs() <= batteries.maximum_power + ROUNDING).all()
        assert (wear >= 0.0).all()
        # What went in at the meter is stored or lost; the loss is never negative.
        assert (power * HOURS >= energy - before - ROUNDING).all()
    torch.testing.assert_close(
        energy, (0.5 * batteries.capacity).expand(20, -1), rtol=0.0, atol=ROUNDING
    )


def test_a_round_trip_loses_both_efficiencies() -> None:
    """In 2 kWh, stored 1.8, out 1.8 · 0.8 = 1.44."""
    energy, into, _ = step_batteries(battery(), tensor(5.0)[None], tensor(1.0)[None], HOURS, 12.0)
    back = action_for_change(battery(), energy, tensor(-1.8)[None], HOURS, 12.0)
    energy, out_of, _ = step_batteries(battery(), energy, back, HOURS, 12.0)
    assert energy.item() == pytest.approx(5.0, abs=ROUNDING)
    assert (into + out_of).item() * HOURS == pytest.approx(2.0 - 1.44, abs=ROUNDING)


@pytest.mark.parametrize("step", [0, 20, 43, 46])
def test_action_for_change_inverts_a_step(batteries: Batteries, step: int) -> None:
    random = torch.Generator().manual_seed(step)
    lowest, highest = energy_bounds(batteries, left(step) + HOURS)
    share = torch.rand(30, 50, generator=random, dtype=torch.float64)
    energy = torch.lerp(lowest, highest, share)
    bounds = energy_bounds(batteries, left(step))
    least, forced, most = feasible_change(batteries, energy, HOURS, bounds)
    assert ((least <= forced + ROUNDING) & (forced <= most + ROUNDING)).all()
    change = torch.lerp(least, most, torch.rand(30, 50, generator=random, dtype=torch.float64))
    action = action_for_change(batteries, energy, change, HOURS, left(step))
    assert (action.abs() <= 1.0 + ROUNDING).all()
    arrived, _, _ = step_batteries(batteries, energy, action, HOURS, left(step))
    # Where there is almost no room, less than a thousandth of a full step, it may stop short.
    slack = 1e-3 * batteries.maximum_power * HOURS
    roomy = torch.where(change >= forced, most - forced, forced - least) > slack
    assert roomy.double().mean() > 0.9
    error = (arrived - energy - change).abs()
    assert (error <= torch.where(roomy, ROUNDING, slack)).all()
    # What is asked beyond the feasible is done as far as it goes.
    beyond = action_for_change(batteries, energy, most + 1.0, HOURS, left(step))
    assert torch.equal(beyond, action_for_change(batteries, energy, most, HOURS, left(step)))


def test_gradients(batteries: Batteries) -> None:
    """Away from the kinks; with 1, 5 and 47 steps to go, so that both kinds of bound act."""
    few = Batteries(**{f.name: getattr(batteries, f.name)[:6] for f in fields(Batteries)})
    random = torch.Generator().manual_seed(0)
    for step in (0, 42, 46):
        lowest, highest = energy_bounds(few, left(step) + HOURS)
        share = torch.rand(3, 6, generator=random, dtype=torch.float64)
        energy = torch.lerp(lowest, highest, share).requires_grad_()
        action = 0.1 + 0.8 * torch.rand(3, 6, generator=random, dtype=torch.float64)
        action[1] *= -1.0
        action.requires_grad_()

        def run(energy: Tensor, action: Tensor, step: int = step) -> tuple[Tensor, ...]:
            return step_batteries(few, energy, action, HOURS, left(step))

        assert torch.autograd.gradcheck(run, (energy, action))


@pytest.mark.parametrize("price", [-0.2, 0.1, 0.4])
def test_at_rest_the_gradient_is_between_those_of_charging_and_discharging(price: float) -> None:
    """Action 0 is a kink; adding up both sides would make a step there twice as long or more.

    Per unit of action: charging 1.8 kWh into the store costs 2 · price; discharging 2.5 kWh earns
    2 · (price - 0.05). The energy changes by 1.8 and 2.5.
    """
    action = tensor(0.0)[None].requires_grad_()
    energy, power, wear = step_batteries(battery(), tensor(5.0)[None], action, HOURS, 12.0)
    (by_energy,) = torch.autograd.grad(energy.sum(), action, retain_graph=True)
    (by_cost,) = torch.autograd.grad((HOURS * price * power + wear).sum(), action)
    assert 1.8 - ROUNDING <= by_energy.item() <= 2.5 + ROUNDING
    sides = sorted((2.0 * price, 2.0 * (price - 0.05)))
    assert sides[0] - ROUNDING <= by_cost.item() <= sides[1] + ROUNDING


def test_samples_are_within_their_ranges() -> None:
    values = BATTERY.sample(2000, 0.5, np.random.default_rng(3))
    power, capacity = values["maximum_power"], values["capacity"]
    assert power.min() >= 0.5 * 13.5
    assert power.max() <= 0.5 * 18.5
    assert power.mean() == pytest.approx(0.5 * 16.0, rel=0.01)  # 4 standard errors: 0.8 %
    assert (capacity / power).min() >= 1.8
    assert (capacity / power).max() <= 2.6
    round_trip = values["charge_efficiency"] * values["discharge_efficiency"]
    assert round_trip.min() >= 0.88
    assert round_trip.max() <= 0.91
    np.testing.assert_allclose(values["minimum_energy"], 0.05 * capacity)
