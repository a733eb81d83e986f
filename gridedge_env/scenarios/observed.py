"""Days of weather and electricity prices: what a source of them must offer, and the observed ones.

Temperature and irradiance were measured by the German Weather Service, prices are those of the
Dutch day-ahead auction of the same hours: what the sun, the cold and the market did together is
kept together. `data/ATTRIBUTION.md` names the sources.
"""

from __future__ import annotations

import gzip
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import date, timedelta
from functools import cached_property, lru_cache
from pathlib import Path
from typing import ClassVar, Protocol

import numpy as np
import torch
from torch import Tensor

from gridedge_env.checks import LARGEST_NUMBER, check_number, check_type, shown
from gridedge_env.clock import HOURS_PER_DAY, Clock
from gridedge_env.record import Record, batch
from gridedge_env.scenarios.sun import direct_irradiance

SPLIT_YEARS = {"train": 2023, "validation": 2021, "test": 2024}
SPLITS = tuple(SPLIT_YEARS)
"""Names of the splits: "train", "validation", "test"."""
SPLIT_SITES = {"train": "Aachen", "validation": "Aachen", "test": "Düsseldorf"}
# ° north, ° east.
SITES = {"Aachen": (50.78, 6.09), "Düsseldorf": (51.30, 6.77)}

# Steps of the record in an hour.
_PER_HOUR = 2
_TABLE = Path(__file__).parent / "data" / "exogenous_halfhourly.csv.gz"


@dataclass(frozen=True, eq=False)
class Calendar(Record):
    """Which days there are, all (batch,).

    Attributes:
        row: of each day in its split.
        month: int64, 0 = January.
        weekend: bool.
    """

    row: Tensor = field(metadata=batch())
    month: Tensor = field(metadata=batch())
    weekend: Tensor = field(metadata=batch())


@dataclass(frozen=True, eq=False)
class DayTable(Record):
    """Days of weather and prices; row `d` of every field is the day `dates[d]`.

    Attributes:
        dates: local calendar dates, in order.
        month: (days,) int64, 0 = January.
        weekend: (days,) bool, Saturday or Sunday; public holidays count as working days.
        outdoor_temperature: (days, steps) °C.
        irradiance: (days, steps) W/m², global on the horizontal.
        day_ahead_price: (days, steps) €/kWh, before tax and the supplier's charges.
        direct_irradiance: (days, steps, 3) W/m² from the east, the north and above, by
            `sun.direct_irradiance` for a place; None: not known, no device may ask for it.
        price_forecast: (days, steps) €/kWh, the day-ahead price as it was forecast; None: as it is.
        temperature_forecast: (days, steps) °C, likewise.
    """

    dates: tuple[date, ...]
    month: Tensor = field(metadata=batch())
    weekend: Tensor = field(metadata=batch())
    outdoor_temperature: Tensor = field(metadata=batch())
    irradiance: Tensor = field(metadata=batch())
    day_ahead_price: Tensor = field(metadata=batch())
    direct_irradiance: Tensor | None = field(default=None, metadata=batch())
    price_forecast: Tensor | None = field(default=None, metadata=batch())
    temperature_forecast: Tensor | None = field(default=None, metadata=batch())

    @property
    def as_forecast(self) -> DayTable:
        """The days as they are forecast; the same object where all forecasts are perfect."""
        price, temperature = self.price_forecast, self.temperature_forecast
        if price is None and temperature is None:
            return self
        return replace(
            self,
            day_ahead_price=self.day_ahead_price if price is None else price,
            outdoor_temperature=self.outdoor_temperature if temperature is None else temperature,
        )

    def describe_forecasts(self, currency: str) -> str:
        """How good the forecasts are that agents go by, in a sentence."""
        if self.as_forecast is self:
            return "Forecasts of prices and temperatures are perfect."
        said = []
        for name, forecast, actual, unit in (
            ("prices", self.price_forecast, self.day_ahead_price, f"{currency}/kWh"),
            ("temperatures", self.temperature_forecast, self.outdoor_temperature, "K"),
        ):
            wrong = None if forecast is None else (forecast - actual).abs().mean()
            amount = "perfect" if wrong is None else f"off by {wrong:.2g} {unit} on average"
            said.append(f"of {name} are {amount}")
        return f"Forecasts {' and those '.join(said)}."

    @property
    def years(self) -> str:
        """The calendar years that the days are of: "2024", or "2023 to 2024"."""
        first, last = min(self.dates).year, max(self.dates).year
        return f"{first}" if first == last else f"{first} to {last}"

    @cached_property
    def calendar(self) -> Calendar:
        """All days of the table."""
        row = torch.arange(len(self.month), dtype=torch.long, device=self.month.device)
        return Calendar(row, self.month, self.weekend)

    def starts(self, days: int) -> list[int]:
        """Rows at which so many consecutive days begin."""
        return consecutive(self.dates, days)

    def select(self, row: Tensor) -> DayTable:
        """The days at `row` (batch,), without their dates: no device is waited for."""
        return replace(self, dates=()).take(row)


