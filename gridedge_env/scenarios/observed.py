"""Observed weather and electricity prices, cut into local days of 48 half-hours.

Temperature and irradiance were measured by the German Weather Service, prices are those of the
Dutch day-ahead auction of the same hours: what the sun, the cold and the market did together is
kept together. `data/ATTRIBUTION.md` names the sources.
"""

from __future__ import annotations

import gzip
import math
from dataclasses import dataclass, fields, replace
from datetime import date, timedelta
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

SPLIT_YEARS = {"train": 2023, "validation": 2021, "test": 2024}
SPLITS = tuple(SPLIT_YEARS)
HALF_HOURS = 48

_TABLE = Path(__file__).parent / "data" / "exogenous_halfhourly.csv.gz"


@dataclass(frozen=True)
class DayTable:
    """Days of observed weather and prices; row `d` of every field is the day `dates[d]`.

    Attributes:
        dates: local calendar dates, in order.
        month: (days,) int64, 0 = January.
        weekend: (days,) bool, Saturday or Sunday; public holidays count as working days.
        outdoor_temperature: (days, 48) °C.
        irradiance: (days, 48) W/m², global on the horizontal.
        day_ahead_price: (days, 48) €/kWh, before tax and the supplier's charges.
    """

    dates: tuple[date, ...]
    month: Tensor
    weekend: Tensor
    outdoor_temperature: Tensor
    irradiance: Tensor
    day_ahead_price: Tensor

    def to(self, device: torch.device | str, dtype: torch.dtype = torch.float32) -> DayTable:
        """The same table on `device`, its measured quantities as `dtype`."""
        return replace(
            self,
            month=self.month.to(device),
            weekend=self.weekend.to(device),
            outdoor_temperature=self.outdoor_temperature.to(device, dtype),
            irradiance=self.irradiance.to(device, dtype),
            day_ahead_price=self.day_ahead_price.to(device, dtype),
        )

    def select(self, row: Tensor) -> DayTable:
        """The days at `row` (batch,), without their dates: no device is waited for."""
        chosen = {f.name: getattr(self, f.name)[row] for f in fields(self) if f.name != "dates"}
        return DayTable(dates=(), **chosen)


@dataclass(frozen=True)
class Variation:
    """A departure from the days as observed: to train for more than one year showed, or to test it.

    Each is a number for all days, or a tensor (days,) with one for each.

    Attributes:
        price_factor: multiplies the day-ahead price.
        temperature_shift: K added to the outdoor temperature.
        demand_factor: multiplies household demand.
    """

    price_factor: float | Tensor = 1.0
    temperature_shift: float | Tensor = 0.0
    demand_factor: float | Tensor = 1.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            # The numbers in a tensor are not looked at: that would make the host wait for a GPU.
            if isinstance(value, Tensor):
                fault = "" if value.dim() == 1 else f"shape {tuple(value.shape)}"
            else:
                fault = "" if math.isfinite(value) else str(value)
            if fault:
                raise ValueError(
                    f"{field.name}: got {fault}, expected a finite number or a tensor (days,)"
                )

    def of_days(self, days: DayTable) -> DayTable:
        """The varied days; demand is not part of the table."""
        return replace(
            days,
            outdoor_temperature=days.outdoor_temperature + _column(self.temperature_shift),
            day_ahead_price=days.day_ahead_price * _column(self.price_factor),
        )

    def of_demand(self, demand: Tensor) -> Tensor:
        """The varied demand, (days, steps, homes)."""
        factor = self.demand_factor
        return demand * (factor[:, None, None] if isinstance(factor, Tensor) else factor)


def _column(value: float | Tensor) -> float | Tensor:
    return value[:, None] if isinstance(value, Tensor) else value


def check_split(split: str) -> str:
    """Return `split` if it names one.

    Raises:
        ValueError: it does not.
    """
    if split not in SPLITS:
        raise ValueError(f"split: got {split!r}, expected one of {', '.join(map(repr, SPLITS))}")
    return split


@lru_cache
def load_days(split: str) -> DayTable:
    """Load the complete local days (Europe/Amsterdam) of a split.

    The splits are years apart: "train" is 2023 and "validation" 2021, both Aachen; "test" is 2024,
    Düsseldorf. Left out are the two days on which clocks change (46 and 50 half-hours) and
    1 January, whose first hour lies in the previous year of the UTC record: 362 days remain, 363 in
    2024.

    The table is cached and shared by all callers: its tensors are not to be written to.

    Raises:
        ValueError: `split` is not one of `SPLITS`.
    """
    year = SPLIT_YEARS[check_split(split)]
    temperature, irradiance, price = _read_year(year)
    before, days_in_year = date(year - 1, 12, 31), date(year, 12, 31).timetuple().tm_yday
    days = [before + timedelta(days=n) for n in range(2, days_in_year + 1)]
    days = [day for day in days if day not in clock_change_days(year)]
    first_row = np.array([_row_of_local_midnight(day) for day in days])
    rows = first_row[:, None] + np.arange(HALF_HOURS)

    def by_day(values: np.ndarray) -> Tensor:
        return torch.from_numpy(values[rows]).float()

    return DayTable(
        dates=tuple(days),
        month=torch.tensor([day.month - 1 for day in days]),
        weekend=torch.tensor([day.weekday() >= 5 for day in days]),
        outdoor_temperature=by_day(temperature),
        irradiance=by_day(irradiance),
        day_ahead_price=by_day(price / 1000.0),
    )


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


@dataclass(frozen=True)
class ObservedDays:
    def load(self, split, clock):
        return load_days(split)


DaySource = ObservedDays
