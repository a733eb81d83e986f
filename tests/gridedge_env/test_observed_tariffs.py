"""What agents observe of tariffs that do not follow the market, or whose feed-in earns less."""

from __future__ import annotations

import pytest
import torch

from gridedge_env import make_simulator
from gridedge_env.news import PLANNED_HOURS
from gridedge_env.observation import observation_fields
from gridedge_env.scenarios import (
    DayAheadFeedIn,
    ExportPrice,
    Fixed,
    Flat,
    Nothing,
    Period,
    Tariff,
    TimeOfUse,
)
from tests.gridedge_env.test_observation import day_table, entries_under, values


def test_export_prices_by_hand() -> None:
    """0.08 €/kWh but for 0.30 at step 10 and nothing at step 20; the auction's never counts."""
    price = torch.full((1, 48), 0.1, dtype=torch.float64)
    price[0, 10], price[0, 20] = 0.32, 0.0
    tariff = Tariff(Flat(0.25), DayAheadFeedIn(fee=0.02))
    seen = values(entries_under(tariff, day_table(price, 0.0 * price)), tariff)
    export, lowest, highest = (
        seen[f"export_price{which}"][0] for which in ("", "_minimum_ahead", "_maximum_ahead")
    )
    steps = [0, 10, 11, 20, 21, 47]
    assert export[steps].tolist() == pytest.approx([0.08, 0.30, 0.08, 0.0, 0.08, 0.08])
    assert lowest[steps].tolist() == pytest.approx([-0.08, -0.30, -0.08, 0.0, 0.0, 0.0])
    assert highest[steps].tolist() == pytest.approx([0.22, 0.0, 0.0, 0.08, 0.0, 0.0])


@pytest.mark.parametrize("exports", [Fixed(0.08), DayAheadFeedIn(), Nothing()])
def test_only_net_metering_leaves_export_prices_out(exports: ExportPrice) -> None:
    """Three shared fields, behind all others, which are the same."""
    usual, told = observation_fields(), observation_fields(tariff=Tariff(exports=exports))
    assert told[: len(usual)] == usual == observation_fields(tariff=Tariff(Flat(0.3)))
    assert [field.name for field in told[len(usual) :]] == [
        "export_price",
        "export_price_minimum_ahead",
        "export_price_maximum_ahead",
    ]
    assert not any(field.private for field in told[len(usual) :])
    simulator = make_simulator("ieee13", num_agents=3, tariff=Tariff(exports=exports))
    assert simulator.observation_fields == told
    plain = make_simulator("ieee13", num_agents=3)
    seen, before = (s.observe(s.reset(days=[7])) for s in (simulator, plain))
    assert torch.equal(seen[..., : len(usual)], before)


def test_at_one_price_all_day_there_is_nothing_to_tell() -> None:
    """No step is cheaper or stands out, and a lone battery rests at half."""
    price = torch.rand(2, 48, dtype=torch.float32, generator=torch.Generator().manual_seed(0))
    tariff = Tariff(Flat(0.3))
    seen = values(entries_under(tariff, day_table(price, 0.0 * price)), tariff)
    for name in ("price", "price_mean", "price_minimum", "price_maximum"):
        torch.testing.assert_close(seen[name], torch.full_like(price, 0.3))
    for name in ("price_rank", "price_rank_ahead", "price_minimum_ahead", "price_maximum_ahead"):
        assert seen[name].abs().max() < 1e-6, name
    assert seen["price_z_score"].abs().max() < 1e-3  # rounding, over a spread of 0.001 at least
    for hours in PLANNED_HOURS:
        assert not seen[f"planned_power_{hours}_hours"].any()
        torch.testing.assert_close(seen[f"planned_energy_{hours}_hours"], 0.0 * price + 0.5)


def test_of_hours_at_one_price_a_plan_takes_the_earlier() -> None:
    """A battery of 2 hours with 0.9 kWh and more to fill begins at once when a period does."""
    tariff = Tariff(TimeOfUse(0.35, (Period(0.1, "00:00", "06:00"), Period(0.7, "18:00", "22:00"))))
    price = torch.zeros(1, 48, dtype=torch.float32)
    power = values(entries_under(tariff, day_table(price, price)), tariff)["planned_power_2_hours"][
        0
    ]
    assert power[0] > 0.9
    assert power[36] < -0.9
    assert (power[:12].diff() <= 1e-6).all()
    assert (power[36:44].diff() >= -1e-6).all()