def consecutive(dates: Sequence[date], days: int) -> list[int]:
    """Rows of dates, in order, at which so many days begin that follow each other."""
    ends = zip(dates, dates[days - 1 :], strict=False)
    length = timedelta(days=days - 1)
    return [row for row, (first, last) in enumerate(ends) if last - first == length]


class DaySource(Protocol):
    """Where days come from: `ObservedDays`, or your own."""

    def load(self, split: str, clock: Clock) -> DayTable:
        """All days of "train", "validation" or "test", in steps of the clock of a single day.

        Episodes of several days are put together from those whose dates follow each other.

        On the CPU and in single precision, from one call to the next the same object, whose tensors
        are not written to.

        Raises:
            ValueError: no such split, or steps that the source cannot offer.
        """


@dataclass(frozen=True)
class ObservedDays:
    """The days that come with the package: complete local days (Europe/Amsterdam).

    The splits are years apart: "train" is 2023 and "validation" 2021, both Aachen; "test" is 2024,
    Düsseldorf. Left out are the two days on which clocks change and 1 January, whose first hour
    lies in the previous year of the UTC record: 362 days remain, 363 in 2024.

    The record has the irradiance of the horizontal; what of it is direct follows from Erbs's
    correlation and from where the sun stands.

    The record is half-hourly. Hours are means of two half-hours. In quarter-hours a price stays
    what it is, temperature and irradiance follow their slope and keep the half-hour's mean.
    """

    # ° north, ° east, of the days that are tested on.
    site: ClassVar[tuple[float, float]] = SITES[SPLIT_SITES["test"]]

    def load(self, split: str, clock: Clock) -> DayTable:
        """See `DaySource`."""
        return _observed_days(check_split(split), clock)


