"""What a gateway is told: by meters and sensors, and of prices and weather, in its own units.

A message is a flat JSON object. What has a time stands under its times, in ISO 8601 with an offset:

    {"time": "2026-01-15T12:00:00+01:00", "meter_power": 1.2, "battery.state_of_charge": 52,
     "day_ahead_price": {"2026-01-15T00:00:00+01:00": 71.2, "2026-01-15T01:00:00+01:00": 68.0}}
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone

# Years that a clock can show, and what a time looks like.
FIRST_YEAR, LAST_YEAR = 2000, 2100
A_TIME = "a time with its offset from UTC, like 2026-01-15T12:00:00+01:00"
# The unit of what is so or not, and how the names of such readings end: JSON has true and false.
YES_OR_NO, OF_YES_OR_NO = "0 or 1", ".plugged"
# Units that others are taken for: values that are all so near to 0 are likely of the other one.
OTHER_UNITS = {"per MWh": (3.0, "per kWh"), "%": (1.0, "a share of 1")}
# Of what is wrong so many are told, and so many signs of a value or a name.
MOST_FAULTS, MOST_SIGNS = 20, 60


@dataclass(frozen=True)
class Quantity:
    """What can be read, and in which range that is plausible.

    Attributes:
        name: of the reading.
        unit: of its values.
        lowest: that it can have.
        highest: likewise.
    """

    name: str
    unit: str
    lowest: float
    highest: float

    def fault(self, value: float) -> str | None:
        """What is wrong with a value; None: nothing."""
        if self.unit == YES_OR_NO and value not in (0.0, 1.0):
            return f"{self.name}: got {value:g}, expected {self.unit}"
        if self.lowest <= value <= self.highest:
            return None
        expected = f"expected {self.lowest:g} to {self.highest:g} {self.unit}"
        return f"{self.name}: got {value:g}, {expected}"

    def doubt(self, values: Iterable[float]) -> str | None:
        """In which other unit values may be, which are plausible; None: there is no doubt."""
        near, other = OTHER_UNITS.get(self.unit, (0.0, ""))
        most = max((abs(value) for value in values if not math.isnan(value)), default=0.0)
        if not 0.0 < most <= near:
            return None
        return f"{self.name}: got {most:g} at most, expected {self.unit}; is it {other}?"


# Names of what is read of a home, beside its devices.
METER_POWER, VOLTAGE, OUTDOOR_TEMPERATURE = "meter_power", "voltage", "outdoor_temperature"
# With a value for each time; the day-ahead market's prices may be from -500 to 5,000 €/MWh today.
SERIES = {
    series.name: series
    for series in (
        Quantity("day_ahead_price", "per MWh", -1e5, 1e5),
        Quantity("price_forecast", "per MWh", -1e5, 1e5),
        Quantity("temperature_forecast", "°C", -60.0, 60.0),
        Quantity("irradiance_forecast", "W/m²", 0.0, 1500.0),
    )
}


@dataclass(frozen=True)
class Readings:
    """What is known at a moment; what is not, is missing or NaN.

    Attributes:
        time: aware; a step begins or is under way.
        values: by name: "meter_power" kW, "voltage" V, "outdoor_temperature" °C, those of devices,
            "battery.state_of_charge" %.
        series: by name, those of `SERIES`: from the time at which a value begins to hold to it.
        faults: what of a message could not be read, and why.

    Raises:
        ValueError: a time without an offset from UTC, or of another century.
    """

    time: datetime
    values: Mapping[str, float] = field(default_factory=dict)
    series: Mapping[str, Mapping[datetime, float]] = field(default_factory=dict)
    faults: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.time.utcoffset() is None or not FIRST_YEAR <= self.time.year <= LAST_YEAR:
            expected = f"one with an offset from UTC, from {FIRST_YEAR} to {LAST_YEAR}"
            raise ValueError(f"time: got {self.time.isoformat()}, expected {expected}")

    @classmethod
    def of_json(cls, message: str | bytes, came: datetime) -> Readings:
        """Of a message; never an error, whatever is in it.

        Args:
            message: a JSON object.
            came: when it came, which counts where it does not say a time itself.
        """
        twice: list[str] = []

        def once(pairs: list[tuple[str, object]]) -> dict[str, object]:
            counts = Counter(name for name, _ in pairs)
            twice.extend(name for name, count in counts.items() if count > 1)
            return dict(pairs)

        try:
            said = json.loads(message, object_pairs_hook=once)
        except (ValueError, RecursionError) as error:
            return cls(came, faults=(f"message: got {_shown(message)}, expected JSON ({error})",))
        if not isinstance(said, dict):
            return cls(came, faults=(f"message: got {_shown(said)}, expected an object",))
        faults = [f"{legible(name)}: got it more than once, the last counts" for name in twice]
        for name in (name for name in SERIES if name in said):
            if not (said[name] and isinstance(said[name], dict)):
                expected = 'values by their times, {"2026-01-15T12:00:00+01:00": 71.2}'
                faults.append(f"{name}: got {_shown(said.pop(name))}, expected {expected}")
        readings = cls.of(said, came)
        faults += readings.faults
        if not (readings.values or readings.series or faults):
            faults.append(f"message: got {_shown(said)}, expected some readings")
        return replace(readings, faults=the_first(faults))

    @classmethod
    def of(cls, said: Mapping[str, object], came: datetime) -> Readings:
        """Of an object, or of the cells of a table's row that are not empty; never an error.

        Args:
            said: "time" and values by name; those of series by their times, or one from then on.
            came: as in `of_json`.
        """
        values: dict[str, float] = {}
        series: dict[str, Mapping[datetime, float]] = {}
        faults: list[str] = []
        time: datetime | None = came
        if "time" in said:
            time = _time(said["time"], "time", faults)  # its fault is the first
        for name, what in said.items():
            if name in SERIES:
                at = what if isinstance(what, Mapping) else {time or came: what}
                series[name] = _series(at, name, faults)
            elif name != "time":
                values[name] = _number(what, name, faults)
        if time is None:  # nobody knows when they were read
            values, faults[0] = {}, f"{faults[0]}; none of its readings counts"
        return cls(time or came, values, series, the_first(faults))


def _series(said: Mapping[object, object], name: str, faults: list[str]) -> dict[datetime, float]:
    found = {}
    for at, what in said.items():
        time = at if isinstance(at, datetime) else _time(at, name, faults)
        value = _number(what, name, faults)
        if time is not None and not math.isnan(value):
            found[time] = value
    return found


def _time(said: object, name: str, faults: list[str]) -> datetime | None:
    """UTC; None with a fault."""
    text = str(said).strip()
    try:
        time = datetime.fromisoformat(f"{text[:-1]}+00:00" if text[-1:] in "zZ" else text)
        if time.utcoffset() is not None and FIRST_YEAR < time.year < LAST_YEAR:
            return time.astimezone(timezone.utc)
    except ValueError:
        pass
    expected = f"{A_TIME}, from {FIRST_YEAR} to {LAST_YEAR}"
    faults.append(f"{legible(name)}: got {_shown(said)}, expected {expected}")
    return None


def _number(said: object, name: str, faults: list[str]) -> float:
    """NaN with a fault."""
    # To Python True is 1 and "1_0" is 10, to meters they are not.
    is_true_or_false = isinstance(said, bool) and not name.endswith(OF_YES_OR_NO)
    is_number = not is_true_or_false and not (isinstance(said, str) and "_" in said)
    try:
        value = float(said) if is_number else math.nan  # type: ignore[arg-type]  # others raise
    except (TypeError, ValueError, OverflowError):
        value = math.nan
    if math.isfinite(value):
        return value
    faults.append(f"{legible(name)}: got {_shown(said)}, expected a number")
    return math.nan


def the_first(faults: Iterable[str]) -> tuple[str, ...]:
    """Of all that is wrong, each once; how much there is more."""
    told = tuple(dict.fromkeys(faults))
    more = len(told) - MOST_FAULTS
    return told if more <= 0 else (*told[:MOST_FAULTS], f"message: {more} more faults")


def legible(name: object) -> str:
    """A name from outside, in signs that every line, table and message can have."""
    return _short(repr(str(name))[1:-1])


def _shown(said: object) -> str:
    """As it came, if it is short."""
    try:
        return _short("null" if said is None else repr(said))
    except (ValueError, RecursionError):  # numbers and objects that Python does not write down
        return type(said).__name__


def _short(text: str) -> str:
    return text if len(text) <= MOST_SIGNS else f"{text[:MOST_SIGNS]}..."
