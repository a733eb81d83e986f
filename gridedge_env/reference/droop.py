"""Droop: what inverters do about voltage today, each on its own terminals, on top of any policy.

Volt-watt curtails real power, volt-var exchanges reactive power, along a piecewise linear curve of
the voltage that the home's meter read in the previous step: a step late, so that steep curves hunt.
In a case with `local_response` inverters answer within the step instead. The default curves are
those of IEEE 1547-2018 for inverters of category B.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gridedge_env.powerflow.curves import VOLT_VAR, VOLT_WATT, Curve
from gridedge_env.reference.policies import Policy
from gridedge_env.reference.rules import observed, seen_by_kind
from gridedge_env.simulator import Simulator


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