@dataclass(frozen=True)
class Variation:
    """A departure from the days as observed: to train for more than one year showed, or to test it.

    Each is a number for all episodes, or a tensor (episodes,) with one for each.

    Attributes:
        price_factor: multiplies the day-ahead price.
        temperature_shift: K added to the outdoor temperature.
        demand_factor: multiplies household demand.

    Raises:
        ValueError: what is no finite number and no real tensor of one dimension.
    """

    price_factor: float | Tensor = 1.0
    temperature_shift: float | Tensor = 0.0
    demand_factor: float | Tensor = 1.0

    def __post_init__(self) -> None:
        for entry in fields(self):
            value = getattr(self, entry.name)
            expected = "a finite number or a real tensor (days,)"
            if not isinstance(value, Tensor):
                object.__setattr__(self, entry.name, check_number(value, entry.name, expected))
                continue
            is_real = value.dtype != torch.bool and not value.is_complex()
            if value.dim() != 1 or not is_real or value.layout != torch.strided:
                came = f"{value.dtype} of shape {tuple(value.shape)} on {value.device}"
                raise ValueError(f"{entry.name}: got {came}, expected {expected}")
            # Elsewhere the host would have to wait for a GPU.
            if value.device.type == "cpu" and not bool((value.abs() <= LARGEST_NUMBER).all()):
                raise ValueError(
                    f"{entry.name}: contains NaN, or a number beyond {LARGEST_NUMBER:g}, expected "
                    f"{expected}"
                )

    def check_episodes(self, count: int, device: torch.device) -> None:
        """Refuse a tensor of other than so many episodes, or of another device.

        Raises:
            ValueError: there is one; names it.
        """
        for entry in fields(self):
            value = getattr(self, entry.name)
            if not isinstance(value, Tensor):
                continue
            if len(value) != count:
                raise ValueError(
                    f"{entry.name}: got one for each of {len(value)} episodes, expected {count}"
                )
            if value.device.type != device.type:
                raise ValueError(
                    f"{entry.name}: got a tensor on {value.device}, expected the simulator's, "
                    f"{device}"
                )

    def take(self, kept: slice) -> Variation:
        """For some of the episodes."""
        return self._each(lambda values: values[kept])

    def of_each(self, days: int) -> Variation:
        """For the days of episodes of so many, one after the other."""
        return self if days == 1 else self._each(lambda values: values.repeat_interleave(days))

    def of_days(self, days: DayTable) -> DayTable:
        """The varied days, their forecasts alike; demand is not part of the table."""
        dtype = days.day_ahead_price.dtype
        factor, shift = _column(self.price_factor, dtype), _column(self.temperature_shift, dtype)
        price, temperature = days.price_forecast, days.temperature_forecast
        return replace(
            days,
            outdoor_temperature=days.outdoor_temperature + shift,
            day_ahead_price=days.day_ahead_price * factor,
            price_forecast=None if price is None else price * factor,
            temperature_forecast=None if temperature is None else temperature + shift,
        )

    def of_demand(self, demand: Tensor) -> Tensor:
        """The varied demand, (days, steps, homes)."""
        factor = _column(self.demand_factor, demand.dtype)
        return demand * (factor[:, None] if isinstance(factor, Tensor) else factor)

    def _each(self, change: Callable[[Tensor], Tensor]) -> Variation:
        """With other tensors; numbers stay."""
        values = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        return Variation(
            **{n: change(v) if isinstance(v, Tensor) else v for n, v in values.items()}
        )


def _column(value: float | Tensor, dtype: torch.dtype) -> float | Tensor:
    return value[:, None].to(dtype) if isinstance(value, Tensor) else value


def check_split(split: str) -> str:
    """Return `split` if it names one.

    Raises:
        ValueError: it does not.
    """
    if not isinstance(split, str) or split not in SPLITS:
        raise ValueError(
            f"split: got {shown(split)}, expected one of {', '.join(map(repr, SPLITS))}"
        )
    return split


def check_table(table: DayTable, split: str, clock: Clock) -> None:
    """Refuse what a `DaySource` may not return.

    Raises:
        ValueError: no table, no days, another number of days or steps, or a number that is not
            finite.
    """
    where = f"case.days, split {split!r}"
    if not isinstance(table, DayTable):
        raise ValueError(f"{where}: got {type(table).__name__}, expected a DayTable")
    days = len(table.dates)
    if not days:
        raise ValueError(f"{where}: got no days, expected one or more")
    for name, usual in ((entry.name, entry.default) for entry in fields(table)):
        values = getattr(table, name)
        if name == "dates" or (usual is None and values is None):
            continue
        check_type(values, Tensor, f"{where}, {name}", "a tensor")
        expected: tuple[int, ...] = (days,) if name in ("month", "weekend") else (days, clock.steps)
        if name == "direct_irradiance":
            expected = (*expected, 3)
        if values.shape != expected:
            raise ValueError(
                f"{where}: got {name} of shape {tuple(values.shape)}, expected {expected}: days"
                f"{' and steps of the clock' if len(expected) > 1 else ''}"
            )
        finite = values.isfinite().reshape(days, -1).all(dim=-1)
        if not bool(finite.all()):
            first = table.dates[int(finite.logical_not().nonzero()[0])]
            raise ValueError(
                f"{where}: got {name} that is not finite on {first}, expected finite numbers"
            )


