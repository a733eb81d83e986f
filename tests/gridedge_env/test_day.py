"""A batch of days, and the part of them that devices go through in a call."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from gridedge_env.clock import Clock
from gridedge_env.day import Day, Window

DAYS, STEPS, AGENTS = 3, 24, 2


def series(first: float) -> Tensor:
    """(days, steps): first + 100 x day + step."""
    day, step = torch.arange(DAYS).double(), torch.arange(STEPS).double()
    return first + 100.0 * day[:, None] + step


@pytest.fixture
def day() -> Day:
    """Hours; import prices 0.5 above export prices."""
    return Day(
        clock=Clock(STEPS, 1.0),
        table_row=torch.tensor([7, 0, 9]),
        outdoor_temperature=series(1000.0),
        irradiance=series(2000.0),
        import_price=series(3000.5),
        export_price=series(3000.0),
        demand=series(0.0)[..., None] + torch.arange(AGENTS).double(),
        mean_demand=torch.tensor([0.5, 1.5], dtype=torch.float64),
        shared_observation=series(0.0)[..., None],
    )


def test_conditions_are_time_first(day: Day) -> None:
    """Temperature, irradiance, export price and by how much importing costs more."""
    assert [values.shape for values in day.conditions] == 4 * [(STEPS, DAYS, 1)]
    for step, row in ((0, 0), (5, 2), (23, 1)):
        found = [float(values[step, row, 0]) for values in day.conditions]
        at = 100.0 * row + step
        assert found == [1000.0 + at, 2000.0 + at, 3000.0 + at, 0.5]


def test_hours_left_by_hand(day: Day) -> None:
    """From the end of a step to midnight: 23 hours after the first of 24, none after the last."""
    assert day.hours_left.shape == (STEPS, 1, 1)
    assert day.hours_left[[0, 5, 23], 0, 0].tolist() == [23.0, 18.0, 0.0]
    quarters = replace(day, clock=Clock(96, 0.25))
    assert quarters.hours_left[[0, 95], 0, 0].tolist() == [23.75, 0.0]


def test_a_window_is_some_steps_of_the_days(day: Day) -> None:
    window = Window(day, 5, 2)
    assert (window.end, window.ends_episode, window.hours) == (7, False, 1.0)
    assert window.hours_left[:, 0, 0].tolist() == [18.0, 17.0]
    for found, first in (
        (window.outdoor_temperature, 1000.0),
        (window.irradiance, 2000.0),
        (window.export_price, 3000.0),
    ):
        assert found.shape == (2, DAYS, 1)
        assert found[1, :, 0].tolist() == [first + 6.0, first + 106.0, first + 206.0]
    assert window.import_surcharge.unique().tolist() == [0.5]
    assert Window(day, 22, 2).ends_episode
    assert not Window(day, 22, 1).ends_episode


def test_some_days_of_a_batch(day: Day) -> None:
    """What is of all days stays; what follows from the days follows."""
    last = day.take([2, 0])
    assert last.table_row.tolist() == [9, 7]
    assert torch.equal(last.demand, day.demand[[2, 0]])
    assert last.mean_demand is day.mean_demand
    for found, all_days in zip(last.conditions, day.conditions, strict=True):
        assert torch.equal(found, all_days[:, [2, 0]])
    assert Day.cat([day.take(slice(1)), day.take([1, 2])]) == day


def test_days_of_other_homes_are_not_one_batch(day: Day) -> None:
    other = replace(day, mean_demand=2.0 * day.mean_demand)
    with pytest.raises(ValueError, match="mean_demand: got .*, expected the same in all"):
        Day.cat([day, other])
    with pytest.raises(ValueError, match=r"clock: got .*, expected the same in all"):
        Day.cat([day, replace(day, clock=Clock(48, 0.5))])


def test_conditions_first_asked_for_without_gradients_can_be_differentiated_with(day: Day) -> None:
    """They are kept: what inference mode makes may not enter a later graph."""
    with torch.inference_mode():
        kept = *day.conditions, day.hours_left
    weight = torch.ones(1, dtype=torch.float64, requires_grad=True)
    total = sum((weight * values).sum() for values in kept)
    (gradient,) = torch.autograd.grad(total, weight)
    assert gradient.item() == pytest.approx(sum(float(values.sum()) for values in kept))
    prices = replace(day, import_price=day.import_price.requires_grad_())
    with torch.no_grad():
        _ = prices.conditions
    (slope,) = torch.autograd.grad(Window(prices, 3, 1).import_surcharge.sum(), prices.import_price)
    assert slope.sum(dim=0).nonzero().flatten().tolist() == [3]


def test_where_the_sun_stands_is_cut_with_the_days(day: Day) -> None:
    """Steps first; days whose source does not say have none, and say so when they are asked."""
    sun = torch.stack((series(0.0), series(0.25), series(0.5)), dim=-1)
    sunny = replace(day, direct_irradiance=sun)
    found = Window(sunny.take([2, 0]), 5, 2).direct_irradiance
    assert found.shape == (2, 2, 3)
    assert found[1, 0].tolist() == [206.0, 206.25, 206.5]
    assert Day.cat([sunny.take([0]), sunny.take([1, 2])]) == sunny
    assert day.take([1]).direct_irradiance is None
    with pytest.raises(ValueError, match="days: got none with direct_irradiance"):
        _ = Window(day, 0, 1).direct_irradiance
