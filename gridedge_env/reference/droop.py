"""Droop: what inverters do about voltage today, each on its own terminals, on top of any policy.

Volt-watt curtails real power, volt-var exchanges reactive power, along a piecewise linear curve of
the voltage that the home's meter read in the previous step. The default curves are those of IEEE
1547-2018 for inverters of category B.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from gridedge_env.reference.policies import Policy
from gridedge_env.reference.rules import observed, seen_by_kind
from gridedge_env.simulator import Simulator


@dataclass(frozen=True)
class Curve:
    """A piecewise linear function of voltage; constant before its first and after its last point.

    Attributes:
        voltage: pu, increasing.
        share: the value at each voltage.
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


# IEEE 1547-2018, table 10: the most that may be fed in, over rated power. At the upper end 0, the
# default for devices that also draw power; 0.2 for those that only generate.
VOLT_WATT = Curve((1.06, 1.10), (1.0, 0.0))
# IEEE 1547-2018, table 8, category B: reactive power drawn, over the rated apparent power; from
# inverters that feed in 44 % at 0.92 pu to those that draw as much at 1.08 pu.
VOLT_VAR = Curve((0.92, 0.98, 1.02, 1.08), (-0.44, 0.0, 0.0, 0.44))


@dataclass(frozen=True)
class VoltWatt:
    """Curtail what another policy feeds in at high voltage, and what it draws at low voltage.

    The standard curtails generation only. Here the same curve, mirrored about 1 pu, also bounds
    what devices draw (AS/NZS 4777.2 has a curve of its own for charging batteries). Bounds are
    shares of what a device can do now. Where the curve is negative, at high voltage devices must
    draw, and at low voltage they must feed in, as far as they can.

    Attributes:
        simulator: the case.
        policy: what devices would do otherwise.
        curve: the most that may be fed in, from 1 to -1.
    """

    simulator: Simulator
    policy: Policy
    curve: Curve = VOLT_WATT

    def __call__(self, private: Tensor, shared: Tensor) -> Tensor:
        """See `Policy`."""
        action, fleet = self.policy(private, shared), self.simulator.fleet
        voltage = observed(self.simulator, private, "own_voltage")[..., None]
        voltages = fleet.split(voltage.expand(-1, -1, fleet.slots))
        ranges = [
            group.kind.droop_range(group.parameters, self.curve(own), self.curve(2.0 - own))
            for group, own in zip(fleet.groups, voltages, strict=True)
        ]
        least, most = (fleet.actions(ends) for ends in zip(*ranges, strict=True))
        active = torch.maximum(action[..., : fleet.slots], least)
        active = torch.minimum(active, most).clamp(-1.0, 1.0)
        return torch.cat((active, action[..., fleet.slots :]), dim=-1)


@dataclass(frozen=True)
class VoltVar:
    """Exchange reactive power by own voltage, as far as an inverter's rating leaves room.

    Active power goes first, and stays another policy's. Heat pumps have no inverter.

    Attributes:
        simulator: the case, with reactive power.
        policy: what devices do about active power.
        curve: reactive power drawn, over the rated apparent power.

    Raises:
        ValueError: the case is without reactive power.
    """

    simulator: Simulator
    policy: Policy
    curve: Curve = VOLT_VAR

    def __post_init__(self) -> None:
        if not self.simulator.case.reactive_power:
            raise ValueError("reactive_power: got False, expected True for volt-var droop")

    def __call__(self, private: Tensor, shared: Tensor) -> Tensor:
        """See `Policy`."""
        fleet, curve = self.simulator.fleet, self.curve
        active = self.policy(private, shared)[..., : fleet.slots]
        voltage = observed(self.simulator, private, "own_voltage")[..., None]
        voltages = fleet.split(voltage.expand_as(active))
        groups = seen_by_kind(self.simulator, private, shared)
        reactive = []
        for (group, seen), action, own in zip(groups, fleet.split(active), voltages, strict=True):
            rating = group.kind.inverter_rating(group.parameters)
            power = group.kind.inverter_power(group.parameters, action, seen)
            room = (rating**2 - power**2).clamp(min=0.0).sqrt()
            reactive.append(curve(own) * rating / room.clamp(min=1e-6))
        return torch.cat((active, fleet.actions(reactive).clamp(-1.0, 1.0)), dim=-1)
