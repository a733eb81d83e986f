from __future__ import annotations

import json
import math
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pytest
import torch
from torch import Tensor

from gridedge_env import scenarios
from gridedge_env.clock import Clock
from gridedge_env.scenarios import Calendar, GeneratedDemand

MOMENTS = json.loads(
    (Path(scenarios.__file__).parent / "data" / "load_moments.json").read_text(encoding="utf-8")
)
SHAPE = torch.tensor(MOMENTS["diurnal_shape_month_weekend_hour"], dtype=torch.float64)
HOMES = 500

# Homes are independent, so an average over them has the standard error std / √homes. Every sampled
# quantity below must lie within four of its own standard errors (chance of a miss 6e-5 each).
STANDARD_ERRORS = 4.0


def on(month: Tensor, weekend: Tensor) -> Calendar:
    """Days of which these sources know the month and the kind alone."""
    return Calendar(torch.zeros_like(month), month, weekend)


@pytest.fixture(scope="module")
def calendar() -> tuple[Tensor, Tensor]:
    days = [date(2023, 1, 1) + timedelta(days=n) for n in range(365)]
    month = torch.tensor([day.month - 1 for day in days])
    return month, torch.tensor([day.weekday() >= 5 for day in days])


@pytest.fixture(scope="module")
def homes():
    return GeneratedDemand().assign_homes("train", HOMES, 3, "cpu")


@pytest.fixture(scope="module")
def relative(homes, calendar) -> Tensor:
    """(days, 24, homes) a year's demand over scale and shape, the connection limit out of reach."""
    small = replace(homes, scale=torch.full_like(homes.scale, 0.5))
    month, weekend = calendar
    demand = GeneratedDemand().draw(
        small, on(month, weekend), torch.Generator().manual_seed(0), Clock()
    )
    return demand[:, ::2] / (0.5 * SHAPE[month, weekend.long()][:, :, None])


def standard_error(per_home: Tensor) -> float:
    return (per_home.std() / math.sqrt(len(per_home))).item()


@pytest.mark.parametrize("probability", MOMENTS["rel_quantiles"])
def test_relative_demand_has_the_published_quantiles(relative, probability):
    """The share of hours below a published quantile, itself scaled to mean one.

    At the two ends, where Q is held, the threshold is moved inwards by 0.1 %, which changes the
    share by less than 1e-4; elsewhere the table's step of 0.0013 scores does by 5e-4 at most.
    """
    quantiles = MOMENTS["rel_quantiles"]
    knots = [NormalDist().inv_cdf(float(p)) for p in quantiles]
    score = np.linspace(-8.0, 8.0, 200_001)
    density = np.exp(-(score**2) / 2) / math.sqrt(2 * math.pi)
    q = np.exp(np.interp(score, knots, np.log(list(quantiles.values()))))
    mean = (q * density).sum() * (score[1] - score[0])

    inwards = {"0.01": 1.001, "0.999": 0.999}.get(probability, 1.0)
    below = relative < quantiles[probability] / mean * inwards
    share = below.double().mean(dim=(0, 1))
    tolerance = STANDARD_ERRORS * standard_error(share) + 5e-4
    assert share.mean().item() == pytest.approx(float(probability), abs=tolerance)


def test_log_spread_is_the_published_one(homes, relative):
    """Within 2 %: holding Q beyond its published ends is worth 1.5 % (0.395 against 0.389)."""
    own = relative / relative.mean(dim=(0, 1))
    assert own.log().std().item() == pytest.approx(MOMENTS["rel_log_std"], rel=0.02)


@pytest.mark.parametrize(
    ("axis", "published"),
    [(1, MOMENTS["rel_log_lag1"]), (0, MOMENTS["rel_log_lag24"])],
    ids=["one hour", "one day"],
)
def test_autocorrelation_is_the_published_one(relative, axis, published):
    """A ratio of averages over homes, Σ products / Σ squares; its error is the residuals'."""
    log = relative.log()
    deviation = log - log.mean(dim=(0, 1))
    count = deviation.shape[axis]
    later, earlier = deviation.narrow(axis, 1, count - 1), deviation.narrow(axis, 0, count - 1)
    product = (later * earlier).mean(dim=(0, 1))
    square = deviation.square().mean(dim=(0, 1))
    ratio = (product.mean() / square.mean()).item()
    error = standard_error(product - ratio * square) / square.mean().item()
    assert ratio == pytest.approx(published, abs=STANDARD_ERRORS * error)


