"""What a household pays for a kilowatt-hour, and what it is paid for one."""

from __future__ import annotations

from dataclasses import dataclass, fields

from torch import Tensor

from gridedge_env.checks import check_flag, check_number


@dataclass(frozen=True)
class Tariff:
    """A dynamic retail tariff that follows the day-ahead price.

    The default is Dutch practice in the years of the shipped prices (2021 to 2024): a dynamic
    contract passes the day-ahead price on, plus 21 % value-added tax, plus a constant that holds
    the energy tax and the supplier's charge. The energy tax alone, with value-added tax, was
    0.152 €/kWh in 2023 and 0.132 €/kWh in 2024 (0.12599 and 0.10880 without; first 10,000 kWh a
    year, as tabulated in Meijburg & Co, Pro Memorie 2024, section 14.6.2). Net metering
    (*salderen*) sets exported energy off against imported energy at the full retail price.

    Attributes:
        tax_factor: what the day-ahead price is multiplied with.
        adder: €/kWh on every imported kilowatt-hour, tax included.
        net_metering: export earns the import price; if False, the feed-in price below.
        feed_in_fee: €/kWh that the supplier keeps of the day-ahead price.
        feed_in_floor: €/kWh, the least that an exported kilowatt-hour earns.
    """

    tax_factor: float = 1.21
    adder: float = 0.15
    net_metering: bool = True
    feed_in_fee: float = 0.01
    feed_in_floor: float = 0.0

    def __post_init__(self) -> None:
        for entry in fields(self):
            check = check_flag if entry.name == "net_metering" else check_number
            check(getattr(self, entry.name), f"tariff.{entry.name}")

    def import_price(self, day_ahead: Tensor) -> Tensor:
        """Price of a consumed kilowatt-hour, €/kWh, for day-ahead prices in €/kWh, of any shape."""
        return self.tax_factor * day_ahead + self.adder

    def export_price(self, day_ahead: Tensor) -> Tensor:
        """Price earned by an exported kilowatt-hour, €/kWh, of the same shape as `day_ahead`."""
        if self.net_metering:
            return self.import_price(day_ahead)
        return (day_ahead - self.feed_in_fee).clamp(min=self.feed_in_floor)
