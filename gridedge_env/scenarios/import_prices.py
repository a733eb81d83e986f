"""What a consumed kilowatt-hour costs: kinds of price. To add one, name it in `IMPORT_KINDS`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from itertools import combinations
from typing import Any

import torch
from torch import Tensor

from gridedge_env.checks import check_known, check_not_negative, check_number, settle, shown
from gridedge_env.clock import HOURS_PER_DAY, Clock, minutes_of_day
from gridedge_env.currency import EURO
from gridedge_env.scenarios.observed import DayTable
from gridedge_env.scenarios.price_kind import ImportPrice, same_price
from gridedge_env.transfer import to_device

# Kinds of day, and how they read in a sentence.
DAYS = {"all": "", "working": " on working days", "weekend": " at weekends"}


@dataclass(frozen=True)
class DayAhead(ImportPrice):
    """The day-ahead price, with tax and charges: a dynamic contract.

    The default is Dutch practice in the years of the shipped prices (2021 to 2024): the supplier
    passes the day-ahead price on, plus 21 % value-added tax, plus a constant that holds the energy
    tax and the supplier's charge. The energy tax alone, with value-added tax, was 0.152 €/kWh in
    2023 and 0.132 €/kWh in 2024 (0.12599 and 0.10880 without; first 10,000 kWh a year, as tabulated
    in Meijburg & Co, Pro Memorie 2024, section 14.6.2).

    Attributes:
        factor: what the day-ahead price is multiplied with.
        adder: €/kWh on every kilowatt-hour, tax included.

    Raises:
        ValueError: a negative factor, or what is no finite number.
    """

    kind: str = field(default="day_ahead", init=False, repr=False)
    factor: float = 1.21
    adder: float = 0.15
    follows_market = True

    def __post_init__(self) -> None:
        settle(self, f"{self.place}.", factor=check_not_negative, adder=check_number)

    def of_days(self, days: DayTable, clock: Clock) -> Tensor:
        """See `ImportPrice`."""
        return self.factor * days.day_ahead_price + self.adder

    def describe(self, currency: str = EURO) -> str:
        """See `PriceKind`."""
        return f"{self.factor:g} × day-ahead price + {self.adder:g} {currency}/kWh"


@dataclass(frozen=True)
class Period:
    """Hours of some days at one price.

    Attributes:
        price: €/kWh.
        begin: the time of day, "07:00".
        end: likewise, up to "24:00". Hours that span midnight are two periods.
        days: "working", "weekend" (Saturday and Sunday; public holidays count as working days) or
            "all".

    Raises:
        ValueError: a negative price, what is no time or kind of day, or an end that is not after
            the begin.
    """

    price: float
    begin: str = "00:00"
    end: str = "24:00"
    days: str = "all"

    def __post_init__(self) -> None:
        place = f"{ImportPrice.place}.periods"
        settle(self, f"{place}.", price=check_not_negative)
        for name in ("begin", "end"):
            time = getattr(self, name)
            if not isinstance(time, str) or minutes_of_day(time) is None:
                raise ValueError(
                    f"{place}.{name}: got {shown(time)}, expected a time such as '07:00'"
                )
        if self.span[0] >= self.span[1]:
            raise ValueError(
                f"{place}.end: got {self.end!r}, expected a time after the begin, {self.begin!r}; "
                "hours that span midnight are two periods"
            )
        if not isinstance(self.days, str) or self.days not in DAYS:
            raise ValueError(
                f"{place}.days: got {shown(self.days)}, expected one of "
                f"{', '.join(map(repr, DAYS))}"
            )

    @property
    def text(self) -> str:
        """As a word of a command line: "working,07:00-23:00,0.32"."""
        return f"{self.days},{self.begin}-{self.end},{self.price}"

    @staticmethod
    def of_text(text: str) -> Period:
        """The inverse of `text`.

        Raises:
            ValueError: what is no such word.
        """
        found = re.fullmatch(r"(\w+),([\d:]+)-([\d:]+),(\d*\.?\d+(?:e[+-]?\d+)?)", text)
        if not found:
            raise ValueError(
                f"{ImportPrice.place}.periods: got {text!r}, expected days, hours and price such "
                "as working,07:00-23:00,0.32"
            )
        days, begin, end, price = found.groups()
        return Period(float(price), begin, end, days)

    @staticmethod
    def of_record(record: Any) -> Period:
        """From its fields by name, or from a word.

        Raises:
            ValueError: what is no object, a field that there is not, or none for the price.
        """
        place = f"{ImportPrice.place}.periods"
        if isinstance(record, str):
            return Period.of_text(record)
        if not isinstance(record, Mapping):
            raise ValueError(f"{place}: got {shown(record)}, expected an object")
        check_known(record, [entry.name for entry in fields(Period)], place)
        if "price" not in record:
            raise ValueError(f"{place}.price: got none, expected one in every period")
        return Period(**record)

    @property
    def span(self) -> tuple[int, int]:
        """Minutes of the day at which it begins and ends."""
        return minutes_of_day(self.begin) or 0, minutes_of_day(self.end) or 0

    def overlaps(self, other: Period) -> bool:
        """Whether some time of some day is in both."""
        if "all" not in (self.days, other.days) and self.days != other.days:
            return False
        return self.span[0] < other.span[1] and other.span[0] < self.span[1]

    def describe(self, currency: str) -> str:
        """Its price and hours."""
        always = self.span == (0, 60 * HOURS_PER_DAY)
        hours = "" if always else f" from {self.begin} to {self.end}"
        return f"{self.price:g} {currency}/kWh{hours}{DAYS[self.days]}"


@dataclass(frozen=True)
class TimeOfUse(ImportPrice):
    """Prices by hour of day and kind of day, the same all year.

    Attributes:
        otherwise: €/kWh at all times that are in no period.
        periods: that have prices of their own; none overlap.

    Raises:
        ValueError: a negative price, what is no tuple of periods, or periods that overlap.
    """

    kind: str = field(default="time_of_use", init=False, repr=False)
    otherwise: float
    periods: tuple[Period, ...] = ()

    def __post_init__(self) -> None:
        settle(self, f"{self.place}.", otherwise=check_not_negative)
        place, given = f"{self.place}.periods", self.periods
        if not isinstance(given, tuple) or not all(isinstance(one, Period) for one in given):
            raise ValueError(f"{place}: got {shown(given)}, expected a tuple of Periods")
        for one, other in combinations(given, 2):
            if one.overlaps(other):
                raise ValueError(
                    f"{place}: got {one.text!r} and {other.text!r}, expected none that overlap"
                )

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> TimeOfUse:
        """See `PriceKind`; periods are a list of objects, or of words."""
        given = record.get("periods", ())
        if isinstance(given, str):
            given = [given]
        if not isinstance(given, list | tuple):
            raise ValueError(f"{cls.place}.periods: got {shown(given)}, expected a list")
        return cls(**{**record, "periods": tuple(map(Period.of_record, given))})

    def words(self) -> list[str]:
        """See `PriceKind`."""
        periods = (f"periods={period.text}" for period in self.periods)
        return [self.kind, f"otherwise={self.otherwise}", *periods]

    @property
    def times(self) -> tuple[str, ...]:
        """See `PriceKind`."""
        return tuple(time for period in self.periods for time in (period.begin, period.end))

    def of_day(self, weekend: bool, clock: Clock) -> list[float]:
        """€/kWh in each step of a working day, or of one of a weekend."""
        kinds = ("all", "weekend" if weekend else "working")
        prices = [self.otherwise] * clock.steps
        for period in self.periods:
            if period.days in kinds:
                first, last = (minutes // clock.minutes for minutes in period.span)
                prices[first:last] = [period.price] * (last - first)
        return prices

    def of_days(self, days: DayTable, clock: Clock) -> Tensor:
        """See `ImportPrice`."""
        self.check_clock(clock)
        rows, like = (
            [self.of_day(weekend, clock) for weekend in (False, True)],
            days.day_ahead_price,
        )
        table = to_device(torch.tensor(rows, dtype=like.dtype, device="cpu"), like.device)
        return table[days.weekend.long()]

    def describe(self, currency: str = EURO) -> str:
        """See `PriceKind`."""
        if not self.periods:
            return f"{self.otherwise:g} {currency}/kWh at all times"
        periods = ", ".join(period.describe(currency) for period in self.periods)
        return f"{periods}, {self.otherwise:g} {currency}/kWh at all other times"


@dataclass(frozen=True)
class Flat(ImportPrice):
    """One price at all times.

    Attributes:
        price: €/kWh.

    Raises:
        ValueError: a negative price, or what is no finite number.
    """

    kind: str = field(default="flat", init=False, repr=False)
    price: float

    def __post_init__(self) -> None:
        settle(self, f"{self.place}.", price=check_not_negative)

    def of_days(self, days: DayTable, clock: Clock) -> Tensor:
        """See `ImportPrice`."""
        return same_price(self.price, days)

    def describe(self, currency: str = EURO) -> str:
        """See `PriceKind`."""
        return f"{self.price:g} {currency}/kWh at all times"


IMPORT_KINDS: dict[str, type[ImportPrice]] = {
    kind.kind: kind for kind in (DayAhead, TimeOfUse, Flat)
}
"""The kinds of price for consumption by name."""
