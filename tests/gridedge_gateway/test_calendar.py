"""Steps of local days, on which clocks change or not, and series over them."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from gridedge_gateway.calendar import MOST_KEPT, NOTHING, Calendar, Series, learnt

AMSTERDAM = ZoneInfo("Europe/Amsterdam")
# On which clocks go forward at 2:00, on which back at 3:00, and another one.
SPRING, AUTUMN, ORDINARY = date(2026, 3, 29), date(2026, 10, 25), date(2026, 1, 15)
HALF_HOURS = Calendar(AMSTERDAM, 30, 1)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def utc(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%m-%d %H:%M")


def midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=AMSTERDAM).astimezone(timezone.utc)


@pytest.mark.parametrize(("day", "steps"), [(SPRING, 92), (ORDINARY, 96), (AUTUMN, 100)])
def test_days_have_as_many_quarter_hours_as_they_are_long(day, steps):
    calendar = Calendar(AMSTERDAM, 15, 1)
    end = midnight(day + timedelta(days=1))
    times = [midnight(day) + timedelta(minutes=15 * number) for number in range(steps)]
    assert times[-1] + timedelta(minutes=15) == end
    found = [calendar.step(time + timedelta(minutes=14, seconds=59)) for time in times]
    assert [step.time for step in found] == times
    assert {step.episode for step in found} == {day}
    hours = {92: [0, 1, *range(3, 24)], 96: range(24), 100: [0, 1, 2, 2, *range(3, 24)]}[steps]
    assert [step.number for step in found] == [
        4 * hour + part for hour in hours for part in range(4)
    ]
    assert calendar.step(end).number == 0
    assert calendar.step(end).episode == day + timedelta(days=1)


def test_a_time_in_any_zone_is_in_the_step_of_the_case():
    step = HALF_HOURS.step(at("2026-01-14T23:59:59+00:00"))
    assert (step.number, step.episode, step.time) == (1, ORDINARY, at("2026-01-14T23:30:00+00:00"))


def test_episodes_of_a_week_begin_on_mondays():
    week = Calendar(AMSTERDAM, 60, 7)
    step = week.step(at("2026-01-15T05:10:00+01:00"))  # a Thursday
    assert step.episode == date(2026, 1, 12)
    assert step.number == 3 * 24 + 5
    assert week.dates(step.episode)[-1] == date(2026, 1, 18)
    assert week.begins(step.episode).shape == (7, 24)


def test_steps_that_clocks_skip_are_those_of_the_hour_before_and_repeated_ones_the_first():
    spring, autumn = (HALF_HOURS.begins(day)[0] for day in (SPRING, AUTUMN))
    assert [utc(spring[number]) for number in (3, 4, 5, 6)] == [
        "03-29 00:30",
        "03-29 00:00",
        "03-29 00:30",
        "03-29 01:00",
    ]
    assert [utc(autumn[number]) for number in (3, 4, 5, 6)] == [
        "10-24 23:30",
        "10-25 00:00",
        "10-25 00:30",
        "10-25 02:00",
    ]


@pytest.mark.parametrize(
    ("time", "hour", "counted"),
    [
        ("2026-01-15T01:00:00+01:00", 7.5, 7.5),
        ("2026-03-29T01:00:00+01:00", 7.5, 6.5),  # an hour less until then
        ("2026-03-29T03:30:00+02:00", 7.5, 7.5),
        ("2026-03-29T12:00:00+02:00", 1.0, 1.0),  # it was then
        ("2026-10-25T01:00:00+02:00", 7.5, 8.5),  # an hour more
        ("2026-10-25T02:30:00+02:00", 7.5, 8.5),
        ("2026-10-25T02:30:00+01:00", 7.5, 7.5),  # the second time round
    ],
)
def test_hours_count_by_the_time_that_is_left(time, hour, counted):
    assert HALF_HOURS.step(at(time)).hour(hour) == counted


def test_values_hold_until_the_next_and_steps_have_their_mean():
    """Quarter-hours of 1 to 4, then 8 for an hour, of which it is not said how long it holds."""
    begin = midnight(ORDINARY)
    quarters = {begin + timedelta(minutes=15 * number): number + 1.0 for number in range(4)}
    said = {**quarters, begin + timedelta(hours=1): 8.0, begin + timedelta(hours=2): 9.0}
    series = Series.of(said)
    begins = HALF_HOURS.begins(ORDINARY)[0, :7]
    np.testing.assert_array_equal(series.means(begins, 30), [1.5, 3.5, 8.0, 8.0, 9.0, 9.0, np.nan])
    assert np.isnan(series.means(begins - 1800.0, 30)[0])
    assert np.isnan(NOTHING.means(begins, 30)).all()


def test_a_value_holds_for_six_hours_at_most_and_a_single_one_for_one():
    begin = midnight(ORDINARY)
    begins = HALF_HOURS.begins(ORDINARY)[0]
    single = Series.of({begin: 1.0})
    assert np.isfinite(single.means(begins, 30)).sum() == 2
    gap = Series.of({begin: 1.0, begin + timedelta(hours=20): 2.0})
    known = np.isfinite(gap.means(begins, 30))
    assert known.tolist() == [True] * 12 + [False] * 28 + [True] * 8


def test_newer_values_replace_older_ones_and_those_said_first_are_let_go():
    first, second = midnight(ORDINARY), midnight(ORDINARY) + timedelta(hours=1)
    known = learnt({first: 1.0, second: 2.0}, {first.astimezone(AMSTERDAM): 3.0}, first)
    assert known == {first: 3.0, second: 2.0}
    quarters = [first + timedelta(days=99, minutes=15 * number) for number in range(MOST_KEPT - 1)]
    known = learnt(known, dict.fromkeys(quarters, 4.0), first)
    assert len(known) == MOST_KEPT
    assert known[first] == 3.0  # said after the other
    known = learnt({first: 1.0}, dict.fromkeys([first, *quarters, *quarters[:9]], 5.0), first)
    assert known[first] == 5.0
    year = {first + timedelta(minutes=5 * number): number for number in range(100_000)}
    assert set(learnt(known, year, first)) == set(list(year)[:MOST_KEPT])


@pytest.mark.parametrize(
    ("zone", "day"),
    [("Atlantic/Azores", SPRING), ("Africa/Cairo", date(2026, 4, 24)), ("Europe/Lisbon", SPRING)],
)
def test_a_day_without_a_midnight_is_known_by_what_is_published_of_it(zone, day):
    calendar, begin = Calendar(ZoneInfo(zone), 30, 1), datetime(day.year, day.month, day.day, 12)
    noon = begin.replace(tzinfo=ZoneInfo(zone)).astimezone(timezone.utc)
    steps = [noon + timedelta(minutes=30 * number) for number in range(-48, 48)]
    of_day = {
        time: float(number)
        for number, time in enumerate(steps)
        if time.astimezone(ZoneInfo(zone)).date() == day
    }
    assert len(of_day) == 46
    means = Series.of(of_day).means(calendar.begins(day)[0], 30)
    assert np.isfinite(means).all()
    assert means[0] == means.min() == min(of_day.values())
