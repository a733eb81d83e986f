"""Curves of inverters over the voltage at their terminals, and those of IEEE 1547-2018."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor


@dataclass(frozen=True)
class Curve:
    """A piecewise linear function of voltage; constant before its first and after its last point.

    Attributes:
        voltage: pu, increasing.
        share: the value at each voltage.

    Raises:
        ValueError: no point, not one value for each voltage, or voltages that do not increase.
    """

    voltage: tuple[float, ...]
    share: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.voltage) != len(self.share) or not self.voltage:
            raise ValueError(
                f"share: got {len(self.share)} values, expected one for each of "
                f"{len(self.voltage)} voltages, and at least one"
            )
        if any(left >= right for left, right in pairwise(self.voltage)):
            raise ValueError(f"voltage: got {self.voltage}, expected increasing numbers")

    def __call__(self, voltage: Tensor) -> Tensor:
        """The value at each voltage, of the same shape."""
        value = torch.full_like(voltage, self.share[0])
        points = zip(self.voltage, self.share, strict=True)
        for (start, low), (end, high) in pairwise(points):
            value = value + (high - low) * ((voltage - start) / (end - start)).clamp(0.0, 1.0)
        return value

    @property
    def pieces(self) -> list[tuple[float, float, float]]:
        """Between each point and the next: both voltages, and what the value gains per pu."""
        points = pairwise(zip(self.voltage, self.share, strict=True))
        return [(start, end, (high - low) / (end - start)) for (start, low), (end, high) in points]

    def slope(self, voltage: Tensor) -> Tensor:
        """What the value gains per pu at each voltage, of the same shape; 0 beyond the ends."""
        slope = torch.zeros_like(voltage)
        for start, end, gain in self.pieces:
            slope = torch.where((voltage > start) & (voltage < end), gain, slope)
        return slope


VOLT_WATT = Curve((1.06, 1.10), (1.0, 0.0))
"""IEEE 1547-2018, table 10: the most that may be fed in, over rated power. At the upper end 0, the
default for devices that also draw power; 0.2 for those that only generate."""
VOLT_VAR = Curve((0.92, 0.98, 1.02, 1.08), (-0.44, 0.0, 0.0, 0.44))
"""IEEE 1547-2018, table 8, category B: reactive power drawn, over the rated apparent power; from
inverters that feed in 44 % at 0.92 pu to those that draw as much at 1.08 pu."""
