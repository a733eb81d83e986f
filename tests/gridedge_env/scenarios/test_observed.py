from __future__ import annotations

import csv
import gzip
from datetime import date, datetime, time, timedelta, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest
import torch

from gridedge_env import scenarios
from gridedge_env.clock import Clock
from gridedge_env.scenarios import SPLITS, DayTable, ObservedDays
from gridedge_env.scenarios.observed import _slope


def load_days(split: str, minutes: int = 30) -> DayTable:
    return ObservedDays().load(split, Clock.of_minutes(minutes))


TABLE = Path(scenarios.__file__).parent / "data" / "exogenous_halfhourly.csv.gz"


@pytest.fixture(scope="module")
def record() -> dict[str, dict[str, str]]:
    """The shipped rows by their UTC timestamp, read by other means than the package's."""
    with gzip.open(TABLE, "rt") as lines:
        return {row["utc"]: row for row in csv.DictReader(lines)}


@pytest.mark.parametrize("split", SPLITS)
def test_every_half_hour_is_the_record_of_its_local_time(split, record):
    days = load_days(split)
    zone = ZoneInfo("Europe/Amsterdam")
    for day, temperature, sun, price in zip(
        days.dates,
        days.outdoor_temperature.tolist(),
        days.irradiance.tolist(),
        days.day_ahead_price.tolist(),
        strict=True,
    ):
        midnight = datetime.combine(day, time(), zone).astimezone(timezone.utc)
        for step in range(0, 48, 5):
            row = record[f"{midnight + timedelta(minutes=30 * step):%Y-%m-%d %H:%M:%S}"]
            # The table is float32 (7 digits), the record has at most 6.
            assert temperature[step] == pytest.approx(float(row["t_out_c"]), rel=1e-6)
            assert sun[step] == pytest.approx(float(row["ghi_w_m2"]), rel=1e-6)
            assert price[step] == pytest.approx(float(row["price_da_eur_mwh"]) / 1000, rel=1e-6)


@pytest.mark.parametrize(
    ("split", "count", "left_out"),
    [
        ("train", 362, ["2023-01-01", "2023-03-26", "2023-10-29"]),
        ("validation", 362, ["2021-01-01", "2021-03-28", "2021-10-31"]),
        ("test", 363, ["2024-01-01", "2024-03-31", "2024-10-27"]),
    ],
)
def test_days_left_out_are_the_clock_changes_and_the_incomplete_first(split, count, left_out):
    days = load_days(split)
    first = date.fromisoformat(left_out[0])
    whole_year = {first + timedelta(days=n) for n in range(count + 3)}
    assert {day.isoformat() for day in whole_year - set(days.dates)} == set(left_out)
    assert len(days.dates) == count
    assert list(days.dates) == sorted(days.dates)


def test_shapes_and_calendar():
    days = load_days("test")
    for field in (days.outdoor_temperature, days.irradiance, days.day_ahead_price):
        assert field.shape == (363, 48)
        assert field.dtype == torch.float32
        assert field.isfinite().all()
    leap_day = days.dates.index(date(2024, 2, 29))  # a Thursday
    assert days.month[leap_day] == 1
    assert not days.weekend[leap_day]
    assert days.weekend[leap_day + 2 : leap_day + 4].all()  # 2 and 3 March


def test_the_sun_is_highest_when_it_should_be():
    """Aachen lies at 6.08° east: solar noon is 12:00 + (15 − 6.08)·4 min = 12:36 CET, 13:36 CEST.

    The equation of time stays within 1 minute in the second half of June; the centroid of the
    half-hours' midpoints may miss solar noon by as much as mornings and afternoons differ in cloud:
    half an hour is allowed. An error of one hour in the conversion would show.
    """
    days = load_days("train")
    june = days.irradiance[days.month == 5].sum(dim=0)
    midpoint = torch.arange(48) / 2 + 0.25
    assert (june @ midpoint / june.sum()).item() == pytest.approx(13.6, abs=0.5)


def test_to_changes_the_dtype_of_measured_quantities_only():
    days = load_days("train").to("cpu", torch.float64)
    assert days.day_ahead_price.dtype == torch.float64
    assert days.month.dtype == torch.int64
    assert days.weekend.dtype == torch.bool


def test_unknown_split_is_named():
    with pytest.raises(ValueError, match=r"split: got 'tets', expected one of 'train', .*'test'"):
        load_days("tets")


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("minutes", [15, 60])
def test_steps_of_another_length_keep_every_hour(split, minutes):
    """The mean of an hour's steps is its half-hours': to the rounding of numbers of 1,000."""
    days, other = load_days(split), load_days(split, minutes)
    assert other.dates == days.dates
    assert torch.equal(other.month, days.month)
    for name in ("outdoor_temperature", "irradiance", "day_ahead_price"):
        hourly, expected = (
            getattr(table, name).double().unflatten(1, (24, -1)).mean(dim=2)
            for table in (other, days)
        )
        torch.testing.assert_close(hourly, expected, rtol=0.0, atol=1e-4)


def test_quarter_hours_follow_the_slope():
    """Half-hours of 2, 3 and 5 °C: the middle one rises by 3 / 2 a step, its halves are 3 ∓ 3 / 8.

    The sun's are cut where one would be negative; a price is the same in both.
    """
    slope = _slope(np.array([2.0, 3.0, 5.0]))
    assert slope[1] == pytest.approx(3.0 / 8.0)
    assert _slope(np.array([0.0, 1.0, 100.0, 0.0]), least=0.0).tolist() == [0.0, 1.0, -0.125, 0.0]
    days, quarters = load_days("train"), load_days("train", 15)
    assert torch.equal(quarters.day_ahead_price, days.day_ahead_price.repeat_interleave(2, dim=1))
    assert (quarters.irradiance >= 0.0).all()
    assert (quarters.outdoor_temperature[:, ::2] != quarters.outdoor_temperature[:, 1::2]).any()


def test_the_same_table_at_every_call():
    assert load_days("train", 60) is load_days("train", 60)
