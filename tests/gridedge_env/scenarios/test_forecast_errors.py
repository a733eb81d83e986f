"""Forecasts that are wrong by a stated model, under days that stay as they are."""

from __future__ import annotations

import math
import pickle
from dataclasses import replace

import pytest
import torch

from gridedge_env import Clock, default_case, make_simulator
from gridedge_env.scenarios import ForecastErrors, ObservedDays

DAY, TRUE = Clock(), ObservedDays().load("train", Clock())


def errors(**options) -> tuple[torch.Tensor, torch.Tensor]:
    """Of prices and temperatures, (days, steps) each."""
    told = ForecastErrors(ObservedDays(), **options).load("train", DAY).as_forecast
    return (
        told.day_ahead_price - TRUE.day_ahead_price,
        told.outdoor_temperature - TRUE.outdoor_temperature,
    )


def test_errors_are_as_the_model_says():
    """One deviation in every step; what half an hour adds to what is left of it is new.

    Within five deviations of what is estimated: of a deviation 1 / sqrt(2 n), of a correlation
    1 / sqrt(n), from n = 362 days or 362 x 47 steps.
    """
    kept = math.exp(-0.5 / 4.0)
    found = errors(temperature_deviation=2.0, price_deviation=0.03, correlation_hours=4.0)
    price, temperature = found[0] / 0.03, found[1] / 2.0
    for error in (price, temperature):
        assert (error.std(dim=0) - 1.0).abs().max() < 5.0 / 724**0.5
        before, new = error[:, :-1], (error[:, 1:] - kept * error[:, :-1]) / (1 - kept**2) ** 0.5
        assert new.std().item() == pytest.approx(1.0, abs=5.0 / 34028**0.5)
        assert (new * before).mean().abs() < 5.0 / 17014**0.5
    # Prices and temperatures err independently, and so do neighbouring days.
    for one, other in ((price, temperature), (temperature[1:, 0:1], temperature[:-1, 0:1])):
        assert (one[:, 0] * other[:, 0]).mean().abs() < 5.0 / 361**0.5


def test_the_seed_chooses_them_and_a_split_has_its_own():
    source = ForecastErrors(ObservedDays(), seed=1)
    assert source.load("train", DAY) is source.load("train", DAY)
    assert torch.equal(errors(seed=1)[1], errors(seed=1)[1])
    assert not torch.equal(errors(seed=1)[1], errors(seed=2)[1])
    assert not errors(temperature_deviation=0.0)[1].any()
    assert not errors()[0].any()
    copy = pickle.loads(pickle.dumps(source))
    assert copy == source
    assert copy.site == ObservedDays.site
    with pytest.raises(AttributeError, match="time_zone"):
        _ = source.time_zone


def test_agents_are_told_and_nothing_else_changes():
    """Later temperatures are observed otherwise; the physics and the bill are the same."""
    case = default_case("ieee13", num_agents=3)
    other = replace(case, days=ForecastErrors(case.days))
    true, told = (make_simulator(case=each) for each in (case, other))
    one, two = (each.reset(seed=1) for each in (true, told))
    assert torch.equal(one.day.outdoor_temperature, two.day.outdoor_temperature)
    changed = (one.day.shared_observation != two.day.shared_observation)[0].any(dim=0)
    shared = true.observation_fields[true.private_size :]
    assert {field.name for field, wrong in zip(shared, changed, strict=True) if wrong} == {
        field.name for field in shared if "temperature" in field.name
    }
    action = torch.zeros(true.clock.steps, 1, 3, 1)
    assert torch.equal(true.simulate(one, action).cost, told.simulate(two, action).cost)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature_deviation": -1.0}, "temperature_deviation: got -1.0"),
        ({"price_deviation": float("nan")}, "price_deviation: got nan"),
        ({"correlation_hours": 0.0}, "correlation_hours: got 0.0, expected a positive number"),
        ({"seed": -1}, "seed: got -1"),
    ],
)
def test_faulty_models_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        ForecastErrors(ObservedDays(), **options)


def test_what_has_no_days_is_refused():
    with pytest.raises(ValueError, match="days: got None without load, expected a DaySource"):
        ForecastErrors(None)