def test_annual_energy_is_lognormal_as_published():
    """Standard errors of mean and standard deviation of n normals: σ/√n and σ/√(2n)."""
    count = 4000
    homes = GeneratedDemand().assign_homes("train", count, 0, "cpu")
    log = (homes.mean_power * 8760).log()
    mu, sigma = (MOMENTS["annual_kwh_lognormal"][name] for name in ("mu", "sigma"))
    assert log.mean().item() == pytest.approx(mu, abs=STANDARD_ERRORS * sigma / math.sqrt(count))
    spread = STANDARD_ERRORS * sigma / math.sqrt(2 * count)
    assert log.std().item() == pytest.approx(sigma, abs=spread)


def test_a_year_of_each_home_has_the_mean_power_that_the_home_says(homes, calendar):
    """Drawing 365 days is a sample: home by home, the day-to-day spread over √365, five of them.

    (500 homes are compared, so five standard errors instead of four.) Half a per cent is for the
    connection limit and for a year that is not exactly 5 : 2 in every month.
    """
    demand = GeneratedDemand().draw(homes, on(*calendar), torch.Generator().manual_seed(1), Clock())
    by_day = demand.mean(dim=1) / homes.mean_power
    error = by_day.std(dim=0) / math.sqrt(365)
    assert ((by_day.mean(dim=0) - 1).abs() < 5 * error + 0.005).all()


def test_mean_demand_follows_the_month_and_the_kind_of_each_day():
    homes = GeneratedDemand().assign_homes("validation", 4000, 0, "cpu")
    month, weekend = torch.tensor([0, 6]), torch.tensor([False, True])
    demand = GeneratedDemand().draw(
        homes, on(month, weekend), torch.Generator().manual_seed(2), Clock()
    )
    relative = demand[:, ::2] / homes.mean_power
    error = relative.std(dim=-1) / math.sqrt(4000)
    deviation = (relative.mean(dim=-1) - SHAPE[month, weekend.long()]).abs()
    # 48 comparisons; 1 %: the scale is normalised over the year, not over each hour.
    assert (deviation < STANDARD_ERRORS * error + 0.01).all()


def test_only_the_shape_differs_between_kinds_of_day(homes):
    """With the same random numbers, January over July is the ratio of their shapes; rounded."""
    small = replace(homes, scale=torch.full_like(homes.scale, 0.5))

    def draw(month: int) -> Tensor:
        generator = torch.Generator().manual_seed(5)
        return GeneratedDemand().draw(
            small, on(torch.tensor([month]), torch.tensor([False])), generator, Clock()
        )

    ratio = (SHAPE[0, 0] / SHAPE[6, 0]).repeat_interleave(2)[None, :, None]
    torch.testing.assert_close(draw(0) / draw(6), ratio.float().expand(1, 48, HOMES))


def test_draw_has_the_promised_shape_dtype_and_bounds():
    homes = GeneratedDemand().assign_homes("train", 1000, 0, "cpu")
    month, weekend = torch.arange(12), torch.arange(12) % 2 == 0
    demand = GeneratedDemand().draw(
        homes, on(month, weekend), torch.Generator().manual_seed(0), Clock()
    )
    assert demand.shape == (12, 48, 1000)
    assert demand.dtype == torch.float32
    assert torch.equal(demand[:, ::2], demand[:, 1::2])
    for minutes in (15, 60):
        clock = Clock.of_minutes(minutes)
        again = GeneratedDemand().draw(
            homes, on(month, weekend), torch.Generator().manual_seed(0), clock
        )
        assert torch.equal(again, demand[:, ::2].repeat_interleave(60 // minutes, dim=1))
    assert demand.min() > 0
    assert demand.max() <= 17.25


def test_homes_are_a_function_of_split_seed_and_count():
    source = GeneratedDemand()
    homes = source.assign_homes("train", 50, 0, "cpu")
    assert source.assign_homes("train", 50, 0, "cpu") == homes
    for split, count, seed in (("validation", 50, 0), ("test", 50, 0), ("train", 50, 1)):
        other = source.assign_homes(split, count, seed, "cpu")
        assert not torch.isin(other.mean_power, homes.mean_power).any()


def test_the_callers_random_state_is_left_alone():
    before = torch.get_rng_state()
    homes = GeneratedDemand().assign_homes("train", 5, 0, "cpu")
    day = torch.tensor([0]), torch.tensor([False])
    first = GeneratedDemand().draw(homes, on(*day), torch.Generator().manual_seed(7), Clock())
    second = GeneratedDemand().draw(homes, on(*day), torch.Generator().manual_seed(7), Clock())
    assert torch.equal(first, second)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(
    ("split", "count", "message"),
    [("2023", 5, "split: got '2023', expected one of"), ("train", 0, "count: got 0, expected")],
)
def test_bad_arguments_are_named(split, count, message):
    with pytest.raises(ValueError, match=message):
        GeneratedDemand().assign_homes(split, count, 0, "cpu")
