"""What a kind of retail price must bring, and how one is read from its record.

The kinds themselves are in `import_prices.py` and `export_prices.py`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor

from gridedge_env.checks import check_known, shown
from gridedge_env.clock import Clock, minutes_of_day
from gridedge_env.currency import EURO
from gridedge_env.scenarios.observed import DayTable

KindT = TypeVar("KindT", bound="PriceKind")


@dataclass(frozen=True)
class PriceKind(ABC):
    """A kind of price: its fields are what a tariff of that kind says, and are in its record.

    Attributes:
        kind: its name in records and on command lines.
        place: in error messages, what of a tariff it is.
        follows_market: whether it moves with the day-ahead price.
    """

    kind: str = field(default="", init=False, repr=False)
    place: ClassVar[str]
    follows_market: ClassVar[bool] = False

    @classmethod
    def of_record(cls: type[KindT], record: Mapping[str, Any]) -> KindT:
        """From its fields by name as files and command lines have them."""
        return cls(**record)

    def words(self) -> list[str]:
        """As on a command line: the kind, then `NAME=VALUE`, which may come several times."""
        own = (entry.name for entry in fields(self) if entry.init)
        return [self.kind, *(f"{name}={getattr(self, name)}" for name in own)]

    @abstractmethod
    def describe(self, currency: str = EURO) -> str:
        """What a kilowatt-hour costs or earns, in words that follow "costs" or "earns"."""

    @property
    def times(self) -> tuple[str, ...]:
        """Times of day, "07:00", at which the price changes besides the day-ahead price."""
        return ()

    def check_clock(self, clock: Clock) -> None:
        """Refuse steps within which the price would change.

        Raises:
            ValueError: so it does; names the time.
        """
        for time in self.times:
            if (minutes_of_day(time) or 0) % clock.minutes:
                raise ValueError(
                    f"{self.place}: got a price that changes at {time!r}, expected times at which "
                    f"a step of {clock.minutes} minutes begins"
                )


class ImportPrice(PriceKind):
    """A kind of price for consumption."""

    place: ClassVar[str] = "tariff.imports"

    @abstractmethod
    def of_days(self, days: DayTable, clock: Clock) -> Tensor:
        """(days, steps) €/kWh in the precision of the day-ahead prices, and where they are."""


class ExportPrice(PriceKind):
    """A kind of price for what is fed in."""

    place: ClassVar[str] = "tariff.exports"

    @abstractmethod
    def of_days(self, days: DayTable, clock: Clock, imported: Tensor) -> Tensor:
        """(days, steps) €/kWh, likewise.

        Args:
            days: weather and day-ahead prices.
            clock: of the days.
            imported: (days, steps) €/kWh that consumption costs.
        """


def same_price(value: float, days: DayTable) -> Tensor:
    """(days, steps) one price at all times."""
    return torch.full_like(days.day_ahead_price, value)


def kind_of_record(record: Any, kinds: Mapping[str, type[KindT]], place: str) -> KindT:
    """A price from its record: the name of its kind, and its fields.

    Args:
        record: `{"kind": "flat", "price": 0.3}`.
        kinds: by name.
        place: of the record, for error messages.

    Raises:
        ValueError: not an object, no such kind, or a field is unknown, missing or wrong.
    """
    if not isinstance(record, Mapping):
        raise ValueError(f"{place}: got {shown(record)}, expected an object with a kind")
    name = record.get("kind")
    if not isinstance(name, str) or name not in kinds:
        given = repr(name) if "kind" in record else "none"
        raise ValueError(f"{place}.kind: got {given}, expected one of {', '.join(kinds)}")
    kind = kinds[name]
    own = [entry for entry in fields(kind) if entry.init]
    check_known(record, ["kind", *(entry.name for entry in own)], place)
    for entry in own:
        if entry.name not in record and entry.default is MISSING:
            raise ValueError(f"{place}.{entry.name}: got none, expected one: {name!r} needs it")
    return kind.of_record({key: value for key, value in record.items() if key != "kind"})
