"""Forecasts: agents observe them of what is to come; what happens, and is billed, is as it is."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from gridedge_env import load_case, make_simulator
from gridedge_env.clock import Clock
from gridedge_env.devices.battery_schedule import _lone_batteries, battery_schedule, lone_plans
from gridedge_env.scenarios import DayAheadFeedIn, DayTable, Tariff, Variation
from gridedge_env.scenarios.observed import check_table
from tests.gridedge_env.case_files.street import write_street
from tests.gridedge_env.test_observation import AS_TRADED, day_table, entries_under, values

OWN_FEED_IN = Tariff(AS_TRADED.imports, DayAheadFeedIn(fee=0.0))
# Entries are made in double precision; offsets and scales, of some units, lose 1e-15.
EXACT = 1e-12


def surprised() -> DayTable:
    """0.1 €/kWh and 5 °C all day. Forecast: 0.3 €/kWh at step 10, and 7 °C."""
    flat = torch.full((1, 48), 0.1, dtype=torch.float64)
    forecast = flat.clone()
    forecast[0, 10] = 0.3
    days = day_table(flat, 5.0 + 0.0 * flat)
    return replace(days, price_forecast=forecast, temperature_forecast=7.0 + 0.0 * flat)


def test_later_steps_are_as_forecast_and_past_ones_as_they_were() -> None:
    """Until step 9 a peak of 0.3 is expected; from step 10 on it is known not to have been."""
    seen = values(entries_under(OWN_FEED_IN, surprised()), OWN_FEED_IN)

    def assert_seen(name: str, expected_before: float, expected_after: float) -> None:
        expected = torch.tensor([expected_before] * 10 + [expected_after] * 38, dtype=torch.float64)
        torch.testing.assert_close(seen[name][0], expected, rtol=0.0, atol=EXACT, msg=name)

    assert_seen("price", 0.1, 0.1)
    assert_seen("price_maximum", 0.3, 0.1)
    assert_seen("price_maximum_ahead", 0.2, 0.0)
    assert_seen("price_minimum_ahead", 0.0, 0.0)
    assert_seen("export_price_maximum_ahead", 0.2, 0.0)
    assert_seen("price_mean", 0.1 + 0.2 / 48, 0.1)
    assert_seen("price_z_score", -((1 / 47) ** 0.5), 0.0)  # one of 48 is 0.2 above the others
    assert_seen("outdoor_temperature", 7.0, 7.0)
    ahead = seen["price_ahead_0_0.5_hours"][0]
    assert ahead[9] == pytest.approx(0.2, abs=EXACT)
    assert ahead[10:].abs().max() < EXACT


def test_without_a_forecast_it_is_perfect() -> None:
    days = surprised()
    told = replace(days, price_forecast=None, temperature_forecast=None)
    same = replace(days, price_forecast=days.day_ahead_price, temperature_forecast=None)
    assert told.as_forecast is told
    assert torch.equal(*(entries_under(OWN_FEED_IN, each) for each in (told, same)))
    perfect = "Forecasts of prices and temperatures are perfect."
    assert told.describe_forecasts("€") == perfect
    assert "prices are off by 0 €/kWh on" in same.describe_forecasts("€")
    assert days.describe_forecasts("CHF") == (
        "Forecasts of prices are off by 0.0042 CHF/kWh on average and those of temperatures are "
        "off by 2 K on average."
    )


def test_lone_plans_are_made_anew_in_every_step() -> None:
    """Each move is the first of the plan for the rest of the day, at the price and its forecast."""
    random = torch.Generator().manual_seed(0)
    price, forecast = torch.rand(2, 1, 24, generator=random, dtype=torch.float64) * 0.3
    energy, _ = lone_plans((2, 5), price, 1.0, forecast)
    batteries, levels = _lone_batteries((2, 5), 1.0, price.device)
    capacity = batteries.capacity
    for step in range(24):
        expected = torch.cat((price[:, step : step + 1], forecast[:, step + 1 :]), dim=1)
        stored = energy[:, step] * capacity
        after = battery_schedule(batteries, levels, stored, expected, 1.0)[0]
        follows = energy[:, step + 1] * capacity if step < 23 else 0.5 * capacity
        torch.testing.assert_close(after, follows.expand_as(after), rtol=0.0, atol=1e-9)
    assert not torch.equal(energy, lone_plans((2, 5), price, 1.0)[0])


def test_days_vary_with_their_forecasts() -> None:
    varied = Variation(price_factor=2.0, temperature_shift=3.0).of_days(surprised())
    assert varied.price_forecast is not None
    assert varied.temperature_forecast is not None
    assert varied.price_forecast[0, 10] == pytest.approx(0.6)
    assert varied.temperature_forecast[0, 0] == 10.0
    wrong = replace(surprised(), price_forecast=torch.zeros(1, 24))
    with pytest.raises(ValueError, match="got price_forecast of shape"):
        check_table(wrong, "train", Clock())


def test_forecasts_in_a_folder(tmp_path: Path) -> None:
    """Columns of a street: it is billed as before, and told something else."""
    folder = tmp_path / "street"
    write_street(folder)
    shutil.copytree(folder, tmp_path / "perfect")
    random = np.random.default_rng(1)
    for name, column, forecast in (
        ("prices.csv", "price", "price forecast"),
        ("weather.csv", "temperature", "temperature forecast"),
    ):
        table = pd.read_csv(folder / name)
        table[forecast] = table[column] + random.normal(0.0, 5.0, len(table)).round(2)
        table.to_csv(folder / name, index=False)
    text = (folder / "case.toml").read_text(encoding="utf-8")
    text = text[: text.index("[tariff.imports]")] + text[text.index("[days]") :]
    for each in (folder, tmp_path / "perfect"):
        (each / "case.toml").write_text(text, encoding="utf-8")
    case, perfect = load_case(folder), load_case(tmp_path / "perfect")
    case.save(tmp_path / "copy")
    assert load_case(tmp_path / "copy") == case
    told, known = (make_simulator(case=each).reset(days=[3]).day for each in (case, perfect))
    for name in ("import_price", "export_price", "outdoor_temperature", "demand"):
        assert torch.equal(getattr(told, name), getattr(known, name)), name
    assert not torch.equal(told.shared_observation, known.shared_observation)
    # 5 per MWh, normal: 0.8 of that on average, to its spread over 3,840 quarter-hours.
    days = case.days.load("train", case.clock)
    assert days.price_forecast is not None
    error = (days.price_forecast - days.day_ahead_price).abs().mean()
    assert error.item() == pytest.approx(0.8e-3 * 5.0, rel=0.05)
