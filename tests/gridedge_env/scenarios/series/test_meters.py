from __future__ import annotations

import gzip
from datetime import date, datetime, timedelta, timezone

import numpy as np
import pandas as pd
import pytest

from gridedge_env.scenarios.series import Faults, Series, by_local_day, notes_of_days, read_meters

BEGIN = datetime(2024, 1, 1, tzinfo=timezone.utc)
WIDE = "timestamp,kitchen,Haus Nr. 5\n2024-01-01T00:00Z,0.5,1.25\n2024-01-01T00:15Z,2,-3.5\n"
LONG = (
    "value,home,time\n"
    "-3.5,Haus Nr. 5,2024-01-01T00:15Z\n"
    "0.5,kitchen,2024-01-01T00:00Z\n"
    "1.25,Haus Nr. 5,2024-01-01T00:00Z\n"
    "2,kitchen,2024-01-01T00:15Z\n"
)


def read(tmp_path, content, name="meters.csv", **options) -> Series:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_meters(path, **options)


def quarters(values: list[str], first: str = "2024-01-01T00:00Z") -> str:
    """A file of one meter, a quarter of an hour for each value."""
    begin = pd.Timestamp(first)
    rows = [f"{begin + timedelta(minutes=15 * n)},{value}" for n, value in enumerate(values)]
    return "\n".join(["timestamp,a", *rows])


@pytest.fixture
def reference(tmp_path) -> Series:
    series = read(tmp_path, WIDE)
    assert (series.begin, series.minutes) == (BEGIN, 15)
    assert series.names == ("kitchen", "Haus Nr. 5")
    assert series.values.tolist() == [[0.5, 1.25], [2.0, -3.5]]
    assert series.notes == ()
    return series


SEMICOLONS = (
    WIDE.replace(",", ";").replace(".25", ",25").replace("0.5", "0,5").replace("3.5", "3,5")
)


@pytest.mark.parametrize(
    "content",
    [
        WIDE.replace("\n", "\r\n"),
        WIDE.replace("\n", "\r"),
        WIDE.replace(",", ";"),
        WIDE.replace(",", "\t"),
        SEMICOLONS,
        "sep=;\n" + SEMICOLONS,
        WIDE.replace("0.5", '"0,5"').replace("1.25", '"1,25"').replace("-3.5", '"-3,5"'),
        WIDE.replace("0.5", " 5e-1 ").replace("kitchen", '"kitchen"'),
        "\n\n" + WIDE.replace("\n", "\n\n") + "  \n,,\n",
        b"\xef\xbb\xbf" + WIDE.encode(),
        WIDE.encode("utf-16"),
        WIDE.encode("utf-16-le"),
        b"\xfe\xff" + WIDE.encode("utf-16-be"),
        gzip.compress(WIDE.encode(), mtime=0),
    ],
)
def test_forms_of_text(content, reference, tmp_path):
    assert read(tmp_path, content) == reference


def test_latin_1_is_noted(tmp_path):
    series = read(tmp_path, WIDE.replace("kitchen", "Küche").encode("latin-1"))
    assert series.names[0] == "Küche"
    assert "is not UTF-8; read as Latin-1" in series.notes[0]


def test_long_in_any_order(reference, tmp_path):
    """The meters come in the order in which the file names them."""
    series = read(tmp_path, LONG)
    assert series.names == ("Haus Nr. 5", "kitchen")
    assert series.of(reference.names) == reference


@pytest.mark.parametrize("form", ["index", "column", "clock", "long", "categories", "text"])
def test_parquet(form, reference, tmp_path):
    index = pd.DatetimeIndex(["2024-01-01 00:00", "2024-01-01 00:15"], tz="UTC", name="timestamp")
    frame = pd.DataFrame(reference.values, index, reference.names)
    long = frame.reset_index().melt("timestamp", var_name="meter", value_name="power")
    frame = {
        "index": frame.rename_axis(None).tz_convert("Asia/Tokyo"),
        "column": frame.reset_index(),
        "clock": frame.tz_convert("Asia/Tokyo").tz_localize(None),
        "long": long,
        "categories": long.astype({"meter": "category"}),
        "text": frame.reset_index().astype(str),
    }[form]
    frame.to_parquet(tmp_path / "meters.parquet")
    assert read_meters(tmp_path / "meters.parquet", time_zone="Asia/Tokyo") == reference


