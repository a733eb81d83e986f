"""Which step of which episode a time is in, and what is known of an episode's steps.

Episodes are local days, from midnight to midnight by the clock on the wall, or some of them in a
row. Where clocks go forward, a day has no steps in the hour that
is left out; where they go back, the hour that comes twice has its steps twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from functools import lru_cache
from typing import TypeAlias
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]

HOUR, DAY = 3600.0, 86400.0  # seconds
# A value holds until the next one's time, but no longer than this; the last one as long as the one
# before it, a single one an hour.
LONGEST_HELD, USUALLY_HELD = 6 * HOUR, HOUR
# Values of a series that are kept, as of a month in quarter-hours.
MOST_KEPT = 3000
# Within a step, what holds is looked at this often, seconds.
SAMPLED = 300.0


def day_of_episode(day: date, days: int) -> int:
    """From 0; episodes of seven days begin on Mondays, as the calendar's first day was one."""
    return (day.toordinal() - 1) % days


@dataclass(frozen=True)
class Step:
    """A step of an episode.

    Attributes:
        begin: local time.
        episode: its first day.
        number: in the episode, by the clock on the wall.
    """

    begin: datetime
    episode: date
    number: int

    @property
    def time(self) -> datetime:
        """The begin, UTC: of local times Python compares what the clock shows."""
        return self.begin.astimezone(timezone.utc)

    def hour(self, hour: float) -> float:
        """An hour of the day such that as many steps are left until then as there is time."""
        midnight = self.begin.replace(hour=0, minute=0, fold=0)
        then = midnight + timedelta(hours=hour)
        if then.replace(tzinfo=None) <= self.begin.replace(tzinfo=None):
            return hour
        ahead = [(time.utcoffset() or timedelta()).total_seconds() for time in (self.begin, then)]
        return hour - (ahead[1] - ahead[0]) / HOUR


@dataclass(frozen=True)
class Calendar:
    """Of a case.

    Attributes:
        zone: of its days.
        minutes: of a step.
        days: of an episode.
    """

    zone: ZoneInfo
    minutes: int
    days: int

    @property
    def steps_of_a_day(self) -> int:
        """By the clock on the wall."""
        return 24 * 60 // self.minutes

    @property
    def length(self) -> timedelta:
        """Of a step."""
        return timedelta(minutes=self.minutes)

    def words(self, time: datetime) -> str:
        """An aware time, as the clock on the wall shows it, with its offset."""
        return time.astimezone(self.zone).isoformat(timespec="seconds")

    def step(self, time: datetime) -> Step:
        """The one in which an aware time lies."""
        local = time.astimezone(self.zone)
        begin = local.replace(
            minute=local.minute // self.minutes * self.minutes, second=0, microsecond=0
        )
        day = day_of_episode(local, self.days)
        of_day = (60 * begin.hour + begin.minute) // self.minutes
        episode = local.date() - timedelta(days=day)
        return Step(begin, episode, day * self.steps_of_a_day + of_day)

    def dates(self, episode: date) -> list[date]:
        """Days of an episode."""
        return [episode + timedelta(days=day) for day in range(self.days)]

    def begins(self, episode: date) -> Array:
        """(days, steps of a day) seconds since 1970 at which steps begin.

        Of a time that comes twice it is the first; one that is left out is the hour before's, or,
        at midnight, the day's first.
        """
        return _begins(self, episode)


@lru_cache(maxsize=2)  # asked for in every step of an episode
def _begins(calendar: Calendar, episode: date) -> Array:
    begins: list[float] = []
    for day in calendar.dates(episode):
        midnight = datetime(day.year, day.month, day.day, tzinfo=calendar.zone)
        walls = [
            midnight + timedelta(minutes=calendar.minutes * number)
            for number in range(calendar.steps_of_a_day)
        ]
        times = [min(wall.replace(fold=fold).timestamp() for fold in (0, 1)) for wall in walls]
        of_day = (t for t in times if datetime.fromtimestamp(t, calendar.zone).date() == day)
        first = min(of_day, default=times[0])
        begins += [max(time, first) for time in times]
    return np.array(begins).reshape(calendar.days, -1)


@dataclass(frozen=True, eq=False)
class Series:
    """Values that hold from a time on.

    Attributes:
        times: seconds since 1970, rising.
        values: likewise many.
    """

    times: Array
    values: Array

    @classmethod
    def of(cls, known: Mapping[datetime, float]) -> Series:
        """Of values by aware times."""
        seconds = {time.timestamp(): value for time, value in known.items()}
        times = sorted(seconds)
        return cls(np.array(times), np.array([seconds[time] for time in times]))

    def at(self, moments: Array) -> Array:
        """What holds at moments, seconds since 1970; NaN where that is not known."""
        if not len(self.times):
            return np.full(moments.shape, np.nan)
        last = np.diff(self.times[-2:]) if len(self.times) > 1 else [USUALLY_HELD]
        held = np.minimum(np.concatenate((np.diff(self.times), last)), LONGEST_HELD)
        place = np.searchsorted(self.times, moments, side="right") - 1
        holds = (place >= 0) & (moments < (self.times + held)[place])
        return np.where(holds, self.values[place], np.nan)

    def means(self, begins: Array, minutes: int) -> Array:
        """Over steps, seconds since 1970 at which they begin; NaN where something is not known."""
        moments = begins[..., None] + np.arange(SAMPLED / 2, 60.0 * minutes, SAMPLED)
        means: Array = self.at(moments).mean(axis=-1)
        return means


NOTHING = Series(np.empty(0), np.empty(0))


def learnt(
    known: Mapping[datetime, float], said: Mapping[datetime, float], now: datetime
) -> dict[datetime, float]:
    """Newer values for older ones, in the order in which they were said, by times in UTC.

    Values are not let go by their times, as a clock may be wrong: only when there are too many,
    those that were said first, and of the same message those that are farthest from now.
    """
    nearest_last = sorted(said, key=lambda time: abs(time - now), reverse=True)
    new = {time.astimezone(timezone.utc): said[time] for time in nearest_last}
    found = {time: value for time, value in known.items() if time not in new} | new
    return dict(list(found.items())[-MOST_KEPT:])
