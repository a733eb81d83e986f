"""Clock time in zones with clock changes, both halves of the Earth."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from gridedge_env.scenarios.series import Faults, by_local_day, notes_of_days, read_meters
from gridedge_env.scenarios.series.local_time import _offsets

# Zone, midnight in UTC at which the day of the change begins, and the hours that it has.
CHANGES = [
    ("Europe/Amsterdam", "2024-03-30 23:00", 23),  # 02:00 is skipped
    ("Europe/Amsterdam", "2024-10-26 22:00", 25),  # 02:00 comes twice
    ("America/New_York", "2024-03-10 05:00", 23),
    ("America/New_York", "2024-11-03 04:00", 25),  # 01:00 comes twice
    ("Australia/Sydney", "2024-04-06 13:00", 25),  # 02:00 comes twice
    ("Australia/Sydney", "2024-10-05 14:00", 23),
]


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc)


def clock_rows(zone: str, begin: datetime, minutes: int, steps: int, late: int = 0) -> list[str]:
    """Lines of clock time and the number of the step, each `late` minutes after it begins."""
    moments = [begin + timedelta(minutes=minutes * n + late) for n in range(steps)]
    clock = [moment.astimezone(ZoneInfo(zone)) for moment in moments]
    return [f"{moment:%Y-%m-%d %H:%M},{n / 10 + 0.5}" for n, moment in enumerate(clock)]


def read(tmp_path, rows, zone, **options):
    path = tmp_path / "meters.csv"
    path.write_text("\n".join(["timestamp,kitchen", *rows]))
    return read_meters(path, time_zone=zone, **options)


def numbered(steps: int) -> np.ndarray:
    return np.arange(steps)[:, None] / 10 + 0.5


@pytest.mark.parametrize("minutes", [15, 30, 60])
@pytest.mark.parametrize("stamps", ["begin", "end"])
@pytest.mark.parametrize(("zone", "midnight", "hours"), CHANGES)
def test_steps_go_on_through_clock_changes(zone, midnight, hours, stamps, minutes, tmp_path):
    """The day before, that of the change and the day after, as many steps as hours pass."""
    begin, steps = utc(midnight) - timedelta(days=1), (hours + 48) * 60 // minutes
    rows = clock_rows(zone, begin, minutes, steps, late=minutes if stamps == "end" else 0)
    series = read(tmp_path, rows, zone, stamps=stamps)
    assert (series.begin, series.minutes, series.notes) == (begin, minutes, ())
    np.testing.assert_array_equal(series.values, numbered(steps))
    days, values = by_local_day(series, zone)
    change = begin.astimezone(ZoneInfo(zone)).date() + timedelta(days=1)
    assert days == (change - timedelta(days=1), change + timedelta(days=1))
    assert values.shape == (2, 24 * 60 // minutes, 1)
    assert values[1, 0, 0] == (24 + hours) * 60 // minutes / 10 + 0.5
    assert notes_of_days(series, zone) == (f"Left out, as clocks change: {change}.",)


@pytest.mark.parametrize(("zone", "midnight", "hours"), CHANGES)
def test_newest_first_is_read_alike(zone, midnight, hours, tmp_path):
    rows = clock_rows(zone, utc(midnight), 30, 2 * hours)
    series = read(tmp_path, rows[::-1], zone)
    np.testing.assert_array_equal(series.values, numbered(2 * hours))
    assert series.notes == (f"{tmp_path}/meters.csv: rows are not in order of time; sorted.",)


def test_ends_as_the_clock_at_the_beginning_plus_the_step(tmp_path):
    """Then 02:30 and 03:00 come twice on 27 October, not 02:00 and 02:30."""
    rows = [f"2024-10-27 {clock},{n / 10 + 0.5}" for n, clock in enumerate(
        ["01:30", "02:00", "02:30", "03:00", "02:30", "03:00", "03:30"]
    )]  # fmt: skip
    series = read(tmp_path, rows, "Europe/Amsterdam", stamps="end")
    assert series.begin == utc("2024-10-26 23:00")
    np.testing.assert_array_equal(series.values, numbered(7))


def test_rows_of_several_meters_have_their_own_order(tmp_path):
    """01:00 to 03:00 in Amsterdam on 27 October: four hours from 23:00 UTC, for each meter."""
    clock = ["01:00", "02:00", "02:00", "03:00"]
    rows = [f"2024-10-27T{at},{name},{n + shift}" for n, at in enumerate(clock)
            for name, shift in (("a", 1), ("b", 11))]  # fmt: skip
    path = tmp_path / "meters.csv"
    path.write_text("\n".join(["timestamp,meter,value", *rows]))
    series = read_meters(path)
    assert series.begin == utc("2024-10-26 23:00")
    assert series.values.T.tolist() == [[1, 2, 3, 4], [11, 12, 13, 14]]


@pytest.mark.parametrize("case", ["once", "side by side"])
def test_a_repeated_hour_without_order_drops_its_day(case, tmp_path):
    rows = clock_rows("Europe/Amsterdam", utc("2024-10-25 22:00"), 30, 2 * 73)
    first = next(n for n, row in enumerate(rows) if row.startswith("2024-10-27 02:00"))
    if case == "once":
        del rows[first + 2 : first + 4]
    else:
        rows[first : first + 4] = [rows[first + n] for n in (0, 2, 1, 3)]
    series = read(tmp_path, rows, "Europe/Amsterdam")
    assert "2024-10-27 is left out: clocks repeat an hour" in series.notes[0]
    assert np.isnan(series.values[48:98]).all()
    assert not np.isnan(series.values[:48]).any()
    assert not np.isnan(series.values[98:]).any()
    assert by_local_day(series, "Europe/Amsterdam")[0] == (date(2024, 10, 26), date(2024, 10, 28))


def test_standard_time_all_year_is_noted_and_its_zone_asked_for(tmp_path):
    """On 31 March 2024 the file has an hour that clocks in Amsterdam skip."""
    begin = datetime(2024, 3, 30)
    rows = [f"{begin + timedelta(hours=n)},{n / 10 + 0.5}" for n in range(72)]
    series = read(tmp_path, rows, "Europe/Amsterdam")
    assert len(series.notes) == 1
    assert "2024-03-31 is left out: clocks skip an hour in it" in series.notes[0]
    assert "Etc/GMT-1" in series.notes[0]
    assert by_local_day(series, "Europe/Amsterdam")[0] == (date(2024, 3, 30), date(2024, 4, 1))
    series = read(tmp_path, rows, "Etc/GMT-1")
    np.testing.assert_array_equal(series.values, numbered(72))


@pytest.mark.parametrize(
    "texts",
    [
        ["2024-10-27T00:00Z", "2024-10-27T01:00Z", "2024-10-27T02:00Z"],
        ["2024-10-27T02:00+02", "2024-10-27T02:00+01", "2024-10-27T03:00+01"],
        ["2024-10-27 02:00:00+0200", "2024-10-27 02:00:00+0100", "2024-10-27 03:00:00+0100"],
        ["2024-10-27T02:00+02:00", "2024-10-27T02:00+01:00", "2024-10-27T03:00:00.000+01:00"],
        ["2024-10-26T18:30-05:30", "2024-10-26T19:30-05:30", "2024-10-26 20:30 -05:30"],
        ["27.10.2024 00:00 UTC", "27.10.2024 01:00 UTC", "27.10.2024 02:00 UTC"],
        ["2024-10-27T02:00+02:00[Europe/Berlin]", "2024-10-27T02:00+01:00", "2024-10-27T03:00+01"],
    ],
)
def test_every_form_of_offset(texts, tmp_path):
    """Three hours from midnight UTC, through the hour that comes twice in Amsterdam."""
    series = read(
        tmp_path, [f"{text},{n / 10 + 0.5}" for n, text in enumerate(texts)], "Asia/Tokyo"
    )
    assert series.begin == utc("2024-10-27 00:00")
    np.testing.assert_array_equal(series.values, numbered(3))


@pytest.mark.parametrize(
    "texts",
    [
        ["2023-12-31 23:00", "2024-01-01 00:00", "2024-01-01 01:00"],
        ["2023-12-31T23:00:00", "2023-12-31T24:00:00", "2024-01-01T01:00:00"],
        ["2023/12/31 23:00", "2024/1/1 0:00", "2024/1/1 1:00"],
        ["31.12.2023 23:00", "01.01.2024", "1.1.2024 01:00"],
        ["31-12-2023 23:00", "01-01-2024 00:00", "01-01-2024 01:00"],
        ["12/31/2023 23:00", "01/01/2024 00:00", "01/01/2024 01:00"],
        ["31/12/2023 23:00:00 - 01/01/2024 00:00:00", "01/01/2024 00:00", "01/01/2024 01:00"],
    ],
)
def test_every_form_of_clock_time(texts, tmp_path):
    """Three hours from 23:00 in Amsterdam, 22:00 UTC."""
    rows = [f"{text},{n / 10 + 0.5}" for n, text in enumerate(texts)]
    series = read(tmp_path, rows, "Europe/Amsterdam")
    assert series.begin == utc("2023-12-31 22:00")
    np.testing.assert_array_equal(series.values, numbered(3))


@pytest.mark.parametrize(
    "zone", ["America/Sao_Paulo", "Asia/Beirut", "Australia/Lord_Howe", "Africa/Casablanca"]
)
def test_clocks_that_change_at_midnight_or_by_half_an_hour(zone):
    """Asked once a day where that is enough, the offsets of two years are Python's own."""
    begin = datetime(2017, 1, 1)
    times = int(begin.replace(tzinfo=timezone.utc).timestamp()) + 1800 * np.arange(2 * 365 * 48)
    for fold in (0, 1):
        expected = [
            (begin + timedelta(minutes=30 * n)).replace(tzinfo=ZoneInfo(zone), fold=fold)
            for n in range(len(times))
        ]
        offsets = [moment.utcoffset() or timedelta(0) for moment in expected]
        seconds = [int(offset.total_seconds()) for offset in offsets]
        np.testing.assert_array_equal(_offsets(times, ZoneInfo(zone), fold), seconds)


