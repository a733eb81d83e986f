"""The days of a batch: which they are, and how they depart from observed ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from gradmap_trainer.config import TrainConfig
from gradmap_trainer.training_days import draw_days, draw_state
from gridedge_env.case import CaseSettings
from gridedge_env.simulator import Simulator

CONFIG = TrainConfig(case=CaseSettings(num_agents=12))


@pytest.fixture(scope="module")
def simulator() -> Simulator:
    return CONFIG.make_simulator()


def test_training_days_depart_from_the_observed_ones_as_configured(simulator):
    """Each by a shift or a factor for all of its hours; not at all where the deviation is 0.

    Of 200 draws, the sample's deviation is within 5 / sqrt(2 x 200) = 25 % of the configured one
    but for one seed in two million. Prices are retail: their factor is on the part that is traded.
    """
    none = replace(
        CONFIG,
        batch_days=200,
        price_variation=0.0,
        temperature_variation=0.0,
        demand_variation=0.0,
    )
    varied = replace(none, price_variation=0.5, temperature_variation=4.0, demand_variation=0.2)
    plain, drawn = (
        draw_state(config, simulator, np.random.default_rng(1)).day for config in (none, varied)
    )
    table, tariff = simulator.days("train"), simulator.case.tariff
    assert torch.equal(plain.table_row, drawn.table_row)
    assert torch.equal(plain.outdoor_temperature, table.outdoor_temperature[plain.table_row])
    traded = table.select(plain.table_row)
    assert torch.equal(plain.import_price, tariff.import_price(traded, simulator.clock))

    shift = drawn.outdoor_temperature - plain.outdoor_temperature
    demand = (drawn.demand / plain.demand).flatten(1).log()
    free = replace(traded, day_ahead_price=torch.zeros_like(traded.day_ahead_price))
    surcharge = tariff.import_price(free, simulator.clock)
    ratio = (drawn.import_price - surcharge) / (plain.import_price - surcharge)
    price = ratio.nanmedian(dim=1, keepdim=True).values.log()  # some traded prices are 0
    for drawn_values, deviation in ((shift, 4.0), (demand, 0.2), (price, 0.5)):
        each = drawn_values.mean(dim=1)
        # Single precision, at temperatures of 20 and prices of some cents over 15.
        assert (drawn_values - each[:, None]).abs().max() < 1e-4
        assert each.std() == pytest.approx(deviation, rel=0.25)


def test_every_batch_has_calm_and_extreme_days_and_no_day_is_favoured(simulator):
    """Of eight days in a batch, one from each eighth of the year by spread of prices.

    The eighths begin at a random place, so any quarter of the year holds a whole one: one of the
    batch's days at least is among the quarter with the widest spread, one among the narrowest (to
    within a day: eighths do not end on whole days). Over 3,000 batches each of 362 days is drawn 66
    times with a standard deviation of 8.
    """
    random = np.random.default_rng(0)
    spread = simulator.days("train").day_ahead_price.std(dim=1)
    rank = spread.argsort().argsort()
    count = torch.zeros(len(rank))
    for _ in range(3000):
        days = draw_days(simulator, 8, random)
        assert len(days) == 8
        assert rank[days].max() >= 0.75 * len(rank) - 1.0
        assert rank[days].min() <= 0.25 * len(rank) + 1.0
        count.index_add_(0, torch.tensor(days), torch.ones(8))
    assert count.min() > 66 - 5 * 8
    assert count.max() < 66 + 5 * 8
