"""What a household pays for a kilowatt-hour, and what it is paid for one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor

from gridedge_env.checks import check_known, shown
from gridedge_env.clock import Clock
from gridedge_env.currency import EURO
from gridedge_env.scenarios.export_prices import EXPORT_KINDS, ExportPrice, NetMetering
from gridedge_env.scenarios.import_prices import IMPORT_KINDS, DayAhead, ImportPrice
from gridedge_env.scenarios.observed import DayTable
from gridedge_env.scenarios.price_kind import kind_of_record


@dataclass(frozen=True)
class Tariff:
    """A retail tariff: a kind of price for what homes consume, and one for what they feed in.

    The default is a Dutch dynamic contract with net metering, in the years of the shipped prices.
    The bill is the meter's: of a customer's devices together with its demand, in every step.

    Attributes:
        imports: what consumption costs: `day_ahead factor=1.21 adder=0.15`, `flat price=0.3`, or
            `time_of_use otherwise=0.22 periods=working,07:00-23:00,0.32`, with more periods
            likewise; days are `working`, `weekend` or `all`.
        exports: what is fed in earns: `net_metering`, `fixed price=0.08`, `nothing`, or `day_ahead
            factor=1 fee=0.01 floor=0`.

    Raises:
        ValueError: what is no kind of price for imports, or for exports.
    """

    imports: ImportPrice = DayAhead()
    exports: ExportPrice = NetMetering()

    def __post_init__(self) -> None:
        for price, base, kinds in (
            (self.imports, ImportPrice, IMPORT_KINDS.values()),
            (self.exports, ExportPrice, EXPORT_KINDS.values()),
        ):
            if not isinstance(price, base):
                names = ", ".join(kind.__name__ for kind in kinds)
                raise ValueError(f"{base.place}: got {shown(price)}, expected one of {names}")

    @property
    def net_metering(self) -> bool:
        """Whether what is fed in earns what consumption costs, by name."""
        return isinstance(self.exports, NetMetering)

    @property
    def follows_market(self) -> bool:
        """Whether any price moves with the day-ahead price."""
        return self.imports.follows_market or self.exports.follows_market

    def check_clock(self, clock: Clock) -> None:
        """Refuse steps within which a price would change.

        Raises:
            ValueError: so it does; names the time.
        """
        self.imports.check_clock(clock)
        self.exports.check_clock(clock)

    def import_price(self, days: DayTable, clock: Clock) -> Tensor:
        """Price of a consumed kilowatt-hour: (days, steps) €/kWh, in the table's precision."""
        return self.imports.of_days(days, clock)

    def export_price(self, days: DayTable, clock: Clock) -> Tensor:
        """Price earned by a kilowatt-hour that is fed in, likewise."""
        return self.exports.of_days(days, clock, self.import_price(days, clock))

    def describe(self, currency: str = EURO) -> str:
        """A sentence, with prices in a currency."""
        return (
            f"Consumption costs {self.imports.describe(currency)}; what is fed in earns "
            f"{self.exports.describe(currency)}."
        )

    def record(self) -> dict[str, Any]:
        """Plain values, with the names of the kinds: for files, and for `tariff_from_record`."""
        return asdict(self, dict_factory=_plain)


def tariff_from_record(record: Any) -> Tariff:
    """A tariff from its record: `{"imports": {"kind": "flat", "price": 0.3}}`.

    What is left out is the default.

    Raises:
        ValueError: not an object, no such kind, or a field is unknown, missing or wrong; begins
            with its name, "tariff.imports.price".
    """
    if not isinstance(record, Mapping):
        raise ValueError(f"tariff: got {shown(record)}, expected an object")
    check_known(record, ["imports", "exports"], "tariff")
    given: dict[str, Any] = {}
    if "imports" in record:
        given["imports"] = kind_of_record(record["imports"], IMPORT_KINDS, ImportPrice.place)
    if "exports" in record:
        given["exports"] = kind_of_record(record["exports"], EXPORT_KINDS, ExportPrice.place)
    return Tariff(**given)


def _plain(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in pairs}
