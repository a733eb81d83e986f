from __future__ import annotations

from datetime import datetime, timedelta, timezone

import numpy as np
import pandas as pd
import pytest

from gridedge_env.scenarios.series import Faults, Series, by_local_day, read_weather

OPEN_METEO = """latitude,longitude,elevation,utc_offset_seconds,timezone,timezone_abbreviation
52.09,5.12,4.0,7200,Europe/Amsterdam,GMT+2

time,temperature_2m (°C),shortwave_radiation (W/m²),wind_speed_10m (km/h)
2024-07-01T06:00,14.5,100.0,3
2024-07-01T07:00,15.5,200.0,3
2024-07-01T08:00,16.5,,3
2024-07-01T09:00,17.5,400.0,3
"""


def read(tmp_path, text: str, name: str = "weather.csv", **options) -> Series:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return read_weather(path, **options)


@pytest.mark.parametrize(
    "header",
    [
        "timestamp,outdoor temperature,irradiance",
        "time,T2M,GHI",
        "date,Temperature [°C],Global radiation (W/m2)",
        "timestamp,outdoor_temperature_c,irradiance_w_m2",
    ],
)
def test_plain_columns(header, tmp_path):
    text = header + "\n2024-01-01T00:00Z,-3.5,0\n2024-01-01T00:30Z,-3,12.5\n"
    series = read(tmp_path, text)
    assert series.begin == datetime(2024, 1, 1, tzinfo=timezone.utc)
    assert (series.minutes, series.names) == (30, ("temperature", "irradiance"))
    assert series.values.tolist() == [[-3.5, 0.0], [-3.0, 12.5]]
    assert series.notes == ()


def test_forecasts_and_other_columns(tmp_path):
    text = (
        "timestamp,irradiance forecast,irradiance,wind,temperature,temperature_forecast\n"
        "2024-01-01T00:00Z,1,2,9,3,4\n2024-01-01T01:00Z,5,6,9,7,8\n"
    )
    series = read(tmp_path, text)
    assert series.names == (
        "temperature", "irradiance", "temperature_forecast", "irradiance_forecast"
    )  # fmt: skip
    assert series.values.tolist() == [[3, 2, 4, 1], [7, 6, 8, 5]]
    assert "left out: column 'wind'" in series.notes[0]


def test_parquet(tmp_path):
    index = pd.date_range("2024-01-01", periods=3, freq="15min", tz="UTC", name="timestamp")
    frame = pd.DataFrame({"temperature": [1.0, 2.0, 3.0], "ghi": [0.0, 0.0, 5.0]}, index)
    frame.to_parquet(tmp_path / "weather.parquet")
    series = read_weather(tmp_path / "weather.parquet")
    assert series.minutes == 15
    assert series.values.tolist() == frame.to_numpy().tolist()


@pytest.mark.parametrize("missing", ["", "NaN", "-999", "-999.0", "-9999"])
def test_short_gaps_are_interpolated(missing, tmp_path):
    """Three hours of both are, four are not; 9999 is irradiance that is missing."""
    rows = [[f"2024-01-01T{n:02d}:00Z", str(n), str(10 * n)] for n in range(24)]
    for n in (3, 4, 5, 10, 11, 12, 13):
        rows[n][1:] = [missing, "9999"]
    series = read(tmp_path, "\n".join(map(",".join, [["time", "temp", "ghi"], *rows])))
    np.testing.assert_allclose(series.values[3:6], [[3, 30], [4, 40], [5, 50]])
    assert np.isnan(series.values[10:14]).all()
    assert not np.isnan(series.values[14:]).any()


def test_night_just_below_zero_is_zero(tmp_path):
    text = "time,temp,ghi\n2024-01-01T00:00Z,1,-2.5\n2024-01-01T01:00Z,1,3\n"
    series = read(tmp_path, text)
    assert series.values[:, 1].tolist() == [0.0, 3.0]
    assert "1 values of irradiance just below zero are read as zero" in series.notes[0]


def test_open_meteo(tmp_path):
    """06:00 at +02:00 is 04:00 UTC; radiation there is that of the hour from 03:00 to 04:00."""
    series = read(tmp_path, OPEN_METEO, time_zone="Asia/Tokyo")
    assert series.begin == datetime(2024, 7, 1, 3, tzinfo=timezone.utc)
    np.testing.assert_array_equal(
        series.values, [[np.nan, 100], [14.5, 200], [15.5, 300], [16.5, 400], [17.5, np.nan]]
    )
    assert "times are +2 h from UTC all year (it says Europe/Amsterdam)" in series.notes[1]


def test_open_meteo_keeps_its_offset_through_clock_changes(tmp_path):
    """Its times are at the one offset that it states, on 31 March 2024, too."""
    rows = [f"{datetime(2024, 3, 31) + timedelta(hours=n):%Y-%m-%dT%H:%M},{n},1" for n in range(24)]
    head = OPEN_METEO.splitlines()[:4]
    head[3] = "time,temperature_2m (°C),shortwave_radiation (W/m²)"
    series = read(tmp_path, "\n".join([*head, *rows]))
    assert series.begin == datetime(2024, 3, 30, 21, tzinfo=timezone.utc)
    assert series.values[1:, 0].tolist() == list(range(24))


