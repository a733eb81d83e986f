"""The clock of an episode: how many steps it has, and how long each of them is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from numbers import Real
from typing import Any

from gridedge_env.checks import check_positive, check_whole_number, settle, shown

HOURS_PER_DAY = 24
# Of tables. Reanalysed weather begins in 1940; 1899, 1900 and 9999 are what spreadsheets and
# databases write for no date.
FIRST_YEAR, LAST_YEAR = 1940, 2100
# Step lengths that meters, markets and the built-in data know.
STEP_MINUTES = (15, 30, 60)
MOST_DAYS = 7


def minutes_of_day(time: str) -> int | None:
    """At a time from "00:00" to "24:00"; None if that is none."""
    found = re.fullmatch(r"(\d\d):([0-5]\d)", time)
    minutes = 60 * int(found[1]) + int(found[2]) if found else -1
    return minutes if 0 <= minutes <= 60 * HOURS_PER_DAY else None


def check_step_minutes(value: Any, name: str) -> int:
    """The length of a step that meters know, as an int."""
    is_known = isinstance(value, Real) and value in STEP_MINUTES
    if not is_known:
        expected = f"one of {', '.join(map(str, STEP_MINUTES))}"
        raise ValueError(f"{name}: got {shown(value)}, expected {expected}")
    return int(value)


@dataclass(frozen=True)
class Clock:
    """The steps of an episode: one day from midnight to midnight, or up to 7 consecutive ones.

    Attributes:
        steps: how many.
        hours: how long each is: 0.25, 0.5 or 1.

    Raises:
        ValueError: no whole number of steps, steps that make up no whole days, or more than 7, or
            that are of another length.
    """

    steps: int = 48
    hours: float = 0.5

    def __post_init__(self) -> None:
        settle(
            self,
            "clock.",
            steps=lambda value, name: check_whole_number(value, 1, name),
            hours=check_positive,
        )
        whole = self.steps * self.hours == HOURS_PER_DAY * self.days
        if not whole or not 1 <= self.days <= MOST_DAYS or 60 * self.hours not in STEP_MINUTES:
            raise ValueError(
                f"clock: got {self.steps} steps of {self.hours} hours, expected steps that make up "
                f"days of {HOURS_PER_DAY} hours, from 1 to {MOST_DAYS}, of "
                f"{', '.join(map(str, STEP_MINUTES))} minutes each"
            )

    @staticmethod
    def of_minutes(step_minutes: int, days: int = 1) -> Clock:
        """Consecutive days in steps of so many minutes.

        Raises:
            ValueError: not 15, 30 or 60 minutes, or not 1 to 7 days.
        """
        step_minutes = check_step_minutes(step_minutes, "step_minutes")
        days = check_whole_number(days, 1, "days_per_episode", MOST_DAYS)
        return Clock(days * 60 * HOURS_PER_DAY // step_minutes, step_minutes / 60)

    @property
    def days(self) -> int:
        """How many an episode has."""
        return round(self.steps * self.hours / HOURS_PER_DAY)

    @property
    def day(self) -> Clock:
        """That of a single day in such steps."""
        return Clock(self.steps // self.days, self.hours)

    @property
    def minutes(self) -> int:
        """Length of a step."""
        return round(60 * self.hours)

    @property
    def seconds(self) -> float:
        """Length of a step."""
        return 3600.0 * self.hours

    def time(self, step: int) -> str:
        """The time of day at which a step begins, as "07:30"; the episode ends at "24:00"."""
        of_day = step % self.day.steps if step < self.steps else self.day.steps
        return "{:02d}:{:02d}".format(*divmod(self.minutes * of_day, 60))

    def episodes(self, count: int) -> str:
        """So many in words: "28 days", or "28 episodes of 2 days"."""
        return f"{count} days" if self.days == 1 else f"{count} episodes of {self.days} days"
