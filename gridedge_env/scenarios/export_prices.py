"""What a fed-in kilowatt-hour earns: kinds of price. To add one, name it in `EXPORT_KINDS`."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from gridedge_env.checks import check_not_negative, check_number, settle
from gridedge_env.clock import Clock
from gridedge_env.currency import EURO
from gridedge_env.scenarios.observed import DayTable
from gridedge_env.scenarios.price_kind import ExportPrice, same_price


@dataclass(frozen=True)
class NetMetering(ExportPrice):
    """The import price of the same step: exports are set off against imports (*salderen*)."""

    kind: str = field(default="net_metering", init=False, repr=False)

    def of_days(self, days: DayTable, clock: Clock, imported: Tensor) -> Tensor:
        """See `ExportPrice`."""
        return imported

    def describe(self, currency: str = EURO) -> str:
        """See `PriceKind`."""
        return "the same price"


@dataclass(frozen=True)
class Fixed(ExportPrice):
    """One price at all times.

    Attributes:
        price: €/kWh; negative where feeding in costs something.

    Raises:
        ValueError: what is no finite number.
    """

    kind: str = field(default="fixed", init=False, repr=False)
    price: float

    def __post_init__(self) -> None:
        settle(self, f"{self.place}.", price=check_number)

    def of_days(self, days: DayTable, clock: Clock, imported: Tensor) -> Tensor:
        """See `ExportPrice`."""
        return same_price(self.price, days)

    def describe(self, currency: str = EURO) -> str:
        """See `PriceKind`."""
        return f"{self.price:g} {currency}/kWh at all times"


@dataclass(frozen=True)
class DayAheadFeedIn(ExportPrice):
    """The day-ahead price, less what the supplier keeps.

    Attributes:
        factor: what the day-ahead price is multiplied with.
        fee: €/kWh that the supplier keeps of that.
        floor: €/kWh, the least that a kilowatt-hour earns.

    Raises:
        ValueError: a negative factor, or what is no finite number.
    """

    kind: str = field(default="day_ahead", init=False, repr=False)
    factor: float = 1.0
    fee: float = 0.01
    floor: float = 0.0
    follows_market = True

    def __post_init__(self) -> None:
        place = f"{self.place}."
        settle(self, place, factor=check_not_negative, fee=check_number, floor=check_number)

    def of_days(self, days: DayTable, clock: Clock, imported: Tensor) -> Tensor:
        """See `ExportPrice`."""
        return (self.factor * days.day_ahead_price - self.fee).clamp(min=self.floor)

    def describe(self, currency: str = EURO) -> str:
        """See `PriceKind`."""
        factor = "" if self.factor == 1.0 else f"{self.factor:g} × "
        return (
            f"{factor}the day-ahead price less a fee of {self.fee:g} {currency}/kWh, but at least "
            f"{self.floor:g} {currency}/kWh"
        )


@dataclass(frozen=True)
class Nothing(ExportPrice):
    """Nothing is paid for it."""

    kind: str = field(default="nothing", init=False, repr=False)

    def of_days(self, days: DayTable, clock: Clock, imported: Tensor) -> Tensor:
        """See `ExportPrice`."""
        return torch.zeros_like(imported)

    def describe(self, currency: str = EURO) -> str:
        """See `PriceKind`."""
        return "nothing"


EXPORT_KINDS: dict[str, type[ExportPrice]] = {
    kind.kind: kind for kind in (NetMetering, Fixed, DayAheadFeedIn, Nothing)
}
"""The kinds of price for what is fed in by name."""
