"""Days that depart from what was observed."""

from __future__ import annotations

import math

import pytest
import torch

from gridedge_env import make_simulator
from gridedge_env.scenarios import Variation

DAYS = [3, 200]


def test_a_day_varies_in_what_it_should_and_in_nothing_else() -> None:
    """Net-metering tariff: 1.21 x day-ahead + 0.15 €/kWh, so a factor does not reach the adder."""
    simulator = make_simulator(num_agents=6, dtype=torch.float64)
    factors = torch.tensor([2.0, 0.5], dtype=torch.float64)
    variation = Variation(price_factor=factors, temperature_shift=-6.0, demand_factor=1.15)
    observed = simulator.reset(days=DAYS, seed=4)
    varied = simulator.reset(days=DAYS, seed=4, variation=variation)

    day_ahead = simulator.days("train").day_ahead_price[DAYS]
    close = {"rtol": 1e-12, "atol": 1e-12}  # double precision, numbers of order one
    torch.testing.assert_close(
        varied.day.import_price, 1.21 * day_ahead * factors[:, None] + 0.15, **close
    )
    torch.testing.assert_close(
        varied.day.outdoor_temperature, observed.day.outdoor_temperature - 6.0, **close
    )
    torch.testing.assert_close(varied.day.demand, 1.15 * observed.day.demand, **close)
    for name in ("irradiance", "mean_demand", "table_row"):
        assert torch.equal(getattr(varied.day, name), getattr(observed.day, name))
    assert varied.devices == observed.devices


def test_agents_see_the_varied_prices_and_the_table_stays_as_it_was() -> None:
    simulator = make_simulator(num_agents=3, dtype=torch.float64)
    before = simulator.days("train").day_ahead_price.clone()
    varied = simulator.reset(days=DAYS, seed=4, variation=Variation(price_factor=1.3))
    assert torch.equal(simulator.days("train").day_ahead_price, before)
    names = [field.name for field in simulator.observation_fields]
    place = names.index("price")
    field = simulator.observation_fields[place]
    seen = field.offset + field.scale * simulator.observe(varied)[:, :, place]
    # An entry of order one in double precision.
    expected = varied.day.import_price[:, :1].expand(2, 3)
    torch.testing.assert_close(seen, expected, rtol=1e-12, atol=1e-12)


def test_demand_factors_may_differ_by_day() -> None:
    simulator = make_simulator(num_agents=3, dtype=torch.float64)
    observed = simulator.reset(days=DAYS, seed=4).day.demand
    factor = torch.tensor([1.0, 3.0], dtype=torch.float64)
    varied = simulator.reset(days=DAYS, seed=4, variation=Variation(demand_factor=factor))
    assert torch.equal(varied.day.demand[0], observed[0])
    torch.testing.assert_close(varied.day.demand[1], 3.0 * observed[1], rtol=1e-12, atol=0.0)


@pytest.mark.parametrize("name", ["price_factor", "temperature_shift", "demand_factor"])
@pytest.mark.parametrize(
    ("value", "got"),
    [
        (math.nan, "nan"),
        (math.inf, "inf"),
        (torch.ones(2, 1), r"torch.float32 of shape \(2, 1\) on cpu"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(name: str, value: float, got: str) -> None:
    with pytest.raises(ValueError, match=f"{name}: got {got}, expected a finite number or"):
        Variation(**{name: value})
