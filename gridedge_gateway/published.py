"""What has been published of prices and weather, and what of it there is for an episode."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date, datetime

import numpy as np
from numpy.typing import NDArray

from gridedge_gateway.calendar import DAY, NOTHING, Array, Calendar, Series, Step, learnt
from gridedge_gateway.file import CustomerFile
from gridedge_gateway.graph import Arrays
from gridedge_gateway.readings import FIRST_YEAR, LAST_YEAR, SERIES, Quantity, Readings
from gridedge_gateway.sun import direct_irradiance

MEGAWATT_HOUR = 1000.0  # kWh
# Outdoors, °C, where nobody has ever said.
USUAL_TEMPERATURE = 10.0
PRICE, PRICE_FORECAST = "day_ahead_price", "price_forecast"
TEMPERATURE, IRRADIANCE = "temperature_forecast", "irradiance_forecast"


class Published:
    """Series as they are known by now.

    Args:
        file: the customer's, which says what is needed.
        calendar: of its case.
    """

    def __init__(self, file: CustomerFile, calendar: Calendar) -> None:
        self._file, self._calendar = file, calendar
        self._known: dict[str, dict[datetime, float]] = {name: {} for name in SERIES}
        self._series = dict.fromkeys(SERIES, NOTHING)
        self._news: dict[tuple[date, int], tuple[Arrays | None, list[str]]] = {}

    def learn(self, readings: Readings, step: Step) -> list[str]:
        """Newer values for older ones; those that are not plausible are left out, and told.

        Nothing is forgotten for its time: a clock that is wrong, or what comes late, would else
        take today's with it.
        """
        told = []
        for name, said in readings.series.items():
            if name not in SERIES or not isinstance(said, Mapping):
                expected = f"values by time of {', '.join(SERIES)}"
                told.append(f"{name}: got {type(said).__name__}, expected {expected}; left out")
                continue
            faults = {time: _fault(SERIES[name], time, value) for time, value in said.items()}
            good = {time: float(value) for time, value in said.items() if not faults[time]}
            if len(good) < len(said):
                fault = next(filter(None, faults.values()))
                told.append(f"{fault}; {len(said) - len(good)} of {len(said)} values left out")
            self._known[name] = learnt(self._known[name], good, step.time)
            self._series[name] = Series.of(self._known[name])
            self._news = {}
        return told

    def of_episode(self, step: Step) -> tuple[Arrays | None, list[str]]:
        """What the graphs of days act on, or None, and what is missing.

        Of the step's day prices must be known, and of weather at least what it was the day before.
        Other days of the episode count as that day where less is known of them.
        """
        key = step.episode, step.number // self._calendar.steps_of_a_day
        if key not in self._news:
            self._news = {key: self._of_episode(*key)}
        return self._news[key]

    def _of_episode(self, episode: date, today: int) -> tuple[Arrays | None, list[str]]:
        begins, dates = self._calendar.begins(episode), self._calendar.dates(episode)
        found, told = {name: self._means(name, begins) for name in SERIES}, list[str]()
        for name in (TEMPERATURE, IRRADIANCE):
            before = self._means(name, begins - DAY)
            filled = np.where(np.isnan(found[name]), before, found[name])
            missing = np.isnan(found[name][today])
            if name in self._file.series and missing.any() and np.isfinite(filled[today]).all():
                told.append(f"{name}: got {_part(missing)}, the others as the day before")
            found[name] = filled
        incomplete = False
        for name in self._file.series:
            if doubt := SERIES[name].doubt(found[name][today]):
                told.append(doubt)
            missing = np.isnan(found[name][today])
            if name != PRICE_FORECAST and missing.any():
                told.append(f"{name}: got {_part(missing)}, expected all: the fallback until then")
                incomplete = True
        if incomplete:
            return None, told
        for name, other in ((PRICE, PRICE_FORECAST), (PRICE_FORECAST, PRICE)):
            found[name] = np.where(np.isnan(found[name]), found[other], found[name])
        found = {name: np.where(np.isnan(x), x[today], x) for name, x in found.items()}
        found = {name: np.nan_to_num(x) for name, x in found.items()}  # what nobody needs
        found[PRICE], found[PRICE_FORECAST] = (
            found[name] / MEGAWATT_HOUR for name in (PRICE, PRICE_FORECAST)
        )
        return {
            **found,
            "direct_irradiance_forecast": self._direct(found[IRRADIANCE], begins),
            "month": np.array([day.month - 1 for day in dates]),
            "weekend": np.array([day.weekday() >= 5 for day in dates]),
        }, told

    def at(self, time: datetime) -> dict[str, float]:
        """What holds at a time, as far as it is known."""
        now = np.array(time.timestamp())
        holds = {name: float(series.at(now)) for name, series in self._series.items()}
        return {name: value for name, value in holds.items() if not math.isnan(value)}

    def weather(self, step: Step) -> Arrays:
        """What is expected of a step, as `operate` takes it; where nobody says, the usual."""
        begin = np.array([[step.time.timestamp()]])
        now = {name: self._means(name, begin) for name in (TEMPERATURE, IRRADIANCE)}
        before = {name: self._means(name, begin - DAY) for name in now}
        found = {name: np.where(np.isnan(x), before[name], x) for name, x in now.items()}
        sun = np.nan_to_num(found[IRRADIANCE])
        return {
            "outdoor_temperature": np.nan_to_num(found[TEMPERATURE], nan=USUAL_TEMPERATURE),
            "irradiance": sun,
            "direct_irradiance": self._direct(sun, begin)[0],
        }

    def _means(self, name: str, begins: Array) -> Array:
        return self._series[name].means(begins, self._calendar.minutes)

    def _direct(self, irradiance: Array, begins: Array) -> Array:
        """(..., 3) W/m² straight from the sun, if it is known where the customers are."""
        if self._file.site is None:
            return np.zeros((*irradiance.shape, 3))
        time = begins.astype(np.int64).astype("datetime64[s]")
        return direct_irradiance(irradiance, time, self._calendar.minutes, *self._file.site)


def _fault(series: Quantity, time: object, value: object) -> str | None:
    """What is wrong with a value, whatever Python has in its place; None: nothing."""
    if not isinstance(time, datetime) or time.utcoffset() is None:
        return f"{series.name}: got the time {time!s:.30}, expected one with an offset from UTC"
    if not FIRST_YEAR < time.year < LAST_YEAR:
        years = f"one from {FIRST_YEAR} to {LAST_YEAR}"
        return f"{series.name}: got the time {time.isoformat()}, expected {years}"
    number = as_number(value)
    if number is None:
        return f"{series.name}: got {type(value).__name__}, expected a number"
    return series.fault(number)


def as_number(value: object) -> float | None:
    """None: what cannot be one."""
    try:
        return float(value)  # type: ignore[arg-type]  # what it is not for raises
    except (TypeError, ValueError, OverflowError):
        return None


def _part(missing: NDArray[np.bool_]) -> str:
    return f"{int((~missing).sum())} of the day's {missing.size} steps"