def test_an_index_that_counts_the_rows_is_left_out(reference, tmp_path):
    lines = WIDE.splitlines()
    text = "\n".join(["," + lines[0], "0," + lines[1], "1," + lines[2]])
    series = read(tmp_path, text)
    np.testing.assert_array_equal(series.values, reference.values)
    assert "column 1 has no name and counts the rows; left out" in series.notes[0]


def test_a_first_column_without_a_name_may_hold_the_times(reference, tmp_path):
    assert read(tmp_path, WIDE.replace("timestamp", "")) == reference


@pytest.mark.parametrize(
    ("unit", "minutes", "factor"),
    [("W", 15, 1e-3), ("kWh", 15, 4.0), ("kWh", 30, 2.0), ("kWh", 60, 1.0), ("Wh", 30, 2e-3)],
)
def test_units(unit, minutes, factor, tmp_path):
    """1 kWh in a quarter of an hour is a mean of 4 kW."""
    rows = [f"{BEGIN + timedelta(minutes=minutes * n)},{20 + n},{-10 - n}" for n in range(3)]
    series = read(tmp_path, "\n".join(["timestamp,a,b", *rows]), unit=unit)
    assert series.minutes == minutes
    np.testing.assert_allclose(series.values[:, 0], np.array([20, 21, 22]) * factor)
    np.testing.assert_allclose(series.values[:, 1], np.array([-10, -11, -12]) * factor)


@pytest.mark.parametrize("missing", ["", "NA", "NaN", "null", "-", "#N/A", '""', "none"])
def test_a_short_gap_is_interpolated(missing, tmp_path):
    """Two of 300 steps are less than 1 %; between 1 and 4 lie 2 and 3."""
    values = ["1"] * 300
    values[100:103] = [missing, missing, "4"]
    series = read(tmp_path, quarters(values))
    np.testing.assert_allclose(series.values[99:103, 0], [1, 2, 3, 4])
    assert series.notes == (
        f"{tmp_path}/meters.csv: 'a': 2 missing values in 1 gaps interpolated.",
    )


def test_a_gap_of_rows_is_one_too(tmp_path):
    lines = quarters(["1"] * 300).splitlines()
    series = read(tmp_path, "\n".join(lines[:50] + lines[52:]))
    assert series.values.shape == (300, 1)
    assert (series.values == 1.0).all()
    assert "2 missing values in 1 gaps" in series.notes[0]


def test_a_long_gap_stays_and_drops_its_days(tmp_path):
    """1 % of 960 steps are 9; ten are too many, on 3 January."""
    values = ["1"] * 960
    values[200:210] = [""] * 10
    series = read(tmp_path, quarters(values))
    assert np.flatnonzero(np.isnan(series.values[:, 0])).tolist() == list(range(200, 210))
    assert "10 values in 1 gaps of up to 2.5 hours are missing; not interpolated" in series.notes[0]
    days, _ = by_local_day(series, "UTC")
    assert len(days) == 9
    assert date(2024, 1, 3) not in days
    assert notes_of_days(series, "UTC") == ("Left out, as 'a' misses values: 2024-01-03.",)


def test_no_gap_is_filled_beyond_six_hours(tmp_path):
    values = ["1"] * 960
    values[200:225] = [""] * 25
    assert np.isnan(read(tmp_path, quarters(values), largest_gap_share=0.5).values).sum() == 25