@lru_cache
def _observed_days(split: str, clock: Clock) -> DayTable:
    year = SPLIT_YEARS[split]
    temperature, irradiance, price = _read_year(year)
    before, days_in_year = date(year - 1, 12, 31), date(year, 12, 31).timetuple().tm_yday
    days = [before + timedelta(days=n) for n in range(2, days_in_year + 1)]
    days = [day for day in days if day not in clock_change_days(year)]
    first_row = np.array([_row_of_local_midnight(day) for day in days])
    rows = first_row[:, None] + np.arange(_PER_HOUR * HOURS_PER_DAY)

    def by_day(values: np.ndarray, slope: np.ndarray | float = 0.0) -> Tensor:
        return torch.from_numpy(_in_steps(values[rows], np.broadcast_to(slope, rows.shape), clock))

    sun = by_day(irradiance, _slope(irradiance, least=0.0)[rows])
    begin = np.datetime64(f"{year}-01-01", "s") + first_row * np.timedelta64(60 // _PER_HOUR, "m")
    return DayTable(
        dates=tuple(days),
        month=torch.tensor([day.month - 1 for day in days], dtype=torch.long, device="cpu"),
        weekend=torch.tensor([day.weekday() >= 5 for day in days], dtype=torch.bool, device="cpu"),
        outdoor_temperature=by_day(temperature, _slope(temperature)[rows]),
        irradiance=sun,
        day_ahead_price=by_day(price / 1000.0),
        direct_irradiance=direct_irradiance(sun, begin, clock, *SITES[SPLIT_SITES[split]]),
    )


def _slope(values: np.ndarray, least: float = -math.inf) -> np.ndarray:
    """By how much each half-hour's second half is above its mean, on its neighbours' line.

    No half is below `least`.
    """
    padded = np.pad(values, 1, mode="edge")
    room = values - least
    return np.clip((padded[2:] - padded[:-2]) / 8.0, -room, room)


def _in_steps(values: np.ndarray, slope: np.ndarray, clock: Clock) -> np.ndarray:
    """From means of half-hours (days, half-hours) and their slopes to means of a clock's steps.

    Returns:
        (days, steps) in single precision.
    """
    if clock.hours * _PER_HOUR < 1.0:
        steps = np.stack((values - slope, values + slope), axis=-1).reshape(len(values), -1)
    else:
        steps = values.reshape(len(values), clock.steps, -1).mean(axis=-1)
    return steps.astype(np.float32)


def clock_change_days(year: int) -> tuple[date, date]:
    """The last Sundays of March and October, on which the European Union changes its clocks.

    Source: Directive 2000/84/EC, articles 2 and 3 (the change is at 01:00 UTC).
    """

    def last_sunday(last_of_month: date) -> date:
        return last_of_month - timedelta(days=(last_of_month.weekday() + 1) % 7)

    return last_sunday(date(year, 3, 31)), last_sunday(date(year, 10, 31))


def _row_of_local_midnight(day: date) -> int:
    """Row of the year's UTC record at which a local day begins (23:00 or, in summer, 22:00 UTC)."""
    spring, autumn = clock_change_days(day.year)
    hours_ahead_of_utc = 2 if spring < day <= autumn else 1
    return 2 * (24 * (day - date(day.year, 1, 1)).days - hours_ahead_of_utc)


def _read_year(year: int) -> np.ndarray:
    """The year's (columns, half-hours) record: temperature °C, irradiance W/m², price €/MWh."""
    with gzip.open(_TABLE, "rt", encoding="ascii") as lines:
        rows = [line.rstrip("\n").split(",") for line in lines if line.startswith(f"{year}-")]
    return np.array([row[1:] for row in rows], dtype=np.float64).T
