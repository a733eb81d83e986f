"""Controllers that need no learning: each maps local observations to actions, like any policy.

They are what a trained fleet must beat, and show how hard a case is: who follows the price
alone breaks the network's limits.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gridedge_env.observation import ObservationField
from gridedge_env.simulator import Simulator


@dataclass(frozen=True)
class Idle:
    """Do least: batteries rest, generators are off, heat pumps keep the room just warm enough."""

    simulator: Simulator

    def __call__(self, private: Tensor, shared: Tensor) -> Tensor:
        """See `Policy`."""
        return _by_kind(self.simulator, private, battery=0.0, heat_pump=-1.0, generator=-1.0)


@dataclass(frozen=True)
class Thermostat:
    """As `Idle`, but each heat pump steers its room to the middle of the comfort band.

    Proportional to the distance from the middle; full power half-way to the lower edge.
    """

    simulator: Simulator

    def __call__(self, private: Tensor, shared: Tensor) -> Tensor:
        """See `Policy`."""
        batteries, pumps, _ = self.simulator.fleet.counts
        warmth = private[:, batteries : batteries + pumps, 0]  # -1 lower edge, +1 upper
        return _by_kind(
            self.simulator, private, battery=0.0, heat_pump=-2.0 * warmth, generator=-1.0
        )


@dataclass(frozen=True)
class PriceFollowing:
    """Follow the published price as a home would that knows nothing of the network.

    Batteries charge in the day's cheapest three hours and discharge in its dearest three, heat
    pumps heat ahead in the cheaper half of the day, generators run up to the point where the next
    kilowatt-hour costs what it earns.
    """

    simulator: Simulator

    def __call__(self, private: Tensor, shared: Tensor) -> Tensor:
        """See `Policy`."""
        price = observed(self.simulator, shared, "price")
        cheaper = observed(self.simulator, shared, "price_rank")
        edge = 6.0 / self.simulator.steps
        battery = (cheaper < edge).to(price) - (cheaper >= 1.0 - edge).to(price)
        heat_pump = 1.0 - 2.0 * (cheaper >= 0.5).to(price)
        generators = self.simulator.fleet.generators
        margin = price[:, None] - generators.linear_cost
        loading = (margin / (2.0 * generators.quadratic_cost)).clamp(0.0, 1.0)
        return _by_kind(
            self.simulator,
            private,
            battery=battery[:, None],
            heat_pump=heat_pump[:, None],
            generator=2.0 * loading - 1.0,
        )


def observed(simulator: Simulator, part: Tensor, name: str) -> Tensor:
    """A field of a part of the observations in its unit.

    Args:
        simulator: the case.
        part: the private or the shared observations, whichever the field is one of.
        name: of the field.

    Returns:
        (batch, agents) if private, (batch,) if shared.
    """
    names = [field.name for field in simulator.observation_fields]
    field: ObservationField = simulator.observation_fields[names.index(name)]
    entry = names.index(name) - (0 if field.private else simulator.private_size)
    return field.offset + field.scale * part[..., entry]


def _by_kind(
    simulator: Simulator,
    private: Tensor,
    battery: float | Tensor,
    heat_pump: float | Tensor,
    generator: float | Tensor,
) -> Tensor:
    """(batch, agents, action_size): one action for each kind, broadcast; no reactive power."""
    action = torch.zeros(*private.shape[:-1], simulator.action_size).to(private)
    groups = action[..., 0].split(simulator.fleet.counts, dim=-1)
    for group, value in zip(groups, (battery, heat_pump, generator), strict=True):
        group.copy_(torch.as_tensor(value).to(group).expand_as(group))
    return action.clamp(-1.0, 1.0)
