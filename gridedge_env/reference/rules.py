"""Controllers that need no learning: each maps local observations to actions, like any policy.

They are what a trained fleet must beat, and show how hard a case is: who follows the price
alone breaks the network's limits. What a rule means for a kind of device, the kind says, and what
the public plan asks of it, the plan.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from gridedge_env.devices import DeviceGroup
from gridedge_env.devices.kind import Seen
from gridedge_env.observation import (
    ObservationField,
    least_planned_action,
    own_state_names,
    planned_columns,
)
from gridedge_env.simulator import Simulator


@dataclass(frozen=True)
class Idle:
    """Do least.

    Batteries rest, generators are off, heat pumps keep the room just warm enough, cars charge as
    late as they may, roofs feed in what there is.
    """

    simulator: Simulator

    def __call__(self, private: Tensor, shared: Tensor) -> Tensor:
        """See `Policy`."""
        return _by_kind(
            self.simulator,
            private,
            shared,
            lambda group, seen: group.kind.idle(group.parameters, seen),
        )


@dataclass(frozen=True)
class Thermostat:
    """As `Idle`, but rooms are kept mid-way in their comfort band, and cars charge at once."""

    simulator: Simulator

    def __call__(self, private: Tensor, shared: Tensor) -> Tensor:
        """See `Policy`."""
        return _by_kind(
            self.simulator,
            private,
            shared,
            lambda group, seen: group.kind.thermostat(group.parameters, seen),
        )


@dataclass(frozen=True)
class PriceFollowing:
    """Follow the published price as a home would that knows nothing of the network.

    Batteries charge in the day's cheapest three hours and discharge in its dearest three, heat
    pumps heat ahead in the cheaper half of the day, generators run up to the point where the next
    kilowatt-hour costs what it earns, cars charge in the cheapest six hours, roofs feed in what
    there is unless the price is negative. At one price all day there is nothing to trade. Batteries
    count on the retail price for what they feed in: where it earns far less, they lose money.
    """

    simulator: Simulator

    def __call__(self, private: Tensor, shared: Tensor) -> Tensor:
        """See `Policy`."""
        return _by_kind(
            self.simulator,
            private,
            shared,
            lambda group, seen: group.kind.follow_price(group.parameters, seen),
        )


@dataclass(frozen=True)
class PlanFollowing:
    """Do what the public plan asks of a device like one's own; the smallest actions are rest.

    So do policies whose networks put out nothing: it shows what there is in correcting the plan.

    Attributes:
        simulator: the case, with the public plan.

    Raises:
        ValueError: the case is without the public plan.
    """

    simulator: Simulator

    def __post_init__(self) -> None:
        if not self.simulator.case.public_plan:
            raise ValueError("public_plan: got False, expected True for a rule that follows it")

    def __call__(self, private: Tensor, shared: Tensor) -> Tensor:
        """See `Policy`."""
        fields = self.simulator.observation_fields
        planned = torch.stack([private[..., k] for k in planned_columns(fields)], dim=-1)
        least = planned.abs() < least_planned_action(fields)
        return _without_reactive_power(self.simulator, planned.masked_fill(least, 0.0))


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


def seen_by_kind(
    simulator: Simulator, private: Tensor, shared: Tensor
) -> Iterator[tuple[DeviceGroup, Seen]]:
    """The devices of each kind, and what their agents observe."""

    def news(name: str) -> Tensor:
        if name == "export_price" and simulator.case.tariff.net_metering:
            name = "price"
        return observed(simulator, shared, name)[:, None]

    fleet = simulator.fleet
    names = own_state_names(fleet.slots)
    own = torch.stack([observed(simulator, private, name) for name in names], dim=-1)
    for group, state in zip(fleet.groups, fleet.split(own), strict=True):
        yield group, Seen(simulator.clock, state, news)


def _by_kind(
    simulator: Simulator,
    private: Tensor,
    shared: Tensor,
    decide: Callable[[DeviceGroup, Seen], Tensor],
) -> Tensor:
    """(batch, agents, action_size): actions of each kind; no reactive power."""
    chosen = [decide(*group) for group in seen_by_kind(simulator, private, shared)]
    return _without_reactive_power(simulator, simulator.fleet.actions(chosen).clamp(-1.0, 1.0))


def _without_reactive_power(simulator: Simulator, active: Tensor) -> Tensor:
    """(batch, agents, action_size) from (batch, agents, slots)."""
    rest = active.new_zeros(*active.shape[:-1], simulator.action_size - active.shape[-1])
    return torch.cat((active, rest), dim=-1)
