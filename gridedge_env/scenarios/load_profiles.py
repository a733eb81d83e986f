"""How the loads of a feeder that take no part go up and down, by date."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from gridedge_env.clock import Clock
from gridedge_env.record import Record
from gridedge_env.scenarios.metered import in_steps
from gridedge_env.scenarios.own_series import like_days
from gridedge_env.scenarios.series import Series, by_local_day


@dataclass(frozen=True, eq=False)
class LoadProfiles(Record):
    """Multiples of the nominal power of a feeder's loads.

    A profile without a date shows its own nearest day of the same kind, working day or weekend, by
    the day of the year: one of a single day is the same every day.

    Attributes:
        series: a column for each profile.
        names: of each of the feeder's loads, in order, its profile; "" is none: nominal power.
        time_zone: of the days, an IANA name.

    Raises:
        ValueError: a profile that has no column, or no complete day.
    """

    series: Series
    names: tuple[str, ...]
    time_zone: str

    def __post_init__(self) -> None:
        for name in self._used:
            if name not in self.series.names:
                known = ", ".join(self.series.names)
                raise ValueError(f"profile: got {name!r}, expected one of {known}")
            if not self._days(name)[0]:
                raise ValueError(f"profile: got {name!r} without a complete day, expected some")

    @property
    def columns(self) -> list[int]:
        """Of each load, its column in `on`."""
        return [self._used.index(name) + 1 if name else 0 for name in self.names]

    def on(self, dates: Sequence[date], clock: Clock) -> Tensor:
        """(days, steps, 1 + profiles); the first column is 1 throughout."""
        steps = 24 * 60 // self.series.minutes
        found = np.ones((len(dates), steps, 1 + len(self._used)))
        for column, name in enumerate(self._used, start=1):
            known, values = self._days(name)
            found[:, :, column] = values[like_days(dates, known)]
        return in_steps(torch.from_numpy(found), clock.steps)

    @cached_property
    def _used(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(filter(None, self.names)))

    def _days(self, name: str) -> tuple[tuple[date, ...], np.ndarray]:
        dates, values = by_local_day(self.series.of([name]), self.time_zone)
        return dates, values[:, :, 0]
