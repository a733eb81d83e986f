"""Days and demand from a user's own series: prices and weather by date, each customer's meter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from gridedge_env.checks import renamed
from gridedge_env.clock import HOURS_PER_DAY, Clock
from gridedge_env.record import Record
from gridedge_env.scenarios.demand import HOURS_PER_YEAR, Homes
from gridedge_env.scenarios.metered import in_steps
from gridedge_env.scenarios.observed import SPLITS, Calendar, DaySource, DayTable, check_split
from gridedge_env.scenarios.series import Series, by_local_day
from gridedge_env.scenarios.sun import direct_irradiance, midnights

DateRange = tuple[date, date]

# Columns of the series; the last of each, a forecast, may be missing.
PRICE_NAMES = ("price", "forecast")
WEATHER_NAMES = ("temperature", "irradiance", "temperature_forecast")

# kW: homes are told their load over its mean, which is no measure of one that hardly consumes.
LEAST_MEAN_POWER = 0.05


@dataclass(frozen=True, eq=False)
class SeriesDays(Record):
    """A `DaySource` of prices and weather by date.

    Every local day of a split's ranges counts for which both series are complete and on which no
    clock changes. Values of longer steps than the clock's are held (prices) or follow their slope
    (weather); those of shorter ones are averaged.

    Attributes:
        prices: column "price", per kWh before tax and the supplier's charges, and, if there is
            one, "forecast".
        weather: columns "temperature" in °C and "irradiance" in W/m² and, if there is one,
            "temperature_forecast". What sun was forecast is told to nobody.
        time_zone: of the days, an IANA name.
        splits: first and last day of one or more ranges for "train", "validation" and "test".
        site: ° north and ° east, by which it is known where the sun stands; None: PV is refused.
    """

    prices: Series
    weather: Series
    time_zone: str
    splits: Mapping[str, tuple[DateRange, ...]]
    site: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        # Lists and whole numbers are as good, but a case is to equal the one read from its folder.
        splits = {split: tuple(map(_range, ranges)) for split, ranges in self.splits.items()}
        object.__setattr__(self, "splits", splits)
        if self.site is not None:
            north, east = map(float, self.site)
            object.__setattr__(self, "site", (north, east))

    def load(self, split: str, clock: Clock) -> DayTable:
        """See `DaySource`.

        Raises:
            ValueError: no such split, or no complete day in it.
        """
        key = check_split(split), clock
        if key not in self._tables:
            self._tables[key] = self._load(split, clock)
        return self._tables[key]

    def dates(self, split: str) -> tuple[date, ...]:
        """The days of a split."""
        ranges = self.splits.get(split, ())
        return tuple(
            day for day in self._days[0] if any(first <= day <= last for first, last in ranges)
        )

    @cached_property
    def _tables(self) -> dict[tuple[str, Clock], DayTable]:
        """Those made so far."""
        return {}

    @cached_property
    def _days(self) -> tuple[tuple[date, ...], dict[str, np.ndarray]]:
        """Days that both series have: their dates, and (days, steps) by the name of a column."""
        known = []
        for series, names in ((self.prices, PRICE_NAMES), (self.weather, WEATHER_NAMES)):
            used = [*names[:-1], *(name for name in names[-1:] if name in series.names)]
            dates, values = by_local_day(series.of(used), self.time_zone)
            place = {day: row for row, day in enumerate(dates)}
            known.append((place, dict(zip(used, np.moveaxis(values, -1, 0), strict=True))))
        common = sorted(set.intersection(*(set(place) for place, _ in known)))
        return tuple(common), {
            name: values[[place[day] for day in common]]
            for place, columns in known
            for name, values in columns.items()
        }

    def _load(self, split: str, clock: Clock) -> DayTable:
        dates = self.dates(split)
        if not dates:
            raise ValueError(
                f"days: got no complete day for {split!r}, expected prices and weather of its range"
            )
        everything, columns = self._days
        place = {day: row for row, day in enumerate(everything)}
        rows = [place[day] for day in dates]

        def held(name: str) -> Tensor:
            return _table(_held(columns[name][rows], clock.steps))

        def sloped(name: str, least: float = -np.inf) -> Tensor:
            return _table(_sloped(columns[name][rows], clock.steps, least))

        sun = sloped("irradiance", least=0.0)
        midnight = midnights(dates, self.time_zone)
        direct = None if self.site is None else direct_irradiance(sun, midnight, clock, *self.site)
        return DayTable(
            dates=dates,
            month=torch.tensor([day.month - 1 for day in dates], dtype=torch.long, device="cpu"),
            weekend=torch.tensor(
                [day.weekday() >= 5 for day in dates], dtype=torch.bool, device="cpu"
            ),
            outdoor_temperature=sloped("temperature"),
            irradiance=sun,
            day_ahead_price=held("price"),
            direct_irradiance=direct,
            price_forecast=held(PRICE_NAMES[-1]) if PRICE_NAMES[-1] in columns else None,
            temperature_forecast=(
                sloped(WEATHER_NAMES[-1]) if WEATHER_NAMES[-1] in columns else None
            ),
        )


@dataclass(frozen=True, eq=False)
class OwnHomes(Homes):
    """Homes with their own meters.

    Attributes:
        load: (days of the split, metered steps, homes) kW.
    """

    load: Tensor


@dataclass(frozen=True, eq=False)
class CustomerMeters(Record):
    """A `DemandSource` of each customer's own meter, on the very days of the case.

    Where a meter has no complete day of a date, it shows what it did on its own nearest day of the
    same kind, working day or weekend, by the day of the year. Who has no meter consumes nothing.

    Attributes:
        meters: kW of every meter, by name; those that nobody has are dropped.
        meter: name of each customer's meter, in the order of the fleet; "" is none.
        time_zone: of the days, an IANA name.
        days: the days of the case.

    Raises:
        ValueError: a customer's meter that is not there, or nobody with a meter.
    """

    meters: Series
    meter: tuple[str, ...]
    time_zone: str
    days: DaySource
    scale: ClassVar[float] = 1.0

    def __post_init__(self) -> None:
        used = tuple(dict.fromkeys(filter(None, self.meter)))
        if not used:
            raise ValueError("demand.meter: got no meter of any agent, expected some")
        if used != self.meters.names:
            with renamed(names="demand.meter"):
                object.__setattr__(self, "meters", self.meters.of(used))

    def check_case(self, days: DaySource, customers: int) -> None:
        """Refuse to be the demand of other days or customers: rows would be of other dates.

        Raises:
            ValueError: the case's are not these.
        """
        if len(self.meter) != customers:
            raise ValueError(
                f"demand.meter: got {len(self.meter)}, expected one, or '', for each of "
                f"{customers} agents"
            )
        if self.days is not days and self.days != days:
            raise ValueError("demand.days: got others than the case's days, expected the same")

    def assign_homes(
        self, split: str, count: int, seed: int, device: torch.device | str
    ) -> OwnHomes:
        """The customers' own meters, in every split.

        Raises:
            ValueError: another number of homes than there are customers.
        """
        if count != len(self.meter):
            raise ValueError(f"demand: got {count} agents, expected {len(self.meter)}")
        dates = self.days.load(split, Clock.of_minutes(self.meters.minutes)).dates
        steps = HOURS_PER_DAY * 60 // self.meters.minutes
        load = np.zeros((len(dates), steps, count), dtype=np.float32)
        mean = np.zeros(count)
        for home, name in enumerate(self.meter):
            if name:
                known, values = self._by_day[name]
                load[:, :, home] = values[like_days(dates, known)]
                mean[home] = np.abs(values).mean()
        return OwnHomes(
            torch.from_numpy(mean.clip(LEAST_MEAN_POWER).astype(np.float32)).to(device),
            torch.from_numpy(load).to(device),
        )

    def draw(
        self, homes: OwnHomes, calendar: Calendar, generator: torch.Generator, clock: Clock
    ) -> Tensor:
        """What was metered; see `DemandSource.draw`."""
        return in_steps(homes.load[calendar.row], clock.steps)

    @property
    def annual_energy(self) -> np.ndarray:
        """(customers,) kWh a year of all complete days, less what is fed in; 0 without a meter."""
        mean = {name: values.mean() for name, (_, values) in self._by_day.items()}
        return np.array([HOURS_PER_YEAR * mean.get(name, 0.0) for name in self.meter])

    def missing_days(self) -> dict[str, int]:
        """Of each meter that lacks days of the case, how many."""
        clock = Clock.of_minutes(self.meters.minutes)
        asked = {day for split in SPLITS for day in self.days.load(split, clock).dates}
        missing = {name: len(asked.difference(days)) for name, (days, _) in self._by_day.items()}
        return {name: count for name, count in missing.items() if count}

    @cached_property
    def _by_day(self) -> dict[str, tuple[tuple[date, ...], np.ndarray]]:
        """Of every meter that somebody has, its complete days and (days, steps) kW."""
        found = {}
        for name in dict.fromkeys(filter(None, self.meter)):
            dates, values = by_local_day(self.meters.of([name]), self.time_zone)
            if not dates:
                raise ValueError(f"demand: meter {name!r} has no complete day, expected some")
            found[name] = dates, values[:, :, 0]
        return found


def like_days(dates: Sequence[date], known: tuple[date, ...]) -> list[int]:
    """Which of the known days each date is, or is most like."""
    at = {day: row for row, day in enumerate(known)}
    return [at[day] if day in at else nearest(day, known) for day in dates]


def nearest(day: date, known: tuple[date, ...]) -> int:
    """Which of the days it is, or is most like: of its kind if any is, nearest in the year."""

    def unlike(row: int) -> tuple[bool, int, int]:
        other = known[row]
        apart = abs(other.timetuple().tm_yday - day.timetuple().tm_yday)
        kind = (other.weekday() >= 5) != (day.weekday() >= 5)
        return kind, min(apart, 365 - apart), abs((other - day).days)

    return min(range(len(known)), key=unlike)


def _range(dates: Sequence[date]) -> DateRange:
    first, last = dates
    return first, last


def _table(values: np.ndarray) -> Tensor:
    return torch.from_numpy(values.astype(np.float32))


def _held(values: np.ndarray, steps: int) -> np.ndarray:
    """(days, steps given) to (days, steps): held, or averaged."""
    given = values.shape[1]
    if given <= steps:
        return values.repeat(steps // given, axis=1)
    return values.reshape(len(values), steps, -1).mean(axis=-1)


def _sloped(values: np.ndarray, steps: int, least: float = -np.inf) -> np.ndarray:
    """As `_held`, but shorter steps follow the line through the neighbours, never below `least`.

    Means are kept.
    """
    parts = steps // values.shape[1]
    if parts <= 1:
        return _held(values, steps)
    padded = np.pad(values, ((0, 0), (1, 1)), mode="edge")
    rise = (padded[:, 2:] - padded[:, :-2]) / 2.0
    offset = (np.arange(parts) + 0.5) / parts - 0.5
    room = (values - least) / offset[-1]
    rise = np.clip(rise, -room, room)
    return (values[..., None] + rise[..., None] * offset).reshape(len(values), steps)