def test_a_meter_that_comes_late_or_leaves_early(tmp_path):
    rows = [f"{BEGIN + timedelta(hours=n)},1,{n if n > 4 else ''},{n + 1 if n < 20 else ''}"
            for n in range(24)]  # fmt: skip
    series = read(tmp_path, "\n".join(["timestamp,a,late,early", *rows]))
    assert np.isnan(series.values).sum(axis=0).tolist() == [0, 5, 4]
    assert "'late' begins late, at 2024-01-01 05:00 UTC." in series.notes[0]
    assert "'early' ends early, at 2024-01-01 20:00 UTC." in series.notes[1]


def test_rows_that_agree_are_merged(tmp_path):
    text = WIDE + "2024-01-01T00:15Z,2,\n"
    series = read(tmp_path, text)
    assert series.values.tolist() == [[0.5, 1.25], [2.0, -3.5]]
    assert "1 rows repeat another one of the same time; merged" in series.notes[0]


def test_thousands_that_cannot_be_anything_else(tmp_path):
    text = "timestamp;a\n2024-01-01 00:00;1.234,5\n2024-01-01 01:00;900,5\n"
    assert read(tmp_path, text, unit="W").values[:, 0].tolist() == [1.2345, 0.9005]
    text = 'timestamp,a\n2024-01-01 00:00,"1,234.5"\n2024-01-01 01:00,900.5\n'
    assert read(tmp_path, text, unit="W").values[:, 0].tolist() == [1.2345, 0.9005]


def test_any_year(tmp_path):
    for year in (1987, 2051):
        series = read(tmp_path, WIDE.replace("2024", str(year)))
        assert series.begin == datetime(year, 1, 1, tzinfo=timezone.utc)


def test_a_meter_can_be_left_out(tmp_path):
    text = WIDE.replace("2,-3.5", "2,True")
    series = read(tmp_path, text, leave_out=["Haus Nr. 5"])
    assert series.names == ("kitchen",)
    assert "'Haus Nr. 5' is left out, as asked" in series.notes[0]
    series = read(tmp_path, LONG, leave_out=["kitchen"])
    assert series.names == ("Haus Nr. 5",)
    assert series.values[:, 0].tolist() == [1.25, -3.5]


def test_series_compare_by_their_values(reference, tmp_path):
    gap = read(tmp_path, WIDE.replace("2,", ","))
    assert np.isnan(gap.values).any()
    assert gap == read(tmp_path, WIDE.replace("2,", ","))
    assert gap != reference
    assert reference.of(["kitchen"]) != reference
    with pytest.raises(ValueError, match="names: got 'garage', expected one of kitchen"):
        reference.of(["garage"])


def test_wrong_arguments_are_named(tmp_path):
    for options, message in [
        ({"unit": "MW"}, "unit: got 'MW', expected one of kW, W, kWh, Wh"),
        ({"stamps": "middle"}, "stamps: got 'middle', expected 'begin' or 'end'"),
        ({"time_zone": "Mars"}, "time_zone: got 'Mars', expected an IANA name"),
        ({"largest_gap_share": 2}, "largest_gap_share: got 2, expected a share"),
        ({"leave_out": 0.05}, "leave_out: got 0.05, expected a list of meters"),
        ({"leave_out": ["garage"]}, "leave_out: got 'garage', expected a meter of"),
    ]:
        with pytest.raises(ValueError, match=message):
            read(tmp_path, WIDE, **options)
    with pytest.raises(FileNotFoundError, match="no file at"):
        read_meters(tmp_path / "none.csv")


def test_readings_of_a_register_are_refused(tmp_path):
    """A counter of kWh that goes up by 0.1 in every quarter of an hour of a week."""
    counter = [f"{0.1 * n:.1f}" for n in range(7 * 96)]
    with pytest.raises(Faults, match="column 'a': got readings that only rise, expected the kWh"):
        read(tmp_path, quarters(counter), unit="kWh")


def test_date_and_time_in_two_columns_are_told(tmp_path):
    days = "\n".join(f"2024-01-0{n},00:00,0.5" for n in range(1, 8))
    with pytest.raises(Faults, match="date and time of day must stand in one column"):
        read(tmp_path, f"date,from,a\n{days}")