def test_a_name_that_says_utc_is_believed(tmp_path):
    path = tmp_path / "meters.csv"
    path.write_text("date_utc,a\n2024-07-01 00:00,1\n2024-07-01 01:00,2\n")
    series = read_meters(path, time_zone="America/New_York")
    assert series.begin == utc("2024-07-01 00:00")
    assert "'date_utc' says that its times are UTC" in series.notes[0]


def test_dates_that_could_be_read_both_ways_are_faults(tmp_path):
    with pytest.raises(Faults, match=r"row 2, column 'timestamp': got '01/02/2024 00:00'"):
        read(tmp_path, ["01/02/2024 00:00,1", "01/02/2024 01:00,1"], "Europe/Amsterdam")


def test_days_that_begin_within_a_step_are_refused(tmp_path):
    """Hours of UTC are half-hours in Kolkata."""
    series = read(tmp_path, [f"2024-01-01T{n:02d}:00Z,1" for n in range(24)], "UTC")
    with pytest.raises(ValueError, match=r"time_zone: got 'Asia/Kolkata', where days begin within"):
        by_local_day(series, "Asia/Kolkata")
    with pytest.raises(ValueError, match=r"time_zone: got 'Kolkata', expected an IANA name"):
        by_local_day(series, "Kolkata")
