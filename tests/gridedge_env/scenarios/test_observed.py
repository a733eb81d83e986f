from __future__ import annotations

import csv
import gzip
from datetime import date, datetime, time, timedelta, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import torch

from gridedge_env import scenarios
from gridedge_env.scenarios import SPLITS, load_days

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
