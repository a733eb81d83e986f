"""The moment before a step, as each home knows its own: what private observations are made of."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from torch import Tensor

from gridedge_env.day import Window
from gridedge_env.devices import Fleet
from gridedge_env.public_plan import PlannedHomes
from gridedge_env.state import SimulatorState


class Meters(Protocol):
    """What homes read of the network: `Wiring`, or a home's own meter."""

    def meter_voltage(self, device_voltage: Tensor) -> Tensor:
        """(batch, agents) pu, of what the state of a simulator says of voltages."""


@dataclass(frozen=True)
class Moment:
    """What private fields are made of: the homes before a step.

    Attributes:
        fleet: the homes.
        meters: theirs.
        state: where they stand.
        step: the step, which the agents are to decide on.
        plan: what they are told of the public plan, where they observe it.
    """

    fleet: Fleet
    meters: Meters
    state: SimulatorState
    step: int
    plan: PlannedHomes | None = None

    @property
    def window(self) -> Window:
        """The step."""
        return Window(self.state.day, self.step, 1)

    @cached_property
    def planned(self) -> tuple[Tensor, Tensor]:
        """(batch, agents, slots) actions and stores that the plan asks for; 0 without a device."""
        actions, stored = self.public_plan.asks(self.window, self.state.devices)
        return self.fleet.actions(actions), self.fleet.actions(stored)

    @property
    def public_plan(self) -> PlannedHomes:
        """The plan.

        Raises:
            ValueError: there is none.
        """
        if self.plan is None:
            raise ValueError("public_plan: got None, expected one where agents observe it")
        return self.plan

    @cached_property
    def own_states(self) -> Tensor:
        """(batch, agents, slots) what agents observe of their devices; 0 where there is none."""
        window = self.window
        groups = zip(self.fleet.groups, self.state.devices, strict=True)
        return self.fleet.actions(
            [group.kind.observed_state(group.parameters, own, window) for group, own in groups]
        )