def epw(rows: list[str], offset: str = "-5.0") -> str:
    head = [f"LOCATION,Albany,NY,USA,TMY3,725180,42.75,-73.80,{offset},89.0"]
    head += ["DESIGN CONDITIONS,0", "TYPICAL/EXTREME PERIODS,0", "GROUND TEMPERATURES,0"]
    head += ["HOLIDAYS/DAYLIGHT SAVINGS,No,0,0,0", 'COMMENTS 1,"x, y"', "COMMENTS 2", "DATA"]
    return "\n".join([*head, *rows])


def epw_row(year: int, month: int, day: int, hour: int, dry_bulb: str, radiation: str) -> str:
    middle = "1.0,50,99000,0,0,300"
    rest = "0,0,9999,9999,9999,9999,180,2.0,0,0,16.1,77777,9,999999999,60,0.08,0,88,0.2,0,1.0"
    return f"{year},{month},{day},{hour},0,?9?9,{dry_bulb},{middle},{radiation},{rest}"


def test_epw(tmp_path):
    """Hour 1 ends at 01:00 at −05:00, so it begins at 05:00 UTC."""
    hours = [epw_row(1999, 7, 1, n, f"{n}.5", str(10 * n)) for n in range(1, 25)]
    hours += [epw_row(1999, 7, 2, n, "99.9" if n == 2 else f"{n}.0", "9999" if n == 2 else "7")
              for n in (1, 2, 3)]  # fmt: skip
    series = read(tmp_path, epw(hours), "weather.epw")
    assert series.begin == datetime(1999, 7, 1, 5, tzinfo=timezone.utc)
    assert (series.minutes, series.names) == (60, ("temperature", "irradiance"))
    assert series.values[[0, 23]].tolist() == [[1.5, 10.0], [24.5, 240.0]]
    assert series.values[24:].tolist() == [[1.0, 7.0], [2.0, 7.0], [3.0, 7.0]]


def test_epw_of_a_typical_year(tmp_path):
    """January of 1988 and February of 1995 stand for one year, which may be chosen."""
    hours = [epw_row(1988, 1, 31, n, "1.0", "5") for n in range(1, 25)]
    hours += [epw_row(1995, 2, 1, n, "2.0", "6") for n in range(1, 24)]
    series = read(tmp_path, epw(hours, "+5.5"))
    assert series.begin == datetime(1988, 1, 30, 18, 30, tzinfo=timezone.utc)
    assert len(series.values) == 47
    assert "has months of 2 years; they stand for 1988" in series.notes[0]
    series = read(tmp_path, epw(hours, "+5.5"), year=2023)
    assert series.begin == datetime(2023, 1, 30, 18, 30, tzinfo=timezone.utc)
    days, values = by_local_day(series, "Asia/Kolkata")
    assert [str(day) for day in days] == ["2023-01-31"]
    assert (values == [1.0, 5.0]).all()


PLAIN = "time,temp,ghi\n2024-01-01T00:00Z,{},{}\n2024-01-01T01:00Z,2,3\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (PLAIN.format(280, 1), r"row 2, column 'temp': got 280, expected temperature from -90"),
        (PLAIN.format(1, 5000), r"row 2, column 'ghi': got 5000, expected irradiance from -20"),
        (PLAIN.format(1, "True"), r"row 2, column 'ghi': got 'True', expected a number"),
        (PLAIN.replace("temp", "temp (°F)").format(1, 1), r"row 1, column 'temp \(°F\)': got a name"
         r" that says '°F', expected °C"),
        (PLAIN.replace("ghi", "rain").format(1, 1), r"row 1: got the columns 'temp', 'rain', "
         r"expected one named 'irradiance'"),
        (PLAIN.format(1, 1).replace("3\n", "\n").replace(",1\n", ",\n"), r"got no irradiance in"),
        (OPEN_METEO.replace("7200", "summer"), r"row 2, column 'utc_offset_seconds': got 'summer'"),
        (OPEN_METEO.replace("time,", "hour,"), r"got no line that begins with 'time'"),
        (epw([epw_row(1999, 1, 1, 25, "1", "1")]), r"row 9, column 'hour': got 1999-1-1 hour 25"),
        (epw([epw_row(1999, 2, 29, 1, "1", "1")]), r"row 9, column 'hour': got 1999-2-29 hour 1"),
        (epw([epw_row(1999, 1, 1, 1, "x", "1")]), r"row 9, column 'dry bulb temperature': got 'x'"),
        (epw([], "5")[:-5], r"got 7 lines, expected 8 of header"),
        (epw(["1999,1,1"], "east"), r"row 1, column 'LOCATION, ninth cell': got 'east'"),
    ],
)  # fmt: skip
def test_mistakes(text, message, tmp_path):
    with pytest.raises(Faults, match=message):
        read(tmp_path, text)


def test_a_year_is_for_epw_alone(tmp_path):
    with pytest.raises(Faults, match="got the year 2023 for a file with years of its own"):
        read(tmp_path, PLAIN.format(1, 1), year=2023)
    with pytest.raises(ValueError, match="year: got 99, expected a whole number from 1940"):
        read(tmp_path, PLAIN.format(1, 1), year=99)
